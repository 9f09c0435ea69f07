/*
 * nats_inlet.h: where libnats's threads put what they have for a link, and the link's thread, which does what takes its
 * time: connecting, and ending 200,000 subscriptions.
 *
 * What libnats calls knows the inlet by the number of its connection, so a call that comes late finds nobody. Lock
 * order: libnats's, then the gate; nothing of libnats that locks is called with the gate shut.
 */
#ifndef MARIO_CLUSTER_NATS_INLET_H
#define MARIO_CLUSTER_NATS_INLET_H

#include <pthread.h>
#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

#include "mario/cluster/bus.h"
#include "mario/cluster/nats_lib.h"

#ifdef MARIO_WITH_NATS

enum { NATS_WHY_SIZE = 200 };

struct nats_messages {
    natsMsg **at;
    size_t n, room;
};

/* A connection that has ended, to be freed. */
struct nats_corpse {
    struct nats_corpse *next;
    natsConnection *nc;
    natsSubscription **subs;
    size_t n;
};

/* All under the gate but the first three, which are constant. */
struct nats_inlet {
    const struct bus_config *config;
    int bell; /* an eventfd, readable when something was put in */
    pthread_t thread;
    struct nats_inlet *next;
    uint64_t number; /* of the connection that is up or coming, of no other one in this process */
    struct nats_messages in;
    size_t held, held_bytes; /* taken but not told yet, too */
    int fd;                  /* a descriptor of our own for its socket, or -1 */
    bool write;              /* libnats has something to write */
    bool closed, overrun;
    char why[NATS_WHY_SIZE];
    bool tried; /* an attempt is through: nc, or NULL and why */
    natsConnection *nc;
    bool password;
    bool attempt, quit; /* to the link's thread */
    struct nats_corpse *corpses;
    pthread_cond_t order;
};

/* Shut and open for all inlets. */
extern pthread_mutex_t nats_gate;

/* Begin, with the thread. False without memory or descriptors: nothing is left then. */
bool nats_inlet_begin(struct nats_inlet *i, const struct bus_config *c);
/* From here on nothing comes in any more. */
void nats_inlet_leave(struct nats_inlet *i);
/* After that: end the thread, when the corpses are buried. */
void nats_inlet_end(struct nats_inlet *i);

/* Have the thread connect, as a new number: `tried` is set and the bell rung when it is through. */
void nats_inlet_attempt(struct nats_inlet *i);

/* Have what comes for the subject put into the inlet with this number. NULL if it cannot be. */
natsSubscription *nats_inlet_subscribe(natsConnection *nc, const char *subject, uint64_t number);

#endif

#endif
