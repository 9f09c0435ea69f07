/*
 * kdf.c: TLS 1.3's key derivation (RFC 8446, 7.1) for libssl, as a provider of libcrypto's. Any thread.
 *
 * libssl derives some twenty secrets, keys and IVs in a handshake, each by a function that it fetches by the name of
 * TLS13-KDF. This is one; what it computes is schedule.c's. It has no state: all that it is asked for comes with the
 * call, as libssl does it, so nothing of a secret stays here. A thread in a handshake lends it the schedule it has.
 *
 * It is also how we know the secrets of the traffic. libssl's other way is its key log, which writes five of them as
 * text, a sprintf for each byte: that costs nearly as much again as all that is derived here.
 */
#include "mario/tls/kdf.h"

#ifdef MARIO_WITH_TLS

#include <string.h>

#include "mario/tls/libssl.h"

/* What libssl asks for, where it has it. */
struct question {
    int mode, digest;
    struct tls_bytes key, salt, prefix, label, context;
};

static _Thread_local struct {
    struct tls_schedule *schedule; /* NULL: the thread is in no handshake of ours */
    kdf_told told;
    void *arg;
} lent;

void kdf_begin(struct tls_schedule *s, kdf_told told, void *arg)
{
    lent.schedule = s;
    lent.told = told;
    lent.arg = arg;
}

void kdf_end(void)
{
    lent.schedule = NULL;
}

/* ---- Reading what is asked for ---- */

static bool is_text(struct tls_bytes b, const char *text)
{
    return b.n == strlen(text) && memcmp(b.p, text, b.n) == 0;
}

/* 0: it is none that TLS 1.3 has with our ciphers. */
static int digest_of(struct tls_bytes name)
{
    return is_text(name, "SHA2-256") || is_text(name, "SHA256")   ? TLS_SHA256
           : is_text(name, "SHA2-384") || is_text(name, "SHA384") ? TLS_SHA384
                                                                  : 0;
}

static bool read_question(const OSSL_PARAM *p, struct question *q)
{
    *q = (struct question){.mode = -1};
    for (; p->key != NULL; p++) {
        struct tls_bytes bytes = {p->data, p->data_size};
        if (strcmp(p->key, OSSL_KDF_PARAM_MODE) == 0) {
            if (libssl.OSSL_PARAM_get_int(p, &q->mode) != 1)
                return false;
        } else if (strcmp(p->key, OSSL_KDF_PARAM_DIGEST) == 0) {
            q->digest = digest_of(bytes);
        } else if (strcmp(p->key, OSSL_KDF_PARAM_KEY) == 0) {
            q->key = bytes;
        } else if (strcmp(p->key, OSSL_KDF_PARAM_SALT) == 0) {
            q->salt = bytes;
        } else if (strcmp(p->key, OSSL_KDF_PARAM_PREFIX) == 0) {
            q->prefix = bytes;
        } else if (strcmp(p->key, OSSL_KDF_PARAM_LABEL) == 0) {
            q->label = bytes;
        } else if (strcmp(p->key, OSSL_KDF_PARAM_DATA) == 0) {
            q->context = bytes;
        }
    }
    return q->digest != 0;
}

/* ---- Answering ---- */

static bool expand(struct tls_schedule *s, const struct question *q, unsigned char *out, size_t n)
{
    if (q->key.n != (size_t) q->digest || !is_text(q->prefix, "tls13 ") || q->label.n > TLS_LABEL_MAX ||
        q->context.n > TLS_CONTEXT_MAX || n == 0 || n > (size_t) 255 * q->key.n ||
        !tls_expand(s, q->digest, q->key.p, q->label, q->context, out, n))
        return false;
    bool in = is_text(q->label, "c ap traffic");
    if (lent.schedule != NULL && (in || is_text(q->label, "s ap traffic")))
        lent.told(lent.arg, !in, out, n);
    return true;
}

static bool extract(struct tls_schedule *s, const struct question *q, unsigned char *out, size_t n)
{
    return n == (size_t) q->digest && (q->salt.p == NULL || q->salt.n == n) &&
           tls_extract(s, q->digest, q->salt.p, q->key, out);
}

static int derive(void *context, unsigned char *out, size_t n, const OSSL_PARAM *params)
{
    (void) context;
    struct question q;
    if (!read_question(params, &q))
        return 0;
    struct tls_schedule *s = lent.schedule != NULL ? lent.schedule : tls_schedule_make();
    bool done = s != NULL && (q.mode == EVP_KDF_HKDF_MODE_EXPAND_ONLY    ? expand(s, &q, out, n)
                              : q.mode == EVP_KDF_HKDF_MODE_EXTRACT_ONLY ? extract(s, &q, out, n)
                                                                         : false);
    if (s != lent.schedule)
        tls_schedule_free(s);
    return done;
}

/* ---- The provider ---- */

/* All contexts are this one. */
static void *new_context(void *provider)
{
    return provider;
}

static void free_context(void *context)
{
    (void) context;
}

#define FUNCTION(f) ((void (*)(void))(f))

static const OSSL_DISPATCH kdf[] = {{OSSL_FUNC_KDF_NEWCTX, FUNCTION(new_context)},
                                    {OSSL_FUNC_KDF_FREECTX, FUNCTION(free_context)},
                                    {OSSL_FUNC_KDF_DERIVE, FUNCTION(derive)},
                                    {0, NULL}};

static const OSSL_ALGORITHM *query(void *provider, int operation, int *no_store)
{
    static const OSSL_ALGORITHM kdfs[] = {{"TLS13-KDF", "provider=" KDF_PROVIDER, kdf, NULL},
                                          {NULL, NULL, NULL, NULL}};
    (void) provider;
    *no_store = 0;
    return operation == OSSL_OP_KDF ? kdfs : NULL;
}

static int init(const OSSL_CORE_HANDLE *handle, const OSSL_DISPATCH *in, const OSSL_DISPATCH **out,
                void **provider)
{
    static const OSSL_DISPATCH functions[] = {{OSSL_FUNC_PROVIDER_QUERY_OPERATION, FUNCTION(query)},
                                              {0, NULL}};
    static char myself;
    (void) handle;
    (void) in;
    *out = functions;
    *provider = &myself;
    return 1;
}

/* The first of that name that libcrypto knows is everybody's; so libcrypto's is fetched before it knows ours. The other
 * providers stay as they would be without it: try_load() with 1. */
bool kdf_setup(void)
{
    static OSSL_PROVIDER *loaded; /* for ever */
    libssl.EVP_KDF_free(libssl.EVP_KDF_fetch(NULL, "TLS13-KDF", NULL));
    if (libssl.OSSL_PROVIDER_add_builtin(NULL, KDF_PROVIDER, init) == 1)
        loaded = libssl.OSSL_PROVIDER_try_load(NULL, KDF_PROVIDER, 1);
    return loaded != NULL;
}

bool kdf_is_taken(void)
{
    EVP_KDF *found = libssl.EVP_KDF_fetch(NULL, "TLS13-KDF", KDF_OURS);
    bool is_ours =
        found != NULL &&
        strcmp(libssl.OSSL_PROVIDER_get0_name(libssl.EVP_KDF_get0_provider(found)), KDF_PROVIDER) == 0;
    libssl.EVP_KDF_free(found);
    return is_ours;
}

#endif
