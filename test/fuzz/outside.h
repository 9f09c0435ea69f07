/*
 * outside.h: what the fuzzed worker gets from outside and the script has to decide.
 */
#ifndef TEST_FUZZ_OUTSIDE_H
#define TEST_FUZZ_OUTSIDE_H

#include <stdint.h>

#include "mario/base/peer.h"

enum { FDS = 128 }; /* descriptors from here on are not used */

/* The n-th allocation from now on fails; 0: none will. */
void outside_starve(uint32_t n);

/* A share of time is over after so many looks at it; 0: never. */
void outside_share(uint32_t looks);

/* The clock goes on. */
void outside_pass(uint32_t ms);

/* What is read next from fd, which is a worker's, begins with an urgent byte. */
void outside_mark(int fd);

/* A connected pair: the client's end, and the worker's, which gets the lowest number there is. */
void outside_pair(int pair[2]);
/* fd is handed to the worker, as a socket with this peer; NULL: it has none. The number is somebody else's again. */
void outside_handed(int fd, const struct peer *peer);
void outside_forget(int fd);
/* How many are open. */
unsigned outside_descriptors(void);

#endif
