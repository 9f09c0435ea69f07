/*
 * hold.c: the conductor of mode hold: it checks what the machine can carry, makes the holders, sets the clock
 * for them, looks at both ends before, between and after, and reports. Main thread.
 */
#include "hold.h"

#include <errno.h>
#include <inttypes.h>
#include <stdlib.h>
#include <string.h>
#include <time.h>
#include <unistd.h>

#include "common.h"
#include "crier.h"
#include "hold_report.h"
#include "holder.h"
#include "test/lib/args.h"
#include "test/lib/clock.h"
#include "test/lib/net.h"
#include "test/lib/proc.h"

#define SPARE_FDS 32u /* beside the connections: standard ones, epoll, /proc */
#define GLANCE_NS (5 * NS_PER_MS)
#define STATUS_NS NS_PER_S

struct hold {
    const struct load_options *o;
    struct holder **holders;
    struct hold_clock clock;
    struct hold_result result;
    uint64_t next_status, end;
    int tty;
};

static uint64_t wanted(const struct load_options *o)
{
    return (uint64_t) o->connections + o->slow + o->stopped;
}

/* What cannot go well is said before anything is opened. 0, or 2 after one line. */
static int check_machine(const struct load_options *o)
{
    uint64_t cpu, room = net_capacity(&o->targets);
    if (o->server != 0 && proc_cpu_ns(o->server, &cpu) != 0)
        return common_cannot("-P", "there is no such process");
    if (wanted(o) > room) {
        fprintf(stderr,
                "mario_load: %" PRIu64 " connections to %s: this machine's ports give %" PRIu64
                "; name more ports of the server, or widen net.ipv4.ip_local_port_range\n",
                wanted(o), o->targets.name, room);
        return 2;
    }
    room = proc_number("/proc/sys/fs/epoll/max_user_watches");
    if (wanted(o) > room) {
        fprintf(stderr,
                "mario_load: %" PRIu64 " connections: fs.epoll.max_user_watches lets a user watch %" PRIu64
                ", of which a server on this machine takes its part; raise it\n",
                wanted(o), room);
        return 2;
    }
    return args_descriptors(wanted(o) + o->threads + SPARE_FDS);
}

static int make_holders(struct hold *hold)
{
    const struct load_options *o = hold->o;
    hold->holders = calloc(o->threads, sizeof(struct holder *));
    for (uint32_t i = 0; hold->holders != NULL && i < o->threads; i++)
        if ((hold->holders[i] = holder_create(o, &hold->clock, i)) == NULL)
            return errno;
    return hold->holders != NULL ? 0 : ENOMEM;
}

static void free_holders(struct hold *hold)
{
    for (uint32_t i = 0; hold->holders != NULL && i < hold->o->threads; i++)
        holder_destroy(&hold->holders[i]);
    free(hold->holders);
}

/* Signals are the main thread's. */
static int start_holders(struct hold *hold)
{
    sigset_t block, old;
    sigfillset(&block);
    pthread_sigmask(SIG_SETMASK, &block, &old);
    int err = 0;
    for (uint32_t i = 0; i < hold->o->threads && err == 0; i++)
        err = holder_start(hold->holders[i]);
    pthread_sigmask(SIG_SETMASK, &old, NULL);
    return err;
}

static void look(struct hold *hold, int which)
{
    struct hold_look *l = &hold->result.looks[which];
    *l = (struct hold_look){.at = mono_ns(),
                            .client_cpu = process_cpu_ns(),
                            .client_rss = proc_rss_kb(getpid()),
                            .kernel = proc_kernel()};
    if (hold->o->server == 0)
        return;
    bool known = proc_cpu_ns(hold->o->server, &l->server_cpu) == 0;
    l->server_rss = proc_rss_kb(hold->o->server);
    hold->result.server_known = (which == LOOK_BEFORE || hold->result.server_known) && known;
}

static void status(struct hold *hold)
{
    uint64_t now = mono_ns();
    if (now < hold->next_status || (!hold->tty && !hold->o->verbose))
        return;
    hold->next_status = now + STATUS_NS;
    hold_report_live(hold->o, hold->holders, hold->end, hold->tty);
}

/* All holders have come at least as far as this phase. */
static bool reached(const struct hold *hold, enum holder_phase phase)
{
    for (uint32_t i = 0; i < hold->o->threads; i++)
        if (atomic_load_explicit(&hold->holders[i]->live.phase, memory_order_acquire) < (int) phase)
            return false;
    return true;
}

static bool gave_up(const struct hold *hold)
{
    for (uint32_t i = 0; i < hold->o->threads; i++)
        if (atomic_load_explicit(&hold->holders[i]->live.gave_up, memory_order_relaxed))
            return true;
    return false;
}

static uint64_t open_now(const struct hold *hold)
{
    uint64_t open = 0;
    for (uint32_t i = 0; i < hold->o->threads; i++)
        open += atomic_load_explicit(&hold->holders[i]->live.open, memory_order_relaxed);
    return open;
}

/* Sleep until `until`, or until all holders have reached `phase`, or, if that counts, a signal has come. */
static void watch(struct hold *hold, uint64_t until, enum holder_phase phase, bool stoppable)
{
    for (uint64_t now;
         (now = mono_ns()) < until && !reached(hold, phase) && !(stoppable && common_interrupted);) {
        common_nap(until - now < GLANCE_NS ? until - now : GLANCE_NS);
        if (common_interrupted)
            atomic_store_explicit(&hold->clock.hurry, true, memory_order_relaxed);
        status(hold);
    }
}

