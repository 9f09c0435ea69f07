/*
 * pool.c: the threads that run functions which may block. Making, starting and stopping the pool is for the
 * thread that runs the server, offload_send() for a worker; the rest runs on the threads of the pool.
 *
 * The library's part of such a thread cannot be cancelled: a cancellation takes effect in a function, or in
 * the next one. So a thread ends with a job in hand, at a place where all that the pool shares is in order.
 */
#include "mario/offload/pool.h"

#include <errno.h>
#include <semaphore.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include <event2/buffer.h>
#include <event2/event.h>

#include "mario/base/id.h"
#include "mario/base/loop.h"
#include "mario/base/mem.h"
#include "mario/base/probe.h"
#include "mario/base/thread.h"
#include "mario/exec/reply.h"
#include "mario/mario_util.h"
#include "mario/net/stream.h"
#include "mario/process/crash.h"

enum { AGAIN_NS = 10 * 1000 * 1000 }; /* between two attempts to start a successor */

struct thread {
    struct offload_pool *pool;
    struct executor *executor;
    struct tls_thread *tls; /* for handshakes; NULL if none is offloaded */
    struct job *job;        /* in hand; a successor finds that of the thread that died */
};

struct offload_pool {
    sem_t ready;                /* jobs that are out and not taken; and a token for each thread at the end */
    pthread_mutex_t taking;     /* the right to take from a queue's jobs */
    uint32_t next;              /* under taking: the queue to look at first */
    _Atomic bool stopping;      /* server (w) -> threads (r), before the last tokens */
    struct event_base *base;    /* replies need one to be made and freed; no loop runs on it */
    struct offload_options set; /* constant */
    struct offload_queue *queues; /* [set.workers] */
    struct thread *threads;       /* [set.threads] */
    uint32_t started;             /* threads that run */
};

/* ---- Handing over ---- */

void offload_send(struct offload_queue *d, struct job *j)
{
    struct job **slot = spsc_reserve(&d->jobs);
    CHECK(slot != NULL); /* there are fewer jobs than slots */
    *slot = j;
    spsc_commit(&d->jobs);
    sem_post(&d->pool->ready);
}

/* The job that the semaphore has promised: of each queue, one after the other. */
static struct job *take(struct offload_pool *o)
{
    struct job *j = NULL;
    pthread_mutex_lock(&o->taking);
    for (uint32_t tried = 0; tried < o->set.workers && j == NULL; tried++) {
        struct spsc *jobs = &o->queues[o->next].jobs;
        struct job **slot = spsc_front(jobs);
        o->next = o->next + 1 == o->set.workers ? 0 : o->next + 1;
        if (slot != NULL) {
            j = *slot;
            spsc_release(jobs);
        }
    }
    pthread_mutex_unlock(&o->taking);
    CHECK(j != NULL);
    return j;
}

/* The worker may have the job, and more of them, from the commit on; its bell stays until the pool is gone. */
static void give_back(struct job *j)
{
    struct offload_queue *d = j->queue;
    pthread_mutex_lock(&d->giving);
    struct job **slot = spsc_reserve(&d->done);
    CHECK(slot != NULL);
    *slot = j;
    spsc_commit(&d->done);
    pthread_mutex_unlock(&d->giving);
    doorbell_ring(d->bell, d->bell_bit);
}

/* ---- Running ---- */

/* What the function wrote before it closed is copied into the job, for whom the reply is of no use: it is this
 * thread's, and its cleanups run here. */
static void pack_reply(struct executor *t, struct job *j)
{
    struct reply_reader r;
    reply_mark(t);
    size_t wanted = reply_sent_length(t);
    unsigned char *to = j->small;
    bool whole = !mem_take_failure();
    if (whole && wanted > JOB_SMALL)
        whole = (to = j->large = mem_alloc(wanted)) != NULL;
    if (!whole) {
        t->end_reason = REASON_no_memory;
        return;
    }
    reply_read_begin(t, &r);
    while (j->len < wanted)
        j->len += reply_read(&r, to + j->len, wanted - j->len);
}

