/*
 * peer.c: one connection of mode push. Runs on the thread of the pusher that owns it; nothing here may be called from
 * elsewhere. No allocation.
 */
#include "peer.h"

#include <errno.h>
#include <string.h>
#include <sys/epoll.h>

#include "protocol/mario_protocol.h"
#include "pusher.h"
#include "test/lib/clock.h"
#include "test/lib/wire.h"

#define AWAY_NS (100 * NS_PER_MS) /* before another server is tried */
#define LOT     16u /* joins that are out at a time: few enough that a fresh socket takes all of them */

static bool is_publisher(const struct pusher *w, const struct peer *c)
{
    return c->number >= w->o->connections;
}

/* ---- Ending ---- */

void peer_end(struct peer *c)
{
    if (c->fd >= 0)
        net_close(c->fd);
    c->fd = -1;
}

/* Its connection ended as one does when its server does. Whether c is to come back, or nobody waits for it any more. */
static bool goes_elsewhere(struct pusher *w, struct peer *c, enum fault fault)
{
    uint64_t now = mono_ns(), patience = (uint64_t) (w->o->timeout_s * (double) NS_PER_S);
    bool ended = fault == FAULT_AWAY || fault == FAULT_REFUSED || fault == FAULT_RESET ||
                 fault == FAULT_CLOSED || fault == FAULT_TIMEOUT;
    if (!w->o->reconnect || !c->joined || !ended)
        return false;
    if (c->away_since == 0) {
        c->away_since = now;
        c->broken = true;
        w->ledger.broken++;
        w->nodes[c->node].counts[NODE_BROKEN]++;
    }
    c->state = w->phase > PUSHER_SPEAK ? PEER_GONE : PEER_AWAY;
    c->next_try = now + AWAY_NS + c->number % 16 * (AWAY_NS / 16); /* not all at the same moment */
    return now - c->away_since <= patience;
}

/* What lies ready of a packet that is partly sent is sent again as a whole: the server that is no more cannot have read
 * it. */
static void forget_connection(const struct pusher *w, struct peer *c)
{
    c->watch = (struct net_watch){0};
    c->kept = c->lot = c->open = 0;
    c->refused = false;
    c->out_sent -= c->out_sent % (PUSH_SAY_HEAD + w->o->size);
}

void peer_fault(struct pusher *w, struct peer *c, enum fault fault)
{
    if (peer_is_greeting(c))
        w->greeting--;
    peer_end(c);
    if (goes_elsewhere(w, c, fault))
        return;
    w->ledger.faults[fault]++;
    w->nodes[c->node].faults[fault]++;
    c->state = PEER_GONE;
}

static void fail(struct pusher *w, struct peer *c, int err)
{
    if (c->state == PEER_CONNECTING && w->first_errno == 0)
        w->first_errno = err;
    peer_fault(w, c, fault_of_errno(err));
}

static int watch(struct pusher *w, struct peer *c, bool want_out)
{
    return net_watch(w->epoll, c->fd, &c->watch, (epoll_data_t){.ptr = c}, EPOLLIN, want_out);
}

/* ---- Greeting ---- */

/* The first join of this lot, and how many it has. */
static uint32_t lot_first(const struct peer *c)
{
    return (c->lot - 1) * LOT;
}

static uint32_t lot_size(const struct pusher *w, const struct peer *c)
{
    if (c->lot == 0)
        return 1;
    uint32_t joins = is_publisher(w, c) ? 0 : w->o->joins;
    if (lot_first(c) >= joins)
        return 0;
    return joins - lot_first(c) < LOT ? joins - lot_first(c) : LOT;
}

/* Write one request of this lot to out; returns its length. */
static uint32_t build_request(const struct pusher *w, const struct peer *c, uint32_t nth, unsigned char *out)
{
    if (c->lot == 0) {
        exchange_build(&w->o->login, c->number, 0, out);
        return w->o->login.request_len;
    }
    uint32_t len = WIRE_HEAD_LEN + sizeof(GROUP_REQ);
    wire_put_head(out, (struct wire_head){w->o->login.stx, (uint16_t) len, CMD_FUNCTION_JOIN});
    wire_put64(out + WIRE_HEAD_LEN, w->o->first_group + peer_group(w->o, c, lot_first(c) + nth));
    return len;
}

static void flush(struct pusher *w, struct peer *c);

/* c is ready; what it could not send where it was goes first. */
static void arrive(struct pusher *w, struct peer *c)
{
    c->state = PEER_READY;
    w->greeting--;
    w->ledger.ready += !c->joined;
    w->ledger.returned += c->joined;
    w->nodes[c->node].counts[NODE_CONNECTIONS]++;
    c->joined = true;
    c->away_since = 0;
    if (c->out_len > 0)
        flush(w, c);
}

