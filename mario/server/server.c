/*
 * server.c: init, start, stop, free; the public face of the house. Init and start run on the application's
 * thread, which becomes the master; mario_stop_server() and the counters are for any thread.
 */
#include "mario/mario_server.h"

#include <errno.h>
#include <pthread.h>
#include <signal.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/mman.h>
#include <time.h>
#include <unistd.h>

#include "mario/admin/admin.h"
#include "mario/base/clock.h"
#include "mario/base/complain.h"
#include "mario/base/loop.h"
#include "mario/base/symbol.h"
#include "mario/base/trim.h"
#include "mario/base/util.h"
#include "mario/exec/registry.h"
#include "mario/exec/timing.h"
#include "mario/frame/framings.h"
#include "mario/net/activation.h"
#include "mario/net/descriptor.h"
#include "mario/net/udp.h"
#include "mario/mario_util.h"
#include "mario/process/crash.h"
#include "mario/process/limit.h"
#include "mario/process/notify.h"
#include "mario/process/privilege.h"
#include "mario/process/supervise.h"
#include "mario/push/push.h"
#include "mario/push/route.h"
#include "mario/server/certificates.h"
#include "mario/server/commands.h"
#include "mario/server/dump.h"
#include "mario/server/listeners.h"
#include "mario/server/master.h"
#include "mario/server/options.h"
#include "mario/server/publish.h"
#include "mario/server/watchdog.h"

enum {
    FDS_A_WORKER = 6,             /* epoll, doorbell, tick, push's alarm, libevent's pair for signals */
    FDS_MASTER = 4,               /* epoll, doorbell, libevent's pair for signals */
    FDS_POOL = 3,                 /* epoll, libevent's pair for signals */
    FDS_LOG = 4,                  /* log file, the next one, epoll, doorbell */
    FDS_TRIM = 1,                 /* doorbell */
    FDS_LOBBY = LOBBY_PLACES + 1, /* who waits for a PROXY header, epoll */
    FDS_SPARE = 16                /* for the application, and to accept what is then refused */
};

enum { LAST_LINES_MS = 500 }; /* how long a stop waits for the log to be written */

enum { EXIT_NOT_STARTED = 2, EXIT_FAILED = 3 };

enum server_state { SERVER_READY, SERVER_RUNNING, SERVER_STOPPED, SERVER_LOST };

struct mario_server {
    struct publisher settings; /* the master's, once it runs */
    struct service service;
    struct head_rules head_rules;
    struct listener_make made[LISTEN_MAX];
    struct master master;
    struct listener listeners[LISTEN_MAX];
    struct udp_listener udp[LISTEN_MAX]; /* those for datagrams */
    uint32_t udp_count;
    struct worker *workers;                 /* NULL once stopped */
    struct push *push[MARIO_WORKERNUM_MAX]; /* the workers', for those who order */
    struct doorbell *bells[MARIO_WORKERNUM_MAX];
    uint32_t workernum;
    uint32_t connnum;
    uint32_t workers_made;
    struct stats *stats; /* [workernum + 1], the last is the master's; they live as long as the server */
    struct activity *activities; /* [ACTIVITIES], see activity.h */
    struct offload_pool *pool;   /* NULL unless a function or handshakes are offloaded and the server runs */
    uint32_t offload_threads, offload_queue;
    uint32_t shakes;   /* offloaded handshakes of a worker that may be under way, 0 = none is offloaded */
    _Atomic int state; /* enum server_state */
    _Atomic bool reload_failed; /* any thread: the last reload was refused */
    int exit_code;              /* see mario_server_exit_code() */
};

/* One in a process that is ready or runs, or the last that did; init and free set it, on the application's thread. */
static SERVER *the_server;

static _Thread_local const SERVER *run_here; /* this thread is its master */

/* ---- Descriptors ---- */

