/*
 * test_proxied.c: listeners where a PROXY header comes first: whom functions, hooks, logs and admission take for the
 * client; headers in pieces, wrong, late or from the wrong place; what becomes of who waits when the server stops.
 */
#include <errno.h>
#include <netinet/in.h>
#include <netinet/tcp.h>
#include <signal.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/socket.h>
#include <unistd.h>

#include "comers.h"
#include "stuck.h"

/* The first address is a plain one, for counters. */
#define TRUSTING "127.0.0.1:0,127.0.0.1:0 proxy=on trust=127.0.0.0/8"
#define HEADER   "PROXY TCP4 10.1.2.3 10.0.0.1 56324 443\r\n"

static void start(struct server *s, const char *listen, const char *const *args)
{
    server_launch(s, &(struct launch){.program = "testapp", .args = args, .listen = listen});
    s->log_lines_max = 100000;
}

/* Connect to the address with the headers, and send this. */
static int enter(const struct server *s, const void *header, size_t n)
{
    int fd = client_open_at(&s->addresses[1]);
    client_send(fd, header, n);
    return fd;
}

static int enter_text(const struct server *s, const char *header)
{
    return enter(s, header, strlen(header));
}

static void is_answer(int fd, uint16_t command, const char *expected)
{
    char text[1200];
    size_t n = client_ask(fd, command, NULL, 0, text, sizeof text - 1);
    text[n] = '\0';
    ck_assert_str_eq(text, expected);
}

/* ---- Who is it ---- */

#define V2 "\r\n\r\n\0\r\nQUIT\n"

#define BYTES(text) text, sizeof(text) - 1

static const struct {
    const char *header;
    size_t n;
    const char *peer, *said; /* NULL: the socket's own */
} clients[] = {
    {BYTES(HEADER), "10.1.2.3:56324", "via=yes authority=- id=-"},
    {BYTES("PROXY TCP6 2001:db8::7 ::1 1 65535\r\n"), "[2001:db8::7]:1", "via=yes authority=- id=-"},
    {BYTES("PROXY UNKNOWN\r\n"), NULL, "via=yes authority=- id=-"},
    {BYTES(V2 "\x21\x11\0\x0c\x0a\1\2\3\x0a\0\0\1\x12\x34\1\xbb"), "10.1.2.3:4660",
     "via=yes authority=- id=-"},
    {BYTES(V2 "\x20\0\0\0"), NULL, "via=yes authority=- id=-"},
    {BYTES(V2 "\x20\x11\0\x0c\x0a\1\2\3\x0a\0\0\1\x12\x34\1\xbb"), NULL, "via=yes authority=- id=-"},
    {BYTES(V2 "\x21\0\0\x0b\2\0\1a\5\0\1b\xe0\0\0"), NULL, "via=yes authority=a id=b"},
    {BYTES(V2 "\x21\x11\0\x46\x0a\1\2\3\x0a\0\0\1\x12\x34\1\xbb"
              "\2\0\x0c"
              "chat.example"
              "\5\0\4id-7"
              "\x20\0\x21\5\0\0\0\7\x21\0\7TLSv1.3\x22\0\5alice\x23\0\3aes\x25\0\1x"),
     "10.1.2.3:4660", "via=yes authority=chat.example id=id-7 ssl=5/7/TLSv1.3/alice/aes"},
    {BYTES(V2 "\x21\x11\0\x14\x0a\1\2\3\x0a\0\0\1\x12\x34\1\xbb\x20\0\5\1\0\0\0\0"), "10.1.2.3:4660",
     "via=yes authority=- id=- ssl=1/0/-/-/-"},
};

/* The name that our socket has. */
static void own_name(int fd, char text[32])
{
    struct sockaddr_in me;
    socklen_t len = sizeof me;
    ck_assert(getsockname(fd, (struct sockaddr *) &me, &len) == 0);
    snprintf(text, 32, "127.0.0.1:%u", ntohs(me.sin_port));
}

/* Goal: functions of all three kinds learn who the client is and what else the header says, the hooks see the same from
 * first to last, and so does the log. */
