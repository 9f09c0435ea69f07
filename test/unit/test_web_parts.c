/*
 * test_web_parts.c: what example/web makes of paths, ranges and tags; and its records of FastCGI, against a reading of
 * them that knows no more than their format.
 */
#include "unit.h"
#include "example/web/fastcgi.h"
#include "example/web/path.h"

#include <stdio.h>
#include <string.h>

static struct head_text text_of(const char *s)
{
    return (struct head_text){s, (uint32_t) strlen(s)};
}

static const struct {
    const char *raw, *path; /* NULL: 404; "400" */
} paths[] = {
    {"/", ""},
    {"/a", "a"},
    {"/a/", "a/"},
    {"/a/b.c", "a/b.c"},
    {"/a%20b+c", "a b+c"},
    {"/%61%62", "ab"},
    {"/%C3%a4", "\xc3\xa4"},
    {"/a..b", "a..b"},
    {"/%2561", "%61"}, /* once */
    {"/%252e%252e/a", "%2e%2e/a"},
    {"/a\\..\\b", "a\\..\\b"},
    {"/..", NULL},
    {"/../a", NULL},
    {"/a/../b", NULL},
    {"/a/./b", NULL},
    {"/%2e%2e/a", NULL},
    {"/a/%2E./b", NULL},
    {"/.git/config", NULL},
    {"/a/.htaccess", NULL},
    {"//a", NULL},
    {"/a//b", NULL},
    {"/a%2fb", NULL},
    {"/a%2Fb", NULL},
    {"/%2f", NULL},
    {"/a%00b", "400"},
    {"/a%0ab", "400"},
    {"/a%7f", "400"},
    {"/%", "400"},
    {"/%4", "400"},
    {"/a%g1", "400"},
    {"/a%1g", "400"},
};

/* Goal: a path is decoded once; what could lead elsewhere is none. */
START_TEST(each_path)
{
    char out[PATH_SIZE];
    struct head_text raw = text_of(paths[_i].raw);
    int rc = path_decode(&raw, out);
    const char *want = paths[_i].path;
    if (want == NULL)
        ck_assert_int_eq(rc, 404);
    else if (strcmp(want, "400") == 0)
        ck_assert_int_eq(rc, 400);
    else {
        ck_assert_int_eq(rc, 200);
        ck_assert_str_eq(out, want);
    }
}
END_TEST

static const struct {
    const char *range;
    uint64_t size;
    int status;
    uint64_t first, last;
} ranges[] = {
    {"bytes=0-0", 10, 206, 0, 0},
    {"bytes=2-5", 10, 206, 2, 5},
    {"Bytes=2-", 10, 206, 2, 9},
    {"bytes=9-", 10, 206, 9, 9},
    {"bytes=0-9", 10, 206, 0, 9},
    {"bytes=0-10", 10, 206, 0, 9},
    {"bytes=5-99999999999999999999999", 10, 206, 5, 9},
    {"bytes=-1", 10, 206, 9, 9},
    {"bytes=-10", 10, 206, 0, 9},
    {"bytes=-11", 10, 206, 0, 9},
    {"bytes=-99999999999999999999999", 10, 206, 0, 9},
    {"bytes=10-", 10, 416, 0, 0},
    {"bytes=10-20", 10, 416, 0, 0},
    {"bytes=99999999999999999999999-", 10, 416, 0, 0},
    {"bytes=-0", 10, 416, 0, 0},
    {"bytes=0-", 0, 416, 0, 0},
    {"bytes=-5", 0, 416, 0, 0},
    {"bytes=5-2", 10, 200, 0, 0},
    {"bytes=0-1,3-4", 10, 200, 0, 0},
    {"bytes=-", 10, 200, 0, 0},
    {"bytes=", 10, 200, 0, 0},
    {"bytes=a-b", 10, 200, 0, 0},
    {"bytes=1", 10, 200, 0, 0},
    {"bytes=1-2x", 10, 200, 0, 0},
    {"lines=1-2", 10, 200, 0, 0},
    {"", 10, 200, 0, 0},
};

/* Goal: one range is understood, of any size; others are not. */
START_TEST(each_range)
{
    uint64_t first, last;
    struct head_text range = text_of(ranges[_i].range);
    int rc = path_range(&range, ranges[_i].size, &first, &last);
    ck_assert_msg(rc == ranges[_i].status, "'%s' is %d", ranges[_i].range, rc);
    if (rc != 206)
        return;
    ck_assert_uint_eq(first, ranges[_i].first);
    ck_assert_uint_eq(last, ranges[_i].last);
}
END_TEST

