/*
 * dispatch.c: a packet's way: from the socket into the receive buffer, to the functions, and their answers out again.
 * Runs on the thread whose executor it is; nothing here may be called from elsewhere.
 *
 * dispatch_receive -> received -> consume -> handout -> the function -> functions_finish -> output_send. What of it
 * is user code, and what holds where that is called, is in handout.c and functions.c. Over TLS what has come is opened
 * in the receive buffer first (conn/secure.c): dispatch_receive -> receive_sealed -> opened -> received.
 *
 * What is left of a packet is carried. A framing that is ours is asked there whether it is whole by now, as it touches
 * nothing but these bytes; then it is put into the receive buffer, in front of what has come. A guest is asked in one
 * place only, where functions run, and by then the carry must not be the connection's any more, for whoever takes the
 * shard over ends that: so it is put in front of what has come, or, if it is the longer of the two, it is lent to the
 * executor as it is, with what has come behind it.
 */
#include "mario/worker/dispatch.h"

#include <errno.h>
#include <string.h>

#include "mario/base/clock.h"
#include "mario/base/mem.h"
#include "mario/conn/meter.h"
#include "mario/conn/output.h"
#include "mario/conn/secure.h"
#include "mario/frame/framings.h"
#include "mario/frame/ws.h"
#include "mario/net/stream.h"
#include "mario/worker/handout.h"
#include "mario/worker/urgent.h"
#include "mario/worker/worker.h"

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

/* What every request passes through is inlined, though it is called for TLS, too. */
#define ALWAYS_INLINE inline __attribute__((always_inline))

/* n bytes of c have come. False, and it is closed, if that was too much. */
static ALWAYS_INLINE bool count_bytes(struct conn *c, uint32_t n)
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

/* ---- Handing out ---- */

/* What a guest has said of the packet in front, which is carried. */
static void keep_answer(struct conn *c, const struct batch *b)
{
    const struct mario_frame *f = &b->frame;
    conn_ext(conn_shard(c), c)->frame =
        b->whole
            ? (struct conn_frame){.need = f->need, .whole = true, .id = f->id, .at = f->at, .len = f->len}
            : (struct conn_frame){.need = b->seen > 0 ? b->need : 0};
}

/* Keep what is left of the batch, if anything is. */
static bool keep_rest(struct executor *t, struct conn *c, const struct batch *b)
{
    c->seen = (uint16_t) b->seen;
    if (b->n == 0)
        return true;
    if (handout_is_guest(c))
        keep_answer(c, b);
    if (b->data != t->lent)
        return conn_carry(c, b->data, b->n);
    c->carry = t->lent;
    c->carry_len = b->n;
    t->lent = NULL;
    return true;
}

/* Hand out the whole packets of a batch. True if the connection is still open. */
static bool hand_out(struct executor *t, struct conn *c, struct batch *b)
{
    bool open = handout(t, c, b);
    if (open && b->greets && ws_is_open(conn_ext(t->shard, c)->state))
        open = functions_greet(t, c) && (b->n == 0 || handout(t, c, b));
    return open;
}

/* Whether what is left of a batch is what stood in front when it began: skipping what stands between the parts of a
 * message gives that no more time. */
static bool is_same_packet(const struct conn *c, const struct batch *b, const unsigned char *start)
{
    const struct shard *s = conn_shard(c);
    return b->data == start || (b->n > 0 && !b->handed && s->service->ends[c->listener] == ws_ends &&
                                ws_is_amid(conn_ext(s, c)->state));
}

/* Hand out the whole packets of a batch; keep the rest. `since` is when its first byte came. */
static void consume(struct executor *t, struct conn *c, struct batch *b, uint32_t since)
{
    struct shard *s = t->shard;
    const unsigned char *start = b->data;
    pace_begin(&t->pace, b->n);
    bool open = hand_out(t, c, b), kept = open && keep_rest(t, c, b);
    if (open && !kept && b->late) { /* without memory to wait in it cannot wait */
        b->late = false;
        pace_ignore(&t->pace);
        open = hand_out(t, c, b);
        kept = open && keep_rest(t, c, b);
    }
    if (!open)
        return;
    if (!kept) {
        conn_close(c, REASON_no_memory);
        return;
    }
    c->packet_since = is_same_packet(c, b, start) ? since : s->tick;
    if (b->limited && c->wait == WAIT_NONE)
        wait_for_limit(c);
    if (output_pending(c) > s->set->output_high)
        conn_pause(s, c);
    else if (b->late && b->n > 0 && c->wait == WAIT_NONE)
        stand_in_line(s, c);
    if (b->n > 0 || c->outbox != NULL || c->wait != WAIT_NONE)
        conn_poll(c);
}

