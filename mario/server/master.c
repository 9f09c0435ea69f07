/*
 * master.c: signals, stop in stages, timers. Runs on the thread that called
 * start_server(); setup and teardown on the one that makes the server. master_stop() is for any thread.
 */
#include "mario/server/master.h"

#include <errno.h>
#include <pthread.h>
#include <sched.h>
#include <signal.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/socket.h>
#include <unistd.h>

#include "mario/base/clock.h"
#include "mario/base/loop.h"
#include "mario/exec/registry.h"
#include "mario/process/notify.h"
#include "mario/process/supervise.h"
#include "mario/push/push.h"
#include "mario/server/certificates.h"
#include "mario/server/dump.h"
#include "mario/tls/context.h"

enum {
    RETRY_MS = 1,      /* between two steps of a stop */
    GIVE_UP_MS = 1000, /* once all is to end: without any progress */
    MORE_MS = 5000     /* beyond drain_timeout: whatever the progress */
};

static struct log_limit signal_notes, dumps;

/* The last two an application may want for itself. */
static const int master_signals[MASTER_SIGNALS] = {SIGTERM, SIGINT, SIGHUP, SIGUSR1, SIGUSR2};

/* Not libevent's: it has one base for signals in the process, and takes the last that an event was added to. An
 * application that waits for a signal on its worker's base would get the server's as well. */
static _Atomic uint32_t signals_came[MASTER_SIGNALS];   /* handlers (w) -> master (swaps for 0) */
static struct sigaction signals_before[MASTER_SIGNALS]; /* while the master has its own: what was there */
static struct doorbell *_Atomic signals_bell;           /* the master's; NULL when it does not run */

static struct periodic {
    _Atomic uint32_t seconds;
    _Atomic MARIO_TIMER_FUNC f;
    void *_Atomic arg;
    LOG_QUEUE *qlog; /* the master's, once there is one */
} timers[MASTER_TIMERS];

/* Registered before start (release), then constant but for `seconds`; none once they were called for the last time.
 * Who retimes one reads how many there are (acquire) at any time from init until the server is freed, also beside a
 * stop, or while others are registered for the next server: what he compares then is this server's or the next one's,
 * and no harm is done. */
static _Atomic uint32_t timer_count;

int32_t regist_timer_func(uint32_t seconds, MARIO_TIMER_FUNC f, void *arg)
{
    uint32_t n = timer_count;
    if (registry_is_frozen() || n == MASTER_TIMERS || seconds < 1 || seconds > MARIO_TIMEOUT_MAX || f == NULL)
        return -1;
    atomic_store_explicit(&timers[n].f, f, memory_order_relaxed);
    atomic_store_explicit(&timers[n].arg, arg, memory_order_relaxed);
    atomic_store_explicit(&timers[n].seconds, seconds, memory_order_relaxed);
    atomic_store_explicit(&timer_count, n + 1, memory_order_release);
    return 0;
}

/* ---- Stopping ---- */

static void arm_ms(struct event *e, uint32_t ms)
{
    struct timeval t = {.tv_sec = (time_t) (ms / 1000), .tv_usec = (suseconds_t) (ms % 1000) * 1000};
    event_add(e, &t);
}

static void tell_workers_to_stop(struct master *m)
{
    bool all = true;
    push_begin_stop();
    for (uint32_t i = 0; i < m->started; i++) {
        if (!m->told[i] && worker_tell(&m->workers[i], &(struct message){.kind = MESSAGE_STOP})) {
            worker_wake(&m->workers[i]);
            m->told[i] = true;
        }
        all = all && m->told[i];
    }
    if (!all)
        arm_ms(m->retry_event, RETRY_MS);
}

/* Clients in the backlog think they are connected, and may have sent: they are let in, then the doors close.
 * In steps, so that the workers keep up. */
