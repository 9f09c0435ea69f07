/*
 * cluster.c: switching the cluster on, its thread, and one turn of it. mario_cluster_start() is the main thread's; so
 * are the events of the bus until the server starts. Then the cluster's thread has all of it until the server has
 * stopped.
 *
 * A turn: the loop waits for the engine's sockets, the orders' descriptor or the time that is due; then cluster_pass()
 * takes what was ordered and does what is due, each in slices, so that no crowd of one kind keeps the others waiting.
 */
#include "mario/cluster/inside.h"

#include <errno.h>
#include <pthread.h>
#include <signal.h>
#include <stdlib.h>
#include <string.h>
#include <sys/eventfd.h>
#include <unistd.h>

#include "mario/base/clock.h"
#include "mario/cluster/history.h"

enum { TAKE = 256, TAKES = 16, START_MS = 3000, STOP_MS = 1000, STOP_TURN_MS = 10 };

struct cluster cluster;

const struct house cluster_libmario = {.take = mario_route_take,
                                       .user_count = mario_user_count,
                                       .group_count = mario_group_count,
                                       .send_user = mario_local_send_user,
                                       .send_group = mario_local_send_group,
                                       .send_all = mario_local_send_all,
                                       .kick_user = mario_local_kick_user,
                                       .bind = mario_local_bind,
                                       .refuse = mario_local_refuse,
                                       .replace = mario_local_replace,
                                       .replace_beside = mario_local_replace_beside,
                                       .stat_add = mario_stat_add,
                                       .now = clock_ns};

static struct {
    struct event *orders, *wake, *timer;
    int wake_fd; /* main (w) -> the thread (r): it is to end */
    atomic_bool ends;
    pthread_t thread;
    uint64_t beat_ms;       /* when the next sign of life is due */
    uint64_t subscriptions; /* as libmario was told */
    uint32_t renewed;       /* parts, before the thread runs */
    bool is_taken;          /* RENEWED_TAKEN was said last */
    bool begun;             /* the core follows the bus */
    char why[256];          /* the bus was not there, before the thread runs */
} me;

/* ---- Events of the bus ---- */

static void on_up(void *arg, uint32_t part)
{
    (void) arg;
    cluster.ops->renew(cluster.bus);
    if (me.begun)
        parts_up(part, true);
}

static void on_down(void *arg, uint32_t part, const char *why)
{
    (void) arg;
    snprintf(me.why, sizeof me.why, "%s", why);
    if (me.begun)
        parts_down(part, why);
}

static void on_subscribed(void *arg, uint32_t part, const struct channel *c)
{
    (void) arg;
    cluster.part[part].has_spoken = true;
    if (!me.begun)
        return;
    interest_confirmed(&cluster.interests, c);
    if (c->kind == CHANNEL_GROUP)
        history_subscribed(c->key);
}

static void on_message(void *arg, uint32_t part, const struct channel *c, const void *bytes, size_t len)
{
    (void) arg;
    if (me.begun)
        in_message(part, c, bytes, len);
}

static void on_sequenced(void *arg, uint32_t part, uint64_t group, uint64_t epoch, uint64_t seq,
                         const void *bytes, size_t len)
{
    (void) arg;
    cluster.part[part].has_spoken = true;
    if (me.begun)
        in_sequenced(group, epoch, seq, bytes, len);
}

static void on_garbage(void *arg)
{
    (void) arg;
    cluster.tally.garbage++;
}

static void on_room(void *arg, uint32_t part)
{
    (void) arg;
    if (me.begun)
        out_room(part);
}

static void on_published(void *arg, uint64_t cookie, int64_t receivers)
{
    (void) arg;
    out_published(cookie, receivers);
}

static void on_claimed(void *arg, uint64_t cookie, enum bus_claim c)
{
    (void) arg;
    claims_claimed(cookie, c);
}

