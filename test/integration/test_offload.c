/*
 * test_offload.c: functions that may block, on the threads of the pool: order, ends, full queues, stops, and
 * threads that die.
 */
#include "harness.h"

#include <arpa/inet.h>
#include <dirent.h>
#include <pthread.h>
#include <signal.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/socket.h>
#include <unistd.h>

#include "program.h"
#include "test/apps/testapp/commands.h"
#include "test_ledger.h"

#define AWAY(cmd)  ((uint16_t) ((cmd) + TEST_OFFLOADED))
#define LOOSE(cmd) ((uint16_t) ((cmd) + TEST_CONCURRENT))

#define START(s, ...) server_start(s, "testapp", "test.offload=on", __VA_ARGS__, NULL)

static void send_number(int fd, uint16_t akg_id, uint32_t n)
{
    client_send_packet(fd, akg_id, &n, sizeof n);
}

static uint32_t recv_number(int fd, uint16_t akg_id)
{
    uint32_t n = 0;
    ck_assert_uint_eq(client_recv_packet(fd, akg_id, &n, sizeof n), sizeof n);
    return n;
}

static uint64_t ms_since(uint64_t begin)
{
    return (mono_ns() - begin) / NS_PER_MS;
}

static void expect_sound(const struct server *s)
{
    ck_assert_uint_eq(server_counter(s, "wrong_thread"), 0);
    ck_assert_uint_eq(server_counter(s, "wrong_state"), 0);
}

/* ---- The same body ---- */

/* Goal: an offloaded function finds the fields an inline one finds. */
START_TEST(sees_the_same_connection)
{
    struct server s;
    struct test_who inline_one = {0}, away = {0}, loose = {0};
    START(&s, "server.workernum=3");
    for (int i = 0; i < 6; i++) {
        int fd = client_open(&s);
        ck_assert_uint_eq(client_ask(fd, TEST_WHO, NULL, 0, &inline_one, sizeof inline_one), sizeof away);
        ck_assert_uint_eq(client_ask(fd, AWAY(TEST_WHO), NULL, 0, &away, sizeof away), sizeof away);
        ck_assert_uint_eq(client_ask(fd, LOOSE(TEST_WHO), NULL, 0, &loose, sizeof loose), sizeof away);
        ck_assert_int_eq(memcmp(&inline_one, &away, sizeof away), 0);
        ck_assert_int_eq(memcmp(&inline_one, &loose, sizeof away), 0);
        close(fd);
    }
    server_finish(&s);
    expect_sound(&s);
    ck_assert_uint_eq(server_counter(&s, "offload_jobs"), 12);
}
END_TEST

/* Goal: what a function stores in c->user is there for the next one, on whatever thread, and for the end hook, which
 * frees it. */
START_TEST(user_comes_back)
{
    struct server s;
    uint64_t token = 0x1234567890abcdef, kept;
    START(&s, "server.workernum=1", "offload.threads=4");
    int fd = client_open(&s);
    client_ask(fd, AWAY(TEST_CANARY), &token, sizeof token, &kept, sizeof kept);
    for (uint32_t i = 0; i < 50; i++) {
        uint16_t move = i % 3 == 0 ? TEST_USER : AWAY(TEST_USER);
        send_number(fd, move, i);
        client_send_packet(fd, i % 2 ? TEST_CANARY : AWAY(TEST_CANARY), &token, sizeof token);
        ck_assert_uint_eq(recv_number(fd, move), i);
        client_recv_packet(fd, i % 2 ? TEST_CANARY : AWAY(TEST_CANARY), &kept, sizeof kept);
        ck_assert_uint_eq(kept, token);
    }
    close(fd);
    server_finish(&s);
    expect_sound(&s);
    ck_assert_uint_eq(server_counter(&s, "wrong_canary"), 0);
}
END_TEST

