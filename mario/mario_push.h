/*
 * mario_push.h: sending to any connection, user, group or all, from any thread.
 *
 * A message is made once and shared by all who receive it. Whoever sends puts an order into a ring of his own to the
 * worker concerned and wakes it; the worker puts the message into the queue of each receiver and sends. Nobody waits:
 * 0 says that an order was accepted, -1 that it was not and nothing of it is done, with errno:
 *
 *   EINVAL      an argument that means nothing: an id, uid, group or message of 0, an id of no worker
 *   EAGAIN      a ring is full (push.ring orders wait already): try again later, or drop it
 *   ENOMEM      no memory for this thread's rings
 *   ESHUTDOWN   no server runs: before start_server(), or after it has stopped
 *
 * Orders of one thread to one receiver are carried out in the order they were given: sends to an id, a group and all,
 * joining, leaving, binding, kicks, mario_run(). (A call for a connection whose offloaded function runs waits for
 * that: mario_run(), mario_each_conn(), timers, the word of a bind; what is ordered behind it does not.) Those by uid
 * go by way of the user's home worker: they are in order among themselves, and what was ordered of a uid before
 * binding to it reaches only those who were bound before. A push stands behind what the function that sends it writes;
 * but what an offloaded one sends goes at once, before what it writes, which is sent when it has returned. All members
 * of a group that are on one worker get the messages of that group in the same order; "all" is a group in this sense.
 *
 * Exactly one thing becomes of each message for each receiver, and is counted (mario_stat()); once quiet
 *     push_targets = push_sent + push_dropped_oldest + push_dropped_newest + push_coalesced + push_dropped_closed
 *                    + push_unframed + push_pending
 * push_sent: the kernel took all of it. What the peer had not acknowledged when its connection ended is in `unacked`.
 * push_unframed: the framing of the receiver's listener cannot carry it, or an application's had no answer.
 */
#ifndef MARIO_PUSH_H
#define MARIO_PUSH_H

#include "mario_akg.h"
#include "mario_conn.h"
#include "mario_server.h"
#include "mario_types.h"

