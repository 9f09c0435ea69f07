/*
 * worker.c: the loop of a worker: messages, events, sweep, stop. All of it runs on the worker's own thread, but
 * for setup and start (the thread that makes the server) and what worker.h gives to the master. How messages get to it
 * is inbox.c, a packet's way through it dispatch.c, taking a worker over takeover.c.
 */
#include "mario/worker/worker.h"

#include <errno.h>
#include <stdlib.h>
#include <string.h>
#include <sys/timerfd.h>
#include <unistd.h>

#include "mario/base/mem.h"
#include "mario/base/thread.h"
#include "mario/conn/delivery.h"
#include "mario/conn/linger.h"
#include "mario/conn/proxied.h"
#include "mario/conn/secure.h"
#include "mario/exec/reply.h"
#include "mario/net/stream.h"
#include "mario/offload/queue.h"
#include "mario/process/crash.h"
#include "mario/worker/calls.h"
#include "mario/worker/datagrams.h"
#include "mario/worker/dispatch.h"
#include "mario/worker/orders.h"
#include "mario/worker/wraps.h"

enum {
    TICK_JUMP_MAX = 5, /* ticks one sweep lives through at most: a stalled loop is nobody's silence */
    STOP_BATCH = 256,  /* connections a stop looks at before others are served */
    ARM_BATCH = 256,   /* connections whose deadlines a pass sets anew */
    INBOX_BATCH = 256  /* messages of a ring that a pass obeys */
};

/* ---- What others tell it ---- */

static void on_socket(evutil_socket_t fd, short what, void *arg);

static void adopt(struct worker *w, const struct accepted_socket *a)
{
    struct conn *c = conn_open(&w->shard, a, on_socket);
    if (c != NULL && (a->as == ACCEPTED_PLAIN || proxied_enter(c, (enum accepted_as) a->as)))
        dispatch_begin(executor_here, c);
}

/* a: what it speaks of, if it is ACCEPTED. */
static void obey(struct worker *w, const struct message *m, const struct accepted_socket *a)
{
    switch ((enum message_kind) m->kind) {
    case MESSAGE_ACCEPTED:
        adopt(w, a);
        break;
    case MESSAGE_STOP:
        w->stopping = true;
        break;
    case MESSAGE_RELEASE:
        conn_end_orphan(&w->shard.conns[m->slot]);
        break;
    case MESSAGE_LOST:
        conn_lose_socket(&w->shard, m->slot, m->lost);
        break;
    }
}

/* Read a bounded number of messages of one sender. True if there may be more. A message is taken out before it is
 * obeyed: who takes the worker over then finds the next one. */
static bool read_some(struct worker *w, enum inbox_sender from)
{
    for (int i = 0; i < INBOX_BATCH; i++) {
        struct message m;
        struct accepted_socket a = {.fd = -1};
        if (!inbox_take(w, from, &m, &a))
            return false;
        obey(w, &m, &a);
    }
    return true;
}

/* Read what those have sent whose bits are set. */
static void read_inbox(struct worker *w, uint64_t rung)
{
    for (unsigned i = 0; i < SENDERS; i++) {
        if (rung & UINT64_C(1) << (BELL_INBOX + i) && read_some(w, (enum inbox_sender) i))
            doorbell_ring(&w->bell, BELL_INBOX + i); /* the rest in the next pass: others want theirs */
    }
}

/* ---- Stopping ---- */

static void stop_begin_conn(struct executor *t, struct conn *c)
{
    if (c->state != CONN_OPEN || c->stopping)
        return;
    c->stopping = true;
    if (push_farewell() != NULL && c->greeted) {
        struct slow_policy policy = push_policy(t->shard, c);
        if (wraps_have(t->shard, c, push_farewell()))
            delivery_put(c, push_farewell(), &policy);
        if (c->state != CONN_OPEN)
            return;
    }
    c->stop_bytes = stream_arrived(c->pub.fd);
    dispatch_stop(t, c);
}

static void stop_some(struct worker *w)
{
    struct shard *s = &w->shard;
    for (int i = 0; i < STOP_BATCH && w->stop_cursor < s->fresh; i++)
        stop_begin_conn(executor_here, &s->conns[w->stop_cursor++]);
}

