/*
 * checks_machine.c: checks of memory, threads, cores and clock, and of what has overflowed already. Pure.
 */
#include "check.h"

#include <errno.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

enum {
    POOL_BYTES = 256, /* of a connection: what is reserved at start */
    SOON_DAYS = 14    /* a certificate should be renewed by then */
};

#define WHY(f, ...) snprintf((f)->why, sizeof(f)->why, __VA_ARGS__)

/* ---- Memory ---- */

static void want_memory(const struct plan *plan, struct finding *f)
{
    snprintf(f->wanted, sizeof f->wanted, "%s, and up to %s", check_bytes(plan->bytes).text,
             check_bytes(plan->bytes_all).text);
    WHY(f,
        "%llu connections at %llu bytes here%s and 4.5 KB in the kernel; more while push.memory is full and one in a "
        "thousand does not read (output.max, tcp_wmem)",
        (unsigned long long) plan->connections, (unsigned long long) plan->bytes_each,
        plan->has_tls ? " (tls.records)" : "");
}

void check_memory(const struct plan *plan, const struct machine *m, struct finding *f)
{
    uint64_t total, available;
    want_memory(plan, f);
    if (!machine_field(m, "/proc/meminfo", "MemTotal", &total) ||
        !machine_field(m, "/proc/meminfo", "MemAvailable", &available)) {
        check_unread(f, "/proc/meminfo");
        return;
    }
    total *= 1024;
    available *= 1024;
    snprintf(f->found, sizeof f->found, "%s, of which %s are free", check_bytes(total).text,
             check_bytes(available).text);
    if (plan->bytes_all <= available)
        return;
    f->verdict = plan->bytes > total ? VERDICT_FAIL : VERDICT_WARN;
    snprintf(f->todo, sizeof f->todo,
             "lower server.connnum, output.max or push.memory, or take a larger machine");
}

void check_cgroup_memory(const struct plan *plan, const struct machine *m, struct finding *f)
{
    want_memory(plan, f);
    if (m->memory_max == MACHINE_NONE) {
        snprintf(f->found, sizeof f->found, "no limit");
        return;
    }
    snprintf(f->found, sizeof f->found, "%s", check_bytes(m->memory_max).text);
    if (plan->bytes_all <= m->memory_max)
        return;
    f->verdict = plan->bytes > m->memory_max ? VERDICT_FAIL : VERDICT_WARN;
    if (m->unit[0] != '\0')
        snprintf(f->todo, sizeof f->todo, "systemctl edit %s   # [Service] MemoryMax=%lluM", m->unit,
                 (unsigned long long) (plan->bytes_all >> 20) + 1);
    else
        snprintf(f->todo, sizeof f->todo, "raise its memory.max, MemoryMax= or --memory to %lluM",
                 (unsigned long long) (plan->bytes_all >> 20) + 1);
}

void check_overcommit(const struct plan *plan, const struct machine *m, struct finding *f)
{
    uint64_t mode, limit, used, wanted = plan->connections * POOL_BYTES;
    WHY(f,
        "places of connections are reserved at start and taken when used; with vm.overcommit_memory = 2 they count at "
        "once");
    snprintf(f->wanted, sizeof f->wanted, "0 or 1, or %s to be had", check_bytes(wanted).text);
    if (!machine_number(m, "/proc/sys/vm/overcommit_memory", &mode)) {
        check_unread(f, "/proc/sys/vm/overcommit_memory");
        return;
    }
    snprintf(f->found, sizeof f->found, "%llu", (unsigned long long) mode);
    if (mode != 2)
        return;
    if (!machine_field(m, "/proc/meminfo", "CommitLimit", &limit) ||
        !machine_field(m, "/proc/meminfo", "Committed_AS", &used)) {
        check_unread(f, "/proc/meminfo");
        return;
    }
    uint64_t rest = limit > used ? (limit - used) * 1024 : 0;
    snprintf(f->found, sizeof f->found, "2, %s to be had", check_bytes(rest).text);
    if (wanted <= rest)
        return;
    f->verdict = VERDICT_FAIL;
    snprintf(f->todo, sizeof f->todo, "sysctl -w vm.overcommit_memory=0");
    snprintf(f->sysctl, sizeof f->sysctl, "vm.overcommit_memory = 0");
}

