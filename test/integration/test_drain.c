/*
 * test_drain.c: drains: connections are told to go elsewhere at a rate, hear so, and nobody new comes; pause, stop,
 * status; signals, takeovers and reloads in between.
 */
#include <errno.h>
#include <signal.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/epoll.h>
#include <unistd.h>

#include "operator.h"
#include "stuck.h"

enum { MOST = 1200 };

/* Clients that listen until they are told to leave and the connection ends. */
struct crowd {
    int fds[MOST], epoll;
    uint32_t count, told, ended; /* told: a whole TEST_LEAVING came before the FIN */
    uint32_t wrong;              /* ended otherwise, or heard something else */
    uint32_t seconds[64];        /* how often each number was heard */
    uint64_t ended_ns[MOST];     /* in the order of the ends */
    uint32_t order[MOST];        /* whose */
};

static struct crowd crowd;

static void crowd_open(const struct server *s, uint32_t n)
{
    memset(&crowd, 0, sizeof crowd);
    crowd.epoll = epoll_create1(EPOLL_CLOEXEC);
    for (; crowd.count < n; crowd.count++) {
        crowd.fds[crowd.count] = client_open(s);
        struct epoll_event e = {.events = EPOLLIN, .data.u32 = crowd.count};
        ck_assert(epoll_ctl(crowd.epoll, EPOLL_CTL_ADD, crowd.fds[crowd.count], &e) == 0);
    }
    client_echo(crowd.fds[n - 1], 10);
}

static void hear_end(uint32_t i)
{
    static unsigned char data[65536];
    uint64_t now = mono_ns();
    ssize_t n = net_recv(crowd.fds[i], data, sizeof data);
    if (n == 12 && wire_get16(data + 6) == TEST_LEAVING && wire_get32(data + 8) < 64) {
        crowd.told++;
        crowd.seconds[wire_get32(data + 8)]++;
        n = net_recv(crowd.fds[i], data, sizeof data);
    }
    if (n < 0 && errno == EAGAIN)
        return; /* its FIN comes later, or this was no record of data */
    crowd.wrong += n != 0;
    net_close(crowd.fds[i]);
    crowd.fds[i] = -1;
    crowd.order[crowd.ended] = i;
    crowd.ended_ns[crowd.ended++] = now;
}

/* Listen until `ended` connections have ended, or ms have passed. */
static void crowd_hear(uint32_t ended, unsigned ms)
{
    struct epoll_event events[64];
    uint64_t deadline = itest_deadline(ms);
    while (crowd.ended < ended && mono_ns() < deadline) {
        int n = epoll_wait(crowd.epoll, events, 64, 5);
        for (int i = 0; i < n; i++)
            hear_end(events[i].data.u32);
    }
}

static void crowd_close(void)
{
    for (uint32_t i = 0; i < crowd.count; i++) {
        if (crowd.fds[i] >= 0)
            net_close(crowd.fds[i]);
    }
    close(crowd.epoll);
}

static void drain_server(struct server *s, const char *more, const char *and_more)
{
    server_start(s, "testapp", "server.workernum=3", "drain.delay=0", operator_option(), more, and_more,
                 NULL);
    s->log_lines_max = 100;
}

/* Goal: 1,000 connections at 500 a second are told within 2 % of that, all of them, each once; not in the order in
 * which they came; and the seconds that they hear are spread. */
START_TEST(at_a_rate)
{
    enum { N = 1000, RATE = 500 };
    struct server s;
    uint32_t numbers = 0, ordered = 0;
    drain_server(&s, "drain.spread=20", NULL);
    crowd_open(&s, N);
    uint64_t began = mono_ns();
    operator_json("drain start rate=%d", RATE);
    crowd_hear(N, 10000);
    double took = (double) (crowd.ended_ns[N - 1] - began) / 1e9;
    double half = (double) (crowd.ended_ns[N / 2 - 1] - began) / 1e9;
    ck_assert_uint_eq(crowd.ended, N);
    ck_assert_uint_eq(crowd.told, N);
    ck_assert_uint_eq(crowd.wrong, 0);
    for (uint32_t i = 1; i <= 20; i++)
        numbers += crowd.seconds[i] > N / 20 / 3;
    ck_assert_uint_eq(crowd.seconds[0], 0);
    ck_assert_uint_eq(numbers, 20);
    for (uint32_t i = 1; i < N; i++)
        ordered += abs((int) crowd.order[i] - (int) crowd.order[i - 1]) <= 3;
    ck_assert_msg(ordered < N / 20, "%u left right behind who came with them", ordered);
    printf("drain: %d connections at %d/s in %.3f s, the first half in %.3f s\n", N, RATE, took, half);
    operator_await("\"state\": \"done\"", 5000, "drain status");
    server_finish(&s);
    ck_assert_uint_eq(server_counter(&s, "closed_drain"), N);
    double off = 0.02 * N / RATE + 0.05 * (ITEST_SLOW - 1);
    ck_assert_msg(took > 1.0 * N / RATE - off && took < 1.0 * N / RATE + off + 0.05, "%.3f s", took);
    ck_assert_msg(half > 0.5 * N / RATE - off && half < 0.5 * N / RATE + off + 0.05, "%.3f s", half);
    crowd_close();
}
END_TEST

