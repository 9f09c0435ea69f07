/*
 * worker.h: one thread of the load generator with its own epoll and its own connections.
 *
 * The main thread makes it, starts it, sets the clock (worker_clock) when all are ready, reads `live`, joins
 * it, and only then looks at the rest.
 */
#ifndef LOAD_WORKER_H
#define LOAD_WORKER_H

#include <pthread.h>
#include <stdatomic.h>
#include <stdbool.h>
#include <stdint.h>

#include "conn.h"
#include "nodes.h"
#include "options.h"
#include "test/lib/hist.h"

#define WORKER_IN_SIZE  (192u * 1024u) /* an unfinished reply and what one recv adds */
#define WORKER_OUT_SIZE (128u * 1024u)

/* Set by the main thread, read by all workers. 0 = not yet. Times of mono_ns(). */
struct worker_clock {
    _Atomic uint64_t start;  /* requests may be sent from here on */
    _Atomic uint64_t window; /* what is measured begins */
    _Atomic uint64_t end;    /* what is measured and sending end; may be made earlier at any time */
    _Atomic bool measured;   /* the main thread has looked at the server: connections may be closed */
};

/* The exact book of requests: asked = answered + lost + unsent, and sent = answered + lost, when all is
 * over. */
struct ledger {
    uint64_t asked, sent, answered;
    uint64_t lost;   /* sent, and then no reply, or a wrong one */
    uint64_t unsent; /* asked, but the connection ended before it was wholly sent */
    uint64_t connects;
    uint64_t faults[FAULT_COUNT];
};

/* The worker's state at one end of the window. */
struct snapshot {
    uint64_t at, cpu, answered, connects;
};

enum worker_phase { PHASE_CONNECT, PHASE_READY, PHASE_WARM, PHASE_WINDOW, PHASE_DRAIN, PHASE_DONE };

/* For the status line; the worker writes, anyone reads. */
struct live {
    _Atomic uint64_t answered, connects, faults, open;
    _Atomic int phase; /* enum worker_phase */
};

struct worker {
    /* set before the thread starts, constant then */
    const struct load_options *o;
    struct worker_clock *clock;
    uint32_t index;
    uint32_t count;       /* connections of this worker, the idle ones last */
    uint32_t active;      /* of these, those that work */
    uint32_t window_size; /* connects that may be pending at a time */
    uint32_t since_mask;

    /* the thread's own */
    pthread_t thread;
    int epoll;
    enum worker_phase phase;
    bool sending;
    uint64_t start, begin, end; /* the clock, as last read; begin is the window's */
    uint64_t drain_until, next_sweep;
    uint32_t pending;      /* connections in CONN_CONNECTING */
    uint32_t open;         /* in CONN_OPEN */
    uint32_t gone;         /* working connections that ended for good */
    uint32_t head, queued; /* ring of connections to be started */
    uint32_t handled;      /* events of the last wait */
    uint64_t day;          /* the time of day less that of mono_ns(), at the last wait */
    uint64_t next_start;   /* when the next connect may begin */
    uint32_t *queue;       /* their indices, count of them */
    struct conn *conns;
    uint64_t *since;     /* all connections' rings */
    unsigned char *keep; /* all connections' room for an unfinished reply */
    unsigned char *in, *out;
    uint64_t next_due; /* open loop: the number of the next request that falls due */
    uint32_t turn_to;  /* open loop: whose turn it is */
    uint64_t not_sent; /* open loop: requests that fell due and found no room until the end */
    int first_errno;   /* of the first connect that failed */

    struct live live;

    /* results, for the main thread after worker_join() */
    struct ledger ledger;
    struct node_book nodes[NET_TARGETS_MAX];
    struct snapshot at_begin, at_end;
    struct hist hist; /* times of requests that began in the window */
};

/* Make one for connections index, index + threads, ... Main thread. NULL without memory or descriptors,
 * errno is set. */
struct worker *worker_create(const struct load_options *o, struct worker_clock *clock, uint32_t index);

/* Start its thread. 0, or an errno. */
int worker_start(struct worker *w);

/* Wait until the thread has ended. */
void worker_join(struct worker *w);

/* Free it and null the pointer; its thread has ended or was never started. */
void worker_destroy(struct worker **w);

/* The worker's thread: put c, which has no socket, at the end of those to be connected. */
void worker_queue(struct worker *w, struct conn *c);

/* The worker's thread: requests made and not yet answered, lost or given up. */
static inline uint64_t worker_outstanding(const struct worker *w)
{
    return w->ledger.asked - w->ledger.answered - w->ledger.lost - w->ledger.unsent;
}

#endif
