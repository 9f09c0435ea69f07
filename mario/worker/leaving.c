/*
 * leaving.c: connections that leave since the server drains. Runs on the worker; what leaving.h gives to the master
 * there.
 *
 * All slots are looked at in an order that a hash gives, each once a round: who came together does not leave together.
 * One who is told to leave gets what it has asked for by then, as at a stop; then its leave function is called, and it
 * closes.
 */
#include "mario/worker/leaving.h"

#include "mario/exec/registry.h"
#include "mario/net/stream.h"
#include "mario/worker/dispatch.h"
#include "mario/worker/functions.h"

enum {
    LOOK_BATCH = 256, /* slots looked at in a pass */
    LEAVE_BATCH = 32  /* and connections told, whose functions run */
};

/* ---- The order ---- */

/* Of the numbers below 2^bits another one for each: multiplying by odd numbers and folding lose none. Each worker has
 * an order of its own: the same slot of all of them is of those who came together. */
static uint32_t shuffle(uint32_t i, uint32_t bits, uint32_t seed)
{
    uint32_t mask = (uint32_t) ((UINT64_C(1) << bits) - 1), fold = bits / 2 + 1;
    i = (i * 0x9e3779b1u + seed * 0x85ebca77u) & mask;
    i ^= i >> fold;
    i = (i * 0xc2b2ae3du) & mask;
    return i ^ i >> fold;
}

/* ---- The master ---- */

void leaving_begin(struct leaving *l)
{
    leaving_halt(l);
    uint32_t round = atomic_load_explicit(&l->round, memory_order_relaxed) + 1;
    atomic_store_explicit(&l->round, round != 0 ? round : 1, memory_order_release);
}

void leaving_want(struct leaving *l, uint32_t n)
{
    atomic_store_explicit(&l->wanted, atomic_load_explicit(&l->wanted, memory_order_relaxed) + n,
                          memory_order_release);
}

void leaving_halt(struct leaving *l)
{
    atomic_store_explicit(&l->wanted, atomic_load_explicit(&l->left, memory_order_acquire),
                          memory_order_release);
}

bool leaving_is_over(const struct leaving *l)
{
    return atomic_load_explicit(&l->over, memory_order_acquire) ==
           atomic_load_explicit(&l->round, memory_order_acquire);
}

uint32_t leaving_open(const struct leaving *l)
{
    uint32_t left = atomic_load_explicit(&l->left, memory_order_acquire);
    int32_t open = (int32_t) (atomic_load_explicit(&l->wanted, memory_order_relaxed) - left);
    return open <= 0 || leaving_is_over(l) ? 0 : (uint32_t) open;
}

/* ---- The worker ---- */

static void look_from_the_start(struct leaving *l, const struct shard *s)
{
    l->cursor = 0;
    l->found = false;
    l->bits = 0;
    while ((UINT64_C(1) << l->bits) < s->fresh)
        l->bits++;
}

static void tell(struct executor *t, struct conn *c)
{
    c->stopping = true;
    c->stop_bytes = stream_arrived(c->pub.fd);
    dispatch_stop(t, c);
}

/* The next one in the order that is open and was not told; NULL if this many looks found none. *over: all were looked
 * at, and nobody was there. */
static struct conn *next(struct leaving *l, struct shard *s, uint32_t *looks, bool *over)
{
    while (*looks > 0) {
        if (l->cursor >> l->bits != 0) {
            *over = !l->found;
            if (*over)
                return NULL;
            look_from_the_start(l, s); /* who came meanwhile */
        }
        uint32_t slot = shuffle(l->cursor++, l->bits, l->at_round + s->ind * 0x27d4eb2fu);
        (*looks)--;
        if (slot >= s->fresh || s->conns[slot].state != CONN_OPEN || s->conns[slot].stopping)
            continue;
        l->found = true;
        return &s->conns[slot];
    }
    return NULL;
}

bool leaving_some(struct executor *t, struct leaving *l)
{
    struct shard *s = t->shard;
    uint32_t round = atomic_load_explicit(&l->round, memory_order_acquire), looks = LOOK_BATCH;
    bool over = false;
    if (l->at_round != round) {
        l->at_round = round;
        look_from_the_start(l, s);
    }
    for (int i = 0; i < LEAVE_BATCH && leaving_is_due(l); i++) {
        struct conn *c = next(l, s, &looks, &over);
        if (c == NULL)
            break;
        atomic_store_explicit(&l->left, atomic_load_explicit(&l->left, memory_order_relaxed) + 1,
                              memory_order_release); /* before its functions run, which may not return */
        tell(t, c);
    }
    if (over)
        atomic_store_explicit(&l->over, round, memory_order_release);
    return over;
}

/* From 1 to the settings' number, another one for each connection; 0 without. */
static uint32_t seconds_of(const struct conn *c)
{
    uint32_t spread = conn_shard(c)->set->drain_spread;
    uint64_t mixed = conn_id(c) * UINT64_C(0x9e3779b97f4a7c15);
    mixed = (mixed ^ mixed >> 32) * UINT64_C(0xd6e8feb86659fd93);
    return spread == 0 ? 0 : 1 + (uint32_t) ((mixed >> 32) % spread);
}

/* It closes in any case, and for this reason, whatever the function says. */
static int32_t call(CONN *c, void *arg)
{
    struct executor *t = executor_here;
    (void) arg;
    registry_leave()(c);
    if (!conn_is_beyond_sending(t->end_reason))
        t->end_reason = REASON_NONE;
    t->leave_seconds = 0;
    return 0;
}

void leaving_close(struct executor *t, struct conn *c)
{
    if (registry_leave() != NULL && c->greeted) {
        t->leave_seconds = seconds_of(c);
        if (!functions_call(t, c, call, NULL))
            return;
    }
    conn_close(c, REASON_drain);
}

uint32_t mario_leave_seconds(const CONN *c)
{
    return executor_here != NULL && executor_here->conn == c ? executor_here->leave_seconds : 0;
}
