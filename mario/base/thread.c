/*
 * thread.c: starting a thread of the library. Any thread.
 */
#include "mario/base/thread.h"

#include <signal.h>

#include "mario/base/faults.h"

#if defined(__has_feature)
#if __has_feature(address_sanitizer)
#define HAS_ASAN 1
#endif
#endif
#if defined(__SANITIZE_ADDRESS__) || defined(HAS_ASAN)
#include <sanitizer/asan_interface.h>
#endif

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

#if defined(__SANITIZE_ADDRESS__) || defined(HAS_ASAN)
void thread_unwound(void)
{
    pthread_attr_t attr;
    void *low;
    size_t size;
    if (pthread_getattr_np(pthread_self(), &attr) != 0)
        return;
    char *here = __builtin_frame_address(0);
    if (pthread_attr_getstack(&attr, &low, &size) == 0 && here > (char *) low)
        __asan_unpoison_memory_region(low, (size_t) (here - (char *) low));
    pthread_attr_destroy(&attr);
}
#else
void thread_unwound(void)
{
}
#endif