static void last_call(struct master *m)
{
    if (acceptor_let_in(&m->acceptor)) {
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
    acceptor_close(&m->acceptor);
    for (uint32_t i = 0; i < m->started; i++)
        worker_stop_now(&m->workers[i]);
    watchdog_progresses(&m->watchdog);
    arm_ms(m->drain_event, GIVE_UP_MS);
}

static void begin_stop(struct master *m)
{
    drain_end(m);
    slog_info_t(m->qlog, "stopping: no new connections, answering what has arrived, at most %u s",
                m->drain_timeout);
    m->stage = STAGE_LAST_CALL;
    m->end_ms = clock_ms() + m->drain_timeout * UINT64_C(1000) + MORE_MS;
    notify_stopping(m->drain_timeout * 1000 + MORE_MS);
    notify_speak();
    acceptor_last_call(&m->acceptor, !m->failed);
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
    if (watchdog_progresses(&m->watchdog) && clock_ms() < m->end_ms) {
        arm_ms(m->drain_event, GIVE_UP_MS); /* hooks may be slow, as long as one after the other returns */
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

static void look_at_signals(struct master *m);
static bool set_timers(struct master *m);

static void on_bell(evutil_socket_t fd, short what, void *arg)
{
    struct master *m = arg;
    (void) fd;
    (void) what;
    doorbell_answer(&m->bell);
    watchdog_look(&m->watchdog);
    master_take_settings(m);
    drain_look(m);
    publish_settled(m->settings);
    set_timers(m);
    if (questions_pass(&m->questions, m))
        doorbell_ring(&m->bell, MASTER_BELL_ASK);
    look_at_signals(m);
    look_at_stop_requests(m);
    notify_speak();
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
    master_wake(m);
}

void master_wake(struct master *m)
{
    doorbell_ring(&m->bell, MASTER_BELL_ASK);
}

bool master_is_ready(const struct master *m)
{
    return atomic_load_explicit(&m->stop_requests, memory_order_relaxed) == 0 && !drain_is_on(&m->drain);
}

void master_take_settings(struct master *m)
{
    const struct tls_contexts *before = m->settings->newest->live.worker.tls;
    const struct live *l = publish_take(m->settings);
    if (l == NULL)
        return;
    certificates_say(m->qlog, before, l->worker.tls);
    live_apply(m, &l->master);
    publish_tell(m->settings);
}

static const char *meaning(int sig)
{
    switch (sig) {
    case SIGHUP:
        return "opening the log file again";
    case SIGUSR1:
        return "what the server does follows";
    case SIGUSR2:
        return "it has no meaning here";
    default:
        return "stopping";
    }
}

/* Any thread that has not blocked it: those that the application started before the server. */
static void on_signal(int sig)
{
    int saved = errno;
    struct doorbell *bell = atomic_load_explicit(&signals_bell, memory_order_acquire);
    for (int i = 0; i < MASTER_SIGNALS; i++) {
        if (master_signals[i] == sig)
            atomic_fetch_add_explicit(&signals_came[i], 1, memory_order_release);
    }
    if (bell != NULL)
        doorbell_ring(bell, MASTER_BELL_ASK);
    errno = saved;
}

static void obey(struct master *m, int sig)
{
    uint32_t held_back;
    bool stops = sig == SIGTERM || sig == SIGINT;
    if (stops && supervise_is_echo())
        return;
    if (log_limit_pass(&signal_notes, 2, &held_back))
        slog_info_t(m->qlog, "signal %d: %s%s", sig, meaning(sig), log_more(held_back).text);
    if (sig == SIGTERM && drain_takes_term(m))
        notify_stopping(drain_term_ms(&m->drain.limits));
    else if (stops)
        master_stop(m);
    else if (sig == SIGHUP)
        log_reopen();
    else if (sig == SIGUSR1 && log_limit_pass(&dumps, 1, &held_back))
        dump_all(m);
}

static void look_at_signals(struct master *m)
{
    for (int i = 0; i < MASTER_SIGNALS; i++) {
        uint32_t n = atomic_exchange_explicit(&signals_came[i], 0, memory_order_acquire);
        while (n-- > 0)
            obey(m, master_signals[i]);
    }
}

/* ---- Timers of the application ---- */

static uint64_t count_connections(const struct master *m)
{
    const struct stats *workers = m->stats - m->workernum;
    uint64_t n = 0;
    for (uint32_t i = 0; i < m->workernum; i++)
        n += stats_get(&workers[i], STAT_opened) - stats_get(&workers[i], STAT_closed);
    return n;
}

/* The parent, or the service manager, sees that this loop goes on. */
static void on_beat(evutil_socket_t fd, short what, void *arg)
{
    const struct master *m = arg;
    (void) fd;
    (void) what;
    supervise_beat();
    notify_connections(count_connections(m));
    notify_beat(true);
}

static void on_keys(evutil_socket_t fd, short what, void *arg)
{
    (void) fd;
    (void) what;
    (void) arg;
    tls_tickets_look(clock_ms());
}

/* Where nobody comes nobody else looks after them. */
static bool keys_setup(struct master *m)
{
    static const struct timeval minute = {.tv_sec = 60};
    return !certificates_are_wanted() || event_add(m->keys_event, &minute) == 0;
}

static void on_timer(evutil_socket_t fd, short what, void *arg)
{
    const struct periodic *t = arg;
    (void) fd;
    (void) what;
    t->f(t->qlog, t->arg);
}

void master_forget_timers(void)
{
    timer_count = 0;
}

void master_final_timers(struct master *m)
{
    for (uint32_t i = 0; i < timer_count; i++)
        timers[i].f(m->qlog, timers[i].arg);
    master_forget_timers();
}

/* ---- Before and after ---- */

/* An application that handles a signal itself keeps it. */
static bool is_ours(int sig)
{
    struct sigaction sa;
    return sigaction(sig, NULL, &sa) == 0 && (sa.sa_handler == SIG_DFL || sa.sa_handler == SIG_IGN);
}

/* USR1 and USR2, if the application has neither a handler nor blocked them, to wait for them itself. */
void master_take_signals(struct master *m, sigset_t *old)
{
    sigset_t wait;
    pthread_sigmask(SIG_SETMASK, NULL, old);
    sigemptyset(&wait);
    for (int i = 0; i < MASTER_SIGNALS; i++) {
        int sig = master_signals[i];
        m->takes[i] = (sig != SIGUSR1 && sig != SIGUSR2) || (is_ours(sig) && sigismember(old, sig) == 0);
        if (m->takes[i])
            sigaddset(&wait, sig);
    }
    pthread_sigmask(SIG_BLOCK, &wait, NULL);
}

void master_beat(struct master *m)
{
    uint32_t ms = supervise_beat_ms(), notify_ms = notify_beat_ms();
    if (ms == 0 || (notify_ms != 0 && notify_ms < ms))
        ms = notify_ms;
    if (ms == 0)
        event_del(m->beat_event);
    else if (ms != m->beat_ms)
        arm_ms(m->beat_event, ms);
    m->beat_ms = ms;
}

/* Those whose time is another than they go by. */
static bool set_timers(struct master *m)
{
    bool ok = true;
    for (uint32_t i = 0; i < timer_count && m->timer_events[i] != NULL; i++) {
        uint32_t seconds = atomic_load_explicit(&timers[i].seconds, memory_order_relaxed);
        struct timeval every = {.tv_sec = (time_t) seconds};
        if (seconds != m->timer_seconds[i])
            ok = event_add(m->timer_events[i], &every) == 0 && ok;
        m->timer_seconds[i] = seconds;
    }
    return ok;
}

bool master_retime(struct master *m, uint32_t seconds, MARIO_TIMER_FUNC f, const void *arg)
{
    bool any = false;
    uint32_t n = atomic_load_explicit(&timer_count, memory_order_acquire);
    for (uint32_t i = 0; i < n; i++) {
        if (atomic_load_explicit(&timers[i].f, memory_order_relaxed) != f ||
            atomic_load_explicit(&timers[i].arg, memory_order_relaxed) != arg)
            continue;
        atomic_store_explicit(&timers[i].seconds, seconds, memory_order_relaxed);
        any = true;
    }
    if (any)
        master_wake(m);
    return any;
}

static bool timers_setup(struct master *m)
{
    for (uint32_t i = 0; i < timer_count; i++) {
        timers[i].qlog = m->qlog;
        m->timer_events[i] = event_new(m->base, -1, EV_PERSIST, on_timer, &timers[i]);
        if (m->timer_events[i] == NULL)
            return false;
    }
    return set_timers(m);
}

static void signals_setup(struct master *m)
{
    struct sigaction sa = {.sa_handler = on_signal, .sa_flags = SA_RESTART};
    sigfillset(&sa.sa_mask);
    atomic_store_explicit(&signals_bell, &m->bell, memory_order_release);
    for (int i = 0; i < MASTER_SIGNALS; i++) {
        m->handles[i] = m->takes[i] && is_ours(master_signals[i]) &&
                        sigaction(master_signals[i], &sa, &signals_before[i]) == 0;
    }
}

/* What came too late for this server is for nobody. */
static void signals_teardown(struct master *m)
{
    struct doorbell *mine = &m->bell;
    if (!atomic_compare_exchange_strong(&signals_bell, &mine, NULL))
        return;
    for (int i = 0; i < MASTER_SIGNALS; i++) {
        struct sigaction sa;
        if (m->handles[i] && sigaction(master_signals[i], NULL, &sa) == 0 && sa.sa_handler == on_signal)
            sigaction(master_signals[i], &signals_before[i], NULL);
        m->handles[i] = false;
        atomic_store_explicit(&signals_came[i], 0, memory_order_relaxed);
    }
}

bool master_setup(struct master *m)
{
    m->base = loop_base_create();
    if (m->base == NULL)
        return false;
    errno = ENOMEM;
    m->qlog = create_log_queue();
    mario_log_name(m->qlog, "master");
    m->told = calloc(m->workernum, sizeof *m->told);
    if (m->qlog == NULL || m->told == NULL)
        return false;
    m->bell_event = event_new(m->base, m->bell.fd, EV_READ | EV_PERSIST | EV_ET, on_bell, m);
    m->retry_event = evtimer_new(m->base, on_retry, m);
    m->drain_event = evtimer_new(m->base, on_drain_over, m);
    m->beat_event = event_new(m->base, -1, EV_PERSIST, on_beat, m);
    m->keys_event = event_new(m->base, -1, EV_PERSIST, on_keys, m);
    if (m->bell_event == NULL || m->retry_event == NULL || m->drain_event == NULL || m->beat_event == NULL ||
        m->keys_event == NULL)
        return false;
    m->watchdog.workers = m->workers;
    m->watchdog.workernum = m->workernum;
    m->watchdog.anyone = acceptor_has_any;
    m->watchdog.anyone_arg = &m->acceptor;
    m->watchdog.alarms.qlog = m->qlog;
    m->watchdog.alarms.stats = m->stats;
    m->watchdog.alarms.replace_max = m->watchdog.limits.replace_max;
    m->acceptor.admission = &m->admission;
    m->acceptor.workers = m->workers;
    m->acceptor.workernum = m->workernum;
    m->acceptor.watchdog = &m->watchdog;
    m->acceptor.qlog = m->qlog;
    m->acceptor.stats = m->stats;
    m->admission.workers = m->workers;
    m->admission.workernum = m->workernum;
    m->admission.connnum = m->acceptor.connnum;
    m->admission.qlog = m->qlog;
    m->admission.stats = m->stats;
    return watchdog_setup(&m->watchdog, m->base, &m->bell) && admission_setup(&m->admission) &&
           drain_setup(m) && acceptor_setup(&m->acceptor, m->base) && keys_setup(m) &&
           event_add(m->bell_event, NULL) == 0;
}

void master_teardown(struct master *m)
{
    struct event *events[] = {m->bell_event, m->retry_event, m->drain_event, m->beat_event, m->keys_event};
    acceptor_teardown(&m->acceptor);
    drain_teardown(m);
    admission_teardown(&m->admission);
    for (size_t i = 0; i < sizeof events / sizeof events[0]; i++) {
        if (events[i] != NULL)
            event_free(events[i]);
    }
    signals_teardown(m);
    for (int i = 0; i < MASTER_TIMERS; i++) {
        if (m->timer_events[i] != NULL)
            event_free(m->timer_events[i]);
    }
    watchdog_teardown(&m->watchdog);
    if (m->base != NULL)
        event_base_free(m->base);
    m->base = NULL;
    free(m->told);
    m->told = NULL;
    log_queue_destroy(&m->qlog);
}

/* Where master and workers share a core, a new connection must not interrupt a worker that serves old ones. A
 * SCHED_BATCH thread does not preempt when it wakes (sched(7)); it runs when the worker sleeps, and finds
 * more to accept at once. Needs no privilege; if it fails nothing is lost. The thread is the application's:
 * it gets its policy back. */
static bool set_policy(int from, int to)
{
    int policy;
    struct sched_param p;
    return pthread_getschedparam(pthread_self(), &policy, &p) == 0 && policy == from &&
           pthread_setschedparam(pthread_self(), to, &p) == 0;
}

bool master_run(struct master *m)
{
    sigset_t mine, old;
    if (!timers_setup(m))
        return false;
    master_beat(m);
    signals_setup(m);
    sigemptyset(&mine);
    for (int i = 0; i < MASTER_SIGNALS; i++) {
        if (m->takes[i])
            sigaddset(&mine, master_signals[i]);
    }
    bool batch = set_policy(SCHED_OTHER, SCHED_BATCH);
    pthread_sigmask(SIG_UNBLOCK, &mine, &old); /* blocked in every other thread: they reach this one's loop */
    look_at_stop_requests(m);
    supervise_master(true);
    if (event_base_loop(m->base, 0) < 0) {
        slog_err_t(m->qlog, "master: the event loop failed: %s", strerror(errno));
        m->failed = true;
    }
    supervise_master(false);
    pthread_sigmask(SIG_SETMASK, &old, NULL);
    if (batch)
        set_policy(SCHED_BATCH, SCHED_OTHER);
    return !m->gave_up && !m->failed;
}
