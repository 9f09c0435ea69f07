/*
 * udp.c: datagrams at their sockets. Opening runs on the thread that makes the server, or a supervising parent; the
 * rest on the thread that has the batch, or the socket.
 */
#include "mario/net/udp.h"

#include <errno.h>
#include <string.h>
#include <sys/syscall.h>
#include <unistd.h>

enum {
    QUEUE_BYTES = 4 * 1024 * 1024
}; /* of a socket; the kernel gives as much of it as net.core.rmem_max says */

_Static_assert(UDP_CONTROL_IN >= CMSG_SPACE(sizeof(struct in_pktinfo)) + CMSG_SPACE(sizeof(uint32_t)),
               "what IPv6 tells takes more room");

/* ---- The kernel ---- */

static int receive_many(int fd, struct mmsghdr *m, unsigned n)
{
#ifdef SYS_recvmmsg
    return (int) syscall(SYS_recvmmsg, fd, m, n, MSG_DONTWAIT | MSG_TRUNC, NULL);
#else
    return recvmmsg(fd, m, n, MSG_DONTWAIT | MSG_TRUNC, NULL);
#endif
}

static int send_many(int fd, struct mmsghdr *m, unsigned n)
{
#ifdef SYS_sendmmsg
    return (int) syscall(SYS_sendmmsg, fd, m, n, MSG_DONTWAIT | MSG_NOSIGNAL);
#else
    return sendmmsg(fd, m, n, MSG_DONTWAIT | MSG_NOSIGNAL);
#endif
}

/* ---- Opening ---- */

static bool is_any(const struct listen_address *a)
{
    const struct sockaddr_storage *s = &a->addr;
    if (s->ss_family == AF_INET)
        return ((const struct sockaddr_in *) s)->sin_addr.s_addr == htonl(INADDR_ANY);
    return IN6_IS_ADDR_UNSPECIFIED(&((const struct sockaddr_in6 *) s)->sin6_addr);
}

/* What has to be told with each datagram: what did not find room; where it came to, if that can be anywhere. */
static bool set_options(int fd, const struct listen_address *a)
{
    int on = 1, queue = QUEUE_BYTES, family = a->addr.ss_family;
    setsockopt(fd, SOL_SOCKET, SO_RCVBUF, &queue, sizeof queue);
    if (setsockopt(fd, SOL_SOCKET, SO_RXQ_OVFL, &on, sizeof on) != 0 ||
        (family == AF_INET6 && setsockopt(fd, IPPROTO_IPV6, IPV6_V6ONLY, &on, sizeof on) != 0))
        return false;
    return !is_any(a) ||
           (family == AF_INET6 ? setsockopt(fd, IPPROTO_IPV6, IPV6_RECVPKTINFO, &on, sizeof on) == 0
                               : setsockopt(fd, IPPROTO_IP, IP_PKTINFO, &on, sizeof on) == 0);
}

static int open_one(struct listen_address *a, bool is_first)
{
    int on = 1;
    int fd = socket(a->addr.ss_family, SOCK_DGRAM | SOCK_NONBLOCK | SOCK_CLOEXEC, 0);
    if (fd < 0)
        return -1;
    bool ok = set_options(fd, a) &&
              (is_first || setsockopt(fd, SOL_SOCKET, SO_REUSEPORT, &on, sizeof on) == 0) &&
              bind(fd, (const struct sockaddr *) &a->addr, a->len) == 0 &&
              (!is_first || setsockopt(fd, SOL_SOCKET, SO_REUSEPORT, &on, sizeof on) == 0);
    if (ok) {
        listen_learn_port(a, fd);
        return fd;
    }
    int saved = errno;
    close(fd);
    errno = saved;
    return -1;
}

bool udp_open(struct listen_address *a, int *fds, uint32_t count)
{
    for (uint32_t i = 0; i < count; i++) {
        fds[i] = open_one(a, i == 0);
        if (fds[i] >= 0)
            continue;
        int saved = errno;
        while (i > 0) {
            close(fds[--i]);
            fds[i] = -1;
        }
        errno = saved;
        return false;
    }
    return true;
}

/* ---- Receiving ---- */

/* Everything but what a receive writes. */
void udp_batch_init(struct udp_batch *b, unsigned char *room, size_t size, size_t stride)
{
    *b = (struct udp_batch){.size = size};
    for (uint32_t i = 0; i < UDP_BATCH; i++) {
        b->at[i].data = room + i * stride;
        b->in_part[i] = (struct iovec){.iov_base = b->at[i].data, .iov_len = size};
        b->in[i].msg_hdr = (struct msghdr){.msg_name = &b->at[i].from.who,
                                           .msg_namelen = sizeof b->at[i].from.who,
                                           .msg_iov = &b->in_part[i],
                                           .msg_iovlen = 1,
                                           .msg_control = b->in_control[i],
                                           .msg_controllen = sizeof b->in_control[i]};
        b->out[i].msg_hdr = (struct msghdr){.msg_iov = &b->out_part[i], .msg_iovlen = 1};
    }
}

static bool is_of_link(const struct in6_addr *a)
{
    return IN6_IS_ADDR_LINKLOCAL(a) || IN6_IS_ADDR_MC_LINKLOCAL(a);
}

