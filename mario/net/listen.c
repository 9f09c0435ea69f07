/*
 * listen.c: the listen list: parse it, open the sockets. For the thread that makes the server; parsing is
 * pure.
 */
#include "mario/net/listen.h"

#include <arpa/inet.h>
#include <errno.h>
#include <netinet/in.h>
#include <netinet/tcp.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/stat.h>
#include <sys/un.h>
#include <unistd.h>

enum { PROBES = 3 }; /* a peer that answers none of them is dead: one or two may get lost */

/* Digits only, 0 .. 65535. */
static bool parse_port(const char *text, uint16 *port)
{
    size_t n = strlen(text);
    if (n == 0 || n > 5 || strspn(text, "0123456789") != n)
        return false;
    long value = strtol(text, NULL, 10);
    *port = (uint16) value;
    return value <= 65535;
}

static const char *parse_unix(const char *path, struct listen_address *a)
{
    struct sockaddr_un *u = (struct sockaddr_un *) &a->addr;
    if (path[0] == '\0')
        return "a path is missing after unix:";
    if (strlen(path) >= sizeof u->sun_path)
        return "the path is too long (allowed: 107 bytes)";
    u->sun_family = AF_UNIX;
    memcpy(u->sun_path, path, strlen(path) + 1);
    a->len = sizeof *u;
    return NULL;
}

static const char *parse_v6(char *host, uint16 port, struct listen_address *a)
{
    struct sockaddr_in6 *v6 = (struct sockaddr_in6 *) &a->addr;
    v6->sin6_family = AF_INET6;
    v6->sin6_port = htons(port);
    a->len = sizeof *v6;
    return inet_pton(AF_INET6, host, &v6->sin6_addr) == 1 ? NULL : "not an IPv6 address";
}

static const char *parse_v4(const char *host, uint16 port, struct listen_address *a)
{
    struct sockaddr_in *v4 = (struct sockaddr_in *) &a->addr;
    v4->sin_family = AF_INET;
    v4->sin_port = htons(port);
    a->len = sizeof *v4;
    return inet_pton(AF_INET, host, &v4->sin_addr) == 1 ? NULL : "not an IPv4 address";
}

/* One entry, which is written to. NULL, or what is wrong with it. */
static const char *parse_entry(char *entry, struct listen_address *a)
{
    uint16 port;
    *a = (struct listen_address){0};
    if (entry[0] == '\0')
        return "an empty entry";
    snprintf(a->name, sizeof a->name, "%s", entry);
    if (strncmp(entry, "unix:", 5) == 0)
        return parse_unix(entry + 5, a);
    char *colon = strrchr(entry, ':');
    if (colon == NULL)
        return "a port is missing (allowed: addr:port, [v6]:port, unix:/path)";
    if (!parse_port(colon + 1, &port))
        return "not a port (allowed: 0..65535)";
    *colon = '\0';
    if (entry[0] != '[')
        return parse_v4(entry, port, a);
    if (colon[-1] != ']')
        return "the ] is missing";
    colon[-1] = '\0';
    return parse_v6(entry + 1, port, a);
}

static bool is_twice(const struct listen_address *list, int n)
{
    for (int i = 0; i < n; i++) {
        if (list[i].len == list[n].len && memcmp(&list[i].addr, &list[n].addr, list[n].len) == 0 &&
            (listen_port(&list[n]) != 0 || list[n].addr.ss_family == AF_UNIX))
            return true;
    }
    return false;
}

static char *trim(char *text)
{
    text += strspn(text, " \t");
    for (size_t n = strlen(text); n > 0 && strchr(" \t", text[n - 1]) != NULL; n--)
        text[n - 1] = '\0';
    return text;
}

int listen_parse(const char *list, struct listen_address *out, char *why, size_t why_size)
{
    char *copy = strdup(list != NULL ? list : ""), *rest = copy, *entry;
    int n = 0;
    const char *wrong = copy == NULL ? "no memory" : NULL;
    while (wrong == NULL && (entry = strsep(&rest, ",")) != NULL) {
        char shown[LISTEN_NAME];
        entry = trim(entry);
        snprintf(shown, sizeof shown, "%s", entry);
        if (n == LISTEN_MAX)
            wrong = "too many addresses (allowed: 64)";
        else if ((wrong = parse_entry(entry, &out[n])) == NULL && is_twice(out, n))
            wrong = "listed twice";
        if (wrong != NULL)
            snprintf(why, why_size, "'%s': %s", shown, wrong);
        n++;
    }
    if (copy == NULL)
        snprintf(why, why_size, "%s", wrong);
    free(copy);
    return wrong == NULL ? n : -1;
}

sint32 mario_listen_check(const char *list, char *why, uint32 size)
{
    struct listen_address *all = calloc(LISTEN_MAX, sizeof *all);
    if (all == NULL) {
        snprintf(why, size, "no memory");
        return -1;
    }
    int n = listen_parse(list, all, why, size);
    free(all);
    return n < 0 ? -1 : 0;
}

