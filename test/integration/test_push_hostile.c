/*
 * test_push_hostile.c: applications that send as none should: receipts that make receipts, thousands of timers,
 * everything to anybody from everywhere. The worker goes on serving, and everything is accounted for.
 *
 * The server runs on a thread of the test's own process; the main thread is one of the application.
 */
#include "harness.h"

#include <errno.h>
#include <pthread.h>
#include <stdatomic.h>
#include <stdio.h>
#include <string.h>
#include <sys/socket.h>
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
    uint64_t settled = mario_stat(server, "push_sent") + mario_stat(server, "push_dropped_oldest") +
                       mario_stat(server, "push_dropped_newest") + mario_stat(server, "push_coalesced") +
                       mario_stat(server, "push_dropped_closed");
    ck_assert_uint_eq(mario_stat(server, "push_targets"), settled);
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

/* ---- Everything at once ---- */

enum { IDS = 64, GROUPS = 5, USERS = 5, SENDERS = 3, CLIENTS = 40, STORM_MS = 800 };

static _Atomic uint64_t ids[IDS]; /* of the last connections; many have ended */
static _Atomic uint32_t noted;
static _Atomic uint64_t runs_ordered, runs_done, walks_ordered, walks_done, targets, settled, sends;
static _Atomic bool over;

/* 0 .. n-1. */
static uint32_t chance(uint32_t n)
{
    static _Thread_local uint64_t x;
    if (x == 0)
        x = mono_ns() * 2654435761u | 1;
    x ^= x << 13;
    x ^= x >> 7;
    x ^= x << 17;
    return (uint32_t) (x >> 32) % n;
}

static uint64_t anybody(void)
{
    uint64_t id = ids[chance(IDS)];
    return id != 0 ? id : 1;
}

static void do_anything(CONN *c);

static sint32 in_run(CONN *c, void *arg)
{
    (void) arg;
    runs_done++;
    if (c != NULL)
        do_anything(c);
    return chance(100) == 0;
}

static sint32 in_walk(CONN *c, void *arg)
{
    (void) arg;
    if (chance(50) == 0)
        do_anything(c);
    return chance(500) == 0;
}

static void on_walk_done(void *arg, uint64 seen)
{
    (void) arg;
    (void) seen;
    walks_done++;
}

static sint32 in_timer(CONN *c, void *arg)
{
    (void) arg;
    do_anything(c);
    return 0;
}

static void send_anything(void)
{
    struct mario_msg *m = message(), *none = NULL;
    mario_msg_receipt(m, 1);
    mario_msg_key(m, chance(3));
    if (chance(20) == 0)
        mario_msg_keep(m);
    int rc = -1;
    switch (chance(9)) {
    case 0:
        rc = mario_send_user(1 + chance(USERS), m);
        break;
    case 1:
        rc = chance(4) == 0 ? mario_send_all(m, anybody()) : -1;
        break;
    case 2:
        rc = chance(8) == 0 ? mario_kick(anybody(), g_akg_timeout_id, chance(2) == 0 ? m : none) : -1;
        break;
    case 3:
        rc = chance(20) == 0 ? mario_kick_user(1 + chance(USERS), g_akg_error_id, m) : -1;
        break;
    case 4:
    case 5:
        rc = mario_send_group(1 + chance(GROUPS), m, anybody());
        break;
    default:
        rc = mario_send(anybody(), m);
    }
    sends += rc == 0;
    mario_msg_free(&m);
    mario_msg_free(&m);
}

