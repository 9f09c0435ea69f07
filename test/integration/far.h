/*
 * far.h: a place from which clients connect over a link that can be cut: a network namespace of its own, and one
 * for the test and the servers it starts from then on. No packet leaves them. Main thread of a test; all of it is
 * gone when the test and its servers are.
 */
#ifndef ITEST_FAR_H
#define ITEST_FAR_H

#include <stdbool.h>

#include "harness.h"

#define FAR_NEAR_ADDRESS "10.77.0.1" /* the near end of the link, for a server to listen on */

struct far {
    int near_ns, far_ns; /* both namespaces; the test is in near_ns */
};

/* Make both, with loopback and the link up. False with errno where that is not permitted; the test is to be skipped
 * then. Before threads and servers. */
bool far_make(struct far *f);

/* Connect from there, as client_open_at(). */
int far_open(const struct far *f, const struct net_target *t);

/* From now on nothing gets through, and neither side is told. */
void far_cut(const struct far *f);

#endif