/* What the kernel told with a datagram. What came to many at once is answered from where we would send anyway. */
static void read_control(struct msghdr *m, struct udp_from *from, uint32_t *lost)
{
    memset(from->here, 0, sizeof from->here);
    from->link = 0;
    for (struct cmsghdr *c = CMSG_FIRSTHDR(m); c != NULL; c = CMSG_NXTHDR(m, c)) {
        if (c->cmsg_level == SOL_SOCKET && c->cmsg_type == SO_RXQ_OVFL) {
            memcpy(lost, CMSG_DATA(c), sizeof *lost);
        } else if (c->cmsg_level == IPPROTO_IP && c->cmsg_type == IP_PKTINFO) {
            struct in_pktinfo info;
            memcpy(&info, CMSG_DATA(c), sizeof info);
            memcpy(from->here, &info.ipi_spec_dst, sizeof info.ipi_spec_dst);
        } else if (c->cmsg_level == IPPROTO_IPV6 && c->cmsg_type == IPV6_PKTINFO) {
            struct in6_pktinfo info;
            memcpy(&info, CMSG_DATA(c), sizeof info);
            if (is_of_link(&info.ipi6_addr) || is_of_link(&from->who.v6.sin6_addr))
                from->link = (uint32_t) info.ipi6_ifindex;
            if (!IN6_IS_ADDR_MULTICAST(&info.ipi6_addr))
                memcpy(from->here, &info.ipi6_addr, sizeof info.ipi6_addr);
        }
    }
}

uint32_t udp_receive(struct udp_socket *s, struct udp_batch *b, uint32_t *lost)
{
    uint32_t total = s->lost;
    b->count = 0;
    *lost = 0;
    int n;
    do {
        n = receive_many(s->fd, b->in, UDP_BATCH);
    } while (n < 0 && errno == EINTR);
    for (int i = 0; i < n; i++) {
        struct msghdr *m = &b->in[i].msg_hdr;
        b->at[i].len = b->in[i].msg_len;
        read_control(m, &b->at[i].from, &total);
        m->msg_namelen = sizeof b->at[i].from.who;
        m->msg_controllen = sizeof b->in_control[i];
    }
    *lost = total - s->lost;
    s->lost = total;
    b->count = n > 0 ? (uint32_t) n : 0;
    return b->count;
}

void udp_copy(struct udp_batch *b, const struct udp_datagram *d)
{
    struct udp_datagram *to = &b->at[b->count++];
    memcpy(to->data, d->data, d->len < b->size ? d->len : b->size);
    to->len = d->len;
    to->from = d->from;
}

/* ---- Sending ---- */

static bool is_zero(const unsigned char *p, size_t n)
{
    for (size_t i = 0; i < n; i++) {
        if (p[i] != 0)
            return false;
    }
    return true;
}

/* Where it goes to, and which of our addresses it is to come from, if there are several. */
static void address(struct msghdr *m, struct udp_from *to, unsigned char *control)
{
    bool is_v6 = to->who.any.sa_family == AF_INET6;
    struct cmsghdr *c = (struct cmsghdr *) (void *) control;
    m->msg_name = &to->who;
    m->msg_namelen = is_v6 ? sizeof to->who.v6 : sizeof to->who.v4;
    m->msg_control = NULL;
    m->msg_controllen = 0;
    if (to->link == 0 && is_zero(to->here, sizeof to->here))
        return;
    struct in6_pktinfo v6 = {.ipi6_ifindex = to->link};
    struct in_pktinfo v4 = {.ipi_ifindex = 0};
    memcpy(&v6.ipi6_addr, to->here, sizeof v6.ipi6_addr);
    memcpy(&v4.ipi_spec_dst, to->here, sizeof v4.ipi_spec_dst);
    size_t len = is_v6 ? sizeof v6 : sizeof v4;
    memset(control, 0, UDP_CONTROL_OUT);
    *c = (struct cmsghdr){.cmsg_len = CMSG_LEN(len),
                          .cmsg_level = is_v6 ? IPPROTO_IPV6 : IPPROTO_IP,
                          .cmsg_type = is_v6 ? IPV6_PKTINFO : IP_PKTINFO};
    memcpy(CMSG_DATA(c), is_v6 ? (const void *) &v6 : (const void *) &v4, len);
    m->msg_control = control;
    m->msg_controllen = CMSG_SPACE(len);
}

void udp_reply(struct udp_batch *b, uint32_t i, size_t n)
{
    uint32_t k = b->replies++;
    b->out_part[k] = (struct iovec){.iov_base = b->at[i].data, .iov_len = n};
    address(&b->out[k].msg_hdr, &b->at[i].from, b->out_control[k]);
}

static bool is_full(int err)
{
    return err == EAGAIN || err == ENOBUFS || err == ENOMEM;
}

/* One that the kernel does not want, since nobody can be reached there, say, keeps none of the others back; when it has
 * no room they are all lost: nobody waits for a datagram. */
struct udp_sent udp_send(int fd, struct udp_batch *b)
{
    struct udp_sent sent = {.datagrams = 0};
    uint32_t at = 0;
    while (at < b->replies) {
        int n = send_many(fd, b->out + at, b->replies - at);
        if (n < 0 && errno == EINTR)
            continue;
        if (n < 0 && is_full(errno))
            break;
        for (int i = 0; i < n; i++)
            sent.bytes += b->out[at + (uint32_t) i].msg_len;
        sent.datagrams += n > 0 ? (uint32_t) n : 0;
        at += n > 0 ? (uint32_t) n : 1;
    }
    sent.lost = b->replies - sent.datagrams;
    b->replies = 0;
    return sent;
}

bool udp_send_one(int fd, const struct udp_from *to, const void *data, size_t n)
{
    _Alignas(struct cmsghdr) unsigned char control[UDP_CONTROL_OUT];
    struct udp_from from = *to;
    struct iovec part = {.iov_base = (void *) (uintptr_t) data, .iov_len = n};
    struct mmsghdr one = {.msg_hdr = {.msg_iov = &part, .msg_iovlen = 1}};
    int rc;
    address(&one.msg_hdr, &from, control);
    do {
        rc = send_many(fd, &one, 1);
    } while (rc < 0 && errno == EINTR);
    return rc == 1;
}
