/*
 * test_parent.c: signals to a supervising parent, to its child, to both: what each does with them.
 */
#include <errno.h>
#include <fcntl.h>
#include <sched.h>
#include <signal.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/socket.h>
#include <sys/wait.h>
#include <unistd.h>

#include "mortal.h"
#include "test/apps/testapp/commands.h"

/* Goal: TERM to the parent stops both: what has arrived is answered, exit 0, nobody listens any more. */
START_TEST(term_stops_both)
{
    struct server s;
    mortal_start_supervised(&s);
    pid_t child = mortal_child(s.pid);
    int fd = client_open(&s), late;
    client_send_packet(fd, TEST_ECHO, "last", 4);
    server_signal(&s, SIGTERM);
    char answer[64];
    ck_assert_uint_eq(client_recv_packet(fd, TEST_ECHO, answer, sizeof answer), 4);
    client_expect_fin(fd);
    ck_assert_int_eq(server_wait_exit(&s, 5000), 0);
    ck_assert(mortal_is_gone(&child));
    late = socket(AF_INET, SOCK_STREAM | SOCK_CLOEXEC, 0);
    ck_assert(connect(late, (const struct sockaddr *) &s.target.addr, s.target.len) != 0 &&
              errno == ECONNREFUSED);
    close(late);
    server_check(&s);
}
END_TEST

/* Goal: as soon as the child stops, connects are refused, although the parent still has the listener. */
START_TEST(nobody_waits_for_a_server_that_stops)
{
    struct server s;
    uint32_t ms = 1500;
    mortal_start_supervised(&s);
    int busy = client_open(&s);
    client_echo(busy, 10);
    client_send_packet(busy, TEST_SLEEP, &ms, sizeof ms);
    server_signal(&s, SIGTERM);
    server_wait_log(&s, " stopping: ", 1000);
    int err = 0;
    for (uint64_t end = itest_deadline(1000); err != ECONNREFUSED && mono_ns() < end; itest_sleep(2)) {
        int fd = socket(AF_INET, SOCK_STREAM | SOCK_CLOEXEC, 0);
        err = connect(fd, (const struct sockaddr *) &s.target.addr, s.target.len) == 0 ? 0 : errno;
        close(fd);
    }
    ck_assert_int_eq(err, ECONNREFUSED);
    ck_assert(mortal_child(s.pid) != 0);
    close(busy);
    ck_assert_int_eq(server_wait_exit(&s, 5000), 0);
    server_check(&s);
}
END_TEST

/* Goal: TERM to parent and child at once, as a terminal or a service manager sends it, is one request. */
START_TEST(a_signal_to_the_group)
{
    struct server s;
    uint32_t ms = 700;
    mortal_start_supervised(&s);
    int busy = client_open(&s);
    client_send_packet(busy, TEST_SLEEP, &ms, sizeof ms);
    itest_sleep(50);
    kill(mortal_child(s.pid), SIGINT);
    server_signal(&s, SIGINT);
    char answer[64];
    ck_assert_uint_eq(client_recv_packet(busy, TEST_SLEEP, answer, sizeof answer), sizeof ms);
    close(busy);
    ck_assert_int_eq(server_wait_exit(&s, 5000), 0);
    ck_assert_uint_eq(server_log_count(&s, "asked again"), 0);
    server_check(&s);
}
END_TEST

/* Goal: a second TERM goes on to the child, which then ends at once. */
START_TEST(a_second_term)
{
    struct server s;
    mortal_start(
        &s, (const char *[]){"server.supervise=on", "server.drain_timeout=30", "server.workernum=1", NULL});
    int fd = client_open_narrow(&s); /* its answers cannot be sent, so the stop would take its time */
    for (int i = 0; i < 3; i++)
        client_send_packet(fd, TEST_MEGABYTE, NULL, 0);
    itest_sleep(200);
    server_signal(&s, SIGTERM);
    itest_sleep(700);
    ck_assert(mortal_child(s.pid) != 0);
    server_signal(&s, SIGTERM);
    ck_assert_int_eq(server_wait_exit(&s, 3000), 0);
    ck_assert_uint_eq(server_log_count(&s, "asked again"), 1);
    close(fd);
    server_check(&s);
}
END_TEST

/* Goal: HUP goes on to the child; afterwards the lines of both processes are in the new file. */
START_TEST(hup_is_passed_on)
{
    struct server s;
    char old[160];
    mortal_start_supervised(&s);
    snprintf(old, sizeof old, "%s.1", s.log);
    ck_assert(rename(s.log, old) == 0);
    server_signal(&s, SIGHUP);
    for (uint64_t end = itest_deadline(2000); access(s.log, F_OK) != 0; itest_sleep(1))
        ck_assert_msg(mono_ns() < end, "no new log");
    mortal_die(&s, DIE_SEGV);
    mortal_served_again(&s);
    server_wait_log(&s, "died: ", 2000);
    server_wait_log(&s, "listening on", 2000);
    server_stop(&s);
}
END_TEST

/* Goal: a child killed from outside is replaced; the record says what killed it. */
START_TEST(the_child_is_killed)
{
    struct server s;
    char line[MORTAL_LINE];
    mortal_start_supervised(&s);
    struct mortal_next next = {.parent = s.pid, .former = mortal_child(s.pid)};
    ck_assert(next.former != 0);
    ck_assert(kill(next.former, _i == 0 ? SIGKILL : SIGQUIT) == 0);
    ck_assert(itest_wait(mortal_has_next, &next, 2000));
    mortal_served_again(&s);
    mortal_last_line(&s, "died: ", line);
    ck_assert_msg(strstr(line, _i == 0 ? "signal 9 (SIGKILL)" : "signal 3 (SIGQUIT)") != NULL, "%s", line);
    ck_assert_uint_eq(server_counter(&s, _i == 0 ? "died_sigkill" : "died_signal"), 1);
    server_stop(&s);
}
END_TEST

