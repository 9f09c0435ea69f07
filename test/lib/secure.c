/*
 * secure.c: TLS for clients: settings, and what OpenSSL says in words. Any thread, but for secure_all(). What lies over
 * a descriptor is cover.c's.
 */
#include "secure.h"

#include <errno.h>
#include <stdio.h>
#include <string.h>

#include "cover.h"
#include "net.h"

#ifdef MARIO_WITH_TLS

#include <arpa/inet.h>
#include <openssl/err.h>
#include <openssl/x509v3.h>
#include <stdlib.h>

static int say(char *why, size_t size, const char *what, const char *about)
{
    snprintf(why, size, "%s%s%s", what, about[0] != '\0' ? ": " : "", about);
    ERR_clear_error();
    return -1;
}

/* The first of OpenSSL's errors, which is what went wrong; the later ones say who noticed. */
static const char *reason(void)
{
    unsigned long e = ERR_peek_error();
    const char *text =
        ERR_GET_LIB(e) == ERR_LIB_SYS ? strerror(ERR_GET_REASON(e)) : ERR_reason_error_string(e);
    return text != NULL ? text : "an error without a name";
}

/* "h2,http/1.1" as the protocol has it: lengths and names. */
static int set_alpn(SSL_CTX *ctx, const char *names)
{
    unsigned char wire[256];
    size_t at = 0;
    for (const char *p = names;; p++) {
        size_t n = strcspn(p, ",");
        if (n == 0 || n > 255 || at + 1 + n > sizeof wire)
            return -1;
        wire[at++] = (unsigned char) n;
        memcpy(wire + at, p, n);
        at += n;
        p += n;
        if (*p == '\0')
            return SSL_CTX_set_alpn_protos(ctx, wire, (unsigned) at) == 0 ? 0 : -1;
    }
}

static int set_trust(SSL_CTX *ctx, const struct secure_ask *a, char *why, size_t size)
{
    SSL_CTX_set_verify(ctx, a->insecure ? SSL_VERIFY_NONE : SSL_VERIFY_PEER, NULL);
    if (a->insecure)
        return 0;
    if (a->ca == NULL)
        return SSL_CTX_set_default_verify_paths(ctx) == 1
                   ? 0
                   : say(why, size, "the system's certificates", reason());
    return SSL_CTX_load_verify_file(ctx, a->ca) == 1 ? 0 : say(why, size, a->ca, reason());
}

static int set_own(SSL_CTX *ctx, const struct secure_ask *a, char *why, size_t size)
{
    const char *key = a->key != NULL ? a->key : a->certificate;
    if (a->certificate == NULL)
        return 0;
    if (SSL_CTX_use_certificate_chain_file(ctx, a->certificate) != 1)
        return say(why, size, a->certificate, reason());
    if (SSL_CTX_use_PrivateKey_file(ctx, key, SSL_FILETYPE_PEM) != 1 || SSL_CTX_check_private_key(ctx) != 1)
        return say(why, size, key, reason());
    return 0;
}

static int set_protocol(SSL_CTX *ctx, const struct secure_ask *a, char *why, size_t size)
{
    bool suites = a->ciphers != NULL && strncmp(a->ciphers, "TLS_", 4) == 0;
    if (SSL_CTX_set_min_proto_version(ctx, a->min != 0 ? a->min : TLS1_2_VERSION) != 1 ||
        SSL_CTX_set_max_proto_version(ctx, a->max) != 1)
        return say(why, size, "there is no such version", "");
    if (a->min != 0 && a->min < TLS1_2_VERSION)
        SSL_CTX_set_security_level(ctx, 0);
    if (a->ciphers != NULL && (suites ? SSL_CTX_set_ciphersuites(ctx, a->ciphers) != 1
                                      : SSL_CTX_set_cipher_list(ctx, a->ciphers) != 1))
        return say(why, size, a->ciphers, reason());
    if (a->groups != NULL && SSL_CTX_set1_groups_list(ctx, a->groups) != 1)
        return say(why, size, a->groups, reason());
    if (a->alpn != NULL && set_alpn(ctx, a->alpn) != 0)
        return say(why, size, a->alpn, "not a list of protocols");
    return 0;
}

/* A ticket has come on one of the connections: one of the next to be made uses it. */
static int on_session(SSL *ssl, SSL_SESSION *session)
{
    struct secure *s = SSL_CTX_get_app_data(SSL_get_SSL_CTX(ssl));
    cover_note_ticket(ssl);
    if (!s->resume)
        return 0;
    pthread_mutex_lock(&s->lock);
    bool kept = s->session_count < SECURE_SESSIONS;
    if (kept)
        s->sessions[s->session_count++] = session;
    pthread_mutex_unlock(&s->lock);
    return kept;
}

/* Have a connection use a ticket that has come, if there is one: of TLS 1.3 one of its own, which OpenSSL uses but
 * once. False without memory. */
static bool resume_some(struct secure *s, SSL *ssl)
{
    SSL_SESSION *session = NULL;
    pthread_mutex_lock(&s->lock);
    if (s->session_count > 0)
        session = s->sessions[s->session_count - 1];
    if (session != NULL && SSL_SESSION_get_protocol_version(session) == TLS1_3_VERSION)
        s->session_count--;
    else if (session != NULL)
        SSL_SESSION_up_ref(session);
    pthread_mutex_unlock(&s->lock);
    bool good = session == NULL || SSL_set_session(ssl, session) == 1;
    SSL_SESSION_free(session);
    return good;
}

