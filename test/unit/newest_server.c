/*
 * newest_server.c: logins are put onto a stack, and answered from its top at a pace; any other packet is answered with
 * itself. Packets are taken to come whole, as over loopback those do that are as small.
 */
#include "newest_server.h"

#include <arpa/inet.h>
#include <netinet/in.h>
#include <signal.h>
#include <stdbool.h>
#include <sys/epoll.h>
#include <sys/prctl.h>
#include <sys/resource.h>
#include <sys/socket.h>
#include <unistd.h>

#include "protocol/mario_protocol.h"
#include "test/lib/clock.h"
#include "test/lib/pace.h"
#include "test/lib/wire.h"
#include "unit.h"

#define WAITING_MAX 16384u
#define EVENTS      256
#define NAP_MS      1

static struct {
    uint32_t stx;
    int fds[WAITING_MAX];
    uint32_t count;
} stack;

static void say(int fd, const unsigned char *p, size_t n)
{
    if (send(fd, p, n, MSG_NOSIGNAL) != (ssize_t) n)
        return; /* it has closed, and counts what it did not get */
}

/* The newest of those that wait, if its time has come. */
static void answer_newest(struct pace *logins)
{
    unsigned char p[WIRE_HEAD_LEN];
    uint64_t now = mono_ns();
    if (stack.count == 0)
        *logins = pace_make(now, NEWEST_PER_S);
    for (; stack.count > 0 && pace_due(logins) <= now; logins->done++) {
        wire_put_head(p, (struct wire_head){stack.stx, WIRE_HEAD_LEN, CMD_FUNCTION_LOGIN});
        say(stack.fds[--stack.count], p, sizeof p);
    }
}

static void take(int fd)
{
    unsigned char p[256];
    ssize_t n = recv(fd, p, sizeof p, MSG_DONTWAIT);
    if (n < (ssize_t) WIRE_HEAD_LEN) {
        close(fd);
        return;
    }
    struct wire_head h = wire_get_head(p);
    if (h.akg_id != CMD_FUNCTION_LOGIN) {
        say(fd, p, (size_t) n);
        return;
    }
    stack.stx = h.stx;
    if (stack.count < WAITING_MAX)
        stack.fds[stack.count++] = fd;
}

/* Serve for ever, dying with the test. */
_Noreturn static void serve(int listener)
{
    struct epoll_event events[EVENTS], e = {.events = EPOLLIN, .data.fd = listener};
    struct pace logins = pace_make(mono_ns(), NEWEST_PER_S);
    struct rlimit r;
    int epoll = epoll_create1(EPOLL_CLOEXEC);
    prctl(PR_SET_PDEATHSIG, SIGKILL);
    if (getrlimit(RLIMIT_NOFILE, &r) == 0) {
        r.rlim_cur = r.rlim_max;
        setrlimit(RLIMIT_NOFILE, &r);
    }
    epoll_ctl(epoll, EPOLL_CTL_ADD, listener, &e);
    for (;;) {
        int n = epoll_wait(epoll, events, EVENTS, NAP_MS);
        for (int i = 0; i < n; i++) {
            if (events[i].data.fd != listener) {
                take(events[i].data.fd);
            } else if ((e.data.fd = accept(listener, NULL, NULL)) >= 0) {
                epoll_ctl(epoll, EPOLL_CTL_ADD, e.data.fd, &e);
            }
        }
        answer_newest(&logins);
    }
}

pid_t newest_server_start(uint16_t *port)
{
    struct sockaddr_in a = {.sin_family = AF_INET, .sin_addr.s_addr = htonl(INADDR_LOOPBACK)};
    socklen_t n = sizeof a;
    int fd = socket(AF_INET, SOCK_STREAM | SOCK_CLOEXEC, 0);
    ck_assert_int_eq(bind(fd, (struct sockaddr *) (void *) &a, n), 0);
    ck_assert_int_eq(listen(fd, 1024), 0);
    ck_assert_int_eq(getsockname(fd, (struct sockaddr *) (void *) &a, &n), 0);
    *port = ntohs(a.sin_port);
    pid_t pid = fork();
    if (pid == 0)
        serve(fd);
    ck_assert_int_gt(pid, 0);
    close(fd);
    return pid;
}
