/*
 * harness.h: what the integration tests share: starting a server of its own for each test, watching it,
 * stopping it, and the accounts that must balance afterwards; and a plain blocking client for one connection.
 *
 * A test runs in a process of its own (check's fork mode); the servers it starts die with it. All functions
 * are for the test's main thread unless said otherwise, fail the test with a message when they cannot do what
 * they say, and wait for conditions with a deadline. Milliseconds given here are for a plain build; under a
 * sanitizer they are multiplied by ITEST_SLOW.
 */
#ifndef ITEST_HARNESS_H
#define ITEST_HARNESS_H

#include <check.h>
#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>
#include <sys/types.h>

#include "suites.h"
#include "test/lib/clock.h"
#include "test/lib/net.h"
#include "test/lib/skip.h"
#include "test/lib/wire.h"

#if defined(__SANITIZE_THREAD__)
#define ITEST_SLOW 6
#elif defined(__SANITIZE_ADDRESS__)
#define ITEST_SLOW 3
#elif defined(__has_feature)
#if __has_feature(thread_sanitizer)
#define ITEST_SLOW 6
#elif __has_feature(address_sanitizer)
#define ITEST_SLOW 3
#endif
#endif
#ifndef ITEST_SLOW
#define ITEST_SLOW 1
#endif

/* ---- Tests ---- */

/* Whether this test, of that file, cannot be over TLS, and TLS is asked for; that it is left out is noted then. In
 * covered.c, as the list of these. */
