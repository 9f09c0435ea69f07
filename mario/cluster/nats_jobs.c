/*
 * nats_jobs.c: lanes of jobs, their questions and answers. The cluster's thread; nothing waits.
 */
#include "mario/cluster/nats_jobs.h"

#ifdef MARIO_WITH_NATS

#include <inttypes.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "mario/base/clock.h"

enum {
    TICK_MS = 100,
    TRIES = 200 /* others that were faster */
};

/* ---- Jobs ---- */

static unsigned lane_of(const struct job *j)
{
    return j->kind == STREAMS  ? LANE_STREAMS
           : j->kind == RENEW  ? LANE_NODE
           : j->kind == RETIRE ? LANE_NODE
                               : (unsigned) (j->uid * UINT64_C(0x9e3779b97f4a7c15) >> 40) % LANES;
}

static void job_free(struct job *j)
{
    free(j->list.at);
    free(j->gone.at);
    free(j);
}

/* Take it out of its lane, and have the next one begin. What it was is told by the caller before. */
void job_finish(struct nats_owners *o, struct job *j)
{
    unsigned lane = lane_of(j);
    struct job *next = o->lanes[lane] = j->next;
    o->open--;
    job_free(j);
    if (next != NULL)
        job_start(o, next);
}

void job_finish_claim(struct nats_owners *o, struct job *j, enum bus_claim c)
{
    if (j->kind == CLAIM)
        o->b->events->claimed(o->b->arg, j->cookie, c);
    job_finish(o, j);
}

struct job *job_new(enum job_kind kind, size_t hlen)
{
    struct job *j = calloc(1, sizeof *j + hlen);
    if (j != NULL) {
        j->kind = kind;
        j->hlen = hlen;
        j->number = lane_of(j);
    }
    return j;
}

void job_add(struct nats_owners *o, struct job *j)
{
    j->number = lane_of(j);
    struct job **last = &o->lanes[j->number];
    bool first = *last == NULL;
    while (*last != NULL)
        last = &(*last)->next;
    *last = j;
    o->open++;
    if (!event_pending(o->tick, EV_TIMEOUT, NULL))
        event_add(o->tick, &(struct timeval){.tv_usec = TICK_MS * 1000});
    if (first)
        job_start(o, j);
}

/* ---- Asking ---- */

/* Numbers of a lane differ by LANES_ALL, and none comes twice: an answer that comes late finds nobody. */
void job_ask(struct nats_owners *o, struct job *j, const char *subject, const char *text, size_t len,
             uint64_t expected, unsigned ms, job_step *step)
{
    static uint64_t round;
    j->step = step;
    j->number = lane_of(j) + ++round * LANES_ALL;
    j->deadline_ms = clock_ms() + ms;
    if (!nats_ask(o->b, subject, text, len, expected, j->number))
        j->deadline_ms = 0; /* the next tick says so */
}

static const char *records_of(const struct job *j)
{
    return j->kind == CLAIM || j->kind == RELEASE ? "owners" : "nodes";
}

static void record_name(const struct nats_owners *o, const struct job *j, char name[SUBJECT_MAX])
{
    if (j->kind == CLAIM || j->kind == RELEASE)
        snprintf(name, SUBJECT_MAX, "$KV.%s_owners.%" PRIu64, o->bucket, j->uid);
    else
        snprintf(name, SUBJECT_MAX, "$KV.%s_nodes.%s", o->bucket, o->b->node);
}

static void get_name(struct nats_owners *o, struct job *j, const char *kind, const char *name, job_step *step)
{
    char subject[SUBJECT_MAX], text[SUBJECT_MAX + 32];
    snprintf(subject, sizeof subject, "$JS.API.STREAM.MSG.GET.KV_%s_%s", o->bucket, kind);
    int len = snprintf(text, sizeof text, "{\"last_by_subj\":\"%s\"}", name);
    job_ask(o, j, subject, text, (size_t) len, NATS_ANY, JOB_ANSWER_MS, step);
}

void job_get(struct nats_owners *o, struct job *j, job_step *step)
{
    char name[SUBJECT_MAX];
    record_name(o, j, name);
    get_name(o, j, records_of(j), name, step);
}

void job_put(struct nats_owners *o, struct job *j, const char *text, size_t len, uint64_t revision,
             job_step *step)
{
    char name[SUBJECT_MAX];
    record_name(o, j, name);
    job_ask(o, j, name, text, len, revision, JOB_ANSWER_MS, step);
}

void job_get_node(struct nats_owners *o, struct job *j, const char *node, job_step *step)
{
    char as_subject[SUBJECT_MAX / 2], name[SUBJECT_MAX];
    nats_subject(node, as_subject, sizeof as_subject);
    snprintf(name, sizeof name, "$KV.%s_nodes.%s", o->bucket, as_subject);
    get_name(o, j, "nodes", name, step);
}

void job_drop(struct nats_owners *o, struct job *j, uint64_t revision, job_step *step)
{
    char subject[SUBJECT_MAX], text[64];
    snprintf(subject, sizeof subject, "$JS.API.STREAM.MSG.DELETE.KV_%s_%s", o->bucket, records_of(j));
    int len = snprintf(text, sizeof text, "{\"seq\":%" PRIu64 ",\"no_erase\":true}", revision);
    job_ask(o, j, subject, text, (size_t) len, NATS_ANY, JOB_ANSWER_MS, step);
}

bool job_again(struct job *j)
{
    return ++j->tries < TRIES;
}

