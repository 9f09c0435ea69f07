/*
 * dispatch.c: a packet's way: from the socket into the receive buffer, to the functions, and their answers out again.
 * Runs on the thread whose executor it is; nothing here may be called from elsewhere.
 *
 * dispatch_receive -> received -> consume -> the function -> finish_functions -> output_send. While a function
 * of c runs, executor.conn is c and c->bufev is the reply; a close is then only noted in the executor and
 * carried out by finish_functions. Wherever user code is called the shard is in order, as if that connection
 * had just been given to somebody else: another thread may take it over right there (executor.h).
 */
#include "mario/worker/dispatch.h"

#include <errno.h>
#include <string.h>

#include <event2/buffer.h>

#include "mario/base/mem.h"
#include "mario/conn/output.h"
#include "mario/exec/registry.h"
#include "mario/exec/reply.h"
#include "mario/net/stream.h"
#include "mario/offload/queue.h"

/* ---- Running functions ---- */

static void begin_functions(struct executor *t, struct conn *c)
{
    mem_take_failure();
    c->pub.bufev = t->reply;
    c->pub.out_buf_len = (uint16) t->shard->set->codec.max_pkglen;
    executor_begin(t, &c->pub, conn_id(c), conn_address6(c));
}

/* While functions run: c is to end, unless it is already for a reason that weighs as much. */
static void note_close(struct executor *t, enum reason r)
{
    if (t->end_reason == REASON_NONE || conn_is_beyond_sending(r))
        t->end_reason = r;
    reply_cut(t);
}

/* Send what the functions of c wrote. If an allocation failed in one an answer may be missing: then none is
 * sent, whoever wrote them. */
static enum reason send_reply(struct executor *t, struct conn *c)
{
    bool incomplete = mem_take_failure();
    if (incomplete)
        t->reply_keep = 0;
    enum reason r = output_reason(output_send(c));
    return incomplete ? REASON_no_memory : r;
}

/* The functions of this wake-up have run: send what they wrote, then carry out a close if one was noted. True
 * if the connection is still open. Does not return if the shard is another's by now. */
static bool finish_functions(struct executor *t, struct conn *c)
{
    executor_end(t);
    c->pub.bufev = NULL;
    c->pub.in_buf = NULL;
    c->pub.in_buf_len = 0;
    enum reason r = send_reply(t, c);
    if (r == REASON_NONE)
        r = t->end_reason;
    if (r != REASON_NONE)
        conn_close(c, r);
    return c->state == CONN_OPEN;
}

/* Too much is pending: stop reading this connection; what it has sent waits in its carry. */
static void pause_reading(struct shard *s, struct conn *c)
{
    c->paused = true;
    stats_add(s->stats, STAT_output_paused, 1);
}

/* Between two packets: do not let the reply grow beyond output.high. True to go on with the next packet. */
static bool room_for_more(struct executor *t, struct conn *c, size_t high)
{
    if (evbuffer_get_length(t->reply_buf) <= high)
        return true;
    if (!fence_close(&t->fence))
        executor_vanish();
    enum reason r = send_reply(t, c);
    bool room = r == REASON_NONE && output_pending(c) <= high;
    fence_open(&t->fence);
    if (r != REASON_NONE)
        note_close(t, r);
    return room;
}

static enum reason reason_of(enum codec_fault f)
{
    return f == CODEC_FAULT_STX      ? REASON_bad_stx
           : f == CODEC_FAULT_LENGTH ? REASON_bad_length
                                     : REASON_unknown_akg;
}

/* One packet to its function. True to go on with the next one. */
static bool call(struct executor *t, struct conn *c, FUNC_PTR f, const struct packet *p, unsigned char *data)
{
    c->pub.in_buf = (char *) data;
    c->pub.in_buf_len = (uint16) p->len;
    executor_note(t, ACTIVITY_PACKET, p->akg_id);
    sint32 rc = f(&c->pub);
    if (rc != 0 && t->end_reason == REASON_NONE)
        note_close(t, REASON_function_error);
    return t->end_reason == REASON_NONE;
}

/* Call the inline functions for the whole packets in data[0 .. *n-1]; move both behind what was handed out. True if
 * the packet that then stands in front, *p, is for an offloaded function. */
static bool hand_out(struct executor *t, struct conn *c, unsigned char **data, size_t *n, struct packet *p)
{
    const struct settings *set = t->shard->set;
    uint64_t packets = 0;
    bool more = true, away = false;
    while (more && *n > 0) {
        enum codec_answer answer = codec_next(&set->codec, *data, *n, p);
        if (answer == CODEC_BAD)
            note_close(t, reason_of(p->fault));
        if (answer != CODEC_OK)
            break;
        FUNC_PTR f = set->codec.funcs[p->akg_id];
        away = f == registry_offloaded;
        if (away)
            break;
        packets++;
        more = call(t, c, f, p, *data) && !fence_is_lost(&t->fence) && room_for_more(t, c, set->output_high);
        *data += p->len;
        *n -= p->len;
    }
    bool open = finish_functions(t, c);
    stats_add(t->shard->stats, STAT_packets_in, packets);
    return open && away;
}

/* The packet in front goes to its offloaded function. True to go on with the next one. */
static bool hand_over(struct conn *c, const struct packet *p, unsigned char **data, size_t *n)
{
    enum queue_answer answer = queue_send(c, p, *data);
    if (answer == QUEUE_NO_MEMORY)
        conn_close(c, REASON_no_memory);
    if (answer != QUEUE_SENT)
        return false;
    stats_add(conn_shard(c)->stats, STAT_packets_in, 1);
    *data += p->len;
    *n -= p->len;
    return c->wait == WAIT_NONE && *n > 0;
}

