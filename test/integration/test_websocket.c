/*
 * test_websocket.c: browsers' connections on a server: the functions that serve programs serve them, what they write
 * comes as messages, the hooks run when they should, and whoever ends it says so.
 */
#include <signal.h>
#include <stdio.h>
#include <string.h>
#include <sys/socket.h>
#include <unistd.h>

#include "ears.h"
#include "stuck.h"
#include "test/lib/websocket.h"

enum { ROOM = 1 << 20, SOON_MS = 8000 };

static const unsigned char mask[4] = {0x37, 0xfa, 0x21, 0x3d};
static unsigned char bytes[ROOM + 64];

/* ---- A client ---- */

static void upgrade(int fd)
{
    char answer[256];
    size_t n = strlen(websocket_accepted);
    client_send(fd, websocket_request, strlen(websocket_request));
    client_send(fd, "\r\n", 2);
    client_recv(fd, answer, n);
    ck_assert_msg(memcmp(answer, websocket_accepted, n) == 0, "answered %.*s", (int) n, answer);
}

/* The second address is theirs; by the first one testapp is asked for its counters. */
static int open_bare(const struct server *s)
{
    return client_open_at(&s->addresses[1]);
}

static int open_upgraded(const struct server *s)
{
    int fd = open_bare(s);
    upgrade(fd);
    return fd;
}

static void send_frame(int fd, uint8_t first, const void *payload, size_t n)
{
    client_send(fd, bytes, websocket_frame(bytes, first, payload, n, mask));
}

/* The next frame must begin with this byte: its payload to `out`, of ROOM bytes; how long it is. */
static size_t recv_frame(int fd, uint8_t first, unsigned char *out)
{
    unsigned char head[WEBSOCKET_FRONT];
    size_t front, have = 2;
    client_recv(fd, head, have);
    uint64_t n = websocket_length(head, &front);
    client_recv(fd, head + have, front - have);
    n = websocket_length(head, &front);
    ck_assert_msg(head[0] == first, "a frame begins with 0x%02x, not 0x%02x", head[0], first);
    ck_assert_uint_le(n, ROOM);
    client_recv(fd, out, n);
    return n;
}

static void expect_frame(int fd, uint8_t first, const void *payload, size_t n)
{
    static unsigned char got[ROOM];
    size_t len = recv_frame(fd, first, got);
    ck_assert_msg(len == n && memcmp(got, payload, n) == 0, "a frame of %zu bytes, not these %zu", len, n);
}

/* The server must say why it ends, then end. */
static void expect_close(int fd, unsigned code)
{
    const unsigned char payload[] = {(unsigned char) (code >> 8), (unsigned char) code};
    expect_frame(fd, WEBSOCKET_CLOSE, payload, 2);
    client_expect_fin(fd);
}

static void send_packet(int fd, uint16_t id, const void *data, size_t n)
{
    static unsigned char packet[65536];
    send_frame(fd, WEBSOCKET_BINARY, packet, client_packet(packet, id, data, n));
}

static void expect_packet(int fd, uint16_t id, const void *data, size_t n)
{
    static unsigned char packet[65536];
    expect_frame(fd, WEBSOCKET_BINARY, packet, client_packet(packet, id, data, n));
}

static void start(struct server *s, const char *listen, const char *const *args)
{
    server_launch(s, &(struct launch){.program = "testapp", .listen = listen, .args = args});
}

#define WS        "127.0.0.1:0,127.0.0.1:0 proto=ws"
#define ARGS(...) ((const char *const[]){"server.workernum=1", "test.offload=on", __VA_ARGS__, NULL})

/* ---- Messages ---- */

