/*
 * test_functions.c: what business functions and hooks may do, and what comes of it: closing themselves and
 * others, twice, before and after writing, returning anything (SCORECARD row 16); large answers; hooks that
 * greet or refuse.
 */
#include "harness.h"

#include <limits.h>
#include <netinet/in.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

#include "test/apps/testapp/commands.h"
#include "test_ledger.h"

/* The reserved ids, as reason_id and err_type. */
enum { ID_TIMEOUT = 0xfffd, ID_CLOSED = 0xfffe, ID_ERROR = 0xffff };

static size_t end_packet(unsigned char *out, uint16_t akg_id, uint16_t reason_id, int32_t value)
{
    struct test_end e = {.reason_id = reason_id, .value = value};
    return client_packet(out, akg_id, &e, sizeof e);
}

/* The n packets of `count` bytes each that TEST_AMPLIFY or an ECHO gives back. */
static void expect_same(int fd, const unsigned char *packet, size_t n, unsigned count)
{
    unsigned char got[WIRE_PACKET_MAX];
    for (unsigned i = 0; i < count; i++) {
        client_recv(fd, got, n);
        ITEST_ASSERT(memcmp(got, packet, n) == 0, "answer %u of %u is wrong", i, count);
    }
}

/* Receive `sum` bytes in packets of akg_id with nothing but 'r' in them. */
static void expect_bulk(int fd, uint16_t akg_id, size_t sum)
{
    unsigned char data[8192];
    while (sum > 0) {
        size_t n = client_recv_packet(fd, akg_id, data, sizeof data);
        for (size_t i = 0; i < n; i++)
            ITEST_ASSERT(data[i] == 'r', "a byte %02x in an answer", data[i]);
        ITEST_ASSERT(n + WIRE_HEAD_LEN <= sum, "more than was asked for");
        sum -= n + WIRE_HEAD_LEN;
    }
}

/* ---- Returning ---- */

/* Goal: any value but 0 closes, after the answer has arrived, with the error hook; 0 goes on. Others are
 * unharmed. */
START_TEST(returns_any_value)
{
    static const int32_t values[] = {1, -1, 2, 255, 256, 65536, INT_MAX, INT_MIN};
    enum { COUNT = sizeof values / sizeof values[0] };
    struct server s;
    server_start(&s, "testapp", "server.workernum=1", NULL);
    struct bystanders *b = bystanders_start(&s.target, 3, 50, 1);
    for (int i = 0; i < COUNT; i++) {
        unsigned char packet[32];
        int32_t zero = 0;
        int fd = client_open(&s);
        size_t n = client_packet(packet, TEST_RETURN, &zero, sizeof zero);
        client_send(fd, packet, n);
        expect_same(fd, packet, n, 1);
        n = client_packet(packet, TEST_RETURN, &values[i], sizeof values[i]);
        client_send(fd, packet, n);
        expect_same(fd, packet, n, 1);
        client_expect_fin(fd);
    }
    bystanders_finish(&b);
    server_finish(&s);
    ck_assert_uint_eq(server_counter(&s, "closed_function_error"), COUNT);
    ck_assert_uint_eq(server_counter(&s, "hook_end_error"), COUNT);
    ck_assert_uint_eq(server_counter(&s, "err_type"), ID_CLOSED); /* the bystanders went last */
}
END_TEST

/* ---- Row 16 ---- */

/* Goal: a function that closes its connection twice, then writes and returns anything: nothing of it
 * arrives but a FIN; its reason_id chooses the hook and is handed to it. */
