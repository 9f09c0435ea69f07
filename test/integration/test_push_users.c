/*
 * test_push_users.c: binding connections to users: how many devices, who goes and who stays, when many log in at the
 * same time; sending to users and kicking them.
 */
#include <string.h>
#include <unistd.h>

#include "ears.h"
#include "mario/mario_akg.h"
#include "mario/mario_push.h"

#define UID UINT64_C(0xabcdef0123)

static void start(struct server *s, struct ears *e, uint32_t n)
{
    server_start(s, "testapp", "server.workernum=2", "test.offload=on", "offload.threads=2",
                 "server.connnum=2000", NULL);
    ears_open(e, s, n);
}

static void finish(struct server *s, struct ears *e)
{
    ears_close(e);
    server_finish(s);
}

static bool one_has_been_told(const struct ears *e, uint64_t i)
{
    return e->each[i].called > 0 || e->each[i].fd < 0;
}

static bool the_first_has_heard(const struct ears *e, uint64_t n)
{
    return e->each[0].heard == n;
}

/* Have connection i bind, and wait until it is told, or closed. */
static void bind_to(struct ears *e, uint32_t i, uint64_t uid, enum mario_bind how, uint32_t devices)
{
    e->each[i].called = 0;
    ear_tell(e, i, ORDERS({.kind = ORDER_BIND, .how = (uint8_t) how, .to = uid, .number = devices}), 1);
    ears_wait(e, one_has_been_told, i, "the bind is decided");
}

static uint64_t user_count(struct ears *e, uint32_t i, uint64_t uid)
{
    return ear_order(e, i, (struct test_order){.kind = ORDER_USER_COUNT, .to = uid});
}

/* ---- Who stays ---- */

/* Goal: beside one another: all devices of a user hear what is sent to him, in order; an end removes its own; the bound
 * function is told how many there are. */
START_TEST(beside_the_others)
{
    enum { DEVICES = 5, COUNT = 100 };
    struct server s;
    struct ears e;
    start(&s, &e, DEVICES + 1);
    for (uint32_t i = 1; i <= DEVICES; i++) {
        bind_to(&e, i, UID, MARIO_BIND_MANY, 0);
        ck_assert(e.each[i].last_called.refused == 0 && e.each[i].last_called.uid == UID);
        ck_assert_uint_eq(e.each[i].last_called.connections, i);
    }
    const struct test_order orders[] = {
        {.kind = ORDER_THREAD, .body = 1},
        {.kind = ORDER_SEND_USER, .to = UID, .times = COUNT - 1, .len = 60, .sender = 1},
    };
    ear_do(&e, 0, TEST_PUSH, orders + (_i == 0), ORDERS_IN(orders) - (_i == 0), NULL);
    ears_wait_quiet(&e, 0, DEVICES * COUNT);
    for (uint32_t i = 1; i <= DEVICES; i++)
        ck_assert(e.each[i].heard == COUNT && e.each[i].gaps == 0);
    ears_expect_bound(&e, 0, UID, DEVICES);
    for (uint32_t i = 1; i <= DEVICES; i++) {
        ear_close(&e, i);
        ears_expect_bound(&e, 0, UID, DEVICES - i);
    }
    ear_order(&e, 0, (struct test_order){.kind = ORDER_SEND_USER, .to = UID, .len = 60, .sender = 1});
    finish(&s, &e);
    ck_assert_uint_eq(server_counter(&s, "push_targets"), DEVICES * COUNT);
    ck_assert_uint_eq(server_counter(&s, "bound"), DEVICES);
}
END_TEST

