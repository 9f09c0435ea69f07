/*
 * show.h: text from the wire for a terminal. Any thread.
 */
#ifndef TEST_SHOW_H
#define TEST_SHOW_H

#include <stddef.h>
#include <stdio.h>

/* Write text that somebody else made: printable characters of UTF-8 as they are, a dot for each byte of what is none or
 * would move the cursor, set colours and the like. */
void show_text(FILE *out, const unsigned char *text, size_t n);

#endif