/* Goal: without a rate it takes drain.time; who is busy gets its answers, and nobody who has asked loses one. */
START_TEST(in_a_time)
{
    enum { N = 300 };
    struct server s;
    unsigned char packet[64], got[4096];
    drain_server(&s, "drain.time=2", NULL);
    crowd_open(&s, N);
    uint64_t began = mono_ns();
    operator_json("drain start");
    operator_await("\"state\": \"closing\"", 5000, "drain status");
    const char *status = operator_json("drain status");
    ck_assert_msg(operator_number(status, "total") == N && operator_number(status, "rate") == N / 2, "%s",
                  status);
    int fd = crowd.fds[0]; /* asks until it is told */
    size_t asked = 0, n = client_packet(packet, TEST_ECHO, "abcd", 4), heard = 0;
    ck_assert(epoll_ctl(crowd.epoll, EPOLL_CTL_DEL, fd, NULL) == 0);
    for (ssize_t end = 1; end != 0;) {
        client_send(fd, packet, n);
        asked++;
        size_t have = 0;
        while (have < n && (end = net_recv(fd, got + have, n - have)) != 0)
            have += end > 0 ? (size_t) end : 0;
        heard += have == n && wire_get16(got + 6) == TEST_ECHO;
        if (have == n && wire_get16(got + 6) == TEST_LEAVING)
            break;
        crowd_hear(N, 1);
    }
    crowd_hear(N - 1, 10000);
    double took = (double) (mono_ns() - began) / 1e9;
    ck_assert_uint_ge(heard + 1, asked);
    ck_assert_uint_eq(crowd.ended, N - 1);
    ck_assert_uint_eq(crowd.wrong, 0);
    ck_assert_msg(took > 1.8 && took < 2.5 * ITEST_SLOW, "%.3f s", took);
    net_close(fd);
    server_finish(&s);
    crowd_close();
}
END_TEST

/* Goal: during the delay new ones come, and /readyz says 503; afterwards they are reset; called off, all is as
 * before. */
START_TEST(who_comes)
{
    struct server s;
    drain_server(&s, "drain.delay=1", "drain.rate=1");
    crowd_open(&s, 5);
    ck_assert(strstr(operator_json("drain status"), "\"ready\": true") != NULL);
    operator_refused(1, "there is no drain", "drain stop");
    operator_refused(1, "no connections are being told", "drain pause");
    operator_json("drain start");
    ck_assert(strstr(operator_json("drain status"), "\"ready\": false") != NULL);
    int fd = client_open(&s);
    client_echo(fd, 10);
    operator_await("\"state\": \"closing\"", 5000, "drain status");
    int late = net_connect_wait(&s.target, itest_deadline(3000)); /* it may be reset already */
    ck_assert(late < 0 || client_ending(late, NULL, 3000) == END_RST);
    if (late >= 0)
        net_close(late);
    operator_json("drain stop");
    operator_await("\"state\": \"none\"", 5000, "drain status");
    ck_assert(strstr(operator_json("drain status"), "\"ready\": true") != NULL);
    late = client_open(&s);
    client_echo(late, 10);
    client_echo(fd, 10);
    net_close(late);
    net_close(fd);
    crowd_close();
    server_finish(&s);
    ck_assert_uint_eq(server_counter(&s, "refused_drain"), 1);
}
END_TEST

