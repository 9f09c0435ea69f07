/*
 * prom.h: Prometheus' text format 0.0.4, written line by line. Pure: no thread of its own.
 */
#ifndef MARIO_ADMIN_PROM_H
#define MARIO_ADMIN_PROM_H

#include <event2/buffer.h>
#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

#define PROM_TYPE "text/plain; version=0.0.4; charset=utf-8"

struct prom {
    struct evbuffer *out;
    const char *family; /* name of the metric whose lines come, without mario_ */
    size_t used;
    uint32_t labels; /* of the line, so far */
    bool no_memory;  /* some of it is missing */
    char buf[8192];
};

enum prom_kind { PROM_COUNTER, PROM_GAUGE, PROM_HISTOGRAM };

void prom_begin(struct prom *p, struct evbuffer *out);
/* False if memory was short: then what stands in `out` is not whole. */
bool prom_end(struct prom *p);

/* A metric begins, all lines of which follow. The texts stay until the next one. */
void prom_family(struct prom *p, const char *name, enum prom_kind kind, const char *help);

/* A line: prom_sample() with what stands behind the name ("_sum", or ""); labels; then its value. */
void prom_sample(struct prom *p, const char *suffix);
void prom_label(struct prom *p, const char *name, const char *value); /* escaped */
void prom_label_number(struct prom *p, const char *name, uint64_t value);
void prom_label_seconds(struct prom *p, const char *name, uint64_t ns);
/* Labels as they are, "name=\"value\"", n bytes of them. */
void prom_labels(struct prom *p, const char *text, size_t n);
void prom_number(struct prom *p, uint64_t value);
void prom_seconds(struct prom *p, uint64_t ns);

#endif
