/*
 * server.c: init, start, stop, free; the public face of the house. Init and start run on the application's
 * thread, which becomes the master; mario_stop_server(), draining and the counters are for any thread. What a server
 * is made of is in setup.c, how its settings change in reload.c.
 */
#include "mario/server/server.h"

#include <errno.h>
#include <pthread.h>
#include <signal.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "mario/admin/admin.h"
#include "mario/base/clock.h"
#include "mario/base/complain.h"
#include "mario/base/loop.h"
#include "mario/base/symbol.h"
#include "mario/base/trim.h"
#include "mario/base/util.h"
#include "mario/exec/registry.h"
#include "mario/exec/timing.h"
#include "mario/net/activation.h"
#include "mario/mario_util.h"
#include "mario/process/crash.h"
#include "mario/process/limit.h"
#include "mario/process/notify.h"
#include "mario/process/supervise.h"
#include "mario/push/route.h"
#include "mario/server/certificates.h"
#include "mario/server/dump.h"
#include "mario/server/options.h"
#include "mario/server/watchdog.h"

enum { EXIT_NOT_STARTED = 2, EXIT_FAILED = 3 };

/* One in a process that is ready or runs, or the last that did; init and free set it, on the application's thread. */
static SERVER *the_server;

_Thread_local const SERVER *server_here;

/* ---- Init ---- */

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
    if (!server_setup(s, o)) {
        server_teardown(s);
        server_destroy(s);
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
    server_here = s;
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
    server_teardown(s);
    atomic_store(&s->state, SERVER_STOPPED);
    return ok ? NULL : server;
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
        server_teardown(s);
    }
    if (the_server == s)
        the_server = NULL;
    server_destroy(s);
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
