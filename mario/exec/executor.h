/*
 * executor.h: a thread that runs business functions, and what it alone touches: its libevent base, pen, buffers
 * and log queue, what it runs, and the notes that the running function makes. A worker's seat serves a shard;
 * when a function never returns, another seat takes the shard over, and this one keeps only itself.
 *
 * The fence decides whose the shard is. The thread opens it before user code runs (seat_enter) and closes it
 * behind (seat_leave); in between it touches nothing but the seat and the public part of the connection whose
 * function runs. Only while it is open a successor may take over, with the same word and one compare-and-swap
 * (seat_take): so exactly one of the two goes on. What the thread wrote before seat_enter (release) the
 * successor sees after seat_take (acquire).
 *
 *     LIBRARY <-> FUNCTION -> TAKEN          a thread that ends in a function or while it waits: -> DIED -> TAKEN
 */
#ifndef MARIO_EXEC_EXECUTOR_H
#define MARIO_EXEC_EXECUTOR_H

#include <pthread.h>
#include <stdatomic.h>
#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

#include "mario/base/check.h"
#include "mario/exec/activity.h"
#include "mario/log/log.h"
#include "mario/mario_conn.h"
#include "mario/base/reason.h"

#define OUT_BUF_SIZE 65536u /* c->out_buf: at least the largest max_pkglen */

enum seat_state { SEAT_LIBRARY, SEAT_FUNCTION, SEAT_TAKEN, SEAT_DIED };
#define SEAT_STATES 4u /* the fence is turns * SEAT_STATES + enum seat_state */
#define SEAT_FRAMES 24 /* of a backtrace */

/* Asking a thread where it is: the master wants to know, its handler takes the request and is done. */
enum trace { TRACE_IDLE, TRACE_WANTED, TRACE_TAKEN, TRACE_DONE };

/* A successor's: it is being made; it serves the shard; it found the worker alive and has ended. */
enum successor { SUCCESSOR_COMES, SUCCESSOR_SITS, SUCCESSOR_LATE };

struct shard;

struct seat {
    WORKER pub;               /* first, so that c->owner is the seat */
    struct shard *shard;      /* whom it serves */
    CONN *conn;               /* whose function or hook runs now, or NULL */
    struct bufferevent *pen;  /* c->bufev while a function runs; empty between connections */
    struct bufferevent *sink; /* c->bufev while an end hook runs; what it gets is dropped */
    struct evbuffer *ink;     /* the pen's output */
    size_t ink_keep;          /* bytes of ink written before the function closed; SIZE_MAX if it did not */
    enum reason closing;      /* the running function's connection is to end, and why; or REASON_NONE */
    char *out_buf;            /* c->out_buf of all connections */
    struct beat *beat;        /* what it runs (w), see beat.h */
    uint64_t turns;           /* times the fence was opened, * SEAT_STATES */
    unsigned char
        *rx; /* of a worker: the receive buffer, RX_FRONT bytes for what was carried over, RX_SIZE */
    struct event *bell_event; /* of a worker */
    struct event *tick_event; /* of a worker */
    pthread_t thread;
    void *frames
        [SEAT_FRAMES]; /* where it was when it was asked: the handler's while TAKEN, else the master's */
    int frame_count;
    _Atomic int trace; /* enum trace */

    struct seat *predecessor; /* whom this one is to succeed; the master's until the thread starts */
    uint64_t fence_seen;      /* the predecessor's fence when it was found stuck */
    _Atomic int arrival;      /* enum successor: its thread (w) -> master (r) */

    uint32_t stranded; /* 1 + slot of the connection it was stuck with, 0 = none; as `last` */
    struct beat last; /* what it ran when it was taken over: successor (w) -> master (r) by `arrival`; and its
                        * own thread, which may find it not yet written */
    _Atomic bool gone; /* its thread is ending, and not by finishing: thread (w) -> master (r) */
    bool died;         /* the master's: its thread ended in a function */
    bool joined;       /* the master's: it was taken over, and its thread has ended */
    bool buried;       /* the master's: and its connection was released */
    struct seat *next; /* the master's: among those that were taken over */
    _Alignas(64) _Atomic uint64_t fence; /* this thread, a successor (w) */
};

/* Whose thread this is; NULL on threads that run no functions. */
extern _Thread_local struct seat *seat_here;

/* Give it queue, base, buffer, pen and sink. False with errno; then teardown. */
__attribute__((warn_unused_result)) bool seat_setup(struct seat *t, uint32 ind, struct beat *beat);
/* A log queue with the thread's name in the log: kind-number. NULL without memory. */
LOG_QUEUE *seat_queue(const char *kind, uint32 number);
/* Once its thread has ended, or none was started: free it with all it has, and null the pointer. */
void seat_destroy(struct seat **t);

