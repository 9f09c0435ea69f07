/*
 * test_cleanup.c: user code that libevent calls for what a function wrote: cleanups of memory that was added by
 * reference. They run on the thread that ran the function, right behind it, and may do what a function may. And
 * functions that write where nobody reads, or that treat socket and loop badly: others are unharmed.
 */
#include <netinet/in.h>
#include <signal.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/socket.h>
#include <unistd.h>

#include "harness.h"
#include "offloaded.h"
#include "test_ledger.h"

static void ask_reference(int fd, uint16_t akg, struct test_reference ask)
{
    client_send_packet(fd, akg, &ask, sizeof ask);
}

/* Its whole answer. */
static void expect_references(int fd, uint16_t akg, struct test_reference ask)
{
    static unsigned char data[65536];
    for (uint32_t i = 0; i < ask.packets; i++) {
        ck_assert_uint_eq(client_recv_packet(fd, akg, data, sizeof data), ask.len);
        for (uint32_t k = 0; k < ask.len; k++)
            ITEST_ASSERT(data[k] == 'r', "a byte %02x in an answer", data[k]);
    }
}

/* Inline, offloaded, concurrent. */
static const uint16_t ways[] = {0, TEST_OFFLOADED, TEST_CONCURRENT};
enum { WAYS = sizeof ways / sizeof ways[0] };

/* Short, longer than what a job holds itself, more than the kernel takes at once. */
static const struct test_reference answers[] = {
    {.packets = 1, .len = 12}, {.packets = 3, .len = 700}, {.packets = 100, .len = 50000}};
enum { ANSWERS = sizeof answers / sizeof answers[0] };

/* Goal: each cleanup runs once, on its function's thread, before the connection's next packet is looked at. */
START_TEST(run_behind_their_function)
{
    struct server s;
    uint64_t sum = 0;
    START(&s, "server.workernum=1", "output.high=16m", "output.max=16m");
    int fd = client_open(&s);
    for (int i = 0; i < WAYS * ANSWERS; i++) {
        struct test_reference ask = answers[i / WAYS];
        uint16_t akg = (uint16_t) (TEST_REFERENCE + ways[i % WAYS]);
        ask_reference(fd, akg, ask);
        expect_references(fd, akg, ask);
        sum += ask.packets;
        ck_assert_uint_eq(counter_on(fd, "cleanups"), sum);
    }
    close(fd);
    server_finish(&s);
    expect_sound(&s);
    ck_assert_uint_eq(server_counter(&s, "writes_outside"), 0);
}
END_TEST

/* Goal: "close when it is sent": all that was written comes, then the end. */
START_TEST(they_close)
{
    struct server s;
    START(&s, "server.workernum=1", "output.high=16m", "output.max=16m");
    for (int i = 0; i < WAYS * ANSWERS; i++) {
        struct test_reference ask = answers[i / WAYS];
        uint16_t akg = (uint16_t) (TEST_REFERENCE + ways[i % WAYS]);
        int fd = client_open(&s);
        ask.cleanup = CLEANUP_CLOSES;
        ask_reference(fd, akg, ask);
        expect_references(fd, akg, ask);
        client_expect_fin(fd);
    }
    server_finish(&s);
    expect_sound(&s);
    ck_assert_uint_eq(server_counter(&s, "closed_function_closed"), WAYS * ANSWERS);
    ck_assert_uint_eq(server_counter(&s, "hook_end_closed"), WAYS * ANSWERS);
}
END_TEST

/* A connection to a server with a single place, as soon as it is free; its first answer must be its own. */
static int open_the_only_one(const struct server *s)
{
    unsigned char packet[64], got[64];
    size_t n = client_packet(packet, TEST_ECHO, "mine", 4);
    for (uint64_t end = itest_deadline(5000);;) {
        int fd = client_open_narrow(s);
        (void) !net_send(fd, packet, n);
        ptrdiff_t k = net_recv_wait(fd, got, n, end);
        ITEST_ASSERT(k != (ptrdiff_t) n || memcmp(got, packet, n) == 0, "somebody else's bytes");
        if (k == (ptrdiff_t) n)
            return fd;
        ITEST_ASSERT(k <= 0 && mono_ns() < end, "the place is not given back");
        close(fd);
    }
}

