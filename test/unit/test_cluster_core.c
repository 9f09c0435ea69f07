/*
 * test_cluster_core.c: the core of a node between a bus and a house that are played (core_lab.h): what it says to the
 * one, what it does with the other, and what it counts.
 */
#include "core_lab.h"

#include <malloc.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

/* ---- Interest ---- */

/* Goal: a channel is subscribed while somebody is here and linger longer, and who comes back within costs nothing. */
START_TEST(interest_follows)
{
    clab_start_up();
    clab_user_comes(UID, 1);
    ck_assert_uint_eq(clab_bus.saids, 1);
    ck_assert(clab_bus.said[0].kind == CHANNEL_USER && clab_bus.said[0].key == UID);
    ck_assert_int_eq(clab_stat("cluster_subscriptions"), 1);
    clab_user_comes(UID, 0);
    clab_later(1900);
    clab_user_comes(UID, 1);
    clab_later(5000);
    ck_assert_uint_eq(clab_bus.saids, 1);
    ck_assert_uint_eq(clab_bus.lefts, 0);
    clab_user_comes(UID, 0);
    clab_later(1500);
    clab_user_comes(UID, 1);
    clab_user_comes(UID, 0);
    clab_later(1999);
    ck_assert_uint_eq(clab_bus.lefts, 0);
    clab_later(1);
    ck_assert_uint_eq(clab_bus.lefts, 1);
    ck_assert_int_eq(clab_stat("cluster_subscriptions"), 0);
    cluster_teardown();
}
END_TEST

/* Goal: an engine that comes back hears of all again, and the gap is open from when it was heard of last until it has
 * confirmed the last one; once. */
START_TEST(a_gap)
{
    enum { USERS = 5000 };
    clab_start_up();
    clab_house.users[1] = 1;
    for (uint64_t i = 0; i < USERS; i++)
        clab_order(MARIO_ROUTE_USER, 1 + 16 * i, 0, NULL);
    clab_turn();
    ck_assert_uint_eq(clab_bus.saids, USERS);
    clab_confirm_all();
    clab_later(7000);
    clab_bus_goes();
    ck_assert_uint_eq(clab_events(MARIO_CLUSTER_DOWN), 1);
    clab_later(500);
    clab_bus_comes();
    ck_assert_uint_eq(clab_bus.saids, USERS + 2);
    uint32_t last = --clab_bus.saids;
    clab_later(100);
    for (uint32_t i = 0; i < last; i++)
        cluster_events.subscribed(NULL, 0, &clab_bus.said[i]);
    clab_turn();
    ck_assert_uint_eq(clab_events(MARIO_CLUSTER_GAP), 0);
    cluster_events.subscribed(NULL, 0, &clab_bus.said[last]);
    clab_turn();
    ck_assert_uint_eq(clab_events(MARIO_CLUSTER_GAP), 1);
    ck_assert_uint_eq(clab_events(MARIO_CLUSTER_UP), 2);
    ck_assert_int_eq(clab_stat("cluster_gaps"), 1);
    ck_assert_int_eq(clab_stat("cluster_reconnects"), 1);
    const struct mario_cluster_event *e = &clab_house.event[clab_house.events - 2];
    ck_assert(e->what == MARIO_CLUSTER_GAP && e->to_ms - e->from_ms >= 7600);
    cluster_teardown();
}
END_TEST

/* Goal: while channels are said again users come and go; none is forgotten, none is said twice. */
START_TEST(coming_and_going_in_a_gap)
{
    enum { USERS = 3000 };
    clab_start_up();
    clab_house.users[1] = 1;
    for (uint64_t i = 0; i < USERS; i++)
        clab_order(MARIO_ROUTE_USER, 1 + 16 * i, 0, NULL);
    clab_turn();
    clab_confirm_all();
    clab_bus_goes();
    clab_bus.is_up = true;
    cluster_events.up(NULL, 0);
    cluster.set.linger_ms = cluster.interests.linger_ms = 0;
    clab_house.users[2] = 1;
    clab_house.users[1] = 0;
    for (uint64_t i = 0; i < USERS / 2; i++) {
        clab_order(MARIO_ROUTE_USER, 2 + 16 * i, 0, NULL);
        clab_order(MARIO_ROUTE_USER, 1 + 16 * i, 0, NULL);
    }
    clab_house.users[1] = 1;
    clab_house.users[3] = 1;
    clab_order(MARIO_ROUTE_USER, 3, 0, NULL);
    clab_turn();
    ck_assert_uint_eq(clab_bus.saids, 2 + USERS + USERS / 2 + 1);
    clab_confirm_all();
    ck_assert_uint_eq(clab_events(MARIO_CLUSTER_GAP), 1);
    cluster_teardown();
}
END_TEST

