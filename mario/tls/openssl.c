/*
 * openssl.c: records as libssl does them, for tls.records = openssl and all that slim.c does not take. Whoever has the
 * session.
 */
#include "mario/tls/inside.h"

#ifdef MARIO_WITH_TLS

#include <string.h>

#include "mario/tls/libssl.h"

#define OVERHEAD 64u /* of a record, whatever the cipher: header, nonce, padding of a block, tag */

/* The client's alert, which ends all, leaves an error; its close_notify does not. Either ends what it says. */
static bool is_alert(void)
{
    unsigned long error = libssl.ERR_peek_last_error();
    return ERR_GET_LIB(error) == ERR_LIB_SSL && ERR_GET_REASON(error) > SSL_AD_REASON_OFFSET;
}

/* One record: data[at .. at+n-1]. What it has goes to data[*plain ..], which is no further than where it stands; libssl
 * has read all of it by then. */
static enum tls_answer open_one(struct tls_session *s, struct tls_thread *t, unsigned char *data, size_t at,
                                size_t n, size_t *plain)
{
    t->in = data + at;
    t->in_len = n;
    t->is_starved = false;
    int got = libssl.SSL_read(s->ssl, data + *plain, (int) (at + n - *plain));
    if (got > 0) {
        *plain += (size_t) got;
        s->idle_records = 0;
        return TLS_OK;
    }
    if ((libssl.SSL_get_shutdown(s->ssl) & SSL_RECEIVED_SHUTDOWN) && !is_alert())
        return TLS_CLOSED;
    if (!t->is_starved || t->out_of_memory)
        return tls_libssl_bad(t, s->ssl);
    return tls_idle_record(s, t) ? TLS_OK : TLS_BAD;
}

static enum tls_answer openssl_open(struct tls_session *s, struct tls_thread *t, unsigned char *data,
                                    size_t n, size_t *plain)
{
    enum tls_answer answer = TLS_OK;
    bool is_bad = false;
    tls_attach(t, s->ssl, NULL, 0);
    for (size_t at = 0, size; at < n && answer == TLS_OK; at += size) {
        size = tls_record_size(data + at, n - at, &is_bad);
        answer = open_one(s, t, data, at, size, plain);
    }
    tls_detach(s->ssl);
    return answer;
}

static bool openssl_seal(struct tls_session *s, struct tls_thread *t, const struct iovec *vec, size_t count,
                         size_t n)
{
    size_t before = t->out_len;
    const unsigned char *data = tls_gather(t, vec, count, n);
    if (tls_out_room(t, n + OVERHEAD) == NULL)
        return false;
    tls_attach(t, s->ssl, NULL, 0);
    bool good = libssl.SSL_write(s->ssl, data, (int) n) == (int) n && !t->out_of_memory;
    tls_detach(s->ssl);
    if (!good) {
        t->out_len = before;
        libssl_error(NULL, NULL);
    }
    return good;
}

static void openssl_close_notify(struct tls_session *s, struct tls_thread *t)
{
    tls_attach(t, s->ssl, NULL, 0);
    libssl.SSL_shutdown(s->ssl);
    tls_detach(s->ssl);
    libssl_error(NULL, NULL);
}

static void openssl_free(struct tls_session *s)
{
    libssl.SSL_free(s->ssl);
    s->ssl = NULL;
}

const struct tls_records openssl_records = {openssl_open, openssl_seal, openssl_close_notify, openssl_free,
                                            OVERHEAD};

#endif
