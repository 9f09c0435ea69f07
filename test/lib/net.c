/*
 * net.c: sockets for clients. Any thread; no state of its own.
 */
#include "net.h"

#include <ctype.h>
#include <errno.h>
#include <netdb.h>
#include <netinet/in.h>
#include <netinet/tcp.h>
#include <poll.h>
#include <stdbool.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/resource.h>
#include <sys/un.h>
#include <unistd.h>

#include "clock.h"

const struct net_over *net_over;

#define SPREAD 100u /* source addresses 127.0.0.2 .. 127.0.0.101 */

static const char *resolve_unix(const char *path, struct net_target *t)
{
    struct sockaddr_un *un = (struct sockaddr_un *) (void *) &t->addr;
    size_t n = strlen(path);
    if (n == 0)
        return "unix: needs a path";
    if (n >= sizeof un->sun_path)
        return "the path of the unix socket is too long";
    un->sun_family = AF_UNIX;
    memcpy(un->sun_path, path, n + 1);
    t->len = (socklen_t) (offsetof(struct sockaddr_un, sun_path) + n + 1);
    snprintf(t->name, sizeof t->name, "unix:%s", path);
    return NULL;
}

static const char *check_port(const char *port)
{
    size_t n = port == NULL ? 0 : strlen(port);
    if (n == 0)
        return "a port is missing";
    if (n > 5 || strspn(port, "0123456789") != n || atoi(port) < 1 || atoi(port) > 65535)
        return "the port is not a number from 1 to 65535";
    return NULL;
}

/* host without the brackets that an IPv6 address may stand in. Returns 0, or -1 when it does not fit or is
 * empty. */
static int bare_host(const char *host, char *bare, size_t size)
{
    size_t n = strlen(host);
    if (n >= 2 && host[0] == '[' && host[n - 1] == ']') {
        host++;
        n -= 2;
    }
    if (n == 0 || n >= size)
        return -1;
    memcpy(bare, host, n);
    bare[n] = '\0';
    return 0;
}

const char *net_resolve(const char *host, const char *port, struct net_target *t)
{
    memset(t, 0, sizeof *t);
    if (strncmp(host, "unix:", 5) == 0)
        return port != NULL ? "a unix socket has no port" : resolve_unix(host + 5, t);
    const char *wrong = check_port(port);
    if (wrong != NULL)
        return wrong;
    char bare[256];
    if (bare_host(host, bare, sizeof bare) != 0)
        return "not a host name";
    struct addrinfo hints = {.ai_family = AF_UNSPEC, .ai_socktype = SOCK_STREAM}, *found;
    int rc = getaddrinfo(bare, port, &hints, &found);
    if (rc != 0)
        return rc == EAI_SYSTEM ? strerror(errno) : gai_strerror(rc);
    memcpy(&t->addr, found->ai_addr, found->ai_addrlen);
    t->len = found->ai_addrlen;
    snprintf(t->name, sizeof t->name, strchr(bare, ':') != NULL ? "[%.120s] port %s" : "%.120s port %s", bare,
             port);
    freeaddrinfo(found);
    return NULL;
}

/* Take one port or FIRST-LAST from *list, and the comma behind it. 0, or -1. */
static int take_range(const char **list, uint32_t *first, uint32_t *last)
{
    char *end;
    if (!isdigit((unsigned char) **list))
        return -1;
    unsigned long a = strtoul(*list, &end, 10), b = a;
    if (*end == '-') {
        if (!isdigit((unsigned char) end[1]))
            return -1;
        b = strtoul(end + 1, &end, 10);
    }
    if (a < 1 || b > 65535 || a > b || (*end == ',' && end[1] == '\0') || (*end != ',' && *end != '\0'))
        return -1;
    *first = (uint32_t) a;
    *last = (uint32_t) b;
    *list = *end == ',' ? end + 1 : end;
    return 0;
}

