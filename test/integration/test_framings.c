/*
 * test_framings.c: what else becomes of packets that are no HEAD+Data: limits count what a framing takes, a last packet
 * that ends with the stream has its turn like any other, a framing that ends its thread ends nobody else, no request
 * costs the heap anything, and the log says what was wrong.
 */
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/socket.h>
#include <unistd.h>

#include "harness.h"
#include "preloads.h"
#include "test/apps/testapp/commands.h"

enum { SOON_MS = 8000 };

/* A testapp of one worker with a listener for HEAD+Data, and one with this framing. */
static void start(struct server *s, const char *framing, const char *const *more)
{
    char listen[160];
    const char *args[8] = {"server.workernum=1", "test.offload=on"};
    size_t n = 2;
    snprintf(listen, sizeof listen, "127.0.0.1:0, 127.0.0.1:0 %s", framing);
    for (; more != NULL && *more != NULL; more++)
        args[n++] = *more;
    args[n] = NULL;
    server_launch(s, &(struct launch){.program = "testapp", .args = args, .listen = listen});
}

static void expect(int fd, const char *bytes, size_t n)
{
    char got[512];
    client_recv(fd, got, n);
    ITEST_ASSERT(memcmp(got, bytes, n) == 0, "other bytes came back");
}

/* Goal: of a client that has closed its side, more lines than it may send at a time, of which the last one ends with
 * the stream, are all answered, when their time comes, whoever computes them; then that is the end. */
START_TEST(the_last_line_waits_for_its_turn)
{
    enum { LINES = 9 };
    static const char *const limits[] = {"limit.packets=5", NULL};
    static const char *const framings[] = {"proto=line eof=packet id=0x7090",
                                           "proto=line eof=packet id=0x7190",
                                           "proto=line eof=packet id=0x7290"};
    struct server s;
    char lines[2 * LINES + 1] = "";
    start(&s, framings[_i], limits);
    for (char i = 0; i < LINES; i++)
        memcpy(lines + 2 * i, (char[]){(char) ('a' + i), '\n'}, 2);
    int fd = client_open_at(&s.addresses[1]);
    client_send(fd, lines, 2 * LINES - 1);
    ck_assert_int_eq(shutdown(fd, SHUT_WR), 0);
    if (_i < 2)
        expect(fd, lines, 2 * LINES);
    else
        client_recv(fd, (char[2 * LINES]){0}, 2 * LINES); /* concurrent ones: in any order */
    client_expect_fin(fd);
    server_finish(&s);
    ck_assert_uint_eq(server_counter(&s, "closed_peer_closed"), 1);
    ck_assert_uint_eq(server_counter(&s, "truncated"), 0);
    ck_assert_uint_gt(server_counter(&s, "limit_paused"), 0);
    ck_assert_uint_eq(server_counter(&s, "packets_in"), LINES);
}
END_TEST

/* Goal: what a framing takes without a packet counts as one where packets are limited: who sends nothing else is read
 * later, or closed. */
START_TEST(what_is_skipped_counts)
{
    static const char *const later[] = {"limit.packets=50", NULL}, *const close_it[] = {"limit.packets=50",
                                                                                        "limit.action=close",
                                                                                        NULL};
    static char zeroes[80];
    struct server s;
    start(&s, "proto=own id=0x7090", _i == 0 ? later : close_it);
    int fd = client_open_at(&s.addresses[1]);
    client_send(fd, zeroes, sizeof zeroes);
    if (_i == 0) {
        server_wait_counter(&s, "limit_paused", 1, SOON_MS);
        client_send(fd, "P\1x", 3);
        expect(fd, "P\1x", 3);
        close(fd);
    } else {
        client_expect_fin(fd);
    }
    server_finish(&s);
    ck_assert_uint_eq(server_counter(&s, "closed_limit"), _i);
    ck_assert_uint_eq(server_counter(&s, "functions"), 1 - _i);
}
END_TEST

