/*
 * tls_door.h: a small server behind which tests of clients meet TLS as OpenSSL's server speaks it: what comes is sent
 * back, or goes on to a plain server. A process of its own, and one for each connection.
 */
#ifndef MARIO_UNIT_TLS_DOOR_H
#define MARIO_UNIT_TLS_DOOR_H

#include <stdint.h>
#include <sys/types.h>

enum door_deed {
    DOOR_NONE,
    DOOR_BARE_FIN, /* behind the first answer a FIN, without close_notify */
    DOOR_NEW_KEYS, /* new keys, asked of both, before each answer */
    DOOR_GARBAGE,  /* behind the first answer bytes that are no record */
    DOOR_PLAIN     /* words instead of a handshake */
};

struct door {
    const char *certificate, *key; /* files */
    const char *client_ca;         /* a client must show one by these; NULL: none need */
    const char *alpn;              /* the one that is chosen, of what a client offers; NULL: none is */
    int max;                       /* 0x0303: no TLS 1.3 */
    uint16_t port;                 /* where to go on to; 0: back */
    enum door_deed deed;
};

/* Open it on a free port of loopback. It dies with the test; who opened it ends it by door_close(). */
pid_t door_open(const struct door *d, uint16_t *port);
void door_close(pid_t pid);

#endif
