/*
 * slim.h: our own records of TLS 1.3, on secrets that OpenSSL's handshake has come to: some 150 to 210 bytes for a
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
    uint64_t update_at; /* records that we seal with one key: then comes our own KeyUpdate */
};

/* While the handshake runs: the secrets as they become known. */
struct slim_secrets {
    uint64_t sent; /* records since the server's secret is used */
    uint8_t in_len, out_len;
    unsigned char in[TLS_SECRET_MAX], out[TLS_SECRET_MAX];
};

/* A session after it: one block of its true size. */
struct slim {
    uint64_t in_seq, out_seq;
    uint8_t suite;    /* of tls_suites */
    bool owes_update; /* the peer wants a KeyUpdate of ours */
    uint8_t part_len; /* of a handshake message that came in pieces: part[0 .. part_len-1] */
    unsigned char part[4];
    unsigned char keys[]; /* in's half and out's, as record.h has them */
};

#define SLIM_UPDATE_AT \
    ((uint64_t) 1 << 23) /* AES-GCM may protect 2^24.5 full records with a key (RFC 8446, 5.5) */

/* t->slim, made if it is not there; NULL without memory. */
struct slim_thread *slim_of_thread(struct tls_thread *t);

/* A session's state from the secrets that both sides have; NULL without memory. */
struct slim *slim_make(struct slim_thread *thread, int suite, const struct slim_secrets *secrets);

extern const struct tls_records slim_records;

#endif
