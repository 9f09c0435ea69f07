/*
 * test_start.c: starting, and above all not starting: bad configuration, a port that is taken, limits, every
 * system call of the start made to fail, daemons. A start that fails says why in one line, with the right
 * exit code, and leaves nothing behind.
 */
#include <errno.h>
#include <fcntl.h>
#include <signal.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/prctl.h>
#include <sys/stat.h>
#include <sys/wait.h>
#include <unistd.h>

#include "harness.h"
#include "preloads.h"
#include "program.h"

enum { EXIT_CONF = 1, EXIT_NO_START = 2, TEXT = 4096 };

/* A directory for what a server may leave behind. */
static void scratch_make(char dir[64])
{
    const char *run = getenv("ITEST_DIR");
    snprintf(dir, 64, "%s/start-XXXXXX", run != NULL ? run : "/tmp");
    ck_assert_msg(mkdtemp(dir) != NULL, "%s: %s", dir, strerror(errno));
}

/* It must be empty, so nothing was left. */
static void scratch_remove(const char *dir)
{
    ck_assert_msg(rmdir(dir) == 0, "something was left in %s: %s", dir, strerror(errno));
}

/* text is one line, with its newline, and contains word. */
static void check_one_line(const char *what, const char *text, const char *word)
{
    const char *end = strchr(text, '\n');
    ck_assert_msg(end != NULL && end[1] == '\0' && end > text, "%s: not one line but '%s'", what, text);
    ck_assert_msg(strstr(text, word) != NULL, "%s: no '%s' in '%s'", what, word, text);
}

/* The program must end with this code, one line on standard error, and nothing on standard output. */
static void must_refuse(const char *what, const struct launch *l, int code, const char *word)
{
    char out[TEXT], err[TEXT];
    int got = itest_run(l, out, sizeof out, err, sizeof err);
    ck_assert_msg(got == code, "%s: exit code %d instead of %d, with '%s'", what, got, code, err);
    ck_assert_msg(out[0] == '\0', "%s: it printed '%s'", what, out);
    check_one_line(what, err, word);
}

/* ---- Configuration ---- */

/* Goal: each mistake on the command line gets one line that names it, exit 1, and nothing is started. */
START_TEST(a_bad_override)
{
    static const struct {
        const char *text, *word;
    } rows[] = {
        {"server.port=65536", "65535"},
        {"server.port=0", "65535"},
        {"server.port=eighty", "not a number"},
        {"server.nosuch=1", "nosuch"},
        {"nosuch.port=1", "nosuch"},
        {"server.workernum=2x", "behind the number"},
        {"server.workernum=-1", "negative"},
        {"server.connnum=", "no value"},
        {"server.timeout=99999999999999999999", "range"},
        {"server.max_pkglen=7", "8"},
        {"server.listen=127.0.0.1", "port"},
        {"server.listen=127.0.0.1:0,", "empty"},
        {"server.listen=[::1:80", "]"},
        {"server.listen=unix:", "path"},
        {"server.when_full=perhaps", "wait"},
        {"log.level=loud", "debug"},
        {"output.high=5m", "output.max"},
        {"nothing", "="},
    };
    char dir[64], path[128], log[128];
    scratch_make(dir);
    snprintf(path, sizeof path, "server.listen=unix:%s/s", dir);
    snprintf(log, sizeof log, "log.file=%s/log", dir);
    for (size_t i = 0; i < sizeof rows / sizeof rows[0]; i++) {
        const char *args[] = {path, log, strchr(rows[i].text, '=') != NULL ? rows[i].text : "-o",
                              rows[i].text, NULL};
        must_refuse(rows[i].text, &(struct launch){.program = "maritcp", .args = args, .bare = true},
                    EXIT_CONF, rows[i].word);
    }
    scratch_remove(dir);
}
END_TEST

static void write_file(const char *path, const char *text, size_t n)
{
    int fd = open(path, O_WRONLY | O_CREAT | O_TRUNC, 0600);
    ck_assert(fd >= 0 && write(fd, text, n) == (ssize_t) n);
    close(fd);
}

/* Start with this configuration file, besides places in dir. */
static void refuse_file(const char *dir, const char *what, const char *file, const char *word)
{
    char path[128], log[128];
    snprintf(path, sizeof path, "server.listen=unix:%s/s", dir);
    snprintf(log, sizeof log, "log.file=%s/log", dir);
    const char *args[] = {"-c", file, path, log, NULL};
    must_refuse(what, &(struct launch){.program = "maritcp", .args = args, .bare = true}, EXIT_CONF, word);
}