/* Goal: a tag is found in a list, weak or not, and no part of one. */
START_TEST(tags)
{
    static const char *const with[] = {"\"a\"", "\"b\", \"a\"", "W/\"a\"", "*", "\"b\" ,W/\"a\" ,"};
    static const char *const without[] = {"", "a", "\"b\"", "\"aa\"", "\"a\" \"b\"", "W/", "w/\"a\""};
    for (size_t i = 0; i < sizeof with / sizeof with[0]; i++) {
        struct head_text list = text_of(with[i]);
        ck_assert_msg(path_has_tag(&list, "\"a\""), "%s", with[i]);
    }
    for (size_t i = 0; i < sizeof without / sizeof without[0]; i++) {
        struct head_text list = text_of(without[i]);
        ck_assert_msg(!path_has_tag(&list, "\"a\""), "%s", without[i]);
    }
    ck_assert_str_eq(path_type("a/b.html"), "text/html; charset=utf-8");
    ck_assert_str_eq(path_type("a.html/b"), "application/octet-stream");
}
END_TEST

/* ---- FastCGI ---- */

enum { ROOM = 140000 };

/* All content of one kind of record; all of them are of request 1. */
static size_t content_of(const unsigned char *bytes, size_t n, unsigned char type, unsigned char *out)
{
    size_t at = 0, got = 0;
    while (at < n) {
        size_t len = (size_t) bytes[at + 4] << 8 | bytes[at + 5];
        ck_assert(bytes[at] == 1 && bytes[at + 2] == 0 && bytes[at + 3] == 1);
        if (bytes[at + 1] == type) {
            memcpy(out + got, bytes + at + 8, len);
            got += len;
        }
        at += 8 + len + bytes[at + 6];
    }
    ck_assert_uint_eq(at, n);
    return got;
}

/* Goal: a request has its variables, short and long ones, and its body, each stream with its end. */
START_TEST(request)
{
    static unsigned char bytes[ROOM], out[ROOM];
    static char value[300], body[60000];
    static const unsigned char end[16] = {1, 5, 0, 1, 0, 0, 0, 0}, begin[8] = {0, 1, 0};
    struct fastcgi_out o;
    memset(value, 'v', sizeof value);
    memset(body, 'b', sizeof body);
    fastcgi_begin(&o, bytes, sizeof bytes);
    fastcgi_param(&o, "A", 1, "", 0);
    fastcgi_param(&o, "LONG", 4, value, 127);
    fastcgi_param(&o, "LONGER", 6, value, sizeof value);
    fastcgi_param(&o, "C", 1, value, 128); /* the shortest of the long ones */
    fastcgi_body(&o, body, sizeof body);
    ck_assert(!o.full);
    ck_assert_uint_eq(content_of(bytes, o.n, 1, out), 8);
    ck_assert_mem_eq(out, begin, 8);
    size_t n = content_of(bytes, o.n, 4, out);
    ck_assert_uint_eq(n, 2 + 1 + 2 + 4 + 127 + 5 + 6 + 300 + 5 + 1 + 128);
    ck_assert_mem_eq(out + n - 5 - 1 - 128,
                     "\1\x80\0\0\x80"
                     "Cvv",
                     8);
    ck_assert_mem_eq(out, "\1\0A\4\x7fLONGvv", 11);
    ck_assert_mem_eq(out + 3 + 2 + 4 + 127, "\6\x80\0\x01\x2cLONGERvv", 13);
    ck_assert_uint_eq(content_of(bytes, o.n, 5, out), sizeof body);
    ck_assert_mem_eq(out, body, sizeof body);
    ck_assert_mem_eq(bytes + o.n - 8, end, 8);
}
END_TEST

/* Goal: what does not fit is known, whatever it is that did not, and nothing is written behind the room. */
START_TEST(request_too_long)
{
    static unsigned char bytes[ROOM];
    static char value[60000];
    struct fastcgi_out o;
    size_t whole = 0;
    for (size_t room = ROOM; room > 0; room = whole > 0 && room > whole ? whole : room - 1) {
        memset(bytes, 0xee, 400);
        fastcgi_begin(&o, bytes, room);
        fastcgi_param(&o, "NAME", 4, value, 40);
        fastcgi_body(&o, value, 50);
        if (room == ROOM)
            whole = o.n;
        ck_assert_int_eq(o.full, room < whole);
        for (size_t i = room; i < 400; i++)
            ck_assert_uint_eq(bytes[i], 0xee);
    }
    fastcgi_begin(&o, bytes, sizeof bytes);
    fastcgi_param(&o, "A", 1, value, sizeof value);
    fastcgi_param(&o, "B", 1, value, sizeof value); /* one record has 65535 bytes */
    fastcgi_body(&o, NULL, 0);
    ck_assert(o.full);
}
END_TEST

