/*
 * test_wire.c: what goes over the wire, however it is cut, and what must not get in (SCORECARD rows 8 and 9);
 * and every kind of address a server listens on.
 *
 * To know that a server has read what was sent so far, a test asks an ECHO on another connection of the same
 * worker, both being served already: sockets are served in the order in which they got readable.
 */
#include "harness.h"

#include <arpa/inet.h>
#include <errno.h>
#include <netinet/in.h>
#include <poll.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

#include "protocol/mario_protocol.h"
#include "test/apps/testapp/commands.h"
#include "test/lib/payload.h"
#include "test_ledger.h"

/* Packets whose answers are the same bytes. */
struct stream {
    unsigned char *bytes;
    size_t len;
};

/* `count` ECHOs with data_len bytes of numbered data each. The caller frees bytes. */
static struct stream stream_create(uint32_t count, size_t data_len)
{
    struct stream s = {.bytes = malloc(count * (WIRE_HEAD_LEN + data_len))};
    unsigned char data[WIRE_PACKET_MAX];
    ck_assert_msg(s.bytes != NULL, "no memory");
    for (uint32_t i = 0; i < count; i++) {
        payload_fill(data, data_len, 1, i);
        s.len += client_packet(s.bytes + s.len, TEST_ECHO, data, data_len);
    }
    return s;
}

/* An ECHO without data, one with 5 bytes, one with 33: together every kind of border lies in a few bytes. */
static struct stream stream_mixed(void)
{
    static unsigned char bytes[128];
    struct stream s = {.bytes = bytes};
    s.len += client_packet(bytes + s.len, TEST_ECHO, NULL, 0);
    s.len += client_packet(bytes + s.len, TEST_ECHO, "12345", 5);
    s.len += client_packet(bytes + s.len, TEST_ECHO, "what is cut must not be seen as cut", 33);
    return s;
}

static void expect_bytes(int fd, const unsigned char *wanted, size_t n)
{
    unsigned char got[128];
    client_recv(fd, got, n);
    ITEST_ASSERT(memcmp(got, wanted, n) == 0, "other bytes came back");
}

static void expect_nothing_more(int fd)
{
    char byte;
    ck_assert_msg(recv(fd, &byte, 1, MSG_DONTWAIT) < 0 && errno == EAGAIN, "more came back than was sent");
}

/* ---- Row 8 ---- */

/* Goal: a stream cut in two at any byte gets the same answers in the same order. */
START_TEST(cut_at_every_byte)
{
    struct server s;
    struct stream stream = stream_mixed();
    server_start(&s, "testapp", "server.workernum=1", NULL);
    int fd = client_open(&s), other = client_open(&s);
    client_echo(fd, 1);
    for (size_t cut = 1; cut < stream.len; cut++) {
        client_send(fd, stream.bytes, cut);
        client_echo(other, 0);
        client_send(fd, stream.bytes + cut, stream.len - cut);
        expect_bytes(fd, stream.bytes, stream.len);
    }
    expect_nothing_more(fd);
    close(fd);
    close(other);
    server_finish(&s);
}
END_TEST

/* Goal: one byte a segment, and all in one segment, give the same answers as well. */
START_TEST(byte_by_byte_and_merged)
{
    struct server s;
    struct stream stream = stream_mixed();
    server_start(&s, "testapp", "server.workernum=1", NULL);
    int fd = client_open(&s), other = client_open(&s);
    client_echo(fd, 1);
    for (size_t i = 0; i < stream.len; i++) {
        client_send(fd, stream.bytes + i, 1);
        client_echo(other, 0);
    }
    expect_bytes(fd, stream.bytes, stream.len);
    client_send(fd, stream.bytes, stream.len);
    expect_bytes(fd, stream.bytes, stream.len);
    expect_nothing_more(fd);
    close(fd);
    close(other);
    server_finish(&s);
}
END_TEST

