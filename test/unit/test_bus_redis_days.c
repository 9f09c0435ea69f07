/*
 * test_bus_redis_days.c: bad days of the Redis driver: servers that are not there, die, stop, refuse, forget, or are
 * none.
 */
#include "bus_rig.h"
#include "fake_redis.h"
#include "unit.h"

#include <inttypes.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <time.h>

#include "mario/cluster/options.h"
#include "mario/mario_push.h"
#include "test/engine/engine.h"

static struct rig a, b;
static struct engine e;
static struct fake_redis fake;

static const struct channel user = {.kind = CHANNEL_USER, .key = 7};

/* The driver, if it is built; and why this cannot be tested here. */
static const struct bus_ops *redis(const char **missing, bool really)
{
    static struct settings s;
    struct mario_cluster_options o;
    static char why[200];
    mario_cluster_options_init(&o);
    o.bus = "redis";
    *missing = settings_take(&s, &o, why, sizeof why) != 0 ? why
               : really                                    ? engine_missing(ENGINE_REDIS)
                                                           : NULL;
    return s.ops;
}

#define BEGIN(real)                                    \
    const char *missing;                               \
    const struct bus_ops *ops = redis(&missing, real); \
    if (missing != NULL)                               \
    TEST_SKIP("%s", missing)

/* ---- Real servers ---- */

/* Nobody there: that is said once, whatever is asked fails, and when the server comes it is found. By a name of its
 * host, too, which may have addresses on which nobody listens. */
START_TEST(not_there_at_start)
{
    char where[40];
    struct owner me = {"a", 11, 1};
    BEGIN(true);
    engine_place(&e, ENGINE_REDIS, NULL);
    snprintf(where, sizeof where, "localhost:%u", e.port);
    rig_config(&a, where, "a", 11);
    rig_create(&a, ops);
    ck_assert(!ops->publish(a.bus, &user, "x", 1, NULL, 0, 1));
    ops->claim(a.bus, 5, &me, MARIO_BIND_KICK_OLD, 1, false, "", 0, 1);
    ops->append(a.bus, 5, 1, "x", 1, NULL, 0, 2);
    ops->fetch(a.bus, 5, 0, 1, 3);
    ops->subscribe(a.bus, &user);
    ck_assert_uint_eq(a.answers, 0);
    RIG_UNTIL(&a, a.answers == 3 && a.downs == 1);
    ck_assert(a.failures == 3 && a.out_of_turn == 0 && a.claim == CLAIM_FAILED && a.epoch == 0);
    ck_assert_msg(strstr(a.why, "Connection refused") != NULL && strstr(a.why, where) != NULL, "%s", a.why);
    rig_run(&a, 300);
    ck_assert_uint_eq(a.downs, 1);
    engine_restart(&e);
    RIG_UNTIL(&a, a.ups == 1);
    rig_subscribe(&a, CHANNEL_USER, 7);
    rig_end(&a);
    engine_end(&e);
}
END_TEST

/* Killed while much is on its way: what was asked is answered once each, failed, before it is down; then it is back. */
START_TEST(killed_while_busy)
{
    uint64_t sent = 0;
    BEGIN(true);
    engine_start(&e, ENGINE_REDIS, NULL);
    rig_begin(&a, ops, e.address, "a", 11);
    engine_freeze(&e);
    while (ops->publish(a.bus, &user, "x", 1, NULL, 0, sent + 1))
        sent++;
    ck_assert(sent > 1000 && !ops->flush(a.bus));
    rig_turn(&a);
    engine_kill(&e);
    RIG_UNTIL(&a, a.downs == 1);
    ck_assert(a.answers == sent && a.failures == sent && a.out_of_turn == 0 && !a.up_when_failed);
    ck_assert(!ops->publish(a.bus, &user, "x", 1, NULL, 0, sent + 1));
    engine_restart(&e);
    RIG_UNTIL(&a, a.ups == 2);
    rig_subscribe(&a, CHANNEL_USER, 7);
    ck_assert(ops->publish(a.bus, &user, "y", 1, NULL, 0, sent + 1));
    RIG_UNTIL(&a, a.heard_n == 1 && a.answers == sent + 1);
    ck_assert_str_eq(a.heard[0].bytes, "y");
    rig_end(&a);
    engine_end(&e);
}
END_TEST

