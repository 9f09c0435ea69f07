/*
 * bad_server.c: the server that misbehaves: LOGIN, anything that is answered with itself, and one group. Run by the
 * tests of clients, in a process of its own.
 */
#include "bad_server.h"

#include <arpa/inet.h>
#include <errno.h>
#include <netinet/in.h>
#include <poll.h>
#include <signal.h>
#include <stdbool.h>
#include <string.h>
#include <sys/prctl.h>
#include <sys/socket.h>
#include <unistd.h>

#include "protocol/mario_protocol.h"
#include "test/lib/wire.h"
#include "unit.h"

#define PEERS_MAX 64

struct peer {
    unsigned char in[256];
    uint32_t have;
    bool ended; /* our side of the stream; what still comes is thrown away */
};

static void say(int fd, const unsigned char *p, size_t n)
{
    if (send(fd, p, n, MSG_NOSIGNAL) != (ssize_t) n)
        return; /* the client may have closed; its ledger is what is judged */
}

/* ---- Its group: there is one ---- */

static struct {
    int fds[PEERS_MAX]; /* of members; in the order in which they joined */
    int culprit;        /* the fd of one of them */
    uint32_t count, said;
} group;

static void tell(enum misdeed deed, int fd, unsigned char *said, size_t n)
{
    bool culprit = fd == group.culprit;
    if (culprit && deed == DEED_SAID_NOT && group.said == 2)
        return;
    said[n - 1] ^= culprit && deed == DEED_SAID_WRONG;
    say(fd, said, n);
    if (culprit && deed == DEED_SAID_TWICE && group.said == 2)
        say(fd, said, n);
    said[n - 1] ^= culprit && deed == DEED_SAID_WRONG;
}

/* A packet about the group. False when it was the last one. */
static bool serve_group(enum misdeed deed, bool culprit, int fd, const unsigned char *p, size_t n)
{
    unsigned char out[256];
    struct wire_head h = wire_get_head(p);
    if (h.akg_id == CMD_FUNCTION_JOIN) {
        group.fds[group.count++] = fd;
        group.culprit = culprit ? fd : group.culprit;
        wire_put_head(out, (struct wire_head){h.stx, WIRE_HEAD_LEN, h.akg_id});
        say(fd, out, WIRE_HEAD_LEN);
        return true;
    }
    if (h.akg_id == CMD_FUNCTION_WHO) {
        wire_put_head(out, (struct wire_head){h.stx, WIRE_HEAD_LEN + sizeof(WHO_RSP), h.akg_id});
        wire_put64(out + WIRE_HEAD_LEN, group.count - (deed == DEED_WHO_FEWER));
        say(fd, out, WIRE_HEAD_LEN + sizeof(WHO_RSP));
        return true;
    }
    if (deed == DEED_NO_SAY)
        return false;
    group.said++;
    size_t data = n - WIRE_HEAD_LEN - sizeof(GROUP_REQ), len = WIRE_HEAD_LEN + sizeof(SAID_MSG) + data;
    wire_put_head(out, (struct wire_head){h.stx, (uint16_t) len, CMD_FUNCTION_SAID});
    memcpy(out + WIRE_HEAD_LEN, p + WIRE_HEAD_LEN, sizeof(GROUP_REQ));
    wire_put16(out + WIRE_HEAD_LEN + 8, CLIENTS);
    memcpy(out + WIRE_HEAD_LEN + sizeof(SAID_MSG), p + WIRE_HEAD_LEN + sizeof(GROUP_REQ), data);
    for (uint32_t i = 0; i < group.count; i++)
        tell(deed, group.fds[i], out, len);
    return true;
}

