/*
 * test_clients.c: what the clients are built of (test/lib): the numbers they report and the faults they find
 * must be right before anything they say about a server counts. Run by the unit test runner, one process.
 */
#include "unit.h"

#include <errno.h>
#include <fcntl.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

#include "clients.h"
#include "protocol/mario_protocol.h"
#include "test/lib/args.h"
#include "test/lib/exchange.h"
#include "test/lib/fault.h"
#include "test/lib/hist.h"
#include "test/lib/payload.h"
#include "test/lib/wire.h"

/* ---- hist ---- */

/* Goal: a single time is reported within 1 %, over the whole range. */
START_TEST(hist_single_value_within_one_percent)
{
    static struct hist h;
    uint64_t state = 88172645463325252ull;
    for (int i = 0; i < 2000; i++) {
        uint64_t v = unit_random(&state) >> (i % 63);
        uint64_t low = v - v / 4, high = v > UINT64_MAX - v / 4 ? UINT64_MAX : v + v / 4;
        hist_clear(&h);
        hist_add(&h, low, 1);
        hist_add(&h, v, 1);
        hist_add(&h, high, 1);
        double got = (double) hist_percentile(&h, 50);
        ck_assert_double_le(got, (double) v * 1.01);
        ck_assert_double_ge(got, (double) v * 0.99);
    }
}
END_TEST

static int compare_u64(const void *a, const void *b)
{
    uint64_t x = *(const uint64_t *) a, y = *(const uint64_t *) b;
    return x < y ? -1 : x > y;
}

/* Goal: percentiles of many times agree with those of the sorted list within 1 %. */
START_TEST(hist_percentiles_agree_with_sorted)
{
    enum { N = 10000 };
    static struct hist h;
    static uint64_t v[N];
    uint64_t state = 1;
    hist_clear(&h);
    for (int i = 0; i < N; i++) {
        v[i] = unit_random(&state) >> (30 + unit_random(&state) % 30);
        hist_add(&h, v[i], 1);
    }
    qsort(v, N, sizeof v[0], compare_u64);
    static const double percent[] = {0.01, 1, 10, 50, 90, 99, 99.9, 99.99, 100};
    for (size_t i = 0; i < sizeof percent / sizeof percent[0]; i++) {
        size_t rank = (size_t) (percent[i] / 100 * N + 0.999999);
        double right = (double) v[rank - 1], got = (double) hist_percentile(&h, percent[i]);
        ck_assert_double_le(got, right * 1.01);
        ck_assert_double_ge(got, right * 0.99);
    }
    ck_assert_uint_eq(h.min, v[0]);
    ck_assert_uint_eq(hist_percentile(&h, 100), v[N - 1]);
}
END_TEST

/* Goal: small times are exact, the largest fits, and no bucket is skipped or gone back to. */
START_TEST(hist_buckets_cover_all)
{
    static struct hist h;
    hist_clear(&h);
    ck_assert_uint_eq(hist_percentile(&h, 50), 0);
    ck_assert_uint_eq(hist_index(UINT64_MAX), HIST_BUCKETS - 1);
    for (uint64_t v = 0; v < 2 * HIST_SUB; v++) {
        hist_clear(&h);
        hist_add(&h, v, 3);
        ck_assert_uint_eq(hist_percentile(&h, 50), v);
    }
    uint32_t last = 0;
    for (uint64_t v = 1; v < 1ull << 62; v += v / 300 + 1) {
        ck_assert_uint_ge(hist_index(v), last);
        ck_assert_uint_le(hist_index(v), last + 1);
        last = hist_index(v);
    }
}
END_TEST

/* Goal: merging two is the same as adding to one. */
START_TEST(hist_merge_equals_one)
{
    static struct hist a, b, both;
    uint64_t state = 7;
    hist_clear(&a);
    hist_clear(&b);
    hist_clear(&both);
    for (int i = 0; i < 1000; i++) {
        uint64_t v = unit_random(&state) >> 40;
        hist_add(i % 3 != 0 ? &a : &b, v, 2);
        hist_add(&both, v, 2);
    }
    hist_merge(&a, &b);
    ck_assert_mem_eq(&a, &both, sizeof a);
    ck_assert_double_eq_tol(hist_mean(&a), (double) both.sum / 2000, 1e-9);
}
END_TEST

