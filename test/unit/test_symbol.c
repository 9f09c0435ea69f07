/*
 * test_symbol.c: names for addresses: what dladdr() says, and without its lock; frames; a line on standard error that
 * never waits.
 */
#include <dlfcn.h>
#include <errno.h>
#include <event2/event.h>
#include <fcntl.h>
#include <pthread.h>
#include <stdio.h>
#include <string.h>
#include <sys/socket.h>
#include <unistd.h>

#include "mario/base/complain.h"
#include "mario/base/symbol.h"
#include "unit.h"

static void expect_name(uintptr_t pc, const char *name)
{
    char text[200];
    ck_assert_uint_eq(symbol_name(pc, text, sizeof text), strlen(text));
    ck_assert_str_eq(text, name);
}

/* Goal: for each address of two libraries the function that dladdr() has, or none where it has none. */
START_TEST(as_dladdr_says)
{
    static void *const in[] = {(void *) (uintptr_t) &event_base_loop, (void *) (uintptr_t) &suite_create};
    unsigned named = 0;
    symbol_setup();
    for (int i = 0; i < 2; i++) {
        for (uintptr_t pc = (uintptr_t) in[i] - 8192; pc < (uintptr_t) in[i] + 8192; pc += 7) {
            struct symbol s = {.file = NULL};
            Dl_info info = {0};
            bool known = dladdr((void *) pc, &info) != 0, found = symbol_find(pc, &s);
            UNIT_ASSERT(known == found);
            if (!known)
                continue;
            const char *slash = strrchr(info.dli_fname, '/');
            UNIT_ASSERT(strcmp(s.file, slash != NULL ? slash + 1 : info.dli_fname) == 0);
            UNIT_ASSERT((info.dli_sname != NULL) == (s.function != NULL));
            uintptr_t from = (uintptr_t) (s.function != NULL ? info.dli_saddr : info.dli_fbase);
            UNIT_ASSERT(pc - s.offset == from);
            named += s.function != NULL;
        }
    }
    ck_assert_uint_gt(named, 100);
    expect_name((uintptr_t) &event_base_loop + 0x12, "event_base_loop+0x12");
    expect_name(0x1234, "0x1234");
}
END_TEST

/* Goal: a text that does not fit is cut, with its NUL. */
START_TEST(names_are_cut)
{
    char text[32];
    symbol_setup();
    for (size_t size = 1; size < sizeof text; size++) {
        memset(text, 'x', sizeof text);
        size_t n = symbol_name((uintptr_t) &event_base_loop + 0x12, text, size);
        ck_assert_uint_eq(n, size - 1 < 20 ? size - 1 : 20);
        ck_assert_uint_eq(strlen(text), n);
        ck_assert_int_eq(text[size], 'x');
    }
    ck_assert_uint_eq(symbol_name(1, text, 0), 0);
}
END_TEST

/* Goal: before setup there are no names, and that is no fault; called again it forgets nothing. */
START_TEST(setup_may_come_late_and_often)
{
    struct symbol s;
    ck_assert(!symbol_find((uintptr_t) &event_base_loop, &s));
    for (int i = 0; i < 3; i++) {
        symbol_setup();
        ck_assert(symbol_find((uintptr_t) &event_base_loop, &s));
        ck_assert_str_eq(s.function, "event_base_loop");
    }
}
END_TEST

__attribute__((noinline)) static int frames_here(void **frames, int max)
{
    int n = symbol_frames(frames, max);
    __asm__ volatile("" ::: "memory"); /* no tail call */
    return n;
}

/* Goal: frames lead out of here, the caller's own first. */
START_TEST(frames_lead_outwards)
{
    void *frames[16];
    symbol_setup();
    int n = frames_here(frames, 16);
    ck_assert_int_gt(n, 2);
    uintptr_t from = (uintptr_t) &frames_here, at = (uintptr_t) frames[0];
    ck_assert_msg(at > from && at < from + 256, "%p is not in %p", frames[0], (void *) from);
    ck_assert_int_le(frames_here(frames, 1), 1);
}
END_TEST

