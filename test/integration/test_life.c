/*
 * test_life.c: how connections begin and end: churn over few slots (SCORECARD row 17), resets in every state
 * (row 18), half-close (row 19), clients that are gone before their first byte, and a stop that finds
 * connections waiting.
 *
 * testapp counts its hooks; server_check() sees to it that each connected hook had exactly one end hook.
 */
#include "harness.h"

#include <errno.h>
#include <inttypes.h>
#include <netinet/in.h>
#include <signal.h>
#include <stdlib.h>
#include <string.h>
#include <sys/socket.h>
#include <unistd.h>

#include "leaving.h"
#include "test/apps/testapp/commands.h"
#include "test_ledger.h"

/* ---- Row 17 ---- */

enum { WINDOW = 12, CHURN_MS = 20000, CHURN_LEAST = 1000 };

/* Goal: while slots and descriptors are used again and again with bytes in flight, no connection sees a
 * former one's bytes or its c->user. ITEST_CHURN sets how many connections; without it, it is fewer where the
 * machine is busy. */
START_TEST(churn)
{
    struct server s;
    uint32_t wanted = (uint32_t) itest_number("ITEST_CHURN", 0),
             count = wanted > 0 ? wanted : 30000 / ITEST_SLOW;
    int fd[WINDOW];
    server_start(&s, "testapp", "server.workernum=2", "server.connnum=20", "output.max=1m", NULL);
    struct bystanders *b = bystanders_start(&s.target, 4, 100, 1);
    uint64_t end = itest_deadline(CHURN_MS);
    for (uint32_t i = 0; i < count + WINDOW; i++) {
        if (wanted == 0 && i >= CHURN_LEAST && i < count && mono_ns() >= end)
            count = i;
        if (i >= WINDOW) {
            token_expect(fd[i % WINDOW], i - WINDOW);
            token_expect(fd[i % WINDOW], i - WINDOW);
            leave(fd[i % WINDOW], i - WINDOW);
        }
        if (i >= count)
            continue;
        fd[i % WINDOW] = net_connect_start(&s.target, i);
        ITEST_ASSERT(fd[i % WINDOW] >= 0 || errno == EINPROGRESS, "connect: %s", strerror(errno));
        token_send(fd[i % WINDOW], i);
        token_send(fd[i % WINDOW], i);
    }
    bystanders_finish(&b);
    server_finish(&s);
    ck_assert_uint_eq(server_counter(&s, "wrong_canary"), 0);
    ck_assert_uint_eq(server_counter(&s, "opened"), count + 4);
    ck_assert_uint_eq(server_counter(&s, "refused_full"), 0);
}
END_TEST

/* Goal: a connection that is closed by another's function while its own request waits in the same turn of
 * the loop, and whose descriptor is used again at once: nothing of it is served afterwards. */
START_TEST(closed_with_a_request_in_the_same_turn)
{
    enum { ROUNDS = 60 };
    struct server s;
    server_start(&s, "testapp", "server.workernum=1", "server.connnum=10", NULL);
    int sleeper = client_open(&s), by = client_open(&s);
    for (int i = 0; i < ROUNDS; i++) {
        uint32_t ms = 3 * ITEST_SLOW;
        size_t extra;
        uint8_t found;
        int victim = client_open(&s);
        client_echo(victim, 1);
        client_echo(by, 1);
        uint32_t port = client_port(victim);
        client_send_packet(sleeper, TEST_SLEEP, &ms, sizeof ms);
        itest_sleep(1);
        client_send_packet(by, TEST_CLOSE_OTHER, &port, sizeof port);
        client_send_packet(victim, TEST_ECHO, "in the same turn", 16);
        int next = client_open(&s);
        client_send_packet(next, TEST_ECHO, NULL, 0);
        ck_assert_uint_eq(client_recv_packet(by, TEST_CLOSE_OTHER, &found, 1), 1);
        ck_assert_uint_eq(found, 1);
        enum ending how = client_ending(victim, &extra, 5000);
        ck_assert_msg(how == END_FIN && extra == 0, "ending %d after %zu bytes", how, extra);
        ck_assert_uint_eq(client_recv_packet(next, TEST_ECHO, NULL, 0), 0);
        ck_assert_uint_eq(client_recv_packet(sleeper, TEST_SLEEP, &ms, sizeof ms), sizeof ms);
        close(victim);
        close(next);
    }
    close(sleeper);
    close(by);
    server_finish(&s);
    ck_assert_uint_eq(server_counter(&s, "closed_function_closed"), ROUNDS);
}
END_TEST

/* ---- Row 18 ---- */

