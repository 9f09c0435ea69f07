/*
 * machine.c: reading the machine. Main thread. A file that is not there, or is not what it is expected to be, is an
 * answer like others.
 */
#include "machine.h"

#include <errno.h>
#include <fcntl.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/wait.h>
#include <unistd.h>

#include "mario/process/cgroup.h"

enum { FILE_SIZE = 16384, RESOURCE_BIT = 24 /* CAP_SYS_RESOURCE */ };

/* ---- Files ---- */

bool machine_text(const struct machine *m, const char *path, char *text, size_t size)
{
    char full[2 * PATH_MAX];
    size_t have = 0;
    snprintf(full, sizeof full, "%s%s", m->root, path);
    text[0] = '\0';
    int fd = open(full, O_RDONLY | O_CLOEXEC | O_NONBLOCK);
    if (fd < 0)
        return false;
    ssize_t n = 0;
    while (have < size - 1 && (n = read(fd, text + have, size - 1 - have)) > 0)
        have += (size_t) n;
    int err = errno;
    close(fd);
    while (have > 0 && text[have - 1] == '\n')
        have--;
    text[have] = '\0';
    errno = n < 0 ? err : EINVAL;
    return n >= 0 && have > 0;
}

bool machine_numbers(const struct machine *m, const char *path, uint64_t *n, unsigned most, unsigned *count)
{
    char text[FILE_SIZE], *at = text, *end;
    *count = 0;
    if (!machine_text(m, path, text, sizeof text))
        return false;
    for (; *count < most; at = end, (*count)++) {
        errno = 0;
        unsigned long long value = strtoull(at, &end, 10);
        if (end == at || errno != 0)
            break;
        n[*count] = value;
    }
    errno = EINVAL;
    return *count > 0;
}

bool machine_number(const struct machine *m, const char *path, uint64_t *n)
{
    unsigned count;
    return machine_numbers(m, path, n, 1, &count);
}

/* What stands behind NAME at the beginning of a line; NULL if there is none. */
static const char *line_of(const char *text, const char *name)
{
    size_t n = strlen(name);
    for (const char *at = text; at != NULL; at = strchr(at, '\n')) {
        at += *at == '\n';
        if (strncmp(at, name, n) == 0)
            return at + n;
    }
    return NULL;
}

static bool number_of(const char *text, const char *name, int base, uint64_t *n)
{
    const char *at = line_of(text, name);
    char *end;
    if (at == NULL)
        return false;
    *n = strtoull(at, &end, base);
    return end != at;
}

bool machine_field(const struct machine *m, const char *path, const char *name, uint64_t *n)
{
    char text[FILE_SIZE], start[64];
    snprintf(start, sizeof start, "%s:", name);
    if (!machine_text(m, path, text, sizeof text))
        return false;
    errno = EINVAL;
    return number_of(text, start, 10, n);
}

/* How many numbers a list such as "0-3,8" has. */
static uint64_t count_list(const char *list)
{
    uint64_t n = 0;
    char *end;
    for (const char *at = list; *at != '\0' && *at != '\n'; at = end + (*end == ',')) {
        unsigned long from = strtoul(at, &end, 10), to = from;
        if (end == at)
            break;
        if (*end == '-')
            to = strtoul(end + 1, &end, 10);
        n += to >= from && to - from < 65536 ? to - from + 1 : 0;
    }
    return n;
}

/* ---- A process ---- */

/* The hard limit in a line of /proc/PID/limits: NAME SOFT HARD UNIT. */
static bool hard_limit(const char *text, const char *name, uint64_t *n)
{
    const char *at = line_of(text, name);
    char soft[32], hard[32];
    if (at == NULL || sscanf(at, "%31s %31s", soft, hard) != 2)
        return false;
    *n = strcmp(hard, "unlimited") == 0 ? MACHINE_NONE : strtoull(hard, NULL, 10);
    return true;
}

static void look_at_process(struct machine *m)
{
    char path[64], text[FILE_SIZE];
    uint64_t rights = 0;
    snprintf(path, sizeof path, "/proc/%s/limits", m->who);
    errno = EINVAL;
    m->knows_limits = machine_text(m, path, text, sizeof text) &&
                      hard_limit(text, "Max open files", &m->nofile) &&
                      hard_limit(text, "Max processes", &m->threads);
    if (!m->knows_limits)
        snprintf(m->why_not, sizeof m->why_not, "%s: %s", path, strerror(errno));
    snprintf(path, sizeof path, "/proc/%s/status", m->who);
    if (machine_text(m, path, text, sizeof text)) {
        m->may_raise = number_of(text, "CapEff:", 16, &rights) && (rights >> RESOURCE_BIT & 1) != 0;
        const char *list = line_of(text, "Cpus_allowed_list:");
        m->cores = list == NULL ? 0 : count_list(list);
    }
    uint64_t quota = cgroup_limit(m->root, m->who, CGROUP_CORES);
    uint64_t memory = cgroup_limit(m->root, m->who, CGROUP_MEMORY);
    uint64_t pids = cgroup_limit(m->root, m->who, CGROUP_PIDS);
    m->quota = quota != 0 ? quota : MACHINE_NONE;
    m->memory_max = memory != 0 ? memory : MACHINE_NONE;
    m->pids_max = pids != 0 ? pids : MACHINE_NONE;
}

