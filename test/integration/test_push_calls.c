/*
 * test_push_calls.c: functions that the library calls for a connection because somebody asked: mario_run(),
 * mario_each_conn(), timers; and receipts.
 */
#include <signal.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

#include "ears.h"
#include "mario/mario_server.h"
#include "stuck.h"

#define GROUP UINT64_C(0x77)

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

static bool all_are_called(const struct ears *e, uint64_t times)
{
    for (uint32_t i = 0; i < e->count; i++) {
        if (e->each[i].called < times)
            return false;
    }
    return true;
}

static bool the_second_is_called(const struct ears *e, uint64_t times)
{
    return e->each[1].called >= times;
}

static bool the_first_is_called(const struct ears *e, uint64_t times)
{
    return e->each[0].called >= times;
}

/* ---- mario_run() ---- */

/* Goal: it runs as a function of the other connection: writes, sends to itself, joins, sees the id; in the order in
 * which it was asked for among what was sent. On the worker of the one who asks and on another, from a function, an
 * offloaded one, a thread. */
START_TEST(a_function_on_another_connection)
{
    struct server s;
    struct ears e;
    start(&s);
    ears_open(&e, &s, 3);
    for (uint32_t k = 1; k <= 2; k++) {
        const struct test_order orders[] = {
            {.kind = ORDER_THREAD, .body = 7},
            {.kind = ORDER_SEND, .to = e.each[k].id, .len = 40, .sender = 1, .number = 0},
            {.kind = ORDER_RUN, .to = e.each[k].id, .body = 4, .sender = 9},
            {.kind = ORDER_WRITE, .times = 2, .len = 50},
            {.kind = ORDER_SEND, .flags = ORDER_OWN, .len = 40, .sender = 2},
            {.kind = ORDER_JOIN, .to = GROUP + k},
            {.kind = ORDER_SEND_GROUP, .to = GROUP + k, .len = 40, .sender = 2, .number = 1},
            {.kind = ORDER_SEND, .to = e.each[k].id, .len = 40, .sender = 1, .number = 1},
        };
        if (_i == 0)
            ear_do(&e, 0, TEST_PUSH, orders, 8, NULL);
        else
            ear_do(&e, 0, _i == 1 ? TEST_PUSH : TEST_PUSH + TEST_OFFLOADED, orders + 1, 7, NULL);
        ears_wait(&e, ears_have_heard, 4 * k, "what was sent");
        ck_assert_uint_eq(e.each[k].called, 1);
        ck_assert_uint_eq(e.each[k].last_called.kind, ORDER_RUN);
        ck_assert_uint_eq(e.each[k].last_called.which, 9);
        ck_assert_uint_eq(e.each[k].written, 3);
        ck_assert_uint_eq(e.each[k].gaps, 0);
        ck_assert_uint_eq(e.each[k].from[1], 2);
        ck_assert_uint_eq(e.each[k].from[2], 2);
    }
    ears_wait_quiet(&e, 0, 8);
    finish(&s, &e);
    ck_assert_uint_eq(server_counter(&s, "run_calls"), 2);
    ck_assert_uint_eq(server_counter(&s, "run_nobody"), 0);
}
END_TEST

/* Goal: what it returns, and close_conn() in it, are as in any function. */
START_TEST(it_closes)
{
    struct server s;
    struct ears e;
    start(&s);
    ears_open(&e, &s, 4);
    for (uint32_t k = 1; k <= 3; k++) {
        const struct test_order orders[] = {
            {.kind = ORDER_RUN, .to = e.each[k].id, .body = 2},
            {.kind = ORDER_WRITE, .len = 50},
            {.kind = _i == 0 ? ORDER_RETURN : ORDER_CLOSE, .number = 7},
            {.kind = ORDER_RUN, .to = e.each[k].id},
        };
        ear_do(&e, 0, TEST_PUSH, orders, ORDERS_IN(orders), NULL);
        ears_wait(&e, ear_has_ended, k, "it closes");
        ck_assert_int_eq(e.each[k].how, END_FIN);
        ck_assert_uint_eq(e.each[k].written, 1);
    }
    ear_wait_counter(&e, 0, "run_nobody", 3);
    ear_wait_counter(&e, 0, "closed", 3);
    ck_assert_uint_eq(ear_counter(&e, 0, "err_type"), _i == 0 ? 0xffff : 7);
    finish(&s, &e);
    ck_assert_uint_eq(server_counter(&s, _i == 0 ? "closed_function_error" : "closed_function_closed"), 3);
}
END_TEST