START_TEST(clients_are_known)
{
    static const uint16_t kinds[] = {0, TEST_OFFLOADED, TEST_CONCURRENT};
    char line[200], own[32];
    struct server s;
    start(&s, TRUSTING, (const char *[]){"test.offload=on", "log.level=debug", NULL});
    for (size_t i = 0; i < sizeof clients / sizeof clients[0]; i++) {
        for (size_t k = 0; k < 3; k++) {
            int fd = enter(&s, clients[i].header, clients[i].n);
            own_name(fd, own);
            const char *peer = clients[i].peer != NULL ? clients[i].peer : own;
            is_answer(fd, (uint16_t) (TEST_PEER + kinds[k]), peer);
            is_answer(fd, (uint16_t) (TEST_PROXY + kinds[k]), clients[i].said);
            is_answer(fd, (uint16_t) (TEST_PEER + kinds[k]), peer);
            close(fd);
            snprintf(line, sizeof line, " %s] closed: ", peer);
            server_wait_log(&s, line, 3000);
        }
    }
    int plain = client_open(&s);
    is_answer(plain, TEST_PROXY, "via=- authority=- id=-");
    close(plain);
    server_finish(&s);
    ck_assert_uint_eq(server_counter(&s, "wrong_state"), 0);
    ck_assert_uint_eq(server_counter(&s, "proxied"), 3 * sizeof clients / sizeof clients[0]);
}
END_TEST

/* Goal: what a function ends is closed, descriptor and all: it is not taken for somebody else's because its name is not
 * that of its socket. */
START_TEST(ends_as_others_do)
{
    struct test_end e = {0};
    struct server s;
    start(&s, TRUSTING, (const char *[]){"server.timeout=1", NULL});
    for (int i = 0; i < 3; i++) {
        int fd = enter_text(&s, HEADER);
        client_send_packet(fd, TEST_CLOSE, &e, sizeof e);
        ck_assert_int_eq(client_ending(fd, NULL, 3000), END_FIN);
        close(fd);
    }
    int silent = enter_text(&s, HEADER);
    client_expect_fin(silent);
    server_finish(&s);
    ck_assert_uint_eq(server_counter(&s, "closed_function_closed"), 3);
    ck_assert_uint_eq(server_counter(&s, "closed_idle_timeout"), 1);
    ck_assert_uint_eq(server_counter(&s, "fd_lost"), 0);
}
END_TEST

/* Goal: the connected hook's words are the first that the client gets, though it said nothing but its header. */
START_TEST(greeted_behind_the_header)
{
    char data[16];
    struct server s;
    start(&s, TRUSTING, (const char *[]){"test.connected=greet", NULL});
    int fd = enter_text(&s, HEADER);
    ck_assert_uint_eq(client_recv_packet(fd, TEST_ECHO, data, sizeof data), 5);
    close(fd);
    server_finish(&s);
}
END_TEST

/* ---- Pieces ---- */

static void send_now(int fd, const void *data, size_t n)
{
    if (n > 0)
        client_send(fd, data, n);
}

/* Whether the server's kernel has all that we sent. */
static bool has_arrived(void *arg)
{
    struct tcp_info info;
    socklen_t len = sizeof info;
    return getsockopt(*(int *) arg, IPPROTO_TCP, TCP_INFO, &info, &len) == 0 && info.tcpi_unacked == 0;
}

/* Goal: a header and the packet behind it, cut in two anywhere, are what they are in one piece. */
START_TEST(cut_anywhere)
{
    static const size_t which[] = {0, 7};
    unsigned char bytes[256];
    struct server s;
    start(&s, TRUSTING, (const char *[]){NULL});
    for (size_t i = 0; i < 2; i++) {
        size_t n = clients[which[i]].n;
        memcpy(bytes, clients[which[i]].header, n);
        size_t all = n + client_packet(bytes + n, TEST_ECHO, "hello", 5);
        for (size_t cut = 0; cut <= all; cut++) {
            char data[16];
            int fd = client_open_at(&s.addresses[1]);
            send_now(fd, bytes, cut);
            ck_assert(itest_wait(has_arrived, &fd, 2000));
            send_now(fd, bytes + cut, all - cut);
            ck_assert_uint_eq(client_recv_packet(fd, TEST_ECHO, data, sizeof data), 5);
            close(fd);
        }
    }
    server_finish(&s);
}
END_TEST

