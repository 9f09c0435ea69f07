/*
 * plain.h: the wire format once more, written to be read and not to be fast: what the fuzz targets hold the
 * framing and the worker against. Pure.
 */
#ifndef TEST_FUZZ_PLAIN_H
#define TEST_FUZZ_PLAIN_H

#include <stdio.h>
#include <stdlib.h>

#include "mario/frame/head.h"

#define MUST(x) ((x) ? (void) 0 : must_failed(#x, __FILE__, __LINE__))

static inline void must_failed(const char *what, const char *file, int line)
{
    fprintf(stderr, "%s:%d: '%s' does not hold\n", file, line, what);
    abort();
}

static inline enum mario_frame_answer plain_next(const struct mario_framing *framing, const uint8_t *data,
                                                 size_t n, struct mario_frame *p)
{
    const struct head_rules *rules = framing->arg;
    uint32_t stx = 0, len = 0, id = 0;
    *p = (struct mario_frame){0};
    for (size_t i = 0; i < 4 && i < n; i++)
        stx += (uint32_t) data[i] << (8 * i);
    for (size_t i = 0; i < 2 && 4 + i < n; i++)
        len += (uint32_t) data[4 + i] << (8 * i);
    for (size_t i = 0; i < 2 && 6 + i < n; i++)
        id += (uint32_t) data[6 + i] << (8 * i);
    if (n >= 4 && stx != rules->stx)
        p->fault = REASON_bad_stx;
    else if (n >= 6 && (len < 8 || len > framing->max))
        p->fault = REASON_bad_length;
    else if (n >= 8 && rules->funcs[id] == NULL)
        p->fault = REASON_unknown_akg;
    if (p->fault != REASON_NONE) {
        p->id = p->fault == REASON_unknown_akg ? (uint16_t) id : 0;
        return MARIO_FRAME_BAD;
    }
    p->id = (uint16_t) id;
    p->need = p->len = n >= 8 ? len : 0;
    return n >= 8 && n >= len ? MARIO_FRAME_OK : MARIO_FRAME_MORE;
}

#endif
