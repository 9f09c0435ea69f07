/*
 * test_asker.c: what all clients ask with: requests that the kernel takes in pieces, replies that come in pieces, and
 * how it ends. The server is the other end of a socketpair, on the same thread.
 */
#include "unit.h"

#include <errno.h>
#include <string.h>
#include <sys/socket.h>
#include <unistd.h>

#include "test/lib/asker.h"

enum { STX = 7, NUMBER = 3, DATA = 1000, ROOM = 1 << 16 };

static unsigned char scratch[ROOM], in[ROOM], keep[DATA + 8];

/* An asker and its server's end, in which little fits. */
static void begin(struct asker *a, int *server)
{
    int pair[2], size = 1;
    ck_assert_int_eq(socketpair(AF_UNIX, SOCK_STREAM | SOCK_NONBLOCK, 0, pair), 0);
    for (int i = 0; i < 2; i++)
        ck_assert_int_eq(setsockopt(pair[i], SOL_SOCKET, SO_SNDBUF, &size, sizeof size), 0);
    *a = (struct asker){.fd = -1, .number = NUMBER, .keep = keep};
    asker_open(a, pair[0]);
    *server = pair[1];
}

/* Requests are sent in pieces and come back in pieces of any size: all right, in order, and no more. */
START_TEST(in_pieces)
{
    enum { REQUESTS = 500 };
    struct exchange x = exchange_echo(STX, DATA);
    struct asker a;
    struct asker_news news;
    static unsigned char got[REQUESTS * (DATA + 8)];
    size_t have = 0, back = 0; /* bytes that the server has, and has sent back */
    uint64_t random = 1;
    uint32_t full = 0, unfinished = 0, replies = 0;
    int server;
    begin(&a, &server);
    a.asked = REQUESTS;
    while (a.done < REQUESTS) {
        int took = asker_send(&a, &x, scratch, ROOM);
        ck_assert_int_eq(took, a.sent == REQUESTS);
        full += took == 0;
        ssize_t n = recv(server, got + have, 1 + unit_random(&random) % 3000, 0);
        have += n > 0 ? (size_t) n : 0;
        size_t whole = have - have % x.request_len, piece = 1 + unit_random(&random) % 3000;
        n = send(server, got + back, piece < whole - back ? piece : whole - back, 0);
        back += n > 0 ? (size_t) n : 0;
        if (asker_receive(&a, &x, in, ROOM, &news, NULL) > 0) {
            ck_assert_int_eq(news.fault, FAULT_NONE);
            replies += news.replies;
            unfinished += a.kept > 0;
        }
    }
    ck_assert_uint_eq(replies, REQUESTS);
    ck_assert_uint_eq(a.kept, 0);
    ck_assert_uint_gt(full, 10);
    ck_assert_uint_gt(unfinished, 10);
    ck_assert_int_eq(asker_receive(&a, &x, in, ROOM, &news, NULL), 0);
    asker_close(&a);
    close(server);
}
END_TEST

/* What stands behind right replies is judged: a wrong one, and one to no request. */
START_TEST(wrong_replies)
{
    static const struct {
        uint32_t asked, wrong; /* the reply in which a byte is; 4 replies come in all */
        uint32_t right;
        enum fault fault;
    } rows[] = {{4, 4, 4, FAULT_NONE},
                {4, 2, 2, FAULT_BAD_CONTENT},
                {3, 4, 3, FAULT_BAD_CONTENT},
                {4, 0, 0, FAULT_BAD_CONTENT}};
    struct exchange x = exchange_echo(STX, 20);
    struct asker a;
    struct asker_news news;
    unsigned char out[4 * 28];
    int server;
    begin(&a, &server);
    a.asked = rows[_i].asked;
    ck_assert_int_eq(asker_send(&a, &x, scratch, ROOM), 1);
    exchange_build_run(&x, NUMBER, 0, 4, out);
    if (rows[_i].wrong < 4)
        out[rows[_i].wrong * 28 + 20] ^= 1;
    ck_assert_int_eq(send(server, out, sizeof out, 0), sizeof out);
    ck_assert_int_eq(asker_receive(&a, &x, in, ROOM, &news, NULL), sizeof out);
    ck_assert_uint_eq(news.replies, rows[_i].right);
    ck_assert_uint_eq(news.used, rows[_i].right * 28);
    ck_assert_uint_eq(a.done, rows[_i].right);
    ck_assert_int_eq(news.fault, rows[_i].fault);
    asker_close(&a);
    close(server);
}
END_TEST

