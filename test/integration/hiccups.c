/*
 * hiccups.c: a thread that notes how late it runs. Started by the main thread of a test, ends with the process.
 */
#include "hiccups.h"

#include <pthread.h>
#include <stdatomic.h>

#include "harness.h"

enum { SHARE_MS = 4 }; /* about what one busy neighbour costs */

static _Atomic uint64_t worst; /* ns; the thread (w) -> any (r) */

static void *hiccups_main(void *arg)
{
    (void) arg;
    for (;;) {
        uint64_t began = mono_ns();
        itest_sleep(1);
        uint64_t late = mono_ns() - began - NS_PER_MS;
        if (late > worst)
            worst = late;
    }
    return NULL;
}

void hiccups_start(void)
{
    pthread_t thread;
    ck_assert_msg(pthread_create(&thread, NULL, hiccups_main, NULL) == 0, "no thread");
    pthread_detach(thread);
}

uint64_t hiccups_allow(uint64_t ns)
{
    return ns + (uint64_t) ((double) ns * ((double) worst / (SHARE_MS * NS_PER_MS)));
}
