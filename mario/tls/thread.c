/*
 * thread.c: what a thread has for all its sessions: where libssl reads and writes, and the words for what went wrong.
 * Each thread its own.
 */
#include "mario/tls/inside.h"

#ifdef MARIO_WITH_TLS

#include <pthread.h>
#include <stdarg.h>
#include <stdio.h>
#include <string.h>

#include "mario/base/mem.h"
#include "mario/tls/libssl.h"

#define OUT_STEP     4096u
#define IDLE_RECORDS 32u /* without data in a row */

/* ---- The pair of BIOs ---- */

static pthread_once_t method_once = PTHREAD_ONCE_INIT;
static BIO_METHOD *method; /* of both; never freed */

static int on_read(BIO *bio, char *out, int n)
{
    struct tls_thread *t = libssl.BIO_get_data(bio);
    libssl.BIO_clear_flags(bio, BIO_FLAGS_RWS | BIO_FLAGS_SHOULD_RETRY);
    if (n <= 0 || t->in_len == 0) {
        libssl.BIO_set_flags(bio, BIO_FLAGS_READ | BIO_FLAGS_SHOULD_RETRY);
        t->is_starved = true;
        return -1;
    }
    size_t some = (size_t) n < t->in_len ? (size_t) n : t->in_len;
    memcpy(out, t->in, some);
    t->in += some;
    t->in_len -= some;
    return (int) some;
}

static int on_write(BIO *bio, const char *data, int n)
{
    struct tls_thread *t = libssl.BIO_get_data(bio);
    libssl.BIO_clear_flags(bio, BIO_FLAGS_RWS | BIO_FLAGS_SHOULD_RETRY);
    if (n <= 0)
        return 0;
    unsigned char *room = tls_out_room(t, (size_t) n);
    if (room == NULL)
        return -1;
    memcpy(room, data, (size_t) n);
    t->out_len += (size_t) n;
    return n;
}

static long on_ctrl(BIO *bio, int command, long number, void *arg)
{
    (void) bio;
    (void) number;
    (void) arg;
    return command == BIO_CTRL_FLUSH;
}

static void make_method(void)
{
    BIO_METHOD *m = libssl.BIO_meth_new(libssl.BIO_get_new_index() | BIO_TYPE_SOURCE_SINK, "buffers");
    if (m != NULL && libssl.BIO_meth_set_read(m, on_read) == 1 &&
        libssl.BIO_meth_set_write(m, on_write) == 1 && libssl.BIO_meth_set_ctrl(m, on_ctrl) == 1)
        method = m;
}

static BIO *make_bio(struct tls_thread *t)
{
    BIO *bio = libssl.BIO_new(method);
    if (bio != NULL)
        libssl.BIO_set_data(bio, t);
    return bio;
}

void tls_attach(struct tls_thread *t, SSL *ssl, const unsigned char *in, size_t n)
{
    t->in = in;
    t->in_len = n;
    t->is_starved = t->out_of_memory = false;
    libssl.BIO_up_ref(t->rbio);
    libssl.BIO_up_ref(t->wbio);
    libssl.SSL_set0_rbio(ssl, t->rbio);
    libssl.SSL_set0_wbio(ssl, t->wbio);
}

void tls_detach(SSL *ssl)
{
    libssl.SSL_set0_rbio(ssl, NULL);
    libssl.SSL_set0_wbio(ssl, NULL);
}

/* ---- Threads ---- */

struct tls_thread *tls_thread_make(void)
{
    pthread_once(&method_once, make_method);
    struct tls_thread *t = method != NULL ? mem_exact(sizeof *t) : NULL;
    if (t == NULL)
        return NULL;
    *t = (struct tls_thread){.out = NULL};
    t->plain = mem_exact(TLS_RECORD_DATA);
    t->rbio = make_bio(t);
    t->wbio = make_bio(t);
    if (t->plain == NULL || t->rbio == NULL || t->wbio == NULL)
        tls_thread_free(&t);
    return t;
}

void tls_thread_free(struct tls_thread **t)
{
    struct tls_thread *me = *t;
    *t = NULL;
    if (me == NULL)
        return;
    if (me->slim != NULL)
        slim_thread_free(me);
    libssl.BIO_free(me->rbio);
    libssl.BIO_free(me->wbio);
    mem_free(me->plain);
    mem_free(me->out);
    mem_free(me);
}

unsigned char *tls_grow(unsigned char *p, size_t used, size_t want)
{
    size_t room = 64;
    while (room < want)
        room *= 2;
    unsigned char *q = mem_try(room);
    if (q == NULL)
        return NULL;
    if (used > 0)
        memcpy(q, p, used);
    mem_free(p);
    return q;
}