static void end_all(struct worker *w)
{
    struct shard *s = &w->shard;
    for (unsigned i = 0; i < SENDERS; i++) {
        while (read_some(w, (enum inbox_sender) i)) {
        }
    }
    for (uint32_t i = 0; i < s->fresh; i++) {
        struct conn *c = &s->conns[i];
        if (c->state != CONN_OPEN && c->state != CONN_DRAINING)
            continue;
        if (c->outbox != NULL)
            stream_reset_on_close(
                c->pub.fd); /* it is cut off anyway, and a reader of nothing keeps no memory */
        conn_end(c, REASON_stop);
    }
    datagrams_end(executor_here);
    s->ends_at_once = true;
    linger_end_all(s);
    w->stopping = true;
    w->stop_cursor = s->fresh;
}

/* ---- Events ---- */

static void on_socket(evutil_socket_t fd, short what, void *arg)
{
    struct conn *c = arg;
    struct executor *t = conn_executor(c);
    CHECK(c->magic == CONN_MAGIC && c->pub.fd == fd && executor_here == t);
    pulse_wake(&worker_of(t->shard)->pulse);
    if (c->state == CONN_LINGER) {
        linger_read(c);
        return;
    }
    if (what & EV_WRITE)
        dispatch_send_more(t, c);
    if ((what & EV_READ) && conn_is_read(c))
        dispatch_receive(t, c);
    if (c->stopping && c->state == CONN_OPEN)
        dispatch_stop(t, c);
    if (orders_crowd(worker_of(t->shard)))
        event_base_loopbreak(t->pub.base); /* the other events stay, for the next pass */
}

/* An offloaded function of c has returned: calls that waited for that, then its packets. */
static void go_on(struct executor *t, struct conn *c, bool waited)
{
    if (!waited || calls_go_on(t, c))
        dispatch_go_on(t, c, waited);
}

static void answer_bell(struct worker *w)
{
    uint64_t rung = doorbell_answer(&w->bell);
    orders_rung(w, rung & PORT_MASK);
    read_inbox(w, rung);
    if (rung & UINT64_C(1) << BELL_DONE)
        orders_read(w);
    if (rung & UINT64_C(1) << BELL_DONE && w->shard.offload != NULL && queue_collect(executor_here, go_on))
        doorbell_ring(&w->bell, BELL_DONE);
    if (rung & UINT64_C(1) << BELL_QUESTION)
        questions_rung(&w->questions);
    if (rung & UINT64_C(1) << BELL_STOP && atomic_load_explicit(&w->stop_now, memory_order_acquire))
        end_all(w);
}

static void on_bell(evutil_socket_t fd, short what, void *arg)
{
    struct worker *w = arg;
    (void) fd;
    (void) what;
    pulse_wake(&w->pulse);
    answer_bell(w);
}

/* A deadline has come up. Before closing, look at the socket once more: what arrived in time is answered even
 * if the loop was late. */
static void on_due(void *arg, uint32_t index)
{
    struct worker *w = arg;
    struct conn *c = &w->shard.conns[index];
    CHECK(c->magic == CONN_MAGIC);
    if (c->state == CONN_LINGER) {
        linger_look(c);
        return;
    }
    if (!conn_has_socket(c)) {
        conn_close(c, REASON_fd_closed);
        return;
    }
    enum reason late = conn_overdue(c);
    if (late == REASON_write_timeout)
        dispatch_send_more(executor_here, c);
    else if (late != REASON_NONE && conn_is_read(c))
        dispatch_receive(executor_here, c);
    if (c->state == CONN_CLOSING)
        return;
    late = late == REASON_NONE ? REASON_NONE : conn_overdue(c);
    if (late != REASON_NONE)
        conn_close(c, late);
    else if (c->stopping && c->state == CONN_OPEN)
        dispatch_stop(executor_here, c);
    else if (c->wait == WAIT_LIMIT)
        dispatch_limit(executor_here, c);
    else
        conn_arm(c);
}

