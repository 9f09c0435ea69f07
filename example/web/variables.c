/*
 * variables.c: the variables that a script gets. Runs on threads of the pool.
 */
#include "variables.h"

#include <arpa/inet.h>
#include <limits.h>
#include <sys/socket.h>

#include "web.h"

/* Fields that are no HTTP_ variables: what has a variable of its own, what is between the client and us, what would be
 * taken for a setting of the script's surroundings ("httpoxy"), and secrets. */
static const char *const not_shown[] = {
    "content-length", "content-type",       "connection", "keep-alive", "te",
    "trailer",        "proxy-connection",   "proxy",      "upgrade",    "expect",
    "authorization",  "proxy-authorization"};

static void add(struct fastcgi_out *o, const char *name, const char *value)
{
    fastcgi_param(o, name, strlen(name), value, strlen(value));
}

static void add_text(struct fastcgi_out *o, const char *name, const struct head_text *value)
{
    fastcgi_param(o, name, strlen(name), value->at, value->len);
}

/* HTTP_ and the field's name; false if it has none: two names must not become one. */
static bool variable_of(const struct head_text *field, char *name, size_t size)
{
    static const char prefix[] = "HTTP_";
    size_t n = sizeof prefix - 1;
    for (size_t i = 0; i < sizeof not_shown / sizeof not_shown[0]; i++) {
        if (head_is(field, not_shown[i]))
            return false;
    }
    if (n + field->len + 1 > size)
        return false;
    memcpy(name, prefix, n);
    for (uint32 i = 0; i < field->len; i++) {
        char c = field->at[i];
        if (c >= 'a' && c <= 'z')
            c = (char) (c - 'a' + 'A');
        else if (c == '-')
            c = '_';
        else if (!((c >= 'A' && c <= 'Z') || (c >= '0' && c <= '9')))
            return false;
        name[n++] = c;
    }
    name[n] = '\0';
    return true;
}

static bool same_name(const struct head_text *a, const struct head_text *b)
{
    return a->len == b->len && strncasecmp(a->at, b->at, a->len) == 0;
}

/* The values of all fields with the name of fields[i], as one. */
static void add_field(struct fastcgi_out *o, const struct head *h, uint32 i)
{
    char name[128], value[HEAD_MAX + 2 * HEAD_FIELDS_MAX];
    const struct head_text *field = &h->fields[i].name;
    size_t n = 0;
    for (uint32 k = 0; k < i; k++) {
        if (same_name(&h->fields[k].name, field))
            return; /* it went with that one */
    }
    if (!variable_of(field, name, sizeof name))
        return;
    for (uint32 k = i; k < h->count; k++) {
        const struct head_text *v = &h->fields[k].value;
        if (!same_name(&h->fields[k].name, field))
            continue;
        if (k > i) {
            memcpy(value + n, head_is(field, "cookie") ? "; " : ", ", 2);
            n += 2;
        }
        memcpy(value + n, v->at, v->len); /* all of them are within one head */
        n += v->len;
    }
    fastcgi_param(o, name, strlen(name), value, n);
}

/* The host without its port. */
static void add_server_name(struct fastcgi_out *o, const struct head_text *host)
{
    struct head_text name = *host;
    const char *end = name.len == 0 ? NULL : memchr(name.at, name.at[0] == '[' ? ']' : ':', name.len);
    if (end != NULL)
        name.len = (uint32) (end - name.at) + (*end == ']');
    if (name.len == 0)
        name = (struct head_text){"localhost", 9};
    add_text(o, "SERVER_NAME", &name);
}

static void add_server_port(struct fastcgi_out *o, const CONN *c)
{
    struct sockaddr_storage a = {.ss_family = AF_UNSPEC};
    socklen_t len = sizeof a;
    char port[16] = "80";
    if (getsockname(c->fd, (struct sockaddr *) &a, &len) == 0 && a.ss_family == AF_INET)
        snprintf(port, sizeof port, "%u", ntohs(((struct sockaddr_in *) &a)->sin_port));
    else if (a.ss_family == AF_INET6)
        snprintf(port, sizeof port, "%u", ntohs(((struct sockaddr_in6 *) &a)->sin6_port));
    add(o, "SERVER_PORT", port);
}

static void add_peer(struct fastcgi_out *o, const CONN *c)
{
    char peer[64] = "";
    if (mario_peer(c, peer, sizeof peer) == 0 && strrchr(peer, ':') != NULL)
        *strrchr(peer, ':') = '\0';
    size_t n = strlen(peer);
    bool is_six = n > 1 && peer[0] == '[';
    fastcgi_param(o, "REMOTE_ADDR", 11, peer + is_six, is_six ? n - 2 : n);
    fastcgi_param(o, "REMOTE_HOST", 11, peer + is_six,
                  is_six ? n - 2 : n); /* its name would have to be asked for */
}

static void add_body(struct fastcgi_out *o, const struct head *h)
{
    const struct head_text *type = head_field(h, "content-type");
    char length[24];
    if (h->length > 0) {
        snprintf(length, sizeof length, "%llu", (unsigned long long) h->length);
        add(o, "CONTENT_LENGTH", length);
    }
    if (type != NULL)
        add_text(o, "CONTENT_TYPE", type);
}

static void add_path(struct fastcgi_out *o, const struct script_path *s)
{
    char name[HEAD_TARGET_MAX + 2], below[PATH_MAX + HEAD_TARGET_MAX];
    int n = snprintf(name, sizeof name, "/%.*s", (int) s->info, s->path);
    fastcgi_param(o, "SCRIPT_NAME", 11, name, (size_t) n);
    add(o, "SCRIPT_FILENAME", s->file);
    if (s->path[s->info] == '\0')
        return;
    snprintf(below, sizeof below, "%s%s", files_root(), s->path + s->info);
    add(o, "PATH_INFO", s->path + s->info);
    add(o, "PATH_TRANSLATED", below);
}

void variables_add(struct fastcgi_out *o, CONN *c, const struct head *h, const struct script_path *s)
{
    add(o, "GATEWAY_INTERFACE", "CGI/1.1");
    add(o, "SERVER_SOFTWARE", "mariotcp-web");
    add(o, "SERVER_PROTOCOL", h->minor == 1 ? "HTTP/1.1" : "HTTP/1.0");
    add(o, "PATH", "/usr/local/bin:/usr/bin:/bin");
    add_text(o, "REQUEST_METHOD", &h->method);
    add_text(o, "QUERY_STRING", &h->query);
    add_server_name(o, &h->host);
    add_server_port(o, c);
    add_peer(o, c);
    add_body(o, h);
    add_path(o, s);
    for (uint32 i = 0; i < h->count; i++)
        add_field(o, h, i);
}
