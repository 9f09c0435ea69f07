/*
 * test_stop.c: stopping, under requests, floods of signals, a backlog, a log that hangs; and HUP. What has
 * arrived is answered, every end hook runs once, and the process is gone in time with exit code 0.
 */
#include <errno.h>
#include <fcntl.h>
#include <pthread.h>
#include <signal.h>
#include <stdatomic.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/socket.h>
#include <sys/stat.h>
#include <sys/syscall.h>
#include <sys/wait.h>
#include <unistd.h>

#include "harness.h"
#include "program.h"
#include "test/apps/testapp/commands.h"
#include "test_ledger.h"

/* Milliseconds since `begin`, a mono_ns(). */
static unsigned ms_since(uint64_t begin)
{
    return (unsigned) ((mono_ns() - begin) / NS_PER_MS);
}

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
    ck_assert_msg(ms_since(begin) < 5000u * ITEST_SLOW, "the stop took %u ms", ms_since(begin));
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
    ck_assert_msg(ms_since(begin) < 2000u * ITEST_SLOW, "the stop took %u ms", ms_since(begin));
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
    ck_assert_msg(ms_since(begin) >= 1500, "it did not wait for the sleeper");
    ck_assert_msg(ms_since(begin) < 2000u + 500u * ITEST_SLOW, "the stop took %u ms", ms_since(begin));
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
    ck_assert_msg(ms_since(begin) < 500u * ITEST_SLOW, "it took %u ms", ms_since(begin));
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
    ck_assert_msg(ms_since(begin) > CLIENTS * HOOK_MS, "the hooks were not slow");
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
    ck_assert_msg(ms_since(begin) < 2000u * ITEST_SLOW, "the stop took %u ms", ms_since(begin));
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

/* ---- The log ---- */

/* Put `to` where the server's log was, which is "log.1" then. */
static void swap_log(const struct server *s, const char *kind, const char *to)
{
    char old[160];
    snprintf(old, sizeof old, "%s.1", s->log);
    ck_assert(rename(s->log, old) == 0);
    if (strcmp(kind, "fifo") == 0)
        ck_assert(mkfifo(s->log, 0600) == 0);
    else if (strcmp(kind, "link") == 0)
        ck_assert(symlink(to, s->log) == 0);
}

/* Put the old log back. */
static void swap_log_back(const struct server *s)
{
    char old[160];
    snprintf(old, sizeof old, "%s.1", s->log);
    ck_assert(unlink(s->log) == 0 && rename(old, s->log) == 0);
}

/* n connections, each of which makes a line at level debug; every one is served. */
static void make_lines(const struct server *s, unsigned n)
{
    for (unsigned i = 0; i < n; i++) {
        int fd = client_open(s);
        client_echo(fd, 10);
        close(fd);
    }
}

/* Goal: the log is moved away; after HUP lines go to a new file with the old name, none is lost. */
START_TEST(hup_opens_a_moved_log_again)
{
    struct server s;
    char old[160];
    server_start(&s, "testapp", "log.level=debug", NULL);
    s.log_lines_max = 10000;
    make_lines(&s, 20);
    snprintf(old, sizeof old, "%s.1", s.log);
    ck_assert(rename(s.log, old) == 0);
    make_lines(&s, 20); /* still to the old one */
    server_wait_fds(&s, s.fds, 2000);
    itest_sleep(50);
    server_signal(&s, SIGHUP);
    for (uint64_t end = itest_deadline(2000); access(s.log, F_OK) != 0;) {
        ck_assert_msg(mono_ns() < end, "no new log");
        itest_sleep(1);
    }
    make_lines(&s, 20);
    server_wait_fds(&s, s.fds, 2000);
    struct server was = s;
    snprintf(was.log, sizeof was.log, "%.100s", old);
    unsigned count = 0;
    for (uint64_t end = itest_deadline(2000); count < 60 && mono_ns() < end; itest_sleep(2))
        count = server_log_count(&s, "peer_closed") + server_log_count(&was, "peer_closed");
    ck_assert_uint_eq(count, 60);
    ck_assert_uint_ge(server_log_count(&s, "peer_closed"), 20);
    ck_assert_uint_ge(server_log_count(&was, "peer_closed"), 40);
    server_stop(&s);
}
END_TEST

/* Goal: a log that cannot be opened again at HUP: the old one goes on, and says so. */
START_TEST(hup_without_a_place_for_the_log)
{
    struct server s;
    char old[160];
    server_start(&s, "testapp", NULL);
    snprintf(old, sizeof old, "%s.1", s.log);
    ck_assert(rename(s.log, old) == 0 && mkdir(s.log, 0700) == 0);
    server_signal(&s, SIGHUP);
    itest_sleep(100);
    make_lines(&s, 10);
    ck_assert(rmdir(s.log) == 0 && rename(old, s.log) == 0);
    server_wait_log(&s, "cannot be opened", 2000);
    server_finish(&s);
}
END_TEST

/* Goal: the disk of the log is full: service goes on; once there is room the log says how many lines were
 * dropped, and no more. */