/* Goal: the newest stay, as many as there may be; the oldest close with their reason, and their end unbinds nobody. */
START_TEST(the_newest_stay)
{
    enum { LOGINS = 9 };
    uint32_t stay = _i == 0 ? 1 : (uint32_t) _i; /* 0 is 1 */
    struct server s;
    struct ears e;
    start(&s, &e, LOGINS + 1);
    for (uint32_t i = 1; i <= LOGINS; i++) {
        bind_to(&e, i, UID, MARIO_BIND_KICK_OLD, (uint32_t) _i);
        ck_assert(e.each[i].fd >= 0 && e.each[i].last_called.refused == 0);
        ck_assert_uint_eq(e.each[i].last_called.connections, i < stay ? i : stay);
        if (i > stay)
            ears_wait(&e, ear_has_ended, i - stay, "the oldest closes");
        ears_expect_bound(&e, 0, UID, i < stay ? i : stay);
    }
    for (uint32_t i = 1; i <= LOGINS - stay; i++)
        ck_assert_int_eq(e.each[i].how, END_FIN);
    ear_wait_counter(&e, 0, "hook_end_closed", LOGINS - stay);
    ck_assert_uint_eq(ear_counter(&e, 0, "err_type"), g_akg_closed_id); /* nobody gave one */
    ear_order(&e, 0, (struct test_order){.kind = ORDER_SEND_USER, .to = UID, .len = 60, .sender = 1});
    ears_wait_quiet(&e, 0, stay);
    finish(&s, &e);
    ck_assert_uint_eq(server_counter(&s, "closed_replaced"), LOGINS - stay);
    ck_assert_uint_eq(server_counter(&s, "bound"), LOGINS);
}
END_TEST

/* Goal: the older ones stay, as many as there may be; who is refused is told, stays connected and unbound. */
START_TEST(the_older_ones_stay)
{
    static const struct {
        enum mario_bind how;
        uint32_t devices, stay;
    } cases[] = {{MARIO_BIND_REFUSE_NEW, 0, 1}, {MARIO_BIND_REFUSE_NEW, 3, 3}, {MARIO_BIND_MANY, 3, 3}};
    enum { LOGINS = 6 };
    uint32_t stay = cases[_i].stay;
    struct server s;
    struct ears e;
    start(&s, &e, LOGINS + 1);
    for (uint32_t i = 1; i <= LOGINS; i++) {
        bind_to(&e, i, UID, cases[_i].how, cases[_i].devices);
        ck_assert(e.each[i].fd >= 0 && e.each[i].called == 1);
        ck_assert_uint_eq(e.each[i].last_called.refused, i > stay);
        ck_assert_uint_eq(e.each[i].last_called.connections, i < stay ? i : stay);
    }
    ears_expect_bound(&e, 0, UID, stay);
    ear_order(&e, 0, (struct test_order){.kind = ORDER_SEND_USER, .to = UID, .len = 60, .sender = 1});
    ears_wait_quiet(&e, 0, stay);
    ck_assert_uint_eq(e.each[1].heard, 1);
    ear_close(&e, LOGINS); /* refused: its end is nobody's */
    ear_close(&e, 1);
    ears_expect_bound(&e, 0, UID, stay - 1);
    bind_to(&e, LOGINS - 1, UID, cases[_i].how, cases[_i].devices); /* now there is a place */
    ck_assert_uint_eq(e.each[LOGINS - 1].last_called.refused, 0);
    ears_expect_bound(&e, 0, UID, stay);
    finish(&s, &e);
    ck_assert_uint_eq(server_counter(&s, "bind_refused"), LOGINS - stay);
}
END_TEST

/* Goal: again to the same user changes nothing; to another one gives the former up, but not before that is decided: not
 * when it is refused. */
