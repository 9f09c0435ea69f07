/*
 * spans.c: blocks by size in spans of 64 KB, spans in heaps. A heap is one thread's at a time.
 *
 *     the area   addresses that are reserved once, cut in chunks of 4 MB. Chunks are claimed one after the other, each
 *                by a heap, for good, and can be touched from then on.
 *     a chunk    64 spans. The first one holds the heads of the others, so a block's head is found by its address.
 *     a span     blocks of one size: those that came back, in a list, and those that were never handed out. It is
 *                  in use   some blocks are out;
 *                  idle     none is, but its size is kept, and its pages: the next one of this size comes from it;
 *                  bare     it has neither size nor pages.
 *
 * Whose a heap is says one word, `given`:
 *
 *     &nobody            nobody's. Who swaps it for NULL has the heap (acquire).
 *     NULL               somebody's.
 *     a list of blocks   somebody's, and these were given back by others, who push them (release). The thread that has
 *                        the heap takes all of them at once (acquire) and puts them where they belong.
 *
 * A thread leaves its heap by swapping NULL for &nobody (release), and takes the list first if it is not NULL. So a
 * heap that is nobody's has no list, and who gives back a block of such a heap takes the heap for as long as that
 * lasts: nothing waits for an owner that sleeps or has ended. No block is popped from the list alone, so it does not
 * matter if the same one is on its top again. test/model/spans.pml checks this by exhaustion.
 *
 * What a thread needs to know of a block's span to give it back (whose it is, its size) was written before the block
 * was handed out and stays as long as it is out. All else in a head is its heap's.
 */
#include "mario/base/spans.h"

#include <stdatomic.h>
#include <stdint.h>
#include <stdlib.h>
#include <sys/mman.h>
#include <sys/resource.h>

enum {
    CHUNK_SHIFT = 22,
    SPAN_SHIFT = 16,
    SPANS = 1 << (CHUNK_SHIFT - SPAN_SHIFT),
    PAGE = 4096,
    FINE = 16, /* bytes from class to class, up to FINE_MOST; class 0 is for none */
    FINE_MOST = 1024,
    FINE_CLASSES = FINE_MOST / FINE,
    COARSE = 64, /* from there on */
    CLASSES = FINE_CLASSES + (SPANS_MOST - FINE_MOST) / COARSE + 1,
    KEEP = 512 * 1024, /* bytes that may be idle in a heap, */
    KEEP_SHIFT = 3,    /* or this part of those that are in use */
    AREA_LEAST = 16    /* chunks that are worth having */
};

#define RARE __attribute__((noinline)) /* out of the way of what is done a thousand times a handshake */

#define CHUNK ((size_t) 1 << CHUNK_SHIFT)
#define SPAN  ((size_t) 1 << SPAN_SHIFT)

struct block {
    struct block *next;
};

struct link {
    struct link *next, *prev;
};

struct span {
    struct link room; /* in its heap's list of its class, if is_listed */
    struct link rest; /* among the idle ones, or the bare ones */
    struct heap *heap;
    struct block *free;
    uint16_t class, size; /* of its blocks */
    uint16_t carved;      /* blocks that were ever handed out since it was bare */
    uint16_t used;        /* of those are out */
    uint16_t capacity;
    bool is_listed; /* else it is full, or bare */
};
_Static_assert(SPANS * sizeof(struct span) <= PAGE, "heads share a page");

struct heap {
    _Atomic(struct block *) given;
    struct heap *next;         /* constant once it is in the list of heaps */
    struct link room[CLASSES]; /* spans with blocks to be had, and full ones that nobody has noticed yet */
    struct link idle;          /* the latest first */
    struct link bare;
    size_t touched, idle_bytes; /* of all spans, of the idle ones: what they may have in memory */
};

static struct {
    char *base;
    size_t size;
} area; /* constant once it is set up */

static struct block nobody;
static _Atomic size_t claimed;                   /* chunks */
static _Atomic(struct heap *) heaps;             /* all of them; they stay */
static _Thread_local struct heap *here, *latest; /* this thread's, and the one it had the last time */
static _Thread_local unsigned depth;

/* ---- Lists: rings with a link that is no member ---- */

static void make_ring(struct link *ring)
{
    ring->next = ring->prev = ring;
}

static void put_first(struct link *ring, struct link *l)
{
    l->next = ring->next;
    l->prev = ring;
    ring->next->prev = l;
    ring->next = l;
}

static void take_out(struct link *l)
{
    l->prev->next = l->next;
    l->next->prev = l->prev;
}

static struct span *of_room(struct link *l)
{
    return (struct span *) (void *) ((char *) l - offsetof(struct span, room));
}

static struct span *of_rest(struct link *l)
{
    return (struct span *) (void *) ((char *) l - offsetof(struct span, rest));
}

/* ---- Where things are ---- */

static bool is_ours(const void *p)
{
    return (uintptr_t) p - (uintptr_t) area.base < area.size;
}

static struct span *head_of(const void *p)
{
    uintptr_t chunk = (uintptr_t) p & ~(uintptr_t) (CHUNK - 1);
    return (struct span *) chunk + (((uintptr_t) p - chunk) >> SPAN_SHIFT);
}

