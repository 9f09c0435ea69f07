/*
 * test_tls_output.c: listeners with tls=: readers that do not read; both ends closing, in whatever way; stops;
 * functions that never return.
 */
#include <signal.h>
#include <stdlib.h>
#include <sys/socket.h>
#include <unistd.h>

#include "sealed.h"
#include "stuck.h"

enum { SOON_MS = 8000, TLS_13 = 0x0304 };

static const char *const one_worker[] = {"server.workernum=1", "test.offload=on", NULL};

/* ---- Readers that do not read ---- */

/* Goal: megabytes for one who reads late are complete and in order; meanwhile he is not read, and the server holds no
 * more than the limits say. */
START_TEST(who_reads_late_loses_nothing)
{
    enum { ROUNDS = 12, MEGABYTE = 1 << 20, PACKET = 8192 };
    unsigned char *data = malloc(PACKET);
    struct server s;
    sealed_start(&s, "",
                 (const char *[]){"server.workernum=1", "output.high=65536", "output.max=4194304", NULL});
    int fd = sealed_open(&s);
    for (int i = 0; i < ROUNDS; i++)
        client_send_packet(fd, TEST_MEGABYTE, NULL, 0);
    server_wait_counter(&s, "output_paused", 1, SOON_MS);
    ck_assert_uint_ge(server_counter(&s, "output_pending"), 65536);
    for (int i = 0; i < ROUNDS * (MEGABYTE / PACKET); i++) {
        client_recv(fd, data, PACKET);
        ITEST_ASSERT(data[8] == 'r' && data[PACKET - 1] == 'r', "packet %d is not as it was sent", i);
    }
    client_echo(fd, 100);
    ck_assert_uint_eq(server_counter(&s, "output_pending"), 0);
    net_close(fd);
    server_finish(&s);
    free(data);
}
END_TEST

/* Goal: the answer to new keys goes out behind the record of which the kernel took a part. */
START_TEST(new_keys_while_much_waits)
{
    enum { ROUNDS = 6, PACKETS = ROUNDS * 128, PACKET = 8192 };
    static unsigned char data[PACKET];
    struct server s;
    sealed_start(&s, "",
                 (const char *[]){"server.workernum=1", "output.high=8388608", "output.max=16777216", NULL});
    int fd = sealed_open_as(&s, &(struct secure_ask){.host = "localhost", .min = TLS_13});
    for (int i = 0; i < ROUNDS; i++)
        client_send_packet(fd, TEST_MEGABYTE, NULL, 0);
    server_wait_counter(&s, "output_pending", 65536, SOON_MS);
    for (int i = 0; i < PACKETS; i++) {
        if (i % 4 == 0) {
            ck_assert_int_eq(secure_key_update(fd, true), 0);
            client_send_packet(fd, TEST_SILENT, "x", 1);
        }
        client_recv(fd, data, PACKET);
        ITEST_ASSERT(data[8] == 'r' && data[PACKET - 1] == 'r', "packet %d is not as it was sent", i);
    }
    client_echo(fd, 100);
    net_close(fd);
    server_finish(&s);
    ck_assert_uint_eq(server_counter(&s, "tls_key_updates"), PACKETS / 4);
}
END_TEST

/* Goal: who never reads is closed by the same limits as others are: too much, too long, too much at once. */
START_TEST(who_never_reads_is_closed)
{
    static const char *const limit[] = {"output.high=300000", "output.max=300000", NULL},
                             *const time[] = {"server.write_timeout=1", NULL};
    struct server s;
    uint32_t all = 24 << 20;
    sealed_start(&s, "", _i == 1 ? time : limit);
    int fd = sealed_open(&s);
    for (int i = 0; i < 20 && _i < 2; i++)
        client_send_packet(fd, TEST_MEGABYTE, NULL, 0);
    if (_i == 2)
        client_send_packet(fd, TEST_REPLY, &all, sizeof all);
    server_wait_counter(&s, _i == 1 ? "closed_write_timeout" : "closed_output_limit", 1, SOON_MS);
    net_close(fd);
    server_finish(&s);
}
END_TEST

/* ---- Ends ---- */

/* Goal: close_notify is the end of what a client says, and not of what it hears: packets before it are answered, those
 * of offloaded functions too, then the server says close_notify and closes. */
START_TEST(a_half_close_is_answered)
{
    char data[8];
    struct server s;
    sealed_start(&s, "", one_worker);
    int fd = sealed_open(&s);
    for (int i = 0; i < 20; i++)
        client_send_packet(fd, (uint16_t) (i % 2 == 0 ? TEST_NAP + TEST_OFFLOADED : TEST_ECHO), "x", 1);
    if (_i == 0)
        net_shut(fd);
    else
        secure_notify(fd);
    for (int i = 0; i < 20; i++)
        ck_assert_uint_eq(client_recv_packet(fd,
                                             (uint16_t) (i % 2 == 0 ? TEST_NAP + TEST_OFFLOADED : TEST_ECHO),
                                             data, sizeof data),
                          1);
    sealed_expect_end(fd);
    server_finish(&s);
    ck_assert_uint_eq(server_counter(&s, "closed_peer_closed"), 1);
    ck_assert_uint_eq(server_counter(&s, "tls_truncated"), 0);
}
END_TEST

