/*
 * output.c: one send, what waits behind it, limits. Runs on the worker that owns the connection; nothing here may be
 * called from elsewhere.
 */
#include "mario/conn/output.h"

#include <errno.h>

#include <event2/buffer.h>

#include "mario/conn/delivery.h"
#include "mario/conn/secure.h"
#include "mario/exec/reply.h"
#include "mario/net/stream.h"

enum {
    IOV_MAX_SEND = 16,
    PIECE = 16384,     /* bytes that are copied and sent at once */
    IOV_MAX_FLUSH = 64 /* as many messages as wait for most */
};

static struct log_limit outside_warnings;

/* One system call for vec[0 .. n-1], with MSG_MORE or 0. How many bytes were taken, 0 if none fit, -1 if the socket
 * failed, or a function closed it and its number is somebody else's. */
static inline __attribute__((always_inline)) ssize_t write_once(const struct conn *c, struct iovec *vec,
                                                                size_t n, int flags)
{
    if (!conn_has_socket(c)) {
        errno = EBADF;
        return -1;
    }
    ssize_t sent;
    do {
        sent = stream_write(c->pub.fd, vec, n, flags);
    } while (sent < 0 && errno == EINTR);
    if (sent < 0)
        return errno == EAGAIN || errno == ENOBUFS ? 0 : -1;
    stats_add(conn_shard(c)->stats, STAT_bytes_out, (uint64_t) sent);
    return sent;
}

/* Which failure errno is, right after send_once() or write_once(). */
static enum output broken(void)
{
    return stream_is_gone(errno)      ? OUTPUT_NOBODY
           : stream_is_silence(errno) ? OUTPUT_SILENCE
           : errno == ENOMEM          ? OUTPUT_NO_MEMORY
                                      : OUTPUT_BROKEN;
}

/* ---- Over TLS ---- */

/* What the kernel does not take goes ahead of what waits. With errno as it is if the socket failed. */
static enum output send_sealed(struct conn *c, const void *data, size_t n, int flags)
{
    struct iovec whole = {.iov_base = (void *) data, .iov_len = n};
    ssize_t sent = 0;
    if (n > 0 && outbox_ahead(c->outbox) == 0 && (sent = write_once(c, &whole, 1, flags)) < 0)
        return broken();
    if ((size_t) sent < n && !secure_put_ahead(c, (const unsigned char *) data + sent, n - (size_t) sent)) {
        errno = ENOMEM;
        return OUTPUT_NO_MEMORY;
    }
    return c->outbox == NULL ? OUTPUT_CLEAN : OUTPUT_PENDING;
}

enum output output_send_sealed(struct conn *c, const void *data, size_t n)
{
    return send_sealed(c, data, n, 0);
}

enum output output_send_sealed_more(struct conn *c, const void *data, size_t n)
{
    return send_sealed(c, data, n, MSG_MORE);
}

/* The first of vec[0 .. n-1] as a record. As write_once(): once it is made all of it counts as taken. */
static __attribute__((noinline)) ssize_t seal_once(struct conn *c, const struct iovec *vec, size_t n)
{
    struct tls_thread *t = conn_shard(c)->secure->thread;
    if (outbox_ahead(c->outbox) > 0)
        return 0;
    size_t taken = secure_seal(c, vec, n);
    if (taken == 0)
        return -1;
    enum output o = output_send_sealed(c, t->out, t->out_len);
    t->out_len = 0;
    return o == OUTPUT_CLEAN || o == OUTPUT_PENDING ? (ssize_t) taken : -1;
}

/* What goes ahead, until the kernel takes no more. */
static __attribute__((noinline)) enum output flush_ahead(struct conn *c)
{
    while (outbox_ahead(c->outbox) > 0) {
        struct iovec first = secure_ahead(c);
        ssize_t sent = write_once(c, &first, 1, 0);
        if (sent < 0)
            return broken();
        if (sent == 0)
            return OUTPUT_PENDING;
        c->last_tx = conn_shard(c)->tick;
        secure_ahead_sent(c, (size_t) sent);
        if (!delivery_progress(c, 0))
            return OUTPUT_NO_MEMORY;
    }
    return OUTPUT_CLEAN;
}

