/*
 * test_limits.c: how much a connection may send: who sends more is read later, or closed; nothing of it is lost
 * meanwhile, and no deadline mistakes our waiting for his. And how long somebody may take for his first packet.
 */
#include <errno.h>
#include <signal.h>
#include <stdio.h>
#include <string.h>
#include <sys/socket.h>
#include <unistd.h>

#include "stuck.h"
#include "test_ledger.h"

enum { SOON_MS = 8000 };

static void send_echoes(int fd, uint16_t akg, uint32_t n, size_t len)
{
    static unsigned char all[64 * 1024], data[8000];
    size_t used = 0;
    for (uint32_t i = 0; i < n; i++) {
        if (used + WIRE_HEAD_LEN + len > sizeof all) {
            client_send(fd, all, used);
            used = 0;
        }
        memcpy(data, &i, sizeof i);
        used += client_packet(all + used, akg, data, len);
    }
    client_send(fd, all, used);
}

/* Their answers, from this one on, in order. */
static void take_echoes(int fd, uint16_t akg, uint32_t first, uint32_t n, size_t len)
{
    static unsigned char data[8192];
    for (uint32_t i = first, is; i < n; i++) {
        ITEST_ASSERT(client_recv_packet(fd, akg, data, sizeof data) == len, "answer %u is short", i);
        memcpy(&is, data, sizeof is);
        ITEST_ASSERT(is == i, "answer %u stands where %u should", is, i);
    }
}

/* ---- Packets and bytes, read later ---- */

/* Goal: who sends more packets than he may gets all answers, in order, at the rate; others do not notice; his
 * half-close is heard behind the last one. Inline and offloaded, and with what is not whole at the end. */
START_TEST(more_packets)
{
    enum { RATE = 200, SENT = 400 };
    static const uint16_t akgs[] = {TEST_ECHO, TEST_ECHO + TEST_OFFLOADED, TEST_ECHO + TEST_CONCURRENT};
    struct server s;
    server_start(&s, "testapp", "limit.packets=200", "test.offload=on", "server.workernum=1", NULL);
    int fd = client_open(&s);
    struct bystanders *b = bystanders_start(&s.target, 5, 20, 10);
    uint64_t began = mono_ns();
    send_echoes(fd, akgs[_i], SENT, 20);
    client_send(fd, "\xf7\x9a", 2); /* a packet that never gets whole */
    shutdown(fd, SHUT_WR);
    if (_i < 2) {
        take_echoes(fd, akgs[_i], 0, SENT, 20);
    } else { /* in any order */
        static unsigned char data[64];
        for (int i = 0; i < SENT; i++)
            ITEST_ASSERT(client_recv_packet(fd, akgs[_i], data, sizeof data) == 20, "a short answer");
    }
    unsigned ms = itest_ms_since(began);
    ck_assert_msg(ms >= (SENT - RATE) * 1000u / RATE - 200, "all were answered after %u ms", ms);
    client_expect_fin(fd);
    struct bystander_report r = bystanders_finish(&b);
    ck_assert_msg(r.p99_ns < 100 * NS_PER_MS * ITEST_SLOW, "neighbours waited %llu us",
                  (unsigned long long) r.p99_ns / 1000);
    server_finish(&s);
    ck_assert_uint_gt(server_counter(&s, "limit_paused"), 3);
    ck_assert_uint_eq(server_counter(&s, "closed_limit"), 0);
    ck_assert_uint_eq(server_counter(&s, "packets_in"), SENT + r.answered);
}
END_TEST

/* Goal: the same for bytes; what he sends waits in his own kernel, not here. */
START_TEST(more_bytes)
{
    enum { RATE = 200000, LEN = 8000, SENT = 50 };
    struct server s;
    server_start(&s, "testapp", "limit.bytes=200000", NULL);
    int fd = client_open(&s);
    uint64_t began = mono_ns();
    send_echoes(fd, TEST_ECHO, SENT, LEN);
    take_echoes(fd, TEST_ECHO, 0, SENT, LEN);
    unsigned ms = itest_ms_since(began);
    ck_assert_msg(ms >= (SENT * LEN - RATE) * 1000ull / RATE - 200, "all were answered after %u ms", ms);
    close(fd);
    server_finish(&s);
    ck_assert_uint_gt(server_counter(&s, "limit_paused"), 3);
}
END_TEST

