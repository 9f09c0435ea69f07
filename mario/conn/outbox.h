/*
 * outbox.h: what waits for a connection that the kernel takes no more of: a queue of segments in the order in which
 * they were written. Pure: no thread of its own, no socket; whoever owns the connection owns its outbox.
 *
 * A segment is sent from its first byte to its last, and what stands behind it never comes between. One of bytes is a
 * piece of replies: it belongs to this outbox, others may be appended while there is room in it, and it is never
 * dropped but with the connection. The ring has one word a segment and asks a segment only for its bytes and to be
 * freed, so that another kind can stand in it: a message that many outboxes share, droppable as long as nothing of it
 * is sent; `sent` says whether that is so for the first.
 *
 * Who has nothing waiting has no outbox: NULL. One that has become empty frees itself.
 */
#ifndef MARIO_CONN_OUTBOX_H
#define MARIO_CONN_OUTBOX_H

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>
#include <sys/uio.h>

struct segment {
    uint32_t len;  /* bytes in data */
    uint32_t room; /* bytes that fit there */
    unsigned char data[];
};

/* A block of mem.h, as each segment is. */
struct outbox {
    size_t bytes;              /* that wait, in all segments */
    uint32_t sent;             /* bytes of the first segment that are gone */
    uint32_t first;            /* its place in the ring */
    uint32_t count;            /* segments */
    uint32_t size;             /* places in the ring: a power of two */
    struct segment *segment[]; /* [size] */
};

static inline size_t outbox_bytes(const struct outbox *o)
{
    return o == NULL ? 0 : o->bytes;
}

/* Append data[0 .. n-1], n > 0. False without memory: then a part of it may stand there, and *o is only good for
 * outbox_drop(). */
__attribute__((warn_unused_result)) bool outbox_add(struct outbox **o, const void *data, size_t n);

/* The bytes that come next: at most n >= 1 pieces of them into vec. How many, at least 1. */
size_t outbox_peek(const struct outbox *o, struct iovec *vec, size_t n);

/* The first n bytes are gone. Frees what is sent, and with the last one *o, which is NULL then. */
void outbox_sent(struct outbox **o, size_t n);

/* Free it with all that waits. */
void outbox_drop(struct outbox **o);

#endif
