/*
 * net.h: sockets for clients: an address, connecting to it without and with waiting, sending and receiving
 * with a deadline. Any thread; no state of its own. Times are those of mono_ns().
 */
#ifndef TEST_NET_H
#define TEST_NET_H

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>
#include <sys/epoll.h>
#include <sys/socket.h>
#include <sys/syscall.h>
#include <sys/types.h>
#include <unistd.h>

/* Where a server listens. Constant after net_resolve(). */
struct net_target {
    struct sockaddr_storage addr;
    socklen_t len;
    char name[160]; /* for messages: "127.0.0.1 port 8082", "[::1] port 8082", "unix:/path" */
};

#define NET_NO_SPREAD   UINT32_MAX
#define NET_TARGETS_MAX 64u

/* One host and one or several ports of it, or one unix socket; or several servers, the nodes of a cluster. Constant
 * after net_resolve_ports() or net_resolve_nodes(). */
struct net_targets {
    uint32_t count;
    bool nodes; /* each is a server of its own */
    struct net_target each[NET_TARGETS_MAX];
    char name[160]; /* as above, "127.0.0.1 ports 8082-8089,9000" */
};

/* Find HOST PORT: a name, an IPv4 or an IPv6 address (in brackets or not) with a port 1 .. 65535; or
 * unix:/path with port NULL. May ask a name server. Returns NULL, or what is wrong in static or
 * thread-local text. */
const char *net_resolve(const char *host, const char *port, struct net_target *t)
    __attribute__((warn_unused_result));

/* The same for a list of ports and ranges of ports, "8082,8090-8097": at most NET_TARGETS_MAX. */
const char *net_resolve_ports(const char *host, const char *ports, struct net_targets *ts)
    __attribute__((warn_unused_result));

/* The same for a list of servers, "host:port,[::1]:port,unix:/path": at most NET_TARGETS_MAX. */
const char *net_resolve_nodes(const char *list, struct net_targets *ts) __attribute__((warn_unused_result));

/* How many connections there can be at a time to these targets from this machine: its local ports for each
 * pair of addresses. UINT64_MAX for a unix socket. */
uint64_t net_capacity(const struct net_targets *ts);

/* Begin the connection with number k: to target k % count, and so that the pairs of source and target are
 * used evenly; see net_connect_start(). */
int net_connect_nth(const struct net_targets *ts, uint32_t k) __attribute__((warn_unused_result));

/* What lies over descriptors: TLS, see secure.h. All take one over which it lies, but has(). */
struct net_over {
    bool (*has)(int fd);
    int (*lay)(int fd); /* over a new socket, if it is to be so for all. 0, or -1 with errno */
    ssize_t (*send)(int fd, const void *data, size_t n);
    ssize_t (*recv)(int fd, void *data, size_t n, uint64_t *stamp);
    int (*result)(int fd); /* go on making it; 0: it is up; EINPROGRESS; or the errno with which it failed */
    bool (*waits)(int fd); /* sealed bytes wait for room in the kernel */
    bool (*wants_out)(int fd,
                      bool out); /* whether to be told that fd is writable; its user wants to be, or not */
    void (*notify)(int fd);      /* tell the peer that nothing more comes */
    void (*drop)(int fd);        /* it lies there no more */
};

/* NULL: over none. Before threads. */
extern const struct net_over *net_over;

static inline bool net_is_covered(int fd)
{
    return __builtin_expect(net_over != NULL, 0) && net_over->has(fd);
}

/* Begin to connect a new non-blocking, close-on-exec socket, without delay of small packets. With spread =
 * k and a target in 127/8 the source address is 127.0.0.(2 + k % 100), so that ports in TIME_WAIT do not
 * run out; NET_NO_SPREAD leaves it to the kernel. Returns the descriptor, which the caller closes:
 * connected, or to be when it gets writable; or -1 with errno (EAGAIN: a unix socket's backlog is full,
 * try later). */
int net_connect_start(const struct net_target *t, uint32_t spread) __attribute__((warn_unused_result));

/* After the socket got writable: 0 when it is connected, else the errno. EINPROGRESS where something lies over it
 * that is not up yet: ask again when epoll has something to say, net_watch() knows of what. */
int net_connect_result(int fd);

