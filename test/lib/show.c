/*
 * show.c: text from the wire for a terminal. Any thread.
 */
#include "show.h"

#include <stdbool.h>
#include <stdint.h>

/* The bytes of the character of UTF-8 at text[0 .. n-1], n > 0; 0 when it is none or a control character. */
static size_t printable(const unsigned char *text, size_t n)
{
    static const uint32_t least[] = {0, 0, 0x80, 0x800, 0x10000};
    unsigned char first = text[0];
    size_t len = first < 0x80   ? 1
                 : first < 0xc0 ? 0
                 : first < 0xe0 ? 2
                 : first < 0xf0 ? 3
                 : first < 0xf8 ? 4
                                : 0;
    if (len == 0 || len > n)
        return 0;
    uint32_t c = len == 1 ? first : first & (0x7fu >> len);
    for (size_t i = 1; i < len; i++) {
        if ((text[i] & 0xc0) != 0x80)
            return 0;
        c = c << 6 | (text[i] & 0x3fu);
    }
    bool control =
        c < ' ' || (c >= 0x7f && c < 0xa0) || (c >= 0x202a && c <= 0x202e) || (c >= 0x2066 && c <= 0x2069);
    bool wrong = c < least[len] || c > 0x10ffff || (c >= 0xd800 && c < 0xe000);
    return control || wrong ? 0 : len;
}

void show_text(FILE *out, const unsigned char *text, size_t n)
{
    for (size_t i = 0; i < n;) {
        size_t len = printable(text + i, n - i);
        if (len == 0)
            fputc('.', out);
        else
            fwrite(text + i, 1, len, out);
        i += len == 0 ? 1 : len;
    }
}