START_TEST(bound_twice)
{
    struct server s;
    struct ears e;
    start(&s, &e, 3);
    for (int k = 0; k < 3; k++) {
        bind_to(&e, 1, UID, MARIO_BIND_KICK_OLD, 1);
        ears_expect_bound(&e, 0, UID, 1);
    }
    bind_to(&e, 2, UID + 1, MARIO_BIND_MANY, 0);
    bind_to(&e, 1, UID + 1, MARIO_BIND_REFUSE_NEW, 1);
    ck_assert_uint_eq(e.each[1].last_called.refused, 1);
    ck_assert_uint_eq(user_count(&e, 0, UID), 1);
    ck_assert_uint_eq(user_count(&e, 0, UID + 1), 1);
    for (uint64_t k = 2; k < 12; k++) { /* homes on all workers */
        bind_to(&e, 1, UID + k, MARIO_BIND_MANY, 0);
        ck_assert_uint_eq(e.each[1].last_called.refused, 0);
        ears_expect_bound(&e, 0, UID + k, 1);
        ears_expect_bound(&e, 0, UID + (k == 2 ? 0 : k - 1), 0);
    }
    ear_order(&e, 0, (struct test_order){.kind = ORDER_SEND_USER, .to = UID, .len = 60, .sender = 1});
    ear_order(&e, 0, (struct test_order){.kind = ORDER_SEND_USER, .to = UID + 11, .len = 60, .sender = 2});
    ears_wait(&e, ears_have_heard, 1, "what is sent to the last one");
    ck_assert_uint_eq(e.each[1].from[2], 1);
    ear_close(&e, 1);
    ears_expect_bound(&e, 0, UID + 11, 0);
    ck_assert_uint_eq(user_count(&e, 0, UID + 1), 1);
    finish(&s, &e);
    ck_assert_uint_eq(server_counter(&s, "push_targets"), 1);
}
END_TEST

/* ---- At the same time ---- */

/* Goal: a crowd on two workers logs in as one user at the same moment, over and over: one of it stays, and hears what
 * is sent to the user; nobody else does. */
START_TEST(a_crowd_of_logins)
{
    enum { CROWD = 60 };
    uint32_t rounds = ITEST_SLOW > 1 ? 5 : 30;
    struct server s;
    struct ears e;
    start(&s, &e, CROWD + 1);
    for (uint32_t round = 0; round < rounds; round++) {
        for (uint32_t i = 1; i <= CROWD; i++)
            ear_tell(&e, i, ORDERS({.kind = ORDER_BIND, .how = MARIO_BIND_KICK_OLD, .to = UID, .number = 1}),
                     1);
        uint32_t left = 0, last = 0;
        uint64_t end = itest_deadline(EAR_MS);
        do {
            ITEST_ASSERT(mono_ns() < end, "%u are left; see %s", left, s.dir);
            ears_turn(&e, 10);
            left = 0;
            for (uint32_t i = 1; i <= CROWD; i++) {
                left += e.each[i].fd >= 0;
                last = e.each[i].fd >= 0 ? i : last;
            }
        } while (left > 1);
        ck_assert_uint_eq(left, 1);
        ears_expect_bound(&e, 0, UID, 1);
        uint64_t before = ears_heard(&e);
        ear_order(&e, 0, (struct test_order){.kind = ORDER_SEND_USER, .to = UID, .len = 60});
        ears_wait(&e, ears_have_heard, before + 1, "the one that stays hears it");
        ck_assert_uint_eq(e.each[last].heard, 1);
        for (uint32_t i = 1; i <= CROWD; i++) {
            ear_close(&e, i);
            ear_reopen(&e, i);
        }
        ears_expect_bound(&e, 0, UID, 0);
    }
    finish(&s, &e);
    ck_assert_uint_eq(server_counter(&s, "closed_replaced"), rounds * (CROWD - 1));
}
END_TEST

/* Goal: one ends at the moment at which another logs in: the end never takes the new one's place in the table. */
START_TEST(an_old_end_never_unbinds_the_new_one)
{
    uint32_t rounds = ITEST_SLOW > 1 ? 50 : 400;
    struct server s;
    struct ears e;
    start(&s, &e, 3);
    bind_to(&e, 1, UID, MARIO_BIND_KICK_OLD, 1);
    for (uint32_t round = 0; round < rounds; round++) {
        uint32_t old = 1 + round % 2, new = 3 - old;
        if (e.each[new].fd < 0)
            ear_reopen(&e, new);
        e.each[new].called = 0;
        ear_tell(&e, new, ORDERS({.kind = ORDER_BIND, .how = MARIO_BIND_KICK_OLD, .to = UID, .number = 1}),
                 1);
        ear_close(&e, old);
        ears_wait(&e, one_has_been_told, new, "the bind is decided");
        ck_assert_int_ge(e.each[new].fd, 0);
        server_wait_fds(&s, s.fds + 2, EAR_MS); /* the old one's end is over */
        ears_expect_bound(&e, 0, UID, 1);
    }
    finish(&s, &e);
    ck_assert_uint_eq(server_counter(&s, "bound"), rounds + 1);
}
END_TEST

