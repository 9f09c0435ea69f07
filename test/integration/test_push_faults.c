/*
 * test_push_faults.c: sending while threads block, die and are replaced, while the server stops, while connections end
 * in hooks that send, and while there is no memory: what was accepted is accounted for, others hear all of theirs.
 */
#include <errno.h>
#include <signal.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

#include "ears.h"
#include "mario/mario_push.h"
#include "mortal.h"
#include "preloads.h"
#include "stuck.h"

#define GROUP UINT64_C(0xfa17)

static void finish(struct server *s, struct ears *e)
{
    ears_close(e);
    server_finish(s);
}

/* TERM, until all have ended and the process has; then the accounts. */
static void stop_amid(struct server *s, struct ears *e)
{
    server_signal(s, SIGTERM);
    ears_wait(e, ears_have_ended, e->count, "the stop");
    ck_assert_int_eq(server_wait_exit(s, 12000), 0);
    server_check(s);
}

/* ---- Threads that block and die ---- */

/* Goal: a function sends, blocks and is replaced, and sends on when it returns at last: all of it arrives, in order;
 * what others send to that worker meanwhile does, too. */
START_TEST(a_takeover_while_a_function_sends)
{
    struct server s;
    struct ears e;
    watch_start(&s, NULL, NULL);
    ears_open(&e, &s, 5); /* 0, 2, 4 are of one worker, 1, 3 of the other */
    ck_assert_uint_eq(id_worker_of(e.each[0].id), id_worker_of(e.each[2].id));
    const struct test_order orders[] = {
        {.kind = ORDER_JOIN, .to = GROUP},
        {.kind = ORDER_SEND, .to = e.each[0].id, .times = 9, .len = 50, .sender = 1},
        {.kind = ORDER_SEND, .to = e.each[1].id, .times = 9, .len = 50, .sender = 1},
        {.kind = ORDER_SEND_GROUP,
         .to = GROUP,
         .len = 50,
         .sender = 2}, /* itself: it is closed by then, or not */
        {.kind = ORDER_STICK},
        {.kind = ORDER_SEND, .to = e.each[0].id, .times = 9, .len = 50, .sender = 1, .number = 10},
        {.kind = ORDER_SEND, .to = e.each[1].id, .times = 9, .len = 50, .sender = 1, .number = 10},
        {.kind = ORDER_SEND, .flags = ORDER_OWN, .len = 50, .sender = 3},
    };
    ear_tell(&e, 2, orders, ORDERS_IN(orders));
    ear_wait_counter(&e, 1, "alarm_replaced", 1);
    ears_wait(&e, ears_have_heard, 20, "what it had sent");
    ck_assert(e.each[0].heard == 10 && e.each[1].heard == 10);
    ear_order(
        &e, 1,
        (struct test_order){.kind = ORDER_SEND, .to = e.each[4].id, .times = 9, .len = 50, .sender = 4});
    ears_wait(&e, ears_have_heard, 30, "what others send to its worker");
    ear_ask(&e, 4, TEST_UNSTICK, NULL, 0);
    ears_wait(&e, ears_have_heard, 50, "what it sent then");
    ck_assert(e.each[0].gaps + e.each[1].gaps == 0);
    ears_wait(&e, ear_has_ended, 2, "it is closed");
    ear_wait_counter(&e, 1, "watch_buried", 1);
    ck_assert_uint_eq(ear_counter(&e, 0, "push_pending"), 0);
    finish(&s, &e);
    ck_assert_uint_eq(server_counter(&s, "push_sent"), 50);
    ck_assert_uint_eq(server_counter(&s, "closed_function_stuck"), 1);
}
END_TEST

/* Goal: a thread ends in a function that the library called for a connection: that one closes, its successor does what
 * was sent before and behind it; for a walk it goes on with the next one. */
