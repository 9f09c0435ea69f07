/*
 * test_cluster_maritcp.c: two maritcps that are one over an engine of the test's own: who gets what, what login.policy
 * means, what WHO counts, what the log says; and an engine that lets none of them in.
 */
#include <fcntl.h>
#include <poll.h>
#include <signal.h>
#include <stdio.h>
#include <string.h>
#include <sys/stat.h>
#include <unistd.h>

#include "commands.h"
#include "mortal.h"
#include "program.h"
#include "test/engine/engine.h"

enum { EXIT_NO_START = 2, TEXT = 4096, GROUP = 77 };

static struct engine engine;
static struct server nodes[2];

static void engine_over(void)
{
    engine_end(&engine);
}

/* Start the engine, or skip the test. */
#define WITH_ENGINE(k)                                                                       \
    do {                                                                                     \
        if (engine_missing(k) != NULL)                                                       \
            TEST_SKIP("%s", engine_missing(k));                                              \
        engine_start(&engine, k, &(struct engine_options){.jetstream = (k) == ENGINE_NATS}); \
    } while (0)

/* Start node i, with up to two more arguments. */
static void node_start(unsigned i, const char *more, const char *second)
{
    char address[128], name[32];
    bool redis = engine.kind == ENGINE_REDIS;
    snprintf(address, sizeof address, "cluster.%s=%s", redis ? "redis" : "nats", engine.address);
    snprintf(name, sizeof name, "cluster.node=n%u", i);
    const char *args[] = {redis ? "cluster.bus=redis" : "cluster.bus=nats",
                          address,
                          name,
                          "cluster.heartbeat=1",
                          "cluster.ttl=4",
                          "server.workernum=2",
                          more,
                          second,
                          NULL};
    server_launch(&nodes[i], &(struct launch){.program = "maritcp", .args = args});
}

static void nodes_begin(const char *more)
{
    node_start(0, more, NULL);
    node_start(1, more, NULL);
}

static void nodes_over(void)
{
    server_stop(&nodes[0]);
    server_stop(&nodes[1]);
}

/* Push to uid until to hears it: the other node is told of a user in a moment. What came of former tries is taken,
 * too. */
static void await_push(int from, int to, uint16_t uid)
{
    uint64_t until = itest_deadline(COMMANDS_SOON_MS);
    for (uint32_t number = 1;; number++) {
        ITEST_ASSERT(mono_ns() < until, "nothing that is pushed to %u arrives", uid);
        commands_send(from, CMD_FUNCTION_PUSH_TO, uid, 2, &number, sizeof number);
        commands_bare(from, CMD_FUNCTION_PUSH_TO);
        struct pollfd p = {.fd = to, .events = POLLIN};
        unsigned char data[8];
        while (poll(&p, 1, 50 * ITEST_SLOW) == 1) {
            ck_assert_uint_eq(client_recv_packet(to, CMD_FUNCTION_PUSHED, data, sizeof data),
                              2 + sizeof number);
            if (memcmp(data + 2, &number, sizeof number) == 0)
                return;
        }
    }
}

/* Goal: a user and a group are the same on both nodes: pushed, said, counted; who says it does not hear it. */
START_TEST(two_are_one)
{
    WITH_ENGINE((enum engine_kind) _i);
    nodes_begin(NULL);
    int ada = commands_open(&nodes[0], 1), grace = commands_open(&nodes[1], 2),
        near = commands_open(&nodes[0], 3);
    await_push(ada, grace, 2);
    await_push(grace, ada, 1);
    commands_join(ada, GROUP);
    commands_join(near, GROUP);
    commands_join(grace, GROUP);
    commands_await_who(ada, GROUP, 3);
    commands_await_who(grace, GROUP, 3);
    for (unsigned i = 0; i < 3; i++) {
        commands_say(ada, GROUP, "hello");
        commands_said(grace, GROUP, 1, "hello");
        commands_said(near, GROUP, 1, "hello");
        commands_say(grace, GROUP, "and you");
        commands_said(ada, GROUP, 2, "and you");
        commands_said(near, GROUP, 2, "and you");
    }
    commands_quiet(ada);
    commands_quiet(grace);
    close(grace);
    commands_await_who(ada, GROUP, 2);
    close(ada);
    close(near);
    nodes_over();
    ck_assert_uint_ge(server_counter(&nodes[0], "cluster_published"), 4);
    ck_assert_uint_ge(server_counter(&nodes[1], "cluster_received"), 4);
    ck_assert_uint_eq(server_counter(&nodes[0], "cluster_lost"), 0);
    ck_assert_uint_eq(server_counter(&nodes[1], "cluster_lost"), 0);
}
END_TEST