/* Resolve the host once, and give each target its port. */
static const char *resolve_range(const char *host, uint32_t first, uint32_t last, struct net_targets *ts)
{
    for (uint32_t p = first; p <= last; p++) {
        char port[8];
        if (ts->count == NET_TARGETS_MAX)
            return "more than 64 ports";
        snprintf(port, sizeof port, "%u", p);
        const char *wrong = net_resolve(host, port, &ts->each[ts->count]);
        if (wrong != NULL)
            return wrong;
        ts->count++;
    }
    return NULL;
}

const char *net_resolve_ports(const char *host, const char *ports, struct net_targets *ts)
{
    memset(ts, 0, sizeof *ts);
    if (ports == NULL || strpbrk(ports, ",-") == NULL) {
        const char *wrong = net_resolve(host, ports, &ts->each[0]);
        ts->count = 1;
        memcpy(ts->name, ts->each[0].name, sizeof ts->name);
        return wrong;
    }
    if (*ports == '\0')
        return "a port is missing";
    for (const char *at = ports; *at != '\0';) {
        uint32_t first, last;
        if (take_range(&at, &first, &last) != 0)
            return "not a list of ports 1 to 65535, such as 8082,8090-8097";
        const char *wrong = resolve_range(host, first, last, ts);
        if (wrong != NULL)
            return wrong;
    }
    snprintf(ts->name, sizeof ts->name, "%.100s ports %.50s", host, ports);
    return NULL;
}

/* One of a list, without its comma. */
static const char *resolve_node(const char *text, size_t n, struct net_target *t)
{
    char node[320];
    if (n == 0 || n >= sizeof node)
        return n == 0 ? "a server is missing" : "the name of a server is too long";
    memcpy(node, text, n);
    node[n] = '\0';
    if (strncmp(node, "unix:", 5) == 0)
        return net_resolve(node, NULL, t);
    char *colon = strrchr(node, ':');
    if (colon == NULL)
        return "a server is HOST:PORT";
    *colon = '\0';
    return net_resolve(node, colon + 1, t);
}

const char *net_resolve_nodes(const char *list, struct net_targets *ts)
{
    memset(ts, 0, sizeof *ts);
    ts->nodes = true;
    for (const char *at = list;; at++) {
        size_t n = strcspn(at, ",");
        if (ts->count == NET_TARGETS_MAX)
            return "more than 64 servers";
        const char *wrong = resolve_node(at, n, &ts->each[ts->count]);
        if (wrong != NULL)
            return wrong;
        ts->count++;
        at += n;
        if (*at == '\0')
            break;
    }
    if (ts->count == 1)
        memcpy(ts->name, ts->each[0].name, sizeof ts->name);
    else
        snprintf(ts->name, sizeof ts->name, "%u servers, %.120s", ts->count, list);
    return NULL;
}

static bool is_loopback(const struct net_target *t)
{
    const struct sockaddr_in *to = (const struct sockaddr_in *) (const void *) &t->addr;
    return to->sin_family == AF_INET && ntohl(to->sin_addr.s_addr) >> 24 == 127;
}

uint64_t net_capacity(const struct net_targets *ts)
{
    unsigned low = 32768, high = 60999;
    if (ts->each[0].addr.ss_family == AF_UNIX)
        return UINT64_MAX;
    FILE *f = fopen("/proc/sys/net/ipv4/ip_local_port_range", "re");
    if (f != NULL && (fscanf(f, "%u %u", &low, &high) != 2 || high < low)) {
        low = 32768;
        high = 60999;
    }
    if (f != NULL)
        fclose(f);
    return (uint64_t) (high - low + 1) * ts->count * (is_loopback(&ts->each[0]) ? SPREAD : 1);
}

/* The source port is chosen at connect, for the pair of addresses, not at bind, for all the world. */
static int bind_spread(int fd, const struct net_target *t, uint32_t spread)
{
    if (spread == NET_NO_SPREAD || !is_loopback(t))
        return 0;
    int on = 1;
    struct sockaddr_in from = {.sin_family = AF_INET,
                               .sin_addr.s_addr = htonl(0x7f000002u + spread % SPREAD)};
    if (setsockopt(fd, IPPROTO_IP, IP_BIND_ADDRESS_NO_PORT, &on, sizeof on) != 0)
        return -1;
    return bind(fd, (const struct sockaddr *) (const void *) &from, sizeof from);
}

