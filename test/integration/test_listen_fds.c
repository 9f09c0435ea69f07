/*
 * test_listen_fds.c: listening sockets that a service manager opened: found by their addresses, served on, left open
 * for the next server; what does not fit is said and closed.
 */
#include <errno.h>
#include <fcntl.h>
#include <netinet/in.h>
#include <signal.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/socket.h>
#include <sys/stat.h>
#include <sys/un.h>
#include <unistd.h>

#include "harness.h"
#include "mortal.h"
#include "program.h"
#include "test/apps/testapp/commands.h"

enum { TEXT = 4096 };

static const char *const supervise[] = {"server.supervise=off", "server.supervise=on"};

/* ---- The manager's sockets ---- */

static int listen_at(const void *addr, socklen_t len, bool v6only)
{
    int fd = socket(((const struct sockaddr *) addr)->sa_family, SOCK_STREAM | SOCK_CLOEXEC, 0), on = v6only;
    if (((const struct sockaddr *) addr)->sa_family == AF_INET6)
        ck_assert(setsockopt(fd, IPPROTO_IPV6, IPV6_V6ONLY, &on, sizeof on) == 0);
    ck_assert_msg(bind(fd, addr, len) == 0 && listen(fd, 16) == 0, "%s", strerror(errno));
    return fd;
}

static int listen_v4(char name[64])
{
    struct sockaddr_in a = {.sin_family = AF_INET, .sin_addr.s_addr = htonl(INADDR_LOOPBACK)};
    socklen_t len = sizeof a;
    int fd = listen_at(&a, sizeof a, false);
    ck_assert(getsockname(fd, (struct sockaddr *) &a, &len) == 0);
    snprintf(name, 64, "127.0.0.1:%u", ntohs(a.sin_port));
    return fd;
}

static int listen_v6(char name[64], bool any, bool v6only)
{
    struct sockaddr_in6 a = {.sin6_family = AF_INET6, .sin6_addr = IN6ADDR_ANY_INIT};
    socklen_t len = sizeof a;
    if (!any)
        a.sin6_addr = in6addr_loopback;
    int fd = listen_at(&a, sizeof a, v6only);
    ck_assert(getsockname(fd, (struct sockaddr *) &a, &len) == 0);
    snprintf(name, 64, "[%s]:%u", any ? "::" : "::1", ntohs(a.sin6_port));
    return fd;
}

static int listen_unix(const char *path)
{
    struct sockaddr_un a = {.sun_family = AF_UNIX};
    snprintf(a.sun_path, sizeof a.sun_path, "%s", path);
    return listen_at(&a, sizeof a, false);
}

/* Somebody who connects is let in here: the server has not shut the manager's socket down. */
static void still_listens(int fd, const struct net_target *t)
{
    int client = client_open_at(t), in = accept4(fd, NULL, NULL, SOCK_CLOEXEC);
    ck_assert_msg(in >= 0, "the manager's socket: %s", strerror(errno));
    close(in);
    close(client);
}

static unsigned err_count(const struct server *s, const char *text)
{
    char *err = program_slurp(s->err);
    unsigned n = 0;
    for (const char *at = err; (at = strstr(at, text)) != NULL; at++)
        n++;
    free(err);
    return n;
}

/* ---- What becomes of them ---- */

/* Goal: TCP, IPv6 and unix sockets in another order than server.listen has them are served on; what is missing is
 * opened as ever. After the stop all but that one listen, for the next server; the unix socket's file is there. */