/* Send the stream, at most `chunk` bytes a call, while what comes back is compared with it. */
static void pump(int fd, const struct stream *s, size_t chunk)
{
    static unsigned char got[256 * 1024];
    uint64_t deadline = itest_deadline(20000);
    size_t sent = 0, back = 0;
    while (back < s->len) {
        struct pollfd p = {.fd = fd, .events = (short) (POLLIN | (sent < s->len ? POLLOUT : 0))};
        ITEST_ASSERT(poll(&p, 1, ms_left(deadline)) == 1, "%zu bytes sent, %zu back, then nothing", sent,
                     back);
        if (p.revents & POLLOUT) {
            size_t n = s->len - sent < chunk ? s->len - sent : chunk;
            ssize_t k = send(fd, s->bytes + sent, n, MSG_NOSIGNAL | MSG_DONTWAIT);
            ITEST_ASSERT(k > 0 || errno == EAGAIN, "send after %zu bytes: %s", sent, strerror(errno));
            sent += k > 0 ? (size_t) k : 0;
        }
        if (p.revents & ~POLLOUT) {
            ssize_t k = recv(fd, got, sizeof got, MSG_DONTWAIT);
            ITEST_ASSERT(k > 0, "the end after %zu bytes: %s", back, k == 0 ? "FIN" : strerror(errno));
            ITEST_ASSERT((size_t) k <= sent - back && memcmp(got, s->bytes + back, (size_t) k) == 0,
                         "byte %zu or one soon after it came back wrong", back);
            back += (size_t) k;
        }
    }
    expect_nothing_more(fd);
}

/* Goal: ten thousand small packets offered in one write all come back in order. */
START_TEST(ten_thousand_small)
{
    struct server s;
    struct stream stream = stream_create(10000, 16);
    server_start(&s, "testapp", "server.workernum=1", NULL);
    int fd = client_open(&s);
    pump(fd, &stream, stream.len);
    ck_assert_uint_eq(server_counter(&s, "functions"), 10000);
    free(stream.bytes);
    close(fd);
    server_finish(&s);
}
END_TEST

/* Goal: ten thousand packets of 8 KB offered in one write all come back in order. */
START_TEST(ten_thousand_large)
{
    struct server s;
    struct stream stream = stream_create(10000 / ITEST_SLOW, 8192 - WIRE_HEAD_LEN);
    server_start(&s, "testapp", "server.workernum=1", NULL);
    int fd = client_open(&s);
    pump(fd, &stream, stream.len);
    free(stream.bytes);
    close(fd);
    server_finish(&s);
}
END_TEST

/* Goal: packets of the largest length there is, cut into pieces that never fit the receive buffer. */
START_TEST(largest_packets_in_odd_pieces)
{
    static const size_t pieces[] = {1447, 4096, 65535, 65536, 65537, 131071};
    struct server s;
    struct stream stream = stream_create(60, WIRE_PACKET_MAX - WIRE_HEAD_LEN);
    server_start(&s, "testapp", "server.workernum=1", "server.max_pkglen=65535", NULL);
    int fd = client_open(&s);
    for (size_t i = 0; i < sizeof pieces / sizeof pieces[0]; i++)
        pump(fd, &stream, pieces[i]);
    free(stream.bytes);
    close(fd);
    server_finish(&s);
}
END_TEST

/* Goal: many connections at once, requests of odd lengths in flight, each gets its own answers in order. */
START_TEST(many_with_pipelines)
{
    static const uint32_t lengths[] = {0, 1, 17, 1000, 8184};
    struct server s;
    server_start(&s, "maritcp", "server.workernum=2", "server.connnum=200", NULL);
    for (size_t i = 0; i < sizeof lengths / sizeof lengths[0]; i++) {
        struct ledger *l = ledger_create(&s.target, 50, lengths[i]);
        ck_assert(ledger_connect(l, 5000));
        ledger_ask(l, 100, 16);
        ck_assert(ledger_run(l, 10000));
        ck_assert_uint_eq(l->answered, 5000);
        ck_assert_uint_eq(l->ends[END_OPEN], 50);
        ledger_destroy(&l);
    }
    server_finish(&s);
    ck_assert_uint_eq(server_counter(&s, "packets_in"), 5 * 5000);
}
END_TEST

/* ---- Row 9 ---- */

/* One bad packet: an answer to what stood before it, then a FIN. */
static void expect_refusal(const struct server *s, uint32_t stx, uint16_t pkglen, uint16_t akg_id,
                           bool good_first)
{
    unsigned char bytes[64];
    size_t n = good_first ? client_packet(bytes, TEST_ECHO, "good", 4) : 0;
    wire_put_head(bytes + n, (struct wire_head){.stx = stx, .pkglen = pkglen, .akg_id = akg_id});
    memset(bytes + n + WIRE_HEAD_LEN, 0x2e, 16);
    int fd = client_open(s);
    client_send(fd, bytes, n + WIRE_HEAD_LEN + 16);
    if (good_first)
        expect_bytes(fd, bytes, n);
    client_expect_fin(fd);
}

