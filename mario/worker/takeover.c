/*
 * takeover.c: another thread takes a worker's shard over, since its own is stuck in a function or has died. The
 * master finds out and makes the successor; the rest runs on the successor's thread. docs/takeover.md tells it
 * from the outside.
 */
#include "mario/worker/takeover.h"

#include "mario/base/mem.h"
#include "mario/base/probe.h"
#include "mario/base/thread.h"
#include "mario/exec/reply.h"
#include "mario/worker/datagrams.h"

/* What the other one ran is kept for it; the activity is ours, and we run nothing yet. */
static void take_activity(struct executor *old)
{
    uint64_t what = activity_copy(&old->last, old->activity);
    atomic_store_explicit(&old->activity->what, what & ~UINT64_C(0xff), memory_order_relaxed);
}

/* The shard is ours as it was when the other thread went into a function or hook, or fell asleep: every
 * connection in order, but the one whose function it was. What the other one may still touch is that
 * connection's public part and its own executor; its base is not among that, so its events can be taken off. */
static void take_over(struct worker *w, struct executor *old)
{
    struct shard *s = &w->shard;
    struct conn *stuck = old->datagram ? NULL : (struct conn *) (void *) old->conn;
    bool died = fence_state(executor_here->fence_seen) == FENCE_DIED;
    PROBE3(takeover, w->shard.ind, stuck != NULL ? &stuck->pub : NULL, died);
    take_activity(old);
    old->orphan = stuck != NULL ? stuck->pub.ind + 1 : 0;
    event_del(old->bell_event);
    event_del(old->tick_event);
    event_del(old->alarm_event);
    datagrams_take_over(executor_here, old);
    if (stuck != NULL)
        conn_orphan(stuck, died ? REASON_function_died : REASON_function_stuck);
    for (uint32_t i = 0; i < s->fresh; i++) {
        struct conn *c = &s->conns[i];
        if (c != stuck && c->pub.owner == &old->pub) /* else a former executor still has it, or nobody had */
            conn_move(c);
    }
}

/* A successor's thread. */
static void *successor_main(void *arg)
{
    struct executor *t = arg;
    struct worker *w = worker_of(t->shard);
    worker_begin_thread(t);
    pthread_cleanup_push(worker_on_thread_end, w);
    pthread_cleanup_push(reply_abandon, t);
    if (event_add(t->bell_event, NULL) == 0 && event_add(t->tick_event, NULL) == 0 &&
        event_add(t->alarm_event, NULL) == 0 && fence_take(&t->predecessor->fence, t->fence_seen)) {
        take_over(w, t->predecessor);
        atomic_store_explicit(&t->arrival, SUCCESSOR_SERVES, memory_order_release);
        doorbell_ring(w->master_bell, t->pub.ind);
        for (unsigned bit = 0; bit < 64;
             bit++) /* what the other one had answered and not yet done, or held the bell for */
            doorbell_hold(&w->bell, bit);
        doorbell_insist(&w->bell, BELL_WATCH);
        worker_serve(w, t);
    } else {
        mem_thread_fini();
        executor_here = NULL;
        atomic_store_explicit(&t->arrival, SUCCESSOR_LATE, memory_order_release);
        doorbell_ring(w->master_bell, t->pub.ind);
    }
    pthread_cleanup_pop(0);
    pthread_cleanup_pop(0);
    return NULL;
}

/* ---- The master, the spawner ---- */

/* The fence first, then the activity: so the fence belongs to that very call. */
bool takeover_is_needed(const struct worker *w, uint64_t what, uint64_t *fence)
{
    struct executor *t = w->executor;
    *fence = fence_look(&t->fence);
    return fence_state(*fence) == FENCE_DIED ||
           (fence_state(*fence) == FENCE_FUNCTION &&
            atomic_load_explicit(&t->activity->what, memory_order_relaxed) == what);
}

struct executor *takeover_begin(struct worker *w, uint64_t fence)
{
    struct executor *old = w->executor;
    struct executor *t = worker_executor_create(w, old->activity);
    if (t == NULL)
        return NULL;
    t->predecessor = old;
    t->fence_seen = fence;
    if (thread_start(&t->thread, 0, successor_main, t) != 0)
        executor_destroy(&t);
    return t;
}

enum successor takeover_state(struct executor *t)
{
    return (enum successor) atomic_load_explicit(&t->arrival, memory_order_acquire);
}

bool takeover_release(struct worker *w, const struct executor *former)
{
    if (former->orphan == 0)
        return true;
    if (!worker_tell(w, &(struct message){.kind = MESSAGE_RELEASE, .slot = former->orphan - 1}))
        return false;
    worker_wake(w);
    return true;
}
