/*
 * drain.c: a drain. Runs on the master; drain_ask() and drain_status() on any thread.
 *
 * Each tick the master divides what may have left by now among the workers, by how many connections each has, and they
 * carry it out as they come round (worker/leaving.h). What a worker cannot carry out, since it is stuck or has nobody
 * left, is given to the others in the next tick. So the rate holds whatever a worker does.
 */
#include "mario/server/drain.h"

#include <errno.h>

#include "mario/base/clock.h"
#include "mario/server/master.h"

enum {
    TICK = 20, /* ms */
    AGAIN_MS = 1000,
    LATE_MAX = 1000, /* ms that one tick counts at most: a machine that slept closes nobody in a heap */
    MICRO = 1000000,
    SPARE = 64 /* connections that a worker may be behind, and as many as leave in a second */
};

static void set_state(struct drain *d, enum mario_drain_state state)
{
    atomic_store_explicit(&d->state, state, memory_order_release);
}

static enum mario_drain_state state_of(const struct drain *d)
{
    return (enum mario_drain_state) atomic_load_explicit(&d->state, memory_order_acquire);
}

static void arm(struct drain *d, uint32_t ms)
{
    event_add(d->event, &(struct timeval){.tv_sec = ms / 1000, .tv_usec = (suseconds_t) (ms % 1000) * 1000});
}

/* ---- Closing ---- */

static void set_rate(struct drain *d)
{
    uint32_t rate = d->asked_rate != 0 ? d->asked_rate : d->limits.rate;
    uint64_t total = atomic_load_explicit(&d->total, memory_order_relaxed);
    uint64_t micro =
        rate != 0 ? (uint64_t) rate * MICRO : total * MICRO / (d->limits.time > 0 ? d->limits.time : 1);
    atomic_store_explicit(&d->rate, micro > 0 ? micro : MICRO, memory_order_relaxed);
}

static uint32_t count_told(const struct master *m)
{
    uint32_t n = 0;
    for (uint32_t i = 0; i < m->started; i++)
        n += atomic_load_explicit(&m->workers[i].leaving.left, memory_order_acquire);
    return n;
}

/* How many connections worker i may still be asked for: none if it is behind already. */
static uint32_t share_of(const struct master *m, uint32_t i)
{
    const struct leaving *l = &m->workers[i].leaving;
    uint32_t open = leaving_open(l), has = acceptor_connections(&m->acceptor, i);
    uint64_t most = SPARE + atomic_load_explicit(&m->drain.rate, memory_order_relaxed) / MICRO;
    return leaving_is_over(l) || open > most || has <= open ? 0 : has - open;
}

static void want(struct master *m, uint32_t i, uint32_t n)
{
    if (n == 0)
        return;
    leaving_want(&m->workers[i].leaving, n);
    worker_drain(&m->workers[i]);
}

/* Have n more leave. How many of them nobody could be asked for. */
static uint32_t divide(struct master *m, uint32_t n)
{
    uint64_t sum = 0, given = 0;
    uint32_t share[MARIO_WORKERNUM_MAX];
    for (uint32_t i = 0; i < m->started; i++)
        sum += share[i] = share_of(m, i);
    if (n > sum)
        n = (uint32_t) sum;
    for (uint32_t i = 0; i < m->started && sum > 0; i++) {
        uint32_t part = (uint32_t) ((uint64_t) n * share[i] / sum);
        want(m, i, part);
        share[i] -= part;
        given += part;
    }
    for (uint32_t tried = 0; given < n && tried < 2 * m->started; tried++) {
        uint32_t i = m->drain.next = (m->drain.next + 1) % m->started;
        if (share[i] == 0)
            continue;
        want(m, i, 1);
        share[i]--;
        given++;
    }
    return (uint32_t) given;
}

static void done(struct master *m)
{
    struct drain *d = &m->drain;
    uint64_t ms = clock_ms() - d->began_ms;
    set_state(d, MARIO_DRAIN_DONE);
    event_del(d->event);
    slog_info_t(m->qlog, "drain: done, %u connections were told to leave in %llu.%llu s",
                atomic_load_explicit(&d->left, memory_order_relaxed), (unsigned long long) ms / 1000,
                (unsigned long long) ms % 1000 / 100);
    if (d->then_stop)
        master_stop(m);
}

