/*
 * order.h: what one thread wants of a worker's connections, as it lies in a ring.
 */
#ifndef MARIO_PUSH_ORDER_H
#define MARIO_PUSH_ORDER_H

#include <stdint.h>

#include "mario/mario_push.h"

enum order_kind {
    /* about the connection `id`, for its worker */
    ORDER_SEND, /* m */
    ORDER_KICK, /* m: the last thing, or NULL; akg, how: enum reason */
    ORDER_RUN,  /* f, arg */
    ORDER_JOIN, /* other: the group, counted in the presence already; number: mario_join_later()'s, or 0 */
    ORDER_JOIN_LATER, /* other: the group; number */
    ORDER_LEAVE,      /* other: the group */
    ORDER_POLICY,     /* how: enum mario_slow; number: messages; other: bytes */
    ORDER_TIMER,      /* number: ms; f, arg */
    ORDER_BIND, /* other: the user; how: enum mario_bind, or with BIND_ROUTED; number: devices; behind: at his home */
    ORDER_DECIDED, /* other: the user; how: enum decided; number: connections; akg: whether the route bound it */
    ORDER_REPLACE, /* other: the user: closes if it was bound to him without the route */
    /* for each worker that may have somebody */
    ORDER_GROUP, /* id: the group; m, other: the connection that is left out */
    ORDER_ALL,   /* likewise, id is 0 */
    ORDER_EACH,  /* each */
    /* for a user's home */
    ORDER_USER,         /* id: the user; m */
    ORDER_USER_KICK,    /* id: the user; m, akg */
    ORDER_USER_BIND,    /* id: the user; other: the connection; how, number, behind */
    ORDER_USER_CLAIM,   /* the same; the route decides */
    ORDER_USER_REPLACE, /* id: the user; other: a connection that stays */
    ORDER_USER_END      /* id: the user; other: the connection */
};

/* In `how`: the route has decided. */
enum { BIND_ROUTED = 0x80 };

enum decided {
    DECIDED_BOUND,
    DECIDED_REFUSED,
    DECIDED_ELSEWHERE /* refused, and the home was not asked */
};

struct each;

typedef int32_t (*order_func)(CONN *c, void *arg);

/* What a thread has ordered of a worker so far: `given` orders through this port. */
struct order_mark {
    uint32_t port;
    uint32_t given;
};

struct order {
    uint8_t kind; /* enum order_kind */
    uint8_t how;
    uint16_t akg; /* what the end hook gets */
    uint32_t number;
    uint64_t id;
    union {
        struct mario_msg *m; /* with a reference */
        order_func f;
        struct each *each;
        struct order_mark behind;
    };
    union {
        void *arg;
        uint64_t other;
    };
};
_Static_assert(sizeof(struct order) == 32, "two in a cache line");

#endif
