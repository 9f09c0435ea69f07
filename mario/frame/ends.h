/*
 * ends.h: what a built-in framing puts in front of a payload that goes out, and behind it. So who sends decides where
 * the bytes go: into a reply, or into a message that many share. Pure; any thread.
 */
#ifndef MARIO_FRAME_ENDS_H
#define MARIO_FRAME_ENDS_H

#include <stdbool.h>
#include <stdint.h>

#include "mario/frame/frame.h"

#define ENDS_FRONT 40u
#define ENDS_BACK  8u

/* What is to go out as one packet. */
struct frame_out {
    const void *data; /* the payload; NULL if it is empty */
    uint32_t len;
    uint32_t stx;   /* of a HEAD, where the framing has one: with the id */
    uint16_t id;    /* 0 .. 0xfffb */
    uint8_t opcode; /* of the request that is answered, in the framing's own numbers; 0: of none */
    bool raw; /* no packet, but bytes that go as they are: the ends are empty where the framing lets them */
};

struct frame_ends {
    uint8_t front_len, back_len;
    unsigned char front[ENDS_FRONT], back[ENDS_BACK];
};

/* False if this framing cannot carry such a payload: it is too long, or would be more than one packet. */
typedef bool (*frame_ends_fn)(const struct mario_framing *framing, const struct frame_out *out,
                              struct frame_ends *ends);

#endif
