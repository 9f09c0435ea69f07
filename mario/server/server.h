/*
 * server.h: a server, as the files of this room make, run and end it. Where nothing else is said it is for the thread
 * that makes the server and becomes its master.
 */
#ifndef MARIO_SERVER_SERVER_H
#define MARIO_SERVER_SERVER_H

#include "mario/exec/activity.h"
#include "mario/frame/framings.h"
#include "mario/net/udp.h"
#include "mario/offload/pool.h"
#include "mario/push/push.h"
#include "mario/server/listeners.h"
#include "mario/server/master.h"
#include "mario/server/publish.h"

enum { LAST_LINES_MS = 500 }; /* how long a stop waits for the log to be written */

enum server_state { SERVER_READY, SERVER_RUNNING, SERVER_STOPPED, SERVER_LOST };

struct mario_server {
    struct publisher settings; /* the master's, once it runs */
    struct service service;
    struct head_rules head_rules;
    struct listener_make made[LISTEN_MAX];
    struct master master;
    struct listener listeners[LISTEN_MAX];
    struct udp_listener udp[LISTEN_MAX]; /* those for datagrams */
    uint32_t udp_count;
    struct worker *workers;                 /* NULL once stopped */
    struct push *push[MARIO_WORKERNUM_MAX]; /* the workers', for those who order */
    struct doorbell *bells[MARIO_WORKERNUM_MAX];
    uint32_t workernum;
    uint32_t connnum;
    uint32_t workers_made;
    struct stats *stats; /* [workernum + 1], the last is the master's; they live as long as the server */
    struct activity *activities; /* [ACTIVITIES], see activity.h */
    struct offload_pool *pool;   /* NULL unless a function or handshakes are offloaded and the server runs */
    uint32_t offload_threads, offload_queue;
    uint32_t shakes;   /* offloaded handshakes of a worker that may be under way, 0 = none is offloaded */
    _Atomic int state; /* enum server_state */
    _Atomic bool reload_failed; /* any thread: the last reload was refused */
    int exit_code;              /* see mario_server_exit_code() */
};

/* The one whose master the calling thread is; else NULL. */
extern _Thread_local const SERVER *server_here;

/* ---- setup.c ---- */

/* All that it needs before it starts, out of options that are checked. False after a line on standard error; then
 * server_teardown() and server_destroy(). */
__attribute__((warn_unused_result)) bool server_setup(SERVER *s, const struct mario_options *o);
/* Threads, pools and sockets. No thread runs any more, or none has run yet. What others may still ask for
 * stays until the server is freed: the counters, the state, and the bell that a late mario_stop_server()
 * rings. */
void server_teardown(SERVER *s);
/* That too. */
void server_destroy(SERVER *s);

/* ---- reload.c ---- */

/* These options, which are checked, are to be the next settings. False after a line on standard error. Any thread. */
__attribute__((warn_unused_result)) bool server_offer(SERVER *s, const struct mario_options *o);

#endif
