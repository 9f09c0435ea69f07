/*
 * start.c: switching the cluster on and off, and its thread. mario_cluster_start() is the main thread's, and so is the
 * bus until the server starts. Then the thread has all of it until the server has stopped.
 */
#include "mario/cluster/inside.h"

#include <errno.h>
#include <pthread.h>
#include <signal.h>
#include <string.h>
#include <sys/eventfd.h>
#include <unistd.h>

enum { START_MS = 3000, STOP_MS = 1000, STOP_TURN_MS = 10 };

static struct {
    struct event *orders, *wake, *timer;
    int wake_fd; /* main (w) -> the thread (r): it is to end */
    atomic_bool ends;
    pthread_t thread;
} me;

/* ---- The thread ---- */

static void on_nothing(evutil_socket_t fd, short what, void *arg)
{
    (void) fd;
    (void) what;
    (void) arg; /* the turn looks */
}

/* One wait of the loop, until next_ms at most. */
static void turn(bool more, uint64_t next_ms)
{
    if (!more && next_ms != UINT64_MAX) {
        uint64_t now_ms = cluster.house->now() / NS_PER_MS, left_ms = next_ms > now_ms ? next_ms - now_ms : 0;
        struct timeval t = {.tv_sec = (time_t) (left_ms / 1000),
                            .tv_usec = (suseconds_t) (left_ms % 1000 * 1000)};
        event_add(me.timer, &t);
    }
    event_base_loop(cluster.base, more ? EVLOOP_NONBLOCK : EVLOOP_ONCE);
}

/* What was ordered last goes out, then the others hear that we go: within a second, or not. */
static void go(void)
{
    uint64_t ends_ms = cluster.house->now() / NS_PER_MS + STOP_MS, next_ms;
    bool more = true, said = false;
    const struct bus_ops *ops = cluster.ops;
    parts_open();
    for (;;) {
        more = cluster_pass(&next_ms);
        if (ops == NULL && !more)
            return;
        if (!more && !said && out_is_done()) {
            said = true;
            peers_say(FRAME_LEAVE);
            ops->retire(cluster.bus);
        }
        if ((said && ops->flush(cluster.bus)) || cluster_ms() >= ends_ms)
            return;
        uint64_t soon_ms = cluster_ms() + STOP_TURN_MS;
        turn(more, next_ms < soon_ms ? next_ms : soon_ms);
    }
}

static void *run(void *unused)
{
    (void) unused;
    pthread_setname_np(pthread_self(), "mario-cluster");
    uint64_t next_ms;
    cluster_begin();
    if (cluster.ops != NULL && cluster.seen.why[0] != '\0' && !cluster.part[0].is_up)
        event_tell(MARIO_CLUSTER_DOWN, "%s: %s", cluster.ops->name, cluster.seen.why);
    while (!atomic_load_explicit(&me.ends, memory_order_acquire)) {
        bool more = cluster_pass(&next_ms);
        turn(more, next_ms);
    }
    go();
    return NULL;
}

/* As libmario's threads: the master's signals are the master's, faults are everybody's. */
static int start_thread(void)
{
    static const int blocked[] = {SIGTERM, SIGINT, SIGHUP, SIGUSR1};
    static const int open[] = {SIGSEGV, SIGBUS, SIGFPE, SIGILL, SIGABRT};
    sigset_t mask, old;
    pthread_sigmask(SIG_SETMASK, NULL, &mask);
    for (size_t i = 0; i < sizeof blocked / sizeof blocked[0]; i++)
        sigaddset(&mask, blocked[i]);
    for (size_t i = 0; i < sizeof open / sizeof open[0]; i++)
        sigdelset(&mask, open[i]);
    pthread_sigmask(SIG_SETMASK, &mask, &old);
    int err = pthread_create(&me.thread, NULL, run, NULL);
    pthread_sigmask(SIG_SETMASK, &old, NULL);
    return err;
}

static sint32 on_start(void *unused)
{
    (void) unused;
    me.wake_fd = eventfd(0, EFD_CLOEXEC | EFD_NONBLOCK);
    me.orders =
        event_new(cluster.base, mario_route_fd(), (short) (EV_READ | EV_ET | EV_PERSIST), on_nothing, NULL);
    me.wake = me.wake_fd < 0 ? NULL : event_new(cluster.base, me.wake_fd, EV_READ, on_nothing, NULL);
    me.timer = event_new(cluster.base, -1, 0, on_nothing, NULL);
    if (me.orders == NULL || me.wake == NULL || me.timer == NULL || event_add(me.orders, NULL) != 0 ||
        event_add(me.wake, NULL) != 0)
        return -1;
    atomic_store(&me.ends, false);
    atomic_store(&cluster.runs, true);
    if (start_thread() == 0)
        return 0;
    atomic_store(&cluster.runs, false);
    return -1;
}