/* Goal: closing, twice, before and after writing, and any return value, do what they do inline. */
START_TEST(closes_like_an_inline_one)
{
    static const uint16_t kinds[] = {TEST_OFFLOADED, TEST_CONCURRENT};
    struct server s;
    START(&s, "server.workernum=1");
    for (int i = 0; i < 2; i++) {
        unsigned char packet[64], got[64];
        struct test_end e = {.reason_id = 7, .value = i};
        int32_t five = 5;
        int fd = client_open(&s);
        client_send_packet(fd, (uint16_t) (TEST_CLOSE + kinds[i]), &e, sizeof e);
        client_expect_fin(fd);
        ck_assert_uint_eq(server_counter(&s, "err_type"), 7);
        fd = client_open(&s);
        size_t n = client_packet(packet, (uint16_t) (TEST_WRITE_CLOSE + kinds[i]), &e, sizeof e);
        client_send(fd, packet, n);
        client_recv(fd, got, n);
        ck_assert_int_eq(memcmp(got, packet, n), 0);
        client_expect_fin(fd);
        fd = client_open(&s);
        client_send_packet(fd, (uint16_t) (TEST_CLOSE_ERR + kinds[i]), NULL, 0);
        client_expect_fin(fd);
        fd = client_open(&s);
        n = client_packet(packet, (uint16_t) (TEST_RETURN + kinds[i]), &five, sizeof five);
        client_send(fd, packet, n);
        client_recv(fd, got, n);
        client_expect_fin(fd);
    }
    server_finish(&s);
    expect_sound(&s);
    ck_assert_uint_eq(server_counter(&s, "closed_function_closed"), 4);
    ck_assert_uint_eq(server_counter(&s, "closed_function_error"), 4);
}
END_TEST

/* Goal: a function that closed: packets behind it are not looked at. */
START_TEST(nothing_behind_a_close)
{
    struct server s;
    struct test_end e = {.reason_id = 1};
    unsigned char bytes[2000];
    size_t n = 0, extra;
    START(&s, "server.workernum=1");
    int fd = client_open(&s);
    n += client_packet(bytes + n, AWAY(TEST_WRITE_CLOSE), &e, sizeof e);
    size_t first = n;
    for (int i = 0; i < 20; i++)
        n += client_packet(bytes + n, i % 2 ? TEST_ECHO : AWAY(TEST_ECHO), "x", 1);
    client_send(fd, bytes, n);
    ck_assert_int_ne(client_ending(fd, &extra, 3000), END_TIMEOUT);
    ck_assert_uint_eq(extra, first);
    close(fd);
    server_finish(&s);
    ck_assert_uint_eq(server_counter(&s, "offload_jobs"), 1);
}
END_TEST

static void expect_reply(int fd, uint16_t kind, uint32_t want)
{
    static unsigned char data[8192];
    send_number(fd, (uint16_t) (TEST_REPLY + kind), want);
    while (want > 0) {
        size_t n = client_recv_packet(fd, TEST_REPLY, data, sizeof data);
        for (size_t i = 0; i < n; i++)
            ITEST_ASSERT(data[i] == 'r', "a wrong byte in an answer");
        ITEST_ASSERT(n + WIRE_HEAD_LEN <= want, "too much");
        want -= (uint32_t) (n + WIRE_HEAD_LEN);
    }
}

/* Goal: replies of any length arrive whole: those that are copied, those whose memory changes hands. */
START_TEST(replies_of_any_length)
{
    static const uint32_t lengths[] = {8, 1023, 1024, 1025, 8192, 8193, 65536, 1 << 20};
    struct server s;
    START(&s, "server.workernum=1");
    int fd = client_open(&s);
    for (int round = 0; round < 3; round++) {
        for (size_t i = 0; i < sizeof lengths / sizeof lengths[0]; i++)
            expect_reply(fd, i % 2 ? TEST_OFFLOADED : TEST_CONCURRENT, lengths[i]);
        client_send_packet(fd, AWAY(TEST_SILENT), NULL, 0);
        client_echo(fd, 5);
    }
    close(fd);
    server_finish(&s);
}
END_TEST

