/*
 * thread.c: starting a thread of the library. Any thread.
 */
#include "mario/base/thread.h"

#include <signal.h>

#include "mario/base/faults.h"

static void set_mask(sigset_t *old)
{
    static const int blocked[] = {SIGTERM, SIGINT, SIGHUP};
    sigset_t mask;
    pthread_sigmask(SIG_SETMASK, NULL, &mask);
    for (size_t i = 0; i < sizeof blocked / sizeof blocked[0]; i++)
        sigaddset(&mask, blocked[i]);
    faults_leave_out(&mask);
    sigdelset(&mask, THREAD_WHERE);
    pthread_sigmask(SIG_SETMASK, &mask, old);
}

int thread_start(pthread_t *thread, size_t stack, void *(*main)(void *), void *arg)
{
    pthread_attr_t attr;
    sigset_t old;
    int err = pthread_attr_init(&attr);
    if (err != 0)
        return err;
    if (stack != 0)
        pthread_attr_setstacksize(&attr, stack);
    set_mask(&old);
    err = pthread_create(thread, &attr, main, arg);
    pthread_sigmask(SIG_SETMASK, &old, NULL);
    pthread_attr_destroy(&attr);
    return err;
}
