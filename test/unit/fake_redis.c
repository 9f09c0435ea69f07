/*
 * fake_redis.c: a server that greets like Redis. It takes a driver's greeting for one by its words, prefix "test",
 * node "a", epoch 11, without a password.
 */
#include "fake_redis.h"

#include <check.h>
#include <errno.h>
#include <netinet/in.h>
#include <netinet/tcp.h>
#include <stdio.h>
#include <string.h>
#include <sys/socket.h>
#include <unistd.h>

#include "mario/cluster/redis_script.h"

static void send_all(struct fake_conn *c, const char *bytes, size_t len, size_t piece)
{
    int on = 1;
    setsockopt(c->fd, IPPROTO_TCP, TCP_NODELAY, &on, sizeof on);
    for (size_t at = 0; at < len; at += piece)
        if (send(c->fd, bytes + at, len - at < piece ? len - at : piece, MSG_NOSIGNAL) < 0)
            return;
}

static void greet(struct fake_conn *c)
{
    static const char subscribed[] = "*3\r\n$9\r\nsubscribe\r\n$8\r\ntest:n:a\r\n:1\r\n"
                                     "*3\r\n$9\r\nsubscribe\r\n$11\r\ntest:l:a:11\r\n:2\r\n";
    char text[1024];
    int n = snprintf(text, sizeof text, "+OK\r\n$17\r\nrun_id:0123456789\r\n");
    for (int i = 0; i < SCRIPTS; i++)
        n += snprintf(text + n, sizeof text - (size_t) n, "$40\r\n%040d\r\n", i);
    if (c->subscribes)
        n = snprintf(text, sizeof text, "%s", subscribed);
    send_all(c, text, (size_t) n, c->fake->how == FAKE_GREETS_SLOWLY ? 1 : (size_t) n);
}

static void end_conn(struct fake_conn *c)
{
    if (c->fd < 0)
        return;
    event_free(c->readable);
    close(c->fd);
    c->fd = -1;
}

static void on_readable(evutil_socket_t fd, short what, void *arg)
{
    static char in[65536];
    struct fake_conn *c = arg;
    ssize_t n = recv(fd, in, sizeof in, 0);
    (void) what;
    if (n <= 0) {
        if (n == 0 || errno != EAGAIN)
            end_conn(c);
        return;
    }
    if (c->heard == 0 && c->fake->how <= FAKE_GREETS_SLOWLY) {
        c->subscribes = memmem(in, (size_t) n, "SUBSCRIBE", 9) != NULL;
        greet(c);
        c->heard = 1;
    } else {
        c->heard += (size_t) n;
    }
}

static void on_accept(evutil_socket_t fd, short what, void *arg)
{
    struct fake_redis *f = arg;
    int got = accept4(fd, NULL, NULL, SOCK_NONBLOCK | SOCK_CLOEXEC);
    (void) what;
    if (got < 0)
        return;
    f->accepted++;
    for (int i = 0; i < FAKE_CONNS && f->how != FAKE_CLOSES; i++) {
        struct fake_conn *c = &f->conns[i];
        if (c->fd >= 0)
            continue;
        *c = (struct fake_conn){.fake = f, .fd = got};
        c->readable = event_new(f->base, got, EV_READ | EV_PERSIST, on_readable, c);
        event_add(c->readable, NULL);
        return;
    }
    close(got);
}

void fake_redis_begin(struct fake_redis *f, struct event_base *base, enum fake_greets how)
{
    struct sockaddr_in a = {.sin_family = AF_INET, .sin_addr.s_addr = htonl(INADDR_LOOPBACK)};
    socklen_t len = sizeof a;
    int fd = socket(AF_INET, SOCK_STREAM | SOCK_NONBLOCK | SOCK_CLOEXEC, 0);
    ck_assert(fd >= 0 && bind(fd, (struct sockaddr *) &a, len) == 0 && listen(fd, 128) == 0 &&
              getsockname(fd, (struct sockaddr *) &a, &len) == 0);
    *f = (struct fake_redis){.base = base, .how = how};
    snprintf(f->address, sizeof f->address, "127.0.0.1:%u", ntohs(a.sin_port));
    for (int i = 0; i < FAKE_CONNS; i++)
        f->conns[i].fd = -1;
    f->accepting = event_new(base, fd, EV_READ | EV_PERSIST, on_accept, f);
    event_add(f->accepting, NULL);
}

void fake_redis_end(struct fake_redis *f)
{
    close(event_get_fd(f->accepting));
    event_free(f->accepting);
    for (int i = 0; i < FAKE_CONNS; i++)
        end_conn(&f->conns[i]);
}

unsigned fake_redis_say(struct fake_redis *f, bool subscriptions, const void *bytes, size_t len)
{
    unsigned n = 0;
    for (int i = 0; i < FAKE_CONNS; i++) {
        struct fake_conn *c = &f->conns[i];
        if (c->fd < 0 || c->heard == 0 || c->subscribes != subscriptions)
            continue;
        send_all(c, bytes, len, len > 0 ? len : 1);
        n++;
    }
    return n;
}

size_t fake_redis_heard(struct fake_redis *f, bool subscriptions)
{
    size_t sum = 0;
    for (int i = 0; i < FAKE_CONNS; i++)
        if (f->conns[i].fd >= 0 && f->conns[i].subscribes == subscriptions && f->conns[i].heard > 1) {
            sum += f->conns[i].heard - 1;
            f->conns[i].heard = 1;
        }
    return sum;
}
