/*
 * troubles_wire.c: what comes over the wire, or does not: rows 8, 9, 11, 12 and 13 of the scorecard. Main thread.
 */
#include "soak.h"

#include <errno.h>
#include <stdlib.h>
#include <string.h>
#include <sys/socket.h>
#include <unistd.h>

#include "test/lib/exchange.h"

/* ---- Slow packets, silence ---- */

/* A first byte, a head, all but the last byte; some go on byte by byte. None is whole in time. */
static void slowloris_begin(struct soak *s, struct trouble *t)
{
    unsigned char packet[108], data[100] = {0};
    size_t whole = client_packet(packet, TEST_ECHO, data, sizeof data);
    for (uint32_t n = chance_in(&t->chance, 1, FDS_MAX); n > 0; n--) {
        size_t first[] = {1, WIRE_HEAD_LEN, whole - 1, 1};
        client_send(trouble_open(s, t), packet, first[n % 4]);
    }
    book(s, REASON_packet_timeout, t->count);
    t->due = mono_ns() + NS_PER_S;
}

static bool slowloris_is_over(struct soak *s, struct trouble *t)
{
    unsigned char packet[16];
    (void) s;
    client_packet(packet, TEST_ECHO, NULL, 0);
    packet[4] = 108;
    bool again = trouble_again(t, 1000) && ++t->step < WIRE_HEAD_LEN;
    for (uint32_t i = 0; again && i < t->count; i++) {
        if ((t->count - i) % 4 == 0 && t->fds[i] >= 0)
            net_send(t->fds[i], packet + t->step, 1); /* it may be closed */
    }
    return trouble_all_ended(t);
}

static void silence_begin(struct soak *s, struct trouble *t)
{
    for (uint32_t n = chance_in(&t->chance, 1, FDS_MAX); n > 0; n--) {
        int fd = trouble_open(s, t);
        if (n % 2 == 0)
            client_echo(fd, n);
    }
    book(s, REASON_idle_timeout, t->count);
}

static bool silence_is_over(struct soak *s, struct trouble *t)
{
    (void) s;
    return trouble_all_ended(t);
}

/* ---- Packets that must not get in ---- */

/* One whose head is wrong in one way: the magic, the length, the id. */
static enum reason make_bad(struct chance *c, struct wire_head *h)
{
    *h = (struct wire_head){.stx = ITEST_STX, .pkglen = WIRE_HEAD_LEN, .akg_id = TEST_ECHO};
    switch (chance_in(c, 0, 3)) {
    case 0:
        h->stx ^= 1u << chance_in(c, 0, 31);
        return REASON_bad_stx;
    case 1:
        h->pkglen = (uint16_t) chance_in(c, 0, WIRE_HEAD_LEN - 1);
        return REASON_bad_length;
    case 2:
        h->pkglen = (uint16_t) chance_in(c, 8193, 65535);
        return REASON_bad_length;
    default:
        h->akg_id =
            (uint16_t) (chance_in(c, 0, 1) == 0 ? chance_in(c, 0xfffc, 0xffff) : chance_in(c, 1, 0x60ff));
        return REASON_unknown_akg;
    }
}

/* Good packets and a bad one behind them: the good ones are answered, then it is over. */
static void bad_packet(struct soak *s, struct trouble *t)
{
    unsigned char out[8192];
    for (uint32_t n = chance_in(&t->chance, 1, 10); n > 0; n--) {
        struct wire_head bad;
        uint32_t good = chance_in(&t->chance, 0, 20);
        struct exchange x = exchange_echo(ITEST_STX, chance_in(&t->chance, 0, 300));
        exchange_build_run(&x, n, 0, good, out);
        book(s, make_bad(&t->chance, &bad), 1);
        wire_put_head(out + good * x.request_len, bad);
        int fd = client_open(&s->server);
        client_send(fd, out, good * x.request_len + WIRE_HEAD_LEN);
        for (uint32_t i = 0; i < good; i++) {
            if (!trouble_answered(s, fd, TEST_ECHO, x.data_len))
                complain(s, "closed after %u answers of %u", i, good);
        }
        client_expect_fin(fd);
    }
}

