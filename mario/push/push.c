/*
 * push.c: the public face of push: each call becomes an order in a ring (port.h). Any thread, as mario_push.h says.
 */
#include "mario/push/push.h"

#include <errno.h>
#include <stdlib.h>

#include "mario/base/id.h"
#include "mario/conn/outbox.h"
#include "mario/exec/executor.h"
#include "mario/push/route.h"

static int32_t refuse(int err)
{
    errno = err;
    return -1;
}

/* Which place of a table of 2^bits a number has. */
static uint32_t spread(uint64_t n, unsigned bits)
{
    return (uint32_t) (n * UINT64_C(0x9e3779b97f4a7c15) >> (64 - bits));
}

/* ---- Presence ---- */

static _Atomic uint32_t *presence_of(struct push *p, uint64_t group)
{
    return &p->presence[spread(group, 16)];
}
_Static_assert(PRESENCE == 1u << 16, "spread() gives 16 bits");

/* Before the order to join is given: then who gives it, and whoever hears of it from him, finds somebody present. */
static void be_present(struct push *p, uint64_t group)
{
    atomic_fetch_add_explicit(presence_of(p, group), 1, memory_order_relaxed);
}

void push_absent(struct push *p, uint64_t group)
{
    atomic_fetch_sub_explicit(presence_of(p, group), 1, memory_order_relaxed);
}

uint32_t push_home(uint64_t uid)
{
    return spread(uid, 32) % port_workers();
}

/* ---- Giving an order ---- */

/* To one worker. Its message, if it has one, gets a reference. */
static int32_t order_inside(struct port *p, uint32_t worker, const struct order *o, struct mario_msg *m)
{
    struct order *place = port_reserve(p, worker);
    if (place == NULL) {
        if (errno == EAGAIN)
            stats_add_shared(STAT_push_refused_ring, 1);
        return -1;
    }
    if (m != NULL)
        message_give(m, 1);
    *place = *o;
    port_commit(p, worker);
    return 0;
}

/* About the connection o->id. */
static int32_t order_conn(const struct order *o, struct mario_msg *m)
{
    struct port *p;
    int32_t rc = -1;
    if (o->id == 0)
        return refuse(EINVAL);
    if ((p = port_enter()) == NULL)
        return -1;
    if (id_worker(o->id) < port_workers())
        rc = order_inside(p, id_worker(o->id), o, m);
    else
        errno = EINVAL;
    port_leave(p);
    return rc;
}

/* What was accepted here is told to the route, if there is one, as an order of this kind; 0: it is not. */
static void tell_route(struct port *p, unsigned kind, const struct order *o)
{
    if (kind == 0 || !port_has_route())
        return;
    struct order told = *o;
    told.kind = (uint8_t) kind;
    route_tell(p, &told);
}

static int32_t order_home(const struct order *o, struct mario_msg *m, unsigned route)
{
    struct port *p;
    if (o->id == 0)
        return refuse(EINVAL);
    if ((p = port_enter()) == NULL)
        return -1;
    int32_t rc = order_inside(p, push_home(o->id), o, m);
    if (rc == 0)
        tell_route(p, route, o);
    port_leave(p);
    return rc;
}

static bool is_wanted(uint32_t worker, uint64_t group)
{
    return group == 0 ||
           atomic_load_explicit(presence_of(push_workers[worker], group), memory_order_relaxed) > 0;
}

/* To all workers that have somebody of o->id, 0 for all connections; or to none. How many; -1 if to none. */
static int32_t order_all(struct port *p, const struct order *o, struct mario_msg *m, struct each *each)
{
    uint32_t n = port_workers(), wanted[MARIO_WORKERNUM_MAX], count = 0;
    for (uint32_t i = 0; i < n; i++) {
        if (!is_wanted(i, o->id))
            continue;
        if (port_reserve(p, i) == NULL) {
            if (errno == EAGAIN)
                stats_add_shared(STAT_push_refused_ring, 1);
            return -1;
        }
        wanted[count++] = i;
    }
    if (m != NULL && count > 0)
        message_give(m, count);
    if (each != NULL)
        atomic_init(&each->left, count);
    for (uint32_t i = 0; i < count; i++) {
        *port_reserve(p, wanted[i]) = *o;
        port_commit(p, wanted[i]);
    }
    return 0;
}

