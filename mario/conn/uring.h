/*
 * uring.h: many sends in one system call, by io_uring. Optional twice: built in only where liburing's headers are, and
 * loaded only if push.uring wants it; then the kernel may still refuse. Who has none sends one by one.
 *
 * A batch is begun and finished in one call chain of one thread: nothing of it is ever on its way while something else
 * runs, so any thread that owns the shard may use its ring. No send waits: who cannot take anything answers at once.
 */
#ifndef MARIO_CONN_URING_H
#define MARIO_CONN_URING_H

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>
#include <sys/types.h>
#include <sys/uio.h>

struct uring;

/* NULL if there can be none; *why says so, in words that stay. While no worker runs: it may load a library. */
struct uring *uring_create(const char **why);
void uring_destroy(struct uring **u);

/* Where the pieces of the next send go, and how many fit there, n >= 1. NULL: the batch is full. */
struct iovec *uring_next(struct uring *u, size_t *n);
/* They are the n >= 1 first of these, for the socket fd, in the name of who. */
void uring_send(struct uring *u, int fd, size_t n, void *who);

/* Do what the batch holds; then, in its order, done(who, result, len) for each: what send() would have returned, or
 * -errno; -EINTR if it was not tried; and how many bytes it was about. The next batch may not be begun before this
 * returns. False: the ring is of no use any more. */
__attribute__((warn_unused_result)) bool uring_run(struct uring *u,
                                                   void (*done)(void *who, ssize_t result, size_t len));

#endif
