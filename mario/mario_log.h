/*
 * mario_log.h: lock-free logging.
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

/* A new queue for the calling thread (or for one thread that it is handed to). NULL without memory. It lives
 * until the process ends. Workers have one already: c->owner->qlog. */
LOG_QUEUE *create_log_queue(void);

/* Start the log thread, once; queues may be filled before. 0, or -1 (no thread, no memory). */
sint32 start_log_thread(void);

/* Where log lines go: a path, opened for appending and created with mode 0640, or "-" for standard output
 * (the default). What was recorded before still goes to the old target; that may take up to a second, so not
 * from a business function. Any other thread. 0, or -1 with errno set when it cannot be opened; the old
 * target then stays. */
sint32 mario_log_open(const char *path);

/* Lines above this level are not recorded. Any thread. Default MARIO_LOG_INFO. */
void mario_log_level(enum mario_log_level level);

/* Wait until everything recorded so far is written, at most timeout_ms. Any thread but the log thread.
 * 0, or -1 when the time ran out or no log thread runs. */
sint32 mario_log_flush(uint32 timeout_ms);

/* Records lost because a queue was full, or because the log file could not be written. Any thread. */
uint64 mario_log_dropped(void);

/* Record one line of raw text for file descriptor fd (1 = standard output, 2 = standard error, or any open
 * one); nothing is added to it. Lines over 900 bytes are cut. Only the queue's own thread. Returns the length
 * recorded, or -1 if it was dropped. */
sint32 record_log(LOG_QUEUE *q, int fd, const char *fmt, ...) __attribute__((format(printf, 3, 4)));

/* Record one line for the log file. func may be NULL. Only the queue's own thread. Use the names below. */
void mario_slog(LOG_QUEUE *q, enum mario_log_level level, int with_time, const char *func, const char *fmt,
                ...) __attribute__((format(printf, 5, 6)));

/* slog_LEVEL[_t][_w](queue, format, ...): _t with the time, _w with the function's name. No newline at the
 * end. */
#define slog_err(q, ...)      mario_slog(q, MARIO_LOG_ERR, 0, 0, __VA_ARGS__)
#define slog_err_t(q, ...)    mario_slog(q, MARIO_LOG_ERR, 1, 0, __VA_ARGS__)
#define slog_err_w(q, ...)    mario_slog(q, MARIO_LOG_ERR, 0, __func__, __VA_ARGS__)
#define slog_err_t_w(q, ...)  mario_slog(q, MARIO_LOG_ERR, 1, __func__, __VA_ARGS__)
#define slog_warn(q, ...)     mario_slog(q, MARIO_LOG_WARN, 0, 0, __VA_ARGS__)
#define slog_warn_t(q, ...)   mario_slog(q, MARIO_LOG_WARN, 1, 0, __VA_ARGS__)
#define slog_warn_w(q, ...)   mario_slog(q, MARIO_LOG_WARN, 0, __func__, __VA_ARGS__)
#define slog_warn_t_w(q, ...) mario_slog(q, MARIO_LOG_WARN, 1, __func__, __VA_ARGS__)
#define slog_info(q, ...)     mario_slog(q, MARIO_LOG_INFO, 0, 0, __VA_ARGS__)
#define slog_info_t(q, ...)   mario_slog(q, MARIO_LOG_INFO, 1, 0, __VA_ARGS__)
#define slog_info_w(q, ...)   mario_slog(q, MARIO_LOG_INFO, 0, __func__, __VA_ARGS__)
#define slog_info_t_w(q, ...) mario_slog(q, MARIO_LOG_INFO, 1, __func__, __VA_ARGS__)

#ifdef __cplusplus
}
#endif

#endif
