/*
 * fence.h: whose the shard is: one word, and one compare-and-swap that exactly one of two threads wins. Pure: it
 * knows nothing of what it guards.
 *
 * A thread opens its fence before user code runs (fence_open) and closes it behind (fence_close). Only while it is
 * open another thread may take over what it guards, with the same word (fence_take): so exactly one of the two goes
 * on. What the thread wrote before fence_open (release) the other one sees after fence_take (acquire).
 *
 *     LIBRARY <-> FUNCTION -> TAKEN          a thread that ends in a function or while it waits: -> DIED -> TAKEN
 *
 * The word also counts how often the fence was opened, its epoch: who saw it open and finds the same word later
 * knows that it was open all the while. test/model/fence.pml checks this by exhaustion.
 */
#ifndef MARIO_EXEC_FENCE_H
#define MARIO_EXEC_FENCE_H

#include <stdatomic.h>
#include <stdbool.h>
#include <stdint.h>

enum fence_state { FENCE_LIBRARY, FENCE_FUNCTION, FENCE_TAKEN, FENCE_DIED };

#define FENCE_STATES 4u /* the word is an epoch, a multiple of this, + enum fence_state */

struct fence {
    _Alignas(64) _Atomic uint64_t word; /* its thread, a successor (w) -> any thread (r) */
    uint64_t epoch;                     /* its thread: times it was opened, * FENCE_STATES */
};

/* ---- Its thread ---- */

/* User code runs from here on. */
static inline void fence_open(struct fence *f)
{
    f->epoch += FENCE_STATES;
    atomic_store_explicit(&f->word, f->epoch + FENCE_FUNCTION, memory_order_release);
}

/* User code has returned. False when what it guards is another's by now. */
__attribute__((warn_unused_result)) static inline bool fence_close(struct fence *f)
{
    uint64_t open = f->epoch + FENCE_FUNCTION;
    return atomic_compare_exchange_strong_explicit(&f->word, &open, f->epoch + FENCE_LIBRARY,
                                                   memory_order_acq_rel, memory_order_acquire);
}

/* Between two pieces of user code: whether it is another's. A hint, not the fence. */
static inline bool fence_is_lost(const struct fence *f)
{
    return atomic_load_explicit(&f->word, memory_order_relaxed) != f->epoch + FENCE_FUNCTION;
}

/* The thread is about to end, in user code or while it waited: a successor may take over. Not if one has. */
static inline void fence_die(struct fence *f)
{
    uint64_t seen = atomic_load_explicit(&f->word, memory_order_acquire);
    if (seen % FENCE_STATES != FENCE_TAKEN)
        atomic_compare_exchange_strong_explicit(&f->word, &seen, f->epoch + FENCE_DIED, memory_order_acq_rel,
                                                memory_order_acquire);
}

/* ---- Any thread ---- */

static inline uint64_t fence_look(const struct fence *f)
{
    return atomic_load_explicit(&f->word, memory_order_acquire);
}

/* The state that a word says. */
static inline enum fence_state fence_state(uint64_t word)
{
    return (enum fence_state)(word % FENCE_STATES);
}

/* A successor: take over what the fence guards; its word was `seen` when its thread was found stuck or dead. True
 * for exactly one of that thread and all successors. */
__attribute__((warn_unused_result)) static inline bool fence_take(struct fence *f, uint64_t seen)
{
    return atomic_compare_exchange_strong_explicit(&f->word, &seen, seen - seen % FENCE_STATES + FENCE_TAKEN,
                                                   memory_order_acq_rel, memory_order_acquire);
}

#endif
