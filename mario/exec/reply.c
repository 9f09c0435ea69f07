/*
 * reply.c: what functions write with c->bufev. Runs on the executor's thread, setup and teardown on whoever makes it.
 *
 * The reply is a bufferevent without a socket: it only collects what functions write. Its output is libevent's,
 * frozen for draining at birth; unfrozen here, since otherwise draining fails and leaves one client's bytes to the
 * next. And it must not defer files to sendfile(): what is added has to be there as bytes. Nor is there a socket to
 * tell that output has come: without that callback adding a packet costs a third less. The discard is another one,
 * whose callback empties it at once.
 */
#include "mario/exec/reply.h"

#include <event2/buffer_compat.h>
#include <event2/bufferevent.h>
#include <event2/event.h>

#include "mario/base/thread.h"

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

/* Somebody wrote into the discard, and is still in that call: it goes at once, with what is to be called for it. By
 * way of a buffer of its own, so that the discard is in order whatever a cleanup does: writes there again, or ends its
 * thread. */
static void on_discarded(struct evbuffer *b, const struct evbuffer_cb_info *info, void *arg)
{
    struct executor *t = arg;
    if (info->n_added == 0)
        return;
    t->outside++;
    struct evbuffer *gone = evbuffer_new();
    if (gone == NULL)
        return; /* it goes with the next one */
    evbuffer_add_buffer(gone, b);
    evbuffer_free(gone);
}

bool reply_setup(struct executor *t)
{
    t->reply = reply_create(t->pub.base);
    t->discard = reply_create(t->pub.base);
    if (t->reply == NULL || t->discard == NULL)
        return false;
    t->reply_buf = bufferevent_get_output(t->reply);
    t->reply_keep = SIZE_MAX;
    return evbuffer_add_cb(bufferevent_get_output(t->discard), on_discarded, t) != NULL;
}

void reply_teardown(struct executor *t)
{
    if (t->reply != NULL && !t->draining) /* else its buffer is half freed, and lost */
        bufferevent_free(t->reply);
    if (t->discard != NULL)
        bufferevent_free(t->discard);
    t->reply = t->discard = NULL;
    t->reply_buf = NULL;
}

void reply_cut(struct executor *t)
{
    size_t n = reply_length(t);
    if (n < t->reply_keep)
        t->reply_keep = n;
}

/* While libevent calls cleanups it is half freed: nobody may write into it by a pointer that was kept. */
void reply_drain(struct executor *t)
{
    size_t n = reply_length(t);
    if (n == 0) { /* or nothing could be written, since the application has frozen it */
        evbuffer_unfreeze(t->reply_buf, 0);
        return;
    }
    evbuffer_freeze(t->reply_buf, 0);
    t->draining = true;
    if (evbuffer_drain(t->reply_buf, n) != 0) { /* the application has frozen it */
        evbuffer_unfreeze(t->reply_buf, 1);
        evbuffer_drain(t->reply_buf, n);
    }
    t->draining = false;
    evbuffer_unfreeze(t->reply_buf, 0);
}

void reply_abandon(void *executor)
{
    struct executor *t = executor;
    thread_unwound();
    if (t->conn != NULL)
        t->conn->bufev = t->discard;
    if (!t->draining)
        reply_drain(t);
    evbuffer_freeze(t->reply_buf, 0); /* destructors of thread-specific data come yet */
}

bool reply_renew(struct executor *t)
{
    if (!t->draining) {
        evbuffer_unfreeze(t->reply_buf, 0);
        return true;
    }
    struct bufferevent *b = reply_create(bufferevent_get_base(t->discard));
    if (b == NULL)
        return false;
    t->reply = b;
    t->reply_buf = bufferevent_get_output(b);
    t->draining = false;
    return true;
}
