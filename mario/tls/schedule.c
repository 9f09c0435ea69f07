/*
 * schedule.c: keys from secrets, by libcrypto's digests. Pure; any thread, each with a schedule of its own.
 *
 * HMAC is put together here (RFC 2104): two messages to a digest that is set up already. libcrypto's own makes
 * contexts and copies them each time.
 */
#include "mario/tls/schedule.h"

#ifdef MARIO_WITH_TLS

#include <stdlib.h>
#include <string.h>

#include "mario/base/check.h"
#include "mario/tls/libssl.h"

const struct tls_suite tls_suites[TLS_SUITES] = {
    {0x1301, 16, 32, "TLS_AES_128_GCM_SHA256", "AES-128-GCM", "SHA256"},
    {0x1302, 32, 48, "TLS_AES_256_GCM_SHA384", "AES-256-GCM", "SHA384"},
    {0x1303, 32, 32, "TLS_CHACHA20_POLY1305_SHA256", "ChaCha20-Poly1305", "SHA256"},
};

int tls_suite_of(uint32_t id)
{
    for (int i = 0; i < TLS_SUITES; i++) {
        if (tls_suites[i].id == (id & 0xffff))
            return i;
    }
    return -1;
}

/* One context for each digest. */
struct tls_schedule {
    EVP_MD_CTX *sha256, *sha384;
};

enum { BLOCK_MAX = 128 }; /* of SHA-384; SHA-256 has 64 */

static EVP_MD_CTX *make_digest(const char *name)
{
    EVP_MD *digest = libssl.EVP_MD_fetch(NULL, name, NULL);
    EVP_MD_CTX *ctx = digest != NULL ? libssl.EVP_MD_CTX_new() : NULL;
    if (ctx != NULL && libssl.EVP_DigestInit_ex2(ctx, digest, NULL) != 1) {
        libssl.EVP_MD_CTX_free(ctx);
        ctx = NULL;
    }
    libssl.EVP_MD_free(digest);
    return ctx;
}

struct tls_schedule *tls_schedule_make(void)
{
    struct tls_schedule *s = calloc(1, sizeof *s);
    if (s != NULL) {
        s->sha256 = make_digest("SHA256");
        s->sha384 = make_digest("SHA384");
    }
    if (s != NULL && (s->sha256 == NULL || s->sha384 == NULL)) {
        tls_schedule_free(s);
        s = NULL;
    }
    return s;
}

void tls_schedule_free(struct tls_schedule *s)
{
    if (s == NULL)
        return;
    libssl.EVP_MD_CTX_free(s->sha256);
    libssl.EVP_MD_CTX_free(s->sha384);
    free(s);
}

/* Digest the key's block, changed by `pad`, and both texts. */
static bool digest_padded(EVP_MD_CTX *ctx, size_t block, struct tls_bytes key, unsigned char pad,
                          struct tls_bytes text, struct tls_bytes more, unsigned char *out)
{
    unsigned char first[BLOCK_MAX];
    memset(first, pad, block);
    for (size_t i = 0; i < key.n; i++)
        first[i] ^= key.p[i];
    bool done = libssl.EVP_DigestInit_ex2(ctx, NULL, NULL) == 1 &&
                libssl.EVP_DigestUpdate(ctx, first, block) == 1 &&
                libssl.EVP_DigestUpdate(ctx, text.p, text.n) == 1 &&
                (more.n == 0 || libssl.EVP_DigestUpdate(ctx, more.p, more.n) == 1) &&
                libssl.EVP_DigestFinal_ex(ctx, out, NULL) == 1;
    explicit_bzero(first, block);
    return done;
}

/* RFC 2104. A context holds what it has come to: beginning another message wipes that. */
bool tls_hmac(struct tls_schedule *s, int digest, struct tls_bytes key, struct tls_bytes text,
              struct tls_bytes more, unsigned char *out)
{
    unsigned char inner[TLS_SECRET_MAX];
    EVP_MD_CTX *ctx = digest == TLS_SHA256 ? s->sha256 : s->sha384;
    size_t block = digest == TLS_SHA256 ? BLOCK_MAX / 2 : BLOCK_MAX;
    CHECK(key.n <= BLOCK_MAX / 2);
    bool done = digest_padded(ctx, block, key, 0x36, text, more, inner) &&
                digest_padded(ctx, block, key, 0x5c, (struct tls_bytes){inner, (size_t) digest},
                              (struct tls_bytes){NULL, 0}, out);
    explicit_bzero(inner, sizeof inner);
    return libssl.EVP_DigestInit_ex2(ctx, NULL, NULL) == 1 && done;
}

