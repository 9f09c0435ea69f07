/*
 * clock.h: the clients' clocks, in nanoseconds; monotonic where nothing else is said. Any thread.
 */
#ifndef TEST_CLOCK_H
#define TEST_CLOCK_H

#include <stdint.h>
#include <time.h>

#define NS_PER_S  1000000000ull
#define NS_PER_MS 1000000ull
#define NS_PER_US 1000ull

/* Nanoseconds since some fixed point; never goes back. */
static inline uint64_t mono_ns(void)
{
    struct timespec t;
    clock_gettime(CLOCK_MONOTONIC, &t);
    return (uint64_t) t.tv_sec * NS_PER_S + (uint64_t) t.tv_nsec;
}

/* The time of day, in which the kernel stamps what arrives. */
static inline uint64_t real_ns(void)
{
    struct timespec t;
    clock_gettime(CLOCK_REALTIME, &t);
    return (uint64_t) t.tv_sec * NS_PER_S + (uint64_t) t.tv_nsec;
}

/* CPU time the calling thread has used so far, user and system. */
static inline uint64_t thread_cpu_ns(void)
{
    struct timespec t;
    clock_gettime(CLOCK_THREAD_CPUTIME_ID, &t);
    return (uint64_t) t.tv_sec * NS_PER_S + (uint64_t) t.tv_nsec;
}

/* The same of all threads of this process. */
static inline uint64_t process_cpu_ns(void)
{
    struct timespec t;
    clock_gettime(CLOCK_PROCESS_CPUTIME_ID, &t);
    return (uint64_t) t.tv_sec * NS_PER_S + (uint64_t) t.tv_nsec;
}

/* Whole milliseconds from now until `until` for poll(2), rounded up; 0 when it has passed. */
static inline int ms_left(uint64_t until)
{
    uint64_t now = mono_ns();
    return now >= until ? 0 : (int) ((until - now + NS_PER_MS - 1) / NS_PER_MS);
}

#endif
