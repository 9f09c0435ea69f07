/*
 * inbox.h: what other threads tell a worker: tagged messages, in a ring for each who sends (spsc.h), with a bit of the
 * worker's doorbell for each. Today the master alone sends.
 */
#ifndef MARIO_WORKER_INBOX_H
#define MARIO_WORKER_INBOX_H

#include <stdbool.h>
#include <stdint.h>

#include "mario/base/peer.h"
#include "mario/base/spsc.h"

/* Messages that may wait in a ring: a quarter of a second of the fastest accepting, so that a worker that does not get
 * its core for a while refuses nobody. */
#define INBOX_RING 8192u

struct accepted_socket;
struct worker;

enum inbox_sender { SENDER_MASTER, SENDERS };

enum message_kind {
    MESSAGE_ACCEPTED, /* a connection: the worker's from now on */
    MESSAGE_STOP,     /* nobody comes any more: answer what has arrived, then end */
    MESSAGE_RELEASE,  /* the thread that was stuck with the connection at `slot` has ended */
    MESSAGE_LOST      /* the descriptor of the one at `slot`, which was `lost`, is somebody else's by now */
};

struct message {
    uint8_t kind;         /* enum message_kind */
    uint8_t listener : 6; /* ACCEPTED: index of the one it came in by */
    uint8_t as : 2;       /* ACCEPTED: enum accepted_as */
    uint16_t port;        /* ACCEPTED: the peer's, as in struct peer */
    union {
        int fd;        /* ACCEPTED: its socket */
        uint32_t slot; /* RELEASE, LOST */
    };
    union {
        uint32_t ip; /* ACCEPTED: the peer's IPv4 address, network order; 0: see struct address */
        int lost;    /* LOST */
    };
};
_Static_assert(sizeof(struct message) == 12, "a ring is no larger than it has to be");

/* The IPv6 address of the peer that the message in the same place of the ring speaks of. They lie apart, so that
 * only a server of IPv6 has memory for them. */
struct address {
    unsigned char bytes[PEER_ADDRESS];
};

/* ---- The thread that makes the server; sending is worker_tell() and worker_hand() ---- */

/* The rings of w. False without memory; then teardown. */
__attribute__((warn_unused_result)) bool inbox_setup(struct worker *w, bool has_ipv6);
/* What the master handed over when the loop had ended already, which only a broken loop makes happen. */
void inbox_refuse_rest(struct worker *w);
void inbox_teardown(struct worker *w);

/* ---- The worker ---- */

/* Take the next message of this sender out; with MESSAGE_ACCEPTED its socket in *a. False if there is none. */
bool inbox_take(struct worker *w, enum inbox_sender from, struct message *m, struct accepted_socket *a);

#endif
