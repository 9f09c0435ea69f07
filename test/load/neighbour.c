/*
 * neighbour.c: slow and stopped readers. Runs on the thread of the holder that owns them. They are not known
 * to epoll: their sockets are readable all the time, so they are visited by the clock.
 */
#include "neighbour.h"

#include <errno.h>
#include <stdbool.h>
#include <stdlib.h>
#include <string.h>
#include <sys/socket.h>

#include "test/lib/clock.h"
#include "test/lib/net.h"
#include "test/lib/pace.h"
#include "test/lib/wire.h"

#define PACKET     (NEIGHBOUR_DATA + WIRE_HEAD_LEN)
#define SMALL_BUF  4096 /* of the socket that is not read, so that the server soon feels it */
#define VISITS_MAX 256u /* a turn */

struct neighbour {
    int fd; /* -1 = not opened yet, or over */
    bool tried, opened, shaking;
    uint64_t began;     /* when it was tried */
    uint64_t sent, got; /* bytes of the two streams, which are the same */
};

struct neighbours {
    const struct load_options *o;
    struct exchange exchange;
    uint32_t slow, count; /* the slow ones first */
    uint32_t shaking;     /* what lies over their sockets is not up yet */
    struct pace visits;
    struct neighbour_ledger ledger;
    unsigned char packet[PACKET];
    struct neighbour each[];
};

struct neighbours *neighbours_create(const struct load_options *o, uint32_t slow, uint32_t stopped)
{
    uint32_t count = slow + stopped;
    struct neighbours *n = calloc(1, sizeof *n + count * sizeof n->each[0]);
    if (n == NULL)
        return NULL;
    n->o = o;
    n->exchange = exchange_echo(o->exchange.stx, NEIGHBOUR_DATA);
    n->slow = slow;
    n->count = count;
    n->visits = pace_make(mono_ns(), count);
    for (uint32_t i = 0; i < count; i++)
        n->each[i].fd = -1;
    return n;
}

void neighbours_destroy(struct neighbours **n)
{
    free(*n);
    *n = NULL;
}

const struct neighbour_ledger *neighbours_ledger(const struct neighbours *n)
{
    return &n->ledger;
}

static void leave(struct neighbours *n, struct neighbour *b, enum fault fault)
{
    if (b->opened)
        n->ledger.left[fault]++;
    else
        n->ledger.refused[fault]++;
    if (b->fd >= 0)
        net_close(b->fd);
    b->fd = -1;
    n->shaking -= b->shaking;
    b->shaking = false;
}

static uint32_t number_of(const struct neighbours *n, const struct neighbour *b)
{
    return n->o->connections + (uint32_t) (b - n->each);
}

static void start(struct neighbours *n, struct neighbour *b)
{
    int small = SMALL_BUF;
    b->fd = net_connect_nth(&n->o->targets, number_of(n, b));
    if (b->fd < 0 && errno == EAGAIN)
        return;
    b->tried = true;
    b->began = mono_ns();
    n->ledger.tried++;
    if (b->fd < 0 || setsockopt(b->fd, SOL_SOCKET, SO_RCVBUF, &small, sizeof small) != 0) {
        leave(n, b, fault_of_errno(errno));
        return;
    }
    b->shaking = net_is_covered(b->fd);
    n->shaking += b->shaking;
}

/* Put the packet that byte `at` of the stream belongs to into n->packet. Returns the byte's offset in it. */
static size_t packet_at(struct neighbours *n, const struct neighbour *b, uint64_t at)
{
    exchange_build(&n->exchange, number_of(n, b), (uint32_t) (at / PACKET), n->packet);
    return (size_t) (at % PACKET);
}

/* Send what the kernel takes, as much as belongs to one visit. b may be over afterwards. */
static void send_burst(struct neighbours *n, struct neighbour *b)
{
    for (uint64_t until = b->sent + NEIGHBOUR_BURST; b->sent < until;) {
        size_t offset = packet_at(n, b, b->sent);
        ssize_t k = net_send(b->fd, n->packet + offset, PACKET - offset);
        if (k < 0) {
            if (errno != EAGAIN && errno != EINTR)
                leave(n, b, fault_of_errno(errno));
            return;
        }
        n->ledger.opened += !b->opened;
        b->opened = true;
        b->sent += (uint64_t) k;
        n->ledger.bytes_sent += (uint64_t) k;
    }
}

/* Go on with handshakes, which do not wait for the next visit. */
static void shake_some(struct neighbours *n)
{
    for (uint32_t i = 0; i < n->count && n->shaking > 0; i++) {
        struct neighbour *b = &n->each[i];
        int err = b->shaking ? net_connect_result(b->fd) : EINPROGRESS;
        if (err == EINPROGRESS)
            continue;
        n->shaking--;
        b->shaking = false;
        if (err != 0)
            leave(n, b, fault_of_errno(err));
        else
            send_burst(n, b);
    }
}

/* Read a few bytes, and compare them with what was sent. b may be over afterwards. */
static void read_few(struct neighbours *n, struct neighbour *b)
{
    unsigned char in[NEIGHBOUR_READ];
    size_t offset = packet_at(n, b, b->got);
    size_t room = PACKET - offset < sizeof in ? PACKET - offset : sizeof in;
    ssize_t k = net_recv(b->fd, in, room);
    if (k == 0) {
        leave(n, b, FAULT_CLOSED);
    } else if (k < 0) {
        if (errno != EAGAIN && errno != EINTR)
            leave(n, b, fault_of_errno(errno));
    } else {
        enum fault fault = exchange_compare(n->packet, in, offset, (size_t) k);
        b->got += (uint64_t) k;
        n->ledger.bytes_read += (uint64_t) k;
        if (fault != FAULT_NONE || b->got > b->sent)
            leave(n, b, fault != FAULT_NONE ? fault : FAULT_BAD_CONTENT);
    }
}

static void visit(struct neighbours *n, struct neighbour *b)
{
    if (!b->tried)
        start(n, b);
    if (b->fd >= 0 && !b->shaking)
        send_burst(n, b);
    if (b->fd >= 0 && !b->shaking && b < n->each + n->slow)
        read_few(n, b);
}

uint64_t neighbours_turn(struct neighbours *n, uint64_t now)
{
    for (uint32_t i = 0; i < VISITS_MAX && pace_due(&n->visits) <= now; i++)
        visit(n, &n->each[n->visits.done++ % n->count]);
    if (n->shaking == 0)
        return pace_due(&n->visits);
    shake_some(n);
    return now + NS_PER_MS;
}

/* The run is over before b was opened: its fault only if it had the time. */
static void give_up(struct neighbours *n, struct neighbour *b, uint64_t now)
{
    if ((double) (now - b->began) >= n->o->timeout_s * (double) NS_PER_S) {
        leave(n, b, FAULT_TIMEOUT);
        return;
    }
    n->ledger.tried--;
    net_close(b->fd);
    b->fd = -1;
}

void neighbours_end(struct neighbours *n)
{
    uint64_t now = mono_ns();
    for (uint32_t i = 0; i < n->count; i++) {
        struct neighbour *b = &n->each[i];
        if (b->fd < 0)
            continue;
        if (!b->opened) {
            give_up(n, b, now);
            continue;
        }
        n->ledger.ended++;
        net_close(b->fd);
        b->fd = -1;
    }
}
