/*
 * mem.h: memory for what comes and goes while the server runs: libevent's chains and buffers, and the blocks
 * that hold unfinished packets. Everything else is allocated at start.
 *
 * A thread that has called mem_thread_init() keeps freed blocks on lists of its own, by size class, so that
 * its steady state calls neither malloc nor free. Every block is a plain malloc block, so it may be freed by
 * any thread.
 */
#ifndef MARIO_BASE_MEM_H
#define MARIO_BASE_MEM_H

#include <stdbool.h>
#include <stddef.h>

/* Make libevent use these functions. Before the first call of libevent; once is enough. */
void mem_setup(void);

/* Give the calling thread its lists, and take them back (all blocks are freed); with them a heap of spans.h that it may
 * have. A thread without them uses malloc. */
bool mem_thread_init(void);
void mem_thread_fini(void);

/* As malloc, realloc and free; errno is ENOMEM on failure. mem_room(): the bytes that really fit in a block.
 */
void *mem_alloc(size_t n);
void *mem_realloc(void *p, size_t n);
void mem_free(void *p);
size_t mem_room(void *p);

/* As mem_alloc(), for who looks at the answer: mem_take_failure() does not tell of it. The second is for what stays a
 * while: no larger than asked for, but never from the thread's lists. Both are given back with mem_free(). */
void *mem_try(size_t n);
void *mem_exact(size_t n);

/* Whether an allocation of this thread has failed since the last call. What a function writes goes through
 * libevent, whose error it may not look at: an answer that is missing must not go unnoticed. */
bool mem_take_failure(void);

/* Whether freed blocks are kept to be handed out again. Under a sanitizer they are not: it could not see who uses one
 * that he has given back. */
bool mem_keeps(void);

#endif