/* One that stops answers nothing: down within 6 s or so; one that greets so slowly never is up. Two of them at once,
 * and one with nothing to ask, which finds out by itself. */
START_TEST(frozen)
{
    BEGIN(true);
    engine_start(&e, ENGINE_REDIS, NULL);
    rig_begin(&a, ops, e.address, "a", 11);
    rig_begin(&b, ops, e.address, "b", 22);
    engine_freeze(&e);
    uint64_t began = unit_ms();
    ck_assert(ops->publish(a.bus, &user, "x", 1, NULL, 0, 1));
    RIG_UNTIL(&a, (rig_turn(&b), a.downs == 1));
    ck_assert_uint_ge(unit_ms() - began, 5000);
    ck_assert_msg(strstr(a.why, "no answer") != NULL, "%s", a.why);
    ck_assert(a.answers == 1 && a.failures == 1);
    RIG_UNTIL(&b, (rig_turn(&a), b.downs == 1));
    ck_assert(UNIT_SLOW > 1 || unit_ms() - began < 9000);
    engine_thaw(&e);
    RIG_UNTIL(&a, (rig_turn(&b), a.ups == 2 && b.ups == 2));
    rig_end(&a);
    rig_end(&b);
    engine_end(&e);
}
END_TEST

/* A process that was stopped itself waits a moment for answers before it takes the server for dead. */
START_TEST(stopped_itself)
{
    BEGIN(false);
    rig_config(&a, "", "a", 11);
    fake_redis_begin(&fake, a.base, FAKE_GREETS);
    a.config.servers = fake.address;
    rig_create(&a, ops);
    RIG_UNTIL(&a, a.ups == 1);
    ck_assert(ops->publish(a.bus, &user, "x", 1, NULL, 0, 1));
    RIG_UNTIL(&a, fake_redis_heard(&fake, false) > 0);
    nanosleep(&(struct timespec){.tv_sec = 5, .tv_nsec = 400000000}, NULL);
    rig_turn(&a);
    fake_redis_say(&fake, false, ":1\r\n", 4);
    RIG_UNTIL(&a, a.answers == 1 || a.downs > 0);
    ck_assert(a.downs == 0 && a.failures == 0);
    rig_end(&a);
    fake_redis_end(&fake);
}
END_TEST

static void begin_with_password(const struct bus_ops *ops, const char *name, const char *password)
{
    rig_config(&a, e.address, "a", 11);
    a.config.user = name;
    a.config.password = password;
    rig_create(&a, ops);
}

/* The password: right it is up; wrong, missing, or where there is none, the line says so. */
START_TEST(passwords)
{
    static const struct {
        const char *user, *password, *is_user, *is_password;
        bool right;
    } tries[] = {
        {NULL, "secret", NULL, "secret", true}, {"me", "secret", "me", "secret", true},
        {NULL, "secret", NULL, "other", false}, {"me", "secret", "you", "secret", false},
        {NULL, "secret", NULL, NULL, false},    {NULL, NULL, NULL, "secret", false},
    };
    BEGIN(true);
    engine_start(&e, ENGINE_REDIS,
                 &(struct engine_options){.user = tries[_i].user, .password = tries[_i].password});
    begin_with_password(ops, tries[_i].is_user, tries[_i].is_password);
    RIG_UNTIL(&a, a.ups + a.downs == 1);
    ck_assert_msg(a.ups == tries[_i].right, "%s", a.why);
    if (!tries[_i].right)
        ck_assert_msg(strncmp(a.why, BUS_PASSWORD, strlen(BUS_PASSWORD)) == 0, "%s", a.why);
    rig_end(&a);
    engine_end(&e);
}
END_TEST

/* That nobody is there has been said; that the password is wrong, when somebody is, is said too. */
START_TEST(password_wrong_later)
{
    BEGIN(true);
    engine_place(&e, ENGINE_REDIS, &(struct engine_options){.password = "secret"});
    begin_with_password(ops, NULL, "other");
    RIG_UNTIL(&a, a.downs == 1);
    ck_assert_ptr_eq(strstr(a.why, BUS_PASSWORD), NULL);
    engine_restart(&e);
    RIG_UNTIL(&a, a.downs == 2);
    ck_assert_ptr_eq(strstr(a.why, BUS_PASSWORD), a.why);
    rig_run(&a, 500);
    ck_assert(a.downs == 2 && a.ups == 0);
    rig_end(&a);
    engine_end(&e);
}
END_TEST