static void on_renewed(void *arg, uint32_t part, enum bus_renewed r)
{
    (void) arg;
    cluster.part[part].has_spoken = true;
    if (r == RENEWED_TAKEN && me.begun && !me.is_taken)
        event_tell(MARIO_CLUSTER_REFUSED, "another node is called %s: binds hold on this one alone",
                   cluster.set.node);
    me.is_taken = r == RENEWED_TAKEN;
    me.renewed |= UINT32_C(1) << part;
    if (me.begun)
        claims_renewed(part, r);
}

static void on_appended(void *arg, uint64_t cookie, bool done)
{
    (void) arg;
    cluster.tally.published += done;
    history_appended(cookie, done);
}

static void on_history(void *arg, uint64_t cookie, uint64_t epoch, uint64_t seq, const void *bytes,
                       size_t len, uint64_t last, uint64_t base)
{
    (void) arg;
    in_fetched(cookie, epoch, seq, bytes, len, last, base);
}

static void on_refused(void *arg, uint32_t part, const char *line)
{
    (void) arg;
    (void) part;
    event_tell(MARIO_CLUSTER_REFUSED, "%s: %s", cluster.ops->name, line);
}

const struct bus_events cluster_events = {.up = on_up,
                                          .down = on_down,
                                          .subscribed = on_subscribed,
                                          .message = on_message,
                                          .sequenced = on_sequenced,
                                          .garbage = on_garbage,
                                          .room = on_room,
                                          .published = on_published,
                                          .claimed = on_claimed,
                                          .renewed = on_renewed,
                                          .appended = on_appended,
                                          .history = on_history,
                                          .refused = on_refused};

/* ---- What histories need ---- */

static bool group_is_up(void *arg, uint64_t group)
{
    (void) arg;
    return cluster.ops->is_up(cluster.bus, cluster_part(CHANNEL_GROUP, group));
}

static void group_append(void *arg, uint64_t group, uint32_t n, struct mario_msg *m, uint64_t cookie)
{
    (void) arg;
    struct mario_msg_info info;
    struct frame f = {.kind = FRAME_GROUP, .key = group};
    unsigned char head[FRAME_HEAD_MAX];
    mario_msg_info(m, &info);
    size_t len = out_head(&f, &info, head);
    cluster.ops->append(cluster.bus, group, n, head, len, info.bytes, info.len, cookie);
}

static void group_fetch(void *arg, uint64_t group, uint64_t after, uint32_t most, uint64_t cookie)
{
    (void) arg;
    cluster.ops->fetch(cluster.bus, group, after, most, cookie);
}

static void group_hold(void *arg, uint64_t group, bool on)
{
    (void) arg;
    (void) interest_hold(&cluster.interests, CHANNEL_GROUP, group, on, cluster_ms());
}

static bool group_is_subscribed(void *arg, uint64_t group)
{
    (void) arg;
    const struct interest *i = interest_find(&cluster.interests, CHANNEL_GROUP, group);
    return i != NULL && interest_is_confirmed(&cluster.interests, i);
}

static bool setup_history(void)
{
    const struct history_engine e = {.is_up = group_is_up,
                                     .append = group_append,
                                     .fetch = group_fetch,
                                     .hold = group_hold,
                                     .is_subscribed = group_is_subscribed};
    if (cluster.ops == NULL)
        return history_setup(HISTORY_LOCAL, NULL, 0, NULL);
    return history_setup(cluster.ops->has_history ? HISTORY_ENGINE : HISTORY_NONE, &e, cluster.set.queue,
                         NULL);
}

/* ---- A turn ---- */

static uint64_t count_here(enum channel_kind kind, uint64_t key)
{
    return kind == CHANNEL_USER    ? cluster.house->user_count(key)
           : kind == CHANNEL_GROUP ? cluster.house->group_count(key)
                                   : 0;
}

static void left(enum channel_kind kind, uint64_t key)
{
    if (kind == CHANNEL_GROUP)
        history_unsubscribed(key);
}

