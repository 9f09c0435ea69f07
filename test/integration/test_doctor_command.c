/*
 * test_doctor_command.c: `maritcp doctor` as a program: its exit codes, its three forms, whose limits it takes. What
 * each check says is the unit suite doctor's matter.
 */
#include <errno.h>
#include <signal.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/stat.h>
#include <unistd.h>

#include "harness.h"
#include "program.h"

enum { TEXT = 65536 };

#define CLOCK      "sys/devices/system/clocksource/clocksource0"
#define CLOCK_DIRS "sys", "sys/devices", "sys/devices/system", "sys/devices/system/clocksource", CLOCK

static char dir[64], out[TEXT], err[TEXT];

/* The kernel's settings of a machine that allows so many descriptors to a process. */
static void make_machine(const char *nr_open)
{
    static const char *const below[] = {"proc", "proc/sys", "proc/sys/fs", CLOCK_DIRS};
    char path[160];
    program_make_dir(dir, sizeof dir);
    for (size_t i = 0; i < sizeof below / sizeof below[0]; i++) {
        snprintf(path, sizeof path, "%s/%s", dir, below[i]);
        ck_assert(mkdir(path, 0700) == 0);
    }
    snprintf(path, sizeof path, "%s/proc/sys/fs/nr_open", dir);
    FILE *f = fopen(path, "we");
    ck_assert(f != NULL && fputs(nr_open, f) >= 0 && fclose(f) == 0);
    snprintf(path, sizeof path, "%s/" CLOCK "/current_clocksource", dir);
    f = fopen(path, "we");
    ck_assert(f != NULL && fputs("\"t\\s\001c\xff\"\n", f) >= 0 && fclose(f) == 0);
}

static void remove_machine(void)
{
    static const char *const below[] = {CLOCK,
                                        "sys/devices/system/clocksource",
                                        "sys/devices/system",
                                        "sys/devices",
                                        "sys",
                                        "proc/sys/fs",
                                        "proc/sys",
                                        "proc",
                                        "run/systemd/system",
                                        "run/systemd",
                                        "run",
                                        "."};
    char path[160];
    for (size_t i = 0; i < sizeof below / sizeof below[0]; i++) {
        snprintf(path, sizeof path, "%s/%s", dir, below[i]);
        program_remove_dir(path);
    }
    rmdir(dir);
}

/* The words behind `maritcp doctor --root DIR` end with NULL. */
static int doctor(const char *const *words, const char *path)
{
    const char *args[16] = {"doctor", "--root", dir, "server.connnum=100", "server.workernum=2"};
    size_t n = 5;
    for (size_t i = 0; words[i] != NULL; i++)
        args[n++] = words[i];
    return itest_run(
        &(struct launch){
            .program = "maritcp", .args = args, .env = (const char *[]){path, NULL}, .bare = true},
        out, sizeof out, err, sizeof err);
}

#define DOCTOR(...) doctor((const char *[]){__VA_ARGS__, NULL}, "DOCTOR=1")

/* Goal: 0 with warnings, 5 for them with --strict, 4 when something fails whatever else. */
START_TEST(exit_codes)
{
    make_machine("1000000\n");
    ck_assert_msg(DOCTOR(NULL) == 0, "%.3000s%.900s", out, err);
    ck_assert_msg(strstr(out, "\nOK    nr_open: 1000000; wanted: at least ") != NULL, "%.3000s", out);
    ck_assert_msg(strstr(out, "\nWARN  somaxconn: /proc/sys/net/core/somaxconn cannot be read: ") != NULL,
                  "%.3000s", out);
    ck_assert_int_eq(DOCTOR("--strict"), 5);
    remove_machine();
    make_machine("100\n");
    ck_assert_int_eq(DOCTOR(NULL), 4);
    ck_assert_msg(strstr(out, "\nFAIL  nr_open: 100; wanted: at least 296\n      why:  ") != NULL, "%.3000s",
                  out);
    ck_assert_msg(strstr(out, "\n      type: sysctl -w fs.nr_open=296\n") != NULL, "%.3000s", out);
    ck_assert_int_eq(DOCTOR("--strict"), 4);
    ck_assert_str_eq(err, "");
    remove_machine();
}
END_TEST

