/*
 * redis_link.c: one connection to Redis. The cluster's thread.
 *
 * hiredis 0.14 moves what is left in its buffer after each reply of a kilobyte, and frees a buffer that is empty:
 * so it is fed in small pieces, and told to keep the buffer.
 */
#ifdef MARIO_WITH_REDIS
#include "mario/cluster/redis_link.h"

#include <errno.h>
#include <hiredis/read.h>
#include <netinet/in.h>
#include <netinet/tcp.h>
#include <stdarg.h>
#include <stdio.h>
#include <string.h>
#include <unistd.h>

#include "mario/base/clock.h"

enum {
    PIECE = 16384,
    PIECES = 16,            /* in one pass of the loop */
    ELEMENT_MAX = 64 << 20, /* longer than that is no answer to anything of ours */
    READER_KEEPS = 1 << 20, /* bytes of buffer that it keeps while nothing is in it */
    USER_TIMEOUT_MS = 5000, /* sent and not acknowledged for so long: the connection is gone */
};

static const struct timeval lazy_pause = {.tv_usec = 1000};

/* ---- What the reader tells ---- */

/* Any pointer but NULL stands for "there is one". */
static void *tell(const redisReadTask *task, struct redis_item *i)
{
    struct redis_link *l = task->privdata;
    if (task->parent != NULL && task->parent->parent != NULL)
        return l;
    i->index = task->parent == NULL ? -1 : task->idx;
    if (l->why[0] == '\0')
        l->events->item(l->arg, i);
    return l;
}

static void *on_string(const redisReadTask *task, char *bytes, size_t len)
{
    struct redis_item i = {.type = task->type == REDIS_REPLY_ERROR    ? REDIS_ERROR
                                   : task->type == REDIS_REPLY_STATUS ? REDIS_STATUS
                                                                      : REDIS_STRING,
                           .bytes = bytes,
                           .len = len};
    return tell(task, &i);
}

static void *on_array(const redisReadTask *task, int elements)
{
    struct redis_item i = {.type = REDIS_ARRAY, .number = elements};
    return tell(task, &i);
}

static void *on_integer(const redisReadTask *task, long long n)
{
    struct redis_item i = {.type = REDIS_NUMBER, .number = n};
    return tell(task, &i);
}

static void *on_nil(const redisReadTask *task)
{
    struct redis_item i = {.type = REDIS_NIL};
    return tell(task, &i);
}

static void on_free(void *nothing)
{
    (void) nothing;
}

static redisReplyObjectFunctions functions = {
    .createString = on_string,
    .createArray = on_array,
    .createInteger = on_integer,
    .createNil = on_nil,
    .freeObject = on_free,
};

/* ---- Receiving ---- */

void redis_link_spoil(struct redis_link *l, const char *format, ...)
{
    va_list args;
    if (l->why[0] != '\0')
        return;
    va_start(args, format);
    vsnprintf(l->why, sizeof l->why, format, args);
    va_end(args);
}

/* Tell all replies that are whole. */
static void take_apart(struct redis_link *l, const char *bytes, size_t len)
{
    void *whole;
    if (redisReaderFeed(l->reader, bytes, len) != REDIS_OK)
        redis_link_spoil(l, "%s", l->reader->errstr);
    while (l->why[0] == '\0') {
        whole = NULL;
        if (redisReaderGetReply(l->reader, &whole) != REDIS_OK)
            redis_link_spoil(l, "it sends what is not of Redis: %s", l->reader->errstr);
        else if (whole == NULL)
            break;
        else if (l->why[0] == '\0')
            l->events->end(l->arg);
    }
    if (l->reader->len - l->reader->pos > ELEMENT_MAX)
        redis_link_spoil(l, "it sends what is too long for an answer");
}

static void receive(struct redis_link *l)
{
    char in[PIECE];
    for (int i = 0; i < PIECES && l->why[0] == '\0'; i++) {
        ssize_t n = recv(l->fd, in, sizeof in, 0);
        if (n > 0) {
            l->heard_ms = clock_ms();
            take_apart(l, in, (size_t) n);
        } else if (n == 0) {
            redis_link_spoil(l, "it closed the connection");
        } else if (errno != EINTR) {
            if (errno != EAGAIN)
                redis_link_spoil(l, "%s", strerror(errno));
            break;
        }
        if (n > 0 && (size_t) n < sizeof in)
            break;
    }
}

