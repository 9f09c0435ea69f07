/*
 * test_admin.c: what is answered at the admin's addresses: by HTTP, by lines, to `maritcp ctl`; what is refused, and
 * how.
 */
#include <stdio.h>
#include <string.h>
#include <sys/socket.h>
#include <unistd.h>

#include "surfer.h"

/* ---- HTTP ---- */

#define WITH(line) "GET /api/stats HTTP/1.1\r\nHost: localhost\r\n" line "\r\n\r\n"
#define POST(path, more, body)                                                                  \
    "POST " path " HTTP/1.1\r\nHost: 127.0.0.1:8083\r\nContent-Type: application/json\r\n" more \
    "\r\n\r\n" body

/* One request, and what comes of it. */
static const struct {
    const char *request;
    int status;
    const char *says; /* in the body */
} requests[] = {
    {SURFER_GET("/healthz"), 200, "ok"},
    {SURFER_GET("/readyz"), 200, "ready"},
    {SURFER_GET("/"), 200, "<!DOCTYPE html>"},
    {SURFER_GET("/api/stats"), 200, "\"accepted\": "},
    {SURFER_GET("/api/stats?push_"), 200, "{\"push_targets\": 0, "},
    {SURFER_GET("/api/limits"), 200, "\"limit\": \"connections\""},
    {SURFER_GET("/api/listeners"), 200, "\"address\": \"127.0.0.1:"},
    {SURFER_GET("/api/reasons"), 200, "{\"reason\": \"peer_closed\", \"connections\": 0}"},
    {SURFER_GET("/api/help"), 200, "\"command\": \"help\""},
    {SURFER_GET("/api/help/log"), 200, "\"command\": \"log level\""},
    {SURFER_GET("/api/log/show"), 200, "\"server\": \"info\""},
    {SURFER_GET("/api/test/echo/a%20b?c+d&e%3e1&%C3%A4=&&f"), 200,
     "[\"a b\", \"c d\", \"e>1\", \"\u00e4=\", \"f\"]"},
    {SURFER_GET("/api/test/echo?%22%5c%3Cb%3E"), 200, "[\"\\\"\\\\<b>\"]"},
    {"GET /healthz HTTP/1.0\r\nHost: LocalHost:99\r\n\r\n", 200, "ok"},
    {"GET /healthz HTTP/1.1\r\nHost: [::1]:80\r\nOrigin: http://[::1]:80\r\nSec-Fetch-Site: same-origin\r\n\r\n",
     200, "ok"},
    {WITH("Sec-Fetch-Site: none"), 200, "accepted"},

    {SURFER_GET("/api/nothing"), 404, "no such command"},
    {SURFER_GET("/nothing"), 404, "nothing at this path"},
    {SURFER_GET("/api/"), 404, "no such command"},
    {SURFER_GET("/api/stats/a/b"), 400, "'b' is not understood here"},
    {SURFER_GET("/api/log/level?debug"), 405, "is a POST"},
    {SURFER_GET("/api/test/echo?%00"), 400, "a control character"},
    {SURFER_GET("/api/test/echo?%1b[2J"), 400, "a control character"},
    {SURFER_GET("/api/test/echo?%ff"), 400, "no UTF-8"},
    {SURFER_GET("/api/test/echo?%4"), 400, "a % without two"},
    {SURFER_GET("/api/test/echo?1&2&3&4&5&6&7&8&9&10&11&12&13&14&15&16&17&18&19&20"
                "&21&22&23&24&25&26&27&28&29&30&31&32&33&34&35"),
     400, "too many words"},

    {"GET /healthz HTTP/1.1\r\nHost: evil.example\r\n\r\n", 403, "admin.hosts"},
    {"GET /healthz HTTP/1.1\r\nHost: localhost.evil.example\r\n\r\n", 403, "admin.hosts"},
    {"GET /healthz HTTP/1.1\r\nHost: localhost@evil\r\n\r\n", 403, "admin.hosts"},
    {"GET /healthz HTTP/1.1\r\nHost: \r\n\r\n", 403, "admin.hosts"},
    {"GET /healthz HTTP/1.0\r\n\r\n", 403, "admin.hosts"},
    {WITH("Origin: http://evil.example"), 403, "somebody else"},
    {WITH("Origin: null"), 403, "somebody else"},
    {WITH("Origin: http://localhost.evil.example"), 403, "somebody else"},
    {WITH("Sec-Fetch-Site: cross-site"), 403, "somebody else"},
    {WITH("Sec-Fetch-Site: same-site"), 403, "somebody else"},
    {"POST /api/test/change HTTP/1.1\r\nHost: localhost\r\nContent-Type: text/plain\r\nContent-Length: 2\r\n\r\n{}",
     415, "not application/json"},
    {"POST /api/test/change HTTP/1.1\r\nHost: localhost\r\nContent-Length: 2\r\n\r\n{}", 415,
     "not application/json"},
    {"DELETE /api/stats HTTP/1.1\r\nHost: localhost\r\n\r\n", 405, "only GET"},
    {"POST / HTTP/1.1\r\nHost: localhost\r\nContent-Type: application/json\r\nContent-Length: 2\r\n\r\n{}",
     405, "for GET"},
    {WITH("Expect: 100-continue"), 417, "Expect"},

    {"GET /healthz HTTP/1.1\r\n\r\n", 400, "not a request"},
    {"GET /healthz HTTP/2.0\r\nHost: localhost\r\n\r\n", 505, "not a request"},
    {"GET /healthz\r\n\r\n", 400, "not a request"},
    {"GET http://localhost/healthz HTTP/1.1\r\nHost: localhost\r\n\r\n", 400, "not a request"},
    {"GET /healthz HTTP/1.1\nHost: localhost\n\n", 400, "not a request"},
    {"GET /healthz HTTP/1.1\r\nHost: localhost\rX: y\r\n\r\n", 400, "not a request"},
    {"GET /healthz HTTP/1.1\r\nHost : localhost\r\n\r\n", 400, "not a request"},
    {WITH("Host: localhost"), 400, "not a request"},
    {WITH(" folded"), 400, "not a request"},
    {WITH("Transfer-Encoding: chunked"), 400, "not a request"},
    {WITH("Content-Length: -1"), 400, "not a request"},
    {WITH("Content-Length: 1\r\nContent-Length: 1"), 400, "not a request"},
    {WITH("Content-Length: 4097"), 413, "more than 4096"},
    {"conn list\r\n\r\n", 400, "not a request"},
    {"\r\n\r\n", 400, "not a request"},
    {"\x16\x03\x01", 400, "not a request"}, /* TLS begins so */
};

