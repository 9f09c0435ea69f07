/*
 * test_web.c: the server of example/web: files, ranges, heads that are none, requests in pieces and in heaps, bodies
 * larger than what may wait; and other people's programs that ask it. Its scripts are in test_web_scripts.c.
 */
#include "site.h"

#include <errno.h>
#include <signal.h>
#include <fcntl.h>
#include <netinet/in.h>
#include <netinet/tcp.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/socket.h>
#include <sys/stat.h>
#include <unistd.h>

enum { LARGE = 5000000, HUGE_ONE = 64 << 20 };

/* A body of n bytes that are all different from their neighbours. Static. */
static const char *large_body(size_t n)
{
    static char *body;
    if (body == NULL) {
        body = malloc(LARGE);
        for (size_t i = 0; i < LARGE; i++)
            body[i] = (char) ((i * 2654435761u) >> 13);
    }
    return n <= LARGE ? body : NULL;
}

/* ---- Files ---- */

static const struct {
    const char *path;
    int status;
} paths[] = {
    {"/", 200},
    {"/?a=b", 200},
    {"/a.txt", 200},
    {"/a%2etxt", 200},
    {"http://a.b/a.txt", 200},
    {"/sub/", 200},
    {"/sub/b.txt", 200},
    {"/empty.txt", 200},
    {"/inside.txt", 200}, /* a link that stays below the root */
    {"/sub", 301},
    {"/none", 404},
    {"/a.txt/", 404},
    {"/a.txt/b", 404},
    {"/bare/", 404},
    {"/fifo", 404},
    {"/outside.txt", 404},    /* a link that does not */
    {"/absolute.txt", 404},   /* likewise */
    {"/elsewhere/site", 404}, /* a directory that is one */
    {"/.hidden", 404},
    {"/sub/../a.txt", 404},
    {"/%2e%2e/cgi-bin/env", 404},
    {"/sub%2fb.txt", 404},
    {"//a.txt", 404},
    {"/a%00.txt", 400},
    {"/a%zz", 400},
    {"/cgi%2dbin/none", 404},
};

/* Goal: a path gets its file or its status, and nothing that lies elsewhere. */
START_TEST(each_path)
{
    struct server s;
    struct page p;
    site_start(&s, NULL);
    ck_assert(mkdir(site_path("sub"), 0755) == 0 && mkdir(site_path("bare"), 0755) == 0);
    site_text("index.html", "the root");
    site_text("a.txt", "aaa");
    site_text("sub/index.html", "the sub");
    site_text("sub/b.txt", "bbb");
    site_text("empty.txt", "");
    site_text(".hidden", "hidden");
    ck_assert(mkfifo(site_path("fifo"), 0644) == 0 && symlink("a.txt", site_path("inside.txt")) == 0);
    ck_assert(symlink("../cgi-bin/env", site_path("outside.txt")) == 0);
    ck_assert(symlink("/etc/passwd", site_path("absolute.txt")) == 0 &&
              symlink("/tmp", site_path("elsewhere")) == 0);
    site_script("env", "env");
    for (size_t i = 0; i < sizeof paths / sizeof paths[0]; i++)
        ck_assert_msg(site_get(&s, paths[i].path, "", &p) == paths[i].status, "%s: %d", paths[i].path,
                      p.status);
    site_get(&s, "/sub?x", "", &p);
    ck_assert_str_eq(site_field(&p, "location"), "/sub/?x");
    site_get(&s, "/sub/", "", &p);
    ck_assert_str_eq(p.body, "the sub");
    ck_assert_str_eq(site_field(&p, "content-type"), "text/html; charset=utf-8");
    site_stop(&s);
}
END_TEST