/* Goal: mistakes are one line and 1; nothing is examined. */
START_TEST(mistakes)
{
    static const struct {
        const char *words[4], *says;
    } rows[] = {
        {{"server.workernum=x"}, "server.workernum"},
        {{"-c", "/nonexistent/conf"}, "/nonexistent/conf"},
        {{"--frob"}, "'--frob'; usage: "},
        {{"--pid", "0"}, "--pid: not a process '0'"},
        {{"--pid", "12x"}, "not a process '12x'"},
        {{"--pid", "4194305"}, "there is no such process"},
        {{"--pid", "1", "--unit", "x"}, "either"},
        {{"again"}, "stray argument 'again'"},
        {{"--unit"}, "an argument is missing behind"},
    };
    make_machine("1000000\n");
    for (size_t i = 0; i < sizeof rows / sizeof rows[0]; i++) {
        ck_assert_msg(doctor(rows[i].words, "DOCTOR=1") == 1, "row %zu: %.900s%.900s", i, out, err);
        ck_assert_msg(strstr(err, rows[i].says) != NULL && strchr(err, '\n') == err + strlen(err) - 1,
                      "row %zu: %s", i, err);
        ck_assert_str_eq(out, "");
    }
    remove_machine();
}
END_TEST

/* Goal: --sysctl is a file for sysctl(8), which has what is wrong and can be set, and nothing else. */
START_TEST(as_a_file_for_sysctl)
{
    unsigned settings = 0;
    make_machine("100\n");
    ck_assert_int_eq(DOCTOR("--sysctl"), 4);
    for (char *rest = out, *line; (line = strsep(&rest, "\n")) != NULL;) {
        if (line[0] == '#' || line[0] == '\0')
            continue;
        ck_assert_str_eq(line, "fs.nr_open = 296");
        settings++;
    }
    ck_assert_uint_eq(settings, 1);
    remove_machine();
}
END_TEST

/* Goal: --json is one object, whole and in ASCII. */
START_TEST(as_json)
{
    int depth = 0;
    bool inside = false;
    make_machine("1000000\n");
    ck_assert_int_eq(DOCTOR("--json"), 0);
    for (const char *at = out; *at != '\0'; at++) {
        ck_assert_msg(*at == '\n' || (*at >= ' ' && *at < 0x7f), "byte 0x%02x", (unsigned char) *at);
        if (inside && *at == '\\')
            at++;
        else if (*at == '"')
            inside = !inside;
        else if (!inside)
            depth += (*at == '{' || *at == '[') - (*at == '}' || *at == ']');
        ck_assert_msg(depth > 0 || strcmp(at, "}\n") == 0 || strcmp(at, "\n") == 0, "%.900s", at);
    }
    ck_assert_int_eq(depth, 0);
    ck_assert_msg(strstr(out, "\"found\": \"\\\"t\\\\s?c?\\\"\"") != NULL, "%.3000s", out);
    ck_assert(strstr(out, "{\"name\": \"nr_open\", \"verdict\": \"") != NULL &&
              strstr(out, "\"limits_of\": \"") != NULL);
    remove_machine();
}
END_TEST

/* Goal: --pid takes the limits of that process, here of a server with fewer descriptors than this test has. */
START_TEST(limits_of_a_process)
{
    struct server s;
    char pid[16], says[64];
    server_launch(&s, &(struct launch){.program = "maritcp", .nofile = 600});
    snprintf(pid, sizeof pid, "%d", (int) s.pid);
    snprintf(says, sizeof says, "limits of process %s\n", pid);
    const char *const args[] = {"doctor", "--pid", pid, "server.connnum=1000", "server.workernum=2", NULL};
    int code = itest_run(&(struct launch){.program = "maritcp", .args = args, .bare = true}, out, sizeof out,
                         err, sizeof err);
    bool may_raise = strstr(out, "OK    nofile: 600") != NULL; /* the server has the right to */
    ck_assert_msg(strstr(out, says) != NULL, "%.3000s%.900s", out, err);
    ck_assert_msg(may_raise || (code == 4 && strstr(out, "FAIL  nofile: 600; wanted: 2096") != NULL), "%s",
                  out);
    server_stop(&s);
}
END_TEST

