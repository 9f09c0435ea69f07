/*
 * ask.c: a request to a process of the pool. Runs on threads of the server's pool of threads, several at a time.
 */
#include "ask.h"

#include <poll.h>
#include <sys/mman.h>
#include <sys/socket.h>

#include "pool.h"

enum { WAIT_MS = 500, ANSWER_MAX = 16777216, STEP = 16384, SAID_MAX = 400 };

static sint64 now_ms(void)
{
    struct timespec t;
    clock_gettime(CLOCK_MONOTONIC, &t);
    return (sint64) t.tv_sec * 1000 + t.tv_nsec / 1000000;
}

/* Wait until fd is ready. False when the time is up. */
static bool wait_for(int fd, short events, sint64 deadline)
{
    struct pollfd p = {.fd = fd, .events = events};
    for (;;) {
        sint64 left = deadline - now_ms();
        if (left <= 0)
            return false;
        int rc = poll(&p, 1, (int) left);
        if (rc > 0 || (rc < 0 && errno != EINTR))
            return true;
    }
}

/* 200; 502 if nobody reads it, 504 when the time is up. */
static int send_all(int fd, const unsigned char *bytes, size_t n, sint64 deadline)
{
    while (n > 0) {
        ssize_t sent = send(fd, bytes, n, MSG_NOSIGNAL);
        if (sent < 0 && errno != EAGAIN && errno != EINTR)
            return 502;
        if (sent < 0 && !wait_for(fd, POLLOUT, deadline))
            return 504;
        bytes += sent > 0 ? sent : 0;
        n -= sent > 0 ? (size_t) sent : 0;
    }
    return 200;
}

/* A fastcgi_sink. */
static bool keep(void *arg, enum fastcgi_stream stream, const void *bytes, size_t n)
{
    struct ask_answer *a = arg;
    if (stream == FASTCGI_STDERR) {
        slog_warn_t(a->qlog, "a script says: %.*s", (int) (n < SAID_MAX ? n : SAID_MAX),
                    (const char *) bytes);
        return true;
    }
    if (a->size + n > ANSWER_MAX || pwrite(a->fd, bytes, n, (off_t) a->size) != (ssize_t) n)
        return false;
    if (a->size < sizeof a->head) {
        size_t room = sizeof a->head - a->size;
        memcpy(a->head + a->size, bytes, n < room ? n : room);
    }
    a->size += n;
    return true;
}

static int receive(int fd, struct ask_answer *a, sint64 deadline)
{
    unsigned char bytes[STEP];
    struct fastcgi_in in = {.have = 0};
    enum fastcgi_answer answer = FASTCGI_MORE;
    while (answer == FASTCGI_MORE) {
        if (!wait_for(fd, POLLIN, deadline))
            return 504;
        ssize_t n = recv(fd, bytes, sizeof bytes, 0);
        if (n < 0 && (errno == EAGAIN || errno == EINTR))
            continue;
        if (n <= 0)
            return 502; /* it has died */
        answer = fastcgi_read(&in, bytes, (size_t) n, keep, a);
    }
    return answer == FASTCGI_DONE ? 200 : 502;
}

/* What became of it, and the process is somebody else's then. */
static int ask_process(int number, const struct fastcgi_out *request, sint64 deadline, struct ask_answer *a)
{
    int fd = pool_connect(number);
    if (fd < 0) {
        pool_give(number);
        return 503;
    }
    int status = send_all(fd, request->bytes, request->n, deadline);
    if (status == 200)
        status = receive(fd, a, deadline);
    close(fd);
    if (status == 200)
        pool_give(number);
    else
        pool_kill(number); /* whatever it does still is nobody's */
    return status;
}

int ask_pool(const struct fastcgi_out *request, int ms, LOG_QUEUE *qlog, struct ask_answer *a)
{
    int number = pool_take(WAIT_MS);
    a->size = 0;
    a->qlog = qlog;
    a->fd = -1;
    if (number < 0)
        return 503;
    a->fd = memfd_create("answer", MFD_CLOEXEC);
    if (a->fd < 0) {
        pool_give(number);
        return 503;
    }
    int status = ask_process(number, request, now_ms() + ms, a);
    if (status != 200) {
        close(a->fd);
        a->fd = -1;
    }
    return status;
}
