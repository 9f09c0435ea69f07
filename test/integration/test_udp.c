/*
 * test_udp.c: packets that come by themselves: every datagram is answered to whom and from where it has to be, or
 * counted as what it is.
 */
#include <arpa/inet.h>
#include <netinet/in.h>
#include <signal.h>
#include <stdio.h>
#include <string.h>
#include <sys/socket.h>
#include <unistd.h>

#include "datagrams.h"
#include "preloads.h"

/* Goal: the packet that came is the packet that the function sees, at any size, and its reply is a datagram; on one
 * port with connections, over both families. */
START_TEST(answers)
{
    struct server s;
    udp_start_at(
        &s, client_has_ipv6() ? "127.0.0.1:0,udp:127.0.0.1:0,udp:[::1]:0" : "127.0.0.1:0,udp:127.0.0.1:0",
        NULL);
    for (unsigned k = UDP; k < s.address_count; k++) {
        int fd = udp_open_at(&s.addresses[k]);
        uint32_t len;
        for (size_t n = 0; n <= 1400; n += n < 70 ? 1 : 133)
            udp_echo(fd, n);
        udp_echo(fd, MOST - WIRE_HEAD_LEN);
        ck_assert_uint_eq(udp_ask(fd, TEST_SIGHT, "seen to its end", 15, &len, sizeof len), sizeof len);
        ck_assert_uint_eq(len, 15); /* no rest of a longer one stands behind it */
        close(fd);
    }
    int fd = client_open(&s);
    client_echo(fd, 100);
    close(fd);
    server_finish(&s);
    ck_assert_uint_eq(server_counter(&s, "wrong_state"), 0);
    ck_assert_uint_eq(server_counter(&s, "udp_in"), server_counter(&s, "udp_out"));
}
END_TEST

/* Goal: a port for both, as the listen list has it. */
START_TEST(one_port)
{
    char listen[64];
    struct server s;
    unsigned port = 0;
    for (int tries = 0; port == 0 && tries < 50; tries++) { /* one that is free for both */
        struct sockaddr_in in = {.sin_family = AF_INET, .sin_addr.s_addr = htonl(INADDR_LOOPBACK)};
        socklen_t len = sizeof in;
        int a = socket(AF_INET, SOCK_STREAM, 0), b = socket(AF_INET, SOCK_DGRAM, 0);
        if (bind(a, (struct sockaddr *) &in, len) == 0 &&
            getsockname(a, (struct sockaddr *) &in, &len) == 0 && bind(b, (struct sockaddr *) &in, len) == 0)
            port = ntohs(in.sin_port);
        close(a);
        close(b);
    }
    snprintf(listen, sizeof listen, "127.0.0.1:%u,udp:127.0.0.1:%u", port, port);
    udp_start_at(&s, listen, NULL);
    int fd = client_open(&s), u = udp_open(&s);
    client_echo(fd, 10);
    udp_echo(u, 10);
    close(u);
    close(fd);
    server_finish(&s);
}
END_TEST

/* Goal: functions of all kinds see that nobody is behind it, each time anew, and who sent it; what needs a
 * connection is refused. */
START_TEST(nobody_is_behind_it)
{
    static const uint16_t kinds[] = {0, TEST_OFFLOADED, TEST_CONCURRENT};
    struct server s;
    udp_start_at(&s,
                 client_has_ipv6() ? "127.0.0.1:0,udp:127.0.0.1:0 amplify=2,udp:[::1]:0 amplify=2"
                                   : "127.0.0.1:0,udp:127.0.0.1:0 amplify=2",
                 (const char *[]){"test.offload=on", NULL});
    for (unsigned i = 0; i < 3 * (s.address_count - UDP); i++) {
        struct test_datagram d;
        char padding[80] = {0}, name[80];
        struct sockaddr_storage me;
        socklen_t len = sizeof me;
        uint16_t kind = kinds[i % 3];
        int fd = udp_open_at(&s.addresses[UDP + i / 3]);
        ck_assert(getsockname(fd, (struct sockaddr *) &me, &len) == 0);
        if (me.ss_family == AF_INET)
            snprintf(name, sizeof name, "127.0.0.1:%u", ntohs(((struct sockaddr_in *) &me)->sin_port));
        else
            snprintf(name, sizeof name, "[::1]:%u", ntohs(((struct sockaddr_in6 *) &me)->sin6_port));
        for (int again = 0; again < 2; again++) {
            size_t n = udp_ask(fd, (uint16_t) (TEST_DATAGRAM + kind), padding, sizeof padding, &d, sizeof d);
            ck_assert_uint_eq(n, sizeof d);
            ck_assert(d.is_nobody && d.is_refused);
            ck_assert_uint_eq(d.is_away, kind != 0);
            ck_assert_str_eq(d.peer, name);
        }
        close(fd);
    }
    int fd = client_open(&s); /* of a connection it says that it is none */
    client_send_packet(fd, TEST_DATAGRAM, NULL, 0);
    client_expect_fin(fd);
    server_finish(&s);
    ck_assert_uint_eq(server_counter(&s, "opened"), 1);
}
END_TEST