/* Goal: the same byte by byte. */
START_TEST(byte_by_byte)
{
    unsigned char bytes[256];
    char data[16];
    struct server s;
    start(&s, TRUSTING, (const char *[]){NULL});
    memcpy(bytes, clients[7].header, clients[7].n);
    size_t all = clients[7].n + client_packet(bytes + clients[7].n, TEST_ECHO, "hello", 5);
    int fd = client_open_at(&s.addresses[1]);
    for (size_t i = 0; i < all; i++) {
        client_send(fd, bytes + i, 1);
        ck_assert(itest_wait(has_arrived, &fd, 2000));
    }
    ck_assert_uint_eq(client_recv_packet(fd, TEST_ECHO, data, sizeof data), 5);
    is_answer(fd, TEST_PEER, "10.1.2.3:4660");
    close(fd);
    server_finish(&s);
}
END_TEST

/* Goal: a second header is data, and no packet. */
START_TEST(second_header)
{
    struct server s;
    start(&s, TRUSTING, (const char *[]){NULL});
    int fd = enter_text(&s, HEADER HEADER);
    ck_assert_int_eq(client_ending(fd, NULL, 3000), END_FIN);
    close(fd);
    server_finish(&s);
    ck_assert_uint_eq(server_counter(&s, "proxied"), 1);
    ck_assert_uint_eq(server_counter(&s, "closed_bad_proxy"), 0);
}
END_TEST

/* ---- What is none ---- */

static const struct {
    const char *bytes;
    size_t n;
    const char *why;
} bad[] = {
    {BYTES("\xf7\x9a\xb6\x8e\x08\0\x03\x61"), "it does not begin with one"},
    {BYTES("GET / HTTP/1.1\r\n"), "it does not begin with one, looks like HTTP"},
    {BYTES("PROXY TCP4 10.1.2.3 10.0.0.1 056324 443\r\n"), "not a port"},
    {BYTES(V2 "\x21\x11\0\x0b"), "it is too short for its addresses"},
    {BYTES(V2 "\x21\x12\0\x0c"), "its family and transport are none of streams"},
    {BYTES(V2 "\x21\x11\0\x13\x0a\1\2\3\x0a\0\0\1\x12\x34\1\xbb\3\0\4\0\0\0\0"), "its sum is wrong"},
};

/* Goal: who begins with none is closed at once, with a FIN, a reason and a line that says why; no function and no hook
 * hears of him. */
START_TEST(wrong_headers)
{
    char line[128];
    struct server s;
    start(&s, TRUSTING, (const char *[]){NULL});
    for (size_t i = 0; i < sizeof bad / sizeof bad[0]; i++) {
        int fd = enter(&s, bad[i].bytes, bad[i].n);
        ck_assert_int_eq(client_ending(fd, NULL, 3000), END_FIN);
        close(fd);
        snprintf(line, sizeof line, "closed: bad_proxy (%s)", bad[i].why);
        if (i < 4) /* then the log has said enough for a second */
            server_wait_log(&s, line, 3000);
    }
    server_finish(&s);
    ck_assert_uint_eq(server_counter(&s, "closed_bad_proxy"), sizeof bad / sizeof bad[0]);
    ck_assert_uint_eq(server_counter(&s, "hook_connected"), 0);
    ck_assert_uint_eq(server_counter(&s, "proxied"), 0);
}
END_TEST

