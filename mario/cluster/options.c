/*
 * options.c: what a cluster may be told, and how it is checked. No state; any thread. Nothing is asked of a network or
 * of the name service; of files only the password's is read.
 */
#include "mario/cluster/options.h"

#include <ctype.h>
#include <errno.h>
#include <fcntl.h>
#include <stdarg.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/random.h>
#include <sys/stat.h>
#include <unistd.h>

#define LIST_ALLOWED "host:port, [v6]:port, separated by commas, up to 16; port 1 .. 65535"
#define NAME_ALLOWED "letters, digits, '-', '_', '.'"

extern const struct bus_ops bus_nats __attribute__((weak));

/* What is wrong is said once, here. */
struct check {
    char *why;
    size_t size;
};

static int wrong(const struct check *c, int error, const char *key, const char *value, const char *fmt, ...)
    __attribute__((format(printf, 5, 6)));
static int wrong(const struct check *c, int error, const char *key, const char *value, const char *fmt, ...)
{
    char what[256];
    va_list args;
    va_start(args, fmt);
    vsnprintf(what, sizeof what, fmt, args);
    va_end(args);
    snprintf(c->why, c->size, "%s = %.64s: %s", key, value, what);
    return error;
}

static bool is_given(const char *text)
{
    return text != NULL && text[0] != '\0' && strcmp(text, "-") != 0;
}

/* ---- The bus and its servers ---- */

static int take_bus(struct settings *s, const char *bus, const struct check *c)
{
#ifdef MARIO_WITH_REDIS
    const struct bus_ops *redis = &bus_redis;
#else
    const struct bus_ops *redis = NULL;
#endif
#ifdef MARIO_WITH_NATS
    const struct bus_ops *nats = &bus_nats;
#else
    const struct bus_ops *nats = NULL;
#endif
    bool is_redis = is_given(bus) && strcmp(bus, "redis") == 0;
    if (!is_given(bus))
        return 0;
    if (!is_redis && strcmp(bus, "nats") != 0)
        return wrong(c, EINVAL, "bus", bus, "there is no such bus (allowed: -, redis, nats)");
    s->ops = is_redis ? redis : nats;
    return s->ops != NULL ? 0
                          : wrong(c, ENOSYS, "bus", bus, "built without it; install %s and build again",
                                  is_redis ? "libhiredis-dev" : "libnats-dev");
}

/* What is wrong with host:port, len bytes of it; NULL: nothing. */
static const char *server_wrong(const char *entry, size_t len)
{
    const char *colon = memrchr(entry, ':', len), *end = entry + len;
    size_t host = colon != NULL ? (size_t) (colon - entry) : len;
    uint32_t port = 0;
    if (len == 0)
        return "an empty entry";
    if (colon == NULL || (entry[0] == '[' && entry[host - 1] != ']'))
        return "an entry without a port";
    if (host == 0 || (entry[0] == '[' && host < sizeof "[::]" - 1))
        return "an entry without a host";
    if (entry[0] != '[' && memchr(entry, ':', host) != NULL)
        return "more than one colon in an entry, where IPv6 goes into [ ]";
    for (size_t i = entry[0] == '['; i < host - (entry[0] == '['); i++) {
        if (!isalnum((unsigned char) entry[i]) && strchr(entry[0] == '[' ? ":.%-_" : ".-_", entry[i]) == NULL)
            return "a host with a character that no host has";
    }
    if (colon + 1 == end)
        return "an entry without a port";
    for (const char *p = colon + 1; p < end; p++) {
        if (!isdigit((unsigned char) *p))
            return "a port that is not a number";
        if (port <= UINT16_MAX)
            port = port * 10 + (uint32_t) (*p - '0');
    }
    return port == 0 || port > UINT16_MAX ? "a port that is out of range" : NULL;
}

static bool is_in_list(const char *list, const char *entry, size_t len)
{
    for (const char *p = list; *p != '\0'; p += *p == ',') {
        size_t n = strcspn(p, ",");
        if (n == len && strncasecmp(p, entry, len) == 0)
            return true;
        p += n;
    }
    return false;
}

