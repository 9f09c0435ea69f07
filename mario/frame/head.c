/*
 * head.c: the framing HEAD+Data: heads that are not whole yet, and those that go out. Pure functions, any thread.
 */
#include "mario/frame/head.h"

enum mario_frame_answer head_short(const struct mario_framing *framing, const unsigned char *data, uint32_t n,
                                   struct mario_frame *frame)
{
    const struct head_rules *rules = framing->arg;
    frame->need = 0;
    if (n >= 4 && head_read32(data) != rules->stx)
        return head_bad(frame, REASON_bad_stx);
    if (n >= 6 && (head_read16(data + 4) < SIZE_OF_HEAD || head_read16(data + 4) > framing->max))
        return head_bad(frame, REASON_bad_length);
    return MARIO_FRAME_MORE;
}

enum mario_frame_answer head_next(const struct mario_framing *framing, void *state, unsigned char *data,
                                  uint32_t n, uint32_t seen, struct mario_frame *frame)
{
    (void) state;
    (void) seen;
    return head_look(framing, data, n, frame);
}

bool head_ends(const struct mario_framing *framing, const struct frame_out *out, struct frame_ends *ends)
{
    (void) framing;
    *ends = (struct frame_ends){0};
    if (out->raw)
        return true;
    if (out->len > MARIO_FRAME_MAX - SIZE_OF_HEAD)
        return false;
    uint32_t len = out->len + SIZE_OF_HEAD;
    for (uint32_t i = 0; i < 4; i++)
        ends->front[i] = (unsigned char) (out->stx >> 8 * i);
    for (uint32_t i = 0; i < 2; i++) {
        ends->front[4 + i] = (unsigned char) (len >> 8 * i);
        ends->front[6 + i] = (unsigned char) (out->id >> 8 * i);
    }
    ends->front_len = SIZE_OF_HEAD;
    return true;
}
