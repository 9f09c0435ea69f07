/*
 * engine.c: redis-server and nats-server as children of a test. The thread of a test that started one; it dies with it.
 */
#include "engine.h"

#include <check.h>
#include <errno.h>
#include <fcntl.h>
#include <ftw.h>
#include <netinet/in.h>
#include <netinet/tcp.h>
#include <sched.h>
#include <signal.h>
#include <stdarg.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/prctl.h>
#include <sys/socket.h>
#include <sys/wait.h>
#include <unistd.h>

#include "test/lib/clock.h"
#include "test/lib/net.h"
#include "test/lib/own_port.h"

enum { ANSWER_MS = 20000, TRIES = 5, ARGS_MAX = 40 };

static const char *const programs[] = {[ENGINE_REDIS] = "redis-server", [ENGINE_NATS] = "nats-server"};

/* Where the program is: on the path, or where Debian has those of root. */
static bool find_program(const char *name, char *path, size_t size)
{
    const char *dirs = getenv("PATH");
    char all[4096];
    snprintf(all, sizeof all, "%s:/usr/sbin:/usr/local/sbin", dirs != NULL ? dirs : "/usr/bin");
    for (char *rest = all, *dir; (dir = strsep(&rest, ":")) != NULL;) {
        snprintf(path, size, "%s/%s", dir, name);
        if (dir[0] == '/' && access(path, X_OK) == 0)
            return true;
    }
    return false;
}

const char *engine_missing(enum engine_kind kind)
{
    static char why[80];
    char path[512];
    if (find_program(programs[kind], path, sizeof path))
        return NULL;
    snprintf(why, sizeof why, "there is no %s here", programs[kind]);
    return why;
}

/* ---- Its place ---- */

static const char *host_of(const struct engine *e)
{
    return e->options.address != NULL ? e->options.address : "127.0.0.1";
}

static void choose_port(struct engine *e)
{
    if (e->port_hold > 0)
        close(e->port_hold);
    e->port = own_port(&e->port_hold);
    ck_assert_msg(e->port != 0, "no free port: %s", strerror(errno));
    snprintf(e->address, sizeof e->address, "%s:%u", host_of(e), e->port);
}

void engine_place(struct engine *e, enum engine_kind kind, const struct engine_options *o)
{
    const char *run = getenv("ITEST_DIR");
    *e = (struct engine){.kind = kind, .ask = -1};
    if (o != NULL)
        e->options = *o;
    snprintf(e->dir, sizeof e->dir, "%s/engine-XXXXXX", run != NULL ? run : "/tmp");
    ck_assert_msg(mkdtemp(e->dir) != NULL, "%s: %s", e->dir, strerror(errno));
    choose_port(e);
}

/* ---- Starting ---- */

struct words {
    const char *argv[ARGS_MAX];
    size_t count;
    char port[8], log[100], secret[100], path[512], limits[80], conf[100];
};

static void add(struct words *w, const char *word)
{
    ck_assert_msg(w->count < ARGS_MAX - 1, "too many words");
    w->argv[w->count++] = word;
}

static void add_all(struct words *w, const char *const *words)
{
    for (; *words != NULL; words++)
        add(w, *words);
}

#define ADD(w, ...) add_all(w, (const char *const[]){__VA_ARGS__, NULL})

static void redis_words(const struct engine *e, struct words *w)
{
    const struct engine_options *o = &e->options;
    ADD(w, "--bind", host_of(e), "--port", w->port, "--dir", e->dir, "--logfile", w->log, "--daemonize", "no",
        "--maxclients", "1000", "--io-threads", "1", "--save", "");
    ADD(w, "--appendonly", o->persists ? "yes" : "no", "--appendfsync", "no", "--protected-mode", "no");
    if (o->password != NULL && o->user == NULL)
        ADD(w, "--requirepass", o->password);
    if (o->user != NULL)
        ADD(w, "--user", o->user, "on", w->secret, "~*", "&*", "+@all");
    if (o->memory != NULL)
        ADD(w, "--maxmemory", o->memory, "--maxmemory-policy", "noeviction");
    if (o->pubsub_limit != NULL)
        ADD(w, "--client-output-buffer-limit", "pubsub");
    for (char *rest = w->limits, *word; o->pubsub_limit != NULL && (word = strsep(&rest, " ")) != NULL;)
        add(w, word);
}