/* Connect and wait until `deadline` at most, also for what is to lie over it. Returns a non-blocking descriptor, or -1
 * with errno. */
int net_connect_wait(const struct net_target *t, uint64_t deadline) __attribute__((warn_unused_result));

/* Wait until `deadline` for what lies over a connected socket to be up; what follows does so itself. 0, or -1 with
 * errno. */
int net_await_up(int fd, uint64_t deadline) __attribute__((warn_unused_result));

/* The same for a connected, non-blocking socket that was made otherwise: lay over it what is to lie over all, and
 * wait for that. 0, or -1 with errno. */
int net_cover(int fd, uint64_t deadline) __attribute__((warn_unused_result));

/* Send all n bytes until `deadline`. 0, or -1 with errno (ETIMEDOUT). */
int net_send_wait(int fd, const void *data, size_t n, uint64_t deadline) __attribute__((warn_unused_result));

/* Receive until n bytes are there, the peer has closed, or `deadline`. Returns the bytes received, less
 * than n only at the peer's end; or -1 with errno (ETIMEDOUT), what has arrived is then lost. */
ptrdiff_t net_recv_wait(int fd, void *data, size_t n, uint64_t deadline) __attribute__((warn_unused_result));

/* As recv() and send() of a non-blocking socket, without SIGPIPE. In a process with threads those of glibc are
 * points of cancellation, which costs some atomic operations a call; no thread of a client is ever cancelled. What lies
 * over the socket does not see these two. */
static inline ssize_t net_recv_bare(int fd, void *data, size_t n)
{
#ifdef SYS_recvfrom
    return syscall(SYS_recvfrom, fd, data, n, MSG_DONTWAIT, NULL, NULL);
#else
    return recv(fd, data, n, MSG_DONTWAIT);
#endif
}

static inline ssize_t net_send_bare(int fd, const void *data, size_t n)
{
#ifdef SYS_sendto
    return syscall(SYS_sendto, fd, data, n, MSG_DONTWAIT | MSG_NOSIGNAL, NULL, 0);
#else
    return send(fd, data, n, MSG_DONTWAIT | MSG_NOSIGNAL);
#endif
}

/* The same, by way of what lies over it. */
static inline ssize_t net_recv(int fd, void *data, size_t n)
{
    return net_is_covered(fd) ? net_over->recv(fd, data, n, NULL) : net_recv_bare(fd, data, n);
}

static inline ssize_t net_send(int fd, const void *data, size_t n)
{
    return net_is_covered(fd) ? net_over->send(fd, data, n) : net_send_bare(fd, data, n);
}

/* Whether what net_send() has taken waits for room in the kernel, for what lies over fd: the loop then calls
 * net_send(), if only with nothing, when fd is writable. */
static inline bool net_owes(int fd)
{
    return net_is_covered(fd) && net_over->waits(fd);
}

/* What an epoll knows of a socket; all 0 = nothing. */
struct net_watch {
    bool known;
    bool out; /* it reports when the socket is writable */
};

/* Have it report `events`, and whether fd is writable if `out`, which what lies over fd may know better. `data` and
 * `events` are the same at each call. 0, or -1 with errno. */
int net_watch(int epoll, int fd, struct net_watch *w, epoll_data_t data, uint32_t events, bool out);

/* Close, with the last word of what lies over fd. */
void net_close(int fd);
/* Close with an RST instead of a FIN. */
void net_reset(int fd);
/* A FIN, behind the last word of what lies over fd, which goes on receiving. 0, or -1 with errno. */
int net_shut(int fd);

/* Let the kernel note when what is received arrives, for net_recv_stamped(). 0, or -1: this socket cannot. */
int net_stamp(int fd);

/* As net_recv() and net_recv_bare(). When the last of these bytes reached this machine, in CLOCK_REALTIME's
 * nanoseconds, stands in *stamp; 0 = not known. */
ptrdiff_t net_recv_stamped(int fd, void *data, size_t n, uint64_t *stamp);
ptrdiff_t net_recv_stamped_bare(int fd, void *data, size_t n, uint64_t *stamp);

/* Raise the soft descriptor limit to at least `need`, as far as the hard one allows; with the privilege, the
 * hard one too. Returns the soft limit now in force. */
uint64_t net_raise_nofile(uint64_t need);

#endif
