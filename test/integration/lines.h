/*
 * lines.h: lines of a server's log, for the suites about it: making some, counting them. Main thread of a test.
 */
#ifndef ITEST_LINES_H
#define ITEST_LINES_H

#include "harness.h"

/* n connections, each of which makes a line at level debug when it ends; every one is served. */
void lines_make(const struct server *s, unsigned n);

/* How many records were dropped, as the log says, all its lines about it together. */
uint64_t lines_dropped(const struct server *s);

/* The lines of a text. */
unsigned lines_in(const char *text);

#endif
