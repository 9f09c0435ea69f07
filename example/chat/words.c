/*
 * words.c: names as numbers to the base 39, texts as UTF-8. Pure, any thread.
 */
#include "words.h"

#include <string.h>

enum { WORD_BASE = 39 }; /* 26 letters, 10 digits, - and _; 0 stands for "no more" */

static uint64_t digit(char c)
{
    if (c >= 'a' && c <= 'z')
        return (uint64_t) (c - 'a') + 1;
    if (c >= '0' && c <= '9')
        return (uint64_t) (c - '0') + 27;
    return c == '-' ? 37 : c == '_' ? 38 : 0;
}

uint64_t word_number(const char word[CHAT_NAME])
{
    uint64_t number = 0;
    size_t len = strnlen(word, CHAT_NAME);
    for (size_t i = 0; i < CHAT_NAME; i++) {
        uint64_t d = digit(word[i]);
        if (i < len ? d == 0 : word[i] != '\0')
            return 0;
        number = number * WORD_BASE + d;
    }
    return number;
}

void word_from_number(char word[CHAT_NAME], uint64_t number)
{
    static const char digits[WORD_BASE] = "\0abcdefghijklmnopqrstuvwxyz0123456789-_";
    for (size_t i = CHAT_NAME; i-- > 0; number /= WORD_BASE)
        word[i] = digits[number % WORD_BASE];
}

bool word_make(char word[CHAT_NAME], const char *typed)
{
    size_t len = strlen(typed);
    memset(word, 0, CHAT_NAME);
    if (len > CHAT_NAME)
        return false;
    for (size_t i = 0; i < len; i++)
        word[i] = typed[i] >= 'A' && typed[i] <= 'Z' ? (char) (typed[i] - 'A' + 'a') : typed[i];
    return word_number(word) != 0;
}

struct word_text word_text(const char word[CHAT_NAME])
{
    struct word_text t = {""};
    memcpy(t.text, word, CHAT_NAME);
    return t;
}

/* The character that s[0 .. n-1] begins with, and its bytes in *len; 0 if it is not whole or not UTF-8. */
static uint32_t character(const unsigned char *s, size_t n, size_t *len)
{
    static const uint32_t least[] = {0, 0, 0x80, 0x800, 0x10000}; /* that needs so many bytes */
    *len = s[0] < 0x80 ? 1 : s[0] >= 0xf0 ? 4 : s[0] >= 0xe0 ? 3 : 2;
    if (*len == 1)
        return s[0];
    if (s[0] < 0xc2 || s[0] > 0xf4 || *len > n)
        return 0;
    uint32_t c = s[0] & (0x7fu >> *len);
    for (size_t i = 1; i < *len; i++) {
        if ((s[i] & 0xc0) != 0x80)
            return 0;
        c = c << 6 | (s[i] & 0x3fu);
    }
    return c < least[*len] || c > 0x10ffff || (c >= 0xd800 && c <= 0xdfff) ? 0 : c;
}

bool text_is_clean(const char *text, size_t n)
{
    const unsigned char *s = (const unsigned char *) text;
    size_t len;
    for (size_t i = 0; i < n; i += len) {
        uint32_t c = character(s + i, n - i, &len);
        bool turns = (c >= 0x202a && c <= 0x202e) || (c >= 0x2066 && c <= 0x2069);
        bool controls = c < 0x20 || (c >= 0x7f && c < 0xa0) || c == 0x2028 || c == 0x2029;
        if (turns || controls)
            return false;
    }
    return true;
}
