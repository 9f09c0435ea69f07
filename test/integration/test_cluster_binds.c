/*
 * test_cluster_binds.c: what a bind says of a user's other connections holds across nodes: the newest stay, or the
 * older ones, how many there may be; many at the same time; nodes that die or are stopped meanwhile; names of nodes.
 */
#include <signal.h>
#include <stdio.h>
#include <string.h>
#include <unistd.h>

#include "mario/mario_cluster.h"
#include "mario/mario_push.h"
#include "nodes.h"

#define UID UINT64_C(0xabcdef0123)

enum { LIFE = 2 + 2 * (ITEST_SLOW > 1) /* seconds: the shortest ttl that a busy machine allows */ };

#define START(n, count, ears, ...)                      \
    NODES_NEED((enum engine_kind) _i);                  \
    struct nodes n;                                     \
    nodes_start(&n, (enum engine_kind) _i, count, ears, \
                &(struct nodes_options){.engine = {.jetstream = _i == ENGINE_NATS}, __VA_ARGS__})

static void await_end(struct nodes *n, unsigned at, uint32_t i)
{
    ears_wait(&n->each[at].e, ear_has_ended, i, "it is replaced");
    ck_assert_int_eq(n->each[at].e.each[i].how, END_FIN);
}

/* Goal: a login on another node replaces the older one, to and fro; its end unbinds nobody: what is sent from anywhere
 * reaches the newest. */
START_TEST(the_newest_stays)
{
    enum { ROUNDS = 6 };
    START(n, 3, 2);
    ck_assert(nodes_bind(&n, 0, 1, UID, MARIO_BIND_KICK_OLD, 1));
    for (unsigned round = 1; round <= ROUNDS; round++) {
        unsigned new = round % 3, old = (round - 1) % 3;
        if (n.each[new].e.each[1].fd < 0)
            ear_reopen(&n.each[new].e, 1);
        ck_assert(nodes_bind(&n, new, 1, UID, MARIO_BIND_KICK_OLD, 1));
        await_end(&n, old, 1);
        nodes_reach(&n, old, ORDER_SEND_USER, UID, new, 1);
        ears_expect_bound(&n.each[old].e, 0, UID, 0);
        ck_assert_int_ge(n.each[new].e.each[1].fd, 0);
    }
    ck_assert_uint_eq(ear_counter(&n.each[0].e, 0, "closed_replaced"), 2);
    nodes_stop(&n);
}
END_TEST

/* Goal: of several devices the newest ones stay, wherever they are; the oldest of all goes. */
START_TEST(the_newest_devices_stay)
{
    enum { LOGINS = 9, DEVICES = 3 };
    START(n, 3, 1 + LOGINS);
    for (uint32_t i = 0; i < LOGINS; i++) {
        ck_assert(nodes_bind(&n, i * 2 % 3, 1 + i, UID, MARIO_BIND_KICK_OLD, DEVICES));
        if (i >= DEVICES)
            await_end(&n, (i - DEVICES) * 2 % 3, 1 + i - DEVICES);
    }
    for (uint32_t i = LOGINS - DEVICES; i < LOGINS; i++)
        nodes_reach(&n, (i + 1) % 3, ORDER_SEND_USER, UID, i * 2 % 3, 1 + i);
    ck_assert_uint_eq(ear_ask_nodes(&n.each[0].e, 0, ORDER_ASK_USER, UID), DEVICES);
    nodes_stop(&n);
}
END_TEST

/* Goal: the older ones stay, and who is refused stays unbound; when one of them goes, there is a place. */
START_TEST(the_older_ones_stay)
{
    static const struct {
        int how;
        uint32_t devices, stay;
    } cases[] = {{MARIO_BIND_REFUSE_NEW, 1, 1}, {MARIO_BIND_REFUSE_NEW, 2, 2}, {MARIO_BIND_MANY, 2, 2}};
    START(n, 3, 5);
    for (unsigned k = 0; k < sizeof cases / sizeof cases[0]; k++) {
        uint64_t uid = UID + k;
        for (uint32_t i = 0; i < 4; i++)
            ck_assert_int_eq(nodes_bind(&n, i % 3, 1 + i, uid, cases[k].how, cases[k].devices),
                             i < cases[k].stay);
        ear_close(&n.each[0].e, 1);
        ears_expect_bound(&n.each[0].e, 0, uid, 0);
        uint64_t end = itest_deadline(EAR_MS); /* its end is told on its own way */
        while (!nodes_bind(&n, 2, 3, uid, cases[k].how, cases[k].devices))
            ck_assert(mono_ns() < end);
        ck_assert(!nodes_bind(&n, 0, 4, uid, cases[k].how, cases[k].devices));
        for (unsigned at = 0; at < 3; at++) { /* fresh ones for the next */
            for (uint32_t i = 1; i < 5; i++)
                ear_reopen(&n.each[at].e, i);
        }
    }
    nodes_stop(&n);
}
END_TEST

