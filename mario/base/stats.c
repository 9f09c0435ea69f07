/*
 * stats.c: the names of the counters, and the block of those who have none. Any thread.
 */
#include "mario/base/stats.h"

static struct stats shared;

void stats_add_shared(enum counter i, uint64_t n)
{
    atomic_fetch_add_explicit(&shared.value[i], n, memory_order_relaxed);
}

uint64_t stats_get_shared(enum counter i)
{
    return stats_get(&shared, i);
}

uint64_t stats_take_shared(enum counter i)
{
    return atomic_exchange_explicit(&shared.value[i], 0, memory_order_relaxed);
}

const char *stats_name(enum counter i)
{
    static const char *const names[STAT_COUNT] = {
#define ROW(name) #name,
        COUNTERS(ROW)
#undef ROW
#define ROW(name, hook, level) "closed_" #name,
            REASONS(ROW)
#undef ROW
    };
    return i < STAT_COUNT ? names[i] : "";
}
