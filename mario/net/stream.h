/*
 * stream.h: the edge where bytes meet a connection's socket: all that is done with it is here, so that another
 * transport has one place to go. Any thread, unless said otherwise; none of these waits, whatever a function has
 * made of the socket (FIONBIO), and none raises SIGPIPE.
 *
 * They call the kernel directly: in a process with threads glibc's recv(), send() and close() are cancellation
 * points. A worker that a function has cancelled must not end here, between a reply and its sending; and what makes
 * them such costs two atomic operations each, 1.3 % of a small request.
 */
#ifndef MARIO_NET_STREAM_H
#define MARIO_NET_STREAM_H

#include <errno.h>

#include <netinet/in.h>
#include <netinet/tcp.h>
#include <poll.h>
#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>
#include <sys/ioctl.h>
#include <sys/socket.h>
#include <sys/syscall.h>
#include <sys/types.h>
#include <sys/uio.h>
#include <unistd.h>

static inline ssize_t stream_recv(int fd, void *data, size_t n, int flags)
{
#ifdef SYS_recvfrom
    return syscall(SYS_recvfrom, fd, data, n, flags, NULL, NULL);
#else
    return recv(fd, data, n, flags);
#endif
}

/* As recv(): bytes, 0 at the peer's end, -1 with errno, which is EAGAIN if nothing has come. */
static inline ssize_t stream_read(int fd, void *data, size_t n)
{
    return stream_recv(fd, data, n, MSG_DONTWAIT);
}

/* The same, and what came stays to be read. */
static inline ssize_t stream_look(int fd, void *data, size_t n)
{
    return stream_recv(fd, data, n, MSG_DONTWAIT | MSG_PEEK);
}

/* The same for up to n bytes that nobody wants. TCP drops them without a copy; other sockets write them to data, which
 * has room for n. */
static inline ssize_t stream_discard(int fd, void *data, size_t n)
{
    return stream_recv(fd, data, n, MSG_DONTWAIT | MSG_TRUNC);
}

/* Send what vec[0 .. count-1] (count >= 1) holds. Flags: MSG_MORE or 0. Bytes taken, or -1 with errno. */
static inline ssize_t stream_write(int fd, struct iovec *vec, size_t count, int flags)
{
    flags |= MSG_NOSIGNAL | MSG_DONTWAIT;
    struct msghdr m = {.msg_iov = vec, .msg_iovlen = count};
#ifdef SYS_sendto
    if (count == 1)
        return syscall(SYS_sendto, fd, vec[0].iov_base, vec[0].iov_len, flags, NULL, 0);
#endif
#ifdef SYS_sendmsg
    return syscall(SYS_sendmsg, fd, &m, flags);
#else
    return sendmsg(fd, &m, flags);
#endif
}

/* Whether the next byte to be read is the one that the peer sent as urgent, or where that is to come. */
static inline bool stream_is_at_mark(int fd)
{
    int at = 0;
    return ioctl(fd, SIOCATMARK, &at) == 0 && at != 0;
}

/* Bytes that have come and were not read. 0 if nobody can say. */
static inline uint32_t stream_arrived(int fd)
{
    int n = 0;
    return ioctl(fd, FIONREAD, &n) == 0 && n > 0 ? (uint32_t) n : 0;
}

/* Bytes that the kernel took and the peer has not acknowledged, a FIN counted as one. 0 if nobody can say. (SIOCOUTQ is
 * another name of TIOCOUTQ, in a header that does not go with every C library's.) */
static inline uint32_t stream_unacked(int fd)
{
    int n = 0;
    return ioctl(fd, TIOCOUTQ, &n) == 0 && n > 0 ? (uint32_t) n : 0;
}

/* Whether nothing can come or go any more: it was reset, or both sides have closed and all is acknowledged. What is
 * unacked then stays so. False if nobody can say. */
static inline bool stream_is_over(int fd)
{
    uint8_t state = 0; /* the first byte of a struct tcp_info */
    socklen_t len = sizeof state;
    return getsockopt(fd, IPPROTO_TCP, TCP_INFO, &state, &len) == 0 && len == sizeof state &&
           state == TCP_CLOSE;
}

/* Whether the peer is there no more: a reset has come, or both sides have closed. A FIN alone is none. */
static inline bool stream_has_failed(int fd)
{
    struct pollfd p = {.fd = fd};
#ifdef SYS_poll
    return syscall(SYS_poll, &p, 1, 0) == 1 && (p.revents & (POLLERR | POLLHUP)) != 0;
#else
    return poll(&p, 1, 0) == 1 && (p.revents & (POLLERR | POLLHUP)) != 0;
#endif
}

/* Who is at the other end goes to from. 0, or -1 with errno. */
static inline int stream_peer(int fd, struct sockaddr_storage *from)
{
    socklen_t len = sizeof *from;
    return getpeername(fd, (struct sockaddr *) from, &len);
}

/* Nothing more is to be sent: a FIN goes out behind what the kernel has. What comes can still be read, and a peer that
 * goes on sending gets no RST for it. */
static inline void stream_finish(int fd)
{
    shutdown(fd, SHUT_WR);
}

/* Close it; what the kernel has still goes to the peer, unless unread input makes an RST of the FIN. */
static inline void stream_close(int fd)
{
#ifdef SYS_close
    syscall(SYS_close, fd);
#else
    close(fd);
#endif
}

/* Whoever closes it will have sent an RST: the kernel drops what it has for the peer at once. */
static inline void stream_reset_on_close(int fd)
{
    struct linger at_once = {.l_onoff = 1};
    setsockopt(fd, SOL_SOCKET, SO_LINGER, &at_once, sizeof at_once);
}

/* The kernel takes nothing more while it holds `bytes` that it has not sent. Sockets that cannot do that stay as they
 * are. */
static inline void stream_hold_back(int fd, uint32_t bytes)
{
#ifdef TCP_NOTSENT_LOWAT
    setsockopt(fd, IPPROTO_TCP, TCP_NOTSENT_LOWAT, &bytes, sizeof bytes);
#endif
}

/* Whether this errno says that the descriptor is no socket, or none at all: somebody closed it. */
static inline bool stream_is_gone(int err)
{
    return err == EBADF || err == ENOTSOCK;
}

/* Whether this errno of the two above says that the kernel gave the peer up, and not that the peer ended the
 * connection: it answered neither data nor probes. Routers on the way may have said why, hence the many names. */
static inline bool stream_is_silence(int err)
{
    switch (err) {
    case ETIMEDOUT:
    case EHOSTUNREACH:
    case ENETUNREACH:
    case EHOSTDOWN:
    case ENETDOWN:
    case ENONET:
    case EACCES:
    case ECONNREFUSED:
    case EPROTO:
        return true;
    default:
        return false;
    }
}

#endif
