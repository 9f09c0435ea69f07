/*
 * map.h: entries of one size by key, in an open table with linear probing. One thread, its owner's. An entry begins
 * with its key, whose first 8 bytes are not all 0 where one is; the rest is the owner's. Entries move with each change.
 */
#ifndef MARIO_CLUSTER_MAP_H
#define MARIO_CLUSTER_MAP_H

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

struct map {
    unsigned char *slots;
    uint32_t size; /* slots, a power of two; 0: nothing was ever put */
    uint32_t used;
    uint32_t entry, key; /* bytes; key is 8 .. 16 */
    uint64_t seed;       /* of the hash: who chooses keys must not choose places */
};

void map_init(struct map *m, uint32_t entry, uint32_t key, uint64_t seed);
void map_fini(struct map *m);
/* NULL if there is none. */
void *map_find(const struct map *m, const void *key);
/* The one that is there, or a new one, all 0 behind its key. NULL without memory: nothing has changed. */
void *map_put(struct map *m, const void *key, bool *is_new);
void map_remove(struct map *m, void *entry);
/* Slot i of size; NULL if nothing is there. */
static inline void *map_at(const struct map *m, uint32_t i)
{
    unsigned char *at = m->slots + (size_t) i * m->entry;
    return *(const uint64_t *) (const void *) at == 0 ? NULL : at;
}

#endif
