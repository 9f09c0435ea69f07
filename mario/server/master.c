/*
 * master.c: listeners, accept, assign, signals, stop in stages. Runs on the thread that called
 * start_server(); setup and teardown on the one that makes the server. master_stop() is for any thread.
 *
 * Assigning: `assigned` counts what a worker was given, `released` what it gave back; the difference is what
 * it has. So the master knows who has room without asking, and a worker never finds its pool empty.
 */
#include "mario/server/master.h"

#include <errno.h>
#include <netinet/in.h>
#include <pthread.h>
#include <sched.h>
#include <signal.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/socket.h>
#include <unistd.h>

#include "mario/exec/registry.h"
#include "mario/base/loop.h"
#include "mario/process/supervise.h"

enum {
    ACCEPT_BATCH = 64,  /* accepts a wake-up, so that signals and the bell get their turn */
    ERRORS_A_BATCH = 8, /* failing accepts in one batch until the listeners rest */
    PAUSE_MS = 20,      /* how long they rest */
    RETRY_MS = 1,       /* between two steps of a stop */
    BELL_STOP_BIT = 63, /* of the master's bell; harmlessly shared with worker 63 */
    GIVE_UP_MS = 1000   /* after the drain time, for functions to return */
};

static struct log_limit accept_warnings, full_warnings, signal_notes;

static const int master_signals[MASTER_SIGNALS] = {SIGTERM, SIGINT, SIGHUP};

static struct timer {
    uint32_t seconds;
    MARIO_TIMER_FUNC f;
    void *arg;
    LOG_QUEUE *qlog;     /* the master's, once there is one */
} timers[MASTER_TIMERS]; /* written before start, then constant */
static uint32_t timer_count;

sint32 regist_timer_func(uint32 seconds, MARIO_TIMER_FUNC f, void *arg)
{
    if (registry_is_frozen() || timer_count == MASTER_TIMERS || seconds < 1 || seconds > MARIO_TIMEOUT_MAX ||
        f == NULL)
        return -1;
    timers[timer_count++] = (struct timer){.seconds = seconds, .f = f, .arg = arg};
    return 0;
}

static void arm_ms(struct event *e, uint32_t ms)
{
    struct timeval t = {.tv_sec = (time_t) (ms / 1000), .tv_usec = (suseconds_t) (ms % 1000) * 1000};
    event_add(e, &t);
}

/* ---- Assigning ---- */

/* A worker whose function is stuck gets nobody, unless all are. */
static bool is_avoided(const struct master *m, uint32_t i)
{
    if (!watchdog_avoids(&m->watchdog, i))
        return false;
    for (uint32_t k = 0; k < m->workernum; k++) {
        if (!watchdog_avoids(&m->watchdog, k))
            return true;
    }
    return false;
}

static bool has_room(const struct master *m, uint32_t i)
{
    uint32_t released = atomic_load_explicit(&m->workers[i].shard.released, memory_order_acquire);
    return m->assigned[i] - released < m->connnum;
}

/* Whether somebody has room and would be handed it now. */
static bool anyone_takes(struct master *m)
{
    for (uint32_t i = 0; i < m->workernum; i++) {
        if (has_room(m, i) && !is_avoided(m, i) && spsc_reserve(&m->workers[i].accepted) != NULL)
            return true;
    }
    return false;
}

static bool anyone_has_room(const struct master *m)
{
    for (uint32_t i = 0; i < m->workernum; i++) {
        if (has_room(m, i))
            return true;
    }
    return false;
}

/* What follows a line of which `held_back` more were not written: " (3 more since the last line)", or nothing. */
struct more {
    char text[48];
};

static struct more more_of(uint32_t held_back)
{
    struct more m = {.text = ""};
    if (held_back > 0)
        snprintf(m.text, sizeof m.text, " (%u more since the last line)", held_back);
    return m;
}

static void refuse(struct master *m, int fd, enum counter why)
{
    uint32_t held_back;
    close(fd);
    stats_add(m->stats, why, 1);
    if (log_limit_pass(&full_warnings, 1, &held_back))
        slog_warn_t(m->qlog, "refused a connection: %s%s",
                    why == STAT_refused_full ? "all pools are full" : "all rings are full",
                    more_of(held_back).text);
}

