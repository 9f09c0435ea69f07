/*
 * looks.h: what a client speaks that came to the wrong address, for the line that tells of it. Pure; any thread.
 */
#ifndef MARIO_FRAME_LOOKS_H
#define MARIO_FRAME_LOOKS_H

#include <stdint.h>

/* Numbers that a framing can have for a fault of its own are not among these (MARIO_FAULT_OWN). */
enum frame_looks { LOOKS_UNKNOWN, LOOKS_HTTP, LOOKS_TLS, LOOKS_PROXY, LOOKS_SSH, LOOKS_SSL2, LOOKS_HEAD };

/* What data[0 .. n-1], with which a packet should begin, is instead. Nothing is known here of what HEAD+Data begins
 * with: LOOKS_HEAD is its user's to say. */
enum frame_looks frame_looks(const unsigned char *data, uint32_t n);

/* Its name; NULL for LOOKS_UNKNOWN and all else. */
const char *frame_looks_name(uint32_t looks);

#endif
