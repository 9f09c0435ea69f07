/*
 * test_options.c: what options are when nobody sets them.
 */
#include "mario/server/options.h"

#include "unit.h"

/* Goal: init_server() means what it did in 0.9.9, where its arguments do not say it; all else is as for everybody. */
START_TEST(old_defaults)
{
    struct mario_options old, new;
    options_init_old(&old);
    mario_options_init(&new);
    ck_assert_uint_eq(old.max_pkglen, 1500);
    ck_assert_uint_eq(old.packet_timeout, 0);
    ck_assert(options_check(&old) && options_check(&new));
    ck_assert_uint_eq(new.max_pkglen, 8192);
    ck_assert_uint_eq(new.packet_timeout, 10);
    ck_assert_str_eq(old.listen, new.listen);
    ck_assert_uint_eq(old.watch_warn_ms, new.watch_warn_ms);
    ck_assert_uint_eq(old.output_max, new.output_max);
    ck_assert_int_eq(old.strict_limits, new.strict_limits);
    ck_assert_uint_eq(old.push_queue, new.push_queue);
    ck_assert_uint_eq(old.push_bytes, new.push_bytes);
    ck_assert_uint_eq(old.push_ring, new.push_ring);
}
END_TEST

/* Goal: what push cannot mean is refused, its limits are allowed. */
START_TEST(push_ranges)
{
    static const struct {
        uint32_t queue, bytes, memory, lowat, ring;
        int slow, uring;
        bool good;
    } cases[] = {
        {64, 1 << 20, 1 << 28, 16384, 4096, 0, 0, true},
        {0, 1, 0, 0, MARIO_PUSH_RING_MIN, 3, 1, true},
        {1, 0, MARIO_PUSH_MEMORY_MAX, MARIO_PUSH_LOWAT_MAX, MARIO_PUSH_RING_MAX, 3, 1, true},
        {MARIO_PUSH_QUEUE_MAX, MARIO_PUSH_BYTES_MAX, 1, 1, 16, 0, 0, true},
        {0, 0, 1, 1, 16, 0, 0, false},
        {MARIO_PUSH_QUEUE_MAX + 1, 1, 1, 1, 16, 0, 0, false},
        {1, MARIO_PUSH_BYTES_MAX + 1, 1, 1, 16, 0, 0, false},
        {1, 1, MARIO_PUSH_MEMORY_MAX + 1, 1, 16, 0, 0, false},
        {1, 1, 1, MARIO_PUSH_LOWAT_MAX + 1, 16, 0, 0, false},
        {1, 1, 1, 1, 0, 0, 0, false},
        {1, 1, 1, 1, 8, 0, 0, false},
        {1, 1, 1, 1, 17, 0, 0, false},
        {1, 1, 1, 1, 2 * MARIO_PUSH_RING_MAX, 0, 0, false},
        {1, 1, 1, 1, 16, 4, 0, false},
        {1, 1, 1, 1, 16, -1, 0, false},
        {1, 1, 1, 1, 16, 0, 2, false},
        {1, 1, 1, 1, 16, 0, -1, false},
    };
    for (size_t i = 0; i < sizeof cases / sizeof cases[0]; i++) {
        struct mario_options o;
        mario_options_init(&o);
        o.push_queue = cases[i].queue;
        o.push_bytes = cases[i].bytes;
        o.push_memory = cases[i].memory;
        o.push_lowat = cases[i].lowat;
        o.push_ring = cases[i].ring;
        o.push_slow = (enum mario_slow) cases[i].slow;
        o.push_uring = (enum mario_uring) cases[i].uring;
        ck_assert_msg(options_check(&o) == cases[i].good, "case %zu", i);
    }
}
END_TEST

Suite *options_suite(void)
{
    Suite *s = suite_create("options");
    TCase *c = unit_case(s, "defaults", 5);
    tcase_add_test(c, old_defaults);
    tcase_add_test(c, push_ranges);
    return s;
}
