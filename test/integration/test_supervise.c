/*
 * test_supervise.c: the parent of a server that dies: it starts the next one, nobody's connect is refused
 * meanwhile, it loses nothing, passes signals on, and keeps no rights.
 *
 * ITEST_CRASHES in the environment: how many deaths in a row, 12 unless it is set. The parent rests up to half
 * a second between two, so that 1,000 take some nine minutes.
 */
#include <errno.h>
#include <fcntl.h>
#include <inttypes.h>
#include <netinet/in.h>
#include <pthread.h>
#include <signal.h>
#include <stdatomic.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/socket.h>
#include <sys/stat.h>
#include <unistd.h>

#include "mortal.h"
#include "program.h"
#include "test/apps/testapp/commands.h"

enum { TEXT = MORTAL_LINE, NOBODY = 65534 };

/* ---- Many deaths ---- */

struct connector {
    const struct server *server;
    pthread_t thread;
    _Atomic bool stop;
    _Atomic uint64_t made, refused;
};

/* Connects all the time; what becomes of a connection is not its matter. */
static void *connect_on(void *arg)
{
    struct connector *c = arg;
    const struct net_target *t = &c->server->target;
    while (!c->stop) {
        int fd = socket(AF_INET, SOCK_STREAM | SOCK_CLOEXEC, 0);
        if (connect(fd, (const struct sockaddr *) &t->addr, t->len) == 0)
            c->made++;
        else
            c->refused++;
        close(fd);
        itest_sleep(1);
    }
    return NULL;
}

/* Goal: deaths in a row: each restart within a second, no connect refused, the parent has as many descriptors
 * and as much memory as before. */
START_TEST(deaths_in_a_row)
{
    struct server s;
    unsigned most = 0, n = (unsigned) itest_number("ITEST_CRASHES", 12);
    mortal_start_supervised(&s);
    mortal_die(&s, DIE_ABORT);
    mortal_served_again(&s);
    unsigned fds = server_fds(&s);
    uint64_t rss = server_rss_kb(&s);
    struct connector c = {.server = &s};
    ck_assert(pthread_create(&c.thread, NULL, connect_on, &c) == 0);
    for (unsigned i = 1; i < n; i++) {
        static const uint32_t hows[] = {DIE_ABORT, DIE_SEGV, DIE_KILL, DIE_ILL, DIE_STACK};
        mortal_die(&s, hows[i % 5]);
        unsigned ms = mortal_served_again(&s);
        most = ms > most ? ms : most;
    }
    c.stop = true;
    pthread_join(c.thread, NULL);
    uint64_t more = server_rss_kb(&s) - rss;
    printf("%u deaths: served again after at most %u ms; %" PRIu64 " connects meanwhile, %" PRIu64
           " refused; the parent: %u descriptors, %+" PRId64 " KiB\n",
           n, most, (uint64_t) c.made, (uint64_t) c.refused, server_fds(&s), (int64_t) more);
    ck_assert_msg(most < 1000u * ITEST_SLOW, "served again after %u ms", most);
    ck_assert_uint_eq(c.refused, 0);
    ck_assert_uint_ge(c.made, n);
    ck_assert_uint_eq(server_fds(&s), fds);
    if (ITEST_SLOW > 1)
        TEST_SKIP_PART("memory: a sanitizer grows by itself");
    else
        ck_assert_msg((int64_t) more <= (int64_t) rss / 50, "the parent grew by %" PRIu64 " KiB", more);
    ck_assert_uint_eq(server_counter(&s, "restarts"), n);
    ck_assert_uint_eq(server_log_count(&s, "died: "), n);
    server_stop(&s);
}
END_TEST

