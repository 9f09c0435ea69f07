/*
 * section.c: one certificate with its key and its rules. Making: one thread, which may wait; the rest: any.
 */
#include "mario/tls/section.h"

#ifdef MARIO_WITH_TLS

#include <ctype.h>
#include <stdio.h>
#include <string.h>
#include <time.h>

#include "mario/base/check.h"
#include "mario/base/mem.h"
#include "mario/tls/inside.h"
#include "mario/tls/kdf.h"
#include "mario/tls/pem.h"
#include "mario/tls/registry.h"
#include "mario/tls/tickets.h"

/* Authenticated encryption and forward secrecy; of two that are as good the one first that costs less. */
#define CIPHERS_1_2                                                                            \
    "ECDHE-ECDSA-AES128-GCM-SHA256:ECDHE-RSA-AES128-GCM-SHA256:ECDHE-ECDSA-AES256-GCM-SHA384:" \
    "ECDHE-RSA-AES256-GCM-SHA384:ECDHE-ECDSA-CHACHA20-POLY1305:ECDHE-RSA-CHACHA20-POLY1305"
#define CIPHERS_1_3 "TLS_AES_128_GCM_SHA256:TLS_AES_256_GCM_SHA384:TLS_CHACHA20_POLY1305_SHA256"
#define GROUPS      "X25519:P-256:P-384:P-521"

#define LIST_MAX 2048u /* bytes of a list of protocols or ciphers */

/* ---- Lists in texts ---- */

/* The next of a list, *n bytes without the blanks around them, and *list behind it; NULL: that was all. */
static const char *next_of(const char **list, char separator, size_t *n)
{
    const char *at = *list;
    if (at == NULL)
        return NULL;
    const char *end = strchrnul(at, separator);
    *list = *end == '\0' ? NULL : end + 1;
    while (at < end && (*at == ' ' || *at == '\t'))
        at++;
    while (end > at && (end[-1] == ' ' || end[-1] == '\t'))
        end--;
    *n = (size_t) (end - at);
    return at;
}

/* Whether it is written as an IPv4 address is. */
static bool is_address(const char *name, size_t n)
{
    size_t at = n;
    while (at > 0 && isdigit((unsigned char) name[at - 1]))
        at--;
    return at > 0 && at < n && name[at - 1] == '.';
}

/* A client that verifies would refuse us under a name that the certificate has not; for a star any label will do. */
static void warn_of_host(struct tls_section *s, const char *host)
{
    char name[256 + 1];
    X509 *leaf = libssl.SSL_CTX_get0_certificate(s->ctx);
    snprintf(name, sizeof name, "%s", host);
    if (*name == '*')
        *name = 'a';
    if (*s->certificate.warning == '\0' && libssl.X509_check_host(leaf, name, strlen(name), 0, NULL) != 1)
        snprintf(s->certificate.warning, sizeof s->certificate.warning,
                 "it is not for '%.100s', which sni says", host);
}

static bool set_hosts(struct tls_section *s, const char *sni, char *why, size_t size)
{
    const char *list = sni != NULL ? sni : s->certificate.names, *at;
    size_t n, room = strlen(list) + 2;
    char *p = s->hosts = mem_exact(room);
    if (p == NULL)
        return tls_refuse(why, size, "no memory");
    if (*list == '\0')
        list = NULL;
    while ((at = next_of(&list, ',', &n)) != NULL) {
        if (!is_host_name(at, n))
            return tls_refuse(why, size, "sni: '%.*s' is no host name", (int) n, at);
        if (sni != NULL && is_address(at, n))
            return tls_refuse(why, size, "sni: '%.*s' is an address, which no client names", (int) n, at);
        for (size_t i = 0; i < n; i++)
            p[i] = (char) tolower((unsigned char) at[i]);
        p[n] = '\0';
        if (sni != NULL)
            warn_of_host(s, p);
        p += n + 1;
    }
    *p = '\0';
    if (sni != NULL)
        snprintf(s->certificate.names, sizeof s->certificate.names, "%s", sni);
    return true;
}

