/*
 * handout.c: from bytes that were received to the functions they are for. Runs on the thread whose executor it is;
 * nothing here may be called from elsewhere.
 *
 * While a function of c runs, executor.conn is c and c->bufev is the reply; a close is then only noted in the executor
 * and carried out by functions_finish(). Wherever user code is called the shard is in order, as if that connection had
 * just been given to somebody else: another thread may take it over right there (executor.h). A framing that is a guest
 * is such code: it works on what is the executor's, the connection's state too, which is put back behind the fence.
 */
#include "mario/worker/handout.h"

#include <string.h>

#include "mario/base/clock.h"
#include "mario/base/probe.h"
#include "mario/conn/meter.h"
#include "mario/exec/registry.h"
#include "mario/frame/looks.h"
#include "mario/offload/queue.h"

/* ---- Asking a guest ---- */

static struct log_limit nonsense_lines;

static const char *answer_name(enum mario_frame_answer answer)
{
    static const char *const names[] = {"OK", "MORE", "SKIP", "BAD"};
    return (unsigned) answer < sizeof names / sizeof *names ? names[answer] : "no answer there is";
}

/* It has a fault of its own: say what it answered. */
static enum mario_frame_answer refuse_answer(struct executor *t, enum mario_frame_answer answer, uint32_t n,
                                             struct mario_frame *f)
{
    uint32_t held_back = 0;
    if (log_limit_pass(&nonsense_lines, 1, &held_back))
        slog_err_t(t->pub.qlog,
                   "framing %s: %s of %u bytes cannot be: need %u, at %u, len %u, id 0x%04x; closed%s",
                   t->framing->name, answer_name(answer), n, f->need, f->at, f->len, f->id,
                   log_more(held_back).text);
    f->fault = REASON_framing_error;
    return MARIO_FRAME_BAD;
}

static enum mario_frame_answer too_long(struct mario_frame *f)
{
    f->fault = REASON_bad_length;
    return MARIO_FRAME_BAD;
}

static bool takes_some(const struct mario_frame *f, uint32_t n)
{
    return f->need >= 1 && f->need <= n;
}

/* What was answered about n bytes, if that can be. Why one that is not built in finds something BAD is counted as one
 * of our reasons. */
static enum mario_frame_answer judge(struct executor *t, struct batch *b, enum mario_frame_answer answer,
                                     uint32_t n)
{
    struct mario_frame *f = &b->frame;
    const uint32_t max = t->framing->max;
    switch (answer) {
    case MARIO_FRAME_OK:
        if (!takes_some(f, n) || f->at > f->need || f->len > f->need - f->at || f->id >= AKG_FIRST_RESERVED)
            return refuse_answer(t, answer, n, f);
        return f->need > max ? too_long(f) : answer;
    case MARIO_FRAME_SKIP:
        if (!takes_some(f, n))
            return refuse_answer(t, answer, n, f);
        return f->need > max ? too_long(f) : answer;
    case MARIO_FRAME_MORE:
        if (f->need != 0 && f->need <= n)
            return refuse_answer(t, answer, n, f);
        return n >= max || f->need > max ? too_long(f) : answer;
    case MARIO_FRAME_BAD:
        if (t->ends == NULL) {
            b->fault = f->fault >= MARIO_FAULT_OWN ? f->fault : 0;
            f->fault = (uint16_t) frame_fault(f->fault);
        }
        return answer;
    default:
        return refuse_answer(t, answer, n, f);
    }
}

static enum mario_frame_answer ask_guest(struct executor *t, struct batch *b, unsigned char *data, uint32_t n)
{
    const struct mario_framing *framing = t->framing;
    enum mario_frame_answer answer = MARIO_FRAME_OK;
    if (!b->whole) {
        b->frame = (struct mario_frame){.need = 0};
        executor_note_framing(t);
        t->frame_conn = t->conn;
        answer = framing->next(framing, framing->state_size > 0 ? t->frame_state : NULL, data, n, b->seen,
                               &b->frame);
        t->frame_conn = NULL;
        reply_is_framed(t);
        answer = judge(t, b, answer, n);
    }
    b->whole = answer == MARIO_FRAME_OK;
    t->opcode = t->ends != NULL ? t->frame_state[0] : 0; /* see ws.h */
    return answer;
}