/* What was said of the packet in the carry, where it is asked in one place only. */
static void recall_answer(const struct conn *c, struct batch *b)
{
    const struct conn_frame *f = &conn_ext(conn_shard(c), c)->frame;
    b->need = f->need;
    b->whole = f->whole;
    if (f->whole)
        b->frame = (struct mario_frame){.need = f->need, .at = f->at, .len = f->len, .id = f->id};
}

/* Whether a guest has not said yet of all that is carried that more must come. */
static bool has_news(const struct conn *c)
{
    return c->seen < c->carry_len || conn_ext(conn_shard(c), c)->frame.whole;
}

/* Hand out what was carried, where it is; the executor has it meanwhile, and behind it the rest goes. */
static void consume_lent(struct executor *t, struct conn *c, uint32_t since)
{
    struct batch b = {.data = c->carry, .n = c->carry_len, .seen = c->seen};
    recall_answer(c, &b);
    t->lent = c->carry;
    c->carry = NULL;
    c->carry_len = 0;
    consume(t, c, &b, since);
    mem_free(t->lent);
    t->lent = NULL;
}

/* Hand out what was carried, which is dropped, and the n bytes that stand behind the front of the receive buffer. */
static void consume_carried(struct executor *t, struct conn *c, uint32_t n, uint32_t since)
{
    uint32_t len = c->carry_len;
    struct batch b = {.data = t->rx + RX_FRONT, .n = n, .seen = 0};
    if (n == 0 && handout_is_guest(c)) {
        c->packet_since = since;
        if (has_news(c))
            consume_lent(t, c, since);
        return;
    }
    CHECK(len <= RX_FRONT || (n == 0 && len <= RX_FRONT + RX_SIZE));
    b.data = n > 0 ? b.data - len : t->rx;
    if (len > 0) {
        memcpy(b.data, c->carry, len);
        b.n += len;
        b.seen = c->seen;
        if (handout_is_guest(c))
            recall_answer(c, &b);
        conn_carry_drop(c);
    }
    consume(t, c, &b, since);
}

/* What stands in front of the carry. */
static enum mario_frame_answer ask_carried(struct conn *c, struct mario_frame *frame)
{
    enum mario_frame_answer answer = handout_ask(framing_of(c), c->carry, c->carry_len, c->seen, frame);
    c->seen = (uint16_t) (answer == MARIO_FRAME_OK ? frame->need : c->carry_len);
    return answer;
}

/* Put the *n bytes that have come into the receive buffer behind what is carried: then *n is 0. False without memory,
 * and c is closed. */
static bool append(struct executor *t, struct conn *c, uint32_t *n)
{
    bool ok = conn_carry(c, t->rx + RX_FRONT, *n);
    if (!ok)
        conn_close(c, REASON_no_memory);
    *n = 0;
    return ok;
}

/* *n bytes have come into the receive buffer. True if the packet in the carry is still not whole: they stand there now.
 * So a trickle is only appended, and none of its bytes looked at twice: it stays linear whatever the packet's length.
 * *n is 0 if they were put there although it is whole. */
static bool is_still_short(struct executor *t, struct conn *c, uint32_t *n)
{
    struct mario_frame frame;
    if (ask_carried(c, &frame) != MARIO_FRAME_MORE || (frame.need != 0 && frame.need - c->carry_len <= *n))
        return false;
    return !append(t, c, n) || frame.need != 0 || ask_carried(c, &frame) == MARIO_FRAME_MORE;
}

/* The same if that is a guest's to say: as far as it has said it. What is shorter than what has come, and fits, is put
 * in front of that: so nothing is moved more often than once for each byte that comes. */
static bool is_short_for_guest(struct executor *t, struct conn *c, uint32_t *n)
{
    uint32_t need = conn_ext(t->shard, c)->frame.need;
    bool is_short = need != 0 && need - c->carry_len > *n;
    if (!is_short && c->carry_len <= *n && c->carry_len <= RX_FRONT)
        return false;
    return !append(t, c, n) || is_short;
}

