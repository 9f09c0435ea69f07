/*
 * test_cluster_history.c: groups with a history, on one node without a bus and on several over Redis: who comes back
 * gets what was missed, once and in order, while others send; nodes that die, an engine that goes, comes back, has
 * forgotten. /
 */
#include <errno.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

#include "mario/mario_cluster.h"
#include "nodes.h"

#define GROUP UINT64_C(0x77000002)

enum { KEPT = 5000 };

/* ---- Coming back ---- */

static bool was_told(const struct nodes *n, uint64_t arg)
{
    return n->each[arg >> 32].e.each[arg & UINT32_MAX].resumed > 0;
}

static void order_resume(struct nodes *n, unsigned at, uint32_t i, uint64_t epoch, uint64_t seq)
{
    struct ear *r = &n->each[at].e.each[i];
    r->resumed = 0;
    r->seq = seq;
    ear_order(&n->each[at].e, i,
              (struct test_order){.kind = ORDER_RESUME, .to = GROUP, .key = epoch, .other = seq});
}

static const struct test_resumed *await_told(struct nodes *n, unsigned at, uint32_t i)
{
    nodes_wait(n, was_told, (uint64_t) at << 32 | i, "somebody is told what becomes of it");
    return &n->each[at].e.each[i].last_resumed;
}

/* Ear i comes back; what it is told. With what is no number of this history: anew. */
static struct test_resumed come_anew(struct nodes *n, unsigned at, uint32_t i, uint64_t epoch, uint64_t seq)
{
    struct ear *r = &n->each[at].e.each[i];
    r->resumed = r->seq = 0;
    ear_order(&n->each[at].e, i,
              (struct test_order){.kind = ORDER_RESUME, .to = GROUP, .key = epoch, .other = seq});
    return *await_told(n, at, i);
}

static struct test_resumed come_back(struct nodes *n, unsigned at, uint32_t i, uint64_t epoch, uint64_t seq)
{
    order_resume(n, at, i, epoch, seq);
    return *await_told(n, at, i);
}

static bool has_number(const struct nodes *n, uint64_t arg)
{
    for (unsigned at = 0; at < n->count; at++) {
        for (uint32_t i = 1; i < n->each[at].e.count; i++) {
            if (n->each[at].e.each[i].fd >= 0 && n->each[at].e.each[i].seq < arg)
                return false;
        }
    }
    return true;
}

/* Until all ears that listen, but ear 0 of each node, have this number. */
static void await_number(struct nodes *n, uint64_t seq)
{
    nodes_wait(n, has_number, seq, "all have all numbers");
}

/* All of them have had no hole. */
static void expect_no_holes(struct nodes *n)
{
    for (unsigned at = 0; at < n->count; at++) {
        for (uint32_t i = 1; i < n->each[at].e.count; i++)
            ITEST_ASSERT(n->each[at].e.each[i].seq_gaps == 0, "ear %u of n%u misses %u", i, at,
                         (unsigned) n->each[at].e.each[i].seq_gaps);
    }
}

static void keep(struct nodes *n, unsigned at, uint32_t most)
{
    ear_order(&n->each[at].e, 1, (struct test_order){.kind = ORDER_HISTORY, .to = GROUP, .number = most});
}

static struct test_order message(unsigned sender, uint32_t first, uint32_t count, uint32_t len)
{
    return (struct test_order){.kind = ORDER_SEND_GROUP,
                               .flags = ORDER_STAMP | ORDER_PERSISTS,
                               .to = GROUP,
                               .len = len,
                               .times = count - 1,
                               .sender = sender,
                               .number = first};
}

static void send_some(struct nodes *n, unsigned at, unsigned sender, uint32_t first, uint32_t count)
{
    ear_order(&n->each[at].e, 0, message(sender, first, count, 60));
}

/* A thread sends, with pauses. */
static void send_aside(struct nodes *n, unsigned at, unsigned sender, uint32_t count, uint32_t pause)
{
    struct test_order orders[] = {{.kind = ORDER_THREAD, .body = 1}, message(sender, 0, count, 60)};
    orders[1].pause = pause;
    ear_do(&n->each[at].e, 0, TEST_PUSH, orders, 2, NULL);
}

/* One node without a bus. */
static void start_alone(struct nodes *n, uint32_t ears)
{
    static const char *const args[] = {"cluster.bus=-", "server.workernum=2", "test.offload=on", NULL};
    memset(n, 0, sizeof *n);
    n->count = 1;
    server_launch(&n->each[0].s, &(struct launch){.program = "testapp", .args = args});
    ears_open(&n->each[0].e, &n->each[0].s, ears);
}

