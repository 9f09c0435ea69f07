/*
 * admission.c: whether somebody is let in. Runs on the master; setup and teardown on the thread that makes the server.
 *
 * First the networks that are named, which costs a look into a sorted array each; then the table. A connection's end is
 * noticed when the next one comes: its pass (conn/passes.h) lies in the worker's ring until then.
 */
#include "mario/server/admission.h"

#include <errno.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/random.h>

#include "mario/base/clock.h"
#include "mario/conn/passes.h"

#define SECOND_NS UINT64_C(1000000000)

enum {
    RAISED = 4,          /* times the rates, after a restart */
    RAISED_SECONDS = 60, /* for so long */
    REST_LEAST_MS = 5,   /* the listeners' shortest rest: else there would be one for each connection */
    SAVED_UP = 10,       /* a tenth of a second's worth of accepts may come at once after a rest */
    WARN_SECONDS = 60    /* between two warnings that the table is full */
};

static struct log_limit refusals, ban_notes;

static uint32_t factor(const struct admission *a, uint64_t now_ns)
{
    return now_ns < a->raised_until_ns ? RAISED : 1;
}

/* ---- Memory, and what comes back ---- */

/* The worker's share of a block. */
static void *share(const struct rules_memory *m, uint32_t i, uint32_t of)
{
    return (unsigned char *) m->at + m->size / of * i;
}

static void give_passes(struct admission *a)
{
    for (uint32_t i = 0; i < a->workernum; i++) {
        struct passes *p = passes_make(share(&a->passes, i, a->workernum), a->connnum, INBOX_RING);
        atomic_store_explicit(&a->workers[i].shard.passes, p, memory_order_release);
    }
}

static void give_meters(struct admission *a)
{
    for (uint32_t i = 0; i < a->workernum; i++) {
        struct meter *m = share(&a->meters, i, a->workernum);
        atomic_store_explicit(&a->workers[i].shard.meters, m, memory_order_release);
    }
}

/* What is there already stays. Whether it was not. */
static bool adopt(struct rules_memory *mine, struct rules_memory *theirs)
{
    if (mine->at != NULL || theirs->at == NULL)
        return false;
    *mine = *theirs;
    *theirs = (struct rules_memory){.at = NULL};
    return true;
}

void admission_take(struct admission *a, struct rules *rules)
{
    uint64_t key[2] = {a->gate.key[0], a->gate.key[1]};
    if (adopt(&a->table, &rules->table))
        gate_init(&a->gate, a->table.at, (uint32_t) (a->table.size / sizeof(struct gate_entry)), key);
    if (adopt(&a->passes, &rules->passes))
        give_passes(a);
    if (adopt(&a->meters, &rules->meters))
        give_meters(a);
    a->rules = rules;
}

static void tell_counters(struct admission *a)
{
    struct gate *g = &a->gate;
    stats_add(a->stats, STAT_gate_overflow, g->overflows - a->told_overflows);
    stats_add(a->stats, STAT_gate_bans, g->bans - a->told_bans);
    a->told_overflows = g->overflows;
    a->told_bans = g->bans;
}

/* Its passes are worth something, or not. */
static void count(struct admission *a, uint64_t pass, int64_t by)
{
    if (pass != 0)
        stats_add(a->stats, STAT_gate_counted, (uint64_t) by);
}

void admission_undo(struct admission *a, uint64_t pass)
{
    gate_leave(&a->gate, pass);
    count(a, pass, -1);
}

void admission_begin(struct admission *a)
{
    for (uint32_t i = 0; a->passes.at != NULL && i < a->workernum; i++) {
        struct passes *p = atomic_load_explicit(&a->workers[i].shard.passes, memory_order_relaxed);
        uint64_t pass;
        while ((pass = passes_take(p)) != 0)
            admission_undo(a, pass);
    }
}

/* ---- How fast ---- */

uint32_t admission_wait_ms(struct admission *a)
{
    if (a->rules->rate == 0)
        return 0;
    uint64_t now = clock_ns(), each = SECOND_NS / ((uint64_t) a->rules->rate * factor(a, now));
    uint64_t most =
        SECOND_NS / SAVED_UP > each ? SECOND_NS / SAVED_UP : each; /* that may be missing in the bucket */
    uint64_t after = (a->full_ns > now ? a->full_ns : now) + each;
    if (after <= now + most) {
        a->full_ns = after;
        return 0;
    }
    uint64_t ms = (after - now - most) / 1000000 + 1;
    return ms < REST_LEAST_MS ? REST_LEAST_MS : (uint32_t) ms;
}