/* Settle connnum against the descriptor limit. `besides` are needed beside connections. */
static bool fit_limits(SERVER *s, const struct mario_options *o, uint64_t besides)
{
    uint64_t wanted = besides + (uint64_t) s->workernum * o->connnum;
    uint64_t limit = limit_raise(wanted);
    uint64_t fits = limit > besides ? (limit - besides) / s->workernum : 0;
    if (fits == 0)
        return complain(
            "the limit of %llu file descriptors leaves none for connections: %llu are needed besides; raise it "
            "(ulimit -n, LimitNOFILE=)",
            (unsigned long long) limit, (unsigned long long) besides);
    if (o->connnum == 0) {
        s->connnum = (uint32_t) (fits < MARIO_CONNNUM_AUTO_MAX ? fits : MARIO_CONNNUM_AUTO_MAX);
        return true;
    }
    s->connnum = o->connnum;
    if (wanted <= limit)
        return true;
    if (o->strict_limits)
        return complain(
            "%u workers * %u connections need %llu file descriptors, the limit is %llu: %llu too many; raise it "
            "(ulimit -n %llu, or LimitNOFILE=), or set connnum to %llu or 0, or strict_limits = off",
            s->workernum, o->connnum, (unsigned long long) wanted, (unsigned long long) limit,
            (unsigned long long) (wanted - limit), (unsigned long long) wanted, (unsigned long long) fits);
    complain("connnum = %u needs %llu file descriptors, the limit is %llu: clamped to %llu a worker",
             o->connnum, (unsigned long long) wanted, (unsigned long long) limit, (unsigned long long) fits);
    s->connnum = (uint32_t) fits;
    return true;
}

static bool has_proxy(const SERVER *s)
{
    bool any = false;
    for (uint32_t i = 0; i < s->master.acceptor.listener_count; i++)
        any = any || s->made[i].proxy.on;
    return any;
}

static uint32_t count_datagrams(const SERVER *s)
{
    uint32_t n = 0;
    for (uint32_t i = 0; i < s->master.acceptor.listener_count; i++)
        n += s->listeners[i].address.datagram;
    return n;
}

static bool settle_descriptors(SERVER *s, const struct mario_options *o)
{
    uint64_t besides =
        limit_open_descriptors() + s->master.acceptor.listener_count + FDS_MASTER + FDS_POOL + FDS_LOG +
        FDS_TRIM + FDS_SPARE + admin_descriptors(o) + (has_proxy(s) ? FDS_LOBBY : 0) +
        (uint64_t) s->workernum *
            (FDS_A_WORKER + count_datagrams(s) + (o->push_uring == MARIO_URING_AUTO ? 1u : 0u));
    if (!fit_limits(s, o, besides))
        return false;
    if (!descriptor_setup((uint32_t) (besides + (uint64_t) s->workernum * s->connnum)))
        return complain("cannot start: %s", strerror(errno));
    limit_reserve(besides + (uint64_t) s->workernum * s->connnum);
    return true;
}

/* ---- Init ---- */

static void settle(SERVER *s, const struct mario_options *o)
{
    s->service = (struct service){.funcs = registry_functions(),
                                  .max_pkglen = o->max_pkglen,
                                  .push_ring = o->push_ring,
                                  .push_uring = o->push_uring,
                                  .tls_offload = o->tls_offload};
    for (uint32_t i = 0; i < s->master.acceptor.listener_count; i++) {
        s->service.framing[i] = &s->made[i].framing.pub;
        s->service.ends[i] = framing_ends(s->service.framing[i]);
        s->service.marks |= s->made[i].marks ? UINT64_C(1) << i : 0;
        s->service.tls |= s->made[i].tls ? UINT64_C(1) << i : 0;
    }
    s->workernum = o->workernum != 0 ? o->workernum : limit_cores("");
    s->offload_threads = o->offload_threads;
    s->offload_queue = o->offload_queue;
    if (s->service.tls != 0 && o->tls_offload != MARIO_TLS_OFFLOAD_OFF)
        s->shakes = o->tls_handshakes < o->offload_queue ? o->tls_handshakes : o->offload_queue;
    s->master.workernum = s->workernum;
    s->master.acceptor.backlog = o->backlog; /* as the listeners are opened */
    s->master.acceptor.keepalive = o->keepalive;
}

