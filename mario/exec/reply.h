/*
 * reply.h: what functions write with c->bufev: an executor has one reply, and one whose bytes are dropped, for end
 * hooks. Everything here is for the executor's thread; setup and teardown for who makes it.
 */
#ifndef MARIO_EXEC_REPLY_H
#define MARIO_EXEC_REPLY_H

#include "mario/exec/executor.h"

struct evbuffer;

/* Make the executor's reply and discard on its base. False without memory. */
__attribute__((warn_unused_result)) bool reply_setup(struct executor *t);
void reply_teardown(struct executor *t);

/* What c's function writes from here on is dropped: it has closed. */
void reply_cut(struct executor *t);

/* Drop what an end hook wrote. */
void reply_wipe_discard(struct executor *t);

/* Empty it. */
void reply_wipe(struct evbuffer *b);

#endif
