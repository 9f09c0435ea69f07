/*
 * log.c: rings and the log thread. mario_slog() and record_log() run on the queue's own thread and never
 * wait; the log thread alone formats the time, writes and rotates; the rest may be called by any thread.
 *
 * `lock` protects the list of queues and the next target. The log thread lets go of it before it writes, so a
 * hanging disk or pipe holds up nobody: rings fill, and what does not fit is dropped and counted.
 */
#include "log.h"

#include <errno.h>
#include <fcntl.h>
#include <limits.h>
#include <poll.h>
#include <pthread.h>
#include <signal.h>
#include <stdarg.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/epoll.h>
#include <time.h>
#include <unistd.h>

#include "doorbell.h"
#include "spsc.h"
#include "util.h"

enum {
    QUEUE_RECORDS = 512,
    RECORD_SIZE = 1024,
    TARGET_LOG_FILE = -1,
    OUT_SIZE = 64 * 1024,
    BELL_CONTROL = 63, /* flush, reopen; shared with the 64th queue, which does no harm */
    PATH_SIZE = 4096
};

struct record {
    struct timespec when;
    const char *func; /* a string literal, or NULL */
    int fd;           /* TARGET_LOG_FILE or a descriptor */
    uint8_t level;
    uint8_t with_time;
    uint16_t len;
    char text[];
};

#define TEXT_SIZE (RECORD_SIZE - sizeof(struct record))

struct mario_log_queue {
    struct spsc ring;                             /* its thread (w) -> log thread (r) */
    _Alignas(SPSC_LINE) _Atomic uint64_t dropped; /* its thread (w) -> any (r) */
    unsigned number;                              /* in the order they were made; also its bit at the bell */
    struct mario_log_queue *next;                 /* under lock */
};

static struct {
    pthread_mutex_t lock;
    pthread_cond_t flushed; /* log thread -> those who wait in mario_log_flush() */
    struct mario_log_queue *queues;
    unsigned queue_count;
    char path[PATH_SIZE]; /* "-" or the file */
    int next_fd;          /* a target the log thread has not taken over yet, or -1 */
    bool running;
    uint64_t flush_done;
    _Atomic uint64_t flush_wanted;
    _Atomic int level;
    _Atomic bool reopen;
    _Atomic uint64_t write_dropped; /* records lost to a failing log file; log thread (w) */
    uint64_t queue_dropped;         /* of queues that are gone; under lock */
    struct doorbell bell;           /* anyone -> log thread */
} logger = {.lock = PTHREAD_MUTEX_INITIALIZER,
            .path = "-",
            .next_fd = -1,
            .level = MARIO_LOG_INFO,
            .bell = {.fd = -1}};

static const char *const level_names[] = {"ERROR", "WARN", "INFO", "DEBUG"};

/* ---- Writers ---- */

static struct record *record_begin(LOG_QUEUE *q, int fd)
{
    struct record *r = spsc_reserve(&q->ring);
    if (r == NULL) {
        uint64_t dropped = atomic_load_explicit(&q->dropped, memory_order_relaxed);
        atomic_store_explicit(&q->dropped, dropped + 1, memory_order_relaxed);
        return NULL;
    }
    r->fd = fd;
    r->func = NULL;
    r->with_time = 0;
    return r;
}

static sint32 record_end(LOG_QUEUE *q, struct record *r, int wanted)
{
    size_t len = wanted < 0 ? 0 : (size_t) wanted;
    if (len >= TEXT_SIZE) {
        len = TEXT_SIZE - 1;
        memcpy(r->text + len - 4, "...\n", 4);
    }
    r->len = (uint16_t) len;
    spsc_commit(&q->ring);
    doorbell_ring(&logger.bell, q->number);
    return (sint32) len;
}

sint32 record_log(LOG_QUEUE *q, int fd, const char *fmt, ...)
{
    struct record *r = q != NULL && fd >= 0 ? record_begin(q, fd) : NULL;
    if (r == NULL)
        return -1;
    va_list ap;
    va_start(ap, fmt);
    int wanted = vsnprintf(r->text, TEXT_SIZE, fmt, ap);
    va_end(ap);
    return record_end(q, r, wanted);
}

bool log_wants(enum mario_log_level level)
{
    return (int) level <= atomic_load_explicit(&logger.level, memory_order_relaxed);
}

