/*
 * test_cluster_days.c: bad days of a cluster's engine, a real one: it is not there, dies, stands still, wants another
 * password, has no memory, throws its subscribers out. On each of them those who are here go on talking, what waits is
 * bounded, nothing is delivered twice, and afterwards all is as before.
 */
#include <inttypes.h>
#include <signal.h>
#include <stdio.h>
#include <string.h>
#include <sys/stat.h>
#include <unistd.h>

#include "mario/mario_cluster.h"
#include "nodes.h"

#define UID   NODES_UID
#define GROUP NODES_GROUP

#define START(n, count, ears, ...)     \
    NODES_NEED((enum engine_kind) _i); \
    struct nodes n;                    \
    nodes_start(&n, (enum engine_kind) _i, count, ears, &(struct nodes_options){__VA_ARGS__})

/* Of the events of a node, those of a kind; the last one of them. */
static unsigned events_of(struct nodes *n, unsigned at, int what, struct test_event *last)
{
    struct test_event events[64];
    unsigned count = nodes_events(n, at, events), found = 0;
    for (unsigned i = 0; i < count; i++) {
        if (events[i].what == what)
            *last = events[i], found++;
    }
    return found;
}

/* ---- The engine ---- */

/* Goal: without an engine a node starts, says so and serves; when it comes all is as if it had been there. */
START_TEST(it_is_not_there_yet)
{
    START(n, 1, 3, .engine_later = true);
    nodes_settle(&n);
    nodes_go_on_here(&n, 1);
    ck_assert_uint_eq(ear_counter(&n.each[0].e, 0, "event_up"), 0);
    char err[4096];
    FILE *f = fopen(n.each[0].s.err, "r");
    size_t len = f == NULL ? 0 : fread(err, 1, sizeof err - 1, f);
    err[len] = '\0';
    if (f != NULL)
        fclose(f);
    ck_assert_msg(strstr(err, n.engine.address) != NULL ||
                      server_log_count(&n.each[0].s, n.engine.address) > 0,
                  "it says nothing of %s: %s", n.engine.address, err);
    engine_restart(&n.engine);
    nodes_start_one(&n, 1, 3, NULL); /* this one finds it there: each that does not waits for 3 s */
    n.count = 2;
    nodes_settle_one(&n, 1);
    nodes_all_count(&n, "event_up", 1);
    nodes_all_is_well(&n);
    nodes_nothing_is_missing(&n, 2);
    nodes_stop(&n);
}
END_TEST

/* Goal: an engine that is killed and comes back finds everything subscribed again; what was sent while it was away
 * comes, once and in order; from when to when something may have been missed is told. */
START_TEST(it_is_restarted)
{
    enum { AWAY = 20 };
    const unsigned rounds = _i == ENGINE_REDIS ? 2 : 1;
    START(n, 3, 3);
    nodes_settle(&n);
    nodes_all_is_well(&n);
    for (unsigned round = 1; round <= rounds; round++) {
        engine_kill(&n.engine);
        nodes_all_count(&n, "event_down", round);
        nodes_go_on_here(&n, 2 * round);
        nodes_send(&n, 0, ORDER_SEND_USER, NODES_UID, 9, AWAY * (round - 1), AWAY);
        engine_restart(&n.engine);
        nodes_all_count(&n, "event_up", round + 1);
        for (unsigned at = 0; at < 3; at++)
            nodes_expect(&n, at, 2, 9, AWAY * round);
        nodes_all_is_well(&n);
        nodes_nothing_is_missing(&n, 2 * round + 1);
        for (unsigned at = 0; at < 3; at++) {
            struct test_event gap = {0};
            ck_assert_uint_ge(events_of(&n, at, MARIO_CLUSTER_GAP, &gap), round);
            ck_assert(gap.from_ms > 1000000000000 && gap.to_ms >= gap.from_ms &&
                      gap.to_ms - gap.from_ms < 60000);
            ck_assert_uint_ge(ear_counter(&n.each[at].e, 0, "cluster_gaps"), round);
            ck_assert_uint_ge(ear_counter(&n.each[at].e, 0, "cluster_reconnects"), round);
        }
    }
    nodes_stop(&n);
}
END_TEST

/* Goal: an engine that stands still is noticed; what is sent meanwhile waits within its bound, the rest is counted;
 * when it goes on nothing comes twice. */
