/*
 * calls.h: functions that are called for a connection without a packet that asks for it: those of mario_run(), of
 * timers, of mario_each_conn(), and the one that is told of a decided bind. While an offloaded function of the
 * connection is out they wait until it is back: one at a time, as everywhere. Everything here is for the worker's
 * thread, outside user code.
 */
#ifndef MARIO_WORKER_CALLS_H
#define MARIO_WORKER_CALLS_H

#include "mario/exec/executor.h"
#include "mario/push/push.h"

/* Call what the order says, of kind RUN, TIMER, EACH or DECIDED, for c, which is open: now, or later. True if now. */
bool calls_make(struct shard *s, struct conn *c, const struct order *o);

/* c's offloaded function is back: what has waited for that. True if c is still open. */
bool calls_go_on(struct executor *t, struct conn *c);

/* f(NULL, arg), for an order of kind RUN. */
void calls_nobody(const struct order *o);
/* Those that waited for connections that have ended meanwhile, as far as there is time. */
void calls_late(struct shard *s, uint64_t deadline);

/* All workers are through with a call on all: done, and freed. */
void calls_finish_each(struct each *e);

#endif
