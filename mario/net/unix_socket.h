/*
 * unix_socket.h: the file of a listening unix socket: made so that it takes nobody's place, removed only if it is still
 * ours. For the thread that makes the server, and the one that stops it.
 */
#ifndef MARIO_NET_UNIX_SOCKET_H
#define MARIO_NET_UNIX_SOCKET_H

#include <stdbool.h>
#include <sys/types.h>
#include <sys/un.h>

/* Which file it is, wherever its path leads by now. */
struct unix_file {
    dev_t dev;
    ino_t ino;
};

/* Bind fd to the path with these permissions and this group ((gid_t) -1: as it comes), listen, and note the file. A
 * socket there that nobody listens on any more is replaced; two servers at a time do not take each other's. Sets the
 * process's umask for a moment. False with errno: EADDRINUSE if something is there that stays, EAGAIN if somebody holds
 * the directory's lock. */
__attribute__((warn_unused_result)) bool unix_socket_listen(int fd, const struct sockaddr_un *where,
                                                            int backlog, mode_t mode, gid_t group,
                                                            struct unix_file *file);

/* Remove the file if it is still this one. Before the socket is closed or shut down: as long as it listens nobody else
 * takes the path. */
void unix_socket_remove(const struct sockaddr_un *where, const struct unix_file *file);

#endif
