/*
 * test_overload.c: more of everything than there is: descriptors, places in pools, room in rings; and accept
 * and epoll that fail in every way. The server refuses by name or waits, never spins, and those it serves do
 * not notice.
 */
#include <errno.h>
#include <fcntl.h>
#include <signal.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/resource.h>
#include <unistd.h>

#include "harness.h"
#include "preloads.h"
#include "test/apps/testapp/commands.h"
#include "test_ledger.h"

static struct ledger *connect_many(const struct net_target *t, uint32_t n)
{
    struct ledger *l = ledger_create(t, n, 100);
    ck_assert_msg(l != NULL, "no memory or descriptors for %u clients", n);
    ck_assert_msg(ledger_connect(l, 10000), "%u clients cannot connect: %u refused", n, l->ends[END_REFUSED]);
    return l;
}

/* Let all ask `each` times; all that live must be answered. */
static void ask_all(struct ledger *l, uint32_t each)
{
    ledger_ask(l, each, 1);
    ck_assert_msg(ledger_run(l, 10000), "%llu asked, %llu answered", (unsigned long long) l->sent,
                  (unsigned long long) l->answered);
}

/* Percent of one core that the server uses while `ms` pass. */
static double cpu_percent(const struct server *s, unsigned ms)
{
    uint64_t cpu = server_cpu_ns(s), begin = mono_ns();
    itest_sleep(ms);
    return 100.0 * (double) (server_cpu_ns(s) - cpu) / (double) (mono_ns() - begin);
}

static void check_idle(const struct server *s, double most)
{
    double is = cpu_percent(s, 1000);
    ck_assert_msg(is < most * ITEST_SLOW, "%.1f %% CPU while there is nothing to do; at most %.1f", is, most);
}

/* ---- Descriptors ---- */

/* Lower the limit of a running server to the descriptors it has and `more`. */
static void limit_to(const struct server *s, unsigned more)
{
    struct rlimit r = {.rlim_cur = server_fds(s) + more, .rlim_max = 20000};
    ck_assert_msg(prlimit(s->pid, RLIMIT_NOFILE, &r, NULL) == 0, "prlimit: %s", strerror(errno));
}

/* Goal: 256 descriptors and 400 clients: connnum fits under the limit whatever the number of workers, so the
 * rest is refused and counted, EMFILE never happens, and CPU and log stay quiet. */
START_TEST(the_limit_is_known)
{
    static const char *const workers[] = {"server.workernum=2", "server.workernum=16"};
    const char *args[] = {workers[_i], NULL};
    struct server s;
    server_launch(&s, &(struct launch){.program = "maritcp", .args = args, .nofile = 256});
    s.log_lines_max = 2;
    struct ledger *l = connect_many(&s.target, 400);
    ask_all(l, 2);
    uint32_t served = l->ends[END_OPEN];
    ck_assert_msg(served > 50 && served < 256, "%u are served", served);
    ck_assert_uint_eq(l->answered, 2 * served);
    check_idle(&s, 2);
    ledger_destroy(&l);
    server_finish(&s);
}
END_TEST

/* Goal: descriptors run out in accept: no spin, a line a second, those inside are served; a descriptor that
 * gets free is used within 100 ms. */
START_TEST(descriptors_run_out)
{
    static const char *const args[] = {"server.workernum=2", "server.connnum=1000", NULL};
    struct server s;
    server_launch(&s, &(struct launch){.program = "testapp", .args = args});
    s.log_lines_max = 3;
    limit_to(&s, 100);
    struct ledger *in = connect_many(&s.target, 100);
    ask_all(in, 1);
    struct ledger *out = connect_many(&s.target, 50); /* in the kernel's backlog */
    ledger_ask(out, 1, 1);
    ck_assert(!ledger_run(out, 200 / ITEST_SLOW));
    ck_assert_uint_eq(out->answered, 0);
    check_idle(&s, 2);
    for (uint32_t i = 0; i < 20; i++) {
        uint64_t begin = mono_ns();
        ledger_close(in, i, false);
        while (out->answered == i) {
            ledger_turn(out, 1);
            ck_assert_msg(mono_ns() - begin < 100 * NS_PER_MS * ITEST_SLOW,
                          "no answer 100 ms after a descriptor got free");
        }
    }
    ask_all(in, 20);
    ck_assert_uint_eq(out->ends[END_OPEN], 50); /* nobody was thrown out */
    ledger_destroy(&in);
    ck_assert(ledger_run(out, 2000));
    ck_assert_uint_eq(out->answered, 50);
    ledger_destroy(&out);
    server_wait_fds(&s, s.fds, 5000);
    server_stop(&s);
    ck_assert_uint_ge(server_counter(&s, "accept_emfile"), 10);
    ck_assert_uint_ge(server_counter(&s, "accept_pauses"), 10);
}
END_TEST

