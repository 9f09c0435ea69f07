/*
 * test_alloc.c: the heap: none of it in the steady state, and what happens when there is none. The library
 * heap.c counts and fails in the server; sanitizers have a heap of their own, so with them this suite is
 * empty.
 */
#include <errno.h>
#include <inttypes.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/socket.h>
#include <unistd.h>

#include "harness.h"
#include "lines.h"
#include "preloads.h"
#include "protocol/mario_protocol.h"
#include "test/apps/testapp/commands.h"
#include "test/lib/websocket.h"
#include "test_ledger.h"

/* The program with heap.so and these options. */
static struct heap_board *start_program(struct server *s, const char *program, const char *const *args)
{
    char env[PRELOAD_ENV];
    struct heap_board *b = preload_heap(env);
    const char *const envs[] = {env, NULL};
    server_launch(s, &(struct launch){.program = program, .args = args, .preload = "heap", .env = envs});
    ck_assert_msg(atomic_load(&b->threads) >= 1, "nothing is counted");
    return b;
}

static struct heap_board *start_counted(struct server *s, const char *const *args)
{
    return start_program(s, "maritcp", args);
}

static struct ledger *connect_many(const struct server *s, uint32_t n, uint32_t data_len)
{
    struct ledger *l = ledger_create(&s->target, n, data_len);
    ck_assert_msg(l != NULL && ledger_connect(l, 5000), "%u clients cannot connect", n);
    return l;
}

/* ---- The steady state ---- */

/* Calls of the heap by all threads so far. */
static uint64_t heap_calls(const struct heap_board *b, char *text, size_t size)
{
    uint64_t sum = 0;
    size_t used = 0;
    for (int i = 0; i < HEAP_THREADS; i++) {
        const struct heap_thread *t = &b->thread[i];
        uint64_t allocs = atomic_load(&t->allocs), reallocs = atomic_load(&t->reallocs),
                 frees = atomic_load(&t->frees);
        sum += allocs + reallocs + frees;
        if (atomic_load(&t->tid) != 0 && used < size)
            used += (size_t) snprintf(
                text + used, size - used, " thread %d: %llu alloc, %llu realloc, %llu free;", i,
                (unsigned long long) allocs, (unsigned long long) reallocs, (unsigned long long) frees);
    }
    return sum;
}

static void ask(struct ledger *l, uint32_t each, uint32_t depth)
{
    ledger_ask(l, each, depth);
    ck_assert_msg(ledger_run(l, 20000), "%llu asked, %llu answered", (unsigned long long) l->sent,
                  (unsigned long long) l->answered);
}

/* n packets of `len` bytes, each in three pieces that the server reads one after the other: an ECHO on
 * another connection of the only worker is answered between them. */
static void ask_in_pieces(int fd, int other, uint32_t n, uint32_t len)
{
    static unsigned char packet[65536], answer[65536];
    struct exchange x = exchange_echo(ITEST_STX, len - WIRE_HEAD_LEN);
    for (uint32_t i = 0; i < n; i++) {
        enum fault fault;
        size_t cut[] = {0, 1 + i * 31 % (len / 2), len / 2 + 1 + i * 17 % (len / 2 - 1), len};
        exchange_build(&x, 1, i, packet);
        for (int k = 0; k < 3; k++) {
            client_send(fd, packet + cut[k], cut[k + 1] - cut[k]);
            if (k < 2)
                client_echo(other, 8);
        }
        client_recv(fd, answer, len);
        ITEST_ASSERT(exchange_judge(&x, 1, i, answer, len, &fault) == (int) len, "a wrong answer");
    }
}

/* What the steady state consists of; `times` as often as for warming up. */
static void live(const struct server *s, struct ledger *login, struct ledger *small, struct ledger *big,
                 int a, int b, uint32_t times)
{
    (void) s;
    ask(login, 250 * times, 1);
    ask(small, 250 * times, 1);
    ask(small, 500 * times, 16);
    ask(big, 100 * times, 4);
    ask_in_pieces(a, b, 100 * times, 20);
    ask_in_pieces(a, b, 100 * times, 5000);
}

/* Goal: over 100,000 requests of all kinds, no thread of the server calls malloc, calloc, realloc or free
 * even once. */
