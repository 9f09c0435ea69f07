/*
 * harness.c: servers for tests: start, watch, stop, and the accounts afterwards. Main thread of a test, which
 * is a process of its own; what may be called from other threads says so in harness.h.
 */
#include "harness.h"

#include <dirent.h>
#include <errno.h>
#include <inttypes.h>
#include <signal.h>
#include <stdarg.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/wait.h>
#include <time.h>
#include <unistd.h>

#include "program.h"
#include "test/apps/testapp/commands.h"
#include "test/lib/proc.h"

enum { ARGS_MAX = 64, START_MS = 10000, STOP_MS = 12000 };

/* ---- Tests, time ---- */

TCase *itest_case(Suite *s, const char *name, unsigned seconds)
{
    TCase *c = tcase_create(name);
    tcase_set_timeout(c, (double) seconds * ITEST_SLOW);
    suite_add_tcase(s, c);
    return c;
}

uint64_t itest_deadline(unsigned ms)
{
    return mono_ns() + (uint64_t) ms * ITEST_SLOW * NS_PER_MS;
}

unsigned itest_ms_since(uint64_t began)
{
    return (unsigned) ((mono_ns() - began) / NS_PER_MS);
}

void itest_sleep(unsigned ms)
{
    struct timespec t = {.tv_sec = (time_t) (ms / 1000), .tv_nsec = (long) (ms % 1000) * (long) NS_PER_MS};
    while (nanosleep(&t, &t) != 0 && errno == EINTR) {
    }
}

bool itest_wait(bool (*cond)(void *arg), void *arg, unsigned ms)
{
    uint64_t deadline = itest_deadline(ms);
    while (!cond(arg)) {
        if (mono_ns() >= deadline)
            return cond(arg);
        itest_sleep(1);
    }
    return true;
}

uint64_t itest_number(const char *name, uint64_t otherwise)
{
    const char *text = getenv(name);
    return text == NULL || text[0] == '\0' ? otherwise : strtoull(text, NULL, 10);
}

/* ---- Start ---- */

/* "127.0.0.1:80", "[::1]:80" or "unix:/path" as the log has it. An address for all is reached at the
 * loopback's. */
static void read_address(const char *name, struct net_target *t, uint16_t *port)
{
    char host[160];
    const char *wrong;
    *port = 0;
    if (strncmp(name, "udp:", 4) == 0)
        name += 4;
    if (strncmp(name, "unix:", 5) == 0) {
        wrong = net_resolve(name, NULL, t);
    } else {
        const char *colon = strrchr(name, ':');
        ck_assert_msg(colon != NULL, "an address in the log that cannot be read: %s", name);
        snprintf(host, sizeof host, "%.*s", (int) (colon - name), name);
        if (strcmp(host, "0.0.0.0") == 0)
            snprintf(host, sizeof host, "127.0.0.1");
        wrong = net_resolve(host, colon + 1, t);
        *port = (uint16_t) atoi(colon + 1);
    }
    ck_assert_msg(wrong == NULL, "%s: %s", name, wrong);
}

/* Learn from the log, text or JSON, where it listens. True once the line behind the addresses is there. */
static bool read_log_start(struct server *s)
{
    static const char mark[] = "listening on ";
    char *text = program_slurp(s->log), *rest = text;
    const char *last = strstr(text, " connections each");
    bool whole = last != NULL && strchr(last, '\n') != NULL;
    s->address_count = 0;
    for (char *at; whole && (at = strstr(rest, mark)) != NULL && s->address_count < SERVER_ADDRESSES;) {
        uint16_t port;
        at += sizeof mark - 1;
        rest = at + strcspn(at, ",\"\n"); /* behind a comma stands the framing */
        *rest++ = '\0';
        read_address(at, &s->addresses[s->address_count], &port);
        if (s->address_count++ == 0)
            s->port = port;
    }
    free(text);
    s->target = s->addresses[0];
    return whole && s->address_count > 0;
}