/* Hand out the whole packets in data[0 .. n-1]; keep the rest. `since` is when its first byte came. */
static void consume(struct executor *t, struct conn *c, unsigned char *data, size_t n, uint32_t since)
{
    struct shard *s = t->shard;
    const unsigned char *start = data;
    struct packet p;
    bool away;
    do {
        begin_functions(t, c);
        away = hand_out(t, c, &data, &n, &p);
    } while (away && hand_over(c, &p, &data, &n));
    if (c->state != CONN_OPEN)
        return;
    if (n > 0) {
        c->packet_since = data == start ? since : s->tick;
        if (!conn_carry(c, data, n)) {
            conn_close(c, REASON_no_memory);
            return;
        }
    }
    if (output_pending(c) > s->set->output_high)
        pause_reading(s, c);
    if (n > 0 || c->backlog != NULL || c->wait != WAIT_NONE)
        conn_poll(c);
}

/* Bytes that must still come before the packet in the carry is whole: at least 1. */
static size_t carry_lacks(const struct shard *s, const struct conn *c)
{
    struct packet p;
    if (codec_next(&s->set->codec, c->carry, c->carry_len, &p) == CODEC_MORE && p.len > c->carry_len)
        return p.len - c->carry_len;
    return 1;
}

/* n bytes have come into the receive buffer, behind its front. */
static void received(struct executor *t, struct conn *c, size_t n)
{
    struct shard *s = t->shard;
    unsigned char *data = t->rx + RX_FRONT;
    uint32_t since = s->tick;
    c->last_rx = s->tick;
    stats_add(s->stats, STAT_bytes_in, n);
    if (c->stopping)
        c->stop_bytes = n < c->stop_bytes ? c->stop_bytes - (uint32_t) n : 0;
    if (c->carry_len > 0) {
        if (n < carry_lacks(s, c)) { /* a trickle is only appended: linear whatever the packet's length */
            if (!conn_carry(c, data, n))
                conn_close(c, REASON_no_memory);
            return;
        }
        size_t len = c->carry_len;
        CHECK(len <= RX_FRONT);
        data -= len;
        n += len;
        since = c->packet_since;
        memcpy(data, c->carry, len);
        conn_carry_drop(c);
    }
    consume(t, c, data, n, since);
}

bool dispatch_receive(struct executor *t, struct conn *c)
{
    ssize_t n = stream_read(c->pub.fd, t->rx + RX_FRONT, RX_SIZE);
    if (n > 0) {
        received(t, c, (size_t) n);
        return true;
    }
    if (n == 0 && c->refs > 0) {
        c->fin = true; /* what it has asked for is still answered */
        conn_poll(c);
    } else if (n == 0)
        conn_close(c, REASON_peer_closed);
    else if (errno != EAGAIN && errno != EINTR)
        conn_close(c, stream_is_silence(errno) ? REASON_peer_dead : REASON_reset);
    return false;
}

/* What was in the way is gone: hand out what waited in the carry, then read again, unless something else is. */
static void resume_reading(struct executor *t, struct conn *c)
{
    uint32_t now = t->shard->tick;
    c->paused = false;
    c->last_rx = now; /* we did not listen: silence starts now */
    size_t len = c->carry_len;
    if (len == 0 || c->wait != WAIT_NONE)
        return;
    CHECK(len <= RX_FRONT + RX_SIZE);
    memcpy(t->rx, c->carry, len);
    conn_carry_drop(c);
    consume(t, c, t->rx, len, now);
}

void dispatch_send_more(struct executor *t, struct conn *c)
{
    enum reason r = output_reason(output_flush(c));
    if (r != REASON_NONE)
        conn_close(c, r);
    if (c->state == CONN_DRAINING && c->backlog == NULL)
        conn_end(c, (enum reason) c->reason);
    if (c->state == CONN_CLOSING)
        return;
    if (c->paused && output_pending(c) <= t->shard->set->output_high)
        resume_reading(t, c);
    if (c->state != CONN_CLOSING)
        conn_poll(c);
}

/* ---- Offloaded functions ---- */

void dispatch_go_on(struct executor *t, struct conn *c, bool waited)
{
    if (!c->paused && output_pending(c) > t->shard->set->output_high)
        pause_reading(t->shard, c);
    if (waited && !c->paused)
        resume_reading(t, c);
    if (c->state == CONN_OPEN || c->state == CONN_DRAINING)
        conn_poll(c);
    if (c->stopping && c->state == CONN_OPEN)
        dispatch_stop(t, c);
}

/* ---- Beginning and stopping ---- */

void dispatch_greet(struct executor *t, struct conn *c)
{
    c->greeted = true;
    begin_functions(t, c);
    executor_note(t, ACTIVITY_CONNECTED, g_akg_connected_id);
    sint32 rc = registry_run_hook(g_akg_connected_id, &c->pub);
    if (rc != 0 && t->end_reason == REASON_NONE)
        note_close(t, REASON_function_error);
    if (finish_functions(t, c) && c->backlog != NULL) {
        if (output_pending(c) > t->shard->set->output_high)
            pause_reading(t->shard, c);
        conn_poll(c);
    }
}

void dispatch_stop(struct executor *t, struct conn *c)
{
    while (conn_is_read(c) && c->stop_bytes > 0) {
        if (!dispatch_receive(t, c))
            c->stop_bytes = 0;
    }
    if (conn_is_read(c) && c->refs == 0)
        conn_close(c, REASON_stop);
}
