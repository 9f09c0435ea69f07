/*
 * metrics.c: all numbers in Prometheus' text format. The admin thread.
 *
 * What is a counter comes from the counter table (stats.h), the rest from here. No label names a client or a
 * connection: there would be a line for each of them, for ever.
 */
#include "mario/admin/metrics.h"

#include <inttypes.h>
#include <netinet/in.h>
#include <netinet/tcp.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/socket.h>

#include "mario/admin/admin.h"
#include "mario/admin/prom.h"
#include "mario/conn/conn.h"
#include "mario/conn/message.h"
#include "mario/exec/timing.h"
#include "mario/mario_util.h"
#include "mario/push/port.h"

/* The buckets of durations: 1.024 us, and four times the one before it. Powers of two are where a histogram's own
 * buckets end (timing.h), so none is split. */
enum { BUCKETS = 14, FIRST_BITS = 10, STEP_BITS = 2 };

/* ---- The counter table ---- */

/* What rows say together that are one metric. */
static const struct {
    const char *family, *help;
} families[] = {
    {"refused_total", "Connections closed at once, by reason."},
    {"accept_errors_total", "Times accept failed, by error."},
    {"watch_events_total", "What the watch over functions has seen."},
    {"deaths_total",
     "What forerunners of this process died of, since they were watched by mario_supervise()."},
    {"tls_handshakes_total", "Handshakes of TLS that came to a good end, by version."},
    {"tls_failed_total", "Handshakes of TLS that failed, and records that were none, by what was wrong."},
    {"connections_closed_total", "Connections that ended, by reason."},
};

static const char *help_of(const char *family, const char *otherwise)
{
    for (size_t i = 0; i < sizeof families / sizeof families[0]; i++) {
        if (strcmp(families[i].family, family) == 0)
            return families[i].help;
    }
    return otherwise;
}

static void write_counters(struct prom *p, const struct admin_view *v)
{
    char family[64] = "";
    for (uint32_t i = 0; i < STAT_COUNT; i++) {
        const char *metric = stats_metric((enum counter) i);
        size_t n = strcspn(metric, "{");
        if (n == 0)
            continue;
        if (strncmp(family, metric, n) != 0 || family[n] != '\0') {
            snprintf(family, sizeof family, "%.*s", (int) n, metric);
            prom_family(p, family, stats_is_gauge((enum counter) i) ? PROM_GAUGE : PROM_COUNTER,
                        help_of(family, stats_help((enum counter) i)));
        }
        prom_sample(p, "");
        if (metric[n] == '{')
            prom_labels(p, metric + n + 1, strlen(metric + n) - 2);
        prom_number(p, mario_stat_value(v->server, i));
    }
}

/* ---- One number ---- */

static uint64_t limit_of(const struct admin_view *v)
{
    return (uint64_t) v->workernum * v->connnum;
}

static uint64_t log_dropped(const struct admin_view *v)
{
    (void) v;
    return mario_log_dropped();
}

static uint64_t reload_is_good(const struct admin_view *v)
{
    return mario_reload_is_good(v->server) != 0;
}

static uint64_t memory_of_messages(const struct admin_view *v)
{
    (void) v;
    return message_memory();
}

static uint64_t pool_threads(const struct admin_view *v)
{
    return registry_offload_count() > 0 ? v->offload_threads : 0;
}

static uint64_t pool_busy(const struct admin_view *v)
{
    uint64_t n = 0;
    for (uint32_t i = 0; i < v->offload_threads; i++)
        n += activity_kind(atomic_load_explicit(&v->activities[ACTIVITIES_OF_POOL + i].what,
                                                memory_order_relaxed)) != ACTIVITY_IDLE;
    return n;
}

static const struct {
    const char *family;
    enum prom_kind kind;
    const char *help;
    uint64_t (*value)(const struct admin_view *v);
} singles[] = {
    {"connections_limit", PROM_GAUGE, "Connections that all workers have room for.", limit_of},
    {"log_dropped_total", PROM_COUNTER, "Lines of the log that were lost: its queues were full, or the disk.",
     log_dropped},
    {"config_last_reload_successful", PROM_GAUGE, "1 unless the last reload was refused.", reload_is_good},
    {"push_memory_bytes", PROM_GAUGE, "Bytes that messages and what waits of them take.", memory_of_messages},
    {"offload_threads", PROM_GAUGE, "Threads for offloaded functions.", pool_threads},
    {"offload_busy", PROM_GAUGE, "Of these, those that run a function now.", pool_busy},
};

