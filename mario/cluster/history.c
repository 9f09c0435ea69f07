/*
 * history.c: which groups have a history, and when it has something to do. The cluster's thread, but for the
 * public calls, mario_history() and mario_resume(): they look whether there is one, and give an order.
 *
 * The table of histories is written by the cluster's thread alone and read by all. A table that has become too small is
 * replaced, and kept until the end for those who look into it still.
 */
#include "mario/cluster/history_inside.h"

#include <errno.h>
#include <stdlib.h>
#include <string.h>
#include <sys/random.h>

#include "mario/base/clock.h"

enum {
    TABLE_LEAST = 64,
    HOLD_MS = 2000, /* what was needed by those who come back stays for the next one */
    BYTES_HERE = MARIO_HISTORY_BYTES,
    BYTES_FETCHED = 67108864
};

struct place {
    _Atomic uint64_t group;      /* 0: free, and a search ends here */
    _Atomic(struct history *) h; /* NULL: that group has none any more, and another may have the place */
};

struct table {
    struct table *older;
    uint32_t size, used; /* used: the places that are not free */
    uint32_t count;      /* of them, with a history */
    struct place at[];
};

/* What mario_history() was told before there were rings. */
struct early {
    struct early *next;
    uint64_t group;
    uint32_t n;
};

struct histories histories;

static struct {
    _Atomic int mode;              /* enum history_mode */
    _Atomic bool begun;            /* there are rings, or were */
    _Atomic uint32_t resumes;      /* there were, for their numbers */
    _Atomic uint32_t pending;      /* calls of mario_history() whose order is on its way */
    _Atomic(struct early *) early; /* any thread -> the cluster's, a stack */
    _Atomic(struct table *) table;
} hub;

/* ---- The house ---- */

static int32_t deliver_here(uint64_t group, struct mario_msg *m)
{
    return mario_local_send_group(group, m, 0);
}

static const struct history_house libmario = {.deliver = deliver_here,
                                              .send = mario_send,
                                              .run = mario_run,
                                              .join_later = mario_join_later,
                                              .join_is_off = mario_join_is_off,
                                              .join = mario_local_join,
                                              .sequence = mario_route_sequence,
                                              .post = mario_route_post,
                                              .waiting = mario_conn_waiting,
                                              .now = clock_ns};

void history_count(const char *name, uint64_t n)
{
    if (n > 0)
        (void) mario_stat_add(name, (int64_t) n);
}

bool history_is_engine(void)
{
    return atomic_load_explicit(&hub.mode, memory_order_relaxed) == HISTORY_ENGINE;
}

bool history_may_come(void)
{
    return atomic_load(&hub.pending) > 0;
}

bool history_runs(void)
{
    return atomic_load(&hub.mode) != HISTORY_OFF && atomic_load(&hub.begun);
}

/* ---- The table ---- */

static uint32_t first_of(const struct table *t, uint64_t group)
{
    return (uint32_t) (group * UINT64_C(0x9e3779b97f4a7c15) >> 32) & (t->size - 1);
}

static struct place *place_of(struct table *t, uint64_t group)
{
    for (uint32_t i = first_of(t, group);; i = (i + 1) & (t->size - 1)) {
        uint64_t there = atomic_load_explicit(&t->at[i].group, memory_order_acquire);
        if (there == group || there == 0)
            return &t->at[i];
    }
}

struct history *history_find(uint64_t group)
{
    struct table *t = atomic_load_explicit(&hub.table, memory_order_acquire);
    return t == NULL ? NULL : atomic_load_explicit(&place_of(t, group)->h, memory_order_acquire);
}

bool history_has(uint64_t group)
{
    return history_find(group) != NULL;
}

static struct place *beside(struct table *t, const struct place *p, uint32_t by)
{
    return &t->at[((uint32_t) (p - t->at) + by) & (t->size - 1)];
}

static bool is_left(const struct place *p)
{
    return atomic_load_explicit(&p->group, memory_order_relaxed) != 0 &&
           atomic_load_explicit(&p->h, memory_order_relaxed) == NULL;
}

/* For a group that has none. On its way to a free place it takes one that somebody left. Who looks for the former group
 * there at this moment may take the one for the other: then a mario_resume() is for a group that has no history any
 * more, as if it had come a little earlier. */
static void put(struct table *t, struct history *h)
{
    struct place *end = place_of(t, h->group), *p = &t->at[first_of(t, h->group)];
    while (p != end && !is_left(p))
        p = beside(t, p, 1);
    if (atomic_load_explicit(&p->group, memory_order_relaxed) == 0)
        t->used++;
    t->count++;
    atomic_store_explicit(&p->group, h->group, memory_order_release);
    atomic_store_explicit(&p->h, h, memory_order_release);
}

