/*
 * survey.c: going over the connections of all workers. look() and what it calls run on the worker that is asked,
 * between two passes of its loop; the rest on the admin thread.
 */
#include "mario/admin/survey.h"

#include <stdlib.h>
#include <string.h>

#include "mario/admin/admin.h"
#include "mario/admin/ask.h"
#include "mario/admin/running.h"
#include "mario/base/clock.h"
#include "mario/base/id.h"
#include "mario/net/tcp_facts.h"
#include "mario/worker/worker.h"

enum {
    SLICE_SLOTS = 256, /* that are looked at between two passes, */
    SLICE_NS = 50000,  /* or for so long, */
    SLICE_KICKS = 16,  /* or so many ends: each has a hook, a line of the log and system calls before it */
    LOOKS = 32,        /* slots between two looks at the clock, */
    CALLS = 8,         /* or system calls */
    QUESTION_SLOTS =
        65536, /* of one question, so that a worker that is only slow does not look like one that is stuck */
    STUCK_MS = 1000, /* in one function */
    PATIENCE_MS = 2000,
    PATIENCE_STUCK_MS = 100
};

/* What a worker makes of one question. */
struct part {
    uint32_t looked; /* slots */
    uint32_t found;
    uint32_t count; /* rows */
    bool end;       /* no slot was left behind the last one */
    struct conn_row rows[];
};

/* ---- The top ones: a heap whose smallest is in front ---- */

static void sift_down(struct conn_row *heap, uint32_t count, uint32_t i)
{
    for (;;) {
        uint32_t least = i, left = 2 * i + 1;
        if (left < count && heap[left].value < heap[least].value)
            least = left;
        if (left + 1 < count && heap[left + 1].value < heap[least].value)
            least = left + 1;
        if (least == i)
            return;
        struct conn_row r = heap[i];
        heap[i] = heap[least];
        heap[least] = r;
        i = least;
    }
}

/* One more, if it is larger than the smallest of those that are there, or there is room. */
static void heap_put(struct conn_row *heap, uint32_t *count, uint32_t most, const struct conn_row *r)
{
    if (*count == most) {
        if (r->value <= heap[0].value)
            return;
        heap[0] = *r;
        sift_down(heap, most, 0);
        return;
    }
    uint32_t i = (*count)++;
    for (; i > 0 && heap[(i - 1) / 2].value > r->value; i = (i - 1) / 2)
        heap[i] = heap[(i - 1) / 2];
    heap[i] = *r;
}

static void heap_sort(struct conn_row *heap, uint32_t count)
{
    for (; count > 1; count--) {
        struct conn_row least = heap[0];
        heap[0] = heap[count - 1];
        sift_down(heap, count - 1, 0);
        heap[count - 1] = least;
    }
}

/* ---- The worker's side ---- */

static bool needs_facts(enum survey_by by)
{
    return by == BY_BYTES || by == BY_RTT || by == BY_RETRANS;
}

/* By what it is compared. False if it has no such thing: it is no TCP connection, or its socket is not its own. */
static bool value_of(const struct conn *c, enum survey_by by, struct conn_row *r)
{
    struct tcp_facts f;
    if (needs_facts(by) &&
        (r->peer.port == 0 || r->state == CONN_CLOSING || !conn_has_socket(c) || !tcp_facts(c->pub.fd, &f)))
        return false;
    switch (by) {
    case BY_BYTES:
        r->value = f.received + f.acknowledged;
        return true;
    case BY_PENDING:
        r->value = r->pending;
        return true;
    case BY_AGE:
        r->value = r->age;
        return true;
    case BY_RTT:
        r->value = f.rtt;
        return true;
    case BY_RETRANS:
        r->value = f.retrans;
        return true;
    case BYS:
        break;
    }
    return false;
}

/* The connection matches. */
static void meet(struct conn *c, const struct survey_about *about, struct part *p, struct conn_row *r)
{
    switch (about->kind) {
    case SURVEY_LIST:
        p->rows[p->count++] = *r;
        break;
    case SURVEY_TOP:
        if (!value_of(c, about->by, r))
            return;
        heap_put(p->rows, &p->count, about->most, r);
        break;
    case SURVEY_KICK:
        if (c->state != CONN_OPEN)
            return;
        conn_close(c, REASON_kicked);
        break;
    case SURVEY_COUNT:
        break;
    }
    p->found++;
}

/* The connection in this slot, if it is one that is asked for. */
static void look_at(struct shard *s, uint32_t slot, const struct survey_about *about, struct part *p)
{
    struct conn *c = &s->conns[slot];
    struct conn_row r;
    if (!conn_filter_has_state(&about->filter, c->state) ||
        (about->only != 0 && about->only != id_of(s->ind, slot, c->generation)))
        return;
    conn_row_of(s, c, &r);
    if (conn_filter_has(&about->filter, &r))
        meet(c, about, p, &r);
}