/* Send vec[0 .. n-1], but at most `len` bytes of it, over TLS no more than a record. As write_once(). */
static ssize_t send_once(struct conn *c, struct iovec *vec, size_t n, size_t len)
{
    size_t offered = 0;
    for (size_t i = 0; i < n; i++) {
        if (vec[i].iov_len > len - offered)
            vec[i].iov_len = len - offered; /* of a reply's last piece not all may be wanted */
        offered += vec[i].iov_len;
    }
    return conn_is_tls(c) ? seal_once(c, vec, n) : write_once(c, vec, n, 0);
}

/* ---- What waits ---- */

/* n bytes more are to wait. Whether they may. */
static enum output may_wait(struct conn *c, size_t n)
{
    const struct shard *s = conn_shard(c);
    if (c->outbox == NULL)
        c->last_tx = s->tick;
    return output_pending(c) + n > s->set->output_max ? OUTPUT_LIMIT : OUTPUT_PENDING;
}

/* n bytes more wait. False without memory. */
static bool wait_behind(struct conn *c, const void *data, size_t n)
{
    return outbox_add(&c->outbox, data, n, &conn_shard(c)->delivery.all);
}

/* The kernel was offered len bytes of the outbox, and took `sent` of them. CLEAN: all. */
static enum output taken(struct conn *c, size_t sent, size_t len)
{
    if (sent == 0)
        return OUTPUT_PENDING;
    c->last_tx = conn_shard(c)->tick;
    if (!delivery_progress(c, sent))
        return OUTPUT_NO_MEMORY;
    return sent < len ? OUTPUT_PENDING : OUTPUT_CLEAN;
}

enum output output_flush(struct conn *c)
{
    struct iovec vec[IOV_MAX_FLUSH];
    while (c->outbox != NULL) {
        enum output o = outbox_ahead(c->outbox) > 0 ? flush_ahead(c) : OUTPUT_CLEAN;
        if (o != OUTPUT_CLEAN || c->outbox == NULL)
            return o;
        size_t len = 0, n = outbox_peek(c->outbox, vec, IOV_MAX_FLUSH);
        for (size_t i = 0; i < n; i++)
            len += vec[i].iov_len;
        if (len > TLS_RECORD_DATA && conn_is_tls(c))
            len = TLS_RECORD_DATA;
        ssize_t sent = send_once(c, vec, n, len);
        o = sent < 0 ? broken() : taken(c, (size_t) sent, len);
        if (o == OUTPUT_CLEAN && outbox_ahead(c->outbox) > 0)
            o = OUTPUT_PENDING;
        if (o != OUTPUT_CLEAN)
            return o;
    }
    return OUTPUT_CLEAN;
}

enum output output_took(struct conn *c, ssize_t result, size_t len)
{
    if (result < 0 && result != -EINTR) {
        errno = (int) -result;
        if (errno != EAGAIN && errno != ENOBUFS)
            return broken();
    }
    if (result > 0)
        stats_add(conn_shard(c)->stats, STAT_bytes_out, (uint64_t) result);
    enum output o = result == -EINTR ? OUTPUT_CLEAN : taken(c, result < 0 ? 0 : (size_t) result, len);
    return o == OUTPUT_CLEAN ? output_flush(c) : o;
}

/* What was pushed and not offered yet goes out before a reply. */
static enum output flush_due(struct conn *c)
{
    return c->dirty && c->outbox != NULL ? output_flush(c) : OUTPUT_CLEAN;
}

/* ---- Replies ---- */

/* What is left of a reply: `left` bytes from `at` on, which is only set once something was taken. */
struct rest {
    struct evbuffer *reply_buf;
    struct evbuffer_ptr at;
    bool begun;
    size_t left;
};

static size_t rest_peek(struct rest *r, struct iovec *vec, size_t n)
{
    int found = evbuffer_peek(r->reply_buf, (ev_ssize_t) r->left, r->begun ? &r->at : NULL, vec, (int) n);
    return (size_t) found < n ? (size_t) found : n; /* it says how many there would be */
}

static void rest_taken(struct rest *r, size_t n)
{
    r->left -= n;
    if (r->left > 0)
        evbuffer_ptr_set(r->reply_buf, &r->at, n, r->begun ? EVBUFFER_PTR_ADD : EVBUFFER_PTR_SET);
    r->begun = true;
}

