/*
 * history.h: the last messages of a group with their numbers, and members that come back to them. The core (cluster.c)
 * tells what happens; all of it on the cluster's thread, before it runs on the main thread, but for the public calls of
 * mario_cluster.h that end here: mario_history(), mario_resume(), regist_resumed_func().
 *
 * Without an engine numbers are given here, and messages lie here. With one they lie there: appended, they come back on
 * the group's channel with their number, to the node that sent them too, and are delivered in its order. A number that
 * is missing is fetched, and what is behind it waits until then. What members that come back need is fetched too, once
 * for all that need it, and forgotten when they have it.
 */
#ifndef MARIO_CLUSTER_HISTORY_H
#define MARIO_CLUSTER_HISTORY_H

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

#include "mario/mario_push.h"
#include "mario/mario_route.h"

/* Orders of these kinds are history_order()'s. */
enum history_kind {
    HISTORY_KIND_FIRST = MARIO_ROUTE_OWN + 32,
    HISTORY_KIND_KEEP = HISTORY_KIND_FIRST, /* key: group; devices: n */
    HISTORY_KIND_RESUME, /* key: group; id: the connection; devices: its number; m: epoch and number of a message */
    HISTORY_KIND_LOOK, /* something lies there to be taken */
    HISTORY_KIND_LAST = HISTORY_KIND_LOOK
};

/* What is in a message. */
struct history_message {
    const void *bytes; /* NULL: it cannot be read, its number is used up */
    uint32_t len;
    uint32_t stamp; /* 1 + where the number goes; 0: nowhere */
    uint64_t key;   /* mario_msg_key() */
    bool keep;      /* mario_msg_keep() */
    bool packets;   /* mario_msg_packets() */
};

/* What the core does for histories that lie on an engine. Nothing here may call back into history.h at once. */
struct history_engine {
    void *arg;
    bool (*is_up)(void *arg, uint64_t group); /* the part of the group's channel */
    /* As bus_ops->append(), with a frame of m in front of it; answered by history_appended(). m is the caller's. */
    void (*append)(void *arg, uint64_t group, uint32_t n, struct mario_msg *m, uint64_t cookie);
    /* As bus_ops->fetch(); most 0: only the end (epoch and last number) is wanted. */
    void (*fetch)(void *arg, uint64_t group, uint64_t after, uint32_t most, uint64_t cookie);
    /* The group's channel is wanted although nobody may be here (on), as if it had a member; or not any more. */
    void (*hold)(void *arg, uint64_t group, bool on);
    bool (*is_subscribed)(void *arg, uint64_t group); /* confirmed, and the part has not been down since */
};

/* What is done with members: libmario's, or a test's. Errors as there: -1 with errno. */
struct history_house {
    int32_t (*deliver)(uint64_t group, struct mario_msg *m);
    int32_t (*send)(uint64_t id, struct mario_msg *m);
    int32_t (*run)(uint64_t id, int32_t (*f)(CONN *c, void *arg), void *arg);
    int32_t (*join_later)(CONN *c, uint64_t group, uint32_t number);
    int (*join_is_off)(const CONN *c, uint64_t group, uint32_t number);
    int32_t (*join)(uint64_t id, uint64_t group, uint32_t number);
    int32_t (*sequence)(uint64_t group, int on);
    int32_t (*post)(const struct mario_route_order *o);                  /* any thread */
    void (*waiting)(const CONN *c, uint32_t *messages, uint32_t *bytes); /* mario_conn_waiting() */
    uint64_t (*now)(void);                                               /* ns, monotonic */
};

enum history_mode {
    HISTORY_OFF,   /* no cluster: ENOTCONN */
    HISTORY_NONE,  /* this engine has none: ENOTSUP */
    HISTORY_LOCAL, /* in memory */
    HISTORY_ENGINE
};

/* From now on mario_history() works. engine: with HISTORY_ENGINE, copied; queue: bytes of messages that may wait for
 * it; house NULL: libmario. False without memory. */
bool history_setup(enum history_mode mode, const struct history_engine *engine, size_t queue,
                   const struct history_house *house);
/* The server starts: what mario_history() was told before takes effect. The gate of libmario is open. */
void history_begin(void);
/* All is given up; HISTORY_OFF. The cluster's thread does not run any more. */
void history_end(void);

/* ---- What happens ---- */

/* An order of HISTORY_KIND_FIRST .. LAST; its message is ours from now on. */
void history_order(const struct mario_route_order *o);
/* A message is sent to the group (MARIO_ROUTE_SEND_GROUP). True: the group has a history, the reference is ours, and
 * the core does nothing with it; false: it has none. */
bool history_send(uint64_t group, struct mario_msg *m);
/* Whether the group has a history here. */
bool history_has(uint64_t group);

/* bus_events. A part went down: all groups whose is_up() is false now. */
void history_down(void);
/* The engine confirmed the group's channel, first or again. The core has left the channel, or lost interest in it. */
void history_subscribed(uint64_t group);
void history_unsubscribed(uint64_t group);
void history_appended(uint64_t cookie, bool done);
void history_sequenced(uint64_t group, uint64_t epoch, uint64_t seq, const struct history_message *m);
/* As bus_events->history(): seq 0 is the end. */
void history_fetched(uint64_t cookie, uint64_t epoch, uint64_t seq, const struct history_message *m,
                     uint64_t last, uint64_t base);

/* After each round of orders and events, and at the latest at the time it gave last (ns, monotonic; UINT64_MAX: never):
 * does what is due. */
uint64_t history_pass(void);

#endif
