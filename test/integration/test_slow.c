/*
 * test_slow.c: clients that are slow or silent, on purpose or not, and a loop that is slow itself: trickled
 * packets, silence, readers that do not read, a stalled worker. The slow ones end with the right reason at
 * the right time and hold little; the others lose nothing.
 */
#include <errno.h>
#include <fcntl.h>
#include <signal.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

#include "harness.h"
#include "hiccups.h"
#include "test/apps/testapp/commands.h"
#include "test_ledger.h"

#define TICK_MS 100u /* DESIGN: timeouts are exact to one tick */

/* How late a busy machine may be besides. */
#define LATE_MS (100u * ITEST_SLOW)

/* Many connections that do as the test tells them, on a ledger that sends nothing itself. */
struct crowd {
    struct ledger *ledger;
    uint64_t *began; /* mono_ns() from which the time of each counts */
    uint64_t *ended; /* 0 while it lives */
};

static void crowd_open(struct crowd *c, const struct server *s, uint32_t n)
{
    c->ledger = ledger_create(&s->target, n, 0);
    c->began = calloc(n, sizeof *c->began);
    c->ended = calloc(n, sizeof *c->ended);
    ck_assert_msg(c->ledger != NULL && c->began != NULL && c->ended != NULL, "no memory for %u clients", n);
    ck_assert_msg(ledger_connect(c->ledger, 10000), "%u clients cannot connect", n);
    for (uint32_t i = 0; i < n; i++)
        c->began[i] = mono_ns();
}

static void crowd_close(struct crowd *c)
{
    ledger_destroy(&c->ledger);
    free(c->began);
    free(c->ended);
}

/* One round of the loop; notes who has ended. */
static void crowd_turn(struct crowd *c, int wait_ms)
{
    uint32_t open = c->ledger->ends[END_OPEN];
    ledger_turn(c->ledger, wait_ms);
    if (c->ledger->ends[END_OPEN] == open)
        return;
    for (uint32_t i = 0; i < c->ledger->count; i++) {
        if (c->ended[i] == 0 && c->ledger->conns[i].how != END_OPEN)
            c->ended[i] = mono_ns();
    }
}

/* Send n bytes on connection i, which may have ended. */
static void crowd_send(const struct crowd *c, uint32_t i, const void *data, size_t n)
{
    if (c->ledger->conns[i].how == END_OPEN)
        ITEST_ASSERT(send(c->ledger->conns[i].ask.fd, data, n, MSG_NOSIGNAL) == (ssize_t) n ||
                         errno == EPIPE || errno == ECONNRESET,
                     "send: %s", strerror(errno));
}

/* Each has ended `ms` after it began, one tick more or less. Closing thousands at once takes its time, on
 * both sides. */
static void check_times(const struct crowd *c, uint32_t ms)
{
    uint64_t late = hiccups_allow(c->ledger->count > 1000 ? 4 * LATE_MS : LATE_MS);
    uint64_t least = UINT64_MAX, most = 0;
    for (uint32_t i = 0; i < c->ledger->count; i++) {
        ITEST_ASSERT(c->ended[i] != 0, "connection %u has not ended", i);
        uint64_t took = (c->ended[i] - c->began[i]) / NS_PER_MS;
        least = took < least ? took : least;
        most = took > most ? took : most;
    }
    ck_assert_msg(least + TICK_MS >= ms && most <= ms + TICK_MS + late,
                  "they ended after %llu .. %llu ms instead of %u", (unsigned long long) least,
                  (unsigned long long) most, ms);
}

/* Bystanders of the server under test, and as many of a second one to which nothing happens: what the machine
 * does to both does not count. */
struct pair {
    struct server control;
    struct bystanders *here, *there;
};

static void pair_start(struct pair *p, const struct server *s)
{
    hiccups_start();
    server_start(&p->control, "testapp", "server.workernum=2", NULL);
    p->there = bystanders_start(&p->control.target, 50, 100, 5);
    p->here = bystanders_start(&s->target, 50, 100, 5);
}

/* None has lost anything, and p99 here is near p99 there; a floor for chance. */
static void pair_finish(struct pair *p)
{
    struct bystander_report here = bystanders_finish(&p->here), there = bystanders_finish(&p->there);
    uint64_t most = there.p99_ns * 12 / 10 + hiccups_allow(10 * NS_PER_MS * ITEST_SLOW);
    ck_assert_msg(here.p99_ns <= most, "p99 of bystanders: %.2f ms with the slow ones, %.2f ms without them",
                  (double) here.p99_ns / NS_PER_MS, (double) there.p99_ns / NS_PER_MS);
    server_finish(&p->control);
}

