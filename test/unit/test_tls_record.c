/*
 * test_tls_record.c: keys and records of TLS 1.3 by RFC 8448 and against a second implementation.
 */
#include "unit.h"

#include "mario/tls/libssl.h"
#include "mario/tls/record.h"

#include "rfc8448.h"
#include "tls_oracle.h"

#include <stdlib.h>
#include <string.h>
#include <sys/mman.h>

static struct tls_schedule *schedule;
static struct tls_crypt *crypt_;

static void begin(void)
{
    char why[200];
    ck_assert_msg(libssl_load(why, sizeof why), "%s", why);
    schedule = tls_schedule_make();
    crypt_ = tls_crypt_make();
    ck_assert(schedule != NULL && crypt_ != NULL);
}

static void end(void)
{
    tls_schedule_free(schedule);
    tls_crypt_free(crypt_);
}

/* How many bytes. */
static size_t from_hex(const char *text, unsigned char *out)
{
    size_t n = strlen(text) / 2;
    for (size_t i = 0; i < n; i++) {
        char digits[3] = {text[2 * i], text[2 * i + 1], '\0'};
        out[i] = (unsigned char) strtoul(digits, NULL, 16);
    }
    return n;
}

static void must_be(const char *what, const unsigned char *bytes, const char *hex)
{
    unsigned char expected[256];
    size_t n = from_hex(hex, expected);
    ck_assert_msg(memcmp(bytes, expected, n) == 0, "%s", what);
}

/* A half of that suite with keys of that secret. */
static void make_half(int suite, const unsigned char *secret, unsigned char *half)
{
    memcpy(tls_half_secret(&tls_suites[suite], half), secret, tls_suites[suite].secret);
    ck_assert(tls_keys(schedule, &tls_suites[suite], half));
}

static void rfc_half(int which, unsigned char *half)
{
    unsigned char secret[TLS_SECRET_MAX];
    from_hex(rfc8448_keys[which].secret, secret);
    make_half(tls_suite_of(0x1301), secret, half);
}

/* Goal: keys are those of the RFC. */
START_TEST(keys_of_the_rfc)
{
    for (int i = 0; i < 4; i++) {
        unsigned char half[TLS_HALF_MAX];
        rfc_half(i, half);
        must_be(rfc8448_keys[i].what, tls_half_key(half), rfc8448_keys[i].key);
        must_be(rfc8448_keys[i].what, half, rfc8448_keys[i].iv);
    }
}
END_TEST

static bool expand(struct tls_schedule *s, const struct tls_suite *suite, const unsigned char *secret,
                   const char *label, unsigned char *out, size_t n)
{
    return tls_expand(s, suite->secret, secret,
                      (struct tls_bytes){(const unsigned char *) label, strlen(label)},
                      (struct tls_bytes){NULL, 0}, out, n);
}

/* Goal: other labels too, and the secrets after a KeyUpdate. */
START_TEST(labels_and_generations)
{
    const struct tls_suite *aes = &tls_suites[tls_suite_of(0x1301)];
    unsigned char half[TLS_HALF_MAX], out[32];
    rfc_half(RFC8448_SERVER_HANDSHAKE, half);
    ck_assert(expand(schedule, aes, tls_half_secret(aes, half), "finished", out, 32));
    must_be("finished", out, RFC8448_SERVER_FINISHED);
    rfc_half(RFC8448_CLIENT_HANDSHAKE, half);
    ck_assert(expand(schedule, aes, tls_half_secret(aes, half), "finished", out, 32));
    must_be("finished", out, RFC8448_CLIENT_FINISHED);
    rfc_half(RFC8448_SERVER, half);
    ck_assert(tls_keys_next(schedule, aes, half));
    must_be("next", tls_half_secret(aes, half), RFC8448_SERVER_NEXT);
    rfc_half(RFC8448_CLIENT, half);
    ck_assert(tls_keys_next(schedule, aes, half));
    must_be("next", tls_half_secret(aes, half), RFC8448_CLIENT_NEXT);
}
END_TEST

