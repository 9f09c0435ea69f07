/*
 * token.h: what who changes something over TCP has to know: the first line of a file. Read before start; then constant.
 */
#ifndef MARIO_ADMIN_TOKEN_H
#define MARIO_ADMIN_TOKEN_H

#include <stdbool.h>

#include "mario/frame/http_head.h"

enum { TOKEN_MIN = 16, TOKEN_MAX = 256 };

/* NULL and "-": there is none. False with a line in why: it cannot be read, others can read it, it is too short or no
 * printable ASCII. keep: it is the token from now on; else it is only looked at. */
__attribute__((warn_unused_result)) bool token_read(const char *file, char *why, size_t why_size, bool keep);
bool token_is_set(void);
void token_forget(void);

/* Whether the value of an Authorization field has it, as "Bearer TOKEN". How long that takes does not depend on what is
 * wrong with it. NULL: there is no such field. */
bool token_is(const struct http_text *authorization);

#endif