/* ---- Handing out ---- */

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

/* The packet in front is done with. */
static inline void step(struct batch *b)
{
    b->data += b->frame.need;
    b->n -= b->frame.need;
    b->seen = 0;
    b->whole = false;
}

/* The packet in front, which is whole, waits. */
static void wait_whole(struct batch *b)
{
    b->seen = b->frame.need;
}

/* The function of a packet has returned an error. */
static void failed(struct executor *t, uint16_t id)
{
    timing_error(&t->timing, id);
    if (t->end_reason == REASON_NONE)
        functions_end_conn(t, REASON_function_error);
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
        functions_end_conn(t, REASON_limit);
    else
        b->limited = true;
}

/* So many of a guest's were taken, and no more may be: it is not asked, since what it skips is taken then. Not where
 * that would be the end: what stands there may be no whole one. */
static bool may_not_ask(struct batch *b, uint64_t taken)
{
    b->limited = !b->closes && !b->whole && taken >= b->allowed;
    return b->limited;
}

/* What stands in front is no packet, or for nobody. */
static void refuse(struct executor *t, struct batch *b, enum mario_frame_answer answer,
                   const unsigned char *data, uint32_t n)
{
    if (answer == MARIO_FRAME_BAD && b->fault == 0)
        b->fault = (uint16_t) frame_looks(data, n);
    functions_end_conn(t, answer == MARIO_FRAME_BAD ? (enum reason) b->frame.fault : REASON_unknown_akg);
}

/* How a framing is asked. */
enum asked { ASKED_HEAD, ASKED_PURE, ASKED_GUEST };

static inline __attribute__((always_inline)) enum mario_frame_answer ask(struct executor *t,
                                                                         const struct mario_framing *framing,
                                                                         struct batch *b, unsigned char *at,
                                                                         uint32_t n, const enum asked how)
{
    return how == ASKED_HEAD   ? head_look(framing, at, n, &b->frame)
           : how == ASKED_PURE ? handout_ask(framing, at, n, b->seen, &b->frame)
                               : ask_guest(t, b, at, n);
}

/* No packet to hand out stands in front of the n bytes at `at`: what is known of it. */
static inline __attribute__((always_inline)) void stop_at(struct executor *t, struct batch *b,
                                                          enum mario_frame_answer answer,
                                                          const unsigned char *at, uint32_t n)
{
    if (answer != MARIO_FRAME_MORE)
        refuse(t, b, answer, at, n);
    b->seen = n;
    b->need = b->frame.need;
}

/* So many packets of c were handed out: send what their functions wrote, and count. True if it is still open. */
static inline __attribute__((always_inline)) bool finish(struct executor *t, struct conn *c, uint64_t packets,
                                                         uint64_t skipped, const bool is_limited)
{
    bool open = functions_finish(t, c);
    if (is_limited)
        count_packets(c, (uint32_t) (packets + skipped));
    stats_add(t->shard->stats, STAT_packets_in, packets);
    if (packets > 0)
        conn_note_packet(t->shard, c,
                         activity_akg(atomic_load_explicit(&t->activity->what, memory_order_relaxed)));
    return open;
}

/* The work of hand_out(), compiled for each way to ask, and more than once for HEAD+Data, of which it is known that a
 * packet is the whole of its bytes: if packets are neither timed nor limited, and if they are timed. */