/* Goal: channels are left between two slices of saying them again, so others move in the table: none is missed. */
START_TEST(leaving_between_slices)
{
    enum { USERS = 3000 };
    clab_start_up();
    cluster.interests.linger_ms = 0;
    for (uint64_t uid = 1; uid <= USERS; uid++) {
        clab_house.users[uid % 16] = 1;
        clab_order(MARIO_ROUTE_USER, uid, 0, NULL);
    }
    clab_turn();
    clab_confirm_all();
    clab_bus_goes();
    clab_bus.is_up = true;
    interest_up(&cluster.interests, 0);
    memset(clab_house.users, 0, sizeof clab_house.users);
    for (unsigned i = 0; interest_walk(&cluster.interests, 0, 2); i++) {
        UNIT_ASSERT(i < 2 * USERS);
        uint32_t cursor = cluster.interests.part[0].cursor;
        const struct interest *at =
            map_at(&cluster.interests.map, cursor - 1); /* the one that was said last */
        if (at != NULL && at->kind == CHANNEL_USER)
            (void) interest_look(&cluster.interests, CHANNEL_USER, at->key, cluster_ms());
        interest_expire(&cluster.interests, cluster_ms());
    }
    for (uint32_t i = 0; i < clab_bus.saids; i++)
        cluster_events.subscribed(NULL, 0, &clab_bus.said[i]);
    ck_assert(interest_is_ready(&cluster.interests, 0));
    cluster_teardown();
}
END_TEST

/* Goal: without memory for a channel that is counted and said, once; when there is some again the next who comes is
 * heard. */
START_TEST(no_memory_for_channels)
{
    enum { USERS = 3000 };
    clab_start_up();
    clab_house.users[1] = 1;
    for (uint64_t i = 0; i < USERS; i++)
        clab_order(MARIO_ROUTE_USER, 1 + 16 * i, 0, NULL);
    unit_heap_fail(0);
    clab_turn();
    unit_heap_heal();
    int64_t unheard = clab_stat("cluster_unheard");
    ck_assert_int_gt(unheard, 0);
    ck_assert_uint_eq(clab_bus.saids + (uint64_t) unheard, USERS);
    ck_assert_uint_eq(clab_events(MARIO_CLUSTER_REFUSED), 1);
    clab_order(MARIO_ROUTE_USER, 1 + 16 * (USERS - 1), 0, NULL);
    clab_turn();
    ck_assert_uint_eq(clab_bus.saids + (uint64_t) unheard, USERS + 1);
    cluster_teardown();
}
END_TEST

/* ---- Sending ---- */

/* Goal: each message goes to its channel once, in order, with its marks, and is counted when the engine has
 * answered. */
