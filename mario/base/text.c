/*
 * text.c: small things that are done to text everywhere. Any thread, no state.
 */
#include "mario/base/text.h"

#include <stdio.h>
#include <string.h>

char *text_trim(char *text)
{
    text += strspn(text, " \t");
    for (size_t n = strlen(text); n > 0 && (text[n - 1] == ' ' || text[n - 1] == '\t'); n--)
        text[n - 1] = '\0';
    return text;
}

/* ---- Text of others ---- */

size_t text_utf8(const char *text, size_t n)
{
    const unsigned char *s = (const unsigned char *) text;
    size_t len = s[0] < 0x80                    ? 1
                 : s[0] >= 0xc2 && s[0] <= 0xdf ? 2
                 : s[0] >= 0xe0 && s[0] <= 0xef ? 3
                 : s[0] >= 0xf0 && s[0] <= 0xf4 ? 4
                                                : 0;
    if (len == 0 || len > n)
        return 0;
    for (size_t i = 1; i < len; i++) {
        if ((s[i] & 0xc0) != 0x80)
            return 0;
    }
    bool overlong = (s[0] == 0xe0 && s[1] < 0xa0) || (s[0] == 0xf0 && s[1] < 0x90);
    bool beyond = (s[0] == 0xed && s[1] > 0x9f) || (s[0] == 0xf4 && s[1] > 0x8f);
    return overlong || beyond ? 0 : len;
}

bool text_is_c1(const char *text, size_t n)
{
    const unsigned char *s = (const unsigned char *) text;
    return n >= 2 && s[0] == 0xc2 && s[1] >= 0x80 && s[1] <= 0x9f;
}

static bool is_control(char c)
{
    return (c >= 0 && c < ' ') || c == 0x7f;
}

static size_t put(char out[TEXT_CHAR], const char *fmt, unsigned value)
{
    return (size_t) snprintf(out, TEXT_CHAR, fmt, value);
}

size_t text_json_char(const char *s, size_t n, size_t *used, char out[TEXT_CHAR])
{
    size_t len = text_utf8(s, n);
    *used = len > 0 ? len : 1;
    if (s[0] == '"' || s[0] == '\\')
        return put(out, "\\%c", (unsigned char) s[0]);
    if (s[0] == '\n' || s[0] == '\t')
        return put(out, "\\%c", s[0] == '\n' ? 'n' : 't');
    if (is_control(s[0]))
        return put(out, "\\u%04x", (unsigned char) s[0]);
    if (text_is_c1(s, n))
        return put(out, "\\u%04x", (unsigned char) s[1]);
    if (len == 0)
        return put(out, "\\ufffd", 0);
    memcpy(out, s, len);
    return len;
}

size_t text_shown_char(const char *s, size_t n, size_t *used, char out[TEXT_CHAR])
{
    size_t len = text_utf8(s, n);
    *used = len > 0 ? len : 1;
    if (text_is_c1(s, n))
        return put(out, "\\x%02x", (unsigned char) s[1]);
    if (len == 0 || is_control(s[0]))
        return put(out, "\\x%02x", (unsigned char) s[0]);
    memcpy(out, s, len);
    return len;
}
