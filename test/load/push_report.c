/*
 * push_report.c: what a run of mode push gave. Main thread. push_report_live may run beside the pushers, the rest only
 * after them.
 */
#include "push_report.h"

#include <inttypes.h>

#include "common.h"
#include "mode.h"
#include "test/lib/clock.h"

static void add_ledger(struct push_ledger *into, const struct push_ledger *from)
{
    into->published += from->published;
    into->behind += from->behind;
    into->expected += from->expected;
    into->received += from->received;
    into->unsaid += from->unsaid;
    into->missing += from->missing;
    into->unheard += from->unheard;
    into->again += from->again;
    into->late += from->late;
    into->ready += from->ready;
    into->broken += from->broken;
    into->returned += from->returned;
    for (int f = 0; f < FAULT_COUNT; f++)
        into->faults[f] += from->faults[f];
}

void push_report_sum(struct push_result *r, struct pusher *const *pushers)
{
    uint32_t threads = r->o->threads;
    hist_clear(&r->hist);
    for (uint32_t i = 0; i < threads; i++) {
        const struct pusher *w = pushers[i];
        add_ledger(&r->ledger, &w->ledger);
        nodes_add(r->nodes, w->nodes, r->o);
        hist_merge(&r->hist, &w->hist);
        r->seconds += (double) (w->at_end.at - w->at_begin.at) / (double) NS_PER_S / threads;
        r->client_cpu_s += (double) (w->at_end.cpu - w->at_begin.cpu) / (double) NS_PER_S;
        r->published += w->at_end.published - w->at_begin.published;
        r->received += w->at_end.received - w->at_begin.received;
        if (r->first_errno == 0)
            r->first_errno = w->first_errno;
    }
    for (int f = 0; f < FAULT_COUNT; f++)
        r->errors += r->ledger.faults[f];
}

static bool unbalanced(const struct push_result *r)
{
    const struct push_ledger *l = &r->ledger;
    return l->expected != l->received + l->missing + l->unheard + l->unsaid;
}

/* More than one message in a hundred was due and not said. */
static bool rate_missed(const struct push_result *r)
{
    return r->ledger.behind > (r->ledger.published + r->ledger.behind) / 100;
}

bool push_report_failed(const struct push_result *r)
{
    const struct push_ledger *l = &r->ledger;
    /* What was said and heard while a connection was away, with --reconnect, is nobody's fault. */
    bool all_there = r->o->reconnect || (l->unheard == 0 && l->unsaid == 0);
    return r->errors > 0 || l->missing > 0 || !all_there || l->again > 0 || l->late > 0 || rate_missed(r) ||
           unbalanced(r);
}

void push_report_advise(const struct push_result *r)
{
    const struct push_ledger *l = &r->ledger;
    if (r->errors > 0) {
        fprintf(stderr, "mario_load: %" PRIu64 " errors", r->errors);
        common_complain_faults(l->faults);
    }
    if (l->missing > 0)
        fprintf(
            stderr,
            "mario_load: %" PRIu64 " of %" PRIu64
            " messages are missing: lower -r, or raise the server's push.queue, push.bytes, push.memory and "
            "push.ring; the counters push_* in its log say which\n",
            l->missing, l->expected);
    if (l->unheard > 0)
        fprintf(
            stderr,
            "mario_load: %" PRIu64 " of %" PRIu64
            " messages were not heard by subscribers whose connections had ended; if the server's log says "
            "slow_consumer: lower -r, raise -T, or its push.queue and push.bytes\n",
            l->unheard, l->expected);
    if (l->unsaid > 0)
        fprintf(stderr,
                "mario_load: %" PRIu64 " of %" PRIu64
                " messages were not heard that publishers had said whose connections had ended\n",
                l->unsaid, l->expected);
    if (l->broken > 0)
        fprintf(stderr, "mario_load: %" PRIu64 " connections ended, %" PRIu64 " were made again elsewhere\n",
                l->broken, l->returned);
    if (l->again + l->late > 0)
        fprintf(stderr,
                "mario_load: %" PRIu64 " messages came again, %" PRIu64
                " out of order: this is a fault of the server\n",
                l->again, l->late);
    if (rate_missed(r))
        fprintf(stderr,
                "mario_load: -r %.0f was not kept, %" PRIu64
                " messages were not said: lower it, or raise --publishers or -T\n",
                r->o->rate, l->behind);
    if (unbalanced(r))
        fputs("mario_load: the ledger does not balance: this is a fault of mario_load\n", stderr);
}

