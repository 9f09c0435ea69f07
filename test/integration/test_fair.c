/*
 * test_fair.c: nobody is kept waiting by a client that sends without a pause: a wake-up has its time, who wants more
 * stands in line, and who stands there loses nothing by it. And who gets which worker, how many are let in at a time.
 */
#include <signal.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/socket.h>
#include <unistd.h>

#include "greedy.h"
#include "hiccups.h"
#include "preloads.h"
#include "stuck.h"

/* A worker that is on its own, and whose functions may be slow. */
#define START(s, ...) server_start(s, "testapp", "server.workernum=1", __VA_ARGS__, NULL)

static int compare(const void *a, const void *b)
{
    uint64_t x = *(const uint64_t *) a, y = *(const uint64_t *) b;
    return (x > y) - (x < y);
}

/* The median of so many echoes one after the other, in microseconds; each of this many bytes. */
static uint64_t median_us(int fd, size_t count, size_t bytes)
{
    static uint64_t times[1000];
    ck_assert_uint_le(count, 1000);
    for (size_t i = 0; i < count; i++) {
        uint64_t began = mono_ns();
        client_echo(fd, bytes);
        times[i] = mono_ns() - began;
    }
    qsort(times, count, sizeof times[0], compare);
    return times[count / 2] / NS_PER_US;
}

/* ---- Beside who sends without a pause ---- */

/* Goal: one client that is 64 KB of 8-byte packets ahead, each for a function of 50 us, costs its neighbour no more
 * than a few milliseconds an answer; and gets all of its own when it has closed its side. */
START_TEST(beside_one)
{
    static struct greedy g;
    struct server s;
    hiccups_start();
    START(&s, "watch.warn_ms=0");
    int fd = client_open(&s);
    client_echo(fd, 10);
    greedy_begin(&g, &s, TEST_SPIN, 1, 24576, UINT32_MAX);
    greedy_wait(&g, 8192, 5000);
    uint64_t median = median_us(fd, 31, 50);
    greedy_end(&g, true, 10000);
    ck_assert_msg(median < hiccups_allow(5000 * ITEST_SLOW), "the median is %llu us",
                  (unsigned long long) median);
    close(fd);
    server_finish(&s);
}
END_TEST

/* Goal: who is alone with what was read of it is served without a pause, though nothing else happens. */
START_TEST(alone)
{
    enum { PACKETS = 8000 };
    static unsigned char packets[PACKETS * WIRE_HEAD_LEN];
    struct server s;
    START(&s, "watch.warn_ms=0", "server.timeout=0");
    int fd = client_open(&s);
    for (size_t i = 0; i < sizeof packets; i += WIRE_HEAD_LEN)
        client_packet(packets + i, TEST_SPIN, NULL, 0);
    client_send(fd, packets, sizeof packets);
    ck_assert_int_eq(net_recv_wait(fd, packets, sizeof packets, itest_deadline(4000)), sizeof packets);
    close(fd);
    server_finish(&s);
}
END_TEST

/* Goal: sixty-four of them do not add up; they share what they take, and who is reset while in line leaves no trace. */
START_TEST(beside_many)
{
    static struct greedy g;
    struct server s;
    hiccups_start();
    START(&s, "watch.warn_ms=0");
    int fd = client_open(&s), reset = client_open(&s);
    unsigned char packet[WIRE_HEAD_LEN];
    client_echo(fd, 10);
    greedy_begin(&g, &s, TEST_SPIN, GREEDY_MAX, 256, UINT32_MAX);
    greedy_wait(&g, 2 * GREEDY_MAX, 10000);
    for (int i = 0; i < 1000; i++)
        client_send(reset, packet, client_packet(packet, TEST_SPIN, NULL, 0));
    uint64_t median = median_us(fd, 51, 50);
    client_reset(reset);
    greedy_end(&g, true, 30000);
    ck_assert_msg(median < hiccups_allow(10000 * ITEST_SLOW), "the median is %llu us",
                  (unsigned long long) median);
    uint64_t least = UINT64_MAX, most = 0;
    for (uint32_t i = 0; i < g.count; i++) {
        least = g.each[i].got < least ? g.each[i].got : least;
        most = g.each[i].got > most ? g.each[i].got : most;
    }
    ck_assert_msg(most < 4 * least, "one got %llu bytes, another %llu", (unsigned long long) most,
                  (unsigned long long) least);
    close(fd);
    server_finish(&s);
    ck_assert_uint_eq(server_counter(&s, "closed_reset"), 1);
}
END_TEST

