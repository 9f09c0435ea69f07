/*
 * ws.h: the framing WebSocket (RFC 6455): the upgrade, then frames, put together to messages in place. What a
 * connection needs of it is its state; nothing is allocated. Extensions are not taken, permessage-deflate neither.
 *
 * Without a rule for ids a message is binary and consists of whole packets of HEAD+Data, one or more; with one, its
 * payload is a packet, be it text or binary. Pings are answered, and what breaks the rules is told so by a Close frame,
 * right where they are found: that is written to the connection that mario_frame_conn() names. Pure but for that; any
 * thread.
 */
#ifndef MARIO_FRAME_WS_H
#define MARIO_FRAME_WS_H

#include "mario/frame/ends.h"
#include "mario/frame/frame.h"
#include "mario/frame/utf8.h"

enum ws_opcode { WS_MORE = 0, WS_TEXT = 1, WS_BINARY = 2, WS_CLOSE = 8, WS_PING = 9, WS_PONG = 10 };

/* Codes of a Close frame. */
enum ws_code {
    WS_CODE_NORMAL = 1000,
    WS_CODE_AWAY = 1001,
    WS_CODE_PROTOCOL = 1002,
    WS_CODE_KIND = 1003,
    WS_CODE_DATA = 1007,
    WS_CODE_POLICY = 1008,
    WS_CODE_BIG = 1009,
    WS_CODE_ERROR = 1011
};

/* What a listener's entry says of it, beside ids. */
struct ws_rules {
    uint32_t max;        /* bytes of the largest message, 1 .. WS_MESSAGE_MAX */
    const char *path;    /* what a request has to be for; NULL: whatever it is */
    const char *origins; /* whose pages may come, with '+' between them; NULL: all */
    const char
        *subprotocols; /* of which the client's first one that is there is chosen, likewise; NULL: none */
};

#define WS_SUBPROTOCOL_MAX 64u /* bytes of one's name */

/* A message has room in a carry, with what may stand before it, in it and behind it: that is framing.max. */
#define WS_MESSAGE_MAX 65535u
#define WS_CARRY       (WS_MESSAGE_MAX + 512u)

enum ws_phase { WS_HEAD, WS_OPEN, WS_CLOSED };

/* What of the stream's front has been looked at: `front` bytes that are done with, `have` bytes of a message's payload,
 * plain and in one piece, and `gap` bytes that are done with. */
struct ws_state {
    uint8_t opcode; /* of the message that was handed out last, text or binary; 0 before */
    uint8_t phase;  /* enum ws_phase */
    uint8_t kind;   /* opcode of the message that is not complete yet; 0: there is none */
    bool last;      /* the frame that was looked at last ends it */
    struct utf8 text;
    unsigned char mask[4]; /* of that frame, for its next byte on */
    uint32_t left;         /* bytes of its payload that have not come */
    uint32_t front, have, gap;
    uint32_t
        packets; /* bytes in front of a whole message: packets that are to be handed out; `gap` is behind them */
};
_Static_assert(sizeof(struct ws_state) <= MARIO_FRAME_STATE, "a state has so much room");

/* Whether its upgrade is done: it can be written to. */
static inline bool ws_is_open(const void *state)
{
    const struct ws_state *s = state;
    return s->phase == WS_OPEN;
}

/* Whether a part of a message stands in front, whatever was skipped behind that. */
static inline bool ws_is_amid(const void *state)
{
    const struct ws_state *s = state;
    return s->kind != 0 && s->have > 0;
}

/* MARIO_FRAME_FUNC of this framing. It goes on where it was, whatever `seen` says; it is not asked again for a packet
 * that it said OK for. */
enum mario_frame_answer ws_next(const struct mario_framing *framing, void *state, ubyte *data, uint32 n,
                                uint32 seen, struct mario_frame *frame);

/* frame_ends_fn of this framing. A reply to a text is one, unless it is no UTF-8; all else is binary. */
bool ws_ends(const struct mario_framing *framing, const struct frame_out *out, struct frame_ends *ends);

/* The head of an unmasked frame with `len` bytes of payload: its length, .. WS_FRONT_MAX. */
enum { WS_FRONT_MAX = 10 };
uint8_t ws_front(unsigned char out[WS_FRONT_MAX], uint8_t opcode, uint64_t len);

/* The connection ends for this reason: the Close frame that is to go out behind all else; its length, 0 if none is. */
enum { WS_GOODBYE = 4 };
size_t ws_goodbye(void *state, enum reason reason, unsigned char out[WS_GOODBYE]);

/* What its files need of each other. */

/* Written to the connection whose stream it is. */
void ws_say(const void *bytes, size_t n);

/* MARIO_FRAME_FUNC while phase is WS_HEAD: the upgrade. */
enum mario_frame_answer ws_upgrade(const struct mario_framing *framing, struct ws_state *s, const ubyte *data,
                                   uint32 n, uint32 seen, struct mario_frame *frame);

/* What proves that a key was understood, 28 characters and a NUL. False if it is none: 16 bytes, in base64. */
enum { WS_PROOF = 29 };
bool ws_proof(const char *key, size_t n, char out[WS_PROOF]);

#endif