/* Goal: exactly one of f(c) and f(NULL), once, for each that was accepted: also while the connections end, and at a
 * stop. */
START_TEST(each_is_called_once)
{
    enum { EARS = 40, THREADS = 4, EACH = 50 };
    struct server s;
    struct ears e;
    start(&s);
    ears_open(&e, &s, EARS);
    for (uint32_t t = 0; t < THREADS; t++) {
        struct test_order orders[1 + EARS] = {{.kind = ORDER_THREAD, .body = EARS - 1}};
        for (uint32_t i = 1; i < EARS; i++)
            orders[i] = (struct test_order){.kind = ORDER_RUN,
                                            .flags = ORDER_PERSISTS,
                                            .to = e.each[i].id,
                                            .times = EACH - 1,
                                            .pause = 20};
        ear_tell(&e, 0, orders, EARS);
    }
    for (uint32_t i = 1; i < EARS / 2; i++) {
        ears_turn(&e, 1);
        ear_close(&e, i);
    }
    if (_i == 1) {
        server_signal(&s, SIGTERM);
        ears_wait(&e, ears_have_ended, EARS, "the stop");
        server_wait_exit(&s, 10000);
        ears_close(&e);
        server_check(&s);
    } else {
        ear_wait_counter(&e, 0, "threads_done", THREADS);
        finish(&s, &e);
        ck_assert_uint_eq(server_counter(&s, "orders_refused"), 0);
    }
    uint64_t runs = server_counter(&s, "run_calls") + server_counter(&s, "run_nobody");
    ck_assert_uint_eq(runs, server_counter(&s, "orders_accepted") - THREADS);
    ck_assert_uint_gt(runs, 0);
}
END_TEST

/* ---- mario_each_conn() ---- */

/* Goal: every connection once, then one word that all are through and how many they were. */
START_TEST(every_connection)
{
    enum { EARS = 700 };
    struct server s;
    struct ears e;
    start(&s);
    ears_open(&e, &s, EARS);
    const struct test_order orders[] = {
        {.kind = ORDER_THREAD, .body = 3},
        {.kind = ORDER_EACH, .body = 2, .sender = 5},
        {.kind = ORDER_WRITE, .len = 50},
        {.kind = ORDER_SEND, .flags = ORDER_OWN, .len = 50, .sender = 1},
    };
    ear_do(&e, 0, TEST_PUSH, orders + (_i == 0), ORDERS_IN(orders) - (_i == 0), NULL);
    ears_wait(&e, all_are_called, 1, "each is called");
    ear_wait_counter(&e, 0, "each_done", 1);
    ck_assert_uint_eq(ear_counter(&e, 0, "each_seen"), EARS);
    ck_assert_uint_eq(ear_counter(&e, 0, "each_calls"), EARS);
    for (uint32_t i = 0; i < EARS; i++)
        ck_assert(e.each[i].called == 1 && e.each[i].written == 1 && e.each[i].last_called.which == 5);
    ears_wait_quiet(&e, 0, EARS);
    finish(&s, &e);
    ck_assert_uint_eq(server_counter(&s, "each_done"), 1);
}
END_TEST

/* Goal: it closes them all while others go by themselves and new ones come: each that was seen is seen once, and the
 * count is that of the calls. */
START_TEST(every_connection_closes)
{
    enum { EARS = 200 };
    struct server s;
    struct ears e;
    start(&s);
    ears_open(&e, &s, EARS);
    const struct test_order orders[] = {
        {.kind = ORDER_EACH, .body = 1},
        {.kind = ORDER_RETURN, .number = 1},
    };
    ear_tell(&e, 0, orders, ORDERS_IN(orders));
    for (uint32_t i = 1; i < EARS; i += 2)
        ear_close(&e, i);
    ears_wait(&e, ears_have_ended, EARS, "all are closed");
    ears_close(&e);
    server_wait_counter(&s, "each_done", 1, EAR_MS);
    ck_assert_uint_eq(server_counter(&s, "each_seen"), server_counter(&s, "each_calls"));
    ck_assert_uint_ge(server_counter(&s, "each_seen"), EARS / 2);
    server_finish(&s);
}
END_TEST

