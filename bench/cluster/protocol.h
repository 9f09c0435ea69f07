/*
 * protocol.h: what bench/cluster/node understands beside ECHO. All numbers little-endian, nothing padded.
 */
#ifndef CLUSTER_PROTOCOL_H
#define CLUSTER_PROTOCOL_H

#include "mario/mario_akg.h"
#include "mario/mario_types.h"

enum {
    BENCH_BIND = 0x0011, /* uint64 uid: this connection is that user's -> bare HEAD */
    BENCH_JOIN = 0x0012, /* BENCH_NUMBERS: this connection joins that many groups -> bare HEAD */
    BENCH_SEND =
        0x0013, /* BENCH_JOB: the sender begins -> bare HEAD; while it is at one the connection closes */
    BENCH_SENT = 0x0014,   /* -> HEAD + BENCH_PROGRESS */
    BENCH_STAT = 0x0015,   /* a counter's name, or BENCH_EVENT and a kind of event -> HEAD + uint64 */
    BENCH_PUSHED = 0x0016, /* what is sent: BENCH_TEXT and what fills it up */
};

#define BENCH_STX     0x8eb69af7u
#define BENCH_SENDERS 4u /* nodes that may send to the same ears */
#define BENCH_MSG_MAX 1024u
#define BENCH_EVENT   "event." /* BENCH_STAT: "event.1" is how many of kind 1 there were */

typedef struct {
    uint64 first;
    uint32 count;
} __attribute__((packed)) BENCH_NUMBERS;

/* `count` messages, `burst` at a time and `rate` a second in all, to users `first` .. `first + users - 1` in turn. */
typedef struct {
    uint64 first;
    uint32 users, count, burst, rate;
    uint16 len;    /* of the packet, HEAD and all */
    ubyte sender;  /* .. BENCH_SENDERS - 1 */
    ubyte is_mute; /* the clock ticks, nothing is sent: what the ticking alone takes */
} __attribute__((packed)) BENCH_JOB;

typedef struct {
    uint64 sent, refused; /* refused: tries that gave -1; each is tried again */
    uint64 late_ns;       /* how late the clock was at worst */
    uint64 took_ns;       /* from the first tick to the last message */
    ubyte is_busy;
} __attribute__((packed)) BENCH_PROGRESS;

typedef struct {
    uint64 uid;
    uint64 at_ns;  /* CLOCK_MONOTONIC just before it was sent */
    uint32 number; /* of this sender to this user: 1, 2, ... in each job */
    ubyte sender;
} __attribute__((packed)) BENCH_TEXT;

#endif
