/*
 * test_protocols.c: what docs/protocols.md shows does what it says: its functions, which are those of
 * test/apps/protocols.c, at its listen lines. `make check-style` sees to it that each line of the page stands here.
 */
#include <arpa/inet.h>
#include <errno.h>
#include <stdio.h>
#include <string.h>
#include <sys/socket.h>
#include <time.h>
#include <unistd.h>

#include "datagrams.h"
#include "program.h"
#include "test/lib/websocket.h"

enum { OWN = 0, FIRST = 1, SOON_MS = 8000, SAY_HELLO = 0x6102, CHAT = 0x7005, WHO = 0x7009, ASK = 0x7100 };

/* The page's list with addresses that are free here; unix sockets are in dir. */
static void here(const char *list, const char *dir, char *out, size_t size)
{
    size_t n = (size_t) snprintf(out, size, "127.0.0.1:0");
    while (*list != '\0') {
        list += strspn(list, " ");
        size_t entry = strcspn(list, ","), address = strcspn(list, " ,");
        const char *udp = strncmp(list, "udp:", 4) == 0 ? "udp:" : "";
        n += (size_t) (strncmp(list, "unix:", 5) == 0 ? snprintf(out + n, size - n, ",unix:%s/app.sock", dir)
                                                      : snprintf(out + n, size - n, ",%s127.0.0.1:0", udp));
        n += (size_t) snprintf(out + n, size - n, "%.*s", (int) (entry - address), list + address);
        ck_assert_uint_lt(n, size);
        list += entry + (list[entry] == ',');
    }
}

/* The page's server at one of its lists: the first address is ours, for HEAD+Data, the others are the list's. */
static void start(struct server *s, const char *list, const char *dir)
{
    char listen[512];
    here(list, dir, listen, sizeof listen);
    server_launch(s, &(struct launch){.program = "protocols", .listen = listen});
}

static void expect(int fd, const void *bytes, size_t n)
{
    unsigned char got[256];
    client_recv(fd, got, n);
    ck_assert_msg(memcmp(got, bytes, n) == 0, "answered %.*s", (int) n, (char *) got);
}

/* ---- Bytes and their answers ---- */

#define BYTES(text) text, sizeof(text) - 1

static const struct {
    const char *listen, *sent;
    size_t sent_len;
    const char *answered;
    size_t answered_len;
    unsigned address;
} talks[] = {
    {"0.0.0.0:8082, 127.0.0.1:8083 proto=line id=word", BYTES("hello\r\n"), BYTES("hello\n"), 2},
    {"0.0.0.0:8082, 0.0.0.0:8083 proto=line id=0x7000 max=1024, [::]:8443 proto=ws, udp:0.0.0.0:8082",
     BYTES("add 2 3\n"), BYTES("5\n"), 2},
    {"127.0.0.1:8083 proto=line id=word", BYTES("add 2 3\nadd\nhello\n"), BYTES("5\nadd A B\nhello\n"), 1},
    {"0.0.0.0:2404 proto=length id=0x7003",
     BYTES("\0\x0b"
           "in capitals\0\1x"),
     BYTES("\0\x0bIN CAPITALS\0\1X"), 1},
    {"0.0.0.0:7 proto=raw id=0x7004", BYTES("any\0bytes"), BYTES("any\0bytes"), 1},
    {"0.0.0.0:2405 proto=length id=field off=2 size=1", BYTES("\0\3\7ab\0\1\7"), BYTES("\0\3\7AB\0\1\7"), 1},
    {"0.0.0.0:9001 proto=x", BYTES("X\0\2hiX\0\0"), BYTES("X\0\2hiX\0\0"), 1},
    /* the protocols of its table: what is stripped comes back by mario_reply(), what is not as it came */
    {"0.0.0.0:53 proto=length id=0x7004", BYTES("\0\3abc\0\0"), BYTES("\0\3abc\0\0"), 1},
    {"0.0.0.0:1 proto=length size=4 id=0x7004", BYTES("\0\0\0\3abc"), BYTES("\0\0\0\3abc"), 1},
    {"0.0.0.0:1 proto=length size=4 counts=all id=0x7004", BYTES("\0\0\0\7abc\0\0\0\4"),
     BYTES("\0\0\0\7abc\0\0\0\4"), 1},
    {"0.0.0.0:1 proto=length size=varint id=0x7004", BYTES("\3abc\0"), BYTES("\3abc\0"), 1},
    {"0.0.0.0:502 proto=length off=4 strip=0 id=0x700a", BYTES("\0\1\0\0\0\6\1\3\0\1\0\2\0\2\0\0\0\2\1\7"),
     BYTES("\0\1\0\0\0\6\1\3\0\1\0\2\0\2\0\0\0\2\1\7"), 1},
    {"0.0.0.0:102 proto=length off=2 counts=all strip=0 id=0x700a", BYTES("\3\0\0\7abc\3\0\0\4"),
     BYTES("\3\0\0\7abc\3\0\0\4"), 1},
};

