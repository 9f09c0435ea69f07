/*
 * slim.c: our own records of TLS 1.3. Any thread; a session is one thread's at a time.
 *
 * OpenSSL does the handshake, for which kdf.c derives the secrets, and tells of each record that it sends (its message
 * callback), which is how we know the number of the next. When it is done its state goes, and what is left of TLS is
 * what this file knows: data, KeyUpdate, alerts. The conditions for that are in slim_take(), and in how contexts are
 * made: nothing is read ahead, no early data, no authentication after the handshake, tickets without state.
 */
#include "mario/tls/slim.h"

#ifdef MARIO_WITH_TLS

#include <stdlib.h>
#include <string.h>

#include "mario/base/check.h"
#include "mario/base/mem.h"
#include "mario/tls/kdf.h"
#include "mario/tls/libssl.h"

enum {
    KEY_UPDATE = 24,
    KEY_UPDATE_SIZE = 5,
    UPDATE_RECORD = TLS_RECORD_HEAD + KEY_UPDATE_SIZE + TLS_RECORD_TAIL
};

_Static_assert(SLIM_UPDATE_AT < UINT32_C(1) << 24, "what a key may protect");

/* ---- What a thread has ---- */

struct slim_thread *slim_of_thread(struct tls_thread *t)
{
    if (t->slim != NULL)
        return t->slim;
    t->slim = calloc(1, sizeof *t->slim);
    if (t->slim == NULL)
        return NULL;
    t->slim->schedule = tls_schedule_make();
    t->slim->crypt = tls_crypt_make();
    t->slim->update_at = SLIM_UPDATE_AT;
    if (t->slim->schedule == NULL || t->slim->crypt == NULL)
        slim_thread_free(t);
    return t->slim;
}

void slim_thread_free(struct tls_thread *t)
{
    if (t->slim == NULL)
        return;
    tls_schedule_free(t->slim->schedule);
    tls_crypt_free(t->slim->crypt);
    free(t->slim);
    t->slim = NULL;
}

/* ---- The handshake: what it comes to ---- */

/* A secret of the session's traffic is known. Without memory for it the session stays OpenSSL's. */
static void note_secret(void *arg, bool is_ours, const unsigned char *secret, size_t n)
{
    struct tls_session *s = arg;
    if (s->secrets == NULL) {
        s->secrets = mem_try(sizeof *s->secrets);
        if (s->secrets == NULL)
            return;
        *s->secrets = (struct slim_secrets){.sent = 0};
    }
    struct slim_secrets *c = s->secrets;
    CHECK(n <= sizeof c->in);
    memcpy(is_ours ? c->out : c->in, secret, n);
    *(is_ours ? &c->out_len : &c->in_len) = (uint8_t) n;
}

static void note_record(int written, int version, int type, const void *bytes, size_t n, SSL *ssl, void *arg)
{
    (void) version;
    (void) bytes;
    (void) n;
    (void) arg;
    struct tls_session *s = written && type == SSL3_RT_HEADER ? tls_session_of(ssl) : NULL;
    if (s != NULL && s->records == TLS_NO_RECORDS && s->secrets != NULL && s->secrets->out_len > 0)
        s->secrets->sent++;
}

void slim_prepare(SSL_CTX *ctx)
{
    libssl.SSL_CTX_set_msg_callback(ctx, note_record);
}

bool slim_begin(struct tls_session *s, struct tls_thread *t)
{
    if (slim_of_thread(t) == NULL)
        return false;
    kdf_begin(t->slim->schedule, note_secret, s);
    return true;
}

void slim_end(void)
{
    kdf_end();
}

void slim_drop(struct tls_session *s)
{
    if (s->secrets == NULL)
        return;
    explicit_bzero(s->secrets, sizeof *s->secrets);
    mem_free(s->secrets);
    s->secrets = NULL;
}

/* ---- The session after it ---- */

static unsigned char *in_of(struct slim *m)
{
    return m->keys;
}

static unsigned char *out_of(struct slim *m)
{
    return m->keys + tls_half_size(&tls_suites[m->suite]);
}

static size_t keys_size(int suite)
{
    return 2 * tls_half_size(&tls_suites[suite]);
}

