/*
 * test_certificates.c: certificates that are registered by name, and what a build without TLS says of them.
 */
#include "unit.h"

#include <stdio.h>
#include <string.h>

#include "mario/mario_tls.h"
#include "mario/tls/context.h"
#include "test/lib/certs.h"
#include "test/lib/secure.h"

static struct mario_tls_certificate described;
static char why[512];

static const struct tls_contexts *made_of(const char *const *names, size_t n)
{
    return tls_registry_make(names, n, &(struct tls_policy){.slim = false}, why, sizeof why);
}

/* Goal: sections are copied, replaced by name, refused if they are none; and no more than there may be. */
START_TEST(registering)
{
    char name[40] = "n0";
    struct mario_tls s = {.name = name, .certificate = "x"};
    for (unsigned i = 0; i < MARIO_TLS_NAMES_MAX; i++) {
        snprintf(name, sizeof name, "n%u", i);
        ck_assert_int_eq(regist_tls(&s), 0);
    }
    s.name = "one-more";
    ck_assert_int_eq(regist_tls(&s), -1);
    s.name = "n5";
    ck_assert_int_eq(regist_tls(&s), 0);
    s.certificate = "";
    ck_assert_int_eq(regist_tls(&s), -1);
    s.certificate = "x";
    s.name = "Capital";
    ck_assert_int_eq(regist_tls(&s), -1);
    s.name = "a-name-that-is-longer-than-names-are";
    ck_assert_int_eq(regist_tls(&s), -1);
    s.name = NULL;
    ck_assert_int_eq(regist_tls(&s), -1);
    ck_assert(tls_handshakes_of("n5") == 0 && tls_handshakes_of("nobody") == 0);
}
END_TEST

/* Goal: what is registered is loaded when it is asked for; describing others takes none of the names there may be. */
START_TEST(loading)
{
    static const char *const all[] = {"n0"};
    char name[40] = "n0", path[] = "/nowhere/certificate";
    struct mario_tls s = {.name = name, .certificate = path};
    static struct certs certs;
    if (secure_missing() != NULL)
        TEST_SKIP("%s", secure_missing());
    ck_assert_int_eq(regist_tls(&s), 0);
    ck_assert_int_eq(regist_tls(&s), 0);
    memset(path, 'x', sizeof path - 1);
    ck_assert(made_of(NULL, 0) == NULL);
    ck_assert_str_eq(why, "tls n0: certificate: /nowhere/certificate: No such file or directory");
    certs_usual(&certs, CERT_EC);
    s.certificate = certs.server;
    s.key = certs.key;
    ck_assert_int_eq(regist_tls(&s), 0);
    const struct tls_contexts *c = made_of(all, 1);
    ck_assert_msg(c != NULL && tls_contexts_count(c) == 1, "%s", why);
    tls_contexts_free(&c);
    for (unsigned i = 1; i < 2 * MARIO_TLS_NAMES_MAX; i++) {
        snprintf(name, sizeof name, "d%u", i);
        ck_assert_int_eq(mario_tls_describe(&s, &described, why, sizeof why), 0);
    }
    snprintf(name, sizeof name, "n1");
    ck_assert_int_eq(regist_tls(&s), 0);
}
END_TEST

/* Goal: a build without TLS says what was missing. */
START_TEST(not_built)
{
    struct mario_tls s = {.name = "one", .certificate = "x"};
    if (secure_missing() == NULL)
        return;
    ck_assert_int_eq(mario_tls_describe(&s, &described, why, sizeof why), -1);
    ck_assert_msg(strstr(why, "libssl-dev") != NULL, "%s", why);
    ck_assert_int_eq(regist_tls(&s), 0);
    ck_assert(made_of(NULL, 0) == NULL);
}
END_TEST

Suite *certificates_suite(void)
{
    Suite *s = suite_create("certificates");
    TCase *c = unit_case(s, "certificates", 20);
    tcase_add_test(c, registering);
    tcase_add_test(c, loading);
    tcase_add_test(c, not_built);
    return s;
}