static bool is_address(const char *name)
{
    unsigned char room[sizeof(struct in6_addr)];
    return inet_pton(AF_INET, name, room) == 1 || inet_pton(AF_INET6, name, room) == 1;
}

static int set_all(struct secure *s, const struct secure_ask *a, char *why, size_t size)
{
    const char *sni = a->sni != NULL ? a->sni : a->host != NULL && !is_address(a->host) ? a->host : "";
    if (set_trust(s->ctx, a, why, size) != 0 || set_own(s->ctx, a, why, size) != 0 ||
        set_protocol(s->ctx, a, why, size) != 0)
        return -1;
    s->host = a->insecure || a->host == NULL ? NULL : strdup(a->host);
    s->sni = sni[0] == '\0' ? NULL : strdup(sni);
    if ((s->host == NULL && a->host != NULL && !a->insecure) || (s->sni == NULL && sni[0] != '\0'))
        return say(why, size, strerror(ENOMEM), "");
    s->host_is_address = s->host != NULL && is_address(s->host);
    s->resume = a->resume;
    SSL_CTX_set_app_data(s->ctx, s);
    SSL_CTX_set_mode(s->ctx, SSL_MODE_RELEASE_BUFFERS | SSL_MODE_ACCEPT_MOVING_WRITE_BUFFER);
    SSL_CTX_set_session_cache_mode(s->ctx, SSL_SESS_CACHE_CLIENT | SSL_SESS_CACHE_NO_INTERNAL);
    SSL_CTX_sess_set_new_cb(s->ctx, on_session);
    return 0;
}

/* Settings that nobody frees last as long as the process, which may be a test. */
static struct secure *living;
static pthread_mutex_t living_lock = PTHREAD_MUTEX_INITIALIZER;

static void begin_living(struct secure *s)
{
    pthread_mutex_lock(&living_lock);
    s->older = living;
    living = s;
    pthread_mutex_unlock(&living_lock);
}

static void end_living(const struct secure *s)
{
    pthread_mutex_lock(&living_lock);
    for (struct secure **at = &living; *at != NULL; at = &(*at)->older) {
        if (*at == s) {
            *at = s->older;
            break;
        }
    }
    pthread_mutex_unlock(&living_lock);
}

struct secure *secure_make(const struct secure_ask *ask, char *why, size_t size)
{
    struct secure *s = calloc(1, sizeof *s);
    if (s != NULL)
        s->ctx = SSL_CTX_new(TLS_client_method());
    if (s == NULL || s->ctx == NULL || cover_setup() != 0) {
        say(why, size, strerror(ENOMEM), "");
        secure_free(&s);
        return NULL;
    }
    pthread_mutex_init(&s->lock, NULL);
    begin_living(s);
    if (set_all(s, ask, why, size) != 0)
        secure_free(&s);
    return s;
}

void secure_free(struct secure **s)
{
    struct secure *d = *s;
    if (d == NULL)
        return;
    end_living(d);
    while (d->session_count > 0)
        SSL_SESSION_free(d->sessions[--d->session_count]);
    SSL_CTX_free(d->ctx);
    free(d->host);
    free(d->sni);
    free(d);
    *s = NULL;
}

SSL *secure_ssl(struct secure *s)
{
    SSL *ssl = SSL_new(s->ctx);
    if (ssl == NULL)
        return NULL;
    bool good = s->sni == NULL || SSL_set_tlsext_host_name(ssl, s->sni) == 1;
    SSL_set_hostflags(ssl, X509_CHECK_FLAG_NO_PARTIAL_WILDCARDS);
    if (s->host_is_address)
        good = good && X509_VERIFY_PARAM_set1_ip_asc(SSL_get0_param(ssl), s->host) == 1;
    else if (s->host != NULL)
        good = good && SSL_set1_host(ssl, s->host) == 1;
    good = good && resume_some(s, ssl);
    SSL_set_connect_state(ssl);
    if (good)
        return ssl;
    SSL_free(ssl);
    return NULL;
}

/* ---- In words ---- */

static const char *alert_name(int alert)
{
    switch (alert) { /* those that OpenSSL calls "unknown" */
    case 116:
        return "certificate required";
    case SSL_AD_NO_APPLICATION_PROTOCOL:
        return "no application protocol";
    default:
        return SSL_alert_desc_string_long(alert);
    }
}

void secure_explain(SSL *ssl, char *why, size_t size)
{
    unsigned long e = ERR_peek_error();
    int code = ERR_GET_LIB(e) == ERR_LIB_SSL ? ERR_GET_REASON(e) : 0;
    long verified = SSL_get_verify_result(ssl);
    if (code > SSL_AD_REASON_OFFSET && code <= SSL_AD_REASON_OFFSET + 255)
        say(why, size, "alert", alert_name(code - SSL_AD_REASON_OFFSET));
    else if (code == SSL_R_CERTIFICATE_VERIFY_FAILED)
        say(why, size, reason(), X509_verify_cert_error_string(verified));
    else
        say(why, size, reason(), "");
}

const char *secure_missing(void)
{
    return NULL;
}

#else

const char *secure_missing(void)
{
    return "built without TLS: libssl-dev was missing";
}

struct secure *secure_make(const struct secure_ask *ask, char *why, size_t size)
{
    (void) ask;
    snprintf(why, size, "%s", secure_missing());
    return NULL;
}

void secure_free(struct secure **s)
{
    *s = NULL;
}

#endif
