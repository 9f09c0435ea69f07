/*
 * test_push_slow.c: clients that read slowly or not at all while others push to them: what is kept for them is bounded,
 * what is dropped is counted and is exactly what they do not hear, packets are never cut, and nobody else notices.
 */
#include <string.h>
#include <unistd.h>

#include "ears.h"
#include "mario/mario_push.h"

#define GROUP UINT64_C(0x5109)

enum { LEN = 4000 /* bytes of data in most messages here */ };

static void start(struct server *s, const char *more, const char *and_more)
{
    server_start(s, "testapp", "server.workernum=2", more, and_more, NULL);
}

static void finish(struct server *s, struct ears *e)
{
    ears_close(e);
    server_finish(s);
}

/* A flood to one connection: n messages from number `first` on. */
static struct test_order flood(const struct ears *e, uint32_t to, uint32_t first, uint32_t n)
{
    return (struct test_order){.kind = ORDER_SEND,
                               .flags = ORDER_PERSISTS,
                               .to = e->each[to].id,
                               .times = n - 1,
                               .len = LEN,
                               .sender = 1,
                               .number = first};
}

/* Have a thread of the server do it, and wait until it has. */
static void flood_by_thread(struct ears *e, struct test_order o)
{
    uint64_t done = ear_counter(e, 0, "threads_done");
    ear_do(e, 0, TEST_PUSH, ORDERS({.kind = ORDER_THREAD, .body = 1}, o), 2, NULL);
    ear_wait_counter(e, 0, "threads_done", done + 1);
}

static uint64_t dropped(struct ears *e)
{
    return ear_counter(e, 0, "push_dropped_oldest") + ear_counter(e, 0, "push_dropped_newest") +
           ear_counter(e, 0, "push_coalesced");
}

/* Until so many have been meant for anybody, and it is counted what became of the last one, too. */
static void wait_targets(struct ears *e, uint64_t n)
{
    ear_wait_counter(e, 0, "push_targets", n);
    for (uint64_t end = itest_deadline(EAR_MS); dropped(e) + ear_counter(e, 0, "push_sent") +
                                                    ear_counter(e, 0, "push_pending") +
                                                    ear_counter(e, 0, "push_dropped_closed") !=
                                                ear_counter(e, 0, "push_targets");)
        ITEST_ASSERT(mono_ns() < end, "the ledger does not come out");
}

/* ---- Policies ---- */

static const struct {
    enum mario_slow how;
    uint32_t messages, bytes;
    uint64_t key;
    const char *counter;
} policies[] = {
    {MARIO_SLOW_DROP_OLDEST, 10, 0, 0, "push_dropped_oldest"},
    {MARIO_SLOW_DROP_OLDEST, 0, 30000, 0, "push_dropped_oldest"},
    {MARIO_SLOW_DROP_OLDEST, 50, 30000, 0, "push_dropped_oldest"},
    {MARIO_SLOW_DROP_NEWEST, 10, 0, 0, "push_dropped_newest"},
    {MARIO_SLOW_DROP_NEWEST, 0, 30000, 0, "push_dropped_newest"},
    {MARIO_SLOW_COALESCE, 10, 0, 7, "push_coalesced"},
    {MARIO_SLOW_COALESCE, 10, 0, 0, "push_dropped_oldest"}, /* without a key it is that */
    {MARIO_SLOW_COALESCE, 0, 30000, 7, "push_coalesced"},
};

/* Goal: for each policy and limit: never more waits than may; what a client hears and what it does not are all that was
 * sent, as counted; dropped are the oldest or the newest; a part of a message is never sent. */
