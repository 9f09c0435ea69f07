/*
 * supervise.c: a parent that keeps the listening sockets and starts the server again when it dies. The parent
 * is one thread that waits in poll() for signals and for the word `ready`; after its start it allocates
 * nothing, opens nothing but the log for a line, and holds no client's socket. What runs in the child is in
 * supervise_child.c.
 *
 *     parent  counts, listeners  -> child   as of its fork
 *     child   page (shared)      -> parent  ready, stopping, words for the service manager, what was set anew, the
 *                                           crash record, and what each worker runs;
 *                                           cleared before each fork; one gone wild can do no more
 *                                           there than end the supervision
 */
#include "mario/process/supervise_inside.h"

#include <errno.h>
#include <poll.h>
#include <signal.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/eventfd.h>
#include <sys/mman.h>
#include <sys/signalfd.h>
#include <sys/stat.h>
#include <sys/syscall.h>
#include <sys/wait.h>
#include <unistd.h>

#include "mario/base/clock.h"
#include "mario/base/complain.h"
#include "mario/base/symbol.h"
#include "mario/base/util.h"
#include "mario/mario_util.h"
#include "mario/net/activation.h"
#include "mario/process/crash.h"
#include "mario/process/heart.h"
#include "mario/process/kept.h"
#include "mario/process/limit.h"
#include "mario/process/notify.h"
#include "mario/process/privilege.h"

enum { IN_CHILD = -1, START_FAILED = 2 };

enum {
    PAUSE_MS = 10,              /* before the second restart in a row; doubled for each more */
    PAUSE_MAX_MS = 500,         /* so that a restart takes less than a second */
    LIVED_MS = 5000,            /* a child that lived so long did not die at once */
    STOP_MORE_MS = 10000,       /* beyond drain_timeout: then the child is killed */
    HUNG_MORE_MS = 1000,        /* after ABRT, for the record to be made: then the child is killed */
    HUNG_CORE_MS = 10000,       /* if it was made: for a core to be written */
    DESCRIPTORS_BESIDES = 2048, /* more than a server needs beside its connections */
};

struct supervision sup = {.ready_fd = -1, .signal_fd = -1};

/* The parent's alone. */
static struct {
    char log[CRASH_LOG];
    enum mario_log_format format; /* of the line about a death */
    uint32_t changes;             /* of what the child has set, those that were taken over */
    uint64_t drain_ms;

    pid_t pid; /* of the child; 0 = none */
    int status;
    uint64_t born_ms;
    unsigned in_a_row; /* deaths without a life between them */
    bool was_ready;    /* some child has listened: the start has not failed */
    bool stop;         /* asked to stop */
    uint64_t kill_ms;  /* stop, or hung: when the child is killed */
    struct heart_watch heart;
    bool writes_core; /* hung: its record is made, and it has not ended yet */
    uint64_t hung_ms; /* for how long its master had not gone on when it was ended for that; 0 = it was not */
} parent;

/* ---- Before the first child ---- */

#if defined(__SANITIZE_THREAD__)
#define SANITIZER_THREADS 1 /* it has a thread of its own */
#elif defined(__has_feature)
#if __has_feature(thread_sanitizer)
#define SANITIZER_THREADS 1
#endif
#endif
#ifndef SANITIZER_THREADS
#define SANITIZER_THREADS 0
#endif

static bool is_alone(void)
{
    struct stat st;
    return stat("/proc/self/task", &st) != 0 || st.st_nlink <= 2 + 1 + SANITIZER_THREADS; /* with . and .. */
}

static bool keep_listeners(const struct mario_options *o, uint32_t workers)
{
    char why[256];
    struct listen_options set;
    struct listen_address *all = calloc(LISTEN_MAX, sizeof *all);
    sup.kept = calloc(LISTEN_MAX, sizeof *sup.kept);
    int n = -1;
    if (all == NULL || sup.kept == NULL)
        complain("no memory to start");
    else if (listen_settings(&set, o) && (n = listen_parse(o->listen, all, why, sizeof why)) < 0)
        complain("listen: %s", why);
    for (int i = 0; i < n; i++) {
        struct kept *k = &sup.kept[i];
        k->asked = all[i];
        if (!kept_open(k, &set, workers)) {
            complain("cannot listen on %s: %s%s", all[i].name, strerror(errno), listen_hint(&all[i], errno));
            n = -1;
            break;
        }
        sup.kept_count++;
    }
    activation_close_rest();
    free(all);
    return n >= 0;
}

static bool drop(const char *user)
{
    char why[256];
    return privilege_drop(user, why, sizeof why) || complain("user: %s", why);
}

