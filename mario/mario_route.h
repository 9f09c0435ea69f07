/*
 * mario_route.h: the seam for servers that span machines. A route is told what is sent to users, groups and all, who
 * binds, and who is here; it delivers to this process what it hears from elsewhere. libmario-cluster is one
 * (mario_cluster.h); a program that has a bus of its own may be another. One route at most.
 *
 * With a route mario_send_user(), mario_send_group(), mario_send_all() and mario_kick_user() do what they do, and then
 * give the route an order; binds that look at other connections of the user are for the route to decide. Orders lie in
 * rings as those to workers do (a ring from each thread, push.ring orders long): those of one thread come in its order,
 * and nobody waits for the route. If such a ring is full the send is accepted, but the route does not hear of it
 * (counted: cluster_dropped). What the library itself tells the route (BIND, UNBIND, USER, GROUP) is never lost.
 */
#ifndef MARIO_ROUTE_H
#define MARIO_ROUTE_H

#include "mario_push.h"
#include "mario_types.h"

#ifdef __cplusplus
extern "C" {
#endif

enum mario_route_kind {
    /* what somebody sends; m is a reference that the route gives up by mario_msg_free() */
    MARIO_ROUTE_SEND_USER = 1, /* key: uid; m */
    MARIO_ROUTE_SEND_GROUP, /* key: group; m; id: who is left out (0: nobody). how: 1 if the group was sequenced
                                * (mario_route_sequence()) when it was sent: then nobody here has it yet */
    MARIO_ROUTE_SEND_ALL,   /* m; id as above */
    MARIO_ROUTE_KICK_USER, /* key: uid; m: the last thing, or NULL; reason_id */
    /* binds */
    MARIO_ROUTE_BIND, /* key: uid; id: the connection; how, devices: mario_bind()'s, never (MANY, 0). The route
                         * answers by mario_local_bind() or mario_local_refuse(); it is told of the connection's
                         * next bind when that is done */
    MARIO_ROUTE_UNBIND, /* key: uid; id: this connection is not bound to it any more, or it did not come to that: it had
                         * ended, or was refused here, after mario_local_bind() */
    /* who is here: look again, with mario_user_count() or mario_group_count() */
    MARIO_ROUTE_USER,  /* key: uid: its first connection has come, or its last one gone */
    MARIO_ROUTE_GROUP, /* key: the group: likewise its members on one of the workers */
    /* requests of the route's own interface, as it gave them to mario_route_post() */
    MARIO_ROUTE_OWN = 64
};

struct mario_route_order {
    uint32 kind; /* enum mario_route_kind, or MARIO_ROUTE_OWN and above */
    uint16 reason_id;
    ubyte how; /* enum mario_bind, or as said above */
    uint32 devices;
    uint64 key;
    uint64 id;
    struct mario_msg *m;
};

struct mario_route {
    /* The server starts: orders may come from here on. On the thread that runs the server; 0, or not to start. */
    sint32 (*start)(void *arg);
    /* It has stopped: no worker runs any more, what they ordered can still be taken. On the same thread; afterwards
     * nobody may use this interface for this server any more. */
    void (*stop)(void *arg);
    void *arg;
};

/* Make r the route (copied); NULL removes it. Before start_server(); 0, or -1 once the server runs, or if there is
 * one already. */
sint32 regist_route(const struct mario_route *r);

/* ---- The route's thread: one at a time, between start and the end of stop ---- */

/* A descriptor that becomes readable when there are orders again, to be watched edge-triggered and never read. */
int mario_route_fd(void);
/* Take up to n orders. How many; 0: none, and the descriptor will say when there are. */
uint32 mario_route_take(struct mario_route_order *o, uint32 n);
/* From now on messages to this group are not delivered here by mario_send_group(), but given to the route alone, which
 * delivers them when they have got their place (on = 0: no longer). -1 with ENOMEM. */
sint32 mario_route_sequence(uint64 group, int on);

/* ---- Any thread ---- */

/* Give the route an order of its own kind (MARIO_ROUTE_OWN and above; only kind, key, id, m, devices, reason_id and
 * how are carried; m with a reference of its own). 0, or -1 with errno as in mario_push.h; ENOTCONN: there is no
 * route. */
sint32 mario_route_post(const struct mario_route_order *o);

/* As their namesakes of mario_push.h, on this server only; the route hears nothing of it. */
sint32 mario_local_send_user(uint64 uid, struct mario_msg *m);
sint32 mario_local_send_group(uint64 group, struct mario_msg *m, uint64 except_id);
sint32 mario_local_send_all(struct mario_msg *m, uint64 except_id);
sint32 mario_local_kick_user(uint64 uid, uint16 reason_id, struct mario_msg *last);
/* Answers to MARIO_ROUTE_BIND: bind as mario_bind() would without a route; or the function of regist_bound_func() is
 * told that it was refused. Errors as mario_send()'s. */
sint32 mario_local_bind(uint64 id, uint64 uid, enum mario_bind how, uint32 devices);
sint32 mario_local_refuse(uint64 id, uint64 uid);
/* A newer connection of its user is elsewhere: it closes (replaced), and is bound to nobody at once. */
sint32 mario_local_replace(uint64 id);
/* The same for those of uid that the route was not asked about, but not for this one (0: for all of them). */
sint32 mario_local_replace_beside(uint64 uid, uint64 id);

/* For a route that gives c something before it makes it a member. First: c is going to be one, by mario_local_join()
 * with this number (not 0); until then its mario_leave() is remembered. Behind what c's function has ordered so far;
 * in c's own functions and hooks, offloaded ones too. Errors as mario_join()'s. */
sint32 mario_join_later(CONN *c, uint64 group, uint32 number);
/* Whether it has left meanwhile. In c's own functions on its worker; elsewhere 0. */
int mario_join_is_off(const CONN *c, uint64 group, uint32 number);
/* Last: as mario_join_id(), on this server only, but nothing if it has left meanwhile. */
sint32 mario_local_join(uint64 id, uint64 group, uint32 number);

/* ---- What a message is: any thread that has a reference ---- */

struct mario_msg_info {
    const void *bytes; /* valid as long as the message */
    uint32 len;
    uint64 key; /* mario_msg_key() */
    int keep;   /* mario_msg_keep() */
    int receipt;
    uint64 tag;   /* mario_msg_receipt() */
    uint32 stamp; /* mario_msg_stamp(): 1 + offset; 0: none */
    int packets;  /* it is made of whole packets: mario_msg_packet(), mario_msg_packets() */
};
void mario_msg_info(const struct mario_msg *m, struct mario_msg_info *info);
/* One reference more, to be given up by mario_msg_free(). */
struct mario_msg *mario_msg_ref(struct mario_msg *m);
/* Between making and the first send: where a group has a history (mario_history()), the 8 bytes at this offset of the
 * message become its sequence number there, in the byte order of the HEAD (little-endian), before it is delivered.
 * offset + 8 beyond the message is ignored. */
void mario_msg_stamp(struct mario_msg *m, uint32 offset);

/* Between making and the first send: the bytes are one or several whole packets, each a HEAD and its data, so that who
 * came in by another framing gets them in that. Ignored if they are not. */
void mario_msg_packets(struct mario_msg *m);

/* What waits for c because it has not taken it yet: messages, and bytes with replies. In c's own functions on its
 * worker; elsewhere 0 and 0. */
void mario_conn_waiting(const CONN *c, uint32 *messages, uint32 *bytes);

/* Add n to a counter that mario_stat() shows (n may be negative, as for one that goes down, too); -1 if there is none
 * of this name. */
sint32 mario_stat_add(const char *name, sint64 n);

#ifdef __cplusplus
}
#endif

#endif