static int close_keep_errno(int fd)
{
    int err = errno;
    if (net_is_covered(fd))
        net_over->drop(fd);
    close(fd);
    errno = err;
    return -1;
}

int net_connect_start(const struct net_target *t, uint32_t spread)
{
    int on = 1;
    int fd = socket(t->addr.ss_family, SOCK_STREAM | SOCK_NONBLOCK | SOCK_CLOEXEC, 0);
    if (fd < 0)
        return -1;
    if (net_over != NULL && net_over->lay(fd) != 0)
        return close_keep_errno(fd);
    if (t->addr.ss_family != AF_UNIX && setsockopt(fd, IPPROTO_TCP, TCP_NODELAY, &on, sizeof on) != 0)
        return close_keep_errno(fd);
    if (bind_spread(fd, t, spread) != 0)
        return close_keep_errno(fd);
    if (connect(fd, (const struct sockaddr *) (const void *) &t->addr, t->len) != 0 && errno != EINPROGRESS)
        return close_keep_errno(fd);
    return fd;
}

int net_connect_nth(const struct net_targets *ts, uint32_t k)
{
    return net_connect_start(&ts->each[k % ts->count], k / ts->count);
}

int net_connect_result(int fd)
{
    int err = 0;
    socklen_t n = sizeof err;
    if (getsockopt(fd, SOL_SOCKET, SO_ERROR, &err, &n) != 0)
        return errno;
    return err == 0 && net_is_covered(fd) ? net_over->result(fd) : err;
}

/* Wait for events on fd. 0, or -1 with errno. */
static int wait_for(int fd, short events, uint64_t deadline)
{
    for (;;) {
        struct pollfd p = {.fd = fd, .events = events};
        int n = poll(&p, 1, ms_left(deadline));
        if (n > 0)
            return 0;
        if (n == 0 || (errno == EINTR && ms_left(deadline) == 0)) {
            errno = ETIMEDOUT;
            return -1;
        }
        if (errno != EINTR)
            return -1;
    }
}

int net_await_up(int fd, uint64_t deadline)
{
    while ((errno = net_connect_result(fd)) == EINPROGRESS)
        if (wait_for(fd, net_owes(fd) ? POLLIN | POLLOUT : POLLIN, deadline) != 0)
            return -1;
    return errno == 0 ? 0 : -1;
}

int net_connect_wait(const struct net_target *t, uint64_t deadline)
{
    int fd;
    while ((fd = net_connect_start(t, NET_NO_SPREAD)) < 0) {
        if (errno != EAGAIN || ms_left(deadline) == 0)
            return -1;
        nanosleep(&(struct timespec){.tv_nsec = (long) NS_PER_MS}, NULL);
    }
    if (wait_for(fd, POLLOUT, deadline) != 0)
        return close_keep_errno(fd);
    return net_await_up(fd, deadline) == 0 ? fd : close_keep_errno(fd);
}

int net_cover(int fd, uint64_t deadline)
{
    if (net_over == NULL)
        return 0;
    if (net_over->lay(fd) != 0)
        return -1;
    return net_is_covered(fd) ? net_await_up(fd, deadline) : 0;
}

int net_send_wait(int fd, const void *data, size_t n, uint64_t deadline)
{
    const char *p = data;
    if (net_is_covered(fd) && net_await_up(fd, deadline) != 0)
        return -1;
    while (n > 0 || net_owes(fd)) {
        ssize_t k = net_send(fd, p, n);
        if (k >= 0) {
            p += k;
            n -= (size_t) k;
        }
        bool full = k < 0 ? errno == EAGAIN : net_owes(fd);
        if (full ? wait_for(fd, POLLOUT, deadline) != 0 : k < 0 && errno != EINTR)
            return -1;
    }
    return 0;
}

