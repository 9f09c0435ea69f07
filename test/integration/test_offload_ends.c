/*
 * test_offload_ends.c: functions that may block, on the threads of the pool, and what ends while they run: their
 * connection, their thread, their worker, the server.
 */
#include "offloaded.h"

#include <arpa/inet.h>
#include <dirent.h>
#include <signal.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/socket.h>
#include <unistd.h>

#include "program.h"
#include "test_ledger.h"

/* ---- The end meanwhile ---- */

/* Goal: a client that closes its sending side gets its answer; one that resets, or is closed by another function, does
 * not, and its end hook waits for the function. */
START_TEST(ends_meanwhile)
{
    static const uint16_t kinds[] = {TEST_OFFLOADED, TEST_CONCURRENT};
    struct server s;
    START(&s, "server.workernum=1");
    for (int i = 0; i < 2; i++) {
        uint16_t sleep = (uint16_t) (TEST_SLEEP + kinds[i]);
        uint64_t jobs = server_counter(&s, "offload_jobs");
        int half = client_open(&s), reset = client_open(&s), victim = client_open(&s),
            other = client_open(&s);
        send_number(half, sleep, 200);
        shutdown(half, SHUT_WR);
        send_number(reset, sleep, 300);
        send_number(victim, sleep, 400);
        server_wait_counter(&s, "offload_jobs", jobs + 3, 3000);
        client_reset(reset);
        struct sockaddr_in name;
        socklen_t len = sizeof name;
        getsockname(victim, (struct sockaddr *) &name, &len);
        uint32_t port = ntohs(name.sin_port);
        uint8_t found = 0;
        client_ask(other, TEST_CLOSE_OTHER, &port, sizeof port, &found, sizeof found);
        ck_assert_uint_eq(found, 1);
        client_expect_fin(victim); /* at once, whatever its function does */
        ck_assert_uint_eq(recv_number(half, sleep), 200);
        client_expect_fin(half);
        close(other);
        server_wait_fds(&s, s.fds, 3000);
    }
    server_finish(&s);
    expect_sound(&s);
    ck_assert_uint_ge(server_counter(&s, "offload_dropped") + server_counter(&s, "offload_cancelled"), 2);
    ck_assert_uint_eq(server_counter(&s, "closed_function_closed"), 2);
    ck_assert_uint_eq(server_counter(&s, "closed_reset"), 2);
}
END_TEST

/* Goal: clients that come, ask and go, by FIN and by RST, while their functions nap and the queue is full: the accounts
 * balance. */
START_TEST(churn_under_a_full_queue)
{
    struct server s;
    unsigned seed = 5;
    START(&s, "server.workernum=2", "offload.threads=3", "offload.queue=2");
    struct bystanders *b = bystanders_start(&s.target, 3, 50, 1);
    for (int i = 0; i < 600 / ITEST_SLOW; i++) {
        int fd = client_open(&s);
        for (int k = rand_r(&seed) % 5; k >= 0; k--)
            send_number(fd, rand_r(&seed) % 2 ? AWAY(TEST_NAP) : LOOSE(TEST_NAP), 1);
        if (rand_r(&seed) % 2)
            close(fd);
        else
            client_reset(fd);
    }
    bystanders_finish(&b);
    server_finish(&s);
    expect_sound(&s);
}
END_TEST

/* Goal: a connection whose function takes longer than the timeouts is not silent, nor is the half packet behind it
 * late: the server is slow. */