/* Goal: each function answers as the page says, however the bytes come. */
START_TEST(functions_of_the_page)
{
    struct server s;
    start(&s, talks[_i].listen, "");
    for (size_t piece = talks[_i].sent_len; piece > 0; piece = piece == 1 ? 0 : 1) {
        int fd = client_open_at(&s.addresses[talks[_i].address]);
        for (size_t at = 0; at < talks[_i].sent_len; at += piece)
            client_send(fd, talks[_i].sent + at, piece);
        expect(fd, talks[_i].answered, talks[_i].answered_len);
        close(fd);
    }
    server_finish(&s);
}
END_TEST

/* What protocols.c stored last. */
struct stored {
    uint32_t sensor, time;
    float value, temperature;
};

static void await_stored(const struct server *s, const struct stored *wanted)
{
    int fd = client_open(s);
    struct stored got;
    for (uint64_t deadline = itest_deadline(SOON_MS);;) {
        ck_assert_uint_eq(client_ask(fd, ASK, NULL, 0, &got, sizeof got), sizeof got);
        if (memcmp(&got, wanted, sizeof got) == 0)
            break;
        ITEST_ASSERT(mono_ns() < deadline, "stored: %u %u %f %f", got.sensor, got.time, (double) got.value,
                     (double) got.temperature);
        itest_sleep(1);
    }
    close(fd);
}

/* Goal: a device that prints is understood and acknowledged, a wrong telegram ends the connection. */
START_TEST(telegrams)
{
    struct server s;
    start(&s, "0.0.0.0:4001 proto=delim=0x03 id=0x7001 max=512", "");
    int fd = client_open_at(&s.addresses[FIRST]);
    client_send(fd,
                "\x02"
                "21.5\x03",
                6);
    expect(fd, "\x06\x03", 2);
    await_stored(&s, &(struct stored){.temperature = 21.5f});
    client_send(fd, "21.5\x03", 5);
    client_expect_fin(fd);
    server_finish(&s);
    ck_assert_uint_eq(server_counter(&s, "closed_function_error"), 1);
}
END_TEST

/* Goal: records of one size are handed out whole, wherever they are cut. */
START_TEST(readings)
{
    struct server s;
    struct {
        uint32_t sensor, time;
        float value;
    } r[2] = {{1, 2, 3.5f}, {4, 5, 6.5f}};
    start(&s, "0.0.0.0:4002 proto=fixed=12 id=0x7002", "");
    int fd = client_open_at(&s.addresses[FIRST]);
    client_send(fd, r, 20);
    await_stored(&s, &(struct stored){.sensor = 1, .time = 2, .value = 3.5f});
    client_send(fd, (char *) r + 20, sizeof r - 20);
    await_stored(&s, &(struct stored){.sensor = 4, .time = 5, .value = 6.5f});
    close(fd);
    server_finish(&s);
}
END_TEST

