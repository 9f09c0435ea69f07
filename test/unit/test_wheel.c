/*
 * test_wheel.c: the timer wheel against a model that is too simple to be wrong: an array of deadlines that is
 * searched from end to end. Every object comes up exactly once, never before its tick and never in a later
 * advance.
 */
#include "unit.h"
#include "mario/base/timer_wheel.h"

#include <stdio.h>
#include <stdlib.h>
#include <string.h>

enum { OBJECTS = 200, OPERATIONS = 100000 };

/* The wheel's node is neither the first nor the only member, as in a connection. */
struct object {
    uint64_t before;
    struct wheel_node node;
    uint64_t after;
};

struct model {
    struct wheel wheel;
    struct object *pool;
    bool in[OBJECTS];
    uint32_t due[OBJECTS];
    uint32_t now;
    uint64_t random;
    uint64_t fired, moved_in_f, cleared_in_f;
    bool quiet; /* f does nothing but check */
};

static uint32_t draw(struct model *m, uint32_t below)
{
    return (uint32_t) (unit_random(&m->random) % below);
}

/* A distance to a deadline: soon, within a turn, on a turn's edge, some turns away, very far, or in the past.
 */
static uint32_t draw_distance(struct model *m)
{
    switch (draw(m, 8)) {
    case 0:
        return draw(m, 3);
    case 1:
        return draw(m, WHEEL_SLOTS);
    case 2:
        return WHEEL_SLOTS * draw(m, 4) + draw(m, 3) - 1;
    case 3:
        return draw(m, 20 * WHEEL_SLOTS);
    case 4:
        return draw(m, INT32_MAX);
    case 5:
        return -draw(m, 1000000);
    default:
        return draw(m, 50);
    }
}

static uint32_t draw_advance(struct model *m)
{
    switch (draw(m, 200)) {
    case 0:
        return draw(m, INT32_MAX); /* a jump that lets the tick run over 2^32 now and then */
    case 1:
        return WHEEL_SLOTS + draw(m, 3) - 1;
    case 2:
        return draw(m, 10 * WHEEL_SLOTS);
    case 3:
        return 0;
    case 4:
        return -draw(m, 1000); /* time never goes back; asking for it changes nothing */
    default:
        return draw(m, 40);
    }
}

static bool is_due(const struct model *m, uint32_t i)
{
    return m->in[i] && (int32_t) (m->due[i] - m->now) <= 0;
}

static void both_set(struct model *m, uint32_t i, uint32_t due)
{
    wheel_set(&m->wheel, i, due);
    m->in[i] = true;
    m->due[i] = (int32_t) (due - m->now) > 0 ? due : m->now + 1;
}

static void both_clear(struct model *m, uint32_t i)
{
    wheel_clear(&m->wheel, i);
    m->in[i] = false;
}

static void on_due(void *arg, uint32_t i)
{
    struct model *m = arg;
    UNIT_ASSERT(i < OBJECTS);
    if (!is_due(m, i))
        ck_abort_msg("object %u came up at tick %u: %s", i, m->now, m->in[i] ? "too early" : "not set");
    UNIT_ASSERT(m->pool[i].node.next == 0);
    m->in[i] = false;
    m->fired++;
    if (m->quiet)
        return;
    switch (draw(m, 6)) {
    case 0:
        both_set(m, i, m->now + draw_distance(m));
        break; /* as a worker does whose deadline has moved */
    case 1:
        both_clear(m, i);
        break; /* not in: harmless */
    case 2:
        both_clear(m, draw(m, OBJECTS)); /* perhaps one that is due in this very advance */
        m->cleared_in_f++;
        break;
    case 3:
        both_set(m, draw(m, OBJECTS), m->now + draw_distance(m));
        m->moved_in_f++;
        break;
    default:
        break;
    }
}

static void both_advance(struct model *m, uint32_t now)
{
    uint32_t then = m->now;
    if ((int32_t) (now - m->now) > 0)
        m->now = now;
    wheel_advance(&m->wheel, now, on_due, m);
    for (uint32_t i = 0; i < OBJECTS; i++) {
        if (is_due(m, i))
            ck_abort_msg("object %u due at %u was forgotten from %u to %u", i, m->due[i], then, m->now);
        UNIT_ASSERT((m->pool[i].node.next != 0) == m->in[i]);
        UNIT_ASSERT(m->pool[i].before == ~(uint64_t) i && m->pool[i].after == i);
    }
}

