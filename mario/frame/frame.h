/*
 * frame.h: how a stream of bytes becomes packets: the interface of a framing. A framing is a function that looks at
 * bytes and says what stands there; the worker alone loops over them, and conn.c alone closes. head.h is one, and the
 * only one today; a connection has that of the listener it came in by. Pure; any thread.
 */
#ifndef MARIO_FRAME_FRAME_H
#define MARIO_FRAME_FRAME_H

#include <stdint.h>

#include "mario/base/reason.h"

enum mario_frame_answer {
    MARIO_FRAME_OK,   /* a whole packet stands at the beginning */
    MARIO_FRAME_MORE, /* nothing wrong so far, bytes are missing */
    MARIO_FRAME_BAD   /* this stream cannot go on */
};

struct mario_frame {  /* zeroed before each question */
    uint32_t need;    /* OK: bytes taken, 1 .. n. MORE: the whole packet's size, > n; 0 = not known yet */
    uint32_t at, len; /* OK: what in_buf shows of them, at + len <= need */
    uint16_t id;      /* OK: akg_id */
    uint16_t fault;   /* BAD: enum reason */
};

struct mario_framing;

/* What stands in data[0 .. n-1], n >= 1? `data` begins at a packet. Of its bytes `seen` were there when it was asked
 * about this very packet before; so a packet that comes byte by byte is looked at once, not again and again. It may be
 * asked again although it said OK, when the packet had to wait: then all of it was seen, and the answer is the same.
 * Bytes may be changed, those not seen before; never beyond n. Neither allocates nor blocks. */
typedef enum mario_frame_answer (*MARIO_FRAME_FUNC)(const struct mario_framing *framing, unsigned char *data,
                                                    uint32_t n, uint32_t seen, struct mario_frame *frame);

/* Constant while the server runs. */
struct mario_framing {
    const char *name;
    MARIO_FRAME_FUNC next;
    uint32_t max;    /* bytes of the largest packet, .. FRAME_MAX: one that is not whole by then is BAD */
    const void *arg; /* the framing's own */
};

#define FRAME_MAX 65535u

#endif
