/*
 * test_master.c: the master is nobody's prisoner: whatever lock, pipe or place a function is stuck in, connections are
 * accepted, workers replaced, signals heard. And it is watched itself, by its parent.
 */
#include <sched.h>
#include <signal.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

#include "harness.h"
#include "mortal.h"
#include "offloaded.h"
#include "program.h"
#include "stuck.h"
#include "test/apps/testapp/commands.h"

/* ---- Where a function may be stuck ---- */

/* Goal: a function is stuck in dlopen(), or with the locks of stderr and stdout: it is reported, its worker replaced,
 * newcomers are served; TERM is heard, and the process gone in time, with 3. With a parent too. */
START_TEST(stuck_with_a_lock_of_the_c_library)
{
#ifdef __SANITIZE_THREAD__
    if (_i % 2 == 1)
        TEST_SKIP("the sanitizer itself waits for stdout's lock at the end");
#endif
    static const uint32_t places[] = {TEST_IN_DLOPEN, TEST_IN_STDIO};
    char replace[64];
    struct server s;
    snprintf(replace, sizeof replace, "watch.replace_ms=%u", REPLACE_MS);
    server_start(&s, "testapp", "watch.warn_ms=100", replace, "server.drain_timeout=2",
                 _i / 2 == 0 ? "server.supervise=off" : "server.supervise=on", NULL);
    int other = open_at_worker(&s, 1), fd = open_at_worker(&s, 0), stuck = open_at_worker(&s, 0);
    send_number(stuck, TEST_STICK, places[_i % 2]);
    wait_counter(other, "alarm_stuck", 1);
    wait_counter(other, "alarm_replaced", 1);
    client_echo(fd, 100);
    close(open_at_worker(&s, 0));
    server_wait_log(&s, "stick+0x", BACK_MS); /* or what the text has room for of its callers */
    stop_beside_stuck(&s, 4500);
    close(stuck);
    close(fd);
    close(other);
}
END_TEST

/* Goal: a function is cancelled while it calls the log: the thread ends behind the calls, in the function, and not with
 * a lock; so the worker is replaced, and the next one too. */
START_TEST(cancelled_inside_the_library)
{
#ifdef __SANITIZE_ADDRESS__
    TEST_SKIP("the sanitizer stumbles over the stack of a thread that was cancelled");
#endif
    struct server s;
    watch_start(&s, NULL, "test.offload=on");
    int other = open_at_worker(&s, 1);
    for (unsigned i = 1; i <= 3; i++) {
        int fd = open_at_worker(&s, 0);
        send_number(fd, i == 2 ? TEST_CANCEL + TEST_OFFLOADED : TEST_CANCEL, TEST_IN_CALLS);
        ck_assert_int_ne(client_ending(fd, NULL, BACK_MS), END_OPEN);
        close(fd);
        wait_counter(other, i == 2 ? "offload_died" : "alarm_died", i == 3 ? 2 : 1);
        ck_assert_uint_eq(counter_on(other, "called"), i);
    }
    close(open_at_worker(&s, 0));
    close(other);
    server_finish(&s);
    ck_assert_uint_eq(server_counter(&s, "closed_function_died"), 3);
}
END_TEST

/* Goal: a function cancels its thread and returns: what the library does then is not cut off, neither its answer
 * nor the closing of its connection; the thread ends where all is in order, and is replaced. */
START_TEST(cancelled_between_two_functions)
{
#ifdef __SANITIZE_ADDRESS__
    TEST_SKIP("the sanitizer stumbles over the stack of a thread that was cancelled");
#endif
#ifdef __SANITIZE_THREAD__
    TEST_SKIP("the sanitizer is lost when a thread is cancelled inside of a system call that it watches");
#endif
    struct server s;
    watch_start(&s, "offload.threads=1", "test.offload=on");
    int other = open_at_worker(&s, 1);
    for (unsigned i = 1; i <= 5; i++) {
        int fd = open_at_worker(&s, 0);
        send_number(fd, TEST_CANCEL, TEST_AND_CLOSE);
        client_expect_fin(fd);
        wait_counter(other, "alarm_died", i);
    }
    int fd = open_at_worker(&s, 0), next = open_at_worker(&s, 0);
    send_number(fd, AWAY(TEST_CANCEL), TEST_LATER);
    ck_assert_uint_eq(recv_number(fd, AWAY(TEST_CANCEL)), TEST_LATER);
    itest_sleep(50);                      /* its thread waits for work */
    send_number(next, AWAY(TEST_NAP), 1); /* in which the thread ends */
    client_expect_fin(next);
    send_number(fd, AWAY(TEST_ECHO), 2);
    ck_assert_uint_eq(recv_number(fd, AWAY(TEST_ECHO)), 2);
    close(fd);
    close(other);
    server_finish(&s);
    ck_assert_uint_eq(server_counter(&s, "closed_function_died"), 1);
    ck_assert_uint_eq(server_counter(&s, "closed_function_closed"), 5);
}
END_TEST

