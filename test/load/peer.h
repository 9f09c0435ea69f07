/*
 * peer.h: one connection of mode push, a subscriber or a publisher: it connects, logs in, joins its groups; then a
 * subscriber judges what it hears, and a publisher speaks.
 *
 * Each belongs to one pusher and only its thread touches it.
 */
#ifndef LOAD_PEER_H
#define LOAD_PEER_H

#include <stdbool.h>
#include <stdint.h>

#include "push_book.h"
#include "test/lib/fault.h"
#include "test/lib/net.h"

struct pusher;

enum peer_state {
    PEER_NONE, /* no socket yet */
    PEER_CONNECTING,
    PEER_GREETING, /* a lot of requests is out: the login, or some joins */
    PEER_RESTING,  /* some of the lot were refused because the server was busy: it is asked again soon */
    PEER_READY,    /* logged in, in all its groups */
    PEER_LEAVING,  /* a publisher: has said all, and asked for a sign that the server has read it */
    PEER_QUIET,    /* a publisher: has got it */
    PEER_AWAY,     /* its connection ended, and will be made again elsewhere */
    PEER_GONE      /* after a fault, for good */
};

struct peer {
    int fd;          /* -1 = none */
    uint32_t number; /* subscribers from 0 on, then publishers from o->connections on */
    uint8_t state;
    bool stamped;  /* the kernel notes when its messages arrive */
    bool refused;  /* one of this lot was */
    bool joined;   /* it has been ready */
    bool broken;   /* its connection ended then, at least once */
    uint8_t node;  /* the server it goes to */
    uint32_t lot;  /* of the greeting, the login is number 0 */
    uint32_t open; /* requests of it without an answer */
    uint32_t kept; /* bytes of an unfinished packet in keep */
    unsigned char *keep;
    struct net_watch watch;
    uint64_t since;                /* when what is awaited was asked */
    uint64_t away_since, next_try; /* 0 = it is not away; when to try another server */

    /* subscribers */
    struct push_heard *heard; /* for each joined group, for each publisher */
    uint64_t got;             /* different messages */
    uint64_t expected;        /* of them, once that is known */

    /* publishers */
    uint64_t said; /* messages made */
    unsigned char *out;
    uint32_t out_len, out_sent; /* bytes in it, and of them those that the kernel has */
};

/* Begin to connect. 0, also when it failed and the fault is counted; -1: there is no room in a unix socket's
 * backlog. */
int peer_start(struct pusher *w, struct peer *c, uint64_t now);

/* What epoll reported for c. */
void peer_event(struct pusher *w, struct peer *c, uint32_t events);

/* To be called now and then: ask again what was refused, or go to another server. */
void peer_go_on(struct pusher *w, struct peer *c, uint64_t now);

/* A publisher: make what is due before `until`, as far as there is room, and send. */
void peer_speak(struct pusher *w, struct peer *c, uint64_t until);

/* A publisher that has made all: have the server answer once it has read it. */
void peer_ask_sign(struct pusher *w, struct peer *c, uint64_t now);

/* Read what is there, whatever epoll has reported: before it is found to have waited too long. */
void peer_look(struct pusher *w, struct peer *c);

/* The one way out after a fault: for good, or, with --reconnect, to another server. */
void peer_fault(struct pusher *w, struct peer *c, enum fault fault);

/* Close without a fault. */
void peer_end(struct peer *c);

static inline bool peer_is_greeting(const struct peer *c)
{
    return c->state == PEER_CONNECTING || c->state == PEER_GREETING || c->state == PEER_RESTING;
}

/* The server that connection `number` begins with: members of each group are on all of them. */
static inline uint32_t peer_home(const struct load_options *o, uint32_t number)
{
    uint32_t turn = o->targets.nodes ? number / o->groups + number % o->groups : number;
    return turn % o->targets.count;
}

/* The k-th group that a subscriber is in, 0 .. groups-1; groups are joined in a row. */
static inline uint32_t peer_group(const struct load_options *o, const struct peer *c, uint32_t k)
{
    return (uint32_t) (((uint64_t) c->number + k) % o->groups);
}

#endif