/* Goal: the same for a client that reads little of it and goes: the next one on its place gets its own answer alone. */
START_TEST(close_and_leave_nothing_behind)
{
    struct server s;
    char sink[4096];
    START(&s, "server.workernum=1", "server.connnum=1", "output.high=16m", "output.max=16m");
    for (int i = 0; i < 2 * WAYS; i++) {
        struct test_reference ask = {.packets = 60, .len = 60000, .cleanup = CLEANUP_CLOSES};
        int fd = open_the_only_one(&s);
        ask_reference(fd, (uint16_t) (TEST_REFERENCE + ways[i % WAYS]), ask);
        ck_assert_int_gt(net_recv_wait(fd, sink, 1000, itest_deadline(5000)), 0);
        if (i < WAYS)
            close(fd);
        else
            client_reset(fd);
        size_t extra;
        int next = open_the_only_one(&s);
        shutdown(next, SHUT_WR);
        ck_assert_int_eq(client_ending(next, &extra, 5000), END_FIN);
        ck_assert_uint_eq(extra, 0);
        close(next);
    }
    server_finish(&s);
    expect_sound(&s);
}
END_TEST

/* Goal: what a cleanup writes is nobody's answer: dropped, counted, said, and refused where it kept a pointer; the next
 * function's answer is as ever. */
START_TEST(they_write)
{
    struct server s;
    START(&s, "server.workernum=1");
    int fd = client_open(&s);
    for (int i = 0; i < WAYS; i++) {
        struct test_reference ask = {.packets = 3, .len = 100, .cleanup = CLEANUP_WRITES};
        uint16_t akg = (uint16_t) (TEST_REFERENCE + ways[i]);
        ask_reference(fd, akg, ask);
        expect_references(fd, akg, ask);
        client_echo(fd, 10);
        ck_assert_uint_ge(counter_on(fd, "writes_outside"), (uint64_t) (i + 1) * 3);
    }
    server_wait_log(&s, "outside that one's own functions", 5000);
    close(fd);
    server_finish(&s);
    expect_sound(&s);
}
END_TEST

/* Goal: a cleanup that blocks is watched and replaced as a function is; back again it harms nobody. */
START_TEST(stick_and_are_replaced)
{
    struct server s;
    struct test_reference ask = {.packets = 2, .len = 10, .cleanup = CLEANUP_STICKS};
    watch_start(&s, NULL, NULL);
    int other = open_at_worker(&s, 1), fd = open_at_worker(&s, 0), neighbour = open_at_worker(&s, 0);
    ask_reference(fd, TEST_REFERENCE, ask);
    expect_references(fd, TEST_REFERENCE, ask);
    wait_counter(other, "alarm_replaced", 1);
    client_echo(neighbour, 100);
    unstick(other);
    wait_counter(other, "cleanups", 2); /* the second one sticks as well */
    unstick(other);
    wait_counter(other, "watch_buried", 1);
    client_expect_fin(fd);
    client_echo(neighbour, 100);
    close(neighbour);
    close(other);
    server_finish(&s);
    expect_sound(&s);
    ck_assert_uint_eq(server_counter(&s, "closed_function_stuck"), 1);
}
END_TEST

/* Goal: what a function had written before it was replaced is given back by its own thread, when it comes back. */
START_TEST(of_a_replaced_function)
{
    struct server s;
    struct test_reference ask = {.packets = 5, .len = 100, .cleanup = CLEANUP_WRITES, .then_sticks = 1};
    watch_start(&s, NULL, NULL);
    int other = open_at_worker(&s, 1), fd = open_at_worker(&s, 0), neighbour = open_at_worker(&s, 0);
    ask_reference(fd, TEST_REFERENCE, ask);
    wait_counter(other, "alarm_replaced", 1);
    ck_assert_uint_eq(counter_on(other, "cleanups"), 0);
    unstick(other);
    wait_counter(other, "watch_buried", 1);
    ck_assert_uint_eq(counter_on(other, "cleanups"), 5);
    client_expect_fin(fd);
    client_echo(neighbour, 100);
    close(neighbour);
    close(other);
    server_finish(&s);
    expect_sound(&s);
}
END_TEST