/* Goal: a reply above output.max ends its connection, nobody else's. */
START_TEST(a_reply_beyond_the_limit)
{
    struct server s;
    START(&s, "server.workernum=1", "output.high=64k", "output.max=256k");
    struct bystanders *b = bystanders_start(&s.target, 3, 50, 1);
    int fd = client_open_narrow(&s);
    send_number(fd, AWAY(TEST_REPLY), 16 << 20);
    server_wait_counter(&s, "closed_output_limit", 1, 5000);
    close(fd);
    bystanders_finish(&b);
    server_finish(&s);
    expect_sound(&s);
}
END_TEST

/* ---- Order ---- */

struct mix {
    const struct server *s;
    unsigned seed;
    const char *wrong;
};

/* 400 numbered packets, inline and offloaded as it comes, some of which nap, sent in pieces of any size. The answers
 * must have their order. */
static void *ask_mix(void *arg)
{
    static const uint16_t kinds[] = {TEST_ECHO, AWAY(TEST_ECHO), TEST_ECHO, AWAY(TEST_NAP),
                                     AWAY(TEST_RETURN)};
    enum { COUNT = 400 };
    struct mix *m = arg;
    unsigned char bytes[COUNT * 16], got[16];
    size_t n = 0;
    int fd = client_open(m->s);
    for (uint32_t i = 0; i < COUNT; i++) {
        uint16_t kind = kinds[(unsigned) rand_r(&m->seed) % 5];
        uint32_t data[2] = {kind == AWAY(TEST_RETURN) ? 0 : i, i};
        n += client_packet(bytes + n, kind, data, sizeof data);
    }
    for (size_t at = 0; at < n;) {
        size_t piece = 1 + (size_t) rand_r(&m->seed) % 1500;
        piece = piece < n - at ? piece : n - at;
        client_send(fd, bytes + at, piece);
        at += piece;
    }
    for (uint32_t i = 0; i < COUNT && m->wrong == NULL; i++) {
        client_recv(fd, got, sizeof got);
        if (memcmp(got, bytes + (size_t) i * sizeof got, sizeof got) != 0)
            m->wrong = "an answer is wrong or out of order";
    }
    close(fd);
    return NULL;
}

/* Goal: one connection's packets are answered in the order they came, inline and offloaded mixed, on many connections
 * at once. */
START_TEST(mixes_keep_their_order)
{
    enum { CLIENTS = 12 };
    struct server s;
    pthread_t threads[CLIENTS];
    struct mix mixes[CLIENTS];
    START(&s, "server.workernum=2", "offload.threads=8", "offload.queue=4");
    for (int i = 0; i < CLIENTS; i++) {
        mixes[i] = (struct mix){.s = &s, .seed = 77u + (unsigned) i};
        ck_assert_int_eq(pthread_create(&threads[i], NULL, ask_mix, &mixes[i]), 0);
    }
    for (int i = 0; i < CLIENTS; i++) {
        pthread_join(threads[i], NULL);
        ck_assert_msg(mixes[i].wrong == NULL, "client %d: %s", i, mixes[i].wrong);
    }
    server_finish(&s);
    expect_sound(&s);
    ck_assert_uint_eq(server_counter(&s, "packets_in"), 400 * CLIENTS);
}
END_TEST

static void run_ledger(const struct server *s, uint16_t akg_id, uint32_t n, uint32_t each, uint32_t depth)
{
    struct ledger *l = ledger_create(&s->target, n, 60);
    ck_assert(l != NULL && ledger_connect(l, 10000));
    l->exchange.akg_id = akg_id;
    ledger_ask(l, each, depth);
    ck_assert_msg(ledger_run(l, 20000), "%llu sent, %llu answered", (unsigned long long) l->sent,
                  (unsigned long long) l->answered);
    ck_assert_uint_eq(l->answered, (uint64_t) n * each);
    ck_assert_uint_eq(l->ends[END_OPEN], n);
    ledger_destroy(&l);
}

