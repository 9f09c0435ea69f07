/*
 * inject.c: preloaded into a server, makes chosen system calls fail: the n-th, the next ones, or all. Every
 * function runs on whatever thread calls it. What is to fail stands on a board shared with the test, see
 * inject.h.
 */
#include "test/preload/inject.h"

#include <dlfcn.h>
#include <errno.h>
#include <pthread.h>
#include <stdarg.h>
#include <stdbool.h>
#include <sys/epoll.h>
#include <sys/eventfd.h>
#include <sys/socket.h>
#include <sys/timerfd.h>
#include <unistd.h>

#include "test/preload/board.h"

static struct inject_board *board; /* NULL: nothing fails */
static void *real[INJECT_COUNT];

/* libevent tries an older call when one fails: epoll_create() after epoll_create1(), pipe() and socketpair()
 * after pipe2(). A fault holds for those too, or it would be none. */
static _Thread_local int epoll_error, pipe_error;

/* The next function of that name behind this library: libc's, or a sanitizer's. */
static void *find(enum inject_call call)
{
    static const char *const names[] = {
#define ROW(name) #name,
        INJECT_CALLS(ROW)
#undef ROW
    };
    if (real[call] == NULL)
        real[call] = dlsym(RTLD_NEXT, names[call]);
    if (real[call] == NULL)
        abort();
    return real[call];
}

__attribute__((constructor)) static void begin(void)
{
    struct inject_board *found = board_find(INJECT_VARIABLE, sizeof *found);
    for (int i = 0; i < INJECT_COUNT; i++)
        find((enum inject_call) i);
    board = found; /* last: what came before is not the program's */
}

/* Count a call. The errno it is to fail with, or 0. */
static int judge(enum inject_call call)
{
    if (board == NULL)
        return 0;
    struct inject_row *r = &board->row[call];
    uint32_t n = atomic_fetch_add(&r->calls, 1) + 1;
    uint32_t from = atomic_load_explicit(&r->from, memory_order_acquire);
    if (from == 0 || n < from || n - from >= atomic_load(&r->times))
        return 0;
    atomic_fetch_add(&r->failed, 1);
    return atomic_load(&r->error);
}

static int failed(int error)
{
    errno = error;
    return -1;
}

#define REAL(name) ((__typeof__(name) *) find(INJECT_##name))

/* In a function of the program: fail as a system call does, if that is wanted. */
#define FAIL_IF_WANTED(name, result)       \
    do {                                   \
        int wanted = judge(INJECT_##name); \
        if (wanted != 0) {                 \
            errno = wanted;                \
            return result;                 \
        }                                  \
    } while (0)

int accept4(int fd, struct sockaddr *addr, socklen_t *len, int flags)
{
    FAIL_IF_WANTED(accept4, -1);
    return REAL(accept4)(fd, addr, len, flags);
}

int bind(int fd, const struct sockaddr *addr, socklen_t len)
{
    FAIL_IF_WANTED(bind, -1);
    return REAL(bind)(fd, addr, len);
}

int epoll_create1(int flags)
{
    epoll_error = judge(INJECT_epoll_create1);
    return epoll_error != 0 ? failed(epoll_error) : REAL(epoll_create1)(flags);
}

int epoll_create(int size)
{
    return epoll_error != 0 || size <= 0 ? failed(epoll_error != 0 ? epoll_error : EINVAL)
                                         : REAL(epoll_create1)(0);
}

int epoll_ctl(int epfd, int op, int fd, struct epoll_event *event)
{
    FAIL_IF_WANTED(epoll_ctl, -1);
    return REAL(epoll_ctl)(epfd, op, fd, event);
}

int eventfd(unsigned int count, int flags)
{
    FAIL_IF_WANTED(eventfd, -1);
    return REAL(eventfd)(count, flags);
}

int listen(int fd, int backlog)
{
    FAIL_IF_WANTED(listen, -1);
    return REAL(listen)(fd, backlog);
}

void *mmap(void *addr, size_t len, int prot, int flags, int fd, off_t offset)
{
    FAIL_IF_WANTED(mmap, MAP_FAILED);
    return REAL(mmap)(addr, len, prot, flags, fd, offset);
}

int pipe2(int fds[2], int flags)
{
    pipe_error = judge(INJECT_pipe2);
    return pipe_error != 0 ? failed(pipe_error) : REAL(pipe2)(fds, flags);
}

int pipe(int fds[2])
{
    return pipe_error != 0 ? failed(pipe_error) : REAL(pipe2)(fds, 0);
}

int socketpair(int domain, int type, int protocol, int fds[2])
{
    static int (*next)(int, int, int, int[2]);
    if (next == NULL)
        next = (int (*)(int, int, int, int[2])) dlsym(RTLD_NEXT, "socketpair");
    return pipe_error != 0 ? failed(pipe_error) : next(domain, type, protocol, fds);
}

int pthread_create(pthread_t *thread, const pthread_attr_t *attr, void *(*start)(void *), void *arg)
{
    int wanted = judge(INJECT_pthread_create);
    return wanted != 0 ? wanted : REAL(pthread_create)(thread, attr, start, arg);
}

int setsockopt(int fd, int level, int name, const void *value, socklen_t len)
{
    FAIL_IF_WANTED(setsockopt, -1);
    return REAL(setsockopt)(fd, level, name, value, len);
}

int socket(int domain, int type, int protocol)
{
    FAIL_IF_WANTED(socket, -1);
    return REAL(socket)(domain, type, protocol);
}

int timerfd_create(int clock, int flags)
{
    FAIL_IF_WANTED(timerfd_create, -1);
    return REAL(timerfd_create)(clock, flags);
}
