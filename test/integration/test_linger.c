/*
 * test_linger.c: after the end: what the kernel took before a connection ended reaches its client, also one that
 * goes on sending; and who never takes it keeps no memory of the kernel, no place and no stop.
 */
#include <errno.h>
#include <inttypes.h>
#include <signal.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/socket.h>
#include <unistd.h>

#include "harness.h"
#include "stuck.h"
#include "test_ledger.h"

enum { LINGER_MS = 1000 };

/* A testapp whose connections linger for a second. */
#define START(s, ...) server_start(s, "testapp", "server.linger=1", __VA_ARGS__, NULL)

/* Sockets of this machine with the server's port as their own that hold something for somebody who is gone for the
 * server: in FIN-WAIT-1, CLOSING or LAST-ACK, with bytes in their queue. */
static unsigned kept_by_kernel(const struct server *s)
{
    char line[512];
    unsigned n = 0;
    FILE *f = fopen("/proc/net/tcp", "r");
    ck_assert_ptr_nonnull(f);
    while (fgets(line, sizeof line, f) != NULL) {
        unsigned port, state, queue;
        if (sscanf(line, " %*u: %*x:%x %*x:%*x %x %x", &port, &state, &queue) == 3 && port == s->port)
            n += (state == 4 || state == 9 || state == 11) && queue > 0;
    }
    fclose(f);
    return n;
}

static bool kernel_keeps_nothing(void *arg)
{
    return kept_by_kernel(arg) == 0;
}

/* Send without end until the server does not take it any more, or ms have passed. */
static void go_on_sending(int fd, unsigned ms)
{
    static const char noise[4096];
    for (uint64_t end = itest_deadline(ms); mono_ns() < end; itest_sleep(1)) {
        if (net_send(fd, noise, sizeof noise) < 0 && errno != EAGAIN)
            return;
    }
}

/* Read until the end. How many bytes came; *how is the end. */
static uint64_t read_to_end(int fd, enum ending *how, unsigned ms)
{
    static char sink[65536];
    uint64_t sum = 0;
    for (uint64_t end = itest_deadline(ms);;) {
        ptrdiff_t n = net_recv_wait(fd, sink, 1, end);
        if (n <= 0) {
            *how = n == 0 ? END_FIN : errno == ETIMEDOUT || errno == EAGAIN ? END_TIMEOUT : END_RST;
            return sum;
        }
        sum += (uint64_t) n;
        while ((n = net_recv(fd, sink, sizeof sink)) > 0)
            sum += (uint64_t) n;
    }
}

/* ---- Who goes on sending ---- */

/* Goal: 25 clients, of whom every second one has a small window, send requests, then nonsense, and go on sending before
 * they read: each gets all answers. */
START_TEST(answers_before_a_bad_packet)
{
    enum { CLIENTS = 25, ASKED = 40 };
    struct server s;
    START(&s, "server.workernum=1");
    for (int i = 0; i < CLIENTS; i++) {
        static unsigned char bytes[ASKED * 1008 + 8];
        unsigned char data[1000] = {0};
        size_t n = 0;
        int fd = i % 2 ? client_open(&s) : client_open_narrow(&s);
        for (int k = 0; k < ASKED; k++)
            n += client_packet(bytes + n, TEST_ECHO, data, sizeof data);
        memset(bytes + n, 0, 8); /* a bad one */
        client_send(fd, bytes, n + 8);
        go_on_sending(fd, 60);
        enum ending how;
        uint64_t got = read_to_end(fd, &how, 5000);
        ck_assert_msg(got == n && how == END_FIN, "client %d got %" PRIu64 " of %zu bytes, ended with %d", i,
                      got, n, how);
        close(fd);
    }
    server_finish(&s);
    ck_assert_uint_eq(server_counter(&s, "closed_bad_stx"), CLIENTS);
    ck_assert_uint_eq(server_counter(&s, "linger_reset"), 0);
}
END_TEST

