/*
 * watchdog.c: the watch over the workers. Runs on the master, some forty times a second while there are
 * connections; the handler of THREAD_WHERE on the thread that was asked. Costs the workers what executor.h stores
 * anyway.
 *
 * On the master nothing is done that another thread could hold up: no lock, no heap, no dladdr(). Making and freeing
 * executors, which need all that, is the spawner's (spawner.h).
 *
 * Time is counted by looking: an activity that has not changed between two looks has lasted that long. So a worker
 * reads no clock, and a machine that was asleep, or a master that was, accuses nobody.
 */
#include "mario/server/watchdog.h"

#include <errno.h>
#include <pthread.h>
#include <signal.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <time.h>

#include "mario/base/clock.h"
#include "mario/base/complain.h"
#include "mario/base/symbol.h"
#include "mario/base/thread.h"
#include "mario/exec/registry.h"
#include "mario/worker/takeover.h"

#undef MARIO_LOG_SUBSYSTEM
#define MARIO_LOG_SUBSYSTEM MARIO_LOG_IN_watch

enum {
    LOOKS_TO_WARN = 4, /* looks within warn_ms */
    PERIOD_MIN = 5,
    PERIOD_MAX = 100,
    LATE_MAX = 4,        /* periods that one look counts at most */
    TRACE_WAIT_US = 200, /* how long the master waits for an answer, TRACE_WAITS times */
    TRACE_WAITS = 10,
    RETRY_MS = 1000,
    MINUTE_MS = 60000,
    CALL_MS = 1000,    /* between two rings of a worker's bell, only to see that it is answered */
    SILENT_WARNS = 10, /* times warn_ms, and at least CALL_MS, until it is said that it is not */
    END_WAITS = 2000   /* ms that threads on their way and former ones have to end, once the workers have */
};

/* ---- Asking a thread where it is ---- */

/* What it interrupts may be about to look at errno. */
static void on_trace(int sig)
{
    struct executor *t = executor_here;
    int wanted = TRACE_WANTED, saved = errno;
    (void) sig;
    if (t == NULL || !atomic_compare_exchange_strong_explicit(&t->trace, &wanted, TRACE_TAKEN,
                                                              memory_order_acquire, memory_order_relaxed))
        return; /* a signal that came late: nobody wants to know any more */
    t->frame_count = symbol_frames(t->frames, EXECUTOR_FRAMES);
    atomic_store_explicit(&t->trace, TRACE_DONE, memory_order_release);
    errno = saved;
}

/* Take the signal, unless the application has. */
static bool traces_setup(void)
{
    struct sigaction sa;
    if (sigaction(THREAD_WHERE, NULL, &sa) != 0)
        return false;
    if (sa.sa_handler == on_trace)
        return true;
    if (sa.sa_handler != SIG_DFL && sa.sa_handler != SIG_IGN)
        return false;
    memset(&sa, 0, sizeof sa);
    sa.sa_handler = on_trace;
    sa.sa_flags = SA_RESTART;
    sigemptyset(&sa.sa_mask);
    return sigaction(THREAD_WHERE, &sa, NULL) == 0;
}

static bool has_answered(struct executor *t)
{
    return atomic_load_explicit(&t->trace, memory_order_acquire) == TRACE_DONE;
}

static void ask(struct executor *t)
{
    if (atomic_load_explicit(&t->trace, memory_order_acquire) == TRACE_TAKEN)
        return; /* it is still at the last one */
    atomic_store_explicit(&t->trace, TRACE_WANTED, memory_order_release);
    if (pthread_kill(t->thread, THREAD_WHERE) != 0)
        return;
    for (int i = 0; i < TRACE_WAITS && !has_answered(t); i++)
        nanosleep(&(struct timespec){.tv_nsec = TRACE_WAIT_US * 1000}, NULL);
}

/* Whether the frames can be read; if not, nobody writes them from here on, or they are not looked at. */
static bool take_answer(struct executor *t)
{
    int wanted = TRACE_WANTED;
    if (atomic_compare_exchange_strong_explicit(&t->trace, &wanted, TRACE_IDLE, memory_order_acquire,
                                                memory_order_acquire))
        return false;
    return wanted == TRACE_DONE;
}