/* Answer one packet, well or badly. Returns false when that was the last one. */
static bool serve(enum misdeed deed, bool culprit, int fd, unsigned char *p, size_t n)
{
    struct wire_head h = wire_get_head(p);
    if (h.akg_id == CMD_FUNCTION_LOGIN) {
        wire_put_head(p, (struct wire_head){h.stx, WIRE_HEAD_LEN, h.akg_id});
        say(fd, p, WIRE_HEAD_LEN);
        if (culprit && deed == DEED_UNASKED)
            say(fd, p, WIRE_HEAD_LEN);
        return true;
    }
    if (h.akg_id >= CMD_FUNCTION_JOIN && h.akg_id <= CMD_FUNCTION_WHO)
        return serve_group(deed, culprit, fd, p, n);
    if (!culprit) {
        say(fd, p, n);
        return true;
    }
    switch (deed) {
    case DEED_TWICE:
        say(fd, p, n);
        break;
    case DEED_WRONG:
        p[n - 1] ^= 1;
        break;
    case DEED_STX:
        p[0] ^= 1;
        break;
    case DEED_PART:
        say(fd, p, n / 2);
        return false;
    case DEED_SILENT:
        return true;
    case DEED_RESET:
    case DEED_CLOSE:
        return false;
    default:
        break;
    }
    say(fd, p, n);
    return true;
}

/* End the stream to fd, with a reset or in order. In order means not to close yet: the kernel resets what is closed
 * while requests lie unread. False when fd is to be closed. */
static bool end(enum misdeed deed, int fd, struct peer *c)
{
    struct linger reset = {.l_onoff = 1};
    if (deed == DEED_RESET)
        return setsockopt(fd, SOL_SOCKET, SO_LINGER, &reset, sizeof reset) != 0;
    c->ended = true;
    c->have = 0;
    return shutdown(fd, SHUT_WR) == 0;
}

/* What has come on fd. False when it is to be closed. */
static bool take(enum misdeed deed, bool culprit, int fd, struct peer *c)
{
    ssize_t n = recv(fd, c->in + c->have, sizeof c->in - c->have, MSG_DONTWAIT);
    if (n <= 0)
        return n < 0 && errno == EAGAIN;
    if (c->ended)
        return true;
    c->have += (uint32_t) n;
    while (c->have >= WIRE_HEAD_LEN && c->have >= wire_get_head(c->in).pkglen) {
        uint32_t len = wire_get_head(c->in).pkglen;
        unsigned char packet[256];
        memcpy(packet, c->in, len);
        c->have -= len;
        memmove(c->in, c->in + len, c->have);
        if (!serve(deed, culprit, fd, packet, len))
            return end(deed, fd, c);
    }
    return true;
}

/* Serve for ever, dying with the test. */
_Noreturn static void misbehave(enum misdeed deed, int listener)
{
    static struct peer peers[PEERS_MAX];
    struct pollfd p[PEERS_MAX + 1] = {{.fd = listener, .events = POLLIN}};
    nfds_t count = 1;
    prctl(PR_SET_PDEATHSIG, SIGKILL);
    for (;;) {
        poll(p, count, -1);
        for (nfds_t i = 1; i < count; i++)
            if (p[i].fd >= 0 && p[i].revents != 0 && !take(deed, i == CULPRIT + 1, p[i].fd, &peers[i - 1])) {
                close(p[i].fd);
                p[i].fd = -1;
            }
        if ((p[0].revents & POLLIN) == 0)
            continue;
        int fd = accept(listener, NULL, NULL);
        if (fd >= 0 && (count > PEERS_MAX || (deed == DEED_FULL && count > FULL)))
            close(fd);
        else if (fd >= 0)
            p[count++] = (struct pollfd){.fd = fd, .events = POLLIN};
    }
}

pid_t bad_server_start(enum misdeed deed, uint16_t *port)
{
    struct sockaddr_in a = {.sin_family = AF_INET, .sin_addr.s_addr = htonl(INADDR_LOOPBACK)};
    socklen_t n = sizeof a;
    int fd = socket(AF_INET, SOCK_STREAM | SOCK_CLOEXEC, 0);
    ck_assert_int_eq(bind(fd, (struct sockaddr *) (void *) &a, n), 0);
    ck_assert_int_eq(listen(fd, 128), 0);
    ck_assert_int_eq(getsockname(fd, (struct sockaddr *) (void *) &a, &n), 0);
    *port = ntohs(a.sin_port);
    pid_t pid = fork();
    if (pid == 0)
        misbehave(deed, fd);
    ck_assert_int_gt(pid, 0);
    close(fd);
    return pid;
}
