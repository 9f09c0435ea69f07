/*
 * logger.h: what the log's callers (log.c) and the log thread (writer.c) share. Private to the log.
 */
#ifndef MARIO_LOG_LOGGER_H
#define MARIO_LOG_LOGGER_H

#include <pthread.h>

#include "mario/base/doorbell.h"
#include "mario/base/spsc.h"
#include "mario/log/record.h"
#include "mario/log/sink.h"

enum {
    LOG_QUEUE_RECORDS = 512,
    LOG_BELL_HELD = 62,   /* the log thread looks by itself: no need to wake it */
    LOG_BELL_CONTROL = 63 /* flush, reopen, new options; both bits are shared with queues, harmlessly */
};

struct mario_log_queue {
    struct spsc ring;                             /* its thread (w) -> log thread (r) */
    _Alignas(SPSC_LINE) _Atomic uint64_t dropped; /* its thread (w) -> any (r) */
    unsigned unseen;              /* its thread: records since the log thread was woken for them */
    unsigned number;              /* in the order they were made; also its bit at the bell */
    char name[LOG_NAME_SIZE];     /* under lock */
    struct mario_log_queue *next; /* under lock */
};

struct logger {
    pthread_mutex_t lock;
    pthread_cond_t flushed; /* log thread -> those who wait in mario_log_flush() */
    struct mario_log_queue *queues;
    unsigned queue_count;
    struct log_target target;     /* the one in use or about to be; its fd is -1 once taken over */
    bool may_be_gone;             /* the target need not be open */
    struct log_settings settings; /* about to be used, if `changed` */
    bool changed;
    MARIO_LOG_FUNC sink;
    void *sink_arg;
    MARIO_LOG_REOPEN_FUNC reopened;
    void *reopened_arg;
    bool running;
    uint64_t flush_done;
    uint64_t queue_dropped; /* of queues that are gone */
    /* Not under lock: */
    _Atomic uint64_t flush_wanted;
    _Atomic bool reopen;
    _Atomic uint64_t write_dropped; /* records lost to a failing log file; log thread (w) */
    struct doorbell bell;           /* anyone -> log thread */
};

extern struct logger logger;

/* Take the lock and give it back. Who has it cannot be cancelled: a function's thread that ended here would take
 * the log, and all who make queues, with it. Any thread. */
int logger_lock(void);
void logger_unlock(int cancel);

/* Make the bell, once. Under lock. False with errno. */
__attribute__((warn_unused_result)) bool log_bell_setup(void);

/* Wake the log thread if it exists, at once, whatever it is doing. Any thread, also a signal handler. */
void log_wake(void);

#endif
