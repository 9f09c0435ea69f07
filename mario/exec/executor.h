/*
 * executor.h: a thread that runs business functions, and what it alone touches: its libevent base, reply, buffers
 * and log queue, what it runs, and the notes that the running function makes. A worker's executor serves a shard;
 * when a function never returns, another executor takes the shard over, and this one keeps only itself.
 *
 * While user code runs the fence (fence.h) is open: the thread then touches nothing but its executor and the public
 * part of the connection whose function runs, for another thread may take the shard over.
 */
#ifndef MARIO_EXEC_EXECUTOR_H
#define MARIO_EXEC_EXECUTOR_H

#include <pthread.h>
#include <stdatomic.h>
#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

#include "mario/base/check.h"
#include "mario/base/pace.h"
#include "mario/base/reason.h"
#include "mario/exec/activity.h"
#include "mario/exec/fence.h"
#include "mario/exec/timing.h"
#include "mario/frame/ends.h"
#include "mario/log/log.h"
#include "mario/mario_conn.h"

#define OUT_BUF_SIZE 65536u /* c->out_buf: at least the largest max_pkglen */

#define EXECUTOR_FRAMES 24 /* of a backtrace */

/* Asking a thread where it is: the master wants to know, its handler takes the request and is done. */
enum trace { TRACE_IDLE, TRACE_WANTED, TRACE_TAKEN, TRACE_DONE };

/* A successor's: it is being made; it serves the shard; it found the worker alive and has ended. */
enum successor { SUCCESSOR_COMES, SUCCESSOR_SERVES, SUCCESSOR_LATE };

struct datagrams;
struct shard;
struct conn_proxied;
struct reply_mark;
struct tls_session;

struct executor {
    WORKER pub;                    /* first, so that c->owner is the executor */
    struct shard *shard;           /* whom it serves */
    CONN *conn;                    /* whose function or hook runs now, or NULL */
    const unsigned char *address6; /* its peer's, if that is an IPv6 one; else NULL */
    struct bufferevent *reply;     /* c->bufev while a function runs; empty between connections */
    struct bufferevent *discard;   /* c->bufev everywhere else; what it gets is dropped */
    struct evbuffer *reply_buf;    /* the reply's output */
    uint32_t outside;              /* writes that were dropped, since they were last reported */
    struct timing timing;          /* what it counts of functions */
    bool datagram;                 /* what runs is for a datagram: `conn` is no connection of the shard */
    struct datagrams *datagrams;   /* of a worker: those at hand; NULL if no listener takes any */
    bool draining;                 /* cleanups of what is in the reply run */
    size_t reply_keep; /* bytes of it written before the function closed; SIZE_MAX if it did not */
    size_t reply_raw;  /* bytes of it in front of those that may have to become a message, see reply_mark() */
    struct reply_mark *marks; /* [mark_room], a mem.h block or NULL */
    uint32_t mark_count, mark_room;
    uint32_t leave_seconds; /* what mario_leave_seconds() says, while a leave function runs; else 0 */
    const struct mario_framing *framing; /* what mario_reply() frames by, while functions run: the framing, */
    frame_ends_fn ends; /* if it is a built-in one what that puts around a payload, else NULL, */
    uint8_t opcode;     /* and of the packet whose function runs, see frame_out */
    CONN *frame_conn;   /* while a framing's next or wrap runs: the connection it is asked about; else NULL */
    unsigned char
        *lent; /* what was carried, while a framing and functions look at it there; a mem.h block or NULL */
    _Alignas(
        8) unsigned char frame_state[MARIO_FRAME_STATE]; /* while they do: the connection's, see conn_ext */
    uint16_t frame_state_size; /* and so many bytes of it are to be put back there; else 0 */
    enum reason end_reason;    /* the running function's connection is to end, and why; or REASON_NONE */
    char *out_buf;             /* c->out_buf of all connections */
    struct activity *activity; /* what it runs (w), see activity.h */
    unsigned char
        *rx;          /* of a worker: the receive buffer, RX_FRONT bytes for what was carried over, RX_SIZE */
    struct pace pace; /* of a worker: the time that those with many packets share in a pass */
    const struct conn_proxied *proxied; /* of a thread of the pool: its job's PROXY header, or NULL */
    const struct tls_session *tls;      /* likewise: what its connection has for TLS */
    struct event *bell_event;           /* of a worker */
    struct event *tick_event;           /* of a worker */
    struct event *alarm_event;          /* of a worker */
    pthread_t thread;
    void *frames
        [EXECUTOR_FRAMES]; /* where it was when it was asked: the handler's while TAKEN, else the master's */
    int frame_count;
    _Atomic int trace; /* enum trace */