START_TEST(timeouts_wait_for_the_function)
{
    static const uint16_t kinds[] = {TEST_OFFLOADED, TEST_CONCURRENT};
    struct server s;
    unsigned char packet[32];
    size_t n = client_packet(packet, TEST_ECHO, "12345678", 8);
    START(&s, "server.workernum=1", "server.timeout=1", "server.packet_timeout=1");
    for (int i = 0; i < 2; i++) {
        int fd = client_open(&s);
        send_number(fd, (uint16_t) (TEST_SLEEP + kinds[i]), 2500);
        if (i == 0)
            client_send(fd, packet, n - 1);
        ck_assert_uint_eq(recv_number(fd, (uint16_t) (TEST_SLEEP + kinds[i])), 2500);
        itest_sleep(500); /* time itself is the matter: silence begins with the answer */
        if (i == 0) {
            client_send(fd, packet + n - 1, 1);
            client_recv(fd, packet, n);
        }
        client_echo(fd, 5);
        close(fd);
    }
    server_finish(&s);
    expect_sound(&s);
    ck_assert_uint_eq(server_counter(&s, "closed_peer_closed"), server_counter(&s, "closed"));
}
END_TEST

/* ---- Clients that go before a thread has taken their packets ---- */

/* Goal: while the one thread is busy, clients send and go: by a reset, closed by another's function, by a reset
 * while in line for a job, which shows only when they are first. What no thread has taken never runs, is counted,
 * and holds nothing up: end hooks run, descriptors go. */
START_TEST(who_has_gone_is_not_run_for)
{
    enum { EACH = 5 };
    struct server s;
    START(&s, "server.workernum=1", "offload.threads=1", "offload.queue=11");
    int busy = client_open(&s), gone = client_open(&s), closed = client_open(&s), in_line = client_open(&s);
    send_number(busy, LOOSE(TEST_STICK), TEST_IN_FUNCTION);
    server_wait_counter(&s, "offload_jobs", 1, 3000);
    for (uint32_t i = 0; i < EACH; i++) {
        send_number(gone, LOOSE(TEST_ECHO), i);
        send_number(closed, i == 0 ? AWAY(TEST_ECHO) : LOOSE(TEST_ECHO),
                    i); /* one is out, four are carried */
    }
    send_number(busy, LOOSE(TEST_ECHO), 77);
    server_wait_counter(&s, "offload_jobs", 1 + EACH + 1 + 1, 3000);
    for (uint32_t i = 0; i < EACH; i++)
        send_number(in_line, LOOSE(TEST_ECHO), i);
    server_wait_counter(&s, "offload_full", 1, 3000);
    uint64_t functions = server_counter(&s, "functions");
    client_reset(gone);
    client_reset(in_line);
    struct sockaddr_in name;
    socklen_t len = sizeof name;
    getsockname(closed, (struct sockaddr *) &name, &len);
    uint32_t port = ntohs(name.sin_port);
    uint8_t found = 0;
    client_ask(busy, TEST_CLOSE_OTHER, &port, sizeof port, &found, sizeof found);
    ck_assert_uint_eq(found, 1);
    client_expect_fin(closed);
    server_wait_counter(&s, "offload_cancelled", EACH + 1, 3000);
    server_wait_counter(&s, "hook_end_error", 1, 3000); /* while the thread is as busy as before */
    ck_assert_uint_eq(server_counter(&s, "closed_reset"), 1);
    client_send_packet(busy, TEST_UNSTICK, NULL, 0);
    unsigned char answers[8 + 12 + 12];
    client_recv(busy, answers, sizeof answers); /* of the last, the first and the one between, in any order */
    server_wait_counter(&s, "closed_reset", 2, 3000);
    ck_assert_uint_eq(server_counter(&s, "functions") - functions, 3);
    ck_assert_uint_ge(server_counter(&s, "offload_cancelled"), EACH + 1 + 3);
    for (uint32_t i = 0; i < 30; i++) { /* all jobs are there again */
        send_number(busy, AWAY(TEST_ECHO), i);
        ck_assert_uint_eq(recv_number(busy, AWAY(TEST_ECHO)), i);
    }
    close(busy);
    server_finish(&s);
    expect_sound(&s);
    ck_assert_uint_eq(server_counter(&s, "offload_dropped"), 0);
}
END_TEST

