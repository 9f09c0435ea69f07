/*
 * record.c: sealing and opening one record. Pure; any thread, each with a struct tls_crypt of its own.
 *
 * Setting a context up for a key costs nearly what a short record then does. So who comes often keeps one: KEPT of them
 * a thread and suite, found by the address of their half. Who comes seldom shares one with all others, which is as a
 * rule in the processor's cache, and gets one of its own by chance, one time in NEWCOMERS: so those who come once each,
 * however many, do not drive out those who come all the time.
 *
 * The address only says where to look: a context is used for a record if its key is this half's key, compared in a time
 * that does not depend on it, and is set up again if not. What a thread keeps of keys is in struct tls_crypt alone;
 * tls_crypt_forget() ends that when a session ends or has other keys. What a peer sends is looked at behind its padding
 * only after it has proved to be the peer's.
 */
#include "mario/tls/record.h"

#ifdef MARIO_WITH_TLS

#include <endian.h>
#include <stdlib.h>
#include <string.h>

#include <openssl/core_names.h>
#include <openssl/params.h>

#include "mario/base/check.h"
#include "mario/tls/libssl.h"

enum {
    TAG = 16,
    FIXED = 4, /* bytes that a half's nonces begin with: no number reaches there */
    SETS = 32,
    WAYS = 4,
    KEPT = SETS * WAYS, /* about 1 KB each, made when they are first needed */
    NEWCOMERS = 8
};

/* A context, and what it is set up for. */
struct lane {
    EVP_CIPHER_CTX *ctx;                     /* NULL: none yet */
    unsigned char key[TLS_IV + TLS_KEY_MAX]; /* with its IV in front, as a half begins */
    bool seals;
    bool in_parts; /* it can, see give_parts() */
    bool is_fixed; /* likewise: it has what does not change of the half's nonces */
};

/* Those of a suite: WAYS for the halves of each set of addresses, and behind all sets that to open with and that to
 * seal with, which are shared. */
struct lanes {
    const unsigned char
        *half[KEPT + 2]; /* whose key each has: an address, nothing is read there; NULL: nobody's */
    struct lane lane[KEPT + 2];
};

struct tls_crypt {
    struct lanes *suite[TLS_SUITES]; /* NULL: not needed yet */
    uint32_t missed;                 /* times that nothing was set up */
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
        struct lanes *l = c->suite[i];
        for (int k = 0; l != NULL && k < KEPT + 2; k++)
            libssl.EVP_CIPHER_CTX_free(l->lane[k].ctx);
        if (l != NULL)
            explicit_bzero(l, sizeof *l);
        free(l);
    }
    free(c);
}

static bool takes(const EVP_CIPHER *cipher, const char *param)
{
    const OSSL_PARAM *all = libssl.EVP_CIPHER_settable_ctx_params(cipher);
    return all != NULL && libssl.OSSL_PARAM_locate_const(all, param) != NULL;
}

static bool make_context(struct lane *l, int suite)
{
    EVP_CIPHER *cipher = libssl.EVP_CIPHER_fetch(NULL, tls_suites[suite].cipher, NULL);
    EVP_CIPHER_CTX *ctx = cipher == NULL ? NULL : libssl.EVP_CIPHER_CTX_new();
    l->in_parts = cipher != NULL && takes(cipher, OSSL_CIPHER_PARAM_AEAD_TLS1_IV_FIXED) &&
                  takes(cipher, OSSL_CIPHER_PARAM_AEAD_TLS1_SET_IV_INV);
    if (ctx != NULL && libssl.EVP_CipherInit_ex(ctx, cipher, NULL, NULL, NULL, 1) != 1) {
        libssl.EVP_CIPHER_CTX_free(ctx);
        ctx = NULL;
    }
    libssl.EVP_CIPHER_free(cipher);
    l->ctx = ctx;
    return ctx != NULL;
}

/* The first of the lanes for halves at this address. */
static unsigned set_of(const unsigned char *half)
{
    return ((uint32_t) ((uintptr_t) half >> 3) * 0x9e3779b1u >> 16) % SETS * WAYS;
}

/* Which lane is set up for the half, or is to be. */
static unsigned lane_of(struct tls_crypt *c, const struct lanes *l, const unsigned char *half, bool sealing)
{
    unsigned set = set_of(half), shared = KEPT + sealing;
    for (unsigned i = set; i < set + WAYS; i++) {
        if (l->half[i] == half)
            return i;
    }
    if (l->half[shared] == half || ++c->missed % NEWCOMERS != 0)
        return shared;
    return set + c->missed / NEWCOMERS % WAYS;
}

/* Key and schedule are overwritten by those of a key that is none; without that, by none at all. */
static void forget(struct lanes *l, unsigned at)
{
    static const unsigned char none[TLS_KEY_MAX];
    struct lane *lane = &l->lane[at];
    l->half[at] = NULL;
    explicit_bzero(lane->key, sizeof lane->key);
    if (libssl.EVP_CipherInit_ex(lane->ctx, NULL, NULL, none, NULL, -1) == 1)
        return;
    libssl.EVP_CIPHER_CTX_free(lane->ctx);
    lane->ctx = NULL;
}

void tls_crypt_forget(struct tls_crypt *c, int suite, const unsigned char *half)
{
    struct lanes *l = c->suite[suite];
    if (l == NULL)
        return;
    for (unsigned i = 0; i < WAYS + 2; i++) {
        unsigned at = i < WAYS ? set_of(half) + i : KEPT + i - WAYS;
        if (l->half[at] == half)
            forget(l, at);
    }
}

