/*
 * log_cost.c: what a log call costs who makes it: `make bench-log`. One thread calls, the library's log thread
 * writes; each call is timed by itself, the clock's own cost included. A row is one way to call:
 *
 *     busy      back to back, a pause before the queue is full
 *     paced     one call every 200 us, as in a server with work to do
 *     idle      one call after every 1.2 s of silence: caches are cold, the log thread rests
 *     function  as paced, for a connection: with its id and peer in the record
 *     hanging   paced, into a pipe that nobody reads: at first recorded, then dropped
 *
 * Exit code 1 when a median is above 1 us; that of idle is shown, but too few to judge.
 */
#include "mario/mario.h"

#include <fcntl.h>
#include <stdatomic.h>
#include <sys/stat.h>

#include "mario/log/log.h"
#include "test/lib/clock.h"

enum { BUSY_ROUNDS = 200, BUSY_BURST = 100, PACED_CALLS = 5000, IDLE_CALLS = 5, LIMIT_NS = 1000 };

static uint64_t times[BUSY_ROUNDS * BUSY_BURST];
static LOG_QUEUE *queue;

static bool on_connection(struct log_who *who)
{
    *who =
        (struct log_who){.worker = 3, .slot = 70000, .generation = 12, .peer = LOG_PEER_IPV4, .port = 4711};
    memcpy(who->address, "\x7f\0\0\1", 4);
    return true;
}

static uint64_t call(int i)
{
    uint64_t start = mono_ns();
    slog_info_t(queue, "user %d has logged in, %d of %s", i, 1000 + i, "all");
    return mono_ns() - start;
}

static int compare(const void *a, const void *b)
{
    uint64_t x = *(const uint64_t *) a, y = *(const uint64_t *) b;
    return (x > y) - (x < y);
}

/* Print the row of times[0 .. n-1]. True if its median is within the limit. */
static bool report(const char *name, size_t n, uint64 dropped)
{
    qsort(times, n, sizeof times[0], compare);
    printf("%-10s %8zu calls  median %6llu ns  99 %% %7llu ns  slowest %8llu ns  dropped %llu\n", name, n,
           (unsigned long long) times[n / 2], (unsigned long long) times[n * 99 / 100],
           (unsigned long long) times[n - 1], (unsigned long long) dropped);
    return times[n / 2] <= LIMIT_NS;
}

static bool busy(void)
{
    uint64 dropped = mario_log_dropped();
    for (int i = 0; i < BUSY_ROUNDS; i++) {
        for (int j = 0; j < BUSY_BURST; j++)
            times[i * BUSY_BURST + j] = call(j);
        mario_log_flush(1000);
    }
    return report("busy", BUSY_ROUNDS * BUSY_BURST, mario_log_dropped() - dropped);
}

static bool paced(const char *name)
{
    uint64 dropped = mario_log_dropped();
    for (int i = 0; i < PACED_CALLS; i++) {
        susleep(0, 200);
        times[i] = call(i);
    }
    return report(name, PACED_CALLS, mario_log_dropped() - dropped);
}

static void idle(void)
{
    uint64 dropped = mario_log_dropped();
    for (int i = 0; i < IDLE_CALLS; i++) {
        susleep(1, 200000);
        times[i] = call(i);
    }
    report("idle", IDLE_CALLS, mario_log_dropped() - dropped);
}

int main(void)
{
    char dir[] = "/tmp/mario_log_cost.XXXXXX", file[64], fifo[64];
    if (mkdtemp(dir) == NULL)
        return 2;
    snprintf(file, sizeof file, "%s/log", dir);
    snprintf(fifo, sizeof fifo, "%s/fifo", dir);
    int reader = mkfifo(fifo, 0600) == 0 ? open(fifo, O_RDONLY | O_NONBLOCK | O_CLOEXEC) : -1;
    queue = create_log_queue();
    if (reader < 0 || queue == NULL || mario_log_open(file) != 0 || start_log_thread() != 0) {
        perror("log_cost");
        return 2;
    }
    bool ok = busy();
    ok = paced("paced") && ok;
    log_context = on_connection;
    ok = paced("function") && ok;
    log_context = NULL;
    idle();
    ok = mario_log_open(fifo) == 0 && paced("hanging") && ok;
    unlink(file);
    unlink(fifo);
    rmdir(dir);
    if (!ok)
        printf("log_cost: a median is above %d ns\n", LIMIT_NS);
    return ok ? 0 : 1;
}