/* Goal: records are those of the RFC, in both directions. */
START_TEST(records_of_the_rfc)
{
    for (size_t i = 0; i < sizeof rfc8448_records / sizeof rfc8448_records[0]; i++) {
        unsigned char half[TLS_HALF_MAX], record[256], made[256], plain[256];
        size_t size = from_hex(rfc8448_records[i].record, record), n;
        size_t len = from_hex(rfc8448_records[i].plain, plain);
        uint64_t seq = (uint64_t) rfc8448_records[i].seq;
        const char *why = "";
        rfc_half(rfc8448_records[i].keys, half);
        memcpy(made + TLS_RECORD_HEAD, plain, len);
        ck_assert_uint_eq(tls_record_seal(crypt_, 0, half, seq, (uint8_t) rfc8448_records[i].type, made, len),
                          size);
        ck_assert_msg(memcmp(made, record, size) == 0, "%s", rfc8448_records[i].what);
        ck_assert_int_eq(tls_record_body(record, &why), (int) size - TLS_RECORD_HEAD);
        ck_assert_int_eq(tls_record_open(crypt_, 0, half, seq, record, &n, &why), rfc8448_records[i].type);
        ck_assert_uint_eq(n, len);
        ck_assert_msg(memcmp(record + TLS_RECORD_HEAD, plain, len) == 0, "%s", rfc8448_records[i].what);
    }
}
END_TEST

/* Goal: the keys of all suites are what another derivation gives, over generations. */
START_TEST(keys_against_the_oracle)
{
    uint64_t random = 1;
    for (int suite = 0; suite < TLS_SUITES; suite++) {
        const struct tls_suite *kind = &tls_suites[suite];
        ck_assert_int_eq(tls_suite_of(0x03000000u | kind->id), suite);
        for (int round = 0; round < 20; round++) {
            unsigned char secret[TLS_SECRET_MAX], half[TLS_HALF_MAX];
            struct oracle o;
            for (size_t i = 0; i < sizeof secret; i++)
                secret[i] = (unsigned char) unit_random(&random);
            oracle_begin(&o, kind->id, secret);
            make_half(suite, secret, half);
            for (int generation = 0; generation < 3; generation++) {
                ck_assert_mem_eq(half, o.iv, sizeof o.iv);
                ck_assert_mem_eq(tls_half_key(half), o.key, o.key_size);
                ck_assert_mem_eq(tls_half_secret(kind, half), o.secret, o.secret_size);
                ck_assert(tls_keys_next(schedule, kind, half));
                oracle_update(&o);
            }
        }
    }
    ck_assert_int_eq(tls_suite_of(0x1304), -1);
    ck_assert_int_eq(tls_suite_of(0), -1);
}
END_TEST

/* Goal: what we seal the other opens, and the other way round: all suites, lengths, paddings, numbers, keys that take
 * turns in one context; nothing is touched beyond a record. */
START_TEST(records_against_the_oracle)
{
    uint64_t random = 7;
    void *base;
    size_t mapped;
    static unsigned char theirs[ORACLE_RECORD_MAX + 16], data[TLS_RECORD_PLAIN], out[ORACLE_RECORD_MAX];
    for (int round = 0; round < 3000 / UNIT_SLOW; round++) {
        int suite = (int) (unit_random(&random) % TLS_SUITES);
        size_t len = unit_random(&random) % (round % 8 == 0 ? TLS_RECORD_PLAIN + 1 : 100), n, padding, size;
        unsigned char secret[TLS_SECRET_MAX] = {(unsigned char) (unit_random(&random) % 3)},
                      half[TLS_HALF_MAX];
        uint64_t seq = unit_random(&random) >> unit_random(&random) % 64;
        int type = 21 + (int) (unit_random(&random) % 3);
        struct oracle o;
        const char *why = NULL;
        if (round % 64 == 0)
            len = TLS_RECORD_PLAIN;
        for (size_t i = 0; i < len; i++)
            data[i] = (unsigned char) unit_random(&random);
        oracle_begin(&o, tls_suites[suite].id, secret);
        make_half(suite, secret, half);
        unsigned char *ours = unit_guarded(TLS_RECORD_HEAD + len + TLS_RECORD_TAIL, &base, &mapped);
        UNIT_ASSERT(ours != NULL);
        memcpy(ours + TLS_RECORD_HEAD, data, len);
        UNIT_ASSERT(tls_record_seal(crypt_, suite, half, seq, (uint8_t) type, ours, len) ==
                    TLS_RECORD_HEAD + len + TLS_RECORD_TAIL);
        o.seq = seq;
        UNIT_ASSERT(oracle_open(&o, ours, TLS_RECORD_HEAD + len + TLS_RECORD_TAIL, out, &n) == type);
        UNIT_ASSERT(n == len && memcmp(out, data, n) == 0);
        munmap(base, mapped);
        padding = unit_random(&random) % (round % 2 == 0 ? 1 : ORACLE_RECORD_MAX - 5 - 17 - len + 1);
        o.seq = seq;
        size = oracle_seal(&o, type, data, len, padding, theirs);
        UNIT_ASSERT(tls_record_body(theirs, &why) == (int) size - TLS_RECORD_HEAD);
        UNIT_ASSERT(tls_record_open(crypt_, suite, half, seq, theirs, &n, &why) == type);
        UNIT_ASSERT(n == len && memcmp(theirs + TLS_RECORD_HEAD, data, n) == 0);
    }
}
END_TEST

