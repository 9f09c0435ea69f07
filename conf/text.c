/*
 * text.c: is it text, and how to show it in one line. No state; any thread may call all of it.
 */
#include "row.h"

#include <string.h>
#include <time.h>

#define DISTANCE_MAX 32u /* longer names are not compared */

/* Length of the UTF-8 character at s, 0 if it is none. Overlong forms and surrogates are none. */
static size_t text_char_len(const unsigned char *s, size_t left)
{
    size_t len = s[0] < 0x80 ? 1 : s[0] < 0xc2 ? 0 : s[0] < 0xe0 ? 2 : s[0] < 0xf0 ? 3 : s[0] < 0xf5 ? 4 : 0;
    if (len == 0 || len > left)
        return 0;
    for (size_t i = 1; i < len; i++)
        if ((s[i] & 0xc0) != 0x80)
            return 0;
    if ((s[0] == 0xe0 && s[1] < 0xa0) || (s[0] == 0xed && s[1] > 0x9f) || (s[0] == 0xf0 && s[1] < 0x90) ||
        (s[0] == 0xf4 && s[1] > 0x8f))
        return 0;
    return len;
}

static bool text_is_control(unsigned char c)
{
    return (c < 0x20 && c != '\t') || c == 0x7f;
}

const char *text_bad(const char *text, size_t len)
{
    size_t i = 0;
    while (i < len) {
        size_t step = text_char_len((const unsigned char *) text + i, len - i);
        if (step == 0 || text_is_control((unsigned char) text[i]))
            return text + i;
        i += step;
    }
    return NULL;
}

void text_make_printable(char *text)
{
    bool utf8 = true;
    size_t len = strlen(text);
    for (size_t i = 0; i < len && utf8;) {
        size_t step = text_char_len((const unsigned char *) text + i, len - i);
        utf8 = step != 0;
        i += step;
    }
    for (size_t i = 0; i < len; i++) {
        unsigned char c = (unsigned char) text[i];
        if (text_is_control(c) || c == '\t' || (c >= 0x80 && !utf8))
            text[i] = '?';
    }
}

void text_quote(char out[QUOTE_SIZE], const char *text)
{
    size_t room = QUOTE_SIZE - sizeof "'...'", len = strlen(text);
    bool cut = len > room;
    if (cut)
        len = room;
    while (cut && len > 0 && ((unsigned char) text[len] & 0xc0) == 0x80)
        len--;
    snprintf(out, QUOTE_SIZE, "'%.*s%s'", (int) len, text, cut ? "..." : "");
    text_make_printable(out);
}

void text_day(char out[DAY_SIZE], sint64 seconds)
{
    struct tm tm;
    time_t t = (time_t) seconds;
    if (gmtime_r(&t, &tm) == NULL || strftime(out, DAY_SIZE, "%Y-%m-%d", &tm) == 0)
        snprintf(out, DAY_SIZE, "%lld", (long long) seconds);
}

uint32 text_distance(const char *a, const char *b)
{
    uint32 row[DISTANCE_MAX + 1];
    size_t alen = strlen(a), blen = strlen(b);
    if (alen > DISTANCE_MAX || blen > DISTANCE_MAX)
        return UINT32_MAX;
    for (uint32 j = 0; j <= blen; j++)
        row[j] = j;
    for (uint32 i = 1; i <= alen; i++) {
        uint32 diagonal = row[0]; /* the entry above and to the left */
        row[0] = i;
        for (uint32 j = 1; j <= blen; j++) {
            uint32 change = diagonal + (a[i - 1] != b[j - 1]);
            uint32 insert = row[j - 1] + 1, drop = row[j] + 1;
            diagonal = row[j];
            row[j] = change < insert ? change : insert;
            if (drop < row[j])
                row[j] = drop;
        }
    }
    return row[blen];
}
