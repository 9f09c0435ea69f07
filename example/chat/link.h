/*
 * link.h: a client's side of one connection: packets out, packets in. Nothing here waits; who uses it has a loop with
 * poll() or epoll. One thread.
 */
#ifndef LINK_H
#define LINK_H

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>
#include <sys/socket.h>

#include "chat_protocol.h"

/* Where a server is. */
struct link_address {
    struct sockaddr_storage addr;
    socklen_t len;
};

#define LINK_SERVERS 16u

/* "HOST:PORT", "[IPV6]:PORT", several separated by commas: at most LINK_SERVERS. NULL, or what is wrong with it. May
 * ask a name server. */
const char *link_resolve(const char *text, struct link_address addresses[LINK_SERVERS], uint32_t *count);

struct bytes {
    unsigned char *data;
    size_t len, size;
};

struct link {
    int fd; /* -1 = none */
    bool connected;
    struct bytes in, out;
    size_t taken; /* of in: packets that were handed out */
    int bye;      /* the user's: why the server says it ends; -1 = it has not said so */
};

/* One packet, as it lies in the link: valid until the next call. */
struct packet {
    uint16_t what; /* enum chat_answer */
    size_t len;    /* of data */
    const unsigned char *data;
};

/* None yet. */
void link_init(struct link *l);
/* Begin to connect. 0, or -1 with errno. */
int link_connect(struct link *l, const struct link_address *address);
/* Close it and let its memory go; also one that is not open. */
void link_close(struct link *l);

/* Whether poll() should tell when it can be written to. */
bool link_wants_out(const struct link *l);

/* Put a packet behind what waits: a name (or NULL) and a text of len bytes (or NULL, 0). False without memory. */
bool link_put(struct link *l, enum chat_request what, const char word[CHAT_NAME], const char *text,
              size_t len);
/* When it can be written to: go on connecting, send what waits. 0, or -1 with errno: it is over. */
int link_send(struct link *l);
/* When it can be read: receive what there is, at most some packets. 1, 0 if nothing is there, or -1 with errno: it is
 * over (0 = the server has closed). What was received before is still to be taken. */
int link_receive(struct link *l);
/* The next whole packet. 1, 0 if there is none, or -1: what came is not the chat's protocol. */
int link_take(struct link *l, struct packet *p);

/* Whether a packet has what its id promises: its length, names that are names, texts that are clean. What does not is
 * to be ignored: a client shows nothing that could do harm to a terminal. */
bool packet_is_whole(const struct packet *p);

#endif