static bool set_alpn(struct tls_section *s, const char *alpn, char *why, size_t size)
{
    size_t n;
    const char *at;
    if (alpn == NULL)
        return true;
    if (strlen(alpn) > LIST_MAX)
        return tls_refuse(why, size, "alpn: is longer than %u", LIST_MAX);
    unsigned char *p = s->alpn = mem_exact(strlen(alpn) + 1);
    if (p == NULL)
        return tls_refuse(why, size, "no memory");
    while ((at = next_of(&alpn, ',', &n)) != NULL) {
        if (n == 0 || n > 255)
            return tls_refuse(why, size, "alpn: a protocol's name has 1 .. 255 characters");
        *p++ = (unsigned char) n;
        memcpy(p, at, n);
        p += n;
    }
    s->alpn_len = (uint32_t) (p - s->alpn);
    return true;
}

/* ---- Ciphers ---- */

static bool is_v13(const char *cipher)
{
    return strncmp(cipher, "TLS_", 4) == 0;
}

/* Add a cipher to a list of one kind. */
static void join(char *list, const char *cipher)
{
    size_t used = strlen(list);
    snprintf(list + used, LIST_MAX + 1 - used, "%s%s", used > 0 ? ":" : "", cipher);
}

/* One that libssl does not know it passes over in silence, if there are others; here each has to stand alone. What only
 * changes a list cannot. */
static bool is_known(SSL_CTX *ctx, const char *cipher)
{
    bool known = strchr("!-+@", *cipher) != NULL ||
                 (is_v13(cipher) ? libssl.SSL_CTX_set_ciphersuites(ctx, cipher)
                                 : libssl.SSL_CTX_set_cipher_list(ctx, cipher)) == 1;
    libssl_error(NULL, NULL);
    return known;
}

static bool set_ciphers(SSL_CTX *ctx, const char *ciphers, char *why, size_t size)
{
    char v12[LIST_MAX + 1] = "", v13[LIST_MAX + 1] = "", one[128];
    const char *at, *words;
    size_t n;
    if (ciphers != NULL && strlen(ciphers) > LIST_MAX)
        return tls_refuse(why, size, "ciphers: is longer than %u", LIST_MAX);
    while ((at = next_of(&ciphers, ':', &n)) != NULL) {
        snprintf(one, sizeof one, "%.*s", (int) n, at);
        if (n == 0 || n >= sizeof one || !is_known(ctx, one))
            return tls_refuse(why, size, "ciphers: there is no '%.*s' (openssl ciphers -v ALL)", (int) n, at);
        join(is_v13(one) ? v13 : v12, one);
    }
    if (libssl.SSL_CTX_set_cipher_list(ctx, v12[0] != '\0' ? v12 : CIPHERS_1_2) == 1 &&
        libssl.SSL_CTX_set_ciphersuites(ctx, v13[0] != '\0' ? v13 : CIPHERS_1_3) == 1)
        return true;
    libssl_error(&words, NULL);
    return tls_refuse(why, size, "ciphers: %s", words);
}

/* ---- Files ---- */

/* What a file's certificates become. */
struct reading {
    struct tls_section *s;
    X509 *leaf;         /* the server's own: the first; ours to free */
    X509 *last;         /* the one that the next has to have signed */
    bool is_alone;      /* those behind the first are not wanted */
    bool is_disordered; /* one has not signed the one before */
    bool is_expired;    /* one of those above it */
    bool is_refused;    /* libssl does not take one */
};

/* The line in why is about this field. False. */
static bool blame(const char *field, char *why, size_t size)
{
    char line[512];
    snprintf(line, sizeof line, "%s", why);
    return tls_refuse(why, size, "%s: %s", field, line);
}

static bool is_over(X509 *one)
{
    return certificate_time(libssl.X509_get0_notAfter(one)) < (int64_t) time(NULL);
}

static bool take_certificate(X509 *one, void *arg)
{
    struct reading *r = arg;
    if (r->leaf == NULL) {
        r->leaf = r->last = one;
        r->is_refused = libssl.SSL_CTX_use_certificate(r->s->ctx, one) != 1;
        return true;
    }
    if (r->is_alone || r->is_refused)
        return false;
    r->is_disordered |= libssl.X509_check_issued(one, r->last) != X509_V_OK;
    r->is_expired |= is_over(one);
    r->is_refused = libssl.SSL_CTX_ctrl(r->s->ctx, SSL_CTRL_CHAIN_CERT, 0, one) != 1;
    if (r->is_refused)
        return false;
    r->s->certificate.chain++;
    r->last = one;
    return true;
}

