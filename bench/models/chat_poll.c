/*
 * chat_poll.c: a chat room in one thread, one array of descriptors, poll().
 *
 * How: what one guest says the loop sends to each of the others at once, one send() for each message and guest; what a
 * slow guest's socket does not take waits in memory, and beyond 64 KiB the guest is thrown out. Limits: as poll.c, each
 * turn looks at everybody, which a room where all hear all can bear: there the sending is what costs. Sixteen messages
 * that came together are sixteen rounds of send(); while one is made nobody is read. Right for a room of some thousand
 * on any Unix, and as the first one to write: every message is in one place, nothing is shared.
 */
#include "chat.h"

#include <poll.h>
#include <stdlib.h>
#include <sys/socket.h>

static struct pollfd *polled;  /* [0] is the listener */
static struct stream **guests; /* side by side with polled; [0] is NULL */
static nfds_t count, room;

/* Returns 0, or -1 without memory. */
static int grow(void)
{
    nfds_t more = room == 0 ? 256 : 2 * room;
    struct pollfd *p = realloc(polled, more * sizeof *p);
    struct stream **g = p == NULL ? NULL : realloc(guests, more * sizeof(struct stream *));

    if (p != NULL)
        polled = p;
    if (g == NULL)
        return -1;
    guests = g;
    room = more;
    return 0;
}

static void enter(int fd, struct stream *s)
{
    polled[count] = (struct pollfd){.fd = fd, .events = POLLIN};
    guests[count++] = s;
}

/* The last one takes its place. */
static void leave(nfds_t i)
{
    stream_close(guests[i]);
    count--;
    polled[i] = polled[count];
    guests[i] = guests[count];
}

/* To all others. Who cannot be told is cut off, and found by the next poll(): here nobody may change his place. */
static void tell(struct stream *s, const ubyte *said, size_t len)
{
    for (nfds_t i = 1; i < count; i++) {
        if (guests[i] != s && chat_send(guests[i], said, len) != 0)
            shutdown(guests[i]->fd, SHUT_RDWR);
        if (guests[i]->out_len > 0)
            polled[i].events = POLLIN | POLLOUT;
    }
}

static void accept_some(int listener)
{
    for (int i = 0, fd; i < 64 && (fd = model_accept(listener, SOCK_NONBLOCK)) >= 0; i++) {
        struct stream *s = stream_open(fd);

        if (s != NULL && (count < room || grow() == 0))
            enter(fd, s);
        else if (s != NULL)
            stream_close(s);
    }
}

/* Returns 0, or -1 if the guest is to leave. */
static int on_guest(nfds_t i)
{
    struct stream *s = guests[i];

    if ((polled[i].revents & POLLOUT) != 0) {
        enum stream_state state = stream_writable(s);

        if (state == STREAM_END)
            return -1;
        if (state == STREAM_MORE)
            polled[i].events = POLLIN;
    }
    return (polled[i].revents & ~POLLOUT) != 0 ? chat_readable(s, tell) : 0;
}

int main(int argc, char **argv)
{
    int listener = model_start(argc, argv, SOCK_NONBLOCK);

    if (grow() != 0)
        model_die("memory");
    enter(listener, NULL);
    for (;;) {
        if (poll(polled, count, -1) <= 0)
            continue;
        int news = polled[0].revents != 0;
        /* Backwards: what takes a gone one's place has had its turn. */
        for (nfds_t i = count - 1; i > 0; i--)
            if (polled[i].revents != 0 && on_guest(i) != 0)
                leave(i);
        if (news)
            accept_some(listener);
    }
}