/* n bytes have been read. */
static ALWAYS_INLINE void note_bytes(struct shard *s, struct conn *c, uint32_t n)
{
    c->last_rx = s->tick;
    stats_add(s->stats, STAT_bytes_in, n);
    if (c->stopping)
        c->stop_bytes = n < c->stop_bytes ? c->stop_bytes - n : 0;
}

/* n bytes for functions stand in the receive buffer, behind its front. */
static ALWAYS_INLINE void received(struct executor *t, struct conn *c, uint32_t n)
{
    uint32_t since = t->shard->tick;
    if (c->carry_len > 0) {
        since = c->packet_since;
        if (handout_is_guest(c) ? is_short_for_guest(t, c, &n) : is_still_short(t, c, &n))
            return;
    }
    consume_carried(t, c, n, since);
}

/* ---- Its end ---- */

/* The peer has closed. What it had sent before is answered still: then that is the end. */
static void end_if_answered(struct conn *c)
{
    if (c->fin && c->state == CONN_OPEN && c->refs == 0 && c->wait == WAIT_NONE && c->carry_len == 0)
        conn_close(c, REASON_peer_closed);
}

/* Whether the peer's FIN may be somebody else's: of one that speaks TLS close_notify would have come before it. */
static bool note_fin(const struct shard *s, const struct conn *c)
{
    if (s->secure == NULL || !conn_is_tls(c) || secure_of(c)->phase < SECURE_UP || secure_of(c)->ended)
        return false;
    stats_add(s->stats, STAT_tls_truncated, 1);
    return true;
}

/* The peer has closed, and nothing is in the way of what it has sent: what is left is no whole packet. Its framing may
 * take that as the last one all the same: then its end stands behind it, as if it had been sent. Not if somebody else
 * may have cut it there. */
static void receive_fin(struct executor *t, struct conn *c)
{
    unsigned char end[ENDS_BACK];
    bool cut = note_fin(t->shard, c);
    uint32_t n = c->carry_len > 0 && !cut ? framing_eof(framing_of(c), c->carry, c->carry_len, end) : 0;
    c->fin = true;
    if (n > 0 && !conn_carry(c, end, n)) {
        conn_close(c, REASON_no_memory);
        return;
    }
    if (n > 0) {
        consume_carried(t, c, 0, c->packet_since);
    } else if (c->carry_len > 0) {
        stats_add(t->shard->stats, STAT_truncated, 1);
        conn_carry_drop(c);
    }
    end_if_answered(c);
    if (c->state == CONN_OPEN)
        conn_poll(c);
}

/* Nothing was read: n is what reading has said. */
static void receive_nothing(struct executor *t, struct conn *c, ssize_t n)
{
    if (n == 0 && secure_is_broken(c))
        conn_close(c, REASON_reset);
    else if (n == 0)
        receive_fin(t, c);
    else if (errno != EAGAIN && errno != EINTR)
        conn_close(c, stream_is_gone(errno)      ? REASON_fd_closed
                      : stream_is_silence(errno) ? REASON_peer_dead
                                                 : REASON_reset);
}

/* ---- Over TLS ---- */

static bool begin(struct executor *t, struct conn *c);

/* A record has come in part: the rest is owed. `news`: it is the first of that. */
static void owe_record(struct conn *c, bool news)
{
    if (secure_held(c) == 0)
        return;
    if (news && c->carry_len == 0)
        c->packet_since = conn_shard(c)->tick;
    conn_arm(c);
}

/* n bytes of c, which is open, stand opened in the receive buffer, behind its front. `news`: nothing of the record that
 * is not whole has come before. */
static __attribute__((noinline)) void opened(struct executor *t, struct conn *c, uint32_t n, bool news)
{
    if (secure_begins(c) && !begin(t, c))
        return;
    if (n > 0 && conn_is_read(c)) {
        received(t, c, n);
    } else if (n > 0) { /* its connected hook is in the way */
        if (c->carry_len == 0)
            c->packet_since = t->shard->tick;
        if (!conn_carry(c, t->rx + RX_FRONT, n))
            conn_close(c, REASON_no_memory);
    }
    if (secure_has_ended(c) && conn_is_read(c))
        receive_fin(t, c);
    if (c->state == CONN_OPEN)
        owe_record(c, news || n > 0);
}

