/*
 * writer.c: the log thread: empties the queues, folds what repeats, hands each record to the application's
 * sink and to the target, and says what was lost. All of it runs on that thread, but start_log_thread().
 *
 * A round takes records out of the queues under the lock, as many as fit in `batch`, and lets go of it before
 * it does anything with them: whatever hangs then hangs here alone.
 *
 * Waking a sleeping thread costs its caller more than all the rest of a log call: 10 us and more on an idle
 * machine. So the thread holds its bell and looks by itself, every few milliseconds while there is something to
 * log; it is woken only for what cannot wait, and by a queue that fills. When nothing has come for a second it sleeps
 * until it is woken: by the first line after such a silence.
 */
#include "mario/log/log.h"

#include <errno.h>
#include <limits.h>
#include <signal.h>
#include <stdarg.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/epoll.h>
#include <time.h>
#include <unistd.h>

#include "mario/base/clock.h"
#include "mario/base/faults.h"
#include "mario/log/format.h"
#include "mario/log/logger.h"

enum {
    BATCH_SIZE = 64 * 1024,
    NAP_MS = 5, /* between two looks while records come, and for AWAKE_MS after the last one */
    AWAKE_MS = 1000,
    IDLE_NAP_MS = 50,    /* and else, while something is still to be said */
    FOLD_GAP_MS = 500,   /* silence that ends a fold; also how near a repetition must be */
    FOLD_SAY_MS = 5000,  /* how long a repetition stays unsaid */
    SAY_AGAIN_MS = 1000, /* between two attempts to say what was dropped */
    STACK_SIZE = 256 * 1024
};

/* The last line, and how often it came again since it was written or said. */
struct fold {
    bool open;
    uint64_t repeats;
    uint64_t began, last_seen; /* ms: when the first of the repeats came, and the last */
    _Alignas(struct log_record) char line[LOG_RECORD_SIZE];
};

struct writer {
    LOG_QUEUE *own; /* for who logs on this thread */
    int epoll;
    unsigned below; /* this round: queues from this number on have been seen */
    unsigned taken; /* this round: records from the queue at hand */
    uint64_t again; /* bits of queues that had more than a round takes */
    uint64_t awake_until;
    uint64_t dropped_said, dropped_when;
    bool owes;      /* some were dropped, and that is not said yet */
    int lost_error; /* why the target lost some, an errno value */
    MARIO_LOG_FUNC sink;
    void *sink_arg;
    MARIO_LOG_REOPEN_FUNC reopened; /* to be called in this round, or NULL */
    void *reopened_arg;
    struct fold fold;
    char line[LOG_LINE_SIZE];
    size_t batch_used;
    _Alignas(struct log_record) char batch[BATCH_SIZE];
    struct log_sink out;
};

/* ---- One record ---- */

static bool sink_takes(struct writer *w, const struct log_record *r, uint64_t repeated, size_t len)
{
    char conn[LOG_CONN_SIZE], peer[LOG_PEER_SIZE];
    log_format_who(r, conn, peer);
    MARIO_LOG_RECORD record = {.seconds = (int64_t) (r->when / 1000000000u),
                               .microseconds = (uint32_t) (r->when % 1000000000u / 1000),
                               .level = (enum mario_log_level) r->level,
                               .subsystem = (enum mario_log_subsystem) r->subsystem,
                               .thread = r->thread,
                               .conn = conn,
                               .peer = peer,
                               .func = r->func,
                               .text = r->text,
                               .line = w->line,
                               .text_len = r->len,
                               .line_len = (uint32_t) len,
                               .repeated = repeated};
    return w->sink(&record, w->sink_arg) != 0;
}

/* Write a record; `weight` is how many are lost if this line is. */
static void put(struct writer *w, const struct log_record *r, uint64_t repeated, uint32_t weight)
{
    enum log_style style = w->out.set.format == MARIO_LOG_JSON       ? LOG_STYLE_JSON
                           : w->out.target.kind == LOG_TARGET_SYSLOG ? LOG_STYLE_BODY
                                                                     : LOG_STYLE_TEXT;
    size_t len = log_format(style, r, repeated, w->line);
    if (w->sink == NULL || !sink_takes(w, r, repeated, len))
        log_sink_line(&w->out, r, w->line, len, weight);
}

