/*
 * live.h: what the live page asks for each second: the command `live`, and what the admin thread keeps for it.
 *
 * live [since=N]: one object. `boot` names this start of this process: with another one all that is known is another
 * server's. `counters` has those that are not 0. `history` has the rows behind the N-th, one a second, each as `series`
 * says; `last` is the number of the last one: the next N. A row of a second that nobody looked at is empty.
 */
#ifndef MARIO_ADMIN_LIVE_H
#define MARIO_ADMIN_LIVE_H

#include <stdbool.h>

struct event_base;

/* The thread that makes the server, when admin_view() is there: register the command, and look each second on this
 * base. False without memory; then teardown. */
__attribute__((warn_unused_result)) bool live_setup(struct event_base *base);
void live_teardown(void);

#endif
