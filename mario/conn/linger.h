/*
 * linger.h: after the end: a connection whose end hook has run, whose client may still have something coming. What
 * the kernel took is not yet what the client got: close() makes an RST of unread input, which destroys answers on
 * their way, and leaves a peer that does not read what it holds for it in the kernel for minutes. So the socket is
 * half-closed and stays: what comes is read and dropped, until all is acknowledged and the peer has nothing more to
 * say. If nothing of it was acknowledged for server.linger seconds an RST ends it.
 *
 * Who lingers has given its place up, as far as the master counts, and its slot when somebody needs it. Everything here
 * is for the worker that owns the shard.
 */
#ifndef MARIO_CONN_LINGER_H
#define MARIO_CONN_LINGER_H

#include "mario/conn/conn.h"

/* c is CLOSING, and all is done but for its socket. True: it lingers from here on. False: nothing is at stake, its
 * socket can be closed. */
__attribute__((warn_unused_result)) bool linger_begin(struct conn *c);

/* c lingers: something came, or its peer has closed; a look at it is due. It may be free then. */
void linger_read(struct conn *c);
void linger_look(struct conn *c);

/* Its descriptor is somebody else's. */
void linger_end(struct conn *c);
/* A slot is needed: end the one that lingers for longest. There is one. */
void linger_end_oldest(struct shard *s);
/* The time is up for all. */
void linger_end_all(struct shard *s);

#endif
