/*
 * schedule.c: keys from secrets, by libcrypto's HMAC. Pure; any thread, each with a schedule of its own.
 *
 * All that is derived here fits in one block of the digest, so that HKDF-Expand is one HMAC.
 */
#include "mario/tls/schedule.h"

#ifdef MARIO_WITH_TLS

#include <stdlib.h>
#include <string.h>

#include <openssl/core_names.h>
#include <openssl/params.h>

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

struct tls_schedule {
    EVP_MAC_CTX *sha256, *sha384;
};

static EVP_MAC_CTX *hmac(EVP_MAC *mac, char *digest)
{
    OSSL_PARAM params[] = {OSSL_PARAM_utf8_string(OSSL_MAC_PARAM_DIGEST, digest, 6), OSSL_PARAM_END};
    EVP_MAC_CTX *ctx = libssl.EVP_MAC_CTX_new(mac);
    if (ctx != NULL && libssl.EVP_MAC_CTX_set_params(ctx, params) != 1) {
        libssl.EVP_MAC_CTX_free(ctx);
        ctx = NULL;
    }
    return ctx;
}

struct tls_schedule *tls_schedule_make(void)
{
    char sha256[] = "SHA256", sha384[] = "SHA384";
    struct tls_schedule *s = calloc(1, sizeof *s);
    EVP_MAC *mac = s == NULL ? NULL : libssl.EVP_MAC_fetch(NULL, "HMAC", NULL);
    if (mac != NULL) {
        s->sha256 = hmac(mac, sha256);
        s->sha384 = hmac(mac, sha384);
    }
    libssl.EVP_MAC_free(mac);
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
    libssl.EVP_MAC_CTX_free(s->sha256);
    libssl.EVP_MAC_CTX_free(s->sha384);
    free(s);
}

bool tls_expand(struct tls_schedule *s, const struct tls_suite *suite, const unsigned char *secret,
                const char *label, unsigned char *out, size_t n)
{
    unsigned char info[32], block[TLS_SECRET_MAX];
    size_t len = strlen(label), used = 0;
    CHECK(n <= suite->secret && len <= 16);
    info[used++] = 0;
    info[used++] = (unsigned char) n;
    info[used++] = (unsigned char) (6 + len);
    memcpy(info + used, "tls13 ", 6);
    memcpy(info + used + 6, label, len);
    used += 6 + len;
    info[used++] = 0; /* no context */
    info[used++] = 1; /* the first block */
    EVP_MAC_CTX *ctx = suite->secret == 32 ? s->sha256 : s->sha384;
    bool done = libssl.EVP_MAC_init(ctx, secret, suite->secret, NULL) == 1 &&
                libssl.EVP_MAC_update(ctx, info, used) == 1 &&
                libssl.EVP_MAC_final(ctx, block, &used, sizeof block) == 1;
    if (done)
        memcpy(out, block, n);
    explicit_bzero(block, sizeof block);
    return done;
}

/* libcrypto keeps the secret that it was used with last. */
static void forget(struct tls_schedule *s, const struct tls_suite *suite)
{
    static const unsigned char nothing[TLS_SECRET_MAX];
    libssl.EVP_MAC_init(suite->secret == 32 ? s->sha256 : s->sha384, nothing, suite->secret, NULL);
}

bool tls_keys(struct tls_schedule *s, const struct tls_suite *suite, unsigned char *half)
{
    const unsigned char *secret = tls_half_secret(suite, half);
    bool done = tls_expand(s, suite, secret, "key", tls_half_key(half), suite->key) &&
                tls_expand(s, suite, secret, "iv", half, TLS_IV);
    forget(s, suite);
    return done;
}

bool tls_keys_next(struct tls_schedule *s, const struct tls_suite *suite, unsigned char *half)
{
    unsigned char next[TLS_HALF_MAX];
    bool done = tls_expand(s, suite, tls_half_secret(suite, half), "traffic upd",
                           tls_half_secret(suite, next), suite->secret) &&
                tls_keys(s, suite, next);
    if (done)
        memcpy(half, next, tls_half_size(suite));
    explicit_bzero(next, sizeof next);
    return done;
}

#endif
