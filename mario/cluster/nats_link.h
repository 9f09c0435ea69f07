/*
 * nats_link.h: one connection with NATS, made anew whenever it is lost, and what libnats's threads say brought to one
 * thread. libnats's own way to connect again is not used: it holds the connection's lock while it waits for a server
 * that does not answer, and with it whoever calls.
 */
#ifndef MARIO_CLUSTER_NATS_LINK_H
#define MARIO_CLUSTER_NATS_LINK_H

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

#include "mario/cluster/bus.h"
#include "mario/cluster/nats_lib.h"

#ifdef MARIO_WITH_NATS

/* All on the thread of the event_base. */
struct nats_link_events {
    void (*up)(void *arg);
    /* The connection is lost, or an attempt failed: nats_link_connection() is NULL already. What was subscribed there
     * is given to nats_link_bury() now. */
    void (*down)(void *arg, const char *why, bool password);
    void (*message)(void *arg, natsMsg *m); /* m stays the link's */
    void (*written)(void *arg);             /* the kernel has taken something */
};

struct nats_link;

/* Begin to connect. The texts of c live as long as the link. NULL with a line in why. */
struct nats_link *nats_link_create(const struct bus_config *c, const struct nats_link_events *e, void *arg,
                                   char *why, size_t size);
/* Waits for an attempt to connect that is on its way: NATS_TIMEOUT_MS a server at most. */
void nats_link_destroy(struct nats_link **l);
#define NATS_TIMEOUT_MS 2000

/* NULL while there is none. Only calls that neither wait nor read from it. */
natsConnection *nats_link_connection(const struct nats_link *l);
/* Bytes that the kernel has not taken yet. */
size_t nats_link_waiting(const struct nats_link *l);

/* What comes for the subject is told by `message`. NULL if it cannot be. */
natsSubscription *nats_link_subscribe(struct nats_link *l, const char *subject);
/* In `down`, and before nats_link_destroy(): n subscriptions, and the array by malloc() they are in, to be freed
 * aside. */
void nats_link_bury(struct nats_link *l, natsSubscription **subs, size_t n);

#endif

#endif
