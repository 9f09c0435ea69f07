/*
 * output.c: pen, one send, backlog, limits. Runs on the thread whose seat it is; nothing here may be called from
 * elsewhere, but setup and teardown, which are for whoever makes the seat.
 *
 * The pen is a bufferevent without a socket: it only collects what functions write. Its output is libevent's,
 * frozen for draining at birth; unfrozen here, since otherwise draining fails and leaves one client's bytes
 * to the next. And it must not defer files to sendfile(): what is added has to be there as bytes. Nor is
 * there a socket to tell that output has come: without that callback adding a packet costs a third less.
 */
#include "mario/conn/output.h"

#include <errno.h>

#include <event2/buffer.h>
#include <event2/buffer_compat.h>
#include <event2/bufferevent.h>

#include "mario/net/stream.h"

enum { IOV_MAX_SEND = 16 };

static struct bufferevent *pen_create(struct event_base *base)
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

bool output_setup(struct seat *t)
{
    t->pen = pen_create(t->pub.base);
    t->sink = pen_create(t->pub.base);
    if (t->pen == NULL || t->sink == NULL)
        return false;
    t->ink = bufferevent_get_output(t->pen);
    t->ink_keep = SIZE_MAX;
    return true;
}

void output_teardown(struct seat *t)
{
    if (t->pen != NULL)
        bufferevent_free(t->pen);
    if (t->sink != NULL)
        bufferevent_free(t->sink);
    t->pen = t->sink = NULL;
    t->ink = NULL;
}

static void wipe(struct evbuffer *b)
{
    size_t n = evbuffer_get_length(b);
    if (n > 0)
        evbuffer_drain(b, n);
    ASSERT(evbuffer_get_length(b) == 0);
}

void output_wipe_sink(struct seat *t)
{
    wipe(bufferevent_get_output(t->sink));
    t->ink_keep = SIZE_MAX; /* a close in an end hook changes nothing */
}

void output_cut(struct seat *t)
{
    size_t n = evbuffer_get_length(t->ink);
    if (n < t->ink_keep)
        t->ink_keep = n;
}

size_t output_pending(const struct conn *c)
{
    return c->backlog == NULL ? 0 : evbuffer_get_length(c->backlog);
}

void output_drop(struct conn *c)
{
    if (c->backlog != NULL)
        evbuffer_free(c->backlog);
    c->backlog = NULL;
}

/* One system call for the first `len` bytes of b. How many were taken, 0 if none fit, -1 if the socket
 * failed. */
static ssize_t send_once(const struct conn *c, struct evbuffer *b, size_t len)
{
    struct evbuffer_iovec vec[IOV_MAX_SEND];
    int n = evbuffer_peek(b, (ev_ssize_t) len, NULL, vec, IOV_MAX_SEND);
    if (n > IOV_MAX_SEND)
        n = IOV_MAX_SEND;
    size_t offered = 0;
    for (int i = 0; i < n; i++) {
        if (vec[i].iov_len > len - offered)
            vec[i].iov_len = len - offered; /* peek gives whole chains */
        offered += vec[i].iov_len;
    }
    ssize_t sent;
    do {
        sent = io_write(c->pub.fd, vec, (size_t) n);
    } while (sent < 0 && errno == EINTR);
    if (sent < 0)
        return errno == EAGAIN || errno == ENOBUFS ? 0 : -1;
    stats_add(conn_shard(c)->stats, STAT_bytes_out, (uint64_t) sent);
    return sent;
}

/* Which failure errno is, right after send_from(). */
static enum output broken(void)
{
    return io_is_silence(errno) ? OUTPUT_SILENCE : OUTPUT_BROKEN;
}

/* Send the first `len` bytes of b until the kernel takes no more. *left is what it did not take. False with errno
 * if the socket failed. */
static bool send_from(const struct conn *c, struct evbuffer *b, size_t len, size_t *left)
{
    *left = len;
    while (*left > 0) {
        ssize_t sent = send_once(c, b, *left);
        if (sent < 0)
            return false;
        if (sent == 0)
            return true;
        evbuffer_drain(b, (size_t) sent);
        *left -= (size_t) sent;
    }
    return true;
}

/* What the kernel did not take goes behind what already waits. Chains change hands, bytes are not copied, but for
 * those of a chain of which only the beginning is wanted: libevent does not say when it finds no memory for them. */
static enum output keep(struct conn *c, struct evbuffer *ink, size_t left)
{
    struct shard *s = conn_shard(c);
    if (c->backlog == NULL) {
        c->backlog = evbuffer_new();
        if (c->backlog == NULL)
            return OUTPUT_NO_MEMORY;
        c->last_tx = s->tick;
    }
    size_t whole = evbuffer_get_length(c->backlog) + left;
    if (left == evbuffer_get_length(ink))
        evbuffer_add_buffer(c->backlog, ink);
    else
        evbuffer_remove_buffer(ink, c->backlog, left);
    if (evbuffer_get_length(c->backlog) != whole)
        return OUTPUT_NO_MEMORY;
    return evbuffer_get_length(c->backlog) > s->set->output_max ? OUTPUT_LIMIT : OUTPUT_PENDING;
}

enum output output_send(struct conn *c)
{
    struct seat *t = conn_seat(c);
    size_t len = evbuffer_get_length(t->ink);
    size_t wanted = len < t->ink_keep ? len : t->ink_keep;
    t->ink_keep = SIZE_MAX;
    size_t left = wanted;
    enum output answer = c->backlog == NULL ? OUTPUT_CLEAN : OUTPUT_PENDING;
    if (len == 0)
        return answer;
    if (c->backlog == NULL && !send_from(c, t->ink, wanted, &left))
        answer = broken();
    else if (left > 0)
        answer = keep(c, t->ink, left);
    wipe(t->ink);
    return answer;
}

enum reason output_reason(enum output o)
{
    return o == OUTPUT_BROKEN      ? REASON_reset
           : o == OUTPUT_SILENCE   ? REASON_peer_dead
           : o == OUTPUT_LIMIT     ? REASON_output_limit
           : o == OUTPUT_NO_MEMORY ? REASON_no_memory
                                   : REASON_NONE;
}

enum output output_flush(struct conn *c)
{
    size_t len = output_pending(c), left;
    if (len == 0)
        return OUTPUT_CLEAN;
    if (!send_from(c, c->backlog, len, &left))
        return broken();
    if (left < len)
        c->last_tx = conn_shard(c)->tick;
    if (left > 0)
        return OUTPUT_PENDING;
    output_drop(c);
    return OUTPUT_CLEAN;
}
