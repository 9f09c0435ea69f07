/*
 * live.c: what the live page asks for. Runs on the admin thread, but for setup and teardown.
 */
#include "mario/admin/live.h"

#include <event2/event.h>
#include <stdio.h>
#include <stdlib.h>
#include <sys/time.h>
#include <unistd.h>

#include "mario/admin/admin.h"
#include "mario/admin/args.h"
#include "mario/admin/command.h"
#include "mario/admin/history.h"
#include "mario/admin/worker_row.h"
#include "mario/base/clock.h"
#include "mario/exec/timing.h"
#include "mario/mario_util.h"

enum { SECOND_NS = 1000000000, HOST_SIZE = 64 };

/* What a second's numbers are made of. */
static const struct {
    enum history_series series;
    enum counter counter;
} rates[] = {
    {HISTORY_accepts, STAT_accepted},     {HISTORY_closes, STAT_closed},
    {HISTORY_packets, STAT_packets_in},   {HISTORY_received, STAT_bytes_in},
    {HISTORY_sent, STAT_bytes_out},       {HISTORY_refused, STAT_refused_full},
    {HISTORY_refused, STAT_refused_ring},
};
enum { RATES = sizeof rates / sizeof rates[0] };

static struct {
    struct event *event;
    struct history *history;
    uint64_t looked_ns;
    uint64_t before[RATES];
    char boot[48];
    char host[HOST_SIZE];
} the;

static uint64_t sum_of(enum counter c)
{
    const struct admin_view *v = admin_view();
    uint64_t sum = stats_get_shared(c);
    for (uint32_t i = 0; i <= v->workernum; i++)
        sum += stats_get(&v->stats[i], c);
    return sum;
}

static uint64_t connections(void)
{
    uint64_t sum = 0;
    for (uint32_t i = 0; i < admin_view()->workernum; i++)
        sum += worker_connections(i);
    return sum;
}

/* ---- Each second ---- */

static void measure(struct history_row *row, double elapsed)
{
    *row = (struct history_row){.known = true, .value = {[HISTORY_connections] = connections()}};
    for (int i = 0; i < RATES; i++) {
        uint64_t now = sum_of(rates[i].counter);
        row->value[rates[i].series] += (uint64_t) ((double) (now - the.before[i]) / elapsed + 0.5);
        the.before[i] = now;
    }
    for (uint32_t i = 0; i < admin_view()->workernum; i++) {
        struct worker_load load = worker_load(i);
        uint64_t busy = load.busy < 0 ? 0 : (uint64_t) (load.busy * 1000 + 0.5),
                 lag = (uint64_t) (load.lag * 1e6);
        if (busy > row->value[HISTORY_busy])
            row->value[HISTORY_busy] = busy;
        if (lag > row->value[HISTORY_lag])
            row->value[HISTORY_lag] = lag;
    }
}

/* If this thread, or the machine, was held up, the seconds between are not known. */
static void on_second(evutil_socket_t fd, short what, void *arg)
{
    struct history_row row;
    uint64_t now = clock_ns(), passed = now - the.looked_ns;
    (void) fd;
    (void) what;
    (void) arg;
    if (passed < SECOND_NS / 10)
        return; /* libevent catches up */
    double elapsed = (double) passed / SECOND_NS;
    the.looked_ns = now;
    worker_rows_tick(elapsed);
    measure(&row, elapsed);
    if (passed >= 2ull * SECOND_NS)
        history_skip(the.history, passed / SECOND_NS - 1);
    history_add(the.history, &row);
}

/* ---- The commands ---- */

static void put_server(struct mario_answer *a, const struct mario_drain *d)
{
    static const char *const timings[] = {
        [MARIO_TIMING_OFF] = "off", [MARIO_TIMING_SAMPLED] = "sampled", [MARIO_TIMING_ALL] = "all"};
    const struct admin_view *v = admin_view();
    mario_answer_object(a, "server");
    mario_answer_text(a, "version", mario_version());
    mario_answer_text(a, "host", the.host);
    mario_answer_number(a, "pid", (uint64_t) getpid());
    mario_answer_real(a, "uptime", (double) (clock_ms() - v->started_ms) / 1000);
    mario_answer_text(a, "state",
                      d->state != MARIO_DRAIN_NONE ? "draining"
                      : v->is_ready(v->master_who) ? "serving"
                                                   : "stopping");
    mario_answer_number(a, "limit", (uint64_t) v->workernum * v->connnum);
    mario_answer_text(a, "timing", timings[atomic_load_explicit(&timing_rules.mode, memory_order_relaxed)]);
    mario_answer_end(a);
}

