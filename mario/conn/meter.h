/*
 * meter.h: how much each connection sends, and whether it has sent anything whole yet: limit.packets, limit.bytes,
 * admit.first_packet. For the worker that owns the shard.
 *
 * A limit is a bucket of a second's worth, kept as the time when it would be full again. Meters lie beside the pool, 24
 * bytes a place, and are there only since one of these was set first. They stay then, so that they are right when it is
 * set again.
 */
#ifndef MARIO_CONN_METER_H
#define MARIO_CONN_METER_H

#include <stdatomic.h>
#include <stdbool.h>
#include <stdint.h>

#include "mario/conn/conn.h"

struct meter {
    uint64_t packets_ns, bytes_ns; /* by clock_ns(), when the buckets are full again */
    uint32_t since;                /* tick when it was accepted */
    bool waits;                    /* it has not sent a whole packet */
};

/* That of c, NULL if nothing is metered. */
static inline struct meter *meter_of(const struct conn *c)
{
    struct meter *all = atomic_load_explicit(&conn_shard(c)->meters, memory_order_acquire);
    return all != NULL ? &all[c->pub.ind] : NULL;
}

/* The same, for what is limited: when the server stops nothing is. */
static inline struct meter *meter_limits(const struct conn *c)
{
    return c->stopping ? NULL : meter_of(c);
}

/* A connection begins. */
void meter_begin(const struct conn *c);

/* Whether it has had its time for a first packet; when that is over, in ticks: 0 = it has no such deadline. */
bool meter_is_late(const struct conn *c);
bool meter_due(const struct conn *c, uint32_t *tick);

/* Of a bucket that is full at full_ns: how many of a second's `rate` are in it; `n` are taken out, more than that if
 * need be: then it is empty for longer. rate > 0. */
uint32_t meter_room(uint64_t full_ns, uint32_t rate, uint64_t now_ns);
void meter_take(uint64_t *full_ns, uint32_t rate, uint32_t n, uint64_t now_ns);

/* c waits for its limits: ticks until it need not, 0 if it need not. */
uint32_t meter_wait(const struct conn *c);

#endif
