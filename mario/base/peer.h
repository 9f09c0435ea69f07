/*
 * peer.h: who is at the other end of a connection: an address and a port, as one value whatever the family. Any
 * thread; pure.
 */
#ifndef MARIO_BASE_PEER_H
#define MARIO_BASE_PEER_H

#include <stdbool.h>
#include <stdint.h>
#include <sys/socket.h>

enum { PEER_ADDRESS = 16, PEER_TEXT = 56 }; /* bytes of an address; of the longest text, its NUL included */

struct peer {
    unsigned char
        address[PEER_ADDRESS]; /* network order; an IPv4 one as ::ffff:a.b.c.d; zero for a unix socket */
    uint16_t port;             /* network order; 0 for a unix socket */
};

/* Of what accept() gave. IPv4 that came over an IPv6 socket is IPv4. */
struct peer peer_of(const struct sockaddr_storage *from);
/* Of an IPv4 address and a port in network order; a port of 0 is a unix socket. */
struct peer peer_of_v4(uint32_t ip, uint16_t port);
/* Of an IPv6 address. */
struct peer peer_of_v6(const unsigned char address[PEER_ADDRESS], uint16_t port);

/* Its IPv4 address in network order, 0 if it has none. */
uint32_t peer_v4(const struct peer *p);

/* "10.1.2.3:4567", "[2001:db8::1]:4567" or "unix", cut to `size`. Returns its length, were there room for it. */
uint32_t peer_print(const struct peer *p, char *text, uint32_t size);
/* As an address of its family; for a unix socket the family alone. */
void peer_sockaddr(const struct peer *p, struct sockaddr_storage *out);

#endif
