/*
 * bus.h: what the cluster needs of an engine. Two drivers: bus_redis.c, bus_nats.c. All calls and all events happen on
 * the cluster's thread (before start_server(): on the main thread), in its event_base; nobody blocks.
 *
 * A bus consists of 1 .. BUS_PARTS_MAX parts (servers of Redis), each with a state of its own; a channel belongs to
 * one of them, by bus_part(). A driver reconnects by itself, with a backoff with jitter, 50 ms .. 2 s. What was said
 * to a part while it is down is lost, and its subscriptions are: the core repeats those it wants after `up`, unless
 * the driver keeps them (keeps_subscriptions).
 */
#ifndef MARIO_CLUSTER_BUS_H
#define MARIO_CLUSTER_BUS_H

#include <event2/event.h>
#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

#define BUS_PARTS_MAX 16u

/* PREFIX:u:UID, PREFIX:g:GROUP, PREFIX:all, PREFIX:n:NODE. */
enum channel_kind { CHANNEL_USER = 1, CHANNEL_GROUP, CHANNEL_ALL, CHANNEL_NODE };
struct channel {
    enum channel_kind kind;
    uint64_t key;     /* of the first two */
    const char *node; /* of the last one */
};
#define CHANNEL_NAME_MAX 128u /* with its NUL */
/* As text. Its length. channel.c */
size_t channel_name(const char *prefix, const struct channel *c, char name[CHANNEL_NAME_MAX]);
/* The other way round, of len bytes; node, if it is one, is put into node[64]. False if it is none of ours. */
bool channel_parse(const char *prefix, const char *name, size_t len, struct channel *c, char node[64]);
/* Which part of n it belongs to, constant for ever: users, groups by key, ALL part 0, nodes: by name. */
uint32_t channel_part(const struct channel *c, uint32_t parts);

/* Why a part is down when the engine refuses the password: the line begins so, and is told again when it was another
 * reason before. */
#define BUS_PASSWORD "password refused"

struct bus_config {
    const char *servers; /* host:port list */
    const char *prefix, *node;
    const char *user, *password; /* NULL: none */
    uint64_t epoch;              /* of this node, random, not 0 */
    uint32_t ttl_ms;             /* of this node's record */
    struct event_base *base;
};

/* Whose a user's connection is. */
struct owner {
    char node[64];
    uint64_t epoch, id;
};

enum bus_claim { CLAIM_OK, CLAIM_REFUSED, CLAIM_FAILED /* the bus could not say; decide without it */ };
enum bus_renewed {
    RENEWED,      /* the node's record is there and this epoch's */
    RENEWED_ANEW, /* it was not there (expired, or the engine is a new one), and was made: claims are void */
    RENEWED_TAKEN /* a node of this name with another epoch lives: nothing was done */
};

/* What a driver tells. cookie: what the call had. Every call with a cookie gets its one answer, also when the part goes
 * down (then: failed), before `down` is told. */
struct bus_events {
    void (*up)(void *arg, uint32_t part); /* connected, both ways: subscribe now */
    void (*down)(void *arg, uint32_t part,
                 const char *why); /* was up; or (the first time) could not be reached. One line */
    void (*subscribed)(void *arg, uint32_t part, const struct channel *c); /* confirmed by the engine */
    void (*message)(void *arg, uint32_t part, const struct channel *c, const void *bytes, size_t len);
    /* The same for what append() published: it got this number in the history of this epoch. */
    void (*sequenced)(void *arg, uint32_t part, uint64_t group, uint64_t epoch, uint64_t seq,
                      const void *bytes, size_t len);
    void (*garbage)(void *arg);             /* something came that is on none of our channels */
    void (*room)(void *arg, uint32_t part); /* publish() may go on */
    /* How many nodes are subscribed (counts_self: this one may be among them; else 1 means: some); -1: it is not known
     * that it arrived. For publish() with a cookie, not 0. */
    void (*published)(void *arg, uint64_t cookie, int64_t receivers);
    void (*claimed)(void *arg, uint64_t cookie, enum bus_claim c);
    void (*renewed)(void *arg, uint32_t part, enum bus_renewed r);
    void (*appended)(void *arg, uint64_t cookie, bool done);
    /* seq 0: the end; epoch then is the history's (0: failed), last its last number, base the last one that was given
     * before the epoch began (0 for a new history): what is above it is of this epoch */
    void (*history)(void *arg, uint64_t cookie, uint64_t epoch, uint64_t seq, const void *bytes, size_t len,
                    uint64_t last, uint64_t base);
    /* The engine refuses what it is asked (its memory is full, a right is missing): one line, at most one a second and
     * part. NULL: nobody wants to know. */
    void (*refused)(void *arg, uint32_t part, const char *line);
};

struct bus;
struct bus_ops {
    const char *name; /* "redis" */
    bool
        keeps_subscriptions; /* restores them itself, `subscribed` need not be told again; `up` comes when all are */
    bool counts_self;        /* see published(); and whether own messages come back: with counts_self yes */
    bool has_history;
    /* Begins to connect. NULL with a line in why. Texts of the config live as long as the bus. */
    struct bus *(*create)(const struct bus_config *c, const struct bus_events *e, void *arg, char *why,
                          size_t size);
    void (*destroy)(
        struct bus **b); /* open answers are told as failed; what was written may be lost: see flush */
    bool (*flush)(struct bus *b); /* true when all that was said has been written to the engine */
    uint32_t (*parts)(const struct bus *b);
    bool (*is_up)(const struct bus *b, uint32_t part);
    void (*subscribe)(struct bus *b, const struct channel *c); /* many in a row are sent together */
    void (*unsubscribe)(struct bus *b, const struct channel *c);
    /* head and body are copied, and one message. False if the part is down or has no room: `room` is told. */
    bool (*publish)(struct bus *b, const struct channel *c, const void *head, size_t hlen, const void *body,
                    size_t blen, uint64_t cookie);
    /* Make `me` the owner of uid, or one of `most`, in one step on the engine. how: enum mario_bind; owners whose
     * node's record has another epoch by now, or is not there, are none. If `most` are there: MANY and REFUSE_NEW
     * refuse, with KICK_OLD the oldest go, and the node of each gets on its channel: head, then "EPOCH ID" of that
     * owner in decimal. again: it was ours before and the record got lost; if others are there by now they are newer,
     * and it is refused. */
    void (*claim)(struct bus *b, uint64_t uid, const struct owner *me, int how, uint32_t most, bool again,
                  const void *head, size_t hlen, uint64_t cookie);
    void (*release)(struct bus *b, uint64_t uid, const struct owner *me);
    void (*renew)(struct bus *b);  /* on all parts that are up: this node's record */
    void (*retire)(struct bus *b); /* the node goes: its record is removed */
    /* The histories: append head+body to the group's, at most n are kept, and publish it on the group's channel with
     * the number, in one step. An engine that was started again goes on behind the numbers it knows, in a new epoch:
     * it may have lost some. fetch: those behind `after`, at most `most`; 0: only the end. One that does not exist is
     * made. */
    void (*append)(struct bus *b, uint64_t group, uint32_t n, const void *head, size_t hlen, const void *body,
                   size_t blen, uint64_t cookie);
    void (*fetch)(struct bus *b, uint64_t group, uint64_t after, uint32_t most, uint64_t cookie);
};

extern const struct bus_ops bus_redis, bus_nats; /* where they are built: MARIO_WITH_REDIS, MARIO_WITH_NATS */

#endif