/* Goal: the same at a stop: it waits for what runs, not for what would only run for clients that have gone. */
START_TEST(a_stop_does_not_run_for_who_has_gone)
{
    enum { CLIENTS = 40, EACH_MS = 200 };
    struct server s;
    START(&s, "server.workernum=2", "offload.threads=1", "server.drain_timeout=9");
    for (int i = 0; i < CLIENTS; i++) {
        int fd = client_open(&s);
        send_number(fd, i % 2 ? AWAY(TEST_SLEEP) : LOOSE(TEST_SLEEP), EACH_MS);
        server_wait_counter(&s, "offload_jobs", (uint64_t) i + 1, 3000);
        client_reset(fd);
    }
    uint64_t began = mono_ns();
    server_signal(&s, SIGTERM);
    ck_assert_int_eq(server_wait_exit(&s, 8000), 0);
    ck_assert_uint_lt(itest_ms_since(began), (unsigned) CLIENTS * EACH_MS / 2);
    server_check(&s);
    expect_sound(&s);
    ck_assert_uint_ge(server_counter(&s, "offload_cancelled"), CLIENTS / 2);
}
END_TEST

/* Goal: clients come, ask and go at random moments, a few threads race for their packets: each packet runs once or is
 * cancelled, never both, never neither. */
START_TEST(each_runs_or_is_cancelled)
{
    struct server s;
    unsigned seed = 11;
    uint64_t sent = 0;
    START(&s, "server.workernum=2", "offload.threads=4", "offload.queue=32");
    struct bystanders *b = bystanders_start(&s.target, 3, 50, 1);
    for (int i = 0; i < 1500 / ITEST_SLOW; i++) {
        int fd = client_open(&s), n = rand_r(&seed) % 6;
        for (int k = 0; k < n; k++)
            send_number(fd, rand_r(&seed) % 3 ? LOOSE(TEST_ECHO) : AWAY(TEST_ECHO), 1);
        sent += (uint64_t) n;
        if (rand_r(&seed) % 4 == 0) {
            unsigned char answers[5 * 12];
            client_recv(fd, answers, (size_t) n * 12);
        }
        client_reset(fd);
    }
    bystanders_finish(&b);
    server_finish(&s);
    expect_sound(&s);
    ck_assert_uint_le(server_counter(&s, "offload_jobs"), sent);
    ck_assert_uint_eq(server_counter(&s, "offload_jobs"),
                      server_counter(&s, "offload_cancelled") + server_counter(&s, "functions_away"));
}
END_TEST

/* ---- Threads that die ---- */

static unsigned threads_of(const struct server *s)
{
    char path[64];
    unsigned n = 0;
    snprintf(path, sizeof path, "/proc/%d/task", (int) s->pid);
    DIR *d = opendir(path);
    for (struct dirent *e; d != NULL && (e = readdir(d)) != NULL;)
        n += e->d_name[0] != '.';
    if (d != NULL)
        closedir(d);
    return n;
}

/* Goal: a thread that ends in a function, by pthread_exit or cancelled, ends that connection with its own reason, drops
 * what it wrote, and is replaced: with two threads forty may die. */
START_TEST(threads_die_and_are_replaced)
{
    enum { COUNT = 40 };
    struct server s;
    START(&s, "server.workernum=1", "offload.threads=2");
    s.log_lines_max = 200;
    unsigned threads = threads_of(&s);
    struct bystanders *b = bystanders_start(&s.target, 3, 50, 1);
    int kept = client_open(&s);
    for (uint32_t i = 0; i < COUNT; i++) {
        int fd = client_open(&s);
        send_number(fd, i % 3 ? AWAY(TEST_VANISH) : LOOSE(TEST_VANISH), i % 2);
        client_expect_fin(fd);
        send_number(kept, AWAY(TEST_ECHO), i);
        ck_assert_uint_eq(recv_number(kept, AWAY(TEST_ECHO)), i);
    }
    ck_assert_uint_le(threads_of(&s), threads + 1); /* the last one may still be going */
    close(kept);
    bystanders_finish(&b);
    server_finish(&s);
    expect_sound(&s);
    ck_assert_uint_eq(server_counter(&s, "closed_function_died"), COUNT);
    ck_assert_uint_eq(server_counter(&s, "offload_died"), COUNT);
    ck_assert_uint_ge(server_counter(&s, "hook_end_error"), COUNT);
}
END_TEST

