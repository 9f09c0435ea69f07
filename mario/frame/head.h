/*
 * head.h: the framing HEAD+Data. No state, no allocation, no thread of its own: pure functions over the caller's
 * bytes.
 */
#ifndef MARIO_FRAME_HEAD_H
#define MARIO_FRAME_HEAD_H

#include <stddef.h>
#include <stdint.h>

#include "mario/frame/ends.h"
#include "mario/frame/frame.h"
#include "mario/mario_akg.h"

/* What a stream is checked against besides framing.max; framing.arg. */
struct head_rules {
    uint32_t stx;
    const FUNC_PTR *funcs; /* 65,536 entries; NULL = unknown akg_id */
};

/* MARIO_FRAME_FUNC of this framing. */
enum mario_frame_answer head_next(const struct mario_framing *framing, void *state, unsigned char *data,
                                  uint32_t n, uint32_t seen, struct mario_frame *frame);

/* The HEAD in front of a payload. */
bool head_ends(const struct mario_framing *framing, const struct frame_out *out, struct frame_ends *ends);

/* Look at a head of which only n < SIZE_OF_HEAD bytes are there: MORE or BAD, as early as they allow. */
enum mario_frame_answer head_short(const struct mario_framing *framing, const unsigned char *data, uint32_t n,
                                   struct mario_frame *frame);

/* Little-endian is read byte by byte, which a compiler turns into one load where the machine allows it; so
 * neither alignment nor the host's byte order matters. */
static inline uint16_t head_read16(const unsigned char *p)
{
    return (uint16_t) (p[0] | p[1] << 8);
}

static inline uint32_t head_read32(const unsigned char *p)
{
    return (uint32_t) p[0] | (uint32_t) p[1] << 8 | (uint32_t) p[2] << 16 | (uint32_t) p[3] << 24;
}

static inline enum mario_frame_answer head_bad(struct mario_frame *frame, enum reason why)
{
    frame->fault = (uint16_t) why;
    return MARIO_FRAME_BAD;
}

/* Look at the first packet in data[0 .. n-1]. A head is judged as early as its bytes allow, so that nothing
 * is kept waiting for a packet that would be refused. Sets of *frame what its answer needs. Inline: it runs once a
 * packet. */
static inline enum mario_frame_answer head_look(const struct mario_framing *framing,
                                                const unsigned char *data, uint32_t n,
                                                struct mario_frame *frame)
{
    const struct head_rules *rules = framing->arg;
    if (n < SIZE_OF_HEAD)
        return head_short(framing, data, n, frame);
    uint32_t len = head_read16(data + 4);
    if (head_read32(data) != rules->stx)
        return head_bad(frame, REASON_bad_stx);
    if (len < SIZE_OF_HEAD || len > framing->max)
        return head_bad(frame, REASON_bad_length);
    frame->id = head_read16(data + 6);
    if (rules->funcs[frame->id] == NULL)
        return head_bad(frame, REASON_unknown_akg);
    frame->at = 0;
    frame->need = frame->len = len;
    return n < len ? MARIO_FRAME_MORE : MARIO_FRAME_OK;
}

#endif
