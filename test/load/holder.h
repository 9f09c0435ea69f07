/*
 * holder.h: one thread of mode hold with its own epoll and its own connections.
 *
 * The main thread makes it, starts it, sets the clock when all are ready, reads `live`, joins it, and only
 * then looks at the results.
 */
#ifndef LOAD_HOLDER_H
#define LOAD_HOLDER_H

#include <pthread.h>
#include <stdatomic.h>
#include <stdbool.h>
#include <stdint.h>

#include "held.h"
#include "neighbour.h"
#include "nodes.h"
#include "options.h"
#include "test/lib/hist.h"
#include "test/lib/pace.h"
#include "test/lib/wire.h"

#define HOLDER_GIVE_UP 1000u /* failures in a row after which nothing more is tried */

/* Set by the main thread, read by all holders. 0 = not yet. Times of mono_ns(). */
struct hold_clock {
    _Atomic uint64_t start;   /* the hold begins */
    _Atomic uint64_t end;     /* and ends; with end <= start there is none */
    _Atomic bool hurry;       /* the user does not want to wait: no roll call */
    _Atomic uint64_t said_at; /* when the last broadcast was said */
    _Atomic bool said_all;    /* nothing more is said, or waited for */
    _Atomic bool close;       /* the main thread has looked at everything: connections may be closed */
};

/* The exact book. When all is over:
 *     tried  = opened + all of refused
 *     opened = churned + ended + all of lost
 *     asked  = sent + unsent, sent = answered + missing
 * A login is a request like any other. */
struct hold_ledger {
    uint64_t tried, opened, churned, ended;
    uint64_t refused[FAULT_COUNT]; /* ended before the login was answered */
    uint64_t lost[FAULT_COUNT];    /* ended later, not by us */
    uint64_t asked, sent, answered, missing, unsent;
    uint64_t beats, actives, roll_calls, joins; /* of asked, besides logins */
    uint64_t joined;                            /* of joins: answered */
    uint64_t told;                              /* broadcasts heard, of all connections together */
    uint64_t covered; /* heartbeats that were not sent, because another request was not answered yet */
    uint64_t heard;   /* of ended: answered something that was asked during the hold or in the roll call */
    uint64_t due;     /* what fell due during the hold: heartbeats, requests, connections to be reopened */
    uint64_t behind;  /* of due: not done when the hold was over */
};

enum holder_phase {
    HOLDER_OPEN,   /* connections are opened */
    HOLDER_READY,  /* all have been tried; heartbeats go on */
    HOLDER_HOLD,   /* the measured time: heartbeats, requests, reopening */
    HOLDER_ROLL,   /* those not heard during the hold are asked once; what is open is answered or times out */
    HOLDER_JOIN,   /* each joins the group to which broadcasts are said */
    HOLDER_LISTEN, /* broadcasts are said and heard */
    HOLDER_QUIET,  /* nothing is awaited */
    HOLDER_DONE
};

/* For the status line; the holder writes, anyone reads. */
struct hold_live {
    _Atomic uint64_t answered, opened, open, faults, told;
    _Atomic bool gave_up;
    _Atomic int phase; /* enum holder_phase */
};

struct holder {
    /* set before the thread starts, constant then */
    const struct load_options *o;
    struct hold_clock *clock;
    uint32_t index, count;
    uint32_t window; /* connections that may be opening at a time */

    /* the thread's own */
    pthread_t thread;
    int epoll;
    enum holder_phase phase;
    uint64_t start, end; /* the clock, as last read */
    struct held *helds;
    struct held_list waiting; /* connecting, login and asking, by asked_at */
    struct held_list reopen;
    uint32_t fresh;   /* the next that was never opened */
    uint32_t opening; /* connecting or login */
    uint32_t asking;
    uint32_t open;   /* quiet or asking */
    uint32_t in_row; /* failures to open, or in the roll call, since the last success */
    uint32_t called; /* the next that the roll call, or the taking into the group, looks at */
    struct pace ramp, beats, active, churn;
    uint64_t next_try; /* a unix socket's backlog was full: not before */
    uint64_t random;
    struct neighbours *neighbours; /* of the first holder; else NULL */
    unsigned char *in, *out;       /* WIRE_PACKET_MAX + 1 each */

    struct hold_live live;

    /* results, for the main thread after holder_join() */
    struct hold_ledger ledger;
    struct node_book nodes[NET_TARGETS_MAX];
    uint64_t opened_at;     /* when the last of the first logins was answered */
    uint64_t late_max;      /* how late, during the hold, the latest of what was due came */
    uint64_t hold_answered; /* requests of all kinds answered during the hold */
    int first_errno;
    struct hist hist;   /* of requests that fell due during the hold, from that moment */
    struct hist told;   /* from saying a broadcast to having heard it */
    struct hist logins; /* from connect to the login's answer, of the whole run */
};

/* Make one for connections index, index + threads, ... Main thread. NULL without memory or descriptors, errno
 * is set. */
struct holder *holder_create(const struct load_options *o, struct hold_clock *clock, uint32_t index);

/* Start its thread. 0, or an errno. */
int holder_start(struct holder *h);

/* Wait until the thread has ended. */
void holder_join(struct holder *h);

/* Free it and null the pointer; its thread has ended or was never started. */
void holder_destroy(struct holder **h);

#endif
