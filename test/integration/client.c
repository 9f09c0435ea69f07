/*
 * client.c: one plain connection for the tests of harness.h: non-blocking underneath, waiting with a deadline
 * on top. Main thread of a test.
 */
#include "harness.h"

#include <arpa/inet.h>
#include <errno.h>
#include <fcntl.h>
#include <linux/inet_diag.h>
#include <linux/netlink.h>
#include <linux/sock_diag.h>
#include <netinet/in.h>
#include <netinet/tcp.h>
#include <stdatomic.h>
#include <string.h>
#include <unistd.h>

#include "test/apps/testapp/commands.h"
#include "test/lib/payload.h"
#include "test/lib/secure.h"

enum { CLIENT_MS = 5000 };

static _Atomic uint64_t opened; /* some tests open on several threads */

uint64_t client_opened(void)
{
    return opened;
}

int client_open_at(const struct net_target *t)
{
    int fd = net_connect_wait(t, itest_deadline(CLIENT_MS));
    opened++;
    ITEST_ASSERT(fd >= 0, "cannot connect to %s: %s", t->name, secure_error(errno));
    return fd;
}

bool client_has_ipv6(void)
{
    struct sockaddr_in6 a = {.sin6_family = AF_INET6, .sin6_addr = IN6ADDR_LOOPBACK_INIT};
    int fd = socket(AF_INET6, SOCK_STREAM | SOCK_CLOEXEC, 0);
    bool has = fd >= 0 && bind(fd, (struct sockaddr *) &a, sizeof a) == 0;
    if (fd >= 0)
        close(fd);
    return has;
}

int client_open(const struct server *s)
{
    return client_open_at(&s->target);
}

int client_open_from(const struct server *s, const char *address)
{
    struct sockaddr_in from = {.sin_family = AF_INET};
    int fd = socket(AF_INET, SOCK_STREAM | SOCK_CLOEXEC, 0), on = 1;
    opened++;
    ck_assert(fd >= 0 && inet_pton(AF_INET, address, &from.sin_addr) == 1);
    ck_assert(setsockopt(fd, IPPROTO_IP, IP_BIND_ADDRESS_NO_PORT, &on, sizeof on) == 0);
    ck_assert(bind(fd, (struct sockaddr *) &from, sizeof from) == 0);
    int rc = connect(fd, (const struct sockaddr *) &s->target.addr, s->target.len);
    ck_assert_msg(rc == 0 || errno == ECONNRESET, "cannot connect from %s: %s", address, strerror(errno));
    ck_assert(setsockopt(fd, IPPROTO_TCP, TCP_NODELAY, &on, sizeof on) == 0);
    ck_assert(fcntl(fd, F_SETFL, O_NONBLOCK) == 0);
    ck_assert(net_cover(fd, itest_deadline(CLIENT_MS)) == 0);
    return fd;
}

int client_open_narrow(const struct server *s)
{
    int fd = socket(AF_INET, SOCK_STREAM | SOCK_CLOEXEC, 0), size = 1;
    opened++;
    ck_assert(fd >= 0 && setsockopt(fd, SOL_SOCKET, SO_RCVBUF, &size, sizeof size) == 0);
    ck_assert(connect(fd, (const struct sockaddr *) &s->target.addr, s->target.len) == 0);
    ck_assert(fcntl(fd, F_SETFL, O_NONBLOCK) == 0);
    (void) !net_cover(fd, itest_deadline(CLIENT_MS)); /* who is refused finds out with what he receives */
    return fd;
}

size_t client_packet(unsigned char *out, uint16_t akg_id, const void *data, size_t n)
{
    wire_put_head(out, (struct wire_head){
                           .stx = ITEST_STX, .pkglen = (uint16_t) (WIRE_HEAD_LEN + n), .akg_id = akg_id});
    if (n > 0)
        memcpy(out + WIRE_HEAD_LEN, data, n);
    return WIRE_HEAD_LEN + n;
}

void client_send(int fd, const void *data, size_t n)
{
    int rc = net_send_wait(fd, data, n, itest_deadline(CLIENT_MS));
    ITEST_ASSERT(rc == 0, "cannot send %zu bytes: %s", n, strerror(errno));
}

void client_send_packet(int fd, uint16_t akg_id, const void *data, size_t n)
{
    unsigned char packet[WIRE_PACKET_MAX];
    ITEST_ASSERT(n <= sizeof packet - WIRE_HEAD_LEN, "a packet cannot have %zu bytes of data", n);
    client_send(fd, packet, client_packet(packet, akg_id, data, n));
}

void client_recv(int fd, void *data, size_t n)
{
    ptrdiff_t got = net_recv_wait(fd, data, n, itest_deadline(CLIENT_MS));
    ITEST_ASSERT(got >= 0, "waiting for %zu bytes: %s", n, secure_error(errno));
    ITEST_ASSERT((size_t) got == n, "%zd bytes instead of %zu, then the end", got, n);
}

size_t client_recv_packet(int fd, uint16_t akg_id, void *data, size_t size)
{
    unsigned char head[WIRE_HEAD_LEN];
    client_recv(fd, head, sizeof head);
    struct wire_head h = wire_get_head(head);
    ITEST_ASSERT(h.stx == ITEST_STX && h.akg_id == akg_id,
                 "an answer with stx %08x, akg_id %04x instead of %08x, %04x", h.stx, h.akg_id, ITEST_STX,
                 akg_id);
    ITEST_ASSERT(h.pkglen >= WIRE_HEAD_LEN && h.pkglen - WIRE_HEAD_LEN <= size, "an answer with pkglen %u",
                 h.pkglen);
    size_t n = h.pkglen - WIRE_HEAD_LEN;
    client_recv(fd, data, n);
    return n;
}

