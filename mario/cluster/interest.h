/*
 * interest.h: which channels this node is subscribed to: a user's and a group's while somebody is here, and some time
 * after; its own and everybody's always. 16 bytes a channel, in a table that is between 3/8 and 3/4 full while it
 * grows. The cluster's thread.
 *
 * A part that comes back has forgotten all: interest_walk() says it anew, some at a time, and interest_is_ready() tells
 * when the engine has confirmed what was there at that time.
 */
#ifndef MARIO_CLUSTER_INTEREST_H
#define MARIO_CLUSTER_INTEREST_H

#include "mario/cluster/bus.h"
#include "mario/cluster/map.h"

#define INTEREST_FIXED UINT64_C(1) /* the key of CHANNEL_ALL and CHANNEL_NODE (this node's) here */

struct interest {
    uint64_t key;
    uint8_t kind;  /* enum channel_kind */
    uint8_t flags; /* interest.c */
    uint16_t subscription;
    uint32_t leaves_ms; /* if it lingers: when */
};

struct parting {
    uint64_t key;
    uint32_t leaves_ms;
    uint8_t kind;
};

struct interests {
    const struct bus_ops *ops;
    struct bus *bus;
    const char *node;
    uint32_t parts, linger_ms;
    uint64_t (*count)(enum channel_kind kind, uint64_t key); /* who is here, now */
    void (*left)(enum channel_kind kind, uint64_t key);      /* the channel was left */
    struct map map;
    struct parting *lingers; /* [linger_size], a ring, in the order of leaves_ms */
    uint32_t linger_first, linger_count, linger_size;
    uint16_t subscriptions;    /* made; wraps */
    uint32_t users_and_groups; /* that are in the table */
    struct interest_part {
        bool is_up;
        uint32_t unsaid;  /* channels of it that were not said since it is up */
        uint32_t waiting; /* that were said when it came, and are not confirmed */
        uint32_t cursor;
    } part[BUS_PARTS_MAX];
};

/* What stands in *is is: ops, bus, node, parts, linger_ms, count, left. */
void interests_init(struct interests *is, uint64_t seed);
void interests_fini(struct interests *is);

/* Somebody came or went: look how many are here. False without memory: the channel is not subscribed. */
bool interest_look(struct interests *is, enum channel_kind kind, uint64_t key, uint64_t now_ms);
/* It is wanted (on) whoever is here, or not any more. False as above. */
bool interest_hold(struct interests *is, enum channel_kind kind, uint64_t key, bool on, uint64_t now_ms);

/* NULL: not subscribed, neither is it to be. Valid until the next change. */
const struct interest *interest_find(const struct interests *is, enum channel_kind kind, uint64_t key);
/* It has confirmed it, and the part is up. */
bool interest_is_confirmed(const struct interests *is, const struct interest *i);

void interest_up(struct interests *is, uint32_t part);
void interest_down(struct interests *is, uint32_t part);
void interest_confirmed(struct interests *is, const struct channel *c);
/* Say up to n channels of a part that came back. True if that were not all yet. */
bool interest_walk(struct interests *is, uint32_t part, uint32_t n);
bool interest_is_ready(const struct interests *is, uint32_t part);
/* Leave those whose time has come. When the next one is, UINT64_MAX: none. */
uint64_t interest_expire(struct interests *is, uint64_t now_ms);

#endif
