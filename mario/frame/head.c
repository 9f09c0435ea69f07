/*
 * head.c: heads that are not whole yet. Pure functions, any thread.
 */
#include "mario/frame/head.h"

enum codec_answer codec_short(const struct codec *codec, const unsigned char *data, size_t n,
                              struct packet *p)
{
    if (n >= 4 && codec_read32(data) != codec->stx) {
        p->fault = CODEC_FAULT_STX;
        return CODEC_BAD;
    }
    if (n >= 6 && (codec_read16(data + 4) < SIZE_OF_HEAD || codec_read16(data + 4) > codec->max_pkglen)) {
        p->fault = CODEC_FAULT_LENGTH;
        return CODEC_BAD;
    }
    return CODEC_MORE;
}