/* An order that is for the route alone. */
static int32_t order_route(struct port *p, unsigned kind, const struct order *o)
{
    struct order told = *o;
    told.kind = (uint8_t) kind;
    told.how = 1;
    if (o->m != NULL)
        atomic_store_explicit(&o->m->begun, true, memory_order_relaxed);
    int32_t rc = route_order(p, &told);
    if (rc != 0 && errno == EAGAIN)
        stats_add_shared(STAT_push_refused_ring, 1);
    return rc;
}

static int32_t order_many(const struct order *o, unsigned route)
{
    struct port *p;
    int32_t rc;
    if (o->m == NULL)
        return refuse(EINVAL);
    if ((p = port_enter()) == NULL)
        return -1;
    if (route == MARIO_ROUTE_SEND_GROUP && port_has_route() && route_is_sequenced(o->id)) {
        rc = order_route(p, route, o);
    } else {
        rc = order_all(p, o, o->m, NULL);
        if (rc == 0)
            tell_route(p, route, o);
    }
    port_leave(p);
    return rc;
}

/* ---- Public: names ---- */

uint64_t mario_conn_id(const CONN *c)
{
    const struct executor *t = executor_here;
    if (t == NULL || c == NULL || t->conn != c)
        return 0;
    return atomic_load_explicit(&executor_runs(t)->conn, memory_order_relaxed);
}

void mario_conn_waiting(const CONN *c, uint32_t *messages, uint32_t *bytes)
{
    const struct executor *t = executor_here;
    *messages = *bytes = 0;
    if (mario_conn_id(c) == 0 || t->shard == NULL)
        return;
    const struct outbox *o = t->shard->conns[c->ind].outbox;
    size_t waiting;
    *messages = outbox_waiting(o, &waiting);
    if (o != NULL && !outbox_is_single(o)) {
        *messages = o->messages;
        waiting = o->bytes + o->message_bytes;
    }
    *bytes = waiting < UINT32_MAX ? (uint32_t) waiting : UINT32_MAX;
}

/* ---- Public: sending ---- */

int32_t mario_send(uint64_t id, struct mario_msg *m)
{
    return m == NULL ? refuse(EINVAL) : order_conn(&(struct order){.kind = ORDER_SEND, .id = id, .m = m}, m);
}

static int32_t send_user(uint64_t uid, struct mario_msg *m, unsigned route)
{
    return m == NULL ? refuse(EINVAL)
                     : order_home(&(struct order){.kind = ORDER_USER, .id = uid, .m = m}, m, route);
}

int32_t mario_send_user(uint64_t uid, struct mario_msg *m)
{
    return send_user(uid, m, MARIO_ROUTE_SEND_USER);
}

int32_t mario_local_send_user(uint64_t uid, struct mario_msg *m)
{
    return send_user(uid, m, 0);
}

static int32_t send_group(uint64_t group, struct mario_msg *m, uint64_t except_id, unsigned route)
{
    if (group == 0)
        return refuse(EINVAL);
    return order_many(&(struct order){.kind = ORDER_GROUP, .id = group, .m = m, .other = except_id}, route);
}

int32_t mario_send_group(uint64_t group, struct mario_msg *m, uint64_t except_id)
{
    return send_group(group, m, except_id, MARIO_ROUTE_SEND_GROUP);
}

int32_t mario_local_send_group(uint64_t group, struct mario_msg *m, uint64_t except_id)
{
    return send_group(group, m, except_id, 0);
}

int32_t mario_send_all(struct mario_msg *m, uint64_t except_id)
{
    return order_many(&(struct order){.kind = ORDER_ALL, .m = m, .other = except_id}, MARIO_ROUTE_SEND_ALL);
}

