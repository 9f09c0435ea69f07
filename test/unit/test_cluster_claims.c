/*
 * test_cluster_claims.c: binds that hold across nodes, between a bus and a house that are played (core_lab.h).
 */
#include "core_lab.h"

#include <string.h>

/* Goal: what the engine says of a bind is done here; a bind that ends is released. */
START_TEST(binds)
{
    clab_start_up();
    clab_order(MARIO_ROUTE_BIND, UID, 1, NULL);
    clab_order(MARIO_ROUTE_BIND, UID + 1, 2, NULL);
    clab_order(MARIO_ROUTE_BIND, UID + 2, 3, NULL);
    clab_turn();
    ck_assert_uint_eq(clab_bus.claims, 3);
    ck_assert_uint_eq(clab_house.dones, 0);
    cluster_events.claimed(NULL, clab_bus.claim[0].cookie, CLAIM_OK);
    cluster_events.claimed(NULL, clab_bus.claim[1].cookie, CLAIM_REFUSED);
    cluster_events.claimed(NULL, clab_bus.claim[2].cookie, CLAIM_FAILED);
    clab_turn();
    ck_assert(clab_house.done[0].what == DELIVER_BIND && clab_house.done[0].id == 1);
    ck_assert(clab_house.done[1].what == DELIVER_REFUSE && clab_house.done[1].id == 2);
    ck_assert(clab_house.done[2].what == DELIVER_BIND && clab_house.done[2].id == 3);
    ck_assert_uint_eq(clab_bus.claims, 4); /* the one that failed, again */
    ck_assert(clab_bus.claim[3].again && clab_bus.claim[3].id == 3);
    cluster_events.claimed(NULL, clab_bus.claim[3].cookie, CLAIM_REFUSED); /* somebody newer is there */
    clab_turn();
    ck_assert(clab_house.done[3].what == DELIVER_REPLACE && clab_house.done[3].id == 3);
    clab_order(MARIO_ROUTE_UNBIND, UID, 1, NULL);
    clab_order(MARIO_ROUTE_UNBIND, UID + 1, 2, NULL); /* was never ours */
    clab_turn();
    ck_assert_uint_eq(clab_bus.releases, 1);
    ck_assert_uint_eq(clab_bus.released[0], 1);
    cluster_teardown();
}
END_TEST

/* Goal: what is claimed to be the only one is said on the user's channel, so that those go, here and elsewhere, that
 * claimed nothing; not what may be one of several, nor what was claimed before. */
START_TEST(the_only_one)
{
    clab_start_up();
    clab_bus.outs = 0;
    clab_order(MARIO_ROUTE_BIND, UID, 1, NULL);
    clab_order(MARIO_ROUTE_BIND, UID + 1, 2, NULL);
    clab_house.order[clab_house.orders - 1].devices = 2;
    clab_order(MARIO_ROUTE_BIND, UID + 2, 3, NULL);
    clab_house.order[clab_house.orders - 1].how = MARIO_BIND_REFUSE_NEW;
    clab_turn();
    for (uint32_t i = 0; i < 3; i++)
        cluster_events.claimed(NULL, clab_bus.claim[i].cookie, CLAIM_OK);
    ck_assert_uint_eq(clab_bus.outs, 1);
    ck_assert(clab_bus.out[0].f.kind == FRAME_ALONE && clab_bus.out[0].f.key == UID);
    ck_assert(clab_bus.out[0].c.kind == CHANNEL_USER && clab_bus.out[0].c.key == UID);
    ck_assert_uint_eq(clab_house.alones, 1);
    ck_assert(clab_house.alone.key == UID && clab_house.alone.id == 1 && clab_house.alone.len == 0);
    ck_assert_uint_eq(clab_dones(DELIVER_BIND), 3);
    cluster_events.renewed(NULL, 0, RENEWED_ANEW);
    clab_turn();
    for (uint32_t i = 3; i < clab_bus.claims; i++)
        cluster_events.claimed(NULL, clab_bus.claim[i].cookie, CLAIM_OK);
    ck_assert_uint_eq(clab_bus.outs, 1);
    clab_user_comes(UID, 1);
    clab_confirm_all();
    clab_comes(&clab_to_user, (struct frame){.kind = FRAME_ALONE, .key = UID}, "", 0);
    clab_comes(&clab_to_user, (struct frame){.kind = FRAME_ALONE, .key = UID, .epoch = EPOCH}, "", 0);
    ck_assert_uint_eq(clab_house.alones, 2);
    ck_assert(clab_house.alone.key == UID && clab_house.alone.id == 0);
    cluster_teardown();
}
END_TEST

