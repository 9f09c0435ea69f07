/*
 * hold.h: the conductor of mode hold. Main thread.
 */
#ifndef LOAD_HOLD_H
#define LOAD_HOLD_H

#include "options.h"

/* Open, hold, call the roll, close and report. tty: standard error is a terminal. Returns the exit code. */
int hold_run(const struct load_options *o, int tty);

#endif
