/*
 * admin.h: the admin thread: its beginning, its end, and what it sees of the server. It is made only if an address is
 * set for it. It reads counters without locks and asks by ring and doorbell; no other thread ever waits for it.
 *
 * The rooms above (server) begin and end it and register commands; what it needs to know of them is in struct
 * admin_view, so that it knows none of them.
 */
#ifndef MARIO_ADMIN_ADMIN_H
#define MARIO_ADMIN_ADMIN_H

#include <stdbool.h>
#include <stdint.h>

#include "mario/base/question.h"
#include "mario/base/stats.h"
#include "mario/exec/activity.h"
#include "mario/exec/where.h"
#include "mario/log/log.h"
#include "mario/mario_server.h"
#include "mario/tls/context.h"
#include "mario/worker/worker.h"

/* Bits of the admin thread's doorbell. */
enum admin_bell { ADMIN_BELL_LOOK, ADMIN_BELL_DONE, ADMIN_BELL_STOP };

struct admin_listener {
    const char *name; /* as it was written, with the port it got */
    int fd;           /* may be closed by the master: only to ask the kernel about */
};

/* What the admin thread, and commands on it, see. Constant while the thread runs; what it points to outlives it. */
struct admin_view {
    SERVER *server;
    bool (*is_ready)(const void *who); /* of master_who: whether balancers are to send it more */
    struct worker *workers;
    uint32_t workernum;
    uint32_t connnum;                  /* a worker */
    const struct stats *stats;         /* [workernum + 1]: the workers', then the master's */
    const struct activity *activities; /* [ACTIVITIES] */
    const struct where *where;         /* [workernum] of whom the watch has warned */
    uint32_t offload_threads;
    const struct admin_listener *listeners;
    uint32_t listener_count;
    struct questions *master;     /* what the master is asked */
    void *master_who;             /* `who` of its steps: the struct master */
    struct doorbell *master_bell; /* rung behind it, */
    unsigned master_bit;          /* with this bit */
    const struct tls_contexts *(*certificates)(
        void);           /* in use, held for the caller; NULL if there are none */
    uint64_t started_ms; /* by clock_ms() */
};

/* ---- The thread that makes and runs the server ---- */

/* Open what o->admin_listen names, as who starts the server: before the user changes. True, and nothing, if it names
 * nothing. False after a line on standard error. */
__attribute__((warn_unused_result)) bool admin_open(const struct mario_options *o);
/* As server.user: read the token, make the thread's base, and the rings by which workers are asked. */
__attribute__((warn_unused_result)) bool admin_setup(const struct admin_view *v,
                                                     const struct mario_options *o);
/* Whether there is one, after admin_open(); descriptors that it needs beside. */
bool admin_is_on(void);
uint32_t admin_descriptors(const struct mario_options *o);
__attribute__((warn_unused_result)) bool admin_start(void);
/* End the thread; workers have ended. False after a line if it hangs in a command: nothing of it may be freed. */
__attribute__((warn_unused_result)) bool admin_stop(void);
void admin_teardown(void);

/* ---- The admin thread ---- */

const struct admin_view *admin_view(void);
struct doorbell *admin_bell(void);
struct event_base *admin_base(void);
/* Its log queue, for lines about what operators do. */
LOG_QUEUE *admin_log(void);

#endif
