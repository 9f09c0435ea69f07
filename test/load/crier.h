/*
 * crier.h: one more connection of mode hold, which says broadcasts to the group that all others are in, and what these
 * then hear. The main thread's, but for crier_said().
 */
#ifndef LOAD_CRIER_H
#define LOAD_CRIER_H

#include <stdint.h>

#include "options.h"
#include "test/lib/wire.h"

#define CRIER_DATA_LEN 64u
#define CRIER_SAID_LEN (WIRE_HEAD_LEN + 10u + CRIER_DATA_LEN)

struct crier {
    int fd;
};

/* Connect and log in, as nobody of the group. NULL, or what went wrong: then there is nothing to close. Like the two
 * below it waits for o->timeout_s at most. */
const char *crier_open(struct crier *c, const struct load_options *o);
/* How many are in the group. NULL, or what went wrong; as below, the connection is then still to be closed. */
const char *crier_count(struct crier *c, const struct load_options *o, uint64_t *count);
/* Say broadcast number k. */
const char *crier_say(struct crier *c, const struct load_options *o, uint32_t k);
void crier_close(struct crier *c);

/* Write the packet by which a member hears broadcast number k, CRIER_SAID_LEN bytes, to out. Any thread. */
void crier_said(const struct load_options *o, uint32_t k, unsigned char *out);

#endif