static void look(enum channel_kind kind, uint64_t key)
{
    if (cluster.ops != NULL)
        (void) interest_look(&cluster.interests, kind, key, cluster_ms());
}

static void send_out(enum frame_kind kind, struct mario_route_order *o)
{
    if (cluster.ops != NULL)
        out_send(kind, o->key, o->m, o->reason_id);
    else
        mario_msg_free(&o->m);
}

/* One that was sent before its group had a history here is delivered already, and goes as ever; one that was sent when it
 * still had one is not. */
static void send_to_group(struct mario_route_order *o)
{
    bool is_here = o->how == 0;
    if (!is_here && history_send(o->key, o->m))
        return;
    if (!is_here)
        deliver(&(struct delivery){.what = DELIVER_GROUP, .key = o->key, .m = mario_msg_ref(o->m)});
    send_out(FRAME_GROUP, o);
}

static void serve(struct mario_route_order *o)
{
    switch (o->kind) {
    case MARIO_ROUTE_SEND_USER:
        send_out(FRAME_USER, o);
        return;
    case MARIO_ROUTE_SEND_GROUP:
        send_to_group(o);
        return;
    case MARIO_ROUTE_SEND_ALL:
        send_out(FRAME_ALL, o);
        return;
    case MARIO_ROUTE_KICK_USER:
        send_out(FRAME_KICK_USER, o);
        return;
    case MARIO_ROUTE_BIND:
        claims_bind(o);
        return;
    case MARIO_ROUTE_UNBIND:
        claims_unbind(o->key, o->id);
        return;
    case MARIO_ROUTE_USER:
        look(CHANNEL_USER, o->key);
        return;
    case MARIO_ROUTE_GROUP:
        look(CHANNEL_GROUP, o->key);
        return;
    case CORE_ASK:
        ask_order(o);
        return;
    default:
        if (o->kind >= HISTORY_KIND_FIRST && o->kind <= HISTORY_KIND_LAST)
            history_order(o);
        else
            mario_msg_free(&o->m);
    }
}

/* True if there may be more. */
static bool take_orders(void)
{
    struct mario_route_order o[TAKE];
    for (unsigned i = 0; i < TAKES; i++) {
        uint32_t n = cluster.house->take(o, TAKE);
        if (n == 0)
            return false;
        for (uint32_t k = 0; k < n; k++)
            serve(&o[k]);
    }
    return true;
}

static void add(const char *name, uint64_t *n)
{
    if (*n != 0)
        cluster.house->stat_add(name, (int64_t) *n);
    *n = 0;
}

static void add_up(void)
{
    struct tally *t = &cluster.tally;
    add("cluster_published", &t->published);
    add("cluster_received", &t->received);
    add("cluster_nobody", &t->nobody);
    add("cluster_dropped", &t->dropped);
    add("cluster_lost", &t->lost);
    add("cluster_garbage", &t->garbage);
    add("cluster_gaps", &t->gaps);
    add("cluster_reconnects", &t->reconnects);
    uint64_t more =
        cluster.interests.users_and_groups - me.subscriptions; /* below 0 it wraps, as counters do */
    me.subscriptions += more;
    add("cluster_subscriptions", &more);
}

static uint64_t beat(void)
{
    if (cluster.ops == NULL)
        return UINT64_MAX;
    if (cluster_ms() >= me.beat_ms) {
        me.beat_ms = cluster_ms() + cluster.set.heartbeat_ms;
        cluster.ops->renew(cluster.bus);
        claims_renew();
        peers_say(FRAME_HEARTBEAT);
    }
    return me.beat_ms;
}

static uint64_t sooner(uint64_t a, uint64_t b)
{
    return a < b ? a : b;
}

