/*
 * machine.h: what the doctor looks at: the kernel's settings, and the limits of whoever is to run the server. All of it
 * is read below a root, so that a test, or who brings the files of another machine, can give one. Main thread.
 */
#ifndef MARITCP_DOCTOR_MACHINE_H
#define MARITCP_DOCTOR_MACHINE_H

#include <limits.h>
#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

#define MACHINE_NONE UINT64_MAX /* no limit, or not known: see there */

struct machine {
    char root[PATH_MAX]; /* "" for this machine */
    char who[24];        /* whose files below /proc: "self", or a process */
    char of[160];        /* whose limits these are, for people */
    char unit[128];      /* the unit they are of, or "" */
    bool knows_limits;   /* the limits could be read; else why_not says why */
    char why_not[128];
    uint64_t nofile;     /* descriptors, the hard limit; MACHINE_NONE = none */
    uint64_t threads;    /* of this user; MACHINE_NONE = none */
    bool may_raise;      /* it has the right to raise its limits */
    uint64_t cores;      /* by its affinity; 0 = not known */
    uint64_t quota;      /* cores by cpu.max, rounded up; MACHINE_NONE = none */
    uint64_t memory_max; /* bytes of its cgroup; MACHINE_NONE = none */
    uint64_t pids_max;   /* threads of its cgroup; MACHINE_NONE = none */
};

/* Whose limits: of process pid if it is not 0, of the unit if it is not NULL, else of the unit maritcp if there is one,
 * else of this process, which are the shell's. False with a line in why. */
bool machine_look(struct machine *m, const char *root, const char *unit, int pid, char *why, size_t size)
    __attribute__((warn_unused_result));

/* The beginning of a file below the root, without a newline at its end. False with errno. */
bool machine_text(const struct machine *m, const char *path, char *text, size_t size)
    __attribute__((warn_unused_result));

/* The number that it begins with; up to `most` numbers that it consists of, how many in *count. False with errno. */
bool machine_number(const struct machine *m, const char *path, uint64_t *n)
    __attribute__((warn_unused_result));
bool machine_numbers(const struct machine *m, const char *path, uint64_t *n, unsigned most, unsigned *count)
    __attribute__((warn_unused_result));

/* The number behind "NAME:" in a file of such lines, like /proc/meminfo. False with errno. */
bool machine_field(const struct machine *m, const char *path, const char *name, uint64_t *n)
    __attribute__((warn_unused_result));

#endif
