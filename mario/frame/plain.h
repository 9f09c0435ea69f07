/*
 * plain.h: the framings without a state: raw, line, delim, fixed, length. No allocation, no thread of their own: pure
 * functions over the caller's bytes.
 */
#ifndef MARIO_FRAME_PLAIN_H
#define MARIO_FRAME_PLAIN_H

#include <stdbool.h>
#include <stdint.h>

#include "mario/frame/ends.h"
#include "mario/frame/head.h"
#include "mario/frame/ids.h"
#include "mario/frame/ws.h"

struct delim_rules {
    unsigned char end[ENDS_BACK]; /* what ends a packet */
    uint8_t len;
    bool strict;     /* line: CR LF alone */
    bool eof_is_end; /* a FIN ends the last one too */
};

struct length_rules {
    uint32_t off;   /* where the field is */
    uint32_t size;  /* its bytes, 1 .. 4; 0: a varint, seven bits in each of at most five, the lowest first */
    int32_t adjust; /* to be added to what it says */
    uint32_t strip; /* bytes in front that the function does not see; of a varint: up to its end, or 0 */
    uint32_t front; /* bytes that go in front of what is sent; of a varint: in front of it */
    bool little;
    bool counts_all; /* the whole packet, else what stands behind the field */
};

/* What a built-in framing is told by its arg. */
struct framing_rules {
    struct id_rule id;
    const struct head_rules *head; /* of the server */
    union {
        struct delim_rules delim;
        struct length_rules length;
        struct ws_rules ws;
    };
};

/* MARIO_FRAME_FUNC and what goes around a payload. */
enum mario_frame_answer raw_next(const struct mario_framing *framing, void *state, unsigned char *data,
                                 uint32_t n, uint32_t seen, struct mario_frame *frame);
enum mario_frame_answer fixed_next(const struct mario_framing *framing, void *state, unsigned char *data,
                                   uint32_t n, uint32_t seen, struct mario_frame *frame);
bool bare_ends(const struct mario_framing *framing, const struct frame_out *out, struct frame_ends *ends);

enum mario_frame_answer line_next(const struct mario_framing *framing, void *state, unsigned char *data,
                                  uint32_t n, uint32_t seen, struct mario_frame *frame);
enum mario_frame_answer delim_next(const struct mario_framing *framing, void *state, unsigned char *data,
                                   uint32_t n, uint32_t seen, struct mario_frame *frame);
/* How many bytes of a delimiter data[0 .. n-1], in which none is whole, ends with. */
uint32_t delim_begun(const struct delim_rules *d, const unsigned char *data, uint32_t n);
bool delim_ends(const struct mario_framing *framing, const struct frame_out *out, struct frame_ends *ends);

enum mario_frame_answer length_next(const struct mario_framing *framing, void *state, unsigned char *data,
                                    uint32_t n, uint32_t seen, struct mario_frame *frame);
bool length_ends(const struct mario_framing *framing, const struct frame_out *out, struct frame_ends *ends);

#endif
