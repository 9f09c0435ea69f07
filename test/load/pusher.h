/*
 * pusher.h: one thread of mode push with its own epoll and its own subscribers and publishers.
 *
 * The main thread makes it, starts it, sets the clock when all are ready, reads `live`, joins it, and only then looks
 * at the results.
 */
#ifndef LOAD_PUSHER_H
#define LOAD_PUSHER_H

#include <pthread.h>
#include <stdatomic.h>
#include <stdbool.h>
#include <stdint.h>

#include "nodes.h"
#include "options.h"
#include "peer.h"
#include "test/lib/hist.h"
#include "test/lib/pace.h"

#define PUSHER_IN_SIZE  (192u * 1024u) /* an unfinished packet and what one recv adds */
#define PUSHER_OUT_SIZE (96u * 1024u)  /* of a publisher: more than one message */

/* Set by the main thread, read by all pushers. 0 = not yet. Times of mono_ns(). */
struct push_clock {
    _Atomic uint64_t start;  /* publishing begins */
    _Atomic uint64_t window; /* what is measured begins */
    _Atomic uint64_t end;    /* publishing ends; may be made earlier at any time */
    _Atomic bool settle;     /* all publishers are quiet: `totals` is known */
    _Atomic bool close;      /* the main thread has looked at the server: connections may be closed */
    uint64_t *published; /* by each publisher; his pusher writes it before it is quiet, main reads it then */
    bool *broken;        /* likewise: its connection has ended, so that what it said may not have been read */
    const uint64_t *totals; /* messages in each group; main writes it before `settle` */
};

/* The exact book, of the whole run. When all is over:
 *     expected = received + missing + unheard + unsaid */
struct push_ledger {
    uint64_t published, behind; /* behind: fell due and could not be said */
    uint64_t expected;          /* messages for all subscribers that had joined */
    uint64_t received;          /* of these, heard at least once */
    uint64_t unsaid;            /* not heard, of publishers whose connections ended */
    uint64_t missing;           /* not heard otherwise, on connections that stood to the end */
    uint64_t unheard;           /* not heard, on connections that did not */
    uint64_t again, late;       /* heard again; heard after one that was said later */
    uint64_t ready;             /* connections that have come so far */
    uint64_t broken, returned;  /* of these: ended, with --reconnect; made again elsewhere */
    uint64_t faults[FAULT_COUNT];
};

enum pusher_phase {
    PUSHER_OPEN,  /* connections are made */
    PUSHER_READY, /* all have been tried */
    PUSHER_SPEAK, /* messages are said */
    PUSHER_LEAVE, /* all is said; the server has not read all of it */
    PUSHER_SAID,  /* it has */
    PUSHER_HEAR,  /* what is missing is awaited */
    PUSHER_QUIET, /* nothing is, any more */
    PUSHER_DONE
};

/* For the status line; the pusher writes, anyone reads. */
struct push_live {
    _Atomic uint64_t ready, published, received, faults;
    _Atomic int phase; /* enum pusher_phase */
};

struct push_snapshot {
    uint64_t at, cpu, published, received;
};

struct pusher {
    /* set before the thread starts, constant then */
    const struct load_options *o;
    struct push_clock *clock;
    uint32_t index, subscribers, count; /* count: with the publishers, which come behind them */
    uint32_t packet;                    /* bytes of a SAID */
    uint32_t window_size;               /* connections that may be greeting at a time */

    /* the thread's own */
    pthread_t thread;
    int epoll;
    enum pusher_phase phase;
    struct pace pace; /* of all messages of all publishers, from the start on */
    uint64_t begin, end;
    struct peer *peers;
    uint32_t fresh;    /* the next that was never started */
    uint32_t greeting; /* connecting or greeting or resting */
    uint64_t turns;    /* due dates of its own publishers that have been looked at */
    uint64_t next_try, next_sweep;
    uint64_t moved; /* when a message came last */
    uint64_t day;   /* the time of day less that of mono_ns(), at the last wait */
    struct push_heard *heard;
    unsigned char *keep, *outs;
    unsigned char *in;

    struct push_live live;

    /* results, for the main thread after pusher_join() */
    struct push_ledger ledger;
    struct node_book nodes[NET_TARGETS_MAX];
    struct push_snapshot at_begin, at_end;
    struct hist hist; /* from when a message was due to when it came, of those due in the window */
    int first_errno;
};

/* Make one for subscribers and publishers index, index + threads, ... Main thread. NULL without memory or descriptors,
 * errno is set. */
struct pusher *pusher_create(const struct load_options *o, struct push_clock *clock, uint32_t index);

/* Its thread: take from the clock when all begin to speak, if that is known. */
void pusher_read_clock(struct pusher *w);

/* Start its thread. 0, or an errno. */
int pusher_start(struct pusher *w);

/* Wait until the thread has ended. */
void pusher_join(struct pusher *w);

/* Free it and null the pointer; its thread has ended or was never started. */
void pusher_destroy(struct pusher **w);

#endif