/* A line of the log's own. It is not a record: if it is lost that is not counted. */
static void say(struct writer *w, const char *fmt, ...) __attribute__((format(printf, 2, 3)));
static void say(struct writer *w, const char *fmt, ...)
{
    union {
        struct log_record r;
        char room[sizeof(struct log_record) + LOG_NOTE_SIZE];
    } said;
    struct timespec now;
    va_list ap;
    clock_gettime(CLOCK_REALTIME, &now);
    said.r = (struct log_record){.when = (uint64_t) now.tv_sec * 1000000000u + (uint64_t) now.tv_nsec,
                                 .fd = LOG_TO_FILE,
                                 .level = MARIO_LOG_WARN,
                                 .subsystem = MARIO_LOG_IN_log,
                                 .with_time = true,
                                 .thread = "log"};
    va_start(ap, fmt);
    int n = vsnprintf(said.r.text, LOG_NOTE_SIZE, fmt, ap);
    va_end(ap);
    said.r.len = (uint16_t) (n < 0 ? 0 : n < LOG_NOTE_SIZE ? n : LOG_NOTE_SIZE - 1);
    put(w, &said.r, 0, 0);
}

/* ---- Folding ---- */

static struct log_record *fold_line(struct fold *f)
{
    return (struct log_record *) (void *) f->line;
}

static void fold_say(struct writer *w)
{
    struct fold *f = &w->fold;
    uint64_t n = f->repeats;
    f->repeats = 0;
    if (n > 0)
        put(w, fold_line(f), n > 1 ? n : 0, n < UINT32_MAX ? (uint32_t) n : UINT32_MAX);
}

static bool is_repetition(const struct log_record *a, const struct log_record *b)
{
    return b->when - a->when <= FOLD_GAP_MS * UINT64_C(1000000) && a->len == b->len &&
           memcmp(a->text, b->text, a->len) == 0 && a->level == b->level && a->subsystem == b->subsystem &&
           a->func == b->func && a->with_time == b->with_time && strcmp(a->thread, b->thread) == 0 &&
           a->with_who == b->with_who &&
           (!a->with_who || (a->who.worker == b->who.worker && a->who.slot == b->who.slot &&
                             a->who.generation == b->who.generation));
}

/* True if r only counts; else it is to be written, and what is folded has been. */
static bool fold_takes(struct writer *w, const struct log_record *r, uint64_t now)
{
    struct fold *f = &w->fold;
    if (f->open && is_repetition(fold_line(f), r)) {
        fold_line(f)->when = r->when;
        f->last_seen = now;
        if (f->repeats++ == 0)
            f->began = now;
        return true;
    }
    fold_say(w);
    memcpy(f->line, r, sizeof *r + r->len + 1u);
    f->open = true;
    return false;
}

/* Say what has been folded for long enough. */
static void fold_pass(struct writer *w, uint64_t now)
{
    const struct fold *f = &w->fold;
    if (f->repeats > 0 && (now - f->last_seen >= FOLD_GAP_MS || now - f->began >= FOLD_SAY_MS))
        fold_say(w);
}

/* ---- What was lost ---- */

/* Count what the target has lost. Nothing may be folded into a line that nobody has seen. */
static void account(struct writer *w)
{
    uint64_t lost = w->out.lost;
    if (lost == 0)
        return;
    w->out.lost = 0;
    w->lost_error = w->out.error;
    lost += w->fold.repeats;
    w->fold.repeats = 0;
    w->fold.open = false;
    lost += atomic_load_explicit(&logger.write_dropped, memory_order_relaxed);
    atomic_store_explicit(&logger.write_dropped, lost, memory_order_relaxed);
}

/* Say what was lost, at most once a second. */
static void say_dropped(struct writer *w, uint64_t now)
{
    uint64_t dropped = mario_log_dropped();
    w->owes = dropped != w->dropped_said;
    if (!w->owes || (w->dropped_when != 0 && now - w->dropped_when < SAY_AGAIN_MS))
        return;
    w->dropped_when = now;
    say(w, "log: %llu records dropped%s%s", (unsigned long long) (dropped - w->dropped_said),
        w->lost_error != 0 ? ": " : "", w->lost_error != 0 ? strerror(w->lost_error) : "");
    log_sink_flush(&w->out);
    if (w->out.error != 0)
        return; /* lost too: it is said again */
    w->dropped_said = dropped;
    w->lost_error = 0;
    w->owes = false;
}

