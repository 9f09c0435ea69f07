/*
 * heap.c: preloaded into a server, counts what each thread asks of the heap, and makes a chosen allocation
 * fail. Every function runs on whatever thread calls it. The board is shared with the test, see heap.h. Not
 * for sanitizer builds, which have a heap of their own.
 */
#include "test/preload/heap.h"

#include <dlfcn.h>
#include <errno.h>
#include <stdbool.h>
#include <string.h>
#include <sys/syscall.h>

#include "test/preload/board.h"

static struct heap_board *board; /* NULL until main begins: nothing is counted, nothing fails */

static void *(*real_malloc)(size_t);
static void *(*real_calloc)(size_t, size_t);
static void *(*real_realloc)(void *, size_t);
static void (*real_free)(void *);
static int (*real_posix_memalign)(void **, size_t, size_t);
static void *(*real_aligned_alloc)(size_t, size_t);
static void *(*real_mmap)(void *, size_t, int, int, int, off_t);

/* dlsym() may allocate before it has told us how: from here, for ever. */
static char early[4096] __attribute__((aligned(16)));
static size_t early_used;

/* Initial-exec: such a variable costs no allocation when a thread first touches it. */
static _Thread_local struct heap_thread *mine __attribute__((tls_model("initial-exec")));

static bool is_early(const void *p)
{
    return (const char *) p >= early && (const char *) p < early + sizeof early;
}

static void *early_alloc(size_t n)
{
    n = (n + 15) & ~(size_t) 15;
    if (n > sizeof early - early_used)
        return NULL;
    early_used += n;
    return early + early_used - n;
}

__attribute__((constructor)) static void begin(void)
{
    real_malloc = (void *(*) (size_t)) dlsym(RTLD_NEXT, "malloc");
    real_calloc = (void *(*) (size_t, size_t)) dlsym(RTLD_NEXT, "calloc");
    real_realloc = (void *(*) (void *, size_t)) dlsym(RTLD_NEXT, "realloc");
    real_free = (void (*)(void *)) dlsym(RTLD_NEXT, "free");
    real_posix_memalign = (int (*)(void **, size_t, size_t)) dlsym(RTLD_NEXT, "posix_memalign");
    real_aligned_alloc = (void *(*) (size_t, size_t)) dlsym(RTLD_NEXT, "aligned_alloc");
    real_mmap = (void *(*) (void *, size_t, int, int, int, off_t)) dlsym(RTLD_NEXT, "mmap");
    board = board_find(HEAP_VARIABLE, sizeof *board);
}

/* Libraries before this one in the order of constructors allocate too. */
static void ready(void)
{
    static bool looking;
    if (real_free == NULL && !looking) {
        looking = true;
        begin();
        looking = false;
    }
}

static struct heap_thread *my_row(void)
{
    if (mine == NULL) {
        uint32_t i = atomic_fetch_add(&board->threads, 1);
        if (i >= HEAP_THREADS)
            return NULL;
        mine = &board->thread[i];
        atomic_store(&mine->tid, (int32_t) syscall(SYS_gettid));
    }
    return mine;
}

static void add(_Atomic uint64_t *counter)
{
    atomic_store_explicit(counter, atomic_load_explicit(counter, memory_order_relaxed) + 1,
                          memory_order_relaxed);
}

/* Count an allocation. True if it is to fail: errno is set then. */
static bool fails(bool is_realloc)
{
    if (board == NULL)
        return false;
    struct heap_thread *t = my_row();
    if (t != NULL)
        add(is_realloc ? &t->reallocs : &t->allocs);
    uint32_t n = atomic_fetch_add(&board->calls, 1) + 1;
    uint32_t from = atomic_load_explicit(&board->from, memory_order_acquire);
    if (from == 0 || n < from || n - from >= atomic_load(&board->times))
        return false;
    atomic_fetch_add(&board->failed, 1);
    errno = ENOMEM;
    return true;
}

void *malloc(size_t n)
{
    ready();
    if (real_malloc == NULL)
        return early_alloc(n);
    return fails(false) ? NULL : real_malloc(n);
}

void *calloc(size_t count, size_t size)
{
    ready();
    if (real_calloc == NULL)
        return early_alloc(count * size); /* static memory is zero, and never given out twice */
    return fails(false) ? NULL : real_calloc(count, size);
}

void *realloc(void *p, size_t n)
{
    ready();
    if (p == NULL)
        return malloc(n);
    if (is_early(p)) {
        void *q = malloc(n);
        if (q != NULL)
            memcpy(q, p,
                   n < (size_t) (early + early_used - (char *) p)
                       ? n
                       : (size_t) (early + early_used - (char *) p));
        return q;
    }
    return fails(true) ? NULL : real_realloc(p, n);
}

void free(void *p)
{
    ready();
    if (p == NULL || is_early(p))
        return;
    struct heap_thread *t = board == NULL ? NULL : my_row();
    if (t != NULL)
        add(&t->frees);
    real_free(p);
}

int posix_memalign(void **p, size_t alignment, size_t n)
{
    ready();
    return fails(false) ? ENOMEM : real_posix_memalign(p, alignment, n);
}

void *aligned_alloc(size_t alignment, size_t n)
{
    ready();
    return fails(false) ? NULL : real_aligned_alloc(alignment, n);
}

void *mmap(void *addr, size_t len, int prot, int flags, int fd, off_t offset)
{
    ready();
    if ((flags & MAP_ANONYMOUS) != 0 && fails(false))
        return MAP_FAILED;
    return real_mmap(addr, len, prot, flags, fd, offset);
}