/* Goal: while it pauses nobody leaves; then it goes on, also at another rate, which a reload can set too. */
START_TEST(pauses)
{
    enum { N = 400 };
    struct server s;
    drain_server(&s, "drain.rate=200", NULL);
    crowd_open(&s, N);
    operator_json("drain start");
    crowd_hear(100, 5000);
    operator_json("drain pause");
    operator_await("\"state\": \"paused\"", 5000, "drain status");
    crowd_hear(N, 100);
    uint32_t ended = crowd.ended;
    crowd_hear(N, 500); /* time itself is the matter */
    ck_assert_uint_eq(crowd.ended, ended);
    ck_assert_uint_lt(ended, N);
    uint64_t began = mono_ns();
    operator_json("drain start rate=10000");
    crowd_hear(N, 5000);
    ck_assert_uint_eq(crowd.told, N);
    ck_assert_uint_lt(itest_ms_since(began), 1000u * ITEST_SLOW);
    server_finish(&s);
    crowd_close();
}
END_TEST

/* Goal: a stop in the middle ends it, as ever and in time; from then on a drain is refused. */
START_TEST(a_stop_in_the_middle)
{
    struct server s;
    drain_server(&s, "drain.rate=100", "test.end=slow");
    crowd_open(&s, 500);
    operator_json("drain start");
    crowd_hear(50, 5000);
    server_signal(&s, SIGTERM);
    crowd_hear(500, 5000);
    ck_assert_uint_eq(crowd.ended, 500);
    ck_assert_int_eq(server_wait_exit(&s, 5000), 0);
    server_check(&s);
    ck_assert_uint_ge(server_counter(&s, "closed_drain"), 50);
    ck_assert_uint_ge(server_counter(&s, "closed_stop"), 100);
    crowd_close();
}
END_TEST

/* Goal: a drain during a stop is refused in one line. */
START_TEST(during_a_stop)
{
    struct server s;
    drain_server(&s, "server.drain_timeout=20", NULL);
    int fd = client_open(&s);
    client_send_packet(fd, TEST_SLEEP, &(uint32_t){1500}, 4); /* keeps the stop waiting, and its worker */
    server_signal(&s, SIGTERM);
    server_wait_log(&s, "stopping: no new connections", 3000);
    operator_refused(1, "the server stops: nothing is drained any more", "drain start");
    ck_assert_int_eq(server_wait_exit(&s, 8000), 0);
    server_check(&s);
    net_close(fd);
}
END_TEST

/* Goal: drain.on_term: TERM drains, and then the server ends; with a second TERM it ends at once. */
START_TEST(a_term_that_drains)
{
    struct server s;
    drain_server(&s, "drain.on_term=on", _i == 0 ? "drain.rate=400" : "drain.rate=1");
    crowd_open(&s, 200);
    server_signal(&s, SIGTERM);
    crowd_hear(_i == 0 ? 200 : 1, 5000);
    if (_i == 1)
        server_signal(&s, SIGTERM);
    ck_assert_int_eq(server_wait_exit(&s, 5000), 0);
    crowd_hear(200, 1000);
    server_check(&s);
    ck_assert_uint_eq(crowd.ended, 200);
    if (_i == 0)
        ck_assert_uint_eq(server_counter(&s, "closed_drain"), 200);
    else
        ck_assert_uint_ge(server_counter(&s, "closed_stop"), 150);
    crowd_close();
}
END_TEST

/* Goal: a leave function that does not return costs its connection and nobody else: another thread goes on with the
 * drain. One that closes and fails changes nothing. */
START_TEST(leave_functions_that_go_wrong)
{
    enum { N = 300 };
    struct server s;
    server_start(&s, "testapp", "server.workernum=2", "drain.delay=0", "drain.rate=600", "watch.warn_ms=50",
                 "watch.replace_ms=200", operator_option(), _i == 0 ? "test.leave=stick" : "test.leave=close",
                 NULL);
    s.log_lines_max = 1000;
    crowd_open(&s, N);
    operator_json("drain start");
    crowd_hear(N, 10000);
    ck_assert_uint_eq(crowd.ended, N);
    ck_assert_uint_ge(crowd.told, _i == 0 ? N - 1 : N);
    if (_i == 0)
        ck_assert_uint_eq(crowd.wrong, 0);
    operator_json("drain stop");
    operator_await("\"state\": \"none\"", 5000, "drain status");
    if (_i == 0) {
        int fd = client_open(&s);
        unstick(fd);
        wait_counter(fd, "watch_buried", 1);
        net_close(fd);
    }
    server_finish(&s);
    ck_assert_uint_eq(server_counter(&s, "closed_function_stuck"), _i == 0 ? 1 : 0);
    ck_assert_uint_eq(server_counter(&s, "closed_drain"), _i == 0 ? N - 1 : N);
    crowd_close();
}
END_TEST

