/*
 * function.h: maritcp's business functions. They run on the connection's worker and must not block.
 */
#ifndef MARITCP_FUNCTION_H
#define MARITCP_FUNCTION_H

#include "mario/mario.h"

/* Register all of them, the hooks, and the report of who is online every `interval` seconds (1 ..
 * MARIO_TIMEOUT_MAX). Main thread, between mario_init_server() and start_server().
 * Returns 0, or -1 if the library refuses one. */
sint32 function_register(SERVER *server, uint32 interval) __attribute__((warn_unused_result));

/* login.c: LOGIN_REQ -> bare HEAD. Another length ends the connection. */
sint32 login_answer(CONN *c);

/* hello.c: anything -> HEAD + "hello". */
sint32 hello_answer(CONN *c);

/* echo.c: anything -> the packet itself. */
sint32 echo_answer(CONN *c);

/* online.c: count c as online, once, however often it is called. Uses c->user. */
void online_enter(CONN *c);
/* The disconnected hook: count c down if it was counted. Always 0. */
sint32 online_leave(CONN *c);
/* Log one line: how many are online, in all and on each worker. A timer function, runs on the master. */
void online_report(LOG_QUEUE *qlog, void *server);

#endif
