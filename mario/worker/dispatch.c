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

#include "mario/base/mem.h"
#include "mario/base/clock.h"
#include "mario/base/probe.h"
#include "mario/conn/meter.h"
#include "mario/conn/output.h"
#include "mario/exec/registry.h"
#include "mario/frame/head.h"
#include "mario/exec/reply.h"
#include "mario/net/stream.h"
#include "mario/offload/queue.h"
#include "mario/worker/worker.h"

/* ---- Running functions ---- */

static void begin_functions(struct executor *t, struct conn *c)
{
    mem_take_failure();
    c->pub.out_buf_len = (uint16_t) t->shard->service->max_pkglen;
    executor_begin(t, &c->pub, conn_id(c), conn_address6(c));
    if (reply_length(t) > 0) { /* who kept a pointer to it wrote when it was nobody's */
        t->outside++;
        reply_drain(t);
    }
    c->pub.bufev = t->reply;
}

/* While functions run: c is to end, unless it is already for a reason that weighs as much. */
static void note_close(struct executor *t, enum reason r)
{
    if (t->end_reason == REASON_NONE || conn_is_beyond_sending(r))
        t->end_reason = r;
    reply_cut(t);
}

/* While functions run: send what those of c wrote, with the fence closed; then give their reply back, which is user
 * code again. If an allocation failed in one an answer may be missing: then none is sent, whoever wrote them. c->bufev
 * is the discard afterwards. Does not return if the shard is another's by now. */
static enum reason send_reply(struct executor *t, struct conn *c)
{
    enum reason r = mem_take_failure() ? REASON_no_memory : REASON_NONE;
    c->pub.bufev = t->discard;
    if (reply_length(t) == 0)
        return r;
    if (!fence_close(&t->fence))
        executor_vanish();
    if (r == REASON_NONE)
        r = output_reason(output_send(c));
    fence_open(&t->fence);
    executor_note_again(t);
    reply_drain(t);
    return r;
}

/* The functions of this wake-up have run: send what they wrote, then carry out a close if one was noted, be it by a
 * cleanup. True if the connection is still open. Does not return if the shard is another's by now. */
static bool finish_functions(struct executor *t, struct conn *c)
{
    c->pub.in_buf = NULL;
    c->pub.in_buf_len = 0;
    enum reason r = send_reply(t, c);
    uint16_t last = activity_akg(atomic_load_explicit(&t->activity->what, memory_order_relaxed));
    executor_end(t);
    if (t->outside > 0) {
        output_report_outside(t->shard, last, t->outside);
        t->outside = 0;
    }
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
    if (reply_length(t) <= high)
        return true;
    enum reason r = send_reply(t, c);
    c->pub.bufev = t->reply;
    if (r != REASON_NONE)
        note_close(t, r);
    timing_start(&t->timing); /* sending is no function's time */
    return t->end_reason == REASON_NONE && output_pending(c) <= high;
}

/* ---- A fair share ---- */

#define RX_LATE 16384u /* received at once when the time is up: what is not handed out has to be carried */

void dispatch_begin_pass(struct executor *t)
{
    pace_renew(&t->pace);
}

static void stand_in_line(struct shard *s, struct conn *c)
{
    c->wait = WAIT_LINE;
    c->refs++;
    conn_line_push(s, &s->line, c);
}

/* NULL if nobody stands there. It may be over. */
static struct conn *leave_line(struct shard *s)
{
    struct conn *c = conn_line_pop(s, &s->line);
    if (c != NULL) {
        c->wait = WAIT_NONE;
        conn_release(c);
    }
    return c;
}

void dispatch_line(struct executor *t)
{
    struct shard *s = t->shard;
    uint32_t last = s->line.last; /* who gets behind it stays there for this pass */
    struct conn *c;
    pace_start(&t->pace);
    while (!pace_is_over(&t->pace) && (c = leave_line(s)) != NULL) {
        bool is_last = c->pub.ind + 1 == last;
        if (c->state == CONN_OPEN)
            dispatch_go_on(t, c, true);
        if (is_last)
            return;
    }
}

/* ---- Limits ---- */

#define RX_LEAST \
    2048u /* received at once whatever the limit of packets: what they cannot be yet is carried */
#define RX_A_PACKET 64u /* and as much more for each that may come */

/* It may send more later: it is not read meanwhile. */
static void wait_for_limit(struct conn *c)
{
    c->wait = WAIT_LIMIT;
    stats_add(conn_shard(c)->stats, STAT_limit_paused, 1);
}

