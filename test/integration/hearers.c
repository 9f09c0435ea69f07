/*
 * hearers.c: connections by listeners of all framings. Main thread of a test.
 */
#include "hearers.h"

#include <errno.h>
#include <poll.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/socket.h>
#include <unistd.h>

#include "mario/mario_push.h"

/* ---- The server ---- */

void hearers_start(struct server *s, const char *const *more)
{
    static const char listen[] =
        "127.0.0.1:0, 127.0.0.1:0 proto=line id=0x700e, "
        "127.0.0.1:0 proto=length size=2 endian=big id=0x700e, "
        "127.0.0.1:0 proto=delim delim=0x0d0a03 id=0x700e, "
        "127.0.0.1:0 proto=raw id=0x700e, 127.0.0.1:0 proto=fixed fixed=16 id=0x700e, "
        "127.0.0.1:0 proto=ws, 127.0.0.1:0 proto=wrapped";
    server_launch(s, &(struct launch){.program = "testapp", .listen = listen, .args = more});
    ck_assert_uint_eq(s->address_count, HEARINGS);
}

/* ---- What they are to hear ---- */

void hearer_text(char *text, char how, uint32_t sender, uint32_t number, uint32_t len)
{
    memset(text, 'p', len);
    int n = sprintf(text, "%c%u.%u", how, sender, number);
    text[n] = ' ';
}

static void append(struct hearer *r, const void *bytes, size_t n)
{
    ITEST_ASSERT(r->expects + n <= HEARER_ROOM, "too much is expected: %zu bytes", r->expects + n);
    memcpy(r->expected + r->expects, bytes, n);
    r->expects += n;
}

static void expect(struct hearer *r, const char *text, size_t len)
{
    static unsigned char packet[HEARER_ROOM];
    const unsigned char field[2] = {(unsigned char) (len >> 8), (unsigned char) len};
    const unsigned char frame[2] = {0x82,
                                    (unsigned char) (WIRE_HEAD_LEN + len)}; /* binary, below 126 bytes */
    if (r->by == HEAR_WS)
        append(r, frame, 2);
    if (r->by == HEAR_HEAD || r->by == HEAR_WS) {
        append(r, packet, client_packet(packet, TEST_TEXT, text, len));
        return;
    }
    if (r->by == HEAR_LENGTH)
        append(r, field, 2);
    if (r->by == HEAR_WRAPPED)
        append(r, "[", 1);
    append(r, text, len);
    if (r->by == HEAR_LINE)
        append(r, "\n", 1);
    if (r->by == HEAR_DELIM)
        append(r, "\r\n\x03", 3);
    if (r->by == HEAR_WRAPPED)
        append(r, "]\n", 2);
}

void hearers_expect_by(struct hearers *h, enum hearing by, const char *text, size_t len)
{
    for (uint32_t i = 0; i < h->count; i++) {
        if (h->each[i].by == by)
            expect(&h->each[i], text, len);
    }
}

void hearers_expect(struct hearers *h, const char *text, size_t len)
{
    for (enum hearing by = 0; by < HEARINGS; by++)
        hearers_expect_by(h, by, text, len);
}

void hearers_expect_goodbye(struct hearers *h, uint16_t code)
{
    const unsigned char close[4] = {0x88, 2, (unsigned char) (code >> 8), (unsigned char) code};
    for (uint32_t i = 0; i < h->count; i++) {
        if (h->each[i].by == HEAR_WS)
            append(&h->each[i], close, sizeof close);
    }
}

/* ---- Opening and hearing ---- */

/* As a browser; the answer is read up to its end. */
static void upgrade(int fd)
{
    static const char request[] = "GET / HTTP/1.1\r\nHost: localhost\r\nUpgrade: websocket\r\n"
                                  "Connection: Upgrade\r\nSec-WebSocket-Version: 13\r\n"
                                  "Sec-WebSocket-Key: dGhlIHNhbXBsZSBub25jZQ==\r\n\r\n";
    char last[5] = "";
    client_send(fd, request, sizeof request - 1);
    while (strcmp(last, "\r\n\r\n") != 0) {
        memmove(last, last + 1, 3);
        client_recv(fd, last + 3, 1);
    }
}

