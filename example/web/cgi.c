/*
 * cgi.c: scripts. cgi_answer() waits for one, so it runs on a thread of the pool; the library sees to it that the
 * connection's other requests wait too.
 */
#include <fcntl.h>
#include <limits.h>
#include <sys/stat.h>

#include "answer.h"
#include "ask.h"
#include "body.h"
#include "path.h"
#include "script.h"
#include "variables.h"
#include "web.h"

enum { REQUEST_ROOM = 163840, FIELDS_ROOM = HEAD_MAX + 2 * HEAD_FIELDS_MAX + 1 };

/* Constant once main has prepared them. */
static int programs = -1;
static char programs_path[PATH_MAX];
static int limit_ms;

/* Whether what is in the directory of the programs could be read as files. */
static bool is_shown(void)
{
    const char *files = files_root();
    size_t n = strlen(files);
    return strncmp(programs_path, files, n) == 0 &&
           (programs_path[n] == '/' || programs_path[n] == '\0' || n == 1);
}

sint32 cgi_prepare(const char *dir, uint32 seconds)
{
    limit_ms = (int) seconds * 1000;
    programs = open(dir, O_PATH | O_DIRECTORY | O_CLOEXEC);
    if (programs < 0 || realpath(dir, programs_path) == NULL) {
        fprintf(stderr, "web: %s: %s\n", dir, strerror(errno));
        return -1;
    }
    if (is_shown()) {
        fprintf(stderr, "web: %s: it is below the files, which anybody may read\n", dir);
        return -1;
    }
    return 0;
}

/* Which script is asked for: a program of the directory, nothing below it. 200; 403 if it may not be run; 404. file has
 * PATH_MAX + PATH_SIZE bytes. */
static int find(const struct head *h, char *path, char *file, struct script_path *s)
{
    struct stat st;
    int status = path_decode(&h->path, path);
    if (status != 200)
        return status;
    s->path = path;
    s->name = sizeof WEB_CGI_PATH - 2; /* the first '/' is not in path */
    s->info = s->name + (uint32) strcspn(path + s->name, "/");
    s->file = file;
    snprintf(file, PATH_MAX + PATH_SIZE, "%s/%.*s", programs_path, (int) (s->info - s->name), path + s->name);
    const char *name = strrchr(file, '/') + 1;
    if (fstatat(programs, name, &st, AT_SYMLINK_NOFOLLOW) != 0 || !S_ISREG(st.st_mode))
        return 404;
    return faccessat(programs, name, X_OK, AT_EACCESS) == 0 ? 200 : 403;
}

/* 200 with *a, or why not. */
static int ask(CONN *c, const struct head *h, const struct script_path *s, struct ask_answer *a)
{
    struct fastcgi_out request;
    unsigned char *bytes = malloc(REQUEST_ROOM);
    if (bytes == NULL)
        return 503;
    fastcgi_begin(&request, bytes, REQUEST_ROOM);
    variables_add(&request, c, h, s);
    fastcgi_body(&request, c->in_buf + h->size, h->length);
    int status = request.full ? 431 : ask_pool(&request, limit_ms, c->owner->qlog, a);
    free(bytes);
    return status;
}

/* The fields that are handed on, as text of FIELDS_ROOM bytes. */
static void write_fields(const struct script_answer *s, char *text)
{
    size_t n = 0;
    text[0] = '\0';
    for (uint32 i = 0; i < s->count; i++) { /* of each line there were at least ':' and LF */
        const struct head_field *f = &s->fields[i];
        n += (size_t) snprintf(text + n, FIELDS_ROOM - n, "%.*s: %.*s\r\n", (int) f->name.len, f->name.at,
                               (int) f->value.len, f->value.at);
    }
}

/* a->fd is given away. */
static sint32 hand_on(CONN *c, const struct head *h, const struct ask_answer *a)
{
    struct script_answer s;
    char fields[FIELDS_ROOM], reason[128] = "";
    size_t n = a->size < sizeof a->head ? (size_t) a->size : sizeof a->head;
    if (!script_parse(a->head, n, &s)) {
        close(a->fd);
        return answer_status(c, h, 502, NULL);
    }
    write_fields(&s, fields);
    snprintf(reason, sizeof reason, "%.*s", (int) s.reason.len, s.reason.at);
    struct answer answer = {
        .status = s.status, .fields = fields, .length = a->size - s.size, .closes = !h->keep};
    answer.reason = reason[0] != '\0' ? reason : NULL;
    bool has_body = s.status != 204 && s.status != 304 && !head_equals(&h->method, "HEAD");
    if (answer_head(c, &answer) == 0 && has_body)
        return body_send(c, h, a->fd, s.size, answer.length);
    close(a->fd);
    return has_body ? -1 : answer_end(c, h);
}

sint32 cgi_answer(CONN *c)
{
    char path[PATH_SIZE], file[PATH_MAX + PATH_SIZE];
    struct ask_answer a;
    struct script_path s;
    struct head h;
    if (head_parse(c->in_buf, c->in_buf_len, &h) != HEAD_GOOD)
        return -1; /* the framing has read it */
    if (!head_equals(&h.method, "GET") && !head_equals(&h.method, "HEAD") && !head_equals(&h.method, "POST"))
        return answer_status(c, &h, 501, "Allow: GET, HEAD, POST\r\n");
    int status = find(&h, path, file, &s);
    if (status == 200)
        status = ask(c, &h, &s, &a);
    slog_debug_t(c->owner->qlog, "%d of %.*s", status, (int) h.path.len, h.path.at);
    if (status == 200)
        return hand_on(c, &h, &a);
    return answer_status(c, &h, status, status == 503 ? "Retry-After: 1\r\n" : NULL);
}
