/*
 * cgroup.c: the quota of processor time, and limits of memory and threads. A container with one core of quota on a
 * machine of 64 may run on all of them, but not for long: more threads than the quota has cores are stopped together
 * for the rest of each period. Any thread.
 *
 * Where a limit is said takes two files: /proc/PID/cgroup has the process's path in each hierarchy, and
 * /proc/self/mountinfo where a hierarchy, or the part of it that a container is shown, is mounted.
 */
#include "mario/process/cgroup.h"

#include <fcntl.h>
#include <limits.h>
#include <stdbool.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

enum { LINE_SIZE = 2 * PATH_MAX };

/* v1 has a hierarchy for each, by this name. */
static const char *const controllers[] = {
    [CGROUP_CORES] = "cpu", [CGROUP_MEMORY] = "memory", [CGROUP_PIDS] = "pids"};

/* One of the two hierarchies that can have a limit. */
struct hierarchy {
    bool is_v2;
    enum cgroup_limit limit;
    char path[PATH_MAX];  /* the process's in it, or "" */
    char top[PATH_MAX];   /* the part of it that is mounted */
    char mount[PATH_MAX]; /* where, or "" */
};

/* ---- Where ---- */

/* Whether word is in list, which has commas between. */
static bool has_word(const char *list, const char *word)
{
    size_t n = strlen(word);
    for (const char *at = list; (at = strstr(at, word)) != NULL; at += n) {
        if ((at == list || at[-1] == ',') && (at[n] == '\0' || at[n] == ','))
            return true;
    }
    return false;
}

/* A line of /proc/self/cgroup: ID:CONTROLLERS:PATH; v2 has the id 0 and no controllers. */
static void read_path(struct hierarchy *h, char *line)
{
    char *names = strchr(line, ':'), *path = names != NULL ? strchr(names + 1, ':') : NULL;
    if (path == NULL)
        return;
    *path++ = '\0';
    bool fits = h->is_v2 ? strcmp(line, "0:") == 0 : has_word(names + 1, controllers[h->limit]);
    if (fits)
        snprintf(h->path, sizeof h->path, "%s", path);
}

/* A line of /proc/self/mountinfo: ID PARENT DEVICE TOP MOUNT OPTIONS ... - TYPE SOURCE OPTIONS. */
static void read_mount(struct hierarchy *h, char *line)
{
    char top[PATH_MAX], mount[PATH_MAX], type[32], options[256];
    const char *rest = strstr(line, " - ");
    if (rest == NULL || sscanf(rest, " - %31s %*s %255s", type, options) != 2 ||
        sscanf(line, "%*s %*s %*s %4095s %4095s", top, mount) != 2 || h->mount[0] != '\0')
        return;
    bool fits = h->is_v2 ? strcmp(type, "cgroup2") == 0
                         : strcmp(type, "cgroup") == 0 && has_word(options, controllers[h->limit]);
    if (!fits)
        return;
    memcpy(h->top, top, sizeof top);
    memcpy(h->mount, mount, sizeof mount);
}

static void each_line(const char *root, const char *file, struct hierarchy *h,
                      void (*f)(struct hierarchy *, char *line))
{
    char path[PATH_MAX + 64], line[LINE_SIZE];
    snprintf(path, sizeof path, "%s%s", root, file);
    FILE *in = fopen(path, "re");
    while (in != NULL && fgets(line, sizeof line, in) != NULL) {
        line[strcspn(line, "\n")] = '\0';
        f(h, line);
    }
    if (in != NULL)
        fclose(in);
}

/* ---- How much ---- */

/* The first line of DIR/FILE. False if there is none. */
static bool read_line(const char *dir, const char *file, char line[64])
{
    char path[2 * PATH_MAX + 64];
    snprintf(path, sizeof path, "%s/%s", dir, file);
    int fd = open(path, O_RDONLY | O_CLOEXEC);
    ssize_t n = fd < 0 ? -1 : read(fd, line, 63);
    if (fd >= 0)
        close(fd);
    line[n > 0 ? n : 0] = '\0';
    return n > 0;
}

static uint64_t cores_of(long long quota, long long period)
{
    if (quota <= 0 || period <= 0)
        return 0; /* -1: no quota */
    long long cores = quota / period + (quota % period != 0);
    return cores > INT_MAX ? 0 : (uint64_t) cores;
}

/* A single number; "max", and what v1 says instead, the largest number of whole pages, are no limit. */
static uint64_t number_in(const char *dir, const char *file)
{
    char line[64];
    long long n = read_line(dir, file, line) ? strtoll(line, NULL, 10) : 0;
    return n <= 0 || n > LLONG_MAX / 2 ? 0 : (uint64_t) n;
}

static uint64_t quota_in(const struct hierarchy *h, const char *dir)
{
    char line[64], period[64];
    long long of = 0;
    if (h->is_v2) /* "max 100000", "150000 100000" */
        return read_line(dir, "cpu.max", line) && sscanf(line, "%*s %lld", &of) == 1
                   ? cores_of(strtoll(line, NULL, 10), of)
                   : 0;
    return read_line(dir, "cpu.cfs_quota_us", line) && read_line(dir, "cpu.cfs_period_us", period)
               ? cores_of(strtoll(line, NULL, 10), strtoll(period, NULL, 10))
               : 0;
}

/* What one directory allows, 0 = it says nothing. */
static uint64_t limit_in(const struct hierarchy *h, const char *dir)
{
    switch (h->limit) {
    case CGROUP_CORES:
        return quota_in(h, dir);
    case CGROUP_MEMORY:
        return number_in(dir, h->is_v2 ? "memory.max" : "memory.limit_in_bytes");
    default:
        return number_in(dir, "pids.max");
    }
}

/* The least of what the process's directory and those above it allow, as far as they are mounted. */
static uint64_t least_of(const struct hierarchy *h, const char *root)
{
    char dir[2 * PATH_MAX];
    uint64_t least = 0;
    size_t top = strcmp(h->top, "/") == 0 ? 0 : strlen(h->top);
    bool inside = strncmp(h->path, h->top, top) == 0 && (h->path[top] == '/' || h->path[top] == '\0');
    if (h->mount[0] == '\0' || h->path[0] == '\0')
        return 0;
    int mount = snprintf(dir, sizeof dir, "%s%s", root, h->mount);
    if (mount < 0 || (size_t) mount >= sizeof dir)
        return 0;
    snprintf(dir + mount, sizeof dir - (size_t) mount, "%s", inside ? h->path + top : "");
    for (;;) {
        uint64_t here = limit_in(h, dir);
        if (here != 0 && (least == 0 || here < least))
            least = here;
        char *slash = strrchr(dir + mount, '/');
        if (slash == NULL)
            return least;
        *slash = '\0';
    }
}

uint64_t cgroup_limit(const char *root, const char *who, enum cgroup_limit limit)
{
    struct hierarchy h;
    char path[64];
    uint64_t tightest = 0;
    snprintf(path, sizeof path, "/proc/%.24s/cgroup", who);
    for (int v2 = 0; v2 <= 1; v2++) {
        memset(&h, 0, sizeof h);
        h.is_v2 = v2 != 0;
        h.limit = limit;
        each_line(root, path, &h, read_path);
        each_line(root, "/proc/self/mountinfo", &h, read_mount);
        uint64_t here = least_of(&h, root);
        if (here != 0 && (tightest == 0 || here < tightest))
            tightest = here;
    }
    return tightest;
}

uint32_t cgroup_cores(const char *root)
{
    return (uint32_t) cgroup_limit(root, "self", CGROUP_CORES);
}
