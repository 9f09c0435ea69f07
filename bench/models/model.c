/*
 * model.c: what the models share (model.h): starting, accepting, and the bytes of a connection. It has no
 * thread and no loop of its own: those are what the models differ in.
 */
#include "model.h"

#include <errno.h>
#include <fcntl.h>
#include <netinet/in.h>
#include <netinet/tcp.h>
#include <poll.h>
#include <signal.h>
#include <stdio.h>
#include <stdlib.h>
#include <sys/prctl.h>
#include <sys/resource.h>
#include <sys/socket.h>
#include <unistd.h>

#define BACKLOG 4096 /* maritcp's default server.backlog */

static int spare_fd = -1; /* given up for a moment to refuse a connection when there are no others */

void model_die(const char *what)
{
    fprintf(stderr, "%s: %s: %s\n", program_invocation_short_name, what, strerror(errno));
    exit(1);
}

/* Nothing is owed to anybody: the kernel closes all connections. */
static void on_term(int sig)
{
    (void) sig;
    _exit(0);
}

static void raise_limit(void)
{
    struct rlimit lim;

    if (getrlimit(RLIMIT_NOFILE, &lim) == 0) {
        lim.rlim_cur = lim.rlim_max;
        setrlimit(RLIMIT_NOFILE, &lim);
    }
}

static int listen_on(uint16_t port, int type)
{
    struct sockaddr_in addr = {.sin_family = AF_INET, .sin_port = htons(port)};
    socklen_t len = sizeof addr;
    int on = 1, fd = socket(AF_INET, SOCK_STREAM | SOCK_CLOEXEC | type, 0);

    addr.sin_addr.s_addr = htonl(INADDR_LOOPBACK);
    /* Accepted sockets inherit TCP_NODELAY: one system call less for each. */
    if (fd < 0 || setsockopt(fd, IPPROTO_TCP, TCP_NODELAY, &on, sizeof on) < 0 ||
        setsockopt(fd, SOL_SOCKET, SO_REUSEADDR, &on, sizeof on) < 0)
        model_die("socket");
    if (bind(fd, (struct sockaddr *) &addr, sizeof addr) < 0)
        model_die("bind");
    if (listen(fd, BACKLOG) < 0 || getsockname(fd, (struct sockaddr *) &addr, &len) < 0)
        model_die("listen");
    printf("listening %u\n", ntohs(addr.sin_port));
    fflush(stdout); /* also because a child of fork() would print it again */
    return fd;
}

int model_start(int argc, char **argv, int type)
{
    struct sigaction term = {.sa_handler = on_term};
    char *end = NULL;
    long port = argc == 2 ? strtol(argv[1], &end, 10) : -1;

    if (port < 0 || port > 65535 || end == argv[1] || *end != '\0') {
        fprintf(stderr, "usage: %s PORT    (0 = any free one)\n", program_invocation_short_name);
        exit(1);
    }
    raise_limit();
    signal(SIGPIPE, SIG_IGN);
    sigaction(SIGTERM, &term, NULL);
    sigaction(SIGINT, &term, NULL);
    spare_fd = open("/dev/null", O_RDONLY | O_CLOEXEC);
    if (spare_fd < 0)
        model_die("/dev/null");
    return listen_on((uint16_t) port, type);
}

void model_child(int parent)
{
    prctl(PR_SET_PDEATHSIG, SIGKILL);
    if (getppid() != parent) /* it was faster */
        _exit(0);
}

/* Without a free descriptor accept() fails whether or not somebody waits. True when somebody does; a blocking
 * listener waits for that. */
static int somebody_waits(int listener)
{
    struct pollfd p = {.fd = listener, .events = POLLIN};
    int timeout = (fcntl(listener, F_GETFL) & O_NONBLOCK) != 0 ? 0 : -1;
    int n;

    do
        n = poll(&p, 1, timeout);
    while (n < 0);
    return n;
}

/* Give up the spare descriptor, accept and close. */
static void refuse_one(int listener)
{
    close(spare_fd);
    int fd = accept(listener, NULL, NULL);
    if (fd >= 0)
        close(fd);
    spare_fd = open("/dev/null", O_RDONLY | O_CLOEXEC);
}

int model_accept(int listener, int type)
{
    for (int full = 0;;) {
        int fd = accept4(listener, NULL, NULL, type | SOCK_CLOEXEC);

        if (fd >= 0)
            return fd;
        if (errno == EAGAIN)
            return -1;
        if (errno == EMFILE || errno == ENFILE) {
            if (full) /* still, though a descriptor could have become free meanwhile */
                refuse_one(listener);
            else if (!somebody_waits(listener))
                return -1;
            full = !full;
        } else if (errno == ENOBUFS || errno == ENOMEM)
            usleep(10000);
        else if (errno != EINTR && errno != ECONNABORTED && errno != EPERM && errno != EPROTO)
            model_die("accept");
    }
}

