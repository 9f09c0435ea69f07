/*
 * mem.c: memory that comes and goes. Any thread; each works on its own lists, nothing is shared.
 *
 * Size classes are powers of two from 64 B to 128 KB. A block goes to the class its usable size fills, whoever
 * allocated it; a list is bounded, what is beyond goes back to malloc. What is smaller than 64 B malloc gives in its
 * true size. Libevent's entry for a descriptor, which stays for ever, is taken from malloc a page of them at a time:
 * one by one they would lie all over the heap between what comes and goes, and no page of it would ever be free. What
 * malloc got back in a burst goes on to the kernel when it is over (trim.h). Under a sanitizer nothing is kept, so
 * that use after free stays visible.
 */
#include "mario/base/mem.h"

#include <errno.h>
#include <malloc.h>
#include <stdint.h>
#include <stdlib.h>
#include <string.h>

#include <event2/event.h>

#include "mario/base/spans.h"
#include "mario/base/trim.h"

#if defined(__SANITIZE_ADDRESS__) || defined(__SANITIZE_THREAD__)
#define KEEP_BLOCKS 0
#elif defined(__has_feature)
#if __has_feature(address_sanitizer) || __has_feature(thread_sanitizer) || __has_feature(memory_sanitizer)
#define KEEP_BLOCKS 0
#endif
#endif
#ifndef KEEP_BLOCKS
#define KEEP_BLOCKS 1
#endif

enum {
    CLASS_MIN_SHIFT = 6,  /* 64 B */
    CLASS_MAX_SHIFT = 17, /* 128 KB: the chain that libevent takes for the largest packet */
    CLASSES = CLASS_MAX_SHIFT - CLASS_MIN_SHIFT + 1,
    CLASS_KEEP_BYTES = 256 * 1024, /* kept a class and thread; a burst beyond it pays for malloc */
    NOTE_BYTES = 64 * 1024,        /* given back to malloc until that is noted */
    TINY = 24,                     /* bytes of a block of 32 of malloc's */
    TINY_BATCH = 4096 / 32
};

struct block {
    struct block *next;
};

struct mem_lists {
    struct block *free[CLASSES];
    uint32_t kept[CLASSES];
    struct block *tiny;
};

static _Thread_local struct mem_lists *lists;
static _Thread_local bool failed;
static _Thread_local size_t given_back; /* to malloc, and not noted yet */

static unsigned floor_shift(size_t n)
{
    return (unsigned) (63 - __builtin_clzll((unsigned long long) n));
}

bool mem_keeps(void)
{
    return KEEP_BLOCKS;
}

bool mem_thread_init(void)
{
    if (lists == NULL && KEEP_BLOCKS)
        lists = calloc(1, sizeof *lists);
    return lists != NULL || !KEEP_BLOCKS;
}

static void free_all(struct block **list)
{
    while (*list != NULL) {
        struct block *b = *list;
        *list = b->next;
        free(b);
    }
}

void mem_thread_fini(void)
{
    spans_thread_fini();
    if (lists == NULL)
        return;
    for (unsigned i = 0; i < CLASSES; i++)
        free_all(&lists->free[i]);
    free_all(&lists->tiny);
    free(lists);
    lists = NULL;
}

static void *plain_alloc(size_t n)
{
    void *p = malloc(n);
    if (p == NULL)
        errno = ENOMEM;
    return p;
}

bool mem_take_failure(void)
{
    bool answer = failed;
    failed = false;
    return answer;
}

void *mem_exact(size_t n)
{
    return plain_alloc(n);
}

void *mem_try(size_t n)
{
    if (lists == NULL || n < (size_t) 1 << CLASS_MIN_SHIFT || n > (size_t) 1 << CLASS_MAX_SHIFT) {
        return plain_alloc(n);
    }
    unsigned shift = floor_shift(n - 1) + 1;
    unsigned class = shift - CLASS_MIN_SHIFT;
    struct block *b = lists->free[class];
    if (b != NULL) {
        lists->free[class] = b->next;
        lists->kept[class]--;
        return b;
    }
    return plain_alloc((size_t) 1 << shift);
}

void *mem_alloc(size_t n)
{
    void *p = mem_try(n);
    if (p == NULL)
        failed = true;
    return p;
}

void mem_free(void *p)
{
    if (p == NULL)
        return;
    size_t room = lists != NULL ? malloc_usable_size(p) : 0;
    if (room >= (size_t) 1 << CLASS_MIN_SHIFT) {
        unsigned shift = floor_shift(room);
        unsigned class = shift - CLASS_MIN_SHIFT;
        if (shift <= CLASS_MAX_SHIFT && ((size_t) lists->kept[class] + 1) << shift <= CLASS_KEEP_BYTES) {
            struct block *b = p;
            b->next = lists->free[class];
            lists->free[class] = b;
            lists->kept[class]++;
            return;
        }
    }
    free(p);
    given_back += room;
    if (given_back >= NOTE_BYTES) {
        trim_note(given_back);
        given_back = 0;
    }
}

size_t mem_room(void *p)
{
    return p == NULL ? 0 : malloc_usable_size(p);
}

void *mem_realloc(void *p, size_t n)
{
    if (p == NULL)
        return mem_alloc(n);
    size_t room = malloc_usable_size(p);
    if (n <= room && n > room / 2)
        return p;
    void *q = mem_alloc(n);
    if (q == NULL)
        return NULL;
    memcpy(q, p, n < room ? n : room);
    mem_free(p);
    return q;
}

/* False without memory. */
static bool take_tiny_ones(void)
{
    for (int i = 0; i < TINY_BATCH; i++) {
        struct block *b = malloc(TINY);
        if (b == NULL)
            break;
        b->next = lists->tiny;
        lists->tiny = b;
    }
    return lists->tiny != NULL;
}

/* As mem_alloc(). */
static void *event_alloc(size_t n)
{
    if (lists == NULL || n > TINY || (lists->tiny == NULL && !take_tiny_ones()))
        return mem_alloc(n);
    struct block *b = lists->tiny;
    lists->tiny = b->next;
    return b;
}

void mem_setup(void)
{
    event_set_mem_functions(event_alloc, mem_realloc, mem_free);
}