/* Goal: and it is something whole, where a first packet is waited for. */
START_TEST(what_is_skipped_is_a_first_packet)
{
    static const char *const first[] = {"admit.first_packet=1", NULL};
    struct server s;
    start(&s, "proto=own id=0x7090", first);
    int calm = client_open_at(&s.addresses[1]), silent = client_open_at(&s.addresses[1]);
    client_send(calm, "", 1);
    client_send(silent, "P", 1);
    client_expect_fin(silent);
    client_send(calm, "P\1x", 3);
    expect(calm, "P\1x", 3);
    close(calm);
    server_finish(&s);
    ck_assert_uint_eq(server_counter(&s, "closed_first_packet"), 1);
}
END_TEST

/* Goal: a packet that has to wait until a thread has time for it is not asked about again, which its framing would
 * count as one more. */
START_TEST(what_waits_is_not_asked_about_again)
{
    enum { CLIENTS = 3, PACKETS = 30 };
    static const char *const narrow[] = {"offload.threads=1", "offload.queue=1", NULL};
    char bytes[3 * PACKETS + 1], answer[3 * PACKETS + 3];
    struct server s;
    int fds[CLIENTS];
    start(&s, "proto=own id=0x7190", narrow);
    for (int i = 0; i < PACKETS; i++)
        memcpy(bytes + 3 * i, "P\1x", 3);
    bytes[3 * PACKETS] = '?';
    memcpy(answer, bytes, 3 * PACKETS);
    memcpy(answer + 3 * PACKETS, (char[]){'P', 1, PACKETS}, 3);
    for (int i = 0; i < CLIENTS; i++) {
        fds[i] = client_open_at(&s.addresses[1]);
        client_send(fds[i], bytes, sizeof bytes);
    }
    for (int i = 0; i < CLIENTS; i++) {
        expect(fds[i], answer, sizeof answer);
        close(fds[i]);
    }
    server_finish(&s);
    ck_assert_uint_gt(server_counter(&s, "offload_full"), 0);
}
END_TEST

/* Goal: a framing that ends its thread is a function that does. */
START_TEST(a_framing_ends_its_thread)
{
    struct server s;
    start(&s, "proto=mad, 127.0.0.1:0 proto=own id=0x7090", NULL);
    int other = client_open(&s), own = client_open_at(&s.addresses[2]);
    client_send(own, "P\1xP\3", 5);
    expect(own, "P\1x", 3);
    for (int i = 0; i < 3; i++) {
        int fd = client_open_at(&s.addresses[1]);
        client_send(fd, (char[]){'a', MAD_ENDS_THREAD}, 2);
        client_expect_fin(fd);
        client_echo(other, 10);
        client_send(own, "two?P\3", 6); /* carried, and its state, through each takeover */
        expect(own, (char[]){'P', 3, 't', 'w', 'o', 'P', 1, (char) (2 + i)}, 8);
    }
    close(own);
    close(other);
    server_stop(&s);
    ck_assert_uint_eq(server_counter(&s, "closed_function_died"), 3);
    ck_assert_uint_eq(server_counter(&s, "watch_died"), 3);
}
END_TEST

/* Goal: the log says whose fault it was, and what a client speaks that came to the wrong address. */
START_TEST(the_log_says_what_it_was)
{
    static const struct {
        const char *framing, *bytes, *says;
    } rows[] = {
        {"proto=mad", "0", "framing mad: OK of 1 bytes cannot be: need 0, at 0, len 0"},
        {"proto=mad", "0", "closed: framing_error (mad)"},
        {"proto=mad", "8", "closed: bad_frame (fault 0x0123 of mad)"},
        {"proto=own id=0x7090", "GET / HTTP/1.1\r\n", "closed: bad_frame (looks like HTTP)"},
        {"proto=own id=0x7090", "\x16\3\1\2\1", "closed: bad_frame (looks like TLS)"},
        {"proto=head", "SSH-2.0-x\r\n", "closed: bad_stx (looks like SSH)"},
        {"proto=length size=4 id=0x7090", "GET / HTTP/1.1\r\n", "closed: bad_length (looks like HTTP)"},
    };
    struct server s;
    start(&s, rows[_i].framing, NULL);
    s.log_lines_max = 100;
    int fd = client_open_at(&s.addresses[1]);
    client_send(fd, rows[_i].bytes, strlen(rows[_i].bytes));
    client_expect_fin(fd);
    server_wait_log(&s, rows[_i].says, SOON_MS);
    server_finish(&s);
}
END_TEST

