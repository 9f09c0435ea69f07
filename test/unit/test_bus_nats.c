/*
 * test_bus_nats.c: the NATS driver against a nats-server: what is said arrives, what nobody hears is known, and a
 * server that is away, silent or slow is survived.
 */
#include "nats_lab.h"

#ifdef MARIO_WITH_NATS

#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

#include "mario/base/clock.h"
#include "mario/mario_push.h"

/* ---- Messages ---- */

/* Goal: each kind of channel, with names that have dots; one's own do not come back; head and body are one. */
START_TEST(channels)
{
    NLAB_NEEDS_ENGINE;
    static struct nlab_node a, b;
    nlab_begin(NULL);
    nlab_node_up(&a, "a.node", 1);
    nlab_node_up(&b, "b..node.", 2);
    const struct channel all[] = {{CHANNEL_USER, UINT64_MAX, NULL},
                                  {CHANNEL_GROUP, 7, NULL},
                                  {CHANNEL_ALL, 0, NULL},
                                  {CHANNEL_NODE, 0, "b..node."}};
    static const char *const said[] = {"1 18446744073709551615 - head x", "2 7 - head x", "3 0 - head x",
                                       "4 0 b..node. head x"};
    for (unsigned i = 0; i < 4; i++) {
        nlab_subscribe(&a, all[i]);
        nlab_subscribe(&b, all[i]);
        nlab_say(&a, all[i], "x", 0);
        NLAB_UNTIL(b.messages, i + 1);
        ck_assert_str_eq(b.last, said[i]);
    }
    ck_assert_uint_eq(a.messages, 0);
    bus_nats.unsubscribe(b.bus, &all[0]);
    nlab_say(&b, all[1], "back", 0);
    NLAB_UNTIL(a.messages, 1);
    nlab_say(&a, all[0], "gone", 0);
    nlab_say(&a, all[1], "there", 0);
    NLAB_UNTIL(b.messages, 5);
    ck_assert_str_eq(b.last, "2 7 - head there");
    nlab_end(&a, &b);
}
END_TEST

/* Goal: nobody there is 0, somebody else is 1, oneself is nobody; also in a batch, and in order. */
START_TEST(nobody_is_known)
{
    NLAB_NEEDS_ENGINE;
    static struct nlab_node a, b;
    nlab_begin(NULL);
    nlab_node_up(&a, "a", 1);
    nlab_node_up(&b, "b", 2);
    nlab_subscribe(&a, nlab_user(1));
    for (uint64_t i = 2; i < 1000; i += 2)
        bus_nats.subscribe(b.bus, &(struct channel){.kind = CHANNEL_USER, .key = i});
    NLAB_UNTIL(b.subscribed, 499);
    ck_assert_uint_eq(b.sum, 499 * 500);
    for (uint64_t i = 1; i < 1000; i++)
        nlab_say(&a, nlab_user(i), "x", i);
    NLAB_UNTIL(a.published_n, 999);
    for (uint64_t i = 1; i < 1000; i++)
        ck_assert_int_eq(a.published[i], i % 2 == 0);
    NLAB_UNTIL(b.messages, 499);
    nlab_end(&a, &b);
}
END_TEST

/* Goal: who listens to everything takes the knowledge away, but no answer. */
START_TEST(a_listener_to_everything)
{
    NLAB_NEEDS_ENGINE;
    static struct nlab_node a;
    nlab_begin(NULL);
    int tool = nlab_client("SUB > 1");
    nlab_node_up(&a, "a", 1);
    nlab_subscribe(&a, nlab_user(1));
    nlab_say(&a, nlab_user(2), "x", 5);
    NLAB_UNTIL(a.published_n, 1);
    ck_assert_int_eq(a.published[5], 1);
    close(tool);
    nlab_end(&a, NULL);
}
END_TEST

/* Goal: a subscription is confirmed when the server has made it, not before. */
START_TEST(confirmed_is_made)
{
    NLAB_NEEDS_ENGINE;
    static struct nlab_node a;
    nlab_begin(NULL);
    nlab_node_up(&a, "a", 1);
    nlab_subscribe(&a, nlab_user(1));
    engine_freeze(&nlab_engine);
    bus_nats.subscribe(a.bus, &(struct channel){.kind = CHANNEL_USER, .key = 2});
    nlab_turn(1200);
    ck_assert_uint_eq(a.subscribed, 1);
    engine_thaw(&nlab_engine);
    NLAB_UNTIL(a.subscribed, 2);
    ck_assert_uint_eq(a.downs, 0);
    nlab_end(&a, NULL);
}
END_TEST

