/*
 * comers.h: who comes to a server from an address of his own, and is let in or not. Main thread of a test; what does
 * not go as it says fails the test with a message.
 */
#ifndef ITEST_COMERS_H
#define ITEST_COMERS_H

#include "harness.h"

enum { COMER_MS = 5000 };

/* Whether one who has connected is served; if not, he was reset, and fd is closed. */
bool comer_is_served(int fd);

/* Connect from an address of 127/8. The connection, or -1 if he is refused; he must be let in; he must not. */
int comer_try(const struct server *s, const char *address);
void comer_in(const struct server *s, const char *address, int *fd);
void comer_out(const struct server *s, const char *address);
/* He may come in again once somebody else is known to have left. How often he was refused before. */
unsigned comer_in_at_last(const struct server *s, const char *address, int *fd);

/* An address of its own for each number. */
const char *comer_address(char text[32], unsigned n);

/* "KEY=PATH" for a file below /tmp with this text. Returns PATH. */
const char *comer_file(char *option, size_t size, const char *key, const char *text);

#endif
