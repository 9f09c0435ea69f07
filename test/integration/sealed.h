/*
 * sealed.h: what the tests of TLS share: a testapp that speaks it at its second address, clients of it, and bytes of a
 * handshake to send by hand. Main thread of a test.
 */
#ifndef ITEST_SEALED_H
#define ITEST_SEALED_H

#include "harness.h"
#include "test/apps/testapp/commands.h"
#include "test/lib/certs.h"
#include "test/lib/secure.h"

/* A test case in s in whose servers tls.records is openssl, or slim, which its name says then. */
TCase *sealed_case(Suite *s, const char *name, unsigned seconds, bool slim);

/* The certificates of this test's process. */
const struct certs *sealed_certs(void);

/* A testapp: plain HEAD+Data at the first address, for counters, TLS at the second one, with `options` behind it
 * ("proto=line id=0x7090"). more ends with NULL. */
void sealed_start(struct server *s, const char *options, const char *const *more);
/* The same with another listen list. */
void sealed_start_at(struct server *s, const char *listen, const char *const *more);

/* A connection to the second address over TLS; its handshake is done. `ask`, NULL for the usual, without `ca`. */
int sealed_open(const struct server *s);
int sealed_open_as(const struct server *s, const struct secure_ask *ask);
/* Lay TLS over one that is connected, and do its handshake. */
void sealed_lay(int fd, const struct secure_ask *ask);
/* Lay it, and expect that the handshake fails; why, in words. Then fd is closed. */
const char *sealed_fails(int fd, const struct secure_ask *ask);

/* The record with which a client begins its handshake. How many bytes it has. */
size_t sealed_hello(unsigned char *bytes, size_t room);

/* The server's last: what came before is dropped; close_notify, then its FIN. Then fd is closed. */
void sealed_expect_end(int fd);

#endif
