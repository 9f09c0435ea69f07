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

#include "mario/process/crash.h"
#include "mario/base/loop.h"
#include "mario/mario_util.h"
#include "mario/base/mem.h"
#include "mario/conn/output.h"

enum { AGAIN_NS = 10 * 1000 * 1000 }; /* between two attempts to start a successor */

struct thread {
    struct offload *pool;
    struct seat *seat;
    struct job *job; /* in hand; a successor finds that of the thread that died */
};

struct offload {
    sem_t ready;                /* jobs that are out and not taken; and a token for each thread at the end */
    pthread_mutex_t taking;     /* the right to take from a desk's jobs */
    uint32_t turn;              /* under taking: the desk to look at first */
    _Atomic bool stopping;      /* server (w) -> threads (r), before the last tokens */
    struct event_base *base;    /* pens need one to be made and freed; no loop runs on it */
    struct offload_options set; /* constant */
    struct desk *desks;         /* [set.workers] */
    struct thread *threads;     /* [set.threads] */
    uint32_t started;           /* threads that run */
};

/* ---- Handing over ---- */

void offload_send(struct desk *d, struct job *j)
{
    struct job **slot = spsc_reserve(&d->jobs);
    ASSERT(slot != NULL); /* there are fewer jobs than slots */
    *slot = j;
    spsc_commit(&d->jobs);
    sem_post(&d->pool->ready);
}

/* The job that the semaphore has promised: of each desk in turn. */
static struct job *take(struct offload *o)
{
    struct job *j = NULL;
    pthread_mutex_lock(&o->taking);
    for (uint32_t tried = 0; tried < o->set.workers && j == NULL; tried++) {
        struct spsc *jobs = &o->desks[o->turn].jobs;
        struct job **slot = spsc_front(jobs);
        o->turn = o->turn + 1 == o->set.workers ? 0 : o->turn + 1;
        if (slot != NULL) {
            j = *slot;
            spsc_release(jobs);
        }
    }
    pthread_mutex_unlock(&o->taking);
    ASSERT(j != NULL);
    return j;
}

/* The worker may have the job, and more of them, from the commit on; its bell stays until the pool is gone. */
static void give_back(struct job *j)
{
    struct desk *d = j->desk;
    pthread_mutex_lock(&d->giving);
    struct job **slot = spsc_reserve(&d->done);
    ASSERT(slot != NULL);
    *slot = j;
    spsc_commit(&d->done);
    pthread_mutex_unlock(&d->giving);
    doorbell_ring(d->bell, d->bell_bit);
}

/* ---- Running ---- */

/* What the function wrote before it closed goes into the job; the pen is empty afterwards. */
static void pack_reply(struct seat *t, struct job *j)
{
    size_t len = evbuffer_get_length(t->ink), wanted = len < t->ink_keep ? len : t->ink_keep;
    t->ink_keep = SIZE_MAX;
    bool whole = !mem_take_failure();
    if (whole && wanted <= JOB_SMALL)
        j->len = (uint32_t) evbuffer_copyout(t->ink, j->small, wanted);
    else if (whole && wanted == len)
        whole = evbuffer_add_buffer(j->large, t->ink) == 0;
    else if (whole)
        whole = evbuffer_remove_buffer(t->ink, j->large, wanted) == (int) wanted &&
                evbuffer_get_length(j->large) ==
                    wanted; /* it does not say when it lacks memory for the last ones */
    if (evbuffer_get_length(t->ink) > 0)
        evbuffer_drain(t->ink, evbuffer_get_length(t->ink));
    if (whole)
        return;
    evbuffer_drain(j->large, evbuffer_get_length(j->large));
    j->len = 0;
    j->closing = REASON_no_memory;
}

