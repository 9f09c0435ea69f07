/*
 * orders.c: carrying out what other threads, and this one, have ordered. Runs on the worker's thread at the end of a
 * pass; nothing here may be called from elsewhere.
 *
 * First everything is put onto the queues of the connections, then each of them gets one send. Wherever user code is
 * called (run, timers, binds, receipts, an application's framing) the order is out of its lane and everything else
 * stands in struct push, so that another thread may take the shard over right there: it looks at all lanes.
 */
#include "mario/worker/orders.h"

#include <sys/timerfd.h>

#include "mario/base/clock.h"
#include "mario/base/id.h"
#include "mario/base/probe.h"
#include "mario/exec/registry.h"
#include "mario/push/route.h"
#include "mario/worker/binds.h"
#include "mario/worker/calls.h"
#include "mario/worker/functions.h"
#include "mario/worker/walks.h"
#include "mario/worker/wraps.h"

enum {
    LANE_BATCH = 1024,   /* orders of a lane that a pass carries out */
    SHARE_NS = 1000000,  /* that user code may use of a pass, or a little more */
    BACKLOG_NS = 1000000 /* until a full ring is tried again */
};

/* ---- Who is meant ---- */

static void gone(struct shard *s)
{
    stats_add(s->stats, STAT_push_gone, 1);
}

static struct member *member_or_close(struct shard *s, struct conn *c)
{
    struct member *m = push_make_member(s, c);
    if (m == NULL)
        conn_close(c, REASON_no_memory);
    return m;
}

/* ---- About one connection ---- */

/* m, of which the order has a reference, is for c. The reference is given up: before user code runs, if it does:
 * another thread may take the shard over there, which knows nothing of the order. Whether it ran. */
static bool put(struct shard *s, struct conn *c, struct mario_msg *m, bool is_last)
{
    bool asks = wraps_is_due(s, c, m), open = !asks || wraps_run(s, c, m);
    struct slow_policy policy = push_policy(s, c);
    if (open && is_last)
        delivery_put_last(c, m);
    else if (open)
        delivery_put(c, m, &policy);
    if (!asks)
        message_unref(m);
    return asks;
}

static bool carry_out_send(struct shard *s, const struct order *o)
{
    struct conn *c = push_find(s, o->id);
    if (c != NULL)
        return put(s, c, o->m, false);
    gone(s);
    message_unref(o->m);
    return false;
}

static bool carry_out_kick(struct shard *s, const struct order *o)
{
    struct conn *c = push_find(s, o->id);
    bool asked = false;
    if (c == NULL) {
        gone(s);
        if (o->m != NULL)
            message_unref(o->m);
        return false;
    }
    c->pub.err_type = o->akg;
    if (o->m != NULL)
        asked = put(s, c, o->m, true);
    if (c->state == CONN_OPEN)
        conn_close(c, (enum reason) o->how);
    return asked;
}

static void carry_out_run(struct shard *s, const struct order *o)
{
    struct conn *c = push_find(s, o->id);
    if (c != NULL) {
        calls_make(s, c, o);
        return;
    }
    gone(s);
    calls_nobody(o);
}

/* The route knows of the first one. False without memory. */
static bool group_has_come(struct shard *s, uint64_t group)
{
    return !port_has_route() || rooms_count(&s->push->rooms, group) != 1 ||
           route_notice(s, MARIO_ROUTE_GROUP, group, 0);
}

static void carry_out_join(struct shard *s, const struct order *o)
{
    struct conn *c = push_find(s, o->id);
    struct member *m = c == NULL ? NULL : member_or_close(s, c);
    enum joined joined = JOINED_NOT;
    if (m != NULL && (o->number == 0 || !push_is_off(m, o->other, o->number, true))) {
        bool full = s->set->push_groups != 0 && m->groups.count >= s->set->push_groups;
        if (!full)
            joined = rooms_join(&s->push->rooms, o->other, c->pub.ind, &m->groups);
        else if (!rooms_has(&s->push->rooms, o->other, &m->groups))
            stats_add(s->stats, STAT_push_refused_groups, 1);
        if ((!full && joined == JOINED_NOT) || (joined == JOINED && !group_has_come(s, o->other)))
            conn_close(c, REASON_no_memory);
    }
    if (c == NULL)
        gone(s);
    if (joined != JOINED)
        push_absent(s->push, o->other);
}

