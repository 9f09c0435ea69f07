/*
 * choose.h: which section a connection gets. Any thread.
 */
#ifndef MARIO_TLS_CHOOSE_H
#define MARIO_TLS_CHOOSE_H

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

struct tls_contexts;
struct tls_section;

bool contexts_are_slim(const struct tls_contexts *contexts);
/* That of a listener for who asks for none. */
const struct tls_section *contexts_first(const struct tls_contexts *contexts, uint32_t set);
/* That of a listener for who asks for host[0 .. n-1]: one that says this name goes before one that does by *. ; NULL:
 * nobody has it. */
const struct tls_section *contexts_choose(const struct tls_contexts *contexts, uint32_t set, const char *host,
                                          size_t n);

#endif
