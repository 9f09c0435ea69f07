/*
 * descriptor.c: which connection has which descriptor. Workers and the master; setup on the thread that makes the
 * server. Relaxed: the kernel's own order, close before accept, stands between two users of a number.
 */
#include "mario/net/descriptor.h"

#include <stdatomic.h>
#include <stddef.h>
#include <sys/mman.h>

static _Atomic uint32_t *table;
static uint32_t size;

bool descriptor_setup(uint32_t limit)
{
    if (limit <= size)
        return true;
    void *p = mmap(NULL, limit * sizeof *table, PROT_READ | PROT_WRITE,
                   MAP_PRIVATE | MAP_ANONYMOUS | MAP_NORESERVE, -1, 0);
    if (p == MAP_FAILED)
        return false;
    if (table != NULL)
        munmap((void *) (uintptr_t) table, size * sizeof *table);
    table = p;
    size = limit;
    return true;
}

static _Atomic uint32_t *entry(int fd)
{
    return fd >= 0 && (uint32_t) fd < size ? &table[fd] : NULL;
}

bool descriptor_is_known(int fd)
{
    return entry(fd) != NULL;
}

void descriptor_note(int fd, uint32_t owner)
{
    _Atomic uint32_t *e = entry(fd);
    if (e != NULL)
        atomic_store_explicit(e, owner, memory_order_relaxed);
}

bool descriptor_is_of(int fd, uint32_t owner)
{
    const _Atomic uint32_t *e = entry(fd);
    return e == NULL || atomic_load_explicit(e, memory_order_relaxed) == owner;
}

bool descriptor_forget(int fd, uint32_t owner)
{
    _Atomic uint32_t *e = entry(fd);
    return e == NULL ||
           atomic_compare_exchange_strong_explicit(e, &owner, 0, memory_order_relaxed, memory_order_relaxed);
}

uint32_t descriptor_take(int fd)
{
    _Atomic uint32_t *e = entry(fd);
    if (e == NULL || atomic_load_explicit(e, memory_order_relaxed) == 0)
        return 0;
    return atomic_exchange_explicit(e, 0, memory_order_relaxed);
}
