/*
 * doorbell.h: waking a thread that sleeps in a loop; the only way to do so in the house.
 *
 * A doorbell is a 64-bit word, one bit for each producer (shared beyond 64), and an eventfd. A producer puts
 * its work where the owner finds it, then rings its bit; the eventfd is written only when the word was 0, so
 * a burst costs one wake-up. The owner swaps the word for 0 and looks at just those producers.
 *
 * No wake-up is lost: the ring and the swap are read-modify-writes of one word, so they are ordered. If the
 * ring comes first, the swap sees the bit, and (release, acquire) the work behind it. If the swap comes
 * first, the ring finds 0 and writes the eventfd. The eventfd is watched edge-triggered and never read: each
 * write is an edge. An owner that holds the bell promises to answer after a while without being woken.
 */
#ifndef MARIO_BASE_DOORBELL_H
#define MARIO_BASE_DOORBELL_H

#include <stdatomic.h>
#include <stdbool.h>
#include <stdint.h>

struct doorbell {
    _Alignas(64) _Atomic uint64_t word; /* producers (w) -> owner (swaps for 0) */
    _Alignas(64) int fd;                /* the eventfd; set before threads start */
};

/* Make it. Before threads start. False with errno when there is no eventfd to be had. */
__attribute__((warn_unused_result)) bool doorbell_init(struct doorbell *d);
/* After all threads that know it have ended; harmless on one that failed to init. */
void doorbell_fini(struct doorbell *d);

/* Any thread, also a signal handler: wake the owner; producer's bit is producer % 64. Never blocks. */
void doorbell_ring(struct doorbell *d, unsigned producer);

/* The same, and the owner is woken even if it said with doorbell_hold() that it looks by itself. */
void doorbell_insist(struct doorbell *d, unsigned producer);

/* The owner: until the next answer producers need not wake it, it comes by itself. Keeps a burst of rare
 * pieces of work from costing each producer a system call. producer: a bit that stands for nobody. */
static inline void doorbell_hold(struct doorbell *d, unsigned producer)
{
    atomic_fetch_or_explicit(&d->word, UINT64_C(1) << (producer % 64), memory_order_acq_rel);
}

/* The owner, woken: which producers have rung since the last call. */
static inline uint64_t doorbell_answer(struct doorbell *d)
{
    return atomic_exchange_explicit(&d->word, 0, memory_order_acq_rel);
}

#endif