/* Who a connection is, for the log; id is conn_id(). Its seat's thread. */
void seat_who(const CONN *c, uint64_t id, struct log_who *who);
/* What log_context is to be on a seat's thread: the connection whose function or hook runs. */
bool seat_log_context(struct log_who *who);

/* Its thread: another has taken the shard over. Ends the thread without touching anything else. */
_Noreturn void seat_vanish(void);

/* Its thread: user code runs from here on. */
static inline void seat_enter(struct seat *t)
{
    t->turns += SEAT_STATES;
    atomic_store_explicit(&t->fence, t->turns + SEAT_FUNCTION, memory_order_release);
}

/* Its thread: user code has returned. False when the shard is another's by now. */
__attribute__((warn_unused_result)) static inline bool seat_leave(struct seat *t)
{
    uint64_t open = t->turns + SEAT_FUNCTION;
    return atomic_compare_exchange_strong_explicit(&t->fence, &open, t->turns + SEAT_LIBRARY,
                                                   memory_order_acq_rel, memory_order_acquire);
}

/* Its thread, between two functions of one turn: whether the shard is another's. A hint, not the fence. */
static inline bool seat_is_lost(const struct seat *t)
{
    return atomic_load_explicit(&t->fence, memory_order_relaxed) != t->turns + SEAT_FUNCTION;
}

/* A successor: take the shard over from t, whose fence was `seen` when it was found stuck or dead. True for
 * exactly one of t's thread and all successors. */
__attribute__((warn_unused_result)) static inline bool seat_take(struct seat *t, uint64_t seen)
{
    return atomic_compare_exchange_strong_explicit(&t->fence, &seen, seen - seen % SEAT_STATES + SEAT_TAKEN,
                                                   memory_order_acq_rel, memory_order_acquire);
}

/* Its thread is about to end, in a function or while it waited: a successor may take over. Not if one has. */
static inline void seat_die(struct seat *t)
{
    uint64_t seen = atomic_load_explicit(&t->fence, memory_order_acquire);
    if (seen % SEAT_STATES != SEAT_TAKEN)
        atomic_compare_exchange_strong_explicit(&t->fence, &seen, t->turns + SEAT_DIED, memory_order_acq_rel,
                                                memory_order_acquire);
}

/* Any thread. */
static inline bool seat_has_died(struct seat *t)
{
    return atomic_load_explicit(&t->fence, memory_order_acquire) % SEAT_STATES == SEAT_DIED;
}

/* Any thread: whether a successor has taken over. */
static inline bool seat_is_taken(struct seat *t)
{
    return atomic_load_explicit(&t->fence, memory_order_acquire) % SEAT_STATES == SEAT_TAKEN;
}

/* Any thread: whether user code runs. */
static inline bool seat_is_open(struct seat *t)
{
    return atomic_load_explicit(&t->fence, memory_order_acquire) % SEAT_STATES == SEAT_FUNCTION;
}

/* Its thread: say which function comes next. All seats of a worker share its beat: one that has been taken over
 * may write it once more before it finds out. So a beat alone accuses nobody, see seat_is_open(). */
static inline void seat_beat(struct seat *t, enum beat_kind kind, uint16_t akg)
{
    uint64_t before = atomic_load_explicit(&t->beat->what, memory_order_relaxed);
    atomic_store_explicit(&t->beat->what, ((before >> 24) + 1) << 24 | (uint64_t) akg << 8 | kind,
                          memory_order_relaxed);
}

/* Its thread, or a signal handler on it: what it runs. The worker's beat is its successor's once it was taken over. */
static inline const struct beat *seat_runs(const struct seat *t)
{
    uint64_t fence = atomic_load_explicit(&t->fence, memory_order_acquire);
    return fence % SEAT_STATES == SEAT_TAKEN ? &t->last : t->beat;
}

/* Its thread: a function's turn on c begins; id is c's. Then seat_beat() for each function. */
static inline void seat_begin(struct seat *t, CONN *c, uint64_t id)
{
    ASSERT(t->conn == NULL);
    t->conn = c;
    t->closing = REASON_NONE;
    atomic_store_explicit(&t->beat->conn, id, memory_order_relaxed);
    atomic_store_explicit(&t->beat->peer, (uint64_t) c->cip << 16 | c->cport, memory_order_relaxed);
    seat_enter(t);
}

/* Its thread: the turn is over. Comes back only if the shard is still its own. t->closing holds what the
 * functions noted. */
static inline void seat_end(struct seat *t)
{
    if (!seat_leave(t))
        seat_vanish();
    uint64_t what = atomic_load_explicit(&t->beat->what, memory_order_relaxed);
    atomic_store_explicit(&t->beat->what, what & ~UINT64_C(0xff), memory_order_relaxed);
    t->conn = NULL;
}

#endif
