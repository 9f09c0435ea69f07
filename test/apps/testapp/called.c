/*
 * called.c: who else does orders of TEST_PUSH: functions that the library calls for a connection, on its worker; hooks;
 * the master; threads of their own, which end then. What is handed over here is kept until it is done, or, if it may
 * be done again, until the process ends. And what the library says of messages: receipts.
 */
#include "app.h"

static pthread_mutex_t lock = PTHREAD_MUTEX_INITIALIZER; /* for what is static here and no atomic */

/* ---- Scripts: the body of an order, and the order ---- */

struct script {
    struct script *then; /* of those that wait for the master */
    struct test_order of;
    struct test_order orders[];
};

static _Alignas(16) char room[32 << 20]; /* so that one that is told to have no memory can be told */
static _Atomic size_t used;

/* Those that are done and have a short body, to be used again: a server that runs for hours has many. */
enum { SPARE_BODY = 2 };
static struct script *spare[SPARE_BODY];

static struct script *take_spare(uint32 body)
{
    pthread_mutex_lock(&lock);
    struct script *s = body < SPARE_BODY ? spare[body] : NULL;
    if (s != NULL)
        spare[body] = s->then;
    pthread_mutex_unlock(&lock);
    return s;
}

/* It is done, and nothing points to it any more. */
static void script_done(struct script *s)
{
    if (s->of.body >= SPARE_BODY)
        return;
    pthread_mutex_lock(&lock);
    s->then = spare[s->of.body];
    spare[s->of.body] = s;
    pthread_mutex_unlock(&lock);
}

static struct script *take_room(size_t size)
{
    size_t at = used;
    while (!atomic_compare_exchange_weak(&used, &at, at + size)) {
    }
    if (at + size > sizeof room)
        abort();
    return (void *) (room + at);
}

const struct script *script_make(const struct test_order *o, const struct test_order *body)
{
    struct script *s = take_spare(o->body);
    if (s == NULL)
        s = take_room((sizeof *s + o->body * sizeof *body + 15) & ~(size_t) 15);
    s->of = *o;
    memcpy(s->orders, body, o->body * sizeof *body);
    return s;
}

static sint32 perform(CONN *c, const struct script *s)
{
    sint32 returns = 0;
    if (s == NULL)
        return 0;
    do_orders(c, s->orders, s->of.body, NULL, &returns);
    own_scripts++;
    return returns;
}

/* ---- Functions of a connection ---- */

static void say_called(CONN *c, struct test_called called)
{
    HEAD h = {.stx = STX, .pkglen = SIZE_OF_HEAD + sizeof called, .akg_id = TEST_CALLED};
    if (called.kind != ORDER_AT_BOUND && (c->in_buf != NULL || c->in_buf_len != 0))
        own_wrong_state++; /* in_buf is NULL in these */
    track_is_wrong(c);
    bufferevent_write(c->bufev, &h, sizeof h);
    bufferevent_write(c->bufev, &called, sizeof called);
}

static sint32 on_run(CONN *c, void *arg)
{
    const struct script *s = arg;
    own_run_calls += c != NULL;
    own_run_nobody += c == NULL;
    if (c != NULL)
        say_called(c, (struct test_called){.kind = ORDER_RUN, .which = s->of.sender});
    return perform(c, s);
}

static sint32 on_each(CONN *c, void *arg)
{
    const struct script *s = arg;
    own_each_calls++;
    say_called(c, (struct test_called){.kind = ORDER_EACH, .which = s->of.sender});
    return perform(c, s);
}

static void on_each_done(void *arg, uint64 seen)
{
    (void) arg;
    own_each_seen = seen;
    own_each_done++;
}

/* A timer is known by its arg: that of one of these. */
static struct timer_body {
    _Atomic(const struct script *) script;
} timer_bodies[TEST_TIMERS];

static sint32 on_timer(CONN *c, void *arg)
{
    struct timer_body *body = arg;
    uint32 which = (uint32) (body - timer_bodies);
    if (track_is_wrong(c) || c->user == NULL)
        return -1;
    sint64 late = (sint64) now_ns() - (sint64) ((struct track *) c->user)->due_ns[which];
    own_fired++;
    say_called(c, (struct test_called){.kind = ORDER_TIMER, .which = which, .late_us = late / 1000});
    return perform(c, body->script);
}

