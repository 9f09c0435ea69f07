/*
 * epoll_et.c: one thread, edge-triggered epoll.
 *
 * How: the kernel tells once when something changes. So each connection is registered once, for reading and
 * writing, and each event is used up: what waits is sent, then recv is called until it says EAGAIN. Limits: that
 * last recv is paid on every wake-up (with one small request at a time the fourth call where level-triggered
 * has three); a client that sends without a pause keeps the loop to itself; an event not used up is a connection
 * that hangs. Right when connections move between reading and writing all the time (proxies, large replies),
 * where it saves the epoll_ctl calls; and with a queue of one's own for those that were cut short.
 */
#include "model.h"

#include <sys/epoll.h>
#include <sys/socket.h>

enum { EVENTS = 512 };

static int epoll_fd;
static struct wire_scratch scratch;

static int watch(int fd, uint32_t events, struct stream *s)
{
    struct epoll_event ev = {.events = events | EPOLLET, .data.ptr = s};

    return epoll_ctl(epoll_fd, EPOLL_CTL_ADD, fd, &ev);
}

/* All of them: there is no second word about those left in the backlog. */
static void accept_all(int listener)
{
    int fd;

    while ((fd = model_accept(listener, SOCK_NONBLOCK)) >= 0) {
        struct stream *s = stream_open(fd);

        if (s != NULL && watch(fd, EPOLLIN | EPOLLOUT, s) < 0)
            stream_close(s);
    }
}

int main(int argc, char **argv)
{
    static struct epoll_event events[EVENTS];
    int listener = model_start(argc, argv, SOCK_NONBLOCK);

    epoll_fd = epoll_create1(EPOLL_CLOEXEC);
    if (epoll_fd < 0 || watch(listener, EPOLLIN, NULL) < 0)
        model_die("epoll");
    for (;;) {
        int n = epoll_wait(epoll_fd, events, EVENTS, -1);

        for (int i = 0; i < n; i++) {
            struct stream *s = events[i].data.ptr;

            if (s == NULL)
                accept_all(listener);
            else if (stream_drain(s, &scratch) == STREAM_END)
                stream_close(s);
        }
    }
}
