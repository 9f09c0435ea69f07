/*
 * unit.h: what the unit tests share. One file tests one module, or a part of it, and gives one suite.
 *
 * Each test runs in a process of its own (check's fork mode), so a test may leave threads and descriptors
 * behind when it fails. Threads that a test starts count what they find wrong; the test itself asserts after
 * joining them.
 */
#ifndef MARIO_UNIT_H
#define MARIO_UNIT_H

#include <check.h>
#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

#include "test/lib/skip.h"

/* ---- The suites ---- */

/* A row NAME means a function `Suite *NAME_suite(void)`, in test_NAME.c, and the word NAME on the command line. A
 * row TLS(NAME) is one that a build without TLS has not. */
#define SUITES(ROW, TLS) \
    ROW(spsc)            \
    ROW(doorbell)        \
    ROW(spans)           \
    ROW(trim)            \
    ROW(wheel)           \
    ROW(head)            \
    ROW(frames)          \
    ROW(listeners)       \
    ROW(registry)        \
    ROW(options)         \
    ROW(message)         \
    ROW(outbox)          \
    ROW(delivery)        \
    ROW(delivery_memory) \
    ROW(variants)        \
    ROW(pool)            \
    ROW(pool_ends)       \
    ROW(dispatch)        \
    ROW(guests)          \
    ROW(looks)           \
    ROW(log)             \
    ROW(log_sinks)       \
    ROW(log_disks)       \
    ROW(conf)            \
    ROW(conf_change)     \
    TLS(tls_sections)    \
    TLS(tls_publish)     \
    ROW(asker)           \
    ROW(clients)         \
    TLS(clients_tls)     \
    ROW(privilege)       \
    ROW(listen)          \
    ROW(record)          \
    ROW(symbol)          \
    ROW(peer_text)       \
    ROW(cgroup)          \
    ROW(timing)          \
    ROW(prom)            \
    ROW(doctor)          \
    ROW(cidr)            \
    ROW(gate)            \
    ROW(live)            \
    ROW(http_head)       \
    ROW(web_head)        \
    ROW(web_parts)       \
    ROW(ws)              \
    ROW(ws_open)         \
    ROW(proxy)           \
    ROW(answer)          \
    ROW(mqtt_packets)    \
    ROW(certificates)    \
    TLS(tls_context)     \
    TLS(tls_session)     \
    TLS(tls_bytes)       \
    ROW(table)           \
    ROW(rooms)           \
    ROW(users)           \
    ROW(timers)          \
    ROW(cluster_options) \
    ROW(cluster_core)    \
    ROW(cluster_claims)  \
    ROW(cluster_frames)  \
    ROW(history)         \
    ROW(bus_redis)       \
    ROW(bus_nats_parts)  \
    ROW(bus_nats_owners) \
    ROW(bus_nats)        \
    ROW(history_engine)  \
    TLS(tls_record)      \
    TLS(tls_kdf)         \
    TLS(tls_slim)        \
    TLS(tls_slim_limits) \
    TLS(tls_take)        \
    ROW(bus_redis_days)

#define ROW(name) Suite *name##_suite(void);
SUITES(ROW, ROW)
#undef ROW

/* ---- Helpers, in unit_main.c; any thread ---- */

/* 1 in a plain build, more under a sanitizer: rounds are divided by it, time limits multiplied. */
#if defined(__SANITIZE_THREAD__)
#define UNIT_SLOW 8
#elif defined(__SANITIZE_ADDRESS__)
#define UNIT_SLOW 4
#elif defined(__has_feature)
#if __has_feature(thread_sanitizer)
#define UNIT_SLOW 8
#elif __has_feature(address_sanitizer) || __has_feature(memory_sanitizer)
#define UNIT_SLOW 4
#endif
#endif
#ifndef UNIT_SLOW
#define UNIT_SLOW 1
#endif

/* As ck_assert() where it runs a million times: check tells its parent of every assert, with a system call.
 */
#define UNIT_ASSERT(x) ((x) ? (void) 0 : (void) unit_failed(__FILE__, __LINE__, #x))
_Noreturn void unit_failed(const char *file, int line, const char *what);

/* A test case in s that may take `seconds` a test in a plain build on a busy machine, then is killed as
 * failed. */
TCase *unit_case(Suite *s, const char *name, unsigned seconds);

/* The next number of a sequence that depends on *state alone (splitmix64). */
uint64_t unit_random(uint64_t *state);

/* Milliseconds of a clock that never jumps. */
uint64_t unit_ms(void);

/* True as soon as cond(arg) is, false if it is still not after limit_ms. */
bool unit_wait(bool (*cond)(void *arg), void *arg, unsigned limit_ms);

/* `size` bytes that end where a page begins that may not be touched: reading byte [size] is a crash. *base
 * and *mapped are for munmap(). NULL without memory. */
unsigned char *unit_guarded(size_t size, void **base, size_t *mapped);

/* ---- An allocator that fails, in unit_heap.c ---- */

/* Of this thread's calls of malloc, calloc, realloc and mmap from now on, `good` succeed and all behind them fail,
 * until unit_heap_heal(), which says how many did. Until then only UNIT_ASSERT(): check allocates with each of its
 * asserts. */
void unit_heap_fail(size_t good);
size_t unit_heap_heal(void);

/* Bytes of this process that are in memory. */
size_t unit_resident(void);

/* Whether bytes[0 .. n-1] stand anywhere in what this process can write to and shares with nobody, but for its stack:
 * where they may. Not with a sanitizer, whose own memory is without end. */
bool unit_memory_has(const void *bytes, size_t n);

#endif
