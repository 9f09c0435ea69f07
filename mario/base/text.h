/*
 * text.h: small things that are done to text everywhere. Any thread, no state.
 */
#ifndef MARIO_BASE_TEXT_H
#define MARIO_BASE_TEXT_H

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

/* text without blanks and tabs around it: cut at its end, the rest begins at what is returned. */
char *text_trim(char *text);

/* One character of text of others for a place where it must not do harm: room for it there. */
enum { TEXT_CHAR = 8 };

/* The bytes of the UTF-8 character that s[0 .. n-1] begins with, n > 0; 0 if it is none. */
size_t text_utf8(const char *s, size_t n);
/* U+0080 .. U+009F, in UTF-8: among them a newline, and for some terminals what ESC [ is too. */
bool text_is_c1(const char *s, size_t n);

/* The character that s[0 .. n-1] begins with, n > 0, as it stands between the quotes of JSON, into out: how many bytes.
 * *used of s are taken. What is no UTF-8 is replaced. */
size_t text_json_char(const char *s, size_t n, size_t *used, char out[TEXT_CHAR]);
/* The same for a line on a terminal: what controls it, and what is no UTF-8, as \xNN. */
size_t text_shown_char(const char *s, size_t n, size_t *used, char out[TEXT_CHAR]);

#endif