START_TEST(a_thread_ends_in_it)
{
    static const uint8_t kinds[] = {ORDER_RUN, ORDER_TIMER, ORDER_AT_BOUND, ORDER_EACH};
    struct server s;
    struct ears e;
    watch_start(&s, "watch.replace_max=1000", NULL);
    s.log_lines_max = 30; /* a few for each replacement */
    ears_open(&e, &s, 6);
    struct test_order orders[] = {
        {.kind = ORDER_SEND, .to = e.each[2].id, .len = 50, .sender = 1, .number = 0},
        {.kind = kinds[_i], .to = e.each[0].id, .body = 2, .number = 1},
        {.kind = ORDER_SEND, .to = e.each[2].id, .len = 50, .sender = 0},
        {.kind = ORDER_END_THREAD},
        {.kind = ORDER_SEND, .to = e.each[2].id, .len = 50, .sender = 1, .number = 1},
        {.kind = ORDER_BIND, .to = 9},
    };
    if (kinds[_i] == ORDER_TIMER)
        orders[1].to = 0;
    ear_tell(&e, 0, orders, kinds[_i] == ORDER_AT_BOUND ? 6 : 5);
    ears_wait(&e, ear_has_ended, 0, "it is closed");
    if (kinds[_i] == ORDER_EACH) {
        ears_wait(&e, ears_have_ended, 6, "all are, one after the other");
        ears_close(&e);
        server_wait_counter(&s, "each_done", 1, EAR_MS);
        ck_assert_uint_eq(server_counter(&s, "each_seen"), server_counter(&s, "each_calls"));
        server_finish(&s);
        ck_assert_uint_eq(server_counter(&s, "closed_function_died"), 6);
        return;
    }
    ears_wait(&e, ears_have_heard, 3, "what was sent");
    ck_assert(e.each[2].heard == 3 && e.each[2].gaps == 0);
    ear_order(&e, 1, (struct test_order){.kind = ORDER_SEND_ALL, .len = 50, .sender = 2});
    ears_wait(&e, ears_have_heard, 3 + 5, "the others hear on");
    finish(&s, &e);
    ck_assert_uint_eq(server_counter(&s, "closed_function_died"), 1);
}
END_TEST

/* Goal: a function that the library called blocks until its worker is replaced: its connection closes, others do not
 * notice. */
START_TEST(it_blocks)
{
    static const uint8_t kinds[] = {ORDER_RUN, ORDER_TIMER, ORDER_AT_BOUND};
    struct server s;
    struct ears e;
    watch_start(&s, NULL, NULL);
    ears_open(&e, &s, 4);
    struct test_order orders[] = {
        {.kind = kinds[_i], .to = e.each[0].id, .body = 2, .number = 1},
        {.kind = ORDER_STICK},
        {.kind = ORDER_SEND, .to = e.each[2].id, .len = 50, .sender = 1},
        {.kind = ORDER_BIND, .to = 9},
    };
    if (kinds[_i] == ORDER_TIMER)
        orders[0].to = 0;
    ear_tell(&e, 0, orders, kinds[_i] == ORDER_AT_BOUND ? 4 : 3);
    ear_wait_counter(&e, 1, "alarm_replaced", 1);
    ear_ask(&e, 2, TEST_ECHO, NULL, 0);
    ear_order(&e, 1, (struct test_order){.kind = ORDER_SEND, .to = e.each[2].id, .len = 50, .sender = 2});
    ears_wait(&e, ears_have_heard, 1, "its worker goes on");
    ear_ask(&e, 1, TEST_UNSTICK, NULL, 0);
    ears_wait(&e, ear_has_ended, 0, "it is closed");
    ears_wait(&e, ears_have_heard, 2, "what it sent when it returned");
    finish(&s, &e);
    ck_assert_uint_eq(server_counter(&s, "closed_function_stuck"), 1);
}
END_TEST

