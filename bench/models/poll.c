/*
 * poll.c: one thread, one array of descriptors, poll().
 *
 * How: the array says what each connection waits for; each turn hands all of it to the kernel, which marks
 * what is ready, and the loop walks through it. Limits: the kernel and the loop look at every connection in
 * each turn, so ten ready ones among ten thousand cost as much as ten thousand; if most are busy it hardly
 * matters. Right for up to some hundred descriptors, and where epoll is not (any Unix).
 */
#include "model.h"

#include <poll.h>
#include <stdlib.h>
#include <sys/socket.h>

static struct pollfd *polled;   /* [0] is the listener */
static struct stream **streams; /* side by side with polled; [0] is NULL */
static nfds_t count, room;
static struct wire_scratch scratch;

/* Returns 0, or -1 without memory. */
static int grow(void)
{
    nfds_t more = room == 0 ? 256 : 2 * room;
    struct pollfd *p = realloc(polled, more * sizeof *p);
    struct stream **s = p == NULL ? NULL : realloc(streams, more * sizeof(struct stream *));

    if (p != NULL)
        polled = p;
    if (s == NULL)
        return -1;
    streams = s;
    room = more;
    return 0;
}

static void add(int fd, struct stream *s)
{
    polled[count] = (struct pollfd){.fd = fd, .events = POLLIN};
    streams[count++] = s;
}

/* The last one takes its place. */
static void drop(nfds_t i)
{
    stream_close(streams[i]);
    count--;
    polled[i] = polled[count];
    streams[i] = streams[count];
}

static void accept_some(int listener)
{
    for (int i = 0, fd; i < 64 && (fd = model_accept(listener, SOCK_NONBLOCK)) >= 0; i++) {
        struct stream *s = stream_open(fd);

        if (s != NULL && (count < room || grow() == 0))
            add(fd, s);
        else if (s != NULL)
            stream_close(s);
    }
}

/* Returns 0, or -1 if it is to be dropped. */
static int on_stream(nfds_t i)
{
    struct stream *s = streams[i];
    enum stream_state state = s->out_len > 0 ? stream_writable(s) : stream_readable(s, &scratch);

    polled[i].events = state == STREAM_FULL ? POLLOUT : POLLIN;
    return state == STREAM_END ? -1 : 0;
}

int main(int argc, char **argv)
{
    int listener = model_start(argc, argv, SOCK_NONBLOCK);

    if (grow() != 0)
        model_die("memory");
    add(listener, NULL);
    for (;;) {
        int ready = poll(polled, count, -1);

        if (ready <= 0)
            continue;
        int news = polled[0].revents != 0;
        /* Backwards: what takes a dropped one's place has had its turn. */
        for (nfds_t i = count - 1; i > 0; i--)
            if (polled[i].revents != 0 && on_stream(i) != 0)
                drop(i);
        if (news)
            accept_some(listener);
    }
}