static void carry_out_leave(struct shard *s, const struct order *o)
{
    struct conn *c = push_find(s, o->id);
    struct member *m = c == NULL ? NULL : push_member(s, c);
    if (c == NULL)
        gone(s);
    if (m == NULL)
        return;
    push_leave_later(m, o->other);
    if (rooms_leave(&s->push->rooms, o->other, &m->groups))
        push_group_has_gone(s, o->other);
}

/* Without memory a mario_leave() before the route makes it a member comes to nothing. */
static void carry_out_join_later(struct shard *s, const struct order *o)
{
    struct conn *c = push_find(s, o->id);
    struct member *m = c == NULL ? NULL : push_make_member(s, c);
    if (m == NULL || !push_add_later(m, o))
        gone(s);
}

static void carry_out_policy(struct shard *s, const struct order *o)
{
    struct conn *c = push_find(s, o->id);
    struct member *m = c == NULL ? NULL : member_or_close(s, c);
    if (m == NULL)
        return;
    m->has_policy = true;
    m->policy = (struct slow_policy){
        .how = (enum mario_slow) o->how, .messages = o->number, .bytes = (uint32_t) o->other};
}

static void carry_out_timer(struct shard *s, const struct order *o)
{
    struct conn *c = push_find(s, o->id);
    struct member *m;
    if (c == NULL)
        return;
    if ((m = push_member(s, c)) != NULL)
        push_forget_timer(m, o->f, o->arg);
    if (o->number == 0) {
        if (m != NULL)
            timers_cancel(&s->push->timers, &m->timers, o->f, o->arg);
        return;
    }
    m = member_or_close(s, c);
    if (m != NULL && !timers_set(&s->push->timers, &m->timers, c->pub.ind,
                                 clock_ns() + o->number * UINT64_C(1000000), o->f, o->arg))
        conn_close(c, REASON_no_memory);
}

/* ---- Users ---- */

/* It cannot be sent on to c's worker, where very much waits already. */
static void drop_on_the_way(struct shard *s, struct mario_msg *m)
{
    stats_add(s->stats, STAT_push_targets, 1);
    stats_add(s->stats, STAT_push_dropped_newest, 1);
    message_target(m);
    message_settle(m, SETTLED_DROPPED);
}

/* To each connection of a user. */
static void carry_out_user(struct shard *s, const struct order *o)
{
    const uint64_t *ids;
    uint32_t count = users_ids(&s->push->users, o->id, &ids);
    struct order one = {.kind = ORDER_SEND, .m = o->m};
    if (count == 0)
        gone(s);
    for (uint32_t i = 0; i < count; i++) {
        one.id = ids[i];
        message_ref(o->m, 1);
        if (push_post_some(s, id_worker(ids[i]), &one))
            continue;
        drop_on_the_way(s, o->m);
        message_unref(o->m);
    }
    message_unref(o->m);
}

static void carry_out_user_kick(struct shard *s, const struct order *o)
{
    struct users *u = &s->push->users;
    const uint64_t *ids;
    struct order one = {.kind = ORDER_KICK, .how = REASON_kicked, .akg = o->akg, .m = o->m};
    bool posted = true;
    if (users_ids(u, o->id, &ids) == 0)
        gone(s);
    while (posted && users_ids(u, o->id, &ids) > 0) {
        one.id = ids[0];
        if (o->m != NULL)
            message_ref(o->m, 1);
        posted = push_post(s, id_worker(one.id), &one);
        if (posted)
            bind_forget(s, o->id, one.id);
        else if (o->m != NULL)
            message_unref(o->m);
    }
    if (o->m != NULL)
        message_unref(o->m);
}

/* ---- Reading the lanes ---- */