START_TEST(found_by_address)
{
    char v4[64], v6[64] = "", dir[64], path[96], list[512];
    struct server s;
    struct stat st;
    program_make_dir(dir, sizeof dir);
    snprintf(path, sizeof path, "%s/s", dir);
    bool has_v6 = client_has_ipv6();
    int fds[4] = {listen_unix(path), listen_v4(v4), has_v6 ? listen_v6(v6, false, true) : -1, -1};
    snprintf(list, sizeof list, "%s,unix:%s,127.0.0.1:0%s%s", v4, path, has_v6 ? "," : "", v6);
    server_launch(&s, &(struct launch){.program = "testapp",
                                       .args = (const char *[]){supervise[_i], NULL},
                                       .listen = list,
                                       .handed = fds});
    ck_assert_uint_eq(s.address_count, has_v6 ? 4 : 3);
    for (unsigned i = 0; i < s.address_count; i++) {
        int fd = client_open_at(&s.addresses[i]);
        client_echo(fd, 50);
        close(fd);
    }
    ck_assert_uint_eq(server_log_count(&s, "was opened by the service manager"), s.address_count - 1);
    server_finish(&s);
    still_listens(fds[1], &s.addresses[0]);
    still_listens(fds[0], &s.addresses[1]);
    if (has_v6)
        still_listens(fds[2], &s.addresses[3]);
    ck_assert(stat(path, &st) == 0 && S_ISSOCK(st.st_mode));
    for (int i = 0; fds[i] >= 0; i++)
        close(fds[i]);
    program_remove_dir(dir);
}
END_TEST

/* Goal: who connects while the server stops, and when it is gone, waits for the next one and is served by it. */
START_TEST(nobody_is_refused_between_two_servers)
{
    char v4[64], answer[64];
    int fds[2] = {listen_v4(v4), -1};
    for (int round = 0; round < 3; round++) {
        struct server s;
        int early = -1;
        if (round > 0) {
            struct net_target t;
            ck_assert(net_resolve("127.0.0.1", strchr(v4, ':') + 1, &t) == NULL);
            early = client_open_at(&t);
            client_send_packet(early, TEST_ECHO, "early", 5);
        }
        server_launch(&s, &(struct launch){.program = "testapp",
                                           .args = (const char *[]){supervise[_i], NULL},
                                           .listen = v4,
                                           .handed = fds});
        if (round > 0)
            ck_assert_uint_eq(client_recv_packet(early, TEST_ECHO, answer, sizeof answer), 5);
        close(early);
        server_stop(&s);
    }
    close(fds[0]);
}
END_TEST

/* Goal: a server that dies under its parent goes on with them. */
START_TEST(after_a_death)
{
    char v4[64];
    int fds[2] = {listen_v4(v4), -1};
    struct server s;
    server_launch(&s, &(struct launch){.program = "testapp",
                                       .args = (const char *[]){supervise[1], "server.workernum=2", NULL},
                                       .env = mortal_env,
                                       .listen = v4,
                                       .handed = fds});
    mortal_die(&s, DIE_SEGV);
    mortal_served_again(&s);
    server_stop(&s);
    still_listens(fds[0], &s.target);
    close(fds[0]);
}
END_TEST

/* ---- What does not fit ---- */

/* Goal: what server.listen does not name, what is no socket and what does not listen is said and closed; the rest is
 * served. */
START_TEST(what_nobody_asked_for)
{
    char v4[64], other[64], text[192];
    int pipes[2];
    struct server s;
    ck_assert(pipe2(pipes, O_CLOEXEC) == 0);
    int datagrams = socket(AF_INET, SOCK_DGRAM | SOCK_CLOEXEC, 0);
    int fds[5] = {listen_v4(other), pipes[0], datagrams, listen_v4(v4), -1};
    server_launch(&s, &(struct launch){.program = "testapp",
                                       .args = (const char *[]){supervise[_i], NULL},
                                       .listen = v4,
                                       .handed = fds});
    int fd = client_open(&s);
    client_echo(fd, 10);
    close(fd);
    snprintf(text, sizeof text, "%s was handed over (descriptor 3), and nothing here listens there: closed",
             other);
    ck_assert_uint_eq(err_count(&s, text), 1);
    ck_assert_uint_eq(err_count(&s, "descriptor 4 was handed over, and is no socket that listens"), 1);
    ck_assert_uint_eq(err_count(&s, "descriptor 5 was handed over, and is no socket that listens"), 1);
    ck_assert_uint_eq(err_count(&s, "handed over"), 3);
    close(fds[0]); /* the last one, if the server's processes have closed theirs */
    struct net_target t;
    ck_assert(net_resolve("127.0.0.1", strchr(other, ':') + 1, &t) == NULL);
    ck_assert(net_connect_wait(&t, itest_deadline(2000)) < 0 && errno == ECONNREFUSED);
    server_finish(&s);
    for (int i = 1; fds[i] >= 0; i++)
        close(fds[i]);
    close(pipes[1]);
}
END_TEST