START_TEST(the_log_is_full)
{
    struct server s;
    unsigned long long dropped = 0;
    server_start(&s, "testapp", "log.level=debug", NULL);
    s.log_lines_max = 10000;
    swap_log(&s, "link", "/dev/full");
    server_signal(&s, SIGHUP);
    itest_sleep(200);
    make_lines(&s, 300);
    itest_sleep(2500); /* it tries to say what was lost; that is not a line lost */
    swap_log_back(&s);
    server_signal(&s, SIGHUP);
    server_wait_log(&s, "records dropped", 5000);
    itest_sleep(1500);
    FILE *f = fopen(s.log, "r");
    char line[512];
    while (f != NULL && fgets(line, sizeof line, f) != NULL) {
        unsigned long long n;
        const char *at = strstr(line, "log: ");
        if (at != NULL && sscanf(at, "log: %llu records dropped", &n) == 1)
            dropped += n;
    }
    if (f != NULL)
        fclose(f);
    unsigned lost = 300 - server_log_count(&s, "peer_closed");
    ck_assert_msg(dropped >= lost && dropped <= lost + 3, "%llu said to be dropped, %u were", dropped, lost);
    server_finish(&s);
}
END_TEST

/* A server whose log is a pipe that is full: nobody reads it. Its reading end. */
static int stuff_the_log(struct server *s)
{
    swap_log(s, "fifo", NULL);
    int pipe = open(s->log, O_RDONLY | O_NONBLOCK | O_CLOEXEC);
    ck_assert(pipe >= 0 && fcntl(pipe, F_SETPIPE_SZ, 4096) >= 4096);
    server_signal(s, SIGHUP);
    itest_sleep(200);
    make_lines(s, 2000);
    return pipe;
}

/* Read the pipe until the text has come by, at most ms. */
static bool read_until(int pipe, const char *text, unsigned ms)
{
    char have[8192];
    size_t n = 0;
    for (uint64_t end = itest_deadline(ms); mono_ns() < end;) {
        ssize_t k = read(pipe, have + n, 4096);
        if (k <= 0) {
            itest_sleep(1);
            continue;
        }
        n += (size_t) k;
        have[n] = '\0';
        if (strstr(have, text) != NULL)
            return true;
        size_t keep = n < 64 ? n : 64; /* the text may come in two pieces */
        memmove(have, have + n - keep, keep);
        n = keep;
    }
    return false;
}

/* Goal: the log is a pipe that nobody reads: every request is answered; when it is read again, lines come,
 * and the count of those that did not. */
START_TEST(the_log_is_not_read)
{
    struct server s;
    server_start(&s, "testapp", "log.level=debug", "server.workernum=2", NULL);
    s.log_lines_max = 10000;
    int pipe = stuff_the_log(&s);
    make_lines(&s, 500);
    ck_assert_msg(read_until(pipe, "records dropped", 5000),
                  "the log does not say that records were dropped");
    swap_log_back(&s);
    unsigned before = server_log_count(&s, "peer_closed");
    make_lines(&s, 1);
    ck_assert_msg(read_until(pipe, "peer_closed", 5000), "no more lines");
    server_signal(&s, SIGHUP); /* the pipe has a few more lines, then the file gets them */
    make_lines(&s, 1);
    for (int i = 0; i < 200 && server_log_count(&s, "peer_closed") == before; i++)
        (void) read_until(pipe, "nothing", 20);
    ck_assert_uint_gt(server_log_count(&s, "peer_closed"), before);
    close(pipe);
    server_finish(&s);
}
END_TEST

/* Goal: TERM while the log is a pipe that nobody reads: the process is gone within drain_timeout all the
 * same. */
START_TEST(a_stop_while_the_log_is_not_read)
{
    struct server s;
    server_start(&s, "testapp", "log.level=debug", "server.workernum=8", "server.drain_timeout=3", NULL);
    int pipe = stuff_the_log(&s);
    swap_log_back(&s);
    uint64_t begin = mono_ns();
    server_signal(&s, SIGTERM);
    ck_assert_int_eq(server_wait_exit(&s, 20000), 0);
    ck_assert_msg(ms_since(begin) < 3000u + 500u * ITEST_SLOW, "the stop took %u ms", ms_since(begin));
    close(pipe);
    server_discard(&s);
}
END_TEST

/* Goal: HUP when the log has become a pipe without a reader: the server goes on, and can be stopped. */
START_TEST(hup_to_a_pipe_without_reader)
{
    struct server s;
    server_start(&s, "testapp", "server.drain_timeout=2", NULL);
    swap_log(&s, "fifo", NULL);
    server_signal(&s, SIGHUP);
    itest_sleep(200);
    make_lines(&s, 10);
    swap_log_back(&s);
    server_signal(&s, SIGTERM);
    ck_assert_int_eq(server_wait_exit(&s, 5000), 0);
    server_discard(&s);
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
    c = itest_case(s, "log", 40);
    tcase_add_test(c, hup_opens_a_moved_log_again);
    tcase_add_test(c, hup_without_a_place_for_the_log);
    tcase_add_test(c, the_log_is_full);
    tcase_add_test(c, the_log_is_not_read);
    tcase_add_test(c, a_stop_while_the_log_is_not_read);
    tcase_add_test(c, hup_to_a_pipe_without_reader);
    return s;
}