/* Whether it is ours to run: not if its connection has ended meanwhile. */
static bool claim(struct job *j)
{
    int sent = JOB_SENT;
    return atomic_compare_exchange_strong_explicit(&j->state, &sent, JOB_TAKEN, memory_order_acq_rel,
                                                   memory_order_acquire);
}

static void run(struct thread *p, struct job *j)
{
    struct executor *t = p->executor;
    p->job = j;
    t->pub.ind = j->queue->worker;
    j->pub.owner = &t->pub;
    j->pub.bufev = t->reply;
    j->pub.out_buf = t->out_buf;
    j->pub.out_buf_len = (uint16_t) p->pool->set.max_pkglen;
    t->framing = j->framing;
    t->ends = j->ends;
    t->opcode = j->opcode;
    reply_begin(t);
    mem_take_failure();
    t->proxied = j->proxied;
    t->tls = j->tls;
    t->datagram = j->datagram != NULL;
    executor_begin(t, &j->pub, j->conn, j->address6);
    executor_note(t, ACTIVITY_PACKET, j->akg_id);
    pthread_setcancelstate(PTHREAD_CANCEL_ENABLE, NULL);
    PROBE3(packet__start, &j->pub, j->akg_id, j->pub.in_buf_len);
    int32_t rc = j->f(&j->pub);
    PROBE1(packet__end, rc);
    pthread_setcancelstate(PTHREAD_CANCEL_DISABLE, NULL);
    executor_ran(t, j->akg_id, rc);
    if (rc != 0 && t->end_reason == REASON_NONE)
        t->end_reason = REASON_function_error;
    pack_reply(t, j);
    j->pub.bufev = t->discard;
    executor_note_again(t);
    reply_drain(t); /* may close, too */
    executor_end(t);
    j->end_reason = t->end_reason;
    j->outside = t->outside;
    t->outside = 0;
    p->job = NULL;
    give_back(j);
}

/* What a step of a handshake has to say is copied into the job. False without memory. */
static bool pack_flight(struct tls_thread *tls, struct job *j)
{
    unsigned char *to = tls->out_len <= JOB_SMALL ? j->small : (j->large = mem_try(tls->out_len));
    if (to == NULL)
        return false;
    if (tls->out_len > 0)
        memcpy(to, tls->out, tls->out_len);
    j->len = tls->out_len;
    return true;
}

/* A step of a handshake. Nothing of it is user code, so the executor only says that it goes on. */
static void shake(struct thread *p, struct job *j)
{
    struct shake_job *k = j->shake;
    p->tls->out_len = 0;
    executor_note_shake(p->executor, &j->pub, j->conn, j->address6);
    k->answer = tls_shake(&k->session, p->tls, (unsigned char *) j->pub.in_buf, k->n, &k->used);
    executor_note_rest(p->executor);
    if (k->answer == TLS_BAD) {
        k->fault = p->tls->fault;
        snprintf(k->why, sizeof k->why, "%s", p->tls->why);
    }
    if (!pack_flight(p->tls, j))
        k->answer = TLS_NO_MEMORY;
    p->tls->out_len = 0;
    give_back(j);
}

static void *thread_main(void *arg);

/* This thread ends in its function, or in a cleanup of what that wrote. Its last act is to start its successor, to
 * whom all it has belongs from then on: until one can be started nobody else can do that, so it goes on trying. */
static void on_death(void *arg)
{
    struct thread *p = arg;
    struct executor *t = p->executor;
    struct job *j = p->job;
    pthread_t successor;
    thread_unwound();
    CHECK(j != NULL); /* it ends in user code, nowhere else */
    executor_ran(t, j->akg_id, -1);
    executor_end(t);
    job_drop_reply(j);
    j->end_reason = REASON_function_died;
    j->outside = t->outside;
    t->outside = 0;
    slog_err_t(t->pub.qlog, "the thread that ran function 0x%04x ended in it: replaced", j->akg_id);
    while (!reply_renew(t))
        nsleep(AGAIN_NS);
    executor_here = NULL;
    mem_thread_fini();
    pthread_detach(pthread_self());
    while (thread_start(&successor, 0, thread_main, p) != 0)
        nsleep(AGAIN_NS);
}