/* Goal: a configuration file that is missing, a directory, endless or wrong: one line with file and line,
 * exit 1. */
START_TEST(a_bad_file)
{
    static const struct {
        const char *text, *word;
    } rows[] = {
        {"[server]\nport = 65536\n", "conf:2: server.port"},
        {"[server]\nport = http\n", "conf:2: server.port"},
        {"[server]\n\n# a comment\nprot = 80\n", "conf:4: "},
        {"[sever]\nport = 80\n", "conf:1: "},
        {"port = 80\n", "conf:1: "},
        {"[server]\nport\n", "conf:2: "},
        {"[server]\nport = 80\nport = 81\n", "conf:3: "},
        {"[output]\nhigh = 2m\nmax = 1m\n", "output."},
        {"[server\nport = 80\n", "conf:1: "},
        {"\x7f\x45\x4c\x46\x02\x01\n", "conf:1: "},
    };
    char dir[64], file[80];
    scratch_make(dir);
    snprintf(file, sizeof file, "%s/conf", dir);
    refuse_file(dir, "a missing file", file, "No such file");
    refuse_file(dir, "a directory", dir, "directory");
    refuse_file(dir, "an endless file", "/dev/zero", "/dev/zero");
    for (size_t i = 0; i < sizeof rows / sizeof rows[0]; i++) {
        write_file(file, rows[i].text, strlen(rows[i].text));
        refuse_file(dir, rows[i].text, file, rows[i].word);
    }
    unlink(file);
    scratch_remove(dir);
}
END_TEST

/* Goal: what -t accepts, the start accepts too: the two must not have different ideas of a range. */
START_TEST(what_the_check_accepts_starts)
{
    static const char *const rows[] = {
        "server.timeout=31536000",
        "server.write_timeout=31536000",
        "server.packet_timeout=31536000",
        "server.drain_timeout=31536000",
        "server.keepalive=32767",
        "server.max_pkglen=8",
        "server.max_pkglen=65535",
        "server.backlog=65535",
        "server.workernum=256",
        "output.max=1g",
        "output.high=1k",
        "collect.interval=31536000",
        "server.stx=0xffffffff",
    };
    char out[TEXT], err[TEXT];
    for (size_t i = 0; i < sizeof rows / sizeof rows[0]; i++) {
        const char *args[] = {"-t", rows[i], "server.connnum=1", NULL};
        int code =
            itest_run(&(struct launch){.program = "maritcp", .args = args}, out, sizeof out, err, sizeof err);
        if (code == EXIT_CONF) {
            check_one_line(rows[i], err, "allowed");
            continue;
        }
        struct server s;
        server_start(&s, "maritcp", rows[i], "server.connnum=1", NULL);
        server_stop(&s);
    }
}
END_TEST

/* ---- Ports ---- */

/* Goal: a port that is taken: exit 2, one line with the address and how to mend it, as a daemon too; what was
 * open is gone. */
START_TEST(a_port_is_taken)
{
    struct server s;
    char dir[64], both[192], where[32];
    scratch_make(dir);
    server_start(&s, "maritcp", NULL);
    snprintf(where, sizeof where, "127.0.0.1:%u", s.port);
    snprintf(both, sizeof both, "server.listen=unix:%s/s,127.0.0.1:0,%s", dir, where);
    const char *plain[] = {both, NULL}, *daemon[] = {both, "-d", NULL};
    must_refuse("plain", &(struct launch){.program = "maritcp", .args = plain}, EXIT_NO_START, where);
    must_refuse("plain", &(struct launch){.program = "maritcp", .args = plain}, EXIT_NO_START,
                "choose another");
    must_refuse("daemon", &(struct launch){.program = "maritcp", .args = daemon}, EXIT_NO_START, where);
    must_refuse("of a careless starter", &(struct launch){.program = "maritcp", .args = daemon, .deaf = true},
                EXIT_NO_START, where);
    int fd = client_open(&s); /* the one that was there first does not mind */
    client_echo(fd, 100);
    close(fd);
    server_finish(&s);
    scratch_remove(dir);
}
END_TEST

/* Goal: a unix socket that another server listens on is not taken away from it; a stale one is. */
START_TEST(a_unix_socket_is_taken)
{
    struct server s, t;
    char dir[64], path[128];
    scratch_make(dir);
    snprintf(path, sizeof path, "unix:%s/s", dir);
    server_launch(&s, &(struct launch){.program = "maritcp", .listen = path});
    must_refuse("a live one", &(struct launch){.program = "maritcp", .listen = path}, EXIT_NO_START, path);
    int fd = client_open(&s);
    client_echo(fd, 100);
    close(fd);
    server_signal(&s, SIGKILL);
    ck_assert_int_eq(server_wait_exit(&s, 5000), 128 + SIGKILL);
    server_discard(&s);
    server_launch(&t, &(struct launch){.program = "maritcp", .listen = path});
    fd = client_open(&t);
    client_echo(fd, 100);
    close(fd);
    server_finish(&t);
    scratch_remove(dir); /* and a clean stop removes it */
}
END_TEST

