/*
 * framed.c: what functions write as packets of their connection's framing. Runs on the executor's thread, in user code:
 * it touches nothing but the executor and the public part of the connection whose function runs.
 */
#include <errno.h>
#include <string.h>

#include <event2/bufferevent.h>

#include "mario/exec/executor.h"
#include "mario/exec/registry.h"
#include "mario/exec/reply.h"
#include "mario/mario_frame.h"

CONN *mario_frame_conn(void)
{
    return executor_here != NULL ? executor_here->frame_conn : NULL;
}

static int32_t fail(int err)
{
    errno = err;
    return -1;
}

enum { SMALL = 512 }; /* bytes that are put together first: a write costs more than copying them */

static bool write_small(CONN *c, const struct frame_out *out, const struct frame_ends *ends)
{
    unsigned char all[ENDS_FRONT + SMALL + ENDS_BACK];
    size_t n = ends->front_len;
    memcpy(all, ends->front, sizeof ends->front);
    if (out->len > 0)
        memcpy(all + n, out->data, out->len);
    n += out->len;
    memcpy(all + n, ends->back, sizeof ends->back);
    n += ends->back_len;
    return n == 0 || bufferevent_write(c->bufev, all, n) == 0;
}

static bool write_large(CONN *c, const struct frame_out *out, const struct frame_ends *ends)
{
    return (ends->front_len == 0 || bufferevent_write(c->bufev, ends->front, ends->front_len) == 0) &&
           bufferevent_write(c->bufev, out->data, out->len) == 0 &&
           (ends->back_len == 0 || bufferevent_write(c->bufev, ends->back, ends->back_len) == 0);
}

/* By a built-in framing. */
static inline int32_t write_with_ends(struct executor *t, CONN *c, uint16_t id, const void *data,
                                      uint32_t len)
{
    const struct frame_out out = {
        .data = data, .len = len, .stx = registry_stx(), .id = id, .opcode = t->opcode};
    struct frame_ends ends;
    if (!t->ends(t->framing, &out, &ends))
        return fail(EMSGSIZE);
    reply_mark(t);
    bool ok = len <= SMALL ? write_small(c, &out, &ends) : write_large(c, &out, &ends);
    reply_is_framed(t);
    return ok ? 0 : fail(ENOMEM);
}

/* By an application's. */
static int32_t write_wrapped(struct executor *t, CONN *c, uint16_t id, const void *data, uint32_t len)
{
    CONN *before = t->frame_conn;
    if (t->framing->wrap == NULL)
        return fail(ENOTSUP);
    t->frame_conn = c;
    int32_t rc = t->framing->wrap(c, id, data, len);
    t->frame_conn = before;
    return rc == 0 ? 0 : fail(EIO);
}

static inline int32_t reply(struct executor *t, CONN *c, uint16_t id, const void *data, uint32_t len)
{
    if (t->conn != c || c == NULL || c->bufev != t->reply || t->framing == NULL || (data == NULL && len > 0))
        return fail(EINVAL);
    return t->ends != NULL ? write_with_ends(t, c, id, data, len) : write_wrapped(t, c, id, data, len);
}

int32_t mario_reply_id(CONN *c, uint16_t id, const void *data, uint32_t len)
{
    struct executor *t = executor_here;
    return t == NULL || id >= AKG_FIRST_RESERVED ? fail(EINVAL) : reply(t, c, id, data, len);
}

int32_t mario_reply(CONN *c, const void *data, uint32_t len)
{
    struct executor *t = executor_here;
    if (t == NULL)
        return fail(EINVAL);
    uint64_t what = atomic_load_explicit(&executor_runs(t)->what, memory_order_relaxed);
    return reply(t, c, activity_kind(what) == ACTIVITY_PACKET ? activity_akg(what) : 0, data, len);
}
