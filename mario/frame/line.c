/*
 * line.c: packets with an end: line, which ends with LF or CR LF, and delim, with bytes that the listener says. What
 * is not ended within the framing's largest packet is BAD, wherever the next end is: so it does not depend on how much
 * came at once. Pure; any thread.
 */
#include "mario/frame/plain.h"

#include <string.h>

/* A packet ends behind `end`; NULL: nowhere in the n bytes that may be looked at. */
static inline enum mario_frame_answer ended(const struct mario_framing *framing, const unsigned char *data,
                                            uint32_t n, const unsigned char *end, uint32_t end_len,
                                            struct mario_frame *frame)
{
    const struct framing_rules *rules = framing->arg;
    if (end == NULL)
        return n < framing->max ? MARIO_FRAME_MORE : frame_bad(frame, REASON_bad_length);
    frame->len = (uint32_t) (end - data);
    frame->need = frame->len + end_len;
    return id_set(&rules->id, data, frame);
}

/* What was seen has no end in it, unless the packet is whole and waits. */
enum mario_frame_answer line_next(const struct mario_framing *framing, void *state, unsigned char *data,
                                  uint32_t n, uint32_t seen, struct mario_frame *frame)
{
    const struct framing_rules *rules = framing->arg;
    uint32_t from = seen > 0 ? seen - 1 : 0;
    (void) state;
    if (n > framing->max)
        n = framing->max;
    const unsigned char *end = memchr(data + from, '\n', n - from);
    if (end == NULL || end == data || end[-1] != '\r') {
        if (end != NULL && rules->delim.strict)
            return frame_bad(frame, REASON_bad_frame);
        return ended(framing, data, n, end, 1, frame);
    }
    return ended(framing, data, n, end - 1, 2, frame);
}

/* The first end in data[from .. n-1]; NULL if there is none. Found by its last byte: that looks at each byte once
 * unless there are many of it. */
static const unsigned char *find_end(const struct delim_rules *d, const unsigned char *data, uint32_t from,
                                     uint32_t n)
{
    uint32_t before = d->len - 1u;
    if (n - from < d->len)
        return NULL;
    const unsigned char *at = data + from + before, *const limit = data + n;
    while (at < limit && (at = memchr(at, d->end[before], (size_t) (limit - at))) != NULL) {
        if (before == 0 || memcmp(at - before, d->end, before) == 0)
            return at - before;
        at++;
    }
    return NULL;
}

/* A delimiter may have begun in what was seen. */
enum mario_frame_answer delim_next(const struct mario_framing *framing, void *state, unsigned char *data,
                                   uint32_t n, uint32_t seen, struct mario_frame *frame)
{
    const struct delim_rules *d = &((const struct framing_rules *) framing->arg)->delim;
    uint32_t from = seen > d->len ? seen - d->len : 0;
    (void) state;
    if (n > framing->max)
        n = framing->max;
    return ended(framing, data, n, find_end(d, data, from, n), d->len, frame);
}

/* The most that can be: so the rest of it, appended, makes the first one that there is, and leaves nothing over. */
uint32_t delim_begun(const struct delim_rules *d, const unsigned char *data, uint32_t n)
{
    uint32_t len = n < d->len - 1u ? n : d->len - 1u;
    while (len > 0 && memcmp(data + n - len, d->end, len) != 0)
        len--;
    return len;
}

/* Whether it would be more than one packet: with an end within, or one that its last bytes begin. */
static bool has_end(const struct delim_rules *d, const struct frame_out *out)
{
    unsigned char tail[2 * ENDS_BACK];
    uint32_t last = out->len < d->len - 1u ? out->len : d->len - 1u;
    if (out->len == 0)
        return false;
    if (d->strict || d->len == 1)
        return memchr(out->data, d->end[d->len - 1], out->len) != NULL;
    memcpy(tail, (const unsigned char *) out->data + out->len - last, last);
    memcpy(tail + last, d->end, d->len);
    return memmem(out->data, out->len, d->end, d->len) != NULL ||
           memmem(tail, last + d->len - 1, d->end, d->len) != NULL;
}

bool delim_ends(const struct mario_framing *framing, const struct frame_out *out, struct frame_ends *ends)
{
    const struct delim_rules *d = &((const struct framing_rules *) framing->arg)->delim;
    *ends = (struct frame_ends){0};
    if (out->raw)
        return true;
    if (has_end(d, out))
        return false;
    ends->back_len = d->len;
    memcpy(ends->back, d->end, sizeof ends->back);
    return true;
}
