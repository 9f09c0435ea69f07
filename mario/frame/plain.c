/*
 * plain.c: raw: what came is a packet. fixed: all packets have one length. Pure; any thread.
 */
#include "mario/frame/plain.h"

enum mario_frame_answer raw_next(const struct mario_framing *framing, void *state, unsigned char *data,
                                 uint32_t n, uint32_t seen, struct mario_frame *frame)
{
    const struct framing_rules *rules = framing->arg;
    (void) state;
    if (seen > 0) /* it waits: more may have come, which is another one */
        n = seen;
    frame->need = frame->len = n < framing->max ? n : framing->max;
    return id_set(&rules->id, data, frame);
}

enum mario_frame_answer fixed_next(const struct mario_framing *framing, void *state, unsigned char *data,
                                   uint32_t n, uint32_t seen, struct mario_frame *frame)
{
    const struct framing_rules *rules = framing->arg;
    (void) state;
    (void) seen;
    frame->need = frame->len = framing->max;
    return n < framing->max ? MARIO_FRAME_MORE : id_set(&rules->id, data, frame);
}

bool bare_ends(const struct mario_framing *framing, const struct frame_out *out, struct frame_ends *ends)
{
    (void) framing;
    (void) out;
    ends->front_len = ends->back_len = 0;
    return true;
}
