/*
 * trim.c: giving memory back to the kernel when a burst is over. trim_main() is the thread; trim_note() is for any.
 *
 *     any thread  freed, then the bell  ->  the thread
 *
 * malloc_trim() holds the lock of one arena after the other while the kernel takes the pages, some milliseconds for
 * a hundred megabytes. A worker that calls malloc() in that time waits; that is why the thread waits for calm, and
 * why it is neither a worker nor the master. It runs as all threads do, not with less right to a core: it holds a
 * lock that others may want.
 */
#include "mario/base/trim.h"

#include <errno.h>
#include <malloc.h>
#include <poll.h>
#include <pthread.h>
#include <stdint.h>
#include <unistd.h>

#include "mario/base/clock.h"
#include "mario/base/doorbell.h"
#include "mario/base/faults.h"
#include "mario/base/thread.h"

enum {
    WORTH_SHIFT = 23,    /* 8 MB freed are worth a look */
    CALM_MS = 1000,      /* in which less than CALM_BYTES are freed */
    PATIENCE_MS = 300000 /* a server that is never calm is trimmed as often */
};

#define CALM_BYTES (UINT64_C(1) << (WORTH_SHIFT - 3))
#define STACK_SIZE (128u * 1024)

enum { BELL_FREED, BELL_STOP };

static struct doorbell bell = {.fd = -1};
static pthread_t thread;
static _Atomic uint64_t freed; /* by all threads, ever */

void trim_note(size_t bytes)
{
    uint64_t before = atomic_fetch_add_explicit(&freed, bytes, memory_order_relaxed);
    if (before >> WORTH_SHIFT != (before + bytes) >> WORTH_SHIFT && bell.fd >= 0)
        doorbell_ring(&bell, BELL_FREED);
}

/* Wait at most timeout_ms (-1: for ever) for the bell. False: it is time to end. */
static bool doze(int timeout_ms)
{
    uint64_t count;
    struct pollfd p = {.fd = bell.fd, .events = POLLIN};
    if (poll(&p, 1, timeout_ms) > 0)
        (void) !read(bell.fd, &count, sizeof count); /* poll() knows no edges */
    return (doorbell_answer(&bell) >> BELL_STOP & 1) == 0;
}

static bool await_calm(void)
{
    uint64_t until = clock_ms() + PATIENCE_MS, before,
             now = atomic_load_explicit(&freed, memory_order_relaxed);
    do {
        uint64_t calm = clock_ms() + CALM_MS;
        before = now;
        for (uint64_t t; (t = clock_ms()) < calm;) {
            if (!doze((int) (calm - t)))
                return false;
        }
        now = atomic_load_explicit(&freed, memory_order_relaxed);
    } while (now - before >= CALM_BYTES && clock_ms() < until);
    return true;
}

static void *trim_main(void *arg)
{
    (void) arg;
    faults_thread();
    while (doze(-1) && await_calm()) {
#ifdef __GLIBC__
        malloc_trim(0);
#endif
    }
    return NULL;
}

int trim_start(void)
{
    if (!doorbell_init(&bell))
        return errno;
    int err = thread_start(&thread, STACK_SIZE, trim_main, NULL);
    if (err != 0)
        doorbell_fini(&bell);
    return err;
}

void trim_stop(void)
{
    if (bell.fd < 0)
        return;
    doorbell_ring(&bell, BELL_STOP);
    pthread_join(thread, NULL);
    doorbell_fini(&bell);
}