/* Goal: a client that floods with the smallest packets there are costs no more memory than a limit's worth. */
START_TEST(a_flood_of_small_packets)
{
    enum { CLIENTS = 100 };
    static unsigned char flood[256 * 1024];
    struct server s;
    int fd[CLIENTS];
    for (size_t at = 0; at < sizeof flood; at += WIRE_HEAD_LEN)
        client_packet(flood + at, TEST_SILENT, NULL, 0);
    server_start(&s, "testapp", "limit.packets=10", "server.workernum=1", NULL);
    uint64_t rss = server_rss_kb(&s);
    for (int i = 0; i < CLIENTS; i++) {
        fd[i] = client_open(&s);
        (void) !net_send(fd[i], flood, sizeof flood);
    }
    server_wait_counter(&s, "limit_paused", CLIENTS, SOON_MS);
    int other = client_open(&s);
    client_echo(other, 100);
    uint64_t more = server_rss_kb(&s) - rss;
    if (ITEST_SLOW == 1)
        ck_assert_msg(more < 16 * CLIENTS, "%llu KiB for %d clients", (unsigned long long) more, CLIENTS);
    for (int i = 0; i < CLIENTS; i++)
        client_reset(fd[i]);
    close(other);
    server_finish(&s);
}
END_TEST

/* Goal: while we do not read him he is not silent: a timeout that is shorter than the wait begins when it is over. */
START_TEST(no_silence_of_his)
{
    struct server s;
    server_start(&s, "testapp", "limit.packets=2", "server.timeout=1", NULL);
    int fd = client_open(&s);
    uint64_t began = mono_ns();
    send_echoes(fd, TEST_ECHO, 6, 20);
    take_echoes(fd, TEST_ECHO, 0, 6, 20);
    ck_assert_uint_ge(itest_ms_since(began), 1900);
    began = mono_ns();
    client_expect_fin(fd);
    ck_assert_uint_ge(itest_ms_since(began), 800);
    server_finish(&s);
    ck_assert_uint_eq(server_counter(&s, "closed_idle_timeout"), 1);
}
END_TEST

/* Goal: a stop answers what has arrived, without the wait. */
START_TEST(a_stop_meanwhile)
{
    struct server s;
    server_start(&s, "testapp", "limit.packets=5", NULL);
    int fd = client_open(&s);
    send_echoes(fd, TEST_ECHO, 200, 20);
    take_echoes(fd, TEST_ECHO, 0, 5, 20);
    server_wait_counter(&s, "limit_paused", 1, SOON_MS);
    uint64_t began = mono_ns();
    server_signal(&s, SIGTERM);
    take_echoes(fd, TEST_ECHO, 5, 200, 20);
    ck_assert_int_eq(server_wait_exit(&s, SOON_MS), 0);
    ck_assert_uint_lt(itest_ms_since(began), 3000u * ITEST_SLOW);
    close(fd);
    server_check(&s);
}
END_TEST

/* Goal: who takes the worker over goes on with those who wait. */
START_TEST(a_takeover_meanwhile)
{
    struct server s;
    char replace[64];
    snprintf(replace, sizeof replace, "watch.replace_ms=%u", REPLACE_MS);
    watch_start(&s, replace, "limit.packets=20");
    int stuck = client_open(&s), fd = open_at_worker(&s, who_of(stuck).worker);
    stick(stuck);
    send_echoes(fd, TEST_ECHO, 40, 20);
    ck_assert_int_eq(client_ending(stuck, NULL, BACK_MS), END_FIN);
    take_echoes(fd, TEST_ECHO, 0, 40, 20);
    unstick(fd);
    close(stuck);
    close(fd);
    server_finish(&s);
    ck_assert_uint_eq(server_counter(&s, "watch_replaced"), 1);
    ck_assert_uint_gt(server_counter(&s, "limit_paused"), 0);
}
END_TEST

/* ---- Closed ---- */

/* Goal: with limit.action = close who sends more is closed, by that name, after the answers to what he might send; who
 * sends as much as he may is not. */
