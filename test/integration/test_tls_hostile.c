/*
 * test_tls_hostile.c: what comes to listeners with tls= that is no good TLS: other protocols, garbage, handshakes that
 * stop half way, by the hundred, records that were changed, storms of new keys. The log says what it was; others are
 * served meanwhile.
 */
#include <errno.h>
#include <netinet/in.h>
#include <netinet/tcp.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/socket.h>
#include <unistd.h>

#include "sealed.h"

enum { SOON_MS = 8000, TLS_12 = 0x0303, TLS_13 = 0x0304 };

/* A client that has sent this to the TLS address is closed. */
static void is_refused(const struct server *s, const void *bytes, size_t n)
{
    int fd = client_open_at(&s->addresses[1]);
    client_send(fd, bytes, n);
    enum ending how = client_ending(fd, NULL, SOON_MS);
    ck_assert_msg(how == END_FIN || how == END_RST, "not closed: %d", how);
    close(fd);
}

/* Beneath the records. */
static void send_bare(int fd, const void *bytes, size_t n)
{
    ck_assert_int_eq(net_send_bare(fd, bytes, n), (ssize_t) n);
}

/* ---- No TLS at all ---- */

#define BYTES(t) t, sizeof(t) - 1

static const struct {
    const char *bytes;
    size_t n;
    const char *line;
} strangers[] = {
    {BYTES("GET / HTTP/1.1\r\nHost: a\r\n\r\n"), "tls_failed (looks like HTTP)"},
    {BYTES("\xf7\x9a\xb6\x8e\x0a\0\3\x61\1\0"), "tls_failed (looks like HEAD+Data)"},
    {BYTES("SSH-2.0-OpenSSH_9.9\r\n"), "tls_failed (looks like SSH)"},
    {BYTES("PROXY TCP4 1.2.3.4 1.2.3.4 1 2\r\n"), "tls_failed (looks like the PROXY protocol)"},
    {BYTES("\x80\x2e\1\0\2\0\x15\0\0\0\x10\1\0\x80"), "tls_failed (looks like SSL 2)"},
    {BYTES("\0"), "tls_failed (what came is no TLS)"},
    {BYTES("\x16\2\0\0\5"), "tls_failed (what came is no TLS)"},
    {BYTES("\x16\3\1\0\0"), "tls_failed (what came is no TLS)"},         /* a record of nothing */
    {BYTES("\x16\3\1\x40\1"), "tls_failed (what came is no TLS)"},       /* too long */
    {BYTES("\x16\3\1\0\4\2\0\0\0"), "tls_failed (what came is no TLS)"}, /* a ServerHello */
    {BYTES("\x17\3\3\0\4abcd"), "tls_failed (what came is no TLS)"},     /* data first */
};

/* Goal: what is no ClientHello is refused with its first bytes, before anything is made for it, and the log says what
 * it looks like. TLS at a plain address is known, too. */
START_TEST(strangers_are_named)
{
    unsigned char hello[4096];
    struct server s;
    sealed_start(&s, "", NULL);
    for (size_t i = 0; i < sizeof strangers / sizeof strangers[0]; i++) {
        is_refused(&s, strangers[i].bytes, strangers[i].n);
        server_wait_log(&s, strangers[i].line, SOON_MS);
        usleep(260000); /* four such lines a second */
    }
    int plain = client_open(&s);
    client_send(plain, hello, sealed_hello(hello, sizeof hello));
    ck_assert_int_ne(client_ending(plain, NULL, SOON_MS), END_TIMEOUT);
    close(plain);
    server_wait_log(&s, "bad_stx (looks like TLS)", SOON_MS);
    server_finish(&s);
    ck_assert_uint_eq(server_counter(&s, "tls_failed_protocol"), sizeof strangers / sizeof strangers[0]);
    ck_assert_uint_eq(server_counter(&s, "closed_tls_failed"), sizeof strangers / sizeof strangers[0]);
}
END_TEST