START_TEST(closes_twice_then_writes)
{
    static const struct {
        uint16_t reason_id;
        const char *hook, *reason;
    } rows[] = {{1, "hook_end_closed", "closed_function_closed"},
                {0x7003, "hook_end_closed", "closed_function_closed"},
                {ID_CLOSED, "hook_end_closed", "closed_function_closed"},
                {0xfffc, "hook_end_closed", "closed_function_closed"},
                {ID_TIMEOUT, "hook_end_timeout", "closed_function_closed"},
                {ID_ERROR, "hook_end_error", "closed_function_error"}};
    static const int32_t values[] = {0, 1, -1, INT_MIN};
    struct server s;
    server_start(&s, "testapp", "server.workernum=1", NULL);
    int asking = client_open(&s);
    client_echo(asking, 1);
    for (size_t i = 0; i < sizeof rows / sizeof rows[0]; i++) {
        uint64_t hooks = server_counter(&s, rows[i].hook), reasons = server_counter(&s, rows[i].reason);
        for (size_t k = 0; k < sizeof values / sizeof values[0]; k++) {
            unsigned char packet[32];
            int fd = client_open(&s);
            client_send(fd, packet, end_packet(packet, TEST_CLOSE, rows[i].reason_id, values[k]));
            client_expect_fin(fd);
            ck_assert_uint_eq(server_counter(&s, "err_type"), rows[i].reason_id);
        }
        /* server_counter() opens and closes connections too: those end in the closed hook, so only the
         * least is known there. */
        ck_assert_uint_ge(server_counter(&s, rows[i].hook), hooks + 4);
        ck_assert_uint_eq(server_counter(&s, rows[i].reason), reasons + 4);
    }
    close(asking);
    server_finish(&s);
    ck_assert_uint_eq(server_counter(&s, "closed_function_closed"), 20);
    ck_assert_uint_eq(server_counter(&s, "hook_end_timeout"), 4);
    ck_assert_uint_eq(server_counter(&s, "hook_end_error"), 4);
}
END_TEST

/* Goal: what was written before close_conn arrives, what was written after does not, whatever is returned. */
START_TEST(writes_closes_writes)
{
    static const int32_t values[] = {0, 1, -7};
    struct server s;
    server_start(&s, "testapp", "server.workernum=1", NULL);
    for (size_t i = 0; i < sizeof values / sizeof values[0]; i++) {
        unsigned char packet[32];
        int fd = client_open(&s);
        size_t n = end_packet(packet, TEST_WRITE_CLOSE, 3, values[i]);
        client_send(fd, packet, n);
        expect_same(fd, packet, n, 1);
        client_expect_fin(fd);
    }
    server_finish(&s);
    ck_assert_uint_eq(server_counter(&s, "closed_function_closed"), 3);
}
END_TEST

/* Goal: answers before the close in the same segment arrive; packets behind it are not looked at, bad ones
 * neither. */
START_TEST(closes_in_the_middle_of_a_segment)
{
    struct server s;
    unsigned char bytes[256 * 16 + 64], echo[32];
    size_t n = 0, one = client_packet(echo, TEST_ECHO, "12345678", 8), last;
    server_start(&s, "testapp", "server.workernum=1", NULL);
    for (int i = 0; i < 100; i++, n += one)
        memcpy(bytes + n, echo, one);
    last = end_packet(bytes + n, TEST_WRITE_CLOSE, 1, 0);
    n += last;
    for (int i = 0; i < 100; i++, n += one)
        memcpy(bytes + n, echo, one);
    memset(bytes + n, 0, 10); /* and a bad head */
    int fd = client_open(&s);
    client_send(fd, bytes, n + 10);
    expect_same(fd, echo, one, 100);
    expect_same(fd, bytes + 100 * one, last, 1);
    client_expect_fin(fd);
    ck_assert_uint_eq(server_counter(&s, "functions"), 102);
    server_finish(&s);
    ck_assert_uint_eq(server_counter(&s, "closed_function_closed"), 1);
    ck_assert_uint_eq(server_counter(&s, "closed_bad_stx"), 0);
}
END_TEST

/* Goal: a function that closes while a lot lies unread behind its packet: the answer, then a FIN and no
 * RST. */
START_TEST(closes_with_much_unread)
{
    enum { BEHIND = 100000 };
    static unsigned char bytes[BEHIND + 100], packet[64];
    struct server s;
    server_start(&s, "testapp", "server.workernum=1", NULL);
    for (int i = 0; i < 20; i++) {
        uint32_t ms = 10; /* in which all of it arrives */
        size_t n = client_packet(bytes, TEST_SLEEP, &ms, sizeof ms);
        size_t last = end_packet(packet, TEST_WRITE_CLOSE, 1, 0);
        memcpy(bytes + n, packet, last);
        int fd = client_open(&s);
        client_send(fd, bytes, n + last + BEHIND);
        expect_same(fd, bytes, n, 1);
        expect_same(fd, packet, last, 1);
        client_expect_fin(fd);
    }
    server_finish(&s);
    ck_assert_uint_eq(server_counter(&s, "closed_function_closed"), 20);
}
END_TEST

