/*
 * passes.h: what the master has counted a connection under, on its way with it: out with the socket, beside the ring of
 * the worker's inbox; at the connection's slot while it lives; and back when its place is given up. A pass is a word
 * that only the master understands (server/gate.h), 0 = none. So struct conn need not know the table, and the master
 * need not know slots.
 *
 * Nobody wakes the master for one that comes back: it looks before it accepts. So the way back has room for all places
 * of the worker, and for those that are given out between two looks; it is never full. 16 bytes a place and more for
 * the ring's power of two, made when admission first wants them; they stay then.
 */
#ifndef MARIO_CONN_PASSES_H
#define MARIO_CONN_PASSES_H

#include <stdatomic.h>
#include <stddef.h>
#include <stdint.h>

#include "mario/base/check.h"
#include "mario/base/spsc.h"

#define PASSES_BETWEEN 256u /* given out between two looks, at most */

struct passes {
    struct spsc back; /* worker (w) -> master (r): uint64_t */
    uint64_t *coming; /* master (w) -> worker (r): of the message in the same place of the inbox's ring */
    uint64_t *held;   /* [places] the worker's, by slot */
};

static inline uint32_t passes_ring(uint32_t places)
{
    uint32_t n = 1;
    while (n < places + PASSES_BETWEEN)
        n *= 2;
    return n;
}

/* Bytes for a worker of so many places, whose inbox has so many messages. */
static inline size_t passes_size(uint32_t places, uint32_t inbox)
{
    size_t n = sizeof(struct passes) + ((size_t) passes_ring(places) + inbox + places) * sizeof(uint64_t);
    return (n + SPSC_LINE - 1) / SPSC_LINE * SPSC_LINE;
}

/* Make them in so many bytes, all zero, aligned for a cache line. */
static inline struct passes *passes_make(void *memory, uint32_t places, uint32_t inbox)
{
    struct passes *p = memory;
    p->coming = (uint64_t *) (void *) (p + 1);
    p->held = p->coming + inbox;
    spsc_init_at(&p->back, p->held + places, passes_ring(places), sizeof(uint64_t));
    return p;
}

/* Worker: the connection at this slot has given up its place. */
static inline void passes_give_back(struct passes *p, uint32_t slot)
{
    uint64_t pass = p->held[slot];
    if (pass == 0)
        return;
    uint64_t *place = spsc_reserve(&p->back);
    CHECK(place != NULL);
    *place = pass;
    p->held[slot] = 0;
    spsc_commit(&p->back);
}

/* Master: one that has come back, 0 if there is none. */
static inline uint64_t passes_take(struct passes *p)
{
    const uint64_t *place = spsc_front(&p->back);
    uint64_t pass = place != NULL ? *place : 0;
    if (place != NULL)
        spsc_release(&p->back);
    return pass;
}

#endif