/* Goal: a cleanup that ends its thread: that connection ends, the thread is replaced, the others are served. What
 * libevent was about to free is lost then: AddressSanitizer is not to say so. */
START_TEST(end_their_thread)
{
    static const char *const args[] = {"test.offload=on", "server.workernum=1", "offload.threads=1", NULL};
    static const char *const env[] = {"ASAN_OPTIONS=detect_leaks=0", NULL};
    struct server s;
    server_launch(&s, &(struct launch){.program = "testapp", .args = args, .env = env});
    int neighbour = client_open(&s);
    for (int i = 0; i < WAYS; i++) {
        struct test_reference ask = {.packets = 3, .len = 2000, .cleanup = CLEANUP_ENDS_THREAD};
        int fd = client_open(&s);
        client_echo(fd, 10);
        ask_reference(fd, (uint16_t) (TEST_REFERENCE + ways[i]), ask);
        size_t extra;
        ck_assert_int_eq(client_ending(fd, &extra, 5000), END_FIN);
        ck_assert_uint_eq(extra, ways[i] == 0 ? 3 * 2008 : 0); /* who is offloaded has not been sent yet */
        close(fd);
        client_echo(neighbour, 100);
        ask_reference(neighbour, AWAY(TEST_REFERENCE), answers[1]);
        expect_references(neighbour, AWAY(TEST_REFERENCE), answers[1]);
    }
    close(neighbour);
    server_finish(&s);
    expect_sound(&s);
    ck_assert_uint_eq(server_counter(&s, "closed_function_died"), WAYS);
    ck_assert_uint_eq(server_counter(&s, "watch_died"), 1);
    ck_assert_uint_eq(server_counter(&s, "offload_died"), 2);
}
END_TEST

/* ---- Writing where nobody reads ---- */

/* Goal: writing to another connection's bufev reaches nobody and costs nothing; it is counted and said. What is brought
 * along is given back at once: here that closes. */
START_TEST(to_another_connection)
{
    struct server s;
    server_start(&s, "testapp", "server.workernum=1", NULL);
    int victim = client_open(&s);
    client_echo(victim, 10);
    for (int i = 0; i < 20; i++) {
        struct sockaddr_in a;
        socklen_t len = sizeof a;
        ck_assert_int_eq(getsockname(victim, (struct sockaddr *) &a, &len), 0);
        uint32_t port = ntohs(a.sin_port);
        int by = client_open(&s);
        client_send_packet(by, TEST_WRITE_OTHER, &port, sizeof port);
        client_expect_fin(by); /* the cleanup came first: what was written behind it is dropped */
        client_echo(victim, 10);
    }
    server_wait_log(&s, "outside that one's own functions", 5000);
    close(victim);
    server_finish(&s);
    expect_sound(&s);
    ck_assert_uint_eq(server_counter(&s, "writes_outside"), 20 * 1001);
    ck_assert_uint_eq(server_counter(&s, "cleanups"), 20);
}
END_TEST

/* Goal: who keeps the bufev that a function had, and writes to it when that has returned, writes to nobody either:
 * not to the client whose function is the next one. */
START_TEST(to_what_a_function_had)
{
    struct server s;
    server_start(&s, "testapp", "server.workernum=1", NULL);
    int keeper = client_open(&s), next = client_open(&s);
    for (int i = 0; i < 20; i++) {
        client_ask(keeper, TEST_KEEP_BUFEV, NULL, 0, NULL, 0);
        itest_sleep(3); /* so that it has written: nothing tells us */
        client_echo(next, 10);
        client_echo(keeper, 10);
    }
    close(keeper);
    close(next);
    server_finish(&s);
    expect_sound(&s);
    ck_assert_uint_ge(server_counter(&s, "writes_outside"), 1);
}
END_TEST

