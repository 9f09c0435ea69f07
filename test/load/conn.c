/*
 * conn.c: one connection of the load generator. Runs on the thread of the worker that owns it; nothing here
 * may be called from elsewhere. No allocation. One recv takes what many replies left, one send gives what
 * they made room for.
 */
#include "conn.h"

#include <errno.h>
#include <string.h>
#include <sys/epoll.h>
#include <sys/socket.h>
#include <unistd.h>

#include "mode.h"
#include "test/lib/clock.h"
#include "test/lib/net.h"
#include "worker.h"

/* Tell epoll what c waits for: edges, so that a socket that was read is not looked at again by the next wait.
 * 0, or -1 with errno. */
static int conn_watch(struct worker *w, struct conn *c, bool want_out)
{
    if (c->watched && c->want_out == want_out)
        return 0;
    struct epoll_event e = {.events = (uint32_t) EPOLLET | EPOLLIN | EPOLLRDHUP, .data.ptr = c};
    if (want_out)
        e.events |= EPOLLOUT;
    int op = c->watched ? EPOLL_CTL_MOD : EPOLL_CTL_ADD;
    c->watched = true;
    c->want_out = want_out;
    return epoll_ctl(w->epoll, op, c->fd, &e);
}

/* The one way out: the book is closed for c's requests, the socket goes, the counts of states follow. */
static void conn_close(struct worker *w, struct conn *c)
{
    w->ledger.lost += c->sent - c->done;
    w->ledger.unsent += c->asked - c->sent;
    c->asked = c->sent = c->done;
    c->part = c->kept = 0;
    if (c->state == CONN_CONNECTING)
        w->pending--;
    if (c->state == CONN_OPEN)
        w->open--;
    if (c->fd >= 0)
        close(c->fd);
    c->fd = -1;
    c->watched = c->want_out = false;
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
}

