/*
 * test_clients_net.c: sockets as the clients use them: addresses, waiting, limits, ports of one's own. Run by the unit
 * test runner, one process.
 */
#include "clients.h"

#include <arpa/inet.h>
#include <errno.h>
#include <netinet/in.h>
#include <stdio.h>
#include <string.h>
#include <sys/resource.h>
#include <sys/un.h>
#include <unistd.h>

#include "test/lib/clock.h"
#include "test/lib/net.h"
#include "test/lib/own_port.h"
#include "unit.h"

/* Goal: addresses of every family are understood. */
START_TEST(net_resolves)
{
    static const struct {
        const char *host, *port, *name;
        int family;
    } rows[] = {
        {"127.0.0.1", "8082", "127.0.0.1 port 8082", AF_INET},
        {"::1", "65535", "[::1] port 65535", AF_INET6},
        {"[::1]", "1", "[::1] port 1", AF_INET6},
        {"[127.0.0.2]", "1", "127.0.0.2 port 1", AF_INET},
        {"unix:/tmp/a socket", NULL, "unix:/tmp/a socket", AF_UNIX},
    };
    for (size_t i = 0; i < sizeof rows / sizeof rows[0]; i++) {
        struct net_target t;
        ck_assert_ptr_null(net_resolve(rows[i].host, rows[i].port, &t));
        ck_assert_int_eq(t.addr.ss_family, rows[i].family);
        ck_assert_str_eq(t.name, rows[i].name);
    }
    struct net_target t;
    ck_assert_ptr_null(net_resolve("127.0.0.9", "8082", &t));
    const struct sockaddr_in *in = (const struct sockaddr_in *) (const void *) &t.addr;
    ck_assert_uint_eq(ntohl(in->sin_addr.s_addr), 0x7f000009);
    ck_assert_uint_eq(ntohs(in->sin_port), 8082);
}
END_TEST

/* Goal: what is no address gets a reason, not a guess. */
START_TEST(net_refuses)
{
    char longest[200];
    memset(longest, 'a', sizeof longest - 1);
    longest[sizeof longest - 1] = '\0';
    memcpy(longest, "unix:/", 6);
    static const char *const ports[] = {NULL, "",   "0",  "65536", "99999", "100000",
                                        "-1", "+1", " 1", "1 ",    "0x10",  "http"};
    struct net_target t;
    for (size_t i = 0; i < sizeof ports / sizeof ports[0]; i++)
        ck_assert_msg(net_resolve("127.0.0.1", ports[i], &t) != NULL, "port '%s'", ports[i]);
    ck_assert_ptr_nonnull(net_resolve("", "80", &t));
    ck_assert_ptr_nonnull(net_resolve("[]", "80", &t));
    ck_assert_ptr_nonnull(net_resolve("[::1", "80", &t));
    ck_assert_ptr_nonnull(net_resolve("127.0.0.256.", "80", &t));
    ck_assert_ptr_nonnull(net_resolve("unix:", NULL, &t));
    ck_assert_ptr_nonnull(net_resolve("unix:/x", "80", &t));
    ck_assert_ptr_nonnull(net_resolve(longest, NULL, &t));
}
END_TEST

/* A listener on 127.0.0.1 and where it is. */
static int listen_any(struct net_target *t, int backlog)
{
    char port[16];
    struct sockaddr_in a = {.sin_family = AF_INET, .sin_addr.s_addr = htonl(INADDR_LOOPBACK)};
    socklen_t n = sizeof a;
    int fd = socket(AF_INET, SOCK_STREAM | SOCK_CLOEXEC, 0);
    ck_assert_int_ge(fd, 0);
    ck_assert_int_eq(bind(fd, (struct sockaddr *) (void *) &a, n), 0);
    ck_assert_int_eq(listen(fd, backlog), 0);
    ck_assert_int_eq(getsockname(fd, (struct sockaddr *) (void *) &a, &n), 0);
    snprintf(port, sizeof port, "%u", ntohs(a.sin_port));
    ck_assert_ptr_null(net_resolve("127.0.0.1", port, t));
    return fd;
}

/* Goal: connecting, sending and receiving with a deadline, and the peer's end. */
START_TEST(net_waits)
{
    struct net_target t;
    char b[8] = {0};
    uint64_t soon = mono_ns() + 5 * NS_PER_S;
    int l = listen_any(&t, 8), c = net_connect_wait(&t, soon), s = accept(l, NULL, NULL);
    ck_assert_int_ge(c, 0);
    ck_assert_int_ge(s, 0);
    ck_assert_int_eq(net_send_wait(c, "abcd", 4, soon), 0);
    ck_assert_int_eq(net_recv_wait(s, b, 4, soon), 4);
    ck_assert_mem_eq(b, "abcd", 4);
    uint64_t before = mono_ns();
    ck_assert_int_eq(net_recv_wait(s, b, 1, before + 30 * NS_PER_MS), -1);
    ck_assert_int_eq(errno, ETIMEDOUT);
    ck_assert_uint_ge(mono_ns() - before, 30 * NS_PER_MS);
    ck_assert_int_eq(net_send_wait(c, "xy", 2, soon), 0);
    close(c);
    ck_assert_int_eq(net_recv_wait(s, b, 4, soon), 2);
    close(s);
    close(l);
    ck_assert_int_eq(net_connect_wait(&t, soon), -1);
    ck_assert_int_eq(errno, ECONNREFUSED);
}
END_TEST