static bool parse_listeners(SERVER *s, const struct mario_options *o)
{
    char why[512];
    struct framing_world world = {.head = &s->head_rules, .max = o->max_pkglen};
    struct listen_address *all = calloc(LISTEN_MAX, sizeof *all);
    if (all == NULL)
        return complain("no memory to start");
    s->head_rules = (struct head_rules){.funcs = registry_functions()};
    int n = listen_parse(o->listen, all, why, sizeof why);
    bool ok = n >= 0;
    for (int i = 0; i < n; i++) {
        struct listener *l = &s->listeners[i];
        l->address = all[i];
        l->proxy = &s->made[i].proxy;
        l->fd = -1;
        ok = ok && listeners_make(&l->address, &world, &s->made[i], why, sizeof why);
    }
    free(all);
    if (!ok)
        return complain("listen: %s", why);
    s->master.acceptor.listeners = s->listeners;
    s->master.acceptor.listener_count = (uint32_t) n;
    certificates_setup(s->listeners, (uint32_t) n, &s->settings, &s->master);
    return true;
}

/* A socket for each worker. */
static bool open_datagrams(SERVER *s, struct listener *l)
{
    struct udp_listener *u = &s->udp[s->udp_count];
    *u = (struct udp_listener){.fds = calloc(s->workernum, sizeof *u->fds),
                               .listener = (uint8_t) (l - s->listeners),
                               .amplify = (uint32_t) s->made[l - s->listeners].amplify};
    if (u->fds == NULL)
        return false;
    s->udp_count++;
    memset(u->fds, -1, s->workernum * sizeof *u->fds);
    bool ok =
        supervise_datagrams(&l->address, u->fds, s->workernum) || udp_open(&l->address, u->fds, s->workernum);
    u->port = htons(listen_port(&l->address));
    return ok;
}

static void close_datagrams(SERVER *s)
{
    for (uint32_t i = 0; i < s->udp_count; i++) {
        for (uint32_t k = 0; k < s->workernum; k++) {
            if (s->udp[i].fds[k] >= 0)
                close(s->udp[i].fds[k]);
        }
        free(s->udp[i].fds);
    }
    s->udp_count = 0;
}

static bool open_stream(struct listener *l, const struct listen_options *set)
{
    l->fd = supervise_listener(&l->address, set);
    l->borrowed = l->fd >= 0;
    if (!l->borrowed)
        l->fd = activation_open(&l->address, set);
    return l->fd >= 0;
}

static bool open_listeners(SERVER *s, const struct mario_options *o)
{
    struct listen_options set;
    if (!listen_settings(&set, o))
        return false;
    for (uint32_t i = 0; i < s->master.acceptor.listener_count; i++) {
        struct listener *l = &s->listeners[i];
        if (l->address.datagram ? open_datagrams(s, l) : open_stream(l, &set))
            continue;
        return complain("cannot listen on %s: %s%s", l->address.name, strerror(errno),
                        listen_hint(&l->address, errno));
    }
    return true;
}

/* From here on nothing needs the rights of root. */
static bool drop(const struct mario_options *o)
{
    char why[256];
    return privilege_drop(o->user, why, sizeof why) || complain("user: %s", why);
}

static bool has_ipv6(const SERVER *s)
{
    for (uint32_t i = 0; i < s->master.acceptor.listener_count; i++) {
        if (s->listeners[i].address.addr.ss_family == AF_INET6 && !s->listeners[i].address.datagram)
            return true;
    }
    return false;
}