/* Reset, or destroy, `rounds` connections in one state; bystanders on the same worker lose nothing. */
static void reset_in_state(int state, bool destroy, unsigned rounds)
{
    struct server s;
    server_start(&s, "testapp", "server.workernum=1", "server.connnum=40", "output.max=64m", "output.high=4m",
                 NULL);
    struct bystanders *b = bystanders_start(&s.target, 3, 50, 1);
    int other = client_open(&s);
    for (unsigned i = 0; i < rounds; i++) {
        int fd = client_open(&s);
        leaving_states[state].enter(&s, fd, other);
        if (destroy && client_destroy(fd))
            continue;
        if (destroy && i == 0)
            TEST_SKIP_PART("the kernel lets nobody destroy sockets here: they are reset instead");
        client_reset(fd);
    }
    client_echo(other, 1);
    close(other);
    bystanders_finish(&b);
    server_finish(&s);
    uint64_t gone = server_counter(&s, "closed_reset") + server_counter(&s, "accept_econnaborted");
    ck_assert_uint_eq(gone, rounds);
    ck_assert_uint_eq(server_counter(&s, "hook_end_error"), server_counter(&s, "closed_reset"));
}

/* Goal: an RST in each state ends the connection as reset, with one end hook, the error hook. */
START_TEST(reset_in_each_state)
{
    reset_in_state(_i, false, 20);
}
END_TEST

/* Goal: the same when the kernel destroys the server's end (`ss -K`), where that is permitted. */
START_TEST(destroyed_in_each_state)
{
    reset_in_state(_i, true, 10);
}
END_TEST

/* Goal: 1000 clients that are gone before their first byte, with a FIN or an RST, some before they are
 * accepted. */
START_TEST(gone_before_the_first_byte)
{
    enum { CLIENTS = 1000 };
    struct server s;
    server_start(&s, "testapp", "server.workernum=2", "server.connnum=600", NULL);
    struct bystanders *b = bystanders_start(&s.target, 3, 50, 1);
    for (uint32_t i = 0; i < CLIENTS; i++) {
        int fd = i % 4 < 2 ? client_open(&s) : net_connect_start(&s.target, i);
        ITEST_ASSERT(fd >= 0, "connect: %s", strerror(errno));
        if (i % 2 == 0)
            close(fd);
        else
            client_reset(fd);
    }
    /* One on each worker: when they are served, all before them have been accepted. */
    for (int i = 0; i < 2; i++) {
        int fd = client_open(&s);
        client_echo(fd, 1);
        close(fd);
    }
    bystanders_finish(&b);
    server_finish(&s);
    ck_assert_uint_eq(server_counter(&s, "closed_peer_closed") + server_counter(&s, "closed_reset"),
                      server_counter(&s, "closed"));
    ck_assert_uint_ge(server_counter(&s, "closed"), CLIENTS / 2);
    ck_assert_uint_eq(server_counter(&s, "functions"), server_counter(&s, "packets_in"));
}
END_TEST

/* ---- Row 19 ---- */

/* Goal: requests followed at once by shutdown(WR): all are answered, then FIN; for many and few, small and
 * large. */
START_TEST(half_close_after_requests)
{
    static const struct {
        uint32_t requests, data_len;
    } rows[] = {{0, 0}, {1, 0}, {1, 8000}, {100, 16}, {3000, 100}, {500, 8000}};
    struct server s;
    server_start(&s, "testapp", "server.workernum=2", NULL);
    for (size_t i = 0; i < sizeof rows / sizeof rows[0]; i++) {
        enum { CLIENTS = 20 };
        struct ledger *l = ledger_create(&s.target, CLIENTS, rows[i].data_len);
        ck_assert(ledger_connect(l, 5000));
        ledger_ask(l, rows[i].requests, 1024);
        for (uint32_t k = 0; k < CLIENTS; k++)
            ledger_half_close(l, k);
        ck_assert_msg(ledger_run_to_end(l, 10000), "row %zu: %u connections are still open", i,
                      l->ends[END_OPEN]);
        ck_assert_uint_eq(l->ends[END_FIN], CLIENTS);
        ck_assert_uint_eq(l->sent, CLIENTS * rows[i].requests);
        ck_assert_uint_eq(l->answered, l->sent);
        ledger_destroy(&l);
    }
    server_finish(&s);
    ck_assert_uint_eq(server_counter(&s, "closed_peer_closed"), server_counter(&s, "closed"));
}
END_TEST

/* Receive all until the FIN, slowly at first; returns the bytes. */
static size_t drain_slowly(int fd)
{
    size_t sum = 0;
    char byte[4096];
    for (int i = 0; i < 10; i++) {
        ptrdiff_t n = net_recv_wait(fd, byte, sizeof byte, itest_deadline(5000));
        ck_assert_int_eq(n, sizeof byte);
        sum += sizeof byte;
        itest_sleep(5);
    }
    size_t rest;
    enum ending how = client_ending(fd, &rest, 10000);
    ck_assert_msg(how == END_FIN, "it ended with %d after %zu bytes", how, sum + rest);
    return sum + rest;
}

/* Goal: half-close with megabytes of answers pending, and requests still unread because of output.high:
 * all is answered. */