/* Goal: the same for a function that closes, inline and offloaded. */
START_TEST(answers_before_a_close)
{
    struct server s;
    uint32_t n = 400000;
    START(&s, "server.workernum=1", "test.offload=on", "output.max=16m", "output.high=16m");
    for (int i = 0; i < 10; i++) {
        static const struct test_end end = {.reason_id = 1};
        uint16_t close_cmd = (uint16_t) (TEST_WRITE_CLOSE + (i % 2 ? TEST_OFFLOADED : 0));
        int fd = client_open_narrow(&s);
        client_send_packet(fd, TEST_REPLY, &n, sizeof n);
        client_send_packet(fd, close_cmd, &end, sizeof end);
        go_on_sending(fd, 60);
        enum ending how;
        uint64_t got = read_to_end(fd, &how, 5000);
        ck_assert_msg(got == n + WIRE_HEAD_LEN + sizeof end && how == END_FIN,
                      "%" PRIu64 " bytes came, the end was %d", got, how);
        close(fd);
    }
    server_finish(&s);
    ck_assert_uint_eq(server_counter(&s, "closed_function_closed"), 10);
}
END_TEST

/* Goal: a graceful stop while a client sends without end: every byte that the server counts as sent reaches it. */
START_TEST(all_that_was_sent_at_a_stop)
{
    static unsigned char packet[8192], sink[65536];
    struct server s;
    uint64_t got = 0;
    START(&s, "server.workernum=1", "server.drain_timeout=10");
    int fd = client_open(&s);
    size_t at = 0, n = client_packet(packet, TEST_ECHO, sink, sizeof packet - WIRE_HEAD_LEN);
    bool asked = false;
    ptrdiff_t k = -1;
    for (uint64_t sent = 0, end = itest_deadline(9000); mono_ns() < end;) {
        ssize_t more = net_send(fd, packet + at, n - at);
        at = more > 0 ? (at + (size_t) more) % n : at;
        sent += more > 0 ? (uint64_t) more : 0;
        if (!asked && sent > 1500000 && got > 200000) {
            server_signal(&s, SIGTERM);
            asked = true;
        }
        if (sent < 1200000 && more > 0)
            continue; /* it reads late */
        k = net_recv(fd, sink, 2000);
        got += k > 0 ? (uint64_t) k : 0;
        if (k == 0 || (k < 0 && errno != EAGAIN))
            break;
    }
    ck_assert_int_eq(k, 0);
    close(fd);
    ck_assert_int_eq(server_wait_exit(&s, 11000), 0);
    ck_assert_uint_eq(got, server_counter(&s, "bytes_out"));
    server_check(&s);
}
END_TEST

/* ---- Who never reads ---- */

/* Goal: 60 clients that never read, and end with a bad packet, a close, their own FIN or by silence: the kernel keeps
 * nothing for any of them soon after. */
START_TEST(the_kernel_keeps_nothing)
{
    enum { CLIENTS = 60 };
    struct server s;
    uint32_t n = 300000;
    int fds[CLIENTS];
    START(&s, "server.timeout=1", "output.max=16m", "output.high=16m");
    for (int i = 0; i < CLIENTS; i++) {
        static const struct test_end end = {.reason_id = 1};
        fds[i] = client_open_narrow(&s);
        client_send_packet(fds[i], TEST_REPLY, &n, sizeof n);
        if (i % 4 == 0)
            client_send(fds[i], "nonsense", 8);
        else if (i % 4 == 1)
            client_send_packet(fds[i], TEST_CLOSE, &end, sizeof end);
        else if (i % 4 == 2)
            ck_assert_int_eq(net_shut(fds[i]), 0);
    }
    server_wait_counter(&s, "closed", CLIENTS, 6000);
    ck_assert_msg(itest_wait(kernel_keeps_nothing, &s, 4 * LINGER_MS + 2000), "%u sockets are kept",
                  kept_by_kernel(&s));
    for (int i = 0; i < CLIENTS; i++)
        close(fds[i]);
    server_finish(&s);
    ck_assert_uint_eq(server_counter(&s, "lingered"), CLIENTS);
    ck_assert_uint_eq(server_counter(&s, "linger_reset"), CLIENTS);
}
END_TEST