/* Goal: who connects and says nothing, or leaves, is no failure. */
START_TEST(checks_are_nobodys_failure)
{
    unsigned char hello[4096];
    struct server s;
    sealed_start(&s, "", NULL);
    size_t n = sealed_hello(hello, sizeof hello);
    for (size_t sent = 0; sent <= n; sent += n / 2) {
        int fd = client_open_at(&s.addresses[1]);
        client_send(fd, hello, sent);
        ck_assert_int_eq(shutdown(fd, SHUT_WR), 0);
        ck_assert_int_eq(client_ending(fd, NULL, SOON_MS), END_FIN);
        close(fd);
    }
    server_finish(&s);
    ck_assert_uint_ge(server_counter(&s, "closed_peer_closed"), 3);
    ck_assert_uint_eq(server_counter(&s, "closed_tls_failed"), 0);
}
END_TEST

/* ---- Handshakes that fail ---- */

/* Goal: no version or cipher in common, a client who does not trust us: an alert, its counter, its line, which has
 * OpenSSL's words, whoever made that step. */
START_TEST(handshakes_that_fail)
{
    enum { CASES = 3 };
    static const struct {
        struct secure_ask ask;
        const char *counter, *why, *line;
    } cases[] = {
        {{.insecure = true, .min = 0x0302, .max = 0x0302},
         "tls_failed_version",
         "version",
         "tls_failed (no version in common: unsupported protocol)"},
        {{.insecure = true, .max = TLS_12, .ciphers = "AES128-SHA"},
         "tls_failed_cipher",
         "",
         "tls_failed (no cipher in common: no shared cipher)"},
        {{.host = "somebody.else"},
         "tls_failed_alert",
         "mismatch",
         "tls_failed (the client has refused us: "},
    };
    struct server s;
    int i = _i % CASES;
    sealed_start(&s, "",
                 (const char *[]){"log.level=debug", "test.offload=on",
                                  _i < CASES ? "tls.offload=off" : "tls.offload=all", NULL});
    s.log_lines_max = 1000;
    const char *why = sealed_fails(client_open_at(&s.addresses[1]), &cases[i].ask);
    ck_assert_msg(strstr(why, cases[i].why) != NULL, "why: %s", why);
    server_wait_counter(&s, cases[i].counter, 1, SOON_MS);
    server_wait_log(&s, cases[i].line, SOON_MS);
    server_finish(&s);
    ck_assert_uint_eq(server_counter(&s, "closed_tls_failed"), 1);
    ck_assert_uint_eq(server_counter(&s, "ungreeted"), 1);
}
END_TEST

/* Goal: a handshake has its own time, whether it is silent, trickled, half done, or waits for a place. */
START_TEST(handshakes_that_take_too_long)
{
    unsigned char hello[4096];
    struct server s;
    sealed_start(&s, "",
                 (const char *[]){"tls.handshake_timeout=1", "tls.handshakes=1", "server.workernum=1", NULL});
    size_t n = sealed_hello(hello, sizeof hello), sent[] = {0, 1, n - 1, n, n};
    int fds[5];
    for (size_t i = 0; i < 5; i++) {
        fds[i] = client_open_at(&s.addresses[1]);
        client_send(fds[i], hello, sent[i]);
    }
    server_wait_counter(&s, "closed_tls_timeout", 4, SOON_MS);
    for (size_t i = 0; i < 5; i++) {
        ck_assert_int_ne(client_ending(fds[i], NULL, SOON_MS), END_TIMEOUT);
        close(fds[i]);
    }
    server_finish(&s);
    ck_assert_uint_eq(server_counter(&s, "closed_tls_timeout") + server_counter(&s, "closed_tls_crowded"), 5);
}
END_TEST

/* Goal: hundreds of handshakes that are half done keep nobody out: who did nothing with his place for a second gives it
 * up, the last one who came is the first to be served. */
