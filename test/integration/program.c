/*
 * program.c: other programs as children of a test: where they are, how they are started, how they ended. Main
 * thread of a test. A child dies with the test's process.
 */
#include "program.h"

#include <dirent.h>
#include <errno.h>
#include <fcntl.h>
#include <sched.h>
#include <signal.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/prctl.h>
#include <sys/resource.h>
#include <sys/stat.h>
#include <sys/wait.h>
#include <unistd.h>

#include "covered.h"

enum { ARGS_MAX = 64, ENV_MAX = 256, HANDED_MAX = 16, RUN_MS = 40000 };

/* ---- Where they are ---- */

/* Where this program lies, without its name. */
static const char *own_directory(void)
{
    static char dir[512];
    ssize_t n = readlink("/proc/self/exe", dir, sizeof dir - 1);
    ck_assert_msg(n > 0, "/proc/self/exe: %s", strerror(errno));
    dir[n] = '\0';
    *strrchr(dir, '/') = '\0';
    return dir;
}

const char *itest_root(void)
{
    static char root[520];
    snprintf(root, sizeof root, "%s/../..", own_directory());
    return root;
}

/* The programs of a plain build lie at the root of the tree, those of the others beside the tests. */
static const char *beside_or_root(const char *name)
{
    static char path[640];
    snprintf(path, sizeof path, "%s/%s", own_directory(), name);
    if (access(path, X_OK) != 0)
        snprintf(path, sizeof path, "%s/%s", itest_root(), name);
    return path;
}

const char *itest_program(const char *name)
{
    static char path[640];
    const char *given;
    if (strcmp(name, "maritcp") == 0)
        return (given = getenv("MARITCP")) != NULL ? given : beside_or_root(name);
    if (strcmp(name, "mario_test") == 0)
        return (given = getenv("MARIO_TEST")) != NULL ? given : beside_or_root("test/mario_test");
    if (strcmp(name, "mario_load") == 0)
        return (given = getenv("MARIO_LOAD")) != NULL ? given : beside_or_root("test/mario_load");
    if (name[0] == '/')
        return name;
    if ((given = getenv("APPS")) != NULL)
        snprintf(path, sizeof path, "%s/%s", given, name);
    else
        snprintf(path, sizeof path, "%s/apps/%s", own_directory(), name);
    return path;
}

static const char *preload_path(const char *name)
{
    static char path[640];
    const char *given = getenv("PRELOADS");
    if (given != NULL)
        snprintf(path, sizeof path, "%s/%s.so", given, name);
    else
        snprintf(path, sizeof path, "%s/preload/%s.so", own_directory(), name);
    ck_assert_msg(access(path, R_OK) == 0, "%s: %s", path, strerror(errno));
    return path;
}

/* ---- Directories and files ---- */

void program_make_dir(char *dir, size_t size)
{
    const char *run = getenv("ITEST_DIR");
    snprintf(dir, size, "%s/XXXXXX", run != NULL ? run : "/tmp");
    ck_assert_msg(mkdtemp(dir) != NULL, "%s: %s", dir, strerror(errno));
}

void program_remove_dir(const char *dir)
{
    DIR *d = opendir(dir);
    if (d == NULL)
        return;
    for (struct dirent *e; (e = readdir(d)) != NULL;)
        unlinkat(dirfd(d), e->d_name, 0);
    closedir(d);
    rmdir(dir);
}

char *program_slurp(const char *path)
{
    struct stat st;
    int fd = open(path, O_RDONLY | O_CLOEXEC);
    size_t size = fd >= 0 && fstat(fd, &st) == 0 ? (size_t) st.st_size : 0, have = 0;
    char *text = malloc(size + 1);
    ck_assert_msg(text != NULL, "no memory");
    for (ssize_t n; have < size && (n = read(fd, text + have, size - have)) > 0;)
        have += (size_t) n;
    text[have] = '\0';
    if (fd >= 0)
        close(fd);
    return text;
}

/* ---- Starting ---- */

static int code_of(int status)
{
    return WIFEXITED(status) ? WEXITSTATUS(status) : 128 + WTERMSIG(status);
}

/* All that is said to a program, made before the fork: the child of a process with threads may call nothing that takes
 * a lock, which another thread may have held at that moment. malloc() does, and so does each assert of check. */
struct command {
    const char *argv[ARGS_MAX], *env[ENV_MAX];
    size_t count;
    char path[640], preload[660], covered[1000], listen[1024], log[256], asan[512];
    char handed[32], handed_to[32]; /* the latter is filled in by the child */
    unsigned handed_count;
};

