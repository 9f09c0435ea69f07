/*
 * peer.c: who is at the other end of a connection. Any thread; pure.
 */
#include "mario/base/peer.h"

#include <arpa/inet.h>
#include <netinet/in.h>
#include <stdio.h>
#include <string.h>

static const unsigned char mapped[12] = {[10] = 0xff, [11] = 0xff};

struct peer peer_of_v6(const unsigned char address[PEER_ADDRESS], uint16_t port)
{
    struct peer p = {.port = port};
    memcpy(p.address, address, PEER_ADDRESS);
    return p;
}

struct peer peer_of_v4(uint32_t ip, uint16_t port)
{
    struct peer p = {.port = port};
    if (port == 0)
        return p;
    memcpy(p.address, mapped, sizeof mapped);
    memcpy(p.address + sizeof mapped, &ip, sizeof ip);
    return p;
}

struct peer peer_of(const struct sockaddr_storage *from)
{
    const struct sockaddr_in *v4 = (const struct sockaddr_in *) (const void *) from;
    const struct sockaddr_in6 *v6 = (const struct sockaddr_in6 *) (const void *) from;
    if (from->ss_family == AF_INET)
        return peer_of_v4(v4->sin_addr.s_addr, v4->sin_port);
    if (from->ss_family == AF_INET6)
        return peer_of_v6(v6->sin6_addr.s6_addr, v6->sin6_port);
    return (struct peer){.port = 0};
}

uint32_t peer_v4(const struct peer *p)
{
    uint32_t ip = 0;
    if (memcmp(p->address, mapped, sizeof mapped) == 0)
        memcpy(&ip, p->address + sizeof mapped, sizeof ip);
    return ip;
}

uint32_t peer_print(const struct peer *p, char *text, uint32_t size)
{
    char ip[INET6_ADDRSTRLEN] = "";
    uint32_t v4 = peer_v4(p);
    int n;
    if (p->port == 0) {
        n = snprintf(text, size, "unix");
    } else if (v4 != 0) {
        inet_ntop(AF_INET, &v4, ip, sizeof ip);
        n = snprintf(text, size, "%s:%u", ip, ntohs(p->port));
    } else {
        inet_ntop(AF_INET6, p->address, ip, sizeof ip);
        n = snprintf(text, size, "[%s]:%u", ip, ntohs(p->port));
    }
    return (uint32_t) n;
}

void peer_sockaddr(const struct peer *p, struct sockaddr_storage *out)
{
    struct sockaddr_in v4 = {.sin_family = AF_INET, .sin_port = p->port, .sin_addr.s_addr = peer_v4(p)};
    struct sockaddr_in6 v6 = {.sin6_family = AF_INET6, .sin6_port = p->port};
    memset(out, 0, sizeof *out);
    if (p->port == 0) {
        out->ss_family = AF_UNIX;
    } else if (v4.sin_addr.s_addr != 0) {
        memcpy(out, &v4, sizeof v4);
    } else {
        memcpy(v6.sin6_addr.s6_addr, p->address, PEER_ADDRESS);
        memcpy(out, &v6, sizeof v6);
    }
}