/* ---- Browsers ---- */

static const unsigned char mask[4] = {0x37, 0xfa, 0x21, 0x3d};

/* Ask for an upgrade, with more of a head, if any. */
static int ask_upgrade(const struct server *s, const char *more)
{
    int fd = client_open_at(&s->addresses[FIRST]);
    client_send(fd, websocket_request, strlen(websocket_request));
    client_send(fd, more, strlen(more));
    client_send(fd, "\r\n", 2);
    return fd;
}

static int upgrade(const struct server *s, const char *more)
{
    int fd = ask_upgrade(s, more);
    expect(fd, websocket_accepted, strlen(websocket_accepted));
    return fd;
}

static void expect_message(int fd, const void *payload, size_t n)
{
    unsigned char frame[256];
    expect(fd, frame, websocket_frame(frame, WEBSOCKET_BINARY, payload, n, NULL));
}

/* Goal: functions that serve programs serve pages, of the origin that the line names alone. */
START_TEST(pages_with_packets)
{
    unsigned char packet[64], frame[128];
    struct server s;
    start(&s, "0.0.0.0:8080 proto=ws origin=http://example.org", "");
    int page = upgrade(&s, "Origin: http://example.org\r\n");
    size_t n = client_packet(packet, SAY_HELLO, NULL, 0);
    client_send(page, frame, websocket_frame(frame, WEBSOCKET_BINARY, packet, n, mask));
    n = client_packet(packet, SAY_HELLO, "hello", 5);
    expect_message(page, packet, n);
    int other = ask_upgrade(&s, "Origin: http://example.com\r\n");
    expect(other, "HTTP/1.1 403 ", 13);
    ck_assert_int_eq(client_ending(other, NULL, SOON_MS), END_FIN);
    close(other);
    close(page);
    server_finish(&s);
    ck_assert_uint_eq(server_counter(&s, "closed_bad_upgrade"), 1);
}
END_TEST

/* Goal: what one says in the room all hear, each as his listener says. */
START_TEST(pages_that_chat)
{
    unsigned char frame[128], data[64];
    struct server s;
    start(&s, "0.0.0.0:8081 proto=ws id=0x7005", "");
    int program = client_open(&s), page = upgrade(&s, "");
    ck_assert_uint_eq(client_ask(program, SAY_HELLO, NULL, 0, data, sizeof data), 5); /* it has joined */
    client_send(page, frame, websocket_frame(frame, WEBSOCKET_TEXT, "gr\xc3\xbc\xc3\x9f dich", 11, mask));
    expect_message(page, "gr\xc3\xbc\xc3\x9f dich", 11);
    ck_assert_uint_eq(client_recv_packet(program, CHAT, data, sizeof data), 11);
    ck_assert(memcmp(data, "gr\xc3\xbc\xc3\x9f dich", 11) == 0);
    close(page);
    close(program);
    server_finish(&s);
}
END_TEST

/* ---- Datagrams, balancers, urgent data ---- */

/* Goal: the same functions answer datagrams, and no more than was asked. */
START_TEST(by_datagram)
{
    struct server s;
    unsigned char answer[64];
    uint32_t now;
    start(&s, "0.0.0.0:8082, udp:0.0.0.0:8082, udp:0.0.0.0:37 proto=raw id=0x7007", "");
    int fd = udp_open_at(&s.addresses[2]), clock = udp_open_at(&s.addresses[3]);
    udp_put_packet(fd, SAY_HELLO, NULL, 0); /* its answer is longer */
    udp_put_packet(fd, SAY_HELLO, "12345", 5);
    ck_assert_uint_eq(udp_take_packet(fd, SAY_HELLO, answer, sizeof answer), 5);
    udp_quiet(fd);
    udp_put(clock, "abc", 3); /* too short a question */
    udp_put(clock, "abcd", 4);
    ck_assert_int_eq(udp_take(clock, &now, sizeof now, ANSWER_MS), sizeof now);
    long ago = (long) time(NULL) - (long) (ntohl(now) - 2208988800u);
    ck_assert_msg(ago >= 0 && ago < 60 * ITEST_SLOW, "%ld seconds ago", ago);
    close(fd);
    close(clock);
    server_finish(&s);
    ck_assert_uint_eq(server_counter(&s, "udp_amplified"), 1);
    ck_assert_uint_eq(server_counter(&s, "udp_out"), 3);
}
END_TEST

