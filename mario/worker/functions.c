/*
 * functions.c: running functions of a connection: around them, what is done with what they wrote, and calling those
 * that are for no packet. Runs on the thread whose executor it is; nothing here may be called from elsewhere.
 */
#include "mario/worker/functions.h"

#include <string.h>

#include "mario/base/mem.h"
#include "mario/conn/output.h"
#include "mario/exec/registry.h"

void functions_begin(struct executor *t, struct conn *c)
{
    const struct service *service = t->shard->service;
    mem_take_failure();
    c->pub.out_buf_len = (uint16_t) service->max_pkglen;
    t->framing = service->framing[c->listener];
    t->ends = service->ends[c->listener];
    t->opcode = 0;
    executor_begin(t, &c->pub, conn_id(c), conn_address6(c));
    if (reply_length(t) > 0) { /* who kept a pointer to it wrote when it was nobody's */
        t->outside++;
        reply_drain(t);
    }
    reply_begin(t);
    c->pub.bufev = t->reply;
}

void functions_end_conn(struct executor *t, enum reason r)
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
    reply_mark(t);
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
    reply_begin(t);
    return r;
}

/* What of its state a framing has changed: before c may end, which is said by that. */
static void put_back_state(struct executor *t, const struct conn *c)
{
    if (t->frame_state_size > 0)
        memcpy(conn_ext(t->shard, c)->state, t->frame_state, t->frame_state_size);
    t->frame_state_size = 0;
}

bool functions_finish(struct executor *t, struct conn *c)
{
    c->pub.in_buf = NULL;
    c->pub.in_buf_len = 0;
    enum reason r = send_reply(t, c);
    uint16_t last = activity_akg(atomic_load_explicit(&t->activity->what, memory_order_relaxed));
    executor_end(t);
    put_back_state(t, c);
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

bool functions_make_room(struct executor *t, struct conn *c, size_t high)
{
    enum reason r = send_reply(t, c);
    c->pub.bufev = t->reply;
    if (r != REASON_NONE)
        functions_end_conn(t, r);
    timing_start(&t->timing); /* sending is no function's time */
    return t->end_reason == REASON_NONE && output_pending(c) <= high;
}

/* ---- Functions that are for no packet ---- */

/* A function that is for no packet has answered rc. True if c is still open. */
static bool finish_call(struct executor *t, struct conn *c, int32_t rc)
{
    if (rc != 0 && t->end_reason == REASON_NONE)
        functions_end_conn(t, REASON_function_error);
    bool open = functions_finish(t, c);
    if (open && c->outbox != NULL) {
        if (!c->paused && output_pending(c) > t->shard->set->output_high)
            conn_pause(t->shard, c);
        conn_poll(c);
    }
    return open;
}

bool functions_greet(struct executor *t, struct conn *c)
{
    c->greeted = true;
    functions_begin(t, c);
    executor_note(t, ACTIVITY_CONNECTED, g_akg_connected_id);
    int32_t rc = registry_run_hook(g_akg_connected_id, &c->pub);
    executor_ran(t, g_akg_connected_id, rc);
    return finish_call(t, c, rc);
}

bool functions_call(struct executor *t, struct conn *c, int32_t (*f)(CONN *c, void *arg), void *arg)
{
    functions_begin(t, c);
    executor_note(t, ACTIVITY_CALL, 0);
    int32_t rc = f(&c->pub, arg);
    executor_ran(t, TIMING_CALL, rc);
    return finish_call(t, c, rc);
}

void functions_alone(struct executor *t, void (*f)(void *arg), void *arg)
{
    executor_begin_alone(t);
    executor_note(t, ACTIVITY_CALL, 0);
    f(arg);
    executor_ran(t, TIMING_CALL, 0);
    executor_end(t);
}
