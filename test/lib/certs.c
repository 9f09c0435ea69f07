/*
 * certs.c: certificates and keys for tests. Any thread; no state but what certs_usual() removes in the end.
 */
#include "certs.h"

#include <stdio.h>
#include <stdlib.h>

#ifdef MARIO_WITH_TLS

#include <dirent.h>
#include <openssl/ec.h>
#include <openssl/err.h>
#include <openssl/evp.h>
#include <openssl/pem.h>
#include <openssl/rand.h>
#include <openssl/rsa.h>
#include <openssl/x509v3.h>
#include <string.h>
#include <sys/stat.h>
#include <unistd.h>

#define HOUR_S 3600
#define DAY_S  (24 * HOUR_S)

struct cert {
    X509 *x509;
    EVP_PKEY *key;
};

static void must(bool good, const char *what)
{
    if (good)
        return;
    fprintf(stderr, "certs: %s: %s\n", what, ERR_reason_error_string(ERR_peek_error()));
    abort();
}

static EVP_PKEY *make_key(enum cert_kind kind)
{
    EVP_PKEY *key = kind == CERT_EC    ? EVP_EC_gen("P-256")
                    : kind == CERT_RSA ? EVP_RSA_gen(2048)
                                       : EVP_PKEY_Q_keygen(NULL, NULL, "ED25519");
    must(key != NULL, "a key");
    return key;
}

static void add_extension(X509 *x, const X509 *issuer, int nid, const char *value)
{
    X509V3_CTX ctx;
    X509V3_set_ctx_nodb(&ctx);
    X509V3_set_ctx(&ctx, (X509 *) (uintptr_t) issuer, x, NULL, NULL, 0);
    X509_EXTENSION *e = X509V3_EXT_conf_nid(NULL, &ctx, nid, value);
    must(e != NULL && X509_add_ext(x, e, -1) == 1, value);
    X509_EXTENSION_free(e);
}

/* "localhost,127.0.0.1" as OpenSSL has it: "DNS:localhost,IP:127.0.0.1". */
static void add_names(X509 *x, const X509 *issuer, const char *names)
{
    char text[512];
    size_t at = 0;
    for (const char *p = names;; p++) {
        size_t n = strcspn(p, ",");
        bool address = n > 0 && (memchr(p, ':', n) != NULL || strspn(p, "0123456789.") >= n);
        at += (size_t) snprintf(text + at, sizeof text - at, "%s%s:%.*s", at > 0 ? "," : "",
                                address ? "IP" : "DNS", (int) n, p);
        must(at < sizeof text, "too many names");
        p += n;
        if (*p == '\0')
            break;
    }
    add_extension(x, issuer, NID_subject_alt_name, text);
}

static void set_serial(X509 *x)
{
    unsigned char bytes[8];
    must(RAND_bytes(bytes, sizeof bytes) == 1, "chance");
    bytes[0] = (unsigned char) ((bytes[0] & 0x3f) | 0x40);
    BIGNUM *n = BN_bin2bn(bytes, sizeof bytes, NULL);
    must(n != NULL && BN_to_ASN1_INTEGER(n, X509_get_serialNumber(x)) != NULL, "a serial number");
    BN_free(n);
}

static void set_times(X509 *x, const struct cert_ask *a)
{
    bool usual = a->begins_s == 0 && a->ends_s == 0;
    must(X509_gmtime_adj(X509_getm_notBefore(x), usual ? -HOUR_S : a->begins_s) != NULL &&
             X509_gmtime_adj(X509_getm_notAfter(x), usual ? 30 * DAY_S : a->ends_s) != NULL,
         "times");
}

struct cert *cert_make(const struct cert_ask *ask)
{
    struct cert *c = calloc(1, sizeof *c);
    const char *name = ask->name != NULL ? ask->name : "localhost";
    must(c != NULL && (c->x509 = X509_new()) != NULL, "memory");
    c->key = make_key(ask->kind);
    const struct cert *signer = ask->signer != NULL ? ask->signer : c;
    X509 *x = c->x509;
    must(X509_set_version(x, X509_VERSION_3) == 1 && X509_set_pubkey(x, c->key) == 1, "a certificate");
    set_serial(x);
    set_times(x, ask);
    must(X509_NAME_add_entry_by_txt(X509_get_subject_name(x), "CN", MBSTRING_UTF8,
                                    (const unsigned char *) name, -1, -1, 0) == 1 &&
             X509_set_issuer_name(x, X509_get_subject_name(signer->x509)) == 1,
         "names");
    add_extension(x, signer->x509, NID_basic_constraints, ask->ca ? "critical,CA:TRUE" : "critical,CA:FALSE");
    add_extension(x, signer->x509, NID_key_usage,
                  ask->ca ? "critical,keyCertSign,cRLSign" : "critical,digitalSignature");
    if (!ask->ca)
        add_extension(x, signer->x509, NID_ext_key_usage, ask->client ? "clientAuth" : "serverAuth");
    if (ask->names != NULL)
        add_names(x, signer->x509, ask->names);
    const EVP_MD *digest = EVP_PKEY_get_id(signer->key) == EVP_PKEY_ED25519 ? NULL : EVP_sha256();
    must(X509_sign(x, signer->key, digest) > 0, "signing");
    return c;
}

