/*
 * spawner.c: makes and frees executors for the master. What spawner.h gives to the master runs there and takes no lock;
 * all else runs on the spawner's own thread, which may be held up: then nobody is replaced, but the master goes on.
 *
 * It sleeps until it gets an order; while executors wait to be freed it looks at them every LOOK_MS.
 */
#include "mario/server/spawner.h"

#include <errno.h>
#include <stdlib.h>
#include <time.h>

#include "mario/base/faults.h"
#include "mario/base/thread.h"
#include "mario/log/log.h"

enum { ORDERS = 1024, LOOK_MS = 10, STACK_SIZE = 256 * 1024 };

struct spawn_order {
    struct succession *succession; /* to be begun, or NULL */
    struct executor *dead;         /* to be buried, or NULL */
};

/* ---- The master ---- */

static bool give(struct spawner *p, struct spawn_order o)
{
    struct spawn_order *slot = spsc_reserve(&p->orders);
    if (slot == NULL)
        return false;
    *slot = o;
    spsc_commit(&p->orders);
    sem_post(&p->ready);
    return true;
}

bool spawner_succeed(struct spawner *p, struct succession *s)
{
    atomic_store_explicit(&s->state, SUCCESSION_ORDERED, memory_order_relaxed); /* the ring publishes it */
    if (give(p, (struct spawn_order){.succession = s}))
        return true;
    atomic_store_explicit(&s->state, SUCCESSION_NONE, memory_order_relaxed);
    return false;
}

bool spawner_bury(struct spawner *p, struct executor *t)
{
    return give(p, (struct spawn_order){.dead = t});
}

/* ---- Its thread ---- */

/* Once the state tells what became of it, *s is the master's again, who may give the next order with it. */
static void succeed(struct spawner *p, struct succession *s)
{
    struct worker *w = s->worker;
    s->successor = takeover_begin(w, s->fence);
    atomic_store_explicit(&s->state, s->successor != NULL ? SUCCESSION_STARTED : SUCCESSION_FAILED,
                          memory_order_release);
    doorbell_ring(p->bell, w->shard.ind);
}

/* Whether t is over: freed, and not to be looked at again. */
static bool has_buried(struct spawner *p, struct executor *t)
{
    if (!atomic_load_explicit(&t->joined, memory_order_relaxed)) {
        if (pthread_tryjoin_np(t->thread, NULL) != 0)
            return false;
        atomic_store_explicit(&t->joined, true, memory_order_release);
        doorbell_ring(p->bell, t->pub.ind);
    }
    if (!atomic_load_explicit(&t->reaped, memory_order_acquire) || !log_queue_is_read(t->pub.qlog))
        return false;
    executor_destroy(&t);
    return true;
}

static void look_at_dying(struct spawner *p)
{
    for (struct executor **link = &p->dying; *link != NULL;) {
        struct executor *t = *link, *behind = t->behind; /* t may be freed */
        if (has_buried(p, t))
            *link = behind;
        else
            link = &t->behind;
    }
}

static void take_orders(struct spawner *p)
{
    const struct spawn_order *slot;
    while ((slot = spsc_front(&p->orders)) != NULL) {
        struct spawn_order o = *slot;
        spsc_release(&p->orders);
        if (o.succession != NULL)
            succeed(p, o.succession);
        if (o.dead != NULL) {
            o.dead->behind = p->dying;
            p->dying = o.dead;
        }
    }
}

/* Until there is an order; or, while somebody is to be looked at, for a while. */
static void wait_for_order(struct spawner *p)
{
    if (p->dying == NULL)
        sem_wait(&p->ready);
    else
        nanosleep(&(struct timespec){.tv_nsec = LOOK_MS * 1000000L}, NULL);
}

static void *spawner_main(void *arg)
{
    struct spawner *p = arg;
    faults_thread();
    while (!atomic_load_explicit(&p->stopping, memory_order_acquire)) {
        wait_for_order(p);
        take_orders(p);
        look_at_dying(p);
    }
    return NULL;
}

/* ---- Before and after ---- */

bool spawner_init(struct spawner *p, struct doorbell *bell)
{
    p->bell = bell;
    sem_init(&p->ready, 0, 0);
    return spsc_init(&p->orders, ORDERS, sizeof(struct spawn_order));
}

void spawner_fini(struct spawner *p)
{
    while (p->dying != NULL) {
        struct executor *t = p->dying;
        p->dying = t->behind;
        if (!atomic_load_explicit(&t->joined, memory_order_relaxed))
            pthread_join(t->thread, NULL); /* it found its worker alive, and is about to end */
        executor_destroy(&t);
    }
    spsc_fini(&p->orders);
}

int spawner_start(struct spawner *p)
{
    int err = thread_start(&p->thread, STACK_SIZE, spawner_main, p);
    p->runs = err == 0;
    return err;
}

void spawner_stop(struct spawner *p)
{
    if (!p->runs)
        return;
    atomic_store_explicit(&p->stopping, true, memory_order_release);
    sem_post(&p->ready);
    pthread_join(p->thread, NULL);
    p->runs = false;
}
