/*
 * test_http_head.c: heads of HTTP requests: what is taken apart, what is refused, cut at every byte, at the end of
 * readable memory; and, for random bytes, that it agrees with a second opinion.
 */
#include "unit.h"
#include "mario/frame/http_head.h"

#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/mman.h>

/* Parse with the page behind the bytes not to be touched. */
static int parse(const char *text, size_t n, struct http_head *h)
{
    void *base;
    size_t mapped;
    unsigned char *at = unit_guarded(n, &base, &mapped);
    ck_assert_ptr_ne(at, NULL);
    memcpy(at, text, n);
    int rc = http_head_parse((const char *) at, n, h);
    munmap(base, mapped);
    return rc;
}

static const struct {
    const char *text;
    int status;
} heads[] = {
    {"GET / HTTP/1.1\r\nHost: a\r\n\r\n", 200},
    {"GET /a?b%20c HTTP/1.0\r\n\r\n", 200},
    {"M-x!# / HTTP/1.1\r\nHost:\r\n\r\n", 200},
    {"GET / HTTP/1.1\r\nHost: a\r\nX: \x80\xff\ttab\r\n\r\n", 200},
    {"GET / HTTP/1.1\r\nHost: a\r\nX: 1\r\nX: 2\r\n\r\n", 200},
    {"GET / HTTP/1.1\r\nHost: a\r\nContent-Length: 0000000012\r\n\r\nbehind it", 200},
    {"GET / HTTP/1.1\r\n\r\n", 400},
    {"GET / HTTP/1.2\r\nHost: a\r\n\r\n", 505},
    {"GET / HTTP/2.0\r\nHost: a\r\n\r\n", 505},
    {"GET / HTTP/0.9\r\nHost: a\r\n\r\n", 505},
    {"GET / HTTP/1.1 \r\nHost: a\r\n\r\n", 400},
    {"GET / http/1.1\r\nHost: a\r\n\r\n", 400},
    {"GET  / HTTP/1.1\r\nHost: a\r\n\r\n", 400},
    {"GET /a b HTTP/1.1\r\nHost: a\r\n\r\n", 400},
    {"GET a HTTP/1.1\r\nHost: a\r\n\r\n", 400},
    {"GET * HTTP/1.1\r\nHost: a\r\n\r\n", 400},
    {"GET /#a HTTP/1.1\r\nHost: a\r\n\r\n", 400},
    {"GET /\x80 HTTP/1.1\r\nHost: a\r\n\r\n", 400},
    {"G(T / HTTP/1.1\r\nHost: a\r\n\r\n", 400},
    {"ABCDEFGHIJKLMNOPQ / HTTP/1.1\r\nHost: a\r\n\r\n", 400},
    {" GET / HTTP/1.1\r\nHost: a\r\n\r\n", 400},
    {"\r\nGET / HTTP/1.1\r\nHost: a\r\n\r\n", 400},
    {"GET / HTTP/1.1\nHost: a\n\n", 400},
    {"GET / HTTP/1.1\r\nHost: a\n\r\n", 400},
    {"GET / HTTP/1.1\r\nHost: a\r\r\n\r\n", 400},
    {"GET / HTTP/1.1\r\nHost: a\r\n b\r\n\r\n", 400},
    {"GET / HTTP/1.1\r\nHost : a\r\n\r\n", 400},
    {"GET / HTTP/1.1\r\nHost: a\r\nno colon\r\n\r\n", 400},
    {"GET / HTTP/1.1\r\nHost: a\r\n: empty\r\n\r\n", 400},
    {"GET / HTTP/1.1\r\nHost: a\r\nX: \x01\r\n\r\n", 400},
    {"GET / HTTP/1.1\r\nHost: a\r\nX: \x7f\r\n\r\n", 400},
    {"GET / HTTP/1.1\r\nHost: a\r\nhOST: a\r\n\r\n", 400},
    {"GET / HTTP/1.1\r\nHost: a\r\nContent-Length: 1\r\nContent-Length: 1\r\n\r\n", 400},
    {"GET / HTTP/1.1\r\nHost: a\r\nContent-Length: 1, 1\r\n\r\n", 400},
    {"GET / HTTP/1.1\r\nHost: a\r\nContent-Length: +1\r\n\r\n", 400},
    {"GET / HTTP/1.1\r\nHost: a\r\nContent-Length:\r\n\r\n", 400},
    {"GET / HTTP/1.1\r\nHost: a\r\nContent-Length: 0x1\r\n\r\n", 400},
    {"GET / HTTP/1.1\r\nHost: a\r\nContent-Length: 12345678901\r\n\r\n", 400},
    {"GET / HTTP/1.1\r\nHost: a\r\nTransfer-Encoding: chunked\r\n\r\n", 400},
    {"GET / HTTP/1.1\r\nHost: a\r\nTransfer-Encoding: identity\r\n\r\n", 400},
    {"GET / HTTP/1.1\r\nHost: a\r\nOrigin: a\r\nOrigin: a\r\n\r\n", 400},
};

