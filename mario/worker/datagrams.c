/*
 * datagrams.c: packets that come by themselves: from the socket to the functions, and their replies out again. Runs on
 * the worker's thread, setup and teardown on the one that makes the server, datagrams_prepare() on whoever makes an
 * executor.
 *
 * on_datagrams -> take -> hand_out -> call -> take_reply -> send_replies. A batch is read with one system call and its
 * replies are sent with one. A function sees a CONN as any other, but it stands in for all who send datagrams: it is
 * the executor's and has no place in the shard. Replies wait for the end of their batch in the place of the datagram
 * that they answer.
 */
#include "mario/worker/datagrams.h"

#include <errno.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

#include <event2/event_struct.h>

#include "mario/base/mem.h"
#include "mario/base/probe.h"
#include "mario/conn/output.h"
#include "mario/exec/registry.h"
#include "mario/exec/reply.h"
#include "mario/net/stream.h"
#include "mario/offload/queue.h"
#include "mario/worker/orders.h"

enum {
    LAST_BATCHES =
        64, /* of each socket that a stop still reads: what waits there, unless somebody sends without end */
    PLACE_ALIGN = 64
};

struct datagram_watch {
    struct event event;
    struct executor *executor;
    uint32_t socket; /* its index in shard.udp */
};

struct datagrams {
    struct conn stand_in;   /* what functions see; FREE for ever, so that whoever keeps it finds nobody */
    struct udp_batch batch; /* what was read last, */
    uint32_t socket;        /* of which socket, */
    uint32_t next;          /* and the first of it that was not looked at */
    struct datagram_watch watches[]; /* [shard.udp_count]; behind them the places of the batch */
};

static bool is_left(const struct datagrams *d)
{
    return d->next < d->batch.count;
}

/* ---- Sending ---- */

static void send_replies(struct shard *s, struct datagrams *d)
{
    if (d->batch.replies == 0)
        return;
    struct udp_sent sent = udp_send(s->udp[d->socket].fd, &d->batch);
    stats_add(s->stats, STAT_udp_out, sent.datagrams);
    stats_add(s->stats, STAT_udp_unsent, sent.lost);
    stats_add(s->stats, STAT_bytes_out, sent.bytes);
}

/* n bytes of reply are to go out for datagram i. */
static void keep_reply(const struct executor *t, struct datagrams *d, uint32_t i, size_t n)
{
    const struct shard *s = t->shard;
    struct udp_datagram *u = &d->batch.at[i];
    if (n > (uint64_t) s->udp[d->socket].amplify * u->len) {
        stats_add(s->stats, STAT_udp_amplified, 1);
    } else if (n > UDP_MOST) {
        stats_add(s->stats, STAT_udp_unsent, 1);
    } else {
        evbuffer_copyout(t->reply_buf, u->data, n);
        udp_reply(&d->batch, i, n);
    }
}

/* What the function wrote is taken with the fence closed, and given back with it open, as any reply is. None is sent if
 * it closed or failed, or if it may lack something. */
static void take_reply(struct executor *t, struct datagrams *d, uint32_t i)
{
    bool wanted = !mem_take_failure() && t->end_reason == REASON_NONE;
    size_t n = reply_length(t);
    d->stand_in.pub.bufev = t->discard;
    if (n == 0)
        return;
    if (!fence_close(&t->fence))
        executor_vanish();
    if (wanted)
        keep_reply(t, d, i, n);
    fence_open(&t->fence);
    executor_note_again(t);
    reply_drain(t);
}

/* ---- Handing out ---- */

static const unsigned char *address6(const struct udp_from *from)
{
    return from->who.any.sa_family == AF_INET6 ? from->who.v6.sin6_addr.s6_addr : NULL;
}

static uint16_t port_of(const struct udp_from *from)
{
    return from->who.any.sa_family == AF_INET6 ? from->who.v6.sin6_port : from->who.v4.sin_port;
}

