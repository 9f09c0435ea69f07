/*
 * table.c: from numbers to what is known of them. The shard's thread; table_count() any.
 */
#include "mario/push/table.h"

#include <stddef.h>
#include <sys/mman.h>
#include <sys/random.h>

#include "mario/base/check.h"
#include "mario/base/clock.h"

enum {
    SWEEP_STEPS = 24, /* of the old block, with each change: it is empty long before the next one is due */
    TRIES = 64        /* of a reader */
};

/* ---- State ---- */

static uint32_t shift_now(uint64_t state)
{
    return (uint32_t) state & 0xff;
}

static uint32_t shift_old(uint64_t state)
{
    return (uint32_t) (state >> 8) & 0xff;
}

static uint64_t state_of(const struct table *t)
{
    return atomic_load_explicit(&t->state, memory_order_relaxed); /* our own */
}

/* Entries are about to move, have moved, and lie in these blocks from now on. */
static void moving(struct table *t)
{
    atomic_store_explicit(&t->state, state_of(t) + (1u << 16), memory_order_relaxed);
}

static void moved(struct table *t, uint32_t now, uint32_t old)
{
    uint64_t changes = (state_of(t) >> 16) + 1;
    atomic_store_explicit(&t->state, changes << 16 | old << 8 | now, memory_order_release);
}

/* ---- Blocks ---- */

static struct table_entry *block_of(const struct table *t, uint32_t shift)
{
    return atomic_load_explicit(&t->block[shift], memory_order_acquire);
}

static size_t block_bytes(uint32_t shift)
{
    return sizeof(struct table_entry) << shift;
}

/* There is an empty block of that size. */
static bool have_block(struct table *t, uint32_t shift)
{
    if (shift >= TABLE_SHIFTS)
        return false;
    if (block_of(t, shift) != NULL)
        return true;
    void *p = mmap(NULL, block_bytes(shift), PROT_READ | PROT_WRITE, MAP_PRIVATE | MAP_ANONYMOUS, -1, 0);
    if (p == MAP_FAILED)
        return false;
    atomic_store_explicit(&t->block[shift], p, memory_order_release);
    return true;
}

/* All its entries have moved: its memory goes back, and it stays readable, and is empty. */
static void retire_block(struct table *t, uint32_t shift)
{
    (void) madvise(block_of(t, shift), block_bytes(shift),
                   MADV_DONTNEED); /* refused: it is empty all the same */
}

bool table_init(struct table *t)
{
    *t = (struct table){.used = 0};
    if (getrandom(t->seed, sizeof t->seed, GRND_NONBLOCK) != sizeof t->seed)
        t->seed[0] = clock_ns() ^ (uintptr_t) t;
    atomic_init(&t->state, 0); /* no entries: table_fini() and table_each() find nothing */
    if (!have_block(t, TABLE_SHIFT_MIN))
        return false;
    atomic_init(&t->state, TABLE_SHIFT_MIN);
    return true;
}

void table_fini(struct table *t)
{
    for (uint32_t shift = 0; shift < TABLE_SHIFTS; shift++) {
        if (block_of(t, shift) != NULL)
            munmap(block_of(t, shift), block_bytes(shift));
        atomic_init(&t->block[shift], NULL);
    }
    t->used = 0;
}

/* ---- Places in a block ---- */

static uint64_t hash(const struct table *t, uint64_t key)
{
    uint64_t h = (key ^ t->seed[0]) * UINT64_C(0x9e3779b97f4a7c15);
    h = (h ^ h >> 32 ^ t->seed[1]) * UINT64_C(0xd6e8feb86659fd93);
    return h ^ h >> 32;
}

static uint64_t key_at(const struct table_entry *e)
{
    return atomic_load_explicit(&e->key, memory_order_acquire);
}

/* Where the key is in the block, or the empty place where it would be. NULL: a reader has seen neither, for things
 * moved about. */
static struct table_entry *probe(const struct table *t, uint32_t shift, uint64_t key)
{
    struct table_entry *block = block_of(t, shift);
    uint64_t mask = (UINT64_C(1) << shift) - 1, at = hash(t, key) & mask;
    for (uint64_t n = 0; n <= mask; n++, at = (at + 1) & mask) {
        uint64_t there = key_at(&block[at]);
        if (there == key || there == 0)
            return &block[at];
    }
    return NULL;
}

/* Where the key is, or NULL. The writer's. */
static struct table_entry *find(const struct table *t, uint64_t key)
{
    uint32_t now = shift_now(state_of(t)), old = shift_old(state_of(t));
    struct table_entry *e = probe(t, now, key);
    if ((e == NULL || key_at(e) == 0) && old != 0)
        e = probe(t, old, key);
    return e != NULL && key_at(e) == key ? e : NULL;
}

static uint64_t seal(const struct table *t, uint64_t key, uint32_t count)
{
    return (hash(t, key) & ~(uint64_t) UINT32_MAX) | count;
}

/* The writer's. */
static uint64_t sealed_at(const struct table_entry *e)
{
    return atomic_load_explicit(&e->sealed, memory_order_relaxed);
}

/* The count before the key: who sees the key sees its count, or that of another key, which its seal says. */
static void fill(struct table_entry *e, uint64_t key, uint64_t value, uint64_t sealed)
{
    e->value = value;
    atomic_store_explicit(&e->sealed, sealed, memory_order_release);
    atomic_store_explicit(&e->key, key, memory_order_release);
}