int32_t mario_local_send_all(struct mario_msg *m, uint64_t except_id)
{
    return order_many(&(struct order){.kind = ORDER_ALL, .m = m, .other = except_id}, 0);
}

int32_t mario_kick(uint64_t id, uint16_t reason_id, struct mario_msg *last)
{
    return order_conn(
        &(struct order){.kind = ORDER_KICK, .how = REASON_kicked, .akg = reason_id, .id = id, .m = last},
        last);
}

static int32_t kick_user(uint64_t uid, uint16_t reason_id, struct mario_msg *last, unsigned route)
{
    return order_home(&(struct order){.kind = ORDER_USER_KICK, .akg = reason_id, .id = uid, .m = last}, last,
                      route);
}

int32_t mario_kick_user(uint64_t uid, uint16_t reason_id, struct mario_msg *last)
{
    return kick_user(uid, reason_id, last, MARIO_ROUTE_KICK_USER);
}

int32_t mario_local_kick_user(uint64_t uid, uint16_t reason_id, struct mario_msg *last)
{
    return kick_user(uid, reason_id, last, 0);
}

int32_t mario_local_replace(uint64_t id)
{
    return order_conn(&(struct order){.kind = ORDER_KICK, .how = REASON_replaced, .id = id}, NULL);
}

int32_t mario_local_replace_beside(uint64_t uid, uint64_t id)
{
    return order_home(&(struct order){.kind = ORDER_USER_REPLACE, .id = uid, .other = id}, NULL, 0);
}

int32_t mario_run(uint64_t id, int32_t (*f)(CONN *c, void *arg), void *arg)
{
    if (f == NULL)
        return refuse(EINVAL);
    return order_conn(&(struct order){.kind = ORDER_RUN, .id = id, .f = f, .arg = arg}, NULL);
}

int32_t mario_each_conn(int32_t (*f)(CONN *c, void *arg), void *arg, void (*done)(void *arg, uint64_t seen))
{
    struct port *p;
    if (f == NULL)
        return refuse(EINVAL);
    if ((p = port_enter()) == NULL)
        return -1;
    struct each *each = malloc(sizeof *each);
    int32_t rc = -1;
    if (each != NULL) {
        *each = (struct each){.f = f, .arg = arg, .done = done};
        rc = order_all(p, &(struct order){.kind = ORDER_EACH, .each = each}, NULL, each);
        if (rc != 0)
            free(each);
    } else {
        errno = ENOMEM;
    }
    port_leave(p);
    return rc;
}

/* ---- Public: groups ---- */

static int32_t join(uint64_t id, uint64_t group, uint32_t number)
{
    struct port *p;
    if (id == 0 || group == 0)
        return refuse(EINVAL);
    if ((p = port_enter()) == NULL)
        return -1;
    int32_t rc = -1;
    uint32_t worker = id_worker(id);
    if (worker < port_workers()) {
        be_present(push_workers[worker], group);
        rc = order_inside(
            p, worker, &(struct order){.kind = ORDER_JOIN, .number = number, .id = id, .other = group}, NULL);
        if (rc != 0)
            push_absent(push_workers[worker], group);
    } else {
        errno = EINVAL;
    }
    port_leave(p);
    return rc;
}

int32_t mario_join_id(uint64_t id, uint64_t group)
{
    return join(id, group, 0);
}

int32_t mario_local_join(uint64_t id, uint64_t group, uint32_t number)
{
    return join(id, group, number);
}

int32_t mario_join_later(CONN *c, uint64_t group, uint32_t number)
{
    if (group == 0 || number == 0)
        return refuse(EINVAL);
    return order_conn(
        &(struct order){.kind = ORDER_JOIN_LATER, .number = number, .id = mario_conn_id(c), .other = group},
        NULL);
}

int mario_join_is_off(const CONN *c, uint64_t group, uint32_t number)
{
    const struct executor *t = executor_here;
    if (mario_conn_id(c) == 0 || t->shard == NULL)
        return 0;
    struct member *m = push_member(t->shard, &t->shard->conns[c->ind]);
    return m != NULL && push_is_off(m, group, number, false);
}

