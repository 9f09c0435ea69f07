/*
 * test_load.c: mario_load against maritcp: its book is exact with as many connections as a process may have, and
 * what cannot go well is said with the way to mend it. How it judges wrong answers is the clients suite's.
 */
#include <netinet/in.h>
#include <pthread.h>
#include <signal.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/resource.h>
#include <sys/socket.h>
#include <unistd.h>

#include "harness.h"
#include "protocol/mario_protocol.h"
#include "test/engine/engine.h"

#define MANY  15000u /* connections, or what the descriptor limit allows */
#define SPARE 200u   /* descriptors that both ends need besides */

/* Run mario_load against this port; the words end with NULL. Returns its exit code. */
static int load_port(uint16_t to, uint64_t nofile, char *out, size_t out_size, char *err, size_t err_size,
                     const char *const *words)
{
    const char *args[24] = {"127.0.0.1"};
    char port[8];
    size_t n = 1;
    snprintf(port, sizeof port, "%u", to);
    args[n++] = port;
    while (*words != NULL && n < 23)
        args[n++] = *words++;
    args[n] = NULL;
    struct launch l = {.program = "mario_load", .args = args, .bare = true, .nofile = nofile};
    return itest_run(&l, out, out_size, err, err_size);
}

static int load(const struct server *s, uint64_t nofile, char *out, size_t out_size, char *err,
                size_t err_size, const char *const *words)
{
    return load_port(s->port, nofile, out, out_size, err, err_size, words);
}

/* The number behind "key": in the JSON text. */
static unsigned long long json_number(const char *json, const char *key)
{
    char name[64];
    unsigned long long value = 0;
    snprintf(name, sizeof name, "\"%s\":", key);
    const char *at = strstr(json, name);
    ck_assert_msg(at != NULL && sscanf(at + strlen(name), "%llu", &value) == 1, "no %s in %s", key, json);
    return value;
}

/* Goal: with 15,000 connections each request is answered once and each connection accounted for, whatever sets
 * the pace, and the server's book says the same. */
START_TEST(the_book_is_exact)
{
    static const char *const modes[][8] = {
        {"-m", "closed", "-t", "1"},
        {"-m", "closed", "-p", "3", "-a", "echo", "-t", "1"},
        {"-m", "open", "-r", "20000", "-a", "echo", "-t", "1"},
        {"-m", "hold", "--heartbeat", "1", "--churn", "500", "-t", "1"},
    };
    struct rlimit r;
    ck_assert_int_eq(getrlimit(RLIMIT_NOFILE, &r), 0);
    unsigned many = r.rlim_max < MANY + SPARE ? (unsigned) r.rlim_max - SPARE : MANY;
    char connnum[40], count[16], out[8192], err[2048];
    snprintf(connnum, sizeof connnum, "server.connnum=%u", many + 1000);
    snprintf(count, sizeof count, "%u", many);
    struct server s;
    server_start(&s, "maritcp", "server.workernum=1", "server.timeout=0", connnum, NULL);
    const char *words[16] = {"-c", count, "-j", "-", "-D", "30"};
    memcpy(words + 6, modes[_i], sizeof modes[_i]);
    int code = load(&s, r.rlim_max, out, sizeof out, err, sizeof err, words);
    bool is_busy =
        strstr(err, "the rates were not kept") != NULL; /* the machine: the book is exact all the same */
    ck_assert_msg(code == 0 || (code == 1 && is_busy), "exit code %d: %s%s", code, err, out);
    ck_assert_uint_eq(json_number(out, "sent"), json_number(out, "answered"));
    ck_assert_uint_eq(json_number(out, "lost"), 0);
    ck_assert_uint_ge(json_number(out, "requests"), 100); /* far more, unless the machine is busy */
    server_finish(&s);
    ck_assert_uint_ge(server_counter(&s, "opened"), many);
}
END_TEST

