/*
 * worker.c: one thread of the load generator: its loop, its phases, its snapshots. worker_main and all it
 * calls run on that thread; create, start, join and destroy are called by the main thread.
 *
 *     CONNECT -> READY -> WARM -> WINDOW -> DRAIN -> DONE
 */
#include "worker.h"

#include <errno.h>
#include <stdlib.h>
#include <string.h>
#include <sys/epoll.h>
#include <sys/prctl.h>
#include <unistd.h>

#include "mode.h"
#include "test/lib/clock.h"
#include "test/lib/wire.h"

#define EVENTS 256

/* Connects without an answer, and, before the clock starts, the time between two: 20,000 a second. Both
 * for all workers together. */
#define PENDING_MAX    64u
#define START_EVERY_NS (50 * NS_PER_US)

#define SWEEP_NS     (100 * NS_PER_MS)
#define NAP_NS       (20 * NS_PER_MS) /* the longest wait, so that a changed clock is seen */
#define SHORT_NAP_NS NS_PER_MS
#define DRAIN_NS     (5 * NS_PER_S)

static uint32_t share(uint32_t all, uint32_t threads, uint32_t index)
{
    return all / threads + (index < all % threads);
}

static uint32_t ring_size(uint32_t inflight)
{
    uint32_t n = 1;
    while (n < inflight)
        n *= 2;
    return n;
}

static uint32_t reply_room(const struct exchange *x)
{
    return x->reply_len != 0 ? x->reply_len : WIRE_PACKET_MAX;
}

/* Number the connections so that each has its own in the whole process; the idle ones come after all that
 * work. */
static void init_conns(struct worker *w, uint32_t ring, uint32_t room)
{
    const struct load_options *o = w->o;
    for (uint32_t i = 0; i < w->count; i++) {
        bool works = i < w->active;
        uint32_t nth = works ? i : i - w->active;
        w->conns[i] = (struct conn){
            .ask = {.fd = -1,
                    .number = nth * o->threads + w->index + (works ? 0 : o->connections),
                    .keep = w->keep + (size_t) i * room},
            .since = w->since + (size_t) i * ring,
            .node =
                (uint8_t) ((nth * o->threads + w->index + (works ? 0 : o->connections)) % o->targets.count),
            .mode = works ? o->mode : &mode_idle,
            .exchange = works ? &o->exchange : &o->login,
        };
        if (!works || o->mode->connect_first)
            worker_queue(w, &w->conns[i]);
    }
}

/* Rooms and rings are touched only as far as they are used, so large ones cost address space alone. */
static int alloc_all(struct worker *w)
{
    uint32_t ring = ring_size(w->o->inflight);
    uint32_t room = reply_room(&w->o->exchange);
    w->since_mask = ring - 1;
    w->conns = calloc(w->count, sizeof *w->conns);
    w->queue = calloc(w->count, sizeof *w->queue);
    w->since = calloc((size_t) w->count * ring, sizeof *w->since);
    w->keep = calloc(w->count, room);
    w->in = malloc(WORKER_IN_SIZE);
    w->out = malloc(WORKER_OUT_SIZE);
    if (w->conns == NULL || w->queue == NULL || w->since == NULL || w->keep == NULL || w->in == NULL ||
        w->out == NULL)
        return -1;
    init_conns(w, ring, room);
    return 0;
}

struct worker *worker_create(const struct load_options *o, struct worker_clock *clock, uint32_t index)
{
    struct worker *w = calloc(1, sizeof *w);
    if (w == NULL)
        return NULL;
    w->o = o;
    w->clock = clock;
    w->index = index;
    w->active = share(o->connections, o->threads, index);
    w->count = w->active + share(o->idle, o->threads, index);
    w->window_size = PENDING_MAX / o->threads > 0 ? PENDING_MAX / o->threads : 1;
    hist_clear(&w->hist);
    w->epoll = epoll_create1(EPOLL_CLOEXEC);
    if (w->epoll < 0 || alloc_all(w) != 0)
        worker_destroy(&w);
    return w;
}

void worker_destroy(struct worker **w)
{
    struct worker *d = *w;
    if (d == NULL)
        return;
    int err = errno;
    if (d->epoll >= 0)
        close(d->epoll);
    free(d->conns);
    free(d->queue);
    free(d->since);
    free(d->keep);
    free(d->in);
    free(d->out);
    free(d);
    *w = NULL;
    errno = err;
}

