/*
 * schedule.h: which trouble comes next, and when: drawn from the seed alone. One that needs what another has
 * waits, and those behind it wait too, so that the order stays the same whatever the machine does. Main thread.
 */
#ifndef SOAK_SCHEDULE_H
#define SOAK_SCHEDULE_H

#include "soak.h"

bool schedule_knows(const char *kind);
/* Troubles of all kinds, or of this one. Each is noted in the file if there is one. Ends the process when that
 * cannot be written. */
void schedule_begin(uint64_t seed, const char *kind, const char *notes);
/* Go on with those that last, and begin the next if its time has come and `more` are wanted. True when there is
 * none any more. */
bool schedule_turn(struct soak *s, bool more);
/* When this is, and after which trouble, for messages. */
void schedule_where(char *text, size_t size);
/* Print how many there were of each kind. */
void schedule_report(void);

#endif
