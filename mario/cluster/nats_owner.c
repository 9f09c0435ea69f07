/*
 * nats_owner.c: whose a user is, in JetStream. Each record is the last message of a subject, its revision that message's
 * number, and it is replaced only if the revision is still what was read (compare and set); so a claim is one step,
 * begun again if somebody else was faster. What concerns one user is done one after the other, in a lane; what concerns
 * others beside it. Both streams lie in memory: an engine that was started again knows nobody, and says so
 * (RENEWED_ANEW). The cluster's thread; nothing waits.
 *
 * Without JetStream claims fail, which is said once, and whether a node's name is taken is asked of who is subscribed for
 * its sign of life.
 */
#include "mario/cluster/nats_inside.h"

#ifdef MARIO_WITH_NATS

#include <inttypes.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "mario/base/clock.h"
#include "mario/cluster/nats_record.h"
#include "mario/mario_push.h"

enum {
    LANES = 512, /* of users; behind them the node's and the streams' */
    LANE_NODE = LANES,
    LANE_STREAMS,
    LANES_ALL,
    ANSWER_MS = 2000, /* without one in that time it has failed */
    LIFE_MS = 1000,   /* likewise, of another node of our name */
    TICK_MS = 100,
    TRIES = 30, /* others that were faster */
    OWNERS_DAYS = 7,
    REPLICAS = 3 /* where cluster.nats names so many servers */
};

/* What JetStream says is wrong. */
enum { JS_WRONG_REVISION = 10071, JS_NO_MESSAGE = 10037, JS_EXISTS = 10058 };

enum what { CLAIM, RELEASE, RENEW, RETIRE, STREAMS };

struct job {
    struct job *next;
    enum what what;
    void (*step)(struct nats_owners *o, struct job *j, const struct nats_record *r); /* on the answer */
    uint64_t number, deadline_ms;                                                    /* of the answer */
    uint64_t uid, cookie;
    struct owner me;
    int how;
    uint32_t most;
    bool again;
    unsigned tries, replicas;
    bool update;        /* of a stream that exists */
    struct owners list; /* what the record says, by age */
    uint64_t revision;
    size_t look;        /* whose node is being looked at */
    struct owners gone; /* those to be told */
    size_t hlen;
    char head[];
};

struct nats_owners {
    struct bus *b;
    enum { JS_ASKING, JS_ON, JS_OFF } js;
    bool confirmed; /* the name is ours */
    char bucket[64];
    struct job *lanes[LANES_ALL];
    size_t open;
    struct job *failed; /* to be told by the loop */
    struct event *tick, *later;
};

static void start(struct nats_owners *o, struct job *j);

/* ---- Jobs ---- */

static unsigned lane_of(const struct job *j)
{
    return j->what == STREAMS  ? LANE_STREAMS
           : j->what == RENEW  ? LANE_NODE
           : j->what == RETIRE ? LANE_NODE
                               : (unsigned) (j->uid * UINT64_C(0x9e3779b97f4a7c15) >> 40) % LANES;
}

static void job_free(struct job *j)
{
    free(j->list.at);
    free(j->gone.at);
    free(j);
}

/* Take it out of its lane, and have the next one begin. What it was is told by the caller before. */
static void finish(struct nats_owners *o, struct job *j)
{
    unsigned lane = lane_of(j);
    struct job *next = o->lanes[lane] = j->next;
    o->open--;
    job_free(j);
    if (next != NULL)
        start(o, next);
}

static void finish_claim(struct nats_owners *o, struct job *j, enum bus_claim c)
{
    if (j->what == CLAIM)
        o->b->events->claimed(o->b->arg, j->cookie, c);
    finish(o, j);
}

static struct job *job_new(struct nats_owners *o, enum what what, size_t hlen)
{
    struct job *j = calloc(1, sizeof *j + hlen);
    if (j != NULL) {
        j->what = what;
        j->hlen = hlen;
        j->number = lane_of(j);
    }
    (void) o;
    return j;
}

static void add(struct nats_owners *o, struct job *j)
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
        start(o, j);
}

/* ---- Asking ---- */

