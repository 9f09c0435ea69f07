/*
 * cgroup.h: how much processor time the cgroups of this process allow. Any thread.
 */
#ifndef MARIO_PROCESS_CGROUP_H
#define MARIO_PROCESS_CGROUP_H

#include <stdint.h>

/* The cores that the tightest quota of this process's cgroup and those above it comes to, rounded up: cpu.max of
 * cgroup v2, cpu.cfs_quota_us of v1. 0: there is none, or it cannot be read. root goes before every path, "" for the
 * machine's own. */
uint32_t cgroup_cores(const char *root);

#endif
