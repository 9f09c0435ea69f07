/*
 * leaving.h: the states a connection can be left in, and the ways to leave it, most with bytes in flight: for
 * tests that do it over and over. Servers are testapp. Main thread of a test.
 */
#ifndef ITEST_LEAVING_H
#define ITEST_LEAVING_H

#include "harness.h"
#include "mario/base/reason.h"

/* The port of our end. */
uint16_t client_port(int fd);

/* ---- Tokens: what of one connection must never be seen on another ---- */

/* Send TEST_CANARY with the token of connection i, which is not that of any other; receive its answer. */
void token_send(int fd, uint32_t i);
void token_expect(int fd, uint32_t i);

/* ---- States ---- */

struct leaving_state {
    const char *name;
    bool needs_newcomer; /* fd must not have been served yet */
    /* Bring fd, just opened, into the state. `other` is a served connection of the same worker. */
    void (*enter)(const struct server *s, int fd, int other);
};

/*
 * What a served connection has sent is read before an ECHO that another of its worker sends later; but a new
 * connection is served only when the worker has taken it over, so most states begin with an ECHO of their own.
 * They need output.max = 12m or more, output.high below it.
 */
enum { LEAVING_STATES = 9 };
extern const struct leaving_state leaving_states[LEAVING_STATES];

/* ---- Ways ---- */

enum { LEAVING_WAYS = 8 };

/* How a connection that was left in one of these ways ends for the server; REASON_NONE: as peer_closed or as
 * reset, that is a race. */
extern const enum reason leaving_reason[LEAVING_WAYS];

/* End connection i, which is quiet, in way i % LEAVING_WAYS. */
void leave(int fd, uint32_t i);

#endif