/* Goal: TERM to the child alone is a stop: it ends with 0 and is not started again. */
START_TEST(the_child_is_stopped)
{
    struct server s;
    mortal_start_supervised(&s);
    ck_assert(kill(mortal_child(s.pid), SIGTERM) == 0);
    ck_assert_int_eq(server_wait_exit(&s, 5000), 0);
    ck_assert_uint_eq(server_log_count(&s, "died: "), 0);
    server_check(&s);
}
END_TEST

/* Goal: the application stops its server: the parent ends with it. So it does when a function exits with 0. */
START_TEST(the_child_stops_itself)
{
    struct server s;
    mortal_start_supervised(&s);
    int fd = client_open(&s);
    if (_i == 0)
        client_send_packet(fd, TEST_STOP, NULL, 0);
    else
        mortal_die(&s, DIE_EXIT_0);
    ck_assert_int_eq(server_wait_exit(&s, 5000), 0);
    ck_assert_uint_eq(server_log_count(&s, "died: "), 0);
    close(fd);
    server_discard(&s);
}
END_TEST

/* Goal: the parent is killed: the child stops, in stages, and nobody is left on the port. Where it can, the parent says
 * that it dies. */
START_TEST(the_parent_is_killed)
{
    struct server s;
    mortal_start_supervised(&s);
    pid_t child = mortal_child(s.pid);
    int fd = client_open(&s);
    client_echo(fd, 10);
    int sig = _i == 0 ? SIGKILL : SIGABRT;
    char says[64];
    snprintf(says, sizeof says, " ERROR died: parent process %d, signal 6 (SIGABRT), up ", (int) s.pid);
    server_signal(&s, sig);
    client_expect_fin(fd);
    ck_assert_int_eq(server_wait_exit(&s, 5000), 128 + sig);
    ck_assert_msg(itest_wait(mortal_is_gone, &child, 5000), "the child lives on");
    ck_assert_uint_eq(server_log_count(&s, says), _i);
    server_wait_log(&s, " stopped:", 1000);
    server_discard(&s);
}
END_TEST

/* ---- As process 1 ---- */

/* A process in the namespace of process `first` whose own parent has gone; it ends when `hold` is closed here. */
static void make_orphan(pid_t first, int hold[2])
{
    char path[64];
    int status = 1;
    snprintf(path, sizeof path, "/proc/%d/ns/pid", (int) first);
    ck_assert(pipe2(hold, O_CLOEXEC) == 0);
    pid_t pid = fork();
    if (pid == 0) {
        int ns = open(path, O_RDONLY | O_CLOEXEC);
        char c;
        if (setns(ns, CLONE_NEWPID) != 0)
            _exit(1);
        pid_t inside = fork();
        if (inside == 0 && fork() == 0) {
            close(hold[1]);
            _exit(read(hold[0], &c, 1) == 0 ? 0 : 1);
        }
        if (inside == 0)
            _exit(0);
        _exit(inside > 0 && waitpid(inside, &status, 0) == inside && status == 0 ? 0 : 1);
    }
    ck_assert(waitpid(pid, &status, 0) == pid && status == 0);
}

struct adopted {
    pid_t first, other, found; /* other: the child that it has anyway */
};

static bool is_adopted(void *arg)
{
    struct adopted *a = arg;
    char path[64];
    int pid;
    snprintf(path, sizeof path, "/proc/%d/task/%d/children", (int) a->first, (int) a->first);
    FILE *f = fopen(path, "re");
    while (f != NULL && fscanf(f, "%d", &pid) == 1) {
        if (pid != a->other)
            a->found = pid;
    }
    if (f != NULL)
        fclose(f);
    return a->found != 0;
}

/* Goal: as the first process of a container maritcp buries processes that it does not know, whose parents have gone,
 * and hears TERM; with a parent and without. */
START_TEST(the_first_process_buries_strangers)
{
    struct server s;
    int hold[2];
    if (!launch_can_be_first())
        TEST_SKIP("no namespace of processes can be made here");
    server_launch(
        &s, &(struct launch){
                .program = "maritcp",
                .args = (const char *[]){_i == 0 ? "server.supervise=off" : "server.supervise=on", NULL},
                .first = true});
    struct adopted a = {.first = mortal_child(s.pid)};
    a.other = mortal_child(a.first);
    make_orphan(a.first, hold);
    ck_assert_msg(itest_wait(is_adopted, &a, 3000), "the orphan came to nobody");
    close(hold[0]);
    close(hold[1]);
    ck_assert_msg(itest_wait(mortal_is_gone, &a.found, 3000), "process %d is a zombie", (int) a.found);
    ck_assert(kill(a.first, SIGTERM) == 0);
    ck_assert_int_eq(server_wait_exit(&s, 5000), 0);
    server_check(&s);
}
END_TEST

Suite *parent_suite(void)
{
    Suite *s = suite_create("parent");
    TCase *c = itest_case(s, "signals", 20);
    tcase_add_test(c, term_stops_both);
    tcase_add_test(c, nobody_waits_for_a_server_that_stops);
    tcase_add_test(c, a_signal_to_the_group);
    tcase_add_test(c, a_second_term);
    tcase_add_test(c, hup_is_passed_on);
    tcase_add_loop_test(c, the_child_is_killed, 0, 2);
    tcase_add_test(c, the_child_is_stopped);
    tcase_add_loop_test(c, the_child_stops_itself, 0, 2);
    tcase_add_loop_test(c, the_parent_is_killed, 0, 2);
    tcase_add_loop_test(c, the_first_process_buries_strangers, 0, 2);
    return s;
}
