/*
 * test_timing.c: what is counted of functions: histograms against the numbers that went in, how often is sampled, the
 * list of slow calls while somebody reads it; how busy and how late a worker is.
 */
#include <pthread.h>
#include <string.h>

#include "mario/base/stats.h"
#include "mario/exec/timing.h"
#include "mario/mario_akg.h"
#include "mario/worker/pulse.h"
#include "test/lib/clock.h"
#include "unit.h"

enum { ID = 0x6101, OTHER = 0x7777 };

static int32_t function(CONN *c)
{
    (void) c;
    return 0;
}

static void configure(enum mario_timing mode, uint32_t slow_ms, uint32_t keep)
{
    timing_configure(&(struct timing_options){.mode = mode, .slow_ms = slow_ms, .slow_keep = keep});
}

/* A cycle is as long as it is, or there are so many in a ms. */
static void begin_with(uint64_t cycles_ms)
{
    clock_setup();
    clock_cycles_ms = cycles_ms != 0 ? cycles_ms : clock_cycles_ms;
    ck_assert_int_eq(regist_akg_func(ID, function), 0);
    ck_assert(timing_begin() && timing_open());
    configure(MARIO_TIMING_ALL, 10, 256);
}

static void begin(void)
{
    begin_with(0);
}

/* So many ns, as what timing_observe() takes; the nearest that can be said. */
static uint64_t cycles_of(uint64_t ns)
{
    return ns / 1000000 * clock_cycles_ms + ns % 1000000 * clock_cycles_ms / 1000000;
}

/* Goal: each number is in the one bucket that ends behind it, and no bucket is wider than an eighth of what is in it.
 * */
START_TEST(test_buckets)
{
    uint64_t begins = 0;
    for (uint32_t k = 0; k < TIMING_BUCKETS; k++) {
        uint64_t end = timing_bucket_end(k);
        UNIT_ASSERT(end > begins && (end - begins == 1 || (end - begins) * TIMING_STEPS <= begins));
        begins = end;
    }
    ck_assert_uint_eq(begins, UINT64_C(1) << TIMING_BITS);
}
END_TEST

/* Goal: what was observed stands where it belongs, in the sum and in the buckets; of what is too long nothing is lost.
 * */
START_TEST(test_observed)
{
    static const uint64_t ns[] = {
        0, 1, 15, 16, 17, 1000, 1024, 123456, 10000000, UINT64_C(1) << 38, UINT64_C(1) << 42};
    enum { COUNT = sizeof ns / sizeof ns[0] };
    struct timing m = {.began = 0};
    struct timing_sum sum;
    const uint64_t longest = (UINT64_C(1) << 20) * 1000000; /* what is longer counts as that */
    uint64_t all = 0;
    begin_with(1000000); /* a cycle is a ns: all are exact */
    ck_assert(timing_setup(&m));
    for (size_t i = 0; i < COUNT; i++) {
        timing_call(&m, ID);
        timing_observe(&m, ID, cycles_of(ns[i]));
        all += ns[i] < longest ? ns[i] : longest;
    }
    timing_error(&m, ID);
    timing_observe(&m, OTHER, 7); /* nobody's: it was not registered */
    timing_read(ID, &sum);
    ck_assert_uint_eq(sum.calls, COUNT);
    ck_assert_uint_eq(sum.errors, 1);
    ck_assert_uint_eq(sum.timed, COUNT);
    ck_assert_uint_eq(sum.sum, all);
    for (size_t i = 0; i < COUNT; i++) {
        uint64_t begins = 0,
                 at = ns[i] < UINT64_C(1) << TIMING_BITS ? ns[i] : (UINT64_C(1) << TIMING_BITS) - 1;
        for (uint32_t k = 0; k < TIMING_BUCKETS; begins = timing_bucket_end(k++)) {
            if (at >= begins && at < timing_bucket_end(k))
                ck_assert_msg(sum.bucket[k] > 0, "%llu is not in its bucket", (unsigned long long) ns[i]);
        }
    }
    timing_read(OTHER, &sum);
    ck_assert_uint_eq(sum.timed, 0);
    timing_teardown(&m);
    timing_end();
}
END_TEST

