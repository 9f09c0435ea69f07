/*
 * inject.h: the board of inject.c: which system calls of a server are to fail, when, with which errno, and
 * how often they were called. The test writes what is to fail, at any time; the server counts.
 */
#ifndef PRELOAD_INJECT_H
#define PRELOAD_INJECT_H

#include <stdatomic.h>
#include <stdint.h>

#define INJECT_VARIABLE "MARIO_INJECT" /* names the file; all zero means: nothing fails */
#define INJECT_FOR_EVER UINT32_MAX

/* The calls that can be made to fail. */
#define INJECT_CALLS(ROW) \
    ROW(accept4)          \
    ROW(bind)             \
    ROW(epoll_create1)    \
    ROW(epoll_ctl)        \
    ROW(eventfd)          \
    ROW(listen)           \
    ROW(mmap)             \
    ROW(pipe2)            \
    ROW(pthread_create)   \
    ROW(setsockopt)       \
    ROW(socket)           \
    ROW(timerfd_create)

enum inject_call {
#define ROW(name) INJECT_##name,
    INJECT_CALLS(ROW)
#undef ROW
        INJECT_COUNT
};

/* Call number n (from 1) fails if from != 0 and from <= n < from + times. */
struct inject_row {
    _Atomic uint32_t from;   /* test (w): written last, with release */
    _Atomic uint32_t times;  /* test (w) */
    _Atomic int32_t error;   /* test (w): the errno */
    _Atomic uint32_t calls;  /* server (w): how often it was called */
    _Atomic uint32_t failed; /* server (w): how often it was made to fail */
};

struct inject_board {
    struct inject_row row[INJECT_COUNT];
};

#endif
