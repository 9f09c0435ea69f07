/*
 * tls_lab.h: what the tests of sessions share: one rig, its certificates, and all versions and ciphers. Main thread of
 * a test.
 */
#ifndef MARIO_UNIT_TLS_LAB_H
#define MARIO_UNIT_TLS_LAB_H

#include "tls_rig.h"
#include "unit.h"

enum { CIPHERS = 6 };

extern struct certs certs;
extern struct tls_rig rig;

extern const struct tls_lab_cipher {
    int version;
    const char *cipher;
} ciphers[CIPHERS];

/* A test case in s before each of whose tests libssl is loaded and there are certificates. */
TCase *tls_lab_case(Suite *s, const char *name, unsigned seconds);

/* A client of the i-th version and cipher alone. */
struct tls_rig_client asks_for(int i);

/* Whether it is an error of libssl's that says that this alert came. */
bool alert_is(unsigned long error, int alert);

#endif