/* ---- Slow packets ---- */

/* Goal: 4,000 slowloris: a byte a second, one byte and silence, a head and silence, all but the last byte:
 * all are closed packet_timeout after their first byte; 50 good clients lose nothing and are as fast as those
 * of an idle server. */
START_TEST(slowloris)
{
    const uint32_t n = 4000 / ITEST_SLOW, timeout = 2000;
    struct server s;
    struct crowd c;
    struct pair p;
    unsigned char packet[108], data[100] = {0};
    server_start(&s, "testapp", "server.workernum=2", "server.packet_timeout=2", "server.connnum=3000", NULL);
    pair_start(&p, &s);
    crowd_open(&c, &s, n);
    size_t whole = client_packet(packet, TEST_ECHO, data, sizeof data);
    for (uint32_t i = 0; i < n; i++) {
        size_t first = i % 4 == 2 ? WIRE_HEAD_LEN : i % 4 == 3 ? whole - 1 : 1;
        crowd_send(&c, i, packet, first);
        c.began[i] = mono_ns();
        if (i % 50 == 0)
            crowd_turn(&c, 0);
    }
    uint64_t next = mono_ns();
    for (size_t at = 1; c.ledger->ends[END_OPEN] > 0 && at < 10;) {
        crowd_turn(&c, 5);
        if (mono_ns() < next + NS_PER_S)
            continue;
        next += NS_PER_S;
        for (uint32_t i = 0; i < n; i += 4)
            crowd_send(&c, i, packet + at, 1);
        at++;
    }
    pair_finish(&p);
    ck_assert_uint_eq(c.ledger->ends[END_OPEN], 0);
    check_times(&c, timeout);
    crowd_close(&c);
    server_finish(&s);
    ck_assert_uint_eq(server_counter(&s, "closed_packet_timeout"), n);
    ck_assert_uint_eq(server_counter(&s, "hook_end_timeout"), n);
}
END_TEST

/* Goal: packets are late, not clients: who is always in the middle of a packet, but takes less than
 * packet_timeout for each, is never closed. */
START_TEST(slow_but_whole_packets)
{
    struct server s;
    unsigned char packet[56], answer[28], data[20] = {1};
    server_start(&s, "testapp", "server.packet_timeout=1", "server.timeout=2", NULL);
    int fd = client_open(&s);
    size_t n = client_packet(packet, TEST_ECHO, data, sizeof data);
    memcpy(packet + n, packet, n);
    client_send(fd, packet, n / 2);
    for (int i = 0; i < 4; i++) {
        itest_sleep(350);
        client_send(fd, packet + n / 2, n); /* the end of one, the beginning of the next */
        client_recv(fd, answer, n);
        ck_assert_mem_eq(answer, packet, n);
    }
    close(fd);
    server_finish(&s);
    ck_assert_uint_eq(server_counter(&s, "closed_peer_closed"), 1);
}
END_TEST

/* ---- Silence ---- */

/* Goal: 4,900 connections that say something once, or 100 that say nothing: closed after `timeout`, one tick
 * more or less; those who say something now and then stay. */
START_TEST(silence)
{
    const uint32_t n = _i == 0 ? 4900 / ITEST_SLOW : 100, timeout = 2000;
    struct server s;
    struct crowd c;
    unsigned char packet[28];
    server_start(&s, "testapp", "server.workernum=2", "server.timeout=2", "server.connnum=4000", NULL);
    struct bystanders *b = bystanders_start(&s.target, 20, 100, 600);
    memset(packet, 0, sizeof packet);
    size_t len = client_packet(packet, TEST_SILENT, NULL, 0);
    hiccups_start();
    crowd_open(&c, &s, n);
    for (uint32_t i = 0; _i == 0 && i < n; i++) {
        crowd_send(&c, i, packet, len);
        c.began[i] = mono_ns();
    }
    for (uint64_t end = itest_deadline(6000); c.ledger->ends[END_OPEN] > 0 && mono_ns() < end;)
        crowd_turn(&c, 5);
    bystanders_finish(&b);
    ck_assert_uint_eq(c.ledger->ends[END_FIN], n);
    check_times(&c, timeout);
    crowd_close(&c);
    server_finish(&s);
    ck_assert_uint_eq(server_counter(&s, "closed_idle_timeout"), n);
}
END_TEST

/* ---- Slow readers ---- */

enum { READERS = 40 };