/* Goal: a wrong stx, each bit of it, is refused as bad_stx, no function sees it, and what came before is
 * answered. */
START_TEST(bad_stx)
{
    struct server s;
    server_start(&s, "testapp", "server.workernum=1", NULL);
    for (int bit = 0; bit < 32; bit++)
        expect_refusal(&s, ITEST_STX ^ 1u << bit, 24, TEST_ECHO, bit % 2 != 0);
    ck_assert_uint_eq(server_counter(&s, "functions"), 16);
    server_finish(&s);
    ck_assert_uint_eq(server_counter(&s, "closed_bad_stx"), 32);
    ck_assert_uint_eq(server_counter(&s, "hook_end_error"), 32);
}
END_TEST

/* Goal: pkglen 0 .. 7, max + 1 and 65535 are refused as bad_length; 8 and max are not. */
START_TEST(bad_length)
{
    static const uint16_t lengths[] = {0, 1, 2, 3, 4, 5, 6, 7, 1025, 1026, 32768, 65534, 65535};
    enum { COUNT = sizeof lengths / sizeof lengths[0] };
    struct server s;
    server_start(&s, "testapp", "server.workernum=1", "server.max_pkglen=1024", NULL);
    for (int i = 0; i < COUNT; i++) {
        expect_refusal(&s, ITEST_STX, lengths[i], TEST_ECHO, false);
        expect_refusal(&s, ITEST_STX, lengths[i], TEST_ECHO, true);
    }
    int fd = client_open(&s);
    client_echo(fd, 0);
    client_echo(fd, 1024 - WIRE_HEAD_LEN);
    ck_assert_uint_eq(server_counter(&s, "functions"), COUNT + 2);
    close(fd);
    server_finish(&s);
    ck_assert_uint_eq(server_counter(&s, "closed_bad_length"), 2 * COUNT);
}
END_TEST

/* Goal: with max_pkglen 8 a bare head is served and nothing else; with 65535 there is no length too large. */
START_TEST(extreme_max_pkglen)
{
    struct server s;
    unsigned char head[WIRE_HEAD_LEN];
    server_start(&s, "maritcp", "server.workernum=1", "server.max_pkglen=8", NULL);
    int fd = client_open(&s);
    client_echo(fd, 0);
    wire_put_head(head, (struct wire_head){.stx = ITEST_STX, .pkglen = 9, .akg_id = TEST_ECHO});
    client_send(fd, head, sizeof head);
    client_expect_fin(fd);
    server_finish(&s);
    ck_assert_uint_eq(server_counter(&s, "closed_bad_length"), 1);

    server_start(&s, "maritcp", "server.workernum=1", "server.max_pkglen=65535", NULL);
    fd = client_open(&s);
    client_echo(fd, WIRE_PACKET_MAX - WIRE_HEAD_LEN);
    close(fd);
    server_finish(&s);
}
END_TEST

/* Goal: a head that lies about its length is judged by what has come: bad ones at once, however few bytes
 * follow. */
START_TEST(bad_before_it_is_whole)
{
    struct server s;
    unsigned char head[WIRE_HEAD_LEN];
    server_start(&s, "testapp", "server.workernum=1", "server.packet_timeout=60", NULL);
    wire_put_head(head, (struct wire_head){.stx = 0x12345678, .pkglen = 8, .akg_id = TEST_ECHO});
    int fd = client_open(&s);
    client_send(fd, head, 4);
    client_expect_fin(fd);
    wire_put_head(head, (struct wire_head){.stx = ITEST_STX, .pkglen = 8193, .akg_id = TEST_ECHO});
    fd = client_open(&s);
    client_send(fd, head, 6);
    client_expect_fin(fd);
    wire_put_head(head, (struct wire_head){.stx = ITEST_STX, .pkglen = 8192, .akg_id = 0x0bad});
    fd = client_open(&s);
    client_send(fd, head, 8);
    client_expect_fin(fd);
    server_finish(&s);
    ck_assert_uint_eq(server_counter(&s, "closed_bad_stx"), 1);
    ck_assert_uint_eq(server_counter(&s, "closed_bad_length"), 1);
    ck_assert_uint_eq(server_counter(&s, "closed_unknown_akg"), 1);
    ck_assert_uint_eq(server_counter(&s, "packets_in"), 0);
}
END_TEST

