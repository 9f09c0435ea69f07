/*
 * hist.h: a histogram of times in nanoseconds, log-linear: 128 buckets for each power of two, so that a
 * percentile is off by less than 1 %. Count, sum, minimum and maximum are exact. One thread at a time; no
 * allocation.
 */
#ifndef TEST_HIST_H
#define TEST_HIST_H

#include <stdint.h>
#include <stdio.h>

#define HIST_SUB_BITS 7u
#define HIST_SUB      (1u << HIST_SUB_BITS)
#define HIST_BUCKETS  ((64u - HIST_SUB_BITS + 1u) * HIST_SUB)

struct hist {
    uint64_t count, sum, min, max; /* min is UINT64_MAX while empty */
    uint64_t bucket[HIST_BUCKETS];
};

/* Empty it; also the way to begin. */
void hist_clear(struct hist *h);

/* The bucket that holds v: below 2 * HIST_SUB each value has its own. */
static inline uint32_t hist_index(uint64_t v)
{
    if (v < 2 * HIST_SUB)
        return (uint32_t) v;
    uint32_t shift = 63u - (uint32_t) __builtin_clzll(v) - HIST_SUB_BITS;
    return (shift << HIST_SUB_BITS) + (uint32_t) (v >> shift);
}

/* Count the time v n times. */
static inline void hist_add(struct hist *h, uint64_t v, uint64_t n)
{
    h->bucket[hist_index(v)] += n;
    h->count += n;
    h->sum += v * n;
    if (v < h->min)
        h->min = v;
    if (v > h->max)
        h->max = v;
}

/* Add all of `from` to `into`. */
void hist_merge(struct hist *into, const struct hist *from);

/* The time that percent (0 .. 100) of all times do not exceed; 0 when empty. */
uint64_t hist_percentile(const struct hist *h, double percent);

/* Write it to plot: a comment line, then a line for each bucket that is not empty: the time in microseconds,
 * the percentile up to and with it, the count in it. */
void hist_write(const struct hist *h, FILE *out);

/* 0 when empty. */
double hist_mean(const struct hist *h);

#endif