/* Goal: TERM while descriptors are out: those inside are answered, exit 0 in time. */
START_TEST(a_stop_without_descriptors)
{
    struct server s;
    server_start(&s, "testapp", "server.workernum=2", "server.drain_timeout=3", NULL);
    limit_to(&s, 50);
    struct ledger *in = connect_many(&s.target, 50);
    ask_all(in, 1);
    struct ledger *out = connect_many(&s.target, 10);
    ledger_ask(in, 5, 5);
    ck_assert(!ledger_run(in, 0));
    server_signal(&s, SIGTERM);
    ck_assert(ledger_run_to_end(in, 3000));
    ck_assert_uint_eq(in->answered, 50 * 6);
    ck_assert_uint_eq(in->ends[END_FIN], 50);
    ck_assert(ledger_run_to_end(out, 3000));
    ck_assert_int_eq(server_wait_exit(&s, 3000), 0);
    ledger_destroy(&in);
    ledger_destroy(&out);
    server_check(&s);
}
END_TEST

/* ---- Accept and epoll fail ---- */

static const struct errno_row {
    int error;
    const char *counter;
} errno_rows[] = {
    {EMFILE, "accept_emfile"},    {ENFILE, "accept_enfile"}, {ENOBUFS, "accept_enobufs"},
    {ENOMEM, "accept_enomem"},    {EPERM, "accept_eperm"},   {ECONNABORTED, "accept_econnaborted"},
    {EINTR, "accept_eintr"},      {EPROTO, "accept_other"},  {ENETDOWN, "accept_other"},
    {EOPNOTSUPP, "accept_other"},
};

/* Goal: accept fails once, then for ever, with each errno: counted under its name, no spin, served again when
 * it is over. */
START_TEST(accept_fails)
{
    const struct errno_row *row = &errno_rows[_i];
    char env[PRELOAD_ENV];
    struct inject_board *board = preload_inject(env);
    const char *const envs[] = {env, NULL};
    const char *const args[] = {"server.workernum=2", NULL};
    struct server s;
    server_launch(&s, &(struct launch){.program = "testapp", .args = args, .preload = "inject", .env = envs});
    s.log_lines_max = 3;
    struct ledger *in = connect_many(&s.target, 5);
    ask_all(in, 1);
    inject_next(board, INJECT_accept4, row->error, 1);
    int fd = client_open(&s);
    client_echo(fd, 10); /* once: it is accepted all the same */
    ck_assert_uint_eq(server_counter(&s, row->counter), 1);
    uint32_t failed = atomic_load(&board->row[INJECT_accept4].failed);
    inject_next(board, INJECT_accept4, row->error, INJECT_FOR_EVER);
    struct ledger *out = connect_many(&s.target, 5);
    ledger_ask(out, 1, 1);
    double cpu = cpu_percent(&s, 700);
    failed = atomic_load(&board->row[INJECT_accept4].failed) - failed;
    ck_assert_msg(cpu < 3 * ITEST_SLOW, "%.1f %% CPU while accept fails", cpu);
    ck_assert_msg(failed > 3 && failed < 1000, "accept was called %u times in 700 ms", failed);
    ask_all(in, 10);
    ck_assert_uint_eq(out->answered, 0);
    inject_set(board, INJECT_accept4, 0, 0, 0);
    ck_assert(ledger_run(out, 2000));
    ck_assert_uint_eq(out->answered, 5);
    close(fd);
    ledger_destroy(&in);
    ledger_destroy(&out);
    failed = atomic_load(&board->row[INJECT_accept4].failed);
    server_finish(&s);
    ck_assert_uint_eq(server_counter(&s, row->counter), failed);
}
END_TEST

