/*
 * slim.h: our own records of TLS 1.3, on secrets that OpenSSL's handshake has come to: 152 to 216 bytes for a
 * connection instead of 14,000. What session.c needs of it is in inside.h; this is for it and for tests.
 */
#ifndef MARIO_TLS_SLIM_H
#define MARIO_TLS_SLIM_H

#include "mario/tls/inside.h"
#include "mario/tls/record.h"

/* What a thread has for all its slim sessions. */
struct slim_thread {
    struct tls_schedule *schedule;
    struct tls_crypt *crypt;
    uint32_t update_at; /* records that we seal with one key: then comes our own KeyUpdate */
};

/* While the handshake runs: the secrets as they become known. */
struct slim_secrets {
    uint32_t sent; /* records since the server's secret is used */
    uint8_t in_len, out_len;
    unsigned char in[TLS_SECRET_MAX], out[TLS_SECRET_MAX];
};

#define SLIM_UPDATE_AT \
    (UINT32_C(1) << 23) /* AES-GCM may protect 2^24.5 full records with a key (RFC 8446, 5.5) */

/* t->slim, made if it is not there; NULL without memory. */
struct slim_thread *slim_of_thread(struct tls_thread *t);

/* A session of slim's from the secrets that both sides have, with room for so many bytes of texts, which are not set;
 * all else of it is zero. NULL without memory. */
struct tls_session *slim_make(struct slim_thread *thread, int suite, const struct slim_secrets *secrets,
                              size_t texts);

#endif
