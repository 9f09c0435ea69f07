/*
 * test_tls.c: listeners with tls=: packets of every framing and length both ways, in whatever pieces the records come;
 * pushes, balancers, unix sockets, what functions know.
 */
#include <errno.h>
#include <linux/tcp.h>
#include <netinet/in.h>
#include <poll.h>
#include <pthread.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

#include "preloads.h"
#include "sealed.h"
#include "test/lib/payload.h"

enum { TLS_12 = 0x0303, TLS_13 = 0x0304 };

static const int versions[] = {TLS_12, TLS_13};
static const char *const one_worker[] = {"server.workernum=1", "test.offload=on", NULL};

/* ---- There and back ---- */

/* Goal: packets of all lengths come back, by either version; the end is said with close_notify; counters know which
 * version, and nothing failed. */
START_TEST(packets_come_back)
{
    static const size_t lengths[] = {0, 1, 7, 100, 1459, 4096, 8000, 8184};
    struct secure_facts facts;
    struct server s;
    sealed_start(&s, "", one_worker);
    int fd = sealed_open_as(
        &s, &(struct secure_ask){.host = "localhost", .min = versions[_i], .max = versions[_i]});
    for (size_t i = 0; i < sizeof lengths / sizeof lengths[0]; i++)
        client_echo(fd, lengths[i]);
    secure_facts(fd, &facts);
    ck_assert_str_eq(facts.version, versions[_i] == TLS_12 ? "TLSv1.2" : "TLSv1.3");
    ck_assert_int_eq(net_shut(fd), 0);
    sealed_expect_end(fd);
    server_finish(&s);
    ck_assert_uint_eq(server_counter(&s, "tls_handshakes_12"), versions[_i] == TLS_12);
    ck_assert_uint_eq(server_counter(&s, "tls_handshakes_13"), versions[_i] == TLS_13);
    ck_assert_uint_eq(server_counter(&s, "tls_truncated"), 0);
    ck_assert_uint_eq(server_counter(&s, "tls_shaking"), 0);
    ck_assert_uint_eq(server_counter(&s, "lingered"),
                      0); /* nobody waits for who need not hear our last word */
}
END_TEST

/* A relay that hands on what clients send in pieces of so many bytes, and what the server sends as it comes. */
struct relay {
    int here, there;
    size_t piece;
    pthread_t thread;
};

static void hand_on(int to, const unsigned char *data, size_t n, size_t piece)
{
    for (size_t at = 0; at < n; at += piece) {
        size_t part = n - at < piece ? n - at : piece;
        if (send(to, data + at, part, MSG_NOSIGNAL) < 0)
            return;
        if (piece < 64)
            usleep(100); /* so that they come one by one, mostly */
    }
}

static void *relay_main(void *arg)
{
    struct relay *r = arg;
    static _Thread_local unsigned char data[65536];
    struct pollfd p[2] = {{.fd = r->here, .events = POLLIN}, {.fd = r->there, .events = POLLIN}};
    while (poll(p, 2, -1) > 0) {
        for (int i = 0; i < 2; i++) {
            if (p[i].revents == 0)
                continue;
            ssize_t n = recv(p[i].fd, data, sizeof data, MSG_DONTWAIT);
            if (n == 0 && i == 0) {
                shutdown(r->there, SHUT_WR);
                p[0].fd = -1;
            } else if (n <= 0) {
                shutdown(r->here, SHUT_RDWR);
                return NULL;
            } else {
                hand_on(i == 0 ? r->there : r->here, data, (size_t) n, i == 0 ? r->piece : sizeof data);
            }
        }
    }
    return NULL;
}

/* A client's end of a connection to the second address that goes through it. */
static int relay_start(struct relay *r, const struct server *s, size_t piece)
{
    int pair[2];
    ck_assert_int_eq(socketpair(AF_UNIX, SOCK_STREAM, 0, pair), 0);
    *r = (struct relay){.here = pair[1], .there = client_open_at(&s->addresses[1]), .piece = piece};
    ck_assert_int_eq(pthread_create(&r->thread, NULL, relay_main, r), 0);
    ck_assert_int_eq(fcntl(pair[0], F_SETFL, O_NONBLOCK), 0);
    return pair[0];
}