/* How much of `most` may be received of c now. If nothing may, it waits. */
static uint32_t may_receive(struct conn *c, uint32_t most)
{
    const struct settings *set = conn_shard(c)->set;
    const struct meter *m = meter_limits(c);
    if (m == NULL || set->limit_closes || (set->limit_packets == 0 && set->limit_bytes == 0))
        return most;
    uint64_t now = clock_ns();
    if (set->limit_bytes != 0) {
        uint32_t room = meter_room(m->bytes_ns, set->limit_bytes, now);
        most = room < most ? room : most;
    }
    if (set->limit_packets != 0) {
        uint64_t packets = meter_room(m->packets_ns, set->limit_packets, now);
        uint64_t room = packets == 0 ? 0 : RX_LEAST + packets * RX_A_PACKET;
        most = room < most ? (uint32_t) room : most;
    }
    if (most == 0) {
        wait_for_limit(c);
        conn_poll(c);
    }
    return most;
}

/* n bytes of c have come. False, and it is closed, if that was too much. */
static bool count_bytes(struct conn *c, uint32_t n)
{
    const struct settings *set = conn_shard(c)->set;
    struct meter *m = meter_limits(c);
    if (m == NULL || set->limit_bytes == 0)
        return true;
    uint64_t now = clock_ns();
    if (set->limit_closes && n > meter_room(m->bytes_ns, set->limit_bytes, now)) {
        conn_close(c, REASON_limit);
        return false;
    }
    meter_take(&m->bytes_ns, set->limit_bytes, n, now);
    return true;
}

/* n whole packets of c were handed out. */
static void count_packets(const struct conn *c, uint32_t n)
{
    const struct settings *set = conn_shard(c)->set;
    struct meter *m = meter_of(c);
    if (m == NULL || n == 0)
        return;
    m->waits = false;
    if (set->limit_packets != 0)
        meter_take(&m->packets_ns, set->limit_packets, n, clock_ns());
}

/* ---- Handing out ---- */

/* Bytes received, on their way to the functions. */
struct batch {
    unsigned char *data;      /* the packet in front */
    uint32_t n;               /* bytes from there on */
    uint32_t seen;            /* of that packet's, those its framing was asked about before */
    struct mario_frame frame; /* what it said of that packet */
    bool late;                /* the time of this wake-up is up: the rest has to wait */
    bool metered;             /* its packets are counted: */
    bool limited;             /* there were more than might be handed out: likewise */
    bool closes;              /* and that is the end */
    uint32_t allowed;         /* how many may be */
};

/* What stands in front of data[0 .. n-1]. HEAD+Data is looked at in place, as that is done for each packet. */
static inline enum mario_frame_answer ask(const struct mario_framing *framing, unsigned char *data,
                                          uint32_t n, uint32_t seen, struct mario_frame *frame)
{
    if (framing->next == head_next)
        return head_look(framing, data, n, frame);
    *frame = (struct mario_frame){.need = 0};
    enum mario_frame_answer answer = framing->next(framing, NULL, data, n, seen, frame);
    if (answer != MARIO_FRAME_MORE || (n < framing->max && frame->need <= framing->max))
        return answer;
    frame->fault = REASON_bad_length;
    return MARIO_FRAME_BAD;
}

static const struct mario_framing *framing_of(const struct conn *c)
{
    return conn_shard(c)->service->framing[c->listener];
}

/* The packet in front is done with. */
static inline void step(struct batch *b)
{
    b->data += b->frame.need;
    b->n -= b->frame.need;
    b->seen = 0;
}

/* The function of a packet has returned an error. */
static void failed(struct executor *t, uint16_t id)
{
    timing_error(&t->timing, id);
    if (t->end_reason == REASON_NONE)
        note_close(t, REASON_function_error);
}

/* A packet to its function; `rest` bytes stand behind it. True to go on with the next one. Read as text it ends where
 * it ends: behind it may stand what others have sent. Where that is long enough it is put back in one piece: the next
 * head is read from it at once, for which a processor need not wait if one store wrote all of it. Inlined whatever the
 * compiler thinks the probes weigh: it counts the lines of their notes. */