static double per_second(uint64_t n, double seconds)
{
    return seconds > 0 ? (double) n / seconds : 0;
}

static double us(const struct push_result *r, double percent)
{
    return (double) hist_percentile(&r->hist, percent) / (double) NS_PER_US;
}

static void print_cost(FILE *out, const char *who, double cpu_s, const struct push_result *r)
{
    fprintf(out, "%s CPU %.3f s", who, cpu_s);
    if (r->received > 0)
        fprintf(out, ", %.3f us a message received", cpu_s * 1e6 / (double) r->received);
    fputc('\n', out);
}

static void print_errors(const struct push_result *r, FILE *out)
{
    fprintf(out, "errors      %" PRIu64, r->errors);
    for (int f = 1; f < FAULT_COUNT; f++)
        if (r->ledger.faults[f] > 0)
            fprintf(out, "  %s %" PRIu64, fault_name((enum fault) f), r->ledger.faults[f]);
    fputc('\n', out);
}

void push_report_print(const struct push_result *r, FILE *out)
{
    const struct load_options *o = r->o;
    const struct push_ledger *l = &r->ledger;
    fprintf(out,
            "%s, push: %u subscribers in %u of %u groups each, %u publishers, %u bytes a message, %.2f s\n",
            o->targets.name, o->connections, o->joins, o->groups, o->publishers, o->size, r->seconds);
    fprintf(out, "published   %" PRIu64 ", %.0f a second\n", r->published,
            per_second(r->published, r->seconds));
    fprintf(out, "received    %" PRIu64 ", %.0f a second\n", r->received,
            per_second(r->received, r->seconds));
    fprintf(out, "latency us  p50 %.1f  p90 %.1f  p99 %.1f  p99.9 %.1f  max %.1f  mean %.1f\n", us(r, 50),
            us(r, 90), us(r, 99), us(r, 99.9), us(r, 100), hist_mean(&r->hist) / (double) NS_PER_US);
    fprintf(out,
            "ledger      published %" PRIu64 "; expected %" PRIu64 " = received %" PRIu64
            " + missing %" PRIu64 " + unheard %" PRIu64 " + unsaid %" PRIu64 "; again %" PRIu64
            ", out of order %" PRIu64 "\n",
            l->published, l->expected, l->received, l->missing, l->unheard, l->unsaid, l->again, l->late);
    if (l->behind > 0)
        fprintf(out, "behind      %" PRIu64 " messages were due and had found no room\n", l->behind);
    print_errors(r, out);
    common_tell_tls(out);
    nodes_print(r->nodes, o, out);
    print_cost(out, "client     ", r->client_cpu_s, r);
    if (r->server_cpu_s >= 0)
        print_cost(out, "server     ", r->server_cpu_s, r);
    if (r->rss_kb >= 0)
        fprintf(out, "server      RSS %" PRId64 " KiB\n", r->rss_kb);
}

/* A number, or null when it is not known. */
static void json_known(FILE *out, const char *key, bool known, double value)
{
    if (known)
        fprintf(out, ",\"%s\":%.6f", key, value);
    else
        fprintf(out, ",\"%s\":null", key);
}

static void json_setup(const struct push_result *r, FILE *out)
{
    const struct load_options *o = r->o;
    common_json_text(out, "mode", o->mode->name);
    fputc(',', out);
    common_json_text(out, "target", o->targets.name);
    fprintf(out,
            ",\"connections\":%u,\"publishers\":%u,\"groups\":%u,\"joins\":%u,\"threads\":%u,\"payload\":%u,"
            "\"rate\":%.0f",
            o->connections, o->publishers, o->groups, o->joins, o->threads, o->size, o->rate);
}