/* Goal: at a stop each one that was accepted still says that it is through, once. */
START_TEST(every_one_ends_at_a_stop)
{
    struct server s;
    struct ears e;
    start(&s);
    ears_open(&e, &s, 300);
    for (uint32_t t = 0; t < 3; t++) {
        const struct test_order orders[] = {
            {.kind = ORDER_THREAD, .body = 1},
            {.kind = ORDER_EACH, .flags = ORDER_PERSISTS, .times = 300},
        };
        ear_tell(&e, 0, orders, ORDERS_IN(orders));
    }
    ears_wait(&e, the_first_is_called, 5, "some are called");
    server_signal(&s, SIGTERM);
    ears_wait(&e, ears_have_ended, e.count, "the stop");
    server_wait_exit(&s, 10000);
    ears_close(&e);
    server_check(&s);
    ck_assert_uint_eq(server_counter(&s, "each_done"), server_counter(&s, "orders_accepted") - 3);
}
END_TEST

/* ---- Timers ---- */

/* Goal: not before its time, and soon after it: in the middle of many, in the best of some rounds. */
START_TEST(timers_are_exact)
{
    enum { COUNT = 15, ROUNDS = 4 };
    static const uint32_t ms[] = {1, 7, 20, 50, 130};
    struct server s;
    struct ears e;
    int64_t best = INT64_MAX;
    start(&s);
    ears_open(&e, &s, 2);
    for (int round = 0; round < ROUNDS && best >= 20000 * ITEST_SLOW; round++) {
        int64_t sum = 0;
        for (uint32_t i = 0; i < COUNT; i++) {
            uint64_t called = e.each[1].called;
            ear_do(&e, 1, i % 3 == 0 ? TEST_PUSH + TEST_OFFLOADED : TEST_PUSH,
                   ORDERS({.kind = ORDER_TIMER, .to = i % TEST_TIMERS, .number = ms[i % 5]}), 1, NULL);
            ears_wait(&e, the_second_is_called, called + 1, "the timer");
            ck_assert_uint_eq(e.each[1].last_called.which, i % TEST_TIMERS);
            ck_assert_msg(e.each[1].last_called.late_us >= 0, "%lld us too early",
                          (long long) -e.each[1].last_called.late_us);
            sum += e.each[1].last_called.late_us;
        }
        best = sum / COUNT < best ? sum / COUNT : best;
    }
    ck_assert_msg(best < 20000 * ITEST_SLOW, "%lld us late", (long long) best);
    finish(&s, &e);
}
END_TEST

/* Goal: set again it has the new time and comes once; 0 cancels it; several of one connection are apart, and those of
 * others, too; it may set itself again; it ends with its connection. */
START_TEST(timers_again_and_never)
{
    struct server s;
    struct ears e;
    start(&s);
    ears_open(&e, &s, 3);
    const struct test_order orders[] = {
        {.kind = ORDER_TIMER, .to = 0, .number = 3600000},   {.kind = ORDER_TIMER, .to = 1, .number = 20},
        {.kind = ORDER_TIMER, .to = 2, .number = 1},         {.kind = ORDER_TIMER, .to = 2, .number = 0},
        {.kind = ORDER_TIMER, .to = 0, .number = 10},        {.kind = ORDER_TIMER, .to = 3, .number = 0},
        {.kind = ORDER_TIMER, .to = 1, .number = 604800000},
    };
    for (uint32_t i = 0; i < 3; i++)
        ear_do(&e, i, TEST_PUSH, orders, ORDERS_IN(orders), NULL);
    ears_wait(&e, all_are_called, 1, "the timer that was set again");
    ear_do(&e, 0, TEST_PUSH,
           ORDERS({.kind = ORDER_TIMER, .to = 3, .number = 1, .body = 1}, /* sets itself again */
                  {.kind = ORDER_TIMER, .to = 3, .number = 1}),
           2, NULL);
    ears_wait(&e, the_first_is_called, 30, "a timer that sets itself again");
    ck_assert_uint_eq(e.each[1].called, 1);
    ck_assert_uint_eq(e.each[1].last_called.which, 0);
    ck_assert_uint_eq(e.each[2].called, 1);
    ear_close(&e, 0);
    ear_order(&e, 1, (struct test_order){.kind = ORDER_TIMER, .to = 1, .number = 50});
    ear_close(&e, 1);
    ear_do(&e, 2, TEST_PUSH, ORDERS({.kind = ORDER_TIMER, .to = 2, .number = 80}), 1, NULL);
    uint64_t fired = ear_counter(&e, 2, "fired");
    while (e.each[2].called < 2)
        ears_turn(&e, 10);
    ck_assert_uint_eq(e.each[2].last_called.which, 2);
    /* The first one's may have come once more until its end was noticed. */
    ck_assert_uint_le(ear_counter(&e, 2, "fired"), fired + 30);
    finish(&s, &e);
}
END_TEST

