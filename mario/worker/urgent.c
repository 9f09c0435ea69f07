/*
 * urgent.c: urgent data: where the listener has oob=mark its function is told before the byte that stands at the mark.
 * Runs on the thread whose executor it is; nothing here may be called from elsewhere.
 */
#include "mario/worker/urgent.h"

#include "mario/exec/registry.h"
#include "mario/net/stream.h"
#include "mario/worker/dispatch.h"
#include "mario/worker/functions.h"

bool urgent_is_next(const struct conn *c)
{
    return (conn_shard(c)->service->marks >> c->listener & 1) != 0 && registry_urgent() != NULL &&
           c->greeted && stream_is_at_mark(c->pub.fd) && stream_arrived(c->pub.fd) > 0;
}

static int32_t call_urgent(CONN *c, void *arg)
{
    (void) arg;
    return registry_urgent()(c);
}

bool urgent_tell(struct executor *t, struct conn *c, uint32_t n)
{
    stats_add(t->shard->stats, STAT_urgent_marks, 1);
    if (!functions_call(t, c, call_urgent, NULL))
        return false;
    if (conn_is_read(c))
        return true;
    if (c->carry_len == 0)
        c->packet_since = t->shard->tick;
    if (!conn_carry(c, t->rx + RX_FRONT, n))
        conn_close(c, REASON_no_memory);
    return false;
}
