/*
 * dump.h: what the server does, as lines of the log. For the thread that runs the server.
 */
#ifndef MARIO_SERVER_DUMP_H
#define MARIO_SERVER_DUMP_H

#include "mario/base/stats.h"
#include "mario/exec/activity.h"
#include "mario/log/log.h"

struct master;

/* The counters that are not 0, summed over blocks[0 .. count-1], in as many lines as they need: "WHAT: name=value
 * ...". */
void dump_counters(LOG_QUEUE *q, const char *what, const struct stats *blocks, uint32_t count);

/* All that is known: counters, what each worker has and runs, which threads of the pool are busy. Waits for nobody.
 * Master. */
void dump_all(const struct master *m);

#endif
