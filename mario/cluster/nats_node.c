/*
 * nats_node.c: the streams that hold the records, and the node's own record, by which others know that it lives. Both
 * streams lie in memory: an engine that was started again knows nobody, and says so (RENEWED_ANEW). The cluster's
 * thread.
 *
 * Without JetStream claims fail, which is said once, and whether a node's name is taken is asked of who is subscribed
 * for its sign of life.
 */
#include "mario/cluster/nats_jobs.h"

#ifdef MARIO_WITH_NATS

#include <inttypes.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

enum {
    LIFE_MS = 1000, /* for an answer of another node of our name */
    NOBODY_MS = 300,
    OWNERS_DAYS = 7,
    REPLICAS = 3 /* where cluster.nats names so many servers */
};

/* ---- Streams ---- */

static void streams_done(struct nats_owners *o, struct job *j, bool on)
{
    bool say = !on && !o->told_off;
    o->js = on ? JS_ON : JS_OFF;
    o->told_off = !on;
    if (say && o->b->events->refused != NULL)
        o->b->events->refused(o->b->arg, 0, "NATS has no JetStream for us: binds hold on each node alone");
    job_finish(o, j);
    for (unsigned i = 0; i < LANES_ALL; i++)
        if (o->lanes[i] != NULL && o->lanes[i]->step == NULL)
            job_start(o, o->lanes[i]);
}

/* One that is there with other options (somebody's ttl was another one) gets ours. */
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
        j->stream++;
    }
    if (j->stream == 2)
        streams_done(o, j, true);
    else
        streams_make(o, j);
}

void streams_make(struct nats_owners *o, struct job *j)
{
    const char *kind = j->stream == 0 ? "owners" : "nodes";
    uint64_t ms = j->stream == 0 ? OWNERS_DAYS * UINT64_C(86400000) : o->b->config.ttl_ms;
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
    job_ask(o, j, subject, text, (size_t) len, NATS_ANY, JOB_ANSWER_MS, on_stream);
}

void streams_begin(struct nats_owners *o)
{
    if (o->lanes[LANE_STREAMS] != NULL)
        return;
    struct job *j = job_new(STREAMS, 0);
    unsigned servers = 1;
    for (const char *s = o->b->config.servers; *s != '\0'; s++)
        servers += *s == ',';
    if (j == NULL)
        return;
    j->replicas = servers >= REPLICAS ? REPLICAS : 1;
    job_add(o, j);
}

/* ---- The node ---- */

static void renewed(struct nats_owners *o, struct job *j, enum bus_renewed r)
{
    if (r != RENEWED_TAKEN)
        o->confirmed = true;
    o->b->events->renewed(o->b->arg, 0, r);
    job_finish(o, j);
}

static void on_node_written(struct nats_owners *o, struct job *j, const struct nats_record *r)
{
    if (!job_lost(o, r) && r->error == 0)
        renewed(o, j, j->again ? RENEWED_ANEW : RENEWED);
    else if (!job_lost(o, r) && job_again(j))
        job_get(o, j, node_read);
    else
        job_finish(o, j);
}

static void write_node(struct nats_owners *o, struct job *j, uint64_t revision, bool anew)
{
    char text[24];
    int len = snprintf(text, sizeof text, "%" PRIu64, o->b->config.epoch);
    j->again = anew;
    job_put(o, j, text, (size_t) len, revision, on_node_written);
}

/* Nobody of our name is there. */
static void alone(struct nats_owners *o, struct job *j)
{
    if (o->js == JS_ON)
        write_node(o, j, j->revision, true);
    else
        renewed(o, j, RENEWED);
}

/* Nobody said that he lives. If a question to nobody is answered as one, somebody is subscribed and silent, a node that
 * is stopped: he does not drive out who has the name. Else it is who listens to everything. */
static void on_silence(struct nats_owners *o, struct job *j, const struct nats_record *r)
{
    bool listener = r == NULL || !r->nobody;
    renewed(o, j, o->js != JS_ON && (listener || o->confirmed) ? RENEWED : RENEWED_TAKEN);
}

/* With records the one who stands there stays. Without, of two the one who knew the name to be his, then the lower
 * epoch. */
static void on_life(struct nats_owners *o, struct job *j, const struct nats_record *r)
{
    if (r == NULL) {
        char subject[SUBJECT_MAX];
        snprintf(subject, sizeof subject, "%s:-", o->b->prefix);
        job_ask(o, j, subject, "", 0, NATS_ANY, NOBODY_MS, on_silence);
        return;
    }
    if (r->nobody) {
        alone(o, j);
        return;
    }
    char *end = NULL;
    uint64_t epoch = strtoull(r->text, &end, 10);
    bool theirs = strcmp(end, " 1") == 0;
    bool ours = theirs == o->confirmed ? o->b->config.epoch < epoch : o->confirmed;
    renewed(o, j, o->js != JS_ON && ours ? RENEWED : RENEWED_TAKEN);
}

void node_ask_life(struct nats_owners *o, struct job *j)
{
    char subject[SUBJECT_MAX];
    snprintf(subject, sizeof subject, "%s:l:%s", o->b->prefix, o->b->node);
    job_ask(o, j, subject, "", 0, NATS_ANY, LIFE_MS, on_life);
}

void nats_owners_alive(struct nats_owners *o, natsMsg *m)
{
    char text[32];
    const char *reply = natsMsg_GetReply(m);
    int len = snprintf(text, sizeof text, "%" PRIu64 " %d", o->b->config.epoch, o->confirmed);
    if (reply != NULL)
        nats_tell(o->b, reply, text, (size_t) len);
}

/* If there is another record by now it is another node's. */
static void on_retired(struct nats_owners *o, struct job *j, const struct nats_record *r)
{
    (void) r;
    job_finish(o, j);
}

void node_read(struct nats_owners *o, struct job *j, const struct nats_record *r)
{
    if (job_lost(o, r)) {
        if (j->kind == RENEW)
            node_ask_life(o, j);
        else
            job_finish(o, j);
        return;
    }
    bool ours = r->error == 0 && strtoull(r->text, NULL, 10) == o->b->config.epoch;
    j->revision = r->error == 0 ? r->revision : 0;
    if (j->kind == RETIRE && ours)
        job_drop(o, j, r->revision, on_retired);
    else if (j->kind == RETIRE)
        job_finish(o, j);
    else if (r->error != 0 || ours)
        write_node(o, j, j->revision, !ours);
    else
        node_ask_life(o, j);
}

#endif
