/*
 * heap.h: the board of heap.c: what each thread of a server has asked of the heap, and which allocation is to
 * fail.
 */
#ifndef PRELOAD_HEAP_H
#define PRELOAD_HEAP_H

#include <stdatomic.h>
#include <stdint.h>

#define HEAP_VARIABLE "MARIO_HEAP" /* names the file; all zero means: count only */
#define HEAP_THREADS  64
#define HEAP_FOR_EVER UINT32_MAX

/* One thread's calls since it began. A thread that has ended keeps its row. */
struct heap_thread {
    _Atomic int32_t tid; /* 0: this row and those behind it are not used */
    _Atomic uint64_t
        allocs; /* malloc, calloc, posix_memalign, aligned_alloc, mmap of memory; its thread (w) */
    _Atomic uint64_t reallocs; /* realloc that had a block; its thread (w) */
    _Atomic uint64_t frees;    /* free of a block; its thread (w) */
};

struct heap_board {
    /* Allocation number n (from 1 in main's first line, all threads) fails if from != 0 and from <= n < from
     * + times. */
    _Atomic uint32_t from;  /* test (w): written last, with release */
    _Atomic uint32_t times; /* test (w) */
    _Atomic uint32_t calls; /* server (w): allocations of all threads, reallocs among them */
    _Atomic uint32_t failed;
    _Atomic uint32_t threads; /* rows taken; beyond HEAP_THREADS nothing is counted by thread */
    struct heap_thread thread[HEAP_THREADS];
};

#endif
