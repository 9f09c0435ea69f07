/*
 * dump.c: what the server does at this moment, as lines of the log. Runs on the master, which asks no worker: it
 * reads what they write anyway, and so it tells of those too that do not answer any more.
 */
#include "mario/server/dump.h"

#include <stdio.h>

#include "mario/base/id.h"
#include "mario/server/master.h"

enum {
    LINE_SIZE = 900,
    ROW_MAX = 64,    /* a counter's name and number at most */
    THREADS_MAX = 16 /* of the pool in a dump: the log's queue is not for a thousand lines */
};

void dump_counters(LOG_QUEUE *q, const char *what, const struct stats *blocks, uint32_t count)
{
    char line[LINE_SIZE] = "";
    size_t used = 0;
    for (int c = 0; c < STAT_COUNT; c++) {
        uint64_t sum = stats_get_shared((enum counter) c);
        for (uint32_t i = 0; i < count; i++)
            sum += stats_get(&blocks[i], (enum counter) c);
        if (sum == 0)
            continue;
        if (used > sizeof line - ROW_MAX) {
            slog_info_t(q, "%s:%s", what, line);
            used = 0;
        }
        used += (size_t) snprintf(line + used, sizeof line - used, " %s=%llu", stats_name((enum counter) c),
                                  (unsigned long long) sum);
    }
    slog_info_t(q, "%s:%s", what, line);
}

/* What a thread runs. False, and "idle", if nothing. */
static bool describe(const struct activity *a, char *text, size_t size)
{
    char peer[PEER_TEXT], function[32];
    uint64_t what = atomic_load_explicit(&a->what, memory_order_relaxed);
    uint64_t conn = atomic_load_explicit(&a->conn, memory_order_relaxed);
    struct peer from = activity_peer(a);
    if (activity_kind(what) == ACTIVITY_IDLE) {
        snprintf(text, size, "idle");
        return false;
    }
    peer_print(&from, peer, sizeof peer);
    snprintf(function, sizeof function, "akg_id 0x%04x", activity_akg(what));
    const char *in = activity_kind(what) == ACTIVITY_PACKET    ? function
                     : activity_kind(what) == ACTIVITY_FRAMING ? "in its framing"
                     : activity_kind(what) == ACTIVITY_SHAKE   ? "in a TLS handshake"
                     : activity_is_call(what)                  ? "in a call"
                                                               : "in a hook";
    if (conn == 0 && from.port != 0)
        snprintf(text, size, "%s, datagram from %s", in, peer);
    else
        snprintf(text, size, "%s, connection %u.%u.%u from %s", in, id_worker(conn), id_slot(conn),
                 id_generation(conn), peer);
    return true;
}

static void dump_worker(const struct master *m, uint32_t i)
{
    char text[160], time[32] = "";
    const struct activity *a = &m->activities[i];
    const struct watched *w = m->watchdog.of != NULL ? &m->watchdog.of[i] : NULL;
    uint32_t released = atomic_load_explicit(&m->workers[i].shard.released, memory_order_relaxed);
    bool runs = describe(a, text, sizeof text);
    if (runs && w != NULL && w->ms > 0 && w->what == atomic_load_explicit(&a->what, memory_order_relaxed))
        snprintf(time, sizeof time, ", for %u ms", w->ms);
    slog_info_t(m->qlog, "dump: worker %u: %u connections, %s%s", i, m->acceptor.assigned[i] - released, text,
                time);
}

static void dump_pool(const struct master *m)
{
    uint32_t busy = 0;
    for (uint32_t i = 0; i < m->offload_threads; i++) {
        char text[160];
        if (describe(&m->activities[ACTIVITIES_OF_POOL + i], text, sizeof text) && busy++ < THREADS_MAX)
            slog_info_t(m->qlog, "dump: offload thread %u: %s", i, text);
    }
    if (m->offload_threads > 0)
        slog_info_t(m->qlog, "dump: offload: %u of %u threads busy", busy, m->offload_threads);
}

void dump_all(const struct master *m)
{
    dump_counters(m->qlog, "dump", m->stats - m->workernum,
                  m->workernum + 1); /* the workers', then the master's */
    for (uint32_t i = 0; i < m->workernum; i++)
        dump_worker(m, i);
    dump_pool(m);
}
