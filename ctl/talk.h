/*
 * talk.h: one command to a running server over its unix socket, and the answer. Any thread.
 */
#ifndef MARITCP_TALK_H
#define MARITCP_TALK_H

#include <stdbool.h>
#include <stddef.h>

enum talk_result {
    TALK_GOOD,
    TALK_REFUSED,  /* the server says no */
    TALK_USAGE,    /* the words are wrong */
    TALK_NO_SERVER /* nobody answers; the answer's text says why */
};

struct talk_answer {
    char *text; /* ended by a NUL; with its newline. talk_free() */
    size_t len;
};

/* Where the server is that the configuration file says (NULL: the usual one, if it is there), into path. False with
 * what is wrong in why. */
bool talk_socket(const char *file, char *path, size_t size, char *why, size_t why_size);

/* Say words[0 .. count-1] there. What was answered, or what is wrong, is in *a, which is empty without memory. */
enum talk_result talk(const char *path, bool json, char *const *words, int count, struct talk_answer *a);
void talk_free(struct talk_answer *a);

#endif
