/*
 * nats_record.h: texts of the NATS driver: what JetStream answers, and the lists of owners in its records. Pure, any
 * thread.
 */
#ifndef MARIO_CLUSTER_NATS_RECORD_H
#define MARIO_CLUSTER_NATS_RECORD_H

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>
#include <sys/types.h>

#include "mario/cluster/bus.h"

/* An answer. */
struct nats_record {
    bool nobody;       /* nobody is there to answer */
    unsigned error;    /* JetStream's number of an error; 1: one without; 0: none */
    uint64_t revision; /* of the record */
    char *text;        /* what it says, or what came if that is no answer of JetStream; never NULL */
};
/* False without memory. */
bool nats_record_parse(struct nats_record *r, const char *bytes, size_t len, bool nobody);
void nats_record_free(struct nats_record *r);

/* A list, oldest first. All zero is an empty one; at is to be freed. */
struct owners {
    struct owner *at;
    size_t n, room;
};
/* False without memory. */
bool owners_add(struct owners *l, const struct owner *w, bool in_front);
void owners_remove(struct owners *l, size_t i);
/* -1: w is not in there. */
ssize_t owners_find(const struct owners *l, const struct owner *w);
/* A line each, "NODE EPOCH ID\n", to be freed. NULL without memory. */
char *owners_text(const struct owners *l, size_t *len);
/* The other way round: what is none is left out. False without memory. */
bool owners_parse(struct owners *l, const char *text);

/* A prefix as JetStream takes it for a name, different ones staying different. */
void bucket_name(const char *prefix, char *name, size_t size);

#endif
