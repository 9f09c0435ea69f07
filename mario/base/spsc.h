/*
 * spsc.h: the ring. Bounded, single-producer, single-consumer, lock-free; the only queue in the house.
 *
 * Elements have a fixed size and are written and read in place: reserve, fill, commit; front, use, release.
 * Nothing is copied and nothing waits: a full ring answers NULL.
 *
 * Why it is safe: `tail` is stored by the producer alone and `head` by the consumer alone. The producer
 * publishes a slot by storing tail with release; the consumer loads tail with acquire, so what was written
 * into the slot before commit is visible after front. The other way round head is stored with release after
 * the last read of the slot, and loaded with acquire before the slot is written again. Indices run freely
 * over 2^32; their difference is the fill, so a capacity is a power of two of at most 2^31. Each side keeps a
 * private copy of the other's index and reloads it only when the ring looks full or empty, so that a burst
 * costs one cache miss. test/model/ checks this by exhaustion.
 */
#ifndef MARIO_BASE_SPSC_H
#define MARIO_BASE_SPSC_H

#include <stdatomic.h>
#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>
#include <stdlib.h>

#define SPSC_LINE 64 /* bytes of a cache line on every platform we run on */

struct spsc {
    _Alignas(SPSC_LINE) _Atomic uint32_t tail; /* producer (w) -> consumer (r): slots published */
    uint32_t head_seen;                        /* producer's copy of head */
    _Alignas(SPSC_LINE) _Atomic uint32_t head; /* consumer (w) -> producer (r): slots given back */
    uint32_t tail_seen;                        /* consumer's copy of tail */
    _Alignas(SPSC_LINE) unsigned char *slots;  /* both (r): set before the threads start */
    uint32_t mask;
    uint32_t size;
};

/* ---- Before threads start, after they have ended ---- */

/* `capacity` (a power of two) elements of `size` bytes lie in slots, which stay the caller's: no spsc_fini(). */
static inline void spsc_init_at(struct spsc *r, void *slots, uint32_t capacity, uint32_t size)
{
    r->slots = slots;
    r->mask = capacity - 1;
    r->size = size;
    r->head_seen = r->tail_seen = 0;
    atomic_init(&r->tail, 0);
    atomic_init(&r->head, 0);
}

/* Allocate them. False without memory. */
__attribute__((warn_unused_result)) static inline bool spsc_init(struct spsc *r, uint32_t capacity,
                                                                 uint32_t size)
{
    spsc_init_at(r, calloc(capacity, size), capacity, size);
    return r->slots != NULL;
}

static inline void spsc_fini(struct spsc *r)
{
    free(r->slots);
    r->slots = NULL;
}

/* ---- Producer ---- */

/* The next free slot, to be filled in place, or NULL when the ring is full. Reserving twice gives the same
 * slot. */
static inline void *spsc_reserve(struct spsc *r)
{
    uint32_t tail = atomic_load_explicit(&r->tail, memory_order_relaxed); /* our own */
    if (tail - r->head_seen > r->mask) {
        r->head_seen = atomic_load_explicit(&r->head, memory_order_acquire);
        if (tail - r->head_seen > r->mask)
            return NULL;
    }
    return r->slots + (size_t) (tail & r->mask) * r->size;
}

/* Publish the slot that spsc_reserve() gave. */
static inline void spsc_commit(struct spsc *r)
{
    uint32_t tail = atomic_load_explicit(&r->tail, memory_order_relaxed);
    atomic_store_explicit(&r->tail, tail + 1, memory_order_release);
}

/* How many slots were ever published, modulo 2^32: what spsc_is_read_to() takes. */
static inline uint32_t spsc_published(const struct spsc *r)
{
    return atomic_load_explicit(&r->tail, memory_order_relaxed); /* our own */
}

/* ---- Consumer ---- */

/* Whether all slots are given back that were published when spsc_published() said so; that is less than 2^31 ago. */
static inline bool spsc_is_read_to(const struct spsc *r, uint32_t published)
{
    uint32_t head = atomic_load_explicit(&r->head, memory_order_relaxed); /* our own */
    return (int32_t) (head - published) >= 0;
}

/* The oldest published slot, or NULL when the ring is empty. It stays ours until spsc_release(). */
static inline void *spsc_front(struct spsc *r)
{
    uint32_t head = atomic_load_explicit(&r->head, memory_order_relaxed); /* our own */
    if (head == r->tail_seen) {
        r->tail_seen = atomic_load_explicit(&r->tail, memory_order_acquire);
        if (head == r->tail_seen)
            return NULL;
    }
    return r->slots + (size_t) (head & r->mask) * r->size;
}

/* Give the slot that spsc_front() gave back to the producer. */
static inline void spsc_release(struct spsc *r)
{
    uint32_t head = atomic_load_explicit(&r->head, memory_order_relaxed);
    atomic_store_explicit(&r->head, head + 1, memory_order_release);
}

/* ---- Any thread ---- */

/* About how many slots are published and not given back. */
static inline uint32_t spsc_waiting(const struct spsc *r)
{
    uint32_t head =
        atomic_load_explicit(&r->head, memory_order_acquire); /* before tail, which is not behind it then */
    uint32_t waiting = atomic_load_explicit(&r->tail, memory_order_relaxed) - head;
    return waiting <= r->mask + 1 ? waiting : r->mask + 1; /* both went on in between */
}

#endif
