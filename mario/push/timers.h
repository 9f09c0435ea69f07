/*
 * timers.h: the timers that functions set for their connections: a heap of a shard's, the next one first, and a list of
 * each connection's, whose head stays where it is while there are some. The shard's thread. Times are of any clock that
 * counts milliseconds.
 */
#ifndef MARIO_PUSH_TIMERS_H
#define MARIO_PUSH_TIMERS_H

#include <stdbool.h>
#include <stdint.h>

#include "mario/mario_conn.h"

typedef sint32 (*timer_func)(CONN *c, void *arg);

struct timer {
    uint64_t due;
    uint64_t order; /* of two that are due at the same time the one that was set first comes first */
    uint32_t place; /* in the heap */
    uint32_t slot;  /* of its connection */
    timer_func f;
    void *arg;
    struct timer *next, **link; /* in its connection's list; what points to it */
};

struct timers {
    struct timer **heap; /* [size] */
    uint32_t count, size;
    uint64_t sets; /* so many have been set */
    struct timer
        *spare; /* unused ones, linked by next: a few are kept for those that are set again and again */
    uint32_t spares;
};

/* All zero: none. Those that are still set go, their lists are not looked at. */
void timers_fini(struct timers *t);

/* Set the timer of that connection (its list) that has this f and arg, or a new one. False without memory: nothing has
 * changed. */
__attribute__((warn_unused_result)) bool timers_set(struct timers *t, struct timer **list, uint32_t slot,
                                                    uint64_t due, timer_func f, void *arg);
/* Harmless if there is none. */
void timers_cancel(struct timers *t, struct timer **list, timer_func f, void *arg);
/* All of a connection. */
void timers_cancel_all(struct timers *t, struct timer **list);

/* When the next one is due; UINT64_MAX if there is none. */
uint64_t timers_next(const struct timers *t);
/* Take the next one off if it is due by `now`: true, and *fired is what it was (links apart). */
bool timers_take(struct timers *t, uint64_t now, struct timer *fired);

#endif