/* Goal: TERM while the parent rests between two children: it ends at once, with 0. */
START_TEST(a_stop_between_two_children)
{
    struct server s;
    mortal_start_supervised(&s);
    for (int i = 0; i < 8; i++) {
        mortal_die(&s, DIE_ABORT);
        if (i < 7)
            mortal_served_again(&s);
    }
    server_wait_log(&s, "restart 8 in 500 ms", 2000);
    uint64_t begin = mono_ns();
    server_signal(&s, SIGTERM);
    ck_assert_int_eq(server_wait_exit(&s, 5000), 0);
    ck_assert_msg(itest_ms_since(begin) < 400u * ITEST_SLOW, "it took %u ms", itest_ms_since(begin));
    server_discard(&s);
}
END_TEST

/* Goal: what a HUP has read from the configuration file holds after a death too. */
START_TEST(levels_outlive_a_child)
{
    struct server s;
    char conf[64], fresh[72];
    snprintf(conf, sizeof conf, "/tmp/mario_supervise.%d.conf", (int) getpid());
    snprintf(fresh, sizeof fresh, "%s.new", conf);
    FILE *f = fopen(conf, "we");
    ck_assert(f != NULL && fputs("[log]\nlevel = info\n", f) >= 0 && fclose(f) == 0);
    server_start(&s, "maritcp", "-c", conf, "server.supervise=on", NULL);
    s.log_lines_max = 20; /* two starts and two reloads */
    f = fopen(fresh, "we");
    ck_assert(f != NULL && fputs("[log]\nlevel = info,conn=debug\n", f) >= 0 && fclose(f) == 0);
    ck_assert(rename(fresh, conf) == 0);
    struct mortal_next o = {.parent = s.pid, .former = mortal_child(s.pid)};
    server_signal(&s, SIGHUP);
    server_wait_log(&s, "log.level is now info,conn=debug", 3000);
    ck_assert(kill(o.former, SIGKILL) == 0 && itest_wait(mortal_has_next, &o, 3000));
    int fd = client_open(&s);
    client_echo(fd, 10);
    close(fd);
    server_wait_log(&s, "closed: peer_closed", 3000);
    ck_assert_uint_eq(server_log_count(&s, "log.level is now info,conn=debug"), 2);
    ck_assert(unlink(conf) == 0);
    server_stop(&s);
}
END_TEST

/* Goal: a log of JSON has a record of JSON, without a parent too. */
START_TEST(a_record_as_json)
{
    for (int supervised = 0; supervised <= 1; supervised++) {
        struct server s;
        char line[MORTAL_LINE];
        server_start(&s, "maritcp", "log.format=json",
                     supervised ? "server.supervise=on" : "server.supervise=off", NULL);
        struct mortal_next o = {.parent = s.pid, .former = supervised ? mortal_child(s.pid) : s.pid};
        ck_assert(kill(o.former, SIGABRT) == 0);
        if (supervised)
            ck_assert(itest_wait(mortal_has_next, &o, 3000));
        else
            ck_assert_int_eq(server_wait_exit(&s, 5000), 128 + SIGABRT);
        mortal_last_line(&s, "\"text\":\"died: process ", line);
        ck_assert_msg(strncmp(line, "{\"time\":\"", 9) == 0 && strcmp(line + strlen(line) - 2, "\"}") == 0,
                      "%s", line);
        if (supervised) {
            server_signal(&s, SIGTERM);
            ck_assert_int_eq(server_wait_exit(&s, 5000), 0);
        }
        server_discard(&s);
    }
}
END_TEST

/* Goal: a later child cannot start, as its log cannot be opened: it is tried again, who connects waits, and is
 * served when it can. */
