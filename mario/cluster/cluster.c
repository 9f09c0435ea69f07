/*
 * cluster.c: what the bus tells, and one turn. The cluster's thread, which start.c has; until the server starts the
 * events of the bus are the main thread's.
 *
 * A turn: the loop waits for the engine's sockets, the orders' descriptor or the time that is due; then cluster_pass()
 * takes what was ordered and does what is due, each in slices, so that no crowd of one kind keeps the others waiting.
 */
#include "mario/cluster/inside.h"

#include <inttypes.h>
#include <stdio.h>
#include <string.h>

#include "mario/base/clock.h"
#include "mario/cluster/history.h"

enum { TAKE = 256, TAKES = 16, LINE_MS = 1000 /* between two lines about missing memory */ };

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
    uint64_t beat_ms;       /* when the next sign of life is due */
    uint64_t unheard_ms;    /* when it was last said that a channel had no memory */
    uint64_t subscriptions; /* as libmario was told */
    bool begun;             /* the core follows the bus */
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
    snprintf(cluster.seen.why, sizeof cluster.seen.why, "%s", why);
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
    if (r == RENEWED_TAKEN && me.begun && !cluster.seen.is_taken)
        event_tell(MARIO_CLUSTER_REFUSED, "another node is called %s: binds hold on this one alone",
                   cluster.set.node);
    cluster.seen.is_taken = r == RENEWED_TAKEN;
    cluster.seen.renewed |= UINT32_C(1) << part;
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

/* The next one who comes or goes has it looked at again. */
static void look(enum channel_kind kind, uint64_t key)
{
    if (cluster.ops == NULL || interest_look(&cluster.interests, kind, key, cluster_ms()))
        return;
    if (cluster.tally.unheard++ == 0 && cluster_ms() - me.unheard_ms >= LINE_MS) {
        me.unheard_ms = cluster_ms();
        event_tell(MARIO_CLUSTER_REFUSED, "no memory for %s %" PRIu64 ": it hears nothing of other nodes",
                   kind == CHANNEL_USER ? "user" : "group", key);
    }
}

static void send_out(enum frame_kind kind, struct mario_route_order *o)
{
    if (cluster.ops != NULL)
        out_send(kind, o->key, o->m, o->reason_id);
    else
        mario_msg_free(&o->m);
}

/* One that was sent before its group had a history here is delivered already, and goes as ever; one that was sent when
 * it still had one is not. */
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
    add("cluster_unheard", &t->unheard);
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
    memset(&me, 0, sizeof me);
    memset(&cluster.seen, 0, sizeof cluster.seen);
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
