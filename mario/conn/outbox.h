/*
 * outbox.h: what waits for a connection that the kernel takes no more of, or that was not offered to it yet: a queue in
 * the order in which things were written. Pure: no thread of its own, no socket; whoever owns the connection owns its
 * outbox.
 *
 * An entry is sent from its first byte to its last, and what stands behind it never comes between. It is one of two
 * kinds, which the lowest bit of its word tells apart: a segment is a piece of replies: it belongs to this outbox,
 * others may be appended while there is room in it, and it is never dropped but with the connection. A message is
 * shared by many outboxes: 8 bytes here, and a reference; it can be dropped whole, unless it is to be kept or a part of
 * it is sent.
 *
 * What was sealed for TLS and not taken whole goes out ahead of all entries: it stands elsewhere (secure.h), and is
 * only counted here, as bytes of replies.
 *
 * Who has nothing waiting has no outbox: NULL. Who has one message and nothing else has no block either: the pointer is
 * the message, with its lowest bit set. So what is pushed to those who keep up allocates nothing.
 */
#ifndef MARIO_CONN_OUTBOX_H
#define MARIO_CONN_OUTBOX_H

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>
#include <sys/uio.h>

#include "mario/conn/message.h"

struct segment {
    uint32_t len;  /* bytes in data */
    uint32_t room; /* bytes that fit there */
    unsigned char data[];
};

/* A block of mem.h, as each segment is. */
struct outbox {
    size_t bytes;         /* of replies that wait, those ahead among them */
    size_t message_bytes; /* of messages that wait */
    uint32_t messages;
    uint32_t sent;       /* bytes of the first entry that are gone */
    uint32_t first;      /* its place in the ring */
    uint32_t count;      /* entries */
    uint32_t size;       /* places in the ring */
    uint32_t ahead;      /* bytes that are to go out before the first entry, and stand elsewhere */
    uint32_t prev : 31;  /* for whoever lists outboxes, */
    uint32_t listed : 1; /* by numbers below 2^31 */
    uint32_t next;
    uintptr_t entry[]; /* [size] */
};
_Static_assert(sizeof(struct outbox) == 48, "the smallest block has room for two entries");

/* What the outboxes of one owner have in common. All zero at first. */
struct outboxes {
    struct purse purse;
    size_t memory;     /* bytes of the blocks that messages stand in; replies alone are not counted */
    uint64_t messages; /* that wait, in all outboxes */
    size_t bytes;      /* that wait, of replies and messages */
};

/* Whether o is one message and nothing else. */
static inline bool outbox_is_single(const struct outbox *o)
{
    return ((uintptr_t) o & 1) != 0;
}

/* The message of a word whose lowest bit is set. */
static inline struct mario_msg *outbox_message(uintptr_t word)
{
    return (struct mario_msg *) (word - 1); /* NOLINT(performance-no-int-to-ptr) */
}

/* Bytes of replies that wait. */
static inline size_t outbox_bytes(const struct outbox *o)
{
    return o == NULL || outbox_is_single(o) ? 0 : o->bytes;
}

/* Bytes of all that waits. */
static inline size_t outbox_all_bytes(const struct outbox *o)
{
    return o == NULL             ? 0
           : outbox_is_single(o) ? outbox_message((uintptr_t) o)->len
                                 : o->bytes + o->message_bytes;
}

/* Messages that wait, those of which nothing is sent yet; *bytes of them. */
uint32_t outbox_waiting(const struct outbox *o, size_t *bytes);

/* Bytes that go out before all that stands there. */
static inline uint32_t outbox_ahead(const struct outbox *o)
{
    return o == NULL || outbox_is_single(o) ? 0 : o->ahead;
}

/* n bytes more do. False without memory. */
__attribute__((warn_unused_result)) bool outbox_put_ahead(struct outbox **o, uint32_t n,
                                                          struct outboxes *all);
/* n of them are gone. It stays, even if it is empty then: outbox_sent(). */
void outbox_ahead_sent(struct outbox *o, uint32_t n, struct outboxes *all);

/* Append data[0 .. n-1], n > 0. False without memory: then a part of it may stand there, and *o is only good for
 * outbox_drop(). */
__attribute__((warn_unused_result)) bool outbox_add(struct outbox **o, const void *data, size_t n,
                                                    struct outboxes *all);

/* Append a message; the outbox takes a reference of its own. False without memory: then nothing has changed. */
__attribute__((warn_unused_result)) bool outbox_push(struct outbox **o, struct mario_msg *m,
                                                     struct outboxes *all);

/* Have a block, o != NULL: it can be listed then. False without memory. */
__attribute__((warn_unused_result)) bool outbox_unfold(struct outbox **o, struct outboxes *all);

/* The bytes that come next, if none is ahead: at most n >= 1 pieces of them into vec. How many, at least 1. */
size_t outbox_peek(const struct outbox *o, struct iovec *vec, size_t n);

/* The first n bytes of its entries are gone. Frees what is sent, and with the last one *o, which is NULL then, if none
 * is ahead; its messages are settled. False without memory to note that a part of a message is sent: it is only good
 * for outbox_drop(). */
__attribute__((warn_unused_result)) bool outbox_sent(struct outbox **o, size_t n, struct outboxes *all);

/* Drop one message that may be: the one that waits for longest; the last one with this key, not 0, that waits. False if
 * there is none. Its entry stays free for another one: an outbox that is empty then is still there, for
 * outbox_push() or outbox_drop(). */
bool outbox_drop_oldest(struct outbox **o, struct outboxes *all);
bool outbox_drop_key(struct outbox **o, uint64_t key, struct outboxes *all);

/* Drop all messages that may be of one that has a block. How many. */
uint32_t outbox_drop_messages(struct outbox *o, struct outboxes *all);

/* Free it with all that waits. */
void outbox_drop(struct outbox **o, struct outboxes *all);

#endif