/* Hand the certificates of a file to the context. */
static bool read_certificates(const char *field, const char *path, struct reading *r, char *why, size_t size)
{
    struct pem_file file;
    const char *words;
    if (!pem_read(path, &file, why, size))
        return blame(field, why, size);
    bool any = pem_certificates(path, &file, take_certificate, r, why, size) > 0;
    pem_drop(&file);
    if (!any)
        return blame(field, why, size);
    if (!r->is_refused)
        return true;
    libssl_error(&words, NULL);
    return tls_refuse(why, size, "%s: %s: cannot be used: %s", field, path, words);
}

/* Anything that is worth a line, but no reason not to begin. */
static void warn(struct tls_section *s, const struct reading *r, bool key_is_open)
{
    struct mario_tls_certificate *c = &s->certificate;
    int64_t now = (int64_t) time(NULL);
    time_t when = (time_t) (c->not_after < now ? c->not_after : c->not_before);
    char date[32] = "";
    struct tm tm;
    if (gmtime_r(&when, &tm) != NULL)
        strftime(date, sizeof date, "%Y-%m-%d %H:%M UTC", &tm);
    if (c->not_after < now)
        snprintf(c->warning, sizeof c->warning, "it has expired on %s", date);
    else if (c->not_before > now)
        snprintf(c->warning, sizeof c->warning, "it is not valid before %s", date);
    else if (r->is_expired)
        snprintf(c->warning, sizeof c->warning, "a certificate above it has expired");
    else if (r->is_disordered)
        snprintf(c->warning, sizeof c->warning, "a certificate above it has not signed the one before");
    else if (key_is_open)
        snprintf(c->warning, sizeof c->warning, "everybody may read the file of its key");
}

static bool use_key(struct tls_section *s, const struct reading *r, const struct mario_tls *from,
                    bool *is_open, char *why, size_t size)
{
    const char *path = from->key != NULL ? from->key : from->certificate, *words;
    struct pem_file file;
    if (!pem_read(path, &file, why, size))
        return blame("key", why, size);
    EVP_PKEY *key = pem_key(path, &file, why, size);
    *is_open = file.is_open;
    pem_drop(&file);
    if (key == NULL)
        return blame("key", why, size);
    bool is_its = libssl.X509_check_private_key(r->leaf, key) == 1;
    bool is_good = is_its && libssl.SSL_CTX_use_PrivateKey(s->ctx, key) == 1;
    int kind = libssl.EVP_PKEY_get_base_id(key);
    s->is_rsa = kind == EVP_PKEY_RSA || kind == EVP_PKEY_RSA_PSS;
    libssl.EVP_PKEY_free(key);
    libssl_error(&words, NULL);
    if (!is_its)
        return tls_refuse(why, size, "key: %s: is not that of the first certificate in %s", path,
                          from->certificate);
    return is_good || tls_refuse(why, size, "key: %s: cannot be used: %s", path, words);
}

static bool load(struct tls_section *s, const struct mario_tls *from, char *why, size_t size)
{
    struct reading r = {.s = s, .is_alone = from->chain != NULL};
    bool is_open = false;
    bool good = read_certificates("certificate", from->certificate, &r, why, size);
    if (good)
        certificate_describe(r.leaf, &s->certificate);
    good = good && use_key(s, &r, from, &is_open, why, size);
    if (good && from->chain != NULL) {
        r.is_alone = false;
        good = read_certificates("chain", from->chain, &r, why, size);
    }
    if (good)
        warn(s, &r, is_open);
    libssl.X509_free(r.leaf);
    return good;
}

/* ---- Clients' certificates ---- */

struct authorities {
    X509_STORE *store;
    OPENSSL_STACK *names; /* that a client is told */
    bool failed;
};

