/*
 * activation.h: listening sockets that whoever started this process opened for it: LISTEN_FDS, as in sd_listen_fds(3).
 * For the thread that makes the server, and for a supervising parent, before there are other threads.
 */
#ifndef MARIO_NET_ACTIVATION_H
#define MARIO_NET_ACTIVATION_H

#include "mario/net/listen.h"

/* Note what was handed over, if LISTEN_PID is this process; as early as can be, since the numbers of descriptors that
 * are not there would soon be others'. A second call, and one in a child, does nothing. */
void activation_setup(void);

/* The socket of this address, listening with this backlog and keepalive; it is the caller's, to be closed like one of
 * listen_open(). a->activated is set. -1: there is none. Whoever opened it listens too: it must not be shut down, and
 * a unix socket's file is not removed. */
int activation_take(struct listen_address *a, const struct listen_options *o);

/* The same, or one that is opened here: a descriptor, or -1 with errno. */
int activation_open(struct listen_address *a, const struct listen_options *o);

/* Close those that nobody took, with a line on standard error for each. */
void activation_close_rest(void);

#endif
