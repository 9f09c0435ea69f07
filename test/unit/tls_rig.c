/*
 * tls_rig.c: a session of ours and a client of libssl's, memory to memory. One thread.
 */

#include "tls_rig.h"

#include <openssl/err.h>
#include <openssl/x509v3.h>
#include <stdlib.h>
#include <string.h>

#include "mario/tls/libssl.h"
#include "mario/tls/slim.h"
#include "unit.h"

void tls_rig_setup(struct certs *certs, enum cert_kind kind)
{
    char why[256];
    ck_assert_msg(libssl_load(why, sizeof why), "%s", why);
    certs_usual(certs, kind);
}

void tls_rig_contexts(struct tls_rig *r, const struct mario_tls *sections, uint32_t n,
                      const char *const *lists, bool slim)
{
    char why[512];
    uint32_t count = 0;
    while (lists[count] != NULL)
        count++;
    const struct tls_contexts *made =
        tls_contexts_make(sections, n, lists, count, &(struct tls_policy){.slim = slim}, why, sizeof why);
    ck_assert_msg(made != NULL, "%s", why);
    tls_contexts_free(&r->contexts);
    r->contexts = made;
}

void tls_rig_usual(struct tls_rig *r, const struct certs *certs, bool slim)
{
    struct mario_tls one = {.name = "one", .certificate = certs->server, .key = certs->key};
    tls_rig_contexts(r, &one, 1, (const char *const[]){"one", NULL}, slim);
}

/* ---- The client ---- */

static SSL_CTX *client_context(const struct tls_rig_client *ask)
{
    SSL_CTX *ctx = SSL_CTX_new(TLS_client_method());
    ck_assert(ctx != NULL);
    SSL_CTX_set_security_level(ctx, 0);
    SSL_CTX_set_mode(ctx, SSL_MODE_ENABLE_PARTIAL_WRITE);
    ck_assert(SSL_CTX_set_min_proto_version(ctx, ask->min != 0 ? ask->min : TLS1_VERSION) == 1);
    ck_assert(SSL_CTX_set_max_proto_version(ctx, ask->max) == 1);
    ck_assert(ask->ciphers == NULL || SSL_CTX_set_cipher_list(ctx, ask->ciphers) == 1);
    ck_assert(ask->suites == NULL || SSL_CTX_set_ciphersuites(ctx, ask->suites) == 1);
    ck_assert(ask->groups == NULL || SSL_CTX_set1_groups_list(ctx, ask->groups) == 1);
    ck_assert(ask->ca == NULL || SSL_CTX_load_verify_locations(ctx, ask->ca, NULL) == 1);
    SSL_CTX_set_verify(ctx, ask->ca != NULL ? SSL_VERIFY_PEER : SSL_VERIFY_NONE, NULL);
    ck_assert(ask->certificate == NULL || SSL_CTX_use_certificate_chain_file(ctx, ask->certificate) == 1);
    ck_assert(ask->key == NULL || SSL_CTX_use_PrivateKey_file(ctx, ask->key, SSL_FILETYPE_PEM) == 1);
    ck_assert(ask->alpn == NULL || SSL_CTX_set_alpn_protos(ctx, (const unsigned char *) ask->alpn,
                                                           (unsigned) strlen(ask->alpn)) == 0);
    ck_assert(ask->fragment == 0 || SSL_CTX_set_tlsext_max_fragment_length(ctx, ask->fragment) == 1);
    return ctx;
}

static void make_client(struct tls_rig *r, const struct tls_rig_client *ask)
{
    SSL_CTX *ctx = client_context(ask);
    r->client = SSL_new(ctx);
    SSL_CTX_free(ctx);
    r->up = BIO_new(BIO_s_mem());
    r->down = BIO_new(BIO_s_mem());
    ck_assert(r->client != NULL && r->up != NULL && r->down != NULL);
    SSL_set_bio(r->client, r->down, r->up);
    SSL_set_connect_state(r->client);
    ck_assert(ask->host == NULL || (SSL_set_tlsext_host_name(r->client, ask->host) == 1 &&
                                    (ask->ca == NULL || SSL_set1_host(r->client, ask->host) == 1)));
    ck_assert(ask->session == NULL || SSL_set_session(r->client, ask->session) == 1);
}

