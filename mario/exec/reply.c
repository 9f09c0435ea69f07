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

#include <string.h>

#include "mario/base/mem.h"
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
    mem_free(t->marks);
    t->marks = NULL;
}

void reply_cut(struct executor *t)
{
    size_t n = reply_length(t);
    if (n < t->reply_keep)
        t->reply_keep = n;
}

/* ---- Messages ---- */

enum { MARKS_LEAST = 32 };

/* Room for one more mark. */
static struct reply_mark *next_mark(struct executor *t)
{
    if (t->mark_count == t->mark_room) {
        uint32_t room = t->mark_room == 0 ? MARKS_LEAST : 2 * t->mark_room;
        struct reply_mark *marks = mem_realloc(t->marks, room * sizeof *marks);
        if (marks == NULL)
            return NULL;
        t->marks = marks;
        t->mark_room = room;
    }
    return &t->marks[t->mark_count++];
}

void reply_mark_raw(struct executor *t)
{
    size_t from = t->reply_raw, to = reply_wanted(t);
    t->reply_raw = to;
    if (to < from) { /* the application has taken away what others wrote */
        t->end_reason = REASON_function_error;
        reply_cut(t);
        return;
    }
    struct reply_mark *m = next_mark(t);
    if (m != NULL) {
        m->at = from;
        m->len = ws_front(m->head, WS_BINARY, to - from);
    }
}

size_t reply_sent_length(const struct executor *t)
{
    size_t n = reply_wanted(t);
    for (uint32_t i = 0; i < t->mark_count; i++)
        n += t->marks[i].len;
    return n;
}

void reply_read_begin(const struct executor *t, struct reply_reader *r)
{
    *r = (struct reply_reader){.t = t};
    evbuffer_ptr_set(t->reply_buf, &r->at, 0, EVBUFFER_PTR_SET);
}

/* More of the reply's pieces. */
static void peek(struct reply_reader *r)
{
    size_t before = 0;
    for (size_t i = 0; i < r->count; i++)
        before += r->vec[i].iov_len;
    if (before > 0)
        evbuffer_ptr_set(r->t->reply_buf, &r->at, before, EVBUFFER_PTR_ADD);
    int n = evbuffer_peek(r->t->reply_buf, -1, &r->at, r->vec, sizeof r->vec / sizeof r->vec[0]);
    r->count = (size_t) n < sizeof r->vec / sizeof r->vec[0] ? (size_t) n : sizeof r->vec / sizeof r->vec[0];
    r->next = r->used = 0;
}

/* At most n bytes of the reply as it is: how many. */
static size_t read_raw(struct reply_reader *r, unsigned char *out, size_t n)
{
    if (r->next == r->count)
        peek(r);
    const struct evbuffer_iovec *v = &r->vec[r->next];
    n = n < v->iov_len - r->used ? n : v->iov_len - r->used;
    memcpy(out, (const unsigned char *) v->iov_base + r->used, n);
    r->used += n;
    r->done += n;
    if (r->used == v->iov_len) {
        r->next++;
        r->used = 0;
    }
    return n;
}

size_t reply_read(struct reply_reader *r, unsigned char *out, size_t room)
{
    const struct executor *t = r->t;
    const size_t wanted = reply_wanted(t);
    size_t n = 0;
    while (n < room && r->done < wanted) {
        const struct reply_mark *m = r->mark < t->mark_count ? &t->marks[r->mark] : NULL;
        if (m != NULL && m->at == r->done) {
            if (room - n < m->len)
                break;
            memcpy(out + n, m->head, m->len);
            n += m->len;
            r->mark++;
            continue;
        }
        size_t end = m != NULL && m->at < wanted ? m->at : wanted;
        n += read_raw(r, out + n, end - r->done < room - n ? end - r->done : room - n);
    }
    return n;
}

/* ---- Giving it back ---- */

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
