/*
 * test_web_head.c: heads of requests and of scripts' answers, as example/web reads them: what is taken apart, what is
 * refused and with which status, cut at every byte, at the end of readable memory.
 */
#include "unit.h"
#include "example/web/script.h"

#include <stdio.h>
#include <string.h>
#include <sys/mman.h>

/* The whole way, with the page behind the bytes not to be touched: `seen` of them were looked at before. */
static int read_head(const char *text, size_t n, uint32_t seen, uint32_t *line, struct head *h)
{
    void *base;
    size_t mapped;
    uint32_t size = 0;
    char *at = (char *) unit_guarded(n, &base, &mapped);
    ck_assert_ptr_ne(at, NULL);
    memcpy(at, text, n);
    int rc = head_find(at, (uint32_t) n, seen, line, &size);
    if (rc == HEAD_GOOD)
        rc = head_parse(at, size, h);
    munmap(base, mapped);
    return rc;
}

#define H "Host: a\r\n"

static const struct {
    const char *text;
    int status;
} heads[] = {
    {"GET / HTTP/1.1\r\n" H "\r\n", 200},
    {"GET /a?b%20c HTTP/1.0\r\n\r\n", 200},
    {"GET http://b:80/c?d HTTP/1.1\r\n" H "\r\n", 200},
    {"GET HTTP://b HTTP/1.1\r\n" H "\r\n", 200},
    {"M-x!# / HTTP/1.1\r\nHost:\r\n\r\n", 200},
    {"GET / HTTP/1.1\r\nHost: [::1]:80\r\n\r\n", 200},
    {"GET / HTTP/1.1\r\n" H "X: \x80\xff\ttab\r\n\r\n", 200},
    {"GET / HTTP/1.1\r\n" H "Content-Length: 000000000000000012\r\n\r\n", 200},
    {"GET / HTTP/1.1\r\n" H "Expect: 100-Continue\r\n\r\n", 200},
    {"GET / HTTP/1.0\r\nExpect: magic\r\n\r\n", 200},
    {"GET / HTTP/1.1\n" H "\n", 400},                   /* a bare LF */
    {"GET / HTTP/1.1\r\nHost: a\n\r\n", 400},           /* further down */
    {"GET / HTTP/1.1\r\nHost: a\r\r\n\r\n", 400},       /* a bare CR */
    {"GET / HTTP/1.1\r\n" H "X: a\rb\r\n\r\n", 400},    /* within a value */
    {"GET / HTTP/1.1\r\n" H "\r\n b", 200},             /* what is behind the head is a body's */
    {"GET / HTTP/1.1\r\n" H "X: a\r\n b\r\n\r\n", 400}, /* folded */
    {"GET / HTTP/1.1\r\n X: a\r\n" H "\r\n", 400},      /* at once */
    {"GET / HTTP/1.1\r\nHost : a\r\n\r\n", 400},        /* a blank before the colon */
    {"GET / HTTP/1.1\r\n" H "X: \x01\r\n\r\n", 400},    /* control bytes */
    {"GET / HTTP/1.1\r\n" H "X: \x7f\r\n\r\n", 400},
    {"GET /\x01 HTTP/1.1\r\n" H "\r\n", 400},
    {"GET / HTTP/1.1\r\n\r\n", 400},                 /* no Host */
    {"GET / HTTP/1.1\r\n" H "hOST: a\r\n\r\n", 400}, /* two */
    {"GET / HTTP/1.1\r\nHost: a/b\r\n\r\n", 400},    /* none that can be */
    {"GET / HTTP/1.1\r\nHost: a@b\r\n\r\n", 400},
    {"GET http://a@b/ HTTP/1.1\r\n" H "\r\n", 400},
    {"GET http:///x HTTP/1.1\r\n" H "\r\n", 400},
    {"GET https://b/ HTTP/1.1\r\n" H "\r\n", 400},
    {"GET http://b?x HTTP/1.1\r\n" H "\r\n", 400},
    {"GET / HTTP/1.1\r\n" H "no colon\r\n\r\n", 400},
    {"GET / HTTP/1.1\r\n" H ": empty\r\n\r\n", 400},
    {"GET / HTTP/1.1\r\n" H "Content-Length: 1\r\nContent-Length: 2\r\n\r\n", 400},
    {"GET / HTTP/1.1\r\n" H "Content-Length: 1\r\nContent-Length: 1\r\n\r\n", 400},
    {"GET / HTTP/1.1\r\n" H "Content-Length: 1, 1\r\n\r\n", 400},
    {"GET / HTTP/1.1\r\n" H "Content-Length: +1\r\n\r\n", 400},
    {"GET / HTTP/1.1\r\n" H "Content-Length: -1\r\n\r\n", 400},
    {"GET / HTTP/1.1\r\n" H "Content-Length: 1a\r\n\r\n", 400},
    {"GET / HTTP/1.1\r\n" H "Content-Length:\r\n\r\n", 400},
    {"GET / HTTP/1.1\r\n" H "Content-Length: 1234567890123456789\r\n\r\n", 413},
    {"GET / HTTP/1.1\r\n" H "Content-Length: 1\r\nTransfer-Encoding: chunked\r\n\r\n", 400},
    {"GET / HTTP/1.1\r\n" H "Transfer-Encoding: chunked\r\nContent-Length: 1\r\n\r\n", 400},
    {"GET / HTTP/1.0\r\nTransfer-Encoding: chunked\r\n\r\n", 400},
    {"GET / HTTP/1.1\r\n" H "Transfer-Encoding: chunked\r\n\r\n", 501},
    {"GET / HTTP/1.1\r\n" H "Transfer-Encoding: gzip, chunked\r\n\r\n", 501},
    {"GET / HTTP/1.1\r\n" H "Expect: magic\r\n\r\n", 417},
    {"GET / HTTP/1.2\r\n" H "\r\n", 505},
    {"GET / HTTP/2.0\r\n" H "\r\n", 505},
    {"GET / HTTP/1.1 \r\n" H "\r\n", 400},
    {"GET / http/1.1\r\n" H "\r\n", 400},
    {"GET  / HTTP/1.1\r\n" H "\r\n", 400},
    {"GET /a b HTTP/1.1\r\n" H "\r\n", 400},
    {"GET a HTTP/1.1\r\n" H "\r\n", 400},
    {"GET * HTTP/1.1\r\n" H "\r\n", 400},
    {"GET /#a HTTP/1.1\r\n" H "\r\n", 400},
    {"GET /\x80 HTTP/1.1\r\n" H "\r\n", 400},
    {"GET /\r\n\r\n", 400},
    {"G(T / HTTP/1.1\r\n" H "\r\n", 400},
    {"ABCDEFGHIJKLMNOPQ / HTTP/1.1\r\n" H "\r\n", 400},
    {"\x16\x03\x01\x02", 400}, /* a browser that wants TLS */
};