/* The same as dispatch_receive(). Who begins a handshake has its share of the pass in mind, for it is dear. */
static __attribute__((noinline)) bool receive_sealed(struct executor *t, struct conn *c, uint32_t most)
{
    unsigned char *data = t->rx + RX_FRONT;
    size_t held = secure_held(c), plain;
    bool shakes = secure_is_shaking(c);
    most = most < RX_SIZE - TLS_HELD_MAX ? most : RX_SIZE - TLS_HELD_MAX;
    ssize_t n = stream_read(c->pub.fd, data + held, secure_room(c, most));
    if (n <= 0) {
        receive_nothing(t, c, n);
        return false;
    }
    if (!count_bytes(c, (uint32_t) n))
        return true;
    note_bytes(t->shard, c, (uint32_t) n);
    bool open = secure_received(c, data, (size_t) n, t->pace.is_up, &plain);
    if (shakes)
        pace_is_over(&t->pace);
    if (open)
        opened(t, c, (uint32_t) plain, held == 0);
    return true;
}

void dispatch_shake(struct executor *t)
{
    struct conn *c;
    size_t plain;
    pace_start(&t->pace);
    while ((c = secure_next(t->shard)) != NULL) {
        if (secure_go_on(c, t->rx + RX_FRONT, &plain))
            opened(t, c, (uint32_t) plain, true);
        if (pace_is_over(&t->pace))
            return;
    }
}

/* ---- Receiving ---- */

bool dispatch_receive(struct executor *t, struct conn *c)
{
    if (!conn_has_socket(c)) {
        conn_close(c, REASON_fd_closed);
        return false;
    }
    uint32_t most = may_receive(c, t->pace.is_up ? RX_LATE : RX_SIZE);
    if (most == 0)
        return false;
    if (t->shard->secure != NULL && conn_is_tls(c))
        return receive_sealed(t, c, most);
    bool at_mark = t->shard->service->marks != 0 && urgent_is_next(c);
    ssize_t n = stream_read(c->pub.fd, t->rx + RX_FRONT, most);
    if (n <= 0) {
        receive_nothing(t, c, n);
        return false;
    }
    if (!count_bytes(c, (uint32_t) n))
        return true;
    note_bytes(t->shard, c, (uint32_t) n);
    if (!at_mark || urgent_tell(t, c, (uint32_t) n))
        received(t, c, (uint32_t) n);
    return true;
}

/* What was in the way is gone: hand out what waited in the carry, then read again, unless something else is. */
static void resume_reading(struct executor *t, struct conn *c)
{
    uint32_t now = t->shard->tick;
    c->paused = false;
    c->last_rx = now; /* we did not listen: silence starts now */
    if (c->carry_len > 0 && c->wait == WAIT_NONE)
        consume_carried(t, c, 0, now);
    if (t->shard->secure != NULL && secure_has_ended(c) && conn_is_read(c))
        receive_fin(t, c);
}

void dispatch_send_more(struct executor *t, struct conn *c)
{
    enum reason r = output_reason(output_flush(c));
    if (r != REASON_NONE)
        conn_close(c, r);
    conn_drained(c);
    if (c->state == CONN_CLOSING)
        return;
    if (c->paused && output_pending(c) <= t->shard->set->output_high)
        resume_reading(t, c);
    end_if_answered(c);
    if (c->state != CONN_CLOSING)
        conn_poll(c);
}

/* ---- Offloaded functions ---- */

void dispatch_go_on(struct executor *t, struct conn *c, bool waited)
{
    if (t->shard->secure != NULL && secure_begins(c) && !begin(t, c))
        return;
    if (!c->paused && output_pending(c) > t->shard->set->output_high)
        conn_pause(t->shard, c);
    if (waited && !c->paused)
        resume_reading(t, c);
    end_if_answered(c);
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

/* What comes of c from here on is for its framing. True if it is still open. */
static bool begin(struct executor *t, struct conn *c)
{
    return t->shard->service->ends[c->listener] == ws_ends /* there an upgrade comes first */
           || functions_greet(t, c);
}

void dispatch_begin(struct executor *t, struct conn *c)
{
    if (!conn_is_tls(c)) /* there a handshake comes first */
        begin(t, c);
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
    if ((!conn_is_read(c) || c->refs > 0) && !secure_is_shaking(c)) /* there nothing was asked yet */
        return;
    if (worker_of(t->shard)->stopping)
        conn_close(c, REASON_stop);
    else
        leaving_close(t, c);
}