/* Goal: each method gets what is its: HEAD no body, others than GET and HEAD a refusal; and the connection goes on. */
START_TEST(methods)
{
    struct server s;
    struct page p;
    site_start(&s, NULL);
    site_text("a.txt", "aaa");
    int fd = client_open(&s);
    ck_assert_int_eq(site_ask(fd, "HEAD /a.txt HTTP/1.1\r\nHost: a\r\n\r\n", &p), 200);
    ck_assert_str_eq(site_field(&p, "content-length"), "3");
    ck_assert_int_eq(site_ask(fd, "HEAD /none HTTP/1.1\r\nHost: a\r\n\r\n", &p), 404);
    ck_assert_int_eq(site_ask(fd, "POST /a.txt HTTP/1.1\r\nHost: a\r\nContent-Length: 3\r\n\r\nGET", &p),
                     405);
    ck_assert_str_eq(site_field(&p, "allow"), "GET, HEAD");
    ck_assert_int_eq(site_ask(fd, "BREW /a.txt HTTP/1.1\r\nHost: a\r\n\r\n", &p), 501);
    ck_assert_int_eq(site_ask(fd, "GET /a.txt HTTP/1.1\r\nHost: a\r\nContent-Length: 2\r\n\r\n\r\n", &p),
                     200);
    ck_assert_str_eq(p.body, "aaa");
    ck_assert_int_eq(site_ask(fd, "GET /a.txt HTTP/1.1\r\nHost: a\r\nConnection: close\r\n\r\n", &p), 200);
    ck_assert_str_eq(site_field(&p, "connection"), "close");
    client_expect_fin(fd);
    fd = client_open(&s);
    ck_assert_int_eq(site_ask(fd, "GET /a.txt HTTP/1.0\r\nConnection: keep-alive\r\n\r\n", &p), 200);
    client_expect_fin(fd);
    site_stop(&s);
}
END_TEST

static const struct {
    const char *range;
    int status;
    const char *body, *says;
} ranges[] = {
    {"bytes=0-2", 206, "012", "bytes 0-2/10"}, {"bytes=7-", 206, "789", "bytes 7-9/10"},
    {"bytes=-2", 206, "89", "bytes 8-9/10"},   {"bytes=9-100", 206, "9", "bytes 9-9/10"},
    {"bytes=10-", 416, NULL, "bytes */10"},    {"bytes=-0", 416, NULL, "bytes */10"},
    {"bytes=0-1,3-4", 200, "0123456789", ""},  {"lines=1-2", 200, "0123456789", ""},
};

/* Goal: one range is served, a tag answers for a file that has not changed, and only then for a part of it. */
START_TEST(ranges_and_tags)
{
    struct server s;
    struct page p;
    char fields[400], tag[100];
    site_start(&s, NULL);
    site_text("a", "0123456789");
    for (size_t i = 0; i < sizeof ranges / sizeof ranges[0]; i++) {
        snprintf(fields, sizeof fields, "Range: %s\r\n", ranges[i].range);
        ck_assert_msg(site_get(&s, "/a", fields, &p) == ranges[i].status, "%s: %d", ranges[i].range,
                      p.status);
        ck_assert_str_eq(site_field(&p, "content-range"), ranges[i].says);
        if (ranges[i].body != NULL)
            ck_assert_str_eq(p.body, ranges[i].body);
    }
    snprintf(tag, sizeof tag, "%s", site_field(&p, "etag"));
    snprintf(fields, sizeof fields, "If-None-Match: \"x\", %s\r\n", tag);
    ck_assert_int_eq(site_get(&s, "/a", fields, &p), 304);
    ck_assert_str_eq(site_field(&p, "etag"), tag);
    snprintf(fields, sizeof fields, "Range: bytes=0-0\r\nIf-Range: %s\r\n", tag);
    ck_assert_int_eq(site_get(&s, "/a", fields, &p), 206);
    site_text("a", "changed by now");
    ck_assert_int_eq(site_get(&s, "/a", fields, &p), 200);
    snprintf(fields, sizeof fields, "If-None-Match: %s\r\n", tag);
    ck_assert_int_eq(site_get(&s, "/a", fields, &p), 200);
    ck_assert_str_eq(p.body, "changed by now");
    site_stop(&s);
}
END_TEST

