/*
 * test_cluster.c: several servers as one, on a good day, over each engine: what is sent to users, groups and all
 * reaches everybody on all nodes once and in order; interest follows the connections; who is where; kicks; nodes that
 * come and go.
 */
#include <string.h>
#include <unistd.h>

#include "mario/mario_cluster.h"
#include "nodes.h"

#define UID   UINT64_C(0xabcdef0123)
#define GROUP UINT64_C(0x77000001)

enum { COUNT = 300 };

/* The test's engine: _i. */
#define START(n, count, ears, ...)     \
    NODES_NEED((enum engine_kind) _i); \
    struct nodes n;                    \
    nodes_start(&n, (enum engine_kind) _i, count, ears, &(struct nodes_options){__VA_ARGS__})

/* ---- Sending ---- */

/* Who sends: a function, an offloaded one, a thread; a sender of its own each, on each node. */
static void send_from_everywhere(struct nodes *n, enum test_order_kind kind, uint64_t key)
{
    for (unsigned at = 0; at < n->count; at++) {
        struct ears *e = &n->each[at].e;
        uint32_t sender = 1 + 3 * at;
        struct test_order o = {.kind = (uint8_t) kind,
                               .to = key,
                               .len = 60,
                               .times = COUNT - 1,
                               .flags = ORDER_PERSISTS,
                               .sender = sender};
        const struct test_order thread[] = {{.kind = ORDER_THREAD, .body = 1}, o};
        ear_do(e, 0, TEST_PUSH, thread, 2, NULL);
        o.sender = sender + 1;
        ear_do(e, 0, TEST_PUSH + TEST_OFFLOADED, &o, 1, NULL);
        o.sender = sender + 2;
        ear_do(e, 0, TEST_PUSH, &o, 1, NULL);
    }
}

static void hear_from_everywhere(struct nodes *n, unsigned at, uint32_t i)
{
    for (unsigned sender = 1; sender <= 3 * n->count; sender++)
        nodes_expect(n, at, i, sender, COUNT);
    ck_assert_uint_eq(n->each[at].e.each[i].gaps, 0);
}

/* Goal: all devices of a user, on all nodes, hear what anybody on any node sends to him, once and in the order of each
 * sender; nobody else does. */
START_TEST(to_a_user)
{
    enum { EARS = 4 };
    START(n, 3, EARS);
    for (unsigned at = 0; at < 3; at++) {
        ck_assert(nodes_bind(&n, at, 1, UID, MARIO_BIND_MANY, 0) &&
                  nodes_bind(&n, at, 2, UID, MARIO_BIND_MANY, 0));
        ck_assert(nodes_bind(&n, at, 3, UID + 1, MARIO_BIND_MANY, 0));
    }
    for (unsigned at = 0; at < 3; at++)
        nodes_reach(&n, (at + 1) % 3, ORDER_SEND_USER, UID, at, 1);
    send_from_everywhere(&n, ORDER_SEND_USER, UID);
    for (unsigned at = 0; at < 3; at++) {
        hear_from_everywhere(&n, at, 1);
        hear_from_everywhere(&n, at, 2);
        ck_assert(n.each[at].e.each[0].heard == 0 && n.each[at].e.each[3].heard == 0);
    }
    nodes_stop(&n);
    ck_assert_uint_eq(server_counter(&n.each[0].s, "cluster_lost"), 0);
}
END_TEST

/* Goal: the same for the members of a group; who leaves hears no more, who is left out does not hear it, on its node or
 * with its members elsewhere. */
