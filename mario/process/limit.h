/*
 * limit.h: the descriptor limit and the cores of this process. For the thread that makes the server.
 */
#ifndef MARIO_PROCESS_LIMIT_H
#define MARIO_PROCESS_LIMIT_H

#include <stdint.h>

/* Descriptors that are open now. */
uint64_t limit_open_descriptors(void);

/* Raise the soft limit as far as it may: to the hard one, and with the privilege beyond, if that is wanted.
 * The limit that holds then. */
uint64_t limit_raise(uint64_t wanted);

/* Have the kernel make the table for so many descriptors now. Once there are threads it has to wait for all processors
 * each time that it doubles it, tens of milliseconds in which whoever accepts stands still. Without the memory, or
 * beyond the limit, nothing happens. */
void limit_reserve(uint64_t descriptors);

/* Cores that this process may use, by its affinity and by its cgroups' quota, 1 .. MARIO_WORKERNUM_MAX. root is
 * cgroup_cores()'s, "" but for a test. */
uint32_t limit_cores(const char *root);

#endif
