/*
 * stats.h: the counter table. Each thread has a block of its own and is its only writer; whoever reads sums
 * the blocks.
 */
#ifndef MARIO_BASE_STATS_H
#define MARIO_BASE_STATS_H

#include <stdatomic.h>
#include <stdbool.h>
#include <stdint.h>

#include "mario/base/reason.h"

/* A row: its name; COUNTER, or GAUGE if it goes down, too; the metric it is exported as, behind mario_, with its label
 * if several rows are one metric, which stand together then; "" = not at all; what it counts. The reasons of reason.h
 * follow as closed_NAME. */
#define COUNTERS(ROW)                                                                                        \
    ROW(accepted, COUNTER, "accepts_total", "Connections taken from the kernel.")                            \
    ROW(refused_full, COUNTER, "refused_total{reason=\"full\"}", "No worker had a place.")                   \
    ROW(refused_ring, COUNTER, "refused_total{reason=\"ring\"}",                                             \
        "Places, but every such worker's ring was full.")                                                    \
    ROW(refused_drain, COUNTER, "refused_total{reason=\"drain\"}", "The server was being drained.")          \
    ROW(refused_stop, COUNTER, "refused_total{reason=\"stop\"}", "The server was stopping.")                 \
    ROW(refused_gate_ip_conns, COUNTER, "refused_total{reason=\"gate_ip_conns\"}",                           \
        "Its address had admit.ip_conns connections.")                                                       \
    ROW(refused_gate_ip_rate, COUNTER, "refused_total{reason=\"gate_ip_rate\"}",                             \
        "Its address came more often than admit.ip_rate.")                                                   \
    ROW(refused_gate_net_conns, COUNTER, "refused_total{reason=\"gate_net_conns\"}",                         \
        "Its network had admit.net_conns connections.")                                                      \
    ROW(refused_gate_net_rate, COUNTER, "refused_total{reason=\"gate_net_rate\"}",                           \
        "Its network came more often than admit.net_rate.")                                                  \
    ROW(refused_gate_deny, COUNTER, "refused_total{reason=\"gate_deny\"}", "It is in admit.deny_file.")      \
    ROW(refused_gate_ban, COUNTER, "refused_total{reason=\"gate_ban\"}", "It is banned.")                    \
    ROW(refused_untrusted, COUNTER, "refused_total{reason=\"untrusted\"}",                                   \
        "It may not say whose connection it passes on: trust=.")                                             \
    ROW(refused_lobby, COUNTER, "refused_total{reason=\"lobby\"}",                                           \
        "Too many waited for their PROXY header.")                                                           \
    ROW(gate_overflow, COUNTER, "gate_overflow_total",                                                       \
        "Connections let in and not counted: the table of addresses was full.")                              \
    ROW(gate_bans, COUNTER, "gate_bans_total", "Addresses banned: admit.ban_after.")                         \
    ROW(gate_counted, GAUGE, "gate_counted", "Connections that the table counts for addresses or networks.") \
    ROW(accept_paced, COUNTER, "accept_paced_total", "Times the listeners rested because of admit.rate.")    \
    ROW(accept_emfile, COUNTER, "accept_errors_total{errno=\"EMFILE\"}", "Accept failed with this error.")   \
    ROW(accept_enfile, COUNTER, "accept_errors_total{errno=\"ENFILE\"}", "Accept failed with this error.")   \
    ROW(accept_enobufs, COUNTER, "accept_errors_total{errno=\"ENOBUFS\"}", "Accept failed with this error.") \
    ROW(accept_enomem, COUNTER, "accept_errors_total{errno=\"ENOMEM\"}", "Accept failed with this error.")   \
    ROW(accept_eperm, COUNTER, "accept_errors_total{errno=\"EPERM\"}", "Accept failed with this error.")     \
    ROW(accept_econnaborted, COUNTER, "accept_errors_total{errno=\"ECONNABORTED\"}",                         \
        "Accept failed with this error.")                                                                    \
    ROW(accept_eintr, COUNTER, "accept_errors_total{errno=\"EINTR\"}", "Accept failed with this error.")     \
    ROW(accept_other, COUNTER, "accept_errors_total{errno=\"other\"}",                                       \
        "Accept failed with any other error.")                                                               \
    ROW(accept_pauses, COUNTER, "accept_pauses_total",                                                       \
        "Times the listeners rested because accept failed or nobody had a place.")                           \
    ROW(opened, COUNTER, "connections_opened_total", "Connections that began on a worker.")                  \
    ROW(proxied, COUNTER, "connections_proxied_total", "Connections that began with a PROXY header.")        \
    ROW(tls_handshakes_12, COUNTER, "tls_handshakes_total{version=\"1.2\"}",                                 \
        "Handshakes of TLS that came to a good end.")                                                        \
    ROW(tls_handshakes_13, COUNTER, "tls_handshakes_total{version=\"1.3\"}",                                 \
        "Handshakes of TLS that came to a good end.")                                                        \
    ROW(tls_resumed, COUNTER, "tls_resumed_total", "Of these, those that resumed a former session.")         \
    ROW(tls_offloaded, COUNTER, "tls_offloaded_total", "Steps of handshakes that other threads took.")       \
    ROW(tls_waited, COUNTER, "tls_waited_total", "Handshakes that waited for one of tls.handshakes places.") \
    ROW(tls_shaking, GAUGE, "tls_shaking", "Handshakes that have such a place now.")                         \
    ROW(tls_failed_protocol, COUNTER, "tls_failed_total{fault=\"protocol\"}", "What came was no TLS.")       \
    ROW(tls_failed_version, COUNTER, "tls_failed_total{fault=\"version\"}", "No version in common.")         \
    ROW(tls_failed_cipher, COUNTER, "tls_failed_total{fault=\"cipher\"}", "No cipher in common.")            \
    ROW(tls_failed_alpn, COUNTER, "tls_failed_total{fault=\"alpn\"}", "No protocol (ALPN) in common.")       \
    ROW(tls_failed_client_certificate, COUNTER, "tls_failed_total{fault=\"client_certificate\"}",            \
        "No good certificate of the client.")                                                                \
    ROW(tls_failed_alert, COUNTER, "tls_failed_total{fault=\"alert\"}", "The client refused us.")            \
    ROW(tls_failed_record, COUNTER, "tls_failed_total{fault=\"record\"}",                                    \
        "A record that was changed, too long or none.")                                                      \
    ROW(tls_failed_storm, COUNTER, "tls_failed_total{fault=\"storm\"}", "Too many records without data.")    \
    ROW(tls_failed_other, COUNTER, "tls_failed_total{fault=\"other\"}", "For another reason.")               \
    ROW(tls_truncated, COUNTER, "tls_truncated_total",                                                       \
        "Connections whose client closed without close_notify.")                                             \
    ROW(tls_key_updates, COUNTER, "tls_key_updates_total", "New keys that clients announced.")               \
    ROW(ungreeted, COUNTER, "connections_ungreeted_total",                                                   \
        "Connections that ended before their connected hook was due.")                                       \
    ROW(urgent_marks, COUNTER, "urgent_marks_total", "Times the function for urgent data was called.")       \
    ROW(packets_in, COUNTER, "packets_received_total", "Packets handed to a function.")                      \
    ROW(bytes_in, COUNTER, "received_bytes_total", "Bytes received from clients.")                           \
    ROW(bytes_out, COUNTER, "sent_bytes_total", "Bytes for clients that the kernel took.")                   \
    ROW(watch_stuck, COUNTER, "watch_events_total{event=\"stuck\"}",                                         \
        "Functions that ran for watch.warn_ms.")                                                             \
    ROW(watch_back, COUNTER, "watch_events_total{event=\"back\"}",                                           \
        "Of these, those that returned before they were replaced.")                                          \
    ROW(watch_buried, COUNTER, "watch_events_total{event=\"buried\"}",                                       \
        "Of the replaced ones, those whose function has returned since.")                                    \
    ROW(watch_replaced, COUNTER, "watch_events_total{event=\"replaced\"}",                                   \
        "Workers whose thread was replaced because of that.")                                                \
    ROW(watch_died, COUNTER, "watch_events_total{event=\"died\"}", "Threads that ended in a function.")      \
    ROW(watch_limited, COUNTER, "watch_events_total{event=\"limited\"}",                                     \
        "Times a worker was not replaced: too many within a minute, or no memory.")                          \
    ROW(watch_silent, COUNTER, "watch_events_total{event=\"silent\"}",                                       \
        "Times a worker did not come round, though no function of a connection ran.")                        \
    ROW(watch_pool, COUNTER, "watch_events_total{event=\"pool\"}",                                           \
        "Times all threads for offloaded functions were stuck, and packets waited.")                         \
    ROW(function_slow, COUNTER, "function_slow_total", "Calls of functions that took slow.ms or longer.")    \
    ROW(output_pending, GAUGE, "output_pending_bytes",                                                       \
        "Bytes that wait for connections now, replies and messages.")                                        \
    ROW(limit_paused, COUNTER, "limit_paused_total",                                                         \
        "Times a connection was not read because of limit.packets, limit.bytes.")                            \
    ROW(truncated, COUNTER, "truncated_total",                                                               \
        "Connections whose peer closed within a packet: what had come of it is dropped.")                    \
    ROW(output_paused, COUNTER, "output_paused_total",                                                       \
        "Times a connection was not read because of output.high.")                                           \
    ROW(writes_outside, COUNTER, "writes_outside_total",                                                     \
        "Writes to a connection outside its own functions: dropped.")                                        \
    ROW(lingered, COUNTER, "lingered_total",                                                                 \
        "Connections whose socket stayed behind their end for what was on its way.")                         \
    ROW(linger_reset, COUNTER, "linger_reset_total", "Of these, those that an RST ended.")                   \
    ROW(fd_lost, COUNTER, "fd_lost_total",                                                                   \
        "Descriptors that were not closed: the application had done that.")                                  \
    ROW(offload_jobs, COUNTER, "offload_jobs_total",                                                         \
        "Packets handed to the threads for offloaded functions.")                                            \
    ROW(offload_full, COUNTER, "offload_full_total",                                                         \
        "Times a connection waited since offload.queue of them were out.")                                   \
    ROW(offload_dropped, COUNTER, "offload_dropped_total", "Replies whose connection had ended.")            \
    ROW(offload_cancelled, COUNTER, "offload_cancelled_total",                                               \
        "Packets whose connection ended before a thread took them: they do not run.")                        \
    ROW(offload_died, COUNTER, "offload_died_total",                                                         \
        "Threads that ended in an offloaded function, and were replaced.")                                   \
    ROW(reloads, COUNTER, "config_reloads_total", "Times settings were taken over while it ran.")            \
    ROW(reload_failed, COUNTER, "config_reload_failed_total",                                                \
        "Times they were not: something was wrong with them.")                                               \
    ROW(restarts, COUNTER, "restarts_total", "Times this process was started again by mario_supervise().")   \
    ROW(died_sigsegv, COUNTER, "deaths_total{cause=\"SIGSEGV\"}", "A forerunner died of this signal.")       \
    ROW(died_sigabrt, COUNTER, "deaths_total{cause=\"SIGABRT\"}", "A forerunner died of this signal.")       \
    ROW(died_sigbus, COUNTER, "deaths_total{cause=\"SIGBUS\"}", "A forerunner died of this signal.")         \
    ROW(died_sigfpe, COUNTER, "deaths_total{cause=\"SIGFPE\"}", "A forerunner died of this signal.")         \
    ROW(died_sigill, COUNTER, "deaths_total{cause=\"SIGILL\"}", "A forerunner died of this signal.")         \
    ROW(died_sigkill, COUNTER, "deaths_total{cause=\"SIGKILL\"}", "A forerunner died of this signal.")       \
    ROW(died_signal, COUNTER, "deaths_total{cause=\"signal\"}", "A forerunner died of any other signal.")    \
    ROW(died_hung, COUNTER, "deaths_total{cause=\"hung\"}",                                                  \
        "Ended by its parent, since its master did not go on.")                                              \
    ROW(died_exit, COUNTER, "deaths_total{cause=\"exit\"}", "It ended with an exit code that is not 0.")     \
    ROW(push_targets, COUNTER, "push_targets_total",                                                         \
        "Messages for a connection: each becomes one of the seven below.")                                   \
    ROW(push_sent, COUNTER, "push_sent_total", "The kernel took all of it.")                                 \
    ROW(push_dropped_oldest, COUNTER, "push_dropped_oldest_total", "It waited, and had to make room.")       \
    ROW(push_dropped_newest, COUNTER, "push_dropped_newest_total", "It found no room.")                      \
    ROW(push_coalesced, COUNTER, "push_coalesced_total",                                                     \
        "It waited, and a later one with its key took its place.")                                           \
    ROW(push_dropped_closed, COUNTER, "push_dropped_closed_total", "Its connection ended before.")           \
    ROW(push_unframed, COUNTER, "push_unframed_total",                                                       \
        "The framing of its connection cannot carry it, or had no answer.")                                  \
    ROW(push_pending, GAUGE, "push_pending", "Messages that wait for a connection now.")                     \
    ROW(push_gone, COUNTER, "push_gone_total", "Messages for a connection that had ended: nobody's.")        \
    ROW(push_refused_ring, COUNTER, "push_refused_ring_total",                                               \
        "Orders that were not accepted: a ring was full.")                                                   \
    ROW(push_refused_groups, COUNTER, "push_refused_groups_total",                                           \
        "Orders to join that did nothing: the connection was in push.groups already.")                       \
    ROW(push_refused_memory, COUNTER, "push_refused_memory_total",                                           \
        "Messages not made: no memory, or over push.memory.")                                                \
    ROW(push_victims, COUNTER, "push_victims_total", "Times a connection gave way because of push.memory.")  \
    ROW(unacked, COUNTER, "push_unacked_bytes_total",                                                        \
        "Bytes that those pushed to had not acknowledged at their end.")                                     \
    ROW(admin_requests, COUNTER, "admin_requests_total", "Commands and pages that operators asked for.")     \
    ROW(admin_refused, COUNTER, "admin_refused_total",                                                       \
        "What came at the admin's addresses and was refused.")                                               \
    ROW(admin_denied, COUNTER, "admin_denied_total", "Changes over TCP without the token.")                  \
    ROW(admin_dropped, COUNTER, "admin_dropped_total",                                                       \
        "Clients at the admin's addresses that had to go: too slow, or too many.")                           \
    ROW(admin_accept_failed, COUNTER, "admin_accept_failed_total",                                           \
        "Times accept failed at the admin's addresses.")                                                     \
    ROW(cluster_published, COUNTER, "cluster_published_total",                                               \
        "Messages that the bus to other nodes has taken.")                                                   \
    ROW(cluster_received, COUNTER, "cluster_received_total", "Messages of other nodes that came by it.")     \
    ROW(cluster_nobody, COUNTER, "cluster_nobody_total", "Messages for users who are on no node.")           \
    ROW(cluster_dropped, COUNTER, "cluster_dropped_total",                                                   \
        "Messages that other nodes do not get: no room, or the bus refused.")                                \
    ROW(cluster_lost, COUNTER, "cluster_lost_total",                                                         \
        "Messages of other nodes that were sent and did not come.")                                          \
    ROW(cluster_garbage, COUNTER, "cluster_garbage_total",                                                   \
        "What came on our channels and is no frame of ours.")                                                \
    ROW(cluster_unheard, COUNTER, "cluster_unheard_total",                                                   \
        "Users and groups that came and were not subscribed: no memory.")                                    \
    ROW(cluster_gaps, COUNTER, "cluster_gaps_total", "Times messages may have been missed.")                 \
    ROW(cluster_reconnects, COUNTER, "cluster_reconnects_total",                                             \
        "Connections to the bus that were made again.")                                                      \
    ROW(cluster_subscriptions, GAUGE, "cluster_subscriptions", "Users and groups subscribed now.")           \
    ROW(udp_in, COUNTER, "udp_received_total", "Datagrams that came.")                                       \
    ROW(udp_out, COUNTER, "udp_sent_total", "Replies to datagrams that the kernel took.")                    \
    ROW(udp_bad_stx, COUNTER, "udp_bad_total{reason=\"stx\"}", "Datagrams with a wrong stx.")                \
    ROW(udp_short, COUNTER, "udp_bad_total{reason=\"short\"}",                                               \
        "Datagrams that ended before their packet did.")                                                     \
    ROW(udp_trailing, COUNTER, "udp_bad_total{reason=\"trailing\"}",                                         \
        "Datagrams with something behind their packet.")                                                     \
    ROW(udp_bad_length, COUNTER, "udp_bad_total{reason=\"length\"}",                                         \
        "Datagrams that are no packet of their framing for another reason: its length, say.")                \
    ROW(udp_unknown, COUNTER, "udp_bad_total{reason=\"unknown\"}",                                           \
        "Datagrams for which no function is registered.")                                                    \
    ROW(udp_loop, COUNTER, "udp_bad_total{reason=\"loop\"}",                                                 \
        "Datagrams from a port that is one of ours, or from none.")                                          \
    ROW(udp_dropped, COUNTER, "udp_dropped_total",                                                           \
        "Datagrams that the kernel, or the queue of offloaded functions, had no room for.")                  \
    ROW(udp_amplified, COUNTER, "udp_amplified_total",                                                       \
        "Replies not sent since they were longer than amplify lets them be.")                                \
    ROW(udp_unsent, COUNTER, "udp_unsent_total",                                                             \
        "Replies that the kernel did not take, or that no datagram can hold.")                               \
    ROW(closed, COUNTER, "", "Connections that ended, all reasons.")

