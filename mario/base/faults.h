/*
 * faults.h: the signals that the kernel sends to a thread which does what it must not. A thread that blocks them is
 * killed by them unheard, so no thread of the library does.
 */
#ifndef MARIO_BASE_FAULTS_H
#define MARIO_BASE_FAULTS_H

#include <signal.h>

#define FAULTS 5
extern const int faults[FAULTS]; /* SIGSEGV, SIGBUS, SIGFPE, SIGILL, SIGABRT */

/* Take them out of a set, which is to be blocked. Any thread. */
void faults_leave_out(sigset_t *set);

/* What every thread of the library does first: let them through, and give their handler a stack of its own, so that
 * it can say that the thread's overflowed. The stack is taken back when the thread ends. A thread that has one
 * keeps it. */
void faults_thread(void);

#endif
