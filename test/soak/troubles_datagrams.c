/*
 * troubles_datagrams.c: datagrams that are packets, and some that are none: the ones are answered, each once, the
 * others counted. Not for offloaded functions: those are dropped while the pool is in trouble. Main thread.
 */
#include "soak.h"

#include <string.h>
#include <unistd.h>

#include "test/integration/datagrams.h"

enum { EACH_MAX = 20, DATA_MAX = 1200 };

/* One that is no packet, and never answered. */
static void put_bad(struct soak *s, struct trouble *t, int fd)
{
    unsigned char packet[64];
    size_t n = client_packet(packet, TEST_ECHO, "twelve bytes", 12);
    switch (chance_in(&t->chance, 0, 3)) {
    case 0:
        packet[chance_in(&t->chance, 0, 3)] ^= 0x10;
        s->books.udp.bad_stx++;
        break;
    case 1:
        n = chance_in(&t->chance, 0, (uint32_t) n - 1);
        s->books.udp.is_short++;
        break;
    case 2:
        packet[n++] = 0;
        s->books.udp.trailing++;
        break;
    default:
        n = client_packet(packet, 0x1234, NULL, 0);
        s->books.udp.unknown++;
    }
    udp_put(fd, packet, n);
    s->books.udp.in++;
}

/* What comes is that packet, whole. */
static void expect_echo(struct soak *s, int fd, const unsigned char *data, size_t n)
{
    unsigned char wanted[WIRE_HEAD_LEN + DATA_MAX], got[sizeof wanted + 1];
    size_t len = client_packet(wanted, TEST_ECHO, data, n);
    ssize_t have = udp_take(fd, got, sizeof got, ANSWER_MS);
    if (have != (ssize_t) len || memcmp(got, wanted, len) != 0)
        complain(s, "a datagram's answer has %zd bytes, not %zu, or others", have, len);
    s->books.udp.out++;
}

/* One sender: each good one is answered before the next goes out, so that none is lost on the way. */
static void datagrams(struct soak *s, struct trouble *t)
{
    unsigned char data[DATA_MAX];
    int fd = udp_open_at(&s->server.addresses[SOAK_UDP]);
    for (uint32_t i = chance_in(&t->chance, 1, EACH_MAX); i > 0; i--) {
        size_t n = chance_in(&t->chance, 0, DATA_MAX);
        memset(data, (int) chance_in(&t->chance, 0, 255), n);
        if (chance_in(&t->chance, 0, 2) == 0)
            put_bad(s, t, fd);
        udp_put_packet(fd, TEST_ECHO, data, n);
        s->books.udp.in++;
        expect_echo(s, fd, data, n);
    }
    close(fd);
}

struct trouble_kind datagram_troubles[] = {
    {"datagrams", NEEDS_NOTHING, 15, datagrams, NULL, 0},
    {NULL, NEEDS_NOTHING, 0, NULL, NULL, 0},
};