/* ---- A unit ---- */

/* What `systemctl show` says of a unit. False: it cannot be asked. */
static bool show_unit(const char *unit, char *text, size_t size)
{
    int fds[2], status = 0;
    size_t have = 0;
    if (pipe2(fds, O_CLOEXEC) != 0)
        return false;
    pid_t pid = fork();
    if (pid == 0) {
        int null = open("/dev/null", O_WRONLY | O_CLOEXEC);
        dup2(fds[1], STDOUT_FILENO);
        dup2(null, STDERR_FILENO);
        execlp("systemctl", "systemctl", "show", "--property",
               "LoadState,MainPID,LimitNOFILE,LimitNPROC,TasksMax,MemoryMax,CPUQuotaPerSecUSec", "--", unit,
               (char *) NULL);
        _exit(127);
    }
    close(fds[1]);
    for (ssize_t n; pid > 0 && have < size - 1 && (n = read(fds[0], text + have, size - 1 - have)) > 0;)
        have += (size_t) n;
    close(fds[0]);
    text[have] = '\0';
    while (pid > 0 && waitpid(pid, &status, 0) < 0 && errno == EINTR) {
    }
    return pid > 0 && status == 0;
}

/* A property that is a number or "infinity". */
static uint64_t property(const char *text, const char *name)
{
    uint64_t n = MACHINE_NONE;
    return number_of(text, name, 10, &n) ? n : MACHINE_NONE;
}

/* "1.5s" or "800ms" of processor time a second, as cores, rounded up. */
static uint64_t quota_of(const char *text)
{
    const char *at = line_of(text, "CPUQuotaPerSecUSec=");
    double value;
    char unit[8];
    if (at == NULL || sscanf(at, "%lf%7s", &value, unit) != 2 || value <= 0)
        return MACHINE_NONE;
    double cores = strcmp(unit, "ms") == 0 ? value / 1000 : strcmp(unit, "us") == 0 ? value / 1e6 : value;
    return (uint64_t) cores + ((double) (uint64_t) cores < cores);
}

/* The unit's process if it runs, else what it would get. False: there is no such unit. */
static bool look_at_unit(struct machine *m, const char *unit, const char *text)
{
    uint64_t pid = 0;
    char online[256];
    const char *state = line_of(text, "LoadState=");
    if (state == NULL || strncmp(state, "loaded", 6) != 0)
        return false;
    snprintf(m->unit, sizeof m->unit, "%s", unit);
    if (number_of(text, "MainPID=", 10, &pid) && pid != 0) {
        snprintf(m->of, sizeof m->of, "unit %.100s, process %llu", unit, (unsigned long long) pid);
        snprintf(m->who, sizeof m->who, "%llu", (unsigned long long) pid);
        look_at_process(m);
        return true;
    }
    snprintf(m->of, sizeof m->of, "unit %.100s, which does not run", unit);
    m->knows_limits = line_of(text, "LimitNOFILE=") != NULL;
    snprintf(m->why_not, sizeof m->why_not, "systemctl does not say");
    m->nofile = property(text, "LimitNOFILE=");
    m->threads = property(text, "LimitNPROC=");
    m->pids_max = property(text, "TasksMax=");
    m->memory_max = property(text, "MemoryMax=");
    m->quota = quota_of(text);
    if (machine_text(m, "/sys/devices/system/cpu/online", online, sizeof online))
        m->cores = count_list(online);
    return true;
}

bool machine_look(struct machine *m, const char *root, const char *unit, int pid, char *why, size_t size)
{
    char text[FILE_SIZE], path[PATH_MAX + 32];
    *m = (struct machine){.who = "self",
                          .nofile = MACHINE_NONE,
                          .threads = MACHINE_NONE,
                          .quota = MACHINE_NONE,
                          .memory_max = MACHINE_NONE,
                          .pids_max = MACHINE_NONE};
    snprintf(m->root, sizeof m->root, "%s", root);
    if (pid != 0) {
        snprintf(m->who, sizeof m->who, "%d", pid);
        snprintf(m->of, sizeof m->of, "process %d", pid);
        snprintf(path, sizeof path, "/proc/%d/status", pid);
        if (!machine_text(m, path, text, sizeof text)) {
            snprintf(why, size, "--pid %d: %s", pid,
                     errno == ENOENT ? "there is no such process" : strerror(errno));
            return false;
        }
        look_at_process(m);
        return true;
    }
    snprintf(path, sizeof path, "%.*s/run/systemd/system", PATH_MAX - 1, root);
    bool asks = unit != NULL || access(path, F_OK) == 0;
    if (asks && show_unit(unit != NULL ? unit : "maritcp.service", text, sizeof text) &&
        look_at_unit(m, unit != NULL ? unit : "maritcp.service", text))
        return true;
    if (unit != NULL) {
        snprintf(why, size, "--unit %.100s: systemctl knows no such unit", unit);
        return false;
    }
    snprintf(m->of, sizeof m->of, "this shell; --unit NAME or --pid PID takes those of the server");
    look_at_process(m);
    return true;
}