/* True if it may have taken long: it was user code, or one who is in thousands of things was searched. */
static bool carry_out(struct shard *s, const struct order *o)
{
    switch ((enum order_kind) o->kind) {
    case ORDER_SEND:
        return carry_out_send(s, o);
    case ORDER_KICK:
        return carry_out_kick(s, o);
    case ORDER_RUN:
        carry_out_run(s, o);
        return true;
    case ORDER_JOIN:
        carry_out_join(s, o);
        return true;
    case ORDER_JOIN_LATER:
        carry_out_join_later(s, o);
        return false;
    case ORDER_LEAVE:
        carry_out_leave(s, o);
        return true;
    case ORDER_POLICY:
        carry_out_policy(s, o);
        return false;
    case ORDER_TIMER:
        carry_out_timer(s, o);
        return true;
    case ORDER_BIND:
        bind_begin(s, o);
        return false;
    case ORDER_DECIDED:
        bind_decided(s, o);
        return true;
    case ORDER_USER:
        carry_out_user(s, o);
        return false;
    case ORDER_USER_KICK:
        carry_out_user_kick(s, o);
        return false;
    case ORDER_USER_BIND:
        bind_at_home(s, o);
        return false;
    case ORDER_USER_CLAIM:
        bind_claim(s, o);
        return false;
    case ORDER_USER_END:
        bind_forget(s, o->id, o->other);
        return false;
    case ORDER_USER_REPLACE:
        bind_replace_beside(s, o);
        return false;
    case ORDER_REPLACE:
        bind_replace(s, o);
        return false;
    case ORDER_GROUP:
    case ORDER_ALL:
    case ORDER_EACH:
        break; /* walked, see read_lane() */
    }
    return false;
}

static bool is_for_many(const struct order *o)
{
    return o->kind == ORDER_GROUP || o->kind == ORDER_ALL || o->kind == ORDER_EACH;
}

/* What user code may still use of this pass. */
static bool is_late(uint64_t deadline)
{
    return clock_ns() > deadline;
}

static struct lane *own_lane(const struct shard *s)
{
    struct port *own = port_own();
    return own == NULL ? NULL : port_lane(own, s->ind);
}

static void read_own_lane(struct shard *s, struct stride *stride);
static bool is_in_turn(struct shard *s, const struct order *bind, struct stride *stride);

/* A bounded number of orders of one lane. True if there may be more. */
static bool read_lane(struct shard *s, struct lane *l, unsigned bit, struct stride *stride)
{
    for (int i = 0; i < LANE_BATCH; i++) {
        struct order *at = l->walk != NULL ? NULL : spsc_front(&l->ring);
        if (at == NULL)
            return false;
        if (is_for_many(at)) {
            PROBE3(push__order, s->ind, at->kind, at->id);
            if (!walk_take(s->push, l, bit))
                return true;
            if (!walks_try(s, l, stride))
                return false; /* the end of the walk looks at it again */
            continue;
        }
        if ((at->kind == ORDER_USER_BIND || at->kind == ORDER_USER_CLAIM) && !is_in_turn(s, at, stride))
            return true;
        struct order o = *at;
        PROBE3(push__order, s->ind, o.kind, o.id);
        spsc_release(&l->ring);
        if (!carry_out(s, &o))
            continue;
        if (is_late(stride->deadline))
            return true;
        if (l != own_lane(s))
            read_own_lane(s, stride);
    }
    return true;
}

/* Whether what the thread that binds had ordered of this home before is done. If not, it is now, as far as may be in
 * one go: so a notice to a user's former connections, or a kick, does not reach the one that is bound behind it. */
static bool is_in_turn(struct shard *s, const struct order *bind, struct stride *stride)
{
    struct port *p = port_unread(bind->behind, s->ind);
    if (p == NULL)
        return true;
    if (read_lane(s, port_lane(p, s->ind), p->bit, stride))
        s->push->again |= UINT64_C(1) << p->bit;
    return port_unread(bind->behind, s->ind) == NULL;
}

/* What the functions of this worker have ordered comes first: who has their answer, and speaks of it through another
 * worker, finds it done. */
static void read_own_lane(struct shard *s, struct stride *stride)
{
    struct lane *l = own_lane(s);
    if (l != NULL && read_lane(s, l, port_own()->bit, stride))
        s->push->again |= UINT64_C(1) << port_own()->bit;
}

static void read_lanes(struct shard *s, struct stride *stride)
{
    read_own_lane(s, stride);
    uint64_t bits = s->push->again & PORT_LANES;
    s->push->again &= ~bits;
    for (; bits != 0; bits &= bits - 1) {
        unsigned bit = (unsigned) __builtin_ctzll(bits);
        for (struct port *p = port_first(bit); p != NULL; p = p->next) {
            struct lane *l = port_lane(p, s->ind);
            if (l != NULL && read_lane(s, l, bit, stride))
                s->push->again |= UINT64_C(1) << bit;
        }
    }
}

