/*
 * conn.c: one connection of the load generator. Runs on the thread of the worker that owns it; nothing here
 * may be called from elsewhere. No allocation. One recv takes what many replies left, one send gives what
 * they made room for.
 */
#include "conn.h"

#include <errno.h>
#include <sys/epoll.h>

#include "mode.h"
#include "test/lib/clock.h"
#include "test/lib/net.h"
#include "worker.h"

/* Tell epoll what c waits for: edges, so that a socket that was read is not looked at again by the next wait. What lies
 * over a socket wants levels. 0, or -1 with errno. */
static int conn_watch(struct worker *w, struct conn *c, bool want_out)
{
    uint32_t edges = net_over == NULL ? (uint32_t) EPOLLET : 0;
    return net_watch(w->epoll, c->ask.fd, &c->ask.watch, (epoll_data_t){.ptr = c},
                     edges | EPOLLIN | EPOLLRDHUP, want_out);
}

/* The one way out: the book is closed for c's requests, the socket goes, the counts of states follow. */
static void conn_close(struct worker *w, struct conn *c)
{
    w->ledger.lost += c->ask.sent - c->ask.done;
    w->nodes[c->node].counts[NODE_LOST] += c->ask.sent - c->ask.done;
    w->ledger.unsent += c->ask.asked - c->ask.sent;
    asker_close(&c->ask);
    if (c->state == CONN_CONNECTING)
        w->pending--;
    if (c->state == CONN_OPEN)
        w->open--;
    c->deaf = 0;
    c->state = CONN_NONE;
}

void conn_end(struct worker *w, struct conn *c)
{
    conn_close(w, c);
}

void conn_fault(struct worker *w, struct conn *c, enum fault fault)
{
    w->ledger.faults[fault]++;
    w->nodes[c->node].faults[fault]++;
    conn_close(w, c);
    if (c->mode->reconnects)
        c->state = CONN_RESTING;
    else if (c->mode != &mode_idle)
        w->gone++;
}

static void conn_fail(struct worker *w, struct conn *c, int err)
{
    if (c->state == CONN_CONNECTING && w->first_errno == 0)
        w->first_errno = err;
    conn_fault(w, c, fault_of_errno(err));
}

static void conn_connected(struct worker *w, struct conn *c)
{
    c->state = CONN_OPEN;
    w->pending--;
    w->open++;
    w->ledger.connects++;
    w->nodes[c->node].counts[NODE_CONNECTIONS]++;
}

/* The peer takes no more. What it sent before it went may still be here, and counts: the connection ends when that
 * is read. -1 when c is no more, else 0. */
static int conn_send_failed(struct worker *w, struct conn *c, int err)
{
    if (c->state == CONN_CONNECTING) {
        conn_fail(w, c, err);
        return -1;
    }
    c->deaf = err;
    return 0;
}

/* Send what is asked. Returns 1 when the kernel took all of it, 0 when it did not, -1 when c is no more. */
static int conn_send(struct worker *w, struct conn *c)
{
    uint32_t sent = c->ask.sent, part = c->ask.part;
    int took = asker_send(&c->ask, c->exchange, w->out, WORKER_OUT_SIZE), err = errno;
    bool some = c->ask.sent != sent || c->ask.part != part;
    if (some && c->state == CONN_CONNECTING)
        conn_connected(w, c);
    w->ledger.sent += c->ask.sent - sent;
    return took < 0 ? conn_send_failed(w, c, err) : took;
}

/* Send until all is sent or the kernel takes no more; then epoll says when to go on, or that the peer has gone. */
static void conn_flush(struct worker *w, struct conn *c)
{
    if (c->deaf != 0)
        return;
    int took = conn_send(w, c);
    if (took >= 0 && conn_watch(w, c, took == 0 || c->state == CONN_CONNECTING) != 0)
        conn_fail(w, c, errno);
}

void conn_ask(struct worker *w, struct conn *c, uint32_t n, uint64_t since)
{
    if (c->ask.asked == c->ask.done && c->moved < since)
        c->moved = since;
    for (uint32_t i = 0; i < n; i++)
        c->since[(c->ask.asked + i) & w->since_mask] = since;
    c->ask.asked += n;
    w->ledger.asked += n;
}

void conn_push(struct worker *w, struct conn *c)
{
    if (!c->ask.watch.out)
        conn_flush(w, c);
}