/* An answer that says nothing of the record: none came, or the stream is gone. Then it is made again. */
bool job_lost(struct nats_owners *o, const struct nats_record *r)
{
    if (r != NULL && !r->nobody)
        return r->error != 0 && r->error != JS_WRONG_REVISION && r->error != JS_NO_MESSAGE;
    if (r != NULL && o->js == JS_ON)
        streams_begin(o);
    return true;
}

/* ---- In and out ---- */

/* step is NULL as long as it has not begun. */
void job_start(struct nats_owners *o, struct job *j)
{
    if (o->js == JS_ASKING && j->kind != STREAMS)
        return;
    if (j->kind == STREAMS)
        streams_make(o, j);
    else if (o->js == JS_ON && j->kind == CLAIM)
        claim_start(o, j);
    else if (o->js == JS_ON)
        job_get(o, j, j->kind == RELEASE ? release_read : node_read);
    else if (j->kind == RENEW)
        node_ask_life(o, j);
    else
        job_finish_claim(o, j, CLAIM_FAILED);
}

void nats_owners_answer(struct nats_owners *o, uint64_t number, natsMsg *m)
{
    struct job *j = o->lanes[number % LANES_ALL];
    if (j == NULL || j->number != number || j->step == NULL)
        return;
    struct nats_record r;
    if (!nats_record_parse(&r, natsMsg_GetData(m), (size_t) natsMsg_GetDataLength(m),
                           natsMsg_IsNoResponders(m)))
        return; /* no memory: as if it had not come */
    j->step(o, j, &r);
    nats_record_free(&r);
}

static void on_tick(evutil_socket_t fd, short what, void *arg)
{
    (void) fd;
    (void) what;
    struct nats_owners *o = arg;
    uint64_t now = clock_ms();
    for (unsigned i = 0; i < LANES_ALL; i++) {
        struct job *j = o->lanes[i];
        if (j != NULL && j->step != NULL && j->deadline_ms <= now)
            j->step(o, j, NULL);
    }
    if (o->open > 0)
        event_add(o->tick, &(struct timeval){.tv_usec = TICK_MS * 1000});
}

static void tell_failed(struct nats_owners *o)
{
    while (o->failed != NULL) {
        struct job *j = o->failed;
        o->failed = j->next;
        o->b->events->claimed(o->b->arg, j->cookie, CLAIM_FAILED);
        job_free(j);
    }
}

static void on_later(evutil_socket_t fd, short what, void *arg)
{
    (void) fd;
    (void) what;
    tell_failed(arg);
}

void nats_owners_claim(struct nats_owners *o, uint64_t uid, const struct owner *me, int how, uint32_t most,
                       bool anew, const void *head, size_t hlen, uint64_t cookie)
{
    struct job *j = job_new(CLAIM, hlen);
    if (j == NULL) {
        o->b->events->claimed(o->b->arg, cookie, CLAIM_FAILED);
        return;
    }
    j->uid = uid;
    j->me = *me;
    j->how = how;
    j->most = most;
    j->again = anew;
    j->cookie = cookie;
    memcpy(j->head, head, hlen);
    if (nats_link_connection(o->b->link) != NULL && o->js != JS_OFF) {
        job_add(o, j);
        return;
    }
    struct job **last = &o->failed;
    while (*last != NULL)
        last = &(*last)->next;
    *last = j;
    event_active(o->later, EV_TIMEOUT, 1);
}

void nats_owners_release(struct nats_owners *o, uint64_t uid, const struct owner *me)
{
    if (nats_link_connection(o->b->link) == NULL || o->js == JS_OFF)
        return;
    struct job *j = job_new(RELEASE, 0);
    if (j == NULL)
        return;
    j->uid = uid;
    j->me = *me;
    job_add(o, j);
}

static void node_job(struct nats_owners *o, enum job_kind kind)
{
    struct job *j = nats_link_connection(o->b->link) == NULL ? NULL : job_new(kind, 0);
    if (j != NULL)
        job_add(o, j);
}

void nats_owners_renew(struct nats_owners *o)
{
    if (o->js == JS_OFF && nats_link_connection(o->b->link) != NULL)
        streams_begin(o); /* it may have come meanwhile */
    node_job(o, RENEW);
}

void nats_owners_retire(struct nats_owners *o)
{
    node_job(o, RETIRE);
}

void nats_owners_up(struct nats_owners *o)
{
    o->js = JS_ASKING;
    streams_begin(o);
}

bool nats_owners_idle(const struct nats_owners *o)
{
    return o->open == 0 && o->failed == NULL;
}

void nats_owners_down(struct nats_owners *o)
{
    for (unsigned i = 0; i < LANES_ALL; i++)
        while (o->lanes[i] != NULL) {
            struct job *j = o->lanes[i];
            o->lanes[i] = j->next;
            o->open--;
            if (j->kind == CLAIM)
                o->b->events->claimed(o->b->arg, j->cookie, CLAIM_FAILED);
            job_free(j);
        }
    tell_failed(o);
}

struct nats_owners *nats_owners_create(struct bus *b)
{
    struct nats_owners *o = calloc(1, sizeof *o);
    if (o == NULL)
        return NULL;
    o->b = b;
    bucket_name(b->config.prefix, o->bucket, sizeof o->bucket);
    o->tick = event_new(b->config.base, -1, 0, on_tick, o);
    o->later = event_new(b->config.base, -1, 0, on_later, o);
    if (o->tick == NULL || o->later == NULL)
        nats_owners_destroy(&o);
    return o;
}

void nats_owners_destroy(struct nats_owners **owners)
{
    struct nats_owners *o = *owners;
    if (o == NULL)
        return;
    *owners = NULL;
    nats_owners_down(o);
    if (o->tick != NULL)
        event_free(o->tick);
    if (o->later != NULL)
        event_free(o->later);
    free(o);
}

#endif
