/*
 * conn.h: one connection of the load generator: connecting, asking, checking what comes back, ending.
 *
 * Each belongs to one worker and only its thread touches it. Its requests are numbered: asked >= sent >=
 * done. Requests are built again from their numbers when the kernel did not take them, so nothing that waits
 * to be sent is stored.
 */
#ifndef LOAD_CONN_H
#define LOAD_CONN_H

#include <stdbool.h>
#include <stdint.h>

#include "test/lib/exchange.h"
#include "test/lib/fault.h"

struct mode;
struct worker;

enum conn_state {
    CONN_NONE,       /* no socket: waits in the worker's queue, or is not wanted any more */
    CONN_CONNECTING, /* a socket, not connected yet */
    CONN_OPEN,
    CONN_RESTING /* no socket after a fault: the next sweep queues it again */
};

struct conn {
    int fd; /* -1 = none */
    uint8_t state;
    bool watched;  /* epoll knows fd */
    bool want_out; /* and reports when it is writable */
    bool stamped;  /* the kernel notes when replies arrive */
    int deaf;      /* the errno with which a send failed: only what is there is still read. 0 = none */
    uint32_t number;
    uint32_t asked;      /* number of the next request to be made */
    uint32_t sent;       /* the first request not wholly handed to the kernel */
    uint32_t done;       /* the first request without a reply */
    uint32_t part;       /* bytes of request `sent` that the kernel has */
    uint32_t kept;       /* bytes of an unfinished reply in keep */
    uint64_t *since;     /* ring: when each request in flight was due or made */
    unsigned char *keep; /* room for one unfinished reply */
    uint64_t moved;      /* when the wait for what is now awaited began */
    const struct mode *mode;
    const struct exchange *exchange;
};

/* Begin to connect c, which has no socket. Returns 0, also when it failed and the fault is counted; -1
 * when there is no room in a unix socket's backlog and c stays as it was. */
int conn_start(struct worker *w, struct conn *c, uint64_t now);

/* Ask n more requests, due or made at `since`; conn_push() sends them. The caller has seen to it that no
 * more than the worker's inflight are then without an answer. */
void conn_ask(struct worker *w, struct conn *c, uint32_t n, uint64_t since);

/* Send what is asked, with one send where the kernel takes it; if it took no more last time, that waits
 * for epoll. c may have ended by a fault afterwards. */
void conn_push(struct worker *w, struct conn *c);

/* What epoll reported for c. */
void conn_event(struct worker *w, struct conn *c, uint32_t events);

/* Read what is there of c, whatever epoll has reported: before it is found to have waited too long. c may have ended
 * by a fault afterwards. */
void conn_look(struct worker *w, struct conn *c);

/* End c without a fault; it is CONN_NONE then. What was not answered is counted as lost. */
void conn_end(struct worker *w, struct conn *c);

/* End c because of a fault and count it. It rests, or is gone for good, as its mode says. */
void conn_fault(struct worker *w, struct conn *c, enum fault fault);

/* Requests of c without a reply, sent or not. */
static inline uint32_t conn_open_requests(const struct conn *c)
{
    return c->asked - c->done;
}

#endif