START_TEST(a_child_that_cannot_start)
{
    struct server s;
    char old[160];
    mortal_start_supervised(&s);
    snprintf(old, sizeof old, "%s.1", s.log);
    ck_assert(rename(s.log, old) == 0 && mkdir(s.log, 0700) == 0);
    mortal_die(&s, DIE_ABORT);
    int fd = client_open(&s);
    client_send_packet(fd, TEST_ECHO, "patience", 8);
    itest_sleep(1200);
    char *err = program_slurp(s.err);
    const char *first = strstr(err, "exit code 2, up "),
               *second = first ? strstr(first + 1, "exit code 2, up ") : NULL;
    ck_assert_msg(second != NULL, "it was not tried again: '%s'", err);
    free(err);
    ck_assert(rmdir(s.log) == 0 && rename(old, s.log) == 0);
    char answer[64];
    ck_assert_uint_eq(client_recv_packet(fd, TEST_ECHO, answer, sizeof answer), 8);
    close(fd);
    ck_assert_uint_ge(server_counter(&s, "died_exit"), 2);
    server_stop(&s);
}
END_TEST

/* Append to the log until it has `size` bytes. */
static void fill_log(const struct server *s, off_t size)
{
    static const char line[] = "of no interest\n";
    struct stat st;
    int fd = open(s->log, O_WRONLY | O_APPEND | O_CLOEXEC);
    ck_assert(fd >= 0 && fstat(fd, &st) == 0);
    for (off_t have = st.st_size; have < size; have += (off_t) sizeof line - 1)
        ck_assert(write(fd, line, sizeof line - 1) == (ssize_t) sizeof line - 1);
    close(fd);
}

static bool has_said_so(void *server)
{
    char *err = program_slurp(((struct server *) server)->err);
    bool all = strstr(err, " ERROR died: process ") != NULL &&
               strstr(err, "cannot be written: File too large") != NULL;
    free(err);
    return all;
}

/* Goal: a log that has reached the limit for files (ulimit -f) is as one on a full disk: nobody dies of it, the parent
 * neither; the record goes to standard error. */
START_TEST(a_log_at_its_limit)
{
    struct server s;
    server_launch(
        &s, &(struct launch){.program = "testapp",
                             .fsize = 100000,
                             .env = mortal_env,
                             .args = (const char *[]){"server.supervise=on", "server.workernum=1", NULL}});
    s.log_lines_max = 100000;
    fill_log(&s, 100000);
    for (int i = 0; i < 2; i++) {
        mortal_die(&s, DIE_SEGV);
        mortal_served_again(&s);
    }
    ck_assert_uint_eq(server_counter(&s, "restarts"), 2);
    ck_assert_msg(itest_wait(has_said_so, &s, 3000), "see %s", s.err);
    server_signal(&s, SIGTERM);
    ck_assert_int_eq(server_wait_exit(&s, 5000), 0);
    server_discard(&s);
}
END_TEST

/* ---- Not starting ---- */

/* Goal: a start that fails is not tried again, whoever finds out: exit code and one line as without. */
START_TEST(the_first_start_fails)
{
    struct server taken;
    char listen[64], err[TEXT];
    server_start(&taken, "testapp", NULL);
    snprintf(listen, sizeof listen, "server.listen=127.0.0.1:%u", taken.port);
    const struct {
        const char *arg, *word;
        int code;
    } rows[] = {{listen, "stop who has it", 2},                                    /* the parent */
                {"server.connnum=2000000", "file descriptors", 2},                 /* the child */
                {"log.file=/nonexistent/log", "cannot be opened", 2},              /* the same */
                {"server.user=no-such-user", "there is no such user", 1},          /* the configuration */
                {"server.user=nobody:no-such-group", "there is no such group", 1}, /* the same */
                {"server.user=root", "that is root", 1}};
    for (size_t i = 0; i < sizeof rows / sizeof rows[0]; i++) {
        const char *args[] = {"server.workernum=1", "server.listen=127.0.0.1:0", rows[i].arg, "-S", NULL};
        int code =
            itest_run(&(struct launch){.program = "maritcp", .args = args, .bare = true, .nofile = 1000},
                      NULL, 0, err, sizeof err);
        ck_assert_msg(code == rows[i].code, "%s: exit code %d, '%s'", rows[i].arg, code, err);
        const char *end = strchr(err, '\n');
        ck_assert_msg(end != NULL && end[1] == '\0' && strstr(err, rows[i].word) != NULL, "%s: '%s'",
                      rows[i].arg, err);
    }
    server_stop(&taken);
}
END_TEST