static void add(struct command *c, const char *word)
{
    ck_assert_msg(c->count < ARGS_MAX - 1, "too many words for a command line");
    c->argv[c->count++] = word;
    c->argv[c->count] = NULL;
}

static void add_args(struct command *c, const char *const *args)
{
    for (size_t i = 0; args != NULL && args[i] != NULL; i++) {
        if (strchr(args[i], '=') != NULL && args[i][0] != '-')
            add(c, "-o");
        add(c, args[i]);
    }
}

/* "NAME=value", in the place of what that name had. */
static void add_env(struct command *c, const char *text)
{
    size_t n = strcspn(text, "=") + 1, i = 0;
    while (c->env[i] != NULL && strncmp(c->env[i], text, n) != 0)
        i++;
    ck_assert_msg(i < ENV_MAX - 1, "the environment is too large");
    c->env[i] = text;
}

/* The preloaded library comes before ASan's own, which ASan must be told. */
static void make_env(struct command *c, const struct launch *l)
{
    const char *asan = getenv("ASAN_OPTIONS");
    for (char **e = environ; *e != NULL; e++)
        add_env(c, *e);
    snprintf(c->asan, sizeof c->asan, "ASAN_OPTIONS=%s:verify_asan_link_order=0", asan != NULL ? asan : "");
    add_env(c, c->asan);
    if (l->preload != NULL) {
        snprintf(c->preload, sizeof c->preload, "LD_PRELOAD=%s", preload_path(l->preload));
        add_env(c, c->preload);
    }
    while (l->handed != NULL && l->handed[c->handed_count] >= 0)
        c->handed_count++;
    ck_assert_msg(c->handed_count <= HANDED_MAX, "too many descriptors to hand over");
    if (l->handed != NULL) {
        snprintf(c->handed, sizeof c->handed, "LISTEN_FDS=%u", c->handed_count);
        add_env(c, c->handed);
        snprintf(c->handed_to, sizeof c->handed_to, "LISTEN_PID=");
        add_env(c, c->handed_to);
    }
    for (size_t i = 0; l->env != NULL && l->env[i] != NULL; i++)
        add_env(c, l->env[i]);
}

static void make_command(struct command *c, const struct launch *l, const char *log)
{
    memset(c, 0, sizeof *c);
    snprintf(c->path, sizeof c->path, "%s", itest_program(l->program));
    add(c, c->path);
    if (!l->bare) {
        const char *list = l->listen != NULL ? l->listen : "127.0.0.1:0";
        if (covered_is_on(l)) {
            covered_listen(c->covered, sizeof c->covered, list);
            add_args(c, covered_args());
            list = c->covered;
        }
        snprintf(c->listen, sizeof c->listen, "server.listen=%s", list);
        snprintf(c->log, sizeof c->log, "log.file=%s", log);
        const char *const first[] = {c->listen, c->log, NULL};
        add_args(c, first);
    }
    add_args(c, l->args);
    make_env(c, l);
}

static void limit_to(int resource, uint64_t most)
{
    struct rlimit r = {.rlim_cur = most, .rlim_max = most};
    if (most != 0 && setrlimit(resource, &r) != 0)
        _exit(126);
}

/* What it inherits of signals. */
static void set_signals(const struct launch *l)
{
    sigset_t mask;
    sigemptyset(&mask);
    if (l->stop_waits)
        sigaddset(&mask, SIGTERM);
    if (l->deaf)
        sigfillset(&mask);
    sigprocmask(SIG_SETMASK, &mask, NULL);
    if (l->stop_waits)
        raise(SIGTERM); /* it waits through exec */
    signal(SIGPIPE, SIG_DFL);
    signal(SIGQUIT, SIG_DFL); /* a shell ignores it in what runs in its background */
    for (int sig = 1; l->deaf && sig < SIGRTMAX; sig++)
        signal(sig, SIG_IGN);
}

/* In the child: go on as process 1 of a new namespace; who stays behind ends as that does. */
static void become_first(void)
{
    int status = 0;
    if (unshare(CLONE_NEWPID) != 0)
        _exit(126);
    pid_t pid = fork();
    if (pid == 0) {
        prctl(PR_SET_PDEATHSIG, SIGKILL);
        return;
    }
    if (pid < 0 || waitpid(pid, &status, 0) != pid)
        _exit(126);
    _exit(code_of(status));
}

