/*
 * shake.c: a session from its making to the end of its handshake, and what that came to. Whoever has the session: its
 * worker, or a thread of the pool.
 */
#include "mario/tls/inside.h"

#ifdef MARIO_WITH_TLS

#include <stdio.h>
#include <string.h>

#include "mario/base/check.h"
#include "mario/base/mem.h"
#include "mario/base/spans.h"
#include "mario/tls/choose.h"
#include "mario/tls/libssl.h"
#include "mario/tls/pem.h"
#include "mario/tls/registry.h"
#include "mario/tls/section.h"

enum { DIGEST = 32 };

struct tls_session *tls_session_of(const SSL *ssl)
{
    return libssl.SSL_get_ex_data(ssl, 0);
}

/* ---- What the client asks for ---- */

/* The host name of the extension: a list with one name in it. NULL: there is none. */
static const char *asked_host(SSL *ssl, size_t *n)
{
    const unsigned char *p;
    size_t len;
    if (libssl.SSL_client_hello_get0_ext(ssl, TLSEXT_TYPE_server_name, &p, &len) != 1 || len < 5)
        return NULL;
    size_t list = (size_t) p[0] << 8 | p[1], name = (size_t) p[3] << 8 | p[4];
    if (list + 2 != len || p[2] != TLSEXT_NAMETYPE_host_name || name + 5 > len ||
        !is_host_name((const char *) p + 5, name))
        return NULL;
    *n = name;
    return (const char *) p + 5;
}

/* Keep the name until the handshake is over. */
static bool keep_host(struct tls_session *s, const char *host, size_t n)
{
    mem_free(s->texts);
    s->texts = NULL;
    if (host == NULL)
        return true;
    s->texts = mem_exact(n + 1);
    if (s->texts == NULL)
        return false;
    memcpy(s->texts, host, n);
    s->texts[n] = '\0';
    return true;
}

/* Before anything else is looked at, resumption too: so nobody is known to one name by what another one has found out
 * about him. Called again if the client has to say hello again. */
static int on_hello(SSL *ssl, int *alert, void *arg)
{
    (void) arg;
    struct tls_session *s = tls_session_of(ssl);
    size_t n = 0;
    const char *host = asked_host(ssl, &n);
    const struct tls_section *section = host != NULL ? contexts_choose(s->contexts, s->set, host, n) : NULL;
    s->is_named = section != NULL;
    if (section == NULL)
        section = contexts_first(s->contexts, s->set);
    s->section = section->number;
    if (keep_host(s, host, n) && section_apply(section, ssl))
        return SSL_CLIENT_HELLO_SUCCESS;
    *alert = SSL_AD_INTERNAL_ERROR;
    return SSL_CLIENT_HELLO_ERROR;
}

/* The answer to the name: yes, if it was heeded. */
static int on_host(SSL *ssl, int *alert, void *arg)
{
    (void) alert;
    (void) arg;
    return tls_session_of(ssl)->is_named ? SSL_TLSEXT_ERR_OK : SSL_TLSEXT_ERR_NOACK;
}

static int on_alpn(SSL *ssl, const unsigned char **out, unsigned char *out_len, const unsigned char *in,
                   unsigned in_len, void *arg)
{
    (void) ssl;
    const struct tls_section *section = arg;
    unsigned char *chosen;
    if (libssl.SSL_select_next_proto(&chosen, out_len, section->alpn, section->alpn_len, in, in_len) !=
        OPENSSL_NPN_NEGOTIATED)
        return SSL_TLSEXT_ERR_ALERT_FATAL;
    *out = chosen;
    return SSL_TLSEXT_ERR_OK;
}

void shake_prepare(struct tls_section *section)
{
    libssl.SSL_CTX_set_client_hello_cb(section->ctx, on_hello, NULL);
    libssl.SSL_CTX_callback_ctrl(section->ctx, SSL_CTRL_SET_TLSEXT_SERVERNAME_CB, (void (*)(void)) on_host);
    if (section->alpn != NULL)
        libssl.SSL_CTX_set_alpn_select_cb(section->ctx, on_alpn, section);
}

/* ---- Making ---- */

struct tls_session *tls_session_make(const struct tls_contexts *contexts, uint32_t set)
{
    const struct tls_section *first = contexts_first(contexts, set);
    struct tls_session *s = mem_exact(sizeof *s);
    spans_begin();
    SSL *ssl = s != NULL ? libssl.SSL_new(first->ctx) : NULL;
    if (ssl == NULL || libssl.SSL_set_ex_data(ssl, 0, s) != 1) {
        if (ssl != NULL)
            libssl.SSL_free(ssl);
        libssl_error(NULL, NULL);
        spans_end();
        mem_free(s);
        return NULL;
    }
    *s = (struct tls_session){.ssl = ssl,
                              .contexts = tls_contexts_hold(contexts),
                              .set = (uint16_t) set,
                              .section = first->number,
                              .is_shaking = true,
                              .is_slim = contexts_are_slim(contexts)};
    libssl.SSL_set_accept_state(ssl);
    spans_end();
    return s;
}

/* ---- Its end ---- */

/* What the client says of itself, in one block: the digest of its certificate if it has one, then the host name that it
 * asked for, the protocol, its subject, each with its NUL: *size bytes; NULL and 0 if all are empty, or the registry
 * has the same text for all who say so. False without memory. */
