/*
 * test_push_waits.c: calls without a packet, for a connection whose offloaded function is out: of mario_run(),
 * mario_each_conn(), timers, binds. They wait until it is back, or are nobody's when the connection ends meanwhile.
 */
#include <string.h>

#include "ears.h"

#define USER UINT64_C(0x99)

static void start(struct server *s, struct ears *e)
{
    server_start(s, "testapp", "server.workernum=2", "test.offload=on", "offload.threads=4", NULL);
    ears_open(e, s, 3);
}

static bool the_second_is_called(const struct ears *e, uint64_t times)
{
    return e->each[1].called >= times;
}

static bool the_third_is_called(const struct ears *e, uint64_t times)
{
    return e->each[2].called >= times;
}

static bool the_second_has_heard(const struct ears *e, uint64_t times)
{
    return e->each[1].heard >= times;
}

/* Connection 1 has a timer, and a function that writes, sticks and then does `last`. Of all calls for it none is made:
 * the timer is due, connection 0 has asked for the others; what is sent arrives. */
static void have_all_wait(struct ears *e, struct test_order last)
{
    const struct test_order function[] = {
        {.kind = ORDER_WRITE, .len = 50},
        {.kind = ORDER_STICK},
        last,
        {.kind = ORDER_WRITE, .len = 50},
    };
    const struct test_order asked[] = {
        {.kind = ORDER_RUN, .to = e->each[1].id, .sender = 4},
        {.kind = ORDER_EACH, .sender = 5},
        {.kind = ORDER_SEND, .to = e->each[1].id, .len = 50, .sender = 1},
    };
    ear_order(e, 1, (struct test_order){.kind = ORDER_TIMER, .to = 0, .number = 30});
    client_send_packet(e->each[1].fd, TEST_PUSH + TEST_OFFLOADED, function, sizeof function);
    ear_wait_counter(e, 0, "offload_jobs", 1);
    ear_do(e, 0, TEST_PUSH, asked, ORDERS_IN(asked), NULL);
    ears_wait(e, the_second_has_heard, 1, "what is sent");
    ears_wait(e, the_third_is_called, 1, "the call for the third");
    ear_order(e, 2, (struct test_order){.kind = ORDER_TIMER, .to = 1, .number = 40});
    ears_wait(e, the_third_is_called, 2, "a later timer");
    ck_assert_uint_eq(e->each[1].called, 0);
    ck_assert_uint_eq(e->each[1].written, 0);
    ck_assert_uint_eq(ear_counter(e, 0, "each_done"), 0);
    ck_assert_uint_eq(ear_counter(e, 0, "run_calls"), 0);
}

static void finish(struct server *s, struct ears *e)
{
    ears_wait_quiet(e, 0, 1);
    ears_close(e);
    server_finish(s);
    ck_assert_uint_eq(server_counter(s, "wrong_thread"), 0);
    ck_assert_uint_eq(server_counter(s, "wrong_state"), 0);
}

/* Goal: once it is back each is called, once, behind its answer; with a timer that it cancels itself, without that. */
START_TEST(calls_wait_for_the_function)
{
    struct server s;
    struct ears e;
    start(&s, &e);
    have_all_wait(&e, (struct test_order){.kind = _i == 0 ? ORDER_ID : ORDER_TIMER, .to = 0, .number = 0});
    ear_ask(&e, 0, TEST_UNSTICK, NULL, 0);
    ears_wait(&e, the_second_is_called, _i == 0 ? 3 : 2, "what has waited");
    ear_wait_counter(&e, 0, "each_done", 1);
    ck_assert_uint_eq(ear_counter(&e, 0, "each_seen"), 3);
    ck_assert_uint_eq(ear_counter(&e, 0, "run_calls"), 1);
    ck_assert_uint_eq(e.each[1].written, 2);
    ck_assert_uint_eq(e.each[1].called, (_i == 0 ? 3 : 2));
    ear_order(&e, 1, (struct test_order){.kind = ORDER_WRITE, .len = 50}); /* it goes on */
    finish(&s, &e);
    ck_assert_uint_eq(server_counter(&s, "fired"), _i == 0 ? 2 : 1);
    ck_assert_uint_eq(server_counter(&s, "run_nobody"), 0);
}
END_TEST

