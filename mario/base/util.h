/*
 * util.h: what the library needs of util.c beyond mario_util.h.
 */
#ifndef MARIO_BASE_UTIL_H
#define MARIO_BASE_UTIL_H

/* Open those of the descriptors 0, 1 and 2 that are closed on /dev/null, so that no socket or file of ours
 * gets their numbers and then what is meant for a terminal. Before threads start. */
void util_fill_standard(void);

/* Ignore the signals that writing can raise, PIPE and XFSZ, unless the application handles them: what raises them is
 * an errno of the write then. Each process that writes, before it does. */
void util_ignore_write_signals(void);

#endif
