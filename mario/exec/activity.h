/*
 * activity.h: what each worker runs at this moment, for those who watch: the master, and whoever has to say why
 * the process died. A worker writes its own activity, with plain stores; any thread, a signal handler and another
 * process that maps the same memory may read it.
 */
#ifndef MARIO_EXEC_ACTIVITY_H
#define MARIO_EXEC_ACTIVITY_H

#include <stdatomic.h>
#include <stdbool.h>
#include <stdint.h>
#include <string.h>

#include "mario/base/peer.h"
#include "mario/mario_server.h"

/* The table: workers by their index, then the threads for offloaded functions. */
#define ACTIVITIES_OF_POOL MARIO_WORKERNUM_MAX
#define ACTIVITIES         (MARIO_WORKERNUM_MAX + MARIO_OFFLOAD_THREADS_MAX)

/* CALL: a function that is for no packet: a timer, mario_run(), a receipt ... FRAMING: one that looks for packets in
 * what a connection has sent. SHAKE: no function, but something of ours that takes its time: a step of a handshake of
 * TLS. */
enum activity_kind {
    ACTIVITY_IDLE,
    ACTIVITY_PACKET,
    ACTIVITY_CONNECTED,
    ACTIVITY_END,
    ACTIVITY_CALL,
    ACTIVITY_FRAMING,
    ACTIVITY_SHAKE
};

struct activity {
    _Alignas(64) _Atomic uint64_t what; /* calls so far << 24 | akg_id or hook << 8 | enum activity_kind */
    _Atomic uint64_t conn;              /* whose function runs or ran last: conn_id() */
    _Atomic uint64_t peer;              /* its IPv4 address << 16 | port, both in network order; 0 = none */
    _Atomic uint64_t address6[2]; /* a peer with a port and no IPv4 address: its IPv6 one, network order */
};

static inline enum activity_kind activity_kind(uint64_t what)
{
    return (enum activity_kind)(what & 0xff);
}

/* It is for no packet, and no hook. */
static inline bool activity_is_call(uint64_t what)
{
    return activity_kind(what) == ACTIVITY_CALL || activity_kind(what) == ACTIVITY_FRAMING ||
           activity_kind(what) == ACTIVITY_SHAKE;
}

static inline uint16_t activity_akg(uint64_t what)
{
    return (uint16_t) (what >> 8);
}

/* Its thread: for whom the next functions run. address6 is NULL unless the peer has an IPv6 address. */
static inline void activity_set_peer(struct activity *a, uint32_t cip, uint16_t cport,
                                     const unsigned char *address6)
{
    uint64_t words[2];
    if (address6 != NULL) {
        memcpy(words, address6, sizeof words);
        atomic_store_explicit(&a->address6[0], words[0], memory_order_relaxed);
        atomic_store_explicit(&a->address6[1], words[1], memory_order_relaxed);
    }
    atomic_store_explicit(&a->peer, (uint64_t) cip << 16 | cport, memory_order_relaxed);
}

static inline struct peer activity_peer(const struct activity *a)
{
    uint64_t peer = atomic_load_explicit(&a->peer, memory_order_relaxed), words[2];
    uint32_t cip = (uint32_t) (peer >> 16);
    if (cip != 0 || peer == 0)
        return peer_of_v4(cip, (uint16_t) peer);
    words[0] = atomic_load_explicit(&a->address6[0], memory_order_relaxed);
    words[1] = atomic_load_explicit(&a->address6[1], memory_order_relaxed);
    return peer_of_v6((const unsigned char *) words, (uint16_t) peer);
}

/* Returns its `what`. */
static inline uint64_t activity_copy(struct activity *to, const struct activity *from)
{
    uint64_t what = atomic_load_explicit(&from->what, memory_order_relaxed);
    atomic_store_explicit(&to->what, what, memory_order_relaxed);
    atomic_store_explicit(&to->conn, atomic_load_explicit(&from->conn, memory_order_relaxed),
                          memory_order_relaxed);
    atomic_store_explicit(&to->peer, atomic_load_explicit(&from->peer, memory_order_relaxed),
                          memory_order_relaxed);
    for (int i = 0; i < 2; i++)
        atomic_store_explicit(&to->address6[i],
                              atomic_load_explicit(&from->address6[i], memory_order_relaxed),
                              memory_order_relaxed);
    return what;
}

#endif
