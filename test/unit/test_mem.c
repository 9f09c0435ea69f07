/*
 * test_mem.c: fine blocks: whoever has them, none is larger than malloc's own, and a thread keeps so many and no more.
 */
#include <malloc.h>
#include <pthread.h>
#include <stdlib.h>
#include <string.h>

#include "mario/base/mem.h"
#include "unit.h"

enum { MOST = 9000, MANY = 2000, KILO = 1024 };

/* Goal: of each length a block has room for it, what was given back is what comes next, and it is not larger than what
 * malloc would give. */
START_TEST(a_block_comes_again)
{
    ck_assert(mem_thread_init());
    for (size_t n = 1; n < MOST; n++) {
        void *own = malloc(n), *first = mem_fine(n);
        ck_assert(own != NULL && first != NULL);
        size_t room = mem_room(own);
        ck_assert_uint_ge(mem_room(first), n);
        memset(first, 1, n);
        mem_fine_free(first);
        void *again = mem_fine(n);
        ck_assert_uint_ge(mem_room(again), n);
        ck_assert_uint_le(mem_room(again), room + 16);
        ck_assert(UNIT_SLOW > 1 || n > 8 * KILO - 24 || again == first); /* a sanitizer wants nothing kept */
        mem_fine_free(again);
        free(own);
    }
    mem_fine_free(NULL);
    mem_thread_fini();
}
END_TEST

/* Goal: of a burst half a megabyte is kept, the rest goes back. */
START_TEST(a_burst_goes_back)
{
    static void *blocks[MANY];
    ck_assert(mem_thread_init());
    size_t before = mallinfo2().uordblks;
    for (int i = 0; i < MANY; i++)
        ck_assert_ptr_nonnull(blocks[i] = mem_fine(KILO));
    for (int i = 0; i < MANY; i++)
        mem_fine_free(blocks[i]);
    size_t kept = mallinfo2().uordblks - before;
    ck_assert(UNIT_SLOW > 1 || (kept > 500 * KILO && kept < 530 * KILO));
    mem_thread_fini();
    ck_assert(UNIT_SLOW > 1 || mallinfo2().uordblks <= before + 16 * KILO); /* that malloc keeps */
}
END_TEST

static void *give_back(void *block)
{
    mem_fine_free(block); /* a thread without lists */
    return NULL;
}

/* Goal: who takes a block and who gives it back may be two threads, and either may be without lists. */
START_TEST(other_threads_give_back)
{
    pthread_t thread;
    ck_assert(mem_thread_init());
    void *block = mem_fine(KILO);
    ck_assert_int_eq(pthread_create(&thread, NULL, give_back, block), 0);
    pthread_join(thread, NULL);
    mem_thread_fini();
    mem_fine_free(mem_fine(KILO));
}
END_TEST

Suite *mem_suite(void)
{
    Suite *s = suite_create("mem");
    TCase *c = tcase_create("fine blocks");
    tcase_add_test(c, a_block_comes_again);
    tcase_add_test(c, a_burst_goes_back);
    tcase_add_test(c, other_threads_give_back);
    suite_add_tcase(s, c);
    return s;
}
