/*
 * push.h: what a worker has for push beside its connections: groups, users, timers, what is on its way. It belongs to
 * the shard's thread; what other threads may read says so.
 */
#ifndef MARIO_PUSH_PUSH_H
#define MARIO_PUSH_PUSH_H

#include <stdatomic.h>
#include <stdbool.h>
#include <stdint.h>

#include "mario/base/id.h"
#include "mario/conn/conn.h"
#include "mario/conn/delivery.h"
#include "mario/push/port.h"
#include "mario/push/rooms.h"
#include "mario/push/timers.h"
#include "mario/push/users.h"

/* Counters of a worker's presence: groups share them by hash. */
#define PRESENCE 65536u

/* A connection's user. It lies apart from what else a connection may have, for of all that it is what many have who
 * have nothing else. Both homes have to be told of the connection's end. */
struct bond {
    uint64_t uid;    /* bound to it; 0 = to none */
    uint64_t wanted; /* to be bound to it instead, which is not decided yet; 0 = to none */
};

/* What a connection has that has joined, set a policy or a timer. Others have none. */
struct member {
    struct memberships groups;
    struct timer *timers;
    struct call *calls; /* that wait for its offloaded function */
    struct call
        *binds; /* that wait for the one before to be decided: the last one, behind which the first is */
    struct call *later; /* memberships that the route is going to give; how: 1 if it has left before that */
    bool has_policy;
    struct slow_policy policy;
};

/* A call that waits, the next one behind it. */
struct call {
    struct call *next;
    struct order order;
};

/* Orders of the shard's own that found a ring full, in their order. */
struct backlog {
    struct backlog_entry {
        uint32_t worker;
        struct order order;
    } * at; /* [size], a ring */
    uint32_t first, count, size;
};

struct push {
    /* any thread, inside the gate */
    struct doorbell *bell;
    _Atomic uint32_t
        *presence; /* [PRESENCE]: memberships, and orders to join, of the groups with this hash */
    _Alignas(64) _Atomic(struct mario_msg *)
        receipts; /* due, the latest first: any (push) -> worker (takes all) */
    struct rooms rooms;
    struct users users;
    /* the shard's thread */
    _Alignas(64) struct member **members; /* [connections]; NULL until there is one */
    struct bond *bonds;                   /* likewise */
    struct port *port;
    struct backlog backlog;       /* for workers */
    struct backlog route_backlog; /* for the route: workers do not wait for it */
    struct timers timers;
    struct call *late_calls; /* their connections have ended meanwhile */
    struct mario_msg *due;   /* receipts, taken */
    uint64_t again;          /* bits of ports in whose lanes something may be */
    struct walk *walks;      /* that go on */
    bool relieves;           /* connections give way until there is memory again */
    uint64_t alarm;          /* ns: when the worker is to come by itself; UINT64_MAX = not at all */
};

/* Make what shard s needs for count connections; bell wakes it. False without memory. */
__attribute__((warn_unused_result)) bool push_setup(struct shard *s, struct doorbell *bell);
/* No thread asks any more, no connection is left. */
void push_teardown(struct shard *s);

/* Inside the gate: [workers], that of each. */
extern struct push *const *push_workers;

/* All of a server: push[i] is worker i's: a stop message may be given from here on. Then, before workers start, the
 * gate is opened: bells[i] wakes worker i. */
void push_prepare(struct push *const *push, size_t memory);
void push_open(struct doorbell *const *bells, uint32_t workers, uint32_t ring);
/* The workers have ended: no order is accepted any more; those that are left are nobody's, but what has to be called is
 * called (run: f(NULL, arg)), on this thread. */
void push_close(uint32_t workers);

/* The message that the workers are to give to all when a stop begins, NULL if there is none: settled by the master,
 * once, before it tells them; it stays until push_close(). */
void push_begin_stop(void);
struct mario_msg *push_farewell(void);

/* ---- The shard's thread, library state ---- */

/* Order something of a worker; it waits in the backlog if there is no room. False without memory for that. */
bool push_post(struct shard *s, uint32_t worker, const struct order *o);
/* The same, but not if very many wait already: then it is only refused. */
bool push_post_some(struct shard *s, uint32_t worker, const struct order *o);
/* Try those in the backlog again. */
void push_post_backlog(struct shard *s);

/* The worker that has the list of a user's connections. */
uint32_t push_home(uint64_t uid);
/* A membership, or an order to join, less at this worker. The same for a membership, and the route knows if it was the
 * last one. */
void push_absent(struct push *p, uint64_t group);
void push_group_has_gone(struct shard *s, uint64_t group);

/* The record of c; NULL if it has none. The same, made if need be; NULL without memory. */
static inline struct member *push_member(const struct shard *s, const struct conn *c)
{
    return c->has_member ? s->push->members[c->pub.ind] : NULL;
}
struct member *push_make_member(struct shard *s, struct conn *c);
/* The same for its user. */
static inline struct bond *push_bond(const struct shard *s, const struct conn *c)
{
    return c->has_bond ? &s->push->bonds[c->pub.ind] : NULL;
}
struct bond *push_make_bond(struct shard *s, struct conn *c);
/* The connection of this name, if it is open; else NULL. */
static inline struct conn *push_find(struct shard *s, uint64_t id)
{
    uint32_t slot = id_slot(id);
    struct conn *c = slot < s->fresh ? &s->conns[slot] : NULL;
    return c != NULL && c->state == CONN_OPEN && c->generation == id_generation(id) ? c : NULL;
}
/* c has ended, or only sends what waits: it leaves everything. Registered as shard.leave. */
void push_leave_all(struct shard *s, struct conn *c);

/* Put a call behind those that wait; false without memory. Take the first one off. */
bool push_add_call(struct call **calls, const struct order *o);
struct order push_take_call(struct call **calls);
/* The same for binds that wait. */
bool push_add_bind(struct member *m, const struct order *o);
struct order push_take_bind(struct member *m);
/* It is going to join, it leaves: see mario_join_later(). Whether it has left meanwhile; take: it joins now, that is
 * the end of it. */
bool push_add_later(struct member *m, const struct order *o);
void push_leave_later(struct member *m, uint64_t group);
bool push_is_off(struct member *m, uint64_t group, uint32_t number, bool take);
/* Forget the timer that has come up and waits, if there is one. */
void push_forget_timer(struct member *m, order_func f, const void *arg);

/* How slow c may be. */
static inline struct slow_policy push_policy(const struct shard *s, const struct conn *c)
{
    const struct member *m = push_member(s, c);
    return m != NULL && m->has_policy ? m->policy
                                      : (struct slow_policy){.how = (enum mario_slow) s->set->push_slow,
                                                             .messages = s->set->push_queue,
                                                             .bytes = s->set->push_bytes};
}

/* The next receipt that is due. False if there is none. */
bool push_take_receipt(struct push *p, struct mario_receipt *r);

/* If all messages together take too much, have connections of this shard give way, some at a time. */
void push_relieve(struct shard *s);
/* This worker has nobody left who could: wake the others for it. */
void push_call_relief(uint32_t worker);

/* ---- A call on all connections ---- */

struct each {
    order_func f;
    void *arg;
    void (*done)(void *arg, uint64_t seen);
    _Atomic uint32_t left; /* workers that are not through */
    _Atomic uint64_t seen;
};

#endif
