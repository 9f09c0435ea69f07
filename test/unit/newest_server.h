/*
 * newest_server.h: a server that is behind with logins and turns to the newest first, as maritcp does with
 * handshakes: who came earlier waits as long as there are newer ones. A process of its own.
 */
#ifndef MARIO_UNIT_NEWEST_SERVER_H
#define MARIO_UNIT_NEWEST_SERVER_H

#include <stdint.h>
#include <sys/types.h>

#define NEWEST_PER_S 1000u /* logins that it answers a second; all else at once */

/* Start it on a free port of loopback. It dies with the test; who started it ends it. */
pid_t newest_server_start(uint16_t *port);

#endif
