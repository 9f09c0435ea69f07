/*
 * storm.c: clients that come too often: RATE connects a second from ADDRESSES addresses of 127/8 for SECONDS, by one
 * thread. Each says ECHO and waits for its fate: served, or reset; who is served stays until HELD are in, then the one
 * who is longest in leaves. Prints what it has seen as JSON, to be compared with the server's counters. For
 * bench/storm.py.
 *
 *     storm PORT RATE SECONDS ADDRESSES HELD
 *     storm refuse PORT        the least that a server can do: accept and reset, until it is killed
 */
#include <arpa/inet.h>
#include <errno.h>
#include <netinet/in.h>
#include <netinet/tcp.h>
#include <stdbool.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/epoll.h>
#include <sys/socket.h>
#include <unistd.h>

#include "test/lib/clock.h"
#include "test/lib/wire.h"

enum { FDS = 20000, EVENTS = 256, ECHO = 0x6103, ASK = WIRE_HEAD_LEN + 4, AT_ONCE = 4000 };

struct storm {
    uint16_t port;
    unsigned addresses, held_max;
    int epoll;
    unsigned char ask[ASK];
    bool served[FDS];           /* by descriptor: it was answered */
    int held[FDS];              /* ring of those who are in */
    unsigned first, held_count; /* of them */
    unsigned waiting;           /* connections whose fate is open */
    unsigned long long made, served_all, reset, failed;
};

static void leave(struct storm *s, int fd)
{
    close(fd); /* leaves the epoll too */
    s->served[fd] = false;
}

/* fd is served: it stays, and somebody else may have to go. */
static void stay(struct storm *s, int fd)
{
    s->served[fd] = true;
    s->served_all++;
    s->waiting--;
    if (s->held_count == s->held_max) {
        leave(s, s->held[s->first]);
        s->first = (s->first + 1) % FDS;
        s->held_count--;
    }
    s->held[(s->first + s->held_count++) % FDS] = fd;
}

static void connect_one(struct storm *s)
{
    unsigned n = (unsigned) (s->made % s->addresses);
    struct sockaddr_in from = {.sin_family = AF_INET, .sin_addr.s_addr = htonl(0x7f100000u + n * 7 + 1)};
    struct sockaddr_in to = {
        .sin_family = AF_INET, .sin_port = htons(s->port), .sin_addr.s_addr = htonl(INADDR_LOOPBACK)};
    struct linger none = {.l_onoff = 1}; /* no TIME_WAIT: ports would run out */
    int on = 1, fd = socket(AF_INET, SOCK_STREAM | SOCK_NONBLOCK | SOCK_CLOEXEC, 0);
    struct epoll_event e = {.events = EPOLLIN | EPOLLOUT | EPOLLET, .data.fd = fd};
    if (fd < 0 || fd >= FDS) {
        s->failed++;
        if (fd >= 0)
            close(fd);
        return;
    }
    setsockopt(fd, IPPROTO_IP, IP_BIND_ADDRESS_NO_PORT, &on, sizeof on);
    setsockopt(fd, SOL_SOCKET, SO_LINGER, &none, sizeof none);
    if (bind(fd, (struct sockaddr *) &from, sizeof from) != 0 ||
        (connect(fd, (struct sockaddr *) &to, sizeof to) != 0 && errno != EINPROGRESS) ||
        epoll_ctl(s->epoll, EPOLL_CTL_ADD, fd, &e) != 0) {
        s->failed++;
        close(fd);
        return;
    }
    s->made++;
    s->waiting++;
}

/* Something has become of one whose fate is open. */
static void look(struct storm *s, int fd, uint32_t events)
{
    unsigned char answer[ASK];
    if (s->served[fd])
        return;
    ssize_t n = recv(fd, answer, sizeof answer, MSG_DONTWAIT);
    if (n == ASK) {
        stay(s, fd);
        return;
    }
    if (n < 0 && errno == EAGAIN && (events & EPOLLOUT))
        n = send(fd, s->ask, sizeof s->ask, MSG_NOSIGNAL | MSG_DONTWAIT) == ASK ? ASK : -1;
    if (n == ASK || (n < 0 && errno == EAGAIN))
        return;
    bool reset = n < 0 && (errno == ECONNRESET || errno == EPIPE);
    s->reset += reset;
    s->failed += !reset;
    s->waiting--;
    leave(s, fd);
}

static void wait_some(struct storm *s, int ms)
{
    struct epoll_event events[EVENTS];
    int n = epoll_wait(s->epoll, events, EVENTS, ms);
    for (int i = 0; i < n; i++)
        look(s, events[i].data.fd, events[i].events);
}

static int refuse_all(uint16_t port)
{
    struct sockaddr_in a = {
        .sin_family = AF_INET, .sin_port = htons(port), .sin_addr.s_addr = htonl(INADDR_LOOPBACK)};
    struct linger none = {.l_onoff = 1};
    int fd = socket(AF_INET, SOCK_STREAM | SOCK_CLOEXEC, 0);
    if (fd < 0 || bind(fd, (struct sockaddr *) &a, sizeof a) != 0 || listen(fd, 4096) != 0)
        return 1;
    for (;;) {
        int in = accept4(fd, NULL, NULL, SOCK_NONBLOCK | SOCK_CLOEXEC);
        setsockopt(in, SOL_SOCKET, SO_LINGER, &none, sizeof none);
        close(in);
    }
}

int main(int argc, char **argv)
{
    static struct storm s;
    if (argc == 3 && strcmp(argv[1], "refuse") == 0)
        return refuse_all((uint16_t) atoi(argv[2]));
    if (argc != 6)
        return 2;
    unsigned rate = (unsigned) atoi(argv[2]), seconds = (unsigned) atoi(argv[3]);
    s.port = (uint16_t) atoi(argv[1]);
    s.addresses = (unsigned) atoi(argv[4]);
    s.held_max = (unsigned) atoi(argv[5]);
    s.epoll = epoll_create1(EPOLL_CLOEXEC);
    wire_put_head(s.ask, (struct wire_head){.stx = 0x8eb69af7u, .pkglen = ASK, .akg_id = ECHO});
    uint64_t began = mono_ns(), end = began + seconds * UINT64_C(1000000000), now;
    while ((now = mono_ns()) < end) {
        uint64_t due = (now - began) * rate / 1000000000;
        for (int i = 0; i < 64 && s.made + s.failed < due && s.waiting < AT_ONCE; i++)
            connect_one(&s);
        wait_some(&s, s.made + s.failed < due ? 0 : 1);
    }
    for (uint64_t last = mono_ns() + UINT64_C(5000000000); s.waiting > 0 && mono_ns() < last;)
        wait_some(&s, 10);
    double took = (double) (end - began) / 1e9;
    printf(
        "{\"made\": %llu, \"served\": %llu, \"reset\": %llu, \"failed\": %llu, \"open\": %u, \"rate\": %.0f}\n",
        s.made, s.served_all, s.reset, s.failed, s.waiting, (double) s.made / took);
    return 0;
}