/* Goal: a function never returns and nobody reads standard error, a full pipe: a stop says what it can and ends in
 * time. Inline, and offloaded. */
START_TEST(a_stop_with_a_full_stderr)
{
    struct server s;
    server_start(&s, "testapp", "watch.replace_ms=0", "server.drain_timeout=1", "test.stderr=full",
                 "test.offload=on", NULL);
    int other = open_at_worker(&s, 1), fd = open_at_worker(&s, 0);
    client_send_packet(fd, _i == 0 ? TEST_HANG : TEST_HANG + TEST_OFFLOADED, NULL, 0);
    wait_counter(other, "packets_in", 4);
    server_signal(&s, SIGTERM);
    ck_assert_int_eq(server_wait_exit(&s, 5000), 3);
    close(fd);
    close(other);
    server_discard(&s);
}
END_TEST

/* ---- What threads inherit ---- */

static struct test_sched sched_of(int fd, uint16_t akg)
{
    struct test_sched is;
    ck_assert_uint_eq(client_ask(fd, akg, NULL, 0, &is, sizeof is), sizeof is);
    return is;
}

/* Goal: workers, those that take their place, and threads for offloaded functions, those that take theirs too, run like
 * any thread: not in the master's policy, and without its signals. */
START_TEST(threads_do_not_inherit_from_the_master)
{
    struct server s;
    watch_start(&s, NULL, "test.offload=on");
    int other = open_at_worker(&s, 1), fd = open_at_worker(&s, 0);
    for (uint32_t i = 0; i < 3; i++) {
        int dies = open_at_worker(&s, 0);
        struct test_sched is = sched_of(fd, TEST_SCHED), away = sched_of(fd, TEST_SCHED + TEST_OFFLOADED);
        ck_assert_int_eq(is.policy, SCHED_OTHER);
        ck_assert_uint_eq(is.unblocked, 0);
        ck_assert_int_eq(away.policy, SCHED_OTHER);
        ck_assert_uint_eq(away.unblocked, 0);
        send_number(dies, i == 1 ? TEST_END_THREAD + TEST_OFFLOADED : TEST_END_THREAD, TEST_IN_FUNCTION);
        wait_counter(other, i == 1 ? "offload_died" : "alarm_died", i == 2 ? 2 : 1);
        close(dies);
    }
    close(fd);
    close(other);
    server_finish(&s);
}
END_TEST

/* ---- The threads for offloaded functions ---- */

/* Goal: all threads for offloaded functions hang, and packets wait: that is said, and the alarm function hears it;
 * and each function that has been running for replace_ms is named. Nobody is replaced; when they return all is as
 * before. */
