/*
 * ws.c: WebSocket's frames: taken apart, unmasked and put together to messages in the bytes where they came; control
 * frames answered. Pure but for what it writes to the connection; any thread.
 *
 * In front of the stream stand `front` bytes that are done with, then `have` bytes of a message's payload, plain and
 * in one piece, then `gap` bytes that are done with: heads of its frames, control frames between them. What comes next
 * is appended to the payload. The gap goes by a SKIP, with the payload moved over it, when it has grown to be worth
 * that: so a message of many small frames costs no more than in proportion to its bytes.
 */
#include "mario/frame/ws.h"

#include <string.h>

#include <event2/bufferevent.h>

#include "mario/frame/plain.h"

enum {
    FIN = 0x80,
    MASKED = 0x80,
    RESERVED = 0x70,
    CONTROL = 0x08,
    CONTROL_MOST = 125, /* bytes of a control frame's payload */
    LONG_16 = 126,
    LONG_64 = 127,
    MASK = 4,
    GAP_LEAST = 256, /* less is not worth a SKIP */
    DONE_MOST = 4096 /* bytes that are done with until their answers are sent, and they go */
};

/* The stream's front while it is looked at. */
struct look {
    const struct framing_rules *rules;
    struct ws_state *s;
    unsigned char *data;
    uint32_t n;
    struct mario_frame *frame;
};

/* The head of a frame. */
struct front {
    uint8_t opcode;
    bool fin;
    uint32_t size; /* its bytes, 0 as long as not all are there */
    uint64_t len;  /* of the payload, 0 as long as it is not known */
    unsigned char mask[MASK];
};

/* What is next of the front: an answer, or to look further. */
enum step { STEP_ON = -1 };

/* Whether messages consist of packets of HEAD+Data. */
static bool has_packets(const struct framing_rules *rules)
{
    return rules->id.kind == ID_OF_FRAMING;
}

static struct mario_framing head_of(const struct framing_rules *rules)
{
    return (struct mario_framing){.name = "head", .max = rules->ws.max, .arg = rules->head};
}

void ws_say(const void *bytes, size_t n)
{
    bufferevent_write(mario_frame_conn()->bufev, bytes, n);
}

/* ---- What goes out ---- */

uint8_t ws_front(unsigned char out[WS_FRONT_MAX], uint8_t opcode, uint64_t len)
{
    uint8_t at = 2, more = len <= CONTROL_MOST ? 0 : len <= UINT16_MAX ? 2 : 8;
    out[0] = (unsigned char) (FIN | opcode);
    out[1] = more == 0 ? (unsigned char) len : more == 2 ? LONG_16 : LONG_64;
    while (more > 0)
        out[at++] = (unsigned char) (len >> (8 * --more));
    return at;
}

static void say_control(uint8_t opcode, const unsigned char *payload, uint32_t len)
{
    unsigned char frame[WS_FRONT_MAX + CONTROL_MOST];
    uint8_t front = ws_front(frame, opcode, len);
    if (len > 0)
        memcpy(frame + front, payload, len);
    ws_say(frame, front + len);
}

static void put16(unsigned char *p, uint32_t x)
{
    p[0] = (unsigned char) (x >> 8);
    p[1] = (unsigned char) x;
}

/* The stream cannot go on: its client is told why, and nothing after that. */
static enum mario_frame_answer fail(const struct look *l, enum ws_code code, enum reason why)
{
    unsigned char payload[2];
    put16(payload, code);
    say_control(WS_CLOSE, payload, sizeof payload);
    l->s->phase = WS_CLOSED;
    l->frame->fault = (uint16_t) why;
    return MARIO_FRAME_BAD;
}

static enum mario_frame_answer wrong(const struct look *l)
{
    return fail(l, WS_CODE_PROTOCOL, REASON_bad_frame);
}

/* What the client is told of the reason why the server ends a connection. */
static enum ws_code code_of(enum reason r)
{
    switch (r) {
    case REASON_peer_closed: /* by a FIN alone */
    case REASON_function_closed:
    case REASON_kicked:
    case REASON_replaced:
        return WS_CODE_NORMAL;
    case REASON_drain:
    case REASON_stop:
    case REASON_idle_timeout:
    case REASON_packet_timeout:
    case REASON_first_packet:
        return WS_CODE_AWAY;
    case REASON_limit:
    case REASON_unknown_akg:
        return WS_CODE_POLICY;
    default:
        return WS_CODE_ERROR;
    }
}