/* Goal: close_err_conn twice ends with the error hook, once. */
START_TEST(close_err)
{
    struct server s;
    server_start(&s, "testapp", NULL);
    for (int i = 0; i < 20; i++) {
        int fd = client_open(&s);
        client_send_packet(fd, TEST_CLOSE_ERR, NULL, 0);
        client_expect_fin(fd);
    }
    server_finish(&s);
    ck_assert_uint_eq(server_counter(&s, "hook_end_error"), 20);
    ck_assert_uint_eq(server_counter(&s, "err_type"), ID_ERROR);
}
END_TEST

/* Goal: thousands of connections that close themselves in every way while others work on the same worker:
 * no slot goes back twice, nobody sees another's bytes. */
START_TEST(closing_in_a_loop)
{
    static const uint16_t ids[] = {TEST_CLOSE, TEST_WRITE_CLOSE, TEST_CLOSE_ERR, TEST_RETURN};
    enum { ROUNDS = 4000 / ITEST_SLOW };
    struct server s;
    server_start(&s, "testapp", "server.workernum=1", "server.connnum=30", NULL);
    struct bystanders *b = bystanders_start(&s.target, 10, 200, 0);
    for (uint32_t i = 0; i < ROUNDS; i++) {
        unsigned char packet[32];
        uint16_t id = ids[i % 4];
        size_t n =
            end_packet(packet, id, (uint16_t) (0xfff0 + i % 16), (int32_t) (i / 4) % 3 + (id == TEST_RETURN));
        if (id == TEST_RETURN)
            wire_put32(packet + WIRE_HEAD_LEN, 1 + i);
        int fd = client_open(&s);
        client_send(fd, packet, n);
        if (id == TEST_WRITE_CLOSE || id == TEST_RETURN)
            expect_same(fd, packet, n, 1);
        client_expect_fin(fd);
    }
    bystanders_finish(&b);
    server_finish(&s);
    ck_assert_uint_eq(server_counter(&s, "closed"), ROUNDS + 10);
}
END_TEST

/* ---- Closing another ---- */

static uint16_t port_of(int fd)
{
    struct sockaddr_in a;
    socklen_t len = sizeof a;
    ck_assert_int_eq(getsockname(fd, (struct sockaddr *) &a, &len), 0);
    return ntohs(a.sin_port);
}

/* Have `by` close the connection whose client is `victim`. */
static void close_other(int by, int victim)
{
    uint32_t port = port_of(victim);
    uint8_t found;
    ck_assert_uint_eq(client_ask(by, TEST_CLOSE_OTHER, &port, sizeof port, &found, 1), 1);
    ck_assert_uint_eq(found, 1);
}

/* Goal: a function may close another connection of its worker, idle or with half a packet received. */
START_TEST(closes_another)
{
    struct server s;
    server_start(&s, "testapp", "server.workernum=1", NULL);
    int by = client_open(&s);
    for (int i = 0; i < 50; i++) {
        int victim = client_open(&s);
        client_echo(victim, 10);
        if (i % 2 != 0) {
            unsigned char packet[32];
            client_send(victim, packet, client_packet(packet, TEST_ECHO, "0123456789", 10) - 1);
            client_echo(by, 1);
        }
        close_other(by, victim);
        client_expect_fin(victim);
    }
    client_echo(by, 1);
    close(by);
    server_finish(&s);
    ck_assert_uint_eq(server_counter(&s, "closed_function_closed"), 50);
}
END_TEST

/* Goal: a connection closed by another with answers still on their way gets all of them first. */
START_TEST(closes_another_with_output_pending)
{
    struct server s;
    uint32_t n = 3 * 1024 * 1024;
    server_start(&s, "testapp", "server.workernum=1", "output.max=16m", "output.high=8m", NULL);
    int by = client_open(&s), victim = client_open(&s);
    client_echo(victim, 10);
    client_send_packet(victim, TEST_REPLY, &n, sizeof n);
    client_send_packet(victim, TEST_REPLY, &n, sizeof n);
    client_send_packet(victim, TEST_ECHO, NULL, 0);
    server_wait_counter(&s, "functions", 4, 5000);
    close_other(by, victim);
    expect_bulk(victim, TEST_REPLY, n);
    expect_bulk(victim, TEST_REPLY, n);
    ck_assert_uint_eq(client_recv_packet(victim, TEST_ECHO, NULL, 0), 0);
    client_expect_fin(victim);
    close(by);
    server_finish(&s);
    ck_assert_uint_eq(server_counter(&s, "closed_function_closed"), 1);
}
END_TEST