/* ---- Kicks, and the bound function ---- */

/* Goal: a user is kicked: all his connections hear the last message, then a FIN, and he is bound to nobody. */
START_TEST(a_user_is_kicked)
{
    enum { DEVICES = 6 };
    struct server s;
    struct ears e;
    start(&s, &e, DEVICES + 1);
    for (uint32_t i = 1; i <= DEVICES; i++)
        bind_to(&e, i, UID, MARIO_BIND_MANY, 0);
    const struct test_order orders[] = {
        {.kind = ORDER_SEND_USER, .to = UID, .times = 9, .len = 60, .sender = 1},
        {.kind = ORDER_KICK_USER, .to = UID, .len = 60, .sender = 1, .number = 10},
        {.kind = ORDER_SEND_USER, .to = UID, .len = 60, .sender = 1, .number = 11},
    };
    ear_do(&e, 0, TEST_PUSH, orders, ORDERS_IN(orders), NULL);
    for (uint32_t i = 1; i <= DEVICES; i++) {
        ears_wait(&e, ear_has_ended, i, "it is kicked");
        ck_assert_int_eq(e.each[i].how, END_FIN);
        ck_assert(e.each[i].heard == 11 && e.each[i].gaps == 0);
    }
    ck_assert_uint_eq(user_count(&e, 0, UID), 0);
    bind_to(&e, 0, UID, MARIO_BIND_REFUSE_NEW, 1);
    ck_assert_uint_eq(e.each[0].last_called.refused, 0);
    ear_wait_counter(&e, 0, "hook_end_closed", DEVICES);
    ck_assert_uint_eq(ear_counter(&e, 0, "err_type"), 10);
    finish(&s, &e);
    ck_assert_uint_eq(server_counter(&s, "closed_kicked"), DEVICES);
    ck_assert_uint_eq(server_counter(&s, "hook_end_closed"), server_counter(&s, "opened"));
}
END_TEST

/* Goal: the bound function may do what a function may: write, send, return, close; the user is nobody's then. */
START_TEST(the_bound_function_acts)
{
    struct server s;
    struct ears e;
    start(&s, &e, 2);
    const struct test_order at_bound[] = {
        {.kind = ORDER_AT_BOUND, .body = 4},
        {.kind = ORDER_WRITE, .len = 60},
        {.kind = ORDER_SEND_USER, .to = UID, .len = 60, .sender = 1},
        {.kind = ORDER_SEND, .to = e.each[0].id, .len = 60, .sender = 1},
        {.kind = _i == 0   ? ORDER_RETURN
                 : _i == 1 ? ORDER_CLOSE
                           : ORDER_KICK_USER,
         .to = UID,
         .number = 5,
         .len = _i == 2 ? 60 : 0,
         .sender = 1},
    };
    ear_do(&e, 0, TEST_PUSH, at_bound, ORDERS_IN(at_bound), NULL);
    const struct test_order bind = {.kind = ORDER_BIND, .to = UID};
    client_send_packet(e.each[1].fd, _i == 1 ? TEST_PUSH + TEST_OFFLOADED : TEST_PUSH, &bind, sizeof bind);
    ears_wait(&e, ear_has_ended, 1, "it closes");
    ck_assert(e.each[1].called == 1 && e.each[1].written == 1);
    ears_wait(&e, the_first_has_heard, 1, "what it has sent");
    if (_i == 2)
        ck_assert_uint_eq(e.each[1].heard, 2);
    ears_expect_bound(&e, 0, UID, 0);
    finish(&s, &e);
}
END_TEST