static void stop_alone(struct nodes *n)
{
    ears_close(&n->each[0].e);
    server_stop(&n->each[0].s);
}

/* An order that is not accepted, and why. */
static int refused(struct nodes *n, struct test_order o)
{
    struct test_done done = {0};
    ear_do(&n->each[0].e, 0, TEST_PUSH, &o, 1, &done);
    ck_assert_int_eq(done.rc, -1);
    return done.error;
}

/* ---- One node ---- */

static bool has_heard(const struct ears *e, uint64_t n)
{
    return e->each[1].from[0] >= n;
}

/* Goal: what is sent right behind switching a history on or off reaches each member once. */
START_TEST(switched_on_and_off)
{
    enum { ROUNDS = 200 };
    struct nodes n;
    start_alone(&n, 2);
    struct ears *e = &n.each[0].e;
    nodes_join(&n, 0, 1, GROUP);
    for (uint32_t i = 0; i < ROUNDS; i++) {
        struct test_order orders[] = {{.kind = ORDER_HISTORY, .to = GROUP, .number = 10},
                                      message(0, 2 * i, 1, 60),
                                      {.kind = ORDER_HISTORY, .to = GROUP},
                                      message(0, 2 * i + 1, 1, 60)};
        struct test_done done[4];
        orders[1].flags = orders[3].flags = 0; /* its number in the history does not matter */
        ear_do(e, 0, TEST_PUSH, orders, 4, done);
        ears_wait(e, has_heard, 2 * (i + 1), "both");
    }
    ck_assert_uint_eq(e->each[1].from[0], 2 * ROUNDS);
    stop_alone(&n);
}
END_TEST

/* Goal: all since, and what comes then; numbers that are not there any more, of another epoch, of the future;
 * nonsense. */
START_TEST(alone)
{
    struct nodes n;
    start_alone(&n, 6);
    ck_assert_int_eq(refused(&n, (struct test_order){.kind = ORDER_RESUME, .to = GROUP}), EINVAL);
    ck_assert_int_eq(refused(&n, (struct test_order){.kind = ORDER_HISTORY, .number = 1}), EINVAL);
    ck_assert_int_eq(
        refused(&n, (struct test_order){.kind = ORDER_HISTORY, .to = GROUP, .number = MARIO_HISTORY_MAX + 1}),
        EINVAL);
    keep(&n, 0, 20);
    struct test_resumed r = come_back(&n, 0, 1, 0, 0);
    ck_assert(r.epoch != 0 && r.first == 1 && r.seq == 0 && r.messages == 0 && r.gap == 0);
    uint64_t epoch = r.epoch;
    send_some(&n, 0, 1, 0, 1);
    nodes_expect(&n, 0, 1, 1, 1); /* it is a member, and not only told that it will be one */
    send_some(&n, 0, 1, 1, 29);
    nodes_expect(&n, 0, 1, 1, 30);
    ck_assert_uint_eq(n.each[0].e.each[1].seq, 30);
    r = come_back(&n, 0, 2, epoch, 25);
    ck_assert(r.epoch == epoch && r.first == 26 && r.seq == 30 && r.messages == 5 && r.gap == 0);
    nodes_expect(&n, 0, 2, 1, 5);
    r = come_back(&n, 0, 3, epoch, 3);
    ck_assert(r.first == 11 && r.messages == 20 && r.gap == 1);
    r = come_anew(&n, 0, 4, epoch + 1, 29);
    ck_assert(r.first == 11 && r.messages == 20 && r.gap == 1);
    r = come_back(&n, 0, 5, epoch, 30);
    ck_assert(r.first == 31 && r.messages == 0 && r.gap == 0);
    send_some(&n, 0, 1, 30, 5);
    await_number(&n, 35);
    ck_assert_uint_eq(n.each[0].e.each[1].unnumbered, 0);
    stop_alone(&n);
}
END_TEST

/* Goal: much more than push.queue and push.bytes hold is what somebody missed who then reads slowly: he gets it all,
 * and nobody is closed for it. */
