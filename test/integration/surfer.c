/*
 * surfer.c: somebody at a server's admin address over HTTP. See surfer.h.
 */
#include "surfer.h"

#include <errno.h>
#include <poll.h>
#include <stdarg.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/stat.h>
#include <unistd.h>

#include "program.h"

enum { ARGS = 24, ANSWER_MS = 8000, BODY_ROOM = 8 << 20 };

static char dir[64];
static struct net_target tcp, local;

static void write_token(const char *path)
{
    FILE *f = fopen(path, "w");
    ck_assert(f != NULL && fchmod(fileno(f), 0600) == 0);
    fprintf(f, "%s\nwhat is behind the first line does not count\n", SURFER_TOKEN);
    fclose(f);
}

static void find_socket(void)
{
    char where[128];
    snprintf(where, sizeof where, "unix:%s", surfer_socket());
    ck_assert_ptr_eq(net_resolve(where, NULL, &local), NULL);
}

/* From its log, which has a line for each address. */
void surfer_find(const struct server *s)
{
    static const char mark[] = "operators may ask at 127.0.0.1:";
    server_wait_log(s, mark, 4000);
    char *text = program_slurp(s->log), *at = strstr(text, mark), port[8];
    ck_assert_msg(at != NULL, "no admin address in '%s'", text);
    at += sizeof mark - 1;
    snprintf(port, sizeof port, "%.*s", (int) strspn(at, "0123456789"), at);
    free(text);
    ck_assert_ptr_eq(net_resolve("127.0.0.1", port, &tcp), NULL);
    find_socket();
}

const char *surfer_socket(void)
{
    static char path[96];
    snprintf(path, sizeof path, "%s/ctl.sock", dir);
    return path;
}

void surfer_make_socket(char *listen, size_t size)
{
    program_make_dir(dir, sizeof dir);
    find_socket();
    snprintf(listen, size, "admin.listen=unix:%s", surfer_socket());
}

void surfer_make_options(const char *options[2])
{
    static char listen[160], token[160], file[128];
    program_make_dir(dir, sizeof dir);
    snprintf(file, sizeof file, "%s/token", dir);
    write_token(file);
    snprintf(listen, sizeof listen, "admin.listen=unix:%s,127.0.0.1:0", surfer_socket());
    snprintf(token, sizeof token, "admin.token_file=%s", file);
    options[0] = listen;
    options[1] = token;
}

void surfer_start(struct server *s, const char *program, ...)
{
    const char *args[ARGS] = {NULL};
    size_t n = 2;
    va_list more;
    surfer_make_options(args);
    va_start(more, program);
    for (const char *arg; (arg = va_arg(more, const char *)) != NULL && n + 1 < ARGS;)
        args[n++] = arg;
    va_end(more);
    server_launch(s, &(struct launch){.program = program, .args = args});
    surfer_find(s);
}

void surfer_end(void)
{
    program_remove_dir(dir);
}

static int open_at(const struct net_target *t)
{
    int fd = net_connect_wait(t, itest_deadline(ANSWER_MS));
    ck_assert_msg(fd >= 0, "%s: %s", t->name, strerror(errno));
    return fd;
}

int surfer_open(void)
{
    return open_at(&tcp);
}

int surfer_open_unix(void)
{
    return open_at(&local);
}

/* Up to and with the empty line. False at the end. */
static bool read_head(int fd, struct page *p, uint64_t deadline)
{
    size_t n = 0;
    while (n < 4 || memcmp(p->head + n - 4, "\r\n\r\n", 4) != 0) {
        ck_assert_msg(n + 1 < sizeof p->head, "a head of %zu bytes", n);
        ptrdiff_t got = net_recv_wait(fd, p->head + n, 1, deadline);
        if (got == 0 || (got < 0 && errno == ECONNRESET))
            return false;
        ck_assert_msg(got == 1, "no answer: %s", strerror(errno));
        n++;
    }
    p->head[n] = '\0';
    return true;
}

bool surfer_read(int fd, struct page *p, bool with_body)
{
    static char *body;
    uint64_t deadline = itest_deadline(ANSWER_MS);
    if (body == NULL)
        body = malloc(BODY_ROOM);
    ck_assert_ptr_ne(body, NULL);
    if (!read_head(fd, p, deadline))
        return false;
    const char *length = strstr(p->head, "\r\nContent-Length: ");
    ck_assert_msg(sscanf(p->head, "HTTP/1.1 %d ", &p->status) == 1, "'%s'", p->head);
    bool has_none = p->status < 200 || p->status == 204 || p->status == 304;
    ck_assert_msg((length == NULL) == has_none, "'%s'", p->head);
    p->len = with_body && !has_none ? (size_t) atoll(length + 18) : 0;
    ck_assert_uint_lt(p->len, BODY_ROOM);
    ck_assert_int_eq(net_recv_wait(fd, body, p->len, deadline), (ptrdiff_t) p->len);
    body[p->len] = '\0';
    p->body = body;
    return true;
}

void surfer_send(const char *request, size_t n, struct page *p)
{
    int fd = surfer_open();
    ck_assert_int_eq(net_send_wait(fd, request, n, itest_deadline(ANSWER_MS)), 0);
    ck_assert_msg(surfer_read(fd, p, true), "no answer to '%.200s'", request);
    close(fd);
}

int surfer_get(const char *path, struct page *p)
{
    char request[512];
    int n = snprintf(request, sizeof request, "GET %s HTTP/1.1\r\nHost: localhost\r\n\r\n", path);
    surfer_send(request, (size_t) n, p);
    return p->status;
}

int surfer_post(const char *path, const char *body, const char *token, struct page *p)
{
    char request[1024];
    int n = snprintf(request, sizeof request,
                     "POST %s HTTP/1.1\r\nHost: localhost:8083\r\nContent-Type: application/json\r\n"
                     "%s%s%sContent-Length: %zu\r\n\r\n%s",
                     path, token != NULL ? "Authorization: Bearer " : "", token != NULL ? token : "",
                     token != NULL ? "\r\n" : "", strlen(body), body);
    surfer_send(request, (size_t) n, p);
    return p->status;
}

const char *surfer_say(const char *line, size_t n)
{
    static char answer[65536];
    int fd = surfer_open_unix();
    ck_assert_int_eq(net_send_wait(fd, line, n, itest_deadline(4000)), 0);
    shutdown(fd, SHUT_WR);
    ptrdiff_t got = net_recv_wait(fd, answer, sizeof answer - 1, itest_deadline(4000));
    ck_assert_msg(got >= 0, "%s", strerror(errno));
    answer[got] = '\0';
    close(fd);
    return answer;
}

uint64_t surfer_counter(const char *name)
{
    struct page p;
    char path[96], key[96];
    snprintf(path, sizeof path, "/api/stats?%s", name);
    snprintf(key, sizeof key, "\"%s\": ", name);
    ck_assert_int_eq(surfer_get(path, &p), 200);
    const char *at = strstr(p.body, key);
    ck_assert_msg(at != NULL, "no %s in '%s'", name, p.body);
    return strtoull(at + strlen(key), NULL, 10);
}
