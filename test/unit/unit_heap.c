/*
 * unit_heap.c: an allocator that fails when a test wants it. The linker leads the unit tests' calls here, and the
 * library's in them. Any thread, each for itself.
 */
#include "unit.h"

#include <errno.h>
#include <stdlib.h>
#include <sys/mman.h>

#include "mario/base/spans.h"

/* The linker's names. */
void *__real_malloc(size_t n);
void *__real_calloc(size_t n, size_t size);
void *__real_realloc(void *p, size_t n);
void *__real_spans_alloc(size_t n);
void *__real_mmap(void *at, size_t n, int protection, int flags, int fd, off_t offset);
void *__wrap_malloc(size_t n);
void *__wrap_calloc(size_t n, size_t size);
void *__wrap_realloc(void *p, size_t n);
void *__wrap_spans_alloc(size_t n);
void *__wrap_mmap(void *at, size_t n, int protection, int flags, int fd, off_t offset);

static _Thread_local bool failing;
static _Thread_local size_t good_left, refused;

void unit_heap_fail(size_t good)
{
    failing = true;
    good_left = good;
    refused = 0;
}

size_t unit_heap_heal(void)
{
    failing = false;
    return refused;
}

/* True: this one fails. */
static bool fails(void)
{
    if (!failing)
        return false;
    if (good_left > 0) {
        good_left--;
        return false;
    }
    refused++;
    errno = ENOMEM;
    return true;
}

void *__wrap_malloc(size_t n)
{
    return fails() ? NULL : __real_malloc(n);
}

void *__wrap_calloc(size_t n, size_t size)
{
    return fails() ? NULL : __real_calloc(n, size);
}

void *__wrap_realloc(void *p, size_t n)
{
    return fails() ? NULL : __real_realloc(p, n);
}

void *__wrap_mmap(void *at, size_t n, int protection, int flags, int fd, off_t offset)
{
    return fails() ? MAP_FAILED : __real_mmap(at, n, protection, flags, fd, offset);
}

/* Else libssl would have memory while there is none: who gets NULL here asks malloc(). */
void *__wrap_spans_alloc(size_t n)
{
    return failing ? NULL : __real_spans_alloc(n);
}