/* Goal: epoll will not watch a new connection: it closes, counted, no hook; the others go on, and so does the
 * next one. */
START_TEST(epoll_does_not_take_a_connection)
{
    char env[PRELOAD_ENV];
    struct inject_board *board = preload_inject(env);
    const char *const envs[] = {env, NULL};
    const char *const args[] = {"server.workernum=1", NULL};
    struct server s;
    server_launch(&s, &(struct launch){.program = "testapp", .args = args, .preload = "inject", .env = envs});
    struct ledger *in = connect_many(&s.target, 5);
    ask_all(in, 1);
    for (int i = 0; i < 10; i++) {
        server_wait_fds(&s, s.fds + 5,
                        2000); /* the one before is gone, so the next call is for the new one */
        inject_next(board, INJECT_epoll_ctl, i % 2 ? ENOSPC : ENOMEM, 1);
        int fd = client_open(&s);
        size_t extra;
        ck_assert_int_ne(client_ending(fd, &extra, 2000), END_TIMEOUT);
        ck_assert_uint_eq(extra, 0);
        close(fd);
        fd = client_open(&s);
        client_echo(fd, 10);
        close(fd);
    }
    ask_all(in, 5);
    ledger_destroy(&in);
    server_finish(&s);
    ck_assert_uint_eq(server_counter(&s, "closed_poll_failed"), 10);
}
END_TEST

/* Goal: epoll fails when a connection's output is to be watched: that connection closes with its end hook,
 * the others go on. */
START_TEST(epoll_does_not_take_a_change)
{
    char env[PRELOAD_ENV];
    struct inject_board *board = preload_inject(env);
    const char *const envs[] = {env, NULL};
    const char *const args[] = {"server.workernum=1", "output.max=64m", NULL};
    struct server s;
    uint32_t n = 32 * 1024 * 1024;
    server_launch(&s, &(struct launch){.program = "testapp", .args = args, .preload = "inject", .env = envs});
    struct ledger *in = connect_many(&s.target, 5);
    ask_all(in, 1);
    int fd = client_open(&s);
    client_echo(fd, 10);
    inject_next(board, INJECT_epoll_ctl, ENOMEM, INJECT_FOR_EVER);
    client_send_packet(fd, TEST_REPLY, &n, sizeof n);
    server_wait_fds(&s, s.fds + 5, 5000); /* the kernel takes no more, and then nor does epoll */
    size_t extra;
    ck_assert_int_ne(client_ending(fd, &extra, 5000), END_TIMEOUT);
    ck_assert_uint_lt(extra, n);
    inject_set(board, INJECT_epoll_ctl, 0, 0, 0);
    close(fd);
    ask_all(in, 5);
    ledger_destroy(&in);
    server_finish(&s);
    ck_assert_uint_eq(server_counter(&s, "closed_poll_failed"), 1);
    ck_assert_uint_eq(server_counter(&s, "hook_connected"), server_counter(&s, "opened"));
}
END_TEST

/* ---- Pools ---- */

/* Goal: pools for 1,000 and 1,200 clients: exactly 200 are refused, at once and counted; the 1,000 lose
 * nothing. */
START_TEST(all_pools_are_full)
{
    struct server s;
    server_start(&s, "testapp", "server.workernum=2", "server.connnum=500", NULL);
    struct ledger *in = connect_many(&s.target, 1000);
    ask_all(in, 2);
    ledger_ask(in, 30, 1);
    struct ledger *out = connect_many(&s.target, 200);
    ck_assert(ledger_run(in, 10000));
    ck_assert(ledger_run_to_end(out, 2000));
    ck_assert_uint_eq(out->ends[END_FIN] + out->ends[END_RST], 200);
    ck_assert_uint_eq(out->answered, 0);
    ck_assert_uint_eq(in->ends[END_OPEN], 1000);
    ck_assert_uint_eq(in->answered, 1000 * 32);
    check_idle(&s, 2);
    ledger_destroy(&in); /* the places are free again: the same once more */
    server_wait_fds(&s, s.fds, 5000);
    in = connect_many(&s.target, 1000);
    ask_all(in, 2);
    ck_assert_uint_eq(in->answered, 2000);
    ledger_destroy(&in);
    ledger_destroy(&out);
    server_finish(&s);
    ck_assert_uint_eq(server_counter(&s, "refused_full"), 200);
    ck_assert_uint_eq(server_counter(&s, "opened"), 2000);
}
END_TEST