/* Goal: 1,000 connections, all offloaded, all answered in order; with a queue that is always full, too. */
START_TEST(a_thousand_connections)
{
    static const char *const queues[] = {"offload.queue=1024", "offload.queue=3"};
    for (int i = 0; i < 2; i++) {
        struct server s;
        START(&s, "server.workernum=2", "offload.threads=16", queues[i]);
        run_ledger(&s, AWAY(TEST_ECHO), 1000, 20 / ITEST_SLOW + 1, 4);
        run_ledger(&s, LOOSE(TEST_ECHO), 1000, 10 / ITEST_SLOW + 1, 1);
        server_finish(&s);
        expect_sound(&s);
        ck_assert_uint_eq(server_counter(&s, "offload_dropped"), 0);
        if (i == 1)
            ck_assert_uint_gt(server_counter(&s, "offload_full"), 100);
    }
}
END_TEST

/* Goal: with one thread, one job and functions that nap, connections take turns, and inline ones do not notice. */
START_TEST(a_full_queue_pauses_nobody_else)
{
    struct server s;
    START(&s, "server.workernum=1", "offload.threads=1", "offload.queue=1");
    struct bystanders *b = bystanders_start(&s.target, 5, 50, 1);
    run_ledger(&s, AWAY(TEST_NAP), 40, 4, 2);
    run_ledger(&s, LOOSE(TEST_NAP), 40, 4, 2);
    bystanders_finish(&b);
    server_finish(&s);
    expect_sound(&s);
    ck_assert_uint_gt(server_counter(&s, "offload_full"), 40);
}
END_TEST

/* ---- Concurrent ones ---- */

/* Goal: functions of one connection at the same time, and an inline one overtakes them. */
START_TEST(concurrent_ones_overtake)
{
    enum { COUNT = 16, MS = 300 };
    struct server s;
    bool seen[COUNT] = {false};
    START(&s, "server.workernum=1", "offload.threads=16");
    int fd = client_open(&s);
    uint64_t begin = mono_ns();
    for (uint32_t i = 0; i < COUNT; i++)
        send_number(fd, LOOSE(TEST_SLEEP), MS + i);
    client_echo(fd, 5);
    ck_assert_uint_lt(ms_since(begin), MS);
    for (int i = 0; i < COUNT; i++) {
        uint32_t which = recv_number(fd, LOOSE(TEST_SLEEP)) - MS;
        ck_assert(which < COUNT && !seen[which]);
        seen[which] = true;
    }
    ck_assert_uint_lt(ms_since(begin), (COUNT - 2) * MS);
    close(fd);
    server_finish(&s);
    expect_sound(&s);
}
END_TEST

/* Goal: more of one connection's functions than it may have out: it is not read meanwhile, and all are answered; also
 * when the client has closed its sending side. */
START_TEST(more_than_one_connection_may_have)
{
    enum { COUNT = 700 };
    struct server s;
    static unsigned char bytes[COUNT * 12];
    size_t n = 0;
    uint64_t sum = 0;
    START(&s, "server.workernum=1", "offload.threads=8");
    int fd = client_open(&s);
    for (uint32_t i = 0; i < COUNT; i++)
        n += client_packet(bytes + n, LOOSE(TEST_NAP), &i, sizeof i);
    client_send(fd, bytes, n);
    shutdown(fd, SHUT_WR);
    for (uint32_t i = 0; i < COUNT; i++)
        sum += recv_number(fd, LOOSE(TEST_NAP));
    ck_assert_uint_eq(sum, (uint64_t) COUNT * (COUNT - 1) / 2);
    client_expect_fin(fd);
    server_finish(&s);
    expect_sound(&s);
    ck_assert_uint_eq(server_counter(&s, "closed_peer_closed"), server_counter(&s, "closed"));
}
END_TEST

/* ---- The end meanwhile ---- */

/* Goal: a client that closes its sending side gets its answer; one that resets, or is closed by another function, does
 * not, and its end hook waits for the function. */
