/*
 * online.c: how many clients are logged in. online_enter and online_leave run on the connection's worker,
 * online_report on the master.
 *
 * Each worker has a counter on a cache line of its own and is the only one to write it; the report reads them
 * all. So no lock, and no worker waits for another.
 */
#include "mario/mario.h"
#include "protocol/mario_protocol.h"

#include "function.h"

struct online {
    uint32 count; /* worker (w) -> master (r), relaxed */
} __attribute__((aligned(64)));

static struct online online_of[MARIO_WORKERNUM_MAX];

/* Move a counter; only its own worker. */
static void online_move(struct online *o, uint32 step)
{
    __atomic_store_n(&o->count, __atomic_load_n(&o->count, __ATOMIC_RELAXED) + step, __ATOMIC_RELAXED);
}

void online_enter(const CONN *c)
{
    online_move(&online_of[c->owner->ind], 1);
}

/* A connection that has a user was counted, by this worker: c->owner->ind is the same for its whole life. */
sint32 online_leave(CONN *c)
{
    if (login_user(c) != 0)
        online_move(&online_of[c->owner->ind], (uint32) -1);
    c->user = NULL;
    return 0;
}

void online_report(LOG_QUEUE *qlog, void *server)
{
    char each[768]; /* the log takes lines of 900 bytes */
    uint32 workers = mario_server_workernum(server), used = 0, total = 0;
    for (uint32 i = 0; i < workers; i++) {
        uint32 count = __atomic_load_n(&online_of[i].count, __ATOMIC_RELAXED);
        total += count;
        if (used < sizeof each - 12)
            used += (uint32) snprintf(each + used, sizeof each - used, "%s%u", i ? " " : "", count);
    }
    slog_info_t(qlog, "online %u (%.*s%s)", total, (int) used, each, used < sizeof each - 12 ? "" : " ...");
}