/* A fresh CONN, as the function is to see it. */
static void stand_in(const struct executor *t, struct datagrams *d, const struct udp_datagram *u,
                     const struct mario_frame *frame)
{
    const struct udp_from *from = &u->from;
    d->stand_in.pub = (CONN){.fd = -1,
                             .ind = t->shard->count,
                             .bufev = t->reply,
                             .in_buf = (char *) u->data + frame->at,
                             .in_buf_len = (uint16_t) frame->len,
                             .out_buf = t->out_buf,
                             .out_buf_len = (uint16_t) t->shard->service->max_pkglen,
                             .owner = (WORKER *) (uintptr_t) &t->pub,
                             .cip = address6(from) == NULL ? from->who.v4.sin_addr.s_addr : 0,
                             .cport = port_of(from)};
}

static void call(struct executor *t, struct datagrams *d, uint32_t i, FUNC_PTR f,
                 const struct mario_frame *frame)
{
    struct udp_datagram *u = &d->batch.at[i];
    const struct shard *s = t->shard;
    const struct service *service = s->service;
    CONN *pub = &d->stand_in.pub;
    mem_take_failure();
    stand_in(t, d, u, frame);
    u->data[frame->at + frame->len] = 0; /* read as text it ends where it ends */
    t->datagram = true;
    t->framing = service->framing[s->udp[d->socket].listener];
    t->ends = service->ends[s->udp[d->socket].listener];
    t->opcode = 0;
    executor_begin(t, pub, 0, address6(&u->from));
    if (reply_length(t) > 0) { /* who kept a pointer to it wrote when it was nobody's */
        t->outside++;
        reply_drain(t);
    }
    executor_note(t, ACTIVITY_PACKET, frame->id);
    PROBE3(packet__start, pub, frame->id, frame->len);
    int32_t rc = f(pub);
    PROBE1(packet__end, rc);
    executor_ran(t, frame->id, rc);
    if (rc != 0 && t->end_reason == REASON_NONE)
        t->end_reason = REASON_function_error;
    take_reply(t, d, i);
    executor_end(t);
    t->datagram = false;
    pub->in_buf = NULL;
    pub->in_buf_len = 0;
    if (t->outside > 0) {
        output_report_outside(t->shard, frame->id, t->outside);
        t->outside = 0;
    }
}

/* What a datagram is: one whole packet and nothing else, or what to count it as. STAT_packets_in: it is one. */
static enum counter judge(const struct executor *t, const struct udp_socket *u, struct udp_datagram *from,
                          size_t size, struct mario_frame *frame)
{
    const struct service *service = t->shard->service;
    const struct mario_framing *framing = service->framing[u->listener];
    uint32_t n = from->len < size ? from->len : (uint32_t) size;
    if (n == 0)
        return STAT_udp_short;
    *frame = (struct mario_frame){.need = 0};
    switch (framing->next(framing, NULL, from->data, n, 0, frame)) {
    case MARIO_FRAME_OK:
        return frame->need != n                    ? STAT_udp_trailing
               : service->funcs[frame->id] == NULL ? STAT_udp_unknown
                                                   : STAT_packets_in;
    case MARIO_FRAME_MORE:
        return STAT_udp_short;
    default:
        return frame->fault == REASON_bad_stx       ? STAT_udp_bad_stx
               : frame->fault == REASON_unknown_akg ? STAT_udp_unknown
                                                    : STAT_udp_bad_length;
    }
}

/* Whether it came from a port of ours, or from none. Two servers whose answers are again requests would go on answering
 * each other for ever, once somebody has sent one of them a datagram in the other's name. */
static bool is_loop(const struct shard *s, const struct udp_from *from)
{
    uint16_t port = port_of(from);
    bool loop = port == 0;
    for (uint32_t i = 0; i < s->udp_count; i++)
        loop = loop || s->udp[i].port == port;
    return loop;
}

static void hand_out_one(struct executor *t, struct datagrams *d, uint32_t i)
{
    struct shard *s = t->shard;
    struct udp_datagram *u = &d->batch.at[i];
    struct mario_frame frame;
    enum counter what =
        is_loop(s, &u->from) ? STAT_udp_loop : judge(t, &s->udp[d->socket], u, d->batch.size, &frame);
    if (what == STAT_packets_in) {
        FUNC_PTR f = s->service->funcs[frame.id];
        if (f != registry_offloaded) {
            call(t, d, i, f, &frame);
        } else {
            stand_in(t, d, u, &frame);
            what = queue_send_datagram(s, &d->stand_in.pub, &u->from, d->socket, &frame, u->len)
                       ? what
                       : STAT_udp_dropped;
            d->stand_in.pub.bufev = t->discard;
        }
    }
    stats_add(t->shard->stats, what, 1);
}

