/*
 * pulse.h: how busy a worker is and how far its loop is behind. The thread that serves the worker writes, any thread
 * reads, and sees a worker that is stuck as busy and later and later.
 *
 * Busy is the time from the first event of a pass to the pass's end. The lag is how late a tick was handled, of all in
 * the last PULSE_WINDOW_MS or a little more; a worker without connections has no ticks, and no lag.
 */
#ifndef MARIO_WORKER_PULSE_H
#define MARIO_WORKER_PULSE_H

#include <stdatomic.h>
#include <stdbool.h>
#include <stdint.h>

#include "mario/exec/timing.h"

#define PULSE_WINDOW_MS 15000u

struct pulse {
    _Alignas(64) _Atomic uint64_t busy; /* cycles, of passes that are over */
    _Atomic uint64_t woke;              /* the pass at work: when it began, in cycles; 0 = there is none */
    _Atomic uint64_t due;               /* the next tick, by clock_ns(); 0 = time stands still */
    _Atomic uint64_t window;            /* number of the one that `late` is of */
    _Atomic uint64_t late[2];           /* ns: the most in this window, and in the one before it */
};

/* ---- The worker ---- */

static inline void pulse_begin(struct pulse *p)
{
    if (atomic_load_explicit(&timing_rules.mode, memory_order_relaxed) != MARIO_TIMING_OFF)
        atomic_store_explicit(&p->woke, clock_cycles(), memory_order_relaxed);
}

/* An event comes: the first of a pass, perhaps. */
static inline void pulse_wake(struct pulse *p)
{
    if (atomic_load_explicit(&p->woke, memory_order_relaxed) == 0)
        pulse_begin(p);
}

/* The pass is over. */
static inline void pulse_rest(struct pulse *p)
{
    uint64_t woke = atomic_load_explicit(&p->woke, memory_order_relaxed);
    if (woke == 0)
        return;
    timing_bump(&p->busy, clock_cycles_since(woke));
    atomic_store_explicit(&p->woke, 0, memory_order_relaxed);
}

/* Ticks of so many ns come from now on; or none, 0. */
void pulse_ticks(struct pulse *p, uint64_t ns);
/* So many of them have come. */
void pulse_tick(struct pulse *p, uint64_t ticks, uint64_t ns);

/* ---- Any thread ---- */

uint64_t pulse_busy_ns(const struct pulse *p);
uint64_t pulse_lag_ns(const struct pulse *p);

#endif