static void write_singles(struct prom *p, const struct admin_view *v)
{
    for (size_t i = 0; i < sizeof singles / sizeof singles[0]; i++) {
        prom_family(p, singles[i].family, singles[i].kind, singles[i].help);
        prom_sample(p, "");
        prom_number(p, singles[i].value(v));
    }
    prom_family(p, "build_info", PROM_GAUGE, "1, with the version of the library.");
    prom_sample(p, "");
    prom_label(p, "version", mario_version());
    prom_number(p, 1);
}

/* ---- Workers ---- */

static uint64_t busy_of(const struct worker *w)
{
    return pulse_busy_ns(&w->pulse);
}

static uint64_t lag_of(const struct worker *w)
{
    return pulse_lag_ns(&w->pulse);
}

static const struct {
    const char *family;
    enum prom_kind kind;
    const char *help;
    uint64_t (*value)(const struct worker *w);
    void (*put)(struct prom *p, uint64_t value);
} of_workers[] = {
    {"loop_busy_seconds_total", PROM_COUNTER, "Time in which a worker's loop was at work.", busy_of,
     prom_seconds},
    {"loop_lag_seconds", PROM_GAUGE, "How late a worker's loop was, at most, in the last 15 seconds.", lag_of,
     prom_seconds},
};

static void put_depth(struct prom *p, uint32_t worker, const char *ring, uint64_t depth)
{
    prom_sample(p, "");
    prom_label_number(p, "worker", worker);
    prom_label(p, "ring", ring);
    prom_number(p, depth);
}

static void write_workers(struct prom *p, const struct admin_view *v)
{
    for (size_t i = 0; i < sizeof of_workers / sizeof of_workers[0]; i++) {
        prom_family(p, of_workers[i].family, of_workers[i].kind, of_workers[i].help);
        for (uint32_t k = 0; k < v->workernum; k++) {
            prom_sample(p, "");
            prom_label_number(p, "worker", k);
            of_workers[i].put(p, of_workers[i].value(&v->workers[k]));
        }
    }
    prom_family(p, "ring_depth", PROM_GAUGE,
                "What other threads have told a worker and it has not read yet.");
    for (uint32_t k = 0; k < v->workernum; k++) {
        put_depth(p, k, "inbox", worker_ring(&v->workers[k]));
        put_depth(p, k, "orders", port_depth(k));
    }
    prom_family(p, "connections", PROM_GAUGE, "Connections by state.");
    for (uint32_t k = 0; k < v->workernum; k++) {
        for (uint32_t state = CONN_FREE + 1; state < CONN_STATES; state++) {
            prom_sample(p, "");
            prom_label_number(p, "worker", k);
            prom_label(p, "state", conn_state_name((enum conn_state) state));
            prom_number(p, atomic_load_explicit(&v->workers[k].shard.in_state[state], memory_order_relaxed));
        }
    }
}

/* ---- Listeners ---- */

/* Of a listening socket the kernel says so how many wait. */
static void write_listeners(struct prom *p, const struct admin_view *v)
{
    prom_family(
        p, "accept_queue", PROM_GAUGE,
        "Connections that wait to be accepted, by the listener's place in server.listen, from 0; TCP alone.");
    for (uint32_t i = 0; i < v->listener_count; i++) {
        struct tcp_info info;
        socklen_t size = sizeof info;
        if (getsockopt(v->listeners[i].fd, IPPROTO_TCP, TCP_INFO, &info, &size) != 0)
            continue;
        prom_sample(p, "");
        prom_label_number(p, "listener", i);
        prom_number(p, info.tcpi_unacked);
    }
}

/* ---- Certificates ---- */

static uint64_t expiry_of(const struct mario_tls_certificate *c)
{
    return c->not_after > 0 ? (uint64_t) c->not_after : 0;
}

static uint64_t handshakes_of(const struct mario_tls_certificate *c)
{
    return tls_handshakes_of(c->name);
}

