/*
 * test_bus_redis.c: the Redis driver against real servers: what is published arrives, in order, and is counted; who
 * owns a user; a node's name; histories; and that it comes back when its server does.
 */
#include "bus_rig.h"
#include "unit.h"

#include <inttypes.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "mario/cluster/options.h"
#include "mario/mario_push.h"
#include "test/engine/engine.h"

static struct rig a, b;
static struct engine e;

/* The driver, if it is built; and why this cannot be tested here. */
static const struct bus_ops *redis(const char **missing)
{
    static struct settings s;
    struct mario_cluster_options o;
    static char why[200];
    mario_cluster_options_init(&o);
    o.bus = "redis";
    *missing = settings_take(&s, &o, why, sizeof why) != 0 ? why : engine_missing(ENGINE_REDIS);
    return s.ops;
}

#define BEGIN(options)                           \
    const char *missing;                         \
    const struct bus_ops *ops = redis(&missing); \
    if (missing != NULL)                         \
        TEST_SKIP("%s", missing);                \
    engine_start(&e, ENGINE_REDIS, options)

#define BEGIN_BOTH(options)                 \
    BEGIN(options);                         \
    rig_begin(&a, ops, e.address, "a", 11); \
    rig_begin(&b, ops, e.address, "b", 22)

static void end_both(void)
{
    rig_end(&a);
    rig_end(&b);
    engine_end(&e);
}

/* ---- Channels ---- */

/* What one publishes the other hears, whole and in order; so does itself; receivers are told; nobody is told as 0. */
START_TEST(published_is_heard)
{
    BEGIN_BOTH(NULL);
    rig_subscribe(&a, CHANNEL_USER, 7);
    rig_subscribe(&b, CHANNEL_USER, 7);
    rig_subscribe(&b, CHANNEL_GROUP, 7);
    rig_subscribe(&b, CHANNEL_ALL, 0);
    rig_publish(&a, CHANNEL_USER, 7, "one", 1);
    rig_publish(&a, CHANNEL_GROUP, 7, "two", 2);
    rig_publish(&a, CHANNEL_ALL, 0, "three", 3);
    RIG_UNTIL(&a, a.answers == 3 && a.heard_n == 1);
    ck_assert_int_eq(a.receivers, 1);
    RIG_UNTIL(&b, b.heard_n == 3);
    ck_assert_str_eq(b.heard[0].bytes, "<one");
    ck_assert(b.heard[0].channel.kind == CHANNEL_USER && b.heard[0].channel.key == 7);
    ck_assert_str_eq(b.heard[1].bytes, "<two");
    ck_assert_int_eq(b.heard[1].channel.kind, CHANNEL_GROUP);
    ck_assert_str_eq(b.heard[2].bytes, "<three");
    ck_assert_int_eq(b.heard[2].channel.kind, CHANNEL_ALL);
    rig_publish(&b, CHANNEL_USER, 8, "nobody", 1);
    RIG_UNTIL(&b, b.answers == 1);
    ck_assert_int_eq(b.receivers, 0);
    b.ops->unsubscribe(b.bus, &(struct channel){.kind = CHANNEL_USER, .key = 7});
    RIG_UNTIL(&b, engine_number(&e, "PUBSUB NUMSUB test:u:7") == 1);
    ck_assert_uint_eq(a.out_of_turn + b.out_of_turn + a.failures + b.failures, 0);
    end_both();
}
END_TEST

/* As many messages as the driver takes, of all lengths: each arrives once and in order; when it has no room it says
 * so, and when it has again. */
START_TEST(many_are_heard)
{
    enum { MESSAGES = 3000, LONGEST = 66000 };
    static unsigned char body[LONGEST];
    uint64_t random = 5, sum = 0, refused = 0;
    BEGIN_BOTH(NULL);
    rig_subscribe(&b, CHANNEL_GROUP, 1);
    for (uint64_t i = 1; i <= MESSAGES; i++) {
        size_t len = i % 16 == 0 ? unit_random(&random) % LONGEST : unit_random(&random) % 300;
        char head[8];
        snprintf(head, sizeof head, "%06u", (unsigned) i);
        memset(body, (int) (i % 251), len);
        for (size_t c = 0; c < 6; c++)
            sum += (unsigned char) head[c];
        sum += i % 251 * len;
        const struct channel c = {.kind = CHANNEL_GROUP, .key = 1};
        while (!a.ops->publish(a.bus, &c, head, 6, body, len, i)) {
            uint32_t rooms = a.rooms;
            refused++;
            RIG_UNTIL(&a, (rig_turn(&b), a.rooms > rooms));
        }
    }
    RIG_UNTIL(&b, (rig_turn(&a), b.heard_n == MESSAGES));
    RIG_UNTIL(&a, a.answers == MESSAGES);
    for (unsigned i = 0; i < MESSAGES; i++)
        UNIT_ASSERT(
            (unsigned) strtoul((char[7]){b.heard[i].bytes[0], b.heard[i].bytes[1], b.heard[i].bytes[2],
                                         b.heard[i].bytes[3], b.heard[i].bytes[4], b.heard[i].bytes[5]},
                               NULL, 10) == i + 1);
    ck_assert_uint_eq(b.heard_bytes, sum);
    ck_assert_uint_gt(refused, 0);
    ck_assert_uint_eq(a.out_of_turn + a.failures, 0);
    end_both();
}
END_TEST

