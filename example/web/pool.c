/*
 * pool.c: the pool of processes. pool_start() and pool_stop() run on main, mother() and what it calls in a process of
 * its own, the rest on the threads of the server that take one.
 *
 * Each process has a socket, made before the first fork, which outlives it: who connects while it is started anew
 * waits. A socket has no name any more; who has its descriptor finds it through /proc. The mother ends with the server:
 * her end of `control` says so. /
 */
#include "pool.h"

#include <errno.h>
#include <fcntl.h>
#include <poll.h>
#include <pthread.h>
#include <signal.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/prctl.h>
#include <sys/signalfd.h>
#include <sys/socket.h>
#include <sys/stat.h>
#include <sys/un.h>
#include <sys/wait.h>
#include <time.h>
#include <unistd.h>

enum {
    REST_MS = 100, /* between two starts: one that dies at once does not keep a core busy */
    BACKLOG = 8    /* one asks at a time; before it may be some who gave up while a process was started */
};

struct process {
    int listener; /* the mother's and the process's */
    int name;     /* the server's: an O_PATH descriptor of the same socket */
    pid_t pid;    /* the mother's; 0: to be started */
};

/* What the mother knows. */
struct mother {
    pid_t pid;
    int control; /* her end */
    pool_main run;
};

static struct process processes[POOL_MAX];
static int process_count;
static pid_t mother_pid;
static int control = -1; /* of the server's end; under `asking` */
static pthread_mutex_t asking = PTHREAD_MUTEX_INITIALIZER;
static pthread_mutex_t lock = PTHREAD_MUTEX_INITIALIZER;
static pthread_cond_t given = PTHREAD_COND_INITIALIZER;
static int free_ones[POOL_MAX], free_count; /* under lock */

/* ---- Before there are threads ---- */

/* A socket that listens in dir, and loses its name at once. */
static int make_socket(struct process *p, const char *dir)
{
    struct sockaddr_un a = {.sun_family = AF_UNIX};
    snprintf(a.sun_path, sizeof a.sun_path, "%s/socket", dir);
    p->name = -1;
    p->listener = socket(AF_UNIX, SOCK_STREAM | SOCK_CLOEXEC, 0);
    if (p->listener < 0 || bind(p->listener, (struct sockaddr *) &a, sizeof a) != 0)
        return -1;
    p->name = listen(p->listener, BACKLOG) == 0 ? open(a.sun_path, O_PATH | O_NOFOLLOW | O_CLOEXEC) : -1;
    return unlink(a.sun_path) == 0 && p->name >= 0 ? 0 : -1;
}

static int make_sockets(void)
{
    char dir[] = "/tmp/web-XXXXXX"; /* for nobody else to look into */
    if (mkdtemp(dir) == NULL)
        return -1;
    int rc = 0;
    for (int i = 0; i < process_count && rc == 0; i++)
        rc = make_socket(&processes[i], dir);
    int error = errno;
    rmdir(dir);
    errno = error;
    return rc;
}

/* ---- The mother ---- */

/* Become a process of the pool: it ends with her, and does not hold her end of `control`. */
static void become(const struct mother *m, int listener)
{
    sigset_t none;
    setpgid(0, 0);
    prctl(PR_SET_PDEATHSIG, SIGKILL);
    if (getppid() != m->pid) /* she died before that */
        _exit(1);
    close(m->control);
    sigemptyset(&none);
    signal(SIGINT, SIG_DFL);
    signal(SIGTERM, SIG_DFL);
    signal(SIGHUP, SIG_DFL);
    sigprocmask(SIG_SETMASK, &none, NULL);
    _exit(m->run(listener));
}

/* Those that are not there. True if one could not be started. */
static bool start_missing(const struct mother *m)
{
    bool failed = false;
    for (int i = 0; i < process_count; i++) {
        struct process *p = &processes[i];
        if (p->pid > 0)
            continue;
        p->pid = fork();
        if (p->pid == 0)
            become(m, p->listener);
        if (p->pid > 0)
            setpgid(p->pid, p->pid); /* both do, whoever is first: it can be killed from now on */
        failed = failed || p->pid < 0;
    }
    return failed;
}

/* With all that it started: who is left of its group was its. */
static void end(struct process *p)
{
    if (p->pid <= 0)
        return;
    kill(-p->pid, SIGKILL);
    while (waitpid(p->pid, NULL, 0) < 0 && errno == EINTR) {
    }
    p->pid = 0;
}

/* Those that have died. */
static bool bury(void)
{
    bool any = false;
    for (int i = 0; i < process_count; i++) {
        siginfo_t info = {.si_pid = 0};
        struct process *p = &processes[i];
        if (p->pid > 0 && waitid(P_PID, (id_t) p->pid, &info, WEXITED | WNOHANG | WNOWAIT) == 0 &&
            info.si_pid > 0) {
            end(p); /* its number is not given to another while it is not waited for */
            any = true;
        }
    }
    return any;
}

