/*
 * pool.h: the threads that run functions which may block, and handshakes of TLS that would hold a worker up. One pool
 * in a server, shared by its workers.
 *
 * A packet for such a function is a job. Each worker has a queue: a fixed number of jobs, a ring by which they go
 * out and a ring by which they come back. A job belongs to the worker while it is idle; from its push on `jobs`
 * to its push on `done` to the thread that took it; then to the worker again. Each hand-over is a ring's release
 * and acquire, so a job has no locks. Both rings are larger than the jobs there are: they are never full, and
 * nobody waits for room.
 *
 * Who takes: the semaphore `ready` counts the jobs that went out and were not taken, of all queues. A worker
 * pushes, then posts: an atomic addition, and a system call only if a thread sleeps. (Not a doorbell: that has
 * one owner. Here one of many sleepers is to wake.) A thread that got the semaphore has a job for sure, and
 * looks for it under the mutex `taking`, which makes the many one consumer: whoever holds it as the m-th has
 * seen the m posts that let these m in, of which m - 1 jobs are taken. The end of `done` that is pushed to has a
 * mutex of its own, so that the many are one producer. Both are held for some instructions, by threads of the
 * pool alone: a worker takes no mutex and waits for nobody.
 *
 * A packet whose connection has ended before a thread took it does not run. Whether it does is decided by the job's
 * state: the worker sets SENT before it pushes; a thread swaps that for TAKEN, the worker, when the connection
 * ends, for CANCELLED, and one of them succeeds. Who runs it uses the packet and counts in the connection's
 * references; a job that was cancelled has neither any more, and only its place in the ring: the thread that finds
 * it there passes it back. A thread that has taken it asks the socket, too, whether the peer is gone.
 * test/model/job.pml checks this by exhaustion.
 *
 * A step of a handshake is a job like that, of a kind of its own: as many of them as handshakes may be under way, so
 * that these never wait for functions in a line, nor functions for them. While it is out the connection's session is
 * the job's: of one that is cancelled the worker frees it, of one that was taken whoever takes it back.
 *
 * A thread that ends in a function leaves its job and its executor to a successor, which it starts last of all and
 * which gives the job back with REASON_function_died. It is detached by then and touches nothing any more.
 */
#ifndef MARIO_OFFLOAD_POOL_H
#define MARIO_OFFLOAD_POOL_H

#include <pthread.h>
#include <stdbool.h>
#include <stdint.h>

#include "mario/base/doorbell.h"
#include "mario/base/mem.h"
#include "mario/base/spsc.h"
#include "mario/exec/executor.h"
#include "mario/mario_akg.h"
#include "mario/net/udp.h"
#include "mario/tls/session.h"

/* Replies up to this length are copied into the job, which costs no allocation anywhere; longer ones into a block of
 * their own. */
#define JOB_SMALL 1024u

#define SHAKE_WHY 160 /* bytes of what is said of a handshake that failed */

struct offload_queue;

enum job_state { JOB_IDLE, JOB_SENT, JOB_TAKEN, JOB_CANCELLED };

struct job {
    CONN pub;          /* what the function sees; in_buf is a mem.h block, the worker's to make and free */
    _Atomic int state; /* enum job_state: its worker, and who takes it */
    FUNC_PTR f;
    const struct mario_framing *framing; /* as executor.framing, ends, opcode */
    frame_ends_fn ends;
    uint8_t opcode;
    struct offload_queue *queue;
    struct job *next;   /* worker: the idle one behind it; out: the next one of its connection */
    struct job *before; /* worker, out: the one of its connection in front of it, or NULL */
    uint64_t conn;      /* conn_id() */
    const unsigned char
        *address6; /* conn_address6(): it stays while the job is out, as the connection does */
    const struct conn_proxied *proxied; /* proxied_of(): likewise */
    const struct tls_session *tls;      /* likewise; NULL: it has none */
    struct datagram_job *datagram;      /* it is for a datagram, and this its own; NULL: for a connection */
    struct shake_job
        *shake;             /* constant: it is for steps of handshakes, and this its own; NULL: for packets */
    uint16_t akg_id;        /* for those who ask what runs */
    bool concurrent;        /* nothing of the connection waits for it */
    bool skipped;           /* coming back: it was taken and did not run, since its peer is gone */
    enum reason end_reason; /* coming back: the connection is to end, or REASON_NONE */
    uint32_t outside;       /* coming back: writes that were dropped, see executor.h */
    size_t len;             /* coming back: bytes of the reply */
    unsigned char *large;   /* coming back: the reply if it is longer than small, a mem.h block; else NULL */
    unsigned char small[JOB_SMALL];
};

