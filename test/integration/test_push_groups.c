/*
 * test_push_groups.c: groups: who is in them and hears what is sent to them, while others come and go; groups that
 * nobody is in any more.
 */
#include <string.h>
#include <unistd.h>

#include "ears.h"

#define GROUP UINT64_C(0x1234567890)

static void start(struct server *s)
{
    server_start(s, "testapp", "server.workernum=2", "test.offload=on", "offload.threads=4",
                 "push.queue=100000", "push.bytes=64m", NULL);
}

static void finish(struct server *s, struct ears *e)
{
    ears_close(e);
    server_finish(s);
}

/* Goal: who joins and sends to the group in one function hears it; who leaves and sends does not; nor does who is
 * excepted. */
START_TEST(a_group_reaches_who_has_just_joined)
{
    static const uint16_t akg[] = {TEST_PUSH, TEST_PUSH + TEST_OFFLOADED};
    struct server s;
    struct ears e;
    start(&s);
    ears_open(&e, &s, 3);
    ear_order(&e, 2, (struct test_order){.kind = ORDER_JOIN, .to = GROUP});
    const struct test_order orders[] = {
        {.kind = ORDER_JOIN, .to = GROUP},
        {.kind = ORDER_SEND_GROUP, .to = GROUP, .len = 40, .sender = 1, .number = 0},
        {.kind = ORDER_SEND_GROUP, .flags = ORDER_BUT_ME, .to = GROUP, .len = 40, .sender = 1, .number = 1},
        {.kind = ORDER_LEAVE, .to = GROUP},
        {.kind = ORDER_SEND_GROUP, .to = GROUP, .len = 40, .sender = 1, .number = 2},
        {.kind = ORDER_SEND_ALL, .flags = ORDER_BUT_ME, .len = 40, .sender = 1, .number = 3},
        {.kind = ORDER_SEND_ALL, .other = e.each[2].id, .len = 40, .sender = 1, .number = 4},
    };
    ear_do(&e, 0, akg[_i], orders, ORDERS_IN(orders), NULL);
    ears_wait_quiet(&e, 0, 2 + 1 + 1 + 2 + 2);
    ck_assert_uint_eq(e.each[0].heard, 2); /* 0, 4 */
    ck_assert_uint_eq(e.each[0].gaps, 3);
    ck_assert_uint_eq(e.each[1].heard, 2); /* 3, 4 */
    ck_assert_uint_eq(e.each[2].heard, 4); /* 0 .. 3 */
    ck_assert_uint_eq(e.each[2].gaps, 0);
    ears_expect_members(&e, 0, GROUP, 1);
    finish(&s, &e);
}
END_TEST

/* Goal: whoever has the answer of a function finds done what it ordered: another one, on another worker, sends to the
 * group as soon as the answer is there, and the newcomer hears it. Inline and offloaded. */
START_TEST(an_answer_says_that_it_is_done)
{
    uint32_t rounds = ITEST_SLOW > 1 ? 100 : 500;
    struct server s;
    struct ears e;
    start(&s);
    ears_open(&e, &s, 2);
    ck_assert_uint_ne(id_worker_of(e.each[0].id), id_worker_of(e.each[1].id));
    for (uint32_t i = 0; i < rounds; i++) {
        const struct test_order join = {.kind = ORDER_JOIN, .to = GROUP},
                                leave = {.kind = ORDER_LEAVE, .to = GROUP};
        const struct test_order send = {
            .kind = ORDER_SEND_GROUP, .to = GROUP, .len = 40, .sender = 1, .number = i};
        uint16_t akg = (uint16_t) (_i == 0 ? TEST_PUSH : TEST_PUSH + TEST_OFFLOADED);
        ear_do(&e, 1, akg, &join, 1, NULL);
        ear_do(&e, 0, TEST_PUSH, &send, 1, NULL);
        ears_wait(&e, ears_have_heard, i + 1, "the newcomer hears it");
        ear_do(&e, 1, akg, &leave, 1, NULL);
    }
    ck_assert_uint_eq(e.each[1].gaps, 0);
    finish(&s, &e);
}
END_TEST

/* Goal: members are counted on all workers; joining twice and leaving twice are nothing; an end leaves all groups. By
 * id likewise, of another worker. */
START_TEST(members_come_and_go)
{
    enum { EARS = 12 };
    struct server s;
    struct ears e;
    start(&s);
    ears_open(&e, &s, EARS);
    for (uint32_t i = 0; i < EARS; i++) {
        if (i % 2 == 0)
            ear_order(&e, i, (struct test_order){.kind = ORDER_JOIN, .to = GROUP, .times = 9});
        else
            ear_order(
                &e, 0,
                (struct test_order){.kind = ORDER_JOIN_ID, .to = GROUP, .other = e.each[i].id, .times = 9});
    }
    ears_expect_members(&e, 0, GROUP, EARS);
    ears_expect_members(&e, 0, GROUP + 9, EARS);
    for (uint32_t i = 0; i < EARS; i++)
        ear_order(&e, i, (struct test_order){.kind = ORDER_JOIN, .to = GROUP});
    ears_expect_members(&e, 0, GROUP, EARS);
    for (uint32_t k = 0; k < 2; k++) {
        ear_order(&e, 0, (struct test_order){.kind = ORDER_LEAVE_ID, .to = GROUP, .other = e.each[1].id});
        ear_order(&e, 2, (struct test_order){.kind = ORDER_LEAVE, .to = GROUP});
        ears_expect_members(&e, 0, GROUP, EARS - 2);
    }
    ears_expect_members(&e, 0, GROUP + 1, EARS);
    for (uint32_t i = 3; i < EARS; i++)
        ear_close(&e, i);
    ears_expect_members(&e, 0, GROUP + 1, 3);
    ears_expect_members(&e, 0, GROUP, 1);
    ear_order(&e, 0, (struct test_order){.kind = ORDER_SEND_GROUP, .to = GROUP + 1, .len = 40, .sender = 1});
    ears_wait_quiet(&e, 0, 3);
    finish(&s, &e);
}
END_TEST