/* c: in one of its functions, or NULL. */
static void do_anything(CONN *c)
{
    uint32_t what = chance(c == NULL ? 8 : 12);
    switch (what) {
    case 0:
        runs_ordered += mario_run(anybody(), in_run, NULL) == 0;
        break;
    case 1:
        (void) mario_join_id(anybody(), 1 + chance(GROUPS));
        break;
    case 2:
        (void) mario_leave_id(anybody(), 1 + chance(GROUPS));
        break;
    case 3:
        walks_ordered += chance(20) == 0 && mario_each_conn(in_walk, NULL, on_walk_done) == 0;
        break;
    case 8:
        (void) mario_join(c, 1 + chance(GROUPS));
        break;
    case 9:
        (void) mario_bind(c, 1 + chance(USERS), (enum mario_bind) chance(3), chance(3));
        break;
    case 10:
        (void) mario_timer(c, chance(20), in_timer, NULL);
        break;
    case 11:
        (void) mario_slow_policy(c, (enum mario_slow) chance(4), 1 + chance(8), 0);
        break;
    default:
        send_anything();
    }
}

static sint32 stormy_echo(CONN *c)
{
    do_anything(c);
    return echo(c);
}

static sint32 stormy_hook(CONN *c)
{
    if (mario_conn_id(c) != 0 && !over)
        ids[noted++ % IDS] = mario_conn_id(c);
    do_anything(c);
    return 0;
}

static void stormy_receipt(const struct mario_receipt *r)
{
    targets += r->targets;
    settled += r->sent + r->dropped;
    if (chance(4) == 0)
        do_anything(NULL);
}

static void *storm(void *arg)
{
    while (!over) {
        for (int i = 0; i < 50; i++)
            do_anything(NULL);
        itest_sleep(1);
    }
    return arg;
}

/* Ask, and read what there is; who was closed comes again. */
static void turn(int *fd)
{
    unsigned char packet[64], sink[65536];
    size_t n = client_packet(packet, TEST_SLEEP, "x", 1);
    if (chance(2) == 0)
        (void) !send(*fd, packet, n, MSG_NOSIGNAL | MSG_DONTWAIT);
    ssize_t got = recv(*fd, sink, sizeof sink, MSG_DONTWAIT);
    if (got > 0 || (got < 0 && errno == EAGAIN && chance(200) != 0))
        return;
    close(*fd);
    *fd = client_open(&as);
}

/* Goal: threads, functions, hooks, timers and receipts do anything to anybody while connections come and go, and the
 * server stops amid it: each call has come once, each walk said that it was through, each message is accounted for. */
START_TEST(everything_at_once)
{
    pthread_t threads[SENDERS];
    int fds[CLIENTS];
    ck_assert(regist_connected_func(stormy_hook) == 0 && regist_disconnected_func(stormy_hook) == 0 &&
              regist_bound_func(stormy_hook) == 0 && regist_receipt_func(stormy_receipt) == 0 &&
              regist_akg_func(TEST_SLEEP, stormy_echo) == 0);
    start(2);
    for (int i = 0; i < CLIENTS; i++)
        fds[i] = client_open(&as);
    for (int i = 0; i < SENDERS; i++)
        ck_assert(pthread_create(&threads[i], NULL, storm, NULL) == 0);
    for (uint64_t end = mono_ns() + STORM_MS * NS_PER_MS; mono_ns() < end; itest_sleep(1)) {
        for (int i = 0; i < CLIENTS; i++)
            turn(&fds[i]);
    }
    stop();
    over = true;
    for (int i = 0; i < SENDERS; i++)
        ck_assert(pthread_join(threads[i], NULL) == 0);
    for (int i = 0; i < CLIENTS; i++)
        close(fds[i]);
    ck_assert_uint_gt(sends, 100);
    ck_assert_uint_gt(runs_ordered, 10);
    ck_assert_uint_eq(runs_done, runs_ordered);
    ck_assert_uint_eq(walks_done, walks_ordered);
    ck_assert_uint_eq(targets, settled);
}
END_TEST

Suite *push_hostile_suite(void)
{
    Suite *s = suite_create("push_hostile");
    TCase *c = itest_case(s, "receipts", 20);
    tcase_add_test(c, receipts_without_end);
    c = itest_case(s, "many", 30);
    tcase_add_test(c, thousands_of_timers);
    c = itest_case(s, "storm", 30);
    tcase_add_test(c, everything_at_once);
    return s;
}
