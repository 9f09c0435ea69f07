/*
 * prefork.c: a pool of processes, told in turn that a connection waits.
 *
 * How: the parent watches the listening socket, edge-triggered, and for each edge writes a byte to the next
 * child's pipe. That child accepts whatever waits (one edge may stand for several connections) and serves all
 * its connections with an epoll loop of its own. Only the notified child wakes up, so there is no thundering
 * herd. Limits: memory is not shared, so neither is anything the clients have in common; a connection stays
 * where it was accepted, however unlucky; the parent's hop costs two system calls and a context switch a
 * connection. Right when each client can be served alone and a crash is to cost a part of the clients only:
 * web servers, where nginx lets the kernel choose the process instead of a parent.
 */
#include "model.h"

#include <errno.h>
#include <signal.h>
#include <stdlib.h>
#include <sys/epoll.h>
#include <sys/socket.h>
#include <sys/wait.h>
#include <unistd.h>

enum { POOL = 4, EVENTS = 512 };

static volatile sig_atomic_t child_ended, stopping;
static struct wire_scratch scratch; /* each process has its own */

static void on_signal(int sig)
{
    if (sig == SIGCHLD)
        child_ended = 1;
    else
        stopping = 1;
}

static int watch(int epoll_fd, int op, int fd, uint32_t events, void *ptr)
{
    struct epoll_event ev = {.events = events, .data.ptr = ptr};

    return epoll_ctl(epoll_fd, op, fd, &ev);
}

/* ---- A child ---- */

static void accept_all(int epoll_fd, int listener)
{
    int fd;

    while ((fd = model_accept(listener, SOCK_NONBLOCK)) >= 0) {
        struct stream *s = stream_open(fd);

        if (s != NULL && watch(epoll_fd, EPOLL_CTL_ADD, fd, EPOLLIN, s) < 0)
            stream_close(s);
    }
}

static void on_stream(int epoll_fd, struct stream *s)
{
    int was_full = s->out_len > 0;
    enum stream_state state = was_full ? stream_writable(s) : stream_readable(s, &scratch);
    int is_full = state == STREAM_FULL;

    if (state != STREAM_END && was_full != is_full &&
        watch(epoll_fd, EPOLL_CTL_MOD, s->fd, is_full ? EPOLLOUT : EPOLLIN, s) < 0)
        state = STREAM_END;
    if (state == STREAM_END)
        stream_close(s);
}

/* notice: the read end of the child's pipe; end of file means that the parent is gone. */
static void child_main(int listener, int notice)
{
    struct epoll_event events[EVENTS];
    int epoll_fd = epoll_create1(EPOLL_CLOEXEC);

    if (epoll_fd < 0 || watch(epoll_fd, EPOLL_CTL_ADD, notice, EPOLLIN, NULL) < 0)
        model_die("epoll");
    for (;;) {
        int n = epoll_wait(epoll_fd, events, EVENTS, -1), told = 0;

        for (int i = 0; i < n; i++) {
            if (events[i].data.ptr == NULL)
                told = 1;
            else
                on_stream(epoll_fd, events[i].data.ptr);
        }
        char bytes[256];
        if (told && read(notice, bytes, sizeof bytes) <= 0)
            _exit(0);
        if (told)
            accept_all(epoll_fd, listener);
    }
}

/* ---- The parent ---- */

static void pool_setup(int listener, pid_t *pids, int *notices, const sigset_t *mask)
{
    int parent = getpid();

    for (int k = 0; k < POOL; k++) {
        int ends[2];

        if (pipe(ends) < 0 || (pids[k] = fork()) < 0)
            model_die("pool");
        if (pids[k] == 0) {
            signal(SIGTERM, SIG_DFL);
            signal(SIGINT, SIG_DFL);
            signal(SIGCHLD, SIG_DFL);
            sigprocmask(SIG_SETMASK, mask, NULL);
            model_child(parent);
            for (int j = 0; j < k; j++)
                close(notices[j]);
            close(ends[1]);
            child_main(listener, ends[0]);
        }
        close(ends[0]);
        notices[k] = ends[1];
    }
}

/* Notify the children in turn until told to stop, or until one has ended, which none should. */
static void notify(int listener, const int *notices, const sigset_t *mask)
{
    int epoll_fd = epoll_create1(EPOLL_CLOEXEC), next = 0;
    struct epoll_event ev;

    if (epoll_fd < 0 || watch(epoll_fd, EPOLL_CTL_ADD, listener, EPOLLIN | EPOLLET, NULL) < 0)
        model_die("epoll");
    while (!stopping && !child_ended) {
        if (epoll_pwait(epoll_fd, &ev, 1, -1, mask) != 1)
            continue;
        if (write(notices[next], "", 1) < 0 && errno != EINTR)
            return;
        next = (next + 1) % POOL;
    }
}

int main(int argc, char **argv)
{
    int listener = model_start(argc, argv, SOCK_NONBLOCK), notices[POOL];
    struct sigaction act = {.sa_handler = on_signal};
    sigset_t set, mask;
    pid_t pids[POOL];

    /* Signals come in only while the parent waits. */
    sigemptyset(&set);
    sigaddset(&set, SIGCHLD);
    sigaddset(&set, SIGTERM);
    sigaddset(&set, SIGINT);
    sigprocmask(SIG_BLOCK, &set, &mask);
    sigaction(SIGCHLD, &act, NULL);
    sigaction(SIGTERM, &act, NULL);
    sigaction(SIGINT, &act, NULL);
    pool_setup(listener, pids, notices, &mask);
    notify(listener, notices, &mask);
    for (int k = 0; k < POOL; k++)
        kill(pids[k], SIGTERM);
    while (waitpid(-1, NULL, 0) > 0 || errno == EINTR)
        ;
    return stopping ? 0 : 1;
}
