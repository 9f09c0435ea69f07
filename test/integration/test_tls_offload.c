/*
 * test_tls_offload.c: handshakes on the threads for functions that may block, and what ends while a step of one is out:
 * its connection, its worker, the server.
 *
 * The first address is plain: there the test asks, and keeps the pool's threads busy.
 */
#include "offloaded.h"

#include <netinet/in.h>
#include <netinet/tcp.h>
#include <signal.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/socket.h>
#include <unistd.h>

#include "test/lib/certs.h"
#include "test/lib/secure.h"

enum { WAIT_MS = 10000 };

static struct certs certs;
static struct secure *trusting;

/* Start testapp with a TLS listener behind a plain one; more words end with NULL. */
static void start(struct server *s, enum cert_kind kind, const char *const *more)
{
    char why[200], certificate[160], key[160];
    const char *args[16] = {"test.offload=on", "server.workernum=1", certificate, key};
    size_t n = 4;
    trusting = secure_make(&(struct secure_ask){.insecure = true}, why, sizeof why);
    ck_assert_msg(trusting != NULL, "%s", why);
    certs_usual(&certs, kind);
    snprintf(certificate, sizeof certificate, "tls default.certificate=%s", certs.server);
    snprintf(key, sizeof key, "tls default.key=%s", certs.key);
    while (*more != NULL)
        args[n++] = *more++;
    args[n] = NULL;
    server_launch(s, &(struct launch){.program = "testapp",
                                      .listen = "127.0.0.1:0,127.0.0.1:0 tls=default",
                                      .args = args});
}

#define START_TLS(s, kind, ...) start((s), (kind), (const char *[]){__VA_ARGS__, NULL})

/* A client of the TLS listener, whose handshake has not begun. */
static int come(const struct server *s)
{
    int fd = client_open_at(&s->addresses[1]);
    ck_assert_int_eq(secure_lay(trusting, fd), 0);
    return fd;
}

static void shake(int fd)
{
    ck_assert_msg(secure_shake(fd, itest_deadline(WAIT_MS)) == 0, "no handshake: %s", secure_why(fd));
}

/* Its ClientHello goes out; nobody waits for what comes of it. True if that came all the same. */
static bool knock(int fd)
{
    return secure_shake(fd, mono_ns()) == 0;
}

/* The only thread of the pool is in a function until unstick(). */
static int keep_pool_busy(const struct server *s)
{
    int fd = client_open(s);
    send_number(fd, LOOSE(TEST_STICK), TEST_IN_FUNCTION);
    server_wait_counter(s, "offload_jobs", 1, WAIT_MS);
    return fd;
}

static void let_pool_go(int fd)
{
    client_send_packet(fd, TEST_UNSTICK, NULL, 0);
}

/* ---- Which ones ---- */

static const struct {
    const char *option;
    enum cert_kind kind;
    bool away;
} rules[] = {
    {"tls.offload=off", CERT_RSA, false},
    {"tls.offload=rsa", CERT_RSA, true},
    {"tls.offload=rsa", CERT_EC, false},
    {"tls.offload=all", CERT_EC, true},
};

/* Goal: those handshakes are made away that the rule says, each of both versions, and what they lead to is the same. */
START_TEST(by_the_rule)
{
    static const int versions[] = {0x0303, 0x0304};
    struct server s;
    char why[200];
    START_TLS(&s, rules[_i].kind, rules[_i].option);
    for (int i = 0; i < 2; i++) {
        struct secure_ask ask = {.insecure = true, .min = versions[i], .max = versions[i]};
        struct secure *one = secure_make(&ask, why, sizeof why);
        ck_assert_ptr_nonnull(one);
        int fd = client_open_at(&s.addresses[1]);
        ck_assert_int_eq(secure_lay(one, fd), 0);
        client_echo(fd, 3000);
        net_close(fd);
        secure_free(&one);
    }
    ck_assert_uint_eq(server_counter(&s, "tls_offloaded"), rules[_i].away ? 4 : 0);
    server_finish(&s);
    expect_sound(&s);
}
END_TEST

/* Goal: a request that comes in one piece with the client's Finished is answered, behind the connected hook. */
START_TEST(a_request_behind_the_finished)
{
    static const int on = 1, off = 0;
    struct server s;
    unsigned char packet[64], answer[64];
    size_t n = client_packet(packet, TEST_ECHO, "together", 8);
    START_TLS(&s, CERT_RSA, "tls.offload=all");
    int fd = come(&s);
    ck_assert_int_eq(setsockopt(fd, IPPROTO_TCP, TCP_CORK, &on, sizeof on), 0); /* a fifth of a second */
    shake(fd);
    client_send(fd, packet, n);
    ck_assert_int_eq(setsockopt(fd, IPPROTO_TCP, TCP_CORK, &off, sizeof off), 0);
    client_recv(fd, answer, n);
    ck_assert_mem_eq(answer, packet, n);
    net_close(fd);
    server_finish(&s);
    expect_sound(&s);
}
END_TEST

/* ---- The end meanwhile ---- */

/* Goal: while the one thread is busy, who goes, and who waits too long, is given up without a signature, and nothing of
 * them is left; whoever has waited is served then. */