/* How many of the ears 1 .. crowd of all nodes live; *at, *i: where one of them is. */
static unsigned left(const struct nodes *n, uint32_t crowd, unsigned *at, uint32_t *i)
{
    unsigned count = 0;
    for (unsigned k = 0; k < n->count; k++) {
        for (uint32_t j = 1; j <= crowd; j++) {
            if (n->each[k].e.each[j].fd >= 0)
                count++, *at = k, *i = j;
        }
    }
    return count;
}

/* Goal: a crowd on three nodes logs in as one user at the same moment, over and over: exactly one of it stays, and
 * hears what is sent to the user from each node. */
START_TEST(a_crowd_of_logins)
{
    enum { CROWD = 20 };
    START(n, 3, 1 + CROWD);
    for (unsigned round = 0; round < (ITEST_SLOW > 1 ? 2 : 5); round++) {
        unsigned at = 0;
        uint32_t i = 0;
        for (uint32_t j = 1; j <= CROWD; j++) {
            for (unsigned k = 0; k < 3; k++)
                ear_tell(&n.each[k].e, j,
                         ORDERS({.kind = ORDER_BIND, .how = MARIO_BIND_KICK_OLD, .to = UID, .number = 1}), 1);
        }
        uint64_t end = itest_deadline(EAR_MS);
        while (left(&n, CROWD, &at, &i) > 1) {
            ITEST_ASSERT(mono_ns() < end, "%u are left; see %s", left(&n, CROWD, &at, &i), n.each[0].s.dir);
            nodes_turn(&n);
        }
        for (unsigned k = 0; k < 3; k++)
            nodes_reach(&n, k, ORDER_SEND_USER, UID, at, i);
        ck_assert_uint_eq(left(&n, CROWD, &at, &i), 1);
        ck_assert_uint_eq(ear_ask_nodes(&n.each[0].e, 0, ORDER_ASK_USER, UID), 1);
        for (unsigned k = 0; k < 3; k++) {
            for (uint32_t j = 1; j <= CROWD; j++)
                ear_reopen(&n.each[k].e, j);
        }
    }
    nodes_stop(&n);
}
END_TEST

/* Goal: an end and a login elsewhere at the same moment: the end never takes the new one's place. */
START_TEST(an_end_never_unbinds_a_newer_one)
{
    START(n, 2, 2);
    ck_assert(nodes_bind(&n, 0, 1, UID, MARIO_BIND_KICK_OLD, 1));
    for (unsigned round = 1; round <= (ITEST_SLOW > 1 ? 20 : 100); round++) {
        unsigned new = round % 2, old = 1 - new;
        if (n.each[new].e.each[1].fd < 0)
            ear_reopen(&n.each[new].e, 1);
        n.each[new].e.each[1].called = 0;
        ear_tell(&n.each[new].e, 1,
                 ORDERS({.kind = ORDER_BIND, .how = MARIO_BIND_KICK_OLD, .to = UID, .number = 1}), 1);
        ear_close(&n.each[old].e, 1);
        while (n.each[new].e.each[1].called == 0) {
            ck_assert_int_ge(n.each[new].e.each[1].fd, 0);
            nodes_turn(&n);
        }
        ears_expect_bound(&n.each[old].e, 0, UID, 0);
        ears_expect_bound(&n.each[new].e, 0, UID, 1);
    }
    nodes_reach(&n, 1, ORDER_SEND_USER, UID, 0, 1); /* the rounds are even: it is there */
    ear_reopen(&n.each[1].e, 1);
    ck_assert(!nodes_bind(&n, 1, 1, UID, MARIO_BIND_REFUSE_NEW, 1)); /* and the engine knows it */
    nodes_stop(&n);
}
END_TEST

