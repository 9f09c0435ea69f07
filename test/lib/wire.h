/*
 * wire.h: numbers and the packet HEAD as they stand on the wire: little-endian, no padding, on every host
 * (docs/design.md: wire format). Pure functions, any thread. Pointers need no alignment.
 */
#ifndef TEST_WIRE_H
#define TEST_WIRE_H

#include <endian.h>
#include <stdint.h>
#include <string.h>

#define WIRE_HEAD_LEN   8u     /* bytes of a HEAD */
#define WIRE_PACKET_MAX 65535u /* the largest pkglen that exists */

struct wire_head {
    uint32_t stx;
    uint16_t pkglen; /* of the whole packet, HEAD included */
    uint16_t akg_id;
};

static inline void wire_put16(unsigned char *p, uint16_t v)
{
    v = htole16(v);
    memcpy(p, &v, sizeof v);
}

static inline void wire_put32(unsigned char *p, uint32_t v)
{
    v = htole32(v);
    memcpy(p, &v, sizeof v);
}

static inline void wire_put64(unsigned char *p, uint64_t v)
{
    v = htole64(v);
    memcpy(p, &v, sizeof v);
}

static inline uint16_t wire_get16(const unsigned char *p)
{
    uint16_t v;
    memcpy(&v, p, sizeof v);
    return le16toh(v);
}

static inline uint32_t wire_get32(const unsigned char *p)
{
    uint32_t v;
    memcpy(&v, p, sizeof v);
    return le32toh(v);
}

static inline uint64_t wire_get64(const unsigned char *p)
{
    uint64_t v;
    memcpy(&v, p, sizeof v);
    return le64toh(v);
}

/* Write h to p[0 .. WIRE_HEAD_LEN-1]. */
static inline void wire_put_head(unsigned char *p, struct wire_head h)
{
    wire_put32(p, h.stx);
    wire_put16(p + 4, h.pkglen);
    wire_put16(p + 6, h.akg_id);
}

/* Read p[0 .. WIRE_HEAD_LEN-1]. Nothing is judged. */
static inline struct wire_head wire_get_head(const unsigned char *p)
{
    return (struct wire_head){.stx = wire_get32(p), .pkglen = wire_get16(p + 4), .akg_id = wire_get16(p + 6)};
}

#endif
