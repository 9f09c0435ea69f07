/*
 * hold_report.c: what a run of mode hold gave. Main thread. hold_report_live may run beside the holders, the
 * rest only after them.
 */
#include "hold_report.h"

#include <inttypes.h>
#include <string.h>

#include "common.h"
#include "mode.h"
#include "test/lib/clock.h"

#define BEHIND_PART 100u /* one in so many may be behind at the end: the loop cannot be everywhere at once */
#define RAMP_SLACK  1.1  /* opening may take so much longer than asked, and a second */

static void add_faults(uint64_t *into, const uint64_t *from)
{
    for (int f = 0; f < FAULT_COUNT; f++)
        into[f] += from[f];
}

static uint64_t sum_faults(const uint64_t *faults)
{
    uint64_t sum = 0;
    for (int f = 0; f < FAULT_COUNT; f++)
        sum += faults[f];
    return sum;
}

static void add_ledger(struct hold_ledger *into, const struct hold_ledger *from)
{
    into->tried += from->tried;
    into->opened += from->opened;
    into->churned += from->churned;
    into->ended += from->ended;
    into->asked += from->asked;
    into->sent += from->sent;
    into->answered += from->answered;
    into->missing += from->missing;
    into->unsent += from->unsent;
    into->beats += from->beats;
    into->actives += from->actives;
    into->roll_calls += from->roll_calls;
    into->joins += from->joins;
    into->joined += from->joined;
    into->told += from->told;
    into->covered += from->covered;
    into->heard += from->heard;
    into->due += from->due;
    into->behind += from->behind;
    add_faults(into->refused, from->refused);
    add_faults(into->lost, from->lost);
}

/* Wrong bytes are the server's fault, closing a bad neighbour is its right. */
static uint64_t bad_neighbours(const struct neighbour_ledger *n)
{
    uint64_t bad = sum_faults(n->refused);
    for (int f = FAULT_BAD_STX; f <= FAULT_BAD_CONTENT; f++)
        bad += n->left[f];
    return bad;
}

void hold_report_sum(struct hold_result *r, struct holder *const *holders)
{
    uint64_t opened_at = 0;
    hist_clear(&r->hist);
    hist_clear(&r->logins);
    hist_clear(&r->told);
    for (uint32_t i = 0; i < r->o->threads; i++) {
        const struct holder *h = holders[i];
        add_ledger(&r->ledger, &h->ledger);
        nodes_add(r->nodes, h->nodes, r->o);
        hist_merge(&r->hist, &h->hist);
        hist_merge(&r->logins, &h->logins);
        hist_merge(&r->told, &h->told);
        r->hold_answered += h->hold_answered;
        r->late_max = h->late_max > r->late_max ? h->late_max : r->late_max;
        opened_at = h->opened_at > opened_at ? h->opened_at : opened_at;
        if (r->first_errno == 0)
            r->first_errno = h->first_errno;
        if (h->neighbours != NULL)
            r->neighbours = *neighbours_ledger(h->neighbours);
    }
    if (opened_at > r->looks[LOOK_BEFORE].at)
        r->open_s = (double) (opened_at - r->looks[LOOK_BEFORE].at) / (double) NS_PER_S;
    r->refused = sum_faults(r->ledger.refused);
    r->lost = sum_faults(r->ledger.lost);
    r->bad_neighbours = bad_neighbours(&r->neighbours);
}

/* ---- Judging ---- */

static bool unbalanced(const struct hold_result *r)
{
    const struct hold_ledger *l = &r->ledger;
    const struct neighbour_ledger *n = &r->neighbours;
    return l->tried != l->opened + r->refused || l->opened != l->churned + l->ended + r->lost ||
           l->asked != l->sent + l->unsent || l->sent != l->answered + l->missing ||
           n->tried != n->opened + sum_faults(n->refused) || n->opened != n->ended + sum_faults(n->left);
}

