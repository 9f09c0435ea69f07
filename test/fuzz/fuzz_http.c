/*
 * fuzz_http.c: a libFuzzer target for the head of an HTTP request (mario/frame/http_head.h). Built and run by ./run.
 *
 * Input: two bytes say where the request is cut, then the request. Each call sees a heap block of exactly the bytes it
 * was told of. What must hold: a whole head is what a second reading of it, by regular expressions line by line,
 * says; a part of a good one is neither good nor bad; what a part was refused for, the whole is refused for.
 */
#include "mario/frame/http_head.h"

#include <regex.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <strings.h>

int LLVMFuzzerInitialize(int *argc, char ***argv);
int LLVMFuzzerTestOneInput(const uint8_t *input, size_t size);

static regex_t request, field, close_word, keep_word, number;

static void compile(regex_t *r, const char *text, int flags)
{
    if (regcomp(r, text, REG_EXTENDED | flags) != 0)
        abort();
}

int LLVMFuzzerInitialize(int *argc, char ***argv)
{
    (void) argc;
    (void) argv;
    compile(&request, "^([!#$%&'*+.^_`|~0-9A-Za-z-]{1,16}) (/[!-\"$-~]*) HTTP/([0-9])\\.([0-9])$", 0);
    compile(&field, "^([!#$%&'*+.^_`|~0-9A-Za-z-]+):[ \t]*(.*)$", 0);
    compile(&close_word, "(^|,)[ \t]*close[ \t]*(,|$)", REG_ICASE | REG_NOSUB);
    compile(&keep_word, "(^|,)[ \t]*keep-alive[ \t]*(,|$)", REG_ICASE | REG_NOSUB);
    compile(&number, "^[0-9]{1,10}$", REG_NOSUB);
    return 0;
}

/* ---- The second reading ---- */

struct reading {
    int status;
    uint32_t fields, minor;
    size_t size, method, target; /* bytes */
    uint64_t length;
    bool closes, keeps, has_host;
    char seen[HTTP_FIELDS_MAX][32];
};

static bool is_single(const char *name)
{
    static const char *const names[] = {
        "host",   "content-length", "content-type",      "authorization",         "origin",
        "expect", "sec-fetch-site", "sec-websocket-key", "sec-websocket-version", "transfer-encoding"};
    for (size_t i = 0; i < sizeof names / sizeof names[0]; i++) {
        if (strcasecmp(name, names[i]) == 0)
            return true;
    }
    return false;
}

static bool was_seen(const struct reading *r, const char *name)
{
    for (uint32_t i = 0; i < r->fields; i++) {
        if (strcasecmp(r->seen[i], name) == 0)
            return true;
    }
    return false;
}

static int read_request(const char *line, struct reading *r)
{
    regmatch_t m[5];
    if (regexec(&request, line, 5, m, 0) != 0)
        return 400;
    r->method = (size_t) (m[1].rm_eo - m[1].rm_so);
    r->target = (size_t) (m[2].rm_eo - m[2].rm_so);
    r->minor = (uint32_t) (line[m[4].rm_so] - '0');
    return line[m[3].rm_so] == '1' && r->minor <= 1 ? 200 : 505;
}

static int read_field(char *line, struct reading *r)
{
    regmatch_t m[3];
    char name[32];
    if (regexec(&field, line, 3, m, 0) != 0)
        return 400;
    char *value = line + m[2].rm_so;
    for (size_t n = strlen(value); n > 0 && (value[n - 1] == ' ' || value[n - 1] == '\t'); n--)
        value[n - 1] = '\0';
    snprintf(name, sizeof name, "%.*s", (int) m[1].rm_eo, line);
    if (is_single(name) && was_seen(r, name))
        return 400;
    if (r->fields == HTTP_FIELDS_MAX)
        return 431;
    snprintf(r->seen[r->fields++], sizeof r->seen[0], "%s", name);
    r->has_host = r->has_host || strcasecmp(name, "host") == 0;
    if (strcasecmp(name, "connection") == 0) {
        r->closes = r->closes || regexec(&close_word, value, 0, NULL, 0) == 0;
        r->keeps = r->keeps || regexec(&keep_word, value, 0, NULL, 0) == 0;
    }
    if (strcasecmp(name, "content-length") == 0)
        r->length = regexec(&number, value, 0, NULL, 0) == 0 ? strtoull(value, NULL, 10) : UINT64_MAX;
    return 200;
}

static bool has_control(const char *line, size_t n)
{
    for (size_t i = 0; i < n; i++) {
        unsigned char c = (unsigned char) line[i];
        if ((c < ' ' && c != '\t') || c == 127)
            return true;
    }
    return false;
}

/* One with its end. */
static void read_again(const char *text, size_t size, struct reading *r)
{
    static char line[HTTP_HEAD_MAX + 1];
    bool first = true;
    memset(r, 0, sizeof *r);
    r->status = 200;
    r->size = size;
    for (const char *at = text; r->status == 200 && at < text + size - 2; first = false) {
        const char *end = memmem(at, (size_t) (text + size - at), "\r\n", 2);
        size_t n = (size_t) (end - at);
        memcpy(line, at, n);
        line[n] = '\0';
        r->status = has_control(line, n) ? 400 : first ? read_request(line, r) : read_field(line, r);
        at = end + 2;
    }
    if (r->status == 200 &&
        (was_seen(r, "transfer-encoding") || r->length == UINT64_MAX || (r->minor == 1 && !r->has_host)))
        r->status = 400;
}

/* ---- The target ---- */

static int parse(const uint8_t *bytes, size_t n, struct http_head *h)
{
    char *block = malloc(n > 0 ? n : 1);
    if (block == NULL)
        abort();
    memcpy(block, bytes, n);
    int rc = http_head_parse(block, n, h);
    free(block);
    return rc;
}

static void must(bool holds, const char *what)
{
    if (!holds) {
        fprintf(stderr, "fuzz_http: %s\n", what);
        abort();
    }
}

int LLVMFuzzerTestOneInput(const uint8_t *input, size_t size)
{
    struct http_head h, part;
    struct reading r;
    if (size < 2)
        return 0;
    const uint8_t *text = input + 2;
    size_t n = size - 2, cut = n == 0 ? 0 : (size_t) (input[0] << 8 | input[1]) % n;
    int whole = parse(text, n, &h), some = parse(text, cut, &part);
    must(whole == HTTP_MORE || whole == HTTP_GOOD || whole == 400 || whole == 431 || whole == 505,
         "what answer is that");
    must(some == HTTP_MORE || some == whole, "a part is read otherwise than the whole");
    size_t seen = n < HTTP_HEAD_MAX ? n : HTTP_HEAD_MAX;
    const uint8_t *end = memmem(text, seen, "\r\n\r\n", 4);
    if (end == NULL) {
        must(whole != HTTP_GOOD, "a head without its end");
        return 0;
    }
    read_again((const char *) text, (size_t) (end - text) + 4, &r);
    must(whole == r.status, "the second reading says otherwise");
    if (whole != HTTP_GOOD)
        return 0;
    must(h.size == r.size && h.count == r.fields && h.length == r.length && h.minor == r.minor, "sizes");
    must(h.method.len == r.method && h.target.len == r.target, "method and target");
    must(h.keep_alive == (!r.closes && (r.minor == 1 || r.keeps)), "whether it stays");
    must(some == HTTP_MORE || cut >= h.size, "good without its end");
    return 0;
}
