/*
 * walks.h: carrying out orders for many connections, some connections at a time (push/walk.h). Everything here is for
 * the worker's thread, outside user code.
 */
#ifndef MARIO_WORKER_WALKS_H
#define MARIO_WORKER_WALKS_H

#include "mario/push/walk.h"

/* A pass begins: this many connections may be walked over in it, for as long as it is before `deadline` (ns) with those
 * that run user code. */
struct stride {
    uint32_t left;
    uint64_t deadline;
};

/* A slice for one of the walks that go on, if there are any. */
void walks_go_on(struct shard *s, uint64_t deadline);

/* The walk of lane l has just been taken out of it: if it is its turn go as far as the stride allows. True if it is
 * over, so that the lane goes on. */
bool walks_try(struct shard *s, const struct lane *l, struct stride *stride);

#endif