static void free_event(struct event **e)
{
    if (*e != NULL)
        event_free(*e);
    *e = NULL;
}

/* Open answers are told while the bus goes, so that goes first. */
static void give_up(void)
{
    if (cluster.bus != NULL)
        cluster.ops->destroy(&cluster.bus);
    cluster_teardown();
    free_event(&me.orders);
    free_event(&me.wake);
    free_event(&me.timer);
    if (me.wake_fd >= 0)
        close(me.wake_fd);
    me.wake_fd = -1;
    if (cluster.base != NULL)
        event_base_free(cluster.base);
    cluster.base = NULL;
    settings_forget(&cluster.set);
    atomic_store(&cluster.is_on, false);
}

static void on_stop(void *unused)
{
    (void) unused;
    if (atomic_load(&cluster.runs)) {
        atomic_store_explicit(&me.ends, true, memory_order_release);
        if (write(me.wake_fd, &(uint64_t){1}, sizeof(uint64_t)) < 0)
            say("the cluster's thread cannot be woken: %s", strerror(errno));
        pthread_join(me.thread, NULL);
        atomic_store(&cluster.runs, false);
    }
    give_up();
}

/* ---- Switching on ---- */

static void on_time(evutil_socket_t fd, short what, void *arg)
{
    (void) fd;
    (void) what;
    *(bool *) arg = true;
}

static bool is_settled(uint32_t parts)
{
    return cluster.seen.renewed == (UINT32_C(1) << parts) - 1 || cluster.seen.is_taken ||
           strncmp(cluster.seen.why, BUS_PASSWORD, strlen(BUS_PASSWORD)) == 0;
}

/* Until it is there, or it is clear that it will not be. 0 or an errno, after a line. */
static int wait_for_bus(void)
{
    bool is_late = false;
    uint32_t parts = cluster.ops->parts(cluster.bus);
    struct event *timer = event_new(cluster.base, -1, 0, on_time, &is_late);
    if (timer == NULL)
        return ENOMEM;
    event_add(timer, &(struct timeval){.tv_sec = START_MS / 1000});
    while (!is_late && !is_settled(parts))
        event_base_loop(cluster.base, EVLOOP_ONCE);
    event_free(timer);
    if (cluster.seen.is_taken) {
        say("cluster.node = %s: a node of this name lives", cluster.set.node);
        return EEXIST;
    }
    if (!is_settled(parts)) {
        say("the cluster's bus is not there yet (%s: %s); going on without it", cluster.ops->name,
            cluster.seen.why[0] == '\0' ? "no answer" : cluster.seen.why);
        return 0;
    }
    if (strncmp(cluster.seen.why, BUS_PASSWORD, strlen(BUS_PASSWORD)) != 0)
        return 0;
    say("%s: %s", cluster.ops->name, cluster.seen.why);
    return EACCES;
}

/* 0 or an errno, after a line. */
static int connect_bus(void)
{
    char why[256] = "no memory";
    const struct bus_config c = {.servers = cluster.set.servers,
                                 .prefix = cluster.set.prefix,
                                 .node = cluster.set.node,
                                 .user = cluster.set.user,
                                 .password = cluster.set.password,
                                 .epoch = cluster.set.epoch,
                                 .ttl_ms = cluster.set.ttl_ms,
                                 .base = cluster.base};
    cluster.bus = cluster.ops->create(&c, &cluster_events, NULL, why, sizeof why);
    if (cluster.bus != NULL)
        return wait_for_bus();
    say("%s: %s", cluster.ops->name, why);
    return ENOSYS;
}

static int begin(const struct mario_cluster_options *o)
{
    const struct mario_route r = {.start = on_start, .stop = on_stop};
    char why[512] = "";
    int err = settings_take(&cluster.set, o, why, sizeof why);
    if (err != 0) {
        say("%s", why);
        return err;
    }
    cluster.ops = cluster.set.ops;
    cluster.base = event_base_new();
    if (!cluster_setup(&cluster_libmario) || cluster.base == NULL) {
        say("no memory for the cluster");
        return ENOMEM;
    }
    if (cluster.ops != NULL && (err = connect_bus()) != 0)
        return err;
    if (regist_route(&r) == 0)
        return 0;
    say("the cluster is to be switched on before the server starts, and once");
    return EALREADY;
}

sint32 mario_cluster_start(const struct mario_cluster_options *o)
{
    if (atomic_load(&cluster.is_on)) {
        say("the cluster is on already");
        errno = EALREADY;
        return -1;
    }
    me.wake_fd = -1;
    int err = begin(o);
    if (err == 0) {
        atomic_store(&cluster.is_on, true);
        return 0;
    }
    give_up();
    errno = err;
    return -1;
}
