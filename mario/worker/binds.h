/*
 * binds.h: carrying out what is ordered about connections and their users: at the connection's worker, and at the
 * user's home (push_home()). Everything here is for the worker's thread, outside user code; each takes an order of its
 * kind.
 */
#ifndef MARIO_WORKER_BINDS_H
#define MARIO_WORKER_BINDS_H

#include "mario/push/push.h"

/* The connection's worker: it wants to be bound; that is decided, and its function is called; it may have to go. */
void bind_begin(struct shard *s, const struct order *o);   /* ORDER_BIND */
void bind_decided(struct shard *s, const struct order *o); /* ORDER_DECIDED */
void bind_replace(struct shard *s, const struct order *o); /* ORDER_REPLACE */

/* The user's home: it is decided, here; or by the route, when all that was ordered of the user before is done. */
void bind_at_home(struct shard *s, const struct order *o);        /* ORDER_USER_BIND */
void bind_claim(struct shard *s, const struct order *o);          /* ORDER_USER_CLAIM */
void bind_replace_beside(struct shard *s, const struct order *o); /* ORDER_USER_REPLACE */

/* The home: this connection is not the user's any more, if it was. The route hears of it. */
bool bind_forget(struct shard *s, uint64_t uid, uint64_t id);

#endif
