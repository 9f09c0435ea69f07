/*
 * pusher.c: one thread of mode push: its loop and its phases. pusher_main and all it calls run on that thread; create,
 * start, join and destroy are called by the main thread.
 *
 *     OPEN -> READY -> SPEAK -> LEAVE -> SAID -> HEAR -> QUIET -> DONE
 *
 * Publishers speak in turns, and all pushers reckon with the same even distances: number k of all messages belongs to
 * publisher k % publishers.
 */
#include "pusher.h"

#include <errno.h>
#include <stdlib.h>
#include <sys/epoll.h>
#include <sys/prctl.h>
#include <unistd.h>

#include "test/lib/clock.h"
#include "test/lib/wire.h"

#define EVENTS       256
#define GREETING_MAX 256u             /* connections that are greeting, of all pushers together */
#define NAP_NS       (20 * NS_PER_MS) /* the longest wait, so that a changed clock is seen */
#define SHORT_NAP_NS NS_PER_MS
#define SWEEP_NS     (50 * NS_PER_MS)
#define TICK_NS      (50 * NS_PER_US) /* what falls due within one is said together */
#define SPEAK_BATCH  4096u            /* turns looked at before answers are read again */

/* ---- Making ---- */

static uint32_t share(uint32_t all, const struct pusher *w)
{
    return all / w->o->threads + (w->index < all % w->o->threads);
}

static void init_peers(struct pusher *w)
{
    size_t cells = (size_t) w->o->joins * w->o->publishers;
    for (uint32_t i = 0; i < w->count; i++) {
        struct peer *c = &w->peers[i];
        bool publishes = i >= w->subscribers;
        uint32_t nth = publishes ? i - w->subscribers : i;
        c->fd = -1;
        c->number = nth * w->o->threads + w->index + (publishes ? w->o->connections : 0);
        c->node = (uint8_t) peer_home(w->o, c->number);
        c->keep = w->keep + (size_t) i * w->packet;
        if (publishes)
            c->out = w->outs + (size_t) nth * (PUSHER_OUT_SIZE + WIRE_HEAD_LEN);
        else
            c->heard = w->heard + i * cells;
    }
}

/* What is large is touched only as far as it is used. A calloc() of nothing may give NULL. */
static bool alloc_all(struct pusher *w)
{
    uint32_t publishers = w->count - w->subscribers;
    w->peers = calloc(w->count + 1, sizeof *w->peers);
    w->heard = calloc((size_t) w->subscribers * w->o->joins + 1, w->o->publishers * sizeof *w->heard);
    w->keep = calloc(w->count + 1, w->packet);
    w->outs = calloc(publishers + 1, PUSHER_OUT_SIZE + WIRE_HEAD_LEN);
    w->in = malloc(PUSHER_IN_SIZE);
    if (w->peers == NULL || w->heard == NULL || w->keep == NULL || w->outs == NULL || w->in == NULL)
        return false;
    init_peers(w);
    return true;
}

struct pusher *pusher_create(const struct load_options *o, struct push_clock *clock, uint32_t index)
{
    struct pusher *w = calloc(1, sizeof *w);
    if (w == NULL)
        return NULL;
    w->o = o;
    w->clock = clock;
    w->index = index;
    w->subscribers = share(o->connections, w);
    w->count = w->subscribers + share(o->publishers, w);
    w->packet = PUSH_SAID_HEAD + o->size;
    w->window_size = GREETING_MAX / o->threads > 0 ? GREETING_MAX / o->threads : 1;
    hist_clear(&w->hist);
    w->epoll = epoll_create1(EPOLL_CLOEXEC);
    if (w->epoll < 0 || !alloc_all(w))
        pusher_destroy(&w);
    return w;
}

void pusher_destroy(struct pusher **w)
{
    struct pusher *d = *w;
    if (d == NULL)
        return;
    int err = errno;
    if (d->epoll >= 0)
        close(d->epoll);
    free(d->peers);
    free(d->heard);
    free(d->keep);
    free(d->outs);
    free(d->in);
    free(d);
    *w = NULL;
    errno = err;
}

/* ---- What is done in each phase. What returns a time returns when to be called again, if not earlier ---- */

static uint64_t open_some(struct pusher *w, uint64_t now)
{
    while (w->fresh < w->count && w->greeting < w->window_size) {
        if (now < w->next_try)
            return w->next_try;
        if (peer_start(w, &w->peers[w->fresh], now) != 0)
            w->next_try = now + SHORT_NAP_NS;
        else
            w->fresh++;
    }
    return UINT64_MAX;
}

/* When the turn comes that has this number among those of this pusher's publishers. */
static uint64_t turn_due(const struct pusher *w, uint64_t turn)
{
    uint32_t mine = w->count - w->subscribers;
    if (mine == 0)
        return UINT64_MAX;
    uint32_t p = (uint32_t) (turn % mine) * w->o->threads + w->index;
    return push_due(w->o, &w->pace, p, turn / mine);
}