static void relay_end(struct relay *r)
{
    pthread_join(r->thread, NULL);
    close(r->here);
    close(r->there);
}

/* Goal: whatever pieces the bytes of handshake and records come in, the answers are the same. */
START_TEST(records_in_pieces)
{
    static const size_t pieces[] = {1, 5, 17, 1000, 16401};
    struct server s;
    struct relay r;
    sealed_start(&s, "", one_worker);
    int fd = relay_start(&r, &s, pieces[_i / 2]);
    sealed_lay(fd,
               &(struct secure_ask){.host = "localhost", .min = versions[_i % 2], .max = versions[_i % 2]});
    for (size_t n = 0; n < 200; n += 41)
        client_echo(fd, n);
    if (pieces[_i / 2] > 16)
        client_echo(fd, 8184);
    ck_assert_int_eq(net_shut(fd), 0);
    sealed_expect_end(fd);
    relay_end(&r);
    server_finish(&s);
}
END_TEST

/* Goal: many packets in few records, and records with many packets, are answered, each once and in order. */
START_TEST(many_packets_in_a_record)
{
    enum { PACKETS = 6000, LEN = 8 + 4 };
    unsigned char *all = malloc(PACKETS * LEN), *back = malloc(PACKETS * LEN);
    struct server s;
    sealed_start(&s, "", one_worker);
    int fd = sealed_open(&s);
    for (uint32_t i = 0; i < PACKETS; i++)
        client_packet(all + i * LEN, TEST_ECHO, &i, sizeof i);
    client_send(fd, all, PACKETS * LEN);
    client_recv(fd, back, PACKETS * LEN);
    ck_assert(memcmp(all, back, PACKETS * LEN) == 0);
    net_close(fd);
    server_finish(&s);
    free(all);
    free(back);
}
END_TEST

static const struct {
    const char *options, *sent;
    size_t sent_len;
    const char *back;
    size_t back_len;
} framings[] = {
#define TEXT(t) t, sizeof(t) - 1
    {"proto=line id=0x7090", TEXT("one\ntwo\r\n\n"), TEXT("one\ntwo\n\n")},
    {"proto=raw id=0x7090", TEXT("as it is"), TEXT("as it is")},
    {"proto=fixed=4 id=0x7090", TEXT("12345678"), TEXT("12345678")},
    {"proto=delim=0x03 id=0x7090", TEXT("a\3bc\3"), TEXT("a\3bc\3")},
    {"proto=length size=2 endian=big id=0x7090", TEXT("\0\3abc\0\1d"), TEXT("\0\3abc\0\1d")},
    {"proto=own id=0x7090", TEXT("P\3abc\0"), TEXT("P\3abc")},
};

/* Goal: a listener with tls= may have any framing. */
START_TEST(any_framing)
{
    char back[64];
    struct server s;
    sealed_start(&s, framings[_i].options, one_worker);
    int fd = sealed_open(&s);
    client_send(fd, framings[_i].sent, framings[_i].sent_len);
    client_recv(fd, back, framings[_i].back_len);
    ck_assert(memcmp(back, framings[_i].back, framings[_i].back_len) == 0);
    net_close(fd);
    server_finish(&s);
}
END_TEST

/* Goal: so may one for browsers: the upgrade, then messages, comes as records. */
START_TEST(websocket)
{
    static const char upgrade[] =
        "GET / HTTP/1.1\r\nHost: localhost\r\nUpgrade: websocket\r\nConnection: Upgrade\r\n"
        "Sec-WebSocket-Key: dGhlIHNhbXBsZSBub25jZQ==\r\nSec-WebSocket-Version: 13\r\n\r\n";
    static const unsigned char message[] = {0x82, 0x83, 0, 0, 0, 0, 'h', 'e', 'y'};
    char head[512];
    size_t n = 0;
    struct server s;
    sealed_start(&s, "proto=ws id=0x7090", one_worker);
    int fd = sealed_open(&s);
    client_send(fd, upgrade, sizeof upgrade - 1);
    while (n < 4 || memcmp(head + n - 4, "\r\n\r\n", 4) != 0)
        client_recv(fd, head + n++, 1);
    ck_assert(strncmp(head, "HTTP/1.1 101", 12) == 0);
    client_send(fd, message, sizeof message);
    client_recv(fd, head, 5);
    ck_assert(memcmp(head, "\x82\x03hey", 5) == 0);
    net_close(fd);
    server_finish(&s);
}
END_TEST

