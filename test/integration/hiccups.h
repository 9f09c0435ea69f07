/*
 * hiccups.h: how late this machine runs anybody who wants to run. Tests that judge a time from above give as much more:
 * they are sharp on a quiet machine and hold on a busy one. What happens too early needs none of this.
 */
#ifndef ITEST_HICCUPS_H
#define ITEST_HICCUPS_H

#include <stdint.h>

/* Watch from now on, until the test ends: a thread that sleeps a millisecond, over and over. Once a test, main thread;
 * after far_make(). */
void hiccups_start(void);

/* What a limit of `ns` on a quiet machine is on this one: as it is when nobody had to wait, twice that when somebody
 * had to wait for 4 ms at worst since the start, and so on. Any unit of time. Any thread. */
uint64_t hiccups_allow(uint64_t ns);

#endif
