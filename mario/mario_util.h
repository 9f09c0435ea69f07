/*
 * mario_util.h: small helpers for applications.
 */
#ifndef MARIO_UTIL_H
#define MARIO_UTIL_H

#include "mario_types.h"

#ifdef __cplusplus
extern "C" {
#endif

/* Become a daemon as in 0.9.9: fork, a session of its own, SIGHUP and SIGPIPE ignored until init_server() takes them.
 * Working directory and standard streams stay as they are; the calling process exits at once with 0, whatever
 * becomes of the daemon. Before init_server() and before any thread. 0 in the daemon, or -1 with errno if it
 * could not fork; the caller then goes on as it was. */
sint32 run_daemon(void);

/* Become a daemon: own session, working directory /, standard input and output on /dev/null (standard error stays until
 * mario_daemon_ready()). The calling process waits for that word and then exits: 0 if the daemon is ready,
 * otherwise with the daemon's exit code, 128 + n after signal n, so that a failed start is seen by whoever started
 * it. Before init_server() and before any thread. 0 in the daemon, or -1 with errno if there is none. */
sint32 mario_daemon(void);

/* Tell the process that called mario_daemon() that the start went well, and let standard error go to /dev/null.
 * start_server() does it when the server listens. Does nothing in other programs. The thread that called
 * mario_daemon(), or that of start_server(). */
void mario_daemon_ready(void);

/* Install h, which may be SIG_IGN or SIG_DFL, for sig for the whole process, with SA_RESTART. A sig that cannot have
 * one is left alone. Any thread. */
void signal_handler(int sig, void (*h)(int));

/* Sleep ns nanoseconds (at most 4.29 s); s seconds and us microseconds (a second or more of them, too). A signal
 * does not cut them short. Any thread; not in a function, whose worker would wait, unless it is offloaded. */
void nsleep(uint32 ns);
void susleep(uint32 s, uint32 us);

#define MARIO_VERSION "1.0.0"
/* The version of the library that the program runs with; MARIO_VERSION is that of the headers it was built with.
 * Constant text. Any thread. */
const char *mario_version(void);

#ifdef __cplusplus
}
#endif

#endif
