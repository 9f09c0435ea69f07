/*
 * test_last_words.c: records of deaths that make it hard: a stack that is destroyed, an unwinder that hangs, the
 * log's own thread, signals that are blocked, a process that no signal ends; and deaths that are not the server's.
 */
#include <signal.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

#include "mortal.h"
#include "program.h"
#include "test/apps/testapp/commands.h"

#if defined(__SANITIZE_THREAD__)
#define HANDLER_IS_DEAF true /* all is blocked while a handler runs, also what it does not ask for */
#else
#define HANDLER_IS_DEAF false
#endif

/* Start testapp as told, which then ends by a function. It must leave one record that says so. Returns our port. */
static uint16_t start_and_die(struct server *s, struct launch *l, uint32_t how, const char *signal)
{
    static const char *const args[] = {"server.workernum=2", NULL};
    char line[MORTAL_LINE];
    l->program = "testapp";
    l->env = l->env != NULL ? l->env : mortal_env;
    l->args = l->args != NULL ? l->args : args;
    server_launch(s, l);
    uint16_t port = mortal_die(s, how);
    server_wait_log(s, "died: ", 5000);
    ck_assert_uint_eq(server_log_count(s, "died: "), 1);
    mortal_last_line(s, "died: ", line);
    ck_assert_msg(strstr(line, signal) != NULL, "no '%s' in '%s'", signal, line);
    return port;
}

/* What every record of a function's death says. */
static void check_function(const struct server *s, uint16_t port)
{
    char line[MORTAL_LINE], peer[64];
    snprintf(peer, sizeof peer, " from 127.0.0.1:%u", port);
    mortal_last_line(s, "died: ", line);
    const char *words[] = {" up ", "; thread ", ", worker ", ", akg_id 0x700f, connection ", peer};
    for (size_t i = 0; i < sizeof words / sizeof words[0]; i++)
        ck_assert_msg(strstr(line, words[i]) != NULL, "no '%s' in '%s'", words[i], line);
}

static const char *const supervised[] = {"server.workernum=2", "server.supervise=on", NULL};

/* Goal: the line is there though the unwinder faults in what is left of the stack; it ends of what killed it. */
START_TEST(a_smashed_stack)
{
    struct server s;
    uint16_t port = start_and_die(&s, &(struct launch){.nofile = 0}, DIE_SMASHED, "signal 6 (SIGABRT)");
    check_function(&s, port);
    int code = server_wait_exit(&s, 5000);
    ck_assert_msg(code == 128 + SIGABRT || (HANDLER_IS_DEAF && code == 128 + SIGSEGV), "exit code %d", code);
    server_discard(&s);
}
END_TEST

/* Goal: the same if the unwinder hangs; within a second, as a restart must not wait for it. */
START_TEST(an_unwinder_that_hangs)
{
    struct server s;
    uint16_t port = start_and_die(&s, &(struct launch){.preload = "unwind"}, DIE_SEGV, "signal 11 (SIGSEGV)");
    check_function(&s, port);
    ck_assert_int_eq(server_wait_exit(&s, 3000), 128 + SIGSEGV);
    server_discard(&s);
    start_and_die(&s, &(struct launch){.preload = "unwind", .args = supervised}, DIE_SEGV,
                  "signal 11 (SIGSEGV)");
    ck_assert_uint_lt(mortal_served_again(&s), 1500 * ITEST_SLOW);
    server_stop(&s);
}
END_TEST

/* Goal: the same while another function is stuck in dlopen(), with the loader's lock, or with that of stderr. */
START_TEST(while_others_have_locks)
{
    static const uint32_t places[] = {TEST_IN_DLOPEN, TEST_IN_STDIO};
    struct server s;
    char line[MORTAL_LINE];
    bool alone = _i < 2;
    mortal_start(&s, (const char *[]){"server.workernum=2", "watch.replace_ms=0",
                                      alone ? "server.supervise=off" : "server.supervise=on", NULL});
    int stuck = client_open(&s);
    client_echo(stuck, 10);
    client_send_packet(stuck, TEST_STICK, &places[_i % 2], sizeof places[0]);
    server_wait_log(&s, " has been running for ", 3000);
    uint16_t port = mortal_die(&s, DIE_SEGV);
    if (alone)
        ck_assert_int_eq(server_wait_exit(&s, 5000), 128 + SIGSEGV);
    else
        mortal_served_again(&s);
    check_function(&s, port);
    mortal_last_line(&s, alone ? "backtrace of " : "; backtrace: ", line);
    ck_assert_msg(strstr(line, "die_as_told+0x") != NULL, "%s", line);
    close(stuck);
    if (!alone)
        server_stop(&s);
    else
        server_discard(&s);
}
END_TEST

/* Goal: the log's own thread has a record too. */
START_TEST(a_fault_on_the_log_thread)
{
    struct server s;
    start_and_die(&s, &(struct launch){.args = _i == 0 ? NULL : supervised}, DIE_ON_LOG,
                  "signal 11 (SIGSEGV)");
    if (_i == 0) {
        ck_assert_int_eq(server_wait_exit(&s, 5000), 128 + SIGSEGV);
        server_discard(&s);
    } else {
        mortal_served_again(&s);
        server_stop(&s);
    }
}
END_TEST

