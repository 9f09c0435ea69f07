/*
 * calls.c: functions that are called for a connection without a packet that asks for it. The worker's thread, as
 * calls.h says. Whatever waits has left its list before its function is called: another thread may take the shard over
 * there.
 */
#include "mario/worker/calls.h"

#include <stdlib.h>

#include "mario/base/clock.h"
#include "mario/base/mem.h"
#include "mario/exec/registry.h"
#include "mario/push/walk.h"
#include "mario/worker/functions.h"

/* ---- Nobody's ---- */

static void call_nobody(void *arg)
{
    const struct order *o = arg;
    o->f(NULL, o->arg);
}

void calls_nobody(const struct order *o)
{
    struct order copy = *o;
    functions_alone(executor_here, call_nobody, &copy);
}

static void call_done(void *arg)
{
    const struct each *e = arg;
    e->done(e->arg, atomic_load_explicit(&e->seen, memory_order_relaxed));
}

void calls_finish_each(struct each *e)
{
    struct each copy = {.arg = e->arg, .done = e->done};
    atomic_init(&copy.seen, atomic_load_explicit(&e->seen, memory_order_relaxed));
    free(e);
    if (copy.done != NULL)
        functions_alone(executor_here, call_done, &copy);
}

void calls_late(struct shard *s, uint64_t deadline)
{
    struct push *p = s->push;
    while (p->late_calls != NULL && clock_ns() <= deadline) {
        struct order o = push_take_call(&p->late_calls);
        if (o.kind == ORDER_RUN)
            calls_nobody(&o);
        else if (each_end(o.each, 0))
            calls_finish_each(o.each);
    }
    if (p->late_calls != NULL)
        p->again |= UINT64_C(1) << PORT_BIT_LOOK;
}

/* ---- A connection's ---- */

/* The function of regist_bound_func(), for c, with what in_buf is. */
static int32_t call_bound(CONN *c, void *arg)
{
    struct mario_bound *b = arg;
    c->err_type = b->refused ? g_akg_error_id : 0;
    c->in_buf = (char *) b;
    c->in_buf_len = sizeof *b;
    int32_t rc = registry_bound()(c);
    if (executor_here->end_reason == REASON_NONE) /* else it is what the end hook is told */
        c->err_type = 0;
    return rc;
}

static void call(struct conn *c, const struct order *o)
{
    struct mario_bound b = {.uid = o->other, .connections = o->number, .refused = o->how != DECIDED_BOUND};
    if (o->kind == ORDER_DECIDED)
        functions_call(executor_here, c, call_bound, &b);
    else if (o->kind == ORDER_EACH)
        functions_call(executor_here, c, o->each->f, o->each->arg);
    else
        functions_call(executor_here, c, o->f, o->arg);
}

bool calls_make(struct shard *s, struct conn *c, const struct order *o)
{
    if (c->wait != WAIT_FUNCTION) {
        call(c, o);
        return true;
    }
    struct member *m = push_make_member(s, c);
    if (m != NULL && push_add_call(&m->calls, o)) {
        if (o->kind == ORDER_EACH)
            atomic_fetch_add_explicit(&o->each->left, 1,
                                      memory_order_relaxed); /* the walk's is still there */
        return false;
    }
    conn_close(c, REASON_no_memory);
    if (o->kind == ORDER_RUN)
        calls_nobody(o);
    return false;
}

bool calls_go_on(struct executor *t, struct conn *c)
{
    struct member *m;
    while (c->state == CONN_OPEN && (m = push_member(t->shard, c)) != NULL && m->calls != NULL) {
        struct order o = push_take_call(&m->calls);
        call(c, &o);
        if (o.kind == ORDER_EACH && each_end(o.each, 1))
            calls_finish_each(o.each);
    }
    return c->state == CONN_OPEN;
}