/* Give it to the next worker that has room. Whom to wake is noted; wake_workers() does it once a batch. */
static void assign(struct master *m, const struct message *n)
{
    enum counter why = STAT_refused_full;
    for (uint32_t tried = 0; tried < m->workernum; tried++) {
        uint32_t i = m->next;
        m->next = m->next + 1 == m->workernum ? 0 : m->next + 1;
        if (!has_room(m, i) || is_avoided(m, i))
            continue;
        struct message *slot = spsc_reserve(&m->workers[i].accepted);
        if (slot == NULL) {
            why = STAT_refused_ring;
            continue;
        }
        *slot = *n;
        spsc_commit(&m->workers[i].accepted);
        m->assigned[i]++;
        m->to_wake[i] = true;
        return;
    }
    refuse(m, n->fd, why);
}

static void wake_workers(struct master *m)
{
    for (uint32_t i = 0; i < m->workernum; i++) {
        if (m->to_wake[i])
            doorbell_ring(&m->workers[i].bell, BELL_ACCEPTED);
        m->to_wake[i] = false;
    }
}

/* ---- Accepting ---- */

static void pause_listeners(struct master *m)
{
    if (m->paused || m->stage != STAGE_ACCEPTING)
        return;
    m->paused = true;
    stats_add(m->stats, STAT_accept_pauses, 1);
    for (uint32_t i = 0; i < m->listener_count; i++)
        event_del(m->listeners[i].event);
    arm_ms(m->pause_event, PAUSE_MS);
}

static void on_pause_over(evutil_socket_t fd, short what, void *arg)
{
    struct master *m = arg;
    (void) fd;
    (void) what;
    if (m->stage != STAGE_ACCEPTING)
        return;
    bool all = m->when_full == MARIO_FULL_REFUSE || anyone_takes(m);
    for (uint32_t i = 0; all && i < m->listener_count; i++)
        all = event_add(m->listeners[i].event, NULL) == 0;
    if (all)
        m->paused = false;
    else
        arm_ms(m->pause_event, PAUSE_MS);
}

static enum counter counter_of_errno(int err)
{
    static const struct {
        int err;
        enum counter counter;
    } rows[] = {{EMFILE, STAT_accept_emfile},   {ENFILE, STAT_accept_enfile},
                {ENOBUFS, STAT_accept_enobufs}, {ENOMEM, STAT_accept_enomem},
                {EPERM, STAT_accept_eperm},     {ECONNABORTED, STAT_accept_econnaborted},
                {EINTR, STAT_accept_eintr}};
    for (size_t i = 0; i < sizeof rows / sizeof rows[0]; i++) {
        if (rows[i].err == err)
            return rows[i].counter;
    }
    return STAT_accept_other;
}

/* accept() failed. Whether this batch may go on: not without descriptors or memory, and not for ever. */
static bool accept_failed(struct master *m, int err, int errors)
{
    uint32_t held_back;
    stats_add(m->stats, counter_of_errno(err), 1);
    if (log_limit_pass(&accept_warnings, 1, &held_back))
        slog_warn_t(m->qlog, "accept: %s%s", strerror(err), more_of(held_back).text);
    bool passing = err == EINTR || err == ECONNABORTED || err == EPERM || err == EPROTO;
    return passing && errors < ERRORS_A_BATCH;
}

static void accept_one(struct master *m, int fd, const struct sockaddr_storage *peer)
{
    struct message n = {.fd = fd};
    if (peer->ss_family == AF_INET) {
        n.cip = ((const struct sockaddr_in *) peer)->sin_addr.s_addr;
        n.cport = ((const struct sockaddr_in *) peer)->sin_port;
    } else if (peer->ss_family == AF_INET6) {
        n.cport = ((const struct sockaddr_in6 *) peer)->sin6_port;
    }
    stats_add(m->stats, STAT_accepted, 1);
    assign(m, &n);
}

enum accepted {
    ACCEPTED_BATCH,    /* there may be more */
    ACCEPTED_ALL,      /* the kernel has no more */
    ACCEPTED_NO_PLACE, /* who waits has to go on waiting */
    ACCEPTED_FAILED    /* no descriptors, no memory, or errors without end */
};

