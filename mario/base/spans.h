/*
 * spans.h: memory for a great many blocks that come and go together, away from malloc's heap: there they would lie
 * among small ones that stay, and no page would ever be free. What libssl takes for handshakes lies here.
 *
 * A thread says when it is at such work, spans_begin() to spans_end(). It has a heap of its own meanwhile; there are as
 * many heaps as threads have ever been at it at the same time. A block may be given back by any thread at any time.
 * What nobody uses goes back to the kernel at once, but for half a megabyte of each heap or an eighth of what is in
 * use.
 */
#ifndef MARIO_BASE_SPANS_H
#define MARIO_BASE_SPANS_H

#include <stdbool.h>
#include <stddef.h>

#define SPANS_MOST 16384u /* bytes of a block */

/* Reserve addresses for so many bytes of blocks, or as many as there are: no memory. Once, while no other thread is in
 * here. Without it, or if it fails, no block is ever handed out. */
bool spans_setup(size_t size);

/* As malloc, aligned to 16, and at most a sixteenth or 15 bytes larger; but NULL for n > SPANS_MOST, outside of begin
 * and end, and when there is no more. */
void *spans_alloc(size_t n);

/* False: it is no block of spans_alloc(). */
bool spans_free(void *p);

/* The bytes that fit in a block; 0: it is none of these. */
size_t spans_room(const void *p);

/* The work; it may be begun within itself. What runs meanwhile must come back: the heap is nobody else's until then. */
void spans_begin(void);
void spans_end(void);

/* The thread ends, and may have been cancelled at work. */
void spans_thread_fini(void);

/* Bytes of all blocks that are out. While no thread is at work. */
size_t spans_out(void);

#endif