/* The server must not have grown by more than `each` KiB for each of the readers. */
static void check_growth(const struct server *s, uint64_t before, uint64_t each)
{
    uint64_t now = server_rss_kb(s);
    if (ITEST_SLOW > 1)
        TEST_SKIP("memory: a sanitizer keeps what is freed");
    ck_assert_msg(now <= before + READERS * each + 4096,
                  "it grew by %llu KiB; at most %llu for each of %d slow readers",
                  (unsigned long long) (now - before), (unsigned long long) each, READERS);
}

static bool is_gone(void *fd)
{
    return client_is_gone(*(int *) fd);
}

/* The kernel keeps nothing of connections that the server has closed: what they do not read went with them. */
static void expect_gone(int *fds)
{
    for (int i = 0; i < READERS; i++)
        ck_assert_msg(itest_wait(is_gone, &fds[i], 1000),
                      "the kernel still holds what reader %d does not read", i);
}

/* Goal: clients that ask for far more than they read: closed at output.max with reason output_limit, one
 * function's answer at most beyond it held for each, and nothing in the kernel afterwards; others unharmed. */
START_TEST(answers_beyond_the_limit)
{
    struct server s;
    int fds[READERS];
    uint32_t n = 2 * 1024 * 1024;
    server_start(&s, "testapp", "server.workernum=2", "output.high=1m", "output.max=1m", NULL);
    struct bystanders *b = bystanders_start(&s.target, 100, 100, 5);
    uint64_t rss = server_rss_kb(&s);
    for (int i = 0; i < READERS; i++) {
        fds[i] = client_open_narrow(&s);
        for (int k = 0; k < 4; k++)
            client_send_packet(fds[i], TEST_REPLY, &n, sizeof n);
    }
    server_wait_counter(&s, "closed_output_limit", READERS, 5000);
    check_growth(&s, rss, 1024);
    expect_gone(fds);
    for (int i = 0; i < READERS; i++)
        close(fds[i]);
    bystanders_finish(&b);
    server_finish(&s);
    ck_assert_uint_eq(server_counter(&s, "closed_output_limit"), READERS);
}
END_TEST

/* Send more of an endless row of ECHOs of 1,000 bytes, of which `bytes` have been sent, until no more is
 * taken. The bytes sent in all. */
static uint64_t push(int fd, uint64_t bytes)
{
    unsigned char packet[1000];
    struct exchange x = exchange_echo(ITEST_STX, sizeof packet - WIRE_HEAD_LEN);
    for (;;) {
        size_t at = bytes % sizeof packet;
        exchange_build(&x, 1, (uint32_t) (bytes / sizeof packet), packet);
        ssize_t k = send(fd, packet + at, sizeof packet - at, MSG_NOSIGNAL | MSG_DONTWAIT);
        ITEST_ASSERT(k > 0 || errno == EAGAIN, "send: %s", strerror(errno));
        if (k <= 0)
            return bytes;
        bytes += (uint64_t) k;
    }
}

/* The same until nothing was taken for 300 ms; below 100 MB. */
static uint64_t push_until_stopped(int fd)
{
    uint64_t bytes = 0, last = mono_ns();
    while (mono_ns() - last < 300 * NS_PER_MS * ITEST_SLOW) {
        uint64_t more = push(fd, bytes);
        if (more > bytes)
            last = mono_ns();
        bytes = more;
        ck_assert_msg(bytes < 100000000, "the server never stops reading");
        itest_sleep(5);
    }
    return bytes;
}

/* Goal: clients that send ECHOs and never read: the server stops reading them at output.high, holds that and
 * a receive buffer or two for each, and closes them at write_timeout with reason write_timeout, after which the
 * kernel holds nothing; others unharmed. */
START_TEST(they_send_and_never_read)
{
    struct server s;
    int fds[READERS];
    struct pair p;
    uint64_t sent[READERS] = {0};
    char timeout[32];
    snprintf(timeout, sizeof timeout, "server.write_timeout=%d", 4 * ITEST_SLOW);
    server_start(&s, "testapp", "server.workernum=2", "output.high=64k", "output.max=1m", timeout, NULL);
    pair_start(&p, &s);
    uint64_t rss = server_rss_kb(&s);
    for (int i = 0; i < READERS; i++)
        fds[i] = client_open_narrow(&s);
    /* No output can have stopped to shrink before the first byte was asked for. */
    uint64_t started = mono_ns();
    /* All at once, until none of them can send any more. */
    uint64_t quiet = itest_deadline(600);
    for (uint64_t end = itest_deadline(3500); mono_ns() < quiet && mono_ns() < end; itest_sleep(10)) {
        for (int i = 0; i < READERS; i++) {
            uint64_t more = push(fds[i], sent[i]);
            if (more > sent[i])
                quiet = itest_deadline(600);
            sent[i] = more;
        }
    }
    ck_assert_uint_eq(server_counter(&s, "closed_output_limit"), 0);
    ck_assert_uint_ge(server_counter(&s, "output_paused"), READERS);
    check_growth(&s, rss, 64 + 2 * 64 + 64);
    server_wait_counter(&s, "closed_write_timeout", READERS, 8000);
    ck_assert_uint_gt(mono_ns() - started, ITEST_SLOW * 4 * NS_PER_S - 200 * NS_PER_MS); /* less a tick */
    expect_gone(fds);
    for (int i = 0; i < READERS; i++)
        close(fds[i]);
    pair_finish(&p);
    server_finish(&s);
    ck_assert_uint_eq(server_counter(&s, "closed_write_timeout"), READERS);
    ck_assert_uint_eq(server_counter(&s, "hook_end_timeout"), READERS);
}
END_TEST