/* Goal: with kick_old a login ends the one before, wherever that was; the new one stays. */
START_TEST(a_login_replaces_one_elsewhere)
{
    WITH_ENGINE((enum engine_kind) _i);
    nodes_begin("login.policy=kick_old");
    int before = commands_open(&nodes[0], 7);
    for (unsigned i = 1; i < 6; i++) {
        int next = commands_open(&nodes[i % 2], 7);
        client_expect_fin(before);
        before = next;
    }
    int other = commands_open(&nodes[0], 8);
    await_push(other, before, 7);
    close(other);
    close(before);
    nodes_over();
    ck_assert_uint_ge(server_counter(&nodes[0], "closed_replaced"), 2);
    ck_assert_uint_ge(server_counter(&nodes[1], "closed_replaced"), 2);
}
END_TEST

/* Goal: with refuse_new a uid that is logged in on the other node is taken, until that ends. */
START_TEST(a_login_is_refused_elsewhere)
{
    WITH_ENGINE((enum engine_kind) _i);
    nodes_begin("login.policy=refuse_new");
    int first = commands_open(&nodes[0], 7), second = client_open(&nodes[1]);
    commands_send(second, CMD_FUNCTION_LOGIN, 7, 2, "", 0);
    commands_refused(second, CMD_FUNCTION_LOGIN, REFUSED_TAKEN);
    client_expect_fin(second);
    client_echo(first, 10);
    close(first);
    uint64_t until = itest_deadline(COMMANDS_SOON_MS);
    for (bool in = false; !in; close(second)) {
        unsigned char why;
        ITEST_ASSERT(mono_ns() < until, "the uid stays taken");
        second = client_open(&nodes[1]);
        commands_send(second, CMD_FUNCTION_LOGIN, 7, 2, "", 0);
        in = client_recv_packet(second, CMD_FUNCTION_LOGIN, &why, 1) == 0;
    }
    nodes_over();
}
END_TEST

/* Goal: the log says when another node comes and goes, and with each report what went over the bus. */
START_TEST(what_the_log_says)
{
    WITH_ENGINE(ENGINE_REDIS);
    node_start(0, "collect.interval=1", NULL);
    node_start(1, NULL, NULL);
    server_wait_log(&nodes[0], "cluster: subscriptions 0, published ", 8000);
    server_wait_log(&nodes[0], "n1", 8000);
    unsigned before = server_log_count(&nodes[0], "n1");
    server_stop(&nodes[1]);
    uint64_t until = itest_deadline(8000);
    while (server_log_count(&nodes[0], "n1") == before)
        ITEST_ASSERT(mono_ns() < until, "nothing is said of a node that left");
    server_stop(&nodes[0]);
}
END_TEST

/* Goal: a server whose parent starts it again is a node again at once, also under the name that it was given. */
START_TEST(with_a_parent)
{
    WITH_ENGINE(ENGINE_REDIS);
    node_start(0, "-S", NULL);
    node_start(1, NULL, NULL);
    struct mortal_next next = {.parent = nodes[0].pid, .former = mortal_child(nodes[0].pid)};
    ck_assert_int_eq(kill(next.former, SIGKILL), 0);
    ck_assert_msg(itest_wait(mortal_has_next, &next, 8000), "there is no next child");
    int fd = commands_open(&nodes[0], 1), other = commands_open(&nodes[1], 2);
    await_push(other, fd, 1);
    await_push(fd, other, 2);
    close(fd);
    close(other);
    server_stop(&nodes[1]);
    server_stop(&nodes[0]);
    ck_assert_uint_eq(server_counter(&nodes[0], "restarts"), 1);
}
END_TEST