START_TEST(the_steady_state_allocates_nothing)
{
    static const char *const args[] = {"server.workernum=1", NULL};
    struct server s;
    char text[1024], before[1024];
    struct heap_board *b = start_counted(&s, args);
    struct ledger *login = connect_many(&s, 10, 0), *small = connect_many(&s, 10, 50),
                  *big = connect_many(&s, 10, 7000);
    login->exchange = exchange_login(ITEST_STX, 1);
    int one = client_open(&s), other = client_open(&s);
    live(&s, login, small, big, one, other, 1);
    uint64_t calls = heap_calls(b, before, sizeof before);
    uint64_t answered = login->answered + small->answered + big->answered;
    live(&s, login, small, big, one, other, 10);
    uint64_t more = heap_calls(b, text, sizeof text) - calls;
    answered = login->answered + small->answered + big->answered - answered;
    ck_assert_msg(answered >= 100000, "only %llu requests", (unsigned long long) answered);
    ck_assert_msg(more == 0, "%llu calls of the heap; before:%s after:%s", (unsigned long long) more, before,
                  text);
    ledger_destroy(&login);
    ledger_destroy(&small);
    ledger_destroy(&big);
    close(one);
    close(other);
    server_finish(&s);
}
END_TEST

/* Goal: the same for offloaded functions with short answers, on the worker and on the threads of the pool. How many
 * packets are out at a time is chance, and each has a block: so a new maximum may still cost one, 96,000 requests
 * not. */
START_TEST(offloaded_functions_allocate_nothing)
{
    static const char *const args[] = {"server.workernum=1", "test.offload=on", "offload.threads=3", NULL};
    struct server s;
    char text[1024], before[1024];
    struct heap_board *b = start_program(&s, "testapp", args);
    struct ledger *l[] = {connect_many(&s, 10, 4), connect_many(&s, 10, 1000), connect_many(&s, 10, 4)};
    uint64_t calls = 0;
    l[0]->exchange.akg_id = TEST_ECHO + TEST_OFFLOADED;
    l[1]->exchange.akg_id = TEST_ECHO + TEST_OFFLOADED;
    l[2]->exchange.akg_id = TEST_ECHO + TEST_CONCURRENT;
    for (uint32_t round = 0; round < 5; round++) {
        for (int i = 0; i < 3; i++) {
            ask(l[i], 400, 1);
            ask(l[i], 400, i == 2 ? 1 : 8);
        }
        if (round == 0)
            calls = heap_calls(b, before, sizeof before);
    }
    uint64_t more = heap_calls(b, text, sizeof text) - calls;
    ck_assert_msg(more <= 20, "%llu calls of the heap; before:%s after:%s", (unsigned long long) more, before,
                  text);
    for (int i = 0; i < 3; i++)
        ledger_destroy(&l[i]);
    server_finish(&s);
}
END_TEST

/* Goal: the same for packets of the largest size there is, whole and in pieces. */
START_TEST(the_largest_packets_allocate_nothing)
{
    static const char *const args[] = {"server.workernum=1", "server.max_pkglen=65535", NULL};
    static const uint32_t lens[] = {20000, 40000, 60000, 65535};
    struct server s;
    char text[1024];
    struct heap_board *b = start_counted(&s, args);
    int one = client_open(&s), other = client_open(&s);
    for (size_t i = 0; i < sizeof lens / sizeof lens[0]; i++) {
        for (int k = 0; k < 20; k++)
            client_echo(other, lens[i] - WIRE_HEAD_LEN);
        ask_in_pieces(one, other, 20, lens[i]);
        uint64_t calls = heap_calls(b, text, sizeof text);
        for (int k = 0; k < 200; k++)
            client_echo(other, lens[i] - WIRE_HEAD_LEN);
        uint64_t whole = heap_calls(b, text, sizeof text) - calls;
        ask_in_pieces(one, other, 200, lens[i]);
        uint64_t pieces = heap_calls(b, text, sizeof text) - calls - whole;
        /* What the kernel does not take at once waits in a backlog, which may need a block more than was ever
         * needed. */
        ck_assert_msg(whole + pieces <= 20,
                      "packets of %u bytes: %llu calls of the heap for 200 whole ones, %llu for 200 in "
                      "pieces",
                      lens[i], (unsigned long long) whole, (unsigned long long) pieces);
    }
    close(one);
    close(other);
    server_finish(&s);
}
END_TEST

/* Rounds of messages: sixteen at once, then a large one in two frames with a ping between, which comes in three
 * pieces. */
