/*
 * table.h: from numbers (groups, users) to what is known of them. One thread writes, the shard's; any thread may ask
 * for a count at any time, without a lock and without waiting for anybody.
 *
 * An open table with linear probing. One that becomes too full or too empty gets a block of another size; its entries
 * move there with the changes that follow, some with each, so that no change takes long however many there are. Blocks
 * are mappings of their own, one a size, and stay mapped until table_fini(): a reader may be late. One that is not in
 * use any more has given its memory back and reads as empty.
 *
 * Reading: `state` names the blocks in use, and changes before and after entries move (it is odd meanwhile). A reader
 * that finds it as it was has seen one table. All its loads acquire and all the writer's stores release: whoever has
 * seen something new of an entry sees the new state as well. Beside its count an entry has a part of its key's hash, so
 * that no count is taken for another key's. A reader tries so many times, for the writer may have been stopped in
 * between, or never rest, and then takes what it has found last: it has not found what is there only if it moved away
 * before its eyes each time.
 */
#ifndef MARIO_PUSH_TABLE_H
#define MARIO_PUSH_TABLE_H

#include <stdatomic.h>
#include <stdbool.h>
#include <stdint.h>

enum {
    TABLE_SHIFT_MIN = 7, /* 128 entries: what fits in a page */
    TABLE_SHIFTS = 32
};

struct table_entry {
    _Atomic uint64_t key;    /* 0: nothing is here */
    uint64_t value;          /* the writer's */
    _Atomic uint64_t sealed; /* the upper half of the key's hash << 32 | the count */
};

struct table {
    _Atomic(struct table_entry *) block[TABLE_SHIFTS]; /* of 2^index entries; NULL: there was none yet */
    _Atomic uint64_t state; /* changes << 16 | shift of `old` or 0 << 8 | shift of `now` */
    uint64_t seed[2];       /* of the hash: who chooses keys must not choose places */
    uint32_t used;          /* entries, in both blocks */
    uint32_t swept;         /* so many places of the old block are empty for good */
};

/* False without memory. */
__attribute__((warn_unused_result)) bool table_init(struct table *t);
/* No thread asks any more. */
void table_fini(struct table *t);

/* ---- The writer. A key is never 0 ---- */

/* Insert or replace. False without memory: nothing has changed; never when it only replaces. */
__attribute__((warn_unused_result)) bool table_put(struct table *t, uint64_t key, uint64_t value,
                                                   uint32_t count);
/* False if it is not there. */
bool table_get(const struct table *t, uint64_t key, uint64_t *value, uint32_t *count);
/* Its value in place, until the next change; NULL if it is not there. */
const uint64_t *table_value(const struct table *t, uint64_t key);
/* Harmless if it is not there. */
void table_remove(struct table *t, uint64_t key);
/* Call f for each entry, in no order. f changes nothing here. */
void table_each(const struct table *t, void (*f)(void *arg, uint64_t key, uint64_t value, uint32_t count),
                void *arg);

/* ---- Any thread ---- */

/* The count that stands there, 0 if nothing does. */
uint32_t table_count(const struct table *t, uint64_t key);

#endif
