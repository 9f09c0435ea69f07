/*
 * wraps.c: an application's framing writes messages for others. The worker's thread, as wraps.h says.
 *
 * The wrap runs as a function of the receiver for whom the message is made first: the watchdog names that one, and a
 * thread that takes over ends that one. But what it gets is a CONN that is nobody's, whose bufev is the reply: the
 * bytes are for all receivers. What it reads is a copy that is this thread's own: once another one has taken the shard
 * over the message may be gone.
 */
#include "mario/worker/wraps.h"

#include <string.h>

#include <event2/buffer.h>

#include "mario/base/mem.h"
#include "mario/conn/output.h"
#include "mario/exec/reply.h"

/* User code: the packets in these bytes, one after another. */
static int32_t write_packets(const struct mario_framing *framing, CONN *nobody, const unsigned char *bytes,
                             uint32_t len)
{
    struct message_packet p;
    uint32_t at = 0;
    int32_t rc = 0;
    while (rc == 0 && message_next(bytes, len, &at, &p))
        rc = framing->wrap(nobody, p.id, p.data, p.len);
    return rc;
}

/* What was written is the message for them: in library state, the bytes are only looked at. NULL if it cannot be. */
static struct mario_msg *take_written(const struct executor *t, struct mario_msg *m)
{
    size_t n = reply_length(t);
    struct mario_msg *framed = n == 0 || n > UINT32_MAX / 2 ? NULL : message_frame(m, (uint32_t) n);
    if (framed != NULL)
        evbuffer_copyout(t->reply_buf, framed->data, n);
    return framed;
}

static void begin(struct executor *t, struct conn *c)
{
    mem_take_failure();
    executor_begin(t, &c->pub, conn_id(c), conn_address6(c));
    if (reply_length(t) > 0) { /* somebody kept a pointer to it */
        t->outside++;
        reply_drain(t);
    }
    executor_note(t, ACTIVITY_CALL, 0);
}

/* Then what it wrote is given back, which is user code again. */
static void finish(struct executor *t, struct conn *c)
{
    fence_open(&t->fence);
    executor_note_again(t);
    reply_drain(t);
    executor_end(t);
    if (t->outside > 0) {
        output_report_outside(t->shard, 0, t->outside);
        t->outside = 0;
    }
    if (t->end_reason != REASON_NONE)
        conn_close(c, t->end_reason);
}

bool wraps_run(struct shard *s, struct conn *c, struct mario_msg *m)
{
    struct executor *t = executor_here;
    struct conn nobody = {.pub = {.fd = -1,
                                  .ind = UINT32_MAX,
                                  .bufev = t->reply,
                                  .out_buf = t->out_buf,
                                  .out_buf_len = (uint16_t) s->service->max_pkglen,
                                  .owner = &t->pub}}; /* FREE: a function that closes it does nothing */
    const struct mario_framing *framing = s->service->framing[c->listener];
    uint8_t listener = c->listener;
    uint32_t len = m->len;
    memcpy(t->rx, m->data, len); /* nothing is being received */
    variants_asked(s, listener, m);
    begin(t, c);
    t->frame_conn = &nobody.pub;
    int32_t rc = write_packets(framing, &nobody.pub, t->rx, len);
    t->frame_conn = NULL;
    executor_ran(t, TIMING_CALL, rc);
    nobody.pub.bufev = t->discard;
    bool failed = mem_take_failure();
    if (!fence_close(&t->fence))
        executor_vanish();
    variants_answered(s, listener, m, rc == 0 && !failed ? take_written(t, m) : NULL);
    finish(t, c);
    return c->state == CONN_OPEN;
}