/* ---- Heads ---- */

static const struct {
    const char *text;
    int status;
} bad[] = {
    {"GET / HTTP/1.1\n\n", 400},
    {"GET / HTTP/1.1\r\nHost: a\r\n b\r\n\r\n", 400},
    {"GET / HTTP/1.1\r\nHost : a\r\n\r\n", 400},
    {"GET / HTTP/1.1\r\n\r\n", 400},
    {"GET / HTTP/1.1\r\nHost: a\r\nHost: a\r\n\r\n", 400},
    {"POST / HTTP/1.1\r\nHost: a\r\nContent-Length: 1\r\nContent-Length: 2\r\n\r\nab", 400},
    {"POST / HTTP/1.1\r\nHost: a\r\nContent-Length: 1x\r\n\r\nab", 400},
    {"POST / HTTP/1.1\r\nHost: a\r\nContent-Length: 5\r\nTransfer-Encoding: chunked\r\n\r\n0\r\n\r\n", 400},
    {"POST / HTTP/1.1\r\nHost: a\r\nTransfer-Encoding: chunked\r\n\r\n0\r\n\r\n", 501},
    {"POST / HTTP/1.1\r\nHost: a\r\nContent-Length: 65536\r\n\r\n", 413},
    {"POST / HTTP/1.1\r\nHost: a\r\nContent-Length: 99999999999999999999\r\n\r\n", 413},
    {"GET / HTTP/1.1\r\nHost: a\r\nExpect: magic\r\n\r\n", 417},
    {"GET / HTTP/3.0\r\nHost: a\r\n\r\n", 505},
    {"\r\rGET / HTTP/1.1\r\nHost: a\r\n\r\n", 400},
    {"\x16\x03\x01\x02\x01", 400},
};

/* Goal: what is no request gets its status and the end of the connection, behind the answer to the request before it;
 * the log says the status. */
START_TEST(bad_heads)
{
    struct server s;
    struct page p;
    static const char good[] = "GET /a HTTP/1.1\r\nHost: a\r\n\r\n";
    size_t count = sizeof bad / sizeof bad[0];
    site_start(&s, NULL);
    s.log_lines_max = 100;
    site_text("a", "aaa");
    for (size_t i = 0; i < count; i++) {
        char both[400];
        int fd = client_open(&s);
        snprintf(both, sizeof both, "%s%s", good, bad[i].text);
        ck_assert_int_eq(site_ask(fd, both, &p), 200);
        ck_assert_msg(surfer_read(fd, &p, true) && p.status == bad[i].status, "'%s': %d", bad[i].text,
                      p.status);
        ck_assert_str_eq(site_field(&p, "connection"), "close");
        client_expect_fin(fd);
    }
    site_stop(&s);
    ck_assert_uint_eq(server_counter(&s, "closed_bad_frame"), count);
}
END_TEST

/* Goal: heads and targets that are too long are refused at the byte that says so, whatever is still to come. */
START_TEST(long_heads)
{
    struct server s;
    struct page p;
    static char bytes[20000];
    site_start(&s, NULL);
    memset(bytes, 'x', sizeof bytes);
    memcpy(bytes, "GET /", 5);
    int fd = client_open(&s);
    client_send(fd, bytes, 4200);
    ck_assert(surfer_read(fd, &p, true));
    ck_assert_int_eq(p.status, 414);
    client_expect_fin(fd);
    size_t n = (size_t) sprintf(bytes, "GET / HTTP/1.1\r\nHost: a\r\nX: ");
    memset(bytes + n, 'x', sizeof bytes - n);
    fd = client_open(&s);
    client_send(fd, bytes, 8192);
    ck_assert(surfer_read(fd, &p, true));
    ck_assert_int_eq(p.status, 431);
    client_expect_fin(fd);
    site_stop(&s);
    ck_assert_uint_eq(server_counter(&s, "closed_bad_frame"), 2);
}
END_TEST

