/*
 * app.h: what the files of testapp share: first its state, then its functions. Commands are in commands.h.
 *
 * Functions and hooks run on the connection's worker, offloaded functions on a thread of the pool, main and timer
 * functions on the master.
 */
#ifndef TESTAPP_APP_H
#define TESTAPP_APP_H

#include "mario/mario.h"
#include "mario/mario_cluster.h"
#include "mario/mario_push.h"

#include <stdatomic.h>
#include <stdbool.h>

#include "commands.h"

#define STX         0x8eb69af7u
#define TRACK_MAGIC 0x7ac4u
#define SLOTS       20000 /* connections a worker that can be looked up by port */

/* ---- State: what main sets before the server starts, and all only read then ---- */

/* test.connected */
enum connected_mode {
    CONNECTED_NONE,
    CONNECTED_GREET,
    CONNECTED_REFUSE,
    CONNECTED_CLOSE,
    CONNECTED_BIG,
    CONNECTED_STICK,
    CONNECTED_DIE
};

/* test.end */
enum end_mode { END_ONLY_CHECKS, END_WRITES, END_IS_SLOW };

/* test.leave */
enum leave_mode { LEAVE_ONLY_TELLS, LEAVE_STICKS, LEAVE_CLOSES };

/* test.urgent */
enum urgent_mode { URGENT_ONLY_TELLS, URGENT_BIG, URGENT_CLOSES, URGENT_FAILS, URGENT_STICKS };

struct app {
    SERVER *server;
    struct mario_options options;
    enum connected_mode connected_mode;
    enum end_mode end_mode;
    enum leave_mode leave_mode;
    enum urgent_mode urgent_mode;
    bool with_hooks, with_offload, with_route, stderr_is_full; /* test.hooks, .offload, .route, .stderr */
    bool supervised, has_cluster;                              /* cluster.bus */
    struct mario_cluster_options cluster;                      /* cluster.* */
    const char *log_file, *listen2, *early;
};

extern struct app app; /* main.c */

/* ---- State: the app's own counters; any thread adds, TEST_STATS and the report read ---- */

#define OWN(ROW)                                                                  \
    ROW(hook_connected)                                                           \
    ROW(hook_end_closed)                                                          \
    ROW(hook_end_timeout)                                                         \
    ROW(hook_end_error)                                                           \
    ROW(wrong_thread)                                                             \
    ROW(wrong_state)                                                              \
    ROW(err_type) /* of the last end hook */                                      \
    ROW(functions)                                                                \
    ROW(cleanups)                                                                 \
    ROW(functions_away) /* those of them that were offloaded */                   \
    ROW(master_stalls)                                                            \
    ROW(master_returns)                                                           \
    ROW(alarm_stuck)                                                              \
    ROW(alarm_back)                                                               \
    ROW(alarm_replaced)                                                           \
    ROW(alarm_died)                                                               \
    ROW(alarm_pool)                                                               \
    ROW(alarm_limit)                                                              \
    ROW(called)    /* TEST_IN_CALLS got behind all calls */                       \
    ROW(alarm_akg) /* of the last alarm */                                        \
    ROW(alarm_v6)  /* those of IPv6 peers */                                      \
    ROW(usr1)      /* signals, with test.early = usr1 */                          \
    ROW(wrong_canary)                                                             \
    ROW(orders_accepted) /* of TEST_PUSH: calls of the library that returned 0 */ \
    ROW(orders_refused)  /* those that did not */                                 \
    ROW(scripts)         /* bodies of orders that were done */                    \
    ROW(run_calls)       /* functions of ORDER_RUN that found their connection */ \
    ROW(run_nobody)      /* functions of ORDER_RUN that found nobody */           \
    ROW(each_calls)                                                               \
    ROW(each_done)                                                                \
    ROW(each_seen) /* as the last one said */                                     \
    ROW(fired)     /* timers */                                                   \
    ROW(bound)                                                                    \
    ROW(bind_refused)                                                             \
    ROW(threads_done)                                                             \
    ROW(receipts)                                                                 \
    ROW(receipt_targets)                                                          \
    ROW(receipt_sent)                                                             \
    ROW(receipt_dropped)                                                          \
    ROW(route_to_users) /* test.route: what it was told, by kind */               \
    ROW(route_to_groups)                                                          \
    ROW(route_to_all)                                                             \
    ROW(route_kicks)                                                              \
    ROW(route_binds)                                                              \
    ROW(route_unbinds)                                                            \
    ROW(route_users)                                                              \
    ROW(route_groups)                                                             \
    ROW(route_own)                                                                \
    ROW(route_bytes)                                                              \
    ROW(route_holds) /* it takes nothing now */                                   \
    ROW(route_stops)                                                              \
    ROW(event_up) /* of the cluster */                                            \
    ROW(event_down)                                                               \
    ROW(event_gap)                                                                \
    ROW(event_joined)                                                             \
    ROW(event_left)                                                               \
    ROW(event_nobody)                                                             \
    ROW(resumed)                                                                  \
    ROW(wraps)       /* messages that the framing `wrapped` was asked to write */ \
    ROW(unwrapped)   /* cleanups of what it wrote */                              \
    ROW(accept_step) /* accepted between two timer functions of the master, the first time many were */