/* Each publisher whose turn has come says all that is due of his. */
static uint64_t speak(struct pusher *w, uint64_t now)
{
    uint32_t mine = w->count - w->subscribers;
    uint64_t due = turn_due(w, w->turns), until = now - now % TICK_NS + TICK_NS;
    for (uint32_t n = 0; due <= now && n < SPEAK_BATCH; n++) {
        peer_speak(w, &w->peers[w->subscribers + w->turns % mine], until < w->end ? until : w->end);
        due = turn_due(w, ++w->turns);
    }
    return due;
}

/* What fell due before the end is still said, as far as there is room: the loop may only have come too late for it. */
static void stop_speaking(struct pusher *w, uint64_t now)
{
    for (uint32_t i = w->subscribers; i < w->count; i++) {
        struct peer *c = &w->peers[i];
        uint32_t p = c->number - w->o->connections;
        peer_speak(w, c, w->end);
        for (uint64_t s = c->said; push_due(w->o, &w->pace, p, s) < w->end; s++)
            w->ledger.behind++;
        w->clock->published[p] = c->said;
        peer_ask_sign(w, c, now);
    }
    w->phase = PUSHER_LEAVE;
}

/* All publishers are quiet, or gone. */
static bool all_read(const struct pusher *w)
{
    for (uint32_t i = w->subscribers; i < w->count; i++)
        if (w->peers[i].state == PEER_LEAVING)
            return false;
    return true;
}

/* Before SAID: which of its publishers may have said what no server has read. */
static void tell_broken(struct pusher *w)
{
    for (uint32_t i = w->subscribers; i < w->count; i++) {
        const struct peer *c = &w->peers[i];
        w->clock->broken[c->number - w->o->connections] = c->broken || c->state == PEER_GONE;
    }
}

/* All totals are known: what is each to hear? */
static void begin_to_hear(struct pusher *w)
{
    for (uint32_t i = 0; i < w->subscribers; i++) {
        struct peer *c = &w->peers[i];
        for (uint32_t k = 0; c->joined && k < w->o->joins; k++)
            c->expected += w->clock->totals[peer_group(w->o, c, k)];
    }
    w->phase = PUSHER_HEAR;
}

/* Everybody who is there has all there is. */
static bool all_heard(const struct pusher *w)
{
    for (uint32_t i = 0; i < w->subscribers; i++)
        if (w->peers[i].state == PEER_READY && w->peers[i].got < w->peers[i].expected)
            return false;
    return true;
}

/* Whether what has been said is heard, or will not be: nothing has come for as long as may be. */
static bool is_settled(const struct pusher *w, uint64_t now)
{
    double silent = now > w->moved ? (double) (now - w->moved) : 0;
    return all_heard(w) || silent > w->o->timeout_s * (double) NS_PER_S;
}

/* What c, which has joined, has not heard of one publisher in its k-th group. Where his connection has ended, no server
 * may have read it. */
static void count_lack(struct pusher *w, const struct peer *c, uint32_t k, uint32_t p)
{
    const struct push_heard *h = &c->heard[(size_t) k * w->o->publishers + p];
    uint64_t all = push_share(w->o, p, w->clock->published[p], peer_group(w->o, c, k));
    uint64_t lack = all > h->count ? all - h->count : 0;
    bool stood = c->state == PEER_READY && !c->broken;
    w->ledger.expected += h->count + lack;
    *(w->clock->broken[p] ? &w->ledger.unsaid : stood ? &w->ledger.missing : &w->ledger.unheard) += lack;
    if (!w->clock->broken[p])
        w->nodes[c->node].counts[stood ? NODE_MISSING : NODE_UNHEARD] += lack;
}

static void close_book(struct pusher *w)
{
    for (uint32_t i = 0; i < w->subscribers; i++) {
        const struct peer *c = &w->peers[i];
        for (uint32_t k = 0; c->joined && k < w->o->joins; k++)
            for (uint32_t p = 0; p < w->o->publishers; p++)
                count_lack(w, c, k, p);
    }
    w->phase = PUSHER_QUIET;
}

/* The user does not want to wait: what is not ready will not be. */
static void stop_opening(struct pusher *w)
{
    w->fresh = w->count;
    for (uint32_t i = 0; i < w->count; i++) {
        struct peer *c = &w->peers[i];
        if (c->state == PEER_NONE || peer_is_greeting(c)) {
            peer_end(c);
            c->state = PEER_GONE;
        }
    }
    w->greeting = 0;
}

static void end_all(struct pusher *w)
{
    for (uint32_t i = 0; i < w->count; i++)
        peer_end(&w->peers[i]);
    w->phase = PUSHER_DONE;
}

static bool waits(const struct peer *c)
{
    return peer_is_greeting(c) || c->state == PEER_LEAVING;
}

static void sweep(struct pusher *w, uint64_t now)
{
    if (now < w->next_sweep)
        return;
    uint64_t patience = (uint64_t) (w->o->timeout_s * (double) NS_PER_S);
    for (uint32_t i = 0; i < w->fresh; i++) {
        struct peer *c = &w->peers[i];
        peer_go_on(w, c, now);
        if (waits(c) && now > c->since + patience)
            peer_look(w, c); /* this loop may be what was late */
        if (waits(c) && now > c->since + patience)
            peer_fault(w, c, FAULT_TIMEOUT);
    }
    w->next_sweep = now + SWEEP_NS;
}