/* Goal: the answer to a claim that was released meanwhile is not the next one's. */
START_TEST(claims_have_numbers)
{
    clab_start_up();
    clab_order(MARIO_ROUTE_BIND, UID, 1, NULL);
    clab_turn();
    cluster_events.claimed(NULL, clab_bus.claim[0].cookie, CLAIM_OK);
    cluster_events.renewed(NULL, 0, RENEWED_ANEW);
    clab_turn();
    ck_assert(clab_bus.claims == 2 && clab_bus.claim[1].again);
    clab_order(MARIO_ROUTE_UNBIND, UID, 1, NULL);
    clab_order(MARIO_ROUTE_BIND, UID, 1, NULL);
    clab_turn();
    ck_assert_uint_eq(clab_bus.claims, 3);
    cluster_events.claimed(NULL, clab_bus.claim[1].cookie, CLAIM_REFUSED);
    cluster_events.claimed(NULL, clab_bus.claim[2].cookie, CLAIM_OK);
    ck_assert_uint_eq(clab_dones(DELIVER_REPLACE), 0);
    clab_order(MARIO_ROUTE_UNBIND, UID, 1, NULL);
    clab_turn();
    ck_assert_uint_eq(clab_bus.releases, 2);
    cluster_teardown();
}
END_TEST

/* Goal: while the engine is away binds are decided here, and claimed when it is back: those that it knew as such, new
 * ones as new ones; what was released meanwhile is released. */
START_TEST(binds_without_the_engine)
{
    clab_start_up();
    clab_order(MARIO_ROUTE_BIND, UID, 1, NULL);
    clab_order(MARIO_ROUTE_BIND, UID + 1, 2, NULL);
    clab_turn();
    cluster_events.claimed(NULL, clab_bus.claim[0].cookie, CLAIM_OK);
    cluster_events.claimed(NULL, clab_bus.claim[1].cookie, CLAIM_OK);
    clab_bus_goes();
    clab_order(MARIO_ROUTE_BIND, UID + 2, 3, NULL);
    clab_order(MARIO_ROUTE_UNBIND, UID, 1, NULL);
    clab_turn();
    ck_assert_uint_eq(clab_dones(DELIVER_BIND), 3);
    ck_assert_uint_eq(clab_bus.claims, 2);
    ck_assert_uint_eq(clab_bus.releases, 0);
    clab_bus_comes();
    ck_assert_uint_eq(clab_bus.releases, 1);
    ck_assert_uint_eq(clab_bus.claims, 4);
    for (unsigned i = 2; i < 4; i++) {
        ck_assert_int_eq(clab_bus.claim[i].again, clab_bus.claim[i].id == 2);
        cluster_events.claimed(NULL, clab_bus.claim[i].cookie, CLAIM_OK);
    }
    clab_turn();
    ck_assert_uint_eq(clab_house.dones, 3);
    cluster_events.renewed(NULL, 0, RENEWED_ANEW); /* it had forgotten us */
    clab_turn();
    ck_assert_uint_eq(clab_bus.claims, 6);
    ck_assert(clab_bus.claim[4].again && clab_bus.claim[5].again);
    cluster_teardown();
}
END_TEST

/* Goal: a release is said to an engine that comes back until it is certain that it has it. */
START_TEST(releases)
{
    clab_start_up();
    clab_order(MARIO_ROUTE_BIND, UID, 1, NULL);
    clab_turn();
    cluster_events.claimed(NULL, clab_bus.claim[0].cookie, CLAIM_OK);
    clab_order(MARIO_ROUTE_UNBIND, UID, 1, NULL);
    clab_turn();
    ck_assert_uint_eq(clab_bus.releases, 1);
    clab_bus_goes();
    clab_bus_comes();
    ck_assert_uint_eq(clab_bus.releases, 2);
    clab_later(10000); /* a heartbeat, whose answer comes behind it */
    cluster_events.renewed(NULL, 0, RENEWED);
    clab_bus_goes();
    clab_bus_comes();
    ck_assert_uint_eq(clab_bus.releases, 2);
    cluster_teardown();
}
END_TEST

/* Goal: a crowd is claimed some at a time, all are decided, in the order of each user. */
START_TEST(a_crowd_of_binds)
{
    enum { CROWD = 7900 };
    clab_start_up();
    for (uint64_t i = 0; i < CROWD; i++)
        clab_order(MARIO_ROUTE_BIND, 1 + i % 100, 1 + i, NULL);
    clab_turn();
    ck_assert_uint_eq(clab_bus.claims, 4096);
    for (uint32_t i = 0; i < CROWD; i++) {
        ck_assert_uint_eq(clab_bus.claim[i].id, i + 1);
        cluster_events.claimed(NULL, clab_bus.claim[i].cookie, CLAIM_OK);
        if (i == 0)
            clab_order(MARIO_ROUTE_BIND, 1, 1 + CROWD,
                       NULL); /* there is room for one, and the others were before it */
        if (i % 100 == 0)
            clab_turn();
    }
    clab_turn();
    ck_assert_uint_eq(clab_bus.claim[CROWD].id, 1 + CROWD);
    ck_assert_uint_eq(clab_house.dones, CROWD);
    for (uint32_t i = 0; i < CROWD; i++)
        UNIT_ASSERT(clab_house.done[i].id == i + 1);
    cluster_teardown();
}
END_TEST

Suite *cluster_claims_suite(void)
{
    Suite *s = suite_create("cluster_claims");
    TCase *c = unit_case(s, "binds", 20);
    tcase_add_test(c, binds);
    tcase_add_test(c, the_only_one);
    tcase_add_test(c, claims_have_numbers);
    tcase_add_test(c, binds_without_the_engine);
    tcase_add_test(c, releases);
    tcase_add_test(c, a_crowd_of_binds);
    return s;
}
