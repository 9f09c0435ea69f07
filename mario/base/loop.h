/*
 * loop.h: how libevent is used here: its memory, its complaints, and bases without locks.
 */
#ifndef MARIO_BASE_LOOP_H
#define MARIO_BASE_LOOP_H

#include <stdbool.h>

struct event_base;

/* Whom libevent's words go to; any thread calls them. */
struct loop_hooks {
    void (*message)(const char *text); /* what it has to say */
    bool (*is_running)(void);          /* whether threads serve already, or the server is still being made */
};

/* Route libevent's allocations and messages to us. Before its first other call; again is harmless. */
void loop_setup(const struct loop_hooks *h);

/* A base for one thread: no locks, no environment. NULL with errno. */
struct event_base *loop_base_create(void);

#endif