/* Goal: each head is good or gets its status; and however it is cut in two, no part of it is taken for good, what is
 * refused stays so, and what comes of the two parts is what comes of the whole. */
START_TEST(each_head)
{
    struct head h;
    const char *text = heads[_i].text;
    size_t n = strlen(text);
    uint32_t line = 0;
    const char *end = strstr(text, "\r\n\r\n");
    ck_assert_msg(read_head(text, n, 0, &line, &h) == heads[_i].status, "'%s'", text);
    for (size_t i = 1; i < n; i++) {
        line = 0;
        int part = read_head(text, i, 0, &line, &h);
        if (part == HEAD_MORE)
            ck_assert_int_eq(read_head(text, n, (uint32_t) i, &line, &h), heads[_i].status);
        else
            ck_assert_int_eq(part, heads[_i].status);
        if (heads[_i].status == 200)
            ck_assert_int_eq(part == HEAD_MORE, i < (size_t) (end - text) + 4);
    }
}
END_TEST

/* Goal: what a good head has is found in it, and what is behind it is not looked at. */
START_TEST(parts)
{
    static const char text[] =
        "POST http://c.d:81/a/b?c HTTP/1.1\r\nHost:  a.b:80 \t\r\nX-Y:z\r\nContent-Length: 17\r\n"
        "Expect: 100-continue\r\nConnection: a, Close ,b\r\nEmpty:\r\n\r\nBODY\r\n\r\n";
    struct head h;
    uint32_t line = 0;
    ck_assert_int_eq(read_head(text, sizeof text - 1, 0, &line, &h), HEAD_GOOD);
    ck_assert_int_eq(head_parse(text, sizeof text - 1, &h), HEAD_GOOD);
    ck_assert(head_equals(&h.method, "POST") && head_equals(&h.path, "/a/b") && head_equals(&h.query, "c"));
    ck_assert(head_equals(&h.host, "c.d:81") && h.minor == 1 && !h.keep && h.expects);
    ck_assert_uint_eq(h.size, sizeof text - 1 - 8);
    ck_assert_uint_eq(h.length, 17);
    ck_assert_uint_eq(h.count, 6);
    ck_assert_uint_eq(line, strlen("POST http://c.d:81/a/b?c HTTP/1.1"));
    ck_assert(head_equals(head_field(&h, "host"), "a.b:80") && head_equals(head_field(&h, "x-y"), "z") &&
              head_equals(head_field(&h, "empty"), ""));
    ck_assert_ptr_eq(head_field(&h, "x"), NULL);
    ck_assert(head_is(&h.method, "post") && !head_is(&h.method, "pos") && !head_is(&h.method, "posts"));
}
END_TEST

