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
}
END_TEST

Suite *options_suite(void)
{
    Suite *s = suite_create("options");
    TCase *c = unit_case(s, "defaults", 5);
    tcase_add_test(c, old_defaults);
    return s;
}