static void claim(const struct bus_ops *ops, uint64_t uid, uint64_t id)
{
    const struct owner me = {"a", 11, id};
    uint32_t before = a.answers;
    ops->claim(a.bus, uid, &me, MARIO_BIND_MANY, 2, false, "", 0, a.answer + 1);
    RIG_UNTIL(&a, a.answers > before);
}

/* Its memory is full: what has to be stored fails, and is said; publishing goes on, a node stays who it is. */
START_TEST(memory_full)
{
    struct owner me = {"a", 11, 1};
    BEGIN(true);
    engine_start(&e, ENGINE_REDIS, NULL);
    rig_begin(&a, ops, e.address, "a", 11);
    ops->renew(a.bus);
    RIG_UNTIL(&a, a.renewals == 1);
    claim(ops, 5, 1);
    claim(ops, 5, 2);
    engine_number(&e, "CONFIG SET maxmemory 1000");
    claim(ops, 6, 3);
    ck_assert_int_eq(a.claim, CLAIM_FAILED);
    ck_assert_msg(strstr(a.refusal, "OOM") != NULL && strchr(a.refusal, '\n') == NULL, "%s", a.refusal);
    claim(ops, 7, 3);
    ck_assert_uint_eq(a.refusals, 1);
    ops->append(a.bus, 9, 10, "x", 1, NULL, 0, a.answer + 1);
    RIG_UNTIL(&a, a.failures == 3);
    ops->release(a.bus, 5, &me);
    ops->renew(a.bus);
    RIG_UNTIL(&a, a.renewals == 2);
    ck_assert_int_eq(a.renewed, RENEWED);
    ck_assert_int_eq(engine_number(&e, "EXISTS test:o:5"), 0);
    rig_subscribe(&a, CHANNEL_USER, 7);
    uint32_t answers = a.answers;
    rig_publish(&a, CHANNEL_USER, 7, "x", a.answer + 1);
    RIG_UNTIL(&a, a.heard_n == 1 && a.answers > answers);
    engine_number(&e, "CONFIG SET maxmemory 1gb");
    claim(ops, 6, 3);
    ck_assert_msg(a.claim == CLAIM_OK && a.downs == 0, "%d: %s, %s", (int) a.claim, a.why, a.refusal);
    rig_end(&a);
    engine_end(&e);
}
END_TEST

/* Who does not read is dropped by the server: it is down, and up again. */
START_TEST(output_limit_hit)
{
    static char text[30000];
    BEGIN(true);
    engine_start(&e, ENGINE_REDIS, &(struct engine_options){.pubsub_limit = "256kb 256kb 1"});
    rig_begin(&a, ops, e.address, "a", 11);
    rig_begin(&b, ops, e.address, "b", 22);
    rig_subscribe(&a, CHANNEL_USER, 7);
    memset(text, 'x', sizeof text - 1);
    for (uint64_t n = 0; a.receivers != 0 || n == 0; n++) { /* until a is not there any more */
        rig_publish(&b, CHANNEL_USER, 7, text, n + 1);
        RIG_UNTIL(&b, b.answers == n + 1);
        a.receivers = b.receivers;
    }
    RIG_UNTIL(&a, a.downs == 1);
    ck_assert_msg(strstr(a.why, "no answer") == NULL, "%s", a.why);
    RIG_UNTIL(&a, a.ups == 2);
    rig_end(&a);
    rig_end(&b);
    engine_end(&e);
}
END_TEST

/* Somebody empties the scripts: one answer fails, then they are there again. */
START_TEST(scripts_flushed)
{
    char text[40];
    BEGIN(true);
    engine_start(&e, ENGINE_REDIS, NULL);
    rig_begin(&a, ops, e.address, "a", 11);
    engine_ask(&e, text, sizeof text, "SCRIPT FLUSH");
    claim(ops, 5, 1);
    claim(ops, 5, 1);
    ck_assert_int_eq(a.claim, CLAIM_OK);
    ck_assert(a.failures == 1 && a.downs == 0);
    rig_end(&a);
    engine_end(&e);
}
END_TEST

