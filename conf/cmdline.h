/*
 * cmdline.h: maritcp's command line. Main thread, before anything else.
 */
#ifndef MARITCP_CMDLINE_H
#define MARITCP_CMDLINE_H

#include <stdbool.h>

#include "mario/mario_types.h"

struct cmdline {
    const char *file; /* -c, else the default file if it exists, else NULL */
    char **overrides; /* -o and -S, in order; the strings are argv's or constant */
    uint32 override_count;
    bool test;   /* -t */
    bool daemon; /* -d */
};

/* Read the command line; what only prints (-h, -V, --print-sample, --print-manual) is done here.
 * Returns -1 if the program is to go on, else the exit code; a mistake is said in one line on standard error.
 * Afterwards, whatever it returned, cmdline_fini(). */
sint32 cmdline_init(struct cmdline *cmd, int argc, char **argv) __attribute__((warn_unused_result, nonnull));
void cmdline_fini(struct cmdline *cmd) __attribute__((nonnull));

/* The configuration file without -c: the default one if it exists, else NULL. */
const char *cmdline_default_file(void);

/* Flush standard output. Returns 0, or 1 with a line on standard error if it could not be written. */
sint32 cmdline_flush(void);

#endif