enum counter {
#define ROW(name, type, metric, help) STAT_##name,
    COUNTERS(ROW)
#undef ROW
#define ROW(name, hook, level) STAT_closed_##name,
        REASONS(ROW)
#undef ROW
            STAT_COUNT
};

struct stats {
    _Alignas(64) _Atomic uint64_t value[STAT_COUNT]; /* owner thread (w) -> any thread (r) */
};

/* Only the block's owner. */
static inline void stats_add(struct stats *s, enum counter i, uint64_t n)
{
    uint64_t v = atomic_load_explicit(&s->value[i], memory_order_relaxed);
    atomic_store_explicit(&s->value[i], v + n, memory_order_relaxed);
}

/* What threads count that have no block: any thread, at the cost of an atomic addition. The sum since it was last
 * taken; taking is for one thread at a time. */
void stats_add_shared(enum counter i, uint64_t n);
uint64_t stats_get_shared(enum counter i);
uint64_t stats_take_shared(enum counter i);

/* Any thread. */
static inline uint64_t stats_get(const struct stats *s, enum counter i)
{
    return atomic_load_explicit(&s->value[i], memory_order_relaxed);
}

/* Any thread: the counter of a reason, its name in log and metrics, and the same of a counter. */
static inline enum counter stats_of_reason(enum reason r)
{
    return (enum counter)(STAT_closed + r);
}
const char *stats_name(enum counter i);

/* How a counter is exported: the metric behind mario_ with its label, "" = not at all; what it counts, "" for reasons;
 * whether it goes down, too. Any thread. */
const char *stats_metric(enum counter i);
const char *stats_help(enum counter i);
bool stats_is_gauge(enum counter i);

#endif
