/*
 * holder.c: one thread of mode hold: its loop, its phases, and what falls due in them. holder_main and all it
 * calls run on that thread; create, start, join and destroy are called by the main thread.
 *
 *     OPEN -> READY -> HOLD -> ROLL -> (JOIN -> LISTEN) -> QUIET -> DONE
 *
 * Heartbeats need no timers: the array of connections is the ring. Beat number k falls due at k * T / count
 * and belongs to connection k % count, so each is asked once in T seconds and all are spread evenly.
 */
#include "holder.h"

#include <errno.h>
#include <stdlib.h>
#include <sys/epoll.h>
#include <sys/prctl.h>
#include <unistd.h>

#include "test/lib/clock.h"

#define EVENTS       256
#define OPENING_MAX  512u             /* connections without an answered login, of all holders together */
#define ROLL_MAX     1024u            /* requests of the roll call without an answer, of each holder */
#define NAP_NS       (20 * NS_PER_MS) /* the longest wait, so that a changed clock is seen */
#define SHORT_NAP_NS NS_PER_MS

/* What one turn of the loop does at most, so that answers are read in between. */
#define OPEN_BATCH 256u
#define ASK_BATCH  256u
#define LOOK_BATCH 4096u

#define PICKS 16u /* tries to find a quiet connection by chance */

static bool alloc_all(struct holder *h)
{
    h->helds = calloc(h->count, sizeof *h->helds);
    h->in = malloc(WIRE_PACKET_MAX + 1);
    h->out = malloc(WIRE_PACKET_MAX + 1);
    if (h->helds == NULL || h->in == NULL || h->out == NULL)
        return false;
    for (uint32_t i = 0; i < h->count; i++)
        h->helds[i] = (struct held){.fd = -1, .next = HELD_NONE, .prev = HELD_NONE};
    if (h->index != 0 || h->o->slow + h->o->stopped == 0)
        return true;
    h->neighbours = neighbours_create(h->o, h->o->slow, h->o->stopped);
    return h->neighbours != NULL;
}

struct holder *holder_create(const struct load_options *o, struct hold_clock *clock, uint32_t index)
{
    struct holder *h = calloc(1, sizeof *h);
    if (h == NULL)
        return NULL;
    h->o = o;
    h->clock = clock;
    h->index = index;
    h->count = o->connections / o->threads + (index < o->connections % o->threads);
    h->window = OPENING_MAX / o->threads > 0 ? OPENING_MAX / o->threads : 1;
    h->waiting = h->reopen = (struct held_list){HELD_NONE, HELD_NONE};
    h->random = 0x9e3779b97f4a7c15ull * (index + 1);
    hist_clear(&h->hist);
    hist_clear(&h->logins);
    hist_clear(&h->told);
    h->epoll = epoll_create1(EPOLL_CLOEXEC);
    if (h->epoll < 0 || !alloc_all(h))
        holder_destroy(&h);
    return h;
}

void holder_destroy(struct holder **h)
{
    struct holder *d = *h;
    if (d == NULL)
        return;
    int err = errno;
    if (d->epoll >= 0)
        close(d->epoll);
    neighbours_destroy(&d->neighbours);
    free(d->helds);
    free(d->in);
    free(d->out);
    free(d);
    *h = NULL;
    errno = err;
}

/* This holder's part of a rate that is meant for all. */
static double share(const struct holder *h, double rate)
{
    return rate * h->count / h->o->connections;
}

/* xorshift64* */
static uint32_t pick(struct holder *h)
{
    h->random ^= h->random >> 12;
    h->random ^= h->random << 25;
    h->random ^= h->random >> 27;
    return (uint32_t) (((h->random * 0x2545f4914f6cdd1dull) >> 32) * h->count >> 32);
}

/* Some quiet connection, or NULL when none is found at once. */
static struct held *pick_quiet(struct holder *h)
{
    for (uint32_t i = 0; i < PICKS; i++) {
        struct held *c = &h->helds[pick(h)];
        if (c->state == HELD_QUIET)
            return c;
    }
    return NULL;
}