size_t ws_goodbye(void *state, enum reason reason, unsigned char out[WS_GOODBYE])
{
    struct ws_state *s = state;
    if (s->phase != WS_OPEN)
        return 0;
    s->phase = WS_CLOSED;
    out[0] = FIN | WS_CLOSE;
    out[1] = 2;
    put16(out + 2, code_of(reason));
    return WS_GOODBYE;
}

/* Whether a reply goes out as text: one to a text does, if it is one. */
static bool is_text(const struct framing_rules *rules, const struct frame_out *out)
{
    struct utf8 text = {.left = 0};
    return out->opcode == WS_TEXT && !has_packets(rules) && !out->raw &&
           utf8_go_on(&text, out->data, out->len) && utf8_is_whole(&text);
}

bool ws_ends(const struct mario_framing *framing, const struct frame_out *out, struct frame_ends *ends)
{
    const struct framing_rules *rules = framing->arg;
    struct mario_framing inner = head_of(rules);
    struct frame_ends head = {.front_len = 0};
    if (has_packets(rules) && !out->raw && !head_ends(&inner, out, &head))
        return false;
    ends->front_len = ws_front(ends->front, is_text(rules, out) ? WS_TEXT : WS_BINARY,
                               (uint64_t) head.front_len + out->len);
    memcpy(ends->front + ends->front_len, head.front, head.front_len);
    ends->front_len = (uint8_t) (ends->front_len + head.front_len);
    ends->back_len = 0;
    return true;
}

/* ---- A frame's head ---- */

/* Whether a frame may begin with this byte here: 0, or what its client is told. */
static unsigned judge_first(const struct look *l, uint8_t first)
{
    uint8_t opcode = first & 0x0f;
    if ((first & RESERVED) != 0 || (opcode & ~CONTROL) > 2)
        return WS_CODE_PROTOCOL;
    if ((opcode & CONTROL) != 0)
        return (first & FIN) != 0 ? 0 : WS_CODE_PROTOCOL;
    if ((opcode == WS_MORE) != (l->s->kind != 0))
        return WS_CODE_PROTOCOL;
    return opcode == WS_TEXT && has_packets(l->rules) ? WS_CODE_KIND : 0;
}

/* Look at the head that p[0 .. n-1] begins with, n >= 1, of which the first byte is good. False as soon as its bytes
 * are those of none. */
static bool read_front(const unsigned char *p, uint32_t n, struct front *f)
{
    *f = (struct front){.opcode = p[0] & 0x0f, .fin = (p[0] & FIN) != 0};
    if (n < 2)
        return true;
    uint32_t len = p[1] & 0x7fu, more = len == LONG_16 ? 2 : len == LONG_64 ? 8 : 0;
    if ((p[1] & MASKED) == 0 || ((f->opcode & CONTROL) != 0 && more > 0))
        return false;
    if (n < 2 + more)
        return true;
    f->len = more == 0 ? len : 0;
    for (uint32_t i = 0; i < more; i++)
        f->len = f->len << 8 | p[2 + i];
    if (more > 0 && (f->len <= (more == 2 ? CONTROL_MOST : UINT16_MAX) || f->len > INT64_MAX))
        return false;
    if (n >= 2 + more + MASK) {
        f->size = 2 + more + MASK;
        memcpy(f->mask, p + 2 + more, MASK);
    }
    return true;
}

/* Take the mask off p[0 .. n-1]; *mask is then that of the byte behind. */
static void unmask(unsigned char *p, uint32_t n, unsigned char mask[MASK])
{
    uint64_t eight, word;
    uint32_t i = 0;
    memcpy(&word, mask, MASK);
    memcpy((unsigned char *) &word + MASK, mask, MASK);
    for (; i + sizeof eight <= n; i += (uint32_t) sizeof eight) {
        memcpy(&eight, p + i, sizeof eight);
        eight ^= word;
        memcpy(p + i, &eight, sizeof eight);
    }
    for (; i < n; i++)
        p[i] ^= mask[i % MASK];
    unsigned char turned[MASK];
    for (i = 0; i < MASK; i++)
        turned[i] = mask[(i + n) % MASK];
    memcpy(mask, turned, MASK);
}

/* ---- Messages ---- */