/* When all is answered the loop sleeps: answers are not looked for any more. */
START_TEST(idle)
{
    unsigned turns = 0;
    BEGIN(NULL);
    rig_begin(&a, ops, e.address, "a", 11);
    rig_publish(&a, CHANNEL_USER, 7, "x", 1);
    RIG_UNTIL(&a, a.answers == 1);
    for (uint64_t end = unit_ms() + 600; unit_ms() < end; turns++)
        event_base_loop(a.base, EVLOOP_ONCE);
    ck_assert_msg(turns < 30, "%u turns", turns);
    rig_end(&a);
    engine_end(&e);
}
END_TEST

/* What others say on our channels, and on such that look like ours. */
START_TEST(garbage_is_told)
{
    BEGIN(NULL);
    rig_begin(&a, ops, e.address, "a", 11);
    rig_subscribe(&a, CHANNEL_GROUP, 3);
    engine_number(&e, "PUBLISH test:g:3 hello");
    engine_number(&e, "PUBLISH test:g:3 #12x");
    engine_number(&e, "PUBLISH test:l:a:11 life");
    engine_number(&e, "PUBLISH test:n:a word");
    RIG_UNTIL(&a, a.heard_n == 2 && a.garbage == 2);
    ck_assert_str_eq(a.heard[0].bytes, "hello");
    ck_assert_int_eq(a.heard[1].channel.kind, CHANNEL_NODE);
    ck_assert_uint_eq(a.downs, 0);
    rig_end(&a);
    engine_end(&e);
}
END_TEST

/* 200,000 channels are confirmed within 5 s. */
START_TEST(many_subscriptions)
{
    enum { CHANNELS = 200000 / UNIT_SLOW };
    BEGIN(NULL);
    rig_begin(&a, ops, e.address, "a", 11);
    uint64_t began = unit_ms();
    for (uint32_t i = 1; i <= CHANNELS; i++) {
        a.ops->subscribe(a.bus, &(struct channel){.kind = CHANNEL_USER, .key = i});
        if (i % 1000 == 0)
            rig_turn(&a);
    }
    RIG_UNTIL(&a, a.subscribed == CHANNELS);
    uint64_t took = unit_ms() - began;
    ck_assert_msg(took < 5000, "%u channels took %" PRIu64 " ms", CHANNELS, took);
    ck_assert_int_eq(engine_number(&e, "PUBSUB NUMSUB test:u:%u", CHANNELS), 1);
    rig_end(&a);
    engine_end(&e);
}
END_TEST

/* Several servers: each channel on its own; a part that is lost loses only its own. */
START_TEST(several_servers)
{
    enum { USERS = 20 };
    static struct engine other;
    char both[200];
    uint32_t there = 0;
    BEGIN(NULL);
    engine_start(&other, ENGINE_REDIS, NULL);
    snprintf(both, sizeof both, "%s,%s", e.address, other.address);
    rig_begin(&a, ops, both, "a", 11);
    rig_begin(&b, ops, both, "b", 22);
    ck_assert_uint_eq(a.ops->parts(a.bus), 2);
    for (uint64_t i = 1; i <= USERS; i++)
        rig_subscribe(&b, CHANNEL_USER, i);
    for (uint64_t i = 1; i <= USERS; i++)
        rig_publish(&a, CHANNEL_USER, i, "x", 0);
    RIG_UNTIL(&b, (rig_turn(&a), b.heard_n == USERS));
    engine_kill(&e);
    RIG_UNTIL(&a, a.downs == 1);
    ck_assert_uint_eq(a.part, 0);
    ck_assert(a.ops->is_up(a.bus, 1));
    RIG_UNTIL(&b, b.downs == 1);
    for (uint64_t i = 1; i <= USERS; i++) {
        const struct channel c = {.kind = CHANNEL_USER, .key = i};
        bool sent = a.ops->publish(a.bus, &c, "y", 1, NULL, 0, 0);
        ck_assert_int_eq(sent, channel_part(&c, 2) == 1);
        there += sent;
    }
    RIG_UNTIL(&b, (rig_turn(&a), b.heard_n == USERS + there));
    ck_assert(there > 0 && there < USERS);
    end_both();
    engine_end(&other);
}
END_TEST

