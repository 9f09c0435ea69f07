/*
 * push.h: the conductor of mode push. Main thread.
 */
#ifndef LOAD_PUSH_H
#define LOAD_PUSH_H

#include "options.h"

/* Join, speak, hear and report. tty: standard error is a terminal. Returns the exit code. */
int push_run(const struct load_options *o, int tty);

#endif