/* What was left and has nothing behind it is free again: no search goes on there. */
static void leave(struct table *t, uint64_t group)
{
    struct place *p = place_of(t, group);
    atomic_store_explicit(&p->h, NULL, memory_order_release);
    t->count--;
    if (atomic_load_explicit(&beside(t, p, 1)->group, memory_order_relaxed) != 0)
        return;
    for (; is_left(p); p = beside(t, p, t->size - 1)) {
        atomic_store_explicit(&p->group, 0, memory_order_release);
        t->used--;
    }
}

/* One with room for another one. NULL without memory. */
static struct table *table_with_room(void)
{
    struct table *old = atomic_load_explicit(&hub.table, memory_order_relaxed);
    if (old != NULL && old->used < old->size / 2)
        return old;
    uint32_t size = old == NULL ? TABLE_LEAST : old->count < old->size / 4 ? old->size : 2 * old->size;
    struct table *t = calloc(1, sizeof *t + size * sizeof t->at[0]);
    if (t == NULL)
        return NULL;
    t->older = old;
    t->size = size;
    for (uint32_t i = 0; old != NULL && i < old->size; i++) {
        struct history *h = atomic_load_explicit(&old->at[i].h, memory_order_relaxed);
        if (h != NULL)
            put(t, h);
    }
    atomic_store_explicit(&hub.table, t, memory_order_release);
    return t;
}

void history_due(struct history *h)
{
    if (h->is_due)
        return;
    h->is_due = true;
    h->next_due = histories.due;
    histories.due = h;
}

static void set_timed(struct history *h, uint64_t when)
{
    h->when = when;
    if (when < histories.when)
        histories.when = when;
    if (h->is_timed)
        return;
    h->is_timed = true;
    h->next_timed = histories.timed;
    histories.timed = h;
}

static void strike(struct history *h)
{
    struct history **p;
    for (p = &histories.due; h->is_due && *p != h; p = &(*p)->next_due) {
    }
    if (h->is_due)
        *p = h->next_due;
    for (p = &histories.timed; h->is_timed && *p != h; p = &(*p)->next_timed) {
    }
    if (h->is_timed)
        *p = h->next_timed;
}

/* ---- A history begins and ends ---- */

static uint64_t random_epoch(void)
{
    uint64_t epoch = 0;
    if (getrandom(&epoch, sizeof epoch, GRND_NONBLOCK) != sizeof epoch || epoch == 0)
        epoch = histories.house.now() | 1; /* at boot */
    return epoch;
}

static void keep(uint64_t group, uint32_t n)
{
    struct table *t = table_with_room();
    struct history *h = t == NULL ? NULL : calloc(1, sizeof *h);
    if (h == NULL || histories.house.sequence(group, 1) != 0) {
        free(h);
        history_count("cluster_dropped", 1);
        return;
    }
    h->group = group;
    h->n = n;
    h->epoch = history_is_engine() ? 0 : random_epoch();
    put(t, h);
    if (history_is_engine() && histories.engine.is_subscribed(histories.engine.arg, group))
        history_subscribed(group);
}

static void discard(struct history *h)
{
    if (h->is_held && history_is_engine()) /* not at the end: then there is no engine to be told */
        histories.engine.hold(histories.engine.arg, h->group, false);
    strike(h);
    line_free(&h->line);
    line_free(&h->rest);
    line_free(&h->past);
    line_free(&h->ahead);
    mario_msg_free(&h->piece);
    resume_free(h);
    free(h);
}

static void forget(struct history *h)
{
    line_restart(h, 0, 0);
    resume_give_up(h, true);
    (void) histories.house.sequence(h->group, 0);
    leave(atomic_load_explicit(&hub.table, memory_order_relaxed), h->group);
    discard(h);
}

static void begin_or_end(uint64_t group, uint32_t n)
{
    struct history *h = history_find(group);
    if (h == NULL && n > 0) {
        keep(group, n);
    } else if (h != NULL && n == 0) {
        forget(h);
    } else if (h != NULL) {
        h->n = n;
        line_trim(h, false);
    }
    atomic_fetch_sub_explicit(&hub.pending, 1, memory_order_release);
}

