/*
 * frame.c: frames to and from bytes. What comes may be anybody's: nothing in it is believed. Pure; any thread.
 */
#include "mario/cluster/frame.h"

#include <string.h>

#include "mario/mario_push.h"

enum { MAGIC = 'M', HEAD_SIZE = 32 };

static uint64_t get(const unsigned char *at, unsigned n)
{
    uint64_t v = 0;
    for (unsigned i = n; i-- > 0;)
        v = v << 8 | at[i];
    return v;
}

static void put(unsigned char *at, uint64_t v, unsigned n)
{
    for (unsigned i = 0; i < n; i++)
        at[i] = (unsigned char) (v >> 8 * i);
}

void frame_put64(unsigned char at[8], uint64_t v)
{
    put(at, v, 8);
}

/* Kinds whose reason is one bit. */
static bool is_message(enum frame_kind kind)
{
    return kind == FRAME_USER || kind == FRAME_GROUP || kind == FRAME_ALL;
}

size_t frame_head(const struct frame *f, unsigned char head[FRAME_HEAD_MAX])
{
    size_t n = HEAD_SIZE;
    unsigned flags = f->flags & ~((unsigned) FRAME_KEY | FRAME_STAMP);
    uint32_t stamp = f->kind == FRAME_KICK_USER ? f->packets : f->stamp;
    if (f->msg_key != 0) {
        flags |= FRAME_KEY;
        put(head + n, f->msg_key, 8);
        n += 8;
    }
    if (stamp != 0) {
        flags |= FRAME_STAMP;
        put(head + n, stamp, 4);
        n += 4;
    }
    head[0] = MAGIC;
    head[1] = FRAME_VERSION;
    head[2] = (unsigned char) f->kind;
    head[3] = (unsigned char) flags;
    put(head + 4, is_message(f->kind) ? f->packets : f->reason, 2);
    put(head + 6, 0, 2);
    put(head + 8, f->epoch, 8);
    put(head + 16, f->seq, 8);
    put(head + 24, f->key, 8);
    return n;
}

/* Decimal digits up to `end` or a blank; what is behind them, NULL if there are none or too many. */
static const unsigned char *parse_number(const unsigned char *at, const unsigned char *end, uint64_t *v)
{
    const unsigned char *begin = at;
    for (*v = 0; at < end && *at >= '0' && *at <= '9'; at++) {
        unsigned digit = *at - (unsigned) '0';
        if (*v > (UINT64_MAX - digit) / 10)
            return NULL;
        *v = *v * 10 + digit;
    }
    return at == begin ? NULL : at;
}

static bool parse_owner(struct frame *f)
{
    const unsigned char *at = f->body, *end = at + f->len;
    if ((at = parse_number(at, end, &f->owner_epoch)) == NULL || at == end || *at++ != ' ')
        return false;
    return parse_number(at, end, &f->owner_id) == end && f->owner_id != 0;
}

static bool is_name(const unsigned char *at, size_t len)
{
    if (len == 0 || len > FRAME_NAME_MAX)
        return false;
    for (size_t i = 0; i < len; i++) {
        unsigned char c = at[i];
        if (!((c >= 'a' && c <= 'z') || (c >= 'A' && c <= 'Z') || (c >= '0' && c <= '9') || c == '-' ||
              c == '_' || c == '.'))
            return false;
    }
    return true;
}

static bool parse_body(struct frame *f)
{
    switch (f->kind) {
    case FRAME_USER:
    case FRAME_GROUP:
        return f->key != 0 && f->len > 0 && f->len <= MARIO_MSG_MAX;
    case FRAME_ALL:
        return f->len > 0 && f->len <= MARIO_MSG_MAX;
    case FRAME_KICK_USER:
        return f->key != 0 && f->len <= MARIO_MSG_MAX;
    case FRAME_REPLACED:
        return parse_owner(f);
    case FRAME_ASK:
        return f->key != 0 && is_name(f->body, f->len);
    case FRAME_HEARTBEAT:
    case FRAME_LEAVE:
        return is_name(f->body, f->len);
    case FRAME_ALONE:
        return f->key != 0 && f->len == 0;
    case FRAME_ANSWER:
        f->count = f->len == 8 ? get(f->body, 8) : 0;
        return f->len == 8;
    case FRAME_KINDS:
        break;
    }
    return false;
}

/* Where it says whether its message is made of packets depends on its kind. */
static void parse_packets(struct frame *f)
{
    if (is_message(f->kind)) {
        f->packets = (f->reason & 1) != 0;
        f->reason = 0;
    } else if (f->kind == FRAME_KICK_USER) {
        f->packets = (f->stamp & 1) != 0;
        f->stamp = 0;
    }
}

uint8_t frame_version(const void *bytes, size_t len)
{
    const unsigned char *at = bytes;
    return len < HEAD_SIZE || at[0] != MAGIC ? 0 : at[1];
}

bool frame_parse(const void *bytes, size_t len, struct frame *f)
{
    const unsigned char *at = bytes;
    if (frame_version(bytes, len) != FRAME_VERSION || at[2] == 0 || at[2] >= FRAME_KINDS ||
        get(at + 6, 2) != 0)
        return false;
    *f = (struct frame){.kind = (enum frame_kind) at[2],
                        .flags = at[3] & FRAME_FLAGS,
                        .reason = (uint16_t) get(at + 4, 2),
                        .epoch = get(at + 8, 8),
                        .seq = get(at + 16, 8),
                        .key = get(at + 24, 8)};
    size_t more = (f->flags & FRAME_KEY ? 8u : 0u) + (f->flags & FRAME_STAMP ? 4u : 0u);
    if (f->epoch == 0 || len < HEAD_SIZE + more)
        return false;
    at += HEAD_SIZE;
    if (f->flags & FRAME_KEY) {
        f->msg_key = get(at, 8);
        at += 8;
    }
    if (f->flags & FRAME_STAMP) {
        f->stamp = (uint32_t) get(at, 4);
        at += 4;
    }
    parse_packets(f);
    f->body = at;
    f->len = len - HEAD_SIZE - more;
    return parse_body(f);
}