struct heard {
    unsigned char out[4000], err[4000];
    size_t out_n, err_n, most;
};

static bool hear(void *arg, enum fastcgi_stream stream, const void *bytes, size_t n)
{
    struct heard *h = arg;
    if (h->out_n + h->err_n + n > h->most)
        return false;
    if (stream == FASTCGI_STDOUT) {
        memcpy(h->out + h->out_n, bytes, n);
        h->out_n += n;
    } else {
        memcpy(h->err + h->err_n, bytes, n);
        h->err_n += n;
    }
    return true;
}

static size_t record(unsigned char *at, unsigned char type, const void *content, size_t n,
                     unsigned char padding)
{
    const unsigned char head[8] = {1, type, 0, 1, (unsigned char) (n >> 8), (unsigned char) n, padding};
    memcpy(at, head, 8);
    memcpy(at + 8, content, n);
    memset(at + 8 + n, 'P', padding);
    return 8 + n + padding;
}

/* Goal: an answer in pieces of any size is the same answer. */
START_TEST(answer_cut)
{
    static unsigned char bytes[8000], data[3000];
    static const unsigned char end[8] = {0};
    for (size_t i = 0; i < sizeof data; i++)
        data[i] = (unsigned char) (i * 7);
    size_t n = record(bytes, 6, data, 1, 7);
    n += record(bytes + n, 7, data, 100, 0);
    n += record(bytes + n, 6, data + 1, 2999, 255);
    n += record(bytes + n, 6, data, 0, 0);
    n += record(bytes + n, 7, data, 0, 3);
    n += record(bytes + n, 3, end, 8, 0);
    for (size_t step = 1; step <= n; step = step < 40 ? step + 1 : step * 3) {
        struct fastcgi_in in = {.have = 0};
        struct heard h = {.most = 4000};
        enum fastcgi_answer answer = FASTCGI_MORE;
        for (size_t at = 0; at < n; at += step) {
            ck_assert_int_eq(answer, FASTCGI_MORE);
            answer = fastcgi_read(&in, bytes + at, n - at < step ? n - at : step, hear, &h);
        }
        ck_assert_int_eq(answer, FASTCGI_DONE);
        ck_assert(h.out_n == 3000 && memcmp(h.out, data, 3000) == 0);
        ck_assert(h.err_n == 100 && memcmp(h.err, data, 100) == 0);
    }
}
END_TEST

/* Goal: what is no answer is refused: another version, request or type, an end of another length, a process that is
 * busy; and so is one of which the receiver wants no more. */
START_TEST(answer_refused)
{
    unsigned char good[64], bytes[64];
    static const unsigned char end[8] = {0}, busy[8] = {0, 0, 0, 0, 2};
    static const struct {
        size_t at;
        unsigned char value;
    } wrong[] = {{0, 2}, {1, 4}, {1, 11}, {2, 1}, {3, 2}};
    size_t n = record(good, 6, "abc", 3, 0);
    n += record(good + n, 3, end, 8, 0);
    for (size_t i = 0; i <= sizeof wrong / sizeof wrong[0]; i++) {
        struct fastcgi_in in = {.have = 0};
        struct heard h = {.most = 4000};
        memcpy(bytes, good, n);
        if (i > 0)
            bytes[wrong[i - 1].at] = wrong[i - 1].value;
        ck_assert_int_eq(fastcgi_read(&in, bytes, n, hear, &h), i > 0 ? FASTCGI_REFUSED : FASTCGI_DONE);
    }
    struct heard all = {.most = 4000}, few = {.most = 2};
    struct fastcgi_in in = {.have = 0};
    ck_assert_int_eq(fastcgi_read(&in, good, n, hear, &few), FASTCGI_REFUSED);
    in = (struct fastcgi_in){.have = 0};
    ck_assert_int_eq(fastcgi_read(&in, bytes, record(bytes, 3, busy, 8, 0), hear, &all), FASTCGI_REFUSED);
    in = (struct fastcgi_in){.have = 0};
    ck_assert_int_eq(fastcgi_read(&in, bytes, record(bytes, 3, busy, 7, 0), hear, &all), FASTCGI_REFUSED);
}
END_TEST

Suite *web_parts_suite(void)
{
    Suite *s = suite_create("web_parts");
    TCase *t = unit_case(s, "web_parts", 20);
    tcase_add_loop_test(t, each_path, 0, sizeof paths / sizeof paths[0]);
    tcase_add_loop_test(t, each_range, 0, sizeof ranges / sizeof ranges[0]);
    tcase_add_test(t, tags);
    tcase_add_test(t, request);
    tcase_add_test(t, request_too_long);
    tcase_add_test(t, answer_cut);
    tcase_add_test(t, answer_refused);
    return s;
}