void cert_free(struct cert **c)
{
    X509_free((*c)->x509);
    EVP_PKEY_free((*c)->key);
    free(*c);
    *c = NULL;
}

static FILE *open_file(const char *path, const char *mode)
{
    FILE *f = fopen(path, mode);
    must(f != NULL, path);
    return f;
}

void cert_write_chain(const struct cert *c, const struct cert *const *chain, const char *path)
{
    FILE *f = open_file(path, "we");
    bool good = PEM_write_X509(f, c->x509) == 1;
    for (; *chain != NULL; chain++)
        good = good && PEM_write_X509(f, (*chain)->x509) == 1;
    must(fclose(f) == 0 && good, path);
}

void cert_write(const struct cert *c, const char *path)
{
    cert_write_chain(c, (const struct cert *const[]){NULL}, path);
}

void cert_write_key(const struct cert *c, const char *password, const char *path)
{
    FILE *f = open_file(path, "we");
    must(fchmod(fileno(f), 0600) == 0, path);
    const EVP_CIPHER *cipher = password != NULL ? EVP_aes_128_cbc() : NULL;
    int n = password != NULL ? (int) strlen(password) : 0;
    bool good = PEM_write_PrivateKey(f, c->key, cipher, (const unsigned char *) password, n, NULL, NULL) == 1;
    must(fclose(f) == 0 && good, path);
}

/* ---- The usual ones ---- */

#define DIRS 8

static char made[DIRS][64];
static unsigned made_count;
static pid_t maker;

static void remove_dir(const char *dir)
{
    DIR *d = opendir(dir);
    for (const struct dirent *e; d != NULL && (e = readdir(d)) != NULL;)
        unlinkat(dirfd(d), e->d_name, 0);
    if (d != NULL)
        closedir(d);
    rmdir(dir);
}

static void remove_all(void)
{
    for (unsigned i = 0; i < made_count && getpid() == maker; i++)
        remove_dir(made[i]);
}

/* A folder that goes when this process does; not when a child of it exits. */
static void make_dir(char *dir, size_t size)
{
    if (maker != getpid()) {
        maker = getpid();
        made_count = 0;
        must(atexit(remove_all) == 0, "atexit");
    }
    snprintf(dir, size, "/tmp/mario-certs-XXXXXX");
    must(made_count < DIRS && mkdtemp(dir) != NULL, dir);
    snprintf(made[made_count++], sizeof made[0], "%s", dir);
}

static void make_pair(const struct cert_ask *ask, const char *path, const char *key)
{
    struct cert *c = cert_make(ask);
    cert_write(c, path);
    cert_write_key(c, NULL, key);
    cert_free(&c);
}

void certs_usual(struct certs *c, enum cert_kind kind)
{
    make_dir(c->dir, sizeof c->dir);
    snprintf(c->ca, sizeof c->ca, "%s/ca.pem", c->dir);
    snprintf(c->server, sizeof c->server, "%s/server.pem", c->dir);
    snprintf(c->key, sizeof c->key, "%s/server.key", c->dir);
    snprintf(c->client, sizeof c->client, "%s/client.pem", c->dir);
    snprintf(c->client_key, sizeof c->client_key, "%s/client.key", c->dir);
    c->authority = cert_make(&(struct cert_ask){.name = "tests", .ca = true});
    cert_write(c->authority, c->ca);
    make_pair(&(struct cert_ask){.kind = kind, .names = "localhost,127.0.0.1,::1", .signer = c->authority},
              c->server, c->key);
    make_pair(&(struct cert_ask){.kind = kind, .name = "alice", .client = true, .signer = c->authority},
              c->client, c->client_key);
}

#else

/* Nothing here can be called: who wants certificates asks secure_make() first, which says why there are none. */
static _Noreturn void cannot(void)
{
    fputs("certs: built without libssl-dev\n", stderr);
    abort();
}

struct cert *cert_make(const struct cert_ask *ask)
{
    (void) ask;
    cannot();
}

void cert_free(struct cert **c)
{
    (void) c;
}

void cert_write(const struct cert *c, const char *path)
{
    (void) c, (void) path;
}

void cert_write_chain(const struct cert *c, const struct cert *const *chain, const char *path)
{
    (void) c, (void) chain, (void) path;
}

void cert_write_key(const struct cert *c, const char *password, const char *path)
{
    (void) c, (void) password, (void) path;
}

void certs_usual(struct certs *c, enum cert_kind kind)
{
    (void) c, (void) kind;
    cannot();
}

#endif
