/*
 * listen.h: the listen list: parse it, open the sockets. For the thread that makes the server.
 */
#ifndef MARIO_NET_LISTEN_H
#define MARIO_NET_LISTEN_H

#include <stdbool.h>
#include <stddef.h>
#include <sys/socket.h>

#include "mario/mario_server.h"

#define LISTEN_MAX  64 /* addresses in one list */
#define LISTEN_NAME 128

struct listen_address {
    struct sockaddr_storage addr;
    socklen_t len;
    char name[LISTEN_NAME]; /* as it was written; after listen_open with the port it got */
};

/* Parse a comma list into out[0 .. LISTEN_MAX-1]. How many there are, or -1 with one line in why. */
int listen_parse(const char *list, struct listen_address *out, char *why, size_t why_size);

/* Bind and listen, non-blocking, with listen_keepalive(). Port 0 becomes the port the kernel gave. A stale unix
 * socket file that nobody listens on is replaced. The descriptor, or -1 with errno. */
int listen_open(struct listen_address *a, int backlog, uint32 keepalive);

/* Have connections that arrive from now on probed after `seconds` of silence, .. MARIO_KEEPALIVE_MAX, and given
 * up after at most as long again; 0: never. Nothing to do for a unix socket. False with errno. */
bool listen_keepalive(int fd, int family, uint32 seconds);

/* How to mend an error of listen_open(), to be put behind it; "" for the rarer ones. */
const char *listen_hint(int err);

/* Close it, and remove a unix socket's file. */
void listen_close(const struct listen_address *a, int fd);

/* The port in host order, 0 for a unix socket. */
uint16 listen_port(const struct listen_address *a);

#endif
