/*
 * check.h: one thing that can be wrong with a machine, as a row of a table; and what is found of it. Pure: all that a
 * check reads comes from the plan and from files below the machine's root.
 */
#ifndef MARITCP_DOCTOR_CHECK_H
#define MARITCP_DOCTOR_CHECK_H

#include "conf/option.h"
#include "machine.h"

/* What the configuration asks for. */
struct plan {
    const struct maritcp_conf *conf;
    uint64_t workers;
    uint64_t connections; /* in all */
    uint64_t descriptors; /* for them and all else */
    uint64_t threads;
    uint64_t bytes_each;  /* of a connection in the process */
    uint64_t bytes;       /* of memory with all connections there and quiet, those of the kernel too */
    uint64_t bytes_all;   /* with messages that wait, and one connection in a thousand that does not read */
    bool is_local;        /* it listens on unix sockets alone */
    bool has_tls;         /* some listener has tls= */
    uint32 certificates;  /* sections [tls NAME] */
    sint64 expiry_days;   /* until the first of them expires; negative: it has */
    char expiry_name[32]; /* whose that is */
};

void plan_make(struct plan *plan, const struct maritcp_conf *conf, const struct machine *m);

enum verdict { VERDICT_OK, VERDICT_WARN, VERDICT_FAIL };

struct finding {
    enum verdict verdict;
    char found[160];
    char wanted[160];
    char why[400];
    char todo[240];   /* what to type; "" if nothing is to be done */
    char sysctl[160]; /* the line for sysctl.conf that does the same; "" if there is none */
};

struct check {
    const char *name;
    void (*look)(const struct plan *plan, const struct machine *m, struct finding *f);
};

/* In the order in which they are shown: checks.c has the table. */
extern const struct check checks[];
extern const size_t check_count;

/* Look, and have every text set. */
void check_run(const struct check *c, const struct plan *plan, const struct machine *m, struct finding *f);

/* ---- For the files that have checks ---- */

/* A setting of the kernel could not be read, errno says why. */
void check_unread(struct finding *f, const char *path);

/* A setting of the kernel that is a number, path below /proc/sys/, is to be at least `wanted`; else `verdict`. */
void check_at_least(const struct machine *m, struct finding *f, const char *path, uint64_t wanted,
                    enum verdict verdict);

/* Bytes for people: "357 MB". */
struct check_bytes {
    char text[32];
};
struct check_bytes check_bytes(uint64_t n);

/* checks_machine.c */
void check_memory(const struct plan *plan, const struct machine *m, struct finding *f);
void check_overcommit(const struct plan *plan, const struct machine *m, struct finding *f);
void check_huge_pages(const struct plan *plan, const struct machine *m, struct finding *f);
void check_cgroup_memory(const struct plan *plan, const struct machine *m, struct finding *f);
void check_threads(const struct plan *plan, const struct machine *m, struct finding *f);
void check_cores(const struct plan *plan, const struct machine *m, struct finding *f);
void check_swap(const struct plan *plan, const struct machine *m, struct finding *f);
void check_clock(const struct plan *plan, const struct machine *m, struct finding *f);
void check_certificates(const struct plan *plan, const struct machine *m, struct finding *f);
void check_overflows(const struct plan *plan, const struct machine *m, struct finding *f);

#endif
