/*
 * test_peer_text.c: the names of peers: every family, IPv4 that came over IPv6, room that is too small.
 */
#include <arpa/inet.h>
#include <netinet/in.h>
#include <string.h>

#include "mario/base/peer.h"
#include "unit.h"

static struct sockaddr_storage v6(const char *ip, uint16_t port)
{
    struct sockaddr_storage all = {0};
    struct sockaddr_in6 a = {.sin6_family = AF_INET6, .sin6_port = htons(port)};
    ck_assert_int_eq(inet_pton(AF_INET6, ip, &a.sin6_addr), 1);
    memcpy(&all, &a, sizeof a);
    return all;
}

static struct sockaddr_storage v4(const char *ip, uint16_t port)
{
    struct sockaddr_storage all = {0};
    struct sockaddr_in a = {.sin_family = AF_INET, .sin_port = htons(port)};
    ck_assert_int_eq(inet_pton(AF_INET, ip, &a.sin_addr), 1);
    memcpy(&all, &a, sizeof a);
    return all;
}

/* As text, and as an address, which must give the same text again. */
static void check(struct sockaddr_storage from, const char *text, int family)
{
    char got[PEER_TEXT], again[PEER_TEXT];
    struct sockaddr_storage back;
    struct peer p = peer_of(&from);
    ck_assert_uint_eq(peer_print(&p, got, sizeof got), strlen(text));
    ck_assert_str_eq(got, text);
    peer_sockaddr(&p, &back);
    ck_assert_int_eq(back.ss_family, family);
    struct peer q = peer_of(&back);
    peer_print(&q, again, sizeof again);
    ck_assert_str_eq(again, text);
    ck_assert_uint_eq(peer_v4(&p) != 0, family == AF_INET);
}

START_TEST(every_family)
{
    check(v4("10.1.2.3", 4567), "10.1.2.3:4567", AF_INET);
    check(v4("255.255.255.255", 65535), "255.255.255.255:65535", AF_INET);
    check(v6("2001:db8::1", 4567), "[2001:db8::1]:4567", AF_INET6);
    check(v6("::1", 1), "[::1]:1", AF_INET6);
    check(v6("fe80:1111:2222:3333:4444:5555:6666:7777", 65535),
          "[fe80:1111:2222:3333:4444:5555:6666:7777]:65535", AF_INET6);
    check(v6("::ffff:10.1.2.3", 4567), "10.1.2.3:4567", AF_INET); /* it came over an IPv6 socket */
    check((struct sockaddr_storage){.ss_family = AF_UNIX}, "unix", AF_UNIX);
}
END_TEST

START_TEST(too_little_room)
{
    char text[8];
    struct sockaddr_storage a = v4("10.1.2.3", 4567);
    struct peer p = peer_of(&a);
    ck_assert_uint_eq(peer_print(&p, text, sizeof text), 13);
    ck_assert_str_eq(text, "10.1.2.");
}
END_TEST

Suite *peer_text_suite(void)
{
    Suite *s = suite_create("peer_text");
    TCase *c = unit_case(s, "text", 5);
    tcase_add_test(c, every_family);
    tcase_add_test(c, too_little_room);
    return s;
}
