/*
 * alarm.c: saying that a function blocks, a thread died. Runs on the master, but for regist_alarm_func(). No lock,
 * no heap.
 */
#include "mario/server/alarm.h"

#include <stdio.h>
#include <string.h>

#include "mario/base/id.h"
#include "mario/base/peer.h"
#include "mario/exec/registry.h"
#include "mario/exec/timing.h"

#undef MARIO_LOG_SUBSYSTEM
#define MARIO_LOG_SUBSYSTEM MARIO_LOG_IN_watch

enum { LINES_A_SECOND = 4 };

static struct log_limit lines;

static void (*alarm_func)(const struct mario_alarm *); /* written before start, then constant */

int32_t regist_alarm_func(void (*f)(const struct mario_alarm *))
{
    if (registry_is_frozen())
        return -1;
    alarm_func = f;
    return 0;
}

struct mario_alarm alarm_of(const struct activity *b, uint64_t what, uint32_t worker, uint32_t ms)
{
    struct peer peer = activity_peer(b);
    struct mario_alarm a = {.worker = worker,
                            .akg_id = activity_is_call(what) ? 0 : activity_akg(what),
                            .cip = peer_v4(&peer),
                            .cport = peer.port,
                            .conn = atomic_load_explicit(&b->conn, memory_order_relaxed),
                            .ms = ms,
                            .is_call = activity_kind(what) == ACTIVITY_FRAMING ? 2
                                       : activity_kind(what) == ACTIVITY_SHAKE ? 3
                                                                               : activity_is_call(what),
                            .backtrace = ""};
    if (a.cip == 0)
        memcpy(a.cip6, peer.address, sizeof a.cip6);
    return a;
}

static void name_peer(const struct mario_alarm *a, char *text, uint32_t size)
{
    struct peer peer = a->cip != 0 ? peer_of_v4(a->cip, a->cport) : peer_of_v6(a->cip6, a->cport);
    if (a->cport == 0)
        snprintf(text, size, "a unix socket");
    else
        peer_print(&peer, text, size);
}

const char *alarm_describe(const struct mario_alarm *a, char *text, size_t size)
{
    static const char *const hooks[] = {"the connected hook", "the timeout hook", "the closed hook",
                                        "the error hook"};
    char function[32], peer[PEER_TEXT];
    snprintf(function, sizeof function, "%sfunction 0x%04x", a->pool_thread != 0 ? "offloaded " : "",
             a->akg_id);
    if (a->is_call)
        snprintf(function, sizeof function, "%s",
                 a->is_call == 2   ? "the framing"
                 : a->is_call == 3 ? "the TLS handshake"
                                   : "a call (run, timer ...)");
    if (a->is_call && a->conn == 0) {
        snprintf(text, size, "%s", function);
        return text;
    }
    name_peer(a, peer, sizeof peer);
    if (a->conn == 0) {
        snprintf(text, size, "%s of a datagram from %s", function, peer);
        return text;
    }
    snprintf(text, size, "%s of connection %u.%u.%u from %s",
             a->akg_id >= AKG_FIRST_RESERVED ? hooks[a->akg_id - AKG_FIRST_RESERVED] : function,
             id_worker(a->conn), id_slot(a->conn), id_generation(a->conn), peer);
    return text;
}

/* Log it; the alarms behind the first few of a second are counted in the next line. */
static void log_alarm(const struct alarm_target *to, const struct mario_alarm *a)
{
    char who[128], where[32];
    uint32_t held_back;
    const char *trace = a->backtrace[0] != '\0' ? a->backtrace : "unknown";
    if (!log_limit_pass(&lines, LINES_A_SECOND, &held_back))
        return;
    if (held_back > 0)
        slog_warn_t(to->qlog, "watch: %u more were not shown", held_back);
    alarm_describe(a, who, sizeof who);
    snprintf(where, sizeof where, a->pool_thread != 0 ? "pool-%u" : "worker %u",
             a->pool_thread != 0 ? a->pool_thread - 1 : a->worker);
    switch (a->kind) {
    case MARIO_ALARM_POOL:
        slog_err_t(
            to->qlog,
            "all %u threads for offloaded functions have been at the same ones for %u ms, and packets wait; "
            "one is %s",
            a->pool_thread, a->ms, who);
        break;
    case MARIO_ALARM_STUCK:
        slog_warn_t(to->qlog, "%s: %s has been running for %u ms; at %s", where, who, a->ms, trace);
        break;
    case MARIO_ALARM_BACK:
        slog_warn_t(to->qlog, "%s: %s is back after %u ms", where, who, a->ms);
        break;
    case MARIO_ALARM_REPLACED:
        slog_err_t(to->qlog, "worker %u: %s did not return for %u ms: another thread has taken its place",
                   a->worker, who, a->ms);
        break;
    case MARIO_ALARM_DIED:
        slog_err_t(to->qlog, "worker %u: its thread ended in %s", a->worker,
                   a->akg_id != 0 || a->conn != 0 || a->cport != 0 ? who : "the loop");
        break;
    case MARIO_ALARM_LIMIT:
        slog_err_t(to->qlog,
                   "worker %u: %s is not replaced: watch.replace_max is %u a minute, or there is no memory",
                   a->worker, who, to->replace_max);
        break;
    }
}

/* A function that did not return, or has ended its thread, is counted here: nobody else can. */
static void count_lost(const struct mario_alarm *a)
{
    struct slow_entry e = {.when = clock_ns(),
                           .took = a->ms * UINT64_C(1000000),
                           .conn = a->conn,
                           .index = a->is_call ? TIMING_CALL : a->akg_id,
                           .packets = 1,
                           .peer = a->cip != 0 ? peer_of_v4(a->cip, a->cport) : peer_of_v6(a->cip6, a->cport),
                           .never = true};
    if (a->conn != 0 || a->is_call || a->cport != 0)
        timing_lost(&e);
}

void alarm_tell(const struct alarm_target *to, struct mario_alarm *a, enum mario_alarm_kind kind)
{
    static const enum counter counters[] = {
        [MARIO_ALARM_STUCK] = STAT_watch_stuck,       [MARIO_ALARM_BACK] = STAT_watch_back,
        [MARIO_ALARM_REPLACED] = STAT_watch_replaced, [MARIO_ALARM_DIED] = STAT_watch_died,
        [MARIO_ALARM_LIMIT] = STAT_watch_limited,     [MARIO_ALARM_POOL] = STAT_watch_pool,
    };
    a->kind = kind;
    stats_add(to->stats, counters[kind], 1);
    log_alarm(to, a);
    if (kind == MARIO_ALARM_REPLACED || kind == MARIO_ALARM_DIED)
        count_lost(a);
    if (alarm_func != NULL)
        alarm_func(a);
}
