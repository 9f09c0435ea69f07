/*
 * mode.c: the kinds of load. Runs on the workers' threads; a row has no state of its own, it is in the worker.
 */
#include "mode.h"

#include <string.h>

#include "conn.h"
#include "test/lib/clock.h"
#include "worker.h"

/* ---- closed: a new request for each reply ---- */

static void closed_begin(struct worker *w, struct conn *c, uint64_t now)
{
    conn_ask(w, c, w->o->inflight, now);
}

static void closed_answered(struct worker *w, struct conn *c, uint32_t n, uint64_t now)
{
    if (w->sending)
        conn_ask(w, c, n, now);
}

/* ---- churn: connect, ask, check, close, over and over ---- */

static void churn_answered(struct worker *w, struct conn *c, uint32_t n, uint64_t now)
{
    (void) n;
    (void) now;
    conn_end(w, c);
    if (w->sending)
        worker_queue(w, c);
}

/* ---- open: requests fall due at a fixed rate, whether answers come or not ---- */

/* When this worker's k-th request is due: the workers take turns. */
static uint64_t open_due(const struct worker *w, uint64_t k)
{
    double every = (double) NS_PER_S / w->o->rate;
    return w->start + (uint64_t) (((double) k * w->o->threads + w->index) * every);
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

/* Asks all that is due. What finds no room stays due, and its time runs on: that is the point of this mode. */
static uint64_t open_turn(struct worker *w, uint64_t now)
{
    for (;;) {
        uint64_t due = open_due(w, w->next_due);
        if (due > now)
            return due;
        bool room = worker_outstanding(w) < (uint64_t) w->active * w->o->inflight;
        struct conn *c = room ? open_next(w) : NULL;
        if (c == NULL)
            return UINT64_MAX;
        conn_ask(w, c, 1, due);
        w->next_due++;
    }
}

/* What was due and could not be sent counts with the time it has waited so far, which is less than the truth. */
static void open_finish(struct worker *w, uint64_t now)
{
    for (uint64_t due; (due = open_due(w, w->next_due)) < w->end; w->next_due++) {
        w->not_sent++;
        if (due >= w->begin)
            hist_add(&w->hist, now - due, 1);
    }
}

const struct mode modes[] = {
    {.name = "closed",
     .help = "each connection keeps -p requests in flight",
     .inflight = 1,
     .connect_first = true,
     .begin = closed_begin,
     .answered = closed_answered},
    {.name = "churn",
     .help = "each of -c slots connects, asks once, checks the reply, closes, over and over",
     .inflight = 1,
     .ask_at_start = true,
     .reconnects = true,
     .counts_conns = true,
     .answered = churn_answered},
    {.name = "open",
     .help = "-r requests a second in all; times run from the moment each was due",
     .inflight = 64,
     .connect_first = true,
     .needs_rate = true,
     .turn = open_turn,
     .finish = open_finish},
};
const size_t mode_count = sizeof modes / sizeof modes[0];

static void idle_connected(struct worker *w, struct conn *c, uint64_t now)
{
    conn_ask(w, c, 1, now);
}

const struct mode mode_idle = {.name = "idle", .help = "logs in once and stays", .connected = idle_connected};

const struct mode *mode_find(const char *name)
{
    for (size_t i = 0; i < mode_count; i++)
        if (strcmp(modes[i].name, name) == 0)
            return &modes[i];
    return NULL;
}
