/*
 * ws_rig.c: a WebSocket connection without a server. One thread, one connection at a time.
 */
#include "ws_rig.h"

#include <stdlib.h>
#include <string.h>

#include <event2/buffer.h>
#include <event2/bufferevent.h>
#include <event2/event.h>

#include "mario/base/check.h"
#include "mario/exec/executor.h"
#include "mario/exec/reply.h"

static struct executor here;
static CONN conn;
static unsigned char in[WS_RIG_ROOM], out[WS_RIG_ROOM]; /* one connection at a time */

static sint32 nothing(CONN *c)
{
    (void) c;
    return 0;
}

static const FUNC_PTR functions[65536] = {nothing, nothing, nothing, nothing, nothing,
                                          nothing, nothing, nothing, nothing, nothing};
static const struct head_rules head_rules = {.stx = 0x12345678, .funcs = functions};
static const struct framing_rules payload_rules = {
    .id = {.kind = ID_ALWAYS, .id = WS_RIG_ID}, .head = &head_rules, .ws = {.max = WS_MESSAGE_MAX}};
static const struct framing_rules packets_rules = {.head = &head_rules, .ws = {.max = WS_MESSAGE_MAX}};

const struct mario_framing ws_rig_payload = {.name = "ws",
                                             .next = ws_next,
                                             .state_size = sizeof(struct ws_state),
                                             .max = WS_CARRY,
                                             .arg = &payload_rules};
const struct mario_framing ws_rig_packets = {.name = "ws",
                                             .next = ws_next,
                                             .state_size = sizeof(struct ws_state),
                                             .max = WS_CARRY,
                                             .arg = &packets_rules};

void ws_rig_begin(struct ws_rig *r, const struct mario_framing *framing, bool upgraded)
{
    if (here.pub.base == NULL) {
        here.pub.base = event_base_new();
        CHECK(here.pub.base != NULL);
        CHECK(reply_setup(&here));
    }
    executor_here = &here;
    here.frame_conn = &conn;
    conn.bufev = here.reply;
    *r = (struct ws_rig){.framing = framing, .in = in, .out = out};
    r->state.phase = upgraded ? WS_OPEN : WS_HEAD;
}

static void put(struct ws_rig *r, const void *bytes, size_t n)
{
    CHECK(r->out_len + n <= WS_RIG_ROOM);
    if (n > 0)
        memcpy(r->out + r->out_len, bytes, n);
    r->out_len += n;
}

/* What the framing wrote. */
static void collect(struct ws_rig *r)
{
    size_t n = evbuffer_get_length(here.reply_buf);
    CHECK(r->out_len + n <= WS_RIG_ROOM);
    CHECK((size_t) evbuffer_remove(here.reply_buf, r->out + r->out_len, n) == n);
    r->out_len += n;
}

static void echo(struct ws_rig *r, const struct mario_frame *frame)
{
    struct frame_out sent = {.data = r->in + frame->at,
                             .len = frame->len,
                             .stx = head_rules.stx,
                             .id = frame->id,
                             .opcode = r->state.opcode,
                             .raw = r->framing == &ws_rig_packets};
    struct frame_ends ends;
    CHECK(sent.raw || frame->id == WS_RIG_ID);
    CHECK(ws_ends(r->framing, &sent, &ends));
    put(r, ends.front, ends.front_len);
    put(r, sent.data, sent.len);
    r->packets++;
}

static enum mario_frame_answer ask(struct ws_rig *r, struct mario_frame *frame)
{
    unsigned char *block = r->exact ? malloc(r->n) : r->in;
    CHECK(block != NULL);
    *frame = (struct mario_frame){.need = 0};
    if (r->exact)
        memcpy(block, r->in, r->n);
    enum mario_frame_answer answer =
        r->framing->next(r->framing, &r->state, block, (uint32) r->n, (uint32) r->seen, frame);
    if (r->exact) {
        memcpy(r->in, block, r->n);
        free(block);
    }
    collect(r);
    return answer;
}

static void step(struct ws_rig *r, uint32_t n)
{
    CHECK(n >= 1 && n <= r->n);
    r->n -= n;
    memmove(r->in, r->in + n, r->n);
    r->seen = 0;
}

void ws_rig_feed(struct ws_rig *r, const void *bytes, size_t n)
{
    struct mario_frame frame;
    CHECK(r->n + n <= WS_RIG_ROOM);
    memcpy(r->in + r->n, bytes, n);
    r->n += n;
    while (r->n > 0 && !r->over) {
        switch (ask(r, &frame)) {
        case MARIO_FRAME_OK:
            CHECK(frame.at + frame.len <= frame.need && frame.need <= r->framing->max);
            echo(r, &frame);
            step(r, frame.need);
            break;
        case MARIO_FRAME_SKIP:
            CHECK(frame.need <= r->framing->max);
            r->skips++;
            step(r, frame.need);
            break;
        case MARIO_FRAME_MORE:
            CHECK(frame.need == 0 || (frame.need > r->n && frame.need <= r->framing->max));
            CHECK(r->n < r->framing->max);
            r->seen = r->n;
            r->need = frame.need;
            return;
        case MARIO_FRAME_BAD:
            r->over = true;
            r->fault = frame.fault;
        }
    }
}
