/*
 * faults.c: signals of faults, and the stacks on which they are handled. Any thread, for itself.
 */
#include "mario/base/faults.h"

#include <pthread.h>
#include <stdlib.h>
#include <sys/auxv.h>
#include <unistd.h>

enum { STACK_SIZE = 64 * 1024 }; /* beside what the kernel puts on it */

const int faults[FAULTS] = {SIGSEGV, SIGBUS, SIGFPE, SIGILL, SIGABRT};

static pthread_once_t once = PTHREAD_ONCE_INIT;
static pthread_key_t stack_key; /* of a thread: its stack, to be freed */
static int no_key = -1;         /* 0 = stack_key can be used */

static void drop_stack(void *stack)
{
    stack_t off = {.ss_flags = SS_DISABLE};
    sigaltstack(&off, NULL);
    free(stack);
}

static void make_key(void)
{
    no_key = pthread_key_create(&stack_key, drop_stack);
}

/* What the kernel puts on it, which depends on the processor's registers. */
static size_t kernels_part(void)
{
#ifdef _SC_MINSIGSTKSZ
    long least = sysconf(_SC_MINSIGSTKSZ);
    return least > 0 ? (size_t) least : 0;
#else
    return getauxval(AT_MINSIGSTKSZ); /* 0 where it is not known, and small */
#endif
}

static void give_stack(void)
{
    stack_t have;
    pthread_once(&once, make_key);
    if (no_key != 0 || sigaltstack(NULL, &have) != 0 || (have.ss_flags & SS_DISABLE) == 0)
        return; /* the application's, or a sanitizer's */
    stack_t mine = {.ss_size = STACK_SIZE + kernels_part()};
    mine.ss_sp = malloc(mine.ss_size);
    if (mine.ss_sp == NULL)
        return; /* the thread can do without, unless its own stack overflows */
    if (pthread_setspecific(stack_key, mine.ss_sp) == 0 && sigaltstack(&mine, NULL) == 0)
        return;
    pthread_setspecific(stack_key, NULL);
    free(mine.ss_sp);
}

void faults_leave_out(sigset_t *set)
{
    for (int i = 0; i < FAULTS; i++)
        sigdelset(set, faults[i]);
}

void faults_thread(void)
{
    sigset_t set;
    sigemptyset(&set);
    for (int i = 0; i < FAULTS; i++)
        sigaddset(&set, faults[i]);
    pthread_sigmask(SIG_UNBLOCK, &set, NULL);
    give_stack();
}