void worker_queue(struct worker *w, struct conn *c)
{
    uint32_t at = w->head + w->queued;
    w->queue[at >= w->count ? at - w->count : at] = (uint32_t) (c - w->conns);
    w->queued++;
}

/* Start what waits, as many as may be pending. A churning connection is paced by its replies, all others
 * by the clock, or the server's backlog would fill faster than it accepts. */
static void start_some(struct worker *w, uint64_t now)
{
    bool paced = w->phase == PHASE_CONNECT;
    for (uint32_t n = w->queued; n > 0 && w->pending < w->window_size; n--) {
        if (now < w->next_start)
            return;
        struct conn *c = &w->conns[w->queue[w->head]];
        if (conn_start(w, c, now) != 0) {
            w->next_start = now + SHORT_NAP_NS;
            return;
        }
        w->head = w->head + 1 == w->count ? 0 : w->head + 1;
        w->queued--;
        if (paced) {
            uint64_t from = w->next_start + SHORT_NAP_NS > now ? w->next_start : now - SHORT_NAP_NS;
            w->next_start = from + START_EVERY_NS * w->o->threads;
        }
    }
}

static bool waits_too_long(const struct worker *w, const struct conn *c, uint64_t now)
{
    bool waits = c->state == CONN_CONNECTING || (c->state == CONN_OPEN && conn_open_requests(c) > 0);
    return waits && now > c->moved && (double) (now - c->moved) > w->o->timeout_s * (double) NS_PER_S;
}

/* What has waited too long is at fault; what rested after a fault is queued again. */
static void sweep(struct worker *w, uint64_t now)
{
    for (uint32_t i = 0; i < w->count; i++) {
        struct conn *c = &w->conns[i];
        if (waits_too_long(w, c, now))
            conn_look(w, c); /* this loop may be what was late */
        if (waits_too_long(w, c, now)) {
            conn_fault(w, c, FAULT_TIMEOUT);
        } else if (c->state == CONN_RESTING && w->phase < PHASE_DRAIN) {
            c->state = CONN_NONE;
            worker_queue(w, c);
        }
    }
    w->next_sweep = now + SWEEP_NS;
}

static struct snapshot take_snapshot(const struct worker *w, uint64_t now)
{
    return (struct snapshot){
        .at = now, .cpu = thread_cpu_ns(), .answered = w->ledger.answered, .connects = w->ledger.connects};
}

/* Connections that should be open and are not have failed already. */
static void begin_all(struct worker *w, uint64_t now)
{
    const struct mode *mode = w->o->mode;
    w->sending = true;
    for (uint32_t i = 0; i < w->active && mode->begin != NULL; i++)
        if (w->conns[i].state == CONN_OPEN || !mode->connect_first)
            mode->begin(w, &w->conns[i], now);
}

/* What fell due before the end is still asked: the loop may only have come too late for it. */
static void stop_sending(struct worker *w, uint64_t now)
{
    const struct mode *mode = w->o->mode;
    w->at_end = take_snapshot(w, now);
    if (w->sending && mode->turn != NULL)
        mode->turn(w, now < w->end ? now : w->end - 1);
    w->sending = false;
    if (mode->finish != NULL)
        mode->finish(w, now);
    w->drain_until = now + DRAIN_NS;
    w->phase = PHASE_DRAIN;
}

/* All that is still unanswered has had its time. */
static void end_all(struct worker *w)
{
    for (uint32_t i = 0; i < w->count; i++) {
        struct conn *c = &w->conns[i];
        if (c->ask.fd >= 0 && conn_open_requests(c) > 0)
            conn_fault(w, c, FAULT_TIMEOUT);
        else
            conn_end(w, c);
    }
    w->phase = PHASE_DONE;
}

static bool all_gone(const struct worker *w)
{
    return w->active > 0 && w->gone == w->active;
}

static bool all_connected(const struct worker *w)
{
    return w->queued == 0 && w->pending == 0 && worker_outstanding(w) == 0;
}

/* Move on as far as the clock and the connections allow. A clock whose end comes early passes all phases
 * at once. */
