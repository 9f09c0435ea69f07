/*
 * tcp_facts.h: what the kernel knows of a TCP connection, for people who ask. Any thread; one system call, which never
 * waits.
 */
#ifndef MARIO_NET_TCP_FACTS_H
#define MARIO_NET_TCP_FACTS_H

#include <stdbool.h>
#include <stdint.h>

struct tcp_facts {
    uint64_t received;     /* bytes, those that nobody has read yet among them */
    uint64_t acknowledged; /* bytes sent that the peer has */
    uint32_t rtt;          /* us, smoothed */
    uint32_t rttvar;       /* us */
    uint32_t retrans;      /* segments sent again, since the beginning */
    uint32_t unacked;      /* segments on their way */
    uint32_t cwnd;         /* segments that may be */
};

/* False, and nothing, if it is no TCP socket. */
bool tcp_facts(int fd, struct tcp_facts *out);

#endif
