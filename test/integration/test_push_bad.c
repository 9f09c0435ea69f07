/*
 * test_push_bad.c: sending with arguments that mean nothing, at the wrong time, to names that never were, into full
 * rings: each is refused or harmless, as the header says, and nothing is lost.
 *
 * Most tests make the server in the test's own process: its main thread is a thread of the application, the server runs
 * on another one.
 */
#include "harness.h"

#include <errno.h>
#include <pthread.h>
#include <stdatomic.h>
#include <string.h>
#include <unistd.h>

#include "ears.h"
#include "mario/mario.h"
#include "mario/mario_push.h"
#include "stuck.h"

#define NEVER \
    ((uint64) 5 << 32 | 0x7fffffff) /* worker 0, a slot that there is, a generation that there is not */

/* ---- A server in this process ---- */

static SERVER *server;
static pthread_t runs;
static _Atomic(CONN *) last_conn; /* of the last ECHO */
static _Atomic uint64_t last_id;
static _Atomic unsigned ran, ran_null, done_calls;

static sint32 echo(CONN *c)
{
    last_conn = c;
    last_id = mario_conn_id(c);
    return bufferevent_write(c->bufev, c->in_buf, c->in_buf_len);
}

static sint32 on_run(CONN *c, void *arg)
{
    (void) arg;
    ran += c != NULL;
    ran_null += c == NULL;
    return 0;
}

static void on_done(void *arg, uint64 seen)
{
    (void) arg;
    (void) seen;
    done_calls++;
}

static void *run(void *arg)
{
    return start_server(arg);
}

static void make_server(void)
{
    struct mario_options o;
    mario_options_init(&o);
    o.listen = "127.0.0.1:0";
    o.workernum = 2;
    o.connnum = 100;
    ck_assert(regist_akg_func(TEST_ECHO, echo) == 0 && regist_stx(ITEST_STX) == 0);
    server = mario_init_server(&o);
    ck_assert_ptr_nonnull(server);
}

/* Start it, and wait until it serves: a client that it has echoed to. */
static int start(void)
{
    struct server as = {.log = "/dev/null"};
    char port[8];
    ck_assert(pthread_create(&runs, NULL, run, server) == 0);
    snprintf(port, sizeof port, "%u", mario_server_port(server, 0));
    ck_assert_ptr_null(net_resolve("127.0.0.1", port, &as.target));
    int fd = client_open(&as);
    client_echo(fd, 20);
    return fd;
}

static void stop(void)
{
    void *failed;
    mario_stop_server(server);
    ck_assert(pthread_join(runs, &failed) == 0 && failed == NULL);
    ck_assert_uint_eq(mario_stat(server, "push_targets"),
                      mario_stat(server, "push_sent") + mario_stat(server, "push_dropped_closed"));
    ck_assert_uint_eq(mario_stat(server, "push_pending"), 0);
}

static void prepare(void)
{
    ck_assert(mario_log_open("/dev/null") == 0 && start_log_thread() == 0);
    make_server();
}

/* A packet with five bytes of data. */
static struct mario_msg *message_of(const char *text)
{
    if (server == NULL)
        ck_assert_int_eq(regist_stx(ITEST_STX), 0);
    struct mario_msg *m = mario_msg_packet(TEST_PUSHED, text, 5);
    ck_assert_ptr_nonnull(m);
    return m;
}

static struct mario_msg *message(void)
{
    return message_of("hello");
}

static void expect_hello(int fd)
{
    char text[5];
    ck_assert_uint_eq(client_recv_packet(fd, TEST_PUSHED, text, sizeof text), 5);
    ck_assert_mem_eq(text, "hello", 5);
}

/* ---- Messages ---- */

/* Goal: lengths and ids out of range make no message; what may be NULL may be, and what is freed twice is freed
 * once. */
