/*
 * test_watch.c: functions that block, stall or die. The function's own connection may suffer; its worker's
 * others lose nothing, the other workers notice nothing, and what happened is said and counted.
 */
#include <poll.h>
#include <signal.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/socket.h>
#include <unistd.h>

#include "harness.h"
#include "hiccups.h"
#include "preloads.h"
#include "program.h"
#include "stuck.h"
#include "test/apps/testapp/commands.h"
#include "test_ledger.h"

/* ---- Warning ---- */

START_TEST(short_ones_are_not_reported)
{
    struct server s;
    watch_start(&s, NULL, NULL);
    int fd = client_open(&s);
    uint32_t ms = WARN_MS / 4, back;
    for (int i = 0; i < 4; i++)
        ck_assert_uint_eq(client_ask(fd, TEST_SLEEP, &ms, sizeof ms, &back, sizeof back), sizeof back);
    close(fd);
    server_finish(&s);
    ck_assert_uint_eq(server_counter(&s, "watch_stuck"), 0);
}
END_TEST

START_TEST(one_that_blocks_is_reported_and_comes_back)
{
    struct server s;
    watch_start(&s, "watch.replace_ms=0", NULL);
    int stuck = open_at_worker(&s, 0), other = open_at_worker(&s, 1);
    uint64_t began = mono_ns();
    stick(stuck);
    wait_counter(other, "watch_stuck", 1);
    uint64_t took_ms = (mono_ns() - began) / NS_PER_MS;
    ITEST_ASSERT(took_ms >= WARN_MS - WARN_MS / 2 && took_ms < WARN_MS + 100 * ITEST_SLOW + 200,
                 "reported after %llu ms", (unsigned long long) took_ms);
    ck_assert_uint_eq(counter_on(other, "alarm_stuck"), 1);
    ck_assert_uint_eq(counter_on(other, "alarm_akg"), TEST_STICK);
    for (int i = 0; i < 10; i++) { /* newcomers go elsewhere */
        int fd = client_open(&s);
        ck_assert_uint_eq(who_of(fd).worker, 1);
        close(fd);
    }
    itest_sleep(REPLACE_MS);
    unstick(other);
    ck_assert_uint_eq(client_recv_packet(stuck, TEST_STICK, &(uint32_t){0}, 4), 4);
    wait_counter(other, "alarm_back", 1);
    server_wait_log(&s, "is back after", BACK_MS);
    close(open_at_worker(&s, 0));
    close(stuck);
    close(other);
    ck_assert_uint_eq(server_log_count(&s, "function 0x7020 of connection 0."), 2);
    ck_assert_uint_ge(server_log_count(&s, "susleep+0x"), 1); /* the backtrace */
    server_finish(&s);
    ck_assert_uint_eq(server_counter(&s, "watch_replaced"), 0);
}
END_TEST

/* A process that is stopped, or a machine that sleeps, makes nobody guilty. */
START_TEST(a_stopped_process_accuses_nobody)
{
    struct server s;
    watch_start(&s, NULL, NULL);
    int fd = client_open(&s);
    send_number(fd, TEST_SLEEP, WARN_MS / 2);
    itest_sleep(WARN_MS / 8);
    server_signal(&s, SIGSTOP);
    itest_sleep(3 * REPLACE_MS);
    server_signal(&s, SIGCONT);
    ck_assert_uint_eq(client_recv_packet(fd, TEST_SLEEP, &(uint32_t){0}, 4), 4);
    close(fd);
    server_finish(&s);
    ck_assert_uint_eq(server_counter(&s, "watch_replaced"), 0);
}
END_TEST

START_TEST(all_workers_stuck_still_take_newcomers)
{
    struct server s;
    watch_start(&s, NULL, "server.workernum=1");
    int stuck = client_open(&s);
    stick(stuck);
    server_wait_log(&s, "has been running", BACK_MS);
    int fd = client_open(&s);
    client_echo(fd, 100); /* once it was replaced */
    unstick(fd);
    client_expect_fin(stuck);
    close(fd);
    server_finish(&s);
    ck_assert_uint_eq(server_counter(&s, "refused_full"), 0);
    ck_assert_uint_eq(server_counter(&s, "watch_replaced"), 1);
}
END_TEST

/* ---- Replacing ---- */

/* Where the function of a connection blocks. */
static void stick_function(const struct server *s, int *fd)
{
    *fd = open_at_worker(s, 0);
    stick(*fd);
}