/* Goal: a record with one bit changed, or of another number or key, is not opened, and the next good one is. */
START_TEST(changed_records)
{
    unsigned char secret[TLS_SECRET_MAX] = {1}, half[TLS_HALF_MAX], other[TLS_HALF_MAX];
    unsigned char record[64], copy[64];
    struct oracle o;
    const char *why = NULL;
    size_t n;
    for (int suite = 0; suite < TLS_SUITES; suite++) {
        oracle_begin(&o, tls_suites[suite].id, secret);
        make_half(suite, secret, half);
        memcpy(other, half, sizeof other);
        tls_half_key(other)[tls_suites[suite].key - 1] ^= 1;
        size_t size = oracle_seal(&o, TLS_APPLICATION, "hello", 5, 3, record);
        for (size_t bit = 0; bit < size * 8; bit++) {
            memcpy(copy, record, size);
            copy[bit / 8] ^= (unsigned char) (1 << bit % 8);
            int answer = tls_record_body(copy, &why);
            if (bit >= TLS_RECORD_HEAD * 8) /* the length is not that of what is there: nobody opens it */
                answer = tls_record_open(crypt_, suite, half, 0, copy, &n, &why);
            else if (bit / 8 < 3)
                ck_assert_int_lt(answer, 0);
            if (bit >= TLS_RECORD_HEAD * 8)
                ck_assert_int_eq(answer, -TLS_BAD_RECORD_MAC);
        }
        memcpy(copy, record, size);
        ck_assert_int_eq(tls_record_open(crypt_, suite, half, 1, copy, &n, &why), -TLS_BAD_RECORD_MAC);
        memcpy(copy, record, size);
        ck_assert_int_eq(tls_record_open(crypt_, suite, other, 0, copy, &n, &why), -TLS_BAD_RECORD_MAC);
        memcpy(copy, record, size);
        ck_assert_int_eq(tls_record_open(crypt_, suite, half, 0, copy, &n, &why), TLS_APPLICATION);
        ck_assert_uint_eq(n, 5);
    }
}
END_TEST