/* Goal: who asks together with the end of the handshake gets its tickets and the answer as one: with what came before,
 * two segments have data. */
START_TEST(tickets_come_with_an_answer)
{
    struct tcp_info info = {.tcpi_data_segs_in = 0};
    struct server s;
    sealed_start(&s, "", one_worker);
    for (int tries = 0; tries < 10 && info.tcpi_data_segs_in != 2;
         tries++) { /* a busy machine lets go too early */
        int on = 1, off = 0, fd = client_open_at(&s.addresses[1]);
        ck_assert_int_eq(setsockopt(fd, IPPROTO_TCP, TCP_CORK, &on, sizeof on), 0);
        sealed_lay(fd, NULL);
        client_send_packet(fd, TEST_ECHO, "seal", 4);
        ck_assert_int_eq(setsockopt(fd, IPPROTO_TCP, TCP_CORK, &off, sizeof off), 0);
        ck_assert_int_eq(client_recv_packet(fd, TEST_ECHO, (char[64]){0}, 64), 4);
        ck_assert_int_eq(getsockopt(fd, IPPROTO_TCP, TCP_INFO, &info, &(socklen_t){sizeof info}), 0);
        net_close(fd);
    }
    ck_assert_uint_eq(info.tcpi_data_segs_in, 2);
    server_finish(&s);
}
END_TEST

/* Goal: what the connected hook writes is the first that the client hears. */
START_TEST(greeted_behind_the_handshake)
{
    char data[16];
    struct server s;
    sealed_start(&s, "", (const char *[]){"test.connected=greet", NULL});
    int fd = sealed_open(&s);
    ck_assert_uint_eq(client_recv_packet(fd, TEST_ECHO, data, sizeof data), 5);
    net_close(fd);
    server_finish(&s);
}
END_TEST

/* Goal: a function knows what its connection's handshake came to, wherever it runs; of a plain one, that it is. */
START_TEST(functions_know)
{
    static const int ways[] = {0, TEST_OFFLOADED, TEST_CONCURRENT};
    char text[1024];
    struct server s;
    sealed_start(&s, "", one_worker);
    int fd = sealed_open_as(&s, &(struct secure_ask){.host = "localhost", .min = TLS_13}),
        plain = client_open(&s);
    for (size_t i = 0; i < sizeof ways / sizeof ways[0]; i++) {
        uint16_t what = (uint16_t) (TEST_TLS + ways[i]);
        text[client_ask(fd, what, NULL, 0, text, sizeof text - 1)] = '\0';
        ck_assert_msg(strncmp(text, "version=TLSv1.3 cipher=TLS_", 27) == 0 &&
                          strstr(text, " name=default sni=localhost alpn= resumed=0 client=") != NULL,
                      "%s", text);
        text[client_ask(plain, what, NULL, 0, text, sizeof text - 1)] = '\0';
        ck_assert_str_eq(text, "none");
    }
    close(plain);
    net_close(fd);
    server_finish(&s);
}
END_TEST

/* Goal: new keys, ours and theirs, in between: nobody notices. */
START_TEST(new_keys)
{
    struct server s;
    sealed_start(&s, "", one_worker);
    int fd = sealed_open_as(&s, &(struct secure_ask){.host = "localhost", .min = TLS_13});
    for (int i = 0; i < 6; i++) {
        ck_assert_int_eq(secure_key_update(fd, i % 2 == 0), 0);
        client_echo(fd, 100);
    }
    net_close(fd);
    server_finish(&s);
    ck_assert_uint_eq(server_counter(&s, "tls_key_updates"), 6);
}
END_TEST

