/*
 * http_judge.c: whether a request is looked at. Pure; the hosts are set before start.
 */
#include "mario/admin/http.h"

#include <stdio.h>
#include <string.h>

#include "mario/admin/words.h"
#include "mario/base/text.h"

enum { HOSTS_MAX = 16, HOST_ROOM = 1024 };

enum { FORBIDDEN = 403, NO_METHOD = 405, BODY_TOO_LARGE = 413, NO_JSON = 415, NO_EXPECT = 417 };

struct hosts {
    char text[HOST_ROOM];
    const char *name[HOSTS_MAX];
    uint32_t count;
};

static struct hosts hosts; /* before start (w), then constant */

/* A name, an IPv4 address, an IPv6 one in brackets; without a port. */
static bool is_host(const char *h)
{
    size_t n = strlen(h), in = n > 2 && h[0] == '[' && h[n - 1] == ']' ? 1 : 0;
    if (in == 1)
        return strspn(h + 1, "0123456789abcdef:.") == n - 2;
    return n > 0 && strspn(h, "abcdefghijklmnopqrstuvwxyz0123456789-._") == n;
}

static bool parse(struct hosts *h, const char *list, char *why, size_t why_size)
{
    char *rest = h->text, *entry;
    size_t n = strlen(list);
    h->count = 0;
    if (n >= sizeof h->text) {
        snprintf(why, why_size, "a list longer than %zu bytes", sizeof h->text - 1);
        return false;
    }
    for (size_t i = 0; i <= n; i++)
        h->text[i] = list[i] >= 'A' && list[i] <= 'Z' ? (char) (list[i] - 'A' + 'a') : list[i];
    while ((entry = strsep(&rest, ",")) != NULL) {
        entry = text_trim(entry);
        if (h->count == HOSTS_MAX || !is_host(entry)) {
            snprintf(why, why_size, "'%.64s': %s", entry,
                     h->count == HOSTS_MAX ? "too many hosts (allowed: 16)"
                                           : "not a host's name or address, without a port");
            return false;
        }
        h->name[h->count++] = entry;
    }
    return true;
}

bool hosts_set(const char *list, char *why, size_t why_size)
{
    return parse(&hosts, list, why, why_size);
}

bool hosts_check(const char *list, char *why, size_t why_size)
{
    struct hosts h = {.count = 0};
    return parse(&h, list, why, why_size);
}

/* A host with its port, if there is one. */
static bool is_ours(const struct http_text *host)
{
    struct http_text name = *host;
    uint32_t at = name.len;
    while (at > 0 && name.at[at - 1] >= '0' && name.at[at - 1] <= '9')
        at--;
    if (at > 0 && name.at[at - 1] == ':')
        name.len = at - 1;
    for (uint32_t i = 0; i < hosts.count; i++) {
        if (http_is(&name, hosts.name[i]))
            return true;
    }
    return false;
}

/* An origin is ours if it is the host that was asked for. */
static bool is_own_origin(const struct http_text *origin, const struct http_text *host)
{
    static const char *const schemes[] = {"http://", "https://"};
    for (size_t i = 0; i < 2; i++) {
        size_t n = strlen(schemes[i]);
        if (origin->len == n + host->len && memcmp(origin->at, schemes[i], n) == 0 &&
            memcmp(origin->at + n, host->at, host->len) == 0)
            return true;
    }
    return false;
}

/* application/json, with parameters or not. */
static bool is_json(const struct http_text *type)
{
    if (type == NULL)
        return false;
    const char *end = memchr(type->at, ';', type->len);
    struct http_text name = {type->at, end != NULL ? (uint32_t) (end - type->at) : type->len};
    while (name.len > 0 && name.at[name.len - 1] == ' ')
        name.len--;
    return http_is(&name, "application/json");
}

int http_judge(const struct http_head *h, const char **why)
{
    const struct http_text *host = http_field(h, "host"), *origin = http_field(h, "origin");
    const struct http_text *site = http_field(h, "sec-fetch-site");
    bool post = h->method.len == 4 && memcmp(h->method.at, "POST", 4) == 0;
    if (h->length > LINE_BYTES) {
        *why = "a body of more than 4096 bytes";
        return BODY_TOO_LARGE;
    }
    if (http_field(h, "expect") != NULL) {
        *why = "Expect is not supported";
        return NO_EXPECT;
    }
    if (host == NULL || !is_ours(host)) {
        *why = "its Host is not in admin.hosts";
        return FORBIDDEN;
    }
    if ((origin != NULL && !is_own_origin(origin, host)) ||
        (site != NULL && !http_is(site, "same-origin") && !http_is(site, "none"))) {
        *why = "it is sent by a page of somebody else";
        return FORBIDDEN;
    }
    if (post && !is_json(http_field(h, "content-type"))) {
        *why = "a POST that is not application/json";
        return NO_JSON;
    }
    if (!post && !(h->method.len == 3 && memcmp(h->method.at, "GET", 3) == 0) &&
        !(h->method.len == 4 && memcmp(h->method.at, "HEAD", 4) == 0)) {
        *why = "only GET, HEAD and POST are known here";
        return NO_METHOD;
    }
    *why = NULL;
    return HTTP_GOOD;
}
