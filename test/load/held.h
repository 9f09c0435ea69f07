/*
 * held.h: one connection of mode hold: it is opened, logs in, is quiet, is asked now and then, and is closed.
 * A million of them stand in one array, so each is small and has nothing beside it on the heap.
 *
 * Each belongs to one holder and only its thread touches it. At most one request is without an answer, so
 * request and right reply can be built from numbers at any time and no bytes are stored.
 */
#ifndef LOAD_HELD_H
#define LOAD_HELD_H

#include <stdbool.h>
#include <stdint.h>

#include "test/lib/fault.h"
#include "test/lib/net.h"

struct holder;

enum held_state {
    HELD_NEW,        /* never opened */
    HELD_GONE,       /* failed, and stays so */
    HELD_REOPEN,     /* closed by us, in the list of those to be opened again */
    HELD_CONNECTING, /* a socket, not connected yet */
    HELD_LOGIN,      /* connected, its login is not answered */
    HELD_QUIET,      /* logged in, nothing to be answered */
    HELD_ASKING      /* logged in, a request is not answered */
};

struct held {
    uint64_t since;    /* when the request was due, or the connect began: latency counts from here */
    uint64_t asked_at; /* when the wait for an answer began: the deadline counts from here */
    int32_t fd;        /* -1 = none */
    uint32_t next;     /* in the list it stands in: to be opened again, or waiting, the oldest first */
    uint32_t prev;
    uint32_t
        seq; /* number of the request that is asked, or will be next; of a member, of the broadcast that will be */
    uint16_t put; /* its bytes that the kernel has */
    uint16_t got; /* bytes of its reply, or of the broadcast, that have come and were right */
    uint8_t state;
    struct net_watch watch;
    bool heard; /* answered something that was asked during the hold */
};
_Static_assert(sizeof(struct held) <= 40, "a connection costs the client 40 bytes");

#define HELD_NONE UINT32_MAX

struct held_list {
    uint32_t head, tail; /* indices, HELD_NONE = empty */
};

/* Begin to connect c, which is new or stands in h->reopen, and log in. Returns 0, also when it failed and
 * that is counted; -1 when a unix socket's backlog is full and c stays as it was. */
int held_start(struct holder *h, struct held *c, uint64_t now);

/* Ask the next request on c, which is quiet; it was due at `since`. c may be gone afterwards. */
void held_ask(struct holder *h, struct held *c, uint64_t since, uint64_t now);

/* What epoll reported for c. */
void held_event(struct holder *h, struct held *c, uint32_t events);

/* Close c, which is quiet, without a fault, to be opened again (it stands in h->reopen then) or for good. Who was said
 * something is looked at once more before that: what comes a second time is a fault. */
void held_recycle(struct holder *h, struct held *c);
void held_end(struct holder *h, struct held *c);

/* End those that have waited for longer than the deadline, as timed out. */
void held_expire(struct holder *h, uint64_t now);

#endif