/* The client of fd has n bytes to come, and says nonsense. */
static void leave_lingering(int fd, uint32_t n)
{
    client_send_packet(fd, TEST_REPLY, &n, sizeof n);
    client_send(fd, "nonsense", 8);
}

/* Goal: who lingers has no place: newcomers get all of them, and slots too, whose first bytes are their own; for those
 * the oldest go. */
START_TEST(they_have_no_place)
{
    enum { PLACES = 8 };
    struct server s;
    int old[PLACES], fds[PLACES];
    server_start(&s, "testapp", "server.workernum=1", "server.connnum=8", "server.linger=60",
                 "output.max=16m", "output.high=16m", NULL);
    for (int i = 0; i < PLACES; i++)
        old[i] = client_open_narrow(&s);
    for (int i = 0; i < PLACES; i++)
        client_echo(old[i], 10); /* all have begun */
    for (int i = 0; i < PLACES; i++)
        leave_lingering(old[i], 300000);
    server_wait_log(&s, "bad_stx", 5000);
    for (int i = 0; i < PLACES; i++) {
        uint64_t end = itest_deadline(5000);
        unsigned char packet[64], got[64];
        size_t n = client_packet(packet, TEST_ECHO, "mine", 4);
        for (;; close(fds[i])) { /* the last one may just be ending */
            fds[i] = client_open(&s);
            (void) !net_send(fds[i], packet, n);
            ptrdiff_t k = net_recv_wait(fds[i], got, n, end);
            ITEST_ASSERT(k != (ptrdiff_t) n || memcmp(got, packet, n) == 0, "somebody else's bytes");
            if (k == (ptrdiff_t) n)
                break;
            ITEST_ASSERT(mono_ns() < end, "no place for newcomer %d", i);
        }
    }
    for (int i = 0; i < PLACES; i++)
        client_echo(fds[i], 1000);
    ck_assert_uint_eq(kept_by_kernel(&s), 0);
    for (int i = 0; i < PLACES; i++) {
        close(fds[i]);
        close(old[i]);
    }
    server_finish(&s);
    ck_assert_uint_eq(server_counter(&s, "linger_reset"), PLACES);
    ck_assert_uint_eq(server_counter(&s, "closed_bad_stx"), PLACES);
}
END_TEST

/* Goal: a stop waits for those who linger as long as that makes sense, and no longer. */
START_TEST(they_hold_up_no_stop)
{
    struct server s;
    int fds[10];
    START(&s, "server.workernum=2", "output.max=16m", "output.high=16m", "server.drain_timeout=20");
    for (int i = 0; i < 10; i++) {
        fds[i] = client_open_narrow(&s);
        client_echo(fds[i], 10);
        leave_lingering(fds[i], 300000);
    }
    server_wait_counter(&s, "lingered", 10, 5000);
    uint64_t begin = mono_ns();
    server_signal(&s, SIGTERM);
    ck_assert_int_eq(server_wait_exit(&s, 8000), 0);
    ck_assert_uint_lt((mono_ns() - begin) / NS_PER_MS, 6000 * ITEST_SLOW);
    ck_assert_uint_eq(kept_by_kernel(&s), 0);
    for (int i = 0; i < 10; i++)
        close(fds[i]);
    ck_assert_uint_eq(server_counter(&s, "linger_reset"), 10);
    server_check(&s);
}
END_TEST

/* Goal: linger longer than a stop may take: the stop is in time all the same, with exit code 0. */
START_TEST(nor_longer_than_it_may_take)
{
    struct server s;
    server_start(&s, "testapp", "server.linger=60", "server.drain_timeout=1", "output.max=16m",
                 "output.high=16m", NULL);
    int fd = client_open_narrow(&s);
    leave_lingering(fd, 300000);
    server_wait_counter(&s, "lingered", 1, 5000);
    server_signal(&s, SIGTERM);
    ck_assert_int_eq(server_wait_exit(&s, 5000), 0);
    ck_assert_uint_eq(kept_by_kernel(&s), 0);
    close(fd);
    ck_assert_uint_eq(server_counter(&s, "linger_reset"), 1);
    server_check(&s);
}
END_TEST

