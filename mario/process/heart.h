/*
 * heart.h: whether the master goes on, as its parent sees it. The master counts beats in memory shared with the parent,
 * which looks at them: supervise.c.
 */
#ifndef MARIO_PROCESS_HEART_H
#define MARIO_PROCESS_HEART_H

#include <stdatomic.h>
#include <stdint.h>
#include <sys/types.h>

/* In shared memory: the child's master (w) -> its parent (r). All zero: nobody is to beat. */
struct heart {
    _Atomic uint64_t beats;
    _Atomic int32_t master; /* its thread's id while it is to beat, else 0 */
};

/* What the parent remembers. All zero to begin with. */
struct heart_watch {
    uint64_t beats;     /* when it last looked */
    uint64_t looked_ms; /* when that was */
    uint64_t silent_ms; /* for how long there has been none */
};

/* The parent, at least every look_ms: for how many ms the master of process pid has not gone on. Time in which the
 * parent did not look, or the child was stopped or traced, is nobody's silence. */
uint64_t heart_look(struct heart_watch *w, const struct heart *h, pid_t pid, uint64_t now_ms,
                    uint64_t look_ms);

#endif
