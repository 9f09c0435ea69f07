/*
 * test_notify.c: what a server says to who started it, NOTIFY_SOCKET: when it serves, how many are there, that its
 * master goes on, that it stops; by itself and with a supervising parent, which then speaks for it.
 */
#include <errno.h>
#include <fcntl.h>
#include <signal.h>
#include <stddef.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/socket.h>
#include <sys/un.h>
#include <unistd.h>

#include "harness.h"
#include "mortal.h"
#include "program.h"
#include "test/apps/testapp/commands.h"

enum { WATCHDOG_MS = 800 * ITEST_SLOW, TEXT = 512 };

/* ---- Who listens ---- */

struct manager {
    int fd;
    char dir[64], path[128];
    char notify[160], watchdog[64]; /* for the environment */
    const char *env[4];
    unsigned heard, beats;
    char last[TEXT];
};

static void manager_open(struct manager *m, bool abstract)
{
    struct sockaddr_un a = {.sun_family = AF_UNIX};
    memset(m, 0, sizeof *m);
    program_make_dir(m->dir, sizeof m->dir);
    snprintf(m->path, sizeof m->path, "%s%s/n", abstract ? "@" : "", m->dir);
    size_t n = strlen(m->path);
    memcpy(a.sun_path, m->path, n);
    if (abstract)
        a.sun_path[0] = '\0';
    m->fd = socket(AF_UNIX, SOCK_DGRAM | SOCK_CLOEXEC | SOCK_NONBLOCK, 0);
    ck_assert_msg(
        bind(m->fd, (struct sockaddr *) &a, (socklen_t) (offsetof(struct sockaddr_un, sun_path) + n)) == 0,
        "%s: %s", m->path, strerror(errno));
    snprintf(m->notify, sizeof m->notify, "NOTIFY_SOCKET=%s", m->path);
    snprintf(m->watchdog, sizeof m->watchdog, "WATCHDOG_USEC=%u", WATCHDOG_MS * 1000u);
    m->env[0] = m->notify;
    m->env[1] = m->watchdog;
}

static void manager_close(struct manager *m)
{
    close(m->fd);
    program_remove_dir(m->dir);
}

/* The next word that is no heartbeat goes to last. False if there is none now. */
static bool hears(void *manager)
{
    struct manager *m = manager;
    for (ssize_t n; (n = recv(m->fd, m->last, sizeof m->last - 1, 0)) >= 0;) {
        m->last[n] = '\0';
        if (strcmp(m->last, "WATCHDOG=1") != 0) {
            m->heard++;
            return true;
        }
        m->beats++;
    }
    return false;
}

static void must_hear(struct manager *m, const char *text)
{
    ck_assert_msg(itest_wait(hears, m, 4000), "'%s' is not said", text);
    ck_assert_msg(strncmp(m->last, text, strlen(text)) == 0, "it says '%s', not '%s'", m->last, text);
}

struct beats {
    struct manager *m;
    unsigned at_least;
};

static bool has_beaten(void *arg)
{
    struct beats *b = arg;
    return !hears(b->m) && b->m->beats >= b->at_least;
}

static void must_beat(struct manager *m, unsigned more)
{
    ck_assert_msg(itest_wait(has_beaten, &(struct beats){m, m->beats + more}, 6000), "no heartbeat");
}

struct silence {
    struct manager *m;
    unsigned beats;
    uint64_t since;
};

/* As long as the watchdog would have waited. */
static bool is_silent(void *arg)
{
    struct silence *q = arg;
    while (hears(q->m)) {
    }
    if (q->m->beats != q->beats)
        q->since = mono_ns();
    q->beats = q->m->beats;
    return itest_ms_since(q->since) >= WATCHDOG_MS;
}

static const char *const supervise[] = {"server.supervise=off", "server.supervise=on"};

/* ---- What is said ---- */

/* Goal: READY once it serves, how many connections there are, that it stops and how long that may take; nothing
 * else. By path and by an abstract name, with a parent and without. */
