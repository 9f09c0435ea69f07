/*
 * fuzz_ws.c: a libFuzzer target for WebSocket (mario/frame/ws.h), driven as a worker drives it. Built and run by ./run.
 *
 * Input: byte 0: the kind of messages, and whether what follows is a stream as it is, or a recipe for frames most of
 * which are good; or whether it begins with the upgrade. Byte 1 says how the stream is cut. What must hold: what is
 * answered, messages echoed, and the end are what the second reading (ws_oracle.h) says, however it is cut; nothing is
 * read but what has come: each call sees a block of exactly its bytes; nothing waits that a carry has no room for.
 */
#include "plain.h"

#include <stdlib.h>
#include <string.h>

#include "test/unit/ws_oracle.h"
#include "test/unit/ws_rig.h"

int LLVMFuzzerTestOneInput(const uint8_t *input, size_t size);

enum { STREAM = 1 << 20, LONG = 70000 };

static unsigned char stream[STREAM], expected[WS_RIG_ROOM];

/* ---- Recipes ---- */

/* A byte of a recipe says what a frame is: its opcode, whether it is the last of its message, how its length is found;
 * the payload is what follows, or packets, or many bytes. */
static size_t cook(const uint8_t *recipe, size_t size, bool packets)
{
    static unsigned char payload[LONG];
    size_t n = 0;
    bool open = false;
    for (size_t i = 0; i + 3 < size && n < STREAM - 2 * LONG; i += 3) {
        uint8_t how = recipe[i];
        size_t len = recipe[i + 1];
        unsigned char mask[4] = {recipe[i + 2], (unsigned char) (how * 7), 3, recipe[i + 1]};
        bool control = (how & 0x30) == 0;
        uint8_t opcode = control ? (uint8_t) (WS_PING + (how & 1)) : open ? 0 : packets || (how & 2) ? 2 : 1;
        bool last = control || (how & 4) != 0;
        if (control)
            len %= 126;
        else if ((how & 0x30) == 0x20)
            len *= 270;
        memset(payload, (how & 8) != 0 ? recipe[i + 2] : 'x', len);
        if (packets && len >= 8)
            memcpy(payload, "\x78\x56\x34\x12\x08\0\1\0", 8);
        if (packets && len >= 16)
            memcpy(payload + 8,
                   (const unsigned char[]){0x78, 0x56, 0x34, 0x12, (unsigned char) (len - 8),
                                           (unsigned char) ((len - 8) >> 8), how & 15, 0},
                   8);
        if ((how & 0xc0) == 0xc0) /* a fault */
            opcode ^= recipe[i + 2] & 0x7f;
        n += websocket_frame(stream + n, (uint8_t) (opcode | (last ? 0x80 : 0)), payload, len, mask);
        if (!control)
            open = !last;
    }
    return n;
}

/* ---- The run ---- */

static size_t part(uint8_t cut, size_t at, size_t left)
{
    size_t n = cut < 64 ? 1u + cut : cut < 128 ? 1 + (at * 31 + cut) % 97 : cut < 200 ? 5000u + cut : left;
    return n < left ? n : left;
}

static void judge(const struct ws_rig *r, size_t n, int code)
{
    MUST(r->out_len == n && (n == 0 || memcmp(r->out, expected, n) == 0));
    MUST(r->over == (code >= 0));
    if (code >= 0)
        MUST(r->fault == REASON_peer_closed || r->fault == REASON_bad_frame ||
             r->fault == REASON_bad_length || r->fault == REASON_bad_stx || r->fault == REASON_unknown_akg);
}

/* What may be in a request for an upgrade. */
static const struct framing_rules asked_rules = {.id = {.kind = ID_ALWAYS, .id = WS_RIG_ID},
                                                 .ws = {.max = WS_MESSAGE_MAX,
                                                        .path = "/",
                                                        .origins = "http://a+https://b.example",
                                                        .subprotocols = "mqtt+chat+v1.x"}};
static const struct mario_framing asked = {.name = "ws",
                                           .next = ws_next,
                                           .state_size = sizeof(struct ws_state),
                                           .max = WS_CARRY,
                                           .arg = &asked_rules};

/* A subprotocol that was chosen is one of ours, and of those that were asked for. */
static void judge_choice(const struct ws_rig *r, const uint8_t *bytes, size_t n)
{
    static const char name[] = "Sec-WebSocket-Protocol: ";
    static const char *const ours[] = {"mqtt", "chat", "v1.x"};
    const unsigned char *at = memmem(r->out, r->out_len, name, sizeof name - 1);
    bool is_ours = at == NULL;
    for (size_t i = 0; !is_ours && i < sizeof ours / sizeof ours[0]; i++)
        is_ours = strncmp((const char *) at + sizeof name - 1, ours[i], strlen(ours[i])) == 0 &&
                  memmem(bytes, n, ours[i], strlen(ours[i])) != NULL;
    MUST(is_ours);
}

/* The upgrade is answered, whole or not, and nothing is read beyond. */
static void ask(const uint8_t *bytes, size_t n, uint8_t cut)
{
    struct ws_rig r;
    ws_rig_begin(&r, &asked, false);
    r.exact = true;
    for (size_t at = 0, take; at < n && !r.over; at += take) {
        take = part(cut, at, n - at);
        ws_rig_feed(&r, bytes + at, take);
    }
    MUST(!r.over || r.out_len > 0);
    judge_choice(&r, bytes, n);
}

/* Whoever ends it: a Close frame is said once, with a code that a server may say, and not by who has been told one. */
static void say_goodbye(struct ws_rig *r, uint8_t why)
{
    unsigned char frame[WS_GOODBYE];
    bool open = ws_is_open(&r->state);
    size_t n = ws_goodbye(&r->state, (enum reason)(1 + why % (REASON_COUNT - 1)), frame);
    unsigned said = n == WS_GOODBYE ? (unsigned) frame[2] << 8 | frame[3] : 0;
    MUST(n == (open ? (size_t) WS_GOODBYE : 0));
    MUST(!open || (frame[0] == (0x80 | WS_CLOSE) && frame[1] == 2 &&
                   (said == WS_CODE_NORMAL || said == WS_CODE_AWAY || said == WS_CODE_POLICY ||
                    said == WS_CODE_ERROR)));
    MUST(ws_goodbye(&r->state, REASON_stop, frame) == 0);
}

int LLVMFuzzerTestOneInput(const uint8_t *input, size_t size)
{
    int code;
    struct ws_rig r;
    if (size < 3)
        return 0;
    bool packets = (input[0] & 1) != 0;
    if ((input[0] & 6) == 6) {
        ask(input + 2, size - 2, input[1]);
        return 0;
    }
    size_t n = size - 2;
    if ((input[0] & 2) != 0)
        n = cook(input + 2, size - 2, packets);
    else
        memcpy(stream, input + 2, n);
    size_t m = ws_oracle(stream, n, packets, WS_MESSAGE_MAX, expected, &code);
    ws_rig_begin(&r, packets ? &ws_rig_packets : &ws_rig_payload, true);
    r.exact = n < 8192;
    for (size_t at = 0, take; at < n && !r.over; at += take) {
        take = part(n > 100000 && input[1] < 128 ? 150 : input[1], at, n - at);
        ws_rig_feed(&r, stream + at, take);
        MUST(r.over || r.n < WS_CARRY);
    }
    judge(&r, m, code);
    MUST(!r.over || !ws_is_open(&r.state));
    say_goodbye(&r, input[1]);
    return 0;
}