static void on_readable(evutil_socket_t fd, short what, void *arg)
{
    struct redis_link *l = arg;
    (void) fd, (void) what;
    receive(l);
    if (l->why[0] == '\0')
        l->events->read(l->arg);
    if (l->why[0] != '\0')
        l->events->broken(l->arg, l->why);
    else if (l->lazy)
        event_add(l->look, &lazy_pause);
}

void redis_link_be_lazy(struct redis_link *l, bool lazy)
{
    if (l->lazy == lazy || l->connecting || l->why[0] != '\0')
        return;
    l->lazy = lazy;
    event_del(lazy ? l->readable : l->look);
    if (event_add(lazy ? l->look : l->readable, lazy ? &lazy_pause : NULL) != 0)
        redis_link_spoil(l, "no memory");
}

/* ---- Sending ---- */

bool redis_link_send(struct redis_link *l)
{
    while (!l->connecting && l->why[0] == '\0' && redis_out_len(&l->out) > 0) {
        ssize_t n = send(l->fd, l->out.bytes + l->out.begin, redis_out_len(&l->out), MSG_NOSIGNAL);
        if (n >= 0) {
            redis_out_sent(&l->out, (size_t) n);
        } else if (errno == EAGAIN) {
            event_add(l->writable, NULL);
            break;
        } else if (errno != EINTR) {
            redis_link_spoil(l, "%s", strerror(errno));
        }
    }
    return l->why[0] == '\0';
}

static void on_writable(evutil_socket_t fd, short what, void *arg)
{
    struct redis_link *l = arg;
    int error = 0;
    socklen_t len = sizeof error;
    (void) what;
    if (l->connecting) {
        if (getsockopt(fd, SOL_SOCKET, SO_ERROR, &error, &len) != 0)
            error = errno;
        l->connecting = false;
        if (error != 0)
            redis_link_spoil(l, "%s", strerror(error));
        else if (event_add(l->readable, NULL) != 0)
            redis_link_spoil(l, "no memory");
        else
            l->events->connected(l->arg);
    }
    if (!redis_link_send(l))
        l->events->broken(l->arg, l->why);
    else
        l->events->read(l->arg);
}

/* ---- Its beginning and end ---- */

static bool begin(struct redis_link *l, struct event_base *base, const struct sockaddr *to, socklen_t len)
{
    int on = 1, limit = USER_TIMEOUT_MS;
    l->fd = socket(to->sa_family, SOCK_STREAM | SOCK_NONBLOCK | SOCK_CLOEXEC, 0);
    if (l->fd < 0)
        return false;
    setsockopt(l->fd, IPPROTO_TCP, TCP_NODELAY, &on, sizeof on);
    setsockopt(l->fd, IPPROTO_TCP, TCP_USER_TIMEOUT, &limit, sizeof limit);
    setsockopt(l->fd, SOL_SOCKET, SO_KEEPALIVE, &on, sizeof on);
    if (connect(l->fd, to, len) != 0 && errno != EINPROGRESS)
        return false;
    l->connecting = true;
    errno = ENOMEM;
    l->reader = redisReaderCreateWithFunctions(&functions);
    l->readable = event_new(base, l->fd, EV_READ | EV_PERSIST, on_readable, l);
    l->writable = event_new(base, l->fd, EV_WRITE, on_writable, l);
    l->look = evtimer_new(base, on_readable, l);
    return l->reader != NULL && l->readable != NULL && l->look != NULL && l->writable != NULL &&
           event_add(l->writable, NULL) == 0;
}

bool redis_link_open(struct redis_link *l, struct event_base *base, const struct sockaddr *to, socklen_t len)
{
    l->why[0] = '\0';
    l->heard_ms = clock_ms();
    if (!begin(l, base, to, len)) {
        int error = errno;
        redis_link_close(l);
        errno = error;
        return false;
    }
    l->reader->privdata = l;
    l->reader->maxbuf = READER_KEEPS;
    return true;
}

void redis_link_close(struct redis_link *l)
{
    if (l->readable != NULL)
        event_free(l->readable);
    if (l->writable != NULL)
        event_free(l->writable);
    if (l->look != NULL)
        event_free(l->look);
    if (l->reader != NULL)
        redisReaderFree(l->reader);
    if (l->fd >= 0)
        close(l->fd);
    l->readable = l->writable = l->look = NULL;
    l->reader = NULL;
    l->fd = -1;
    l->connecting = l->lazy = false;
    redis_out_clear(&l->out);
}
#endif
