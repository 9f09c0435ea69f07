/*
 * test_bus_nats_owners.c: whose a user and a node's name is, over NATS, with JetStream and without.
 */
#include "nats_lab.h"

#ifdef MARIO_WITH_NATS

#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

#include "mario/base/clock.h"
#include "mario/mario_push.h"

/* ---- Owners ---- */

/* Goal: KICK_OLD: the newest is the owner, and the node of the former one is told; REFUSE_NEW: the first stays. */
START_TEST(owners)
{
    NLAB_NEEDS_ENGINE;
    static struct nlab_node a, b;
    nlab_begin(&(struct engine_options){.jetstream = true});
    nlab_node_up(&a, "a.x", 1);
    nlab_node_up(&b, "b.x", 2);
    ck_assert_int_eq(nlab_renew(&a), RENEWED_ANEW);
    ck_assert_int_eq(nlab_renew(&b), RENEWED_ANEW);
    ck_assert_int_eq(nlab_renew(&a), RENEWED);
    nlab_subscribe(&a, (struct channel){.kind = CHANNEL_NODE, .node = "a.x"});
    ck_assert_int_eq(nlab_claim(&a, 5, 100, MARIO_BIND_KICK_OLD, 1, false), CLAIM_OK);
    ck_assert_int_eq(nlab_claim(&b, 5, 200, MARIO_BIND_KICK_OLD, 1, false), CLAIM_OK);
    NLAB_UNTIL(a.messages, 1);
    ck_assert_str_eq(a.last, "4 0 a.x gone 1 100");
    ck_assert_int_eq(nlab_claim(&a, 5, 101, MARIO_BIND_REFUSE_NEW, 1, false), CLAIM_REFUSED);
    ck_assert_int_eq(nlab_claim(&a, 5, 101, MARIO_BIND_REFUSE_NEW, 2, false), CLAIM_OK);
    ck_assert_int_eq(nlab_claim(&a, 5, 102, MARIO_BIND_MANY, 2, false), CLAIM_REFUSED);
    ck_assert_int_eq(nlab_claim(&a, 5, 101, MARIO_BIND_REFUSE_NEW, 1, false), CLAIM_OK); /* it has been his */
    nlab_release(&b, 5, 200);
    nlab_flush(&b);
    ck_assert_int_eq(nlab_claim(&b, 5, 201, MARIO_BIND_REFUSE_NEW, 1, false), CLAIM_REFUSED);
    nlab_release(&a, 5, 101);
    ck_assert_int_eq(nlab_claim(&a, 5, 103, MARIO_BIND_REFUSE_NEW, 1, false), CLAIM_OK); /* in this order */
    nlab_release(&a, 5, 99);                                                             /* never was */
    nlab_flush(&a);
    ck_assert_int_eq(nlab_claim(&b, 5, 202, MARIO_BIND_KICK_OLD, 1, true), CLAIM_REFUSED);
    ck_assert_int_eq(nlab_claim(&b, 5, 202, MARIO_BIND_KICK_OLD, 2, true), CLAIM_OK);
    ck_assert_int_eq(nlab_claim(&a, 5, 104, MARIO_BIND_KICK_OLD, 2, false),
                     CLAIM_OK); /* the other one was put behind */
    ck_assert_int_eq(nlab_claim(&a, 5, 103, MARIO_BIND_REFUSE_NEW, 2, false), CLAIM_OK);
    nlab_end(&a, &b);
}
END_TEST

/* Goal: many at once over few users: exactly one owner each, though all were told OK in turn. */
START_TEST(at_the_same_time)
{
    NLAB_NEEDS_ENGINE;
    static struct nlab_node n[3];
    enum { USERS = 20, ROUNDS = 20 };
    nlab_begin(&(struct engine_options){.jetstream = true});
    static const char *const names[] = {"a", "b", "c"};
    for (unsigned i = 0; i < 3; i++) {
        nlab_node_up(&n[i], names[i], 1 + i);
        nlab_renew(&n[i]);
        nlab_subscribe(&n[i], (struct channel){.kind = CHANNEL_NODE, .node = names[i]});
    }
    for (uint64_t r = 0; r < ROUNDS; r++)
        for (unsigned i = 0; i < 3; i++)
            for (uint64_t u = 1; u <= USERS; u++) {
                struct owner me = {.epoch = 1 + i, .id = r + 1};
                snprintf(me.node, sizeof me.node, "%s", names[i]);
                bus_nats.claim(n[i].bus, u, &me, MARIO_BIND_KICK_OLD, 1, false, "g ", 2, r * USERS + u);
            }
    for (unsigned i = 0; i < 3; i++)
        NLAB_UNTIL(n[i].claimed_n, USERS * ROUNDS);
    unsigned ok = 0;
    for (unsigned i = 0; i < 3; i++)
        for (unsigned c = 1; c <= USERS * ROUNDS; c++)
            ok += n[i].claimed[c] == CLAIM_OK;
    ck_assert_uint_eq(ok, 3 * USERS * ROUNDS);
    /* each owner but the last of a user was told to go */
    uint64_t limit = clock_ms() + NLAB_MS;
    while (n[0].messages + n[1].messages + n[2].messages < ok - USERS && clock_ms() < limit)
        nlab_turn(5);
    nlab_turn(50);
    ck_assert_uint_eq(n[0].messages + n[1].messages + n[2].messages, ok - USERS);
    bus_nats.destroy(&n[2].bus);
    nlab_end(&n[0], &n[1]);
}
END_TEST

