/*
 * slow.h: a thread's list of the last calls that took too long. It alone writes; any thread reads, and finds an entry
 * as it was written or not at all.
 */
#ifndef MARIO_EXEC_SLOW_H
#define MARIO_EXEC_SLOW_H

#include <stdatomic.h>
#include <stdbool.h>
#include <stdint.h>

#include "mario/base/peer.h"
#include "mario/mario_server.h"

struct slow_entry {
    uint64_t when;    /* its end, ns by clock_ns() */
    uint64_t took;    /* ns */
    uint64_t conn;    /* conn_id(), 0 = nobody's */
    uint32_t index;   /* of the function, as in timing.h */
    uint32_t packets; /* 1; n: it was one of n packets in a row, of which this was the last, or all of them */
    struct peer peer;
    bool never; /* it did not return, or ended its thread */
};

enum { SLOW_WORDS = 7 };

struct slow_place {
    _Alignas(64) _Atomic uint64_t
        number; /* how manieth entry of the ring it is, from 1; 0 = it is being written */
    _Atomic uint64_t word[SLOW_WORDS];
};

struct slow_ring {
    uint64_t written;         /* its thread's */
    struct slow_place *place; /* [MARIO_SLOW_KEEP_MAX] */
};

/* Its thread. */
void slow_put(struct slow_ring *r, const struct slow_entry *e);

/* Any thread: those that ended after `since` (clock_ns()), in no order, at most `most`. How many. */
uint32_t slow_read(const struct slow_ring *r, uint64_t since, struct slow_entry *out, uint32_t most);

#endif