static bool take_authority(X509 *one, void *arg)
{
    struct authorities *a = arg;
    X509_NAME *name = libssl.X509_NAME_dup(libssl.X509_get_subject_name(one));
    if (name != NULL && libssl.X509_STORE_add_cert(a->store, one) == 1 &&
        libssl.OPENSSL_sk_push(a->names, name) > 0)
        return false;
    libssl.X509_NAME_free(name);
    a->failed = true;
    return false;
}

static void drop_names(OPENSSL_STACK *names)
{
    while (names != NULL && libssl.OPENSSL_sk_num(names) > 0)
        libssl.X509_NAME_free(libssl.OPENSSL_sk_pop(names));
    libssl.OPENSSL_sk_free(names);
}

/* Clients show a certificate of these authorities, whose bytes go into the id: who was known by others is not known any
 * more when they have changed. */
static bool ask_clients(struct tls_section *s, const char *path, struct pem_file *file, char *why,
                        size_t size)
{
    struct authorities a = {libssl.X509_STORE_new(), libssl.OPENSSL_sk_new_null(), false};
    a.failed = a.store == NULL || a.names == NULL;
    bool good = a.failed || (pem_read(path, file, why, size) &&
                             pem_certificates(path, file, take_authority, &a, why, size) > 0);
    if (!good || a.failed) {
        libssl.X509_STORE_free(a.store);
        drop_names(a.names);
        return good ? tls_refuse(why, size, "client_ca: %s: no memory", path) : blame("client_ca", why, size);
    }
    libssl.SSL_CTX_set_cert_store(s->ctx, a.store);
    libssl.SSL_CTX_set_client_CA_list(s->ctx, (STACK_OF(X509_NAME) *) a.names);
    s->verify = SSL_VERIFY_PEER | SSL_VERIFY_FAIL_IF_NO_PEER_CERT;
    s->certificate.asks_for_client = 1;
    return true;
}

/* Who may resume what with whom: a digest of the section's name and the authorities' bytes. */
static bool set_id(struct tls_section *s, const char *name, const struct pem_file *authorities)
{
    size_t n = strlen(name) + 1;
    unsigned char *all = mem_exact(n + authorities->len);
    if (all == NULL)
        return false;
    memcpy(all, name, n);
    if (authorities->len > 0)
        memcpy(all + n, authorities->data, authorities->len);
    bool good = libssl.EVP_Digest(all, n + authorities->len, s->id, NULL, libssl.EVP_sha256(), NULL) == 1;
    mem_free(all);
    return good;
}

static bool set_clients(struct tls_section *s, const struct mario_tls *from, char *why, size_t size)
{
    struct pem_file file = {.data = NULL};
    bool good = from->client_ca == NULL || ask_clients(s, from->client_ca, &file, why, size);
    if (good)
        good = set_id(s, from->name, &file) || tls_refuse(why, size, "no memory");
    libssl.SSL_CTX_set_verify(s->ctx, s->verify, NULL);
    pem_drop(&file);
    return good;
}

/* ---- Making ---- */

static void set_rules(struct tls_section *s, const struct mario_tls *from)
{
    SSL_CTX *ctx = s->ctx;
    s->min_version = from->min_version == MARIO_TLS_1_3 ? TLS1_3_VERSION : TLS1_2_VERSION;
    s->tickets = from->tickets == 0 ? 2 : from->tickets < 0 ? 0 : (uint32_t) from->tickets;
    libssl.SSL_CTX_ctrl(ctx, SSL_CTRL_SET_MIN_PROTO_VERSION, TLS1_2_VERSION, NULL);
    libssl.SSL_CTX_ctrl(
        ctx, SSL_CTRL_MODE,
        SSL_MODE_RELEASE_BUFFERS | SSL_MODE_ACCEPT_MOVING_WRITE_BUFFER | SSL_MODE_NO_AUTO_CHAIN, NULL);
    libssl.SSL_CTX_ctrl(ctx, SSL_CTRL_SET_SESS_CACHE_MODE, SSL_SESS_CACHE_OFF, NULL);
    libssl.SSL_CTX_ctrl(ctx, SSL_CTRL_SET_GROUPS_LIST, 0, (void *) GROUPS);
    libssl.SSL_CTX_set_options(ctx, SSL_OP_NO_COMPRESSION | SSL_OP_NO_RENEGOTIATION |
                                        SSL_OP_CIPHER_SERVER_PREFERENCE | SSL_OP_PRIORITIZE_CHACHA);
    tickets_use(ctx);
}

