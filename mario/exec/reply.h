/*
 * reply.h: what functions write with c->bufev. An executor has one reply for the connection whose function runs, and
 * a discard, which c->bufev is everywhere else: outside functions, in end hooks, of other connections. Everything here
 * is for the executor's thread; setup and teardown for who makes it.
 *
 * What a reply is made of may be the application's: evbuffer_add_reference() brings a cleanup with it,
 * evbuffer_add_cb() a callback. libevent calls them when bytes are taken out. So taking out is running user code:
 * it happens with the fence open, on the thread that ran the function, right behind it, while c->bufev is the
 * discard. The library only looks at the bytes.
 */
#ifndef MARIO_EXEC_REPLY_H
#define MARIO_EXEC_REPLY_H

#include <event2/buffer.h>

#include "mario/exec/executor.h"

/* Make the executor's reply and discard on its base. False without memory. */
__attribute__((warn_unused_result)) bool reply_setup(struct executor *t);
/* Frees them in two steps: the second is event_base_free(). */
void reply_teardown(struct executor *t);

/* What c's function writes from here on is dropped: it has closed. */
void reply_cut(struct executor *t);

/* Bytes in the reply; those of them that are to be sent. */
static inline size_t reply_length(const struct executor *t)
{
    return evbuffer_get_length(t->reply_buf);
}

static inline size_t reply_wanted(const struct executor *t)
{
    size_t len = reply_length(t);
    return len < t->reply_keep ? len : t->reply_keep;
}

/* Empty the reply: user code runs. The fence is open, c->bufev of the connection whose function ran, if there is one,
 * is the discard. Meanwhile who kept a pointer to the reply is refused. */
void reply_drain(struct executor *t);

/* The thread ends in user code or was fenced off: what is in the reply is given back here, by the thread that ran
 * its function; not what it was giving back when it ended. Nobody can write into it any more. For
 * pthread_cleanup_push(). */
void reply_abandon(void *executor);
/* Another thread goes on with this executor, and its reply. If the former one ended while it drained that, libevent has
 * half freed it: it is lost, and there is a new one. False without memory. */
__attribute__((warn_unused_result)) bool reply_renew(struct executor *t);

#endif
