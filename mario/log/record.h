/*
 * record.h: one record of the log, as it lies in a queue. Private to the log.
 */
#ifndef MARIO_LOG_RECORD_H
#define MARIO_LOG_RECORD_H

#include "mario/log/log.h"

enum {
    LOG_RECORD_SIZE = 1024,
    LOG_NAME_SIZE = 16,
    LOG_TO_FILE = -1 /* record.fd of what is for the log file */
};

struct log_record {
    uint64_t when;    /* CLOCK_REALTIME in ns; not set in raw text, like all that follows but fd and len */
    const char *func; /* a string literal, or NULL */
    int fd;           /* LOG_TO_FILE or a descriptor: raw text */
    uint8_t level;
    uint8_t subsystem;
    bool with_time;
    bool with_who;
    struct log_who who;
    char thread[LOG_NAME_SIZE]; /* set by the log thread, from the queue */
    uint16_t len;
    char text[]; /* len bytes and a NUL; for the file without a newline at the end */
};

#define LOG_TEXT_SIZE (LOG_RECORD_SIZE - sizeof(struct log_record))

#endif
