/*
 * test_edges.c: every framing at its edges: packets cut at any byte, merged, trickling, too long, empty, with urgent
 * data in them, a stream that ends in one; for functions that run inline and such that are offloaded. A row is a
 * listener; what its function sees is sent back, framed.
 *
 * To know that a server has read what was sent so far, a test asks an ECHO on another connection of the same worker.
 */
#include <errno.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/socket.h>
#include <unistd.h>

#include "harness.h"
#include "test/apps/testapp/commands.h"

/* Bytes, zero ones too, and their length. */
#define BYTES(text) (text), sizeof(text) - 1

struct edge {
    const char *options; /* of the address; %s: the function's id */
    const char *stream;  /* whole packets, an empty one among them where there are such */
    size_t len;
    const char *answers; /* to them; NULL: what comes when they come at once */
    size_t answers_len;
    uint32_t packets;  /* 0: it depends on how they come */
    const char *piece; /* the beginning of a packet; NULL: there is none */
    size_t piece_len;
    const char
        *over; /* the fewest bytes that prove a packet to be too long; NULL: MAX of them without an end */
    size_t over_len;
    bool inline_only; /* the id is none of the listener's */
    bool once;        /* the stream begins a connection */
};

enum { MAX = 40 }; /* bytes of the largest packet, of every row */

#define CRLF_LINES "one\r\n\r\ntwo words\r\n\r\r\nfive\r\n"
#define DOT_LINES  "one\r\n.\r\n\r\n.\r\n\n\r\n.\r\n.\r\n.\r\n"
#define BIG        "\0\3one\0\0\0\11two words"
#define LITTLE     "\7\0\0\0one\4\0\0\0\15\0\0\0two words"
#define HANDSHAKE                                                                                             \
    "GET / HTTP/1.1\r\nHost: a\r\nUpgrade: websocket\r\nConnection: Upgrade\r\nSec-WebSocket-Version: 13\r\n" \
    "Sec-WebSocket-Key: dGhlIHNhbXBsZSBub25jZQ==\r\n\r\n"
/* A text, a ping between the two fragments of another one, an empty one; the mask is four zero bytes. */
#define FRAMES "\x81\x83\0\0\0\0one\1\x84\0\0\0\0two \x89\x82\0\0\0\0hi\x80\x85\0\0\0\0words\x81\x80\0\0\0\0"
#define UPGRADED                                                                        \
    "HTTP/1.1 101 Switching Protocols\r\nUpgrade: websocket\r\nConnection: Upgrade\r\n" \
    "Sec-WebSocket-Accept: s3pPLMBiTxaQ9kYGzzhZRbK+xOo=\r\n\r\n"

static const struct edge edges[] = {
    {"proto=line id=%s", BYTES("one\n\r\n\ntwo words\r\nfive\r\r\n"), BYTES("one\n\n\ntwo words\nfive\r\n"),
     5, BYTES("half a"), NULL, 0, false, false},
    {"proto=line eol=crlf id=%s", BYTES(CRLF_LINES), BYTES(CRLF_LINES), 5, BYTES("half\r"), NULL, 0, false,
     false},
    {"proto=line id=word", BYTES("framed\r\nframed now\n"), BYTES("framed\nframed now\n"), 2, BYTES("fra"),
     NULL, 0, true, false},
    {"proto=delim=0x00 id=%s", BYTES("one\0\0two\n\0"), BYTES("one\0\0two\n\0"), 3, BYTES("ha"), NULL, 0,
     false, false},
    {"proto=delim=0x0d0a2e0d0a id=%s", BYTES(DOT_LINES), BYTES(DOT_LINES), 4, BYTES("half\r\n.\r"), NULL, 0,
     false, false},
    {"proto=fixed=5 id=%s", BYTES("one..two..\0\0\0\0\0"), BYTES("one..two..\0\0\0\0\0"), 3, BYTES("half"),
     NULL, 0, false, false},
    {"proto=length size=2 endian=big strip=2 id=%s", BYTES(BIG), BYTES(BIG), 3, BYTES("\0\5half"),
     BYTES("\1"), false, false},
    {"proto=length size=4 endian=little counts=all strip=4 id=%s", BYTES(LITTLE), BYTES(LITTLE), 3,
     BYTES("\11\0\0\0half"), BYTES("\51"), false, false},
    {"proto=length size=varint id=%s", BYTES("\3one\0\11two words\203\0non"),
     BYTES("\3one\0\11two words\3non"), 4, BYTES("\5half"), BYTES("\50"), false, false},
    {"proto=length off=1 size=1 id=%s", BYTES("a\3oneb\0c\11two words"), NULL, 0, 3, BYTES("d\5half"),
     BYTES("e\47"), false, false},
    {"proto=length size=1 strip=1 id=field off=1 size=2 endian=little", BYTES("\5\x90pone\2\x90p"),
     BYTES("\5\x90pone\2\x90p"), 2, BYTES("\5\x90pon"), BYTES("\50"), true, false},
    {"proto=own id=%s", BYTES("P\3one\0P\0\0\0P\11two words?"), BYTES("P\3oneP\0P\11two wordsP\1\3"), 3,
     BYTES("P\5half"), BYTES("P\47"), false, false},
    {"proto=head", BYTES("\xf7\x9a\xb6\x8e\10\0\x90p\xf7\x9a\xb6\x8e\13\0\x90pone"), NULL, 0, 2,
     BYTES("\xf7\x9a\xb6\x8e\11\0\x90p"), BYTES("\xf7\x9a\xb6\x8e\51\0"), true, false},
    {"proto=raw id=%s", BYTES("one and two words"), BYTES("one and two words"), 0, NULL, 0, NULL, 0, false,
     false},
    {"proto=ws id=%s", BYTES(HANDSHAKE FRAMES), BYTES(UPGRADED "\x81\3one\x8a\2hi\x81\11two words\x81\0"), 3,
     NULL, 0, NULL, 0, false, true},
};
enum { EDGES = sizeof edges / sizeof edges[0], ROOM = 1024 };

