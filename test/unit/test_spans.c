/*
 * test_spans.c: blocks in spans: sizes, what lies where, who gives them back, and when the kernel has the memory again.
 */
#include <errno.h>
#include <pthread.h>
#include <semaphore.h>
#include <stdatomic.h>
#include <stdlib.h>
#include <string.h>
#include <sys/resource.h>
#include <sys/wait.h>
#include <unistd.h>

#include "mario/base/mem.h"
#include "mario/base/spans.h"
#include "unit.h"

#define MB    ((size_t) 1 << 20)
#define ROOMY (1024 * MB) /* of addresses */

enum {
    STORM = 32,
    KILO = 1024,
    MOST_KEPT = 2 /* MB of this process, of which a heap may keep half of one */
};

struct piece {
    unsigned char *p;
    size_t n;
};

/* One of n bytes, all of which say so. */
static struct piece take(size_t n)
{
    struct piece b = {spans_alloc(n), n};
    UNIT_ASSERT(b.p != NULL);
    memset(b.p, (int) (n % 251), n);
    return b;
}

static bool is_whole(struct piece b)
{
    for (size_t i = 0; i < b.n; i++)
        if (b.p[i] != b.n % 251)
            return false;
    return true;
}

static void give_back(struct piece *b)
{
    UNIT_ASSERT(is_whole(*b) && spans_free(b->p));
    b->p = NULL;
}

/* Goal: of each length there is room for it, not much more, aligned; what was given back comes next. */
START_TEST(each_size)
{
    ck_assert(spans_setup(ROOMY));
    spans_begin();
    for (size_t n = 0; n <= SPANS_MOST; n += n < KILO ? 1 : UNIT_SLOW) {
        struct piece first = take(n);
        size_t room = spans_room(first.p);
        UNIT_ASSERT((uintptr_t) first.p % 16 == 0 && room >= n &&
                    room <= n + (n < KILO ? 15 : n / 16) + (n == 0));
        give_back(&first);
        unsigned char *before = first.p;
        first = take(n);
        UNIT_ASSERT(before == NULL && spans_out() == room);
        give_back(&first);
    }
    ck_assert(spans_alloc(SPANS_MOST + 1) == NULL);
    spans_end();
    ck_assert_uint_eq(spans_out(), 0);
}
END_TEST

/* Goal: outside of begin and end there is none, nor without addresses; what is not ours is known as that. */
START_TEST(none)
{
    char own, *heap = malloc(1);
    spans_begin();
    ck_assert(spans_alloc(1) == NULL && !spans_free(&own) && spans_room(&own) == 0);
    spans_end();
    ck_assert(!spans_setup(MB));
    ck_assert(spans_setup(ROOMY));
    ck_assert(spans_alloc(1) == NULL);
    spans_begin();
    spans_begin();
    spans_end();
    void *p = spans_alloc(1);
    ck_assert(p != NULL && spans_room(p) == 16);
    spans_end();
    ck_assert(spans_alloc(1) == NULL);
    ck_assert(!spans_free(&own) && !spans_free(heap) && !spans_free(NULL) && spans_room(heap) == 0);
    ck_assert(spans_free(p));
    free(heap);
}
END_TEST

/* Goal: whatever comes and goes in which order, no block lies in another. */
START_TEST(any_order)
{
    enum { PLACES = 4000, TURNS = 400000 };
    static struct piece all[PLACES];
    uint64_t state = 1;
    ck_assert(spans_setup(ROOMY));
    for (int i = 0; i < TURNS / UNIT_SLOW; i++) {
        if (i % 100 == 0)
            spans_begin();
        struct piece *b = &all[unit_random(&state) % PLACES];
        if (b->p != NULL)
            give_back(b);
        if (unit_random(&state) % 8 != 0)
            *b = take(unit_random(&state) % (unit_random(&state) % 16 != 0 ? 500 : SPANS_MOST));
        if (i % 100 == 99)
            spans_end();
    }
    for (int i = 0; i < PLACES; i++)
        if (all[i].p != NULL)
            give_back(&all[i]);
    ck_assert_uint_eq(spans_out(), 0);
}
END_TEST

/* ---- Memory that goes back ---- */

static struct piece storm[STORM * KILO];
static size_t resident;

