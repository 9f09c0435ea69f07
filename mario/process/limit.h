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

/* Cores that this process may use, 1 .. MARIO_WORKERNUM_MAX. */
uint32_t limit_cores(void);

#endif