START_TEST(ends_meanwhile)
{
    static const uint16_t kinds[] = {TEST_OFFLOADED, TEST_CONCURRENT};
    struct server s;
    START(&s, "server.workernum=1");
    for (int i = 0; i < 2; i++) {
        uint16_t sleep = (uint16_t) (TEST_SLEEP + kinds[i]);
        uint64_t jobs = server_counter(&s, "offload_jobs");
        int half = client_open(&s), reset = client_open(&s), victim = client_open(&s),
            other = client_open(&s);
        send_number(half, sleep, 200);
        shutdown(half, SHUT_WR);
        send_number(reset, sleep, 300);
        send_number(victim, sleep, 400);
        server_wait_counter(&s, "offload_jobs", jobs + 3, 3000);
        client_reset(reset);
        struct sockaddr_in name;
        socklen_t len = sizeof name;
        getsockname(victim, (struct sockaddr *) &name, &len);
        uint32_t port = ntohs(name.sin_port);
        uint8_t found = 0;
        client_ask(other, TEST_CLOSE_OTHER, &port, sizeof port, &found, sizeof found);
        ck_assert_uint_eq(found, 1);
        client_expect_fin(victim); /* at once, whatever its function does */
        ck_assert_uint_eq(recv_number(half, sleep), 200);
        client_expect_fin(half);
        close(other);
        server_wait_fds(&s, s.fds, 3000);
    }
    server_finish(&s);
    expect_sound(&s);
    ck_assert_uint_ge(server_counter(&s, "offload_dropped"), 2);
    ck_assert_uint_eq(server_counter(&s, "closed_function_closed"), 2);
    ck_assert_uint_eq(server_counter(&s, "closed_reset"), 2);
}
END_TEST

/* Goal: clients that come, ask and go, by FIN and by RST, while their functions nap and the queue is full: the accounts
 * balance. */
START_TEST(churn_under_a_full_queue)
{
    struct server s;
    unsigned seed = 5;
    START(&s, "server.workernum=2", "offload.threads=3", "offload.queue=2");
    struct bystanders *b = bystanders_start(&s.target, 3, 50, 1);
    for (int i = 0; i < 600 / ITEST_SLOW; i++) {
        int fd = client_open(&s);
        for (int k = rand_r(&seed) % 5; k >= 0; k--)
            send_number(fd, rand_r(&seed) % 2 ? AWAY(TEST_NAP) : LOOSE(TEST_NAP), 1);
        if (rand_r(&seed) % 2)
            close(fd);
        else
            client_reset(fd);
    }
    bystanders_finish(&b);
    server_finish(&s);
    expect_sound(&s);
}
END_TEST

/* Goal: a connection whose function takes longer than the timeouts is not silent, nor is the half packet behind it
 * late: the server is slow. */
START_TEST(timeouts_wait_for_the_function)
{
    static const uint16_t kinds[] = {TEST_OFFLOADED, TEST_CONCURRENT};
    struct server s;
    unsigned char packet[32];
    size_t n = client_packet(packet, TEST_ECHO, "12345678", 8);
    START(&s, "server.workernum=1", "server.timeout=1", "server.packet_timeout=1");
    for (int i = 0; i < 2; i++) {
        int fd = client_open(&s);
        send_number(fd, (uint16_t) (TEST_SLEEP + kinds[i]), 2500);
        if (i == 0)
            client_send(fd, packet, n - 1);
        ck_assert_uint_eq(recv_number(fd, (uint16_t) (TEST_SLEEP + kinds[i])), 2500);
        if (i == 0) {
            client_send(fd, packet + n - 1, 1);
            client_recv(fd, packet, n);
        }
        client_echo(fd, 5);
        close(fd);
    }
    server_finish(&s);
    expect_sound(&s);
    ck_assert_uint_eq(server_counter(&s, "closed_peer_closed"), server_counter(&s, "closed"));
}
END_TEST

/* ---- Threads that die ---- */

