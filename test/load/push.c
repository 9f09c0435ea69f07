/*
 * push.c: the conductor of mode push: it makes the pushers, sets the clock for them, tells them what all have
 * published, looks at the server at both ends of the window, and reports. Main thread.
 */
#include "push.h"

#include <errno.h>
#include <stdlib.h>
#include <string.h>

#include "common.h"
#include "push_report.h"
#include "pusher.h"
#include "test/lib/args.h"
#include "test/lib/clock.h"
#include "test/lib/proc.h"

#define SPARE_FDS 32u /* beside the connections: standard ones, epoll, /proc */
#define GLANCE_NS (5 * NS_PER_MS)
#define STATUS_NS NS_PER_S
#define SETTLE_NS NS_PER_S /* from the last join to the first message, with several servers */

struct push {
    const struct load_options *o;
    struct pusher **pushers;
    struct push_clock clock;
    uint64_t *totals;
    struct push_result result;
    uint64_t next_status;
    int tty;
};

static int make_pushers(struct push *push)
{
    const struct load_options *o = push->o;
    push->clock.published = calloc(o->publishers, sizeof *push->clock.published);
    push->clock.broken = calloc(o->publishers, sizeof *push->clock.broken);
    push->clock.totals = push->totals = calloc(o->groups, sizeof *push->totals);
    push->pushers = calloc(o->threads, sizeof(struct pusher *));
    if (push->clock.published == NULL || push->clock.broken == NULL || push->totals == NULL ||
        push->pushers == NULL)
        return ENOMEM;
    for (uint32_t i = 0; i < o->threads; i++)
        if ((push->pushers[i] = pusher_create(o, &push->clock, i)) == NULL)
            return errno;
    return 0;
}

static void free_pushers(struct push *push)
{
    for (uint32_t i = 0; push->pushers != NULL && i < push->o->threads; i++)
        pusher_destroy(&push->pushers[i]);
    free(push->pushers);
    free(push->totals);
    free(push->clock.published);
    free(push->clock.broken);
}

/* Signals are the main thread's. */
static int start_pushers(struct push *push)
{
    sigset_t block, old;
    sigfillset(&block);
    pthread_sigmask(SIG_SETMASK, &block, &old);
    int err = 0;
    for (uint32_t i = 0; i < push->o->threads && err == 0; i++)
        err = pusher_start(push->pushers[i]);
    pthread_sigmask(SIG_SETMASK, &old, NULL);
    return err;
}

static void status(struct push *push)
{
    uint64_t now = mono_ns();
    if (now < push->next_status || (!push->tty && !push->o->verbose))
        return;
    push->next_status = now + STATUS_NS;
    push_report_live(push->o, push->pushers, push->tty);
}

/* All pushers have come at least as far as this phase. */
static bool reached(const struct push *push, enum pusher_phase phase)
{
    for (uint32_t i = 0; i < push->o->threads; i++)
        if (atomic_load_explicit(&push->pushers[i]->live.phase, memory_order_acquire) < (int) phase)
            return false;
    return true;
}

static uint64_t ready(const struct push *push)
{
    uint64_t n = 0;
    for (uint32_t i = 0; i < push->o->threads; i++)
        n += atomic_load_explicit(&push->pushers[i]->live.ready, memory_order_relaxed);
    return n;
}

/* Sleep until `until`, or until all pushers have reached `phase`, or, if that counts, a signal has come. */
static void watch(struct push *push, uint64_t until, enum pusher_phase phase, bool stoppable)
{
    for (uint64_t now;
         (now = mono_ns()) < until && !reached(push, phase) && !(stoppable && common_interrupted);) {
        common_nap(until - now < GLANCE_NS ? until - now : GLANCE_NS);
        status(push);
    }
}

static bool look(const struct push *push, uint64_t *cpu)
{
    return push->o->server != 0 && proc_cpu_ns(push->o->server, cpu) == 0;
}

