/*
 * words.h: what a name and a text may be; server and clients. Pure functions, any thread.
 */
#ifndef WORDS_H
#define WORDS_H

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

#include "chat_protocol.h"

/* A name as a number: 1 .. 2^64 - 1, or 0 if these bytes are not one. The library wants numbers for users and groups;
 * names are so short that each has a number of its own (39^12 < 2^64). So nobody has to keep a table that all agree on,
 * as with numbers that are given out, and nobody can make two names meet, as with a hash. */
uint64_t word_number(const char word[CHAT_NAME]);

/* The name of that number. */
void word_from_number(char word[CHAT_NAME], uint64_t number);

/* What a person has typed, as a name: capitals become small. False if it is none. */
bool word_make(char word[CHAT_NAME], const char *typed);

/* A name for printf: the same CHAT_NAME bytes with a NUL behind them. */
struct word_text {
    char text[CHAT_NAME + 1];
};
struct word_text word_text(const char word[CHAT_NAME]);

/* Whether n bytes are whole characters of UTF-8 and none of them can play tricks on a terminal: no control characters,
 * nothing that turns the direction of what is around it. */
bool text_is_clean(const char *text, size_t n);

#endif
