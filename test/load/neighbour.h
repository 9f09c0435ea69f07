/*
 * neighbour.h: bad neighbours of mode hold: clients that send echo requests and read the answers a few bytes
 * a second, or never. What the server does with them is its right; that the bytes it sends are right is
 * checked.
 *
 * They belong to one holder and only its thread calls this; main makes and frees them and reads the book
 * afterwards.
 */
#ifndef LOAD_NEIGHBOUR_H
#define LOAD_NEIGHBOUR_H

#include <stdint.h>

#include "options.h"
#include "test/lib/fault.h"

#define NEIGHBOUR_READ  16u            /* bytes that a slow reader reads a second */
#define NEIGHBOUR_BURST (256u * 1024u) /* bytes that each sends a second, if the kernel takes them */
#define NEIGHBOUR_DATA  1016u          /* of a request after its HEAD */

/* tried = opened + all of refused; opened = ended + all of left. */
struct neighbour_ledger {
    uint64_t tried, opened, ended;
    uint64_t refused[FAULT_COUNT]; /* ended before they could send */
    uint64_t left[FAULT_COUNT];    /* ended later: by the server, or because of wrong bytes */
    uint64_t bytes_sent, bytes_read;
};

struct neighbours;

/* Make `slow` slow readers and `stopped` stopped ones. NULL without memory. */
struct neighbours *neighbours_create(const struct load_options *o, uint32_t slow, uint32_t stopped);

/* Do what is due: each is visited once a second. Returns when the next one is due. */
uint64_t neighbours_turn(struct neighbours *n, uint64_t now);

/* Close all. */
void neighbours_end(struct neighbours *n);

const struct neighbour_ledger *neighbours_ledger(const struct neighbours *n);

/* Free them and null the pointer; *n may be NULL. */
void neighbours_destroy(struct neighbours **n);

#endif
