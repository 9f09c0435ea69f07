/*
 * timing.h: how often each function is called, how often it fails and how long it takes; and which ones took too long
 * (slow.h). Each executor has a block of its own and is its only writer, so that a thread that was taken over may go on
 * counting; whoever reads sums the blocks.
 *
 * Calls and errors are always counted. Time is taken as stats.timing says: never; of one wake-up of a connection in
 * sixteen or so, picked at random, so that nobody who keeps step is picked always or never; of all. Hooks, calls
 * without a packet and offloaded functions, which are rare or dear, are timed in both. Every wake-up is held against
 * slow.ms.
 *
 * A histogram is log-linear: eight buckets from one power of two to the next, so none is wider than an eighth of what
 * is in it.
 */
#ifndef MARIO_EXEC_TIMING_H
#define MARIO_EXEC_TIMING_H

#include <stdatomic.h>
#include <stdbool.h>
#include <stdint.h>

#include "mario/base/clock.h"
#include "mario/exec/registry.h"
#include "mario/exec/slow.h"
#include "mario/mario_server.h"

/* A function's index: its akg_id, of hooks the reserved one; and one for all that is called for no packet. */
#define TIMING_CALL    AKG_IDS
#define TIMING_INDEXES (AKG_IDS + 1)

#define TIMING_STEPS   8u  /* buckets from one power of two to the next */
#define TIMING_BITS    40u /* 2^40 ns, 18 minutes: what is longer counts as about that */
#define TIMING_BUCKETS ((TIMING_BITS - 2) * TIMING_STEPS)

#define TIMING_EVERY 16u /* wake-ups for each that is timed, on average */

/* What was configured, for all threads of the process. */
struct timing_rules {
    _Atomic uint32_t mode; /* enum mario_timing */
    _Atomic uint64_t slow; /* in clock_cycles(); UINT64_MAX = nothing is slow */
};
extern struct timing_rules timing_rules;

/* The same as the options stats_timing, slow_ms, slow_keep. */
struct timing_options {
    enum mario_timing mode;
    uint32_t slow_ms, slow_keep;
};

struct histogram {
    _Atomic uint64_t sum; /* ns */
    _Atomic uint64_t bucket[TIMING_BUCKETS];
};

struct timing_block {
    struct timing_block *next; /* under the lock of timing.c, as the next one */
    struct histogram *times;   /* one for each registered function; NULL until the server starts */
    _Atomic uint64_t *errors;  /* [TIMING_INDEXES], owner (w) -> any (r) */
    struct slow_ring slow;     /* likewise */
    _Atomic uint64_t calls[];  /* [TIMING_INDEXES], likewise */
};

/* An executor's part. */
struct timing {
    struct timing_block *block;
    uint64_t began;  /* when what is timed now began, in clock_cycles(); 0 = it is not */
    uint32_t window; /* packets handed out since */
    uint32_t left;   /* wake-ups until one is timed */
    uint32_t random;
};

/* ---- Whoever makes and frees executors: no worker, and not the master while the server runs ---- */

__attribute__((warn_unused_result)) bool timing_setup(struct timing *m);
/* Its thread has ended: what it has counted goes to those who are no more. */
void timing_teardown(struct timing *m);

/* ---- The thread that makes and runs the server ---- */

/* Before executors are made; after they are freed. */
__attribute__((warn_unused_result)) bool timing_begin(void);
void timing_end(void);
/* Functions are registered: what they took can be counted from now on. False without memory. */
__attribute__((warn_unused_result)) bool timing_open(void);
/* Use these from now on. The master, too. */
void timing_configure(const struct timing_options *o);

/* ---- The executor's thread ---- */

static inline void timing_bump(_Atomic uint64_t *value, uint64_t n)
{
    atomic_store_explicit(value, atomic_load_explicit(value, memory_order_relaxed) + n, memory_order_relaxed);
}

/* For each packet: on x86-64 with the one instruction that compilers do not take for an atomic, which here is half the
 * cost of it all. It is one store, as any other of the owner's. */
static inline void timing_call(struct timing *m, uint32_t index)
{
#if defined(__x86_64__) && !defined(__SANITIZE_THREAD__)
    __asm__("addq $1, %0" : "+m"(*(uint64_t *) (void *) &m->block->calls[index]));
#else
    timing_bump(&m->block->calls[index], 1);
#endif
}

static inline void timing_error(struct timing *m, uint32_t index)
{
    timing_bump(&m->block->errors[index], 1);
}

/* One call took so many cycles. */
void timing_observe(struct timing *m, uint32_t index, uint64_t cycles);

static inline uint64_t timing_slow_after(void)
{
    return atomic_load_explicit(&timing_rules.slow, memory_order_relaxed);
}

/* User code begins to run. */
static inline void timing_start(struct timing *m)
{
    bool on = atomic_load_explicit(&timing_rules.mode, memory_order_relaxed) != MARIO_TIMING_OFF;
    m->began = on ? clock_cycles() : 0;
    m->window = 1;
}

/* Whether each packet of this wake-up is to be timed. */
bool timing_is_due_now(struct timing *m, uint32_t mode);
static inline bool timing_is_due(struct timing *m)
{
    uint32_t mode = atomic_load_explicit(&timing_rules.mode, memory_order_relaxed);
    if (mode == MARIO_TIMING_SAMPLED && m->left > 1) {
        m->left--;
        return false;
    }
    return mode != MARIO_TIMING_OFF && timing_is_due_now(m, mode);
}

/* The master: a call that did not return, or ended its thread, after so many ms; into a block of the master's own. */
void timing_lost(const struct slow_entry *e);

/* ---- Any thread but workers and the master ---- */

/* What is known of a function. */
struct timing_sum {
    uint64_t calls, errors;
    uint64_t timed; /* how many calls are in the rest */
    uint64_t sum;   /* ns */
    uint64_t bucket[TIMING_BUCKETS];
};
void timing_read(uint32_t index, struct timing_sum *sum);
/* Only how often it was called. */
uint64_t timing_calls(uint32_t index);

/* About below how many ns `share` (0 .. 1) of the timed calls stayed; 0 if there is none. */
uint64_t timing_quantile(const struct timing_sum *sum, double share);
/* The first ns that is not in the bucket. */
uint64_t timing_bucket_end(uint32_t bucket);

/* The functions there are: index of the i-th, in order; how many. Constant while a server runs. */
uint32_t timing_function_count(void);
uint32_t timing_function(uint32_t i);
/* Its names: "0x6101", "closed" or "call"; the function's as its file tells it, or where it lies. Cut to size. */
void timing_name(uint32_t index, char *id, size_t id_size, char *name, size_t name_size);

/* The last `most` slow calls, the last one first. How many. */
uint32_t timing_slow(struct slow_entry *out, uint32_t most);
/* Forget those that were until now. */
void timing_slow_reset(void);
uint32_t timing_slow_keep(void);

#endif