/* Numbers of a lane differ by LANES_ALL, and none comes twice: an answer that comes late finds nobody. */
static void ask(struct nats_owners *o, struct job *j, const char *subject, const char *text, size_t len,
                uint64_t expected, unsigned ms,
                void (*step)(struct nats_owners *, struct job *, const struct nats_record *))
{
    static uint64_t round;
    j->step = step;
    j->number = lane_of(j) + ++round * LANES_ALL;
    j->deadline_ms = clock_ms() + ms;
    if (!nats_ask(o->b, subject, text, len, expected, j->number))
        j->deadline_ms = 0; /* the next tick says so */
}

static void record_name(const struct nats_owners *o, const struct job *j, char name[SUBJECT_MAX])
{
    if (j->what == CLAIM || j->what == RELEASE)
        snprintf(name, SUBJECT_MAX, "$KV.%s_owners.%" PRIu64, o->bucket, j->uid);
    else
        snprintf(name, SUBJECT_MAX, "$KV.%s_nodes.%s", o->bucket, o->b->node);
}

static void get_name(struct nats_owners *o, struct job *j, const char *kind, const char *name,
                     void (*step)(struct nats_owners *, struct job *, const struct nats_record *))
{
    char subject[SUBJECT_MAX], text[SUBJECT_MAX + 32];
    snprintf(subject, sizeof subject, "$JS.API.STREAM.MSG.GET.KV_%s_%s", o->bucket, kind);
    int len = snprintf(text, sizeof text, "{\"last_by_subj\":\"%s\"}", name);
    ask(o, j, subject, text, (size_t) len, NATS_ANY, ANSWER_MS, step);
}

static void get(struct nats_owners *o, struct job *j,
                void (*step)(struct nats_owners *, struct job *, const struct nats_record *))
{
    char name[SUBJECT_MAX];
    record_name(o, j, name);
    get_name(o, j, j->what == CLAIM || j->what == RELEASE ? "owners" : "nodes", name, step);
}

static void put(struct nats_owners *o, struct job *j, const char *text, size_t len, uint64_t revision,
                void (*step)(struct nats_owners *, struct job *, const struct nats_record *))
{
    char name[SUBJECT_MAX];
    record_name(o, j, name);
    ask(o, j, name, text, len, revision, ANSWER_MS, step);
}

/* Remove the record's revision; if there is another one by now, nothing is. */
static void drop(struct nats_owners *o, struct job *j, const char *kind, uint64_t revision,
                 void (*step)(struct nats_owners *, struct job *, const struct nats_record *))
{
    char subject[SUBJECT_MAX], text[64];
    snprintf(subject, sizeof subject, "$JS.API.STREAM.MSG.DELETE.KV_%s_%s", o->bucket, kind);
    int len = snprintf(text, sizeof text, "{\"seq\":%" PRIu64 ",\"no_erase\":true}", revision);
    ask(o, j, subject, text, (size_t) len, NATS_ANY, ANSWER_MS, step);
}

/* Whether to look again, since somebody was faster. */
static bool again(struct job *j)
{
    return ++j->tries < TRIES;
}

/* ---- Streams ---- */

static void streams_done(struct nats_owners *o, struct job *j, bool on)
{
    bool was_off = o->js == JS_OFF;
    o->js = on ? JS_ON : JS_OFF;
    if (!on && !was_off && o->b->events->refused != NULL)
        o->b->events->refused(o->b->arg, 0, "NATS has no JetStream for us: binds hold on each node alone");
    finish(o, j);
    for (unsigned i = 0; i < LANES_ALL; i++)
        if (o->lanes[i] != NULL && o->lanes[i]->step == NULL)
            start(o, o->lanes[i]);
}

static void make_streams(struct nats_owners *o, struct job *j);

/* uid: which of the two. One that is there with other options (somebody's ttl was another one) gets ours. */
static void on_stream(struct nats_owners *o, struct job *j, const struct nats_record *r)
{
    if (r != NULL && !r->nobody && r->error == JS_EXISTS && !j->update) {
        j->update = true;
    } else if (r != NULL && !r->nobody && r->error != 0 && !j->update && j->replicas > 1) {
        j->replicas = 1;
    } else if (r == NULL || r->nobody || (r->error != 0 && !j->update)) {
        streams_done(o, j, false);
        return;
    } else {
        j->update = false;
        j->uid++;
    }
    if (j->uid == 2)
        streams_done(o, j, true);
    else
        make_streams(o, j);
}

