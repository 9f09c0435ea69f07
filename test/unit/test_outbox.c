/*
 * test_outbox.c: the queue of what waits to be sent, against a plain row of bytes: whatever is added, looked at and
 * sent in whatever pieces, the same bytes come out, and nothing is held for who has nothing waiting. The same with
 * messages among the bytes, which are dropped whole, against a plain list.
 */
#include "mario/conn/outbox.h"
#include "unit.h"

#include <string.h>

#include "mario/base/mem.h"

enum { MOST = 600000, PIECES = 16 };

static struct outboxes all;
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
            UNIT_ASSERT(outbox_add(&o, written + in, n, &all));
            in += n;
        } else if (in > out) {
            n = n < in - out ? n : in - out;
            look(o, out, 1 + unit_random(&random) % PIECES);
            UNIT_ASSERT(outbox_sent(&o, n, &all));
            out += n;
        }
        UNIT_ASSERT(outbox_bytes(o) == in - out && (o == NULL) == (in == out));
        if (in == out)
            in = out = 0;
    }
    outbox_drop(&o, &all);
    UNIT_ASSERT(o == NULL);
}
END_TEST

/* Goal: a trickle costs few segments, and what is sent is given back before the rest is. */
START_TEST(a_trickle_makes_few_segments)
{
    struct outbox *o = NULL;
    for (int i = 0; i < 20000; i++)
        UNIT_ASSERT(outbox_add(&o, noise, 8, &all));
    ck_assert_uint_le(o->count, 16);
    uint32_t before = o->count;
    ck_assert(outbox_sent(&o, 100000, &all));
    ck_assert_uint_lt(o->count, before);
    outbox_drop(&o, &all);
    outbox_drop(&o, &all); /* nothing waits: nothing to drop */
    ck_assert_ptr_null(o);
    ck_assert_uint_eq(outbox_bytes(o), 0);
}
END_TEST

/* Goal: the little that waits for most needs three of the smallest blocks, no more. */
START_TEST(a_little_costs_little)
{
    struct outbox *o = NULL;
    ck_assert(outbox_add(&o, noise, 20, &all));
    ck_assert_uint_le(mem_room(o), 64 + 24);
    ck_assert_uint_le(mem_room((void *) o->entry[o->first]), 256 + 24);
    outbox_drop(&o, &all);
}
END_TEST

/* ---- Messages ---- */

/* What should stand in the outbox: one behind the other. */
struct piece {
    struct mario_msg *m; /* NULL: bytes of replies */
    size_t len, gone;    /* of them, sent */
    const unsigned char *data;
};

enum { PIECES_MOST = 4000, MESSAGES = 40 };

static struct {
    struct piece row[PIECES_MOST];
    size_t n;
    uint64_t sent[MESSAGES], dropped[MESSAGES], put[MESSAGES]; /* of each message */
} plain;

static struct mario_msg *messages[MESSAGES];

static void make_messages(void)
{
    for (size_t i = 0; i < MESSAGES; i++) {
        messages[i] = mario_msg(noise + 100 * i, 1 + (uint32_t) (i * i * 20 % 3000));
        ck_assert_ptr_nonnull(messages[i]);
        mario_msg_receipt(messages[i], i);
        mario_msg_key(messages[i], i % 4 == 3 ? 0 : 1 + i % 5);
        if (i % 8 == 0)
            mario_msg_keep(messages[i]);
    }
}

static void count(uint64_t *counts, const struct mario_msg *m)
{
    for (size_t i = 0; i < MESSAGES; i++)
        counts[i] += messages[i] == m;
}

static void plain_remove(size_t i)
{
    count(plain.dropped, plain.row[i].m);
    memmove(plain.row + i, plain.row + i + 1, (--plain.n - i) * sizeof plain.row[0]);
}

static bool plain_may_go(size_t i)
{
    return plain.row[i].m != NULL && !plain.row[i].m->keep && plain.row[i].gone == 0;
}

static bool plain_drop_oldest(void)
{
    for (size_t i = 0; i < plain.n; i++) {
        if (plain_may_go(i)) {
            plain_remove(i);
            return true;
        }
    }
    return false;
}

static bool plain_drop_key(uint64_t key)
{
    for (size_t i = plain.n; i-- > 0;) {
        if (plain_may_go(i) && plain.row[i].m->key == key) {
            plain_remove(i);
            return true;
        }
    }
    return false;
}

