/*
 * supervise.h: what the library needs of mario_supervise() inside the supervised process. Without supervision
 * all of it does nothing. For the thread that makes and runs the server.
 */
#ifndef MARIO_PROCESS_SUPERVISE_H
#define MARIO_PROCESS_SUPERVISE_H

#include <stdbool.h>

#include "mario/base/stats.h"
#include "mario/exec/activity.h"
#include "mario/net/listen.h"

/* The parent's listener of this address, listening with this backlog and keepalive, and in *a the port it got. It
 * stays the parent's: give it back with supervise_release(), do not close it. -1: it has none. */
int supervise_listener(struct listen_address *a, const struct listen_options *o);

/* Give it back. for_good: the server stops because it was asked to, so nobody is to wait for a next one; from
 * then on connects are refused. */
void supervise_release(const struct listen_address *a, int fd, bool for_good);

/* The parent's sockets for datagrams of this address, if it has `count`: copies, the caller's to close; the port they
 * got in *a. Datagrams wait in them for the next process. False: it has none. */
bool supervise_datagrams(struct listen_address *a, int *fds, uint32_t count);

/* Tell the parent that the server listens. */
void supervise_ready(void);

/* What the parent is to go by from now on, of what was configured when it began; a text is copied. The master. */
struct supervise_tuning {
    uint32_t master_ms; /* without a beat until the process is ended, .. MARIO_WATCH_MAX; 0 = never */
    uint32_t drain_ms;  /* that a stop may take, and a drain before it */
    const char *log;    /* what gets the line about a death */
    enum mario_log_format format;
};
void supervise_tune(const struct supervise_tuning *t);

/* How often the master is to call supervise_beat(), in ms; 0 = nobody looks. And that it does from now on, or not any
 * more: the calling thread is the master. */
uint32_t supervise_beat_ms(void);
void supervise_beat(void);
void supervise_master(bool runs);

/* Whether this TERM or INT is the same word once more: what is sent to a whole group of processes comes
 * directly, and from the parent too. */
bool supervise_is_echo(void);

/* The table of all workers' activities, which the parent reads when this process is gone: ACTIVITIES of
 * them. NULL without a parent. */
struct activity *supervise_activities(void);

/* Add what happened before this process was started. */
void supervise_stats(struct stats *s);

#endif