/* ---- Pieces and heaps ---- */

/* Goal: a request in two pieces, wherever it is cut, or byte by byte, is answered as a whole one is. */
START_TEST(in_pieces)
{
    struct server s;
    struct page p;
    static const char request[] =
        "\r\nPOST /a HTTP/1.1\r\nHost: a\r\nContent-Length: 4\r\n\r\nbodyGET /a HTTP/1.1\r\n"
        "Host: a\r\n\r\n";
    int on = 1;
    site_start(&s, NULL);
    site_text("a", "aaa");
    int fd = client_open(&s);
    setsockopt(fd, IPPROTO_TCP, TCP_NODELAY, &on, sizeof on);
    for (size_t cut = 1; cut < sizeof request - 1; cut++) {
        client_send(fd, request, cut);
        if (cut % 4 == 0) /* let it be read, now and then */
            itest_sleep(1);
        client_send(fd, request + cut, sizeof request - 1 - cut);
        ck_assert(surfer_read(fd, &p, true) && p.status == 405);
        ck_assert(surfer_read(fd, &p, true) && p.status == 200 && strcmp(p.body, "aaa") == 0);
    }
    for (size_t i = 0; i < sizeof request - 1; i++) {
        client_send(fd, request + i, 1);
        itest_sleep(1);
    }
    ck_assert(surfer_read(fd, &p, true) && p.status == 405);
    ck_assert(surfer_read(fd, &p, true) && p.status == 200);
    close(fd);
    site_stop(&s);
}
END_TEST

/* Goal: many requests at once, for files and for scripts, are answered in their order. */
START_TEST(in_heaps)
{
    enum { COUNT = 60 };
    struct server s;
    struct page p;
    static char heap[COUNT * 100];
    size_t n = 0;
    site_start(&s, NULL);
    site_script("say", "printf 'Content-Type: a/b\\n\\n%s' \"$QUERY_STRING\"");
    for (int i = 0; i < COUNT; i++) {
        char name[16], text[16];
        snprintf(name, sizeof name, "f%d", i);
        snprintf(text, sizeof text, "%d", i);
        site_text(name, text);
        n += (size_t) sprintf(heap + n, "GET /%s%d HTTP/1.1\r\nHost: a\r\n\r\n",
                              i % 5 == 4 ? "cgi-bin/say?" : "f", i);
    }
    int fd = client_open(&s);
    client_send(fd, heap, n);
    for (int i = 0; i < COUNT; i++) {
        ck_assert(surfer_read(fd, &p, true));
        ck_assert_msg(p.status == 200 && atoi(p.body) == i, "%d instead of %d", atoi(p.body), i);
    }
    close(fd);
    site_stop(&s);
}
END_TEST

/* Goal: who waits to be told to send a body is told, once, and not if the body is there already. */
START_TEST(continues)
{
    struct server s;
    struct page p;
    static const char head[] =
        "POST /cgi-bin/cat HTTP/1.1\r\nHost: a\r\nExpect: 100-continue\r\nContent-Length: 4\r\n\r\n";
    site_start(&s, NULL);
    site_script("cat", "printf 'Content-Type: a/b\\n\\n'; cat");
    int fd = client_open(&s);
    ck_assert_int_eq(site_ask(fd, head, &p), 100);
    client_send(fd, "bo", 2);
    itest_sleep(20);
    client_send(fd, "dy", 2);
    ck_assert(surfer_read(fd, &p, true) && p.status == 200);
    ck_assert_str_eq(p.body, "body");
    char both[200];
    snprintf(both, sizeof both, "%sbody", head);
    ck_assert_int_eq(site_ask(fd, both, &p), 200);
    ck_assert_str_eq(p.body, "body");
    close(fd);
    site_stop(&s);
}
END_TEST

