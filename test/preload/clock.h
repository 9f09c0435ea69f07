/*
 * clock.h: the board of clock.c: by how much the clocks of a server have jumped.
 */
#ifndef PRELOAD_CLOCK_H
#define PRELOAD_CLOCK_H

#include <stdatomic.h>
#include <stdint.h>

#define CLOCK_VARIABLE "MARIO_CLOCK" /* names the file */

struct clock_board {
    _Atomic int64_t wall_s; /* test (w): added to what the time of day says, seconds */
    _Atomic int64_t run_s;  /* test (w): added to the monotonic clocks; it must not go back */
    _Atomic uint64_t asked; /* server (w): times a clock was read */
};

#endif
