/*
 * linger.c: connections whose last bytes are on their way. Runs on the worker that owns the shard; nothing here may be
 * called from elsewhere.
 *
 * They stand in a list, oldest first, linked both ways, since any of them may be the next to go. Looking is cheap and
 * seldom: after a tick, then when half of the time since the last progress has passed again, at most a second.
 */
#include "mario/conn/linger.h"

#include <errno.h>

#include "mario/conn/proxied.h"
#include "mario/conn/secure.h"
#include "mario/net/stream.h"

#undef MARIO_LOG_SUBSYSTEM
#define MARIO_LOG_SUBSYSTEM MARIO_LOG_IN_conn

enum {
    DISCARD_ROUNDS = 8, /* of out_buf's size: what is dropped at a time, so that others get their turn */
    LOOK_MOST = 10,     /* ticks between two looks */
    STOP_MOST = 8 /* ticks in which a client that has everything may go on sending, if the server stops */
};

/* ---- The list ---- */

static void append(struct shard *s, struct conn *c)
{
    uint32_t link = c->pub.ind + 1;
    c->next = 0;
    c->prev = s->linger_last;
    if (s->linger_last == 0)
        s->linger_first = link;
    else
        s->conns[s->linger_last - 1].next = link;
    s->linger_last = link;
}

static void take_out(struct shard *s, struct conn *c)
{
    if (c->prev == 0)
        s->linger_first = c->next;
    else
        s->conns[c->prev - 1].next = c->next;
    if (c->next == 0)
        s->linger_last = c->prev;
    else
        s->conns[c->next - 1].prev = c->prev;
}

/* ---- Ending ---- */

static void end(struct conn *c, bool reset)
{
    struct shard *s = conn_shard(c);
    CHECK(c->state == CONN_LINGER);
    take_out(s, c);
    wheel_clear(&s->wheel, c->pub.ind);
    event_del(&c->event);
    conn_give_back(c, reset);
}

void linger_end(struct conn *c)
{
    end(c, false);
}

/* What is not acknowledged by now is given up. */
static void give_up(struct conn *c)
{
    struct log_who who;
    stats_add(conn_shard(c)->stats, STAT_linger_reset, 1);
    if (log_wants(MARIO_LOG_DEBUG)) {
        executor_who(&c->pub, conn_address6(c), conn_id(c), &who);
        log_about(c->pub.owner->qlog, MARIO_LOG_SUBSYSTEM, MARIO_LOG_DEBUG, &who,
                  "reset: %u bytes were not acknowledged", c->unacked);
    }
    end(c, true);
}

void linger_end_oldest(struct shard *s)
{
    CHECK(s->linger_first != 0);
    give_up(&s->conns[s->linger_first - 1]);
}

void linger_end_all(struct shard *s)
{
    while (s->linger_first != 0)
        linger_end_oldest(s);
}

/* ---- Looking ---- */

enum input { INPUT_NONE, INPUT_SOME, INPUT_FIN, INPUT_GONE };

/* Drop what has come, a bounded amount. */
static enum input discard(const struct conn *c)
{
    enum input answer = INPUT_NONE;
    for (int i = 0; i < DISCARD_ROUNDS; i++) {
        ssize_t n = stream_discard(c->pub.fd, executor_here->out_buf, OUT_BUF_SIZE);
        if (n == 0)
            return INPUT_FIN;
        if (n < 0)
            return errno == EAGAIN || errno == EINTR ? answer : INPUT_GONE;
        answer = INPUT_SOME;
    }
    return answer;
}

static void arm(struct conn *c)
{
    struct shard *s = conn_shard(c);
    uint32_t waited = s->tick - c->last_tx, left = s->set->linger - waited;
    uint32_t step = waited / 2 < 1 ? 1 : waited / 2 > LOOK_MOST ? LOOK_MOST : waited / 2;
    wheel_set(&s->wheel, c->pub.ind, s->tick + (step < left ? step : left + 1));
}

/* Ticks without progress until it is given up. */
static uint32_t patience(const struct conn *c)
{
    uint32_t linger = conn_shard(c)->set->linger;
    return c->unacked == 0 && c->stopping && linger > STOP_MOST ? STOP_MOST : linger;
}

void linger_look(struct conn *c)
{
    const struct shard *s = conn_shard(c);
    if (!conn_has_socket(c)) {
        end(c, false);
        return;
    }
    uint32_t unacked = stream_unacked(c->pub.fd);
    bool quiet = c->fin || s->tick - c->last_rx > 1;
    if (unacked < c->unacked)
        c->last_tx = s->tick;
    c->unacked = unacked;
    if ((unacked == 0 && quiet) || stream_is_over(c->pub.fd))
        end(c, false);
    else if (s->tick - c->last_tx > patience(c))
        give_up(c);
    else
        arm(c);
}

/* With FINs both ways epoll reports the socket for ever: the rest is the clock's. */
void linger_read(struct conn *c)
{
    switch (discard(c)) {
    case INPUT_NONE:
        return;
    case INPUT_SOME:
        c->last_rx = conn_shard(c)->tick;
        return;
    case INPUT_FIN:
        c->fin = true;
        event_del(&c->event);
        linger_look(c);
        return;
    case INPUT_GONE:
        end(c, false);
        return;
    }
}

/* ---- Beginning ---- */

/* Whether anything can be at stake. A unix socket's bytes are with the peer as soon as they are sent. */
static bool is_worth_it(const struct conn *c)
{
    switch (c->reason) {
    case REASON_reset:
    case REASON_peer_dead:
    case REASON_poll_failed:
    case REASON_fd_closed:
    case REASON_write_timeout: /* it had its time */
    case REASON_output_limit:
    case REASON_slow_consumer:
    case REASON_push_memory:
        return false;
    default:
        return true;
    }
}

/* Its socket is to be watched for what comes. */
static bool watch(struct conn *c)
{
    event_callback_fn f = event_get_callback(&c->event);
    return event_assign(&c->event, executor_here->pub.base, c->pub.fd, EV_READ | EV_PERSIST, f, c) == 0 &&
           event_add(&c->event, NULL) == 0;
}

/* At stake is what is not acknowledged, and what is, if the peer goes on sending: there are systems on which an RST
 * destroys that too. */
bool linger_begin(struct conn *c)
{
    struct shard *s = conn_shard(c);
    if (!is_worth_it(c) || !conn_has_socket(c))
        return false;
    bool fin = (c->fin || c->reason == REASON_peer_closed) && !secure_has_ended(c);
    enum input input = fin ? INPUT_FIN : discard(c);
    if (input == INPUT_GONE || s->set->linger == 0 || s->ends_at_once || !conn_is_tcp(c))
        return false;
    c->unacked = stream_unacked(c->pub.fd);
    if (c->reason == REASON_peer_closed && c->unacked <= secure_notified(c))
        c->unacked = 0; /* all but the answer to its goodbye is there */
    if (c->unacked == 0 ? input != INPUT_SOME : stream_is_over(c->pub.fd))
        return false;
    conn_finish(c);
    c->unacked++; /* the FIN */
    c->fin = input == INPUT_FIN;
    c->last_rx = c->last_tx = s->tick;
    if (!c->fin && !watch(c))
        return false;
    conn_become(conn_shard(c), c, CONN_LINGER);
    append(s, c);
    stats_add(s->stats, STAT_lingered, 1);
    arm(c);
    return true;
}