    struct executor *predecessor; /* whom this one is to succeed; the master's until the thread starts */
    uint64_t fence_seen;          /* the predecessor's fence when it was found stuck */
    _Atomic int arrival;          /* enum successor: its thread (w) -> master (r) */

    uint32_t orphan; /* 1 + slot of the connection it was stuck with, 0 = none; as `last` */
    struct activity
        last; /* what it ran when it was taken over: successor (w) -> master (r) by `arrival`; and its
                        * own thread, which may find it not yet written */
    _Atomic bool gone;       /* its thread is ending, and not by finishing: thread (w) -> master (r) */
    bool died;               /* the master's: its thread ended in a function */
    bool burying;            /* the master's: the spawner has it, too */
    _Atomic bool joined;     /* its thread has ended: spawner (w) -> master (r) */
    _Atomic bool reaped;     /* and its connection was released: it may be freed: master (w) -> spawner (r) */
    struct executor *next;   /* the master's: among those that were taken over */
    struct executor *behind; /* the spawner's: among those that wait to be freed */
    struct fence fence;
};

/* Whose thread this is; NULL on threads that run no functions. */
extern _Thread_local struct executor *executor_here;

/* Give it queue, base, buffer, reply and discard. False with errno; then teardown. */
__attribute__((warn_unused_result)) bool executor_setup(struct executor *t, uint32_t ind,
                                                        struct activity *activity);
/* A log queue with the thread's name in the log: kind-number. NULL without memory. */
LOG_QUEUE *executor_log_queue(const char *kind, uint32_t number);
/* Once its thread has ended, or none was started: free it with all it has, and null the pointer. */
void executor_destroy(struct executor **t);

/* Who a connection is, for the log; address6 is its peer's IPv6 address, or NULL, id is conn_id(). Its executor's
 * thread. */
void executor_who(const CONN *c, const unsigned char *address6, uint64_t id, struct log_who *who);
/* What log_context is to be on an executor's thread: the connection whose function or hook runs. */
bool executor_log_context(struct log_who *who);

/* Log what libevent has to say, if the calling thread is an executor's. */
void executor_libevent_says(const char *text);

/* Its thread: another has taken the shard over. Ends the thread without touching anything else. */
_Noreturn void executor_vanish(void);

/* Its thread: what was timed until now took so many cycles, too many; executor_note() has said what it was, the last
 * one of so many packets. */
void executor_slow(struct executor *t, uint64_t cycles, uint32_t packets);

/* Its thread: say which function comes next. All executors of a worker share its activity: one that has been
 * taken over may write it once more before it finds out. So an activity alone accuses nobody, see the fence. */
static inline void executor_note(struct executor *t, enum activity_kind kind, uint16_t akg)
{
    uint64_t before = atomic_load_explicit(&t->activity->what, memory_order_relaxed);
    atomic_store_explicit(&t->activity->what, ((before >> 24) + 1) << 24 | (uint64_t) akg << 8 | kind,
                          memory_order_relaxed);
    timing_call(&t->timing, kind == ACTIVITY_CALL ? TIMING_CALL : akg);
}

/* Its thread: user code again of what executor_note() said last, to be timed by itself. */
static inline void executor_note_again(struct executor *t)
{
    uint64_t before = atomic_load_explicit(&t->activity->what, memory_order_relaxed);
    atomic_store_explicit(&t->activity->what, before + (UINT64_C(1) << 24), memory_order_relaxed);
}

/* Its thread: what comes next is the framing, which looks at what stands behind that. */
static inline void executor_note_framing(struct executor *t)
{
    uint64_t before = atomic_load_explicit(&t->activity->what, memory_order_relaxed);
    atomic_store_explicit(&t->activity->what, (((before >> 8) + (1 << 16)) << 8) | ACTIVITY_FRAMING,
                          memory_order_relaxed);
}