static inline __attribute__((always_inline)) bool call(struct executor *t, struct conn *c, FUNC_PTR f,
                                                       unsigned char *packet, uint32_t len, uint16_t id,
                                                       size_t rest)
{
    unsigned char *end = packet + len;
    uint64_t behind;
    if (rest >= sizeof behind)
        memcpy(&behind, end, sizeof behind);
    else
        behind = *end;
    *end = 0;
    c->pub.in_buf = (char *) packet;
    c->pub.in_buf_len = (uint16_t) len;
    executor_note(t, ACTIVITY_PACKET, id);
    PROBE3(packet__start, &c->pub, id, len);
    int32_t rc = f(&c->pub);
    PROBE1(packet__end, rc);
    if (rest >= sizeof behind)
        memcpy(end, &behind, sizeof behind);
    else
        *end = (unsigned char) behind;
    if (rc != 0)
        failed(t, id);
    return t->end_reason == REASON_NONE;
}

/* How many packets of c may be handed out now. Before its functions run: then the shard may be another's. */
static void set_allowed(const struct conn *c, struct batch *b)
{
    const struct settings *set = conn_shard(c)->set;
    const struct meter *m = meter_of(c);
    b->metered = m != NULL && (m->waits || set->limit_packets != 0);
    if (!b->metered)
        return;
    b->closes = set->limit_closes;
    b->allowed = set->limit_packets == 0 || c->stopping
                     ? UINT32_MAX
                     : meter_room(m->packets_ns, set->limit_packets, clock_ns());
}

/* c may have no more packets handed out. */
static void reach_limit(struct executor *t, struct batch *b)
{
    if (b->closes)
        note_close(t, REASON_limit);
    else
        b->limited = true;
}

/* The work of hand_out(), compiled three times: for HEAD+Data alone, of which it is known that a packet is the whole of
 * its bytes, if packets are not timed and if they are; and for all else, packets that are limited too. */
static inline __attribute__((always_inline)) bool hand_out_as(struct executor *t, struct conn *c,
                                                              struct batch *b, const bool is_head,
                                                              const bool is_timed, const bool is_limited)
{
    const struct mario_framing *framing = framing_of(c);
    const FUNC_PTR *funcs = t->shard->service->funcs;
    const size_t high = t->shard->set->output_high;
    unsigned char *at = b->data, *const limit = at + b->n;
    uint64_t packets = 0;
    bool more = true, away = false;
    executor_hands_out(t);
    while (more && at < limit) {
        uint32_t n = (uint32_t) (limit - at);
        enum mario_frame_answer answer =
            is_head ? head_look(framing, at, n, &b->frame) : ask(framing, at, n, b->seen, &b->frame);
        FUNC_PTR f = answer == MARIO_FRAME_OK ? funcs[b->frame.id] : NULL;
        away = f == registry_offloaded;
        if (f == NULL) {
            if (answer != MARIO_FRAME_MORE)
                note_close(t, answer == MARIO_FRAME_BAD ? (enum reason) b->frame.fault : REASON_unknown_akg);
            b->seen = n;
        }
        if (is_limited && f != NULL && packets == b->allowed) {
            reach_limit(t, b);
            away = false;
            break;
        }
        if (f == NULL || away)
            break;
        packets++;
        unsigned char *packet = is_head ? at : at + b->frame.at;
        uint32_t len = b->frame.len;
        at += b->frame.need;
        b->seen = 0;
        more = call(t, c, f, packet, len, b->frame.id, (size_t) (limit - packet) - len);
        if (is_timed)
            executor_timed(t, b->frame.id);
        more = more && !fence_is_lost(&t->fence) && room_for_more(t, c, high);
        if (pace_step(&t->pace) && at < limit) {
            b->late = pace_look(&t->pace);
            more = more && !b->late;
            executor_look(t, t->pace.looked, (uint32_t) packets);
        }
    }
    executor_handed(t, (uint32_t) packets);
    b->n = (uint32_t) (limit - at);
    b->data = at;
    bool open = finish_functions(t, c);
    if (is_limited)
        count_packets(c, (uint32_t) packets);
    stats_add(t->shard->stats, STAT_packets_in, packets);
    if (packets > 0)
        conn_note_packet(t->shard, c,
                         activity_akg(atomic_load_explicit(&t->activity->what, memory_order_relaxed)));
    return open && away;
}

/* Call the inline functions for the whole packets in front; step behind them. True if the packet that then stands in
 * front, which is whole, is for an offloaded function. */
static bool hand_out(struct executor *t, struct conn *c, struct batch *b)
{
    bool is_head = framing_of(c)->next == head_next, is_timed = timing_is_due(&t->timing);
    if (!is_head || b->metered)
        return hand_out_as(t, c, b, false, is_timed, b->metered);
    return is_timed ? hand_out_as(t, c, b, true, true, false) : hand_out_as(t, c, b, true, false, false);
}

