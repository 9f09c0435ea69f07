/*
 * test_tls_kdf.c: key derivation as libssl asks for it, by RFC 8448 and against libcrypto's own.
 */
#include "unit.h"

#include "mario/tls/kdf.h"
#include "mario/tls/libssl.h"

#include "rfc8448.h"

#include <stdlib.h>
#include <string.h>

enum { OUT_MAX = 600, BYTES_MAX = 300 };

static EVP_KDF *ours, *theirs;

static void begin(void)
{
    char why[200];
    ck_assert_msg(libssl_load(why, sizeof why), "%s", why);
    ours = EVP_KDF_fetch(NULL, "TLS13-KDF", KDF_OURS);
    theirs = EVP_KDF_fetch(NULL, "TLS13-KDF", "provider=default");
    ck_assert(ours != NULL && theirs != NULL);
}

static void end(void)
{
    EVP_KDF_free(ours);
    EVP_KDF_free(theirs);
}

/* ---- Asking ---- */

/* What is asked for; NULL and no bytes: that part is left out. */
struct ask {
    int mode;
    const char *digest;
    struct tls_bytes key, salt, prefix, label, context;
    size_t n;
};

static const struct tls_bytes tls13 = {(const unsigned char *) "tls13 ", 6};

static struct tls_bytes text(const char *s)
{
    return (struct tls_bytes){(const unsigned char *) s, strlen(s)};
}

static OSSL_PARAM *add(OSSL_PARAM *p, const char *name, struct tls_bytes b)
{
    if (b.p != NULL)
        *p++ = OSSL_PARAM_construct_octet_string(name, (void *) b.p, b.n);
    return p;
}

/* Whether it was answered. */
static bool asked(EVP_KDF *kdf, const struct ask *a, unsigned char *out)
{
    OSSL_PARAM params[8], *p = params;
    int mode = a->mode;
    if (mode >= 0)
        *p++ = OSSL_PARAM_construct_int(OSSL_KDF_PARAM_MODE, &mode);
    if (a->digest != NULL)
        *p++ = OSSL_PARAM_construct_utf8_string(OSSL_KDF_PARAM_DIGEST, (char *) a->digest, 0);
    p = add(p, OSSL_KDF_PARAM_KEY, a->key);
    p = add(p, OSSL_KDF_PARAM_SALT, a->salt);
    p = add(p, OSSL_KDF_PARAM_PREFIX, a->prefix);
    p = add(p, OSSL_KDF_PARAM_LABEL, a->label);
    p = add(p, OSSL_KDF_PARAM_DATA, a->context);
    *p = OSSL_PARAM_construct_end();
    EVP_KDF_CTX *ctx = EVP_KDF_CTX_new(kdf);
    ck_assert_ptr_nonnull(ctx);
    bool done = EVP_KDF_derive(ctx, out, a->n, params) == 1;
    EVP_KDF_CTX_free(ctx);
    return done;
}

static struct ask extraction(struct tls_bytes agreed, struct tls_bytes before)
{
    return (struct ask){
        EVP_KDF_HKDF_MODE_EXTRACT_ONLY, "SHA256", agreed, before, tls13, text("derived"), {NULL, 0}, 32};
}

static struct ask expansion(struct tls_bytes key, const char *label, struct tls_bytes context, size_t n)
{
    return (struct ask){
        EVP_KDF_HKDF_MODE_EXPAND_ONLY, "SHA256", key, {NULL, 0}, tls13, text(label), context, n};
}

/* ---- By the RFC ---- */

static void from_hex(const char *hex, unsigned char *out)
{
    for (; *hex != '\0'; hex += 2)
        ck_assert_int_eq(sscanf(hex, "%2hhx", out++), 1);
}

static void extract_to(const char *what, struct tls_bytes agreed, struct tls_bytes before, const char *hex,
                       unsigned char *out)
{
    unsigned char expected[32];
    struct ask a = extraction(agreed, before);
    from_hex(hex, expected);
    ck_assert_msg(asked(ours, &a, out) && memcmp(out, expected, 32) == 0, "%s", what);
}

