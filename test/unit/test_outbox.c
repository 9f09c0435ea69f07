/*
 * test_outbox.c: the queue of what waits to be sent, against a plain row of bytes: whatever is added, looked at and
 * sent in whatever pieces, the same bytes come out, and nothing is held for who has nothing waiting.
 */
#include "mario/conn/outbox.h"
#include "unit.h"

#include <string.h>

#include "mario/base/mem.h"

enum { MOST = 600000, PIECES = 16 };

static unsigned char written[MOST], noise[70000];

/* What outbox_peek() shows must be what stands in written[at ..]. */
static void look(const struct outbox *o, size_t at, size_t pieces)
{
    struct iovec vec[PIECES];
    size_t n = outbox_peek(o, vec, pieces);
    UNIT_ASSERT(n >= 1 && n <= pieces);
    for (size_t i = 0; i < n; i++) {
        UNIT_ASSERT(vec[i].iov_len > 0 && memcmp(vec[i].iov_base, written + at, vec[i].iov_len) == 0);
        at += vec[i].iov_len;
    }
}

/* Goal: any order of writes and sends, of one byte up to more than a block. */
START_TEST(as_a_row_of_bytes)
{
    static const size_t sizes[] = {3, 40, 5000, sizeof noise};
    struct outbox *o = NULL;
    size_t in = 0, out = 0;
    uint64_t random = 1 + (uint64_t) _i;
    for (int i = 0; i < 20000 / UNIT_SLOW; i++) {
        size_t n = 1 + unit_random(&random) % sizes[unit_random(&random) % 4];
        if (unit_random(&random) % 2 == 0 && in + n <= MOST) {
            memcpy(written + in, noise + unit_random(&random) % (sizeof noise - n + 1), n);
            UNIT_ASSERT(outbox_add(&o, written + in, n));
            in += n;
        } else if (in > out) {
            n = n < in - out ? n : in - out;
            look(o, out, 1 + unit_random(&random) % PIECES);
            outbox_sent(&o, n);
            out += n;
        }
        UNIT_ASSERT(outbox_bytes(o) == in - out && (o == NULL) == (in == out));
        if (in == out)
            in = out = 0;
    }
    outbox_drop(&o);
    UNIT_ASSERT(o == NULL);
}
END_TEST

/* Goal: a trickle costs few segments, and what is sent is given back before the rest is. */
START_TEST(a_trickle_makes_few_segments)
{
    struct outbox *o = NULL;
    for (int i = 0; i < 20000; i++)
        UNIT_ASSERT(outbox_add(&o, noise, 8));
    ck_assert_uint_le(o->count, 16);
    uint32_t before = o->count;
    outbox_sent(&o, 100000);
    ck_assert_uint_lt(o->count, before);
    outbox_drop(&o);
    outbox_drop(&o); /* nothing waits: nothing to drop */
    ck_assert_ptr_null(o);
    ck_assert_uint_eq(outbox_bytes(o), 0);
}
END_TEST

/* Goal: the little that waits for most needs three of the smallest blocks, no more. */
START_TEST(a_little_costs_little)
{
    struct outbox *o = NULL;
    ck_assert(outbox_add(&o, noise, 20));
    ck_assert_uint_le(mem_room(o), 64 + 24);
    ck_assert_uint_le(mem_room(o->segment[o->first]), 256 + 24);
    outbox_drop(&o);
}
END_TEST

static void fill(void)
{
    uint64_t random = 7;
    for (size_t i = 0; i < sizeof noise; i++)
        noise[i] = (unsigned char) unit_random(&random);
}

Suite *outbox_suite(void)
{
    Suite *s = suite_create("outbox");
    TCase *c = unit_case(s, "outbox", 10);
    tcase_add_unchecked_fixture(c, fill, NULL);
    tcase_add_loop_test(c, as_a_row_of_bytes, 0, 6);
    tcase_add_test(c, a_trickle_makes_few_segments);
    tcase_add_test(c, a_little_costs_little);
    return s;
}
