/*
 * nats_inside.h: what the files of the NATS driver share: the bus (bus_nats.c), the subscriptions (nats_subs.c) and the
 * records of owners and nodes (nats_jobs.h). All on the cluster's thread.
 *
 * Names: '.' parts a subject of NATS, so one in a prefix or a node's name is written '/', which those cannot have.
 * Beside the channels there are PREFIX:r:NODE:EPOCH.X, where answers to this node come to, X says to what;
 * PREFIX:l:NODE, where it answers who asks whether it lives; and PREFIX:-, where nobody listens. Records lie in two
 * streams of JetStream, made and named as key-value buckets are: PREFIX_owners, by uid, and PREFIX_nodes, by node.
 */
#ifndef MARIO_CLUSTER_NATS_INSIDE_H
#define MARIO_CLUSTER_NATS_INSIDE_H

#include "mario/cluster/bus.h"
#include "mario/cluster/nats_lib.h"

#ifdef MARIO_WITH_NATS

#include "mario/cluster/nats_link.h"

enum { SUBJECT_MAX = 256 };

/* ---- nats_subs.c: which channel has which subscription of libnats ---- */

struct sub_slot {
    uint64_t key; /* 0: free */
    natsSubscription *sub;
};
struct sub_table {
    struct sub_slot *slots;
    size_t room, n;
};
struct nats_subs {
    struct sub_table users, groups;
    natsSubscription *all;
    struct sub_node {
        struct sub_node *next;
        natsSubscription *sub;
        char name[64];
    } * nodes;
};
/* The place of a channel's, empty if it is new; valid until the next call. NULL without memory. */
natsSubscription **nats_subs_place(struct nats_subs *s, const struct channel *c);
/* Take it out. NULL if there is none. */
natsSubscription *nats_subs_take(struct nats_subs *s, const struct channel *c);
/* Take all out, n of them, as an array by malloc() with room for `more`; NULL without memory, they are lost then. */
natsSubscription **nats_subs_take_all(struct nats_subs *s, size_t more, size_t *n);

/* ---- The bus ---- */

struct nats_owners;

/* What waits for the server to have passed a mark: see bus_nats.c. */
struct waiting {
    uint64_t what; /* a cookie, a key */
    int8_t receivers;
    uint8_t kind; /* 0: a message; else enum channel_kind: a subscription */
};

struct bus {
    struct bus_config config;
    const struct bus_events *events;
    void *arg;
    struct nats_link *link;
    char prefix[64], node[72]; /* as they are in subjects */
    char inbox[SUBJECT_MAX];   /* with its '.' */
    struct nats_subs subs;
    natsSubscription *own[2]; /* of the inbox, of the sign of life */
    struct waiting *waiting;  /* a ring of `room`, from number `first` to `next` */
    size_t room;
    uint64_t first, next;
    uint64_t marked;    /* up to here the mark on its way is for; 0: there is none */
    unsigned patience;  /* it is waited for so many times more */
    bool overheard;     /* somebody listens to everything: the last one did not come back */
    struct event *mark; /* at the end of this pass; or it has not come back yet */
    bool wants_room, told_down, told_password;
    struct nats_owners *owners;
    char *scratch;
    size_t scratch_size;
};

/* Send a message that has an answer, told by nats_owners_answer(number): to the subject, if `expected` is not
 * NATS_ANY only if the record's last revision is that one. False: it cannot be sent. */
#define NATS_ANY UINT64_MAX
bool nats_ask(struct bus *b, const char *subject, const void *bytes, size_t len, uint64_t expected,
              uint64_t number);
/* Without an answer. */
void nats_tell(struct bus *b, const char *subject, const void *bytes, size_t len);
void nats_subject(const char *name, char *subject, size_t size); /* '.' to '/' */

/* ---- nats_jobs.c: owners and nodes ---- */

/* NULL without memory. */
struct nats_owners *nats_owners_create(struct bus *b);
/* Open claims are told as failed. */
void nats_owners_destroy(struct nats_owners **o);
void nats_owners_up(struct nats_owners *o);
/* Likewise; is_up() says no already. */
void nats_owners_down(struct nats_owners *o);
/* Whether nothing is open. */
bool nats_owners_idle(const struct nats_owners *o);
void nats_owners_answer(struct nats_owners *o, uint64_t number, natsMsg *m);
/* Somebody asks whether this node lives. */
void nats_owners_alive(struct nats_owners *o, natsMsg *m);
void nats_owners_claim(struct nats_owners *o, uint64_t uid, const struct owner *me, int how, uint32_t most,
                       bool again, const void *head, size_t hlen, uint64_t cookie);
void nats_owners_release(struct nats_owners *o, uint64_t uid, const struct owner *me);
void nats_owners_renew(struct nats_owners *o);
void nats_owners_retire(struct nats_owners *o);

#endif

#endif
