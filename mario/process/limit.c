/*
 * limit.c: the descriptor limit and the cores of this process. Runs on the thread that makes the server,
 * before there are others.
 */
#include "mario/process/limit.h"

#include <dirent.h>
#include <fcntl.h>
#include <limits.h>
#include <sched.h>
#include <stddef.h>
#include <sys/resource.h>
#include <sys/stat.h>
#include <unistd.h>

#include "mario/process/cgroup.h"
#include "mario/mario_server.h"

uint64_t limit_open_descriptors(void)
{
    uint64_t n = 0;
    struct stat st;
    if (stat("/proc/self/fd", &st) == 0 && st.st_size > 0)
        return (uint64_t)
            st.st_size; /* since Linux 6.2; a million would take a quarter of a second to count */
    DIR *d = opendir("/proc/self/fd");
    if (d == NULL)
        return 16;
    while (readdir(d) != NULL)
        n++;
    closedir(d);
    return n - 3; /* . and .. and the directory itself */
}

uint64_t limit_raise(uint64_t wanted)
{
    struct rlimit r;
    if (getrlimit(RLIMIT_NOFILE, &r) != 0)
        return 1024;
    if (wanted > r.rlim_max) {
        struct rlimit more = {.rlim_cur = wanted, .rlim_max = wanted};
        if (setrlimit(RLIMIT_NOFILE, &more) == 0)
            return wanted;
    }
    struct rlimit most = {.rlim_cur = r.rlim_max, .rlim_max = r.rlim_max};
    if (r.rlim_cur < r.rlim_max && setrlimit(RLIMIT_NOFILE, &most) == 0)
        return r.rlim_max;
    return r.rlim_cur;
}

void limit_reserve(uint64_t descriptors)
{
    int fd = open("/dev/null", O_RDONLY | O_CLOEXEC);
    if (fd < 0)
        return;
    int last =
        descriptors > 1 && descriptors <= INT_MAX ? fcntl(fd, F_DUPFD_CLOEXEC, (int) descriptors - 1) : -1;
    if (last >= 0)
        close(last);
    close(fd);
}

uint32_t limit_cores(const char *root)
{
    cpu_set_t set;
    int n = sched_getaffinity(0, sizeof set, &set) == 0 ? CPU_COUNT(&set) : 1;
    uint32_t cores = n < 1 ? 1 : (uint32_t) n, quota = cgroup_cores(root);
    if (quota != 0 && quota < cores)
        cores = quota;
    return cores > MARIO_WORKERNUM_MAX ? MARIO_WORKERNUM_MAX : cores;
}