/* The worker that serves the connection. */
static uint32_t worker_of(int fd)
{
    struct test_who who;
    ck_assert_uint_eq(client_ask(fd, TEST_WHO, NULL, 0, &who, sizeof who), sizeof who);
    return who.worker;
}

/* Goal: round-robin while all have room; with one worker's pool full the next one with room takes it, until
 * none has. */
START_TEST(one_pool_is_full)
{
    enum { WORKERS = 4, EACH = 10, ALL = WORKERS * EACH };
    struct server s;
    int fds[ALL];
    uint32_t has[WORKERS] = {0};
    server_start(&s, "testapp", "server.workernum=4", "server.connnum=10", NULL);
    for (int i = 0; i < ALL; i++) {
        fds[i] = client_open(&s);
        ck_assert_uint_eq(worker_of(fds[i]), i % WORKERS);
    }
    for (int i = 0; i < ALL; i++) { /* free places: 10 of worker 1, 3 of worker 2 */
        uint32_t w = worker_of(fds[i]);
        if (w == 1 || (w == 2 && i < 12)) {
            close(fds[i]);
            fds[i] = -1;
        }
    }
    server_wait_fds(&s, s.fds + ALL - 13, 5000);
    for (int i = 0; i < ALL; i++) {
        if (fds[i] < 0)
            fds[i] = client_open(&s);
        has[worker_of(fds[i])]++;
    }
    for (int i = 0; i < WORKERS; i++)
        ck_assert_uint_eq(has[i], EACH);
    client_expect_fin(client_open(&s));
    for (int i = 0; i < ALL; i++)
        close(fds[i]);
    server_finish(&s);
    ck_assert_uint_eq(server_counter(&s, "refused_full"), 1);
}
END_TEST

/* Goal: when_full = wait: nobody is refused; those outside wait in the backlog without costing CPU, and come
 * in as places get free, within 100 ms. */
START_TEST(the_full_pool_lets_wait)
{
    struct server s;
    server_start(&s, "testapp", "server.workernum=2", "server.connnum=50", "server.when_full=wait", NULL);
    struct ledger *in = connect_many(&s.target, 100);
    ask_all(in, 1);
    struct ledger *out = connect_many(&s.target, 100);
    ledger_ask(out, 1, 1);
    ck_assert(!ledger_run(out, 200 / ITEST_SLOW));
    check_idle(&s, 2);
    ck_assert_uint_eq(out->answered, 0);
    uint64_t begin = mono_ns();
    ledger_close(in, 7, false);
    while (out->answered == 0) {
        ledger_turn(out, 1);
        ck_assert_msg(mono_ns() - begin < 100 * NS_PER_MS * ITEST_SLOW,
                      "no answer 100 ms after a place got free");
    }
    ask_all(in, 20);
    ledger_destroy(&in);
    ck_assert(ledger_run(out, 5000));
    ck_assert_uint_eq(out->answered, 100);
    ledger_destroy(&out);
    server_finish(&s);
    ck_assert_uint_eq(server_counter(&s, "refused_full"), 0);
    ck_assert_uint_eq(server_counter(&s, "opened"), 200);
}
END_TEST

/* ---- Rings ---- */

enum { RING = 8192 }; /* places in a worker's ring: WORKER_RING in mario/worker.h */

/* A function blocks its worker until the file at path is made. */
static int block_worker(const struct server *s, char *path, size_t size)
{
    int fd = client_open(s);
    client_echo(fd, 10);
    snprintf(path, size, "%s/go-on", s->dir);
    client_send_packet(fd, TEST_WAIT_FILE, path, strlen(path));
    itest_sleep(100); /* so that it does: nothing tells us */
    return fd;
}