/* Goal: a log file that cannot be opened: exit 2, one line; nothing listens. */
START_TEST(the_log_file_cannot_be_opened)
{
    static const char *const args[] = {"log.file=/nonexistent/log", NULL};
    must_refuse("log.file", &(struct launch){.program = "maritcp", .args = args}, EXIT_NO_START,
                "/nonexistent/log");
}
END_TEST

/* Goal: a log file that is a pipe without a reader is refused or waited for without ignoring signals: no hang
 * for ever. */
START_TEST(the_log_file_is_a_pipe_without_reader)
{
    char dir[64], fifo[80], arg[96], out[TEXT], err[TEXT];
    scratch_make(dir);
    snprintf(fifo, sizeof fifo, "%s/fifo", dir);
    snprintf(arg, sizeof arg, "log.file=%s", fifo);
    ck_assert(mkfifo(fifo, 0600) == 0);
    const char *args[] = {arg, NULL};
    int code =
        itest_run(&(struct launch){.program = "maritcp", .args = args}, out, sizeof out, err, sizeof err);
    ck_assert_msg(code == EXIT_NO_START, "exit code %d, '%s'", code, err);
    check_one_line("a pipe", err, fifo);
    unlink(fifo);
    scratch_remove(dir);
}
END_TEST

/* ---- Limits ---- */

/* Goal: a connnum that no limit can carry: refused with the numbers and the way out, or clamped, as
 * strict_limits says. */
START_TEST(strict_limits)
{
    static const char *const on[] = {"server.connnum=16777215", "server.workernum=1", NULL};
    struct server s;
    must_refuse("on", &(struct launch){.program = "maritcp", .args = on}, EXIT_NO_START, "strict_limits");
    must_refuse("on", &(struct launch){.program = "maritcp", .args = on}, EXIT_NO_START, "ulimit -n");
    server_start(&s, "maritcp", "server.connnum=16777215", "server.workernum=1", "server.strict_limits=off",
                 NULL);
    ck_assert_uint_eq(server_log_count(&s, "1 workers, 16777215 connections each"), 0);
    int fd = client_open(&s);
    client_echo(fd, 100);
    close(fd);
    server_finish(&s);
}
END_TEST

/* Start with this descriptor limit: it serves until it is stopped, or it refuses in one line. */
static void start_with_limit(unsigned nofile)
{
    char out[TEXT], err[TEXT], what[32], seconds[16];
    snprintf(what, sizeof what, "limit %u", nofile);
    snprintf(seconds, sizeof seconds, "%.1f", 0.3 * ITEST_SLOW);
    const char *words[] = {seconds,
                           itest_program("maritcp"),
                           "server.listen=127.0.0.1:0",
                           "log.file=/dev/null",
                           "server.workernum=16",
                           NULL};
    int code = itest_run(
        &(struct launch){.program = "/usr/bin/timeout", .args = words, .bare = true, .nofile = nofile}, out,
        sizeof out, err, sizeof err);
    if (code == 124) {
        ck_assert_msg(err[0] == '\0', "%s: '%s'", what, err);
        return;
    }
    ck_assert_msg(code == EXIT_NO_START, "%s: exit code %d, with '%s'", what, code, err);
    check_one_line(what, err, "descriptor");
}

/* Goal: whatever the descriptor limit is, the start succeeds or says in one line that there are too few
 * descriptors. */
START_TEST(a_low_descriptor_limit)
{
    for (unsigned nofile = 8; nofile < 130; nofile += nofile < 70 ? 12 : 5)
        start_with_limit(nofile);
}
END_TEST

/* ---- Calls that fail ---- */

static char socket_path[80]; /* of the server under test */

/* How often a start that goes well makes each call. */
static void count_calls(const struct launch *plain, uint32_t calls[INJECT_COUNT])
{
    char env[PRELOAD_ENV];
    struct inject_board *b = preload_inject(env);
    const char *const envs[] = {env, NULL};
    struct server s;
    server_launch(&s, &(struct launch){.program = "maritcp",
                                       .listen = plain->listen,
                                       .args = plain->args,
                                       .preload = "inject",
                                       .env = envs});
    itest_sleep(20); /* it says that it listens just before the master watches its signals */
    for (int i = 0; i < INJECT_COUNT; i++)
        calls[i] = atomic_load(&b->row[i].calls);
    server_stop(&s);
}

