/*
 * test_users.c: users and their connections against plain lists.
 */
#include "mario/push/users.h"
#include "unit.h"

#include <string.h>

enum { USERS = 40, MOST = 300, OPERATIONS = 200000 };

struct model {
    struct users users;
    uint64_t random;
    uint64_t id[USERS][MOST];
    uint32_t count[USERS];
};

static uint32_t draw(struct model *m, uint32_t below)
{
    return (uint32_t) (unit_random(&m->random) % below);
}

/* The same connections in the same order. */
static void look(const struct model *m, uint32_t u)
{
    const uint64_t *ids;
    uint32_t n = users_ids(&m->users, u + 1, &ids);
    UNIT_ASSERT(n == m->count[u] && n == users_count(&m->users, u + 1));
    UNIT_ASSERT(n == 0 || memcmp(ids, m->id[u], n * sizeof ids[0]) == 0);
}

/* Where it is in the list; the count if it is not. */
static uint32_t find(const struct model *m, uint32_t u, uint64_t id)
{
    uint32_t i = 0;
    while (i < m->count[u] && m->id[u][i] != id)
        i++;
    return i;
}

static void add(struct model *m, uint32_t u, uint64_t id)
{
    bool there = find(m, u, id) < m->count[u];
    UNIT_ASSERT(users_add(&m->users, u + 1, id) == (there ? USER_ADDED_ALREADY : USER_ADDED));
    if (!there)
        m->id[u][m->count[u]++] = id;
}

static void take(struct model *m, uint32_t u, uint64_t id)
{
    uint32_t i = find(m, u, id);
    bool there = i < m->count[u];
    UNIT_ASSERT(users_remove(&m->users, u + 1, id) == there);
    if (there)
        memmove(&m->id[u][i], &m->id[u][i + 1], (--m->count[u] - i) * sizeof m->id[u][0]);
}

/* Goal: any order of binds and ends, few and many connections a user; the oldest stay first. */
START_TEST(as_lists)
{
    static struct model m;
    m.random = (uint64_t) _i;
    ck_assert(users_init(&m.users));
    uint32_t share = 50;
    for (int i = 0; i < OPERATIONS / UNIT_SLOW; i++) {
        if (i % 5000 == 0)
            share = draw(&m, 100);
        uint32_t u = draw(&m, USERS);
        uint64_t id = 1 + draw(&m, u % 4 == 0 ? MOST : 3); /* most have few */
        if (draw(&m, 100) < share)
            add(&m, u, id);
        else
            take(&m, u, id);
        look(&m, u);
    }
    users_fini(&m.users); /* with some still there: nothing leaks */
}
END_TEST

/* Goal: without memory nothing changes, wherever it is missing; what ends needs none. */
START_TEST(without_memory)
{
    static struct model m;
    ck_assert(users_init(&m.users));
    size_t refused = 0;
    for (uint64_t i = 0; i < MOST; i++) {
        for (uint32_t u = 0; u < USERS; u++) {
            unit_heap_fail(0);
            enum user_added how = users_add(&m.users, u + 1, 1 + i);
            bool missed = unit_heap_heal() > 0;
            refused += missed;
            UNIT_ASSERT(how == USER_ADDED || (how == USER_ADDED_NOT && missed));
            if (how == USER_ADDED)
                m.id[u][m.count[u]++] = 1 + i;
            look(&m, u);
            if (how == USER_ADDED_NOT)
                add(&m, u, 1 + i);
            look(&m, u);
        }
    }
    ck_assert_uint_gt(refused, USERS);
    unit_heap_fail(0);
    for (uint64_t i = 0; i < MOST; i++) {
        for (uint32_t u = 0; u < USERS; u++) {
            take(&m, u, 1 + i * 7 % MOST);
            look(&m, u);
        }
    }
    unit_heap_heal();
    ck_assert_uint_eq(m.users.index.used, 0);
    users_fini(&m.users);
}
END_TEST

Suite *users_suite(void)
{
    Suite *s = suite_create("users");
    tcase_add_loop_test(unit_case(s, "as lists", 20), as_lists, 0, 3);
    tcase_add_test(unit_case(s, "without memory", 20), without_memory);
    return s;
}
