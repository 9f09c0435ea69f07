/*
 * mario_util.h: small helpers for applications.
 */
#ifndef MARIO_UTIL_H
#define MARIO_UTIL_H

#include "mario_types.h"

#ifdef __cplusplus
extern "C" {
#endif

/* Become a daemon: own session, working directory /, standard input and output on /dev/null (standard error
 * stays until mario_daemon_ready()). The calling process waits for that word and then exits: 0 if the daemon
 * is ready, otherwise with the daemon's exit code, so that a failed start is seen by whoever started it. Call
 * it before init_server() and before any thread. Returns 0 in the daemon, -1 if it could not fork. */
sint32 run_daemon(void);

/* Tell the process that called run_daemon() that the start went well, and let standard error go to /dev/null.
 * start_server() does it when the server listens. Does nothing outside a daemon. */
void mario_daemon_ready(void);

/* Install h for sig for the whole process, with SA_RESTART. Any thread. */
void signal_handler(int sig, void (*h)(int));

/* Sleep ns nanoseconds; s seconds and us microseconds. A signal does not cut them short. Never in a function.
 */
void nsleep(uint32 ns);
void susleep(uint32 s, uint32 us);

#define MARIO_VERSION "1.0.0"
/* The library's version, e.g. "1.0.0". */
const char *mario_version(void);

#ifdef __cplusplus
}
#endif

#endif