/* Goal: connections that are bound beside any others go, too, when a newer one is to be the only one; on its own node
 * and on others. Those that bind behind it stay; so do those that are beside several. */
START_TEST(those_beside_go_too)
{
    START(n, 3, 4);
    for (unsigned k = 0; k < 3; k++)
        ck_assert(nodes_bind(&n, k, 1, UID, MARIO_BIND_MANY, 0));
    ck_assert(nodes_bind(&n, 2, 2, UID + 1, MARIO_BIND_MANY, 0));
    for (unsigned k = 1; k < 3; k++) /* who is there, is subscribed */
        nodes_reach(&n, 0, ORDER_SEND_USER, UID, k, 1);
    nodes_reach(&n, 0, ORDER_SEND_USER, UID + 1, 2, 2);
    ck_assert(nodes_bind(&n, 0, 2, UID, MARIO_BIND_KICK_OLD, 1));
    for (unsigned k = 0; k < 3; k++)
        await_end(&n, k, 1);
    ck_assert(nodes_bind(&n, 0, 3, UID, MARIO_BIND_MANY, 0));
    ck_assert(nodes_bind(&n, 0, 3, UID, MARIO_BIND_KICK_OLD, 1)); /* the only one is itself */
    await_end(&n, 0, 2);
    ck_assert(nodes_bind(&n, 1, 2, UID + 1, MARIO_BIND_KICK_OLD, 2));
    ck_assert(nodes_bind(&n, 1, 3, UID + 1, MARIO_BIND_MANY, 0));
    nodes_reach(&n, 0, ORDER_SEND_USER, UID + 1, 2, 2);
    nodes_reach(&n, 1, ORDER_SEND_USER, UID, 0, 3);
    ck_assert_int_ge(n.each[0].e.each[3].fd, 0);
    ck_assert_int_ge(n.each[1].e.each[3].fd, 0);
    nodes_stop(&n);
}
END_TEST

/* Have ear 1 of node 0 bind to these users at once; until it is told of the last. */
static void bind_all(struct nodes *n, const uint64_t *uids, uint32_t count)
{
    struct test_order orders[8];
    struct ear *r = &n->each[0].e.each[1];
    uint64_t end = itest_deadline(EAR_MS), called = r->called + count;
    for (uint32_t i = 0; i < count; i++)
        orders[i] =
            (struct test_order){.kind = ORDER_BIND, .how = MARIO_BIND_KICK_OLD, .to = uids[i], .number = 1};
    ear_tell(&n->each[0].e, 1, orders, count);
    while (r->called < called) {
        ck_assert(mono_ns() < end);
        ck_assert_int_ge(r->fd, 0);
        nodes_turn(n);
    }
    ck_assert(r->last_called.uid == uids[count - 1] && r->last_called.refused == 0);
}

/* Goal: a connection that binds to one user after another without waiting is the last one's in the end, whichever
 * workers and engines are asked; the others' places are free. */
START_TEST(one_after_another)
{
    enum { ROUNDS = ITEST_SLOW > 1 ? 20 : 60, EACH = 5 };
    START(n, 2, 2);
    for (uint64_t round = 0; round < ROUNDS; round++) {
        uint64_t uids[EACH];
        for (uint64_t i = 0; i < EACH; i++)
            uids[i] = UID + round * EACH + i;
        bind_all(&n, uids, EACH);
        for (uint32_t i = 0; i < EACH; i++)
            ears_expect_bound(&n.each[0].e, 0, uids[i], i == EACH - 1);
    }
    nodes_stop(&n);
}
END_TEST

/* Goal: who goes from one user to another and back has him, and the engine knows, whenever the end of the first bind is
 * told. */
START_TEST(there_and_back)
{
    enum { ROUNDS = ITEST_SLOW > 1 ? 10 : 30 };
    START(n, 2, 2);
    for (uint64_t round = 0; round < ROUNDS; round++) {
        const uint64_t uids[] = {UID + 2 * round, UID + 2 * round + 1, UID + 2 * round};
        bind_all(&n, uids, 1);
        bind_all(&n, &uids[1], 2);
        ears_expect_bound(&n.each[0].e, 0, uids[1], 0);
        ears_expect_bound(&n.each[0].e, 0, uids[2], 1);
        ck_assert(!nodes_bind(&n, 1, 1, uids[2], MARIO_BIND_REFUSE_NEW, 1));
    }
    nodes_stop(&n);
}
END_TEST

