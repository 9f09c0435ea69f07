/*
 * preloads.c: the boards that a test shares with preloaded libraries: memory without a name, which the server
 * opens by way of the test's own descriptor. Main thread of a test.
 */
#include "preloads.h"

#include <errno.h>
#include <stdio.h>
#include <string.h>
#include <sys/mman.h>
#include <unistd.h>

#include "harness.h"

static void *board_create(const char *variable, size_t size, char env[PRELOAD_ENV])
{
    int fd = memfd_create("board", MFD_CLOEXEC);
    ck_assert_msg(fd >= 0 && ftruncate(fd, (off_t) size) == 0, "no memory for a board: %s", strerror(errno));
    void *p = mmap(NULL, size, PROT_READ | PROT_WRITE, MAP_SHARED, fd, 0);
    ck_assert_msg(p != MAP_FAILED, "no memory for a board: %s", strerror(errno));
    snprintf(env, PRELOAD_ENV, "%s=/proc/%d/fd/%d", variable, (int) getpid(), fd);
    return p;
}

struct inject_board *preload_inject(char env[PRELOAD_ENV])
{
    return board_create(INJECT_VARIABLE, sizeof(struct inject_board), env);
}

struct heap_board *preload_heap(char env[PRELOAD_ENV])
{
    return board_create(HEAP_VARIABLE, sizeof(struct heap_board), env);
}

struct clock_board *preload_clock(char env[PRELOAD_ENV])
{
    return board_create(CLOCK_VARIABLE, sizeof(struct clock_board), env);
}

void inject_set(struct inject_board *b, enum inject_call call, int error, uint32_t from, uint32_t times)
{
    struct inject_row *r = &b->row[call];
    atomic_store(&r->from, 0);
    atomic_store(&r->times, times);
    atomic_store(&r->error, error);
    atomic_store(&r->from, from);
}

void inject_next(struct inject_board *b, enum inject_call call, int error, uint32_t times)
{
    inject_set(b, call, error, atomic_load(&b->row[call].calls) + 1, times);
}

void heap_set(struct heap_board *b, uint32_t from, uint32_t times)
{
    atomic_store(&b->from, 0);
    atomic_store(&b->times, times);
    atomic_store(&b->from, from);
}

const char *inject_name(enum inject_call call)
{
    static const char *const names[] = {
#define ROW(name) #name,
        INJECT_CALLS(ROW)
#undef ROW
    };
    return names[call];
}
