/*
 * live.c: which options can change while the server runs. live_of() runs on whatever thread has read them, live_apply()
 * on the master, or before there is one on the thread that makes the server.
 */
#include "mario/server/live.h"

#include <stdio.h>
#include <string.h>

#include "mario/conn/message.h"
#include "mario/process/supervise.h"
#include "mario/server/master.h"

static uint32_t ticks(uint32_t seconds)
{
    return seconds * (1000 / TICK_MS);
}

static struct settings settings_of(const struct mario_options *o)
{
    return (struct settings){.timeout = ticks(o->timeout),
                             .write_timeout = ticks(o->write_timeout),
                             .packet_timeout = ticks(o->packet_timeout),
                             .drain_timeout = ticks(o->drain_timeout),
                             .linger = ticks(o->linger),
                             .output_high = o->output_high,
                             .output_max = o->output_max,
                             .push_slow = o->push_slow,
                             .push_queue = o->push_queue,
                             .push_groups = o->push_groups,
                             .push_bytes = o->push_bytes,
                             .push_lowat = o->push_lowat,
                             .drain_spread = o->drain_spread,
                             .first_packet = ticks(o->admit_first_packet),
                             .limit_packets = o->limit_packets,
                             .limit_bytes = o->limit_bytes,
                             .tls_handshake_timeout = ticks(o->tls_handshake_timeout),
                             .tls_handshakes = o->tls_handshakes,
                             .limit_closes = o->limit_action == MARIO_LIMIT_CLOSE};
}

void live_of(struct live *l, const struct mario_options *o)
{
    struct master_live *m = &l->master;
    l->worker = settings_of(o);
    *m = (struct master_live){
        .drain_timeout = o->drain_timeout,
        .when_full = o->when_full,
        .assign = o->assign,
        .backlog = o->backlog,
        .keepalive = o->keepalive,
        .push_memory = o->push_memory,
        .watch = {.warn_ms = o->watch_warn_ms,
                  .replace_ms = o->watch_replace_ms,
                  .replace_max = o->watch_replace_max},
        .drain = {.time = o->drain_time,
                  .rate = o->drain_rate,
                  .delay = o->drain_delay,
                  .on_term = o->drain_on_term != 0},
        .timing = {.mode = o->stats_timing, .slow_ms = o->slow_ms, .slow_keep = o->slow_keep},
        .master_ms = o->watch_master_ms,
        .death_format = o->death_format};
    snprintf(m->death_log, sizeof m->death_log, "%s", o->death_log != NULL ? o->death_log : "-");
}

void live_apply(struct master *m, const struct master_live *l)
{
    m->drain_timeout = l->drain_timeout;
    m->acceptor.when_full = l->when_full;
    m->acceptor.assign = l->assign;
    acceptor_tune(&m->acceptor, l->backlog, l->keepalive);
    message_limit_to(l->push_memory);
    watchdog_limit(&m->watchdog, &l->watch);
    drain_limit(m, &l->drain);
    timing_configure(&l->timing);
    crash_log_to(l->death_log, l->death_format);
    supervise_tune(&(struct supervise_tuning){.master_ms = l->master_ms,
                                              .drain_ms = l->drain_timeout * 1000 + drain_term_ms(&l->drain),
                                              .log = l->death_log,
                                              .format = l->death_format});
    master_beat(m);
    admission_take(&m->admission, l->rules);
}
