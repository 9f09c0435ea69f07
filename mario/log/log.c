/*
 * log.c: queues and calls. record_log() and mario_log() run on the queue's own thread and never wait; the
 * rest may be called by any thread. The log thread is in writer.c.
 *
 * `lock` protects the list of queues, the targets and what else is shared with the log thread. That thread
 * lets go of it before it writes, so a hanging disk or pipe holds up nobody: rings fill, and what does not
 * fit is dropped and counted.
 */
#include "mario/log/log.h"

#include <errno.h>
#include <stdarg.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <time.h>
#include <unistd.h>

#include "mario/log/logger.h"

#define WAKE_EVERY \
    128 /* records of one queue after which the log thread is woken though it looks by itself */

struct logger logger = {.lock = PTHREAD_MUTEX_INITIALIZER,
                        .target = {.kind = LOG_TARGET_STDOUT, .fd = -1, .path = "-"},
                        .settings = {.keep = 7},
                        .bell = {.fd = -1}};

_Thread_local bool (*log_context)(struct log_who *who);

int logger_lock(void)
{
    int cancel;
    pthread_setcancelstate(PTHREAD_CANCEL_DISABLE, &cancel);
    pthread_mutex_lock(&logger.lock);
    return cancel;
}

void logger_unlock(int cancel)
{
    pthread_mutex_unlock(&logger.lock);
    pthread_setcancelstate(cancel, &cancel);
}

/* ---- Recording ---- */

static struct log_record *record_begin(LOG_QUEUE *q, int fd)
{
    struct log_record *r = spsc_reserve(&q->ring);
    if (r == NULL) {
        uint64_t dropped = atomic_load_explicit(&q->dropped, memory_order_relaxed);
        atomic_store_explicit(&q->dropped, dropped + 1, memory_order_relaxed);
        return NULL;
    }
    r->fd = fd;
    return r;
}

/* The text is in r->text as far as it fits; `wanted` is what vsnprintf() said. */
static int32_t record_end(LOG_QUEUE *q, struct log_record *r, int wanted)
{
    size_t len = wanted < 0 ? 0 : (size_t) wanted;
    if (len >= LOG_TEXT_SIZE) {
        len = LOG_TEXT_SIZE - 1;
        memcpy(r->text + len - 4, "...\n", 4);
    }
    if (r->fd == LOG_TO_FILE && len > 0 && r->text[len - 1] == '\n')
        len--;
    r->len = (uint16_t) len;
    r->text[len] = '\0';
    spsc_commit(&q->ring);
    if (++q->unseen < WAKE_EVERY) {
        doorbell_ring(&logger.bell, q->number);
    } else {
        q->unseen = 0;
        doorbell_insist(&logger.bell, q->number);
    }
    return (int32_t) len;
}

int32_t record_log(LOG_QUEUE *q, int fd, const char *fmt, ...)
{
    struct log_record *r = q != NULL && fd >= 0 ? record_begin(q, fd) : NULL;
    if (r == NULL)
        return -1;
    va_list ap;
    va_start(ap, fmt);
    int wanted = vsnprintf(r->text, LOG_TEXT_SIZE, fmt, ap);
    va_end(ap);
    return record_end(q, r, wanted);
}

/* who: NULL for the connection the thread works for, if any. */
static void record_line(LOG_QUEUE *q, enum mario_log_subsystem subsystem, enum mario_log_level level,
                        int with_time, const char *func, const struct log_who *who, const char *fmt,
                        va_list ap)
{
    if (q == NULL || !log_wants_in(subsystem, level))
        return;
    struct log_record *r = record_begin(q, LOG_TO_FILE);
    if (r == NULL)
        return;
    struct timespec now;
    clock_gettime(CLOCK_REALTIME, &now);
    r->when = (uint64_t) now.tv_sec * 1000000000u + (uint64_t) now.tv_nsec;
    r->with_time = with_time != 0;
    r->func = func;
    r->level = (uint8_t) level;
    r->subsystem =
        (uint8_t) ((unsigned) subsystem < MARIO_LOG_SUBSYSTEM_COUNT ? subsystem : MARIO_LOG_IN_app);
    r->with_who = who != NULL || (log_context != NULL && log_context(&r->who));
    if (who != NULL)
        r->who = *who;
    record_end(q, r, vsnprintf(r->text, LOG_TEXT_SIZE, fmt, ap));
}

void mario_log(LOG_QUEUE *q, enum mario_log_subsystem subsystem, enum mario_log_level level, int with_time,
               const char *func, const char *fmt, ...)
{
    va_list ap;
    va_start(ap, fmt);
    record_line(q, subsystem, level, with_time, func, NULL, fmt, ap);
    va_end(ap);
}

void mario_slog(LOG_QUEUE *q, enum mario_log_level level, int with_time, const char *func, const char *fmt,
                ...)
{
    va_list ap;
    va_start(ap, fmt);
    record_line(q, MARIO_LOG_IN_app, level, with_time, func, NULL, fmt, ap);
    va_end(ap);
}