/* Goal: what is no packet is counted as what it is, never answered, never written about; the next one is served. */
START_TEST(bad_ones_are_counted)
{
    static const char *const counters[] = {"udp_bad_stx",    "udp_short",   "udp_trailing",
                                           "udp_bad_length", "udp_unknown", "udp_in"};
    static unsigned char p[MOST + 100], large[MOST];
    struct server s;
    udp_start(&s, (const char *[]){"server.workernum=1", NULL});
    int fd = udp_open(&s);
    enum { ROUNDS = 100 };
    for (int i = 0; i < ROUNDS; i++) {
        size_t n = client_packet(p, TEST_ECHO, "twelve bytes", 12);
        udp_put(fd, p, n + 1); /* something behind it */
        udp_put(fd, p, n - 1);
        udp_put(fd, p, 7);
        udp_put(fd, p, 0);
        p[0] ^= 1;
        udp_put(fd, p, n);
        udp_put(fd, "GET / HTTP/1.1\r\n\r\n", 18);
        udp_put(fd, p, client_packet(p, 0xfffd, NULL, 0)); /* a hook's id */
        udp_put(fd, p, client_packet(p, 0x1234, NULL, 0));
        client_packet(p, TEST_ECHO, NULL, 0);
        p[4] = 7; /* less than its own HEAD */
        udp_put(fd, p, WIRE_HEAD_LEN);
        client_packet(p, TEST_ECHO, NULL, 0);
        p[4] = 0xff;
        p[5] = 0xff;
        udp_put(fd, p, WIRE_HEAD_LEN);
        client_packet(p, TEST_ECHO, large, MOST - WIRE_HEAD_LEN);
        if (i % 10 == 0)
            udp_put(fd, p, MOST + 100); /* a packet as large as can be, and more behind it */
        udp_quiet(fd);
    }
    ck_assert_uint_eq(server_log_count(&s, "udp"), 1); /* where it listens */
    close(fd);
    server_finish(&s);
    uint64_t want[] = {2 * ROUNDS, 3 * ROUNDS, ROUNDS + ROUNDS / 10, 2 * ROUNDS, 2 * ROUNDS, 0};
    want[5] = want[0] + want[1] + want[2] + want[3] + want[4] + ROUNDS;
    for (size_t i = 0; i < 6; i++)
        ck_assert_msg(server_counter(&s, counters[i]) == want[i], "%s is %llu, not %llu", counters[i],
                      (unsigned long long) server_counter(&s, counters[i]), (unsigned long long) want[i]);
    ck_assert_uint_eq(server_counter(&s, "udp_out"), ROUNDS);
    ck_assert_uint_eq(server_counter(&s, "functions"), ROUNDS);
}
END_TEST

/* Goal: nobody gets more than he has sent, unless the listener says so, and then no more than that. */
START_TEST(amplification)
{
    struct server s;
    udp_start_at(&s, "127.0.0.1:0,udp:127.0.0.1:0,udp:127.0.0.1:0 amplify=3",
                 (const char *[]){"server.workernum=1", "test.offload=on", NULL});
    for (unsigned k = UDP; k <= UDP + 1; k++) {
        int fd = udp_open_at(&s.addresses[k]);
        for (unsigned kind = 0; kind <= TEST_OFFLOADED; kind += TEST_OFFLOADED) {
            unsigned char data[100] = {0}, answer[1000];
            for (uint32_t times = 1; times <= 4; times++) {
                memcpy(data, &times, sizeof times);
                udp_put_packet(fd, (uint16_t) (TEST_AMPLIFY + kind), data, sizeof data);
                if (times > (k == UDP ? 1u : 3u))
                    continue;
                ssize_t n = udp_take(fd, answer, sizeof answer, ANSWER_MS);
                ck_assert_int_eq(n, (ssize_t) (times * (sizeof data + WIRE_HEAD_LEN)));
            }
            udp_quiet(fd);
        }
        close(fd);
    }
    server_wait_counter(&s, "udp_amplified", 8, 3000);
    server_stop(&s);
    ck_assert_uint_eq(server_counter(&s, "udp_amplified"), 2 * (3 + 1));
}
END_TEST