static bool keep_texts(struct tls_session *s, size_t *size)
{
    const unsigned char *alpn;
    unsigned alpn_len;
    char subject[sizeof((struct mario_tls_certificate *) NULL)->subject] = "";
    unsigned char digest[DIGEST];
    X509 *client = libssl.SSL_get1_peer_certificate(s->ssl);
    const char *host = s->texts != NULL ? s->texts : "";
    libssl.SSL_get0_alpn_selected(s->ssl, &alpn, &alpn_len);
    s->has_client = client != NULL;
    *size = 0;
    if (client != NULL) {
        certificate_name(libssl.X509_get_subject_name(client), subject, sizeof subject);
        certificate_digest(client, digest);
        libssl.X509_free(client);
    }
    if (*host == '\0' && alpn_len == 0 && !s->has_client)
        return true;
    size_t digest_len = s->has_client ? DIGEST : 0;
    size_t host_len = strlen(host) + 1, subject_len = strlen(subject) + 1;
    *size = digest_len + host_len + alpn_len + 1 + subject_len;
    char *p = mem_exact(*size), *all = p;
    if (p == NULL)
        return false;
    p = (char *) mempcpy(p, digest, digest_len);
    p = (char *) mempcpy(p, host, host_len);
    if (alpn_len > 0)
        p = (char *) mempcpy(p, alpn, alpn_len);
    *p++ = '\0';
    memcpy(p, subject, subject_len);
    mem_free(s->texts);
    s->texts = all;
    s->has_texts = true;
    s->known = s->has_client ? 0 : registry_tls_known(all, *size);
    if (s->known != 0) {
        mem_free(all);
        s->texts = NULL;
        *size = 0;
    }
    return true;
}

/* Counts what the peer's KeyUpdates are: the only message that comes behind the handshake. */
static void on_message(int is_ours, int version, int type, const void *data, size_t n, SSL *ssl, void *arg)
{
    (void) version;
    (void) arg;
    if (is_ours || type != SSL3_RT_HANDSHAKE || n == 0 || *(const unsigned char *) data != SSL3_MT_KEY_UPDATE)
        return;
    struct tls_thread *t = libssl.BIO_get_data(libssl.SSL_get_rbio(ssl));
    t->key_updates++;
}

static enum tls_answer establish(struct tls_session **session, struct tls_thread *t)
{
    struct tls_session *s = *session;
    size_t texts;
    if (!keep_texts(s, &texts))
        return TLS_NO_MEMORY;
    s->is_v13 = libssl.SSL_version(s->ssl) == TLS1_3_VERSION;
    s->is_resumed = libssl.SSL_session_reused(s->ssl) == 1;
    tls_contexts_free(&s->contexts);
    s->is_shaking = false;
    s->held = 0;
    s->cipher = libssl.SSL_CIPHER_get_name(libssl.SSL_get_current_cipher(s->ssl));
    registry_tls_count(s->section);
    s->records = TLS_OPENSSL_RECORDS;
    if (s->is_v13)
        libssl.SSL_set_msg_callback(s->ssl, on_message);
    if (s->is_slim)
        slim_take(session, t, texts);
    return TLS_OK;
}

enum tls_answer tls_shake(struct tls_session **session, struct tls_thread *t, const unsigned char *in,
                          size_t n, size_t *used)
{
    struct tls_session *s = *session;
    CHECK(s->is_shaking);
    *used = 0;
    if (s->is_slim && !slim_begin(s, t))
        return TLS_NO_MEMORY;
    spans_begin();
    tls_attach(t, s->ssl, in, n);
    int rc = libssl.SSL_do_handshake(s->ssl);
    if (s->is_slim)
        slim_end();
    enum tls_answer answer = TLS_MORE;
    *used = n - t->in_len;
    if (rc == 1 && !t->out_of_memory)
        answer = establish(session, t);
    else if (!t->is_starved || t->out_of_memory)
        answer = tls_libssl_bad(t, s->ssl);
    if (*session == s) /* else slim has taken over */
        tls_detach(s->ssl);
    spans_end();
    return answer;
}

/* ---- Facts ---- */

bool tls_facts(const struct tls_session *s, struct mario_tls_info *info)
{
    if (s->records == TLS_NO_RECORDS)
        return false;
    bool slim = s->records == TLS_SLIM_RECORDS;
    const char *p = s->known != 0 ? registry_tls_text(s->known) : slim ? slim_texts(s) : s->texts;
    *info = (struct mario_tls_info){.name = registry_tls_name(s->section),
                                    .version = s->is_v13 ? "TLSv1.3" : "TLSv1.2",
                                    .cipher = slim ? slim_cipher(s) : s->cipher,
                                    .sni = "",
                                    .alpn = "",
                                    .client_subject = "",
                                    .has_client = s->has_client,
                                    .is_resumed = s->is_resumed};
    if (!s->has_texts)
        return true;
    if (s->has_client) {
        memcpy(info->client_digest, p, DIGEST);
        p += DIGEST;
    }
    info->sni = p;
    info->alpn = info->sni + strlen(info->sni) + 1;
    info->client_subject = info->alpn + strlen(info->alpn) + 1;
    return true;
}

#endif
