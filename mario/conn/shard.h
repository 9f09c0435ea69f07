/*
 * shard.h: a worker's share of the server: what its connections have in common. It belongs to the worker's
 * thread alone, which is the one that is in the worker's executor; others may read only what says so. worker.c
 * makes it; conn.c and output.c work on it.
 */
#ifndef MARIO_CONN_SHARD_H
#define MARIO_CONN_SHARD_H

#include <stdatomic.h>
#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

#include "mario/base/stats.h"
#include "mario/base/timer_wheel.h"
#include "mario/conn/outbox.h"
#include "mario/exec/executor.h"
#include "mario/frame/ends.h"
#include "mario/frame/frame.h"
#include "mario/mario_akg.h"
#include "mario/mario_server.h"
#include "mario/net/listen.h"
#include "mario/net/udp.h"

#define TICK_MS 100 /* the wheel's step: how exact timeouts are */

enum conn_state { CONN_FREE, CONN_OPEN, CONN_DRAINING, CONN_CLOSING, CONN_LINGER, CONN_STATES };

/* As operators and metrics call it. */
static inline const char *conn_state_name(enum conn_state s)
{
    static const char *const names[CONN_STATES] = {"free", "open", "draining", "closing", "linger"};
    return names[s];
}

/* What all workers serve; constant while the server runs. */
struct service {
    const FUNC_PTR *funcs;                           /* 65,536 entries; NULL = unknown akg_id */
    uint32_t max_pkglen;                             /* c->out_buf_len */
    const struct mario_framing *framing[LISTEN_MAX]; /* by the listener's index */
    frame_ends_fn ends[LISTEN_MAX];                  /* likewise; NULL of an application's */
    bool is_guest[LISTEN_MAX]; /* likewise: it is user code or has a state, and runs where functions run */
    uint64_t marks;            /* a bit for each listener with oob=mark */
    uint32_t push_ring;        /* orders, a power of two */
    enum mario_uring push_uring;
    uint64_t tls; /* a bit for each listener with tls= */
    enum mario_tls_offload tls_offload;
};

/* What was configured and may change while the server runs, in the units of the loop. Never written to: a worker takes
 * another one between two passes. Nothing of it is used by a thread that a function has kept until another one took the
 * shard over: that thread has what it needs in its own variables. */
struct settings {
    uint64_t version;        /* counted up */
    uint32_t timeout;        /* ticks, 0 = none */
    uint32_t write_timeout;  /* ticks, 0 = none */
    uint32_t packet_timeout; /* ticks, 0 = none */
    uint32_t drain_timeout;  /* ticks */
    uint32_t linger;         /* ticks, 0 = not at all */
    size_t output_high;      /* bytes */
    size_t output_max;       /* bytes */
    enum mario_slow
        push_slow; /* what becomes of a message without room, where mario_slow_policy() says nothing else */
    uint32_t push_queue;   /* messages, 0 = any number */
    uint32_t push_bytes;   /* bytes, 0 = any number */
    uint32_t push_groups;  /* that a connection may be in, 0 = any number */
    uint32_t drain_spread; /* seconds, the most that mario_leave_seconds() says */
    uint32_t push_lowat;   /* bytes that the kernel may hold of what is not sent, 0 = its own number */
    uint32_t first_packet; /* ticks from accept to a whole packet, 0 = any number */
    uint32_t limit_packets, limit_bytes; /* a second and connection, 0 = any number */
    bool limit_closes;                   /* who sends more is closed, else not read for a while */
    const struct tls_contexts
        *tls; /* what handshakes begin with; NULL: no listener has tls=. Set i is listener i's */
    uint32_t tls_handshake_timeout; /* ticks from accept */
    uint32_t tls_handshakes;        /* at the same time */
};

struct tls_contexts;
struct conn;
struct conn_proxied;
struct conn_seen;
struct meter;
struct passes;
struct offload_queue;
struct secure;
struct uring;
struct variants;
struct push;
struct shard;
struct tls_session;

/* A connection is not open any more: take back what is on its way to functions on other threads and has not begun. How
 * many of its references that were. */
typedef uint32_t (*shard_take_back_fn)(struct shard *s, struct conn *c);