enum { WINDOW = 64 };

/* Wait for the FIN on each of fd[0 .. n-1], and close it. */
static void reap(const int *fd, int n)
{
    for (int i = 0; i < n; i++) {
        char byte;
        ptrdiff_t got = net_recv_wait(fd[i], &byte, 1, itest_deadline(5000));
        ITEST_ASSERT(got == 0, "a packet with an unknown akg_id got %s",
                     got > 0 ? "an answer" : strerror(errno));
        close(fd[i]);
    }
}

/* Goal: each of the 65,536 akg_ids outside maritcp's own block is refused as unknown_akg, the reserved
 * ones too; no function runs; while well-behaved clients lose nothing. Under a sanitizer every 16th, and
 * the last 64. */
START_TEST(all_akg_ids)
{
    struct server s;
    unsigned char packet[WIRE_HEAD_LEN];
    int fd[WINDOW], n = 0;
    uint32_t asked = 0;
    server_start(&s, "maritcp", "server.workernum=2", "server.connnum=200", NULL);
    struct bystanders *b = bystanders_start(&s.target, 5, 100, 2);
    for (uint32_t id = 0; id < 65536; id++) {
        if ((id > CMD_FUNCTION_BASE && id < 0x61ff) || (ITEST_SLOW > 1 && id % 16 != 0 && id < 65536 - 64))
            continue;
        ITEST_ASSERT((fd[n] = net_connect_start(&s.target, id)) >= 0, "connect: %s", strerror(errno));
        struct pollfd p = {.fd = fd[n++], .events = POLLOUT};
        ITEST_ASSERT(poll(&p, 1, 5000) == 1 && net_connect_result(p.fd) == 0, "cannot connect");
        client_send(p.fd, packet, client_packet(packet, (uint16_t) id, NULL, 0));
        asked++;
        if (n == WINDOW) {
            reap(fd, n);
            n = 0;
        }
    }
    reap(fd, n);
    struct bystander_report r = bystanders_finish(&b);
    server_finish(&s);
    ck_assert_uint_eq(server_counter(&s, "closed_unknown_akg"), asked);
    ck_assert_uint_eq(server_counter(&s, "packets_in"), r.answered);
}
END_TEST

/* Goal: in the block that all_akg_ids leaves out, ids next to a registered one are unknown as well. */
START_TEST(ids_beside_a_known_one)
{
    struct server s;
    server_start(&s, "testapp", "server.workernum=1", NULL);
    for (uint32_t id = CMD_FUNCTION_BASE; id <= 0x61ff; id++) {
        if (id != TEST_ECHO)
            expect_refusal(&s, ITEST_STX, WIRE_HEAD_LEN, (uint16_t) id, false);
    }
    ck_assert_uint_eq(server_counter(&s, "functions"), 0);
    server_finish(&s);
    ck_assert_uint_eq(server_counter(&s, "closed_unknown_akg"), 255);
}
END_TEST

/* Goal: a flood of bad packets writes no more than 10 log lines a second, however many workers there are. */
START_TEST(flood_of_bad_packets_is_quiet)
{
    struct server s;
    server_start(&s, "maritcp", "server.workernum=8", "server.connnum=50", NULL);
    uint64_t until = mono_ns() + 2500 * NS_PER_MS;
    unsigned sent = 0;
    while (mono_ns() < until) {
        expect_refusal(&s, 0, 8, 0, false);
        sent++;
    }
    server_finish(&s);
    ck_assert_uint_eq(server_counter(&s, "closed_bad_stx"), sent);
}
END_TEST

/* ---- Addresses ---- */

static struct test_who who_is(int fd)
{
    struct test_who who;
    ck_assert_uint_eq(client_ask(fd, TEST_WHO, NULL, 0, &who, sizeof who), sizeof who);
    return who;
}

/* The port of our own end, in network order. */
static uint16_t own_port(int fd)
{
    struct sockaddr_storage a;
    socklen_t len = sizeof a;
    ck_assert_int_eq(getsockname(fd, (struct sockaddr *) &a, &len), 0);
    return a.ss_family == AF_INET    ? ((struct sockaddr_in *) &a)->sin_port
           : a.ss_family == AF_INET6 ? ((struct sockaddr_in6 *) &a)->sin6_port
                                     : 0;
}

