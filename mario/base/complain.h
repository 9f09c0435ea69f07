/*
 * complain.h: a line on standard error, for what has no log yet, or none any more, and for those who must not be held
 * up: the master, a stop, the parent of a server. Not stdio: its lock may be held by a function that does not return,
 * and a pipe that nobody reads blocks who writes.
 */
#ifndef MARIO_BASE_COMPLAIN_H
#define MARIO_BASE_COMPLAIN_H

#include <stdbool.h>
#include <stddef.h>

enum { COMPLAIN_MAX = 4096 }; /* bytes of a line at most: what a pipe takes whole or not at all */

/* Write "mario: ", the text and a newline to standard error; what does not fit into COMPLAIN_MAX is cut. Nothing is
 * written if that would have to wait. Leaves errno alone. Returns false, so that a check can end with it. Any
 * thread. */
bool complain(const char *fmt, ...) __attribute__((format(printf, 1, 2)));

/* Write these bytes, COMPLAIN_MAX of them at most, whole. False, and nothing of them is there, if that would have to
 * wait or fails. Any thread, signal handlers. */
bool complain_bytes(int fd, const char *line, size_t n);

#endif
