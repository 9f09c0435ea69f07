/*
 * test_stop.c: stopping, under requests, floods of signals, a backlog. What has
 * arrived is answered, every end hook runs once, and the process is gone in time with exit code 0.
 */
#include <errno.h>
#include <pthread.h>
#include <signal.h>
#include <stdatomic.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/socket.h>
#include <sys/syscall.h>
#include <sys/wait.h>
#include <unistd.h>

#include "harness.h"
#include "program.h"
#include "test/apps/testapp/commands.h"
#include "test_ledger.h"

static struct ledger *connect_many(const struct server *s, uint32_t n, uint32_t data_len)
{
    struct ledger *l = ledger_create(&s->target, n, data_len);
    ck_assert_msg(l != NULL, "no memory or descriptors for %u clients", n);
    ck_assert_msg(ledger_connect(l, 10000), "%u clients cannot connect: %u refused", n, l->ends[END_REFUSED]);
    return l;
}

/* All answered, all closed by a FIN. */
static void check_all_answered(const struct ledger *l)
{
    ck_assert_msg(l->sent == l->answered && l->ends[END_FIN] == l->count,
                  "%llu sent, %llu answered; %u of %u ended with FIN, %u RST, %u refused, %u wrong",
                  (unsigned long long) l->sent, (unsigned long long) l->answered, l->ends[END_FIN], l->count,
                  l->ends[END_RST], l->ends[END_REFUSED], l->ends[END_WRONG]);
}

/* ---- Requests in flight ---- */

/* Goal: 5,000 connections with requests on their way, then TERM: all that arrived are answered, each end hook
 * runs once. */
START_TEST(five_thousand_in_flight)
{
    const uint32_t n = 5000 / ITEST_SLOW;
    struct server s;
    server_start(&s, "testapp", "server.workernum=2", "server.connnum=4000", "server.drain_timeout=5", NULL);
    struct ledger *l = connect_many(&s, n, 100);
    ledger_ask(l, 1, 1);
    ck_assert(ledger_run(l, 10000)); /* the hooks have run */
    server_signal(&s, SIGSTOP);
    ledger_ask(l, 3, 3);
    ck_assert(!ledger_run(l, 100)); /* all are sent, nobody answers */
    ck_assert_uint_eq(l->sent, 4 * n);
    uint64_t begin = mono_ns();
    server_signal(&s, SIGTERM);
    server_signal(&s, SIGCONT);
    ck_assert(ledger_run_to_end(l, 10000));
    check_all_answered(l);
    ck_assert_int_eq(server_wait_exit(&s, 6000), 0);
    ck_assert_msg(itest_ms_since(begin) < 5000u * ITEST_SLOW, "the stop took %u ms", itest_ms_since(begin));
    ck_assert_uint_eq(server_counter(&s, "hook_connected"), n);
    ledger_destroy(&l);
    server_check(&s);
}
END_TEST

/* Goal: 3,000 clients connected and sent while the server was stalled; TERM before it accepted them: it
 * accepts, answers. With one worker its ring is smaller than the backlog. */
START_TEST(a_backlog_at_the_stop)
{
    const uint32_t n = 3000 / ITEST_SLOW;
    struct server s;
    server_start(&s, "testapp", "server.workernum=1", "server.connnum=4000", "server.drain_timeout=5", NULL);
    server_signal(&s, SIGSTOP);
    struct ledger *l = connect_many(&s, n, 10);
    ledger_ask(l, 1, 1);
    ck_assert(!ledger_run(l, 100));
    ck_assert_uint_eq(l->sent, n);
    server_signal(&s, SIGTERM);
    server_signal(&s, SIGCONT);
    ck_assert(ledger_run_to_end(l, 10000));
    check_all_answered(l);
    ledger_destroy(&l);
    ck_assert_int_eq(server_wait_exit(&s, 6000), 0);
    server_check(&s);
}
END_TEST

/* Goal: the last bytes of a packet come after TERM: it had not arrived, so it is not answered, and nobody
 * waits for it. */
START_TEST(half_a_packet_at_the_stop)
{
    struct server s;
    unsigned char packet[200], data[100] = {0};
    server_start(&s, "testapp", "server.drain_timeout=5", NULL);
    size_t n = client_packet(packet, TEST_ECHO, data, sizeof data);
    int whole = client_open(&s), half = client_open(&s);
    client_send(whole, packet, n);
    client_recv(whole, data, 1);
    client_send(half, packet, n - 1);
    itest_sleep(50);
    uint64_t begin = mono_ns();
    server_signal(&s, SIGTERM);
    size_t extra;
    ck_assert_int_eq(client_ending(half, &extra, 2000), END_FIN);
    ck_assert_uint_eq(extra, 0);
    ck_assert_int_eq(client_ending(whole, &extra, 2000), END_FIN);
    ck_assert_uint_eq(extra, n - 1);
    ck_assert_int_eq(server_wait_exit(&s, 2000), 0);
    ck_assert_msg(itest_ms_since(begin) < 2000u * ITEST_SLOW, "the stop took %u ms", itest_ms_since(begin));
    close(whole);
    close(half);
    server_check(&s);
}
END_TEST

