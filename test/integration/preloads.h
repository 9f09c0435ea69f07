/*
 * preloads.h: the boards that a test shares with the libraries of test/preload/. Main thread of a test; a
 * board lives until the test's process ends.
 */
#ifndef ITEST_PRELOADS_H
#define ITEST_PRELOADS_H

#include "test/preload/clock.h"
#include "test/preload/heap.h"
#include "test/preload/inject.h"

#define PRELOAD_ENV 64

/* A new board, all zero, and in env the "NAME=value" to start the server with (launch.env). Start it with
 * launch.preload "inject", "heap" or "clock". Fails the test when it cannot be made. */
struct inject_board *preload_inject(char env[PRELOAD_ENV]);
struct heap_board *preload_heap(char env[PRELOAD_ENV]);
struct clock_board *preload_clock(char env[PRELOAD_ENV]);

/* Let call number `from` (from 1, since the start) and those behind it fail, `times` of them; from 0: let
 * nothing fail. */
void inject_set(struct inject_board *b, enum inject_call call, int error, uint32_t from, uint32_t times);
/* The same, beginning with the next call. */
void inject_next(struct inject_board *b, enum inject_call call, int error, uint32_t times);
/* As above for allocations, of all threads together. */
void heap_set(struct heap_board *b, uint32_t from, uint32_t times);

/* "accept4", ... */
const char *inject_name(enum inject_call call);

#endif