/* Which framings are user code or have a state, and what the workers need for them. */
static void settle_guests(SERVER *s, struct worker_options *w)
{
    for (uint32_t i = 0; i < s->master.acceptor.listener_count; i++) {
        const struct mario_framing *f = s->service.framing[i];
        bool is_guest = f->next != head_next && (s->service.ends[i] == NULL || f->state_size > 0);
        s->service.is_guest[i] = is_guest;
        w->has_guest |= is_guest;
        w->state_size = is_guest && f->state_size > w->state_size ? f->state_size : w->state_size;
    }
}

static bool make_workers(SERVER *s, const struct mario_options *o, const struct settings *set)
{
    struct worker_options w = {.connnum = s->connnum,
                               .prefault = o->prefault != 0,
                               .has_ipv6 = has_ipv6(s) || has_proxy(s),
                               .has_proxy = has_proxy(s),
                               .has_tls = s->service.tls != 0,
                               .has_admin = admin_is_on(),
                               .service = &s->service,
                               .set = set,
                               .master_bell = &s->master.bell,
                               .udp = s->udp,
                               .udp_count = s->udp_count};
    settle_guests(s, &w);
    if (posix_memalign((void **) &s->workers, SPSC_LINE, s->workernum * sizeof *s->workers) != 0) {
        s->workers = NULL;
        return complain("no memory for %u workers", s->workernum);
    }
    memset(s->workers, 0, s->workernum * sizeof *s->workers);
    s->master.workers = s->workers;
    s->master.settings = &s->settings;
    s->settings.workers = s->workers;
    s->settings.workernum = s->workernum;
    s->master.acceptor.connnum = s->connnum;
    for (uint32_t i = 0; i < s->workernum; i++) {
        s->workers_made = i + 1;
        if (!worker_setup(&s->workers[i], i, &w, &s->stats[i], &s->activities[i]))
            return complain("cannot make worker %u with %u connections: %s", i, s->connnum, strerror(errno));
        s->push[i] = s->workers[i].shard.push;
        s->bells[i] = &s->workers[i].bell;
    }
    push_prepare(s->push, o->push_memory);
    return true;
}

/* What the application's threads have counted is the server's from here on. */
static void keep_shared_counters(SERVER *s)
{
    for (uint32_t i = 0; s->stats != NULL && i < STAT_COUNT; i++)
        stats_add(s->master.stats, (enum counter) i, stats_take_shared((enum counter) i));
}

/* Threads, pools and sockets. No thread runs any more, or none has run yet. What others may still ask for
 * stays until the server is freed: the counters, the state, and the bell that a late mario_stop_server()
 * rings. */
static void take_down(SERVER *s)
{
    push_close(s->workers_made);
    keep_shared_counters(s);
    mario_log_flush(LAST_LINES_MS);
    admin_teardown();
    master_teardown(&s->master);
    offload_destroy(&s->pool);
    for (uint32_t i = 0; i < s->workers_made; i++)
        worker_teardown(&s->workers[i]);
    s->workers_made = 0;
    close_datagrams(s);
    free(s->workers);
    s->workers = NULL;
    certificates_teardown();
    publish_teardown(&s->settings);
    run_here = NULL;
    timing_end();
    registry_thaw();
}

static void destroy(SERVER *s)
{
    doorbell_fini(&s->master.bell);
    publish_teardown(&s->settings); /* what was offered late */
    free(s->stats);
    if (s->activities != NULL && s->activities != supervise_activities())
        munmap(s->activities, ACTIVITIES * sizeof *s->activities);
    free(s);
}

static bool make_stats(SERVER *s)
{
    size_t size = (s->workernum + 1) * sizeof *s->stats;
    errno = posix_memalign((void **) &s->stats, SPSC_LINE, size);
    if (errno != 0) {
        s->stats = NULL;
        return false;
    }
    memset(s->stats, 0, size);
    s->master.stats = &s->stats[s->workernum];
    supervise_stats(s->master.stats);
    s->activities = supervise_activities();
    if (s->activities != NULL)
        return true;
    s->activities = mmap(NULL, ACTIVITIES * sizeof *s->activities, PROT_READ | PROT_WRITE,
                         MAP_SHARED | MAP_ANONYMOUS, -1, 0);
    if (s->activities == MAP_FAILED)
        s->activities = NULL;
    return s->activities != NULL;
}

