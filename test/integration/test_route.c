/*
 * test_route.c: what a way to other servers (mario_route.h) is told, what it decides and delivers. The one of testapp
 * counts.
 */
#include <signal.h>
#include <unistd.h>

#include "ears.h"
#include "mario/mario_push.h"

#define UID   UINT64_C(0x5555000000002) /* even: the route has it bound */
#define GROUP UINT64_C(0x777)

static void start(struct server *s, struct ears *e, uint32_t n, const char *ring)
{
    server_start(s, "testapp", "server.workernum=2", "server.connnum=2000", "test.route=on", ring, NULL);
    ears_open(e, s, n);
}

static void finish(struct server *s, struct ears *e)
{
    ears_close(e);
    server_finish(s);
}

static void wait_count(struct ears *e, const char *name, uint64_t n)
{
    ear_wait_counter(e, 0, name, n);
    ck_assert_msg(ear_counter(e, 0, name) == n, "%s is %llu, not %llu", name,
                  (unsigned long long) ear_counter(e, 0, name), (unsigned long long) n);
}

static bool first_is_told(const struct ears *e, uint64_t n)
{
    return e->each[1].called >= n;
}

/* What the route is told of what comes before is counted when this is. */
static void settle(struct ears *e, uint64_t n)
{
    ear_order(e, 0, (struct test_order){.kind = ORDER_ROUTE_SEQUENCE, .to = 1, .how = 0});
    wait_count(e, "route_own", n);
}

/* Goal: each send to users, groups and all reaches those who are here, and is told once, whole; what is sent here alone
 * is not told. */
START_TEST(each_send_is_told_once)
{
    enum { LEN = 100 };
    const uint16_t flags[] = {0, ORDER_LOCAL};
    struct server s;
    struct ears e;
    start(&s, &e, 2, "push.ring=4096");
    ear_order(&e, 1, (struct test_order){.kind = ORDER_BIND, .to = UID});
    ear_order(&e, 1, (struct test_order){.kind = ORDER_JOIN, .to = GROUP});
    wait_count(&e, "route_users", 1);
    wait_count(&e, "route_groups", 1);
    for (uint32_t i = 0; i < 2; i++) {
        ear_order(&e, 0,
                  (struct test_order){.kind = ORDER_SEND_USER, .to = UID, .len = LEN, .flags = flags[i]});
        ear_order(&e, 0,
                  (struct test_order){.kind = ORDER_SEND_GROUP, .to = GROUP, .len = LEN, .flags = flags[i]});
        ear_order(&e, 0, (struct test_order){.kind = ORDER_SEND_ALL, .len = LEN, .flags = flags[i]});
        ears_wait(&e, ears_have_heard, 4 * (i + 1), "all that is sent");
        settle(&e, i + 1);
    }
    wait_count(&e, "route_to_users", 1);
    wait_count(&e, "route_to_groups", 1);
    wait_count(&e, "route_to_all", 1);
    wait_count(&e, "route_bytes", 3 * (LEN + 8));
    ear_order(&e, 0, (struct test_order){.kind = ORDER_KICK_USER, .to = UID});
    ears_wait(&e, ear_has_ended, 1, "the kick");
    wait_count(&e, "route_kicks", 1);
    finish(&s, &e);
}
END_TEST

/* Goal: the route is told of the first one of a user or group that comes and of the last one that goes, of each end of
 * a bind, and finds the counts as they are then. */
START_TEST(who_is_here)
{
    enum { DEVICES = 6 };
    struct server s;
    struct ears e;
    start(&s, &e, DEVICES + 1, "push.ring=4096");
    for (uint32_t i = 1; i <= DEVICES; i++) {
        ear_order(&e, i, (struct test_order){.kind = ORDER_BIND, .to = UID});
        ear_order(&e, i, (struct test_order){.kind = ORDER_JOIN, .to = GROUP});
    }
    wait_count(&e, "route_users", 1);
    wait_count(&e, "route_groups", 2); /* two workers */
    for (uint32_t i = 1; i < DEVICES; i++)
        ear_close(&e, i);
    wait_count(&e, "route_unbinds", DEVICES - 1);
    settle(&e, 1);
    wait_count(&e, "route_users", 1);
    ear_order(&e, DEVICES, (struct test_order){.kind = ORDER_LEAVE, .to = GROUP});
    wait_count(&e, "route_groups", 4);
    ear_close(&e, DEVICES);
    wait_count(&e, "route_users", 2);
    wait_count(&e, "route_unbinds", DEVICES);
    ck_assert_uint_eq(ear_order(&e, 0, (struct test_order){.kind = ORDER_USER_COUNT, .to = UID}), 0);
    finish(&s, &e);
}
END_TEST