START_TEST(messages_that_cannot_be)
{
    static char bytes[70000];
    struct mario_msg *m = NULL;
    static const uint16_t reserved[] = {0xfffc, 0xfffd, 0xfffe, 0xffff};
    for (uint32 len = 65536; len <= 70000; len += 1000) {
        errno = 0;
        m = mario_msg(bytes, len);
        ck_assert(m == NULL && errno == EINVAL);
        errno = 0;
        m = mario_msg_packet(1, bytes, len - 8);
        ck_assert(m == NULL && errno == EINVAL);
    }
    errno = 0;
    m = mario_msg(bytes, 0);
    ck_assert(m == NULL && errno == EINVAL);
    errno = 0;
    m = mario_msg(bytes, UINT32_MAX);
    ck_assert(m == NULL && errno == EINVAL);
    m = mario_msg_packet(1, bytes, UINT32_MAX - 4);
    ck_assert(m == NULL);
    for (int i = 0; i < 4; i++) {
        errno = 0;
        m = mario_msg_packet(reserved[i], "x", 1);
        ck_assert(m == NULL && errno == EINVAL);
    }
    mario_msg_key(NULL, 1);
    mario_msg_keep(NULL);
    mario_msg_receipt(NULL, 1);
    mario_msg_free(&m);
    m = mario_msg(bytes, 65535);
    ck_assert_ptr_nonnull(m);
    mario_msg_free(&m);
    ck_assert_ptr_null(m);
    mario_msg_free(&m);
    m = mario_msg_packet(0xfffb, NULL, 0);
    ck_assert_ptr_nonnull(m);
    mario_msg_free(&m);
}
END_TEST

/* ---- The wrong time ---- */

