/*
 * pace.h: a share of time that costs next to nothing to keep: who does many small things one after the other looks at
 * the clock now and then, more often when they turn out dear. No state but the caller's.
 *
 * Time counts that the thread has used, or has waited in what it did; not that others had its core.
 */
#ifndef MARIO_BASE_PACE_H
#define MARIO_BASE_PACE_H

#include <stdbool.h>
#include <stdint.h>

#define PACE_STRIDE_FIRST 4u    /* things between two looks, until it is known what they cost */
#define PACE_STRIDE_MAX   16u   /* and of the cheapest ones */
#define PACE_STAMP_AT     4096u /* bytes for which it is worth a look before the first one */
#define PACE_FOR_EVER     0xffffffffu

struct pace {
    uint64_t
        deadline; /* in clock_cycles(): when to find out whether the share is used up; 0 = it has not begun */
    uint64_t looked; /* in clock_cycles(): the last look at the work at hand; 0 = not yet */
    uint64_t cpu;    /* ns that the thread had used when the deadline was passed first */
    uint64_t waits;  /* times that it had waited then */
    bool has_asked;  /* those two are known */
    bool is_up;      /* the share is used up */
    uint32_t stride; /* things between two looks */
    uint32_t left;   /* things until the next look */
};

/* A new share of about a millisecond: it begins with the first look. */
static inline void pace_renew(struct pace *p)
{
    p->deadline = 0;
    p->has_asked = p->is_up = false;
}
/* The same, but it begins now. */
void pace_start(struct pace *p);

/* Work begins that comes in so many bytes. */
void pace_begin_bulk(struct pace *p);
static inline void pace_begin(struct pace *p, uint32_t bytes)
{
    p->left = p->stride != 0 ? p->stride : PACE_STRIDE_FIRST;
    p->looked = 0;
    if (bytes >= PACE_STAMP_AT)
        pace_begin_bulk(p);
}
/* It must not be interrupted. */
static inline void pace_ignore(struct pace *p)
{
    p->left = PACE_FOR_EVER;
}

/* One thing is done. True if it is time to look: pace_look(). */
static inline bool pace_step(struct pace *p)
{
    return --p->left == 0;
}
/* True if the share is used up. */
bool pace_look(struct pace *p);

/* Between two pieces of work: the same. */
bool pace_is_over(struct pace *p);

#endif
