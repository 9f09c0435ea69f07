/*
 * worker.h: one of N threads, each with its own libevent base, pool and buffers. Setup and teardown are for
 * the thread that makes the server; between start and join only what says so may be called from elsewhere.
 */
#ifndef MARIO_WORKER_WORKER_H
#define MARIO_WORKER_WORKER_H

#include <pthread.h>

#include "mario/base/doorbell.h"
#include "mario/base/question.h"
#include "mario/base/spsc.h"
#include "mario/conn/conn.h"
#include "mario/conn/shard.h"
#include "mario/offload/pool.h"
#include "mario/push/push.h"
#include "mario/worker/inbox.h"
#include "mario/worker/leaving.h"
#include "mario/worker/pulse.h"

/* Bits of the worker's doorbell: one for each ring of its inbox, and others. */
enum worker_bell {
    BELL_INBOX,
    BELL_STOP = BELL_INBOX + SENDERS,
    BELL_DONE,
    BELL_SETTINGS,
    BELL_WATCH,
    BELL_QUESTION,
    BELLS /* behind them stand those of push */
};
_Static_assert(BELLS <= PORT_BIT_LOOK, "each ring of a worker has a bit that tells it from the ports'");

struct worker {
    struct shard shard;         /* first: worker_of() */
    struct executor *executor;  /* who serves the shard; the master's, after start */
    struct spsc inbox[SENDERS]; /* each sender (w) -> worker (r): struct message */
    struct address *addresses;  /* [INBOX_RING] as inbox[SENDER_MASTER]; NULL without IPv6 listeners */
    struct doorbell bell;       /* master, threads of the pool -> worker */
    struct questions questions; /* of the admin thread; made only if there is one */
    _Atomic(const struct settings *) published; /* master (w) -> worker (r): to be taken */
    _Atomic uint64_t taken;                     /* worker (w) -> master (r): version of those it has */
    uint32_t arm_cursor, arm_end;               /* slots between the two have deadlines of former settings */
    _Atomic bool stop_now;                      /* master (w) -> worker (r): end everything at once */
    _Atomic bool finished;                      /* worker (w) -> master (r): the loop is left for good */
    _Atomic int32_t thread;                     /* worker (w) -> any (r): who serves it, as gettid() says */
    _Atomic uint32_t served;                    /* worker (w) -> any (r): how many threads have, so far */
    struct doorbell *master_bell;               /* worker -> master: finished */
    int tick_fd;  /* timerfd of TICK_MS; libevent's timer would cost each epoll_wait a timer in the kernel */
    int alarm_fd; /* timerfd: when push has something to do by itself */
    bool ticking; /* it is armed: somebody is in the wheel, or was at the last tick */
    struct pulse pulse;   /* how busy it is, how late: worker (w) -> any thread (r) */
    uint64_t ticks_due;   /* steps that have passed: sweep after the I/O of this pass */
    bool stopping;        /* the message has come */
    uint32_t stop_cursor; /* slots below it have been seen by the stop */
    struct leaving leaving;
};

/* What workers have in common; what it points to outlives them. */
struct worker_options {
    uint32_t connnum;
    bool prefault;
    bool has_ipv6;       /* some listener is of that family, or peers of that family come by a balancer */
    bool has_proxy;      /* at some listener PROXY headers come */
    bool has_tls;        /* some listener has tls= */
    bool has_guest;      /* some listener's framing is one, see struct service */
    uint16_t state_size; /* the largest that such a framing has */
    bool has_admin;      /* operators may ask about its connections */
    const struct service *service;
    const struct settings *set;
    struct doorbell *master_bell;
    const struct udp_listener *udp; /* [udp_count] of which each worker takes its socket */
    uint32_t udp_count;
};

/* Everything a worker needs, allocated. stats and activity must outlive it. False with errno (ENOMEM, EMFILE ...);
 * then teardown. */
__attribute__((warn_unused_result)) bool worker_setup(struct worker *w, uint32_t ind,
                                                      const struct worker_options *o, struct stats *stats,
                                                      struct activity *activity);
void worker_teardown(struct worker *w);

/* Let it hand packets to this pool. Before its thread starts; the pool outlives that. */
void worker_offload(struct worker *w, struct offload_pool *pool);

/* Let it be asked by somebody who has this bell. Before its thread starts. False without memory. */
__attribute__((warn_unused_result)) bool worker_let_ask(struct worker *w, struct doorbell *back,
                                                        unsigned bit);

/* Start the thread. 0 or an errno value. */
__attribute__((warn_unused_result)) int worker_start(struct worker *w);
/* Once it has finished. */
void worker_join(struct worker *w);

/* Master: put a message, or a socket that was accepted, into the inbox, which worker_wake() then has it look at. False
 * if the ring is full; whether it is not. */
__attribute__((warn_unused_result)) bool worker_tell(struct worker *w, const struct message *m);
__attribute__((warn_unused_result)) bool worker_hand(struct worker *w, const struct accepted_socket *a);
bool worker_has_room(struct worker *w);
void worker_wake(struct worker *w);

/* Master: have it use these from its next pass on; then it rings the master's bell. They stay until it has taken
 * others, or its thread and those of its former executors have ended. */
void worker_publish(struct worker *w, const struct settings *set);
/* Master: the version of those it has taken. */
uint64_t worker_settings(const struct worker *w);

/* Master: its part of a drain has changed: see leaving.h. */
void worker_drain(struct worker *w);

/* Master: ring its bell, only to see that it answers; whether something has been rung that it has not answered yet. */
void worker_call(struct worker *w);
bool worker_is_called(const struct worker *w);

/* Any thread: the number that the kernel gives to the thread that serves it, 0 = none has yet; how often it was
 * replaced; messages of the master that wait for it. */
static inline int32_t worker_thread(const struct worker *w)
{
    return atomic_load_explicit(&w->thread, memory_order_relaxed);
}
static inline uint32_t worker_replaced(const struct worker *w)
{
    uint32_t served = atomic_load_explicit(&w->served, memory_order_relaxed);
    return served > 0 ? served - 1 : 0;
}
static inline uint32_t worker_ring(const struct worker *w)
{
    return spsc_waiting(&w->inbox[SENDER_MASTER]);
}

/* Master: end everything at once, end hooks included. */
void worker_stop_now(struct worker *w);

/* ---- For takeover.c ---- */

/* An executor of w: what its thread alone touches. No thread runs there yet. NULL with errno. */
struct executor *worker_executor_create(struct worker *w, struct activity *activity);
/* A thread of w begins, serves until its work is over, and what runs when it ends otherwise: its cleanup handler. */
void worker_begin_thread(struct executor *t);
void worker_serve(struct worker *w, struct executor *t);
void worker_on_thread_end(void *w);

static inline struct worker *worker_of(struct shard *s)
{
    return (struct worker *) (void *) s;
}

#endif
