/*
 * test_logging.c: the log of a running server: which connection a line is about, levels read anew at HUP, JSON,
 * rotation, and a log that cannot be written while the server serves on. What single calls do is in the unit
 * suites log, log_sinks and log_disks.
 */
#include <errno.h>
#include <fcntl.h>
#include <regex.h>
#include <signal.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/stat.h>
#include <sys/wait.h>
#include <unistd.h>

#include "lines.h"
#include "mortal.h"

static void write_file(const char *path, const char *text)
{
    FILE *f = fopen(path, "we");
    ck_assert_msg(f != NULL && fputs(text, f) >= 0 && fclose(f) == 0, "%s: %s", path, strerror(errno));
}

/* A file that is like the old one but for its name must not be read half-written. */
static void replace_file(const char *path, const char *text)
{
    char fresh[192];
    snprintf(fresh, sizeof fresh, "%s.new", path);
    write_file(fresh, text);
    ck_assert(rename(fresh, path) == 0);
}

static void log_must_match(const struct server *s, const char *pattern)
{
    regex_t re;
    char line[2048];
    bool found = false;
    FILE *f = fopen(s->log, "re");
    ck_assert(f != NULL && regcomp(&re, pattern, REG_EXTENDED | REG_NOSUB) == 0);
    while (!found && fgets(line, sizeof line, f) != NULL) {
        line[strcspn(line, "\n")] = '\0';
        found = regexec(&re, line, 0, NULL, 0) == 0;
    }
    fclose(f);
    regfree(&re);
    ck_assert_msg(found, "no line of %s matches '%s'", s->log, pattern);
}

#define STAMP "^[0-9]{4}-[0-9]{2}-[0-9]{2} [0-9]{2}:[0-9]{2}:[0-9]{2}\\.[0-9]{6} "

/* ---- Who ---- */

/* Goal: a function's line names its connection and peer, the end of a connection does, the master's lines name the
 * master; over IPv4, IPv6 and a unix socket. A slot that is used again has another generation. */
START_TEST(lines_say_who)
{
    struct server s;
    char listen[128], path[64];
    snprintf(path, sizeof path, "/tmp/mario_logging.%d", (int) getpid());
    snprintf(listen, sizeof listen, "127.0.0.1:0,[::1]:0,unix:%s", path);
    static const char *const args[] = {"log.level=debug", "server.workernum=1", NULL};
    server_launch(&s, &(struct launch){.program = "maritcp", .listen = listen, .args = args});
    for (unsigned i = 0; i < 3; i++) {
        int fd = client_open_at(&s.addresses[i]);
        client_echo(fd, 10);
        close(fd);
        server_wait_fds(&s, s.fds, 2000);
    }
    server_wait_log(&s, "[0.0.3 unix] closed: peer_closed", 2000);
    log_must_match(&s, STAMP "master INFO  listening on 127\\.0\\.0\\.1:[0-9]+$");
    log_must_match(&s, STAMP "worker-0 DEBUG \\[0\\.0\\.1 127\\.0\\.0\\.1:[0-9]+\\] closed: peer_closed$");
    log_must_match(&s, STAMP "worker-0 DEBUG \\[0\\.0\\.2 \\[::1\\]:[0-9]+\\] closed: peer_closed$");
    server_finish(&s);
}
END_TEST

/* Goal: the same for lines that functions log, in the style of 0.9.9; and lines without a time are bare. */
START_TEST(functions_lines_say_who)
{
    static const char *const args[] = {"0", "1", "100", "60", "60", NULL};
    unsigned char data[16];
    struct server s;
    server_launch(&s, &(struct launch){.program = "legacy", .args = args, .bare = true});
    int fd = client_open(&s);
    ck_assert_uint_eq(client_ask(fd, 0x6104, NULL, 0, data, sizeof data), 5);
    server_wait_log(&s, "spoken info_t_w", 3000);
    log_must_match(&s, STAMP "worker-0 ERROR \\[0\\.0\\.1 127\\.0\\.0\\.1:[0-9]+\\] spoken err_t$");
    log_must_match(&s, STAMP
                   "worker-0 ERROR \\[0\\.0\\.1 127\\.0\\.0\\.1:[0-9]+\\] speak: spoken err_t_w from 127");
    log_must_match(&s, "^ERROR spoken err$");
    log_must_match(&s, "^ERROR speak: spoken err_w$");
    log_must_match(&s, STAMP "main INFO  legacy online 0$");
    close(fd);
    server_signal(&s, SIGTERM);
    ck_assert_int_eq(server_wait_exit(&s, 5000), 0);
    server_check(&s);
}
END_TEST

