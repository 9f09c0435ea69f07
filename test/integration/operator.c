/*
 * operator.c: somebody who asks a server by its admin socket. See operator.h.
 */
#include "operator.h"

#include <fcntl.h>
#include <pthread.h>
#include <stdarg.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/socket.h>
#include <sys/time.h>
#include <unistd.h>

enum { ANSWER_ROOM = 4 << 20, COMMAND_ROOM = 4096, ASK_MS = 15000 };

static char socket_path[64];

static void remove_socket(void)
{
    unlink(socket_path);
}

const char *operator_option(void)
{
    static char option[96];
    snprintf(socket_path, sizeof socket_path, "/tmp/mario-itest-admin-%d.sock", (int) getpid());
    snprintf(option, sizeof option, "admin.listen=unix:%s", socket_path);
    atexit(remove_socket);
    return option;
}

/* One line, without its newline. False at the end. */
static bool read_line(int fd, char *line, size_t size, uint64_t deadline)
{
    for (size_t n = 0; n < size; n++) {
        if (net_recv_wait(fd, &line[n], 1, deadline) != 1)
            return false;
        if (line[n] == '\n') {
            line[n] = '\0';
            return true;
        }
    }
    return false;
}

/* Of each thread its own, until that ends. */
static pthread_key_t room_key;

static void make_room_key(void)
{
    pthread_key_create(&room_key, free);
}

static char *room(void)
{
    static pthread_once_t once = PTHREAD_ONCE_INIT;
    pthread_once(&once, make_room_key);
    char *answer = pthread_getspecific(room_key);
    if (answer == NULL) {
        answer = malloc(ANSWER_ROOM);
        pthread_setspecific(room_key, answer);
    }
    return answer;
}

/* Nothing lies over it, though there be TLS for all others (covered.h). -1 if nobody listens. */
static int open_socket(const struct net_target *t)
{
    struct timeval patience = {.tv_sec = ASK_MS * ITEST_SLOW / 1000};
    int fd = socket(AF_UNIX, SOCK_STREAM | SOCK_CLOEXEC, 0);
    if (net_is_covered(fd)) /* one that had this number */
        net_over->drop(fd);
    if (fd >= 0 && setsockopt(fd, SOL_SOCKET, SO_SNDTIMEO, &patience, sizeof patience) == 0 &&
        connect(fd, (const struct sockaddr *) &t->addr, t->len) == 0 && fcntl(fd, F_SETFL, O_NONBLOCK) == 0)
        return fd;
    if (fd >= 0)
        close(fd);
    return -1;
}

const char *operator_ask(const char *command, int *code)
{
    char *answer = room();
    struct net_target t;
    char head[64];
    int got = -1;
    size_t len = 0;
    uint64_t deadline = itest_deadline(ASK_MS);
    answer[0] = '\0';
    char name[80];
    snprintf(name, sizeof name, "unix:%s", socket_path);
    if (net_resolve(name, NULL, &t) != NULL)
        abort();
    int fd = open_socket(&t);
    if (fd >= 0 && net_send_wait(fd, command, strlen(command), deadline) == 0 &&
        net_send_wait(fd, "\n", 1, deadline) == 0 && read_line(fd, head, sizeof head, deadline) &&
        sscanf(head, "%d %zu", &got, &len) == 2 && len < ANSWER_ROOM &&
        net_recv_wait(fd, answer, len, deadline) == (ptrdiff_t) len)
        answer[len] = '\0';
    else
        got = -1;
    if (fd >= 0)
        close(fd);
    if (code != NULL)
        *code = got;
    return answer;
}

const char *operator_json(const char *fmt, ...)
{
    char command[COMMAND_ROOM] = "json ";
    int code;
    va_list args;
    va_start(args, fmt);
    vsnprintf(command + 5, sizeof command - 5, fmt, args);
    va_end(args);
    const char *answer = operator_ask(command, &code);
    ITEST_ASSERT(code == 0, "%s: %d, %s", command, code, answer);
    return answer;
}

void operator_refused(int code, const char *text, const char *command)
{
    int got;
    const char *answer = operator_ask(command, &got);
    ITEST_ASSERT(got == code && strstr(answer, text) != NULL, "%s: %d, not %d and '%s': %s", command, got,
                 code, text, answer);
}

/* Behind "key": */
static const char *find(const char *from, const char *key)
{
    char quoted[80];
    snprintf(quoted, sizeof quoted, "\"%s\": ", key);
    const char *at = strstr(from, quoted);
    return at == NULL ? NULL : at + strlen(quoted);
}

double operator_number(const char *from, const char *key)
{
    const char *at = find(from, key);
    char *end;
    double v = at == NULL ? -1 : strtod(at, &end);
    return at == NULL || end == at ? -1 : v;
}

const char *operator_text(const char *from, const char *key)
{
    static char texts[4][512];
    static unsigned next;
    char *text = texts[next++ % 4];
    const char *at = find(from, key);
    text[0] = '\0';
    if (at != NULL && *at == '"')
        snprintf(text, sizeof texts[0], "%.*s", (int) strcspn(at + 1, "\""), at + 1);
    return text;
}

unsigned operator_count(const char *text, const char *piece)
{
    unsigned n = 0;
    for (; (text = strstr(text, piece)) != NULL; text += strlen(piece))
        n++;
    return n;
}

void operator_await(const char *piece, unsigned ms, const char *command)
{
    for (uint64_t end = itest_deadline(ms); strstr(operator_json("%s", command), piece) == NULL;) {
        ITEST_ASSERT(mono_ns() < end, "%s: never '%s': %s", command, piece, operator_json("%s", command));
        itest_sleep(5);
    }
}