/* With call number n failing the start must say so in one line, exit 2, and leave no socket behind. */
static void start_without(const struct launch *plain, enum inject_call call, int error, uint32_t n)
{
    char env[PRELOAD_ENV], out[TEXT], err[TEXT], what[64];
    struct inject_board *b = preload_inject(env);
    const char *const envs[] = {env, NULL};
    snprintf(what, sizeof what, "%s number %u fails", inject_name(call), n);
    inject_set(b, call, error, n, 1);
    int code = itest_run(&(struct launch){.program = "maritcp",
                                          .listen = plain->listen,
                                          .args = plain->args,
                                          .preload = "inject",
                                          .env = envs},
                         out, sizeof out, err, sizeof err);
    ck_assert_msg(atomic_load(&b->row[call].failed) == 1, "%s: it did not; exit code %d", what, code);
    ck_assert_msg(code == EXIT_NO_START, "%s: exit code %d, with '%s'", what, code, err);
    check_one_line(what, err, strerror(error));
    if (call == INJECT_pipe2)
        unlink(socket_path); /* libevent ends the process itself; the next start replaces a stale socket */
    ck_assert_msg(access(socket_path, F_OK) != 0, "%s: the socket was left", what);
}

static const struct call_row {
    enum inject_call call;
    int error;
} call_rows[] = {
    {INJECT_pthread_create, EAGAIN}, {INJECT_eventfd, ENFILE},    {INJECT_epoll_create1, ENOMEM},
    {INJECT_epoll_ctl, ENOSPC},      {INJECT_socket, ENOBUFS},    {INJECT_bind, EACCES},
    {INJECT_listen, EADDRINUSE},     {INJECT_setsockopt, ENOMEM}, {INJECT_timerfd_create, EMFILE},
    {INJECT_pipe2, EMFILE},          {INJECT_mmap, ENOMEM},
};

/* Goal: each call of the start fails once, the first, the second ...: one line that says which error, exit 2,
 * nothing left. */
START_TEST(each_call_fails)
{
    const struct call_row *row = &call_rows[_i];
    uint32_t calls[INJECT_COUNT];
    char dir[64], path[128];
    const char *const args[] = {"server.workernum=2", NULL};
    scratch_make(dir);
    snprintf(socket_path, sizeof socket_path, "%s/s", dir);
    snprintf(path, sizeof path, "127.0.0.1:0,unix:%s", socket_path);
    const struct launch plain = {.listen = path, .args = args};
    count_calls(&plain, calls);
    for (uint32_t n = 1; n <= calls[row->call]; n++)
        start_without(&plain, row->call, row->error, n);
    scratch_remove(dir);
}
END_TEST

/* ---- Daemons ---- */

/* Connect to the daemon's unix socket and have an ECHO answered. */
static void ask_daemon(const char *path)
{
    struct net_target t;
    char name[96];
    snprintf(name, sizeof name, "unix:%s", path);
    ck_assert(net_resolve(name, NULL, &t) == NULL);
    int fd = client_open_at(&t);
    client_echo(fd, 100);
    close(fd);
}

/* Send TERM to the daemon and wait for its end; its status. */
static int end_daemon(pid_t pid)
{
    int status = -1;
    uint64_t deadline = itest_deadline(5000);
    kill(pid, SIGTERM);
    while (waitpid(pid, &status, WNOHANG) == 0) {
        if (mono_ns() >= deadline)
            kill(pid, SIGKILL);
        itest_sleep(1);
    }
    return status;
}

/* What is wrong with the descriptors, session or directory of a daemon; empty if nothing. */
static void look_at_daemon(pid_t pid, char *wrong, size_t size)
{
    static const char *const rows[][2] = {
        {"cwd", "/"}, {"fd/0", "/dev/null"}, {"fd/1", "/dev/null"}, {"fd/2", "/dev/null"}};
    wrong[0] = '\0';
    if (getsid(pid) != pid)
        snprintf(wrong, size, "it has no session of its own");
    for (size_t i = 0; i < sizeof rows / sizeof rows[0]; i++) {
        char path[64], is[256] = "";
        snprintf(path, sizeof path, "/proc/%d/%s", (int) pid, rows[i][0]);
        if (readlink(path, is, sizeof is - 1) < 0 || strcmp(is, rows[i][1]) != 0)
            snprintf(wrong, size, "%s is %s instead of %s", path, is, rows[i][1]);
    }
}