/* ---- Levels ---- */

/* Goal: HUP reads log.level anew, and nothing else; a bad file is one line, and the levels stay; -o wins. */
START_TEST(hup_reads_levels)
{
    struct server s;
    char conf[64];
    snprintf(conf, sizeof conf, "/tmp/mario_logging.%d.conf", (int) getpid());
    write_file(conf, "[log]\nlevel = info\n");
    server_start(&s, "maritcp", "-c", conf, NULL);
    lines_make(&s, 20);
    server_wait_fds(&s, s.fds, 2000); /* all are closed at the old level */
    replace_file(conf, "[log]\nlevel = info,conn=debug\n[server]\nworkernum = 7\n");
    server_signal(&s, SIGHUP);
    server_wait_log(&s, "log.level is now info,conn=debug", 3000);
    ck_assert_uint_eq(server_log_count(&s, "peer_closed"), 0);
    lines_make(&s, 5);
    server_wait_fds(&s, s.fds, 2000);
    server_wait_log(&s, "peer_closed", 2000);
    replace_file(conf, "[log]\nlevel = warn\n[server]\ntimeout = soon\n");
    server_signal(&s, SIGHUP);
    server_wait_log(
        &s, ".conf:4: server.timeout: 'soon' is not a number (allowed: 0 .. 31536000); nothing is changed",
        3000);
    lines_make(&s, 1); /* still debug */
    ck_assert(unlink(conf) == 0);
    server_signal(&s, SIGHUP);
    server_wait_log(&s, "cannot be opened: No such file or directory; nothing is changed", 3000);
    write_file(conf, "[log]\nlevel = err\n");
    server_signal(&s, SIGHUP);
    server_wait_log(&s, "reload: log.level info,conn=debug -> err", 3000);
    replace_file(conf, "[log]\nlevel = none\n");
    server_signal(&s, SIGHUP);
    server_wait_log(&s, "log.level: 'none'", 3000); /* so the one before counts by now */
    lines_make(&s, 10);
    server_wait_fds(&s, s.fds, 2000);
    server_signal(&s, SIGTERM); /* at level err a stop says nothing */
    ck_assert_int_eq(server_wait_exit(&s, 5000), 0);
    ck_assert_uint_eq(server_log_count(&s, "peer_closed"), 6);
    ck_assert_uint_eq(server_log_count(&s, "ERROR "), 3);
    ck_assert(unlink(conf) == 0);
    server_discard(&s);
}
END_TEST

START_TEST(an_override_goes_on_winning)
{
    struct server s;
    char conf[64];
    snprintf(conf, sizeof conf, "/tmp/mario_logging.%d.conf", (int) getpid());
    write_file(conf, "[log]\nlevel = info\n");
    server_start(&s, "maritcp", "-c", conf, "log.level=info,conn=debug", NULL);
    replace_file(conf, "[log]\nlevel = err\n");
    server_signal(&s, SIGHUP);
    server_wait_log(&s, "signal 1", 2000);
    itest_sleep(100); /* long enough to have done it wrong */
    lines_make(&s, 1);
    server_wait_log(&s, "peer_closed", 2000);
    ck_assert_uint_eq(server_log_count(&s, "log.level is now"), 0);
    ck_assert(unlink(conf) == 0);
    server_finish(&s);
}
END_TEST

/* ---- A configuration that can be read once ---- */

/* A pipe whose first reader gets text, and nobody after that. Returns who writes. */
static pid_t make_pipe(char *path, size_t size, const char *text)
{
    snprintf(path, size, "/tmp/mario_logging.%d.fifo", (int) getpid());
    ck_assert_msg(mkfifo(path, 0600) == 0, "%s: %s", path, strerror(errno));
    fflush(NULL);
    pid_t pid = fork();
    if (pid == 0) {
        int fd = open(path, O_WRONLY | O_CLOEXEC);
        _exit(write(fd, text, strlen(text)) != (ssize_t) strlen(text));
    }
    return pid;
}

static void remove_pipe(const char *path, pid_t writer)
{
    int status;
    ck_assert(waitpid(writer, &status, 0) == writer && status == 0);
    ck_assert(unlink(path) == 0);
}