size_t client_ask(int fd, uint16_t akg_id, const void *data, size_t n, void *answer, size_t size)
{
    client_send_packet(fd, akg_id, data, n);
    return client_recv_packet(fd, akg_id, answer, size);
}

void client_echo(int fd, size_t n)
{
    static uint32_t seq;
    unsigned char asked[WIRE_PACKET_MAX], answer[WIRE_PACKET_MAX];
    payload_fill(asked, n, (uint32_t) fd, ++seq);
    size_t got = client_ask(fd, TEST_ECHO, asked, n, answer, sizeof answer);
    ITEST_ASSERT(got == n && memcmp(asked, answer, n) == 0, "an ECHO of %zu bytes came back wrong", n);
}

enum ending client_ending(int fd, size_t *extra, unsigned ms)
{
    uint64_t deadline = itest_deadline(ms);
    char sink[65536];
    size_t sum = 0;
    enum ending how = END_OPEN;
    while (how == END_OPEN) {
        ptrdiff_t n = net_recv_wait(fd, sink, 1, deadline);
        if (n == 1) {
            ssize_t more = net_recv(fd, sink, sizeof sink);
            sum += 1 + (more > 0 ? (size_t) more : 0);
        } else if (n == 0) {
            how = END_FIN;
        } else {
            how = errno == ETIMEDOUT ? END_TIMEOUT : END_RST;
        }
    }
    if (extra != NULL)
        *extra = sum;
    return how;
}

void client_expect_fin(int fd)
{
    size_t extra;
    enum ending how = client_ending(fd, &extra, CLIENT_MS);
    ITEST_ASSERT(how == END_FIN && extra == 0, "expected a FIN; it was %s after %zu bytes",
                 how == END_FIN   ? "a FIN"
                 : how == END_RST ? "an RST"
                                  : "nothing in time",
                 extra);
    net_close(fd);
}

void client_reset(int fd)
{
    net_reset(fd);
}

/* Send a request about one IPv4 socket, the server's end of fd, to the kernel over netlink, and receive its answer.
 * 0, or the errno. */
static int sock_ask(int fd, uint16_t type, void *answer, size_t size)
{
    struct sockaddr_in ours, theirs;
    socklen_t a = sizeof ours, b = sizeof theirs;
    if (getsockname(fd, (struct sockaddr *) &ours, &a) != 0 ||
        getpeername(fd, (struct sockaddr *) &theirs, &b) != 0)
        return errno;
    struct {
        struct nlmsghdr head;
        struct inet_diag_req_v2 body;
    } ask = {.head = {.nlmsg_len = sizeof ask,
                      .nlmsg_type = type,
                      .nlmsg_flags = (uint16_t) (NLM_F_REQUEST | (type == SOCK_DESTROY ? NLM_F_ACK : 0))},
             .body = {.sdiag_family = AF_INET,
                      .sdiag_protocol = IPPROTO_TCP,
                      .idiag_states = ~0u,
                      .id = {.idiag_sport = theirs.sin_port,
                             .idiag_dport = ours.sin_port,
                             .idiag_src = {theirs.sin_addr.s_addr},
                             .idiag_dst = {ours.sin_addr.s_addr},
                             .idiag_cookie = {INET_DIAG_NOCOOKIE, INET_DIAG_NOCOOKIE}}}};
    int netlink = socket(AF_NETLINK, SOCK_RAW | SOCK_CLOEXEC, NETLINK_SOCK_DIAG);
    if (netlink < 0)
        return errno;
    ssize_t n = send(netlink, &ask, sizeof ask, 0) < 0 ? -1 : recv(netlink, answer, size, 0);
    int err = n < 0 ? errno : 0;
    close(netlink);
    return err;
}

bool client_destroy(int fd)
{
    struct {
        struct nlmsghdr head;
        struct nlmsgerr error;
    } answer = {.error.error = -EIO};
    if (sock_ask(fd, SOCK_DESTROY, &answer, sizeof answer) != 0 || answer.error.error != 0)
        return false;
    net_close(fd);
    return true;
}

/* The state of the server's end, TCP_ESTABLISHED and so on; 0 when the kernel has no such socket (any more). It then
 * shows the listener, if there is one. */
static int far_state(int fd)
{
    struct {
        struct nlmsghdr head;
        struct inet_diag_msg found;
        char more[1024];
    } answer = {.head.nlmsg_type = NLMSG_ERROR};
    int err = sock_ask(fd, SOCK_DIAG_BY_FAMILY, &answer, sizeof answer);
    ITEST_ASSERT(err == 0 || err == ENOTCONN, "the state of a connection: %s", strerror(err));
    /* ENOTCONN: not even our end is alive, which an RST has ended. */
    bool found = err == 0 && answer.head.nlmsg_type == SOCK_DIAG_BY_FAMILY;
    return found && answer.found.idiag_state != TCP_LISTEN ? answer.found.idiag_state : 0;
}

bool client_is_closed(int fd)
{
    return far_state(fd) != TCP_ESTABLISHED;
}

bool client_is_gone(int fd)
{
    return far_state(fd) == 0;
}
