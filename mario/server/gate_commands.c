/*
 * gate_commands.c: what operators ask of admission. Commands and what becomes of their answers run on the admin thread,
 * steps on the master, which fills what the asker has made.
 */
#include "mario/server/gate_commands.h"

#include <stdio.h>
#include <string.h>

#include "mario/admin/args.h"
#include "mario/admin/ask.h"
#include "mario/admin/command.h"
#include "mario/base/clock.h"
#include "mario/server/master.h"

#define SECOND_NS UINT64_C(1000000000)

enum {
    LIST_ROWS = 100,
    LIST_ROWS_MAX = 1000,
    LOOK_AT = 2048 /* entries of the table in a slice: some 20 us */
};

/* What the master is asked about. */
struct gate_question {
    struct cidr net; /* an address: of all its bits */
    uint64_t seconds;
    uint32_t most; /* rows */
    char text[BAN_TEXT];
};

static struct admission *admission_of(void *master)
{
    return &((struct master *) master)->admission;
}

static enum mario_answer_when ask_master(struct mario_answer *a, const struct gate_question *about,
                                         size_t part_size, QUESTION_FUNC step, ASKED_FUNC done)
{
    struct ask one = {.whom = ASK_MASTER,
                      .part_size = part_size,
                      .about = about,
                      .about_size = sizeof *about,
                      .step = step,
                      .done = done,
                      .arg = a};
    if (ask(&one))
        return MARIO_ANSWER_LATER;
    mario_answer_refuse(a, "no memory, or the server stops");
    return MARIO_ANSWER_NOW;
}

/* What the master has said; NULL, and said, if it has not. */
static void *part_of(struct asked *q, struct mario_answer *a)
{
    void *part = asked_part(q, 0);
    if (part == NULL)
        mario_answer_refuse(a, "the master does not answer");
    return part;
}

static void put_cidr(struct mario_answer *a, const char *key, const struct cidr *c)
{
    char text[CIDR_TEXT];
    cidr_print(c, text, sizeof text);
    mario_answer_text(a, key, text);
}

static uint64_t seconds_left(uint64_t until_ns, uint64_t now_ns)
{
    return until_ns > now_ns ? (until_ns - now_ns + SECOND_NS - 1) / SECOND_NS : 0;
}

static uint64_t banned_seconds(const struct gate_entry *e, uint64_t now_ns)
{
    return gate_is_banned(e, now_ns) ? seconds_left(e->banned_until * SECOND_NS, now_ns) : 0;
}

/* ---- gate show ---- */

struct overview {
    struct gate_limits limits;
    uint32_t rate, entries, used, with_conns, operator_bans;
    uint64_t conns, overflows, bans, raised_for;
    bool allow, deny;
};

static bool overview_step(void *who, void *part, const void *about)
{
    struct admission *m = admission_of(who);
    (void) about;
    admission_tidy(m);
    *(struct overview *) part =
        (struct overview){.limits = m->rules->limits,
                          .rate = m->rules->rate,
                          .entries = (uint32_t) (m->table.size / sizeof(struct gate_entry)),
                          .used = m->gate.used,
                          .with_conns = m->gate.with_conns,
                          .operator_bans = m->ban_count,
                          .conns = m->gate.conns,
                          .overflows = m->gate.overflows,
                          .bans = m->gate.bans,
                          .raised_for = seconds_left(m->raised_until_ns, clock_ns()),
                          .allow = m->rules->allow != NULL,
                          .deny = m->rules->deny != NULL};
    return false;
}

static void put_limit(struct mario_answer *a, const char *key, uint32_t value)
{
    if (value != 0)
        mario_answer_number(a, key, value);
    else
        mario_answer_null(a, key);
}

static void overview_done(struct asked *q, void *arg)
{
    struct mario_answer *a = arg;
    const struct overview *v = part_of(q, a);
    if (v != NULL) {
        put_limit(a, "rate", v->rate);
        put_limit(a, "ip_conns", v->limits.ip_conns);
        put_limit(a, "ip_rate", v->limits.ip_rate);
        put_limit(a, "net_conns", v->limits.net_conns);
        put_limit(a, "net_rate", v->limits.net_rate);
        put_limit(a, "ban_after", v->limits.ban_after);
        mario_answer_number(a, "ban_seconds", v->limits.ban_seconds);
        mario_answer_flag(a, "allow_file", v->allow);
        mario_answer_flag(a, "deny_file", v->deny);
        mario_answer_number(a, "rates_raised_for", v->raised_for);
        mario_answer_number(a, "table", v->entries);
        mario_answer_number(a, "used", v->used);
        mario_answer_number(a, "with_connections", v->with_conns);
        mario_answer_number(a, "connections", v->conns);
        mario_answer_number(a, "overflow", v->overflows);
        mario_answer_number(a, "bans", v->bans);
        mario_answer_number(a, "operator_bans", v->operator_bans);
    }
    mario_answer_done(a);
}

