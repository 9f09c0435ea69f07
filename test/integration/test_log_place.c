/*
 * test_log_place.c: where the log goes: moved and opened again at HUP, without a place, full, not read; and stopping
 * then. The server goes on, or is gone in time, and what was lost is said.
 */
#include <fcntl.h>
#include <signal.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/stat.h>
#include <unistd.h>

#include "harness.h"
#include "lines.h"

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

/* Goal: the log is moved away; after HUP lines go to a new file with the old name, none is lost. */
START_TEST(hup_opens_a_moved_log_again)
{
    struct server s;
    char old[160];
    server_start(&s, "testapp", "log.level=debug", NULL);
    s.log_lines_max = 10000;
    lines_make(&s, 20);
    snprintf(old, sizeof old, "%s.1", s.log);
    ck_assert(rename(s.log, old) == 0);
    lines_make(&s, 20); /* still to the old one */
    server_wait_fds(&s, s.fds, 2000);
    itest_sleep(50);
    server_signal(&s, SIGHUP);
    for (uint64_t end = itest_deadline(2000); access(s.log, F_OK) != 0;) {
        ck_assert_msg(mono_ns() < end, "no new log");
        itest_sleep(1);
    }
    lines_make(&s, 20);
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
    lines_make(&s, 10);
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
    server_start(&s, "testapp", "log.level=debug", NULL);
    s.log_lines_max = 10000;
    swap_log(&s, "link", "/dev/full");
    server_signal(&s, SIGHUP);
    itest_sleep(200);
    lines_make(&s, 300);
    itest_sleep(2500); /* it tries to say what was lost; that is not a line lost */
    swap_log_back(&s);
    server_signal(&s, SIGHUP);
    server_wait_log(&s, "records dropped", 5000);
    itest_sleep(1500);
    uint64_t dropped = lines_dropped(&s);
    unsigned lost = 300 - server_log_count(&s, "peer_closed");
    ck_assert_msg(dropped >= lost && dropped <= lost + 3, "%llu said to be dropped, %u were",
                  (unsigned long long) dropped, lost);
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
    lines_make(s, 2000);
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
    lines_make(&s, 500);
    ck_assert_msg(read_until(pipe, "records dropped", 5000),
                  "the log does not say that records were dropped");
    swap_log_back(&s);
    unsigned before = server_log_count(&s, "peer_closed");
    lines_make(&s, 1);
    ck_assert_msg(read_until(pipe, "peer_closed", 5000), "no more lines");
    server_signal(&s, SIGHUP); /* the pipe has a few more lines, then the file gets them */
    lines_make(&s, 1);
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
    ck_assert_msg(itest_ms_since(begin) < 3000u + 500u * ITEST_SLOW, "the stop took %u ms",
                  itest_ms_since(begin));
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
    lines_make(&s, 10);
    swap_log_back(&s);
    server_signal(&s, SIGTERM);
    ck_assert_int_eq(server_wait_exit(&s, 5000), 0);
    server_discard(&s);
}
END_TEST

Suite *log_place_suite(void)
{
    Suite *s = suite_create("log_place");
    TCase *c = itest_case(s, "log", 40);
    tcase_add_test(c, hup_opens_a_moved_log_again);
    tcase_add_test(c, hup_without_a_place_for_the_log);
    tcase_add_test(c, the_log_is_full);
    tcase_add_test(c, the_log_is_not_read);
    tcase_add_test(c, a_stop_while_the_log_is_not_read);
    tcase_add_test(c, hup_to_a_pipe_without_reader);
    return s;
}