/* Goal: each call of a walk blocks until its worker is replaced: the walk goes on behind it, and is through once. */
START_TEST(a_walk_that_blocks_each_time)
{
    enum { EARS = 4 };
    struct server s;
    struct ears e, other;
    watch_start(&s, NULL, NULL);
    s.log_lines_max = 30; /* a few for each replacement */
    ears_open(&e, &s, EARS);
    ear_tell(&e, 0, ORDERS({.kind = ORDER_EACH, .body = 1}, {.kind = ORDER_STICK}), 2);
    uint64_t end = itest_deadline(EAR_MS);
    while (server_log_count(&s, "has taken its place") < 2) {
        ITEST_ASSERT(mono_ns() < end, "the walk does not begin; see %s", s.dir);
        ears_turn(&e, 10);
    }
    ears_open(&other, &s, 1); /* it was not there when the walk began */
    ear_wait_counter(&other, 0, "alarm_replaced", EARS);
    server_wait_counter(&s, "each_done", 1, EAR_MS);
    ck_assert_uint_eq(server_counter(&s, "each_seen"), EARS);
    ear_ask(&other, 0, TEST_UNSTICK, NULL, 0);
    ears_close(&other);
    ears_wait(&e, ears_have_ended, EARS, "all are closed");
    finish(&s, &e);
    ck_assert_uint_eq(server_counter(&s, "closed_function_stuck"), EARS);
    ck_assert_uint_eq(server_counter(&s, "each_done"), 1);
}
END_TEST

/* Goal: a process that died and was started again pushes as ever. */
START_TEST(after_a_restart)
{
    struct server s;
    struct ears e;
    mortal_start_supervised(&s);
    ears_open(&e, &s, 3);
    ear_tell(&e, 0,
             ORDERS({.kind = ORDER_THREAD, .body = 1},
                    {.kind = ORDER_SEND_ALL, .times = 99999, .pause = 300, .len = 500}),
             2);
    ears_wait(&e, ears_have_heard, 50, "some of it");
    const uint32_t how = DIE_SEGV;
    client_send_packet(e.each[1].fd, TEST_DIE, &how, sizeof how);
    ears_wait(&e, ears_have_ended, 3, "the end of all");
    ears_close(&e);
    mortal_served_again(&s);
    ears_open(&e, &s, 3);
    ear_order(&e, 0, (struct test_order){.kind = ORDER_SEND_ALL, .times = 9, .len = 50, .sender = 1});
    ears_wait(&e, ears_have_heard, 30, "all of it");
    ears_close(&e);
    server_stop(&s);
}
END_TEST

/* ---- The stop ---- */

/* Goal: a stop amid broadcasts, with orders in all rings: everybody's last message is that of the stop, then a FIN; the
 * senders are told; each message is accounted for. */
START_TEST(a_stop_amid_broadcasts)
{
    enum { EARS = 150 };
    struct server s;
    struct ears e;
    server_start(&s, "testapp", "server.workernum=2", "push.queue=100000", "push.bytes=64m", NULL);
    ears_open(&e, &s, EARS);
    for (uint32_t i = 0; i < EARS; i++)
        ear_order(&e, i, (struct test_order){.kind = ORDER_JOIN, .to = GROUP});
    ear_order(&e, 0, (struct test_order){.kind = ORDER_STOP_MESSAGE, .len = 77, .sender = 15});
    for (uint32_t t = 1; t <= 4; t++) {
        const struct test_order orders[] = {
            {.kind = ORDER_THREAD, .body = 1},
            {.kind = t % 2 == 0 ? ORDER_SEND_ALL : ORDER_SEND_GROUP,
             .flags = ORDER_PERSISTS,
             .to = GROUP,
             .times = 5000,
             .len = 200,
             .sender = t},
        };
        ear_tell(&e, 0, orders, ORDERS_IN(orders));
    }
    ears_wait(&e, ears_have_heard, EARS * 50, "some of it");
    stop_amid(&s, &e);
    for (uint32_t i = 0; i < EARS; i++)
        ck_assert_msg(e.each[i].how == END_FIN && e.each[i].from[15] == 1 && e.each[i].last_len == 77,
                      "ear %u: %d, %llu last words, the last message has %u bytes", i, e.each[i].how,
                      (unsigned long long) e.each[i].from[15], e.each[i].last_len);
    ck_assert_uint_eq(ears_heard(&e), server_counter(&s, "push_sent"));
    ck_assert_uint_eq(server_counter(&s, "threads_done"), 4);
    ears_close(&e);
}
END_TEST

