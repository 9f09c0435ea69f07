/*
 * publish.c: settings that change while the server runs. Runs on the master, and before there is one on the thread that
 * makes the server; publish_offer() on any.
 */
#include "mario/server/publish.h"

#include <stdlib.h>

#include "mario/tls/context.h"

static void free_all(struct published *n)
{
    while (n != NULL) {
        struct published *older = n->older;
        rules_free(&n->live.master.rules);
        tls_contexts_free(&n->live.worker.tls);
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

bool publish_offer_tls(struct publisher *p, const struct tls_contexts **contexts)
{
    struct published *n = malloc(sizeof *n);
    free_all(atomic_exchange_explicit(&p->retired, NULL, memory_order_acquire));
    if (n == NULL)
        return false;
    const struct tls_contexts *tls = *contexts;
    *contexts = NULL;
    *n = (struct published){.is_tls = true, .live.worker.tls = tls};
    struct published *waits = atomic_exchange_explicit(&p->offered, NULL, memory_order_acq_rel);
    if (waits != NULL && !waits->is_tls) {
        n->live.worker.tls = waits->live.worker.tls;
        waits->live.worker.tls = tls;
        struct published *needless = n;
        n = waits;
        waits = needless;
    }
    atomic_store_explicit(&p->offered, n, memory_order_release);
    free_all(waits);
    return true;
}

/* All but its contexts is as in the version before, which it takes the place of. */
static void follow(struct published *n, struct published *before)
{
    const struct tls_contexts *tls = n->live.worker.tls;
    n->live = before->live;
    n->live.worker.tls = tls;
    before->live.master.rules = NULL; /* the master goes on using them */
}

const struct live *publish_take(struct publisher *p)
{
    struct published *n = atomic_exchange_explicit(&p->offered, NULL, memory_order_acquire);
    if (n == NULL)
        return NULL;
    if (n->is_tls)
        follow(n, p->newest); /* the first one never is */
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
