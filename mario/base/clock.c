/*
 * clock.c: how fast the processor's counter runs. For the thread that makes the server.
 */
#include "mario/base/clock.h"

enum { SAMPLE_NS = 200000, SAMPLE_LOOKS = 100000 };

/* A guess, for where the clock cannot be believed: it stands still, or jumps. */
uint64_t clock_cycles_ms = 2000000;

#ifdef CLOCK_HAS_CYCLES
enum { SLOWEST = 1000, FASTEST = 20000000 }; /* 1 MHz, 20 GHz */

void clock_setup(void)
{
    uint64_t began = clock_ns(), counted = clock_cycles(), passed = 0;
    for (int i = 0; passed < SAMPLE_NS && i < SAMPLE_LOOKS; i++)
        passed = clock_ns() - began;
    counted = clock_cycles() - counted;
    uint64_t measured = passed >= SAMPLE_NS ? counted * 1000000 / passed : 0;
    if (measured >= SLOWEST && measured <= FASTEST)
        clock_cycles_ms = measured;
}
#else
void clock_setup(void)
{
    clock_cycles_ms = 1000000;
}
#endif