int32_t mario_leave_id(uint64_t id, uint64_t group)
{
    if (group == 0)
        return refuse(EINVAL);
    return order_conn(&(struct order){.kind = ORDER_LEAVE, .id = id, .other = group}, NULL);
}

int32_t mario_join(CONN *c, uint64_t group)
{
    return mario_join_id(mario_conn_id(c), group);
}

int32_t mario_leave(CONN *c, uint64_t group)
{
    return mario_leave_id(mario_conn_id(c), group);
}

uint64_t mario_group_count(uint64_t group)
{
    uint64_t sum = 0;
    if (group == 0 || !port_visit())
        return 0;
    for (uint32_t i = 0; i < port_workers(); i++)
        sum += is_wanted(i, group) ? rooms_count(&push_workers[i]->rooms, group) : 0;
    port_unvisit();
    return sum;
}

/* ---- Public: users ---- */

/* By way of its own worker it goes to the home, and must not overtake there what this thread has ordered of it. */
static int32_t order_bind(struct port *p, struct order *o)
{
    if (id_worker(o->id) >= port_workers())
        return refuse(EINVAL);
    o->behind = port_mark(p, push_home(o->other));
    return order_inside(p, id_worker(o->id), o, NULL);
}

static int32_t bind_conn(uint64_t id, uint64_t uid, enum mario_bind how, unsigned flag, uint32_t devices_max)
{
    struct port *p;
    if (uid == 0 || (unsigned) how > MARIO_BIND_REFUSE_NEW || id == 0)
        return refuse(EINVAL);
    if ((p = port_enter()) == NULL)
        return -1;
    int32_t rc = order_bind(p, &(struct order){.kind = ORDER_BIND,
                                               .how = (uint8_t) (how | flag),
                                               .number = devices_max,
                                               .id = id,
                                               .other = uid});
    port_leave(p);
    return rc;
}

int32_t mario_bind(CONN *c, uint64_t uid, enum mario_bind how, uint32_t devices_max)
{
    return bind_conn(mario_conn_id(c), uid, how, 0, devices_max);
}

int32_t mario_local_bind(uint64_t id, uint64_t uid, enum mario_bind how, uint32_t devices)
{
    return bind_conn(id, uid, how, BIND_ROUTED, devices);
}

int32_t mario_local_refuse(uint64_t id, uint64_t uid)
{
    uint64_t count = mario_user_count(uid);
    return order_conn(&(struct order){.kind = ORDER_DECIDED,
                                      .how = DECIDED_ELSEWHERE,
                                      .number = (uint32_t) count,
                                      .id = id,
                                      .other = uid},
                      NULL);
}

uint64_t mario_user_count(uint64_t uid)
{
    if (uid == 0 || !port_visit())
        return 0;
    uint64_t n = users_count(&push_workers[push_home(uid)]->users, uid);
    port_unvisit();
    return n;
}

/* ---- Public: slow readers, timers ---- */

int32_t mario_slow_policy(CONN *c, enum mario_slow p, uint32_t messages, uint32_t bytes)
{
    if ((unsigned) p > MARIO_SLOW_COALESCE || (messages == 0 && bytes == 0))
        return refuse(EINVAL);
    return order_conn(&(struct order){.kind = ORDER_POLICY,
                                      .how = (uint8_t) p,
                                      .number = messages,
                                      .id = mario_conn_id(c),
                                      .other = bytes},
                      NULL);
}

int32_t mario_timer(CONN *c, uint32_t ms, int32_t (*f)(CONN *c, void *arg), void *arg)
{
    if (f == NULL || ms > MARIO_TIMER_MAX)
        return refuse(EINVAL);
    return order_conn(
        &(struct order){.kind = ORDER_TIMER, .number = ms, .id = mario_conn_id(c), .f = f, .arg = arg}, NULL);
}