/* Goal: what cannot go well ends with the right code and a line that names the limit and the remedy. */
START_TEST(it_says_how_to_mend)
{
    static const struct {
        const char *words[12];
        uint64_t nofile;
        int code;
        const char *what, *cure; /* in its line */
        bool down;               /* the server has ended before */
    } cases[] = {
        {{"-c", "500"}, 200, 2, "needs 533 descriptors, the limit is 200", "ulimit -Hn", false},
        {{"-c", "500", "-m", "hold"}, 200, 2, "needs 533 descriptors, the limit is 200", "ulimit -Hn", false},
        {{"-c", "90", "-t", "0.2"}, 0, 1, "errors, ", "raise its server.connnum", false},
        {{"-c", "90", "-t", "0.2", "-m", "open", "-r", "1000"},
         0,
         1,
         "errors, ",
         "raise its server.connnum",
         false},
        {{"-c", "90", "-t", "0.2", "-m", "hold"}, 0, 1, "40 of 90", "raise its server.connnum", false},
        {{"-c", "9", "-t", "0.3", "-w", "0", "-m", "open", "-r", "90000000", "-p", "1"},
         0,
         1,
         "-r 90000000 was not kept",
         "raise -p",
         false},
        {{"-c", "9", "-t", "0.2"}, 0, 2, "cannot connect to 127.0.0.1 port", "start the server", true},
        {{"-c", "9", "-t", "0.2", "-m", "hold"},
         0,
         2,
         "cannot log in to 127.0.0.1 port",
         "start the server",
         true},
    };
    char out[8192], err[2048];
    struct server s;
    server_start(&s, "maritcp", "server.workernum=1", "server.connnum=40", NULL);
    bool down = false;
    for (size_t i = 0; i < sizeof cases / sizeof cases[0]; i++) {
        if (cases[i].down && !down)
            server_stop(&s);
        down = cases[i].down;
        int code = load(&s, cases[i].nofile, out, sizeof out, err, sizeof err, cases[i].words);
        ck_assert_msg(code == cases[i].code && strstr(err, cases[i].what) != NULL &&
                          strstr(err, cases[i].cure) != NULL,
                      "case %zu: exit code %d: %s", i, code, err);
    }
}
END_TEST

/* The number behind "key": of one of the servers of -H. */
static unsigned long long node_number(const char *json, int node, const char *key)
{
    const char *at = strstr(json, "\"nodes\":");
    for (int i = 0; i <= node && at != NULL; i++)
        at = strstr(at + 1, "{\"target\"");
    ck_assert_msg(at != NULL, "no node %d in %s", node, json);
    return json_number(at, key);
}

/* Goal: over two servers each has its half of the connections and its own counts; that two which do not know of each
 * other do not hand messages on is found. */
START_TEST(over_two_servers)
{
    static const struct {
        const char *words[8];
        int code;
    } modes[] = {
        {{"-m", "closed", "-a", "echo", "-t", "0.3"}, 0},
        {{"-m", "churn", "-t", "0.3"}, 0},
        {{"-m", "hold", "--heartbeat", "1", "-t", "0.5"}, 0},
        {{"-m", "push", "-r", "200", "--publishers", "2", "-t", "0.3"}, 1},
    };
    char out[8192], err[2048], hosts[64];
    struct server s[2];
    for (int i = 0; i < 2; i++)
        server_start(&s[i], "maritcp", "server.workernum=1", NULL);
    snprintf(hosts, sizeof hosts, "127.0.0.1:%u,127.0.0.1:%u", s[0].port, s[1].port);
    for (size_t i = 0; i < sizeof modes / sizeof modes[0]; i++) {
        const char *args[20] = {"-H", hosts, "-c", "20", "-w", "0", "-D", i == 3 ? "1" : "20", "-j", "-"};
        if (i == 2)
            args[4] = "-T", args[5] = "2"; /* there -w means nothing */
        memcpy(args + 10, modes[i].words, sizeof modes[i].words);
        struct launch l = {.program = "mario_load", .args = args, .bare = true};
        int code = itest_run(&l, out, sizeof out, err, sizeof err);
        ck_assert_msg(code == modes[i].code, "%zu: exit code %d: %s%s", i, code, err, out);
        ck_assert_uint_ge(node_number(out, 0, "connections"), 10);
        ck_assert_uint_ge(node_number(out, 1, "connections"), 10);
        if (i < 3)
            ck_assert_uint_eq(node_number(out, 0, "answered") + node_number(out, 1, "answered"),
                              json_number(out, "answered"));
        else
            ck_assert_uint_gt(json_number(out, "missing"), 0);
    }
    for (int i = 0; i < 2; i++)
        server_finish(&s[i]);
}
END_TEST

/* Start maritcp as a node; its name is a digit. */
static void start_node(struct server *s, const struct engine *e, unsigned name)
{
    char redis[120], node[40];
    snprintf(redis, sizeof redis, "cluster.redis=%s", e->address);
    snprintf(node, sizeof node, "cluster.node=%u", name);
    server_start(s, "maritcp", "server.workernum=1", "cluster.bus=redis", redis, node, NULL);
}

/* Goal: over the nodes of a cluster everything is heard, once and in order. When one is killed in the middle the
 * others' subscribers have lost nothing of what was said to them, and its own go to another node and hear what comes
 * then. */
