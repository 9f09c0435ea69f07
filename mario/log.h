/*
 * log.h: what the library needs of the log beyond mario_log.h.
 */
#ifndef MARIO_LOG_PRIVATE_H
#define MARIO_LOG_PRIVATE_H

#include <stdatomic.h>
#include <stdbool.h>

#include "mario_log.h"

/* Have the log thread close and open the log file again (rotation). Any thread, also a signal handler. */
void log_reopen(void);

/* Take a queue out of the log thread's round and free it. What it still holds is dropped and counted: flush
 * first. The queue's thread must have ended. *q is nulled; it may be NULL. */
void log_queue_destroy(LOG_QUEUE **q);

/* Whether lines of this level are recorded at all. Any thread. */
bool log_wants(enum mario_log_level level);

/* At most a few lines a second of one kind in the whole process: a flood is counted and said in one line. Any
 * thread. */
struct log_limit {
    _Atomic uint64_t state;     /* the second << 32 | lines written in it */
    _Atomic uint32_t held_back; /* lines not written since the last one that was */
};

/* Whether a line of this kind may be written now. *held_back is how many were not written before this one. */
bool log_limit_pass(struct log_limit *l, uint32_t lines_a_second, uint32_t *held_back);

#endif