START_TEST(it_stands_still)
{
    START(n, 2, 3, .ttl = 60, .args = {"cluster.queue=262144"});
    nodes_settle(&n);
    nodes_all_is_well(&n);
    engine_freeze(&n.engine);
    nodes_go_on_here(&n, 1);
    uint64_t before = server_rss_kb(&n.each[0].s);
    for (uint32_t i = 0; i < 40; i++) {
        ear_order(&n.each[0].e, 0,
                  (struct test_order){.kind = ORDER_SEND_GROUP,
                                      .to = GROUP,
                                      .len = 30000,
                                      .times = 24,
                                      .sender = 2,
                                      .number = 25 * i});
        nodes_expect(&n, 0, 1, 2, 25 * (i + 1));
    }
    nodes_wait_counter(&n, 0, "cluster_dropped", 1);
    if (ITEST_SLOW == 1) /* 30 MB were sent */
        ck_assert_uint_lt(server_rss_kb(&n.each[0].s), before + 16000);
    nodes_all_count(&n, "event_down", 1);
    nodes_go_on_here(&n, 3);
    engine_thaw(&n.engine);
    nodes_all_count(&n, "event_up", 2);
    nodes_all_is_well(&n);
    nodes_nothing_is_missing(&n, 4);
    nodes_stop(&n);
}
END_TEST

/* Goal: killed in the middle of a storm: those here hear all of it; elsewhere what is missing is counted, and the rest
 * comes in order. */
START_TEST(it_is_killed_in_a_storm)
{
    START(n, 2, 3);
    nodes_settle(&n);
    nodes_all_is_well(&n);
    nodes_begin_storm(&n);
    engine_kill(&n.engine);
    engine_restart(&n.engine);
    nodes_wait(&n, nodes_storm_is_over, 0, "the storm is over");
    nodes_expect(&n, 0, 1, 1, NODES_STORM);
    nodes_all_count(&n, "event_up", 2);
    nodes_all_is_well(&n);
    nodes_nothing_is_missing(&n, 2);
    uint64_t heard = n.each[1].e.each[1].from[1];
    uint64_t lost = ear_counter(&n.each[1].e, 0, "cluster_lost"),
             dropped = ear_counter(&n.each[0].e, 0, "cluster_dropped");
    ck_assert_msg(heard <= NODES_STORM && NODES_STORM - heard <= lost + dropped,
                  "%" PRIu64 " of %d heard, %" PRIu64 " lost, %" PRIu64 " dropped", heard, NODES_STORM, lost,
                  dropped);
    nodes_stop(&n);
}
END_TEST

/* The nodes' password, in a file that lies with the engine. */
static const char *password_file(const struct nodes *n, const char *password)
{
    static char path[120], option[160];
    snprintf(path, sizeof path, "%s/password", n->engine.dir);
    FILE *f = fopen(path, "w");
    ck_assert(f != NULL && fchmod(fileno(f), 0600) == 0 && fputs(password, f) >= 0 && fclose(f) == 0);
    snprintf(option, sizeof option, "cluster.password_file=%s", path);
    return option;
}

/* Goal: with a password; when the engine wants another one it is said, and the nodes serve; when it is right again they
 * are one again. */
START_TEST(it_wants_another_password)
{
    NODES_NEED((enum engine_kind) _i);
    struct nodes n = {.count = 2};
    const char *user = _i == ENGINE_NATS ? "mario" : NULL;
    engine_start(&n.engine, (enum engine_kind) _i,
                 &(struct engine_options){.user = user, .password = "right"});
    struct nodes_options o = {.args = {password_file(&n, _i == ENGINE_NATS ? "mario:right\n" : "right\n")}};
    nodes_start_one(&n, 0, 3, &o);
    nodes_start_one(&n, 1, 3, &o);
    nodes_settle(&n);
    nodes_all_is_well(&n);
    n.engine.options.password = "wrong";
    engine_restart(&n.engine);
    nodes_all_count(&n, "event_down", 1);
    nodes_go_on_here(&n, 1);
    for (unsigned at = 0; at < 2; at++)
        server_wait_log(&n.each[at].s, "password", EAR_MS);
    n.engine.options.password = "right";
    engine_restart(&n.engine);
    nodes_all_count(&n, "event_up", 2);
    nodes_all_is_well(&n);
    nodes_nothing_is_missing(&n, 2);
    nodes_stop(&n);
}
END_TEST

/* Goal: without memory the engine still passes messages on, so they go on; binds are decided by each node alone, and
 * hold across again when there is memory. */