/* The frames as text, innermost first, without the handler and what the kernel put below it. */
static void write_trace(struct executor *t, char *text, size_t size)
{
    enum { HANDLER_FRAMES = 2 };
    static const char between[] = " < ";
    size_t used = 0;
    text[0] = '\0';
    if (!take_answer(t))
        return;
    for (int i = HANDLER_FRAMES; i < t->frame_count && used + sizeof between < size; i++) {
        if (i > HANDLER_FRAMES) {
            memcpy(text + used, between, sizeof between);
            used += sizeof between - 1;
        }
        used += symbol_name((uintptr_t) t->frames[i], text + used, size - used);
    }
}

/* ---- Replacing ---- */

/* Whether one more may be replaced now: of as many as may be in a minute, the first one is longer ago. */
static bool may_replace(const struct watchdog *w, uint64_t now)
{
    uint32_t most = w->limits.replace_max, first = w->replaced_next + MARIO_REPLACE_MAX - most;
    uint64_t at = most == 0 ? now : w->replaced_ms[first % MARIO_REPLACE_MAX];
    return at == 0 || now - at >= MINUTE_MS;
}

static void note_replacement(struct watchdog *w, uint64_t now)
{
    w->replaced_ms[w->replaced_next] = now;
    w->replaced_next = (w->replaced_next + 1) % MARIO_REPLACE_MAX;
}

static void say_limited(struct watchdog *w, uint32_t i, uint64_t now)
{
    struct watched *o = &w->of[i];
    o->try_ms = now + RETRY_MS;
    if (o->limited)
        return;
    struct mario_alarm a = alarm_of(w->workers[i].executor->activity, o->what, i, o->ms);
    o->limited = true;
    alarm_tell(&w->alarms, &a, MARIO_ALARM_LIMIT);
}

static enum succession_state succession_of(const struct watchdog *w, uint32_t i)
{
    return (enum succession_state) atomic_load_explicit(&w->of[i].succession.state, memory_order_acquire);
}

static void replace(struct watchdog *w, uint32_t i, uint64_t now)
{
    struct watched *o = &w->of[i];
    if (succession_of(w, i) != SUCCESSION_NONE || now < o->try_ms)
        return;
    o->succession.worker = &w->workers[i];
    if (!takeover_is_needed(&w->workers[i], o->what, &o->succession.fence))
        return;
    if (may_replace(w, now) && spawner_succeed(&w->spawner, &o->succession))
        note_replacement(w, now);
    else
        say_limited(w, i, now);
}

static void succession_is_over(struct watchdog *w, uint32_t i)
{
    atomic_store_explicit(&w->of[i].succession.state, SUCCESSION_NONE, memory_order_relaxed);
}

/* It serves worker i: who did before is kept until its thread has ended. */
static void welcome(struct watchdog *w, uint32_t i)
{
    struct watched *o = &w->of[i];
    struct executor *old = w->workers[i].executor;
    w->workers[i].executor = o->succession.successor;
    succession_is_over(w, i);
    old->next = w->former;
    w->former = old;
    struct mario_alarm a =
        alarm_of(&old->last, atomic_load_explicit(&old->last.what, memory_order_relaxed), i, o->ms);
    if (!old->died)
        alarm_tell(&w->alarms, &a, MARIO_ALARM_REPLACED);
    o->warned = o->limited = o->asked = false;
    o->what = 0;
    o->ms = 0;
}

/* It found the worker alive: its thread ends. Not if too many wait for that: then later. */
static void dismiss(struct watchdog *w, uint32_t i)
{
    struct executor *late = w->of[i].succession.successor;
    atomic_store_explicit(&late->reaped, true, memory_order_relaxed); /* nothing is to be released */
    if (spawner_bury(&w->spawner, late))
        succession_is_over(w, i);
}

/* What has become of the order to replace worker i. */
static void settle(struct watchdog *w, uint32_t i, uint64_t now)
{
    switch (succession_of(w, i)) {
    case SUCCESSION_NONE:
    case SUCCESSION_ORDERED:
        return;
    case SUCCESSION_FAILED:
        succession_is_over(w, i);
        say_limited(w, i, now);
        return;
    case SUCCESSION_STARTED:
        break;
    }
    switch (takeover_state(w->of[i].succession.successor)) {
    case SUCCESSOR_COMES:
        return;
    case SUCCESSOR_LATE:
        dismiss(w, i);
        return;
    case SUCCESSOR_SERVES:
        welcome(w, i);
        return;
    }
}

/* A thread that was taken over: if it has ended by now, destructors of its own data included, which may take their
 * time, its connection is freed. Whether that is done: then the spawner frees it too. */
