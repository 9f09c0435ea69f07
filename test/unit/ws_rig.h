/*
 * ws_rig.h: a WebSocket connection without a server: bytes go in as they come, messages are echoed, all that is
 * answered is collected. For tests of the framing.
 */
#ifndef MARIO_UNIT_WS_RIG_H
#define MARIO_UNIT_WS_RIG_H

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

#include "mario/frame/ws.h"
#include "mario/frame/plain.h"
#include "test/lib/websocket.h"

enum { WS_RIG_ID = 0x0123, WS_RIG_ROOM = 1 << 21 };

/* The rules of a listener with id=0x0123; of one without, whose functions are those of ids 0 .. 9. */
extern const struct mario_framing ws_rig_payload, ws_rig_packets;

struct ws_rig {
    const struct mario_framing *framing;
    struct ws_state state;
    unsigned char *in; /* what has come and is not done with */
    size_t n, seen;
    uint32_t need;      /* what was said last of what is missing */
    unsigned char *out; /* what was answered, echoes among it */
    size_t out_len;
    uint32_t packets, skips;
    bool over;
    enum reason fault;
    bool exact; /* let it see blocks of exactly the bytes that there are */
};

/* The one before it is over then. */
void ws_rig_begin(struct ws_rig *r, const struct mario_framing *framing, bool upgraded);

/* More has come. */
void ws_rig_feed(struct ws_rig *r, const void *bytes, size_t n);

#endif