START_TEST(over_a_cluster)
{
    if (engine_missing(ENGINE_REDIS) != NULL)
        TEST_SKIP("%s", engine_missing(ENGINE_REDIS));
    char out[8192], err[2048], hosts[96];
    struct engine e;
    struct server s[3];
    engine_start(&e, ENGINE_REDIS, NULL);
    for (unsigned i = 0; i < 3; i++)
        start_node(&s[i], &e, i);
    snprintf(hosts, sizeof hosts, "127.0.0.1:%u,127.0.0.1:%u,127.0.0.1:%u", s[0].port, s[1].port, s[2].port);
    const char *const args[] = {"-H",
                                hosts,
                                "-m",
                                "push",
                                "-c",
                                "60",
                                "--groups",
                                "10",
                                "--publishers",
                                "3",
                                "-r",
                                "500",
                                "-t",
                                _i == 0 ? "1" : "4",
                                "-w",
                                "0",
                                "-D",
                                "5",
                                "-j",
                                "-",
                                _i == 0 ? NULL : "--reconnect",
                                NULL};
    pid_t killer = _i == 0 ? 0 : fork();
    if (_i != 0 && killer == 0) {
        itest_sleep(2500); /* a second passes before anything is said */
        kill(s[1].pid, SIGKILL);
        _exit(0);
    }
    struct launch l = {.program = "mario_load", .args = args, .bare = true};
    int code = itest_run(&l, out, sizeof out, err, sizeof err);
    ck_assert_msg(code == 0, "exit code %d: %s%s", code, err, out);
    ck_assert_uint_eq(json_number(out, "missing"), 0);
    ck_assert_uint_gt(json_number(out, "all_received"), 1000);
    for (int i = 0; i < 3; i++)
        ck_assert_uint_ge(node_number(out, i, "connections"), 20);
    if (_i != 0) {
        ck_assert_uint_ge(json_number(out, "broken"), 20);
        ck_assert_uint_eq(json_number(out, "returned"), json_number(out, "broken"));
        server_wait_exit(&s[1], 5000);
        server_discard(&s[1]);
    }
    for (int i = 0; i < 3; i++)
        if (_i == 0 || i != 1)
            server_stop(&s[i]);
    engine_end(&e);
}
END_TEST

enum { LEAVERS = 8, ASKS = 40, REQUEST = 8 + 60000, REPLY = 13 }; /* SAY_HELLO with data, and its reply */

/* A server on a thread of its own that reads ASKS requests of a client, answers them with one send, and is gone with a
 * reset; to LEAVERS clients. arg: its listener. */
static void *leaver(void *arg)
{
    static const struct linger off = {.l_onoff = 1};
    unsigned char *in = malloc(ASKS * REQUEST), out[ASKS * REPLY];
    for (size_t i = 0; i < ASKS; i++) {
        wire_put_head(out + i * REPLY, (struct wire_head){ITEST_STX, REPLY, CMD_FUNCTION_SAY_HELLO});
        memcpy(out + i * REPLY + WIRE_HEAD_LEN, "hello", REPLY - WIRE_HEAD_LEN);
    }
    for (int i = 0; i < LEAVERS; i++) {
        int fd = accept4(*(int *) arg, NULL, NULL, SOCK_CLOEXEC);
        ptrdiff_t n = net_recv_wait(fd, in, ASKS * REQUEST, itest_deadline(8000));
        if (n == ASKS * REQUEST && net_send_wait(fd, out, sizeof out, itest_deadline(8000)) == 0)
            setsockopt(fd, SOL_SOCKET, SO_LINGER, &off, sizeof off);
        close(fd);
    }
    free(in);
    return NULL;
}

/* Goal: answers that are there count, though their server has gone and takes no more of the requests that are still
 * to be sent: the client, whose socket is full, hears of both at once. */
START_TEST(answers_of_a_server_that_goes_count)
{
    static const char *const words[] = {"-c", "8", "-p", "400", "-a", "hello", "-s", "60000",
                                        "-w", "0", "-t", "4",   "-j", "-",     NULL};
    char out[8192], err[2048];
    struct sockaddr_in a = {.sin_family = AF_INET, .sin_addr.s_addr = htonl(INADDR_LOOPBACK)};
    socklen_t len = sizeof a;
    pthread_t thread;
    int listener = socket(AF_INET, SOCK_STREAM | SOCK_CLOEXEC, 0);
    ck_assert_int_eq(bind(listener, (struct sockaddr *) &a, len), 0);
    ck_assert_int_eq(listen(listener, LEAVERS), 0);
    ck_assert_int_eq(getsockname(listener, (struct sockaddr *) &a, &len), 0);
    ck_assert_int_eq(pthread_create(&thread, NULL, leaver, &listener), 0);
    int code = load_port(ntohs(a.sin_port), 0, out, sizeof out, err, sizeof err, words);
    pthread_join(thread, NULL);
    close(listener);
    ck_assert_int_eq(code, 1);
    ck_assert_msg(json_number(out, "answered") == LEAVERS * ASKS, "%s%s", err, out);
    ck_assert_uint_eq(json_number(out, "sent"), LEAVERS * ASKS + json_number(out, "lost"));
}
END_TEST

Suite *load_suite(void)
{
    Suite *s = suite_create("load");
    TCase *c = itest_case(s, "load", 50);
    tcase_add_loop_test(c, the_book_is_exact, 0, 4);
    tcase_add_test(c, it_says_how_to_mend);
    tcase_add_test(c, answers_of_a_server_that_goes_count);
    tcase_add_test(c, over_two_servers);
    tcase_add_loop_test(c, over_a_cluster, 0, 2);
    return s;
}
