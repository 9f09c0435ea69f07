/*
 * ws_oracle.h: a second reading of WebSocket's rules: a stream as a whole, byte by byte, into buffers of its own. For
 * tests of the framing.
 */
#ifndef MARIO_UNIT_WS_ORACLE_H
#define MARIO_UNIT_WS_ORACLE_H

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

/* What a server that echoes each packet answers to stream[0 .. n-1], behind an upgrade, into *out, WS_RIG_ROOM bytes;
 * how many. `packets`: its messages are HEAD+Data, with the magic and ids of ws_rig_packets. *code: what its Close
 * frame, if there is one, says; 0 if it is empty; -1: there is none. */
size_t ws_oracle(const unsigned char *stream, size_t n, bool packets, uint32_t max, unsigned char *out,
                 int *code);

#endif
