/*
 * test_spsc.c: the ring. Its answers one by one on one thread, then two real threads: everything arrives
 * once, in order and whole, whatever the capacity, whoever is faster, and also when the indices run over
 * 2^32.
 */
#include "mario/base/spsc.h"
#include "unit.h"

#include <pthread.h>
#include <sched.h>
#include <string.h>

static const uint32_t capacities[] = {1, 2, 1024};
enum { CAPACITIES = sizeof capacities / sizeof capacities[0] };

/* Where the indices start: at 0, and so that they run over 2^32 early, in the middle of a lap too. */
static const uint32_t starts[] = {0, UINT32_MAX, UINT32_MAX - 1, UINT32_MAX - 700, 0x80000000u - 3};
enum { STARTS = sizeof starts / sizeof starts[0] };

static void ring_make(struct spsc *r, uint32_t capacity, uint32_t size, uint32_t start)
{
    ck_assert(spsc_init(r, capacity, size));
    atomic_store(&r->tail, start);
    atomic_store(&r->head, start);
    r->head_seen = r->tail_seen = start;
}

/* ---- One thread ---- */

START_TEST(empty_then_full_then_empty)
{
    uint32_t capacity = capacities[_i % CAPACITIES], start = starts[_i / CAPACITIES];
    struct spsc r;
    ring_make(&r, capacity, sizeof(uint32_t), start);
    for (uint32_t lap = 0; lap < 3; lap++) {
        ck_assert_ptr_null(spsc_front(&r));
        for (uint32_t i = 0; i < capacity; i++) {
            uint32_t *slot = spsc_reserve(&r);
            ck_assert_ptr_nonnull(slot);
            *slot = lap * capacity + i;
            spsc_commit(&r);
        }
        ck_assert_ptr_null(spsc_reserve(&r));
        for (uint32_t i = 0; i < capacity; i++) {
            uint32_t *slot = spsc_front(&r);
            ck_assert_ptr_nonnull(slot);
            ck_assert_uint_eq(*slot, lap * capacity + i);
            spsc_release(&r);
        }
    }
    ck_assert_ptr_null(spsc_front(&r));
    spsc_fini(&r);
    ck_assert_ptr_null(r.slots);
}
END_TEST

START_TEST(one_given_back_is_one_to_fill)
{
    uint32_t capacity = capacities[_i % CAPACITIES], start = starts[_i / CAPACITIES];
    struct spsc r;
    ring_make(&r, capacity, sizeof(uint32_t), start);
    uint32_t in = 0, out = 0;
    for (; in < capacity; in++) {
        *(uint32_t *) spsc_reserve(&r) = in;
        spsc_commit(&r);
    }
    for (; out < 3 * capacity; out++) {
        ck_assert_ptr_null(spsc_reserve(&r));
        ck_assert_uint_eq(*(uint32_t *) spsc_front(&r), out);
        spsc_release(&r);
        uint32_t *slot = spsc_reserve(&r);
        ck_assert_ptr_nonnull(slot);
        *slot = in++;
        spsc_commit(&r);
    }
    spsc_fini(&r);
}
END_TEST

START_TEST(asking_twice_changes_nothing)
{
    struct spsc r;
    ring_make(&r, 4, sizeof(uint32_t), UINT32_MAX - 1);
    for (uint32_t i = 0; i < 20; i++) {
        uint32_t *slot = spsc_reserve(&r);
        ck_assert_ptr_eq(spsc_reserve(&r), slot);
        ck_assert_ptr_null(spsc_front(&r)); /* reserved and filled is not published */
        *slot = i;
        ck_assert_ptr_null(spsc_front(&r));
        ck_assert_ptr_eq(spsc_reserve(&r), slot);
        spsc_commit(&r);
        ck_assert_ptr_eq(spsc_front(&r), slot);
        ck_assert_ptr_eq(spsc_front(&r), slot);
        ck_assert_uint_eq(*slot, i);
        ck_assert_ptr_ne(spsc_reserve(&r), slot);
        spsc_release(&r);
    }
    spsc_fini(&r);
}
END_TEST

/* Slots of any size lie side by side, none over another, all inside the block. */
START_TEST(slots_do_not_overlap)
{
    static const uint32_t sizes[] = {1, 3, 24, 1000};
    uint32_t size = sizes[_i], capacity = 8;
    unsigned char want[1000];
    struct spsc r;
    ring_make(&r, capacity, size, UINT32_MAX - 3);
    for (uint32_t i = 0; i < capacity; i++) {
        unsigned char *slot = spsc_reserve(&r);
        ck_assert(slot >= r.slots && slot + size <= r.slots + (size_t) capacity * size);
        memset(slot, (int) (i + 1), size);
        spsc_commit(&r);
    }
    for (uint32_t i = 0; i < capacity; i++) {
        memset(want, (int) (i + 1), size);
        ck_assert_mem_eq(spsc_front(&r), want, size);
        spsc_release(&r);
    }
    spsc_fini(&r);
}
END_TEST

/* ---- Two threads ---- */