/* Goal: a worker sticks in an inline function while others of its connections have functions out, and stand in line for
 * one: its successor takes the replies that come back, and serves the line. */
START_TEST(a_successor_finds_what_is_out)
{
    enum { COUNT = 20 };
    struct server s;
    int fds[COUNT];
    START(&s, "server.workernum=1", "offload.threads=4", "offload.queue=8", "watch.warn_ms=100",
          "watch.replace_ms=200");
    for (uint32_t i = 0; i < COUNT; i++) {
        fds[i] = client_open(&s);
        send_number(fds[i], i % 2 ? AWAY(TEST_SLEEP) : LOOSE(TEST_SLEEP), 100);
        send_number(fds[i], AWAY(TEST_ECHO), i);
    }
    server_wait_counter(&s, "offload_full", COUNT - 8, 3000);
    int stuck = client_open(&s);
    send_number(stuck, AWAY(TEST_ECHO), 1);
    send_number(stuck, TEST_STICK, TEST_IN_FUNCTION);
    for (uint32_t i = 0; i < COUNT; i++) {
        unsigned char got[24];
        client_recv(fds[i], got, sizeof got); /* both answers, in any order if one is concurrent */
        if (i % 2)
            ck_assert_int_eq(memcmp(got + 8, (uint32_t[]){100}, 4) | memcmp(got + 20, &i, 4), 0);
    }
    server_wait_counter(&s, "watch_replaced", 1, 3000); /* where it stuck late, the answers came before */
    client_send_packet(fds[0], TEST_UNSTICK, NULL, 0);
    server_wait_counter(&s, "watch_buried", 1, 3000);
    for (uint32_t i = 0; i < COUNT; i++)
        close(fds[i]);
    close(stuck);
    server_finish(&s);
    expect_sound(&s);
    ck_assert_uint_eq(server_counter(&s, "closed_function_stuck"), 1);
    ck_assert_uint_eq(server_counter(&s, "offload_dropped"), 0);
}
END_TEST

/* ---- Stopping ---- */

/* Goal: TERM while functions run and others wait for a thread: all that arrived is answered, exit code 0. */
START_TEST(stop_with_functions_out)
{
    struct server s;
    START(&s, "server.workernum=2", "offload.threads=8", "offload.queue=16", "server.drain_timeout=8");
    struct ledger *l = ledger_create(&s.target, 100, 60);
    ck_assert(l != NULL && ledger_connect(l, 5000));
    l->exchange.akg_id = AWAY(TEST_NAP);
    ledger_ask(l, 1, 1);
    ck_assert(ledger_run(l, 10000));
    server_signal(&s, SIGSTOP);
    ledger_ask(l, 5, 5);
    ck_assert(!ledger_run(l, 100));
    ck_assert_uint_eq(l->sent, 600);
    server_signal(&s, SIGTERM);
    server_signal(&s, SIGCONT);
    ck_assert(ledger_run_to_end(l, 10000));
    ck_assert_uint_eq(l->answered, 600);
    ck_assert_uint_eq(l->ends[END_FIN], 100);
    ck_assert_int_eq(server_wait_exit(&s, 8000), 0);
    ledger_destroy(&l);
    server_check(&s);
    expect_sound(&s);
}
END_TEST

/* Goal: a second TERM ends the connections, whose functions and places in line are still to come; the server waits for
 * the functions, runs all end hooks, exit code 0. */
