/*
 * test_push.c: sending to connections, groups and all: from everywhere, each message once and in order, behind what the
 * function writes; names of connections that nobody inherits. Other parts are in test_push_groups.c and its like.
 */
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

#include "ears.h"
#include "mario/mario_server.h"

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

/* The first of them from `from` on that is of this worker. */
static uint32_t one_of(const struct ears *e, uint32_t from, uint32_t worker)
{
    uint32_t i = from;
    while (i < e->count && id_worker_of(e->each[i].id) != worker)
        i++;
    ITEST_ASSERT(i < e->count, "none of %u is of worker %u", e->count, worker);
    return i;
}

/* ---- From everywhere ---- */

enum place {
    IN_FUNCTION,
    IN_OFFLOADED,
    IN_CONCURRENT,
    IN_RUN,
    IN_TIMER,
    IN_EACH,
    IN_CONNECTED,
    IN_END,
    IN_BOUND,
    IN_THREAD,
    ON_MASTER,
    PLACES
};

static void send_from(struct ears *e, enum place place, const struct test_order *body)
{
    struct test_order in = {.body = 2}, all[4] = {in, body[0], body[1]};
    switch (place) {
    case IN_FUNCTION:
    case IN_OFFLOADED:
    case IN_CONCURRENT: {
        struct test_done done[2];
        ear_do(e, 0, (uint16_t) (TEST_PUSH + place * TEST_OFFLOADED), body, 2, done);
        ck_assert(done[0].accepted == 50 && done[1].accepted == 50);
        return;
    }
    case IN_RUN:
        all[0].kind = ORDER_RUN;
        all[0].to = e->each[3].id;
        break;
    case IN_TIMER:
        all[0].kind = ORDER_TIMER;
        all[0].number = 1;
        break;
    case IN_CONNECTED:
        all[0].kind = ORDER_CONNECTED;
        ear_do(e, 0, TEST_PUSH, all, 3, NULL);
        ear_reopen(e, 3);
        ear_order(e, 0, (struct test_order){.kind = ORDER_CONNECTED});
        return;
    case IN_END:
        all[0].kind = ORDER_AT_END;
        all[3].kind = ORDER_CLOSE;
        ear_tell(e, 3, all, 4);
        return;
    case IN_BOUND:
        all[0].kind = ORDER_AT_BOUND;
        all[3] = (struct test_order){.kind = ORDER_BIND, .to = 77};
        ear_do(e, 0, TEST_PUSH, all, 4, NULL);
        return;
    default:
        all[0].kind = place == IN_EACH ? ORDER_EACH : place == IN_THREAD ? ORDER_THREAD : ORDER_MASTER;
    }
    ear_do(e, 0, TEST_PUSH, all, 3, NULL);
}

/* Goal: whoever sends, each message arrives, once and in order: to a connection of the same worker and of another
 * one. */
START_TEST(from_everywhere)
{
    struct server s;
    struct ears e;
    start(&s);
    ears_open(&e, &s, 4);
    uint32_t each = _i == IN_EACH ? 4 : 1; /* so many do it */
    const struct test_order body[] = {
        {.kind = ORDER_SEND, .to = e.each[1].id, .times = 49, .len = 100, .sender = each > 1 ? 0 : 1},
        {.kind = ORDER_SEND, .to = e.each[2].id, .times = 49, .len = 100, .sender = each > 1 ? 0 : 1},
    };
    ck_assert_uint_ne(id_worker_of(e.each[1].id), id_worker_of(e.each[2].id));
    send_from(&e, (enum place) _i, body);
    ears_wait(&e, ears_have_heard, 100 * each, "all messages");
    ck_assert_uint_eq(e.each[1].heard, 50 * each);
    ck_assert_uint_eq(e.each[2].heard, 50 * each);
    ck_assert_uint_eq(ears_gaps(&e), 0);
    ears_wait_quiet(&e, 0, 100 * each);
    finish(&s, &e);
    ck_assert_uint_eq(server_counter(&s, "push_gone"), 0);
    ck_assert_uint_eq(server_counter(&s, "orders_refused"), 0);
}
END_TEST