/* Fail, with what is known of a server that does not listen: its end if `over`, the last of what it said. */
static _Noreturn void fail_start(const struct server *s, bool over, int status)
{
    char how[80];
    char *err = program_slurp(s->err), *log = program_slurp(s->log);
    size_t errs = strlen(err), logs = strlen(log);
    if (over && WIFSIGNALED(status))
        snprintf(how, sizeof how, "ended by signal %d before it listened", WTERMSIG(status));
    else if (over)
        snprintf(how, sizeof how, "ended with exit code %d before it listened", WEXITSTATUS(status));
    else
        snprintf(how, sizeof how, "does not listen after %d ms", START_MS * ITEST_SLOW);
    ck_abort_msg("the server %s; see %s; stderr: \"%s\", log: \"%s\"", how, s->dir,
                 err + (errs > 600 ? errs - 600 : 0), log + (logs > 600 ? logs - 600 : 0));
}

static void wait_until_it_listens(struct server *s)
{
    uint64_t deadline = itest_deadline(START_MS);
    while (!read_log_start(s)) {
        int status = 0;
        bool over = waitpid(s->pid, &status, WNOHANG) == s->pid;
        if (over || mono_ns() >= deadline)
            fail_start(s, over, status);
        itest_sleep(1);
    }
}

static void name_files(struct server *s)
{
    snprintf(s->log, sizeof s->log, "%s/log", s->dir);
    snprintf(s->err, sizeof s->err, "%s/err", s->dir);
}

void server_launch(struct server *s, const struct launch *l)
{
    char out[96];
    memset(s, 0, sizeof *s);
    s->log_lines_max = LOG_LINES_MAX;
    s->counts_itself = strcmp(l->program, "testapp") == 0;
    program_make_dir(s->dir, sizeof s->dir);
    if (l->owner != 0)
        ck_assert_msg(chown(s->dir, l->owner, (gid_t) -1) == 0, "chown: %s", strerror(errno));
    name_files(s);
    snprintf(out, sizeof out, "%s/%s", s->dir, l->bare ? "log" : "out");
    s->pid = program_start(l, s->log, out, s->err);
    wait_until_it_listens(s);
    s->fds = server_fds(s);
}

void server_adopt(struct server *s, const char *dir)
{
    memset(s, 0, sizeof *s);
    s->log_lines_max = LOG_LINES_MAX;
    snprintf(s->dir, sizeof s->dir, "%s", dir);
    name_files(s);
    s->pid = program_orphan();
    ck_assert_msg(s->pid > 0, "there is no daemon; see %s", dir);
    wait_until_it_listens(s);
    s->fds = server_fds(s);
}

void server_start(struct server *s, const char *program, ...)
{
    const char *args[ARGS_MAX];
    size_t n = 0;
    va_list ap;
    va_start(ap, program);
    do {
        ck_assert_msg(n < ARGS_MAX, "too many words for a command line");
        args[n] = va_arg(ap, const char *);
    } while (args[n++] != NULL);
    va_end(ap);
    server_launch(s, &(struct launch){.program = program, .args = args});
}

/* ---- Watching ---- */

unsigned server_fds(const struct server *s)
{
    char path[64];
    unsigned n = 0;
    snprintf(path, sizeof path, "/proc/%d/fd", (int) s->pid);
    DIR *d = opendir(path);
    if (d == NULL)
        return 0;
    for (struct dirent *e; (e = readdir(d)) != NULL;)
        n += e->d_name[0] != '.';
    closedir(d);
    return n;
}

uint64_t server_rss_kb(const struct server *s)
{
    return proc_rss_kb(s->pid);
}

uint64_t server_cpu_ns(const struct server *s)
{
    uint64_t ns = 0;
    return proc_cpu_ns(s->pid, &ns) == 0 ? ns : 0;
}

void server_wait_fds(const struct server *s, unsigned fds, unsigned ms)
{
    uint64_t deadline = itest_deadline(ms);
    unsigned have;
    while ((have = server_fds(s)) != fds) {
        ck_assert_msg(mono_ns() < deadline, "the server has %u descriptors instead of %u; see %s", have, fds,
                      s->dir);
        itest_sleep(1);
    }
}