/* Goal: a stop while clients do not read and their queues are full ends in time, and accounts for all. */
START_TEST(a_stop_with_full_queues)
{
    enum { STOPPED = 30 };
    struct server s;
    struct ears e, slow;
    server_start(&s, "testapp", "server.drain_timeout=1", "push.slow=drop_oldest", "push.queue=150", NULL);
    ears_open(&e, &s, 1);
    ears_open_narrow(&slow, &s, STOPPED);
    for (uint32_t i = 0; i < STOPPED; i++)
        ear_deafen(&slow, i, true);
    ear_tell(&e, 0, ORDERS({.kind = ORDER_SEND_ALL, .times = 99, .len = 5000, .sender = 1}), 1);
    ears_wait(&e, ears_have_heard, 100, "all of it, by who reads");
    ear_wait_counter(&e, 0, "push_targets", 100 * (STOPPED + 1));
    server_signal(&s, SIGTERM);
    ears_wait(&e, ears_have_ended, 1, "the stop");
    server_wait_exit(&s, 8000);
    ears_close(&slow);
    ears_close(&e);
    server_check(&s);
    ck_assert_uint_eq(server_counter(&s, "push_targets"), 100 * (STOPPED + 1));
    ck_assert_uint_gt(server_counter(&s, "push_dropped_closed"), 0);
}
END_TEST

/* ---- In hooks ---- */

/* Goal: each hook sends, joins, leaves, binds, kicks and closes, of its own connection and others, while a thread
 * sends to all and connections come and go: nothing of it is lost or done twice, and nobody is left in a group. */
START_TEST(in_every_hook)
{
    enum { EARS = 30 };
    uint32_t rounds = ITEST_SLOW > 1 ? 5 : 20;
    struct server s;
    struct ears e, crowd;
    server_start(&s, "testapp", "server.workernum=2", "test.offload=on", "push.queue=100000",
                 "push.bytes=64m", NULL);
    ears_open(&e, &s, 2);
    ear_order(&e, 1, (struct test_order){.kind = ORDER_JOIN, .to = GROUP});
    const struct test_order at_connected[] = {
        {.kind = ORDER_CONNECTED, .body = 9},
        {.kind = ORDER_JOIN, .to = GROUP, .times = 2},
        {.kind = ORDER_SEND_GROUP, .to = GROUP, .len = 40},
        {.kind = ORDER_LEAVE, .to = GROUP + 1},
        {.kind = ORDER_BIND, .to = 1000, .how = MARIO_BIND_KICK_OLD, .number = EARS + 5},
        {.kind = ORDER_TIMER, .to = 1, .number = 100000},
        {.kind = ORDER_AT_END, .body = 3},
        {.kind = ORDER_SEND_GROUP, .to = GROUP, .len = 40},
        {.kind = ORDER_JOIN, .to = GROUP + 2}, /* nothing comes of it */
        {.kind = ORDER_KICK, .flags = ORDER_OWN, .len = 40},
    };
    ear_do(&e, 0, TEST_PUSH, at_connected, ORDERS_IN(at_connected), NULL);
    ear_tell(
        &e, 0,
        ORDERS(
            {.kind = ORDER_THREAD, .body = 2},
            {.kind = ORDER_SEND_ALL, .flags = ORDER_PERSISTS, .times = rounds * 50, .pause = 500, .len = 60},
            {.kind = ORDER_SEND_GROUP, .flags = ORDER_PERSISTS, .to = GROUP, .times = 10, .len = 60}),
        3);
    for (uint32_t round = 0; round < rounds; round++) {
        struct test_order end = {.kind = round % 3 == 0 ? ORDER_KICK : ORDER_CLOSE, .len = 40};
        end.flags = ORDER_OWN;
        crowd = (struct ears){0};
        ears_open(&crowd, &s, EARS);
        for (uint32_t i = 0; i < EARS; i++) {
            if (i % 3 == 0 && crowd.each[i].fd >= 0)
                ear_tell(&crowd, i, &end, 1);
            else if (i % 3 == 1)
                ear_close(&crowd, i);
            ears_turn(&e, 0);
        }
        ears_turn(&crowd, 1);
        ears_close(&crowd);
    }
    ear_order(&e, 0, (struct test_order){.kind = ORDER_CONNECTED});
    ear_wait_counter(&e, 0, "threads_done", 1);
    ear_wait_counter(&e, 0, "closed", rounds * EARS);
    for (uint64_t g = GROUP; g < GROUP + 3; g++)
        ears_expect_members(&e, 0, g, g == GROUP);
    ears_expect_bound(&e, 0, 1000, 0);
    finish(&s, &e);
    ck_assert_uint_eq(server_counter(&s, "fired"), 0);
}
END_TEST