bool section_make(struct tls_section *s, const struct mario_tls *from, const struct tls_policy *policy,
                  char *why, size_t size)
{
    const char *words;
    *s = (struct tls_section){.ctx = NULL};
    if (!registry_tls_check(from, why, size))
        return false;
    if (policy->slim && !kdf_is_taken())
        return tls_refuse(why, size,
                          "tls.records = slim cannot be: openssl.cnf (default_properties) allows no key "
                          "derivation but certain ones; take tls.records = openssl");
    s->ctx = libssl.SSL_CTX_new_ex(NULL, policy->slim ? KDF_OURS : NULL, libssl.TLS_server_method());
    if (s->ctx == NULL) {
        libssl_error(&words, NULL);
        return tls_refuse(why, size, "libssl: %s", words);
    }
    snprintf(s->certificate.name, sizeof s->certificate.name, "%s", from->name);
    set_rules(s, from);
    if (load(s, from, why, size) && set_hosts(s, from->sni, why, size) &&
        set_alpn(s, from->alpn, why, size) && set_ciphers(s->ctx, from->ciphers, why, size) &&
        set_clients(s, from, why, size)) {
        shake_prepare(s);
        if (policy->slim)
            slim_prepare(s->ctx);
        return true;
    }
    section_free(s);
    return false;
}

void section_free(struct tls_section *s)
{
    if (s->ctx != NULL)
        libssl.SSL_CTX_free(s->ctx);
    mem_free(s->hosts);
    mem_free(s->alpn);
    *s = (struct tls_section){.ctx = NULL};
}

/* Those who ask for this name, with each protocol and with none. False: no more can be learned. */
static bool learn_host(const struct tls_section *s, const char *host)
{
    char text[2 * 256 + 1];
    size_t n = strlen(host) + 1;
    CHECK(n <= 256); /* is_host_name() */
    memcpy(text, host, n);
    for (uint32_t at = 0, len = 0;; at += len + 1, len = 0) {
        bool is_last = at >= s->alpn_len;
        if (!is_last) {
            len = s->alpn[at];
            memcpy(text + n, s->alpn + at + 1, len);
        }
        memset(text + n + len, 0, 2);
        if ((n > 1 || len > 0) && !registry_tls_learn(text, n + len + 2))
            return false;
        if (is_last)
            return true;
    }
}

void section_learn(const struct tls_section *s)
{
    const char *host = s->hosts;
    while (learn_host(s, *host != '*' ? host : "") && *host != '\0')
        host += strlen(host) + 1;
}

/* ---- Using ---- */

bool section_apply(const struct tls_section *s, SSL *ssl)
{
    if (libssl.SSL_set_SSL_CTX(ssl, s->ctx) == NULL ||
        libssl.SSL_set_session_id_context(ssl, s->id, sizeof s->id) != 1 ||
        libssl.SSL_ctrl(ssl, SSL_CTRL_SET_MIN_PROTO_VERSION, s->min_version, NULL) != 1)
        return false;
    libssl.SSL_set_verify(ssl, s->verify, NULL);
    libssl.SSL_set_num_tickets(ssl, s->tickets);
    if (s->tickets == 0)
        libssl.SSL_set_options(ssl, SSL_OP_NO_TICKET);
    else
        libssl.SSL_clear_options(ssl, SSL_OP_NO_TICKET);
    return true;
}

int section_answers_to(const struct tls_section *s, const char *host, size_t n)
{
    const char *dot = memchr(host, '.', n);
    size_t rest = dot != NULL ? n - (size_t) (dot - host) : 0; /* .example.com */
    int best = 0;
    for (const char *one = s->hosts; *one != '\0'; one += strlen(one) + 1) {
        size_t len = strlen(one);
        if (len == n && strncasecmp(one, host, n) == 0)
            return 2;
        if (*one == '*' && rest > 0 && dot > host && len - 1 == rest && strncasecmp(one + 1, dot, rest) == 0)
            best = 1;
    }
    return best;
}

#endif