/* Goal: a dead node's owners are none: its record expires, or it comes back with another epoch. */
START_TEST(the_dead_own_nothing)
{
    NLAB_NEEDS_ENGINE;
    static struct nlab_node a, b, again;
    nlab_begin(&(struct engine_options){.jetstream = true});
    b.config.ttl_ms = again.config.ttl_ms = 1000; /* for all, from b on */
    nlab_node_up(&a, "a", 1);
    nlab_node_up(&b, "b", 2);
    nlab_renew(&a);
    nlab_renew(&b);
    ck_assert_int_eq(nlab_claim(&a, 5, 100, MARIO_BIND_REFUSE_NEW, 1, false), CLAIM_OK);
    ck_assert_int_eq(nlab_claim(&a, 6, 100, MARIO_BIND_REFUSE_NEW, 1, false), CLAIM_OK);
    ck_assert_int_eq(nlab_claim(&b, 5, 200, MARIO_BIND_REFUSE_NEW, 1, false), CLAIM_REFUSED);
    bus_nats.destroy(&a.bus); /* as by a kill: nothing is said */
    uint64_t limit = clock_ms() + NLAB_MS;
    while (nlab_claim(&b, 5, 200, MARIO_BIND_REFUSE_NEW, 1, false) != CLAIM_OK && clock_ms() < limit)
        nlab_turn(50);
    ck_assert_uint_lt(clock_ms(), limit);
    nlab_node_up(&again, "a", 3);
    ck_assert_int_eq(nlab_renew(&again), RENEWED_ANEW);
    ck_assert_int_eq(nlab_claim(&b, 6, 200, MARIO_BIND_REFUSE_NEW, 1, false), CLAIM_OK);
    ck_assert_int_eq(nlab_renew(&b), RENEWED_ANEW); /* it had expired, too */
    bus_nats.retire(b.bus);
    nlab_flush(&b);
    ck_assert_int_eq(nlab_claim(&again, 6, 300, MARIO_BIND_REFUSE_NEW, 1, false), CLAIM_OK);
    nlab_end(&b, &again);
}
END_TEST

/* Goal: of two nodes with one name the second is told so; whose socket is gone is taken over at once. */
static void one_name(bool jetstream)
{
    static struct nlab_node a, b;
    nlab_begin(&(struct engine_options){.jetstream = jetstream});
    nlab_node_up(&a, "same", 1);
    nlab_node_up(&b, "same", 2);
    int first = jetstream ? RENEWED_ANEW : RENEWED;
    ck_assert_int_eq(nlab_renew(&a), first);
    ck_assert_int_eq(nlab_renew(&b), RENEWED_TAKEN);
    ck_assert_int_eq(nlab_renew(&a), RENEWED);
    bus_nats.destroy(&a.bus);
    uint64_t limit = clock_ms() + 2000 * UNIT_SLOW;
    while (nlab_renew(&b) != first &&
           clock_ms() < limit) /* the server sees the socket's end a moment later */
        nlab_turn(5);
    ck_assert_uint_lt(clock_ms(), limit);
    nlab_end(&b, NULL);
}

START_TEST(one_name_with_jetstream)
{
    NLAB_NEEDS_ENGINE;
    one_name(true);
}
END_TEST

START_TEST(one_name_without)
{
    NLAB_NEEDS_ENGINE;
    one_name(false);
}
END_TEST