int conn_start(struct worker *w, struct conn *c, uint64_t now)
{
    int fd = net_connect_nth(&w->o->targets, c->ask.number);
    if (fd < 0 && errno == EAGAIN)
        return -1;
    asker_open(&c->ask, fd);
    c->state = CONN_CONNECTING;
    w->pending++;
    c->moved = now;
    if (fd < 0) {
        conn_fail(w, c, errno);
        return 0;
    }
    c->stamped = c->mode->stamps && net_stamp(fd) == 0;
    if (c->mode->ask_at_start)
        conn_ask(w, c, 1, now);
    conn_push(w, c);
    return 0;
}

/* Times of n replies that came now; runs of requests asked together are counted together. A stamp is in another
 * clock's time, and one that was set meanwhile must not make a time negative. */
static void conn_count_times(struct worker *w, const struct conn *c, uint32_t n, uint64_t now)
{
    uint32_t first = c->ask.done - n;
    for (uint32_t i = 0, run; i < n; i += run) {
        uint64_t since = c->since[(first + i) & w->since_mask];
        for (run = 1; i + run < n && c->since[(first + i + run) & w->since_mask] == since;)
            run++;
        if (c->mode != &mode_idle && since >= w->begin && since < w->end)
            hist_add(&w->hist, now > since ? now - since : 0, run);
    }
}

/* Bytes have come at `now`. */
static void conn_take(struct worker *w, struct conn *c, const struct asker_news *news, uint64_t now)
{
    if (news->replies > 0) {
        conn_count_times(w, c, news->replies, now);
        c->moved = now;
        w->ledger.answered += news->replies;
        w->nodes[c->node].counts[NODE_ANSWERED] += news->replies;
    }
    if (news->welcomed)
        conn_push(w, c);
    if (news->fault != FAULT_NONE)
        conn_fault(w, c, news->fault);
    else if (news->replies > 0 && c->mode->answered != NULL)
        c->mode->answered(w, c, news->replies, now);
}

/* Read once and handle it. True when there may be more: the buffer was filled, or `to_end` and it is not the end
 * yet. */
static bool conn_read_some(struct worker *w, struct conn *c, bool to_end)
{
    struct asker_news news;
    uint64_t stamp = 0;
    ptrdiff_t n =
        asker_receive(&c->ask, c->exchange, w->in, WORKER_IN_SIZE, &news, c->stamped ? &stamp : NULL);
    if (n > 0)
        conn_take(w, c, &news, stamp != 0 ? stamp - w->day : mono_ns());
    else if (c->deaf != 0)
        conn_fail(w, c, c->deaf);
    else if (n < 0 && errno == 0)
        conn_fault(w, c, FAULT_CLOSED);
    else if (n < 0)
        conn_fail(w, c, errno);
    return n > 0 && c->state == CONN_OPEN && (to_end || news.bytes == WORKER_IN_SIZE);
}

/* A read that leaves room in the buffer has emptied the socket, and what comes later is another edge. Not so the
 * end of the stream, when it was there with this edge. */
static void conn_read(struct worker *w, struct conn *c, uint32_t events)
{
    bool to_end = c->deaf != 0 || (events & (EPOLLRDHUP | EPOLLHUP | EPOLLERR)) != 0;
    while (conn_read_some(w, c, to_end))
        continue;
}

void conn_look(struct worker *w, struct conn *c)
{
    if (c->state == CONN_OPEN)
        conn_read(w, c, EPOLLRDHUP);
}

/* Something has happened to who is connecting: is it through? */
static bool conn_is_through(struct worker *w, struct conn *c)
{
    int err = net_connect_result(c->ask.fd);
    if (err == EINPROGRESS && conn_watch(w, c, true) == 0)
        return false;
    if (err != 0) {
        conn_fail(w, c, err == EINPROGRESS ? errno : err);
        return false;
    }
    conn_connected(w, c);
    if (c->mode->connected != NULL)
        c->mode->connected(w, c, mono_ns());
    return true;
}

void conn_event(struct worker *w, struct conn *c, uint32_t events)
{
    if (c->state == CONN_CONNECTING) {
        if (!conn_is_through(w, c))
            return;
        events |= EPOLLOUT;
    }
    if (c->state == CONN_OPEN && (events & EPOLLOUT) != 0)
        conn_flush(w, c);
    if (c->state == CONN_OPEN && (c->deaf != 0 || (events & ~(uint32_t) EPOLLOUT) != 0))
        conn_read(w, c, events);
}
