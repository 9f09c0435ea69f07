/*
 * test_takeover.c: workers that are taken over more than once, in bad company or at a bad moment: what the stuck
 * function still has stays its own, and nothing of the others' is lost.
 */
#include <errno.h>
#include <signal.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

#include "harness.h"
#include "mortal.h"
#include "preloads.h"
#include "program.h"
#include "stuck.h"
#include "test/apps/testapp/commands.h"

/* "stuck no more" was logged by a function of the connection with this slot of worker 0. */
static void expect_line_of(const struct server *s, uint32_t slot)
{
    char *log = program_slurp(s->log), id[32];
    snprintf(id, sizeof id, "[0.%u.", slot);
    const char *line = strstr(log, "stuck no more");
    ck_assert_ptr_nonnull(line);
    while (line > log && line[-1] != '\n')
        line--;
    const char *at = strstr(line, id);
    ITEST_ASSERT(at != NULL && at < strchr(line, '\n'), "not of %s: %.*s", id, (int) strcspn(line, "\n"),
                 line);
    free(log);
}

/* A function that never came back sees nothing of the next one that does not: its owner and its buffers are its own,
 * whoever serves the worker by now (testapp compares). */
START_TEST(a_second_one_leaves_the_first_alone)
{
    struct server s;
    watch_start(&s, NULL, NULL);
    int other = open_at_worker(&s, 1), first = open_at_worker(&s, 0), second = open_at_worker(&s, 0);
    stick(first);
    wait_counter(other, "alarm_replaced", 1);
    stick(second);
    wait_counter(other, "alarm_replaced", 2);
    unstick(other);
    client_expect_fin(first);
    client_expect_fin(second);
    wait_counter(other, "watch_buried", 2);
    close(other);
    server_finish(&s);
    ck_assert_uint_eq(server_counter(&s, "closed_function_stuck"), 2);
    ck_assert_uint_eq(server_counter(&s, "alarm_back"), 0);
}
END_TEST

/* Its successor has nothing to do: that is no reason to call it stuck, nor to send newcomers elsewhere. */
START_TEST(an_idle_successor_is_not_stuck)
{
    struct server s;
    watch_start(&s, NULL, NULL);
    int other = open_at_worker(&s, 1), fd = open_at_worker(&s, 0);
    stick(fd);
    wait_counter(other, "alarm_replaced", 1);
    itest_sleep(3 * WARN_MS); /* time itself is the matter */
    ck_assert_uint_eq(counter_on(other, "alarm_stuck"), 1);
    close(open_at_worker(&s, 0));
    unstick(other);
    client_expect_fin(fd);
    close(other);
    server_finish(&s);
    ck_assert_uint_eq(server_counter(&s, "watch_stuck"), 1);
}
END_TEST

/* What a function that was taken over logs is said of its connection, and not of one that its successor serves. */
START_TEST(its_lines_are_of_its_connection)
{
    struct server s;
    watch_start(&s, NULL, NULL);
    int other = open_at_worker(&s, 1), fd = open_at_worker(&s, 0);
    uint32_t slot = who_of(fd).ind;
    send_number(fd, TEST_STICK, TEST_AND_SAY);
    wait_counter(other, "alarm_replaced", 1);
    int next = open_at_worker(&s, 0); /* its successor is busy */
    ck_assert_uint_ne(who_of(next).ind, slot);
    unstick(other);
    server_wait_log(&s, "stuck no more", BACK_MS);
    expect_line_of(&s, slot);
    client_expect_fin(fd);
    close(next);
    close(other);
    server_finish(&s);
}
END_TEST

/* The process dies of a function that was taken over: the record has that one, not what its successor does. */
START_TEST(the_process_dies_of_it)
{
    static char line[MORTAL_LINE];
    char replace[64], where[64];
    const char *const args[] = {"watch.warn_ms=100", replace, NULL};
    struct server s;
    snprintf(replace, sizeof replace, "watch.replace_ms=%u", REPLACE_MS);
    mortal_start(&s, args);
    int other = open_at_worker(&s, 1), fd = open_at_worker(&s, 0);
    snprintf(where, sizeof where, "worker 0, akg_id 0x7020, connection 0.%u.", who_of(fd).ind);
    send_number(fd, TEST_STICK, TEST_THEN_ABORT);
    wait_counter(other, "alarm_replaced", 1);
    client_send_packet(other, TEST_UNSTICK, NULL, 0);
    server_wait_exit(&s, 5000);
    mortal_last_line(&s, " ERROR died: ", line);
    ITEST_ASSERT(strstr(line, where) != NULL, "not %s: %s", where, line);
    close(fd);
    close(other);
    server_discard(&s);
}
END_TEST

