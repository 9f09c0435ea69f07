/*
 * test_chat_cluster.c: two servers of example/chat as one: people on both talk, in rooms and in private, are found, log
 * in elsewhere; one is killed, and its people go on at the other one, missing nothing.
 */
#include <signal.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

#include "chatter.h"
#include "test/engine/engine.h"

enum { NODES = 2, MS = 10000 };

static struct engine engine;
static struct server nodes[NODES];

/* Start Redis and two servers. */
static void start_nodes(void)
{
    char bus[100];
    engine_start(&engine, ENGINE_REDIS, NULL);
    snprintf(bus, sizeof bus, "--cluster=redis=%s", engine.address);
    for (int i = 0; i < NODES; i++) {
        const char *const args[] = {"-r", "3600", bus, "--node", i == 0 ? "one" : "two", NULL};
        chatter_start(&nodes[i], args);
    }
}

static void stop_nodes(void)
{
    for (int i = 0; i < NODES; i++)
        server_stop(&nodes[i]);
    engine_end(&engine);
}

/* ---- Talking ---- */

/* Goal: a room is one room, on whichever server its people are: all hear each line, in one order, with numbers that
 * have no gap; who joins later gets what was said before; who comes is seen. */
START_TEST(a_room_is_on_both)
{
    if (engine_missing(ENGINE_REDIS) != NULL)
        TEST_SKIP("%s", engine_missing(ENGINE_REDIS));
    struct chat_joined j;
    struct chat_presence p;
    start_nodes();
    int ada = chatter_enter(&nodes[0], "ada"), bob = chatter_enter(&nodes[1], "bob");
    int tea[] = {ada, bob}, turned[] = {bob, ada};
    chatter_join(ada, "tea", &j);
    ck_assert_uint_eq(j.next, 1);
    chatter_join(bob, "tea", NULL);
    static const uint16_t none[] = {CHAT_PING, 0};
    ck_assert_uint_eq(chatter_recv(ada, CHAT_PRESENCE, none, &p, sizeof p), sizeof p);
    ck_assert_mem_eq(p.user, chatter_word("bob"), CHAT_NAME);
    ck_assert_uint_eq(p.here, 1);
    for (uint32_t i = 1; i <= 30; i += 2) {
        chatter_say(tea, 2, "tea", "black or green?", i);
        chatter_say(turned, 2, "tea", "green", i + 1);
    }
    int cyd = chatter_enter(&nodes[1], "cyd");
    chatter_join(cyd, "tea", &j);
    ck_assert_uint_eq(j.first, 1);
    ck_assert_uint_eq(j.next, 31);
    for (uint32_t i = 1; i <= 30; i++)
        chatter_hear(cyd, "tea", i % 2 == 1 ? "ada" : "bob", i % 2 == 1 ? "black or green?" : "green", i);
    int all[] = {cyd, ada, bob};
    chatter_say(all, 3, "tea", "neither", 31);
    close(ada);
    close(bob);
    close(cyd);
    stop_nodes();
}
END_TEST

static void hear_private(int fd, const char *from, const char *to, const char *text)
{
    unsigned char bytes[sizeof(struct chat_told) + CHAT_TEXT];
    struct chat_told *told = (struct chat_told *) bytes;
    size_t n = chatter_await(fd, CHAT_TOLD, bytes, sizeof bytes);
    ck_assert_uint_eq(n, sizeof *told + strlen(text));
    ck_assert_mem_eq(told->text, text, strlen(text));
    ck_assert_mem_eq(told->from, chatter_word(from), CHAT_NAME);
    ck_assert_mem_eq(told->to, chatter_word(to), CHAT_NAME);
}

static bool has_name(const char (*names)[CHAT_NAME], size_t count, const char *name)
{
    for (size_t i = 0; i < count; i++)
        if (memcmp(names[i], chatter_word(name), CHAT_NAME) == 0)
            return true;
    return false;
}

/* Whether bob, asked by ada, is named in tea, and how many are, beside ada. Both servers must know each other by now,
 * which takes them a moment. */
static bool both_are_named(void *arg)
{
    unsigned char bytes[4096];
    const struct chat_named *named = (const struct chat_named *) bytes;
    int ada = *(const int *) arg;
    chatter_ask(ada, CHAT_NAMES, "tea", NULL);
    size_t n = chatter_await(ada, CHAT_NAMED, bytes, sizeof bytes), count = (n - sizeof *named) / CHAT_NAME;
    return named->members == 2 && count == 2 && has_name(named->names, count, "ada") &&
           has_name(named->names, count, "bob");
}