static const char *const ids[] = {"0x7090", "0x7190"}; /* inline, offloaded */

static unsigned kinds_of(const struct edge *e)
{
    return e->inline_only ? 1 : 2;
}

/* A server of one worker, with a listener for HEAD+Data, and one of the row, with these options besides. */
static void start(struct server *s, const struct edge *e, unsigned kind, const char *more)
{
    char options[128], listen[256];
    snprintf(options, sizeof options, e->options, ids[kind]);
    bool is_fixed = strstr(options, "fixed=") != NULL; /* that is its largest packet */
    snprintf(listen, sizeof listen, "127.0.0.1:0, 127.0.0.1:0 %s max=%d%s", options, MAX, more);
    if (is_fixed)
        snprintf(listen, sizeof listen, "127.0.0.1:0, 127.0.0.1:0 %s%s", options, more);
    const char *const args[] = {"server.workernum=1", "server.packet_timeout=1", "test.offload=on", NULL};
    server_launch(s, &(struct launch){.program = "testapp", .args = args, .listen = listen});
}

static int row_open(const struct server *s)
{
    return client_open_at(&s->addresses[1]);
}

static void expect_bytes(int fd, const char *wanted, size_t n)
{
    char got[ROOM];
    client_recv(fd, got, n);
    ITEST_ASSERT(memcmp(got, wanted, n) == 0, "other bytes came back");
}

static void expect_nothing_more(int fd)
{
    char byte;
    ITEST_ASSERT(recv(fd, &byte, 1, MSG_DONTWAIT) < 0 && errno == EAGAIN, "more came back");
}

/* What the row's server answers to all of it at once. Returns its length. */
static size_t learn(const struct server *s, const struct edge *e, char *answers)
{
    size_t n = 0;
    int fd = row_open(s);
    client_send(fd, e->stream, e->len);
    if (e->answers != NULL) {
        memcpy(answers, e->answers, e->answers_len);
        expect_bytes(fd, answers, e->answers_len);
        close(fd);
        return e->answers_len;
    }
    ck_assert_int_eq(shutdown(fd, SHUT_WR), 0);
    for (ptrdiff_t k = 1; k > 0; n += (size_t) k) {
        k = net_recv_wait(fd, answers + n, 1, itest_deadline(5000));
        ITEST_ASSERT(k >= 0 && n < ROOM - 1, "it ended with %s", strerror(errno));
        k = k < 0 ? 0 : k;
    }
    close(fd);
    return n;
}

/* Goal: cut in two at any byte, the second part coming when the first has been read, a stream is answered as if it
 * came at once. */