/* Goal: a packet in a message is answered by one; several are by as many; in many frames, in pieces, with pings. */
START_TEST(packets)
{
    struct server s;
    unsigned char two[64], pieces[256];
    start(&s, WS, ARGS("output.max=16m"));
    int fd = open_upgraded(&s);
    for (uint16_t offloaded = 0; offloaded <= TEST_CONCURRENT;
         offloaded = (uint16_t) (offloaded + TEST_OFFLOADED)) {
        uint16_t id = (uint16_t) (TEST_ECHO + offloaded);
        send_packet(fd, id, "abc", 3);
        expect_packet(fd, id, "abc", 3);
        if (offloaded == TEST_CONCURRENT) /* in any order */
            continue;
        size_t n = client_packet(two, id, "one", 3);
        n += client_packet(two + n, id, "two!", 4);
        send_frame(fd, WEBSOCKET_BINARY, two, n);
        expect_packet(fd, id, "one", 3);
        expect_packet(fd, id, "two!", 4);
        size_t len = websocket_frame(pieces, WEBSOCKET_BINARY & 0x0f, two, 5, mask);
        len += websocket_frame(pieces + len, WEBSOCKET_PING, "ping", 4, mask);
        len += websocket_frame(pieces + len, WEBSOCKET_MORE, two + 5, n - 5, mask);
        for (size_t i = 0; i < len; i++)
            client_send(fd, pieces + i, 1);
        expect_frame(fd, WEBSOCKET_PONG, "ping", 4);
        expect_packet(fd, id, "one", 3);
        expect_packet(fd, id, "two!", 4);
    }
    send_frame(fd, WEBSOCKET_CLOSE,
               "\x03\xe8"
               "bye",
               5);
    expect_close(fd, 1000);
    server_finish(&s);
    ck_assert_uint_eq(server_counter(&s, "closed_peer_closed"), 1);
}
END_TEST

/* Goal: all that a function writes in a call is one message, however long, and each call's is its own: also what many
 * calls in one wake-up write. */
START_TEST(a_message_a_call)
{
    enum { ASKED = 300, DATA = 20 };
    static unsigned char got[ROOM], sent[ASKED * 64];
    struct server s;
    uint32_t times = 5, n = 200000;
    unsigned char data[4 + DATA] = {0};
    start(&s, WS, ARGS("output.max=16m"));
    int fd = open_upgraded(&s);
    memcpy(data, &times, 4);
    send_packet(fd, TEST_AMPLIFY, data, sizeof data);
    ck_assert_uint_eq(recv_frame(fd, WEBSOCKET_BINARY, got), times * (8 + sizeof data));
    send_packet(fd, TEST_REPLY, &n, 4);
    ck_assert_uint_eq(recv_frame(fd, WEBSOCKET_BINARY, got), n);
    n = 125;
    send_packet(fd, TEST_REPLY, &n, 4);
    ck_assert_uint_eq(recv_frame(fd, WEBSOCKET_BINARY, got), n);
    send_packet(fd, TEST_SILENT, "", 0);
    size_t len = 0;
    for (int i = 0; i < ASKED; i++) {
        unsigned char packet[64];
        len += websocket_frame(sent + len, WEBSOCKET_BINARY, packet,
                               client_packet(packet, TEST_ECHO, &i, 1 + (size_t) i % 4), mask);
    }
    client_send(fd, sent, len);
    for (int i = 0; i < ASKED; i++)
        expect_packet(fd, TEST_ECHO, &i, 1 + (size_t) i % 4);
    close(fd);
    server_finish(&s);
}
END_TEST

/* Goal: a reply that the kernel does not take at once is the same message. */
START_TEST(slow_readers)
{
    enum { MESSAGES = 24 };
    static unsigned char got[ROOM];
    struct server s;
    start(&s, WS, ARGS("output.max=64m", "output.high=32m"));
    int fd = open_upgraded(&s);
    for (int i = 0; i < MESSAGES; i++)
        send_packet(fd, TEST_MEGABYTE, "", 0);
    server_wait_counter(&s, "packets_in", MESSAGES, SOON_MS);
    for (int i = 0; i < MESSAGES; i++) {
        ck_assert_uint_eq(recv_frame(fd, WEBSOCKET_BINARY, got), 1 << 20);
        for (size_t at = 0; at < 1 << 20; at += 8192)
            ITEST_ASSERT(memcmp(got + at, "\xf7\x9a\xb6\x8e\x00\x20", 6) == 0 && got[at + 8191] == 'r',
                         "at %zu", at);
    }
    close(fd);
    server_finish(&s);
}
END_TEST