static bool reap(struct watchdog *w, struct executor *t)
{
    if (!t->burying)
        t->burying = atomic_load_explicit(&t->gone, memory_order_acquire) && spawner_bury(&w->spawner, t);
    if (!atomic_load_explicit(&t->joined, memory_order_acquire) ||
        !takeover_release(&w->workers[t->pub.ind], t))
        return false;
    if (!t->died)
        stats_add(w->alarms.stats, STAT_watch_buried, 1);
    return true;
}

/* All of these. True if no thread is left. */
static bool reap_former(struct watchdog *w)
{
    for (struct executor **link = &w->former; *link != NULL;) {
        struct executor *t = *link, *next = t->next;
        if (reap(w, t)) {
            *link = next;
            atomic_store_explicit(&t->reaped, true, memory_order_release); /* not ours any more */
        } else {
            link = &t->next;
        }
    }
    return w->former == NULL;
}

/* ---- Looking ---- */

static void look_at_running(struct watchdog *w, uint32_t i, uint64_t now)
{
    struct watched *o = &w->of[i];
    struct executor *t = w->workers[i].executor;
    char trace[WHERE_TEXT];
    if (w->limits.warn_ms == 0)
        return;
    if (o->ms >= w->limits.warn_ms && !o->warned) {
        if (w->traces && !o->asked)
            ask(t);
        bool wait =
            w->traces && !has_answered(t) && !o->asked; /* until the next look: it may not have had a core */
        o->asked = true;
        if (wait)
            return;
        struct mario_alarm a = alarm_of(t->activity, o->what, i, o->ms);
        write_trace(t, trace, sizeof trace);
        a.backtrace = trace;
        o->warned = true;
        where_set(&w->where[i], o->what, trace);
        alarm_tell(&w->alarms, &a, MARIO_ALARM_STUCK);
    }
    if (w->limits.replace_ms != 0 && o->ms >= w->limits.replace_ms)
        replace(w, i, now);
}

static void look_at_death(struct watchdog *w, uint32_t i, uint64_t now)
{
    struct watched *o = &w->of[i];
    struct executor *t = w->workers[i].executor;
    if (!t->died) {
        uint64_t what = atomic_load_explicit(&t->activity->what, memory_order_relaxed);
        struct mario_alarm a = activity_kind(what) == ACTIVITY_IDLE
                                   ? (struct mario_alarm){.worker = i, .backtrace = ""}
                                   : alarm_of(t->activity, what, i, o->ms);
        t->died = o->warned = true;
        o->what = what;
        alarm_tell(&w->alarms, &a, MARIO_ALARM_DIED);
    }
    replace(w, i, now);
}

static void say_silent(const struct watchdog *w, uint32_t i, const char *trace)
{
    const struct watched *o = &w->of[i];
    char who[128];
    if (activity_kind(o->what) == ACTIVITY_SHAKE) {
        struct mario_alarm a = alarm_of(w->workers[i].executor->activity, o->what, i, o->silent_ms);
        slog_err_t(w->alarms.qlog, "worker %u: it has not come round for %u ms: %s takes its time; at %s", i,
                   o->silent_ms, alarm_describe(&a, who, sizeof who), trace);
        return;
    }
    slog_err_t(w->alarms.qlog,
               "worker %u: it has not come round for %u ms, and it is no function: does an event of the "
               "application on its base not return? At %s",
               i, o->silent_ms, trace);
}

/* No function runs that could be stuck, but what the application has put on the worker's loop itself, an event or a
 * timer, may not return either. That nobody can take over: what libevent is in the middle of is not in order. So it is
 * only said. A worker that comes round answers its bell, which is rung now and then for that. */
static void look_at_bell(struct watchdog *w, uint32_t i, uint32_t passed)
{
    struct watched *o = &w->of[i];
    struct executor *t = w->workers[i].executor;
    uint32_t limit = w->limits.warn_ms * SILENT_WARNS;
    char trace[WHERE_TEXT];
    bool answered = !worker_is_called(&w->workers[i]);
    if (answered && o->silent)
        slog_warn_t(w->alarms.qlog, "worker %u: it comes round again, after %u ms", i, o->silent_ms);
    if (o->silent && answered)
        where_clear(&w->where[i]);
    o->silent = o->silent && !answered;
    o->silent_ms = answered ? 0 : o->silent_ms + passed;
    o->called_ms += passed;
    if (answered && o->called_ms >= CALL_MS) {
        o->called_ms = 0;
        worker_call(&w->workers[i]);
    }
    if (o->silent || o->silent_ms < (limit < CALL_MS ? CALL_MS : limit))
        return;
    o->silent = true;
    stats_add(w->alarms.stats, STAT_watch_silent, 1);
    if (w->traces)
        ask(t);
    write_trace(t, trace, sizeof trace);
    where_set(&w->where[i], o->what, trace);
    say_silent(w, i, trace[0] != '\0' ? trace : "unknown");
}