void log_about(LOG_QUEUE *q, enum mario_log_subsystem subsystem, enum mario_log_level level,
               const struct log_who *who, const char *fmt, ...)
{
    va_list ap;
    va_start(ap, fmt);
    record_line(q, subsystem, level, 1, NULL, who, fmt, ap);
    va_end(ap);
}

bool log_limit_pass(struct log_limit *l, uint32_t lines_a_second, uint32_t *held_back)
{
    struct timespec now;
    clock_gettime(CLOCK_MONOTONIC_COARSE, &now);
    uint64_t second = (uint64_t) now.tv_sec << 32, next;
    uint64_t old = atomic_load_explicit(&l->state, memory_order_relaxed);
    do {
        bool same =
            old >> 32 >= second >> 32; /* another thread's clock may be read a little later than ours */
        if (same && (uint32_t) old >= lines_a_second) {
            atomic_fetch_add_explicit(&l->held_back, 1, memory_order_relaxed);
            return false;
        }
        next = same ? old + 1 : second + 1;
    } while (!atomic_compare_exchange_weak_explicit(&l->state, &old, next, memory_order_relaxed,
                                                    memory_order_relaxed));
    *held_back = atomic_exchange_explicit(&l->held_back, 0, memory_order_relaxed);
    return true;
}

struct log_more log_more(uint32_t held_back)
{
    struct log_more m = {.text = ""};
    if (held_back > 0)
        snprintf(m.text, sizeof m.text, " (%u more since the last line)", held_back);
    return m;
}

/* ---- Queues ---- */

bool log_bell_setup(void)
{
    return logger.bell.fd >= 0 || doorbell_init(&logger.bell);
}

static void set_name(LOG_QUEUE *q, const char *name)
{
    char clean[LOG_NAME_SIZE] = "";
    for (size_t i = 0; i < LOG_NAME_SIZE - 1 && name[i] != '\0'; i++)
        clean[i] = name[i] > ' ' && name[i] < 0x7f && name[i] != '"' && name[i] != '\\' ? name[i] : '-';
    memcpy(q->name, clean, sizeof clean);
}

LOG_QUEUE *create_log_queue(void)
{
    char name[LOG_NAME_SIZE] = "main";
    LOG_QUEUE *q = NULL;
    errno = posix_memalign((void **) &q, SPSC_LINE, sizeof *q);
    if (errno != 0)
        return NULL;
    memset(q, 0, sizeof *q);
    if (!spsc_init(&q->ring, LOG_QUEUE_RECORDS, LOG_RECORD_SIZE)) {
        free(q);
        return NULL;
    }
    if (gettid() != getpid())
        snprintf(name, sizeof name, "thread-%d", (int) gettid());
    set_name(q, name);
    int cancel = logger_lock();
    bool ok = log_bell_setup();
    if (ok) {
        q->number = logger.queue_count++;
        q->next = logger.queues;
        logger.queues = q;
    }
    logger_unlock(cancel);
    if (!ok) {
        spsc_fini(&q->ring);
        free(q);
        return NULL;
    }
    return q;
}

void mario_log_name(LOG_QUEUE *q, const char *name)
{
    if (q == NULL)
        return;
    int cancel = logger_lock();
    set_name(q, name);
    logger_unlock(cancel);
}

bool log_queue_is_read(const LOG_QUEUE *q)
{
    int cancel = logger_lock();
    bool read = !logger.running || atomic_load_explicit(&q->ring.head, memory_order_acquire) ==
                                       atomic_load_explicit(&q->ring.tail, memory_order_acquire);
    logger_unlock(cancel);
    return read;
}

void log_queue_destroy(LOG_QUEUE **qp)
{
    LOG_QUEUE *q = *qp;
    *qp = NULL;
    if (q == NULL)
        return;
    int cancel = logger_lock();
    for (LOG_QUEUE **at = &logger.queues; *at != NULL; at = &(*at)->next) {
        if (*at == q) {
            *at = q->next;
            break;
        }
    }
    logger.queue_dropped += atomic_load_explicit(&q->dropped, memory_order_relaxed);
    while (logger.running && spsc_front(&q->ring) != NULL) { /* under lock the consumer's side is ours */
        logger.queue_dropped++;
        spsc_release(&q->ring);
    }
    logger_unlock(cancel);
    spsc_fini(&q->ring);
    free(q);
}

/* ---- Targets ---- */

void mario_log_options_init(struct mario_log_options *o)
{
    *o = (struct mario_log_options){.target = "-", .format = MARIO_LOG_TEXT, .keep = 7};
}

int32_t mario_log_target_check(const char *target, char *why, uint32_t size)
{
    struct log_target t;
    return log_target_parse(&t, target, why, size) ? 0 : -1;
}