/* Goal: the id of a kick chooses the end hook, and is what that one sees; without a last word, too. */
START_TEST(the_hook_of_a_kick)
{
    static const struct {
        uint32_t id;
        const char *hook;
    } cases[] = {{g_akg_timeout_id, "hook_end_timeout"},
                 {g_akg_error_id, "hook_end_error"},
                 {g_akg_closed_id, "hook_end_closed"},
                 {77, "hook_end_closed"}};
    struct server s;
    struct ears e;
    start(&s, &e, 9);
    for (uint32_t i = 1; i <= 8; i++) {
        uint32_t id = cases[i % 4].id;
        uint64_t before = ear_counter(&e, 0, cases[i % 4].hook);
        ear_order(&e, 0,
                  (struct test_order){.kind = ORDER_KICK,
                                      .to = e.each[i].id,
                                      .number = id,
                                      .len = i % 2 == 0 ? 0 : 50,
                                      .sender = 1});
        ears_wait(&e, ear_has_ended, i, "it is kicked");
        ck_assert_uint_eq(e.each[i].heard, i % 2);
        ear_wait_counter(&e, 0, cases[i % 4].hook, before + 1);
        ck_assert_uint_eq(ear_counter(&e, 0, "err_type"), id);
    }
    finish(&s, &e);
    ck_assert_uint_eq(server_counter(&s, "closed_kicked"), 8);
}
END_TEST

/* Goal: a kick of one's own connection, from its function and hooks, and twice: once, the notice before the FIN. */
START_TEST(kicked_by_itself)
{
    struct server s;
    struct ears e;
    start(&s, &e, 2);
    const struct test_order orders[] = {
        {.kind = ORDER_WRITE, .len = 50},
        {.kind = ORDER_KICK, .flags = ORDER_OWN, .number = 11, .len = 50, .sender = 1},
        {.kind = ORDER_KICK, .flags = ORDER_OWN, .number = 12, .len = 50, .sender = 1},
        {.kind = ORDER_SEND, .flags = ORDER_OWN, .number = 13, .len = 50, .sender = 1},
        {.kind = ORDER_WRITE, .len = 50},
    };
    client_send_packet(e.each[1].fd, _i == 0 ? TEST_PUSH : TEST_PUSH + TEST_OFFLOADED, orders, sizeof orders);
    ears_wait(&e, ear_has_ended, 1, "it is kicked");
    ck_assert_int_eq(e.each[1].how, END_FIN);
    ck_assert(e.each[1].heard == 1 && e.each[1].next[1] == 12);
    if (_i == 0)
        ck_assert_uint_eq(e.each[1].before, 1 + 3); /* of ears_open(), what it wrote, its answer */
    ear_wait_counter(&e, 0, "hook_end_closed", 1);
    ck_assert_uint_eq(ear_counter(&e, 0, "err_type"), 11);
    finish(&s, &e);
    ck_assert_uint_eq(server_counter(&s, "closed_kicked"), 1);
    ck_assert_uint_eq(server_counter(&s, "push_targets"), 1);
}
END_TEST

Suite *push_users_suite(void)
{
    Suite *s = suite_create("push_users");
    TCase *c = itest_case(s, "bind", 40);
    tcase_add_loop_test(c, beside_the_others, 0, 2);
    tcase_add_loop_test(c, the_newest_stay, 0, 4);
    tcase_add_loop_test(c, the_older_ones_stay, 0, 3);
    tcase_add_test(c, bound_twice);
    c = itest_case(s, "races", 60);
    tcase_add_test(c, a_crowd_of_logins);
    tcase_add_test(c, an_old_end_never_unbinds_the_new_one);
    c = itest_case(s, "kicks", 40);
    tcase_add_test(c, a_user_is_kicked);
    tcase_add_loop_test(c, the_bound_function_acts, 0, 3);
    tcase_add_loop_test(c, kicked_by_itself, 0, 2);
    tcase_add_test(c, the_hook_of_a_kick);
    return s;
}