static void signals_of(sigset_t *set)
{
    static const int all[] = {SIGTERM, SIGINT, SIGHUP, SIGUSR1, SIGUSR2, SIGCHLD, SIGPIPE};
    sigemptyset(set);
    for (size_t i = 0; i < sizeof all / sizeof all[0]; i++)
        sigaddset(set, all[i]);
}

static bool open_channels(void)
{
    sigset_t set;
    signals_of(&set);
    sigprocmask(SIG_BLOCK, &set, &sup.mask);
    sigdelset(&set, SIGPIPE);                                                      /* only blocked */
    sigaction(SIGCHLD, &(struct sigaction){.sa_handler = SIG_DFL}, &sup.on_child); /* ignored: no status */
    void *m = mmap(NULL, sizeof *sup.page, PROT_READ | PROT_WRITE, MAP_SHARED | MAP_ANONYMOUS, -1, 0);
    sup.page = m == MAP_FAILED ? NULL : m;
    sup.signal_fd = signalfd(-1, &set, SFD_NONBLOCK | SFD_CLOEXEC);
    sup.ready_fd = eventfd(0, EFD_NONBLOCK | EFD_CLOEXEC);
    if (sup.page != NULL && sup.signal_fd >= 0 && sup.ready_fd >= 0)
        return true;
    return complain("cannot supervise: %s", strerror(errno));
}

static bool setup(const struct mario_options *o)
{
    uint64_t workers = o->workernum != 0 ? o->workernum : limit_cores("");
    if (sup.used || !is_alone())
        return complain("mario_supervise: %s",
                        sup.used ? "a second time" : "there are other threads already");
    if (o->death_log != NULL && strlen(o->death_log) >= sizeof parent.log)
        return complain("death_log: the path is too long");
    sup.used = true;
    snprintf(parent.log, sizeof parent.log, "%s", o->death_log != NULL ? o->death_log : "-");
    parent.format = o->death_format;
    parent.drain_ms = o->drain_timeout * UINT64_C(1000);
    sup.master_ms = o->watch_master_ms;
    activation_setup();
    util_fill_standard();
    util_ignore_write_signals();
    notify_setup();
    symbol_setup();
    crash_setup("parent process", parent.log,
                parent.format); /* of its own death; a child says anew whose it is */
    limit_raise(o->connnum == 0 ? 0 : workers * o->connnum + DESCRIPTORS_BESIDES);
    return keep_listeners(o, (uint32_t) workers) && drop(o->user) && open_channels();
}

static void teardown(void)
{
    for (uint32_t i = 0; i < sup.kept_count; i++)
        kept_close(&sup.kept[i], sup.page != NULL && sup.page->stopping);
    sup.kept_count = 0;
    free(sup.kept);
    sup.kept = NULL;
    if (sup.page != NULL)
        munmap(sup.page, sizeof *sup.page);
    sup.page = NULL;
    if (sup.ready_fd >= 0) {
        close(sup.ready_fd);
        sigaction(SIGCHLD, &sup.on_child, NULL);
        sigprocmask(SIG_SETMASK, &sup.mask, NULL);
    }
    if (sup.signal_fd >= 0)
        close(sup.signal_fd);
}

/* ---- The parent's wait ---- */

/* What the child has set since, whole, or not at all: it may have died over it, or gone wild. */
static void take_tuned(void)
{
    static struct tuned copy;
    uint32_t changes = atomic_load_explicit(&sup.page->tuned.changes, memory_order_acquire);
    if (changes == parent.changes || changes % 2 != 0)
        return;
    memcpy(&copy, &sup.page->tuned, sizeof copy);
    atomic_thread_fence(memory_order_acquire);
    if (atomic_load_explicit(&sup.page->tuned.changes, memory_order_relaxed) != changes ||
        copy.master_ms > MARIO_WATCH_MAX ||
        copy.drain_ms > (2 * MARIO_DRAIN_MAX + MARIO_DRAIN_TIME_MAX) * 1000 || copy.format > MARIO_LOG_JSON ||
        memchr(copy.log, '\0', sizeof copy.log) == NULL)
        return;
    parent.changes = changes;
    sup.master_ms = copy.master_ms;
    parent.drain_ms = copy.drain_ms;
    parent.format = (enum mario_log_format) copy.format;
    memcpy(parent.log, copy.log, sizeof parent.log);
    crash_log_to(parent.log, parent.format);
}

static void reap(void)
{
    int status;
    pid_t pid;
    while ((pid = waitpid(-1, &status, WNOHANG)) > 0) { /* as the first process of a container: all */
        if (pid != parent.pid)
            continue;
        parent.pid = 0;
        parent.status = status;
    }
}

