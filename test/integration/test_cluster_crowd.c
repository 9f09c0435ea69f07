/*
 * test_cluster_crowd.c: a node with very many users dies, and they all come back on the others at the same moment.
 */
#include <inttypes.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "mario/mario_cluster.h"
#include "nodes.h"

#define UID UINT64_C(0x100000000)

/* 105,000 users in a plain build: each connection is seven of them, one after the other; on the node that dies, the
 * first one. */
enum {
    CONNECTIONS = 15000 / (ITEST_SLOW * ITEST_SLOW),
    USERS_EACH = 7,
    HALF = CONNECTIONS / 2,
    ASKED = 50,
    LONG_MS = 30000
};

/* Connection i of a node is all these users, the last one of them at the end. */
static uint64_t first_of(unsigned at, uint32_t i)
{
    return UID + (uint64_t) (at == 2 ? HALF + i : i) * USERS_EACH;
}

static uint64_t last_of(unsigned at, uint32_t i)
{
    return first_of(at, i) + USERS_EACH - 1;
}

static uint8_t asked[3][1 + CONNECTIONS]; /* logins of each connection of each node */

/* Each connection of a node logs in as its first user; it goes on with the next one when that is decided. */
static void log_in(struct nodes *n, unsigned at, uint32_t i)
{
    uint64_t uid = first_of(at, i - 1) + asked[at][i]++;
    ear_tell(&n->each[at].e, i, ORDERS({.kind = ORDER_BIND, .how = MARIO_BIND_KICK_OLD, .to = uid}), 1);
}

static void all_begin(struct nodes *n, unsigned at)
{
    for (uint32_t i = 1; i < n->each[at].e.count; i++)
        log_in(n, at, i);
}

/* True when each has logged in as so many. */
static bool all_go_on(struct nodes *n, unsigned at, uint32_t users)
{
    struct ears *e = &n->each[at].e;
    uint32_t done = 0;
    ears_turn(e, 1);
    for (uint32_t i = 1; i < e->count; i++) {
        const struct ear *r = &e->each[i];
        ITEST_ASSERT(r->fd >= 0 && r->last_called.refused == 0, "connection %u of n%u; see %s", i, at,
                     e->server->dir);
        done += r->called == users;
        if (r->called == asked[at][i] && r->called < users)
            log_in(n, at, i);
    }
    return done == e->count - 1;
}

static bool both_go_on(struct nodes *n)
{
    bool first = all_go_on(n, 1, USERS_EACH), second = all_go_on(n, 2, USERS_EACH);
    return first && second;
}

/* Goal: a hundred thousand users log in on two nodes at once, many of them those of a node that was killed, whose
 * logins still stand in the engine: all are in, none is in twice, everybody is reached from the other node. */
START_TEST(all_come_back_at_once)
{
    NODES_NEED(ENGINE_REDIS);
    struct nodes n;
    struct nodes_options o = {.ttl = 60, .args = {"server.connnum=8000"}};
    nodes_start(&n, ENGINE_REDIS, 0, 0, &o);
    n.count = 3;
    nodes_start_one(&n, 0, 1 + CONNECTIONS, &o);
    all_begin(&n, 0);
    for (uint64_t end = itest_deadline(LONG_MS); !all_go_on(&n, 0, 1);)
        ITEST_ASSERT(mono_ns() < end, "not all are in; see %s", n.each[0].s.dir);
    nodes_kill_one(&n, 0);
    nodes_start_one(&n, 1, 1 + HALF, &o);
    nodes_start_one(&n, 2, 1 + HALF, &o);
    all_begin(&n, 1);
    all_begin(&n, 2);
    for (uint64_t end = itest_deadline(LONG_MS); !both_go_on(&n);)
        ITEST_ASSERT(mono_ns() < end, "not all are in; see %s", n.each[1].s.dir);
    for (uint32_t k = 0; k < ASKED; k++) {
        uint32_t i = k * (HALF / ASKED);
        nodes_reach(&n, 1, ORDER_SEND_USER, last_of(2, i), 2, 1 + i);
        nodes_reach(&n, 2, ORDER_SEND_USER, last_of(1, i), 1, 1 + i);
        ck_assert_uint_eq(ear_ask_nodes(&n.each[1].e, 0, ORDER_ASK_USER, last_of(2, i)), 1);
        ck_assert_uint_eq(ear_ask_nodes(&n.each[1].e, 0, ORDER_ASK_USER, first_of(2, i)), 0);
    }
    for (unsigned at = 1; at < 3; at++) {
        ck_assert_uint_eq(ear_counter(&n.each[at].e, 0, "bound"), HALF * USERS_EACH);
        ck_assert_uint_eq(ear_counter(&n.each[at].e, 0, "cluster_dropped"), 0);
        ck_assert_uint_eq(ear_counter(&n.each[at].e, 0, "closed_replaced"), 0);
    }
    nodes_stop(&n);
}
END_TEST

Suite *cluster_crowd_suite(void)
{
    Suite *s = suite_create("cluster_crowd");
    TCase *c = itest_case(s, "crowd", 60);
    tcase_add_test(c, all_come_back_at_once);
    return s;
}