START_TEST(to_a_group)
{
    enum { EARS = 3 };
    START(n, 3, EARS);
    for (unsigned at = 0; at < 3; at++) {
        nodes_join(&n, at, 1, GROUP);
        nodes_join(&n, at, 2, GROUP);
    }
    for (unsigned at = 0; at < 3; at++)
        nodes_reach(&n, (at + 1) % 3, ORDER_SEND_GROUP, GROUP, at, 1);
    send_from_everywhere(&n, ORDER_SEND_GROUP, GROUP);
    for (unsigned at = 0; at < 3; at++) {
        hear_from_everywhere(&n, at, 1);
        hear_from_everywhere(&n, at, 2);
    }
    ear_order(&n.each[0].e, 1,
              (struct test_order){
                  .kind = ORDER_SEND_GROUP, .to = GROUP, .len = 60, .sender = 10, .flags = ORDER_BUT_ME});
    for (unsigned at = 0; at < 3; at++) {
        nodes_expect(&n, at, 2, 10, 1);
        nodes_expect(&n, at, 1, 10, at != 0);
    }
    ear_order(&n.each[1].e, 1, (struct test_order){.kind = ORDER_LEAVE, .to = GROUP});
    ears_expect_members(&n.each[1].e, 0, GROUP, 1);
    nodes_send(&n, 0, ORDER_SEND_GROUP, GROUP, 11, 0, 1);
    for (unsigned at = 0; at < 3; at++)
        nodes_expect(&n, at, 2, 11, 1);
    nodes_expect(&n, 1, 1, 11, 0);
    nodes_stop(&n);
}
END_TEST

/* Goal: all connections of all nodes. */
START_TEST(to_all)
{
    START(n, 3, 2);
    for (unsigned at = 0; at < 3; at++)
        nodes_reach(&n, (at + 1) % 3, ORDER_SEND_ALL, 0, at, 1);
    send_from_everywhere(&n, ORDER_SEND_ALL, 0);
    for (unsigned at = 0; at < 3; at++)
        hear_from_everywhere(&n, at, 1);
    nodes_stop(&n);
}
END_TEST

/* Goal: messages of every size that there is arrive as they were sent. */
START_TEST(of_every_size)
{
    static const uint32_t sizes[] = {16, 17, 100, 1000, 4000, 16000, 32768, 65000, MARIO_MSG_MAX - 8};
    enum { SIZES = sizeof sizes / sizeof sizes[0] };
    START(n, 2, 2);
    nodes_join(&n, 1, 1, GROUP);
    nodes_reach(&n, 0, ORDER_SEND_GROUP, GROUP, 1, 1);
    for (uint32_t i = 0; i < 3 * SIZES; i++) {
        ear_order(
            &n.each[0].e, 0,
            (struct test_order){
                .kind = ORDER_SEND_GROUP, .to = GROUP, .len = sizes[i % SIZES], .sender = 1, .number = i});
        nodes_expect(&n, 1, 1, 1, i + 1);
        ck_assert_uint_eq(n.each[1].e.each[1].last_len, sizes[i % SIZES]);
    }
    nodes_stop(&n);
}
END_TEST

/* Goal: what is sent with a key coalesces elsewhere as it does here, and what is to be kept is kept: its receiver, who
 * does not read, is closed for it. */
START_TEST(a_message_is_what_it_was)
{
    START(n, 2, 2, .args = {"push.queue=4", "push.slow=coalesce"});
    struct ears *e = &n.each[1].e;
    nodes_join(&n, 1, 1, GROUP);
    nodes_reach(&n, 0, ORDER_SEND_GROUP, GROUP, 1, 1);
    ear_deafen(e, 1, true);
    struct test_order o = {.kind = ORDER_SEND_GROUP, .to = GROUP, .len = 60000, .key = 5, .times = 199};
    ear_order(&n.each[0].e, 0, o);
    ear_wait_counter(e, 0, "push_coalesced", 1);
    o.key = 0, o.flags = ORDER_KEEP;
    ear_order(&n.each[0].e, 0, o);
    ear_wait_counter(e, 0, "closed_slow_consumer", 1);
    nodes_stop(&n);
}
END_TEST

/* ---- Kicks ---- */

/* Goal: a user's connections on all nodes get the last message and close; others stay. */
START_TEST(a_user_is_kicked_everywhere)
{
    START(n, 3, 3);
    for (unsigned at = 0; at < 3; at++) {
        ck_assert(nodes_bind(&n, at, 1, UID, MARIO_BIND_MANY, 0));
        ck_assert(nodes_bind(&n, at, 2, UID + 1, MARIO_BIND_MANY, 0));
        nodes_reach(&n, (at + 1) % 3, ORDER_SEND_USER, UID, at, 1);
    }
    ear_order(&n.each[0].e, 0,
              (struct test_order){.kind = ORDER_KICK_USER, .to = UID, .len = 60, .sender = 0, .number = 9});
    for (unsigned at = 0; at < 3; at++) {
        uint64_t before = n.each[at].e.each[1].heard;
        ears_wait(&n.each[at].e, ear_has_ended, 1, "he is kicked");
        ck_assert_int_eq(n.each[at].e.each[1].how, END_FIN);
        (void) before;
        ears_expect_bound(&n.each[at].e, 0, UID, 0);
        ck_assert_int_ge(n.each[at].e.each[2].fd, 0);
        ck_assert_uint_eq(ear_counter(&n.each[at].e, 0, "closed_kicked"), 1);
        ck_assert_uint_eq(ear_counter(&n.each[at].e, 0, "err_type"), 9);
    }
    nodes_stop(&n);
}
END_TEST