static bool look_step(void *who, void *part, const void *about)
{
    const struct gate_question *g = about;
    admission_look(admission_of(who), g->net.address, part);
    return false;
}

/* Of an address, or of the network around it. */
static void put_entry(struct mario_answer *a, const char *key, const struct gate_entry *e, uint64_t now_ns)
{
    if (e->kind == GATE_FREE) {
        mario_answer_null(a, key);
        return;
    }
    struct cidr net = gate_network(e);
    mario_answer_object(a, key);
    put_cidr(a, "network", &net);
    mario_answer_number(a, "connections", e->conns);
    mario_answer_number(a, "refused_this_minute", e->refused_at == now_ns / SECOND_NS / 60 ? e->refused : 0);
    mario_answer_number(a, "banned_for", banned_seconds(e, now_ns));
    mario_answer_end(a);
}

static void look_done(struct asked *q, void *arg)
{
    struct mario_answer *a = arg;
    const struct admission_view *v = part_of(q, a);
    uint64_t now = clock_ns();
    if (v != NULL) {
        const char *state = v->allowed                                     ? "allowed"
                            : v->banned || banned_seconds(&v->ip, now) > 0 ? "banned"
                            : v->denied                                    ? "denied"
                                                                           : "counted";
        mario_answer_text(a, "state", state);
        put_entry(a, "address", &v->ip, now);
        put_entry(a, "around", &v->net, now);
        if (v->banned) {
            mario_answer_object(a, "operator_ban");
            put_cidr(a, "network", &v->ban.net);
            mario_answer_number(a, "banned_for", seconds_left(v->ban.until_ns, now));
            mario_answer_text(a, "why", v->ban.text);
            mario_answer_end(a);
        }
    }
    mario_answer_done(a);
}

static enum mario_answer_when gate_show(struct mario_answer *a, uint32_t argc, const char *const argv[],
                                        void *arg)
{
    struct args s = args_of(a, argc, argv);
    struct gate_question g = {.net.bits = 128};
    (void) arg;
    bool one = argc > 0 && args_cidr(&s, "", &g.net);
    if (!args_good(&s))
        return MARIO_ANSWER_NOW;
    if (!one)
        return ask_master(a, &g, sizeof(struct overview), overview_step, overview_done);
    if (g.net.bits == 128)
        return ask_master(a, &g, sizeof(struct admission_view), look_step, look_done);
    mario_answer_usage(a, "%s is a network; gate show takes an address", argv[0]);
    return MARIO_ANSWER_NOW;
}

/* ---- gate list ---- */

struct banned_row {
    struct cidr net;
    uint64_t for_seconds;
    bool by_operator;
    char text[BAN_TEXT];
};

struct banned_list {
    bool begun;
    uint32_t at; /* entries of the table that were looked at */
    uint32_t count;
    uint64_t all; /* also those that found no row */
    struct banned_row rows[LIST_ROWS_MAX];
};

static void add_row(struct banned_list *l, uint32_t most, const struct cidr *net, uint64_t seconds,
                    const char *text)
{
    l->all++;
    if (l->count == most)
        return;
    struct banned_row *r = &l->rows[l->count++];
    *r = (struct banned_row){.net = *net, .for_seconds = seconds, .by_operator = text != NULL};
    snprintf(r->text, sizeof r->text, "%s", text != NULL ? text : "");
}

static bool list_step(void *who, void *part, const void *about)
{
    struct admission *m = admission_of(who);
    const struct gate_question *g = about;
    struct banned_list *l = part;
    uint64_t now = clock_ns();
    uint32_t entries = (uint32_t) (m->table.size / sizeof(struct gate_entry));
    if (!l->begun) {
        l->begun = true;
        admission_tidy(m);
        for (uint32_t i = 0; i < m->ban_count; i++)
            add_row(l, g->most, &m->bans[i].net, seconds_left(m->bans[i].until_ns, now), m->bans[i].text);
    }
    for (uint32_t end = l->at + LOOK_AT; l->at < entries && l->at < end; l->at++) {
        const struct gate_entry *e = &m->gate.entries[l->at];
        uint64_t seconds = e->banned_until == 0 ? 0 : banned_seconds(e, now);
        struct cidr net = seconds > 0 ? gate_network(e) : (struct cidr){.bits = 0};
        if (seconds > 0)
            add_row(l, g->most, &net, seconds, NULL);
    }
    return l->at < entries;
}