/* What a job has beside, if it is for a datagram. */
struct datagram_job {
    struct udp_from from;
    uint32_t socket; /* of shard.udp */
    uint32_t most;   /* bytes of a reply */
};

/* What a job has beside, if it is for a step of a handshake. What has come is in pub.in_buf, what is to be sent comes
 * back as a reply does. */
struct shake_job {
    struct tls_session *session; /* the job's own while it is out, else NULL */
    size_t n;                    /* bytes that have come */
    size_t used;                 /* coming back: bytes of them that were taken, and so on */
    enum tls_answer answer;
    enum tls_fault fault;
    char why[SHAKE_WHY];
};

/* What the queue knows of a connection, by its slot. */
struct queue_slot {
    struct job *jobs; /* that are out and not cancelled: the last one sent */
    uint32_t before;  /* in line: 1 + slot of the one in front, 0 = it is the first */
};

/* A worker's side. What is marked worker only is in queue.c's hands. */
struct offload_queue {
    struct spsc jobs;          /* worker (w) -> threads of the pool, under pool.taking (r): struct job * */
    struct spsc done;          /* threads of the pool, under giving (w) -> worker (r): struct job * */
    pthread_mutex_t giving;    /* threads of the pool */
    struct offload_pool *pool; /* constant */
    struct doorbell *bell;     /* of the worker: constant */
    unsigned bell_bit;         /* to ring when something is done: constant */
    uint32_t worker;           /* its number: constant */
    uint32_t count;            /* jobs: constant */
    struct job *all;           /* [count] */
    struct datagram_job *datagrams; /* [count]; NULL if no listener takes datagrams */
    struct job *idle;               /* worker only: jobs that may go out */
    struct job *all_shakes;         /* [shakes]; NULL if no handshake is offloaded */
    struct shake_job *shakes;       /* likewise */
    struct job *idle_shakes;        /* worker only: those that may go out */
    struct queue_slot *slots;       /* [connections] worker only */
    uint32_t waiting;      /* worker only: 1 + slot of the first connection in line for one, 0 = none */
    uint32_t waiting_last; /* worker only: 1 + slot of the last one */
    bool granted;          /* worker only: the next job is for the one that was first in line */
};

struct offload_options {
    uint32_t threads;            /* 1 .. MARIO_OFFLOAD_THREADS_MAX */
    uint32_t queue;              /* jobs of each queue, 1 .. MARIO_OFFLOAD_QUEUE_MAX */
    uint32_t workers;            /* queues */
    uint32_t connnum;            /* connections of each worker */
    uint32_t shakes;             /* steps of handshakes of each queue, 0 = none is offloaded */
    bool datagrams;              /* some listener takes them */
    uint32_t max_pkglen;         /* out_buf_len */
    struct activity *activities; /* [threads]: what each runs; they outlive the pool */
};

/* Make the pool with all it needs, but no thread. NULL with errno. The thread that runs the server. */
__attribute__((warn_unused_result)) struct offload_pool *offload_create(const struct offload_options *p);

/* The queue of worker i, which is woken by bit `bit` of its bell. Before threads start. */
struct offload_queue *offload_queue_of(struct offload_pool *o, uint32_t i, struct doorbell *bell,
                                       unsigned bit);

/* Start the threads: 0, or an errno value, and none runs then. */
__attribute__((warn_unused_result)) int offload_start(struct offload_pool *o);
/* End them. No worker runs any more, so no job is out but those that were cancelled. */
void offload_stop(struct offload_pool *o);

/* Free it and null the pointer, which may point to NULL. No thread of it runs. */
void offload_destroy(struct offload_pool **o);

/* Its threads, what each runs, and how many jobs wait for one. Any thread. */
uint32_t offload_thread_count(const struct offload_pool *o);
const struct activity *offload_activity(const struct offload_pool *o, uint32_t i);
uint32_t offload_waiting(const struct offload_pool *o);

/* The queue's worker: send a filled job out. */
void offload_send(struct offload_queue *d, struct job *j);

/* Who has the job: its reply is not wanted, or was sent. */
static inline void job_drop_reply(struct job *j)
{
    mem_free(j->large);
    j->large = NULL;
    j->len = 0;
}

#endif
