/*
 * test_push_batches.c: sending in batches, push.uring = auto: what everybody hears is the same as one by one. Where the
 * kernel has no ring for us the server says so and sends one by one.
 */
#include "ears.h"
#include "mario/mario_push.h"

#define GROUP UINT64_C(0x5110)

enum { EARS = 120, DEAF = 10 /* the first ones of them */ };

/* A flood to the group by a thread of the server: n messages from number `first` on. */
static void flood(struct ears *e, uint32_t first, uint32_t n)
{
    uint64_t done = ear_counter(e, 0, "threads_done");
    struct test_order o = {.kind = ORDER_SEND_GROUP,
                           .flags = ORDER_PERSISTS,
                           .to = GROUP,
                           .times = n - 1,
                           .len = 500 * ITEST_SLOW, /* as many bytes in fewer messages */
                           .sender = 1,
                           .number = first};
    ear_do(e, 0, TEST_PUSH, ORDERS({.kind = ORDER_THREAD, .body = 1}, o), 2, NULL);
    ear_wait_counter(e, 0, "threads_done", done + 1);
}

/* Goal: thousands of messages to many, of whom some do not read: what each hears is in order and whole, what he does
 * not hear was dropped, and all are accounted for. */
START_TEST(as_one_by_one)
{
    enum { ROUNDS = 10, COUNT = 100 / ITEST_SLOW };
    struct server s;
    struct ears e;
    server_start(&s, "testapp", "server.workernum=2", "push.uring=auto", "push.slow=drop_oldest",
                 "log.level=info", NULL);
    ears_open(&e, &s, 1 + EARS);
    for (uint32_t i = 1; i <= EARS; i++)
        ear_order(&e, i, (struct test_order){.kind = ORDER_JOIN, .to = GROUP});
    for (uint32_t i = 1; i <= DEAF; i++)
        ear_deafen(&e, i, true);
    for (uint32_t round = 0; round < ROUNDS; round++)
        flood(&e, round * COUNT, COUNT);
    ear_wait_counter(&e, 0, "push_targets", EARS * ROUNDS * COUNT);
    for (uint32_t i = 1; i <= DEAF; i++)
        ear_deafen(&e, i, false);
    ears_wait_quiet(&e, 0, EARS * ROUNDS * COUNT);
    ck_assert_uint_eq(ears_gaps(&e), ear_counter(&e, 0, "push_dropped_oldest"));
    ck_assert_uint_gt(ears_gaps(&e), 0);
    bool batches = server_log_count(&s, "sending in batches") == 1;
    bool refused = server_log_count(&s, "sending one by one") == 1;
    ck_assert(batches != refused);
    ears_close(&e);
    server_finish(&s);
    if (refused)
        TEST_SKIP("the kernel has no ring, or the library was built without");
}
END_TEST

Suite *push_batches_suite(void)
{
    Suite *s = suite_create("push_batches");
    TCase *c = itest_case(s, "batches", 20);
    tcase_add_test(c, as_one_by_one);
    return s;
}