/* Goal: when the connection ends first, mario_run() is told at once, the call on all is over without it, and its timer
 * does not come. */
START_TEST(calls_for_who_has_gone)
{
    struct server s;
    struct ears e;
    start(&s, &e);
    have_all_wait(&e, (struct test_order){.kind = ORDER_ID});
    ear_order(&e, 0, (struct test_order){.kind = ORDER_KICK, .to = e.each[1].id});
    ear_wait_counter(&e, 0, "run_nobody", 1);
    ear_wait_counter(&e, 0, "each_done", 1);
    ck_assert_uint_eq(ear_counter(&e, 0, "each_seen"), 2);
    ear_ask(&e, 0, TEST_UNSTICK, NULL, 0);
    ears_wait(&e, ear_has_ended, 1, "the end");
    finish(&s, &e);
    ck_assert_uint_eq(server_counter(&s, "run_calls"), 0);
    ck_assert_uint_eq(server_counter(&s, "fired"), 1);
}
END_TEST

/* Goal: the function that is told of a bind waits, too. */
START_TEST(the_word_of_a_bind_waits)
{
    struct server s;
    struct ears e;
    start(&s, &e);
    const struct test_order bound[] = {{.kind = ORDER_AT_BOUND, .body = 1}, {.kind = ORDER_WRITE, .len = 50}};
    const struct test_order function[] = {{.kind = ORDER_BIND, .to = USER}, {.kind = ORDER_STICK}};
    ear_do(&e, 0, TEST_PUSH, bound, ORDERS_IN(bound), NULL);
    client_send_packet(e.each[1].fd, TEST_PUSH + TEST_OFFLOADED, function, sizeof function);
    while (ear_order(&e, 0, (struct test_order){.kind = ORDER_USER_COUNT, .to = USER}) == 0)
        ears_turn(&e, 1);
    ear_order(&e, 2, (struct test_order){.kind = ORDER_BIND, .to = USER}); /* is decided behind it */
    ears_wait(&e, the_third_is_called, 1, "the third's");
    ck_assert_uint_eq(e.each[1].called, 0);
    ear_ask(&e, 0, TEST_UNSTICK, NULL, 0);
    ears_wait(&e, the_second_is_called, 1, "the second's");
    ears_close(&e);
    server_finish(&s);
}
END_TEST

/* Goal: a stop does not forget those that wait. */
START_TEST(a_stop_while_they_wait)
{
    struct server s;
    struct ears e;
    start(&s, &e);
    have_all_wait(&e, (struct test_order){.kind = ORDER_ID});
    client_send_packet(e.each[0].fd, TEST_STOP, NULL, 0);
    client_send_packet(e.each[0].fd, TEST_UNSTICK, NULL, 0);
    ears_wait(&e, ears_have_ended, 3, "the stop");
    ears_close(&e);
    server_wait_exit(&s, 10000);
    server_check(&s);
    ck_assert_uint_eq(server_counter(&s, "run_calls") + server_counter(&s, "run_nobody"), 1);
    ck_assert_uint_eq(server_counter(&s, "each_done"), 1);
}
END_TEST

Suite *push_waits_suite(void)
{
    Suite *s = suite_create("push_waits");
    TCase *c = itest_case(s, "waits", 20);
    tcase_add_loop_test(c, calls_wait_for_the_function, 0, 2);
    tcase_add_test(c, calls_for_who_has_gone);
    tcase_add_test(c, the_word_of_a_bind_waits);
    tcase_add_test(c, a_stop_while_they_wait);
    return s;
}
