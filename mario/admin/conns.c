/*
 * conns.c: the commands that go over connections: conn list, conn kick, conn top. The admin thread; the workers' part
 * is survey.c.
 */
#include "mario/admin/conns.h"

#include <inttypes.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "mario/admin/admin.h"
#include "mario/admin/args.h"
#include "mario/admin/command.h"
#include "mario/admin/survey.h"
#include "mario/base/id.h"

enum {
    LIST_ROWS = 100,
    LIST_ROWS_MAX = 10000,
    TOP_ROWS = 10,
    TOP_ROWS_MAX = 100,
    WORDS_MAX = 200 /* bytes of a command in the log */
};

static const struct {
    const char *name;
    const char *column; /* NULL: a row has it anyway */
} bys[BYS] = {
    [BY_BYTES] = {"bytes", "bytes"}, [BY_PENDING] = {"pending", NULL},      [BY_AGE] = {"age", NULL},
    [BY_RTT] = {"rtt", "rtt_ms"},    [BY_RETRANS] = {"retrans", "retrans"},
};

static bool begin(struct mario_answer *a, const struct survey *v)
{
    if (survey_begin(v))
        return true;
    mario_answer_refuse(a, "no memory, or the server stops");
    return false;
}

/* The workers that are asked: all, or the one of the filter. */
static struct survey survey_of(struct mario_answer *a, enum survey_kind kind, const struct conn_filter *f)
{
    return (struct survey){.about = {.kind = kind, .filter = *f},
                           .first = f->has_worker ? f->worker : 0,
                           .last = f->has_worker ? f->worker : admin_view()->workernum - 1,
                           .for_whom = kind == SURVEY_KICK ? NULL : a,
                           .arg = a};
}

/* Those that did not answer, if there are such. */
static void put_silent(struct mario_answer *a, const struct survey *v)
{
    if (v->silent_count == 0)
        return;
    mario_answer_list(a, "no_answer");
    for (uint32_t i = 0; i < v->silent_count; i++) {
        mario_answer_object(a, NULL);
        mario_answer_number(a, "worker", v->silent[i].worker);
        mario_answer_text(a, "why", v->silent[i].why);
        mario_answer_end(a);
    }
    mario_answer_end(a);
}

/* True if it was broken off, which is said. */
static bool has_failed(struct mario_answer *a, const struct survey *v)
{
    if (v->failed)
        mario_answer_refuse(a, "broken off: no memory, or the server stops");
    return v->failed;
}

/* ---- conn list ---- */

static void put_rows(struct mario_answer *a, const struct survey *v)
{
    mario_answer_list(a, "connections");
    for (uint32_t i = 0; i < v->count; i++) {
        mario_answer_object(a, NULL);
        conn_row_put_listed(a, &v->rows[i]);
        mario_answer_end(a);
    }
    mario_answer_end(a);
}

static void list_over(struct survey *v, void *arg)
{
    struct mario_answer *a = arg;
    if (!has_failed(a, v)) {
        put_rows(a, v);
        if (v->has_cursor)
            mario_answer_format(a, "cursor", "%u.%u", v->cursor_worker, v->cursor_slot);
        else
            mario_answer_null(a, "cursor");
        put_silent(a, v);
    }
    mario_answer_done(a);
}

/* Where the list goes on: WORKER.SLOT. False, and said, if it is none. */
static bool read_cursor(struct mario_answer *a, struct args *args, struct survey *v)
{
    const char *text;
    if (!args_text(args, "cursor=", &text))
        return true;
    char *dot, *end = NULL;
    unsigned long long worker = strtoull(text, &dot, 10), slot = 0;
    bool good = strspn(text, "0123456789.") == strlen(text) && dot != text && *dot == '.' && dot[1] != '\0';
    if (good)
        slot = strtoull(dot + 1, &end, 10);
    if (!good || *end != '\0' || worker < v->first || worker > v->last || slot > admin_view()->connnum) {
        mario_answer_usage(a, "cursor=%s: not where a list of these workers ended (WORKER.SLOT)", text);
        return false;
    }
    v->first = (uint32_t) worker;
    v->about.from = (uint32_t) slot;
    return true;
}