/* Goal: all members leave at once, each end is told to the group: those who are left hear it, everything is accounted
 * for, the group is gone. */
START_TEST(all_leave_at_once)
{
    enum { EARS = 200 };
    struct server s;
    struct ears e, crowd;
    server_start(&s, "testapp", "server.workernum=2", "push.queue=1000", NULL);
    ears_open(&e, &s, 2);
    ears_open(&crowd, &s, EARS);
    ear_order(&e, 1, (struct test_order){.kind = ORDER_JOIN, .to = GROUP});
    for (uint32_t i = 0; i < EARS; i++) {
        const struct test_order orders[] = {
            {.kind = ORDER_JOIN, .to = GROUP},
            {.kind = ORDER_AT_END, .body = 1},
            {.kind = ORDER_SEND_GROUP, .flags = ORDER_PERSISTS, .to = GROUP, .len = 40},
        };
        ear_do(&crowd, i, TEST_PUSH, orders, ORDERS_IN(orders), NULL);
    }
    if (_i == 0) {
        ears_close(&crowd);
    } else {                                                                  /* by one order */
        ear_order(&e, 0, (struct test_order){.kind = ORDER_EACH, .body = 0}); /* harmless, beside it */
        ear_tell(&e, 0, ORDERS({.kind = ORDER_SEND_GROUP, .to = GROUP, .len = 40}), 1);
        for (uint32_t i = 0; i < EARS; i++)
            ear_order(
                &e, 0,
                (struct test_order){.kind = ORDER_KICK, .flags = ORDER_PERSISTS, .to = crowd.each[i].id});
        ears_wait(&crowd, ears_have_ended, EARS, "all are kicked");
        ears_close(&crowd);
    }
    ears_wait(&e, ears_have_heard, EARS + (_i == 1), "each end");
    ck_assert_uint_eq(e.each[1].heard, EARS + (_i == 1));
    ear_wait_counter(&e, 0, "closed", EARS);
    ears_expect_members(&e, 0, GROUP, 1);
    ear_order(&e, 1, (struct test_order){.kind = ORDER_LEAVE, .to = GROUP});
    ears_expect_members(&e, 0, GROUP, 0);
    finish(&s, &e);
}
END_TEST

/* Goal: an offloaded function sends for a connection that ends meanwhile: the rest is nobody's, and nothing else is
 * harmed. */
START_TEST(an_offloaded_function_outlives_its_connection)
{
    struct server s;
    struct ears e;
    server_start(&s, "testapp", "test.offload=on", "offload.threads=2", NULL);
    ears_open(&e, &s, 3);
    const struct test_order orders[] = {
        {.kind = ORDER_STICK},
        {.kind = ORDER_JOIN, .to = GROUP},
        {.kind = ORDER_BIND, .to = 5},
        {.kind = ORDER_POLICY, .how = MARIO_SLOW_CLOSE, .number = 1},
        {.kind = ORDER_TIMER, .number = 1},
        {.kind = ORDER_SEND, .flags = ORDER_OWN, .len = 40, .sender = 1},
        {.kind = ORDER_RUN, .flags = ORDER_OWN},
        {.kind = ORDER_SEND, .to = e.each[2].id, .len = 40, .sender = 1},
    };
    client_send_packet(e.each[1].fd, _i == 0 ? TEST_PUSH + TEST_OFFLOADED : TEST_PUSH + TEST_CONCURRENT,
                       orders, sizeof orders);
    ear_wait_counter(&e, 0, "offload_jobs", 1);
    ear_close(&e, 1);
    while (e.each[2].heard == 0) { /* it may only now begin to block */
        ear_ask(&e, 0, TEST_UNSTICK, NULL, 0);
        ears_turn(&e, 10);
    }
    ear_wait_counter(&e, 0, "closed", 1);
    ears_expect_members(&e, 0, GROUP, 0);
    ears_expect_bound(&e, 0, 5, 0);
    finish(&s, &e);
    ck_assert_uint_le(server_counter(&s, "run_nobody") + server_counter(&s, "run_calls"), 1);
}
END_TEST

