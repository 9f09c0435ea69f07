/*
 * test_programs.c: whole programs, from outside: servers in the 0.9.9 style and in C++, and the LOGIN client.
 */
#include "harness.h"

#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

#include "lines.h"
#include "mario/mario.h"

/* ---- Programs in the 0.9.9 style, and in C++ ---- */

static void legacy_launch(struct server *s)
{
    static const char *const args[] = {"0", "2", "100", "60", "60", NULL};
    server_launch(s, &(struct launch){.program = "legacy", .args = args, .bare = true});
}

/* Goal: a program of the 0.9.9 shape serves LOGIN and say_hello, counts, logs in every way, and stops
 * clean on TERM. */
START_TEST(legacy_program)
{
    struct server s;
    unsigned char data[16];
    const uint16_t uid = 7;
    legacy_launch(&s);
    int fd = client_open(&s);
    ck_assert_uint_eq(client_ask(fd, 0x6101, &uid, 2, data, sizeof data), 0);
    ck_assert_uint_eq(client_ask(fd, 0x6101, &uid, 2, data, sizeof data), 0);
    ck_assert_uint_eq(client_ask(fd, 0x6102, NULL, 0, data, sizeof data), 5);
    ck_assert_mem_eq(data, "hello", 5);
    server_wait_log(&s, "legacy online 1", 3000);
    ck_assert_uint_eq(client_ask(fd, 0x6104, NULL, 0, data, sizeof data), 5);
    server_wait_log(&s, "speak: spoken err_t_w from 127.0.0.1", 3000);
    ck_assert_uint_eq(server_log_count(&s, "spoken"), 6);
    ck_assert_uint_eq(server_log_count(&s, "speak: spoken"), 4);
    ck_assert_uint_eq(client_ask(fd, 0x6105, NULL, 0, data, sizeof data), 5);
    client_expect_fin(fd);
    fd = client_open(&s);
    client_send_packet(fd, 0x6106, NULL, 0);
    client_expect_fin(fd);
    fd = client_open(&s);
    client_send_packet(fd, 0x6101, NULL, 0);
    client_expect_fin(fd);
    int held = client_open(&s);
    ck_assert_uint_eq(client_ask(held, 0x6101, &uid, 2, data, sizeof data), 0);
    server_signal(&s, SIGTERM);
    client_expect_fin(held);
    ck_assert_int_eq(server_wait_exit(&s, 5000), 0);
    ck_assert_uint_eq(server_log_count(&s, "legacy ended, 0 hooks open, 0"), 1);
    ck_assert_uint_eq(server_counter(&s, "closed_function_closed"), 1);
    ck_assert_uint_eq(server_counter(&s, "closed_function_error"), 2);
    server_check(&s);
}
END_TEST

/* Goal: a legacy program whose port is taken says one line and ends. */
START_TEST(legacy_port_taken)
{
    struct server s;
    char err[1000], port[8];
    legacy_launch(&s);
    snprintf(port, sizeof port, "%u", s.port);
    const char *const args[] = {port, "2", "100", "60", "60", NULL};
    ck_assert_int_eq(itest_run(&(struct launch){.program = "legacy", .args = args, .bare = true}, NULL, 0,
                               err, sizeof err),
                     2);
    ck_assert_msg(strstr(err, "in use") != NULL && strchr(err, '\n') == err + strlen(err) - 1, "it says: %s",
                  err);
    server_finish(&s);
}
END_TEST

/* The C++ compiler, or NULL. */
static const char *cxx(void)
{
    static const char *const paths[] = {"/usr/bin/g++", "/usr/local/bin/g++", "/usr/bin/clang++"};
    for (size_t i = 0; i < sizeof paths / sizeof paths[0]; i++) {
        if (access(paths[i], X_OK) == 0)
            return paths[i];
    }
    return NULL;
}

/* Goal: names that are not public are the application's own, in the static library too. */
START_TEST(names_of_ones_own)
{
    struct server s;
    server_start(&s, "names", NULL);
    int fd = client_open(&s);
    client_echo(fd, 100);
    close(fd);
    server_stop(&s);
}
END_TEST

/* Goal: the public headers are C++ without a warning, old and new. Only where there is a C++ compiler. */
START_TEST(headers_are_cxx)
{
    static const char *const standards[] = {"-std=gnu++11", "-std=c++17", "-std=gnu++20"};
    char err[4000], source[600], include[600];
    if (cxx() == NULL)
        TEST_SKIP("no C++ compiler");
    snprintf(source, sizeof source, "%s/test/apps/cxx.cc", itest_root());
    snprintf(include, sizeof include, "-I%s", itest_root());
    for (size_t i = 0; i < sizeof standards / sizeof standards[0]; i++) {
        const char *const args[] = {standards[i], include,         "-Wall", "-Wextra", "-Wpedantic",
                                    "-Werror",    "-fsyntax-only", source,  NULL};
        int code = itest_run(&(struct launch){.program = cxx(), .args = args, .bare = true}, NULL, 0, err,
                             sizeof err);
        ck_assert_msg(code == 0, "%s: %s", standards[i], err);
    }
}
END_TEST