/* ---- Interest ---- */

/* Goal: the engine's word: a node is subscribed while somebody is here, and a moment longer; once for any number of
 * them. */
START_TEST(interest_follows_the_connections)
{
    char user[64], group[64];
    NODES_NEED(ENGINE_REDIS);
    struct nodes n;
    nodes_start(&n, ENGINE_REDIS, 2, 4, NULL);
    snprintf(user, sizeof user, "mario:u:%llu", (unsigned long long) UID);
    snprintf(group, sizeof group, "mario:g:%llu", (unsigned long long) GROUP);
    ck_assert_int_eq(nodes_subscribed(&n, "mario:all"), 2);
    ck_assert_int_eq(nodes_subscribed(&n, "mario:n:n0"), 1);
    for (uint32_t i = 1; i < 4; i++) {
        ck_assert(nodes_bind(&n, 1, i, UID, MARIO_BIND_MANY, 0));
        nodes_join(&n, 1, i, GROUP);
    }
    nodes_await_subscribed(&n, user, 1);
    nodes_await_subscribed(&n, group, 1);
    ck_assert(nodes_bind(&n, 0, 1, UID, MARIO_BIND_MANY, 0));
    nodes_join(&n, 0, 1, GROUP);
    nodes_await_subscribed(&n, user, 2);
    nodes_await_subscribed(&n, group, 2);
    ear_order(&n.each[1].e, 1, (struct test_order){.kind = ORDER_LEAVE, .to = GROUP});
    ear_close(&n.each[1].e, 1);
    ears_expect_members(&n.each[1].e, 0, GROUP, 2);
    ear_close(&n.each[0].e, 1);
    nodes_await_subscribed(&n, user, 1);
    nodes_await_subscribed(&n, group, 1);
    ear_close(&n.each[1].e, 2);
    ear_close(&n.each[1].e, 3);
    nodes_await_subscribed(&n, user, 0);
    nodes_await_subscribed(&n, group, 0);
    nodes_stop(&n);
}
END_TEST

/* Goal: who comes back within the linger finds the subscription as it was: the engine never hears of it. */
START_TEST(who_comes_back_soon_was_never_away)
{
    char user[64], text[2000];
    NODES_NEED(ENGINE_REDIS);
    struct nodes n;
    nodes_start(&n, ENGINE_REDIS, 1, 2, &(struct nodes_options){.linger = 3600});
    snprintf(user, sizeof user, "mario:u:%llu", (unsigned long long) UID);
    ck_assert(nodes_bind(&n, 0, 1, UID, MARIO_BIND_MANY, 0));
    nodes_await_subscribed(&n, user, 1);
    for (int i = 0; i < 5; i++) {
        ear_close(&n.each[0].e, 1);
        ears_expect_bound(&n.each[0].e, 0, UID, 0);
        ear_reopen(&n.each[0].e, 1);
        ck_assert(nodes_bind(&n, 0, 1, UID, MARIO_BIND_MANY, 0));
    }
    engine_ask(&n.engine, text, sizeof text, "INFO commandstats");
    ck_assert_msg(strstr(text, "cmdstat_unsubscribe") == NULL, "%s", text);
    nodes_stop(&n);
}
END_TEST

/* ---- Who is where ---- */

static bool all_know(const struct nodes *n, uint64_t expected)
{
    for (unsigned at = 0; at < n->count; at++) {
        struct ears *e = (struct ears *) (uintptr_t) &n->each[at].e;
        if (ear_order(e, 0, (struct test_order){.kind = ORDER_ONLINE, .to = UID}) != expected ||
            ear_order(e, 0, (struct test_order){.kind = ORDER_COUNT_ALL, .to = GROUP}) != expected)
            return false;
    }
    return true;
}