bool launch_can_be_first(void)
{
    pid_t pid = fork();
    int status = 1;
    if (pid == 0)
        _exit(unshare(CLONE_NEWPID) == 0 ? 0 : 1);
    if (pid > 0 && waitpid(pid, &status, 0) == pid && status == 0)
        return true;
    fprintf(stderr, "crash: skipped: no namespace of processes can be made here\n");
    return false;
}

/* In the child: what is handed over becomes 3 and on, everything else is closed. */
static void hand_over(const struct launch *l, struct command *c)
{
    int away[HANDED_MAX];
    for (unsigned i = 0; i < c->handed_count; i++)
        away[i] = fcntl(l->handed[i], F_DUPFD_CLOEXEC, 3 + HANDED_MAX);
    for (unsigned i = 0; i < c->handed_count; i++)
        dup2(away[i], 3 + (int) i);
    close_range(3 + c->handed_count, ~0u, 0); /* the test's own connections are not the server's */
    if (l->handed != NULL)
        snprintf(c->handed_to, sizeof c->handed_to, "LISTEN_PID=%d", (int) getpid());
}

/* In the child, between fork and exec. Never returns. */
static _Noreturn void become(const struct launch *l, struct command *c, const char *out, const char *err,
                             pid_t parent)
{
    int null = open("/dev/null", O_RDONLY);
    int o = open(out, O_WRONLY | O_CREAT | O_APPEND, 0640),
        e = open(err, O_WRONLY | O_CREAT | O_APPEND, 0640);
    if (prctl(PR_SET_PDEATHSIG, SIGKILL) != 0 || getppid() != parent || null < 0 || o < 0 || e < 0)
        _exit(126);
    dup2(null, STDIN_FILENO);
    dup2(o, STDOUT_FILENO);
    dup2(e, STDERR_FILENO);
    hand_over(l, c);
    limit_to(RLIMIT_NOFILE, l->nofile);
    limit_to(RLIMIT_FSIZE, l->fsize);
    if (l->first)
        become_first();
    set_signals(l);
    execve(c->argv[0], (char *const *) (uintptr_t) c->argv, (char *const *) (uintptr_t) c->env);
    dprintf(STDERR_FILENO, "%s: %s\n", c->argv[0], strerror(errno));
    _exit(127);
}

pid_t program_start(const struct launch *l, const char *log, const char *out, const char *err)
{
    struct command c;
    pid_t parent = getpid();
    make_command(&c, l, log);
    fflush(NULL);
    pid_t pid = fork();
    if (pid == 0)
        become(l, &c, out, err, parent);
    ck_assert_msg(pid > 0, "fork: %s", strerror(errno));
    return pid;
}

/* ---- Ending ---- */

int program_wait(pid_t pid, uint64_t deadline)
{
    int status;
    for (;;) {
        pid_t got = waitpid(pid, &status, WNOHANG);
        if (got == pid)
            return code_of(status);
        ck_assert_msg(got == 0, "waitpid: %s", strerror(errno));
        if (mono_ns() >= deadline)
            return -1;
        itest_sleep(1);
    }
}

pid_t program_orphan(void)
{
    int pid = 0;
    FILE *f = fopen("/proc/thread-self/children", "r");
    ck_assert_msg(f != NULL && fscanf(f, "%d", &pid) != 0, "no list of children: %s", strerror(errno));
    fclose(f);
    return pid;
}

static void take_file(const char *path, char *out, size_t size)
{
    char *text = program_slurp(path);
    if (out != NULL && size > 0)
        snprintf(out, size, "%s", text);
    free(text);
}

int itest_run(const struct launch *l, char *out, size_t out_size, char *err, size_t err_size)
{
    char dir[64], out_path[96], err_path[96], log[96];
    program_make_dir(dir, sizeof dir);
    snprintf(out_path, sizeof out_path, "%s/out", dir);
    snprintf(err_path, sizeof err_path, "%s/err", dir);
    snprintf(log, sizeof log, "%s/log", dir);
    pid_t pid = program_start(l, log, out_path, err_path);
    int code = program_wait(pid, itest_deadline(RUN_MS));
    if (code < 0) {
        kill(pid, SIGKILL);
        program_wait(pid, itest_deadline(10000));
        ck_abort_msg("%s did not end within its time; see %s", l->program, dir);
    }
    take_file(out_path, out, out_size);
    take_file(err_path, err, err_size);
    program_remove_dir(dir);
    return code;
}
