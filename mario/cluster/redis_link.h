/*
 * redis_link.h: one connection to Redis: what is to be sent waits in `out`, what comes is taken apart by hiredis's
 * reader, which builds no objects here: each element of a reply is told as soon as it is there. The cluster's thread.
 */
#ifndef MARIO_CLUSTER_REDIS_LINK_H
#define MARIO_CLUSTER_REDIS_LINK_H

#include <event2/event.h>
#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>
#include <sys/socket.h>

#include "mario/cluster/redis_out.h"

enum redis_type { REDIS_STRING, REDIS_NUMBER, REDIS_NIL, REDIS_STATUS, REDIS_ERROR, REDIS_ARRAY };

struct redis_item {
    enum redis_type type;
    int index;         /* in its array; -1: it is a reply by itself */
    const char *bytes; /* of STRING, STATUS, ERROR; of this call only */
    size_t len;
    int64_t number; /* of NUMBER; elements of ARRAY */
};

/* All from the loop, never inside a call of redis_link_*(). */
struct redis_link_events {
    void (*connected)(void *arg);
    /* Arrays in arrays are not told of. To end the connection because of it: redis_link_spoil(). */
    void (*item)(void *arg, const struct redis_item *i);
    void (*end)(void *arg);                     /* the array that was told of is whole */
    void (*read)(void *arg);                    /* that was all for now */
    void (*broken)(void *arg, const char *why); /* it may be closed in there */
};

struct redisReader;
struct redis_link {
    int fd; /* -1: none */
    bool connecting;
    bool lazy; /* what comes is looked for by `look` */
    struct event *readable, *writable, *look;
    struct redisReader *reader;
    struct redis_out out;
    uint64_t heard_ms; /* when something came last; before: when it began */
    const struct redis_link_events *events;
    void *arg;
    char why[256]; /* not "": it is spoilt */
};

/* Begin to connect; false with errno. l is all 0 but events and arg, or was closed. */
bool redis_link_open(struct redis_link *l, struct event_base *base, const struct sockaddr *to, socklen_t len);
/* Whether what comes may wait for a millisecond or two, so that many answers cost one look; it may not at first. */
void redis_link_be_lazy(struct redis_link *l, bool lazy);
/* Send what waits, as far as the kernel takes it. False if it broke: l->why. */
bool redis_link_send(struct redis_link *l);
/* Nothing more of it is told but that it broke. */
void redis_link_spoil(struct redis_link *l, const char *format, ...) __attribute__((format(printf, 2, 3)));
/* Nothing if it is closed. */
void redis_link_close(struct redis_link *l);

#endif
