/*
 * neighbours.h: the well-behaved clients of the soak: some on each worker, inline and offloaded, that ask at
 * their own pace whether they are answered or not, and must lose nothing. They have a thread of their own; these
 * functions are for the main thread.
 */
#ifndef SOAK_NEIGHBOURS_H
#define SOAK_NEIGHBOURS_H

#include "soak.h"
#include "test/lib/hist.h"

enum { NEIGHBOURS = 4 * WORKERS };

/* Connect them, while nobody else does, and start. Their connections are in the books. */
struct neighbours *neighbours_start(struct soak *s);

/* From now on the neighbours of these workers, and of the pool, may have to wait, for ms and a second at most;
 * or no longer, once they have their answers. */
void neighbours_warn(struct neighbours *n, uint32_t bits, uint32_t ms);
void neighbours_clear(struct neighbours *n, uint32_t bits);
/* Whether none of them waits for answers from that time any more. */
bool neighbours_are_calm(struct neighbours *n, uint32_t bits);

/* Times since the last look: of those who had no reason to wait, and of the others. */
struct neighbours_times {
    struct hist calm, troubled;
};
void neighbours_look(struct neighbours *n, struct neighbours_times *t);

struct neighbours_report {
    uint64_t sent, answered;
    uint32_t lost;     /* connections that ended, or got a wrong answer */
    uint32_t too_long; /* waits beyond what was allowed */
    uint64_t worst_ns; /* the longest of these */
};

/* How it stands. */
struct neighbours_report neighbours_now(struct neighbours *n);
/* Let them finish, close, stop. Frees, and nulls the pointer. */
struct neighbours_report neighbours_stop(struct neighbours **n);

#endif