/* Send until the kernel takes no more. False with errno if the socket failed. */
static bool rest_send(struct conn *c, struct rest *r)
{
    struct iovec vec[IOV_MAX_SEND];
    while (r->left > 0) {
        size_t n = rest_peek(r, vec, IOV_MAX_SEND);
        ssize_t sent = send_once(c, vec, n, r->left);
        if (sent <= 0)
            return sent == 0;
        rest_taken(r, (size_t) sent);
    }
    return true;
}

/* What the kernel did not take goes behind what already waits. */
static enum output rest_keep(struct conn *c, struct rest *r)
{
    struct iovec vec[IOV_MAX_SEND];
    enum output answer = may_wait(c, r->left);
    while (answer == OUTPUT_PENDING && r->left > 0) {
        size_t n = rest_peek(r, vec, IOV_MAX_SEND), len = 0;
        for (size_t i = 0; i < n && answer == OUTPUT_PENDING; i++) {
            size_t part = vec[i].iov_len < r->left - len ? vec[i].iov_len : r->left - len;
            if (part > 0 && !wait_behind(c, vec[i].iov_base, part))
                answer = OUTPUT_NO_MEMORY;
            len += part;
        }
        rest_taken(r, len);
    }
    return answer;
}

/* The same where heads of messages stand between its bytes: in copies. */
static enum output send_messages(struct conn *c, const struct executor *t)
{
    unsigned char piece[PIECE];
    struct reply_reader r;
    enum output o = OUTPUT_CLEAN;
    size_t n;
    reply_read_begin(t, &r);
    while ((o == OUTPUT_CLEAN || o == OUTPUT_PENDING) && (n = reply_read(&r, piece, sizeof piece)) > 0)
        o = output_send_bytes(c, piece, n);
    return o;
}

enum output output_send(struct conn *c)
{
    struct executor *t = conn_executor(c);
    struct rest r = {.reply_buf = t->reply_buf, .left = reply_wanted(t)};
    if (t->mark_count > 0)
        return send_messages(c, t);
    enum output due = flush_due(c);
    if (due != OUTPUT_CLEAN && due != OUTPUT_PENDING)
        return due;
    if (c->outbox == NULL && !rest_send(c, &r))
        return broken();
    if (r.left > 0)
        return rest_keep(c, &r);
    return c->outbox == NULL ? OUTPUT_CLEAN : OUTPUT_PENDING;
}

enum output output_send_bytes(struct conn *c, void *data, size_t n)
{
    ssize_t sent = 0;
    enum output due = flush_due(c);
    if (due != OUTPUT_CLEAN && due != OUTPUT_PENDING)
        return due;
    while (c->outbox == NULL && n > 0) {
        struct iovec whole = {.iov_base = data, .iov_len = n};
        sent = send_once(c, &whole, 1, n);
        if (sent < 0)
            return broken();
        if (sent == 0)
            break;
        data = (unsigned char *) data + sent;
        n -= (size_t) sent;
    }
    if (n == 0)
        return c->outbox == NULL ? OUTPUT_CLEAN : OUTPUT_PENDING;
    enum output answer = may_wait(c, n);
    if (answer == OUTPUT_PENDING && !wait_behind(c, data, n))
        answer = OUTPUT_NO_MEMORY;
    return answer;
}

enum reason output_reason(enum output o)
{
    return o == OUTPUT_BROKEN      ? REASON_reset
           : o == OUTPUT_SILENCE   ? REASON_peer_dead
           : o == OUTPUT_NOBODY    ? REASON_fd_closed
           : o == OUTPUT_LIMIT     ? REASON_output_limit
           : o == OUTPUT_NO_MEMORY ? REASON_no_memory
                                   : REASON_NONE;
}

/* ---- Writes that are nobody's reply ---- */

void output_report_outside(struct shard *s, uint16_t akg_id, uint32_t writes)
{
    uint32_t held_back;
    stats_add(s->stats, STAT_writes_outside, writes);
    if (!log_limit_pass(&outside_warnings, 1, &held_back))
        return;
    slog_warn_t(executor_here->pub.qlog,
                "0x%04x wrote to a connection outside that one's own functions: dropped, %u writes%s", akg_id,
                writes, log_more(held_back).text);
}
