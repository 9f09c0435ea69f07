/*
 * path.c: paths, ranges and tags. Pure; any thread.
 */
#include "path.h"

#include <string.h>

static int hex(char c)
{
    if (c >= '0' && c <= '9')
        return c - '0';
    if (c >= 'a' && c <= 'f')
        return c - 'a' + 10;
    return c >= 'A' && c <= 'F' ? c - 'A' + 10 : -1;
}

/* The byte at raw[*i], decoded if it is escaped; *i goes behind it. -1: a wrong escape. */
static int next_byte(const struct head_text *raw, uint32_t *i)
{
    char c = raw->at[(*i)++];
    if (c != '%')
        return (unsigned char) c;
    if (raw->len - *i < 2)
        return -1;
    int high = hex(raw->at[*i]), low = hex(raw->at[*i + 1]);
    *i += 2;
    return high < 0 || low < 0 ? -1 : high << 4 | low;
}

int path_decode(const struct head_text *raw, char *out)
{
    uint32_t n = 0;
    bool begins = true; /* a part does */
    for (uint32_t i = 1; i < raw->len;) {
        bool is_slash = raw->at[i] == '/';
        int c = next_byte(raw, &i);
        if (c < ' ' || c == 0x7f)
            return 400;
        if ((c == '/' && (!is_slash || begins)) || (c == '.' && begins))
            return 404;
        begins = is_slash;
        out[n++] = (char) c;
    }
    out[n] = '\0';
    return 200;
}

const char *path_type(const char *path)
{
    static const struct {
        const char *end, *type;
    } types[] = {
        {".html", "text/html; charset=utf-8"},
        {".css", "text/css; charset=utf-8"},
        {".js", "text/javascript; charset=utf-8"},
        {".json", "application/json"},
        {".txt", "text/plain; charset=utf-8"},
        {".md", "text/plain; charset=utf-8"},
        {".xml", "application/xml"},
        {".svg", "image/svg+xml"},
        {".png", "image/png"},
        {".jpg", "image/jpeg"},
        {".gif", "image/gif"},
        {".webp", "image/webp"},
        {".ico", "image/vnd.microsoft.icon"},
        {".woff2", "font/woff2"},
        {".wasm", "application/wasm"},
        {".pdf", "application/pdf"},
    };
    const char *end = strrchr(path, '.');
    for (size_t i = 0; end != NULL && i < sizeof types / sizeof types[0]; i++) {
        if (strcmp(end, types[i].end) == 0)
            return types[i].type;
    }
    return "application/octet-stream";
}

/* The number at the beginning of t, which goes behind its digits; beyond what fits it stays at the largest. False
 * without a digit. */
static bool take_number(struct head_text *t, uint64_t *value)
{
    bool any = false;
    for (*value = 0; t->len > 0 && t->at[0] >= '0' && t->at[0] <= '9'; t->at++, t->len--) {
        uint64_t digit = (uint64_t) (t->at[0] - '0');
        *value = *value > (UINT64_MAX - digit) / 10 ? UINT64_MAX : *value * 10 + digit;
        any = true;
    }
    return any;
}

int path_range(const struct head_text *range, uint64_t size, uint64_t *first, uint64_t *last)
{
    static const char unit[] = "bytes=";
    enum { UNIT = sizeof unit - 1 };
    struct head_text start = {range->at, UNIT};
    if (range->len < UNIT || !head_is(&start, unit))
        return 200;
    struct head_text t = {range->at + UNIT, range->len - UNIT};
    bool has_first = take_number(&t, first);
    if (t.len == 0 || t.at[0] != '-')
        return 200;
    t = (struct head_text){t.at + 1, t.len - 1};
    bool has_last = take_number(&t, last);
    if (t.len != 0 || (!has_first && !has_last) || (has_first && has_last && *first > *last))
        return 200;
    if (!has_first) { /* the last bytes */
        if (*last == 0 || size == 0)
            return 416;
        *first = *last < size ? size - *last : 0;
        has_last = false;
    }
    if (*first >= size)
        return 416;
    if (!has_last || *last >= size)
        *last = size - 1;
    return 206;
}

bool path_has_tag(const struct head_text *list, const char *tag)
{
    struct head_text rest = *list, one;
    while (head_next_in_list(&rest, &one)) {
        if (one.len > 2 && one.at[0] == 'W' && one.at[1] == '/')
            one = (struct head_text){one.at + 2, one.len - 2};
        if (head_equals(&one, tag) || head_equals(&one, "*"))
            return true;
    }
    return false;
}