bool cluster_pass(uint64_t *next_ms)
{
    cluster.now = cluster.house->now();
    bool more = take_orders();
    if (cluster.ops != NULL) {
        more |= parts_pass();
        more |= claims_pass();
    }
    uint64_t next = sooner(beat(), parts_next());
    next = sooner(next, interest_expire(&cluster.interests, cluster_ms()));
    next = sooner(next, deliver_pass());
    next = sooner(next, ask_pass());
    next = sooner(next, peers_pass());
    uint64_t history_ns = history_pass();
    *next_ms = sooner(next, history_ns == UINT64_MAX ? UINT64_MAX : history_ns / NS_PER_MS + 1);
    add_up();
    return more;
}

/* ---- Setting up ---- */

bool cluster_setup(const struct house *house)
{
    cluster.house = house;
    cluster.now = house->now();
    memset(cluster.part, 0, sizeof cluster.part);
    memset(&cluster.tally, 0, sizeof cluster.tally);
    me.begun = false;
    me.beat_ms = me.subscriptions = me.renewed = 0;
    me.why[0] = '\0';
    cluster.parts = 1;
    if (!sequences_init(&cluster.sequences, cluster.set.epoch))
        return false;
    cluster.interests = (struct interests){.ops = cluster.ops,
                                           .node = cluster.set.node,
                                           .parts = 1,
                                           .linger_ms = cluster.set.linger_ms,
                                           .count = count_here,
                                           .left = left};
    interests_init(&cluster.interests, cluster.set.epoch);
    return out_setup() && claims_setup() && ask_setup() && peers_setup() && setup_history();
}

void cluster_teardown(void)
{
    me.begun = false;
    ask_teardown();
    peers_teardown();
    claims_teardown();
    deliver_teardown();
    out_teardown();
    history_end();
    interests_fini(&cluster.interests);
    sequences_fini(&cluster.sequences);
    add_up();
}

void cluster_begin(void)
{
    cluster.now = cluster.house->now();
    history_begin();
    me.begun = true;
    if (cluster.ops == NULL)
        return;
    cluster.parts = cluster.interests.parts = cluster.ops->parts(cluster.bus);
    cluster.interests.bus = cluster.bus;
    (void) interest_hold(&cluster.interests, CHANNEL_ALL, INTEREST_FIXED, true, cluster_ms());
    (void) interest_hold(&cluster.interests, CHANNEL_NODE, INTEREST_FIXED, true, cluster_ms());
    for (uint32_t i = 0; i < cluster.parts; i++) {
        if (cluster.ops->is_up(cluster.bus, i))
            parts_up(i, false);
    }
}

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
    parts_open();
    for (;;) {
        more = cluster_pass(&next_ms);
        if (cluster.ops == NULL && !more)
            return;
        if (!more && !said && out_is_done()) {
            said = true;
            peers_say(FRAME_LEAVE);
            cluster.ops->retire(cluster.bus);
        }
        if ((said && cluster.ops->flush(cluster.bus)) || cluster_ms() >= ends_ms)
            return;
        turn(more, sooner(next_ms, cluster_ms() + STOP_TURN_MS));
    }
}

static void *run(void *unused)
{
    (void) unused;
    uint64_t next_ms;
    cluster_begin();
    if (cluster.ops != NULL && me.why[0] != '\0' && !cluster.part[0].is_up)
        event_tell(MARIO_CLUSTER_DOWN, "%s: %s", cluster.ops->name, me.why);
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
    return me.renewed == (UINT32_C(1) << parts) - 1 || me.is_taken ||
           strncmp(me.why, BUS_PASSWORD, strlen(BUS_PASSWORD)) == 0;
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
    if (me.is_taken) {
        say("cluster.node = %s: a node of this name lives", cluster.set.node);
        return EEXIST;
    }
    if (!is_settled(parts)) {
        say("the cluster's bus is not there yet (%s: %s); going on without it", cluster.ops->name,
            me.why[0] == '\0' ? "no answer" : me.why);
        return 0;
    }
    if (strncmp(me.why, BUS_PASSWORD, strlen(BUS_PASSWORD)) != 0)
        return 0;
    say("%s: %s", cluster.ops->name, me.why);
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
