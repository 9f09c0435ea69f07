/*
 * hist.c: the histogram of times. The thread that owns it; merge it elsewhere only after that thread has
 * ended.
 */
#include "hist.h"

#include <inttypes.h>
#include <math.h>
#include <string.h>

void hist_clear(struct hist *h)
{
    memset(h, 0, sizeof *h);
    h->min = UINT64_MAX;
}

void hist_merge(struct hist *into, const struct hist *from)
{
    for (uint32_t i = 0; i < HIST_BUCKETS; i++)
        into->bucket[i] += from->bucket[i];
    into->count += from->count;
    into->sum += from->sum;
    if (from->min < into->min)
        into->min = from->min;
    if (from->max > into->max)
        into->max = from->max;
}

/* The middle of a bucket: half a bucket's width is the largest error. */
static uint64_t bucket_value(uint32_t index)
{
    if (index < 2 * HIST_SUB)
        return index;
    uint32_t shift = (index >> HIST_SUB_BITS) - 1;
    uint64_t low = (uint64_t) (index - (shift << HIST_SUB_BITS)) << shift;
    return low + ((1ull << shift) >> 1);
}

uint64_t hist_percentile(const struct hist *h, double percent)
{
    if (h->count == 0)
        return 0;
    uint64_t rank = (uint64_t) ceil(percent / 100.0 * (double) h->count), seen = 0;
    if (rank == 0)
        return h->min;
    if (rank >= h->count)
        return h->max;
    for (uint32_t i = 0; i < HIST_BUCKETS; i++) {
        seen += h->bucket[i];
        if (seen < rank)
            continue;
        uint64_t v = bucket_value(i);
        return v < h->min ? h->min : v > h->max ? h->max : v;
    }
    return h->max;
}

void hist_write(const struct hist *h, FILE *out)
{
    uint64_t seen = 0;
    fprintf(out, "# value_us percentile count\n");
    for (uint32_t i = 0; i < HIST_BUCKETS; i++) {
        if (h->bucket[i] == 0)
            continue;
        seen += h->bucket[i];
        fprintf(out, "%.3f %.6f %" PRIu64 "\n", (double) bucket_value(i) / 1000.0,
                100.0 * (double) seen / (double) h->count, h->bucket[i]);
    }
}

double hist_mean(const struct hist *h)
{
    return h->count == 0 ? 0.0 : (double) h->sum / (double) h->count;
}
