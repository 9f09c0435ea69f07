/*
 * plain.h: the wire format once more, written to be read and not to be fast: what the fuzz targets hold the
 * codec and the worker against. Pure.
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

static inline enum codec_answer plain_next(const struct codec *c, const uint8_t *data, size_t n,
                                           struct packet *p)
{
    uint32_t stx = 0, len = 0, id = 0;
    *p = (struct packet){0};
    for (size_t i = 0; i < 4 && i < n; i++)
        stx += (uint32_t) data[i] << (8 * i);
    for (size_t i = 0; i < 2 && 4 + i < n; i++)
        len += (uint32_t) data[4 + i] << (8 * i);
    for (size_t i = 0; i < 2 && 6 + i < n; i++)
        id += (uint32_t) data[6 + i] << (8 * i);
    if (n >= 4 && stx != c->stx)
        p->fault = CODEC_FAULT_STX;
    else if (n >= 6 && (len < 8 || len > c->max_pkglen))
        p->fault = CODEC_FAULT_LENGTH;
    else if (n >= 8 && c->funcs[id] == NULL)
        p->fault = CODEC_FAULT_AKG;
    if (p->fault != CODEC_FAULT_NONE) {
        p->akg_id = p->fault == CODEC_FAULT_AKG ? (uint16_t) id : 0;
        return CODEC_BAD;
    }
    p->akg_id = (uint16_t) id;
    p->len = n >= 8 ? len : 0;
    return n >= 8 && n >= len ? CODEC_OK : CODEC_MORE;
}

#endif
