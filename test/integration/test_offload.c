/*
 * test_offload.c: functions that may block, on the threads of the pool: what they find, what they answer, and in which
 * order; and an example that blocks. How they end is in test_offload_ends.c.
 */
#include "offloaded.h"

#include <poll.h>
#include <pthread.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/ioctl.h>
#include <sys/socket.h>
#include <unistd.h>

#include "program.h"
#include "test_ledger.h"

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

/* Goal: more come back at once than a worker takes in one go, and nothing happens afterwards that would wake it:
 * all are answered. */
START_TEST(many_come_back_at_once)
{
    enum { CLIENTS = 6, EACH = 150, BUSY_MS = 300 * ITEST_SLOW };
    struct server s;
    int fds[CLIENTS];
    START(&s, "server.workernum=2", "offload.threads=2", "offload.queue=1000", "watch.warn_ms=0");
    int other = open_at_worker(&s, 1), busy = open_at_worker(&s, 0);
    for (int i = 0; i < CLIENTS; i++)
        fds[i] = open_at_worker(&s, 0);
    send_number(busy, LOOSE(TEST_STICK), TEST_IN_FUNCTION);
    send_number(busy, LOOSE(TEST_STICK), TEST_IN_FUNCTION);
    for (uint32_t i = 0; i < CLIENTS * EACH; i++)
        send_number(fds[i % CLIENTS], LOOSE(TEST_ECHO), i);
    wait_counter(other, "offload_jobs", 2 + CLIENTS * EACH);
    send_number(busy, TEST_SLEEP, BUSY_MS); /* the worker itself */
    itest_sleep(50);
    unstick(other);
    for (int i = 0; i < CLIENTS; i++) {
        static unsigned char answers[EACH * 12];
        client_recv(fds[i], answers, sizeof answers);
        close(fds[i]);
    }
    close(busy);
    close(other);
    server_finish(&s);
    expect_sound(&s);
}
END_TEST

/* Goal: who has to wait for a job gets one before those who come later, also before the next packet of the one whose
 * function has just returned. */
START_TEST(the_line_is_served_in_order)
{
    enum { MANY = 300 };
    struct server s;
    unsigned char packets[MANY * 12]; /* sent at once, so that they are read at once */
    size_t len = 0;
    START(&s, "server.workernum=1", "offload.threads=1", "offload.queue=1");
    int greedy = client_open(&s), modest = client_open(&s), first = client_open(&s);
    send_number(first, AWAY(TEST_STICK), TEST_IN_FUNCTION);
    server_wait_counter(&s, "offload_jobs", 1, 3000);
    for (uint32_t i = 0; i < MANY; i++)
        len += client_packet(packets + len, AWAY(TEST_NAP), &i, sizeof i);
    client_send(greedy, packets, len);
    server_wait_counter(&s, "offload_full", 1, 3000);
    send_number(modest, AWAY(TEST_NAP), 7);
    server_wait_counter(&s, "offload_full", 2, 3000);
    int waker = client_open(&s);
    struct pollfd answer = {.fd = modest, .events = POLLIN};
    do /* again, if its thread has begun to wait for it only now */
        client_ask(waker, TEST_UNSTICK, NULL, 0, NULL, 0);
    while (poll(&answer, 1, 200) == 0);
    ck_assert_uint_eq(recv_number(modest, AWAY(TEST_NAP)), 7);
    int have = 0;
    ck_assert(ioctl(greedy, FIONREAD, &have) == 0);
    ck_assert_msg(have < MANY / 2 * 12, "%d answers went to who came with many", have / 12);
    for (uint32_t i = 0; i < MANY; i++)
        ck_assert_uint_eq(recv_number(greedy, AWAY(TEST_NAP)), i);
    close(waker);
    close(greedy);
    close(modest);
    close(first);
    server_finish(&s);
    expect_sound(&s);
}
END_TEST

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
    ck_assert_uint_lt(itest_ms_since(begin), MS);
    for (int i = 0; i < COUNT; i++) {
        uint32_t which = recv_number(fd, LOOSE(TEST_SLEEP)) - MS;
        ck_assert(which < COUNT && !seen[which]);
        seen[which] = true;
    }
    ck_assert_uint_lt(itest_ms_since(begin), (COUNT - 2) * MS);
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
 * restart. While the file is not where it belongs nobody is granted anything. */
START_TEST(the_login_asks_its_database)
{
    char dir[64], file[96], away[96];
    struct server s;
    uint32_t logins;
    program_make_dir(dir, sizeof dir);
    snprintf(file, sizeof file, "%s/users.db", dir);
    snprintf(away, sizeof away, "%s/away.db", dir);
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
        ck_assert_uint_eq(logins, 2 * start + 1);
        ck_assert(rename(file, away) == 0);
        ck_assert_uint_eq(login_and_ask(&s, "grace", 1906, &logins), 2);
        ck_assert(rename(away, file) == 0);
        ck_assert_uint_eq(login_and_ask(&s, "grace", 1906, &logins), 0);
        ck_assert_uint_eq(logins, 2 * start + 2);
        server_stop(&s);
        ck_assert_uint_eq(server_counter(&s, "offload_jobs"), 63);
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
    tcase_add_test(c, many_come_back_at_once);
    tcase_add_test(c, the_line_is_served_in_order);
    tcase_add_test(c, concurrent_ones_overtake);
    tcase_add_test(c, more_than_one_connection_may_have);
    c = itest_case(s, "example", 20);
    tcase_add_test(c, the_login_asks_its_database);
    return s;
}