static struct server one; /* for what leaves nothing behind */

/* All requests are put to one server: starting one for each would take a minute. */
static void check_request(size_t i)
{
    struct page p;
    surfer_send(requests[i].request, strlen(requests[i].request), &p);
    ck_assert_msg(p.status == requests[i].status, "%d for '%s', not %d: %s", p.status, requests[i].request,
                  requests[i].status, p.body);
    ck_assert_msg(strstr(p.body, requests[i].says) != NULL, "'%s' lacks '%s': '%s'", requests[i].request,
                  requests[i].says, p.body);
    bool json = strstr(p.head, "Content-Type: application/json\r\n") != NULL;
    ck_assert_msg(json == (p.body[0] == '{'), "'%s' '%s'", p.head, p.body);
}

/* Goal: each request gets the status and the body that it should, and those that are refused are counted. */
START_TEST(every_status)
{
    uint64_t refused = 0;
    surfer_start(&one, "testapp", NULL);
    for (size_t i = 0; i < sizeof requests / sizeof requests[0]; i++) {
        check_request(i);
        refused += requests[i].status >= 400 && requests[i].status != 404 &&
                   strstr(requests[i].says, "is a POST") == NULL &&
                   strstr(requests[i].says, "for GET") == NULL && strstr(requests[i].says, "'b' is") == NULL;
    }
    ck_assert_uint_eq(surfer_counter("admin_refused"), refused);
    ck_assert_uint_eq(surfer_counter("admin_denied"), 0);
    server_stop(&one);
    surfer_end();
}
END_TEST

/* Goal: what is too large is refused as soon as that is seen; one byte less is not. */
START_TEST(sizes)
{
    static char big[16384];
    struct page p;
    struct server s;
    surfer_start(&s, "testapp", NULL);
    int n = snprintf(big, sizeof big, "GET /healthz HTTP/1.1\r\nHost: localhost\r\nX: ");
    memset(big + n, 'x', 8192 - (size_t) n - 4);
    memcpy(big + 8192 - 4, "\r\n\r\n", 4);
    surfer_send(big, 8192, &p);
    ck_assert_int_eq(p.status, 200);
    memset(big + n, 'x', sizeof big - (size_t) n);
    surfer_send(big, 8192, &p);
    ck_assert_int_eq(p.status, 431);
    n = snprintf(big, sizeof big, "GET /healthz HTTP/1.1\r\nHost: localhost\r\n");
    for (int i = 0; i < 64; i++)
        n += snprintf(big + n, sizeof big - (size_t) n, "X: %d\r\n", i);
    n += snprintf(big + n, sizeof big - (size_t) n, "\r\n");
    surfer_send(big, (size_t) n, &p); /* 65 fields */
    ck_assert_int_eq(p.status, 431);
    n = snprintf(big, sizeof big, POST("/api/test/echo", "Content-Length: 4096", "{\"args\": [\""));
    memset(big + n, ' ', 4096);
    memcpy(big + n + 4096 - 11 - 3, "\"]}", 3);
    surfer_send(big, (size_t) n - 11 + 4096, &p);
    ck_assert_msg(p.status == 200, "%d %s", p.status, p.body);
    server_stop(&s);
    surfer_end();
}
END_TEST

