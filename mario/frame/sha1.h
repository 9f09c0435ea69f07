/*
 * sha1.h: SHA-1 of short texts. An upgrade to WebSocket asks for it, to see that the server knows what it was asked:
 * nothing is kept secret by it. Pure; any thread.
 */
#ifndef MARIO_FRAME_SHA1_H
#define MARIO_FRAME_SHA1_H

#include <stddef.h>

enum { SHA1_BYTES = 20, SHA1_MOST = 119 };

/* Of p[0 .. n-1], n <= SHA1_MOST. */
void sha1(const void *p, size_t n, unsigned char out[SHA1_BYTES]);

#endif