#ifdef __cplusplus
extern "C" {
#endif

/* The longest message: bytes on the wire, HEAD included. */
#define MARIO_MSG_MAX 65535u

struct mario_msg;

/* The name of c's connection: worker << 56 | slot << 32 | generation, never 0, and of no other connection before or
 * after it in this process. In c's own functions and hooks, offloaded ones too, with the CONN they were given; 0
 * elsewhere. */
uint64 mario_conn_id(const CONN *c);

/* ---- Messages ---- */

/* Make a message of len bytes (1 .. MARIO_MSG_MAX), copied, that goes out as it is; on a listener with proto=ws as one
 * binary message. Any thread, any time. The caller has one reference: mario_msg_free() gives it up. NULL with errno:
 * EINVAL for a length out of range, ENOMEM without memory or if all messages would take more than push.memory bytes
 * (counted: push_refused_memory). */
struct mario_msg *mario_msg(const void *bytes, uint32 len) __attribute__((warn_unused_result));
/* The same for a packet: a HEAD with the stx of regist_stx(), which is called before, and akg_id (not one of the
 * reserved ones), and len bytes of data behind it (0 .. MARIO_MSG_MAX - 8; data may be NULL if 0). Who came in by a
 * listener of another framing gets id and data in that, as mario_reply_id() would write them; an application's wrap is
 * called for that once for all receivers that a worker has at a time. */
struct mario_msg *mario_msg_packet(uint16 akg_id, const void *data, uint32 len)
    __attribute__((warn_unused_result));

/* Between making and the first send only, by who made it; ignored later. NULL is ignored. */

/* What it is about, not 0: with MARIO_SLOW_COALESCE a later message with the same key takes its place. */
void mario_msg_key(struct mario_msg *m, uint64 key);
/* It is never dropped: a connection without room for it closes instead (slow_consumer). */
void mario_msg_keep(struct mario_msg *m);
/* Have regist_receipt_func()'s function called with this tag, once: when the last receiver is settled and the caller's
 * reference is given up, for until then there may be more receivers. */
void mario_msg_receipt(struct mario_msg *m, uint64 tag);

/* Give the caller's reference up and null the pointer; *m may be NULL, so a second call does nothing. Any thread.
 * The message lives on as long as somebody is to get it. */
void mario_msg_free(struct mario_msg **m);

/* ---- Sending: any thread, also inside functions and hooks; not in a signal handler. m stays the caller's ---- */

/* To the connection of this name. One that has ended gets nothing, nor does its successor (push_gone). */
sint32 mario_send(uint64 id, struct mario_msg *m);
/* To all connections bound to uid; if there are none it is nobody's. */
sint32 mario_send_user(uint64 uid, struct mario_msg *m);
/* To all members of the group but except_id (0: to all): those who are members when their worker begins with it, and
 * have not left when their turn comes; each exactly once. */
sint32 mario_send_group(uint64 group, struct mario_msg *m, uint64 except_id);
/* The same for all connections. */
sint32 mario_send_all(struct mario_msg *m, uint64 except_id);

/* End a connection: last (or NULL) is sent to it behind all that waits, then it closes (kicked). reason_id is what its
 * end hook gets as err_type, and chooses the hook as for close_conn(). It is closed at the latest when a connection is
 * that takes no output. */
sint32 mario_kick(uint64 id, uint16 reason_id, struct mario_msg *last);
/* All connections of a user, which is then bound to nobody. */
sint32 mario_kick_user(uint64 uid, uint16 reason_id, struct mario_msg *last);

/* Have f(c, arg) called as a function of the connection: on its worker, c->bufev writes to it, in_buf is NULL, anything
 * but 0 closes it. f(NULL, arg) if there is none of this name (any more): on that worker, or, if the server stopped
 * before its turn, on the thread that ran it. Exactly one of the two, once, if this returned 0. */
sint32 mario_run(uint64 id, sint32 (*f)(CONN *c, void *arg), void *arg);

/* ---- Groups: any number not 0; they exist while somebody is in them ---- */

/* Any thread. Joining twice and leaving what one is not in do nothing. A connection's end leaves all its groups.
 * Without memory for the membership the connection closes (no_memory); who is in push.groups of them is in no more
 * (push_refused_groups). */
sint32 mario_join_id(uint64 id, uint64 group);
sint32 mario_leave_id(uint64 id, uint64 group);
/* The same for c, in its own functions and hooks, offloaded ones too, with the CONN they were given; elsewhere -1 with
 * EINVAL. In an end hook nothing comes of it. What the same function sends to the group after that reaches c. */
sint32 mario_join(CONN *c, uint64 group);
sint32 mario_leave(CONN *c, uint64 group);

/* Members, on all workers; a moment's sum. Any thread; 0 if no server runs. */
uint64 mario_group_count(uint64 group);

/* ---- Users: any number not 0; a connection belongs to one at most, a user has any number of connections ---- */

enum mario_bind {
    MARIO_BIND_MANY,      /* beside the others */
    MARIO_BIND_KICK_OLD,  /* the newest ones stay; older ones close (replaced) */
    MARIO_BIND_REFUSE_NEW /* the older ones stay; this one is refused */
};

/* Bind c to a user, in its own functions and hooks, offloaded ones too. devices_max connections of a user may be (0:
 * with MANY any number, else 1): with MANY and REFUSE_NEW one more is refused, with KICK_OLD the oldest go. Logins of
 * one user at the same time get an order: the last one wins. Binding to the same user again changes nothing, to
 * another one gives the former up once that is decided. What is decided the function of regist_bound_func() is told.
 * Without memory the connection closes (no_memory). A bind ends with its connection, and ends no other. -1: as for
 * mario_join(), or how is none of the three. */
sint32 mario_bind(CONN *c, uint64 uid, enum mario_bind how, uint32 devices_max);

/* Connections bound to uid; a moment's number. Any thread; 0 if no server runs. */
uint64 mario_user_count(uint64 uid);

/* f is called as a function of c (it may write, close, send; anything but 0 closes) when its bind is decided:
 * c->err_type is 0 if it is bound, g_akg_error_id if it was refused; c->in_buf is a struct mario_bound, in_buf_len its
 * size. One function at most: a second call replaces, NULL removes. Before start; 0, or -1 once the server runs. */
struct mario_bound {
    uint64 uid;
    uint32 connections; /* bound to uid now, this one included if it is */
    sint32 refused;     /* 0 or 1 */
};
sint32 regist_bound_func(FUNC_PTR f);

/* ---- Slow readers ---- */

/* For c from now on, in its own functions and hooks, offloaded ones too; without a call it is push.slow, push.queue,
 * push.bytes. 0 = no such limit; both 0 is refused, so is a policy that is none of the four: -1 with EINVAL. A message
 * of which a part is sent, or that is to be kept, is not dropped; one to be kept that finds no room closes the
 * connection. */
sint32 mario_slow_policy(CONN *c, enum mario_slow p, uint32 messages, uint32 bytes);

/* ---- Timers ---- */

#define MARIO_TIMER_MAX 604800000u /* a week, milliseconds */

/* Have f(c, arg) called as a function of c in ms milliseconds (.. MARIO_TIMER_MAX), once, not before; it may set itself
 * again. A timer is known by its f and arg: set again it gets the new time, 0 ms cancels it. It ends with c without a
 * call. In c's own functions and hooks, offloaded ones too; -1 as for mario_join(), or ms is out of range. */
sint32 mario_timer(CONN *c, uint32 ms, sint32 (*f)(CONN *c, void *arg), void *arg);

/* ---- All connections, the stop, receipts ---- */

/* Have f(c, arg) called as a function of each connection that is there when its worker begins, by several workers at
 * the same time, some at a time between other work; anything but 0 closes that one. Then done(arg, seen) once (NULL:
 * not), when all workers are through: on one of them, or on the thread that ran the server if it stopped meanwhile.
 * Any thread. */
sint32 mario_each_conn(sint32 (*f)(CONN *c, void *arg), void *arg, void (*done)(void *arg, uint64 seen));

/* The message that every connection gets when a stop begins, before it is closed. It replaces an earlier one; NULL:
 * none. Any thread, between init and the stop. */
sint32 mario_stop_message(struct mario_msg *m);

/* What became of a message: targets = sent + dropped. */
struct mario_receipt {
    uint64 tag, targets, sent, dropped;
};
/* f gets the receipts, on a worker; what comes when the last worker has ended, on the thread that ran the server. It
 * must not block. One function at most; NULL removes. Before start; 0, or -1 once the server runs. */
sint32 regist_receipt_func(void (*f)(const struct mario_receipt *));

#ifdef __cplusplus
}
#endif

#endif
