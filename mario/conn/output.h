/*
 * output.h: from the reply to the socket. Everything here is for the thread whose executor it is.
 */
#ifndef MARIO_CONN_OUTPUT_H
#define MARIO_CONN_OUTPUT_H

#include "mario/conn/conn.h"

enum output {
    OUTPUT_CLEAN,   /* nothing is pending */
    OUTPUT_PENDING, /* the kernel took only some; the rest waits in the backlog */
    OUTPUT_LIMIT,   /* more than output.max is pending */
    OUTPUT_BROKEN,  /* the socket failed */
    OUTPUT_SILENCE, /* the same: the peer does not answer any more */
    OUTPUT_NO_MEMORY
};

/* Send what c's functions have written: one send() if the kernel takes it all. The reply is empty afterwards
 * whatever happens. */
enum output output_send(struct conn *c);

/* The socket is writable: send from the backlog. */
enum output output_flush(struct conn *c);

/* What an attempt to send means for the connection: why it has to end, or REASON_NONE. */
enum reason output_reason(enum output o);

/* Bytes in the backlog. */
size_t output_pending(const struct conn *c);

/* Drop c's backlog. */
void output_drop(struct conn *c);

#endif