/* Its thread, where no functions run: a step of c's handshake begins; id and address6 as for executor_begin(). */
static inline void executor_note_shake(struct executor *t, const CONN *c, uint64_t id,
                                       const unsigned char *address6)
{
    uint64_t before = atomic_load_explicit(&t->activity->what, memory_order_relaxed);
    atomic_store_explicit(&t->activity->conn, id, memory_order_relaxed);
    activity_set_peer(t->activity, c->cip, c->cport, address6);
    atomic_store_explicit(&t->activity->what, ((before >> 24) + 1) << 24 | ACTIVITY_SHAKE,
                          memory_order_relaxed);
}

/* It is over. */
static inline void executor_note_rest(struct executor *t)
{
    uint64_t what = atomic_load_explicit(&t->activity->what, memory_order_relaxed);
    atomic_store_explicit(&t->activity->what, what & ~UINT64_C(0xff), memory_order_relaxed);
}

/* Its thread, or a signal handler on it: what it runs. The worker's activity is its successor's once it was taken
 * over. */
static inline const struct activity *executor_runs(const struct executor *t)
{
    return fence_state(fence_look(&t->fence)) == FENCE_TAKEN ? &t->last : t->activity;
}

/* Its thread: functions of c begin to run; id is c's, address6 its peer's, NULL if it is not an IPv6 one; that stays
 * until executor_end(). Then executor_note() for each function. */
static inline void executor_begin(struct executor *t, CONN *c, uint64_t id, const unsigned char *address6)
{
    CHECK(t->conn == NULL);
    t->conn = c;
    t->address6 = address6;
    t->end_reason = REASON_NONE;
    t->reply_keep = SIZE_MAX;
    atomic_store_explicit(&t->activity->conn, id, memory_order_relaxed);
    activity_set_peer(t->activity, c->cip, c->cport, address6);
    fence_open(&t->fence);
    timing_start(&t->timing);
}

/* Its thread: user code begins to run that is no connection's. Then executor_note(). */
static inline void executor_begin_alone(struct executor *t)
{
    CHECK(t->conn == NULL);
    t->address6 = NULL;
    atomic_store_explicit(&t->activity->conn, 0, memory_order_relaxed);
    activity_set_peer(t->activity, 0, 0, NULL);
    fence_open(&t->fence);
    timing_start(&t->timing);
}

/* Its thread, before executor_end(): a hook, a call without a packet or an offloaded function has answered rc. */
static inline void executor_ran(struct executor *t, uint32_t index, int32_t rc)
{
    if (rc != 0)
        timing_error(&t->timing, index);
    if (t->timing.began != 0 && !fence_is_lost(&t->fence))
        timing_observe(&t->timing, index, clock_cycles_since(t->timing.began));
}

/* Its thread: a packet's function has returned, where each is timed: from where the one before it did. */
static inline void executor_timed(struct executor *t, uint16_t akg)
{
    uint64_t took = clock_cycles_since(t->timing.began);
    if (fence_is_lost(&t->fence))
        return;
    timing_observe(&t->timing, akg, took);
    if (took >= timing_slow_after())
        executor_slow(t, took, 1);
    t->timing.began += took;
}

/* Its thread, between two packets, where they are not: it is `now`, and so many have been handed out. */
static inline void executor_look(struct executor *t, uint64_t now, uint32_t packets)
{
    uint64_t began = t->timing.began;
    if (began == 0)
        return;
    if (now > began && now - began >= timing_slow_after())
        executor_slow(t, now - began, packets - t->timing.window);
    t->timing.began = now;
    t->timing.window = packets;
}

/* Its thread: packets are about to be handed out; they have been, so many. */
static inline void executor_hands_out(struct executor *t)
{
    t->timing.window = 0;
}
static inline void executor_handed(struct executor *t, uint32_t packets)
{
    t->timing.window = packets - t->timing.window;
}

/* Its thread: they have run. Comes back only if the shard is still its own. t->end_reason holds what the
 * functions noted. */
static inline void executor_end(struct executor *t)
{
    if (!fence_close(&t->fence))
        executor_vanish();
    if (t->timing.began != 0) {
        uint64_t took = clock_cycles_since(t->timing.began);
        if (took >= timing_slow_after())
            executor_slow(t, took, t->timing.window);
    }
    executor_note_rest(t);
    t->conn = NULL;
}

#endif