static void talk(int ws, int other, uint32_t rounds)
{
    enum { ONCE = 16, DATA = 64, LARGE = 6000 };
    static const unsigned char mask[4] = {1, 2, 3, 4};
    static unsigned char packet[8192], many[ONCE * 128], large[8192], answer[ONCE * 128 + 8192];
    size_t n = 0, size = client_packet(packet, CMD_FUNCTION_ECHO, many, DATA);
    for (int i = 0; i < ONCE; i++)
        n += websocket_frame(many + n, WEBSOCKET_BINARY, packet, size, mask);
    size_t back = ONCE * (2 + size), all = client_packet(packet, CMD_FUNCTION_ECHO, large, LARGE);
    size_t len = websocket_frame(large, WEBSOCKET_BINARY & 0x0f, packet, 1000, mask);
    len += websocket_frame(large + len, WEBSOCKET_PING, "p", 1, mask);
    len += websocket_frame(large + len, WEBSOCKET_MORE, packet + 1000, all - 1000, mask);
    for (uint32_t i = 0; i < rounds; i++) {
        client_send(ws, many, n);
        client_recv(ws, answer, back);
        for (size_t at = 0, part; at < len; at += part) {
            part = len - at < 2500 ? len - at : 2500;
            client_send(ws, large + at, part);
            client_echo(other, 8);
        }
        client_recv(ws, answer, 3 + 4 + all);
        ITEST_ASSERT(memcmp(answer, "\x8a\x01p\x82\x7e", 5) == 0, "another answer");
    }
}

/* Goal: the same for browsers' connections. */
START_TEST(websockets_allocate_nothing)
{
    static const char *const args[] = {"server.workernum=1", NULL};
    char env[PRELOAD_ENV], text[1024], accepted[256];
    struct server s;
    struct heap_board *b = preload_heap(env);
    server_launch(&s, &(struct launch){.program = "maritcp",
                                       .listen = "127.0.0.1:0,127.0.0.1:0 proto=ws",
                                       .args = args,
                                       .preload = "heap",
                                       .env = (const char *const[]){env, NULL}});
    int other = client_open(&s), ws = client_open_at(&s.addresses[1]);
    client_send(ws, websocket_request, strlen(websocket_request));
    client_send(ws, "\r\n", 2);
    client_recv(ws, accepted, strlen(websocket_accepted));
    talk(ws, other, 50);
    uint64_t calls = heap_calls(b, text, sizeof text);
    talk(ws, other, 500);
    uint64_t more = heap_calls(b, text, sizeof text) - calls;
    ck_assert_msg(more == 0, "%llu calls of the heap:%s", (unsigned long long) more, text);
    close(ws);
    close(other);
    server_finish(&s);
}
END_TEST

/* Goal: churn: connections come and go; after as many as ever were at once, a connection costs the heap
 * nothing either. */
START_TEST(churn_allocates_nothing)
{
    static const char *const args[] = {"server.workernum=1", NULL};
    struct server s;
    char text[1024];
    uint64_t calls = 0;
    struct heap_board *b = start_counted(&s, args);
    for (int round = 0; round < 12; round++) {
        if (round == 2)
            calls = heap_calls(b, text, sizeof text);
        struct ledger *l = connect_many(&s, 200, 50);
        ask(l, 2, 1);
        ledger_destroy(&l);
        server_wait_fds(&s, s.fds, 5000);
    }
    uint64_t more = heap_calls(b, text, sizeof text) - calls;
    /* libevent makes room for as many events as were ever ready at once: a handful of calls, not one a
     * connection. */
    ck_assert_msg(more <= 10, "%llu calls of the heap for 2,000 connections:%s", (unsigned long long) more,
                  text);
    server_finish(&s);
}
END_TEST

/* ---- No memory at the start ---- */

/* Start maritcp with TERM waiting for it, so that it stops as soon as it has started. Its exit code, and what
 * it said in err. */
static int start_and_stop(const char *env, char *err, size_t size)
{
    static const char *const args[] = {"server.workernum=2", NULL};
    const char *const envs[] = {env, NULL};
    return itest_run(
        &(struct launch){
            .program = "maritcp", .args = args, .preload = "heap", .env = envs, .stop_waits = true},
        NULL, 0, err, size);
}

/* Goal: each allocation of the start fails, alone or with all behind it: one line and exit 1 or 2, or, if it
 * can be done without, a start; never a crash, a hang, or silence. */
