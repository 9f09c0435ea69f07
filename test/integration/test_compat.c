/*
 * test_compat.c: programs and clients as those of MarioTCP 0.9.9 are: what they found then they find now.
 */
#include "harness.h"

#include <errno.h>
#include <signal.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/prctl.h>
#include <unistd.h>

#include "mortal.h"
#include "program.h"

/* ---- legacy_server ---- */

enum { LOGIN = 0x6101, COPY = 0x6102, FILL = 0x6103, AGAIN = 0x6104, SPEAK = 0x6105, ONLINE = 0x6106 };

enum { PKGLEN_MAX = 1500, OUT_BUF = 2048 };

/* A directory with its init.conf. */
static void make_conf(char *dir, size_t size, unsigned timeout)
{
    char path[96];
    program_make_dir(dir, size);
    snprintf(path, sizeof path, "%s/init.conf", dir);
    FILE *f = fopen(path, "w");
    ck_assert_msg(f != NULL, "%s: %s", path, strerror(errno));
    fprintf(f, "PORT\t\t0\nTIMEOUT\t\t%u\nWORKERNUM\t2\nCONNNUM\t\t200\nUSERNUM\t\t200\n", timeout);
    fclose(f);
}

/* In the foreground. */
static void legacy_start(struct server *s, unsigned timeout)
{
    static char dir[64];
    make_conf(dir, sizeof dir, timeout);
    const char *args[] = {"-c", "cd \"$0\" && exec \"$1\" foreground", dir, itest_program("legacy_server"),
                          NULL};
    server_launch(s, &(struct launch){.program = "/bin/sh", .args = args, .bare = true});
    s->log_lines_max = 1000;
    program_remove_dir(dir);
}

static void login(int fd)
{
    const uint16_t uid = 7;
    ck_assert_uint_eq(client_ask(fd, LOGIN, &uid, sizeof uid, NULL, 0), 0);
}

/* A daemon's link in /proc, which must be `expected`. */
static void expect_link(const struct server *s, const char *name, const char *expected)
{
    char path[64], is[256] = "";
    snprintf(path, sizeof path, "/proc/%d/%s", (int) s->pid, name);
    ck_assert_msg(readlink(path, is, sizeof is - 1) > 0 && strcmp(is, expected) == 0,
                  "%s is '%s' instead of %s", name, is, expected);
}

/* Goal: after run_daemon() a program finds init.conf in the directory it was started in, and what it writes and logs
 * to standard output and error arrives where they led then, also once it serves. Whoever started it goes on at once. */
START_TEST(daemon_keeps_directory_and_streams)
{
    struct server s = {0};
    char dir[64];
    ck_assert(prctl(PR_SET_CHILD_SUBREAPER, 1) == 0);
    make_conf(dir, sizeof dir, 60);
    const char *args[] = {"-c", "cd \"$0\" && exec \"$1\" >log 2>err", dir, itest_program("legacy_server"),
                          NULL};
    ck_assert_int_eq(
        itest_run(&(struct launch){.program = "/bin/sh", .args = args, .bare = true}, NULL, 0, NULL, 0), 0);
    server_adopt(&s, dir);
    s.log_lines_max = 1000;
    int fd = client_open(&s);
    login(fd);
    ck_assert_uint_eq(client_ask(fd, SPEAK, NULL, 0, NULL, 0), 0);
    server_wait_log(&s, "spoken raw to out", 3000);
    server_wait_log(&s, "online number: 1", 3000);
    ck_assert_uint_eq(server_log_count(&s, "init_conf port 0 timeout 60"), 1);
    expect_link(&s, "cwd", dir);
    expect_link(&s, "fd/1", s.log);
    expect_link(&s, "fd/2", s.err);
    ck_assert_int_eq(getsid(s.pid), s.pid);
    char *err = program_slurp(s.err);
    ck_assert_str_eq(err, "spoken raw to err\n");
    free(err);
    close(fd);
    server_stop(&s);
}
END_TEST

/* Goal: a daemon whose start fails later keeps nobody waiting: its starter has gone with 0. What is wrong stands where
 * standard error leads. */