/* Who was on the way to a worker that had found nobody any more is found now. */
static void look_again(struct master *m)
{
    for (uint32_t i = 0; i < m->started; i++) {
        struct leaving *l = &m->workers[i].leaving;
        if (leaving_is_over(l) && acceptor_connections(&m->acceptor, i) > 0)
            leaving_begin(l);
    }
}

/* What time has passed since is theirs who may leave by now. */
static void tick(struct master *m)
{
    struct drain *d = &m->drain;
    uint64_t now = clock_ms(), passed = now - d->looked_ms, open = 0;
    d->looked_ms = now;
    d->budget +=
        (passed < LATE_MAX ? passed : LATE_MAX) * atomic_load_explicit(&d->rate, memory_order_relaxed) / 1000;
    uint32_t told = count_told(m) - d->told_before;
    atomic_store_explicit(&d->left, told, memory_order_relaxed);
    for (uint32_t i = 0; i < m->started; i++)
        open += leaving_open(&m->workers[i].leaving);
    if (d->budget / MICRO > told + open) {
        uint64_t due = d->budget / MICRO - told - open;
        uint32_t n = due < UINT32_MAX ? (uint32_t) due : UINT32_MAX;
        d->budget -= (uint64_t) (n - divide(m, n)) * MICRO; /* nobody is there for it: it is not saved up */
    }
    if (now - d->again_ms >= AGAIN_MS) {
        d->again_ms = now;
        look_again(m);
    }
    if (!acceptor_has_any(&m->acceptor))
        done(m);
    else
        arm(d, TICK);
}

/* From now on at the rate, from what has left so far. */
static void go_on(struct master *m)
{
    struct drain *d = &m->drain;
    d->looked_ms = clock_ms();
    d->budget = (uint64_t) (count_told(m) - d->told_before) * MICRO;
    set_rate(d);
    set_state(d, MARIO_DRAIN_CLOSING);
    arm(d, TICK);
}

static void begin_closing(struct master *m)
{
    struct drain *d = &m->drain;
    uint32_t total = 0;
    acceptor_refuse_all(&m->acceptor, true);
    for (uint32_t i = 0; i < m->started; i++) {
        total += acceptor_connections(&m->acceptor, i);
        leaving_begin(&m->workers[i].leaving);
    }
    d->told_before = count_told(m);
    d->began_ms = d->again_ms = clock_ms();
    atomic_store_explicit(&d->total, total, memory_order_relaxed);
    atomic_store_explicit(&d->left, 0, memory_order_relaxed);
    go_on(m);
    uint64_t rate = atomic_load_explicit(&d->rate, memory_order_relaxed);
    slog_info_t(m->qlog, "drain: no new connections; %u are told to leave, %llu.%02llu a second", total,
                (unsigned long long) (rate / MICRO), (unsigned long long) (rate % MICRO / 10000));
}

static void on_time(evutil_socket_t fd, short what, void *arg)
{
    struct master *m = arg;
    (void) fd;
    (void) what;
    if (state_of(&m->drain) == MARIO_DRAIN_DELAY)
        begin_closing(m);
    else if (state_of(&m->drain) == MARIO_DRAIN_CLOSING)
        tick(m);
}

/* ---- Asking ---- */

static void start(struct master *m, uint32_t rate)
{
    struct drain *d = &m->drain;
    d->asked_rate = rate;
    switch (state_of(d)) {
    case MARIO_DRAIN_NONE:
        set_state(d, MARIO_DRAIN_DELAY);
        slog_info_t(m->qlog, "drain: begins, in %u s", d->limits.delay);
        arm(d, d->limits.delay * 1000);
        return;
    case MARIO_DRAIN_DELAY:
    case MARIO_DRAIN_DONE:
        return;
    case MARIO_DRAIN_CLOSING:
    case MARIO_DRAIN_PAUSED:
        slog_info_t(m->qlog, "drain: goes on");
        go_on(m);
        return;
    }
}

static void halt(struct master *m)
{
    event_del(m->drain.event);
    for (uint32_t i = 0; i < m->started; i++)
        leaving_halt(&m->workers[i].leaving);
}

static void pause_it(struct master *m)
{
    if (state_of(&m->drain) != MARIO_DRAIN_CLOSING)
        return;
    halt(m);
    set_state(&m->drain, MARIO_DRAIN_PAUSED);
    slog_info_t(m->qlog, "drain: pauses");
}