/* He took one of the second's, but has them for nothing. */
static void excuse(struct admission *a)
{
    uint64_t each = a->rules->rate != 0 ? SECOND_NS / ((uint64_t) a->rules->rate * RAISED) : 0;
    a->full_ns -= a->full_ns > each ? each : 0;
}

/* ---- Bans of operators ---- */

static void set_banned(struct admission *a)
{
    struct cidr nets[BANS_MAX];
    a->bans_end_ns = UINT64_MAX;
    for (uint32_t i = 0; i < a->ban_count; i++) {
        nets[i] = a->bans[i].net;
        a->bans_end_ns = a->bans[i].until_ns < a->bans_end_ns ? a->bans[i].until_ns : a->bans_end_ns;
    }
    a->banned = a->ban_count == 0 ? NULL : cidr_set_make(a->banned_memory, nets, a->ban_count);
}

static void end_bans(struct admission *a, uint64_t now_ns)
{
    if (a->ban_count == 0 || now_ns < a->bans_end_ns)
        return;
    for (uint32_t i = 0; i < a->ban_count;) {
        if (a->bans[i].until_ns <= now_ns)
            a->bans[i] = a->bans[--a->ban_count];
        else
            i++;
    }
    set_banned(a);
}

static struct ban *find_ban(struct admission *a, const struct cidr *net)
{
    for (uint32_t i = 0; i < a->ban_count; i++) {
        if (a->bans[i].net.bits == net->bits &&
            memcmp(a->bans[i].net.address, net->address, PEER_ADDRESS) == 0)
            return &a->bans[i];
    }
    return NULL;
}

bool admission_ban(struct admission *a, const struct cidr *net, uint64_t seconds, const char *text)
{
    uint64_t now = clock_ns();
    end_bans(a, now);
    struct ban *b = find_ban(a, net);
    if (b == NULL && a->ban_count == BANS_MAX)
        return false;
    if (b == NULL)
        b = &a->bans[a->ban_count++];
    *b = (struct ban){.net = *net, .until_ns = now + seconds * SECOND_NS};
    snprintf(b->text, sizeof b->text, "%s", text);
    set_banned(a);
    return true;
}

bool admission_unban(struct admission *a, const struct cidr *net)
{
    uint64_t now = clock_ns();
    end_bans(a, now);
    struct ban *b = find_ban(a, net);
    if (b != NULL) {
        *b = a->bans[--a->ban_count];
        set_banned(a);
    }
    struct gate_limits l = a->rules->limits;
    l.v6_host = net->bits <= 64 ? net->bits : l.v6_host; /* as it was when the ban began */
    const struct gate_entry *e = a->table.at == NULL ? NULL : gate_find(&a->gate, &l, net->address, false);
    bool itself = e != NULL && gate_is_banned(e, now);
    if (itself)
        gate_pardon(&a->gate, e);
    return b != NULL || itself;
}

void admission_tidy(struct admission *a)
{
    admission_begin(a);
    end_bans(a, clock_ns());
}

void admission_look(struct admission *a, const unsigned char address[PEER_ADDRESS], struct admission_view *v)
{
    const struct gate_entry *ip = NULL, *net = NULL;
    *v = (struct admission_view){.allowed = a->rules->allow != NULL && cidr_set_has(a->rules->allow, address),
                                 .denied = a->rules->deny != NULL && cidr_set_has(a->rules->deny, address)};
    admission_tidy(a);
    for (uint32_t i = 0; i < a->ban_count && !v->banned; i++) {
        v->banned = cidr_has(&a->bans[i].net, address);
        v->ban = a->bans[i];
    }
    if (a->table.at != NULL) {
        ip = gate_find(&a->gate, &a->rules->limits, address, false);
        net = gate_find(&a->gate, &a->rules->limits, address, true);
    }
    v->ip = ip != NULL ? *ip : (struct gate_entry){.kind = GATE_FREE};
    v->net = net != NULL ? *net : (struct gate_entry){.kind = GATE_FREE};
}

/* ---- Who comes ---- */