/* ---- Nodes that die, and stand still ---- */

/* Goal: the users of a node that was killed log in elsewhere: who replaces the older one at once, who would be refused
 * when the dead node's time is over. */
START_TEST(after_a_node_was_killed)
{
    START(n, 2, 3, .heartbeat = 1, .ttl = LIFE);
    ck_assert(nodes_bind(&n, 0, 1, UID, MARIO_BIND_KICK_OLD, 1));
    ck_assert(nodes_bind(&n, 0, 2, UID + 1, MARIO_BIND_REFUSE_NEW, 1));
    ck_assert(!nodes_bind(&n, 1, 2, UID + 1, MARIO_BIND_REFUSE_NEW, 1));
    nodes_kill_one(&n, 0);
    uint64_t began = mono_ns();
    ck_assert(nodes_bind(&n, 1, 1, UID, MARIO_BIND_KICK_OLD, 1));
    while (!nodes_bind(&n, 1, 2, UID + 1, MARIO_BIND_REFUSE_NEW, 1))
        ck_assert_uint_lt(itest_ms_since(began), ITEST_SLOW * (LIFE * 1000 + 4000));
    ck_assert_uint_eq(ear_ask_nodes(&n.each[1].e, 0, ORDER_ASK_USER, UID), 1);
    nodes_stop(&n);
}
END_TEST

static bool one_has_left(const struct nodes *n, uint64_t at)
{
    return ear_counter((struct ears *) (uintptr_t) &n->each[at].e, 0, "event_left") > 0;
}

/* Goal: a node stands still for longer than its time and goes on. Its user has logged in elsewhere meanwhile: the newer
 * login stays, whatever the old node still has to say; the old connection closes, and the node is one of them again. */
START_TEST(a_node_stood_still)
{
    START(n, 2, 3, .heartbeat = 1, .ttl = LIFE);
    ck_assert(nodes_bind(&n, 0, 1, UID, MARIO_BIND_KICK_OLD, 1));
    ck_assert(nodes_bind(&n, 0, 2, UID + 1, MARIO_BIND_REFUSE_NEW, 1));
    nodes_wait_counter(&n, 1, "event_joined", 1);
    server_signal(&n.each[0].s, SIGSTOP);
    uint64_t end = itest_deadline(EAR_MS);
    while (!one_has_left(&n, 1)) {
        ck_assert(mono_ns() < end);
        ears_turn(&n.each[1].e, 20);
    }
    ck_assert(nodes_bind(&n, 1, 1, UID, MARIO_BIND_KICK_OLD, 1));
    while (!nodes_bind(&n, 1, 2, UID + 1, MARIO_BIND_REFUSE_NEW, 1))
        ck_assert(mono_ns() < end);
    server_signal(&n.each[0].s, SIGCONT);
    await_end(&n, 0, 1);
    await_end(&n, 0, 2);
    nodes_reach(&n, 0, ORDER_SEND_USER, UID, 1, 1);
    nodes_reach(&n, 0, ORDER_SEND_USER, UID + 1, 1, 2);
    ck_assert(n.each[1].e.each[1].fd >= 0 && n.each[1].e.each[2].fd >= 0);
    ear_reopen(&n.each[0].e, 1); /* it decides with the others again */
    ck_assert(!nodes_bind(&n, 0, 1, UID + 1, MARIO_BIND_REFUSE_NEW, 1));
    ck_assert(nodes_bind(&n, 0, 1, UID, MARIO_BIND_KICK_OLD, 1));
    await_end(&n, 1, 1);
    nodes_stop(&n);
}
END_TEST

/* ---- While there is no engine ---- */