START_TEST(daemon_that_fails)
{
    char err[1000];
    const char *args[] = {"-c", "cd / && exec \"$0\"", itest_program("legacy_server"), NULL};
    ck_assert(prctl(PR_SET_CHILD_SUBREAPER, 1) == 0);
    ck_assert_int_eq(itest_run(&(struct launch){.program = "/bin/sh", .args = args, .bare = true}, NULL, 0,
                               err, sizeof err),
                     0);
    ck_assert_int_eq(program_wait(program_orphan(), itest_deadline(5000)), 255);
}
END_TEST

/* Goal: mario_supervise() after run_daemon(): the daemon is the parent; its child is started again when it dies, and
 * logs to a file that is named from the directory they all were started in. */
START_TEST(daemon_that_is_supervised)
{
    struct server s = {0};
    char dir[64];
    ck_assert(prctl(PR_SET_CHILD_SUBREAPER, 1) == 0);
    program_make_dir(dir, sizeof dir);
    const char *args[] = {"-c",
                          "cd \"$0\" && exec \"$@\" >out 2>err",
                          dir,
                          itest_program("testapp"),
                          "log.file=log",
                          "server.listen=127.0.0.1:0",
                          "server.supervise=on",
                          "test.early=daemon",
                          NULL};
    ck_assert_int_eq(
        itest_run(&(struct launch){.program = "/bin/sh", .args = args, .bare = true}, NULL, 0, NULL, 0), 0);
    server_adopt(&s, dir);
    pid_t child = mortal_child(s.pid);
    ck_assert_msg(child > 0 && kill(child, SIGKILL) == 0, "there is no child");
    mortal_served_again(&s);
    expect_link(&s, "cwd", dir);
    server_signal(&s, SIGTERM);
    ck_assert_int_eq(server_wait_exit(&s, 5000), 0);
    ck_assert_uint_eq(server_log_count(&s, "signal 9"), 1);
    server_discard(&s);
}
END_TEST

/* Goal: a function with a buffer of 1,500 bytes is never handed more; and an answer of 2,048 bytes fits out_buf. */
START_TEST(packets_have_1500_bytes)
{
    struct server s;
    static unsigned char data[65536], back[65536];
    legacy_start(&s, 60);
    memset(data, 'd', sizeof data);
    int fd = client_open(&s);
    for (uint16_t cmd = COPY; cmd <= AGAIN; cmd += AGAIN - COPY) {
        ck_assert_uint_eq(client_ask(fd, cmd, data, PKGLEN_MAX - 8, back, sizeof back), PKGLEN_MAX - 8);
        ck_assert_mem_eq(data, back, PKGLEN_MAX - 8);
    }
    ck_assert_uint_eq(client_ask(fd, FILL, NULL, 0, back, sizeof back), OUT_BUF - 8);
    static const size_t too_long[] = {PKGLEN_MAX + 1, 2000, 8192, 65535};
    for (size_t i = 0; i < sizeof too_long / sizeof too_long[0]; i++) {
        int other = client_open(&s);
        client_send_packet(other, COPY, data, too_long[i] - 8);
        size_t extra = 0;
        enum ending how = client_ending(other, &extra, 3000);
        ck_assert_msg((how == END_FIN || how == END_RST) && extra == 0, "%zu bytes: ending %d, %zu bytes",
                      too_long[i], (int) how, extra);
        close(other);
    }
    login(fd);
    close(fd);
    server_finish(&s);
    ck_assert_uint_eq(server_counter(&s, "closed_bad_length"), 4);
}
END_TEST

/* Goal: "\r\n" behind a packet is the beginning of the next one: it waits, until the timeout for silence, whose hook
 * runs; with a packet behind it the connection ends, as a head that begins so is none. */
START_TEST(tails_of_two_bytes)
{
    struct server s;
    legacy_start(&s, 1);
    int waits = client_open(&s), goes_on = client_open(&s);
    login(waits);
    client_send(waits, "\r\n", 2);
    login(goes_on);
    client_send(goes_on, "\r\n", 2);
    client_send_packet(goes_on, LOGIN, "ab", 2);
    client_expect_fin(goes_on);
    client_expect_fin(waits);
    server_wait_log(&s, "timed out", 3000);
    server_finish(&s);
    ck_assert_uint_eq(server_counter(&s, "closed_idle_timeout"), 1);
    ck_assert_uint_eq(server_counter(&s, "closed_bad_stx"), 1);
}
END_TEST