/* A server that answers and goes: nothing more can be sent, what it said is there, then the end. Another socket begins
 * anew, with the numbers that come next. */
START_TEST(the_server_goes)
{
    struct exchange x = exchange_echo(STX, 20);
    struct asker a;
    struct asker_news news;
    unsigned char reply[28];
    int server;
    begin(&a, &server);
    a.asked = 1;
    ck_assert_int_eq(asker_send(&a, &x, scratch, ROOM), 1);
    ck_assert_int_eq(recv(server, reply, sizeof reply, 0), sizeof reply);
    ck_assert_int_eq(send(server, reply, sizeof reply, 0), sizeof reply);
    close(server);
    a.asked = 3;
    ck_assert_int_eq(asker_send(&a, &x, scratch, ROOM), -1);
    ck_assert_int_eq(errno, EPIPE);
    ck_assert_int_eq(asker_receive(&a, &x, in, ROOM, &news, NULL), sizeof reply);
    ck_assert_uint_eq(news.replies, 1);
    ck_assert_int_eq(asker_receive(&a, &x, in, ROOM, &news, NULL), -1);
    ck_assert_int_eq(errno, 0);
    asker_close(&a);
    ck_assert_int_eq(a.fd, -1);
    ck_assert_uint_eq(a.asked, 1);
    ck_assert_uint_eq(a.done, 1);
}
END_TEST

/* ---- Framings ---- */

/* A request, and its reply, which a server makes that knows the framing alone. Returns the reply's length. */
static size_t answer(enum exchange_framing framing, bool hello, unsigned char *request, size_t n,
                     unsigned char *reply)
{
    size_t front = framing == EXCHANGE_LENGTH ? 4 : 0, k = hello ? 5 : n - front;
    if (framing == EXCHANGE_WS) { /* its data is a packet, echoed */
        size_t head = request[1] == (0x80 | 126) ? 4 : 2;
        ck_assert(request[0] == 0x82 &&
                  n == head + 4 + (head == 2 ? request[1] & 127 : request[2] << 8 | request[3]));
        for (size_t i = head + 4; i < n; i++)
            request[i] ^= request[head + (i - head - 4) % 4];
        memcpy(reply, request, head);
        reply[1] &= 127;
        memcpy(reply + head, request + head + 4, n - head - 4);
        return n - 4;
    }
    if (framing == EXCHANGE_LENGTH)
        ck_assert(n == 4 + ((size_t) request[2] << 8 | request[3]) && request[0] == 0 && request[1] == 0);
    if (framing == EXCHANGE_LINE) {
        ck_assert(memchr(request, '\n', n) == request + n - 1);
        ck_assert(memcmp(request, hello ? "hello " : "echo ", hello ? 6 : 5) == 0);
    }
    if (!hello) {
        memcpy(reply, request, n);
        return n;
    }
    if (front > 0)
        memcpy(reply, "\0\0\0\5", 4);
    memcpy(reply + front, "hello\n", 6);
    return front + k + (framing == EXCHANGE_LINE);
}

/* Over each framing a request is what its server takes for one, the reply is right, each piece of it is not whole yet,
 * and each byte of it matters. */
