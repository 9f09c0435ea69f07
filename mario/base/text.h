/*
 * text.h: small things that are done to text everywhere. Any thread, no state.
 */
#ifndef MARIO_BASE_TEXT_H
#define MARIO_BASE_TEXT_H

#include <stdint.h>

/* text without blanks and tabs around it: cut at its end, the rest begins at what is returned. */
char *text_trim(char *text);

#endif