/* Goal: binds are decided on each node alone while the engine is away; when it is there again they hold across. */
START_TEST(without_an_engine)
{
    START(n, 2, 3);
    ck_assert(nodes_bind(&n, 0, 1, UID, MARIO_BIND_KICK_OLD, 1));
    nodes_wait_counter(&n, 0, "event_up", 1);
    nodes_wait_counter(&n, 1, "event_up", 1);
    engine_kill(&n.engine);
    nodes_wait_counter(&n, 0, "event_down", 1);
    nodes_wait_counter(&n, 1, "event_down", 1);
    ck_assert(nodes_bind(&n, 1, 1, UID + 7, MARIO_BIND_REFUSE_NEW, 1));
    ck_assert(nodes_bind(&n, 0, 2, UID, MARIO_BIND_KICK_OLD, 1));
    await_end(&n, 0, 1);
    engine_restart(&n.engine);
    nodes_wait_counter(&n, 0, "event_up", 2);
    nodes_wait_counter(&n, 1, "event_up", 2);
    nodes_reach(&n, 0, ORDER_SEND_USER, UID + 7, 1, 1);
    uint64_t end = itest_deadline(EAR_MS); /* what was decided alone is said to the engine after it is up */
    ear_reopen(&n.each[0].e, 1);
    while (nodes_bind(&n, 0, 1, UID + 7, MARIO_BIND_REFUSE_NEW, 1)) {
        ck_assert(mono_ns() < end);
        ear_reopen(&n.each[0].e, 1);
    }
    ck_assert(nodes_bind(&n, 1, 2, UID, MARIO_BIND_KICK_OLD, 1));
    await_end(&n, 0, 2);
    nodes_stop(&n);
}
END_TEST

/* ---- Names ---- */

/* Goal: a second node of a name refuses to start, and says why; the first one never notices. One that was killed starts
 * again under its name at once, without waiting for its time to be over. */
START_TEST(names_are_unique)
{
    char err[2000];
    struct launch l;
    START(n, 2, 2, .heartbeat = 1, .ttl = 60);
    nodes_launch(&n, 0, &(struct nodes_options){.heartbeat = 1, .ttl = 60}, &l);
    ck_assert_int_eq(itest_run(&l, NULL, 0, err, sizeof err), 3);
    ck_assert_msg(strstr(err, "n0") != NULL, "it says: %s", err);
    ck_assert(nodes_bind(&n, 0, 1, UID, MARIO_BIND_KICK_OLD, 1));
    nodes_reach(&n, 1, ORDER_SEND_USER, UID, 0, 1);
    nodes_kill_one(&n, 0);
    nodes_start_one(&n, 0, 2, &(struct nodes_options){.heartbeat = 1, .ttl = 60});
    ck_assert(nodes_bind(&n, 0, 1, UID, MARIO_BIND_REFUSE_NEW, 1));
    nodes_reach(&n, 1, ORDER_SEND_USER, UID, 0, 1);
    nodes_stop_one(&n, 0);
    nodes_start_one(&n, 0, 2, NULL);
    nodes_stop(&n);
}
END_TEST

/* Goal: over NATS without JetStream there is nobody to ask who owns a user: it is said once, and each node decides
 * alone. */
START_TEST(nats_alone)
{
    NODES_NEED(ENGINE_NATS);
    struct nodes n;
    nodes_start(&n, ENGINE_NATS, 2, 2, NULL);
    ck_assert(nodes_bind(&n, 0, 1, UID, MARIO_BIND_KICK_OLD, 1));
    ck_assert(nodes_bind(&n, 1, 1, UID, MARIO_BIND_KICK_OLD, 1));
    nodes_reach(&n, 0, ORDER_SEND_USER, UID, 1, 1);
    ck_assert_int_ge(n.each[0].e.each[1].fd, 0);
    nodes_stop(&n);
}
END_TEST

Suite *cluster_binds_suite(void)
{
    Suite *s = suite_create("cluster_binds");
    TCase *c = itest_case(s, "who stays", 30);
    tcase_add_loop_test(c, the_newest_stays, 0, 2);
    tcase_add_loop_test(c, the_newest_devices_stay, 0, 2);
    tcase_add_loop_test(c, the_older_ones_stay, 0, 2);
    tcase_add_loop_test(c, a_crowd_of_logins, 0, 2);
    tcase_add_loop_test(c, an_end_never_unbinds_a_newer_one, 0, 2);
    tcase_add_loop_test(c, those_beside_go_too, 0, 2);
    tcase_add_loop_test(c, one_after_another, 0, 2);
    tcase_add_loop_test(c, there_and_back, 0, 2);
    c = itest_case(s, "bad days", 40);
    tcase_add_loop_test(c, after_a_node_was_killed, 0, 2);
    tcase_add_loop_test(c, a_node_stood_still, 0, 2);
    tcase_add_loop_test(c, without_an_engine, 0, 2);
    tcase_add_loop_test(c, names_are_unique, 0, 2);
    tcase_add_test(c, nats_alone);
    return s;
}
