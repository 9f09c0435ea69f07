/*
 * stats.h: the counter table. Each thread has a block of its own and is its only writer; whoever reads sums
 * the blocks.
 */
#ifndef MARIO_BASE_STATS_H
#define MARIO_BASE_STATS_H

#include <stdatomic.h>
#include <stdint.h>

#include "mario/base/reason.h"

/*        name                    what it counts */
#define COUNTERS(ROW)                                                                                         \
    ROW(accepted)      /* connections taken from the kernel */                                                \
    ROW(refused_full)  /* closed at once: no worker had a place */                                            \
    ROW(refused_ring)  /* closed at once: places, but every such worker's ring was full */                    \
    ROW(refused_stop)  /* closed at once: the server was stopping */                                          \
    ROW(accept_emfile) /* accept failed, by errno */                                                          \
    ROW(accept_enfile)                                                                                        \
    ROW(accept_enobufs)                                                                                       \
    ROW(accept_enomem)                                                                                        \
    ROW(accept_eperm)                                                                                         \
    ROW(accept_econnaborted)                                                                                  \
    ROW(accept_eintr)                                                                                         \
    ROW(accept_other)                                                                                         \
    ROW(accept_pauses)     /* times the listeners rested because accept failed or nobody had a place */       \
    ROW(opened)            /* connections that began on a worker */                                           \
    ROW(packets_in)        /* packets handed to a function */                                                 \
    ROW(bytes_in)          /* received from clients */                                                        \
    ROW(bytes_out)         /* taken by the kernel for clients */                                              \
    ROW(watch_stuck)       /* functions that ran for watch_warn_ms */                                         \
    ROW(watch_back)        /* of these, those that returned before they were replaced */                      \
    ROW(watch_buried)      /* of the replaced ones, those whose function has returned since */                \
    ROW(watch_replaced)    /* workers whose thread was replaced because of that */                            \
    ROW(watch_died)        /* threads that ended in a function */                                             \
    ROW(watch_limited)     /* times a worker was not replaced: too many within a minute, or no memory */      \
    ROW(watch_silent)      /* times a worker did not come round, though no function of a connection ran */    \
    ROW(watch_pool)        /* times all threads for offloaded functions were stuck, and packets waited */     \
    ROW(output_paused)     /* times a connection was not read because of output.high */                       \
    ROW(writes_outside)    /* writes to a connection outside its own functions: dropped */                    \
    ROW(lingered)          /* connections whose socket stayed behind their end for what was on its way */     \
    ROW(linger_reset)      /* of these, those that an RST ended */                                            \
    ROW(fd_lost)           /* descriptors that were not closed: the application had done that */              \
    ROW(offload_jobs)      /* packets handed to the threads for offloaded functions */                        \
    ROW(offload_full)      /* times a connection waited since offload.queue of them were out */               \
    ROW(offload_dropped)   /* replies whose connection had ended */                                           \
    ROW(offload_cancelled) /* packets whose connection ended before a thread took them: they do not run */    \
    ROW(offload_died)      /* threads that ended in an offloaded function, and were replaced */               \
    ROW(restarts)          /* times this process was started again by mario_supervise() */                    \
    ROW(died_sigsegv)      /* what its forerunners died of: signals */                                        \
    ROW(died_sigabrt)                                                                                         \
    ROW(died_sigbus)                                                                                          \
    ROW(died_sigfpe)                                                                                          \
    ROW(died_sigill)                                                                                          \
    ROW(died_sigkill)                                                                                         \
    ROW(died_signal)         /* any other signal */                                                           \
    ROW(died_hung)           /* ended by its parent, since its master did not go on */                        \
    ROW(died_exit)           /* an exit code that is not 0 */                                                 \
    ROW(push_targets)        /* messages for a connection: each becomes one of the six below */               \
    ROW(push_sent)           /* the kernel took all of it */                                                  \
    ROW(push_dropped_oldest) /* it waited, and had to make room */                                            \
    ROW(push_dropped_newest) /* it found no room */                                                           \
    ROW(push_coalesced)      /* it waited, and a later one with its key took its place */                     \
    ROW(push_dropped_closed) /* its connection ended before */                                                \
    ROW(push_pending)        /* it waits: the only counter that goes down, too */                             \
    ROW(push_gone)           /* for a connection that had ended: nobody's */                                  \
    ROW(push_refused_ring)   /* orders that were not accepted: a ring was full */                             \
    ROW(push_refused_groups) /* orders to join that did nothing: the connection was in push.groups already */ \
    ROW(push_refused_memory)   /* messages not made: no memory, or over push.memory */                        \
    ROW(push_victims)          /* times a connection gave way because of push.memory */                       \
    ROW(unacked)               /* bytes that those pushed to had not acknowledged at their end */             \
    ROW(cluster_published)     /* messages that the bus to other nodes has taken */                           \
    ROW(cluster_received)      /* messages of other nodes that came by it */                                  \
    ROW(cluster_nobody)        /* messages for users who are on no node */                                    \
    ROW(cluster_dropped)       /* messages that other nodes do not get: no room, or the bus refused */        \
    ROW(cluster_lost)          /* messages of other nodes that were sent and did not come */                  \
    ROW(cluster_garbage)       /* what came on our channels and is no frame of ours */                        \
    ROW(cluster_unheard)       /* users and groups that came and were not subscribed: no memory */            \
    ROW(cluster_gaps)          /* times messages may have been missed */                                      \
    ROW(cluster_reconnects)    /* connections to the bus that were made again */                              \
    ROW(cluster_subscriptions) /* users and groups subscribed now: goes down, too */                          \
    ROW(closed)                /* connections that ended, all reasons; the rows below say why */

enum counter {
#define ROW(name) STAT_##name,
    COUNTERS(ROW)
#undef ROW
#define ROW(name, hook, level) STAT_closed_##name,
        REASONS(ROW)
#undef ROW
            STAT_COUNT
};

struct stats {
    _Alignas(64) _Atomic uint64_t value[STAT_COUNT]; /* owner thread (w) -> any thread (r) */
};

/* Only the block's owner. */
static inline void stats_add(struct stats *s, enum counter i, uint64_t n)
{
    uint64_t v = atomic_load_explicit(&s->value[i], memory_order_relaxed);
    atomic_store_explicit(&s->value[i], v + n, memory_order_relaxed);
}

/* What threads count that have no block: any thread, at the cost of an atomic addition. The sum since it was last
 * taken; taking is for one thread at a time. */
void stats_add_shared(enum counter i, uint64_t n);
uint64_t stats_get_shared(enum counter i);
uint64_t stats_take_shared(enum counter i);

/* Any thread. */
static inline uint64_t stats_get(const struct stats *s, enum counter i)
{
    return atomic_load_explicit(&s->value[i], memory_order_relaxed);
}

/* Any thread: the counter of a reason, its name in log and metrics, and the same of a counter. */
static inline enum counter stats_of_reason(enum reason r)
{
    return (enum counter)(STAT_closed + r);
}
const char *stats_name(enum counter i);

#endif