/* Goal: two IPv4 ports, IPv6 and a unix socket at once; all serve, and cip and cport are the client's on
 * each. */
START_TEST(several_addresses)
{
    struct server s;
    char path[64] = "/tmp/mario-itest-XXXXXX", listen[256];
    int dir = mkstemp(path); /* a name of our own; the socket lies beside it */
    ck_assert(dir >= 0);
    close(dir);
    unlink(path);
    snprintf(listen, sizeof listen, "127.0.0.1:0,127.0.0.1:0,unix:%s%s", path,
             client_has_ipv6() ? ",[::1]:0" : "");
    server_launch(&s, &(struct launch){.program = "testapp", .listen = listen});
    ck_assert_uint_eq(s.address_count, client_has_ipv6() ? 4 : 3);
    if (!client_has_ipv6())
        TEST_SKIP_PART("no IPv6 here");
    for (unsigned i = 0; i < s.address_count; i++) {
        int fd = client_open_at(&s.addresses[i]);
        client_echo(fd, 1000);
        struct test_who who = who_is(fd);
        ck_assert_uint_eq(who.cip, i < 2 ? htonl(INADDR_LOOPBACK) : 0);
        ck_assert_uint_eq(who.cport, own_port(fd));
        close(fd);
        struct ledger *l = ledger_create(&s.addresses[i], 50, 300);
        ck_assert(ledger_connect(l, 5000));
        ledger_ask(l, 50, 8);
        ck_assert(ledger_run(l, 10000));
        ck_assert_uint_eq(l->answered, 2500);
        ledger_destroy(&l);
    }
    server_finish(&s);
    ck_assert_msg(access(path, F_OK) != 0, "the unix socket's file is left behind");
}
END_TEST

/* Goal: cip and cport are each client's own with many clients from several addresses; in_buf_len is the
 * pkglen. */
START_TEST(each_client_has_its_address)
{
    struct server s;
    int fd[60];
    server_start(&s, "testapp", NULL);
    for (uint32_t i = 0; i < 60; i++) {
        fd[i] = net_connect_start(&s.target, i);
        ck_assert_int_ge(fd[i], 0);
    }
    for (uint32_t i = 0; i < 60; i++) {
        struct test_who who = who_is(fd[i]);
        ck_assert_uint_eq(who.cip, htonl(0x7f000002 + i));
        ck_assert_uint_eq(who.cport, own_port(fd[i]));
        ck_assert_uint_eq(who.in_buf_len, WIRE_HEAD_LEN);
        ck_assert_uint_ge(who.out_buf_len, 8192);
        close(fd[i]);
    }
    server_finish(&s);
}
END_TEST

/* Goal: the k-th accepted connection goes to the next worker. */
START_TEST(round_robin)
{
    struct server s;
    int fd[30];
    server_start(&s, "testapp", "server.workernum=3", NULL);
    for (int i = 0; i < 30; i++) {
        fd[i] = client_open(&s);
        ck_assert_uint_eq(who_is(fd[i]).worker, i % 3);
    }
    for (int i = 0; i < 30; i++)
        close(fd[i]);
    server_finish(&s);
}
END_TEST

Suite *wire_suite(void)
{
    Suite *s = suite_create("wire");
    TCase *c = itest_case(s, "cuts", 30);
    tcase_add_test(c, cut_at_every_byte);
    tcase_add_test(c, byte_by_byte_and_merged);
    tcase_add_test(c, ten_thousand_small);
    tcase_add_test(c, ten_thousand_large);
    tcase_add_test(c, largest_packets_in_odd_pieces);
    tcase_add_test(c, many_with_pipelines);
    c = itest_case(s, "bad input", 60);
    tcase_add_test(c, bad_stx);
    tcase_add_test(c, bad_length);
    tcase_add_test(c, extreme_max_pkglen);
    tcase_add_test(c, bad_before_it_is_whole);
    tcase_add_test(c, all_akg_ids);
    tcase_add_test(c, ids_beside_a_known_one);
    tcase_add_test(c, flood_of_bad_packets_is_quiet);
    c = itest_case(s, "addresses", 20);
    tcase_add_test(c, several_addresses);
    tcase_add_test(c, each_client_has_its_address);
    tcase_add_test(c, round_robin);
    return s;
}
