/*
 * tls_lab.c: what the tests of sessions share. Main thread of a test.
 */

#include "tls_lab.h"

#include <openssl/err.h>

struct certs certs;
struct tls_rig rig;

const struct tls_lab_cipher ciphers[CIPHERS] = {
    {TLS1_3_VERSION, "TLS_AES_128_GCM_SHA256"},        {TLS1_3_VERSION, "TLS_AES_256_GCM_SHA384"},
    {TLS1_3_VERSION, "TLS_CHACHA20_POLY1305_SHA256"},  {TLS1_2_VERSION, "ECDHE-ECDSA-AES128-GCM-SHA256"},
    {TLS1_2_VERSION, "ECDHE-ECDSA-AES256-GCM-SHA384"}, {TLS1_2_VERSION, "ECDHE-ECDSA-CHACHA20-POLY1305"},
};

static void setup(void)
{
    tls_rig_setup(&certs, CERT_EC);
}

bool alert_is(unsigned long error, int alert)
{
    return ERR_GET_REASON(error) == SSL_AD_REASON_OFFSET + alert;
}

TCase *tls_lab_case(Suite *s, const char *name, unsigned seconds)
{
    TCase *c = unit_case(s, name, seconds);
    tcase_add_checked_fixture(c, setup, NULL);
    return c;
}

struct tls_rig_client asks_for(int i)
{
    bool is_v13 = ciphers[i].version == TLS1_3_VERSION;
    return (struct tls_rig_client){.host = "localhost",
                                   .ca = certs.ca,
                                   .min = ciphers[i].version,
                                   .max = ciphers[i].version,
                                   .suites = is_v13 ? ciphers[i].cipher : NULL,
                                   .ciphers = is_v13 ? NULL : ciphers[i].cipher};
}
