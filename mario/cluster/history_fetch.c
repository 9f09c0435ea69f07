/*
 * history_fetch.c: what is asked of the engine: where a history is, what is missing behind what the members have, what
 * those who come back have missed. For each history one question at a time; for all of them a few. The cluster's
 * thread.
 */
#include <stdlib.h>

#include "mario/cluster/history_inside.h"

/* Questions that are not answered. */
static struct {
    struct {
        uint64_t cookie; /* 0: free */
        uint64_t group;
    } at[FETCHES];
    uint64_t cookies;
} flights;

void fetch_close(void)
{
    for (int i = 0; i < FETCHES; i++)
        flights.at[i].cookie = 0;
}

static bool ask(struct history *h, enum fetch_what what, uint64_t after)
{
    for (int i = 0; i < FETCHES; i++) {
        if (flights.at[i].cookie != 0)
            continue;
        flights.at[i].cookie = ++flights.cookies;
        flights.at[i].group = h->group;
        h->fetching = what;
        h->fetch_cookie = flights.cookies;
        h->fetch_got = after;
        h->fetch_count = 0;
        histories.engine.fetch(histories.engine.arg, h->group, after, what == FETCH_BASE ? 0 : FETCH_MOST,
                               flights.cookies);
        return true;
    }
    return false;
}

uint64_t fetch_reach(const struct history *h, uint64_t seq)
{
    uint64_t oldest = h->last > h->n ? h->last - h->n + 1 : 1;
    uint64_t start = line_start(h);
    /* More may be kept, for those who were told of it; what members are still to get new ones get, too. */
    if (oldest > start)
        start = oldest <= line_delivered(h) ? oldest : line_delivered(h) + 1;
    else if (history_is_engine())
        start = oldest > h->floor + 1 ? oldest : h->floor + 1;
    return seq > start ? seq : start;
}

bool fetch_pass(struct history *h)
{
    const struct history_engine *e = &histories.engine;
    if (h->fetching != FETCH_NOTHING || !e->is_subscribed(e->arg, h->group) || !e->is_up(e->arg, h->group))
        return true;
    if (!h->is_based)
        return !h->wants_base || ask(h, FETCH_BASE, h->last);
    if (h->has_hole)
        return ask(h, FETCH_FORWARD, h->last);
    uint64_t wanted = resume_wanted(h);
    if (wanted < line_start(h))
        return ask(h, FETCH_PAST, wanted - 1);
    return true;
}

/* ---- One message of an answer ---- */

static void got_forward(struct history *h, const struct history_message *m, uint64_t seq)
{
    if (seq <= h->last)
        return;
    struct kept *k = kept_make(m, seq);
    if (k == NULL) {
        h->last = h->floor = seq;
        history_count("cluster_dropped", 1);
    } else {
        line_append(h, k);
    }
}

static void got_past(struct history *h, const struct history_message *m, uint64_t seq)
{
    if (seq >= line_start(h))
        return;
    struct kept *k;
    if (seq != h->fetch_got + 1) { /* older ones are not there any more */
        line_clear(&h->past);
        h->floor = seq - 1;
    }
    if (histories.bytes > histories.most && (k = line_take(&h->past)) != NULL) {
        h->floor = k->seq;
        free(k);
    }
    if ((k = kept_make(m, seq)) == NULL || !line_push(&h->past, k)) {
        line_clear(&h->past);
        h->floor = seq;
    }
}

static void got(struct history *h, uint64_t epoch, uint64_t seq, const struct history_message *m)
{
    h->fetch_count++;
    if (epoch == h->epoch && h->is_based) {
        if (h->fetching == FETCH_FORWARD)
            got_forward(h, m, seq);
        else if (h->fetching == FETCH_PAST)
            got_past(h, m, seq);
    }
    h->fetch_got = seq;
}

/* ---- The end of an answer ---- */

/* What came while something was missing. What is missing in front of it although the engine was asked is asked for once
 * more, and is believed to be lost only if that had no answer: somebody may have made up a number. */