/* Goal: the C++ program serves and stops, if it was built. */
START_TEST(cxx_program)
{
    struct server s;
    if (access(itest_program("cxx"), X_OK) != 0)
        TEST_SKIP("%s was not built", itest_program("cxx"));
    server_launch(&s, &(struct launch){.program = "cxx", .bare = true});
    int fd = client_open(&s);
    client_echo(fd, 500);
    client_send_packet(fd, 0x6105, NULL, 0);
    client_expect_fin(fd);
    fd = client_open(&s);
    client_send_packet(fd, 0x6105, "x", 1);
    client_expect_fin(fd);
    server_wait_fds(&s, s.fds, 5000);
    server_signal(&s, SIGUSR1);
    ck_assert_int_eq(server_wait_exit(&s, 5000), 0);
    ck_assert_uint_eq(server_log_count(&s, "version " MARIO_VERSION), 1);
    ck_assert_uint_eq(server_counter(&s, "closed_function_error"), 1);
    server_check(&s);
}
END_TEST

/* ---- The LOGIN client ---- */

/* Run it with the words given (ends with NULL); its output goes to out. */
static int login_client(const char *const *args, char *out, size_t size, char *err, size_t err_size)
{
    return itest_run(&(struct launch){.program = "mario_test", .args = args, .bare = true}, out, size, err,
                     err_size);
}

/* It must fail with exit code 1 and exactly one line on standard error that contains `word`. */
static void expect_complaint(const char *const *args, const char *word)
{
    char out[4000], err[4000];
    int code = login_client(args, out, sizeof out, err, sizeof err);
    ck_assert_msg(code == 1 && lines_in(err) == 1 && strstr(err, word) != NULL, "exit code %d, it says: %s",
                  code, err);
}

/* Goal: against maritcp it logs in, over TCP and with many connections and every request, exit 0, and the
 * server has counted just that. */
START_TEST(login_client_succeeds)
{
    struct server s;
    char port[8], out[8000], err[1000];
    server_start(&s, "maritcp", "server.connnum=200", NULL);
    snprintf(port, sizeof port, "%u", s.port);
    const char *const one[] = {"127.0.0.1", port, NULL};
    ck_assert_msg(login_client(one, out, sizeof out, err, sizeof err) == 0, "it says: %s", err);
    ck_assert_uint_eq(lines_in(err), 0);
    const char *const many[] = {"127.0.0.1", port,     "-n",     "100", "-l", "3",
                                "--hello",   "--echo", "--hold", "0.2", NULL};
    ck_assert_msg(login_client(many, out, sizeof out, err, sizeof err) == 0, "it says: %s", err);
    server_finish(&s);
    ck_assert_uint_eq(server_counter(&s, "opened"), 101);
    ck_assert_uint_eq(server_counter(&s, "packets_in"), 1 + 100 * 5);
}
END_TEST

/* Goal: no server, a wrong stx, a server that is no MarioTCP or says nothing: exit 1 and one clear line
 * each. */
START_TEST(login_client_fails)
{
    struct server s;
    char port[8];
    server_start(&s, "maritcp", NULL);
    snprintf(port, sizeof port, "%u", s.port);
    const char *const wrong_stx[] = {"127.0.0.1", port, "-x", "12345678", NULL};
    expect_complaint(wrong_stx, "clos");
    const char *const ok[] = {"127.0.0.1", port, "-q", NULL};
    ck_assert_int_eq(login_client(ok, NULL, 0, NULL, 0), 0);
    server_finish(&s);
    expect_complaint(ok, "refused");

    struct sockaddr_in a = {.sin_family = AF_INET, .sin_addr.s_addr = htonl(INADDR_LOOPBACK)};
    socklen_t len = sizeof a;
    int fd = socket(AF_INET, SOCK_STREAM | SOCK_CLOEXEC, 0);
    ck_assert(fd >= 0 && bind(fd, (struct sockaddr *) &a, len) == 0 && listen(fd, 5) == 0);
    ck_assert_int_eq(getsockname(fd, (struct sockaddr *) &a, &len), 0);
    snprintf(port, sizeof port, "%u", ntohs(a.sin_port));
    const char *const silent[] = {"127.0.0.1", port, "-t", "0.3", NULL};
    expect_complaint(silent, "in time");
    close(fd);
}
END_TEST

Suite *programs_suite(void)
{
    Suite *s = suite_create("programs");
    TCase *c = itest_case(s, "programs", 20);
    tcase_add_test(c, legacy_program);
    tcase_add_test(c, legacy_port_taken);
    tcase_add_test(c, names_of_ones_own);
    tcase_add_test(c, headers_are_cxx);
    tcase_add_test(c, cxx_program);
    tcase_add_test(c, login_client_succeeds);
    tcase_add_test(c, login_client_fails);
    return s;
}
