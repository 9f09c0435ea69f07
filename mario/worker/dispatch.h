/*
 * dispatch.h: a packet's way: from the socket to the functions and back. Everything here is for the thread
 * whose executor it is, which does not come back from a function when another has taken the shard over.
 */
#ifndef MARIO_WORKER_DISPATCH_H
#define MARIO_WORKER_DISPATCH_H

#include "mario/conn/conn.h"

/* The receive buffer, executor.rx: room in front for what was carried over, then that of one recv. */
#define RX_FRONT 65536u
#define RX_SIZE  65536u
#define RX_BYTES (RX_FRONT + RX_SIZE + 1) /* a zero byte stands behind the packet that a function looks at */

/* The socket of c, which is open, can be read: one receive buffer's worth. True if something came. */
bool dispatch_receive(struct executor *t, struct conn *c);

/* The socket can be written: send what is pending; then hand out what waited for that. */
void dispatch_send_more(struct executor *t, struct conn *c);

/* A pass of the loop begins. */
void dispatch_begin_pass(struct executor *t);
/* Its events have been handled: go on with those in the shard's line, in turn, for about a millisecond in all. */
void dispatch_line(struct executor *t);

/* Those whose TLS handshakes wait for their turn, newest first, as long as there are places, for about a
 * millisecond. */
void dispatch_shake(struct executor *t);

/* c waits for its limits: if it need not any more, go on with what waited for that. */
void dispatch_limit(struct executor *t, struct conn *c);

/* One of c's offloaded functions has come back, or there is room for the next one. `waited`: what was received
 * waited for it. */
void dispatch_go_on(struct executor *t, struct conn *c, bool waited);

/* c has just begun: run its connected hook, now or when it can be written to. */
void dispatch_begin(struct executor *t, struct conn *c);

/* The server stops, or c is told to leave: answer what had arrived when that began, then end. Called again whenever c
 * has made progress. */
void dispatch_stop(struct executor *t, struct conn *c);

#endif
