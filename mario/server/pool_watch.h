/*
 * pool_watch.h: the watch over the threads for offloaded functions: who runs one for very long, and whether all do
 * while packets wait. They are not replaced: who else would take their time. Everything here is for the master;
 * setup and teardown for the thread that runs the server.
 */
#ifndef MARIO_SERVER_POOL_WATCH_H
#define MARIO_SERVER_POOL_WATCH_H

#include <stdbool.h>
#include <stdint.h>

#include "mario/offload/pool.h"
#include "mario/server/alarm.h"

struct watched_thread;

struct pool_watch {
    const struct offload_pool *pool; /* NULL: there is none */
    uint32_t threads;
    struct watched_thread *of; /* [threads] */
    uint32_t full_ms;          /* for how long no thread has become free, while packets wait */
    bool warned;               /* that was said, and not yet that it is over */
};

/* Watch this pool, which may be NULL. False without memory. */
__attribute__((warn_unused_result)) bool pool_watch_setup(struct pool_watch *p,
                                                          const struct offload_pool *pool);
void pool_watch_teardown(struct pool_watch *p);

/* Look: `passed` ms have gone by. A function is stuck after stuck_ms (0 = never), all threads after full_ms. */
void pool_watch_look(struct pool_watch *p, const struct alarm_target *to, uint32_t passed, uint32_t stuck_ms,
                     uint32_t full_ms);

/* A stop: whether any thread has gone on since this was asked last. */
bool pool_watch_progresses(struct pool_watch *p);

/* Name the functions that have not gone on since that was asked last, on standard error. How many. */
uint32_t pool_watch_name(const struct pool_watch *p);

#endif