static void make_streams(struct nats_owners *o, struct job *j)
{
    const char *kind = j->uid == 0 ? "owners" : "nodes";
    uint64_t ms = j->uid == 0 ? OWNERS_DAYS * UINT64_C(86400000) : o->b->config.ttl_ms;
    uint64_t twice_ms = ms < 2000 ? ms : 2000; /* the least that may be is 100 ms */
    char subject[SUBJECT_MAX], text[768];
    snprintf(subject, sizeof subject, "$JS.API.STREAM.%s.KV_%s_%s", j->update ? "UPDATE" : "CREATE",
             o->bucket, kind);
    int len =
        snprintf(text, sizeof text,
                 "{\"name\":\"KV_%s_%s\",\"subjects\":[\"$KV.%s_%s.>\"],\"retention\":\"limits\","
                 "\"max_consumers\":-1,\"max_msgs\":-1,\"max_bytes\":-1,\"max_age\":%" PRIu64 "000000,"
                 "\"max_msgs_per_subject\":1,\"max_msg_size\":-1,\"discard\":\"old\",\"storage\":\"memory\","
                 "\"num_replicas\":%u,\"duplicate_window\":%" PRIu64 "000000,\"allow_direct\":true}",
                 o->bucket, kind, o->bucket, kind, ms, j->replicas, twice_ms);
    ask(o, j, subject, text, (size_t) len, NATS_ANY, ANSWER_MS, on_stream);
}

static void begin_streams(struct nats_owners *o)
{
    if (o->lanes[LANE_STREAMS] != NULL)
        return;
    struct job *j = job_new(o, STREAMS, 0);
    unsigned servers = 1;
    for (const char *s = o->b->config.servers; *s != '\0'; s++)
        servers += *s == ',';
    if (j == NULL)
        return;
    j->replicas = servers >= REPLICAS ? REPLICAS : 1;
    add(o, j);
}

/* An answer that says nothing of the record: none came, or the stream is gone. Then it is made again. */
static bool is_lost(struct nats_owners *o, const struct nats_record *r)
{
    if (r != NULL && !r->nobody)
        return r->error != 0 && r->error != JS_WRONG_REVISION && r->error != JS_NO_MESSAGE;
    if (r != NULL && o->js == JS_ON)
        begin_streams(o);
    return true;
}

/* ---- A claim ---- */

static void tell_gone(struct nats_owners *o, const struct job *j)
{
    struct bus *b = o->b;
    char bytes[j->hlen + 48], name[CHANNEL_NAME_MAX], subject[SUBJECT_MAX];
    memcpy(bytes, j->head, j->hlen);
    for (size_t i = 0; i < j->gone.n; i++) {
        const struct owner *w = &j->gone.at[i];
        struct channel c = {.kind = CHANNEL_NODE, .node = w->node};
        size_t len =
            j->hlen + (size_t) snprintf(bytes + j->hlen, 48, "%" PRIu64 " %" PRIu64, w->epoch, w->id);
        channel_name(b->config.prefix, &c, name);
        nats_subject(name, subject, sizeof subject);
        if (strcmp(w->node, b->config.node) == 0) /* what we send does not come back */
            b->events->message(b->arg, 0, &c, bytes, len);
        else
            nats_tell(b, subject, bytes, len);
    }
}

static void on_read(struct nats_owners *o, struct job *j, const struct nats_record *r);

static void on_written(struct nats_owners *o, struct job *j, const struct nats_record *r)
{
    if (is_lost(o, r)) {
        finish_claim(o, j, CLAIM_FAILED);
    } else if (r->error == 0) {
        tell_gone(o, j);
        finish_claim(o, j, CLAIM_OK);
    } else if (again(j)) {
        get(o, j, on_read);
    } else {
        finish_claim(o, j, CLAIM_FAILED);
    }
}

static void write_list(struct nats_owners *o, struct job *j)
{
    size_t len;
    char *text = owners_text(&j->list, &len);
    if (text == NULL)
        finish_claim(o, j, CLAIM_FAILED);
    else
        put(o, j, text, len, j->revision, on_written);
    free(text);
}

/* The list has those who live only. */
static void decide(struct nats_owners *o, struct job *j)
{
    struct owners *l = &j->list;
    ssize_t mine = owners_find(l, &j->me);
    uint32_t most = j->most == 0 ? 1 : j->most;
    j->gone.n = 0;
    if (mine < 0 && l->n >= most) {
        if (j->how != MARIO_BIND_KICK_OLD || j->again) {
            finish_claim(o, j, CLAIM_REFUSED);
            return;
        }
        while (l->n >= most && owners_add(&j->gone, &l->at[0], false))
            owners_remove(l, 0);
    }
    if (mine < 0 && !owners_add(l, &j->me, j->again)) {
        finish_claim(o, j, CLAIM_FAILED);
        return;
    }
    write_list(o, j);
}

