/*
 * minutes.h: what the server holds and how fast it is, minute by minute, and whether that changes. Main thread.
 */
#ifndef SOAK_MINUTES_H
#define SOAK_MINUTES_H

#include "neighbours.h"

/* A minute begins; in it, look several times a second. */
void minutes_begin(void);
void minutes_look(struct soak *s);
/* It ends; there is no trouble, and nobody is connected but the neighbours. Prints its line. */
void minutes_end(struct soak *s);
/* Judge them all: complains about a server that grows or gets slower. */
void minutes_judge(struct soak *s);

#endif