/* ---- wire ---- */

/* Goal: a HEAD stands on the wire byte for byte as the design says, and comes back. */
START_TEST(wire_head_bytes)
{
    static const unsigned char right[8] = {0xf7, 0x9a, 0xb6, 0x8e, 0x0a, 0x01, 0x03, 0x61};
    unsigned char odd[9]; /* and at an odd address */
    wire_put_head(odd + 1, (struct wire_head){0x8eb69af7, 0x010a, 0x6103});
    ck_assert_mem_eq(odd + 1, right, sizeof right);
    struct wire_head h = wire_get_head(odd + 1);
    ck_assert_uint_eq(h.stx, 0x8eb69af7);
    ck_assert_uint_eq(h.pkglen, 0x010a);
    ck_assert_uint_eq(h.akg_id, 0x6103);
}
END_TEST

/* Goal: every value of every field comes back. */
START_TEST(wire_round_trip)
{
    unsigned char b[8];
    for (uint32_t v = 0; v <= UINT16_MAX; v++) {
        wire_put_head(b, (struct wire_head){v * 65537u, (uint16_t) v, (uint16_t) ~v});
        struct wire_head h = wire_get_head(b);
        ck_assert(h.stx == v * 65537u && h.pkglen == v && h.akg_id == (uint16_t) ~v);
    }
    wire_put64(b, 0x0123456789abcdefull);
    ck_assert_uint_eq(b[0], 0xef);
    ck_assert_uint_eq(b[7], 0x01);
    ck_assert_uint_eq(wire_get64(b), 0x0123456789abcdefull);
}
END_TEST

/* Goal: a LOGIN is the ten bytes the design promises, and uid + k wraps. */
START_TEST(exchange_login_bytes)
{
    static const unsigned char right[10] = {0xf7, 0x9a, 0xb6, 0x8e, 10, 0, 0x01, 0x61, 0x01, 0x00};
    unsigned char b[10];
    struct exchange x = exchange_login(MARITCP_STX, 65535);
    ck_assert_uint_eq(x.request_len, sizeof b);
    exchange_build(&x, 2, 77, b);
    ck_assert_mem_eq(b, right, sizeof b);
}
END_TEST

/* ---- payload ---- */

static const size_t sizes[] = {0,  1,  2,  7,  8,  15, 16,  17,  23,   24,
                               31, 32, 47, 48, 55, 64, 100, 257, 1000, 8184};
#define SIZES (sizeof sizes / sizeof sizes[0])

/* Goal: what was made is right, from 0 bytes to the largest packet, and nothing is written beside it. */
START_TEST(payload_round_trip)
{
    static unsigned char b[EXCHANGE_DATA_MAX + 2];
    for (size_t i = 0; i <= SIZES; i++) {
        size_t n = i < SIZES ? sizes[i] : EXCHANGE_DATA_MAX;
        memset(b, 0xa5, sizeof b);
        payload_fill(b + 1, n, 3, 9);
        ck_assert(payload_check(b + 1, n, 3, 9));
        ck_assert_uint_eq(b[0], 0xa5);
        ck_assert_uint_eq(b[n + 1], 0xa5);
    }
}
END_TEST

/* Goal: every single changed bit of every byte is found. */
START_TEST(payload_finds_each_flip)
{
    unsigned char b[8184];
    size_t n = sizes[_i];
    payload_fill(b, n, 12, 34);
    for (size_t at = 0; at < n; at++)
        for (int bit = 0; bit < 8; bit++) {
            b[at] ^= (unsigned char) (1 << bit);
            ck_assert_msg(!payload_check(b, n, 12, 34), "bit %d of byte %zu of %zu", bit, at, n);
            b[at] ^= (unsigned char) (1 << bit);
        }
    ck_assert(payload_check(b, n, 12, 34));
}
END_TEST

