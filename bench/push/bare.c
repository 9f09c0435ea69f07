/*
 * bare.c: the yardstick of push: one loop of send() over an array of descriptors, and nothing else.
 *
 * One thread. Level-triggered epoll finds who logs in, joins, or says something; what is said goes to all others with
 * one send() each, in the order of the array. It speaks the wire format of the chat models and shares their cutting of
 * packets. There is no queue, no limit, no policy: a reader that does not keep up ends the program, for then there is
 * nothing left to compare with.
 *
 *     bare PORT     listen on 127.0.0.1:PORT, 0 = any free one; prints "listening PORT"; SIGTERM ends it
 */
#include "bench/models/chat.h"

#include <stdio.h>
#include <stdlib.h>
#include <sys/epoll.h>
#include <sys/socket.h>

enum { EVENTS = 512, MOST = 1 << 20 };

static int epoll_fd;
static int fds[MOST];              /* all connections, side by side */
static int place[MOST];            /* by descriptor: where it stands in fds */
static struct stream *conns[MOST]; /* by descriptor */
static int count;

static void say(struct stream *s, const ubyte *said, size_t len)
{
    for (int i = 0; i < count; i++)
        if (fds[i] != s->fd && send(fds[i], said, len, MSG_NOSIGNAL) != (ssize_t) len)
            model_die("a reader does not keep up");
}

static void enter(int fd)
{
    struct epoll_event ev = {.events = EPOLLIN, .data.fd = fd};
    struct stream *s = fd < MOST ? stream_open(fd) : NULL;

    if (s == NULL || epoll_ctl(epoll_fd, EPOLL_CTL_ADD, fd, &ev) < 0)
        model_die("a connection");
    conns[fd] = s;
    place[fd] = count;
    fds[count++] = fd;
}

/* The last one takes its place. */
static void leave(int fd)
{
    fds[place[fd]] = fds[--count];
    place[fds[place[fd]]] = place[fd];
    stream_close(conns[fd]);
}

int main(int argc, char **argv)
{
    static struct epoll_event events[EVENTS];
    int listener = model_start(argc, argv, SOCK_NONBLOCK);
    struct epoll_event ev = {.events = EPOLLIN, .data.fd = listener};

    epoll_fd = epoll_create1(EPOLL_CLOEXEC);
    if (epoll_fd < 0 || epoll_ctl(epoll_fd, EPOLL_CTL_ADD, listener, &ev) < 0)
        model_die("epoll");
    for (;;) {
        int n = epoll_wait(epoll_fd, events, EVENTS, -1);

        for (int i = 0, fd; i < n; i++) {
            if (events[i].data.fd != listener) {
                if (chat_readable(conns[events[i].data.fd], say) != 0)
                    leave(events[i].data.fd);
            } else
                while ((fd = model_accept(listener, SOCK_NONBLOCK)) >= 0)
                    enter(fd);
        }
    }
}
