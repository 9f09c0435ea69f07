/*
 * daemon.c: becoming a daemon: as 0.9.9 did, or with all that belongs to one, and then telling who started it that it
 * is ready. Runs on the main thread, before there are others; mario_daemon_ready() on the thread that runs the server.
 */
#include "mario/process/daemon.h"

#include <errno.h>
#include <fcntl.h>
#include <signal.h>
#include <stdbool.h>
#include <stdio.h>
#include <stdlib.h>
#include <sys/types.h>
#include <sys/wait.h>
#include <unistd.h>

#include "mario/base/util.h"
#include "mario/mario_util.h"

static int ready_pipe = -1; /* daemon (w) -> the process that made it (r); -1 when nothing is to be said */
static bool unready;        /* in a daemon whose standard error is still that of who made it */

static void to_null(int fd, int flags)
{
    int null = open("/dev/null", flags | O_CLOEXEC);
    if (null >= 0) {
        dup2(null, fd);
        if (null != fd)
            close(null);
    }
}

/* In the process that called mario_daemon(): wait for the word `ready` or for the daemon's end. */
static _Noreturn void wait_for_daemon(int fd, pid_t daemon)
{
    char word;
    ssize_t n;
    int status = 0;
    do {
        n = read(fd, &word, 1);
    } while (n < 0 && errno == EINTR);
    if (n == 1)
        _exit(0);
    while (waitpid(daemon, &status, 0) < 0 && errno == EINTR) {
    }
    _exit(WIFEXITED(status) ? WEXITSTATUS(status) : 128 + WTERMSIG(status));
}

/* fork(), with SIGCHLD as it must be for the status of a child to be kept, whoever started us ignored it or not; in
 * the child as it was. */
static pid_t fork_to_wait(void)
{
    struct sigaction waits = {.sa_handler = SIG_DFL}, old;
    sigaction(SIGCHLD, &waits, &old);
    pid_t pid = fork();
    if (pid <= 0)
        sigaction(SIGCHLD, &old, NULL);
    return pid;
}

int32_t run_daemon(void)
{
    fflush(NULL);
    pid_t pid = fork();
    if (pid > 0)
        _exit(0);
    if (pid < 0)
        return -1;
    setsid();
    signal_handler(SIGHUP, SIG_IGN); /* until init_server(), which takes both over */
    signal_handler(SIGPIPE, SIG_IGN);
    return 0;
}

int32_t mario_daemon(void)
{
    int fds[2];
    util_fill_standard();
    util_ignore_write_signals();
    if (pipe2(fds, O_CLOEXEC) != 0)
        return -1;
    fflush(NULL);
    pid_t pid = fork_to_wait();
    if (pid < 0) {
        close(fds[0]);
        close(fds[1]);
        return -1;
    }
    if (pid > 0) {
        close(fds[1]);
        wait_for_daemon(fds[0], pid);
    }
    close(fds[0]);
    ready_pipe = fds[1];
    unready = true;
    setsid();
    if (chdir("/") != 0)
        return -1;
    to_null(STDIN_FILENO, O_RDONLY);
    to_null(STDOUT_FILENO, O_WRONLY);
    return 0;
}

void daemon_leave_word_to_parent(void)
{
    if (ready_pipe >= 0)
        close(ready_pipe);
    ready_pipe = -1;
}

void mario_daemon_ready(void)
{
    ssize_t n;
    if (!unready)
        return;
    unready = false;
    to_null(STDERR_FILENO, O_WRONLY); /* first: ready means all of it */
    if (ready_pipe < 0)
        return;
    do {
        n = write(ready_pipe, "r", 1);
    } while (n < 0 && errno == EINTR);
    close(ready_pipe);
    ready_pipe = -1;
}