/* ---- Servers that are none ---- */

/* One that says nothing is never up; nor is one that says nothing any more. One that closes is asked ever less
 * often. */
START_TEST(silent)
{
    static struct fake_redis mute, closed;
    static struct rig d;
    BEGIN(false);
    rig_config(&a, "", "a", 11);
    rig_config(&b, "", "a", 11);
    rig_config(&d, "", "a", 11);
    fake_redis_begin(&closed, d.base, FAKE_CLOSES);
    d.config.servers = closed.address;
    rig_create(&d, ops);
    fake_redis_begin(&mute, a.base, FAKE_SAYS_NOTHING);
    fake_redis_begin(&fake, b.base, FAKE_GREETS_SLOWLY);
    a.config.servers = mute.address;
    b.config.servers = fake.address;
    rig_create(&a, ops);
    rig_create(&b, ops);
    RIG_UNTIL(&b, b.ups == 1);
    uint64_t began = unit_ms();
    while (unit_ms() - began < 3000)
        rig_turn(&a), rig_turn(&b), rig_turn(&d);
    ck_assert(d.ups == 0 && d.downs == 1);
    ck_assert_msg(closed.accepted >= 6 && closed.accepted <= 24, "%u connections", closed.accepted);
    RIG_UNTIL(&a, (rig_turn(&b), a.downs == 1));
    ck_assert(a.ups == 0 && strstr(a.why, "no answer") != NULL);
    while (b.downs == 0) { /* its commands are answered, what it asks on the other connection is not */
        RIG_UNTIL(&b, b.downs == 1 || fake_redis_heard(&fake, false) > 0);
        fake_redis_say(&fake, false, "+PONG\r\n", 7);
    }
    ck_assert_msg(strstr(b.why, "no answer") != NULL, "%s", b.why);
    rig_end(&a);
    rig_end(&b);
    fake_redis_end(&closed);
    rig_end(&d);
    fake_redis_end(&mute);
    fake_redis_end(&fake);
}
END_TEST

/* What no Redis would answer ends the connections, and harms nothing else. */
START_TEST(nonsense)
{
    static const struct {
        bool subscriptions;
        const char *bytes;
    } says[] = {
        {false, "HTTP/1.1 400 Bad Request\r\n"},
        {false, ":1\r\n:1\r\n"},
        {false, "*2\r\n:1\r\n:2\r\n"},
        {false, "*-5\r\n"},
        {false, "$99999999999999999999\r\n"},
        {false, "$-7\r\nabc\r\n"},
        {false, "*1\r\n*1\r\n*1\r\n*1\r\n*1\r\n*1\r\n*1\r\n*1\r\n*1\r\n*1\r\n*1\r\n:1\r\n"},
        {false, ":12345678901234567890123456789\r\n"},
        {false, "-\r\n-\r\n"},
        {true, "\r\n"},
        {true, "*1\r\n$3\r\nfoo\r\n"},
        {true, "*3\r\n$3\r\nfoo\r\n$3\r\nbar\r\n$3\r\nbaz\r\n"},
        {true, "*3\r\n$9\r\nsubscribe\r\n$8\r\ntest:u:1\r\n:5\r\n"},
        {true, "*3\r\n$7\r\nmessage\r\n$8\r\ntest:u:1\r\n:5\r\n"},
        {true, "*3\r\n*1\r\n:1\r\n$8\r\ntest:u:1\r\n:5\r\n"},
        {true, "*3\r\n$7\r\nmessage\r\n*2\r\n:1\r\n:1\r\n*0\r\n"},
        {true, "+PONG\r\n"},
        {true, "-ERR max number of clients reached\r\n"},
        {true, "*-1\r\n*0\r\n"},
    };
    BEGIN(false);
    rig_config(&a, "", "a", 11);
    fake_redis_begin(&fake, a.base, FAKE_GREETS);
    a.config.servers = fake.address;
    rig_create(&a, ops);
    RIG_UNTIL(&a, a.ups == 1);
    if (!says[_i].subscriptions)
        ck_assert(ops->publish(a.bus, &user, "x", 1, NULL, 0, 1));
    RIG_UNTIL(&a, says[_i].subscriptions || fake_redis_heard(&fake, false) > 0);
    ck_assert_uint_eq(fake_redis_say(&fake, says[_i].subscriptions, says[_i].bytes, strlen(says[_i].bytes)),
                      1);
    RIG_UNTIL(&a, a.downs == 1);
    ck_assert_msg(strstr(a.why, "no answer") == NULL, "%s", a.why);
    ck_assert(says[_i].subscriptions || a.answers == 1);
    RIG_UNTIL(&a, a.ups == 2);
    ck_assert_uint_eq(a.heard_n, 0);
    rig_end(&a);
    fake_redis_end(&fake);
}
END_TEST