static void model_make(struct model *m, uint64_t seed, uint32_t now)
{
    memset(m, 0, sizeof *m);
    m->random = seed;
    m->pool = calloc(OBJECTS, sizeof *m->pool);
    ck_assert_ptr_nonnull(m->pool);
    for (uint32_t i = 0; i < OBJECTS; i++) {
        m->pool[i].before = ~(uint64_t) i;
        m->pool[i].after = i;
    }
    ck_assert(wheel_init(&m->wheel, &m->pool[0].node, sizeof(struct object), OBJECTS));
    ck_assert_uint_eq(m->wheel.now, 0);
    while (m->now != now) /* a wheel starts at 0: go where the test wants it in strides it can take */
        both_advance(m, now - m->now > INT32_MAX ? m->now + INT32_MAX : now);
}

static void model_end(struct model *m)
{
    wheel_fini(&m->wheel);
    ck_assert_ptr_null(m->wheel.heads);
    free(m->pool);
}

/* ---- Single facts ---- */

START_TEST(comes_up_at_its_tick)
{
    static const uint32_t distances[] = {
        1, 2, 100, WHEEL_SLOTS - 1, WHEEL_SLOTS, WHEEL_SLOTS + 1, 3 * WHEEL_SLOTS + 7};
    static const uint32_t beginnings[] = {0, 5, UINT32_MAX - 50, UINT32_MAX, INT32_MAX - 3};
    uint32_t distance = distances[_i % 7], begin = beginnings[_i / 7];
    struct model m;
    model_make(&m, 1, begin);
    m.quiet = true;
    both_set(&m, 7, begin + distance);
    for (uint32_t i = 1; i < distance; i++) {
        both_advance(&m, begin + i);
        UNIT_ASSERT(m.fired == 0);
    }
    both_advance(&m, begin + distance);
    ck_assert_uint_eq(m.fired, 1);
    both_advance(&m, begin + distance + 3 * WHEEL_SLOTS);
    ck_assert_uint_eq(m.fired, 1);
    model_end(&m);
}
END_TEST

START_TEST(past_and_present_mean_the_next_tick)
{
    struct model m;
    model_make(&m, 1, 1000);
    m.quiet = true;
    both_set(&m, 0, 1000);
    both_set(&m, 1, 999);
    both_set(&m, 2, 0);
    both_set(&m, 3, 1001);
    both_set(&m, 4, 1002);
    both_advance(&m, 1000);
    ck_assert_uint_eq(m.fired, 0);
    both_advance(&m, 1001);
    ck_assert_uint_eq(m.fired, 4);
    model_end(&m);
}
END_TEST

START_TEST(moving_and_clearing)
{
    struct model m;
    model_make(&m, 1, UINT32_MAX - 4);
    m.quiet = true;
    for (uint32_t i = 0; i < OBJECTS; i++)
        both_set(&m, i, m.now + 3);
    for (uint32_t i = 0; i < OBJECTS; i += 2)
        both_set(&m, i, m.now + 10); /* later */
    for (uint32_t i = 0; i < OBJECTS; i += 4)
        both_set(&m, i, m.now + 2); /* earlier again */
    for (uint32_t i = 1; i < OBJECTS; i += 4) {
        both_clear(&m, i);
        both_clear(&m, i);
    }
    both_advance(&m, m.now + 2);
    ck_assert_uint_eq(m.fired, OBJECTS / 4);
    both_advance(&m, m.now + 1);
    ck_assert_uint_eq(m.fired, OBJECTS / 2);
    both_advance(&m, m.now + 7);
    ck_assert_uint_eq(m.fired, OBJECTS * 3 / 4);
    model_end(&m);
}
END_TEST

