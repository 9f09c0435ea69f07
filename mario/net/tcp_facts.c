/*
 * tcp_facts.c: what the kernel knows of a TCP connection. Any thread. A file of its own: the kernel's struct tcp_info
 * has more than the C library's, and both cannot be included at once.
 */
#include "mario/net/tcp_facts.h"

#include <linux/tcp.h>
#include <netinet/in.h>
#include <string.h>
#include <sys/socket.h>

bool tcp_facts(int fd, struct tcp_facts *out)
{
    struct tcp_info info; /* an older kernel fills less of it */
    socklen_t len = sizeof info;
    memset(&info, 0, sizeof info);
    if (getsockopt(fd, IPPROTO_TCP, TCP_INFO, &info, &len) != 0)
        return false;
    *out = (struct tcp_facts){.received = info.tcpi_bytes_received,
                              .acknowledged = info.tcpi_bytes_acked,
                              .rtt = info.tcpi_rtt,
                              .rttvar = info.tcpi_rttvar,
                              .retrans = info.tcpi_total_retrans,
                              .unacked = info.tcpi_unacked,
                              .cwnd = info.tcpi_snd_cwnd};
    return true;
}