static unsigned threads_of(const struct server *s)
{
    char path[64];
    unsigned n = 0;
    snprintf(path, sizeof path, "/proc/%d/task", (int) s->pid);
    DIR *d = opendir(path);
    for (struct dirent *e; d != NULL && (e = readdir(d)) != NULL;)
        n += e->d_name[0] != '.';
    if (d != NULL)
        closedir(d);
    return n;
}

/* Goal: a thread that ends in a function, by pthread_exit or cancelled, ends that connection with its own reason, drops
 * what it wrote, and is replaced: with two threads forty may die. */
START_TEST(threads_die_and_are_replaced)
{
    enum { COUNT = 40 };
    struct server s;
    START(&s, "server.workernum=1", "offload.threads=2");
    s.log_lines_max = 200;
    unsigned threads = threads_of(&s);
    struct bystanders *b = bystanders_start(&s.target, 3, 50, 1);
    int kept = client_open(&s);
    for (uint32_t i = 0; i < COUNT; i++) {
        int fd = client_open(&s);
        send_number(fd, i % 3 ? AWAY(TEST_VANISH) : LOOSE(TEST_VANISH), i % 2);
        client_expect_fin(fd);
        send_number(kept, AWAY(TEST_ECHO), i);
        ck_assert_uint_eq(recv_number(kept, AWAY(TEST_ECHO)), i);
    }
    ck_assert_uint_le(threads_of(&s), threads + 1); /* the last one may still be going */
    close(kept);
    bystanders_finish(&b);
    server_finish(&s);
    expect_sound(&s);
    ck_assert_uint_eq(server_counter(&s, "closed_function_died"), COUNT);
    ck_assert_uint_eq(server_counter(&s, "offload_died"), COUNT);
    ck_assert_uint_ge(server_counter(&s, "hook_end_error"), COUNT);
}
END_TEST

/* Goal: a worker sticks in an inline function while others of its connections have functions out, and stand in line for
 * one: its successor takes the replies that come back, and serves the line. */
START_TEST(a_successor_finds_what_is_out)
{
    enum { COUNT = 20 };
    struct server s;
    int fds[COUNT];
    START(&s, "server.workernum=1", "offload.threads=4", "offload.queue=8", "watch.warn_ms=100",
          "watch.replace_ms=200");
    for (uint32_t i = 0; i < COUNT; i++) {
        fds[i] = client_open(&s);
        send_number(fds[i], i % 2 ? AWAY(TEST_SLEEP) : LOOSE(TEST_SLEEP), 100);
        send_number(fds[i], AWAY(TEST_ECHO), i);
    }
    server_wait_counter(&s, "offload_full", COUNT - 8, 3000);
    int stuck = client_open(&s);
    send_number(stuck, AWAY(TEST_ECHO), 1);
    send_number(stuck, TEST_STICK, TEST_IN_FUNCTION);
    for (uint32_t i = 0; i < COUNT; i++) {
        unsigned char got[24];
        client_recv(fds[i], got, sizeof got); /* both answers, in any order if one is concurrent */
        if (i % 2)
            ck_assert_int_eq(memcmp(got + 8, (uint32_t[]){100}, 4) | memcmp(got + 20, &i, 4), 0);
    }
    ck_assert_uint_eq(server_counter(&s, "watch_replaced"), 1);
    client_send_packet(fds[0], TEST_UNSTICK, NULL, 0);
    server_wait_counter(&s, "watch_buried", 1, 3000);
    for (uint32_t i = 0; i < COUNT; i++)
        close(fds[i]);
    close(stuck);
    server_finish(&s);
    expect_sound(&s);
    ck_assert_uint_eq(server_counter(&s, "closed_function_stuck"), 1);
    ck_assert_uint_eq(server_counter(&s, "offload_dropped"), 0);
}
END_TEST

/* ---- Stopping ---- */

