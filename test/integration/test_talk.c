/*
 * test_talk.c: mario_test and mario_load where they speak of others: to a real maritcp with two workers. How mario_load
 * judges what a server does wrong is the clients suite's.
 */
#include <signal.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

#include "commands.h"
#include "program.h"

struct listener {
    char dir[64], out[96], err[96], log[96];
    pid_t pid;
};

/* Start mario_test in the background; the words end with NULL. */
static void listen_begin(struct listener *l, const struct server *s, const char *const *words)
{
    const char *args[24] = {"127.0.0.1"};
    char port[8];
    size_t n = 1;
    snprintf(port, sizeof port, "%u", s->port);
    for (args[n++] = port; *words != NULL && n < 23;)
        args[n++] = *words++;
    program_make_dir(l->dir, sizeof l->dir);
    snprintf(l->out, sizeof l->out, "%s/out", l->dir);
    snprintf(l->err, sizeof l->err, "%s/err", l->dir);
    snprintf(l->log, sizeof l->log, "%s/log", l->dir);
    struct launch how = {.program = "mario_test", .args = args, .bare = true};
    l->pid = program_start(&how, l->log, l->out, l->err);
}

/* Wait until it has printed this. */
static void listen_wait(const struct listener *l, const char *text)
{
    uint64_t until = itest_deadline(COMMANDS_SOON_MS);
    for (bool found = false; !found; itest_sleep(1)) {
        char *out = program_slurp(l->out);
        found = strstr(out, text) != NULL;
        ITEST_ASSERT(found || mono_ns() < until, "no '%s' in: %s", text, out);
        free(out);
    }
}

/* Push to it until it has heard it: what comes before it is logged in is nobody's. */
static void await_listener(const struct listener *l, int fd, uint16_t uid)
{
    uint64_t until = itest_deadline(COMMANDS_SOON_MS);
    for (bool found = false; !found; itest_sleep(1)) {
        commands_push(fd, uid, "are you there");
        commands_bare(fd, CMD_FUNCTION_PUSH_TO);
        char *out = program_slurp(l->out);
        found = strstr(out, "are you there") != NULL;
        ITEST_ASSERT(found || mono_ns() < until, "it does not listen: %s", out);
        free(out);
    }
}

static void listen_end(struct listener *l, int sig, int code, const char *err)
{
    if (sig != 0)
        kill(l->pid, sig);
    ck_assert_int_eq(program_wait(l->pid, itest_deadline(COMMANDS_SOON_MS)), code);
    char *said = program_slurp(l->err);
    ck_assert_msg(strstr(said, err) != NULL && (said[0] == '\0') == (code == 0), "'%s' is not: %s", err,
                  said);
    free(said);
    program_remove_dir(l->dir);
}

/* Run mario_test or mario_load to its end. */
static int run_client(const struct server *s, const char *program, const char *const *words, char *out,
                      size_t out_size, char *err, size_t err_size)
{
    const char *args[32] = {"127.0.0.1"};
    char port[8];
    size_t n = 1;
    snprintf(port, sizeof port, "%u", s->port);
    for (args[n++] = port; *words != NULL && n < 31;)
        args[n++] = *words++;
    return itest_run(&(struct launch){.program = program, .args = args, .bare = true}, out, out_size, err,
                     err_size);
}

/* Goal: what the manual of mario_test shows: one listens, another pushes and says; each sees what there is to see, in
 * time, and ends with the right code. */
START_TEST(two_terminals_talk)
{
    static const char *const first[] = {"-u", "7", "--join", "5", "--listen", NULL};
    static const char *const second[] = {
        "-u",      "8", "--push-to", "7:hello", "--say", "5:h\xc3\xa9\033[2J:",
        "--who",   "5", "--join",    "5",       "--who", "5",
        "--leave", "5", "--who",     "5",       NULL};
    char out[4096], err[1024];
    struct server s;
    struct listener l;
    server_start(&s, "maritcp", "server.workernum=2", "login.policy=kick_old", NULL);
    listen_begin(&l, &s, first);
    listen_wait(&l, "listening");
    int code = run_client(&s, "mario_test", second, out, sizeof out, err, sizeof err);
    ck_assert_msg(code == 0 && err[0] == '\0', "exit code %d: %s%s", code, err, out);
    ck_assert_msg(strstr(out, "PUSH_TO 7: accepted in ") != NULL && strstr(out, "SAY 5: said in ") != NULL,
                  "%s", out);
    const char *one = strstr(out, "WHO 5: 1 there in "), *two = strstr(out, "WHO 5: 2 there in ");
    ck_assert_msg(one != NULL && two != NULL && strstr(two, "WHO 5: 1 there in ") != NULL, "%s", out);
    listen_wait(&l, "PUSHED from 8: \"hello\"\n"); /* which of the two comes first is not said */
    listen_wait(&l, "SAID in 5 by 8: \"h\xc3\xa9.[2J:\"\n");
    listen_end(&l, SIGINT, 0, "");
    server_finish(&s);
    server_check(&s);
}
END_TEST