static inline __attribute__((always_inline)) bool hand_out_as(struct executor *t, struct conn *c,
                                                              struct batch *b, const enum asked how,
                                                              const bool is_timed, const bool is_limited)
{
    const struct mario_framing *framing = t->framing;
    const FUNC_PTR *funcs = t->shard->service->funcs;
    const size_t high = t->shard->set->output_high;
    unsigned char *at = b->data, *const limit = at + b->n;
    uint64_t packets = 0, skipped = 0;
    bool more = true, away = false;
    executor_hands_out(t);
    while (more && at < limit) {
        uint32_t n = (uint32_t) (limit - at);
        if (how == ASKED_GUEST && is_limited && may_not_ask(b, packets + skipped))
            break;
        enum mario_frame_answer answer = ask(t, framing, b, at, n, how);
        if (how == ASKED_GUEST && (t->end_reason != REASON_NONE || fence_is_lost(&t->fence)))
            break; /* it has closed the connection itself, or has not returned for too long */
        bool skips = how == ASKED_GUEST && answer == MARIO_FRAME_SKIP;
        FUNC_PTR f = answer == MARIO_FRAME_OK ? funcs[b->frame.id] : NULL;
        away = f == registry_offloaded;
        if (f == NULL && !skips)
            stop_at(t, b, answer, at, n);
        if (is_limited && f != NULL && packets + skipped >= b->allowed) {
            reach_limit(t, b);
            wait_whole(b);
            away = false;
            break;
        }
        if ((f == NULL && !skips) || away)
            break;
        unsigned char *packet = how == ASKED_HEAD ? at : at + b->frame.at;
        uint32_t len = b->frame.len;
        at += b->frame.need;
        b->seen = 0;
        b->whole = false;
        if (skips) {
            skipped++;
            if (is_limited && b->closes && packets + skipped > b->allowed)
                reach_limit(t, b);
            more = t->end_reason == REASON_NONE && !b->greets;
        } else {
            packets++;
            more = call(t, c, f, packet, len, b->frame.id, (size_t) (limit - packet) - len);
            if (how == ASKED_GUEST)
                reply_mark(t);
            if (is_timed)
                executor_timed(t, b->frame.id);
        }
        more = more && !fence_is_lost(&t->fence) && functions_have_room(t, c, high);
        if (pace_step(&t->pace) && at < limit) {
            b->late = pace_look(&t->pace);
            more = more && !b->late;
            executor_look(t, t->pace.looked, (uint32_t) packets);
        }
    }
    executor_handed(t, (uint32_t) packets);
    if (how == ASKED_GUEST && packets > 0)
        b->handed = true;
    b->n = (uint32_t) (limit - at);
    b->data = at;
    return finish(t, c, packets, skipped, is_limited) && away;
}

/* Call the inline functions for the whole packets in front; step behind them. True if the packet that then stands in
 * front, which is whole, is for an offloaded function. */
static bool hand_out(struct executor *t, struct conn *c, struct batch *b)
{
    bool is_head = t->framing->next == head_next, is_timed = timing_is_due(&t->timing);
    if (b->metered)
        return hand_out_as(t, c, b, is_head ? ASKED_HEAD : ASKED_PURE, is_timed, true);
    if (!is_head)
        return hand_out_as(t, c, b, ASKED_PURE, is_timed, false);
    return is_timed ? hand_out_as(t, c, b, ASKED_HEAD, true, false)
                    : hand_out_as(t, c, b, ASKED_HEAD, false, false);
}

/* The same with the connection's state at hand. */
static bool hand_out_guest(struct executor *t, struct conn *c, struct batch *b)
{
    bool is_timed = timing_is_due(&t->timing);
    return hand_out_as(t, c, b, ASKED_GUEST, is_timed, b->metered);
}

/* The packet in front goes to its offloaded function. True to go on with the next one. */
static bool hand_over(struct conn *c, struct batch *b)
{
    enum queue_answer answer = queue_send(c, &b->frame, b->data);
    if (answer == QUEUE_NO_MEMORY)
        conn_close(c, REASON_no_memory);
    if (answer != QUEUE_SENT) {
        wait_whole(b);
        return false;
    }
    b->handed = true;
    stats_add(conn_shard(c)->stats, STAT_packets_in, 1);
    count_packets(c, 1);
    conn_note_packet(conn_shard(c), c, b->frame.id);
    step(b);
    return c->wait == WAIT_NONE && b->n > 0;
}

bool handout(struct executor *t, struct conn *c, struct batch *b)
{
    bool away, is_guest = handout_is_guest(c);
    b->greets = !c->greeted && t->shard->service->ends[c->listener] == ws_ends;
    do {
        set_allowed(c, b);
        if (is_guest) {
            t->frame_state_size = framing_of(c)->state_size;
            memcpy(t->frame_state, conn_ext(t->shard, c)->state, t->frame_state_size);
        }
        functions_begin(t, c);
        away = is_guest ? hand_out_guest(t, c, b) : hand_out(t, c, b);
    } while (away && hand_over(c, b));
    if (c->state != CONN_OPEN)
        c->fault = b->fault;
    return c->state == CONN_OPEN;
}