START_TEST(its_memory_is_full)
{
    enum { LIFE = 2 + 2 * (ITEST_SLOW > 1) };
    char text[200];
    NODES_NEED(ENGINE_REDIS);
    struct nodes n;
    nodes_start(&n, ENGINE_REDIS, 2, 5,
                &(struct nodes_options){.heartbeat = 1, .ttl = LIFE, .engine = {.memory = "8mb"}});
    nodes_settle(&n);
    ck_assert(nodes_bind(&n, 0, 3, UID + 1, MARIO_BIND_KICK_OLD, 1));
    nodes_all_is_well(&n);
    engine_ask(&n.engine, text, sizeof text, "SETRANGE filling 9000000 x");
    engine_ask(&n.engine, text, sizeof text, "SET a b");
    ck_assert_msg(strncmp(text, "-OOM", 4) == 0, "there is memory: %s", text);
    ck_assert(nodes_bind(&n, 0, 4, UID + 2, MARIO_BIND_KICK_OLD, 1));
    nodes_nothing_is_missing(&n, 1);
    nodes_reach(&n, 1, ORDER_SEND_USER, UID + 2, 0, 4);
    itest_sleep(LIFE * 1000 + 500); /* the records of the nodes have ended: nobody can say that he lives */
    nodes_nothing_is_missing(&n, 2);
    engine_ask(&n.engine, text, sizeof text, "DEL filling");
    uint64_t end = itest_deadline(EAR_MS);
    while (nodes_bind(&n, 1, 3, UID + 1, MARIO_BIND_REFUSE_NEW, 1) ||
           nodes_bind(&n, 1, 4, UID + 2, MARIO_BIND_REFUSE_NEW, 1)) {
        ck_assert_msg(mono_ns() < end, "the nodes have not said again who is theirs; see %s",
                      n.each[0].s.dir);
        ear_reopen(&n.each[1].e, 3);
        ear_reopen(&n.each[1].e, 4);
        nodes_turn(&n);
    }
    nodes_nothing_is_missing(&n, 3);
    nodes_stop(&n);
}
END_TEST

/* Goal: the engine forgets everything while it runs: the nodes say again who is theirs, and what is subscribed was
 * never touched. */
START_TEST(its_memory_is_lost)
{
    char text[200];
    NODES_NEED(ENGINE_REDIS);
    struct nodes n;
    nodes_start(&n, ENGINE_REDIS, 2, 4, &(struct nodes_options){.heartbeat = 1, .ttl = 4});
    nodes_settle(&n);
    ck_assert(nodes_bind(&n, 0, 3, UID + 1, MARIO_BIND_KICK_OLD, 1));
    nodes_all_is_well(&n);
    engine_ask(&n.engine, text, sizeof text, "FLUSHALL");
    engine_ask(&n.engine, text, sizeof text, "SCRIPT FLUSH");
    nodes_nothing_is_missing(&n, 1);
    uint64_t end = itest_deadline(EAR_MS);
    while (nodes_bind(&n, 1, 3, UID + 1, MARIO_BIND_REFUSE_NEW, 1)) {
        ck_assert_msg(mono_ns() < end, "n0 has not said again who is its; see %s", n.each[0].s.dir);
        ear_reopen(&n.each[1].e, 3);
        nodes_turn(&n);
    }
    ck_assert_int_ge(n.each[0].e.each[3].fd, 0);
    ck_assert(nodes_bind(&n, 1, 3, UID + 1, MARIO_BIND_KICK_OLD, 1));
    ears_wait(&n.each[0].e, ear_has_ended, 3, "it is replaced");
    nodes_nothing_is_missing(&n, 2);
    nodes_stop(&n);
}
END_TEST

/* Goal: the engine ends one of a node's connections to it, whichever: the node is there again by itself. */
START_TEST(it_ends_a_connection)
{
    static const char *const kinds[] = {"pubsub", "normal"};
    char text[200];
    NODES_NEED(ENGINE_REDIS);
    struct nodes n;
    nodes_start(&n, ENGINE_REDIS, 2, 3, NULL);
    nodes_settle(&n);
    nodes_all_is_well(&n);
    for (unsigned round = 0; round < 2; round++) {
        engine_ask(&n.engine, text, sizeof text, "CLIENT KILL TYPE %s", kinds[round]);
        nodes_all_count(&n, "event_up", 2 + round);
        nodes_all_is_well(&n);
        nodes_nothing_is_missing(&n, 1 + round);
    }
    nodes_stop(&n);
}
END_TEST

/* Goal: a node that does not read is thrown out by the engine. When it goes on it finds itself out, says that it may
 * have missed something, and is there again. */