void mario_slog(LOG_QUEUE *q, enum mario_log_level level, int with_time, const char *func, const char *fmt,
                ...)
{
    if (!log_wants(level) || q == NULL)
        return;
    struct record *r = record_begin(q, TARGET_LOG_FILE);
    if (r == NULL)
        return;
    if (with_time)
        clock_gettime(CLOCK_REALTIME, &r->when);
    r->with_time = with_time != 0;
    r->func = func;
    r->level = (uint8_t) level;
    va_list ap;
    va_start(ap, fmt);
    int wanted = vsnprintf(r->text, TEXT_SIZE, fmt, ap);
    va_end(ap);
    record_end(q, r, wanted);
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

/* ---- Any thread ---- */

static bool bell_setup(void) /* under lock */
{
    return logger.bell.fd >= 0 || doorbell_init(&logger.bell);
}

LOG_QUEUE *create_log_queue(void)
{
    LOG_QUEUE *q = NULL;
    errno = posix_memalign((void **) &q, SPSC_LINE, sizeof *q);
    if (errno != 0)
        return NULL;
    memset(q, 0, sizeof *q);
    if (!spsc_init(&q->ring, QUEUE_RECORDS, RECORD_SIZE)) {
        free(q);
        return NULL;
    }
    pthread_mutex_lock(&logger.lock);
    bool ok = bell_setup();
    if (ok) {
        q->number = logger.queue_count++;
        q->next = logger.queues;
        logger.queues = q;
    }
    pthread_mutex_unlock(&logger.lock);
    if (!ok) {
        spsc_fini(&q->ring);
        free(q);
        return NULL;
    }
    return q;
}

void log_queue_destroy(LOG_QUEUE **qp)
{
    LOG_QUEUE *q = *qp;
    *qp = NULL;
    if (q == NULL)
        return;
    pthread_mutex_lock(&logger.lock);
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
    pthread_mutex_unlock(&logger.lock);
    spsc_fini(&q->ring);
    free(q);
}

/* O_NONBLOCK, since opening a pipe that nobody reads would wait for ever; writing may wait, that is the log
 * thread's. */
static int open_target(const char *path)
{
    util_fill_standard();
    if (strcmp(path, "-") == 0)
        return fcntl(STDOUT_FILENO, F_DUPFD_CLOEXEC, 3);
    int fd = open(path, O_WRONLY | O_APPEND | O_CREAT | O_CLOEXEC | O_NONBLOCK, 0640);
    if (fd >= 0)
        fcntl(fd, F_SETFL, O_APPEND);
    return fd;
}

sint32 mario_log_open(const char *path)
{
    if (strlen(path) >= PATH_SIZE) {
        errno = ENAMETOOLONG;
        return -1;
    }
    int fd = open_target(path);
    if (fd < 0)
        return -1;
    mario_log_flush(1000); /* what was recorded before goes to the old one */
    pthread_mutex_lock(&logger.lock);
    int unused = logger.next_fd;
    logger.next_fd = fd;
    snprintf(logger.path, sizeof logger.path, "%s", path);
    pthread_mutex_unlock(&logger.lock);
    if (unused >= 0)
        close(unused);
    if (logger.bell.fd >= 0)
        doorbell_ring(&logger.bell, BELL_CONTROL);
    return 0;
}

void mario_log_level(enum mario_log_level level)
{
    atomic_store_explicit(&logger.level, (int) level, memory_order_relaxed);
}

void log_reopen(void)
{
    atomic_store_explicit(&logger.reopen, true, memory_order_release);
    if (logger.bell.fd >= 0)
        doorbell_ring(&logger.bell, BELL_CONTROL);
}

uint64 mario_log_dropped(void)
{
    pthread_mutex_lock(&logger.lock);
    uint64_t sum = logger.queue_dropped + atomic_load_explicit(&logger.write_dropped, memory_order_relaxed);
    for (const LOG_QUEUE *q = logger.queues; q != NULL; q = q->next)
        sum += atomic_load_explicit(&q->dropped, memory_order_relaxed);
    pthread_mutex_unlock(&logger.lock);
    return sum;
}

sint32 mario_log_flush(uint32 timeout_ms)
{
    struct timespec until;
    clock_gettime(CLOCK_MONOTONIC, &until);
    until.tv_sec += timeout_ms / 1000;
    until.tv_nsec += (long) (timeout_ms % 1000) * 1000000;
    if (until.tv_nsec >= 1000000000) {
        until.tv_sec++;
        until.tv_nsec -= 1000000000;
    }
    pthread_mutex_lock(&logger.lock);
    int err = logger.running ? 0 : -1;
    if (err == 0) {
        uint64_t ticket = atomic_fetch_add_explicit(&logger.flush_wanted, 1, memory_order_release) + 1;
        doorbell_ring(&logger.bell, BELL_CONTROL);
        while (err == 0 && logger.flush_done < ticket)
            err = pthread_cond_timedwait(&logger.flushed, &logger.lock, &until);
    }
    pthread_mutex_unlock(&logger.lock);
    return err == 0 ? 0 : -1;
}

/* ---- The log thread ---- */

/* What the log thread alone touches. */
struct writer {
    int fd; /* the log file */
    int epoll;
    unsigned below; /* this round: queues from this number on have been seen */
    unsigned taken; /* this round: records from the queue at hand */
    uint64_t again; /* bits of queues that had more than a round takes */
    uint64_t dropped_said;
    time_t dropped_when;
    time_t stamp_second;
    char path[PATH_SIZE]; /* of the file that is opened again */
    char stamp[32];       /* the local time of stamp_second */
    int out_fd;           /* where `out` goes */
    uint32_t lines;       /* in out */
    size_t used;          /* bytes in out */
    char out[OUT_SIZE];
};

/* Write out. False if it could not be written: its lines are dropped and counted. */
static bool out_write(struct writer *w)
{
    const char *p = w->out;
    bool ok = true;
    while (w->used > 0) {
        ssize_t n = write(w->out_fd, p, w->used);
        if (n > 0) {
            p += n;
            w->used -= (size_t) n;
        } else if (n < 0 && errno == EAGAIN) {
            poll(&(struct pollfd){.fd = w->out_fd, .events = POLLOUT}, 1, 1000);
        } else if (n == 0 || errno != EINTR) {
            uint64_t lost = atomic_load_explicit(&logger.write_dropped, memory_order_relaxed);
            atomic_store_explicit(&logger.write_dropped, lost + w->lines, memory_order_relaxed);
            w->used = 0;
            ok = false;
        }
    }
    w->lines = 0;
    return ok;
}

static void out_add(struct writer *w, const char *text, size_t n)
{
    memcpy(w->out + w->used, text, n);
    w->used += n;
}

static void out_prefix(struct writer *w, const struct record *r)
{
    if (r->with_time) {
        if (r->when.tv_sec != w->stamp_second) {
            struct tm tm;
            localtime_r(&r->when.tv_sec, &tm);
            strftime(w->stamp, sizeof w->stamp, "%Y-%m-%d %H:%M:%S", &tm);
            w->stamp_second = r->when.tv_sec;
        }
        w->used += (size_t) snprintf(w->out + w->used, 48, "%s.%06ld ", w->stamp, r->when.tv_nsec / 1000);
    }
    w->used += (size_t) snprintf(w->out + w->used, 8, "%-5s ", level_names[r->level]);
    if (r->func != NULL)
        w->used += (size_t) snprintf(w->out + w->used, 80, "%.64s: ", r->func);
}

/* Put one record into out, without the prefix of the log file if it is raw. False if out must be written
 * first. */
static bool out_record(struct writer *w, const struct record *r)
{
    int fd = r->fd == TARGET_LOG_FILE ? w->fd : r->fd;
    if (w->used > 0 && (fd != w->out_fd || w->used + RECORD_SIZE + 256 > OUT_SIZE))
        return false;
    w->out_fd = fd;
    w->lines++;
    if (r->fd == TARGET_LOG_FILE)
        out_prefix(w, r);
    out_add(w, r->text, r->len);
    if (r->fd == TARGET_LOG_FILE && (r->len == 0 || r->text[r->len - 1] != '\n'))
        out_add(w, "\n", 1);
    return true;
}

/* Fill out from the queues whose bit is set, each as many records as it can hold, so that one that is written
 * all the time does not starve the others. Under lock. True when the round is over, false when out must be
 * written first. */
static bool collect(struct writer *w, uint64_t rung)
{
    for (LOG_QUEUE *q = logger.queues; q != NULL; q = q->next) { /* newest first: falling numbers */
        uint64_t bit = UINT64_C(1) << (q->number % 64);
        if ((rung & bit) == 0 || q->number >= w->below)
            continue;
        const struct record *r;
        for (; (r = spsc_front(&q->ring)) != NULL && w->taken < QUEUE_RECORDS; w->taken++) {
            if (!out_record(w, r)) {
                w->below = q->number + 1;
                return false;
            }
            spsc_release(&q->ring);
        }
        w->again |= r != NULL ? bit : 0;
        w->taken = 0;
    }
    return true;
}

/* Take over a new target, or open the old one again. Opening is done without the lock: it may take its time.
 */
static void take_target(struct writer *w)
{
    bool reopen = atomic_exchange_explicit(&logger.reopen, false, memory_order_acquire);
    pthread_mutex_lock(&logger.lock);
    int fd = logger.next_fd;
    logger.next_fd = -1;
    if (fd < 0 && reopen)
        memcpy(w->path, logger.path, sizeof w->path);
    pthread_mutex_unlock(&logger.lock);
    if (fd < 0 && !reopen)
        return;
    if (fd < 0)
        fd = open_target(w->path);
    if (fd < 0) {
        dprintf(w->fd, "log: the log file cannot be opened again: %s; going on with the old one\n",
                strerror(errno));
        return;
    }
    close(w->fd);
    w->fd = fd;
}

/* Say what was lost, at most once a second. True while something is still unsaid. */
static bool say_dropped(struct writer *w)
{
    uint64_t dropped = mario_log_dropped();
    if (dropped == w->dropped_said)
        return false;
    struct timespec now;
    clock_gettime(CLOCK_MONOTONIC, &now);
    if (now.tv_sec == w->dropped_when)
        return true;
    union {
        struct record r;
        char room[sizeof(struct record) + 128];
    } said;
    said.r = (struct record){.fd = TARGET_LOG_FILE, .with_time = 1, .level = MARIO_LOG_WARN};
    clock_gettime(CLOCK_REALTIME, &said.r.when);
    said.r.len = (uint16_t) snprintf(said.room + sizeof(struct record), 128, "log: %llu records dropped",
                                     (unsigned long long) (dropped - w->dropped_said));
    w->dropped_when = now.tv_sec;
    out_record(w, &said.r);
    w->lines = 0; /* not a record: if it is lost too, it is said again */
    if (!out_write(w))
        return true;
    w->dropped_said = dropped;
    return false;
}

static void *log_main(void *arg)
{
    struct writer *w = arg;
    bool unsaid = false;
    for (;;) {
        struct epoll_event e;
        epoll_wait(w->epoll, &e, 1, w->again != 0 ? 0 : unsaid ? 1000 : -1);
        uint64_t rung = doorbell_answer(&logger.bell) | w->again;
        uint64_t ticket = atomic_load_explicit(&logger.flush_wanted, memory_order_acquire);
        if (ticket != logger.flush_done)
            rung = UINT64_MAX;
        bool done;
        w->again = 0;
        w->below = UINT_MAX;
        take_target(w);
        do {
            pthread_mutex_lock(&logger.lock);
            done = collect(w, rung);
            pthread_mutex_unlock(&logger.lock);
            out_write(w);
        } while (!done);
        unsaid = say_dropped(w);
        pthread_mutex_lock(&logger.lock);
        logger.flush_done = ticket;
        pthread_cond_broadcast(&logger.flushed);
        pthread_mutex_unlock(&logger.lock);
    }
    return NULL;
}

static void flushed_setup(void)
{
    pthread_condattr_t attr;
    pthread_condattr_init(&attr);
    pthread_condattr_setclock(&attr, CLOCK_MONOTONIC);
    pthread_cond_init(&logger.flushed, &attr);
    pthread_condattr_destroy(&attr);
}

static struct writer *writer_create(void)
{
    struct writer *w = calloc(1, sizeof *w);
    if (w == NULL)
        return NULL;
    w->stamp_second = -1;
    w->fd = logger.next_fd >= 0 ? logger.next_fd : open_target(logger.path);
    w->epoll = epoll_create1(EPOLL_CLOEXEC);
    struct epoll_event e = {.events = EPOLLIN | EPOLLET};
    if (w->fd >= 0 && w->epoll >= 0 && bell_setup() &&
        epoll_ctl(w->epoll, EPOLL_CTL_ADD, logger.bell.fd, &e) == 0)
        return w;
    if (w->epoll >= 0)
        close(w->epoll);
    if (w->fd >= 0 && w->fd != logger.next_fd)
        close(w->fd);
    free(w);
    return NULL;
}

static bool writer_start(struct writer *w)
{
    pthread_attr_t attr;
    pthread_t thread;
    sigset_t all, old;
    sigfillset(&all);
    pthread_sigmask(SIG_SETMASK, &all,
                    &old); /* the thread inherits it: signals are the master's, EPIPE an errno */
    pthread_attr_init(&attr);
    pthread_attr_setdetachstate(&attr, PTHREAD_CREATE_DETACHED);
    pthread_attr_setstacksize(&attr, 256 * 1024);
    int err = pthread_create(&thread, &attr, log_main, w);
    pthread_attr_destroy(&attr);
    pthread_sigmask(SIG_SETMASK, &old, NULL);
    errno = err;
    return err == 0;
}

sint32 start_log_thread(void)
{
    pthread_mutex_lock(&logger.lock);
    if (!logger.running) {
        flushed_setup();
        struct writer *w = writer_create();
        if (w != NULL && !writer_start(w)) {
            close(w->epoll);
            if (w->fd != logger.next_fd)
                close(w->fd);
            free(w);
            w = NULL;
        }
        logger.running = w != NULL;
        if (logger.running)
            logger.next_fd = -1;
    }
    sint32 answer = logger.running ? 0 : -1;
    pthread_mutex_unlock(&logger.lock);
    return answer;
}