/* Goal: one whose offloaded function is out leaves when that is back, with its answer. */
START_TEST(with_a_function_out)
{
    struct server s;
    unsigned char data[64];
    drain_server(&s, "test.offload=on", "drain.rate=100000");
    int fd = client_open(&s);
    client_send_packet(fd, TEST_SLEEP + TEST_OFFLOADED, &(uint32_t){400}, 4);
    server_wait_counter(&s, "offload_jobs", 1, 5000);
    operator_json("drain start");
    ck_assert_uint_eq(client_recv_packet(fd, TEST_SLEEP + TEST_OFFLOADED, data, sizeof data), 4);
    ck_assert_uint_eq(client_recv_packet(fd, TEST_LEAVING, data, sizeof data), 4);
    client_expect_fin(fd);
    server_finish(&s);
    ck_assert_uint_eq(server_counter(&s, "wrong_thread"), 0);
}
END_TEST

/* Goal: maritcp says GO_AWAY, by each framing. */
START_TEST(maritcp_says_go_away)
{
    struct server s;
    unsigned char data[64];
    server_launch(
        &s, &(struct launch){.program = "maritcp",
                             .listen = "127.0.0.1:0, 127.0.0.1:0 proto=length size=2 endian=big id=0x6103",
                             .args = (const char *const[]){"drain.delay=0", "drain.rate=1000",
                                                           "drain.spread=7", operator_option(), NULL}});
    int fd = client_open(&s), framed = client_open_at(&s.addresses[1]);
    client_echo(fd, 10);
    operator_json("drain start");
    ck_assert_uint_eq(client_recv_packet(fd, 0x610b, data, sizeof data), 2);
    ck_assert(wire_get16(data) >= 1 && wire_get16(data) <= 7);
    client_expect_fin(fd);
    client_recv(framed, data, 4);
    ck_assert(data[0] == 0 && data[1] == 2 && wire_get16(data + 2) >= 1 && wire_get16(data + 2) <= 7);
    client_expect_fin(framed);
    server_finish(&s);
}
END_TEST

/* Goal: who loads a server that begins to drain reads so in the report, and is not told of wrong replies. */
START_TEST(mario_load_is_told)
{
    struct server s;
    char out[8192], err[2048], port[8];
    server_start(&s, "maritcp", "drain.delay=0", "drain.rate=1000", operator_option(), NULL);
    snprintf(port, sizeof port, "%u", s.port);
    const char *const args[] = {"127.0.0.1", port, "-m", "closed", "-a", "echo", "-c", "6",
                                "-w",        "0",  "-t", "60",     "-j", "-",    NULL};
    pid_t who_drains = fork();
    if (who_drains == 0) {
        operator_await("\"opened\": 6", 20000, "stats");
        operator_json("drain start");
        _exit(0);
    }
    struct launch l = {.program = "mario_load", .args = args, .bare = true};
    int code = itest_run(&l, out, sizeof out, err, sizeof err);
    ck_assert_msg(code == 1 && strstr(out, "\"away\":6") != NULL, "exit code %d: %s%s", code, err, out);
    server_finish(&s);
}
END_TEST

Suite *drain_suite(void)
{
    Suite *s = suite_create("drain");
    TCase *c = itest_case(s, "drain", 25);
    tcase_add_test(c, at_a_rate);
    tcase_add_test(c, in_a_time);
    tcase_add_test(c, who_comes);
    tcase_add_test(c, pauses);
    tcase_add_test(c, a_stop_in_the_middle);
    tcase_add_test(c, during_a_stop);
    tcase_add_loop_test(c, a_term_that_drains, 0, 2);
    tcase_add_loop_test(c, leave_functions_that_go_wrong, 0, 2);
    tcase_add_test(c, with_a_function_out);
    tcase_add_test(c, maritcp_says_go_away);
    tcase_add_test(c, mario_load_is_told);
    return s;
}