#define V1 "PROXY TCP4 10.1.2.3 10.0.0.1 56324 443\r\n"
#define V2_TLS                                                                     \
    "\r\n\r\n\0\r\nQUIT\n\x21\x11\0\x23\x0a\1\2\3\x0a\0\0\1\x12\x34\1\xbb\2\0\x0c" \
    "chat.example\x20\0\5\1\0\0\0\0"

/* Goal: a function learns by which name a client came, if by TLS; who is not in trust= is not believed. */
START_TEST(behind_a_balancer)
{
    static const struct {
        const char *header;
        size_t n;
        const char *answer;
    } rows[] = {{BYTES(V2_TLS), "chat.example"}, {BYTES(V1), "plain"}};
    struct server s;
    char dir[64], answer[64] = "";
    program_make_dir(dir, sizeof dir);
    start(&s, "0.0.0.0:9000 proxy=on trust=10.0.0.0/8+fd00::/8, unix:/run/app.sock proxy=on", dir);
    for (size_t i = 0; i < sizeof rows / sizeof rows[0]; i++) {
        int fd = client_open_at(&s.addresses[2]);
        client_send(fd, rows[i].header, rows[i].n);
        answer[client_ask(fd, WHO, NULL, 0, answer, sizeof answer - 1)] = '\0';
        ck_assert_str_eq(answer, rows[i].answer);
        close(fd);
    }
    int fd = net_connect_wait(&s.addresses[1], itest_deadline(SOON_MS));
    if (fd >= 0) {
        ck_assert_int_eq(client_ending(fd, NULL, SOON_MS), END_RST);
        close(fd);
    } else { /* it was reset before connect() has returned */
        ck_assert_int_eq(errno, ECONNRESET);
    }
    server_finish(&s);
    ck_assert_uint_eq(server_counter(&s, "refused_untrusted"), 1);
    program_remove_dir(dir);
}
END_TEST

/* Goal: Ctrl-C of a Telnet client is heard between what it sent before and what it sends behind. */
START_TEST(interrupted)
{
    struct server s;
    start(&s, "0.0.0.0:2323 proto=line id=0x7008 oob=mark", "");
    int fd = client_open_at(&s.addresses[FIRST]);
    client_send(fd, "find it\n", 8);
    expect(fd, "searching\n", 10);
    ck_assert_int_eq(send(fd, "find\n\xf4", 6, MSG_OOB | MSG_NOSIGNAL), 6);
    expect(fd, "searching\ncancelled\n", 20);
    client_send(fd, "\n", 1);
    expect(fd, "over\n", 5);
    close(fd);
    server_finish(&s);
    ck_assert_uint_eq(server_counter(&s, "urgent_marks"), 1);
}
END_TEST

Suite *protocols_suite(void)
{
    Suite *s = suite_create("protocols");
    TCase *c = itest_case(s, "protocols", 20);
    tcase_add_loop_test(c, functions_of_the_page, 0, sizeof talks / sizeof talks[0]);
    tcase_add_test(c, telegrams);
    tcase_add_test(c, readings);
    tcase_add_test(c, pages_with_packets);
    tcase_add_test(c, pages_that_chat);
    tcase_add_test(c, by_datagram);
    tcase_add_test(c, behind_a_balancer);
    tcase_add_test(c, interrupted);
    return s;
}