static void expand_to(const char *what, const unsigned char *from, const char *label, const char *hash,
                      const char *hex)
{
    unsigned char context[32], out[32], expected[32];
    from_hex(hash, context);
    from_hex(hex, expected);
    struct ask a = expansion((struct tls_bytes){from, 32}, label, (struct tls_bytes){context, 32}, 32);
    ck_assert_msg(asked(ours, &a, out) && memcmp(out, expected, 32) == 0, "%s", what);
}

/* Goal: the secrets of the RFC's handshake, from nothing to those of the traffic. */
START_TEST(secrets_of_the_rfc)
{
    static const struct tls_bytes none = {NULL, 0};
    unsigned char early[32], handshake[32], master[32], agreed[32];
    extract_to("early", none, none, RFC8448_EARLY, early);
    from_hex(RFC8448_AGREED, agreed);
    extract_to("handshake", (struct tls_bytes){agreed, 32}, (struct tls_bytes){early, 32}, RFC8448_HANDSHAKE,
               handshake);
    extract_to("master", none, (struct tls_bytes){handshake, 32}, RFC8448_MASTER, master);
    expand_to("server handshake", handshake, "s hs traffic", RFC8448_HELLOS,
              rfc8448_keys[RFC8448_SERVER_HANDSHAKE].secret);
    expand_to("client handshake", handshake, "c hs traffic", RFC8448_HELLOS,
              rfc8448_keys[RFC8448_CLIENT_HANDSHAKE].secret);
    expand_to("server", master, "s ap traffic", RFC8448_TO_FINISHED, rfc8448_keys[RFC8448_SERVER].secret);
    expand_to("client", master, "c ap traffic", RFC8448_TO_FINISHED, rfc8448_keys[RFC8448_CLIENT].secret);
}
END_TEST

/* ---- Against libcrypto's ---- */

static struct tls_bytes some(const unsigned char *bytes, size_t n)
{
    return (struct tls_bytes){bytes, n};
}

/* Goal: whatever may be asked for, the answer is that of libcrypto's own. */
START_TEST(as_libcrypto)
{
    static const char *const digests[] = {"SHA256", "SHA2-256", "SHA384", "SHA2-384"};
    uint64_t random = 3;
    for (int round = 0; round < 4000 / UNIT_SLOW; round++) {
        unsigned char bytes[3][BYTES_MAX], out[2][OUT_MAX];
        for (size_t i = 0; i < sizeof bytes; i++)
            ((unsigned char *) bytes)[i] = (unsigned char) unit_random(&random);
        const char *digest = digests[unit_random(&random) % 4];
        size_t size = strstr(digest, "384") != NULL ? 48 : 32;
        struct ask a = expansion(some(bytes[0], size), "", some(bytes[1], unit_random(&random) % 65),
                                 1 + unit_random(&random) % (unit_random(&random) % 2 == 0 ? size : OUT_MAX));
        a.label = some(bytes[2], unit_random(&random) % 250);
        if (unit_random(&random) % 4 == 0)
            a.context = some(NULL, 0);
        if (unit_random(&random) % 2 == 0) {
            a = extraction(some(bytes[0], 1 + unit_random(&random) % BYTES_MAX), some(bytes[1], size));
            a.n = size;
            if (unit_random(&random) % 4 == 0)
                a.key = some(NULL, 0);
            if (unit_random(&random) % 4 == 0)
                a.salt = some(NULL, 0);
        }
        a.digest = digest;
        ck_assert(asked(theirs, &a, out[0]));
        ck_assert(asked(ours, &a, out[1]));
        ck_assert_mem_eq(out[0], out[1], a.n);
    }
}
END_TEST

