/*
 * activation.c: sockets that a service manager opened. For the thread that makes the server, or a supervising parent.
 *
 * They are found by their addresses, not by their order: server.listen goes on to say where the server listens, and one
 * that is missing is opened as ever.
 */
#include "mario/net/activation.h"

#include <arpa/inet.h>
#include <errno.h>
#include <fcntl.h>
#include <netinet/in.h>
#include <netinet/tcp.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/un.h>
#include <unistd.h>

#include "mario/base/complain.h"

enum { FIRST = 3, MOST = 1024 };

static struct {
    bool looked;
    int count;
    bool there[MOST]; /* descriptor FIRST + i is a socket that listens and that nobody has taken */
} handed;

/* The number in an environment variable, 0 if there is none. */
static long number(const char *name)
{
    const char *text = getenv(name);
    char *end;
    if (text == NULL || text[0] < '0' || text[0] > '9')
        return 0;
    errno = 0;
    long n = strtol(text, &end, 10);
    return errno != 0 || *end != '\0' ? 0 : n;
}

static int option(int fd, int level, int name)
{
    int value = -1;
    socklen_t len = sizeof value;
    return getsockopt(fd, level, name, &value, &len) == 0 ? value : -1;
}

static bool is_listener(int fd)
{
    return option(fd, SOL_SOCKET, SO_TYPE) == SOCK_STREAM && option(fd, SOL_SOCKET, SO_ACCEPTCONN) == 1;
}

void activation_setup(void)
{
    if (handed.looked)
        return;
    handed.looked = true;
    long count = number("LISTEN_FDS");
    if (count == 0 || number("LISTEN_PID") != getpid())
        return;
    if (count > MOST) {
        complain("LISTEN_FDS=%ld is more than can be: none is used", count);
        return;
    }
    handed.count = (int) count;
    for (int i = 0; i < handed.count; i++) {
        int fd = FIRST + i, flags = fcntl(fd, F_GETFD);
        if (flags < 0) {
            complain("LISTEN_FDS=%d: descriptor %d is not open", handed.count, fd);
            continue;
        }
        fcntl(fd, F_SETFD, flags | FD_CLOEXEC);
        handed.there[i] = is_listener(fd);
        if (handed.there[i])
            continue;
        complain("descriptor %d was handed over, and is no socket that listens for connections: closed", fd);
        close(fd);
    }
}

static socklen_t address_of(int fd, struct sockaddr_storage *addr)
{
    socklen_t len = sizeof *addr;
    memset(addr, 0, sizeof *addr);
    return getsockname(fd, (struct sockaddr *) addr, &len) == 0 ? len : 0;
}

/* An address of the list is all zero behind its path, and so is what address_of() gives. */
static bool is_at(int fd, const struct listen_address *a)
{
    struct sockaddr_storage addr;
    return address_of(fd, &addr) > 0 && memcmp(&addr, &a->addr, a->len) == 0;
}

/* One that takes IPv4 too is not what [::] means here: its clients' addresses would be of another kind. */
static bool is_right(int fd, const struct listen_address *a)
{
    if (a->addr.ss_family != AF_INET6 || option(fd, IPPROTO_IPV6, IPV6_V6ONLY) == 1)
        return true;
    return complain(
        "%s was handed over as a socket that takes IPv4 too: set BindIPv6Only=ipv6-only in its unit",
        a->name);
}

static bool prepare(int fd, const struct listen_address *a, const struct listen_options *o)
{
    int family = a->addr.ss_family;
    return fcntl(fd, F_SETFL, fcntl(fd, F_GETFL) | O_NONBLOCK) == 0 && listen_inherited(fd, family) &&
           listen_keepalive(fd, family, o->keepalive) && listen(fd, o->backlog) == 0;
}

int activation_take(struct listen_address *a, const struct listen_options *o)
{
    for (int i = 0; i < handed.count; i++) {
        int fd = FIRST + i;
        if (!handed.there[i] || !is_at(fd, a) || !is_right(fd, a) || !prepare(fd, a, o))
            continue;
        handed.there[i] = false;
        a->activated = true;
        return fd;
    }
    return -1;
}

int activation_open(struct listen_address *a, const struct listen_options *o)
{
    int fd = activation_take(a, o);
    return fd >= 0 ? fd : listen_open(a, o);
}

static void name(int fd, char *text, size_t size)
{
    struct sockaddr_storage addr;
    char host[INET6_ADDRSTRLEN] = "?";
    address_of(fd, &addr);
    if (addr.ss_family == AF_INET) {
        const struct sockaddr_in *v4 = (const struct sockaddr_in *) &addr;
        inet_ntop(AF_INET, &v4->sin_addr, host, sizeof host);
        snprintf(text, size, "%s:%u", host, ntohs(v4->sin_port));
    } else if (addr.ss_family == AF_INET6) {
        const struct sockaddr_in6 *v6 = (const struct sockaddr_in6 *) &addr;
        inet_ntop(AF_INET6, &v6->sin6_addr, host, sizeof host);
        snprintf(text, size, "[%s]:%u", host, ntohs(v6->sin6_port));
    } else if (addr.ss_family == AF_UNIX) {
        snprintf(text, size, "unix:%.107s", ((const struct sockaddr_un *) &addr)->sun_path);
    } else {
        snprintf(text, size, "a socket of family %d", addr.ss_family);
    }
}

void activation_close_rest(void)
{
    for (int i = 0; i < handed.count; i++) {
        char text[160];
        if (!handed.there[i])
            continue;
        name(FIRST + i, text, sizeof text);
        complain("%s was handed over (descriptor %d), and nothing here listens there: closed", text,
                 FIRST + i);
        close(FIRST + i);
        handed.there[i] = false;
    }
}