/* ---- Others ---- */

/* Goal: their worker is taken over: they linger on, and get what was theirs. */
START_TEST(a_takeover_takes_them_along)
{
    struct server s;
    uint32_t n = 300000;
    watch_start(&s, NULL, "server.linger=60");
    int other = open_at_worker(&s, 1), stuck = open_at_worker(&s, 0), fd;
    do {
        fd = client_open_narrow(&s);
    } while (who_of(fd).worker != 0 && close(fd) == 0);
    client_send_packet(fd, TEST_REPLY, &n, sizeof n);
    client_send(fd, "nonsense", 8);
    wait_counter(other, "lingered", 1);
    stick(stuck);
    wait_counter(other, "alarm_replaced", 1);
    enum ending how;
    ck_assert_uint_eq(read_to_end(fd, &how, 5000), n);
    ck_assert_int_eq(how, END_FIN);
    close(fd);
    unstick(other);
    wait_counter(other, "watch_buried", 1);
    close(stuck);
    close(other);
    server_finish(&s);
    ck_assert_uint_eq(server_counter(&s, "linger_reset"), 0);
}
END_TEST

/* Goal: a reader who is slow, but reads, gets all of it however long that takes. */
START_TEST(a_slow_reader_is_waited_for)
{
    enum { LITTLE = 60000 };
    struct server s;
    char sink[20000];
    uint64_t got = 0;
    START(&s, "server.workernum=1", "output.max=16m", "output.high=16m");
    int fd = client_open_narrow(&s);
    leave_lingering(fd, LITTLE);
    server_wait_counter(&s, "lingered", 1, 5000);
    for (uint64_t begin = mono_ns(); got < LITTLE;) {
        itest_sleep(20);
        uint64_t now = mono_ns() - begin,
                 may = now * LITTLE / (3 * LINGER_MS * NS_PER_MS); /* in three seconds */
        ssize_t k = may > got ? net_recv(fd, sink, may - got < sizeof sink ? may - got : sizeof sink) : 1;
        ITEST_ASSERT(k > 0 || (k < 0 && errno == EAGAIN), "after %" PRIu64 " bytes: %s", got,
                     strerror(errno));
        got += k > 0 && may > got ? (uint64_t) k : 0;
    }
    client_expect_fin(fd);
    server_finish(&s);
    ck_assert_uint_eq(server_counter(&s, "linger_reset"), 0);
}
END_TEST

/* Goal: linger = 0: nobody lingers. */
START_TEST(not_at_all)
{
    struct server s;
    server_start(&s, "testapp", "server.linger=0", "server.workernum=1", NULL);
    for (int i = 0; i < 20; i++) {
        int fd = client_open(&s);
        client_echo(fd, 100);
        client_send(fd, "nonsense", 8);
        client_expect_fin(fd);
    }
    server_finish(&s);
    ck_assert_uint_eq(server_counter(&s, "lingered"), 0);
}
END_TEST

Suite *linger_suite(void)
{
    Suite *s = suite_create("linger");
    TCase *c = itest_case(s, "who goes on sending", 20);
    tcase_add_test(c, answers_before_a_bad_packet);
    tcase_add_test(c, answers_before_a_close);
    tcase_add_test(c, all_that_was_sent_at_a_stop);
    c = itest_case(s, "who never reads", 20);
    tcase_add_test(c, the_kernel_keeps_nothing);
    tcase_add_test(c, they_have_no_place);
    tcase_add_test(c, they_hold_up_no_stop);
    tcase_add_test(c, nor_longer_than_it_may_take);
    c = itest_case(s, "others", 20);
    tcase_add_test(c, a_takeover_takes_them_along);
    tcase_add_test(c, a_slow_reader_is_waited_for);
    tcase_add_test(c, not_at_all);
    return s;
}
