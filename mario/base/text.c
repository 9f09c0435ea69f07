/*
 * text.c: small things that are done to text everywhere. Any thread, no state.
 */
#include "mario/base/text.h"

#include <string.h>

char *text_trim(char *text)
{
    text += strspn(text, " \t");
    for (size_t n = strlen(text); n > 0 && (text[n - 1] == ' ' || text[n - 1] == '\t'); n--)
        text[n - 1] = '\0';
    return text;
}
