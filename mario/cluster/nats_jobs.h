/*
 * nats_jobs.h: what is asked of JetStream, step by step: claims and releases (nats_owner.c), the node's record and the
 * streams (nats_node.c). A job asks, and its next step is called with the answer, until it has finished. What concerns
 * one user is done one after the other, in a lane; what concerns others beside it. The cluster's thread.
 */
#ifndef MARIO_CLUSTER_NATS_JOBS_H
#define MARIO_CLUSTER_NATS_JOBS_H

#include "mario/cluster/nats_inside.h"

#ifdef MARIO_WITH_NATS

#include "mario/cluster/nats_record.h"

enum {
    LANES = 512, /* of users; behind them the node's and the streams' */
    LANE_NODE = LANES,
    LANE_STREAMS,
    LANES_ALL
};

/* What JetStream says is wrong. */
enum { JS_WRONG_REVISION = 10071, JS_NO_MESSAGE = 10037, JS_EXISTS = 10058 };

enum job_kind { CLAIM, RELEASE, RENEW, RETIRE, STREAMS };

struct nats_owners;
struct job;
/* r is NULL if no answer came in time. */
typedef void job_step(struct nats_owners *o, struct job *j, const struct nats_record *r);

struct job {
    struct job *next;
    enum job_kind kind;
    job_step *step;               /* on the answer; NULL: it has not begun */
    uint64_t number, deadline_ms; /* of the answer */
    uint64_t uid, cookie;
    struct owner me;
    int how;
    uint32_t most;
    bool again; /* see claim() in bus.h; of a node: there was no record of ours */
    unsigned tries;
    unsigned stream, replicas; /* which of the two */
    bool update;               /* it exists */
    struct owners list;        /* what the record says, by age */
    uint64_t revision;
    size_t look;        /* whose node is being looked at */
    struct owners gone; /* those to be told */
    size_t hlen;
    char head[];
};

struct nats_owners {
    struct bus *b;
    enum { JS_ASKING, JS_ON, JS_OFF } js;
    bool told_off;  /* said that there is none, and there was none since */
    bool confirmed; /* the name is ours */
    char bucket[64];
    struct job *lanes[LANES_ALL];
    size_t open;
    struct job *failed; /* to be told by the loop */
    struct event *tick, *later;
};

/* ---- nats_jobs.c ---- */

/* NULL without memory. */
struct job *job_new(enum job_kind kind, size_t hlen);
/* Put it into its lane; it begins when those before it have finished. */
void job_add(struct nats_owners *o, struct job *j);
/* Begin, if whether there is JetStream is known. */
void job_start(struct nats_owners *o, struct job *j);
/* It is over, and the next one in its lane begins. */
void job_finish(struct nats_owners *o, struct job *j);
/* The same, and who asked for it is told, if it is a claim. */
void job_finish_claim(struct nats_owners *o, struct job *j, enum bus_claim c);
/* Whether to look again, since somebody was faster. */
bool job_again(struct job *j);

/* Ask the subject; to ask for the record's text, its replacing if it has this revision (0: there is none), its
 * removing if it has. */
#define JOB_ANSWER_MS 2000
void job_ask(struct nats_owners *o, struct job *j, const char *subject, const char *text, size_t len,
             uint64_t expected, unsigned ms, job_step *step);
void job_get(struct nats_owners *o, struct job *j, job_step *step);
void job_put(struct nats_owners *o, struct job *j, const char *text, size_t len, uint64_t revision,
             job_step *step);
void job_drop(struct nats_owners *o, struct job *j, uint64_t revision, job_step *step);
/* For the record of another node. */
void job_get_node(struct nats_owners *o, struct job *j, const char *node, job_step *step);
/* An answer that says nothing of the record: none came, or the stream is gone. Then it is made again. */
bool job_lost(struct nats_owners *o, const struct nats_record *r);

/* ---- nats_owner.c ---- */

void claim_start(struct nats_owners *o, struct job *j);
job_step release_read;

/* ---- nats_node.c ---- */

job_step node_read;
/* Ask who is subscribed for our name's sign of life. */
void node_ask_life(struct nats_owners *o, struct job *j);
/* Make the streams, unless that is being done. */
void streams_begin(struct nats_owners *o);
void streams_make(struct nats_owners *o, struct job *j);

#endif

#endif