/* Goal: a thread that sends once and ends, hundreds of times: all of it arrives, and nothing of them stays. */
START_TEST(threads_that_send_and_end)
{
    enum { THREADS = 300 };
    struct server s;
    struct ears e;
    start(&s);
    ears_open(&e, &s, 3);
    uint64_t rss = 0;
    unsigned fds = server_fds(&s);
    for (uint32_t i = 0; i < THREADS; i++) {
        const struct test_order orders[] = {
            {.kind = ORDER_THREAD, .body = 2},
            {.kind = ORDER_SEND, .to = e.each[1].id, .len = 50},
            {.kind = ORDER_SEND, .to = e.each[2].id, .len = 50},
        };
        ear_do(&e, 0, TEST_PUSH, orders, ORDERS_IN(orders), NULL);
        if (i == THREADS / 2) {
            ear_wait_counter(&e, 0, "threads_done", i + 1);
            rss = server_rss_kb(&s);
        }
    }
    ear_wait_counter(&e, 0, "threads_done", THREADS);
    ears_wait_quiet(&e, 0, 2 * THREADS);
    ck_assert_uint_eq(server_fds(&s), fds);
    if (ITEST_SLOW == 1)
        ck_assert_msg(server_rss_kb(&s) < rss + 4096, "%llu KB, then %llu KB", (unsigned long long) rss,
                      (unsigned long long) server_rss_kb(&s));
    finish(&s, &e);
}
END_TEST

static int later(const void *a, const void *b)
{
    uint64_t x = *(const uint64_t *) a, y = *(const uint64_t *) b;
    return x < y ? -1 : x > y;
}

/* Goal: what a thread of the application sends, while all sleep, is there within a millisecond: in the middle of many,
 * in the best of some rounds, for the machine may be busy. */
START_TEST(it_leaves_at_once)
{
    enum { COUNT = 100, ROUNDS = 5 };
    uint64_t took[COUNT], best = UINT64_MAX;
    struct server s;
    struct ears e;
    start(&s);
    ears_open(&e, &s, 2);
    for (uint32_t round = 0; round < ROUNDS && best >= NS_PER_MS; round++) {
        const struct test_order orders[] = {
            {.kind = ORDER_THREAD, .body = 1},
            {.kind = ORDER_SEND,
             .to = e.each[1].id,
             .times = COUNT - 1,
             .pause = 3000,
             .len = 50,
             .sender = 1,
             .number = round * COUNT},
        };
        ear_do(&e, 0, TEST_PUSH, orders, ORDERS_IN(orders), NULL);
        for (uint32_t i = 0; i < COUNT; i++) {
            ears_wait(&e, ears_have_heard, round * COUNT + i + 1, "the next message");
            took[i] = e.each[1].newest_ns;
        }
        qsort(took, COUNT, sizeof took[0], later);
        best = took[COUNT / 2] / ITEST_SLOW < best ? took[COUNT / 2] / ITEST_SLOW : best;
    }
    ck_assert_msg(best < NS_PER_MS, "half of them took more than %llu us", (unsigned long long) best / 1000);
    finish(&s, &e);
}
END_TEST

/* ---- Order ---- */

/* Goal: what a function sends to its own connection stands behind all that the function writes. */
START_TEST(behind_what_is_written)
{
    struct server s;
    struct ears e;
    start(&s);
    ears_open(&e, &s, 1);
    for (uint32_t round = 0; round < 100; round++) {
        const struct test_order orders[] = {
            {.kind = ORDER_WRITE, .times = 2, .len = 100},
            {.kind = ORDER_SEND, .flags = ORDER_OWN, .len = 100, .sender = 1, .number = round},
            {.kind = ORDER_WRITE, .times = 2, .len = 100},
        };
        uint64_t before = e.each[0].written + e.each[0].replies;
        ear_do(&e, 0, TEST_PUSH, orders, ORDERS_IN(orders), NULL);
        ears_wait(&e, ears_have_heard, round + 1, "the message");
        ck_assert_uint_eq(e.each[0].before, before + 6 + 1);
    }
    ears_wait_quiet(&e, 0, 100);
    finish(&s, &e);
}
END_TEST

/* Goal: what an offloaded function sends does not wait for its end: it is there before what it writes. */
START_TEST(before_an_offloaded_function_returns)
{
    struct server s;
    struct ears e;
    start(&s);
    ears_open(&e, &s, 2);
    const struct test_order orders[] = {
        {.kind = ORDER_WRITE, .len = 100},
        {.kind = ORDER_SEND, .flags = ORDER_OWN, .len = 100, .sender = 1},
        {.kind = ORDER_STICK},
    };
    uint64_t before = e.each[0].replies;
    client_send_packet(e.each[0].fd, (uint16_t) (TEST_PUSH + (_i == 0 ? TEST_OFFLOADED : TEST_CONCURRENT)),
                       orders, sizeof orders);
    ears_wait(&e, ears_have_heard, 1, "the message");
    ck_assert_uint_eq(e.each[0].before, before);
    while (e.each[0].replies == before) { /* it may only now begin to block */
        ear_ask(&e, 1, TEST_UNSTICK, NULL, 0);
        ears_turn(&e, 10);
    }
    ck_assert_uint_eq(e.each[0].written, 1);
    ears_wait_quiet(&e, 0, 1);
    finish(&s, &e);
}
END_TEST

