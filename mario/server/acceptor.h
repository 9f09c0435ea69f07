/*
 * acceptor.h: listeners: accepting, and which worker gets a connection. For the master; setup and teardown for the
 * thread that makes the server.
 */
#ifndef MARIO_SERVER_ACCEPTOR_H
#define MARIO_SERVER_ACCEPTOR_H

#include <event2/event.h>

#include "mario/base/stats.h"
#include "mario/log/log.h"
#include "mario/net/listen.h"
#include "mario/net/proxy_rules.h"
#include "mario/server/admission.h"
#include "mario/server/lobby.h"
#include "mario/server/watchdog.h"
#include "mario/worker/worker.h"

enum acceptor_stage {
    ACCEPTOR_OPEN,      /* normal service */
    ACCEPTOR_LAST_CALL, /* who waits in the kernel's backlog is still let in */
    ACCEPTOR_CLOSED
};

struct listener {
    struct listen_address address;
    const struct proxy_rules *proxy; /* whose PROXY headers are taken */
    int fd;                          /* -1 once closed */
    bool borrowed;                   /* the supervising parent's */
    uint32_t last_call;              /* connections it may still let in at a stop */
    struct event *event;
    struct acceptor *acceptor;
};

struct acceptor {
    struct listener *listeners;
    uint32_t listener_count;
    struct event *pause_event; /* the listeners rest until it fires */
    bool paused;
    struct event *pace_event; /* those of TCP rest until it fires: admit.rate */
    bool paced;
    enum acceptor_stage stage;
    bool refuses;  /* who comes is reset */
    bool for_good; /* closed since the server was asked to stop: nobody is to wait for a next one */
    struct worker *workers;
    uint32_t workernum;
    uint32_t connnum;
    uint32_t *assigned; /* [workernum] connections handed to each worker, mod 2^32 */
    bool *to_wake;      /* [workernum] this batch put something into its ring */
    uint32_t next;      /* the worker whose turn it is */
    enum mario_when_full when_full;
    enum mario_assign assign;
    uint32_t backlog;
    struct admission *admission; /* says who is let in */
    struct lobby lobby;          /* where PROXY headers are waited for; all zero if no listener has them */
    uint32_t keepalive;          /* seconds, as of listen_keepalive() */
    struct watchdog *watchdog;   /* says who is to be avoided; is told when somebody is there */
    LOG_QUEUE *qlog;             /* the master's */
    struct stats *stats;         /* the master's */
};

/* All but pause_event, pace_event, assigned, to_wake is set. False with errno; then teardown. */
__attribute__((warn_unused_result)) bool acceptor_setup(struct acceptor *a, struct event_base *base);
void acceptor_teardown(struct acceptor *a);

/* Whether there is anybody whose function could run. */
bool acceptor_has_any(void *acceptor);

/* Connections that worker i has, or that are on their way to it. */
uint32_t acceptor_connections(const struct acceptor *a, uint32_t i);

/* From now on who comes is reset at once (refused_drain); or not any more. */
void acceptor_refuse_all(struct acceptor *a, bool all);

/* Have the listeners hold so many connections that are not accepted, and those that arrive from now on probed after so
 * many seconds. */
void acceptor_tune(struct acceptor *a, uint32_t backlog, uint32_t keepalive);

/* A stop begins: nobody is accepted any more but by acceptor_let_in(). */
void acceptor_last_call(struct acceptor *a, bool for_good);

/* Let in some of those who wait, and close the listeners for whom nobody waits any more. True while one is open: call
 * it again. */
bool acceptor_let_in(struct acceptor *a);

/* Close all listeners now. */
void acceptor_close(struct acceptor *a);

#endif