static void say_refused(struct admission *a, const struct peer *peer, enum counter why)
{
    uint32_t held_back;
    char text[PEER_TEXT];
    if (!log_limit_pass(&refusals, 1, &held_back))
        return;
    peer_print(peer, text, sizeof text);
    slog_info_t(a->qlog, "refused a connection from %s: %s%s", text, stats_name(why) + strlen("refused_"),
                log_more(held_back).text);
}

static void say_banned(struct admission *a, const struct peer *peer)
{
    uint32_t held_back;
    char text[PEER_TEXT];
    if (!log_limit_pass(&ban_notes, 1, &held_back))
        return;
    peer_print(peer, text, sizeof text);
    slog_warn_t(a->qlog, "%s is banned for %u s: refused %u times within a minute%s", text,
                a->rules->limits.ban_seconds, a->rules->limits.ban_after, log_more(held_back).text);
}

static void say_full(struct admission *a, uint64_t now_ns)
{
    if (a->overflow_said_ns != 0 && now_ns < a->overflow_said_ns + WARN_SECONDS * SECOND_NS)
        return;
    a->overflow_said_ns = now_ns;
    slog_warn_t(
        a->qlog,
        "the table of addresses is full: some are let in without being counted (gate_overflow); raise "
        "admit.table");
}

/* Networks that are named. Whether that settles it; then *why, STAT_COUNT if he is let in. */
static bool is_named(struct admission *a, const struct peer *peer, uint64_t now_ns, enum counter *why)
{
    const struct rules *r = a->rules;
    end_bans(a, now_ns);
    *why = STAT_COUNT;
    if (r->allow != NULL && cidr_set_has(r->allow, peer->address)) {
        excuse(a);
        return true;
    }
    if (a->banned != NULL && cidr_set_has(a->banned, peer->address))
        *why = STAT_refused_gate_ban;
    else if (r->deny != NULL && cidr_set_has(r->deny, peer->address))
        *why = STAT_refused_gate_deny;
    return *why != STAT_COUNT;
}

static enum counter counter_of(enum gate_answer answer)
{
    static const enum counter rows[] = {[GATE_ADMITTED] = STAT_COUNT,
                                        [GATE_IP_CONNS] = STAT_refused_gate_ip_conns,
                                        [GATE_IP_RATE] = STAT_refused_gate_ip_rate,
                                        [GATE_NET_CONNS] = STAT_refused_gate_net_conns,
                                        [GATE_NET_RATE] = STAT_refused_gate_net_rate,
                                        [GATE_BANNED] = STAT_refused_gate_ban};
    return rows[answer];
}

bool admission_ask(struct admission *a, const struct peer *peer, uint64_t *pass, enum counter *why)
{
    const struct rules *r = a->rules;
    *pass = 0;
    if (peer->port == 0 || (!r->counts && r->allow == NULL && r->deny == NULL && a->banned == NULL))
        return true; /* a unix socket, or nothing is asked */
    uint64_t now = clock_ns();
    if (!is_named(a, peer, now, why) && r->counts) {
        *why = counter_of(gate_ask(&a->gate, &r->limits, peer->address, now, factor(a, now), pass));
        count(a, *pass, 1);
        if (a->gate.overflows != a->told_overflows)
            say_full(a, now);
        if (a->gate.bans != a->told_bans)
            say_banned(a, peer);
        tell_counters(a);
    }
    if (*why == STAT_COUNT)
        return true;
    stats_add(a->stats, *why, 1);
    say_refused(a, peer, *why);
    return false;
}

/* ---- Before and after ---- */

bool admission_setup(struct admission *a)
{
    a->bans = calloc(BANS_MAX, sizeof *a->bans);
    a->banned_memory = calloc(1, cidr_set_size(BANS_MAX));
    if (a->bans == NULL || a->banned_memory == NULL)
        return false;
    if (getrandom(a->gate.key, sizeof a->gate.key, GRND_NONBLOCK) != (ssize_t) sizeof a->gate.key)
        return false;
    if (stats_get(a->stats, STAT_restarts) > 0)
        a->raised_until_ns = clock_ns() + RAISED_SECONDS * SECOND_NS;
    return true;
}

void admission_teardown(struct admission *a)
{
    rules_give_back(&a->table);
    rules_give_back(&a->passes);
    rules_give_back(&a->meters);
    free(a->bans);
    free(a->banned_memory);
    a->bans = NULL;
    a->banned_memory = NULL;
    a->banned = NULL;
}