START_TEST(a_crowd_of_half_open_ones)
{
    enum { CROWD = 300, PLACES = 4 };
    unsigned char hello[4096];
    static int fds[CROWD];
    struct server s;
    sealed_start(&s, "",
                 (const char *[]){"tls.handshakes=4", "tls.handshake_timeout=30", "server.workernum=1",
                                  "server.timeout=60", NULL});
    s.log_lines_max = 1000;
    size_t n = sealed_hello(hello, sizeof hello);
    for (int i = 0; i < CROWD; i++) {
        fds[i] = client_open_at(&s.addresses[1]);
        client_send(fds[i], hello, n);
    }
    server_wait_counter(&s, "tls_waited", CROWD - PLACES - 50, SOON_MS);
    ck_assert_uint_le(server_counter(&s, "tls_shaking"), PLACES);
    for (int i = 0; i < 5; i++) {
        int good = sealed_open(&s);
        client_echo(good, 100);
        net_close(good);
    }
    ck_assert_uint_ge(server_counter(&s, "closed_tls_crowded"), 1);
    for (int i = 0; i < CROWD; i++)
        close(fds[i]);
    server_stop(&s);
    ck_assert_uint_eq(server_counter(&s, "tls_handshakes_13"), 5);
    ck_assert_uint_eq(server_counter(&s, "tls_shaking"), 0);
}
END_TEST

/* Goal: who has a place keeps it for a second without a step, however many wait; in time he gets to his end. */
START_TEST(a_place_is_kept_for_a_second)
{
    unsigned char hello[4096];
    char why[200];
    struct server s;
    struct secure *trusting = secure_make(&(struct secure_ask){.insecure = true}, why, sizeof why);
    ck_assert_msg(trusting != NULL, "%s", why);
    sealed_start(&s, "", (const char *[]){"tls.handshakes=1", "server.workernum=1", NULL});
    size_t n = sealed_hello(hello, sizeof hello);
    int fd = client_open_at(&s.addresses[1]), other = client_open_at(&s.addresses[1]);
    uint64_t began = mono_ns();
    ck_assert_int_eq(secure_lay(trusting, fd), 0);
    bool up =
        secure_shake(fd, began) == 0; /* its hello goes out; on a busy machine the answer may be there */
    if (!up) {
        server_wait_counter(&s, "tls_shaking", 1, SOON_MS);
        client_send(other, hello, n);
        server_wait_counter(&s, "tls_waited", 1, SOON_MS);
        up = secure_shake(fd, itest_deadline(SOON_MS)) == 0;
    }
    if (mono_ns() - began < 900000000) /* else the machine was too busy */
        ck_assert_msg(up, "%s", secure_why(fd));
    net_close(fd);
    close(other);
    server_finish(&s);
    secure_free(&trusting);
}
END_TEST

/* ---- Records ---- */

/* Goal: a record that is none ends the connection, with an alert, and nothing behind it is looked at. */
START_TEST(records_that_are_none)
{
    static const struct {
        const char *bytes;
        size_t n;
    } records[] = {
        {BYTES("\x17\3\3\0\x20"
               "0123456789abcdef0123456789abcdef")}, /* not ours */
        {BYTES("GET / HTTP/1.1\r\n\r\n")},
        {BYTES("\x17\3\3\xff\xff")}, /* too long */
        {BYTES("\x16\3\3\0\4\1\0\0\0")},
    };
    struct server s;
    sealed_start(&s, "", NULL);
    for (size_t i = 0; i < sizeof records / sizeof records[0]; i++) {
        int fd = sealed_open_as(&s, &(struct secure_ask){.host = "localhost",
                                                         .min = _i == 0 ? TLS_12 : TLS_13,
                                                         .max = _i == 0 ? TLS_12 : TLS_13});
        client_echo(fd, 10);
        send_bare(fd, records[i].bytes, records[i].n);
        server_wait_counter(&s, "closed_tls_bad_record", i + 1, SOON_MS);
        net_close(fd);
    }
    server_wait_log(&s, "tls_bad_record (", SOON_MS);
    server_finish(&s);
}
END_TEST