/* Goal: with id= the payload is the packet, and a reply is of its kind. */
START_TEST(payloads)
{
    static unsigned char big[60000];
    struct server s;
    start(&s, "127.0.0.1:0,127.0.0.1:0 proto=ws id=0x7090 max=60000", ARGS("output.max=16m"));
    int fd = open_upgraded(&s);
    send_frame(fd, WEBSOCKET_TEXT, "gr\xc3\xbc\xc3\x9f dich", 11);
    expect_frame(fd, WEBSOCKET_TEXT, "gr\xc3\xbc\xc3\x9f dich", 11);
    send_frame(fd, WEBSOCKET_BINARY, "\xff\0\x80", 3);
    expect_frame(fd, WEBSOCKET_BINARY, "\xff\0\x80", 3);
    send_frame(fd, WEBSOCKET_TEXT, "", 0);
    expect_frame(fd, WEBSOCKET_TEXT, "", 0);
    memset(big, 'b', sizeof big);
    send_frame(fd, WEBSOCKET_TEXT, big, sizeof big);
    expect_frame(fd, WEBSOCKET_TEXT, big, sizeof big);
    send_frame(fd, WEBSOCKET_TEXT, "\xc3(", 2);
    expect_close(fd, 1007);
    fd = open_upgraded(&s);
    client_send(fd, "\x82\xfe\xea\x61", 4); /* 60,001 */
    expect_close(fd, 1009);
    server_finish(&s);
}
END_TEST

/* Goal: a message has packet_timeout to come whole, however often something else comes between its parts. */
START_TEST(a_message_without_end)
{
    struct server s;
    char ping[125] = {0};
    start(&s, "127.0.0.1:0,127.0.0.1:0 proto=ws id=0x7090", ARGS("server.packet_timeout=1"));
    int fd = open_upgraded(&s);
    uint64_t deadline = itest_deadline(SOON_MS);
    send_frame(fd, WEBSOCKET_BINARY & 0x0f, "part", 4);
    while (server_counter(&s, "closed_packet_timeout") == 0 && mono_ns() < deadline) {
        for (int i = 0; i < 4; i++) {
            size_t n = websocket_frame(bytes, WEBSOCKET_PING, ping, sizeof ping, mask);
            send(fd, bytes, n, MSG_NOSIGNAL);
        }
        while (recv(fd, bytes, ROOM, MSG_DONTWAIT) > 0) {
        }
        itest_sleep(50);
    }
    close(fd);
    server_finish(&s);
    ck_assert_uint_eq(server_counter(&s, "closed_packet_timeout"), 1);
}
END_TEST

/* ---- Beginning ---- */

/* Goal: who is not there yet hears nothing that goes to all, and is greeted behind the upgrade's answer. */
START_TEST(nothing_before_the_upgrade)
{
    static unsigned char got[ROOM];
    struct server s;
    struct ears e;
    start(&s, WS, ARGS("output.max=16m"));
    ears_open(&e, &s, 1);
    int here = open_upgraded(&s), comes = open_bare(&s);
    const struct test_order greet[] = {{.kind = ORDER_CONNECTED, .body = 1},
                                       {.kind = ORDER_WRITE, .len = 40}};
    client_send(comes, websocket_request, 20);
    ear_wait_counter(&e, 0, "opened", 3);
    ear_do(&e, 0, TEST_PUSH, greet, 2, NULL);
    ear_order(&e, 0, (struct test_order){.kind = ORDER_SEND_ALL, .len = 50, .sender = 1});
    ck_assert_uint_eq(recv_frame(here, WEBSOCKET_BINARY, got), 8 + 50);
    client_send(comes, websocket_request + 20, strlen(websocket_request) - 20);
    client_send(comes, "\r\n", 2);
    char answer[256];
    client_recv(comes, answer, strlen(websocket_accepted));
    ck_assert(memcmp(answer, websocket_accepted, strlen(websocket_accepted)) == 0);
    ck_assert_uint_eq(recv_frame(comes, WEBSOCKET_BINARY, got), 8 + 40);
    ck_assert_uint_eq(got[6] | got[7] << 8, TEST_WROTE);
    ear_order(&e, 0, (struct test_order){.kind = ORDER_CONNECTED});
    ear_order(&e, 0, (struct test_order){.kind = ORDER_SEND_ALL, .len = 60, .sender = 1, .number = 1});
    ck_assert_uint_eq(recv_frame(comes, WEBSOCKET_BINARY, got), 8 + 60);
    ck_assert_uint_eq(recv_frame(here, WEBSOCKET_BINARY, got), 8 + 60);
    close(here);
    close(comes);
    ears_close(&e);
    server_finish(&s);
}
END_TEST