START_TEST(sending)
{
    clab_start_up();
    clab_bus.outs = 0;
    struct mario_msg *m = mario_msg_packet(9, "one", 3);
    mario_msg_key(m, 5);
    mario_msg_keep(m);
    clab_order(MARIO_ROUTE_SEND_USER, UID, 0, m);
    clab_order(MARIO_ROUTE_SEND_GROUP, GROUP, 3, clab_text("two"));
    clab_order(MARIO_ROUTE_SEND_ALL, 0, 0, clab_text("three"));
    clab_order(MARIO_ROUTE_KICK_USER, UID, 0, NULL);
    clab_turn();
    ck_assert_uint_eq(clab_bus.outs, 4);
    const struct clab_told *t = clab_bus.out;
    ck_assert(t[0].c.kind == CHANNEL_USER && t[0].c.key == UID && t[0].f.kind == FRAME_USER &&
              t[0].f.msg_key == 5);
    ck_assert(t[0].f.packets && !t[1].f.packets && !t[2].f.packets && !t[3].f.packets);
    ck_assert(t[0].f.flags & FRAME_KEEP && t[0].f.epoch == EPOCH && memcmp(t[0].body + 8, "one", 3) == 0);
    ck_assert(t[1].c.kind == CHANNEL_GROUP && t[1].f.kind == FRAME_GROUP && t[1].f.key == GROUP);
    ck_assert(t[2].c.kind == CHANNEL_ALL && t[2].f.kind == FRAME_ALL);
    ck_assert(t[3].f.kind == FRAME_KICK_USER && t[3].f.seq == t[0].f.seq + 1 && t[3].f.len == 0);
    ck_assert_int_eq(clab_stat("cluster_published"), 0);
    for (unsigned i = 0; i < 3; i++)
        cluster_events.published(NULL, t[i].cookie, 1);
    cluster_events.published(NULL, t[3].cookie, -1);
    clab_turn();
    ck_assert_int_eq(clab_stat("cluster_published"), 3);
    ck_assert_int_eq(clab_stat("cluster_dropped"), 1);
    ck_assert_int_eq(clab_stat("cluster_nobody"), 0);
    cluster_teardown();
}
END_TEST

static uint32_t sent_to_users(void)
{
    uint32_t n = 0;
    for (uint32_t i = 0; i < clab_bus.outs; i++)
        n += clab_bus.out[i].f.kind == FRAME_USER;
    return n;
}

/* Goal: what the bus has no room for, or is not there for, waits in order up to cluster.queue bytes; what does not fit
 * is dropped and counted. When the bus comes back it goes out behind the time that the other nodes have to subscribe
 * again. */
START_TEST(waiting_for_the_bus)
{
    enum { COUNT = 1500, FIT = QUEUE / (64 + 8) };
    char name[16];
    clab_start_up();
    clab_bus.outs = 0;
    clab_bus.room = 10;
    for (unsigned i = 0; i < COUNT; i++) {
        snprintf(name, sizeof name, "%08u", i);
        clab_order(MARIO_ROUTE_SEND_USER, UID, 0, clab_text(name));
    }
    clab_turn();
    ck_assert_uint_eq(clab_bus.outs, 10);
    ck_assert_int_eq(clab_stat("cluster_dropped"), COUNT - 10 - FIT);
    clab_bus.room = 1;
    clab_order(MARIO_ROUTE_SEND_USER, UID, 0, clab_text("none overtakes"));
    clab_turn();
    ck_assert_uint_eq(clab_bus.outs, 10);
    clab_bus_goes();
    clab_bus.room = UINT32_MAX;
    clab_bus_is_back();
    clab_later(CLAB_GATE_MS - 1);
    ck_assert_uint_eq(sent_to_users(), 10); /* the others may not be back */
    clab_later(1);
    for (unsigned i = 0, n = 0; i < clab_bus.outs; i++) {
        if (clab_bus.out[i].f.kind != FRAME_USER)
            continue;
        snprintf(name, sizeof name, "%08u", n++);
        ck_assert(memcmp(clab_bus.out[i].body, name, 8) == 0);
        ck_assert_uint_eq(clab_bus.out[i].f.seq, n);
        ck_assert_uint_eq(n, i + 1);
    }
    ck_assert_uint_eq(clab_bus.outs, 10 + FIT);
    cluster_teardown();
}
END_TEST

/* Goal: a user is nobody's if the engine knows of no other node; who sent with a receipt is told. */
START_TEST(nobody)
{
    clab_start_up();
    clab_bus.outs = 0;
    struct mario_msg *m = clab_text("x");
    mario_msg_receipt(m, 4242);
    clab_order(MARIO_ROUTE_SEND_USER, UID, 0, m);
    clab_order(MARIO_ROUTE_SEND_USER, UID, 0, clab_text("y"));
    clab_order(MARIO_ROUTE_SEND_USER, UID, 0, clab_text("z"));
    clab_turn();
    cluster_events.published(NULL, clab_bus.out[0].cookie, 0);
    cluster_events.published(NULL, clab_bus.out[1].cookie, 0);
    cluster_events.published(NULL, clab_bus.out[2].cookie, 1);
    clab_turn();
    ck_assert_int_eq(clab_stat("cluster_nobody"), 2);
    ck_assert_uint_eq(clab_events(MARIO_CLUSTER_NOBODY), 1);
    ck_assert_uint_eq(clab_house.event[clab_house.events - 1].tag, 4242);
    clab_user_comes(UID, 1);
    clab_confirm_all();
    clab_user_comes(UID, 0); /* lingers: the engine counts us */
    clab_bus.outs = 0;
    clab_order(MARIO_ROUTE_SEND_USER, UID, 0, clab_text("x"));
    clab_order(MARIO_ROUTE_SEND_USER, UID, 0, clab_text("x"));
    clab_turn();
    cluster_events.published(NULL, clab_bus.out[0].cookie, 1);
    cluster_events.published(NULL, clab_bus.out[1].cookie, 2);
    clab_turn();
    ck_assert_int_eq(clab_stat("cluster_nobody"), 3);
    cluster_teardown();
}
END_TEST