/* Goal: what one thread sends to a connection, by its id, to its group and to all, comes in the order in which it was
 * sent, and the notice of a kick last. From a function, offloaded ones, a thread. */
START_TEST(one_order_for_all_ways)
{
    enum { EACH = 36 };
    struct test_order orders[3 * EACH + 2] = {{.kind = ORDER_THREAD, .body = 3 * EACH + 1}};
    struct server s;
    struct ears e;
    start(&s);
    ears_open(&e, &s, 4);
    uint32_t at = 1;
    for (uint32_t i = 0; i < 3 * EACH; i++, at++)
        orders[at] = (struct test_order){.kind = (uint8_t) (i % 3 == 0   ? ORDER_SEND
                                                            : i % 3 == 1 ? ORDER_SEND_GROUP
                                                                         : ORDER_SEND_ALL),
                                         .to = i % 3 == 0 ? e.each[1].id : GROUP,
                                         .len = 60,
                                         .sender = 1,
                                         .number = i};
    orders[at++] = (struct test_order){
        .kind = ORDER_KICK, .to = e.each[1].id, .len = 60, .sender = 1, .number = 3 * EACH};
    ear_order(&e, 1, (struct test_order){.kind = ORDER_JOIN, .to = GROUP});
    ear_order(&e, 2, (struct test_order){.kind = ORDER_JOIN, .to = GROUP});
    orders[at - 1].number = 3 * EACH;
    if (_i == 0)
        ear_do(&e, 0, TEST_PUSH, orders, at, NULL);
    else
        ear_do(&e, 0, _i == 1 ? TEST_PUSH : TEST_PUSH + TEST_OFFLOADED, orders + 1, at - 1, NULL);
    ears_wait(&e, ear_has_ended, 1, "it is kicked");
    ck_assert_int_eq(e.each[1].how, END_FIN);
    ck_assert_uint_eq(e.each[1].heard, 3 * EACH + 1);
    ck_assert_uint_eq(e.each[1].gaps, 0);
    ears_wait_quiet(&e, 0, EACH + 2 * EACH + 4 * EACH + 1);
    ck_assert_uint_eq(e.each[2].heard, 2 * EACH);
    ck_assert_uint_eq(e.each[3].heard, EACH);
    finish(&s, &e);
    ck_assert_uint_eq(server_counter(&s, "closed_kicked"), 1);
}
END_TEST

/* Goal: four threads send to a group, or to all, at the same time: all members on one worker hear it in the same
 * order. */
START_TEST(the_same_order_for_all_members)
{
    enum { EARS = 20, SENDERS = 4, EACH = 400 };
    uint64_t order[2] = {0, 0};
    struct server s;
    struct ears e;
    start(&s);
    ears_open(&e, &s, EARS);
    for (uint32_t i = 0; i < EARS; i++)
        ear_order(&e, i, (struct test_order){.kind = ORDER_JOIN, .to = GROUP});
    for (uint32_t i = 1; i <= SENDERS; i++) {
        const struct test_order orders[] = {
            {.kind = ORDER_THREAD, .body = 1},
            {.kind = _i == 0 ? ORDER_SEND_GROUP : ORDER_SEND_ALL,
             .flags = ORDER_PERSISTS,
             .to = GROUP,
             .times = EACH - 1,
             .len = 40,
             .sender = i},
        };
        ear_tell(&e, 0, orders, ORDERS_IN(orders));
    }
    ears_wait(&e, ears_have_heard, EARS * SENDERS * EACH, "all of it");
    for (uint32_t i = 0; i < EARS; i++) {
        uint32_t worker = id_worker_of(e.each[i].id);
        ck_assert_uint_eq(e.each[i].gaps, 0);
        ck_assert_uint_eq(e.each[i].heard, SENDERS * EACH);
        order[worker] = order[worker] == 0 ? e.each[i].order : order[worker];
        ck_assert_uint_eq(e.each[i].order, order[worker]);
    }
    finish(&s, &e);
}
END_TEST

/* ---- Names ---- */

/* Goal: a name is of one connection only: whoever has its place and its descriptor next gets nothing of what is sent,
 * asked or done to its predecessor, not even what was sent before that ended. */
