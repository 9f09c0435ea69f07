/*
 * head.c: the head of an HTTP/1 request. Pure; any thread.
 */
#include "head.h"

#include <string.h>

enum { BAD = 400, BODY_TOO_LARGE = 413, TARGET_TOO_LONG = 414, CANNOT_EXPECT = 417, TOO_LARGE = 431 };
enum { NOT_IMPLEMENTED = 501, OTHER_VERSION = 505, LENGTH_DIGITS = 18 };

/* Fields that may come once only, since they say what the request is, for whom, or how it goes on. */
static const char *const singles[] = {"host",   "content-length", "content-type",      "authorization",
                                      "expect", "range",          "transfer-encoding", "if-range"};

/* ---- Text ---- */

static char lower(char c)
{
    return c >= 'A' && c <= 'Z' ? (char) (c - 'A' + 'a') : c;
}

bool head_is(const struct head_text *t, const char *text)
{
    uint32_t i = 0;
    while (i < t->len && text[i] != '\0' && lower(t->at[i]) == text[i])
        i++;
    return i == t->len && text[i] == '\0';
}

bool head_equals(const struct head_text *t, const char *text)
{
    return strlen(text) == t->len && memcmp(t->at, text, t->len) == 0;
}

static bool is_blank(char c)
{
    return c == ' ' || c == '\t';
}

static struct head_text trim(struct head_text t)
{
    while (t.len > 0 && is_blank(t.at[0]))
        t.at++, t.len--;
    while (t.len > 0 && is_blank(t.at[t.len - 1]))
        t.len--;
    return t;
}

/* Up to the first `mark`, which is skipped; all if there is none. */
static struct head_text take(struct head_text *rest, char mark)
{
    const char *found = rest->len > 0 ? memchr(rest->at, mark, rest->len) : NULL;
    uint32_t len = found != NULL ? (uint32_t) (found - rest->at) : rest->len;
    struct head_text part = {rest->at, len};
    len += found != NULL;
    *rest = (struct head_text){rest->at + len, rest->len - len};
    return part;
}

bool head_next_in_list(struct head_text *rest, struct head_text *one)
{
    if (rest->len == 0)
        return false;
    *one = trim(take(rest, ','));
    return true;
}

static bool is_alnum(char c)
{
    return (c >= 'a' && c <= 'z') || (c >= 'A' && c <= 'Z') || (c >= '0' && c <= '9');
}

static bool is_token(const struct head_text *t)
{
    for (uint32_t i = 0; i < t->len; i++) {
        if (!is_alnum(t->at[i]) && (t->at[i] == '\0' || strchr("!#$%&'*+-.^_`|~", t->at[i]) == NULL))
            return false;
    }
    return t->len > 0;
}

/* A name or an address, and perhaps a port. */
static bool is_authority(const struct head_text *t)
{
    for (uint32_t i = 0; i < t->len; i++) {
        if (!is_alnum(t->at[i]) && (t->at[i] == '\0' || strchr("-._~:[]", t->at[i]) == NULL))
            return false;
    }
    return true;
}

const struct head_text *head_field(const struct head *h, const char *name)
{
    for (uint32_t i = 0; i < h->count; i++) {
        if (head_is(&h->fields[i].name, name))
            return &h->fields[i].value;
    }
    return NULL;
}

/* ---- Where it ends ---- */

static bool is_control(char c)
{
    return ((unsigned char) c < ' ' && c != '\t') || c == 0x7f;
}

int head_find(const char *bytes, uint32_t n, uint32_t seen, uint32_t *line, uint32_t *size)
{
    uint32_t end = n < HEAD_MAX ? n : HEAD_MAX;
    for (uint32_t i = seen; i < end; i++) {
        if (i > 0 && bytes[i - 1] == '\r' && bytes[i] != '\n')
            return BAD;
        if (bytes[i] == '\r' || !is_control(bytes[i]))
            continue;
        if (bytes[i] != '\n' || i == 0 || bytes[i - 1] != '\r')
            return BAD;
        if (*line == 0)
            *line = i - 1;
        else if (bytes[i - 2] == '\n') { /* i >= 3: a line stands before */
            *size = i + 1;
            return HEAD_GOOD;
        }
    }
    if ((*line == 0 ? end : *line) > HEAD_LINE_MAX)
        return TARGET_TOO_LONG;
    return n >= HEAD_MAX ? TOO_LARGE : HEAD_MORE;
}

/* ---- The request line ---- */

/* http://HOST/PATH: what a client asks a proxy, and may ask anybody. */
static int parse_absolute(struct head_text *target, struct head *h)
{
    static const char scheme[] = "http://";
    enum { SCHEME = sizeof scheme - 1 };
    struct head_text start = {target->at, SCHEME};
    if (target->len <= SCHEME || !head_is(&start, scheme))
        return BAD;
    uint32_t end = SCHEME;
    while (end < target->len && target->at[end] != '/' && target->at[end] != '?')
        end++;
    h->host = (struct head_text){target->at + SCHEME, end - SCHEME};
    *target = (struct head_text){target->at + end, target->len - end};
    if (target->len == 0)
        *target = (struct head_text){"/", 1};
    return h->host.len == 0 || target->at[0] != '/' ? BAD : HEAD_GOOD;
}

