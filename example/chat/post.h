/*
 * post.h: how the clerk sends. He has a thread of his own, so where a worker's ring of orders is full he can do what
 * a function must not: wait until there is room. What waits behind him makes the inbox full in the end, and then
 * those who go on asking are told that we are busy.
 *
 * Each returns false, after a line in the log, if nothing came of it: no memory, or a worker that did not go on for
 * some seconds; without a line when the server has stopped.
 */
#ifndef POST_H
#define POST_H

#include "mario/mario.h"

#include <stdbool.h>

/* To whom the clerk's complaints go. Once, before the others. */
void post_setup(LOG_QUEUE *qlog);

/* To one connection: made, sent and let go. */
bool post_answer(uint64 id, uint16 what, const void *data, size_t len);

/* The same in parts, for messages that go to more than one or are to be kept. */
struct mario_msg *post_make(uint16 what, const void *data, size_t len);
bool post_send(uint64 id, struct mario_msg *m);
bool post_user(uint64 user, struct mario_msg *m);
bool post_room(uint64 room, struct mario_msg *m, uint64 except_id);
bool post_last(uint64 id, struct mario_msg *m); /* and the connection ends behind it */
bool post_join(uint64 id, uint64 room);
/* f(c, arg) as a function of the connection; false: it is not called. */
bool post_run(uint64 id, sint32 (*f)(CONN *c, void *arg), void *arg);
bool post_leave(uint64 id, uint64 room);

#endif