struct element {
    uint64_t sequence;
    uint64_t body[5];
    uint64_t check;
};

static uint64_t element_check(const struct element *e)
{
    uint64_t sum = e->sequence * UINT64_C(0x9e3779b97f4a7c15);
    for (int i = 0; i < 5; i++)
        sum = (sum << 7 | sum >> 57) ^ e->body[i];
    return sum;
}

/* Where other programs want the processors, each step of one thread can cost a time slice of theirs: then fewer do. */
enum { STREAM_MS = 3000, STREAM_LEAST = 200 };

struct stream {
    struct spsc ring;
    _Atomic uint64_t count;      /* producer (w) -> consumer (r), before the last one is there */
    uint64_t wrong, full, empty; /* consumer, producer, consumer */
    bool bursts;                 /* both sides pause now and then, so the ring runs full and empty by turns */
};

static void *stream_produce(void *arg)
{
    struct stream *s = arg;
    uint64_t random = 1, pause = 0, end = unit_ms() + STREAM_MS;
    for (uint64_t i = 0; i < s->count; i++) {
        struct element *e;
        if (i % 64 == 0 && i >= STREAM_LEAST && unit_ms() > end)
            s->count = i + 1;
        while ((e = spsc_reserve(&s->ring)) == NULL) {
            s->full++;
            sched_yield();
        }
        e->sequence = i;
        for (int k = 0; k < 5; k++)
            e->body[k] = unit_random(&random);
        e->check = element_check(e);
        spsc_commit(&s->ring);
        if (s->bursts && pause-- == 0) {
            pause = unit_random(&random) % 3000;
            sched_yield();
        }
    }
    return NULL;
}

static void *stream_consume(void *arg)
{
    struct stream *s = arg;
    uint64_t random = 2, pause = 0;
    for (uint64_t i = 0; i < s->count; i++) {
        struct element *e;
        while ((e = spsc_front(&s->ring)) == NULL) {
            s->empty++;
            sched_yield();
        }
        if (e->sequence != i || e->check != element_check(e))
            s->wrong++;
        memset(e, 0xa5, sizeof *e); /* ours until released: whoever sees this has read a slot twice */
        spsc_release(&s->ring);
        if (s->bursts && pause-- == 0) {
            pause = unit_random(&random) % 3000;
            sched_yield();
        }
    }
    return NULL;
}

static void stream_run(uint32_t capacity, uint32_t start, uint64_t count, bool bursts)
{
    static struct stream s;
    pthread_t producer, consumer;
    ring_make(&s.ring, capacity, sizeof(struct element), start);
    s.count = count;
    s.bursts = bursts;
    ck_assert_int_eq(pthread_create(&producer, NULL, stream_produce, &s), 0);
    ck_assert_int_eq(pthread_create(&consumer, NULL, stream_consume, &s), 0);
    ck_assert_int_eq(pthread_join(producer, NULL), 0);
    ck_assert_int_eq(pthread_join(consumer, NULL), 0);
    ck_assert_uint_eq(s.wrong, 0);
    ck_assert_ptr_null(spsc_front(&s.ring));
    ck_assert_uint_eq(atomic_load(&s.ring.tail), (uint32_t) (start + s.count));
    ck_assert_uint_eq(atomic_load(&s.ring.head), (uint32_t) (start + s.count));
    if (capacity == 1)
        ck_assert_uint_gt(s.full + s.empty, 0); /* the two really had to wait for each other */
    spsc_fini(&s.ring);
}

START_TEST(two_threads)
{
    /* With one or two slots both threads wait for each other at every step. */
    uint64_t count = capacities[_i] < 1024 ? 800000 : 4000000;
    stream_run(capacities[_i], 0, count / UNIT_SLOW, false);
}
END_TEST

START_TEST(two_threads_in_bursts)
{
    stream_run(capacities[_i], 0, 300000 / UNIT_SLOW, true);
}
END_TEST

START_TEST(two_threads_over_the_edge_of_the_index)
{
    uint64_t count = 200000 / UNIT_SLOW;
    stream_run(capacities[_i], UINT32_MAX - STREAM_LEAST / 2, count, _i == 2);
}
END_TEST

Suite *spsc_suite(void)
{
    Suite *s = suite_create("spsc");
    TCase *c = unit_case(s, "one thread", 5);
    tcase_add_loop_test(c, empty_then_full_then_empty, 0, CAPACITIES * STARTS);
    tcase_add_loop_test(c, one_given_back_is_one_to_fill, 0, CAPACITIES * STARTS);
    tcase_add_test(c, asking_twice_changes_nothing);
    tcase_add_loop_test(c, slots_do_not_overlap, 0, 4);
    c = unit_case(s, "two threads", 20);
    tcase_add_loop_test(c, two_threads, 0, CAPACITIES);
    tcase_add_loop_test(c, two_threads_in_bursts, 0, CAPACITIES);
    tcase_add_loop_test(c, two_threads_over_the_edge_of_the_index, 0, CAPACITIES);
    return s;
}