struct tls_session *slim_make(struct slim_thread *thread, int suite, const struct slim_secrets *secrets,
                              size_t texts)
{
    const struct tls_suite *kind = &tls_suites[suite];
    size_t fixed = offsetof(struct tls_session, slim.keys);
    struct tls_session *s = mem_exact(fixed + keys_size(suite) + texts);
    if (s == NULL)
        return NULL;
    memset(s, 0, fixed);
    struct slim *m = &s->slim;
    s->records = TLS_SLIM_RECORDS;
    m->out_seq = secrets->sent;
    m->suite = (uint8_t) suite;
    memcpy(tls_half_secret(kind, in_of(m)), secrets->in, kind->secret);
    memcpy(tls_half_secret(kind, out_of(m)), secrets->out, kind->secret);
    if (tls_keys(thread->schedule, kind, in_of(m)) && tls_keys(thread->schedule, kind, out_of(m)))
        return s;
    slim_records.free(s);
    mem_free(s);
    return NULL;
}

const char *slim_texts(const struct tls_session *s)
{
    return (const char *) s->slim.keys + keys_size(s->slim.suite);
}

const char *slim_cipher(const struct tls_session *s)
{
    return tls_suites[s->slim.suite].name;
}

/* What slim could not go on with: what OpenSSL has read already, records that must be shorter. */
static bool is_plain(const SSL *ssl)
{
    const SSL_SESSION *session = libssl.SSL_get_session(ssl);
    return libssl.SSL_version(ssl) == TLS1_3_VERSION && libssl.SSL_has_pending(ssl) == 0 && session != NULL &&
           libssl.SSL_SESSION_get_max_fragment_length(session) == TLSEXT_max_fragment_length_DISABLED;
}

/* What is to be kept of one whose handshake is over goes to its successor; the rest ends. */
static void succeed(struct tls_session *s, struct tls_session *m, size_t texts)
{
    m->section = s->section;
    m->is_v13 = s->is_v13;
    m->is_resumed = s->is_resumed;
    m->has_client = s->has_client;
    m->has_texts = s->has_texts;
    m->is_slim = s->is_slim;
    m->is_named = s->is_named;
    m->known = s->known;
    if (texts > 0)
        memcpy(m->slim.keys + keys_size(m->slim.suite), s->texts, texts);
    libssl.SSL_set_shutdown(s->ssl,
                            SSL_SENT_SHUTDOWN | SSL_RECEIVED_SHUTDOWN); /* else it may not be resumed */
    libssl_free(s->ssl);
    mem_free(s->texts);
    mem_free(s);
}

bool slim_take(struct tls_session **s, struct tls_thread *t, size_t texts)
{
    const struct slim_secrets *c = (*s)->secrets;
    const SSL *ssl = (*s)->ssl;
    const SSL_CIPHER *cipher = libssl.SSL_get_current_cipher(ssl);
    int suite = cipher == NULL ? -1 : tls_suite_of(libssl.SSL_CIPHER_get_protocol_id(cipher));
    struct tls_session *m = NULL;
    if (c != NULL && suite >= 0 && is_plain(ssl) && c->in_len == tls_suites[suite].secret &&
        c->out_len == c->in_len && slim_of_thread(t) != NULL)
        m = slim_make(t->slim, suite, c, texts);
    slim_drop(*s);
    if (m == NULL)
        return false;
    succeed(*s, m, texts);
    *s = m;
    return true;
}

void slim_forget(struct tls_session *s, struct tls_thread *t)
{
    struct slim *m = &s->slim;
    if (s->records != TLS_SLIM_RECORDS || t->slim == NULL)
        return;
    tls_crypt_forget(t->slim->crypt, m->suite, in_of(m));
    tls_crypt_forget(t->slim->crypt, m->suite, out_of(m));
}

/* What it says of itself stays. */
static void slim_free(struct tls_session *s)
{
    explicit_bzero(s->slim.keys, keys_size(s->slim.suite));
}

/* ---- Sealing ---- */

/* A record of n bytes at the end of t->out, filled in by who calls, is sealed. False without memory. */
static bool seal(struct slim *m, struct tls_thread *t, uint8_t type, unsigned char *record, size_t n)
{
    size_t size = tls_record_seal(t->slim->crypt, m->suite, out_of(m), m->out_seq, type, record, n);
    m->out_seq++;
    t->out_len += size;
    return size > 0;
}

