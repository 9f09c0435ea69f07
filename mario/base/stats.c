/*
 * stats.c: the names of the counters. Any thread.
 */
#include "mario/base/stats.h"

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
