/*
 * troubles_process.c: what happens to the process as a whole: rows 1, 2, 21, 24 and 26 of the scorecard; and to its
 * log. Main thread.
 */
#include "soak.h"

#include <errno.h>
#include <signal.h>
#include <stdio.h>
#include <string.h>
#include <sys/resource.h>
#include <sys/stat.h>
#include <unistd.h>

#include "test/integration/test_ledger.h"

/* ---- Signals ---- */

static bool is_file(void *path)
{
    struct stat st;
    return stat(path, &st) == 0 && S_ISREG(st.st_mode);
}

/* Many, after a rotation or without one. */
static void hup(struct soak *s, struct trouble *t)
{
    char old[160];
    snprintf(old, sizeof old, "%s.1", s->server.log);
    bool rotate = chance_in(&t->chance, 0, 1) == 0;
    if (rotate && rename(s->server.log, old) != 0)
        complain(s, "%s cannot be renamed: %s", s->server.log, strerror(errno));
    for (uint32_t n = chance_in(&t->chance, 1, 100); n > 0; n--) {
        server_signal(&s->server, SIGHUP);
        itest_sleep(chance_in(&t->chance, 0, 3));
    }
    if (!itest_wait(is_file, s->server.log, 5000))
        complain(s, "no new log after SIGHUP");
}

/* The whole server stops for a while: nobody is accused of it, nobody has been silent. */
static void stopped(struct soak *s, struct trouble *t)
{
    server_signal(&s->server, SIGSTOP);
    itest_sleep(chance_in(&t->chance, 50, STOP_MS_MAX));
    server_signal(&s->server, SIGCONT);
}

/* ---- The log ---- */

static void make_line(struct soak *s)
{
    int fd = client_open(&s->server);
    client_send(fd, "not a packet", 12);
    client_expect_fin(fd);
    book(s, REASON_bad_stx, 1);
}

/* It goes away, and there is something in its place; later it can be made again. */
static void log_gone(struct soak *s, struct trouble *t)
{
    struct server err = s->server;
    (void) t;
    snprintf(err.log, sizeof err.log, "%s", s->server.err);
    unsigned before = server_log_count(&err, "cannot be written");
    if (unlink(s->server.log) != 0 || mkdir(s->server.log, 0700) != 0)
        complain(s, "%s: %s", s->server.log, strerror(errno));
    for (uint64_t end = itest_deadline(5000); server_log_count(&err, "cannot be written") == before;) {
        make_line(s);
        itest_sleep(10);
        ITEST_ASSERT(mono_ns() < end, "nobody says that the log is gone; see %s", err.log);
    }
    if (rmdir(s->server.log) != 0)
        complain(s, "%s: %s", s->server.log, strerror(errno));
    make_line(s);
    if (!itest_wait(is_file, s->server.log, 5000))
        complain(s, "the log does not come back");
}

/* ---- Descriptors, accept, the master ---- */

static void limit(const struct server *s, uint64_t fds)
{
    struct rlimit r;
    ck_assert(prlimit(s->pid, RLIMIT_NOFILE, NULL, &r) == 0);
    r.rlim_cur = fds == 0 ? r.rlim_max : fds;
    ck_assert_msg(prlimit(s->pid, RLIMIT_NOFILE, &r, NULL) == 0, "prlimit: %s", strerror(errno));
}

/* They run out; who finds none waits in the backlog and is served when there are some. */
static void descriptors(struct soak *s, struct trouble *t)
{
    struct ledger *l = ledger_create(&s->server.target, chance_in(&t->chance, 20, 80), 100);
    ck_assert_msg(l != NULL, "no memory");
    limit(&s->server, server_fds(&s->server) + chance_in(&t->chance, 0, 20));
    bool done = ledger_connect(l, 10000);
    ledger_ask(l, 2, 2);
    ledger_run(l, chance_in(&t->chance, 10, 300) / ITEST_SLOW);
    limit(&s->server, 0);
    done = ledger_run(l, 10000) && done;
    if (!done || l->ends[END_OPEN] != l->count || l->answered != 2 * l->count)
        complain(s, "descriptors: %u of %u were served, %llu answers", l->ends[END_OPEN], l->count,
                 (unsigned long long) l->answered);
    s->books.made += l->count;
    ledger_destroy(&l);
}

/* The next accepts fail, whatever the kernel may say. */
static void accept_fails(struct soak *s, struct trouble *t)
{
    static const int errors[] = {ENFILE, ENOBUFS, ENOMEM, EPERM, ECONNABORTED, EINTR};
    inject_next(s->board, INJECT_accept4, errors[chance_in(&t->chance, 0, 5)], chance_in(&t->chance, 1, 20));
    for (int i = 0; i < 5; i++) {
        int fd = client_open(&s->server);
        client_echo(fd, 100);
        close(fd);
    }
    inject_set(s->board, INJECT_accept4, 0, 0, 0);
}

/* The master does nothing for a while; those who come are served later. */
static void master_begin(struct soak *s, struct trouble *t)
{
    int fd = trouble_open(s, t);
    send_number(fd, TEST_STALL, chance_in(&t->chance, 100, 1000));
    recv_number(fd, TEST_STALL);
    s->stalls++;
}

static bool master_is_over(struct soak *s, struct trouble *t)
{
    if (!trouble_again(t, 30))
        return false;
    int fd = client_open(&s->server);
    client_echo(fd, 100);
    close(fd);
    if (counter_on(t->fds[0], "master_returns") < s->stalls)
        return false;
    trouble_close(t);
    return true;
}

struct trouble_kind process_troubles[] = {
    {"hup", NEEDS_NOTHING, 4, hup, NULL, 0},
    {"log_gone", NEEDS_NOTHING, 1, log_gone, NULL, 0},
    {"stopped", NEEDS_ALL, 2, stopped, NULL, 0},
    {"descriptors", NEEDS_ORDER, 2, descriptors, NULL, 0},
    {"accept_fails", NEEDS_NOTHING, 4, accept_fails, NULL, 0},
    {"master_stalls", NEEDS_ORDER, 2, master_begin, master_is_over, 0},
    {NULL, NEEDS_NOTHING, 0, NULL, NULL, 0},
};
