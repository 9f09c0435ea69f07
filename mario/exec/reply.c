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
    t->spent = evbuffer_new();
    if (t->reply == NULL || t->discard == NULL || t->spent == NULL)
        return false;
    t->reply_buf = bufferevent_get_output(t->reply);
    t->reply_keep = SIZE_MAX;
    return evbuffer_add_cb(bufferevent_get_output(t->discard), on_discarded, t) != NULL;
}

void reply_teardown(struct executor *t)
{
    if (t->reply != NULL)
        bufferevent_free(t->reply);
    if (t->discard != NULL)
        bufferevent_free(t->discard);
    if (t->spent != NULL)
        evbuffer_free(t->spent);
    t->reply = t->discard = NULL;
    t->reply_buf = t->spent = NULL;
}

void reply_cut(struct executor *t)
{
    size_t n = reply_length(t);
    if (n < t->reply_keep)
        t->reply_keep = n;
}

/* All that is in the reply goes into *gone, which is empty. The application may have frozen it. */
static void move_out(struct executor *t, struct evbuffer *gone)
{
    if (evbuffer_add_buffer(gone, t->reply_buf) == 0)
        return;
    evbuffer_unfreeze(t->reply_buf, 0);
    evbuffer_unfreeze(t->reply_buf, 1);
    evbuffer_add_buffer(gone, t->reply_buf);
    CHECK(reply_length(t) == 0);
}

/* By way of a buffer that nobody else knows: while libevent calls cleanups it is half freed, and one may write again
 * or end the thread. In that case it is lost, for t->spent was nulled before. */
void reply_drain(struct executor *t)
{
    for (bool again = false; reply_length(t) > 0; again = true) {
        struct evbuffer *gone = t->spent != NULL ? t->spent : evbuffer_new();
        t->spent = NULL;
        t->outside += again;
        if (gone == NULL) { /* no memory for another one */
            evbuffer_unfreeze(t->reply_buf, 1);
            evbuffer_drain(t->reply_buf, reply_length(t));
            continue;
        }
        move_out(t, gone);
        evbuffer_drain(gone, evbuffer_get_length(gone));
        t->spent = gone;
    }
}

void reply_abandon(void *executor)
{
    struct executor *t = executor;
    if (t->conn != NULL)
        t->conn->bufev = t->discard;
    reply_drain(t);
}

void reply_close(struct executor *t)
{
    evbuffer_freeze(t->reply_buf, 0);
}
