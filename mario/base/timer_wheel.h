/*
 * timer_wheel.h: coarse timers for very many objects: one list a tick, objects found by their index in a pool.
 *
 * Not thread-safe: it belongs to the worker that owns the pool. An object has one place in the wheel. Nothing
 * is re-armed when a deadline moves away: the owner looks at its own time stamps when the object comes up,
 * and puts it back with its new deadline. So activity costs a store, not a timer.
 */
#ifndef MARIO_BASE_TIMER_WHEEL_H
#define MARIO_BASE_TIMER_WHEEL_H

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

#define WHEEL_SLOTS \
    4096u /* a power of two; at 100 ms a tick one round is 409 s, longer than the default timeout */
#define WHEEL_NONE UINT32_MAX

/* Embedded in each object. All zero means: not in the wheel. Links are 1 + index; indices beyond the pool are
 * heads. */
struct wheel_node {
    uint32_t next, prev;
    uint32_t due; /* tick */
};

struct wheel {
    struct wheel_node *heads; /* WHEEL_SLOTS lists and one more for those being looked at */
    unsigned char *pool;      /* the first object's node */
    size_t stride;            /* bytes from one object's node to the next one's */
    uint32_t count;           /* objects in the pool */
    uint32_t population;      /* of them, those in the wheel: if there are none time need not go on */
    uint32_t now;             /* the tick up to which all is done */
};

/* The objects are pool[0 .. count-1], `stride` bytes apart; `pool` is the node of the first. False without
 * memory. */
__attribute__((warn_unused_result)) bool wheel_init(struct wheel *w, void *pool, size_t stride,
                                                    uint32_t count);
void wheel_fini(struct wheel *w);

/* Have object `index` come up at tick `due`, or at the next tick if that is past. It may be in the wheel
 * already: then it moves. */
void wheel_set(struct wheel *w, uint32_t index, uint32_t due);

/* Take it out; harmless if it is not in. */
void wheel_clear(struct wheel *w, uint32_t index);

/* Go on to tick `now` and call f for each object due by then, after taking it out. f may set and clear any
 * object. */
void wheel_advance(struct wheel *w, uint32_t now, void (*f)(void *arg, uint32_t index), void *arg);

#endif