START_TEST(nobody_inherits_a_name)
{
    enum { ROUNDS = 200 };
    struct server s;
    struct ears e;
    uint32_t same = 0, gone = 0;
    server_start(&s, "testapp", "server.workernum=1", NULL); /* so that the next one has the place */
    ears_open(&e, &s, 2);
    for (uint32_t i = 0; i < ROUNDS; i++) {
        uint64_t old = e.each[1].id;
        ck_assert_uint_ne(old & UINT32_MAX, 0);
        ear_close(&e, 1);
        if (i % 2 == 0) /* some of it is sent while it ends */
            gone += 1,
                ear_order(&e, 0, (struct test_order){.kind = ORDER_SEND, .to = old, .len = 30, .sender = 2});
        else /* it has ended, so that its place is free for the next */
            ear_wait_counter(&e, 0, "closed", i + 1);
        ear_reopen(&e, 1);
        ck_assert_uint_ne(e.each[1].id, old);
        same += e.each[1].id >> 32 == old >> 32; /* worker and slot */
        const struct test_order orders[] = {
            {.kind = ORDER_SEND, .to = old, .len = 30, .sender = 1},
            {.kind = ORDER_JOIN_ID, .to = GROUP, .other = old},
            {.kind = ORDER_KICK, .to = old, .len = 30, .sender = 1},
            {.kind = ORDER_RUN, .to = old},
            {.kind = ORDER_SEND_GROUP, .to = GROUP, .len = 30, .sender = 1},
        };
        ear_do(&e, 0, TEST_PUSH, orders, ORDERS_IN(orders), NULL);
    }
    ear_wait_counter(&e, 0, "run_nobody", ROUNDS);
    ear_ask(&e, 1, TEST_ECHO, NULL, 0);
    ck_assert_uint_eq(e.each[1].heard, 0);
    ck_assert_msg(same >= ROUNDS / 2 - 1, "only %u of %d had their predecessor's place", same, ROUNDS);
    ear_wait_counter(&e, 0, "push_gone", 2 * ROUNDS);
    finish(&s, &e);
    ck_assert_uint_eq(server_counter(&s, "run_calls"), 0);
    ck_assert_uint_ge(server_counter(&s, "push_gone") + server_counter(&s, "push_targets"),
                      2 * ROUNDS + gone);
}
END_TEST

/* Goal: names are what the header says, and differ. */
START_TEST(names_are_what_they_say)
{
    enum { EARS = 30 };
    struct server s;
    struct ears e;
    start(&s);
    ears_open(&e, &s, EARS);
    for (uint32_t i = 0; i < EARS; i++) {
        struct test_who who;
        uint64_t id = e.each[i].id;
        struct test_done done = {0};
        ear_ask(&e, i, TEST_WHO, NULL, 0);
        memcpy(&who, e.each[i].reply, sizeof who);
        ck_assert_uint_eq(id >> 56, who.worker);
        ck_assert_uint_eq(id >> 32 & 0xffffff, who.ind);
        ck_assert_uint_ne(id & UINT32_MAX, 0);
        ear_do(&e, i, TEST_PUSH + TEST_OFFLOADED, ORDERS({.kind = ORDER_ID}), 1, &done);
        ck_assert_uint_eq(done.value, id);
        for (uint32_t k = 0; k < i; k++)
            ck_assert_uint_ne(e.each[k].id, id);
    }
    finish(&s, &e);
}
END_TEST

/* Goal: messages of every length arrive as they are, the longest one there is too. */
START_TEST(messages_of_every_length)
{
    static const uint32_t lens[] = {16, 17, 100, 1000, 1460, 4096, 16384, 16385, 30000, 65000, 65527};
    enum { LENS = sizeof lens / sizeof lens[0] };
    struct server s;
    struct ears e;
    start(&s);
    ears_open(&e, &s, 4);
    for (uint32_t i = 0; i < LENS; i++) {
        ear_order(&e, 0,
                  (struct test_order){
                      .kind = ORDER_SEND_ALL, .times = 3, .len = lens[i], .sender = 1, .number = i * 4});
        ears_wait(&e, ears_have_heard, (i + 1) * 16, "all of this length");
        for (uint32_t k = 0; k < 4; k++)
            ck_assert_uint_eq(e.each[k].last_len, lens[i]);
    }
    ears_wait_quiet(&e, one_of(&e, 0, 1), 16 * LENS);
    ck_assert_uint_eq(ears_gaps(&e), 0);
    finish(&s, &e);
}
END_TEST

Suite *push_suite(void)
{
    Suite *s = suite_create("push");
    TCase *c = itest_case(s, "sending", 30);
    tcase_add_loop_test(c, from_everywhere, 0, PLACES);
    tcase_add_test(c, threads_that_send_and_end);
    tcase_add_test(c, it_leaves_at_once);
    tcase_add_test(c, messages_of_every_length);
    c = itest_case(s, "order", 30);
    tcase_add_test(c, behind_what_is_written);
    tcase_add_loop_test(c, before_an_offloaded_function_returns, 0, 2);
    tcase_add_loop_test(c, one_order_for_all_ways, 0, 3);
    tcase_add_loop_test(c, the_same_order_for_all_members, 0, 2);
    c = itest_case(s, "names", 30);
    tcase_add_test(c, names_are_what_they_say);
    tcase_add_test(c, nobody_inherits_a_name);
    return s;
}