static void look(struct nats_owners *o, struct job *j);

/* Of the owner whose turn it is. Those of the same node and epoch behind him are as he is. */
static void on_node(struct nats_owners *o, struct job *j, const struct nats_record *r)
{
    if (is_lost(o, r)) {
        finish_claim(o, j, CLAIM_FAILED);
        return;
    }
    struct owner who = j->list.at[j->look];
    bool lives = r->error == 0 && strtoull(r->text, NULL, 10) == who.epoch;
    if (lives)
        j->look++;
    for (size_t i = j->look; !lives && i < j->list.n;)
        if (j->list.at[i].epoch == who.epoch && strcmp(j->list.at[i].node, who.node) == 0)
            owners_remove(&j->list, i);
        else
            i++;
    look(o, j);
}

/* Who of them lives: our node's of this epoch do, its former ones do not, others are looked for. */
static void look(struct nats_owners *o, struct job *j)
{
    struct owners *l = &j->list;
    while (j->look < l->n) {
        const struct owner *w = &l->at[j->look];
        if (strcmp(w->node, j->me.node) != 0)
            break;
        if (w->epoch == j->me.epoch)
            j->look++;
        else
            owners_remove(l, j->look);
    }
    if (j->look == l->n) {
        decide(o, j);
        return;
    }
    char node[SUBJECT_MAX], name[SUBJECT_MAX + 80];
    nats_subject(l->at[j->look].node, node, sizeof node);
    snprintf(name, sizeof name, "$KV.%s_nodes.%s", o->bucket, node);
    get_name(o, j, "nodes", name, on_node);
}

static void on_read(struct nats_owners *o, struct job *j, const struct nats_record *r)
{
    if (is_lost(o, r) || (r->error == 0 && !owners_parse(&j->list, r->text))) {
        finish_claim(o, j, CLAIM_FAILED);
        return;
    }
    if (r->error != 0)
        j->list.n = 0;
    j->revision = r->error == 0 ? r->revision : 0;
    j->look = 0;
    look(o, j);
}

/* Most who log in are nowhere else: that needs one question. */
static void start_claim(struct nats_owners *o, struct job *j)
{
    j->list.n = 0;
    j->revision = 0;
    if (owners_add(&j->list, &j->me, false))
        write_list(o, j);
    else
        finish_claim(o, j, CLAIM_FAILED);
}

/* ---- A release ---- */

static void on_release_read(struct nats_owners *o, struct job *j, const struct nats_record *r);

static void on_released(struct nats_owners *o, struct job *j, const struct nats_record *r)
{
    bool faster = r != NULL && !r->nobody && r->error != 0; /* somebody was */
    if (faster && j->what == RELEASE && again(j))
        get(o, j, on_release_read);
    else
        finish(o, j);
}

static void on_release_read(struct nats_owners *o, struct job *j, const struct nats_record *r)
{
    ssize_t mine = -1;
    if (!is_lost(o, r) && r->error == 0 && owners_parse(&j->list, r->text))
        mine = owners_find(&j->list, &j->me);
    if (mine < 0) {
        finish(o, j);
        return;
    }
    owners_remove(&j->list, (size_t) mine);
    if (j->list.n == 0) {
        drop(o, j, "owners", r->revision, on_released);
        return;
    }
    size_t len;
    char *text = owners_text(&j->list, &len);
    if (text == NULL)
        finish(o, j);
    else
        put(o, j, text, len, r->revision, on_released);
    free(text);
}

/* ---- The node ---- */

static void on_node_read(struct nats_owners *o, struct job *j, const struct nats_record *r);

static void renewed(struct nats_owners *o, struct job *j, enum bus_renewed r)
{
    if (r != RENEWED_TAKEN)
        o->confirmed = true;
    o->b->events->renewed(o->b->arg, 0, r);
    finish(o, j);
}

/* again: there was no record of ours. */
static void on_node_written(struct nats_owners *o, struct job *j, const struct nats_record *r)
{
    if (!is_lost(o, r) && r->error == 0)
        renewed(o, j, j->again ? RENEWED_ANEW : RENEWED);
    else if (!is_lost(o, r) && again(j))
        get(o, j, on_node_read);
    else
        finish(o, j);
}