/* The packet in front goes to its offloaded function. True to go on with the next one. */
static bool hand_over(struct conn *c, struct batch *b)
{
    enum queue_answer answer = queue_send(c, &b->frame, b->data);
    if (answer == QUEUE_NO_MEMORY)
        conn_close(c, REASON_no_memory);
    if (answer != QUEUE_SENT) {
        b->seen = b->frame.need;
        return false;
    }
    stats_add(conn_shard(c)->stats, STAT_packets_in, 1);
    count_packets(c, 1);
    conn_note_packet(conn_shard(c), c, b->frame.id);
    step(b);
    return c->wait == WAIT_NONE && b->n > 0;
}

/* Hand out whole packets of the batch until something is in the way. True if the connection is still open. */
static bool hand_out_all(struct executor *t, struct conn *c, struct batch *b)
{
    bool away;
    do {
        set_allowed(c, b);
        begin_functions(t, c);
        away = hand_out(t, c, b);
    } while (away && hand_over(c, b));
    return c->state == CONN_OPEN;
}

/* Keep what is left of the batch, if anything is. */
static bool keep_rest(struct conn *c, const struct batch *b)
{
    c->seen = (uint16_t) b->seen;
    return b->n == 0 || conn_carry(c, b->data, b->n);
}

/* Hand out the whole packets of a batch; keep the rest. `since` is when its first byte came. */
static void consume(struct executor *t, struct conn *c, struct batch *b, uint32_t since)
{
    struct shard *s = t->shard;
    const unsigned char *start = b->data;
    pace_begin(&t->pace, b->n);
    bool open = hand_out_all(t, c, b), kept = open && keep_rest(c, b);
    if (open && !kept && b->late) { /* without memory to wait in it cannot wait */
        b->late = false;
        pace_ignore(&t->pace);
        open = hand_out_all(t, c, b);
        kept = open && keep_rest(c, b);
    }
    if (!open)
        return;
    if (!kept) {
        conn_close(c, REASON_no_memory);
        return;
    }
    c->packet_since = b->data == start ? since : s->tick;
    if (b->limited && c->wait == WAIT_NONE)
        wait_for_limit(c);
    if (output_pending(c) > s->set->output_high)
        pause_reading(s, c);
    else if (b->late && b->n > 0 && c->wait == WAIT_NONE)
        stand_in_line(s, c);
    if (b->n > 0 || c->outbox != NULL || c->wait != WAIT_NONE)
        conn_poll(c);
}

/* Hand out what was carried, which is dropped, and the n bytes that stand behind the front of the receive buffer. */
static void consume_carried(struct executor *t, struct conn *c, uint32_t n, uint32_t since)
{
    uint32_t len = c->carry_len;
    struct batch b = {.data = t->rx + RX_FRONT, .n = n, .seen = 0};
    CHECK(len <= RX_FRONT || (n == 0 && len <= RX_FRONT + RX_SIZE));
    b.data = n > 0 ? b.data - len : t->rx;
    if (len > 0) {
        memcpy(b.data, c->carry, len);
        b.n += len;
        b.seen = c->seen;
        conn_carry_drop(c);
    }
    consume(t, c, &b, since);
}

/* What stands in front of the carry. */
static enum mario_frame_answer ask_carried(struct conn *c, struct mario_frame *frame)
{
    enum mario_frame_answer answer = ask(framing_of(c), c->carry, c->carry_len, c->seen, frame);
    c->seen = (uint16_t) (answer == MARIO_FRAME_OK ? frame->need : c->carry_len);
    return answer;
}

/* *n bytes have come into the receive buffer. True if the packet in the carry is still not whole: they stand there now.
 * So a trickle is only appended, and none of its bytes looked at twice: it stays linear whatever the packet's length.
 * *n is 0 if they were put there although it is whole. */
static bool is_still_short(struct executor *t, struct conn *c, uint32_t *n)
{
    struct mario_frame frame;
    if (ask_carried(c, &frame) != MARIO_FRAME_MORE || (frame.need != 0 && frame.need - c->carry_len <= *n))
        return false;
    if (!conn_carry(c, t->rx + RX_FRONT, *n)) {
        conn_close(c, REASON_no_memory);
        return true;
    }
    *n = 0;
    return frame.need != 0 || ask_carried(c, &frame) == MARIO_FRAME_MORE;
}