/* What is said on a channel may be long, empty, or of a kind that is none of ours: that is no reason to be down. */
START_TEST(strange_messages)
{
    enum { LONG = 3 << 20 };
    static char text[LONG + 100];
    BEGIN(false);
    rig_config(&a, "", "a", 11);
    fake_redis_begin(&fake, a.base, FAKE_GREETS);
    a.config.servers = fake.address;
    rig_create(&a, ops);
    RIG_UNTIL(&a, a.ups == 1);
    int n = snprintf(text, sizeof text,
                     "*3\r\n$7\r\nmessage\r\n$8\r\ntest:u:1\r\n$0\r\n\r\n"
                     "*3\r\n$7\r\nmessage\r\n$300\r\n%0300d\r\n$1\r\nx\r\n"
                     "*3\r\n$7\r\nmessage\r\n$8\r\ntest:u:1\r\n$%d\r\n",
                     5, LONG / 2);
    memset(text + n, 'y', LONG / 2);
    memcpy(text + n + LONG / 2, "\r\n", 2);
    for (size_t at = 0, len = (size_t) n + LONG / 2 + 2; at < len; rig_turn(&a)) {
        size_t piece = len - at < 30000 ? len - at : 30000;
        fake_redis_say(&fake, true, text + at, piece);
        at += piece;
    }
    RIG_UNTIL(&a, a.heard_n == 2 && a.garbage == 1);
    ck_assert(a.heard[0].len == 0 && a.heard[1].len == LONG / 2 && a.downs == 0);
    rig_end(&a);
    fake_redis_end(&fake);
}
END_TEST

/* Any bytes whatsoever, and valid ones with a byte that is another: nothing but an end of the connections comes of
 * it. */
START_TEST(any_bytes)
{
    enum { ROUNDS = 40 };
    static const char good[] =
        "*3\r\n$7\r\nmessage\r\n$8\r\ntest:u:1\r\n$3\r\nabc\r\n:1\r\n+OK\r\n$3\r\nabc\r\n"
        "*5\r\n$2\r\n11\r\n$1\r\n1\r\n$1\r\n0\r\n$1\r\n1\r\n$2\r\nab\r\n-ERR no\r\n$-1\r\n";
    char servers[512] = "", bytes[sizeof good];
    uint64_t random = 9, ups = 0;
    BEGIN(false);
    rig_config(&a, servers, "a", 11);
    fake_redis_begin(&fake, a.base, FAKE_GREETS);
    for (size_t i = 0; i < BUS_PARTS_MAX; i++)
        snprintf(servers + strlen(servers), sizeof servers - strlen(servers), "%s%s", i > 0 ? "," : "",
                 fake.address);
    rig_create(&a, ops);
    for (int i = 0; i < ROUNDS; i++) {
        RIG_UNTIL(&a, a.ups > ups);
        ups = a.ups;
        for (uint64_t u = 1; u < 40; u++)
            ops->fetch(a.bus, u, 0, 10, 1);
        rig_turn(&a);
        memcpy(bytes, good, sizeof bytes);
        for (uint64_t n = 1 + unit_random(&random) % 4; n > 0; n--)
            bytes[unit_random(&random) % sizeof bytes] = (char) unit_random(&random);
        for (size_t c = 0; c < sizeof bytes && i % 4 == 3; c++)
            bytes[c] = (char) unit_random(&random);
        fake_redis_say(&fake, i % 2 == 0, bytes, 1 + unit_random(&random) % sizeof bytes);
        fake_redis_say(&fake, i % 2 == 1, "+\r\n:9\r\n", 7);
    }
    ops->destroy(&a.bus);
    fake_redis_end(&fake);
    event_base_free(a.base);
}
END_TEST

