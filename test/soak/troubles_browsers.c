/*
 * troubles_browsers.c: what browsers and others send where a WebSocket is wanted: upgrades in pieces, messages in
 * frames of any size with pings between them, echoed whole; then an end, good or bad, and what it has to be answered.
 * Main thread.
 */
#include "soak.h"

#include <errno.h>
#include <stdio.h>
#include <string.h>
#include <sys/socket.h>
#include <unistd.h>

#include "test/lib/websocket.h"

enum { MESSAGES_MAX = 12, DATA_MAX = 900, PART_MAX = DATA_MAX + 16, STREAM_MAX = 64 * 1024 };

/* What is sent, and what has to come back for it. */
struct stream {
    unsigned char out[STREAM_MAX], back[STREAM_MAX];
    size_t out_len, back_len;
};
static struct stream stream;

static void put_frame(struct trouble *t, uint8_t first, const void *data, size_t n)
{
    unsigned char mask[4];
    for (size_t i = 0; i < sizeof mask; i++)
        mask[i] = (unsigned char) chance_next(&t->chance);
    stream.out_len += websocket_frame(stream.out + stream.out_len, first, data, n, mask);
}

static void put_back(uint8_t first, const void *data, size_t n)
{
    stream.back_len += websocket_frame(stream.back + stream.back_len, first, data, n, NULL);
}

/* A message of n bytes in up to four frames, with a ping behind some. */
static void put_message(struct trouble *t, uint8_t opcode, const unsigned char *data, size_t n)
{
    uint32_t parts = chance_in(&t->chance, 1, 4);
    for (size_t at = 0; parts > 0; parts--) {
        size_t part = parts == 1 ? n - at : chance_in(&t->chance, 0, (uint32_t) (n - at));
        put_frame(t, (uint8_t) ((at == 0 && opcode != 0 ? opcode : 0) | (parts == 1 ? 0x80 : 0)), data + at,
                  part);
        opcode = 0;
        at += part;
        if (parts > 1 && chance_in(&t->chance, 0, 2) == 0) {
            put_frame(t, WEBSOCKET_PING, "still there", 11);
            put_back(WEBSOCKET_PONG, "still there", 11);
        }
    }
}

/* A message that is echoed. */
static void put_echo(struct trouble *t, uint32_t address)
{
    unsigned char data[PART_MAX], packet[PART_MAX];
    size_t n = chance_in(&t->chance, 0, DATA_MAX);
    bool text = address == SOAK_WS_PAYLOADS && chance_in(&t->chance, 0, 1) == 0;
    memset(data, (int) chance_in(&t->chance, text ? 'a' : 0, text ? 'z' : 255), n);
    if (address == SOAK_WS_PACKETS) {
        n = client_packet(packet, TEST_ECHO, data, n);
        memcpy(data, packet, n);
    }
    put_message(t, text ? 1 : 2, data, n);
    put_back(text ? WEBSOCKET_TEXT : WEBSOCKET_BINARY, data, n);
}

static void send_in_slices(struct trouble *t, int fd)
{
    size_t at = 0;
    for (int slices = 0; at < stream.out_len; slices++) {
        size_t left = stream.out_len - at;
        size_t n = slices < 30 ? chance_in(&t->chance, 1, (uint32_t) (stream.out_len / 8 + 1)) : left;
        n = n > left ? left : n;
        client_send(fd, stream.out + at, n);
        itest_sleep(chance_in(&t->chance, 0, 2));
        at += n;
    }
}

/* Whether exactly these bytes come. */
static void expect_back(struct soak *s, int fd, const void *wanted, size_t n)
{
    static unsigned char got[STREAM_MAX];
    ptrdiff_t have = net_recv_wait(fd, got, n, itest_deadline(10000));
    if (have != (ptrdiff_t) n || memcmp(got, wanted, n) != 0)
        complain(s, "websocket: %td bytes back of %zu: %s", have, n, have < 0 ? strerror(errno) : "wrong");
}

/* Ends of a connection that is upgraded: what the client sends, what the server says in its Close frame, and how it
 * counts it. Without bytes: a FIN. */
