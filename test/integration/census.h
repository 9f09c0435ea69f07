/*
 * census.h: connections and workers as operators get to see them (operator.h): all of them page by page, ids, rows.
 * Main thread of a test; what does not go as it says fails the test with a message.
 */
#ifndef ITEST_CENSUS_H
#define ITEST_CENSUS_H

#include "operator.h"

enum { WORKERS = 2, PLACES = 1000 };

/* Its id as operators write it. */
struct id {
    char text[40];
};
struct id id_of_conn(int fd);

/* What the last list had: how often a place, with which generation. */
struct listed {
    unsigned times[WORKERS][PLACES];
    unsigned generation[WORKERS][PLACES];
};
extern struct listed listed;

/* All connections, page by page. between() is called after each, with its number. How many pages. */
unsigned list_all(unsigned limit, void (*between)(unsigned page, void *arg), void *arg);

/* The row with this id, the rest of the text behind it. */
const char *row_of(const char *json, const char *id);
/* The row of a worker in what `workers` says. */
const char *worker_row(uint32_t worker);

#endif