/* Goal: a configuration from a pipe is kept as it was read: HUP says so, opens the log anew and goes on. */
START_TEST(hup_with_a_configuration_from_a_pipe)
{
    struct server s;
    char fifo[64], old[160];
    pid_t writer = make_pipe(fifo, sizeof fifo, "[log]\nlevel = info,conn=debug\n");
    server_start(&s, "maritcp", "-c", fifo, NULL);
    for (unsigned i = 1; i <= 2; i++) {
        snprintf(old, sizeof old, "%s.%u", s.log, i);
        ck_assert(rename(s.log, old) == 0);
        server_signal(&s, SIGHUP);
        server_wait_log(&s, ".fifo: is no regular file and not read again; nothing is changed", 3000);
        lines_make(&s, 1);
        server_wait_log(&s, "peer_closed", 3000);
    }
    remove_pipe(fifo, writer);
    server_finish(&s);
}
END_TEST

/* Goal: and so it is by the process that is started when the first has died. */
START_TEST(a_death_with_a_configuration_from_a_pipe)
{
    struct server s;
    char fifo[64];
    pid_t writer = make_pipe(fifo, sizeof fifo, "[log]\nlevel = info,conn=debug\n[server]\nsupervise = on\n");
    server_start(&s, "maritcp", "-c", fifo, NULL);
    ck_assert(kill(mortal_child(s.pid), SIGKILL) == 0);
    mortal_served_again(&s);
    server_wait_log(&s, "peer_closed", 3000);
    remove_pipe(fifo, writer);
    server_stop(&s);
}
END_TEST

/* Goal: a file that has become a pipe meanwhile does not hold up the log. */
START_TEST(hup_with_a_pipe_in_the_place_of_the_file)
{
    struct server s;
    char conf[64];
    snprintf(conf, sizeof conf, "/tmp/mario_logging.%d.conf", (int) getpid());
    write_file(conf, "[log]\nlevel = info,conn=debug\n");
    server_start(&s, "maritcp", "-c", conf, NULL);
    ck_assert(unlink(conf) == 0 && mkfifo(conf, 0600) == 0);
    server_signal(&s, SIGHUP);
    server_wait_log(&s, "is no regular file and not read again; nothing is changed", 3000);
    lines_make(&s, 1);
    server_wait_log(&s, "peer_closed", 3000);
    ck_assert(unlink(conf) == 0);
    server_finish(&s);
}
END_TEST

/* ---- Formats and targets ---- */

/* Run maritcp until a TERM that comes right at the start. Its output. */
static int run_shortly(const char *const *args, char *out, size_t size, char *err, size_t err_size)
{
    return itest_run(&(struct launch){.program = "maritcp", .args = args, .bare = true, .stop_waits = true},
                     out, size, err, err_size);
}

START_TEST(json_from_start_to_stop)
{
    static const char *const args[] = {"server.listen=127.0.0.1:0", "log.format=json", NULL};
    char out[8192], err[1024];
    unsigned lines = 0;
    ck_assert_int_eq(run_shortly(args, out, sizeof out, err, sizeof err), 0);
    for (char *line = strtok(out, "\n"); line != NULL; line = strtok(NULL, "\n"), lines++) {
        ck_assert_msg(strncmp(line, "{\"time\":\"", 9) == 0 && strcmp(line + strlen(line) - 2, "\"}") == 0,
                      "%s", line);
        ck_assert_msg(strstr(line, "\",\"level\":\"info\",\"thread\":\"") != NULL, "%s", line);
    }
    ck_assert_uint_ge(lines, 4);
}
END_TEST

/* Goal: no syslogd: one line, exit 2, nothing is started. */
START_TEST(no_syslogd)
{
    static const char *const args[] = {"server.listen=127.0.0.1:0", "log.file=syslog:local0", NULL};
    char out[1024], err[1024];
    if (access("/dev/log", F_OK) == 0)
        TEST_SKIP("there is a syslogd here");
    ck_assert_int_eq(run_shortly(args, out, sizeof out, err, sizeof err), 2);
    ck_assert_str_eq(err, "maritcp: log.file syslog:local0 cannot be opened: No such file or directory\n");
}
END_TEST