static void serve(struct thread *p)
{
    for (;;) {
        while (sem_wait(&p->pool->ready) != 0) { /* EINTR */
        }
        if (atomic_load_explicit(&p->pool->stopping, memory_order_acquire))
            return;
        struct job *j = take(p->pool);
        bool ours = claim(j);
        /* Nobody can take the answer any more. The worker does not look: it does not read who waits for a function. Who
         * has only closed its sending side is answered. */
        j->skipped = ours && stream_has_failed(j->pub.fd);
        if (!ours || j->skipped)
            give_back(j);
        else if (j->shake != NULL)
            shake(p, j);
        else
            run(p, j);
    }
}

static void *thread_main(void *arg)
{
    struct thread *p = arg;
    pthread_setcancelstate(PTHREAD_CANCEL_DISABLE, NULL);
    executor_here = p->executor;
    log_context = executor_log_context;
    crash_thread();
    mem_thread_init();
    if (p->job != NULL) { /* what a predecessor left. The server cannot stop before it has come back */
        struct job *j = p->job;
        p->executor->thread = pthread_self();
        p->job = NULL;
        give_back(j);
    }
    pthread_cleanup_push(on_death, p);
    pthread_cleanup_push(reply_abandon, p->executor);
    serve(p);
    pthread_cleanup_pop(0);
    pthread_cleanup_pop(0);
    executor_here = NULL;
    mem_thread_fini();
    return NULL;
}

/* ---- Before and after the threads ---- */

static struct executor *make_executor(struct offload_pool *o, struct activity *activity)
{
    struct executor *t;
    errno = posix_memalign((void **) &t, SPSC_LINE, sizeof *t);
    if (errno != 0)
        return NULL;
    memset(t, 0, sizeof *t);
    t->activity = activity;
    t->pub.base = o->base;
    t->pub.qlog = executor_log_queue("pool", (uint32_t) (activity - o->set.activities));
    t->out_buf = malloc(OUT_BUF_SIZE);
    bool ok = t->pub.qlog != NULL && t->out_buf != NULL && reply_setup(t) && timing_setup(&t->timing);
    t->pub.base = NULL; /* functions find no loop here */
    if (!ok)
        executor_destroy(&t);
    return t;
}

static uint32_t ring_of(uint32_t jobs)
{
    uint32_t capacity = 2;
    while (capacity < jobs)
        capacity *= 2;
    return capacity;
}

static bool shakes_setup(struct offload_pool *o, struct offload_queue *d)
{
    uint32_t count = o->set.shakes;
    if (count == 0)
        return true;
    if ((d->all_shakes = calloc(count, sizeof *d->all_shakes)) == NULL ||
        (d->shakes = calloc(count, sizeof *d->shakes)) == NULL)
        return false;
    for (uint32_t i = 0; i < count; i++) {
        struct job *j = &d->all_shakes[i];
        j->queue = d;
        j->shake = &d->shakes[i];
        j->next = d->idle_shakes;
        d->idle_shakes = j;
    }
    return true;
}

static bool queue_setup(struct offload_pool *o, struct offload_queue *d, uint32_t worker)
{
    uint32_t capacity = ring_of(o->set.queue + o->set.shakes);
    d->pool = o;
    d->worker = worker;
    pthread_mutex_init(&d->giving, NULL);
    if (!spsc_init(&d->jobs, capacity, sizeof(struct job *)) ||
        !spsc_init(&d->done, capacity, sizeof(struct job *)) ||
        (d->all = calloc(o->set.queue, sizeof *d->all)) == NULL ||
        (d->slots = calloc(o->set.connnum, sizeof *d->slots)) == NULL ||
        (o->set.datagrams && (d->datagrams = calloc(o->set.queue, sizeof *d->datagrams)) == NULL))
        return false;
    for (; d->count < o->set.queue; d->count++) {
        struct job *j = &d->all[d->count];
        j->queue = d;
        j->next = d->idle;
        d->idle = j;
    }
    return shakes_setup(o, d);
}

