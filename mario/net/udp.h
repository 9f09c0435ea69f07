/*
 * udp.h: datagrams at their sockets: opening, taking and sending many with one system call. Opening is for the thread
 * that makes the server; the rest for whoever has the batch. Reading and sending call the kernel directly, as stream.h
 * does and for the same reason, and never wait.
 */
#ifndef MARIO_NET_UDP_H
#define MARIO_NET_UDP_H

#include <netinet/in.h>
#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>
#include <sys/socket.h>
#include <sys/uio.h>

#include "mario/net/listen.h"

#define UDP_BATCH 32     /* datagrams at once */
#define UDP_MOST  65507u /* bytes of the largest one, of IPv4 */

/* One worker's socket of a listener for datagrams. */
struct udp_socket {
    int fd;             /* -1: there is none any more */
    uint16_t port;      /* network order */
    uint8_t listener;   /* its index in the listen list */
    uint32_t amplify;   /* a reply is at most so many times as long as what it answers */
    uint32_t lost;      /* datagrams that its queue had no room for, as the kernel counts them, mod 2^32 */
    bool is_read;       /* its event is there */
    uint32_t last_ones; /* batches that a stop may still read of it */
};

/* A listener for datagrams, and its sockets until their workers have them. */
struct udp_listener {
    int *fds; /* [workernum]; -1 once a worker has it */
    uint16_t port;
    uint8_t listener;
    uint32_t amplify;
};

/* Who sent a datagram, and the address of ours that he knows: an answer has to come from that one. */
struct udp_from {
    union {
        struct sockaddr any;
        struct sockaddr_in v4;
        struct sockaddr_in6 v6;
    } who;
    unsigned char here[sizeof(struct in6_addr)]; /* ours, of his family; all zero: the socket has only one */
    uint32_t link; /* index of the interface, if ours or his is an address of that link alone */
};

struct udp_datagram {
    unsigned char *data; /* what came, up to the batch's `size` */
    uint32_t len;        /* as it was sent: more than `size` if the rest was cut off */
    struct udp_from from;
};

#define UDP_CONTROL_IN  (CMSG_SPACE(sizeof(struct in6_pktinfo)) + CMSG_SPACE(sizeof(uint32_t)))
#define UDP_CONTROL_OUT CMSG_SPACE(sizeof(struct in6_pktinfo))

/* What was taken at once, and the replies to it that are to be sent at once. */
struct udp_batch {
    size_t size;    /* bytes taken of a datagram */
    uint32_t count; /* datagrams taken */
    uint32_t replies;
    struct udp_datagram at[UDP_BATCH];
    struct mmsghdr in[UDP_BATCH], out[UDP_BATCH];
    struct iovec in_part[UDP_BATCH], out_part[UDP_BATCH];
    _Alignas(struct cmsghdr) unsigned char in_control[UDP_BATCH][UDP_CONTROL_IN];
    _Alignas(struct cmsghdr) unsigned char out_control[UDP_BATCH][UDP_CONTROL_OUT];
};

/* Open `count` sockets that share an address, so that the kernel gives all datagrams of one sender to one of them. The
 * first is bound alone: so it is an error if somebody else has the port, though he may share it. Port 0 becomes the
 * port the kernel gave. False with errno, and none is open. */
bool udp_open(struct listen_address *a, int *fds, uint32_t count);

/* A batch at `room`: UDP_BATCH places, `stride` bytes from one to the next, each for datagrams of `size`. */
void udp_batch_init(struct udp_batch *b, unsigned char *room, size_t size, size_t stride);

/* Take what has come, at most UDP_BATCH; of the former batch nothing is left. How many; 0: nothing, or errno says why.
 * *lost is how many the kernel dropped since the last time. */
uint32_t udp_receive(struct udp_socket *s, struct udp_batch *b, uint32_t *lost);

/* Another thread goes on with datagram i of a batch: it becomes the last one of b, which has room for it. */
void udp_copy(struct udp_batch *b, const struct udp_datagram *d);

/* What becomes of replies: the kernel took so many, so many bytes; the rest is lost. */
struct udp_sent {
    uint32_t datagrams, lost;
    uint64_t bytes;
};

/* The n bytes that stand in the place of datagram i are the reply to it. Then: send all of these. */
void udp_reply(struct udp_batch *b, uint32_t i, size_t n);
struct udp_sent udp_send(int fd, struct udp_batch *b);

/* Send one by itself. Whether the kernel took it. */
bool udp_send_one(int fd, const struct udp_from *to, const void *data, size_t n);

#endif