/* Goal: a share of the calls stayed below the quantile, exact to a bucket. */
START_TEST(test_quantiles)
{
    struct timing m = {.began = 0};
    struct timing_sum sum;
    begin_with(1000000);
    ck_assert(timing_setup(&m));
    timing_read(ID, &sum);
    ck_assert_uint_eq(timing_quantile(&sum, 0.99), 0);
    for (uint64_t ns = 1; ns <= 10000; ns++) {
        timing_call(&m, ID);
        timing_observe(&m, ID, ns);
    }
    timing_read(ID, &sum);
    for (double share = 0.1; share < 1.0; share += 0.1) {
        double is = (double) timing_quantile(&sum, share), wanted = share * 10000;
        ck_assert_msg(is >= wanted && is <= wanted * 9 / 8 + 1, "%f of them: %f", share, is);
    }
    timing_teardown(&m);
    timing_end();
}
END_TEST

/* Goal: who is no more has counted still; a call that did not return counts, too; both as slow calls. */
START_TEST(test_those_who_are_gone)
{
    struct timing a = {.began = 0}, b = {.began = 0};
    struct timing_sum sum;
    struct slow_entry out[8];
    begin();
    ck_assert(timing_setup(&a) && timing_setup(&b));
    for (int i = 0; i < 3; i++) {
        timing_call(&a, ID);
        timing_call(&b, ID);
        timing_observe(&a, ID, 100);
    }
    slow_put(&a.block->slow, &(struct slow_entry){.when = 5, .took = 50, .index = ID, .packets = 1});
    timing_teardown(&a);
    timing_lost(&(struct slow_entry){.when = 6, .took = 60, .index = ID, .packets = 1, .never = true});
    timing_read(ID, &sum);
    ck_assert_uint_eq(sum.calls, 6);
    ck_assert_uint_eq(timing_calls(ID), 6);
    ck_assert_uint_eq(sum.timed, 4);
    ck_assert_uint_eq(sum.errors, 1);
    ck_assert_uint_eq(timing_slow(out, 8), 2);
    ck_assert(out[0].never && out[0].took == 60 && !out[1].never && out[1].took == 50 && out[1].when == 5);
    ck_assert_uint_eq(stats_get_shared(STAT_function_slow),
                      1); /* the other one its thread would have counted */
    timing_teardown(&b);
    timing_end();
    begin(); /* the next server knows nothing of them */
    timing_read(ID, &sum);
    ck_assert_uint_eq(sum.calls + sum.timed + sum.errors, 0);
    ck_assert_uint_eq(timing_slow(out, 8), 0);
    timing_end();
}
END_TEST

/* Goal: of many wake-ups one in sixteen is timed, at no regular distance; with `all` each one, with `off` none. */
START_TEST(test_sampled)
{
    enum { WAKE_UPS = 160000, DISTANCES = 2 * TIMING_EVERY };
    struct timing m = {.began = 0};
    uint32_t due = 0, distance = 0, seen[DISTANCES] = {0};
    begin();
    ck_assert(timing_setup(&m));
    configure(MARIO_TIMING_SAMPLED, 10, 256);
    for (int i = 0; i < WAKE_UPS; i++) {
        distance++;
        if (!timing_is_due(&m))
            continue;
        UNIT_ASSERT(distance < DISTANCES);
        seen[distance]++;
        due++;
        distance = 0;
    }
    ck_assert_msg(due > WAKE_UPS / 16 * 95 / 100 && due < WAKE_UPS / 16 * 105 / 100, "%u of %u", due,
                  WAKE_UPS);
    for (int i = 1; i < DISTANCES; i++)
        ck_assert_msg(seen[i] > 0, "never after %d", i);
    configure(MARIO_TIMING_OFF, 10, 256);
    ck_assert(!timing_is_due(&m));
    timing_start(&m);
    ck_assert_uint_eq(m.began, 0);
    ck_assert_uint_eq(timing_slow_after(), UINT64_MAX);
    configure(MARIO_TIMING_ALL, 0, 256);
    ck_assert(timing_is_due(&m) && timing_is_due(&m));
    ck_assert_uint_eq(timing_slow_after(), UINT64_MAX);
    timing_start(&m);
    ck_assert_uint_ne(m.began, 0);
    timing_teardown(&m);
    timing_end();
}
END_TEST