/* Goal: who stands in line for longer than both timeouts is not accused of it, and gets all answers. */
START_TEST(no_deadline_in_line)
{
    static struct greedy g;
    struct server s;
    START(&s, "watch.warn_ms=0", "server.timeout=1", "server.packet_timeout=1");
    greedy_begin(&g, &s, TEST_SPIN, 4, 8192, 8192);
    greedy_end(&g, false, 20000);
    ck_assert_uint_eq(g.answers, 4 * 8192);
    server_finish(&s);
    ck_assert_uint_eq(server_counter(&s, "hook_end_timeout"), 0);
    ck_assert_uint_eq(server_counter(&s, "packets_in"), 4 * 8192);
}
END_TEST

/* Goal: a stop answers what had arrived, whoever stands in line, and more than one receive buffer of it. */
START_TEST(a_stop_answers_the_line)
{
    static unsigned char packets[12000 * WIRE_HEAD_LEN];
    enum { CLIENTS = 3 };
    char path[64], listen[128];
    const char *const args[] = {"server.workernum=1", "watch.warn_ms=0", "server.drain_timeout=25", NULL};
    struct server s;
    int fds[CLIENTS];
    snprintf(path, sizeof path, "/tmp/mario-fair-%d", (int) getpid());
    snprintf(listen, sizeof listen, "unix:%s", path); /* what is sent there has arrived */
    server_launch(&s, &(struct launch){.program = "testapp", .listen = listen, .args = args});
    for (size_t i = 0; i < sizeof packets; i += WIRE_HEAD_LEN)
        client_packet(packets + i, TEST_SPIN, NULL, 0);
    for (int i = 0; i < CLIENTS; i++) {
        fds[i] = client_open(&s);
        client_echo(fds[i], 10);
    }
    server_signal(&s, SIGSTOP);
    for (int i = 0; i < CLIENTS; i++)
        client_send(fds[i], packets, sizeof packets);
    server_signal(&s, SIGTERM);
    server_signal(&s, SIGCONT);
    for (int i = 0; i < CLIENTS; i++) {
        size_t got;
        ck_assert_int_eq(client_ending(fds[i], &got, 25000), END_FIN);
        ck_assert_uint_eq(got, sizeof packets);
        close(fds[i]);
    }
    ck_assert_int_eq(server_wait_exit(&s, 10000), 0);
    server_check(&s);
}
END_TEST

/* Goal: "stop at once" ends who stands in line, with its end hook. */
START_TEST(a_sudden_stop_clears_the_line)
{
    static struct greedy g;
    struct server s;
    START(&s, "watch.warn_ms=0", "server.drain_timeout=0");
    greedy_begin(&g, &s, TEST_SPIN, 8, 8192, UINT32_MAX);
    greedy_wait(&g, 1000, 10000);
    server_signal(&s, SIGTERM);
    ck_assert_int_eq(server_wait_exit(&s, 10000), 0);
    pthread_join(g.thread, NULL);
    for (uint32_t i = 0; i < g.count; i++)
        close(g.each[i].fd);
    server_check(&s);
}
END_TEST

/* Goal: a worker that is taken over leaves its line to its successor. */
START_TEST(a_successor_serves_the_line)
{
    static struct greedy g;
    struct server s;
    watch_start(&s, NULL, NULL);
    int other = open_at_worker(&s, 1), fd = open_at_worker(&s, 0), next = open_at_worker(&s, 0);
    greedy_begin(&g, &s, TEST_SPIN, 4, 4096, 8192);
    greedy_wait(&g, 1000, 10000);
    stick(fd);
    wait_counter(other, "alarm_replaced", 1);
    client_echo(next, 10);
    unstick(other);
    client_expect_fin(fd);
    greedy_end(&g, false, 30000);
    ck_assert_uint_eq(g.answers, 4 * 8192);
    close(other);
    close(next);
    server_finish(&s);
    ck_assert_uint_eq(server_counter(&s, "closed_function_stuck"), 1);
}
END_TEST

/* Goal: neither does output that is not read, nor functions that are offloaded in between, make one lose its place or
 * its order: 4,000 packets, each other one of another kind, some with long answers. */