static void call_off(struct master *m)
{
    struct drain *d = &m->drain;
    if (state_of(d) == MARIO_DRAIN_NONE)
        return;
    halt(m);
    acceptor_refuse_all(&m->acceptor, false);
    d->then_stop = false;
    set_state(d, MARIO_DRAIN_NONE);
    slog_info_t(m->qlog, "drain: called off; the server takes new connections");
}

static void obey(struct master *m, uint64_t word)
{
    if (m->stage != STAGE_ACCEPTING)
        return;
    switch ((enum drain_word)(word & 0xff)) {
    case DRAIN_NOTHING:
        return;
    case DRAIN_START:
        start(m, (uint32_t) (word >> 8));
        return;
    case DRAIN_PAUSE:
        pause_it(m);
        return;
    case DRAIN_STOP:
        call_off(m);
        return;
    }
}

/* The word stays until it is carried out: who looks in between sees the one or the other. */
void drain_look(struct master *m)
{
    uint64_t word = atomic_load_explicit(&m->drain.word, memory_order_acquire);
    if (word == DRAIN_NOTHING)
        return;
    do {
        obey(m, word);
    } while (!atomic_compare_exchange_strong_explicit(&m->drain.word, &word, DRAIN_NOTHING,
                                                      memory_order_acq_rel, memory_order_acquire));
}

void drain_end(struct master *m)
{
    atomic_store_explicit(&m->drain.refused, true, memory_order_relaxed);
    halt(m);
}

bool drain_takes_term(struct master *m)
{
    struct drain *d = &m->drain;
    if (!d->limits.on_term || m->stage != STAGE_ACCEPTING || d->then_stop)
        return false;
    d->then_stop = true;
    if (state_of(d) == MARIO_DRAIN_DONE)
        return false;
    start(m, d->asked_rate);
    return true;
}

bool drain_is_on(const struct drain *d)
{
    uint64_t word = atomic_load_explicit(&d->word, memory_order_acquire);
    return (word & 0xff) == DRAIN_START || state_of(d) != MARIO_DRAIN_NONE;
}

uint32_t drain_term_ms(const struct drain_limits *l)
{
    return l->on_term ? (l->delay + (l->rate != 0 ? MARIO_DRAIN_TIME_MAX : l->time)) * 1000 : 0;
}

void drain_limit(struct master *m, const struct drain_limits *l)
{
    struct drain *d = &m->drain;
    bool same = d->limits.rate == l->rate && d->limits.time == l->time;
    d->limits = *l;
    if (!same && state_of(d) == MARIO_DRAIN_CLOSING)
        go_on(m);
}

int drain_ask(struct drain *d, enum drain_word word, uint32_t rate)
{
    enum mario_drain_state state = state_of(d);
    if (atomic_load_explicit(&d->refused, memory_order_relaxed))
        return ESHUTDOWN;
    if ((word == DRAIN_STOP && state == MARIO_DRAIN_NONE) ||
        (word == DRAIN_PAUSE && state != MARIO_DRAIN_CLOSING && state != MARIO_DRAIN_PAUSED))
        return EINVAL;
    atomic_store_explicit(&d->word, (uint64_t) rate << 8 | word, memory_order_release);
    return 0;
}

void drain_status(const struct drain *d, uint32_t connections, struct mario_drain *to)
{
    uint64_t rate = atomic_load_explicit(&d->rate, memory_order_relaxed);
    *to = (struct mario_drain){.state = state_of(d), .connections = connections};
    if (to->state == MARIO_DRAIN_NONE || to->state == MARIO_DRAIN_DELAY)
        return;
    to->total = atomic_load_explicit(&d->total, memory_order_relaxed);
    to->left = atomic_load_explicit(&d->left, memory_order_relaxed);
    to->rate = (double) rate / MICRO;
    to->seconds = (uint32_t) ((uint64_t) connections * MICRO / (rate > 0 ? rate : MICRO));
}

/* ---- Before and after ---- */

bool drain_setup(struct master *m)
{
    m->drain.event = evtimer_new(m->base, on_time, m);
    return m->drain.event != NULL;
}

void drain_teardown(struct master *m)
{
    if (m->drain.event != NULL)
        event_free(m->drain.event);
    m->drain.event = NULL;
}
