/*
 * format.h: a record as a line. The log thread alone: it keeps the last second's local time.
 */
#ifndef MARIO_LOG_FORMAT_H
#define MARIO_LOG_FORMAT_H

#include <stddef.h>
#include <time.h>

#include "mario/log/record.h"

enum {
    LOG_LINE_SIZE = 8192, /* the longest line, formatted: JSON of nothing but control characters */
    LOG_CONN_SIZE = 40,
    LOG_PEER_SIZE = 64
};

enum log_style {
    LOG_STYLE_TEXT, /* a line of text, with a newline */
    LOG_STYLE_JSON, /* a JSON object and a newline */
    LOG_STYLE_BODY  /* text without time and level, for who adds them */
};

/* Write r to out (LOG_LINE_SIZE bytes) and a NUL. With `repeated` it says how often r came again. Returns the
 * length. */
size_t log_format(enum log_style style, const struct log_record *r, uint64_t repeated, char *out);

/* The connection and its peer in words, "" when there is none. */
void log_format_who(const struct log_record *r, char conn[LOG_CONN_SIZE], char peer[LOG_PEER_SIZE]);

/* A number that grows with each local day. */
int log_format_day(time_t second);

extern const char *const log_level_names[];     /* as conf and JSON write them */
extern const char *const log_subsystem_names[]; /* [MARIO_LOG_SUBSYSTEM_COUNT] */

#endif