enum mario_answer_when conns_list(struct mario_answer *a, uint32_t argc, const char *const argv[], void *arg)
{
    struct args args = args_of(a, argc, argv);
    struct conn_filter f;
    uint64_t limit = LIST_ROWS;
    (void) arg;
    conn_filter_read(&f, &args, admin_view()->workernum);
    args_number(&args, "limit=", &limit, 1, LIST_ROWS_MAX);
    struct survey v = survey_of(a, SURVEY_LIST, &f);
    v.about.most = (uint32_t) limit;
    v.over = list_over;
    if (!read_cursor(a, &args, &v) || !args_good(&args))
        return MARIO_ANSWER_NOW;
    return begin(a, &v) ? MARIO_ANSWER_LATER : MARIO_ANSWER_NOW;
}

/* ---- conn top ---- */

static void put_value(struct mario_answer *a, enum survey_by by, uint64_t value)
{
    if (by == BY_RTT)
        mario_answer_real(a, bys[by].column, (double) value / 1000);
    else if (bys[by].column != NULL)
        mario_answer_number(a, bys[by].column, value);
}

static void top_over(struct survey *v, void *arg)
{
    struct mario_answer *a = arg;
    if (!has_failed(a, v)) {
        mario_answer_text(a, "by", bys[v->about.by].name);
        mario_answer_list(a, "connections");
        for (uint32_t i = 0; i < v->count; i++) {
            mario_answer_object(a, NULL);
            conn_row_put_listed(a, &v->rows[i]);
            put_value(a, v->about.by, v->rows[i].value);
            mario_answer_end(a);
        }
        mario_answer_end(a);
        put_silent(a, v);
    }
    mario_answer_done(a);
}

/* The word that says by what. */
static bool read_by(struct mario_answer *a, struct args *args, enum survey_by *by)
{
    const char *word = "";
    args_word(args, &word);
    for (*by = BY_BYTES; *by < BYS; ++*by) {
        if (strcmp(word, bys[*by].name) == 0)
            return true;
    }
    mario_answer_usage(a, "by what? bytes, pending, age, rtt or retrans; '%s' is none of them", word);
    return false;
}

enum mario_answer_when conns_top(struct mario_answer *a, uint32_t argc, const char *const argv[], void *arg)
{
    struct args args = args_of(a, argc, argv);
    struct conn_filter f;
    uint64_t most = TOP_ROWS;
    enum survey_by by;
    (void) arg;
    conn_filter_read(&f, &args, admin_view()->workernum);
    if (!read_by(a, &args, &by))
        return MARIO_ANSWER_NOW;
    args_word_number(&args, "N", &most, 1, TOP_ROWS_MAX);
    if (!args_good(&args))
        return MARIO_ANSWER_NOW;
    struct survey v = survey_of(a, SURVEY_TOP, &f);
    v.about.by = by;
    v.about.most = (uint32_t) most;
    v.over = top_over;
    return begin(a, &v) ? MARIO_ANSWER_LATER : MARIO_ANSWER_NOW;
}

/* ---- conn kick ---- */

/* What is on its way while connections are kicked. */
struct kick {
    struct mario_answer *a;
    bool dry;
    char words[WORDS_MAX]; /* what was asked for, for the log */
};

static void note_words(struct kick *k, uint32_t argc, const char *const argv[])
{
    size_t used = 0;
    for (uint32_t i = 0; i < argc && used < sizeof k->words; i++)
        used += (size_t) snprintf(k->words + used, sizeof k->words - used, " %s", argv[i]);
}