/* What the server wants. False: nothing any more. */
static bool hear(const struct mother *m)
{
    unsigned char number;
    ssize_t n = recv(m->control, &number, sizeof number, 0);
    if (n < 0 && errno == EINTR)
        return true;
    if (n != sizeof number || number >= process_count)
        return false;
    end(&processes[number]);
    start_missing(m);
    return send(m->control, &number, sizeof number, MSG_NOSIGNAL) == sizeof number;
}

static void mother(const struct mother *m)
{
    sigset_t child;
    struct timespec rest = {.tv_nsec = REST_MS * 1000000l};
    prctl(PR_SET_NAME, "web-pool");
    signal(SIGINT, SIG_IGN); /* from a terminal, all get it: the server says when it is over */
    signal(SIGTERM, SIG_IGN);
    signal(SIGHUP, SIG_IGN);
    sigemptyset(&child);
    sigaddset(&child, SIGCHLD);
    sigprocmask(SIG_BLOCK, &child, NULL);
    int deaths = signalfd(-1, &child, SFD_CLOEXEC | SFD_NONBLOCK);
    bool failed = start_missing(m);
    for (;;) {
        struct pollfd p[2] = {{.fd = m->control, .events = POLLIN}, {.fd = deaths, .events = POLLIN}};
        struct signalfd_siginfo info;
        poll(p, 2, failed ? REST_MS : -1);
        while (read(deaths, &info, sizeof info) > 0) {
        }
        if (p[0].revents != 0 && !hear(m))
            break;
        if (bury())
            nanosleep(&rest, NULL);
        failed = start_missing(m);
    }
    for (int i = 0; i < process_count; i++)
        end(&processes[i]);
    _exit(0);
}

int pool_start(int count, pool_main run)
{
    int ends[2] = {-1, -1};
    process_count = count;
    if (make_sockets() != 0 || socketpair(AF_UNIX, SOCK_SEQPACKET | SOCK_CLOEXEC, 0, ends) != 0 ||
        (mother_pid = fork()) < 0) {
        fprintf(stderr, "web: no pool of processes: %s\n", strerror(errno));
        return -1;
    }
    if (mother_pid == 0) {
        close(ends[0]);
        mother(&(struct mother){.pid = getpid(), .control = ends[1], .run = run});
    }
    close(ends[1]);
    control = ends[0];
    for (int i = 0; i < count; i++) {
        close(processes[i].listener);
        free_ones[free_count++] = count - 1 - i;
    }
    return 0;
}

void pool_stop(void)
{
    if (mother_pid <= 0)
        return;
    close(control);
    while (waitpid(mother_pid, NULL, 0) < 0 && errno == EINTR) {
    }
    for (int i = 0; i < process_count; i++)
        close(processes[i].name);
    mother_pid = 0;
}

/* ---- Threads of the server ---- */

int pool_take(int ms)
{
    struct timespec until;
    int number = -1, rc = 0;
    clock_gettime(CLOCK_MONOTONIC, &until);
    until.tv_nsec += ms % 1000 * 1000000l;
    until.tv_sec += ms / 1000 + until.tv_nsec / 1000000000l;
    until.tv_nsec %= 1000000000l;
    pthread_mutex_lock(&lock);
    while (free_count == 0 && rc == 0)
        rc = pthread_cond_clockwait(&given, &lock, CLOCK_MONOTONIC, &until);
    if (free_count > 0)
        number = free_ones[--free_count];
    pthread_mutex_unlock(&lock);
    return number;
}

int pool_connect(int number)
{
    struct sockaddr_un a = {.sun_family = AF_UNIX};
    snprintf(a.sun_path, sizeof a.sun_path, "/proc/self/fd/%d", processes[number].name);
    int fd = socket(AF_UNIX, SOCK_STREAM | SOCK_CLOEXEC | SOCK_NONBLOCK, 0);
    if (fd < 0 || connect(fd, (struct sockaddr *) &a, sizeof a) == 0)
        return fd;
    int error = errno;
    close(fd);
    errno = error;
    return -1;
}

void pool_give(int number)
{
    pthread_mutex_lock(&lock);
    free_ones[free_count++] = number;
    pthread_cond_signal(&given);
    pthread_mutex_unlock(&lock);
}

void pool_kill(int number)
{
    unsigned char word = (unsigned char) number;
    pthread_mutex_lock(&asking);
    if (send(control, &word, sizeof word, MSG_NOSIGNAL) == sizeof word) {
        while (recv(control, &word, sizeof word, 0) < 0 && errno == EINTR) {
        }
    }
    pthread_mutex_unlock(&asking);
    pool_give(number);
}
