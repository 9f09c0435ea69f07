/*
 * log.h: what the library needs of the log beyond mario_log.h. A file that includes it logs for subsystem
 * `server`, unless it defines MARIO_LOG_SUBSYSTEM anew behind its includes.
 */
#ifndef MARIO_LOG_LOG_H
#define MARIO_LOG_LOG_H

#include <stdatomic.h>
#include <stdbool.h>
#include <stdint.h>

#include "mario/mario_log.h"

#undef MARIO_LOG_SUBSYSTEM
#define MARIO_LOG_SUBSYSTEM MARIO_LOG_IN_server

/* Have the log thread close and open the log file again (rotation). Any thread, also a signal handler. */
void log_reopen(void);

/* Whether all that the queue's thread has recorded was handed on, or there is no log thread. Its thread has ended. */
bool log_queue_is_read(const LOG_QUEUE *q);
/* Take a queue out of the log thread's round and free it. What it still holds is dropped and counted: flush
 * first. The queue's thread must have ended. *q is nulled; it may be NULL. */
void log_queue_destroy(LOG_QUEUE **q);

/* Whether lines of this subsystem and level are recorded at all. Any thread. */
bool log_wants_in(enum mario_log_subsystem subsystem, enum mario_log_level level);
/* The same for the subsystem of the file it stands in. */
#define log_wants(level) log_wants_in(MARIO_LOG_SUBSYSTEM, level)

/* The connection that a record is about. */
enum log_peer { LOG_PEER_NONE, LOG_PEER_IPV4, LOG_PEER_IPV6, LOG_PEER_UNIX };
struct log_who {
    uint32_t worker, slot, generation;
    unsigned char address[16]; /* the first 4 of IPv4; network order */
    uint16_t port;             /* network order */
    uint8_t peer;              /* enum log_peer */
};

/* How the log learns for which connection the calling thread works: asked by each call that records a line
 * for the log file. Each thread sets its own, NULL (the default) is none. True with *who filled, false if it
 * works for none; it must not log and leaves errno alone. */
extern _Thread_local bool (*log_context)(struct log_who *who);

/* Record one line with its time that is about a connection, whoever works. The queue's own thread. */
void log_about(LOG_QUEUE *q, enum mario_log_subsystem subsystem, enum mario_log_level level,
               const struct log_who *who, const char *fmt, ...) __attribute__((format(printf, 5, 6)));

/* At most a few lines a second of one kind in the whole process: a flood is counted and said in one line. Any
 * thread. */
struct log_limit {
    _Atomic uint64_t state;     /* the second << 32 | lines written in it */
    _Atomic uint32_t held_back; /* lines not written since the last one that was */
};

/* Whether a line of this kind may be written now. *held_back is how many were not written before this one. */
bool log_limit_pass(struct log_limit *l, uint32_t lines_a_second, uint32_t *held_back);

/* What follows a line of which `held_back` more were not written: " (3 more since the last line)", or nothing. */
struct log_more {
    char text[48];
};
struct log_more log_more(uint32_t held_back);

#endif