void tls_rig_begin(struct tls_rig *r, const struct tls_rig_client *ask)
{
    tls_rig_end(r);
    if (r->heard == NULL) {
        r->heard = malloc(TLS_RIG_ROOM);
        r->answered = malloc(TLS_RIG_ROOM);
    }
    if (r->t == NULL)
        r->t = tls_thread_make();
    r->s = tls_session_make(r->contexts, ask->set);
    ck_assert(r->heard != NULL && r->answered != NULL && r->t != NULL && r->s != NULL);
    r->t->out_len = 0;
    r->answer = TLS_MORE;
    r->refusal = 0;
    r->taken = r->heard_len = r->answered_len = 0;
    make_client(r, ask);
}

/* ---- Bytes ---- */

/* What stands in out, goes to the client. */
static void send_out(struct tls_rig *r)
{
    if (r->t->out_len > 0)
        ck_assert(BIO_write(r->down, r->t->out, (int) r->t->out_len) == (int) r->t->out_len);
    r->t->out_len = 0;
}

static void opened(struct tls_rig *r, const unsigned char *data, size_t n)
{
    /* As a receive buffer is: room for what is held in front, and nothing behind. */
    size_t held = tls_held(r->s), plain = 0;
    unsigned char *room = malloc(held + n + 1);
    ck_assert(room != NULL);
    memcpy(room + held, data, n);
    r->answer = tls_open(r->s, r->t, room, n, &plain);
    ck_assert(plain <= held + n && r->heard_len + plain <= TLS_RIG_ROOM);
    memcpy(r->heard + r->heard_len, room, plain);
    r->heard_len += plain;
    free(room);
}

/* True as long as it takes more. */
static bool feed_some(struct tls_rig *r, const unsigned char *data, size_t n)
{
    size_t used = 0;
    if (!tls_is_up(r->s)) {
        r->answer = tls_shake(&r->s, r->t, data, n, &used);
        ck_assert(used <= n && (r->answer != TLS_MORE || used == n));
        if (r->answer == TLS_OK && used < n)
            opened(r, data + used, n - used);
    } else {
        opened(r, data, n);
    }
    send_out(r);
    return r->answer == TLS_OK || r->answer == TLS_MORE;
}

void tls_rig_feed(struct tls_rig *r, const void *data, size_t n)
{
    unsigned char *copy = malloc(n + 1);
    ck_assert(copy != NULL);
    memcpy(copy, data, n);
    if (r->broken_at > r->taken && r->broken_at <= r->taken + n)
        copy[r->broken_at - r->taken - 1] ^= 0x10;
    for (size_t at = 0, some; at < n && r->answer <= TLS_MORE; at += some) {
        some = r->step == 0 || r->step > n - at ? n - at : r->step;
        feed_some(r, copy + at, some);
    }
    r->taken += n;
    free(copy);
}

void tls_rig_pump(struct tls_rig *r)
{
    unsigned char *bytes = malloc(TLS_RIG_ROOM);
    int n;
    ck_assert(bytes != NULL);
    while (r->answer <= TLS_MORE && (n = BIO_read(r->up, bytes, TLS_RIG_ROOM)) > 0)
        tls_rig_feed(r, bytes, (size_t) n);
    free(bytes);
}

static void client_failed(struct tls_rig *r, int rc)
{
    int error = SSL_get_error(r->client, rc);
    if (error == SSL_ERROR_SSL && r->refusal == 0)
        r->refusal = ERR_peek_last_error();
    ERR_clear_error();
}

static void client_reads(struct tls_rig *r)
{
    int n = 0;
    while (r->answered_len < TLS_RIG_ROOM && (n = SSL_read(r->client, r->answered + r->answered_len,
                                                           (int) (TLS_RIG_ROOM - r->answered_len))) > 0)
        r->answered_len += (size_t) n;
    if (r->answered_len < TLS_RIG_ROOM)
        client_failed(r, n);
}

bool tls_rig_shake(struct tls_rig *r)
{
    for (int i = 0; i < 8 && r->answer <= TLS_MORE; i++) {
        int rc = SSL_do_handshake(r->client);
        if (rc != 1)
            client_failed(r, rc);
        tls_rig_pump(r);
        if (r->refusal != 0)
            return false;
    }
    if (SSL_is_init_finished(r->client) || r->answer > TLS_MORE)
        client_reads(r);
    return r->refusal == 0 && SSL_is_init_finished(r->client) && r->answer == TLS_OK;
}

