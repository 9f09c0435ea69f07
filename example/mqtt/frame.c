/*
 * frame.c: the framing of MQTT: a type byte, a varint, a body. Pure: the library calls it on whichever thread has the
 * bytes, or has something to send.
 */
#include "mqtt.h"

#define VARINT_MAX 4u /* bytes of a length */

/* Types that a client may send here, with the flags that the protocol prescribes. Anything else is no MQTT, or more
 * of it than is spoken: told at the first byte. */
static bool is_of_client(ubyte type)
{
    return type == MQTT_CONNECT || type == MQTT_PUBLISH || type == MQTT_PUBLISH_RETAIN ||
           type == MQTT_SUBSCRIBE || type == MQTT_UNSUBSCRIBE || type == MQTT_PINGREQ ||
           type == MQTT_DISCONNECT;
}

/* The head is at most five bytes, so it is simply read again: `seen` saves nothing. The library compares `need` with
 * the framing's max. */
static enum mario_frame_answer next(const struct mario_framing *framing, void *state, ubyte *data, uint32 n,
                                    uint32 seen, struct mario_frame *frame)
{
    (void) framing, (void) state, (void) seen;
    if (!is_of_client(data[0]))
        return MARIO_FRAME_BAD;
    uint32 len = 0, at = 1;
    do {
        if (at > VARINT_MAX)
            return MARIO_FRAME_BAD;
        if (at == n)
            return MARIO_FRAME_MORE;
        len |= (data[at] & 0x7fu) << 7 * (at - 1);
    } while (data[at++] & 0x80u);
    frame->id = data[0];
    frame->at = at;
    frame->len = len;
    frame->need = at + len;
    return frame->need > n ? MARIO_FRAME_MORE : MARIO_FRAME_OK;
}

/* The same the other way, for replies and for what is pushed. */
static sint32 wrap(CONN *c, uint16 id, const void *data, uint32 len)
{
    ubyte head[1 + VARINT_MAX] = {(ubyte) id};
    uint32 n = 1, rest = len;
    do {
        head[n] = (ubyte) (rest & 0x7fu);
        rest >>= 7;
        if (rest > 0)
            head[n] |= 0x80u;
        n++;
    } while (rest > 0);
    if (bufferevent_write(c->bufev, head, n) != 0)
        return -1;
    return len == 0 ? 0 : bufferevent_write(c->bufev, data, len);
}

const struct mario_framing mqtt_framing = {.name = "mqtt", .next = next, .wrap = wrap, .max = MQTT_MAX};
