/*
 * doorbell.c: waking a thread that sleeps in a loop. doorbell_ring() is for any thread; the rest for the
 * owner.
 */
#include "mario/base/doorbell.h"

#include <errno.h>
#include <sys/eventfd.h>
#include <sys/syscall.h>
#include <unistd.h>

bool doorbell_init(struct doorbell *d)
{
    atomic_init(&d->word, 0);
    d->fd = eventfd(0, EFD_NONBLOCK | EFD_CLOEXEC);
    return d->fd >= 0;
}

void doorbell_fini(struct doorbell *d)
{
    if (d->fd >= 0)
        close(d->fd);
    d->fd = -1;
}

static void wake(struct doorbell *d)
{
    int saved = errno;
    uint64_t one = 1;
    /* Not write(): that is a cancellation point, and a thread that ended here would leave the word without its
     * eventfd, so nobody would ring again. It can fail only when the count is at 2^64-2, which no server lives to
     * see. */
    syscall(SYS_write, d->fd, &one, sizeof one);
    errno = saved;
}

void doorbell_ring(struct doorbell *d, unsigned producer)
{
    if (atomic_fetch_or_explicit(&d->word, UINT64_C(1) << (producer % 64), memory_order_acq_rel) == 0)
        wake(d); /* otherwise whoever made it non-zero does, and the owner has not swapped it yet */
}

void doorbell_insist(struct doorbell *d, unsigned producer)
{
    atomic_fetch_or_explicit(&d->word, UINT64_C(1) << (producer % 64), memory_order_acq_rel);
    wake(d);
}
