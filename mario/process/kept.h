/*
 * kept.h: an address of the listen list that a supervising parent keeps open, so that who comes while its child is
 * started again waits there. Opened and closed by the parent; a child has it as of its fork.
 */
#ifndef MARIO_PROCESS_KEPT_H
#define MARIO_PROCESS_KEPT_H

#include <stdbool.h>
#include <stdint.h>

#include "mario/net/listen.h"

struct kept {
    struct listen_address asked, got; /* they differ in port 0 */
    int fd;                           /* -1: it is for datagrams, and has */
    int *datagrams;                   /* [datagram_count] a socket for each worker */
    uint32_t datagram_count;
    bool lent; /* in the child: its server has it */
};

/* Open k->asked. False with errno. */
bool kept_open(struct kept *k, const struct listen_options *set, uint32_t workers);
/* Close it; with `removed` the child has removed a unix socket, and its path may be another's now. */
void kept_close(const struct kept *k, bool removed);

/* Whether it is what this entry of a list asks for. */
bool kept_is(const struct kept *k, const struct listen_address *a);

/* Copies of its sockets for datagrams, if there are so many. False, and none is open. */
bool kept_copy(const struct kept *k, int *fds, uint32_t count);

#endif
