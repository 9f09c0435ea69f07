/*
 * common.h: what the conductors of all modes share: complaints, signals, files. Main thread.
 */
#ifndef LOAD_COMMON_H
#define LOAD_COMMON_H

#include <signal.h>
#include <stdint.h>
#include <stdio.h>

#include "options.h"
#include "test/lib/fault.h"

/* Set by SIGINT and SIGTERM once they are caught: the run ends early, with its report. */
extern volatile sig_atomic_t common_interrupted;
void common_catch_signals(void);

/* "mario_load: WHAT: WHY" on standard error. Returns 2, the exit code of what could not start. */
int common_cannot(const char *what, const char *why);

/* ", N: what it is" on standard error for each kind of fault that was counted, then "; " and how to mend the most
 * frequent one. */
void common_complain_faults(const uint64_t *faults);

/* "mario_load: cannot WHAT: why; how to mend it" on standard error, after no connection at all could be made:
 * err is the errno of the first, or 0; then the most frequent fault tells. Returns 2. */
int common_nobody(const char *what, int err, const uint64_t *faults);

/* Let `write` write `what` to the file `path`, "-" for standard output. 0, or 2 after a complaint. */
typedef void (*common_writer)(const void *what, FILE *out);
int common_write(const char *path, common_writer write, const void *what);

/* Where the summary for people goes: standard output, unless a file of -j or --histogram is that. */
FILE *common_summary(const struct load_options *o);

/* A line about the handshakes of TLS, and the same as a part of JSON behind another; nothing if there were none. */
void common_tell_tls(FILE *out);
void common_json_tls(FILE *out);

/* Parts of JSON: "key":"text", and "key":{"refused":0,...}, a count for each kind of fault. */
void common_json_text(FILE *out, const char *key, const char *text);
void common_json_faults(FILE *out, const char *key, const uint64_t *faults);

/* Sleep for `ns`, at most a second; a signal ends it. */
void common_nap(uint64_t ns);

#endif