START_TEST(much)
{
    enum { COUNT = ITEST_SLOW > 1 ? 1500 : 5000 };
    struct nodes n;
    start_alone(&n, 3);
    keep(&n, 0, KEPT);
    uint64_t epoch = come_back(&n, 0, 1, 0, 0).epoch;
    for (uint32_t i = 0; i < COUNT; i += 50) {
        ear_order(&n.each[0].e, 0, message(1, i, 50, 1000));
        nodes_expect(&n, 0, 1, 1, i + 50);
    }
    order_resume(&n, 0, 2, epoch, 0);
    ear_deafen(&n.each[0].e, 2, true);
    for (int i = 0; i < 50; i++) { /* it has time to be drowned */
        nodes_turn(&n);
        usleep(4000);
    }
    ear_deafen(&n.each[0].e, 2, false);
    await_number(&n, COUNT);
    ck_assert_uint_eq(n.each[0].e.each[2].from[1], COUNT);
    ck_assert_uint_eq(ear_counter(&n.each[0].e, 0, "closed_slow_consumer"), 0);
    stop_alone(&n);
}
END_TEST

/* Goal: members go and come back while threads send: nobody misses a number, or has one twice. */
static void storm(struct nodes *n, uint64_t epoch, uint32_t count)
{
    for (unsigned at = 0; at < n->count; at++)
        send_aside(n, at, 1 + at, count, 300);
    uint64_t end = itest_deadline(EAR_MS);
    for (uint32_t turn = 0; n->each[0].e.each[1].seq < (uint64_t) count * n->count; turn++) {
        ITEST_ASSERT(mono_ns() < end, "the storm does not end");
        unsigned at = turn % n->count;
        uint32_t i = 2 + turn / n->count % (n->each[at].e.count - 2);
        struct ear *r = &n->each[at].e.each[i];
        uint64_t has = r->seq;
        ear_reopen(&n->each[at].e, i);
        order_resume(n, at, i, epoch, has);
        nodes_turn(n);
    }
    await_number(n, (uint64_t) count * n->count);
    expect_no_holes(n);
}

START_TEST(storm_alone)
{
    struct nodes n;
    start_alone(&n, 30);
    keep(&n, 0, KEPT);
    uint64_t epoch = 0;
    for (uint32_t i = 1; i < 30; i++)
        epoch = come_back(&n, 0, i, 0, 0).epoch;
    storm(&n, epoch, 2000);
    stop_alone(&n);
}
END_TEST

/* ---- Several nodes ---- */

#define START(n, count, ears, ...) \
    NODES_NEED(ENGINE_REDIS);      \
    struct nodes n;                \
    nodes_start(&n, ENGINE_REDIS, count, ears, &(struct nodes_options){__VA_ARGS__})

/* All keep it, and all ears but the first of each node are members; the epoch. */
static uint64_t all_come(struct nodes *n, uint32_t most)
{
    uint64_t epoch = 0;
    for (unsigned at = 0; at < n->count; at++) {
        keep(n, at, most);
        for (uint32_t i = 1; i < n->each[at].e.count; i++)
            order_resume(n, at, i, 0, 0);
    }
    for (unsigned at = 0; at < n->count; at++) {
        for (uint32_t i = 1; i < n->each[at].e.count; i++)
            epoch = await_told(n, at, i)->epoch;
    }
    ck_assert_uint_ne(epoch, 0);
    return epoch;
}

/* Goal: all nodes send, all members everywhere have the same in the same order, numbered from 1 on. */
START_TEST(one_order)
{
    START(n, 3, 3);
    all_come(&n, KEPT);
    for (unsigned at = 0; at < 3; at++)
        send_aside(&n, at, 1 + at, 500, 0);
    await_number(&n, 1500);
    expect_no_holes(&n);
    for (unsigned at = 0; at < 3; at++)
        ck_assert_uint_eq(n.each[at].e.each[2].order, n.each[0].e.each[1].order);
    nodes_stop(&n);
}
END_TEST

START_TEST(storm_between)
{
    START(n, 2, 12);
    storm(&n, all_come(&n, KEPT), 1000);
    nodes_stop(&n);
}
END_TEST

/* Goal: a node is killed while another one sends; all who were there come back on a third one at once, and miss
 * nothing. */