static void put_counters(struct mario_answer *a)
{
    mario_answer_object(a, "counters");
    for (int c = 0; c < STAT_COUNT; c++) {
        uint64_t n = sum_of((enum counter) c);
        if (n != 0)
            mario_answer_number(a, stats_name((enum counter) c), n);
    }
    mario_answer_end(a);
}

static void put_workers(struct mario_answer *a)
{
    mario_answer_list(a, "workers");
    for (uint32_t i = 0; i < admin_view()->workernum; i++)
        worker_row_put(a, i);
    mario_answer_end(a);
}

static void put_drain(struct mario_answer *a, const struct mario_drain *d)
{
    static const char *const states[] = {[MARIO_DRAIN_NONE] = "off",
                                         [MARIO_DRAIN_DELAY] = "delay",
                                         [MARIO_DRAIN_CLOSING] = "closing",
                                         [MARIO_DRAIN_PAUSED] = "paused",
                                         [MARIO_DRAIN_DONE] = "done"};
    mario_answer_object(a, "drain");
    mario_answer_text(a, "state", states[d->state]);
    mario_answer_number(a, "total", d->total);
    mario_answer_number(a, "told", d->left);
    mario_answer_real(a, "rate", d->rate);
    mario_answer_number(a, "seconds", d->seconds);
    mario_answer_end(a);
}

static void put_row(struct mario_answer *a, const struct history_row *row)
{
    mario_answer_list(a, NULL);
    for (int i = 0; row->known && i < HISTORY_COUNT; i++)
        mario_answer_number(a, NULL, row->value[i]);
    mario_answer_end(a);
}

static void put_history(struct mario_answer *a, uint64_t since, uint64_t now)
{
#define ROW(name) #name,
    static const char *const names[] = {HISTORY_SERIES(ROW)};
#undef ROW
    const struct history *h = the.history;
    mario_answer_object(a, "history");
    mario_answer_number(a, "last", h->last);
    mario_answer_number(a, "time", now - (clock_ns() - the.looked_ns) / 1000000);
    mario_answer_list(a, "series");
    for (int i = 0; i < HISTORY_COUNT; i++)
        mario_answer_text(a, NULL, names[i]);
    mario_answer_end(a);
    mario_answer_list(a, "rows");
    for (uint64_t i = history_from(h, since); i <= h->last; i++)
        put_row(a, history_at(h, i));
    mario_answer_end(a);
    mario_answer_end(a);
}

static enum mario_answer_when on_live(struct mario_answer *a, uint32_t argc, const char *const argv[],
                                      void *arg)
{
    struct args s = args_of(a, argc, argv);
    struct mario_drain drain;
    struct timeval now;
    uint64_t since = 0;
    (void) arg;
    args_number(&s, "since=", &since, 0, UINT64_MAX);
    if (!args_good(&s))
        return MARIO_ANSWER_NOW;
    gettimeofday(&now, NULL);
    uint64_t ms = (uint64_t) now.tv_sec * 1000 + (uint64_t) now.tv_usec / 1000;
    mario_answer_number(a, "now", ms); /* like all times of day here: ms since 1970 */
    mario_answer_text(a, "boot", the.boot);
    mario_drain_status(admin_view()->server, &drain);
    put_server(a, &drain);
    mario_answer_number(a, "connections", connections());
    put_counters(a);
    put_workers(a);
    put_drain(a, &drain);
    put_history(a, since, ms);
    return MARIO_ANSWER_NOW;
}

/* ---- Before and after ---- */

bool live_setup(struct event_base *base)
{
    static const struct command commands[] = {
        {"live", "[since=N]", "what the live page shows", MARIO_COMMAND_READS, on_live, NULL}};
    struct timeval every = {.tv_sec = 1};
    snprintf(the.boot, sizeof the.boot, "%ld.%llu", (long) getpid(),
             (unsigned long long) admin_view()->started_ms);
    gethostname(the.host, sizeof the.host - 1);
    the.history = calloc(1, sizeof *the.history);
    the.event = event_new(base, -1, EV_PERSIST, on_second, NULL);
    the.looked_ns = clock_ns();
    for (int i = 0; i < RATES; i++)
        the.before[i] = sum_of(rates[i].counter);
    return the.history != NULL && the.event != NULL && event_add(the.event, &every) == 0 &&
           worker_rows_setup() && commands_regist(commands, sizeof commands / sizeof commands[0]);
}

void live_teardown(void)
{
    if (the.event != NULL)
        event_free(the.event);
    free(the.history);
    the.event = NULL;
    the.history = NULL;
    worker_rows_teardown();
}
