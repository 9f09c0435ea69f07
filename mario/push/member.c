/*
 * member.c: what a connection is in: its record, and leaving it all. The shard's thread.
 */
#include <stdlib.h>
#include <sys/mman.h>

#include "mario/base/mem.h"
#include "mario/push/push.h"
#include "mario/push/route.h"

/* Address space only: a page of it is touched when one of its connections has something there. NULL without memory. */
static void *make_table(const struct shard *s, size_t size)
{
    void *all = mmap(NULL, s->count * size, PROT_READ | PROT_WRITE,
                     MAP_PRIVATE | MAP_ANONYMOUS | MAP_NORESERVE, -1, 0);
    return all == MAP_FAILED ? NULL : all;
}

struct member *push_make_member(struct shard *s, struct conn *c)
{
    if (c->has_member)
        return s->push->members[c->pub.ind];
    struct push *p = s->push;
    if (p->members == NULL && (p->members = make_table(s, sizeof(struct member *))) == NULL)
        return NULL;
    struct member *m = mem_alloc(sizeof *m);
    if (m == NULL)
        return NULL;
    *m = (struct member){.has_policy = false};
    p->members[c->pub.ind] = m;
    c->has_member = true;
    return m;
}

struct bond *push_make_bond(struct shard *s, struct conn *c)
{
    struct push *p = s->push;
    if (p->bonds == NULL && (p->bonds = make_table(s, sizeof *p->bonds)) == NULL)
        return NULL;
    if (!c->has_bond) {
        p->bonds[c->pub.ind] = (struct bond){.uid = 0};
        c->routed = false;
    }
    c->has_bond = true;
    return &p->bonds[c->pub.ind];
}

/* ---- Calls that wait ---- */

static void append(struct call **calls, struct call *call)
{
    while (*calls != NULL)
        calls = &(*calls)->next;
    call->next = NULL;
    *calls = call;
}

bool push_add_call(struct call **calls, const struct order *o)
{
    struct call *call = mem_alloc(sizeof *call);
    if (call == NULL)
        return false;
    call->order = *o;
    append(calls, call);
    return true;
}

struct order push_take_call(struct call **calls)
{
    struct call *first = *calls;
    struct order o = first->order;
    *calls = first->next;
    mem_free(first);
    return o;
}

bool push_add_bind(struct member *m, const struct order *o)
{
    struct call *call = mem_alloc(sizeof *call), *last = m->binds;
    if (call == NULL)
        return false;
    call->order = *o;
    call->next = last == NULL ? call : last->next;
    if (last != NULL)
        last->next = call;
    m->binds = call;
    return true;
}

struct order push_take_bind(struct member *m)
{
    struct call *last = m->binds, *first = last->next;
    struct order o = first->order;
    last->next = first->next;
    if (first == last)
        m->binds = NULL;
    mem_free(first);
    return o;
}

/* ---- Memberships to come ---- */

bool push_add_later(struct member *m, const struct order *o)
{
    return push_add_call(&m->later, o);
}

void push_leave_later(struct member *m, uint64_t group)
{
    for (struct call *l = m->later; l != NULL; l = l->next)
        l->order.how |= l->order.other == group;
}

/* One that is not there is not off: its order may lie in another lane yet. */
bool push_is_off(struct member *m, uint64_t group, uint32_t number, bool take)
{
    for (struct call **at = &m->later; *at != NULL; at = &(*at)->next) {
        const struct order *o = &(*at)->order;
        bool is_off = o->how != 0;
        if (o->other != group || o->number != number)
            continue;
        if (take)
            push_take_call(at);
        return is_off;
    }
    return false;
}

void push_forget_timer(struct member *m, order_func f, const void *arg)
{
    for (struct call **at = &m->calls; *at != NULL; at = &(*at)->next) {
        const struct order *o = &(*at)->order;
        if (o->kind == ORDER_TIMER && o->f == f && o->arg == arg) {
            push_take_call(at);
            return;
        }
    }
}

/* Their connection has ended: whoever waits for more than that is told, in the next pass, for it is user code. */
static void abandon_calls(struct push *p, struct member *m)
{
    while (m->calls != NULL) {
        struct call *first = m->calls;
        if (first->order.kind != ORDER_RUN && first->order.kind != ORDER_EACH) {
            push_take_call(&m->calls);
            continue;
        }
        m->calls = first->next;
        append(&p->late_calls, first);
        p->again |= UINT64_C(1) << PORT_BIT_LOOK;
    }
}

/* ---- Leaving ---- */

static void leave_user(struct shard *s, const struct conn *c, uint64_t uid)
{
    if (uid != 0)
        push_post(s, push_home(uid), &(struct order){.kind = ORDER_USER_END, .id = uid, .other = conn_id(c)});
}

static void leave_users(struct shard *s, struct conn *c)
{
    const struct bond *b = push_bond(s, c);
    if (b == NULL)
        return;
    leave_user(s, c, b->uid);
    leave_user(s, c, b->wanted);
    c->has_bond = false;
}

void push_group_has_gone(struct shard *s, uint64_t group)
{
    push_absent(s->push, group);
    if (port_has_route() && rooms_count(&s->push->rooms, group) == 0)
        (void) !route_notice(s, MARIO_ROUTE_GROUP, group, 0); /* not told, it only keeps what nobody needs */
}

void push_leave_all(struct shard *s, struct conn *c)
{
    struct push *p = s->push;
    struct member *m = push_member(s, c);
    uint64_t group;
    leave_users(s, c);
    if (m == NULL)
        return;
    c->has_member = false;
    p->members[c->pub.ind] = NULL;
    while ((group = rooms_leave_any(&p->rooms, &m->groups)) != 0)
        push_group_has_gone(s, group);
    timers_cancel_all(&p->timers, &m->timers);
    abandon_calls(p, m);
    while (m->binds != NULL)
        push_take_bind(m);
    while (m->later != NULL)
        push_take_call(&m->later);
    mem_free(m);
}