/* ---- No memory ---- */

/* What one visitor has the server do; any of it may fail, and close it. */
static void visit(struct ears *e, const struct server *s, uint32_t round)
{
    const struct test_order orders[] = {
        {.kind = ORDER_JOIN, .to = GROUP + 1 + round * 1000, .times = 40},
        {.kind = ORDER_BIND, .to = 100 + round, .number = 0},
        {.kind = ORDER_POLICY, .how = MARIO_SLOW_DROP_OLDEST, .number = 50},
        {.kind = ORDER_TIMER, .to = 1, .number = 60000},
        {.kind = ORDER_TIMER, .to = 2, .number = 60000},
        {.kind = ORDER_SEND_GROUP, .to = GROUP + 1 + round * 1000, .len = 300, .times = 3},
        {.kind = ORDER_SEND, .flags = ORDER_OWN, .len = 3000, .times = 30},
        {.kind = ORDER_SEND_USER, .to = 100 + round, .len = 300},
        {.kind = ORDER_KICK, .flags = ORDER_OWN, .len = 300},
    };
    int fd = client_open_narrow(s);
    client_send_packet(fd, TEST_PUSH, orders, sizeof orders);
    for (enum ending how = END_TIMEOUT; how == END_TIMEOUT;) { /* it closes itself, or is closed */
        how = client_ending(fd, NULL, 1);
        ears_turn(e, 0);
    }
    close(fd);
}

/* Goal: a single allocation fails, the first of a visitor who joins, binds, sets timers and sends, the second ...: his
 * connection may close, a message may not be made; nobody else notices, and each message is accounted for. */
START_TEST(one_allocation_fails)
{
    enum { TRIES = 80 };
    char env[PRELOAD_ENV];
    static const char *const args[] = {"server.workernum=1", NULL};
    struct heap_board *b = preload_heap(env);
    const char *const envs[] = {env, NULL};
    struct server s;
    struct ears e;
    server_launch(&s, &(struct launch){.program = "testapp", .args = args, .preload = "heap", .env = envs});
    s.log_lines_max = 100;
    ears_open(&e, &s, 3);
    for (uint32_t i = 1; i < 3; i++)
        ear_order(&e, i, (struct test_order){.kind = ORDER_JOIN, .to = GROUP});
    for (uint32_t i = 0; i < 5; i++)
        visit(&e, &s, 1000 + i);
    uint32_t hit = atomic_load(&b->failed);
    for (uint32_t n = 0; n < TRIES; n++) {
        heap_set(b, atomic_load(&b->calls) + 1 + n, _i == 0 ? 1 : HEAP_FOR_EVER);
        visit(&e, &s, n);
        heap_set(b, 0, 0);
        ck_assert(e.each[0].fd >= 0 && e.each[1].fd >= 0 && e.each[2].fd >= 0);
    }
    ck_assert_uint_gt(atomic_load(&b->failed), hit);
    ear_wait_counter(&e, 0, "closed", TRIES + 5);
    for (uint32_t n = 0; n < TRIES; n += 7) {
        ears_expect_members(&e, 0, GROUP + 1 + n * 1000, 0);
        ears_expect_bound(&e, 0, 100 + n, 0);
    }
    uint64_t heard = e.each[1].heard;
    ear_order(&e, 0, (struct test_order){.kind = ORDER_SEND_GROUP, .to = GROUP, .len = 300, .sender = 1});
    ears_wait(&e, ears_have_heard, 2 * heard + 2, "it goes on");
    ck_assert_uint_eq(e.each[2].heard, heard + 1);
    finish(&s, &e);
}
END_TEST