/* Goal: without the token nothing changes, whoever asks over TCP: told so after a second, while others are answered;
 * with it, and on the unix socket, it does. */
START_TEST(token)
{
    static const char *const wrong[] = {NULL,
                                        "",
                                        "wrong",
                                        "a-token-of-thirty-characters.",
                                        SURFER_TOKEN "x",
                                        "A-token-of-thirty-characters.."};
    enum { WRONG = sizeof wrong / sizeof wrong[0] };
    struct page p;
    struct server s;
    int fds[WRONG];
    surfer_start(&s, "testapp", NULL);
    ck_assert_int_eq(surfer_post("/api/test/change", "{}", SURFER_TOKEN, &p), 200);
    ck_assert_str_eq(p.body, "{\"changes\": 1}\n");
    uint64_t began = mono_ns();
    for (int i = 0; i < WRONG; i++) {
        char request[512];
        int n = snprintf(request, sizeof request, POST("/api/test/change", "%s%s%sContent-Length: 2", "{}"),
                         wrong[i] != NULL ? "Authorization: Bearer " : "", wrong[i] != NULL ? wrong[i] : "",
                         wrong[i] != NULL ? "\r\n" : "");
        fds[i] = surfer_open();
        ck_assert_int_eq(net_send_wait(fds[i], request, (size_t) n, itest_deadline(2000)), 0);
    }
    ck_assert_int_eq(surfer_get("/healthz", &p), 200);
    ck_assert_uint_lt(itest_ms_since(began), 900 * ITEST_SLOW);
    for (int i = 0; i < WRONG; i++) {
        ck_assert(surfer_read(fds[i], &p, true));
        ck_assert_msg(p.status == 401 && strstr(p.head, "WWW-Authenticate: Bearer") != NULL, "%d %s",
                      p.status, p.head);
        ck_assert_uint_ge(itest_ms_since(began), 950); /* a loop counts from when it woke */
        close(fds[i]);
    }
    ck_assert_uint_eq(surfer_counter("admin_denied"), WRONG);
    ck_assert_int_eq(surfer_post("/api/test/change", "{\"args\": []}", SURFER_TOKEN, &p), 200);
    ck_assert_str_eq(p.body, "{\"changes\": 2}\n");
    int local = surfer_open_unix(); /* HTTP is there too, and needs none */
    static const char request[] = POST("/api/test/change", "Content-Length: 2", "{}");
    ck_assert_int_eq(net_send_wait(local, request, sizeof request - 1, itest_deadline(2000)), 0);
    ck_assert(surfer_read(local, &p, true));
    ck_assert_str_eq(p.body, "{\"changes\": 3}\n");
    close(local);
    server_stop(&s);
    surfer_end();
}
END_TEST

/* Goal: requests that come together are answered in order on one connection, whether they are answered at once or
 * later; a HEAD has no body; the last one closes; and a client that shuts its half gets all that it has asked for. */
START_TEST(one_after_the_other)
{
    static const char requests_together[] = SURFER_GET("/healthz")
        SURFER_GET("/api/test/later?50") "HEAD /readyz HTTP/1.1\r\nHost: "
                                         "localhost\r\n\r\n" SURFER_GET("/api/test/echo?x")
                                             SURFER_GET("/api/test/later?1");
    struct page p;
    struct server s;
    char more;
    surfer_start(&s, "testapp", NULL);
    int fd = surfer_open();
    for (size_t i = 0; i < sizeof requests_together - 1; i++) /* byte by byte: cut at each place */
        ck_assert_int_eq(net_send_wait(fd, requests_together + i, 1, itest_deadline(2000)), 0);
    ck_assert_int_eq(shutdown(fd, SHUT_WR), 0);
    ck_assert(surfer_read(fd, &p, true) && strcmp(p.body, "ok\n") == 0);
    ck_assert(surfer_read(fd, &p, true) && strcmp(p.body, "{\"late\": true, \"wanted\": true}\n") == 0);
    ck_assert(surfer_read(fd, &p, false) && strstr(p.head, "Content-Length: 6\r\n") != NULL);
    ck_assert(surfer_read(fd, &p, true) && strcmp(p.body, "{\"words\": [\"x\"]}\n") == 0);
    ck_assert(surfer_read(fd, &p, true) && strcmp(p.body, "{\"late\": true, \"wanted\": true}\n") == 0);
    ck_assert_int_eq(net_recv_wait(fd, &more, 1, itest_deadline(2000)), 0);
    close(fd);
    server_stop(&s);
    surfer_end();
}
END_TEST