void check_huge_pages(const struct plan *plan, const struct machine *m, struct finding *f)
{
    static const char path[] = "/sys/kernel/mm/transparent_hugepage/enabled";
    char text[128];
    (void) plan;
    WHY(f,
        "with always a first touch takes 2 MB instead of 4 KB, and the kernel stops threads to make room for more");
    snprintf(f->wanted, sizeof f->wanted, "madvise or never");
    if (!machine_text(m, path, text, sizeof text)) {
        if (errno != ENOENT) {
            check_unread(f, path);
            return;
        }
        snprintf(f->found, sizeof f->found, "none");
        return;
    }
    const char *from = strchr(text, '[');
    size_t n = from != NULL ? strcspn(from + 1, "]") : 0;
    snprintf(f->found, sizeof f->found, "%.*s", n > 0 ? (int) n : 60, n > 0 ? from + 1 : text);
    if (strcmp(f->found, "madvise") == 0 || strcmp(f->found, "never") == 0)
        return;
    f->verdict = VERDICT_WARN;
    snprintf(f->todo, sizeof f->todo, "echo madvise > %s", path);
}

void check_swap(const struct plan *plan, const struct machine *m, struct finding *f)
{
    char text[512];
    uint64_t swappiness = 0;
    (void) plan;
    WHY(f,
        "a page of a quiet connection that lies on a disk stops its worker, and all of that one's connections");
    snprintf(f->wanted, sizeof f->wanted, "none, or vm.swappiness at most 10");
    if (!machine_text(m, "/proc/swaps", text, sizeof text)) {
        check_unread(f, "/proc/swaps");
        return;
    }
    if (strchr(text, '\n') == NULL) { /* only the head of the table */
        snprintf(f->found, sizeof f->found, "none");
        return;
    }
    if (!machine_number(m, "/proc/sys/vm/swappiness", &swappiness)) {
        check_unread(f, "/proc/sys/vm/swappiness");
        return;
    }
    snprintf(f->found, sizeof f->found, "on, vm.swappiness %llu", (unsigned long long) swappiness);
    if (swappiness <= 10)
        return;
    f->verdict = VERDICT_WARN;
    snprintf(f->todo, sizeof f->todo,
             "sysctl -w vm.swappiness=1   # or swapoff -a; MemorySwapMax=0 for the unit");
    snprintf(f->sysctl, sizeof f->sysctl, "vm.swappiness = 1");
}

/* ---- Threads and cores ---- */

void check_threads(const struct plan *plan, const struct machine *m, struct finding *f)
{
    uint64_t twice = plan->threads + plan->workers + plan->conf->server.offload_threads;
    uint64_t allowed = m->pids_max < m->threads ? m->pids_max : m->threads;
    snprintf(f->wanted, sizeof f->wanted, "%llu, and %llu when all are replaced",
             (unsigned long long) plan->threads, (unsigned long long) twice);
    WHY(f,
        "workers, threads for functions that may block, and some more; one that is stuck gets a successor");
    if (!m->knows_limits) {
        f->verdict = VERDICT_WARN;
        snprintf(f->found, sizeof f->found, "not known: %s", m->why_not);
        return;
    }
    if (allowed == MACHINE_NONE)
        snprintf(f->found, sizeof f->found, "no limit");
    else
        snprintf(f->found, sizeof f->found, "%llu (%s)", (unsigned long long) allowed,
                 m->pids_max < m->threads ? "pids.max of its cgroup" : "processes of its user");
    if (allowed >= twice)
        return;
    f->verdict = allowed < plan->threads ? VERDICT_FAIL : VERDICT_WARN;
    if (m->unit[0] != '\0')
        snprintf(f->todo, sizeof f->todo, "systemctl edit %s   # [Service] %s=%llu", m->unit,
                 m->pids_max < m->threads ? "TasksMax" : "LimitNPROC", (unsigned long long) twice * 2);
    else
        snprintf(f->todo, sizeof f->todo, "%s%llu",
                 m->pids_max < m->threads ? "--pids-limit, TasksMax= of " : "ulimit -u ",
                 (unsigned long long) twice * 2);
}

void check_cores(const struct plan *plan, const struct machine *m, struct finding *f)
{
    bool by_quota = m->quota != MACHINE_NONE && (m->cores == 0 || m->quota < m->cores);
    uint64_t cores = by_quota ? m->quota : m->cores;
    snprintf(f->wanted, sizeof f->wanted, "%llu, one for each worker", (unsigned long long) plan->workers);
    WHY(f,
        "more workers than cores only add switches; more than cpu.max are stopped together for the rest of each "
        "tenth of a second");
    if (cores == 0) {
        f->verdict = VERDICT_WARN;
        snprintf(f->found, sizeof f->found, "not known: /proc/%s/status does not say", m->who);
        return;
    }
    snprintf(f->found, sizeof f->found, "%llu%s", (unsigned long long) cores, by_quota ? " by cpu.max" : "");
    if (plan->workers <= cores)
        return;
    f->verdict = VERDICT_WARN;
    snprintf(f->todo, sizeof f->todo, "server.workernum = 0%s",
             by_quota ? ", or raise CPUQuota=, --cpus" : ", or AllowedCPUs=, taskset");
}