static bool fell_behind(const struct hold_result *r)
{
    return r->ledger.behind > r->ledger.due / BEHIND_PART + r->o->threads;
}

static bool ramp_missed(const struct hold_result *r)
{
    return r->o->ramp > 0 && !r->gave_up && r->open_s > r->ledger.opened / r->o->ramp * RAMP_SLACK + 1 &&
           r->refused == 0;
}

static bool unheard(const struct hold_result *r)
{
    return r->ledger.heard != r->ledger.ended;
}

/* Broadcasts that were not heard by those who joined the group. */
static uint64_t untold(const struct hold_result *r)
{
    uint64_t all = (uint64_t) r->o->broadcasts * r->ledger.joined;
    return all > r->ledger.told ? all - r->ledger.told : 0;
}

static bool broadcasts_failed(const struct hold_result *r)
{
    return r->o->broadcasts > 0 && (r->crier_failed != NULL || r->said != r->o->broadcasts ||
                                    r->who != r->ledger.joined || untold(r) > 0);
}

bool hold_report_failed(const struct hold_result *r)
{
    return r->refused > 0 || r->lost > 0 || r->ledger.missing > 0 || r->bad_neighbours > 0 || r->gave_up ||
           r->open_first != r->o->connections || unheard(r) || unbalanced(r) || fell_behind(r) ||
           ramp_missed(r) || broadcasts_failed(r);
}

static void advise_refused(const struct hold_result *r)
{
    fprintf(stderr, "mario_load: %" PRIu64 " of %u connections are open%s", r->open_first, r->o->connections,
            r->gave_up ? "; gave up" : "");
    if (r->refused > 0)
        common_complain_faults(r->ledger.refused);
    else
        fputc('\n', stderr);
}

static void advise_lost(const struct hold_result *r)
{
    fprintf(stderr, "mario_load: %" PRIu64 " open connections were lost", r->lost);
    for (int f = 1; f < FAULT_COUNT; f++)
        if (r->ledger.lost[f] > 0)
            fprintf(stderr, ", %" PRIu64 ": %s", r->ledger.lost[f], fault_text((enum fault) f));
    fputs("; the server's log says why; its server.timeout must be longer than --heartbeat\n", stderr);
}

void hold_report_advise(const struct hold_result *r)
{
    if (r->refused > 0 || r->gave_up)
        advise_refused(r);
    if (r->lost > 0)
        advise_lost(r);
    if (r->bad_neighbours > 0)
        fprintf(stderr,
                "mario_load: %" PRIu64 " of the slow and stopped readers were refused or got wrong bytes\n",
                r->bad_neighbours);
    if (ramp_missed(r))
        fprintf(
            stderr,
            "mario_load: --ramp %.0f was not kept, %.0f a second were opened: lower it, or give more threads "
            "(-T)\n",
            r->o->ramp, (double) r->ledger.opened / r->open_s);
    if (fell_behind(r))
        fprintf(
            stderr,
            "mario_load: the rates were not kept, %" PRIu64 " of %" PRIu64
            " things due were not done: raise --heartbeat, lower --churn or --active, or give more threads (-T)\n",
            r->ledger.behind, r->ledger.due);
    if (broadcasts_failed(r) && r->crier_failed != NULL)
        fprintf(stderr,
                "mario_load: of %u broadcasts %" PRIu64 " were said; on the connection for them: %s\n",
                r->o->broadcasts, r->said, r->crier_failed);
    else if (broadcasts_failed(r))
        fprintf(stderr,
                "mario_load: of %u broadcasts to %" PRIu64 " members (%" PRIu64
                " as the server counts) %" PRIu64 " were said, and %" PRIu64
                " times one was not heard; the server's log says why\n",
                r->o->broadcasts, r->ledger.joined, r->who, r->said, untold(r));
    if (unbalanced(r))
        fputs("mario_load: the ledger does not balance: this is a fault of mario_load\n", stderr);
}

