/*
 * cover.c: TLS between a descriptor and who reads and writes it. What concerns a descriptor runs on the thread that has
 * it; the table of all is written by a descriptor's thread in its own place alone.
 *
 * OpenSSL sees no socket: its BIO reads what was received into the thread's area, and writes to the thread's buffer,
 * which is sent at the end of each call. What the kernel does not take of that waits in the cover. So a send and a
 * receive are one system call each, whatever records they are.
 */
#include "cover.h"

#include <errno.h>
#include <string.h>

#include "net.h"
#include "secure.h"

#ifdef MARIO_WITH_TLS

#include <openssl/bio.h>
#include <openssl/err.h>
#include <openssl/x509.h>
#include <stdio.h>
#include <stdlib.h>

#define COVERS     (1u << 21) /* descriptors there may be */
#define AREA_SIZE  (64u * 1024u)
#define SEAL_MAX   (64u * 1024u)
#define OUT_SIZE   (SEAL_MAX + 32u * 1024u) /* records around it, and what a handshake has to say */
#define SMALL_READ 4096u                    /* who wants less reads more, and keeps the rest */
#define RECORD_MAX 17000u /* a sealed record, so that what one read brings always has room */

struct cover {
    SSL *ssl;
    unsigned char *rest; /* sealed, and not taken by the kernel yet */
    size_t rest_len;
    unsigned char *early; /* received, and not looked at yet */
    size_t early_len;
    int err;    /* with which it failed; 0: it did not */
    bool begun; /* the handshake */
    bool up;    /* it is over */
    bool ended; /* close_notify came */
    bool ticket;
    char *why; /* NULL: it did not */
};

static struct cover **covers; /* by descriptor */
static struct secure *over_all;
static char first_why[160];
static pthread_mutex_t first_lock = PTHREAD_MUTEX_INITIALIZER;
static struct secure_totals totals = {.version = "", .cipher = ""};
static BIO_METHOD *method;

/* What the thread's call in progress has received, and what it is going to send. */
struct area {
    const unsigned char *in; /* not looked at yet, within `received` */
    size_t in_len, out_len;
    unsigned char received[AREA_SIZE], out[OUT_SIZE];
};

static _Thread_local struct area *area;
static pthread_key_t area_key; /* frees it when its thread ends */

static struct area *own_area(void)
{
    if (area == NULL && (area = calloc(1, sizeof *area)) != NULL)
        pthread_setspecific(area_key, area);
    return area;
}

static struct cover *cover_of(int fd)
{
    return fd >= 0 && (unsigned) fd < COVERS && covers != NULL
               ? __atomic_load_n(&covers[fd], __ATOMIC_RELAXED)
               : NULL;
}

/* ---- OpenSSL's side ---- */

static int bio_read(BIO *bio, char *data, int n)
{
    BIO_clear_retry_flags(bio);
    if (area->in_len == 0) {
        BIO_set_retry_read(bio);
        return -1;
    }
    size_t k = area->in_len < (size_t) n ? area->in_len : (size_t) n;
    memcpy(data, area->in, k);
    area->in += k;
    area->in_len -= k;
    return (int) k;
}

static int bio_write(BIO *bio, const char *data, int n)
{
    BIO_clear_retry_flags(bio);
    if ((size_t) n > sizeof area->out - area->out_len)
        return -1;
    memcpy(area->out + area->out_len, data, (size_t) n);
    area->out_len += (size_t) n;
    return n;
}

static long bio_ctrl(BIO *bio, int cmd, long n, void *data)
{
    (void) bio, (void) n, (void) data;
    return cmd == BIO_CTRL_FLUSH;
}

static int make_method(void)
{
    method = BIO_meth_new(BIO_get_new_index() | BIO_TYPE_SOURCE_SINK, "cover");
    if (method == NULL)
        return -1;
    BIO_meth_set_read(method, bio_read);
    BIO_meth_set_write(method, bio_write);
    BIO_meth_set_ctrl(method, bio_ctrl);
    return 0;
}

/* ---- The kernel's side ---- */

/* Put bytes behind those that are kept. 0, or -1 with errno. */
static int keep(unsigned char **at, size_t *len, const unsigned char *more, size_t n)
{
    unsigned char *all = n == 0 ? *at : realloc(*at, *len + n);
    if (n > 0 && all == NULL)
        return -1;
    if (n > 0)
        memcpy(all + *len, more, n);
    *at = all;
    *len += n;
    return 0;
}

static void forget(unsigned char **at, size_t *len)
{
    free(*at);
    *at = NULL;
    *len = 0;
}

