/*
 * select.c: one thread accepts, a worker thread serves all connections with select().
 *
 * How: the main thread accepts and hands each descriptor to the worker through a pipe, which wakes it. The
 * worker asks the kernel about all its descriptors, walks through all answers, and serves those that are
 * ready. Limits: descriptors must be below FD_SETSIZE, 1024, so connections beyond are closed at once, with a
 * word on standard error; each call copies the sets and looks at every descriptor up to the highest, idle or
 * not. Right for a few descriptors in a program that must run everywhere; elsewhere poll() is as old by now and
 * has no wall.
 */
#include "model.h"

#include <errno.h>
#include <pthread.h>
#include <stdio.h>
#include <sys/select.h>
#include <sys/socket.h>
#include <unistd.h>

static int handed[2]; /* pipe of int: main thread (w) -> worker (r) */

/* The worker's own. */
static struct stream *streams[FD_SETSIZE];
static fd_set reading, writing;
static int top; /* the highest descriptor of both sets */
static struct wire_scratch scratch;

static void watch(int fd, fd_set *add, fd_set *drop)
{
    FD_CLR(fd, drop);
    FD_SET(fd, add);
    if (fd > top)
        top = fd;
}

static void take_new(void)
{
    int fds[64];
    ssize_t n = read(handed[0], fds, sizeof fds); /* whole ones: they are written so */

    for (ssize_t i = 0; i < n / (ssize_t) sizeof fds[0]; i++) {
        streams[fds[i]] = stream_open(fds[i]);
        if (streams[fds[i]] != NULL)
            watch(fds[i], &reading, &writing);
    }
}

static void on_stream(struct stream *s)
{
    enum stream_state state = s->out_len > 0 ? stream_writable(s) : stream_readable(s, &scratch);

    if (state == STREAM_FULL)
        watch(s->fd, &writing, &reading);
    else if (state != STREAM_END)
        watch(s->fd, &reading, &writing);
    else {
        FD_CLR(s->fd, &reading);
        FD_CLR(s->fd, &writing);
        streams[s->fd] = NULL;
        while (top > handed[0] && !FD_ISSET(top, &reading) && !FD_ISSET(top, &writing))
            top--;
        stream_close(s); /* last: from now on the main thread may be given the number again */
    }
}

static void *worker_main(void *arg)
{
    (void) arg;
    watch(handed[0], &reading, &writing);
    for (;;) {
        fd_set readable = reading, writable = writing;
        int left = select(top + 1, &readable, &writable, NULL, NULL);

        /* New ones come last: until then a number in the answers means its old owner. */
        int news = left > 0 && FD_ISSET(handed[0], &readable);
        left -= news;
        for (int fd = 0; fd < FD_SETSIZE && left > 0; fd++) {
            if (streams[fd] == NULL || (!FD_ISSET(fd, &readable) && !FD_ISSET(fd, &writable)))
                continue;
            left--;
            on_stream(streams[fd]);
        }
        if (news)
            take_new();
    }
    return NULL;
}

int main(int argc, char **argv)
{
    int listener = model_start(argc, argv, 0), said = 0;
    pthread_t thread;

    if (pipe(handed) < 0)
        model_die("pipe");
    errno = pthread_create(&thread, NULL, worker_main, NULL);
    if (errno != 0)
        model_die("pthread_create");
    for (;;) {
        int fd = model_accept(listener, SOCK_NONBLOCK);

        if (fd < FD_SETSIZE) {
            if (write(handed[1], &fd, sizeof fd) < 0)
                close(fd);
            continue;
        }
        close(fd);
        if (!said)
            fprintf(stderr, "select: full: select() cannot watch descriptors from %d on; refused\n",
                    FD_SETSIZE);
        said = 1;
    }
}