/* What the options need besides themselves: the files of admission and of certificates, read as the user who reads them
 * again. False after a line on standard error; then nothing is left of it. */
static bool fill(SERVER *s, const struct mario_options *o, const struct tls_policy *policy, struct live *live)
{
    char why[768];
    live->master.rules = rules_make(o, s->workernum, s->connnum, why, sizeof why);
    if (live->master.rules == NULL)
        return complain("%s", why);
    if (certificates_make(policy, &live->worker.tls, why, sizeof why))
        return true;
    rules_free(&live->master.rules);
    return complain("%s", why);
}

/* These options, which are checked, are to be the next settings. Any thread. */
static bool offer(SERVER *s, const struct mario_options *o)
{
    struct live live;
    struct tls_policy policy = {.slim = o->tls_records == MARIO_TLS_SLIM};
    live_of(&live, o);
    bool begun = certificates_begin();
    bool ok = fill(s, o, &policy, &live);
    const struct tls_contexts *contexts = live.worker.tls != NULL ? tls_contexts_hold(live.worker.tls) : NULL;
    if (ok && publish_offer(&s->settings, &live)) {
        certificates_offered(contexts, &policy);
    } else if (ok) {
        rules_free(&live.master.rules);
        tls_contexts_free(&live.worker.tls);
        ok = complain("no memory for new settings");
    }
    tls_contexts_free(&contexts);
    certificates_end(begun);
    return ok;
}

static bool make(SERVER *s, const struct mario_options *o)
{
    if (!parse_listeners(s, o))
        return false;
    settle(s, o);
    if (!settle_descriptors(s, o) || !open_listeners(s, o) || !admin_open(o))
        return false;
    activation_close_rest();
    if (!drop(o))
        return false;
    if (!timing_begin() || !make_stats(s) || !doorbell_init(&s->master.bell))
        return complain("cannot start: %s", strerror(errno));
    if (!offer(s, o))
        return false;
    const struct live *live = publish_take(&s->settings);
    if (!make_workers(s, o, &live->worker))
        return false;
    s->master.activities = s->activities;
    if (!master_setup(&s->master))
        return complain("cannot start the master: %s", strerror(errno));
    live_apply(&s->master, &live->master);
    return !admin_is_on() || commands_setup(s, &s->master, o);
}

SERVER *mario_init_server(const struct mario_options *o)
{
    SERVER *s = NULL;
    sigset_t old;
    if (!options_check(o))
        return NULL;
    if (the_server != NULL && atomic_load(&the_server->state) != SERVER_STOPPED) {
        complain("there is a server in this process already");
        return NULL;
    }
    the_server = NULL; /* one that has stopped is its owner's to free */
    if (posix_memalign((void **) &s, SPSC_LINE, sizeof *s) != 0) {
        complain("no memory to start");
        return NULL;
    }
    memset(s, 0, sizeof *s);
    s->master.bell.fd = -1;
    activation_setup();
    util_fill_standard();
    util_ignore_write_signals();
    notify_setup();
    master_take_signals(&s->master, &old);
    symbol_setup();
    crash_setup("process", o->death_log, o->death_format);
    clock_setup();
    loop_setup(&(struct loop_hooks){.message = executor_libevent_says, .is_running = registry_is_frozen});
    if (!make(s, o)) {
        take_down(s);
        destroy(s);
        pthread_sigmask(SIG_SETMASK, &old, NULL);
        return NULL;
    }
    the_server = s;
    return s;
}

