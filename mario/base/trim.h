/*
 * trim.h: giving memory back to the kernel when a burst is over.
 *
 * free() keeps what it gets for the next malloc(), and most of it for good if something small lies above it: a server
 * that thousands of unfinished packets have left would go on holding their room. So a thread of its own has all that is
 * free given back, a little later. It sleeps until enough has been freed, and costs nothing until then.
 */
#ifndef MARIO_BASE_TRIM_H
#define MARIO_BASE_TRIM_H

#include <stddef.h>

/* Start the thread, and end it. Before the first thread that calls trim_note(), and after the last. 0, or an errno. */
__attribute__((warn_unused_result)) int trim_start(void);
void trim_stop(void);

/* So many bytes have been freed. Any thread; a few instructions, and now and then a write to an eventfd. */
void trim_note(size_t bytes);

#endif