static void json_counts(const struct push_result *r, FILE *out)
{
    const struct push_ledger *l = &r->ledger;
    fprintf(out,
            ",\"seconds\":%.6f,\"published\":%" PRIu64 ",\"published_per_s\":%.1f,\"received\":%" PRIu64
            ",\"received_per_s\":%.1f,",
            r->seconds, r->published, per_second(r->published, r->seconds), r->received,
            per_second(r->received, r->seconds));
    common_json_faults(out, "errors", l->faults);
    fprintf(out,
            ",\"ready\":%" PRIu64 ",\"all_published\":%" PRIu64 ",\"behind\":%" PRIu64
            ",\"expected\":%" PRIu64 ",\"all_received\":%" PRIu64 ",\"missing\":%" PRIu64
            ",\"unheard\":%" PRIu64 ",\"unsaid\":%" PRIu64 ",\"again\":%" PRIu64 ",\"out_of_order\":%" PRIu64
            ",\"broken\":%" PRIu64 ",\"returned\":%" PRIu64,
            l->ready, l->published, l->behind, l->expected, l->received, l->missing, l->unheard, l->unsaid,
            l->again, l->late, l->broken, l->returned);
}

void push_report_json(const struct push_result *r, FILE *out)
{
    double each = r->received > 0 ? 1e6 / (double) r->received : 0;
    fputc('{', out);
    json_setup(r, out);
    json_counts(r, out);
    fprintf(
        out,
        ",\"latency_us\":{\"p50\":%.3f,\"p90\":%.3f,\"p99\":%.3f,\"p999\":%.3f,\"max\":%.3f,\"mean\":%.3f,"
        "\"count\":%" PRIu64 "}",
        us(r, 50), us(r, 90), us(r, 99), us(r, 99.9), us(r, 100), hist_mean(&r->hist) / (double) NS_PER_US,
        r->hist.count);
    json_known(out, "server_cpu_s", r->server_cpu_s >= 0, r->server_cpu_s);
    json_known(out, "server_cpu_us_per_message", r->server_cpu_s >= 0 && each > 0, r->server_cpu_s * each);
    json_known(out, "client_cpu_us_per_message", each > 0, r->client_cpu_s * each);
    json_known(out, "rss_kb", r->rss_kb >= 0, (double) r->rss_kb);
    common_json_tls(out);
    nodes_json(r->nodes, r->o, out);
    fprintf(out, ",\"ok\":%s}\n", push_report_failed(r) ? "false" : "true");
}

void push_report_live(const struct load_options *o, struct pusher *const *pushers, int tty)
{
    static const char *const names[] = {"joining",      "ready",   "speaking", "ending",
                                        "all was said", "hearing", "closing",  "done"};
    static uint64_t last_at, last_published, last_received;
    uint64_t ready = 0, published = 0, received = 0, faults = 0, now = mono_ns();
    int phase = PUSHER_DONE;
    for (uint32_t i = 0; i < o->threads; i++) {
        struct push_live *l = &pushers[i]->live;
        ready += atomic_load_explicit(&l->ready, memory_order_relaxed);
        published += atomic_load_explicit(&l->published, memory_order_relaxed);
        received += atomic_load_explicit(&l->received, memory_order_relaxed);
        faults += atomic_load_explicit(&l->faults, memory_order_relaxed);
        int p = atomic_load_explicit(&l->phase, memory_order_relaxed);
        phase = p < phase ? p : phase;
    }
    double seconds = last_at == 0 ? 0 : (double) (now - last_at) / (double) NS_PER_S;
    fprintf(stderr, "%s%s: %" PRIu64 " of %u ready, %.0f published/s, %.0f received/s, %" PRIu64 " errors%s",
            tty ? "\r" : "", names[phase], ready, o->connections + o->publishers,
            per_second(published - last_published, seconds), per_second(received - last_received, seconds),
            faults, tty ? "\033[K" : "\n");
    last_at = now;
    last_published = published;
    last_received = received;
}