START_TEST(what_is_dropped_is_not_heard)
{
    enum { COUNT = 400 };
    struct server s;
    struct ears e, slow;
    start(&s, NULL, NULL);
    ears_open(&e, &s, 1);
    ears_open_narrow(&slow, &s, 1);
    ear_order(&slow, 0,
              (struct test_order){.kind = ORDER_POLICY,
                                  .how = (uint8_t) policies[_i].how,
                                  .number = policies[_i].messages,
                                  .limit = policies[_i].bytes});
    ear_deafen(&slow, 0, true);
    struct test_order o = flood(&slow, 0, 0, COUNT);
    o.key = policies[_i].key;
    o.pause = o.key != 0 ? 50 : 0; /* so that each is offered to the kernel */
    for (uint32_t i = 0; i < 4; i++) {
        flood_by_thread(&e, o);
        o.number += COUNT;
        wait_targets(&e, (i + 1) * COUNT);
        uint64_t pending = ear_counter(&e, 0, "push_pending");
        ck_assert_msg(pending > 0 || i < 3,
                      "nothing waits"); /* the kernel may take all of the first ones, late */
        ck_assert_msg(policies[_i].messages == 0 || pending <= policies[_i].messages + 1, "%llu wait",
                      (unsigned long long) pending); /* one of which a part is sent may be beyond */
        ck_assert_msg(policies[_i].bytes == 0 || pending <= policies[_i].bytes / LEN + 2, "%llu wait",
                      (unsigned long long) pending);
    }
    uint64_t gone = dropped(&e), sent = ear_counter(&e, 0, "push_sent");
    ck_assert_uint_gt(gone, COUNT);
    ck_assert_uint_ge(ear_counter(&e, 0, policies[_i].counter), gone - 1);
    ck_assert_msg(sent * LEN < 64 * 1024, "the kernel took %llu messages", (unsigned long long) sent);
    ear_deafen(&slow, 0, false);
    ears_wait(&slow, ears_have_heard, 4 * COUNT - gone, "all that was not dropped");
    bool newest_are_there = slow.each[0].next[1] == 4 * COUNT;
    ck_assert_int_eq(newest_are_there, policies[_i].how != MARIO_SLOW_DROP_NEWEST);
    o = flood(&slow, 0, 4 * COUNT, 1);
    ear_order(&e, 0, o);
    ears_wait(&slow, ears_have_heard, 4 * COUNT - gone + 1, "another one");
    ck_assert_uint_eq(slow.each[0].gaps, gone);
    ears_close(&slow);
    finish(&s, &e);
    ck_assert_uint_eq(server_counter(&s, "push_sent"), 4 * COUNT - gone + 1);
}
END_TEST

/* Goal: of each thing that messages are about the newest one is heard last, and what is about nothing is not lost to
 * them. */
START_TEST(the_newest_of_each_key)
{
    enum { KEYS = 5, ROUNDS = 100 };
    struct server s;
    struct ears e, slow;
    start(&s, "push.slow=coalesce", "push.queue=200");
    ears_open(&e, &s, 1);
    ears_open_narrow(&slow, &s, 1);
    ear_deafen(&slow, 0, true);
    struct test_order keyless = flood(&slow, 0, 0, 20);
    keyless.sender = KEYS + 1;
    ear_order(&e, 0, keyless);
    for (uint32_t i = 0; i < ROUNDS; i++) {
        for (uint32_t k = 1; k <= KEYS; k++) {
            struct test_order o = flood(&slow, 0, i, 1);
            o.key = o.sender = k;
            ear_order(&e, 0, o);
        }
    }
    wait_targets(&e, KEYS * ROUNDS + 20);
    uint64_t gone = dropped(&e);
    ck_assert_uint_eq(ear_counter(&e, 0, "push_coalesced"), gone);
    ear_deafen(&slow, 0, false);
    ears_wait(&slow, ears_have_heard, KEYS * ROUNDS + 20 - gone, "all that was not replaced");
    for (uint32_t k = 1; k <= KEYS; k++)
        ck_assert_uint_eq(slow.each[0].next[k], ROUNDS);
    ck_assert_uint_eq(slow.each[0].from[KEYS + 1], 20);
    ck_assert_uint_eq(slow.each[0].gaps, gone);
    ck_assert_uint_ge(gone, KEYS * (ROUNDS - 20));
    ears_close(&slow);
    finish(&s, &e);
}
END_TEST

/* Goal: who is to be closed for it is, with the reason, at the message that finds no room; by the key and by its own
 * policy; also who is to keep a message and has no room. Others of the group hear all. */
