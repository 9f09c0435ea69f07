/*
 * timing.c: the blocks in which executors count their calls, and what they are together. The executor's thread
 * observes; blocks are made and freed by whoever makes executors, under a lock that neither a worker nor the running
 * server's master ever takes; reading is for any other thread.
 */
#include "mario/exec/timing.h"

#include <pthread.h>
#include <stddef.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/mman.h>

#include "mario/base/stats.h"
#include "mario/base/symbol.h"

struct timing_rules timing_rules = {.slow = UINT64_MAX};

static pthread_mutex_t lock = PTHREAD_MUTEX_INITIALIZER;
static struct timing_block *blocks; /* under lock: all there are */
static struct timing_block
    *retired; /* under lock: what those have counted that are no more; NULL outside a server */
static struct timing_block *lost; /* the master's; likewise */

/* Of the cycles that a call took; constant while threads run. A division for each would cost as much as all the
 * rest. */
enum { NS_SHIFT = 20, LONGEST_MS = 1 << 20 };
static uint64_t ns_a_cycle, longest;

/* Constant between timing_open() and timing_end(). */
static uint32_t slot_of[TIMING_INDEXES]; /* 1 + the place of its histogram, 0 = it has none */
static uint32_t *functions;              /* [function_count] indexes, in order */
static uint32_t function_count;

static _Atomic uint32_t slow_keep = MARIO_SLOW_KEEP_MAX;
static _Atomic uint64_t slow_since; /* by clock_ns(): earlier ones are forgotten */

/* ---- Blocks ---- */

/* Memory that is there when it is first used, page by page: of the many ids few are. */
static void *map(size_t size)
{
    void *p = mmap(NULL, size, PROT_READ | PROT_WRITE, MAP_PRIVATE | MAP_ANONYMOUS | MAP_NORESERVE, -1, 0);
    if (p == MAP_FAILED)
        return NULL;
    madvise(p, size, MADV_NOHUGEPAGE);
    return p;
}

enum {
    CALLS_SIZE = TIMING_INDEXES * sizeof(uint64_t),
    SLOW_AT = (sizeof(struct timing_block) + 2 * CALLS_SIZE + 63) / 64 * 64,
    BLOCK_SIZE = SLOW_AT + MARIO_SLOW_KEEP_MAX * sizeof(struct slow_place)
};

static bool give_times(struct timing_block *b)
{
    b->times = function_count > 0 ? map(function_count * sizeof *b->times) : NULL;
    return b->times != NULL || function_count == 0;
}

static void destroy(struct timing_block *b)
{
    if (b->times != NULL)
        munmap(b->times, function_count * sizeof *b->times);
    munmap(b, BLOCK_SIZE);
}

/* A new one, among the others. Under lock. NULL without memory. */
static struct timing_block *create(void)
{
    struct timing_block *b = map(BLOCK_SIZE);
    if (b == NULL)
        return NULL;
    b->errors = b->calls + TIMING_INDEXES;
    b->slow.place = (struct slow_place *) (void *) ((char *) b + SLOW_AT);
    if (!give_times(b)) {
        destroy(b);
        return NULL;
    }
    b->next = blocks;
    blocks = b;
    return b;
}

static void take_out(struct timing_block *b)
{
    struct timing_block **link = &blocks;
    while (*link != b)
        link = &(*link)->next;
    *link = b->next;
}

bool timing_setup(struct timing *m)
{
    pthread_mutex_lock(&lock);
    m->block = create();
    m->random = (uint32_t) ((uintptr_t) m->block >> 12) | 1;
    pthread_mutex_unlock(&lock);
    return m->block != NULL;
}

static void add(_Atomic uint64_t *to, const _Atomic uint64_t *from)
{
    uint64_t n = atomic_load_explicit(from, memory_order_relaxed);
    if (n != 0)
        timing_bump(to, n);
}

/* What b has counted is `retired`'s from here on. Under lock. */
static void retire(const struct timing_block *b)
{
    static struct slow_entry slow[MARIO_SLOW_KEEP_MAX];
    for (uint32_t i = 0; i < function_count; i++) {
        uint32_t f = functions[i];
        if (atomic_load_explicit(&b->calls[f], memory_order_relaxed) == 0)
            continue;
        add(&retired->calls[f], &b->calls[f]);
        add(&retired->errors[f], &b->errors[f]);
        add(&retired->times[i].sum, &b->times[i].sum);
        for (uint32_t k = 0; k < TIMING_BUCKETS; k++)
            add(&retired->times[i].bucket[k], &b->times[i].bucket[k]);
    }
    uint32_t n = slow_read(&b->slow, 0, slow, MARIO_SLOW_KEEP_MAX);
    for (uint32_t i = 0; i < n; i++)
        slow_put(&retired->slow, &slow[i]);
}