static uint64_t earlier(uint64_t a, uint64_t b)
{
    return a < b ? a : b;
}

/* Something that was due at `due` is done now. */
static void note_late(struct holder *h, uint64_t due, uint64_t now)
{
    if (h->phase == HOLDER_HOLD && now - due > h->late_max)
        h->late_max = now - due;
}

/* ---- What falls due. Each returns when to be called again, if not earlier ---- */

/* A connection into the opening window. False when there is no room in a unix socket's backlog. */
static bool open_one(struct holder *h, struct held *c, uint64_t now)
{
    if (held_start(h, c, now) == 0)
        return true;
    h->next_try = now + SHORT_NAP_NS;
    return false;
}

/* Somebody has waited for half of what he may. */
static bool keeps_waiting(const struct holder *h, uint64_t now)
{
    uint64_t half = (uint64_t) (h->o->timeout_s / 2 * (double) NS_PER_S);
    return h->waiting.head != HELD_NONE && now >= h->helds[h->waiting.head].asked_at + half;
}

/* The window is filled when half of it is free: opening one for each that was answered would cost both ends a
 * wake-up for each. And not while somebody keeps waiting: a server that is behind and turns to the newest first, as
 * maritcp does with handshakes, would never come to him while there are new ones. */
static uint64_t open_fresh(struct holder *h, uint64_t now)
{
    if (h->o->ramp <= 0 && (h->opening > h->window / 2 || keeps_waiting(h, now)))
        return UINT64_MAX;
    for (uint32_t n = 0; h->fresh < h->count && h->opening < h->window; n++) {
        uint64_t due = h->o->ramp > 0 ? pace_due(&h->ramp) : now;
        if (due < h->next_try)
            due = h->next_try;
        if (due > now || n == OPEN_BATCH)
            return due;
        if (!open_one(h, &h->helds[h->fresh], now))
            return h->next_try;
        h->fresh++;
        h->ramp.done++;
    }
    return UINT64_MAX;
}

static uint64_t open_again(struct holder *h, uint64_t now)
{
    for (uint32_t n = 0; h->reopen.head != HELD_NONE && h->opening < h->window; n++)
        if (now < h->next_try || n == OPEN_BATCH || !open_one(h, &h->helds[h->reopen.head], now))
            return h->next_try;
    return UINT64_MAX;
}

static uint64_t beat(struct holder *h, uint64_t now)
{
    uint64_t due = pace_due(&h->beats);
    for (uint32_t asked = 0, looked = 0; due <= now && asked < ASK_BATCH && looked < LOOK_BATCH; looked++) {
        struct held *c = &h->helds[h->beats.done % h->count];
        if (c->state == HELD_QUIET) {
            note_late(h, due, now);
            held_ask(h, c, due, now);
            h->ledger.beats++;
            asked++;
        } else if (c->state == HELD_ASKING) {
            h->ledger.covered++;
        }
        h->beats.done++;
        due = pace_due(&h->beats);
    }
    return due;
}

static uint64_t ask_some(struct holder *h, uint64_t now)
{
    for (uint32_t n = 0; pace_due(&h->active) <= now; n++) {
        if (n == ASK_BATCH)
            return now;
        struct held *c = pick_quiet(h);
        if (c == NULL)
            return now + SHORT_NAP_NS;
        note_late(h, pace_due(&h->active), now);
        held_ask(h, c, pace_due(&h->active), now);
        h->ledger.actives++;
        h->active.done++;
    }
    return pace_due(&h->active);
}

static uint64_t churn_some(struct holder *h, uint64_t now)
{
    for (uint32_t n = 0; pace_due(&h->churn) <= now; n++) {
        if (n == OPEN_BATCH)
            return now;
        struct held *c = h->opening < h->window ? pick_quiet(h) : NULL;
        if (c == NULL)
            return now + SHORT_NAP_NS;
        note_late(h, pace_due(&h->churn), now);
        held_recycle(h, c);
        h->churn.done++;
    }
    return pace_due(&h->churn);
}