START_TEST(from_start_to_stop)
{
    struct manager m;
    struct server s;
    unsigned long long more_us = 0;
    manager_open(&m, _i / 2 == 1);
    server_launch(
        &s, &(struct launch){.program = "testapp",
                             .args = (const char *[]){supervise[_i % 2], "server.drain_timeout=7", NULL},
                             .env = m.env});
    must_hear(&m, "READY=1");
    must_hear(&m, "STATUS=0 connections");
    int fd = client_open(&s), other = client_open(&s);
    client_echo(fd, 10);
    client_echo(other, 10);
    must_hear(&m, "STATUS=2 connections");
    close(fd);
    close(other);
    must_hear(&m, "STATUS=0 connections");
    server_stop(&s);
    must_hear(&m, "STOPPING=1\nEXTEND_TIMEOUT_USEC=");
    ck_assert_int_eq(sscanf(m.last, "STOPPING=1\nEXTEND_TIMEOUT_USEC=%llu", &more_us), 1);
    ck_assert_msg(more_us >= 7000000 && more_us <= 30000000, "%s", m.last);
    ck_assert_msg(!hears(&m), "it says '%s'", m.last);
    manager_close(&m);
}
END_TEST

/* Goal: the watchdog hears of the master alone: while that sleeps in a timer function there is no heartbeat, when it
 * is back there is. */
START_TEST(the_master_sleeps)
{
    struct manager m;
    struct server s;
    uint32_t ms = WATCHDOG_MS * 3 / 2 + 500;
    manager_open(&m, false);
    server_launch(&s, &(struct launch){.program = "testapp",
                                       .args = (const char *[]){supervise[_i], "watch.master_ms=0", NULL},
                                       .env = m.env});
    must_beat(&m, 3);
    int fd = client_open(&s);
    client_send_packet(fd, TEST_STALL, &ms, sizeof ms);
    struct silence quiet = {.m = &m, .beats = m.beats, .since = mono_ns()};
    ck_assert_msg(itest_wait(is_silent, &quiet, WATCHDOG_MS / ITEST_SLOW * 5),
                  "heartbeats of a master that sleeps");
    must_beat(&m, 2);
    close(fd);
    server_finish(&s);
    manager_close(&m);
}
END_TEST

/* Goal: a death under a parent is no end: READY comes again, STOPPING does not, the heart goes on. */
START_TEST(a_death)
{
    struct manager m;
    struct server s;
    const char *env[8];
    size_t n = 0;
    manager_open(&m, false);
    for (size_t i = 0; mortal_env[i] != NULL; i++)
        env[n++] = mortal_env[i];
    env[n++] = m.notify;
    env[n++] = m.watchdog;
    env[n] = NULL;
    server_launch(&s, &(struct launch){.program = "testapp",
                                       .args = (const char *[]){supervise[1], "server.workernum=2", NULL},
                                       .env = env});
    must_hear(&m, "READY=1");
    must_hear(&m, "STATUS=0 connections");
    mortal_die(&s, DIE_ABORT);
    mortal_served_again(&s);
    do {
        ck_assert_msg(itest_wait(hears, &m, 4000), "READY is not said again");
        ck_assert_msg(strncmp(m.last, "STOPPING", 8) != 0, "it says '%s'", m.last);
    } while (strcmp(m.last, "READY=1") != 0);
    must_beat(&m, 2);
    server_stop(&s);
    manager_close(&m);
}
END_TEST

/* Goal: a reload begins and is over, with the time of the clock that a manager compares; the server serves on. */
START_TEST(a_reload)
{
    struct manager m;
    struct server s;
    struct test_reload r = {.timeout = 100, .packet_timeout = 5, .output_high = 65536, .times = 1}, back;
    unsigned long long usec = 0;
    manager_open(&m, false);
    server_launch(&s, &(struct launch){
                          .program = "testapp", .args = (const char *[]){supervise[_i], NULL}, .env = m.env});
    must_hear(&m, "READY=1");
    must_hear(&m, "STATUS=");
    int fd = client_open(&s);
    uint64_t before = mono_ns() / 1000;
    ck_assert_uint_eq(client_ask(fd, TEST_RELOAD, &r, sizeof r, &back, sizeof back), sizeof back);
    do
        ck_assert_msg(itest_wait(hears, &m, 4000), "no reload is said");
    while (strncmp(m.last, "STATUS=", 7) == 0);
    ck_assert_msg(sscanf(m.last, "RELOADING=1\nMONOTONIC_USEC=%llu", &usec) == 1, "%s", m.last);
    ck_assert_msg(usec >= before && usec <= mono_ns() / 1000, "%s", m.last);
    do /* testapp reloads twice; where words meet on their way to the parent, the second begins before the first ends */
        ck_assert_msg(itest_wait(hears, &m, 4000), "no end of it is said");
    while (strncmp(m.last, "RELOADING=1", 11) == 0 || strncmp(m.last, "STATUS=", 7) == 0);
    ck_assert_str_eq(m.last, "READY=1");
    client_echo(fd, 10);
    close(fd);
    server_finish(&s);
    manager_close(&m);
}
END_TEST