/* ---- What comes ---- */

/* Goal: each goes to those here once; what we sent, what was here before, what belongs elsewhere does not. */
START_TEST(receiving)
{
    clab_start_up();
    clab_user_comes(UID, 1);
    clab_confirm_all();
    clab_comes(&clab_to_user, (struct frame){.kind = FRAME_USER, .key = UID, .seq = 5}, "hello", 5);
    ck_assert_uint_eq(clab_dones(DELIVER_USER), 1);
    ck_assert_uint_eq(clab_house.done[0].len, 5);
    clab_comes(&clab_to_user, (struct frame){.kind = FRAME_USER, .key = UID, .seq = 5}, "hello", 5);
    clab_comes(&clab_to_user, (struct frame){.kind = FRAME_USER, .key = UID, .seq = 6, .epoch = EPOCH}, "own",
               3);
    ck_assert_uint_eq(clab_house.dones, 1);
    clab_comes(&clab_to_user, (struct frame){.kind = FRAME_KICK_USER, .key = UID, .seq = 8, .reason = 3}, "",
               0);
    ck_assert_uint_eq(clab_dones(DELIVER_KICK), 1);
    ck_assert_int_eq(clab_stat("cluster_lost"), 2);
    ck_assert_int_eq(clab_stat("cluster_received"), 2);
    ck_assert_int_eq(clab_stat("cluster_garbage"), 0);
    clab_comes(&clab_to_user, (struct frame){.kind = FRAME_USER, .key = UID + 1, .seq = 9}, "x", 1);
    clab_comes(&clab_to_user, (struct frame){.kind = FRAME_ANSWER, .key = UID, .seq = 9}, "12345678", 8);
    cluster_events.message(NULL, 0, &clab_to_user, "garbage", 7);
    cluster_events.garbage(NULL);
    clab_turn();
    ck_assert_int_eq(clab_stat("cluster_garbage"), 4);
    ck_assert_uint_eq(clab_house.dones, 2);
    clab_comes(&clab_to_node, (struct frame){.kind = FRAME_REPLACED, .key = UID, .epoch = EPOCH}, "77 12", 5);
    clab_comes(&clab_to_node, (struct frame){.kind = FRAME_REPLACED, .key = UID}, "78 13", 5);
    ck_assert_uint_eq(clab_dones(DELIVER_REPLACE), 1);
    ck_assert_uint_eq(clab_house.done[2].id, 12);
    cluster_teardown();
}
END_TEST

/* Goal: what is made of packets is so here too, a last message as well; and a node of before there were any is
 * heard. */