/* Ask each once: in the roll call, who was not heard during the hold; else, to join the group. */
static void call_each(struct holder *h, uint64_t now)
{
    bool roll = h->phase == HOLDER_ROLL;
    for (uint32_t n = 0; h->called < h->count && n < ASK_BATCH && h->asking < ROLL_MAX; h->called++) {
        struct held *c = &h->helds[h->called];
        if (c->state != HELD_QUIET || (roll && c->heard))
            continue;
        held_ask(h, c, now, now);
        *(roll ? &h->ledger.roll_calls : &h->ledger.joins) += 1;
        n++;
    }
    if (h->in_row >= HOLDER_GIVE_UP || atomic_load_explicit(&h->clock->hurry, memory_order_relaxed))
        h->called = h->count;
}

/* ---- Phases ---- */

static void begin_hold(struct holder *h)
{
    const struct load_options *o = h->o;
    h->active = pace_make(h->start, share(h, o->active));
    h->churn = pace_make(h->start, share(h, o->churn));
    h->phase = HOLDER_HOLD;
}

static uint64_t due_in_hold(const struct holder *h, const struct pace *p)
{
    return p->every > 0 ? (uint64_t) ((double) (h->end - h->start) / p->every) : 0;
}

/* What fell due just before the end is still done: the loop may only have come too late for it. */
static void end_hold(struct holder *h)
{
    const struct pace *all[] = {&h->beats, &h->active, &h->churn};
    h->in_row = 0;
    beat(h, h->end - 1);
    ask_some(h, h->end - 1);
    churn_some(h, h->end - 1);
    for (size_t i = 0; i < sizeof all / sizeof all[0]; i++) {
        h->ledger.due += due_in_hold(h, all[i]);
        h->ledger.behind += pace_behind(all[i], h->end);
    }
    h->phase = HOLDER_ROLL;
}

static void begin_joining(struct holder *h)
{
    h->in_row = 0;
    h->called = 0;
    h->phase = HOLDER_JOIN;
}

static bool nothing_awaited(const struct holder *h)
{
    return h->called == h->count && h->reopen.head == HELD_NONE && h->waiting.head == HELD_NONE;
}

static bool nobody_left(const struct holder *h)
{
    return h->open == 0 && h->opening == 0 && h->reopen.head == HELD_NONE;
}

static void end_all(struct holder *h)
{
    for (uint32_t i = 0; i < h->count; i++)
        if (h->helds[i].state == HELD_QUIET)
            held_end(h, &h->helds[i]);
    if (h->neighbours != NULL)
        neighbours_end(h->neighbours);
    h->phase = HOLDER_DONE;
}

/* Move on as far as the clock and the connections allow. */
static void advance(struct holder *h, uint64_t now)
{
    if (h->start == 0)
        h->start = atomic_load_explicit(&h->clock->start, memory_order_acquire);
    if (h->start != 0 && h->phase <= HOLDER_HOLD)
        h->end = atomic_load_explicit(&h->clock->end, memory_order_relaxed);
    if (h->phase == HOLDER_OPEN && (h->in_row >= HOLDER_GIVE_UP || (h->start != 0 && now >= h->start))) {
        atomic_store_explicit(&h->live.gave_up, h->fresh < h->count, memory_order_relaxed);
        h->ramp.done = h->fresh = h->count; /* what was not tried is not tried any more */
    }
    if (h->phase == HOLDER_OPEN && h->fresh == h->count && h->opening == 0)
        h->phase = HOLDER_READY;
    if (h->phase == HOLDER_READY && h->start != 0 && now >= h->start)
        begin_hold(h);
    if (h->phase == HOLDER_HOLD && now < h->end && nobody_left(h))
        h->end = now;
    if (h->phase == HOLDER_HOLD && now >= h->end)
        end_hold(h);
    if (h->phase == HOLDER_ROLL && nothing_awaited(h) && h->o->broadcasts > 0)
        begin_joining(h);
    else if (h->phase == HOLDER_ROLL && nothing_awaited(h))
        h->phase = HOLDER_QUIET;
    else if (h->phase == HOLDER_JOIN && nothing_awaited(h))
        h->phase = HOLDER_LISTEN;
    if (h->phase == HOLDER_LISTEN && atomic_load_explicit(&h->clock->said_all, memory_order_relaxed))
        h->phase = HOLDER_QUIET;
    if (h->phase == HOLDER_QUIET && atomic_load_explicit(&h->clock->close, memory_order_acquire))
        end_all(h);
}

