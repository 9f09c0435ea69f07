/*
 * hub.c: push of a whole server: the gate's beginning and end, the message that all get when it stops, receipts that
 * are due, and who helps when messages take too much memory. The gate is opened and closed by the thread that runs the
 * server; what else may be called from where says push.h, and mario_push.h of mario_stop_message().
 */
#include "mario/push/push.h"

#include <errno.h>
#include <stdlib.h>

#include "mario/base/mem.h"
#include "mario/exec/executor.h"
#include "mario/exec/registry.h"
#include "mario/push/route.h"
#include "mario/push/walk.h"

struct push *const *push_workers;

static struct {
    _Atomic bool prepared; /* a stop message is of use */
    _Atomic(struct mario_msg *) stop_message;
    struct mario_msg *farewell; /* the master (w) -> workers that were told to stop (r) */
} hub;

static _Thread_local bool closing_here; /* this thread settles what is left */

/* ---- The last message ---- */

static int32_t no_server(void)
{
    errno = ESHUTDOWN;
    return -1;
}

int32_t mario_stop_message(struct mario_msg *m)
{
    if (!atomic_load(&hub.prepared))
        return no_server();
    if (m != NULL)
        message_give(m, 1);
    struct mario_msg *old = atomic_exchange(&hub.stop_message, m);
    if (old != NULL)
        message_unref(old);
    if (atomic_load(&hub.prepared))
        return 0;
    old = atomic_exchange(&hub.stop_message,
                          NULL); /* the server ended meanwhile: not the next one's last word */
    if (old != NULL)
        message_unref(old);
    return no_server();
}

void push_begin_stop(void)
{
    if (hub.farewell == NULL)
        hub.farewell = atomic_exchange(&hub.stop_message, NULL);
}

struct mario_msg *push_farewell(void)
{
    return hub.farewell;
}

/* ---- Receipts ---- */

static void give_receipt(struct mario_msg *m)
{
    struct mario_receipt r = {.tag = m->tag,
                              .targets = atomic_load_explicit(&m->targets, memory_order_relaxed),
                              .sent = atomic_load_explicit(&m->sent, memory_order_relaxed),
                              .dropped = atomic_load_explicit(&m->dropped, memory_order_relaxed)};
    message_destroy(m);
    if (registry_receipt() != NULL)
        registry_receipt()(&r);
}

/* The last reference of a message that wants one has gone, on whatever thread. A stack: who takes from it takes all. */
static void receipt_is_due(struct mario_msg *m)
{
    if (closing_here) {
        give_receipt(m);
        return;
    }
    if (registry_receipt() == NULL || !port_visit()) {
        message_destroy(m);
        return;
    }
    const struct executor *t = executor_here;
    uint32_t worker = t != NULL && t->shard != NULL ? t->pub.ind : 0;
    struct push *p = push_workers[worker];
    m->next = atomic_load_explicit(&p->receipts, memory_order_relaxed);
    while (!atomic_compare_exchange_weak_explicit(&p->receipts, &m->next, m, memory_order_release,
                                                  memory_order_relaxed)) {
    }
    port_wake(worker, PORT_BIT_LOOK);
    port_unvisit();
}

void push_call_relief(uint32_t worker)
{
    for (uint32_t i = 0; i < port_workers(); i++) {
        if (i != worker)
            port_wake(i, PORT_BIT_LOOK);
    }
}

/* ---- Beginning and end ---- */

void push_prepare(struct push *const *push, size_t memory)
{
    push_workers = push;
    message_setup(memory, receipt_is_due);
    atomic_store(&hub.prepared, true);
}

void push_open(struct doorbell *const *bells, uint32_t workers, uint32_t ring)
{
    port_open(bells, workers, ring);
}

static void end_each(struct each *e, uint64_t seen)
{
    if (!each_end(e, seen))
        return;
    if (e->done != NULL)
        e->done(e->arg, atomic_load_explicit(&e->seen, memory_order_relaxed));
    free(e);
}

/* It came too late. */
static void settle(const struct order *o)
{
    switch ((enum order_kind) o->kind) {
    case ORDER_RUN:
        o->f(NULL, o->arg);
        break;
    case ORDER_EACH:
        end_each(o->each, 0);
        return;
    case ORDER_SEND:
    case ORDER_KICK:
    case ORDER_GROUP:
    case ORDER_ALL:
    case ORDER_USER:
    case ORDER_USER_KICK:
        if (o->m != NULL)
            message_unref(o->m);
        break;
    default:
        return;
    }
    stats_add_shared(STAT_push_gone, 1);
}

static void settle_shard(struct push *p)
{
    struct mario_receipt r;
    while (p->walks != NULL) {
        struct walk *w = p->walks;
        p->walks = w->next;
        for (uint32_t i = 0; i < w->count; i++)
            message_unref(w->messages[i].m);
        if (w->each != NULL)
            end_each(w->each, w->seen);
        mem_free(w);
    }
    for (struct backlog *b = &p->backlog; b->count > 0; b->count--, b->first = (b->first + 1) & (b->size - 1))
        settle(&b->at[b->first].order);
    p->route_backlog.count = 0;
    while (p->late_calls != NULL) {
        struct order o = push_take_call(&p->late_calls);
        settle(&o);
    }
    while (push_take_receipt(p, &r)) {
        if (registry_receipt() != NULL)
            registry_receipt()(&r);
    }
}

void push_close(uint32_t workers)
{
    if (push_workers == NULL)
        return;
    port_close();
    atomic_store(&hub.prepared, false);
    closing_here = true;
    for (uint32_t i = 0; i < workers; i++)
        settle_shard(push_workers[i]);
    port_clear(settle, route_discard);
    route_close();
    struct mario_msg *m = atomic_exchange(&hub.stop_message, NULL);
    if (m != NULL)
        message_unref(m);
    if (hub.farewell != NULL)
        message_unref(hub.farewell);
    hub.farewell = NULL;
    closing_here = false;
    push_workers = NULL;
}
