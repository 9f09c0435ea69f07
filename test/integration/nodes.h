/*
 * nodes.h: several testapps as one, over an engine of the test's own, each with ears that listen. Main thread of a
 * test.
 */
#ifndef ITEST_NODES_H
#define ITEST_NODES_H

#include "ears.h"
#include "test/engine/engine.h"

enum { NODES_MAX = 3 };

struct node {
    struct server s; /* pid 0: it does not run */
    struct ears e;
    char name[16]; /* n0, n1, n2 */
};

struct nodes {
    struct engine engine;
    unsigned count;
    struct node each[NODES_MAX];
};

/* Leave zero what is not needed. */
struct nodes_options {
    struct engine_options engine;
    bool engine_later;       /* there is none yet: engine_restart() */
    unsigned heartbeat, ttl; /* seconds; 2 and 10 */
    unsigned linger;         /* 1 */
    const char *args[8];     /* more of each node's command line; ends with NULL */
};

/* Start the engine and `count` nodes with so many ears each; o may be NULL. */
void nodes_start(struct nodes *n, enum engine_kind kind, unsigned count, uint32_t ears,
                 const struct nodes_options *o);
/* One of them (again), which must not run; with so many ears. */
void nodes_start_one(struct nodes *n, unsigned at, uint32_t ears, const struct nodes_options *o);
/* What it is started with; the texts live until the next call. */
void nodes_launch(const struct nodes *n, unsigned at, const struct nodes_options *o, struct launch *l);
/* Close the ears, stop all that run, with the accounts of server_stop(); end the engine. */
void nodes_stop(struct nodes *n);
void nodes_stop_one(struct nodes *n, unsigned at);
/* SIGKILL. Its ears notice. */
void nodes_kill_one(struct nodes *n, unsigned at);

/* Receive what is there for all, waiting at most a moment. */
void nodes_turn(struct nodes *n);
/* Until that holds; fails after EAR_MS. */
void nodes_wait(struct nodes *n, bool (*holds)(const struct nodes *n, uint64_t arg), uint64_t arg,
                const char *what);
/* Until ear i of this node has heard exactly so much of a sender; more of it is a failure. */
void nodes_expect(struct nodes *n, unsigned at, uint32_t i, unsigned sender, uint64_t count);
/* Until a counter of this node is at least so much. */
void nodes_wait_counter(struct nodes *n, unsigned at, const char *name, uint64_t least);
/* Messages of sender 0 from a node to a user, a group or all, until ear i of another node has heard one more: from now
 * on it hears all. */
void nodes_reach(struct nodes *n, unsigned from, enum test_order_kind kind, uint64_t key, unsigned at,
                 uint32_t i);
/* Have ear i of a node bind, and wait until it is told, or closed. True if it is bound. */
bool nodes_bind(struct nodes *n, unsigned at, uint32_t i, uint64_t uid, int how, uint32_t devices);
/* Have ear i of a node join a group; until it has. */
void nodes_join(struct nodes *n, unsigned at, uint32_t i, uint64_t group);
/* Send so many messages of this sender from a node, numbered from `first` on; inline by its ear 0. */
void nodes_send(struct nodes *n, unsigned from, enum test_order_kind kind, uint64_t key, unsigned sender,
                uint32_t first, uint32_t count);

/* The last events that a node has told, the oldest first; room for 64. How many. */
unsigned nodes_events(struct nodes *n, unsigned at, struct test_event *events);
/* How many nodes are subscribed to a channel, as Redis says; until so many are. */
int64_t nodes_subscribed(struct nodes *n, const char *channel);
void nodes_await_subscribed(struct nodes *n, const char *channel, int64_t count);

/* ---- For bad days: on each node ear 1 is in NODES_GROUP, and ear 2 is NODES_UID ---- */

#define NODES_UID   UINT64_C(0xabcdef0123)
#define NODES_GROUP UINT64_C(0x77000001)

void nodes_settle(struct nodes *n);
void nodes_settle_one(struct nodes *n, unsigned at);
/* Until all reach all, by the user, the group and all. */
void nodes_all_is_well(struct nodes *n);
/* What node 0 sends now reaches everybody, each once. A sender that has not spoken yet. */
void nodes_nothing_is_missing(struct nodes *n, unsigned sender);
/* Those on node 0 hear one another, whatever becomes of the rest. Likewise. */
void nodes_go_on_here(struct nodes *n, unsigned sender);
/* Until a counter of each node is at least so much. */
void nodes_all_count(struct nodes *n, const char *name, uint64_t least);

/* A thread of node 0 speaks to the group so often, for some seconds, as sender 1; returns when all have heard some of
 * it. Whether it is over, for nodes_wait(). */
enum { NODES_STORM = ITEST_SLOW > 1 ? 4000 : 16000 };
void nodes_begin_storm(struct nodes *n);
bool nodes_storm_is_over(const struct nodes *n, uint64_t arg);

/* Skip this test where the engine is missing. */
#define NODES_NEED(kind)                           \
    do {                                           \
        if (engine_missing(kind) != NULL)          \
            TEST_SKIP("%s", engine_missing(kind)); \
    } while (0)

#endif