/* Goal: the sums of all nodes, asked on any, also of users and groups that are nowhere. */
START_TEST(how_many_there_are)
{
    START(n, 3, 4, .heartbeat = 1, .ttl = 20);
    unsigned sum = 0;
    for (unsigned at = 0; at < 3; at++) {
        for (uint32_t i = 1; i <= at + 1; i++, sum++) {
            ck_assert(nodes_bind(&n, at, i, UID, MARIO_BIND_MANY, 0));
            nodes_join(&n, at, i, GROUP);
        }
        nodes_reach(&n, (at + 1) % 3, ORDER_SEND_USER, UID, at, 1);
        nodes_reach(&n, (at + 1) % 3, ORDER_SEND_GROUP, GROUP, at, 1);
    }
    for (unsigned at = 0; at < 3; at++) {
        ck_assert_uint_eq(ear_ask_nodes(&n.each[at].e, 0, ORDER_ASK_USER, UID), sum);
        ck_assert_uint_eq(ear_ask_nodes(&n.each[at].e, 0, ORDER_ASK_GROUP, GROUP), sum);
        ck_assert_uint_eq(ear_ask_nodes(&n.each[at].e, 0, ORDER_ASK_USER, UID + 1), 0);
        ck_assert_uint_eq(ear_ask_nodes(&n.each[at].e, 0, ORDER_ASK_GROUP, GROUP + 1), 0);
    }
    nodes_wait(&n, all_know, sum, "all nodes know");
    ear_close(&n.each[2].e, 1);
    ear_close(&n.each[0].e, 1);
    nodes_wait(&n, all_know, sum - 2, "all nodes know that two have gone");
    nodes_stop(&n);
}
END_TEST

/* Goal: who sends to a user that is nowhere is told, by the receipt's tag; not if he is on any node. */
START_TEST(nobody_is_online)
{
    START(n, 2, 2);
    struct test_event events[64];
    struct test_order o = {
        .kind = ORDER_SEND_USER, .to = UID, .len = 60, .flags = ORDER_RECEIPT, .key = 4711};
    ear_order(&n.each[0].e, 0, o);
    nodes_wait_counter(&n, 0, "event_nobody", 1);
    ck_assert_uint_ge(ear_counter(&n.each[0].e, 0, "cluster_nobody"), 1);
    struct test_event told = {0};
    for (unsigned i = 0, count = nodes_events(&n, 0, events); i < count; i++)
        told = events[i].what == MARIO_CLUSTER_NOBODY ? events[i] : told;
    ck_assert(told.uid == UID && told.tag == 4711);
    ck_assert(nodes_bind(&n, 1, 1, UID, MARIO_BIND_MANY, 0));
    nodes_reach(&n, 0, ORDER_SEND_USER, UID, 1, 1);
    uint64_t before = ear_counter(&n.each[0].e, 0, "event_nobody");
    for (int i = 0; i < 5; i++)
        ear_order(&n.each[0].e, 0, o);
    o.to = UID + 1; /* behind those: its answer comes last */
    ear_order(&n.each[0].e, 0, o);
    nodes_wait_counter(&n, 0, "event_nobody", before + 1);
    ck_assert_uint_eq(ear_counter(&n.each[0].e, 0, "event_nobody"), before + 1);
    nodes_stop(&n);
}
END_TEST

/* ---- Nodes ---- */

static bool event_is_there(struct nodes *n, unsigned at, int what, const char *node)
{
    struct test_event events[64];
    unsigned count = nodes_events(n, at, events);
    for (unsigned i = 0; i < count; i++) {
        if (events[i].what == what && strcmp(events[i].node, node) == 0)
            return true;
    }
    return false;
}

static void await_event(struct nodes *n, unsigned at, int what, const char *node)
{
    uint64_t end = itest_deadline(EAR_MS);
    while (!event_is_there(n, at, what, node)) {
        ITEST_ASSERT(mono_ns() < end, "n%u: no event %d of %s; see %s", at, what, node, n->each[at].s.dir);
        nodes_turn(n);
    }
}

