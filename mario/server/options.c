/*
 * options.c: the options of a server: their defaults and ranges. For the thread that makes the server.
 */
#include "mario/server/options.h"

#include <stdint.h>

#include "mario/base/complain.h"
#include "mario/mario_compat.h"

void mario_options_init(struct mario_options *o)
{
    *o = (struct mario_options){.listen = "0.0.0.0:8082",
                                .unix_mode = 0666,
                                .strict_limits = 1,
                                .when_full = MARIO_FULL_REFUSE,
                                .assign = MARIO_ASSIGN_ROUND_ROBIN,
                                .timeout = 300,
                                .write_timeout = 60,
                                .packet_timeout = 10,
                                .keepalive = 0,
                                .max_pkglen = 8192,
                                .backlog = 4096,
                                .drain_timeout = 10,
                                .drain_time = 300,
                                .drain_delay = 5,
                                .drain_spread = 10,
                                .linger = 5,
                                .output_high = 256 * 1024,
                                .output_max = 4 * 1024 * 1024,
                                .watch_warn_ms = 100,
                                .watch_replace_ms = 5000,
                                .watch_replace_max = 10,
                                .watch_master_ms = 10000,
                                .offload_threads = 16,
                                .offload_queue = 1024,
                                .push_queue = 64,
                                .push_bytes = 1024 * 1024,
                                .push_memory = 256 * 1024 * 1024,
                                .push_slow = MARIO_SLOW_CLOSE,
                                .push_lowat = 16 * 1024,
                                .push_ring = 4096,
                                .push_uring = MARIO_URING_OFF,
                                .stats_timing = MARIO_TIMING_SAMPLED,
                                .slow_ms = 10,
                                .slow_keep = 256,
                                .admin_hosts = "localhost,127.0.0.1,[::1]",
                                .admit_v4_net = 24,
                                .admit_v6_host = 64,
                                .admit_v6_net = 48,
                                .admit_ban_seconds = 600,
                                .admit_table = 262144,
                                .limit_action = MARIO_LIMIT_PAUSE,
                                .tls_records = MARIO_TLS_OPENSSL,
                                .tls_handshake_timeout = 10,
                                .tls_handshakes = 256,
                                .tls_offload = MARIO_TLS_OFFLOAD_OFF};
}

void options_init_old(struct mario_options *o)
{
    mario_options_init(o);
    o->max_pkglen = MAX_PKG_LEN;
    o->packet_timeout = 0;
}

static bool in_range(const char *name, uint64_t value, uint64_t least, uint64_t most)
{
    if (value >= least && value <= most)
        return true;
    return complain("%s = %llu is out of range (allowed: %llu..%llu)", name, (unsigned long long) value,
                    (unsigned long long) least, (unsigned long long) most);
}

static bool push_check(const struct mario_options *o)
{
    if (o->push_queue == 0 && o->push_bytes == 0)
        return complain("push_queue and push_bytes are both 0: a slow reader would have no limit");
    if ((o->push_ring & (o->push_ring - 1)) != 0)
        return complain("push_ring = %u is no power of two", o->push_ring);
    return in_range("push_queue", o->push_queue, 0, MARIO_PUSH_QUEUE_MAX) &&
           in_range("push_bytes", o->push_bytes, 0, MARIO_PUSH_BYTES_MAX) &&
           in_range("push_groups", o->push_groups, 0, MARIO_PUSH_GROUPS_MAX) &&
           in_range("push_memory", o->push_memory, 0, MARIO_PUSH_MEMORY_MAX) &&
           in_range("push_slow", (unsigned) o->push_slow, 0, MARIO_SLOW_COALESCE) &&
           in_range("push_lowat", o->push_lowat, 0, MARIO_PUSH_LOWAT_MAX) &&
           in_range("push_ring", o->push_ring, MARIO_PUSH_RING_MIN, MARIO_PUSH_RING_MAX) &&
           in_range("push_uring", (unsigned) o->push_uring, 0, MARIO_URING_AUTO);
}

static bool admit_check(const struct mario_options *o)
{
    if ((o->admit_table & (o->admit_table - 1)) != 0)
        return complain("admit_table = %u is no power of two", o->admit_table);
    if (o->admit_v6_net > o->admit_v6_host)
        return complain("admit_v6_net = %u is above admit_v6_host = %u", o->admit_v6_net, o->admit_v6_host);
    return in_range("admit_rate", o->admit_rate, 0, MARIO_ADMIT_RATE_MAX) &&
           in_range("admit_ip_rate", o->admit_ip_rate, 0, MARIO_ADMIT_RATE_MAX) &&
           in_range("admit_net_rate", o->admit_net_rate, 0, MARIO_ADMIT_RATE_MAX) &&
           in_range("admit_v4_net", o->admit_v4_net, 1, 32) &&
           in_range("admit_v6_host", o->admit_v6_host, 1, 64) &&
           in_range("admit_v6_net", o->admit_v6_net, 1, 64) &&
           in_range("admit_ban_after", o->admit_ban_after, 0, MARIO_ADMIT_BAN_AFTER_MAX) &&
           in_range("admit_ban_seconds", o->admit_ban_seconds, 1, MARIO_TIMEOUT_MAX) &&
           in_range("admit_table", o->admit_table, MARIO_ADMIT_TABLE_MIN, MARIO_ADMIT_TABLE_MAX) &&
           in_range("admit_first_packet", o->admit_first_packet, 0, MARIO_TIMEOUT_MAX) &&
           in_range("limit_action", (unsigned) o->limit_action, 0, MARIO_LIMIT_CLOSE);
}