/* Goal: the same in an end hook. */
START_TEST(in_an_end_hook)
{
    struct server s;
    server_start(&s, "testapp", "server.workernum=1", "test.end=write", NULL);
    int neighbour = client_open(&s);
    for (int i = 0; i < 50; i++) {
        int fd = client_open(&s);
        client_echo(fd, 10);
        client_send_packet(fd, TEST_CLOSE_ERR, NULL, 0);
        client_expect_fin(fd);
        client_echo(neighbour, 10);
    }
    close(neighbour);
    server_finish(&s);
    expect_sound(&s);
    ck_assert_uint_eq(server_counter(&s, "writes_outside"), server_counter(&s, "closed"));
}
END_TEST

/* ---- Socket and loop ---- */

/* Goal: a function makes its socket a blocking one: neither reading nor sending ever waits for it. */
START_TEST(a_blocking_socket)
{
    struct server s;
    uint32_t much = 4 * 1024 * 1024;
    server_start(&s, "testapp", "server.workernum=1", "watch.replace_ms=0", "output.max=16m",
                 "output.high=16m", NULL);
    int fd = client_open_narrow(&s), neighbour = client_open(&s);
    ck_assert_uint_eq(client_ask(fd, TEST_MAY_WAIT, NULL, 0, NULL, 0), 0);
    client_send_packet(fd, TEST_REPLY, &much, sizeof much); /* more than the kernel takes */
    server_wait_counter(&s, "functions", 2, 5000);
    client_echo(neighbour, 100);
    close(fd);
    close(neighbour);
    server_finish(&s);
    expect_sound(&s);
}
END_TEST

/* Goal: an event of the application's that is always ready runs on its worker alone, and no stop waits for it. */
START_TEST(an_event_that_is_always_ready)
{
    struct server s;
    server_start(&s, "testapp", "server.workernum=2", NULL);
    for (int i = 0; i < 4; i++) {
        int fd = client_open(&s);
        ck_assert_uint_eq(client_ask(fd, TEST_OWN_EVENT, NULL, 0, NULL, 0), 0);
        client_echo(fd, 100);
        close(fd);
    }
    server_stop(&s);
    expect_sound(&s);
}
END_TEST

/* Goal: an event of the application's that does not return is said, with where it is; its worker gets nobody new
 * meanwhile, and serves those it has when it is back. */
START_TEST(an_event_that_does_not_return)
{
    struct server s;
    uint32_t ms = 3000 * ITEST_SLOW, got;
    server_start(&s, "testapp", "server.workernum=2", NULL);
    int fd = client_open(&s);
    ck_assert_uint_eq(client_ask(fd, TEST_OWN_TIMER, &ms, sizeof ms, &got, sizeof got), sizeof got);
    server_wait_log(&s, "has not come round for ", 3000);
    for (int i = 0; i < 4; i++) {
        int other = client_open(&s);
        client_echo(other, 10);
        close(other);
    }
    ck_assert_uint_eq(server_log_count(&s, "comes round again"), 0); /* all four were served meanwhile */
    server_wait_log(&s, "comes round again", 6000);
    client_echo(fd, 10);
    close(fd);
    server_finish(&s);
    ck_assert_uint_eq(server_counter(&s, "watch_silent"), 1);
    expect_sound(&s);
}
END_TEST

/* Goal: a function waits for a signal on its worker's loop, for which libevent has one loop in the process: the master
 * hears its own signals all the same. */
START_TEST(a_signal_of_its_own)
{
    struct server s;
    server_start(&s, "testapp", "server.workernum=2", NULL);
    int fd = client_open(&s);
    ck_assert_uint_eq(client_ask(fd, TEST_OWN_SIGNAL, NULL, 0, NULL, 0), 0);
    server_signal(&s, SIGUSR1);
    server_wait_log(&s, " signal 10: what the server does follows", 3000);
    server_signal(&s, SIGUSR2);
    client_echo(fd, 100);
    close(fd);
    server_stop(&s);
}
END_TEST

/* ---- Descriptors ---- */