/* ---- Large bodies ---- */

/* Goal: a body that is larger than what may wait for a client arrives whole, the connection stays, and a part of it
 * can be had. */
START_TEST(large_bodies)
{
    struct server s;
    struct page p;
    site_start(&s, NULL);
    site_file("large", large_body(LARGE), LARGE);
    int fd = client_open(&s);
    for (int i = 0; i < 3; i++) {
        ck_assert_int_eq(site_ask(fd, "GET /large HTTP/1.1\r\nHost: a\r\n\r\n", &p), 200);
        ck_assert_uint_eq(p.len, LARGE);
        ck_assert_int_eq(memcmp(p.body, large_body(LARGE), LARGE), 0);
    }
    ck_assert_int_eq(
        site_ask(fd, "GET /large HTTP/1.1\r\nHost: a\r\nRange: bytes=1000001-2999999\r\n\r\n", &p), 206);
    ck_assert_uint_eq(p.len, 1999999);
    ck_assert_int_eq(memcmp(p.body, large_body(LARGE) + 1000001, p.len), 0);
    ck_assert_int_eq(site_ask(fd, "HEAD /large HTTP/1.1\r\nHost: a\r\n\r\n", &p), 200);
    ck_assert_int_eq(site_ask(fd, "GET /large HTTP/1.1\r\nHost: a\r\nConnection: close\r\n\r\n", &p), 200);
    ck_assert_int_eq(memcmp(p.body, large_body(LARGE), LARGE), 0);
    client_expect_fin(fd);
    site_stop(&s);
}
END_TEST

/* Goal: what was asked for behind a large body, before that had been sent, is not answered: the connection ends with
 * the body, and that is whole, also if it is much more than a packet may have. */
START_TEST(behind_a_large_body)
{
    static char more[1 << 20] = "GET /large HTTP/1.1\r\nHost: a\r\n\r\n";
    struct server s;
    struct page p;
    site_start(&s, NULL);
    site_file("large", large_body(LARGE), LARGE);
    int fd = client_open(&s);
    site_send(fd, more);
    client_send(fd, more, _i == 0 ? strlen(more) : sizeof more);
    ITEST_ASSERT(surfer_read(fd, &p, true), "the body is not whole");
    ck_assert_int_eq(memcmp(p.body, large_body(LARGE), LARGE), 0);
    client_expect_fin(fd);
    site_stop(&s);
}
END_TEST

/* Goal: clients that ask for much and read nothing have little memory here, others are served meanwhile; who goes
 * away in the middle leaves nothing, and a file that becomes shorter ends its connections. */
START_TEST(slow_readers)
{
    enum { READERS = 100 };
    struct server s;
    struct page p;
    int fds[READERS];
    char request[] = "GET /huge HTTP/1.1\r\nHost: a\r\n\r\n", some[100];
    site_start(&s, NULL);
    site_text("a", "aaa");
    site_text("huge", "");
    ck_assert_int_eq(truncate(site_path("huge"), HUGE_ONE), 0);
    for (int i = 0; i < READERS; i++) {
        fds[i] = client_open_narrow(&s);
        site_send(fds[i], request);
        client_recv(fds[i], some, sizeof some);
    }
    ck_assert_int_eq(site_get(&s, "/a", "", &p), 200);
    ck_assert_uint_lt(server_rss_kb(&s), ITEST_SLOW > 1 ? 400000 : 60000);
    for (int i = 0; i < READERS / 2; i++)
        client_reset(fds[i]);
    ck_assert_int_eq(truncate(site_path("huge"), 1000), 0);
    for (int i = READERS / 2; i < READERS; i++) {
        ck_assert_int_ne(client_ending(fds[i], NULL, 10000), END_TIMEOUT);
        close(fds[i]);
    }
    site_stop(&s);
}
END_TEST