/* Ask the next lot, or be ready when there is none. */
static void greet(struct pusher *w, struct peer *c, uint64_t now)
{
    unsigned char out[LOT * (WIRE_HEAD_LEN + sizeof(GROUP_REQ))];
    uint32_t len = 0, size = lot_size(w, c);
    if (!c->refused)
        c->since = now; /* what was refused must be through before the deadline all the same */
    c->refused = false;
    if (size == 0) {
        arrive(w, c);
        return;
    }
    c->state = PEER_GREETING;
    for (uint32_t i = 0; i < size; i++)
        len += build_request(w, c, i, out + len);
    c->open = size;
    ptrdiff_t n = net_send(c->fd, out, len);
    if (n != (ptrdiff_t) len)
        fail(w, c, n < 0 ? errno : ENOBUFS);
}

void peer_go_on(struct pusher *w, struct peer *c, uint64_t now)
{
    if (c->state == PEER_RESTING)
        greet(w, c, now);
    if (c->state != PEER_AWAY || now < c->next_try || w->phase > PUSHER_SPEAK)
        return;
    c->node = (uint8_t) ((c->node + 1) % w->o->targets.count);
    forget_connection(w, c);
    if (peer_start(w, c, now) != 0)
        c->next_try = now + AWAY_NS;
}

static void take_greeting(struct pusher *w, struct peer *c, bool refused, uint64_t now)
{
    c->refused = c->refused || refused;
    if (--c->open > 0)
        return;
    if (c->refused) {
        c->state = PEER_RESTING;
        return;
    }
    c->lot++;
    greet(w, c, now);
}

int peer_start(struct pusher *w, struct peer *c, uint64_t now)
{
    const struct net_targets *ts = &w->o->targets;
    c->fd = net_connect_start(&ts->each[c->node], c->number / ts->count);
    if (c->fd < 0 && errno == EAGAIN)
        return -1;
    c->state = PEER_CONNECTING;
    c->since = now;
    w->greeting++;
    if (c->fd < 0 || watch(w, c, true) != 0) {
        fail(w, c, errno);
        return 0;
    }
    c->stamped = !is_publisher(w, c) && net_stamp(c->fd) == 0;
    return 0;
}

/* ---- Hearing ---- */

/* Count a message that came at `now`. -1: it is not for c, or not any more. */
static int hear(struct pusher *w, struct peer *c, const unsigned char *in, uint64_t now)
{
    struct push_found m;
    if (w->pace.start == 0) /* another thread has begun to speak, and this one has not looked since */
        pusher_read_clock(w);
    if (push_read(w->o, &w->pace, in, &m) != 0)
        return -1;
    uint32_t first = peer_group(w->o, c, 0);
    uint32_t nth = m.group >= first ? m.group - first : m.group + w->o->groups - first;
    if (nth >= w->o->joins)
        return -1;
    enum push_news news = push_hear(&c->heard[(size_t) nth * w->o->publishers + m.publisher], m.number);
    w->ledger.again += news == PUSH_AGAIN;
    w->ledger.late += news == PUSH_LATE;
    if (news == PUSH_AGAIN)
        return 0;
    c->got++;
    w->ledger.received++;
    w->nodes[c->node].counts[NODE_RECEIVED]++;
    if (m.due >= w->begin && m.due < w->end)
        hist_add(&w->hist, now > m.due ? now - m.due : 0, 1);
    return 0;
}

/* What c may get now, with its length or one more; 0xffff: nothing. */
static uint16_t awaited(const struct pusher *w, const struct peer *c, uint32_t *len)
{
    *len = WIRE_HEAD_LEN;
    if (c->state == PEER_GREETING && c->open > 0)
        return c->lot == 0 ? CMD_FUNCTION_LOGIN : CMD_FUNCTION_JOIN;
    if (c->state == PEER_LEAVING)
        return CMD_FUNCTION_ECHO;
    *len = w->packet;
    return c->state == PEER_READY && !is_publisher(w, c) ? CMD_FUNCTION_SAID : 0xffff;
}

/* A whole packet of the right kind. FAULT_NONE, or what is wrong with it. */
static enum fault take_packet(struct pusher *w, struct peer *c, const unsigned char *in, uint32_t len,
                              uint64_t now)
{
    bool refused = c->state == PEER_GREETING && len > WIRE_HEAD_LEN;
    if (refused && in[WIRE_HEAD_LEN] != REFUSED_BUSY)
        return FAULT_CLOSED; /* for good: that is the next thing the server does */
    if (c->state == PEER_GREETING)
        take_greeting(w, c, refused, now);
    else if (c->state == PEER_LEAVING)
        c->state = PEER_QUIET;
    else if (hear(w, c, in, now) != 0)
        return FAULT_BAD_CONTENT;
    return FAULT_NONE;
}

/* Judge the packet at in[0 .. n-1] as early as its bytes allow, and take it. Its length; 0: bytes are missing; -1 and
 * its kind in *fault. */