static unsigned number_of(const struct span *s)
{
    return (unsigned) (((uintptr_t) s & (CHUNK - 1)) / sizeof *s);
}

static char *memory_of(const struct span *s)
{
    return (char *) ((uintptr_t) s & ~(uintptr_t) (CHUNK - 1)) + ((size_t) number_of(s) << SPAN_SHIFT);
}

static unsigned class_of(size_t n)
{
    if (n <= FINE_MOST)
        return (unsigned) (n + FINE - 1) / FINE;
    return FINE_CLASSES + (unsigned) (n - FINE_MOST + COARSE - 1) / COARSE;
}

static size_t size_of(unsigned class)
{
    return class == 0              ? FINE
           : class <= FINE_CLASSES ? (size_t) class * FINE
                                   : FINE_MOST + ((size_t) class - FINE_CLASSES) * COARSE;
}

/* What it may have in memory, about. */
static size_t touched(const struct span *s)
{
    return (size_t) s->carved * s->size + PAGE;
}

/* ---- Spans of a heap: by the thread whose it is ---- */

/* Its 63 spans are bare. False without memory, or without addresses. */
static bool claim_chunk(struct heap *h)
{
    size_t n = atomic_load_explicit(&claimed, memory_order_relaxed);
    do {
        if (n >= area.size >> CHUNK_SHIFT)
            return false;
    } while (!atomic_compare_exchange_weak_explicit(&claimed, &n, n + 1, memory_order_relaxed,
                                                    memory_order_relaxed));
    char *chunk = area.base + (n << CHUNK_SHIFT);
    if (mprotect(chunk, CHUNK, PROT_READ | PROT_WRITE) != 0) {
        n++; /* somebody may have the next one already: then these addresses are lost */
        atomic_compare_exchange_strong_explicit(&claimed, &n, n - 1, memory_order_relaxed,
                                                memory_order_relaxed);
        return false;
    }
    for (unsigned i = SPANS - 1; i > 0; i--) {
        struct span *s = (struct span *) (void *) chunk + i;
        s->heap = h;
        put_first(&h->bare, &s->rest);
    }
    return true;
}

/* A bare one gets a size. */
static struct span *take_bare(struct heap *h, unsigned class)
{
    if (h->bare.next == &h->bare && !claim_chunk(h))
        return NULL;
    struct span *s = of_rest(h->bare.next);
    take_out(&s->rest);
    s->class = (uint16_t) class;
    s->size = (uint16_t) size_of(class);
    s->capacity = (uint16_t) (SPAN / s->size);
    s->carved = 0;
    s->free = NULL;
    put_first(&h->room[class], &s->room);
    s->is_listed = true;
    h->touched += touched(s);
    return s;
}

/* Of an idle one. */
RARE static void lay_bare(struct heap *h, struct span *s)
{
    take_out(&s->room);
    s->is_listed = false;
    take_out(&s->rest);
    h->idle_bytes -= touched(s);
    h->touched -= touched(s);
    madvise(memory_of(s), SPAN, MADV_DONTNEED);
    put_first(&h->bare, &s->rest);
}

/* All its blocks are back. */
static void go_idle(struct heap *h, struct span *s)
{
    put_first(&h->idle, &s->rest);
    h->idle_bytes += touched(s);
    while (h->idle_bytes > KEEP && h->idle_bytes > (h->touched - h->idle_bytes) >> KEEP_SHIFT)
        lay_bare(h, of_rest(h->idle.prev));
}

/* ---- Blocks: likewise ---- */

static inline void *pop(struct heap *h, struct span *s)
{
    struct block *b = s->free;
    s->free = b->next;
    if (s->used++ == 0) {
        take_out(&s->rest);
        h->idle_bytes -= touched(s);
    }
    return b;
}

/* One that was never handed out: some others are out, or the span has just got its size. Each span begins elsewhere, or
 * the first blocks of all of them would share the same few lines of the processor's caches. */
static void *carve(struct heap *h, struct span *s)
{
    unsigned at = s->carved + (unsigned) s->capacity * number_of(s) / SPANS;
    s->carved++;
    s->used++;
    h->touched += s->size;
    return memory_of(s) + (size_t) (at < s->capacity ? at : at - s->capacity) * s->size;
}

/* The first span of its class has no block that came back, or there is none. */
RARE static void *search(struct heap *h, unsigned class)
{
    struct link *ring = &h->room[class];
    while (ring->next != ring) {
        struct span *s = of_room(ring->next);
        if (s->free != NULL)
            return pop(h, s);
        if (s->carved < s->capacity)
            return carve(h, s);
        take_out(&s->room);
        s->is_listed = false;
    }
    struct span *s = take_bare(h, class);
    return s != NULL ? carve(h, s) : NULL;
}

static inline void put_back(struct heap *h, struct span *s, struct block *b)
{
    b->next = s->free;
    s->free = b;
    if (!s->is_listed) {
        put_first(&h->room[s->class], &s->room);
        s->is_listed = true;
    }
    if (--s->used == 0)
        go_idle(h, s);
}