SERVER *init_server(int port, uint16_t workernum, uint32_t connnum, int read_timeout, int write_timeout)
{
    char listen[32];
    struct mario_options o;
    options_init_old(&o);
    if (port < 0 || port > 65535) {
        complain("port = %d is out of range (allowed: 0..65535)", port);
        return NULL;
    }
    if (read_timeout < 0 || write_timeout < 0) {
        complain("a timeout is negative (allowed: 0..%u)", MARIO_TIMEOUT_MAX);
        return NULL;
    }
    snprintf(listen, sizeof listen, "0.0.0.0:%d", port);
    o.listen = listen;
    o.workernum = workernum;
    o.connnum = connnum;
    o.timeout = (uint32_t) read_timeout;
    o.write_timeout = (uint32_t) write_timeout;
    return mario_init_server(&o);
}

/* ---- Start, stop ---- */

/* The threads for offloaded functions and handshakes, if there are such. */
static bool start_pool(SERVER *s)
{
    struct offload_options set = {.threads = s->offload_threads,
                                  .queue = s->offload_queue,
                                  .workers = s->workernum,
                                  .connnum = s->connnum,
                                  .shakes = s->shakes,
                                  .datagrams = s->udp_count > 0,
                                  .max_pkglen = s->service.max_pkglen,
                                  .activities = &s->activities[ACTIVITIES_OF_POOL]};
    if (registry_offload_count() == 0 && set.shakes == 0)
        return true;
    if (set.threads == 0 && registry_offload_count() == 0) {
        slog_warn_t(s->master.qlog, "handshakes of TLS run on the workers: offload.threads is 0");
        return true;
    }
    if (set.threads == 0)
        return complain("function 0x%04x is offloaded, to a pool of 0 threads: raise offload.threads",
                        registry_offload_first());
    s->pool = offload_create(&set);
    if (s->pool == NULL)
        return complain("cannot make %u threads for offloaded functions: %s", set.threads, strerror(errno));
    s->master.offload_threads = set.threads;
    for (uint32_t i = 0; i < s->workernum; i++)
        worker_offload(&s->workers[i], s->pool);
    int err = offload_start(s->pool);
    return err == 0 ||
           complain("cannot start %u threads for offloaded functions: %s", set.threads, strerror(err));
}

static bool start_trimmer(void)
{
    int err = trim_start();
    return err == 0 || complain("cannot start the thread that gives memory back: %s", strerror(err));
}

static bool start_workers(SERVER *s)
{
    int no_spawner = watchdog_start(&s->master.watchdog, s->pool);
    if (no_spawner != 0)
        return complain("cannot start the thread that replaces others: %s", strerror(no_spawner));
    for (uint32_t i = 0; i < s->workernum; i++) {
        int err = worker_start(&s->workers[i]);
        if (err != 0)
            return complain("cannot start the thread of worker %u: %s", i, strerror(err));
        s->master.started = i + 1;
    }
    return true;
}

static void join_workers(SERVER *s)
{
    for (uint32_t i = 0; i < s->master.started; i++)
        worker_join(&s->workers[i]);
    s->master.started = 0;
}

static void log_start(const SERVER *s)
{
    for (uint32_t i = 0; i < s->master.acceptor.listener_count; i++) {
        const struct listen_address *a = &s->listeners[i].address;
        const char *proto = listen_option(a, "proto");
        const char *tls = listen_option(a, "tls");
        slog_info_t(s->master.qlog, "listening on %s%s%s%s%s", a->name, proto != NULL ? ", " : "",
                    proto != NULL ? proto : "", tls != NULL ? ", tls=" : "", tls != NULL ? tls : "");
        if (a->activated)
            slog_info_t(s->master.qlog, "%s was opened by the service manager", a->name);
        if (a->lacks_v4)
            slog_info_t(s->master.qlog, "%s takes IPv6 alone; for IPv4 add 0.0.0.0:%u to the list", a->name,
                        listen_port(a));
    }
    certificates_say(s->master.qlog, NULL, s->settings.newest->live.worker.tls);
    slog_info_t(s->master.qlog, "%u workers, %u connections each", s->workernum, s->connnum);
}