START_TEST(all_threads_of_the_pool_hang)
{
    struct server s;
    int fds[3];
    watch_start(&s, "offload.threads=2", "test.offload=on");
    int other = open_at_worker(&s, 1);
    for (int i = 0; i < 3; i++)
        fds[i] = open_at_worker(&s, 0);
    send_number(fds[0], AWAY(TEST_STICK), TEST_IN_FUNCTION);
    send_number(fds[1], LOOSE(TEST_STICK), TEST_IN_FUNCTION);
    wait_counter(other, "offload_jobs", 2);
    itest_sleep(3 * WARN_MS); /* they may take their time, as long as nobody waits */
    ck_assert_uint_eq(counter_on(other, "alarm_pool"), 0);
    send_number(fds[2], AWAY(TEST_ECHO), 5);
    wait_counter(other, "alarm_pool", 1);
    server_wait_log(&s, "all 2 threads for offloaded functions", BACK_MS);
    wait_counter(other, "alarm_stuck", 2);
    uint64_t akg = counter_on(other, "alarm_akg");
    ck_assert(akg == AWAY(TEST_STICK) || akg == LOOSE(TEST_STICK));
    server_wait_log(&s, "offloaded function 0x7120 of connection 0.", BACK_MS);
    unstick(other);
    ck_assert_uint_eq(recv_number(fds[2], AWAY(TEST_ECHO)), 5);
    server_wait_log(&s, "go on", BACK_MS);
    wait_counter(other, "alarm_back", 2);
    for (int i = 0; i < 3; i++)
        close(fds[i]);
    close(other);
    server_finish(&s);
    ck_assert_uint_eq(server_counter(&s, "alarm_pool"), 1);
    ck_assert_uint_eq(server_counter(&s, "watch_replaced"), 0);
}
END_TEST

/* ---- The master itself ---- */

static bool has_died(void *arg)
{
    return server_log_count(arg, "died: ") > 0;
}

/* Goal: a timer function never returns, on the master: its parent notices, says so in one line that names the
 * place, and the next child serves within two seconds. A child that is stopped, or has nothing
 * to do, does not hang. */
START_TEST(a_master_that_hangs)
{
    enum { MASTER_MS = 1000 * ITEST_SLOW, TIMER_MS = 1000 };
    static char line[MORTAL_LINE];
    char option[64];
    struct server s;
    uint32_t for_ever = 3600 * 1000;
    snprintf(option, sizeof option, "watch.master_ms=%d", MASTER_MS);
    mortal_start(&s, (const char *[]){"server.supervise=on", option, NULL});
    pid_t child = mortal_child(s.pid);
    ck_assert(kill(child, SIGSTOP) == 0);
    itest_sleep(2 * MASTER_MS);
    ck_assert(kill(child, SIGCONT) == 0);
    int fd = client_open(&s);
    client_echo(fd, 100);
    itest_sleep(2 * MASTER_MS);
    ck_assert_int_eq(mortal_child(s.pid), child);
    uint64_t began = mono_ns();
    send_number(fd, TEST_STALL, for_ever);
    ck_assert_uint_eq(recv_number(fd, TEST_STALL), for_ever);
    client_echo(fd, 100); /* workers go on */
    ck_assert_int_ne(client_ending(fd, NULL, MASTER_MS / ITEST_SLOW + TIMER_MS + 2000), END_TIMEOUT);
    mortal_served_again(&s);
    ck_assert_msg(itest_ms_since(began) < MASTER_MS + TIMER_MS + 2000 * ITEST_SLOW, "it took %u ms",
                  (unsigned) itest_ms_since(began));
    ck_assert(itest_wait(has_died, &s, 2000));
    mortal_last_line(&s, "died: ", line);
    ck_assert_msg(strstr(line, "hung: its master did nothing for ") != NULL, "%s", line);
    ck_assert_msg(strstr(line, "on_second") != NULL, "where is not said: %s", line);
    ck_assert_msg(strstr(line, ", restart 1 in 0 ms") != NULL, "%s", line);
    ck_assert_uint_eq(server_counter(&s, "died_hung"), 1);
    ck_assert_uint_eq(server_counter(&s, "died_sigabrt"), 0);
    close(fd);
    server_stop(&s);
}
END_TEST

Suite *master_suite(void)
{
    Suite *s = suite_create("master");
    TCase *c = itest_case(s, "stuck", 30);
    tcase_add_loop_test(c, stuck_with_a_lock_of_the_c_library, 0, 4);
    tcase_add_test(c, cancelled_inside_the_library);
    tcase_add_test(c, cancelled_between_two_functions);
    tcase_add_loop_test(c, a_stop_with_a_full_stderr, 0, 2);
    tcase_add_test(c, threads_do_not_inherit_from_the_master);
    c = itest_case(s, "watched", 20);
    tcase_add_test(c, all_threads_of_the_pool_hang);
    tcase_add_test(c, a_master_that_hangs);
    return s;
}
