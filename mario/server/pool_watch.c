/*
 * pool_watch.c: the watch over the threads for offloaded functions. Runs on the master, with the watch over the
 * workers; no lock, no heap. Costs the threads what they store anyway.
 *
 * An offloaded function may take its time, so warn_ms is not for it: it is reported after replace_ms. But when no
 * thread has become free for warn_ms, and packets wait, their clients do too.
 */
#include "mario/server/pool_watch.h"

#include <stdlib.h>

#include "mario/base/complain.h"
#include "mario/base/id.h"

#undef MARIO_LOG_SUBSYSTEM
#define MARIO_LOG_SUBSYSTEM MARIO_LOG_IN_watch

struct watched_thread {
    uint64_t what;           /* its activity when last looked at */
    uint32_t ms;             /* for how long that has been so, while a function ran */
    bool warned;             /* said, and not yet that it is back */
    struct mario_alarm seen; /* what was said */
    uint64_t at_stop;        /* its activity when a stop asked for progress last */
};

bool pool_watch_setup(struct pool_watch *p, const struct offload_pool *pool)
{
    p->pool = pool;
    p->threads = pool == NULL ? 0 : offload_thread_count(pool);
    p->of = calloc(p->threads + 1, sizeof *p->of);
    return p->of != NULL;
}

void pool_watch_teardown(struct pool_watch *p)
{
    free(p->of);
    *p = (struct pool_watch){.pool = NULL};
}

static uint64_t what_of(const struct pool_watch *p, uint32_t i)
{
    return atomic_load_explicit(&offload_activity(p->pool, i)->what, memory_order_relaxed);
}

static struct mario_alarm alarm_of_thread(const struct pool_watch *p, uint32_t i)
{
    const struct activity *b = offload_activity(p->pool, i);
    struct mario_alarm a = alarm_of(b, p->of[i].what, 0, p->of[i].ms);
    a.worker = id_worker(a.conn);
    a.pool_thread = i + 1;
    return a;
}

/* Whether it runs the same function as when last looked at. */
static bool look_at(struct pool_watch *p, uint32_t i, const struct alarm_target *to, uint32_t passed,
                    uint32_t stuck_ms)
{
    struct watched_thread *t = &p->of[i];
    uint64_t what = what_of(p, i);
    if (what != t->what || activity_kind(what) == ACTIVITY_IDLE) {
        if (t->warned) {
            t->seen.ms = t->ms + passed;
            alarm_tell(to, &t->seen, MARIO_ALARM_BACK);
        }
        t->what = what;
        t->ms = 0;
        t->warned = false;
        return false;
    }
    t->ms += passed;
    if (stuck_ms != 0 && t->ms >= stuck_ms && !t->warned) {
        t->warned = true;
        t->seen = alarm_of_thread(p, i);
        alarm_tell(to, &t->seen, MARIO_ALARM_STUCK);
    }
    return true;
}

/* The one that has been at it for the longest time. */
static uint32_t longest(const struct pool_watch *p)
{
    uint32_t most = 0;
    for (uint32_t i = 1; i < p->threads; i++)
        most = p->of[i].ms > p->of[most].ms ? i : most;
    return most;
}

static void look_at_all(struct pool_watch *p, const struct alarm_target *to, bool full, uint32_t passed,
                        uint32_t full_ms)
{
    if (!full) {
        if (p->warned)
            slog_warn_t(to->qlog, "threads for offloaded functions go on after %u ms", p->full_ms + passed);
        p->full_ms = 0;
        p->warned = false;
        return;
    }
    p->full_ms += passed;
    if (p->full_ms < full_ms || p->warned)
        return;
    p->warned = true;
    struct mario_alarm a = alarm_of_thread(p, longest(p));
    a.ms = p->full_ms;
    a.pool_thread = p->threads;
    alarm_tell(to, &a, MARIO_ALARM_POOL);
}

void pool_watch_look(struct pool_watch *p, const struct alarm_target *to, uint32_t passed, uint32_t stuck_ms,
                     uint32_t full_ms)
{
    bool full = p->threads > 0;
    for (uint32_t i = 0; i < p->threads; i++)
        full = look_at(p, i, to, passed, stuck_ms) && full;
    if (p->threads > 0)
        look_at_all(p, to, full && offload_waiting(p->pool) > 0, passed, full_ms);
}

bool pool_watch_progresses(struct pool_watch *p)
{
    bool any = false;
    for (uint32_t i = 0; i < p->threads; i++) {
        uint64_t what = what_of(p, i);
        any = any || what != p->of[i].at_stop;
        p->of[i].at_stop = what;
    }
    return any;
}

uint32_t pool_watch_name(const struct pool_watch *p)
{
    uint32_t n = 0;
    for (uint32_t i = 0; i < p->threads; i++) {
        uint64_t what = what_of(p, i);
        uint64_t conn = atomic_load_explicit(&offload_activity(p->pool, i)->conn, memory_order_relaxed);
        if (activity_kind(what) == ACTIVITY_IDLE || what != p->of[i].at_stop)
            continue;
        if (activity_kind(what) == ACTIVITY_SHAKE)
            complain("the TLS handshake of worker %u's connection %u did not return in time", id_worker(conn),
                     id_slot(conn));
        else if (conn == 0)
            complain("function 0x%04x, offloaded for a datagram, did not return in time", activity_akg(what));
        else
            complain("function 0x%04x, offloaded by worker %u for its connection %u, did not return in time",
                     activity_akg(what), id_worker(conn), id_slot(conn));
        n++;
    }
    return n;
}
