/*
 * sha1.c: SHA-1 (RFC 3174) of short texts. Pure; any thread.
 */
#include "mario/frame/sha1.h"

#include <stdint.h>
#include <string.h>

#include "mario/base/check.h"

enum { BLOCK = 64, WORDS = BLOCK / 4, ROUNDS = 80 };

static uint32_t left(uint32_t x, unsigned by)
{
    return x << by | x >> (32 - by);
}

static void put32(unsigned char *p, uint32_t x)
{
    for (unsigned i = 0; i < 4; i++)
        p[i] = (unsigned char) (x >> (24 - 8 * i));
}

/* What round t adds to the word in front, of the three behind it. */
static uint32_t mix(unsigned t, uint32_t b, uint32_t c, uint32_t d)
{
    if (t < 20)
        return ((b & c) | (~b & d)) + 0x5a827999;
    if (t >= 40 && t < 60)
        return ((b & c) | (b & d) | (c & d)) + 0x8f1bbcdc;
    return (b ^ c ^ d) + (t < 40 ? 0x6ed9eba1 : 0xca62c1d6);
}

static void add_block(uint32_t h[5], const unsigned char *p)
{
    uint32_t w[ROUNDS], v[5];
    for (unsigned t = 0; t < WORDS; t++)
        w[t] = (uint32_t) p[4 * t] << 24 | (uint32_t) p[4 * t + 1] << 16 | (uint32_t) p[4 * t + 2] << 8 |
               p[4 * t + 3];
    for (unsigned t = WORDS; t < ROUNDS; t++)
        w[t] = left(w[t - 3] ^ w[t - 8] ^ w[t - 14] ^ w[t - 16], 1);
    memcpy(v, h, sizeof v);
    for (unsigned t = 0; t < ROUNDS; t++) {
        uint32_t next = left(v[0], 5) + mix(t, v[1], v[2], v[3]) + v[4] + w[t];
        v[4] = v[3];
        v[3] = v[2];
        v[2] = left(v[1], 30);
        v[1] = v[0];
        v[0] = next;
    }
    for (unsigned i = 0; i < 5; i++)
        h[i] += v[i];
}

void sha1(const void *p, size_t n, unsigned char out[SHA1_BYTES])
{
    uint32_t h[5] = {0x67452301, 0xefcdab89, 0x98badcfe, 0x10325476, 0xc3d2e1f0};
    unsigned char padded[2 * BLOCK] = {0};
    CHECK(n <= SHA1_MOST);
    size_t all = n + 1 + 8 <= BLOCK ? BLOCK : sizeof padded;
    memcpy(padded, p, n);
    padded[n] = 0x80;
    put32(padded + all - 4, (uint32_t) n * 8);
    for (size_t at = 0; at < all; at += BLOCK)
        add_block(h, padded + at);
    for (unsigned i = 0; i < 5; i++)
        put32(out + 4 * i, h[i]);
}