static void plain_sent(size_t n)
{
    while (n > 0) {
        struct piece *p = &plain.row[0];
        size_t part = n < p->len - p->gone ? n : p->len - p->gone;
        p->gone += part;
        n -= part;
        if (p->gone < p->len)
            return;
        count(plain.sent, p->m);
        memmove(plain.row, plain.row + 1, --plain.n * sizeof plain.row[0]);
    }
}

/* They must hold the same. */
static void compare(const struct outbox *o)
{
    struct iovec vec[PIECES];
    size_t bytes = 0, waits = 0, waiting, wait_bytes = 0, at = 0;
    uint64_t in_all = 0;
    for (size_t i = 0; i < plain.n; i++) {
        const struct piece *p = &plain.row[i];
        bytes += p->m == NULL ? p->len - p->gone : 0;
        in_all += p->m != NULL;
        waits += p->m != NULL && p->gone == 0;
        wait_bytes += p->m != NULL && p->gone == 0 ? p->len : 0;
    }
    UNIT_ASSERT(outbox_bytes(o) == bytes && all.messages == in_all);
    UNIT_ASSERT(outbox_waiting(o, &waiting) == waits && waiting == wait_bytes);
    if (plain.n == 0)
        return;
    size_t n = outbox_peek(o, vec, PIECES), gone = plain.row[0].gone;
    for (size_t i = 0; i < n; i++) {
        const unsigned char *data = vec[i].iov_base;
        for (size_t k = 0; k < vec[i].iov_len; k++) {
            UNIT_ASSERT(data[k] == plain.row[at].data[gone]);
            if (++gone == plain.row[at].len) {
                at++;
                gone = 0;
            }
        }
    }
}

/* One random step on both. *o may be left empty by a drop: then what stands there is put at once, as it is meant. */
static void step(struct outbox **o, uint64_t *random)
{
    uint64_t what = unit_random(random) % 16, pick = unit_random(random);
    struct mario_msg *m = messages[pick % MESSAGES];
    if (what < 7 && plain.n < PIECES_MOST - 1) {
        if (what >= 3 && *o != NULL) {
            bool by_key = what >= 5 && m->key != 0;
            if (by_key)
                UNIT_ASSERT(outbox_drop_key(o, m->key, &all) == plain_drop_key(m->key));
            else
                UNIT_ASSERT(outbox_drop_oldest(o, &all) == plain_drop_oldest());
        }
        UNIT_ASSERT(outbox_push(o, m, &all));
        plain.row[plain.n++] = (struct piece){.m = m, .len = m->len, .data = m->data};
        count(plain.put, m);
    } else if (what < 9 && plain.n < PIECES_MOST - 1) {
        size_t n = 1 + pick % 500;
        UNIT_ASSERT(outbox_add(o, noise + pick % 3000, n, &all));
        plain.row[plain.n++] = (struct piece){.len = n, .data = noise + pick % 3000};
    } else if (what < 15 && plain.n > 0) {
        struct iovec vec[PIECES];
        size_t n = outbox_peek(*o, vec, PIECES), len = 0;
        for (size_t i = 0; i < n; i++)
            len += vec[i].iov_len;
        len = pick % 3 == 0 ? len : pick % (len + 1);
        UNIT_ASSERT(outbox_sent(o, len, &all));
        plain_sent(len);
    } else if (what == 15 && pick % 8 == 0 && plain.n > 0) {
        UNIT_ASSERT(outbox_unfold(o, &all));
        size_t before = plain.n;
        for (size_t i = plain.n; i-- > 0;) {
            if (plain_may_go(i))
                plain_remove(i);
        }
        UNIT_ASSERT(outbox_drop_messages(*o, &all) == before - plain.n);
        if (plain.n == 0)
            outbox_drop(o, &all);
    }
}

/* All messages must be settled as they were here, and be nobody's any more. */
static void check_settled(void)
{
    purse_empty(&all.purse);
    for (size_t i = 0; i < MESSAGES; i++) {
        UNIT_ASSERT(messages[i]->sent == plain.sent[i] && messages[i]->dropped == plain.dropped[i]);
        UNIT_ASSERT(plain.put[i] == plain.sent[i] + plain.dropped[i] && messages[i]->refs == 1);
        messages[i]->receipt = false;
        mario_msg_free(&messages[i]);
    }
    UNIT_ASSERT(all.messages == 0 && all.memory == 0 && message_memory() == 0);
}

