/*
 * troubles.c: the connections of a trouble, and waiting for what comes on them. Main thread.
 */
#include <errno.h>
#include <poll.h>
#include <string.h>
#include <sys/socket.h>
#include <unistd.h>

#include "soak.h"

int trouble_open(const struct soak *s, struct trouble *t)
{
    ITEST_ASSERT(t->count < FDS_MAX, "%s has too many connections", t->kind->name);
    return t->fds[t->count++] = client_open(&s->server);
}

bool trouble_all_ended(struct trouble *t)
{
    char sink[65536];
    bool all = true;
    for (uint32_t i = 0; i < t->count; i++) {
        ssize_t n = 1;
        while (t->fds[i] >= 0 && (n = recv(t->fds[i], sink, sizeof sink, MSG_DONTWAIT)) > 0) {
        }
        if (t->fds[i] >= 0 && (n == 0 || (errno != EAGAIN && errno != EINTR))) {
            close(t->fds[i]);
            t->fds[i] = -1;
        }
        all = all && t->fds[i] < 0;
    }
    return all;
}

void trouble_close(struct trouble *t)
{
    for (uint32_t i = 0; i < t->count; i++) {
        if (t->fds[i] >= 0)
            close(t->fds[i]);
        t->fds[i] = -1;
    }
}

bool trouble_has_news(int fd)
{
    struct pollfd p = {.fd = fd, .events = POLLIN};
    return poll(&p, 1, 0) == 1;
}

static ssize_t peek(int fd)
{
    char byte;
    return recv(fd, &byte, 1, MSG_PEEK | MSG_DONTWAIT);
}

bool trouble_has_bytes(int fd)
{
    return peek(fd) == 1;
}

bool trouble_was_replaced(int fd)
{
    ssize_t n = peek(fd);
    return n == 0 || (n < 0 && errno != EAGAIN && errno != EINTR);
}

bool trouble_again(struct trouble *t, uint32_t ms)
{
    uint64_t now = mono_ns();
    if (now < t->due)
        return false;
    t->due = now + ms * NS_PER_MS;
    return true;
}

bool trouble_answered(struct soak *s, int fd, uint16_t akg_id, size_t n)
{
    unsigned char got[WIRE_PACKET_MAX];
    size_t whole = WIRE_HEAD_LEN + n;
    ptrdiff_t have = net_recv_wait(fd, got, whole, itest_deadline(10000));
    if (have == 0 || (have < 0 && errno != ETIMEDOUT))
        return false;
    struct wire_head h = wire_get_head(got);
    if (have != (ptrdiff_t) whole || h.stx != ITEST_STX || h.akg_id != akg_id || h.pkglen != whole)
        complain(s, "%td bytes of an answer to %04x: %s", have, akg_id, have < 0 ? strerror(errno) : "wrong");
    return true;
}