/* ---- Large answers ---- */

/* Goal: 1 MB answers arrive whole, one after the other and eight asked for at once. */
START_TEST(writes_a_megabyte)
{
    enum { EACH = 1024 * 1024 };
    struct server s;
    unsigned char asks[8 * WIRE_HEAD_LEN];
    server_start(&s, "testapp", "server.workernum=1", NULL);
    int fd = client_open(&s);
    for (int i = 0; i < 4; i++) {
        client_send_packet(fd, TEST_MEGABYTE, NULL, 0);
        expect_bulk(fd, TEST_MEGABYTE, EACH);
    }
    for (size_t i = 0; i < 8; i++)
        client_packet(asks + i * WIRE_HEAD_LEN, TEST_MEGABYTE, NULL, 0);
    client_send(fd, asks, sizeof asks);
    expect_bulk(fd, TEST_MEGABYTE, 8 * EACH);
    client_echo(fd, 100);
    close(fd);
    server_finish(&s);
    ck_assert_uint_eq(server_counter(&s, "closed_peer_closed"), server_counter(&s, "closed"));
}
END_TEST

/* Goal: answers of every awkward length around a packet, and one packet answered 5000 times. */
START_TEST(amplifies)
{
    static const uint32_t lengths[] = {8,     9,     8191,   8192,   8193,   8200,   16384,
                                       65535, 65536, 262143, 262144, 262145, 4000000};
    struct server s;
    unsigned char packet[64];
    uint32_t times = 5000;
    server_start(&s, "testapp", "server.workernum=1", NULL);
    int fd = client_open(&s);
    for (size_t i = 0; i < sizeof lengths / sizeof lengths[0]; i++) {
        client_send_packet(fd, TEST_REPLY, &lengths[i], sizeof lengths[i]);
        expect_bulk(fd, TEST_REPLY, lengths[i]);
    }
    size_t n = client_packet(packet, TEST_AMPLIFY, &times, sizeof times);
    client_send(fd, packet, n);
    expect_same(fd, packet, n, times);
    client_echo(fd, 1);
    close(fd);
    server_finish(&s);
}
END_TEST

/* ---- Hooks ---- */

/* Goal: what the connected hook writes arrives before any answer, a short greeting and a megabyte alike. */
START_TEST(hook_greets)
{
    struct server s;
    unsigned char data[16];
    server_start(&s, "testapp", "test.connected=greet", NULL);
    for (int i = 0; i < 20; i++) {
        int fd = client_open(&s);
        ck_assert_uint_eq(client_recv_packet(fd, TEST_ECHO, data, sizeof data), 5);
        ck_assert_mem_eq(data, "ggggg", 5);
        client_echo(fd, 10);
        close(fd);
    }
    server_finish(&s);
    ck_assert_uint_eq(server_counter(&s, "opened"), 20);

    server_start(&s, "testapp", "test.connected=big", NULL);
    for (int i = 0; i < 5; i++) {
        int fd = client_open(&s);
        client_send_packet(fd, TEST_ECHO, "x", 1);
        expect_bulk(fd, TEST_REPLY, 1024 * 1024);
        ck_assert_uint_eq(client_recv_packet(fd, TEST_ECHO, data, sizeof data), 1);
        close(fd);
    }
    server_finish(&s);
    ck_assert_uint_eq(server_counter(&s, "opened"), 5);
}
END_TEST

/* Goal: a connected hook that returns non-zero, or closes, ends the connection with one end hook; the pool
 * stays whole. */
START_TEST(hook_refuses)
{
    static const struct {
        const char *option, *reason, *hook;
    } rows[] = {{"test.connected=refuse", "closed_function_error", "hook_end_error"},
                {"test.connected=close", "closed_function_closed", "hook_end_closed"}};
    for (size_t i = 0; i < 2; i++) {
        struct server s;
        server_start(&s, "testapp", "server.workernum=1", "server.connnum=10", rows[i].option, NULL);
        for (int k = 0; k < 100; k++)
            client_expect_fin(client_open(&s));
        server_finish(&s);
        ck_assert_uint_eq(server_counter(&s, rows[i].reason), 100);
        ck_assert_uint_eq(server_counter(&s, rows[i].hook), 100);
        ck_assert_uint_eq(server_counter(&s, "refused_full"), 0);
    }
}
END_TEST

