/*
 * conn.h: one connection of the load generator: connecting, asking, checking what comes back, ending.
 *
 * Each belongs to one worker and only its thread touches it.
 */
#ifndef LOAD_CONN_H
#define LOAD_CONN_H

#include <stdbool.h>
#include <stdint.h>

#include "test/lib/asker.h"
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
    struct asker ask;
    uint8_t state;
    uint8_t node;    /* of -H, the server it goes to */
    bool stamped;    /* the kernel notes when replies arrive */
    int deaf;        /* the errno with which a send failed: only what is there is still read. 0 = none */
    uint64_t *since; /* ring: when each request in flight was due or made */
    uint64_t moved;  /* when the wait for what is now awaited began */
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
    return c->ask.asked - c->ask.done;
}

#endif