START_TEST(it_throws_a_slow_node_out)
{
    NODES_NEED(ENGINE_REDIS);
    struct nodes n;
    nodes_start(&n, ENGINE_REDIS, 2, 3,
                &(struct nodes_options){.ttl = 60, .engine = {.pubsub_limit = "64kb 64kb 1"}});
    nodes_settle(&n);
    nodes_all_is_well(&n);
    struct test_event gap;
    unsigned gaps = events_of(&n, 1, MARIO_CLUSTER_GAP, &gap);
    server_signal(&n.each[1].s, SIGSTOP);
    int64_t out = engine_number(&n.engine, "PUBSUB NUMSUB mario:n:n1");
    ck_assert_int_eq(out, 1);
    uint64_t end = itest_deadline(EAR_MS);
    for (uint32_t i = 0; engine_number(&n.engine, "PUBSUB NUMSUB mario:n:n1") == 1; i++) {
        ck_assert_msg(mono_ns() < end, "it is not thrown out; see %s", n.each[1].s.dir);
        ear_order(&n.each[0].e, 0,
                  (struct test_order){.kind = ORDER_SEND_GROUP,
                                      .to = GROUP,
                                      .len = 30000,
                                      .times = 24,
                                      .sender = 1,
                                      .number = 25 * i});
        nodes_expect(&n, 0, 1, 1, 25 * (i + 1));
    }
    server_signal(&n.each[1].s, SIGCONT);
    nodes_wait_counter(&n, 1, "event_up", 2);
    nodes_all_is_well(&n);
    nodes_nothing_is_missing(&n, 2);
    ck_assert_uint_gt(events_of(&n, 1, MARIO_CLUSTER_GAP, &gap), gaps);
    ck_assert_uint_gt(ear_counter(&n.each[1].e, 0, "cluster_lost"), 0);
    nodes_stop(&n);
}
END_TEST

/* Goal: of two engines one dies: whose channels lie on the other one never notices. */
START_TEST(one_of_two_dies)
{
    enum { GROUPS = 16 };
    char both[200];
    NODES_NEED(ENGINE_REDIS);
    struct nodes n = {.count = 2};
    struct engine other;
    unsigned died = 0;
    engine_start(&n.engine, ENGINE_REDIS, NULL);
    engine_start(&other, ENGINE_REDIS, NULL);
    snprintf(both, sizeof both, "cluster.redis=%s,%s", n.engine.address, other.address);
    struct nodes_options o = {.args = {both}};
    nodes_start_one(&n, 0, 1, &o);
    nodes_start_one(&n, 1, 1 + GROUPS, &o);
    for (uint32_t i = 1; i <= GROUPS; i++)
        nodes_join(&n, 1, i, GROUP + i);
    for (uint32_t i = 1; i <= GROUPS; i++)
        nodes_reach(&n, 0, ORDER_SEND_GROUP, GROUP + i, 1, i);
    engine_kill(&other);
    nodes_wait_counter(&n, 0, "event_down", 1);
    nodes_wait_counter(&n, 1, "event_down", 1);
    for (uint32_t i = 1; i <= GROUPS; i++) {
        char channel[64];
        snprintf(channel, sizeof channel, "mario:g:%" PRIu64, GROUP + i);
        bool lives = nodes_subscribed(&n, channel) == 1;
        died += !lives;
        if (!lives)
            continue;
        nodes_send(&n, 0, ORDER_SEND_GROUP, GROUP + i, 1, 0, 20);
        nodes_expect(&n, 1, i, 1, 20);
    }
    ck_assert(died > 0 && died < GROUPS);
    engine_restart(&other);
    nodes_wait_counter(&n, 0, "event_up", 2);
    nodes_wait_counter(&n, 1, "event_up", 2);
    for (uint32_t i = 1; i <= GROUPS; i++)
        nodes_reach(&n, 0, ORDER_SEND_GROUP, GROUP + i, 1, i);
    nodes_stop(&n);
    engine_end(&other);
}
END_TEST

Suite *cluster_days_suite(void)
{
    Suite *s = suite_create("cluster_days");
    TCase *c = itest_case(s, "the engine", 40);
    tcase_add_loop_test(c, it_is_not_there_yet, 0, 2);
    tcase_add_loop_test(c, it_is_restarted, 0, 2);
    tcase_add_loop_test(c, it_stands_still, 0, 2);
    tcase_add_loop_test(c, it_is_killed_in_a_storm, 0, 2);
    tcase_add_loop_test(c, it_wants_another_password, 0, 2);
    tcase_add_test(c, its_memory_is_full);
    tcase_add_test(c, its_memory_is_lost);
    tcase_add_test(c, it_ends_a_connection);
    tcase_add_test(c, it_throws_a_slow_node_out);
    tcase_add_test(c, one_of_two_dies);
    return s;
}