static void look_at(struct watchdog *w, uint32_t i, uint64_t now, uint32_t passed)
{
    struct watched *o = &w->of[i];
    settle(w, i, now);
    struct executor *t = w->workers[i].executor;
    if (fence_state(fence_look(&t->fence)) == FENCE_TAKEN)
        return; /* its successor is still moving the connections: it is neither back nor stuck */
    if (fence_state(fence_look(&t->fence)) == FENCE_DIED) {
        look_at_death(w, i, now);
        return;
    }
    uint64_t what = atomic_load_explicit(&t->activity->what, memory_order_relaxed);
    if (what == o->what && activity_kind(what) != ACTIVITY_IDLE &&
        fence_state(fence_look(&t->fence)) == FENCE_FUNCTION) {
        o->ms += passed;
        look_at_running(w, i, now);
        return;
    }
    if (o->warned) {
        o->seen.ms = o->ms + passed;
        alarm_tell(&w->alarms, &o->seen, MARIO_ALARM_BACK);
    }
    o->warned = o->asked = o->limited = false;
    if (what != o->what)
        o->silent_ms = 0;
    o->what = what;
    o->seen = alarm_of(t->activity, what, i, 0);
    o->ms = 0;
    if (w->limits.warn_ms != 0)
        look_at_bell(w, i, passed);
}

static uint32_t period_of(uint32_t warn_ms)
{
    uint32_t p = warn_ms / LOOKS_TO_WARN;
    if (warn_ms == 0)
        return PERIOD_MAX;
    return p < PERIOD_MIN ? PERIOD_MIN : p > PERIOD_MAX ? PERIOD_MAX : p;
}

static bool set_pace(struct watchdog *w)
{
    struct timeval every = {.tv_usec = (suseconds_t) w->period_ms * 1000};
    return event_add(w->event, &every) == 0;
}

/* The master looks while somebody is there whose function could be stuck, if that is watched; and in any case from
 * when a thread has ended until nothing waits any more: a dead worker for its successor, a former executor for its
 * end. */
static void look_while_needed(struct watchdog *w)
{
    bool waits = w->former != NULL || (w->limits.warn_ms != 0 && w->anyone(w->anyone_arg));
    for (uint32_t i = 0; i < w->workernum && !waits; i++)
        waits = w->of[i].warned || succession_of(w, i) != SUCCESSION_NONE;
    w->rests = !waits;
    if (!waits)
        event_del(w->event);
    else if (!event_pending(w->event, EV_TIMEOUT, NULL))
        set_pace(w);
}

/* Who is watched from now on is so from now on: what it has run for so far is nobody's delay. */
void watchdog_limit(struct watchdog *w, const struct watchdog_limits *limits)
{
    uint32_t period = period_of(limits->warn_ms);
    bool begins = w->limits.warn_ms == 0 && limits->warn_ms != 0;
    w->limits = *limits;
    w->alarms.replace_max = limits->replace_max;
    if (begins)
        w->traces = traces_setup();
    if (w->of == NULL || (period == w->period_ms && !begins))
        return;
    w->period_ms = period;
    if (begins)
        w->looked_ms = clock_ms();
    if (event_pending(w->event, EV_TIMEOUT, NULL))
        set_pace(w);
    look_while_needed(w);
}

void watchdog_wake(struct watchdog *w)
{
    if (!w->rests || w->limits.warn_ms == 0)
        return;
    w->rests = false;
    w->looked_ms = clock_ms(); /* what was before is nobody's delay */
    set_pace(w);
}

