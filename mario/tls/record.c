/*
 * record.c: sealing and opening one record. Pure; any thread, each with a struct tls_crypt of its own.
 *
 * A context keeps the key that it was last given: who sends many records in a row sets it up once. Keys are compared in
 * a time that does not depend on them. What a peer sends is looked at behind its padding only after it has proved to be
 * the peer's.
 */
#include "mario/tls/record.h"

#ifdef MARIO_WITH_TLS

#include <stdlib.h>
#include <string.h>

#include <openssl/core_names.h>
#include <openssl/params.h>

#include "mario/base/check.h"
#include "mario/tls/libssl.h"

enum { TAG = 16 };

struct lane {
    EVP_CIPHER_CTX *ctx;
    bool keyed;
    unsigned char key[TLS_KEY_MAX]; /* if keyed */
};

struct tls_crypt {
    struct lane seal[TLS_SUITES], open[TLS_SUITES];
};

struct tls_crypt *tls_crypt_make(void)
{
    return calloc(1, sizeof(struct tls_crypt));
}

void tls_crypt_free(struct tls_crypt *c)
{
    if (c == NULL)
        return;
    for (int i = 0; i < TLS_SUITES; i++) {
        libssl.EVP_CIPHER_CTX_free(c->seal[i].ctx);
        libssl.EVP_CIPHER_CTX_free(c->open[i].ctx);
    }
    explicit_bzero(c, sizeof *c);
    free(c);
}

static bool make_context(struct lane *l, int suite, bool sealing)
{
    EVP_CIPHER *cipher = libssl.EVP_CIPHER_fetch(NULL, tls_suites[suite].cipher, NULL);
    EVP_CIPHER_CTX *ctx = cipher == NULL ? NULL : libssl.EVP_CIPHER_CTX_new();
    if (ctx != NULL && libssl.EVP_CipherInit_ex(ctx, cipher, NULL, NULL, NULL, sealing) != 1) {
        libssl.EVP_CIPHER_CTX_free(ctx);
        ctx = NULL;
    }
    libssl.EVP_CIPHER_free(cipher);
    l->ctx = ctx;
    l->keyed = false;
    return ctx != NULL;
}

static bool same_key(const unsigned char *a, const unsigned char *b, size_t n)
{
    unsigned differ = 0;
    for (size_t i = 0; i < n; i++)
        differ |= (unsigned) a[i] ^ b[i];
    return differ == 0;
}

/* The context ready for record seq of the half, its head taken as what is authenticated only. */
static bool begin(struct lane *l, int suite, const unsigned char *half, uint64_t seq,
                  const unsigned char *head)
{
    unsigned char nonce[TLS_IV];
    const unsigned char *key = half + TLS_IV;
    size_t size = tls_suites[suite].key;
    bool keyed = l->keyed && same_key(l->key, key, size);
    int len;
    memcpy(nonce, half, sizeof nonce);
    for (size_t i = 0; i < 8; i++)
        nonce[TLS_IV - 1 - i] ^= (unsigned char) (seq >> 8 * i);
    l->keyed = false;
    if (libssl.EVP_CipherInit_ex(l->ctx, NULL, NULL, keyed ? NULL : key, nonce, -1) != 1 ||
        libssl.EVP_CipherUpdate(l->ctx, NULL, &len, head, TLS_RECORD_HEAD) != 1)
        return false;
    if (!keyed)
        memcpy(l->key, key, size);
    l->keyed = true;
    return true;
}

int tls_record_body(const unsigned char head[TLS_RECORD_HEAD], const char **why)
{
    int len = head[3] << 8 | head[4];
    if (head[0] != TLS_APPLICATION) {
        *why = "a record that is not encrypted";
        return -TLS_UNEXPECTED_MESSAGE;
    }
    if (head[1] != 3 || head[2] != 3) {
        *why = "a record of another version";
        return -TLS_DECODE_ERROR;
    }
    if (len > TLS_RECORD_BODY) {
        *why = "a record that is too long";
        return -TLS_RECORD_OVERFLOW;
    }
    if (len < TLS_RECORD_TAIL) {
        *why = "a record that is too short";
        return -TLS_BAD_RECORD_MAC;
    }
    return len;
}

size_t tls_record_seal(struct tls_crypt *c, int suite, const unsigned char *half, uint64_t seq, uint8_t type,
                       unsigned char *record, size_t n)
{
    struct lane *l = &c->seal[suite];
    unsigned char *body = record + TLS_RECORD_HEAD;
    int len = 0, rest;
    CHECK(n <= TLS_RECORD_PLAIN);
    size_t size = n + TLS_RECORD_TAIL;
    record[0] = TLS_APPLICATION;
    record[1] = record[2] = 3;
    record[3] = (unsigned char) (size >> 8);
    record[4] = (unsigned char) size;
    body[n] = type;
    OSSL_PARAM tag[] = {OSSL_PARAM_octet_string(OSSL_CIPHER_PARAM_AEAD_TAG, body + n + 1, TAG),
                        OSSL_PARAM_END};
    if ((l->ctx == NULL && !make_context(l, suite, true)) || !begin(l, suite, half, seq, record) ||
        libssl.EVP_CipherUpdate(l->ctx, body, &len, body, (int) n + 1) != 1 ||
        libssl.EVP_CipherFinal_ex(l->ctx, body + len, &rest) != 1 ||
        libssl.EVP_CIPHER_CTX_get_params(l->ctx, tag) != 1) {
        l->keyed = false;
        return 0;
    }
    return TLS_RECORD_HEAD + size;
}

/* What is in an opened record: n bytes, padding and type among them. */
static int strip(const unsigned char *body, size_t *n, const char **why)
{
    size_t end = *n;
    while (end > 0 && body[end - 1] == 0)
        end--;
    int type = end == 0 ? 0 : body[end - 1];
    if (type != TLS_APPLICATION && type != TLS_HANDSHAKE && type != TLS_ALERT) {
        *why = "a record of no known type";
        return -TLS_UNEXPECTED_MESSAGE;
    }
    if (end - 1 > TLS_RECORD_PLAIN) {
        *why = "a record that is too long";
        return -TLS_RECORD_OVERFLOW;
    }
    *n = end - 1;
    return type;
}

int tls_record_open(struct tls_crypt *c, int suite, const unsigned char *half, uint64_t seq,
                    unsigned char *record, size_t *n, const char **why)
{
    struct lane *l = &c->open[suite];
    unsigned char *body = record + TLS_RECORD_HEAD;
    int size = record[3] << 8 | record[4], len = 0, rest;
    int inner = size - TAG;
    CHECK(inner > 0);
    OSSL_PARAM tag[] = {OSSL_PARAM_octet_string(OSSL_CIPHER_PARAM_AEAD_TAG, body + inner, TAG),
                        OSSL_PARAM_END};
    if ((l->ctx == NULL && !make_context(l, suite, false)) || !begin(l, suite, half, seq, record)) {
        *why = "no memory";
        return -TLS_INTERNAL_ERROR;
    }
    if (libssl.EVP_CIPHER_CTX_set_params(l->ctx, tag) != 1 ||
        libssl.EVP_CipherUpdate(l->ctx, body, &len, body, inner) != 1 ||
        libssl.EVP_CipherFinal_ex(l->ctx, body + len, &rest) != 1) {
        l->keyed = false;
        *why = "a record that does not authenticate";
        return -TLS_BAD_RECORD_MAC;
    }
    *n = (size_t) inner;
    return strip(body, n, why);
}

#endif
