/*
 * publish.c: settings that change while the server runs. Runs on the master, and before there is one on the thread that
 * makes the server; publish_offer() on any.
 */
#include "mario/server/publish.h"

#include <stdlib.h>

static void free_all(struct published *n)
{
    while (n != NULL) {
        struct published *older = n->older;
        rules_free(&n->live.master.rules);
        free(n);
        n = older;
    }
}

bool publish_offer(struct publisher *p, const struct live *live)
{
    struct published *n = malloc(sizeof *n);
    free_all(atomic_exchange_explicit(&p->retired, NULL, memory_order_acquire));
    if (n == NULL)
        return false;
    *n = (struct published){.live = *live};
    free_all(atomic_exchange_explicit(&p->offered, n, memory_order_acq_rel));
    return true;
}

const struct live *publish_take(struct publisher *p)
{
    struct published *n = atomic_exchange_explicit(&p->offered, NULL, memory_order_acquire);
    if (n == NULL)
        return NULL;
    n->older = p->newest;
    n->live.worker.version = p->newest == NULL ? 1 : p->newest->live.worker.version + 1;
    p->newest = n;
    return &n->live;
}

void publish_tell(struct publisher *p)
{
    for (uint32_t i = 0; i < p->workernum; i++)
        worker_publish(&p->workers[i], &p->newest->live.worker);
}

/* The versions behind `last`, to be freed by others. */
static void give_back(struct publisher *p, struct published *last)
{
    while (last->older != NULL) {
        struct published *old = last->older;
        last->older = old->older;
        old->older = atomic_load_explicit(&p->retired, memory_order_relaxed);
        while (!atomic_compare_exchange_weak_explicit(&p->retired, &old->older, old, memory_order_release,
                                                      memory_order_relaxed)) {
        }
    }
}

bool publish_settled(struct publisher *p)
{
    struct published *oldest = p->newest;
    uint64_t least = p->newest->live.worker.version;
    for (uint32_t i = 0; i < p->workernum; i++) {
        uint64_t taken = worker_settings(&p->workers[i]);
        least = taken < least ? taken : least;
    }
    while (oldest->live.worker.version > least)
        oldest = oldest->older;
    give_back(p, oldest);
    return p->newest->older == NULL;
}

void publish_teardown(struct publisher *p)
{
    free_all(p->newest);
    free_all(atomic_exchange_explicit(&p->offered, NULL, memory_order_acquire));
    free_all(atomic_exchange_explicit(&p->retired, NULL, memory_order_acquire));
    p->newest = NULL;
}