/* Count k bytes as handed to the kernel. */
static void conn_count_sent(struct worker *w, struct conn *c, size_t k)
{
    uint32_t len = c->exchange->request_len;
    size_t bytes = c->part + k;
    uint32_t whole = (uint32_t) (bytes / len);
    c->part = (uint32_t) (bytes % len);
    c->sent += whole;
    w->ledger.sent += whole;
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

/* Build what is asked and not sent, as much as the scratch holds, and send it. Returns 1 when the kernel
 * took all of that, 0 when it did not, -1 when c is no more. */
static int conn_send_some(struct worker *w, struct conn *c)
{
    uint32_t len = c->exchange->request_len;
    uint32_t n = c->asked - c->sent, room = WORKER_OUT_SIZE / len;
    if (n > room)
        n = room;
    exchange_build_run(c->exchange, c->number, c->sent, n, w->out);
    size_t bytes = (size_t) n * len - c->part;
    ssize_t k = net_send(c->fd, w->out + c->part, bytes);
    if (k < 0 && errno != EAGAIN && errno != EINTR)
        return conn_send_failed(w, c, errno);
    if (k < 0)
        return 0;
    if (c->state == CONN_CONNECTING)
        conn_connected(w, c);
    conn_count_sent(w, c, (size_t) k);
    return (size_t) k == bytes;
}

/* Send until all is sent or the kernel takes no more; then epoll says when to go on, or that the peer has gone. */
static void conn_flush(struct worker *w, struct conn *c)
{
    int took = 1;
    if (c->deaf != 0)
        return;
    while (took == 1 && c->sent != c->asked)
        took = conn_send_some(w, c);
    if (took >= 0 && conn_watch(w, c, took == 0 || c->state == CONN_CONNECTING) != 0)
        conn_fail(w, c, errno);
}

void conn_ask(struct worker *w, struct conn *c, uint32_t n, uint64_t since)
{
    if (c->asked == c->done && c->moved < since)
        c->moved = since;
    for (uint32_t i = 0; i < n; i++)
        c->since[(c->asked + i) & w->since_mask] = since;
    c->asked += n;
    w->ledger.asked += n;
}

void conn_push(struct worker *w, struct conn *c)
{
    if (!c->want_out)
        conn_flush(w, c);
}

int conn_start(struct worker *w, struct conn *c, uint64_t now)
{
    c->fd = net_connect_nth(&w->o->targets, c->number);
    if (c->fd < 0 && errno == EAGAIN)
        return -1;
    c->state = CONN_CONNECTING;
    w->pending++;
    c->moved = now;
    if (c->fd < 0) {
        conn_fail(w, c, errno);
        return 0;
    }
    c->stamped = c->mode->stamps && net_stamp(c->fd) == 0;
    if (c->mode->ask_at_start)
        conn_ask(w, c, 1, now);
    conn_push(w, c);
    return 0;
}

/* Times of n replies that came now; runs of requests asked together are counted together. A stamp is in another
 * clock's time, and one that was set meanwhile must not make a time negative. */
static void conn_count_times(struct worker *w, const struct conn *c, uint32_t n, uint64_t now)
{
    for (uint32_t i = 0, run; i < n; i += run) {
        uint64_t since = c->since[(c->done + i) & w->since_mask];
        for (run = 1; i + run < n && c->since[(c->done + i + run) & w->since_mask] == since;)
            run++;
        if (c->mode != &mode_idle && since >= w->begin && since < w->end)
            hist_add(&w->hist, now > since ? now - since : 0, run);
    }
}

/* Check the replies in in[0 .. n-1], of which the first answers request done. Returns the bytes of right
 * replies and their number in *replies; what is wrong, if anything, in *fault. */
static size_t conn_check(const struct conn *c, const unsigned char *in, size_t n, uint32_t *replies,
                         enum fault *fault)
{
    *replies = exchange_count_right(c->exchange, in, n, c->sent - c->done);
    size_t used = (size_t) *replies * c->exchange->reply_len;
    *fault = FAULT_NONE;
    while (used < n) {
        if (c->done + *replies == c->sent) {
            *fault = FAULT_BAD_CONTENT; /* a reply to no request */
            break;
        }
        int k = exchange_judge(c->exchange, c->number, c->done + *replies, in + used, n - used, fault);
        if (k <= 0)
            break;
        used += (size_t) k;
        ++*replies;
    }
    return used;
}

/* n bytes of replies are in w->in; they came at `now`. */
static void conn_take(struct worker *w, struct conn *c, size_t n, uint64_t now)
{
    enum fault fault;
    uint32_t replies;
    size_t used = conn_check(c, w->in, n, &replies, &fault);
    if (replies > 0) {
        conn_count_times(w, c, replies, now);
        c->done += replies;
        c->moved = now;
        w->ledger.answered += replies;
    }
    c->kept = (uint32_t) (n - used);
    if (fault != FAULT_NONE) {
        conn_fault(w, c, fault);
        return;
    }
    if (c->kept > 0)
        memcpy(c->keep, w->in + used, c->kept);
    if (replies > 0 && c->mode->answered != NULL)
        c->mode->answered(w, c, replies, now);
}

/* Read once and handle it. True when there may be more: the buffer was filled, or `to_end` and it is not the end
 * yet. */
static bool conn_read_some(struct worker *w, struct conn *c, bool to_end)
{
    memcpy(w->in, c->keep, c->kept);
    size_t room = WORKER_IN_SIZE - c->kept;
    uint64_t stamp = 0;
    ssize_t n = c->stamped ? net_recv_stamped(c->fd, w->in + c->kept, room, &stamp)
                           : net_recv(c->fd, w->in + c->kept, room);
    if (n > 0)
        conn_take(w, c, c->kept + (size_t) n, stamp != 0 ? stamp - w->day : mono_ns());
    else if (n < 0 && errno == EINTR)
        return true;
    else if (c->deaf != 0)
        conn_fail(w, c, c->deaf);
    else if (n == 0)
        conn_fault(w, c, FAULT_CLOSED);
    else if (errno != EAGAIN)
        conn_fail(w, c, errno);
    return n > 0 && c->state == CONN_OPEN && (to_end || (size_t) n == room);
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

void conn_event(struct worker *w, struct conn *c, uint32_t events)
{
    if (c->state == CONN_CONNECTING) {
        int err = net_connect_result(c->fd);
        if (err != 0) {
            conn_fail(w, c, err);
            return;
        }
        conn_connected(w, c);
        if (c->mode->connected != NULL)
            c->mode->connected(w, c, mono_ns());
    }
    if (c->state == CONN_OPEN && (events & EPOLLOUT) != 0)
        conn_flush(w, c);
    if (c->state == CONN_OPEN && (c->deaf != 0 || (events & ~(uint32_t) EPOLLOUT) != 0))
        conn_read(w, c, events);
}
