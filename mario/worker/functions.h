/*
 * functions.h: functions of a connection run between functions_begin() and functions_finish(), which sends what they
 * wrote and carries out a close. Everything here is for the thread whose executor it is. In between the shard may
 * become another's at any moment (executor.h): only what says so may be called, and functions_finish() does not come
 * back then.
 */
#ifndef MARIO_WORKER_FUNCTIONS_H
#define MARIO_WORKER_FUNCTIONS_H

#include "mario/conn/conn.h"
#include "mario/exec/reply.h"

/* What the connections of c's listener speak. */
static inline const struct mario_framing *framing_of(const struct conn *c)
{
    return conn_shard(c)->service->framing[c->listener];
}

void functions_begin(struct executor *t, struct conn *c);

/* In between: c is to end, unless it is already for a reason that weighs as much. */
void functions_end_conn(struct executor *t, enum reason r);

/* In between: more is in the reply than output.high: send it. True if the next function may run. */
bool functions_make_room(struct executor *t, struct conn *c, size_t high);

/* In between: whether the reply has not grown beyond output.high, so that the next function may run. */
static inline bool functions_have_room(struct executor *t, struct conn *c, size_t high)
{
    return reply_length(t) <= high || functions_make_room(t, c, high);
}

/* They have run: send what they wrote, then carry out a close if one was noted, be it by a cleanup. True if the
 * connection is still open. Does not return if the shard is another's by now. */
bool functions_finish(struct executor *t, struct conn *c);

/* ---- Functions that are for no packet: all of that at once ---- */

/* The connected hook of c. True if it is still open. */
bool functions_greet(struct executor *t, struct conn *c);
/* Call f(c, arg) as a function of c, which is open and not in one. True if it is still open. */
bool functions_call(struct executor *t, struct conn *c, int32_t (*f)(CONN *c, void *arg), void *arg);
/* Call f(arg), user code that is no connection's. */
void functions_alone(struct executor *t, void (*f)(void *arg), void *arg);

#endif
