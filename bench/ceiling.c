/*
 * ceiling.c: the yardstick of the benchmarks: a bare epoll server for MarioTCP's wire format, nothing else.
 *
 * One thread runs everything in this file. Level-triggered epoll, one recv() into one buffer, packets parsed
 * in place, all replies of a wake-up sent with one send(). It checks what the wire format asks to be checked
 * and keeps what the kernel does not take, so its answers are right; it has no timeouts, no log, no limits
 * and no statistics: what a server adds to these system calls is what the benchmarks measure against it.
 *
 *     ceiling PORT     listen on 127.0.0.1:PORT, 0 = any free one; prints "listening PORT"; SIGTERM ends it
 */
#ifndef _GNU_SOURCE
#define _GNU_SOURCE
#endif

#include "../mario/mario_akg.h"
#include "../protocol/mario_protocol.h"

#include <errno.h>
#include <netinet/in.h>
#include <netinet/tcp.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/epoll.h>
#include <sys/resource.h>
#include <sys/socket.h>
#include <unistd.h>

enum {
    MAX_PKGLEN = 8192,     /* maritcp's default server.max_pkglen */
    RECV_SIZE = 64 * 1024, /* asked from one recv() */
    EVENTS = 512,          /* taken from one epoll_wait() */
    ACCEPTS = 64,          /* taken from one wake-up of the listener */
    BACKLOG = 4096,        /* maritcp's default server.backlog */
    FD_MAX = 1 << 20,      /* the table's size when the descriptor limit is higher or has no end */
    HELLO_LEN = 5
};

/* What a connection holds between two wake-ups. Most never need one: it is made when a packet arrives
 * unfinished or the kernel takes less than all, and lives until the connection is closed. */
struct rest {
    uint32_t tail_len; /* bytes of an unfinished packet in tail */
    uint32_t out_len;  /* bytes in out, 0 = nothing waits; while it is not 0 the connection is not read */
    uint32_t out_off;  /* how many of them are sent */
    ubyte *out;        /* malloc, freed when all is sent or the connection closes */
    ubyte tail[MAX_PKGLEN];
};

static int epoll_fd;
static int listen_fd;
static int listener_off;    /* out of descriptors: the listener waits for a close */
static struct rest **rests; /* by file descriptor; NULL = the connection holds nothing */
static ubyte in_buf[MAX_PKGLEN + RECV_SIZE];
/* Large enough for the replies to a full in_buf: bare SAY_HELLOs grow most. */
static ubyte out_buf[sizeof in_buf / sizeof(HEAD) * (sizeof(HEAD) + HELLO_LEN)];

static void die(const char *what)
{
    fprintf(stderr, "ceiling: %s: %s\n", what, strerror(errno));
    exit(1);
}

static int poll_set(int op, int fd, uint32_t events)
{
    struct epoll_event ev = {.events = events, .data.fd = fd};

    return epoll_ctl(epoll_fd, op, fd, &ev);
}

static struct rest *conn_rest(int fd)
{
    if (rests[fd] == NULL)
        rests[fd] = calloc(1, sizeof **rests);
    return rests[fd];
}

static void conn_close(int fd)
{
    if (rests[fd] != NULL) {
        free(rests[fd]->out);
        free(rests[fd]);
        rests[fd] = NULL;
    }
    close(fd); /* takes it out of epoll too: no descriptor is ever duplicated here */
    if (listener_off && poll_set(EPOLL_CTL_ADD, listen_fd, EPOLLIN) == 0)
        listener_off = 0;
}

/* Send what is in out_buf; what the kernel does not take waits for EPOLLOUT. 0, or -1: close it. */
static int conn_send(int fd, size_t len)
{
    ssize_t sent = send(fd, out_buf, len, MSG_NOSIGNAL);

    if (sent == (ssize_t) len)
        return 0;
    if (sent < 0) {
        if (errno != EAGAIN && errno != EINTR)
            return -1;
        sent = 0;
    }
    struct rest *r = conn_rest(fd);

    if (r == NULL || (r->out = malloc(len - (size_t) sent)) == NULL)
        return -1;
    r->out_len = (uint32_t) (len - (size_t) sent);
    r->out_off = 0;
    memcpy(r->out, out_buf + sent, r->out_len);
    return poll_set(EPOLL_CTL_MOD, fd, EPOLLOUT);
}

static void conn_writable(int fd, struct rest *r)
{
    ssize_t sent = send(fd, r->out + r->out_off, r->out_len - r->out_off, MSG_NOSIGNAL);

    if (sent < 0) {
        if (errno != EAGAIN && errno != EINTR)
            conn_close(fd);
        return;
    }
    r->out_off += (uint32_t) sent;
    if (r->out_off < r->out_len)
        return;
    free(r->out);
    r->out = NULL;
    r->out_len = 0;
    if (poll_set(EPOLL_CTL_MOD, fd, EPOLLIN) < 0)
        conn_close(fd);
}

/* Answer every whole packet of in_buf[0 .. len) into out_buf; *used and *out_len tell how much of both.
 * 0, or -1 at a packet that ends the connection; the answers to those before it are in out_buf. */