static void nats_words(const struct engine *e, struct words *w)
{
    const struct engine_options *o = &e->options;
    ADD(w, "-a", host_of(e), "-p", w->port, "-l", w->log);
    if (o->user != NULL)
        ADD(w, "--user", o->user, "--pass", o->password);
    if (o->jetstream)
        ADD(w, "-js", "-sd", e->dir);
    if (o->config == NULL)
        return;
    snprintf(w->conf, sizeof w->conf, "%s/conf", e->dir);
    FILE *f = fopen(w->conf, "w");
    ck_assert_msg(f != NULL && fputs(o->config, f) >= 0 && fclose(f) == 0, "%s: %s", w->conf,
                  strerror(errno));
    ADD(w, "-c", w->conf);
}

static void make_words(const struct engine *e, struct words *w)
{
    memset(w, 0, sizeof *w);
    ck_assert_msg(find_program(programs[e->kind], w->path, sizeof w->path), "no %s", programs[e->kind]);
    snprintf(w->port, sizeof w->port, "%u", e->port);
    snprintf(w->log, sizeof w->log, "%s/log", e->dir);
    snprintf(w->secret, sizeof w->secret, ">%s", e->options.password != NULL ? e->options.password : "");
    snprintf(w->limits, sizeof w->limits, "%s",
             e->options.pubsub_limit != NULL ? e->options.pubsub_limit : "");
    add(w, w->path);
    if (e->kind == ENGINE_REDIS)
        redis_words(e, w);
    else
        nats_words(e, w);
}

/* In the child. It has no use for a sanitizer's word or a preloaded library. */
static _Noreturn void become(const struct engine *e, const struct words *w, pid_t parent)
{
    int null = open("/dev/null", O_RDWR);
    int ns = e->options.netns != NULL ? open(e->options.netns, O_RDONLY) : -1;
    sigset_t none;
    sigemptyset(&none);
    if (prctl(PR_SET_PDEATHSIG, SIGKILL) != 0 || getppid() != parent || null < 0 ||
        (e->options.netns != NULL && setns(ns, CLONE_NEWNET) != 0))
        _exit(126);
    for (int fd = 0; fd < 3; fd++)
        dup2(null, fd);
    close_range(3, ~0u, 0);
    sigprocmask(SIG_SETMASK, &none, NULL);
    signal(SIGPIPE, SIG_DFL);
    execv(w->path, (char *const *) (uintptr_t) w->argv);
    _exit(127);
}

static uint64_t deadline(void)
{
    return mono_ns() + ANSWER_MS * NS_PER_MS;
}

/* A connection to it, or -1. */
static int connect_to(const struct engine *e)
{
    struct net_target t;
    char port[8];
    snprintf(port, sizeof port, "%u", e->port);
    const char *wrong = net_resolve(host_of(e), port, &t);
    ck_assert_msg(wrong == NULL, "%s: %s", e->address, wrong);
    return net_connect_wait(&t, deadline());
}

/* Whether it answers now: Redis a PING (or that it wants a password), NATS with its first line. */
static bool answers(const struct engine *e)
{
    char line[8] = "";
    int fd = connect_to(e);
    bool it_does =
        fd >= 0 && (e->kind == ENGINE_NATS || net_send_wait(fd, "PING\r\n", 6, deadline()) == 0) &&
        net_recv_wait(fd, line, 5, deadline()) == 5 &&
        (strncmp(line, "+PONG", 5) == 0 || strncmp(line, "-NOAU", 5) == 0 || strncmp(line, "INFO ", 5) == 0);
    if (fd >= 0)
        close(fd);
    return it_does;
}

/* True when it answers, false when it has ended. */
static bool await_answer(struct engine *e)
{
    uint64_t end = deadline();
    while (!answers(e)) {
        if (waitpid(e->pid, NULL, WNOHANG) == e->pid) {
            e->pid = 0;
            return false;
        }
        ck_assert_msg(mono_ns() < end, "%s does not answer; see %s/log", programs[e->kind], e->dir);
        usleep(5000);
    }
    return true;
}

static bool launch(struct engine *e)
{
    struct words w;
    pid_t parent = getpid();
    make_words(e, &w);
    fflush(NULL);
    e->pid = fork();
    if (e->pid == 0)
        become(e, &w, parent);
    ck_assert_msg(e->pid > 0, "fork: %s", strerror(errno));
    return await_answer(e);
}

void engine_start(struct engine *e, enum engine_kind kind, const struct engine_options *o)
{
    engine_place(e, kind, o);
    for (int i = 0; !launch(e); i++) { /* somebody else may have taken the port meanwhile */
        ck_assert_msg(i < TRIES, "%s does not start; see %s/log", programs[kind], e->dir);
        choose_port(e);
    }
}

void engine_restart(struct engine *e)
{
    engine_kill(e);
    uint64_t end = deadline();
    while (!launch(e)) { /* what the former one had may not be free yet */
        ck_assert_msg(mono_ns() < end, "%s does not start again; see %s/log", programs[e->kind], e->dir);
        usleep(100000);
    }
}