static void release_worker(const char *path)
{
    int fd = open(path, O_WRONLY | O_CREAT | O_CLOEXEC, 0600);
    ck_assert_msg(fd >= 0, "%s: %s", path, strerror(errno));
    close(fd);
}

/* Goal: one of three workers is stuck while 10,000 connect: the master does not wait for it; the others serve
 * theirs at once, who is handed to the stuck one is served later, no descriptor is lost. */
START_TEST(a_stopped_worker)
{
    const uint32_t n = 9000 / ITEST_SLOW;
    struct server s;
    char path[128];
    server_start(&s, "testapp", "server.workernum=3", "server.connnum=6000", "watch.replace_ms=0", NULL);
    int busy = block_worker(&s, path, sizeof path);
    struct ledger *l = connect_many(&s.target, n);
    ledger_ask(l, 1, 1);
    uint64_t want = n - (n / 3 < RING ? n / 3 + 1 : RING);
    for (uint64_t end = itest_deadline(8000); l->answered < want && mono_ns() < end;)
        ck_assert(!ledger_run(l, 10) || l->answered == n);
    ck_assert_msg(l->answered >= want, "%llu of at least %llu answered while one worker is stuck",
                  (unsigned long long) l->answered, (unsigned long long) want);
    release_worker(path);
    ck_assert(ledger_run(l, 10000));
    ck_assert_uint_eq(l->answered, n);
    ck_assert_uint_eq(l->ends[END_OPEN], n);
    close(busy);
    ledger_destroy(&l);
    server_finish(&s);
}
END_TEST

static uint32_t refused_of(const struct ledger *l)
{
    return l->ends[END_FIN] + l->ends[END_RST];
}

/* Goal: the only worker is stuck while 10,000 connect: what its ring cannot hold is refused and counted, the
 * rest served later. */
START_TEST(the_only_worker_is_stopped)
{
    const uint32_t n = 9000 / ITEST_SLOW;
    struct server s;
    char path[128];
    server_start(&s, "testapp", "server.workernum=1", "server.connnum=12000", "watch.replace_ms=0", NULL);
    int busy = block_worker(&s, path, sizeof path);
    struct ledger *l = connect_many(&s.target, n);
    ledger_ask(l, 1, 1);
    for (uint64_t end = itest_deadline(8000); refused_of(l) < (n < RING ? 0 : n - RING) && mono_ns() < end;)
        ledger_run(l, 10);
    release_worker(path);
    ck_assert(ledger_run(l, 10000)); /* answered, or refused */
    uint32_t refused = refused_of(l);
    ck_assert_uint_eq(l->answered, n - refused);
    ck_assert_uint_eq(n - refused, n < RING ? n : RING);
    close(busy);
    ledger_destroy(&l);
    server_finish(&s);
    ck_assert_uint_eq(server_counter(&s, "refused_ring"), refused);
    ck_assert_uint_eq(server_counter(&s, "refused_full"), 0);
}
END_TEST

Suite *overload_suite(void)
{
    Suite *s = suite_create("overload");
    TCase *c = itest_case(s, "descriptors", 20);
    tcase_add_loop_test(c, the_limit_is_known, 0, 2);
    tcase_add_test(c, descriptors_run_out);
    tcase_add_test(c, a_stop_without_descriptors);
    c = itest_case(s, "failures", 20);
    tcase_add_loop_test(c, accept_fails, 0, sizeof errno_rows / sizeof errno_rows[0]);
    tcase_add_test(c, epoll_does_not_take_a_connection);
    tcase_add_test(c, epoll_does_not_take_a_change);
    c = itest_case(s, "pools", 30);
    tcase_add_test(c, all_pools_are_full);
    tcase_add_test(c, one_pool_is_full);
    tcase_add_test(c, the_full_pool_lets_wait);
    c = itest_case(s, "rings", 30);
    tcase_add_test(c, a_stopped_worker);
    tcase_add_test(c, the_only_worker_is_stopped);
    return s;
}