static void take_early(void)
{
    if (atomic_load_explicit(&hub.early, memory_order_relaxed) == NULL)
        return;
    struct early *e = atomic_exchange_explicit(&hub.early, NULL, memory_order_acquire), *first = NULL;
    while (e != NULL) { /* it was a stack */
        struct early *next = e->next;
        e->next = first;
        first = e;
        e = next;
    }
    while ((e = first) != NULL) {
        first = e->next;
        begin_or_end(e->group, e->n);
        free(e);
    }
}

/* ---- Beginning and end ---- */

bool history_setup(enum history_mode mode, const struct history_engine *engine, size_t queue,
                   const struct history_house *house)
{
    histories = (struct histories){.house = house == NULL ? libmario : *house,
                                   .most = mode == HISTORY_ENGINE ? BYTES_FETCHED : BYTES_HERE,
                                   .when = UINT64_MAX};
    if (engine != NULL)
        histories.engine = *engine;
    number_open(queue);
    atomic_store(&hub.begun, false);
    atomic_store(&hub.pending, 0);
    resume_open();
    atomic_store_explicit(&hub.mode, (int) mode, memory_order_release);
    return true;
}

void history_begin(void)
{
    atomic_store(&hub.begun, true);
    take_early();
}

void history_end(void)
{
    struct table *t = atomic_load(&hub.table);
    atomic_store(&hub.mode, HISTORY_OFF);
    resume_close();
    for (uint32_t i = 0; t != NULL && i < t->size; i++) {
        struct history *h = atomic_load(&t->at[i].h);
        if (h != NULL)
            discard(h);
    }
    atomic_store(&hub.table, NULL);
    while (t != NULL) {
        struct table *older = t->older;
        free(t);
        t = older;
    }
    resume_free(&histories.orphans);
    fetch_close();
    number_close();
    struct early *e = atomic_exchange(&hub.early, NULL);
    while (e != NULL) {
        struct early *next = e->next;
        free(e);
        e = next;
    }
}

/* ---- The engine comes and goes ---- */

void history_subscribed(uint64_t group)
{
    struct history *h = history_find(group);
    if (h == NULL)
        return;
    if (h->is_based)
        h->has_hole = true; /* something may have come while it was away */
    else
        h->wants_base = true;
    history_due(h);
}

void history_unsubscribed(uint64_t group)
{
    struct history *h = history_find(group);
    if (h == NULL)
        return;
    line_restart(h, 0, 0);
    line_clear(&h->ahead);
    h->is_based = h->has_hole = h->overflown = false;
    history_due(h);
}

void history_down(void)
{
    struct table *t = atomic_load_explicit(&hub.table, memory_order_relaxed);
    number_give();
    for (uint32_t i = 0; t != NULL && i < t->size; i++) {
        struct history *h = atomic_load_explicit(&t->at[i].h, memory_order_relaxed);
        if (h != NULL && h->wanting.first != NULL)
            history_due(h);
    }
}

/* ---- Passes ---- */

/* Who came back has what he missed: that stays for a moment, for others. */
static uint64_t grow_idle(struct history *h, uint64_t now)
{
    if (!history_is_engine() || h == &histories.orphans)
        return UINT64_MAX;
    if (resume_any(h)) {
        h->idle_ns = 0;
        return UINT64_MAX;
    }
    if (!h->is_held && h->line.count == h->undelivered && h->floor == 0)
        return UINT64_MAX;
    if (h->idle_ns == 0)
        h->idle_ns = now;
    if (now < h->idle_ns + HOLD_MS * HISTORY_NS_PER_MS)
        return h->idle_ns + HOLD_MS * HISTORY_NS_PER_MS;
    if (h->is_held)
        histories.engine.hold(histories.engine.arg, h->group, false);
    h->is_held = false;
    h->idle_ns = 0;
    h->floor = 0;
    mario_msg_free(&h->piece);
    line_trim(h, true);
    return UINT64_MAX;
}

static uint64_t earlier(uint64_t a, uint64_t b)
{
    return a < b ? a : b;
}

static void pass_one(struct history *h, uint64_t now)
{
    uint64_t soon = now + HISTORY_NS_PER_MS, when = UINT64_MAX;
    if (!line_deliver(h))
        when = soon;
    line_trim(h, false);
    if (history_is_engine() && h != &histories.orphans && !fetch_pass(h))
        when = earlier(when, soon);
    when = earlier(when, resume_pass(h, now));
    when = earlier(when, grow_idle(h, now));
    if (when == 0)
        history_due(h);
    else if (when != UINT64_MAX)
        set_timed(h, when);
}