/* ---- A blocking connection ---- */

static int send_all(int fd, const ubyte *out, size_t len)
{
    while (len > 0) {
        ssize_t sent = send(fd, out, len, MSG_NOSIGNAL);

        if (sent < 0 && errno != EINTR)
            return -1;
        if (sent > 0) {
            out += sent;
            len -= (size_t) sent;
        }
    }
    return 0;
}

void model_serve(int fd)
{
    struct wire_scratch scratch;
    size_t len = 0, used, out_len;
    int bad = 0;

    while (bad == 0) {
        ssize_t got = recv(fd, scratch.in + len, WIRE_RECV, 0);

        if (got < 0 && errno == EINTR)
            continue;
        if (got <= 0)
            break;
        len += (size_t) got;
        bad = wire_answer(scratch.in, len, &used, scratch.out, &out_len);
        if (send_all(fd, scratch.out, out_len) < 0)
            break;
        len -= used;
        memmove(scratch.in, scratch.in + used, len);
    }
    close(fd);
}

/* ---- A non-blocking connection ---- */

struct stream *stream_open(int fd)
{
    struct stream *s = calloc(1, sizeof *s);

    if (s == NULL)
        close(fd);
    else
        s->fd = fd;
    return s;
}

void stream_close(struct stream *s)
{
    close(s->fd); /* takes it out of epoll too: no descriptor is ever duplicated here */
    free(s->tail);
    free(s->out);
    free(s);
}

/* Send; what the kernel does not take waits in s->out. */
static enum stream_state stream_send(struct stream *s, const ubyte *out, size_t len)
{
    ssize_t sent = send(s->fd, out, len, MSG_NOSIGNAL);

    if (sent == (ssize_t) len)
        return STREAM_MORE;
    if (sent < 0 && errno != EAGAIN && errno != EINTR)
        return STREAM_END;
    if (sent > 0) {
        out += sent;
        len -= (size_t) sent;
    }
    s->out = malloc(len);
    if (s->out == NULL)
        return STREAM_END;
    memcpy(s->out, out, len);
    s->out_len = (uint32_t) len;
    s->out_off = 0;
    return STREAM_FULL;
}

/* Keep an unfinished packet; it fits, or its head would be bad. */
static int stream_keep(struct stream *s, const ubyte *in, size_t len)
{
    if (len > 0 && s->tail == NULL && (s->tail = malloc(WIRE_PACKET_MAX)) == NULL)
        return -1;
    if (len > 0)
        memcpy(s->tail, in, len);
    s->tail_len = (uint32_t) len;
    return 0;
}

enum stream_state stream_readable(struct stream *s, struct wire_scratch *scratch)
{
    size_t len = s->tail_len, used, out_len;
    enum stream_state state = STREAM_MORE;

    if (len > 0)
        memcpy(scratch->in, s->tail, len);
    ssize_t got = recv(s->fd, scratch->in + len, WIRE_RECV, 0);
    if (got < 0 && (errno == EAGAIN || errno == EINTR))
        return errno == EAGAIN ? STREAM_EMPTY : STREAM_MORE;
    if (got <= 0)
        return STREAM_END;
    len += (size_t) got;
    int bad = wire_answer(scratch->in, len, &used, scratch->out, &out_len);
    if (out_len > 0)
        state = stream_send(s, scratch->out, out_len);
    if (bad != 0 || stream_keep(s, scratch->in + used, len - used) != 0)
        return STREAM_END;
    return state;
}

enum stream_state stream_writable(struct stream *s)
{
    if (s->out_len == 0)
        return STREAM_MORE;
    ssize_t sent = send(s->fd, s->out + s->out_off, s->out_len - s->out_off, MSG_NOSIGNAL);
    if (sent < 0)
        return errno == EAGAIN || errno == EINTR ? STREAM_FULL : STREAM_END;
    s->out_off += (uint32_t) sent;
    if (s->out_off < s->out_len)
        return STREAM_FULL;
    free(s->out);
    s->out = NULL;
    s->out_len = 0;
    return STREAM_MORE;
}

enum stream_state stream_drain(struct stream *s, struct wire_scratch *scratch)
{
    enum stream_state state = stream_writable(s);

    while (state == STREAM_MORE)
        state = stream_readable(s, scratch);
    return state;
}