START_TEST(half_close_with_answers_pending)
{
    enum { ASKS = 12 };
    struct server s;
    server_start(&s, "testapp", "server.workernum=1", NULL);
    int fd = client_open(&s);
    for (int i = 0; i < ASKS; i++)
        client_send_packet(fd, TEST_MEGABYTE, NULL, 0);
    shutdown(fd, SHUT_WR);
    ck_assert_uint_eq(drain_slowly(fd), ASKS << 20);
    close(fd);
    server_finish(&s);
    ck_assert_uint_eq(server_counter(&s, "closed_peer_closed"), server_counter(&s, "closed"));
    ck_assert_uint_ge(server_counter(&s, "output_paused"), 1);
}
END_TEST

/* Goal: half-close while the function of the last request runs, and with half a packet behind it: the
 * whole ones are answered. */
START_TEST(half_close_while_a_function_runs)
{
    struct server s;
    server_start(&s, "testapp", "server.workernum=1", NULL);
    for (int i = 0; i < 6; i++) {
        uint32_t ms = 20;
        unsigned char packet[64];
        size_t n = client_packet(packet, TEST_ECHO, "twenty bytes of data", 20);
        int fd = client_open(&s);
        client_send_packet(fd, TEST_SLEEP, &ms, sizeof ms);
        client_send(fd, packet, n);
        if (i % 2 != 0)
            client_send(fd, packet, n - 1 - (size_t) i);
        shutdown(fd, SHUT_WR);
        ck_assert_uint_eq(client_recv_packet(fd, TEST_SLEEP, &ms, sizeof ms), sizeof ms);
        ck_assert_uint_eq(client_recv_packet(fd, TEST_ECHO, packet, 64), 20);
        client_expect_fin(fd);
    }
    server_finish(&s);
    ck_assert_uint_eq(server_counter(&s, "closed_peer_closed"), 6);
}
END_TEST

/* ---- Stopping ---- */

/* Goal: a stop with connections in every state, some of which never read: exit code 0 within
 * drain_timeout. */
START_TEST(stop_in_every_state)
{
    struct server s;
    int fd[LEAVING_STATES];
    server_start(&s, "testapp", "server.workernum=1", "server.drain_timeout=2", "output.max=64m", NULL);
    int other = client_open(&s);
    for (int i = 0; i < LEAVING_STATES; i++) {
        fd[i] = client_open(&s);
        leaving_states[i].enter(&s, fd[i], other);
    }
    uint64_t begun = mono_ns();
    server_signal(&s, SIGTERM);
    ck_assert_int_eq(server_wait_exit(&s, 4000), 0);
    ck_assert_uint_lt(mono_ns() - begun, ITEST_SLOW * 2500 * NS_PER_MS);
    server_check(&s);
    for (int i = 0; i < LEAVING_STATES; i++)
        close(fd[i]);
    close(other);
}
END_TEST

/* Goal: stopped twice while hundreds of accepted connections wait for a busy worker: each is accounted for
 * and gets its end. */
START_TEST(stop_at_once_with_connections_waiting)
{
    enum { WAITING = 600 };
    struct server s;
    uint32_t ms = 800; /* less than the second that a function gets to return in */
    server_start(&s, "testapp", "server.workernum=1", NULL);
    int sleeper = client_open(&s);
    client_echo(sleeper, 1);
    client_send_packet(sleeper, TEST_SLEEP, &ms, sizeof ms);
    struct ledger *l = ledger_create(&s.target, WAITING, 10);
    ck_assert(ledger_connect(l, 5000));
    server_wait_fds(&s, s.fds + 1 + WAITING, 5000); /* accepted, and in the ring */
    server_signal(&s, SIGTERM);
    server_wait_log(&s, "stopping: no new connections", 2000);
    server_signal(&s, SIGTERM);
    ck_assert_int_eq(server_wait_exit(&s, 5000), 0);
    ledger_destroy(&l);
    close(sleeper);
    server_check(&s);
    ck_assert_uint_eq(server_counter(&s, "opened"), WAITING + 1);
}
END_TEST

Suite *life_suite(void)
{
    Suite *s = suite_create("life");
    TCase *c = itest_case(s, "churn", (unsigned) (60 + itest_number("ITEST_CHURN", 0) / 1000));
    tcase_add_test(c, churn);
    tcase_add_test(c, closed_with_a_request_in_the_same_turn);
    c = itest_case(s, "resets", 20);
    tcase_add_loop_test(c, reset_in_each_state, 0, LEAVING_STATES);
    tcase_add_loop_test(c, destroyed_in_each_state, 0, LEAVING_STATES);
    tcase_add_test(c, gone_before_the_first_byte);
    c = itest_case(s, "half-close", 30);
    tcase_add_test(c, half_close_after_requests);
    tcase_add_test(c, half_close_with_answers_pending);
    tcase_add_test(c, half_close_while_a_function_runs);
    c = itest_case(s, "stop", 20);
    tcase_add_test(c, stop_in_every_state);
    tcase_add_test(c, stop_at_once_with_connections_waiting);
    return s;
}
