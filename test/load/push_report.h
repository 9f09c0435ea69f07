/*
 * push_report.h: what a run of mode push gave, for people and as JSON. Main thread, after the pushers have ended;
 * push_report_live while they run.
 */
#ifndef LOAD_PUSH_REPORT_H
#define LOAD_PUSH_REPORT_H

#include <stdbool.h>
#include <stdio.h>

#include "pusher.h"

struct push_result {
    const struct load_options *o;
    struct push_ledger ledger;
    struct node_book nodes[NET_TARGETS_MAX];
    struct hist hist;
    double seconds, client_cpu_s; /* of the window */
    double server_cpu_s;          /* likewise; -1 = not known */
    int64_t rss_kb;               /* the server's; -1 = not known */
    uint64_t published, received; /* in the window */
    uint64_t errors;              /* faults of all kinds */
    int first_errno;
};

/* Add up; r->o and what is known of the server are set, the pushers have ended. */
void push_report_sum(struct push_result *r, struct pusher *const *pushers);

/* Something is missing, wrong, or not kept: the exit code is 1. */
bool push_report_failed(const struct push_result *r);

/* Some lines for people; what went wrong and how to mend it, a line each, on standard error. */
void push_report_print(const struct push_result *r, FILE *out);
void push_report_advise(const struct push_result *r);

/* One JSON object on one line. */
void push_report_json(const struct push_result *r, FILE *out);

/* The status line while it runs; reads only what pushers publish. Rates are those since the last call. */
void push_report_live(const struct load_options *o, struct pusher *const *pushers, int tty);

#endif
