/*
 * proc.c: reads /proc. Any thread.
 */
#include "proc.h"

#include <dirent.h>
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

static uint64_t sum_schedstat(pid_t pid)
{
    char path[64 + NAME_MAX], line[256];
    snprintf(path, sizeof path, "/proc/%d/task", (int) pid);
    DIR *dir = opendir(path);
    if (dir == NULL)
        return 0;
    uint64_t sum = 0;
    for (struct dirent *e; (e = readdir(dir)) != NULL;) {
        uint64_t ns;
        if (e->d_name[0] == '.')
            continue;
        snprintf(path, sizeof path, "/proc/%d/task/%s/schedstat", (int) pid, e->d_name);
        if (read_line(path, line, sizeof line) == 0 && sscanf(line, "%" SCNu64, &ns) == 1)
            sum += ns;
    }
    closedir(dir);
    return sum;
}

/* The command in brackets may hold blanks and brackets: fields are counted from the last one. */
static int read_stat(pid_t pid, uint64_t *ns)
{
    char path[64], line[1024];
    uint64_t user, sys;
    snprintf(path, sizeof path, "/proc/%d/stat", (int) pid);
    if (read_line(path, line, sizeof line) != 0)
        return -1;
    const char *p = strrchr(line, ')');
    if (p == NULL ||
        sscanf(p + 1, " %*c %*d %*d %*d %*d %*d %*u %*u %*u %*u %*u %" SCNu64 " %" SCNu64, &user, &sys) != 2)
        return -1;
    *ns = (user + sys) * (NS_PER_S / (uint64_t) sysconf(_SC_CLK_TCK));
    return 0;
}

int proc_cpu_ns(pid_t pid, uint64_t *ns)
{
    *ns = sum_schedstat(pid);
    return *ns != 0 ? 0 : read_stat(pid, ns);
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