/* Goal: a check of a balancer that connects and says nothing is no offence. */
START_TEST(silent_checks)
{
    struct server s;
    start(&s, TRUSTING, (const char *[]){"log.level=debug", NULL});
    int fd = client_open_at(&s.addresses[1]);
    close(fd);
    server_wait_log(&s, "closed: peer_closed", 3000);
    client_reset(client_open_at(&s.addresses[1]));
    fd = enter_text(&s, "PROXY TCP4 ");
    shutdown(fd, SHUT_WR);
    ck_assert_int_eq(client_ending(fd, NULL, 3000), END_FIN);
    close(fd);
    server_finish(&s);
    ck_assert_uint_eq(server_counter(&s, "closed_bad_proxy"), 1);
    ck_assert_uint_eq(server_counter(&s, "ungreeted"), 3);
}
END_TEST

/* Goal: there are 5 s for it, whatever the other timeouts, and whether nothing or a part has come; more pieces do not
 * make them longer. */
START_TEST(late_headers)
{
    struct server s;
    start(&s, TRUSTING, (const char *[]){"server.timeout=1", "server.packet_timeout=1", NULL});
    uint64_t began = mono_ns();
    int silent = client_open_at(&s.addresses[1]), part = enter_text(&s, "PROXY TCP4 "),
        late = enter_text(&s, "P");
    itest_sleep(3000);
    client_send(part, "10", 2);
    client_send(late, &HEADER[1], strlen(HEADER) - 1);
    client_echo(late, 9);
    client_expect_fin(silent);
    client_expect_fin(part);
    ck_assert_uint_ge(itest_ms_since(began), 4900);
    ck_assert_uint_lt(itest_ms_since(began), 7900); /* 5 s from its last piece on would be 8 */
    client_expect_fin(late);
    server_finish(&s);
    ck_assert_uint_eq(server_counter(&s, "closed_bad_proxy"), 2);
    ck_assert_uint_eq(server_counter(&s, "proxied"), 1);
}
END_TEST

/* ---- Who may say so ---- */

static int open_from(const struct server *s, unsigned which, const char *address)
{
    struct server at = *s;
    at.target = s->addresses[which];
    return client_open_from(&at, address);
}

/* Goal: from where is not in trust= nobody is believed: he is reset; with untrusted=direct he is who he is, and a
 * header of his is data. */
START_TEST(untrusted)
{
    char name[32];
    struct server s;
    start(&s,
          "127.0.0.1:0,127.0.0.1:0 proxy=on trust=127.1.0.0/16+127.2.0.1,"
          "127.0.0.1:0 proxy=on trust=127.1.0.0/16 untrusted=direct",
          (const char *[]){NULL});
    int fd = open_from(&s, 1, "127.3.0.1");
    ck_assert_int_eq(client_ending(fd, NULL, 3000), END_RST);
    close(fd);
    server_wait_log(&s, "refused a connection from 127.3.0.1:", 3000);
    for (unsigned i = 0; i < 3; i++) {
        fd = open_from(&s, i == 2 ? 2 : 1, i == 1 ? "127.2.0.1" : "127.1.2.3");
        client_send(fd, HEADER, strlen(HEADER));
        is_answer(fd, TEST_PEER, "10.1.2.3:56324");
        close(fd);
    }
    fd = open_from(&s, 2, "127.3.0.1");
    snprintf(name, sizeof name, "via=- authority=- id=-");
    is_answer(fd, TEST_PROXY, name);
    client_send(fd, HEADER, strlen(HEADER));
    ck_assert_int_eq(client_ending(fd, NULL, 3000), END_FIN);
    close(fd);
    server_finish(&s);
    ck_assert_uint_eq(server_counter(&s, "refused_untrusted"), 1);
    ck_assert_uint_eq(server_counter(&s, "closed_bad_proxy"), 0);
    ck_assert_uint_eq(server_counter(&s, "proxied"), 3);
}
END_TEST

/* A client of that address comes by the balancer. */
static int enter_as(const struct server *s, const char *address)
{
    char header[128];
    snprintf(header, sizeof header, "PROXY TCP4 %s 10.0.0.1 4000 443\r\n", address);
    return enter_text(s, header);
}

/* Goal: admission counts clients, not the balancer, and not its checks; who is one too many is reset; who leaves makes
 * room. */
