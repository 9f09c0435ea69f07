/*
 * asker.h: a client's side of one connection: numbered requests out, their replies in, each judged. What the load
 * generator, the LOGIN client and the tests' ledger have in common; when they ask and what they count is theirs.
 *
 * Requests are built again from their numbers when the kernel did not take them, so nothing that waits to be sent is
 * stored; of replies an unfinished one. An asker belongs to one thread at a time. No allocation.
 */
#ifndef TEST_ASKER_H
#define TEST_ASKER_H

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

#include "exchange.h"
#include "net.h"

enum { ASKER_WELCOMED = 4 }; /* asker.blank, once a greeting is answered */

/* asked >= sent >= done. Whoever asks adds to asked, and may take back what is not sent. */
struct asker {
    int fd;           /* non-blocking; -1 = none. The user opens and closes it */
    uint32_t number;  /* of the connection: what exchange.h calls conn */
    uint32_t asked;   /* number of the next request to be made */
    uint32_t sent;    /* the first request not wholly handed to the kernel */
    uint32_t done;    /* the first request without a reply */
    uint32_t part;    /* bytes of request `sent` that the kernel has */
    uint32_t kept;    /* bytes of an unfinished reply in keep */
    uint16_t greeted; /* bytes of exchange.greeting that the kernel has */
    uint16_t welcome; /* bytes that have come of the answer to it */
    uint8_t blank; /* of them the last ones are so many of the end of a head; ASKER_WELCOMED = it is over */
    unsigned char *keep; /* the user's, with room for one reply */
    struct net_watch watch;
};

/* What one call of asker_receive() has brought. */
struct asker_news {
    uint32_t replies; /* whole and right, counted in done */
    size_t used;      /* their bytes, which the buffer begins with */
    size_t bytes;     /* in the buffer in all */
    enum fault fault; /* of what stands behind them; FAULT_NONE = so far it is right */
    bool welcomed;    /* the answer to a greeting has ended: asker_send() goes on */
};

/* Begin anew on another socket, without requests. */
void asker_open(struct asker *a, int fd);

/* Close the socket and forget what was asked. What is lost the user counts before. */
void asker_close(struct asker *a);

/* Send the greeting, if x has one, and what is asked, building it in scratch[0 .. size-1], which holds at least one
 * request. 1: the kernel has all of it; 0: it takes no more now; -1 with errno: nor will it, but replies may still be
 * there to be received. */
int asker_send(struct asker *a, const struct exchange *x, unsigned char *scratch, size_t size);

/* Receive once into in[0 .. size-1], which has room for more than one reply, and judge it. Returns the bytes received;
 * 0 when there are none now; -1 at the end, with errno 0 after a FIN. Where stamp is not NULL, see
 * net_recv_stamped(). */
ptrdiff_t asker_receive(struct asker *a, const struct exchange *x, unsigned char *in, size_t size,
                        struct asker_news *news, uint64_t *stamp);

#endif
