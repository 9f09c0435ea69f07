/*
 * epoll_lt.c: one thread, level-triggered epoll.
 *
 * How: the kernel keeps the set of what is watched and hands out only what is ready. Level-triggered: it tells
 * again as long as something is left to do, so one recv and one send a wake-up are enough and no client can
 * starve another. Limits: one thread, one core; nothing in the loop may block; to watch for something else (a
 * full socket's room) costs a system call. Right for nearly everything on Linux, and the base of the ratios
 * here.
 */
#include "model.h"

#include <sys/epoll.h>
#include <sys/socket.h>

enum { EVENTS = 512, ACCEPTS = 64 };

static int epoll_fd;
static struct wire_scratch scratch;

static int watch(int op, int fd, uint32_t events, struct stream *s)
{
    struct epoll_event ev = {.events = events, .data.ptr = s};

    return epoll_ctl(epoll_fd, op, fd, &ev);
}

static void accept_some(int listener)
{
    for (int i = 0, fd; i < ACCEPTS && (fd = model_accept(listener, SOCK_NONBLOCK)) >= 0; i++) {
        struct stream *s = stream_open(fd);

        if (s != NULL && watch(EPOLL_CTL_ADD, fd, EPOLLIN, s) < 0)
            stream_close(s);
    }
}

static void on_stream(struct stream *s)
{
    int was_full = s->out_len > 0;
    enum stream_state state = was_full ? stream_writable(s) : stream_readable(s, &scratch);
    int is_full = state == STREAM_FULL;

    if (state != STREAM_END && was_full != is_full &&
        watch(EPOLL_CTL_MOD, s->fd, is_full ? EPOLLOUT : EPOLLIN, s) < 0)
        state = STREAM_END;
    if (state == STREAM_END)
        stream_close(s);
}

int main(int argc, char **argv)
{
    static struct epoll_event events[EVENTS];
    int listener = model_start(argc, argv, SOCK_NONBLOCK);

    epoll_fd = epoll_create1(EPOLL_CLOEXEC);
    if (epoll_fd < 0 || watch(EPOLL_CTL_ADD, listener, EPOLLIN, NULL) < 0)
        model_die("epoll");
    for (;;) {
        int n = epoll_wait(epoll_fd, events, EVENTS, -1);

        for (int i = 0; i < n; i++) {
            if (events[i].data.ptr == NULL)
                accept_some(listener);
            else
                on_stream(events[i].data.ptr);
        }
    }
}