/* Open a target and hand it to the log thread, with new settings unless they are NULL. One that may be gone is
 * handed over unopened: the log thread tries again with each line. */
static int32_t take_target(const char *text, bool may_be_gone, const struct log_settings *set)
{
    struct log_target t;
    char why[64];
    if (!log_target_parse(&t, text, why, sizeof why)) {
        errno = strlen(text) >= LOG_PATH_SIZE ? ENAMETOOLONG : EINVAL;
        return -1;
    }
    if (!log_target_open(&t) && !may_be_gone)
        return -1;
    mario_log_flush(1000); /* what was recorded before goes to the old one */
    int cancel = logger_lock();
    int unused = logger.target.fd;
    logger.target = t;
    logger.may_be_gone = may_be_gone;
    if (set != NULL)
        logger.settings = *set;
    logger.changed = true;
    logger_unlock(cancel);
    if (unused >= 0)
        close(unused);
    log_wake();
    return 0;
}

/* The same; a thread that is cancelled here ends behind it, not with a file that nobody closes. */
static int32_t use_target(const char *text, bool may_be_gone, const struct log_settings *set)
{
    int cancel;
    pthread_setcancelstate(PTHREAD_CANCEL_DISABLE, &cancel);
    int32_t rc = take_target(text, may_be_gone, set);
    pthread_setcancelstate(cancel, &cancel);
    return rc;
}

int32_t mario_log_open(const char *target)
{
    return use_target(target, false, NULL);
}

int32_t mario_log_setup(const struct mario_log_options *o)
{
    struct log_settings set = {.format = o->format,
                               .rotate_size = o->rotate_size,
                               .keep = o->keep,
                               .rotate_daily = o->rotate_daily != 0};
    errno = EINVAL;
    if ((o->format != MARIO_LOG_TEXT && o->format != MARIO_LOG_JSON) ||
        o->rotate_size > MARIO_LOG_ROTATE_MAX || o->keep < 1 || o->keep > MARIO_LOG_KEEP_MAX ||
        o->target == NULL)
        return -1;
    return use_target(o->target, o->may_be_gone != 0, &set);
}

void regist_log_func(MARIO_LOG_FUNC f, void *arg)
{
    int cancel = logger_lock();
    logger.sink = f;
    logger.sink_arg = arg;
    logger_unlock(cancel);
}

void regist_log_reopen_func(MARIO_LOG_REOPEN_FUNC f, void *arg)
{
    int cancel = logger_lock();
    logger.reopened = f;
    logger.reopened_arg = arg;
    logger_unlock(cancel);
}

/* ---- What the log thread is asked for ---- */

void log_wake(void)
{
    if (logger.bell.fd >= 0)
        doorbell_insist(&logger.bell, LOG_BELL_CONTROL);
}

void log_reopen(void)
{
    atomic_store_explicit(&logger.reopen, true, memory_order_release);
    log_wake();
}

uint64_t mario_log_dropped(void)
{
    int cancel = logger_lock();
    uint64_t sum = logger.queue_dropped + atomic_load_explicit(&logger.write_dropped, memory_order_relaxed);
    for (const LOG_QUEUE *q = logger.queues; q != NULL; q = q->next)
        sum += atomic_load_explicit(&q->dropped, memory_order_relaxed);
    logger_unlock(cancel);
    return sum;
}

/* As logger_lock(), but not for ever: a stop must end whoever has the lock. */
static bool lock_until(const struct timespec *until, int *cancel)
{
    pthread_setcancelstate(PTHREAD_CANCEL_DISABLE, cancel);
    while (pthread_mutex_trylock(&logger.lock) != 0) {
        struct timespec now;
        clock_gettime(CLOCK_MONOTONIC, &now);
        if (now.tv_sec > until->tv_sec || (now.tv_sec == until->tv_sec && now.tv_nsec >= until->tv_nsec)) {
            pthread_setcancelstate(*cancel, cancel);
            return false;
        }
        nanosleep(&(struct timespec){.tv_nsec = 100000}, NULL);
    }
    return true;
}

int32_t mario_log_flush(uint32_t timeout_ms)
{
    struct timespec until;
    int cancel;
    clock_gettime(CLOCK_MONOTONIC, &until);
    until.tv_sec += timeout_ms / 1000;
    until.tv_nsec += (long) (timeout_ms % 1000) * 1000000;
    if (until.tv_nsec >= 1000000000) {
        until.tv_sec++;
        until.tv_nsec -= 1000000000;
    }
    if (!lock_until(&until, &cancel))
        return -1;
    int err = logger.running ? 0 : -1;
    if (err == 0) {
        uint64_t ticket = atomic_fetch_add_explicit(&logger.flush_wanted, 1, memory_order_release) + 1;
        log_wake();
        while (err == 0 && logger.flush_done < ticket)
            err = pthread_cond_timedwait(&logger.flushed, &logger.lock, &until);
    }
    logger_unlock(cancel);
    return err == 0 ? 0 : -1;
}
