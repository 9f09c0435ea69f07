/*
 * fuzz_web.c: a libFuzzer target for what example/web reads of strangers: heads of requests, paths, ranges, tags, heads
 * of scripts' answers, records of FastCGI. Built and run by ./run.
 *
 * Input: a byte that says what it is, two that say where it is cut, then the text. Each call sees a heap block of
 * exactly the bytes it was told of. What must hold: in two pieces it is what it is in one; of a head the library's own
 * parser (mario/frame/http_head.h), written for other purposes, says the same where both are to; a path that is served
 * leads nowhere else; a range lies within the file; what is handed on of a script has no control bytes. /
 */
#include "example/web/fastcgi.h"
#include "example/web/path.h"
#include "example/web/script.h"
#include "mario/frame/http_head.h"

#include <stdio.h>
#include <stdlib.h>
#include <string.h>

int LLVMFuzzerTestOneInput(const uint8_t *input, size_t size);

static void must(bool holds, const char *what)
{
    if (!holds) {
        fprintf(stderr, "fuzz_web: %s\n", what);
        abort();
    }
}

static char *copy(const uint8_t *bytes, size_t n)
{
    char *block = malloc(n > 0 ? n : 1);
    if (block == NULL)
        abort();
    memcpy(block, bytes, n);
    return block;
}

/* ---- Heads ---- */

static int find(const uint8_t *text, size_t n, uint32_t seen, uint32_t *line, uint32_t *size)
{
    char *block = copy(text, n);
    int rc = head_find(block, (uint32_t) n, seen, line, size);
    free(block);
    return rc;
}

/* Fields that one of the parsers takes once only, and the other does not mind. */
static const char *const ours_once[] = {"range", "if-range"};
static const char *const theirs_once[] = {"origin", "sec-fetch-site", "sec-websocket-key",
                                          "sec-websocket-version"};

/* Whether the library refuses what is good here: fields that come twice, a length that is too large for it. */
static bool is_only_theirs(const struct head *h)
{
    const struct head_text *length = head_field(h, "content-length");
    uint32_t found[4] = {0};
    bool twice = false;
    for (uint32_t i = 0; i < 4 * h->count; i++) {
        found[i % 4] += head_is(&h->fields[i / 4].name, theirs_once[i % 4]);
        twice = twice || found[i % 4] > 1;
    }
    return twice || (length != NULL && length->len > 10);
}

/* Whether it is good for the library, and not here: fields that come twice, a host that cannot be one. */
static bool is_only_ours(const struct http_head *l)
{
    static const char host[] = "abcdefghijklmnopqrstuvwxyzABCDEFGHIJKLMNOPQRSTUVWXYZ0123456789-._~:[]";
    uint32_t found[2] = {0};
    for (uint32_t i = 0; i < l->count; i++) {
        const struct http_text *v = &l->fields[i].value;
        for (uint32_t k = 0; k < v->len && http_is(&l->fields[i].name, "host"); k++) {
            if (v->at[k] == '\0' || strchr(host, v->at[k]) == NULL)
                return true;
        }
        for (uint32_t k = 0; k < 2; k++)
            found[k] += http_is(&l->fields[i].name, ours_once[k]);
    }
    return found[0] > 1 || found[1] > 1;
}

static void check_head(const char *block, uint32_t size)
{
    struct head h;
    struct http_head l;
    int rc = head_parse(block, size, &h), theirs = http_head_parse(block, size, &l);
    must(rc == HEAD_GOOD || (rc >= 400 && rc <= 505), "what answer is that");
    must(theirs != HTTP_MORE, "its end is none to the other");
    if (rc != HEAD_GOOD) {
        must(theirs != HTTP_GOOD || rc == 417 || rc == 414 || is_only_ours(&l), "the other one takes it");
        return;
    }
    must(h.size == size && h.path.len > 0 && h.path.at[0] == '/', "sizes");
    if (is_only_theirs(&h) || h.method.at + h.method.len + 1 != h.path.at) /* in absolute form */
        return;
    must(theirs == HTTP_GOOD, "the other one refuses it");
    must(h.count == l.count && h.length == l.length && h.minor == l.minor && h.size == l.size, "numbers");
    must(h.method.len == l.method.len && h.path.at == l.target.at, "method and path");
    must(h.path.len + h.query.len == l.target.len - (l.target.len > h.path.len), "target");
    must(h.keep == (l.keep_alive && l.minor == 1), "whether it stays");
    for (uint32_t i = 0; i < h.count; i++)
        must(h.fields[i].value.at == l.fields[i].value.at && h.fields[i].value.len == l.fields[i].value.len,
             "values");
}

