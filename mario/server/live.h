/*
 * live.h: which options can change while the server runs, as the threads need them: the workers' part is struct
 * settings, the master's is here. The rest of the options is constant.
 *
 * An option becomes a live one by a field in one of the two, a line in live_of() and, of the master's, one in
 * live_apply(); its row in conf/option.c says LIVE then.
 */
#ifndef MARIO_SERVER_LIVE_H
#define MARIO_SERVER_LIVE_H

#include "mario/conn/shard.h"
#include "mario/process/crash.h"
#include "mario/server/drain.h"
#include "mario/server/rules.h"
#include "mario/server/watchdog.h"

struct master_live {
    uint32_t drain_timeout; /* seconds */
    enum mario_when_full when_full;
    enum mario_assign assign;
    uint32_t backlog;
    uint32_t keepalive; /* seconds */
    size_t push_memory; /* bytes, 0 = any number */
    struct watchdog_limits watch;
    struct drain_limits drain;
    struct timing_options timing;
    uint32_t master_ms;        /* as watch_master_ms */
    char death_log[CRASH_LOG]; /* "-": standard error */
    enum mario_log_format death_format;
    struct rules *rules; /* this version's own; NULL after live_of() */
};

struct live {
    struct settings worker;
    struct master_live master;
};

struct master;

/* What these options, which are checked, say; worker.tls is the caller's to set. Any thread. */
void live_of(struct live *l, const struct mario_options *o);

/* Use the master's part from now on. The master, or who makes the server, before it runs. No heap, no lock. */
void live_apply(struct master *m, const struct master_live *l);

#endif
