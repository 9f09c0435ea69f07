/*
 * supervise_inside.h: what a supervising parent and its child have of each other: the page that both see, and what a
 * child has as of its fork.
 */
#ifndef MARIO_PROCESS_SUPERVISE_INSIDE_H
#define MARIO_PROCESS_SUPERVISE_INSIDE_H

#include <signal.h>
#include <stdatomic.h>
#include <stdbool.h>
#include <stdint.h>
#include <sys/types.h>

#include "mario/base/stats.h"
#include "mario/exec/activity.h"
#include "mario/process/crash.h"
#include "mario/process/heart.h"
#include "mario/process/kept.h"
#include "mario/process/notify.h"

enum {
    BEATS = 4,         /* of a healthy master within watch_master_ms; and looks at it */
    BEAT_MAX_MS = 1000 /* between two */
};

/* What has been set since the start. Odd `changes`: it is being written. */
struct tuned {
    _Atomic uint32_t changes;
    uint32_t master_ms, drain_ms;
    uint32_t format;
    char log[CRASH_LOG];
};

struct page {
    _Atomic bool ready;    /* the child's server has listened */
    _Atomic bool stopping; /* it has been asked to stop */
    struct notify_news news;
    struct heart heart;
    struct tuned tuned;
    struct crash_record crash;
    struct activity activities[ACTIVITIES];
};

/* The parent's; a child has it as of its fork. */
struct supervision {
    bool used;  /* mario_supervise() has been called */
    bool child; /* this is a child */
    struct kept *kept;
    uint32_t kept_count;
    struct page *page;
    int ready_fd;                /* eventfd: child -> parent */
    int signal_fd;               /* the parent's */
    sigset_t mask;               /* as it was before */
    struct sigaction on_child;   /* the same */
    uint64_t counts[STAT_COUNT]; /* restarts and died_*: the parent's; a child has them as of its start */
    uint32_t master_ms;          /* without a beat until the child is ended, 0 = never */
};
extern struct supervision sup;

/* The new child: back to what the application knows, and die with the parent. TERM, INT and HUP stay blocked,
 * so that none is lost before the server hears them. */
void supervise_become_child(pid_t parent);

#endif