static void stick_end_hook(const struct server *s, int *fd)
{
    *fd = open_at_worker(s, 0);
    send_number(*fd, TEST_STICK, TEST_IN_END_HOOK);
}

static void die_in_function(const struct server *s, int *fd)
{
    *fd = open_at_worker(s, 0);
    send_number(*fd, TEST_END_THREAD, TEST_IN_FUNCTION);
}

static void die_in_end_hook(const struct server *s, int *fd)
{
    *fd = open_at_worker(s, 0);
    send_number(*fd, TEST_END_THREAD, TEST_IN_END_HOOK);
}

static void cancel(const struct server *s, int *fd)
{
    *fd = open_at_worker(s, 0);
    client_send_packet(*fd, TEST_CANCEL, NULL, 0);
}

static const struct {
    void (*strike)(const struct server *s, int *fd);
    const char *counter; /* goes up when the worker has another thread */
    const char *reason;  /* counted for the connection */
} strikes[] = {
    {stick_function, "alarm_replaced", "closed_function_stuck"},
    {stick_end_hook, "alarm_replaced", "closed_function_closed"},
    {die_in_function, "alarm_died", "closed_function_died"},
    {die_in_end_hook, "alarm_died", "closed_function_closed"},
    {cancel, "alarm_died", "closed_function_died"},
};
#define STRIKES (int) (sizeof strikes / sizeof strikes[0])

/* One with an unfinished packet, one with a megabyte of answers on the way: nothing of either is lost. */
struct delicate {
    unsigned char packet[300];
    size_t len;
    int half, reader;
};

static void delicate_begin(struct delicate *d, const struct server *s)
{
    d->len = client_packet(d->packet, TEST_ECHO, "an unfinished packet, whose end comes later", 43);
    d->half = open_at_worker(s, 0);
    d->reader = open_at_worker(s, 0);
    client_send(d->half, d->packet, 20);
    for (int i = 0; i < 3; i++)
        client_send_packet(d->reader, TEST_MEGABYTE, NULL, 0);
}

static void delicate_end(struct delicate *d)
{
    static unsigned char got[8192];
    client_send(d->half, d->packet + 20, d->len - 20);
    ck_assert_uint_eq(client_recv_packet(d->half, TEST_ECHO, got, sizeof got), d->len - 8);
    ck_assert_mem_eq(got, d->packet + 8, d->len - 8);
    for (int i = 0; i < 3 * 128; i++) {
        size_t n = client_recv_packet(d->reader, TEST_MEGABYTE, got, sizeof got);
        for (size_t k = 0; k < n; k++)
            ITEST_ASSERT(got[k] == 'r', "a wrong byte");
    }
    close(d->half);
    close(d->reader);
}

START_TEST(another_thread_takes_its_place)
{
    enum { CLIENTS = 200 };
    struct server s;
    struct delicate d;
    watch_start(&s, NULL, NULL);
    struct ledger *l = ledger_create(&s.target, CLIENTS, 200);
    ck_assert_ptr_nonnull(l);
    ck_assert(ledger_connect(l, 10000));
    ledger_ask(l, 5, 2);
    ck_assert(ledger_run(l, 10000));
    int other = open_at_worker(&s, 1), fd;
    delicate_begin(&d, &s);
    strikes[_i].strike(&s, &fd);
    ledger_ask(l, 20, 4); /* half of them ask the worker that does not answer */
    ck_assert(ledger_run(l, BACK_MS));
    wait_counter(other, strikes[_i].counter, 1);
    ck_assert_uint_eq(l->ends[END_OPEN], CLIENTS);
    ck_assert_uint_eq(l->answered, l->sent);
    delicate_end(&d);
    ck_assert_int_ne(client_ending(fd, NULL, BACK_MS), END_OPEN);
    close(fd);
    unstick(other);
    ledger_ask(l, 20, 4);
    ck_assert(ledger_run(l, BACK_MS));
    ck_assert_uint_eq(l->answered, l->sent);
    close(open_at_worker(&s, 0)); /* newcomers are served there again */
    close(other);
    ledger_destroy(&l);
    server_finish(&s);
    ck_assert_uint_eq(server_counter(&s, strikes[_i].reason), 1);
    ck_assert_uint_eq(server_counter(&s, "alarm_replaced") + server_counter(&s, "alarm_died"), 1);
}
END_TEST