/* Goal: without JetStream claims fail at once, and that is said once. */
START_TEST(without_jetstream)
{
    NLAB_NEEDS_ENGINE;
    static struct nlab_node a;
    nlab_begin(NULL);
    nlab_node_up(&a, "a", 1);
    for (int i = 0; i < 3; i++) {
        ck_assert_int_eq(nlab_claim(&a, 5, 100, MARIO_BIND_KICK_OLD, 1, false), CLAIM_FAILED);
        ck_assert_int_eq(nlab_renew(&a), RENEWED);
    }
    nlab_release(&a, 5, 100);
    bus_nats.retire(a.bus);
    nlab_flush(&a);
    ck_assert_ptr_nonnull(strstr(a.why, "JetStream"));
    ck_assert_uint_eq(a.downs, 0);
    engine_kill(&nlab_engine);
    engine_restart(&nlab_engine);
    NLAB_UNTIL(a.ups, 2);
    ck_assert_int_eq(nlab_claim(&a, 5, 100, MARIO_BIND_KICK_OLD, 1, false), CLAIM_FAILED);
    ck_assert_uint_eq(a.refused, 1);
    nlab_end(&a, NULL);
}
END_TEST

/* Goal: a node of our name that is stopped, so that it is subscribed and does not answer, is there; who listens to
 * everything is not taken for it. */
START_TEST(one_name_silent)
{
    NLAB_NEEDS_ENGINE;
    static struct nlab_node a;
    nlab_begin(NULL);
    int fd = nlab_client("SUB > 1");
    nlab_node_up(&a, "a", 1);
    ck_assert_int_eq(nlab_renew(&a), RENEWED);
    bus_nats.destroy(&a.bus);
    close(fd);
    fd = nlab_client("SUB test/a:l:a 1");
    nlab_node_up(&a, "a", 2);
    ck_assert_int_eq(nlab_renew(&a), RENEWED_TAKEN);
    close(fd);
    nlab_end(&a, NULL);
}
END_TEST

/* Goal: of two that begin at the same time one gets the name. */
START_TEST(one_name_at_once)
{
    NLAB_NEEDS_ENGINE;
    static struct nlab_node a, b;
    nlab_begin(&(struct engine_options){.jetstream = _i == 0});
    nlab_node_up(&a, "same", 1);
    nlab_node_up(&b, "same", 2);
    bus_nats.renew(b.bus);
    bus_nats.renew(a.bus);
    uint64_t limit = clock_ms() + NLAB_MS;
    while ((a.renewed == NLAB_NOTHING || b.renewed == NLAB_NOTHING) && clock_ms() < limit)
        nlab_turn(2);
    ck_assert_int_ne(a.renewed == RENEWED_TAKEN, b.renewed == RENEWED_TAKEN);
    nlab_end(&a, &b);
}
END_TEST

/* Goal: records that somebody has removed, with their streams, are made again. */
START_TEST(streams_removed)
{
    NLAB_NEEDS_ENGINE;
    static struct nlab_node a;
    nlab_begin(&(struct engine_options){.jetstream = true});
    nlab_node_up(&a, "a", 1);
    ck_assert_int_eq(nlab_renew(&a), RENEWED_ANEW);
    close(nlab_client("PUB $JS.API.STREAM.DELETE.KV_test_da_owners 0\r\n\r\n"
                      "PUB $JS.API.STREAM.DELETE.KV_test_da_nodes 0\r\n"));
    ck_assert_int_eq(nlab_claim(&a, 1, 1, MARIO_BIND_KICK_OLD, 1, false), CLAIM_FAILED);
    nlab_flush(&a);
    ck_assert_int_eq(nlab_claim(&a, 1, 1, MARIO_BIND_KICK_OLD, 1, false), CLAIM_OK);
    ck_assert_int_eq(nlab_renew(&a), RENEWED_ANEW);
    nlab_end(&a, NULL);
}
END_TEST

Suite *bus_nats_owners_suite(void)
{
    Suite *s = suite_create("bus_nats_owners");
    TCase *c = unit_case(s, "nats", 30);
    tcase_add_test(c, owners);
    tcase_add_test(c, at_the_same_time);
    tcase_add_test(c, the_dead_own_nothing);
    tcase_add_test(c, one_name_with_jetstream);
    tcase_add_test(c, one_name_without);
    tcase_add_test(c, without_jetstream);
    tcase_add_test(c, one_name_silent);
    tcase_add_loop_test(c, one_name_at_once, 0, 2);
    tcase_add_test(c, streams_removed);
    return s;
}

#else

START_TEST(not_built)
{
    TEST_SKIP("built without libnats");
}
END_TEST

Suite *bus_nats_owners_suite(void)
{
    Suite *s = suite_create("bus_nats_owners");
    tcase_add_test(unit_case(s, "nats", 5), not_built);
    return s;
}

#endif
