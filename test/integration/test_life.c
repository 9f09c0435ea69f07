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

#include "test/apps/testapp/commands.h"
#include "test/lib/payload.h"
#include "test_ledger.h"

/* ---- Row 17 ---- */

enum { WINDOW = 12 };

/* Not the same for any two connections of a run. */
static uint64_t token_of(uint32_t i)
{
    return (i + UINT64_C(1)) * UINT64_C(0x9e3779b97f4a7c15);
}

static void send_token(int fd, uint32_t i)
{
    uint64_t token = token_of(i);
    client_send_packet(fd, TEST_CANARY, &token, sizeof token);
}

static void expect_token(int fd, uint32_t i)
{
    uint64_t token = 0;
    size_t n = client_recv_packet(fd, TEST_CANARY, &token, sizeof token);
    ITEST_ASSERT(n == sizeof token && token == token_of(i), "connection %u has the canary %016" PRIx64, i,
                 token);
}

/* End connection i in one of many ways, most with bytes in flight in one direction or both. */
static void leave(int fd, uint32_t i)
{
    uint32_t n = 100000 + i % 1000 * 300;
    unsigned char half[128] = {0};
    switch (i % 8) {
    case 0: /* answered and clean */
        close(fd);
        return;
    case 1: /* half a packet stays with the server */
        client_send(fd, half, client_packet(half, TEST_ECHO, half + 64, 40) - 1 - i % 40);
        close(fd);
        return;
    case 2: /* large answers nobody reads */
        client_send_packet(fd, TEST_REPLY, &n, sizeof n);
        client_send_packet(fd, TEST_REPLY, &n, sizeof n);
        close(fd);
        return;
    case 3:
        client_send_packet(fd, TEST_REPLY, &n, sizeof n);
        client_reset(fd);
        return;
    case 4: /* requests that may or may not be read */
        send_token(fd, i);
        client_reset(fd);
        return;
    case 5: /* the server ends it, with garbage behind */
        client_send(fd, half, sizeof half);
        client_expect_fin(fd);
        return;
    case 6:
        client_send_packet(fd, TEST_REPLY, &n, sizeof n);
        if (i % 128 != 6 || !client_destroy(fd))
            close(fd);
        return;
    default:
        client_send_packet(fd, TEST_CLOSE_ERR, NULL, 0);
        close(fd);
    }
}

/* Goal: while slots and descriptors are used again and again with bytes in flight, no connection sees a
 * former one's bytes or its c->user. ITEST_CHURN sets how many connections. */
START_TEST(churn)
{
    struct server s;
    uint32_t count = (uint32_t) itest_number("ITEST_CHURN", 30000 / ITEST_SLOW);
    int fd[WINDOW];
    server_start(&s, "testapp", "server.workernum=2", "server.connnum=20", "output.max=1m", NULL);
    struct bystanders *b = bystanders_start(&s.target, 4, 100, 1);
    for (uint32_t i = 0; i < count + WINDOW; i++) {
        if (i >= WINDOW) {
            expect_token(fd[i % WINDOW], i - WINDOW);
            expect_token(fd[i % WINDOW], i - WINDOW);
            leave(fd[i % WINDOW], i - WINDOW);
        }
        if (i >= count)
            continue;
        fd[i % WINDOW] = net_connect_start(&s.target, i);
        ITEST_ASSERT(fd[i % WINDOW] >= 0 || errno == EINPROGRESS, "connect: %s", strerror(errno));
        client_send_packet(fd[i % WINDOW], TEST_CANARY, &(uint64_t){token_of(i)}, sizeof(uint64_t));
        send_token(fd[i % WINDOW], i);
    }
    bystanders_finish(&b);
    server_finish(&s);
    ck_assert_uint_eq(server_counter(&s, "wrong_canary"), 0);
    ck_assert_uint_eq(server_counter(&s, "opened"), count + 4);
    ck_assert_uint_eq(server_counter(&s, "refused_full"), 0);
}
END_TEST