/* Goal: a stop while bodies are being sent takes no longer than any, and leaves nothing. */
START_TEST(a_stop_meanwhile)
{
    enum { READERS = 20 };
    struct server s;
    int fds[READERS];
    char some[100];
    site_start(&s, NULL);
    site_text("huge", "");
    ck_assert_int_eq(truncate(site_path("huge"), HUGE_ONE), 0);
    for (int i = 0; i < READERS; i++) {
        fds[i] = client_open_narrow(&s);
        site_send(fds[i], "GET /huge HTTP/1.1\r\nHost: a\r\n\r\n");
        client_recv(fds[i], some, sizeof some);
    }
    server_signal(&s, SIGTERM);
    for (int i = 0; i < READERS; i++) {
        size_t got = 0;
        ck_assert_int_ne(client_ending(fds[i], &got, 8000), END_TIMEOUT);
        ck_assert_uint_lt(got, HUGE_ONE);
        close(fds[i]);
    }
    ck_assert_int_eq(server_wait_exit(&s, 8000), 0);
    server_check(&s);
    site_remove();
}
END_TEST

/* Goal: who closes its side behind its requests gets their answers, and of half a request nothing. */
START_TEST(half_closed)
{
    struct server s;
    struct page p;
    site_start(&s, NULL);
    site_text("a", "aaa");
    site_script("say", "sleep 0.1; printf 'Content-Type: a/b\\n\\nhello'");
    int fd = client_open(&s);
    site_send(
        fd,
        "GET /a HTTP/1.1\r\nHost: a\r\n\r\nGET /cgi-bin/say HTTP/1.1\r\nHost: a\r\n\r\nGET /a HTTP/1.1\r\n");
    ck_assert_int_eq(shutdown(fd, SHUT_WR), 0);
    ck_assert(surfer_read(fd, &p, true) && p.status == 200 && strcmp(p.body, "aaa") == 0);
    ck_assert(surfer_read(fd, &p, true) && p.status == 200 && strcmp(p.body, "hello") == 0);
    client_expect_fin(fd);
    site_stop(&s);
    ck_assert_uint_eq(server_counter(&s, "truncated"), 1);
}
END_TEST

/* ---- Programs of others ---- */

/* Run one if it is here; what it said. Static. */
static const char *run(const char *test, const char *const *args)
{
    static char out[65536], err[4096];
    if (access(args[0], X_OK) != 0) {
        skip_note(__FILE__, test, "%s is not here", args[0]);
        return NULL;
    }
    int code = itest_run(&(struct launch){.program = args[0], .args = args + 1, .bare = true}, out,
                         sizeof out, err, sizeof err);
    ck_assert_msg(code == 0, "%s: %d, '%s', '%s'", args[0], code, err, out);
    return out;
}

static const char *url_of(const struct server *s, const char *path)
{
    static char url[100];
    snprintf(url, sizeof url, "http://127.0.0.1:%u/%s", s->port, path);
    return url;
}

/* Goal: curl gets files, ranges of them, answers of scripts to what it sends, with 100-continue too, on connections
 * that stay. */
START_TEST(curl)
{
    struct server s;
    static char path[] = "/usr/bin/curl";
    site_start(&s, NULL);
    site_text("a", "0123456789");
    site_file("large", large_body(LARGE), LARGE);
    site_script("cat", "printf 'Content-Type: a/b\\n\\n'; cat | wc -c");
    const char *url = url_of(&s, "a");
    const char *whole[] = {path, "-sSf", "--retry", "0", url, url, "-r", "2-4", NULL};
    const char *out = run(__func__, whole);
    if (out != NULL) {
        ck_assert_str_eq(out, "234234");
        const char *posts[] = {path,
                               "-sSf",
                               "-H",
                               "Expect: 100-continue",
                               "--data-binary",
                               "@/bin/true",
                               url_of(&s, "cgi-bin/cat"),
                               NULL};
        struct stat st;
        ck_assert_int_eq(stat("/bin/true", &st), 0);
        if (st.st_size < 57000)
            ck_assert_int_eq(atoll(run(__func__, posts)), st.st_size);
        const char *large[] = {
            path, "-sSf", "-o", "/dev/null", "-w", "%{http_code} %{size_download}", url_of(&s, "large"),
            NULL};
        ck_assert_str_eq(run(__func__, large), "200 5000000");
    }
    site_stop(&s);
}
END_TEST