START_TEST(closed_for_it)
{
    struct server s;
    struct ears e, slow;
    start(&s, _i == 0 ? "push.slow=close" : "push.slow=drop_newest", "push.queue=20");
    ears_open(&e, &s, 2);
    ears_open_narrow(&slow, &s, 1);
    if (_i == 1)
        ear_order(&slow, 0, (struct test_order){.kind = ORDER_POLICY, .how = MARIO_SLOW_CLOSE, .number = 20});
    for (uint32_t i = 0; i < 2; i++)
        ear_order(i == 0 ? &slow : &e, i, (struct test_order){.kind = ORDER_JOIN, .to = GROUP});
    ear_deafen(&slow, 0, true);
    for (uint32_t i = 0; i < 100; i++) {
        struct test_order o = {.kind = ORDER_SEND_GROUP, .to = GROUP, .len = LEN, .sender = 1, .number = i};
        o.flags = _i == 2 ? ORDER_KEEP : 0;
        ear_order(&e, 0, o);
        ears_wait(&e, ears_have_heard, i + 1, "the other one hears it");
    }
    ear_wait_counter(&e, 0, "closed_slow_consumer", 1);
    ear_deafen(&slow, 0, false);
    ears_wait(&slow, ear_has_ended, 0, "its end");
    ck_assert_uint_lt(slow.each[0].heard, 100);
    ears_close(&slow);
    finish(&s, &e);
    ck_assert_uint_eq(server_counter(&s, "hook_end_error") + server_counter(&s, "hook_end_timeout"), 1);
    ck_assert_uint_gt(server_counter(&s, "push_dropped_closed"), 0);
}
END_TEST

/* Goal: a flood does not cost who reads slowly one message that is to be kept: dropped are others. */
START_TEST(what_is_to_be_kept_is_kept)
{
    enum { KEPT = 8, COUNT = 200 };
    static const enum mario_slow how[] = {MARIO_SLOW_DROP_OLDEST, MARIO_SLOW_DROP_NEWEST,
                                          MARIO_SLOW_COALESCE};
    struct server s;
    struct ears e, slow;
    start(&s, NULL, NULL);
    ears_open(&e, &s, 1);
    ears_open_narrow(&slow, &s, 1);
    ear_order(&slow, 0,
              (struct test_order){.kind = ORDER_POLICY, .how = (uint8_t) how[_i], .number = 2 * KEPT});
    ear_deafen(&slow, 0, true);
    for (uint32_t i = 0; i < KEPT; i++) {
        struct test_order o = flood(&slow, 0, i, 1);
        o.flags |= ORDER_KEEP;
        o.sender = 2;
        o.key = 7;
        if (how[_i] != MARIO_SLOW_DROP_NEWEST || i == 0) /* there it would find no room */
            ear_order(&e, 0, o);
        o = flood(&slow, 0, i * COUNT, COUNT);
        o.key = i % 2 == 0 ? 7 : 0;
        flood_by_thread(&e, o);
    }
    uint64_t kept = how[_i] != MARIO_SLOW_DROP_NEWEST ? KEPT : 1, all = KEPT * COUNT + kept;
    wait_targets(&e, all);
    uint64_t gone = dropped(&e);
    ear_deafen(&slow, 0, false);
    ears_wait(&slow, ears_have_heard, all - gone, "all that was not dropped");
    ck_assert_uint_eq(slow.each[0].from[2], kept);
    ck_assert_uint_gt(gone, COUNT);
    ears_close(&slow);
    finish(&s, &e);
    ck_assert_uint_eq(server_counter(&s, "closed_slow_consumer"), 0);
}
END_TEST

static bool the_first_has_replies(const struct ears *e, uint64_t n)
{
    return e->each[0].replies >= n;
}

/* Goal: replies are never dropped nor counted among the messages, and stand whole among what is pushed. */
START_TEST(replies_are_not_dropped)
{
    enum { ROUNDS = 10, REPLY = 10000 };
    struct server s;
    struct ears e, slow;
    start(&s, "push.slow=drop_oldest", "push.queue=5");
    ears_open(&e, &s, 1);
    ears_open_narrow(&slow, &s, 1);
    ear_deafen(&slow, 0, true);
    uint64_t replies = slow.each[0].replies, functions = ear_counter(&e, 0, "functions");
    for (uint32_t i = 0; i < ROUNDS; i++) {
        const uint32_t n = REPLY;
        ear_order(&e, 0, flood(&slow, 0, i * 30, 30));
        client_send_packet(slow.each[0].fd, TEST_REPLY, &n, sizeof n);
    }
    ear_wait_counter(&e, 0, "functions", functions + 2 * ROUNDS);
    wait_targets(&e, ROUNDS * 30);
    ck_assert_uint_le(ear_counter(&e, 0, "push_pending"), 6);
    uint64_t gone = dropped(&e);
    ear_deafen(&slow, 0, false);
    ears_wait(&slow, ears_have_heard, ROUNDS * 30 - gone, "all that was not dropped");
    ears_wait(&slow, the_first_has_replies, replies + ROUNDS * 2, "all replies, of up to 8192 bytes");
    ear_ask(&slow, 0, TEST_ECHO, NULL, 0); /* behind all of them */
    ck_assert_uint_eq(slow.each[0].replies, replies + ROUNDS * 2 + 1);
    ears_close(&slow);
    finish(&s, &e);
}
END_TEST

