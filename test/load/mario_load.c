/*
 * mario_load.c: the load generator's main thread. It reads the command line, makes the workers, sets the
 * clock for them, looks at the server's CPU at both ends of the window, and reports. The workers do the rest
 * (worker.c).
 */
#include <errno.h>
#include <inttypes.h>
#include <signal.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

#include "common.h"
#include "hold.h"
#include "mode.h"
#include "options.h"
#include "push.h"
#include "report.h"
#include "test/lib/args.h"
#include "test/lib/clock.h"
#include "test/lib/proc.h"
#include "worker.h"

#define SPARE_FDS 32u /* beside the connections: standard ones, epoll, /proc */
#define GLANCE_NS (5 * NS_PER_MS)
#define STATUS_NS NS_PER_S

struct run {
    struct load_options o;
    struct worker **workers;
    struct worker_clock clock;
    uint64_t next_status;
    uint64_t cpu_begin, cpu_end;
    int cpu_known;
    int tty; /* standard error is a terminal */
    struct server_use use;
};

static void status(struct run *run)
{
    uint64_t now = mono_ns();
    if (now < run->next_status || (!run->tty && !run->o.verbose))
        return;
    run->next_status = now + STATUS_NS;
    report_live(&run->o, run->workers, stderr, run->tty);
}

static void status_end(const struct run *run)
{
    if (run->next_status != 0 && run->tty)
        fputs("\r\033[K", stderr);
}

/* All workers have come at least as far as this phase. */
static int reached(const struct run *run, enum worker_phase phase)
{
    for (uint32_t i = 0; i < run->o.threads; i++)
        if (atomic_load_explicit(&run->workers[i]->live.phase, memory_order_acquire) < (int) phase)
            return 0;
    return 1;
}

/* Nothing could be connected and everything has been tried. */
static int hopeless(const struct run *run)
{
    uint64_t faults = 0;
    for (uint32_t i = 0; i < run->o.threads; i++) {
        const struct live *l = &run->workers[i]->live;
        if (atomic_load_explicit(&l->connects, memory_order_relaxed) > 0)
            return 0;
        faults += atomic_load_explicit(&l->faults, memory_order_relaxed);
    }
    return faults >= (uint64_t) run->o.connections + run->o.idle;
}

/* Sleep until `until`, or until all workers have reached `phase`, or the run is to end early. */
static void watch(struct run *run, uint64_t until, enum worker_phase phase)
{
    for (uint64_t now;
         (now = mono_ns()) < until && !reached(run, phase) && !common_interrupted && !hopeless(run);) {
        common_nap(until - now < GLANCE_NS ? until - now : GLANCE_NS);
        status(run);
    }
}

static void set_clock(struct run *run, uint64_t start, uint64_t window, uint64_t end)
{
    atomic_store_explicit(&run->clock.window, window, memory_order_relaxed);
    atomic_store_explicit(&run->clock.end, end, memory_order_relaxed);
    atomic_store_explicit(&run->clock.start, start, memory_order_release);
}

static void look(const struct run *run, uint64_t *cpu, int *known)
{
    *known = run->o.server != 0 && proc_cpu_ns(run->o.server, cpu) == 0;
}

/* From the first connect to the last close. */
static void conduct(struct run *run)
{
    const struct load_options *o = &run->o;
    int known;
    watch(run, UINT64_MAX, PHASE_READY);
    uint64_t start = mono_ns() + GLANCE_NS;
    uint64_t window = start + (uint64_t) (o->warmup_s * (double) NS_PER_S);
    uint64_t end = window + (uint64_t) (o->measure_s * (double) NS_PER_S);
    set_clock(run, start, window, end);
    watch(run, window, PHASE_DRAIN);
    look(run, &run->cpu_begin, &run->cpu_known);
    watch(run, end, PHASE_DRAIN);
    look(run, &run->cpu_end, &known);
    run->cpu_known = run->cpu_known && known && run->cpu_end >= run->cpu_begin;
    uint64_t rss = o->server != 0 ? proc_rss_kb(o->server) : 0;
    run->use.rss_kb = rss != 0 ? (int64_t) rss : -1;
    run->use.cpu_s = run->cpu_known ? (double) (run->cpu_end - run->cpu_begin) / (double) NS_PER_S : -1;
    if (mono_ns() < end)
        atomic_store_explicit(&run->clock.end, mono_ns(), memory_order_relaxed);
    atomic_store_explicit(&run->clock.measured, true, memory_order_release);
    watch(run, UINT64_MAX, PHASE_DONE);
}