START_TEST(cut_at_every_byte)
{
    const struct edge *e = &edges[_i];
    char answers[ROOM];
    for (unsigned kind = 0; kind < kinds_of(e); kind++) {
        struct server s;
        start(&s, e, kind, "");
        size_t n = learn(&s, e, answers);
        int other = client_open(&s);
        uint64_t before = server_counter(&s, "functions"), calls = 0;
        for (size_t cut = 1; cut < e->len; cut++) {
            int fd = row_open(&s);
            client_send(fd, e->stream, cut);
            client_echo(other, 0);
            client_send(fd, e->stream + cut, e->len - cut);
            expect_bytes(fd, answers, n);
            client_echo(other, 0);
            expect_nothing_more(fd);
            close(fd);
            calls += e->packets + 2;
        }
        if (e->packets > 0)
            ck_assert_uint_eq(server_counter(&s, "functions") - before, calls);
        close(other);
        server_finish(&s);
    }
}
END_TEST

/* Goal: a byte at a time, and many streams in one segment, are answered alike. */
START_TEST(byte_by_byte_and_merged)
{
    enum { TIMES = 50 };
    const struct edge *e = &edges[_i];
    char answers[ROOM], *all = malloc(TIMES * e->len);
    ck_assert_ptr_nonnull(all);
    for (unsigned kind = 0; kind < kinds_of(e); kind++) {
        struct server s;
        start(&s, e, kind, "");
        size_t n = learn(&s, e, answers);
        int fd = row_open(&s), other = client_open(&s);
        for (size_t i = 0; i < e->len; i++) {
            client_send(fd, e->stream + i, 1);
            client_echo(other, 0);
        }
        expect_bytes(fd, answers, n);
        for (size_t i = 0; i < TIMES; i++)
            memcpy(all + i * e->len, e->stream, e->len);
        if (!e->once && strstr(e->options, "own") == NULL) { /* which says how many there were */
            client_send(fd, all, TIMES * e->len);
            for (size_t i = 0; i < TIMES; i++)
                expect_bytes(fd, answers, n);
        }
        client_echo(other, 0);
        expect_nothing_more(fd);
        close(fd);
        close(other);
        server_finish(&s);
    }
    free(all);
}
END_TEST

/* Goal: a byte that is sent as urgent stays where it was in the stream. */
START_TEST(urgent_bytes_stay)
{
    const struct edge *e = &edges[_i];
    char answers[ROOM];
    struct server s;
    start(&s, e, 0, "");
    size_t n = learn(&s, e, answers);
    for (size_t cut = 1; cut < e->len; cut++) {
        int fd = row_open(&s);
        ck_assert_int_eq(send(fd, e->stream, cut, MSG_OOB), cut);
        client_send(fd, e->stream + cut, e->len - cut);
        expect_bytes(fd, answers, n);
        close(fd);
    }
    server_finish(&s);
}
END_TEST

/* Goal: a packet that is too long ends its connection with the byte that proves it, answers before it still arrive; one
 * that is a byte shorter is waited for, and no longer than packets may take. */
START_TEST(too_long_and_too_slow)
{
    const struct edge *e = &edges[_i];
    char answers[ROOM], long_one[MAX];
    struct server s;
    if (e->piece == NULL)
        return;
    start(&s, e, 0, "");
    size_t n = learn(&s, e, answers), over_len = e->over != NULL ? e->over_len : MAX;
    const char *over = e->over != NULL ? e->over : long_one;
    bool has_limit = strstr(e->options, "fixed") == NULL;
    int other = client_open(&s), slow = row_open(&s);
    memset(long_one, 'x', sizeof long_one);
    client_send(slow, e->piece, e->piece_len);
    if (has_limit) {
        int fd = row_open(&s);
        client_send(fd, e->stream, e->len);
        expect_bytes(fd, answers, n);
        for (size_t i = 0; i < over_len - 1; i++) {
            client_send(fd, over + i, 1);
            client_echo(other, 0);
            expect_nothing_more(fd);
        }
        client_send(fd, over + over_len - 1, 1);
        client_expect_fin(fd);
    }
    client_expect_fin(slow);
    close(other);
    server_finish(&s);
    ck_assert_uint_eq(server_counter(&s, "closed_bad_length"), has_limit);
    ck_assert_uint_eq(server_counter(&s, "closed_packet_timeout"), 1);
}
END_TEST

/* Goal: when a client closes its sending side, whole packets are answered, and a piece of one is dropped and
 * counted. */
