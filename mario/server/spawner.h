/*
 * spawner.h: a thread that does for the master what may have to wait: it makes the executors that take workers over
 * and starts their threads, and frees those that were taken over. All that needs the heap, the log's lock or a
 * thread's end, and another thread may hold those up, for ever if its function does not return. The master only
 * gives orders and looks what became of them.
 */
#ifndef MARIO_SERVER_SPAWNER_H
#define MARIO_SERVER_SPAWNER_H

#include <pthread.h>
#include <semaphore.h>
#include <stdatomic.h>
#include <stdbool.h>
#include <stdint.h>

#include "mario/base/doorbell.h"
#include "mario/base/spsc.h"
#include "mario/worker/takeover.h"

/* ORDERED: the spawner's; else the master's. */
enum succession_state { SUCCESSION_NONE, SUCCESSION_ORDERED, SUCCESSION_STARTED, SUCCESSION_FAILED };

/* The order to have a worker taken over, and what became of it. One at a time for each worker. */
struct succession {
    _Atomic int state; /* enum succession_state: master (w) -> spawner (w) -> master */
    struct worker *worker;
    uint64_t fence;             /* of the thread that is to be succeeded, as it was seen */
    struct executor *successor; /* STARTED: its thread runs */
};

struct spawner {
    struct spsc orders;    /* master (w) -> spawner (r): struct spawn_order, see spawner.c */
    sem_t ready;           /* orders that were not taken; and one for the end */
    _Atomic bool stopping; /* master (w) -> spawner (r) */
    struct doorbell *bell; /* spawner -> master: look what became of it; constant */
    pthread_t thread;
    bool runs;
    struct executor *dying; /* spawner: to be joined and freed, linked by `behind` */
};

/* Make it; no thread yet. False without memory; then fini. */
__attribute__((warn_unused_result)) bool spawner_init(struct spawner *p, struct doorbell *bell);
/* Its thread does not run: free what is left with it. Harmless if it was never made. */
void spawner_fini(struct spawner *p);

/* Start its thread, end it. 0 or an errno value. The master's thread, before and after it is the master. */
__attribute__((warn_unused_result)) int spawner_start(struct spawner *p);
void spawner_stop(struct spawner *p);

/* The master: have s->worker taken over from who serves it now, if the fence is still s->fence by then. False if too
 * many orders wait: try again. */
bool spawner_succeed(struct spawner *p, struct succession *s);

/* The master: t's thread is about to end, or has. It is joined, then t->joined is set; once the master has set
 * t->reaped it is freed as soon as its last lines are in the log. False if too many orders wait. */
bool spawner_bury(struct spawner *p, struct executor *t);

#endif
