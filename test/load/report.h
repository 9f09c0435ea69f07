/*
 * report.h: what a run gave, for people and as JSON. Main thread, after the workers have ended; report_live
 * while they run.
 */
#ifndef LOAD_REPORT_H
#define LOAD_REPORT_H

#include <stdint.h>
#include <stdio.h>

#include "options.h"
#include "worker.h"

/* What the main thread saw of the server's process; -1 = not known. */
struct server_use {
    double cpu_s;
    int64_t rss_kb;
};

/* All workers' results together. */
struct result {
    const struct load_options *o;
    struct ledger ledger; /* of the whole run */
    struct node_book nodes[NET_TARGETS_MAX];
    struct hist hist;
    double seconds;              /* of the window, mean of the workers */
    double client_cpu_s;         /* of all workers in the window */
    uint64_t requests, connects; /* answered and connected in the window */
    uint64_t not_sent;
    uint64_t errors; /* all kinds together */
    struct server_use server;
};

/* Add up. *r is filled; the workers have ended. */
void report_sum(struct result *r, const struct load_options *o, struct worker *const *workers,
                struct server_use use);

/* True when the book of requests does not balance, which is a fault of this program. */
int report_unbalanced(const struct result *r);

/* True when more than one in a hundred of what fell due in mode open was not sent when the time was over. */
int report_rate_missed(const struct result *r);

/* A few lines for people. */
void report_print(const struct result *r, FILE *out);

/* A line on standard error for each thing that went wrong, with how to mend it. */
void report_advise(const struct result *r);

/* One JSON object on one line. */
void report_json(const struct result *r, FILE *out);

/* The status line while it runs; reads only what workers publish. Rates are those since the last call. */
void report_live(const struct load_options *o, struct worker *const *workers, FILE *out, int tty);

#endif