START_TEST(admission_of_clients)
{
    struct server s;
    int in[3], checks[4];
    start(&s, TRUSTING, (const char *[]){"admit.ip_conns=2", NULL});
    for (int i = 0; i < 2; i++) {
        in[i] = enter_as(&s, "10.9.0.1");
        client_echo(in[i], 5);
    }
    int out = enter_as(&s, "10.9.0.1");
    ck_assert_int_eq(client_ending(out, NULL, 3000), END_RST);
    close(out);
    in[2] = enter_as(&s, "10.9.0.2");
    client_echo(in[2], 5);
    for (int i = 0; i < 4; i++) {
        checks[i] = enter_text(&s, "PROXY UNKNOWN\r\n");
        client_echo(checks[i], 5);
    }
    ck_assert_uint_eq(server_counter(&s, "gate_counted"), 4); /* and the one that asks */
    close(in[0]);
    uint64_t refused = 1;
    uint64_t end = itest_deadline(3000);
    for (;; refused++) {
        ck_assert(mono_ns() < end);
        in[0] = enter_as(&s, "10.9.0.1");
        if (comer_is_served(in[0]))
            break;
    }
    for (int i = 0; i < 3; i++)
        close(in[i]);
    for (int i = 0; i < 4; i++)
        close(checks[i]);
    server_finish(&s);
    ck_assert_uint_eq(server_counter(&s, "refused_gate_ip_conns"), refused);
}
END_TEST

/* ---- Other sockets ---- */

/* Goal: on a unix socket all are trusted; a client of TCP behind it has its name; and one whose connection to the
 * balancer was a unix socket has none, though it came by TCP. */
START_TEST(other_sockets)
{
    unsigned char of_unix[232] = V2 "\x21\x31\0\xd8";
    char listen[200], path[64];
    struct test_end e = {0};
    struct server s;
    snprintf(path, sizeof path, "/tmp/mario-itest-proxy.%d.sock", (int) getpid());
    snprintf(listen, sizeof listen, "127.0.0.1:0,unix:%s proxy=on,127.0.0.1:0 proxy=on trust=127.0.0.1",
             path);
    start(&s, listen, (const char *[]){"push.lowat=4k", NULL});
    int fd = enter_text(&s, "PROXY TCP6 2001:db8::7 ::1 1 65535\r\n");
    is_answer(fd, TEST_PEER, "[2001:db8::7]:1");
    client_send_packet(fd, TEST_CLOSE, &e, sizeof e);
    ck_assert_int_eq(client_ending(fd, NULL, 3000), END_FIN);
    close(fd);
    s.addresses[1] = s.addresses[2];
    fd = enter(&s, of_unix, sizeof of_unix);
    is_answer(fd, TEST_PEER, "unix");
    client_send_packet(fd, TEST_CLOSE, &e, sizeof e);
    ck_assert_int_eq(client_ending(fd, NULL, 3000), END_FIN);
    close(fd);
    server_finish(&s);
    ck_assert_uint_eq(server_counter(&s, "fd_lost"), 0);
    ck_assert_uint_eq(server_counter(&s, "proxied"), 2);
}
END_TEST

/* ---- Many, and the end ---- */

enum { PLACES = 1024 };

/* Goal: so many may wait, one more is refused, and others are served as before; who leaves makes room for the next one;
 * a stop does not wait for them. */
