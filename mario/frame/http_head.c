/*
 * http_head.c: the head of an HTTP/1 request. Pure; any thread.
 */
#include "mario/frame/http_head.h"

#include <string.h>

enum { METHOD_MAX = 16, BAD = 400, TOO_LARGE = 431, OTHER_VERSION = 505, LENGTH_DIGITS = 10 };

/* Fields that may come once only, since they say what the request is, for whom, or how it goes on. */
static const char *const singles[] = {
    "host",           "content-length", "content-type",      "authorization",         "origin",
    "sec-fetch-site", "expect",         "sec-websocket-key", "sec-websocket-version", "transfer-encoding"};

bool http_is_token(unsigned char c)
{
    if ((c >= 'a' && c <= 'z') || (c >= 'A' && c <= 'Z') || (c >= '0' && c <= '9'))
        return true;
    return c != '\0' && strchr("!#$%&'*+-.^_`|~", c) != NULL;
}

static char lower(char c)
{
    return c >= 'A' && c <= 'Z' ? (char) (c - 'A' + 'a') : c;
}

bool http_is(const struct http_text *t, const char *text)
{
    uint32_t i = 0;
    while (i < t->len && text[i] != '\0' && lower(t->at[i]) == text[i])
        i++;
    return i == t->len && text[i] == '\0';
}

static bool is_blank(char c)
{
    return c == ' ' || c == '\t';
}

static struct http_text trim(struct http_text t)
{
    while (t.len > 0 && is_blank(t.at[0]))
        t.at++, t.len--;
    while (t.len > 0 && is_blank(t.at[t.len - 1]))
        t.len--;
    return t;
}

struct http_text http_next(struct http_text *rest)
{
    const char *comma = memchr(rest->at, ',', rest->len);
    uint32_t len = comma != NULL ? (uint32_t) (comma - rest->at) : rest->len;
    struct http_text one = trim((struct http_text){rest->at, len});
    len += comma != NULL;
    *rest = (struct http_text){rest->at + len, rest->len - len};
    return one;
}

bool http_lists(const struct http_text *t, const char *word)
{
    struct http_text rest = *t;
    while (rest.len > 0) {
        struct http_text one = http_next(&rest);
        if (http_is(&one, word))
            return true;
    }
    return false;
}

const struct http_text *http_field(const struct http_head *h, const char *name)
{
    for (uint32_t i = 0; i < h->count; i++) {
        if (http_is(&h->fields[i].name, name))
            return &h->fields[i].value;
    }
    return NULL;
}

bool http_names(const struct http_head *h, const char *name, const char *word)
{
    for (uint32_t i = 0; i < h->count; i++) {
        if (http_is(&h->fields[i].name, name) && http_lists(&h->fields[i].value, word))
            return true;
    }
    return false;
}

/* ---- Lines ---- */

/* The line that begins at *at, without its CR LF; *at goes behind it. HTTP_GOOD, HTTP_MORE, or a status. */
static int next_line(const char *bytes, size_t n, size_t *at, struct http_text *line)
{
    for (size_t i = *at; i < n; i++) {
        unsigned char c = (unsigned char) bytes[i];
        if (c == '\r' && i + 1 == n)
            return HTTP_MORE;
        if (c == '\r' && bytes[i + 1] == '\n') {
            *line = (struct http_text){bytes + *at, (uint32_t) (i - *at)};
            *at = i + 2;
            return HTTP_GOOD;
        }
        if ((c < ' ' && c != '\t') || c == 0x7f) /* a bare CR or LF is one of them */
            return BAD;
    }
    return HTTP_MORE;
}

/* Up to the next blank, which is skipped. */
static struct http_text take_word(struct http_text *line)
{
    const char *blank = memchr(line->at, ' ', line->len);
    uint32_t len = blank != NULL ? (uint32_t) (blank - line->at) : line->len;
    struct http_text word = {line->at, len};
    len += blank != NULL;
    *line = (struct http_text){line->at + len, line->len - len};
    return word;
}