/* A function hangs: what it uses cannot be taken away. The application should exit. */
static void *lose(SERVER *s)
{
    bool offloaded = watchdog_name_offloaded(&s->master.watchdog);
    for (uint32_t i = 0; i < s->master.started; i++) {
        if (atomic_load_explicit(&s->workers[i].finished, memory_order_acquire))
            worker_join(&s->workers[i]);
        else if (!watchdog_name(&s->master.watchdog, i) &&
                 !offloaded) /* else it only waits for one of these */
            complain("worker %u did not end in time", i);
    }
    s->exit_code = EXIT_FAILED;
    mario_log_flush(LAST_LINES_MS);
    atomic_store(&s->state, SERVER_LOST);
    return s;
}

void *start_server(void *server)
{
    SERVER *s = server;
    int ready = SERVER_READY;
    if (s == NULL || s != the_server || !atomic_compare_exchange_strong(&s->state, &ready, SERVER_RUNNING)) {
        complain("start_server: not a server from init_server, or started before");
        return s != NULL ? server : (void *) &the_server;
    }
    s->exit_code = EXIT_NOT_STARTED;
    run_here = s;
    crash_thread();
    s->head_rules.stx = registry_stx();
    registry_freeze();
    push_open(s->bells, s->workernum, s->service.push_ring);
    master_take_settings(&s->master);
    bool ok = listeners_are_served(s->listeners, s->made, s->master.acceptor.listener_count,
                                   registry_functions()) &&
              (timing_open() || complain("cannot start: %s", strerror(errno))) && start_trimmer() &&
              start_pool(s) && route_start() && start_workers(s) && (!admin_is_on() || admin_start());
    if (ok) {
        log_start(s);
        mario_daemon_ready();
        supervise_ready();
        notify_ready();
        notify_speak();
        ok = master_run(&s->master);
        if (!ok && s->master.gave_up)
            return lose(s);
        s->exit_code = ok ? 0 : s->master.failed ? EXIT_FAILED : EXIT_NOT_STARTED;
        if (!ok && !s->master.failed)
            complain("cannot watch signals and timers: %s", strerror(errno));
    }
    if (!ok) {
        for (uint32_t i = 0; i < s->master.started; i++)
            worker_stop_now(&s->workers[i]);
    }
    if (!watchdog_end(&s->master.watchdog)) {
        complain("a thread that was taken over did not end in time");
        return lose(s);
    }
    join_workers(s);
    if (!admin_stop())
        return lose(s);
    admission_begin(&s->master.admission); /* the last ones have left */
    if (s->pool != NULL)
        offload_stop(s->pool);
    route_end();
    push_close(s->workers_made);
    trim_stop();
    master_final_timers(&s->master);
    dump_counters(s->master.qlog, "stopped", s->stats, s->workernum + 1);
    take_down(s);
    atomic_store(&s->state, SERVER_STOPPED);
    return ok ? NULL : server;
}

/* ---- Reloading ---- */

static bool reload(SERVER *s, const struct mario_options *o)
{
    int state = s == NULL ? SERVER_STOPPED : atomic_load(&s->state);
    if (state != SERVER_READY && state != SERVER_RUNNING)
        return complain("mario_reload_server: not a server that runs or is about to");
    if (!options_check(o))
        return false;
    if (!offer(s, o))
        return false;
    if (run_here == s)
        master_take_settings(&s->master);
    else
        master_wake(&s->master);
    return true;
}

int32_t mario_reload_server(SERVER *s, const struct mario_options *o)
{
    notify_reloading();
    bool done = reload(s, o);
    notify_reloaded(); /* the master, which is woken or who calls this, says both */
    if (!done) {
        mario_reload_failed(s);
        return -1;
    }
    atomic_store_explicit(&s->reload_failed, false, memory_order_relaxed);
    stats_add_shared(STAT_reloads, 1);
    return 0;
}