static int parse_target(struct head_text target, struct head *h)
{
    if (target.len > HEAD_TARGET_MAX)
        return TARGET_TOO_LONG;
    for (uint32_t i = 0; i < target.len; i++) {
        if (target.at[i] < '!' || target.at[i] > '~' || target.at[i] == '#')
            return BAD;
    }
    if (target.len == 0)
        return BAD;
    int rc = target.at[0] == '/' ? HEAD_GOOD : parse_absolute(&target, h);
    h->path = take(&target, '?');
    h->query = target;
    return rc;
}

static int parse_version(const struct head_text *version, struct head *h)
{
    static const char name[] = "HTTP/";
    enum { NAME = sizeof name - 1, ALL = NAME + 3 };
    const char *v = version->at;
    if (version->len != ALL || memcmp(v, name, NAME) != 0 || v[NAME] < '0' || v[NAME] > '9' ||
        v[NAME + 1] != '.' || v[NAME + 2] < '0' || v[NAME + 2] > '9')
        return BAD;
    h->minor = (uint32_t) (v[NAME + 2] - '0');
    return v[NAME] != '1' || h->minor > 1 ? OTHER_VERSION : HEAD_GOOD;
}

static int parse_request(struct head_text line, struct head *h)
{
    h->method = take(&line, ' ');
    if (h->method.len > HEAD_METHOD_MAX || !is_token(&h->method))
        return BAD;
    int rc = parse_target(take(&line, ' '), h);
    return rc == HEAD_GOOD ? parse_version(&line, h) : rc;
}

/* ---- Fields ---- */

bool head_split_field(struct head_text line, struct head_field *f)
{
    f->name = take(&line, ':');
    f->value = trim(line);
    /* No colon, a blank before it, a folded line. */
    return f->name.at + f->name.len != line.at && is_token(&f->name);
}

static int parse_field(struct head_text line, struct head *h)
{
    struct head_field f;
    if (!head_split_field(line, &f))
        return BAD;
    for (size_t i = 0; i < sizeof singles / sizeof singles[0]; i++) {
        if (head_is(&f.name, singles[i]) && head_field(h, singles[i]) != NULL)
            return BAD;
    }
    if (h->count == HEAD_FIELDS_MAX)
        return TOO_LARGE;
    h->fields[h->count++] = f;
    return HEAD_GOOD;
}

static int parse_host(struct head *h)
{
    const struct head_text *host = head_field(h, "host");
    if (host == NULL)
        return h->minor == 1 ? BAD : HEAD_GOOD;
    if (h->host.len == 0)
        h->host = *host;
    return is_authority(host) && is_authority(&h->host) ? HEAD_GOOD : BAD;
}

static int parse_length(struct head *h)
{
    const struct head_text *text = head_field(h, "content-length");
    const struct head_text *coding = head_field(h, "transfer-encoding");
    if (coding != NULL)
        return text != NULL || h->minor == 0 ? BAD : NOT_IMPLEMENTED;
    if (text == NULL)
        return HEAD_GOOD;
    for (uint32_t i = 0; i < text->len; i++) {
        if (text->at[i] < '0' || text->at[i] > '9')
            return BAD;
        if (i < LENGTH_DIGITS)
            h->length = h->length * 10 + (uint64_t) (text->at[i] - '0');
    }
    return text->len == 0 ? BAD : text->len > LENGTH_DIGITS ? BODY_TOO_LARGE : HEAD_GOOD;
}

/* Connection may come more than once, and is a list. */
static bool says_close(const struct head *h)
{
    for (uint32_t i = 0; i < h->count; i++) {
        struct head_text rest = h->fields[i].value, one;
        while (head_is(&h->fields[i].name, "connection") && head_next_in_list(&rest, &one)) {
            if (head_is(&one, "close"))
                return true;
        }
    }
    return false;
}

static int finish(struct head *h)
{
    const struct head_text *expect = head_field(h, "expect");
    int rc = parse_host(h);
    if (rc == HEAD_GOOD)
        rc = parse_length(h);
    h->keep = h->minor == 1 && !says_close(h);
    h->expects = expect != NULL && h->minor == 1;
    return rc == HEAD_GOOD && h->expects && !head_is(expect, "100-continue") ? CANNOT_EXPECT : rc;
}

int head_parse(const char *bytes, uint32_t n, struct head *h)
{
    struct head_text rest = {bytes, n};
    memset(h, 0, offsetof(struct head, fields));
    for (bool first = true; rest.len >= 2; first = false) {
        struct head_text line = take(&rest, '\n');
        if (line.len == 0 || line.at[line.len - 1] != '\r')
            return BAD;
        line.len--;
        if (line.len == 0) {
            h->size = (uint32_t) (rest.at - bytes);
            return first ? BAD : finish(h);
        }
        int rc = first ? parse_request(line, h) : parse_field(line, h);
        if (rc != HEAD_GOOD)
            return rc;
    }
    return BAD;
}