/* Goal: what an end hook writes is not sent, neither to its client nor to the next one on the slot. */
START_TEST(end_hook_writes)
{
    struct server s;
    server_start(&s, "testapp", "server.workernum=1", "server.connnum=4", "test.end=write", NULL);
    for (int i = 0; i < 50; i++) {
        unsigned char packet[32];
        int fd = client_open(&s);
        client_echo(fd, 10);
        if (i % 2 == 0)
            shutdown(fd, SHUT_WR);
        else
            client_send(fd, packet, end_packet(packet, TEST_CLOSE, 1, 0));
        client_expect_fin(fd);
    }
    server_finish(&s);
}
END_TEST

/* Goal: without any hook everything works as well. */
START_TEST(no_hooks)
{
    struct server s;
    server_start(&s, "testapp", "test.hooks=off", NULL);
    s.counts_itself = false; /* there are no hooks to account for */
    for (int i = 0; i < 20; i++) {
        unsigned char packet[32];
        int fd = client_open(&s);
        client_echo(fd, 10);
        client_send(fd, packet, end_packet(packet, TEST_WRITE_CLOSE, 1, 0));
        expect_same(fd, packet, WIRE_HEAD_LEN + sizeof(struct test_end), 1);
        client_expect_fin(fd);
    }
    server_finish(&s);
    ck_assert_uint_eq(server_counter(&s, "closed_function_closed"), 20);
}
END_TEST

/* ---- The server from a function ---- */

/* Goal: after the start every regist_ function says -1 and changes nothing. */
START_TEST(registers_too_late)
{
    struct server s;
    int32_t rc[14];
    server_start(&s, "testapp", NULL);
    int fd = client_open(&s);
    ck_assert_uint_eq(client_ask(fd, TEST_REGISTER, NULL, 0, rc, sizeof rc), sizeof rc);
    for (size_t i = 0; i < sizeof rc / sizeof rc[0]; i++)
        ck_assert_int_eq(rc[i], -1);
    client_echo(fd, 5);
    client_send_packet(fd, 0x1234, NULL, 0); /* what it tried to register */
    client_expect_fin(fd);
    server_finish(&s);
    ck_assert_uint_eq(server_counter(&s, "closed_unknown_akg"), 1);
    ck_assert_uint_eq(server_counter(&s, "hook_end_error"), 1);
}
END_TEST

/* Goal: who reads a packet as text sees its own bytes alone, whatever stands behind it in the buffers: other packets of
 * the stream, the end of a receive buffer, what was offloaded before. */
START_TEST(reads_its_packet_as_text)
{
    static const uint16_t kinds[] = {0, TEST_OFFLOADED, TEST_CONCURRENT};
    enum { PACKETS = 2000 };
    static unsigned char packets[PACKETS * 200];
    struct server s;
    server_start(&s, "testapp", "test.offload=on", "server.workernum=1", "offload.threads=1", NULL);
    for (int k = 0; k < 3; k++) {
        unsigned char text[200];
        size_t n = 0;
        uint16_t akg_id = (uint16_t) (TEST_SIGHT + kinds[k]);
        int fd = client_open(&s);
        memset(text, 'x', sizeof text);
        for (size_t i = 0; i < PACKETS; i++) /* 65,536 bytes end behind a packet, and within one */
            n += client_packet(packets + n, akg_id, text, i % 3 == 0 ? 56 : (i * 7) % 180);
        client_send(fd, packets, n);
        for (size_t i = 0; i < PACKETS; i++) {
            uint32_t len = UINT32_MAX;
            client_recv_packet(fd, akg_id, &len, sizeof len);
            ck_assert_uint_eq(len, i % 3 == 0 ? 56 : (i * 7) % 180);
        }
        close(fd);
    }
    for (int i = 0; i < 10; i++) { /* exactly what the receive buffer holds */
        static unsigned char full[65536], data[512 - WIRE_HEAD_LEN];
        int fd = client_open(&s);
        memset(data, 'y', sizeof data);
        for (size_t at = 0; at < sizeof full; at += 512)
            client_packet(full + at, TEST_SIGHT, data, sizeof data);
        client_send(fd, full, sizeof full);
        for (size_t at = 0; at < sizeof full; at += 512) {
            uint32_t len = UINT32_MAX;
            client_recv_packet(fd, TEST_SIGHT, &len, sizeof len);
            ck_assert_uint_eq(len, sizeof data);
        }
        close(fd);
    }
    server_finish(&s);
}
END_TEST

