/*
 * output.c: one send, backlog, limits. Runs on the thread whose executor it is; nothing here may be called from
 * elsewhere.
 */
#include "mario/conn/output.h"

#include <errno.h>

#include <event2/buffer.h>

#include "mario/exec/reply.h"
#include "mario/net/stream.h"

enum { IOV_MAX_SEND = 16 };

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
        sent = stream_write(c->pub.fd, vec, (size_t) n);
    } while (sent < 0 && errno == EINTR);
    if (sent < 0)
        return errno == EAGAIN || errno == ENOBUFS ? 0 : -1;
    stats_add(conn_shard(c)->stats, STAT_bytes_out, (uint64_t) sent);
    return sent;
}

/* Which failure errno is, right after send_from(). */
static enum output broken(void)
{
    return stream_is_silence(errno) ? OUTPUT_SILENCE : OUTPUT_BROKEN;
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
static enum output keep(struct conn *c, struct evbuffer *reply_buf, size_t left)
{
    struct shard *s = conn_shard(c);
    if (c->backlog == NULL) {
        c->backlog = evbuffer_new();
        if (c->backlog == NULL)
            return OUTPUT_NO_MEMORY;
        c->last_tx = s->tick;
    }
    size_t whole = evbuffer_get_length(c->backlog) + left;
    if (left == evbuffer_get_length(reply_buf))
        evbuffer_add_buffer(c->backlog, reply_buf);
    else
        evbuffer_remove_buffer(reply_buf, c->backlog, left);
    if (evbuffer_get_length(c->backlog) != whole)
        return OUTPUT_NO_MEMORY;
    return evbuffer_get_length(c->backlog) > s->set->output_max ? OUTPUT_LIMIT : OUTPUT_PENDING;
}

enum output output_send(struct conn *c)
{
    struct executor *t = conn_executor(c);
    size_t len = evbuffer_get_length(t->reply_buf);
    size_t wanted = len < t->reply_keep ? len : t->reply_keep;
    t->reply_keep = SIZE_MAX;
    size_t left = wanted;
    enum output answer = c->backlog == NULL ? OUTPUT_CLEAN : OUTPUT_PENDING;
    if (len == 0)
        return answer;
    if (c->backlog == NULL && !send_from(c, t->reply_buf, wanted, &left))
        answer = broken();
    else if (left > 0)
        answer = keep(c, t->reply_buf, left);
    reply_wipe(t->reply_buf);
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