/* Goal: descriptors that are another process's by LISTEN_PID, and numbers that are none, are nothing to it. */
START_TEST(not_for_this_process)
{
    static const char *const rows[] = {"LISTEN_PID=1", "LISTEN_PID=", "LISTEN_FDS=x", "LISTEN_FDS=-1",
                                       "LISTEN_FDS=0"};
    char v4[64];
    struct server s;
    int fds[2] = {listen_v4(v4), -1};
    server_launch(
        &s, &(struct launch){.program = "testapp", .env = (const char *[]){rows[_i], NULL}, .handed = fds});
    int fd = client_open(&s);
    client_echo(fd, 10);
    close(fd);
    ck_assert_uint_eq(err_count(&s, "handed over"), 0);
    server_finish(&s);
    close(fds[0]);
}
END_TEST

/* Goal: LISTEN_FDS counts more than there is: said, and the rest is served. */
START_TEST(more_than_there_are)
{
    char v4[64];
    struct server s;
    int fds[2] = {listen_v4(v4), -1};
    server_launch(&s, &(struct launch){.program = "testapp",
                                       .listen = v4,
                                       .env = (const char *[]){"LISTEN_FDS=2", NULL},
                                       .handed = fds});
    int fd = client_open(&s);
    client_echo(fd, 10);
    close(fd);
    ck_assert_uint_eq(err_count(&s, "LISTEN_FDS=2: descriptor 4 is not open"), 1);
    server_finish(&s);
    close(fds[0]);
}
END_TEST

/* Goal: a [::] that takes IPv4 too is not the one of server.listen: said, with what to do, and not started. */
START_TEST(ipv6_that_takes_ipv4_too)
{
    char v6[64], listen[96], out[TEXT], err[TEXT];
    if (!client_has_ipv6())
        TEST_SKIP("no IPv6 here");
    int fds[2] = {listen_v6(v6, true, false), -1};
    snprintf(listen, sizeof listen, "server.listen=%s", v6);
    int code = itest_run(&(struct launch){.program = "maritcp",
                                          .args = (const char *[]){listen, supervise[_i], NULL},
                                          .handed = fds,
                                          .bare = true},
                         out, sizeof out, err, sizeof err);
    ck_assert_int_eq(code, 2);
    ck_assert_msg(strstr(err, "BindIPv6Only=ipv6-only") != NULL && strstr(err, "cannot listen on") != NULL,
                  "%s", err);
    close(fds[0]);
}
END_TEST

Suite *listen_fds_suite(void)
{
    Suite *s = suite_create("listen_fds");
    TCase *c = itest_case(s, "listen_fds", 20);
    tcase_add_loop_test(c, found_by_address, 0, 2);
    tcase_add_loop_test(c, nobody_is_refused_between_two_servers, 0, 2);
    tcase_add_test(c, after_a_death);
    tcase_add_loop_test(c, what_nobody_asked_for, 0, 2);
    tcase_add_loop_test(c, not_for_this_process, 0, 5);
    tcase_add_test(c, more_than_there_are);
    tcase_add_loop_test(c, ipv6_that_takes_ipv4_too, 0, 2);
    return s;
}