START_TEST(node_killed)
{
    enum { EARS = ITEST_SLOW > 1 ? 60 : 300, COUNT = 600 };
    START(n, 3, EARS);
    uint64_t epoch = all_come(&n, KEPT), had[EARS];
    for (uint32_t i = 1; i < EARS; i++) /* who come later, in their stead */
        ear_order(&n.each[2].e, i, (struct test_order){.kind = ORDER_LEAVE, .to = GROUP});
    send_aside(&n, 0, 1, COUNT, 1000);
    while (n.each[1].e.each[1].seq < COUNT / 4)
        nodes_turn(&n);
    for (uint32_t i = 1; i < EARS; i++)
        had[i] = n.each[1].e.each[i].seq;
    nodes_kill_one(&n, 1);
    for (uint32_t i = 1; i < EARS; i++)
        order_resume(&n, 2, i, epoch, had[i]);
    await_number(&n, COUNT);
    expect_no_holes(&n);
    for (uint32_t i = 1; i < EARS; i++)
        ck_assert_int_eq(n.each[2].e.each[i].last_resumed.gap, 0);
    nodes_stop(&n);
}
END_TEST

/* Goal: the engine is killed and starts again, with what it knew (_i: 1) or without: members get on with all that is
 * new, each once; who comes back with a number of before is told that there is a gap, and gets what is kept. */
START_TEST(engine_restarted)
{
    START(n, 2, 4, .engine = {.persists = _i == 1});
    uint64_t epoch = all_come(&n, KEPT);
    send_some(&n, 0, 1, 0, 50);
    await_number(&n, 50);
    engine_kill(&n.engine);
    for (unsigned at = 0; at < 2; at++)
        nodes_wait_counter(&n, at, "event_down", 1);
    send_some(&n, 0, 2, 0, 10); /* for those on its node, without numbers */
    for (uint32_t i = 1; i < 4; i++)
        nodes_expect(&n, 0, i, 2, 10);
    ck_assert_uint_eq(n.each[0].e.each[1].unnumbered, 10);
    struct test_resumed r;
    ear_order(&n.each[1].e, 3, (struct test_order){.kind = ORDER_LEAVE, .to = GROUP});
    r = come_back(&n, 1, 3, epoch, 50);
    ck_assert(r.epoch == 0 && r.messages == 0 && r.gap == 1);
    engine_restart(&n.engine);
    for (unsigned at = 0; at < 2; at++)
        nodes_wait_counter(&n, at, "event_up", 2);
    for (unsigned at = 0; at < 2; at++) {
        for (uint32_t i = 1; i < 4; i++)
            n.each[at].e.each[i].seq = _i == 1 ? 50 : 0; /* where numbers begin now */
    }
    send_some(&n, 0, 3, 0, 50);
    for (unsigned at = 0; at < 2; at++) {
        for (uint32_t i = 1; i < 4; i++)
            nodes_expect(&n, at, i, 3, 50);
    }
    await_number(&n, _i == 1 ? 100 : 50);
    expect_no_holes(&n);
    ear_reopen(&n.each[1].e, 3);
    r = come_anew(&n, 1, 3, epoch, 50);
    ck_assert(r.epoch != epoch && r.epoch != 0 && r.gap == 1 && r.first == 1);
    await_number(&n, r.seq);
    nodes_stop(&n);
}
END_TEST

/* Goal: the engine's memory is full: members hear what is sent on their node, once, though without a number, and all
 * that has one. */
START_TEST(engine_full)
{
    START(n, 2, 3, .engine = {.memory = "3mb"});
    all_come(&n, MARIO_HISTORY_MAX);
    uint32_t sent = 0;
    uint64_t end = itest_deadline(EAR_MS);
    while (n.each[0].e.each[1].unnumbered == 0) {
        ITEST_ASSERT(mono_ns() < end, "its memory does not get full");
        ear_order(&n.each[0].e, 0, message(0, 0, 20, 4000));
        sent += 20;
        nodes_expect(&n, 0, 1, 0, sent);
        nodes_expect(&n, 0, 2, 0, sent);
    }
    const struct ear *r = &n.each[0].e.each[1];
    ck_assert_uint_gt(ear_counter(&n.each[0].e, 0, "cluster_dropped"), 0);
    ck_assert_uint_eq(r->seq + r->unnumbered, sent);
    nodes_wait(&n, has_number, r->seq, "the other node has what has a number");
    expect_no_holes(&n);
    nodes_stop(&n);
}
END_TEST