START_TEST(mixed_with_what_waits)
{
    enum { ROUNDS = 1000 };
    static unsigned char packets[ROUNDS * 5 * 16], got[ROUNDS * (4 * WIRE_HEAD_LEN + 5000)];
    struct server s;
    size_t n = 0;
    uint32_t len = 5000;
    START(&s, "watch.warn_ms=0", "test.offload=on", "output.high=20000", "server.connnum=10");
    int fd = client_open(&s);
    for (int i = 0; i < ROUNDS; i++) {
        n += client_packet(packets + n, TEST_SPIN, NULL, 0);
        n += client_packet(packets + n, TEST_SPIN + (i % 4 == 0 ? TEST_OFFLOADED : 0), NULL, 0);
        n += client_packet(packets + n, TEST_REPLY, &len, sizeof len);
        n += client_packet(packets + n, TEST_SPIN, NULL, 0);
    }
    client_send(fd, packets, n);
    shutdown(fd, SHUT_WR);
    size_t want = ROUNDS * (3 * WIRE_HEAD_LEN + (size_t) len), at = 0;
    ck_assert_int_eq(net_recv_wait(fd, got, sizeof got, itest_deadline(20000)), (ptrdiff_t) want);
    for (int i = 0; i < ROUNDS; i++) {
        uint16_t ids[] = {TEST_SPIN, (uint16_t) (TEST_SPIN + (i % 4 == 0 ? TEST_OFFLOADED : 0)), TEST_REPLY,
                          TEST_SPIN};
        for (int k = 0; k < 4; k++) {
            struct wire_head h = wire_get_head(got + at);
            ITEST_ASSERT(h.akg_id == ids[k], "answer %d of round %d is of %04x", k, i, h.akg_id);
            at += h.pkglen;
        }
    }
    close(fd);
    server_finish(&s);
}
END_TEST

/* ---- Late loops ---- */

/* Milliseconds from now, as near as the machine allows. */
static void sleep_until(uint64_t when)
{
    if (mono_ns() < when)
        itest_sleep((unsigned) ((when - mono_ns()) / NS_PER_MS));
}

/* One attempt of the test below; false if this machine was too slow for it to mean anything. */
static bool second_look(const struct server *s)
{
    int quiet = client_open(s), first = client_open(s), then = client_open(s);
    client_echo(first, 10);
    client_echo(then, 10);
    client_echo(quiet, 10);
    uint64_t began = mono_ns();
    sleep_until(began + 650 * NS_PER_MS);
    send_number(first, TEST_SLEEP, 200);
    sleep_until(began +
                665 * NS_PER_MS); /* while it runs the next one becomes readable, then the tick is due */
    send_number(then, TEST_SLEEP, 350);
    sleep_until(began + 950 * NS_PER_MS);
    client_send_packet(quiet, TEST_ECHO, NULL, 0);
    char byte;
    bool in_time = mono_ns() - began < NS_PER_S && recv(then, &byte, 1, MSG_PEEK | MSG_DONTWAIT) < 0;
    if (in_time)
        ck_assert_uint_eq(client_recv_packet(quiet, TEST_ECHO, &byte, 1), 0);
    close(quiet);
    close(first);
    close(then);
    return in_time;
}

/* Goal: a request that came in time, but after the loop had asked which sockets are readable, is answered, though the
 * tick says that it is too late. */
START_TEST(a_second_look_before_a_timeout)
{
    struct server s;
    START(&s, "watch.warn_ms=0", "server.timeout=1");
    int good = 0;
    for (int i = 0; i < 6 && good < 2; i++)
        good += second_look(&s);
    server_stop(&s);
    if (good == 0)
        TEST_SKIP("the machine was too busy each time");
}
END_TEST

