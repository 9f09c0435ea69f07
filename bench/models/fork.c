/*
 * fork.c: a process for each connection.
 *
 * How: the parent accepts and forks; the child serves its client with plain blocking calls and exits; the
 * parent reaps it when SIGCHLD tells. Signals are let in only while the parent waits, so a child that ends
 * between two lines of code is neither missed nor in the way. Limits: fork, exit and reaping cost some hundred
 * microseconds a connection; each child has its own page tables and kernel stack; pid_max ends it (32,768 by
 * default); children share nothing without more work. Right when connections are few and long, and one client's
 * crash, leak or privilege must not touch the others: sshd and PostgreSQL do it.
 */
#include "model.h"

#include <errno.h>
#include <poll.h>
#include <signal.h>
#include <stdlib.h>
#include <sys/socket.h>
#include <sys/wait.h>
#include <unistd.h>

static volatile sig_atomic_t child_ended, stopping;

static void on_signal(int sig)
{
    if (sig == SIGCHLD)
        child_ended = 1;
    else
        stopping = 1;
}

/* Block what the parent listens to; *before is the mask that children and the parent's wait use. */
static void signals_setup(sigset_t *before)
{
    static const int sigs[] = {SIGCHLD, SIGTERM, SIGINT};
    struct sigaction act = {.sa_handler = on_signal};
    sigset_t set;

    sigemptyset(&set);
    for (size_t i = 0; i < sizeof sigs / sizeof sigs[0]; i++) {
        sigaddset(&set, sigs[i]);
        sigaction(sigs[i], &act, NULL);
    }
    sigprocmask(SIG_BLOCK, &set, before);
}

static void serve_in_child(int listener, int fd, int parent, const sigset_t *mask)
{
    signal(SIGTERM, SIG_DFL);
    signal(SIGINT, SIG_DFL);
    signal(SIGCHLD, SIG_DFL);
    sigprocmask(SIG_SETMASK, mask, NULL);
    model_child(parent);
    close(listener);
    model_serve(fd);
    _exit(0);
}

/* One signal may stand for many children. */
static void reap(void)
{
    child_ended = 0;
    while (waitpid(-1, NULL, WNOHANG) > 0)
        ;
}

/* The children are in the parent's process group, and nobody else is. */
static void end_children(void)
{
    signal(SIGTERM, SIG_IGN);
    kill(0, SIGTERM);
    while (waitpid(-1, NULL, 0) > 0 || errno == EINTR)
        ;
}

int main(int argc, char **argv)
{
    int parent = getpid();
    sigset_t mask;

    setpgid(0, 0); /* fails if it leads a session: then it has a group of its own already */
    int listener = model_start(argc, argv, SOCK_NONBLOCK);
    struct pollfd wait = {.fd = listener, .events = POLLIN};
    signals_setup(&mask);

    while (!stopping) {
        int ready = ppoll(&wait, 1, NULL, &mask);

        if (child_ended)
            reap();
        int fd = ready > 0 ? model_accept(listener, 0) : -1;
        if (fd < 0)
            continue;
        if (fork() == 0)
            serve_in_child(listener, fd, parent, &mask);
        close(fd); /* the child has it; if there could be none, the client is refused */
    }
    end_children();
    return 0;
}