/* Goal: replies and messages in one order; what is dropped is dropped whole, what has begun or is to be kept never. */
START_TEST(messages_as_a_plain_list)
{
    struct outbox *o = NULL;
    uint64_t random = 1000 + (uint64_t) _i;
    make_messages();
    for (int i = 0; i < 20000 / UNIT_SLOW; i++) {
        step(&o, &random);
        compare(o);
        UNIT_ASSERT((o == NULL) == (plain.n == 0));
        if (i % 1000 == 999) {
            outbox_drop(&o, &all);
            while (plain.n > 0)
                plain_remove(0);
        }
    }
    outbox_drop(&o, &all);
    while (plain.n > 0)
        plain_remove(0);
    check_settled();
}
END_TEST

/* Goal: who keeps up costs no block, and who does not ten bytes a message at most. */
START_TEST(a_message_costs_a_word)
{
    struct outbox *o = NULL;
    struct mario_msg *m = mario_msg("hello", 5);
    ck_assert(outbox_push(&o, m, &all));
    ck_assert(outbox_is_single(o));
    ck_assert_uint_eq(all.memory, 0);
    for (uint32_t n = 2; n <= 100000; n++) {
        UNIT_ASSERT(outbox_push(&o, m, &all) && all.memory <= (n < 64 ? 640 : n * 10));
        UNIT_ASSERT(all.memory == sizeof *o + o->size * sizeof o->entry[0]);
        if (n < 1000)
            UNIT_ASSERT(mem_room(o) <= all.memory + 24);
    }
    ck_assert(outbox_sent(&o, 5 * 99999, &all));
    ck_assert_uint_eq(o->messages, 1);
    ck_assert(outbox_sent(&o, 4, &all));
    ck_assert(!outbox_drop_oldest(&o, &all)); /* a part of it is sent */
    ck_assert(outbox_sent(&o, 1, &all));
    ck_assert_ptr_null(o);
    ck_assert_uint_eq(all.memory, 0);
    purse_empty(&all.purse);
    ck_assert_uint_eq(m->refs, 1);
    mario_msg_free(&m);
}
END_TEST

/* ---- What goes ahead ---- */

/* Goal: what is only counted here is there as long as a byte of it is, whatever stands behind it: nothing, replies, one
 * message, which then has a block, or several; and is gone with the rest. */
START_TEST(what_goes_ahead_is_counted)
{
    struct outboxes mine = {.memory = 0};
    struct outbox *o = NULL;
    struct mario_msg *m = mario_msg("hello", 5);
    for (int i = 1; i < _i; i++)
        ck_assert(outbox_push(&o, m, &mine));
    ck_assert_uint_eq(outbox_ahead(o), 0);
    ck_assert(outbox_put_ahead(&o, 1000, &mine));
    ck_assert(!outbox_is_single(o));
    ck_assert(outbox_put_ahead(&o, 24, &mine));
    if (_i == 1)
        ck_assert(outbox_add(&o, noise, 100, &mine));
    ck_assert_uint_eq(outbox_ahead(o), 1024);
    ck_assert_uint_eq(outbox_bytes(o), 1024 + (_i == 1 ? 100 : 0));
    ck_assert_uint_eq(outbox_all_bytes(o), mine.bytes);
    outbox_ahead_sent(o, 1023, &mine);
    ck_assert(outbox_sent(&o, 0, &mine));
    ck_assert_uint_eq(outbox_ahead(o), 1);
    for (int i = 1; i < _i; i++) /* may go, as nothing of them is sealed */
        ck_assert(outbox_drop_oldest(&o, &mine));
    ck_assert_uint_eq(outbox_ahead(o), 1);
    if (_i % 2 == 0) {
        outbox_ahead_sent(o, 1, &mine);
        ck_assert(outbox_sent(&o, 0, &mine));
    } else {
        outbox_drop(&o, &mine);
    }
    ck_assert_ptr_null(o);
    ck_assert_uint_eq(mine.bytes, 0);
    ck_assert_uint_eq(mine.memory, 0);
    purse_empty(&mine.purse);
    ck_assert_uint_eq(m->refs, 1);
    mario_msg_free(&m);
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
    tcase_add_loop_test(c, messages_as_a_plain_list, 0, 6);
    tcase_add_test(c, a_message_costs_a_word);
    tcase_add_loop_test(c, what_goes_ahead_is_counted, 0, 5);
    return s;
}