/* Goal: the same in one piece with the end of the handshake: that is counted as one, but no hook sees it. */
START_TEST(no_record_behind_the_finished)
{
    static const int on = 1, off = 0;
    char why[200];
    struct server s;
    struct secure *trusting = secure_make(&(struct secure_ask){.insecure = true}, why, sizeof why);
    ck_assert_msg(trusting != NULL, "%s", why);
    sealed_start(&s, "",
                 (const char *[]){"test.offload=on", _i == 0 ? "tls.offload=off" : "tls.offload=all", NULL});
    int fd = client_open_at(&s.addresses[1]);
    ck_assert_int_eq(secure_lay(trusting, fd), 0);
    ck_assert_int_eq(setsockopt(fd, IPPROTO_TCP, TCP_CORK, &on, sizeof on), 0); /* a fifth of a second */
    ck_assert_int_eq(secure_shake(fd, itest_deadline(SOON_MS)), 0);
    send_bare(fd, "\x17\3\3\xff\xff", 5);
    ck_assert_int_eq(setsockopt(fd, IPPROTO_TCP, TCP_CORK, &off, sizeof off), 0);
    server_wait_counter(&s, "closed_tls_bad_record", 1, SOON_MS);
    net_close(fd);
    secure_free(&trusting);
    server_finish(&s);
    ck_assert_uint_eq(server_counter(&s, "tls_handshakes_13"), 1);
    if (ITEST_SLOW == 1) /* else the cork may have been too slow */
        ck_assert_uint_eq(server_counter(&s, "ungreeted"), 1);
}
END_TEST

/* Goal: a record of which the rest does not come is a packet that is not whole in time. */
START_TEST(a_record_that_stays_half)
{
    struct server s;
    sealed_start(&s, "", (const char *[]){"server.packet_timeout=1", "server.timeout=30", NULL});
    int fd = sealed_open(&s);
    client_echo(fd, 10);
    send_bare(fd,
              "\x17\3\3\0\x20"
              "abc",
              8);
    server_wait_counter(&s, "closed_packet_timeout", 1, SOON_MS);
    net_close(fd);
    server_finish(&s);
}
END_TEST

/* Goal: who asks for new keys again and again and does not read has no more waiting than output.max, and who only asks
 * for them is closed. */
START_TEST(a_storm_of_new_keys)
{
    struct server s;
    sealed_start(&s, "", (const char *[]){"output.high=4096", "output.max=8192", NULL});
    int fd = sealed_open_as(&s, &(struct secure_ask){.host = "localhost", .min = TLS_13});
    for (int i = 0; i < 100000 && secure_key_update(fd, true) == 0; i++) {
        if (net_send_wait(fd, "", 0, itest_deadline(SOON_MS)) != 0)
            break;
    }
    net_close(fd);
    int good = sealed_open(&s);
    client_echo(good, 100);
    net_close(good);
    server_finish(&s);
    ck_assert_uint_ge(server_counter(&s, "closed_tls_bad_record") + server_counter(&s, "closed_output_limit"),
                      1);
}
END_TEST

Suite *tls_hostile_suite(void)
{
    Suite *s = suite_create("tls_hostile");
    TCase *c = itest_case(s, "no TLS", 30);
    tcase_add_test(c, strangers_are_named);
    tcase_add_test(c, checks_are_nobodys_failure);
    c = itest_case(s, "handshakes", 30);
    tcase_add_loop_test(c, handshakes_that_fail, 0, 6);
    tcase_add_test(c, handshakes_that_take_too_long);
    tcase_add_test(c, a_crowd_of_half_open_ones);
    tcase_add_test(c, a_place_is_kept_for_a_second);
    for (int slim = 0; slim < 2; slim++) {
        c = sealed_case(s, "records", 30, slim);
        tcase_add_loop_test(c, records_that_are_none, 0, 2);
        tcase_add_loop_test(c, no_record_behind_the_finished, 0, 2);
        tcase_add_test(c, a_record_that_stays_half);
        tcase_add_test(c, a_storm_of_new_keys);
    }
    return s;
}