/* Goal: calls of slog_*() without a semicolon log, raw text goes to its descriptor; functions set in the table run. */
START_TEST(logs_as_then)
{
    struct server s;
    char out[20];
    uint32_t n = 0;
    legacy_start(&s, 60);
    int fd = client_open(&s);
    login(fd);
    ck_assert_uint_eq(client_ask(fd, SPEAK, NULL, 0, NULL, 0), 0);
    server_wait_log(&s, "spoken raw to out", 3000);
    for (int i = 1; i <= 9; i++) {
        snprintf(out, sizeof out, "spoken %d", i);
        ck_assert_uint_eq(server_log_count(&s, out), 1);
    }
    server_wait_log(&s, "online number: 1", 3000);
    ck_assert_uint_eq(client_ask(fd, ONLINE, NULL, 0, &n, sizeof n), sizeof n);
    ck_assert_uint_eq(n, 1);
    client_send_packet(fd, LOGIN, NULL, 0);
    client_expect_fin(fd);
    server_wait_log(&s, "login: invalid login pkg.", 3000);
    server_finish(&s);
}
END_TEST

/* ---- legacy_table, as C and as C++ ---- */

static void ask_table(const char *program)
{
    struct server s;
    char text[100];
    server_launch(&s, &(struct launch){.program = program, .bare = true});
    int fd = client_open(&s);
    close(client_open(&s));
    uint64_t deadline = itest_deadline(5000);
    do {
        size_t n = client_ask(fd, 0x6103, NULL, 0, text, sizeof text - 1);
        text[n] = '\0';
        ck_assert_msg(mono_ns() < deadline, "it says: %s", text);
    } while (strncmp(text, "2 came, 1 left, ", 16) != 0 || atoi(text + 16) == 0);
    client_send_packet(fd, 0x6104, NULL, 0);
    client_expect_fin(fd);
    server_finish(&s);
    ck_assert_uint_eq(server_counter(&s, "closed_unknown_akg"), 1);
    ck_assert_uint_eq(server_counter(&s, "closed_bad_stx"), 0);
}

/* Goal: functions, hooks and the magic that were written into the library's variables count; libevent 1's timers
 * run. */
START_TEST(written_into_the_table)
{
    ask_table("legacy_table");
}
END_TEST

START_TEST(written_into_the_table_in_cxx)
{
    ask_table("legacy_table_cxx");
}
END_TEST

/* ---- The client ---- */

static void expect_logins(const struct server *s)
{
    char port[8], out[1000], err[1000];
    snprintf(port, sizeof port, "%u", s->port);
    const char *const args[] = {"127.0.0.1", port, "100", NULL};
    int code = itest_run(&(struct launch){.program = "legacy_client", .args = args, .bare = true}, out,
                         sizeof out, err, sizeof err);
    ck_assert_msg(code == 0 && strcmp(out, "100 logged in\n") == 0, "exit code %d, it says: %s%s", code, out,
                  err);
}

/* Goal: a burst of logins of 0.9.9's client, with its tails, is answered by bare heads: by an old program and by
 * maritcp, with the numbers of its init.conf. */
START_TEST(burst_of_logins)
{
    struct server s;
    legacy_start(&s, 60);
    expect_logins(&s);
    server_finish(&s);
    server_start(&s, "maritcp", "server.workernum=4", "server.connnum=1024", "server.timeout=8", NULL);
    expect_logins(&s);
    server_finish(&s);
    ck_assert_uint_eq(server_counter(&s, "packets_in"), 100);
}
END_TEST

Suite *compat_suite(void)
{
    Suite *s = suite_create("compat");
    TCase *c = itest_case(s, "programs", 20);
    tcase_add_test(c, daemon_keeps_directory_and_streams);
    tcase_add_test(c, daemon_that_fails);
    tcase_add_test(c, daemon_that_is_supervised);
    tcase_add_test(c, packets_have_1500_bytes);
    tcase_add_test(c, tails_of_two_bytes);
    tcase_add_test(c, logs_as_then);
    tcase_add_test(c, written_into_the_table);
    tcase_add_test(c, written_into_the_table_in_cxx);
    tcase_add_test(c, burst_of_logins);
    return s;
}
