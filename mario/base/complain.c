/*
 * complain.c: a line on standard error, without waiting for a reader, a lock or the heap. Any thread.
 */
#include "mario/base/complain.h"

#include <errno.h>
#include <fcntl.h>
#include <poll.h>
#include <pthread.h>
#include <stdarg.h>
#include <stdio.h>
#include <string.h>
#include <sys/socket.h>
#include <sys/stat.h>
#include <unistd.h>

/* The same pipe or terminal once more, with a mode of its own: that of fd is shared with other processes. -1 if that
 * cannot be, as when rights were dropped. */
static int open_again(int fd)
{
    char path[32] = "/proc/self/fd/", *at = path + strlen(path);
    for (int digits = fd < 10 ? 1 : fd < 100 ? 10 : 100; digits > 0 && fd < 1000; digits /= 10)
        *at++ = (char) ('0' + fd / digits % 10);
    return fd >= 1000 ? -1 : open(path, O_WRONLY | O_APPEND | O_NONBLOCK | O_NOCTTY | O_CLOEXEC);
}

/* Not to a pipe that nobody reads any more either: that would raise SIGPIPE. */
static bool write_if_ready(int fd, const char *line, size_t n)
{
    struct pollfd p = {.fd = fd, .events = POLLOUT};
    return poll(&p, 1, 0) == 1 && p.revents == POLLOUT && write(fd, line, n) == (ssize_t) n;
}

bool complain_bytes(int fd, const char *line, size_t n)
{
    struct stat st;
    if (n > COMPLAIN_MAX || fstat(fd, &st) != 0)
        return false;
    if (S_ISSOCK(st.st_mode))
        return send(fd, line, n, MSG_DONTWAIT | MSG_NOSIGNAL) == (ssize_t) n;
    if (!S_ISFIFO(st.st_mode) && !S_ISCHR(st.st_mode))
        return write_if_ready(fd, line, n);
    int own = open_again(fd);
    if (own < 0)
        return write_if_ready(fd, line, n); /* rarely another one fills it between the look and the writing */
    bool done = write_if_ready(own, line, n);
    close(own);
    return done;
}

bool complain(const char *fmt, ...)
{
    char line[COMPLAIN_MAX] = "mario: ";
    size_t used = strlen(line);
    int saved = errno, cancel;
    va_list ap;
    pthread_setcancelstate(PTHREAD_CANCEL_DISABLE, &cancel); /* a function's thread may come here */
    va_start(ap, fmt);
    int n = vsnprintf(line + used, sizeof line - used - 1, fmt, ap);
    va_end(ap);
    used += n < 0 ? 0 : (size_t) n < sizeof line - used - 1 ? (size_t) n : sizeof line - used - 2;
    line[used++] = '\n';
    complain_bytes(STDERR_FILENO, line, used);
    pthread_setcancelstate(cancel, &cancel);
    errno = saved;
    return false;
}