/* ---- For people ---- */

static double per_second(uint64_t n, double seconds)
{
    return seconds > 0 ? (double) n / seconds : 0;
}

static double us(const struct hist *h, double percent)
{
    return (double) hist_percentile(h, percent) / (double) NS_PER_US;
}

/* Bytes that grew between two counts of KiB, for each connection. */
static double bytes_each(const struct hold_result *r, uint64_t from_kb, uint64_t to_kb)
{
    return r->open_first == 0 ? 0 : ((double) to_kb - (double) from_kb) * 1024.0 / (double) r->open_first;
}

static double seconds_between(uint64_t from, uint64_t to)
{
    return to > from ? (double) (to - from) / (double) NS_PER_S : 0;
}

static void print_hist(FILE *out, const char *name, const struct hist *h)
{
    fprintf(out, "%-11s p50 %.1f  p90 %.1f  p99 %.1f  p99.9 %.1f  max %.1f  mean %.1f us\n", name, us(h, 50),
            us(h, 90), us(h, 99), us(h, 99.9), us(h, 100), hist_mean(h) / (double) NS_PER_US);
}

static void print_faults(FILE *out, const char *name, const uint64_t *faults)
{
    fprintf(out, "%-11s %" PRIu64, name, sum_faults(faults));
    for (int f = 1; f < FAULT_COUNT; f++)
        if (faults[f] > 0)
            fprintf(out, "  %s %" PRIu64, fault_name((enum fault) f), faults[f]);
    fputc('\n', out);
}

static void print_book(const struct hold_result *r, FILE *out)
{
    const struct hold_ledger *l = &r->ledger;
    fprintf(out,
            "connections tried %" PRIu64 " = opened %" PRIu64 " + refused %" PRIu64 "; opened %" PRIu64
            " = reopened %" PRIu64 " + closed at the end %" PRIu64 " + lost %" PRIu64 "\n",
            l->tried, l->opened, r->refused, l->opened, l->churned, l->ended, r->lost);
    fprintf(out,
            "requests    asked %" PRIu64 " = answered %" PRIu64 " + lost %" PRIu64 " + never sent %" PRIu64
            "\n",
            l->asked, l->answered, l->missing, l->unsent);
    fprintf(out,
            "heard       %" PRIu64 " of the %" PRIu64 " open at the end; %" PRIu64
            " asked in the roll call\n",
            l->heard, l->ended, l->roll_calls);
    if (r->refused > 0)
        print_faults(out, "refused", l->refused);
    if (r->lost > 0)
        print_faults(out, "lost", l->lost);
}

static void print_broadcasts(const struct hold_result *r, FILE *out)
{
    fprintf(out,
            "broadcasts  %" PRIu64 " said to %" PRIu64 " members, %" PRIu64
            " as the server counts: heard %" PRIu64 ", not heard %" PRIu64 "\n",
            r->said, r->ledger.joined, r->who, r->ledger.told, untold(r));
    print_hist(out, "until heard", &r->told);
}

static void print_neighbours(const struct hold_result *r, FILE *out)
{
    const struct neighbour_ledger *n = &r->neighbours;
    fprintf(out,
            "neighbours  %u slow, %u stopped: opened %" PRIu64 " = closed at the end %" PRIu64
            " + gone %" PRIu64 "; sent %" PRIu64 " KiB, read %" PRIu64 " bytes\n",
            r->o->slow, r->o->stopped, n->opened, n->ended, sum_faults(n->left), n->bytes_sent / 1024,
            n->bytes_read);
    if (sum_faults(n->left) > 0)
        print_faults(out, "  gone", n->left);
    if (sum_faults(n->refused) > 0)
        print_faults(out, "  refused", n->refused);
}