/* What the connected hook writes first: a packet as it is, but for a browser a message. */
static void hear_hook(const struct hearer *r)
{
    unsigned char called[2 + WIRE_HEAD_LEN + sizeof(struct test_called)];
    size_t front = r->by == HEAR_WS ? 2 : 0;
    client_recv(r->fd, called, front + sizeof called - 2);
    ITEST_ASSERT(wire_get_head(called + front).akg_id == TEST_CALLED && (front == 0 || called[0] == 0x82),
                 "not what the hook writes, by framing %d", (int) r->by);
}

void hearers_open(struct hearers *h, struct ears *e, enum hearing first, enum hearing last, uint32_t n,
                  uint64_t group, uint64_t uid)
{
    const struct test_order orders[] = {{.kind = ORDER_CONNECTED, .body = 2},
                                        {.kind = ORDER_JOIN, .to = group},
                                        {.kind = ORDER_BIND, .how = MARIO_BIND_MANY, .to = uid}};
    ear_do(e, 0, TEST_PUSH, orders, ORDERS_IN(orders), NULL);
    h->count = n * (uint32_t) (last - first);
    h->each = calloc(h->count, sizeof *h->each);
    ck_assert_ptr_nonnull(h->each);
    for (uint32_t i = 0; i < h->count; i++) {
        h->each[i].by = first + (enum hearing)(i / n);
        h->each[i].fd = client_open_at(&e->server->addresses[h->each[i].by]);
        if (h->each[i].by == HEAR_WS)
            upgrade(h->each[i].fd);
    }
    for (uint32_t i = 0; i < h->count; i++)
        hear_hook(&h->each[i]);
    ears_expect_members(e, 0, group, h->count);
    ears_expect_bound(e, 0, uid, h->count);
}

void hearers_close(struct hearers *h)
{
    for (uint32_t i = 0; i < h->count; i++) {
        if (h->each[i].fd >= 0)
            close(h->each[i].fd);
    }
    free(h->each);
    h->each = NULL;
    h->count = 0;
}

/* What is there; never more than is expected, nor anything else. */
static void hear(struct hearer *r)
{
    ssize_t n = 1;
    while (n > 0 && r->how == END_OPEN) {
        n = recv(r->fd, r->got + r->have, HEARER_ROOM - r->have, MSG_DONTWAIT);
        if (n > 0)
            r->have += (size_t) n;
        else if (n == 0)
            r->how = END_FIN;
        else if (errno != EAGAIN && errno != EINTR)
            r->how = END_RST;
    }
    ITEST_ASSERT(r->have <= r->expects && memcmp(r->got, r->expected, r->have) == 0,
                 "framing %d heard '%.*s' (%zu bytes) where '%.*s' (%zu bytes) was expected", (int) r->by,
                 (int) r->have, r->got, r->have, (int) r->expects, r->expected, r->expects);
}

/* How many have ended, and how many have all; a millisecond passes. */
static uint32_t hear_all(struct hearers *h, uint32_t *ended)
{
    uint32_t done = 0;
    *ended = 0;
    for (uint32_t i = 0; i < h->count; i++) {
        struct hearer *r = &h->each[i];
        hear(r);
        *ended += r->how != END_OPEN;
        done += r->have == r->expects || r->how != END_OPEN;
    }
    poll(NULL, 0, 1);
    return done;
}

uint32_t hearers_wait(struct hearers *h, uint32_t may_end)
{
    uint64_t end = itest_deadline(EAR_MS);
    uint32_t ended, done;
    do {
        done = hear_all(h, &ended);
        ITEST_ASSERT(ended <= may_end, "%u have ended", ended);
        ITEST_ASSERT(mono_ns() < end, "only %u of %u have heard all", done, h->count);
    } while (done < h->count);
    hear_all(h, &ended); /* nor anything behind it */
    return ended;
}

void hearers_wait_ends(struct hearers *h)
{
    uint64_t end = itest_deadline(EAR_MS);
    uint32_t ended;
    do {
        hear_all(h, &ended);
        ITEST_ASSERT(mono_ns() < end, "only %u of %u have ended", ended, h->count);
    } while (ended < h->count);
    for (uint32_t i = 0; i < h->count; i++)
        ITEST_ASSERT(h->each[i].how == END_FIN && h->each[i].have == h->each[i].expects,
                     "framing %d ended with %zu of %zu bytes", (int) h->each[i].by, h->each[i].have,
                     h->each[i].expects);
}
