/*
 * codec.c: HEAD+Data. Pure functions, any thread. Little-endian is read byte by byte, which a compiler turns into one load
 * where the machine allows it; so neither alignment nor the host's byte order matters.
 */
#include "codec.h"

static uint16_t read16(const unsigned char *p)
{
    return (uint16_t) (p[0] | p[1] << 8);
}

static uint32_t read32(const unsigned char *p)
{
    return (uint32_t) p[0] | (uint32_t) p[1] << 8 | (uint32_t) p[2] << 16 | (uint32_t) p[3] << 24;
}

static enum codec_answer bad(struct packet *p, enum codec_fault fault)
{
    p->fault = fault;
    return CODEC_BAD;
}

enum codec_answer codec_next(const struct codec *codec, const unsigned char *data, size_t n, struct packet *p)
{
    *p = (struct packet) {0};
    if (n < 4)
        return CODEC_MORE;
    if (read32(data) != codec->stx)
        return bad(p, CODEC_FAULT_STX);
    if (n < 6)
        return CODEC_MORE;
    uint32_t len = read16(data + 4);
    if (len < SIZE_OF_HEAD || len > codec->max_pkglen)
        return bad(p, CODEC_FAULT_LENGTH);
    if (n < SIZE_OF_HEAD)
        return CODEC_MORE;
    p->akg_id = read16(data + 6);
    if (codec->funcs[p->akg_id] == NULL)
        return bad(p, CODEC_FAULT_AKG);
    p->len = len;
    return n < len ? CODEC_MORE : CODEC_OK;
}
