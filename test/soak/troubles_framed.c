/*
 * troubles_framed.c: what comes over framings that are not HEAD+Data, one listener each: packets in slices, streams
 * that end in a piece of one, packets that are too long. Main thread.
 */
#include "soak.h"

#include <errno.h>
#include <string.h>
#include <sys/socket.h>
#include <unistd.h>

#define EACH " max=1000 id=0x7090" /* TEST_FRAMED: what is sent comes back as it is */

const char soak_listen[] =
    "127.0.0.1:0, 127.0.0.1:0 proto=line" EACH ", 127.0.0.1:0 proto=delim=0x03" EACH
    ", 127.0.0.1:0 proto=length" EACH ", 127.0.0.1:0 proto=length size=4 endian=little counts=all" EACH
    ", 127.0.0.1:0 proto=length size=varint" EACH ", 127.0.0.1:0 proto=own" EACH
    ", 127.0.0.1:0 proto=raw" EACH ", 127.0.0.1:0 proto=ws max=1000, 127.0.0.1:0 proto=ws" EACH
    ", udp:127.0.0.1:0";

/* In the order of these addresses. */
enum { HEADS, LINES, DELIMS, LENGTHS, WHOLE_LENGTHS, VARINTS, OWN, RAW, FRAMINGS };
_Static_assert((int) FRAMINGS == (int) SOAK_FRAMINGS, "those behind them are others'");

enum { DATA_MAX = 200, PACKETS_MAX = 40, STREAM_MAX = PACKETS_MAX * (DATA_MAX + 8) };

/* A packet of n letters. Returns its length. */
static size_t put_packet(uint32_t framing, unsigned char *out, size_t n, unsigned char letter)
{
    size_t at = 0;
    if (framing == LENGTHS)
        out[at++] = 0;
    if (framing == OWN)
        out[at++] = 'P';
    if (framing == LENGTHS || framing == OWN || (framing == VARINTS && n < 128))
        out[at++] = (unsigned char) n;
    if (framing == VARINTS && n >= 128) {
        out[at++] = (unsigned char) (n % 128 + 128);
        out[at++] = (unsigned char) (n / 128);
    }
    if (framing == WHOLE_LENGTHS) {
        memset(out, 0, 4);
        out[0] = (unsigned char) (n + 4);
        at = 4;
    }
    memset(out + at, letter, n);
    at += n;
    if (framing == LINES)
        out[at++] = '\n';
    if (framing == DELIMS)
        out[at++] = 3;
    return at;
}

/* What no packet of this framing may begin with: its length is above 1000, or it has no end so far. Returns its length;
 * 0 if there is no such thing. */
static size_t put_too_long(uint32_t framing, unsigned char *out)
{
    static const unsigned char lengths[] = {0xff, 0xff, 0xff, 0};
    if (framing == LINES || framing == DELIMS) {
        memset(out, 'x', 1000);
        return 1000;
    }
    if (framing == OWN || framing == RAW)
        return 0;
    memcpy(out, lengths, sizeof lengths);
    return sizeof lengths;
}

static void send_in_slices(struct trouble *t, int fd, const unsigned char *out, size_t len)
{
    size_t at = 0;
    for (int slices = 0; at < len; slices++) {
        size_t n = slices < 40 ? chance_in(&t->chance, 1, (uint32_t) (len / 10 + 1)) : len - at;
        n = n > len - at ? len - at : n;
        client_send(fd, out + at, n);
        itest_sleep(chance_in(&t->chance, 0, 2));
        at += n;
    }
}

/* Whether exactly these bytes come. */
static void expect_back(struct soak *s, uint32_t framing, int fd, const unsigned char *wanted, size_t len)
{
    unsigned char got[STREAM_MAX];
    ptrdiff_t n = net_recv_wait(fd, got, len, itest_deadline(10000));
    if (n != (ptrdiff_t) len || memcmp(got, wanted, len) != 0)
        complain(s, "framing %u: %td bytes back of %zu: %s", framing, n, len,
                 n < 0 ? strerror(errno) : "wrong");
}

/* Packets in slices; then it is closed, or half closed within a packet, or sends one that is too long. */
static void framed(struct soak *s, struct trouble *t)
{
    unsigned char out[STREAM_MAX + 1000];
    uint32_t framing = chance_in(&t->chance, HEADS + 1, FRAMINGS - 1), end = chance_in(&t->chance, 0, 2);
    size_t len = 0;
    for (uint32_t n = chance_in(&t->chance, 1, PACKETS_MAX); n > 0; n--)
        len += put_packet(framing, out + len, chance_in(&t->chance, framing == RAW, DATA_MAX),
                          (unsigned char) chance_in(&t->chance, 'a', 'z'));
    int fd = client_open_at(&s->server.addresses[framing]);
    send_in_slices(t, fd, out, len);
    expect_back(s, framing, fd, out, len);
    size_t more = end == 1   ? put_packet(framing, out, 50, 'y') - 1
                  : end == 2 ? put_too_long(framing, out)
                             : 0;
    if (more == 0 || (end == 1 && framing == RAW)) {
        close(fd);
        return;
    }
    client_send(fd, out, more);
    if (end == 1 && shutdown(fd, SHUT_WR) != 0)
        complain(s, "shutdown: %s", strerror(errno));
    if (end == 2)
        book(s, REASON_bad_length, 1);
    client_expect_fin(fd);
}

struct trouble_kind framed_troubles[] = {
    {"framed", NEEDS_NOTHING, 20, framed, NULL, 0},
    {NULL, NEEDS_NOTHING, 0, NULL, NULL, 0},
};