/* ---- What does not let it in ---- */

/* It must end with exit 2 and one line that has the word. */
static void must_not_start(const char *const *args, const char *word)
{
    char out[TEXT], err[TEXT];
    int code =
        itest_run(&(struct launch){.program = "maritcp", .args = args}, out, sizeof out, err, sizeof err);
    ck_assert_msg(code == EXIT_NO_START, "exit code %d, with '%s'", code, err);
    const char *newline = strchr(err, '\n');
    ck_assert_msg(newline != NULL && newline[1] == '\0' && strstr(err, word) != NULL,
                  "not one line with '%s' but '%s'", word, err);
}

/* Goal: a node whose name another one has does not start; that one goes on. */
START_TEST(a_name_that_is_taken)
{
    WITH_ENGINE(ENGINE_REDIS);
    char address[128];
    snprintf(address, sizeof address, "cluster.redis=%s", engine.address);
    const char *args[] = {"cluster.bus=redis", address, "cluster.node=n0", NULL};
    node_start(0, NULL, NULL);
    must_not_start(args, "n0");
    int fd = client_open(&nodes[0]);
    client_echo(fd, 10);
    close(fd);
    server_stop(&nodes[0]);
}
END_TEST

/* Goal: without the engine's password, or with another one, it does not start; with it, it does. */
START_TEST(passwords)
{
    char dir[64], path[96], file[128], address[128];
    if (engine_missing(ENGINE_REDIS) != NULL)
        TEST_SKIP("%s", engine_missing(ENGINE_REDIS));
    engine_start(&engine, ENGINE_REDIS, &(struct engine_options){.password = "sesame"});
    program_make_dir(dir, sizeof dir);
    snprintf(path, sizeof path, "%s/password", dir);
    snprintf(file, sizeof file, "cluster.password_file=%s", path);
    snprintf(address, sizeof address, "cluster.redis=%s", engine.address);
    const char *without[] = {"cluster.bus=redis", address, NULL},
               *with[] = {"cluster.bus=redis", address, file, NULL};
    static const char *const texts[] = {"open\n", "sesame\n"};
    must_not_start(without, "password");
    for (unsigned i = 0; i < 2; i++) {
        int fd = open(path, O_WRONLY | O_CREAT | O_TRUNC, 0600);
        ck_assert(fd >= 0 && write(fd, texts[i], strlen(texts[i])) == (ssize_t) strlen(texts[i]));
        close(fd);
        if (i == 0)
            must_not_start(with, "password");
    }
    struct server s;
    server_launch(&s, &(struct launch){.program = "maritcp", .args = with});
    server_stop(&s);
    program_remove_dir(dir);
}
END_TEST

Suite *cluster_maritcp_suite(void)
{
    Suite *s = suite_create("cluster_maritcp");
    TCase *c = itest_case(s, "nodes", 30);
    tcase_add_checked_fixture(c, NULL, engine_over);
    tcase_add_loop_test(c, two_are_one, ENGINE_REDIS, ENGINE_NATS + 1);
    tcase_add_loop_test(c, a_login_replaces_one_elsewhere, ENGINE_REDIS, ENGINE_NATS + 1);
    tcase_add_loop_test(c, a_login_is_refused_elsewhere, ENGINE_REDIS, ENGINE_NATS + 1);
    tcase_add_test(c, what_the_log_says);
    tcase_add_test(c, with_a_parent);
    tcase_add_test(c, a_name_that_is_taken);
    tcase_add_test(c, passwords);
    return s;
}