bool covered_omits(const char *file, const char *test);
#undef tcase_add_test
#define tcase_add_test(c, t) tcase_add_loop_test(c, t, 0, 1)
#undef tcase_add_loop_test
#define tcase_add_loop_test(c, t, from, to) \
    (covered_omits(__FILE__, #t) ? (void) 0 : tcase_add_loop_test_raise_signal(c, t, 0, from, to))

/* A test case in s whose tests may take `seconds` each in a plain build on a busy machine. */
TCase *itest_case(Suite *s, const char *name, unsigned seconds);

/* As ck_assert() with a message, where it runs very often: check tells its parent of every assert, with a
 * system call. Main thread only. */
#define ITEST_ASSERT(x, ...)           \
    do {                               \
        if (!(x))                      \
            ck_abort_msg(__VA_ARGS__); \
    } while (0)

/* ---- Time ---- */

/* mono_ns() as it will be in ms * ITEST_SLOW milliseconds. Any thread. */
uint64_t itest_deadline(unsigned ms);
/* Milliseconds since `began`, a mono_ns(). Any thread. */
unsigned itest_ms_since(uint64_t began);
/* True as soon as cond(arg) is; false if it is still not after the time. Any thread. */
bool itest_wait(bool (*cond)(void *arg), void *arg, unsigned ms);
/* Sleep: for tests in which time itself is the matter, never to wait for something. Not multiplied. Any
 * thread. */
void itest_sleep(unsigned ms);

/* The number in the environment variable `name`, or `otherwise`. */
uint64_t itest_number(const char *name, uint64_t otherwise);

/* ---- A server ---- */

#define SERVER_ADDRESSES 16
#define LOG_LINES_MAX    14          /* two seconds of the limits may lie in one of the clock */
#define ITEST_STX        0x8eb69af7u /* of maritcp and testapp */

struct server {
    pid_t pid;                /* 0 = not running */
    char dir[64];             /* its own, under /tmp; removed by server_check() */
    char log[128], err[128];  /* its log, its standard error */
    struct net_target target; /* the first address it listens on */
    struct net_target addresses[SERVER_ADDRESSES];
    unsigned address_count;
    uint16_t port;          /* of the first address, 0 for a unix socket */
    unsigned fds;           /* descriptors it had right after the start */
    int exit_code;          /* once it is over; 128 + n after signal n */
    bool counts_itself;     /* testapp: answers server_counter() while it runs */
    unsigned log_lines_max; /* in a second of the clock, between start and stop; or as a test sets it */
    char final[4096];       /* once it is over: its last counters, " name=value name=value ..." */
};

/* How to start a program. Leave zero what is not needed. */
struct launch {
    const char *program;     /* "maritcp", or an app of test/apps/ */
    const char *const *args; /* ends with NULL; "section.key=value" is given as -o section.key=value */
    const char *listen;      /* server.listen; NULL: 127.0.0.1:0. Not for legacy apps */
    const char *preload;     /* a library of test/preload/, without .so; or NULL */
    const char *const *env;  /* more environment: "NAME=value", ends with NULL; or NULL */
    uint64_t nofile;         /* RLIMIT_NOFILE, soft and hard; 0 = as it is */
    uid_t owner;             /* 0, or whom the server's directory is given to, so that it can log there */
    uint64_t fsize;          /* RLIMIT_FSIZE; 0 = as it is */
    bool bare;               /* give it args alone: no listen, no log.file */
    const int *handed;       /* descriptors for it, 3 and on, as LISTEN_FDS says; ends with -1; or NULL */
    bool deaf;       /* every signal is blocked and, where that can be, ignored: who starts it is careless */
    bool first;      /* it is process 1 of a namespace of its own; see launch_can_be_first() */
    bool stop_waits; /* TERM is blocked and pending from its first instruction on: it starts, then stops */
};

/* Start it and wait until it listens. The words after program end with NULL and are launch.args. */
void server_launch(struct server *s, const struct launch *l);
void server_start(struct server *s, const char *program, ...) __attribute__((sentinel));

/* The same for one that runs already, a daemon: the caller became a subreaper before its starter ended, and its log and
 * standard error are `dir`/log and `dir`/err. */
void server_adopt(struct server *s, const char *dir);

/* Run a program to its end, within 40 s. Its output and standard error go to out and err (cut to size,
 * with a NUL). Returns the exit code, 128 + n after signal n. For client programs and for servers that
 * must not start. */
int itest_run(const struct launch *l, char *out, size_t out_size, char *err, size_t err_size);
/* Whether launch.first is possible here; if not, says so. s.pid is then its parent, which ends as it does. */
bool launch_can_be_first(void);
/* The path of an app, of maritcp, mario_test or mario_load; a path stays as it is. Static text. */
const char *itest_program(const char *name);
/* The root of the source tree: the tests lie in build/VARIANT/ below it. Static text. */
const char *itest_root(void);

/* What it costs and holds. Any thread. */
unsigned server_fds(const struct server *s);
uint64_t server_rss_kb(const struct server *s);
uint64_t server_cpu_ns(const struct server *s);

/* Wait until it has as many descriptors; until a line of its log contains text. Fail after ms. */
void server_wait_fds(const struct server *s, unsigned fds, unsigned ms);
void server_wait_log(const struct server *s, const char *text, unsigned ms);
/* How many lines of its log contain text. */
unsigned server_log_count(const struct server *s, const char *text);

/* A counter by its name (mario_stat, and testapp's own: see app.h of testapp), 0 if there is none. While it runs
 * testapp alone can be asked, on a connection that the counters then know too; once it is over, every
 * server. */
uint64_t server_counter(const struct server *s, const char *name);
/* Wait until the counter of a running testapp is at least `least`. */
void server_wait_counter(const struct server *s, const char *name, uint64_t least, unsigned ms);

void server_signal(const struct server *s, int sig);
/* Wait for its end, at most ms; sets exit_code and final. Returns exit_code. */
int server_wait_exit(struct server *s, unsigned ms);

/* Send TERM, wait for the end (12 s) and check the accounts: exit code 0; opened == closed == the sum of closed_*;
 * accepted == opened + refused_*; nobody is counted at the gate; push_targets == what became of them; no sanitizer
 * report; at most log_lines_max lines in a second; for testapp also: each connected hook had exactly one end hook on
 * the same thread, and found a fresh connection. */
void server_stop(struct server *s);
/* The same for a test that has closed its connections: first descriptors must be back at the start value. */
void server_finish(struct server *s);
/* The accounts alone, after server_wait_exit(). Removes dir. */
void server_check(struct server *s);
/* After server_wait_exit(), for a server whose log a test has spoiled: no accounts, but no report of a
 * sanitizer. Removes dir. */
void server_discard(struct server *s);

/* ---- One plain connection ---- */

/* How a connection ended, as its client sees it. */
enum ending {
    END_OPEN,    /* it did not */
    END_FIN,     /* the server closed it */
    END_RST,     /* it was reset */
    END_TIMEOUT, /* nothing came in time */
    END_REFUSED, /* it was never made */
    END_WRONG,   /* an answer was wrong; we closed it */
    END_OURS,    /* we closed it */
    END_KINDS
};

/* Connect to the server's first address, or to t. Returns a non-blocking descriptor; the caller closes it. */
int client_open(const struct server *s);
int client_open_at(const struct net_target *t);
/* From an address of 127/8, to a server on IPv4; which may have reset it already. */
int client_open_from(const struct server *s, const char *address);
/* The same with as small a receive buffer as there is, for clients that do not read. TCP over IPv4. */
int client_open_narrow(const struct server *s);
/* Whether there is IPv6 on the loopback here. */
bool client_has_ipv6(void);
/* How many connections this process has made so. Any thread. */
uint64_t client_opened(void);
/* A packet with ITEST_STX at out[0 .. 8+n-1]. Returns its length. Any thread. */
size_t client_packet(unsigned char *out, uint16_t akg_id, const void *data, size_t n);
/* Send all bytes; send a packet. */
void client_send(int fd, const void *data, size_t n);
void client_send_packet(int fd, uint16_t akg_id, const void *data, size_t n);
/* Receive exactly n bytes. */
void client_recv(int fd, void *data, size_t n);
/* Receive one packet with ITEST_STX and this akg_id into data (size bytes of room). Returns the length of
 * its data. */
size_t client_recv_packet(int fd, uint16_t akg_id, void *data, size_t size);
/* Send a packet and receive its answer, as above. */
size_t client_ask(int fd, uint16_t akg_id, const void *data, size_t n, void *answer, size_t size);
/* An ECHO with numbered data of n bytes must come back; fails otherwise. */
void client_echo(int fd, size_t n);
/* Read until the connection ends or ms have passed. What came before the end is counted in *extra (may be
 * NULL). */
enum ending client_ending(int fd, size_t *extra, unsigned ms);
/* The server must close with a FIN and send nothing before; then fd is closed. */
void client_expect_fin(int fd);
/* Close with an RST (SO_LINGER 0). */
void client_reset(int fd);
/* Have the kernel destroy the server's end of this IPv4 connection, as `ss -K` does: the server sees an
 * error, we an RST. Then fd is closed. False, and nothing done, where that is not permitted. */
bool client_destroy(int fd);
/* Whether the server has closed this IPv4 connection, though what it had sent before may still be on the way. */
bool client_is_closed(int fd);
/* Whether the kernel has forgotten the server's end: it holds none of its bytes, and waits for nothing. */
bool client_is_gone(int fd);

#endif