/* A whole message: data[at .. at + len - 1], behind which `gap` bytes are done with. Its first packet. */
static enum mario_frame_answer hand_packet(const struct look *l, uint32_t at, uint32_t len, uint32_t gap)
{
    const struct mario_framing head = head_of(l->rules);
    struct mario_frame packet = {.need = 0};
    enum mario_frame_answer answer = head_look(&head, l->data + at, len, &packet);
    if (answer == MARIO_FRAME_BAD)
        return fail(l, WS_CODE_POLICY, (enum reason) packet.fault);
    if (answer == MARIO_FRAME_MORE) /* it is cut off, or there is none */
        return fail(l, WS_CODE_POLICY, REASON_bad_length);
    l->s->packets = len - packet.len;
    l->s->gap = l->s->packets > 0 ? gap : 0;
    *l->frame = (struct mario_frame){
        .need = at + packet.len + gap - l->s->gap, .at = at, .len = packet.len, .id = packet.id};
    return MARIO_FRAME_OK;
}

/* The same, once it is whole. */
static enum mario_frame_answer hand_message(const struct look *l, uint8_t opcode, uint32_t at, uint32_t len,
                                            uint32_t gap)
{
    struct ws_state *s = l->s;
    if (opcode == WS_TEXT && !utf8_is_whole(&s->text))
        return fail(l, WS_CODE_DATA, REASON_bad_frame);
    s->opcode = opcode;
    s->kind = 0;
    s->last = false;
    s->front = s->have = s->gap = 0;
    if (has_packets(l->rules))
        return hand_packet(l, at, len, gap);
    *l->frame = (struct mario_frame){.need = len, .len = len};
    if (id_set(&l->rules->id, l->data + at, l->frame) != MARIO_FRAME_OK)
        return fail(l, WS_CODE_POLICY, (enum reason) l->frame->fault);
    l->frame->at += at;
    l->frame->need += at + gap;
    return MARIO_FRAME_OK;
}

/* Where what was not looked at begins. */
static uint32_t end_of(const struct ws_state *s)
{
    return s->front + s->have + s->gap;
}

/* What is done with goes, the payload moves over it. */
static enum mario_frame_answer skip(const struct look *l)
{
    struct ws_state *s = l->s;
    if (s->gap > 0)
        memmove(l->data + s->front + s->gap, l->data + s->front, s->have);
    l->frame->need = s->front + s->gap;
    s->front = s->gap = 0;
    return MARIO_FRAME_SKIP;
}

/* Whether that is due, before more is looked at: a SKIP may take no more than the largest packet has. */
static bool is_skip_due(const struct ws_state *s)
{
    return s->front >= DONE_MOST || s->gap >= DONE_MOST + s->have / 2;
}

/* So many bytes, which were next, are done with. */
static void pass(struct ws_state *s, uint32_t n)
{
    if (s->have == 0)
        s->front += n;
    else
        s->gap += n;
}

/* All that is there has been looked at, but for the beginning of a head perhaps. */
static enum mario_frame_answer wait_for_more(const struct look *l)
{
    const struct ws_state *s = l->s;
    if ((s->front > 0 && (s->kind == 0 || s->front > GAP_LEAST)) ||
        (s->gap > 0 && (s->gap >= s->have / 2 + GAP_LEAST || s->have + s->gap > WS_MESSAGE_MAX)))
        return skip(l);
    /* A text is to be looked at as it comes. */
    bool known = s->left > 0 && s->last && s->kind == WS_BINARY && s->gap == 0;
    l->frame->need = known ? s->front + s->have + s->left : 0;
    return MARIO_FRAME_MORE;
}

/* What has come of the payload of the frame that was begun joins the rest of its message. False if it is no UTF-8. */
static bool take_payload(const struct look *l)
{
    struct ws_state *s = l->s;
    unsigned char *to = l->data + s->front + s->have, *from = to + s->gap;
    uint32_t come = l->n - end_of(s), n = come < s->left ? come : s->left;
    if (s->gap > 0)
        memmove(to, from, n);
    unmask(to, n, s->mask);
    s->have += n;
    s->left -= n;
    return s->kind != WS_TEXT || utf8_go_on(&s->text, to, n);
}

/* ---- Frames ---- */

static bool is_code(uint32_t code)
{
    return (code >= 1000 && code <= 1014 && code != 1004 && code != 1005 && code != 1006) ||
           (code >= 3000 && code <= 4999);
}

