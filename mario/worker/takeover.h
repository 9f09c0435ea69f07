/*
 * takeover.h: another thread takes a worker's shard over. For the master, and the thread that makes successors for it.
 */
#ifndef MARIO_WORKER_TAKEOVER_H
#define MARIO_WORKER_TAKEOVER_H

#include "mario/worker/worker.h"

/* Master: whether w's thread has died or still runs the function of this activity; *fence is its fence then. */
bool takeover_is_needed(const struct worker *w, uint64_t what, uint64_t *fence);
/* Spawner, while no other is on its way to w: start a thread that takes w's shard over from w->executor, if its
 * fence is still this one by then. Returns its executor, or NULL when it cannot be made. */
struct executor *takeover_begin(struct worker *w, uint64_t fence);
/* Master: what became of it. When it sits it becomes w->executor. */
enum successor takeover_state(struct executor *t);
/* Master: tell w that the thread of a former executor has ended, so that the connection it was stuck with may end
 * too. False if the ring is full: try again. */
bool takeover_release(struct worker *w, const struct executor *former);

#endif