unsigned char *tls_out_room(struct tls_thread *t, size_t n)
{
    if (t->out_room - t->out_len < n) {
        unsigned char *more = tls_grow(t->out, t->out_len, t->out_len + n + OUT_STEP);
        if (more == NULL) {
            t->out_of_memory = true;
            return NULL;
        }
        t->out = more;
        t->out_room = mem_room(more);
    }
    return t->out + t->out_len;
}

const unsigned char *tls_gather(struct tls_thread *t, const struct iovec *vec, size_t count, size_t n)
{
    size_t done = 0;
    if (count > 0 && vec->iov_len >= n)
        return vec->iov_base;
    for (size_t i = 0; i < count && done < n; i++) {
        size_t some = vec[i].iov_len < n - done ? vec[i].iov_len : n - done;
        if (some > 0)
            memcpy(t->plain + done, vec[i].iov_base, some);
        done += some;
    }
    return t->plain;
}

/* ---- Words ---- */

static const struct {
    const char *name, *words;
} faults[] = {
#define ROW(name, words) {#name, words},
    TLS_FAULTS(ROW)
#undef ROW
};

const char *tls_fault_name(enum tls_fault fault)
{
    return (unsigned) fault < TLS_FAULT_COUNT ? faults[fault].name : "?";
}

enum tls_answer tls_bad(struct tls_thread *t, enum tls_fault fault, const char *format, ...)
{
    int n = snprintf(t->why, sizeof t->why, "%s", faults[fault].words);
    t->fault = fault;
    if (*format != '\0') {
        va_list args;
        n += snprintf(t->why + n, sizeof t->why - (size_t) n, ": ");
        va_start(args, format);
        vsnprintf(t->why + n, sizeof t->why - (size_t) n, format, args);
        va_end(args);
    }
    return TLS_BAD;
}

bool tls_idle_record(struct tls_session *s, struct tls_thread *t)
{
    if (++s->idle_records <= IDLE_RECORDS)
        return true;
    tls_bad(t, TLS_FAULT_storm, "%s", "");
    return false;
}

static enum tls_fault fault_of(int reason)
{
    switch (reason) {
    case SSL_R_UNSUPPORTED_PROTOCOL:
    case SSL_R_VERSION_TOO_LOW:
    case SSL_R_VERSION_TOO_HIGH:
    case SSL_R_UNKNOWN_PROTOCOL:
    case SSL_R_INAPPROPRIATE_FALLBACK:
    case SSL_R_NO_PROTOCOLS_AVAILABLE:
        return TLS_FAULT_version;
    case SSL_R_NO_SHARED_CIPHER:
    case SSL_R_NO_SHARED_GROUPS:
    case SSL_R_NO_SHARED_SIGNATURE_ALGORITHMS:
    case SSL_R_NO_SUITABLE_GROUPS:
    case SSL_R_NO_SUITABLE_KEY_SHARE:
    case SSL_R_NO_SUITABLE_SIGNATURE_ALGORITHM:
        return TLS_FAULT_cipher;
    case SSL_R_NO_APPLICATION_PROTOCOL:
        return TLS_FAULT_alpn;
    case SSL_R_PEER_DID_NOT_RETURN_A_CERTIFICATE:
    case SSL_R_CERTIFICATE_VERIFY_FAILED:
        return TLS_FAULT_client_certificate;
    case SSL_R_BAD_RECORD_TYPE:
    case SSL_R_DATA_LENGTH_TOO_LONG:
    case SSL_R_DECRYPTION_FAILED_OR_BAD_RECORD_MAC:
    case SSL_R_ENCRYPTED_LENGTH_TOO_LONG:
    case SSL_R_LENGTH_TOO_SHORT:
    case SSL_R_PACKET_LENGTH_TOO_LONG:
    case SSL_R_RECORD_LENGTH_MISMATCH:
    case SSL_R_RECORD_TOO_SMALL:
        return TLS_FAULT_record;
    case SSL_R_TOO_MANY_KEY_UPDATES:
    case SSL_R_TOO_MANY_WARN_ALERTS:
    case SSL_R_TOO_MUCH_EARLY_DATA:
        return TLS_FAULT_storm;
    default:
        return reason > SSL_AD_REASON_OFFSET ? TLS_FAULT_alert : TLS_FAULT_protocol;
    }
}

enum tls_answer tls_libssl_bad(struct tls_thread *t, const SSL *ssl)
{
    const char *words;
    bool no_memory;
    int reason = libssl_error(&words, &no_memory);
    if (no_memory || t->out_of_memory)
        return TLS_NO_MEMORY;
    if (reason == 0)
        return tls_bad(t, TLS_FAULT_alert, "it has closed before the end");
    if (reason == SSL_R_CERTIFICATE_VERIFY_FAILED)
        words = libssl.X509_verify_cert_error_string(libssl.SSL_get_verify_result(ssl));
    return tls_bad(t, fault_of(reason), "%s", words);
}

#endif
