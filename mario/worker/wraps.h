/*
 * wraps.h: messages for connections of framings that the application has registered: its wrap writes them, once for all
 * receivers that a round of deliveries reaches (conn/variants.h). That is user code. Everything here is for the
 * worker's thread, outside user code.
 */
#ifndef MARIO_WORKER_WRAPS_H
#define MARIO_WORKER_WRAPS_H

#include "mario/conn/delivery.h"
#include "mario/conn/variants.h"

/* Whether an application's wrap may ever run here: then a receiver is only taken when it is his turn, since another
 * thread may take the shard over at any of them. */
static inline bool wraps_may_run(const struct shard *s)
{
    return s->delivery.variants != NULL && s->delivery.variants->by_user;
}

/* Whether it has to before delivery_put(c, m). */
static inline bool wraps_is_due(const struct shard *s, const struct conn *c, const struct mario_msg *m)
{
    return wraps_may_run(s) && variants_ask(s, c->listener, m);
}

/* It is due: have it run. The round takes the caller's reference to m, which stays at hand until delivery_put(c, m).
 * User code: if it does not return c ends as with a function that does not, and m may be tried for others; its
 * receivers are not counted yet. True if c is still open. */
bool wraps_run(struct shard *s, struct conn *c, struct mario_msg *m);

/* Both, for who keeps his reference. True if c is still open. */
static inline bool wraps_have(struct shard *s, struct conn *c, struct mario_msg *m)
{
    if (!wraps_is_due(s, c, m))
        return true;
    message_ref(m, 1);
    return wraps_run(s, c, m);
}

#endif