/* Goal: supervision that comes too late, or in a child, is refused in one line; what the parent had opened is
 * closed. */
START_TEST(supervision_at_the_wrong_time)
{
    static const char *const rows[][2] = {{"test.early=thread", "other threads"},
                                          {"test.early=twice", "a second time"}};
    char err[TEXT];
    const char *args[] = {"server.supervise=on", rows[_i][0], NULL};
    int code = itest_run(&(struct launch){.program = "testapp", .args = args}, NULL, 0, err, sizeof err);
    ck_assert_int_eq(code, 2);
    const char *end = strchr(err, '\n');
    ck_assert_msg(end != NULL && end[1] == '\0' && strstr(err, rows[_i][1]) != NULL, "'%s'", err);
}
END_TEST

/* Goal: a child that does not react to TERM any more is killed ten seconds after its time is up. */
START_TEST(a_child_that_does_not_stop)
{
    struct server s;
    char line[TEXT];
    mortal_start(&s, (const char *[]){"server.supervise=on", "server.drain_timeout=0", NULL});
    ck_assert(kill(mortal_child(s.pid), SIGSTOP) == 0);
    uint64_t begin = mono_ns();
    server_signal(&s, SIGTERM);
    ck_assert_int_eq(server_wait_exit(&s, 15000), 137);
    ck_assert_uint_ge(itest_ms_since(begin), 9900);
    mortal_last_line(&s, "died: ", line);
    ck_assert_msg(strstr(line, "SIGKILL") != NULL && strstr(line, "not started again") != NULL, "%s", line);
    server_discard(&s);
}
END_TEST

/* ---- Listeners ---- */

/* Goal: every kind of listener is handed on, IPv6 and unix too, one that the parent does not know is the
 * child's own; at the end the unix socket's file is gone. */
START_TEST(all_kinds_of_listeners)
{
    struct server s;
    char path[96], listen[160];
    snprintf(path, sizeof path, "%s/sup.sock", getenv("ITEST_DIR"));
    snprintf(listen, sizeof listen, "127.0.0.1:0, 127.0.0.1:0, [::1]:0, unix:%s", path);
    server_launch(&s, &(struct launch){
                          .program = "testapp",
                          .listen = listen,
                          .env = mortal_env,
                          .args = (const char *[]){"server.supervise=on", "test.listen2=127.0.0.1:0", NULL}});
    s.log_lines_max = 100000;
    ck_assert_uint_eq(s.address_count, 5);
    for (int round = 0; round < 3; round++) {
        for (unsigned i = 0; i < 4; i++) {
            int fd = client_open_at(&s.addresses[i]);
            client_echo(fd, 100);
            close(fd);
        }
        if (round < 2) {
            mortal_die(&s, DIE_ABORT);
            mortal_served_again(&s);
        }
    }
    ck_assert(access(path, F_OK) == 0);
    server_stop(&s);
    ck_assert_msg(access(path, F_OK) != 0, "%s is left", path);
}
END_TEST

/* ---- Rights ---- */

/* The line of /proc/PID/status that begins with name, behind it. */
static void status_line(pid_t pid, const char *name, char value[128])
{
    char path[64];
    snprintf(path, sizeof path, "/proc/%d/status", (int) pid);
    FILE *f = fopen(path, "r");
    char line[256];
    size_t n = strlen(name);
    value[0] = '\0';
    while (f != NULL && fgets(line, sizeof line, f) != NULL) {
        if (strncmp(line, name, n) == 0 && line[n] == ':')
            snprintf(value, 128, "%.*s", (int) strcspn(line + n + 1, "\n"), line + n + 1);
    }
    if (f != NULL)
        fclose(f);
}