static void hear(int sig)
{
    if (sig == SIGCHLD) {
        reap();
        return;
    }
    if (sig == SIGTERM || sig == SIGINT) {
        take_tuned();
        if (!parent.stop && parent.hung_ms == 0)
            parent.kill_ms = clock_ms() + parent.drain_ms + STOP_MORE_MS;
        parent.stop = true;
        notify_stopping((uint32_t) parent.drain_ms + STOP_MORE_MS);
        notify_speak();
    }
    if (parent.pid > 0)
        kill(parent.pid, sig);
}

static void see_ready(void)
{
    uint64_t n;
    if (read(sup.ready_fd, &n, sizeof n) != sizeof n)
        return;
    notify_speak();
    if (!atomic_load_explicit(&sup.page->ready, memory_order_acquire))
        return;
    parent.was_ready = true;
    mario_daemon_ready();
}

/* Wait until something happens or it is until_ms (0: for ever), and see to it. */
static void attend(uint64_t until_ms)
{
    struct pollfd fds[] = {{.fd = sup.signal_fd, .events = POLLIN}, {.fd = sup.ready_fd, .events = POLLIN}};
    struct signalfd_siginfo s;
    uint64_t now = clock_ms();
    int timeout = until_ms == 0 ? -1 : until_ms <= now ? 0 : (int) (until_ms - now);
    poll(fds, 2, timeout);
    see_ready();
    while (read(sup.signal_fd, &s, sizeof s) == sizeof s)
        hear((int) s.ssi_signo);
}

/* Between two looks at the master, 0 = nobody is interested. */
static uint64_t look_ms(void)
{
    uint64_t ms = sup.master_ms / BEATS, notify_ms = notify_beat_ms();
    ms = sup.master_ms == 0 || parent.hung_ms != 0 ? 0 : ms > BEAT_MAX_MS ? BEAT_MAX_MS : ms > 0 ? ms : 1;
    return ms == 0 || (notify_ms != 0 && notify_ms < ms) ? notify_ms : ms;
}

/* The master hangs: nobody is accepted, no signal heard. ABRT goes to its thread, so that the record says where. */
static void end_hung(uint64_t silent_ms)
{
    int32_t master = atomic_load_explicit(&sup.page->heart.master, memory_order_relaxed);
    parent.hung_ms = silent_ms;
    syscall(SYS_tgkill, parent.pid, master, SIGABRT);
    parent.kill_ms = clock_ms() + HUNG_MORE_MS;
}

/* How far it has come, once its time is up. */
static void kill_child(void)
{
    bool recorded = atomic_load_explicit(&sup.page->crash.stage, memory_order_acquire) == CRASH_WHOLE;
    if (parent.hung_ms != 0 && recorded && !parent.writes_core) {
        parent.writes_core = true;
        parent.kill_ms = clock_ms() + HUNG_CORE_MS;
        return;
    }
    kill(parent.pid, SIGKILL);
    parent.kill_ms = clock_ms() + STOP_MORE_MS;
}

static void await_death(void)
{
    while (parent.pid > 0) {
        take_tuned(); /* before it is settled how long to wait: what is set from here on ends that */
        bool ending = parent.stop || parent.hung_ms != 0;
        uint64_t every = look_ms(), until = ending ? parent.kill_ms : 0, look = clock_ms() + every;
        attend(every != 0 && (until == 0 || look < until) ? look : until);
        if (parent.pid > 0 && ending && clock_ms() >= parent.kill_ms)
            kill_child();
        if (parent.pid == 0 || every == 0)
            continue;
        uint64_t silent_ms = heart_look(&parent.heart, &sup.page->heart, parent.pid, clock_ms(), every);
        notify_beat(silent_ms <= 2 * every);
        if (sup.master_ms != 0 && parent.hung_ms == 0 && silent_ms >= sup.master_ms)
            end_hung(silent_ms);
    }
    take_tuned();
    see_ready(); /* its last word may have come with its end */
}

/* ---- What became of it ---- */

static enum counter counter_of(int status)
{
    if (parent.hung_ms != 0)
        return STAT_died_hung;
    if (WIFEXITED(status))
        return STAT_died_exit;
    switch (WTERMSIG(status)) {
    case SIGSEGV:
        return STAT_died_sigsegv;
    case SIGABRT:
        return STAT_died_sigabrt;
    case SIGBUS:
        return STAT_died_sigbus;
    case SIGFPE:
        return STAT_died_sigfpe;
    case SIGILL:
        return STAT_died_sigill;
    case SIGKILL:
        return STAT_died_sigkill;
    default:
        return STAT_died_signal;
    }
}