static void fuzz_head(const uint8_t *text, size_t n, size_t cut)
{
    uint32_t line = 0, size = 0, part_line = 0, part_size = 0;
    int whole = find(text, n, 0, &line, &size), part = find(text, cut, 0, &part_line, &part_size);
    if (part == HEAD_MORE)
        part = find(text, n, (uint32_t) cut, &part_line, &part_size);
    must(part == whole && part_size == size && part_line == line, "two pieces are read otherwise than one");
    if (whole != HEAD_GOOD)
        return;
    must(size <= n && size <= HEAD_MAX && memcmp(text + size - 4, "\r\n\r\n", 4) == 0, "no end");
    char *block = copy(text, size);
    check_head(block, size);
    free(block);
}

/* ---- Paths, ranges, tags ---- */

static void fuzz_path(const uint8_t *text, size_t n)
{
    char out[PATH_SIZE], *block = copy(text, n);
    struct head_text raw = {block, (uint32_t) n};
    if (n > 0 && n <= HEAD_TARGET_MAX && block[0] == '/' && path_decode(&raw, out) == 200) {
        must(strlen(out) < n && out[0] != '/', "a path");
        must(out[0] != '.' && strstr(out, "//") == NULL && strstr(out, "/.") == NULL, "a part of a path");
    }
    free(block);
}

static void fuzz_range(const uint8_t *text, size_t n, size_t size)
{
    uint64_t first = 0, last = 0;
    char *block = copy(text, n);
    struct head_text t = {block, (uint32_t) n};
    int rc = path_range(&t, size, &first, &last);
    must(rc == 200 || rc == 416 || (rc == 206 && first <= last && last < size), "a range");
    path_has_tag(&t, "\"tag\"");
    free(block);
}

/* ---- Scripts ---- */

static void fuzz_script(const uint8_t *text, size_t n)
{
    struct script_answer a;
    char *block = copy(text, n);
    if (script_parse(block, n, &a)) {
        size_t handed = 0;
        must(a.size <= n && a.size <= HEAD_MAX && a.status >= 200 && a.status <= 599, "an answer");
        for (uint32_t i = 0; i < a.count; i++) {
            const struct head_text *v = &a.fields[i].value;
            handed += a.fields[i].name.len + v->len + 2;
            for (uint32_t k = 0; k < v->len; k++)
                must((unsigned char) v->at[k] >= ' ' || v->at[k] == '\t', "a control byte");
        }
        must(handed <= a.size, "more than it said");
    }
    free(block);
}

struct sum {
    uint64_t bytes, hash;
};

static bool add(void *arg, enum fastcgi_stream stream, const void *bytes, size_t n)
{
    struct sum *s = arg;
    for (size_t i = 0; i < n; i++)
        s->hash = (s->hash ^ ((const uint8_t *) bytes)[i] ^ (uint64_t) stream << 8) * 0x100000001b3;
    s->bytes += n;
    return s->bytes < 60000;
}

static void fuzz_records(const uint8_t *bytes, size_t n, size_t cut)
{
    struct sum one = {0}, two = {0};
    struct fastcgi_in in = {.have = 0};
    char *block = copy(bytes, n), *first = copy(bytes, cut), *second = copy(bytes + cut, n - cut);
    enum fastcgi_answer whole = fastcgi_read(&in, (unsigned char *) block, n, add, &one);
    in = (struct fastcgi_in){.have = 0};
    enum fastcgi_answer part = fastcgi_read(&in, (unsigned char *) first, cut, add, &two);
    if (part == FASTCGI_MORE)
        part = fastcgi_read(&in, (unsigned char *) second, n - cut, add, &two);
    must(part == whole && one.bytes == two.bytes && one.hash == two.hash && one.bytes <= n, "records");
    free(block);
    free(first);
    free(second);
}

int LLVMFuzzerTestOneInput(const uint8_t *input, size_t size)
{
    if (size < 3)
        return 0;
    const uint8_t *text = input + 3;
    size_t n = size - 3, cut = n == 0 ? 0 : (size_t) (input[1] << 8 | input[2]) % n;
    switch (input[0] % 5) {
    case 0:
        fuzz_head(text, n, cut);
        break;
    case 1:
        fuzz_path(text, n);
        break;
    case 2:
        fuzz_range(text, n, cut);
        break;
    case 3:
        fuzz_script(text, n);
        break;
    default:
        fuzz_records(text, n, cut);
    }
    return 0;
}