/* Goal: what is pushed has to be taken in time as replies have; who takes some of it now and then stays. */
START_TEST(taken_in_time)
{
    struct server s;
    struct ears e, slow;
    start(&s, "push.slow=drop_newest", "server.write_timeout=1");
    ears_open(&e, &s, 1);
    ears_open_narrow(&slow, &s, 2);
    for (uint32_t i = 0; i < 2; i++) {
        ear_deafen(&slow, i, true);
        ear_order(&e, 0, flood(&slow, i, 0, 60));
    }
    wait_targets(&e, 120);
    for (uint64_t end = itest_deadline(EAR_MS); ear_counter(&e, 0, "closed_write_timeout") == 0;) {
        ITEST_ASSERT(mono_ns() < end, "who takes nothing is not closed; see %s", s.dir);
        ear_deafen(&slow, 1, false);
        ears_turn(&slow, 0);
        ear_deafen(&slow, 1, true);
        ear_order(&e, 0, (struct test_order){.kind = ORDER_SEND, .to = slow.each[1].id, .len = LEN});
        itest_sleep(20); /* time itself is the matter */
    }
    ck_assert_int_ge(slow.each[1].fd, 0);
    ear_deafen(&slow, 0, false);
    ears_wait(&slow, ear_has_ended, 0, "its end");
    ears_close(&slow);
    finish(&s, &e);
    ck_assert_uint_eq(server_counter(&s, "closed_write_timeout"), 1);
}
END_TEST

/* ---- Many who stopped ---- */

/* Goal: 300 who have stopped reading, and one who reads: he hears all; what the stopped ones hold is bounded in the
 * process and in the kernel; each message is settled for each. */
START_TEST(three_hundred_stopped)
{
    enum { STOPPED = 300, COUNT = 500 };
    struct server s;
    struct ears e, slow;
    start(&s, "push.slow=drop_oldest", NULL);
    ears_open(&e, &s, 2);
    ears_open_narrow(&slow, &s, STOPPED);
    ear_order(&e, 1, (struct test_order){.kind = ORDER_POLICY, .how = MARIO_SLOW_CLOSE, .number = COUNT});
    ear_order(&e, 1, (struct test_order){.kind = ORDER_JOIN, .to = GROUP});
    for (uint32_t i = 0; i < STOPPED; i++) {
        ear_order(&slow, i, (struct test_order){.kind = ORDER_JOIN, .to = GROUP});
        ear_deafen(&slow, i, true);
    }
    uint64_t rss = server_rss_kb(&s);
    const struct test_order to_all = {.kind = ORDER_SEND_GROUP,
                                      .flags = ORDER_PERSISTS,
                                      .to = GROUP,
                                      .times = COUNT - 1,
                                      .len = LEN,
                                      .sender = 1};
    flood_by_thread(&e, to_all);
    wait_targets(&e, (STOPPED + 1) * COUNT);
    ears_wait(&e, ears_have_heard, COUNT, "all of it, by who reads");
    ck_assert_uint_eq(e.each[1].gaps, 0);
    uint64_t sent = ear_counter(&e, 0, "push_sent") - COUNT, kb = server_rss_kb(&s);
    ck_assert_msg(sent * LEN < STOPPED * 64 * 1024, "the kernel took %llu messages",
                  (unsigned long long) sent);
    if (ITEST_SLOW == 1)
        ck_assert_msg(kb < rss + 20 * 1024, "%llu KB, then %llu KB", (unsigned long long) rss,
                      (unsigned long long) kb);
    uint64_t gone = dropped(&e);
    for (uint32_t i = 0; i < STOPPED; i++)
        ear_deafen(&slow, i, false);
    ears_wait(&slow, ears_have_heard, (uint64_t) STOPPED * COUNT - gone, "all that was not dropped");
    for (uint32_t i = 0; i < STOPPED; i++)
        ck_assert_uint_eq(slow.each[i].next[1], COUNT);
    ck_assert_uint_eq(ears_gaps(&slow), gone);
    ears_close(&slow);
    finish(&s, &e);
}
END_TEST