/* ---- Owners ---- */

static void renew(struct rig *r)
{
    uint32_t before = r->renewals;
    r->ops->renew(r->bus);
    RIG_UNTIL(r, r->renewals > before);
}

static enum bus_claim claim(struct rig *r, uint64_t uid, uint64_t id, enum mario_bind how, uint32_t most,
                            bool again)
{
    struct owner me = {.epoch = r->config.epoch, .id = id};
    snprintf(me.node, sizeof me.node, "%s", r->config.node);
    uint32_t before = r->answers;
    r->ops->claim(r->bus, uid, &me, (int) how, most, again, "gone ", 5, r->answer + 1);
    ck_assert_uint_eq(r->answers, before);
    RIG_UNTIL(r, r->answers > before);
    return r->claim;
}

static void release(struct rig *r, uint64_t uid, uint64_t id)
{
    struct owner me = {.epoch = r->config.epoch, .id = id};
    snprintf(me.node, sizeof me.node, "%s", r->config.node);
    r->ops->release(r->bus, uid, &me);
    RIG_UNTIL(r, r->ops->flush(r->bus));
}

/* The newest wins with KICK_OLD, and who has to go hears of it; the oldest with REFUSE_NEW; MANY counts. */
START_TEST(owners)
{
    char text[200];
    BEGIN_BOTH(NULL);
    renew(&a);
    renew(&b);
    ck_assert_int_eq(claim(&a, 5, 101, MARIO_BIND_KICK_OLD, 1, false), CLAIM_OK);
    ck_assert_int_eq(claim(&a, 5, 101, MARIO_BIND_KICK_OLD, 1, false), CLAIM_OK);
    ck_assert_int_eq(claim(&b, 5, 201, MARIO_BIND_KICK_OLD, 0, false), CLAIM_OK);
    RIG_UNTIL(&a, a.heard_n == 1);
    ck_assert_int_eq(a.heard[0].channel.kind, CHANNEL_NODE);
    ck_assert_str_eq(a.heard[0].bytes, "gone 11 101");
    ck_assert_int_eq(claim(&a, 5, 102, MARIO_BIND_REFUSE_NEW, 1, false), CLAIM_REFUSED);
    ck_assert_int_eq(claim(&a, 5, 102, MARIO_BIND_MANY, 1, false), CLAIM_REFUSED);
    ck_assert_int_eq(claim(&a, 5, 102, MARIO_BIND_MANY, 2, false), CLAIM_OK);
    ck_assert_int_eq(claim(&a, 5, 103, MARIO_BIND_MANY, 0, false), CLAIM_OK);
    engine_ask(&e, text, sizeof text, "GET test:o:5");
    ck_assert_str_eq(text, "b 22 201,a 11 102,a 11 103");
    ck_assert_int_gt(engine_number(&e, "PTTL test:o:5"), 6 * 24 * 3600 * 1000);
    ck_assert_int_eq(claim(&b, 5, 202, MARIO_BIND_KICK_OLD, 2, false), CLAIM_OK);
    RIG_UNTIL(&a, a.heard_n == 2);
    RIG_UNTIL(&b, b.heard_n == 1);
    ck_assert_str_eq(a.heard[1].bytes, "gone 11 102");
    ck_assert_str_eq(b.heard[0].bytes, "gone 22 201");
    release(&a, 5, 102);
    release(&a, 5, 103);
    engine_ask(&e, text, sizeof text, "GET test:o:5");
    ck_assert_str_eq(text, "b 22 202");
    release(&b, 5, 202);
    ck_assert_int_eq(engine_number(&e, "EXISTS test:o:5"), 0);
    end_both();
}
END_TEST