static void take_ahead(struct history *h, bool may_skip)
{
    struct kept *k;
    h->has_hole = h->overflown = false;
    if (h->ahead_epoch != h->epoch && h->ahead.count > 0) {
        line_clear(&h->ahead);
        h->has_hole = true;
    }
    while ((k = line_take(&h->ahead)) != NULL) {
        if (k->seq == h->last + 1 || (k->seq > h->last && may_skip)) {
            line_append(h, k);
            continue;
        }
        if (k->seq > h->last) {
            line_clear(&h->ahead);
            h->has_hole = true;
        }
        free(k);
    }
}

static void end_forward(struct history *h, uint64_t epoch, uint64_t last, uint64_t base)
{
    if (epoch == 0) { /* without an answer: if the engine is away, it is asked again when it is back */
        if (histories.engine.is_up(histories.engine.arg, h->group))
            take_ahead(h, true);
        return;
    }
    if (epoch != h->epoch) { /* what is above base is new, and what we have not got below it is missing */
        line_restart(h, epoch, base < h->last ? base : h->last);
        return;
    }
    if (last < h->last) {
        line_restart(h, epoch, last);
    } else if (h->fetch_count >= FETCH_MOST && h->fetch_got < last) {
        return;
    } else if (h->last < last) { /* what was there is not any more */
        history_count("cluster_lost", last - h->last);
        h->last = h->floor = last;
    }
    if (h->overflown)
        h->overflown = false; /* what was dropped is there by now: once more */
    else
        take_ahead(h, false);
}

/* Numbers in the line at or below the floor nobody comes back to; when all members have them they need not be there. */
static bool clear_below_start(struct history *h)
{
    uint64_t start = line_start(h);
    while (h->line.count > h->undelivered && line_at(&h->line, 0)->seq < start)
        free(line_take(&h->line));
    return h->line.count == 0 || line_at(&h->line, 0)->seq == start;
}

static void end_past(struct history *h, uint64_t epoch, uint64_t last)
{
    uint64_t start = line_start(h);
    if (epoch != 0 && epoch != h->epoch) {
        line_clear(&h->past);
        h->has_hole = true;
        return;
    }
    if (epoch != 0 && h->fetch_count >= FETCH_MOST && h->fetch_got + 1 < start && h->fetch_got < last) {
        if (ask(h, FETCH_PAST, h->fetch_got))
            return;
    }
    if (epoch != 0 && h->past.count > 0 && h->fetch_got + 1 >= start && clear_below_start(h)) {
        line_prepend(h, &h->past);
        return;
    }
    line_clear(&h->past);
    h->floor = start - 1;
}

static void end_base(struct history *h, uint64_t epoch, uint64_t last)
{
    h->wants_base = false;
    if (epoch == 0) {
        resume_give_up(h, false);
    } else if (!h->is_based) {
        line_restart(h, epoch, last);
        h->is_based = true;
    }
}

static void end(struct history *h, uint64_t epoch, uint64_t last, uint64_t base)
{
    enum fetch_what what = h->fetching;
    h->fetching = FETCH_NOTHING;
    if (what == FETCH_BASE)
        end_base(h, epoch, last);
    else if (what == FETCH_FORWARD && h->is_based)
        end_forward(h, epoch, last, base);
    else if (what == FETCH_PAST && h->is_based)
        end_past(h, epoch, last);
    (void) line_deliver(h); /* if it cannot be yet: in the pass */
    history_due(h);
}

void history_fetched(uint64_t cookie, uint64_t epoch, uint64_t seq, const struct history_message *m,
                     uint64_t last, uint64_t base)
{
    int i = 0;
    while (i < FETCHES && flights.at[i].cookie != cookie)
        i++;
    if (i == FETCHES)
        return;
    struct history *h = history_find(flights.at[i].group);
    if (seq == 0)
        flights.at[i].cookie = 0;
    if (h == NULL || h->fetching == FETCH_NOTHING || h->fetch_cookie != cookie)
        return;
    if (seq != 0)
        got(h, epoch, seq, m);
    else
        end(h, epoch, last, base);
}
