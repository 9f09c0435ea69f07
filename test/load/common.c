/*
 * common.c: what the conductors of all modes share. Main thread.
 */
#include "common.h"

#include <errno.h>
#include <string.h>
#include <time.h>

#include "test/lib/clock.h"

volatile sig_atomic_t common_interrupted;

static void on_signal(int sig)
{
    (void) sig;
    common_interrupted = 1;
}

void common_catch_signals(void)
{
    signal(SIGINT, on_signal);
    signal(SIGTERM, on_signal);
}

int common_cannot(const char *what, const char *why)
{
    fprintf(stderr, "mario_load: %s: %s\n", what, why);
    return 2;
}

int common_write(const char *path, common_writer write, const void *what)
{
    FILE *f = strcmp(path, "-") == 0 ? stdout : fopen(path, "we");
    if (f == NULL)
        return common_cannot(path, strerror(errno));
    write(what, f);
    int bad = fflush(f) != 0 || ferror(f) != 0;
    if (f != stdout && fclose(f) != 0)
        bad = 1;
    return bad ? common_cannot(path, strerror(errno)) : 0;
}

void common_nap(uint64_t ns)
{
    if (ns >= NS_PER_S)
        ns = NS_PER_S - 1;
    nanosleep(&(struct timespec){.tv_nsec = (long) ns}, NULL);
}