/* Goal: thousands come back to a group on a node where nobody was: the engine is asked for it once. */
START_TEST(herd)
{
    enum { EARS = ITEST_SLOW > 1 ? 500 : 4000, COUNT = 200 };
    static const char calls[] = "cmdstat_evalsha:calls=";
    char text[8192];
    START(n, 2, 2, .args = {"server.connnum=4000"});
    keep(&n, 0, KEPT);
    uint64_t epoch = come_back(&n, 0, 1, 0, 0).epoch;
    send_some(&n, 0, 1, 0, COUNT);
    nodes_expect(&n, 0, 1, 1, COUNT);
    ears_close(&n.each[1].e);
    ears_open(&n.each[1].e, &n.each[1].s, EARS);
    keep(&n, 1, KEPT);
    engine_ask(&n.engine, text, sizeof text, "CONFIG RESETSTAT");
    const struct test_order o = {.kind = ORDER_RESUME, .to = GROUP, .key = epoch};
    for (uint32_t i = 1; i < EARS; i++)
        ear_tell(&n.each[1].e, i, &o, 1);
    await_number(&n, COUNT);
    expect_no_holes(&n);
    engine_ask(&n.engine, text, sizeof text, "INFO commandstats");
    const char *asked = strstr(text, calls);
    ck_assert(asked != NULL && atoi(asked + strlen(calls)) < 20);
    nodes_stop(&n);
}
END_TEST

/* Goal: who leaves at once after mario_resume() is no member when that is through, each time; who comes back behind it
 * is one, and hears each message once. */
START_TEST(leaves_at_once)
{
    enum { ROUNDS = 200 };
    const struct test_order both[] = {{.kind = ORDER_RESUME, .to = GROUP},
                                      {.kind = ORDER_LEAVE, .to = GROUP}};
    const struct test_order count = {.kind = ORDER_GROUP_COUNT, .to = GROUP};
    struct nodes n;
    struct ears *e = &n.each[0].e;
    struct test_done done[2];
    uint64_t epoch = 0;
    start_alone(&n, 3);
    keep(&n, 0, 20);
    for (uint32_t said = 0; said < 2 * ROUNDS; said += 2) {
        ear_do(e, 1, TEST_PUSH, both, 2, done);
        ck_assert(done[0].rc == 0 && done[1].rc == 0);
        struct test_resumed r = come_back(&n, 0, 2, epoch, said);
        ck_assert_uint_eq(r.seq, said);
        epoch = r.epoch;
        send_some(&n, 0, 2, said, 1);
        nodes_expect(&n, 0, 2, 2, said + 1);
        ears_expect_members(e, 0, GROUP, 1); /* it may have come before the membership */
        send_some(&n, 0, 2, said + 1, 1);
        nodes_expect(&n, 0, 2, 2, said + 2);
        ck_assert_uint_eq(ear_order(e, 0, count), 1);
        ear_order(e, 2, (struct test_order){.kind = ORDER_LEAVE, .to = GROUP});
        ears_expect_members(e, 0, GROUP, 0);
    }
    stop_alone(&n);
}
END_TEST

/* Goal: over NATS there is no history, and that is said; without a cluster neither. */
START_TEST(none)
{
    struct nodes n = {.count = 1};
    if (_i == 1) {
        NODES_NEED(ENGINE_NATS);
        nodes_start(&n, ENGINE_NATS, 1, 1, NULL);
    } else {
        server_launch(&n.each[0].s,
                      &(struct launch){.program = "testapp", .args = (const char *const[]){NULL}});
        ears_open(&n.each[0].e, &n.each[0].s, 1);
    }
    int error = _i == 1 ? ENOTSUP : ENOTCONN;
    ck_assert_int_eq(refused(&n, (struct test_order){.kind = ORDER_HISTORY, .to = GROUP, .number = 9}),
                     error);
    ck_assert_int_eq(refused(&n, (struct test_order){.kind = ORDER_RESUME, .to = GROUP}), error);
    if (_i == 1)
        nodes_stop(&n);
    else
        stop_alone(&n);
}
END_TEST

Suite *cluster_history_suite(void)
{
    Suite *s = suite_create("cluster_history");
    TCase *c = itest_case(s, "alone", 60);
    tcase_add_test(c, alone);
    tcase_add_test(c, much);
    tcase_add_test(c, switched_on_and_off);
    tcase_add_test(c, storm_alone);
    tcase_add_test(c, leaves_at_once);
    c = itest_case(s, "nodes", 60);
    tcase_add_test(c, one_order);
    tcase_add_test(c, storm_between);
    tcase_add_test(c, node_killed);
    tcase_add_test(c, herd);
    tcase_add_loop_test(c, engine_restarted, 0, 2);
    tcase_add_test(c, engine_full);
    tcase_add_loop_test(c, none, 0, 2);
    return s;
}