/* A step of the handshake of c, which is open, with the n bytes that have come, for another thread to take. True: it is
 * on its way. The session is not the connection's until secure_shaken() gives it back, which it does not if that ends
 * meanwhile; c waits for it as for a function. False, and nothing has changed: it is to be taken here. */
typedef bool (*shard_shake_fn)(struct conn *c, struct tls_session *session, const unsigned char *in,
                               size_t n);

/* A connection that has a record of what it is in is not open any more: it is in nothing. */
typedef void (*shard_leave_fn)(struct shard *s, struct conn *c);

/* Connections one behind the other: 1 + slot of the first one, 0 = none; of the last one. */
struct conn_line {
    uint32_t first, last;
};

/* Messages on their way to the shard's connections, see delivery.h. */
struct delivery {
    uint32_t *list;       /* slots of those that have got something and were not flushed; room for all */
    uint32_t due;         /* how many stand there */
    uint32_t first, last; /* 1 + slot of those for whom messages wait: without progress for longest; last */
    struct outboxes all;  /* what all outboxes share */
    struct variants *variants; /* messages in other framings; NULL if all listeners have HEAD+Data */
    struct uring *uring;       /* for sends in batches; NULL: one by one */
    const char *no_uring;      /* why there is none, though it is wanted */
    size_t told_memory;        /* of what they count, that which the process knows of */
    uint64_t told_messages;
    size_t told_bytes;
};

struct shard {
    uint32_t ind; /* of the worker */
    const struct service *service;
    const struct settings *set; /* see worker_publish() */
    uint32_t tick;              /* steps of TICK_MS the loop has lived through */
    struct conn *conns;         /* the pool: `count` of them */
    unsigned char *ext; /* [count] conn_ext(): what only some of them have; NULL if no listener needs it */
    uint32_t ext_size;  /* bytes of each */
    struct conn_seen *seen;       /* [count] what operators are told; NULL unless they can ask */
    struct conn_proxied *proxied; /* [count] what PROXY headers said; NULL without proxy=on */
    struct secure *secure;        /* what it has for TLS, see secure.h; NULL if no listener has tls= */
    _Atomic(struct passes *)
        passes; /* master (w), once -> worker (r): see passes.h; NULL: nobody is counted */
    _Atomic(struct meter *) meters; /* likewise, [count]: see meter.h; NULL: nothing is metered */
    uint32_t count;
    uint32_t fresh;           /* slots from here on were never used */
    uint32_t free_head;       /* 1 + slot of the last one given back, 0 = none */
    struct conn_line closing; /* those that ended in this pass */
    struct conn_line line;    /* those whose packets are to go on in the next one */
    uint32_t linger_first;    /* 1 + slot of the one that lingers for longest, 0 = none */
    uint32_t linger_last;     /* 1 + slot of the last one */
    uint32_t in_use;          /* not free */
    bool ends_at_once;        /* the time of a stop is up: nobody lingers */
    struct wheel wheel;
    struct delivery delivery;
    struct offload_queue *offload; /* where packets go out to offloaded functions; NULL if there are none */
    shard_take_back_fn take_back;  /* likewise */
    shard_shake_fn shake;          /* where handshakes go out; NULL if they are not offloaded */
    struct udp_socket *udp;        /* [udp_count] for datagrams */
    uint32_t udp_count;
    uint32_t udp_jobs;          /* packets of datagrams that are out to offloaded functions */
    struct push *push;          /* what it has for push */
    shard_leave_fn leave;       /* set if some connection has such a record */
    uint32_t walk_at, walk_end; /* slots between the two are still to be walked over by a walk of all */
    struct stats *stats;        /* worker (w) -> any thread (r); the server's, which outlives the worker */
    _Alignas(
        64) _Atomic uint32_t released; /* worker (w) -> master (r): slots given back since start, mod 2^32 */
    _Atomic uint32_t
        in_state[CONN_STATES]; /* worker (w) -> any thread (r): connections, by enum conn_state */
};

#define CHECK_ON_WORKER(s) CHECK(executor_here != NULL && executor_here->shard == (s))

#endif