/* Goal: a send that finds no reader ends at its deadline. */
START_TEST(net_send_times_out)
{
    static char much[1 << 20];
    int pair[2];
    ck_assert_int_eq(socketpair(AF_UNIX, SOCK_STREAM | SOCK_CLOEXEC, 0, pair), 0);
    int rc = 0;
    for (int i = 0; i < 64 && rc == 0; i++)
        rc = net_send_wait(pair[0], much, sizeof much, mono_ns() + 30 * NS_PER_MS);
    ck_assert_int_eq(rc, -1);
    ck_assert_int_eq(errno, ETIMEDOUT);
    close(pair[0]);
    close(pair[1]);
}
END_TEST

/* Goal: to 127/8 the source addresses are spread as promised, and only there. */
START_TEST(net_spreads_sources)
{
    struct net_target t;
    int l = listen_any(&t, 8);
    static const struct {
        uint32_t spread, from;
    } rows[] = {{0, 0x7f000002}, {99, 0x7f000065}, {100, 0x7f000002}, {NET_NO_SPREAD, 0x7f000001}};
    for (size_t i = 0; i < sizeof rows / sizeof rows[0]; i++) {
        struct sockaddr_in from;
        socklen_t n = sizeof from;
        int c = net_connect_start(&t, rows[i].spread);
        ck_assert_int_ge(c, 0);
        int s = accept(l, (struct sockaddr *) (void *) &from, &n);
        ck_assert_int_ge(s, 0);
        ck_assert_uint_eq(ntohl(from.sin_addr.s_addr), rows[i].from);
        ck_assert_int_eq(net_connect_result(c), 0);
        close(c);
        close(s);
    }
    close(l);
}
END_TEST

/* Goal: a full backlog of a unix socket is waited for, but not beyond the deadline. */
START_TEST(net_unix_backlog)
{
    struct sockaddr_un un = {.sun_family = AF_UNIX};
    char host[128];
    struct net_target t;
    int l = socket(AF_UNIX, SOCK_STREAM | SOCK_CLOEXEC, 0), fds[8], n = 0;
    snprintf(un.sun_path, sizeof un.sun_path, "/tmp/mario_clients_test.%d", (int) getpid());
    snprintf(host, sizeof host, "unix:%s", un.sun_path);
    unlink(un.sun_path);
    ck_assert_int_eq(bind(l, (struct sockaddr *) (void *) &un, sizeof un), 0);
    ck_assert_int_eq(listen(l, 1), 0);
    ck_assert_ptr_null(net_resolve(host, NULL, &t));
    while (n < 8 && (fds[n] = net_connect_start(&t, 0)) >= 0)
        n++;
    ck_assert_int_lt(n, 8);
    ck_assert_int_eq(errno, EAGAIN);
    ck_assert_int_eq(net_connect_wait(&t, mono_ns() + 20 * NS_PER_MS), -1);
    while (n > 0)
        close(fds[--n]);
    close(l);
    unlink(un.sun_path);
}
END_TEST

/* Goal: the limit is raised to what is needed, never lowered, never above the hard one. */
START_TEST(net_raises_nofile)
{
    struct rlimit old, low;
    ck_assert_int_eq(getrlimit(RLIMIT_NOFILE, &old), 0);
    low = (struct rlimit){.rlim_cur = 64, .rlim_max = old.rlim_max};
    ck_assert_int_eq(setrlimit(RLIMIT_NOFILE, &low), 0);
    ck_assert_uint_eq(net_raise_nofile(100), 100);
    ck_assert_uint_eq(net_raise_nofile(50), 100);
    ck_assert_uint_eq(net_raise_nofile(UINT64_MAX), old.rlim_max);
    ck_assert_int_eq(setrlimit(RLIMIT_NOFILE, &old), 0);
}
END_TEST

/* Goal: no port is given twice, none that an outgoing connection may have. */
START_TEST(ports_are_reserved)
{
    static unsigned char had[65536];
    FILE *f = fopen("/proc/sys/net/ipv4/ip_local_port_range", "re");
    unsigned low, high;
    ck_assert(f != NULL && fscanf(f, "%u %u", &low, &high) == 2 && fclose(f) == 0);
    for (int i = 0, hold; i < 500; i++) {
        unsigned port = own_port(&hold);
        ck_assert_msg(port != 0 && !had[port]++ && (port < low || port > high), "%u", port);
    }
}
END_TEST

void clients_net_cases(Suite *s)
{
    TCase *c = unit_case(s, "sockets", 20);
    tcase_add_test(c, net_resolves);
    tcase_add_test(c, net_refuses);
    tcase_add_test(c, net_waits);
    tcase_add_test(c, net_send_times_out);
    tcase_add_test(c, net_spreads_sources);
    tcase_add_test(c, net_unix_backlog);
    tcase_add_test(c, net_raises_nofile);
    tcase_add_test(c, ports_are_reserved);
}