/* Goal: two words changed by the same bit, or changed places, are found: a plain sum would miss them. */
START_TEST(payload_finds_pairs)
{
    unsigned char b[256], c[256];
    payload_fill(b, sizeof b, 1, 2);
    for (size_t at = 0; at + 16 <= sizeof b; at += 8) {
        memcpy(c, b, sizeof c);
        c[at + 7] ^= 0x80;
        c[at + 15] ^= 0x80;
        ck_assert(!payload_check(c, sizeof c, 1, 2));
        memcpy(c + at, b + at + 8, 8);
        memcpy(c + at + 8, b + at, 8);
        ck_assert(!payload_check(c, sizeof c, 1, 2));
    }
}
END_TEST

/* Goal: bytes of another request, connection or length are found as soon as there is room for a number. */
START_TEST(payload_finds_strangers)
{
    unsigned char b[8184];
    size_t n = sizes[_i];
    payload_fill(b, n, 12, 34);
    ck_assert_int_eq(payload_check(b, n, 12, 34), true);
    if (n >= 8) { /* fewer bytes find it only nearly always */
        ck_assert(!payload_check(b, n, 12, 35));
        ck_assert(!payload_check(b, n, 13, 34));
        ck_assert(!payload_check(b, n, 34, 12));
        ck_assert(!payload_check(b, n - 1, 12, 34));
    }
}
END_TEST

/* Goal: below 16 bytes a reply in the wrong order is found about as often as its bytes can tell. */
START_TEST(payload_small_degrades)
{
    unsigned char b[2];
    int passed[3] = {0};
    for (size_t n = 1; n <= 2; n++) {
        payload_fill(b, n, 1, 0);
        for (uint32_t seq = 1; seq <= 2560; seq++)
            passed[n] += payload_check(b, n, 1, seq);
    }
    ck_assert_int_le(passed[1], 30); /* 10 are to be expected */
    ck_assert_int_le(passed[2], 3);
}
END_TEST

/* ---- exchange ---- */

struct judged {
    const char *what;
    size_t at, n;
    unsigned char byte;
    int answer;
    enum fault fault;
};

/* Goal: each kind of wrong reply has its name, and as early as its bytes tell. */
START_TEST(exchange_judges_heads)
{
    static const struct judged rows[] = {
        {"right", 0, 13, 0xf7, 13, FAULT_NONE},
        {"and more behind it", 0, 20, 0xf7, 13, FAULT_NONE},
        {"nothing", 0, 0, 0xf7, 0, FAULT_NONE},
        {"three bytes", 0, 3, 0xf6, 0, FAULT_NONE},
        {"wrong stx", 0, 4, 0xf6, -1, FAULT_BAD_STX},
        {"wrong stx, last byte", 3, 4, 0x8f, -1, FAULT_BAD_STX},
        {"head incomplete", 4, 7, 99, 0, FAULT_NONE},
        {"wrong length", 4, 8, 14, -1, FAULT_BAD_LENGTH},
        {"length below a head", 4, 8, 7, -1, FAULT_BAD_LENGTH},
        {"length 0", 4, 8, 0, -1, FAULT_BAD_LENGTH},
        {"length + 256", 5, 8, 1, -1, FAULT_BAD_LENGTH},
        {"wrong akg_id", 6, 8, 0x03, -1, FAULT_BAD_AKG},
        {"its id, not its length", 6, 8, 0x0b, -1, FAULT_BAD_AKG},
        {"data incomplete", 8, 12, 'H', 0, FAULT_NONE},
        {"wrong data", 12, 13, 'O', -1, FAULT_BAD_CONTENT},
    };
    struct exchange x = exchange_hello(MARITCP_STX, 0);
    for (size_t i = 0; i < sizeof rows / sizeof rows[0]; i++) {
        unsigned char b[20] = {0xf7, 0x9a, 0xb6, 0x8e, 13, 0, 0x02, 0x61, 'h', 'e', 'l', 'l', 'o'};
        enum fault fault = FAULT_COUNT;
        b[rows[i].at] = rows[i].byte;
        int answer = exchange_judge(&x, 0, 0, b, rows[i].n, &fault);
        ck_assert_msg(answer == rows[i].answer && fault == rows[i].fault, "%s: %d %s", rows[i].what, answer,
                      fault_name(fault));
    }
}
END_TEST

