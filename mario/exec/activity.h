/*
 * activity.h: what each worker runs at this moment, for those who watch: the master, and whoever has to say why
 * the process died. A worker writes its own beat, with plain stores; any thread, a signal handler and another
 * process that maps the same memory may read it.
 */
#ifndef MARIO_EXEC_ACTIVITY_H
#define MARIO_EXEC_ACTIVITY_H

#include <stdatomic.h>
#include <stdint.h>

#include "mario/mario_server.h"

/* The table: workers by their index, then the threads for offloaded functions. */
#define BEATS_OF_POOL MARIO_WORKERNUM_MAX
#define BEATS         (MARIO_WORKERNUM_MAX + MARIO_OFFLOAD_THREADS_MAX)

enum beat_kind { BEAT_IDLE, BEAT_PACKET, BEAT_CONNECTED, BEAT_END };

struct beat {
    _Alignas(64) _Atomic uint64_t what; /* calls so far << 24 | akg_id or hook << 8 | enum beat_kind */
    _Atomic uint64_t conn;              /* whose function runs or ran last: conn_id() */
    _Atomic uint64_t peer;              /* its IPv4 address << 16 | port, both in network order; 0 = none */
};

static inline enum beat_kind beat_kind(uint64_t what)
{
    return (enum beat_kind)(what & 0xff);
}

static inline uint16_t beat_akg(uint64_t what)
{
    return (uint16_t) (what >> 8);
}

/* A connection's id has three parts. */
static inline uint32_t id_worker(uint64_t id)
{
    return (uint32_t) (id >> 56);
}

static inline uint32_t id_slot(uint64_t id)
{
    return (uint32_t) (id >> 32) & 0xffffff;
}

static inline uint32_t id_generation(uint64_t id)
{
    return (uint32_t) id;
}

#endif