static uint16_t port_of(int fd)
{
    struct sockaddr_in a;
    socklen_t len = sizeof a;
    ck_assert_int_eq(getsockname(fd, (struct sockaddr *) &a, &len), 0);
    return ntohs(a.sin_port);
}

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
        uint32_t port = port_of(victim);
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

/*
 * States in which a connection is reset. Each brings fd, just opened, into its state; `other` is a served
 * connection of the same worker. What a served connection has sent is read before an ECHO that another sends
 * later; but a new connection is served only when the worker has taken it over, so most begin with an ECHO of
 * their own.
 */

static void not_taken_over_yet(const struct server *s, int fd, int other)
{
    (void) s;
    (void) fd;
    (void) other;
}

static void before_first_byte(const struct server *s, int fd, int other)
{
    (void) fd;
    (void) other;
    int later = client_open(s);
    client_echo(later, 1);
    close(later);
}

static void in_a_packet(const struct server *s, int fd, int other)
{
    unsigned char packet[64];
    (void) s;
    client_echo(fd, 1);
    client_send(fd, packet,
                client_packet(packet, TEST_ECHO, "thirty bytes, seven of which go missing", 30) - 7);
    client_echo(other, 1);
}

static void while_function_runs(const struct server *s, int fd, int other)
{
    (void) s;
    (void) other;
    client_echo(fd, 1);
    client_send_packet(fd, TEST_SLEEP, &(uint32_t){10}, sizeof(uint32_t));
    itest_sleep(3);
}

static void with_output_pending(const struct server *s, int fd, int other)
{
    (void) s;
    client_echo(fd, 1);
    client_send_packet(fd, TEST_REPLY, &(uint32_t){8 << 20}, sizeof(uint32_t));
    client_echo(other, 1);
}

static void not_being_read(const struct server *s, int fd, int other)
{
    (void) s;
    client_echo(fd, 1);
    for (int i = 0; i < 12; i++)
        client_send_packet(fd, TEST_MEGABYTE, NULL, 0);
    client_echo(other, 1);
}

static void while_draining(const struct server *s, int fd, int other)
{
    with_output_pending(s, fd, other);
    client_send_packet(other, TEST_CLOSE_OTHER, &(uint32_t){port_of(fd)}, sizeof(uint32_t));
    uint8_t found;
    ITEST_ASSERT(client_recv_packet(other, TEST_CLOSE_OTHER, &found, 1) == 1 && found == 1,
                 "it is not alive");
}

static void half_closed_and_pending(const struct server *s, int fd, int other)
{
    (void) s;
    client_echo(fd, 1);
    client_send_packet(fd, TEST_REPLY, &(uint32_t){5 << 20}, sizeof(uint32_t));
    shutdown(fd, SHUT_WR);
    client_echo(other, 1);
}

static void with_answer_unread(const struct server *s, int fd, int other)
{
    (void) s;
    client_echo(fd, 1);
    client_send_packet(fd, TEST_ECHO, NULL, 0);
    client_echo(other, 1);
}

static void (*const states[])(const struct server *s, int fd, int other) = {
    before_first_byte,   not_taken_over_yet,      in_a_packet,
    while_function_runs, with_output_pending,     not_being_read,
    while_draining,      half_closed_and_pending, with_answer_unread,
};

enum { STATES = sizeof states / sizeof states[0] };

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
        states[state](&s, fd, other);
        if (!destroy || !client_destroy(fd))
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
    int fd[STATES];
    server_start(&s, "testapp", "server.workernum=1", "server.drain_timeout=2", "output.max=64m", NULL);
    int other = client_open(&s);
    for (int i = 0; i < STATES; i++) {
        fd[i] = client_open(&s);
        states[i](&s, fd[i], other);
    }
    uint64_t begun = mono_ns();
    server_signal(&s, SIGTERM);
    ck_assert_int_eq(server_wait_exit(&s, 4000), 0);
    ck_assert_uint_lt(mono_ns() - begun, ITEST_SLOW * 2500 * NS_PER_MS);
    server_check(&s);
    for (int i = 0; i < STATES; i++)
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
    tcase_add_loop_test(c, reset_in_each_state, 0, STATES);
    tcase_add_loop_test(c, destroyed_in_each_state, 0, STATES);
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