static bool is_full(const struct part *p, const struct survey_about *about)
{
    return (about->kind == SURVEY_LIST && p->count == about->most) || p->looked == QUESTION_SLOTS ||
           (about->only != 0 && p->looked == 1);
}

/* A slice. True while there is more. */
static bool look(void *who, void *part, const void *told)
{
    struct shard *s = &((struct worker *) who)->shard;
    const struct survey_about *about = told;
    struct part *p = part;
    uint32_t stride = about->kind == SURVEY_TOP && needs_facts(about->by) ? CALLS : LOOKS;
    uint32_t met = p->found;
    uint64_t until = clock_ns() + SLICE_NS;
    for (uint32_t n = 0; n < SLICE_SLOTS && !is_full(p, about); n++) {
        if (about->from + p->looked >= s->fresh) {
            p->end = true;
            return false;
        }
        look_at(s, about->from + p->looked++, about, p);
        if ((n % stride == stride - 1 && clock_ns() > until) ||
            (about->kind == SURVEY_KICK && p->found - met == SLICE_KICKS))
            break;
    }
    return !is_full(p, about);
}

/* ---- The admin thread's side ---- */

static void over(struct survey *v)
{
    if (v->about.kind == SURVEY_TOP)
        heap_sort(v->rows, v->count);
    v->over(v, v->arg);
    free(v->rows);
    free(v->silent);
    free(v);
}

uint32_t survey_patience(uint32_t worker)
{
    struct running r;
    running_now(worker, &r);
    return !r.idle && r.ms >= STUCK_MS ? PATIENCE_STUCK_MS : PATIENCE_MS;
}

static void note_silent(struct survey *v)
{
    struct survey_silent *silent = &v->silent[v->silent_count++];
    silent->worker = v->worker;
    ask_why(v->worker, silent->why, sizeof silent->why);
}

static void next_worker(struct survey *v)
{
    v->worker++;
    v->at = 0;
}

static void take_rows(struct survey *v, const struct part *p)
{
    for (uint32_t i = 0; i < p->count; i++) {
        if (v->about.kind == SURVEY_TOP)
            heap_put(v->rows, &v->count, v->about.most, &p->rows[i]);
        else
            v->rows[v->count++] = p->rows[i];
    }
}

/* The worker has answered. */
static void take(struct survey *v, const struct part *p)
{
    v->found += p->found;
    take_rows(v, p);
    v->at += p->looked;
    if (p->end || v->about.only != 0)
        next_worker(v);
}

static bool is_over(struct survey *v)
{
    if (v->worker > v->last)
        return true;
    if (v->for_whom != NULL && !mario_answer_is_wanted(v->for_whom))
        return true;
    if (v->about.kind != SURVEY_LIST || v->count < v->about.most)
        return false;
    v->has_cursor = true;
    v->cursor_worker = v->worker;
    v->cursor_slot = v->at;
    return true;
}

static void on_answer(struct asked *q, void *arg);

/* Ask the worker whose turn it is. */
static bool go_on(struct survey *v)
{
    struct survey_about about = v->about;
    bool has_rows = about.kind == SURVEY_LIST || about.kind == SURVEY_TOP;
    about.from = v->at;
    if (about.kind == SURVEY_LIST)
        about.most -= v->count;
    return ask(&(struct ask){.whom = v->worker,
                             .limit_ms = survey_patience(v->worker),
                             .part_size =
                                 sizeof(struct part) + (has_rows ? about.most : 0) * sizeof(struct conn_row),
                             .about = &about,
                             .about_size = sizeof about,
                             .step = look,
                             .done = on_answer,
                             .arg = v});
}

static void on_answer(struct asked *q, void *arg)
{
    struct survey *v = arg;
    const struct part *p = asked_part(q, 0);
    if (p != NULL) {
        take(v, p);
    } else {
        note_silent(v);
        next_worker(v);
    }
    if (is_over(v)) {
        over(v);
    } else if (!go_on(v)) {
        v->failed = true;
        over(v);
    }
}

bool survey_begin(const struct survey *asked)
{
    struct survey *v = malloc(sizeof *v);
    if (v == NULL)
        return false;
    *v = *asked;
    v->worker = v->first;
    v->at = v->about.from;
    v->rows = calloc(v->about.most + 1u, sizeof *v->rows);
    v->silent = calloc(v->last - v->first + 1u, sizeof *v->silent);
    if (v->rows != NULL && v->silent != NULL && go_on(v))
        return true;
    free(v->rows);
    free(v->silent);
    free(v);
    return false;
}