/* Goal: a flood of large messages is bounded (publish() says no, `room` comes), and arrives as it was, whole. */
START_TEST(room)
{
    NLAB_NEEDS_ENGINE;
    static struct nlab_node a, b;
    static char big[65535];
    nlab_begin(NULL);
    nlab_node_up(&a, "a", 1);
    nlab_node_up(&b, "b", 2);
    nlab_subscribe(&b, nlab_user(1));
    memset(big, 'x', sizeof big);
    struct channel c = nlab_user(1);
    unsigned said = 0;
    while (said < 400 && bus_nats.publish(a.bus, &c, "head", 4, big, sizeof big, 0))
        said++;
    ck_assert_uint_gt(said, 10);
    ck_assert_uint_lt(said, 400);
    NLAB_UNTIL(a.rooms, 1);
    ck_assert(bus_nats.publish(a.bus, &c, "head", 4, big, sizeof big, 0));
    NLAB_UNTIL(b.messages, said + 1);
    ck_assert_uint_eq(b.last_len, sizeof big + 4);
    ck_assert_uint_eq(a.downs + b.downs, 0);
    nlab_end(&a, &b);
}
END_TEST

/* Goal: a flood of small messages arrives whole and in its order, also while more comes than is told. */
START_TEST(in_order)
{
    NLAB_NEEDS_ENGINE;
    static struct nlab_node a, b;
    enum { MANY = 60000 };
    nlab_begin(NULL);
    nlab_node_up(&a, "a", 1);
    nlab_node_up(&b, "b", 2);
    nlab_subscribe(&b, nlab_user(1));
    for (unsigned i = 0; i < MANY; i++) {
        char text[16];
        struct channel c = nlab_user(1);
        snprintf(text, sizeof text, "#%u", i);
        while (!bus_nats.publish(a.bus, &c, "head ", 5, text, strlen(text), 0))
            nlab_turn(1);
        if (i % 5000 == 0)
            nlab_turn(1);
    }
    NLAB_UNTIL(b.messages, MANY);
    ck_assert_uint_eq(b.out_of_order, 0);
    nlab_end(&a, &b);
}
END_TEST

/* ---- Bad days ---- */

/* Goal: a server that is not there yet is said once, and found when it comes. */
START_TEST(not_there_yet)
{
    NLAB_NEEDS_ENGINE;
    static struct nlab_node a;
    nlab_place(NULL);
    nlab_node_begin(&a, "a", 1);
    NLAB_UNTIL(a.downs, 1);
    ck_assert_ptr_nonnull(strstr(a.why, nlab_engine.address));
    nlab_turn(700);
    ck_assert_uint_eq(a.downs, 1);
    ck_assert(!bus_nats.publish(a.bus, &(struct channel){.kind = CHANNEL_ALL}, "x", 1, NULL, 0, 1));
    ck_assert_int_eq(nlab_claim(&a, 1, 1, MARIO_BIND_KICK_OLD, 1, false), CLAIM_FAILED);
    engine_restart(&nlab_engine);
    NLAB_UNTIL(a.ups, 1);
    nlab_end(&a, NULL);
}
END_TEST

/* Goal: killed and started again: what was open is answered as lost, then `down`, then `up`; and it works as before. */
START_TEST(restarted)
{
    NLAB_NEEDS_ENGINE;
    static struct nlab_node a, b;
    nlab_begin(&(struct engine_options){.jetstream = true});
    nlab_node_up(&a, "a", 1);
    nlab_node_up(&b, "b", 2);
    nlab_subscribe(&a, nlab_user(1));
    for (int i = 0; i < 2; i++) {
        engine_freeze(&nlab_engine);
        nlab_say(&a, nlab_user(2), "x", 10 + (uint64_t) i);
        bus_nats.claim(a.bus, 3, &(struct owner){.node = "a", .epoch = 1, .id = 1}, MARIO_BIND_KICK_OLD, 1,
                       false, "", 0, 20 + (uint64_t) i);
        nlab_turn(20);
        engine_kill(&nlab_engine);
        NLAB_UNTIL(a.downs, 1 + (unsigned) i);
        NLAB_UNTIL(b.downs, 1 + (unsigned) i);
        ck_assert_int_eq(a.published[10 + i], -1);
        ck_assert_int_eq(a.claimed[20 + i], CLAIM_FAILED);
        engine_restart(&nlab_engine);
        NLAB_UNTIL(a.ups, 2 + (unsigned) i);
        NLAB_UNTIL(b.ups, 2 + (unsigned) i);
        unsigned had = a.messages;
        nlab_say(&b, nlab_user(1), "nobody", 0);
        nlab_subscribe(&a, nlab_user(1));
        nlab_say(&b, nlab_user(1), "x", 30 + (uint64_t) i);
        NLAB_UNTIL(a.messages, had + 1);
        NLAB_UNTIL(b.published_n, 1 + (unsigned) i);
        ck_assert_str_eq(a.last, "1 1 - head x");
    }
    nlab_end(&a, &b);
}
END_TEST