bool tls_rig_connect(struct tls_rig *r, const struct tls_rig_client *ask)
{
    tls_rig_begin(r, ask);
    return tls_rig_shake(r);
}

void tls_rig_say(struct tls_rig *r, const void *data, size_t n)
{
    for (size_t at = 0; at < n && r->answer == TLS_OK;) {
        int some = SSL_write(r->client, (const char *) data + at, (int) (n - at));
        ck_assert(some > 0);
        at += (size_t) some;
        tls_rig_pump(r);
    }
}

void tls_rig_answer(struct tls_rig *r, const void *data, size_t n)
{
    for (size_t at = 0; at < n;) {
        size_t left = n - at;
        /* In three pieces, of which one is empty. */
        struct iovec vec[] = {
            {(char *) data + at, left / 3}, {NULL, 0}, {(char *) data + at + left / 3, left - left / 3}};
        size_t took = tls_seal(r->s, r->t, vec, 3);
        ck_assert(took == (left < TLS_RECORD_DATA ? left : TLS_RECORD_DATA));
        at += took;
    }
    send_out(r);
    client_reads(r);
}

bool tls_rig_talks(struct tls_rig *r)
{
    static unsigned char text[70000];
    static const size_t sizes[] = {1, 2, 64, 1000, 16383, 16384, 16385, 70000};
    uint64_t seed = 13;
    for (size_t i = 0; i < sizeof text; i++)
        text[i] = (unsigned char) unit_random(&seed);
    for (size_t i = 0; i < sizeof sizes / sizeof sizes[0]; i++) {
        size_t n = sizes[i];
        r->heard_len = r->answered_len = 0;
        tls_rig_say(r, text, n);
        tls_rig_answer(r, text, n);
        if (r->answer != TLS_OK || r->heard_len != n || memcmp(r->heard, text, n) != 0 ||
            r->answered_len != n || memcmp(r->answered, text, n) != 0)
            return false;
    }
    return true;
}

/* ---- What came of it ---- */

SSL_SESSION *tls_rig_ticket(struct tls_rig *r)
{
    client_reads(r);
    SSL_SESSION *session = SSL_get1_session(r->client);
    ck_assert(session != NULL);
    return session;
}

const char *tls_rig_server_name(const struct tls_rig *r)
{
    static char name[64];
    X509 *x = SSL_get0_peer_certificate(r->client);
    ck_assert(x != NULL);
    X509_NAME_get_text_by_NID(X509_get_subject_name(x), NID_commonName, name, sizeof name);
    return name;
}

void tls_rig_settle(struct tls_thread *t)
{
    enum { COUNT = 4096 };
    static unsigned char halves[COUNT][TLS_HALF_MAX];
    unsigned char record[TLS_RECORD_HEAD + 1 + TLS_RECORD_TAIL];
    struct slim_thread *slim = slim_of_thread(t);
    UNIT_ASSERT(slim != NULL);
    for (int suite = 0; suite < TLS_SUITES; suite++) {
        for (size_t i = 0; i < 4 * COUNT; i++)
            UNIT_ASSERT(
                tls_record_seal(slim->crypt, suite, halves[i % COUNT], 0, TLS_APPLICATION, record, 1) > 0);
        for (size_t i = 0; i < COUNT; i++)
            tls_crypt_forget(slim->crypt, suite, halves[i]);
    }
}

void tls_rig_end(struct tls_rig *r)
{
    tls_session_free(&r->s);
    if (r->client != NULL) /* or its session would be of no use */
        SSL_set_shutdown(r->client, SSL_SENT_SHUTDOWN | SSL_RECEIVED_SHUTDOWN);
    SSL_free(r->client);
    r->client = NULL;
}

void tls_rig_over(struct tls_rig *r)
{
    tls_rig_end(r);
    tls_thread_free(&r->t);
    tls_contexts_free(&r->contexts);
    free(r->heard);
    free(r->answered);
    *r = (struct tls_rig){.contexts = NULL};
}
