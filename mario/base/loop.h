/*
 * loop.h: how libevent is used here: its memory, its complaints, and bases without locks.
 */
#ifndef MARIO_BASE_LOOP_H
#define MARIO_BASE_LOOP_H

struct event_base;

/* Route libevent's allocations and messages to us. Before its first other call; again is harmless. */
void loop_setup(void);

/* A base for one thread: no locks, no environment. NULL with errno. */
struct event_base *loop_base_create(void);

#endif