/* Send what waits, as far as the kernel takes it. 0, or -1 with errno. */
static int flush_rest(int fd, struct cover *c)
{
    if (c->rest_len == 0)
        return 0;
    ssize_t k = net_send_bare(fd, c->rest, c->rest_len);
    if (k < 0)
        return errno == EAGAIN || errno == EINTR ? 0 : -1;
    c->rest_len -= (size_t) k;
    memmove(c->rest, c->rest + k, c->rest_len);
    if (c->rest_len == 0)
        forget(&c->rest, &c->rest_len);
    return 0;
}

/* Send what a call has sealed, behind what waits. 0, or -1 with errno. */
static int send_sealed(int fd, struct cover *c)
{
    size_t n = area->out_len;
    ssize_t k = 0;
    area->out_len = 0;
    if (flush_rest(fd, c) != 0)
        return -1;
    if (c->rest_len == 0 && n > 0)
        k = net_send_bare(fd, area->out, n);
    if (k < 0 && errno != EAGAIN && errno != EINTR)
        return -1;
    size_t sent = k > 0 ? (size_t) k : 0;
    return keep(&c->rest, &c->rest_len, area->out + sent, n - sent);
}

/* ---- Both ---- */

/* The last call of OpenSSL's gave `rc`. 0: it goes on, or the peer has ended it; -1: it has failed, with errno. */
static int judge(struct cover *c, int rc)
{
    int error = SSL_get_error(c->ssl, rc);
    if (error == SSL_ERROR_ZERO_RETURN)
        c->ended = true;
    if (c->err != 0) /* it had before */
        return errno = c->err, -1;
    if (error == SSL_ERROR_NONE || error == SSL_ERROR_WANT_READ || error == SSL_ERROR_ZERO_RETURN)
        return 0;
    char why[sizeof first_why];
    secure_explain(c->ssl, why, sizeof why);
    c->why = strdup(why);
    pthread_mutex_lock(&first_lock);
    if (first_why[0] == '\0')
        memcpy(first_why, why, sizeof first_why);
    pthread_mutex_unlock(&first_lock);
    c->err = errno = EPROTO;
    return -1;
}

/* Have OpenSSL look at what stands in the thread's area. The bytes of data; 0: none yet, or c->ended; -1 with errno. */
static ssize_t open_some(struct cover *c, unsigned char *data, size_t n)
{
    size_t have = 0;
    int rc = 1;
    while (have < n && rc > 0) {
        size_t room = n - have < INT32_MAX ? n - have : INT32_MAX;
        ERR_clear_error();
        rc = SSL_read(c->ssl, data + have, (int) room);
        have += rc > 0 ? (size_t) rc : 0;
    }
    int bad = rc <= 0 ? judge(c, rc) : 0;
    return have == 0 && bad != 0 ? -1 : (ssize_t) have;
}

/* Receive once into the thread's area, at most n bytes, if nothing is kept. 1: something is there; 0: the end; -1. */
static int fetch(int fd, struct cover *c, size_t n, uint64_t *stamp)
{
    ssize_t k = (ssize_t) c->early_len;
    n = n < sizeof area->received ? n : sizeof area->received;
    if (k > 0)
        memcpy(area->received, c->early, c->early_len);
    else
        k = stamp == NULL ? net_recv_bare(fd, area->received, n)
                          : net_recv_stamped_bare(fd, area->received, n, stamp);
    forget(&c->early, &c->early_len);
    area->in = area->received;
    area->in_len = k > 0 ? (size_t) k : 0;
    return k > 0 ? 1 : (int) k;
}

/* What OpenSSL has not asked for is kept. 0, or -1 with errno. */
static int leave(struct cover *c)
{
    size_t n = area->in_len;
    area->in_len = 0;
    return keep(&c->early, &c->early_len, area->in, n);
}

static void count(SSL *ssl)
{
    bool resumed = SSL_session_reused(ssl) == 1;
    __atomic_fetch_add(&totals.handshakes, 1, __ATOMIC_RELAXED);
    __atomic_fetch_add(&totals.resumed, resumed, __ATOMIC_RELAXED);
    __atomic_store_n(&totals.version, SSL_get_version(ssl), __ATOMIC_RELAXED);
    __atomic_store_n(&totals.cipher, SSL_get_cipher_name(ssl), __ATOMIC_RELAXED);
}

/* Shake once, with what stands in the area. 0: it is up, or needs more; or the errno. The peer may have closed
 * already, and what it said before that tells more than that nothing can be sent. */
