/*
 * test_web_scripts.c: scripts of example/web: what they get, what they may answer, and what becomes of those that
 * answer wrongly, late or not at all, and of the processes that run them. /
 */
#include "site.h"

#include <pthread.h>
#include <signal.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/stat.h>
#include <unistd.h>

#include "program.h"

/* The value of a variable in what `env` printed; NULL if there is none. Static. */
static const char *variable(const struct page *p, const char *name)
{
    static char value[512], mark[64];
    snprintf(mark, sizeof mark, "\n%s=", name);
    const char *at = strstr(p->body, mark);
    if (at == NULL)
        return NULL;
    at += strlen(mark);
    snprintf(value, sizeof value, "%.*s", (int) strcspn(at, "\n"), at);
    return value;
}

static const struct {
    const char *name, *value; /* NULL: there is none of this name */
} variables[] = {
    {"GATEWAY_INTERFACE", "CGI/1.1"},
    {"REQUEST_METHOD", "POST"},
    {"SCRIPT_NAME", "/cgi-bin/env"},
    {"PATH_INFO", "/more /of it"},
    {"QUERY_STRING", "q=%20&r"},
    {"SERVER_NAME", "a.b"},
    {"SERVER_PROTOCOL", "HTTP/1.1"},
    {"REMOTE_ADDR", "127.0.0.1"},
    {"REMOTE_HOST", "127.0.0.1"},
    {"CONTENT_LENGTH", "4"},
    {"CONTENT_TYPE", "x/y"},
    {"HTTP_HOST", "a.b:80"},
    {"HTTP_X_ONE", "1, 2"},
    {"HTTP_COOKIE", "a=b; c=d"},
    {"HTTP_PROXY", NULL}, /* "httpoxy" */
    {"HTTP_X_TWO", NULL}, /* sent as X_Two: it must not pass for X-Two */
    {"HTTP_AUTHORIZATION", NULL},
    {"HTTP_CONTENT_LENGTH", NULL},
    {"HOME", NULL}, /* nothing of the server's own */
    {"SECRET_OF_THE_SERVER", NULL},
};

/* Goal: a script gets the variables of RFC 3875, and nothing that clients could pass off as something else. */
START_TEST(what_it_gets)
{
    struct server s;
    struct page p;
    char port[16];
    setenv("SECRET_OF_THE_SERVER", "x", 1);
    site_start(&s, NULL);
    site_script("env", "printf 'Content-Type: text/plain\\n\\n\\n'; env");
    int fd = client_open(&s);
    ck_assert_int_eq(
        site_ask(fd,
                 "POST /cgi-bin/env/more%20/of%20it?q=%20&r HTTP/1.1\r\nHost: a.b:80\r\nX-One: 1\r\n"
                 "Proxy: http://evil\r\nX_Two: 3\r\nCookie: a=b\r\nx-one: 2\r\nCookie: c=d\r\n"
                 "Authorization: Basic x\r\nContent-Type: x/y\r\nContent-Length: 4\r\n\r\nbody",
                 &p),
        200);
    for (size_t i = 0; i < sizeof variables / sizeof variables[0]; i++) {
        const char *got = variable(&p, variables[i].name), *want = variables[i].value;
        ck_assert_msg(want == NULL ? got == NULL : got != NULL && strcmp(got, want) == 0, "%s=%s",
                      variables[i].name, got != NULL ? got : "(none)");
    }
    snprintf(port, sizeof port, "%u", s.port);
    ck_assert_str_eq(variable(&p, "SERVER_PORT"), port);
    ck_assert_str_eq(variable(&p, "PATH_TRANSLATED"), site_path("more /of it"));
    close(fd);
    site_stop(&s);
}
END_TEST

static const struct {
    const char *name, *text;
    int status;
    const char *body;
} scripts[] = {
    {"plain", "printf 'Content-Type: a/b\\n\\nhello'", 200, "hello"},
    {"status", "printf 'Status: 404 Not Here\\nContent-Type: a/b\\n\\nno'", 404, "no"},
    {"moved", "printf 'Location: http://a.b/\\n\\n'", 302, ""},
    {"empty", "printf 'Status: 204\\n\\n'", 204, NULL},
    {"code", "printf 'Content-Type: a/b\\n\\nfailed'; exit 3", 200, "failed"},
    {"lies", "printf 'Content-Type: a/b\\nContent-Length: 99\\nConnection: close\\n\\nfive!'", 200, "five!"},
    {"nothing", "true", 502, NULL},
    {"garbage", "printf 'hello, world'", 502, NULL},
    {"split", "printf 'Content-Type: a/b\\nX: y\\rSet-Cookie: z\\n\\n'", 502, NULL},
    {"headless", "printf '\\n\\nhello'", 502, NULL},
    {"endless", "cat /dev/zero", 502, NULL},
    {"killed", "kill -9 $$", 502, NULL},
    {"killer", "printf 'Content-Type: a/b\\n\\nhello'; kill -9 $PPID; sleep 30", 502, NULL},
    {"killed_late", "printf 'Content-Type: a/b\\n\\nhello'; kill -9 $$", 200, "hello"},
};