/* It got stuck with the first of many newcomers, who had all been announced with one ring of the bell: its
 * successor looks for the others by itself. */
START_TEST(newcomers_behind_the_stuck_one)
{
    enum { CLIENTS = 20 };
    struct server s;
    int fds[CLIENTS], stuck = 0, other = -1;
    watch_start(&s, NULL, "test.connected=stick");
    server_signal(&s, SIGSTOP);
    for (int i = 0; i < CLIENTS; i++)
        fds[i] = client_open(&s);
    server_signal(&s, SIGCONT);
    for (int i = 0; i < CLIENTS; i++) {
        unsigned char packet[WIRE_HEAD_LEN];
        client_send(fds[i], packet, client_packet(packet, TEST_WHO, NULL, 0));
    }
    for (int i = 0; i < CLIENTS; i++) {
        unsigned char answer[WIRE_HEAD_LEN + sizeof(struct test_who)];
        ptrdiff_t n = net_recv_wait(fds[i], answer, sizeof answer, itest_deadline(BACK_MS));
        ITEST_ASSERT(n == (ptrdiff_t) sizeof answer || n == 0 || errno == ECONNRESET,
                     "client %d is not served", i);
        stuck += n != (ptrdiff_t) sizeof answer;
        other = n == (ptrdiff_t) sizeof answer ? fds[i] : other;
    }
    ck_assert_int_eq(stuck, 1);
    unstick(other);
    for (int i = 0; i < CLIENTS; i++)
        close(fds[i]);
    server_finish(&s);
    ck_assert_uint_eq(server_counter(&s, "closed_function_stuck"), 1);
}
END_TEST

/* Its thread is gone for good, while the pool still runs another function of that connection. */
START_TEST(an_offloaded_function_outlives_the_stuck_one)
{
    struct server s;
    watch_start(&s, NULL, "test.offload=on");
    int other = open_at_worker(&s, 1), fd = open_at_worker(&s, 0);
    send_number(fd, TEST_STICK + TEST_CONCURRENT, TEST_UNTIL_TWICE);
    wait_counter(other, "offload_jobs", 1);
    stick(fd);
    wait_counter(other, "alarm_replaced", 1);
    unstick(other);
    wait_counter(other, "watch_buried", 1);
    close(open_at_worker(&s, 0)); /* it has taken notice of that */
    unstick(other);
    client_expect_fin(fd);
    wait_counter(other, "offload_dropped", 1);
    close(other);
    server_finish(&s);
    ck_assert_uint_eq(server_counter(&s, "closed_function_stuck"), 1);
}
END_TEST

/* A worker that is cancelled while long answers are due: they are sent before it ends. */
START_TEST(cancelled_with_long_answers)
{
#ifdef __SANITIZE_THREAD__
    TEST_SKIP("the sanitizer is lost when a thread is cancelled inside of a system call that it watches");
#endif
    enum { REPLY = 100000 };
    static char got[REPLY];
    unsigned char packets[32];
    uint32_t n = REPLY;
    struct server s;
    watch_start(&s, NULL, NULL);
    int other = open_at_worker(&s, 1), fd = open_at_worker(&s, 0);
    size_t len = client_packet(packets, TEST_REPLY, &n, sizeof n);
    n = TEST_LATER;
    len += client_packet(packets + len, TEST_CANCEL, &n, sizeof n);
    client_send(fd, packets, len); /* one wake-up, one send for both */
    client_recv(fd, got, sizeof got);
    ck_assert_uint_eq(client_recv_packet(fd, TEST_CANCEL, &n, sizeof n), sizeof n);
    wait_counter(other, "alarm_died", 1);
    client_echo(fd, 100);
    close(fd);
    close(other);
    server_finish(&s);
    ck_assert_uint_eq(server_counter(&s, "closed_function_died"), 0);
}
END_TEST