START_TEST(stuck_in_the_connected_hook)
{
    struct server s;
    watch_start(&s, NULL, "test.connected=stick");
    int stuck = client_open(&s), fds[20];
    for (int i = 0; i < 20; i++) /* half of them wait behind it in the ring */
        fds[i] = client_open(&s);
    for (int i = 0; i < 20; i++)
        client_echo(fds[i], 10);
    ck_assert_int_ne(client_ending(stuck, NULL, BACK_MS), END_OPEN);
    unstick(fds[0]);
    for (int i = 0; i < 20; i++)
        close(fds[i]);
    close(stuck);
    server_finish(&s);
    ck_assert_uint_eq(server_counter(&s, "closed_function_stuck"), 1);
}
END_TEST

/* p99 of echoes, one after the other, on these connections. */
static uint64_t p99_of(const int *fds, int count)
{
    enum { ECHOES = 3000 / ITEST_SLOW };
    static struct hist h;
    hist_clear(&h);
    for (int i = 0; i < ECHOES; i++) {
        uint64_t began = mono_ns();
        client_echo(fds[i % count], 20);
        hist_add(&h, mono_ns() - began, 1);
    }
    return hist_percentile(&h, 99);
}

/* Four workers, ten thousand connections, a function that never returns: the other three are as fast as before,
 * and soon after replace_ms everybody but one has the next answer. */
START_TEST(ten_thousand_connections)
{
    enum { CLIENTS = 10000 / ITEST_SLOW, DEFAULT_REPLACE_MS = 5000, MARGIN_MS = 1000, OTHERS = 30 };
    struct server s;
    int others[OTHERS];
    hiccups_start();
    watch_start(&s, "server.workernum=4", "server.connnum=3000");
    struct ledger *l = ledger_create(&s.target, CLIENTS, 20);
    ck_assert_ptr_nonnull(l);
    ck_assert(ledger_connect(l, 20000));
    ledger_ask(l, 1, 1);
    ck_assert(ledger_run(l, 20000));
    int fd = open_at_worker(&s, 0);
    for (int i = 0; i < OTHERS; i++)
        others[i] = open_at_worker(&s, 1 + (uint32_t) i % 3);
    uint64_t before_ns = p99_of(others, OTHERS), began = mono_ns();
    stick(fd);
    wait_counter(others[0], "watch_stuck", 1);
    uint64_t beside_ns = p99_of(others, OTHERS);
    ledger_ask(l, 1, 1);
    ck_assert(ledger_run(l, BACK_MS));
    uint64_t took_ms = (mono_ns() - began) / NS_PER_MS;
    printf("p99 on three workers: %.0f us, beside a stuck one %.0f us; all had their answer after %.1f s\n",
           (double) before_ns / 1000, (double) beside_ns / 1000, (double) took_ms / 1000);
    ck_assert_uint_eq(l->ends[END_OPEN], CLIENTS);
    ck_assert_uint_eq(l->answered, 2 * CLIENTS);
    ITEST_ASSERT(took_ms < DEFAULT_REPLACE_MS + hiccups_allow(MARGIN_MS * ITEST_SLOW),
                 "all had their answer after %llu ms", (unsigned long long) took_ms);
    /* 1.2 times is what is wanted; some milliseconds more, since stalls of the machine are not theirs */
    ITEST_ASSERT(beside_ns <= before_ns * 12 / 10 + hiccups_allow(2 * NS_PER_MS * ITEST_SLOW),
                 "p99 on the other workers went from %llu to %llu us", (unsigned long long) before_ns / 1000,
                 (unsigned long long) beside_ns / 1000);
    unstick(others[0]);
    client_expect_fin(fd);
    for (int i = 0; i < OTHERS; i++)
        close(others[i]);
    ledger_destroy(&l);
    server_finish(&s);
    ck_assert_uint_eq(server_counter(&s, "closed_function_stuck"), 1);
}
END_TEST