static int judge(struct pusher *w, struct peer *c, const unsigned char *in, size_t n, uint64_t now,
                 enum fault *fault)
{
    uint32_t len;
    uint16_t akg_id = awaited(w, c, &len);
    if (n >= 4 && wire_get32(in) != w->o->login.stx)
        return *fault = FAULT_BAD_STX, -1;
    if (n < WIRE_HEAD_LEN)
        return 0;
    struct wire_head h = wire_get_head(in);
    if (h.akg_id != akg_id)
        return *fault = exchange_is_away(w->o->login.stx, in, n) > 0 ? FAULT_AWAY : FAULT_BAD_AKG, -1;
    if (h.pkglen != len && (c->state != PEER_GREETING || h.pkglen != len + sizeof(REFUSED)))
        return *fault = FAULT_BAD_LENGTH, -1;
    if (n < h.pkglen)
        return 0;
    *fault = take_packet(w, c, in, h.pkglen, now);
    return *fault == FAULT_NONE ? h.pkglen : -1;
}

/* bytes stand in w->in. */
static void take(struct pusher *w, struct peer *c, size_t bytes, uint64_t now)
{
    enum fault fault = FAULT_NONE;
    size_t used = 0;
    while (used < bytes && c->state != PEER_GONE) {
        int k = judge(w, c, w->in + used, bytes - used, now, &fault);
        if (k < 0)
            peer_fault(w, c, fault);
        if (k <= 0)
            break;
        used += (size_t) k;
        w->moved = now;
    }
    if (c->state == PEER_GONE)
        return;
    c->kept = (uint32_t) (bytes - used);
    memcpy(c->keep, w->in + used, c->kept);
}

void peer_look(struct pusher *w, struct peer *c)
{
    uint64_t stamp = 0;
    if (c->fd < 0 || c->state == PEER_CONNECTING)
        return;
    memcpy(w->in, c->keep, c->kept);
    size_t room = PUSHER_IN_SIZE - c->kept;
    ptrdiff_t n = c->stamped ? net_recv_stamped(c->fd, w->in + c->kept, room, &stamp)
                             : net_recv(c->fd, w->in + c->kept, room);
    if (n > 0)
        take(w, c, c->kept + (size_t) n, stamp != 0 ? stamp - w->day : mono_ns());
    else if (n == 0)
        peer_fault(w, c, FAULT_CLOSED);
    else if (errno != EAGAIN && errno != EINTR)
        fail(w, c, errno);
}

/* ---- Speaking ---- */

static void flush(struct pusher *w, struct peer *c)
{
    ptrdiff_t n = net_send(c->fd, c->out + c->out_sent, c->out_len - c->out_sent);
    if (n < 0 && errno != EAGAIN && errno != EINTR) {
        fail(w, c, errno);
        return;
    }
    c->out_sent += n > 0 ? (uint32_t) n : 0;
    bool all = c->out_sent == c->out_len;
    if (all)
        c->out_sent = c->out_len = 0;
    if (watch(w, c, !all) != 0)
        fail(w, c, errno);
}

void peer_speak(struct pusher *w, struct peer *c, uint64_t until)
{
    uint32_t len = PUSH_SAY_HEAD + w->o->size, p = c->number - w->o->connections, before = c->out_len;
    if (c->state != PEER_READY)
        return;
    for (; c->out_len + len <= PUSHER_OUT_SIZE && push_due(w->o, &w->pace, p, c->said) < until; c->said++) {
        push_build(w->o, &w->pace, p, c->said, c->out + c->out_len);
        c->out_len += len;
        w->ledger.published++;
        w->nodes[c->node].counts[NODE_PUBLISHED]++;
    }
    if (c->out_len > before && !c->watch.out)
        flush(w, c);
}

/* The room for it is beyond that for messages. */
void peer_ask_sign(struct pusher *w, struct peer *c, uint64_t now)
{
    if (c->state != PEER_READY)
        return;
    wire_put_head(c->out + c->out_len, (struct wire_head){w->o->login.stx, WIRE_HEAD_LEN, CMD_FUNCTION_ECHO});
    c->out_len += WIRE_HEAD_LEN;
    c->state = PEER_LEAVING;
    c->since = now;
    if (!c->watch.out)
        flush(w, c);
}

void peer_event(struct pusher *w, struct peer *c, uint32_t events)
{
    uint64_t now = mono_ns();
    if (c->state == PEER_CONNECTING) {
        int err = net_connect_result(c->fd);
        if (err != 0 && err != EINPROGRESS)
            fail(w, c, err);
        else if (watch(w, c, err == EINPROGRESS) != 0)
            fail(w, c, errno);
        else if (err == 0)
            greet(w, c, now);
        return;
    }
    if ((events & EPOLLOUT) != 0 && (c->out_len > 0 || net_owes(c->fd))) {
        flush(w, c);
        peer_speak(w, c, now < w->end ? now : w->end);
    }
    if ((events & ~(uint32_t) EPOLLOUT) != 0)
        peer_look(w, c);
}