/* Goal: being told to leave is no wrong reply, whether one is awaited or not. */
START_TEST(exchange_judges_go_away)
{
    unsigned char b[WIRE_HEAD_LEN + sizeof(GO_AWAY_MSG)] = {0};
    struct exchange x = exchange_hello(MARITCP_STX, 0);
    enum fault fault;
    wire_put_head(b, (struct wire_head){MARITCP_STX, sizeof b, CMD_FUNCTION_GO_AWAY});
    for (size_t n = 0; n < WIRE_HEAD_LEN; n++) {
        ck_assert_int_eq(exchange_judge(&x, 0, 0, b, n, &fault), 0);
        ck_assert_int_eq(exchange_is_away(MARITCP_STX, b, n), 0);
    }
    ck_assert_int_eq(exchange_judge(&x, 0, 0, b, sizeof b, &fault), -1);
    ck_assert_int_eq(fault, FAULT_AWAY);
    ck_assert_int_eq(exchange_is_away(MARITCP_STX, b, sizeof b), 1);
    ck_assert_int_eq(exchange_is_away(MARITCP_STX + 1, b, sizeof b), -1);
    for (size_t at = 0; at < WIRE_HEAD_LEN; at++) {
        b[at] ^= 1;
        ck_assert_int_eq(exchange_is_away(MARITCP_STX, b, at), 0);
        ck_assert_int_eq(exchange_is_away(MARITCP_STX, b, at + 1), -1);
        b[at] ^= 1;
    }
}
END_TEST

/* Goal: an echo is right only whole and for its own numbers; split anywhere it is not judged too early. */
START_TEST(exchange_judges_echo)
{
    unsigned char b[8 + 64];
    enum fault fault;
    struct exchange x = exchange_echo(MARITCP_STX, 64);
    exchange_build(&x, 5, 6, b);
    for (size_t n = 0; n < sizeof b; n++)
        ck_assert_int_eq(exchange_judge(&x, 5, 6, b, n, &fault), 0);
    ck_assert_int_eq(exchange_judge(&x, 5, 6, b, sizeof b, &fault), sizeof b);
    ck_assert_int_eq(exchange_judge(&x, 5, 7, b, sizeof b, &fault), -1);
    ck_assert_int_eq(fault, FAULT_BAD_CONTENT);
    ck_assert_int_eq(exchange_judge(&x, 4, 6, b, sizeof b, &fault), -1);
    for (size_t at = 0; at < sizeof b; at++) {
        b[at] ^= 1;
        ck_assert_int_eq(exchange_judge(&x, 5, 6, b, sizeof b, &fault), -1);
        b[at] ^= 1;
    }
}
END_TEST

/* Goal: a text comes back as it was; an unknown id takes any length that is one. */
START_TEST(exchange_judges_text_and_other)
{
    unsigned char b[64];
    enum fault fault;
    struct exchange x = exchange_text(MARITCP_STX, "hallo", 5);
    exchange_build(&x, 0, 0, b);
    ck_assert_mem_eq(b + WIRE_HEAD_LEN, "hallo", 5);
    ck_assert_int_eq(exchange_judge(&x, 0, 0, b, 13, &fault), 13);
    b[9] = 'e';
    ck_assert_int_eq(exchange_judge(&x, 0, 0, b, 13, &fault), -1);
    x = exchange_other(MARITCP_STX, 0x0042, 3);
    ck_assert_uint_eq(x.request_len, 11);
    wire_put_head(b, (struct wire_head){MARITCP_STX, 40, 0x0042});
    ck_assert_int_eq(exchange_judge(&x, 0, 0, b, 39, &fault), 0);
    ck_assert_int_eq(exchange_judge(&x, 0, 0, b, 40, &fault), 40);
    wire_put_head(b, (struct wire_head){MARITCP_STX, 7, 0x0042});
    ck_assert_int_eq(exchange_judge(&x, 0, 0, b, 40, &fault), -1);
    ck_assert_int_eq(fault, FAULT_BAD_LENGTH);
}
END_TEST