void mario_reload_failed(SERVER *s)
{
    if (s == NULL)
        return;
    atomic_store_explicit(&s->reload_failed, true, memory_order_relaxed);
    stats_add_shared(STAT_reload_failed, 1);
}

int mario_reload_is_good(const SERVER *s)
{
    return !atomic_load_explicit(&s->reload_failed, memory_order_relaxed);
}

int32_t mario_retime_func(SERVER *s, uint32_t seconds, MARIO_TIMER_FUNC f, void *arg)
{
    return seconds >= 1 && seconds <= MARIO_TIMEOUT_MAX && master_retime(&s->master, seconds, f, arg) ? 0
                                                                                                      : -1;
}

/* ---- Draining ---- */

static int32_t ask_drain(SERVER *s, enum drain_word word, uint32_t rate)
{
    bool runs = s != NULL && atomic_load(&s->state) == SERVER_RUNNING;
    errno = !runs                         ? ESHUTDOWN
            : rate > MARIO_DRAIN_RATE_MAX ? ERANGE
                                          : drain_ask(&s->master.drain, word, rate);
    if (errno != 0)
        return -1;
    master_wake(&s->master);
    return 0;
}

int32_t mario_drain(SERVER *s, uint32_t rate)
{
    return ask_drain(s, DRAIN_START, rate);
}

int32_t mario_drain_pause(SERVER *s)
{
    return ask_drain(s, DRAIN_PAUSE, 0);
}

int32_t mario_drain_stop(SERVER *s)
{
    return ask_drain(s, DRAIN_STOP, 0);
}

void mario_drain_status(const SERVER *s, struct mario_drain *d)
{
    drain_status(&s->master.drain, (uint32_t) (mario_stat(s, "opened") - mario_stat(s, "closed")), d);
}

int mario_is_ready(const SERVER *s)
{
    return atomic_load(&s->state) == SERVER_RUNNING && master_is_ready(&s->master);
}

void mario_stop_server(SERVER *s)
{
    master_stop(&s->master);
}

void mario_free_server(SERVER **sp)
{
    SERVER *s = *sp;
    int state = s == NULL ? SERVER_STOPPED : atomic_load(&s->state);
    if (state == SERVER_RUNNING || state == SERVER_LOST) {
        complain("mario_free_server: the server runs");
        return;
    }
    *sp = NULL;
    if (s == NULL)
        return;
    if (state == SERVER_READY) {
        master_forget_timers();
        route_end();
        take_down(s);
    }
    if (the_server == s)
        the_server = NULL;
    destroy(s);
}

/* ---- Asking ---- */

uint16_t mario_server_port(const SERVER *s, uint32_t which)
{
    return which < s->master.acceptor.listener_count ? listen_port(&s->listeners[which].address) : 0;
}

uint32_t mario_cores(void)
{
    return limit_cores("");
}

uint32_t mario_server_workernum(const SERVER *s)
{
    return s->workernum;
}

uint32_t mario_server_connnum(const SERVER *s)
{
    return s->connnum;
}

int mario_server_exit_code(const SERVER *s)
{
    return s->exit_code;
}

uint32_t mario_stat_count(void)
{
    return STAT_COUNT;
}

const char *mario_stat_name(uint32_t index)
{
    return stats_name((enum counter) index);
}

uint64_t mario_stat_value(const SERVER *s, uint32_t index)
{
    uint64_t sum = 0;
    for (uint32_t i = 0; index < STAT_COUNT && i <= s->workernum; i++)
        sum += stats_get(&s->stats[i], (enum counter) index);
    if (index < STAT_COUNT && s->workers != NULL)
        sum += stats_get_shared((enum counter) index);
    return sum;
}

uint64_t mario_stat(const SERVER *s, const char *name)
{
    for (uint32_t i = 0; i < STAT_COUNT; i++) {
        if (strcmp(stats_name((enum counter) i), name) == 0)
            return mario_stat_value(s, i);
    }
    return 0;
}