static int packets_answer(size_t len, size_t *used, size_t *out_len)
{
    const ubyte *p = in_buf, *end = in_buf + len;
    ubyte *out = out_buf;
    int bad = 0;

    while ((size_t) (end - p) >= sizeof(HEAD)) {
        HEAD head;
        size_t pkglen;

        memcpy(&head, p, sizeof head);
        pkglen = head.pkglen;
        if (head.stx != MARITCP_STX || pkglen < sizeof head || pkglen > MAX_PKGLEN) {
            bad = -1;
            break;
        }
        if ((size_t) (end - p) < pkglen)
            break;
        if (head.akg_id == CMD_FUNCTION_LOGIN) {
            head.pkglen = sizeof head;
            memcpy(out, &head, sizeof head);
            out += sizeof head;
        } else if (head.akg_id == CMD_FUNCTION_ECHO) {
            memcpy(out, p, pkglen);
            out += pkglen;
        } else if (head.akg_id == CMD_FUNCTION_SAY_HELLO) {
            head.pkglen = sizeof head + HELLO_LEN;
            memcpy(out, &head, sizeof head);
            memcpy(out + sizeof head, "hello", HELLO_LEN);
            out += sizeof head + HELLO_LEN;
        } else {
            bad = -1;
            break;
        }
        p += pkglen;
    }
    *used = (size_t) (p - in_buf);
    *out_len = (size_t) (out - out_buf);
    return bad;
}

static void conn_readable(int fd, struct rest *r)
{
    size_t len = 0, used, out_len;

    if (r != NULL && r->tail_len > 0) {
        len = r->tail_len;
        memcpy(in_buf, r->tail, len);
    }
    ssize_t got = recv(fd, in_buf + len, RECV_SIZE, 0);

    if (got <= 0) {
        if (got == 0 || (errno != EAGAIN && errno != EINTR))
            conn_close(fd);
        return;
    }
    len += (size_t) got;

    int bad = packets_answer(len, &used, &out_len);

    if (out_len > 0 && conn_send(fd, out_len) < 0)
        bad = -1;
    if (bad == 0 && used < len) { /* an unfinished packet; it fits, or its head would be bad */
        r = conn_rest(fd);
        if (r == NULL)
            bad = -1;
        else
            memcpy(r->tail, in_buf + used, len - used);
    }
    if (bad != 0)
        conn_close(fd);
    else if (r != NULL)
        r->tail_len = (uint32_t) (len - used);
}

static void listener_readable(void)
{
    for (int i = 0; i < ACCEPTS; i++) {
        int fd = accept4(listen_fd, NULL, NULL, SOCK_NONBLOCK);

        if (fd >= 0) {
            if (poll_set(EPOLL_CTL_ADD, fd, EPOLLIN) < 0)
                close(fd);
            continue;
        }
        if (errno == EMFILE || errno == ENFILE) { /* level-triggered: it would spin until somebody leaves */
            listener_off = poll_set(EPOLL_CTL_DEL, listen_fd, 0) == 0;
            return;
        }
        if (errno != ECONNABORTED && errno != EINTR)
            return;
    }
}

/* Raise the descriptor limit as far as it may and make the table of what connections hold. */
static void table_setup(void)
{
    struct rlimit lim;

    if (getrlimit(RLIMIT_NOFILE, &lim) < 0)
        die("getrlimit");
    lim.rlim_cur = lim.rlim_max < FD_MAX ? lim.rlim_max : FD_MAX;
    if (setrlimit(RLIMIT_NOFILE, &lim) < 0)
        die("setrlimit");
    rests = calloc(lim.rlim_cur, sizeof *rests);
    if (rests == NULL)
        die("calloc");
}

/* Returns the port it listens on. */
static uint16_t listener_setup(uint16_t port)
{
    struct sockaddr_in addr = {.sin_family = AF_INET, .sin_port = htons(port)};
    socklen_t addr_len = sizeof addr;
    int on = 1;

    addr.sin_addr.s_addr = htonl(INADDR_LOOPBACK);
    listen_fd = socket(AF_INET, SOCK_STREAM | SOCK_NONBLOCK, 0);
    if (listen_fd < 0)
        die("socket");
    /* Accepted sockets inherit TCP_NODELAY: one system call less for each. */
    if (setsockopt(listen_fd, IPPROTO_TCP, TCP_NODELAY, &on, sizeof on) < 0 ||
        setsockopt(listen_fd, SOL_SOCKET, SO_REUSEADDR, &on, sizeof on) < 0)
        die("setsockopt");
    if (bind(listen_fd, (struct sockaddr *) &addr, sizeof addr) < 0)
        die("bind");
    if (listen(listen_fd, BACKLOG) < 0)
        die("listen");
    if (getsockname(listen_fd, (struct sockaddr *) &addr, &addr_len) < 0)
        die("getsockname");
    epoll_fd = epoll_create1(0);
    if (epoll_fd < 0 || poll_set(EPOLL_CTL_ADD, listen_fd, EPOLLIN) < 0)
        die("epoll");
    return ntohs(addr.sin_port);
}

int main(int argc, char **argv)
{
    static struct epoll_event events[EVENTS];
    char *end = NULL;
    long port = argc == 2 ? strtol(argv[1], &end, 10) : -1;

    if (port < 0 || port > 65535 || end == argv[1] || *end != '\0') {
        fprintf(stderr, "usage: ceiling PORT    (0 = any free one)\n");
        return 1;
    }
    table_setup();
    printf("listening %u\n", listener_setup((uint16_t) port));
    fflush(stdout);

    for (;;) {
        int n = epoll_wait(epoll_fd, events, EVENTS, -1);

        if (n < 0 && errno != EINTR)
            die("epoll_wait");
        /* A descriptor has at most one event in a batch and is closed only by its own, so a number that
         * accept4() hands out again within the batch cannot meet an event of its former owner. */
        for (int i = 0; i < n; i++) {
            int fd = events[i].data.fd;

            if (fd == listen_fd)
                listener_readable();
            else if (rests[fd] != NULL && rests[fd]->out_len > 0)
                conn_writable(fd, rests[fd]);
            else
                conn_readable(fd, rests[fd]);
        }
    }
}