/* 32 MB, of many sizes. */
static void rage(void)
{
    static const size_t sizes[] = {16, 40, 100, 1000, 1500, 3000};
    size_t bytes = 0, i = 0;
    for (; bytes < STORM * MB && i < STORM * KILO; bytes += storm[i++].n)
        storm[i] = take(sizes[i % 6]);
    UNIT_ASSERT(UNIT_SLOW > 1 || unit_resident() > resident + STORM * MB * 9 / 10);
}

static void pass(void)
{
    for (size_t i = 0; i < STORM * KILO && storm[i].p != NULL; i++)
        give_back(&storm[i]);
}

/* A sanitizer has memory of its own for each byte of ours. */
static bool is_calm(void)
{
    return spans_out() == 0 && (UNIT_SLOW > 1 || unit_resident() < resident + MOST_KEPT * MB);
}

/* Goal: a storm's memory goes back as it ends, without a call more; the next one has it again. Of those that come one
 * by one nothing goes back and comes again. */
START_TEST(a_storm_passes)
{
    struct rusage before, after;
    memset(storm, 0, sizeof storm);
    ck_assert(spans_setup(ROOMY));
    resident = unit_resident();
    for (int i = 0; i < 3; i++) {
        spans_begin();
        rage();
        pass();
        UNIT_ASSERT(is_calm());
        spans_end();
    }
    for (int i = 0; i < 1000; i++) {
        if (i == 10)
            getrusage(RUSAGE_SELF, &before);
        spans_begin();
        for (size_t k = 0; k < 50; k++)
            storm[k] = take(1 + k * 40);
        pass();
        spans_end();
    }
    getrusage(RUSAGE_SELF, &after);
    ck_assert(UNIT_SLOW > 1 || after.ru_minflt - before.ru_minflt < 100);
}
END_TEST

/* Goal: while much is in use an eighth of it may wait to be used again. */
START_TEST(much_is_in_use)
{
    memset(storm, 0, sizeof storm);
    ck_assert(spans_setup(ROOMY));
    resident = unit_resident();
    spans_begin();
    rage();
    size_t full = unit_resident(), half = 0;
    for (; half < STORM * KILO / 2 && storm[half].p != NULL; half++)
        give_back(&storm[half]);
    size_t used = spans_out();
    ck_assert_uint_gt(used, 10 * MB);
    ck_assert(UNIT_SLOW > 1 || unit_resident() < resident + used * 9 / 8 + MOST_KEPT * MB);
    ck_assert_uint_lt(unit_resident(), full);
    for (; half < STORM * KILO && storm[half].p != NULL; half++)
        give_back(&storm[half]);
    spans_end();
    ck_assert(is_calm());
}
END_TEST

/* ---- Several threads ---- */

static sem_t go, gone;

static void *rage_and_sleep(void *arg)
{
    bool works_on = arg != NULL;
    spans_begin();
    rage();
    if (!works_on)
        spans_end();
    sem_post(&gone);
    sem_wait(&go);
    if (works_on)
        spans_end();
    sem_post(&gone);
    sem_wait(&go);
    return NULL;
}

/* Goal: what others give back of the blocks of a thread that sleeps goes to the kernel without it; if the thread is at
 * work, when it has done that. */
START_TEST(others_give_back)
{
    pthread_t thread;
    memset(storm, 0, sizeof storm);
    ck_assert(spans_setup(ROOMY));
    sem_init(&go, 0, 0);
    sem_init(&gone, 0, 0);
    resident = unit_resident();
    ck_assert_int_eq(pthread_create(&thread, NULL, rage_and_sleep, _i == 1 ? &go : NULL), 0);
    sem_wait(&gone);
    if (_i == 2)
        spans_begin();
    pass();
    if (_i == 2)
        spans_end();
    ck_assert(_i == 1 ? spans_out() > STORM * MB * 9 / 10 : is_calm());
    sem_post(&go);
    sem_wait(&gone);
    ck_assert(is_calm());
    sem_post(&go);
    pthread_join(thread, NULL);
}
END_TEST

static void fini(void *arg)
{
    (void) arg;
    mem_thread_fini();
}

static void *rage_and_go(void *arg)
{
    pthread_cleanup_push(fini, NULL);
    spans_begin();
    spans_begin();
    rage();
    if (arg != NULL)
        pthread_exit(NULL);
    pthread_cleanup_pop(1);
    return NULL;
}

