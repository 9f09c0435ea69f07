/*
 * sink.h: where the log's lines go: a file, standard output, syslog. Opening is for any thread; a struct
 * log_sink belongs to the log thread.
 */
#ifndef MARIO_LOG_SINK_H
#define MARIO_LOG_SINK_H

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>
#include <time.h>

#include "mario/mario_log.h"

enum { LOG_PATH_SIZE = 4096, LOG_OUT_SIZE = 64 * 1024, LOG_OUT_LINES = 512, LOG_NOTE_SIZE = 256 };

struct log_record;

enum log_target_kind { LOG_TARGET_STDOUT, LOG_TARGET_FILE, LOG_TARGET_SYSLOG };

struct log_target {
    enum log_target_kind kind;
    int fd;       /* ours; -1 when it is not open */
    int facility; /* of syslog(3) */
    char path[LOG_PATH_SIZE];
};

struct log_settings {
    enum mario_log_format format;
    uint32_t rotate_size, keep;
    bool rotate_daily;
};

/* ---- target.c. Any thread ---- */

/* What a text names; fd is -1 then. False with what is wrong in why. */
__attribute__((warn_unused_result)) bool log_target_parse(struct log_target *t, const char *text, char *why,
                                                          size_t size);
/* Open it, t->fd is the new descriptor. False with errno; t->fd is as it was. May take its time on a hanging
 * disk, but never waits for a reader of a pipe. */
__attribute__((warn_unused_result)) bool log_target_open(struct log_target *t);
/* One datagram to syslogd; when it has gone away and come back it is found again. 0 or an errno value. Waits a
 * second at most. The log thread. */
int log_target_syslog(struct log_target *t, const struct log_record *r, const char *text, size_t len);
/* The socket syslogd listens on; a test may change it. */
extern const char *log_syslog_path;

/* ---- sink.c. The log thread ---- */

/* Lines on their way: all to one descriptor. */
struct log_out {
    int fd;
    bool to_log; /* to the log file, not raw text for a descriptor */
    uint32_t count;
    size_t used;
    struct {
        uint32_t end;    /* where the line ends */
        uint32_t weight; /* records lost if it is */
    } lines[LOG_OUT_LINES];
    char text[LOG_OUT_SIZE];
};

struct log_sink {
    struct log_target target;
    struct log_settings set;
    bool regular;             /* the target is a regular file: what follows is about it */
    bool torn;                /* its last line is not whole */
    uint64_t size;            /* bytes in it */
    int day;                  /* since it was written to, as log_format_day() counts; 0: never */
    time_t reopen_at;         /* not before: it is gone and cannot be made */
    time_t rotate_at;         /* not before: it cannot be rotated */
    int error;                /* errno of the last write to the log; 0: it went well */
    uint64_t lost;            /* records, taken away by who reads it */
    char note[LOG_NOTE_SIZE]; /* something to be said in the log, taken away by who says it */
    struct log_out out;
};

/* Add a line of the log, or raw text for a descriptor; written when there is enough or at the flush. */
void log_sink_line(struct log_sink *s, const struct log_record *r, const char *line, size_t len,
                   uint32_t weight);
void log_sink_raw(struct log_sink *s, int fd, const char *text, size_t len);
/* Write what has been added. False if some of it is lost. */
bool log_sink_flush(struct log_sink *s);
/* Go over to another target, opened; the old one is closed. */
void log_sink_take(struct log_sink *s, const struct log_target *t);
/* Open the target again. False, with a note, if that fails; the old one is kept. */
bool log_sink_reopen(struct log_sink *s);

#endif
