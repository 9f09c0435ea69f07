/*
 * runner.c: a process of the pool, with libfcgi: for each request a program of the directory, as RFC 3875 wants it: its
 * variables are the request's, its input is the body, what it writes is the answer. runner_prepare() runs on main, the
 * rest in a process of its own that has nothing of the server's.
 */
#include "runner.h"

#include <errno.h>
#include <fcgiapp.h>
#include <fcntl.h>
#include <signal.h>
#include <stdbool.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/mman.h>
#include <sys/prctl.h>
#include <sys/wait.h>
#include <unistd.h>

enum { STEP = 16384, NOT_RUN = 126 };

static int programs = -1; /* the directory */

int runner_prepare(const char *dir)
{
    programs = open(dir, O_RDONLY | O_DIRECTORY | O_CLOEXEC);
    if (programs < 0)
        fprintf(stderr, "web: %s: %s\n", dir, strerror(errno));
    return programs < 0 ? -1 : 0;
}

/* The body, in a file that has no name: whoever reads it needs nobody who writes it. -1 without memory. */
static int take_body(FCGX_Stream *in)
{
    char bytes[STEP];
    int n, fd = memfd_create("body", MFD_CLOEXEC);
    while (fd >= 0 && (n = FCGX_GetStr(bytes, sizeof bytes, in)) > 0) {
        if (write(fd, bytes, (size_t) n) != n) {
            close(fd);
            return -1;
        }
    }
    if (fd >= 0)
        lseek(fd, 0, SEEK_SET);
    return fd;
}

/* Become the program, which ends with its runner. */
static void become(pid_t runner, const char *name, char **variables, int body, int answer)
{
    char *args[] = {(char *) (size_t) name, NULL};
    prctl(PR_SET_PDEATHSIG, SIGKILL);
    if (getppid() != runner || dup2(body, STDIN_FILENO) < 0 || dup2(answer, STDOUT_FILENO) < 0 ||
        fchdir(programs) != 0)
        _exit(NOT_RUN);
    close_range(STDERR_FILENO + 1, ~0u, 0);
    execve(name, args, variables);
    _exit(NOT_RUN);
}

/* Hand on what the program writes, until it has ended. Its exit code; NOT_RUN after a signal. */
static int hand_on(pid_t program, int from, FCGX_Stream *out)
{
    char bytes[STEP];
    ssize_t n;
    int status = 0;
    while ((n = read(from, bytes, sizeof bytes)) > 0 || (n < 0 && errno == EINTR)) {
        if (n > 0 && FCGX_PutStr(bytes, (int) n, out) < 0)
            break; /* nobody listens: it gets SIGPIPE */
    }
    close(from);
    while (waitpid(program, &status, 0) < 0 && errno == EINTR) {
    }
    return WIFEXITED(status) ? WEXITSTATUS(status) : NOT_RUN;
}

static int run(FCGX_Request *r, const char *name)
{
    int pipe_ends[2], body = take_body(r->in);
    if (body < 0)
        return NOT_RUN;
    if (pipe2(pipe_ends, O_CLOEXEC) != 0) {
        close(body);
        return NOT_RUN;
    }
    pid_t runner = getpid(), program = fork();
    if (program == 0)
        become(runner, name, r->envp, body, pipe_ends[1]);
    close(body);
    close(pipe_ends[1]);
    if (program > 0)
        return hand_on(program, pipe_ends[0], r->out);
    close(pipe_ends[0]);
    return NOT_RUN;
}

int runner_run(int listener)
{
    FCGX_Request r;
    if (FCGX_Init() != 0 || FCGX_InitRequest(&r, listener, 0) != 0)
        return 1;
    while (FCGX_Accept_r(&r) == 0) {
        const char *path = FCGX_GetParam("SCRIPT_FILENAME", r.envp),
                   *slash = path != NULL ? strrchr(path, '/') : NULL;
        /* The server has seen that it is a file of the directory. */
        FCGX_SetExitStatus(slash != NULL ? run(&r, slash + 1) : NOT_RUN, r.out);
    }
    return 0;
}