START_TEST(half_closed)
{
    const struct edge *e = &edges[_i];
    char answers[ROOM], bytes[ROOM];
    if (e->piece == NULL)
        return;
    for (unsigned kind = 0; kind < kinds_of(e); kind++) {
        struct server s;
        start(&s, e, kind, "");
        size_t n = learn(&s, e, answers);
        memcpy(bytes, e->stream, e->len);
        memcpy(bytes + e->len, e->piece, e->piece_len);
        int fd = row_open(&s);
        client_send(fd, bytes, e->len + e->piece_len);
        ck_assert_int_eq(shutdown(fd, SHUT_WR), 0);
        expect_bytes(fd, answers, n);
        client_expect_fin(fd);
        server_finish(&s);
        ck_assert_uint_eq(server_counter(&s, "truncated"), 1);
    }
}
END_TEST

/* Goal: with eof=packet the end of the stream ends a last line too, if there is one. */
START_TEST(the_end_is_an_end)
{
    struct server s;
    for (unsigned kind = 0; kind < 2; kind++) {
        start(&s, &edges[0], kind, " eof=packet");
        for (size_t i = 0; i < 2; i++) {
            int fd = row_open(&s);
            client_send(fd, "one\ntwo", i == 0 ? 7 : 4);
            ck_assert_int_eq(net_shut(fd), 0);
            expect_bytes(fd, "one\ntwo\n", i == 0 ? 8 : 4);
            client_expect_fin(fd);
        }
        server_finish(&s);
        ck_assert_uint_eq(server_counter(&s, "truncated"), 0);
    }
}
END_TEST

/* Goal: a last packet may have a part of its delimiter behind it, also of one that ends as it begins: that is no packet
 * of its own, and keeps nobody from ending. */
START_TEST(a_part_of_an_end)
{
    static const struct {
        const char *options, *sent, *answered;
    } rows[] = {
        {"proto=delim=0x0d0a0d0a id=%s", "one\r\n\r\ntwo\r\n", "one\r\n\r\ntwo\r\n\r\n"},
        {"proto=delim=0x2121 id=%s", "one!!!", "one!!!!"},
        {"proto=line eol=crlf id=%s", "one\r\ntwo\r", "one\r\ntwo\r\n"},
    };
    const struct edge row = {.options = rows[_i].options};
    for (unsigned kind = 0; kind < 2; kind++) {
        struct server s;
        start(&s, &row, kind, " eof=packet");
        int fd = row_open(&s);
        client_send(fd, rows[_i].sent, strlen(rows[_i].sent));
        ck_assert_int_eq(net_shut(fd), 0);
        expect_bytes(fd, rows[_i].answered, strlen(rows[_i].answered));
        client_expect_fin(fd);
        server_finish(&s);
        ck_assert_uint_eq(server_counter(&s, "closed_peer_closed"), 1);
    }
}
END_TEST

/* ---- Framings that are wrong, and what is none ---- */

static const struct edge mad = {.options = "proto=mad"};

/* Goal: a framing that answers nonsense ends its connection, what it was is said once a kind, and nobody else
 * notices. */
START_TEST(nonsense)
{
    static const char bad[] = {MAD_NEED_0,       MAD_NEED_MORE, MAD_SHOWS_MORE, MAD_SHOWS_AROUND, MAD_ID,
                               MAD_MORE_OF_LESS, MAD_SKIP_0,    MAD_ANSWER,     MAD_BAD};
    struct server s;
    start(&s, &mad, 0, "");
    int other = client_open(&s), calm = row_open(&s);
    for (size_t i = 0; i < 2 * sizeof bad; i++) {
        char bytes[] = {'a', bad[i / 2]};
        int fd = row_open(&s);
        client_send(fd, bytes + i % 2, 2 - i % 2);
        client_expect_fin(fd);
        client_send(calm, "a", 1);
    }
    client_echo(other, 10);
    server_wait_log(&s, "framing mad", 5000);
    close(calm);
    close(other);
    server_finish(&s);
    ck_assert_uint_eq(server_counter(&s, "closed_framing_error"), 2 * sizeof bad - 2);
    ck_assert_uint_eq(server_counter(&s, "closed_bad_frame"), 2);
}
END_TEST

/* Goal: a framing may close its connection: the packet that it has found then is for nobody, nor are those behind. */
START_TEST(a_framing_closes)
{
    struct server s;
    start(&s, &mad, 0, "");
    int other = client_open(&s), fd = row_open(&s);
    uint64_t before = server_counter(&s, "functions");
    client_send(fd, (char[]){'a', MAD_CLOSES, 'a'}, 3);
    client_expect_fin(fd);
    client_echo(other, 0);
    ck_assert_uint_eq(server_counter(&s, "functions") - before, 2); /* 'a', and the echo */
    close(other);
    server_finish(&s);
    ck_assert_uint_eq(server_counter(&s, "closed_function_closed"), 1);
}
END_TEST