/* Goal: what cannot be answered is not: nothing is written beyond a buffer, nobody is let in by it. */
START_TEST(wrong_questions)
{
    unsigned char bytes[BYTES_MAX] = {1}, out[OUT_MAX];
    const struct tls_bytes key = some(bytes, 32), none = some(NULL, 0);
    struct ask good = expansion(key, "key", none, 16), a;
    ck_assert(asked(ours, &good, out));
#define WRONG(field, value) \
    a = good;               \
    a.field = value;        \
    ck_assert_msg(!asked(ours, &a, out), "%s", #field " " #value)
    WRONG(mode, -1);
    WRONG(mode, EVP_KDF_HKDF_MODE_EXTRACT_AND_EXPAND);
    WRONG(digest, NULL);
    WRONG(digest, "SHA512");
    WRONG(digest, "SHA");
    WRONG(key, none);
    WRONG(key, some(bytes, 31));
    WRONG(key, some(bytes, 33));
    WRONG(key, some(bytes, 300));
    WRONG(prefix, none);
    WRONG(prefix, text("dtls13"));
    WRONG(label, some(bytes, 250));
    WRONG(context, some(bytes, 65));
    good = extraction(key, key);
    ck_assert(asked(ours, &good, out));
    WRONG(n, 31);
    WRONG(n, 33);
    WRONG(salt, some(bytes, 31));
    WRONG(salt, some(bytes, 0));
    WRONG(salt, some(bytes, 48));
#undef WRONG
}
END_TEST

/* ---- For whom ---- */

struct told {
    int calls, ours;
    unsigned char secret[TLS_SECRET_MAX];
};

static void tell(void *arg, bool is_ours, const unsigned char *secret, size_t n)
{
    struct told *t = arg;
    t->calls++;
    t->ours += is_ours;
    memcpy(t->secret, secret, n);
}

/* Goal: who asks for it in no special way has libcrypto's. */
START_TEST(only_for_us)
{
    EVP_KDF *any = EVP_KDF_fetch(NULL, "TLS13-KDF", NULL);
    ck_assert_str_eq(OSSL_PROVIDER_get0_name(EVP_KDF_get0_provider(any)), "default");
    ck_assert_str_eq(OSSL_PROVIDER_get0_name(EVP_KDF_get0_provider(ours)), KDF_PROVIDER);
    ck_assert(OSSL_PROVIDER_available(NULL, "default"));
    EVP_KDF_free(any);
}
END_TEST

/* Goal: the two secrets of the traffic are told, in a handshake, and nothing else is. */
START_TEST(what_is_told)
{
    unsigned char bytes[64] = {1}, out[48];
    struct tls_schedule *s = tls_schedule_make();
    struct told told = {.calls = 0};
    static const char *const others[] = {"c hs traffic", "s hs traffic", "exp master",    "res master",
                                         "key",          "c ap traffix", "c ap traffic2", ""};
    struct ask server = expansion(some(bytes, 32), "s ap traffic", some(bytes, 32), 32);
    struct ask client = expansion(some(bytes, 32), "c ap traffic", some(bytes, 32), 32);
    ck_assert(asked(ours, &server, out));
    kdf_begin(s, tell, &told);
    for (size_t i = 0; i < sizeof others / sizeof others[0]; i++) {
        struct ask a = expansion(some(bytes, 32), others[i], some(bytes, 32), 32);
        ck_assert(asked(ours, &a, out));
    }
    ck_assert(asked(theirs, &server, out));
    ck_assert_int_eq(told.calls, 0);
    ck_assert(asked(ours, &server, out));
    ck_assert_mem_eq(told.secret, out, 32);
    ck_assert_int_eq(told.ours, 1);
    ck_assert(asked(ours, &client, out));
    ck_assert_mem_eq(told.secret, out, 32);
    kdf_end();
    ck_assert(asked(ours, &server, out));
    ck_assert_int_eq(told.calls, 2);
    ck_assert_int_eq(told.ours, 1);
    tls_schedule_free(s);
}
END_TEST

/* As libcrypto's digests have it: words of 4 or 8 bytes, the other way round. */
static void turn_words(unsigned char *bytes, size_t n, size_t word)
{
    for (size_t at = 0; at < n; at += word)
        for (size_t i = 0; i < word / 2; i++) {
            unsigned char one = bytes[at + i];
            bytes[at + i] = bytes[at + word - 1 - i];
            bytes[at + word - 1 - i] = one;
        }
}

/* Goal: of the secret that was derived last nothing stays with the thread. What is looked for is on the stack, where
 * unit_memory_has() does not look. */
START_TEST(nothing_stays)
{
    unsigned char bytes[48] = {1}, out[48];
    if (UNIT_SLOW > 1)
        return;
    for (int digest = TLS_SHA256; digest <= TLS_SHA384; digest += TLS_SHA384 - TLS_SHA256) {
        size_t n = (size_t) digest;
        struct tls_schedule *s = tls_schedule_make();
        ck_assert(tls_expand(s, digest, bytes, text("traffic upd"), some(NULL, 0), out, n));
        ck_assert(!unit_memory_has(out, n));
        turn_words(out, n, digest == TLS_SHA256 ? 4 : 8);
        ck_assert(!unit_memory_has(out, n));
        ck_assert(tls_extract(s, digest, bytes, some(bytes, n), out));
        turn_words(out, n, digest == TLS_SHA256 ? 4 : 8);
        ck_assert(!unit_memory_has(out, n));
        tls_schedule_free(s);
    }
}
END_TEST

/* Goal: without memory it says so, or answers as ever, and nothing leaks. */
START_TEST(without_memory)
{
    unsigned char bytes[64] = {1}, expected[48], out[48];
    struct ask a = expansion(some(bytes, 32), "key", some(NULL, 0), 16);
    size_t refused = 0;
    ck_assert(asked(ours, &a, expected));
    for (size_t good = 0, failed = 1; failed > 0; good++) {
        int mode = a.mode;
        OSSL_PARAM params[] = {OSSL_PARAM_construct_int(OSSL_KDF_PARAM_MODE, &mode),
                               OSSL_PARAM_construct_utf8_string(OSSL_KDF_PARAM_DIGEST, (char *) a.digest, 0),
                               OSSL_PARAM_construct_octet_string(OSSL_KDF_PARAM_KEY, bytes, 32),
                               OSSL_PARAM_construct_octet_string(OSSL_KDF_PARAM_PREFIX, (char *) tls13.p, 6),
                               OSSL_PARAM_construct_octet_string(OSSL_KDF_PARAM_LABEL, (char *) a.label.p, 3),
                               OSSL_PARAM_construct_end()};
        EVP_KDF_CTX *ctx = EVP_KDF_CTX_new(ours);
        UNIT_ASSERT(good < 1000);
        unit_heap_fail(good);
        int done = EVP_KDF_derive(ctx, out, a.n, params);
        failed = unit_heap_heal();
        UNIT_ASSERT(done == 1 || failed > 0);
        UNIT_ASSERT(done != 1 || memcmp(out, expected, a.n) == 0);
        refused += done != 1;
        EVP_KDF_CTX_free(ctx);
    }
    ck_assert_uint_gt(refused, 0);
}
END_TEST

Suite *tls_kdf_suite(void)
{
    Suite *s = suite_create("tls_kdf");
    TCase *c = unit_case(s, "tls_kdf", 10);
    tcase_add_checked_fixture(c, begin, end);
    tcase_add_test(c, secrets_of_the_rfc);
    tcase_add_test(c, as_libcrypto);
    tcase_add_test(c, wrong_questions);
    tcase_add_test(c, only_for_us);
    tcase_add_test(c, what_is_told);
    tcase_add_test(c, nothing_stays);
    tcase_add_test(c, without_memory);
    return s;
}