static sint32 set_timer(CONN *c, const struct test_order *o, struct script *s)
{
    struct timer_body *body = &timer_bodies[o->to % TEST_TIMERS];
    struct track *t = c->user;
    if (o->body > 0)
        body->script = s;
    else
        script_done(s);
    t->due_ns[o->to % TEST_TIMERS] = now_ns() + o->number * UINT64_C(1000000);
    return mario_timer(c, o->number, on_timer, body);
}

static _Atomic(const struct script *) at_connected, at_bound;

sint32 on_bound(CONN *c)
{
    struct mario_bound b = {0};
    if (c->in_buf_len == sizeof b)
        memcpy(&b, c->in_buf, sizeof b);
    if ((b.refused != 0) != (c->err_type == g_akg_error_id) || (b.refused == 0) != (c->err_type == 0) ||
        b.uid == 0)
        own_wrong_state++;
    own_bound += b.refused == 0;
    own_bind_refused += b.refused != 0;
    say_called(c, (struct test_called){.kind = ORDER_AT_BOUND,
                                       .refused = b.refused != 0,
                                       .uid = b.uid,
                                       .connections = b.connections});
    return perform(c, at_bound);
}

sint32 connected_orders(CONN *c)
{
    return perform(c, at_connected);
}

void end_orders(CONN *c, const struct script *s)
{
    perform(c, s);
}

/* ---- Threads ---- */

static _Atomic uint32 threads_alive;

static void thread_ends(void *arg)
{
    (void) arg;
    own_threads_done++;
    threads_alive--;
}

static void *thread_main(void *arg)
{
    pthread_cleanup_push(thread_ends, NULL);
    perform(NULL, arg);
    script_done(arg);
    pthread_cleanup_pop(1);
    return NULL;
}

static sint32 start_thread(const struct script *s)
{
    pthread_t t;
    threads_alive++;
    if (pthread_create(&t, NULL, thread_main, (void *) (uintptr_t) s) == 0)
        return pthread_detach(t);
    threads_alive--;
    return -1;
}

void await_threads(void)
{
    for (int i = 0; i < 20000 && threads_alive > 0; i++)
        susleep(0, 1000);
}

static struct script *for_master;

void do_master_orders(void)
{
    pthread_mutex_lock(&lock);
    struct script *s = for_master;
    for_master = NULL;
    pthread_mutex_unlock(&lock);
    for (struct script *then; s != NULL; s = then) {
        then = s->then;
        perform(NULL, s);
        script_done(s);
    }
}

static sint32 give_to_master(struct script *s)
{
    pthread_mutex_lock(&lock);
    s->then = for_master;
    for_master = s;
    pthread_mutex_unlock(&lock);
    return 0;
}

/* ---- Who gets what ---- */

sint32 hand_over(CONN *c, const struct test_order *o, const struct script *body)
{
    struct script *s = (struct script *) (uintptr_t) body;
    switch (o->kind) {
    case ORDER_RUN:
        return mario_run((o->flags & ORDER_OWN) != 0 ? mario_conn_id(c) : o->to, on_run, s);
    case ORDER_TIMER:
        return set_timer(c, o, s);
    case ORDER_EACH:
        return mario_each_conn(on_each, s, on_each_done);
    case ORDER_THREAD:
        return start_thread(s);
    case ORDER_MASTER:
        return give_to_master(s);
    case ORDER_CONNECTED:
        at_connected = s;
        return 0;
    case ORDER_AT_END:
        ((struct track *) c->user)->end_script = s;
        return 0;
    default:
        at_bound = s;
        return 0;
    }
}

/* ---- Receipts ---- */

enum { RECEIPTS = 200 };
static struct test_receipt receipts[RECEIPTS]; /* the last ones, a ring */
static uint32 receipt_count;

void on_receipt(const struct mario_receipt *r)
{
    if (r->targets != r->sent + r->dropped)
        own_wrong_state++;
    pthread_mutex_lock(&lock);
    receipts[receipt_count++ % RECEIPTS] =
        (struct test_receipt){.tag = r->tag, .targets = r->targets, .sent = r->sent, .dropped = r->dropped};
    pthread_mutex_unlock(&lock);
    own_receipts++;
    own_receipt_targets += r->targets;
    own_receipt_sent += r->sent;
    own_receipt_dropped += r->dropped;
}

sint32 do_receipts(CONN *c)
{
    struct test_receipt copy[RECEIPTS];
    pthread_mutex_lock(&lock);
    uint32 n = receipt_count < RECEIPTS ? receipt_count : RECEIPTS;
    memcpy(copy, receipts, sizeof copy);
    pthread_mutex_unlock(&lock);
    return answer(c, copy, n * sizeof copy[0]);
}
