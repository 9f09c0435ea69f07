/*
 * test_push_hostile.c: applications that send as none should: receipts that make receipts, thousands of threads, calls
 * that wait for nothing. The worker goes on serving, and everything is accounted for.
 *
 * The server runs on a thread of the test's own process; the main thread is one of the application.
 */
#include "harness.h"

#include <errno.h>
#include <pthread.h>
#include <stdatomic.h>
#include <stdio.h>
#include <string.h>
#include <unistd.h>

#include "mario/mario.h"
#include "mario/mario_push.h"
#include "test/apps/testapp/commands.h"

#define NOBODY_IN 77 /* a group */

static SERVER *server;
static pthread_t runs;
static struct server as; /* the same, for clients */

static sint32 echo(CONN *c)
{
    return bufferevent_write(c->bufev, c->in_buf, c->in_buf_len);
}

static void *run(void *arg)
{
    return start_server(arg);
}

static void start(uint32 workernum)
{
    struct mario_options o;
    char port[8];
    mario_options_init(&o);
    o.listen = "127.0.0.1:0";
    o.workernum = workernum;
    o.connnum = 1000;
    ck_assert(mario_log_open("/dev/null") == 0 && start_log_thread() == 0);
    ck_assert(regist_akg_func(TEST_ECHO, echo) == 0 && regist_stx(ITEST_STX) == 0);
    server = mario_init_server(&o);
    ck_assert_ptr_nonnull(server);
    ck_assert(pthread_create(&runs, NULL, run, server) == 0);
    snprintf(port, sizeof port, "%u", mario_server_port(server, 0));
    ck_assert_ptr_null(net_resolve("127.0.0.1", port, &as.target));
}

static void stop(void)
{
    void *failed;
    mario_stop_server(server);
    ck_assert(pthread_join(runs, &failed) == 0 && failed == NULL);
    ck_assert_uint_eq(mario_stat(server, "push_targets"),
                      mario_stat(server, "push_sent") + mario_stat(server, "push_dropped_closed"));
    ck_assert_uint_eq(mario_stat(server, "push_pending"), 0);
    mario_free_server(&server);
}

static struct mario_msg *message(void)
{
    struct mario_msg *m = mario_msg_packet(TEST_PUSHED, "hello", 5);
    ck_assert_ptr_nonnull(m);
    return m;
}

/* ---- Receipts ---- */

static _Atomic bool enough;
static _Atomic uint64_t receipts;

/* Its receipt is due when this has returned. */
static void send_to_nobody(void)
{
    struct mario_msg *m = message();
    mario_msg_receipt(m, 1);
    ck_assert_int_eq(mario_send_group(NOBODY_IN, m, 0), 0);
    mario_msg_free(&m);
}

static void on_receipt(const struct mario_receipt *r)
{
    ITEST_ASSERT(r->tag == 1 && r->targets == 0 && r->sent == 0 && r->dropped == 0, "a wrong receipt");
    receipts++;
    if (!enough)
        send_to_nobody();
}

/* Goal: a receipt's function that sends what is due for a receipt at once, without an end, holds up nobody. */
START_TEST(receipts_without_end)
{
    ck_assert_int_eq(regist_receipt_func(on_receipt), 0);
    start(1);
    int fd = client_open(&as);
    client_echo(fd, 20);
    send_to_nobody();
    while (receipts < 1000)
        itest_sleep(1);
    for (int i = 0; i < 100; i++)
        client_echo(fd, 20);
    enough = true;
    close(fd);
    stop();
    ck_assert_uint_gt(receipts, 1000);
}
END_TEST

/* ---- Very many of a thing ---- */

static sint32 on_timer(CONN *c, void *arg)
{
    (void) c;
    (void) arg;
    return 0;
}

enum { OF_EACH = 1000, ROUNDS = 30, LAST = 4 };

/* OF_EACH timers more for this connection, each of its own. */
static sint32 set_timers(CONN *c)
{
    static uintptr_t made;
    for (int i = 0; i < OF_EACH && mario_timer(c, MARIO_TIMER_MAX, on_timer, (void *) (made + 1)) == 0; i++)
        made++;
    return echo(c);
}

/* Goal: a connection with thousands of timers takes the time that it needs for them, but no other's. */
START_TEST(thousands_of_timers)
{
    ck_assert_int_eq(regist_akg_func(TEST_SILENT, set_timers), 0);
    start(1);
    int many = client_open(&as), other = client_open(&as);
    uint64_t least = UINT64_MAX;
    client_echo(other, 20);
    for (int i = 0; i < ROUNDS; i++) {
        client_send_packet(many, TEST_SILENT, NULL, 0);
        itest_sleep(3); /* it is at it */
        uint64_t began = mono_ns();
        client_echo(other, 20);
        uint64_t took = mono_ns() - began;
        if (i >= ROUNDS - LAST && took < least)
            least = took;
        client_recv_packet(many, TEST_SILENT, NULL, 0);
    }
    ck_assert_msg(least < 25 * NS_PER_MS * ITEST_SLOW, "an echo waits for %llu us at least",
                  (unsigned long long) least / 1000);
    close(many);
    close(other);
    stop();
}
END_TEST

Suite *push_hostile_suite(void)
{
    Suite *s = suite_create("push_hostile");
    TCase *c = itest_case(s, "receipts", 20);
    tcase_add_test(c, receipts_without_end);
    c = itest_case(s, "many", 30);
    tcase_add_test(c, thousands_of_timers);
    return s;
}