/* Goal: TERM while functions run and others wait for a thread: all that arrived is answered, exit code 0. */
START_TEST(stop_with_functions_out)
{
    struct server s;
    START(&s, "server.workernum=2", "offload.threads=8", "offload.queue=16", "server.drain_timeout=8");
    struct ledger *l = ledger_create(&s.target, 100, 60);
    ck_assert(l != NULL && ledger_connect(l, 5000));
    l->exchange.akg_id = AWAY(TEST_NAP);
    ledger_ask(l, 1, 1);
    ck_assert(ledger_run(l, 10000));
    server_signal(&s, SIGSTOP);
    ledger_ask(l, 5, 5);
    ck_assert(!ledger_run(l, 100));
    ck_assert_uint_eq(l->sent, 600);
    server_signal(&s, SIGTERM);
    server_signal(&s, SIGCONT);
    ck_assert(ledger_run_to_end(l, 10000));
    ck_assert_uint_eq(l->answered, 600);
    ck_assert_uint_eq(l->ends[END_FIN], 100);
    ck_assert_int_eq(server_wait_exit(&s, 8000), 0);
    ledger_destroy(&l);
    server_check(&s);
    expect_sound(&s);
}
END_TEST

/* Goal: a second TERM ends the connections, whose functions and places in line are still to come; the server waits for
 * the functions, runs all end hooks, exit code 0. */
START_TEST(stop_at_once_with_functions_out)
{
    struct server s;
    size_t extra;
    int fds[20];
    START(&s, "server.workernum=1", "offload.threads=2", "offload.queue=4", "server.drain_timeout=9");
    for (int i = 0; i < 20; i++) {
        fds[i] = client_open(&s);
        send_number(fds[i], i % 2 ? AWAY(TEST_SLEEP) : LOOSE(TEST_SLEEP), 200);
    }
    server_wait_counter(&s, "offload_full", 16, 3000);
    server_signal(&s, SIGTERM);
    server_wait_log(&s, "stopping: no new", 2000);
    server_signal(&s, SIGTERM);
    for (int i = 0; i < 20; i++) {
        ck_assert_int_ne(client_ending(fds[i], &extra, 2000), END_TIMEOUT);
        close(fds[i]);
    }
    ck_assert_int_eq(server_wait_exit(&s, 3000), 0);
    server_check(&s);
    expect_sound(&s);
    ck_assert_uint_ge(server_counter(&s, "offload_dropped"), 2);
}
END_TEST

/* Goal: a function that never returns: a stop keeps its deadline, names the function, and the exit code is 3. */
START_TEST(a_function_that_never_returns)
{
    struct server s;
    START(&s, "server.workernum=2", "offload.threads=2", "server.drain_timeout=1");
    int fd = client_open(&s);
    client_send_packet(fd, AWAY(TEST_HANG), NULL, 0);
    server_wait_counter(&s, "offload_jobs", 1, 2000);
    uint64_t begin = mono_ns();
    server_signal(&s, SIGTERM);
    ck_assert_int_eq(server_wait_exit(&s, 3500), 3);
    ck_assert_uint_lt(ms_since(begin), 3500u * ITEST_SLOW);
    char *err = program_slurp(s.err);
    ck_assert_msg(strstr(err, "function 0x7114, offloaded by worker ") != NULL, "not named: %s", err);
    ck_assert_msg(strstr(err, "did not return in time") != NULL, "not said: %s", err);
    ck_assert_ptr_null(strstr(err, "mario: worker"));
    free(err);
    close(fd);
    server_discard(&s);
}
END_TEST

/* Goal: a pool of 0 threads is refused at the start if a function is offloaded, and only then. */
START_TEST(a_pool_of_no_threads)
{
    static const char *const with[] = {"test.offload=on", "offload.threads=0", NULL};
    char out[1000], err[1000];
    struct launch l = {.program = "testapp", .args = with};
    ck_assert_int_eq(itest_run(&l, out, sizeof out, err, sizeof err), 2);
    ck_assert_str_eq(err,
                     "mario: function 0x6203 is offloaded, to a pool of 0 threads: raise offload.threads\n");
    struct server s;
    server_start(&s, "testapp", "offload.threads=0", NULL);
    server_finish(&s);
}
END_TEST

/* ---- The example ---- */