/* Both ears, and the people on both servers, can be reached: the engine says that the nodes are subscribed to their
 * channels, *arg times in all. A moment after a bind they need not be. */
static bool all_are_subscribed(void *arg)
{
    char text[1024], question[1200] = "PUBSUB NUMSUB";
    unsigned wanted = *(const unsigned *) arg, count = 0;
    engine_ask(&engine, text, sizeof text, "PUBSUB CHANNELS chat:u:*");
    for (const char *word = strtok(text, "\r\n "); word != NULL; word = strtok(NULL, "\r\n "))
        if (strncmp(word, "chat:u:", 7) == 0)
            snprintf(question + strlen(question), sizeof question - strlen(question), " %s", word);
    engine_ask(&engine, text, sizeof text, "%s", question);
    for (const char *word = strtok(text, "\r\n "); word != NULL; word = strtok(NULL, "\r\n "))
        count += (unsigned) strtoul(word, NULL, 10); /* a channel's name is none */
    return count >= wanted;
}

/* Goal: private lines, questions and lists reach whom they are for on the other server; who is nowhere is nobody. */
START_TEST(people_are_found)
{
    if (engine_missing(ENGINE_REDIS) != NULL)
        TEST_SKIP("%s", engine_missing(ENGINE_REDIS));
    unsigned char bytes[4096];
    char text[32];
    start_nodes();
    int ada = chatter_enter(&nodes[0], "ada"), bob = chatter_enter(&nodes[1], "bob");
    ck_assert(itest_wait(all_are_subscribed, &(unsigned){4}, MS));
    for (uint32_t i = 0; i < 20; i++) {
        snprintf(text, sizeof text, "secret %u", i);
        chatter_ask(ada, CHAT_TELL, "bob", text);
        hear_private(ada, "ada", "bob", text);
        hear_private(bob, "ada", "bob", text);
    }
    chatter_ask(ada, CHAT_TELL, "nobody", "hello?");
    hear_private(ada, "ada", "nobody", "hello?");
    chatter_await_sorry(ada, CHAT_TELL, CHAT_WHY_NOBODY);
    chatter_join(ada, "tea", NULL);
    chatter_join(bob, "tea", NULL);
    chatter_join(bob, "milk", NULL);
    ck_assert(itest_wait(both_are_named, &ada, MS));
    chatter_ask(ada, CHAT_WHO, "bob", NULL);
    size_t n = chatter_await(ada, CHAT_FOUND, bytes, sizeof bytes);
    const struct chat_found *found = (const struct chat_found *) bytes;
    ck_assert_uint_eq(n, sizeof *found + 2 * CHAT_NAME);
    ck_assert(has_name(found->rooms, 2, "milk"));
    chatter_ask(ada, CHAT_WHO, "nobody", NULL);
    chatter_await_sorry(ada, CHAT_WHO, CHAT_WHY_NOBODY);
    chatter_send(ada, CHAT_ROOMS, NULL, 0);
    n = chatter_await(ada, CHAT_LISTED, bytes, sizeof bytes);
    const struct chat_listed *listed = (const struct chat_listed *) bytes;
    ck_assert_uint_eq(listed->rooms, 2);
    ck_assert_uint_eq(n, sizeof *listed + 2 * sizeof listed->each[0]);
    ck_assert_uint_eq(listed->each[0].members + listed->each[1].members, 3);
    close(ada);
    close(bob);
    stop_nodes();
}
END_TEST

/* Goal: who logs in on the other server has the name there; the first connection is told so, and ends. */
START_TEST(a_login_elsewhere_replaces)
{
    if (engine_missing(ENGINE_REDIS) != NULL)
        TEST_SKIP("%s", engine_missing(ENGINE_REDIS));
    start_nodes();
    int ada = chatter_enter(&nodes[0], "ada");
    ck_assert(itest_wait(all_are_subscribed, &(unsigned){3}, MS));
    for (int i = 1; i <= 6; i++) {
        int again = chatter_enter(&nodes[i % NODES], "ada");
        chatter_await_bye(ada, CHAT_WHY_REPLACED);
        ck_assert(itest_wait(all_are_subscribed, &(unsigned){4}, MS)); /* who has gone is, two seconds more */
        ada = again;
    }
    chatter_ask(ada, CHAT_TELL, "ada", "it is me");
    hear_private(ada, "ada", "ada", "it is me");
    close(ada);
    stop_nodes();
}
END_TEST

