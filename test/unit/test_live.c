/*
 * test_live.c: what the live page is told: the quarter of an hour that is kept, and where a stuck function is, read
 * while it is written.
 */
#include "mario/admin/history.h"
#include "mario/base/spsc.h"
#include "mario/exec/where.h"
#include "unit.h"

#include <pthread.h>
#include <stdlib.h>

/* ---- The history ---- */

static struct history_row numbered(uint64_t n)
{
    struct history_row row = {.known = true};
    for (uint64_t i = 0; i < HISTORY_COUNT; i++)
        row.value[i] = n * 100 + i;
    return row;
}

static void add(struct history *h, uint64_t count)
{
    for (uint64_t i = 0; i < count; i++) {
        struct history_row row = numbered(h->last + 1);
        history_add(h, &row);
    }
}

/* Rows that somebody gets who has those up to since: each as it was added. */
static uint64_t count_from(const struct history *h, uint64_t since)
{
    uint64_t count = 0;
    for (uint64_t i = history_from(h, since); i <= h->last; i++, count++) {
        struct history_row want = numbered(i);
        ck_assert(history_at(h, i)->known);
        ck_assert_mem_eq(history_at(h, i)->value, want.value, sizeof want.value);
    }
    return count;
}

START_TEST(each_row_is_given_once)
{
    struct history *h = calloc(1, sizeof *h);
    ck_assert_uint_eq(count_from(h, 0), 0);
    add(h, 3);
    ck_assert_uint_eq(count_from(h, 0), 3);
    ck_assert_uint_eq(count_from(h, 2), 1);
    ck_assert_uint_eq(count_from(h, 3), 0);
    ck_assert_uint_eq(count_from(h, 4), 3); /* of another history */
    free(h);
}
END_TEST

START_TEST(a_quarter_of_an_hour_is_kept)
{
    struct history *h = calloc(1, sizeof *h);
    add(h, HISTORY_SECONDS);
    ck_assert_uint_eq(count_from(h, 0), HISTORY_SECONDS);
    add(h, 2 * HISTORY_SECONDS + 7);
    ck_assert_uint_eq(count_from(h, 0), HISTORY_SECONDS);
    ck_assert_uint_eq(count_from(h, 5), HISTORY_SECONDS); /* what was between is gone */
    ck_assert_uint_eq(count_from(h, h->last - 1), 1);
    free(h);
}
END_TEST

static void count_unknown(uint64_t seconds, uint64_t expected)
{
    struct history *h = calloc(1, sizeof *h);
    uint64_t unknown = 0;
    add(h, 10);
    history_skip(h, seconds);
    ck_assert_uint_eq(h->last, 10 + seconds);
    for (uint64_t i = history_from(h, 0); i <= h->last; i++)
        unknown += !history_at(h, i)->known;
    ck_assert_uint_eq(unknown, expected);
    add(h, 1);
    ck_assert_uint_eq(history_at(h, h->last)->value[1], h->last * 100 + 1);
    free(h);
}

START_TEST(seconds_that_nobody_looked_at_are_told)
{
    count_unknown(0, 0);
    count_unknown(5, 5);
    count_unknown(HISTORY_SECONDS, HISTORY_SECONDS);
    count_unknown(1000 * HISTORY_SECONDS + 3, HISTORY_SECONDS);
}
END_TEST

/* ---- Where a stuck function is ---- */

START_TEST(it_is_said_of_one_activity)
{
    static struct where w;
    char text[WHERE_TEXT], longest[2 * WHERE_TEXT];
    ck_assert(!where_read(&w, 0, text));
    where_set(&w, 7, "here < there");
    ck_assert(!where_read(&w, 8, text));
    ck_assert(where_read(&w, 7, text));
    ck_assert_str_eq(text, "here < there");
    where_set(&w, 8, "");
    ck_assert(where_read(&w, 8, text));
    ck_assert_str_eq(text, "");
    memset(longest, 'x', sizeof longest - 1);
    longest[sizeof longest - 1] = '\0';
    where_set(&w, 9, longest);
    ck_assert(where_read(&w, 9, text));
    ck_assert_uint_eq(strlen(text), WHERE_TEXT - 1);
    where_clear(&w);
    ck_assert(!where_read(&w, 9, text));
}
END_TEST

static struct where shared;
static _Atomic bool over;

static void *write_many(void *arg)
{
    char text[WHERE_TEXT];
    (void) arg;
    for (uint32_t i = 1; !atomic_load(&over); i++) {
        memset(text, 'a' + (int) (i % 26), sizeof text);
        text[i % (WHERE_TEXT - 1)] = '\0';
        where_set(&shared, 1, text);
    }
    return NULL;
}

START_TEST(a_text_is_whole_or_none)
{
    char text[WHERE_TEXT];
    pthread_t writer;
    where_set(&shared, 1, "");
    ck_assert_int_eq(pthread_create(&writer, NULL, write_many, NULL), 0);
    for (uint32_t whole = 0; whole < 200000 / UNIT_SLOW;) {
        UNIT_ASSERT(where_read(&shared, 1, text));
        size_t len = strlen(text);
        for (size_t i = 1; i < len; i++)
            UNIT_ASSERT(text[i] == text[0]);
        whole += len > 0;
    }
    atomic_store(&over, true);
    pthread_join(writer, NULL);
    ck_assert(where_read(&shared, 1, text));
}
END_TEST

/* ---- What waits in a ring ---- */

START_TEST(a_ring_tells_how_much_waits)
{
    struct spsc r;
    ck_assert(spsc_init(&r, 4, sizeof(uint32_t)));
    atomic_store(&r.tail, UINT32_MAX - 1); /* it runs over in the middle */
    atomic_store(&r.head, UINT32_MAX - 1);
    r.head_seen = r.tail_seen = UINT32_MAX - 1;
    for (uint32_t i = 0; i < 4; i++) {
        ck_assert_uint_eq(spsc_waiting(&r), i);
        ck_assert_ptr_nonnull(spsc_reserve(&r));
        spsc_commit(&r);
    }
    ck_assert_uint_eq(spsc_waiting(&r), 4);
    ck_assert_ptr_nonnull(spsc_front(&r));
    spsc_release(&r);
    ck_assert_uint_eq(spsc_waiting(&r), 3);
    spsc_fini(&r);
}
END_TEST

Suite *live_suite(void)
{
    Suite *s = suite_create("live");
    TCase *history = unit_case(s, "history", 5), *where = unit_case(s, "where", 20),
          *ring = unit_case(s, "ring", 5);
    tcase_add_test(history, each_row_is_given_once);
    tcase_add_test(history, a_quarter_of_an_hour_is_kept);
    tcase_add_test(history, seconds_that_nobody_looked_at_are_told);
    tcase_add_test(where, it_is_said_of_one_activity);
    tcase_add_test(where, a_text_is_whole_or_none);
    tcase_add_test(ring, a_ring_tells_how_much_waits);
    return s;
}
