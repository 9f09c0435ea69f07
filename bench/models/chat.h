/*
 * chat.h: what the chat rooms of the models share, so that each file shows only how its messages travel: everybody who
 * is connected is in the one room; what one SAYs the others get as SAID. LOGIN and JOIN are answered with a bare HEAD.
 */
#ifndef MODELS_CHAT_H
#define MODELS_CHAT_H

#include "model.h"

#define CHAT_SAID_MAX (WIRE_PACKET_MAX + sizeof(uint16_t)) /* a SAID is a SAY and who said it */
#define CHAT_WAITING  ((size_t) (64 * 1024))               /* waits for a slow reader at most */

/* Somebody said something: it is to go to all but s. The bytes are a whole SAID. */
typedef void chat_say(struct stream *s, const ubyte *said, size_t len);

/* One recv(); answer what came, and call say() for each SAY. Returns 0, or -1: the peer has finished, broke, or sent
 * nonsense, s is to be closed. One thread at a time. */
int chat_readable(struct stream *s, chat_say *say);

/* Send to s, or let it wait behind what waits already in s->out, for stream_writable(). Returns 0, or -1: it is broken,
 * or so slow that more than CHAT_WAITING would wait. */
int chat_send(struct stream *s, const ubyte *bytes, size_t len);

#endif