/* Goal: a bind that looks at a user's other connections is the route's to decide, and the function is told how; one
 * that does not is not; a refused one leaves the user that the connection has. */
START_TEST(binds_are_decided)
{
    struct server s;
    struct ears e;
    start(&s, &e, 3, "push.ring=4096");
    ear_order(&e, 1, (struct test_order){.kind = ORDER_BIND, .to = UID, .how = MARIO_BIND_KICK_OLD});
    ears_wait(&e, first_is_told, 1, "the bind is decided");
    ck_assert_uint_eq(e.each[1].last_called.refused, 0);
    ck_assert_uint_eq(e.each[1].last_called.connections, 1);
    ear_order(&e, 1, (struct test_order){.kind = ORDER_BIND, .to = UID + 1, .how = MARIO_BIND_REFUSE_NEW});
    ears_wait(&e, first_is_told, 2, "the bind is decided");
    ck_assert_uint_eq(e.each[1].last_called.refused, 1);
    ck_assert_uint_eq(e.each[1].last_called.uid, UID + 1);
    ear_order(&e, 1,
              (struct test_order){.kind = ORDER_BIND, .to = UID + 1, .how = MARIO_BIND_MANY, .number = 3});
    ears_wait(&e, first_is_told, 3, "the bind is decided");
    ck_assert_uint_eq(e.each[1].last_called.refused, 1);
    wait_count(&e, "route_binds", 3);
    ear_order(&e, 0, (struct test_order){.kind = ORDER_SEND_USER, .to = UID, .len = 32});
    ears_wait(&e, ears_have_heard, 1, "what is sent to the user it has kept");
    ear_order(&e, 2, (struct test_order){.kind = ORDER_BIND, .to = UID, .how = MARIO_BIND_KICK_OLD});
    ears_wait(&e, ear_has_ended, 1, "the older one is replaced");
    wait_count(&e, "route_unbinds", 1);
    ck_assert_uint_eq(ear_counter(&e, 0, "closed_replaced"), 1);
    wait_count(&e, "route_binds", 4);
    ear_order(&e, 0, (struct test_order){.kind = ORDER_BIND, .to = UID, .how = MARIO_BIND_REFUSE_NEW});
    wait_count(&e, "route_unbinds", 2); /* the route let it in, the home did not */
    wait_count(&e, "route_binds", 5);
    finish(&s, &e);
}
END_TEST

/* Goal: what is sent to a group that is sequenced is delivered by the route alone: once, in order. */
START_TEST(a_sequenced_group)
{
    enum { COUNT = 500 };
    const struct test_order storm = {
        .kind = ORDER_SEND_GROUP, .to = GROUP, .len = 32, .sender = 1, .times = COUNT - 1};
    struct server s;
    struct ears e;
    start(&s, &e, 3, "push.ring=4096");
    for (uint32_t i = 1; i < 3; i++)
        ear_order(&e, i, (struct test_order){.kind = ORDER_JOIN, .to = GROUP});
    ear_order(&e, 0, (struct test_order){.kind = ORDER_ROUTE_SEQUENCE, .to = GROUP, .how = 1});
    wait_count(&e, "route_own", 1);
    ear_order(&e, 0, storm);
    ears_wait(&e, ears_have_heard, 2 * COUNT, "the route delivers them");
    wait_count(&e, "route_to_groups", COUNT);
    ear_order(&e, 0, (struct test_order){.kind = ORDER_ROUTE_SEQUENCE, .to = GROUP, .how = 0});
    wait_count(&e, "route_own", 2);
    ear_order(
        &e, 0,
        (struct test_order){.kind = ORDER_SEND_GROUP, .to = GROUP, .len = 32, .sender = 1, .number = COUNT});
    ears_wait(&e, ears_have_heard, 2 * COUNT + 2, "it is delivered directly again");
    ck_assert_uint_eq(ears_gaps(&e), 0);
    settle(&e, 3);
    ck_assert_uint_eq(ears_heard(&e), 2 * COUNT + 2);
    finish(&s, &e);
}
END_TEST

/* Goal: a route that takes nothing for a while holds up nobody: what is sent is delivered here, what it does not hear
 * of is counted; of who comes and goes it hears all. */
