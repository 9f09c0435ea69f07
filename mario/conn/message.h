/*
 * message.h: a message that many receivers share: immutable once sent, copied once. Any thread may hold references;
 * the last one to go frees it, or hands it to whoever delivers receipts.
 *
 * Who owns what: `refs` is changed by anybody, with release when references go and acquire by the last one, so that
 * the counts of the receipt are all there when it is read. Everything else is written by its maker before the first
 * send, and read by all afterwards (the ring it went through is the release and acquire).
 */
#ifndef MARIO_CONN_MESSAGE_H
#define MARIO_CONN_MESSAGE_H

#include <stdatomic.h>
#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

#include "mario/mario_push.h"

struct mario_msg {
    _Atomic uint32_t
        refs;      /* the maker's, one for each order in a ring, one for each outbox it stands in, and those
                            * in purses */
    uint32_t len;  /* bytes in data */
    uint64_t key;  /* 0 = none */
    bool keep : 1; /* never dropped */
    bool receipt : 1;   /* one is wanted */
    bool packets : 1;   /* it is made of whole packets, HEAD and data */
    bool framed : 1;    /* it is another one in the framing of some receivers */
    _Atomic bool begun; /* it was sent: the maker's calls come too late */
    uint32_t stamp;     /* 1 + where a number of its group's goes; 0: nowhere */
    uint64_t tag;
    _Atomic uint64_t targets, sent, dropped; /* with a receipt only */
    union {
        struct mario_msg *next; /* whose receipt is due: the one behind it */
        struct mario_msg
            *of; /* framed: the one that it is, for which its receivers are settled; with a reference */
    };
    unsigned char data[];
};

/* What may happen to a message for one receiver. */
enum settled { SETTLED_SENT, SETTLED_DROPPED };

/* How many bytes all messages and what queues them may take (0 = any number), and who gets a message whose last
 * reference has gone and that wants a receipt (NULL: it is only freed); it then owns it, see message_destroy(). While
 * no worker runs. */
void message_setup(size_t limit, void (*receipt_due)(struct mario_msg *m));

/* Another limit from now on. Any thread. */
void message_limit_to(size_t bytes);

/* Bytes that messages and the queues of them take now, by which they count towards the limit, and the limit. Any
 * thread. */
size_t message_memory(void);
size_t message_limit(void);
/* n bytes more, or, negative, fewer are taken by queues of messages. Any thread. */
void message_account(ptrdiff_t n);

/* n references more, by one who has one. */
static inline void message_ref(struct mario_msg *m, uint32_t n)
{
    atomic_fetch_add_explicit(&m->refs, n, memory_order_relaxed);
}

/* n orders of it are given, and have a reference each: from here on it stays as it is. */
static inline void message_give(struct mario_msg *m, uint32_t n)
{
    if (!atomic_load_explicit(&m->begun, memory_order_relaxed))
        atomic_store_explicit(&m->begun, true, memory_order_relaxed);
    message_ref(m, n);
}

/* A reference less; n of them, n >= 1. */
void message_unref(struct mario_msg *m);
void message_unref_many(struct mario_msg *m, uint32_t n);

/* One more receiver is to get it, who has a reference. */
static inline void message_target(struct mario_msg *m)
{
    if (m->receipt)
        atomic_fetch_add_explicit(&m->targets, 1, memory_order_relaxed);
}

/* One receiver is settled, who has a reference still. */
static inline void message_settle(struct mario_msg *m, enum settled how)
{
    if (!m->receipt)
        return;
    struct mario_msg *whose = m->framed ? m->of : m;
    atomic_fetch_add_explicit(how == SETTLED_SENT ? &whose->sent : &whose->dropped, 1, memory_order_relaxed);
}

/* Free one whose receipt was delivered. */
void message_destroy(struct mario_msg *m);

/* ---- In other framings ---- */

/* The same message, to be written into its len > 0 bytes, for receivers of another framing. It takes a reference of
 * `of`; the caller has one of it. It counts towards the limit, and is not refused by it. NULL without memory. */
struct mario_msg *message_frame(struct mario_msg *of, uint32_t len);

/* What stands at *at, at first 0, of the bytes of a message made of packets, and where the next one does. False:
 * there is none. */
struct message_packet {
    const unsigned char *data; /* behind the HEAD */
    uint32_t len;
    uint16_t id;
};
bool message_next(const unsigned char *bytes, uint32_t len, uint32_t *at, struct message_packet *p);

/* ---- References at hand ---- */

/* Many outboxes of a thread take a reference of the same few messages, and give it back soon: they take it out of the
 * purse and put it there, so that what the threads share is changed once for hundreds of them. For one thread at a
 * time. What is there keeps messages alive: it is emptied at the end of each round of deliveries. */
struct purse {
    struct {
        struct mario_msg *m;
        uint32_t n; /* references; 0: m may be gone */
    } place[32];
    bool used; /* something may be there */
};

/* A reference to m for the caller, who has one or knows of one; the caller's goes. */
static inline void purse_take(struct purse *p, struct mario_msg *m);
static inline void purse_give(struct purse *p, struct mario_msg *m);
/* All references go. */
void purse_empty(struct purse *p);

/* The place of m in the purse becomes m's, with n >= 0 references more. */
void purse_change(struct purse *p, struct mario_msg *m, uint32_t n);

static inline unsigned purse_place(const struct mario_msg *m)
{
    return (unsigned) (((uint64_t) (uintptr_t) m * UINT64_C(0x9e3779b97f4a7c15)) >> 59);
}

static inline void purse_take(struct purse *p, struct mario_msg *m)
{
    unsigned i = purse_place(m);
    if (p->place[i].m != m || p->place[i].n == 0)
        purse_change(p, m, 256);
    p->place[i].n--;
}

static inline void purse_give(struct purse *p, struct mario_msg *m)
{
    unsigned i = purse_place(m);
    if (p->place[i].m != m)
        purse_change(p, m, 0);
    p->place[i].n++;
    p->used = true;
}

#endif