static int shake(int fd, struct cover *c)
{
    ERR_clear_error();
    c->begun = true;
    int rc = SSL_do_handshake(c->ssl);
    c->up = rc == 1;
    if (c->up)
        count(c->ssl);
    if (rc != 1 && judge(c, rc) != 0) {
        send_sealed(fd, c); /* the alert */
        return EPROTO;
    }
    return send_sealed(fd, c) == 0 || errno == EPIPE ? 0 : errno;
}

/* Go on with the handshake as far as what has come allows. 0: it is up; EINPROGRESS; or the errno. */
static int step(int fd, struct cover *c)
{
    if (c->err != 0 || c->up)
        return c->err;
    if (own_area() == NULL)
        return ENOMEM;
    area->in_len = 0;
    c->err = shake(fd, c);
    while (c->err == 0 && !c->up) {
        int got = fetch(fd, c, sizeof area->received, NULL);
        if (got < 0 && errno == EAGAIN)
            return EINPROGRESS;
        c->err = got > 0 ? shake(fd, c) : got == 0 ? ECONNRESET : errno;
    }
    if (leave(c) != 0)
        c->err = errno;
    return c->err;
}

/* ---- What net.h calls ---- */

static bool over_has(int fd)
{
    return cover_of(fd) != NULL;
}

static void over_drop(int fd)
{
    struct cover *c = cover_of(fd);
    if (c == NULL)
        return;
    __atomic_store_n(&covers[fd], NULL, __ATOMIC_RELAXED);
    SSL_free(c->ssl);
    free(c->rest);
    free(c->early);
    free(c->why);
    free(c);
}

static int over_lay(int fd)
{
    over_drop(fd);
    return over_all == NULL ? 0 : secure_lay(over_all, fd);
}

static int over_result(int fd)
{
    return step(fd, cover_of(fd));
}

static bool over_waits(int fd)
{
    return cover_of(fd)->rest_len > 0;
}

static bool over_wants_out(int fd, bool wanted)
{
    const struct cover *c = cover_of(fd);
    return c->rest_len > 0 || !c->begun || (wanted && c->up);
}

/* Fails with EAGAIN as long as it is not up. 0, or -1 with errno. */
static int be_up(int fd, struct cover *c)
{
    int err = step(fd, c);
    errno = err == EINPROGRESS ? EAGAIN : err;
    return err == 0 && own_area() != NULL ? 0 : -1;
}

static ssize_t over_send(int fd, const void *data, size_t n)
{
    struct cover *c = cover_of(fd);
    if (be_up(fd, c) != 0 || flush_rest(fd, c) != 0)
        return -1;
    if (n == 0)
        return 0;
    if (c->rest_len > 0)
        return errno = EAGAIN, -1;
    ERR_clear_error();
    area->in_len = 0;
    int rc = SSL_write(c->ssl, data, (int) (n < SEAL_MAX ? n : SEAL_MAX));
    int bad = rc > 0 ? 0 : judge(c, rc), err = bad != 0 ? errno : EAGAIN;
    if (send_sealed(fd, c) != 0)
        return -1;
    errno = err;
    return rc > 0 ? rc : -1;
}

static ssize_t over_recv(int fd, void *data, size_t n, uint64_t *stamp)
{
    struct cover *c = cover_of(fd);
    size_t most = n >= 2 * RECORD_MAX ? n - RECORD_MAX : n < SMALL_READ ? SMALL_READ : n;
    if (be_up(fd, c) != 0)
        return -1;
    area->in_len = 0;
    ssize_t k = open_some(c, data, n);
    while (k == 0 && !c->ended) {
        int got = fetch(fd, c, most, stamp);
        if (got <= 0)
            return got;
        k = open_some(c, data, n);
        int err = errno;
        send_sealed(fd, c); /* an answer to new keys, or an alert */
        if (leave(c) != 0)
            return -1;
        errno = err;
    }
    return k;
}

static void over_notify(int fd)
{
    struct cover *c = cover_of(fd);
    if (!c->up || c->err != 0 || own_area() == NULL)
        return;
    ERR_clear_error();
    area->in_len = 0;
    SSL_shutdown(c->ssl);
    send_sealed(fd, c);
}

static const struct net_over over = {.has = over_has,
                                     .lay = over_lay,
                                     .send = over_send,
                                     .recv = over_recv,
                                     .result = over_result,
                                     .waits = over_waits,
                                     .wants_out = over_wants_out,
                                     .notify = over_notify,
                                     .drop = over_drop};

int cover_setup(void)
{
    if (net_over != NULL)
        return 0;
    void *table = calloc(COVERS, sizeof(struct cover *)); /* touched only as far as it is used */
    if (table == NULL || make_method() != 0 || pthread_key_create(&area_key, free) != 0)
        return -1;
    covers = table;
    net_over = &over;
    return 0;
}