/* Accept at most `most` connections. */
static enum accepted accept_some(struct listener *l, uint32_t most)
{
    struct master *m = l->master;
    bool may_wait = m->when_full == MARIO_FULL_WAIT || m->stage == STAGE_LAST_CALL;
    int errors = 0;
    for (uint32_t i = 0; i < most; i++) {
        struct sockaddr_storage peer = {0};
        socklen_t len = sizeof peer;
        if (may_wait && !anyone_takes(m)) {
            pause_listeners(m);
            return ACCEPTED_NO_PLACE;
        }
        int fd = accept4(l->fd, (struct sockaddr *) &peer, &len, SOCK_NONBLOCK | SOCK_CLOEXEC);
        if (fd >= 0) {
            accept_one(m, fd, &peer);
        } else if (errno == EAGAIN) {
            return ACCEPTED_ALL;
        } else if (!accept_failed(m, errno, ++errors)) {
            pause_listeners(m);
            return ACCEPTED_FAILED;
        }
    }
    return ACCEPTED_BATCH;
}

static void on_listener(evutil_socket_t fd, short what, void *arg)
{
    struct listener *l = arg;
    (void) fd;
    (void) what;
    accept_some(l, ACCEPT_BATCH);
    wake_workers(l->master);
}

/* ---- Stopping ---- */

static void close_listener(struct master *m, struct listener *l)
{
    if (l->event != NULL)
        event_free(l->event);
    if (l->fd >= 0 && l->borrowed)
        supervise_release(&l->address, l->fd, m->stage != STAGE_ACCEPTING && !m->failed);
    else if (l->fd >= 0)
        listen_close(&l->address, l->fd);
    l->event = NULL;
    l->fd = -1;
}

static void close_listeners(struct master *m)
{
    for (uint32_t i = 0; i < m->listener_count; i++)
        close_listener(m, &m->listeners[i]);
}

static void tell_workers_to_stop(struct master *m)
{
    bool all = true;
    for (uint32_t i = 0; i < m->started; i++) {
        struct message *slot = m->told[i] ? NULL : spsc_reserve(&m->workers[i].accepted);
        if (slot != NULL) {
            *slot = (struct message){.fd = MESSAGE_STOP};
            spsc_commit(&m->workers[i].accepted);
            doorbell_ring(&m->workers[i].bell, BELL_ACCEPTED);
            m->told[i] = true;
        }
        all = all && m->told[i];
    }
    if (!all)
        arm_ms(m->retry_event, RETRY_MS);
}

/* Whether a listener has let in all who waited when the stop came, or cannot let in any more. */
static bool is_last_call_over(struct listener *l)
{
    uint32_t batch = l->last_call < ACCEPT_BATCH ? l->last_call : ACCEPT_BATCH;
    l->last_call -= batch;
    switch (accept_some(l, batch)) {
    case ACCEPTED_BATCH:
        return l->last_call == 0;
    case ACCEPTED_NO_PLACE:
        return !anyone_has_room(l->master); /* only the rings are full: workers will empty them */
    default:
        return true;
    }
}

/* Clients in the backlog think they are connected, and may have sent: they are let in, then the doors close.
 * In steps, so that the workers keep up. */
static void last_call(struct master *m)
{
    bool open = false;
    for (uint32_t i = 0; i < m->listener_count; i++) {
        struct listener *l = &m->listeners[i];
        if (l->fd >= 0 && is_last_call_over(l))
            close_listener(m, l);
        open = open || l->fd >= 0;
    }
    wake_workers(m);
    if (open) {
        arm_ms(m->retry_event, RETRY_MS);
        return;
    }
    m->stage = STAGE_DRAINING;
    tell_workers_to_stop(m);
}

static void on_retry(evutil_socket_t fd, short what, void *arg)
{
    struct master *m = arg;
    (void) fd;
    (void) what;
    if (m->stage == STAGE_LAST_CALL)
        last_call(m);
    else if (m->stage == STAGE_DRAINING)
        tell_workers_to_stop(m);
}

static void end_at_once(struct master *m)
{
    m->stage = STAGE_ENDING;
    close_listeners(m);
    for (uint32_t i = 0; i < m->started; i++)
        worker_stop_now(&m->workers[i]);
    arm_ms(m->drain_event, GIVE_UP_MS);
}