/* Goal: programs that measure servers find no wrong answer, with connections that stay and with others, with requests
 * ahead of answers. */
START_TEST(measuring)
{
    struct server s;
    site_start(&s, NULL);
    site_file("a", large_body(1000), 1000);
    s.log_lines_max = 100;
    const char *url = url_of(&s, "a");
    const char *wrk[] = {"/usr/bin/wrk", "-t", "1", "-c", "20", "-d", "1", url, NULL};
    const char *ab[] = {"/usr/bin/ab", "-q", "-n", "1000", "-c", "20", url, NULL};
    const char *h2load[] = {"/usr/bin/h2load", "--h1", "-n", "2000", "-c", "20", "-m", "10", url, NULL};
    const char *out = run(__func__, wrk);
    if (out != NULL)
        ck_assert_msg(strstr(out, "requests in") != NULL && strstr(out, "Socket errors") == NULL &&
                          strstr(out, "Non-2xx") == NULL,
                      "%s", out);
    if ((out = run(__func__, ab)) != NULL)
        ck_assert_msg(strstr(out, "Complete requests:      1000\nFailed requests:        0\n") != NULL, "%s",
                      out);
    if ((out = run(__func__, h2load)) != NULL)
        ck_assert_msg(strstr(out, "2000 succeeded, 0 failed, 0 errored, 0 timeout") != NULL, "%s", out);
    site_stop(&s);
}
END_TEST

/* Goal: slow heads, slow bodies and slow reading, from many connections at once, keep nobody else from being served. */
START_TEST(slow_clients)
{
    struct server s;
    char all[600];
    site_start(&s, NULL);
    site_file("large", large_body(LARGE), LARGE);
    snprintf(all, sizeof all,
             "for kind in -H -B -X; do slowhttptest $kind -c 150 -r 150 -i 1 -l 1 -p 2 -u %s & done; wait",
             url_of(&s, "large"));
    const char *args[] = {"/bin/sh", "-c", all, NULL};
    if (access("/usr/bin/slowhttptest", X_OK) != 0) {
        TEST_SKIP_PART("slowhttptest is not here");
    } else {
        const char *out = run(__func__, args);
        ck_assert_msg(strstr(out, "mYES\x1b") != NULL && strstr(out, "mNO\x1b") == NULL, "%s", out);
    }
    site_stop(&s);
}
END_TEST

Suite *web_suite(void)
{
    Suite *s = suite_create("web");
    TCase *c = itest_case(s, "files", 20);
    tcase_add_test(c, each_path);
    tcase_add_test(c, methods);
    tcase_add_test(c, ranges_and_tags);
    c = itest_case(s, "heads", 20);
    tcase_add_test(c, bad_heads);
    tcase_add_test(c, long_heads);
    tcase_add_test(c, in_pieces);
    tcase_add_test(c, in_heaps);
    tcase_add_test(c, continues);
    tcase_add_test(c, half_closed);
    c = itest_case(s, "bodies", 30);
    tcase_add_test(c, large_bodies);
    tcase_add_loop_test(c, behind_a_large_body, 0, 2);
    tcase_add_test(c, slow_readers);
    tcase_add_test(c, a_stop_meanwhile);
    c = itest_case(s, "programs", 40);
    tcase_add_test(c, curl);
    tcase_add_test(c, measuring);
    tcase_add_test(c, slow_clients);
    return s;
}
