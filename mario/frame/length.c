/*
 * length.c: packets that say how long they are. A length is judged as soon as it is there, whatever it promises. Pure;
 * any thread.
 */
#include "mario/frame/plain.h"

#include <string.h>

enum { VARINT_MAX = 5 };

/* The varint at data[off]: its bytes, and what it says; 0 if it is not whole yet, -1 if it is none. */
static int varint_get(const unsigned char *data, uint32_t off, uint32_t n, uint32_t *value)
{
    uint64_t sum = 0;
    for (uint32_t i = 0; i < VARINT_MAX; i++) {
        if (off + i >= n)
            return 0;
        unsigned char byte = data[off + i];
        sum |= (uint64_t) (byte & 0x7f) << (7 * i);
        if (byte & 0x80)
            continue;
        *value = (uint32_t) sum;
        return sum <= UINT32_MAX ? (int) i + 1 : -1;
    }
    return -1;
}

static uint32_t varint_put(unsigned char *at, uint32_t value)
{
    uint32_t n = 0;
    for (; value >= 0x80; value >>= 7)
        at[n++] = (unsigned char) (value | 0x80);
    at[n++] = (unsigned char) value;
    return n;
}

/* The field at its place: its bytes, as of varint_get(). */
static inline int field_at(const struct length_rules *r, const unsigned char *data, uint32_t n,
                           uint32_t *value)
{
    if (r->size == 0)
        return varint_get(data, r->off, n, value);
    if (n < r->off + r->size)
        return 0;
    *value = field_get(data + r->off, r->size, r->little);
    return (int) r->size;
}

/* How long a packet is whose field says value. */
static inline int64_t whole_of(const struct length_rules *r, uint32_t value, uint32_t behind)
{
    return (int64_t) value + r->adjust + (r->counts_all ? 0 : behind);
}

/* The field has not come whole: whether what there is of it promises too much already. What is missing is zero at
 * least, and of a varint a byte. */
static bool is_too_much(const struct mario_framing *framing, const struct length_rules *r,
                        const unsigned char *data, uint32_t n)
{
    unsigned char part[VARINT_MAX] = {0};
    uint32_t here = n > r->off ? n - r->off : 0, behind = r->off + (r->size > 0 ? r->size : here + 1),
             value = 0;
    memcpy(part, data + (n - here), here);
    for (uint32_t i = 0; r->size == 0 && i < here; i++)
        value |= (uint32_t) (part[i] & 0x7f) << (7 * i);
    if (r->size > 0)
        value = field_get(part, r->size, r->little);
    return n >= framing->max || whole_of(r, value, behind) > framing->max;
}

enum mario_frame_answer length_next(const struct mario_framing *framing, void *state, unsigned char *data,
                                    uint32_t n, uint32_t seen, struct mario_frame *frame)
{
    const struct framing_rules *rules = framing->arg;
    const struct length_rules *r = &rules->length;
    uint32_t value;
    int size = field_at(r, data, n, &value);
    (void) state;
    (void) seen;
    if (size <= 0)
        return size < 0 || is_too_much(framing, r, data, n) ? frame_bad(frame, REASON_bad_length)
                                                            : MARIO_FRAME_MORE;
    uint32_t behind = r->off + (uint32_t) size;
    int64_t whole = whole_of(r, value, behind);
    uint32_t strip = r->size == 0 && r->strip > 0 ? behind : r->strip;
    if (whole < behind || whole < strip || whole > framing->max)
        return frame_bad(frame, REASON_bad_length);
    frame->need = (uint32_t) whole;
    frame->at = strip;
    frame->len = frame->need - strip;
    return n < frame->need ? MARIO_FRAME_MORE : id_set(&rules->id, data, frame);
}

/* The field is to say that `rest` bytes stand behind it, in its own terms. False if it cannot. */
static bool field_put_length(const struct length_rules *r, unsigned char *front, int64_t rest)
{
    int64_t value = rest - r->adjust + (r->counts_all ? r->off + r->size : 0);
    if (value < 0 || value >> (8 * r->size) != 0)
        return false;
    field_put(front + r->off, r->size, r->little, (uint32_t) value);
    return true;
}

/* The same with a varint: its bytes, 0 if it cannot. It may have to count itself: then it is made longer until it has
 * room for what it says. */
static uint32_t varint_put_length(const struct length_rules *r, unsigned char *front, uint32_t rest)
{
    for (uint32_t size = 1; size <= VARINT_MAX; size++) {
        int64_t value = (int64_t) rest - r->adjust + (r->counts_all ? r->off + size : 0);
        if (value < 0 || value > UINT32_MAX)
            return 0;
        uint32_t used = varint_put(front + r->off, (uint32_t) value);
        if (used == size || !r->counts_all)
            return used;
    }
    return 0;
}

bool length_ends(const struct mario_framing *framing, const struct frame_out *out, struct frame_ends *ends)
{
    const struct framing_rules *rules = framing->arg;
    const struct length_rules *r = &rules->length;
    uint32_t front = r->front;
    *ends = (struct frame_ends){0};
    if (out->raw)
        return true;
    if (r->size > 0) {
        if (!field_put_length(r, ends->front, (int64_t) out->len + front - r->off - r->size))
            return false;
    } else {
        uint32_t size = varint_put_length(r, ends->front, out->len);
        if (size == 0)
            return false;
        front += size;
    }
    const struct id_rule *id = &rules->id;
    if (id->kind == ID_FIELD && id->off + id->size <= r->front) {
        if (id->size == 1 && out->id > 0xff)
            return false;
        field_put(ends->front + id->off, id->size, id->little, out->id);
    }
    ends->front_len = (uint8_t) front;
    return true;
}