/* Owners on a node that is dead are none; what is claimed again is older than what is there. */
START_TEST(owners_that_died)
{
    char text[200];
    BEGIN_BOTH(NULL);
    renew(&a);
    renew(&b);
    ck_assert_int_eq(claim(&a, 5, 101, MARIO_BIND_REFUSE_NEW, 1, false), CLAIM_OK);
    ck_assert_int_eq(claim(&b, 5, 201, MARIO_BIND_REFUSE_NEW, 1, false), CLAIM_REFUSED);
    engine_number(&e, "DEL test:e:a");
    ck_assert_int_eq(claim(&b, 5, 201, MARIO_BIND_REFUSE_NEW, 1, false), CLAIM_OK);
    renew(&a);
    ck_assert_int_eq(a.renewed, RENEWED_ANEW);
    ck_assert_int_eq(claim(&a, 5, 101, MARIO_BIND_KICK_OLD, 1, true), CLAIM_REFUSED);
    ck_assert_int_eq(claim(&a, 5, 101, MARIO_BIND_KICK_OLD, 2, true), CLAIM_OK);
    engine_ask(&e, text, sizeof text, "GET test:o:5");
    ck_assert_str_eq(text, "a 11 101,b 22 201");
    a.ops->retire(a.bus);
    RIG_UNTIL(&a, a.ops->flush(a.bus));
    ck_assert_int_eq(engine_number(&e, "EXISTS test:e:a"), 0);
    ck_assert_int_eq(claim(&b, 5, 202, MARIO_BIND_REFUSE_NEW, 2, false), CLAIM_OK);
    ck_assert_uint_eq(a.heard_n + b.heard_n, 0);
    end_both();
}
END_TEST

/* ---- A node's name ---- */

/* A node of the same name is refused while it lives, and takes over when the other's connections are gone. */
START_TEST(one_name)
{
    static struct rig again;
    BEGIN(NULL);
    rig_begin(&a, ops, e.address, "same", 11);
    renew(&a);
    ck_assert_int_eq(a.renewed, RENEWED_ANEW);
    renew(&a);
    ck_assert_int_eq(a.renewed, RENEWED);
    ck_assert_int_gt(engine_number(&e, "PTTL test:e:same"), 50000);
    rig_begin(&again, ops, e.address, "same", 33);
    renew(&again);
    ck_assert_int_eq(again.renewed, RENEWED_TAKEN);
    ck_assert_int_eq(engine_number(&e, "GET test:e:same"), 11);
    rig_end(&a);
    RIG_UNTIL(&again, engine_number(&e, "PUBSUB NUMSUB test:l:same:11") == 0);
    renew(&again);
    ck_assert_int_eq(again.renewed, RENEWED_ANEW);
    ck_assert_int_eq(engine_number(&e, "GET test:e:same"), 33);
    rig_end(&again);
    engine_end(&e);
}
END_TEST

/* ---- Histories ---- */

static void append(struct rig *r, uint64_t group, uint32_t n, const char *text)
{
    uint32_t before = r->answers;
    r->ops->append(r->bus, group, n, "<", 1, text, strlen(text), r->answer + 1);
    RIG_UNTIL(r, r->answers > before);
}

static void fetch(struct rig *r, uint64_t group, uint64_t after, uint32_t most)
{
    uint32_t before = r->answers;
    r->heard_n = 0;
    r->ops->fetch(r->bus, group, after, most, r->answer + 1);
    RIG_UNTIL(r, r->answers > before);
}

