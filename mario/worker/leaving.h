/*
 * leaving.h: connections that leave since the server drains: so many as the master wants, in an order of slots that has
 * nothing to do with when they came. Here is one worker's part.
 */
#ifndef MARIO_WORKER_LEAVING_H
#define MARIO_WORKER_LEAVING_H

#include <stdatomic.h>
#include <stdbool.h>
#include <stdint.h>

#include "mario/conn/conn.h"

struct leaving {
    _Atomic uint32_t
        round; /* master (w) -> worker (r): goes up whenever all are to be looked at anew; 0: never yet */
    _Atomic uint32_t wanted; /* likewise: how many are to have left, mod 2^32 */
    _Atomic uint32_t left;   /* worker (w) -> master (r): how many have been told to */
    _Atomic uint32_t over;   /* worker (w) -> master (r): the round in which nobody was found any more */
    uint32_t at_round;       /* the worker's: the one that the next three are of */
    uint32_t cursor;
    uint32_t bits; /* of slots: all that were ever used are below 2^bits */
    bool found;    /* somebody, since the cursor began */
};

/* ---- The master; then the worker's bell is to be rung ---- */

/* Look at all connections anew, and have nobody leave yet. */
void leaving_begin(struct leaving *l);
/* So many more. */
void leaving_want(struct leaving *l, uint32_t n);
/* Nobody more. */
void leaving_halt(struct leaving *l);
/* How many are to leave and have not been told yet: none where nobody is found any more. */
uint32_t leaving_open(const struct leaving *l);
bool leaving_is_over(const struct leaving *l);

/* ---- The worker ---- */

/* Whether there is something to do. */
static inline bool leaving_is_due(const struct leaving *l)
{
    uint32_t wanted = atomic_load_explicit(&l->wanted, memory_order_acquire);
    return (int32_t) (wanted - atomic_load_explicit(&l->left, memory_order_relaxed)) > 0 &&
           !leaving_is_over(l);
}

/* Tell some to leave, a bounded number. True if that was the last one there is: the master wants to know. */
bool leaving_some(struct executor *t, struct leaving *l);

/* c has had its answers and is to close: call its leave function, then do. */
void leaving_close(struct executor *t, struct conn *c);

#endif