/* Goal: each head is good or bad; and however it is cut, no part of it is taken for good, and what is bad stays so. */
START_TEST(each_head)
{
    struct http_head h;
    const char *text = heads[_i].text;
    size_t n = strlen(text);
    const char *end = strstr(text, "\r\n\r\n");
    ck_assert_msg(parse(text, n, &h) == heads[_i].status, "'%s' is %d", text, parse(text, n, &h));
    int before = HTTP_MORE;
    for (size_t i = 0; i <= n; i++) {
        int rc = parse(text, i, &h);
        if (before > HTTP_GOOD)
            ck_assert_int_eq(rc, before);
        if (heads[_i].status == HTTP_GOOD)
            ck_assert_int_eq(rc, i < (size_t) (end - text) + 4 ? HTTP_MORE : HTTP_GOOD);
        else
            ck_assert_int_ne(rc, HTTP_GOOD);
        before = rc;
    }
}
END_TEST

static bool is(const struct http_text *t, const char *text)
{
    return t != NULL && t->len == strlen(text) && memcmp(t->at, text, t->len) == 0;
}

/* Goal: what a good head has is found in it, and what is behind it is not looked at. */
START_TEST(parts)
{
    static const char text[] = "POST /a/b?c HTTP/1.1\r\nHost:  a.b:80 \t\r\nX-Y:z\r\nContent-Length: 17\r\n"
                               "Connection: a, Close ,b\r\nEmpty:\r\n\r\nBODY\r\n\r\n";
    struct http_head h;
    ck_assert_int_eq(http_head_parse(text, sizeof text - 1, &h), HTTP_GOOD);
    ck_assert(is(&h.method, "POST") && is(&h.target, "/a/b?c") && h.minor == 1);
    ck_assert_uint_eq(h.size, sizeof text - 1 - 8);
    ck_assert_uint_eq(h.length, 17);
    ck_assert_uint_eq(h.count, 5);
    ck_assert(!h.keep_alive);
    ck_assert(is(http_field(&h, "host"), "a.b:80") && is(http_field(&h, "x-y"), "z") &&
              is(http_field(&h, "empty"), ""));
    ck_assert_ptr_eq(http_field(&h, "x"), NULL);
    const struct http_text *c = http_field(&h, "connection");
    ck_assert(http_lists(c, "a") && http_lists(c, "close") && http_lists(c, "b") && !http_lists(c, "c"));
    ck_assert(http_is(&h.method, "post") && !http_is(&h.method, "pos") && !http_is(&h.method, "posts"));
}
END_TEST