void watchdog_look(struct watchdog *w)
{
    if (w->of == NULL)
        return;
    uint64_t now = clock_ms(), passed = now - w->looked_ms;
    if (passed > w->period_ms * LATE_MAX)
        passed = w->period_ms * LATE_MAX;
    w->looked_ms = now;
    for (uint32_t i = 0; i < w->workernum; i++)
        look_at(w, i, now, (uint32_t) passed);
    reap_former(w);
    if (w->limits.warn_ms != 0)
        pool_watch_look(&w->pool, &w->alarms, (uint32_t) passed, w->limits.replace_ms, w->limits.warn_ms);
    look_while_needed(w);
}

static void on_time(evutil_socket_t fd, short what, void *arg)
{
    (void) fd;
    (void) what;
    watchdog_look(arg);
}

/* ---- Before and after ---- */

bool watchdog_setup(struct watchdog *w, struct event_base *base, struct doorbell *bell)
{
    w->period_ms = period_of(w->limits.warn_ms);
    w->looked_ms = clock_ms();
    w->rests = true;
    w->of = calloc(w->workernum, sizeof *w->of);
    w->where = calloc(w->workernum, sizeof *w->where);
    w->replaced_ms = calloc(MARIO_REPLACE_MAX, sizeof *w->replaced_ms);
    w->event = event_new(base, -1, EV_PERSIST, on_time, w);
    w->traces = w->limits.warn_ms != 0 && traces_setup();
    return spawner_init(&w->spawner, bell) && w->of != NULL && w->where != NULL && w->replaced_ms != NULL &&
           w->event != NULL;
}

int watchdog_start(struct watchdog *w, const struct offload_pool *pool)
{
    return pool_watch_setup(&w->pool, pool) ? spawner_start(&w->spawner) : ENOMEM;
}

void watchdog_teardown(struct watchdog *w)
{
    spawner_stop(&w->spawner);
    spawner_fini(&w->spawner);
    pool_watch_teardown(&w->pool);
    if (w->event != NULL)
        event_free(w->event);
    while (w->former != NULL) {
        struct executor *t = w->former;
        w->former = t->next;
        executor_destroy(&t);
    }
    free(w->of);
    free(w->where);
    free(w->replaced_ms);
    w->event = NULL;
    w->of = NULL;
    w->where = NULL;
    w->replaced_ms = NULL;
}

/* Whether nobody is on its way to a worker, and no former thread is left. */
static bool all_is_settled(struct watchdog *w)
{
    bool all = true;
    for (uint32_t i = 0; i < w->workernum; i++) {
        settle(w, i, clock_ms());
        all = all && succession_of(w, i) == SUCCESSION_NONE;
    }
    return reap_former(w) && all;
}

bool watchdog_end(struct watchdog *w)
{
    for (int i = 0; i < END_WAITS && !all_is_settled(w);
         i++) /* connections are gone: they are about to end */
        nanosleep(&(struct timespec){.tv_nsec = 1000000}, NULL);
    return all_is_settled(w);
}

bool watchdog_progresses(struct watchdog *w)
{
    bool any = pool_watch_progresses(&w->pool);
    uint64_t released = 0;
    for (uint32_t i = 0; i < w->workernum; i++) {
        struct watched *o = &w->of[i];
        uint64_t what = atomic_load_explicit(&w->workers[i].executor->activity->what, memory_order_relaxed);
        any = any || what != o->at_stop;
        o->at_stop = what;
        released += atomic_load_explicit(&w->workers[i].shard.released, memory_order_relaxed);
    }
    any = any || released != w->released;
    w->released = released;
    return any;
}

/* Name what this activity says, if it says anything. */
static bool name_one(const struct activity *b, uint64_t what, uint32_t i)
{
    char who[128];
    if (activity_kind(what) == ACTIVITY_IDLE)
        return false;
    struct mario_alarm a = alarm_of(b, what, i, 0);
    complain("worker %u: %s did not return in time", i, alarm_describe(&a, who, sizeof who));
    return true;
}

bool watchdog_name(const struct watchdog *w, uint32_t i)
{
    const struct activity *b = w->workers[i].executor->activity;
    uint64_t what = atomic_load_explicit(&b->what, memory_order_relaxed);
    bool any = what == w->of[i].at_stop && name_one(b, what, i);
    for (const struct executor *t = w->former; t != NULL; t = t->next) {
        if (t->pub.ind == i)
            any = name_one(&t->last, atomic_load_explicit(&t->last.what, memory_order_relaxed), i) || any;
    }
    return any;
}

bool watchdog_name_offloaded(const struct watchdog *w)
{
    return pool_watch_name(&w->pool) > 0;
}