/* The client says that it is the end: it is told the same. */
static enum mario_frame_answer take_close(const struct look *l, const unsigned char *payload, uint32_t len)
{
    struct utf8 why = {0};
    if (len == 1 || (len >= 2 && !is_code((uint32_t) payload[0] << 8 | payload[1])))
        return wrong(l);
    if (len > 2 && !(utf8_go_on(&why, payload + 2, len - 2) && utf8_is_whole(&why)))
        return fail(l, WS_CODE_DATA, REASON_bad_frame);
    say_control(WS_CLOSE, payload, len < 2 ? 0 : 2);
    l->s->phase = WS_CLOSED;
    l->frame->fault = REASON_peer_closed;
    return MARIO_FRAME_BAD;
}

/* A control frame is next. */
static int take_control(const struct look *l, struct front *f)
{
    struct ws_state *s = l->s;
    uint32_t at = end_of(s), all = f->size + (uint32_t) f->len;
    if (f->size == 0 || l->n - at < all)
        return (int) wait_for_more(l);
    unsigned char *payload = l->data + at + f->size;
    unmask(payload, (uint32_t) f->len, f->mask);
    if (f->opcode == WS_CLOSE)
        return (int) take_close(l, payload, (uint32_t) f->len);
    if (f->opcode == WS_PING)
        say_control(WS_PONG, payload, (uint32_t) f->len);
    pass(s, all);
    return is_skip_due(s) ? (int) skip(l) : STEP_ON;
}

/* A message in one frame, all of which is there. */
static enum mario_frame_answer take_whole(const struct look *l, struct front *f)
{
    struct ws_state *s = l->s;
    uint32_t at = s->front + f->size, len = (uint32_t) f->len;
    unmask(l->data + at, len, f->mask);
    s->text = (struct utf8){.left = 0};
    if (f->opcode == WS_TEXT && !utf8_go_on(&s->text, l->data + at, len))
        return fail(l, WS_CODE_DATA, REASON_bad_frame);
    return hand_message(l, f->opcode, at, len, 0);
}

/* A frame of a message is next. */
static int take_data(const struct look *l, struct front *f)
{
    struct ws_state *s = l->s;
    if (f->len > l->rules->ws.max - s->have)
        return (int) fail(l, WS_CODE_BIG, REASON_bad_length);
    if (f->size == 0)
        return (int) wait_for_more(l);
    uint64_t end = s->front + f->size + f->len;
    if (f->opcode != WS_MORE && f->fin && end <= l->n && end <= WS_CARRY)
        return (int) take_whole(l, f);
    if (f->opcode != WS_MORE) {
        s->kind = f->opcode;
        s->text = (struct utf8){.left = 0};
    }
    s->last = f->fin;
    s->left = (uint32_t) f->len;
    memcpy(s->mask, f->mask, MASK);
    pass(s, f->size);
    bool whole = s->last && s->left == 0; /* a SKIP might take all that is there, and nothing more come */
    return is_skip_due(s) && !whole ? (int) skip(l) : STEP_ON;
}

/* The next thing that is there: more of a frame, the end of a message, a frame. */
static int step(const struct look *l)
{
    struct ws_state *s = l->s;
    struct front f;
    if (s->left > 0 && !take_payload(l))
        return (int) fail(l, WS_CODE_DATA, REASON_bad_frame);
    if (s->left > 0)
        return (int) wait_for_more(l);
    if (s->kind != 0 && s->last)
        return (int) (s->have > 0 && end_of(s) > WS_CARRY
                          ? skip(l)
                          : hand_message(l, s->kind, s->front, s->have, s->gap));
    uint32_t at = end_of(s);
    if (at == l->n)
        return (int) wait_for_more(l);
    unsigned code = judge_first(l, l->data[at]);
    if (code == 0 && !read_front(l->data + at, l->n - at, &f))
        code = WS_CODE_PROTOCOL;
    if (code != 0)
        return (int) fail(l, (enum ws_code) code, REASON_bad_frame);
    return (f.opcode & CONTROL) != 0 ? take_control(l, &f) : take_data(l, &f);
}

enum mario_frame_answer ws_next(const struct mario_framing *framing, void *state, ubyte *data, uint32 n,
                                uint32 seen, struct mario_frame *frame)
{
    struct ws_state *s = state;
    const struct look l = {.rules = framing->arg, .s = s, .data = data, .n = n, .frame = frame};
    if (s->phase == WS_HEAD)
        return ws_upgrade(framing, s, data, n, seen, frame);
    if (s->packets > 0)
        return hand_packet(&l, 0, s->packets, s->gap);
    int answer;
    do {
        answer = step(&l);
    } while (answer == STEP_ON);
    return (enum mario_frame_answer) answer;
}