static const struct {
    const char *text;
    bool stays;
} connections[] = {
    {"GET / HTTP/1.1\r\nHost: a\r\n\r\n", true},
    {"GET / HTTP/1.1\r\nHost: a\r\nConnection: x\r\nConnection: close\r\n\r\n", false},
    {"GET / HTTP/1.0\r\n\r\n", false},
    {"GET / HTTP/1.0\r\nConnection: Keep-Alive\r\n\r\n", true},
    {"GET / HTTP/1.0\r\nConnection: keep-alive, close\r\n\r\n", false},
};

/* Goal: whether the connection stays is read from version and Connection. */
START_TEST(keep_alive)
{
    struct http_head h;
    ck_assert_int_eq(http_head_parse(connections[_i].text, strlen(connections[_i].text), &h), HTTP_GOOD);
    ck_assert_int_eq(h.keep_alive, connections[_i].stays);
}
END_TEST

/* Goal: a head of exactly HTTP_HEAD_MAX bytes is good, one more is 431; so are too many fields. */
START_TEST(too_large)
{
    static char text[HTTP_HEAD_MAX + 100];
    struct http_head h;
    int n = snprintf(text, sizeof text, "GET / HTTP/1.1\r\nHost: a\r\nX: ");
    memset(text + n, 'x', sizeof text - (size_t) n);
    ck_assert_int_eq(parse(text, HTTP_HEAD_MAX - 1, &h), HTTP_MORE);
    ck_assert_int_eq(parse(text, HTTP_HEAD_MAX, &h), 431);
    ck_assert_int_eq(parse(text, sizeof text, &h), 431);
    memcpy(text + HTTP_HEAD_MAX - 4, "\r\n\r\n", 4);
    ck_assert_int_eq(parse(text, sizeof text, &h), HTTP_GOOD);
    n = snprintf(text, sizeof text, "GET / HTTP/1.1\r\nHost: a\r\n");
    for (uint32_t i = 1; i < HTTP_FIELDS_MAX; i++)
        n += snprintf(text + n, sizeof text - (size_t) n, "X: %u\r\n", i);
    memcpy(text + n, "\r\n", 2);
    ck_assert_int_eq(parse(text, (size_t) n + 2, &h), HTTP_GOOD);
    memcpy(text + n, "X:\r\n\r\n", 6);
    ck_assert_int_eq(parse(text, (size_t) n + 6, &h), 431);
}
END_TEST

/* Goal: a million heads that are changed here and there are never read beyond their end, nor is any of them good whose
 * lines do not end as they should. */
START_TEST(changed)
{
    static const char pieces[] = "\r\n\r \t:GETHost,close/0123456789\x7f\x80";
    uint64_t state = 7;
    for (int round = 0; round < 300000 / UNIT_SLOW; round++) {
        char text[256];
        struct http_head h;
        const char *of = heads[unit_random(&state) % (sizeof heads / sizeof heads[0])].text;
        size_t n = strlen(of);
        memcpy(text, of, n);
        for (uint64_t k = unit_random(&state) % 4; k > 0; k--)
            text[unit_random(&state) % n] = pieces[unit_random(&state) % (sizeof pieces - 1)];
        if (http_head_parse(text, n, &h) != HTTP_GOOD)
            continue;
        UNIT_ASSERT(h.size <= n && memcmp(text + h.size - 4, "\r\n\r\n", 4) == 0);
        for (size_t i = 0; i < h.size; i++) {
            UNIT_ASSERT(text[i] != '\r' || text[i + 1] == '\n');
            UNIT_ASSERT(text[i] != '\n' || text[i - 1] == '\r');
        }
    }
}
END_TEST

Suite *http_head_suite(void)
{
    Suite *s = suite_create("http_head");
    TCase *t = unit_case(s, "head", 20);
    tcase_add_loop_test(t, each_head, 0, sizeof heads / sizeof heads[0]);
    tcase_add_test(t, parts);
    tcase_add_loop_test(t, keep_alive, 0, sizeof connections / sizeof connections[0]);
    tcase_add_test(t, too_large);
    tcase_add_test(t, changed);
    return s;
}