/* ---- A line on standard error ---- */

static _Atomic bool has_said;

static void *say_a_line(void *arg)
{
    errno = EBUSY;
    complain("%s", (const char *) arg);
    has_said = errno == EBUSY;
    return NULL;
}

static bool is_said(void *arg)
{
    (void) arg;
    return has_said;
}

/* Standard error becomes fd; a thread complains, which must not take long. */
static void complains_to(int fd, const char *text)
{
    pthread_t t;
    int old = dup(STDERR_FILENO);
    dup2(fd, STDERR_FILENO);
    has_said = false;
    ck_assert_int_eq(pthread_create(&t, NULL, say_a_line, (void *) (uintptr_t) text), 0);
    bool in_time = unit_wait(is_said, NULL, 2000);
    dup2(old, STDERR_FILENO);
    close(old);
    ck_assert(in_time);
    pthread_join(t, NULL);
}

static void fill(int fd)
{
    char much[4096] = "";
    int flags = fcntl(fd, F_GETFL);
    fcntl(fd, F_SETFL, flags | O_NONBLOCK);
    for (size_t n = sizeof much; n > 0; n /= 2) {
        while (write(fd, much, n) > 0) {
        }
    }
    fcntl(fd, F_SETFL, flags);
}

/* Goal: it gets there; a pipe or socket that is full, or that nobody has open, holds up nobody. */
START_TEST(a_line_never_waits)
{
    int pair[2];
    char got[64] = "";
    for (int i = 0; i < 2; i++) {
        ck_assert_int_eq(i == 0 ? pipe(pair) : socketpair(AF_UNIX, SOCK_STREAM, 0, pair), 0);
        complains_to(pair[1], "a line");
        ck_assert_int_eq(read(pair[0], got, sizeof got - 1), 14);
        ck_assert_str_eq(got, "mario: a line\n");
        fill(pair[1]);
        complains_to(pair[1], "a line");
        close(pair[0]);
        complains_to(pair[1], "a line");
        close(pair[1]);
    }
}
END_TEST

static void *hold_stderr(void *arg)
{
    flockfile(stderr);
    pthread_barrier_wait(arg);
    pthread_barrier_wait(arg);
    funlockfile(stderr);
    return NULL;
}

/* Goal: who holds the lock of stderr holds up nobody. */
START_TEST(a_line_needs_no_lock)
{
    pthread_barrier_t barrier;
    pthread_t t;
    int pair[2];
    pthread_barrier_init(&barrier, NULL, 2);
    ck_assert(pipe(pair) == 0 && pthread_create(&t, NULL, hold_stderr, &barrier) == 0);
    pthread_barrier_wait(&barrier);
    complains_to(pair[1], "a line");
    pthread_barrier_wait(&barrier);
    pthread_join(t, NULL);
}
END_TEST

/* Goal: a line that is too long is cut to what a pipe takes whole, and still ends. */
START_TEST(a_long_line_is_cut)
{
    static char text[3 * COMPLAIN_MAX], got[2 * COMPLAIN_MAX];
    int pair[2];
    memset(text, 'l', sizeof text - 1);
    ck_assert_int_eq(pipe(pair), 0);
    complains_to(pair[1], text);
    ssize_t n = read(pair[0], got, sizeof got);
    ck_assert_int_le(n, COMPLAIN_MAX);
    ck_assert_int_gt(n, COMPLAIN_MAX - 8);
    ck_assert_int_eq(got[n - 1], '\n');
}
END_TEST

Suite *symbol_suite(void)
{
    Suite *s = suite_create("symbol");
    TCase *c = unit_case(s, "names", 10);
    tcase_add_test(c, as_dladdr_says);
    tcase_add_test(c, names_are_cut);
    tcase_add_test(c, setup_may_come_late_and_often);
    tcase_add_test(c, frames_lead_outwards);
    c = unit_case(s, "a line", 10);
    tcase_add_test(c, a_line_never_waits);
    tcase_add_test(c, a_line_needs_no_lock);
    tcase_add_test(c, a_long_line_is_cut);
    return s;
}
