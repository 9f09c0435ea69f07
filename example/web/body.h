/*
 * body.h: the bodies of answers, from files. Small ones are written with the head; others go out as messages, the next
 * one when the kernel has taken the one before: so a client that reads slowly has a few pages of memory here, whatever
 * it has asked for.
 */
#ifndef WEB_BODY_H
#define WEB_BODY_H

#include "head.h"
#include "mario/mario.h"

/* Have the functions called that this needs. Main, before the server starts. 0 or -1. */
sint32 body_prepare(void);

/* Send len bytes of the file fd from `at` on behind what c's function has written, then end the connection if the
 * request h was its last one. fd is given away. While it goes on c->user is not NULL. Returns what a business function
 * returns; may be called from an offloaded one. */
sint32 body_send(CONN *c, const struct head *h, int fd, uint64 at, uint64 len);

/* More has come while a body is being sent, and was thrown away: c is closed behind it, and the client asks again. */
void body_came_early(CONN *c);

#endif
