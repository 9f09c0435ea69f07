/*
 * thread.h: starting a thread of the library.
 */
#ifndef MARIO_BASE_THREAD_H
#define MARIO_BASE_THREAD_H

#include <pthread.h>
#include <signal.h>
#include <stddef.h>

/* With it a thread is asked where it is. Ignored by default, so nothing happens to one that gets it when the handler is
 * gone already. */
#define THREAD_WHERE SIGURG

/* As pthread_create(), with a stack of so many bytes (0 = as usual). TERM, INT and HUP are blocked there whatever the
 * caller's mask is, since they are the master's; faults and THREAD_WHERE are not. All else is inherited,
 * the policy too: the master, whose own is special, starts none. 0 or an errno value. */
int thread_start(pthread_t *thread, size_t stack, void *(*main)(void *), void *arg);

/* In the cleanup handler of a thread that was cancelled or has called pthread_exit(): AddressSanitizer does not see
 * that its frames are gone. Does nothing in other builds. */
void thread_unwound(void);

#endif