/* Start a daemon by this shell command, whose arguments are maritcp's: it must be ready when that returns 0,
 * serve, log, stop. The daemon is ended before anything is judged, so that none stays behind. */
static void run_a_daemon(const char *command)
{
    char dir[64], path[80], listen[128], log[80], arg[96], out[TEXT], err[TEXT], wrong[512];
    ck_assert(prctl(PR_SET_CHILD_SUBREAPER, 1) == 0);
    scratch_make(dir);
    snprintf(path, sizeof path, "%s/s", dir);
    snprintf(log, sizeof log, "%s/log", dir);
    snprintf(listen, sizeof listen, "server.listen=unix:%s", path);
    snprintf(arg, sizeof arg, "log.file=%s", log);
    const char *words[] = {"-s", "KILL", "5", "/bin/sh", "-c", command, itest_program("maritcp"),
                           "-d", listen, arg, NULL};
    int code = itest_run(&(struct launch){.program = "/usr/bin/timeout", .args = words, .bare = true}, out,
                         sizeof out, err, sizeof err);
    pid_t pid = program_orphan();
    if (code == 0 && pid > 0) {
        ask_daemon(path); /* at once: ready means ready */
        look_at_daemon(pid, wrong, sizeof wrong);
    }
    int status = pid > 0 ? end_daemon(pid) : -1;
    ck_assert_msg(code == 0, "exit code %d, with '%s'", code, err);
    ck_assert_msg(out[0] == '\0' && err[0] == '\0', "it printed '%s' and '%s'", out, err);
    ck_assert_msg(pid > 0, "there is no daemon");
    ck_assert_msg(wrong[0] == '\0', "%s", wrong);
    ck_assert_msg(WIFEXITED(status) && WEXITSTATUS(status) == 0, "the daemon ended with status %x", status);
    struct server s = {0};
    snprintf(s.log, sizeof s.log, "%s", log);
    ck_assert_msg(server_log_count(&s, " stopped:") == 1, "the log does not say that it stopped");
    unlink(log);
    scratch_remove(dir);
}

/* Goal: -d returns 0 when the daemon serves; the daemon has its own session, / and /dev/null, logs, and stops
 * on TERM. */
START_TEST(a_daemon)
{
    run_a_daemon("exec \"$0\" \"$@\"");
}
END_TEST

/* Goal: the same when whoever starts it has closed its standard descriptors: none of the server's own takes
 * their place. */
START_TEST(a_daemon_without_standard_descriptors)
{
    run_a_daemon("exec \"$0\" \"$@\" <&- >&- 2>&-");
}
END_TEST

/* Goal: the same under supervision: the parent is the daemon, and says it when its child serves. */
START_TEST(a_supervised_daemon)
{
    run_a_daemon("exec \"$0\" \"$@\" -S");
}
END_TEST

/* ---- Again and again ---- */

/* Goal: 100 rounds of start, one request, stop. */
START_TEST(a_hundred_rounds)
{
    for (int i = 0; i < 100 / ITEST_SLOW; i++) {
        struct server s;
        server_start(&s, i % 2 ? "maritcp" : "testapp", NULL);
        int fd = client_open(&s);
        client_echo(fd, 100);
        close(fd);
        server_finish(&s);
    }
}
END_TEST

Suite *start_suite(void)
{
    Suite *s = suite_create("start");
    TCase *c = itest_case(s, "configuration", 20);
    tcase_add_test(c, a_bad_override);
    tcase_add_test(c, a_bad_file);
    tcase_add_test(c, what_the_check_accepts_starts);
    c = itest_case(s, "places", 20);
    tcase_add_test(c, a_port_is_taken);
    tcase_add_test(c, a_unix_socket_is_taken);
    tcase_add_test(c, the_log_file_cannot_be_opened);
    tcase_add_test(c, the_log_file_is_a_pipe_without_reader);
    c = itest_case(s, "limits", 20);
    tcase_add_test(c, strict_limits);
    tcase_add_test(c, a_low_descriptor_limit);
    c = itest_case(s, "calls", 20);
    tcase_add_loop_test(c, each_call_fails, 0, sizeof call_rows / sizeof call_rows[0]);
    c = itest_case(s, "daemons", 20);
    tcase_add_test(c, a_daemon);
    tcase_add_test(c, a_daemon_without_standard_descriptors);
    tcase_add_test(c, a_supervised_daemon);
    c = itest_case(s, "rounds", 30);
    tcase_add_test(c, a_hundred_rounds);
    return s;
}