unsigned server_log_count(const struct server *s, const char *text)
{
    char *log = program_slurp(s->log), *line = log;
    unsigned n = 0;
    while (*line != '\0') {
        char *end = line + strcspn(line, "\n");
        char kept = *end;
        *end = '\0';
        n += strstr(line, text) != NULL;
        line = kept == '\0' ? end : end + 1;
    }
    free(log);
    return n;
}

void server_wait_log(const struct server *s, const char *text, unsigned ms)
{
    uint64_t deadline = itest_deadline(ms);
    while (server_log_count(s, text) == 0) {
        ck_assert_msg(mono_ns() < deadline, "the log has no line with '%s'; see %s", text, s->log);
        itest_sleep(2);
    }
}

/* The value behind " name=" in text, 0 if it is not there. */
static uint64_t find_value(const char *text, const char *name)
{
    char key[80];
    snprintf(key, sizeof key, " %s=", name);
    const char *at = strstr(text, key);
    return at == NULL ? 0 : strtoull(at + strlen(key), NULL, 10);
}

uint64_t server_counter(const struct server *s, const char *name)
{
    char text[8192] = " ";
    if (s->pid == 0)
        return find_value(s->final, name);
    ck_assert_msg(s->counts_itself, "this server cannot be asked for '%s' while it runs", name);
    int fd = client_open(s);
    size_t n = client_ask(fd, TEST_STATS, NULL, 0, text + 1, sizeof text - 2);
    close(fd);
    text[1 + n] = '\0';
    return find_value(text, name);
}

void server_wait_counter(const struct server *s, const char *name, uint64_t least, unsigned ms)
{
    uint64_t deadline = itest_deadline(ms), have;
    while ((have = server_counter(s, name)) < least) {
        ck_assert_msg(mono_ns() < deadline, "%s is %" PRIu64 ", not yet %" PRIu64 "; see %s", name, have,
                      least, s->dir);
        itest_sleep(2);
    }
}

/* ---- End ---- */

void server_signal(const struct server *s, int sig)
{
    ck_assert_msg(s->pid > 0 && kill(s->pid, sig) == 0, "no server to signal");
}

/* What stands behind `mark` in each of its lines since the last start goes to the end of s->final: counters take as
 * many lines as they need. */
static void take_final(struct server *s, const char *log, const char *mark)
{
    static const char started[] = " connections each";
    for (const char *at; (at = strstr(log, started)) != NULL;)
        log = at + sizeof started - 1;
    for (const char *at = log; (at = strstr(at, mark)) != NULL;) {
        at += strlen(mark);
        size_t used = strlen(s->final);
        snprintf(s->final + used, sizeof s->final - used, "%.*s", (int) strcspn(at, "\n"), at);
    }
}

int server_wait_exit(struct server *s, unsigned ms)
{
    ck_assert_msg(s->pid > 0, "no server to wait for");
    int code = program_wait(s->pid, itest_deadline(ms));
    ck_assert_msg(code >= 0, "the server did not end in time; see %s", s->dir);
    s->pid = 0;
    s->exit_code = code;
    char *log = program_slurp(s->log);
    take_final(s, log, " stopped:");
    take_final(s, log, " testapp:");
    free(log);
    return code;
}

/* A report of a sanitizer, or an assertion that failed. What a sanitizer makes of it in a line of its own comes first:
 * who reads a part of a long output has that. */
static void check_reports(const struct server *s)
{
    static const char *const marks[] = {"Sanitizer", "runtime error:", "assertion", "Assertion", "[err]"};
    char *err = program_slurp(s->err);
    const char *summary = strstr(err, "SUMMARY: ");
    int len = summary != NULL ? (int) strcspn(summary, "\n") : 0;
    for (size_t i = 0; i < sizeof marks / sizeof marks[0]; i++)
        ck_assert_msg(strstr(err, marks[i]) == NULL, "the server reports, see %s: %.*s\n%.4000s", s->err, len,
                      summary != NULL ? summary : "", err);
    free(err);
}