/* Goal: the last ones are kept, the last one first, as many as slow.keep says; reset forgets them. */
START_TEST(test_slow_list)
{
    struct timing a = {.began = 0}, b = {.began = 0};
    static struct slow_entry out[MARIO_SLOW_KEEP_MAX];
    begin();
    ck_assert(timing_setup(&a) && timing_setup(&b));
    uint64_t now = clock_ns();
    for (uint32_t i = 1; i <= 3000; i++)
        slow_put(i % 2 ? &a.block->slow : &b.block->slow,
                 &(struct slow_entry){.when = now + i, .took = i, .index = ID, .packets = i});
    ck_assert_uint_eq(timing_slow(out, MARIO_SLOW_KEEP_MAX), 256);
    for (uint32_t i = 0; i < 256; i++)
        UNIT_ASSERT(out[i].took == 3000 - i && out[i].when == now + 3000 - i && out[i].packets == 3000 - i);
    configure(MARIO_TIMING_ALL, 10, MARIO_SLOW_KEEP_MAX);
    ck_assert_uint_eq(timing_slow(out, MARIO_SLOW_KEEP_MAX), MARIO_SLOW_KEEP_MAX);
    ck_assert_uint_eq(timing_slow(out, 3), 3);
    while (clock_ns() <= now + 3000) {
    }
    timing_slow_reset();
    ck_assert_uint_eq(timing_slow(out, MARIO_SLOW_KEEP_MAX), 0);
    slow_put(&a.block->slow,
             &(struct slow_entry){.when = clock_ns() + 1, .took = 9, .index = ID, .packets = 1});
    ck_assert_uint_eq(timing_slow(out, MARIO_SLOW_KEEP_MAX), 1);
    timing_teardown(&a);
    timing_teardown(&b);
    timing_end();
}
END_TEST

static struct {
    struct timing m;
    _Atomic bool over;
} race;

static void *put_many(void *arg)
{
    (void) arg;
    for (uint64_t i = 1; i <= 400000 / UNIT_SLOW; i++) {
        struct slow_entry e = {.when = i, .took = i, .conn = i, .index = ID, .packets = (uint32_t) i};
        memset(e.peer.address, (int) (i & 0xff), sizeof e.peer.address);
        e.peer.port = (uint16_t) i;
        slow_put(&race.m.block->slow, &e);
        timing_call(&race.m, ID);
        timing_observe(&race.m, ID, i);
    }
    atomic_store(&race.over, true);
    return NULL;
}

/* Goal: who reads while a thread writes finds entries as they were written, and counts that only grow. */
START_TEST(test_beside_a_writer)
{
    static struct slow_entry out[MARIO_SLOW_KEEP_MAX];
    struct timing_sum sum;
    pthread_t writer;
    uint64_t calls = 0;
    begin();
    configure(MARIO_TIMING_ALL, 10, MARIO_SLOW_KEEP_MAX);
    ck_assert(timing_setup(&race.m));
    pthread_create(&writer, NULL, put_many, NULL);
    do {
        uint32_t n = timing_slow(out, MARIO_SLOW_KEEP_MAX);
        for (uint32_t i = 0; i < n; i++) {
            uint64_t v = out[i].when;
            UNIT_ASSERT(out[i].took == v && out[i].conn == v && out[i].packets == (uint32_t) v);
            UNIT_ASSERT(out[i].peer.port == (uint16_t) v && out[i].peer.address[0] == (v & 0xff) &&
                        out[i].peer.address[15] == (v & 0xff));
        }
        timing_read(ID, &sum);
        UNIT_ASSERT(sum.calls >= calls);
        calls = sum.calls;
    } while (!atomic_load(&race.over));
    pthread_join(writer, NULL);
    timing_read(ID, &sum);
    ck_assert_uint_eq(sum.calls, 400000 / UNIT_SLOW);
    ck_assert_uint_eq(sum.timed, sum.calls);
    timing_teardown(&race.m);
    timing_end();
}
END_TEST