/* Goal: each answer is handed on, or 502, on a connection that stays whatever it was; the pool is whole afterwards. */
START_TEST(what_it_says)
{
    struct server s;
    struct page p;
    char request[200];
    site_start(&s, "-n", "2", NULL);
    int fd = client_open(&s);
    for (size_t i = 0; i < sizeof scripts / sizeof scripts[0]; i++) {
        site_script(scripts[i].name, scripts[i].text);
        snprintf(request, sizeof request, "GET /cgi-bin/%s HTTP/1.1\r\nHost: a\r\n\r\n", scripts[i].name);
        ck_assert_msg(site_ask(fd, request, &p) == scripts[i].status, "%s: %d", scripts[i].name, p.status);
        if (scripts[i].body != NULL)
            ck_assert_str_eq(p.body, scripts[i].body);
        ck_assert_str_eq(site_field(&p, "connection"), "");
    }
    ck_assert_int_eq(site_ask(fd, "HEAD /cgi-bin/plain HTTP/1.1\r\nHost: a\r\n\r\n", &p), 200);
    ck_assert_int_eq(site_ask(fd, "GET /cgi-bin/status HTTP/1.1\r\nHost: a\r\n\r\n", &p), 404);
    ck_assert_ptr_ne(strstr(p.head, "HTTP/1.1 404 Not Here\r\n"), NULL);
    close(fd);
    site_stop(&s);
}
END_TEST

/* Goal: what is no program of the directory is not run. */
START_TEST(what_is_none)
{
    static const struct {
        const char *path;
        int status;
    } none[] = {{"/cgi-bin/", 404},         {"/cgi-bin/none", 404},      {"/cgi-bin/sub/plain", 404},
                {"/cgi-bin/link", 404},     {"/cgi-bin/..", 404},        {"/cgi-bin/../cgi-bin/plain", 404},
                {"/cgi-bin/.plain", 404},   {"/cgi-bin/%2fbin/sh", 404}, {"/cgi-bin//bin/sh", 404},
                {"/cgi-bin/plain%00", 400}, {"/cgi-bin/text", 403}};
    struct server s;
    struct page p;
    char from[300], to[300];
    site_start(&s, NULL);
    site_script("plain", "printf 'Content-Type: a/b\\n\\nhello'");
    site_script("text", "printf 'Content-Type: a/b\\n\\nhello'");
    snprintf(to, sizeof to, "%s", site_path("../cgi-bin/text"));
    ck_assert_int_eq(chmod(to, 0644), 0);
    snprintf(from, sizeof from, "%s", site_path("../cgi-bin/link"));
    ck_assert_int_eq(symlink("/bin/true", from), 0);
    for (size_t i = 0; i < sizeof none / sizeof none[0]; i++) {
        ck_assert_msg(site_get(&s, none[i].path, "", &p) == none[i].status, "%s: %d", none[i].path, p.status);
    }
    int fd = client_open(&s);
    ck_assert_int_eq(site_ask(fd, "DELETE /cgi-bin/plain HTTP/1.1\r\nHost: a\r\n\r\n", &p), 501);
    close(fd);
    site_stop(&s);
}
END_TEST

