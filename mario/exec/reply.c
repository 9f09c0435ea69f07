/*
 * reply.c: what functions write with c->bufev. Runs on the executor's thread, setup and teardown on whoever makes it.
 *
 * The reply is a bufferevent without a socket: it only collects what functions write. Its output is libevent's,
 * frozen for draining at birth; unfrozen here, since otherwise draining fails and leaves one client's bytes to the
 * next. And it must not defer files to sendfile(): what is added has to be there as bytes. Nor is there a socket to
 * tell that output has come: without that callback adding a packet costs a third less.
 */
#include "mario/exec/reply.h"

#include <event2/buffer.h>
#include <event2/buffer_compat.h>
#include <event2/bufferevent.h>
#include <event2/event.h>

static struct bufferevent *reply_create(struct event_base *base)
{
    struct bufferevent *b = bufferevent_socket_new(base, -1, 0);
    if (b == NULL)
        return NULL;
    if (bufferevent_disable(b, EV_READ | EV_WRITE) != 0 ||
        evbuffer_unfreeze(bufferevent_get_output(b), 1) != 0 ||
        evbuffer_clear_flags(bufferevent_get_output(b), EVBUFFER_FLAG_DRAINS_TO_FD) != 0) {
        bufferevent_free(b);
        return NULL;
    }
    evbuffer_setcb(bufferevent_get_output(b), NULL, NULL);
    return b;
}

bool reply_setup(struct executor *t)
{
    t->reply = reply_create(t->pub.base);
    t->discard = reply_create(t->pub.base);
    if (t->reply == NULL || t->discard == NULL)
        return false;
    t->reply_buf = bufferevent_get_output(t->reply);
    t->reply_keep = SIZE_MAX;
    return true;
}

void reply_teardown(struct executor *t)
{
    if (t->reply != NULL)
        bufferevent_free(t->reply);
    if (t->discard != NULL)
        bufferevent_free(t->discard);
    t->reply = t->discard = NULL;
    t->reply_buf = NULL;
}

void reply_wipe(struct evbuffer *b)
{
    size_t n = evbuffer_get_length(b);
    if (n > 0)
        evbuffer_drain(b, n);
    CHECK(evbuffer_get_length(b) == 0);
}

void reply_wipe_discard(struct executor *t)
{
    reply_wipe(bufferevent_get_output(t->discard));
    t->reply_keep = SIZE_MAX; /* a close in an end hook changes nothing */
}

void reply_cut(struct executor *t)
{
    size_t n = evbuffer_get_length(t->reply_buf);
    if (n < t->reply_keep)
        t->reply_keep = n;
}