static const struct end {
    const char *bytes;
    size_t n;
    const char *code;
    enum reason reason;
} ends[] = {
    {NULL, 0, NULL, REASON_peer_closed},
    {"\x88\x82\0\0\0\0\x03\xe8", 8, "\x03\xe8", REASON_peer_closed},
    {"\x82\x03", 2, "\x03\xea", REASON_bad_frame},                     /* no mask */
    {"\xc2", 1, "\x03\xea", REASON_bad_frame},                         /* a reserved bit */
    {"\x80", 1, "\x03\xea", REASON_bad_frame},                         /* a fragment of nothing */
    {"\x88\x81\0\0\0\0\x03", 7, "\x03\xea", REASON_bad_frame},         /* half a code */
    {"\x82\xfe\x03\xe9", 4, "\x03\xf1", REASON_bad_length},            /* 1,001 bytes */
    {"\x82\xff\0\0\0\0\x10\0\0\0", 10, "\x03\xf1", REASON_bad_length}, /* 256 MB */
};
enum { ENDS = sizeof ends / sizeof ends[0] };

static void end_it(struct soak *s, int fd, const struct end *e)
{
    unsigned char close_frame[4] = {WEBSOCKET_CLOSE, 2};
    if (e->reason != REASON_peer_closed)
        book(s, e->reason, 1);
    if (e->bytes == NULL) {
        close(fd);
        return;
    }
    client_send(fd, e->bytes, e->n);
    memcpy(close_frame + 2, e->code, 2);
    expect_back(s, fd, close_frame, sizeof close_frame);
    client_expect_fin(fd);
}

/* One that is upgraded, says something, and ends. */
static void browser(struct soak *s, struct trouble *t)
{
    uint32_t address = chance_in(&t->chance, SOAK_WS_PACKETS, SOAK_WS_PAYLOADS);
    const struct end *e = &ends[chance_in(&t->chance, 0, ENDS - 1)];
    int fd = client_open_at(&s->server.addresses[address]);
    stream.out_len = (size_t) snprintf((char *) stream.out, STREAM_MAX, "%s\r\n", websocket_request);
    stream.back_len = 0;
    for (uint32_t n = chance_in(&t->chance, 0, MESSAGES_MAX); n > 0; n--)
        put_echo(t, address);
    send_in_slices(t, fd);
    expect_back(s, fd, websocket_accepted, strlen(websocket_accepted));
    expect_back(s, fd, stream.back, stream.back_len);
    end_it(s, fd, e);
}

/* One that wants something else, or stops within its request. */
static void no_browser(struct soak *s, struct trouble *t)
{
    static const struct {
        const char *bytes, *answer;
        enum reason reason;
    } kinds[] = {
        {"GET / HTTP/1.1\r\nHost: a\r\n\r\n", "HTTP/1.1 426 ", REASON_bad_upgrade},
        {"GET / HTTP/1.1\r\nHost: a\r\nHost: b\r\n", "HTTP/1.1 400 ", REASON_bad_upgrade},
        {"POST / HTTP/1.1\r\nHost: a\r\n\r\n", "HTTP/1.1 405 ", REASON_bad_upgrade},
        {"\xf7\x9a\xb6\x8e\x08\x00", "HTTP/1.1 400 ", REASON_bad_frame},
        {"GET / HTTP/1.1\r\nHost: a\r\nUpgra", NULL, REASON_peer_closed},
    };
    uint32_t kind = chance_in(&t->chance, 0, sizeof kinds / sizeof kinds[0] - 1);
    int fd = client_open_at(&s->server.addresses[chance_in(&t->chance, SOAK_WS_PACKETS, SOAK_WS_PAYLOADS)]);
    client_send(fd, kinds[kind].bytes, strlen(kinds[kind].bytes));
    if (kinds[kind].answer == NULL) {
        if (shutdown(fd, SHUT_WR) != 0)
            complain(s, "shutdown: %s", strerror(errno));
        client_expect_fin(fd);
        return;
    }
    book(s, kinds[kind].reason, 1);
    expect_back(s, fd, kinds[kind].answer, strlen(kinds[kind].answer));
    if (client_ending(fd, NULL, 10000) != END_FIN)
        complain(s, "websocket: no FIN behind %s", kinds[kind].answer);
    close(fd);
}

struct trouble_kind browser_troubles[] = {
    {"browser", NEEDS_NOTHING, 15, browser, NULL, 0},
    {"no_browser", NEEDS_NOTHING, 5, no_browser, NULL, 0},
    {NULL, NEEDS_NOTHING, 0, NULL, NULL, 0},
};