bool tls_expand(struct tls_schedule *s, int digest, const unsigned char *secret, struct tls_bytes label,
                struct tls_bytes context, unsigned char *out, size_t n)
{
    unsigned char info[2 + 1 + 6 + TLS_LABEL_MAX + 1 + TLS_CONTEXT_MAX + 1], block[TLS_SECRET_MAX], *p = info;
    CHECK(n <= (size_t) 255 * (unsigned) digest && label.n <= TLS_LABEL_MAX && context.n <= TLS_CONTEXT_MAX);
    *p++ = (unsigned char) (n >> 8);
    *p++ = (unsigned char) n;
    *p++ = (unsigned char) (6 + label.n);
    p = mempcpy(p, "tls13 ", 6);
    p = mempcpy(p, label.p, label.n);
    *p++ = (unsigned char) context.n;
    if (context.n > 0)
        p = mempcpy(p, context.p, context.n);
    *p = 0;
    struct tls_bytes key = {secret, (size_t) digest}, last = {block, 0};
    bool done = true;
    for (size_t at = 0; done && at < n; at += (size_t) digest) {
        size_t some = n - at < (size_t) digest ? n - at : (size_t) digest;
        ++*p; /* the number of the block */
        done = last.n == 0
                   ? tls_hmac(s, digest, key, (struct tls_bytes){info, (size_t) (p + 1 - info)}, last, block)
                   : tls_hmac(s, digest, key, last, (struct tls_bytes){info, (size_t) (p + 1 - info)}, block);
        last.n = (size_t) digest;
        if (done)
            memcpy(out + at, block, some);
    }
    explicit_bzero(block, sizeof block);
    return done;
}

/* The digest of nothing, which each secret but the first is derived with. */
static bool digest_nothing(struct tls_schedule *s, int digest, unsigned char *out)
{
    EVP_MD_CTX *ctx = digest == TLS_SHA256 ? s->sha256 : s->sha384;
    return libssl.EVP_DigestInit_ex2(ctx, NULL, NULL) == 1 && libssl.EVP_DigestFinal_ex(ctx, out, NULL) == 1;
}

bool tls_extract(struct tls_schedule *s, int digest, const unsigned char *before, struct tls_bytes agreed,
                 unsigned char *out)
{
    static const unsigned char zeros[TLS_SECRET_MAX];
    unsigned char salt[TLS_SECRET_MAX] = {0}, nothing[TLS_SECRET_MAX];
    static const struct tls_bytes derived = {(const unsigned char *) "derived", 7};
    size_t n = (size_t) digest;
    bool done =
        before == NULL || (digest_nothing(s, digest, nothing) &&
                           tls_expand(s, digest, before, derived, (struct tls_bytes){nothing, n}, salt, n));
    if (agreed.p == NULL)
        agreed = (struct tls_bytes){zeros, n};
    done = done && tls_hmac(s, digest, (struct tls_bytes){salt, n}, agreed, (struct tls_bytes){NULL, 0}, out);
    explicit_bzero(salt, sizeof salt);
    return done;
}

/* What a half is made of: its parts have no context. */
static bool expand(struct tls_schedule *s, const struct tls_suite *suite, const unsigned char *secret,
                   const char *label, unsigned char *out, size_t n)
{
    return tls_expand(s, suite->secret, secret,
                      (struct tls_bytes){(const unsigned char *) label, strlen(label)},
                      (struct tls_bytes){NULL, 0}, out, n);
}

bool tls_keys(struct tls_schedule *s, const struct tls_suite *suite, unsigned char *half)
{
    const unsigned char *secret = tls_half_secret(suite, half);
    return expand(s, suite, secret, "key", tls_half_key(half), suite->key) &&
           expand(s, suite, secret, "iv", half, TLS_IV);
}

bool tls_keys_next(struct tls_schedule *s, const struct tls_suite *suite, unsigned char *half)
{
    unsigned char next[TLS_HALF_MAX];
    bool done = expand(s, suite, tls_half_secret(suite, half), "traffic upd", tls_half_secret(suite, next),
                       suite->secret) &&
                tls_keys(s, suite, next);
    if (done)
        memcpy(half, next, tls_half_size(suite));
    explicit_bzero(next, sizeof next);
    return done;
}

#endif