/* Ten in a row under load: the ledger is exact each time, and all come back at the end. */
START_TEST(ten_in_a_row)
{
    enum { CLIENTS = 400, ROUNDS = 10 };
    struct server s;
    int stuck[ROUNDS];
    watch_start(&s, NULL, "watch.replace_max=20");
    s.log_lines_max = 20; /* two kinds of line, each with its limit */
    struct bystanders *by = bystanders_start(&s.target, 20, 64, 5);
    struct ledger *l = ledger_create(&s.target, CLIENTS, 100);
    ck_assert_ptr_nonnull(l);
    ck_assert(ledger_connect(l, 10000));
    int other = open_at_worker(&s, 1);
    for (int i = 0; i < ROUNDS; i++) {
        stuck[i] = open_at_worker(&s, 0);
        stick(stuck[i]);
        ledger_ask(l, 10, 2);
        ITEST_ASSERT(ledger_run(l, REPLACE_MS + BACK_MS), "round %d: %llu sent, %llu answered", i,
                     (unsigned long long) l->sent, (unsigned long long) l->answered);
        ck_assert_uint_eq(l->answered, l->sent);
        ck_assert_int_ne(client_ending(stuck[i], NULL, BACK_MS), END_OPEN);
        close(stuck[i]);
    }
    unstick(other);
    close(other);
    ck_assert_uint_eq(l->ends[END_OPEN], CLIENTS);
    ledger_destroy(&l);
    bystanders_finish(&by);
    server_finish(&s);
    ck_assert_uint_eq(server_counter(&s, "closed_function_stuck"), ROUNDS);
    ck_assert_uint_eq(server_counter(&s, "alarm_replaced"), ROUNDS);
    ck_assert_uint_eq(server_counter(&s, "alarm_back"), 0);
}
END_TEST

START_TEST(not_too_many_a_minute)
{
    struct server s;
    watch_start(&s, NULL, "watch.replace_max=1");
    int other = open_at_worker(&s, 1), first = open_at_worker(&s, 0), second = open_at_worker(&s, 0);
    stick(first);
    wait_counter(other, "alarm_replaced", 1);
    stick(second);
    wait_counter(other, "alarm_limit", 1);
    ck_assert_uint_eq(counter_on(other, "alarm_replaced"), 1);
    unstick(other);
    ck_assert_uint_eq(client_recv_packet(second, TEST_STICK, &(uint32_t){0}, 4), 4);
    client_expect_fin(first);
    close(second);
    close(other);
    server_finish(&s);
}
END_TEST

/* Whether an answer comes, or else the end. */
static bool is_answered(int fd)
{
    struct pollfd p = {.fd = fd, .events = POLLIN};
    char got[64];
    ITEST_ASSERT(poll(&p, 1, BACK_MS) == 1, "neither an answer nor an end");
    return recv(fd, got, sizeof got, 0) > 0;
}

/* It returns just when it is to be replaced, over and over: either it goes on or it is gone, never both. */
START_TEST(it_returns_in_that_moment)
{
    enum { ROUNDS = 40 };
    struct server s;
    unsigned ended = 0;
    server_start(&s, "testapp", "watch.warn_ms=10", "watch.replace_ms=20", "watch.replace_max=1000", NULL);
    s.log_lines_max = 20; /* two kinds of line, each with its limit */
    struct bystanders *by = bystanders_start(&s.target, 10, 64, 1);
    for (uint32_t i = 0; i < ROUNDS; i++) {
        int fd = open_at_worker(&s, 0);
        send_number(fd, TEST_SLEEP, 18 + i % 15);
        ended += is_answered(fd) ? 0 : 1;
        close(fd);
    }
    bystanders_stop(&by);
    server_finish(&s);
    ck_assert_uint_le(server_counter(&s, "closed_function_stuck"), server_counter(&s, "alarm_replaced"));
    ck_assert_uint_eq(server_counter(&s, "closed_function_stuck"), ended);
}
END_TEST

/* ---- Stopping ---- */

START_TEST(a_stop_does_not_wait_for_ever)
{
    struct server s;
    char replace_option[64];
    snprintf(replace_option, sizeof replace_option, "watch.replace_ms=%u", _i == 0 ? 0 : REPLACE_MS);
    server_start(&s, "testapp", "watch.warn_ms=100", replace_option, "server.drain_timeout=2", NULL);
    int stuck = open_at_worker(&s, 0), fd = open_at_worker(&s, 0), other = open_at_worker(&s, 1);
    stick(stuck);
    client_echo(other, 10);
    if (_i == 1)
        client_echo(fd, 10); /* it has been replaced */
    stop_beside_stuck(&s, 4000);
    close(stuck);
    close(fd);
    close(other);
}
END_TEST

/* ---- Master, clocks ---- */

/* The master hangs: workers go on, who comes meanwhile waits in the backlog and is served later, nobody is
 * accused. */