/* Those whose time has come are due. */
static void look_at_clock(uint64_t now)
{
    struct history *h = histories.timed, *rest = NULL;
    if (now < histories.when)
        return;
    histories.when = UINT64_MAX;
    while (h != NULL) {
        struct history *next = h->next_timed;
        if (h->when <= now) {
            h->is_timed = false;
            history_due(h);
        } else {
            h->next_timed = rest;
            rest = h;
            histories.when = earlier(histories.when, h->when);
        }
        h = next;
    }
    histories.timed = rest;
}

uint64_t history_pass(void)
{
    take_early();
    resume_collect();
    if (history_is_engine())
        number_give();
    if (histories.due == NULL && histories.timed == NULL)
        return UINT64_MAX;
    uint64_t now = histories.house.now();
    look_at_clock(now);
    struct history *h = histories.due;
    histories.due = NULL;
    while (h != NULL) {
        struct history *next = h->next_due;
        h->is_due = false;
        pass_one(h, now);
        h = next;
    }
    return histories.due != NULL ? now : histories.when;
}

void history_order(const struct mario_route_order *o)
{
    struct mario_msg *m = o->m;
    uint64_t had[2];
    struct mario_msg_info info;
    switch ((enum history_kind) o->kind) {
    case HISTORY_KIND_KEEP:
        begin_or_end(o->key, o->devices);
        break;
    case HISTORY_KIND_RESUME:
        mario_msg_info(m, &info);
        memcpy(had, info.bytes, sizeof had);
        if (!resume_begin(o->key, o->id, o->devices, had))
            history_count("cluster_dropped", 1);
        break;
    case HISTORY_KIND_LOOK: /* in the next pass */
        break;
    }
    mario_msg_free(&m);
}

/* ---- Public ---- */

static int32_t refuse(int err)
{
    errno = err;
    return -1;
}

static int32_t refuse_mode(void)
{
    switch ((enum history_mode) atomic_load_explicit(&hub.mode, memory_order_acquire)) {
    case HISTORY_OFF:
        return refuse(ENOTCONN);
    case HISTORY_NONE:
        return refuse(ENOTSUP);
    case HISTORY_LOCAL:
    case HISTORY_ENGINE:
        break;
    }
    return 0;
}

static int32_t tell_early(uint64_t group, uint32_t n)
{
    struct early *e = malloc(sizeof *e);
    if (e == NULL)
        return refuse(ENOMEM);
    *e = (struct early){.group = group, .n = n, .next = atomic_load(&hub.early)};
    while (!atomic_compare_exchange_weak(&hub.early, &e->next, e)) {
    }
    return 0;
}

int32_t mario_history(uint64_t group, uint32_t n)
{
    if (group == 0 || n > MARIO_HISTORY_MAX)
        return refuse(EINVAL);
    if (refuse_mode() != 0)
        return -1;
    const struct mario_route_order o = {.kind = HISTORY_KIND_KEEP, .key = group, .devices = n};
    atomic_fetch_add(&hub.pending, 1);
    int32_t rc = histories.house.post(&o);
    if (rc != 0 && errno == ESHUTDOWN) {
        if (!atomic_load(&hub.begun))
            rc = tell_early(group, n);
        else if ((rc = histories.house.post(&o)) != 0 && errno == ESHUTDOWN)
            errno = ENOTCONN; /* it has stopped */
    }
    if (rc != 0)
        atomic_fetch_sub(&hub.pending, 1);
    return rc;
}

int32_t mario_resume(CONN *c, uint64_t group, uint64_t epoch, uint64_t seq)
{
    const uint64_t had[2] = {epoch, seq};
    uint64_t id = mario_conn_id(c);
    if (id == 0 || group == 0)
        return refuse(EINVAL);
    if (refuse_mode() != 0)
        return -1;
    /* In this order: one that is not on its way any more is there. */
    if (atomic_load(&hub.pending) == 0 && !history_has(group))
        return refuse(EINVAL);
    struct mario_msg *m = mario_msg(had, sizeof had);
    if (m == NULL)
        return refuse(ENOMEM);
    uint32_t number = atomic_fetch_add_explicit(&hub.resumes, 1, memory_order_relaxed) | 0x80000000u;
    int32_t rc = histories.house.post(&(struct mario_route_order){
        .kind = HISTORY_KIND_RESUME, .key = group, .id = id, .devices = number, .m = m});
    if (rc != 0)
        mario_msg_free(&m);
    else
        (void) histories.house.join_later(c, group, number); /* no room: nor is there for a mario_leave() */
    return rc;
}