static void kick_over(struct survey *v, void *arg)
{
    struct kick *k = arg;
    struct mario_answer *a = k->a;
    if (!k->dry && v->found > 0)
        slog_info_t(admin_log(), "conn kick%s: %" PRIu64 " kicked%s", k->words, v->found,
                    v->failed ? ", then broken off" : "");
    if (has_failed(a, v)) {
    } else if (v->about.only != 0 && v->found == 0 && v->silent_count > 0) {
        mario_answer_refuse(a, "worker %u: %s", v->silent[0].worker, v->silent[0].why);
    } else if (v->about.only != 0 && v->found == 0) {
        mario_answer_refuse(a, "there is no such connection, or it ends already");
    } else {
        mario_answer_number(a, k->dry ? "would_be_kicked" : "kicked", v->found);
        if (k->dry)
            mario_answer_text(a, "note", "nothing is done without --yes");
        put_silent(a, v);
    }
    mario_answer_done(a);
    free(k);
}

/* Who is meant: one connection by its id, or all that a filter has. False, and said, if that is not clear. */
static bool read_target(struct mario_answer *a, struct args *args, struct conn_filter *f, uint64_t *id)
{
    conn_filter_read(f, args, admin_view()->workernum);
    bool one = args_id(args, "", id);
    if (args->wrong || one != f->any)
        return args_good(args);
    mario_answer_usage(a, "which connections? an id (conn list has them), or a filter such as state=open%s",
                       one ? ", not both" : "");
    return false;
}

enum mario_answer_when conns_kick(struct mario_answer *a, uint32_t argc, const char *const argv[], void *arg)
{
    struct args args = args_of(a, argc, argv);
    const char *why;
    struct conn_filter f;
    uint64_t id = 0;
    (void) arg;
    bool yes = args_flag(&args, "--yes");
    args_text(&args, "why=", &why); /* it is one of the words that are logged */
    if (!read_target(a, &args, &f, &id))
        return MARIO_ANSWER_NOW;
    bool dry = id == 0 && !yes;
    struct survey v = survey_of(a, dry ? SURVEY_COUNT : SURVEY_KICK, &f);
    if (dry)
        v.about.filter.states &= UINT32_C(1) << CONN_OPEN; /* others end already */
    if (id != 0) {
        v.about.only = id;
        v.about.from = id_slot(id);
        v.first = v.last = id_worker(id);
    }
    if (id != 0 && id_worker(id) >= admin_view()->workernum) {
        mario_answer_refuse(a, "there is no such connection: there are %u workers", admin_view()->workernum);
        return MARIO_ANSWER_NOW;
    }
    struct kick *k = calloc(1, sizeof *k);
    if (k == NULL) {
        mario_answer_refuse(a, "no memory");
        return MARIO_ANSWER_NOW;
    }
    *k = (struct kick){.a = a, .dry = dry};
    note_words(k, argc, argv);
    v.over = kick_over;
    v.arg = k;
    if (begin(a, &v))
        return MARIO_ANSWER_LATER;
    free(k);
    return MARIO_ANSWER_NOW;
}

/* ---- The table ---- */

static const struct command commands[] = {
    {.name = "conn list",
     .usage = CONN_FILTER_USAGE " [limit=100] [cursor=WORKER.SLOT]",
     .help = "connections, in the order of their places",
     .kind = MARIO_COMMAND_READS,
     .f = conns_list},
    {.name = "conn show",
     .usage = "ID",
     .help = "all that is known of one connection",
     .kind = MARIO_COMMAND_READS,
     .f = conns_show},
    {.name = "conn kick",
     .usage = "ID | FILTER [--yes] [why=TEXT]",
     .help =
         "end one connection; or all of a filter as conn list takes it: without --yes they are only counted",
     .kind = MARIO_COMMAND_CHANGES,
     .f = conns_kick},
    {.name = "conn top",
     .usage = "bytes|pending|age|rtt|retrans [N] " CONN_FILTER_USAGE,
     .help = "the N connections with most of it",
     .kind = MARIO_COMMAND_READS,
     .f = conns_top},
    {.name = "workers",
     .usage = "",
     .help = "each worker: its connections, how busy it is, what it runs and for how long",
     .kind = MARIO_COMMAND_READS,
     .f = conns_workers},
    {.name = "functions",
     .usage = "",
     .help = "each function: how often it was called, how long it takes",
     .kind = MARIO_COMMAND_READS,
     .f = conns_functions},
};

bool conns_regist(void)
{
    return commands_regist(commands, sizeof commands / sizeof commands[0]);
}