START_TEST(empty_pools_and_pools_of_one)
{
    struct wheel w;
    ck_assert(wheel_init(&w, NULL, sizeof(struct wheel_node), 0));
    wheel_advance(&w, 3 * WHEEL_SLOTS, on_due, NULL);
    ck_assert_uint_eq(w.now, 3 * WHEEL_SLOTS);
    wheel_fini(&w);
    struct wheel_node one = {0};
    ck_assert(wheel_init(&w, &one, sizeof one, 1));
    wheel_clear(&w, 0);
    wheel_set(&w, 0, 5);
    wheel_set(&w, 0, 5);
    wheel_clear(&w, 0);
    ck_assert_uint_eq(one.next, 0);
    wheel_advance(&w, 10, on_due, NULL);
    wheel_fini(&w);
}
END_TEST

/* ---- f changes what is being looked at ---- */

static void clear_all_others(void *arg, uint32_t i)
{
    struct model *m = arg;
    UNIT_ASSERT(is_due(m, i));
    m->in[i] = false;
    m->fired++;
    for (uint32_t k = 0; k < OBJECTS; k++)
        both_clear(m, k);
}

START_TEST(the_first_clears_all_others)
{
    struct model m;
    model_make(&m, 1, 77);
    for (uint32_t i = 0; i < OBJECTS; i++)
        both_set(&m, i, 80 + i % 3);
    wheel_advance(&m.wheel, m.now = 90, clear_all_others, &m);
    ck_assert_uint_eq(m.fired, 1);
    m.quiet = true;
    both_advance(&m, m.now + 2 * WHEEL_SLOTS);
    ck_assert_uint_eq(m.fired, 1);
    model_end(&m);
}
END_TEST

static void put_all_off(void *arg, uint32_t i)
{
    struct model *m = arg;
    UNIT_ASSERT(is_due(m, i));
    m->in[i] = false;
    m->fired++;
    for (uint32_t k = 0; k < OBJECTS; k++)
        both_set(m, k, m->now); /* due at once means the next tick, also within an advance: so this ends */
}

START_TEST(each_puts_off_all_others)
{
    struct model m;
    model_make(&m, 1, UINT32_MAX - 20);
    for (uint32_t i = 0; i < OBJECTS; i++)
        both_set(&m, i, m.now + 1);
    for (uint32_t i = 1; i <= 40; i++) {
        wheel_advance(&m.wheel, ++m.now, put_all_off, &m);
        ck_assert_uint_eq(m.fired, i);
    }
    model_end(&m);
}
END_TEST

/* ---- Everything at random ---- */

START_TEST(as_the_model)
{
    static const uint32_t beginnings[] = {0, UINT32_MAX - 3000, INT32_MAX - 3000};
    uint64_t seed = UINT64_C(0x6d6172696f746370) + (uint64_t) _i;
    struct model m;
    printf("wheel: seed 0x%llx, %d operations\n", (unsigned long long) seed, OPERATIONS);
    model_make(&m, seed, beginnings[_i]);
    for (int i = 0; i < OPERATIONS; i++) {
        uint32_t what = draw(&m, 100);
        if (what < 50)
            both_set(&m, draw(&m, OBJECTS), m.now + draw_distance(&m));
        else if (what < 60)
            both_clear(&m, draw(&m, OBJECTS));
        else
            both_advance(&m, m.now + draw_advance(&m));
    }
    m.quiet = true;
    for (int i = 0; i < 3; i++)
        both_advance(&m, m.now + INT32_MAX);
    for (uint32_t i = 0; i < OBJECTS; i++)
        ck_assert(!m.in[i]);
    ck_assert_uint_gt(m.fired, 10000);
    ck_assert_uint_gt(m.moved_in_f, 1000);
    ck_assert_uint_gt(m.cleared_in_f, 1000);
    model_end(&m);
}
END_TEST

Suite *wheel_suite(void)
{
    Suite *s = suite_create("wheel");
    TCase *c = unit_case(s, "facts", 10);
    tcase_add_loop_test(c, comes_up_at_its_tick, 0, 7 * 5);
    tcase_add_test(c, past_and_present_mean_the_next_tick);
    tcase_add_test(c, moving_and_clearing);
    tcase_add_test(c, empty_pools_and_pools_of_one);
    tcase_add_test(c, the_first_clears_all_others);
    tcase_add_test(c, each_puts_off_all_others);
    c = unit_case(s, "model", 30);
    tcase_add_loop_test(c, as_the_model, 0, 3);
    return s;
}
