/*
 * activity.h: what each worker runs at this moment, for those who watch: the master, and whoever has to say why
 * the process died. A worker writes its own activity, with plain stores; any thread, a signal handler and another
 * process that maps the same memory may read it.
 */
#ifndef MARIO_EXEC_ACTIVITY_H
#define MARIO_EXEC_ACTIVITY_H

#include <stdatomic.h>
#include <stdint.h>

#include "mario/mario_server.h"

/* The table: workers by their index, then the threads for offloaded functions. */
#define ACTIVITIES_OF_POOL MARIO_WORKERNUM_MAX
#define ACTIVITIES         (MARIO_WORKERNUM_MAX + MARIO_OFFLOAD_THREADS_MAX)

enum activity_kind { ACTIVITY_IDLE, ACTIVITY_PACKET, ACTIVITY_CONNECTED, ACTIVITY_END };

struct activity {
    _Alignas(64) _Atomic uint64_t what; /* calls so far << 24 | akg_id or hook << 8 | enum activity_kind */
    _Atomic uint64_t conn;              /* whose function runs or ran last: conn_id() */
    _Atomic uint64_t peer;              /* its IPv4 address << 16 | port, both in network order; 0 = none */
};

static inline enum activity_kind activity_kind(uint64_t what)
{
    return (enum activity_kind)(what & 0xff);
}

static inline uint16_t activity_akg(uint64_t what)
{
    return (uint16_t) (what >> 8);
}

#endif
