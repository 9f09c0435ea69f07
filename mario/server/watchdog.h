/*
 * watchdog.h: the watch over the workers: who runs a function for too long, whose thread has died, and who takes
 * their place. Everything here is for the master; setup and teardown for the thread that makes the server.
 */
#ifndef MARIO_SERVER_WATCHDOG_H
#define MARIO_SERVER_WATCHDOG_H

#include <event2/event.h>

#include "mario/base/stats.h"
#include "mario/exec/where.h"
#include "mario/log/log.h"
#include "mario/mario_watch.h"
#include "mario/server/alarm.h"
#include "mario/server/pool_watch.h"
#include "mario/server/spawner.h"
#include "mario/worker/worker.h"

struct watchdog_limits {
    uint32_t warn_ms;     /* 0 = no watch */
    uint32_t replace_ms;  /* 0 = nobody is replaced for being stuck */
    uint32_t replace_max; /* replacements a minute, in all */
};

/* What is known of a worker. */
struct watched {
    uint64_t what;                /* its activity when last looked at */
    uint32_t ms;                  /* for how long that has been so, while a function ran */
    struct mario_alarm seen;      /* what that says */
    bool warned;                  /* said, and not yet that it is back */
    bool asked;                   /* its thread was asked where it is */
    bool limited;                 /* said that it is not replaced */
    uint32_t silent_ms;           /* for how long its bell has not been answered, though no function ran */
    uint32_t called_ms;           /* since its bell was rung to see that it is answered */
    bool silent;                  /* said, and not yet that it has answered */
    uint64_t at_stop;             /* its activity when a stop asked for progress last */
    uint64_t try_ms;              /* not before this time again */
    struct succession succession; /* another thread is on its way; it takes over or finds the worker alive */
};

struct watchdog {
    struct watchdog_limits limits;
    struct worker *workers;
    uint32_t workernum;
    struct watched *of;  /* [workernum] */
    struct where *where; /* [workernum] where those are that it has warned of: master (w) -> any thread (r) */
    struct executor *former; /* that were taken over and whose threads may still run: linked by `next` */
    struct spawner spawner;  /* makes and frees executors */
    struct event *event;
    uint32_t period_ms;
    uint64_t looked_ms;        /* when it last looked */
    bool rests;                /* it does not look by itself: nobody is there to be looked at */
    bool (*anyone)(void *arg); /* whether there are connections */
    void *anyone_arg;
    uint64_t *replaced_ms;  /* [MARIO_REPLACE_MAX] when workers were replaced last, 0 = never; a ring */
    uint32_t replaced_next; /* its next place */
    bool traces;            /* threads can be asked where they are */
    struct alarm_target alarms;
    struct pool_watch pool;
    uint64_t released; /* places that were free when a stop asked for progress last, of all workers */
};

/* workers, workernum, limits, anyone and alarms are set; the spawner rings bell. False without memory. */
__attribute__((warn_unused_result)) bool watchdog_setup(struct watchdog *w, struct event_base *base,
                                                        struct doorbell *bell);
/* Start its thread, the spawner, before the workers', and watch this pool too, which may be NULL. 0 or an errno
 * value. */
__attribute__((warn_unused_result)) int watchdog_start(struct watchdog *w, const struct offload_pool *pool);
/* Frees what is left; all threads of workers have ended. */
void watchdog_teardown(struct watchdog *w);

/* Other limits from now on. */
void watchdog_limit(struct watchdog *w, const struct watchdog_limits *limits);

/* Look at all workers now. */
void watchdog_look(struct watchdog *w);
/* There is a connection: look at them from time to time, if they are to be watched at all. */
void watchdog_wake(struct watchdog *w);

/* Whether worker i must not be given new connections: its function is stuck, it does not come round, or its thread
 * died. */
static inline bool watchdog_avoids(const struct watchdog *w, uint32_t i)
{
    return w->of != NULL && (w->of[i].warned || w->of[i].silent);
}

/* The workers have finished: wait for successors that came too late. False if threads of former executors still
 * run: watchdog_name(). */
bool watchdog_end(struct watchdog *w);

/* A stop that does not wait for ever: whether any function has returned, any connection ended since this was asked
 * last. */
bool watchdog_progresses(struct watchdog *w);

/* Name all that was started on worker i and has not gone on since that was asked last, on standard error: a line each.
 * False if there is nothing. */
bool watchdog_name(const struct watchdog *w, uint32_t i);
/* The same for offloaded functions of all workers. */
bool watchdog_name_offloaded(const struct watchdog *w);

#endif