static void see_where_it_is_stuck(void)
{
    struct server s;
    uint32_t place = TEST_IN_FUNCTION;
    server_launch(&s, &(struct launch){.program = "testapp", .deaf = true});
    int stuck = client_open(&s), other = client_open(&s);
    client_echo(other, 10);
    client_send_packet(stuck, TEST_STICK, &place, sizeof place);
    server_wait_log(&s, "do_stick+0x", 3000);
    client_send_packet(other, TEST_UNSTICK, NULL, 0);
    close(stuck);
    close(other);
    server_stop(&s);
}

/* Goal: a server that is started with every signal blocked and ignored is one like all others: the watch learns where a
 * function is stuck, a fault has its record and is the end, TERM stops. */
START_TEST(a_careless_start)
{
    struct server s;
    uint16_t port = start_and_die(&s, &(struct launch){.deaf = true}, DIE_SEGV, "signal 11 (SIGSEGV)");
    check_function(&s, port);
    ck_assert_int_eq(server_wait_exit(&s, 5000), 128 + SIGSEGV);
    server_discard(&s);
    see_where_it_is_stuck();
    start_and_die(&s, &(struct launch){.deaf = true}, DIE_ON_MASTER, "signal 11 (SIGSEGV)");
    ck_assert_int_eq(server_wait_exit(&s, 5000), 128 + SIGSEGV);
    server_discard(&s);
    port =
        start_and_die(&s, &(struct launch){.deaf = true, .args = supervised}, DIE_FPE, "signal 8 (SIGFPE)");
    mortal_served_again(&s);
    check_function(&s, port);
    server_stop(&s);
}
END_TEST

/* Goal: a process that the application forks and that dies is the application's matter: no record, also when the
 * server dies later, of something else. */
START_TEST(a_child_of_the_application)
{
    struct server s;
    uint32_t how = DIE_IN_CHILD;
    char answer[64];
    mortal_start(&s, _i == 0 ? (const char *[]){"server.workernum=2", NULL} : supervised);
    int fd = client_open(&s);
    ck_assert_uint_eq(client_ask(fd, TEST_DIE, &how, sizeof how, answer, sizeof answer), sizeof how);
    ck_assert_uint_eq(server_log_count(&s, "died: "), 0);
    close(fd);
    if (_i == 0) {
        server_stop(&s);
        return;
    }
    kill(mortal_child(s.pid), SIGKILL); /* whose record is the parent's own */
    mortal_served_again(&s);
    char line[MORTAL_LINE];
    mortal_last_line(&s, "died: ", line);
    ck_assert_msg(strstr(line, "signal 9 (SIGKILL)") != NULL && strstr(line, "thread") == NULL, "%s", line);
    server_stop(&s);
}
END_TEST

/* Goal: as process 1 of a container, which the kernel does not let die of a signal that is sent, it ends all the same
 * when it has said that it died. */
START_TEST(the_first_process)
{
    static const struct {
        uint32_t how;
        const char *says;
        int code;
    } rows[] = {{DIE_ABORT, "signal 6 (SIGABRT)", 134},
                {DIE_SEGV, "signal 11 (SIGSEGV)", 139},
                {DIE_FPE, "signal 8 (SIGFPE)", 136}};
    struct server s;
    if (!launch_can_be_first())
        return;
    start_and_die(&s, &(struct launch){.first = true}, rows[_i].how, rows[_i].says);
    ck_assert_int_eq(server_wait_exit(&s, 5000), rows[_i].code);
    server_discard(&s);
}
END_TEST

/* Goal: the same for one that is sent from outside. */
START_TEST(the_first_process_is_aborted)
{
    struct server s;
    if (!launch_can_be_first())
        return;
    server_launch(&s, &(struct launch){.program = "testapp", .env = mortal_env, .first = true});
    ck_assert(kill(mortal_child(s.pid), SIGABRT) == 0);
    ck_assert_int_eq(server_wait_exit(&s, 5000), 134);
    ck_assert_uint_eq(server_log_count(&s, "died: "), 1);
    server_discard(&s);
}
END_TEST

Suite *last_words_suite(void)
{
    Suite *s = suite_create("last_words");
    TCase *c = itest_case(s, "records", 20);
    tcase_add_test(c, a_smashed_stack);
    tcase_add_test(c, an_unwinder_that_hangs);
    tcase_add_loop_test(c, while_others_have_locks, 0, 4);
    tcase_add_loop_test(c, a_fault_on_the_log_thread, 0, 2);
    tcase_add_test(c, a_careless_start);
    tcase_add_loop_test(c, a_child_of_the_application, 0, 2);
    tcase_add_loop_test(c, the_first_process, 0, 3);
    tcase_add_test(c, the_first_process_is_aborted);
    return s;
}