/* Goal: a framing that does not return is a function that does not: its connection ends, and its worker goes on with
 * another thread. */
START_TEST(a_framing_sticks)
{
    static const char *const args[] = {"server.workernum=1", "watch.warn_ms=100", "watch.replace_ms=300",
                                       NULL};
    struct server s;
    server_launch(&s,
                  &(struct launch){.program = "testapp",
                                   .args = args,
                                   .listen = "127.0.0.1:0, 127.0.0.1:0 proto=mad, 127.0.0.1:0 proto=own"});
    int other = client_open(&s), fd = client_open_at(&s.addresses[1]), own = client_open_at(&s.addresses[2]);
    client_send(own, "P\3one", 5);
    expect_bytes(own, "P\3one", 5);
    client_send(own, "P\3", 2);
    client_send(fd, (char[]){'a', MAD_STICKS}, 2);
    client_expect_fin(fd);
    client_echo(other, 10);
    client_send(own, "two?", 4); /* what its state counts is the successor's now */
    expect_bytes(own, "P\3twoP\1\2", 8);
    client_send_packet(other, TEST_UNSTICK, NULL, 0);
    client_recv_packet(other, TEST_UNSTICK, (char[8]){0}, 8);
    close(own);
    close(other);
    server_stop(&s);
    ck_assert_uint_eq(server_counter(&s, "closed_function_stuck"), 1);
}
END_TEST

/* Goal: what is another protocol is called by its name in the log. */
START_TEST(what_it_looks_like)
{
    static const struct {
        const char *bytes;
        size_t n;
        const char *says;
    } rows[] = {
        {BYTES("GET / HTTP/1.1\r\nHost: a\r\n\r\n"), "bad_frame (looks like HTTP)"},
        {BYTES("\x16\3\1\2\0\1\0\1\xfc\3\3"), "bad_frame (looks like TLS)"},
        {BYTES("SSH-2.0-OpenSSH_9.2\r\n"), "bad_frame (looks like SSH)"},
    };
    struct server s;
    start(&s, &edges[11], 0, "");
    s.log_lines_max = 100;
    for (size_t i = 0; i < sizeof rows / sizeof rows[0]; i++) {
        int fd = row_open(&s);
        client_send(fd, rows[i].bytes, rows[i].n);
        client_expect_fin(fd);
        server_wait_log(&s, rows[i].says, 5000);
    }
    server_finish(&s);
    ck_assert_uint_eq(server_counter(&s, "closed_bad_frame"), 3);
}
END_TEST

/* Goal: a word that nobody knows, and an id in a field that has no function, end their connections. */
START_TEST(unknown_ids)
{
    struct server s;
    for (int i = 0; i < 2; i++) {
        start(&s, &edges[i == 0 ? 2 : 10], 0, "");
        int fd = row_open(&s);
        client_send(fd, i == 0 ? "frame\n" : "\2\x91z", i == 0 ? 6 : 3);
        client_expect_fin(fd);
        server_finish(&s);
        ck_assert_uint_eq(server_counter(&s, "closed_unknown_akg"), 1);
    }
}
END_TEST

Suite *edges_suite(void)
{
    Suite *s = suite_create("edges");
    TCase *c = itest_case(s, "streams", 20);
    tcase_add_loop_test(c, cut_at_every_byte, 0, EDGES);
    tcase_add_loop_test(c, byte_by_byte_and_merged, 0, EDGES);
    tcase_add_loop_test(c, urgent_bytes_stay, 0, EDGES);
    tcase_add_loop_test(c, too_long_and_too_slow, 0, EDGES);
    tcase_add_loop_test(c, half_closed, 0, EDGES);
    tcase_add_test(c, the_end_is_an_end);
    tcase_add_loop_test(c, a_part_of_an_end, 0, 3);
    c = itest_case(s, "wrong", 20);
    tcase_add_test(c, nonsense);
    tcase_add_test(c, a_framing_closes);
    tcase_add_test(c, a_framing_sticks);
    tcase_add_test(c, what_it_looks_like);
    tcase_add_test(c, unknown_ids);
    return s;
}