/* Hand out what is left of the batch, until the time of this pass is up, and send what was answered. */
static void hand_out(struct executor *t, struct datagrams *d)
{
    bool late = false;
    pace_begin(&t->pace, 0);
    while (is_left(d) && !late) {
        hand_out_one(t, d, d->next++);
        late = pace_step(&t->pace) && pace_look(&t->pace);
    }
    send_replies(t->shard, d);
}

/* ---- Receiving ---- */

/* Read a batch. False if nothing has come. */
static bool take(struct executor *t, struct datagrams *d, uint32_t socket)
{
    struct shard *s = t->shard;
    uint32_t lost, n = udp_receive(&s->udp[socket], &d->batch, &lost);
    uint64_t bytes = 0;
    d->socket = socket;
    d->next = 0;
    for (uint32_t i = 0; i < n; i++)
        bytes += d->batch.at[i].len;
    stats_add(s->stats, STAT_udp_in, n);
    stats_add(s->stats, STAT_udp_dropped, lost);
    stats_add(s->stats, STAT_bytes_in, bytes);
    return n > 0;
}

static void on_datagrams(evutil_socket_t fd, short what, void *arg)
{
    const struct datagram_watch *of = arg;
    struct executor *t = of->executor;
    struct worker *w = worker_of(t->shard);
    struct datagrams *d = t->datagrams;
    (void) fd;
    (void) what;
    CHECK(executor_here == t);
    pulse_wake(&w->pulse);
    bool full = !is_left(d); /* else these first: the loop comes back at once */
    while (full && take(t, d, of->socket)) {
        hand_out(t, d);
        full = d->batch.count == UDP_BATCH && !is_left(d) && !orders_crowd(w);
    }
    if (orders_crowd(w))
        event_base_loopbreak(t->pub.base);
}

bool datagrams_look(const struct executor *t, bool stopping)
{
    const struct shard *s = t->shard;
    bool any = is_left(t->datagrams);
    for (uint32_t i = 0; stopping && i < s->udp_count; i++)
        any = any || s->udp[i].is_read;
    return any;
}

void datagrams_go_on(struct executor *t)
{
    pace_start(&t->pace);
    hand_out(t, t->datagrams);
}

/* ---- Stopping ---- */

static void read_no_more(struct executor *t, uint32_t i)
{
    if (t->shard->udp[i].is_read)
        event_del(&t->datagrams->watches[i].event);
    t->shard->udp[i].is_read = false;
}

static void close_all(struct executor *t)
{
    for (uint32_t i = 0; i < t->shard->udp_count; i++) {
        read_no_more(t, i);
        if (t->shard->udp[i].fd >= 0)
            stream_close(t->shard->udp[i].fd);
        t->shard->udp[i].fd = -1;
    }
}

bool datagrams_stop(struct executor *t)
{
    struct shard *s = t->shard;
    struct datagrams *d = t->datagrams;
    if (d == NULL)
        return false;
    pace_start(&t->pace);
    hand_out(t, d);
    for (uint32_t i = 0; i < s->udp_count && !is_left(d); i++) {
        struct udp_socket *u = &s->udp[i];
        if (!u->is_read)
            continue;
        if (take(t, d, i))
            hand_out(t, d);
        if (d->batch.count < UDP_BATCH || --u->last_ones == 0)
            read_no_more(t, i);
    }
    bool more = datagrams_are_left(t, true) || s->udp_jobs > 0;
    if (!more)
        close_all(t);
    return more;
}

void datagrams_end(struct executor *t)
{
    if (t->datagrams == NULL)
        return;
    t->datagrams->next = t->datagrams->batch.count;
    close_all(t);
    queue_cancel_datagrams(t->shard);
}

/* ---- Before and after ---- */

