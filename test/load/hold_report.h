/*
 * hold_report.h: what a run of mode hold gave, for people and as JSON. Main thread, after the holders have
 * ended; hold_report_live while they run.
 */
#ifndef LOAD_HOLD_REPORT_H
#define LOAD_HOLD_REPORT_H

#include <stdbool.h>
#include <stdint.h>
#include <stdio.h>

#include "holder.h"
#include "options.h"
#include "test/lib/proc.h"

/* What both ends have used so far. */
struct hold_look {
    uint64_t at;
    uint64_t server_cpu, client_cpu; /* nanoseconds */
    uint64_t server_rss, client_rss; /* KiB */
    struct proc_kernel kernel;
};

enum { LOOK_BEFORE, LOOK_OPEN, LOOK_END, LOOKS }; /* before the first connect; all open; the hold is over */

struct hold_result {
    const struct load_options *o;
    struct hold_ledger ledger;
    struct neighbour_ledger neighbours;
    struct node_book nodes[NET_TARGETS_MAX];
    struct hist hist, logins, told;
    struct hold_look looks[LOOKS];
    bool server_known;
    bool gave_up;  /* not all connections were tried */
    double open_s; /* from the first connect to the answer of the last of the first logins */
    double hold_s;
    uint64_t open_first; /* connections open when the hold began */
    uint64_t hold_answered, late_max;
    uint64_t refused, lost;   /* all kinds together */
    uint64_t said;            /* broadcasts */
    uint64_t who;             /* members of the group, as the server counts them, before the first one */
    const char *crier_failed; /* why not all of them could be said, or NULL */
    uint64_t bad_neighbours;  /* not taken, or sent wrong bytes */
    int first_errno;
};

/* Add up; r->o, looks and times are set, the holders have ended. */
void hold_report_sum(struct hold_result *r, struct holder *const *holders);

/* Something is missing, wrong, or not kept: the exit code is 1. */
bool hold_report_failed(const struct hold_result *r);

/* Some lines for people; what went wrong and how to mend it, a line each, on standard error. */
void hold_report_print(const struct hold_result *r, FILE *out);
void hold_report_advise(const struct hold_result *r);

/* One JSON object on one line. */
void hold_report_json(const struct hold_result *r, FILE *out);

/* The status line while it runs; reads only what holders publish. Rates are those since the last call. end:
 * when the hold ends, 0 = not known yet. */
void hold_report_live(const struct load_options *o, struct holder *const *holders, uint64_t end, int tty);

#endif
