/*
 * program.h: what harness.c needs of program.c beyond harness.h's itest_run() and itest_program().
 */
#ifndef ITEST_PROGRAM_H
#define ITEST_PROGRAM_H

#include "harness.h"

/* Make a directory below that of the whole run; its path goes to dir. Remove one and the files in it. */
void program_make_dir(char *dir, size_t size);
void program_remove_dir(const char *dir);

/* A whole file as text; the caller frees it. Empty when it cannot be read. */
char *program_slurp(const char *path);

/* Start it. log is the file for -o log.file; standard output and error are appended to the files out and
 * err. */
pid_t program_start(const struct launch *l, const char *log, const char *out, const char *err);

/* Wait for its end until `deadline`. The exit code, 128 + n after signal n, or -1 if it still runs. */
int program_wait(pid_t pid, uint64_t deadline);

/* A child that this process has, but did not start: a daemon whose starter has ended, while this process is a
 * subreaper (PR_SET_CHILD_SUBREAPER). 0 if there is none. */
pid_t program_orphan(void);

#endif