/* ---- Ending ---- */

static void hang_up(struct engine *e)
{
    if (e->ask >= 0)
        close(e->ask);
    e->ask = -1;
}

void engine_kill(struct engine *e)
{
    hang_up(e);
    if (e->pid == 0)
        return;
    kill(e->pid, SIGKILL);
    ck_assert_msg(waitpid(e->pid, NULL, 0) == e->pid, "waitpid: %s", strerror(errno));
    e->pid = 0;
}

void engine_freeze(struct engine *e)
{
    int status;
    ck_assert(e->pid > 0 && kill(e->pid, SIGSTOP) == 0);
    ck_assert(waitpid(e->pid, &status, WUNTRACED) == e->pid && WIFSTOPPED(status));
}

void engine_thaw(struct engine *e)
{
    ck_assert(e->pid > 0 && kill(e->pid, SIGCONT) == 0);
}

static int remove_one(const char *path, const struct stat *st, int flag, struct FTW *ftw)
{
    (void) st;
    (void) flag;
    (void) ftw;
    return remove(path);
}

void engine_end(struct engine *e)
{
    engine_kill(e);
    if (e->port_hold > 0)
        close(e->port_hold);
    e->port_hold = 0;
    if (e->dir[0] != '\0')
        nftw(e->dir, remove_one, 16, FTW_DEPTH | FTW_PHYS);
    e->dir[0] = '\0';
}

/* ---- Asking Redis ---- */

static void recv_line(struct engine *e, char *line, size_t size)
{
    size_t n = 0;
    do {
        ck_assert_msg(n < size - 1 && net_recv_wait(e->ask, line + n, 1, deadline()) == 1,
                      "no answer of %s, port %u; see %s/log", programs[e->kind], e->port, e->dir);
    } while (line[n++] != '\n');
    line[n - (n > 1 ? 2 : 1)] = '\0';
}

static void append(char *text, size_t size, const char *word)
{
    size_t n = strlen(text);
    snprintf(text + n, size - n, "%s%s", n > 0 ? " " : "", word);
}

static void recv_bulk(struct engine *e, char *text, size_t size, long n)
{
    char *bulk = malloc((size_t) n + 3);
    ck_assert(bulk != NULL && net_recv_wait(e->ask, bulk, (size_t) n + 2, deadline()) == n + 2);
    bulk[n] = '\0';
    append(text, size, bulk);
    free(bulk);
}

/* One answer and all that is in it goes to the end of text. */
static void recv_answer(struct engine *e, char *text, size_t size)
{
    long left = 1;
    while (left-- > 0) {
        char line[512];
        recv_line(e, line, sizeof line);
        long n = strtol(line + 1, NULL, 10);
        if (line[0] == '*')
            left += n > 0 ? n : 0;
        else if (line[0] == '$' && n >= 0)
            recv_bulk(e, text, size, n);
        else
            append(text, size, line[0] == '$' ? "nil" : line[0] == '-' ? line : line + 1);
    }
}

static void ask(struct engine *e, char *text, size_t size, const char *command)
{
    ck_assert_msg(net_send_wait(e->ask, command, strlen(command), deadline()) == 0, "%s: %s", e->address,
                  strerror(errno));
    text[0] = '\0';
    recv_answer(e, text, size);
}

static void ask_first(struct engine *e)
{
    char line[300], text[200];
    const struct engine_options *o = &e->options;
    e->ask = connect_to(e);
    ck_assert_msg(e->ask >= 0, "%s: %s", e->address, strerror(errno));
    if (o->password == NULL)
        return;
    snprintf(line, sizeof line, "AUTH %s %s\r\n", o->user != NULL ? o->user : "", o->password);
    ask(e, text, sizeof text, line);
}

static void ask_by(struct engine *e, char *text, size_t size, const char *command, va_list args)
{
    char line[4096];
    int n = vsnprintf(line, sizeof line - 2, command, args);
    ck_assert(e->kind == ENGINE_REDIS && n > 0 && n < (int) sizeof line - 3);
    strcpy(line + n, "\r\n");
    if (e->ask < 0)
        ask_first(e);
    ask(e, text, size, line);
}

void engine_ask(struct engine *e, char *text, size_t size, const char *command, ...)
{
    va_list args;
    va_start(args, command);
    ask_by(e, text, size, command, args);
    va_end(args);
}

int64_t engine_number(struct engine *e, const char *command, ...)
{
    char text[4096];
    va_list args;
    va_start(args, command);
    ask_by(e, text, sizeof text, command, args);
    va_end(args);
    const char *last = strrchr(text, ' ');
    return strtoll(last != NULL ? last + 1 : text, NULL, 10);
}