/* What a broadcast of so many to all costs the server, in nanoseconds of its processor. */
static uint64_t cost(struct ears *e, uint32_t *number, uint32_t n, uint64_t listeners)
{
    uint64_t before = server_cpu_ns(e->server), heard = ears_heard(e);
    struct test_order o = {.kind = ORDER_SEND_GROUP,
                           .flags = ORDER_PERSISTS,
                           .to = GROUP,
                           .times = n - 1,
                           .len = 500,
                           .sender = 1};
    o.number = *number;
    *number += n;
    flood_by_thread(e, o);
    ears_wait(e, ears_have_heard, heard + n * listeners, "all of it, by those who read");
    return server_cpu_ns(e->server) - before;
}

/* Goal: one or two of hundreds stop reading: nobody else pays: the server's work for a broadcast is what it was. */
START_TEST(one_and_two_stopped)
{
    enum { EARS = 300, COUNT = 100, ROUNDS = 4 };
    uint64_t best[3] = {UINT64_MAX, UINT64_MAX, UINT64_MAX};
    uint32_t number = 0;
    struct server s;
    struct ears e, slow;
    start(&s, "push.slow=drop_oldest", "push.queue=1000");
    ears_open(&e, &s, EARS);
    ears_open_narrow(&slow, &s, 2);
    for (uint32_t i = 1; i < EARS; i++)
        ear_order(&e, i, (struct test_order){.kind = ORDER_JOIN, .to = GROUP});
    for (uint32_t stopped = 0; stopped <= 2; stopped++) {
        if (stopped > 0) {
            ear_order(&slow, stopped - 1, (struct test_order){.kind = ORDER_JOIN, .to = GROUP});
            ear_deafen(&slow, stopped - 1, true);
        }
        for (int round = 0; round < ROUNDS; round++) {
            uint64_t ns = cost(&e, &number, COUNT, EARS - 1);
            best[stopped] = ns < best[stopped] ? ns : best[stopped];
        }
    }
    ck_assert_uint_eq(ears_gaps(&e), 0);
    for (uint32_t i = 1; i <= 2; i++)
        ck_assert_msg(best[i] < best[0] + best[0] / 2, "%u stopped: %llu us of work, with none %llu us", i,
                      (unsigned long long) best[i] / 1000, (unsigned long long) best[0] / 1000);
    ears_close(&slow);
    finish(&s, &e);
}
END_TEST

/* Goal: a client that has stopped, its queue full, is kicked: nobody waits; when it reads again it hears what waited,
 * the notice last, and the FIN; when it does not, it is closed all the same. */
START_TEST(a_stopped_one_is_kicked)
{
    struct server s;
    struct ears e, slow;
    start(&s, "push.slow=drop_newest", _i == 0 ? "server.write_timeout=60" : "server.write_timeout=1");
    ears_open(&e, &s, 1);
    ears_open_narrow(&slow, &s, 1);
    ear_order(&slow, 0, (struct test_order){.kind = ORDER_BIND, .to = 9});
    ear_deafen(&slow, 0, true);
    flood_by_thread(&e, flood(&slow, 0, 0, 300));
    wait_targets(&e, 300);
    uint64_t before = mono_ns();
    ear_order(&e, 0,
              (struct test_order){
                  .kind = ORDER_KICK, .to = slow.each[0].id, .number = 300, .len = LEN, .sender = 1});
    ear_ask(&e, 0, TEST_ECHO, NULL, 0);
    ck_assert_msg(mono_ns() - before < 500 * NS_PER_MS * ITEST_SLOW, "the sender waited");
    uint64_t gone = dropped(&e);
    if (_i == 1) {
        ear_wait_counter(&e, 0, "closed", 1);
        ear_deafen(&slow, 0, false);
        ears_wait(&slow, ear_has_ended, 0, "its end");
    } else {
        ear_deafen(&slow, 0, false);
        ears_wait(&slow, ear_has_ended, 0, "its end");
        ck_assert_int_eq(slow.each[0].how, END_FIN);
        ck_assert_uint_eq(slow.each[0].heard, 301 - gone);
        ck_assert_uint_eq(slow.each[0].next[1], 301);
        ear_wait_counter(&e, 0, "closed_kicked", 1);
    }
    ears_close(&slow);
    finish(&s, &e);
    ck_assert_uint_eq(server_counter(&s, "push_targets"), 301);
}
END_TEST

