/*
 * rules.h: whom the server lets in and how much they may send, as its options say it: the two files read, and the
 * memory that is needed for it. Part of the settings (live.h): made, and freed, by a thread that may wait for a disk
 * and the heap. The master takes them as they are, and keeps such memory of them that it has not got yet.
 */
#ifndef MARIO_SERVER_RULES_H
#define MARIO_SERVER_RULES_H

#include "mario/base/cidr.h"
#include "mario/mario_server.h"
#include "mario/server/gate.h"

struct rules_memory {
    void *
        at; /* all zero; pages that nobody touches cost nothing. NULL: it is not needed, or kept by the master */
    size_t size;
};

struct rules {
    struct gate_limits limits;
    uint32_t rate;                 /* accepts a second, 0 = any number */
    struct cidr_set *allow, *deny; /* NULL: there is no such file */
    bool counts;                   /* something is asked of addresses or networks */
    struct rules_memory table;     /* of the gate */
    struct rules_memory passes;    /* of all workers, one behind the other */
    struct rules_memory meters;    /* likewise: connnum each */
};

/* Of options that were checked, for so many workers of so many connections. NULL with one line in why[0 .. size-1]. */
__attribute__((warn_unused_result)) struct rules *
rules_make(const struct mario_options *o, uint32_t workernum, uint32_t connnum, char *why, size_t size);
/* *r and what is left of its memory; *r may be NULL. */
void rules_free(struct rules **r);
/* One piece of memory. */
void rules_give_back(struct rules_memory *m);

#endif
