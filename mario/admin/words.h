/*
 * words.h: what comes over the admin's doors, as words: a line of the unix socket, a path, a body. Pure; any thread.
 */
#ifndef MARIO_ADMIN_WORDS_H
#define MARIO_ADMIN_WORDS_H

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

#include "mario/frame/http_head.h"

#define WORDS_MAX  36u   /* a name and what stands behind it */
#define LINE_BYTES 4096u /* at most, of a line with its newline, and of a body */
#define WORDS_ROOM (HTTP_HEAD_MAX + LINE_BYTES + WORDS_MAX)

struct words {
    uint32_t count;
    uint32_t used; /* of text */
    const char *word[WORDS_MAX];
    char text[WORDS_ROOM];
};

/* Each adds to *w, which began as zero in count and used, and returns NULL, or what is wrong, for people. No word has
 * control characters in it, a NUL neither; what is no UTF-8 is refused. */

/* `conn list state=open`: words between blanks. A word, or a part of it, may stand in "double quotes", in which \" and
 * \\ are a quote and a backslash. n is at most LINE_BYTES, as for a body. */
const char *words_of_line(struct words *w, const char *line, size_t n);
/* `conn/list?limit=100&age%3E60`: each part of the path is a word, and so is each of the query, where + is a blank. n
 * is at most HTTP_HEAD_MAX. */
const char *words_of_path(struct words *w, const char *path, size_t n);
/* {"args": ["0.1.2", "--yes"]}, or {}. */
const char *words_of_body(struct words *w, const char *body, size_t n);

#endif
