/*
 * stream.h: the edge where bytes meet the socket: two functions, so that another transport has one place to go.
 *
 * They call the kernel directly: in a process with threads glibc's recv() and send() are cancellation points. A
 * worker that a function has cancelled must not end here, between a reply and its sending; and what makes them
 * such costs two atomic operations each, 1.3 % of a small request.
 */
#ifndef MARIO_NET_STREAM_H
#define MARIO_NET_STREAM_H

#include <errno.h>
#include <stdbool.h>
#include <stddef.h>
#include <sys/socket.h>
#include <sys/syscall.h>
#include <sys/types.h>
#include <sys/uio.h>
#include <unistd.h>

/* As recv() on a non-blocking socket: bytes, 0 at the peer's end, -1 with errno. Any thread. */
static inline ssize_t stream_read(int fd, void *data, size_t n)
{
#ifdef SYS_recvfrom
    return syscall(SYS_recvfrom, fd, data, n, 0, NULL, NULL);
#else
    return recv(fd, data, n, 0);
#endif
}

/* Send what vec[0 .. count-1] (count >= 1) holds, without SIGPIPE. Bytes taken, or -1 with errno. Any thread.
 */
static inline ssize_t stream_write(int fd, struct iovec *vec, size_t count)
{
    struct msghdr m = {.msg_iov = vec, .msg_iovlen = count};
#ifdef SYS_sendto
    if (count == 1)
        return syscall(SYS_sendto, fd, vec[0].iov_base, vec[0].iov_len, MSG_NOSIGNAL, NULL, 0);
#endif
#ifdef SYS_sendmsg
    return syscall(SYS_sendmsg, fd, &m, MSG_NOSIGNAL);
#else
    return sendmsg(fd, &m, MSG_NOSIGNAL);
#endif
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
