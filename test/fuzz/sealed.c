/*
 * sealed.c: clients of the fuzzed worker that speak TLS, by OpenSSL over its memory. The fuzzer's thread.
 */
#include "sealed.h"

#include <openssl/err.h>
#include <openssl/ssl.h>
#include <string.h>

#include "mario/mario_tls.h"
#include "mario/tls/context.h"
#include "test/lib/certs.h"

struct sealed {
    SSL *ssl;
    BIO *in, *out; /* the SSL's */
    struct bytes plain;
};

static SSL_CTX *ctx;
static const struct tls_contexts *contexts[2]; /* by OpenSSL's record layer, and by ours */

static void teardown(void)
{
    tls_contexts_free(&contexts[0]);
    tls_contexts_free(&contexts[1]);
    SSL_CTX_free(ctx);
}

void sealed_setup(uint32_t first, uint32_t last)
{
    static struct certs certs;
    const char *lists[LISTEN_MAX] = {NULL};
    char why[256];
    certs_usual(&certs, CERT_EC);
    struct mario_tls section = {.name = "one", .certificate = certs.server, .key = certs.key};
    for (uint32_t i = first; i <= last; i++)
        lists[i] = "one";
    for (unsigned i = 0; i < 2; i++) {
        const struct tls_policy policy = {.slim = i == 1};
        contexts[i] = tls_contexts_make(&section, 1, lists, last + 1, &policy, why, sizeof why);
        MUST(contexts[i] != NULL);
    }
    ctx = SSL_CTX_new(TLS_client_method());
    MUST(ctx != NULL);
    SSL_CTX_set_session_cache_mode(ctx, SSL_SESS_CACHE_OFF);
    atexit(teardown);
}

const struct tls_contexts *sealed_contexts(bool slim)
{
    return contexts[slim];
}

struct sealed *sealed_make(uint8_t how)
{
    struct sealed *e = calloc(1, sizeof *e);
    MUST(e != NULL);
    e->ssl = SSL_new(ctx);
    e->in = BIO_new(BIO_s_mem());
    e->out = BIO_new(BIO_s_mem());
    MUST(e->ssl != NULL && e->in != NULL && e->out != NULL);
    SSL_set_bio(e->ssl, e->in, e->out);
    SSL_set_connect_state(e->ssl);
    if (how & SEALED_OLD)
        SSL_set_max_proto_version(e->ssl, TLS1_2_VERSION);
    if (how & SEALED_SMALL)
        SSL_set_max_send_fragment(e->ssl, 512);
    return e;
}

void sealed_free(struct sealed **e)
{
    if (*e == NULL)
        return;
    SSL_free((*e)->ssl);
    free((*e)->plain.data);
    free(*e);
    *e = NULL;
}

struct bytes *sealed_plain(struct sealed *e)
{
    return &e->plain;
}

bool sealed_has_said(const struct sealed *e)
{
    return e == NULL || e->plain.len == 0;
}

/* Go on as far as what has come lets it. What it cannot make sense of it lets be: the worker is who is watched. */
static void go_on(struct sealed *e)
{
    unsigned char data[4096];
    if (SSL_do_handshake(e->ssl) == 1) {
        while (SSL_read(e->ssl, data, sizeof data) > 0) {
        }
        if (e->plain.len > 0 && SSL_write(e->ssl, e->plain.data, (int) e->plain.len) > 0)
            e->plain.len = 0;
    }
    ERR_clear_error();
}

void sealed_read(struct sealed *e, const void *data, size_t n)
{
    if (e == NULL)
        return;
    MUST(BIO_write(e->in, data, (int) n) == (int) n);
    go_on(e);
}

void sealed_write(struct sealed *e, struct bytes *out)
{
    unsigned char data[4096];
    int n;
    if (e == NULL)
        return;
    go_on(e);
    while ((n = BIO_read(e->out, data, sizeof data)) > 0)
        bytes_add(out, data, (size_t) n);
}

void sealed_renew(struct sealed *e)
{
    if (e != NULL && SSL_version(e->ssl) == TLS1_3_VERSION)
        SSL_key_update(e->ssl, SSL_KEY_UPDATE_REQUESTED);
    ERR_clear_error();
}

void sealed_end(struct sealed *e)
{
    if (e != NULL)
        SSL_shutdown(e->ssl);
    ERR_clear_error();
}
