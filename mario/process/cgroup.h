/*
 * cgroup.h: what the cgroups of a process allow. Any thread. maritcp's doctor has it compiled in, too.
 */
#ifndef MARIO_PROCESS_CGROUP_H
#define MARIO_PROCESS_CGROUP_H

#include <stdint.h>

enum cgroup_limit {
    CGROUP_CORES,  /* of processor time, rounded up: cpu.max of cgroup v2, cpu.cfs_quota_us of v1 */
    CGROUP_MEMORY, /* bytes: memory.max, memory.limit_in_bytes */
    CGROUP_PIDS    /* threads: pids.max */
};

/* The tightest of this process's cgroup and those above it. 0: there is none, or it cannot be read. who is a process's
 * number, or "self"; root goes before every path, "" for the machine's own. */
uint64_t cgroup_limit(const char *root, const char *who, enum cgroup_limit limit);

/* The cores of this process. */
uint32_t cgroup_cores(const char *root);

#endif