/* ---- The heap ---- */

static uint64_t heap_calls(const struct heap_board *b)
{
    uint64_t sum = 0;
    for (int i = 0; i < HEAP_THREADS; i++)
        sum += atomic_load(&b->thread[i].allocs) + atomic_load(&b->thread[i].reallocs) +
               atomic_load(&b->thread[i].frees);
    return sum;
}

/* n times two packets at once, and then one in pieces that are read one after the other. */
static void ask(int fd, int other, const char *packet, size_t len, int n)
{
    char two[512];
    memcpy(two, packet, len);
    memcpy(two + len, packet, len);
    for (int i = 0; i < n; i++) {
        client_send(fd, two, 2 * len);
        expect(fd, two, 2 * len);
        for (size_t at = 0, step = 1 + (size_t) i % 40; at < len; at += step) {
            client_send(fd, packet + at, len - at < step ? len - at : step);
            client_echo(other, 0);
        }
        expect(fd, packet, len);
    }
}

/* Goal: in the steady state no thread calls malloc, calloc, realloc or free even once, whatever the framing. */
START_TEST(no_framing_allocates)
{
    static const struct {
        const char *framing;
        char first[3];
        size_t first_len;
        char last;
    } rows[] = {
        {"proto=line id=0x7090", "", 0, '\n'},
        {"proto=length size=2 id=0x7090", {0, 100}, 2, 'x'},
        {"proto=own id=0x7090", {'P', 100}, 2, 'x'},
        {"proto=fixed=100 id=0x7090", "", 0, 'x'},
    };
    struct server s;
    char env[PRELOAD_ENV], packet[128], listen[128];
    struct heap_board *b = preload_heap(env);
    const char *const envs[] = {env, NULL}, *const args[] = {"server.workernum=1", NULL};
    size_t len = rows[_i].first_len + 100;
    memset(packet, 'x', sizeof packet);
    memcpy(packet, rows[_i].first, rows[_i].first_len);
    packet[len - 1] = rows[_i].last;
    snprintf(listen, sizeof listen, "127.0.0.1:0, 127.0.0.1:0 %s", rows[_i].framing);
    server_launch(&s,
                  &(struct launch){
                      .program = "testapp", .args = args, .listen = listen, .preload = "heap", .env = envs});
    int fd = client_open_at(&s.addresses[1]), other = client_open(&s);
    ask(fd, other, packet, len, 100);
    uint64_t before = heap_calls(b);
    ask(fd, other, packet, len, 400);
    uint64_t calls = heap_calls(b) - before;
    ck_assert_msg(calls == 0, "%llu calls of the heap", (unsigned long long) calls);
    close(fd);
    close(other);
    server_finish(&s);
}
END_TEST

Suite *framings_suite(void)
{
    Suite *s = suite_create("framings");
    TCase *c = itest_case(s, "framings", 30);
    tcase_add_loop_test(c, the_last_line_waits_for_its_turn, 0, 3);
    tcase_add_loop_test(c, what_is_skipped_counts, 0, 2);
    tcase_add_test(c, what_is_skipped_is_a_first_packet);
    tcase_add_test(c, what_waits_is_not_asked_about_again);
    tcase_add_test(c, a_framing_ends_its_thread);
    tcase_add_loop_test(c, the_log_says_what_it_was, 0, 7);
    if (ITEST_SLOW > 1)
        TEST_SKIP_PART("no_framing_allocates: a sanitizer has a heap of its own");
    else
        tcase_add_loop_test(c, no_framing_allocates, 0, 4);
    return s;
}