static int parse_version(const struct http_text *version, struct http_head *h)
{
    static const char name[] = "HTTP/";
    enum { NAME = sizeof name - 1, ALL = NAME + 3 };
    const char *v = version->at;
    if (version->len != ALL || memcmp(v, name, NAME) != 0 || v[NAME] < '0' || v[NAME] > '9' ||
        v[NAME + 1] != '.' || v[NAME + 2] < '0' || v[NAME + 2] > '9')
        return BAD;
    h->minor = (uint32_t) (v[NAME + 2] - '0');
    return v[NAME] != '1' || h->minor > 1 ? OTHER_VERSION : HTTP_GOOD;
}

static int parse_request(struct http_text line, struct http_head *h)
{
    h->method = take_word(&line);
    h->target = take_word(&line);
    if (h->method.len == 0 || h->method.len > METHOD_MAX || h->target.len == 0 || h->target.at[0] != '/')
        return BAD;
    for (uint32_t i = 0; i < h->method.len; i++) {
        if (!http_is_token((unsigned char) h->method.at[i]))
            return BAD;
    }
    for (uint32_t i = 0; i < h->target.len; i++) {
        if (h->target.at[i] < '!' || h->target.at[i] > '~' || h->target.at[i] == '#')
            return BAD;
    }
    return parse_version(&line, h);
}

static int parse_field(struct http_text line, struct http_head *h)
{
    const char *colon = memchr(line.at, ':', line.len);
    if (colon == NULL || colon == line.at)
        return BAD;
    struct http_field f = {.name = {line.at, (uint32_t) (colon - line.at)}};
    for (uint32_t i = 0; i < f.name.len; i++) {
        if (!http_is_token((unsigned char) f.name.at[i])) /* a blank before the colon, a folded line */
            return BAD;
    }
    f.value = trim((struct http_text){colon + 1, line.len - f.name.len - 1});
    for (size_t i = 0; i < sizeof singles / sizeof singles[0]; i++) {
        if (http_is(&f.name, singles[i]) && http_field(h, singles[i]) != NULL)
            return BAD;
    }
    if (h->count == HTTP_FIELDS_MAX)
        return TOO_LARGE;
    h->fields[h->count++] = f;
    return HTTP_GOOD;
}

/* ---- What the fields say of the rest ---- */

static bool parse_length(struct http_head *h)
{
    const struct http_text *text = http_field(h, "content-length");
    if (text == NULL)
        return true;
    if (text->len == 0 || text->len > LENGTH_DIGITS)
        return false;
    for (uint32_t i = 0; i < text->len; i++) {
        if (text->at[i] < '0' || text->at[i] > '9')
            return false;
        h->length = h->length * 10 + (uint64_t) (text->at[i] - '0');
    }
    return true;
}

static int finish(struct http_head *h)
{
    if (http_field(h, "transfer-encoding") != NULL || !parse_length(h))
        return BAD;
    if (h->minor == 1 && http_field(h, "host") == NULL)
        return BAD;
    h->keep_alive =
        !http_names(h, "connection", "close") && (h->minor == 1 || http_names(h, "connection", "keep-alive"));
    return HTTP_GOOD;
}

int http_head_parse(const char *bytes, size_t n, struct http_head *h)
{
    size_t at = 0, seen = n < HTTP_HEAD_MAX ? n : HTTP_HEAD_MAX;
    struct http_text line;
    h->count = 0;
    h->length = 0;
    int rc = next_line(bytes, seen, &at, &line);
    if (rc == HTTP_GOOD)
        rc = parse_request(line, h);
    while (rc == HTTP_GOOD) {
        rc = next_line(bytes, seen, &at, &line);
        if (rc == HTTP_GOOD && line.len == 0) {
            h->size = (uint32_t) at;
            return finish(h);
        }
        if (rc == HTTP_GOOD)
            rc = parse_field(line, h);
    }
    return rc == HTTP_MORE && n >= HTTP_HEAD_MAX ? TOO_LARGE : rc;
}
