/*
 * schedule.h: the keys of TLS 1.3 from its secrets (RFC 8446, 7.1 to 7.3). Pure; libssl must be loaded. A struct
 * tls_schedule belongs to one thread.
 */
#ifndef MARIO_TLS_SCHEDULE_H
#define MARIO_TLS_SCHEDULE_H

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

enum {
    TLS_SECRET_MAX = 48,
    TLS_KEY_MAX = 32,
    TLS_IV = 12,
    TLS_HALF_MAX = TLS_IV + TLS_KEY_MAX + TLS_SECRET_MAX,
    TLS_LABEL_MAX = 249, /* 255 with its prefix */
    TLS_CONTEXT_MAX = 64,
    TLS_SUITES = 3
};

/* A cipher suite that our record layer speaks. */
struct tls_suite {
    uint16_t id;                 /* on the wire */
    uint8_t key, secret;         /* bytes */
    const char *name;            /* everybody's */
    const char *cipher, *digest; /* libcrypto's */
};
extern const struct tls_suite tls_suites[TLS_SUITES];

/* Where the suite with that id stands in tls_suites; -1: it is none of them. */
int tls_suite_of(uint32_t id);

/* What one direction of a connection is protected with: IV, key and secret, in one piece of tls_half_size() bytes, so
 * that a connection holds no byte more than its suite needs. */
static inline size_t tls_half_size(const struct tls_suite *suite)
{
    return (size_t) TLS_IV + suite->key + suite->secret;
}

static inline unsigned char *tls_half_key(unsigned char *half)
{
    return half + TLS_IV;
}

static inline unsigned char *tls_half_secret(const struct tls_suite *suite, unsigned char *half)
{
    return half + TLS_IV + suite->key;
}

/* The digests of TLS 1.3: by the bytes of what they make, and of a secret. */
enum { TLS_SHA256 = 32, TLS_SHA384 = 48 };

/* What a thread derives keys with. NULL without memory. */
struct tls_schedule *tls_schedule_make(void);
void tls_schedule_free(struct tls_schedule *s);

/* Bytes that somebody has. */
struct tls_bytes {
    const unsigned char *p;
    size_t n;
};

/* HMAC with the digest; the key has at most 64 bytes, the text may be in two pieces. In these three false: libcrypto
 * has failed, for want of memory. */
bool tls_hmac(struct tls_schedule *s, int digest, struct tls_bytes key, struct tls_bytes text,
              struct tls_bytes more, unsigned char *out);
/* HKDF-Expand-Label(secret, label, context, n) with label's prefix "tls13 ": n up to 255 times the digest's bytes,
 * label up to TLS_LABEL_MAX, context up to TLS_CONTEXT_MAX. */
bool tls_expand(struct tls_schedule *s, int digest, const unsigned char *secret, struct tls_bytes label,
                struct tls_bytes context, unsigned char *out, size_t n);
/* The next secret of the schedule from the one before and what has been agreed upon; NULL and no bytes: zeros. */
bool tls_extract(struct tls_schedule *s, int digest, const unsigned char *before, struct tls_bytes agreed,
                 unsigned char *out);

/* Key and IV of the half from its secret. */
bool tls_keys(struct tls_schedule *s, const struct tls_suite *suite, unsigned char *half);
/* The next generation of all three: what a KeyUpdate asks for. The half is as it was if this fails. */
bool tls_keys_next(struct tls_schedule *s, const struct tls_suite *suite, unsigned char *half);

#endif
