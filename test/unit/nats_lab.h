/*
 * nats_lab.h: NATS drivers of a test in one loop, each a node, and what they tell; the test's thread. Failing tests
 * end in here with a message.
 */
#ifndef TEST_NATS_LAB_H
#define TEST_NATS_LAB_H

#include <event2/event.h>
#include <stdbool.h>
#include <stdint.h>

#include "mario/cluster/bus.h"
#include "test/engine/engine.h"
#include "unit.h"

enum { NLAB_MS = 10000 * UNIT_SLOW, NLAB_COOKIES = 4096 };

struct nlab_node {
    struct bus_config config; /* prefix, ttl_ms, user, password: set before, or they are made */
    struct bus *bus;
    char why[256]; /* the last `down`, or `refused` */
    unsigned ups, downs, subscribed, messages, out_of_order, rooms, refused, published_n, claimed_n;
    char last[256]; /* message: "KIND KEY NODE BYTES" */
    size_t last_len;
    uint64_t sum; /* of the keys subscribed */
    int64_t published[NLAB_COOKIES];
    int claimed[NLAB_COOKIES], renewed; /* NLAB_NOTHING: not yet */
};
enum { NLAB_NOTHING = -9 };

extern struct event_base *nlab_base;
extern struct engine nlab_engine;

/* A base and a server. */
void nlab_begin(const struct engine_options *o);
/* Without: it is to be started by engine_restart(). */
void nlab_place(const struct engine_options *o);
/* End two nodes, b may be NULL, and all. */
void nlab_end(struct nlab_node *a, struct nlab_node *b);

/* Begin to connect; the same and wait until it is up. */
void nlab_node_begin(struct nlab_node *n, const char *name, uint64_t epoch);
void nlab_node_up(struct nlab_node *n, const char *name, uint64_t epoch);

/* Turn the loop until a counter is at least `least`. */
#define NLAB_UNTIL(what, least) nlab_until(__FILE__, __LINE__, &(what), (least))
void nlab_until(const char *file, int line, const unsigned *what, unsigned least);
/* For so long. */
void nlab_turn(unsigned ms);

struct channel nlab_user(uint64_t key);
/* And wait until it is confirmed. */
void nlab_subscribe(struct nlab_node *n, struct channel c);
/* "head " and text, which must be accepted. */
void nlab_say(struct nlab_node *n, struct channel c, const char *text, uint64_t cookie);
/* What was answered. head: "gone ". */
int nlab_claim(struct nlab_node *n, uint64_t uid, uint64_t id, int how, uint32_t most, bool again);
void nlab_release(struct nlab_node *n, uint64_t uid, uint64_t id);
int nlab_renew(struct nlab_node *n);
void nlab_flush(struct nlab_node *n);

/* First thing in a test. */
#define NLAB_NEEDS_ENGINE                                 \
    do {                                                  \
        if (engine_missing(ENGINE_NATS) != NULL)          \
            TEST_SKIP("%s", engine_missing(ENGINE_NATS)); \
    } while (0)

/* A client of another kind that says these lines, and has had the answer to a PING. */
int nlab_client(const char *lines);

#endif
