/*
 * secure_look.h: how far a connection is with TLS, for those who show it.
 */
#ifndef MARIO_CONN_SECURE_LOOK_H
#define MARIO_CONN_SECURE_LOOK_H

#include "mario/conn/conn.h"

/* In the order in which they come. */
#define SECURE_LOOKS(ROW)                                              \
    ROW(none)   /* its listener has no tls= */                         \
    ROW(hello)  /* its ClientHello is not whole */                     \
    ROW(waits)  /* for a place */                                      \
    ROW(shakes) /* its client has the next step */                     \
    ROW(away)   /* a thread for offloaded functions has it, or will */ \
    ROW(up)                                                            \
    ROW(over) /* nothing more can be said to its client */

enum secure_look {
#define ROW(name) SECURE_LOOK_##name,
    SECURE_LOOKS(ROW)
#undef ROW
        SECURE_LOOK_COUNT
};

/* The shard's thread, library state: the slot of c, one of s, is not free. */
enum secure_look secure_look(const struct shard *s, const struct conn *c);
const char *secure_look_name(enum secure_look look);

/* Why it ended, of one with a reason of TLS's, in words: OpenSSL's too, if nobody of its worker's has failed since. */
const char *secure_fault(const struct conn *c);

#endif