static const struct {
    const char *family;
    enum prom_kind kind;
    const char *help;
    uint64_t (*value)(const struct mario_tls_certificate *c);
} of_certificates[] = {
    {"tls_certificate_expiry_seconds", PROM_GAUGE,
     "When a certificate that is in use expires, in seconds since 1970.", expiry_of},
    {"tls_certificate_handshakes_total", PROM_COUNTER, "Handshakes made with a certificate's name.",
     handshakes_of},
};

/* No samples if no listener has tls=. */
static void write_certificates(struct prom *p, const struct admin_view *v)
{
    const struct tls_contexts *now = v->certificates();
    uint32_t count = now != NULL ? tls_contexts_count(now) : 0;
    for (size_t i = 0; i < sizeof of_certificates / sizeof of_certificates[0]; i++) {
        prom_family(p, of_certificates[i].family, of_certificates[i].kind, of_certificates[i].help);
        for (uint32_t k = 0; k < count; k++) {
            prom_sample(p, "");
            prom_label(p, "name", tls_contexts_at(now, k)->name);
            prom_number(p, of_certificates[i].value(tls_contexts_at(now, k)));
        }
    }
    tls_contexts_free(&now);
}

/* ---- Functions ---- */

struct function {
    char id[16], name[64];
    uint64_t calls, errors, sum;
    uint64_t below[BUCKETS + 1]; /* timed calls up to the end of each bucket; all */
};

static uint64_t end_of(uint32_t bucket)
{
    return UINT64_C(1) << (FIRST_BITS + STEP_BITS * bucket);
}

static void read_function(struct function *f, uint32_t index)
{
    struct timing_sum all;
    uint32_t k = 0;
    uint64_t below = 0;
    timing_read(index, &all);
    timing_name(index, f->id, sizeof f->id, f->name, sizeof f->name);
    f->calls = all.calls;
    f->errors = all.errors;
    f->sum = all.sum;
    for (uint32_t i = 0; i < BUCKETS; i++) {
        for (; k < TIMING_BUCKETS && timing_bucket_end(k) <= end_of(i); k++)
            below += all.bucket[k];
        f->below[i] = below;
    }
    f->below[BUCKETS] = all.timed;
}

static void put_function(struct prom *p, const struct function *f, const char *suffix)
{
    prom_sample(p, suffix);
    prom_label(p, "akg", f->id);
    prom_label(p, "name", f->name);
}

static void write_durations(struct prom *p, const struct function *f)
{
    for (uint32_t i = 0; i < BUCKETS; i++) {
        put_function(p, f, "_bucket");
        prom_label_seconds(p, "le", end_of(i));
        prom_number(p, f->below[i]);
    }
    put_function(p, f, "_bucket");
    prom_label(p, "le", "+Inf");
    prom_number(p, f->below[BUCKETS]);
    put_function(p, f, "_sum");
    prom_seconds(p, f->sum);
    put_function(p, f, "_count");
    prom_number(p, f->below[BUCKETS]);
}

static bool write_functions(struct prom *p)
{
    uint32_t n = timing_function_count();
    struct function *all = calloc(n, sizeof *all);
    if (all == NULL)
        return false;
    for (uint32_t i = 0; i < n; i++)
        read_function(&all[i], timing_function(i));
    prom_family(p, "function_calls_total", PROM_COUNTER,
                "Calls of a function, a hook, or of what needs no packet.");
    for (uint32_t i = 0; i < n; i++) {
        put_function(p, &all[i], "");
        prom_number(p, all[i].calls);
    }
    prom_family(p, "function_errors_total", PROM_COUNTER,
                "Of these, those that returned an error, did not return, or ended their thread.");
    for (uint32_t i = 0; i < n; i++) {
        put_function(p, &all[i], "");
        prom_number(p, all[i].errors);
    }
    prom_family(p, "function_duration_seconds", PROM_HISTOGRAM,
                "How long calls took, of those that stats.timing picks.");
    for (uint32_t i = 0; i < n; i++)
        write_durations(p, &all[i]);
    free(all);
    return true;
}

bool metrics_write(struct evbuffer *out)
{
    const struct admin_view *v = admin_view();
    struct prom p;
    prom_begin(&p, out);
    write_counters(&p, v);
    write_singles(&p, v);
    write_workers(&p, v);
    write_listeners(&p, v);
    write_certificates(&p, v);
    bool whole = write_functions(&p);
    return prom_end(&p) && whole;
}
