/*
 * scrape.h: /metrics as somebody reads it who knows nothing of the server: taken apart line by line, and held against
 * the rules of the format. Main thread of a test; what is wrong fails the test.
 */
#ifndef ITEST_SCRAPE_H
#define ITEST_SCRAPE_H

#include "harness.h"

struct sample {
    const char *key; /* as it stands there: name{label="value",...} */
    size_t name_len;
    double value;
};

struct scrape {
    char *text; /* the body, with a NUL behind each line */
    struct sample *all;
    size_t count;
};

/* Ask the server of operator_option() for a path; the answer, head and all, with a NUL. The caller frees it. */
char *scrape_get(const char *path);

/* What /metrics says now. Held are: names and labels are well formed, each metric has help and type in front of it and
 * stands in one piece, no line is there twice, counters end with _total, histograms add up, no label is a client's. */
void scrape_take(struct scrape *s);
void scrape_free(struct scrape *s);

/* A line by its key without "mario_"; fails if there is none. */
double scrape_value(const struct scrape *s, const char *key);
/* The sum of those with this name whose labels contain `piece`, "" for all; 0 if there is none. */
double scrape_sum(const struct scrape *s, const char *name, const char *piece);

#endif
