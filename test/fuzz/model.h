/*
 * model.h: what a worker must do, as its clients can tell: one peer is one connection seen from outside, and all
 * that may be known about it from the bytes it sent and the time that passed. Nothing here reads the library's
 * state. A broken rule aborts.
 *
 * All on the fuzzer's thread, but for what offloaded functions call while that thread waits for them.
 */
#ifndef TEST_FUZZ_MODEL_H
#define TEST_FUZZ_MODEL_H

#include <stdbool.h>
#include <stdint.h>

#include "mario/conn/shard.h"
#include "plain.h"

enum { CONCURRENT_MAX = 256 }; /* calls of one connection that may be out at a time */

/* Where a function runs. */
enum place { INLINE, OFFLOADED, CONCURRENT };

struct bytes {
    unsigned char *data;
    size_t len, room;
};

enum peer_state {
    PEER_NONE,     /* no connection */
    PEER_ARRIVING, /* handed to the worker */
    PEER_SERVED,   /* its connected hook has run */
    PEER_ENDED     /* its end hook has run */
};

struct remote {
    enum peer_state state;
    bool fin;      /* it will send no more */
    bool dropped;  /* it has closed its socket */
    bool kicked;   /* another connection's function closed it */
    bool died;     /* a function of its ended its thread */
    bool at_once;  /* the server was told to end everything at once */
    bool stopped;  /* the server was told to stop, and had to answer what was there */
    bool lost;     /* a function of its closed its descriptor */
    bool found;    /* and the number was given to somebody else */
    bool evicted;  /* it had ended, and its slot may have been needed */
    bool is_unix;  /* nothing of it is at stake behind its end */
    bool is_loose; /* the rules are not for it: see further.h */
    size_t stop_mark;
    enum reason fate;  /* its function ended it, or REASON_NONE */
    enum reason ended; /* what it did end for */
    uint16 err_type;   /* with a fate: what the hook is to be told */

    struct bytes sent; /* what the kernel took from it */
    size_t at;         /* the packets in front of here have been called, but those in line: */
    size_t line[CONCURRENT_MAX];
    unsigned line_first, line_last;
    struct bytes owed; /* what functions wrote */
    size_t got;        /* how much of that has come */

    uint32_t began_tick;      /* it connected */
    uint32_t sent_tick;       /* it sent or connected, or an offloaded function of its ran */
    uint32_t even_tick;       /* last known to have got all that was owed */
    uint32_t uncalm_tick;     /* last known to have something under way */
    uint32_t tail_tick;       /* the first byte of its unfinished packet was sent, or an earlier one's */
    size_t tail;              /* where that begins */
    bool unseen, unseen_tail; /* the worker may not have read the last byte, and the first one of the tail */
    uint32_t seen_tick, seen_tail; /* it had by then */
    uint32_t
        was_due; /* a bit for each reason there was cause for at rest, while functions were out: then its end hook waits
                         for them, and meanwhile it may send and read */
    uint32_t end_order;
    uint32_t ended_tick, read_tick; /* its end hook ran; it read last */
};

/* The rules all peers live under; `where` says where the function of an id runs. */
struct rules {
    const struct settings *set;
    const struct mario_framing *framing;
    enum place (*where)(uint16 akg_id);
    const uint32_t *now; /* the tick */
    bool starved;        /* allocations may fail: anyone may end because of that */
    bool limited;        /* there are limits of what is sent, or were: what is there may wait for them */
    bool loose;          /* somebody is, or was, for whom there are no rules */
    uint32_t
        changed; /* the tick at which the settings changed: a nearer deadline is kept from the next one on */
    uint32_t linger_least, linger_most; /* of all settings there were since everybody had gone */
};
extern struct rules rules;

void bytes_add(struct bytes *b, const void *data, size_t n);

/* It connects now; what the former one left is forgotten. */
void peer_begin(struct remote *p);
/* The kernel took these bytes from it. */
void peer_sent(struct remote *p, const void *data, size_t n);
/* A function is called for this packet: it must be the one. */
void peer_take(struct remote *p, enum place place, const void *packet, size_t n);
/* A function wrote these bytes, which are to be sent. */
void peer_owes(struct remote *p, const void *data, size_t n);
/* These have come. */
void peer_got(struct remote *p, const void *data, size_t n);
/* It was handed to the worker, which could not watch it: true once, and it has ended. */
bool peer_is_lost(struct remote *p);
/* The word stop has been given. */
void peer_stop(struct remote *p, bool at_once);
/* Its end hook runs: may it end for this reason, now, with this hook? */
void peer_end(struct remote *p, enum reason r, uint16 hook, uint16 err_type);
/* It has ended and the client has read all there was. */
void peer_settle(const struct remote *p);
/* Nothing more will happen until somebody sends, reads, or time passes. `held`: functions of it are out. */
void peer_look(struct remote *p, bool held);
/* Likewise, of one that has ended: whether the server's socket is closed. It stays for `linger` ticks while there is
 * something to read, unless its slot was needed; and not much longer than the client goes on reading. */
void peer_look_behind(const struct remote *p, bool closed);

#endif
