/*
 * tls_oracle.c: records of TLS 1.3, plainly. Pure; any thread.
 */
#include "tls_oracle.h"

#include <openssl/core_names.h>
#include <openssl/evp.h>
#include <openssl/kdf.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

static void must(int good, const char *what)
{
    if (!good) {
        fprintf(stderr, "tls_oracle: %s\n", what);
        abort();
    }
}

void oracle_expand(const struct oracle *o, const char *label, unsigned char *out, size_t n)
{
    char prefix[] = "tls13 ", text[32], digest[16];
    int mode = EVP_KDF_HKDF_MODE_EXPAND_ONLY;
    unsigned char secret[48];
    snprintf(text, sizeof text, "%s", label);
    snprintf(digest, sizeof digest, "%s", o->digest);
    memcpy(secret, o->secret, sizeof secret);
    OSSL_PARAM params[] = {
        OSSL_PARAM_construct_int(OSSL_KDF_PARAM_MODE, &mode),
        OSSL_PARAM_construct_utf8_string(OSSL_KDF_PARAM_DIGEST, digest, 0),
        OSSL_PARAM_construct_octet_string(OSSL_KDF_PARAM_KEY, secret, o->secret_size),
        OSSL_PARAM_construct_octet_string(OSSL_KDF_PARAM_PREFIX, prefix, strlen(prefix)),
        OSSL_PARAM_construct_octet_string(OSSL_KDF_PARAM_LABEL, text, strlen(text)),
        OSSL_PARAM_construct_end(),
    };
    EVP_KDF *kdf = EVP_KDF_fetch(NULL, "TLS13-KDF", NULL);
    EVP_KDF_CTX *ctx = EVP_KDF_CTX_new(kdf);
    must(ctx != NULL && EVP_KDF_derive(ctx, out, n, params) == 1, "expand");
    EVP_KDF_CTX_free(ctx);
    EVP_KDF_free(kdf);
}

static void take_keys(struct oracle *o)
{
    oracle_expand(o, "key", o->key, o->key_size);
    oracle_expand(o, "iv", o->iv, sizeof o->iv);
    o->seq = 0;
}

void oracle_begin(struct oracle *o, unsigned id, const unsigned char *secret)
{
    *o = (struct oracle){
        .cipher = id == 0x1301   ? "AES-128-GCM"
                  : id == 0x1302 ? "AES-256-GCM"
                                 : "ChaCha20-Poly1305",
        .digest = id == 0x1302 ? "SHA384" : "SHA256",
        .key_size = id == 0x1301 ? 16 : 32,
        .secret_size = id == 0x1302 ? 48 : 32,
    };
    memcpy(o->secret, secret, o->secret_size);
    take_keys(o);
}

void oracle_update(struct oracle *o)
{
    unsigned char next[48];
    oracle_expand(o, "traffic upd", next, o->secret_size);
    memcpy(o->secret, next, o->secret_size);
    take_keys(o);
}

/* A context for the next record. */
static EVP_CIPHER_CTX *next_record(struct oracle *o, const unsigned char head[5], int sealing)
{
    unsigned char nonce[12];
    uint64_t seq = o->seq++;
    int n;
    memcpy(nonce, o->iv, sizeof nonce);
    for (int i = 11; i > 3; i--, seq /= 256)
        nonce[i] = (unsigned char) (nonce[i] ^ seq % 256);
    EVP_CIPHER *cipher = EVP_CIPHER_fetch(NULL, o->cipher, NULL);
    EVP_CIPHER_CTX *ctx = EVP_CIPHER_CTX_new();
    must(ctx != NULL && EVP_CipherInit_ex(ctx, cipher, NULL, o->key, nonce, sealing) == 1, "key");
    must(EVP_CipherUpdate(ctx, NULL, &n, head, 5) == 1, "head");
    EVP_CIPHER_free(cipher);
    return ctx;
}

size_t oracle_seal(struct oracle *o, int type, const void *data, size_t n, size_t padding, unsigned char *out)
{
    size_t inner = n + 1 + padding, body = inner + 16;
    int len;
    unsigned char *plain = calloc(1, inner);
    must(plain != NULL && body <= 16384 + 256, "too long");
    memcpy(plain, data, n);
    plain[n] = (unsigned char) type;
    out[0] = 23;
    out[1] = 3;
    out[2] = 3;
    out[3] = (unsigned char) (body / 256);
    out[4] = (unsigned char) (body % 256);
    EVP_CIPHER_CTX *ctx = next_record(o, out, 1);
    must(EVP_EncryptUpdate(ctx, out + 5, &len, plain, (int) inner) == 1 && (size_t) len == inner, "seal");
    must(EVP_EncryptFinal_ex(ctx, out + 5 + inner, &len) == 1 && len == 0, "end");
    must(EVP_CIPHER_CTX_ctrl(ctx, EVP_CTRL_AEAD_GET_TAG, 16, out + 5 + inner) == 1, "tag");
    EVP_CIPHER_CTX_free(ctx);
    free(plain);
    return 5 + body;
}

int oracle_open(struct oracle *o, const unsigned char *record, size_t size, unsigned char *out, size_t *n)
{
    unsigned char tag[16];
    int len;
    if (size < 5 + 17)
        return -1;
    size_t inner = size - 5 - 16;
    memcpy(tag, record + size - 16, 16);
    EVP_CIPHER_CTX *ctx = next_record(o, record, 0);
    must(EVP_CIPHER_CTX_ctrl(ctx, EVP_CTRL_AEAD_SET_TAG, 16, tag) == 1, "tag");
    must(EVP_DecryptUpdate(ctx, out, &len, record + 5, (int) inner) == 1, "open");
    int good = EVP_DecryptFinal_ex(ctx, out + inner, &len);
    EVP_CIPHER_CTX_free(ctx);
    while (good == 1 && inner > 0 && out[inner - 1] == 0)
        inner--;
    if (good != 1 || inner == 0)
        return -1;
    *n = inner - 1;
    return out[inner - 1];
}

size_t oracle_whole(const unsigned char *bytes, size_t n)
{
    size_t size = n < 5 ? 0 : 5 + (size_t) bytes[3] * 256 + bytes[4];
    return size <= n ? size : 0;
}
