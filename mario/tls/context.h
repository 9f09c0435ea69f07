/*
 * context.h: what TLS connections begin with: certificates, keys and rules, by name and by listener. Made whole from
 * the registered sections, then never changed; a reload makes new ones.
 *
 * Making: one thread at a time, which may wait (files are read). All else: any thread, as far as it holds one.
 */
#ifndef MARIO_TLS_CONTEXT_H
#define MARIO_TLS_CONTEXT_H

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

#include "mario/mario_tls.h"

struct tls_policy {
    bool slim; /* records of TLS 1.3 are ours after the handshake */
};

struct tls_contexts;

/* Make them of sections[0 .. n-1], with sets: set i is lists[i], "one+two", the listener's; NULL if it has none. Loads
 * libssl if it is not there yet. One reference, the caller's. NULL with a line in why[0 .. size-1]: a file cannot be
 * read or used, a name that is not among the sections, no library, no memory ... */
__attribute__((warn_unused_result)) struct tls_contexts *
tls_contexts_make(const struct mario_tls *sections, uint32_t n, const char *const *lists, uint32_t list_count,
                  const struct tls_policy *policy, char *why, size_t size);
/* The same of what regist_tls() has got. */
__attribute__((warn_unused_result)) struct tls_contexts *tls_registry_make(const char *const *lists,
                                                                           uint32_t list_count,
                                                                           const struct tls_policy *policy,
                                                                           char *why, size_t size);

/* One reference more, and one less: *contexts is NULL then. Sessions that shake hands have one of their own. */
const struct tls_contexts *tls_contexts_hold(const struct tls_contexts *contexts);
void tls_contexts_free(const struct tls_contexts **contexts);

/* The time is now_ms: keys of tickets whose hour is over are followed by the next ones. Handshakes look for themselves;
 * it is to be called now and then all the same, so that keys go where nobody comes. No lock. Any thread. */
void tls_tickets_look(uint64_t now_ms);

/* Listener `set` has tls=. */
bool tls_set_is_there(const struct tls_contexts *contexts, uint32_t set);
/* A key of the set is RSA, whose handshakes take a core for the better part of a millisecond. */
bool tls_set_is_slow(const struct tls_contexts *contexts, uint32_t set);

/* The sections, i < tls_contexts_count(), in the order of registering; those that no list names too. */
uint32_t tls_contexts_count(const struct tls_contexts *contexts);
const struct mario_tls_certificate *tls_contexts_at(const struct tls_contexts *contexts, uint32_t i);
/* Handshakes that have come to an end well with this name, of all contexts of this process. Any thread. */
uint64_t tls_handshakes_of(const char *name);

#endif
