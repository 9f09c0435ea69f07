/*
 * orders.h: a worker carries out what is ordered of it (push/port.h): it reads its lanes, walks, fires timers, and
 * sends to each connection that has got something, once. Everything here is for the worker's thread, outside user
 * code.
 */
#ifndef MARIO_WORKER_ORDERS_H
#define MARIO_WORKER_ORDERS_H

#include "mario/worker/worker.h"

/* The worker's bell was answered, and these bits were set: to be looked at in this pass. */
void orders_rung(struct worker *w, uint64_t bits);

/* Before answers of offloaded functions go out: what these have ordered is done, as far as it may be in one go. */
void orders_read(struct worker *w);

/* The time that it had set has come. */
void orders_alarm(struct worker *w);

/* Once in each pass, after its events: a bounded part of what there is. */
void orders_pass(struct worker *w);

/* Whether what this worker's own functions have ordered of it fills half of their ring: time to end the pass, for many
 * connections that come at once, each with a login, are nobody's flood. */
bool orders_crowd(const struct worker *w);

/* Whether the next pass must not sleep. */
bool orders_are_left(const struct worker *w);

#endif
