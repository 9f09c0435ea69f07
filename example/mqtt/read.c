/*
 * read.c: what stands in the body of a packet. Pure; any thread.
 */
#include "mqtt.h"

ubyte mqtt_byte(struct mqtt_body *b)
{
    if (b->left < 1) {
        b->bad = true;
        return 0;
    }
    b->left--;
    return *b->at++;
}

uint16 mqtt_number(struct mqtt_body *b)
{
    ubyte high = mqtt_byte(b);
    return (uint16) (high << 8 | mqtt_byte(b));
}

struct mqtt_text mqtt_bytes(struct mqtt_body *b)
{
    struct mqtt_text t = {.len = mqtt_number(b)};
    if (t.len > b->left) {
        b->bad = true;
        t.len = 0;
    }
    t.at = b->at;
    b->at += t.len;
    b->left -= t.len;
    return t;
}

/* The bytes of the character at p, of which n are there; 0 if it is none: too long for what it says, a surrogate,
 * beyond the last one, or zero, which MQTT does not allow. */
static uint32 character(const ubyte *p, uint32 n)
{
    static const uint32 least[] = {0, 1, 0x80, 0x800, 0x10000};
    uint32 len = p[0] < 0x80 ? 1 : p[0] < 0xc2 ? 0 : p[0] < 0xe0 ? 2 : p[0] < 0xf0 ? 3 : p[0] < 0xf5 ? 4 : 0;
    if (len == 0 || len > n)
        return 0;
    uint32 code = len == 1 ? p[0] : p[0] & (0x7fu >> len);
    for (uint32 i = 1; i < len; i++) {
        if ((p[i] & 0xc0) != 0x80)
            return 0;
        code = code << 6 | (p[i] & 0x3fu);
    }
    return code < least[len] || code > 0x10ffff || (code >= 0xd800 && code <= 0xdfff) ? 0 : len;
}

struct mqtt_text mqtt_text(struct mqtt_body *b)
{
    struct mqtt_text t = mqtt_bytes(b);
    for (uint32 i = 0, len; i < t.len; i += len) {
        len = character(t.at + i, t.len - i);
        if (len == 0) {
            b->bad = true;
            break;
        }
    }
    return t;
}

bool mqtt_is_topic(struct mqtt_text t)
{
    return t.len > 0 && memchr(t.at, '+', t.len) == NULL && memchr(t.at, '#', t.len) == NULL;
}

enum { /* flags of a CONNECT */
       FLAG_RESERVED = 0x01,
       FLAG_CLEAN = 0x02,
       FLAG_WILL = 0x04,
       FLAG_WILL_QOS = 0x18,
       FLAG_WILL_RETAIN = 0x20,
       FLAG_PASSWORD = 0x40,
       FLAG_NAME = 0x80
};

static bool flags_are_good(ubyte flags)
{
    if ((flags & FLAG_RESERVED) != 0 || (flags & FLAG_WILL_QOS) == FLAG_WILL_QOS)
        return false;
    if ((flags & FLAG_WILL) == 0 && (flags & (FLAG_WILL_QOS | FLAG_WILL_RETAIN)) != 0)
        return false;
    return (flags & FLAG_NAME) != 0 || (flags & FLAG_PASSWORD) == 0;
}

bool mqtt_read_connect(const void *body, uint32 len, struct mqtt_connect *out)
{
    struct mqtt_body b = {.at = body, .left = len};
    struct mqtt_text protocol = mqtt_text(&b);
    *out = (struct mqtt_connect){.level = mqtt_byte(&b)};
    if (b.bad || protocol.len != 4 || memcmp(protocol.at, "MQTT", 4) != 0)
        return false;
    if (out->level != 4)
        return true;
    ubyte flags = mqtt_byte(&b);
    out->clean = (flags & FLAG_CLEAN) != 0;
    out->has_will = (flags & FLAG_WILL) != 0;
    out->keep_alive = mqtt_number(&b);
    out->client = mqtt_text(&b);
    if (out->has_will) {
        out->will_topic = mqtt_text(&b);
        out->will = mqtt_bytes(&b);
    }
    if ((flags & FLAG_NAME) != 0)
        mqtt_text(&b); /* nobody is asked whether he may */
    if ((flags & FLAG_PASSWORD) != 0)
        mqtt_bytes(&b);
    return flags_are_good(flags) && !b.bad && b.left == 0 &&
           (!out->has_will || mqtt_is_topic(out->will_topic));
}
