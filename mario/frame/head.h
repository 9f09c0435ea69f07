/*
 * head.h: bytes -> packets. No state, no allocation, no thread of its own: pure functions over the caller's
 * bytes. HEAD+Data is the framing that stands today; another one is another function with these three
 * answers.
 */
#ifndef MARIO_FRAME_HEAD_H
#define MARIO_FRAME_HEAD_H

#include <stddef.h>
#include <stdint.h>

#include "mario/mario_akg.h"

enum codec_answer {
    CODEC_OK,   /* a whole packet stands at the beginning */
    CODEC_MORE, /* nothing wrong so far, bytes are missing */
    CODEC_BAD   /* this stream can not go on */
};

enum codec_fault { CODEC_FAULT_NONE, CODEC_FAULT_STX, CODEC_FAULT_LENGTH, CODEC_FAULT_AKG };

/* What a stream is checked against; constant while the server runs. */
struct codec {
    uint32_t stx;
    uint32_t max_pkglen;
    const FUNC_PTR *funcs; /* 65,536 entries; NULL = unknown akg_id */
};

struct packet {
    uint32_t len;    /* OK: bytes of the packet; MORE: bytes it will have, 0 while its head is incomplete */
    uint16_t akg_id; /* OK: its id; BAD with CODEC_FAULT_AKG: the id nobody serves */
    enum codec_fault fault; /* BAD: why */
};

/* Look at a head of which only n < SIZE_OF_HEAD bytes are there: MORE or BAD, as early as they allow. */
enum codec_answer codec_short(const struct codec *codec, const unsigned char *data, size_t n,
                              struct packet *p);

/* Little-endian is read byte by byte, which a compiler turns into one load where the machine allows it; so
 * neither alignment nor the host's byte order matters. */
static inline uint16_t codec_read16(const unsigned char *p)
{
    return (uint16_t) (p[0] | p[1] << 8);
}

static inline uint32_t codec_read32(const unsigned char *p)
{
    return (uint32_t) p[0] | (uint32_t) p[1] << 8 | (uint32_t) p[2] << 16 | (uint32_t) p[3] << 24;
}

/* Look at the first packet in data[0 .. n-1]. A head is judged as early as its bytes allow, so that nothing
 * is kept waiting for a packet that would be refused. Writes *p whatever the answer. Inline: it runs once a
 * packet. */
static inline enum codec_answer codec_next(const struct codec *codec, const unsigned char *data, size_t n,
                                           struct packet *p)
{
    p->fault = CODEC_FAULT_NONE;
    p->len = 0;
    p->akg_id = 0;
    if (n < SIZE_OF_HEAD)
        return codec_short(codec, data, n, p);
    uint32_t len = codec_read16(data + 4);
    if (codec_read32(data) != codec->stx) {
        p->fault = CODEC_FAULT_STX;
        return CODEC_BAD;
    }
    if (len < SIZE_OF_HEAD || len > codec->max_pkglen) {
        p->fault = CODEC_FAULT_LENGTH;
        return CODEC_BAD;
    }
    p->akg_id = codec_read16(data + 6);
    if (codec->funcs[p->akg_id] == NULL) {
        p->fault = CODEC_FAULT_AKG;
        return CODEC_BAD;
    }
    p->len = len;
    return n < len ? CODEC_MORE : CODEC_OK;
}

#endif