/* LOGIN and WHO_AM_I of example/login-db in one segment: what it answers, and how often this user has logged in. */
static uint32_t login_and_ask(const struct server *s, const char *name, uint64_t token, uint32_t *logins)
{
    unsigned char bytes[40] = {'L', 'D', 'B', '1', 32, 0, 1, 0}, who[8] = {'L', 'D', 'B', '1', 8, 0, 2, 0};
    uint32_t answer;
    strncpy((char *) bytes + 8, name, 16);
    memcpy(bytes + 24, &token, 8);
    memcpy(bytes + 32, who, 8);
    int fd = client_open(s);
    client_send(fd, bytes, sizeof bytes);
    client_recv(fd, bytes, 16);
    memcpy(&answer, bytes + 8, 4);
    memcpy(logins, bytes + 12, 4);
    if (answer == 0) {
        client_recv(fd, bytes, 24);
        ck_assert_str_eq((char *) bytes + 8, name);
        close(fd);
    } else {
        client_expect_fin(fd); /* nobody logged in: WHO_AM_I ends it */
    }
    return answer;
}

/* Goal: the login that asks a database: right and wrong tokens, unknown names, all counted in the file, also over a
 * restart. */
START_TEST(the_login_asks_its_database)
{
    char dir[64], file[96];
    struct server s;
    uint32_t logins;
    program_make_dir(dir, sizeof dir);
    snprintf(file, sizeof file, "%s/users.db", dir);
    const char *const args[] = {"127.0.0.1:0", file, NULL};
    for (uint32_t start = 0; start < 2; start++) {
        server_launch(&s, &(struct launch){.program = "login-db", .args = args, .bare = true});
        for (uint32_t i = 1; i <= 20; i++) {
            ck_assert_uint_eq(login_and_ask(&s, "ada", 1815, &logins), 0);
            ck_assert_uint_eq(logins, start * 20 + i);
            ck_assert_uint_eq(login_and_ask(&s, "ada", 1816, &logins), 1);
            ck_assert_uint_eq(login_and_ask(&s, "nobody", 1815, &logins), 1);
        }
        ck_assert_uint_eq(login_and_ask(&s, "grace", 1906, &logins), 0);
        ck_assert_uint_eq(logins, start + 1);
        server_stop(&s);
        ck_assert_uint_eq(server_counter(&s, "offload_jobs"), 61);
    }
    program_remove_dir(dir); /* SQLite leaves its log there when two threads close at the same moment */
}
END_TEST

Suite *offload_suite(void)
{
    Suite *s = suite_create("offload");
    TCase *c = itest_case(s, "body", 20);
    tcase_add_test(c, sees_the_same_connection);
    tcase_add_test(c, user_comes_back);
    tcase_add_test(c, closes_like_an_inline_one);
    tcase_add_test(c, nothing_behind_a_close);
    tcase_add_test(c, replies_of_any_length);
    tcase_add_test(c, a_reply_beyond_the_limit);
    c = itest_case(s, "order", 40);
    tcase_add_test(c, mixes_keep_their_order);
    tcase_add_test(c, a_thousand_connections);
    tcase_add_test(c, a_full_queue_pauses_nobody_else);
    tcase_add_test(c, concurrent_ones_overtake);
    tcase_add_test(c, more_than_one_connection_may_have);
    c = itest_case(s, "ends", 30);
    tcase_add_test(c, ends_meanwhile);
    tcase_add_test(c, churn_under_a_full_queue);
    tcase_add_test(c, timeouts_wait_for_the_function);
    tcase_add_test(c, threads_die_and_are_replaced);
    tcase_add_test(c, a_successor_finds_what_is_out);
    c = itest_case(s, "stop", 30);
    tcase_add_test(c, stop_with_functions_out);
    tcase_add_test(c, stop_at_once_with_functions_out);
    tcase_add_test(c, a_function_that_never_returns);
    tcase_add_test(c, a_pool_of_no_threads);
    c = itest_case(s, "example", 20);
    tcase_add_test(c, the_login_asks_its_database);
    return s;
}