/* Goal: who returns an error or closes, in whatever order with writing, answers nothing; the sender's next one is
 * served. */
START_TEST(no_reply)
{
    struct server s;
    udp_start(&s, (const char *[]){"server.workernum=1", "test.offload=on", NULL});
    int fd = udp_open(&s);
    for (unsigned kind = 0; kind <= TEST_CONCURRENT; kind += TEST_OFFLOADED) {
        struct test_end end = {.reason_id = 1};
        int32_t value = -3;
        udp_put_packet(fd, (uint16_t) (TEST_RETURN + kind), &value, sizeof value);
        udp_put_packet(fd, (uint16_t) (TEST_CLOSE + kind), &end, sizeof end);
        udp_put_packet(fd, (uint16_t) (TEST_WRITE_CLOSE + kind), &end, sizeof end);
        udp_put_packet(fd, (uint16_t) (TEST_CLOSE_ERR + kind), NULL, 0);
        udp_put_packet(fd, (uint16_t) (TEST_SILENT + kind), NULL, 0);
        if (kind == 0)
            udp_quiet(fd);
    }
    server_wait_counter(&s, "functions", 3 * 5 + 1, ANSWER_MS);
    udp_quiet(fd);
    close(fd);
    server_stop(&s);
    ck_assert_uint_eq(server_counter(&s, "udp_out"), 2);
    ck_assert_uint_eq(server_counter(&s, "udp_unsent") + server_counter(&s, "udp_amplified"), 0);
}
END_TEST

/* Goal: from a port that is one of ours, on whatever machine, nothing is taken: an answer might be answered for
 * ever. */
START_TEST(loops)
{
    struct server s;
    udp_start(&s, (const char *[]){"server.workernum=1", NULL});
    struct sockaddr_in to = *(struct sockaddr_in *) &s.addresses[UDP].addr, me = to;
    unsigned char packet[WIRE_HEAD_LEN];
    size_t n = client_packet(packet, TEST_ECHO, NULL, 0);
    int fd = socket(AF_INET, SOCK_DGRAM | SOCK_CLOEXEC, 0);
    me.sin_addr.s_addr = inet_addr("127.0.0.77");
    ck_assert(bind(fd, (struct sockaddr *) &me, sizeof me) == 0);
    ck_assert(connect(fd, (struct sockaddr *) &to, sizeof to) == 0);
    udp_put(fd, packet, n);
    server_wait_counter(&s, "udp_loop", 1, 5000);
    close(fd);
    server_stop(&s);
    ck_assert_uint_eq(server_counter(&s, "udp_out"), 0);
}
END_TEST

/* Goal: on all addresses of the machine, each answer comes from the one that was asked: our socket takes no other. */
START_TEST(from_the_address_that_was_asked)
{
    static const char *const to[] = {"127.0.0.1", "127.0.0.9", "127.1.2.3"};
    struct server s;
    udp_start_at(&s, "127.0.0.1:0,udp:0.0.0.0:0", (const char *[]){"test.offload=on", NULL});
    for (size_t i = 0; i < 3; i++) {
        struct net_target t = s.addresses[UDP];
        char room[8];
        inet_pton(AF_INET, to[i], &((struct sockaddr_in *) &t.addr)->sin_addr);
        int fd = udp_open_at(&t);
        udp_echo(fd, 20);
        udp_ask(fd, AWAY(TEST_ECHO), "away", 4, room, sizeof room);
        close(fd);
    }
    server_finish(&s);
    ck_assert_uint_eq(server_counter(&s, "udp_out"), 6);
}
END_TEST

/* Goal: many senders at once: each gets his own answers, in the order he asked on each worker; nothing is lost but what
 * is counted. */