/* Goal: a FIN without close_notify may be somebody else's. Whole packets are answered, it is counted, and a last line
 * that only the end of the stream completes is not handed out; with close_notify it is. */
START_TEST(a_bare_fin_completes_nothing)
{
    char back[8];
    struct server s;
    sealed_start(&s, "proto=line eof=packet id=0x7090", one_worker);
    int fd = sealed_open(&s);
    client_send(fd, "one\ntwo", 7);
    client_recv(fd, back, 4);
    ck_assert_int_eq(_i == 0 ? shutdown(fd, SHUT_WR) : net_shut(fd), 0);
    if (_i == 1)
        client_recv(fd, back, 4);
    sealed_expect_end(fd);
    server_finish(&s);
    ck_assert_uint_eq(server_counter(&s, "tls_truncated"), _i == 0);
    ck_assert_uint_eq(server_counter(&s, "truncated"), _i == 0);
    ck_assert_uint_eq(server_counter(&s, "packets_in"), _i == 0 ? 1 : 2);
}
END_TEST

/* Goal: who asks and closes at once, before our tickets are out, has asked. */
START_TEST(who_asks_and_leaves_has_asked)
{
    enum { ROUNDS = 20 };
    struct server s;
    sealed_start(&s, "", one_worker);
    for (int i = 0; i < ROUNDS; i++) {
        int fd = sealed_open(&s);
        client_send_packet(fd, TEST_SILENT, "x", 1);
        if (_i == 0)
            net_close(fd);
        else
            close(fd); /* bare; what lies over it is forgotten with the next one of that number */
    }
    server_wait_counter(&s, "tls_handshakes_13", ROUNDS, SOON_MS);
    server_finish(&s);
    ck_assert_uint_ge(server_counter(&s, "packets_in"), ROUNDS);
    ck_assert_uint_eq(server_counter(&s, "tls_truncated") +
                          (_i == 0 ? 0 : server_counter(&s, "closed_reset")),
                      _i == 0 ? 0 : ROUNDS);
}
END_TEST

/* Goal: who resets as soon as the handshake is over is no one whose stream was cut, whoever made the last step. */
START_TEST(who_resets_has_reset)
{
    enum { ROUNDS = 20 };
    struct server s;
    sealed_start(&s, "",
                 (const char *[]){"server.workernum=1", "test.offload=on",
                                  _i == 0 ? "tls.offload=off" : "tls.offload=all", NULL});
    for (int i = 0; i < ROUNDS; i++)
        net_reset(sealed_open(&s));
    server_wait_counter(&s, "closed_reset", ROUNDS, SOON_MS);
    server_finish(&s);
    ck_assert_uint_eq(server_counter(&s, "tls_truncated"), 0);
}
END_TEST

/* Goal: when the server stops, or a function closes, or silence lasts too long, close_notify comes before the FIN. */
START_TEST(the_server_says_that_it_ends)
{
    struct test_end e = {0};
    struct server s;
    sealed_start(&s, "", (const char *[]){"server.timeout=2", NULL});
    int closed = sealed_open(&s), silent = sealed_open(&s);
    client_send_packet(closed, TEST_CLOSE, &e, sizeof e);
    sealed_expect_end(closed);
    sealed_expect_end(silent);
    int stopped = sealed_open(&s);
    client_echo(stopped, 10);
    server_signal(&s, SIGTERM);
    sealed_expect_end(stopped);
    ck_assert_int_eq(server_wait_exit(&s, 12000), 0);
    ck_assert_uint_eq(server_counter(&s, "closed_stop"), 1);
    ck_assert_uint_eq(server_counter(&s, "closed_idle_timeout"), 1);
    server_check(&s);
}
END_TEST

/* Goal: the last word of a full pipe: who reads slowly gets all that was written before a close, then close_notify. */
START_TEST(a_close_behind_much)
{
    enum { MEGABYTE = 1 << 20, PACKET = 8192 };
    struct test_end e = {0};
    unsigned char *data = malloc(PACKET);
    struct server s;
    sealed_start(&s, "", one_worker);
    int fd = sealed_open(&s);
    for (int i = 0; i < 8; i++)
        client_send_packet(fd, TEST_MEGABYTE, NULL, 0);
    client_send_packet(fd, TEST_CLOSE, &e, sizeof e);
    for (int i = 0; i < 8 * (MEGABYTE / PACKET); i++)
        client_recv(fd, data, PACKET);
    sealed_expect_end(fd);
    server_finish(&s);
    free(data);
}
END_TEST