/* The measured time. */
static void speak(struct push *push, uint64_t window, uint64_t end)
{
    const struct load_options *o = push->o;
    uint64_t before = 0, after = 0;
    watch(push, window, PUSHER_LEAVE, true);
    bool known = look(push, &before);
    watch(push, end, PUSHER_LEAVE, true);
    known = look(push, &after) && known && after >= before;
    uint64_t rss = o->server != 0 ? proc_rss_kb(o->server) : 0;
    push->result.rss_kb = rss != 0 ? (int64_t) rss : -1;
    push->result.server_cpu_s = known ? (double) (after - before) / (double) NS_PER_S : -1;
    if (mono_ns() < end)
        atomic_store_explicit(&push->clock.end, mono_ns(), memory_order_relaxed);
}

/* From the first connect to the last close. */
static void conduct(struct push *push)
{
    const struct load_options *o = push->o;
    watch(push, UINT64_MAX, PUSHER_READY, true);
    bool hopeless = common_interrupted || ready(push) == 0;
    /* A server tells the others of its first member while it answers him. */
    uint64_t start =
        mono_ns() + (hopeless || o->targets.count == 1 || !o->targets.nodes ? GLANCE_NS : SETTLE_NS);
    uint64_t window = start + (hopeless ? 0 : (uint64_t) (o->warmup_s * (double) NS_PER_S));
    uint64_t end = window + (hopeless ? 0 : (uint64_t) (o->measure_s * (double) NS_PER_S));
    atomic_store_explicit(&push->clock.window, window, memory_order_relaxed);
    atomic_store_explicit(&push->clock.end, end, memory_order_relaxed);
    atomic_store_explicit(&push->clock.start, start, memory_order_release);
    speak(push, window, end);
    watch(push, UINT64_MAX, PUSHER_SAID, false);
    push_totals(o, push->clock.published, push->totals);
    atomic_store_explicit(&push->clock.settle, true, memory_order_release);
    watch(push, UINT64_MAX, PUSHER_QUIET, false);
    atomic_store_explicit(&push->clock.close, true, memory_order_release);
    watch(push, UINT64_MAX, PUSHER_DONE, false);
}

static void write_json(const void *r, FILE *out)
{
    push_report_json(r, out);
}

static void write_histogram(const void *r, FILE *out)
{
    hist_write(&((const struct push_result *) r)->hist, out);
}

static int finish(struct push *push)
{
    struct push_result *r = &push->result;
    const struct load_options *o = push->o;
    push_report_sum(r, push->pushers);
    if (r->ledger.ready == 0 && r->errors > 0) {
        char what[256];
        snprintf(what, sizeof what, "log in to %s", o->targets.name);
        return common_nobody(what, r->first_errno, r->ledger.faults);
    }
    push_report_print(r, common_summary(o));
    push_report_advise(r);
    if (o->json != NULL && common_write(o->json, write_json, r) != 0)
        return 2;
    if (o->histogram != NULL && common_write(o->histogram, write_histogram, r) != 0)
        return 2;
    return push_report_failed(r) ? 1 : 0;
}

int push_run(const struct load_options *o, int tty)
{
    static struct push push;
    uint64_t cpu;
    push.o = push.result.o = o;
    push.tty = tty;
    if (args_descriptors((uint64_t) o->connections + o->publishers + o->threads + SPARE_FDS) != 0)
        return 2;
    if (o->server != 0 && proc_cpu_ns(o->server, &cpu) != 0)
        return common_cannot("-P", "there is no such process");
    int err = make_pushers(&push);
    if (err != 0) {
        free_pushers(&push);
        return common_cannot("cannot make the connections", strerror(err));
    }
    common_catch_signals();
    if ((err = start_pushers(&push)) != 0)
        return common_cannot("cannot start a thread", strerror(err));
    conduct(&push);
    for (uint32_t i = 0; i < o->threads; i++)
        pusher_join(push.pushers[i]);
    if (push.next_status != 0 && tty)
        fputs("\r\033[K", stderr);
    int code = finish(&push);
    free_pushers(&push);
    return code;
}