/* Goal: nobody else goes without what a thread had when it ended in the middle of its work. */
START_TEST(ended_at_work)
{
    pthread_t thread;
    memset(storm, 0, sizeof storm);
    ck_assert(spans_setup(ROOMY));
    resident = unit_resident();
    ck_assert_int_eq(pthread_create(&thread, NULL, rage_and_go, _i == 1 ? &go : NULL), 0);
    pthread_join(thread, NULL);
    pass();
    ck_assert(is_calm());
}
END_TEST

static void *take_one(void *place)
{
    spans_begin();
    *(struct piece *) place = take(KILO);
    spans_end();
    return NULL;
}

/* Goal: a thread takes over the heap that another one has left, alive or not, so there is only one for all of
 * these: their blocks lie side by side. */
START_TEST(one_after_the_other)
{
    enum { THREADS = 40 };
    static struct piece all[THREADS];
    pthread_t thread;
    ck_assert(spans_setup(ROOMY));
    for (int i = 0; i < THREADS; i++) {
        ck_assert_int_eq(pthread_create(&thread, NULL, take_one, &all[i]), 0);
        pthread_join(thread, NULL);
        ck_assert_uint_eq((uintptr_t) all[i].p >> 16, (uintptr_t) all[0].p >> 16);
    }
    for (int i = 0; i < THREADS; i++)
        give_back(&all[i]);
    ck_assert_uint_eq(spans_out(), 0);
}
END_TEST

enum { PLACES = 512, TURNS = 100000 };

static _Atomic(unsigned char *) places[PLACES];

/* Its first two bytes say how long it is, the rest are the low one. */
static unsigned char *take_told(size_t n)
{
    unsigned char *p = spans_alloc(n);
    UNIT_ASSERT(p != NULL);
    memset(p, (int) (n & 0xff), n);
    p[0] = (unsigned char) (n >> 8);
    p[1] = (unsigned char) n;
    return p;
}

static void give_told(unsigned char *p)
{
    size_t n = (size_t) p[0] << 8 | p[1];
    UNIT_ASSERT(n >= 2 && n <= spans_room(p));
    for (size_t i = 2; i < n; i++)
        UNIT_ASSERT(p[i] == (n & 0xff));
    UNIT_ASSERT(spans_free(p));
}

static void *hammer(void *seed)
{
    uint64_t state = (uint64_t) (uintptr_t) seed;
    for (int i = 0; i < TURNS / UNIT_SLOW;) {
        uint64_t works = unit_random(&state) % 50;
        spans_begin();
        for (uint64_t k = 0; k < works; k++, i++) {
            unsigned char *mine = take_told(2 + unit_random(&state) % (k % 16 != 0 ? 300 : 16000));
            mine = atomic_exchange(&places[unit_random(&state) % PLACES], mine);
            if (mine != NULL)
                give_told(mine);
        }
        if (works % 2 == 0)
            spans_end();
        unsigned char *other = atomic_exchange(&places[unit_random(&state) % PLACES], NULL);
        if (other != NULL)
            give_told(other);
        if (works % 2 != 0)
            spans_end();
    }
    return NULL;
}

/* Goal: threads that take each other's blocks and give them back, at work or not: none is lost, none is handed out
 * twice, and nothing is left. */
START_TEST(hammered)
{
    enum { THREADS = 4 };
    pthread_t threads[THREADS];
    ck_assert(spans_setup(ROOMY));
    resident = unit_resident();
    for (uintptr_t i = 0; i < THREADS; i++)
        ck_assert_int_eq(pthread_create(&threads[i], NULL, hammer, (void *) (i + 1)), 0);
    for (int i = 0; i < THREADS; i++)
        pthread_join(threads[i], NULL);
    for (int i = 0; i < PLACES; i++) {
        unsigned char *p = atomic_exchange(&places[i], NULL);
        if (p != NULL)
            give_told(p);
    }
    ck_assert_uint_eq(spans_out(), 0);
    ck_assert(UNIT_SLOW > 1 || unit_resident() < resident + (THREADS + 2) * MB);
}
END_TEST

