/*
 * suites.h: the table of the integration tests' suites. A row NAME means a function `Suite
 * *NAME_suite(void)`, in test_NAME.c, and the word NAME on the command line; one of TLS(NAME) is skipped where there is
 * no TLS. The longest stand first, so that runs that divide the suites end together.
 */
#ifndef ITEST_SUITES_H
#define ITEST_SUITES_H

#include <check.h>

#define SUITES(ROW, TLS) \
    ROW(cluster_days)    \
    ROW(edges)           \
    ROW(cluster_binds)   \
    TLS(tls_output)      \
    TLS(tls)             \
    ROW(slow)            \
    ROW(watch)           \
    ROW(cluster)         \
    ROW(master)          \
    ROW(wire)            \
    ROW(vectors)         \
    ROW(functions)       \
    ROW(cleanup)         \
    ROW(linger)          \
    ROW(life)            \
    ROW(api)             \
    ROW(programs)        \
    ROW(protocols)       \
    ROW(compat)          \
    ROW(start)           \
    ROW(overload)        \
    ROW(keepalive)       \
    ROW(load)            \
    ROW(commands)        \
    ROW(talk)            \
    ROW(sockets)         \
    ROW(signals)         \
    ROW(addresses)       \
    ROW(stop)            \
    ROW(log_place)       \
    ROW(takeover)        \
    ROW(crash)           \
    ROW(last_words)      \
    ROW(supervise)       \
    ROW(parent)          \
    ROW(notify)          \
    ROW(listen_fds)      \
    ROW(doctor_command)  \
    ROW(logging)         \
    ROW(alloc)           \
    ROW(offload)         \
    ROW(offload_ends)    \
    TLS(tls_offload)     \
    ROW(web)             \
    ROW(web_scripts)     \
    ROW(peer)            \
    ROW(proxied)         \
    ROW(balancers)       \
    TLS(tls_hostile)     \
    TLS(tls_seen)        \
    ROW(urgent)          \
    ROW(udp)             \
    ROW(udp_ends)        \
    ROW(fair)            \
    ROW(idle)            \
    ROW(admin_conns)     \
    ROW(admin_workers)   \
    ROW(admin_doors)     \
    ROW(admin_live)      \
    ROW(admin_top)       \
    ROW(reload)          \
    ROW(reload_keys)     \
    ROW(admission)       \
    ROW(admission_live)  \
    ROW(limits)          \
    ROW(config)          \
    TLS(tls_conf)        \
    TLS(tls_reload)      \
    ROW(admin)           \
    ROW(metrics)         \
    ROW(drain)           \
    TLS(tls_drain)       \
    ROW(framings)        \
    ROW(mqtt)            \
    ROW(websocket)       \
    TLS(tls_load)        \
    ROW(push)            \
    ROW(push_groups)     \
    ROW(push_calls)      \
    ROW(push_waits)      \
    ROW(route)           \
    ROW(push_users)      \
    ROW(push_slow)       \
    ROW(push_bad)        \
    ROW(push_faults)     \
    ROW(push_batches)    \
    ROW(push_hostile)    \
    ROW(push_frames)     \
    ROW(chat)            \
    ROW(chat_client)     \
    ROW(chat_cluster)    \
    ROW(cluster_conf)    \
    ROW(cluster_maritcp) \
    ROW(cluster_links)   \
    ROW(cluster_history) \
    ROW(cluster_crowd)

#define ROW(name) Suite *name##_suite(void);
SUITES(ROW, ROW)
#undef ROW

#endif