/* Check a list; a copy without blanks goes to out. */
static int take_servers(char out[SETTINGS_SERVERS_SIZE], const char *key, const char *list,
                        const char *fallback, const struct check *c)
{
    size_t used = 0, count = 0;
    out[0] = '\0';
    if (!is_given(list))
        list = fallback;
    for (const char *p = list;; p++) {
        p += strspn(p, " \t");
        size_t n = strcspn(p, ","), len = n;
        while (len > 0 && (p[len - 1] == ' ' || p[len - 1] == '\t'))
            len--;
        const char *what = server_wrong(p, len);
        if (what == NULL && is_in_list(out, p, len))
            what = "the same server twice";
        if (what == NULL && (++count > BUS_PARTS_MAX || used + 1 + len >= SETTINGS_SERVERS_SIZE))
            what = "too many servers";
        if (what != NULL)
            return wrong(c, EINVAL, key, list, "%s (allowed: " LIST_ALLOWED ")", what);
        used += (size_t) snprintf(out + used, SETTINGS_SERVERS_SIZE - used, "%s%.*s", used > 0 ? "," : "",
                                  (int) len, p);
        p += n;
        if (*p == '\0')
            return 0;
    }
}

/* ---- Names ---- */

static bool is_name(char c)
{
    return isalnum((unsigned char) c) || c == '-' || c == '_' || c == '.';
}

static int take_name(char *out, size_t max, const char *key, const char *name, const struct check *c)
{
    for (const char *p = name; *p != '\0'; p++) {
        if (!is_name(*p))
            return wrong(c, EINVAL, key, name, "a character that no name has (allowed: " NAME_ALLOWED ")");
    }
    if (strlen(name) > max)
        return wrong(c, EINVAL, key, name, "too long (allowed: 1 .. %zu bytes)", max);
    memcpy(out, name, strlen(name) + 1);
    return 0;
}

/* The host's name, the process's id, and what makes it another one in a container, where that is always 1. */
static void make_node(struct settings *s)
{
    char host[sizeof s->node - sizeof "-4294967295-ffff" + 1] = "";
    if (gethostname(host, sizeof host - 1) != 0 || host[0] == '\0')
        snprintf(host, sizeof host, "node");
    for (char *p = host; *p != '\0'; p++) {
        if (!is_name(*p))
            *p = '-';
    }
    snprintf(s->node, sizeof s->node, "%s-%u-%04x", host, (unsigned) getpid(),
             (unsigned) (s->epoch & 0xffff));
}

/* ---- The password ---- */

/* The file's first line; 0, or an errno. */
static int read_secret(const char *path, char out[SETTINGS_PASSWORD_SIZE], const struct check *c)
{
    static const char key[] = "password_file";
    struct stat st;
    int fd = open(path, O_RDONLY | O_CLOEXEC | O_NONBLOCK | O_NOCTTY), error = 0;
    if (fd < 0)
        return wrong(c, EACCES, key, path, "it cannot be opened: %s", strerror(errno));
    ssize_t n = 0;
    if (fstat(fd, &st) != 0 || !S_ISREG(st.st_mode))
        error = wrong(c, EACCES, key, path, "it is no file");
    else if ((st.st_mode & 077) != 0)
        error = wrong(c, EACCES, key, path, "others may read it or write it: chmod 600");
    else if ((n = read(fd, out, SETTINGS_PASSWORD_SIZE - 1)) < 0)
        error = wrong(c, EACCES, key, path, "it cannot be read: %s", strerror(errno));
    close(fd);
    if (error != 0)
        return error;
    out[n] = '\0';
    size_t len = strcspn(out, "\r\n");
    if (len == SETTINGS_PASSWORD_SIZE - 1)
        return wrong(c, EINVAL, key, path, "its first line is too long (allowed: up to %u bytes)",
                     SETTINGS_PASSWORD_SIZE - 2);
    if (len == 0)
        return wrong(c, EINVAL, key, path, "there is no password in its first line");
    explicit_bzero(out + len, SETTINGS_PASSWORD_SIZE - len);
    return 0;
}