/* Lines between start and stop, by the second that stands in front of them. */
static void check_log_rate(const struct server *s)
{
    char *log = program_slurp(s->log), second[20] = "";
    unsigned lines = 0;
    bool between = false;
    for (char *line = strtok(log, "\n"); line != NULL; line = strtok(NULL, "\n")) {
        if (strstr(line, " INFO  stopping: ") != NULL || strstr(line, ": stopping (") != NULL)
            break;
        if (between && strlen(line) > 19) {
            lines = strncmp(line, second, 19) == 0 ? lines + 1 : 1;
            snprintf(second, sizeof second, "%.19s", line);
            ck_assert_msg(lines <= s->log_lines_max, "more than %u log lines in the second %s; see %s",
                          s->log_lines_max, second, s->log);
        }
        between = between || strstr(line, " connections each") != NULL;
    }
    free(log);
}

/* The sum of all final counters whose name begins with prefix. */
static uint64_t sum_of(const struct server *s, const char *prefix)
{
    char key[80];
    uint64_t sum = 0;
    snprintf(key, sizeof key, " %s", prefix);
    for (const char *at = s->final; (at = strstr(at, key)) != NULL; at++) {
        const char *equals = strchr(at, '=');
        sum += equals == NULL ? 0 : strtoull(equals + 1, NULL, 10);
    }
    return sum;
}

static void same(const struct server *s, const char *what, uint64_t a, uint64_t b)
{
    ck_assert_msg(a == b, "%s: %" PRIu64 " and %" PRIu64 ";%s; see %s", what, a, b, s->final, s->dir);
}

static uint64_t push_settled(const struct server *s)
{
    return server_counter(s, "push_sent") + sum_of(s, "push_dropped_") + server_counter(s, "push_coalesced") +
           server_counter(s, "push_unframed") + server_counter(s, "push_pending");
}

/* testapp counts its hooks itself. */
static void check_hooks(const struct server *s)
{
    same(s, "each connected hook has one end hook", server_counter(s, "hook_connected"),
         sum_of(s, "hook_end_"));
    same(s, "opened, and greeted or not", server_counter(s, "opened"),
         server_counter(s, "hook_connected") + server_counter(s, "ungreeted"));
    same(s, "hooks on another thread", server_counter(s, "wrong_thread"), 0);
    same(s, "hooks on a connection that was not fresh, or over", server_counter(s, "wrong_state"), 0);
}

void server_check(struct server *s)
{
    check_reports(s);
    ck_assert_msg(s->exit_code == 0, "exit code %d; see %s", s->exit_code, s->dir);
    ck_assert_msg(s->final[0] != '\0' || server_log_count(s, " stopped:") == 1, "no last counters; see %s",
                  s->log);
    same(s, "opened and closed", server_counter(s, "opened"), server_counter(s, "closed"));
    same(s, "closed and its reasons", server_counter(s, "closed"), sum_of(s, "closed_"));
    same(s, "what was to be sent, and what became of it", server_counter(s, "push_targets"), push_settled(s));
    same(s, "bytes that still wait", server_counter(s, "output_pending"), 0);
    same(s, "messages that still wait", server_counter(s, "push_pending"), 0);
    same(s, "connections that are counted at the gate", server_counter(s, "gate_counted"), 0);
    same(s, "accepted, and opened or refused", server_counter(s, "accepted"),
         server_counter(s, "opened") + sum_of(s, "refused_"));
    if (s->counts_itself)
        check_hooks(s);
    check_log_rate(s);
    program_remove_dir(s->dir);
}

void server_discard(struct server *s)
{
    check_reports(s);
    program_remove_dir(s->dir);
}

void server_stop(struct server *s)
{
    server_signal(s, SIGTERM);
    server_wait_exit(s, STOP_MS);
    server_check(s);
}

void server_finish(struct server *s)
{
    server_wait_fds(s, s->fds, 5000);
    server_stop(s);
}