START_TEST(closed)
{
    static const char *const limits[] = {"limit.packets=50", "limit.bytes=3000"};
    struct server s;
    server_start(&s, "testapp", limits[_i], "limit.action=close", NULL);
    int good = client_open(&s), fd = client_open(&s);
    send_echoes(good, TEST_ECHO, 48, 20);
    take_echoes(good, TEST_ECHO, 0, 48, 20);
    send_echoes(fd, TEST_ECHO, 48, 20);
    take_echoes(fd, TEST_ECHO, 0, 48, 20);
    send_echoes(fd, TEST_ECHO, 400, 20);
    enum ending how = client_ending(fd, NULL, SOON_MS);
    ck_assert_msg(how == END_FIN || how == END_RST, "it ended as %d", how);
    close(fd);
    client_echo(good, 8);
    close(good);
    server_finish(&s);
    ck_assert_uint_eq(server_counter(&s, "closed_limit"), 1);
    ck_assert_uint_lt(server_counter(&s, "packets_in"), 48 + 48 + 150);
}
END_TEST

/* ---- The first packet ---- */

/* Goal: who has sent no whole packet in time is closed, by that name, be he silent, slow, or both; who has is not, nor
 * is one on a unix socket. */
START_TEST(a_first_packet)
{
    static const char *const args[] = {"admit.first_packet=1", "server.packet_timeout=0", "test.offload=on",
                                       NULL};
    struct server s;
    char listen[96];
    snprintf(listen, sizeof listen, "127.0.0.1:0,unix:/tmp/mario-itest-limits.%d", (int) getpid());
    server_launch(&s, &(struct launch){.program = "testapp", .args = args, .listen = listen});
    int good = client_open(&s), later = client_open(&s), silent = client_open(&s), slow = client_open(&s);
    int local = client_open_at(&s.addresses[1]);
    uint64_t began = mono_ns();
    client_echo(good, 20);
    ck_assert_uint_eq(client_ask(later, TEST_ECHO + TEST_OFFLOADED, "x", 1, (char[8]){0}, 8), 1);
    unsigned char packet[64], data[40] = {0};
    size_t n = client_packet(packet, TEST_ECHO, data, sizeof data);
    for (size_t i = 0; i < n && !client_is_closed(slow); i++) {
        (void) !net_send(slow, packet + i, 1);
        itest_sleep(50);
    }
    ck_assert_msg(itest_ms_since(began) < 2000u * ITEST_SLOW, "closed after %u ms", itest_ms_since(began));
    ck_assert_uint_ge(itest_ms_since(began), 950);
    client_expect_fin(silent);
    close(slow);
    client_echo(good, 20);
    client_echo(later, 20);
    client_echo(local, 20);
    close(good);
    close(later);
    close(local);
    server_finish(&s);
    ck_assert_uint_eq(server_counter(&s, "closed_first_packet"), 2);
}
END_TEST

/* Goal: nor does he get more time by sending more than he may. */
START_TEST(a_first_packet_that_is_limited)
{
    struct server s;
    server_start(&s, "testapp", "admit.first_packet=1", "limit.bytes=100", NULL);
    int fd = client_open(&s);
    static unsigned char packet[WIRE_HEAD_LEN + 4000], data[4000];
    size_t n = client_packet(packet, TEST_ECHO, data, sizeof data);
    uint64_t began = mono_ns();
    client_send(fd, packet, n);
    enum ending how = client_ending(fd, NULL, SOON_MS);
    ck_assert_msg(how == END_FIN || how == END_RST, "it ended as %d", how);
    ck_assert_msg(itest_ms_since(began) < 2500u * ITEST_SLOW, "closed after %u ms", itest_ms_since(began));
    close(fd);
    server_finish(&s);
    ck_assert_uint_eq(server_counter(&s, "closed_first_packet"), 1);
}
END_TEST

Suite *limits_suite(void)
{
    Suite *s = suite_create("limits");
    TCase *c = itest_case(s, "later", 20);
    tcase_add_loop_test(c, more_packets, 0, 3);
    tcase_add_test(c, more_bytes);
    tcase_add_test(c, a_flood_of_small_packets);
    tcase_add_test(c, no_silence_of_his);
    tcase_add_test(c, a_stop_meanwhile);
    tcase_add_test(c, a_takeover_meanwhile);
    c = itest_case(s, "closed", 20);
    tcase_add_loop_test(c, closed, 0, 2);
    tcase_add_test(c, a_first_packet);
    tcase_add_test(c, a_first_packet_that_is_limited);
    return s;
}
