/*
 * ws_oracle.c: a second reading of WebSocket's rules. One thread.
 */
#include "ws_oracle.h"

#include <string.h>

#include "test/lib/websocket.h"

enum { MESSAGE = 70000 };

static struct {
    unsigned char message[MESSAGE];
    size_t len;
    int kind; /* 0: there is none */
    bool packets;
    uint32_t max;
    unsigned char *out;
    size_t out_len;
    int code;
} o;

static void say(unsigned first, const void *payload, size_t n)
{
    o.out_len += websocket_frame(o.out + o.out_len, (uint8_t) first, payload, n, NULL);
}

static bool end(int code)
{
    const unsigned char payload[] = {(unsigned char) (code >> 8), (unsigned char) code};
    say(WEBSOCKET_CLOSE, payload, code == 0 ? 0 : 2);
    o.code = code;
    return false;
}

/* Whether text may begin like this; all of it, if it is whole. By what each number has for bytes. */
static bool is_text(const unsigned char *p, size_t n, bool whole)
{
    for (size_t i = 0, size; i < n; i += size) {
        uint32_t low, high;
        if (p[i] < 0x80) {
            size = 1;
            continue;
        }
        size = p[i] >= 0xf0 ? 4 : p[i] >= 0xe0 ? 3 : 2;
        if (p[i] < 0xc0 || p[i] > 0xf7)
            return false;
        /* The numbers that what is there may still become. */
        low = high = p[i] & (0x7fu >> size);
        for (size_t k = 1; k < size; k++) {
            bool there = i + k < n;
            if (there && (p[i + k] & 0xc0) != 0x80)
                return false;
            low = low << 6 | (there ? p[i + k] & 0x3fu : 0);
            high = high << 6 | (there ? p[i + k] & 0x3fu : 0x3f);
        }
        static const uint32_t least[] = {0, 0, 0x80, 0x800, 0x10000};
        if (high < least[size] || low > 0x10ffff || (low >= 0xd800 && high <= 0xdfff) ||
            (whole && i + size > n))
            return false;
    }
    return true;
}

/* The packets of a message, each echoed. */
static bool take_packets(void)
{
    size_t at = 0;
    do {
        const unsigned char *p = o.message + at;
        size_t left = o.len - at, len = left >= 6 ? (size_t) (p[4] | p[5] << 8) : 0;
        if (left < 8 || memcmp(p, "\x78\x56\x34\x12", 4) != 0 || len < 8 || len > o.max || p[6] > 9 ||
            p[7] != 0 || len > left)
            return end(1008);
        say(WEBSOCKET_BINARY, p, len);
        at += len;
    } while (at < o.len);
    return true;
}

static bool take_control(int opcode, const unsigned char *payload, size_t n)
{
    if (opcode == 9)
        say(WEBSOCKET_PONG, payload, n);
    if (opcode != 8)
        return true;
    if (n == 0)
        return end(0);
    int code = n >= 2 ? payload[0] << 8 | payload[1] : 0;
    bool known =
        (code >= 1000 && code <= 1003) || (code >= 1007 && code <= 1014) || (code >= 3000 && code < 5000);
    return end(!known ? 1002 : is_text(payload + 2, n - 2, true) ? code : 1007);
}

/* The part of a frame's payload that is there. */
static bool take_payload(const unsigned char *p, size_t n, const unsigned char *mask, bool whole, bool last)
{
    for (size_t i = 0; i < n; i++)
        o.message[o.len++] = p[i] ^ mask[i & 3];
    bool all = whole && last;
    if (o.kind == 1 && !is_text(o.message, o.len, all))
        return end(1007);
    if (!all)
        return true;
    if (o.packets ? !take_packets() : false)
        return false;
    if (!o.packets)
        say(0x80u | (unsigned) o.kind, o.message, o.len);
    o.kind = 0;
    o.len = 0;
    return true;
}

/* The frame at p; *taken: its bytes. False: that was the end, or no more is there. */
static bool take_frame(const unsigned char *p, size_t n, size_t *taken)
{
    int opcode = p[0] & 15;
    bool last = p[0] >= 128, control = opcode >= 8;
    if ((p[0] & 0x70) != 0 || (opcode > 2 && opcode < 8) || opcode > 10 || (control && !last) ||
        (opcode == 0 && o.kind == 0) || (!control && opcode != 0 && o.kind != 0))
        return end(1002);
    if (opcode == 1 && o.packets)
        return end(1003);
    if (n < 2)
        return false;
    if (p[1] < 128 || (control && p[1] > 128 + 125))
        return end(1002);
    uint64_t len = p[1] - 128u;
    size_t front = 2, more = len == 126 ? 2 : len == 127 ? 8 : 0;
    if (n < front + more)
        return false;
    if (more > 0)
        len = 0;
    for (size_t i = 0; i < more; i++)
        len = len * 256 + p[front++];
    if ((more == 2 && len < 126) || (more == 8 && (len < 65536 || len >= UINT64_C(1) << 63)))
        return end(1002);
    if (!control && len + o.len > o.max)
        return end(1009);
    if (n < front + 4)
        return false;
    const unsigned char *mask = p + front;
    front += 4;
    bool whole = n - front >= len;
    if (!whole && control)
        return false;
    *taken = front + (whole ? (size_t) len : n - front);
    if (control) {
        unsigned char plain[125];
        for (size_t i = 0; i < len; i++)
            plain[i] = p[front + i] ^ mask[i & 3];
        return take_control(opcode, plain, (size_t) len);
    }
    if (opcode != 0)
        o.kind = opcode;
    return take_payload(p + front, *taken - front, mask, whole, last) && whole;
}

size_t ws_oracle(const unsigned char *stream, size_t n, bool packets, uint32_t max, unsigned char *out,
                 int *code)
{
    size_t at = 0, taken = 0;
    memset(&o, 0, sizeof o);
    o.packets = packets;
    o.max = max;
    o.out = out;
    o.code = -1;
    while (at < n && take_frame(stream + at, n - at, &taken))
        at += taken;
    *code = o.code;
    return o.out_len;
}