#define ROW(name) extern _Atomic uint64 own_##name; /* counters.c */
OWN(ROW)
#undef ROW

/* ---- State: of each connection, and of each worker; whose function or hook runs may touch it ---- */

enum at_end { END_QUIET, END_STICKS, END_DIES, END_CLOSES_FD };

/* In c->user, from the connected hook to the end hook. */
struct track {
    uint32 magic;  /* TRACK_MAGIC while the connection lives */
    uint32 thread; /* the number of the worker's thread that served it last, see hooks.c */
    sint32 at_end; /* enum at_end: what its end hook does besides */
    uint32 cip;
    uint16 cport;
    bool has_token;
    uint64 token;
    char peer[64];                   /* its name */
    const struct script *end_script; /* its end hook does this too, or NULL */
    uint64 due_ns[TEST_TIMERS];
};

/* Which slots of a worker are alive; only the worker touches its own. */
extern CONN *alive[MARIO_WORKERNUM_MAX][SLOTS]; /* hooks.c */

/* What else there is lies in the one file that uses it: hooks.c has `has_stuck`, block.c `unstuck` and `stall_ms`. */

/* ---- Functions: what answers each command ---- */

#define FUNCTIONS(ROW)                    \
    /* functions.c */                     \
    ROW(TEST_ECHO, do_echo)               \
    ROW(TEST_STATS, do_stats)             \
    ROW(TEST_WHO, do_who)                 \
    ROW(TEST_RETURN, do_return)           \
    ROW(TEST_REPLY, do_reply)             \
    ROW(TEST_MEGABYTE, do_megabyte)       \
    ROW(TEST_AMPLIFY, do_amplify)         \
    ROW(TEST_SILENT, do_silent)           \
    ROW(TEST_CANARY, do_canary)           \
    ROW(TEST_USER, do_user)               \
    ROW(TEST_CLOSE, do_close)             \
    ROW(TEST_WRITE_CLOSE, do_write_close) \
    ROW(TEST_CLOSE_ERR, do_close_err)     \
    ROW(TEST_CLOSE_OTHER, do_close_other) \
    ROW(TEST_STOP, do_stop)               \
    ROW(TEST_SIGPIPE, do_sigpipe)         \
    /* register.c */                      \
    ROW(TEST_REGISTER, do_register)       \
    /* cleanup.c */                       \
    ROW(TEST_REFERENCE, do_reference)     \
    ROW(TEST_WRITE_OTHER, do_write_other) \
    ROW(TEST_MAY_WAIT, do_may_wait)       \
    ROW(TEST_OWN_EVENT, do_own_event)     \
    ROW(TEST_OWN_SIGNAL, do_own_signal)   \
    ROW(TEST_OWN_TIMER, do_own_timer)     \
    ROW(TEST_CLOSE_FD, do_close_fd)       \
    ROW(TEST_KEEP_BUFEV, do_keep_bufev)   \
    /* block.c */                         \
    ROW(TEST_SLEEP, do_sleep)             \
    ROW(TEST_NAP, do_nap)                 \
    ROW(TEST_HANG, do_hang)               \
    ROW(TEST_WAIT_FILE, do_wait_file)     \
    ROW(TEST_STICK, do_stick)             \
    ROW(TEST_UNSTICK, do_unstick)         \
    ROW(TEST_STALL, do_stall)             \
    /* death.c */                         \
    ROW(TEST_END_THREAD, do_end_thread)   \
    ROW(TEST_CANCEL, do_cancel)           \
    ROW(TEST_SCHED, do_sched)             \
    ROW(TEST_VANISH, do_vanish)           \
    ROW(TEST_DIE, die_as_told)            \
    /* share.c */                         \
    ROW(TEST_SPIN, do_spin)               \
    ROW(TEST_SIGHT, do_sight)             \
    ROW(TEST_PEER, do_peer)               \
    ROW(TEST_DATAGRAM, do_datagram)       \
    ROW(TEST_RELOAD, do_reload)           \
    /* beside.c */                        \
    ROW(TEST_PROXY, do_proxy)             \
    /* secure.c */                        \
    ROW(TEST_TLS, do_tls)                 \
    /* push.c, called.c */                \
    ROW(TEST_PUSH, do_push)               \
    ROW(TEST_RECEIPTS, do_receipts)       \
    /* cluster.c */                       \
    ROW(TEST_EVENTS, do_events)           \
    /* framings.c */                      \
    ROW(TEST_FRAMED, do_framed)