/* ---- Timers, receipts ---- */

static void fire_timers(struct shard *s, uint64_t deadline)
{
    struct timer t;
    uint64_t now;
    while (timers_next(&s->push->timers) <= (now = clock_ns()) && now <= deadline &&
           timers_take(&s->push->timers, now, &t))
        calls_make(s, &s->conns[t.slot], &(struct order){.kind = ORDER_TIMER, .f = t.f, .arg = t.arg});
}

static void call_receipt(void *arg)
{
    registry_receipt()(arg);
}

/* For a share of the pass of their own: whoever sends to nobody, over and over, here or elsewhere, makes more of them
 * all the time. */
static void give_receipts(struct shard *s)
{
    uint64_t deadline = clock_ns() + SHARE_NS;
    struct mario_receipt r;
    while (push_take_receipt(s->push, &r)) {
        if (registry_receipt() == NULL)
            continue;
        functions_alone(executor_here, call_receipt, &r);
        if (is_late(deadline)) {
            s->push->again |= UINT64_C(1) << PORT_BIT_LOOK;
            return;
        }
    }
}

/* ---- The pass ---- */

void orders_read(struct worker *w)
{
    if ((w->shard.push->again & PORT_LANES) != 0)
        read_lanes(&w->shard, &(struct stride){.left = WALK_SLICE, .deadline = clock_ns() + SHARE_NS});
}

void orders_rung(struct worker *w, uint64_t bits)
{
    w->shard.push->again |= bits;
}

void orders_alarm(struct worker *w)
{
    w->shard.push->alarm = 0; /* it is not set any more */
    w->shard.push->again |= UINT64_C(1) << PORT_BIT_LOOK;
}

/* When the worker has to come by itself: its timers, a full ring, what was not done for lack of time. */
static void set_alarm(struct worker *w)
{
    struct push *p = w->shard.push;
    uint64_t at = timers_next(&p->timers);
    if (p->backlog.count > 0 || p->route_backlog.count > 0) {
        uint64_t soon = clock_ns() + BACKLOG_NS;
        at = soon < at ? soon : at;
    }
    if (at == p->alarm)
        return;
    p->alarm = at;
    struct itimerspec t = {.it_value = {.tv_sec = 0}};
    if (at != UINT64_MAX) {
        t.it_value.tv_sec = (time_t) (at / 1000000000u);
        t.it_value.tv_nsec = (long) (at % 1000000000u);
    }
    timerfd_settime(w->alarm_fd, TFD_TIMER_ABSTIME, &t, NULL);
}

bool orders_crowd(const struct worker *w)
{
    struct port *own = port_own();
    const struct lane *l = own == NULL ? NULL : port_lane(own, w->shard.ind);
    uint32_t half = w->shard.service->push_ring / 2;
    return l != NULL && !spsc_is_read_to(&l->ring, spsc_published(&l->ring) - half);
}

bool orders_are_left(const struct worker *w)
{
    const struct push *p = w->shard.push;
    return p->again != 0 || p->walks != NULL || delivery_is_due(&w->shard) ||
           (atomic_load_explicit(&w->bell.word, memory_order_relaxed) & PORT_MASK) != 0;
}

static bool is_idle(const struct push *p, const struct shard *s)
{
    return p->again == 0 && p->walks == NULL && p->backlog.count == 0 && p->route_backlog.count == 0 &&
           p->timers.count == 0 && p->alarm == UINT64_MAX && !delivery_is_due(s);
}

void orders_pass(struct worker *w)
{
    struct shard *s = &w->shard;
    struct push *p = s->push;
    if (is_idle(p, s))
        return;
    struct stride stride = {.left = WALK_SLICE, .deadline = clock_ns() + SHARE_NS};
    push_post_backlog(s);
    fire_timers(s, stride.deadline);
    walks_go_on(s, stride.deadline);
    read_lanes(s, &stride);
    delivery_flush(s);
    p->again &= PORT_LANES;
    calls_late(s, stride.deadline);
    give_receipts(s);
    push_relieve(s);
    set_alarm(w);
}