static uint64_t told_now(const struct hold *hold)
{
    uint64_t told = 0;
    for (uint32_t i = 0; i < hold->o->threads; i++)
        told += atomic_load_explicit(&hold->holders[i]->live.told, memory_order_relaxed);
    return told;
}

/* Wait until broadcasts have been heard so many times in all, as long as it goes on. */
static bool await_told(struct hold *hold, uint64_t wanted)
{
    uint64_t patience = (uint64_t) (hold->o->timeout_s * (double) NS_PER_S);
    for (uint64_t told = told_now(hold), moved = mono_ns(); told < wanted;) {
        uint64_t more = told_now(hold), now = mono_ns();
        if (common_interrupted || (more == told && now - moved > patience))
            return false;
        moved = more > told ? now : moved;
        told = more;
        common_nap(GLANCE_NS);
        status(hold);
    }
    return true;
}

/* All are in the group: say what is to be said, one after the other has been heard. */
static void cry(struct hold *hold)
{
    struct hold_result *r = &hold->result;
    const struct load_options *o = hold->o;
    struct crier crier;
    uint64_t members = open_now(hold);
    r->crier_failed = common_interrupted ? "interrupted" : crier_open(&crier, o);
    if (r->crier_failed != NULL)
        return;
    r->crier_failed = crier_count(&crier, o, &r->who);
    for (bool all = true; r->crier_failed == NULL && all && r->said < o->broadcasts;) {
        atomic_store_explicit(&hold->clock.said_at, mono_ns(), memory_order_release);
        r->crier_failed = crier_say(&crier, o, (uint32_t) r->said);
        r->said += r->crier_failed == NULL;
        all = r->crier_failed == NULL && await_told(hold, r->said * members);
    }
    crier_close(&crier);
}

/* From the first connect to the last close. */
static void conduct(struct hold *hold)
{
    watch(hold, UINT64_MAX, HOLDER_READY, true);
    bool hopeless = common_interrupted || gave_up(hold) || open_now(hold) == 0;
    hold->result.open_first = open_now(hold);
    look(hold, LOOK_OPEN);
    uint64_t start = mono_ns() + (hopeless ? 0 : GLANCE_NS);
    hold->end = start + (hopeless ? 0 : (uint64_t) (hold->o->measure_s * (double) NS_PER_S));
    atomic_store_explicit(&hold->clock.end, hold->end, memory_order_relaxed);
    atomic_store_explicit(&hold->clock.start, start, memory_order_release);
    watch(hold, hold->end, HOLDER_ROLL, true);
    if (mono_ns() < hold->end) {
        hold->end = mono_ns();
        atomic_store_explicit(&hold->clock.end, hold->end, memory_order_relaxed);
    }
    hold->result.hold_s = hold->end > start ? (double) (hold->end - start) / (double) NS_PER_S : 0;
    look(hold, LOOK_END);
    watch(hold, UINT64_MAX, HOLDER_LISTEN, false);
    if (hold->o->broadcasts > 0)
        cry(hold);
    atomic_store_explicit(&hold->clock.said_all, true, memory_order_relaxed);
    watch(hold, UINT64_MAX, HOLDER_QUIET, false);
    atomic_store_explicit(&hold->clock.close, true, memory_order_release);
    watch(hold, UINT64_MAX, HOLDER_DONE, false);
}

static void write_json(const void *r, FILE *out)
{
    hold_report_json(r, out);
}

static void write_histogram(const void *r, FILE *out)
{
    hist_write(&((const struct hold_result *) r)->hist, out);
}

static int none_opened(const struct hold_result *r)
{
    char what[256];
    snprintf(what, sizeof what, "log in to %s", r->o->targets.name);
    return common_nobody(what, r->first_errno, r->ledger.refused);
}

static int finish(struct hold *hold)
{
    struct hold_result *r = &hold->result;
    const struct load_options *o = hold->o;
    r->gave_up = gave_up(hold);
    hold_report_sum(r, hold->holders);
    if (r->ledger.opened == 0 && r->refused > 0)
        return none_opened(r);
    hold_report_print(r, common_summary(o));
    hold_report_advise(r);
    if (o->json != NULL && common_write(o->json, write_json, r) != 0)
        return 2;
    if (o->histogram != NULL && common_write(o->histogram, write_histogram, r) != 0)
        return 2;
    return hold_report_failed(r) ? 1 : 0;
}

int hold_run(const struct load_options *o, int tty)
{
    static struct hold hold;
    hold.o = hold.result.o = o;
    hold.tty = tty;
    int code = check_machine(o);
    if (code != 0)
        return code;
    look(&hold, LOOK_BEFORE);
    int err = make_holders(&hold);
    if (err != 0) {
        free_holders(&hold);
        return common_cannot("cannot make the connections", strerror(err));
    }
    common_catch_signals();
    if ((err = start_holders(&hold)) != 0)
        return common_cannot("cannot start a thread", strerror(err));
    conduct(&hold);
    for (uint32_t i = 0; i < o->threads; i++)
        holder_join(hold.holders[i]);
    if (hold.next_status != 0 && tty)
        fputs("\r\033[K", stderr);
    code = finish(&hold);
    free_holders(&hold);
    return code;
}