/* Goal: rotation under load: every line is in one of the files, whole, and no file is too large. */
START_TEST(rotation_under_load)
{
    enum { CONNECTIONS = 600 };
    struct server s, part;
    unsigned found = 0, files = 0;
    server_start(&s, "maritcp", "log.level=debug", "log.rotate_size=4k", "log.keep=99", NULL);
    s.log_lines_max = 100000;
    lines_make(&s, CONNECTIONS);
    server_wait_fds(&s, s.fds, 3000);
    server_signal(&s, SIGTERM);
    ck_assert_int_eq(server_wait_exit(&s, 5000), 0);
    for (int i = 0; i < 99; i++) {
        struct stat st;
        char suffix[8] = "";
        part = s;
        if (i > 0)
            snprintf(suffix, sizeof suffix, ".%d", i);
        snprintf(part.log, sizeof part.log, "%.100s%s", s.log, suffix);
        if (stat(part.log, &st) != 0)
            break;
        ck_assert_int_le(st.st_size, 4096);
        found += server_log_count(&part, "] closed: peer_closed");
        files++;
    }
    ck_assert_uint_eq(found, CONNECTIONS);
    ck_assert_uint_ge(files, 10);
    server_discard(&s);
}
END_TEST

/* ---- A log that cannot be written ---- */

/* Goal: the log goes away under load and cannot be made again: everyone is served, one line on standard error says
 * so, and when it can be made the log goes on by itself and says how much is missing. */
START_TEST(the_log_goes_away)
{
    struct server s;
    server_start(&s, "testapp", "log.level=debug", NULL);
    s.log_lines_max = 100000;
    ck_assert(unlink(s.log) == 0 && mkdir(s.log, 0700) == 0);
    lines_make(&s, 300);
    server_wait_fds(&s, s.fds, 3000);
    struct server err = s;
    snprintf(err.log, sizeof err.log, "%s", s.err);
    server_wait_log(&err, "cannot be written: Is a directory; lines are dropped and counted", 2000);
    ck_assert(rmdir(s.log) == 0);
    server_wait_log(&s, "records dropped: Is a directory", 5000);
    lines_make(&s, 10);
    server_wait_fds(&s, s.fds, 3000);
    unsigned seen = 0;
    for (uint64_t end = itest_deadline(2000); seen < 10 && mono_ns() < end; itest_sleep(2))
        seen = server_log_count(&s, "] closed: peer_closed");
    uint64_t dropped = lines_dropped(&s);
    ck_assert_uint_eq(seen, 10);
    ck_assert_uint_eq(dropped, 300);
    ck_assert_uint_eq(server_log_count(&err, "mario: the log"), 1);
    server_finish(&s);
}
END_TEST

/* Goal: a server that dies while its log cannot be opened is served on without; then the log goes on by itself. */
START_TEST(a_death_while_the_log_is_gone)
{
    struct server s;
    char old[160];
    server_start(&s, "maritcp", "log.level=debug", "server.supervise=on", NULL);
    struct mortal_next o = {.parent = s.pid, .former = mortal_child(s.pid)};
    snprintf(old, sizeof old, "%s.old", s.log);
    ck_assert(rename(s.log, old) == 0 && mkdir(s.log, 0700) == 0);
    ck_assert(kill(o.former, SIGKILL) == 0 && itest_wait(mortal_has_next, &o, 3000));
    lines_make(&s, 5); /* they are served */
    struct server err = s;
    snprintf(err.log, sizeof err.log, "%s", s.err);
    server_wait_log(&err, "cannot be written: Is a directory; lines are dropped and counted", 3000);
    ck_assert(rmdir(s.log) == 0);
    server_wait_log(&s, "records dropped: Is a directory", 5000);
    lines_make(&s, 1);
    server_wait_log(&s, "closed: peer_closed", 3000);
    server_finish(&s);
}
END_TEST

Suite *logging_suite(void)
{
    Suite *s = suite_create("logging");
    TCase *c = itest_case(s, "who", 20);
    tcase_add_test(c, lines_say_who);
    tcase_add_test(c, functions_lines_say_who);
    c = itest_case(s, "levels", 20);
    tcase_add_test(c, hup_reads_levels);
    tcase_add_test(c, an_override_goes_on_winning);
    tcase_add_test(c, hup_with_a_configuration_from_a_pipe);
    tcase_add_test(c, a_death_with_a_configuration_from_a_pipe);
    tcase_add_test(c, hup_with_a_pipe_in_the_place_of_the_file);
    c = itest_case(s, "targets", 20);
    tcase_add_test(c, json_from_start_to_stop);
    tcase_add_test(c, no_syslogd);
    tcase_add_test(c, rotation_under_load);
    c = itest_case(s, "failures", 20);
    tcase_add_test(c, the_log_goes_away);
    tcase_add_test(c, a_death_while_the_log_is_gone);
    return s;
}