/* Have it done by an offloaded function; false, and the connection is another one, if it ended instead. */
static bool done_or_ended(struct ears *e, const struct test_order *orders, uint32_t n, struct test_done *done)
{
    uint64_t before = e->each[0].replies, end = itest_deadline(EAR_MS);
    client_send_packet(e->each[0].fd, TEST_PUSH + TEST_OFFLOADED, orders, n * sizeof *orders);
    while (e->each[0].replies == before && e->each[0].fd >= 0) {
        ITEST_ASSERT(mono_ns() < end, "neither an answer nor an end");
        ears_turn(e, 10);
    }
    memcpy(done, e->each[0].reply, n * sizeof *done);
    return e->each[0].fd >= 0;
}

/* Goal: a thread that sends for the first time has no memory for it: it is told, and nothing else happens. */
START_TEST(no_memory_for_a_ring)
{
    enum { TRIES = 40 };
    char env[PRELOAD_ENV];
    static const char *const args[] = {"server.workernum=2", "test.offload=on", "offload.threads=8", NULL};
    struct heap_board *b = preload_heap(env);
    const char *const envs[] = {env, NULL};
    struct server s;
    struct ears e;
    struct test_done done[2];
    uint32_t refused = 0;
    server_launch(&s, &(struct launch){.program = "testapp", .args = args, .preload = "heap", .env = envs});
    ears_open(&e, &s, 2);
    for (uint32_t i = 0; i < TRIES; i++) {
        const struct test_order orders[] = {{.kind = ORDER_LEAVE_ID, .to = GROUP, .other = e.each[1].id},
                                            {.kind = ORDER_LEAVE_ID, .to = GROUP, .other = e.each[0].id}};
        heap_set(b, atomic_load(&b->calls) + 1 + i % 4, 1);
        bool answered = done_or_ended(&e, orders, 2, done);
        heap_set(b, 0, 0);
        if (!answered)
            ear_reopen(&e, 0);
        for (int k = 0; k < 2 && answered; k++) {
            ck_assert(done[k].rc == 0 || done[k].error == ENOMEM);
            refused += done[k].rc != 0;
        }
    }
    ck_assert_uint_gt(refused, 0);
    ear_order(&e, 0, (struct test_order){.kind = ORDER_SEND_ALL, .len = 50});
    ears_wait(&e, ears_have_heard, 2, "it goes on");
    finish(&s, &e);
}
END_TEST

Suite *push_faults_suite(void)
{
    Suite *s = suite_create("push_faults");
    TCase *c = itest_case(s, "threads", 40);
    tcase_add_test(c, a_takeover_while_a_function_sends);
    tcase_add_loop_test(c, a_thread_ends_in_it, 0, 4);
    tcase_add_loop_test(c, it_blocks, 0, 3);
    tcase_add_test(c, a_walk_that_blocks_each_time);
    tcase_add_test(c, after_a_restart);
    c = itest_case(s, "stop", 40);
    tcase_add_test(c, a_stop_amid_broadcasts);
    tcase_add_test(c, a_stop_with_full_queues);
    c = itest_case(s, "hooks", 60);
    tcase_add_test(c, in_every_hook);
    tcase_add_loop_test(c, all_leave_at_once, 0, 2);
    tcase_add_loop_test(c, an_offloaded_function_outlives_its_connection, 0, 2);
    if (ITEST_SLOW > 1) {
        TEST_SKIP_PART("no memory: a sanitizer has a heap of its own");
        return s;
    }
    c = itest_case(s, "memory", 40);
    tcase_add_loop_test(c, one_allocation_fails, 0, 2);
    tcase_add_test(c, no_memory_for_a_ring);
    return s;
}