ptrdiff_t net_recv_wait(int fd, void *data, size_t n, uint64_t deadline)
{
    size_t have = 0;
    if (net_is_covered(fd) && net_await_up(fd, deadline) != 0)
        return -1;
    while (have < n) {
        ssize_t k = net_recv(fd, (char *) data + have, n - have);
        if (k == 0)
            break;
        if (k > 0)
            have += (size_t) k;
        else if (errno == EAGAIN ? wait_for(fd, POLLIN, deadline) != 0 : errno != EINTR)
            return -1;
    }
    return (ptrdiff_t) have;
}

int net_watch(int epoll, int fd, struct net_watch *w, epoll_data_t data, uint32_t events, bool out)
{
    if (net_is_covered(fd))
        out = net_over->wants_out(fd, out);
    if (w->known && w->out == out)
        return 0;
    struct epoll_event e = {.events = events | (out ? (uint32_t) EPOLLOUT : 0), .data = data};
    int op = w->known ? EPOLL_CTL_MOD : EPOLL_CTL_ADD;
    *w = (struct net_watch){.known = true, .out = out};
    return epoll_ctl(epoll, op, fd, &e);
}

void net_close(int fd)
{
    if (net_is_covered(fd)) {
        net_over->notify(fd);
        net_over->drop(fd);
    }
    close(fd);
}

int net_shut(int fd)
{
    if (net_is_covered(fd))
        net_over->notify(fd);
    return shutdown(fd, SHUT_WR);
}

void net_reset(int fd)
{
    if (net_is_covered(fd))
        net_over->drop(fd);
    struct linger at_once = {.l_onoff = 1};
    setsockopt(fd, SOL_SOCKET, SO_LINGER, &at_once, sizeof at_once);
    close(fd);
}

int net_stamp(int fd)
{
    int on = 1, domain = AF_UNIX;
    socklen_t n = sizeof domain;
    if (getsockopt(fd, SOL_SOCKET, SO_DOMAIN, &domain, &n) != 0 || domain == AF_UNIX)
        return -1;
    return setsockopt(fd, SOL_SOCKET, SO_TIMESTAMPNS, &on, sizeof on);
}

ptrdiff_t net_recv_stamped_bare(int fd, void *data, size_t n, uint64_t *stamp)
{
    union {
        struct cmsghdr head;
        char room[CMSG_SPACE(sizeof(struct timespec))];
    } control;
    struct iovec vec = {.iov_base = data, .iov_len = n};
    struct msghdr m = {
        .msg_iov = &vec, .msg_iovlen = 1, .msg_control = &control, .msg_controllen = sizeof control};
    *stamp = 0;
#ifdef SYS_recvmsg
    ssize_t k = syscall(SYS_recvmsg, fd, &m, MSG_DONTWAIT);
#else
    ssize_t k = recvmsg(fd, &m, MSG_DONTWAIT);
#endif
    const struct cmsghdr *c = k > 0 ? CMSG_FIRSTHDR(&m) : NULL;
    if (c != NULL && c->cmsg_level == SOL_SOCKET && c->cmsg_type == SCM_TIMESTAMPNS) {
        struct timespec t;
        memcpy(&t, CMSG_DATA(c), sizeof t);
        *stamp = (uint64_t) t.tv_sec * NS_PER_S + (uint64_t) t.tv_nsec;
    }
    return k;
}

ptrdiff_t net_recv_stamped(int fd, void *data, size_t n, uint64_t *stamp)
{
    *stamp = 0;
    return net_is_covered(fd) ? net_over->recv(fd, data, n, stamp)
                              : net_recv_stamped_bare(fd, data, n, stamp);
}

uint64_t net_raise_nofile(uint64_t need)
{
    struct rlimit r;
    if (getrlimit(RLIMIT_NOFILE, &r) != 0)
        return 0;
    if (r.rlim_cur < need) {
        rlim_t had = r.rlim_cur;
        struct rlimit more = {.rlim_cur = need, .rlim_max = need};
        if (need > r.rlim_max && setrlimit(RLIMIT_NOFILE, &more) == 0)
            return need;
        r.rlim_cur = need < r.rlim_max ? need : r.rlim_max;
        if (setrlimit(RLIMIT_NOFILE, &r) != 0)
            r.rlim_cur = had;
    }
    return r.rlim_cur;
}