START_TEST(many)
{
    enum { CLIENTS = 40, WINDOW = 4, EACH = 200 };
    struct server s;
    int fd[CLIENTS];
    uint32_t sent[CLIENTS] = {0}, got[CLIENTS] = {0}, open = CLIENTS;
    udp_start(&s, NULL);
    for (int i = 0; i < CLIENTS; i++)
        fd[i] = udp_open(&s);
    for (uint64_t end = itest_deadline(20000); open > 0;) {
        ITEST_ASSERT(mono_ns() < end, "%u are not through", open);
        open = 0;
        for (int i = 0; i < CLIENTS; i++) {
            for (; sent[i] < EACH && sent[i] - got[i] < WINDOW; sent[i]++) {
                uint32_t data[2] = {(uint32_t) i, sent[i]};
                udp_put_packet(fd[i], TEST_ECHO, data, sizeof data);
            }
            open += got[i] < EACH;
        }
        for (int i = 0; i < CLIENTS; i++) {
            unsigned char p[64];
            uint32_t data[2];
            while (recv(fd[i], p, sizeof p, 0) == WIRE_HEAD_LEN + (ssize_t) sizeof data) {
                memcpy(data, p + WIRE_HEAD_LEN, sizeof data);
                ITEST_ASSERT(data[0] == (uint32_t) i && data[1] == got[i], "client %d: %u of %u, not %u", i,
                             data[1], data[0], got[i]);
                got[i]++;
            }
        }
    }
    for (int i = 0; i < CLIENTS; i++)
        close(fd[i]);
    server_finish(&s);
    ck_assert_uint_eq(server_counter(&s, "udp_out"), CLIENTS * EACH);
}
END_TEST

/* Goal: what the kernel had no room for is counted. */
START_TEST(lost_ones_are_counted)
{
    static char data[1000];
    enum { SENT = 20000 };
    struct server s;
    udp_start(&s, (const char *[]){"server.workernum=1", NULL});
    int fd = udp_open(&s);
    udp_echo(fd, 1);
    server_signal(&s, SIGSTOP);
    for (int i = 0; i < SENT; i++)
        udp_put_packet(fd, TEST_SILENT, data, sizeof data);
    server_signal(&s, SIGCONT);
    udp_echo(fd, 1); /* tells how many were lost */
    server_wait_counter(&s, "udp_in", 2, 5000);
    close(fd);
    server_stop(&s);
    ck_assert_uint_gt(server_counter(&s, "udp_dropped"), 0);
    ck_assert_uint_eq(server_counter(&s, "udp_in") + server_counter(&s, "udp_dropped"), SENT + 2);
}
END_TEST

/* Goal: what listener a datagram comes to says what a packet is, and mario_reply() answers as it says, inline and
 * offloaded. */
START_TEST(other_framings)
{
    static const struct {
        const char *proto, *asked, *answer;
        size_t len;
    } rows[] = {{"raw id=0x7090", "just that", "just that", 9},
                {"line id=0x7090", "a line\n", "a line\n", 7},
                {"line id=0x7190", "a line\r\n", "a line\n", 8},
                {"delim=0x03 id=0x7290", "up to here\003", "up to here\003", 11},
                {"length size=2 endian=big id=0x7090", "\0\004four", "\0\004four", 6},
                {"length size=1 strip=1 id=0x7190", "\003few", "\003few", 4}};
    enum { ROWS = sizeof rows / sizeof rows[0] };
    char listen[1024] = "127.0.0.1:0", got[64];
    struct server s;
    for (size_t i = 0; i < ROWS; i++)
        snprintf(listen + strlen(listen), sizeof listen - strlen(listen), ",udp:127.0.0.1:0 proto=%s",
                 rows[i].proto);
    udp_start_at(&s, listen, (const char *[]){"server.workernum=1", "test.offload=on", NULL});
    for (unsigned i = 0; i < ROWS; i++) {
        int fd = udp_open_at(&s.addresses[UDP + i]);
        udp_put(fd, rows[i].asked, rows[i].len);
        ssize_t n = udp_take(fd, got, sizeof got, ANSWER_MS);
        ck_assert_msg(n >= 0, "no answer by %s", rows[i].proto);
        ck_assert_uint_eq((size_t) n, strlen(rows[i].answer + (rows[i].answer[0] == 0 ? 1 : 0)) +
                                          (rows[i].answer[0] == 0 ? 1 : 0));
        ck_assert_int_eq(memcmp(got, rows[i].answer, (size_t) n), 0);
        close(fd);
    }
    int fd = udp_open_at(&s.addresses[UDP + 1]); /* lines */
    udp_put(fd, "no end", 6);
    udp_put(fd, "one\ntwo\n", 8);
    udp_put(fd, "\n", 1);
    ck_assert_int_eq(udp_take(fd, got, sizeof got, ANSWER_MS), 1); /* of an empty one */
    close(fd);
    server_finish(&s);
    ck_assert_uint_eq(server_counter(&s, "udp_short"), 1);
    ck_assert_uint_eq(server_counter(&s, "udp_trailing"), 1);
    ck_assert_uint_eq(server_counter(&s, "udp_out"), ROWS + 1);
}
END_TEST