static void print_costs(const struct hold_result *r, FILE *out)
{
    const struct hold_look *a = &r->looks[LOOK_BEFORE], *b = &r->looks[LOOK_OPEN], *c = &r->looks[LOOK_END];
    if (r->server_known)
        fprintf(out,
                "server      RSS %" PRIu64 " KiB, %" PRIu64
                " before: %.0f bytes a connection, %.0f at the end; CPU "
                "%.1f s to open, %.1f s in the hold\n",
                b->server_rss, a->server_rss, bytes_each(r, a->server_rss, b->server_rss),
                bytes_each(r, a->server_rss, c->server_rss), seconds_between(a->server_cpu, b->server_cpu),
                seconds_between(b->server_cpu, c->server_cpu));
    fprintf(out,
            "client      RSS %" PRIu64
            " KiB: %.0f bytes a connection; CPU %.1f s to open, %.1f s in the hold\n",
            b->client_rss, bytes_each(r, a->client_rss, b->client_rss),
            seconds_between(a->client_cpu, b->client_cpu), seconds_between(b->client_cpu, c->client_cpu));
    fprintf(out,
            "kernel      slab grew by %" PRIi64
            " KiB, %.0f bytes a connection (of all this machine does); TCP data "
            "%" PRIu64 " KiB, %" PRIu64 " sockets in TIME_WAIT at the end\n",
            (int64_t) (b->kernel.slab_kb - a->kernel.slab_kb),
            bytes_each(r, a->kernel.slab_kb, b->kernel.slab_kb), b->kernel.tcp_kb, c->kernel.time_wait);
}

void hold_report_print(const struct hold_result *r, FILE *out)
{
    const struct load_options *o = r->o;
    fprintf(out, "%s, hold, %s: %u connections, heartbeat %g s, churn %.0f/s, active %.0f/s\n",
            o->targets.name, o->akg_name, o->connections, o->heartbeat_s, o->churn, o->active);
    fprintf(out, "opened      %" PRIu64 " in %.2f s, %.0f a second\n", r->open_first, r->open_s,
            per_second(r->open_first, r->open_s));
    print_hist(out, "login", &r->logins);
    fprintf(out,
            "held        %.2f s: %" PRIu64 " answers, %.0f a second; %" PRIu64
            " connections closed and reopened\n",
            r->hold_s, r->hold_answered, per_second(r->hold_answered, r->hold_s), r->ledger.churned);
    print_hist(out, "latency", &r->hist);
    fprintf(out, "late        at most %.1f ms, %" PRIu64 " of %" PRIu64 " due left undone\n",
            (double) r->late_max / (double) NS_PER_MS, r->ledger.behind, r->ledger.due);
    print_book(r, out);
    common_tell_tls(out);
    nodes_print(r->nodes, o, out);
    if (o->broadcasts > 0)
        print_broadcasts(r, out);
    if (o->slow + o->stopped > 0)
        print_neighbours(r, out);
    print_costs(r, out);
}

/* ---- JSON ---- */

static void json_hist(FILE *out, const char *name, const struct hist *h)
{
    fprintf(
        out,
        ",\"%s\":{\"p50\":%.3f,\"p90\":%.3f,\"p99\":%.3f,\"p999\":%.3f,\"max\":%.3f,\"mean\":%.3f,\"count\":%" PRIu64
        "}",
        name, us(h, 50), us(h, 90), us(h, 99), us(h, 99.9), us(h, 100), hist_mean(h) / (double) NS_PER_US,
        h->count);
}

static void json_setup(const struct hold_result *r, FILE *out)
{
    const struct load_options *o = r->o;
    common_json_text(out, "mode", o->mode->name);
    fputc(',', out);
    common_json_text(out, "target", o->targets.name);
    fprintf(out, ",\"connections\":%u,\"threads\":%u,\"payload\":%u,", o->connections, o->threads,
            o->exchange.data_len);
    common_json_text(out, "akg", o->akg_name);
    fprintf(out,
            ",\"ramp\":%.0f,\"heartbeat_s\":%g,\"churn\":%.0f,\"active\":%.0f,\"slow\":%u,\"stopped\":%u,"
            "\"hold_s\":%.3f",
            o->ramp, o->heartbeat_s, o->churn, o->active, o->slow, o->stopped, r->hold_s);
}