/* Numbers from 1 on, the same for all; so many are kept; what is there can be had from anywhere on. */
START_TEST(histories)
{
    char text[16];
    BEGIN_BOTH(NULL);
    fetch(&b, 9, 0, 100);
    uint64_t epoch = b.epoch;
    ck_assert(epoch != 0 && b.last == 0 && b.history_base == 0 && b.heard_n == 0);
    rig_subscribe(&b, CHANNEL_GROUP, 9);
    for (int i = 1; i <= 150; i++) {
        snprintf(text, sizeof text, "%d", i);
        append(&a, 9, 100, text);
    }
    RIG_UNTIL(&b, b.heard_n == 150);
    for (unsigned i = 0; i < 150; i++) {
        UNIT_ASSERT(b.heard[i].epoch == epoch && b.heard[i].seq == i + 1 && b.heard[i].channel.key == 9);
        UNIT_ASSERT(b.heard[i].bytes[0] == '<' && (unsigned) atoi(b.heard[i].bytes + 1) == i + 1);
    }
    fetch(&b, 9, 0, 1000);
    ck_assert(b.heard_n == 100 && b.epoch == epoch && b.last == 150);
    ck_assert(b.heard[0].seq == 51 && b.heard[99].seq == 150);
    ck_assert_str_eq(b.heard[99].bytes, "<150");
    fetch(&b, 9, 120, 20);
    ck_assert(b.heard_n == 20 && b.heard[0].seq == 121 && b.heard[19].seq == 140);
    fetch(&b, 9, 149, 1000);
    ck_assert(b.heard_n == 1 && b.heard[0].seq == 150);
    fetch(&b, 9, 0, 0);
    ck_assert(b.heard_n == 0 && b.last == 150);
    fetch(&b, 9, 150, 10);
    ck_assert_uint_eq(b.heard_n, 0);
    fetch(&b, 9, UINT64_MAX, 10);
    ck_assert(b.heard_n == 0 && b.last == 150 && b.failures == 0);
    ck_assert_int_gt(engine_number(&e, "PTTL test:h:9"), 6 * 24 * 3600 * 1000);
    ck_assert_int_gt(engine_number(&e, "PTTL test:h:9:meta"), 6 * 24 * 3600 * 1000);
    append(&a, 9, 10, "151");
    RIG_UNTIL(&b, b.heard_n == 1 && b.heard[0].seq == 151);
    fetch(&b, 9, 0, 1000);
    ck_assert(b.heard_n == 10 && b.heard[0].seq == 142);
    ck_assert_int_eq(engine_number(&e, "DEL test:h:9:meta"), 1); /* what is forgotten begins anew */
    fetch(&b, 9, 0, 1000);
    ck_assert(b.heard_n == 0 && b.last == 0 && b.epoch != 0 && b.epoch != epoch);
    end_both();
}
END_TEST

/* Long ones come in pieces; none is missing, none twice. */
START_TEST(long_histories)
{
    enum { MESSAGES = 70, LONG = 60000 };
    static char text[LONG + 1];
    BEGIN_BOTH(NULL);
    memset(text, 'x', LONG);
    for (uint64_t i = 1; i <= MESSAGES; i++)
        append(&a, 9, MESSAGES, text);
    fetch(&b, 9, 0, MESSAGES);
    ck_assert(b.heard_n == MESSAGES && b.last == MESSAGES && b.failures == 0);
    for (unsigned i = 0; i < MESSAGES; i++)
        UNIT_ASSERT(b.heard[i].seq == i + 1 && b.heard[i].len == LONG + 1);
    ck_assert_uint_eq(b.heard_bytes, MESSAGES * ((uint64_t) LONG * 'x' + '<'));
    end_both();
}
END_TEST

/* An engine that was started again has another epoch: if it knows the numbers they go on, else they begin anew. */
START_TEST(histories_of_a_restarted_engine)
{
    struct engine_options o = {.persists = _i == 1};
    BEGIN(&o);
    rig_begin(&a, ops, e.address, "a", 11);
    append(&a, 9, 10, "one");
    append(&a, 9, 10, "two");
    fetch(&a, 9, 0, 10);
    uint64_t epoch = a.epoch;
    if (o.persists)
        engine_number(&e, "SAVE");
    engine_kill(&e);
    RIG_UNTIL(&a, a.downs == 1);
    engine_restart(&e);
    RIG_UNTIL(&a, a.ups == 2);
    append(&a, 9, 10, "three");
    fetch(&a, 9, 0, 10);
    ck_assert(a.epoch != 0 && a.epoch != epoch && a.failures == 0);
    ck_assert_uint_eq(a.last, o.persists ? 3 : 1);
    ck_assert_uint_eq(a.history_base, o.persists ? 2 : 0);
    ck_assert_uint_eq(a.heard_n, o.persists ? 3 : 1);
    ck_assert_str_eq(a.heard[a.heard_n - 1].bytes, "<three");
    rig_end(&a);
    engine_end(&e);
}
END_TEST

Suite *bus_redis_suite(void)
{
    Suite *s = suite_create("bus_redis");
    TCase *c = unit_case(s, "bus_redis", 30);
    tcase_add_test(c, published_is_heard);
    tcase_add_test(c, many_are_heard);
    tcase_add_test(c, idle);
    tcase_add_test(c, garbage_is_told);
    tcase_add_test(c, many_subscriptions);
    tcase_add_test(c, several_servers);
    tcase_add_test(c, owners);
    tcase_add_test(c, owners_that_died);
    tcase_add_test(c, one_name);
    tcase_add_test(c, histories);
    tcase_add_test(c, long_histories);
    tcase_add_loop_test(c, histories_of_a_restarted_engine, 0, 2);
    return s;
}
