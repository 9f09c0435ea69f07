/*
 * stats.c: what the counter table says, and the block of those who have none. Any thread.
 */
#include "mario/base/stats.h"

#include <stddef.h>

static struct stats shared;

enum { IS_COUNTER, IS_GAUGE };

static const struct {
    const char *name, *metric, *help;
    int type;
} rows[STAT_COUNT] = {
#define ROW(name, type, metric, help) {#name, metric, help, IS_##type},
    COUNTERS(ROW)
#undef ROW
#define ROW(name, hook, level) \
    {"closed_" #name, "connections_closed_total{reason=\"" #name "\"}", "", IS_COUNTER},
        REASONS(ROW)
#undef ROW
};

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
    return i < STAT_COUNT ? rows[i].name : "";
}

const char *stats_metric(enum counter i)
{
    return rows[i].metric;
}

const char *stats_help(enum counter i)
{
    return rows[i].help;
}

bool stats_is_gauge(enum counter i)
{
    return rows[i].type == IS_GAUGE;
}