START_TEST(framings)
{
    static const uint32_t lengths[] = {1, 2, 100, 117, 118, 119, 1000, 60000};
    static unsigned char request[ROOM + 100], reply[ROOM + 100];
    enum fault fault;
    for (size_t i = 0; i < 2 * sizeof lengths / sizeof lengths[0]; i++) {
        bool hello = i % 2 == 1 && _i != EXCHANGE_WS;
        struct exchange x = hello ? exchange_hello(STX, lengths[i / 2]) : exchange_echo(STX, lengths[i / 2]);
        ck_assert_ptr_null(exchange_frame(&x, (enum exchange_framing) _i));
        exchange_build(&x, NUMBER, 5, request);
        size_t n = answer((enum exchange_framing) _i, hello, request, x.request_len, reply);
        ck_assert_uint_eq(n, x.reply_len);
        ck_assert_int_eq(exchange_judge(&x, NUMBER, 5, reply, n + 3, &fault), n);
        size_t len;
        const unsigned char *within = exchange_within(&x, reply, n, &len);
        if (hello)
            ck_assert(len == 5 && memcmp(within, "hello", 5) == 0);
        else if (exchange_has_head(&x))
            ck_assert(len == 8 + lengths[i / 2] && within[0] == STX && within + len == reply + n);
        else
            ck_assert_uint_eq(len, lengths[i / 2] + (_i == EXCHANGE_LINE ? 5 : 0));
        for (size_t k = 0; k < n; k += n < 2000 ? 1 : 997) {
            ck_assert_int_eq(exchange_judge(&x, NUMBER, 5, reply, k, &fault), 0);
            reply[k] ^= 1;
            ck_assert_int_eq(exchange_judge(&x, NUMBER, 5, reply, n, &fault), -1);
            reply[k] ^= 1;
        }
    }
    struct exchange login = exchange_login(STX, 1);
    ck_assert((exchange_frame(&login, (enum exchange_framing) _i) == NULL) == (_i == EXCHANGE_WS));
}
END_TEST

/* A greeting goes first, alone, however little the kernel takes; its answer in pieces; then the requests. Another
 * answer is wrong. */
START_TEST(greetings)
{
    static const char yes[] = "HTTP/1.1 101 Switching Protocols\r\nUpgrade: websocket\r\n\r\n";
    struct exchange x = exchange_echo(STX, 20);
    struct asker a;
    struct asker_news news;
    unsigned char got[2000], reply[100];
    int server;
    ck_assert_ptr_null(exchange_frame(&x, EXCHANGE_WS));
    begin(&a, &server);
    a.asked = 1;
    ck_assert_int_eq(asker_send(&a, &x, scratch, ROOM), 1);
    ssize_t n = recv(server, got, sizeof got, 0);
    ck_assert_int_eq(n, strlen(x.greeting));
    ck_assert_mem_eq(got + n - 4, "\r\n\r\n", 4);
    for (size_t i = 0; i < sizeof yes - 1; i++) {
        ck_assert_int_eq(send(server, yes + i, 1, 0), 1);
        ck_assert_int_eq(asker_receive(&a, &x, in, ROOM, &news, NULL), 1);
        ck_assert(news.fault == FAULT_NONE && news.welcomed == (i == sizeof yes - 2) && a.sent == 0);
    }
    ck_assert_int_eq(asker_send(&a, &x, scratch, ROOM), 1);
    n = recv(server, got, sizeof got, 0);
    ck_assert_int_eq(n, x.request_len);
    n = (ssize_t) answer(EXCHANGE_WS, false, got, (size_t) n, reply);
    ck_assert_int_eq(send(server, reply, (size_t) n, 0), n);
    ck_assert_int_eq(asker_receive(&a, &x, in, ROOM, &news, NULL), n);
    ck_assert(news.replies == 1 && !news.welcomed);
    asker_close(&a);
    close(server);
    begin(&a, &server);
    ck_assert_int_eq(asker_send(&a, &x, scratch, ROOM), 1);
    ck_assert_int_eq(send(server, "HTTP/1.1 400 ", 13, 0), 13);
    ck_assert_int_eq(asker_receive(&a, &x, in, ROOM, &news, NULL), 13);
    ck_assert_int_eq(news.fault, FAULT_BAD_CONTENT);
    asker_close(&a);
    close(server);
}
END_TEST

Suite *asker_suite(void)
{
    Suite *s = suite_create("asker");
    TCase *c = unit_case(s, "asker", 10);
    tcase_add_test(c, in_pieces);
    tcase_add_loop_test(c, wrong_replies, 0, 4);
    tcase_add_test(c, the_server_goes);
    tcase_add_loop_test(c, framings, EXCHANGE_WS, EXCHANGE_RAW + 1);
    tcase_add_test(c, greetings);
    return s;
}
