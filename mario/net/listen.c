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

#include "mario/base/account.h"
#include "mario/base/complain.h"
#include "mario/base/text.h"

enum { PROBES = 3 }; /* a peer that answers none of them is dead: one or two may get lost */

/* Digits only, 0 .. 65535. */
static bool parse_port(const char *text, uint16_t *port)
{
    size_t n = strlen(text);
    if (n == 0 || n > 5 || strspn(text, "0123456789") != n)
        return false;
    long value = strtol(text, NULL, 10);
    *port = (uint16_t) value;
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

static const char *parse_v6(char *host, uint16_t port, struct listen_address *a)
{
    struct sockaddr_in6 *v6 = (struct sockaddr_in6 *) &a->addr;
    v6->sin6_family = AF_INET6;
    v6->sin6_port = htons(port);
    a->len = sizeof *v6;
    if (inet_pton(AF_INET6, host, &v6->sin6_addr) != 1)
        return "not an IPv6 address";
    return IN6_IS_ADDR_V4MAPPED(&v6->sin6_addr) ? "an IPv4 address in the form of IPv6; write it as IPv4"
                                                : NULL;
}

static const char *parse_v4(const char *host, uint16_t port, struct listen_address *a)
{
    struct sockaddr_in *v4 = (struct sockaddr_in *) &a->addr;
    v4->sin_family = AF_INET;
    v4->sin_port = htons(port);
    a->len = sizeof *v4;
    return inet_pton(AF_INET, host, &v4->sin_addr) == 1 ? NULL : "not an IPv4 address";
}

/* The address of an entry, which is written to. NULL, or what is wrong with it. */
static const char *parse_address(char *entry, struct listen_address *a)
{
    uint16_t port;
    snprintf(a->name, sizeof a->name, "%s", entry);
    a->datagram = strncmp(entry, "udp:", 4) == 0;
    if (a->datagram)
        entry += 4;
    if (strncmp(entry, "unix:", 5) == 0)
        return a->datagram ? "a unix socket takes no datagrams" : parse_unix(entry + 5, a);
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

static bool is_same(const struct listen_address *a, const struct listen_address *b)
{
    return a->datagram == b->datagram && a->len == b->len && memcmp(&a->addr, &b->addr, a->len) == 0;
}

static bool is_any(const struct listen_address *a)
{
    if (a->addr.ss_family == AF_INET)
        return ((const struct sockaddr_in *) &a->addr)->sin_addr.s_addr == htonl(INADDR_ANY);
    return a->addr.ss_family == AF_INET6 &&
           IN6_IS_ADDR_UNSPECIFIED(&((const struct sockaddr_in6 *) &a->addr)->sin6_addr);
}

/* Whether the kernel would refuse the second of the two. IPv4 and IPv6 do not meet: sockets of the latter take nothing
 * else. */
static bool collide(const struct listen_address *a, const struct listen_address *b)
{
    if (a->addr.ss_family == AF_UNIX || b->addr.ss_family == AF_UNIX)
        return is_same(a, b);
    return a->datagram == b->datagram && a->addr.ss_family == b->addr.ss_family && listen_port(a) != 0 &&
           listen_port(a) == listen_port(b) && (is_same(a, b) || is_any(a) || is_any(b));
}

/* Entry n against those before it. False with what is wrong in why. */
static bool is_apart(const struct listen_address *list, int n, char *why, size_t why_size)
{
    for (int i = 0; i < n; i++) {
        if (!collide(&list[i], &list[n]))
            continue;
        if (is_same(&list[i], &list[n]))
            snprintf(why, why_size, "'%s': listed twice", list[n].name);
        else
            snprintf(why, why_size, "'%s': overlaps %s, which is in the list too", list[n].name,
                     list[i].name);
        return false;
    }
    return true;
}

/* Whether entry i of n takes every IPv6 address of its port, and no other takes IPv4 on it. */
static bool lacks_v4(const struct listen_address *list, int n, int i)
{
    if (list[i].addr.ss_family != AF_INET6 || !is_any(&list[i]))
        return false;
    for (int k = 0; k < n; k++) {
        if (list[k].datagram == list[i].datagram && list[k].addr.ss_family == AF_INET &&
            listen_port(&list[k]) == listen_port(&list[i]))
            return false;
    }
    return true;
}

/* Where the options of an entry begin: behind the first blank; behind a path that may have some, at the first word with
 * a '='. Cut off there. "" if there are none. */
static char *cut_options(char *entry)
{
    char *at = entry + strcspn(entry, " \t");
    while (*at != '\0' && strncmp(entry, "unix:", 5) == 0) {
        char *word = at + strspn(at, " \t");
        size_t len = strcspn(word, " \t");
        if (memchr(word, '=', len) != NULL)
            break;
        at = word + len;
    }
    if (*at != '\0')
        *at++ = '\0';
    return at;
}

/* Entry n of the list, which is written to. */
static bool take_entry(char *entry, struct listen_address *list, int n, char *why, size_t why_size)
{
    char shown[LISTEN_NAME];
    snprintf(shown, sizeof shown, "%s", entry);
    char *options = cut_options(entry);
    if (n < LISTEN_MAX)
        list[n] = (struct listen_address){0};
    const char *wrong = n == LISTEN_MAX    ? "too many addresses (allowed: 64)"
                        : entry[0] == '\0' ? "an empty entry"
                                           : parse_address(entry, &list[n]);
    if (wrong == NULL)
        return is_apart(list, n, why, why_size) && listen_options_parse(&list[n], options, why, why_size);
    snprintf(why, why_size, "'%s': %s", shown, wrong);
    return false;
}

int listen_parse(const char *list, struct listen_address *out, char *why, size_t why_size)
{
    char *copy = strdup(list != NULL ? list : ""), *rest = copy, *entry;
    int n = 0;
    bool ok = copy != NULL;
    if (!ok)
        snprintf(why, why_size, "no memory");
    for (; ok && (entry = strsep(&rest, ",")) != NULL; n++)
        ok = take_entry(text_trim(entry), out, n, why, why_size);
    for (int i = 0; ok && i < n; i++)
        out[i].lacks_v4 = lacks_v4(out, n, i);
    free(copy);
    return ok ? n : -1;
}

int32_t mario_group_check(const char *group, char *why, uint32_t size)
{
    gid_t gid;
    if (group == NULL || group[0] == '\0' || strcmp(group, "-") == 0 || account_group(group, &gid))
        return 0;
    snprintf(why, size, "'%.64s': there is no such group", group);
    return -1;
}

bool listen_settings(struct listen_options *set, const struct mario_options *o)
{
    char why[128];
    *set = (struct listen_options){.backlog = (int) o->backlog,
                                   .keepalive = o->keepalive,
                                   .unix_mode = (mode_t) o->unix_mode,
                                   .unix_group = (gid_t) -1};
    if (mario_group_check(o->unix_group, why, sizeof why) != 0)
        return complain("unix_group: %s", why);
    if (o->unix_group != NULL && o->unix_group[0] != '\0' && strcmp(o->unix_group, "-") != 0)
        return account_group(o->unix_group, &set->unix_group);
    return true;
}

uint16_t listen_port(const struct listen_address *a)
{
    if (a->addr.ss_family == AF_INET)
        return ntohs(((const struct sockaddr_in *) &a->addr)->sin_port);
    if (a->addr.ss_family == AF_INET6)
        return ntohs(((const struct sockaddr_in6 *) &a->addr)->sin6_port);
    return 0;
}

bool listen_inherited(int fd, int family)
{
    int on = 1;
    return family == AF_UNIX || (setsockopt(fd, IPPROTO_TCP, TCP_NODELAY, &on, sizeof on) == 0 &&
                                 setsockopt(fd, SOL_SOCKET, SO_OOBINLINE, &on, sizeof on) == 0);
}

static bool set_options(int fd, int family)
{
    int on = 1;
    if (family == AF_UNIX)
        return true;
    if (family == AF_INET6 && setsockopt(fd, IPPROTO_IPV6, IPV6_V6ONLY, &on, sizeof on) != 0)
        return false;
    return setsockopt(fd, SOL_SOCKET, SO_REUSEADDR, &on, sizeof on) == 0 && listen_inherited(fd, family);
}

/*
 * What decides is TCP_USER_TIMEOUT, which is as long as all probes need. It is needed because probes are sent only
 * while nothing of ours is unacknowledged: an answer on its way to a dead peer would otherwise be repeated for a
 * quarter of an hour (tcp_retries2). It also ends a peer whose window stays closed for as long.
 *
 * On Linux accepted sockets inherit all of this from the listener, so it costs no system call a connection.
 */
bool listen_keepalive(int fd, int family, uint32_t seconds)
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

bool listen_backlog(int fd, uint32_t *waiting, uint32_t *most)
{
    struct tcp_info info;
    socklen_t len = sizeof info;
    if (getsockopt(fd, IPPROTO_TCP, TCP_INFO, &info, &len) != 0)
        return false;
    *waiting = info.tcpi_unacked; /* of a socket that listens these two mean that */
    *most = info.tcpi_sacked;
    return true;
}

void listen_learn_port(struct listen_address *a, int fd)
{
    uint16_t before = listen_port(a);
    socklen_t len = sizeof a->addr;
    if (a->addr.ss_family == AF_UNIX || before != 0 ||
        getsockname(fd, (struct sockaddr *) &a->addr, &len) != 0)
        return;
    char *colon = strrchr(a->name, ':');
    if (colon != NULL)
        snprintf(colon, sizeof a->name - (size_t) (colon - a->name), ":%u", listen_port(a));
}

static bool bind_tcp(int fd, const struct listen_address *a, int backlog)
{
    return bind(fd, (const struct sockaddr *) &a->addr, a->len) == 0 && listen(fd, backlog) == 0;
}

int listen_open(struct listen_address *a, const struct listen_options *o)
{
    int family = a->addr.ss_family;
    int fd = socket(family, SOCK_STREAM | SOCK_NONBLOCK | SOCK_CLOEXEC, 0);
    if (fd < 0)
        return -1;
    bool ok = set_options(fd, family) && listen_keepalive(fd, family, o->keepalive) &&
              (family == AF_UNIX ? unix_socket_listen(fd, (const struct sockaddr_un *) &a->addr, o->backlog,
                                                      o->unix_mode, o->unix_group, &a->file)
                                 : bind_tcp(fd, a, o->backlog));
    if (!ok) {
        int saved = errno;
        close(fd);
        errno = saved;
        return -1;
    }
    listen_learn_port(a, fd);
    return fd;
}

void listen_remove(const struct listen_address *a)
{
    if (a->addr.ss_family == AF_UNIX)
        unix_socket_remove((const struct sockaddr_un *) &a->addr, &a->file);
}

void listen_close(const struct listen_address *a, int fd)
{
    listen_remove(a);
    close(fd);
}

/* ---- What to do about an error ---- */

static const char *hint_in_use(const struct listen_address *a)
{
    struct stat st;
    int saved = errno;
    if (a->addr.ss_family != AF_UNIX)
        return a->datagram ? "; stop who has it (ss -lunp) or choose another port"
                           : "; stop who has it (ss -ltnp) or choose another port";
    bool other = lstat(((const struct sockaddr_un *) &a->addr)->sun_path, &st) == 0 && !S_ISSOCK(st.st_mode);
    errno = saved;
    if (other)
        return "; what is there is no socket: remove it or choose another path";
    return "; stop who listens there (ss -lxp) or choose another path";
}

static const char *hint_unix(int err)
{
    switch (err) {
    case EACCES:
        return "; who starts the server must be able to write to its directory and to get there";
    case ENOENT:
        return "; make its directory";
    case ENOTDIR:
        return "; a part of its path is no directory";
    case EROFS:
        return "; its file system cannot be written to: choose another path";
    case EPERM:
        return "; its group can be one of who starts the server, or any for root, and not every file system has "
               "sockets";
    case EAGAIN:
        return "; somebody holds the lock of its directory (lslocks)";
    default:
        return "";
    }
}

static const char *hint_tcp(int err)
{
    switch (err) {
    case EACCES:
        return "; take a port above 1023 or give the right (CAP_NET_BIND_SERVICE)";
    case EADDRNOTAVAIL:
        return "; this machine does not have that address";
    case EAFNOSUPPORT:
        return "; this machine has no IPv6";
    case EINVAL:
        return "; an address that is valid on one link alone cannot be listened on";
    default:
        return "";
    }
}

const char *listen_hint(const struct listen_address *a, int err)
{
    if (err == EADDRINUSE)
        return hint_in_use(a);
    if (err == EMFILE || err == ENFILE)
        return "; raise the descriptor limit (ulimit -n, fs.file-max)";
    return a->addr.ss_family == AF_UNIX ? hint_unix(err) : hint_tcp(err);
}
