/*
 * complain.h: a line on standard error, for what has no log yet, or none any more. Any thread.
 */
#ifndef MARIO_BASE_COMPLAIN_H
#define MARIO_BASE_COMPLAIN_H

#include <stdbool.h>

/* "mario: ..." and a newline. Returns false, so that a check can end with it. */
bool complain(const char *fmt, ...) __attribute__((format(printf, 1, 2)));

#endif