static void advance(struct worker *w, uint64_t now)
{
    uint64_t start = atomic_load_explicit(&w->clock->start, memory_order_acquire);
    if (start != 0) {
        w->start = start;
        w->end = atomic_load_explicit(&w->clock->end, memory_order_relaxed);
        w->begin = atomic_load_explicit(&w->clock->window, memory_order_relaxed);
    }
    bool over = (start != 0 && now >= w->end) || all_gone(w);
    if (w->phase == PHASE_CONNECT && (over || all_connected(w)))
        w->phase = PHASE_READY;
    if (w->phase == PHASE_READY && (over || (start != 0 && now >= start))) {
        w->phase = PHASE_WARM;
        if (!over)
            begin_all(w, now);
    }
    if (w->phase == PHASE_WARM && (over || now >= w->begin)) {
        w->at_begin = take_snapshot(w, now);
        w->phase = PHASE_WINDOW;
    }
    if (w->phase == PHASE_WINDOW && over)
        stop_sending(w, now);
    bool quiet = w->phase == PHASE_DRAIN && (worker_outstanding(w) == 0 || now >= w->drain_until);
    if (quiet && atomic_load_explicit(&w->clock->measured, memory_order_acquire))
        end_all(w);
}

/* Until when the loop may sleep, seen from the phase alone. */
static uint64_t phase_nap(const struct worker *w, uint64_t now)
{
    switch (w->phase) {
    case PHASE_WARM:
        return w->begin < now + NAP_NS ? w->begin : now + NAP_NS;
    case PHASE_WINDOW:
        return w->end < now + NAP_NS ? w->end : now + NAP_NS;
    default:
        return now + SHORT_NAP_NS;
    }
}

static uint64_t turn(struct worker *w, uint64_t now)
{
    uint64_t until = phase_nap(w, now), next = UINT64_MAX;
    if (w->sending && w->o->mode->turn != NULL)
        next = w->o->mode->turn(w, now);
    if (w->phase == PHASE_CONNECT || w->sending)
        start_some(w, now);
    if (w->queued > 0 && w->pending < w->window_size && w->next_start < until)
        until = w->next_start;
    if (now >= w->next_sweep)
        sweep(w, now);
    return next < until ? next : until;
}

static void publish(struct worker *w)
{
    uint64_t faults = 0;
    for (int f = 0; f < FAULT_COUNT; f++)
        faults += w->ledger.faults[f];
    atomic_store_explicit(&w->live.answered, w->ledger.answered, memory_order_relaxed);
    atomic_store_explicit(&w->live.connects, w->ledger.connects, memory_order_relaxed);
    atomic_store_explicit(&w->live.faults, faults, memory_order_relaxed);
    atomic_store_explicit(&w->live.open, w->open, memory_order_relaxed);
    atomic_store_explicit(&w->live.phase, (int) w->phase, memory_order_release);
}

static struct timespec timespec_of(uint64_t ns)
{
    return (struct timespec){.tv_sec = (time_t) (ns / NS_PER_S), .tv_nsec = (long) (ns % NS_PER_S)};
}

/* Wait until something is ready or `until`, and handle it. */
static void wait_and_handle(struct worker *w, uint64_t now, uint64_t until)
{
    struct epoll_event events[EVENTS];
    const struct mode *mode = w->o->mode;
    uint64_t rest = w->sending && mode->rest != NULL ? mode->rest(w, now, until) : 0;
    if (rest > now) {
        struct timespec t = timespec_of(rest);
        clock_nanosleep(CLOCK_MONOTONIC, TIMER_ABSTIME, &t, NULL);
        now = rest;
    }
    struct timespec t = timespec_of(until > now ? until - now : 0);
    int n = epoll_pwait2(w->epoll, events, EVENTS, &t, NULL);
    if (n > 0 && mode->stamps)
        w->day = real_ns() - mono_ns();
    for (int i = 0; i < n; i++)
        conn_event(w, events[i].data.ptr, events[i].events);
    w->handled = n > 0 ? (uint32_t) n : 0;
}

static void *worker_main(void *arg)
{
    struct worker *w = arg;
    prctl(PR_SET_TIMERSLACK, 1ul, 0ul, 0ul, 0ul); /* 50 us late by default: too much for a steady rate */
    for (;;) {
        uint64_t now = mono_ns();
        advance(w, now);
        publish(w);
        if (w->phase == PHASE_DONE)
            return NULL;
        wait_and_handle(w, now, turn(w, now));
    }
}

int worker_start(struct worker *w)
{
    return pthread_create(&w->thread, NULL, worker_main, w);
}

void worker_join(struct worker *w)
{
    pthread_join(w->thread, NULL);
}
