/*
 * worker_row.h: a worker as an operator sees it, of what it writes anyway: nobody is asked, so one that is stuck is
 * told of as any other. The admin thread's.
 */
#ifndef MARIO_ADMIN_WORKER_ROW_H
#define MARIO_ADMIN_WORKER_ROW_H

#include <stdbool.h>
#include <stdint.h>

#include "mario/mario_admin.h"

/* What the last second was like. */
struct worker_load {
    double busy; /* share of the time in which its loop did not sleep; < 0: not known yet */
    double
        lag; /* seconds, the longest time that its loop took to come round; now: since it last did, if that is longer */
};

__attribute__((warn_unused_result)) bool worker_rows_setup(void);
void worker_rows_teardown(void);

/* A second has passed, `elapsed` seconds exactly. */
void worker_rows_tick(double elapsed);
struct worker_load worker_load(uint32_t worker);

/* Its connections, those included that are about to end. */
uint64_t worker_connections(uint32_t worker);

/* One object: worker, connections, states, busy, lag, ring, replaced, and `runs`, null if it is idle: function, name,
 * for, connection, peer, stuck, where. Times in seconds. */
void worker_row_put(struct mario_answer *a, uint32_t worker);

#endif