/* Their sizes are multiples of 4. */
static bool same_key(const unsigned char *a, const unsigned char *b, size_t n)
{
    uint32_t differ = 0, x, y;
    for (size_t i = 0; i < n; i += sizeof x) {
        memcpy(&x, a + i, sizeof x);
        memcpy(&y, b + i, sizeof y);
        differ |= x ^ y;
    }
    return differ == 0;
}

static void make_nonce(const unsigned char *half, uint64_t seq, unsigned char nonce[TLS_IV])
{
    uint64_t low;
    memcpy(nonce, half, FIXED);
    memcpy(&low, half + FIXED, sizeof low);
    low ^= htobe64(seq);
    memcpy(nonce + FIXED, &low, sizeof low);
}
_Static_assert(FIXED + sizeof(uint64_t) == TLS_IV, "a number is what is not fixed");

/* The nonce, and with it the key unless that is there already (NULL); the tag that is to be, to open. */
static bool give_whole(const struct lane *l, const unsigned char *key, unsigned char nonce[TLS_IV],
                       unsigned char *tag)
{
    OSSL_PARAM params[] = {OSSL_PARAM_octet_string(OSSL_CIPHER_PARAM_AEAD_TAG, tag, TAG), OSSL_PARAM_END};
    return libssl.EVP_CipherInit_ex(l->ctx, NULL, NULL, key, nonce, tag == NULL) == 1 &&
           (tag == NULL || libssl.EVP_CIPHER_CTX_set_params(l->ctx, params) == 1);
}

/* The same for a further record that is to be opened, in one call. Each time it gets a nonce by EVP_CipherInit_ex()
 * OpenSSL 3.0 looks up by name how long that is, a quarter of what all of a short record costs. GCM also takes what
 * changes of it beside the tag; what does not it has got before. A nonce that is wrong opens nothing. */
static bool give_parts(struct lane *l, unsigned char nonce[TLS_IV], unsigned char *tag)
{
    OSSL_PARAM fixed[] = {OSSL_PARAM_octet_string(OSSL_CIPHER_PARAM_AEAD_TLS1_IV_FIXED, nonce, FIXED),
                          OSSL_PARAM_END};
    OSSL_PARAM params[] = {
        OSSL_PARAM_octet_string(OSSL_CIPHER_PARAM_AEAD_TAG, tag, TAG),
        OSSL_PARAM_octet_string(OSSL_CIPHER_PARAM_AEAD_TLS1_SET_IV_INV, nonce + FIXED, TLS_IV - FIXED),
        OSSL_PARAM_END,
    };
    if (!l->is_fixed && libssl.EVP_CIPHER_CTX_set_params(l->ctx, fixed) != 1)
        return false;
    l->is_fixed = true;
    return libssl.EVP_CIPHER_CTX_set_params(l->ctx, params) == 1;
}

/* A lane ready for record seq of the half, to open if there is a tag, else to seal; its head taken as what is
 * authenticated only. -1 without memory. */
static int begin(struct tls_crypt *c, int suite, const unsigned char *half, uint64_t seq,
                 const unsigned char *head, unsigned char *tag)
{
    unsigned char nonce[TLS_IV];
    bool sealing = tag == NULL;
    size_t size = TLS_IV + tls_suites[suite].key;
    struct lanes *l = c->suite[suite];
    int len;
    if (l == NULL && (l = c->suite[suite] = calloc(1, sizeof *l)) == NULL)
        return -1;
    unsigned at = lane_of(c, l, half, sealing);
    struct lane *lane = &l->lane[at];
    if (lane->ctx == NULL && !make_context(lane, suite))
        return -1;
    make_nonce(half, seq, nonce);
    bool keyed = l->half[at] == half && lane->seals == sealing && same_key(lane->key, half, size);
    bool ready = keyed && !sealing && lane->in_parts
                     ? give_parts(lane, nonce, tag)
                     : give_whole(lane, keyed ? NULL : half + TLS_IV, nonce, tag);
    if (!ready || libssl.EVP_CipherUpdate(lane->ctx, NULL, &len, head, TLS_RECORD_HEAD) != 1) {
        forget(l, at);
        return -1;
    }
    if (!keyed) {
        memcpy(lane->key, half, size);
        lane->seals = sealing;
        lane->is_fixed = false;
        l->half[at] = half;
    }
    return (int) at;
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
    int at = begin(c, suite, half, seq, record, NULL);
    if (at < 0)
        return 0;
    EVP_CIPHER_CTX *ctx = c->suite[suite]->lane[at].ctx;
    if (libssl.EVP_CipherUpdate(ctx, body, &len, body, (int) n + 1) != 1 ||
        libssl.EVP_CipherFinal_ex(ctx, body + len, &rest) != 1 ||
        libssl.EVP_CIPHER_CTX_get_params(ctx, tag) != 1) {
        forget(c->suite[suite], (unsigned) at);
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
    unsigned char *body = record + TLS_RECORD_HEAD;
    int size = record[3] << 8 | record[4], len = 0, rest;
    int inner = size - TAG;
    CHECK(inner > 0);
    int at = begin(c, suite, half, seq, record, body + inner);
    if (at < 0) {
        *why = "no memory";
        return -TLS_INTERNAL_ERROR;
    }
    EVP_CIPHER_CTX *ctx = c->suite[suite]->lane[at].ctx;
    if (libssl.EVP_CipherUpdate(ctx, body, &len, body, inner) != 1 ||
        libssl.EVP_CipherFinal_ex(ctx, body + len, &rest) != 1) {
        forget(c->suite[suite], (unsigned) at);
        *why = "a record that does not authenticate";
        return -TLS_BAD_RECORD_MAC;
    }
    *n = (size_t) inner;
    return strip(body, n, why);
}

#endif
