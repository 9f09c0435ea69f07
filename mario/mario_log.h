/*
 * mario_log.h: lock-free logging. docs/logging.md shows what the log looks like and what becomes of it.
 *
 * A LOG_QUEUE has one writing thread. Writing formats the text into the queue and returns: it never blocks
 * and never touches a disk. One log thread empties all queues into the log file. What does not fit is
 * dropped, counted, and said in the log.
 */
#ifndef MARIO_LOG_H
#define MARIO_LOG_H

#include "mario_types.h"

#ifdef __cplusplus
extern "C" {
#endif

typedef struct mario_log_queue LOG_QUEUE;

enum mario_log_level { MARIO_LOG_ERR, MARIO_LOG_WARN, MARIO_LOG_INFO, MARIO_LOG_DEBUG };

/* The parts of a program whose level can be set apart: MARIO_LOG_IN_name, and the word in log.level. */
#define MARIO_LOG_SUBSYSTEMS(ROW)                               \
    ROW(server) /* start, stop, signals, accepting, refusing */ \
    ROW(conn)   /* how connections end */                       \
    ROW(app)    /* what functions and applications log */       \
    ROW(watch)  /* workers that stall, die or come back */      \
    ROW(log)    /* the log's own */

enum mario_log_subsystem {
#define MARIO_LOG_ROW(name) MARIO_LOG_IN_##name,
    MARIO_LOG_SUBSYSTEMS(MARIO_LOG_ROW)
#undef MARIO_LOG_ROW
        MARIO_LOG_SUBSYSTEM_COUNT
};

/* ---- Where lines go ---- */

enum mario_log_format { MARIO_LOG_TEXT, MARIO_LOG_JSON };

#define MARIO_LOG_ROTATE_MAX 3221225472u /* 3 GB */
#define MARIO_LOG_KEEP_MAX   999u

/* Fill it with mario_log_options_init(), then change what you need. An int is a switch: 0 is off, anything else on. */
struct mario_log_options {
    const char *target; /* "-": standard output; a path; "syslog"; "syslog:FACILITY" */
    enum mario_log_format format;
    uint32 rotate_size; /* bytes a log file may have, .. MARIO_LOG_ROTATE_MAX; 0 = never rotated by size */
    int rotate_daily;   /* rotated at the first line of a new day, local time */
    uint32 keep;        /* rotated files kept, as PATH.1 .. PATH.keep, 1 .. MARIO_LOG_KEEP_MAX */
    int may_be_gone;    /* a target that cannot be opened is no error: lines are lost until it can be */
};

/* Fill *o with the defaults: standard output, text, never rotated, 7 files kept. Any thread. */
void mario_log_options_init(struct mario_log_options *o);

/* Use these options from now on. A file is opened for appending and created with mode 0640. What was recorded
 * before still goes to the old target; that may take up to a second, so not from a business function. Any
 * other thread, before or after start_log_thread(). o and its text are copied. 0, or -1 with errno set when the target
 * cannot be opened or an option is out of its range (EINVAL); everything then stays as it was. */
sint32 mario_log_setup(const struct mario_log_options *o);

/* The same, with a new target and all else as it was. */
sint32 mario_log_open(const char *target);

/* Whether a text names a target, without opening it. 0, or -1 with what is wrong in why[0 .. size-1]; size 0: no
 * text. Any thread. */
sint32 mario_log_target_check(const char *target, char *why, uint32 size);

/* ---- Levels ---- */

/* Lines above this level are not recorded, whatever their subsystem. Any thread. Default MARIO_LOG_INFO. */
void mario_log_level(enum mario_log_level level);

/* The level of one subsystem. Any thread. */
void mario_log_level_of(enum mario_log_subsystem subsystem, enum mario_log_level level);

/* All levels from text: LEVEL, then any SUBSYSTEM=LEVEL, separated by commas: "info,conn=debug,log=err".
 * Without the first LEVEL it is info. Any thread. 0, or -1 with what is wrong in why[0 .. size-1] (may be
 * NULL); the levels then stay. */
sint32 mario_log_levels(const char *text, char *why, uint32 size);

/* Whether mario_log_levels() would take it, with the same answer; sets nothing. Any thread. */
sint32 mario_log_levels_check(const char *text, char *why, uint32 size);

/* ---- The log thread ---- */

/* A new queue for the calling thread (or for one thread that it is handed to). NULL without memory. It lives
 * until the process ends and is not to be freed. Any thread. Workers have one already: c->owner->qlog. */
LOG_QUEUE *create_log_queue(void);

/* What the log calls the thread of this queue: up to 15 printable bytes, the rest is cut. Without it "main"
 * or "thread-TID", after the thread that made it. Only the queue's own thread; q may be NULL. */
void mario_log_name(LOG_QUEUE *q, const char *name);

/* Start the log thread; queues may be filled before. 0, also if it runs already, or -1 with errno (no thread, no
 * memory). Any thread, in the process that logs: after run_daemon() and mario_supervise(). */
sint32 start_log_thread(void);

/* Wait until everything recorded so far is written, at most timeout_ms. Any thread but the log thread.
 * 0, or -1 when the time ran out or no log thread runs. */
sint32 mario_log_flush(uint32 timeout_ms);

/* Records lost because a queue was full, or because the log file could not be written. Any thread. */
uint64 mario_log_dropped(void);

/* One record, as a sink of one's own gets it. Everything is valid until the sink returns. */
typedef struct mario_log_record {
    sint64 seconds; /* since 1970, UTC: when the call was made */
    uint32 microseconds;
    enum mario_log_level level;
    enum mario_log_subsystem subsystem;
    const char *thread; /* "worker-0", "master", ... */
    const char *conn;   /* "WORKER.SLOT.GENERATION", or "" */
    const char *peer;   /* "192.0.2.7:51234", "[::1]:80", "unix", or "" */
    const char *func;   /* with _w the function's name, else NULL */
    const char *text;   /* without a newline at its end; text[text_len] is 0 */
    const char *line;   /* as the log file gets it, in the format set, with a newline; line[line_len] is 0 */
    uint32 text_len;
    uint32 line_len;
    uint64 repeated; /* 0; else the record says that the last one came so many times again */
} MARIO_LOG_RECORD;

/* A sink: non-zero says that the record is not to be written to the log file as well. */
typedef sint32 (*MARIO_LOG_FUNC)(const MARIO_LOG_RECORD *r, void *arg);

/* Call f for each record meant for the log file (not for record_log()); NULL: no more. The log thread calls
 * it, one record at a time; while it runs only the log waits. It may log itself, with a queue that it made on
 * that thread, never through another thread's; not mario_log_flush(). Any thread, before or after
 * start_log_thread(). After a mario_log_flush() that gave 0 the function set before is not called any more. */
void regist_log_func(MARIO_LOG_FUNC f, void *arg);

/* Call f after a HUP signal has made the log thread open its file again: the place to read levels anew. The
 * log thread calls it, and may be kept waiting by it; q is that thread's queue. NULL: no more. Any thread. */
typedef void (*MARIO_LOG_REOPEN_FUNC)(LOG_QUEUE *q, void *arg);
void regist_log_reopen_func(MARIO_LOG_REOPEN_FUNC f, void *arg);

/* ---- Recording ---- */

/* Record one line of raw text for file descriptor fd (1 = standard output, 2 = standard error, or any open
 * one); nothing is added to it. Lines over 900 bytes are cut. Only the queue's own thread. Returns the length
 * recorded, or -1 if it was dropped. */
sint32 record_log(LOG_QUEUE *q, int fd, const char *fmt, ...) __attribute__((format(printf, 3, 4)));

/* Record one line for the log file, cut and counted as above. with_time: 0 is without, anything else with time and
 * thread. func: the name of a function, which must stay valid; or NULL. q NULL: nothing is recorded. Only the queue's
 * own thread. Use the names below. */
void mario_log(LOG_QUEUE *q, enum mario_log_subsystem subsystem, enum mario_log_level level, int with_time,
               const char *func, const char *fmt, ...) __attribute__((format(printf, 6, 7)));
/* The same for subsystem app. */
void mario_slog(LOG_QUEUE *q, enum mario_log_level level, int with_time, const char *func, const char *fmt,
                ...) __attribute__((format(printf, 5, 6)));

/* The subsystem of the lines below. A file may define it anew. */
#ifndef MARIO_LOG_SUBSYSTEM
#define MARIO_LOG_SUBSYSTEM MARIO_LOG_IN_app
#endif

/* slog_LEVEL[_t][_w](queue, format, ...): _t with the time, _w with the function's name. No newline at the
 * end. */
#define slog_err(q, ...)       mario_log(q, MARIO_LOG_SUBSYSTEM, MARIO_LOG_ERR, 0, 0, __VA_ARGS__)
#define slog_err_t(q, ...)     mario_log(q, MARIO_LOG_SUBSYSTEM, MARIO_LOG_ERR, 1, 0, __VA_ARGS__)
#define slog_err_w(q, ...)     mario_log(q, MARIO_LOG_SUBSYSTEM, MARIO_LOG_ERR, 0, __func__, __VA_ARGS__)
#define slog_err_t_w(q, ...)   mario_log(q, MARIO_LOG_SUBSYSTEM, MARIO_LOG_ERR, 1, __func__, __VA_ARGS__)
#define slog_warn(q, ...)      mario_log(q, MARIO_LOG_SUBSYSTEM, MARIO_LOG_WARN, 0, 0, __VA_ARGS__)
#define slog_warn_t(q, ...)    mario_log(q, MARIO_LOG_SUBSYSTEM, MARIO_LOG_WARN, 1, 0, __VA_ARGS__)
#define slog_warn_w(q, ...)    mario_log(q, MARIO_LOG_SUBSYSTEM, MARIO_LOG_WARN, 0, __func__, __VA_ARGS__)
#define slog_warn_t_w(q, ...)  mario_log(q, MARIO_LOG_SUBSYSTEM, MARIO_LOG_WARN, 1, __func__, __VA_ARGS__)
#define slog_info(q, ...)      mario_log(q, MARIO_LOG_SUBSYSTEM, MARIO_LOG_INFO, 0, 0, __VA_ARGS__)
#define slog_info_t(q, ...)    mario_log(q, MARIO_LOG_SUBSYSTEM, MARIO_LOG_INFO, 1, 0, __VA_ARGS__)
#define slog_info_w(q, ...)    mario_log(q, MARIO_LOG_SUBSYSTEM, MARIO_LOG_INFO, 0, __func__, __VA_ARGS__)
#define slog_info_t_w(q, ...)  mario_log(q, MARIO_LOG_SUBSYSTEM, MARIO_LOG_INFO, 1, __func__, __VA_ARGS__)
#define slog_debug(q, ...)     mario_log(q, MARIO_LOG_SUBSYSTEM, MARIO_LOG_DEBUG, 0, 0, __VA_ARGS__)
#define slog_debug_t(q, ...)   mario_log(q, MARIO_LOG_SUBSYSTEM, MARIO_LOG_DEBUG, 1, 0, __VA_ARGS__)
#define slog_debug_w(q, ...)   mario_log(q, MARIO_LOG_SUBSYSTEM, MARIO_LOG_DEBUG, 0, __func__, __VA_ARGS__)
#define slog_debug_t_w(q, ...) mario_log(q, MARIO_LOG_SUBSYSTEM, MARIO_LOG_DEBUG, 1, __func__, __VA_ARGS__)

#ifdef __cplusplus
}
#endif

#endif