/* ---- The lines ---- */

static const struct {
    const char *line, *answer;
} lines[] = {
    {"test echo a  \"b c\" d\\e \"q\\\"\\\\\" x\"y z\"\n",
     "0 49\nwords a\nwords b c\nwords d\\e\nwords q\"\\\nwords xy z\n"},
    {"json test echo \xc3\xa4\r\n", "0 18\n{\"words\": [\"\u00e4\"]}\n"},
    {"test echo\n", "0 11\nwords none\n"},
    {"stats push_gone\n", "0 12\npush_gone 0\n"},
    {"nothing\n", "2 44\nthere is no such command; `help` names them\n"},
    {"json nothing\n", "2 57\n{\"error\": \"there is no such command; `help` names them\"}\n"},
    {"\n", "2 30\nno command; `help` names them\n"},
    {"stats \"a\n", "2 19\na quote is missing\n"},
    {"stats a b\n", "2 27\n'b' is not understood here\n"},
    {"stats \x1b[2J\n", "2 33\na control character, or no UTF-8\n"},
    {"stats \xff\n", "2 33\na control character, or no UTF-8\n"},
    {"test change\ntest change\n", "0 10\nchanges 1\n0 10\nchanges 2\n"},
    {"test echo no newline", ""},
};

/* Goal: each line gets its answer, with exit code and length, and several in a row get theirs. */
START_TEST(every_line)
{
    static char longest[5000];
    struct server s;
    surfer_start(&s, "testapp", NULL);
    for (size_t i = 0; i < sizeof lines / sizeof lines[0]; i++)
        ck_assert_msg(strcmp(surfer_say(lines[i].line, strlen(lines[i].line)), lines[i].answer) == 0,
                      "'%s' gives '%s'", lines[i].line, surfer_say(lines[i].line, strlen(lines[i].line)));
    memset(longest, 'x', sizeof longest);
    memcpy(longest, "test echo ", 10);
    longest[4095] = '\n';
    ck_assert_int_eq(strncmp(surfer_say(longest, 4096), "0 ", 2), 0);
    longest[4095] = 'x';
    ck_assert_str_eq(surfer_say(longest, sizeof longest), "2 30\na line longer than 4096 bytes\n");
    server_stop(&s);
    surfer_end();
}
END_TEST

/* Goal: `maritcp ctl` prints what is answered, and its exit code says what became of it. */
START_TEST(ctl)
{
    static const struct {
        const char *words[5];
        int code;
        const char *out, *err;
    } rows[] = {
        {{"test", "echo", "a b", "\"\\"}, 0, "words a b\nwords \"\\\n", ""},
        {{"--json", "test", "echo", "x"}, 0, "{\"words\": [\"x\"]}\n", ""},
        {{"test", "later", "20"}, 0, "late yes\nwanted yes\n", ""},
        {{"test", "change"}, 0, "changes 1\n", ""},
        {{"nothing"}, 2, "", "maritcp: there is no such command; `help` names them\n"},
        {{"--json", "stats", "a", "b"}, 2, "{\"error\": \"'b' is not understood here\"}\n", ""},
        {{"--nothing"}, 2, "", "usage: maritcp ctl"},
        {{NULL}, 2, "", "usage: maritcp ctl"},
        {{"test", "echo", "a\nb"}, 2, "", "maritcp: the command is longer"},
    };
    struct server s;
    char out[4096], err[4096];
    surfer_start(&s, "testapp", NULL);
    for (size_t i = 0; i < sizeof rows / sizeof rows[0]; i++) {
        const char *args[9] = {"ctl", "-s", surfer_socket()};
        for (int k = 0; k < 5 && rows[i].words[k] != NULL; k++)
            args[3 + k] = rows[i].words[k];
        int code = itest_run(&(struct launch){.program = "maritcp", .args = args, .bare = true}, out,
                             sizeof out, err, sizeof err);
        ck_assert_msg(code == rows[i].code && strcmp(out, rows[i].out) == 0 &&
                          strncmp(err, rows[i].err, strlen(rows[i].err)) == 0,
                      "row %zu: %d '%s' '%s'", i, code, out, err);
    }
    server_stop(&s);
    const char *args[] = {"ctl", "-s", surfer_socket(), "help", NULL};
    ck_assert_int_eq(itest_run(&(struct launch){.program = "maritcp", .args = args, .bare = true}, out,
                               sizeof out, err, sizeof err),
                     3);
    ck_assert_msg(strstr(err, "no server answers at") != NULL, "%s", err);
    surfer_end();
}
END_TEST

