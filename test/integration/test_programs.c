/*
 * test_programs.c: whole programs, from outside: servers in the 0.9.9 style and in C++, and the LOGIN client.
 */
#include "harness.h"

#include <arpa/inet.h>
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

/* The LOGIN client at one of s's addresses; what it prints goes to out. */
static void login_at(const struct server *s, unsigned which, const char *const *words, char *out, size_t size)
{
    char port[8], err[1000];
    const char *args[16] = {"127.0.0.1", port};
    snprintf(port, sizeof port, "%u",
             ntohs(((const struct sockaddr_in *) &s->addresses[which].addr)->sin_port));
    for (size_t n = 2; *words != NULL; n++)
        args[n] = *words++;
    int code = login_client(args, out, size, err, sizeof err);
    ck_assert_msg(code == 0 && err[0] == '\0', "exit code %d, it says: %s%s", code, err, out);
}

#define WORDS(...) ((const char *const[]){__VA_ARGS__, NULL})

/* Goal: over other framings it asks for what there is, finds it right, and prints it. */
START_TEST(login_client_over_framings)
{
    struct server s;
    char out[8000];
    server_launch(
        &s, &(struct launch){.program = "maritcp",
                             .listen = "127.0.0.1:0,127.0.0.1:0 proto=ws,127.0.0.1:0 proto=line id=word"});
    login_at(&s, 1, WORDS("--proto", "ws", "-u", "7", "--hello", "--echo=caf\xc3\xa9"), out, sizeof out);
    ck_assert_msg(strstr(out, "LOGIN uid 7: reply stx 0x8eb69af7 akg_id 0x6101 pkglen 8 in ") != NULL &&
                      strstr(out, "akg_id 0x6102 pkglen 13 \"hello\" in ") != NULL &&
                      strstr(out, "akg_id 0x6103 pkglen 13 \"caf\xc3\xa9\" in ") != NULL,
                  "%s", out);
    login_at(&s, 1, WORDS("--proto", "ws", "-n", "100", "-l", "3", "--echo", "--hold", "0.2"), out,
             sizeof out);
    ck_assert_msg(strstr(out, "connected 100, refused 0, logins ok 300, echoes ok 100, wrong 0, missing 0") !=
                      NULL,
                  "%s", out);
    login_at(&s, 2, WORDS("--proto", "line", "--hello", "--echo=hi there"), out, sizeof out);
    ck_assert_msg(strstr(out, "SAY_HELLO: reply \"hello\" in ") != NULL &&
                      strstr(out, "ECHO: reply \"echo hi there\" in ") != NULL &&
                      strstr(out, "LOGIN") == NULL,
                  "%s", out);
    login_at(&s, 2, WORDS("--proto", "line", "-n", "50", "--echo"), out, sizeof out);
    ck_assert_msg(strstr(out, "connected 50, refused 0, logins ok 0, echoes ok 50, wrong 0") != NULL, "%s",
                  out);
    server_finish(&s);
    ck_assert_uint_eq(server_counter(&s, "packets_in"), 3 + 100 * 4 + 2 + 50);
    server_launch(&s, &(struct launch){.program = "testapp",
                                       .listen = "127.0.0.1:0,127.0.0.1:0 proto=length size=4 id=0x7090,"
                                                 "127.0.0.1:0 proto=raw id=0x7090"});
    login_at(&s, 1, WORDS("--proto", "length", "--echo"), out, sizeof out);
    login_at(&s, 2, WORDS("--proto", "raw", "--echo=bytes"), out, sizeof out);
    ck_assert_msg(strstr(out, "ECHO: reply \"bytes\" in ") != NULL, "%s", out);
    server_finish(&s);
}
END_TEST

/* Goal: what does not go together is said, and so is a server that speaks something else. */
START_TEST(login_client_and_wrong_framings)
{
    static const struct {
        const char *words[6];
        int code;
        const char *err;
    } cases[] = {
        {{"--proto", "http"}, 2, "--proto: 'http' is not head, ws, line, length or raw"},
        {{"--proto", "line"}, 2, "--hello or --echo is needed"},
        {{"--proto", "raw", "--hello", "-l", "2"}, 2, "-l does not go with it"},
        {{"--proto", "ws", "--join", "5"}, 2, "--listen are for HEAD+Data"},
        {{"--proto", "ws"}, 1, "this is no WebSocket: the upgrade is refused"},
        {{"--proto", "length", "--echo"}, 1, "ECHO, after "},
        {{"--proto", "line", "--hello"}, 1, "wrong content"},
    };
    struct server s;
    char port[8], out[4000], err[4000];
    server_launch(
        &s, &(struct launch){.program = "testapp", .listen = "127.0.0.1:0,127.0.0.1:0 proto=line id=0x7090"});
    snprintf(port, sizeof port, "%u", ntohs(((const struct sockaddr_in *) &s.addresses[1].addr)->sin_port));
    for (size_t i = 0; i < sizeof cases / sizeof cases[0]; i++) {
        const char *args[10] = {"127.0.0.1", port, "-t", "0.5"};
        memcpy(args + 4, cases[i].words, sizeof cases[i].words);
        int code = login_client(args, out, sizeof out, err, sizeof err);
        ck_assert_msg(code == cases[i].code && strstr(err, cases[i].err) != NULL,
                      "case %zu: exit code %d: %s%s", i, code, err, out);
    }
    server_stop(&s);
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
    tcase_add_test(c, login_client_over_framings);
    tcase_add_test(c, login_client_and_wrong_framings);
    return s;
}