static const struct {
    const char *sent, *answered;
    const char *reason;
} strangers[] = {
    {"GET / HTTP/1.1\r\nHost: a\r\n\r\n", "HTTP/1.1 426 ", "closed_bad_upgrade"},
    {"GET /no HTTP/1.1\r\nHost: a\r\n", "", NULL},
    {"POST / HTTP/1.1\r\nHost: a\r\n\r\n", "HTTP/1.1 405 ", "closed_bad_upgrade"},
    {"\x16\x03\x01\x02\x01\x01\xfc\x03\x03", "HTTP/1.1 400 ", "closed_bad_frame"},
    {"\xf7\x9a\xb6\x8e\x08", "HTTP/1.1 400 ", "closed_bad_frame"},
};

/* Goal: whoever speaks something else is told so in HTTP, and counted; who stops in the middle is closed in time. */
START_TEST(who_wants_something_else)
{
    struct server s;
    start(&s, WS, ARGS("server.packet_timeout=1"));
    int fd = open_bare(&s);
    client_send(fd, strangers[_i].sent, strlen(strangers[_i].sent));
    char answer[300] = "";
    if (strangers[_i].reason != NULL) {
        client_recv(fd, answer, strlen(strangers[_i].answered));
        ck_assert_str_eq(answer, strangers[_i].answered);
        ck_assert_int_eq(client_ending(fd, NULL, SOON_MS), END_FIN);
        close(fd);
    } else {
        client_expect_fin(fd); /* nothing is said */
    }
    server_finish(&s);
    ck_assert_uint_eq(
        server_counter(&s, strangers[_i].reason != NULL ? strangers[_i].reason : "closed_packet_timeout"), 1);
}
END_TEST

/* ---- Ends ---- */

/* Goal: who only closes his sending side gets his answers, and is told of no fault. */
START_TEST(half_closed)
{
    struct server s;
    start(&s, WS, ARGS("output.max=16m"));
    int fd = open_upgraded(&s);
    send_packet(fd, TEST_ECHO, "abc", 3);
    ck_assert_int_eq(shutdown(fd, SHUT_WR), 0);
    expect_packet(fd, TEST_ECHO, "abc", 3);
    expect_close(fd, 1000);
    server_finish(&s);
    ck_assert_uint_eq(server_counter(&s, "closed_peer_closed"), 1);
}
END_TEST

static void ask_to_end(int fd, const struct server *s, int how)
{
    uint32_t one = 1;
    const struct test_end end = {.value = 0};
    switch (how) {
    case 0:
        send_packet(fd, TEST_CLOSE, &end, sizeof end);
        break;
    case 1:
        send_packet(fd, TEST_RETURN, &one, 4);
        expect_packet(fd, TEST_RETURN, &one, 4);
        break;
    case 2:
        send_packet(fd, 0x5555, "", 0);
        break;
    case 3:
        server_signal(s, SIGTERM);
        break;
    case 4: /* in silence */
        break;
    default:
        client_send(fd,
                    "\x82\x03"
                    "abc",
                    5);
    }
}

/* Goal: whatever ends it, a Close frame says so behind all else, with the code that belongs to it; then a FIN. */
START_TEST(ends)
{
    static const struct {
        const char *reason;
        unsigned code;
    } all[] = {{"closed_function_closed", 1000}, {"closed_function_error", 1011},
               {"closed_unknown_akg", 1008},     {"closed_stop", 1001},
               {"closed_idle_timeout", 1001},    {"closed_bad_frame", 1002}};
    struct server s;
    start(&s, WS, ARGS(_i == 4 ? "server.timeout=1" : "server.timeout=0"));
    int fd = open_upgraded(&s);
    ask_to_end(fd, &s, _i);
    expect_close(fd, all[_i].code);
    if (_i == 3)
        server_wait_exit(&s, SOON_MS);
    if (_i == 3)
        server_check(&s);
    else
        server_finish(&s);
    ck_assert_uint_eq(server_counter(&s, all[_i].reason), 1);
}
END_TEST