static struct slow_place places[MARIO_SLOW_KEEP_MAX];
static struct slow_ring one = {.place = places};

static void *put_at_one_place(void *arg)
{
    (void) arg;
    for (uint64_t i = 1; i <= 3000000 / UNIT_SLOW; i++) {
        slow_put(&one,
                 &(struct slow_entry){.when = i, .took = i, .conn = i, .index = ID, .packets = (uint32_t) i});
        one.written += MARIO_SLOW_KEEP_MAX - 1;
    }
    atomic_store(&race.over, true);
    return NULL;
}

/* Goal: an entry that is written while it is read is read as it was, as it is, or not at all. */
START_TEST(test_an_entry_beside_its_writer)
{
    struct slow_entry e;
    pthread_t writer;
    pthread_create(&writer, NULL, put_at_one_place, NULL);
    while (!atomic_load(&race.over)) {
        for (int i = 0; i < 1000; i++) {
            if (slow_read(&one, 0, &e, 1) == 1)
                UNIT_ASSERT(e.took == e.when && e.conn == e.when && e.packets == (uint32_t) e.when);
        }
    }
    pthread_join(writer, NULL);
    ck_assert_uint_eq(slow_read(&one, 0, &e, 1), 1);
    ck_assert_uint_eq(e.when, 3000000 / UNIT_SLOW);
}
END_TEST

/* Goal: busy is what passed between waking and resting, and goes on while a pass does; late is how late ticks were, or
 * are still, and is forgotten when time stands still. */
START_TEST(test_pulse)
{
    enum { MS = 1000000 };
    struct pulse p = {.busy = 0};
    begin();
    ck_assert_uint_eq(pulse_busy_ns(&p), 0);
    ck_assert_uint_eq(pulse_lag_ns(&p), 0);
    pulse_wake(&p);
    uint64_t began = mono_ns();
    while (mono_ns() - began < 5 * MS) {
    }
    ck_assert_uint_ge(pulse_busy_ns(&p), 4 * MS);
    pulse_wake(&p); /* another event of the same pass */
    pulse_rest(&p);
    uint64_t busy = pulse_busy_ns(&p);
    ck_assert_uint_ge(busy, 4 * MS);
    ck_assert_uint_eq(pulse_busy_ns(&p), busy);
    pulse_rest(&p);
    ck_assert_uint_eq(pulse_busy_ns(&p), busy);
    pulse_ticks(&p, 1 * MS);
    began = mono_ns();
    while (mono_ns() - began < 8 * MS) {
    }
    ck_assert_uint_ge(pulse_lag_ns(&p), 6 * MS); /* nobody has come round: it grows by itself */
    pulse_tick(&p, 60000, 1 * MS);               /* the next one is due in a minute */
    ck_assert_uint_ge(pulse_lag_ns(&p), 6 * MS); /* the most of the last seconds */
    ck_assert_uint_lt(pulse_lag_ns(&p), 60000 * (uint64_t) MS);
    atomic_store(&p.window, atomic_load(&p.window) - 2);
    ck_assert_uint_eq(pulse_lag_ns(&p), 0);
    pulse_tick(&p, 1, 1 * MS);
    ck_assert_uint_eq(pulse_lag_ns(&p), 0);
    configure(MARIO_TIMING_OFF, 10, 256);
    pulse_wake(&p);
    pulse_rest(&p);
    ck_assert_uint_eq(pulse_busy_ns(&p), busy);
    timing_end();
}
END_TEST

Suite *timing_suite(void)
{
    Suite *s = suite_create("timing");
    TCase *c = tcase_create("timing");
    tcase_set_timeout(c, 10 * UNIT_SLOW);
    tcase_add_test(c, test_buckets);
    tcase_add_test(c, test_observed);
    tcase_add_test(c, test_quantiles);
    tcase_add_test(c, test_those_who_are_gone);
    tcase_add_test(c, test_sampled);
    tcase_add_test(c, test_slow_list);
    tcase_add_test(c, test_beside_a_writer);
    tcase_add_test(c, test_an_entry_beside_its_writer);
    tcase_add_test(c, test_pulse);
    suite_add_tcase(s, c);
    return s;
}