static void check_rights(const char *who, pid_t pid)
{
    static const char none[] = "\t0000000000000000", ids[] = "\t65534\t65534\t65534\t65534";
    static const char *const rows[][2] = {{"Uid", ids},     {"Gid", ids},     {"Groups", "\t65534 "},
                                          {"CapInh", none}, {"CapPrm", none}, {"CapEff", none},
                                          {"CapBnd", none}, {"CapAmb", none}, {"NoNewPrivs", "\t1"}};
    for (size_t i = 0; i < sizeof rows / sizeof rows[0]; i++) {
        char value[128];
        status_line(pid, rows[i][0], value);
        ck_assert_msg(strcmp(value, rows[i][1]) == 0, "%s: %s is '%s'", who, rows[i][0], value);
    }
}

/* A port below 1024 that is free. */
static unsigned low_port(void)
{
    for (uint16_t port = 1023; port > 600; port--) {
        struct sockaddr_in a = {.sin_family = AF_INET, .sin_addr.s_addr = htonl(INADDR_LOOPBACK)};
        a.sin_port = htons(port);
        int probe = socket(AF_INET, SOCK_STREAM | SOCK_CLOEXEC, 0);
        bool is_free = bind(probe, (struct sockaddr *) &a, sizeof a) == 0;
        close(probe);
        if (is_free)
            return port;
    }
    ck_abort_msg("no port below 1024 is free");
}

/* Goal: started as root, parent and child, and the server without a parent, have the user's ids alone, no
 * capabilities and no_new_privs, also after a restart, on a port below 1024 that only root could open. Not
 * started as root, another user is refused. */
START_TEST(rights_are_dropped)
{
    struct server s;
    char listen[64];
    const char *supervise = _i == 0 ? "server.supervise=on" : "server.supervise=off";
    if (geteuid() != 0) {
        char err[TEXT];
        const char *args[] = {"server.user=nobody", supervise, NULL};
        ck_assert_int_eq(
            itest_run(&(struct launch){.program = "maritcp", .args = args}, NULL, 0, err, sizeof err), 2);
        ck_assert_msg(strstr(err, "only root") != NULL, "'%s'", err);
        TEST_SKIP("only root has rights to drop");
    }
    snprintf(listen, sizeof listen, "127.0.0.1:%u", low_port());
    ck_assert(chmod(getenv("ITEST_DIR"), 0711) == 0);
    server_launch(&s, &(struct launch){.program = "testapp",
                                       .listen = listen,
                                       .owner = NOBODY,
                                       .env = mortal_env,
                                       .args = (const char *[]){supervise, "server.user=nobody", NULL}});
    s.log_lines_max = 100000;
    check_rights("the first process", s.pid);
    if (_i == 0) {
        check_rights("the child", mortal_child(s.pid));
        mortal_die(&s, DIE_SEGV);
        mortal_served_again(&s);
        check_rights("the second child", mortal_child(s.pid));
        server_wait_log(&s, "died: ", 2000);
    }
    int fd = client_open(&s);
    client_echo(fd, 10);
    close(fd);
    server_stop(&s);
}
END_TEST

Suite *supervise_suite(void)
{
    Suite *s = suite_create("supervise");
    TCase *c = itest_case(s, "many", 30 + (unsigned) itest_number("ITEST_CRASHES", 12));
    tcase_add_test(c, deaths_in_a_row);
    tcase_add_test(c, a_stop_between_two_children);
    tcase_add_test(c, levels_outlive_a_child);
    tcase_add_test(c, a_record_as_json);
    tcase_add_test(c, a_child_that_cannot_start);
    tcase_add_test(c, a_log_at_its_limit);
    c = itest_case(s, "start", 30);
    tcase_add_test(c, the_first_start_fails);
    tcase_add_loop_test(c, supervision_at_the_wrong_time, 0, 2);
    tcase_add_test(c, a_child_that_does_not_stop);
    tcase_add_test(c, all_kinds_of_listeners);
    tcase_add_loop_test(c, rights_are_dropped, 0, 2);
    return s;
}
