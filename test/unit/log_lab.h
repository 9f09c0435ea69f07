/*
 * log_lab.h: what the tests of the log share: a directory, a queue and a log thread for each test, and looking at
 * what was written. A process has one log, so each test needs a process of its own (check's fork mode).
 */
#ifndef LOG_LAB_H
#define LOG_LAB_H

#include "mario/log/log.h"
#include "mario/log/sink.h"
#include "unit.h"

#undef MARIO_LOG_SUBSYSTEM
#define MARIO_LOG_SUBSYSTEM MARIO_LOG_IN_app /* tests are applications */

enum { FLUSH_MS = 5000 * UNIT_SLOW };

extern char lab_dir[64];  /* of this test alone */
extern char lab_path[80]; /* the log file in it */
extern LOG_QUEUE *lab_queue;
extern struct mario_log_options lab_options; /* defaults, with target lab_path */

/* A test case in s with all that. */
TCase *lab_case(Suite *s, const char *name, unsigned seconds);

/* Start the log thread with lab_options; wait until all is written. */
void lab_start(void);
void lab_flush(void);

/* The path of a file beside the log; static text, of which four are kept. */
const char *lab_beside(const char *suffix);
/* All of a file, "" if there is none; static text, of which two are kept. */
const char *lab_contents(const char *file);
/* Send standard error to a file, whose path is given back. */
const char *lab_catch_stderr(void);
/* Wait until a file has a text, at most ms * UNIT_SLOW. */
bool lab_wait_for(const char *file, const char *what, unsigned ms);
/* How often a text is in another; that it is there at all. */
unsigned lab_count(const char *text, const char *what);
void lab_must_have(const char *text, const char *what);

#endif