/* Goal: unix sockets, and who is passed on by a balancer, whose header comes in the clear. */
START_TEST(other_ways_in)
{
    static const char header[] = "PROXY TCP4 10.1.2.3 10.0.0.1 56324 443\r\n";
    char listen[200], path[64], peer[64];
    struct server s;
    snprintf(path, sizeof path, "/tmp/mario-itest-tls-%d", (int) getpid());
    snprintf(listen, sizeof listen,
             "127.0.0.1:0, 127.0.0.1:0 tls=default proxy=on trust=127.0.0.0/8, unix:%s tls=default", path);
    sealed_start_at(&s, listen, one_worker);
    int proxied = client_open_at(&s.addresses[1]), local = client_open_at(&s.addresses[2]);
    client_send(proxied, header, sizeof header - 1);
    sealed_lay(proxied, NULL);
    size_t n = client_ask(proxied, TEST_PEER, NULL, 0, peer, sizeof peer - 1);
    peer[n] = '\0';
    ck_assert_str_eq(peer, "10.1.2.3:56324");
    sealed_lay(local, NULL);
    client_echo(local, 5000);
    net_close(proxied);
    net_close(local);
    server_finish(&s);
}
END_TEST

/* An hour passes, and the master has seen that it has: newcomers are its own. */
static void pass_an_hour(const struct server *s, struct clock_board *clock)
{
    atomic_fetch_add(&clock->run_s, 3660);
    for (int i = 0; i < 2; i++) {
        int plain = client_open(s);
        client_echo(plain, 10);
        close(plain);
    }
}

/* One who comes with what he was given the last time, if he may: whether he is known. */
static bool is_known(const struct server *s, struct secure *asks)
{
    struct secure_facts facts;
    int fd = client_open_at(&s->addresses[1]);
    ck_assert_int_eq(secure_lay(asks, fd), 0);
    client_echo(fd, 10);
    secure_facts(fd, &facts);
    ck_assert(facts.ticket);
    net_close(fd);
    return facts.resumed;
}

/* Goal: keys of tickets change each hour also where nobody comes over TLS: who comes after some hours, with a ticket
 * that he got before, is not known any more. */
START_TEST(keys_age_where_nobody_comes)
{
    char env[PRELOAD_ENV], certificate[512], key[512], why[200];
    const char *const args[] = {certificate, key, "watch.warn_ms=0", NULL}, *const envs[] = {env, NULL};
    const struct secure_ask ask = {.ca = sealed_certs()->ca, .host = "localhost", .resume = true};
    struct clock_board *clock = preload_clock(env);
    struct secure *asks = secure_make(&ask, why, sizeof why);
    struct server s;
    ck_assert_msg(asks != NULL, "%s", why);
    snprintf(certificate, sizeof certificate, "tls default.certificate=%s", sealed_certs()->server);
    snprintf(key, sizeof key, "tls default.key=%s", sealed_certs()->key);
    server_launch(&s, &(struct launch){.program = "testapp",
                                       .args = args,
                                       .listen = "127.0.0.1:0, 127.0.0.1:0 tls=default",
                                       .preload = "clock",
                                       .env = envs});
    ck_assert(!is_known(&s, asks) && is_known(&s, asks));
    pass_an_hour(&s, clock);
    ck_assert(is_known(&s, asks));
    for (int hours = 0; hours < 4; hours++)
        pass_an_hour(&s, clock);
    ck_assert(!is_known(&s, asks) && is_known(&s, asks));
    server_finish(&s);
    secure_free(&asks);
}
END_TEST

static void add_cases(Suite *s, bool slim)
{
    TCase *c = sealed_case(s, "there and back", 30, slim);
    tcase_add_loop_test(c, packets_come_back, 0, 2);
    tcase_add_loop_test(c, records_in_pieces, 0, 10);
    tcase_add_test(c, many_packets_in_a_record);
    tcase_add_loop_test(c, any_framing, 0, (int) (sizeof framings / sizeof framings[0]));
    tcase_add_test(c, websocket);
    tcase_add_test(c, tickets_come_with_an_answer);
    tcase_add_test(c, greeted_behind_the_handshake);
    tcase_add_test(c, new_keys);
    tcase_add_test(c, functions_know);
    tcase_add_test(c, other_ways_in);
}

Suite *tls_suite(void)
{
    Suite *s = suite_create("tls");
    add_cases(s, false);
    add_cases(s, true);
    tcase_add_test(itest_case(s, "keys of tickets", 20), keys_age_where_nobody_comes);
    return s;
}
