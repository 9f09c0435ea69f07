/*
 * test_crash.c: a process that dies: one record with signal, function, connection, peer, backtrace and uptime,
 * written by its parent or, without one, by itself.
 */
#include <errno.h>
#include <fcntl.h>
#include <signal.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/stat.h>
#include <unistd.h>

#include "mortal.h"
#include "program.h"
#include "test/apps/testapp/commands.h"

enum { TEXT = MORTAL_LINE };

static const struct {
    uint32_t how;
    const char *says;    /* in the record */
    const char *counter; /* that is 1 afterwards */
    bool has_function;   /* the backtrace leads to the function that died */
    int code;            /* without supervision */
} deaths[] = {
    {DIE_ABORT, "signal 6 (SIGABRT)", "died_sigabrt", true, 134},
    {DIE_SEGV, "signal 11 (SIGSEGV)", "died_sigsegv", true, 139},
    {DIE_BUS, "signal 7 (SIGBUS)", "died_sigbus", true, 135},
    {DIE_ILL, "signal 4 (SIGILL)", "died_sigill", true, 132},
    {DIE_FPE, "signal 8 (SIGFPE)", "died_sigfpe", true, 136},
    {DIE_STACK, "signal 11 (SIGSEGV)", "died_sigsegv", false, 139},
    {DIE_KILL, "signal 9 (SIGKILL)", "died_sigkill", false, 137},
    {DIE_EXIT_2, "exit code 2", "died_exit", false, 2},
    {DIE_TWO, "signal 11 (SIGSEGV)", "died_sigsegv", false, 139},
};

static bool has_handler(uint32_t how)
{
    return how != DIE_KILL && how != DIE_EXIT_2;
}

/* What the record of a death in TEST_DIE must say. */
static void check_record(const char *line, size_t row, uint16_t port)
{
    char peer[64];
    ck_assert_msg(strstr(line, deaths[row].says) != NULL, "no '%s' in '%s'", deaths[row].says, line);
    ck_assert_msg(strstr(line, " up 0.") != NULL || strstr(line, " up ") != NULL, "no uptime in '%s'", line);
    snprintf(peer, sizeof peer, " from 127.0.0.1:%u", port);
    if (!has_handler(deaths[row].how)) { /* the parent has seen what the workers ran */
        ck_assert_msg(strstr(line, ", akg_id 0x700f, connection ") != NULL && strstr(line, peer) != NULL,
                      "'%s'", line);
        return;
    }
    const char *words[] = {"; thread ", ", worker ", ", akg_id 0x700f, connection ", peer};
    for (size_t i = 0; i < sizeof words / sizeof words[0]; i++) {
        bool is_other = deaths[row].how == DIE_TWO && i >= 1 && i <= 3; /* the other thread may be first */
        ck_assert_msg(is_other || strstr(line, words[i]) != NULL, "no '%s' in '%s'", words[i], line);
    }
}

/* What the record says of how it came there, in one line or in that behind it. */
static void check_trace(const char *line, const char *begins, size_t row)
{
    const char *trace = strstr(line, begins);
    ck_assert_msg(trace != NULL, "no '%s' in '%s'", begins, line);
    if (deaths[row].has_function)
        ck_assert_msg(strstr(trace, "die_as_told+0x") != NULL, "no function in '%s'", line);
}

/* Goal: however it dies, there is exactly one record with signal, function, connection, peer, backtrace and
 * uptime; the next child serves within a second; counters say how often and of what. */
START_TEST(every_death_has_its_record)
{
    struct server s;
    char line[TEXT];
    mortal_start_supervised(&s);
    uint16_t port = mortal_die(&s, deaths[_i].how);
    unsigned ms = mortal_served_again(&s);
    ck_assert_msg(ms < 1000u * ITEST_SLOW, "served again after %u ms", ms);
    server_wait_log(&s, " ERROR died: ", 2000);
    ck_assert_uint_eq(server_log_count(&s, "died: "), 1);
    mortal_last_line(&s, "died: ", line);
    check_record(line, (size_t) _i, port);
    if (has_handler(deaths[_i].how))
        check_trace(line, "; backtrace: ", (size_t) _i);
    ck_assert_msg(strstr(line, ", restart 1 in 0 ms") != NULL, "%s", line);
    ck_assert_uint_eq(server_counter(&s, "restarts"), 1);
    ck_assert_uint_eq(server_counter(&s, deaths[_i].counter), 1);
    server_stop(&s);
}
END_TEST

/* Goal: without supervision the process writes the record itself, then ends as it always would. */
START_TEST(a_death_without_a_parent)
{
    struct server s;
    char line[TEXT];
    mortal_start(&s, (const char *[]){"server.workernum=2", NULL});
    int pid = (int) s.pid;
    uint16_t port = mortal_die(&s, deaths[_i].how);
    ck_assert_int_eq(server_wait_exit(&s, 5000), deaths[_i].code);
    ck_assert_uint_eq(server_log_count(&s, "died: "), has_handler(deaths[_i].how));
    if (has_handler(deaths[_i].how)) {
        char begins[64];
        mortal_last_line(&s, "died: ", line);
        check_record(line, (size_t) _i, port);
        snprintf(begins, sizeof begins, " ERROR backtrace of process %d, thread ", pid);
        mortal_last_line(&s, "backtrace of", line);
        check_trace(line, begins, (size_t) _i);
    }
    server_discard(&s);
}
END_TEST

/* Goal: where no log file is set or it cannot be opened, the record goes to standard error. */
START_TEST(a_record_without_a_log)
{
    struct server s;
    mortal_start(&s, (const char *[]){"server.workernum=1", NULL});
    ck_assert(unlink(s.log) == 0 && mkdir(s.log, 0700) == 0);
    mortal_die(&s, DIE_ABORT);
    ck_assert_int_eq(program_wait(s.pid, itest_deadline(5000)), 134);
    char *err = program_slurp(s.err);
    ck_assert_msg(strstr(err, " ERROR died: process ") != NULL, "'%s'", err);
    free(err);
    ck_assert(rmdir(s.log) == 0);
    server_discard(&s);
}
END_TEST

/* Goal: a death in a hook is told from one in a function. */
START_TEST(a_death_in_a_hook)
{
    struct server s;
    char line[TEXT];
    mortal_start(&s, (const char *[]){"server.supervise=on", "test.connected=die", NULL});
    int fd = client_open(&s);
    ck_assert_int_ne(client_ending(fd, NULL, 5000), END_TIMEOUT);
    close(fd);
    server_wait_log(&s, "died: ", 2000);
    mortal_last_line(&s, "died: ", line);
    ck_assert_msg(strstr(line, ", in a hook, connection ") != NULL, "%s", line);
    server_signal(&s, SIGTERM);
    ck_assert_int_eq(server_wait_exit(&s, 5000), 0);
    server_check(&s);
}
END_TEST

Suite *crash_suite(void)
{
    Suite *s = suite_create("crash");
    TCase *c = itest_case(s, "deaths", 20);
    tcase_add_loop_test(c, every_death_has_its_record, 0, sizeof deaths / sizeof deaths[0]);
    tcase_add_loop_test(c, a_death_without_a_parent, 0, sizeof deaths / sizeof deaths[0]);
    tcase_add_test(c, a_record_without_a_log);
    tcase_add_test(c, a_death_in_a_hook);
    return s;
}
