/*
 * test_bus_nats_parts.c: what of the NATS driver needs no server: its table of subscriptions against an array, and the
 * texts of its records, whatever somebody else has put there.
 */
#include "unit.h"

#ifdef MARIO_WITH_NATS

#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "mario/cluster/nats_inside.h"
#include "mario/cluster/nats_record.h"

/* Goal: any order of coming and going, few keys and many, near each other and far. */
START_TEST(subscriptions)
{
    enum { KEYS = 3000 };
    static natsSubscription *model[2][KEYS];
    struct nats_subs s = {0};
    uint64_t random = 1 + (uint64_t) _i, far = _i % 2 == 0 ? 1 : UINT64_C(1) << 40;
    size_t n, count = 0;
    for (unsigned i = 0; i < 100000 / UNIT_SLOW; i++) {
        unsigned kind = (unsigned) (unit_random(&random) % 2);
        unsigned key = (unsigned) (unit_random(&random) % (i < 50000 / UNIT_SLOW ? KEYS : 50));
        struct channel c = {.kind = kind == 0 ? CHANNEL_USER : CHANNEL_GROUP, .key = (1 + key) * far};
        if (unit_random(&random) % 3 == 0) {
            UNIT_ASSERT(nats_subs_take(&s, &c) == model[kind][key]);
            model[kind][key] = NULL;
        } else {
            natsSubscription **place = nats_subs_place(&s, &c);
            UNIT_ASSERT(place != NULL && *place == model[kind][key]);
            *place = model[kind][key] = (natsSubscription *) (uintptr_t) (8 * i + 8); /* only compared */
        }
    }
    for (unsigned k = 0; k < KEYS; k++)
        count += (model[0][k] != NULL) + (model[1][k] != NULL);
    *nats_subs_place(&s, &(struct channel){.kind = CHANNEL_ALL}) = (natsSubscription *) model;
    *nats_subs_place(&s, &(struct channel){.kind = CHANNEL_NODE, .node = "a"}) = (natsSubscription *) model;
    ck_assert_ptr_null(*nats_subs_place(&s, &(struct channel){.kind = CHANNEL_NODE, .node = "b"}));
    free(nats_subs_take_all(&s, 2, &n));
    ck_assert_uint_eq(n, count + 2);
    ck_assert_ptr_null(nats_subs_take(&s, &(struct channel){.kind = CHANNEL_ALL}));
}
END_TEST

static void parsed(const char *text, bool nobody, unsigned error, uint64_t revision, const char *says)
{
    struct nats_record r;
    ck_assert(nats_record_parse(&r, text, strlen(text), nobody));
    ck_assert_msg(r.nobody == nobody && r.error == error && r.revision == revision &&
                      strcmp(r.text, says) == 0,
                  "%s: %u, %llu, \"%s\"", text, r.error, (unsigned long long) r.revision, r.text);
    nats_record_free(&r);
}

/* Goal: what JetStream answers, what a node answers, and what nobody should. */
START_TEST(answers)
{
    parsed("", true, 0, 0, "");
    parsed("17 1", false, 0, 0, "17 1");
    parsed("{\"type\":\"x\",\"error\":{\"code\":404,\"err_code\":10037,\"description\":\"no\"}}", false,
           10037, 0, "");
    parsed("{\"error\":{\"code\":503}}", false, 1, 0, "");
    parsed("{\"error\":{\"err_code\":99999999999999}}", false, 1, 0, "");
    parsed("{\"stream\":\"KV_a\",\"seq\":18446744073709551615}", false, 0, UINT64_MAX, "");
    parsed("{\"message\":{\"subject\":\"s\",\"seq\":7,\"data\":\"YSAxIDIK\",\"time\":\"t\"}}", false, 0, 7,
           "a 1 2\n");
    parsed("{\"message\":{\"seq\":7,\"data\":\"YQ==\"}}", false, 0, 7, "a");
    parsed("{\"seq\":7,\"data\":\"YSAx", false, 0, 7, "a 1");
    parsed("{\"data\":\"Y", false, 0, 0, "");
    parsed("{\"data\":\"", false, 0, 0, "");
    parsed("{", false, 0, 0, "");
}
END_TEST

/* Goal: a list is what it was, in its order; lines that are no owners are left out. */
START_TEST(lists)
{
    struct owners l = {0}, back = {0};
    size_t len;
    char longest[64];
    memset(longest, 'n', 63);
    longest[63] = '\0';
    for (uint64_t i = 0; i < 5; i++) {
        struct owner w = {.epoch = UINT64_MAX - i, .id = UINT64_MAX - 2 * i};
        snprintf(w.node, sizeof w.node, "%s", i % 2 == 0 ? longest : "b.c");
        ck_assert(owners_add(&l, &w, i == 4));
        ck_assert_int_eq(owners_find(&l, &w), i == 4 ? 0 : (int) i);
    }
    char *text = owners_text(&l, &len);
    ck_assert_uint_eq(strlen(text), len);
    ck_assert(owners_parse(&back, text) && back.n == 5);
    ck_assert(memcmp(&back.at[0].epoch, &l.at[0].epoch, 8) == 0 && owners_find(&back, &l.at[4]) == 4);
    owners_remove(&back, 0);
    ck_assert_int_eq(owners_find(&back, &l.at[4]), 3);
    ck_assert_int_eq(owners_find(&back, &l.at[0]), -1);
    free(text);
    ck_assert(owners_parse(&back, "x\n\na 1\na 1 2 3\nb 4 5\nc 6") && back.n == 1);
    ck_assert_str_eq(back.at[0].node, "b");
    free(l.at);
    free(back.at);
}
END_TEST

/* Goal: different prefixes have different buckets, of letters that JetStream takes. */
START_TEST(buckets)
{
    static const char *const prefixes[] = {"mario", "a.b", "a_b", "a_db", "a-b", "a..", "a__", "._"};
    char name[8][64];
    for (unsigned i = 0; i < 8; i++) {
        bucket_name(prefixes[i], name[i], sizeof name[i]);
        ck_assert_uint_eq(strspn(name[i], "abcdefghijklmnopqrstuvwxyz_-"), strlen(name[i]));
        for (unsigned k = 0; k < i; k++)
            ck_assert_str_ne(name[i], name[k]);
    }
    ck_assert_str_eq(name[0], "mario");
}
END_TEST

Suite *bus_nats_parts_suite(void)
{
    Suite *s = suite_create("bus_nats_parts");
    TCase *c = unit_case(s, "nats", 10);
    tcase_add_loop_test(c, subscriptions, 0, 4);
    tcase_add_test(c, answers);
    tcase_add_test(c, lists);
    tcase_add_test(c, buckets);
    return s;
}

#else

START_TEST(not_built)
{
    TEST_SKIP("built without libnats");
}
END_TEST

Suite *bus_nats_parts_suite(void)
{
    Suite *s = suite_create("bus_nats_parts");
    tcase_add_test(unit_case(s, "nats", 5), not_built);
    return s;
}

#endif
