/*
 * test_tls_publish.c: versions of the settings, and those that renew the certificates alone: what the master takes.
 * There are no workers, so that each version is settled at once. On one thread; what is freed too early, twice or
 * never a sanitizer finds.
 */
#include <string.h>

#include "mario/server/publish.h"
#include "mario/tls/context.h"
#include "unit.h"

/* Contexts that nobody else has: with no section in them. */
static const struct tls_contexts *make(void)
{
    char why[200];
    const struct tls_contexts *c =
        tls_contexts_make(NULL, 0, NULL, 0, &(struct tls_policy){.slim = false}, why, sizeof why);
    ck_assert_msg(c != NULL, "%s", why);
    return c;
}

/* Offer settings with this timeout, as options have them; their contexts, which the caller may only compare. */
static const struct tls_contexts *offer(struct publisher *p, uint32_t timeout)
{
    struct mario_options o;
    struct live live;
    char why[200];
    mario_options_init(&o);
    live_of(&live, &o);
    live.worker.timeout = timeout;
    live.worker.tls = make();
    live.master.rules = rules_make(&o, 1, 1, why, sizeof why);
    ck_assert_msg(live.master.rules != NULL, "%s", why);
    ck_assert(publish_offer(p, &live));
    return live.worker.tls;
}

static const struct tls_contexts *offer_tls(struct publisher *p)
{
    const struct tls_contexts *c = make(), *same = c;
    ck_assert(publish_offer_tls(p, &c));
    ck_assert_ptr_null(c);
    return same;
}

static void takes(struct publisher *p, uint32_t timeout, const struct tls_contexts *tls, uint64_t version)
{
    const struct live *l = publish_take(p);
    ck_assert_ptr_nonnull(l);
    ck_assert_uint_eq(l->worker.timeout, timeout);
    ck_assert_ptr_eq(l->worker.tls, tls);
    ck_assert_uint_eq(l->worker.version, version);
    ck_assert_ptr_null(publish_take(p));
}

/* Goal: what renews certificates alone leaves all else as it is, what the master uses of it among it. */
START_TEST(all_else_stays)
{
    struct publisher p = {.workernum = 0};
    takes(&p, 7, offer(&p, 7), 1);
    struct rules *rules = p.newest->live.master.rules;
    takes(&p, 7, offer_tls(&p), 2);
    ck_assert_ptr_eq(p.newest->live.master.rules, rules);
    ck_assert(publish_settled(&p));
    takes(&p, 7, offer_tls(&p), 3); /* and frees the first */
    ck_assert_ptr_eq(p.newest->live.master.rules, rules);
    ck_assert(publish_settled(&p));
    takes(&p, 8, offer(&p, 8), 4);
    ck_assert(publish_settled(&p));
    publish_teardown(&p);
}
END_TEST

/* Goal: of several that the master has not taken yet the last one counts, and settings are not lost by certificates
 * that come behind them. */
START_TEST(before_they_are_taken)
{
    struct publisher p = {.workernum = 0};
    takes(&p, 7, offer(&p, 7), 1);
    offer(&p, 8);
    takes(&p, 8, offer_tls(&p), 2);
    offer_tls(&p);
    takes(&p, 9, offer(&p, 9), 3);
    offer_tls(&p);
    takes(&p, 9, offer_tls(&p), 4);
    offer(&p, 10);
    offer_tls(&p);
    offer_tls(&p);
    takes(&p, 11, offer(&p, 11), 5);
    offer_tls(&p);
    publish_settled(&p);
    publish_teardown(&p);
}
END_TEST

Suite *tls_publish_suite(void)
{
    Suite *s = suite_create("tls_publish");
    TCase *c = unit_case(s, "versions", 10);
    tcase_add_test(c, all_else_stays);
    tcase_add_test(c, before_they_are_taken);
    return s;
}
