/*
 * cidr.h: networks as they are written, "10.1.0.0/16" or "2001:db8::/32", and sets of them in which an address is found
 * by halving. Any thread; pure.
 *
 * An address is 16 bytes as in struct peer, IPv4 as ::ffff:a.b.c.d. The families do not meet: ::/0 is all of IPv6, and
 * nobody of IPv4.
 */
#ifndef MARIO_BASE_CIDR_H
#define MARIO_BASE_CIDR_H

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

#include "mario/base/peer.h"

enum {
    CIDR_TEXT = 52,
    CIDR_V4_BITS = 96
}; /* bytes of the longest text, NUL included; in front of IPv4's own */

struct cidr {
    unsigned char address[PEER_ADDRESS]; /* behind the bits all zero */
    uint8_t bits;                        /* .. 128; those of IPv4 with CIDR_V4_BITS before them */
};

/* Read "address" or "address/bits". NULL, or what is wrong with it: a phrase that goes on behind the quoted text. */
const char *cidr_parse(const char *text, struct cidr *out);

/* The network of this many bits that the address is in. */
struct cidr cidr_of(const unsigned char address[PEER_ADDRESS], uint32_t bits);
bool cidr_has(const struct cidr *c, const unsigned char address[PEER_ADDRESS]);
bool cidr_is_v4(const unsigned char address[PEER_ADDRESS]);

/* As it is written: without "/bits" if it is one address. Returns its length, were there room for it. */
uint32_t cidr_print(const struct cidr *c, char *text, uint32_t size);

/* Half of an address as a number: it begins there; an IPv4 address as one. */
static inline uint64_t cidr_half(const unsigned char *address)
{
    uint64_t v = 0;
    for (int i = 0; i < 8; i++)
        v = v << 8 | address[i];
    return v;
}

static inline uint32_t cidr_v4(const unsigned char address[PEER_ADDRESS])
{
    return (uint32_t) address[12] << 24 | (uint32_t) address[13] << 16 | (uint32_t) address[14] << 8 |
           address[15];
}

/* ---- Sets ---- */

struct cidr_set; /* its memory is the caller's */

/* Bytes that a set of n networks takes. */
size_t cidr_set_size(uint32_t n);
/* Make it in so many bytes, aligned for a uint64_t. Up to CIDR_SET_SMALL networks without the heap. */
#define CIDR_SET_SMALL 256u
struct cidr_set *cidr_set_make(void *memory, const struct cidr *list, uint32_t n);
/* Whether one of them has the address. */
bool cidr_set_has(const struct cidr_set *s, const unsigned char address[PEER_ADDRESS]);

#endif