START_TEST(packets_come)
{
    static const unsigned char former[] = {'M', 1, FRAME_USER, 0, 0, 0, 0,   0,   98,  0,   0,   0,  0,
                                           0,   0, 0,          1, 0, 0, 0,   0,   0,   0,   0,   0,  0,
                                           0,   0, 0,          0, 0, 0, 'f', 'o', 'r', 'm', 'e', 'r'};
    unsigned char by_hand[sizeof former];
    memcpy(by_hand, former, sizeof former);
    frame_put64(by_hand + 24, UID);
    clab_start_up();
    clab_user_comes(UID, 1);
    clab_confirm_all();
    struct mario_msg *m = mario_msg_packet(9, "data", 4);
    struct mario_msg_info p;
    mario_msg_info(m, &p);
    clab_comes(&clab_to_user, (struct frame){.kind = FRAME_USER, .key = UID, .seq = 1, .packets = true},
               p.bytes, p.len);
    clab_comes(&clab_to_user, (struct frame){.kind = FRAME_USER, .key = UID, .seq = 2}, p.bytes, p.len);
    clab_comes(&clab_to_user, (struct frame){.kind = FRAME_KICK_USER, .key = UID, .seq = 3, .packets = true},
               p.bytes, p.len);
    mario_msg_free(&m);
    cluster_events.message(NULL, 0, &clab_to_user, by_hand, sizeof by_hand);
    clab_turn();
    const struct clab_done *d = clab_house.done;
    ck_assert_uint_eq(clab_house.dones, 4);
    ck_assert(d[0].packets && !d[1].packets && d[2].packets && d[2].what == DELIVER_KICK);
    ck_assert(!d[3].packets && d[3].len == 6 && d[3].what == DELIVER_USER);
    ck_assert_int_eq(clab_stat("cluster_garbage"), 0);
    cluster_teardown();
}
END_TEST

/* Goal: a node that speaks another version is counted, and somebody is told of it, once a minute; anybody's bytes are
 * counted alone. */
START_TEST(another_version)
{
    static const unsigned char none[64] = {'N', 2, 1};
    static const unsigned char later[64] = {'M', 2, 1};
    clab_start_up();
    cluster_events.message(NULL, 0, &clab_to_all, none, sizeof none);
    cluster_events.message(NULL, 0, &clab_to_all, later, 31);
    clab_turn();
    ck_assert_uint_eq(clab_events(MARIO_CLUSTER_REFUSED), 0);
    for (int i = 0; i < 3; i++)
        cluster_events.message(NULL, 0, &clab_to_all, later, sizeof later);
    clab_turn();
    ck_assert_uint_eq(clab_events(MARIO_CLUSTER_REFUSED), 1);
    clab_later(61000);
    cluster_events.message(NULL, 0, &clab_to_all, later, sizeof later);
    clab_turn();
    ck_assert_uint_eq(clab_events(MARIO_CLUSTER_REFUSED), 2);
    ck_assert_int_eq(clab_stat("cluster_garbage"), 6);
    ck_assert_uint_eq(clab_house.dones, 0);
    cluster_teardown();
}
END_TEST

/* Goal: a full ring to a worker: messages wait in order, not for ever; decisions only for their own worker. */
START_TEST(rings_are_full)
{
    clab_start_up();
    clab_user_comes(UID, 1);
    clab_confirm_all();
    clab_house.stuck = 1 + 3;
    clab_comes(&clab_to_user, (struct frame){.kind = FRAME_USER, .key = UID, .seq = 1}, "a", 1);
    clab_comes(&clab_to_user, (struct frame){.kind = FRAME_USER, .key = UID, .seq = 2}, "bb", 2);
    for (uint64_t i = 0; i < 6; i++)
        clab_order(MARIO_ROUTE_BIND, UID + i, (i % 2 ? UINT64_C(3) : 2) << 56 | (i + 1), NULL);
    clab_turn();
    for (uint32_t i = 0; i < 6; i++)
        cluster_events.claimed(NULL, clab_bus.claim[i].cookie, CLAIM_OK);
    clab_later(1);
    ck_assert_uint_eq(clab_dones(DELIVER_BIND), 3);
    ck_assert_uint_eq(clab_dones(DELIVER_USER), 0);
    clab_house.stuck = 0;
    clab_house.dones = 0;
    clab_comes(&clab_to_user, (struct frame){.kind = FRAME_USER, .key = UID, .seq = 3}, "ccc", 3);
    ck_assert_uint_eq(clab_dones(DELIVER_BIND), 3);
    ck_assert_uint_eq(clab_dones(DELIVER_USER), 3);
    for (uint32_t i = 0; i < 3; i++)
        ck_assert(clab_house.done[i].what == DELIVER_USER && clab_house.done[i].len == i + 1);
    clab_house.dones = 0;
    clab_house.stuck = 1;
    clab_comes(&clab_to_user, (struct frame){.kind = FRAME_USER, .key = UID, .seq = 4}, "d", 1);
    clab_later(249);
    clab_house.stuck = 0;
    clab_later(1);
    ck_assert_uint_eq(clab_dones(DELIVER_USER), 1);
    clab_house.stuck = 1;
    clab_comes(&clab_to_user, (struct frame){.kind = FRAME_USER, .key = UID, .seq = 5}, "d", 1);
    clab_later(251);
    clab_house.stuck = 0;
    clab_later(1);
    ck_assert_uint_eq(clab_dones(DELIVER_USER), 1);
    ck_assert_int_eq(clab_stat("cluster_lost"), 1);
    cluster_teardown();
}
END_TEST