/* Whether the call is refused with this errno. */
#define REFUSED(error, call)                                                                   \
    do {                                                                                       \
        errno = 0;                                                                             \
        sint32 rc = (call);                                                                    \
        ck_assert_msg(rc == -1 && errno == (error), "%s: %d with errno %d", #call, rc, errno); \
    } while (0)

static void expect_shut_down(uint64 id)
{
    struct mario_msg *m = message();
    REFUSED(ESHUTDOWN, mario_send(id, m));
    REFUSED(ESHUTDOWN, mario_send_user(1, m));
    REFUSED(ESHUTDOWN, mario_send_group(1, m, 0));
    REFUSED(ESHUTDOWN, mario_send_all(m, 0));
    REFUSED(ESHUTDOWN, mario_kick(id, 1, m));
    REFUSED(ESHUTDOWN, mario_kick(id, 1, NULL));
    REFUSED(ESHUTDOWN, mario_kick_user(1, 1, m));
    REFUSED(ESHUTDOWN, mario_run(id, on_run, NULL));
    REFUSED(ESHUTDOWN, mario_join_id(id, 1));
    REFUSED(ESHUTDOWN, mario_leave_id(id, 1));
    REFUSED(ESHUTDOWN, mario_each_conn(on_run, NULL, on_done));
    ck_assert_uint_eq(mario_group_count(1), 0);
    ck_assert_uint_eq(mario_user_count(1), 0);
    mario_msg_free(&m);
    ck_assert_uint_eq(ran + ran_null + done_calls, 0);
}

/* Goal: where no server runs nothing is accepted and nobody is called: before one is made, before it starts, when it
 * has stopped, when it is freed. */
START_TEST(no_server_runs)
{
    expect_shut_down(NEVER);
    prepare();
    expect_shut_down(NEVER);
    int fd = start();
    uint64 id = last_id;
    ck_assert_uint_ne(id, 0);
    struct mario_msg *m = message();
    ck_assert_int_eq(mario_send(id, m), 0);
    expect_hello(fd);
    stop();
    expect_shut_down(id);
    REFUSED(ESHUTDOWN, mario_stop_message(m));
    mario_msg_free(&m);
    mario_free_server(&server);
    expect_shut_down(id);
    close(fd);
}
END_TEST

/* Goal: servers one after the other, with a thread that sends to each: names of the former are nobody's; a message may
 * be of the time before; and all is counted anew. */
START_TEST(one_after_the_other)
{
    enum { ROUNDS = 12 };
    uint64 old = 0;
    struct mario_msg *m = message();
    ck_assert(mario_log_open("/dev/null") == 0 && start_log_thread() == 0);
    for (int i = 0; i < ROUNDS; i++) {
        make_server();
        int fd = start();
        ck_assert_uint_ne(last_id, old);
        if (old != 0)
            ck_assert_int_eq(mario_send(old, m), 0);
        old = last_id;
        ck_assert(mario_send(old, m) == 0 && mario_join_id(old, 7) == 0 && mario_send_group(7, m, 0) == 0);
        expect_hello(fd);
        expect_hello(fd);
        ck_assert_uint_eq(mario_group_count(7), 1);
        if (i % 2 == 0)
            ck_assert_int_eq(mario_send_all(m, 0), 0); /* it may be there yet, or not */
        stop();
        ck_assert_uint_eq(mario_stat(server, "push_gone"), i > 0);
        close(fd);
        mario_free_server(&server);
    }
    mario_msg_free(&m);
}
END_TEST

/* Goal: what it says at a stop is the last message that was set, heard by all before the FIN; none if that was NULL. It
 * may be set before the start. */
START_TEST(the_last_word)
{
    struct mario_msg *wrong = message_of("wrong"), *m = message();
    prepare();
    ck_assert_int_eq(mario_stop_message(_i == 0 ? m : wrong), 0);
    int fd = start();
    if (_i > 0)
        ck_assert_int_eq(mario_stop_message(_i == 1 ? m : NULL), 0);
    mario_msg_free(&m);
    mario_msg_free(&wrong);
    mario_stop_server(server);
    if (_i < 2)
        expect_hello(fd);
    client_expect_fin(fd);
    ck_assert(pthread_join(runs, NULL) == 0);
    ck_assert_uint_eq(mario_stat(server, "push_sent"), _i < 2);
    mario_free_server(&server);
}
END_TEST

/* ---- Arguments that mean nothing ---- */

/* Goal: each is refused, and nothing is done. */
START_TEST(arguments_that_mean_nothing)
{
    prepare();
    int fd = start();
    uint64 id = last_id, no_worker = id | (uint64) 200 << 56;
    struct mario_msg *m = message();
    REFUSED(EINVAL, mario_send(0, m));
    REFUSED(EINVAL, mario_send(no_worker, m));
    REFUSED(EINVAL, mario_send((uint64) 2 << 56 | 1, m));
    REFUSED(EINVAL, mario_send(id, NULL));
    REFUSED(EINVAL, mario_send_user(0, m));
    REFUSED(EINVAL, mario_send_user(1, NULL));
    REFUSED(EINVAL, mario_send_group(0, m, 0));
    REFUSED(EINVAL, mario_send_group(1, NULL, 0));
    REFUSED(EINVAL, mario_send_all(NULL, 0));
    REFUSED(EINVAL, mario_kick(0, 1, m));
    REFUSED(EINVAL, mario_kick(no_worker, 1, NULL));
    REFUSED(EINVAL, mario_kick_user(0, 1, m));
    REFUSED(EINVAL, mario_run(0, on_run, NULL));
    REFUSED(EINVAL, mario_run(no_worker, on_run, NULL));
    REFUSED(EINVAL, mario_run(id, NULL, NULL));
    REFUSED(EINVAL, mario_join_id(0, 1));
    REFUSED(EINVAL, mario_join_id(id, 0));
    REFUSED(EINVAL, mario_join_id(no_worker, 1));
    REFUSED(EINVAL, mario_leave_id(0, 1));
    REFUSED(EINVAL, mario_leave_id(id, 0));
    REFUSED(EINVAL, mario_each_conn(NULL, NULL, on_done));
    ck_assert(mario_group_count(0) == 0 && mario_user_count(0) == 0);
    CONN *c = last_conn; /* its function has returned */
    REFUSED(EINVAL, mario_join(c, 1));
    REFUSED(EINVAL, mario_leave(c, 1));
    REFUSED(EINVAL, mario_bind(c, 1, MARIO_BIND_MANY, 0));
    REFUSED(EINVAL, mario_slow_policy(c, MARIO_SLOW_CLOSE, 10, 0));
    REFUSED(EINVAL, mario_timer(c, 10, on_run, NULL));
    REFUSED(EINVAL, mario_join(NULL, 1));
    REFUSED(EINVAL, mario_bind(NULL, 1, MARIO_BIND_MANY, 0));
    REFUSED(EINVAL, mario_timer(NULL, 10, on_run, NULL));
    ck_assert(mario_conn_id(c) == 0 && mario_conn_id(NULL) == 0);
    client_echo(fd, 100);
    stop();
    ck_assert_uint_eq(ran + ran_null + done_calls, 0);
    ck_assert_uint_eq(mario_stat(server, "push_targets") + mario_stat(server, "push_gone"), 0);
    mario_msg_free(&m);
    close(fd);
    mario_free_server(&server);
}
END_TEST

/* Goal: the same in a function of the connection, where its CONN means something. */
START_TEST(in_a_function_that_mean_nothing)
{
    static const struct test_order wrong[] = {
        {.kind = ORDER_JOIN, .to = 0},
        {.kind = ORDER_LEAVE, .to = 0},
        {.kind = ORDER_BIND, .to = 0},
        {.kind = ORDER_BIND, .to = 1, .how = 3},
        {.kind = ORDER_BIND, .to = 1, .how = 255},
        {.kind = ORDER_POLICY, .how = MARIO_SLOW_DROP_OLDEST, .number = 0, .limit = 0},
        {.kind = ORDER_POLICY, .how = 4, .number = 1},
        {.kind = ORDER_POLICY, .how = 255, .number = 1},
        {.kind = ORDER_TIMER, .number = MARIO_TIMER_MAX + 1},
        {.kind = ORDER_TIMER, .number = UINT32_MAX},
    };
    static const uint16_t akg[] = {TEST_PUSH, TEST_PUSH + TEST_OFFLOADED, TEST_PUSH + TEST_CONCURRENT};
    struct test_done done[ORDERS_IN(wrong)];
    struct server s;
    struct ears e;
    server_start(&s, "testapp", "test.offload=on", NULL);
    ears_open(&e, &s, 2);
    for (int i = 0; i < 3; i++) {
        ear_do(&e, 0, akg[i], wrong, ORDERS_IN(wrong), done);
        for (uint32_t k = 0; k < ORDERS_IN(wrong); k++)
            ck_assert_msg(done[k].rc == -1 && done[k].error == EINVAL, "order %u: %d with errno %d", k,
                          done[k].rc, done[k].error);
    }
    const struct test_order harmless[] = {
        {.kind = ORDER_LEAVE, .to = 5},
        {.kind = ORDER_TIMER, .number = 0},
        {.kind = ORDER_SEND_USER, .to = 5, .len = 50},
        {.kind = ORDER_SEND_GROUP, .to = 5, .len = 50},
        {.kind = ORDER_KICK_USER, .to = 5, .len = 50},
        {.kind = ORDER_KICK_USER, .to = 5},
        {.kind = ORDER_SEND_GROUP, .to = 5, .len = 50, .other = 1}, /* excepted: a name of nobody */
        {.kind = ORDER_SEND, .to = NEVER, .len = 50},
        {.kind = ORDER_KICK, .to = NEVER, .len = 50},
        {.kind = ORDER_SEND, .to = (uint64_t) 0xffffff << 32 | 1, .len = 50}, /* no such slot */
        {.kind = ORDER_KICK, .to = (uint64_t) 0xffffff << 32 | 1},
        {.kind = ORDER_JOIN_ID, .to = 5, .other = (uint64_t) 0xffffff << 32 | 1},
        {.kind = ORDER_LEAVE_ID, .to = 5, .other = NEVER},
        {.kind = ORDER_RUN, .to = NEVER},
        {.kind = ORDER_RUN, .to = (uint64_t) 0xffffff << 32 | 1},
    };
    struct test_done fine[ORDERS_IN(harmless)];
    ear_do(&e, 0, TEST_PUSH, harmless, ORDERS_IN(harmless), fine);
    for (uint32_t k = 0; k < ORDERS_IN(harmless); k++)
        ck_assert_msg(fine[k].rc == 0, "order %u: %d with errno %d", k, fine[k].rc, fine[k].error);
    ear_wait_counter(&e, 1, "run_nobody", 2);
    ear_wait_counter(&e, 1, "push_gone", 4);
    ears_close(&e);
    server_finish(&s);
    ck_assert_uint_eq(server_counter(&s, "push_targets"), 0);
    ck_assert_uint_eq(server_counter(&s, "closed_kicked"), 0);
}
END_TEST

/* ---- Full rings ---- */

/* Goal: one worker does not take its orders: to it so many are accepted as the ring holds, then EAGAIN, counted; what
 * goes to all is accepted by all workers or by none. What was accepted arrives when it goes on. */
START_TEST(a_ring_is_full)
{
    enum { RING = 16, TRIES = 40 };
    struct test_done done[2];
    struct server s;
    struct ears e;
    server_start(&s, "testapp", "server.workernum=2", "push.ring=16", "watch.warn_ms=0", NULL);
    ears_open(&e, &s, 4); /* 0 and 2 are of one worker, 1 and 3 of the other */
    ck_assert_uint_eq(id_worker_of(e.each[0].id), id_worker_of(e.each[2].id));
    uint64_t functions = ear_counter(&e, 0, "functions");
    ear_tell(&e, 1, ORDERS({.kind = ORDER_STICK}), 1);
    ear_wait_counter(&e, 0, "functions", functions + 1);
    ear_do(&e, 0, TEST_PUSH,
           ORDERS({.kind = ORDER_SEND, .to = e.each[3].id, .times = TRIES - 1, .len = 50, .sender = 1},
                  {.kind = ORDER_SEND_ALL, .times = TRIES - 1, .len = 50, .sender = 2}),
           2, done);
    ck_assert_msg(done[0].accepted >= RING - 2 && done[0].accepted <= RING + 2, "%u accepted",
                  done[0].accepted);
    ck_assert(done[0].rc == -1 && done[0].error == EAGAIN);
    ck_assert(done[1].accepted == 0 && done[1].error == EAGAIN);
    ear_ask(&e, 2, TEST_ECHO, NULL, 0);
    ck_assert_uint_eq(e.each[0].heard + e.each[2].heard, 0);
    ck_assert_uint_ge(ear_counter(&e, 0, "push_refused_ring"), 2 * TRIES - RING - 2);
    ear_ask(&e, 0, TEST_UNSTICK, NULL, 0);
    ears_wait(&e, ears_have_heard, done[0].accepted, "what was accepted");
    ck_assert_uint_eq(e.each[3].heard, done[0].accepted);
    uint64_t heard = ears_heard(&e);
    ear_order(&e, 0, (struct test_order){.kind = ORDER_SEND_ALL, .len = 50, .sender = 2, .number = TRIES});
    ears_wait(&e, ears_have_heard, heard + 4, "and it goes on");
    ears_wait_quiet(&e, 0, heard + 4);
    ears_close(&e);
    server_finish(&s);
}
END_TEST

/* Goal: a function floods its own worker: it is told when its ring is full, waits for nobody, and all that was accepted
 * arrives. */
START_TEST(its_own_ring_is_full)
{
    struct test_done done[1];
    struct server s;
    struct ears e;
    server_start(&s, "testapp", "server.workernum=1", "push.ring=64", "push.queue=1000", NULL);
    ears_open(&e, &s, 2);
    ear_do(&e, 0, TEST_PUSH,
           ORDERS({.kind = ORDER_SEND, .to = e.each[1].id, .times = 199, .len = 50, .sender = 1}), 1, done);
    ck_assert_msg(done[0].accepted >= 62 && done[0].accepted < 200 && done[0].error == EAGAIN, "%u accepted",
                  done[0].accepted);
    ears_wait_quiet(&e, 0, done[0].accepted);
    ck_assert_uint_eq(e.each[1].gaps, 0);
    ears_close(&e);
    server_finish(&s);
}
END_TEST

/* ---- Too many groups ---- */

/* Goal: a connection joins push.groups groups and no more; joining one again is none; who leaves one may join
 * another. */
START_TEST(more_groups_than_allowed)
{
    const uint64_t group = 77;
    struct server s;
    struct ears e;
    server_start(&s, "testapp", "server.workernum=1", "push.groups=3", NULL);
    ears_open(&e, &s, 2);
    for (uint64_t g = group; g < group + 5; g++)
        ear_order(&e, 0, (struct test_order){.kind = ORDER_JOIN, .to = g});
    ear_order(&e, 0, (struct test_order){.kind = ORDER_JOIN, .to = group});
    ear_order(&e, 1, (struct test_order){.kind = ORDER_JOIN, .to = group + 4});
    ear_wait_counter(&e, 1, "push_refused_groups", 2);
    for (uint64_t g = group; g < group + 5; g++)
        ck_assert_uint_eq(ear_order(&e, 1, (struct test_order){.kind = ORDER_GROUP_COUNT, .to = g}),
                          g != group + 3);
    ear_order(&e, 0, (struct test_order){.kind = ORDER_LEAVE, .to = group});
    ear_order(&e, 0, (struct test_order){.kind = ORDER_JOIN, .to = group + 3});
    ck_assert_uint_eq(ear_order(&e, 0, (struct test_order){.kind = ORDER_GROUP_COUNT, .to = group + 3}), 1);
    ck_assert_uint_eq(ear_counter(&e, 1, "push_refused_groups"), 2);
    ears_close(&e);
    server_finish(&s);
}
END_TEST

Suite *push_bad_suite(void)
{
    Suite *s = suite_create("push_bad");
    TCase *c = itest_case(s, "messages", 20);
    tcase_add_test(c, messages_that_cannot_be);
    c = itest_case(s, "time", 30);
    tcase_add_test(c, no_server_runs);
    tcase_add_test(c, one_after_the_other);
    tcase_add_loop_test(c, the_last_word, 0, 3);
    c = itest_case(s, "arguments", 30);
    tcase_add_test(c, arguments_that_mean_nothing);
    tcase_add_test(c, in_a_function_that_mean_nothing);
    c = itest_case(s, "rings", 30);
    tcase_add_test(c, a_ring_is_full);
    tcase_add_test(c, its_own_ring_is_full);
    tcase_add_test(itest_case(s, "groups", 20), more_groups_than_allowed);
    return s;
}
