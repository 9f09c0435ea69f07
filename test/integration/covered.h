/*
 * covered.h: any suite over TLS: with ITEST_TLS=openssl or slim in the environment all listeners of the servers under
 * test have tls=, where that can be, and all clients of the tests speak it: `ITEST_TLS=slim make test T=push`. Main
 * thread of a test.
 */
#ifndef ITEST_COVERED_H
#define ITEST_COVERED_H

#include "harness.h"

/* Whether it is asked for, for this program. */
bool covered_is_on(const struct launch *l);

/* The listen list with tls= in each entry; what else is to be on the command line, which ends with NULL: static. */
void covered_listen(char *out, size_t size, const char *list);
const char *const *covered_args(void);

#endif