/* Goal: who sends pings and reads nothing is not read for ever; what it sent before is answered once it reads. */
START_TEST(a_flood_of_pings)
{
    enum { PINGS = 500, LENGTH = 131 };
    static unsigned char flood[LENGTH * PINGS], got[LENGTH];
    struct server s;
    size_t n = 0, at = 0, sent = 0;
    start(&s, WS, ARGS("output.high=64k"));
    int fd = open_upgraded(&s);
    memset(bytes, 'p', 200);
    for (int i = 0; i < PINGS; i++)
        n += websocket_frame(flood + n, WEBSOCKET_PING, bytes, 125, mask);
    ck_assert_uint_eq(n, sizeof flood);
    for (uint64_t deadline = itest_deadline(SOON_MS); server_counter(&s, "output_paused") == 0;) {
        ck_assert_msg(mono_ns() < deadline, "it is read on");
        ssize_t took = send(fd, flood + at, n - at, MSG_DONTWAIT | MSG_NOSIGNAL);
        sent += took > 0 ? (size_t) took : 0;
        at = sent % n;
    }
    n = websocket_frame(flood, WEBSOCKET_PONG, bytes, 125, NULL);
    for (size_t i = 0; i < sent / LENGTH; i++) {
        client_recv(fd, got, n);
        ITEST_ASSERT(memcmp(got, flood, n) == 0, "pong %zu", i);
    }
    close(fd);
    server_finish(&s);
}
END_TEST

/* A connection of worker 0. */
static int open_at_first(const struct server *s)
{
    static unsigned char got[ROOM];
    struct test_who who;
    for (;;) {
        int fd = open_upgraded(s);
        send_packet(fd, TEST_WHO, "", 0);
        ck_assert_uint_eq(recv_frame(fd, WEBSOCKET_BINARY, got), 8 + sizeof who);
        memcpy(&who, got + 8, sizeof who);
        if (who.worker == 0)
            return fd;
        close(fd);
    }
}

/* Goal: half a message stays what it is while another thread takes the worker over, and is gone on with by that. */
START_TEST(taken_over)
{
    static unsigned char packet[64], whole[128];
    char warn[64], replace[64];
    struct server s;
    snprintf(warn, sizeof warn, "watch.warn_ms=%u", WARN_MS);
    snprintf(replace, sizeof replace, "watch.replace_ms=%u", REPLACE_MS);
    start(&s, WS, (const char *const[]){"server.workernum=2", warn, replace, NULL});
    int other = open_at_worker(&s, 1), half = open_at_first(&s), sticks = open_at_first(&s);
    size_t n = client_packet(packet, TEST_ECHO, "half and half", 13);
    size_t len = websocket_frame(whole, WEBSOCKET_BINARY & 0x0f, packet, 10, mask), first = len;
    len += websocket_frame(whole + len, WEBSOCKET_MORE, packet + 10, n - 10, mask);
    client_send(half, whole, first + 9);
    uint32_t place = TEST_IN_FUNCTION;
    send_packet(sticks, TEST_STICK, &place, 4);
    wait_counter(other, "alarm_replaced", 1);
    client_send(half, whole + first + 9, len - first - 9);
    expect_packet(half, TEST_ECHO, "half and half", 13);
    unstick(other);
    client_expect_fin(sticks);
    close(half);
    close(other);
    server_finish(&s);
}
END_TEST

Suite *websocket_suite(void)
{
    Suite *s = suite_create("websocket");
    TCase *t = itest_case(s, "messages", 20);
    tcase_add_test(t, packets);
    tcase_add_test(t, a_message_a_call);
    tcase_add_test(t, slow_readers);
    tcase_add_test(t, payloads);
    tcase_add_test(t, a_message_without_end);
    t = itest_case(s, "beginning and end", 20);
    tcase_add_test(t, nothing_before_the_upgrade);
    tcase_add_loop_test(t, who_wants_something_else, 0, sizeof strangers / sizeof strangers[0]);
    tcase_add_test(t, half_closed);
    tcase_add_loop_test(t, ends, 0, 6);
    tcase_add_test(t, a_flood_of_pings);
    tcase_add_test(t, taken_over);
    return s;
}