START_TEST(who_has_gone_gets_no_signature)
{
    struct server s;
    START_TLS(&s, CERT_RSA, "tls.offload=all", "offload.threads=1", "tls.handshake_timeout=2");
    int busy = keep_pool_busy(&s), late = come(&s);
    knock(late);
    server_wait_counter(&s, "tls_offloaded", 1, WAIT_MS);
    server_wait_counter(&s, "closed_tls_timeout", 1, WAIT_MS); /* the thread is as busy as before */
    ck_assert_uint_eq(server_counter(&s, "offload_cancelled"), 1);
    int gone = come(&s), patient = come(&s);
    knock(gone);
    knock(patient);
    server_wait_counter(&s, "tls_offloaded", 3, WAIT_MS);
    net_reset(gone);
    let_pool_go(busy);
    shake(patient);
    client_echo(patient, 500);
    server_wait_counter(&s, "offload_cancelled", 2, WAIT_MS);
    server_wait_counter(&s, "closed_reset", 1, WAIT_MS);
    net_close(late);
    net_close(patient);
    close(busy);
    server_finish(&s);
    expect_sound(&s);
    ck_assert_uint_eq(server_counter(&s, "tls_offloaded"), 4);
}
END_TEST

/* Goal: a stop does not wait for handshakes that are out, though for the function in front of them. */
START_TEST(a_stop_while_they_are_out)
{
    enum { CLIENTS = 5 };
    struct server s;
    int fds[CLIENTS];
    START_TLS(&s, CERT_RSA, "tls.offload=all", "offload.threads=1");
    int busy = client_open(&s);
    send_number(busy, AWAY(TEST_SLEEP), 1000);
    server_wait_counter(&s, "offload_jobs", 1, WAIT_MS);
    for (int i = 0; i < CLIENTS; i++)
        knock(fds[i] = come(&s));
    server_wait_counter(&s, "tls_offloaded", CLIENTS, WAIT_MS);
    server_signal(&s, SIGTERM);
    ck_assert_uint_eq(recv_number(busy, AWAY(TEST_SLEEP)), 1000);
    client_expect_fin(busy);
    ck_assert_int_eq(server_wait_exit(&s, 5000), 0);
    server_check(&s);
    expect_sound(&s);
    ck_assert_uint_eq(server_counter(&s, "offload_cancelled"), CLIENTS);
    for (int i = 0; i < CLIENTS; i++)
        net_close(fds[i]);
}
END_TEST

/* Goal: a step that finds no job idle is made by the worker: a pool that is busy for long does not keep everybody
 * out. */
START_TEST(no_room_is_no_wait)
{
    struct server s;
    START_TLS(&s, CERT_EC, "tls.offload=all", "offload.threads=1", "tls.handshakes=1",
              "tls.handshake_timeout=1");
    int busy = keep_pool_busy(&s), late = come(&s);
    knock(late);
    server_wait_counter(&s, "closed_tls_timeout", 1, WAIT_MS);
    int next = come(&s);
    shake(next);
    client_echo(next, 100);
    ck_assert_uint_eq(server_counter(&s, "tls_offloaded"), 1); /* cancelled, and still on its way */
    net_close(late);
    net_close(next);
    let_pool_go(busy);
    close(busy);
    server_finish(&s);
    expect_sound(&s);
}
END_TEST

/* Goal: a step comes back to whoever serves the worker by then. */
START_TEST(the_worker_is_replaced_meanwhile)
{
    struct server s;
    char replace[40];
    snprintf(replace, sizeof replace, "watch.replace_ms=%u", REPLACE_MS);
    START_TLS(&s, CERT_RSA, "tls.offload=all", "offload.threads=1", replace);
    int busy = keep_pool_busy(&s), away = come(&s), victim = client_open(&s);
    knock(away);
    server_wait_counter(&s, "tls_offloaded", 1, WAIT_MS);
    stick(victim);
    server_wait_counter(&s, "watch_replaced", 1, WAIT_MS); /* its successor answers */
    let_pool_go(busy);
    shake(away);
    client_echo(away, 500);
    unstick(busy);
    client_expect_fin(victim);
    net_close(away);
    close(busy);
    server_finish(&s);
    ck_assert_uint_eq(server_counter(&s, "closed_function_stuck"), 1);
}
END_TEST

/* Goal: clients that come and go at any moment of a handshake, some threads that race for its steps: nothing is lost,
 * and nobody's session is another's. */
START_TEST(each_is_made_or_is_not)
{
    enum { AT_ONCE = 8 };
    struct server s;
    unsigned seed = 3, served = 0;
    int fds[AT_ONCE];
    START_TLS(&s, CERT_RSA, "tls.offload=all", "offload.threads=3", "tls.handshakes=8");
    for (int round = 0; round < 30 / ITEST_SLOW; round++) {
        for (int i = 0; i < AT_ONCE; i++)
            knock(fds[i] = come(&s));
        for (int i = 0; i < AT_ONCE; i++) {
            unsigned what = (unsigned) rand_r(&seed) % 4;
            if (what == 0) {
                net_reset(fds[i]);
            } else if (what == 1) {
                net_close(fds[i]);
            } else {
                shake(fds[i]);
                client_echo(fds[i], 1 + (unsigned) rand_r(&seed) % 2000);
                net_close(fds[i]);
                served++;
            }
        }
    }
    server_finish(&s);
    expect_sound(&s);
    ck_assert_uint_gt(served, 0);
}
END_TEST

Suite *tls_offload_suite(void)
{
    Suite *s = suite_create("tls_offload");
    TCase *c = itest_case(s, "which", 20);
    tcase_add_loop_test(c, by_the_rule, 0, sizeof rules / sizeof rules[0]);
    tcase_add_test(c, a_request_behind_the_finished);
    c = itest_case(s, "ends", 30);
    tcase_add_test(c, who_has_gone_gets_no_signature);
    tcase_add_test(c, a_stop_while_they_are_out);
    tcase_add_test(c, no_room_is_no_wait);
    tcase_add_test(c, the_worker_is_replaced_meanwhile);
    tcase_add_test(c, each_is_made_or_is_not);
    return s;
}
