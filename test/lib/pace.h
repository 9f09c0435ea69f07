/*
 * pace.h: what falls due at a fixed rate, whether anyone comes in time or not. Pure functions over the
 * caller's struct, one thread at a time. Times are those of mono_ns().
 */
#ifndef TEST_PACE_H
#define TEST_PACE_H

#include <stdint.h>

#include "clock.h"

struct pace {
    uint64_t start; /* when number 0 is due */
    double every;   /* nanoseconds from one to the next; 0 = nothing is ever due */
    uint64_t done;  /* the number of the next one */
};

/* From `start` on, `rate` a second; 0 = never. */
static inline struct pace pace_make(uint64_t start, double rate)
{
    return (struct pace){.start = start, .every = rate > 0 ? (double) NS_PER_S / rate : 0};
}

/* When the next one is due. */
static inline uint64_t pace_due(const struct pace *p)
{
    return p->every <= 0 ? UINT64_MAX : p->start + (uint64_t) ((double) p->done * p->every);
}

/* How many are due before `until` and not done. */
static inline uint64_t pace_behind(const struct pace *p, uint64_t until)
{
    if (p->every <= 0 || until <= pace_due(p))
        return 0;
    return (uint64_t) ((double) (until - pace_due(p)) / p->every) + 1;
}

#endif
