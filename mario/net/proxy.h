/*
 * proxy.h: the header of the PROXY protocol, versions 1 and 2, by which a balancer says whose connection it passes on.
 * It stands in front of all else that a connection brings. Pure; any thread.
 */
#ifndef MARIO_NET_PROXY_H
#define MARIO_NET_PROXY_H

#include <stdbool.h>
#include <stdint.h>

#include "mario/base/peer.h"

enum {
    PROXY_LINE_MAX = 107, /* bytes of the longest header of version 1 */
    PROXY_MAX = 4096,     /* and of version 2; more need never be there to be looked at */
    PROXY_AUTHORITY_MAX = 255,
    PROXY_UNIQUE_ID_MAX = 128
};

enum proxy_answer {
    PROXY_OK,   /* a whole header stands at the beginning */
    PROXY_MORE, /* nothing wrong so far, bytes are missing: all that are there belong to it */
    PROXY_BAD   /* that is none */
};

/* Bytes of the header, where they stand in it. */
struct proxy_value {
    const unsigned char *at; /* NULL: it does not say */
    uint16_t len;
};

/* What a header of version 2 says of TLS between the client and the balancer. */
struct proxy_ssl {
    bool said;
    uint8_t client;  /* bits: 1 it was TLS, 2 a certificate came by this connection, 4 by this session */
    uint32_t verify; /* 0: that certificate was verified */
    struct proxy_value version, name, cipher; /* the name is the certificate's */
};

struct proxy_header {
    uint32_t size; /* OK: bytes that it takes */
    bool
        has_peer; /* OK: it says who the client is; if not, it is who sent it: a check of the balancer's own */
    struct peer peer;                        /* the client */
    struct proxy_value authority, unique_id; /* no NUL is in the first */
    struct proxy_ssl ssl;
    const char *why; /* BAD: what is wrong, a phrase */
};

/* What stands in data[0 .. n-1], the first bytes of a connection? It is said as early as they allow, and never needs
 * more than PROXY_MAX of them. *h points into data. */
enum proxy_answer proxy_look(const unsigned char *data, uint32_t n, struct proxy_header *h);

#endif
