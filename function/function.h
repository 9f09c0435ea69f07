/*
 * function.h: maritcp's business functions. They run on the connection's worker and must not block.
 *
 * c->user is a number: 0 until the connection has logged in, then the user that it is. A user's number is 0x10000 more
 * than its uid: uid 0 is as good as any, but the library has no user 0.
 */
#ifndef MARITCP_FUNCTION_H
#define MARITCP_FUNCTION_H

#include <stdbool.h>

#include "mario/mario.h"
#include "mario/mario_cluster.h"

/* What they are told when they are registered. */
struct function_settings {
    uint32 stx;             /* every packet's */
    enum mario_bind policy; /* LOGIN, if the uid is logged in on another connection */
    uint32 interval;        /* seconds between two reports of who is online, 1 .. MARIO_TIMEOUT_MAX */
    bool cluster;           /* mario_cluster_start() is going to be called */
};

/* Register all of them, the hooks, and the report. Main thread, between mario_init_server() and start_server().
 * Returns 0, or -1 if the library refuses one. */
sint32 function_register(SERVER *server, const struct function_settings *settings)
    __attribute__((warn_unused_result));

/* Another interval from now on. Any thread, once they are registered, until the server is freed. */
void function_retime(SERVER *server, uint32 interval);

/* login.c: LOGIN_REQ -> bare HEAD: at once, or, unless many may share a uid, when that is decided. Another length ends
 * the connection. */
sint32 login_answer(CONN *c);
/* It is: the function for regist_bound_func(), if not many may share a uid. */
sint32 login_decided(CONN *c);
/* Main thread, before the server starts: what login_answer() is to ask of mario_bind(). */
void login_setup(enum mario_bind policy);
/* c's user, 0 if it has not logged in. */
uint64 login_user(const CONN *c);
/* The uid that c has logged in with. */
uint16 login_uid(const CONN *c);
/* The user of this uid. */
uint64 login_user_of(uint16 uid);

/* hello.c: anything -> "hello", behind a HEAD where packets have one. */
sint32 hello_answer(CONN *c);

/* words.c: what may be typed at addresses with proto=line id=word. Main thread, before the server starts, behind
 * regist_akg_func() for SAY_HELLO. 0, or -1 if the library refuses one. */
sint32 words_register(void);

/* echo.c: anything -> the packet itself. */
sint32 echo_answer(CONN *c);

/* push.c: to all connections of a user. */
sint32 push_to_answer(CONN *c);

/* group.c: in, out, to the others, how many. Of several nodes WHO counts the members on all of them: what is known goes
 * into the answer at once, else it is asked for, and the answer comes within a second. */
sint32 join_answer(CONN *c);
sint32 leave_answer(CONN *c);
sint32 say_answer(CONN *c);
sint32 who_answer(CONN *c);
/* Main thread, before the server starts: whether there may be several nodes. */
void group_setup(bool cluster);

/* leave.c: the function for who leaves since the server drains: GO_AWAY. */
sint32 leave_tell(CONN *c);

/* answer.c: a HEAD of this command and n bytes behind it, as c's answer. 0, or -1 if it cannot be. */
sint32 answer_with(CONN *c, uint16 akg_id, const void *data, uint32 n);
/* The same without bytes, and with REFUSED. */
sint32 answer_bare(CONN *c, uint16 akg_id);
sint32 answer_refused(CONN *c, uint16 akg_id, ubyte why);
/* Main thread, before the server starts. */
void answer_setup(uint32 stx);
/* Log a client's mistake, or what it could not be given, at most one line a second and worker, so that nobody can flood
 * the log: "WHAT: WHY". Returns -1. */
sint32 answer_warn(const CONN *c, const char *what, const char *why);

/* online.c: count c, which has just logged in for the first time, as online. */
void online_enter(const CONN *c);
/* The disconnected hook: count c down if it was counted. Always 0. */
sint32 online_leave(CONN *c);
/* Log one line: how many are online, in all and on each worker. A timer function, runs on the master. */
void online_report(LOG_QUEUE *qlog, void *server);

/* nodes.c: log what happens to the cluster. The function for regist_cluster_func(). */
void nodes_event(const struct mario_cluster_event *e);
/* Log one line: what went over the bus. A timer function, runs on the master. */
void nodes_report(LOG_QUEUE *qlog, void *server);

#endif