static void list_done(struct asked *q, void *arg)
{
    struct mario_answer *a = arg;
    const struct banned_list *l = part_of(q, a);
    if (l != NULL) {
        mario_answer_number(a, "banned", l->all);
        mario_answer_list(a, "bans");
        for (uint32_t i = 0; i < l->count; i++) {
            const struct banned_row *r = &l->rows[i];
            mario_answer_object(a, NULL);
            put_cidr(a, "network", &r->net);
            mario_answer_number(a, "banned_for", r->for_seconds);
            mario_answer_text(a, "by", r->by_operator ? "operator" : "admit.ban_after");
            mario_answer_text(a, "why", r->by_operator ? r->text : NULL);
            mario_answer_end(a);
        }
        mario_answer_end(a);
    }
    mario_answer_done(a);
}

static enum mario_answer_when gate_list(struct mario_answer *a, uint32_t argc, const char *const argv[],
                                        void *arg)
{
    struct args s = args_of(a, argc, argv);
    uint64_t limit = LIST_ROWS;
    (void) arg;
    args_number(&s, "limit=", &limit, 1, LIST_ROWS_MAX);
    struct gate_question g = {.most = (uint32_t) limit};
    if (!args_good(&s))
        return MARIO_ANSWER_NOW;
    return ask_master(a, &g, sizeof(struct banned_list), list_step, list_done);
}

/* ---- gate ban, gate unban ---- */

static bool ban_step(void *who, void *part, const void *about)
{
    const struct gate_question *g = about;
    *(bool *) part = admission_ban(admission_of(who), &g->net, g->seconds, g->text);
    return false;
}

static void ban_done(struct asked *q, void *arg)
{
    struct mario_answer *a = arg;
    const bool *done = part_of(q, a);
    if (done != NULL && *done)
        mario_answer_flag(a, "banned", true);
    else if (done != NULL)
        mario_answer_refuse(a, "%u networks are banned already; more belong into admit.deny_file", BANS_MAX);
    mario_answer_done(a);
}

static enum mario_answer_when gate_ban(struct mario_answer *a, uint32_t argc, const char *const argv[],
                                       void *arg)
{
    struct args s = args_of(a, argc, argv);
    struct gate_question g = {.seconds = 0};
    const char *word;
    size_t used = 0;
    (void) arg;
    if (!args_cidr(&s, "", &g.net) || !args_duration(&s, "", &g.seconds, MARIO_TIMEOUT_MAX)) {
        if (!s.wrong)
            mario_answer_usage(a, "whom, for how long and why? CIDR SECONDS TEXT");
        return MARIO_ANSWER_NOW;
    }
    while (args_word(&s, &word)) {
        if (used < sizeof g.text - 1)
            used += (size_t) snprintf(g.text + used, sizeof g.text - used, "%s%s", used > 0 ? " " : "", word);
    }
    if (!args_good(&s))
        return MARIO_ANSWER_NOW;
    if (used == 0 || g.seconds == 0) {
        mario_answer_usage(a, used == 0 ? "why? a ban has a text for whoever finds it"
                                        : "for 0 seconds is no ban");
        return MARIO_ANSWER_NOW;
    }
    return ask_master(a, &g, sizeof(bool), ban_step, ban_done);
}

static bool unban_step(void *who, void *part, const void *about)
{
    const struct gate_question *g = about;
    *(bool *) part = admission_unban(admission_of(who), &g->net);
    return false;
}

static void unban_done(struct asked *q, void *arg)
{
    struct mario_answer *a = arg;
    const bool *done = part_of(q, a);
    if (done != NULL && *done)
        mario_answer_flag(a, "banned", false);
    else if (done != NULL)
        mario_answer_refuse(a, "that network is not banned: gate list shows which are");
    mario_answer_done(a);
}

static enum mario_answer_when gate_unban(struct mario_answer *a, uint32_t argc, const char *const argv[],
                                         void *arg)
{
    struct args s = args_of(a, argc, argv);
    struct gate_question g = {.seconds = 0};
    (void) arg;
    bool whom = args_cidr(&s, "", &g.net);
    if (!args_good(&s))
        return MARIO_ANSWER_NOW;
    if (whom)
        return ask_master(a, &g, sizeof(bool), unban_step, unban_done);
    mario_answer_usage(a, "whom? a network as gate list shows it");
    return MARIO_ANSWER_NOW;
}

bool gate_commands_regist(void)
{
    static const struct command rows[] = {
        {"gate show", "[IP]", "what admission asks of everybody; what it knows of one address",
         MARIO_COMMAND_READS, gate_show, NULL},
        {"gate list", "[limit=100]", "who is banned, by whom and for how long", MARIO_COMMAND_READS,
         gate_list, NULL},
        {"gate ban", "CIDR SECONDS TEXT", "let nobody of a network in for a while; who is in stays",
         MARIO_COMMAND_CHANGES, gate_ban, NULL},
        {"gate unban", "CIDR", "end a ban", MARIO_COMMAND_CHANGES, gate_unban, NULL},
    };
    return commands_regist(rows, sizeof rows / sizeof rows[0]);
}