/* Empty a place: those behind it that it kept from their own move up. */
static void vacate(struct table *t, uint32_t shift, struct table_entry *e)
{
    struct table_entry *block = block_of(t, shift);
    uint64_t mask = (UINT64_C(1) << shift) - 1, hole = (uint64_t) (e - block), at = hole;
    for (;;) {
        at = (at + 1) & mask;
        uint64_t key = key_at(&block[at]);
        if (key == 0)
            break;
        if (((at - hash(t, key)) & mask) >= ((at - hole) & mask)) { /* its own place is not behind the hole */
            fill(&block[hole], key, block[at].value, sealed_at(&block[at]));
            hole = at;
        }
    }
    atomic_store_explicit(&block[hole].key, 0, memory_order_release);
}

/* ---- Sizes ---- */

/* The next steps of moving out of the old block, if there is one. */
static void sweep(struct table *t)
{
    uint32_t now = shift_now(state_of(t)), old = shift_old(state_of(t));
    if (old == 0)
        return;
    struct table_entry *block = block_of(t, old);
    bool over = false;
    moving(t);
    for (uint32_t i = 0; i < SWEEP_STEPS && !over; i++) {
        struct table_entry *e = &block[t->swept];
        uint64_t key = key_at(e);
        if (key == 0) {
            over = ++t->swept == UINT32_C(1) << old;
        } else {
            fill(probe(t, now, key), key, e->value, sealed_at(e));
            vacate(t, old, e);
        }
    }
    moved(t, now, over ? 0 : old);
    if (over)
        retire_block(t, old);
}

/* Take another block if this one is too full or too empty, and all have moved there. False if there is no place for one
 * more. */
static bool fit(struct table *t, uint32_t used)
{
    uint32_t now = shift_now(state_of(t)), size = UINT32_C(1) << now, next = now;
    if (shift_old(state_of(t)) == 0) {
        if (used > size / 4 * 3)
            next = now + 1;
        else if (used < size / 8 && now > TABLE_SHIFT_MIN)
            next = now - 1;
        if (next != now && have_block(t, next)) {
            t->swept = 0;
            moving(t);
            moved(t, next, now);
            return true;
        }
    }
    return used < size / 16 * 15;
}

/* ---- The writer's calls ---- */

bool table_put(struct table *t, uint64_t key, uint64_t value, uint32_t count)
{
    CHECK(key != 0);
    struct table_entry *e = find(t, key);
    if (e != NULL) {
        e->value = value;
        atomic_store_explicit(&e->sealed, seal(t, key, count), memory_order_release);
        return true;
    }
    if (!fit(t, t->used + 1))
        return false;
    sweep(t);
    fill(probe(t, shift_now(state_of(t)), key), key, value, seal(t, key, count));
    t->used++;
    return true;
}

bool table_get(const struct table *t, uint64_t key, uint64_t *value, uint32_t *count)
{
    const struct table_entry *e = find(t, key);
    if (e == NULL)
        return false;
    *value = e->value;
    *count = (uint32_t) sealed_at(e);
    return true;
}

const uint64_t *table_value(const struct table *t, uint64_t key)
{
    const struct table_entry *e = find(t, key);
    return e == NULL ? NULL : &e->value;
}

void table_remove(struct table *t, uint64_t key)
{
    struct table_entry *e = find(t, key);
    if (e == NULL)
        return;
    uint32_t now = shift_now(state_of(t)), old = shift_old(state_of(t));
    const struct table_entry *block = block_of(t, now);
    bool in_now = (uintptr_t) e - (uintptr_t) block < block_bytes(now);
    moving(t);
    vacate(t, in_now ? now : old, e);
    moved(t, now, old);
    t->used--;
    (void) fit(t, t->used);
    sweep(t);
}

void table_each(const struct table *t, void (*f)(void *arg, uint64_t key, uint64_t value, uint32_t count),
                void *arg)
{
    uint32_t shifts[2] = {shift_now(state_of(t)), shift_old(state_of(t))};
    for (int i = 0; i < 2 && shifts[i] != 0; i++) {
        struct table_entry *block = block_of(t, shifts[i]);
        for (uint64_t at = 0; at < UINT64_C(1) << shifts[i]; at++) {
            uint64_t key = key_at(&block[at]);
            if (key != 0)
                f(arg, key, block[at].value, (uint32_t) sealed_at(&block[at]));
        }
    }
}

/* ---- Any thread ---- */

static bool count_in(const struct table *t, uint32_t shift, uint64_t key, uint32_t *count)
{
    struct table_entry *e = probe(t, shift, key);
    if (e == NULL || key_at(e) != key)
        return false;
    uint64_t sealed = atomic_load_explicit(&e->sealed, memory_order_acquire);
    if (sealed != seal(t, key, (uint32_t) sealed)) /* another one's by now */
        return false;
    *count = (uint32_t) sealed;
    return true;
}

uint32_t table_count(const struct table *t, uint64_t key)
{
    uint32_t count = 0;
    uint64_t before = atomic_load_explicit(&t->state, memory_order_acquire), after = 0;
    if (key == 0)
        return 0;
    for (int i = 0; i < TRIES; i++, before = after) {
        bool found = count_in(t, shift_now(before), key, &count) ||
                     (shift_old(before) != 0 && count_in(t, shift_old(before), key, &count));
        after = atomic_load_explicit(&t->state, memory_order_acquire);
        if (before == after && (before >> 16 & 1) == 0)
            return found ? count : 0;
    }
    return count;
}