/* Goal: it says what is wrong in a line: a uid that is taken, a server that ends it, bad usage. */
START_TEST(mario_test_says_what_is_wrong)
{
    static const struct {
        const char *words[8];
        int code;
        const char *err;
    } cases[] = {
        {{"-u", "7", "--listen"}, 1, "LOGIN uid 7: refused: this uid is logged in elsewhere"},
        {{"-u", "7"}, 1, "LOGIN, after 0.0"},
        {{"--join", "0"}, 2, "--join: '0' is not a number from 1 to 18446744073709551615"},
        {{"--say", "5"}, 2, "--say: '5' is not GROUP:TEXT"},
        {{"--push-to", "70000:x"}, 2, "--push-to: '70000' is not a number from 0 to 65535"},
        {{"--who", ":5"}, 2, "--who: ':5' is not a number"},
        {{"--who", "5", "-n", "2"}, 2, "--listen go with -u, -x, -t and -q alone"},
        {{"-x", "1234", "--who", "5"}, 1, "LOGIN uid 0: the server closed the connection"},
    };
    static const char *const listener[] = {"-q", "-u", "7", "--listen", NULL};
    char out[4096], err[1024];
    struct server s;
    struct listener l;
    server_start(&s, "maritcp", "login.policy=refuse_new", NULL);
    int fd = commands_open(&s, 9);
    listen_begin(&l, &s, listener);
    await_listener(&l, fd, 7);
    for (size_t i = 0; i < sizeof cases / sizeof cases[0]; i++) {
        int code = run_client(&s, "mario_test", cases[i].words, out, sizeof out, err, sizeof err);
        ck_assert_msg(code == cases[i].code && strstr(err, cases[i].err) != NULL,
                      "case %zu: exit code %d: %s%s", i, code, err, out);
    }
    close(fd);
    s.log_lines_max = 100;
    server_stop(&s);
    listen_end(&l, 0, 1, "the server closed the connection");
}
END_TEST

/* Goal: who holds connections while the server drains counts them as lost, and says that it drains. */
START_TEST(holding_while_the_server_drains)
{
    static const char *const words[] = {"-n", "3", "--hold", "60", NULL};
    struct server s;
    struct listener l;
    server_start(&s, "maritcp", "drain.on_term=on", "drain.delay=0", "drain.time=1", NULL);
    listen_begin(&l, &s, words);
    listen_wait(&l, "3 holding");
    server_signal(&s, SIGTERM);
    listen_end(&l, 0, 1, "while holding: the server told it to go away");
    ck_assert_int_eq(server_wait_exit(&s, 10000), 0);
    ck_assert_uint_eq(server_counter(&s, "closed_drain"), 3);
    server_check(&s);
}
END_TEST

/* The number behind "key": in the JSON text. */
static uint64_t json_number(const char *json, const char *key)
{
    char name[64];
    unsigned long long value = 0;
    snprintf(name, sizeof name, "\"%s\":", key);
    const char *at = strstr(json, name);
    ck_assert_msg(at != NULL && sscanf(at + strlen(name), "%llu", &value) == 1, "no %s in %s", key, json);
    return value;
}

/* Goal: thousands of messages a second from several publishers to many groups on two workers: each is heard once, in
 * order, and the client's book and the server's say the same. */
START_TEST(both_books_agree)
{
    static const char *const cases[][16] = {
        {"-c", "300", "-r", "100", "--groups", "1"},
        {"-c", "100", "-r", "500", "--groups", "20", "--joins", "7", "--publishers", "9", "-T", "2"},
        {"-c", "20", "-r", "40", "-s", "30000", "--publishers", "2"},
    };
    char out[8192], err[2048];
    struct server s;
    const char *words[32] = {"-m", "push", "-w", "0", "-t", "1", "-D", "20", "-j", "-"};
    memcpy(words + 10, cases[_i], sizeof cases[_i]);
    /* A client that the machine holds up for a while is no slow reader here. */
    server_start(&s, "maritcp", "server.workernum=2", "server.max_pkglen=65535", "push.queue=0",
                 "push.bytes=64m", NULL);
    int code = run_client(&s, "mario_load", words, out, sizeof out, err, sizeof err);
    ck_assert_msg(code == 0, "exit code %d: %s%s", code, err, out);
    ck_assert_uint_ge(json_number(out, "expected"), 780);
    server_finish(&s);
    ck_assert_uint_eq(server_counter(&s, "push_targets"), json_number(out, "expected"));
    ck_assert_uint_eq(server_counter(&s, "push_sent"), json_number(out, "all_received"));
    commands_ledger(&s);
    server_check(&s);
}
END_TEST

Suite *talk_suite(void)
{
    Suite *s = suite_create("talk");
    TCase *c = itest_case(s, "talk", 50);
    tcase_add_test(c, two_terminals_talk);
    tcase_add_test(c, mario_test_says_what_is_wrong);
    tcase_add_test(c, holding_while_the_server_drains);
    tcase_add_loop_test(c, both_books_agree, 0, 3);
    return s;
}