static void json_book(const struct hold_result *r, FILE *out)
{
    const struct hold_ledger *l = &r->ledger;
    fprintf(out, ",\"established\":%" PRIu64 ",\"open_s\":%.3f,\"conn_per_s\":%.1f", r->open_first, r->open_s,
            per_second(r->open_first, r->open_s));
    fprintf(out,
            ",\"requests\":%" PRIu64 ",\"req_per_s\":%.1f,\"tried\":%" PRIu64 ",\"opened\":%" PRIu64
            ",\"churned\":%" PRIu64 ",\"closed_by_us\":%" PRIu64 ",",
            r->hold_answered, per_second(r->hold_answered, r->hold_s), l->tried, l->opened, l->churned,
            l->ended);
    common_json_faults(out, "refused", l->refused);
    fputc(',', out);
    common_json_faults(out, "lost_connections", l->lost);
    fprintf(out,
            ",\"asked\":%" PRIu64 ",\"sent\":%" PRIu64 ",\"answered\":%" PRIu64 ",\"lost\":%" PRIu64
            ",\"unsent\":%" PRIu64 ",\"beats\":%" PRIu64 ",\"covered\":%" PRIu64 ",\"actives\":%" PRIu64
            ",\"roll_calls\":%" PRIu64 ",\"heard\":%" PRIu64 ",\"due\":%" PRIu64 ",\"behind\":%" PRIu64
            ",\"late_max_ms\":%.3f",
            l->asked, l->sent, l->answered, l->missing, l->unsent, l->beats, l->covered, l->actives,
            l->roll_calls, l->heard, l->due, l->behind, (double) r->late_max / (double) NS_PER_MS);
}

static void json_broadcasts(const struct hold_result *r, FILE *out)
{
    fprintf(out,
            ",\"broadcasts\":{\"said\":%" PRIu64 ",\"joins\":%" PRIu64 ",\"joined\":%" PRIu64
            ",\"who\":%" PRIu64 ",\"told\":%" PRIu64 ",\"untold\":%" PRIu64,
            r->said, r->ledger.joins, r->ledger.joined, r->who, r->ledger.told, untold(r));
    json_hist(out, "told_us", &r->told);
    fputc('}', out);
}

static void json_neighbours(const struct hold_result *r, FILE *out)
{
    const struct neighbour_ledger *n = &r->neighbours;
    fprintf(out,
            ",\"neighbours\":{\"tried\":%" PRIu64 ",\"opened\":%" PRIu64 ",\"closed_by_us\":%" PRIu64
            ",\"bytes_sent\":%" PRIu64 ",\"bytes_read\":%" PRIu64 ",",
            n->tried, n->opened, n->ended, n->bytes_sent, n->bytes_read);
    common_json_faults(out, "refused", n->refused);
    fputc(',', out);
    common_json_faults(out, "gone", n->left);
    fputc('}', out);
}