void timing_teardown(struct timing *m)
{
    if (m->block == NULL)
        return;
    pthread_mutex_lock(&lock);
    if (retired != NULL && function_count > 0)
        retire(m->block);
    take_out(m->block);
    pthread_mutex_unlock(&lock);
    destroy(m->block);
    m->block = NULL;
}

/* ---- A server ---- */

bool timing_begin(void)
{
    ns_a_cycle = (UINT64_C(1000000) << NS_SHIFT) / clock_cycles_ms;
    longest = clock_cycles_ms * LONGEST_MS;
    pthread_mutex_lock(&lock);
    retired = create();
    lost = create();
    bool ok = retired != NULL && lost != NULL;
    pthread_mutex_unlock(&lock);
    atomic_store(&slow_since, 0);
    return ok;
}

void timing_end(void)
{
    struct timing_block *own[] = {retired, lost};
    pthread_mutex_lock(&lock);
    retired = lost = NULL;
    for (size_t i = 0; i < sizeof own / sizeof own[0]; i++) {
        if (own[i] == NULL)
            continue;
        take_out(own[i]);
        destroy(own[i]);
    }
    for (uint32_t i = 0; i < function_count; i++)
        slot_of[functions[i]] = 0;
    free(functions);
    functions = NULL;
    function_count = 0;
    pthread_mutex_unlock(&lock);
}

static bool is_registered(uint32_t index)
{
    return index == TIMING_CALL || registry_function((uint16_t) index) != NULL;
}

bool timing_open(void)
{
    uint32_t n = 0;
    for (uint32_t i = 0; i < TIMING_INDEXES; i++)
        n += is_registered(i);
    uint32_t *all = malloc(n * sizeof *all);
    if (all == NULL)
        return false;
    pthread_mutex_lock(&lock);
    functions = all;
    for (uint32_t i = 0; i < TIMING_INDEXES; i++) {
        if (!is_registered(i))
            continue;
        functions[function_count++] = i;
        slot_of[i] = function_count;
    }
    bool ok = true;
    for (struct timing_block *b = blocks; b != NULL && ok; b = b->next)
        ok = give_times(b);
    pthread_mutex_unlock(&lock);
    return ok;
}

void timing_configure(const struct timing_options *o)
{
    uint64_t slow =
        o->slow_ms == 0 || o->mode == MARIO_TIMING_OFF ? UINT64_MAX : o->slow_ms * clock_cycles_ms;
    atomic_store_explicit(&timing_rules.mode, (uint32_t) o->mode, memory_order_relaxed);
    atomic_store_explicit(&timing_rules.slow, slow, memory_order_relaxed);
    atomic_store_explicit(&slow_keep, o->slow_keep, memory_order_relaxed);
}

/* ---- Observing ---- */

/* Its number is that of the buckets below it; one of 2 * TIMING_STEPS for each ns, from there on as many to each power
 * of two. */
static uint32_t bucket_of(uint64_t ns)
{
    uint32_t shift = 0;
    if (ns >> TIMING_BITS != 0)
        ns = (UINT64_C(1) << TIMING_BITS) - 1;
    if (ns >= 2 * TIMING_STEPS)
        shift = 60u - (uint32_t) __builtin_clzll(ns);
    return shift * TIMING_STEPS + (uint32_t) (ns >> shift);
}

uint64_t timing_bucket_end(uint32_t bucket)
{
    uint32_t shift = bucket < 2 * TIMING_STEPS ? 0 : bucket / TIMING_STEPS - 1;
    return (uint64_t) (bucket - shift * TIMING_STEPS + 1) << shift;
}

static inline void observe(struct timing_block *b, uint32_t index, uint64_t ns)
{
    uint32_t slot = slot_of[index];
    if (slot == 0 || b->times == NULL)
        return;
    timing_bump(&b->times[slot - 1].sum, ns);
    timing_bump(&b->times[slot - 1].bucket[bucket_of(ns)], 1);
}

void timing_observe(struct timing *m, uint32_t index, uint64_t cycles)
{
    if (cycles > longest)
        cycles = longest;
    observe(m->block, index, cycles * ns_a_cycle >> NS_SHIFT);
}

bool timing_is_due_now(struct timing *m, uint32_t mode)
{
    if (mode == MARIO_TIMING_ALL)
        return true;
    m->random ^= m->random << 13;
    m->random ^= m->random >> 17;
    m->random ^= m->random << 5;
    m->left = 1 + m->random % (2 * TIMING_EVERY - 1);
    return true;
}

