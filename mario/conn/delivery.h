/*
 * delivery.h: shared messages onto the queues of connections, and out: policies for slow readers, the ledger, one send
 * for all that a pass has queued, and who has to give way when all of them take too much memory. Everything here is for
 * the worker that owns the shard, outside user code.
 *
 * Who has got something is due: it stands in a list of the shard, and delivery_flush() offers it to the kernel.
 * Whatever is left waits for room, and for the loop to say that there is some; those who wait so stand in another
 * list, in the order of their last progress.
 */
#ifndef MARIO_CONN_DELIVERY_H
#define MARIO_CONN_DELIVERY_H

#include "mario/conn/conn.h"
#include "mario/conn/message.h"

/* What a connection's queue of messages may hold; 0 = no such limit. */
struct slow_policy {
    enum mario_slow how;
    uint32_t messages;
    uint32_t bytes;
};

/* m is for c, which is open; count it, and queue it as the policy says. c is then due, or has ended or drains: look at
 * its state before the next one. A reference of its own is taken for the queue. */
void delivery_put(struct conn *c, struct mario_msg *m, const struct slow_policy *policy);

/* m is the last thing for c, which is open: behind all that waits, whatever the policy says. */
void delivery_put_last(struct conn *c, struct mario_msg *m);

/* What delivery_put() will touch of this slot's connection is wanted soon. */
static inline void delivery_prefetch(const struct shard *s, uint32_t slot)
{
    __builtin_prefetch(&s->conns[slot].outbox, 1);
}

/* One send for each connection that has got something since the last call, in the order in which they got it. */
void delivery_flush(struct shard *s);
/* Whether somebody has. */
static inline bool delivery_is_due(const struct shard *s)
{
    return s->delivery.due > 0;
}

/* All messages take too much memory (message_limit()): have some of this shard's connections, those without progress
 * for longest, give way: first their messages that may be dropped, then themselves (push_memory). Bounded; true if
 * there is more to do. */
bool delivery_relieve(struct shard *s);

/* ---- For conn.c, close.c and output.c ---- */

/* The shard's part, for a pool of s->count connections; after the pool has gone. False without memory. */
__attribute__((warn_unused_result)) bool delivery_setup(struct shard *s);
void delivery_teardown(struct shard *s);
/* The first worker says what push.uring has come to. */
void delivery_say(const struct shard *s);

/* Offer what waits for c, which is open or drains, to the kernel now. Why it has to end, or REASON_NONE. */
enum reason delivery_try(struct conn *c);

/* The kernel took the first n bytes of c's outbox. False without memory to note it. */
__attribute__((warn_unused_result)) bool delivery_progress(struct conn *c, size_t n);

/* c has ended: what waits for it is dropped. */
void delivery_drop(struct conn *c);

/* What the pass has settled is told to everybody: references at hand go, memory and pending messages are counted. */
void delivery_settle(struct shard *s);

#endif