/* ---- What is not there at all ---- */

/* Lists that are none are refused; a name that nobody has is a server that is not there. */
START_TEST(addresses)
{
    static const char *const wrong[] = {
        "",     ",",      "a,",   ":1",      "a:",   "a:0",  "a:65536", "a:123456",
        "a:1x", "::1:80", "[::1", "[::1]80", "[]:1", "a:-1", "a:1,,b:2"};
    static const char many[] = "1,2,3,4,5,6,7,8,9,10,11,12,13,14,15,16,17";
    char why[200];
    BEGIN(false);
    rig_config(&a, "", "a", 11);
    for (size_t i = 0; i <= sizeof wrong / sizeof wrong[0]; i++) {
        a.config.servers = i < sizeof wrong / sizeof wrong[0] ? wrong[i] : many;
        why[0] = '\0';
        ck_assert_ptr_eq(ops->create(&a.config, NULL, NULL, why, sizeof why), NULL);
        ck_assert_msg(why[0] != '\0', "%s", a.config.servers);
    }
    a.config.servers = "[::1]:1,nobody.invalid";
    rig_create(&a, ops);
    ck_assert_uint_eq(ops->parts(a.bus), 2);
    RIG_UNTIL(&a, a.downs == 2);
    rig_end(&a);
}
END_TEST

/* Without memory nothing is made; or what needs it fails, is told, and goes again when there is some. */
START_TEST(no_memory)
{
    static unsigned char body[60000];
    char why[200];
    size_t good = 0, failed = 1;
    const struct owner me = {"a", 11, 1};
    BEGIN(false);
    rig_config(&a, "127.0.0.1:1,127.0.0.1:2", "a", 11);
    for (; failed > 0; good++) {
        unit_heap_fail(good);
        struct bus *bus = ops->create(&a.config, NULL, NULL, why, sizeof why);
        failed = unit_heap_heal();
        UNIT_ASSERT((bus == NULL) == (failed > 0));
        ops->destroy(&bus);
    }
    ck_assert_uint_gt(good, 1);
    fake_redis_begin(&fake, a.base, FAKE_GREETS);
    a.config.servers = fake.address;
    rig_create(&a, ops);
    RIG_UNTIL(&a, a.ups == 1);
    unit_heap_fail(0);
    UNIT_ASSERT(!ops->publish(a.bus, &user, body, sizeof body, NULL, 0, 1));
    ops->claim(a.bus, 5, &me, MARIO_BIND_MANY, 0, false, (const char *) body, sizeof body, 1);
    ops->fetch(a.bus, 5, 0, 1, 2);
    unit_heap_heal();
    RIG_UNTIL(&a, a.answers == 2 && a.rooms == 1);
    ck_assert(a.failures == 2 && a.downs == 0);
    ck_assert(ops->publish(a.bus, &user, body, sizeof body, NULL, 0, 3));
    unit_heap_fail(0);
    ops->subscribe(a.bus, &user);
    unit_heap_heal();
    RIG_UNTIL(&a, a.downs == 1 && a.answers == 3);
    ck_assert_msg(strstr(a.why, "no memory") != NULL, "%s", a.why);
    RIG_UNTIL(&a, a.ups == 2);
    rig_end(&a);
    fake_redis_end(&fake);
}
END_TEST

Suite *bus_redis_days_suite(void)
{
    Suite *s = suite_create("bus_redis_days");
    TCase *c = unit_case(s, "servers", 30);
    tcase_add_test(c, not_there_at_start);
    tcase_add_test(c, killed_while_busy);
    tcase_add_loop_test(c, passwords, 0, 6);
    tcase_add_test(c, password_wrong_later);
    tcase_add_test(c, memory_full);
    tcase_add_test(c, output_limit_hit);
    tcase_add_test(c, scripts_flushed);
    c = unit_case(s, "silence", 30);
    tcase_add_test(c, frozen);
    tcase_add_test(c, stopped_itself);
    tcase_add_test(c, silent);
    c = unit_case(s, "fakes", 30);
    tcase_add_loop_test(c, nonsense, 0, 19);
    tcase_add_test(c, strange_messages);
    tcase_add_test(c, any_bytes);
    tcase_add_test(c, addresses);
    tcase_add_test(c, no_memory);
    return s;
}
