/*
 * proc.h: what another process of this machine has used: /proc and its CPU clock. Any thread.
 */
#ifndef TEST_PROC_H
#define TEST_PROC_H

#include <stdint.h>
#include <sys/types.h>

/* CPU time of all threads of pid in nanoseconds, user and system, those that have ended included; no privilege is
 * needed. A thread that runs at this moment lags by up to a tick. Returns 0, or -1: there is no such process. */
int proc_cpu_ns(pid_t pid, uint64_t *ns);

/* What the whole machine's kernel holds. 0 where it cannot be read. */
struct proc_kernel {
    uint64_t slab_kb; /* objects of the kernel: sockets, descriptors, epoll entries of all processes */
    uint64_t tcp_kb;  /* data in TCP sockets */
    uint64_t tcp_sockets;
    uint64_t time_wait;
};
struct proc_kernel proc_kernel(void);

/* The number that the file at path begins with, such as one of /proc/sys; UINT64_MAX when it cannot be read. */
uint64_t proc_number(const char *path);

/* Resident memory of pid in KiB, or 0 when it cannot be read. */
uint64_t proc_rss_kb(pid_t pid);

#endif