START_TEST(full_lobby)
{
    static int waiting[PLACES];
    struct server s;
    start(&s, TRUSTING, (const char *[]){"server.backlog=2000", NULL});
    uint64_t opened = mono_ns();
    for (int i = 0; i < PLACES; i++)
        waiting[i] = client_open_at(&s.addresses[1]);
    server_wait_counter(&s, "accepted", PLACES, 3000);
    if (itest_ms_since(opened) > 2500) {
        server_stop(&s);
        TEST_SKIP("to connect so many took half of the time for which they may wait");
    }
    int more = client_open_at(&s.addresses[1]);
    ck_assert_int_ne(client_ending(more, NULL, 3000), END_TIMEOUT);
    close(more);
    close(waiting[7]);
    server_wait_counter(&s, "ungreeted", 1, 3000);
    waiting[7] = enter_text(&s, "PROXY ");
    int plain = client_open(&s); /* behind it */
    client_echo(plain, 5);
    client_send(waiting[7], &HEADER[6], strlen(HEADER) - 6);
    client_echo(waiting[7], 5);
    int whole = enter_text(&s, HEADER);
    client_echo(whole, 5);
    close(whole);
    close(plain);
    client_send(waiting[9], HEADER, strlen(HEADER));
    client_echo(waiting[9], 5);
    server_signal(&s, SIGTERM);
    uint64_t began = mono_ns();
    ck_assert_int_eq(server_wait_exit(&s, 10000), 0);
    ck_assert_uint_lt(itest_ms_since(began), 4000 * ITEST_SLOW);
    for (int i = 0; i < PLACES; i++)
        close(waiting[i]);
    ck_assert_uint_eq(server_counter(&s, "refused_lobby"), 1);
    ck_assert_uint_eq(server_counter(&s, "refused_stop"), PLACES - 2);
    server_check(&s);
}
END_TEST

/* Goal: with when_full = wait nobody is accepted for whom there would be no place when his header is there. */
START_TEST(places_are_kept)
{
    struct server s;
    start(&s, TRUSTING,
          (const char *[]){"server.workernum=1", "server.connnum=3", "server.when_full=wait", NULL});
    int first = enter_text(&s, "PROXY "), second = enter_text(&s, "PROXY "), plain = client_open(&s);
    client_echo(plain, 5);
    int later = client_open(&s);
    client_send(first, &HEADER[6], strlen(HEADER) - 6);
    client_echo(first, 5);
    client_send(second, &HEADER[6], strlen(HEADER) - 6);
    client_echo(second, 5);
    close(plain);
    client_echo(later, 5);
    close(first);
    close(second);
    close(later);
    server_stop(&s);
    ck_assert_uint_eq(server_counter(&s, "refused_full"), 0);
}
END_TEST

/* Goal: a thread that is stuck, and the one that takes over from it, know both: their clients stay who they are. */
START_TEST(taken_over)
{
    char replace[64], words[64];
    struct server s;
    snprintf(replace, sizeof replace, "watch.replace_ms=%u", REPLACE_MS);
    start(&s, TRUSTING, (const char *[]){"server.workernum=1", replace, NULL});
    int fd = enter_as(&s, "10.9.0.1"), other = enter_as(&s, "10.9.0.2");
    is_answer(other, TEST_PEER, "10.9.0.2:4000");
    stick(fd);
    snprintf(words, sizeof words, " from 10.9.0.1:4000 did not return for ");
    server_wait_log(&s, words, BACK_MS);
    is_answer(other, TEST_PEER, "10.9.0.2:4000");
    is_answer(other, TEST_PROXY, "via=yes authority=- id=-");
    unstick(other);
    client_expect_fin(fd);
    close(other);
    server_finish(&s);
    ck_assert_uint_eq(server_counter(&s, "fd_lost"), 0);
}
END_TEST

Suite *proxied_suite(void)
{
    Suite *s = suite_create("proxied");
    TCase *c = itest_case(s, "proxied", 40);
    tcase_add_test(c, clients_are_known);
    tcase_add_test(c, ends_as_others_do);
    tcase_add_test(c, greeted_behind_the_header);
    tcase_add_test(c, cut_anywhere);
    tcase_add_test(c, byte_by_byte);
    tcase_add_test(c, second_header);
    tcase_add_test(c, wrong_headers);
    tcase_add_test(c, silent_checks);
    tcase_add_test(c, late_headers);
    tcase_add_test(c, untrusted);
    tcase_add_test(c, admission_of_clients);
    tcase_add_test(c, other_sockets);
    tcase_add_test(c, full_lobby);
    tcase_add_test(c, places_are_kept);
    tcase_add_test(c, taken_over);
    return s;
}
