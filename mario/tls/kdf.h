/*
 * kdf.h: TLS 1.3's key derivation as libssl asks for it, by our schedule. libssl takes it for contexts that are made
 * with KDF_OURS as their property query, and for no others; that is how we learn the secrets of a handshake.
 */
#ifndef MARIO_TLS_KDF_H
#define MARIO_TLS_KDF_H

#include <stdbool.h>
#include <stddef.h>

#include "mario/tls/schedule.h"

#define KDF_PROVIDER "mario"
#define KDF_OURS     "?provider=" KDF_PROVIDER

/* Called for the two secrets of the traffic, as soon as they are derived. */
typedef void (*kdf_told)(void *arg, bool is_ours, const unsigned char *secret, size_t n);

/* Make it known to libcrypto. Once, when the library has been set up. */
bool kdf_setup(void);

/* Whether who asks with KDF_OURS gets it: what openssl.cnf demands of all algorithms may keep it from that. */
bool kdf_is_taken(void);

/* Until kdf_end() this thread derives with s, and the two secrets are told. Not one inside the other. */
void kdf_begin(struct tls_schedule *s, kdf_told told, void *arg);
void kdf_end(void);

#endif