/* Goal: what a timer's function returns, and close_conn() in it, are as in any function; it sends. */
START_TEST(a_timer_closes)
{
    struct server s;
    struct ears e;
    start(&s);
    ears_open(&e, &s, 2);
    const struct test_order orders[] = {
        {.kind = ORDER_TIMER, .number = 5, .body = 3},
        {.kind = ORDER_SEND, .to = e.each[0].id, .len = 50, .sender = 1},
        {.kind = ORDER_WRITE, .len = 50},
        {.kind = _i == 0 ? ORDER_RETURN : ORDER_CLOSE, .number = 3},
        {.kind = ORDER_TIMER, .to = 1, .number = 6},
    };
    ear_do(&e, 1, TEST_PUSH, orders, ORDERS_IN(orders), NULL);
    ears_wait(&e, ear_has_ended, 1, "it closes");
    ck_assert_uint_eq(e.each[1].written, 1);
    ears_wait_quiet(&e, 0, 1);
    finish(&s, &e);
    ck_assert_uint_eq(server_counter(&s, _i == 0 ? "closed_function_error" : "closed_function_closed"), 1);
}
END_TEST

/* Goal: a timer survives its worker's thread: the successor calls it, in time. */
START_TEST(a_timer_survives_a_takeover)
{
    struct server s;
    struct ears e;
    watch_start(&s, NULL, NULL);
    ears_open(&e, &s, 4); /* 0 and 2 are of one worker, 1 and 3 of the other */
    ck_assert_uint_eq(id_worker_of(e.each[0].id), id_worker_of(e.each[2].id));
    ear_order(&e, 0, (struct test_order){.kind = ORDER_TIMER, .to = 0, .number = 3 * REPLACE_MS});
    ear_order(&e, 0,
              (struct test_order){.kind = ORDER_TIMER, .to = 1, .number = WARN_MS}); /* due meanwhile */
    ear_tell(&e, 2, ORDERS({.kind = ORDER_STICK}), 1);
    ear_wait_counter(&e, 1, "alarm_replaced", 1);
    ears_wait(&e, the_first_is_called, 1, "the timer that was due meanwhile");
    ck_assert_uint_eq(e.each[0].last_called.which, 1);
    ears_wait(&e, the_first_is_called, 2, "the other one");
    ck_assert_uint_eq(e.each[0].last_called.which, 0);
    ck_assert_int_ge(e.each[0].last_called.late_us, 0);
    ear_ask(&e, 1, TEST_UNSTICK, NULL, 0);
    ears_wait(&e, ear_has_ended, 2, "the stuck one is closed");
    finish(&s, &e);
}
END_TEST

/* ---- Receipts ---- */

/* What became of the message with this tag, asked by connection 0, once so many receipts are there. */
static struct test_receipt receipt_of(struct ears *e, uint64_t tag, uint64_t receipts)
{
    struct test_receipt r;
    ear_wait_counter(e, 0, "receipts", receipts);
    ear_ask(e, 0, TEST_RECEIPTS, NULL, 0);
    for (uint32_t at = 0; at + sizeof r <= e->each[0].reply_len; at += sizeof r) {
        memcpy(&r, e->each[0].reply + at, sizeof r);
        if (r.tag == tag)
            return r;
    }
    ck_abort_msg("no receipt for %llu", (unsigned long long) tag);
}

/* Goal: one receipt a message that asks for one, when the last receiver is settled, with what became of it: members on
 * two workers, nobody, one name that is nobody's, several sends of the same message. */