/* ---- Whose a heap is ---- */

static bool enter(struct heap *h)
{
    struct block *is = &nobody;
    return atomic_compare_exchange_strong_explicit(&h->given, &is, NULL, memory_order_acquire,
                                                   memory_order_relaxed);
}

static void leave(struct heap *h)
{
    for (struct block *is = NULL; !atomic_compare_exchange_strong_explicit(
             &h->given, &is, &nobody, memory_order_release, memory_order_relaxed);
         is = NULL) {
        struct block *b = atomic_exchange_explicit(&h->given, NULL, memory_order_acquire);
        while (b != NULL) {
            struct block *next = b->next;
            put_back(h, head_of(b), b);
            b = next;
        }
    }
}

/* A block of a heap that this thread does not have. */
RARE static void give(struct heap *h, struct block *b)
{
    struct block *is = atomic_load_explicit(&h->given, memory_order_relaxed);
    for (;;) {
        if (is == &nobody) {
            if (enter(h)) {
                put_back(h, head_of(b), b);
                leave(h);
                return;
            }
            is = atomic_load_explicit(&h->given, memory_order_relaxed);
            continue;
        }
        b->next = is;
        if (atomic_compare_exchange_weak_explicit(&h->given, &is, b, memory_order_release,
                                                  memory_order_relaxed))
            return;
    }
}

/* It is this thread's. NULL without memory. */
static struct heap *make_heap(void)
{
    struct heap *h = calloc(1, sizeof *h);
    if (h == NULL)
        return NULL;
    for (unsigned i = 0; i < CLASSES; i++)
        make_ring(&h->room[i]);
    make_ring(&h->idle);
    make_ring(&h->bare);
    h->next = atomic_load_explicit(&heaps, memory_order_relaxed);
    while (!atomic_compare_exchange_weak_explicit(&heaps, &h->next, h, memory_order_release,
                                                  memory_order_relaxed))
        ;
    return h;
}

/* One that is nobody's, or a new one. */
static struct heap *find_heap(void)
{
    for (struct heap *h = atomic_load_explicit(&heaps, memory_order_acquire); h != NULL; h = h->next) {
        if (enter(h))
            return h;
    }
    return make_heap();
}

/* ---- For all ---- */

bool spans_setup(size_t size)
{
    struct rlimit limit;
    size_t chunks = size >> CHUNK_SHIFT;
    if (getrlimit(RLIMIT_AS, &limit) == 0 && limit.rlim_cur != RLIM_INFINITY &&
        chunks > limit.rlim_cur >> (CHUNK_SHIFT + 3))
        chunks =
            limit.rlim_cur >> (CHUNK_SHIFT + 3); /* what is reserved counts there: leave the most of it */
    for (; chunks >= AREA_LEAST; chunks /= 2) {
        char *p = mmap(NULL, (chunks + 1) << CHUNK_SHIFT, PROT_NONE,
                       MAP_PRIVATE | MAP_ANONYMOUS | MAP_NORESERVE, -1, 0);
        if (p == MAP_FAILED)
            continue;
        area.base = (char *) (((uintptr_t) p + CHUNK - 1) & ~(uintptr_t) (CHUNK - 1));
        area.size = chunks << CHUNK_SHIFT;
        madvise(area.base, area.size, MADV_NOHUGEPAGE); /* else what is given back comes again */
        return true;
    }
    return false;
}

void *spans_alloc(size_t n)
{
    struct heap *h = here;
    if (h == NULL || n > SPANS_MOST)
        return NULL;
    unsigned class = class_of(n);
    struct link *ring = &h->room[class];
    struct span *s = of_room(ring->next);
    return ring->next != ring && s->free != NULL ? pop(h, s) : search(h, class);
}

bool spans_free(void *p)
{
    if (!is_ours(p))
        return false;
    struct span *s = head_of(p);
    if (s->heap == here)
        put_back(s->heap, s, p);
    else
        give(s->heap, p);
    return true;
}

size_t spans_room(const void *p)
{
    return is_ours(p) ? head_of(p)->size : 0;
}

void spans_begin(void)
{
    if (depth++ > 0 || area.size == 0)
        return;
    if (latest == NULL || !enter(latest))
        latest = find_heap();
    here = latest;
}

void spans_end(void)
{
    struct heap *h = here;
    if (--depth > 0 || h == NULL)
        return;
    here = NULL;
    leave(h);
}

/* What is in here is no place to be cancelled at, so the heap is in order. */
void spans_thread_fini(void)
{
    depth = 1;
    spans_end();
}

size_t spans_out(void)
{
    size_t bytes = 0, chunks = atomic_load_explicit(&claimed, memory_order_relaxed);
    for (size_t i = 0; i < chunks; i++) {
        const struct span *heads = (const struct span *) (void *) (area.base + (i << CHUNK_SHIFT));
        for (unsigned k = 1; k < SPANS; k++)
            bytes += (size_t) heads[k].used * heads[k].size;
    }
    return bytes;
}