/* Goal: heads that are none, types that there are not, records of nothing, too much in one: the alert for each. */
START_TEST(bad_records)
{
    static const struct {
        unsigned char head[TLS_RECORD_HEAD];
        int answer;
    } rows[] = {
        {{23, 3, 3, 0, 17}, 17},
        {{23, 3, 3, 0x41, 0}, 16640},
        {{23, 3, 3, 0x41, 1}, -TLS_RECORD_OVERFLOW},
        {{23, 3, 3, 0xff, 0xff}, -TLS_RECORD_OVERFLOW},
        {{23, 3, 3, 0, 16}, -TLS_BAD_RECORD_MAC},
        {{23, 3, 3, 0, 0}, -TLS_BAD_RECORD_MAC},
        {{23, 3, 1, 0, 17}, -TLS_DECODE_ERROR},
        {{23, 2, 3, 0, 17}, -TLS_DECODE_ERROR},
        {{20, 3, 3, 0, 1}, -TLS_UNEXPECTED_MESSAGE},
        {{21, 3, 3, 0, 2}, -TLS_UNEXPECTED_MESSAGE},
        {{22, 3, 3, 0, 17}, -TLS_UNEXPECTED_MESSAGE},
        {{'G', 'E', 'T', ' ', '/'}, -TLS_UNEXPECTED_MESSAGE},
    };
    static unsigned char record[ORACLE_RECORD_MAX], data[16384 + 100];
    unsigned char secret[TLS_SECRET_MAX] = {1}, half[TLS_HALF_MAX];
    struct oracle o;
    size_t n;
    for (size_t i = 0; i < sizeof rows / sizeof rows[0]; i++) {
        const char *why = NULL;
        ck_assert_int_eq(tls_record_body(rows[i].head, &why), rows[i].answer);
        ck_assert((why != NULL) == (rows[i].answer < 0));
    }
    oracle_begin(&o, 0x1301, secret);
    make_half(0, secret, half);
    for (int type = 0; type < 256; type++) {
        const char *why = NULL;
        bool known = type >= TLS_ALERT && type <= TLS_APPLICATION;
        uint64_t seq = o.seq;
        oracle_seal(&o, type, type == 0 ? "" : "x", type == 0 ? 0 : 1, 9, record);
        ck_assert_int_eq(tls_record_open(crypt_, 0, half, seq, record, &n, &why),
                         known ? type : -TLS_UNEXPECTED_MESSAGE);
    }
    const char *why = NULL;
    uint64_t seq = o.seq;
    data[16384] = 1;
    oracle_seal(&o, TLS_APPLICATION, data, 16385, 0, record);
    ck_assert_int_eq(tls_record_open(crypt_, 0, half, seq, record, &n, &why), -TLS_RECORD_OVERFLOW);
}
END_TEST

/* Halves that share their memory, as it seems to unit_memory_has(), with somebody: so that it finds copies. */
static unsigned char *make_halves(size_t count, int suite)
{
    unsigned char secret[TLS_SECRET_MAX] = {1};
    unsigned char *halves =
        mmap(NULL, count * TLS_HALF_MAX, PROT_READ | PROT_WRITE, MAP_SHARED | MAP_ANONYMOUS, -1, 0);
    UNIT_ASSERT(halves != MAP_FAILED);
    for (size_t i = 0; i < count; i++) {
        memcpy(secret, &i, sizeof i);
        make_half(suite, secret, halves + i * TLS_HALF_MAX);
    }
    return halves;
}

/* A record is sealed with the half, and opened; each is what another context makes of it. */
static void must_work(int suite, const unsigned char *half, uint64_t seq)
{
    struct tls_crypt *fresh = tls_crypt_make();
    unsigned char record[64], expected[64];
    const char *why = NULL;
    size_t n;
    UNIT_ASSERT(fresh != NULL);
    memcpy(record + TLS_RECORD_HEAD, "hello", 5);
    memcpy(expected + TLS_RECORD_HEAD, "hello", 5);
    size_t size = tls_record_seal(crypt_, suite, half, seq, TLS_APPLICATION, record, 5);
    UNIT_ASSERT(tls_record_seal(fresh, suite, half, seq, TLS_APPLICATION, expected, 5) == size);
    UNIT_ASSERT(memcmp(record, expected, size) == 0);
    UNIT_ASSERT(tls_record_open(crypt_, suite, half, seq, record, &n, &why) == TLS_APPLICATION);
    UNIT_ASSERT(n == 5 && memcmp(record + TLS_RECORD_HEAD, "hello", 5) == 0);
    tls_crypt_free(fresh);
}

/* Goal: few that come all the time and many that come once, in any order, have records with their own keys; also where
 * a half is another one's successor in its place. */