static bool seal_bytes(struct slim *m, struct tls_thread *t, uint8_t type, const unsigned char *bytes,
                       size_t n)
{
    unsigned char *record = tls_out_room(t, TLS_RECORD_HEAD + n + TLS_RECORD_TAIL);
    if (record == NULL)
        return false;
    memcpy(record + TLS_RECORD_HEAD, bytes, n);
    return seal(m, t, type, record, n);
}

/* The next keys of a half; of the old ones nothing is left. */
static bool next_keys(struct slim *m, struct tls_thread *t, unsigned char *half)
{
    tls_crypt_forget(t->slim->crypt, m->suite, half);
    return tls_keys_next(t->slim->schedule, &tls_suites[m->suite], half);
}

/* Our KeyUpdate, with the old keys, and on with the new. It asks for none: the peer's keys are its own affair. */
static bool update(struct tls_session *s, struct tls_thread *t)
{
    struct slim *m = &s->slim;
    static const unsigned char message[KEY_UPDATE_SIZE] = {KEY_UPDATE, 0, 0, 1, 0};
    if (!seal_bytes(m, t, TLS_HANDSHAKE, message, sizeof message) || !next_keys(m, t, out_of(m)))
        return false;
    m->out_seq = 0;
    s->owes_update = false;
    return true;
}

static bool slim_seal(struct tls_session *s, struct tls_thread *t, const struct iovec *vec, size_t count,
                      size_t n)
{
    struct slim *m = &s->slim;
    struct slim_thread *thread = slim_of_thread(t);
    if (thread == NULL || ((s->owes_update || m->out_seq >= thread->update_at) && !update(s, t)))
        return false;
    unsigned char *record = tls_out_room(t, TLS_RECORD_HEAD + n + TLS_RECORD_TAIL);
    if (record == NULL)
        return false;
    unsigned char *to = record + TLS_RECORD_HEAD;
    for (size_t i = 0, left = n; i < count && left > 0; i++) {
        size_t piece = vec[i].iov_len < left ? vec[i].iov_len : left;
        if (piece > 0)
            memcpy(to, vec[i].iov_base, piece);
        to += piece;
        left -= piece;
    }
    return seal(m, t, TLS_APPLICATION, record, n);
}

static void say_alert(struct tls_session *s, struct tls_thread *t, int alert)
{
    unsigned char message[2] = {(unsigned char) (alert == TLS_CLOSE_NOTIFY ? 1 : 2), (unsigned char) alert};
    if (slim_of_thread(t) != NULL)
        (void) seal_bytes(&s->slim, t, TLS_ALERT, message, sizeof message);
}

static void slim_close_notify(struct tls_session *s, struct tls_thread *t)
{
    say_alert(s, t, TLS_CLOSE_NOTIFY);
}

/* ---- Opening ---- */

/* The end, for what the peer has done: our alert, if we may still speak. */
static enum tls_answer refuse(struct tls_session *s, struct tls_thread *t, int alert, const char *why)
{
    if (!s->is_closed)
        say_alert(s, t, alert);
    return tls_bad(t, TLS_FAULT_record, "%s", why);
}

/* A record without data. */
static enum tls_answer idle(struct tls_session *s, struct tls_thread *t)
{
    if (tls_idle_record(s, t))
        return TLS_OK;
    if (!s->is_closed)
        say_alert(s, t, TLS_UNEXPECTED_MESSAGE);
    return TLS_BAD;
}

/* A piece of a handshake message: after the handshake only KeyUpdate may come, and nothing behind it with the same
 * keys. */