/* Goal: each kind has a name and a text of its own. */
START_TEST(fault_names_are_distinct)
{
    for (int a = 0; a < FAULT_COUNT; a++)
        for (int b = a + 1; b < FAULT_COUNT; b++) {
            ck_assert_str_ne(fault_name((enum fault) a), fault_name((enum fault) b));
            ck_assert_str_ne(fault_text((enum fault) a), fault_text((enum fault) b));
        }
    ck_assert_int_eq(fault_of_errno(ECONNRESET), FAULT_RESET);
    ck_assert_int_eq(fault_of_errno(ECONNREFUSED), FAULT_REFUSED);
    ck_assert_int_eq(fault_of_errno(EMFILE), FAULT_LOCAL);
    ck_assert_int_eq(fault_of_errno(ETIMEDOUT), FAULT_TIMEOUT);
}
END_TEST

/* ---- args ---- */

/* Goal: numbers are taken whole and in their range, or not at all. Complaints go to standard error. */
START_TEST(args_numbers)
{
    static const char *const bad[] = {
        "", "x", "-1", "1x", "1.5", " 1", "101", "0x", "99999999999999999999999"};
    uint64_t n;
    uint32_t x;
    double s;
    ck_assert_int_eq(args_whole("-n", "100", 1, 100, &n), 0);
    ck_assert_uint_eq(n, 100);
    ck_assert_int_eq(args_whole("-n", "0x6101", 0, 65535, &n), 0);
    ck_assert_uint_eq(n, 0x6101);
    ck_assert_int_eq(args_hex32("-x", "8eb69af7", &x), 0);
    ck_assert_int_eq(args_hex32("-x", "0x8eb69af7", &x), 0);
    ck_assert_uint_eq(x, 0x8eb69af7);
    ck_assert_int_eq(args_seconds("-t", "0.25", 0, 1, &s), 0);
    ck_assert_double_eq(s, 0.25);
    int said = dup(STDERR_FILENO), nowhere = open("/dev/null", O_WRONLY | O_CLOEXEC);
    ck_assert_int_ge(dup2(nowhere, STDERR_FILENO), 0);
    int taken = args_hex32("-x", "123456789", &x) + args_seconds("-t", "1e9", 0, 10, &s);
    taken += args_seconds("-t", "nan", 0, 10, &s) + args_seconds("-t", ".", 0, 10, &s);
    for (size_t i = 0; i < sizeof bad / sizeof bad[0]; i++)
        taken += args_whole("-n", bad[i], 0, 100, &n);
    ck_assert_int_ge(dup2(said, STDERR_FILENO), 0);
    close(said);
    close(nowhere);
    ck_assert_int_eq(taken, -4 - (int) (sizeof bad / sizeof bad[0]));
}
END_TEST

Suite *clients_suite(void)
{
    Suite *s = suite_create("clients");
    TCase *data = unit_case(s, "data", 10);
    clients_net_cases(s);
    clients_hold_cases(s);
    clients_push_cases(s);
    tcase_add_test(data, hist_single_value_within_one_percent);
    tcase_add_test(data, hist_percentiles_agree_with_sorted);
    tcase_add_test(data, hist_buckets_cover_all);
    tcase_add_test(data, hist_merge_equals_one);
    tcase_add_test(data, wire_head_bytes);
    tcase_add_test(data, wire_round_trip);
    tcase_add_test(data, payload_round_trip);
    tcase_add_loop_test(data, payload_finds_each_flip, 0, (int) SIZES - 1);
    tcase_add_loop_test(data, payload_finds_strangers, 0, (int) SIZES);
    tcase_add_test(data, payload_finds_pairs);
    tcase_add_test(data, payload_small_degrades);
    tcase_add_test(data, exchange_login_bytes);
    tcase_add_test(data, exchange_judges_heads);
    tcase_add_test(data, exchange_judges_go_away);
    tcase_add_test(data, exchange_judges_echo);
    tcase_add_test(data, exchange_judges_text_and_other);
    tcase_add_test(data, fault_names_are_distinct);
    tcase_add_test(data, args_numbers);
    return s;
}