/* Goal: a server that is silent is down within some seconds, and nothing blocks meanwhile. */
START_TEST(silent)
{
    NLAB_NEEDS_ENGINE;
    static struct nlab_node a;
    nlab_begin(NULL);
    nlab_node_up(&a, "a", 1);
    engine_freeze(&nlab_engine);
    uint64_t since = clock_ms(), longest = 0;
    while (a.downs == 0 && clock_ms() - since < NLAB_MS) {
        uint64_t before = clock_ms();
        bus_nats.publish(a.bus, &(struct channel){.kind = CHANNEL_ALL}, "x", 1, NULL, 0, 0);
        bus_nats.subscribe(a.bus, &(struct channel){.kind = CHANNEL_USER, .key = 1 + before});
        nlab_turn(2);
        longest = clock_ms() - before > longest ? clock_ms() - before : longest;
    }
    ck_assert_uint_eq(a.downs, 1);
    ck_assert_uint_lt(longest, 1000 * UNIT_SLOW);
    engine_thaw(&nlab_engine);
    NLAB_UNTIL(a.ups, 2);
    nlab_end(&a, NULL);
}
END_TEST

/* Goal: a wrong password is said as such, also if the server was not there at first; a right one is taken, a token
 * too. */
START_TEST(passwords)
{
    NLAB_NEEDS_ENGINE;
    static struct nlab_node a, b;
    nlab_place(&(struct engine_options){.user = "me", .password = "right"});
    a.config.user = "me";
    a.config.password = "wrong";
    nlab_node_begin(&a, "a", 1);
    NLAB_UNTIL(a.downs, 1);
    ck_assert_ptr_null(strstr(a.why, BUS_PASSWORD));
    engine_restart(&nlab_engine);
    NLAB_UNTIL(a.downs, 2);
    ck_assert_msg(strncmp(a.why, BUS_PASSWORD, strlen(BUS_PASSWORD)) == 0, "%s", a.why);
    nlab_turn(500);
    ck_assert_uint_eq(a.downs, 2);
    b.config.user = "me";
    b.config.password = "right";
    nlab_node_up(&b, "b", 2);
    nlab_end(&a, &b);
}
END_TEST

/* Goal: who does not read for a while is cut off by the server: that is told, and over soon. */
START_TEST(cut_as_slow)
{
    NLAB_NEEDS_ENGINE;
    static struct nlab_node a;
    static char big[60000];
    nlab_begin(&(struct engine_options){.config = "max_pending: 1048576, write_deadline: \"1s\"\n"});
    nlab_node_up(&a, "a", 1);
    nlab_subscribe(&a, nlab_user(1));
    int fd = nlab_client("SUB x 1");
    memset(big, 'x', sizeof big);
    for (unsigned i = 0; i < 400; i++) { /* more than it and the kernel hold */
        ck_assert_int_gt(dprintf(fd, "PUB test/a:u:1 %zu\r\n", sizeof big), 0);
        for (size_t done = 0; done < sizeof big;) {
            ssize_t n = write(fd, big + done, sizeof big - done);
            ck_assert_int_gt(n, 0);
            done += (size_t) n;
        }
        ck_assert_int_eq(write(fd, "\r\n", 2), 2);
    }
    NLAB_UNTIL(a.downs, 1);
    NLAB_UNTIL(a.ups, 2);
    ck_assert_uint_lt(a.messages, 400);
    nlab_subscribe(&a, nlab_user(1));
    close(fd);
    nlab_end(&a, NULL);
}
END_TEST

/* Goal: it can be ended at any time: while it connects, to a silent server too, and while it is up. */
START_TEST(ended_early)
{
    NLAB_NEEDS_ENGINE;
    static struct nlab_node n;
    nlab_begin(NULL);
    for (unsigned i = 0; i < 30; i++) {
        nlab_node_begin(&n, "n", 1);
        nlab_turn(i % 10);
        bus_nats.destroy(&n.bus);
        ck_assert_ptr_null(n.bus);
    }
    engine_freeze(&nlab_engine);
    nlab_node_begin(&n, "n", 1);
    nlab_turn(100);
    uint64_t since = clock_ms();
    bus_nats.destroy(&n.bus);
    ck_assert_uint_lt(clock_ms() - since, 3000 * UNIT_SLOW);
    nlab_end(&n, NULL);
}
END_TEST

Suite *bus_nats_suite(void)
{
    Suite *s = suite_create("bus_nats");
    TCase *c = unit_case(s, "nats", 30);
    tcase_add_test(c, channels);
    tcase_add_test(c, nobody_is_known);
    tcase_add_test(c, a_listener_to_everything);
    tcase_add_test(c, confirmed_is_made);
    tcase_add_test(c, room);
    tcase_add_test(c, in_order);
    tcase_add_test(c, not_there_yet);
    tcase_add_test(c, restarted);
    tcase_add_test(c, silent);
    tcase_add_test(c, passwords);
    tcase_add_test(c, cut_as_slow);
    tcase_add_test(c, ended_early);
    return s;
}

#else

START_TEST(not_built)
{
    TEST_SKIP("built without libnats");
}
END_TEST

Suite *bus_nats_suite(void)
{
    Suite *s = suite_create("bus_nats");
    tcase_add_test(unit_case(s, "nats", 5), not_built);
    return s;
}

#endif
