/*
 * test_tls_seen.c: what operators see of TLS: how far each connection is, and that a thread is in a handshake.
 * Signatures take as long as the test wants, see test/preload/sign.c.
 */
#include <fcntl.h>
#include <signal.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

#include "operator.h"
#include "sealed.h"
#include "stuck.h"

enum { SOON_MS = 10000 };

static char slow_path[64]; /* while there is this file nobody signs */

static void sign_at_once(void)
{
    unlink(slow_path);
}

static void start(struct server *s, const char *offload)
{
    static char certificate[160], key[160], env[80], warn[40];
    snprintf(slow_path, sizeof slow_path, "/tmp/mario-itest-sign-%d", (int) getpid());
    snprintf(env, sizeof env, "SIGN_WAITS=%s", slow_path);
    snprintf(certificate, sizeof certificate, "tls default.certificate=%s", sealed_certs()->server);
    snprintf(key, sizeof key, "tls default.key=%s", sealed_certs()->key);
    snprintf(warn, sizeof warn, "watch.warn_ms=%u", WARN_MS);
    close(open(slow_path, O_CREAT | O_WRONLY | O_CLOEXEC, 0600));
    atexit(sign_at_once);
    server_launch(s, &(struct launch){.program = "testapp",
                                      .listen = "127.0.0.1:0, 127.0.0.1:0 tls=default",
                                      .preload = "sign",
                                      .env = (const char *const[]){env, NULL},
                                      .args = (const char *const[]){
                                          "server.workernum=1", "test.offload=on", "offload.threads=1",
                                          "tls.handshakes=1", "tls.handshake_timeout=120", certificate, key,
                                          offload, warn, operator_option(), NULL}});
    s->log_lines_max = 200;
}

/* A client whose ClientHello is sent, and who waits for nothing. */
static int knock(const struct server *s)
{
    static struct secure *one;
    char why[200];
    if (one == NULL)
        one =
            secure_make(&(struct secure_ask){.ca = sealed_certs()->ca, .host = "localhost"}, why, sizeof why);
    int fd = client_open_at(&s->addresses[1]);
    ck_assert_int_eq(secure_lay(one, fd), 0);
    if (secure_shake(fd, mono_ns()) != 0) /* nobody has answered yet */
        return fd;
    ck_abort_msg("a handshake without a signature");
}

static void expect_count(unsigned n, const char *command)
{
    const char *json = operator_json("%s", command);
    ck_assert_msg(operator_count(json, "\"id\"") == n, "%s: %s", command, json);
}

/* Goal: lists say of each connection how far it is, and can be asked for those who are that far; show says with what
 * it was agreed. */
START_TEST(how_far_each_is)
{
    unsigned char hello[4096];
    char show[64];
    struct server s;
    size_t n = sealed_hello(hello, sizeof hello);
    start(&s, "tls.offload=all");
    int plain = client_open(&s), half = client_open_at(&s.addresses[1]), away = knock(&s);
    client_send(half, hello, n / 2);
    operator_await("\"tls\": \"away\"", SOON_MS, "conn list");
    int waits = client_open_at(&s.addresses[1]);
    client_send(waits, hello, n);
    operator_await("\"tls\": \"waits\"", SOON_MS, "conn list");
    expect_count(1, "conn list tls=away");
    expect_count(1, "conn list tls=waits");
    expect_count(1, "conn list tls=hello");
    expect_count(1, "conn list tls=none");
    expect_count(0, "conn list tls=up");
    expect_count(4, "conn top age");
    ck_assert(strstr(operator_json("conn list tls=none"), "\"tls\": null") != NULL);
    snprintf(show, sizeof show, "conn show %s", operator_text(operator_json("conn list tls=waits"), "id"));
    ck_assert(strstr(operator_json("%s", show), "a place for its handshake") != NULL);
    ck_assert(strstr(operator_json("%s", show), "\"on\": true, \"state\": \"waits\", \"up\": false") != NULL);
    server_signal(&s, SIGUSR1);
    server_wait_log(&s, "dump: offload thread 0: in a TLS handshake, connection 0.", SOON_MS);
    sign_at_once();
    ck_assert_int_eq(secure_shake(away, itest_deadline(SOON_MS)), 0);
    client_echo(away, 100);
    snprintf(show, sizeof show, "conn show %s", operator_text(operator_json("conn list tls=up"), "id"));
    const char *json = operator_json("%s", show);
    ck_assert(strstr(json, "\"state\": \"up\", \"up\": true, \"version\": \"TLSv1.3\"") != NULL);
    ck_assert_str_eq(operator_text(json, "sni"), "localhost");
    operator_await("\"tls\": \"shakes\"", SOON_MS, "conn list");
    ck_assert(strstr(operator_json("conn kick tls=shakes --yes"), "\"kicked\": 1") != NULL);
    operator_refused(2, "tls=high", "conn list tls=high");
    net_close(away);
    close(plain);
    close(half);
    close(waits);
    server_finish(&s);
    ck_assert_uint_eq(server_counter(&s, "closed_kicked"), 1);
}
END_TEST

/* Goal: a worker whose handshake takes its time is said to be in one, in `workers`, a dump, and the line of the watch:
 * for whom, and where. */
START_TEST(a_worker_in_a_handshake)
{
    struct server s;
    start(&s, "tls.offload=off");
    int fd = knock(&s);
    operator_await("\"runs\": \"a TLS handshake for 0.", SOON_MS, "workers");
    ck_assert_str_eq(operator_text(operator_json("workers"), "connection"), "0.0.1");
    server_signal(&s, SIGUSR1);
    server_wait_log(
        &s, "dump: worker 0: 1 connections, in a TLS handshake, connection 0.0.1 from 127.0.0.1:", SOON_MS);
    server_wait_log(&s, "ms: the TLS handshake of connection 0.0.1 from 127.0.0.1:", SOON_MS);
    sign_at_once();
    ck_assert_int_eq(secure_shake(fd, itest_deadline(SOON_MS)), 0);
    client_echo(fd, 100);
    server_wait_log(&s, "it comes round again", SOON_MS);
    operator_await("\"runs\": \"idle\"", SOON_MS, "workers");
    net_close(fd);
    server_finish(&s);
    ck_assert_uint_eq(server_counter(&s, "watch_silent"), 1);
    ck_assert_uint_eq(server_counter(&s, "watch_stuck"), 0);
}
END_TEST

Suite *tls_seen_suite(void)
{
    Suite *s = suite_create("tls_seen");
    TCase *c = itest_case(s, "seen", 20);
    tcase_add_test(c, how_far_each_is);
    tcase_add_test(c, a_worker_in_a_handshake);
    return s;
}