static void begin_stop(struct master *m)
{
    slog_info_t(m->qlog, "stopping: no new connections, answering what has arrived, at most %u s",
                m->drain_timeout);
    m->stage = STAGE_LAST_CALL;
    event_del(m->pause_event);
    for (uint32_t i = 0; i < m->listener_count; i++) {
        event_del(m->listeners[i].event);
        m->listeners[i].last_call = m->backlog + 1; /* more do not wait; who comes later came too late */
    }
    arm_ms(m->drain_event, m->drain_timeout * 900); /* the last tenth is for ending */
    last_call(m);
}

static void on_drain_over(evutil_socket_t fd, short what, void *arg)
{
    struct master *m = arg;
    (void) fd;
    (void) what;
    if (m->stage != STAGE_ENDING) {
        slog_warn_t(m->qlog, "stopping: the time is up, ending what is left");
        end_at_once(m);
        return;
    }
    m->gave_up = true;
    event_base_loopbreak(m->base);
}

static void look_at_stop_requests(struct master *m)
{
    uint32_t requests = atomic_load_explicit(&m->stop_requests, memory_order_acquire);
    while (m->stop_requests_seen != requests) {
        m->stop_requests_seen++;
        if (m->stage == STAGE_ACCEPTING) {
            begin_stop(m);
        } else if (m->stage != STAGE_ENDING) {
            slog_warn_t(m->qlog, "stopping: asked again, ending at once");
            end_at_once(m);
        }
    }
}

static uint32_t count_finished(const struct master *m)
{
    uint32_t n = 0;
    for (uint32_t i = 0; i < m->started; i++)
        n += atomic_load_explicit(&m->workers[i].finished, memory_order_acquire);
    return n;
}

static void on_bell(evutil_socket_t fd, short what, void *arg)
{
    struct master *m = arg;
    (void) fd;
    (void) what;
    doorbell_answer(&m->bell);
    watchdog_look(&m->watchdog);
    look_at_stop_requests(m);
    uint32_t finished = count_finished(m);
    if (finished > 0 && m->stage == STAGE_ACCEPTING) {
        slog_err_t(m->qlog, "a worker's loop ended by itself: stopping");
        m->failed = true;
        begin_stop(m);
    }
    if (m->stage != STAGE_ACCEPTING && finished == m->started)
        event_base_loopbreak(m->base);
}

void master_stop(struct master *m)
{
    atomic_fetch_add_explicit(&m->stop_requests, 1, memory_order_release);
    doorbell_ring(&m->bell, BELL_STOP_BIT);
}

static void on_signal(evutil_socket_t sig, short what, void *arg)
{
    struct master *m = arg;
    (void) what;
    uint32_t held_back;
    if (sig != SIGHUP && supervise_is_echo())
        return;
    if (log_limit_pass(&signal_notes, 2, &held_back))
        slog_info_t(m->qlog, "signal %d: %s%s", (int) sig,
                    sig == SIGHUP ? "opening the log file again" : "stopping", more_of(held_back).text);
    if (sig == SIGHUP)
        log_reopen();
    else
        master_stop(m);
}

/* ---- Timers of the application ---- */

static void on_timer(evutil_socket_t fd, short what, void *arg)
{
    const struct timer *t = arg;
    (void) fd;
    (void) what;
    t->f(t->qlog, t->arg);
}

void master_final_timers(struct master *m)
{
    for (uint32_t i = 0; i < timer_count; i++)
        timers[i].f(m->qlog, timers[i].arg);
    timer_count = 0;
}

/* ---- Before and after ---- */

/* An application that handles a signal itself keeps it. */
static bool is_ours(int sig)
{
    struct sigaction sa;
    return sigaction(sig, NULL, &sa) == 0 && (sa.sa_handler == SIG_DFL || sa.sa_handler == SIG_IGN);
}

static bool timers_setup(struct master *m)
{
    for (uint32_t i = 0; i < timer_count; i++) {
        struct timeval every = {.tv_sec = (time_t) timers[i].seconds};
        timers[i].qlog = m->qlog;
        m->timer_events[i] = event_new(m->base, -1, EV_PERSIST, on_timer, &timers[i]);
        if (m->timer_events[i] == NULL || event_add(m->timer_events[i], &every) != 0)
            return false;
    }
    return true;
}