/* Read the answers to all that was sent whole; each must be right. */
static void read_all(int fd, uint64_t sent)
{
    unsigned char packet[1000];
    struct exchange x = exchange_echo(ITEST_STX, sizeof packet - WIRE_HEAD_LEN);
    uint32_t whole = (uint32_t) (sent / sizeof packet);
    for (uint32_t i = 0; i < whole; i++) {
        enum fault fault;
        client_recv(fd, packet, sizeof packet);
        ITEST_ASSERT(exchange_judge(&x, 1, i, packet, sizeof packet, &fault) == sizeof packet,
                     "answer %u is wrong", i);
    }
}

/* Goal: a reader that pauses: the server stops reading at output.high, goes on when it reads again, and
 * nothing is lost, doubled or out of order; also when it pauses again and again, and when it has closed its
 * sending side. */
START_TEST(a_reader_pauses)
{
    struct server s;
    server_start(&s, "testapp", "server.workernum=1", "output.high=64k", "output.max=1m",
                 "server.packet_timeout=3", NULL);
    for (int i = 0; i < 4; i++) {
        int fd = i % 2 ? client_open_narrow(&s) : client_open(&s);
        uint64_t sent = push_until_stopped(fd);
        if (i >= 2)
            shutdown(fd, SHUT_WR);
        if (i == 1)
            itest_sleep(3500); /* beyond packet_timeout: the cut packet waits for the server, not for us */
        read_all(fd, sent);
        close(fd);
    }
    server_finish(&s);
    ck_assert_uint_ge(server_counter(&s, "output_paused"), 4);
    ck_assert_uint_eq(server_counter(&s, "closed_packet_timeout"), 0);
}
END_TEST

/* Goal: silence counts from when the server listens again: neither for who was not read because he did not read,
 * nor for who waited for a function that was offloaded, concurrent or not. */
START_TEST(who_is_not_heard_is_not_silent)
{
    enum { TIMEOUT_S = 2, ASKS = 12 };
    static const uint16_t waits[] = {TEST_SLEEP + TEST_OFFLOADED, TEST_SLEEP + TEST_CONCURRENT};
    static unsigned char bytes[1 << 20];
    const uint32_t ms = (TIMEOUT_S + 1) * 1000;
    struct server s;
    server_start(&s, "testapp", "server.workernum=1", "server.timeout=2", "output.high=64k",
                 "test.offload=on", NULL);
    int reader = client_open(&s), waiter[] = {client_open(&s), client_open(&s)};
    for (int i = 0; i < ASKS; i++)
        client_send_packet(reader, TEST_MEGABYTE, NULL, 0);
    for (int i = 0; i < 2; i++)
        client_send_packet(waiter[i], waits[i], &ms, sizeof ms);
    itest_sleep(ms); /* beyond `timeout` */
    for (int i = 0; i < 2; i++)
        client_recv_packet(waiter[i], waits[i], bytes, sizeof bytes);
    for (size_t got = 0; got < (size_t) ASKS << 20; got += sizeof bytes)
        client_recv(reader, bytes, sizeof bytes);
    itest_sleep(400); /* some ticks */
    client_echo(reader, 10);
    for (int i = 0; i < 2; i++) {
        client_echo(waiter[i], 10);
        close(waiter[i]);
    }
    close(reader);
    server_finish(&s);
    ck_assert_uint_ge(server_counter(&s, "output_paused"), 1);
    ck_assert_uint_eq(server_counter(&s, "closed_idle_timeout"), 0);
}
END_TEST

/* Goal: of two readers with 8 MB to come and nothing to say, the one that takes a little now and then stays,
 * beyond `timeout` too; the one that takes nothing ends with write_timeout. */
