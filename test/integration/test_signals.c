/*
 * test_signals.c: signals that an operator sends to a running server and that must not end it: USR1, which has it
 * say what it does, and USR2, which it does not know.
 */
#include <signal.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/wait.h>
#include <unistd.h>

#include "harness.h"
#include "program.h"
#include "test/apps/testapp/commands.h"

/* Goal: USR1 has the counters and what each worker runs written to the log, also while functions block; nobody
 * notices else. */
START_TEST(usr1_dumps)
{
    struct server s;
    uint32_t place = TEST_IN_FUNCTION;
    char want[80];
    server_start(&s, "testapp", _i == 0 ? "server.supervise=off" : "server.supervise=on",
                 "server.workernum=2", "watch.replace_ms=0", "test.offload=on", "offload.threads=3", NULL);
    int stuck = client_open(&s), off = client_open(&s), same = client_open(&s), other = client_open(&s);
    client_echo(stuck, 10);
    client_echo(other, 10);
    client_send_packet(off, TEST_STICK + TEST_OFFLOADED, &place, sizeof place);
    client_send_packet(stuck, TEST_STICK, &place, sizeof place);
    server_wait_log(&s, "0x7020", 5000); /* the watchdog says that it is stuck */
    for (uint64_t end = itest_deadline(10000);
         server_log_count(&s, "dump: offload: 1 of 3 threads busy") == 0;) {
        ck_assert_msg(mono_ns() < end, "no dump with a busy thread; see %s", s.log);
        server_signal(&s, SIGUSR1); /* at most one dump a second */
        itest_sleep(100);
    }
    ck_assert_uint_ge(server_log_count(&s, " signal 10: what the server does follows"), 1);
    ck_assert_uint_ge(server_log_count(&s, " opened=4"), 1);
    snprintf(want, sizeof want, ": 2 connections, akg_id 0x%04x, connection 0.", TEST_STICK);
    ck_assert_uint_ge(server_log_count(&s, want), 1);
    ck_assert_uint_ge(server_log_count(&s, "dump: offload thread "), 1);
    ck_assert_uint_ge(server_log_count(&s, "dump: worker 1: 2 connections, idle"), 1);
    client_send_packet(other, TEST_UNSTICK, NULL, 0);
    char answer[64];
    client_recv_packet(stuck, TEST_STICK, answer, sizeof answer);
    close(stuck);
    close(off);
    close(same);
    close(other);
    server_stop(&s);
}
END_TEST

/* ThreadSanitizer delivers a signal when the thread calls something that it watches. If one more comes while it does so
 * it may take the mask of the handler for that of the thread, which then has all signals blocked, and the server hears
 * of none any more: there they come one by one. */
static void signal_it(const struct server *s, int sig)
{
    server_signal(s, sig);
#ifdef __SANITIZE_THREAD__
    itest_sleep(20);
#endif
}

/* Goal: a hundred of each do no harm, and do not fill the log. */
START_TEST(usr1_and_usr2_do_not_kill)
{
    struct server s;
    server_start(&s, "maritcp", _i == 0 ? "server.supervise=off" : "server.supervise=on", NULL);
    s.log_lines_max = 60;
    int fd = client_open(&s);
    for (int i = 0; i < 100; i++) {
        signal_it(&s, SIGUSR1);
        signal_it(&s, SIGUSR2);
        client_echo(fd, 10);
    }
    for (uint64_t end = itest_deadline(5000); server_log_count(&s, "signal 12: it has no meaning") == 0;) {
        ck_assert_msg(mono_ns() < end, "nobody hears USR2; see %s", s.log);
        signal_it(&s, SIGUSR2); /* two lines a second are written of signals */
        itest_sleep(50);
    }
    close(fd);
    ck_assert_uint_eq(server_log_count(&s, "died: "), 0);
    server_stop(&s);
}
END_TEST

/* Goal: an application that handles USR1 itself, or waits for it, keeps it. */
START_TEST(usr1_of_the_application)
{
    struct server s;
    server_start(&s, "testapp", _i == 0 ? "test.early=usr1" : "test.early=sigwait", NULL);
    server_signal(&s, SIGUSR1);
    server_wait_counter(&s, "usr1", 1, 3000);
    ck_assert_uint_eq(server_log_count(&s, "dump: "), 0);
    server_stop(&s);
}
END_TEST

Suite *signals_suite(void)
{
    Suite *s = suite_create("signals");
    TCase *c = itest_case(s, "signals", 20);
    tcase_add_loop_test(c, usr1_dumps, 0, 2);
    tcase_add_loop_test(c, usr1_and_usr2_do_not_kill, 0, 2);
    tcase_add_loop_test(c, usr1_of_the_application, 0, 2);
    return s;
}
