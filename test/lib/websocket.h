/*
 * websocket.h: WebSocket as bytes, for clients: the upgrade's request, frames. Any thread, pure.
 */
#ifndef TEST_WEBSOCKET_H
#define TEST_WEBSOCKET_H

#include <stddef.h>
#include <stdint.h>

enum {
    WEBSOCKET_TEXT = 0x81, /* first bytes of frames that end a message, or are none of one */
    WEBSOCKET_BINARY = 0x82,
    WEBSOCKET_MORE = 0x80,
    WEBSOCKET_CLOSE = 0x88,
    WEBSOCKET_PING = 0x89,
    WEBSOCKET_PONG = 0x8a,
    WEBSOCKET_FRONT = 14 /* bytes of the largest head */
};

/* A request for an upgrade, up to its key and version; what else is to be in it, and the empty line, go behind it. And
 * what it is answered. */
extern const char websocket_request[], websocket_accepted[];

/* A frame's bytes to out, masked if mask is not NULL: how many. */
size_t websocket_frame(unsigned char *out, uint8_t first, const void *payload, size_t n,
                       const unsigned char *mask);

/* The length of a payload as the head of an unmasked frame says it, whose 10 first bytes are there, or all; *front: the
 * head's. */
uint64_t websocket_length(const unsigned char *head, size_t *front);

#endif