/* Goal: functions and end hooks close the descriptors of their connections, as old programs may. Their clients see
 * the end, newcomers get the numbers at once, on the same worker and on others: none of them is closed in their
 * stead, or starves, or gets another's bytes. Two threads use the same number, which is the matter here:
 * ThreadSanitizer is not to say so. */
START_TEST(descriptors_of_others_stay_open)
{
    enum { ROUNDS = 60, STAY = 10 };
    static const char *const args[] = {"server.workernum=2", "server.timeout=2", NULL};
    static const char *const env[] = {"TSAN_OPTIONS=report_bugs=0", NULL};
    struct server s;
    int fds[STAY] = {0};
    size_t extra;
    server_launch(&s, &(struct launch){.program = "testapp", .args = args, .env = env});
    for (uint32_t i = 0; i < ROUNDS; i++) {
        int fd = client_open(&s);
        client_echo(fd, 10);
        send_number(fd, TEST_CLOSE_FD, i % 3); /* only, and writes, at the end */
        ck_assert_int_eq(client_ending(fd, &extra, 5000), END_FIN);
        ck_assert_uint_eq(extra, 0);
        close(fd);
        if (fds[i % STAY] > 0)
            close(fds[i % STAY]);
        fds[i % STAY] = client_open(&s);
        for (int k = 0; k < STAY; k++) {
            if (fds[k] > 0)
                client_echo(fds[k], 100);
        }
    }
    server_wait_counter(&s, "fd_lost", ROUNDS, 6000); /* the last ones are found when they are overdue */
    for (int k = 0; k < STAY; k++)
        close(fds[k]);
    server_finish(&s);
    expect_sound(&s);
    ck_assert_uint_eq(server_counter(&s, "closed_fd_closed"), ROUNDS / 3 * 2);
    ck_assert_uint_eq(server_counter(&s, "closed_idle_timeout"), 0);
    ck_assert_uint_eq(server_counter(&s, "fd_lost"), ROUNDS);
}
END_TEST

/* Goal: a file of the application's has the number of a connection that ends: it stays open. */
START_TEST(files_of_the_application_stay_open)
{
    struct server s;
    uint32_t check = CLOSE_FD_CHECK, open;
    server_start(&s, "testapp", "server.workernum=1", "server.timeout=1", NULL);
    for (int i = 0; i < 2; i++) {
        int fd = client_open(&s);
        send_number(fd, TEST_CLOSE_FD, CLOSE_FD_REPLACE); /* what it answers finds no socket */
        server_wait_counter(&s, "closed_fd_closed", (uint64_t) i + 1, 6000);
        close(fd);
        fd = client_open(&s);
        ck_assert_uint_eq(client_ask(fd, TEST_CLOSE_FD, &check, sizeof check, &open, sizeof open),
                          sizeof open);
        ck_assert_uint_eq(open, 1);
        close(fd);
    }
    server_finish(&s);
    expect_sound(&s);
    ck_assert_uint_eq(server_counter(&s, "fd_lost"), 2);
}
END_TEST

Suite *cleanup_suite(void)
{
    Suite *s = suite_create("cleanup");
    TCase *c = itest_case(s, "cleanups", 20);
    tcase_add_test(c, run_behind_their_function);
    tcase_add_test(c, they_close);
    tcase_add_test(c, close_and_leave_nothing_behind);
    tcase_add_test(c, they_write);
    tcase_add_test(c, stick_and_are_replaced);
    tcase_add_test(c, of_a_replaced_function);
    tcase_add_test(c, end_their_thread);
    c = itest_case(s, "outside", 20);
    tcase_add_test(c, to_another_connection);
    tcase_add_test(c, to_what_a_function_had);
    tcase_add_test(c, in_an_end_hook);
    c = itest_case(s, "socket and loop", 20);
    tcase_add_test(c, a_blocking_socket);
    tcase_add_test(c, an_event_that_is_always_ready);
    tcase_add_test(c, an_event_that_does_not_return);
    tcase_add_test(c, a_signal_of_its_own);
    c = itest_case(s, "descriptors", 20);
    tcase_add_test(c, descriptors_of_others_stay_open);
    tcase_add_test(c, files_of_the_application_stay_open);
    return s;
}