/* Goal: bodies and answers of any size go through, the large ones of both ways. */
START_TEST(any_size)
{
    static const size_t sizes[] = {1, 100, 8191, 40000, 60000};
    static char request[65536];
    struct server s;
    struct page p;
    site_start(&s, NULL);
    site_script("cat", "printf 'Content-Type: a/b\\n\\n'; cat");
    site_script("large", "printf 'Content-Type: a/b\\n\\n'; head -c 3000000 /dev/zero | tr '\\0' z");
    int fd = client_open(&s);
    for (size_t i = 0; i < sizeof sizes / sizeof sizes[0]; i++) {
        size_t n = (size_t) sprintf(
            request, "POST /cgi-bin/cat HTTP/1.1\r\nHost: a\r\nContent-Length: %zu\r\n\r\n", sizes[i]);
        memset(request + n, 'b', sizes[i]);
        request[n + sizes[i]] = '\0';
        ck_assert_int_eq(site_ask(fd, request, &p), 200);
        ck_assert_uint_eq(p.len, sizes[i]);
        ck_assert_uint_eq(strspn(p.body, "b"), sizes[i]);
    }
    for (int i = 0; i < 2; i++) {
        ck_assert_int_eq(site_ask(fd, "GET /cgi-bin/large HTTP/1.1\r\nHost: a\r\n\r\n", &p), 200);
        ck_assert_uint_eq(p.len, 3000000);
        ck_assert_uint_eq(strspn(p.body, "z"), 3000000);
    }
    close(fd);
    site_stop(&s);
}
END_TEST

/* ---- Late ones ---- */

static bool is_gone(void *arg)
{
    return kill(*(pid_t *) arg, 0) != 0;
}

static bool is_there(void *arg)
{
    return access(arg, F_OK) == 0;
}

/* Goal: a script that takes too long is killed, with what it started, and its client gets 504; its process is replaced,
 * and files are served meanwhile. */
START_TEST(too_slow)
{
    struct server s;
    struct page p;
    site_start(&s, "-n", "1", "-t", "1", NULL);
    site_text("a", "aaa");
    site_script("slow",
                "sleep 60 & echo $$ $! > pids.new; mv pids.new pids; printf 'Content-Type: a/b\\n\\n'; wait");
    site_script("plain", "printf 'Content-Type: a/b\\n\\nhello'");
    int fd = client_open(&s);
    site_send(fd, "GET /cgi-bin/slow HTTP/1.1\r\nHost: a\r\n\r\n");
    ck_assert_int_eq(site_get(&s, "/a", "", &p), 200);
    ck_assert(surfer_read(fd, &p, true));
    ck_assert_int_eq(p.status, 504);
    char *pids = program_slurp(site_path("../cgi-bin/pids")), *next;
    pid_t one = (pid_t) strtol(pids, &next, 10), two = (pid_t) strtol(next, NULL, 10);
    free(pids);
    ck_assert(one > 0 && two > 0 && itest_wait(is_gone, &one, 5000) && itest_wait(is_gone, &two, 5000));
    ck_assert_int_eq(site_ask(fd, "GET /cgi-bin/plain HTTP/1.1\r\nHost: a\r\n\r\n", &p), 200);
    close(fd);
    site_stop(&s);
}
END_TEST

/* Goal: when all processes are busy others are told to come again, soon, and are served when one is free; files are
 * all the time. */
START_TEST(busy)
{
    enum { ASKING = 6 };
    struct server s;
    struct page p;
    int fds[ASKING], good = 0, refused = 0;
    site_start(&s, "-n", "2", NULL);
    site_text("a", "aaa");
    site_script("wait",
                "while [ ! -e ../htdocs/go ]; do sleep 0.02; done; printf 'Content-Type: a/b\\n\\nhello'");
    for (int i = 0; i < ASKING; i++) {
        fds[i] = client_open(&s);
        site_send(fds[i], "GET /cgi-bin/wait HTTP/1.1\r\nHost: a\r\n\r\n");
    }
    for (int i = 0; i < 5; i++)
        ck_assert_int_eq(site_get(&s, "/a", "", &p), 200);
    ck_assert_int_eq(site_get(&s, "/cgi-bin/wait", "", &p), 503); /* behind them all */
    ck_assert_str_eq(site_field(&p, "retry-after"), "1");
    site_text("go", "");
    for (int i = 0; i < ASKING; i++) {
        ck_assert(surfer_read(fds[i], &p, true));
        good += p.status == 200;
        refused += p.status == 503;
        close(fds[i]);
    }
    ck_assert_msg(good >= 2 && good + refused == ASKING, "%d good, %d refused", good, refused);
    ck_assert_int_eq(site_get(&s, "/cgi-bin/wait", "", &p), 200);
    site_stop(&s);
}
END_TEST

/* Goal: a client that goes away while its script runs leaves nothing, and a stop does not wait for scripts longer
 * than for any function. */
