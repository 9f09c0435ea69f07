/*
 * publish.h: settings that change while the server runs. They are never written to: a new version is offered by any
 * thread, the master takes it and publishes it, the workers take it between two passes of their loops, and the old one
 * is given back when the last of them has. What is given back is freed by whoever offers next: the heap has a lock.
 */
#ifndef MARIO_SERVER_PUBLISH_H
#define MARIO_SERVER_PUBLISH_H

#include <stdatomic.h>
#include <stdbool.h>
#include <stdint.h>

#include "mario/server/live.h"
#include "mario/worker/worker.h"

struct published {
    struct live live;
    bool is_tls; /* offered: its contexts alone count, all else stays */
    struct published *older;
};

struct publisher {
    struct published *newest; /* and behind it the older ones that somebody may still use */
    struct worker *workers;
    uint32_t workernum;
    _Atomic(struct published *) offered; /* any thread (w) -> master (takes it): not a version yet */
    _Atomic(struct published *) retired; /* master (w) -> who offers (takes all): nobody uses them any more */
};

/* Any thread: this is to be the next version. One that was offered before and not taken yet is forgotten. False without
 * memory. */
__attribute__((warn_unused_result)) bool publish_offer(struct publisher *p, const struct live *live);
/* The same settings as before, with these contexts, which are the publisher's from then on: NULL is left. If settings
 * are offered that are not taken yet, they get them. Any thread, but not while another one offers something. */
__attribute__((warn_unused_result)) bool publish_offer_tls(struct publisher *p,
                                                           const struct tls_contexts **contexts);

/* ---- The master, or before it runs the thread that makes the server ---- */

/* Take what is offered, which then is the newest version. NULL if nothing is. The one before it stays as it is until
 * publish_settled(). */
const struct live *publish_take(struct publisher *p);
/* Have the workers take the newest one. */
void publish_tell(struct publisher *p);

/* Whether all of them have; those that nobody uses any more are given back. */
bool publish_settled(struct publisher *p);

/* Free them all. No worker runs; and what is offered too late, when nobody can offer any more. */
void publish_teardown(struct publisher *p);

#endif
