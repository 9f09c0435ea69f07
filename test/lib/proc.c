/*
 * proc.c: reads /proc and the kernel's clocks of other processes. Any thread.
 */
#include "proc.h"

#include <inttypes.h>
#include <stdio.h>
#include <string.h>
#include <unistd.h>

#include "clock.h"

/* The first line of a file; 0, or -1. */
static int read_line(const char *path, char *line, int size)
{
    FILE *f = fopen(path, "re");
    if (f == NULL)
        return -1;
    char *got = fgets(line, size, f);
    fclose(f);
    return got == NULL ? -1 : 0;
}

/* A clock's number has room for 29 bits of a pid, and a larger one would name another clock; the kernel's pids end
 * at 2^22. */
int proc_cpu_ns(pid_t pid, uint64_t *ns)
{
    if (pid <= 0 || pid > 1 << 22)
        return -1;
    clockid_t clock;
    struct timespec t;
    if (clock_getcpuclockid(pid, &clock) != 0 || clock_gettime(clock, &t) != 0)
        return -1;
    *ns = (uint64_t) t.tv_sec * NS_PER_S + (uint64_t) t.tv_nsec;
    return 0;
}

uint64_t proc_number(const char *path)
{
    char line[64];
    uint64_t n;
    return read_line(path, line, sizeof line) == 0 && sscanf(line, "%" SCNu64, &n) == 1 ? n : UINT64_MAX;
}

struct proc_kernel proc_kernel(void)
{
    struct proc_kernel k = {0};
    char line[256];
    uint64_t pages;
    FILE *f = fopen("/proc/meminfo", "re");
    while (f != NULL && fgets(line, sizeof line, f) != NULL && k.slab_kb == 0)
        if (sscanf(line, "Slab: %" SCNu64, &k.slab_kb) != 1)
            k.slab_kb = 0;
    if (f != NULL)
        fclose(f);
    f = fopen("/proc/net/sockstat", "re");
    while (f != NULL && fgets(line, sizeof line, f) != NULL)
        if (sscanf(line, "TCP: inuse %*u orphan %*u tw %" SCNu64 " alloc %" SCNu64 " mem %" SCNu64,
                   &k.time_wait, &k.tcp_sockets, &pages) == 3)
            k.tcp_kb = pages * ((uint64_t) sysconf(_SC_PAGESIZE) / 1024);
    if (f != NULL)
        fclose(f);
    return k;
}

uint64_t proc_rss_kb(pid_t pid)
{
    char path[64], line[256];
    uint64_t pages;
    snprintf(path, sizeof path, "/proc/%d/statm", (int) pid);
    if (read_line(path, line, sizeof line) != 0 || sscanf(line, "%*u %" SCNu64, &pages) != 1)
        return 0;
    return pages * ((uint64_t) sysconf(_SC_PAGESIZE) / 1024);
}