static enum tls_answer open_handshake(struct tls_session *s, struct tls_thread *t, const unsigned char *piece,
                                      size_t n)
{
    struct slim *m = &s->slim;
    unsigned char message[KEY_UPDATE_SIZE] = {KEY_UPDATE};
    size_t have = s->part_len;
    if (n == 0 || (have == 0 && piece[0] != KEY_UPDATE))
        return refuse(s, t, TLS_UNEXPECTED_MESSAGE, "a handshake message that is no KeyUpdate");
    if (n > sizeof message - have)
        return refuse(s, t, TLS_UNEXPECTED_MESSAGE, "bytes behind a KeyUpdate in its record");
    if (have > 0)
        memcpy(message + 1, m->part, have - 1);
    memcpy(message + have, piece, n);
    have += n;
    if (have >= 4 && (message[1] != 0 || message[2] != 0 || message[3] != 1))
        return refuse(s, t, TLS_DECODE_ERROR, "a KeyUpdate of a wrong length");
    if (have < sizeof message) {
        memcpy(m->part, message + 1, have - 1);
        s->part_len = have & 7;
        return idle(s, t);
    }
    s->part_len = 0;
    if (message[4] > 1)
        return refuse(s, t, TLS_ILLEGAL_PARAMETER, "a KeyUpdate that asks for what there is not");
    if (!next_keys(m, t, in_of(m)))
        return TLS_NO_MEMORY;
    m->in_seq = 0;
    s->owes_update = s->owes_update || message[4] == 1;
    t->key_updates++;
    return idle(s, t);
}

static enum tls_answer open_alert(struct tls_session *s, struct tls_thread *t, const unsigned char *alert,
                                  size_t n)
{
    if (n == 0)
        return refuse(s, t, TLS_UNEXPECTED_MESSAGE, "an alert of no length");
    if (n != 2)
        return refuse(s, t, TLS_DECODE_ERROR, "an alert of a wrong length");
    if (alert[1] == TLS_CLOSE_NOTIFY)
        return TLS_CLOSED;
    if (alert[1] == TLS_USER_CANCELED)
        return idle(s, t);
    return tls_bad(t, TLS_FAULT_alert, "the client sent the alert '%s'",
                   libssl.SSL_alert_desc_string_long(alert[1]));
}

/* A record that has been opened: n bytes, whose data go to plain[*used ..], in front of them or where they are. */
static enum tls_answer take(struct tls_session *s, struct tls_thread *t, int type, const unsigned char *bytes,
                            size_t n, unsigned char *plain, size_t *used)
{
    if (type != TLS_HANDSHAKE && s->part_len > 0)
        return refuse(s, t, TLS_UNEXPECTED_MESSAGE, "a record inside a handshake message");
    if (type == TLS_HANDSHAKE)
        return open_handshake(s, t, bytes, n);
    if (type == TLS_ALERT)
        return open_alert(s, t, bytes, n);
    if (n == 0)
        return idle(s, t);
    s->idle_records = 0;
    memmove(plain + *used, bytes, n);
    *used += n;
    return TLS_OK;
}

static enum tls_answer slim_open(struct tls_session *s, struct tls_thread *t, unsigned char *data, size_t n,
                                 size_t *plain)
{
    struct slim *m = &s->slim;
    struct slim_thread *thread = slim_of_thread(t);
    enum tls_answer answer = thread == NULL ? TLS_NO_MEMORY : TLS_OK;
    *plain = 0;
    for (size_t at = 0, size; answer == TLS_OK && at < n; at += size) {
        const char *why = NULL;
        unsigned char *record = data + at;
        size_t len;
        int body = tls_record_body(record, &why);
        if (body < 0)
            return refuse(s, t, -body, why);
        size = (size_t) TLS_RECORD_HEAD + (size_t) body;
        CHECK(size <= n - at);
        if (m->in_seq == UINT64_MAX) /* the number would come again (RFC 8446, 5.3) */
            return refuse(s, t, TLS_INTERNAL_ERROR, "too many records with one key");
        int type = tls_record_open(thread->crypt, m->suite, in_of(m), m->in_seq++, record, &len, &why);
        if (type < 0)
            return refuse(s, t, -type, why);
        answer = take(s, t, type, record + TLS_RECORD_HEAD, len, data, plain);
    }
    /* One answer to all that have come: a peer that writes many before it reads gets no more of them. */
    if (answer == TLS_OK && s->owes_update && !s->is_closed && !update(s, t))
        return TLS_NO_MEMORY;
    return answer;
}

const struct tls_records slim_records = {
    .open = slim_open,
    .seal = slim_seal,
    .close_notify = slim_close_notify,
    .free = slim_free,
    .overhead = TLS_RECORD_HEAD + TLS_RECORD_TAIL + UPDATE_RECORD,
};

#endif
