/*
 * operator.h: somebody who asks a server by its admin socket, as `maritcp ctl` does. Main thread of a test, unless said
 * otherwise; what does not go as it says fails the test with a message.
 */
#ifndef ITEST_OPERATOR_H
#define ITEST_OPERATOR_H

#include "harness.h"

/* "admin.listen=unix:..." for the server that this test starts next: a socket of its own. Static text. */
const char *operator_option(void);

/* Ask it, `json` or as text. Its answer, with a NUL, goes to a static buffer that the next question of this thread
 * overwrites. Any thread. *code (may be NULL) gets the exit code; -1 and "" if there is no answer. */
const char *operator_ask(const char *command, int *code);
/* The same as JSON; must be granted. */
const char *operator_json(const char *fmt, ...) __attribute__((format(printf, 1, 2)));
/* Must be refused with this exit code and a line that has this text. */
void operator_refused(int code, const char *text, const char *command);

/* What stands at "key" in the JSON text, the first one behind `from` (a part of that text): a number; -1 if it is null
 * or not there. */
double operator_number(const char *from, const char *key);
/* The same as text, without quotes: static, one for each of the last four calls; "" if it is not there. */
const char *operator_text(const char *from, const char *key);
/* How often `piece` stands in text. */
unsigned operator_count(const char *text, const char *piece);

/* Wait until the answer to this command, as JSON, has `piece`. */
void operator_await(const char *piece, unsigned ms, const char *command);

#endif
