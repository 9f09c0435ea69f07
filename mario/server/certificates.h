/*
 * certificates.h: the certificates of the listeners with tls=: made of what is registered, published with the settings
 * (publish.h), and what operators see of them.
 */
#ifndef MARIO_SERVER_CERTIFICATES_H
#define MARIO_SERVER_CERTIFICATES_H

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

#include "mario/log/log.h"
#include "mario/server/acceptor.h"
#include "mario/server/publish.h"
#include "mario/tls/context.h"

struct master;

/* ---- The thread that makes the server ---- */

/* These listeners, which outlive it, and where new contexts go: to p, and m is woken. */
void certificates_setup(const struct listener *listeners, uint32_t n, struct publisher *p, struct master *m);
/* No more: mario_tls_reload() is refused. Waits for one that runs. */
void certificates_teardown(void);

/* ---- Any thread that may wait for a disk ---- */

/* Files are read and contexts are offered by one thread at a time: between these two, the second of which is told what
 * the first one said. Nothing if no listener has tls=, so that who has none waits for nobody. */
bool certificates_begin(void);
void certificates_end(bool begun);
/* Within: what the files say now, one reference; NULL if no listener has tls=. False with a line in why[0 ..
 * size-1]. */
__attribute__((warn_unused_result)) bool certificates_make(const struct tls_policy *policy,
                                                           const struct tls_contexts **contexts, char *why,
                                                           size_t size);
/* Within: these were offered. */
void certificates_offered(const struct tls_contexts *contexts, const struct tls_policy *policy);

/* ---- Any thread ---- */

/* Some listener has tls=. */
bool certificates_are_wanted(void);

/* Those that were offered last, held for the caller; NULL if there are none. */
const struct tls_contexts *certificates_hold(void);

/* Lines about each that `now` has and `before` (may be NULL) has not, and about what is wrong with it. No heap. */
void certificates_say(LOG_QUEUE *q, const struct tls_contexts *before, const struct tls_contexts *now);

/* A day as "2027-01-31". */
struct certificate_day {
    char text[32];
};
struct certificate_day certificate_day(int64_t seconds);

#endif
