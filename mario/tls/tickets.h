/*
 * tickets.h: the keys of tickets: what a client brings along to be known again. All threads and all contexts have the
 * same, so a client is known by every worker, and after a reload. They change every hour, and those of the two hours
 * before are still good for opening. They are nowhere but in this process.
 */
#ifndef MARIO_TLS_TICKETS_H
#define MARIO_TLS_TICKETS_H

#ifdef MARIO_WITH_TLS

#include "mario/tls/libssl.h"

/* The first keys. Again it does nothing. False without randomness or memory. One thread at a time. */
bool tickets_setup(void);

/* Have ctx's sessions use them. */
void tickets_use(SSL_CTX *ctx);

/* The next keys, now. Any thread; one that comes while another one is at it does nothing. */
void tickets_rotate(void);

#endif

#endif