void timing_lost(const struct slow_entry *e)
{
    if (lost == NULL)
        return;
    timing_bump(&lost->errors[e->index], 1);
    if (atomic_load_explicit(&timing_rules.mode, memory_order_relaxed) == MARIO_TIMING_OFF)
        return;
    observe(lost, e->index, e->took);
    if (timing_slow_after() == UINT64_MAX)
        return;
    stats_add_shared(STAT_function_slow, 1);
    slow_put(&lost->slow, e);
}

/* ---- Reading ---- */

static uint64_t get(const _Atomic uint64_t *value)
{
    return atomic_load_explicit(value, memory_order_relaxed);
}

static void read_times(const struct histogram *h, struct timing_sum *sum)
{
    sum->sum += get(&h->sum);
    for (uint32_t k = 0; k < TIMING_BUCKETS; k++) {
        uint64_t n = get(&h->bucket[k]);
        sum->bucket[k] += n;
        sum->timed += n;
    }
}

void timing_read(uint32_t index, struct timing_sum *sum)
{
    memset(sum, 0, sizeof *sum);
    pthread_mutex_lock(&lock);
    uint32_t slot = slot_of[index];
    for (const struct timing_block *b = blocks; b != NULL; b = b->next) {
        uint64_t calls = get(&b->calls[index]);
        sum->calls += calls;
        sum->errors += get(&b->errors[index]);
        if (slot != 0 && b->times != NULL && (calls != 0 || b == lost))
            read_times(&b->times[slot - 1], sum);
    }
    pthread_mutex_unlock(&lock);
}

uint64_t timing_calls(uint32_t index)
{
    uint64_t calls = 0;
    pthread_mutex_lock(&lock);
    for (const struct timing_block *b = blocks; b != NULL; b = b->next)
        calls += get(&b->calls[index]);
    pthread_mutex_unlock(&lock);
    return calls;
}

uint64_t timing_quantile(const struct timing_sum *sum, double share)
{
    uint64_t below = 0, wanted = (uint64_t) (share * (double) sum->timed + 0.5);
    if (sum->timed == 0)
        return 0;
    for (uint32_t k = 0; k < TIMING_BUCKETS; k++) {
        below += sum->bucket[k];
        if (below > 0 && below >= wanted)
            return timing_bucket_end(k);
    }
    return timing_bucket_end(TIMING_BUCKETS - 1);
}

uint32_t timing_function_count(void)
{
    return function_count;
}

uint32_t timing_function(uint32_t i)
{
    return functions[i];
}

void timing_name(uint32_t index, char *id, size_t id_size, char *name, size_t name_size)
{
    static const char *const hooks[] = {"connected", "timeout", "closed", "error"};
    struct symbol s;
    *name = '\0';
    if (index == TIMING_CALL) {
        snprintf(id, id_size, "call");
        return;
    }
    if (index >= AKG_FIRST_RESERVED)
        snprintf(id, id_size, "%s", hooks[index - AKG_FIRST_RESERVED]);
    else
        snprintf(id, id_size, "0x%04x", index);
    uintptr_t at = (uintptr_t) registry_function((uint16_t) index);
    if (at != 0 && symbol_find(at, &s) && s.function != NULL && s.offset == 0)
        snprintf(name, name_size, "%s", s.function);
    else if (at != 0)
        symbol_name(at, name, name_size);
}

static int by_end(const void *a, const void *b)
{
    const struct slow_entry *x = a, *y = b;
    return x->when < y->when ? 1 : x->when > y->when ? -1 : 0;
}

uint32_t timing_slow(struct slow_entry *out, uint32_t most)
{
    uint32_t n = 0, keep = timing_slow_keep();
    uint64_t since = atomic_load_explicit(&slow_since, memory_order_relaxed);
    struct slow_entry *all = malloc(2 * MARIO_SLOW_KEEP_MAX * sizeof *all);
    if (all == NULL)
        return 0;
    pthread_mutex_lock(&lock);
    for (const struct timing_block *b = blocks; b != NULL; b = b->next) {
        n += slow_read(&b->slow, since, all + n, MARIO_SLOW_KEEP_MAX);
        qsort(all, n, sizeof *all, by_end);
        n = n < MARIO_SLOW_KEEP_MAX ? n : MARIO_SLOW_KEEP_MAX;
    }
    pthread_mutex_unlock(&lock);
    most = most < keep ? most : keep;
    n = n < most ? n : most;
    memcpy(out, all, n * sizeof *out);
    free(all);
    return n;
}

void timing_slow_reset(void)
{
    atomic_store_explicit(&slow_since, clock_ns(), memory_order_relaxed);
}

uint32_t timing_slow_keep(void)
{
    return atomic_load_explicit(&slow_keep, memory_order_relaxed);
}