START_TEST(a_little_now_and_then)
{
    struct server s;
    uint32_t n = 8 * 1024 * 1024;
    char sink[65536];
    server_start(&s, "testapp", "output.high=16m", "output.max=16m", "server.write_timeout=1",
                 "server.timeout=2", NULL);
    int some = client_open_narrow(&s), none = client_open_narrow(&s);
    client_send_packet(some, TEST_REPLY, &n, sizeof n);
    client_send_packet(none, TEST_REPLY, &n, sizeof n);
    uint64_t got = 0;
    for (uint64_t end = mono_ns() + 5 * NS_PER_S / 2; mono_ns() < end; itest_sleep(2)) {
        ssize_t k = recv(some, sink, sizeof sink, MSG_DONTWAIT);
        ck_assert_msg(k > 0 || (k < 0 && errno == EAGAIN), "the reader was closed after %llu bytes",
                      (unsigned long long) got);
        got += k > 0 ? (uint64_t) k : 0;
    }
    ck_assert_uint_eq(server_counter(&s, "closed_write_timeout"), 1); /* the other one */
    close(some);
    close(none);
    server_finish(&s);
}
END_TEST

/* ---- A loop that is slow ---- */

/* Goal: a function blocks the only worker for three times the timeouts, while 100 requests come, some of them
 * the second half of a packet: 0 of 100 are lost. */
START_TEST(a_stalled_loop_loses_nothing)
{
    enum { CLIENTS = 100 };
    struct server s;
    uint32_t ms = 2200;
    int fds[CLIENTS];
    unsigned char packet[58], data[50] = {7};
    server_start(&s, "testapp", "server.workernum=1", "server.timeout=1", "server.packet_timeout=1", NULL);
    size_t n = client_packet(packet, TEST_ECHO, data, sizeof data);
    int busy = client_open(&s);
    client_echo(busy, 10);
    for (int i = 0; i < CLIENTS; i++) {
        fds[i] = client_open(&s);
        client_echo(fds[i], 10);
    }
    for (int i = 0; i < CLIENTS; i += 2)
        client_send(fds[i], packet, n / 2);
    itest_sleep(100);
    client_send_packet(busy, TEST_SLEEP, &ms, sizeof ms);
    for (int i = 0; i < CLIENTS; i++) {
        client_send(fds[i], packet + (i % 2 ? 0 : n / 2), i % 2 ? n : n - n / 2);
        itest_sleep(21);
    }
    for (int i = 0; i < CLIENTS; i++) {
        client_recv(fds[i], data, WIRE_HEAD_LEN);
        client_recv(fds[i], data, n - WIRE_HEAD_LEN);
        close(fds[i]);
    }
    close(busy);
    server_finish(&s);
    ck_assert_uint_eq(server_counter(&s, "hook_end_timeout"), 0);
}
END_TEST

/* Goal: a loop that stalls again and again is nobody's silence, but real silence is found all the same. */
START_TEST(a_loop_that_stalls_again_and_again)
{
    struct server s;
    uint32_t ms = 400;
    server_start(&s, "testapp", "server.workernum=1", "server.timeout=1", NULL);
    int busy = client_open(&s), silent = client_open(&s), talks = client_open(&s);
    client_echo(silent, 10);
    uint64_t begin = mono_ns();
    for (int i = 0; i < 4; i++) {
        client_send_packet(busy, TEST_SLEEP, &ms, sizeof ms);
        client_echo(talks, 10);
        client_recv_packet(busy, TEST_SLEEP, &ms, sizeof ms);
    }
    size_t extra;
    ck_assert_int_eq(client_ending(silent, &extra, 900), END_FIN);
    ck_assert_uint_gt(mono_ns() - begin, NS_PER_S);
    close(busy);
    close(silent);
    close(talks);
    server_finish(&s);
    ck_assert_uint_eq(server_counter(&s, "closed_idle_timeout"), 1);
}
END_TEST

Suite *slow_suite(void)
{
    Suite *s = suite_create("slow");
    TCase *c = itest_case(s, "packets", 30);
    tcase_add_test(c, slowloris);
    tcase_add_test(c, slow_but_whole_packets);
    tcase_add_loop_test(c, silence, 0, 2);
    c = itest_case(s, "readers", 30);
    tcase_add_test(c, answers_beyond_the_limit);
    tcase_add_test(c, they_send_and_never_read);
    tcase_add_test(c, a_reader_pauses);
    tcase_add_test(c, who_is_not_heard_is_not_silent);
    tcase_add_test(c, a_little_now_and_then);
    c = itest_case(s, "loop", 20);
    tcase_add_test(c, a_stalled_loop_loses_nothing);
    tcase_add_test(c, a_loop_that_stalls_again_and_again);
    return s;
}