START_TEST(a_receipt_for_each)
{
    struct server s;
    struct ears e;
    start(&s);
    ears_open(&e, &s, 6);
    for (uint32_t i = 1; i < 6; i++)
        ear_order(&e, i, (struct test_order){.kind = ORDER_JOIN, .to = GROUP});
    const struct test_order orders[] = {
        {.kind = ORDER_SEND_GROUP, .flags = ORDER_RECEIPT, .to = GROUP, .key = 101, .len = 50, .sender = 1},
        {.kind = ORDER_SEND_GROUP, .flags = ORDER_RECEIPT, .to = GROUP + 1, .key = 102, .len = 50},
        {.kind = ORDER_SEND, .flags = ORDER_RECEIPT, .to = e.each[1].id + 1, .key = 103, .len = 50},
        {.kind = ORDER_SEND,
         .flags = ORDER_RECEIPT | ORDER_SAME,
         .to = e.each[1].id,
         .key = 104,
         .times = 9,
         .len = 50},
        {.kind = ORDER_SEND_USER, .flags = ORDER_RECEIPT, .to = 5, .key = 105, .len = 50},
        {.kind = ORDER_SEND_ALL, .flags = ORDER_RECEIPT, .key = 106, .len = 50},
    };
    static const uint64_t targets[] = {5, 0, 0, 10, 0, 6};
    ear_do(&e, 0, TEST_PUSH, orders, ORDERS_IN(orders), NULL);
    for (uint64_t i = 0; i < 6; i++) {
        struct test_receipt r = receipt_of(&e, 101 + i, 6);
        ck_assert_msg(r.targets == targets[i] && r.sent == targets[i] && r.dropped == 0,
                      "message %llu: %llu targets, %llu sent, %llu dropped", (unsigned long long) i,
                      (unsigned long long) r.targets, (unsigned long long) r.sent,
                      (unsigned long long) r.dropped);
    }
    ears_wait_quiet(&e, 0, 21);
    finish(&s, &e);
    ck_assert_uint_eq(server_counter(&s, "receipts"), 6);
}
END_TEST

/* Goal: a receipt for each message that was accepted, and together what the counters say, when a server stops amid the
 * sending. */
START_TEST(receipts_at_a_stop)
{
    enum { EARS = 50 };
    struct server s;
    struct ears e;
    start(&s);
    ears_open(&e, &s, EARS);
    for (uint32_t t = 1; t <= 3; t++) {
        const struct test_order orders[] = {
            {.kind = ORDER_THREAD, .body = 1},
            {.kind = ORDER_SEND_ALL,
             .flags = ORDER_PERSISTS | ORDER_RECEIPT,
             .key = t,
             .times = 3000,
             .len = 1000,
             .sender = t},
        };
        ear_tell(&e, 0, orders, ORDERS_IN(orders));
    }
    ears_wait(&e, ears_have_heard, EARS * 100, "some of it");
    server_signal(&s, SIGTERM);
    ears_wait(&e, ears_have_ended, EARS, "the stop");
    server_wait_exit(&s, 10000);
    ears_close(&e);
    server_check(&s);
    uint64_t sent = server_counter(&s, "orders_accepted") - 3, not = server_counter(&s, "orders_refused");
    uint64_t receipts = server_counter(&s, "receipts");
    ck_assert_msg(receipts >= sent && receipts <= sent + not, "%llu receipts for %llu sent, %llu refused",
                  (unsigned long long) receipts, (unsigned long long) sent, (unsigned long long) not );
    ck_assert_uint_eq(server_counter(&s, "receipt_targets"), server_counter(&s, "push_targets"));
    ck_assert_uint_eq(server_counter(&s, "receipt_sent"), server_counter(&s, "push_sent"));
}
END_TEST

Suite *push_calls_suite(void)
{
    Suite *s = suite_create("push_calls");
    TCase *c = itest_case(s, "run", 40);
    tcase_add_loop_test(c, a_function_on_another_connection, 0, 3);
    tcase_add_loop_test(c, it_closes, 0, 2);
    tcase_add_loop_test(c, each_is_called_once, 0, 2);
    c = itest_case(s, "each", 40);
    tcase_add_loop_test(c, every_connection, 0, 2);
    tcase_add_test(c, every_connection_closes);
    tcase_add_test(c, every_one_ends_at_a_stop);
    c = itest_case(s, "timers", 40);
    tcase_add_test(c, timers_are_exact);
    tcase_add_test(c, timers_again_and_never);
    tcase_add_loop_test(c, a_timer_closes, 0, 2);
    tcase_add_test(c, a_timer_survives_a_takeover);
    c = itest_case(s, "receipts", 40);
    tcase_add_test(c, a_receipt_for_each);
    tcase_add_test(c, receipts_at_a_stop);
    return s;
}