/* ---- The budget ---- */

/* Goal: what all messages may take is kept to: those who stopped longest give way, their messages first; who reads
 * hears all that was accepted; a message beyond the limit is refused, counted; and all is well when they have gone. */
START_TEST(all_messages_take_too_much)
{
    enum { STOPPED = 40, COUNT = 100 };
    struct server s;
    struct ears e, slow;
    start(&s, "push.memory=2m", "push.queue=1000");
    ears_open(&e, &s, 2);
    ears_open_narrow(&slow, &s, STOPPED);
    uint64_t rss = server_rss_kb(&s);
    struct test_order orders[1 + STOPPED + 1] = {{.kind = ORDER_THREAD, .body = STOPPED + 1}};
    for (uint32_t i = 0; i < STOPPED; i++) {
        ear_deafen(&slow, i, true);
        orders[1 + i] = flood(&slow, i, 0, COUNT);
        orders[1 + i].pause = 100;
        orders[1 + i].sender = 0;
    }
    orders[1 + STOPPED] = flood(&e, 1, 0, COUNT);
    orders[1 + STOPPED].pause = 100;
    ear_do(&e, 0, TEST_PUSH, orders, STOPPED + 2, NULL);
    ear_wait_counter(&e, 0, "threads_done", 1);
    ear_wait_counter(&e, 0, "push_victims", 1);
    uint64_t refused = ear_counter(&e, 0, "push_refused_memory");
    wait_targets(&e, COUNT * (STOPPED / 4));
    uint64_t kb = server_rss_kb(&s);
    if (ITEST_SLOW == 1)
        ck_assert_msg(kb < rss + 8 * 1024, "%llu KB, then %llu KB", (unsigned long long) rss,
                      (unsigned long long) kb);
    ears_turn(&e, 10);
    ck_assert_int_ge(e.each[1].fd, 0);
    ears_close(&slow);
    ear_wait_counter(&e, 0, "closed", STOPPED);
    flood_by_thread(&e, flood(&e, 1, 2 * COUNT, COUNT));
    ears_wait(&e, ears_have_heard, COUNT + 1, "messages go on");
    ck_assert_uint_eq(ear_counter(&e, 0, "push_refused_memory"), refused);
    finish(&s, &e);
    ck_assert_uint_eq(server_counter(&s, "orders_refused"), refused);
}
END_TEST

/* Goal: what a client that goes had not acknowledged is counted, though the kernel took it. */
START_TEST(what_was_not_acknowledged)
{
    struct server s;
    struct ears e, slow;
    start(&s, "push.slow=drop_oldest", "server.linger=0");
    ears_open(&e, &s, 1);
    ears_open_narrow(&slow, &s, 1);
    ear_deafen(&slow, 0, true);
    flood_by_thread(&e, flood(&slow, 0, 0, 100));
    wait_targets(&e, 100);
    ck_assert_uint_eq(ear_counter(&e, 0, "unacked"), 0);
    client_reset(slow.each[0].fd);
    slow.each[0].fd = -1;
    ear_wait_counter(&e, 0, "closed", 1);
    ck_assert_uint_gt(ear_counter(&e, 0, "push_dropped_closed"), 0);
    ears_close(&slow);
    finish(&s, &e);
    ck_assert_uint_gt(server_counter(&s, "unacked"), 0);
}
END_TEST

Suite *push_slow_suite(void)
{
    Suite *s = suite_create("push_slow");
    TCase *c = itest_case(s, "policies", 40);
    tcase_add_loop_test(c, what_is_dropped_is_not_heard, 0, sizeof policies / sizeof policies[0]);
    tcase_add_test(c, the_newest_of_each_key);
    tcase_add_loop_test(c, closed_for_it, 0, 3);
    tcase_add_loop_test(c, what_is_to_be_kept_is_kept, 0, 3);
    tcase_add_test(c, replies_are_not_dropped);
    tcase_add_test(c, taken_in_time);
    c = itest_case(s, "stopped", 60);
    tcase_add_test(c, three_hundred_stopped);
    tcase_add_test(c, one_and_two_stopped);
    tcase_add_loop_test(c, a_stopped_one_is_kicked, 0, 2);
    tcase_add_test(c, what_was_not_acknowledged);
    c = itest_case(s, "budget", 40);
    tcase_add_test(c, all_messages_take_too_much);
    return s;
}