static uint64_t turn(struct holder *h, uint64_t now)
{
    uint64_t next = now + NAP_NS;
    if (h->phase == HOLDER_OPEN)
        next = earlier(next, open_fresh(h, now));
    if (h->phase == HOLDER_READY)
        next = earlier(next, now + SHORT_NAP_NS);
    if (h->phase <= HOLDER_HOLD)
        next = earlier(next, beat(h, now));
    if (h->phase == HOLDER_HOLD) {
        next = earlier(next, h->end);
        next = earlier(next, ask_some(h, now));
        next = earlier(next, churn_some(h, now));
    }
    if (h->phase == HOLDER_ROLL || h->phase == HOLDER_JOIN) {
        call_each(h, now);
        next = earlier(next, now + SHORT_NAP_NS);
    }
    next = earlier(next, open_again(h, now));
    if (h->neighbours != NULL && h->phase < HOLDER_DONE)
        next = earlier(next, neighbours_turn(h->neighbours, now));
    held_expire(h, now);
    return next;
}

static void publish(struct holder *h)
{
    uint64_t faults = 0;
    for (int f = 0; f < FAULT_COUNT; f++)
        faults += h->ledger.refused[f] + h->ledger.lost[f];
    atomic_store_explicit(&h->live.answered, h->ledger.answered, memory_order_relaxed);
    atomic_store_explicit(&h->live.opened, h->ledger.opened, memory_order_relaxed);
    atomic_store_explicit(&h->live.open, h->open, memory_order_relaxed);
    atomic_store_explicit(&h->live.told, h->ledger.told, memory_order_relaxed);
    atomic_store_explicit(&h->live.faults, faults, memory_order_relaxed);
    atomic_store_explicit(&h->live.phase, (int) h->phase, memory_order_release);
}

/* Wait until something is ready or `until`, and handle it. */
static void wait_and_handle(struct holder *h, uint64_t until)
{
    struct epoll_event events[EVENTS];
    uint64_t now = mono_ns(), left = until > now ? until - now : 0;
    struct timespec t = {.tv_sec = (time_t) (left / NS_PER_S), .tv_nsec = (long) (left % NS_PER_S)};
    int n = epoll_pwait2(h->epoll, events, EVENTS, &t, NULL);
    for (int i = 0; i < n; i++)
        held_event(h, &h->helds[events[i].data.u32], events[i].events);
}

static void *holder_main(void *arg)
{
    struct holder *h = arg;
    uint64_t begin = mono_ns();
    prctl(PR_SET_TIMERSLACK, 1ul, 0ul, 0ul, 0ul);
    h->ramp = pace_make(begin, share(h, h->o->ramp));
    h->beats = pace_make(begin, h->count / h->o->heartbeat_s);
    for (;;) {
        uint64_t now = mono_ns();
        advance(h, now);
        publish(h);
        if (h->phase == HOLDER_DONE)
            return NULL;
        wait_and_handle(h, turn(h, now));
    }
}

int holder_start(struct holder *h)
{
    return pthread_create(&h->thread, NULL, holder_main, h);
}

void holder_join(struct holder *h)
{
    pthread_join(h->thread, NULL);
}