/* Goal: a watchdog that is for another process hears nothing. */
START_TEST(another_ones_watchdog)
{
    struct manager m;
    struct server s;
    manager_open(&m, false);
    m.env[2] = "WATCHDOG_PID=1";
    server_launch(&s, &(struct launch){
                          .program = "testapp", .args = (const char *[]){supervise[_i], NULL}, .env = m.env});
    must_hear(&m, "READY=1");
    must_hear(&m, "STATUS=0 connections"); /* with the first beat */
    server_stop(&s);
    must_hear(&m, "STOPPING=1");
    ck_assert_uint_eq(m.beats, 0);
    manager_close(&m);
}
END_TEST

/* ---- Who does not listen ---- */

/* Goal: the socket is full: the server starts, serves, and says READY when there is room; with nobody there any more
 * it stops as ever. */
START_TEST(a_full_socket)
{
    struct manager m;
    struct server s;
    struct sockaddr_un a;
    socklen_t len = sizeof a;
    unsigned own = 0;
    manager_open(&m, false);
    ck_assert(getsockname(m.fd, (struct sockaddr *) &a, &len) == 0);
    int filler = socket(AF_UNIX, SOCK_DGRAM | SOCK_CLOEXEC | SOCK_NONBLOCK, 0);
    while (sendto(filler, "x", 1, 0, (struct sockaddr *) &a, len) == 1)
        own++;
    ck_assert_msg(errno == EAGAIN, "%s", strerror(errno));
    server_launch(&s, &(struct launch){
                          .program = "testapp", .args = (const char *[]){supervise[_i], NULL}, .env = m.env});
    int fd = client_open(&s);
    client_echo(fd, 100);
    while (own-- > 0)
        must_hear(&m, "x");
    must_hear(&m, "READY=1");
    close(filler);
    close(m.fd);
    ck_assert(unlink(m.path) == 0);
    client_echo(fd, 100);
    close(fd);
    server_finish(&s);
    program_remove_dir(m.dir);
}
END_TEST

/* Goal: a name that is no socket's is said, once, and the server goes on. */
START_TEST(a_wrong_name)
{
    static const char *const rows[] = {"NOTIFY_SOCKET=nowhere", "NOTIFY_SOCKET=/", "NOTIFY_SOCKET=vsock:2:9"};
    struct server s;
    server_launch(&s, &(struct launch){.program = "testapp",
                                       .args = (const char *[]){supervise[_i % 2], NULL},
                                       .env = (const char *[]){rows[_i % 3], NULL}});
    int fd = client_open(&s);
    client_echo(fd, 10);
    close(fd);
    server_signal(&s, SIGTERM);
    ck_assert_int_eq(server_wait_exit(&s, 5000), 0);
    char *err = program_slurp(s.err), *line = strstr(err, rows[_i % 3]);
    ck_assert_msg(line != NULL && strstr(line + 1, "NOTIFY_SOCKET") == NULL, "'%s'", err);
    free(err);
    server_check(&s);
}
END_TEST

Suite *notify_suite(void)
{
    Suite *s = suite_create("notify");
    TCase *c = itest_case(s, "notify", 20);
    tcase_add_loop_test(c, from_start_to_stop, 0, 4);
    tcase_add_loop_test(c, the_master_sleeps, 0, 2);
    tcase_add_test(c, a_death);
    tcase_add_loop_test(c, a_reload, 0, 2);
    tcase_add_loop_test(c, another_ones_watchdog, 0, 2);
    tcase_add_loop_test(c, a_full_socket, 0, 2);
    tcase_add_loop_test(c, a_wrong_name, 0, 3);
    return s;
}
