/*
 * walks.c: carrying out orders for many connections. Runs on the worker's thread; nothing here may be called from
 * elsewhere. A walk stands in struct push wherever user code is called, so that another thread may go on with it.
 */
#include "mario/worker/walks.h"

#include "mario/base/clock.h"
#include "mario/base/id.h"
#include "mario/worker/calls.h"
#include "mario/worker/wraps.h"

enum { AHEAD = 4 /* connections whose first line is fetched before their turn */ };

static void put_all(struct shard *s, struct conn *c, const struct walk *w)
{
    uint64_t id = id_of(s->ind, c->pub.ind, c->generation);
    struct slow_policy policy = push_policy(s, c);
    for (uint32_t i = 0; i < w->count && c->state == CONN_OPEN; i++) {
        if (w->messages[i].except != id && wraps_have(s, c, w->messages[i].m))
            delivery_put(c, w->messages[i].m, &policy);
    }
}

/* The same as walk_messages(), one by one, at least one, and for as long as there is time: an application's framing may
 * be asked at each, and another thread go on with the next one. */
static uint32_t walk_asking(struct shard *s, struct walk *w, uint32_t n, uint64_t deadline)
{
    uint32_t slot, found = 0;
    while (found < n && !w->over && (found == 0 || clock_ns() <= deadline) && walk_next(s, w, &slot, 1) > 0) {
        found++;
        put_all(s, &s->conns[slot], w);
    }
    return found;
}

/* The messages of a walk, for at most n connections. For how many. */
static uint32_t walk_messages(struct shard *s, struct walk *w, uint32_t n, uint64_t deadline)
{
    if (wraps_may_run(s))
        return walk_asking(s, w, n, deadline);
    uint32_t slots[WALK_SLICE];
    uint32_t found = walk_next(s, w, slots, n);
    for (uint32_t i = 0; i < found; i++) {
        if (i + AHEAD < found)
            delivery_prefetch(s, slots[i + AHEAD]);
        put_all(s, &s->conns[slots[i]], w);
    }
    return found;
}

/* A call on all: for at most n of them, and for as long as there is time. */
static void walk_each(struct shard *s, struct walk *w, uint32_t n, uint64_t deadline)
{
    uint32_t slot;
    for (uint32_t i = 0; i < n && !w->over && clock_ns() <= deadline; i++) {
        if (walk_next(s, w, &slot, 1) == 0)
            continue;
        w->seen++;
        if (!calls_make(s, &s->conns[slot], &(struct order){.kind = ORDER_EACH, .each = w->each}))
            w->seen--; /* later, and counted then */
    }
}

/* As far as the stride allows. True if it is over, and gone. */
static bool walk_slice(struct shard *s, struct walk *w, struct stride *stride)
{
    uint32_t used = stride->left;
    if (w->each != NULL)
        walk_each(s, w, stride->left, stride->deadline);
    else
        used = walk_messages(s, w, stride->left, stride->deadline);
    if (!w->over) {
        stride->left = 0;
        return false;
    }
    stride->left -= used;
    struct each *each = walk_end(s, w);
    if (each != NULL)
        calls_finish_each(each);
    return true;
}

void walks_go_on(struct shard *s, uint64_t deadline)
{
    struct walk *w = walk_turn(s);
    if (w != NULL && !walk_slice(s, w, &(struct stride){.left = WALK_SLICE, .deadline = deadline}))
        walk_yield(s->push, w);
}

bool walks_try(struct shard *s, const struct lane *l, struct stride *stride)
{
    return stride->left > 0 && walk_begin(s, l->walk) && walk_slice(s, l->walk, stride);
}
