/*
 * master.h: the one thread that accepts, assigns, takes signals and stops the server. Setup and teardown are
 * for the thread that makes the server; master_run() makes its caller the master.
 */
#ifndef MARIO_SERVER_MASTER_H
#define MARIO_SERVER_MASTER_H

#include <event2/event.h>
#include <signal.h>

#include "mario/base/doorbell.h"
#include "mario/base/stats.h"
#include "mario/log/log.h"
#include "mario/server/acceptor.h"
#include "mario/server/drain.h"
#include "mario/server/publish.h"
#include "mario/server/watchdog.h"
#include "mario/worker/worker.h"

/* Of its bell: shared with worker 63, harmlessly, for all that is no worker. */
enum { MASTER_BELL_ASK = 63 };

enum { MASTER_SIGNALS = 5, MASTER_TIMERS = 8 };

enum master_stage {
    STAGE_ACCEPTING, /* normal service */
    STAGE_LAST_CALL, /* who waits in the kernel's backlog is still let in, then the doors close */
    STAGE_DRAINING,  /* listeners closed; workers answer what has arrived */
    STAGE_ENDING     /* time is up or a second signal came: workers end everything at once */
};

struct master {
    struct event_base *base;
    LOG_QUEUE *qlog;
    struct doorbell bell; /* workers, mario_stop_server() -> master; the server's to make and end */
    struct event *bell_event;
    struct event *retry_event;    /* the next step of a stop */
    struct event *drain_event;    /* time is up */
    struct event *beat_event;     /* a parent wants to see that the loop goes on */
    struct event *keys_event;     /* keys of tickets may be too old */
    bool takes[MASTER_SIGNALS];   /* the signal is not the application's */
    bool handles[MASTER_SIGNALS]; /* and the handler is the master's own */
    uint32_t beat_ms;             /* as it is set; 0 = not at all */
    struct event *timer_events[MASTER_TIMERS];
    uint32_t timer_seconds[MASTER_TIMERS]; /* as they are set */

    struct worker *workers;
    uint32_t workernum;
    bool *told;                        /* [workernum] the word stop is in its ring */
    uint32_t started;                  /* workers whose thread runs */
    uint32_t drain_timeout;            /* seconds */
    const struct activity *activities; /* [ACTIVITIES], see activity.h */
    uint32_t offload_threads;          /* of the pool; 0 = there is none */

    struct questions questions; /* of the admin thread */
    struct admission admission;
    struct acceptor acceptor;
    struct watchdog watchdog; /* over the workers */
    struct publisher *settings;
    struct drain drain;

    enum master_stage stage;
    _Atomic uint32_t stop_requests; /* any thread, signal handlers (w) -> master (r) */
    uint32_t stop_requests_seen;
    bool failed;         /* a loop broke: the stop is not a clean one */
    uint64_t end_ms;     /* a stop: by clock_ms(), when it gives up whatever the progress */
    bool gave_up;        /* a worker did not return in time */
    struct stats *stats; /* master (w) -> any thread (r); the server's, which outlives the master */
};

/* From here on the signals that are the server's are blocked in the calling thread, and those it starts, and wait for
 * master_run(). *old gets the mask as it was. The thread that makes the server. */
void master_take_signals(struct master *m, sigset_t *old);

/* The master's own base, bell and events, and its open listeners' events. False with errno; then teardown. */
__attribute__((warn_unused_result)) bool master_setup(struct master *m);
void master_teardown(struct master *m);

/* Accept and assign until stopped and all workers have finished. False if a worker did not return. */
bool master_run(struct master *m);

/* Any thread, signal handlers: ask for a stop; a second time: at once. */
void master_stop(struct master *m);

/* Take over the settings that are offered, if any are. The master, or who makes the server, before it runs. */
void master_take_settings(struct master *m);
/* Any thread: there are such. */
void master_wake(struct master *m);

/* Any thread: nobody has asked it to stop or to drain. */
bool master_is_ready(const struct master *m);

/* Beat as often as the parent wants it now. */
void master_beat(struct master *m);

/* Call f(qlog, arg), which is registered, every `seconds` from now on. Any thread. False if it is not registered. */
bool master_retime(struct master *m, uint32_t seconds, MARIO_TIMER_FUNC f, const void *arg);

/* Call the application's timer functions once more, after the last end hook, and forget them. */
void master_final_timers(struct master *m);

/* Forget them without a call: the server that they were for will not run. */
void master_forget_timers(void);

#endif
