/*
 * mario_network.h: the server, under the name that 0.9.9 had for mario_server.h.
 */
#ifndef MARIO_NETWORK_H
#define MARIO_NETWORK_H

#include "mario_compat.h"
#include "mario_server.h"

#endif
