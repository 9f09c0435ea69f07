/*
 * test_trim.c: the thread that gives freed memory back: it does so once it is calm, and ends at once when it is
 * told to, whatever it waits for.
 */
#include "mario/base/trim.h"
#include "mario/base/clock.h"
#include "unit.h"

#include <pthread.h>
#include <stdlib.h>
#include <string.h>
#include <time.h>
#include <unistd.h>

enum { BLOCKS = 1600, BLOCK = 64 * 1024, FREEING_THREADS = 4 };

static void *note_much(void *arg)
{
    (void) arg;
    for (int i = 0; i < 2000; i++)
        trim_note(BLOCK);
    return NULL;
}

/* Goal: what is free goes back though something above it is in use; not before there is calm. */
START_TEST(what_is_free_goes_back)
{
    static unsigned char *blocks[BLOCKS + 1];
    ck_assert_int_eq(trim_start(), 0);
    for (int i = 0; i <= BLOCKS; i++) {
        blocks[i] = malloc(BLOCK);
        explicit_bzero(blocks[i], BLOCK); /* touched, whatever the compiler thinks of it */
    }
    size_t least = unit_resident() - (size_t) BLOCKS * BLOCK * 9 / 10;
    for (int i = 0; i < BLOCKS; i++) {
        free(blocks[i]);
        trim_note(BLOCK);
    }
    uint64_t began = clock_ms(), until = began + 8000;
    while (UNIT_SLOW == 1 && unit_resident() > least &&
           clock_ms() < until) /* a sanitizer has a heap of its own */
        nanosleep(&(struct timespec){.tv_nsec = 5000000}, NULL);
    ck_assert_msg(UNIT_SLOW > 1 || unit_resident() <= least, "%zu bytes stay, not %zu", unit_resident(),
                  least);
    ck_assert(UNIT_SLOW > 1 || clock_ms() - began >= 900);
    trim_stop();
    free(blocks[BLOCKS]);
}
END_TEST

/* Goal: many threads may free, and it ends at once while it waits: for work, and for calm. */
START_TEST(it_ends_at_once)
{
    pthread_t threads[FREEING_THREADS];
    for (int round = 0; round < 4; round++) {
        ck_assert_int_eq(trim_start(), 0);
        for (int i = 0; i < FREEING_THREADS && round % 2 == 1; i++)
            ck_assert_int_eq(pthread_create(&threads[i], NULL, note_much, NULL), 0);
        for (int i = 0; i < FREEING_THREADS && round % 2 == 1; i++)
            pthread_join(threads[i], NULL);
        uint64_t began = clock_ms();
        trim_stop();
        ck_assert_uint_lt(clock_ms() - began, 700 * UNIT_SLOW);
    }
    trim_stop();      /* nothing runs */
    trim_note(BLOCK); /* and nobody hears */
}
END_TEST

Suite *trim_suite(void)
{
    Suite *s = suite_create("trim");
    TCase *c = tcase_create("trim");
    tcase_set_timeout(c, 20 * UNIT_SLOW);
    tcase_add_test(c, what_is_free_goes_back);
    tcase_add_test(c, it_ends_at_once);
    suite_add_tcase(s, c);
    return s;
}