/* Several functions of one worker never return, nor does an offloaded one: a stop that gives up names each. */
START_TEST(a_stop_names_them_all)
{
    struct server s;
    char replace[64];
    snprintf(replace, sizeof replace, "watch.replace_ms=%u", REPLACE_MS);
    server_start(&s, "testapp", "watch.warn_ms=100", replace, "server.drain_timeout=1", "test.offload=on",
                 NULL);
    int other = open_at_worker(&s, 1), first = open_at_worker(&s, 0), second = open_at_worker(&s, 0);
    int away = open_at_worker(&s, 1);
    stick(first);
    wait_counter(other, "alarm_replaced", 1);
    client_send_packet(second, TEST_HANG, NULL, 0);
    client_send_packet(away, TEST_HANG + TEST_OFFLOADED, NULL, 0);
    wait_counter(other, "alarm_replaced", 2);
    wait_counter(other, "offload_jobs", 1);
    server_signal(&s, SIGTERM);
    ck_assert_int_eq(server_wait_exit(&s, 8000), 3);
    char *err = program_slurp(s.err);
    ITEST_ASSERT(strstr(err, "function 0x7020 of connection 0.") != NULL &&
                     strstr(err, "function 0x7014 of connection 0.") != NULL &&
                     strstr(err, "function 0x7114, offloaded by worker 1") != NULL,
                 "it says: %s", err);
    free(err);
    close(first);
    close(second);
    close(away);
    close(other);
    server_discard(&s);
}
END_TEST

/* The thread of a function that was taken over takes its time to end: the master does not wait for it. */
START_TEST(a_thread_that_ends_slowly)
{
    struct server s;
    watch_start(&s, NULL, NULL);
    int other = open_at_worker(&s, 1), fd = open_at_worker(&s, 0);
    send_number(fd, TEST_STICK, TEST_THEN_LINGER);
    wait_counter(other, "alarm_replaced", 1);
    unstick(other);
    itest_sleep(WARN_MS); /* it has returned, and the master has looked */
    close(open_at_worker(&s, 0));
    ck_assert_uint_eq(counter_on(other, "watch_buried"), 0);
    unstick(other);
    wait_counter(other, "watch_buried", 1);
    client_expect_fin(fd);
    close(other);
    server_finish(&s);
}
END_TEST

/* A worker died that may not be replaced now: it is as soon as the minute is over, whether stuck ones are watched
 * for or not. The clock jumps, so that the test need not wait. */
START_TEST(tried_again_when_the_minute_is_over)
{
    struct server s;
    char env[PRELOAD_ENV];
    const char *const envs[] = {env, NULL};
    const char *const args[] = {_i == 0 ? "watch.warn_ms=0" : "watch.warn_ms=100", "watch.replace_max=1",
                                NULL};
    struct clock_board *clock = preload_clock(env);
    server_launch(&s, &(struct launch){.program = "testapp", .args = args, .preload = "clock", .env = envs});
    int other = open_at_worker(&s, 1), waits = open_at_worker(&s, 0);
    atomic_fetch_add(&clock->run_s, 59); /* any minute counts, not that since the start */
    for (unsigned i = 1; i <= 2; i++) {
        int fd = open_at_worker(&s, 0);
        send_number(fd, TEST_END_THREAD, TEST_IN_FUNCTION);
        wait_counter(other, "alarm_died", i);
        atomic_fetch_add(&clock->run_s, 2);
        close(fd);
    }
    wait_counter(other, "alarm_limit", 1);
    atomic_fetch_add(&clock->run_s, 61);
    client_echo(waits, 10);
    close(waits);
    close(other);
    server_finish(&s);
    ck_assert_uint_eq(server_counter(&s, "closed_function_died"), 2);
    ck_assert_uint_eq(server_counter(&s, "alarm_back"), 0);
}
END_TEST

Suite *takeover_suite(void)
{
    Suite *s = suite_create("takeover");
    TCase *c = itest_case(s, "takeover", 40);
    tcase_add_test(c, a_second_one_leaves_the_first_alone);
    tcase_add_test(c, an_idle_successor_is_not_stuck);
    tcase_add_test(c, its_lines_are_of_its_connection);
    tcase_add_test(c, the_process_dies_of_it);
    tcase_add_test(c, newcomers_behind_the_stuck_one);
    tcase_add_test(c, an_offloaded_function_outlives_the_stuck_one);
    tcase_add_test(c, cancelled_with_long_answers);
    tcase_add_loop_test(c, tried_again_when_the_minute_is_over, 0, 2);
    tcase_add_test(c, a_thread_that_ends_slowly);
    tcase_add_test(c, a_stop_names_them_all);
    return s;
}