static void on_tick(evutil_socket_t fd, short what, void *arg)
{
    struct worker *w = arg;
    uint64_t expired;
    (void) what;
    pulse_wake(&w->pulse);
    if (read(fd, &expired, sizeof expired) != (ssize_t) sizeof expired) /* reading also arms it again */
        return;
    w->ticks_due = expired;
    pulse_tick(&w->pulse, expired, TICK_MS * UINT64_C(1000000));
}

/* The time that push has asked for has come. */
static void on_alarm(evutil_socket_t fd, short what, void *arg)
{
    struct worker *w = arg;
    uint64_t expired;
    (void) what;
    pulse_wake(&w->pulse);
    if (read(fd, &expired, sizeof expired) == (ssize_t) sizeof expired)
        orders_alarm(w);
}

/* Time goes on. After the I/O of the pass, so that the sweep sees what has arrived. */
static void sweep(struct worker *w)
{
    w->shard.tick += w->ticks_due > TICK_JUMP_MAX ? TICK_JUMP_MAX : (uint32_t) w->ticks_due;
    w->ticks_due = 0;
    wheel_advance(&w->shard.wheel, w->shard.tick, on_due, w);
}

/* Time stands still while nobody waits for it: a worker without connections sleeps, and one whose connections have no
 * deadline, unless operators may ask how long they have been silent. It is stopped at a tick and
 * goes on as soon as somebody is in the wheel, so it is as exact as ever, and who comes and goes costs a call a
 * tick at most. */
static void keep_time(struct worker *w, bool at_tick)
{
    bool wanted = w->shard.wheel.population > 0 || (w->shard.seen != NULL && w->shard.in_use > 0);
    if (wanted == w->ticking || (w->ticking && !at_tick))
        return;
    struct timespec step = {.tv_nsec = wanted ? TICK_MS * 1000000L : 0};
    timerfd_settime(w->tick_fd, 0, &(struct itimerspec){.it_interval = step, .it_value = step}, NULL);
    w->ticking = wanted;
    pulse_ticks(&w->pulse, (uint64_t) step.tv_nsec);
}

/* ---- New settings ---- */

/* A deadline that is nearer now is to be kept: those of all connections are set anew, some in each pass. */
static void take_settings(struct worker *w)
{
    struct shard *s = &w->shard;
    const struct settings *set = atomic_load_explicit(&w->published, memory_order_acquire);
    if (set == s->set)
        return;
    s->set = set;
    w->arm_cursor = 0;
    w->arm_end = s->fresh;
    atomic_store_explicit(&w->taken, set->version, memory_order_release);
    doorbell_ring(w->master_bell, s->ind);
}

static void arm_some(struct worker *w)
{
    for (int i = 0; i < ARM_BATCH && w->arm_cursor < w->arm_end; i++) {
        struct conn *c = &w->shard.conns[w->arm_cursor++];
        if (c->state == CONN_OPEN || c->state == CONN_DRAINING)
            conn_arm(c);
    }
}

/* ---- The thread ---- */

/* What is due after each pass of the loop. False when the worker's work is over. */
static bool has_work_left(struct worker *w)
{
    bool at_tick = w->ticks_due > 0;
    take_settings(w);
    arm_some(w);
    if (at_tick)
        sweep(w);
    if (atomic_load_explicit(&w->bell.word, memory_order_relaxed) & PORT_MASK)
        answer_bell(w); /* what functions of this pass have ordered of their own worker: they only held it */
    orders_pass(w);
    if (w->questions.any)
        questions_pass(&w->questions, w);
    conn_pass(&w->shard);
    if (leaving_is_due(&w->leaving) && leaving_some(executor_here, &w->leaving))
        doorbell_ring(w->master_bell, w->shard.ind);
    if (w->stopping) {
        stop_some(w);
        delivery_flush(&w->shard);
        conn_pass(&w->shard);
    }
    bool comes_more = w->stopping && datagrams_stop(executor_here);
    keep_time(w, at_tick);
    return !w->stopping || comes_more || w->stop_cursor < w->shard.fresh || w->shard.in_use > 0;
}

/* The thread ends, but not because its work is over: it was fenced off, or a function ended it, or it was
 * cancelled. Then a successor finds the shard in order: cancelling is possible only where it is. */