START_TEST(nobody_waits)
{
    struct server s;
    struct page p;
    site_start(&s, "-n", "2", "-t", "2", NULL);
    site_script("slow", "sleep 1; printf 'Content-Type: a/b\\n\\n'; head -c 1000000 /dev/zero");
    site_script("plain", "printf 'Content-Type: a/b\\n\\nhello'");
    for (int i = 0; i < 4; i++) {
        int fd = client_open(&s);
        site_send(fd, "GET /cgi-bin/slow HTTP/1.1\r\nHost: a\r\n\r\n");
        client_reset(fd);
    }
    while (site_get(&s, "/cgi-bin/plain", "", &p) == 503)
        itest_sleep(10);
    ck_assert_int_eq(p.status, 200);
    site_stop(&s);
}
END_TEST

static bool has_three(void *arg)
{
    pid_t pids[SITE_POOL];
    return site_pool(arg, pids) == 3;
}

/* Goal: processes that die while nobody asks them are replaced; if their parent does, scripts are refused, and the
 * server goes on. */
START_TEST(the_pool_is_killed)
{
    struct server s;
    struct page p;
    pid_t pids[SITE_POOL];
    site_start(&s, "-n", "3", NULL);
    site_text("a", "aaa");
    site_script("plain", "printf 'Content-Type: a/b\\n\\nhello'");
    ck_assert(itest_wait(has_three, &s, 5000));
    site_pool(&s, pids);
    for (int i = 1; i <= 3; i++) {
        kill(pids[i], SIGKILL);
        ck_assert(itest_wait(is_gone, &pids[i], 5000));
    }
    for (int i = 0; i < 10; i++)
        ck_assert_int_eq(site_get(&s, "/cgi-bin/plain", "", &p), 200);
    ck_assert(itest_wait(has_three, &s, 5000));
    kill(pids[0], SIGKILL);
    while (site_get(&s, "/cgi-bin/plain", "", &p) == 200)
        itest_sleep(1);
    ck_assert_msg(p.status == 503 || p.status == 502, "%d", p.status);
    ck_assert_int_eq(site_get(&s, "/a", "", &p), 200);
    server_finish(&s);
    site_remove();
}
END_TEST

/* Goal: a server that is killed takes its processes with it, and what they run. */
START_TEST(the_server_is_killed)
{
    struct server s;
    pid_t pids[SITE_POOL];
    site_start(&s, "-n", "3", NULL);
    site_script("slow", "echo $$ > pid.new; mv pid.new pid; sleep 60");
    site_pool(&s, pids);
    int fd = client_open(&s);
    site_send(fd, "GET /cgi-bin/slow HTTP/1.1\r\nHost: a\r\n\r\n");
    ck_assert(itest_wait(is_there, (void *) (size_t) site_path("../cgi-bin/pid"), 5000));
    char *text = program_slurp(site_path("../cgi-bin/pid"));
    pids[1] = (pid_t) atoi(text);
    free(text);
    server_signal(&s, SIGKILL);
    ck_assert_int_eq(server_wait_exit(&s, 5000), 128 + SIGKILL);
    ck_assert(itest_wait(is_gone, &pids[0], 5000) && itest_wait(is_gone, &pids[1], 5000));
    close(fd);
    server_discard(&s);
    site_remove();
}
END_TEST

/* Goal: programs that could be read as files are not run: the server does not start. */
START_TEST(programs_among_the_files)
{
    char err[300];
    const char *args[] = {"-l127.0.0.1:0 proto=http", "-d", "/usr", "-c", "/usr/bin", NULL};
    ck_assert_int_eq(
        itest_run(&(struct launch){.program = "web", .args = args, .bare = true}, NULL, 0, err, sizeof err),
        2);
    ck_assert_str_eq(err, "web: /usr/bin: it is below the files, which anybody may read\n");
}
END_TEST

Suite *web_scripts_suite(void)
{
    Suite *s = suite_create("web_scripts");
    TCase *c = itest_case(s, "answers", 30);
    tcase_add_test(c, what_it_gets);
    tcase_add_test(c, what_it_says);
    tcase_add_test(c, what_is_none);
    tcase_add_test(c, any_size);
    c = itest_case(s, "late", 30);
    tcase_add_test(c, too_slow);
    tcase_add_test(c, busy);
    tcase_add_test(c, nobody_waits);
    tcase_add_test(c, the_pool_is_killed);
    tcase_add_test(c, the_server_is_killed);
    tcase_add_test(c, programs_among_the_files);
    return s;
}
