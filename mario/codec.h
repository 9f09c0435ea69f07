/*
 * codec.h: bytes -> packets. No state, no allocation, no thread of its own: pure functions over the caller's bytes.
 * HEAD+Data is the framing that stands today; another one is another function with these three answers.
 */
#ifndef MARIO_CODEC_H
#define MARIO_CODEC_H

#include <stddef.h>
#include <stdint.h>

#include "mario_akg.h"

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
    uint32_t len;           /* OK: bytes of the packet; MORE: bytes it will have, 0 while its head is incomplete */
    uint16_t akg_id;        /* OK: its id; BAD: the id seen, if the head was complete */
    enum codec_fault fault; /* BAD: why */
};

/* Look at the first packet in data[0 .. n-1]. A head is judged as early as its bytes allow, so that nothing is kept
 * waiting for a packet that would be refused. Writes *p whatever the answer. */
enum codec_answer codec_next(const struct codec *codec, const unsigned char *data, size_t n, struct packet *p);

#endif