/* Goal: nodes that come and go are told: one that stops at once, one that is killed when its time is over. */
START_TEST(nodes_come_and_go)
{
    enum { LIFE = 2 + 2 * (ITEST_SLOW > 1) };
    START(n, 3, 1, .heartbeat = 1, .ttl = LIFE);
    nodes_wait_counter(&n, 0, "event_up", 1);
    for (unsigned at = 0; at < 3; at++) {
        await_event(&n, at, MARIO_CLUSTER_NODE_JOINED, n.each[(at + 1) % 3].name);
        await_event(&n, at, MARIO_CLUSTER_NODE_JOINED, n.each[(at + 2) % 3].name);
    }
    nodes_stop_one(&n, 1);
    await_event(&n, 0, MARIO_CLUSTER_NODE_LEFT, "n1");
    nodes_kill_one(&n, 2);
    await_event(&n, 0, MARIO_CLUSTER_NODE_LEFT, "n2");
    nodes_start_one(&n, 2, 1, &(struct nodes_options){.heartbeat = 1, .ttl = LIFE});
    await_event(&n, 2, MARIO_CLUSTER_NODE_JOINED, "n0");
    nodes_wait_counter(&n, 0, "event_joined", 3);
    nodes_stop(&n);
}
END_TEST

/* Goal: what is sent before a node stops reaches the others, to the last message. */
START_TEST(the_last_words)
{
    START(n, 2, 2, .ttl = 60); /* only its own word says that it has gone */
    nodes_join(&n, 1, 1, GROUP);
    nodes_reach(&n, 0, ORDER_SEND_GROUP, GROUP, 1, 1);
    const struct test_order orders[] = {
        {.kind = ORDER_SEND_GROUP,
         .to = GROUP,
         .len = 60,
         .sender = 1,
         .times = COUNT - 1,
         .flags = ORDER_PERSISTS},
        {.kind = ORDER_STOP},
    };
    ear_tell(&n.each[0].e, 0, orders, 2);
    nodes_expect(&n, 1, 1, 1, COUNT);
    await_event(&n, 1, MARIO_CLUSTER_NODE_LEFT, "n0");
    ears_close(&n.each[0].e);
    ck_assert_int_eq(server_wait_exit(&n.each[0].s, 12000), 0);
    server_check(&n.each[0].s);
    nodes_stop(&n);
}
END_TEST

/* Goal: two prefixes on one engine are two clusters. */
START_TEST(prefixes_keep_apart)
{
    START(n, 2, 2);
    nodes_kill_one(&n, 1);
    nodes_start_one(&n, 1, 2, &(struct nodes_options){.args = {"cluster.prefix=other.one"}});
    nodes_join(&n, 0, 1, GROUP);
    nodes_join(&n, 1, 1, GROUP);
    nodes_send(&n, 0, ORDER_SEND_GROUP, GROUP, 1, 0, 10);
    nodes_expect(&n, 0, 1, 1, 10);
    ck_assert_uint_eq(ear_ask_nodes(&n.each[0].e, 0, ORDER_ASK_GROUP, GROUP), 1);
    nodes_expect(&n, 1, 1, 1, 0);
    nodes_stop(&n);
}
END_TEST

Suite *cluster_suite(void)
{
    Suite *s = suite_create("cluster");
    TCase *c = itest_case(s, "sending", 30);
    tcase_add_loop_test(c, to_a_user, 0, 2);
    tcase_add_loop_test(c, to_a_group, 0, 2);
    tcase_add_loop_test(c, to_all, 0, 2);
    tcase_add_loop_test(c, of_every_size, 0, 2);
    tcase_add_loop_test(c, a_message_is_what_it_was, 0, 2);
    tcase_add_loop_test(c, a_user_is_kicked_everywhere, 0, 2);
    c = itest_case(s, "who is where", 30);
    tcase_add_test(c, interest_follows_the_connections);
    tcase_add_test(c, who_comes_back_soon_was_never_away);
    tcase_add_loop_test(c, how_many_there_are, 0, 2);
    tcase_add_loop_test(c, nobody_is_online, 0, 2);
    tcase_add_loop_test(c, nodes_come_and_go, 0, 2);
    tcase_add_loop_test(c, the_last_words, 0, 2);
    tcase_add_loop_test(c, prefixes_keep_apart, 0, 2);
    return s;
}
