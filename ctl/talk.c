/*
 * talk.c: one command to a running server, and the answer. Any thread; waits for the server, which has ten seconds for
 * each client.
 */
#include "talk.h"

#include <errno.h>
#include <poll.h>
#include <stdarg.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/socket.h>
#include <sys/un.h>
#include <unistd.h>

#include "conf/option.h"

#define USUAL_SOCKET "/run/maritcp/ctl.sock"

enum { LINE_BYTES = 4096, ANSWER_WAIT_MS = 12000, STATUS_BYTES = 32, FIRST_ROOM = 4096 };

/* ---- Where ---- */

bool talk_socket(const char *file, char *path, size_t size, char *why, size_t why_size)
{
    static struct maritcp_conf conf;
    static struct conf_error err;
    const char *usual = access(MARITCP_CONF_FILE, R_OK) == 0 ? MARITCP_CONF_FILE : NULL;
    snprintf(path, size, "%s", USUAL_SOCKET);
    if (conf_load_again(&conf, file != NULL ? file : usual, NULL, 0, &err) != 0) {
        snprintf(why, why_size, "%s", err.text);
        return file == NULL;
    }
    const char *at = strstr(conf.admin_listen, "unix:");
    if (at != NULL)
        snprintf(path, size, "%.*s", (int) strcspn(at + 5, ","), at + 5);
    return true;
}

/* ---- What ---- */

static enum talk_result fail(struct talk_answer *a, enum talk_result r, const char *fmt, ...)
    __attribute__((format(printf, 3, 4)));
static enum talk_result fail(struct talk_answer *a, enum talk_result r, const char *fmt, ...)
{
    va_list ap;
    va_start(ap, fmt);
    int n = vasprintf(&a->text, fmt, ap);
    va_end(ap);
    a->len = n >= 0 ? (size_t) n : 0;
    if (n < 0)
        a->text = NULL;
    return r;
}

void talk_free(struct talk_answer *a)
{
    free(a->text);
    *a = (struct talk_answer){0};
}

/* Put one word behind the line, in quotes. False if it does not fit, or has what may not be in a line. */
static bool add_word(char line[LINE_BYTES], size_t *used, const char *word)
{
    line[(*used)++] = '"';
    for (; *word != '\0'; word++) {
        if ((unsigned char) *word < ' ' || *used + 4 > LINE_BYTES)
            return false;
        if (*word == '"' || *word == '\\')
            line[(*used)++] = '\\';
        line[(*used)++] = *word;
    }
    line[(*used)++] = '"';
    line[(*used)++] = ' ';
    return *used + 4 <= LINE_BYTES;
}

static bool make_line(char line[LINE_BYTES], size_t *used, bool json, char *const *words, int count)
{
    *used = 0;
    if (json)
        *used = (size_t) snprintf(line, LINE_BYTES, "json ");
    for (int i = 0; i < count; i++) {
        if (!add_word(line, used, words[i]))
            return false;
    }
    line[(*used)++] = '\n';
    return true;
}

static int call(const char *path)
{
    struct sockaddr_un where = {.sun_family = AF_UNIX};
    if (strlen(path) >= sizeof where.sun_path) {
        errno = ENAMETOOLONG;
        return -1;
    }
    memcpy(where.sun_path, path, strlen(path) + 1);
    int fd = socket(AF_UNIX, SOCK_STREAM | SOCK_CLOEXEC, 0);
    if (fd >= 0 && connect(fd, (const struct sockaddr *) &where, sizeof where) != 0) {
        int saved = errno;
        close(fd);
        errno = saved;
        return -1;
    }
    return fd;
}

static bool send_all(int fd, const char *line, size_t n)
{
    while (n > 0) {
        ssize_t sent = send(fd, line, n, MSG_NOSIGNAL);
        if (sent < 0 && errno == EINTR)
            continue;
        if (sent < 0)
            return false;
        line += sent;
        n -= (size_t) sent;
    }
    return true;
}

/* Bytes that have come, 0 at the end, -1 with errno. */
static ssize_t receive(int fd, char *to, size_t n)
{
    struct pollfd p = {.fd = fd, .events = POLLIN};
    int ready = poll(&p, 1, ANSWER_WAIT_MS);
    while (ready < 0 && errno == EINTR)
        ready = poll(&p, 1, ANSWER_WAIT_MS);
    if (ready == 0)
        errno = ETIMEDOUT;
    return ready <= 0 ? -1 : recv(fd, to, n, 0);
}

/* The line in front: code and length. False if it is none. */
static bool read_status(int fd, int *code, size_t *length)
{
    char line[STATUS_BYTES];
    size_t n = 0;
    do {
        ssize_t got = n + 1 < sizeof line ? receive(fd, line + n, 1) : -1;
        if (got <= 0)
            return false;
        n++;
    } while (line[n - 1] != '\n');
    line[n] = '\0';
    return sscanf(line, "%d %zu", code, length) == 2 && *code >= TALK_GOOD && *code <= TALK_USAGE;
}

static enum talk_result hear(int fd, const char *path, struct talk_answer *a)
{
    int code;
    size_t length;
    if (!read_status(fd, &code, &length))
        return fail(a, TALK_NO_SERVER, "no answer from the server at %s\n", path);
    a->text = malloc(length + 1);
    while (a->text != NULL && a->len < length) {
        ssize_t got = receive(fd, a->text + a->len, length - a->len);
        if (got <= 0) {
            talk_free(a);
            return fail(a, TALK_NO_SERVER, "the answer from the server at %s broke off\n", path);
        }
        a->len += (size_t) got;
    }
    if (a->text != NULL)
        a->text[a->len] = '\0';
    return a->text != NULL ? (enum talk_result) code : TALK_NO_SERVER;
}

enum talk_result talk(const char *path, bool json, char *const *words, int count, struct talk_answer *a)
{
    char line[LINE_BYTES];
    size_t n;
    *a = (struct talk_answer){0};
    if (!make_line(line, &n, json, words, count))
        return fail(a, TALK_USAGE, "the command is longer than %d bytes, or has control characters\n",
                    LINE_BYTES);
    int fd = call(path);
    if (fd < 0)
        return fail(a, TALK_NO_SERVER, "no server answers at %s: %s%s\n", path, strerror(errno),
                    errno == EACCES ? "; its owner and root may" : "");
    enum talk_result r = send_all(fd, line, n) ? hear(fd, path, a)
                                               : fail(a, TALK_NO_SERVER, "no server answers at %s: %s\n",
                                                      path, strerror(errno));
    close(fd);
    return r;
}