/* Goal: a client that does not read its megabyte holds up a stop for drain_timeout at most; a reader gets it
 * whole. */
START_TEST(a_reader_and_a_sleeper_at_the_stop)
{
    struct server s;
    server_start(&s, "testapp", "server.drain_timeout=2", NULL);
    int reader = client_open(&s), sleeper = client_open_narrow(&s);
    client_send_packet(reader, TEST_MEGABYTE, NULL, 0);
    for (int i = 0; i < 3; i++)
        client_send_packet(sleeper, TEST_MEGABYTE, NULL, 0);
    server_wait_counter(&s, "bytes_in", 32, 2000);
    uint64_t begin = mono_ns();
    server_signal(&s, SIGTERM);
    size_t extra;
    ck_assert_int_eq(client_ending(reader, &extra, 2000), END_FIN);
    ck_assert_uint_eq(extra, 1024 * 1024);
    ck_assert_int_eq(server_wait_exit(&s, 4000), 0);
    ck_assert_msg(itest_ms_since(begin) >= 1500, "it did not wait for the sleeper");
    ck_assert_msg(itest_ms_since(begin) < 2000u + 500u * ITEST_SLOW, "the stop took %u ms",
                  itest_ms_since(begin));
    close(reader);
    close(sleeper);
    server_check(&s);
}
END_TEST

/* Goal: a second TERM does not wait for those who do not read. */
START_TEST(a_second_term_stops_at_once)
{
    struct server s;
    server_start(&s, "testapp", "server.drain_timeout=60", NULL);
    int fd = client_open_narrow(&s);
    for (int i = 0; i < 3; i++) /* more than the kernel takes */
        client_send_packet(fd, TEST_MEGABYTE, NULL, 0);
    server_wait_counter(&s, "bytes_in", 24, 2000);
    server_signal(&s, SIGTERM);
    itest_sleep(300);
    ck_assert_int_eq(waitpid(s.pid, NULL, WNOHANG), 0); /* it waits for the client */
    uint64_t begin = mono_ns();
    server_signal(&s, SIGTERM);
    ck_assert_int_eq(server_wait_exit(&s, 2000), 0);
    ck_assert_msg(itest_ms_since(begin) < 500u * ITEST_SLOW, "it took %u ms", itest_ms_since(begin));
    close(fd);
    server_check(&s);
}
END_TEST

/* Goal: a second TERM while end hooks take their time, some seconds in all: as long as one after the other ends
 * they are waited for, nobody is blamed, exit code 0. The same when drain_timeout is over. */
START_TEST(a_sudden_stop_waits_for_progress)
{
    enum { CLIENTS = 1200, HOOK_MS = 2 };
    struct server s;
    server_start(&s, "testapp", "server.workernum=1", "server.connnum=2000", "test.end=slow",
                 _i == 0 ? "server.drain_timeout=30" : "server.drain_timeout=1", NULL);
    struct ledger *l = connect_many(&s, CLIENTS, 10);
    ledger_ask(l, 1, 1);
    ck_assert(ledger_run(l, 10000));
    uint64_t begin = mono_ns();
    server_signal(&s, SIGTERM);
    if (_i == 0) {
        server_wait_log(&s, "stopping: no new", 2000);
        server_signal(&s, SIGTERM);
    }
    ck_assert(ledger_run_to_end(l, 20000));
    ck_assert_int_eq(server_wait_exit(&s, 20000), 0);
    ck_assert_msg(itest_ms_since(begin) > CLIENTS * HOOK_MS, "the hooks were not slow");
    char *err = program_slurp(s.err);
    ck_assert_msg(strstr(err, "did not return") == NULL, "somebody is blamed: %s", err);
    free(err);
    ledger_destroy(&l);
    server_check(&s);
}
END_TEST

/* Goal: hooks take their time and one function never returns: it alone is named, with 3. */
START_TEST(a_sudden_stop_blames_who_does_not_return)
{
    enum { CLIENTS = 300 };
    struct server s;
    server_start(&s, "testapp", "server.workernum=2", "test.end=slow", "watch.replace_ms=0",
                 "server.drain_timeout=1", NULL);
    struct ledger *l = connect_many(&s, CLIENTS, 10);
    ledger_ask(l, 1, 1);
    ck_assert(ledger_run(l, 10000));
    int fd = client_open(&s);
    client_send_packet(fd, TEST_HANG, NULL, 0);
    itest_sleep(50);
    server_signal(&s, SIGTERM);
    ck_assert_int_eq(server_wait_exit(&s, 10000), 3);
    char *err = program_slurp(s.err);
    const char *first = strstr(err, "did not return in time");
    ck_assert_msg(first != NULL && strstr(first + 1, "did not return") == NULL, "it says: %s", err);
    ck_assert_msg(strstr(err, "function 0x7014 of connection") != NULL, "it says: %s", err);
    free(err);
    close(fd);
    ledger_destroy(&l);
    server_discard(&s);
}
END_TEST