void worker_on_thread_end(void *arg)
{
    struct worker *w = arg;
    struct executor *t = executor_here;
    thread_unwound();
    fence_die(&t->fence);
    mem_thread_fini();
    atomic_store_explicit(&t->gone, true, memory_order_release);
    doorbell_ring(w->master_bell, t->pub.ind);
}

/* The loop. Functions may be cancelled, and so may waiting; what the library does in between must not. */
void worker_serve(struct worker *w, struct executor *t)
{
    atomic_store_explicit(&w->thread, (int32_t) gettid(), memory_order_relaxed);
    atomic_store_explicit(&w->served, atomic_load_explicit(&w->served, memory_order_relaxed) + 1,
                          memory_order_relaxed);
    do {
        bool busy = w->shard.line.first != 0 || w->arm_cursor < w->arm_end ||
                    (w->stopping && w->stop_cursor < w->shard.fresh) || leaving_is_due(&w->leaving) ||
                    orders_are_left(w) || w->questions.any || datagrams_are_left(t, w->stopping) ||
                    secure_is_due(&w->shard);
        dispatch_begin_pass(t);
        pulse_rest(&w->pulse);
        pthread_setcancelstate(PTHREAD_CANCEL_ENABLE, NULL);
        /* One pass: EVLOOP_NONBLOCK alone goes on for as long as anybody sends. */
        int rc = event_base_loop(t->pub.base, busy ? EVLOOP_ONCE | EVLOOP_NONBLOCK : EVLOOP_ONCE);
        if (w->shard.line.first != 0) {
            pulse_wake(&w->pulse);
            dispatch_line(t);
        }
        if (w->shard.secure != NULL && w->shard.secure->waits.first != 0) {
            pulse_wake(&w->pulse);
            dispatch_shake(t);
        }
        if (datagrams_are_left(t, false)) {
            pulse_wake(&w->pulse);
            datagrams_go_on(t);
        }
        pthread_setcancelstate(PTHREAD_CANCEL_DISABLE, NULL);
        if (rc < 0) {
            slog_err_t(t->pub.qlog, "worker %u: the event loop failed: %s", t->pub.ind, strerror(errno));
            end_all(w);
        }
    } while (has_work_left(w));
    pulse_rest(&w->pulse);
    mem_thread_fini();
    executor_here = NULL;
    atomic_store_explicit(&w->finished, true, memory_order_release);
    doorbell_ring(w->master_bell, t->pub.ind);
}

void worker_begin_thread(struct executor *t)
{
    executor_here = t;
    log_context = executor_log_context;
    crash_thread();
    pthread_setcancelstate(PTHREAD_CANCEL_DISABLE, NULL);
    if (!mem_thread_init())
        slog_warn_t(t->pub.qlog, "worker %u: no memory for block lists, using malloc", t->pub.ind);
}

static void *worker_main(void *arg)
{
    struct worker *w = arg;
    worker_begin_thread(w->executor);
    delivery_say(&w->shard);
    pthread_cleanup_push(worker_on_thread_end, w);
    pthread_cleanup_push(reply_abandon, w->executor);
    worker_serve(w, w->executor);
    pthread_cleanup_pop(0);
    pthread_cleanup_pop(0);
    return NULL;
}

/* ---- Before and after the thread ---- */

/* An executor of w: what its thread alone touches. No thread runs there yet. */
struct executor *worker_executor_create(struct worker *w, struct activity *activity)
{
    struct executor *t;
    errno = posix_memalign((void **) &t, SPSC_LINE, sizeof *t);
    if (errno != 0)
        return NULL;
    memset(t, 0, sizeof *t);
    t->shard = &w->shard;
    if (!executor_setup(t, w->shard.ind, activity) || (t->rx = malloc(RX_BYTES)) == NULL ||
        (t->bell_event = event_new(t->pub.base, w->bell.fd, EV_READ | EV_PERSIST | EV_ET, on_bell, w)) ==
            NULL ||
        (t->tick_event = event_new(t->pub.base, w->tick_fd, EV_READ | EV_PERSIST, on_tick, w)) == NULL ||
        (t->alarm_event = event_new(t->pub.base, w->alarm_fd, EV_READ | EV_PERSIST, on_alarm, w)) == NULL ||
        !datagrams_prepare(t))
        executor_destroy(&t);
    return t;
}

