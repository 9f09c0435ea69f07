/*
 * test_listen.c: what a listening socket hands on to the connections it accepts.
 */
#include "mario/net/listen.h"
#include "unit.h"

#include <netinet/in.h>
#include <netinet/tcp.h>
#include <stdio.h>
#include <unistd.h>

static int option_of(int fd, int level, int name)
{
    int value = -1;
    socklen_t len = sizeof value;
    ck_assert_int_eq(getsockopt(fd, level, name, &value, &len), 0);
    return value;
}

/* Accept one connection of a listener; the descriptor of its server's end. */
static int accept_one(int listener, const struct listen_address *a)
{
    int client = socket(a->addr.ss_family, SOCK_STREAM | SOCK_CLOEXEC, 0);
    ck_assert_int_eq(connect(client, (const struct sockaddr *) &a->addr, a->len), 0);
    int fd = accept(listener, NULL, NULL);
    ck_assert_int_ge(fd, 0);
    close(client);
    return fd;
}

static void check_keepalive(int fd, uint32_t seconds)
{
    int on = option_of(fd, SOL_SOCKET, SO_KEEPALIVE);
    int limit_ms = option_of(fd, IPPROTO_TCP, TCP_USER_TIMEOUT);
    ck_assert_int_eq(on, seconds != 0);
    if (on == 0) {
        ck_assert_int_eq(limit_ms, 0);
        return;
    }
    int idle = option_of(fd, IPPROTO_TCP, TCP_KEEPIDLE), interval = option_of(fd, IPPROTO_TCP, TCP_KEEPINTVL);
    int count = option_of(fd, IPPROTO_TCP, TCP_KEEPCNT);
    ck_assert_uint_eq((unsigned) idle, seconds);
    ck_assert_int_eq(count, seconds < 3 ? (int) seconds : 3);
    ck_assert_int_ge(interval, 1);
    ck_assert_int_eq(limit_ms, (idle + count * interval) * 1000); /* both find it, neither before the other */
    ck_assert_int_le(limit_ms, 2 * idle * 1000);
    ck_assert_int_gt(limit_ms, 2 * idle * 1000 - 3000);
}

/* Goal: connections inherit keepalive from the listener, for IPv4 and IPv6; a dead peer is found within twice the
 * setting whatever it is; a listener that is taken over can get another setting. */
START_TEST(keepalive_is_inherited)
{
    static const uint32_t rows[] = {0, 1, 2, 3, 5, 60, 1000, MARIO_KEEPALIVE_MAX};
    static const char *const lists[] = {"127.0.0.1:0", "[::1]:0"};
    struct listen_address all[LISTEN_MAX];
    char why[256];
    for (size_t i = 0; i < sizeof rows / sizeof rows[0]; i++) {
        ck_assert_int_eq(listen_parse(lists[i % 2], all, why, sizeof why), 1);
        int listener = listen_open(&all[0], 8, rows[i]);
        if (listener < 0 && i % 2 == 1) {
            TEST_SKIP_PART("no IPv6 here");
            continue;
        }
        ck_assert_int_ge(listener, 0);
        uint32_t other = rows[(i + 1) % (sizeof rows / sizeof rows[0])];
        int fd = accept_one(listener, &all[0]);
        check_keepalive(fd, rows[i]);
        ck_assert(listen_keepalive(listener, all[0].addr.ss_family, other));
        int later = accept_one(listener, &all[0]);
        check_keepalive(later, other);
        check_keepalive(fd, rows[i]);
        close(fd);
        close(later);
        listen_close(&all[0], listener);
    }
}
END_TEST

/* Goal: a unix socket has no keepalive, and does not mind. */
START_TEST(unix_sockets_have_none)
{
    struct listen_address all[LISTEN_MAX];
    char list[64], why[256];
    snprintf(list, sizeof list, "unix:/tmp/mario-listen-%d", (int) getpid());
    ck_assert_int_eq(listen_parse(list, all, why, sizeof why), 1);
    int listener = listen_open(&all[0], 8, 60);
    ck_assert_int_ge(listener, 0);
    close(accept_one(listener, &all[0]));
    listen_close(&all[0], listener);
}
END_TEST

Suite *listen_suite(void)
{
    Suite *s = suite_create("listen");
    TCase *c = tcase_create("options");
    tcase_add_test(c, keepalive_is_inherited);
    tcase_add_test(c, unix_sockets_have_none);
    suite_add_tcase(s, c);
    return s;
}
