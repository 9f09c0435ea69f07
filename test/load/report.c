/*
 * report.c: what a run gave. Main thread. report_live may run beside the workers, the rest only after them.
 */
#include "report.h"

#include <inttypes.h>
#include <string.h>

#include "common.h"
#include "mode.h"
#include "test/lib/clock.h"

static void add_ledger(struct ledger *into, const struct ledger *from)
{
    into->asked += from->asked;
    into->sent += from->sent;
    into->answered += from->answered;
    into->lost += from->lost;
    into->unsent += from->unsent;
    into->connects += from->connects;
    for (int f = 0; f < FAULT_COUNT; f++)
        into->faults[f] += from->faults[f];
}

void report_sum(struct result *r, const struct load_options *o, struct worker *const *workers,
                struct server_use use)
{
    *r = (struct result){.o = o, .server = use};
    hist_clear(&r->hist);
    for (uint32_t i = 0; i < o->threads; i++) {
        const struct worker *w = workers[i];
        add_ledger(&r->ledger, &w->ledger);
        nodes_add(r->nodes, w->nodes, o);
        hist_merge(&r->hist, &w->hist);
        r->seconds += (double) (w->at_end.at - w->at_begin.at) / (double) NS_PER_S / o->threads;
        r->client_cpu_s += (double) (w->at_end.cpu - w->at_begin.cpu) / (double) NS_PER_S;
        r->requests += w->at_end.answered - w->at_begin.answered;
        r->connects += w->at_end.connects - w->at_begin.connects;
        r->not_sent += w->not_sent;
    }
    for (int f = 0; f < FAULT_COUNT; f++)
        r->errors += r->ledger.faults[f];
}

int report_unbalanced(const struct result *r)
{
    const struct ledger *l = &r->ledger;
    return l->sent != l->answered + l->lost || l->asked != l->sent + l->unsent;
}

int report_rate_missed(const struct result *r)
{
    return r->not_sent > (r->requests + r->not_sent) / 100;
}

/* n a second, or 0 without time. */
static double per_second(uint64_t n, double seconds)
{
    return seconds > 0 ? (double) n / seconds : 0;
}

static double percentile_us(const struct result *r, double percent)
{
    return (double) hist_percentile(&r->hist, percent) / (double) NS_PER_US;
}

static void print_cost(FILE *out, const char *who, double cpu_s, const struct result *r)
{
    fprintf(out, "%s CPU %.3f s", who, cpu_s);
    if (r->requests > 0)
        fprintf(out, ", %.3f us a request", cpu_s * 1e6 / (double) r->requests);
    if (r->o->mode->counts_conns && r->connects > 0)
        fprintf(out, ", %.3f us a connection", cpu_s * 1e6 / (double) r->connects);
    fputc('\n', out);
}

static void print_errors(const struct result *r, FILE *out)
{
    fprintf(out, "errors      %" PRIu64, r->errors);
    for (int f = 1; f < FAULT_COUNT; f++)
        if (r->ledger.faults[f] > 0)
            fprintf(out, "  %s %" PRIu64, fault_name((enum fault) f), r->ledger.faults[f]);
    fputc('\n', out);
    if (r->not_sent > 0)
        fprintf(out,
                "behind      %" PRIu64 " requests were due and had found no room when the time was over\n",
                r->not_sent);
}

void report_print(const struct result *r, FILE *out)
{
    const struct load_options *o = r->o;
    fprintf(out, "%s, %s, %s: %u connections x %u in flight, %u idle, %u bytes of data, %.2f s\n",
            o->targets.name, o->mode->name, o->akg_name, o->connections, o->inflight, o->idle,
            o->exchange.data_len, r->seconds);
    fprintf(out, "requests    %" PRIu64 ", %.0f a second\n", r->requests,
            per_second(r->requests, r->seconds));
    if (o->mode->counts_conns)
        fprintf(out, "connections %" PRIu64 ", %.0f a second\n", r->connects,
                per_second(r->connects, r->seconds));
    fprintf(out, "latency us  p50 %.1f  p90 %.1f  p99 %.1f  p99.9 %.1f  max %.1f  mean %.1f\n",
            percentile_us(r, 50), percentile_us(r, 90), percentile_us(r, 99), percentile_us(r, 99.9),
            percentile_us(r, 100), hist_mean(&r->hist) / (double) NS_PER_US);
    fprintf(out,
            "ledger      sent %" PRIu64 " = answered %" PRIu64 " + lost %" PRIu64 "; %" PRIu64 " connects\n",
            r->ledger.sent, r->ledger.answered, r->ledger.lost, r->ledger.connects);
    print_errors(r, out);
    common_tell_tls(out);
    nodes_print(r->nodes, o, out);
    print_cost(out, "client     ", r->client_cpu_s, r);
    if (r->server.cpu_s >= 0)
        print_cost(out, "server     ", r->server.cpu_s, r);
    if (r->server.rss_kb >= 0)
        fprintf(out, "server      RSS %" PRId64 " KiB\n", r->server.rss_kb);
}

