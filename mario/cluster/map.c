/*
 * map.c: entries by key. One thread, its owner's.
 */
#include "mario/cluster/map.h"

#include <stdlib.h>
#include <string.h>

enum { SIZE_LEAST = 64 };

void map_init(struct map *m, uint32_t entry, uint32_t key, uint64_t seed)
{
    *m = (struct map){.entry = entry, .key = key, .seed = seed};
}

void map_fini(struct map *m)
{
    free(m->slots);
    m->slots = NULL;
    m->size = m->used = 0;
}

static uint64_t mix(uint64_t v)
{
    v = (v ^ v >> 30) * UINT64_C(0xbf58476d1ce4e5b9);
    v = (v ^ v >> 27) * UINT64_C(0x94d049bb133111eb);
    return v ^ v >> 31;
}

static uint32_t home(const struct map *m, const void *key)
{
    uint64_t a, b = 0;
    memcpy(&a, key, 8);
    if (m->key > 8)
        memcpy(&b, (const unsigned char *) key + 8, m->key - 8);
    return (uint32_t) mix(mix(a ^ m->seed) + b) & (m->size - 1);
}

static unsigned char *slot(const struct map *m, uint32_t i)
{
    return m->slots + (size_t) i * m->entry;
}

/* Where the key is, or the free place where it would be. */
static unsigned char *look(const struct map *m, const void *key)
{
    uint32_t i = home(m, key);
    while (map_at(m, i) != NULL && memcmp(slot(m, i), key, m->key) != 0)
        i = (i + 1) & (m->size - 1);
    return slot(m, i);
}

static bool resize(struct map *m, uint32_t size)
{
    struct map bigger = *m;
    bigger.size = size;
    bigger.slots = calloc(size, m->entry);
    if (bigger.slots == NULL)
        return false;
    for (uint32_t i = 0; i < m->size; i++) {
        if (map_at(m, i) != NULL)
            memcpy(look(&bigger, slot(m, i)), slot(m, i), m->entry);
    }
    free(m->slots);
    *m = bigger;
    return true;
}

void *map_find(const struct map *m, const void *key)
{
    if (m->used == 0)
        return NULL;
    unsigned char *at = look(m, key);
    uint64_t first;
    memcpy(&first, at, 8);
    return first == 0 ? NULL : at;
}

/* Full at 3/4, halved at 1/8: so a table in between has room for both ways. */
void *map_put(struct map *m, const void *key, bool *is_new)
{
    void *there = map_find(m, key);
    *is_new = there == NULL;
    if (there != NULL)
        return there;
    if (m->size == 0 || m->used >= m->size / 4 * 3) {
        if (m->size >= UINT32_C(1) << 30 || !resize(m, m->size == 0 ? SIZE_LEAST : 2 * m->size))
            return NULL;
    }
    unsigned char *at = look(m, key);
    memset(at, 0, m->entry);
    memcpy(at, key, m->key);
    m->used++;
    return at;
}

/* Those behind it move up, unless that would take one in front of its home. */
void map_remove(struct map *m, void *entry)
{
    uint32_t mask = m->size - 1, hole = (uint32_t) ((size_t) ((unsigned char *) entry - m->slots) / m->entry);
    for (uint32_t i = (hole + 1) & mask; map_at(m, i) != NULL; i = (i + 1) & mask) {
        if (((i - home(m, slot(m, i))) & mask) >= ((i - hole) & mask)) {
            memcpy(slot(m, hole), slot(m, i), m->entry);
            hole = i;
        }
    }
    memset(slot(m, hole), 0, m->entry);
    m->used--;
    if (m->size > SIZE_LEAST && m->used < m->size / 8)
        (void) !resize(m, m->size / 2); /* it stays as it is without memory */
}