START_TEST(each_allocation_of_the_start_fails)
{
    char env[PRELOAD_ENV], err[4096];
    struct heap_board *b = preload_heap(env);
    ck_assert_msg(start_and_stop(env, err, sizeof err) == 0, "a plain start fails: %s", err);
    uint32_t all = atomic_load(&b->calls), refused = 0;
    ck_assert_msg(all > 20, "only %u allocations", all);
    for (uint32_t n = 1; n <= all; n += all > 300 ? all / 300 : 1) {
        b = preload_heap(env);
        heap_set(b, n, _i == 0 ? 1 : HEAP_FOR_EVER);
        int code = start_and_stop(env, err, sizeof err);
        ck_assert_msg(code == 0 || code == 1 || code == 2, "allocation %u of %u: exit code %d, with '%s'", n,
                      all, code, err);
        ck_assert_msg(code == 0 || lines_in(err) == 1,
                      "allocation %u of %u: exit code %d, not one line but '%s'", n, all, code, err);
        refused += code != 0;
    }
    ck_assert_msg(refused > 10, "only %u of %u failures were noticed", refused, all);
}
END_TEST

/* ---- No memory later ---- */

/* Goal: from some moment on every allocation fails: those who are connected are served from what is there;
 * new ones are served or closed; when there is memory again all is well. */
START_TEST(no_memory_for_ever)
{
    static const char *const args[] = {"server.workernum=2", NULL};
    struct server s;
    struct heap_board *b = start_counted(&s, args);
    s.log_lines_max = 20;
    struct ledger *in = connect_many(&s, 50, 50);
    ask(in, 100, 8);
    heap_set(b, 1, HEAP_FOR_EVER);
    ask(in, 500, 8);
    ck_assert_uint_eq(in->ends[END_OPEN], 50);
    struct ledger *more = ledger_create(&s.target, 100, 7000);
    ck_assert(more != NULL && ledger_connect(more, 5000));
    ledger_ask(more, 5, 4);
    ck_assert_msg(ledger_run(more, 5000), "a new connection is neither answered nor closed");
    ck_assert_uint_eq(more->ends[END_WRONG], 0);
    ledger_destroy(&more);
    ask(in, 100, 8);
    ck_assert_uint_eq(in->ends[END_OPEN], 50);
    ck_assert_msg(atomic_load(&b->failed) > 0, "no allocation was made to fail");
    heap_set(b, 0, 0);
    more = connect_many(&s, 100, 7000);
    ask(more, 5, 4);
    ck_assert_uint_eq(more->ends[END_OPEN], 100);
    ledger_destroy(&more);
    ledger_destroy(&in);
    server_finish(&s);
}
END_TEST

/* One connection that makes the server allocate: 300 big packets, in pieces, and no reading until all are
 * sent or no more are taken. It may be closed at any byte, but each byte that comes is the right one. */
static void visit(const struct server *s)
{
    enum { LEN = 8000, COUNT = 300 };
    static unsigned char all[COUNT * LEN], got[COUNT * LEN];
    struct exchange x = exchange_echo(ITEST_STX, LEN - WIRE_HEAD_LEN);
    size_t sent = 0, n = 0;
    for (uint32_t i = 0; i < COUNT; i++)
        exchange_build(&x, 1, i, all + i * LEN);
    int fd = client_open(s);
    uint64_t end = itest_deadline(5000);
    for (bool open = true; open && n < sizeof all;) {
        ITEST_ASSERT(mono_ns() < end, "neither answered nor closed: %zu sent, %zu answered", sent, n);
        size_t piece = sizeof all - sent < 12345 ? sizeof all - sent : 12345;
        ssize_t k = piece > 0 ? send(fd, all + sent, piece, MSG_NOSIGNAL | MSG_DONTWAIT) : 0;
        sent += k > 0 ? (size_t) k : 0;
        if (k > 0)
            continue;
        ssize_t r = recv(fd, got + n, sizeof got - n, MSG_DONTWAIT);
        open = r > 0 || (r < 0 && errno == EAGAIN);
        n += r > 0 ? (size_t) r : 0;
    }
    close(fd);
    ck_assert_msg(memcmp(all, got, n) == 0, "a wrong byte among %zu", n);
}

/* Goal: a single allocation fails, the first of a connection, the second ...: that connection may close;
 * nobody else notices. */
START_TEST(one_allocation_fails)
{
    static const char *const args[] = {"server.workernum=1", "output.max=64m", "output.high=32m", NULL};
    struct server s;
    struct heap_board *b = start_counted(&s, args);
    s.log_lines_max = 20;
    struct bystanders *by = bystanders_start(&s.target, 5, 100, 2);
    uint32_t hit = 0;
    for (uint32_t n = 0; n < 60; n++) {
        uint32_t failed = atomic_load(&b->failed);
        heap_set(b, atomic_load(&b->calls) + 1 + n, 1);
        visit(&s);
        hit += atomic_load(&b->failed) - failed;
    }
    heap_set(b, 0, 0);
    bystanders_finish(&by);
    ck_assert_msg(hit > 0, "no allocation was made to fail");
    server_finish(&s);
}
END_TEST