static int start_workers(struct run *run)
{
    sigset_t block, old;
    sigfillset(&block);
    pthread_sigmask(SIG_SETMASK, &block, &old); /* signals are the main thread's */
    int err = 0;
    for (uint32_t i = 0; i < run->o.threads && err == 0; i++)
        err = worker_start(run->workers[i]);
    pthread_sigmask(SIG_SETMASK, &old, NULL);
    return err;
}

static int make_workers(struct run *run)
{
    run->workers = calloc(run->o.threads, sizeof(struct worker *));
    for (uint32_t i = 0; run->workers != NULL && i < run->o.threads; i++)
        if ((run->workers[i] = worker_create(&run->o, &run->clock, i)) == NULL)
            return errno;
    return run->workers != NULL ? 0 : ENOMEM;
}

static int prepare(struct run *run)
{
    uint64_t cpu;
    if (args_descriptors((uint64_t) run->o.connections + run->o.idle + run->o.threads + SPARE_FDS) != 0)
        return 2;
    if (run->o.server != 0 && proc_cpu_ns(run->o.server, &cpu) != 0)
        return common_cannot("-P", "there is no such process");
    int err = make_workers(run);
    return err == 0 ? 0 : common_cannot("cannot make the connections", strerror(err));
}

static void write_json(const void *r, FILE *out)
{
    report_json(r, out);
}

static void write_histogram(const void *r, FILE *out)
{
    hist_write(&((const struct result *) r)->hist, out);
}

/* The errno of a connect that failed, or 0. */
static int first_errno(const struct run *run)
{
    for (uint32_t i = 0; i < run->o.threads; i++)
        if (run->workers[i]->first_errno != 0)
            return run->workers[i]->first_errno;
    return 0;
}

static int finish(struct run *run)
{
    static struct result r;
    report_sum(&r, &run->o, run->workers, run->use);
    if (r.ledger.connects == 0 && r.errors > 0) {
        char what[256];
        snprintf(what, sizeof what, "connect to %s", run->o.targets.name);
        return common_nobody(what, first_errno(run), r.ledger.faults);
    }
    report_print(&r, common_summary(&run->o));
    report_advise(&r);
    if (run->o.json != NULL && common_write(run->o.json, write_json, &r) != 0)
        return 2;
    if (run->o.histogram != NULL && common_write(run->o.histogram, write_histogram, &r) != 0)
        return 2;
    return r.errors > 0 || r.ledger.lost > 0 || report_unbalanced(&r) || report_rate_missed(&r) ? 1 : 0;
}

int main(int argc, char **argv)
{
    static struct run run;
    args_program("mario_load");
    run.tty = isatty(STDERR_FILENO);
    int code = options_read(argc, argv, &run.o);
    if (code >= 0)
        return code;
    if (run.o.mode->holds)
        return hold_run(&run.o, run.tty);
    if (run.o.mode->pushes)
        return push_run(&run.o, run.tty);
    if ((code = prepare(&run)) != 0)
        return code;
    common_catch_signals();
    int err = start_workers(&run);
    if (err != 0)
        return common_cannot("cannot start a thread", strerror(err));
    conduct(&run);
    for (uint32_t i = 0; i < run.o.threads; i++)
        worker_join(run.workers[i]);
    status_end(&run);
    code = finish(&run);
    for (uint32_t i = 0; i < run.o.threads; i++)
        worker_destroy(&run.workers[i]);
    free(run.workers);
    return code;
}