bool datagrams_setup(struct shard *s, const struct worker_options *o)
{
    if (o->udp_count == 0)
        return true;
    if ((s->udp = calloc(o->udp_count, sizeof *s->udp)) == NULL)
        return false;
    s->udp_count = o->udp_count;
    for (uint32_t i = 0; i < o->udp_count; i++) {
        const struct udp_listener *l = &o->udp[i];
        s->udp[i] = (struct udp_socket){.fd = l->fds[s->ind],
                                        .port = l->port,
                                        .listener = l->listener,
                                        .amplify = l->amplify,
                                        .last_ones = LAST_BATCHES};
        l->fds[s->ind] = -1;
    }
    return true;
}

void datagrams_teardown(struct shard *s)
{
    for (uint32_t i = 0; i < s->udp_count; i++) {
        if (s->udp[i].fd >= 0)
            close(s->udp[i].fd);
    }
    free(s->udp);
    s->udp = NULL;
    s->udp_count = 0;
}

/* Room for the largest packet and a byte behind it, which shows that there was more, or ends it; and for the longest
 * reply. An odd number of cache lines, so that not all of them begin in the same set. */
static size_t place_size(const struct shard *s, size_t *datagram)
{
    size_t most = 0, reply = 0;
    for (uint32_t i = 0; i < s->udp_count; i++) {
        size_t max = s->service->framing[s->udp[i].listener]->max;
        size_t longest = max * s->udp[i].amplify < UDP_MOST ? max * s->udp[i].amplify : UDP_MOST;
        most = max > most ? max : most;
        reply = longest > reply ? longest : reply;
    }
    *datagram = most + 1;
    size_t place = (reply > *datagram ? reply : *datagram) + 1;
    return ((place + PLACE_ALIGN - 1) / PLACE_ALIGN | 1) * PLACE_ALIGN;
}

bool datagrams_prepare(struct executor *t)
{
    const struct shard *s = t->shard;
    if (s->udp_count == 0)
        return true;
    size_t size, stride = place_size(s, &size);
    struct datagrams *d = NULL;
    size_t front =
        (sizeof *d + s->udp_count * sizeof d->watches[0] + PLACE_ALIGN - 1) / PLACE_ALIGN * PLACE_ALIGN;
    errno = posix_memalign((void **) &d, PLACE_ALIGN, front + UDP_BATCH * stride);
    if (errno != 0)
        return false;
    memset(d, 0, front);
    d->stand_in.pub.owner = &t->pub;
    d->stand_in.pub.bufev = t->discard;
    udp_batch_init(&d->batch, (unsigned char *) d + front, size, stride);
    t->datagrams = d;
    return true;
}

/* Read socket i from now on. */
static bool watch(struct executor *t, uint32_t i)
{
    struct datagram_watch *w = &t->datagrams->watches[i];
    struct udp_socket *u = &t->shard->udp[i];
    w->executor = t;
    w->socket = i;
    u->is_read = event_assign(&w->event, t->pub.base, u->fd, EV_READ | EV_PERSIST, on_datagrams, w) == 0 &&
                 event_add(&w->event, NULL) == 0;
    return u->is_read;
}

bool datagrams_watch(struct executor *t)
{
    bool ok = true;
    for (uint32_t i = 0; ok && i < t->shard->udp_count; i++)
        ok = watch(t, i);
    return ok;
}

/* What the other one had answered goes out. Its datagram is its own for as long as it likes, those behind it are
 * copied. A socket that cannot be watched is closed, so that its senders get to other workers. */
void datagrams_take_over(struct executor *t, struct executor *old)
{
    struct shard *s = t->shard;
    struct datagrams *d = t->datagrams, *was = old->datagrams;
    if (d == NULL)
        return;
    send_replies(s, was);
    for (uint32_t i = was->next; i < was->batch.count; i++)
        udp_copy(&d->batch, &was->batch.at[i]);
    d->socket = was->socket;
    for (uint32_t i = 0; i < s->udp_count; i++) {
        struct udp_socket *u = &s->udp[i];
        if (!u->is_read)
            continue;
        event_del(&was->watches[i].event);
        if (watch(t, i))
            continue;
        slog_err_t(t->pub.qlog, "worker %u: a socket for datagrams cannot be watched: closed", s->ind);
        stream_close(u->fd);
        u->fd = -1;
    }
}
