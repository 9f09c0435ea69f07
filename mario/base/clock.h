/*
 * clock.h: the monotonic clock; and the processor's counter, which costs a third of it and says about how long a
 * piece of work took. Any thread.
 */
#ifndef MARIO_BASE_CLOCK_H
#define MARIO_BASE_CLOCK_H

#include <stdint.h>
#include <time.h>

static inline uint64_t clock_ns(void)
{
    struct timespec t;
    clock_gettime(CLOCK_MONOTONIC, &t);
    return (uint64_t) t.tv_sec * 1000000000u + (uint64_t) t.tv_nsec;
}

static inline uint64_t clock_ms(void)
{
    return clock_ns() / 1000000;
}

static inline time_t clock_seconds(void)
{
    return (time_t) (clock_ns() / 1000000000u);
}

/* What the calling thread has used of a processor so far: a system call. */
static inline uint64_t clock_thread_ns(void)
{
    struct timespec t;
    clock_gettime(CLOCK_THREAD_CPUTIME_ID, &t);
    return (uint64_t) t.tv_sec * 1000000000u + (uint64_t) t.tv_nsec;
}

/* ---- The counter ---- */

#if defined(__x86_64__) || defined(__i386__)
#define CLOCK_HAS_CYCLES 1
static inline uint64_t clock_cycles(void)
{
    return __builtin_ia32_rdtsc();
}
#elif defined(__aarch64__)
#define CLOCK_HAS_CYCLES 1
static inline uint64_t clock_cycles(void)
{
    uint64_t v;
    __asm__ volatile("mrs %0, cntvct_el0" : "=r"(v));
    return v;
}
#else
static inline uint64_t clock_cycles(void)
{
    return clock_ns();
}
#endif

/* How far it has counted since; 0 if it seems to have gone back, as from one processor to another. */
static inline uint64_t clock_cycles_since(uint64_t began)
{
    uint64_t now = clock_cycles();
    return (int64_t) (now - began) > 0 ? now - began : 0;
}

/* About how far it counts in a millisecond. Constant after clock_setup(). */
extern uint64_t clock_cycles_ms;

/* So many cycles in ns. */
static inline uint64_t clock_cycles_to_ns(uint64_t cycles)
{
    return cycles / clock_cycles_ms * 1000000 + cycles % clock_cycles_ms * 1000000 / clock_cycles_ms;
}

/* Measure that; takes some tenths of a millisecond. Before threads start. */
void clock_setup(void);

#endif
