/*
 * certs.h: certificates and keys for tests, made when they are needed. Any thread, no state. What fails ends the
 * program with a line: there is nothing a test could do.
 */
#ifndef TEST_CERTS_H
#define TEST_CERTS_H

#include <stdbool.h>
#include <stdint.h>

struct cert;

enum cert_kind { CERT_EC, CERT_RSA, CERT_ED25519 }; /* P-256; 2048 bits */

/* What to make. Zero is the default of each. */
struct cert_ask {
    const char *name;          /* common name; NULL: "localhost" */
    const char *names;         /* in it besides, "localhost,*.example.com,127.0.0.1,::1"; NULL: none */
    enum cert_kind kind;       /* of its key */
    int64_t begins_s, ends_s;  /* seconds from now; both 0: from an hour ago, for thirty days */
    bool ca;                   /* may sign others */
    bool client;               /* for clients, not for servers */
    const struct cert *signer; /* NULL: it signs itself */
};

struct cert *cert_make(const struct cert_ask *ask);
void cert_free(struct cert **c);

/* Write files of PEM. With a chain: its certificates behind c's own, NULL ends them. A password encrypts the key. */
void cert_write(const struct cert *c, const char *path);
void cert_write_chain(const struct cert *c, const struct cert *const *chain, const char *path);
void cert_write_key(const struct cert *c, const char *password, const char *path);

/* What most tests need, in a folder of its own under /tmp that is removed when this process exits. */
struct certs {
    char dir[64];
    char ca[96];                     /* who signed what follows */
    char server[96], key[96];        /* localhost, 127.0.0.1, ::1 */
    char client[96], client_key[96]; /* "alice" */
    struct cert *authority;          /* to sign more */
};

/* Make them, with keys of this kind. */
void certs_usual(struct certs *c, enum cert_kind kind);

#endif