static bool signals_setup(struct master *m)
{
    for (int i = 0; i < MASTER_SIGNALS; i++) {
        if (!is_ours(master_signals[i]))
            continue;
        m->signal_events[i] = evsignal_new(m->base, master_signals[i], on_signal, m);
        if (m->signal_events[i] == NULL || event_add(m->signal_events[i], NULL) != 0)
            return false;
    }
    return true;
}

bool master_setup(struct master *m)
{
    m->base = loop_base_create();
    if (m->base == NULL)
        return false;
    errno = ENOMEM;
    m->qlog = create_log_queue();
    mario_log_name(m->qlog, "master");
    m->assigned = calloc(m->workernum, sizeof *m->assigned);
    m->told = calloc(m->workernum, sizeof *m->told);
    m->to_wake = calloc(m->workernum, sizeof *m->to_wake);
    if (m->qlog == NULL || m->assigned == NULL || m->told == NULL || m->to_wake == NULL)
        return false;
    m->bell_event = event_new(m->base, m->bell.fd, EV_READ | EV_PERSIST | EV_ET, on_bell, m);
    m->pause_event = evtimer_new(m->base, on_pause_over, m);
    m->retry_event = evtimer_new(m->base, on_retry, m);
    m->drain_event = evtimer_new(m->base, on_drain_over, m);
    if (m->bell_event == NULL || m->pause_event == NULL || m->retry_event == NULL || m->drain_event == NULL)
        return false;
    for (uint32_t i = 0; i < m->listener_count; i++) {
        struct listener *l = &m->listeners[i];
        l->master = m;
        l->event = event_new(m->base, l->fd, EV_READ | EV_PERSIST, on_listener, l);
        if (l->event == NULL || event_add(l->event, NULL) != 0)
            return false;
    }
    m->watchdog.workers = m->workers;
    m->watchdog.workernum = m->workernum;
    m->watchdog.qlog = m->qlog;
    m->watchdog.stats = m->stats;
    return watchdog_setup(&m->watchdog, m->base) && event_add(m->bell_event, NULL) == 0;
}

void master_teardown(struct master *m)
{
    struct event *events[] = {m->bell_event, m->pause_event, m->retry_event, m->drain_event};
    close_listeners(m);
    for (size_t i = 0; i < sizeof events / sizeof events[0]; i++) {
        if (events[i] != NULL)
            event_free(events[i]);
    }
    for (int i = 0; i < MASTER_SIGNALS; i++) {
        if (m->signal_events[i] != NULL)
            event_free(m->signal_events[i]);
    }
    for (int i = 0; i < MASTER_TIMERS; i++) {
        if (m->timer_events[i] != NULL)
            event_free(m->timer_events[i]);
    }
    watchdog_teardown(&m->watchdog);
    if (m->base != NULL)
        event_base_free(m->base);
    m->base = NULL;
    free(m->assigned);
    free(m->told);
    free(m->to_wake);
    m->assigned = NULL;
    m->told = m->to_wake = NULL;
    log_queue_destroy(&m->qlog);
}

/* Where master and workers share a core, a new connection must not interrupt a worker that serves old ones. A
 * SCHED_BATCH thread does not preempt when it wakes (sched(7)); it runs when the worker sleeps, and finds
 * more to accept at once. Needs no privilege; if it fails nothing is lost. The thread is the application's:
 * it gets its policy back. */
static void set_policy(int from, int to)
{
    int policy;
    struct sched_param p;
    if (pthread_getschedparam(pthread_self(), &policy, &p) == 0 && policy == from)
        pthread_setschedparam(pthread_self(), to, &p);
}

bool master_run(struct master *m)
{
    sigset_t mine, old;
    if (!signals_setup(m) || !timers_setup(m))
        return false;
    sigemptyset(&mine);
    for (int i = 0; i < MASTER_SIGNALS; i++)
        sigaddset(&mine, master_signals[i]);
    set_policy(SCHED_OTHER, SCHED_BATCH);
    pthread_sigmask(SIG_UNBLOCK, &mine, &old); /* blocked in every other thread: they reach this one's loop */
    look_at_stop_requests(m);
    if (event_base_loop(m->base, 0) < 0) {
        slog_err_t(m->qlog, "master: the event loop failed: %s", strerror(errno));
        m->failed = true;
    }
    pthread_sigmask(SIG_SETMASK, &old, NULL);
    set_policy(SCHED_BATCH, SCHED_OTHER);
    return !m->gave_up && !m->failed;
}
