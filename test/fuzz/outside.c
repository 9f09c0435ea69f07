/*
 * outside.c: what the fuzzed worker gets from outside and the script has to decide: memory, time, and what of it its
 * thread has used, numbers of descriptors, who is at the other end of one, and where in it an urgent byte is. Linked
 * with --wrap for the calls it stands for. The fuzzer's thread; memory and time on any.
 */
#include "outside.h"

#include <errno.h>
#include <fcntl.h>
#include <poll.h>
#include <stdarg.h>
#include <stdatomic.h>
#include <string.h>
#include <sys/ioctl.h>
#include <sys/resource.h>
#include <sys/socket.h>
#include <time.h>
#include <unistd.h>

#include "mario/base/clock.h"
#include "plain.h"

enum {
    CLIENT_FDS = 64,  /* from here on: below are those that the worker's side gets, and gets again */
    SHARE_NS = 500000 /* of the thread's time, that is a share of a pass */
};

static _Atomic uint32_t allocations_left; /* until one fails; 0: none will */

void *__real_malloc(size_t n);
void *__wrap_malloc(size_t n);
void *__wrap_malloc(size_t n)
{
    uint32_t left = atomic_load_explicit(&allocations_left, memory_order_relaxed);
    if (left > 0)
        atomic_store_explicit(&allocations_left, left - 1, memory_order_relaxed);
    return left == 1 ? NULL : __real_malloc(n);
}

/* The time, which stands still while the script does not say otherwise; and that which the thread has used: each look
 * at it costs the same. */
static _Atomic uint64_t now_ns = UINT64_C(1000000000000);
static uint64_t used_ns, look_ns;
int __real_clock_gettime(clockid_t clock, struct timespec *t);
int __wrap_clock_gettime(clockid_t clock, struct timespec *t);
int __wrap_clock_gettime(clockid_t clock, struct timespec *t)
{
    if (clock != CLOCK_THREAD_CPUTIME_ID && clock != CLOCK_MONOTONIC)
        return __real_clock_gettime(clock, t);
    used_ns += clock == CLOCK_MONOTONIC ? 0 : look_ns;
    uint64_t ns = clock == CLOCK_MONOTONIC ? atomic_load(&now_ns) : used_ns;
    *t = (struct timespec){.tv_sec = (time_t) (ns / 1000000000u), .tv_nsec = (long) (ns % 1000000000u)};
    return 0;
}

int __real_getrusage(int who, struct rusage *r);
int __wrap_getrusage(int who, struct rusage *r);
int __wrap_getrusage(int who, struct rusage *r)
{
    if (who != RUSAGE_THREAD)
        return __real_getrusage(who, r);
    memset(r, 0, sizeof *r);
    return 0;
}

/* And who is at the other end of what was handed over. */
static struct {
    bool is_known, has_peer;
    struct peer peer;
} handed_fds[FDS];
int __real_getpeername(int fd, struct sockaddr *out, socklen_t *n);
int __wrap_getpeername(int fd, struct sockaddr *out, socklen_t *n);
int __wrap_getpeername(int fd, struct sockaddr *out, socklen_t *n)
{
    struct sockaddr_storage from;
    if (fd < 0 || fd >= FDS || !handed_fds[fd].is_known)
        return __real_getpeername(fd, out, n);
    if (!handed_fds[fd].has_peer) {
        errno = ENOTCONN;
        return -1;
    }
    peer_sockaddr(&handed_fds[fd].peer, &from);
    memcpy(out, &from, *n < sizeof from ? *n : sizeof from);
    return 0;
}

void outside_forget(int fd)
{
    handed_fds[fd].is_known = false;
}

/* Sockets of one machine have no urgent bytes: so the script says where one would be. */
static bool marks[FDS];
int __real_ioctl(int fd, unsigned long request, ...);
int __wrap_ioctl(int fd, unsigned long request, ...);
int __wrap_ioctl(int fd, unsigned long request, ...)
{
    va_list args;
    va_start(args, request);
    void *arg = va_arg(args, void *);
    va_end(args);
    if (request != SIOCATMARK || fd < 0 || fd >= FDS)
        return __real_ioctl(fd, request, arg);
    *(int *) arg = marks[fd];
    marks[fd] = false;
    return 0;
}

void outside_mark(int fd)
{
    MUST(fd >= 0 && fd < FDS);
    marks[fd] = true;
}

void outside_pass(uint32_t ms)
{
    atomic_fetch_add(&now_ns, ms * UINT64_C(1000000));
}

void outside_share(uint32_t looks)
{
    clock_cycles_ms = looks == 0 ? UINT64_C(1) << 60 : 0;
    look_ns = looks == 0 ? 0 : (SHARE_NS + looks - 1) / looks;
}

void outside_starve(uint32_t n)
{
    allocations_left = n;
}

void outside_handed(int fd, const struct peer *peer)
{
    marks[fd] = false;
    handed_fds[fd].is_known = true;
    handed_fds[fd].has_peer = peer != NULL;
    if (peer != NULL)
        handed_fds[fd].peer = *peer;
}

/* The client's end and the worker's, which gets the lowest number there is. */
void outside_pair(int pair[2])
{
    int far[2];
    MUST(socketpair(AF_UNIX, SOCK_STREAM | SOCK_NONBLOCK | SOCK_CLOEXEC, 0, far) == 0);
    for (int i = 0; i < 2; i++) {
        pair[i] = fcntl(far[i], F_DUPFD_CLOEXEC, CLIENT_FDS);
        MUST(pair[i] >= 0 && close(far[i]) == 0);
    }
    int high = pair[1];
    pair[1] = fcntl(high, F_DUPFD_CLOEXEC, 0);
    MUST(pair[1] >= 0 && close(high) == 0);
}

unsigned outside_descriptors(void)
{
    struct pollfd all[FDS];
    unsigned n = 0;
    for (int i = 0; i < FDS; i++)
        all[i] = (struct pollfd){.fd = i};
    MUST(poll(all, FDS, 0) >= 0);
    for (int i = 0; i < FDS; i++)
        n += (all[i].revents & POLLNVAL) == 0;
    return n;
}