static const struct {
    const char *text;
    bool stays;
} connections[] = {
    {"GET / HTTP/1.1\r\n" H "\r\n", true},
    {"GET / HTTP/1.1\r\n" H "Connection: x\r\nConnection: CLOSE\r\n\r\n", false},
    {"GET / HTTP/1.1\r\n" H "Connection: closed\r\n\r\n", true},
    {"GET / HTTP/1.0\r\n\r\n", false},
    {"GET / HTTP/1.0\r\nConnection: Keep-Alive\r\n\r\n", false},
};

/* Goal: whether the connection stays is read from version and Connection; of HTTP/1.0 none does. */
START_TEST(keep)
{
    struct head h;
    uint32_t line = 0;
    ck_assert_int_eq(read_head(connections[_i].text, strlen(connections[_i].text), 0, &line, &h), HEAD_GOOD);
    ck_assert_int_eq(h.keep, connections[_i].stays);
}
END_TEST

/* A head with `n` bytes in its target, and `more` in a field. Its length. */
static size_t make_large(char *text, size_t n, size_t more)
{
    size_t at = (size_t) sprintf(text, "GET /");
    memset(text + at, 't', n - 1);
    at += n - 1;
    at += (size_t) sprintf(text + at, " HTTP/1.1\r\n" H "X: ");
    memset(text + at, 'x', more);
    at += more;
    memcpy(text + at, "\r\n\r\n", 4);
    return at + 4;
}

/* Goal: limits are exact, and what is beyond them is said before its end comes. */
START_TEST(too_large)
{
    static char text[2 * HEAD_MAX];
    struct head h;
    uint32_t line = 0;
    size_t n = make_large(text, HEAD_TARGET_MAX, 1);
    ck_assert_int_eq(read_head(text, n, 0, &line, &h), HEAD_GOOD);
    line = 0;
    n = make_large(text, HEAD_TARGET_MAX + 1, 1);
    ck_assert_int_eq(read_head(text, n, 0, &line, &h), 414);
    line = 0;
    make_large(text, HEAD_TARGET_MAX + 100, 1);
    ck_assert_int_eq(read_head(text, HEAD_LINE_MAX, 0, &line, &h), HEAD_MORE);
    ck_assert_int_eq(read_head(text, HEAD_LINE_MAX + 1, HEAD_LINE_MAX, &line, &h), 414);
    line = 0;
    n = make_large(text, 1, HEAD_MAX);
    ck_assert_int_eq(read_head(text, HEAD_MAX - 1, 0, &line, &h), HEAD_MORE);
    ck_assert_int_eq(read_head(text, HEAD_MAX, HEAD_MAX - 1, &line, &h), 431);
    line = 0;
    ck_assert_int_eq(read_head(text, n, 0, &line, &h), 431);
    line = 0;
    n = make_large(text, 1, HEAD_MAX - (make_large(text, 1, 1) - 1));
    ck_assert_uint_eq(n, HEAD_MAX);
    ck_assert_int_eq(read_head(text, n, 0, &line, &h), HEAD_GOOD);
}
END_TEST