/* ---- A round ---- */

/* Copy records from the queues whose bit is set, of each as many as it can hold, so that one that is written
 * all the time does not starve the others. Under lock. True when the round is over, false when the batch is
 * full. */
static bool collect(struct writer *w, uint64_t rung)
{
    w->batch_used = 0;
    for (LOG_QUEUE *q = logger.queues; q != NULL; q = q->next) { /* newest first: falling numbers */
        uint64_t bit = UINT64_C(1) << (q->number % 64);
        if ((rung & bit) == 0 || q->number >= w->below)
            continue;
        const struct log_record *r;
        for (; (r = spsc_front(&q->ring)) != NULL && w->taken < LOG_QUEUE_RECORDS; w->taken++) {
            if (w->batch_used + LOG_RECORD_SIZE > BATCH_SIZE) {
                w->below = q->number + 1;
                return false;
            }
            struct log_record *copy = (struct log_record *) (void *) (w->batch + w->batch_used);
            size_t size = sizeof *r + r->len + 1u;
            memcpy(copy, r, size);
            memcpy(copy->thread, q->name, sizeof copy->thread);
            w->batch_used += (size + _Alignof(struct log_record) - 1) & ~(_Alignof(struct log_record) - 1);
            spsc_release(&q->ring);
        }
        w->again |= r != NULL ? bit : 0;
        w->taken = 0;
    }
    return true;
}

static void deliver(struct writer *w, uint64_t now)
{
    for (size_t at = 0; at < w->batch_used;) {
        const struct log_record *r = (const struct log_record *) (const void *) (w->batch + at);
        size_t size = sizeof *r + r->len + 1u;
        at += (size + _Alignof(struct log_record) - 1) & ~(_Alignof(struct log_record) - 1);
        if (r->fd != LOG_TO_FILE)
            log_sink_raw(&w->out, r->fd, r->text, r->len);
        else if (!fold_takes(w, r, now))
            put(w, r, 0, 1);
    }
}

/* Everything recorded so far that `rung` speaks of. True if there was something. */
static bool round_of_queues(struct writer *w, uint64_t rung)
{
    bool over, any = false;
    w->again = 0;
    w->below = UINT_MAX;
    w->taken = 0;
    do {
        pthread_mutex_lock(&logger.lock);
        over = collect(w, rung);
        pthread_mutex_unlock(&logger.lock);
        any = any || w->batch_used > 0;
        deliver(w, clock_ms());
        log_sink_flush(&w->out);
        account(w);
    } while (!over);
    return any;
}

/* Take over what others have ordered: a new target, new options, opening the old one again. Opening is done
 * without the lock: it may take its time. */
static void take_orders(struct writer *w)
{
    struct log_target target;
    bool reopen = atomic_exchange_explicit(&logger.reopen, false, memory_order_acquire);
    pthread_mutex_lock(&logger.lock);
    struct log_settings set = logger.settings;
    bool changed = logger.changed;
    w->reopened = reopen ? logger.reopened : NULL;
    w->reopened_arg = logger.reopened_arg;
    w->sink = logger.sink;
    w->sink_arg = logger.sink_arg;
    if (changed)
        target = logger.target;
    logger.target.fd = -1;
    logger.changed = false;
    pthread_mutex_unlock(&logger.lock);
    if (changed) {
        fold_say(w);
        w->fold.open = false;
        log_sink_flush(&w->out);
        w->out.set = set;
        log_sink_take(&w->out, &target);
    } else if (reopen) {
        log_sink_reopen(&w->out);
    }
}

/* ---- The thread ---- */

/* Whether there is something to come back to by itself. */
static bool may_sleep(const struct writer *w, uint64_t now)
{
    return w->again == 0 && now >= w->awake_until && w->fold.repeats == 0 && !w->owes;
}

static int time_to_nap(const struct writer *w, uint64_t now)
{
    if (w->again != 0)
        return 0;
    return now < w->awake_until ? NAP_MS : IDLE_NAP_MS;
}

/* Until the next look. Who looks by itself need not be woken. */
static void rest(const struct writer *w)
{
    struct epoll_event e;
    uint64_t now = clock_ms();
    bool sleeps = may_sleep(w, now);
    if (!sleeps)
        doorbell_hold(&logger.bell, LOG_BELL_HELD);
    epoll_wait(w->epoll, &e, 1, sleeps ? -1 : time_to_nap(w, now));
}

