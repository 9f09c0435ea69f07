/*
 * output.h: from the pen to the socket. Everything here is for the thread whose seat it is.
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

/* Make the seat's pen and sink on its base. False without memory. */
__attribute__((warn_unused_result)) bool output_setup(struct seat *t);
void output_teardown(struct seat *t);

/* Send what c's functions have written: one send() if the kernel takes it all. The pen is empty afterwards
 * whatever happens. */
enum output output_send(struct conn *c);

/* The socket is writable: send from the backlog. */
enum output output_flush(struct conn *c);

/* What an attempt to send means for the connection: why it has to end, or REASON_NONE. */
enum reason output_reason(enum output o);

/* What c's function writes from here on is dropped: it has closed. */
void output_cut(struct seat *t);

/* Bytes in the backlog. */
size_t output_pending(const struct conn *c);

/* Drop c's backlog. */
void output_drop(struct conn *c);

/* Drop what an end hook wrote. */
void output_wipe_sink(struct seat *t);

#endif
