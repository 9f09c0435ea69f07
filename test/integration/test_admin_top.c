/*
 * test_admin_top.c: maritcp top: on a terminal of the test's own, where it shows what there is until q is typed and
 * then leaves all as it was; once where it has none; and what it says without a server.
 */
#include <poll.h>
#include <pty.h>
#include <signal.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/wait.h>
#include <termios.h>
#include <unistd.h>
#include <utmp.h>

#include "operator.h"

enum { ROWS = 30, COLUMNS = 100, SOON_MS = 15000, SCREEN_ROOM = 1 << 20 };

/* It runs on a terminal. */
static struct {
    pid_t pid;
    int fd; /* the terminal's other end */
    struct termios before;
    char *said; /* all that it has written, with a NUL */
    size_t len;
} top;

static const char *socket_of_operator(void)
{
    return strchr(operator_option(), ':') + 1;
}

static void top_start(void)
{
    struct winsize size = {.ws_row = ROWS, .ws_col = COLUMNS};
    int slave;
    ck_assert_int_eq(openpty(&top.fd, &slave, NULL, NULL, &size), 0);
    ck_assert_int_eq(tcgetattr(slave, &top.before), 0);
    top.said = calloc(1, SCREEN_ROOM);
    top.len = 0;
    const char *program = itest_program("maritcp"), *socket = socket_of_operator();
    top.pid = fork();
    if (top.pid == 0) {
        close(top.fd);
        if (login_tty(slave) == 0)
            execl(program, "maritcp", "top", "-s", socket, (char *) NULL);
        _exit(99);
    }
    close(slave);
}

/* Wait until it has written `text` behind `from`; where that ends. */
static size_t top_await(size_t from, const char *text)
{
    for (uint64_t end = itest_deadline(SOON_MS); mono_ns() < end;) {
        const char *at = strstr(top.said + from, text);
        if (at != NULL)
            return (size_t) (at - top.said) + strlen(text);
        struct pollfd p = {.fd = top.fd, .events = POLLIN};
        ssize_t n = poll(&p, 1, 100) > 0 ? read(top.fd, top.said + top.len, SCREEN_ROOM - 1 - top.len) : 0;
        if (n < 0)
            break; /* it has ended */
        top.len += (size_t) n;
    }
    ck_abort_msg("never '%s' behind %zu: %.500s", text, from, top.said + from);
}

/* It ends; the terminal is as it was. */
static int top_end(void)
{
    struct termios after;
    int status;
    top_await(0, "\033[?1049l");
    ck_assert_int_eq(tcgetattr(top.fd, &after), 0);
    ck_assert_uint_eq(after.c_lflag, top.before.c_lflag);
    ck_assert_int_eq(waitpid(top.pid, &status, 0), top.pid);
    close(top.fd);
    free(top.said);
    return WIFEXITED(status) ? WEXITSTATUS(status) : 128 + WTERMSIG(status);
}

static void type(char key)
{
    ck_assert_int_eq(write(top.fd, &key, 1), 1);
}

/* The longest line behind `from`, in columns: between two ends of lines, without what moves the cursor. */
static size_t longest_line(size_t from)
{
    size_t longest = 0, columns = 0;
    for (const char *at = top.said + from; *at != '\0'; at++) {
        if (*at == '\033') {
            at += strcspn(at, "HKJhl");
            columns = *at == 'H' ? 0 : columns;
            continue;
        }
        columns = *at == '\n' ? 0 : columns + (*at != '\r');
        longest = columns > longest ? columns : longest;
    }
    return longest;
}

/* Goal: it shows connections as they come, obeys its keys, fits its screen, and leaves the terminal as it was. */
START_TEST(on_a_terminal)
{
    struct server s;
    server_start(&s, "maritcp", operator_option(), NULL);
    top_start();
    size_t at = top_await(0, "   0 connections");
    int fds[3];
    for (int i = 0; i < 3; i++)
        fds[i] = client_open(&s);
    for (int i = 0; i < 3; i++)
        client_echo(fds[i], 100);
    at = top_await(at, "   3 connections");
    at = top_await(at, "worker");
    at = top_await(at, "by bytes");
    at = top_await(at, "0x6103");
    type('p');
    at = top_await(at, "by pending");
    client_reset(fds[2]);
    at = top_await(at, "   2 connections");
    at = top_await(at, "reset 1 (");
    ck_assert_uint_le(longest_line(0), COLUMNS);
    type('q');
    ck_assert_int_eq(top_end(), 0);
    close(fds[0]);
    close(fds[1]);
    server_finish(&s);
}
END_TEST

/* Goal: a signal ends it as politely; so does the end of the server, which it says. */
START_TEST(other_ends)
{
    struct server s;
    server_start(&s, "maritcp", operator_option(), NULL);
    top_start();
    top_await(0, "by bytes");
    kill(top.pid, SIGTERM);
    ck_assert_int_eq(top_end(), 128 + SIGTERM);
    top_start();
    top_await(0, "by bytes");
    server_stop(&s);
    top_await(0, "any more");
    ck_assert_int_eq(top_end(), 3);
}
END_TEST

static int run_top(char *out, size_t out_size, char *err, size_t err_size, const char *word, const char *more)
{
    const char *const args[] = {"top", word, more, NULL};
    return itest_run(&(struct launch){.program = "maritcp", .args = args, .bare = true}, out, out_size, err,
                     err_size);
}

/* Goal: without a terminal one second is shown, whole lines and nothing that moves a cursor. */
START_TEST(without_a_terminal)
{
    static char out[65536], err[4096];
    struct server s;
    server_start(&s, "maritcp", operator_option(), NULL);
    int fd = client_open(&s);
    client_echo(fd, 100);
    ck_assert_int_eq(run_top(out, sizeof out, err, sizeof err, "-s", socket_of_operator()), 0);
    ck_assert_ptr_nonnull(strstr(out, "1 connections"));
    ck_assert_ptr_nonnull(strstr(out, "127.0.0.1:"));
    ck_assert_ptr_null(strchr(out, '\033'));
    ck_assert_str_eq(err, "");
    close(fd);
    server_finish(&s);
    ck_assert_int_eq(run_top(out, sizeof out, err, sizeof err, "-s", socket_of_operator()), 3);
    ck_assert_ptr_nonnull(strstr(err, "no server answers at "));
    ck_assert_int_eq(run_top(out, sizeof out, err, sizeof err, "-x", NULL), 2);
    ck_assert_ptr_nonnull(strstr(err, "usage: maritcp top"));
    ck_assert_int_eq(run_top(out, sizeof out, err, sizeof err, "now", NULL), 2);
}
END_TEST

Suite *admin_top_suite(void);
Suite *admin_top_suite(void)
{
    Suite *s = suite_create("admin_top");
    TCase *c = itest_case(s, "top", 40);
    tcase_add_test(c, on_a_terminal);
    tcase_add_test(c, other_ends);
    tcase_add_test(c, without_a_terminal);
    return s;
}