START_TEST(many_keys)
{
    enum { COUNT = 600 };
    uint64_t random = 3;
    for (int suite = 0; suite < TLS_SUITES; suite++) {
        unsigned char *halves = make_halves(COUNT, suite), *half;
        for (uint64_t i = 0; i < 20000 / UNIT_SLOW; i++) {
            uint64_t which = unit_random(&random);
            half = halves + (which % 4 == 0 ? which / 4 % COUNT : which / 4 % 20) * TLS_HALF_MAX;
            must_work(suite, half, i);
            if (which >> 40 & 1)
                UNIT_ASSERT(tls_keys_next(schedule, &tls_suites[suite], half));
        }
        munmap(halves, (size_t) COUNT * TLS_HALF_MAX);
    }
}
END_TEST

/* Goal: of a half that is forgotten no copy of the key is left, whoever has come before and after. */
START_TEST(forgotten_keys)
{
    enum { COUNT = 300 };
    if (UNIT_SLOW > 1)
        return;
    for (int suite = 0; suite < TLS_SUITES; suite++) {
        unsigned char *halves = make_halves(COUNT, suite);
        unsigned kept = 0;
        for (size_t i = 0; i < COUNT * 40; i++)
            must_work(suite, halves + (i % 7 == 0 ? i % COUNT : i % 20) * TLS_HALF_MAX, i);
        for (size_t i = 0; i < COUNT; i++) {
            unsigned char *half = halves + i * TLS_HALF_MAX;
            bool there = i < 40 && unit_memory_has(tls_half_key(half), tls_suites[suite].key);
            kept += there;
            tls_crypt_forget(crypt_, suite, half);
            if (there || i % 50 == 0)
                UNIT_ASSERT(!unit_memory_has(tls_half_key(half), tls_suites[suite].key));
            must_work(suite, half, COUNT * 40 + i);
            tls_crypt_forget(crypt_, suite, half);
        }
        ck_assert_uint_ge(kept, 19);
        munmap(halves, (size_t) COUNT * TLS_HALF_MAX);
    }
}
END_TEST

/* Goal: without memory nothing is sealed or opened, and nothing leaks or stays broken. */
START_TEST(without_memory)
{
    unsigned char secret[TLS_SECRET_MAX] = {1}, half[TLS_HALF_MAX], record[64];
    for (int suite = 0; suite < TLS_SUITES; suite++) {
        const char *why = NULL;
        size_t n = 0;
        make_half(suite, secret, half);
        ck_assert_uint_gt(tls_record_seal(crypt_, suite, half, 0, TLS_APPLICATION, record, 8), 0);
        ck_assert_int_eq(tls_record_open(crypt_, suite, half, 0, record, &n, &why), TLS_APPLICATION);
        for (size_t good = 0, failed = 1; failed > 0; good++) {
            size_t sealed = 0;
            int opened = -1;
            UNIT_ASSERT(good < 1000);
            unit_heap_fail(good);
            struct tls_schedule *s = tls_schedule_make();
            struct tls_crypt *c = tls_crypt_make();
            if (s != NULL && expand(s, &tls_suites[suite], secret, "key", record, 16) && c != NULL)
                sealed = tls_record_seal(c, suite, half, 0, TLS_APPLICATION, record, 8);
            if (sealed > 0)
                opened = tls_record_open(c, suite, half, 0, record, &n, &why);
            failed = unit_heap_heal();
            UNIT_ASSERT(failed > 0 || opened == TLS_APPLICATION);
            UNIT_ASSERT(opened == TLS_APPLICATION || opened == -1 || opened == -TLS_INTERNAL_ERROR);
            tls_schedule_free(s);
            tls_crypt_free(c);
        }
    }
}
END_TEST

Suite *tls_record_suite(void)
{
    Suite *s = suite_create("tls_record");
    TCase *c = unit_case(s, "tls_record", 10);
    tcase_add_checked_fixture(c, begin, end);
    tcase_add_test(c, keys_of_the_rfc);
    tcase_add_test(c, labels_and_generations);
    tcase_add_test(c, records_of_the_rfc);
    tcase_add_test(c, keys_against_the_oracle);
    tcase_add_test(c, records_against_the_oracle);
    tcase_add_test(c, changed_records);
    tcase_add_test(c, bad_records);
    tcase_add_test(c, many_keys);
    tcase_add_test(c, forgotten_keys);
    tcase_add_test(c, without_memory);
    return s;
}