/* Goal: completion for bash offers the commands that the server has, and their second words. */
START_TEST(completion)
{
    static const struct {
        const char *line; /* the last word is to be completed */
        const char *has, *has_not;
    } rows[] = {
        {"ctl -s $SOCKET ''", " test ", " level "},
        {"ctl -s $SOCKET st", " stats ", " test "},
        {"ctl -s $SOCKET --json log ''", " level show ", " stats "},
        {"ctl -s $SOCKET log l", " level ", " show "},
        {"ctl --", " --json ", " stats "},
        {"''", " ctl ", " stats "},
    };
    struct server s;
    char out[4096], err[4096], script[128];
    surfer_start(&s, "testapp", NULL);
    snprintf(script, sizeof script, "%s.bash", surfer_socket());
    for (size_t i = 0; i < sizeof rows / sizeof rows[0]; i++) {
        FILE *f = fopen(script, "w");
        ck_assert_ptr_ne(f, NULL);
        fprintf(f,
                ". %s/contrib/completion/maritcp\nSOCKET=%s\nCOMP_WORDS=(%s %s)\n"
                "COMP_CWORD=$((${#COMP_WORDS[@]} - 1))\n_maritcp\necho \" ${COMPREPLY[*]} \"\n",
                itest_root(), surfer_socket(), itest_program("maritcp"), rows[i].line);
        fclose(f);
        const char *args[] = {script, NULL};
        ck_assert_int_eq(itest_run(&(struct launch){.program = "/bin/bash", .args = args, .bare = true}, out,
                                   sizeof out, err, sizeof err),
                         0);
        ck_assert_msg(strstr(out, rows[i].has) != NULL && strstr(out, rows[i].has_not) == NULL,
                      "'%s': '%s' '%s'", rows[i].line, out, err);
    }
    server_stop(&s);
    surfer_end();
}
END_TEST

/* Goal: without -s the socket is that of the configuration file. */
START_TEST(ctl_reads_the_configuration)
{
    struct server s;
    char file[128], out[4096], err[4096];
    surfer_start(&s, "testapp", NULL);
    snprintf(file, sizeof file, "%s.conf", surfer_socket());
    FILE *f = fopen(file, "w");
    ck_assert_ptr_ne(f, NULL);
    fprintf(f, "[admin]\nlisten = 127.0.0.1:1, unix:%s, unix:/nowhere\n[server]\nuser = nobody-there\n",
            surfer_socket());
    fclose(f);
    const char *args[] = {"ctl", "-c", file, "stats", "restarts", NULL};
    int code = itest_run(&(struct launch){.program = "maritcp", .args = args, .bare = true}, out, sizeof out,
                         err, sizeof err);
    ck_assert_msg(code == 0 && strcmp(out, "restarts 0\n") == 0, "%d '%s' '%s'", code, out, err);
    const char *wrong[] = {"ctl", "-c", "/nowhere/at/all", "stats", NULL};
    code = itest_run(&(struct launch){.program = "maritcp", .args = wrong, .bare = true}, out, sizeof out,
                     err, sizeof err);
    ck_assert_msg(code == 2 && strstr(err, "/nowhere/at/all") != NULL, "%d '%s'", code, err);
    server_stop(&s);
    surfer_end();
}
END_TEST

Suite *admin_suite(void)
{
    Suite *s = suite_create("admin");
    TCase *http = itest_case(s, "http", 10), *lines_case = itest_case(s, "lines", 10);
    tcase_add_test(http, every_status);
    tcase_add_test(http, sizes);
    tcase_add_test(http, token);
    tcase_add_test(http, one_after_the_other);
    tcase_add_test(lines_case, every_line);
    tcase_add_test(lines_case, ctl);
    tcase_add_test(lines_case, completion);
    tcase_add_test(lines_case, ctl_reads_the_configuration);
    return s;
}