START_TEST(a_stalled_master)
{
    enum { NEWCOMERS = 50 };
    struct server s;
    uint32_t ms = 1000 * ITEST_SLOW, back;
    int fds[NEWCOMERS];
    watch_start(&s, NULL, NULL);
    int fd = client_open(&s);
    ck_assert_uint_eq(client_ask(fd, TEST_STALL, &ms, sizeof ms, &back, sizeof back), sizeof back);
    wait_counter(fd, "master_stalls", 1);
    for (int i = 0; i < NEWCOMERS; i++)
        fds[i] = client_open(&s);
    uint64_t began = mono_ns();
    for (int i = 0; i < 100; i++)
        client_echo(fd, 100);
    ITEST_ASSERT(counter_on(fd, "master_returns") == 0 || mono_ns() - began > ms * NS_PER_MS / 2,
                 "the master was back before it was looked at");
    for (int i = 0; i < NEWCOMERS; i++) {
        client_echo(fds[i], 100);
        close(fds[i]);
    }
    ck_assert_uint_eq(counter_on(fd, "watch_stuck"), 0);
    close(fd);
    server_finish(&s);
}
END_TEST

/* The time of day goes forward and back by an hour, the monotonic clock on by hours: nobody is too late, nobody
 * has hung. Deadlines go on working. */
START_TEST(clocks_that_jump)
{
    enum { CLIENTS = 50 };
    struct server s;
    char env[PRELOAD_ENV];
    const char *const envs[] = {env, NULL};
    const char *const args[] = {"server.timeout=3", "server.packet_timeout=3", "watch.warn_ms=1000", NULL};
    struct clock_board *clock = preload_clock(env);
    server_launch(&s, &(struct launch){.program = "testapp", .args = args, .preload = "clock", .env = envs});
    struct bystanders *by = bystanders_start(&s.target, CLIENTS, 64, 100);
    int other = open_at_worker(&s, 1), slow = open_at_worker(&s, 0);
    uint32_t ms = 300;
    for (int i = 0; i < 4; i++) {
        client_send_packet(slow, TEST_SLEEP, &ms, sizeof ms); /* a function runs over the jump */
        client_echo(other, 10);
        atomic_store(&clock->wall_s, i % 2 == 0 ? 3600 : -3600);
        atomic_fetch_add(&clock->run_s, 3600);
        ck_assert_uint_eq(client_recv_packet(slow, TEST_SLEEP, &(uint32_t){0}, 4), 4);
        client_echo(other, 10);
    }
    ck_assert_uint_gt(atomic_load(&clock->asked), 100);
    bystanders_finish(&by);
    ck_assert_uint_eq(counter_on(other, "watch_stuck"), 0);
    ck_assert_uint_eq(counter_on(other, "closed_idle_timeout"), 0);
    ck_assert_int_eq(client_ending(slow, NULL, 6000), END_FIN); /* silence is still noticed */
    close(slow);
    close(other);
    server_finish(&s);
}
END_TEST

START_TEST(watching_can_be_switched_off)
{
    struct server s;
    server_start(&s, "testapp", "watch.warn_ms=0", NULL);
    int fd = open_at_worker(&s, 0);
    uint32_t ms = 400, back;
    ck_assert_uint_eq(client_ask(fd, TEST_SLEEP, &ms, sizeof ms, &back, sizeof back), sizeof back);
    close(fd);
    server_finish(&s);
    ck_assert_uint_eq(server_counter(&s, "watch_stuck"), 0);
}
END_TEST

Suite *watch_suite(void)
{
    Suite *s = suite_create("watch");
    TCase *c = itest_case(s, "warning", 30);
    tcase_add_test(c, short_ones_are_not_reported);
    tcase_add_test(c, one_that_blocks_is_reported_and_comes_back);
    tcase_add_test(c, a_stopped_process_accuses_nobody);
    tcase_add_test(c, all_workers_stuck_still_take_newcomers);
    tcase_add_test(c, watching_can_be_switched_off);
    c = itest_case(s, "replacing", 40);
    tcase_add_loop_test(c, another_thread_takes_its_place, 0, STRIKES);
    tcase_add_test(c, stuck_in_the_connected_hook);
    tcase_add_test(c, ten_thousand_connections);
    tcase_add_test(c, ten_in_a_row);
    tcase_add_test(c, not_too_many_a_minute);
    tcase_add_test(c, it_returns_in_that_moment);
    c = itest_case(s, "master and clocks", 30);
    tcase_add_test(c, a_stalled_master);
    tcase_add_test(c, clocks_that_jump);
    c = itest_case(s, "stopping", 20);
    tcase_add_loop_test(c, a_stop_does_not_wait_for_ever, 0, 2);
    return s;
}