void check_clock(const struct plan *plan, const struct machine *m, struct finding *f)
{
    static const char path[] = "/sys/devices/system/clocksource/clocksource0/current_clocksource";
    static const char *const good[] = {"tsc", "kvm-clock", "hyperv_clocksource_tsc_page", "arch_sys_counter"};
    (void) plan;
    WHY(f,
        "the time is asked for several times in each pass of a loop; with another one each is a system call");
    snprintf(f->wanted, sizeof f->wanted, "one that is read without the kernel: tsc, kvm-clock ...");
    if (!machine_text(m, path, f->found, sizeof f->found)) {
        check_unread(f, path);
        return;
    }
    for (size_t i = 0; i < sizeof good / sizeof good[0]; i++) {
        if (strcmp(f->found, good[i]) == 0)
            return;
    }
    f->verdict = VERDICT_WARN;
    snprintf(f->todo, sizeof f->todo,
             "clocksource=tsc on the kernel's command line, if dmesg does not call it unstable");
}

/* ---- What has happened already ---- */

/* The counter of a table of two lines, names and numbers: "TcpExt: A B", "TcpExt: 1 2". False if it is not there. */
static bool counter_of(const char *text, const char *name, uint64_t *n)
{
    const char *names = strstr(text, "TcpExt: "),
               *numbers = names != NULL ? strstr(names + 1, "\nTcpExt: ") : NULL;
    char word[64];
    int len, skip;
    if (numbers == NULL)
        return false;
    numbers++;
    while (sscanf(names, " %63s%n", word, &len) == 1 && sscanf(numbers, " %*s%n", &skip) == 0) {
        names += len;
        if (strcmp(word, name) == 0)
            return sscanf(numbers, "%llu", (unsigned long long *) n) == 1;
        numbers += skip;
    }
    return false;
}

void check_overflows(const struct plan *plan, const struct machine *m, struct finding *f)
{
    static const char *const names[] = {"ListenOverflows", "ListenDrops", "TCPReqQFullDrop",
                                        "TCPAbortOnMemory"};
    static char text[32768];
    char path[64];
    size_t used = 0;
    bool any = false;
    (void) plan;
    snprintf(path, sizeof path, "/proc/%s/net/netstat", m->who);
    WHY(f,
        "since the machine started so many clients found a queue full, or were cut off for want of memory; if the "
        "numbers grow, it happens now");
    snprintf(f->wanted, sizeof f->wanted, "0 of each");
    if (!machine_text(m, path, text, sizeof text)) {
        check_unread(f, path);
        return;
    }
    for (size_t i = 0; i < sizeof names / sizeof names[0]; i++) {
        uint64_t n = 0;
        if (!counter_of(text, names[i], &n))
            continue;
        any = true;
        if (n > 0)
            used += (size_t) snprintf(f->found + used, sizeof f->found - used, "%s%s %llu",
                                      used > 0 ? ", " : "", names[i], (unsigned long long) n);
    }
    if (!any) {
        errno = EINVAL;
        check_unread(f, path);
    } else if (used > 0) {
        f->verdict = VERDICT_WARN;
        snprintf(f->todo, sizeof f->todo,
                 "nstat -az TcpExtListenOverflows TcpExtListenDrops; raise server.backlog");
    } else {
        snprintf(f->found, sizeof f->found, "none");
    }
}

/* ---- Certificates ---- */

void check_certificates(const struct plan *plan, const struct machine *m, struct finding *f)
{
    (void) m;
    WHY(f, "clients refuse a certificate that has expired; a reload takes a new one, connections stay");
    snprintf(f->wanted, sizeof f->wanted, "%d days left of each", SOON_DAYS);
    if (plan->certificates == 0) {
        snprintf(f->found, sizeof f->found, "none");
        return;
    }
    bool over = plan->expiry_days < 0;
    snprintf(f->found, sizeof f->found, "%u; [tls %s] %s %lld days%s", plan->certificates, plan->expiry_name,
             over ? "expired" : "expires first, in",
             (long long) (over ? -plan->expiry_days : plan->expiry_days), over ? " ago" : "");
    if (plan->expiry_days >= SOON_DAYS)
        return;
    f->verdict = over ? VERDICT_FAIL : VERDICT_WARN;
    snprintf(f->todo, sizeof f->todo, "renew its files, then maritcp ctl config reload");
}