static void run(struct thread *p, struct job *j)
{
    struct seat *t = p->seat;
    p->job = j;
    t->pub.ind = j->desk->worker;
    j->pub.owner = &t->pub;
    j->pub.bufev = t->pen;
    j->pub.out_buf = t->out_buf;
    j->pub.out_buf_len = (uint16) p->pool->set.max_pkglen;
    mem_take_failure();
    seat_begin(t, &j->pub, j->conn);
    seat_beat(t, BEAT_PACKET, j->akg_id);
    pthread_setcancelstate(PTHREAD_CANCEL_ENABLE, NULL);
    sint32 rc = j->f(&j->pub);
    pthread_setcancelstate(PTHREAD_CANCEL_DISABLE, NULL);
    seat_end(t);
    j->closing = t->closing == REASON_NONE && rc != 0 ? REASON_function_error : t->closing;
    pack_reply(t, j);
    p->job = NULL;
    give_back(j);
}

static void *thread_main(void *arg);

/* This thread ends in its function. Its last act is to start its successor, to whom all it has belongs from then
 * on: until one can be started nobody else can do that, so it goes on trying. */
static void on_death(void *arg)
{
    struct thread *p = arg;
    struct seat *t = p->seat;
    struct job *j = p->job;
    pthread_t successor;
    ASSERT(j != NULL); /* it ends in a function, nowhere else */
    j->closing = REASON_function_died;
    evbuffer_drain(t->ink, evbuffer_get_length(t->ink));
    t->ink_keep = SIZE_MAX;
    seat_end(t);
    slog_err_t(t->pub.qlog, "the thread that ran function 0x%04x ended in it: replaced", j->akg_id);
    seat_here = NULL;
    mem_thread_fini();
    pthread_detach(pthread_self());
    while (pthread_create(&successor, NULL, thread_main, p) != 0)
        nsleep(AGAIN_NS);
}

static void serve(struct thread *p)
{
    for (;;) {
        while (sem_wait(&p->pool->ready) != 0) { /* EINTR */
        }
        if (atomic_load_explicit(&p->pool->stopping, memory_order_acquire))
            return;
        run(p, take(p->pool));
    }
}

static void *thread_main(void *arg)
{
    struct thread *p = arg;
    pthread_setcancelstate(PTHREAD_CANCEL_DISABLE, NULL);
    seat_here = p->seat;
    log_context = seat_log_context;
    crash_thread();
    mem_thread_init();
    if (p->job != NULL) { /* what a predecessor left. The server cannot stop before it has come back */
        struct job *j = p->job;
        p->seat->thread = pthread_self();
        p->job = NULL;
        give_back(j);
    }
    pthread_cleanup_push(on_death, p);
    serve(p);
    pthread_cleanup_pop(0);
    seat_here = NULL;
    mem_thread_fini();
    return NULL;
}

/* ---- Before and after the threads ---- */

static struct seat *make_seat(struct offload *o, struct beat *beat)
{
    struct seat *t;
    errno = posix_memalign((void **) &t, SPSC_LINE, sizeof *t);
    if (errno != 0)
        return NULL;
    memset(t, 0, sizeof *t);
    t->beat = beat;
    t->pub.base = o->base;
    t->pub.qlog = seat_queue("pool", (uint32) (beat - o->set.beats));
    t->out_buf = malloc(OUT_BUF_SIZE);
    bool ok = t->pub.qlog != NULL && t->out_buf != NULL && output_setup(t);
    t->pub.base = NULL; /* functions find no loop here */
    if (!ok)
        seat_destroy(&t);
    return t;
}

static uint32_t ring_of(uint32_t jobs)
{
    uint32_t capacity = 2;
    while (capacity < jobs)
        capacity *= 2;
    return capacity;
}

static bool desk_setup(struct offload *o, struct desk *d, uint32_t worker)
{
    uint32_t capacity = ring_of(o->set.queue);
    d->pool = o;
    d->worker = worker;
    pthread_mutex_init(&d->giving, NULL);
    if (!spsc_init(&d->jobs, capacity, sizeof(struct job *)) ||
        !spsc_init(&d->done, capacity, sizeof(struct job *)) ||
        (d->all = calloc(o->set.queue, sizeof *d->all)) == NULL)
        return false;
    for (; d->count < o->set.queue; d->count++) {
        struct job *j = &d->all[d->count];
        if ((j->large = evbuffer_new()) == NULL)
            return false;
        j->desk = d;
        j->next = d->idle;
        d->idle = j;
    }
    return true;
}