/* Sends packets that need no answer until the server has closed. */
static void *stream_main(void *arg)
{
    static unsigned char packets[65536];
    const int *fd = arg;
    for (size_t i = 0; i < sizeof packets; i += 8)
        client_packet(packets + i, TEST_SILENT, NULL, 0);
    while (net_send_wait(*fd, packets, sizeof packets, itest_deadline(5000)) == 0) {
    }
    return NULL;
}

/* Goal: somebody sends without a pause, so that the worker never finds nothing to read: the stop comes to all its
 * connections just as soon. */
START_TEST(one_who_never_pauses_at_the_stop)
{
    enum { IDLE = 800 };
    struct server s;
    pthread_t thread;
    server_start(&s, "testapp", "server.workernum=1", "server.drain_timeout=8", NULL);
    struct ledger *l = connect_many(&s, IDLE, 10);
    int fd = client_open(&s);
    ck_assert_int_eq(pthread_create(&thread, NULL, stream_main, &fd), 0);
    server_wait_counter(&s, "bytes_in", 10 * 1000 * 1000, 10000);
    uint64_t begin = mono_ns();
    server_signal(&s, SIGTERM);
    ck_assert_int_eq(server_wait_exit(&s, 10000), 0);
    ck_assert_msg(itest_ms_since(begin) < 2000u * ITEST_SLOW, "the stop took %u ms", itest_ms_since(begin));
    pthread_join(thread, NULL);
    close(fd);
    ledger_destroy(&l);
    server_check(&s);
}
END_TEST

/* ---- Signals ---- */

/* A thread that sends signals to a server, in turn, 100 a second. */
struct flood {
    int pidfd;          /* not a pid, which may be another's once the server is gone */
    const int *signals; /* ends with 0 */
    _Atomic bool stop;
    pthread_t thread;
};

static void *flood_main(void *arg)
{
    struct flood *f = arg;
    for (size_t i = 0; !f->stop; i = f->signals[i + 1] == 0 ? 0 : i + 1) {
        syscall(SYS_pidfd_send_signal, f->pidfd, f->signals[i], NULL, 0);
        itest_sleep(10);
    }
    return NULL;
}

static void flood_start(struct flood *f, const struct server *s, const int *signals)
{
    *f = (struct flood){.pidfd = (int) syscall(SYS_pidfd_open, s->pid, 0), .signals = signals};
    ck_assert(f->pidfd >= 0 && pthread_create(&f->thread, NULL, flood_main, f) == 0);
}

static void flood_stop(struct flood *f)
{
    f->stop = true;
    pthread_join(f->thread, NULL);
    close(f->pidfd);
}

/* Goal: HUP and PIPE 100 times a second for two seconds and through the stop: nothing is lost, the log is not
 * flooded. */
START_TEST(a_flood_of_hup_and_pipe)
{
    static const int signals[] = {SIGHUP, SIGPIPE, 0};
    const int stop = _i == 0 ? SIGTERM : SIGINT;
    struct server s;
    struct flood f;
    server_start(&s, "testapp", "server.workernum=2", "server.drain_timeout=3", NULL);
    struct ledger *l = connect_many(&s, 200, 100);
    flood_start(&f, &s, signals);
    for (uint64_t end = mono_ns() + 2 * NS_PER_S; mono_ns() < end;) {
        ledger_ask(l, 5, 5);
        ck_assert(ledger_run(l, 5000));
    }
    ledger_ask(l, 5, 5);
    ck_assert(!ledger_run(l, 0)); /* sent, not yet read */
    server_signal(&s, stop);
    ck_assert(ledger_run_to_end(l, 5000));
    check_all_answered(l);
    int code = server_wait_exit(&s, 4000);
    flood_stop(&f);
    ck_assert_int_eq(code, 0);
    ledger_destroy(&l);
    server_check(&s);
}
END_TEST

/* Goal: TERM, INT, HUP and PIPE in turn, 100 a second: the second stop ends at once; exit 0, and the accounts
 * are exact. */
