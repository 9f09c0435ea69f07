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
#include "mario/frame/ws.h"

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

/* ---- Messages ----
 *
 * On a listener whose clients get nothing but messages what a function writes as bytes is one: it goes out with a head
 * in front, which is known when the function has returned. It stays as it is in the reply, and a mark says where a head
 * belongs. */

struct reply_mark {
    size_t at; /* bytes of the reply in front of it */
    uint8_t len;
    unsigned char head[WS_FRONT_MAX];
};

/* Whether that is so on the listener of the connection whose functions run. */
static inline bool reply_has_messages(const struct executor *t)
{
    return t->ends == ws_ends;
}

/* Functions begin to run, with an empty reply. */
static inline void reply_begin(struct executor *t)
{
    t->reply_raw = 0;
    t->mark_count = 0;
}

/* What stands in the reply by now has all the heads that it needs. */
static inline void reply_is_framed(struct executor *t)
{
    t->reply_raw = reply_wanted(t);
}

/* What was written since then is a message. Without memory, mem_take_failure() says so. */
void reply_mark_raw(struct executor *t);
static inline void reply_mark(struct executor *t)
{
    if (reply_has_messages(t) && reply_wanted(t) != t->reply_raw)
        reply_mark_raw(t);
}

/* Bytes that are to be sent, heads among them. */
size_t reply_sent_length(const struct executor *t);

/* These bytes, piece by piece, while the reply stays as it is. */
struct reply_reader {
    const struct executor *t;
    struct evbuffer_ptr at; /* where the pieces in vec begin */
    struct evbuffer_iovec vec[16];
    size_t count, next; /* pieces there; the one to go on with */
    size_t used;        /* bytes of that one which were read */
    size_t done;        /* bytes of the reply that were read */
    uint32_t mark;      /* the one that is to come */
};
void reply_read_begin(const struct executor *t, struct reply_reader *r);
/* At most `room` bytes to out, at least WS_FRONT_MAX; 0 if there are no more. */
size_t reply_read(struct reply_reader *r, unsigned char *out, size_t room);

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