void cover_note_ticket(SSL *ssl)
{
    struct cover *c = SSL_get_app_data(ssl);
    c->ticket = true;
}

/* ---- secure.h ---- */

void secure_all(struct secure *s)
{
    over_all = s;
}

int secure_lay(struct secure *s, int fd)
{
    if (fd < 0 || (unsigned) fd >= COVERS)
        return errno = EMFILE, -1;
    over_drop(fd);
    struct cover *c = calloc(1, sizeof *c);
    BIO *bio = BIO_new(method);
    SSL *ssl = secure_ssl(s);
    if (c == NULL || bio == NULL || ssl == NULL) {
        free(c);
        BIO_free(bio);
        SSL_free(ssl);
        return errno = ENOMEM, -1;
    }
    BIO_set_init(bio, 1);
    SSL_set_bio(ssl, bio, bio);
    SSL_set_app_data(ssl, c);
    c->ssl = ssl;
    __atomic_store_n(&covers[fd], c, __ATOMIC_RELAXED);
    return 0;
}

int secure_shake(int fd, uint64_t deadline)
{
    return net_await_up(fd, deadline);
}

const char *secure_why(int fd)
{
    const struct cover *c = cover_of(fd);
    return c != NULL && c->why != NULL ? c->why : "";
}

const char *secure_first_why(void)
{
    return first_why;
}

void secure_totals(struct secure_totals *t)
{
    t->handshakes = __atomic_load_n(&totals.handshakes, __ATOMIC_RELAXED);
    t->resumed = __atomic_load_n(&totals.resumed, __ATOMIC_RELAXED);
    t->version = __atomic_load_n(&totals.version, __ATOMIC_RELAXED);
    t->cipher = __atomic_load_n(&totals.cipher, __ATOMIC_RELAXED);
}

void secure_facts(int fd, struct secure_facts *f)
{
    const struct cover *c = cover_of(fd);
    const unsigned char *alpn;
    unsigned n;
    *f = (struct secure_facts){.version = "", .cipher = ""};
    if (c == NULL)
        return;
    f->up = c->up;
    f->version = SSL_get_version(c->ssl);
    f->cipher = SSL_get_cipher_name(c->ssl);
    f->resumed = SSL_session_reused(c->ssl) == 1;
    f->ended = c->ended;
    f->ticket = c->ticket;
    SSL_get0_alpn_selected(c->ssl, &alpn, &n);
    snprintf(f->alpn, sizeof f->alpn, "%.*s", (int) n, n > 0 ? (const char *) alpn : "");
    X509 *peer = SSL_get0_peer_certificate(c->ssl);
    if (peer != NULL)
        X509_NAME_get_text_by_NID(X509_get_subject_name(peer), NID_commonName, f->subject, sizeof f->subject);
}

int secure_key_update(int fd, bool both)
{
    struct cover *c = cover_of(fd);
    if (be_up(fd, c) != 0)
        return -1;
    ERR_clear_error();
    area->in_len = 0;
    int rc = SSL_key_update(c->ssl, both ? SSL_KEY_UPDATE_REQUESTED : SSL_KEY_UPDATE_NOT_REQUESTED);
    if (rc == 1)
        rc = SSL_do_handshake(c->ssl);
    return send_sealed(fd, c) == 0 && rc == 1 ? 0 : -1;
}

void secure_notify(int fd)
{
    if (over_has(fd))
        over_notify(fd);
}

#else

void secure_all(struct secure *s)
{
    (void) s;
}

int secure_lay(struct secure *s, int fd)
{
    (void) s, (void) fd;
    return errno = ENOSYS, -1;
}

int secure_shake(int fd, uint64_t deadline)
{
    (void) fd, (void) deadline;
    return errno = ENOSYS, -1;
}

const char *secure_why(int fd)
{
    (void) fd;
    return "";
}

const char *secure_first_why(void)
{
    return "";
}

void secure_totals(struct secure_totals *t)
{
    *t = (struct secure_totals){.version = "", .cipher = ""};
}

void secure_facts(int fd, struct secure_facts *f)
{
    (void) fd;
    *f = (struct secure_facts){.version = "", .cipher = ""};
}

int secure_key_update(int fd, bool both)
{
    (void) fd, (void) both;
    return errno = ENOSYS, -1;
}

void secure_notify(int fd)
{
    (void) fd;
}

#endif

const char *secure_error(int err)
{
    const char *why = secure_first_why();
    return err == EPROTO && why[0] != '\0' ? why : strerror(err);
}