#define ROW(id, f) sint32 f(CONN *c);
FUNCTIONS(ROW)
#undef ROW

/* ---- Functions: the rest; on the thread that runs a function or hook of c, unless said otherwise ---- */

/* options.c: fill app and o from the command line; a bad one is the end. Main, before the server is made. */
void read_options(struct mario_options *o, int argc, char **argv);
/* One, "section.key=value", which is written to. The master, too. */
void set_option(struct mario_options *o, char *text);

/* options.c: standard error becomes a pipe that is full. Main, before the server starts. */
void stuff_stderr(void);

/* register.c: functions, hooks, timer functions, the alarm. Main, before the server starts. */
bool register_all(void);
/* admin.c */
bool register_commands(void);
/* wrapped.c: before the server is made. */
bool register_wrapped(void);
/* framings.c: before the server is made. */
bool register_framings(void);

/* hooks.c */
sint32 on_connected(CONN *c);
sint32 on_closed(CONN *c);
sint32 on_timeout(CONN *c);
sint32 on_error(CONN *c);
sint32 on_leave(CONN *c);
/* beside.c */
sint32 on_urgent(CONN *c);
/* Check what a function may rely on; what is wrong is counted. True if the track must not be used. */
bool track_is_wrong(const CONN *c);
/* Close c, and do this in its end hook. Returns what the function is to return. */
sint32 close_to(CONN *c, sint32 at_end);

/* block.c: block until TEST_UNSTICK has come so often. Any thread; the library test/preload/stuck.c too. */
void stick(uint32 times);
/* A timer function of every second, on the master: sleeps if TEST_STALL has come. */
void on_second(LOG_QUEUE *q, void *arg);

/* death.c: another, which dies if it is told to. */
void die_on_second(LOG_QUEUE *q, void *arg);

/* share.c: on the master, what TEST_RELOAD asks for. */
void reload_if_asked(void);

/* packet.c: what the packet says, 0 if it is too short. */
uint32 number_in(const CONN *c);
struct test_end end_in(const CONN *c);
/* Answer the packet with n bytes of data. 0, or not if there is no memory. */
sint32 answer(CONN *c, const void *data, size_t n);
/* A packet with n bytes of data, all `fill`, which need not fit into c->out_buf. */
void write_packet(CONN *c, uint16 akg_id, uint32 n, char fill);
/* n bytes in all, n >= 8, in packets with data all 'r'. */
void write_bytes(CONN *c, uint16 akg_id, uint32 n);

/* push.c: CLOCK_MONOTONIC. Any thread. */
uint64 now_ns(void);
/* push.c: do them, as a function of c if it is not NULL, else on any thread; done: what became of each that is no
 * other's, or NULL. Returns how many those are. *returns: what a function is to return. */
uint32 do_orders(CONN *c, const struct test_order *orders, uint32 n, struct test_done *done, sint32 *returns);

/* called.c: the order and its body, which may be handed over; it lives as long as the process. Any thread. */
struct script;
const struct script *script_make(const struct test_order *o, const struct test_order *body);
/* called.c: have somebody else do it, as the order's kind says. As the library's functions: 0, or -1 with errno. */
sint32 hand_over(CONN *c, const struct test_order *o, const struct script *body);
/* called.c: in the connected hook, in an end hook; the bound function, the receipt function. */
sint32 connected_orders(CONN *c);
void end_orders(CONN *c, const struct script *s);
sint32 on_bound(CONN *c);
void on_receipt(const struct mario_receipt *r);
/* called.c: on the master. */
void do_master_orders(void);
/* called.c: until the threads of ORDER_THREAD have ended. Main, when the server has stopped. */
void await_threads(void);

/* secure.c: a key of tls.* or of a section "tls NAME", which is written to, and its value, which is kept; false if it
 * is none. Main. */
bool set_tls(struct mario_options *o, char *key, const char *value);
/* secure.c: before the server is made. */
bool register_tls(void);

/* cluster.c: a key of cluster.* and its value; false if it is none. Main. */
bool set_cluster(const char *key, const char *value);
/* cluster.c: switch it on, if there is one. Main, before the server starts. */
bool start_cluster(void);
/* cluster.c: the orders of it. As the library's functions; a question's value. */
sint32 cluster_order(CONN *c, const struct test_order *o);
uint64 cluster_question(const struct test_order *o);

/* counters.c: " name=value name=value ..." of the own counters that are not 0; its length. Any thread. */
int print_own(char *text, size_t size);
/* That as a line of the log. Main, when the server has stopped. */
void report(LOG_QUEUE *q);
/* The alarm function, on the master. */
void on_alarm(const struct mario_alarm *a);

/* route.c: test.route */
bool register_route(void);
sint32 order_of_route(const struct test_order *o);

#endif