/* ---- Questions, nodes ---- */

static void on_count(void *arg, uint64_t n)
{
    *(uint64_t *) arg = n;
}

static void ask_about(uint64_t uid, uint64_t *n)
{
    struct ask_wish *wish = calloc(1, sizeof *wish);
    *wish = (struct ask_wish){.f = on_count, .arg = n};
    clab_house.order[clab_house.orders++] =
        (struct mario_route_order){.kind = CORE_ASK, .how = CHANNEL_USER, .key = uid, .id = (uintptr_t) wish};
    clab_turn();
}

static void ask(uint64_t *n)
{
    ask_about(UID, n);
}

static void answer(const struct clab_told *t, uint64_t n)
{
    unsigned char count[8];
    frame_put64(count, n);
    clab_comes(&clab_to_node, (struct frame){.kind = FRAME_ANSWER, .seq = t->f.seq, .key = t->f.key}, count,
               8);
}

/* Goal: a question is answered when all who heard it have, or after half a second by what is known; and so are those of
 * others. */
START_TEST(questions)
{
    uint64_t n[3] = {99, 99, 99};
    clab_start_up();
    clab_house.users[UID % 16] = 2;
    clab_bus.outs = 0;
    ask(&n[0]);
    ask(&n[1]);
    ck_assert_uint_eq(clab_bus.outs, 1);
    ck_assert(clab_bus.out[0].f.kind == FRAME_ASK && clab_bus.out[0].c.key == UID);
    answer(&clab_bus.out[0], 3);
    cluster_events.published(NULL, clab_bus.out[0].cookie, 2);
    ck_assert_uint_eq(n[0], 99);
    answer(&clab_bus.out[0], 4);
    ck_assert_uint_eq(n[0], 9);
    ck_assert_uint_eq(n[1], 9);
    answer(&clab_bus.out[0], 4); /* too late */
    ask(&n[2]);
    cluster_events.published(NULL, clab_bus.out[1].cookie, 2);
    answer(&clab_bus.out[1], 5);
    clab_later(499);
    ck_assert_uint_eq(n[2], 99);
    clab_later(2);
    ck_assert_uint_eq(n[2], 7);
    clab_comes(&clab_to_user, (struct frame){.kind = FRAME_ASK, .seq = 31, .key = UID}, "there", 5);
    ck_assert(clab_bus.out[2].f.kind == FRAME_ANSWER && clab_bus.out[2].f.count == 2 &&
              clab_bus.out[2].f.seq == 31);
    cluster_teardown();
}
END_TEST

/* Goal: many questions at the same time, about users and of others about the same ones: each is answered once, some
 * soon and in another order, the rest when its time is up. */
START_TEST(many_questions)
{
    enum { KEYS = 24, TWICE = 2 };
    uint64_t n[TWICE][KEYS];
    memset(n, 0xff, sizeof n);
    clab_start_up();
    clab_bus.outs = 0;
    for (uint64_t i = 0; i < KEYS; i++) {
        ask_about(UID + i, &n[0][i]);
        ask_about(UID + i, &n[1][i]);
        clab_later(10);
    }
    ck_assert_uint_eq(clab_bus.outs, KEYS);
    for (int i = KEYS - 1; i > 0; i -= 2) {
        cluster_events.published(NULL, clab_bus.out[i].cookie, 1);
        answer(&clab_bus.out[i], (uint64_t) i);
    }
    for (uint64_t i = 0; i < KEYS; i++)
        ck_assert_uint_eq(n[0][i], i % 2 == 1 ? i : UINT64_MAX);
    clab_later(501 - 10 * KEYS); /* the first one's time is up */
    ck_assert_uint_eq(n[0][0], 0);
    ck_assert_uint_eq(n[0][KEYS - 2], UINT64_MAX);
    clab_later(10 * KEYS);
    for (uint64_t i = 0; i < KEYS; i++) {
        ck_assert_uint_eq(n[0][i], i % 2 == 1 ? i : 0);
        ck_assert_uint_eq(n[1][i], n[0][i]);
    }
    cluster_teardown();
}
END_TEST