static void *log_main(void *arg)
{
    struct writer *w = arg;
    faults_thread();
    for (;;) {
        rest(w);
        uint64_t rung = doorbell_answer(&logger.bell) | w->again;
        uint64_t ticket = atomic_load_explicit(&logger.flush_wanted, memory_order_acquire);
        if (ticket != logger.flush_done)
            rung = UINT64_MAX;
        take_orders(w);
        if (round_of_queues(w, rung))
            w->awake_until = clock_ms() + AWAKE_MS;
        uint64_t now = clock_ms();
        if (ticket != logger.flush_done)
            fold_say(w);
        else
            fold_pass(w, now);
        if (w->out.note[0] != '\0')
            say(w, "%s", w->out.note);
        w->out.note[0] = '\0';
        log_sink_flush(&w->out);
        account(w);
        say_dropped(w, now);
        if (w->reopened != NULL) /* at last: it may hang */
            w->reopened(w->own, w->reopened_arg);
        pthread_mutex_lock(&logger.lock);
        logger.flush_done = ticket;
        pthread_cond_broadcast(&logger.flushed);
        pthread_mutex_unlock(&logger.lock);
    }
    return NULL;
}

/* ---- Starting it; under lock ---- */

static void flushed_setup(void)
{
    pthread_condattr_t attr;
    pthread_condattr_init(&attr);
    pthread_condattr_setclock(&attr, CLOCK_MONOTONIC);
    pthread_cond_init(&logger.flushed, &attr);
    pthread_condattr_destroy(&attr);
}

static struct writer *writer_create(LOG_QUEUE *own)
{
    if (logger.target.fd < 0 && !log_target_open(&logger.target) && !logger.may_be_gone)
        return NULL;
    struct writer *w = calloc(1, sizeof *w);
    if (w == NULL)
        return NULL;
    w->own = own;
    w->awake_until = clock_ms() + AWAKE_MS;
    w->out.set = logger.settings;
    w->out.target.fd = -1;
    log_sink_take(&w->out, &logger.target);
    w->epoll = epoll_create1(EPOLL_CLOEXEC);
    struct epoll_event e = {.events = EPOLLIN | EPOLLET};
    if (w->epoll >= 0 && log_bell_setup() && epoll_ctl(w->epoll, EPOLL_CTL_ADD, logger.bell.fd, &e) == 0)
        return w;
    if (w->epoll >= 0)
        close(w->epoll);
    free(w);
    return NULL;
}

static bool writer_start(struct writer *w)
{
    pthread_attr_t attr;
    pthread_t thread;
    sigset_t all, old;
    sigfillset(&all);
    faults_leave_out(&all);
    pthread_sigmask(SIG_SETMASK, &all,
                    &old); /* the thread inherits it: signals are the master's, EPIPE an errno */
    pthread_attr_init(&attr);
    pthread_attr_setdetachstate(&attr, PTHREAD_CREATE_DETACHED);
    pthread_attr_setstacksize(&attr, STACK_SIZE);
    int err = pthread_create(&thread, &attr, log_main, w);
    pthread_attr_destroy(&attr);
    pthread_sigmask(SIG_SETMASK, &old, NULL);
    errno = err;
    return err == 0;
}

/* Make and start it, with `own` as its queue. */
static bool start(LOG_QUEUE *own)
{
    flushed_setup();
    struct writer *w = writer_create(own);
    if (w != NULL && !writer_start(w)) {
        close(w->epoll);
        free(w);
        w = NULL;
    }
    logger.running = w != NULL;
    if (logger.running) {
        logger.target.fd = -1; /* its own now */
        logger.changed = false;
    }
    return logger.running;
}

int32_t start_log_thread(void)
{
    int cancel = logger_lock();
    bool running = logger.running;
    logger_unlock(cancel);
    if (running)
        return 0;
    LOG_QUEUE *own = create_log_queue();
    if (own == NULL)
        return -1;
    mario_log_name(own, "log");
    cancel = logger_lock();
    running = logger.running;
    if (!running && start(own)) {
        running = true;
        own = NULL;
    }
    int err = errno;
    logger_unlock(cancel);
    log_queue_destroy(&own);
    errno = err;
    return running ? 0 : -1;
}