static void write_record(const char *head)
{
    static char line[CRASH_LINE];
    crash_localtime();
    size_t n = crash_line(line, sizeof line, parent.format, head, &sup.page->crash, sup.page->activities,
                          ACTIVITIES);
    crash_append(parent.log, line, n);
}

/* The one line about a death. next: what comes of it. */
static void record(pid_t pid, const char *next)
{
    char head[320], how[96], hung[64] = "";
    uint64_t up = clock_ms() - parent.born_ms;
    int sig = WIFSIGNALED(parent.status) ? WTERMSIG(parent.status) : 0;
    if (sig == 0)
        snprintf(how, sizeof how, "exit code %d", WEXITSTATUS(parent.status));
    else
        snprintf(how, sizeof how, "signal %d (%s)%s", sig, crash_signal_name(sig),
                 WCOREDUMP(parent.status) ? ", core dumped" : "");
    if (parent.hung_ms != 0)
        snprintf(hung, sizeof hung, "hung: its master did nothing for %llu ms, ",
                 (unsigned long long) parent.hung_ms);
    snprintf(head, sizeof head, "process %d, %s%s, up %llu.%03llu s, %s", (int) pid, hung, how,
             (unsigned long long) up / 1000, (unsigned long long) up % 1000, next);
    write_record(head);
}

static void record_no_fork(unsigned pause_ms)
{
    char head[160];
    snprintf(head, sizeof head, "no new process, fork: %s, next try in %u ms", strerror(errno), pause_ms);
    write_record(head);
}

static int code_of(int status)
{
    return WIFEXITED(status) ? WEXITSTATUS(status) : 128 + WTERMSIG(status);
}

/* The child is gone: IN_CHILD (never a code) to start the next one after *pause_ms, else the code to exit
 * with. */
static int32_t judge(pid_t pid, unsigned *pause_ms)
{
    char next[96];
    int code = code_of(parent.status);
    bool ends = parent.stop || code == 0 || !parent.was_ready || sup.page->stopping;
    if (ends) {
        if (WIFSIGNALED(parent.status))
            record(pid, "not started again");
        return code;
    }
    parent.in_a_row = clock_ms() - parent.born_ms >= LIVED_MS ? 0 : parent.in_a_row + 1;
    *pause_ms = parent.in_a_row < 2    ? 0
                : parent.in_a_row >= 8 ? PAUSE_MAX_MS
                                       : (unsigned) PAUSE_MS << (parent.in_a_row - 2);
    sup.counts[STAT_restarts]++;
    sup.counts[counter_of(parent.status)]++;
    snprintf(next, sizeof next, "restart %llu in %u ms", (unsigned long long) sup.counts[STAT_restarts],
             *pause_ms);
    record(pid, next);
    return IN_CHILD;
}

/* 1 in the child, 0 in the parent, -1 if it cannot be. */
static int spawn(void)
{
    pid_t self = getpid();
    memset(sup.page, 0, sizeof *sup.page);
    parent.changes = 0;
    parent.born_ms = clock_ms();
    parent.heart = (struct heart_watch){.beats = 0};
    parent.hung_ms = 0;
    parent.writes_core = false;
    notify_read(&sup.page->news);
    fflush(NULL);
    pid_t pid = fork();
    if (pid == 0)
        supervise_become_child(self);
    else if (pid > 0)
        parent.pid = pid;
    return pid == 0 ? 1 : pid < 0 ? -1 : 0;
}

static void rest(unsigned ms)
{
    uint64_t until = clock_ms() + ms;
    while (!parent.stop && clock_ms() < until)
        attend(until);
    attend(1); /* what has come by now, without waiting */
}

/* IN_CHILD in a child, in the parent the code to exit with. */
static int32_t run(void)
{
    unsigned pause_ms = 0;
    for (;;) {
        int side = spawn();
        if (side > 0)
            return IN_CHILD;
        if (side < 0 && !parent.was_ready) {
            complain("cannot fork: %s", strerror(errno));
            return START_FAILED;
        }
        if (side == 0) {
            pid_t pid = parent.pid;
            await_death();
            int32_t code = judge(pid, &pause_ms);
            if (code != IN_CHILD)
                return code;
        } else {
            pause_ms = PAUSE_MAX_MS;
            record_no_fork(pause_ms);
        }
        rest(pause_ms);
        notify_beat(true); /* there is no master that could hang */
        if (parent.stop)
            return 0;
    }
}

int32_t mario_supervise(const struct mario_options *o)
{
    int32_t code = setup(o) ? run() : START_FAILED;
    if (code != IN_CHILD)
        teardown();
    return code;
}
