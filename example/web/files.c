/*
 * files.c: files below one directory. files_answer() runs on the connection's worker: what is asked for often is in the
 * kernel's memory. Where files lie on a disk that may be slow, or on another machine, register it as offloaded.
 */
#include <fcntl.h>
#include <limits.h>
#include <linux/openat2.h>
#include <sys/stat.h>
#include <sys/syscall.h>

#include "answer.h"
#include "body.h"
#include "path.h"
#include "web.h"

enum { TRIES = 3, TAG_SIZE = 64, FIELDS_SIZE = 192 };

/* Constant once main has prepared them. */
static int root = -1;
static char root_path[PATH_MAX];

sint32 files_prepare(const char *dir)
{
    root = open(dir, O_PATH | O_DIRECTORY | O_CLOEXEC);
    if (root >= 0 && realpath(dir, root_path) != NULL)
        return 0;
    fprintf(stderr, "web: %s: %s\n", dir, strerror(errno));
    return -1;
}

const char *files_root(void)
{
    return root_path;
}

/* Open what lies below the root and nowhere else, whatever links say. -1 with errno. */
static int open_beneath(const char *path)
{
    struct open_how how = {.flags = O_RDONLY | O_CLOEXEC | O_NONBLOCK | O_NOCTTY,
                           .resolve = RESOLVE_BENEATH | RESOLVE_NO_MAGICLINKS};
    long fd = -1;
    errno = EAGAIN; /* it is when something is moved meanwhile */
    for (int i = 0; i < TRIES && fd < 0 && errno == EAGAIN; i++)
        fd = syscall(SYS_openat2, root, path[0] != '\0' ? path : ".", &how, sizeof how);
    return (int) fd;
}

static int status_of(int error)
{
    switch (error) {
    case ENOENT:
    case ENOTDIR:
    case EXDEV:
    case ELOOP:
    case ENAMETOOLONG:
    case ENXIO:
        return 404;
    case EACCES:
    case EPERM:
        return 403;
    default:
        return 503;
    }
}

/* Open the file that is meant by path (PATH_SIZE + room for a name): of a directory its index. 200 with *fd and *st;
 * 301 if a directory lacks its '/'; or the status that says why not. */
static int open_file(char *path, int *fd, struct stat *st)
{
    static const char index[] = "index.html";
    size_t n = strlen(path);
    *fd = open_beneath(path);
    if (*fd >= 0 && fstat(*fd, st) == 0 && S_ISDIR(st->st_mode)) {
        close(*fd);
        if (n > 0 && path[n - 1] != '/')
            return 301;
        memcpy(path + n, index, sizeof index);
        *fd = open_beneath(path);
    }
    if (*fd < 0)
        return status_of(errno);
    if (fstat(*fd, st) == 0 && S_ISREG(st->st_mode))
        return 200;
    close(*fd);
    return 404;
}

/* Another file, or the same one after a change, has another tag. */
static void make_tag(const struct stat *st, char *tag)
{
    snprintf(tag, TAG_SIZE, "\"%llx-%llx-%llx\"", (unsigned long long) st->st_ino,
             (unsigned long long) st->st_size,
             (unsigned long long) st->st_mtim.tv_sec * 1000000000 + (unsigned long long) st->st_mtim.tv_nsec);
}

/* Which bytes of it are wanted, if any: 200, 206, 304, 416. */
static int wanted(const struct head *h, const char *tag, uint64 size, uint64 *first, uint64 *last)
{
    const struct head_text *known = head_field(h, "if-none-match"), *range = head_field(h, "range");
    const struct head_text *only_if = head_field(h, "if-range");
    *first = 0;
    *last = size - 1; /* of 0 bytes nothing is looked at */
    if (known != NULL && path_has_tag(known, tag))
        return 304;
    if (range == NULL || head_equals(&h->method, "HEAD") || (only_if != NULL && !head_equals(only_if, tag)))
        return 200;
    uint64 from, to;
    int status = path_range(range, size, &from, &to);
    if (status == 206) {
        *first = from;
        *last = to;
    }
    return status;
}

/* fd is given away. */
static sint32 send_file(CONN *c, const struct head *h, const char *path, int fd, const struct stat *st)
{
    char tag[TAG_SIZE], fields[FIELDS_SIZE], range[96] = "";
    uint64 size = (uint64) st->st_size, first, last;
    make_tag(st, tag);
    int status = wanted(h, tag, size, &first, &last);
    if (status == 206)
        snprintf(range, sizeof range, "Content-Range: bytes %llu-%llu/%llu\r\n", (unsigned long long) first,
                 (unsigned long long) last, (unsigned long long) size);
    else if (status == 416)
        snprintf(range, sizeof range, "Content-Range: bytes */%llu\r\n", (unsigned long long) size);
    snprintf(fields, sizeof fields, "ETag: %s\r\nAccept-Ranges: bytes\r\n%s", tag, range);
    if (status == 304 || status == 416) {
        close(fd);
        return answer_status(c, h, status, fields);
    }
    struct answer a = {.status = status, .type = path_type(path), .fields = fields, .closes = !h->keep};
    a.length = size == 0 ? 0 : last - first + 1;
    slog_debug_t(c->owner->qlog, "%d for %.*s", status, (int) h->path.len, h->path.at);
    bool has_body = !head_equals(&h->method, "HEAD");
    if (answer_head(c, &a) == 0 && has_body)
        return body_send(c, h, fd, first, a.length);
    close(fd);
    return has_body ? -1 : answer_end(c, h);
}

/* To the same path with a '/' behind it. It begins with one '/' alone: path_decode() has seen to that. */
static sint32 send_to_directory(CONN *c, const struct head *h)
{
    char fields[HEAD_TARGET_MAX + 64];
    snprintf(fields, sizeof fields, "Location: %.*s/%s%.*s\r\n", (int) h->path.len, h->path.at,
             h->query.len > 0 ? "?" : "", (int) h->query.len, h->query.at);
    return answer_status(c, h, 301, fields);
}

sint32 files_answer(CONN *c)
{
    char path[PATH_SIZE + 16];
    struct head h;
    struct stat st;
    int fd;
    if (head_parse(c->in_buf, c->in_buf_len, &h) != HEAD_GOOD)
        return -1; /* the framing has read it */
    if (!head_equals(&h.method, "GET") && !head_equals(&h.method, "HEAD"))
        return answer_status(c, &h, head_equals(&h.method, "POST") ? 405 : 501, "Allow: GET, HEAD\r\n");
    int status = path_decode(&h.path, path);
    if (status == 200)
        status = open_file(path, &fd, &st);
    if (status == 301)
        return send_to_directory(c, &h);
    if (status != 200)
        return answer_status(c, &h, status, NULL);
    return send_file(c, &h, path, fd, &st);
}