static int take_secret(struct settings *s, const char *path, const struct check *c)
{
    if (!is_given(path))
        return 0;
    int error = read_secret(path, s->secret, c);
    if (error != 0)
        return error;
    char *colon = strchr(s->secret, ':');
    s->password = colon != NULL ? colon + 1 : s->secret;
    s->user = colon != NULL && colon > s->secret ? s->secret : NULL;
    if (colon != NULL)
        *colon = '\0';
    return s->password[0] != '\0'
               ? 0
               : wrong(c, EINVAL, "password_file", path, "there is no password in its first line");
}

/* ---- All of it ---- */

static int take_number(const char *key, uint32_t value, uint32_t min, uint32_t max, const struct check *c)
{
    char text[16];
    snprintf(text, sizeof text, "%u", value);
    return value >= min && value <= max
               ? 0
               : wrong(c, EINVAL, key, text, "it is out of range (allowed: %u .. %u)", min, max);
}

static int take_numbers(struct settings *s, const struct mario_cluster_options *o, const struct check *c)
{
    int error = take_number("queue", o->queue, MARIO_CLUSTER_QUEUE_MIN, MARIO_CLUSTER_QUEUE_MAX, c);
    if (error == 0)
        error = take_number("linger", o->linger, 0, MARIO_CLUSTER_LINGER_MAX, c);
    if (error == 0)
        error = take_number("heartbeat", o->heartbeat, 1, MARIO_CLUSTER_HEARTBEAT_MAX, c);
    if (error == 0)
        error = take_number("ttl", o->ttl, o->heartbeat + 1, MARIO_CLUSTER_TTL_MAX, c);
    s->queue = o->queue;
    s->linger_ms = o->linger * 1000;
    s->heartbeat_ms = o->heartbeat * 1000;
    s->ttl_ms = o->ttl * 1000;
    return error;
}

/* Both lists, whichever bus it is: a mistake is not to wait for the day on which that changes. */
static int take_lists(struct settings *s, const struct mario_cluster_options *o, const struct check *c)
{
    char other[SETTINGS_SERVERS_SIZE];
    bool nats = o->bus != NULL && strcmp(o->bus, "nats") == 0;
    int error = take_servers(nats ? other : s->servers, "redis", o->redis, "127.0.0.1:6379", c);
    return error != 0 ? error : take_servers(nats ? s->servers : other, "nats", o->nats, "127.0.0.1:4222", c);
}

int settings_take(struct settings *s, const struct mario_cluster_options *o, char *why, size_t size)
{
    const struct check c = {why, size};
    memset(s, 0, sizeof *s);
    while (s->epoch == 0) {
        if (getrandom(&s->epoch, sizeof s->epoch, 0) != sizeof s->epoch)
            s->epoch = 0;
    }
    int error = take_lists(s, o, &c);
    if (error == 0)
        error = take_name(s->prefix, MARIO_CLUSTER_PREFIX_MAX, "prefix",
                          is_given(o->prefix) ? o->prefix : "mario", &c);
    if (error == 0 && is_given(o->node))
        error = take_name(s->node, MARIO_CLUSTER_NODE_MAX, "node", o->node, &c);
    else
        make_node(s);
    if (error == 0)
        error = take_numbers(s, o, &c);
    if (error == 0)
        error = take_secret(s, o->password_file, &c);
    if (error == 0)
        error = take_bus(s, o->bus, &c);
    if (error != 0)
        settings_forget(s);
    return error;
}

void settings_forget(struct settings *s)
{
    explicit_bzero(s->secret, sizeof s->secret);
    s->user = s->password = NULL;
}

void mario_cluster_options_init(struct mario_cluster_options *o)
{
    *o = (struct mario_cluster_options){.queue = 8u << 20, .linger = 2, .heartbeat = 10, .ttl = 30};
}

int32_t mario_cluster_check(const struct mario_cluster_options *o, char *why, uint32_t size)
{
    struct settings s;
    int error = settings_take(&s, o, why, size);
    settings_forget(&s);
    if (error == 0)
        return 0;
    errno = error;
    return -1;
}