/* Goal: what was asked and answered leaves nothing behind, however many keys there were. */
START_TEST(no_end_of_questions)
{
    enum { KEYS = 6000, FIRST = 100 };
    size_t before = 0;
    clab_start_up();
    clab_bus.outs = 0;
    for (uint64_t i = 0; i < KEYS; i++) {
        uint64_t n = 99;
        ask_about(UID + i, &n);
        cluster_events.published(NULL, clab_bus.out[i].cookie, 0);
        ck_assert_uint_eq(n, 0);
        if (i == FIRST)
            before = mallinfo2().uordblks;
    }
    ck_assert_uint_le(mallinfo2().uordblks, before + 20000);
    cluster_teardown();
}
END_TEST

/* Goal: nodes join by a sign of life, and leave by a word or by none for the ttl; not while the engine is away. */
START_TEST(nodes)
{
    clab_start_up();
    clab_bus.outs = 0;
    clab_comes(&clab_to_all, (struct frame){.kind = FRAME_HEARTBEAT}, "a", 1);
    clab_comes(&clab_to_all, (struct frame){.kind = FRAME_HEARTBEAT}, "a", 1);
    ck_assert_uint_eq(clab_events(MARIO_CLUSTER_NODE_JOINED), 1);
    ck_assert(clab_bus.outs == 1 && clab_bus.out[0].f.kind == FRAME_HEARTBEAT &&
              clab_bus.out[0].c.kind == CHANNEL_NODE);
    clab_comes(&clab_to_all, (struct frame){.kind = FRAME_HEARTBEAT, .epoch = OTHER + 1}, "a",
               1); /* started again */
    ck_assert_uint_eq(clab_events(MARIO_CLUSTER_NODE_JOINED), 2);
    ck_assert_uint_eq(clab_events(MARIO_CLUSTER_NODE_LEFT), 1);
    clab_comes(&clab_to_all, (struct frame){.kind = FRAME_LEAVE, .epoch = OTHER + 1}, "a", 1);
    ck_assert_uint_eq(clab_events(MARIO_CLUSTER_NODE_LEFT), 2);
    clab_comes(&clab_to_all, (struct frame){.kind = FRAME_HEARTBEAT, .epoch = OTHER + 2}, "b", 1);
    clab_later(29000);
    clab_bus_goes();
    clab_later(60000);
    clab_bus_comes();
    clab_later(29000 - CLAB_GATE_MS);
    ck_assert_uint_eq(clab_events(MARIO_CLUSTER_NODE_LEFT), 2);
    clab_later(5000);
    ck_assert_uint_eq(clab_events(MARIO_CLUSTER_NODE_LEFT), 3);
    uint32_t renews = clab_bus.renews;
    clab_bus.outs = 0;
    clab_later(10000);
    ck_assert_uint_eq(clab_bus.renews, renews + 1);
    ck_assert(clab_bus.outs == 1 && clab_bus.out[0].f.kind == FRAME_HEARTBEAT &&
              clab_bus.out[0].c.kind == CHANNEL_ALL);
    cluster_teardown();
}
END_TEST

Suite *cluster_core_suite(void)
{
    Suite *s = suite_create("cluster_core");
    TCase *c = unit_case(s, "a node", 20);
    tcase_add_test(c, interest_follows);
    tcase_add_test(c, a_gap);
    tcase_add_test(c, coming_and_going_in_a_gap);
    tcase_add_test(c, leaving_between_slices);
    tcase_add_test(c, no_memory_for_channels);
    tcase_add_test(c, sending);
    tcase_add_test(c, waiting_for_the_bus);
    tcase_add_test(c, nobody);
    tcase_add_test(c, receiving);
    tcase_add_test(c, packets_come);
    tcase_add_test(c, another_version);
    tcase_add_test(c, rings_are_full);
    tcase_add_test(c, questions);
    tcase_add_test(c, many_questions);
    tcase_add_test(c, no_end_of_questions);
    tcase_add_test(c, nodes);
    return s;
}