static bool timers_setup(struct worker *w)
{
    w->tick_fd = timerfd_create(CLOCK_MONOTONIC, TFD_NONBLOCK | TFD_CLOEXEC);
    w->alarm_fd = timerfd_create(CLOCK_MONOTONIC, TFD_NONBLOCK | TFD_CLOEXEC);
    return w->tick_fd >= 0 && w->alarm_fd >= 0;
}

bool worker_setup(struct worker *w, uint32_t ind, const struct worker_options *o, struct stats *stats,
                  struct activity *activity)
{
    struct shard *s = &w->shard;
    w->bell.fd = w->tick_fd = w->alarm_fd = -1;
    w->master_bell = o->master_bell;
    s->ind = ind;
    s->service = o->service;
    s->set = o->set;
    atomic_init(&w->published, o->set);
    atomic_init(&w->taken, o->set->version);
    s->stats = stats;
    uint32_t ext_size = o->has_ipv6 || o->has_guest ? conn_ext_size(o->state_size) : 0;
    return conn_pool_init(s, o->connnum, o->prefault, ext_size, o->has_admin) &&
           (!o->has_proxy || proxied_setup(s, o->prefault)) &&
           (!o->has_tls || secure_setup(s, o->prefault)) && inbox_setup(w, o->has_ipv6) &&
           doorbell_init(&w->bell) && timers_setup(w) && push_setup(s, &w->bell) && datagrams_setup(s, o) &&
           (w->executor = worker_executor_create(w, activity)) != NULL &&
           event_add(w->executor->bell_event, NULL) == 0 && event_add(w->executor->tick_event, NULL) == 0 &&
           event_add(w->executor->alarm_event, NULL) == 0 && datagrams_watch(w->executor);
}

void worker_teardown(struct worker *w)
{
    inbox_refuse_rest(w);
    if (w->executor != NULL)
        executor_destroy(&w->executor);
    if (w->tick_fd >= 0)
        close(w->tick_fd);
    if (w->alarm_fd >= 0)
        close(w->alarm_fd);
    datagrams_teardown(&w->shard);
    push_teardown(&w->shard);
    questions_fini(&w->questions);
    doorbell_fini(&w->bell);
    inbox_teardown(w);
    conn_pool_fini(&w->shard);
    proxied_teardown(&w->shard);
    secure_teardown(&w->shard);
}

void worker_offload(struct worker *w, struct offload_pool *pool)
{
    w->shard.offload = offload_queue_of(pool, w->shard.ind, &w->bell, BELL_DONE);
    w->shard.take_back = queue_take_back;
    w->shard.shake = w->shard.offload->all_shakes != NULL ? queue_shake : NULL;
}

bool worker_let_ask(struct worker *w, struct doorbell *back, unsigned bit)
{
    return questions_init(&w->questions, back, bit);
}

int worker_start(struct worker *w)
{
    return thread_start(&w->executor->thread, 0, worker_main, w);
}

void worker_join(struct worker *w)
{
    pthread_join(w->executor->thread, NULL);
}

void worker_publish(struct worker *w, const struct settings *set)
{
    atomic_store_explicit(&w->published, set, memory_order_release);
    doorbell_ring(&w->bell, BELL_SETTINGS);
}

uint64_t worker_settings(const struct worker *w)
{
    return atomic_load_explicit(&w->taken, memory_order_acquire);
}

void worker_drain(struct worker *w)
{
    doorbell_ring(&w->bell, BELL_SETTINGS);
}

void worker_call(struct worker *w)
{
    doorbell_ring(&w->bell, BELL_WATCH);
}

bool worker_is_called(const struct worker *w)
{
    return atomic_load_explicit(&w->bell.word, memory_order_relaxed) != 0;
}

void worker_stop_now(struct worker *w)
{
    atomic_store_explicit(&w->stop_now, true, memory_order_release);
    doorbell_ring(&w->bell, BELL_STOP);
}