void report_advise(const struct result *r)
{
    if (r->errors > 0) {
        fprintf(stderr, "mario_load: %" PRIu64 " errors", r->errors);
        common_complain_faults(r->ledger.faults);
    }
    if (report_rate_missed(r))
        fprintf(
            stderr,
            "mario_load: -r %.0f was not kept, %.0f a second were answered: lower it, or raise -p, -c or -T\n",
            r->o->rate, per_second(r->requests, r->seconds));
    if (report_unbalanced(r))
        fputs("mario_load: the ledger does not balance: this is a fault of mario_load\n", stderr);
}

/* total / n in microseconds, or null when one of them is not known. */
static void json_per(FILE *out, const char *key, double total_s, uint64_t n)
{
    if (total_s >= 0 && n > 0)
        fprintf(out, ",\"%s\":%.4f", key, total_s * 1e6 / (double) n);
    else
        fprintf(out, ",\"%s\":null", key);
}

static void json_setup(const struct result *r, FILE *out)
{
    const struct load_options *o = r->o;
    common_json_text(out, "mode", o->mode->name);
    fputc(',', out);
    common_json_text(out, "target", o->targets.name);
    fprintf(out, ",\"connections\":%u,\"idle\":%u,\"threads\":%u,\"inflight\":%u,\"payload\":%u,",
            o->connections, o->idle, o->threads, o->inflight, o->exchange.data_len);
    common_json_text(out, "akg", o->akg_name);
    if (o->mode->needs_rate)
        fprintf(out, ",\"rate\":%.0f", o->rate);
}

static void json_counts(const struct result *r, FILE *out)
{
    const struct ledger *l = &r->ledger;
    fprintf(out, ",\"seconds\":%.6f,\"requests\":%" PRIu64 ",", r->seconds, r->requests);
    common_json_faults(out, "errors", l->faults);
    fprintf(out, ",\"sent\":%" PRIu64 ",\"answered\":%" PRIu64 ",\"lost\":%" PRIu64 ",\"not_sent\":%" PRIu64,
            l->sent, l->answered, l->lost, r->not_sent);
    fprintf(out, ",\"req_per_s\":%.1f,\"connects\":%" PRIu64 ",\"conn_per_s\":%.1f",
            per_second(r->requests, r->seconds), r->connects, per_second(r->connects, r->seconds));
}

static void json_costs(const struct result *r, FILE *out)
{
    fprintf(
        out,
        ",\"latency_us\":{\"p50\":%.3f,\"p90\":%.3f,\"p99\":%.3f,\"p999\":%.3f,\"max\":%.3f,\"mean\":%.3f}",
        percentile_us(r, 50), percentile_us(r, 90), percentile_us(r, 99), percentile_us(r, 99.9),
        percentile_us(r, 100), hist_mean(&r->hist) / (double) NS_PER_US);
    if (r->server.cpu_s >= 0)
        fprintf(out, ",\"server_cpu_s\":%.6f", r->server.cpu_s);
    else
        fputs(",\"server_cpu_s\":null", out);
    json_per(out, "server_cpu_us_per_request", r->server.cpu_s, r->requests);
    json_per(out, "server_cpu_us_per_connection", r->server.cpu_s,
             r->o->mode->counts_conns ? r->connects : 0);
    json_per(out, "client_cpu_us_per_request", r->client_cpu_s, r->requests);
    if (r->server.rss_kb >= 0)
        fprintf(out, ",\"rss_kb\":%" PRId64, r->server.rss_kb);
    else
        fputs(",\"rss_kb\":null", out);
}

void report_json(const struct result *r, FILE *out)
{
    fputc('{', out);
    json_setup(r, out);
    json_counts(r, out);
    json_costs(r, out);
    common_json_tls(out);
    nodes_json(r->nodes, r->o, out);
    fputs("}\n", out);
}

void report_live(const struct load_options *o, struct worker *const *workers, FILE *out, int tty)
{
    static const char *const names[] = {"connecting", "ready", "warming up", "measuring", "draining", "done"};
    static uint64_t last_at, last_answered, last_connects;
    uint64_t answered = 0, connects = 0, faults = 0, open = 0, now = mono_ns();
    int phase = PHASE_DONE;
    for (uint32_t i = 0; i < o->threads; i++) {
        struct live *l = &workers[i]->live;
        answered += atomic_load_explicit(&l->answered, memory_order_relaxed);
        connects += atomic_load_explicit(&l->connects, memory_order_relaxed);
        faults += atomic_load_explicit(&l->faults, memory_order_relaxed);
        open += atomic_load_explicit(&l->open, memory_order_relaxed);
        int p = atomic_load_explicit(&l->phase, memory_order_relaxed);
        phase = p < phase ? p : phase;
    }
    double seconds = last_at == 0 ? 0 : (double) (now - last_at) / (double) NS_PER_S;
    fprintf(out, "%s%s: %" PRIu64 " open, %.0f req/s, %.0f conn/s, %" PRIu64 " errors%s", tty ? "\r" : "",
            names[phase], open, per_second(answered - last_answered, seconds),
            per_second(connects - last_connects, seconds), faults, tty ? "\033[K" : "\n");
    fflush(out);
    last_at = now;
    last_answered = answered;
    last_connects = connects;
}
