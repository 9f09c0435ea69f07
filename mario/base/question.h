/*
 * question.h: what one thread wants to know of another, or wants it to do, without either waiting: the other is asked
 * through a ring and a doorbell, answers between two passes of its loop in slices, into memory that the asker has made
 * for it, and rings back. It allocates and frees nothing. A question that nobody waits for any more is answered as
 * ever: the asker keeps its memory until then.
 */
#ifndef MARIO_BASE_QUESTION_H
#define MARIO_BASE_QUESTION_H

#include <stdatomic.h>
#include <stdbool.h>
#include <stdint.h>

#include "mario/base/clock.h"
#include "mario/base/doorbell.h"
#include "mario/base/spsc.h"

enum { QUESTIONS = 16 }; /* that may wait for a thread */

/* One slice, on the thread that is asked: some 50 us, no user code, in library state. `who`: it, what it says it is.
 * True while there is more. */
typedef bool (*QUESTION_FUNC)(void *who, void *part, const void *about);

struct question {
    QUESTION_FUNC step;
    void *part; /* the answer; its memory is the asker's, and who is asked writes it until `answered` */
    const void *about;     /* constant, the same for all who are asked */
    _Atomic bool answered; /* who is asked (w) -> asker (r) */
};

struct questions {
    struct spsc ring;      /* asker (w) -> who is asked (r): struct question *; not made: nobody ever asks */
    struct doorbell *back; /* the asker's */
    unsigned back_bit;
    bool any;                 /* who is asked: there may be some left */
    _Atomic uint64_t longest; /* who is asked (w) -> any thread (r), ns: see questions_longest() */
};

/* Before threads start. False without memory. */
__attribute__((warn_unused_result)) static inline bool questions_init(struct questions *q,
                                                                      struct doorbell *back, unsigned bit)
{
    q->back = back;
    q->back_bit = bit;
    return spsc_init(&q->ring, QUESTIONS, sizeof(struct question *));
}

/* After all threads have ended. */
static inline void questions_fini(struct questions *q)
{
    spsc_fini(&q->ring);
}

/* The asker: it then rings the other's bell. False if too many wait already. */
__attribute__((warn_unused_result)) static inline bool questions_put(struct questions *q,
                                                                     struct question *one)
{
    struct question **place = spsc_reserve(&q->ring);
    if (place == NULL)
        return false;
    *place = one;
    spsc_commit(&q->ring);
    return true;
}

/* Any thread: how many ns of its thread the longest slice took so far; time in which others had its core is not in
 * it. */
static inline uint64_t questions_longest(const struct questions *q)
{
    return atomic_load_explicit(&q->longest, memory_order_relaxed);
}

/* Who is asked, whose bell was rung: there may be one. */
static inline void questions_rung(struct questions *q)
{
    q->any = true;
}

/* Who is asked, if there may be one: a slice of the oldest question. True while any are left: the loop must not sleep
 * then. */
static inline bool questions_pass(struct questions *q, void *who)
{
    struct question **front = spsc_front(&q->ring), *one;
    if (front == NULL)
        return q->any = false;
    one = *front;
    uint64_t began = clock_thread_ns();
    bool more = one->step(who, one->part, one->about);
    uint64_t took = clock_thread_ns() - began;
    if (took > atomic_load_explicit(&q->longest, memory_order_relaxed))
        atomic_store_explicit(&q->longest, took, memory_order_relaxed);
    if (more)
        return q->any = true;
    spsc_release(&q->ring);
    atomic_store_explicit(&one->answered, true, memory_order_release);
    doorbell_ring(q->back, q->back_bit);
    return q->any = spsc_front(&q->ring) != NULL;
}

#endif