/* Goal: a large packet that comes byte by byte costs the server as much for its last bytes as for its first. */
START_TEST(a_trickle_is_linear)
{
    enum { LEN = 65000, PART = 13000 };
    static unsigned char packet[65535], back[65535];
    struct server s;
    uint64_t best = UINT64_MAX;
    START(&s, "watch.warn_ms=0", "server.max_pkglen=65535", "server.packet_timeout=0");
    size_t n = client_packet(packet, TEST_ECHO, back, LEN - WIRE_HEAD_LEN);
    for (int round = 0; round < 3; round++) {
        uint64_t cost[2] = {0};
        int fd = client_open(&s);
        client_echo(fd, 10);
        for (size_t at = 0; at < n; at++) {
            uint64_t before = at == 0 || at == n - PART ? server_cpu_ns(&s) : 0;
            if (before != 0)
                cost[at != 0] = before;
            client_send(fd, packet + at, 1);
            if (at == PART || at == n - 1)
                cost[at != PART] = server_cpu_ns(&s) - cost[at != PART];
        }
        client_recv(fd, back, n);
        ck_assert_mem_eq(packet, back, n);
        close(fd);
        uint64_t ratio = cost[1] * 100 / (cost[0] + 1);
        best = ratio < best ? ratio : best;
    }
    ck_assert_msg(best < 160, "the last bytes cost %llu %% of the first", (unsigned long long) best);
    server_finish(&s);
}
END_TEST

/* ---- How many are let in at a time ---- */

/* Goal: however many wait to be accepted, the master does its other work after 64 of them: here a timer function,
 * which is due just as long. */
START_TEST(a_bounded_number_at_a_time)
{
    enum { CLIENTS = 2000 };
    static int fds[CLIENTS];
    struct server s;
    server_start(&s, "testapp", "server.workernum=2", "server.connnum=2000", "watch.warn_ms=0", NULL);
    int fd = client_open(&s);
    uint32_t ms = 1500 * ITEST_SLOW;
    client_ask(fd, TEST_STALL, &ms, sizeof ms, &ms, sizeof ms);
    wait_counter(fd, "master_stalls", 1); /* behind it the timer is due again */
    for (int i = 0; i < CLIENTS; i++)
        fds[i] = client_open(&s);
    wait_counter(fd, "accept_step", 1);
    close(fd);
    for (int i = 0; i < CLIENTS; i++)
        close(fds[i]);
    server_finish(&s);
    uint64_t step = server_counter(&s, "accept_step");
    ck_assert_msg(step >= 32 && step <= 200, "%llu before the timer", (unsigned long long) step);
}
END_TEST

/* ---- Who gets which worker ---- */

/* Connect a device and a health check in turn; how many devices each worker has then. */
static void two_kinds(struct server *s, unsigned count[2])
{
    int devices[400];
    count[0] = count[1] = 0;
    for (int i = 0; i < 400; i++) {
        devices[i] = client_open(s);
        count[who_of(devices[i]).worker]++;
        int check = client_open(s);
        who_of(check);
        client_reset(check);
        server_wait_fds(s, s->fds + (unsigned) i + 1, 3000);
    }
    for (int i = 0; i < 400; i++)
        close(devices[i]);
    server_finish(s);
}

/* Goal: with `least` a health check between any two devices puts no more of them on one worker than on the other. */
START_TEST(the_least_has_its_turn)
{
    unsigned count[2];
    struct server s;
    server_start(&s, "testapp", "server.workernum=2", "server.assign=least", NULL);
    two_kinds(&s, count);
    ck_assert_msg(count[0] == 200 && count[1] == 200, "(%u %u)", count[0], count[1]);
}
END_TEST

/* Goal: round-robin is what it says: the k-th connection goes to the next worker. */
START_TEST(round_robin_is_exact)
{
    unsigned count[2];
    struct server s;
    server_start(&s, "testapp", "server.workernum=2", NULL);
    two_kinds(&s, count);
    ck_assert_msg(count[0] == 400 || count[1] == 400, "(%u %u)", count[0], count[1]);
}
END_TEST

Suite *fair_suite(void)
{
    Suite *s = suite_create("fair");
    TCase *c = itest_case(s, "budget", 40);
    tcase_add_test(c, beside_one);
    tcase_add_test(c, alone);
    tcase_add_test(c, beside_many);
    tcase_add_test(c, no_deadline_in_line);
    tcase_add_test(c, a_stop_answers_the_line);
    tcase_add_test(c, a_sudden_stop_clears_the_line);
    tcase_add_test(c, a_successor_serves_the_line);
    tcase_add_test(c, mixed_with_what_waits);
    c = itest_case(s, "late", 30);
    tcase_add_test(c, a_second_look_before_a_timeout);
    tcase_add_test(c, a_trickle_is_linear);
    c = itest_case(s, "accept", 30);
    tcase_add_test(c, a_bounded_number_at_a_time);
    c = itest_case(s, "assign", 30);
    tcase_add_test(c, the_least_has_its_turn);
    tcase_add_test(c, round_robin_is_exact);
    return s;
}
