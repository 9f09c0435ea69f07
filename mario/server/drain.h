/*
 * drain.h: a drain: the server's connections are told to go elsewhere, at a rate, and nobody new comes. For the master;
 * asking for one, and looking at it, is for any thread.
 *
 *     NONE -> DELAY -> CLOSING <-> PAUSED        back to NONE from everywhere
 *                      CLOSING  -> DONE
 */
#ifndef MARIO_SERVER_DRAIN_H
#define MARIO_SERVER_DRAIN_H

#include <event2/event.h>
#include <stdatomic.h>
#include <stdbool.h>
#include <stdint.h>

#include "mario/mario_server.h"

struct drain_limits {
    uint32_t time;  /* seconds that it is to take */
    uint32_t rate;  /* connections a second instead; 0 = as `time` says */
    uint32_t delay; /* seconds from its beginning until nobody new comes */
    bool on_term;   /* a first TERM begins one, and it ends with a stop */
};

enum drain_word { DRAIN_NOTHING, DRAIN_START, DRAIN_PAUSE, DRAIN_STOP };

struct drain {
    struct drain_limits limits;
    struct event *event;   /* the end of the delay; then it ticks */
    uint32_t asked_rate;   /* 0 = limits.rate */
    uint64_t looked_ms;    /* when it ticked last */
    uint64_t budget;       /* millionths of a connection that may have left */
    uint32_t next;         /* the worker that gets what cannot be divided */
    bool then_stop;        /* it was a TERM that began it */
    uint64_t began_ms;     /* CLOSING */
    uint64_t again_ms;     /* when workers that had found nobody any more were asked to look anew */
    uint32_t told_before;  /* connections told to leave by former drains */
    _Atomic uint64_t word; /* any thread (w) -> master (takes it): enum drain_word | rate << 8 */
    _Atomic bool refused;  /* master (w) -> any: the server stops */
    /* master (w) -> any thread (r): */
    _Atomic int state;            /* enum mario_drain_state */
    _Atomic uint32_t total, left; /* connections when they began to be closed; told to leave since */
    _Atomic uint64_t rate;        /* millionths of a connection a second */
};

struct master;

/* False with errno. */
__attribute__((warn_unused_result)) bool drain_setup(struct master *m);
void drain_teardown(struct master *m);

/* See what was asked for; and go on, if a worker has something to say. */
void drain_look(struct master *m);
/* A stop begins: it ends the drain. */
void drain_end(struct master *m);
/* TERM has come: true if that begins a drain. */
bool drain_takes_term(struct master *m);
/* How long a drain may take that a TERM begins; 0 if none does. */
uint32_t drain_term_ms(const struct drain_limits *l);
/* Other limits from now on, also for one that goes on. */
void drain_limit(struct master *m, const struct drain_limits *l);

/* Any thread; then the master's bell is to be rung. 0, or an errno value: ESHUTDOWN: the server stops; EINVAL: there
 * is no drain, or it does not close yet. */
int drain_ask(struct drain *d, enum drain_word word, uint32_t rate);
/* Whether there is one, or has been asked for. */
bool drain_is_on(const struct drain *d);
void drain_status(const struct drain *d, uint32_t connections, struct mario_drain *to);

#endif
