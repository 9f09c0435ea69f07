/*
 * utf8.h: is it UTF-8, looked at as it comes, piece by piece. Pure; any thread.
 */
#ifndef MARIO_FRAME_UTF8_H
#define MARIO_FRAME_UTF8_H

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

/* Where in a character the text ended so far. All zero at its beginning. */
struct utf8 {
    uint8_t left;      /* bytes that the character still needs */
    uint8_t low, high; /* left > 0: between which the next one has to be */
};

/* The text goes on with p[0 .. n-1]. False at the first byte that no text can go on with: u is of no use then. */
bool utf8_go_on(struct utf8 *u, const unsigned char *p, size_t n);

/* Whether the text may end here. */
static inline bool utf8_is_whole(const struct utf8 *u)
{
    return u->left == 0;
}

#endif
