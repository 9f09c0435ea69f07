/*
 * mario_watch.h: hearing of functions that block, stall or die. The watch itself needs nothing of the
 * application: see watch_warn_ms in mario_server.h.
 */
#ifndef MARIO_WATCH_H
#define MARIO_WATCH_H

#include "mario_types.h"

#ifdef __cplusplus
extern "C" {
#endif

enum mario_alarm_kind {
    MARIO_ALARM_STUCK, /* a function has been running for watch_warn_ms, an offloaded one for watch_replace_ms */
    MARIO_ALARM_BACK,     /* it returned after all */
    MARIO_ALARM_REPLACED, /* it has been running for watch_replace_ms: another thread serves the worker's other
                           * connections, its own one ends with function_stuck */
    MARIO_ALARM_DIED,     /* a thread ended in a function; another takes its place */
    MARIO_ALARM_LIMIT, /* a worker is not replaced: that was done watch_replace_max times within a minute, or
                           * there was no memory for it. It is tried again */
    MARIO_ALARM_POOL /* all threads for offloaded functions have been at the same ones for watch_warn_ms, and packets
                      * wait: the one that runs the longest is named. They are not replaced */
};

/* What happened to a worker, or to a thread for offloaded functions. Valid during the call. */
struct mario_alarm {
    enum mario_alarm_kind kind;
    uint32 worker; /* its index */
    uint16 akg_id; /* the function, or g_akg_*_id for a hook */
    uint16 cport;  /* the connection's peer, as in CONN */
    uint32 cip;
    ubyte cip6[16];        /* its IPv6 address in network order, all zero if it has none */
    uint64 conn;           /* the connection's id: worker << 56 | slot << 32 | generation; 0 of a datagram */
    uint32 ms;             /* for how long the function has been running, or ran */
    uint32 pool_thread;    /* of offloaded functions: 1 + the thread's number, or how many there are with
                            * MARIO_ALARM_POOL; else 0 */
    const char *backtrace; /* of the stuck thread, innermost first, " < " between; "" when there is none */
    sint32
        is_call; /* 1: not a function of a packet but one that was handed over (mario_run(), a timer, a receipt
                            * ...); akg_id is 0, and conn too if it was no connection's. 2: the framing of the
                            * connection's listener; likewise. 3: a step of its handshake of TLS, on a thread for
                            * offloaded functions; likewise */
};

/* Call f for each of these, on the master thread: it must not block. Before start, from the thread that registers;
 * NULL takes it back. It stays for later servers of the process, as functions and hooks do, also when an init fails.
 * 0, or -1 once the server runs. */
sint32 regist_alarm_func(void (*f)(const struct mario_alarm *));

#ifdef __cplusplus
}
#endif

#endif