/* Goal: a child of a process with a thread at work has the memory as it was, and can go on. */
START_TEST(forked)
{
    pthread_t thread;
    int status;
    memset(storm, 0, sizeof storm);
    ck_assert(spans_setup(ROOMY));
    sem_init(&go, 0, 0);
    sem_init(&gone, 0, 0);
    ck_assert_int_eq(pthread_create(&thread, NULL, rage_and_sleep, &go), 0);
    sem_wait(&gone);
    pid_t child = fork();
    if (child == 0) {
        spans_begin();
        struct piece own = take(KILO);
        pass();
        give_back(&own);
        spans_end();
        _exit(0);
    }
    ck_assert(waitpid(child, &status, 0) == child && status == 0);
    sem_post(&go);
    sem_post(&go);
    pthread_join(thread, NULL);
    pass();
    ck_assert_uint_eq(spans_out(), 0);
}
END_TEST

/* ---- No memory ---- */

/* Goal: when the addresses are used up there is no more, until a block comes back. */
START_TEST(used_up)
{
    enum { SPAN_BLOCKS = 4, MANY = 16 * 63 * SPAN_BLOCKS };
    static void *all[MANY];
    ck_assert(spans_setup(64 * MB));
    spans_begin();
    for (int round = 0; round < 2; round++) {
        for (int i = 0; i < MANY; i++)
            UNIT_ASSERT((all[i] = spans_alloc(SPANS_MOST)) != NULL);
        UNIT_ASSERT(spans_alloc(SPANS_MOST) == NULL && spans_alloc(1) == NULL);
        UNIT_ASSERT(spans_free(all[7]) && (all[7] = spans_alloc(SPANS_MOST)) != NULL);
        for (int i = 0; i < MANY; i++)
            UNIT_ASSERT(spans_free(all[i]));
    }
    spans_end();
}
END_TEST

/* Goal: without memory for a heap, or for a chunk, there is no block; and there are when there is memory again. */
START_TEST(no_memory)
{
    struct rlimit all, least = {4096, RLIM_INFINITY};
    ck_assert(spans_setup(64 * MB));
    unit_heap_fail(0);
    spans_begin();
    void *p = spans_alloc(1);
    spans_end();
    UNIT_ASSERT(unit_heap_heal() > 0 && p == NULL);
    spans_begin();
    UNIT_ASSERT(getrlimit(RLIMIT_DATA, &all) == 0);
    least.rlim_max = all.rlim_max;
    UNIT_ASSERT(setrlimit(RLIMIT_DATA, &least) == 0);
    for (int i = 0; i < 100; i++) /* more than there are chunks: none is lost */
        UNIT_ASSERT(spans_alloc(1) == NULL);
    UNIT_ASSERT(setrlimit(RLIMIT_DATA, &all) == 0);
    p = spans_alloc(1);
    UNIT_ASSERT(p != NULL && spans_free(p));
    spans_end();
}
END_TEST

#if UNIT_SLOW == 1 /* a sanitizer has most of the addresses */
/* Goal: where addresses are few most of them stay for others. */
START_TEST(few_addresses)
{
    struct rlimit limit;
    getrlimit(RLIMIT_AS, &limit);
    limit.rlim_cur = 4096 * MB;
    ck_assert_int_eq(setrlimit(RLIMIT_AS, &limit), 0);
    ck_assert(spans_setup((size_t) 1 << 36));
    void *p = malloc(3000 * MB);
    ck_assert_ptr_nonnull(p);
    free(p);
}
END_TEST
#endif

Suite *spans_suite(void)
{
    Suite *s = suite_create("spans");
    TCase *c = unit_case(s, "blocks", 20);
    tcase_add_test(c, each_size);
    tcase_add_test(c, none);
    tcase_add_test(c, any_order);
    tcase_add_test(c, a_storm_passes);
    tcase_add_test(c, much_is_in_use);
    c = unit_case(s, "threads", 40);
    tcase_add_loop_test(c, others_give_back, 0, 3);
    tcase_add_loop_test(c, ended_at_work, 0, 2);
    tcase_add_test(c, one_after_the_other);
    tcase_add_test(c, hammered);
    tcase_add_test(c, forked);
    c = unit_case(s, "no memory", 20);
    tcase_add_test(c, used_up);
    tcase_add_test(c, no_memory);
#if UNIT_SLOW == 1
    tcase_add_test(c, few_addresses);
#endif
    return s;
}
