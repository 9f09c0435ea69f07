/*
 * mode.c: the kinds of load. Runs on the workers' threads; a row has no state of its own, it is in the
 * worker.
 */
#include "mode.h"

#include <string.h>

#include "conn.h"
#include "test/lib/clock.h"
#include "worker.h"

#define REST_MIN     20u  /* replies handled at a time, for fewer there is no rest */
#define REST_EACH_NS 250u /* rest for each */

/* Open loop: what is due within one tick is due at its beginning. */
#define TICK_NS     (50 * NS_PER_US)
#define LONG_GAP_NS NS_PER_MS /* replies are left alone no longer than this */

#define FINISH_STEPS 100000.0 /* a bound for the work at the end, far finer than the histogram */

/* ---- closed: a new request for each reply ---- */

static void closed_begin(struct worker *w, struct conn *c, uint64_t now)
{
    conn_ask(w, c, w->o->inflight, now);
    conn_push(w, c);
}

static void closed_answered(struct worker *w, struct conn *c, uint32_t n, uint64_t now)
{
    if (!w->sending)
        return;
    conn_ask(w, c, n, now);
    conn_push(w, c);
}

/* A loop that is at the server's heels wakes, or is woken, for a few replies at a time and shares the lines of
 * every socket with it: both pay. So it falls back a little after each round, by less than the server needs for
 * what it was just given. Few connections get no rest: their times would show it. */
static uint64_t closed_rest(const struct worker *w, uint64_t now, uint64_t until)
{
    if (w->handled < REST_MIN)
        return 0;
    uint64_t end = now + w->handled * REST_EACH_NS;
    return end < until ? end : until;
}

/* ---- churn: connect, ask, check, close, over and over ---- */

static void churn_begin(struct worker *w, struct conn *c, uint64_t now)
{
    (void) now;
    worker_queue(w, c);
}

static void churn_answered(struct worker *w, struct conn *c, uint32_t n, uint64_t now)
{
    (void) n;
    (void) now;
    conn_end(w, c);
    if (w->sending)
        worker_queue(w, c);
}

/* ---- open: requests fall due at a fixed rate, whether answers come or not ---- */

/* When this worker's k-th request is due: the workers that have connections take turns. Those that one tick holds
 * are due together, at its beginning. */
static uint64_t open_due(const struct worker *w, uint64_t k)
{
    if (w->active == 0)
        return UINT64_MAX;
    double every = (double) NS_PER_S / w->o->rate;
    uint32_t workers = w->o->threads < w->o->connections ? w->o->threads : w->o->connections;
    uint64_t after = (uint64_t) (((double) k * workers + w->index) * every);
    return w->start + (every < (double) TICK_NS ? after - after % TICK_NS : after);
}

/* The next connection that may take one more request, or NULL. */
static struct conn *open_next(struct worker *w)
{
    for (uint32_t tried = 0; tried < w->active; tried++) {
        struct conn *c = &w->conns[w->turn_to];
        w->turn_to = w->turn_to + 1 == w->active ? 0 : w->turn_to + 1;
        if (c->state == CONN_OPEN && conn_open_requests(c) < w->o->inflight)
            return c;
    }
    return NULL;
}

/* Ask what is due on c, at most n requests and no more than it has room for. Returns when the next one is
 * due. */
static uint64_t open_ask(struct worker *w, struct conn *c, uint64_t n, uint64_t now)
{
    uint64_t due = open_due(w, w->next_due);
    for (; n > 0 && due <= now && conn_open_requests(c) < w->o->inflight; n--) {
        conn_ask(w, c, 1, due);
        due = open_due(w, ++w->next_due);
    }
    conn_push(w, c);
    return due;
}

/* Asks all that is due, spread over the connections; only when more is due than there are connections, one
 * gets several at once. What finds no room stays due, and its time runs on: that is the point of this
 * mode. */
static uint64_t open_turn(struct worker *w, uint64_t now)
{
    uint64_t due = open_due(w, w->next_due);
    if (due > now)
        return due;
    uint64_t behind = (uint64_t) ((double) (now - due) * w->o->rate / (double) NS_PER_S);
    uint64_t each = 1 + behind / w->active / w->o->threads;
    while (due <= now) {
        bool room = worker_outstanding(w) < (uint64_t) w->active * w->o->inflight;
        struct conn *c = room ? open_next(w) : NULL;
        if (c == NULL)
            return UINT64_MAX;
        due = open_ask(w, c, each, now);
    }
    return due;
}

/* Where the kernel notes when replies arrive nobody needs to wait for them: they are read when the next requests
 * are sent. One wake-up then serves both, and is not one for each. */
static uint64_t open_rest(const struct worker *w, uint64_t now, uint64_t until)
{
    return w->conns[0].stamped && until < now + LONG_GAP_NS ? until : 0;
}

/* What was due and could not be sent counts with the time it has waited so far, which is less than the
 * truth. It may be very many: then neighbours are counted together. */
static void open_finish(struct worker *w, uint64_t now)
{
    uint64_t until = now < w->end ? now : w->end, due = open_due(w, w->next_due);
    uint64_t waited = due < until ? until - due : 0;
    uint64_t step = 1 + (uint64_t) ((double) waited * w->o->rate / (double) NS_PER_S / FINISH_STEPS);
    for (; due < until; due = open_due(w, w->next_due)) {
        w->not_sent += step;
        w->next_due += step;
        if (due >= w->begin)
            hist_add(&w->hist, now - due, step);
    }
}

const struct mode modes[] = {
    {.name = "closed",
     .help = "each connection keeps -p requests in flight",
     .inflight = 1,
     .connect_first = true,
     .begin = closed_begin,
     .answered = closed_answered,
     .rest = closed_rest},
    {.name = "churn",
     .help = "each of -c slots connects, asks once, checks the reply, closes, over and over",
     .inflight = 1,
     .ask_at_start = true,
     .reconnects = true,
     .counts_conns = true,
     .begin = churn_begin,
     .answered = churn_answered},
    {.name = "open",
     .help = "-r requests a second in all; times run from the moment each was due",
     .inflight = 64,
     .connect_first = true,
     .needs_rate = true,
     .stamps = true,
     .turn = open_turn,
     .rest = open_rest,
     .finish = open_finish},
    {.name = "hold",
     .help = "open -c connections, keep them for -t seconds with heartbeat, churn and requests",
     .inflight = 1,
     .holds = true},
    {.name = "push",
     .help = "publishers say -r messages a second to groups that -c subscribers have joined",
     .inflight = 1,
     .needs_rate = true,
     .pushes = true},
};
const size_t mode_count = sizeof modes / sizeof modes[0];

static void idle_connected(struct worker *w, struct conn *c, uint64_t now)
{
    conn_ask(w, c, 1, now);
    conn_push(w, c);
}

const struct mode mode_idle = {.name = "idle", .help = "logs in once and stays", .connected = idle_connected};

const struct mode *mode_find(const char *name)
{
    for (size_t i = 0; i < mode_count; i++)
        if (strcmp(modes[i].name, name) == 0)
            return &modes[i];
    return NULL;
}