static bool tls_check(const struct mario_options *o)
{
    return in_range("tls_records", (unsigned) o->tls_records, 0, MARIO_TLS_SLIM) &&
           in_range("tls_handshake_timeout", o->tls_handshake_timeout, 1, MARIO_TLS_HANDSHAKE_MAX) &&
           in_range("tls_handshakes", o->tls_handshakes, 1, MARIO_TLS_HANDSHAKES_MAX) &&
           in_range("tls_offload", (unsigned) o->tls_offload, 0, MARIO_TLS_OFFLOAD_ALL);
}

bool options_check(const struct mario_options *o)
{
    if (o->output_high > o->output_max)
        return complain("output_high = %u is above output_max = %u", o->output_high, o->output_max);
    if (o->watch_replace_ms != 0 && o->watch_replace_ms < o->watch_warn_ms)
        return complain("watch_replace_ms = %u is below watch_warn_ms = %u", o->watch_replace_ms,
                        o->watch_warn_ms);
    return in_range("workernum", o->workernum, 0, MARIO_WORKERNUM_MAX) &&
           in_range("connnum", o->connnum, 0, MARIO_CONNNUM_MAX) &&
           in_range("when_full", (unsigned) o->when_full, 0, MARIO_FULL_WAIT) &&
           in_range("death_format", (unsigned) o->death_format, 0, MARIO_LOG_JSON) &&
           in_range("timeout", o->timeout, 0, MARIO_TIMEOUT_MAX) &&
           in_range("write_timeout", o->write_timeout, 0, MARIO_TIMEOUT_MAX) &&
           in_range("packet_timeout", o->packet_timeout, 0, MARIO_TIMEOUT_MAX) &&
           in_range("keepalive", o->keepalive, 0, MARIO_KEEPALIVE_MAX) &&
           in_range("drain_timeout", o->drain_timeout, 0, MARIO_DRAIN_MAX) &&
           in_range("drain_time", o->drain_time, 1, MARIO_DRAIN_TIME_MAX) &&
           in_range("drain_rate", o->drain_rate, 0, MARIO_DRAIN_RATE_MAX) &&
           in_range("drain_delay", o->drain_delay, 0, MARIO_DRAIN_MAX) &&
           in_range("drain_spread", o->drain_spread, 0, MARIO_DRAIN_MAX) &&
           in_range("linger", o->linger, 0, MARIO_LINGER_MAX) &&
           in_range("max_pkglen", o->max_pkglen, MARIO_PKGLEN_MIN, MARIO_PKGLEN_MAX) &&
           in_range("backlog", o->backlog, 1, MARIO_BACKLOG_MAX) &&
           in_range("unix_mode", o->unix_mode, 0, MARIO_UNIX_MODE_MAX) &&
           in_range("output_high", o->output_high, MARIO_OUTPUT_MIN, MARIO_OUTPUT_MAX) &&
           in_range("output_max", o->output_max, MARIO_OUTPUT_MIN, MARIO_OUTPUT_MAX) &&
           in_range("watch_warn_ms", o->watch_warn_ms, 0, MARIO_WATCH_MAX) &&
           in_range("watch_replace_ms", o->watch_replace_ms, 0, MARIO_WATCH_MAX) &&
           in_range("watch_replace_max", o->watch_replace_max, 0, MARIO_REPLACE_MAX) &&
           in_range("watch_master_ms", o->watch_master_ms, 0, MARIO_WATCH_MAX) &&
           in_range("stats_timing", (unsigned) o->stats_timing, 0, MARIO_TIMING_ALL) &&
           in_range("slow_ms", o->slow_ms, 0, MARIO_WATCH_MAX) &&
           in_range("slow_keep", o->slow_keep, 1, MARIO_SLOW_KEEP_MAX) &&
           in_range("offload_threads", o->offload_threads, 0, MARIO_OFFLOAD_THREADS_MAX) &&
           in_range("offload_queue", o->offload_queue, 1, MARIO_OFFLOAD_QUEUE_MAX) && push_check(o) &&
           admit_check(o) && tls_check(o);
}
