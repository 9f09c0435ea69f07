/*
 * output.h: from replies to the socket. Everything here is for the worker that owns the connection, outside user
 * code: nothing of a reply is given back here, for that may run user code (reply.h).
 */
#ifndef MARIO_CONN_OUTPUT_H
#define MARIO_CONN_OUTPUT_H

#include <sys/types.h>

#include "mario/conn/conn.h"
#include "mario/conn/outbox.h"

enum output {
    OUTPUT_CLEAN,   /* nothing is pending */
    OUTPUT_PENDING, /* the kernel took only some; the rest waits in the outbox */
    OUTPUT_LIMIT,   /* more than output.max of replies would be pending */
    OUTPUT_BROKEN,  /* the socket failed */
    OUTPUT_SILENCE, /* the same: the peer does not answer any more */
    OUTPUT_NOBODY,  /* there is no socket: the application closed it */
    OUTPUT_NO_MEMORY
};

/* Send what c's functions have written into their executor's reply, until they closed: one send() if the kernel takes
 * it all; what it does not take is copied. The reply is as before, and has been handled. */
enum output output_send(struct conn *c);

/* The same for the n bytes at data. */
enum output output_send_bytes(struct conn *c, void *data, size_t n);

/* Send from the outbox until the kernel takes no more. */
enum output output_flush(struct conn *c);

/* Send the n bytes at data, which TLS has made, before all else but those that wait for that already. */
enum output output_send_sealed(struct conn *c, const void *data, size_t n);
/* The same, when an answer is likely to follow at once: with that they go, and at the latest after 200 ms. */
enum output output_send_sealed_more(struct conn *c, const void *data, size_t n);

/* The same when the first of it has been done elsewhere: what send() would have returned, or -errno, for the first len
 * bytes; -EINTR: it was not tried. */
enum output output_took(struct conn *c, ssize_t result, size_t len);

/* What an attempt to send means for the connection: why it has to end, or REASON_NONE. */
enum reason output_reason(enum output o);

/* Bytes of replies in the outbox. */
static inline size_t output_pending(const struct conn *c)
{
    return outbox_bytes(c->outbox);
}

/* So many writes outside a connection's own functions were dropped, the last one by akg_id or soon after it: count them
 * and say so. */
void output_report_outside(struct shard *s, uint16_t akg_id, uint32_t writes);

#endif