/* Goal: a stop ends who shakes hands, or has not begun to, at once. */
START_TEST(a_stop_amid_handshakes)
{
    unsigned char hello[4096];
    struct server s;
    sealed_start(&s, "", NULL);
    size_t n = sealed_hello(hello, sizeof hello);
    int silent = client_open_at(&s.addresses[1]), begun = client_open_at(&s.addresses[1]),
        shaking = client_open_at(&s.addresses[1]);
    client_send(begun, hello, n / 2);
    client_send(shaking, hello, n);
    server_wait_counter(&s, "tls_shaking", 1, SOON_MS);
    server_signal(&s, SIGTERM);
    ck_assert_int_eq(server_wait_exit(&s, 12000), 0);
    ck_assert_uint_eq(server_counter(&s, "closed_stop"), 3);
    ck_assert_uint_eq(server_counter(&s, "ungreeted"), 3);
    server_check(&s);
    close(silent);
    close(begun);
    close(shaking);
}
END_TEST

/* ---- Functions that never return ---- */

/* Goal: a worker whose function over TLS is stuck is taken over: that connection ends, the others of the worker go on
 * over TLS on another thread. */
START_TEST(a_takeover)
{
    struct server s;
    char warn[40], replace[40];
    snprintf(warn, sizeof warn, "watch.warn_ms=%u", WARN_MS);
    snprintf(replace, sizeof replace, "watch.replace_ms=%u", REPLACE_MS);
    sealed_start(&s, "", (const char *[]){"server.workernum=1", warn, replace, NULL});
    s.log_lines_max = 1000;
    int victim = sealed_open(&s), bystander = sealed_open(&s);
    client_echo(bystander, 100);
    stick(victim);
    server_wait_log(&s, "another thread has taken its place", BACK_MS);
    client_echo(bystander, 5000);
    int newcomer = sealed_open(&s);
    client_echo(newcomer, 100);
    unstick(newcomer);
    ck_assert_int_ne(client_ending(victim, NULL, BACK_MS), END_TIMEOUT);
    net_close(victim);
    net_close(bystander);
    net_close(newcomer);
    server_finish(&s);
    ck_assert_uint_eq(server_counter(&s, "closed_function_stuck"), 1);
}
END_TEST

/* Goal: the same while sealed bytes wait for who is stuck, and for who stands beside: he gets all of his, in order,
 * from the other thread; of those for the stuck one nothing is left. _i == 1: they may have been written just now. */
START_TEST(a_takeover_while_much_waits)
{
    enum { ROUNDS = 6, PACKETS = ROUNDS * 128, PACKET = 8192 };
    static unsigned char data[PACKET];
    struct server s;
    char replace[40];
    snprintf(replace, sizeof replace, "watch.replace_ms=%u", REPLACE_MS);
    sealed_start(
        &s, "",
        (const char *[]){"server.workernum=1", "output.high=8388608", "output.max=16777216", replace, NULL});
    s.log_lines_max = 1000;
    int victim = sealed_open(&s), bystander = sealed_open(&s), asker = client_open(&s);
    for (int i = 0; i < ROUNDS; i++)
        client_send_packet(bystander, TEST_MEGABYTE, NULL, 0);
    server_wait_counter(&s, "output_pending", 65536, SOON_MS);
    for (int i = 0; i < ROUNDS; i++)
        client_send_packet(victim, TEST_MEGABYTE, NULL, 0);
    if (_i == 0)
        server_wait_counter(&s, "packets_in", 2 * ROUNDS, SOON_MS);
    stick(victim);
    server_wait_log(&s, "another thread has taken its place", BACK_MS);
    for (int i = 0; i < PACKETS; i++) {
        client_recv(bystander, data, PACKET);
        ITEST_ASSERT(data[8] == 'r' && data[PACKET - 1] == 'r', "packet %d is not as it was sent", i);
    }
    client_echo(bystander, 5000);
    unstick(asker);
    ck_assert_int_ne(client_ending(victim, NULL, BACK_MS), END_TIMEOUT);
    ck_assert_uint_eq(server_counter(&s, "output_pending"), 0);
    net_close(victim);
    net_close(bystander);
    close(asker);
    server_finish(&s);
    ck_assert_uint_eq(server_counter(&s, "closed_function_stuck"), 1);
}
END_TEST

static void add_cases(Suite *s, bool slim)
{
    TCase *c = sealed_case(s, "readers", 30, slim);
    tcase_add_test(c, who_reads_late_loses_nothing);
    tcase_add_test(c, new_keys_while_much_waits);
    tcase_add_loop_test(c, who_never_reads_is_closed, 0, 3);
    c = sealed_case(s, "ends", 30, slim);
    tcase_add_loop_test(c, a_half_close_is_answered, 0, 2);
    tcase_add_loop_test(c, a_bare_fin_completes_nothing, 0, 2);
    tcase_add_loop_test(c, who_asks_and_leaves_has_asked, 0, 2);
    tcase_add_loop_test(c, who_resets_has_reset, 0, 2);
    tcase_add_test(c, the_server_says_that_it_ends);
    tcase_add_test(c, a_close_behind_much);
    tcase_add_test(c, a_stop_amid_handshakes);
    tcase_add_test(c, a_takeover);
    tcase_add_loop_test(c, a_takeover_while_much_waits, 0, 2);
}

Suite *tls_output_suite(void)
{
    Suite *s = suite_create("tls_output");
    add_cases(s, false);
    add_cases(s, true);
    return s;
}