/* Join, having heard all up to `seen`. */
static void come_back(int fd, const char *room, uint64_t epoch, uint64_t seen, struct chat_joined *j)
{
    struct chat_join where = {.epoch = epoch, .seen = seen};
    memcpy(where.room, chatter_word(room), CHAT_NAME);
    chatter_send(fd, CHAT_JOIN, &where, sizeof where);
    ck_assert_uint_eq(chatter_await(fd, CHAT_JOINED, j, sizeof *j), sizeof *j);
}

/* Goal: a server is killed; the other one goes on, and who was at the first comes to it and gets exactly what was said
 * meanwhile. */
START_TEST(a_server_is_killed)
{
    if (engine_missing(ENGINE_REDIS) != NULL)
        TEST_SKIP("%s", engine_missing(ENGINE_REDIS));
    struct chat_joined j;
    char text[32];
    start_nodes();
    int ada = chatter_enter(&nodes[0], "ada"), bob = chatter_enter(&nodes[1], "bob");
    int both[] = {ada, bob};
    chatter_join(ada, "tea", &j);
    uint64_t epoch = j.epoch;
    chatter_join(bob, "tea", NULL);
    for (uint32_t i = 1; i <= 10; i++)
        chatter_say(both, 2, "tea", "all is well", i);
    server_signal(&nodes[0], SIGKILL);
    server_wait_exit(&nodes[0], MS);
    for (uint32_t i = 11; i <= 20; i++) {
        snprintf(text, sizeof text, "line %u", i);
        chatter_say(&bob, 1, "tea", text, i);
    }
    close(ada);
    ada = chatter_enter(&nodes[1], "ada");
    come_back(ada, "tea", epoch, 10, &j);
    ck_assert_uint_eq(j.epoch, epoch);
    ck_assert_uint_eq(j.first, 11);
    ck_assert_uint_eq(j.next, 21);
    for (uint32_t i = 11; i <= 20; i++) {
        snprintf(text, sizeof text, "line %u", i);
        chatter_hear(ada, "tea", "bob", text, i);
    }
    both[0] = ada;
    chatter_say(both, 2, "tea", "here I am", 21);
    close(ada);
    close(bob);
    server_discard(&nodes[0]);
    server_stop(&nodes[1]);
    engine_end(&engine);
}
END_TEST

/* ---- Robots ---- */

/* Goal: robots on both servers hear everything, once, in order, all the same, logging in here and there; also when one
 * server is killed in the middle and all of it goes to the other one. */
START_TEST(robots_on_both)
{
    if (engine_missing(ENGINE_REDIS) != NULL)
        TEST_SKIP("%s", engine_missing(ENGINE_REDIS));
    char addresses[80], count[16], rooms[16], out[4096], err[1024];
    unsigned robots = ITEST_SLOW > 1 ? 100 : 300;
    start_nodes();
    snprintf(addresses, sizeof addresses, "127.0.0.1:%u,127.0.0.1:%u", nodes[0].port, nodes[1].port);
    snprintf(count, sizeof count, "%u", robots);
    snprintf(rooms, sizeof rooms, "%u", robots / 20);
    const char *const args[] = {"-n", count, "-s", addresses, "-g", rooms,
                                "-l", "2",   "-i", "800",     "-t", ITEST_SLOW > 1 ? "100" : "35",
                                NULL};
    pid_t killer = _i == 0 ? 0 : fork();
    if (_i != 0 && killer == 0) {
        itest_sleep(1500); /* in the middle, or not: all must be well */
        kill(nodes[0].pid, SIGKILL);
        _exit(0);
    }
    int code = itest_run(&(struct launch){.program = "chat-robots", .args = args, .bare = true}, out,
                         sizeof out, err, sizeof err);
    ck_assert_msg(code == 0, "the robots ended with %d: %s%s", code, out, err);
    if (_i == 0) {
        stop_nodes();
        return;
    }
    ck_assert_ptr_nonnull(strstr(out, "another server was gone to"));
    server_wait_exit(&nodes[0], MS);
    server_discard(&nodes[0]);
    server_stop(&nodes[1]);
    engine_end(&engine);
}
END_TEST

Suite *chat_cluster_suite(void)
{
    Suite *s = suite_create("chat_cluster");
    TCase *c = itest_case(s, "talk", 30);
    tcase_add_test(c, a_room_is_on_both);
    tcase_add_test(c, people_are_found);
    tcase_add_test(c, a_login_elsewhere_replaces);
    tcase_add_test(c, a_server_is_killed);
    c = itest_case(s, "robots", 40);
    tcase_add_loop_test(c, robots_on_both, 0, 2);
    return s;
}