START_TEST(a_route_that_is_slow)
{
    enum { CONNS = 300, COUNT = 1000, HOLD_MS = 1500 };
    const struct test_order storm = {.kind = ORDER_SEND_USER,
                                     .to = UID,
                                     .len = 32,
                                     .sender = 1,
                                     .times = COUNT - 1,
                                     .flags = ORDER_PERSISTS};
    struct server s;
    struct ears e;
    start(&s, &e, CONNS + 1, "push.ring=256");
    ear_order(&e, 1, (struct test_order){.kind = ORDER_BIND, .to = UID});
    wait_count(&e, "route_users", 1);
    ear_order(&e, 0, (struct test_order){.kind = ORDER_ROUTE_HOLD, .number = HOLD_MS});
    ear_wait_counter(&e, 0, "route_holds", 1);
    for (uint32_t i = 2; i <= CONNS; i++)
        ear_order(&e, i, (struct test_order){.kind = ORDER_BIND, .to = UID + i});
    for (uint32_t i = 0; i < COUNT / 100; i++) {
        struct test_order some = storm;
        some.times = 99;
        some.number = i * 100;
        ear_order(&e, 0, some);
        ears_wait(&e, ears_have_heard, 100 * (i + 1), "what is sent is delivered");
    }
    ear_wait_counter(&e, 0, "route_users", CONNS);
    wait_count(&e, "route_users", CONNS);
    settle(&e, 1);
    ck_assert_uint_eq(ear_counter(&e, 0, "route_to_users") + ear_counter(&e, 0, "cluster_dropped"), COUNT);
    for (uint32_t i = 2; i <= CONNS; i++)
        ear_close(&e, i);
    ear_wait_counter(&e, 0, "route_unbinds", CONNS - 1);
    finish(&s, &e);
}
END_TEST

/* Goal: the route is stopped once, behind all workers, while it is told much; nothing is lost or used twice then. */
START_TEST(stopped_in_a_storm)
{
    struct server s;
    struct ears e;
    start(&s, &e, 40, "push.ring=64");
    for (uint32_t i = 0; i < 40; i++) {
        ear_tell(&e, i, ORDERS({.kind = ORDER_JOIN, .to = GROUP}, {.kind = ORDER_BIND, .to = UID + 2 * i}),
                 2);
        ear_tell(&e, i,
                 ORDERS({.kind = ORDER_SEND_GROUP, .to = GROUP, .len = 32, .times = 20},
                        {.kind = ORDER_BIND, .to = UID + 2 * i + 80, .how = MARIO_BIND_KICK_OLD}),
                 2);
    }
    server_signal(&s, SIGTERM);
    ck_assert_int_eq(server_wait_exit(&s, 10000), 0);
    ck_assert_uint_eq(server_log_count(&s, "route_stops=1"), 1);
    ears_close(&e);
    server_check(&s);
}
END_TEST

static bool second_is_told(const struct ears *e, uint64_t n)
{
    return e->each[2].called >= n || e->each[2].fd < 0;
}

/* Goal: what one function orders of a user before it binds to it does not reach who is bound behind it, though the
 * route decides between. */
START_TEST(kicked_before_the_bind)
{
    enum { ROUNDS = 100 };
    struct server s;
    struct ears e;
    start(&s, &e, 3, "push.ring=4096");
    for (uint32_t i = 0; i < ROUNDS; i++) {
        /* the other worker, which is the home of each other user, comes late, and finds all in its rings */
        ear_tell(&e, 1, ORDERS({.kind = ORDER_LEAVE, .to = GROUP, .times = 10, .pause = 300}), 1);
        ear_tell(&e, 2,
                 ORDERS({.kind = ORDER_SEND_USER, .to = UID + 2 * i, .len = 32},
                        {.kind = ORDER_KICK_USER, .to = UID + 2 * i},
                        {.kind = ORDER_BIND, .to = UID + 2 * i, .how = MARIO_BIND_KICK_OLD}),
                 3);
        ears_wait(&e, second_is_told, i + 1, "the bind is decided");
        ck_assert_int_ge(e.each[2].fd, 0);
    }
    wait_count(&e, "route_binds", ROUNDS);
    ck_assert_uint_eq(e.each[2].heard, 0);
    finish(&s, &e);
}
END_TEST

Suite *route_suite(void)
{
    Suite *s = suite_create("route");
    TCase *c = tcase_create("route");
    tcase_set_timeout(c, 60 * ITEST_SLOW);
    tcase_add_test(c, each_send_is_told_once);
    tcase_add_test(c, who_is_here);
    tcase_add_test(c, binds_are_decided);
    tcase_add_test(c, a_sequenced_group);
    tcase_add_test(c, a_route_that_is_slow);
    tcase_add_test(c, stopped_in_a_storm);
    tcase_add_test(c, kicked_before_the_bind);
    suite_add_tcase(s, c);
    return s;
}