START_TEST(stop_at_once_with_functions_out)
{
    struct server s;
    size_t extra;
    int fds[20];
    START(&s, "server.workernum=1", "offload.threads=2", "offload.queue=4", "server.drain_timeout=9");
    for (int i = 0; i < 20; i++) {
        fds[i] = client_open(&s);
        send_number(fds[i], i % 2 ? AWAY(TEST_SLEEP) : LOOSE(TEST_SLEEP), 200);
    }
    server_wait_counter(&s, "offload_full", 16, 3000);
    server_signal(&s, SIGTERM);
    server_wait_log(&s, "stopping: no new", 2000);
    server_signal(&s, SIGTERM);
    for (int i = 0; i < 20; i++) {
        ck_assert_int_ne(client_ending(fds[i], &extra, 2000), END_TIMEOUT);
        close(fds[i]);
    }
    ck_assert_int_eq(server_wait_exit(&s, 3000), 0);
    server_check(&s);
    expect_sound(&s);
    ck_assert_uint_ge(server_counter(&s, "offload_dropped"), 2);
}
END_TEST

/* Goal: a function that never returns: a stop keeps its deadline, names the function, and the exit code is 3. */
START_TEST(a_function_that_never_returns)
{
    struct server s;
    START(&s, "server.workernum=2", "offload.threads=2", "server.drain_timeout=1");
    int fd = client_open(&s);
    client_send_packet(fd, AWAY(TEST_HANG), NULL, 0);
    server_wait_counter(&s, "offload_jobs", 1, 2000);
    uint64_t begin = mono_ns();
    server_signal(&s, SIGTERM);
    ck_assert_int_eq(server_wait_exit(&s, 3500), 3);
    ck_assert_uint_lt(itest_ms_since(begin), 3500u * ITEST_SLOW);
    char *err = program_slurp(s.err);
    ck_assert_msg(strstr(err, "function 0x7114, offloaded by worker ") != NULL, "not named: %s", err);
    ck_assert_msg(strstr(err, "did not return in time") != NULL, "not said: %s", err);
    ck_assert_ptr_null(strstr(err, "mario: worker"));
    free(err);
    close(fd);
    server_discard(&s);
}
END_TEST

/* Goal: a pool of 0 threads is refused at the start if a function is offloaded, and only then. */
START_TEST(a_pool_of_no_threads)
{
    static const char *const with[] = {"test.offload=on", "offload.threads=0", NULL};
    char out[1000], err[1000];
    struct launch l = {.program = "testapp", .args = with};
    ck_assert_int_eq(itest_run(&l, out, sizeof out, err, sizeof err), 2);
    ck_assert_str_eq(err,
                     "mario: function 0x6203 is offloaded, to a pool of 0 threads: raise offload.threads\n");
    struct server s;
    server_start(&s, "testapp", "offload.threads=0", NULL);
    server_finish(&s);
}
END_TEST

Suite *offload_ends_suite(void)
{
    Suite *s = suite_create("offload_ends");
    TCase *c = itest_case(s, "ends", 30);
    tcase_add_test(c, ends_meanwhile);
    tcase_add_test(c, churn_under_a_full_queue);
    tcase_add_test(c, timeouts_wait_for_the_function);
    tcase_add_test(c, who_has_gone_is_not_run_for);
    tcase_add_test(c, a_stop_does_not_run_for_who_has_gone);
    tcase_add_test(c, each_runs_or_is_cancelled);
    tcase_add_test(c, threads_die_and_are_replaced);
    tcase_add_test(c, a_successor_finds_what_is_out);
    c = itest_case(s, "stop", 30);
    tcase_add_test(c, stop_with_functions_out);
    tcase_add_test(c, stop_at_once_with_functions_out);
    tcase_add_test(c, a_function_that_never_returns);
    tcase_add_test(c, a_pool_of_no_threads);
    return s;
}