/* ---- Phases ---- */

static struct push_snapshot take_snapshot(const struct pusher *w, uint64_t now)
{
    return (struct push_snapshot){
        .at = now, .cpu = thread_cpu_ns(), .published = w->ledger.published, .received = w->ledger.received};
}

void pusher_read_clock(struct pusher *w)
{
    uint64_t start = atomic_load_explicit(&w->clock->start, memory_order_acquire);
    if (start == 0)
        return;
    w->pace = pace_make(start, w->o->rate);
    w->begin = atomic_load_explicit(&w->clock->window, memory_order_relaxed);
    w->end = atomic_load_explicit(&w->clock->end, memory_order_relaxed);
}

/* Move on as far as the clock and the connections allow. */
static void advance(struct pusher *w, uint64_t now)
{
    if (w->phase <= PUSHER_SPEAK)
        pusher_read_clock(w);
    if (w->phase == PUSHER_OPEN && w->pace.start != 0)
        stop_opening(w);
    if (w->phase == PUSHER_OPEN && w->fresh == w->count && w->greeting == 0)
        w->phase = PUSHER_READY;
    if (w->phase == PUSHER_READY && w->pace.start != 0 && now >= w->pace.start)
        w->phase = PUSHER_SPEAK;
    if (w->phase == PUSHER_SPEAK && w->at_begin.at == 0 && now >= w->begin)
        w->at_begin = take_snapshot(w, now);
    if (w->phase == PUSHER_SPEAK && now >= w->end) {
        w->at_end = take_snapshot(w, now);
        if (w->at_begin.at == 0)
            w->at_begin = w->at_end;
        stop_speaking(w, now);
    }
    if (w->phase == PUSHER_LEAVE && all_read(w)) {
        tell_broken(w);
        w->phase = PUSHER_SAID;
        w->moved = now;
    }
    if (w->phase == PUSHER_SAID && atomic_load_explicit(&w->clock->settle, memory_order_acquire))
        begin_to_hear(w);
    if (w->phase == PUSHER_HEAR && is_settled(w, now))
        close_book(w);
    if (w->phase == PUSHER_QUIET && atomic_load_explicit(&w->clock->close, memory_order_acquire))
        end_all(w);
}

static uint64_t earlier(uint64_t a, uint64_t b)
{
    return a < b ? a : b;
}

static uint64_t turn(struct pusher *w, uint64_t now)
{
    uint64_t next = now + (w->phase == PUSHER_SPEAK ? NAP_NS : SHORT_NAP_NS);
    if (w->phase == PUSHER_OPEN)
        next = earlier(next, open_some(w, now));
    if (w->phase == PUSHER_SPEAK) {
        next = earlier(next, w->at_begin.at == 0 ? w->begin : w->end);
        next = earlier(next, speak(w, now));
    }
    sweep(w, now);
    return next;
}

static void publish(struct pusher *w)
{
    uint64_t faults = 0;
    for (int f = 0; f < FAULT_COUNT; f++)
        faults += w->ledger.faults[f];
    atomic_store_explicit(&w->live.ready, w->ledger.ready, memory_order_relaxed);
    atomic_store_explicit(&w->live.published, w->ledger.published, memory_order_relaxed);
    atomic_store_explicit(&w->live.received, w->ledger.received, memory_order_relaxed);
    atomic_store_explicit(&w->live.faults, faults, memory_order_relaxed);
    atomic_store_explicit(&w->live.phase, (int) w->phase, memory_order_release);
}

/* Wait until something is ready or `until`, and handle it. */
static void wait_and_handle(struct pusher *w, uint64_t until)
{
    struct epoll_event events[EVENTS];
    uint64_t now = mono_ns(), left = until > now ? until - now : 0;
    struct timespec t = {.tv_sec = (time_t) (left / NS_PER_S), .tv_nsec = (long) (left % NS_PER_S)};
    int n = epoll_pwait2(w->epoll, events, EVENTS, &t, NULL);
    if (n > 0)
        w->day = real_ns() - mono_ns();
    for (int i = 0; i < n; i++)
        peer_event(w, events[i].data.ptr, events[i].events);
}

static void *pusher_main(void *arg)
{
    struct pusher *w = arg;
    prctl(PR_SET_TIMERSLACK, 1ul, 0ul, 0ul, 0ul);
    for (;;) {
        uint64_t now = mono_ns();
        advance(w, now);
        publish(w);
        if (w->phase == PUSHER_DONE)
            return NULL;
        wait_and_handle(w, turn(w, now));
    }
}

int pusher_start(struct pusher *w)
{
    return pthread_create(&w->thread, NULL, pusher_main, w);
}

void pusher_join(struct pusher *w)
{
    pthread_join(w->thread, NULL);
}