/* Goal: HEAD_FIELDS_MAX fields are good, one more is 431. */
START_TEST(many_fields)
{
    static char text[HEAD_MAX];
    struct head h;
    uint32_t line = 0;
    int n = sprintf(text, "GET / HTTP/1.1\r\n" H);
    for (int i = 1; i < HEAD_FIELDS_MAX; i++)
        n += sprintf(text + n, "X: %d\r\n", i);
    memcpy(text + n, "\r\n", 2);
    ck_assert_int_eq(read_head(text, (size_t) n + 2, 0, &line, &h), HEAD_GOOD);
    ck_assert_uint_eq(h.count, HEAD_FIELDS_MAX);
    memcpy(text + n, "X:\r\n\r\n", 6);
    line = 0;
    ck_assert_int_eq(read_head(text, (size_t) n + 6, 0, &line, &h), 431);
}
END_TEST

/* ---- Scripts ---- */

static const struct {
    const char *text;
    int status; /* 0: it is none */
    uint32_t fields;
} answers[] = {
    {"Content-Type: a/b\n\n", 200, 1},
    {"Content-Type: a/b\r\n\r\nbody", 200, 1},
    {"Status: 404 Not Here\nContent-Type: a/b\nX: y\n\n", 404, 2},
    {"Status: 204\n\n", 204, 0},
    {"Location: /a\n\n", 302, 1},
    {"status: 301\nLocation: /a\n\n", 301, 1},
    {"Content-Type: a/b\nContent-Length: 7\nConnection: x\nTransfer-Encoding: chunked\nDate: x\n\n", 200, 1},
    {"Content-Type: a/b\n", 0, 0},
    {"", 0, 0},
    {"\n", 0, 0},
    {"X: y\n\n", 0, 0},
    {"hello, world\n\n", 0, 0},
    {"Content-Type : a/b\n\n", 0, 0},
    {"Content-Type: a\rb\n\n", 0, 0},
    {"Content-Type: a/b\nX: \x01\n\n", 0, 0},
    {"Status: 99\n\n", 0, 0},
    {"Status: 100\n\n", 0, 0},
    {"Status: 600\n\n", 0, 0},
    {"Status: 2000\n\n", 0, 0},
    {"Status: 200\nStatus: 404\n\n", 0, 0},
    {"Status: OK\n\n", 0, 0},
};

/* Goal: what a script says is taken apart or refused, and no part of it is taken for whole. */
START_TEST(each_answer)
{
    struct script_answer a;
    const char *text = answers[_i].text;
    size_t n = strlen(text);
    ck_assert_msg(script_parse(text, n, &a) == (answers[_i].status != 0), "'%s'", text);
    if (answers[_i].status == 0)
        return;
    ck_assert_int_eq(a.status, answers[_i].status);
    ck_assert_uint_eq(a.count, answers[_i].fields);
    uint32_t size = a.size;
    for (size_t i = 0; i < size; i++)
        ck_assert(!script_parse(text, i, &a));
    ck_assert(script_parse(text, size, &a));
}
END_TEST

/* Goal: the reason is what it says behind the number, and values come without what is around them. */
START_TEST(answer_parts)
{
    static const char text[] = "Status: 404  Not Here \r\nX-Y: \t a b \r\n\r\nbody";
    struct script_answer a;
    ck_assert(script_parse(text, sizeof text - 1, &a));
    ck_assert(head_equals(&a.reason, "Not Here") && head_equals(&a.fields[0].value, "a b"));
    ck_assert_uint_eq(a.size, sizeof text - 1 - 4);
}
END_TEST

Suite *web_head_suite(void)
{
    Suite *s = suite_create("web_head");
    TCase *t = unit_case(s, "web_head", 20);
    tcase_add_loop_test(t, each_head, 0, sizeof heads / sizeof heads[0]);
    tcase_add_test(t, parts);
    tcase_add_loop_test(t, keep, 0, sizeof connections / sizeof connections[0]);
    tcase_add_test(t, too_large);
    tcase_add_test(t, many_fields);
    tcase_add_loop_test(t, each_answer, 0, sizeof answers / sizeof answers[0]);
    tcase_add_test(t, answer_parts);
    return s;
}