/* Goal: a function that stops the server: its answer arrives, every client gets a FIN, exit code 0. */
START_TEST(stops_the_server)
{
    struct server s;
    int fd[20];
    server_start(&s, "testapp", NULL);
    for (int i = 0; i < 20; i++) {
        fd[i] = client_open(&s);
        client_echo(fd[i], 3);
    }
    ck_assert_uint_eq(client_ask(fd[7], TEST_STOP, NULL, 0, NULL, 0), 0);
    for (int i = 0; i < 20; i++)
        client_expect_fin(fd[i]);
    ck_assert_int_eq(server_wait_exit(&s, 5000), 0);
    server_check(&s);
    ck_assert_uint_eq(server_counter(&s, "closed_stop"), 20);
}
END_TEST

/* Say a line, and hear this one. */
static void say_line(int fd, const char *line, const char *answer)
{
    char got[256];
    client_send(fd, line, strlen(line));
    client_recv(fd, got, strlen(answer));
    ITEST_ASSERT(memcmp(got, answer, strlen(answer)) == 0, "'%s' was answered with '%.*s'", line,
                 (int) strlen(answer), got);
}

/* Goal: maritcp serves lines on a second port when asked: `hello` is the function that SAY_HELLO is, and what nobody
 * knows is answered too. On the first port all is as ever. */
START_TEST(maritcp_takes_lines)
{
    static const char listen[] = "127.0.0.1:0, 127.0.0.1:0 proto=line id=word";
    const char *const args[] = {"server.workernum=1", NULL};
    struct server s;
    char hello[5];
    server_launch(&s, &(struct launch){.program = "maritcp", .args = args, .listen = listen});
    int fd = client_open_at(&s.addresses[1]), other = client_open(&s);
    say_line(fd, "hello\r\n", "hello\n");
    say_line(fd, "hello you\n", "hello\n");
    say_line(fd, "echo  one two \r\n", "echo  one two \n");
    say_line(fd, "help\n", "hello, echo TEXT, help, quit\n");
    say_line(fd, "Hello\n", "no such word: try help\n");
    say_line(fd, "\r\n", "no such word: try help\n");
    say_line(fd, "hello\nhello\nquit\nhello\n", "hello\nhello\nbye\n");
    client_expect_fin(fd);
    ck_assert_uint_eq(client_ask(other, 0x6102, NULL, 0, hello, sizeof hello), 5);
    ck_assert_mem_eq(hello, "hello", 5);
    close(other);
    server_finish(&s);
    ck_assert_uint_eq(server_counter(&s, "packets_in"), 10);
}
END_TEST

Suite *functions_suite(void)
{
    Suite *s = suite_create("functions");
    TCase *c = itest_case(s, "closing", 20);
    tcase_add_test(c, returns_any_value);
    tcase_add_test(c, closes_twice_then_writes);
    tcase_add_test(c, writes_closes_writes);
    tcase_add_test(c, closes_in_the_middle_of_a_segment);
    tcase_add_test(c, closes_with_much_unread);
    tcase_add_test(c, close_err);
    tcase_add_test(c, closing_in_a_loop);
    tcase_add_test(c, closes_another);
    tcase_add_test(c, closes_another_with_output_pending);
    c = itest_case(s, "answers", 20);
    tcase_add_test(c, writes_a_megabyte);
    tcase_add_test(c, amplifies);
    tcase_add_test(c, reads_its_packet_as_text);
    tcase_add_test(c, maritcp_takes_lines);
    c = itest_case(s, "hooks", 20);
    tcase_add_test(c, hook_greets);
    tcase_add_test(c, hook_refuses);
    tcase_add_test(c, end_hook_writes);
    tcase_add_test(c, no_hooks);
    c = itest_case(s, "server", 20);
    tcase_add_test(c, registers_too_late);
    tcase_add_test(c, stops_the_server);
    return s;
}
