/*
 * utf8.c: is it UTF-8, looked at as it comes. Pure; any thread.
 */
#include "mario/frame/utf8.h"

#include <string.h>

/* A character begins with c. False if none does: a byte of the middle, or one of what was a longer form. */
static bool begin(struct utf8 *u, unsigned char c)
{
    u->low = 0x80;
    u->high = 0xbf;
    if (c >= 0xc2 && c <= 0xdf) {
        u->left = 1;
    } else if (c >= 0xe0 && c <= 0xef) {
        u->left = 2;
        u->low = c == 0xe0 ? 0xa0 : u->low;   /* below: two bytes would do */
        u->high = c == 0xed ? 0x9f : u->high; /* above: halves of UTF-16's pairs */
    } else if (c >= 0xf0 && c <= 0xf4) {
        u->left = 3;
        u->low = c == 0xf0 ? 0x90 : u->low;
        u->high = c == 0xf4 ? 0x8f : u->high; /* above: beyond U+10FFFF */
    } else {
        return false;
    }
    return true;
}

/* How many of p[0 .. n-1] are ASCII before one may not be. */
static size_t ascii(const unsigned char *p, size_t n)
{
    size_t i = 0;
    uint64_t eight;
    for (; i + sizeof eight <= n; i += sizeof eight) {
        memcpy(&eight, p + i, sizeof eight);
        if ((eight & UINT64_C(0x8080808080808080)) != 0)
            break;
    }
    return i;
}

bool utf8_go_on(struct utf8 *u, const unsigned char *p, size_t n)
{
    for (size_t i = 0; i < n; i++) {
        if (u->left > 0) {
            if (p[i] < u->low || p[i] > u->high)
                return false;
            u->left--;
            u->low = 0x80;
            u->high = 0xbf;
            continue;
        }
        i += ascii(p + i, n - i);
        if (i < n && p[i] >= 0x80 && !begin(u, p[i]))
            return false;
    }
    return true;
}