START_TEST(a_flood_of_everything)
{
    static const int signals[] = {SIGHUP, SIGPIPE, SIGTERM, SIGINT, 0};
    struct server s;
    struct flood f;
    server_start(&s, "testapp", "server.workernum=2", "server.drain_timeout=30", NULL);
    struct ledger *l = connect_many(&s, 300, 100);
    ledger_ask(l, 20, 5);
    flood_start(&f, &s, signals);
    ck_assert(ledger_run_to_end(l, 5000));
    int code = server_wait_exit(&s, 2000);
    flood_stop(&f);
    ck_assert_int_eq(code, 0);
    ck_assert_uint_eq(l->ends[END_WRONG], 0);
    ledger_destroy(&l);
    server_check(&s);
}
END_TEST

/* maritcp, started with TERM blocked as by a supervisor, so that the signal cannot kill it before main. */
static pid_t start_blocked(const char *log)
{
    char arg[160];
    snprintf(arg, sizeof arg, "log.file=%s", log);
    const char *program = itest_program("maritcp");
    sigset_t all, old;
    sigfillset(&all);
    sigprocmask(SIG_SETMASK, &all, &old); /* before the fork: check's handlers are not for the child */
    pid_t parent = getpid(), pid = fork();
    if (pid != 0) {
        sigprocmask(SIG_SETMASK, &old, NULL);
        ck_assert_msg(pid > 0, "fork: %s", strerror(errno));
        return pid;
    }
    close_range(3, ~0u, 0);
    if (getppid() == parent)
        execl(program, program, "-o", "server.listen=127.0.0.1:0", "-o", arg, (char *) NULL);
    _exit(127);
}

/* Goal: TERM or INT at any moment of a start, from the first on: exit 0 after a clean stop, never lost, never
 * a crash. */
START_TEST(a_signal_during_the_start)
{
    char dir[80], log[96];
    snprintf(dir, sizeof dir, "%s/stop-XXXXXX", getenv("ITEST_DIR"));
    ck_assert(mkdtemp(dir) != NULL);
    snprintf(log, sizeof log, "%s/log", dir);
    for (unsigned i = 0; i < 60u / ITEST_SLOW; i++) {
        pid_t pid = start_blocked(log);
        usleep(i * 200 * ITEST_SLOW);
        kill(pid, i % 2 ? SIGTERM : SIGINT);
        int status, code = 0;
        uint64_t deadline = itest_deadline(3000);
        while ((code = waitpid(pid, &status, WNOHANG)) == 0 && mono_ns() < deadline)
            itest_sleep(1);
        if (code == 0) {
            kill(pid, SIGKILL);
            waitpid(pid, &status, 0);
        }
        ck_assert_msg(code == pid, "a signal %u us after the start was lost", i * 200);
        ck_assert_msg(WIFEXITED(status) && WEXITSTATUS(status) == 0, "status %x", status);
    }
    unlink(log);
    rmdir(dir);
}
END_TEST

/* Goal: connections that wait in a worker's ring when a stop ends everything at once are closed and counted
 * like others. */
START_TEST(newcomers_at_a_sudden_stop)
{
    struct server s;
    uint32_t ms = 1000;
    server_start(&s, "testapp", "server.workernum=1", "server.connnum=4000", "server.drain_timeout=30", NULL);
    int busy = client_open(&s);
    client_echo(busy, 10);
    client_send_packet(busy, TEST_SLEEP, &ms, sizeof ms);
    itest_sleep(100); /* the worker sleeps now */
    struct ledger *l = connect_many(&s, 900, 10);
    itest_sleep(100); /* and the master has handed them over */
    server_signal(&s, SIGTERM);
    itest_sleep(50);
    server_signal(&s, SIGTERM);
    ck_assert(ledger_run_to_end(l, 5000));
    ck_assert_int_eq(server_wait_exit(&s, 3000), 0);
    close(busy);
    ledger_destroy(&l);
    server_check(&s);
}
END_TEST

Suite *stop_suite(void)
{
    Suite *s = suite_create("stop");
    TCase *c = itest_case(s, "requests", 30);
    tcase_add_test(c, five_thousand_in_flight);
    tcase_add_test(c, a_backlog_at_the_stop);
    tcase_add_test(c, half_a_packet_at_the_stop);
    tcase_add_test(c, a_reader_and_a_sleeper_at_the_stop);
    tcase_add_test(c, one_who_never_pauses_at_the_stop);
    tcase_add_test(c, a_second_term_stops_at_once);
    tcase_add_loop_test(c, a_sudden_stop_waits_for_progress, 0, 2);
    tcase_add_test(c, a_sudden_stop_blames_who_does_not_return);
    tcase_add_test(c, newcomers_at_a_sudden_stop);
    c = itest_case(s, "signals", 20);
    tcase_add_loop_test(c, a_flood_of_hup_and_pipe, 0, 2);
    tcase_add_test(c, a_flood_of_everything);
    tcase_add_test(c, a_signal_during_the_start);
    return s;
}
