/*
 * clock.c: preloaded into a server, makes its clocks jump: those that clock_gettime(), gettimeofday() and time()
 * read, the monotonic one too. Every function runs on whatever thread calls it. The board is shared with the
 * test, see clock.h.
 */
#include "test/preload/clock.h"

#include <stdbool.h>
#include <sys/syscall.h>
#include <sys/time.h>
#include <time.h>

#include "test/preload/board.h"

static struct clock_board *board; /* NULL: the clocks are right */

__attribute__((constructor)) static void begin(void)
{
    board = board_find(CLOCK_VARIABLE, sizeof *board);
}

int clock_gettime(clockid_t id, struct timespec *t)
{
    long rc = syscall(SYS_clock_gettime, id, t);
    if (rc == 0 && board != NULL && id != CLOCK_THREAD_CPUTIME_ID && id != CLOCK_PROCESS_CPUTIME_ID) {
        atomic_fetch_add(&board->asked, 1);
        bool wall = id == CLOCK_REALTIME || id == CLOCK_REALTIME_COARSE;
        t->tv_sec += atomic_load(wall ? &board->wall_s : &board->run_s);
    }
    return (int) rc;
}

int gettimeofday(struct timeval *restrict t, void *restrict zone)
{
    struct timespec now;
    (void) zone;
    clock_gettime(CLOCK_REALTIME, &now);
    *t = (struct timeval){.tv_sec = now.tv_sec, .tv_usec = now.tv_nsec / 1000};
    return 0;
}

time_t time(time_t *t)
{
    struct timespec now;
    clock_gettime(CLOCK_REALTIME, &now);
    if (t != NULL)
        *t = now.tv_sec;
    return now.tv_sec;
}