static void write_node(struct nats_owners *o, struct job *j, uint64_t revision, bool anew)
{
    char text[24];
    int len = snprintf(text, sizeof text, "%" PRIu64, o->b->config.epoch);
    j->again = anew;
    put(o, j, text, (size_t) len, revision, on_node_written);
}

/* Somebody else of our name, or nobody (he was killed). With records the one who stands there stays. Without, of two
 * the one who knew the name to be his, then the lower epoch; one who is silent (stopped) is there, but does not drive out
 * who has the name. */
static void on_life(struct nats_owners *o, struct job *j, const struct nats_record *r)
{
    bool on = o->js == JS_ON;
    if (r != NULL && r->nobody) {
        if (on)
            write_node(o, j, j->revision, true);
        else
            renewed(o, j, RENEWED);
        return;
    }
    char *end = NULL;
    uint64_t epoch = r == NULL ? 0 : strtoull(r->text, &end, 10);
    bool theirs = epoch == 0 || strcmp(end, " 1") == 0;
    bool ours = o->confirmed && (!theirs || epoch == 0 || o->b->config.epoch < epoch);
    if (!theirs && !o->confirmed)
        ours = o->b->config.epoch < epoch;
    renewed(o, j, !on && ours ? RENEWED : RENEWED_TAKEN);
}

static void ask_life(struct nats_owners *o, struct job *j)
{
    char subject[SUBJECT_MAX];
    snprintf(subject, sizeof subject, "%s:l:%s", o->b->prefix, o->b->node);
    ask(o, j, subject, "", 0, NATS_ANY, LIFE_MS, on_life);
}

void nats_owners_alive(struct nats_owners *o, natsMsg *m)
{
    char text[32];
    const char *reply = natsMsg_GetReply(m);
    int len = snprintf(text, sizeof text, "%" PRIu64 " %d", o->b->config.epoch, o->confirmed);
    if (reply != NULL)
        nats_tell(o->b, reply, text, (size_t) len);
}

static void on_node_read(struct nats_owners *o, struct job *j, const struct nats_record *r)
{
    if (is_lost(o, r)) {
        if (j->what == RENEW)
            ask_life(o, j);
        else
            finish(o, j);
        return;
    }
    bool ours = r->error == 0 && strtoull(r->text, NULL, 10) == o->b->config.epoch;
    j->revision = r->error == 0 ? r->revision : 0;
    if (j->what == RETIRE && ours)
        drop(o, j, "nodes", r->revision, on_released);
    else if (j->what == RETIRE)
        finish(o, j);
    else if (r->error != 0 || ours)
        write_node(o, j, j->revision, !ours);
    else
        ask_life(o, j);
}

/* ---- In and out ---- */

/* step is NULL as long as it has not begun. */
static void start(struct nats_owners *o, struct job *j)
{
    if (o->js == JS_ASKING && j->what != STREAMS)
        return;
    if (j->what == STREAMS)
        make_streams(o, j);
    else if (o->js == JS_ON && j->what == CLAIM)
        start_claim(o, j);
    else if (o->js == JS_ON)
        get(o, j, j->what == RELEASE ? on_release_read : on_node_read);
    else if (j->what == RENEW)
        ask_life(o, j);
    else
        finish_claim(o, j, CLAIM_FAILED);
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
    struct job *j = job_new(o, CLAIM, hlen);
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
        add(o, j);
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
    struct job *j = job_new(o, RELEASE, 0);
    if (j == NULL)
        return;
    j->uid = uid;
    j->me = *me;
    add(o, j);
}

static void node_job(struct nats_owners *o, enum what what)
{
    struct job *j = nats_link_connection(o->b->link) == NULL ? NULL : job_new(o, what, 0);
    if (j != NULL)
        add(o, j);
}

void nats_owners_renew(struct nats_owners *o)
{
    if (o->js == JS_OFF && nats_link_connection(o->b->link) != NULL)
        begin_streams(o); /* it may have come meanwhile */
    node_job(o, RENEW);
}

void nats_owners_retire(struct nats_owners *o)
{
    node_job(o, RETIRE);
}

void nats_owners_up(struct nats_owners *o)
{
    o->js = JS_ASKING;
    begin_streams(o);
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
            if (j->what == CLAIM)
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