/* Goal: a reply that no datagram can hold is counted, wherever its function runs. */
START_TEST(too_long_for_a_datagram)
{
    static unsigned char data[MOST - WIRE_HEAD_LEN];
    uint32_t times = 9;
    struct server s;
    udp_start_at(&s, "127.0.0.1:0,udp:127.0.0.1:0 amplify=100",
                 (const char *[]){"server.workernum=1", "test.offload=on", NULL});
    int fd = udp_open(&s);
    memcpy(data, &times, sizeof times);
    udp_put_packet(fd, TEST_AMPLIFY, data, sizeof data);
    udp_quiet(fd);
    udp_put_packet(fd, AWAY(TEST_AMPLIFY), data, sizeof data);
    server_wait_counter(&s, "udp_unsent", 2, ANSWER_MS);
    udp_quiet(fd);
    close(fd);
    server_stop(&s);
    ck_assert_uint_eq(server_counter(&s, "udp_unsent"), 2);
    ck_assert_uint_eq(server_counter(&s, "udp_out"), 2);
}
END_TEST

/* Goal: many datagrams for a function that takes its time keep nobody's connection waiting for all of them. */
START_TEST(a_fair_share)
{
    enum { NAPS = 150 };
    struct server s;
    unsigned before = 0, behind = 0;
    char room[64];
    udp_start(&s, (const char *[]){"server.workernum=1", "watch.warn_ms=0", NULL});
    int fd = udp_open(&s), tcp = client_open(&s);
    client_echo(tcp, 10);
    udp_echo(fd, 10);
    server_signal(&s, SIGSTOP);
    for (int i = 0; i < NAPS; i++)
        udp_put_packet(fd, TEST_NAP, NULL, 0);
    client_send_packet(tcp, TEST_ECHO, "hello", 5);
    server_signal(&s, SIGCONT);
    client_recv_packet(tcp, TEST_ECHO, room, sizeof room);
    while (udp_take(fd, room, sizeof room, 0) > 0)
        before++;
    while (before + behind < NAPS) {
        udp_take_packet(fd, TEST_NAP, room, sizeof room);
        behind++;
    }
    ITEST_ASSERT(before < NAPS / 2, "%u datagrams were in front", before);
    close(tcp);
    close(fd);
    server_finish(&s);
}
END_TEST

/* Goal: the steady state takes nothing from the heap, inline or offloaded. */
START_TEST(nothing_is_allocated)
{
    enum { WARM = 2000, MORE = 20000 };
    char env[PRELOAD_ENV], room[64];
    struct heap_board *b = preload_heap(env);
    const char *const envs[] = {env, NULL};
    uint64_t calls[2] = {0, 0};
    struct server s;
    server_launch(&s,
                  &(struct launch){.program = "testapp",
                                   .listen = "127.0.0.1:0,udp:127.0.0.1:0",
                                   .args = (const char *[]){"server.workernum=1", "test.offload=on", NULL},
                                   .preload = "heap",
                                   .env = envs});
    int fd = udp_open(&s);
    for (unsigned round = 0; round < 2; round++) {
        for (unsigned i = 0; i < (round == 0 ? WARM : MORE); i++)
            udp_ask(fd, i % 8 == 0 ? AWAY(TEST_ECHO) : TEST_ECHO, &i, sizeof i, room, sizeof room);
        for (int i = 0; i < HEAP_THREADS; i++)
            calls[round] += atomic_load(&b->thread[i].allocs) + atomic_load(&b->thread[i].reallocs) +
                            atomic_load(&b->thread[i].frees);
    }
    ck_assert_uint_le(calls[1] - calls[0], 20);
    close(fd);
    server_finish(&s);
}
END_TEST

Suite *udp_suite(void)
{
    Suite *s = suite_create("udp");
    TCase *back = itest_case(s, "what comes back", 20);
    tcase_add_test(back, answers);
    tcase_add_test(back, one_port);
    tcase_add_test(back, nobody_is_behind_it);
    tcase_add_test(back, bad_ones_are_counted);
    tcase_add_test(back, amplification);
    tcase_add_test(back, no_reply);
    tcase_add_test(back, loops);
    tcase_add_test(back, from_the_address_that_was_asked);
    tcase_add_test(back, many);
    tcase_add_test(back, lost_ones_are_counted);
    tcase_add_test(back, other_framings);
    tcase_add_test(back, too_long_for_a_datagram);
    tcase_add_test(back, a_fair_share);
    if (ITEST_SLOW == 1) /* a sanitizer has a heap of its own */
        tcase_add_test(back, nothing_is_allocated);
    return s;
}
