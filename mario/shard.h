/*
 * shard.h: a worker's share of the server: what its connections have in common. It belongs to the worker's
 * thread alone; others may read only what says so. worker.c makes it; conn.c and output.c work on it.
 */
#ifndef MARIO_SHARD_H
#define MARIO_SHARD_H

#include <stdatomic.h>
#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

#include "assert.h"
#include "codec.h"
#include "log.h"
#include "mario_conn.h"
#include "stats.h"
#include "wheel.h"

#define TICK_MS      100    /* the wheel's step: how exact timeouts are */
#define OUT_BUF_SIZE 65536u /* c->out_buf: at least the largest max_pkglen */

/* What was configured, in the units of the loop; constant while the server runs. */
struct settings {
    struct codec codec;
    uint32_t timeout;        /* ticks, 0 = none */
    uint32_t write_timeout;  /* ticks, 0 = none */
    uint32_t packet_timeout; /* ticks, 0 = none */
    uint32_t drain_timeout;  /* ticks */
    size_t output_high;      /* bytes */
    size_t output_max;       /* bytes */
};

struct conn;

struct shard {
    WORKER pub; /* first, so that c->owner is the shard */
    const struct settings *set;
    uint32_t tick;            /* steps of TICK_MS the loop has lived through */
    struct conn *running;     /* whose function or connected hook runs now, or NULL */
    struct bufferevent *pen;  /* c->bufev while a function runs; empty between connections */
    struct bufferevent *sink; /* c->bufev while an end hook runs; what it gets is dropped */
    struct evbuffer *ink;     /* the pen's output */
    size_t ink_keep;          /* bytes of ink written before the function closed; SIZE_MAX if it did not */
    char *out_buf;            /* c->out_buf of all connections */
    struct conn *conns;       /* the pool: `count` of them */
    uint32_t count;
    uint32_t fresh;     /* slots from here on were never used */
    uint32_t free_head; /* 1 + slot of the last one given back, 0 = none */
    uint32_t limbo;     /* 1 + slot of the last one closed in this turn, 0 = none */
    uint32_t in_use;    /* neither free nor in limbo */
    struct wheel wheel;
    struct stats *stats; /* worker (w) -> any thread (r); the server's, which outlives the worker */
    _Alignas(
        64) _Atomic uint32_t released; /* worker (w) -> master (r): slots given back since start, mod 2^32 */
};

/* Whose thread this is; NULL outside workers. Set by worker.c. */
extern _Thread_local struct shard *shard_here;

#define ASSERT_ON_WORKER(s) ASSERT(shard_here == (s))

#endif
