/*
 * nodes.h: with -H, what was done with each of several servers. Each thread has a book for each server of its own; the
 * main thread adds them up when the threads have ended.
 */
#ifndef LOAD_NODES_H
#define LOAD_NODES_H

#include <stdint.h>
#include <stdio.h>

#include "options.h"
#include "test/lib/fault.h"

/* Not all are counted in each mode. */
enum node_count {
    NODE_CONNECTIONS, /* made; in modes hold and push, that have logged in; made again, again */
    NODE_ANSWERED,    /* requests with a right answer */
    NODE_LOST,        /* requests without */
    NODE_PUBLISHED,   /* messages said to it */
    NODE_RECEIVED,    /* messages heard from it, each once a subscriber */
    NODE_MISSING,     /* not heard by subscribers whose connection to it stood to the end */
    NODE_UNHEARD,     /* not heard by those whose connection did not; they were there last */
    NODE_BROKEN,      /* connections that ended, and were or were to be made again elsewhere */
    NODE_COUNTS
};

struct node_book {
    uint64_t counts[NODE_COUNTS];
    uint64_t faults[FAULT_COUNT];
};

/* Add all books of one thread. */
void nodes_add(struct node_book *into, const struct node_book *from, const struct load_options *o);

/* A line for each server, and a part of JSON: ,"nodes":[...]. Nothing without -H. */
void nodes_print(const struct node_book *books, const struct load_options *o, FILE *out);
void nodes_json(const struct node_book *books, const struct load_options *o, FILE *out);

#endif