/* Goal: groups that nobody is in any more are nowhere: after hundreds of thousands of them the memory is what it
 * was. */
START_TEST(empty_groups_are_freed)
{
    enum { GROUPS = ITEST_SLOW > 1 ? 3000 : 50000, ROUNDS = 6 };
    struct server s;
    struct ears e;
    uint64_t rss = 0;
    server_start(&s, "testapp", "server.workernum=2", "push.ring=65536", NULL);
    ears_open(&e, &s, 2);
    for (uint64_t round = 0; round < ROUNDS; round++) {
        uint64_t first = 1 + round * GROUPS;
        for (uint32_t i = 0; i < 2; i++)
            ear_order(&e, i, (struct test_order){.kind = ORDER_JOIN, .to = first, .times = GROUPS - 1});
        ears_expect_members(&e, 0, first + GROUPS - 1, 2);
        for (uint32_t i = 0; i < 2 && round % 2 == 0; i++)
            ear_order(&e, i, (struct test_order){.kind = ORDER_LEAVE, .to = first, .times = GROUPS - 1});
        for (uint32_t i = 0; i < 2 && round % 2 == 1; i++) { /* an end leaves them as well */
            ear_close(&e, i);
            ear_reopen(&e, i);
        }
        ears_expect_members(&e, 0, first, 0);
        ears_expect_members(&e, 0, first + GROUPS - 1, 0);
        rss = round == 1 ? server_rss_kb(&s) : rss;
    }
    if (ITEST_SLOW == 1)
        ck_assert_msg(server_rss_kb(&s) < rss + 4096, "%llu KB, then %llu KB", (unsigned long long) rss,
                      (unsigned long long) server_rss_kb(&s));
    finish(&s, &e);
}
END_TEST

/* Goal: while a broadcast goes on, in slices, others join, leave, come and go: who was a member before and is one after
 * hears each message once; nobody hears one twice. For a group and for all. */
START_TEST(members_come_and_go_meanwhile)
{
    enum { EARS = 500, MOVING = 60, COUNT = ITEST_SLOW > 1 ? 40 : 150 };
    struct server s;
    struct ears e, moving;
    server_start(&s, "testapp", "server.workernum=1", "push.queue=100000", "push.bytes=64m", NULL);
    ears_open(&e, &s, EARS);
    ears_open(&moving, &s, MOVING);
    for (uint32_t i = 0; i < EARS; i++)
        ear_order(&e, i, (struct test_order){.kind = ORDER_JOIN, .to = GROUP});
    const struct test_order orders[] = {
        {.kind = ORDER_THREAD, .body = 1},
        {.kind = _i == 0 ? ORDER_SEND_GROUP : ORDER_SEND_ALL,
         .flags = ORDER_PERSISTS,
         .to = GROUP,
         .times = COUNT - 1,
         .pause = 300,
         .len = 60,
         .sender = 1},
    };
    ear_tell(&e, 0, orders, ORDERS_IN(orders));
    for (uint32_t k = 0; ears_heard(&e) < EARS * COUNT; k++) {
        uint32_t i = k % MOVING;
        if (i % 2 == 0)
            ear_tell(&moving, i,
                     ORDERS({.kind = ORDER_JOIN, .to = GROUP}, {.kind = ORDER_LEAVE, .to = GROUP}), 2);
        else
            ear_reopen(&moving, i);
        ears_turn(&moving, 0);
        for (int turns = 0; turns < 4; turns++)
            ears_turn(&e, 0);
        ck_assert_uint_lt(k, 1000000);
    }
    for (uint32_t i = 0; i < EARS; i++)
        ck_assert(e.each[i].heard == COUNT && e.each[i].gaps == 0);
    ears_close(&moving);
    finish(&s, &e);
}
END_TEST

Suite *push_groups_suite(void)
{
    Suite *s = suite_create("push_groups");
    TCase *c = itest_case(s, "groups", 30);
    tcase_add_loop_test(c, a_group_reaches_who_has_just_joined, 0, 2);
    tcase_add_loop_test(c, an_answer_says_that_it_is_done, 0, 2);
    tcase_add_test(c, members_come_and_go);
    tcase_add_test(c, empty_groups_are_freed);
    tcase_add_loop_test(c, members_come_and_go_meanwhile, 0, 2);
    return s;
}