static void queue_teardown(struct offload_queue *d)
{
    free(d->all);
    free(d->slots);
    free(d->datagrams);
    free(d->all_shakes);
    free(d->shakes);
    spsc_fini(&d->jobs);
    spsc_fini(&d->done);
    pthread_mutex_destroy(&d->giving);
}

struct offload_pool *offload_create(const struct offload_options *set)
{
    struct offload_pool *o = calloc(1, sizeof *o);
    if (o == NULL)
        return NULL;
    o->set = *set;
    sem_init(&o->ready, 0, 0);
    pthread_mutex_init(&o->taking, NULL);
    size_t size = set->workers * sizeof *o->queues;
    bool ok =
        (o->base = loop_base_create()) != NULL && posix_memalign((void **) &o->queues, SPSC_LINE, size) == 0;
    if (ok) {
        memset(o->queues, 0, size);
        ok = (o->threads = calloc(set->threads, sizeof *o->threads)) != NULL;
    }
    for (uint32_t i = 0; ok && i < set->workers; i++)
        ok = queue_setup(o, &o->queues[i], i);
    for (uint32_t i = 0; ok && i < set->threads; i++) {
        o->threads[i].pool = o;
        o->threads[i].executor = make_executor(o, &set->activities[i]);
        ok = o->threads[i].executor != NULL &&
             (set->shakes == 0 || (o->threads[i].tls = tls_thread_make()) != NULL);
    }
    if (!ok)
        offload_destroy(&o);
    return o;
}

struct offload_queue *offload_queue_of(struct offload_pool *o, uint32_t i, struct doorbell *bell,
                                       unsigned bit)
{
    struct offload_queue *d = &o->queues[i];
    d->bell = bell;
    d->bell_bit = bit;
    return d;
}

int offload_start(struct offload_pool *o)
{
    for (; o->started < o->set.threads; o->started++) {
        struct thread *p = &o->threads[o->started];
        int err = thread_start(&p->executor->thread, 0, thread_main, p);
        if (err != 0) {
            offload_stop(o);
            return err;
        }
    }
    return 0;
}

void offload_stop(struct offload_pool *o)
{
    atomic_store_explicit(&o->stopping, true, memory_order_release);
    for (uint32_t i = 0; i < o->started; i++)
        sem_post(&o->ready);
    for (uint32_t i = 0; i < o->started; i++)
        pthread_join(o->threads[i].executor->thread, NULL);
    o->started = 0;
}

uint32_t offload_thread_count(const struct offload_pool *o)
{
    return o->set.threads;
}

const struct activity *offload_activity(const struct offload_pool *o, uint32_t i)
{
    return &o->set.activities[i];
}

uint32_t offload_waiting(const struct offload_pool *o)
{
    int n = 0;
    sem_getvalue((sem_t *) (uintptr_t) &o->ready, &n); /* it only reads */
    return n > 0 ? (uint32_t) n : 0;
}

void offload_destroy(struct offload_pool **op)
{
    struct offload_pool *o = *op;
    int err = errno;
    *op = NULL;
    if (o == NULL)
        return;
    for (uint32_t i = 0; o->threads != NULL && i < o->set.threads; i++) {
        if (o->threads[i].executor != NULL)
            executor_destroy(&o->threads[i].executor);
        tls_thread_free(&o->threads[i].tls);
    }
    for (uint32_t i = 0; o->queues != NULL && i < o->set.workers; i++)
        queue_teardown(&o->queues[i]);
    if (o->base != NULL)
        event_base_free(o->base);
    free(o->threads);
    free(o->queues);
    pthread_mutex_destroy(&o->taking);
    sem_destroy(&o->ready);
    free(o);
    errno = err;
}