static void json_costs(const struct hold_result *r, FILE *out)
{
    const struct hold_look *a = &r->looks[LOOK_BEFORE], *b = &r->looks[LOOK_OPEN], *c = &r->looks[LOOK_END];
    if (r->server_known)
        fprintf(out,
                ",\"server\":{\"cpu_open_s\":%.3f,\"cpu_hold_s\":%.3f,\"rss_before_kb\":%" PRIu64
                ",\"rss_open_kb\":%" PRIu64 ",\"rss_end_kb\":%" PRIu64 ",\"bytes_per_connection\":%.1f}",
                seconds_between(a->server_cpu, b->server_cpu), seconds_between(b->server_cpu, c->server_cpu),
                a->server_rss, b->server_rss, c->server_rss, bytes_each(r, a->server_rss, c->server_rss));
    else
        fputs(",\"server\":null", out);
    fprintf(out,
            ",\"client\":{\"cpu_open_s\":%.3f,\"cpu_hold_s\":%.3f,\"rss_kb\":%" PRIu64
            ",\"bytes_per_connection\":%.1f}",
            seconds_between(a->client_cpu, b->client_cpu), seconds_between(b->client_cpu, c->client_cpu),
            c->client_rss, bytes_each(r, a->client_rss, c->client_rss));
    fprintf(out,
            ",\"kernel\":{\"slab_before_kb\":%" PRIu64 ",\"slab_open_kb\":%" PRIu64
            ",\"slab_bytes_per_connection\":%.1f,\"tcp_kb\":%" PRIu64 ",\"time_wait\":%" PRIu64 "}",
            a->kernel.slab_kb, b->kernel.slab_kb, bytes_each(r, a->kernel.slab_kb, b->kernel.slab_kb),
            b->kernel.tcp_kb, c->kernel.time_wait);
}

void hold_report_json(const struct hold_result *r, FILE *out)
{
    fputc('{', out);
    json_setup(r, out);
    json_book(r, out);
    json_hist(out, "latency_us", &r->hist);
    json_hist(out, "login_us", &r->logins);
    if (r->o->broadcasts > 0)
        json_broadcasts(r, out);
    json_neighbours(r, out);
    json_costs(r, out);
    common_json_tls(out);
    nodes_json(r->nodes, r->o, out);
    fprintf(out, ",\"ok\":%s}\n", hold_report_failed(r) ? "false" : "true");
}

/* ---- While it runs ---- */

/* Seconds until the phase is over, as far as that is known; else -1. rate: of opening, since it began: it may go in
 * bursts, and so it would say less from one second to the next. */
static double time_left(const struct load_options *o, int phase, uint64_t open, double rate, uint64_t now,
                        uint64_t end)
{
    if (phase == HOLDER_OPEN && rate > 0)
        return (double) (o->connections - open) / rate;
    return phase == HOLDER_HOLD && end > now ? seconds_between(now, end) : -1;
}

void hold_report_live(const struct load_options *o, struct holder *const *holders, uint64_t end, int tty)
{
    static const char *const names[] = {"opening", "ready",     "holding", "roll call",
                                        "joining", "listening", "closing", "done"};
    static uint64_t first_at, last_at, last_answered, last_opened;
    uint64_t answered = 0, opened = 0, open = 0, faults = 0, now = mono_ns();
    int phase = HOLDER_DONE;
    for (uint32_t i = 0; i < o->threads; i++) {
        struct hold_live *l = &holders[i]->live;
        answered += atomic_load_explicit(&l->answered, memory_order_relaxed);
        opened += atomic_load_explicit(&l->opened, memory_order_relaxed);
        open += atomic_load_explicit(&l->open, memory_order_relaxed);
        faults += atomic_load_explicit(&l->faults, memory_order_relaxed);
        int p = atomic_load_explicit(&l->phase, memory_order_relaxed);
        phase = p < phase ? p : phase;
    }
    double seconds = last_at == 0 ? 0 : seconds_between(last_at, now);
    double rate = per_second(opened - last_opened, seconds);
    first_at = first_at == 0 ? now : first_at;
    double left = time_left(o, phase, open, per_second(opened, seconds_between(first_at, now)), now, end);
    fprintf(stderr, "%s%s: %" PRIu64 " of %u open, %.0f conn/s, %.0f answers/s, %" PRIu64 " errors",
            tty ? "\r" : "", names[phase], open, o->connections, rate,
            per_second(answered - last_answered, seconds), faults);
    if (left >= 0)
        fprintf(stderr, ", %.0f s left", left);
    fputs(tty ? "\033[K" : "\n", stderr);
    last_at = now;
    last_answered = answered;
    last_opened = opened;
}