/* n bytes have come into the receive buffer, behind its front. */
static void received(struct executor *t, struct conn *c, uint32_t n)
{
    struct shard *s = t->shard;
    uint32_t since = s->tick;
    c->last_rx = s->tick;
    stats_add(s->stats, STAT_bytes_in, n);
    if (c->stopping)
        c->stop_bytes = n < c->stop_bytes ? c->stop_bytes - n : 0;
    if (c->carry_len > 0) {
        since = c->packet_since;
        if (is_still_short(t, c, &n))
            return;
    }
    consume_carried(t, c, n, since);
}

bool dispatch_receive(struct executor *t, struct conn *c)
{
    if (!conn_has_socket(c)) {
        conn_close(c, REASON_fd_closed);
        return false;
    }
    uint32_t most = may_receive(c, t->pace.is_up ? RX_LATE : RX_SIZE);
    if (most == 0)
        return false;
    ssize_t n = stream_read(c->pub.fd, t->rx + RX_FRONT, most);
    if (n > 0) {
        if (count_bytes(c, (uint32_t) n))
            received(t, c, (uint32_t) n);
        return true;
    }
    if (n == 0 && c->refs > 0) {
        c->fin = true; /* what it has asked for is still answered */
        conn_poll(c);
    } else if (n == 0)
        conn_close(c, REASON_peer_closed);
    else if (errno != EAGAIN && errno != EINTR)
        conn_close(c, stream_is_gone(errno)      ? REASON_fd_closed
                      : stream_is_silence(errno) ? REASON_peer_dead
                                                 : REASON_reset);
    return false;
}

/* What was in the way is gone: hand out what waited in the carry, then read again, unless something else is. */
static void resume_reading(struct executor *t, struct conn *c)
{
    uint32_t now = t->shard->tick;
    c->paused = false;
    c->last_rx = now; /* we did not listen: silence starts now */
    if (c->carry_len > 0 && c->wait == WAIT_NONE)
        consume_carried(t, c, 0, now);
}

void dispatch_send_more(struct executor *t, struct conn *c)
{
    enum reason r = output_reason(output_flush(c));
    if (r != REASON_NONE)
        conn_close(c, r);
    if (c->state == CONN_DRAINING && c->outbox == NULL)
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

void dispatch_limit(struct executor *t, struct conn *c)
{
    if (stream_has_failed(c->pub.fd)) { /* nobody is told: the socket is not watched meanwhile */
        conn_close(c, REASON_reset);
        return;
    }
    if (meter_wait(c) > 0) {
        conn_arm(c);
        return;
    }
    c->wait = WAIT_NONE;
    dispatch_go_on(t, c, true);
}

/* ---- Beginning and stopping ---- */

/* A function that is for no packet has answered rc. True if c is still open. */
static bool finish_call(struct executor *t, struct conn *c, int32_t rc)
{
    if (rc != 0 && t->end_reason == REASON_NONE)
        note_close(t, REASON_function_error);
    bool open = finish_functions(t, c);
    if (open && c->outbox != NULL) {
        if (!c->paused && output_pending(c) > t->shard->set->output_high)
            pause_reading(t->shard, c);
        conn_poll(c);
    }
    return open;
}

void dispatch_greet(struct executor *t, struct conn *c)
{
    c->greeted = true;
    begin_functions(t, c);
    executor_note(t, ACTIVITY_CONNECTED, g_akg_connected_id);
    int32_t rc = registry_run_hook(g_akg_connected_id, &c->pub);
    executor_ran(t, g_akg_connected_id, rc);
    finish_call(t, c, rc);
}

bool dispatch_call(struct executor *t, struct conn *c, int32_t (*f)(CONN *c, void *arg), void *arg)
{
    begin_functions(t, c);
    executor_note(t, ACTIVITY_CALL, 0);
    int32_t rc = f(&c->pub, arg);
    executor_ran(t, TIMING_CALL, rc);
    return finish_call(t, c, rc);
}

void dispatch_alone(struct executor *t, void (*f)(void *arg), void *arg)
{
    executor_begin_alone(t);
    executor_note(t, ACTIVITY_CALL, 0);
    f(arg);
    executor_ran(t, TIMING_CALL, 0);
    executor_end(t);
}

void dispatch_stop(struct executor *t, struct conn *c)
{
    if (c->wait == WAIT_LIMIT) { /* nothing limits it any more */
        dispatch_limit(t, c);
        return;
    }
    while (conn_is_read(c) && c->stop_bytes > 0) {
        if (!dispatch_receive(t, c))
            c->stop_bytes = 0;
    }
    if (!conn_is_read(c) || c->refs > 0)
        return;
    if (worker_of(t->shard)->stopping)
        conn_close(c, REASON_stop);
    else
        leaving_close(t, c);
}
