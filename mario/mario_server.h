/*
 * mario_server.h: the server: make it, start it, stop it, count what it did. There is one server in a
 * process.
 */
#ifndef MARIO_SERVER_H
#define MARIO_SERVER_H

#include "mario_log.h"
#include "mario_types.h"

#ifdef __cplusplus
extern "C" {
#endif

typedef struct mario_server SERVER;

enum mario_when_full {
    MARIO_FULL_REFUSE, /* accept and close at once, counted as refused_full */
    MARIO_FULL_WAIT    /* leave it in the kernel's backlog until a place is free */
};

enum mario_assign {
    MARIO_ASSIGN_ROUND_ROBIN, /* the next worker that has room */
    MARIO_ASSIGN_LEAST        /* the one with the fewest connections; of several the next one in turn */
};

/* What becomes of a message for a connection where `messages` messages or `bytes` bytes of them wait already (options
 * push_queue and push_bytes, mario_slow_policy()). Replies are not counted, and never dropped. */
enum mario_slow {
    MARIO_SLOW_CLOSE,       /* the connection closes (slow_consumer) */
    MARIO_SLOW_DROP_OLDEST, /* those that wait longest go, until there is room (push_dropped_oldest) */
    MARIO_SLOW_DROP_NEWEST, /* the new one is dropped (push_dropped_newest) */
    MARIO_SLOW_COALESCE /* one with the same key that waits goes at once (push_coalesced), full or not; if there is
                             * still no room, as DROP_OLDEST */
};

/* Of which calls of functions it is measured how long they take. */
enum mario_timing {
    MARIO_TIMING_OFF,     /* of none, and nothing is slow */
    MARIO_TIMING_SAMPLED, /* of about one wake-up of a connection in 16, and of all that are offloaded or hooks */
    MARIO_TIMING_ALL
};

enum mario_uring {
    MARIO_URING_OFF, /* a send for each connection */
    MARIO_URING_AUTO /* many sends in one call of the kernel's io_uring, where the build has it and the kernel allows */
};

/* What a connection that sends more than limit_packets or limit_bytes gets. */
enum mario_limit {
    MARIO_LIMIT_PAUSE, /* it is not read until it may send again */
    MARIO_LIMIT_CLOSE  /* it is closed (limit) */
};

/* Who does the records of a TLS connection once its handshake is over (docs/tls.md). */
enum mario_tls_records {
    MARIO_TLS_OPENSSL, /* OpenSSL: some 14 KB for each connection */
    MARIO_TLS_SLIM     /* of TLS 1.3 the library's own code around OpenSSL's ciphers: some 100 bytes */
};

/* Which handshakes are done by the threads for offloaded functions. */
enum mario_tls_offload {
    MARIO_TLS_OFFLOAD_OFF,
    MARIO_TLS_OFFLOAD_RSA, /* of listeners with an RSA key */
    MARIO_TLS_OFFLOAD_ALL
};

/* The ranges that mario_init_server() accepts; conf/ shows the same numbers to operators. */
#define MARIO_WORKERNUM_MAX       256u
#define MARIO_CONNNUM_MAX         16777215u
#define MARIO_CONNNUM_AUTO_MAX    100000u   /* connnum 0 gives at most this many a worker */
#define MARIO_TIMEOUT_MAX         31536000u /* a year, seconds */
#define MARIO_KEEPALIVE_MAX       32767u    /* the kernel's, seconds */
#define MARIO_LINGER_MAX          3600u     /* an hour, seconds */
#define MARIO_DRAIN_MAX           3600u     /* an hour, seconds */
#define MARIO_DRAIN_TIME_MAX      86400u    /* a day, seconds */
#define MARIO_DRAIN_RATE_MAX      1000000u  /* connections a second */
#define MARIO_PKGLEN_MIN          8u
#define MARIO_PKGLEN_MAX          65535u
#define MARIO_BACKLOG_MAX         65535u
#define MARIO_UNIX_MODE_MAX       0777u
#define MARIO_OUTPUT_MIN          1024u
#define MARIO_OUTPUT_MAX          1073741824u
#define MARIO_WATCH_MAX           3600000u /* an hour, milliseconds */
#define MARIO_REPLACE_MAX         1000u
#define MARIO_SLOW_KEEP_MAX       1024u
#define MARIO_OFFLOAD_THREADS_MAX 1024u
#define MARIO_OFFLOAD_QUEUE_MAX   65536u
#define MARIO_PUSH_QUEUE_MAX      1048576u
#define MARIO_PUSH_GROUPS_MAX     1048576u
#define MARIO_PUSH_BYTES_MAX      1073741824u
#define MARIO_PUSH_MEMORY_MAX     4293918720u /* 4095 MB */
#define MARIO_PUSH_LOWAT_MAX      1073741824u
#define MARIO_PUSH_RING_MIN       16u
#define MARIO_PUSH_RING_MAX       65536u
#define MARIO_ADMIT_RATE_MAX      1000000u
#define MARIO_ADMIT_BAN_AFTER_MAX 65535u
#define MARIO_ADMIT_TABLE_MIN     1024u
#define MARIO_ADMIT_TABLE_MAX     67108864u
#define MARIO_TLS_HANDSHAKE_MAX   3600u  /* an hour, seconds */
#define MARIO_TLS_HANDSHAKES_MAX  65536u /* at the same time */

/* Everything that can be set. Fill it with mario_options_init(), then change what you need. Where no other range is
 * said, seconds go up to MARIO_TIMEOUT_MAX, exact to about 0.1, milliseconds up to MARIO_WATCH_MAX, bytes of output are
 * MARIO_OUTPUT_MIN .. MARIO_OUTPUT_MAX. An int is a switch: 0 is off, anything else on. */
struct mario_options {
    /* Comma list of addr:port, [v6]:port, unix:/path, udp:addr:port, with options behind each by blanks: which
     * framing is spoken there, for which function, behind a proxy (docs/protocols.md). Port 0 = any free one. */
    const char *listen;
    uint32 workernum; /* worker threads, 1 .. MARIO_WORKERNUM_MAX; 0 = mario_cores() */
    uint32 connnum;   /* connections a worker, .. MARIO_CONNNUM_MAX; 0 = what the descriptor limit allows */
    uint32 unix_mode; /* permissions of unix sockets, .. 0777: who may write to one may connect */
    const char *unix_group; /* their group, a name or number; NULL or "-" = as it comes. Root may give any */
    int strict_limits; /* on: a connnum that the limits cannot carry is refused; off: clamped with a warning */
    enum mario_when_full when_full; /* what a connection gets that finds no place */
    enum mario_assign assign;       /* which worker gets a connection */
    uint32 timeout;                 /* seconds without a byte until a connection is closed; 0 = none */
    uint32 write_timeout;           /* seconds in which pending output did not shrink; 0 = none */
    uint32 packet_timeout;          /* seconds from a packet's first byte to its last; 0 = none */
    uint32 keepalive;  /* seconds of silence until a TCP peer is probed, .. MARIO_KEEPALIVE_MAX; 0 = never */
    uint32 max_pkglen; /* largest packet accepted, MARIO_PKGLEN_MIN .. MARIO_PKGLEN_MAX */
    uint32 backlog;    /* of listen(2), 1 .. MARIO_BACKLOG_MAX; the kernel caps it at net.core.somaxconn */
    uint32 drain_timeout; /* seconds a stop may take, .. MARIO_DRAIN_MAX; 0 = end at once */
    uint32 drain_time;    /* seconds a drain is to take, 1 .. MARIO_DRAIN_TIME_MAX, without a drain_rate */
    uint32 drain_rate;    /* connections a second it tells to leave, .. MARIO_DRAIN_RATE_MAX; 0 = see above */
    uint32 drain_delay;   /* seconds from its beginning until nobody new comes, .. MARIO_DRAIN_MAX */
    uint32 drain_spread;  /* the most that mario_leave_seconds() says, .. MARIO_DRAIN_MAX; 0 = it says 0 */
    int drain_on_term; /* on: SIGTERM begins a drain, and the server stops when that is done; a second one stops it */
    uint32 linger;        /* seconds in which a client that was closed acknowledged nothing of what was on its
                                 way, until an RST drops that, .. MARIO_LINGER_MAX; 0 = close and forget */
    uint32 output_high;   /* bytes of pending output above which a connection is not read */
    uint32 output_max;    /* bytes of pending output above which it is closed; >= output_high */
    uint32 watch_warn_ms; /* milliseconds a function may run until it is reported; 0 = no watch */
    uint32 watch_replace_ms;  /* until its worker is replaced; 0 = never; >= watch_warn_ms */
    uint32 watch_replace_max; /* replaced within a minute, .. MARIO_REPLACE_MAX */
    uint32
        watch_master_ms; /* milliseconds in which the master does not go on, as in a timer function that does not
                               * return, until the parent of mario_supervise() ends it and starts the next one; 0 =
                               * never. Without such a parent nobody looks */
    uint32
        offload_threads;  /* threads for offloaded functions, .. MARIO_OFFLOAD_THREADS_MAX; made at start, and
                                only if there are such functions: then 0 is refused */
    uint32 offload_queue; /* packets of each worker that are with them or wait for a thread, 1 ..
                                MARIO_OFFLOAD_QUEUE_MAX; beyond, connections are not read until there is room */
    int prefault;         /* on: touch all pool pages at start instead of at first use */
    const char *user;     /* "user" or "user:group" to become once the listeners are open; NULL = stay */
    const char *death_log; /* what gets the line about a death: a file, "syslog" or "syslog:FACILITY"; NULL or
                              "-": standard error */
    enum mario_log_format death_format; /* of that line */
    uint32 push_queue;  /* messages that may wait for a connection, .. MARIO_PUSH_QUEUE_MAX; 0 = any number */
    uint32 push_bytes;  /* bytes of them, .. MARIO_PUSH_BYTES_MAX; 0 = any number. Not both 0 */
    uint32 push_groups; /* groups that a connection may be in, .. MARIO_PUSH_GROUPS_MAX; 0 = any number */
    uint32 push_memory; /* bytes that all messages may take, .. MARIO_PUSH_MEMORY_MAX; 0 = any number */
    enum mario_slow push_slow; /* what becomes of a message that finds no room */
    uint32 push_lowat; /* bytes not sent that the kernel may hold for a connection that is pushed to, ..
                                * MARIO_PUSH_LOWAT_MAX; 0 = as many as it likes */
    uint32
        push_ring; /* orders that may wait between a sending thread and a worker, a power of two, MARIO_PUSH_RING_MIN
                       * .. MARIO_PUSH_RING_MAX; 32 bytes each */
    enum mario_uring push_uring;    /* how many sends are done at once */
    enum mario_timing stats_timing; /* of which calls the time is taken; reload changes it */
    uint32 slow_ms;   /* milliseconds from which on a call is noted as slow; 0 = none is; reload changes it */
    uint32 slow_keep; /* how many of these are kept, 1 .. MARIO_SLOW_KEEP_MAX; reload changes it */
    /* Where operators ask and change things (mario_admin.h), as `listen`: HTTP, and on unix sockets, whose files are
     * for their owner alone, lines too. NULL or "-": nowhere. */
    const char *admin_listen;
    const char *admin_hosts; /* comma list of names by which browsers may call it, without ports */
    /* A file whose first line, 16 .. 256 bytes, changes over TCP have to bring; read as `user`, and not for others to
     * read. NULL or "-": no such changes. */
    const char *admin_token_file;
    uint32 admit_rate; /* connections accepted a second in all, .. MARIO_ADMIT_RATE_MAX: the rest waits in the
                                  * backlog. Here and below 0 = any number; unix sockets are exempt */
    uint32 admit_ip_conns;  /* connections that an address may have */
    uint32 admit_ip_rate;   /* new ones a second from an address, .. MARIO_ADMIT_RATE_MAX */
    uint32 admit_net_conns; /* the same for the network around it */
    uint32 admit_net_rate;
    uint32 admit_v4_net;  /* bits of an IPv4 address that are its network, 1 .. 32 */
    uint32 admit_v6_host; /* bits of an IPv6 address that are one client, 1 .. 64 */
    uint32 admit_v6_net;  /* bits of it that are its network, 1 .. admit_v6_host */
    const char
        *admit_allow_file; /* a file of networks, one a line, that none of this is for; NULL or "-": none */
    const char *admit_deny_file; /* a file of networks that nobody is let in from; NULL or "-": none */
    uint32
        admit_ban_after; /* refusals of an address within a minute, .. MARIO_ADMIT_BAN_AFTER_MAX, until it is banned */
    uint32 admit_ban_seconds; /* for so long, 1 .. MARIO_TIMEOUT_MAX */
    uint32
        admit_table; /* addresses and networks that are known at a time, a power of two, MARIO_ADMIT_TABLE_MIN ..
                         * MARIO_ADMIT_TABLE_MAX; 32 bytes each */
    uint32 admit_first_packet;         /* seconds from accept to a whole packet */
    uint32 limit_packets, limit_bytes; /* that a connection may send a second; 0 = any number */
    enum mario_limit limit_action;     /* what it gets that sends more */
    /* Of listeners with tls=NAME; the certificates themselves are regist_tls()'s (mario_tls.h). */
    enum mario_tls_records tls_records;
    uint32
        tls_handshake_timeout; /* seconds from accept to the end of the handshake, 1 .. MARIO_TLS_HANDSHAKE_MAX */
    uint32 tls_handshakes; /* a worker does at the same time, 1 .. MARIO_TLS_HANDSHAKES_MAX; others wait */
    enum mario_tls_offload tls_offload;
};

/* Check a listen list without opening anything. 0, or -1 with one line in why[0 .. size-1] that names the
 * entry and what is wrong with it; size 0: no line. Any thread. */
sint32 mario_listen_check(const char *list, char *why, uint32 size);

/* Check admin_listen, admin_hosts and admin_token_file; the file is read. 0, or -1 with one line in why[0 .. size-1].
 * Any thread. */
sint32 mario_admin_check(const struct mario_options *o, char *why, uint32 size);

/* Check a group's name or number. NULL, "" and "-" are good. 0, or -1 with one line in why[0 .. size-1]. Asks the name
 * service; before threads start. */
sint32 mario_group_check(const char *group, char *why, uint32 size);

/* Check the user of the options without becoming it: names or numbers, not root. NULL, "" and "-" are good.
 * 0, or -1 with one line in why[0 .. size-1]. It may ask a name service. Before threads start. */
sint32 mario_user_check(const char *user, char *why, uint32 size);

/* Read the files of admit_allow_file and admit_deny_file. 0, or -1 with one line in why[0 .. size-1] that names file
 * and line. Any thread that may wait for a disk. */
sint32 mario_admit_check(const struct mario_options *o, char *why, uint32 size);

/* Fill *o with the defaults: those of the keys of maritcp(8), but push_groups, which is 0. Any thread. */
void mario_options_init(struct mario_options *o);

/* Have this program watched by a parent of its own: fork, and when the child dies, write one line about it to
 * o->death_log and fork again within a second. The parent opens the listeners, keeps them, becomes o->user and
 * stays so, reads nothing from clients, and passes TERM, INT, HUP, USR1 and USR2 on. Of *o it uses listen, backlog,
 * keepalive, unix_mode, unix_group, connnum and workernum (for the descriptor limit), drain_timeout,
 * watch_master_ms, user, death_log and death_format.
 *
 * Returns -1 in each child, which goes on as it would have without: init (takes over listeners of the same
 * address instead of opening them), registering, start. TERM, INT and HUP are blocked there until then. In the
 * parent it returns once and for all: the code to exit with, as of the last child: 0 after a stop, 128 + n
 * after signal n, 2 if the start failed, said in one line. A first child that ends before it listens, and one
 * that exits with 0, are not started again.
 *
 * On the main thread, before init, before any other thread, after run_daemon(); files that the child is to
 * open again (a log) belong behind it. Once in a process. */
sint32 mario_supervise(const struct mario_options *o) __attribute__((warn_unused_result));

/* Check the options, raise the soft descriptor limit as far as it may, bind and listen, become o->user (for
 * good: no capabilities, no_new_privs), allocate all pools. Where the application has no handler for SIGSEGV,
 * SIGBUS, SIGFPE, SIGILL or SIGABRT it gets one that writes one line about the death to o->death_log, and one with a
 * backtrace; then the process dies as ever. These signals are unblocked.
 *
 * The calling thread then has SIGTERM, SIGINT and SIGHUP blocked (so have the threads it starts later), so that they
 * reach the master; SIGUSR1 and SIGUSR2 too, unless the application handles them or has blocked them itself. Call it
 * before starting threads of your own. o and its texts are copied. Returns the server, or NULL after one clear line on
 * standard error; nothing is left half-made then, except that the user stays. */
SERVER *mario_init_server(const struct mario_options *o) __attribute__((warn_unused_result));

/* The same for programs of 0.9.9: 0.0.0.0:port (0 .. 65535, 0 = any free one), workernum workers of connnum
 * connections each (0 as above), timeouts in seconds, 0 .. MARIO_TIMEOUT_MAX, 0 = none. As it was then, packets
 * have at most 1500 bytes and there is no packet_timeout: a client that sends a byte now and then is not silent.
 * Everything else has its default. */
SERVER *init_server(int port, uint16 workernum, uint32 connnum, int read_timeout, int write_timeout);

/* Run the server on the calling thread, which becomes the master, until it is stopped by SIGTERM, SIGINT
 * (unless the application handles that signal itself) or mario_stop_server(). server: from init_server().
 * Returns NULL after a clean stop, non-NULL on failure (a line on standard error or in the log says which).
 * All threads, pools and sockets are gone then. s itself stays until mario_free_server(), for its
 * counters and for a late mario_stop_server(), also when another server is made meanwhile. */
void *start_server(void *server);

/* What a program should exit with after start_server(): 0 it stopped cleanly, 2 it could not start, 3 it
 * failed while it ran or a function did not return at the stop: then with _exit(), since that function may hold locks
 * that exit() waits for, as the loader's. The thread that called start_server(). */
int mario_server_exit_code(const SERVER *s);

/* Use these options from now on, of them: drain_*, when_full, assign, timeout, write_timeout, packet_timeout,
 * keepalive (of new connections), backlog, drain_timeout, linger, output_*, watch_*, death_log, death_format,
 * push_queue, push_bytes, push_slow, push_groups, push_memory, push_lowat (of those not pushed to yet), stats_timing,
 * slow_ms, slow_keep, admit_* but its table, limit_*, tls_* but tls_offload, and the certificates of registered
 * sections (mario_tls.h), whose files are read again; the others are checked, but need a new server. All connections
 * keep to them soon, each worker from its next pass on; none is closed for it, but those that are over a limit now.
 * What waits longer than a timeout that has become shorter is over it. o and its texts are copied. Any thread, from
 * init on; of several at the same time the last one counts. 0, or -1 after one clear line on standard error; nothing
 * is changed then. */
sint32 mario_reload_server(SERVER *s, const struct mario_options *o);

/* Say that there was something to reload, and that it was no good, before it came to mario_reload_server(): counted as
 * reload_failed, and mario_reload_is_good() says 0. Any thread. */
void mario_reload_failed(SERVER *s);
/* 0 if the last reload was refused, else 1. Any thread. */
int mario_reload_is_good(const SERVER *s);

/* A drain: balancers are told at once that the server is not ready (mario_is_ready()); drain_delay later nobody new
 * comes, who tries is reset (refused_drain), and the connections there are told to leave, one after the other in an
 * order that has nothing to do with when they came: `rate` a second; 0: drain_rate, and if that is 0 too as many as it
 * takes to be through in drain_time. Who is told gets its answers, then its leave function is called
 * (regist_leave_func()), and it closes with reason drain. The server does not end by that; mario_stop_server() ends
 * it, now as ever.
 *
 * A second call gives another rate, and lets one that pauses go on. mario_drain_pause(): nobody more leaves.
 * mario_drain_stop(): called off, the server takes new connections; who was told leaves. All: any thread. 0, or -1
 * with errno: ESHUTDOWN: the server stops, or does not run; EINVAL: there is nothing to pause or to call off; ERANGE:
 * more than MARIO_DRAIN_RATE_MAX. */
sint32 mario_drain(SERVER *s, uint32 rate);
sint32 mario_drain_pause(SERVER *s);
sint32 mario_drain_stop(SERVER *s);

enum mario_drain_state {
    MARIO_DRAIN_NONE,
    MARIO_DRAIN_DELAY,   /* it has begun; new connections come still */
    MARIO_DRAIN_CLOSING, /* connections are told to leave */
    MARIO_DRAIN_PAUSED,
    MARIO_DRAIN_DONE /* nobody is there any more, and nobody comes */
};

/* How far it is. */
struct mario_drain {
    enum mario_drain_state state;
    uint32 connections; /* there now */
    uint32 total;       /* there were when the first was told to leave */
    uint32 left;        /* told to leave since */
    double rate;        /* a second */
    uint32 seconds;     /* that the rest takes at this rate */
};
/* Any thread, until s is freed. */
void mario_drain_status(const SERVER *s, struct mario_drain *d);

/* Whether a balancer is to send clients here: the server runs, and neither drains nor stops. Any thread, until s is
 * freed. */
int mario_is_ready(const SERVER *s);

/* Stop in stages: no new connections, what has arrived is answered, end hooks run, at most drain_timeout. A
 * second call stops at once; one before start_server() makes that stop as soon as it runs; one after it does nothing.
 * Any thread, also from a signal handler, until s is freed. */
void mario_stop_server(SERVER *s);

/* Free a server that is not running and null the caller's pointer; one that runs stays, and the pointer, after a line
 * on standard error. *s may be NULL. One that was never started takes
 * the timer functions with it that were registered for it. The thread that made it. */
void mario_free_server(SERVER **s);

/* The port an address of the listen list got, in host order: which = 0 is the first address. Any thread,
 * after init. 0 for a unix socket or beyond the list. */
uint16 mario_server_port(const SERVER *s, uint32 which);

/* Cores that this process may use, by its affinity and by the quota of its cgroups, rounded up: 1 ..
 * MARIO_WORKERNUM_MAX. Any thread. */
uint32 mario_cores(void);

/* Worker threads and connections a worker that init settled on. Any thread, after init. */
uint32 mario_server_workernum(const SERVER *s);
uint32 mario_server_connnum(const SERVER *s);

/* Call f(qlog, arg) on the master thread every `seconds` (1 .. MARIO_TIMEOUT_MAX) while the server runs, and
 * once more when it has stopped, after the last end hook; then it is forgotten. f must not block. At most 8.
 * Before start, from the thread that registers; it stays when an init fails. 0, or -1 (range, too many, f is NULL, or
 * once the server runs). */
typedef void (*MARIO_TIMER_FUNC)(LOG_QUEUE *qlog, void *arg);
sint32 regist_timer_func(uint32 seconds, MARIO_TIMER_FUNC f, void *arg);

/* Have it called every `seconds` (as above) from now on; the next time is that long from now. Any thread, from init
 * until s is freed. 0, or -1 (range, or it is not registered). */
sint32 mario_retime_func(SERVER *s, uint32 seconds, MARIO_TIMER_FUNC f, void *arg);

/* Counters: a table of names, each with a sum over all threads since init. Any thread, from init until the server is
 * freed. Names stay valid for ever; index .. mario_stat_count()-1, beyond that the name is "" and the value 0. */
uint32 mario_stat_count(void);
const char *mario_stat_name(uint32 index);
uint64 mario_stat_value(const SERVER *s, uint32 index);
/* The same by name; 0 for a name that does not exist. */
uint64 mario_stat(const SERVER *s, const char *name);

#ifdef __cplusplus
}
#endif

#endif