/* A systemctl that knows two units, of which one runs as this process. */
static void make_systemctl(char env[200])
{
    char path[160];
    static const char *const below[] = {"run", "run/systemd", "run/systemd/system"};
    for (size_t i = 0; i < sizeof below / sizeof below[0]; i++) {
        snprintf(path, sizeof path, "%s/%s", dir, below[i]);
        ck_assert(mkdir(path, 0700) == 0);
    }
    snprintf(path, sizeof path, "%s/systemctl", dir);
    FILE *f = fopen(path, "we");
    ck_assert(f != NULL);
    fputs(
        "#!/bin/sh\nfor unit; do :; done\ncase $unit in\n"
        "maritcp.service) echo LoadState=loaded; echo MainPID=0; echo LimitNOFILE=150; echo LimitNPROC=infinity;\n"
        "    echo TasksMax=10; echo MemoryMax=infinity; echo CPUQuotaPerSecUSec=1.5s ;;\n"
        "other) echo LoadState=loaded; echo MainPID=99; echo LimitNOFILE=5 ;;\n"
        "*) echo LoadState=not-found; echo MainPID=0 ;;\nesac\n",
        f);
    ck_assert(fclose(f) == 0 && chmod(path, 0755) == 0);
    snprintf(env, 200, "PATH=%s:/usr/bin:/bin", dir);
}

/* Goal: --unit takes what systemd says of it; without, the unit maritcp if there is one, and not the shell. */
START_TEST(limits_of_a_unit)
{
    char path[200];
    make_machine("1000000\n");
    make_systemctl(path);
    const char *const none[] = {NULL}, *const unknown[] = {"--unit", "nobody", NULL},
                      *const runs[] = {"--unit", "other", NULL};
    ck_assert_int_eq(doctor(none, path), 4);
    ck_assert_msg(strstr(out, "limits of unit maritcp.service, which does not run\n") != NULL, "%.3000s",
                  out);
    ck_assert_msg(strstr(out, "FAIL  nofile: 150; ") != NULL, "%.3000s", out);
    ck_assert_msg(strstr(out, "type: systemctl edit maritcp.service   # [Service] LimitNOFILE=296\n") != NULL,
                  "%.3000s", out);
    ck_assert_msg(strstr(out, "FAIL  threads: 10 (pids.max of its cgroup); ") != NULL, "%.3000s", out);
    ck_assert_msg(strstr(out, "cores: 2 by cpu.max; ") != NULL, "%.3000s", out);
    ck_assert_int_eq(doctor(unknown, path), 1);
    ck_assert_msg(strstr(err, "--unit nobody: systemctl knows no such unit") != NULL, "%s", err);
    ck_assert_int_eq(doctor(runs, path), 0);
    ck_assert_msg(strstr(out, "limits of unit other, process 99\n") != NULL, "%.3000s", out);
    ck_assert_msg(strstr(out, "nofile: not known: /proc/99/limits: ") != NULL, "%.3000s", out);
    remove_machine();
}
END_TEST

Suite *doctor_command_suite(void)
{
    Suite *s = suite_create("doctor_command");
    TCase *c = itest_case(s, "doctor_command", 10);
    tcase_add_test(c, exit_codes);
    tcase_add_test(c, mistakes);
    tcase_add_test(c, as_a_file_for_sysctl);
    tcase_add_test(c, as_json);
    tcase_add_test(c, limits_of_a_process);
    tcase_add_test(c, limits_of_a_unit);
    return s;
}