/* ---- Giving it back ---- */

struct fat {
    const struct server *server;
    uint64_t kb;
};

static bool is_above(void *arg)
{
    const struct fat *f = arg;
    return server_rss_kb(f->server) > f->kb;
}

static bool is_below(void *arg)
{
    return !is_above(arg);
}

/* Goal: what unfinished packets took is the machine's again soon after they have left, in no order; twice over. */
START_TEST(a_burst_gives_its_memory_back)
{
    enum { COUNT = 1500, PART = 58000, WHOLE = 60000 };
    static int fds[COUNT];
    unsigned char *packet = calloc(1, WHOLE);
    struct server s;
    ck_assert(packet != NULL && net_raise_nofile(COUNT + 200) >= COUNT + 200);
    wire_put_head(packet, (struct wire_head){ITEST_STX, WHOLE, CMD_FUNCTION_ECHO});
    server_start(&s, "maritcp", "server.max_pkglen=65535", "server.packet_timeout=0", "server.connnum=2000",
                 NULL);
    uint64_t before = server_rss_kb(&s);
    for (int round = 0; round < 2; round++) {
        struct fat full = {&s, before + COUNT * (PART / 1024) * 3 / 4}, lean = {&s, before + 20 * 1024};
        for (int i = 0; i < COUNT; i++) {
            fds[i] = client_open(&s);
            client_send(fds[i], packet, PART);
        }
        ck_assert_msg(itest_wait(is_above, &full, 5000), "only %" PRIu64 " KB", server_rss_kb(&s));
        for (int i = 0; i < COUNT; i++)
            close(fds[(i * 7) % COUNT]); /* each once: 7 divides no power of 2, 3 or 5 */
        ck_assert_msg(itest_wait(is_below, &lean, 8000), "%" PRIu64 " KB before, %" PRIu64 " KB now", before,
                      server_rss_kb(&s));
    }
    free(packet);
    server_finish(&s);
}
END_TEST

/* Goal: a function does not look whether what it writes could be kept, and there is no memory for it: nothing of that
 * answer is sent, and the connection ends with no_memory, so that its client knows. Inline and offloaded. */
START_TEST(an_answer_without_memory)
{
    static const char *const args[] = {"server.workernum=1", "test.offload=on", "offload.threads=1", NULL};
    struct server s;
    size_t extra;
    struct heap_board *b = start_program(&s, "testapp", args);
    int fd = client_open(&s);
    client_echo(fd, 100);
    heap_set(b, 1, HEAP_FOR_EVER);
    client_send_packet(fd, _i == 0 ? TEST_MEGABYTE : TEST_MEGABYTE + TEST_OFFLOADED, NULL, 0);
    ck_assert_int_ne(client_ending(fd, &extra, 5000), END_TIMEOUT);
    heap_set(b, 0, 0);
    ck_assert_uint_eq(extra, 0);
    close(fd);
    server_finish(&s);
    ck_assert_uint_eq(server_counter(&s, "closed_no_memory"), 1);
}
END_TEST

Suite *alloc_suite(void)
{
    Suite *s = suite_create("alloc");
    if (ITEST_SLOW > 1) {
        TEST_SKIP_PART("all of it: a sanitizer has a heap of its own");
        return s;
    }
    TCase *c = itest_case(s, "steady", 30);
    tcase_add_test(c, the_steady_state_allocates_nothing);
    tcase_add_test(c, offloaded_functions_allocate_nothing);
    tcase_add_test(c, the_largest_packets_allocate_nothing);
    tcase_add_test(c, websockets_allocate_nothing);
    tcase_add_test(c, churn_allocates_nothing);
    tcase_add_test(c, a_burst_gives_its_memory_back);
    c = itest_case(s, "start", 30);
    tcase_add_loop_test(c, each_allocation_of_the_start_fails, 0, 2);
    c = itest_case(s, "later", 30);
    tcase_add_test(c, no_memory_for_ever);
    tcase_add_test(c, one_allocation_fails);
    tcase_add_loop_test(c, an_answer_without_memory, 0, 2);
    return s;
}