static void desk_teardown(struct desk *d)
{
    for (uint32_t i = 0; i < d->count; i++)
        evbuffer_free(d->all[i].large);
    free(d->all);
    spsc_fini(&d->jobs);
    spsc_fini(&d->done);
    pthread_mutex_destroy(&d->giving);
}

struct offload *offload_create(const struct offload_options *set)
{
    struct offload *o = calloc(1, sizeof *o);
    if (o == NULL)
        return NULL;
    o->set = *set;
    sem_init(&o->ready, 0, 0);
    pthread_mutex_init(&o->taking, NULL);
    size_t size = set->workers * sizeof *o->desks;
    bool ok =
        (o->base = loop_base_create()) != NULL && posix_memalign((void **) &o->desks, SPSC_LINE, size) == 0;
    if (ok) {
        memset(o->desks, 0, size);
        ok = (o->threads = calloc(set->threads, sizeof *o->threads)) != NULL;
    }
    for (uint32_t i = 0; ok && i < set->workers; i++)
        ok = desk_setup(o, &o->desks[i], i);
    for (uint32_t i = 0; ok && i < set->threads; i++) {
        o->threads[i].pool = o;
        o->threads[i].seat = make_seat(o, &set->beats[i]);
        ok = o->threads[i].seat != NULL;
    }
    if (!ok)
        offload_destroy(&o);
    return o;
}

struct desk *offload_desk(struct offload *o, uint32_t i, struct doorbell *bell, unsigned bit)
{
    struct desk *d = &o->desks[i];
    d->bell = bell;
    d->bell_bit = bit;
    return d;
}

int offload_start(struct offload *o)
{
    for (; o->started < o->set.threads; o->started++) {
        struct thread *p = &o->threads[o->started];
        int err = pthread_create(&p->seat->thread, NULL, thread_main, p);
        if (err != 0) {
            offload_stop(o);
            return err;
        }
    }
    return 0;
}

void offload_stop(struct offload *o)
{
    atomic_store_explicit(&o->stopping, true, memory_order_release);
    for (uint32_t i = 0; i < o->started; i++)
        sem_post(&o->ready);
    for (uint32_t i = 0; i < o->started; i++)
        pthread_join(o->threads[i].seat->thread, NULL);
    o->started = 0;
}

uint32_t offload_complain(const struct offload *o)
{
    uint32_t n = 0;
    for (uint32_t i = 0; i < o->set.threads; i++) {
        const struct beat *b = &o->set.beats[i];
        uint64_t what = atomic_load_explicit(&b->what, memory_order_relaxed);
        uint64_t conn = atomic_load_explicit(&b->conn, memory_order_relaxed);
        if (beat_kind(what) == BEAT_IDLE)
            continue;
        fprintf(
            stderr,
            "mario: function 0x%04x, offloaded by worker %u for its connection %u, did not return in time\n",
            beat_akg(what), id_worker(conn), id_slot(conn));
        n++;
    }
    return n;
}

void offload_destroy(struct offload **op)
{
    struct offload *o = *op;
    int err = errno;
    *op = NULL;
    if (o == NULL)
        return;
    for (uint32_t i = 0; o->threads != NULL && i < o->set.threads; i++) {
        if (o->threads[i].seat != NULL)
            seat_destroy(&o->threads[i].seat);
    }
    for (uint32_t i = 0; o->desks != NULL && i < o->set.workers; i++)
        desk_teardown(&o->desks[i]);
    if (o->base != NULL) {
        event_base_loop(o->base, EVLOOP_NONBLOCK); /* bufferevents are freed in a pass of the loop */
        event_base_free(o->base);
    }
    free(o->threads);
    free(o->desks);
    pthread_mutex_destroy(&o->taking);
    sem_destroy(&o->ready);
    free(o);
    errno = err;
}
