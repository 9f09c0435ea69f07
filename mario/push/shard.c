/*
 * shard.c: a shard's part of push: made, taken down; what it orders of other workers; receipts that are due. As push.h
 * says who may call what.
 */
#include <errno.h>
#include <stdlib.h>
#include <string.h>
#include <sys/mman.h>

#include "mario/base/check.h"
#include "mario/base/clock.h"
#include "mario/base/doorbell.h"
#include "mario/exec/executor.h"
#include "mario/push/push.h"

enum { BACKLOG_LEAST = 256, BACKLOG_MOST = 65536 };

/* What a connection is in that is in something. */
static struct memberships *groups_of(void *shard, uint32_t slot)
{
    const struct shard *s = shard;
    return &s->push->members[slot]->groups;
}

bool push_setup(struct shard *s, struct doorbell *bell)
{
    struct push *p;
    if (posix_memalign((void **) &p, SPSC_LINE, sizeof *p) != 0)
        return false;
    memset(p, 0, sizeof *p);
    s->push = p;
    s->leave = push_leave_all;
    p->bell = bell;
    p->alarm = UINT64_MAX;
    void *presence = mmap(NULL, PRESENCE * sizeof *p->presence, PROT_READ | PROT_WRITE,
                          MAP_PRIVATE | MAP_ANONYMOUS, -1, 0);
    p->presence = presence == MAP_FAILED ? NULL : presence;
    p->backlog.at = malloc(BACKLOG_LEAST * sizeof *p->backlog.at);
    p->backlog.size = BACKLOG_LEAST;
    return p->presence != NULL && p->backlog.at != NULL && rooms_init(&p->rooms, groups_of, s) &&
           users_init(&p->users) && (p->port = port_take()) != NULL;
}

void push_teardown(struct shard *s)
{
    struct push *p = s->push;
    s->push = NULL;
    if (p == NULL)
        return;
    port_put_back(&p->port);
    timers_fini(&p->timers);
    users_fini(&p->users);
    rooms_fini(&p->rooms);
    free(p->backlog.at);
    free(p->route_backlog.at);
    if (p->presence != NULL)
        munmap((void *) p->presence, PRESENCE * sizeof *p->presence);
    if (p->bonds != NULL)
        munmap(p->bonds, (size_t) s->count * sizeof *p->bonds);
    if (p->members != NULL)
        munmap((void *) p->members, (size_t) s->count * sizeof(struct member *));
    free(p);
}

/* ---- Orders of the shard itself ---- */

static bool grow(struct backlog *b)
{
    if (b->count < b->size)
        return true;
    uint32_t size = b->size == 0 ? BACKLOG_LEAST : 2 * b->size;
    struct backlog_entry *bigger = malloc((size_t) size * sizeof *bigger);
    if (bigger == NULL)
        return false;
    for (uint32_t i = 0; i < b->count; i++)
        bigger[i] = b->at[(b->first + i) & (b->size - 1)];
    free(b->at);
    *b = (struct backlog){.at = bigger, .count = b->count, .size = size};
    return true;
}

static bool try_post(struct push *p, uint32_t worker, const struct order *o)
{
    struct order *place = port_reserve(p->port, worker);
    if (place == NULL)
        return false;
    *place = *o;
    port_commit(p->port, worker);
    return true;
}

bool push_post(struct shard *s, uint32_t worker, const struct order *o)
{
    struct push *p = s->push;
    struct backlog *b = worker == PORT_ROUTE ? &p->route_backlog : &p->backlog;
    if (b->count == 0 && try_post(p, worker, o))
        return true;
    if (!grow(b))
        return false;
    b->at[(b->first + b->count++) & (b->size - 1)] = (struct backlog_entry){.worker = worker, .order = *o};
    return true;
}

static void post_backlog(struct push *p, struct backlog *b)
{
    while (b->count > 0 && try_post(p, b->at[b->first].worker, &b->at[b->first].order)) {
        b->first = (b->first + 1) & (b->size - 1);
        b->count--;
    }
}

void push_post_backlog(struct shard *s)
{
    post_backlog(s->push, &s->push->backlog);
    post_backlog(s->push, &s->push->route_backlog);
}

bool push_post_some(struct shard *s, uint32_t worker, const struct order *o)
{
    return s->push->backlog.count < BACKLOG_MOST && push_post(s, worker, o);
}

/* ---- Receipts ---- */

/* Those that have become due, in the order in which they did. */
static void collect(struct push *p)
{
    struct mario_msg *m, *next;
    if (atomic_load_explicit(&p->receipts, memory_order_relaxed) == NULL)
        return;
    for (m = atomic_exchange_explicit(&p->receipts, NULL, memory_order_acquire); m != NULL; m = next) {
        next = m->next;
        m->next = p->due;
        p->due = m;
    }
}

bool push_take_receipt(struct push *p, struct mario_receipt *r)
{
    if (p->due == NULL)
        collect(p);
    struct mario_msg *m = p->due;
    if (m == NULL)
        return false;
    p->due = m->next;
    *r = (struct mario_receipt){.tag = m->tag,
                                .targets = atomic_load_explicit(&m->targets, memory_order_relaxed),
                                .sent = atomic_load_explicit(&m->sent, memory_order_relaxed),
                                .dropped = atomic_load_explicit(&m->dropped, memory_order_relaxed)};
    message_destroy(m);
    return true;
}

/* ---- Memory ---- */

void push_relieve(struct shard *s)
{
    struct push *p = s->push;
    size_t limit = message_limit(), taken = message_memory();
    if (limit == 0)
        return;
    if (!p->relieves && taken > limit / 8 * 7)
        p->relieves = true;
    else if (p->relieves && taken < limit / 4 * 3)
        p->relieves = false;
    if (p->relieves && !delivery_relieve(s)) {
        p->relieves = false; /* the others' turn */
        push_call_relief(s->ind);
    }
}