static void garbage(struct soak *s, struct trouble *t)
{
    unsigned char out[4096];
    for (uint32_t n = chance_in(&t->chance, 1, 10); n > 0; n--) {
        size_t len = chance_in(&t->chance, 4, sizeof out); /* fewer could become a stx */
        for (size_t i = 0; i < len; i++)
            out[i] = (unsigned char) chance_next(&t->chance);
        out[0] = 0; /* no stx begins so */
        book(s, REASON_bad_stx, 1);
        int fd = client_open(&s->server);
        client_send(fd, out, len);
        client_expect_fin(fd);
    }
}

/* ---- Packets that are cut at odd places, and all right ---- */

static void cut(struct soak *s, struct trouble *t)
{
    enum { COUNT = 12 };
    static unsigned char out[COUNT * 8192];
    struct exchange x = exchange_echo(ITEST_STX, chance_in(&t->chance, 0, 8000));
    size_t len = (size_t) COUNT * x.request_len, at = 0;
    exchange_build_run(&x, 1, 0, COUNT, out);
    int fd = client_open(&s->server);
    for (int slices = 0; at < len; slices++) {
        size_t n = slices < 40 ? chance_in(&t->chance, 1, (uint32_t) (len / 20)) : len - at;
        n = n > len - at ? len - at : n;
        client_send(fd, out + at, n);
        itest_sleep(chance_in(&t->chance, 0, 3));
        at += n;
    }
    for (int i = 0; i < COUNT; i++) {
        if (!trouble_answered(s, fd, TEST_ECHO, x.data_len))
            complain(s, "%d answers to packets in slices, of %d", i, COUNT);
    }
    close(fd);
}

/* ---- Readers ---- */

/* They ask for more than the server keeps for them, or never read what it keeps. */
static void stopped_reader_begin(struct soak *s, struct trouble *t)
{
    t->choice = chance_in(&t->chance, 0, 1) == 0 ? REASON_output_limit : REASON_write_timeout;
    for (uint32_t n = chance_in(&t->chance, 1, 3); n > 0; n--) {
        int fd = t->fds[t->count++] = client_open_narrow(&s->server);
        send_number(fd, TEST_REPLY,
                    t->choice == REASON_output_limit ? OUTPUT_MAX + (8 << 20) : OUTPUT_MAX / 2);
    }
}

static bool stopped_reader_is_over(struct soak *s, struct trouble *t)
{
    if (!trouble_again(t, 100))
        return false;
    while (t->step < t->count && client_is_closed(t->fds[t->step]))
        t->step++;
    if (t->step < t->count)
        return false;
    for (uint32_t i = 0; i < t->count; i++)
        book(s, trouble_has_bytes(t->fds[i]) ? (enum reason) t->choice : REASON_function_stuck, 1);
    trouble_close(t);
    return true;
}

/* One that reads slowly, but reads. */
static void slow_reader_begin(struct soak *s, struct trouble *t)
{
    t->choice = chance_in(&t->chance, 500000, 4000000);
    send_number(trouble_open(s, t), TEST_REPLY, t->choice);
}

static bool slow_reader_is_over(struct soak *s, struct trouble *t)
{
    char sink[65536];
    if (!trouble_again(t, 20))
        return false;
    ssize_t n = net_recv(t->fds[0], sink, sizeof sink);
    if (n < 0 && errno == EAGAIN)
        return false;
    if (n <= 0 && t->step == 0)
        book(s, REASON_function_stuck, 1);
    else if (n <= 0)
        complain(s, "a slow reader was closed after %u bytes of %u", t->step, t->choice);
    t->step += n > 0 ? (uint32_t) n : 0;
    if (n > 0 && t->step < t->choice)
        return false;
    trouble_close(t);
    return true;
}

struct trouble_kind wire_troubles[] = {
    {"slowloris", NEEDS_NOTHING, 6, slowloris_begin, slowloris_is_over, 0},
    {"silence", NEEDS_NOTHING, 4, silence_begin, silence_is_over, 0},
    {"bad_packet", NEEDS_NOTHING, 20, bad_packet, NULL, 0},
    {"garbage", NEEDS_NOTHING, 10, garbage, NULL, 0},
    {"cut", NEEDS_NOTHING, 10, cut, NULL, 0},
    {"stopped_reader", NEEDS_NOTHING, 3, stopped_reader_begin, stopped_reader_is_over, 0},
    {"slow_reader", NEEDS_NOTHING, 4, slow_reader_begin, slow_reader_is_over, 0},
    {NULL, NEEDS_NOTHING, 0, NULL, NULL, 0},
};