uint16 listen_port(const struct listen_address *a)
{
    if (a->addr.ss_family == AF_INET)
        return ntohs(((const struct sockaddr_in *) &a->addr)->sin_port);
    if (a->addr.ss_family == AF_INET6)
        return ntohs(((const struct sockaddr_in6 *) &a->addr)->sin6_port);
    return 0;
}

/* A socket file whose server is gone makes bind() fail for ever; one that somebody listens on must stay. */
static void remove_stale(const struct listen_address *a)
{
    const char *path = ((const struct sockaddr_un *) &a->addr)->sun_path;
    struct stat st;
    if (lstat(path, &st) != 0 || !S_ISSOCK(st.st_mode))
        return;
    int fd = socket(AF_UNIX, SOCK_STREAM | SOCK_NONBLOCK | SOCK_CLOEXEC, 0);
    if (fd < 0)
        return;
    if (connect(fd, (const struct sockaddr *) &a->addr, a->len) != 0 && errno == ECONNREFUSED)
        unlink(path);
    close(fd);
}

/* On Linux accepted sockets inherit TCP_NODELAY from the listener, so it costs no system call a connection.
 */
static bool set_options(int fd, int family)
{
    int on = 1;
    if (family == AF_UNIX)
        return true;
    if (family == AF_INET6 && setsockopt(fd, IPPROTO_IPV6, IPV6_V6ONLY, &on, sizeof on) != 0)
        return false;
    return setsockopt(fd, SOL_SOCKET, SO_REUSEADDR, &on, sizeof on) == 0 &&
           setsockopt(fd, IPPROTO_TCP, TCP_NODELAY, &on, sizeof on) == 0;
}

/*
 * What decides is TCP_USER_TIMEOUT, which is as long as all probes need. It is needed because probes are sent only
 * while nothing of ours is unacknowledged: an answer on its way to a dead peer would otherwise be repeated for a
 * quarter of an hour (tcp_retries2). It also ends a peer whose window stays closed for as long.
 *
 * On Linux accepted sockets inherit all of this from the listener, so it costs no system call a connection.
 */
bool listen_keepalive(int fd, int family, uint32 seconds)
{
    int on = seconds != 0, idle = (int) seconds;
    int count = idle < PROBES ? idle : PROBES;
    int interval = idle < PROBES ? 1 : idle / PROBES;
    int limit_ms = (idle + count * interval) * 1000;
    if (family == AF_UNIX)
        return true;
    if (setsockopt(fd, SOL_SOCKET, SO_KEEPALIVE, &on, sizeof on) != 0 ||
        setsockopt(fd, IPPROTO_TCP, TCP_USER_TIMEOUT, &limit_ms, sizeof limit_ms) != 0)
        return false;
    return !on || (setsockopt(fd, IPPROTO_TCP, TCP_KEEPIDLE, &idle, sizeof idle) == 0 &&
                   setsockopt(fd, IPPROTO_TCP, TCP_KEEPINTVL, &interval, sizeof interval) == 0 &&
                   setsockopt(fd, IPPROTO_TCP, TCP_KEEPCNT, &count, sizeof count) == 0);
}

static void learn_port(struct listen_address *a, int fd)
{
    uint16 before = listen_port(a);
    socklen_t len = sizeof a->addr;
    if (a->addr.ss_family == AF_UNIX || before != 0 ||
        getsockname(fd, (struct sockaddr *) &a->addr, &len) != 0)
        return;
    char *colon = strrchr(a->name, ':');
    if (colon != NULL)
        snprintf(colon, sizeof a->name - (size_t) (colon - a->name), ":%u", listen_port(a));
}

int listen_open(struct listen_address *a, int backlog, uint32 keepalive)
{
    int family = a->addr.ss_family;
    int fd = socket(family, SOCK_STREAM | SOCK_NONBLOCK | SOCK_CLOEXEC, 0);
    if (fd < 0)
        return -1;
    if (family == AF_UNIX)
        remove_stale(a);
    bool bound = set_options(fd, family) && listen_keepalive(fd, family, keepalive) &&
                 bind(fd, (struct sockaddr *) &a->addr, a->len) == 0;
    if (!bound || listen(fd, backlog) != 0) {
        int saved = errno;
        if (bound)
            listen_close(a, fd);
        else
            close(fd);
        errno = saved;
        return -1;
    }
    learn_port(a, fd);
    return fd;
}

const char *listen_hint(int err)
{
    switch (err) {
    case EADDRINUSE:
        return "; stop who has it (ss -ltnp) or choose another port";
    case EACCES:
        return "; take a port above 1023 or give the right (CAP_NET_BIND_SERVICE)";
    case EADDRNOTAVAIL:
        return "; this machine does not have that address";
    case EMFILE:
        return "; raise the descriptor limit (ulimit -n)";
    default:
        return "";
    }
}

void listen_close(const struct listen_address *a, int fd)
{
    close(fd);
    if (a->addr.ss_family == AF_UNIX)
        unlink(((const struct sockaddr_un *) &a->addr)->sun_path);
}
