/*
 * fuzz_tls.c: a libFuzzer target for our records of TLS 1.3 (mario/tls/slim.h), with OpenSSL at both ends as the
 * oracle. Built and run by ./run.
 *
 * Each input begins with a handshake of OpenSSL with itself. Its secrets go to a session of ours beside the server,
 * which from then on sees what the server sees: what comes out of both, and how it ends, must be the same. What ours
 * sends is read by OpenSSL's client, what OpenSSL's server sends by nobody but us: the same alert must be in both.
 *
 * Input: two bytes of settings, then steps: see `enum step`. Where ours is stricter than OpenSSL on purpose is named in
 * may_refuse() and may_go_on().
 */
#include "plain.h"

#include <openssl/evp.h>
#include <openssl/ssl.h>
#include <openssl/x509v3.h>
#include <stdlib.h>
#include <string.h>

#include "mario/base/mem.h"
#include "mario/tls/libssl.h"
#include "mario/tls/slim.h"
#include "test/unit/tls_oracle.h"

int LLVMFuzzerInitialize(int *argc, char ***argv);
int LLVMFuzzerTestOneInput(const uint8_t *input, size_t size);

enum step {
    RECORD,      /* one that is in order: type, padding, length, bytes */
    LONG_RECORD, /* likewise, its length times 67 */
    UPDATE,      /* KeyUpdate */
    SPOIL,       /* a bit of what waits to be sent is changed */
    RAW,         /* bytes that are in no record */
    CUT,         /* what waits loses bytes at its end */
    SEND,        /* all that waits, in pieces */
    ANSWER,      /* ours seals something */
    CLIENT,      /* OpenSSL's client writes, as long as nobody has spoken in its name */
    CLIENT_KEYS, /* or changes its keys */
    STEPS
};

static SSL_CTX *server_ctx, *client_ctx;
static struct tls_thread *thread;

/* One run. */
static struct {
    SSL *server, *client;
    struct slim_secrets secrets; /* sent: counted by what came out */
    struct tls_session *ours;
    struct oracle from_client, from_server;
    bool client_is_out; /* its numbers are no longer those of what we send in its name */
    enum tls_answer answer;
    int theirs;       /* what SSL_get_error() said that was no SSL_ERROR_WANT_READ */
    int server_alert; /* that it has sent, -1: none */
    unsigned alerts;  /* that somebody in the client's name has written */
} run;

static unsigned char wire[1 << 18], opened[1 << 18], read_[1 << 18];
static size_t wired;

/* ---- OpenSSL's ends ---- */

static uint8_t from_hex(const char *text, unsigned char *out)
{
    size_t n = strlen(text) / 2;
    for (size_t i = 0; i < n && i < TLS_SECRET_MAX; i++) {
        char digits[3] = {text[2 * i], text[2 * i + 1], '\0'};
        out[i] = (unsigned char) strtoul(digits, NULL, 16);
    }
    return (uint8_t) n;
}

static void note_secret(const SSL *ssl, const char *line)
{
    const char *secret = strrchr(line, ' ') + 1;
    (void) ssl;
    if (strncmp(line, "CLIENT_TRAFFIC_SECRET_0 ", 24) == 0)
        run.secrets.in_len = from_hex(secret, run.secrets.in);
    if (strncmp(line, "SERVER_TRAFFIC_SECRET_0 ", 24) == 0)
        run.secrets.out_len = from_hex(secret, run.secrets.out);
}

static void make_certificate(SSL_CTX *ctx)
{
    EVP_PKEY *key = EVP_EC_gen("P-256");
    X509 *x = X509_new();
    MUST(key != NULL && x != NULL && X509_set_pubkey(x, key) == 1);
    X509_gmtime_adj(X509_getm_notBefore(x), 0);
    X509_gmtime_adj(X509_getm_notAfter(x), 1000000);
    MUST(X509_sign(x, key, EVP_sha256()) > 0);
    MUST(SSL_CTX_use_certificate(ctx, x) == 1 && SSL_CTX_use_PrivateKey(ctx, key) == 1);
    X509_free(x);
    EVP_PKEY_free(key);
}

int LLVMFuzzerInitialize(int *argc, char ***argv)
{
    char why[200];
    (void) argc;
    (void) argv;
    MUST(libssl_load(why, sizeof why));
    server_ctx = SSL_CTX_new(TLS_server_method());
    client_ctx = SSL_CTX_new(TLS_client_method());
    MUST(server_ctx != NULL && client_ctx != NULL);
    make_certificate(server_ctx);
    SSL_CTX_set_keylog_callback(server_ctx, note_secret);
    SSL_CTX_set_session_cache_mode(server_ctx, SSL_SESS_CACHE_OFF);
    SSL_CTX_set_min_proto_version(client_ctx, TLS1_3_VERSION);
    thread = tls_thread_make();
    MUST(thread != NULL && slim_of_thread(thread) != NULL);
    return 0;
}

static SSL *make_end(SSL_CTX *ctx)
{
    SSL *ssl = SSL_new(ctx);
    MUST(ssl != NULL);
    SSL_set_bio(ssl, BIO_new(BIO_s_mem()), BIO_new(BIO_s_mem()));
    BIO_set_mem_eof_return(SSL_get_rbio(ssl), -1);
    return ssl;
}

static size_t move(SSL *from, SSL *to)
{
    char *data;
    long n = BIO_get_mem_data(SSL_get_wbio(from), &data);
    if (n > 0)
        BIO_write(SSL_get_rbio(to), data, (int) n);
    (void) BIO_reset(SSL_get_wbio(from));
    return (size_t) n;
}

/* The handshake of both, with so many tickets behind it. */
static void shake(int suite, size_t tickets)
{
    static const char *const names[] = {"TLS_AES_128_GCM_SHA256", "TLS_AES_256_GCM_SHA384",
                                        "TLS_CHACHA20_POLY1305_SHA256"};
    char byte;
    run.server = make_end(server_ctx);
    run.client = make_end(client_ctx);
    SSL_set_num_tickets(run.server, tickets);
    MUST(SSL_set_ciphersuites(run.client, names[suite]) == 1);
    SSL_set_accept_state(run.server);
    SSL_set_connect_state(run.client);
    (void) SSL_do_handshake(run.client);
    move(run.client, run.server);
    (void) SSL_do_handshake(run.server);
    move(run.server, run.client);
    MUST(SSL_do_handshake(run.client) == 1);
    move(run.client, run.server);
    MUST(SSL_do_handshake(run.server) == 1);
    move(run.server, run.client);
    MUST(SSL_read(run.client, &byte, 1) < 0);
    run.secrets.sent = (uint32_t) tickets;
}

static void begin(int suite, size_t tickets)
{
    memset(&run, 0, sizeof run);
    run.server_alert = -1;
    run.theirs = SSL_ERROR_WANT_READ;
    shake(suite, tickets);
    run.ours = slim_make(thread->slim, suite, &run.secrets, 0);
    MUST(run.ours != NULL);
    oracle_begin(&run.from_client, tls_suites[suite].id, run.secrets.in);
    oracle_begin(&run.from_server, tls_suites[suite].id, run.secrets.out);
    run.from_server.seq = tickets;
    thread->out_len = 0;
    wired = 0;
}

static void end(void)
{
    SSL_free(run.server);
    SSL_free(run.client);
    tls_session_free(&run.ours);
}

/* ---- What both made of it ---- */

/* What OpenSSL's server has sent: an alert among it is noted. */
static void hear_server(void)
{
    static unsigned char record[ORACLE_RECORD_MAX];
    unsigned char *data;
    size_t n, at = 0, len;
    n = (size_t) BIO_get_mem_data(SSL_get_wbio(run.server), (char **) &data);
    for (size_t size; (size = oracle_whole(data + at, n - at)) > 0; at += size) {
        int type = oracle_open(&run.from_server, data + at, size, record, &len);
        MUST(type == TLS_ALERT || type == TLS_HANDSHAKE);
        if (type == TLS_ALERT)
            run.server_alert = record[1];
        else
            oracle_update(&run.from_server);
    }
    MUST(at == n);
    (void) BIO_reset(SSL_get_wbio(run.server));
}

/* What ours has sent goes to OpenSSL's client, which must find data[0 .. n-1] in it; the alert that it finds, -1:
 * none. */
static int hear_ours(const unsigned char *data, size_t n)
{
    size_t got = 0;
    int alert = -1, rc = 1;
    BIO_write(SSL_get_rbio(run.client), thread->out, (int) thread->out_len);
    thread->out_len = 0;
    while (got <= n && (rc = SSL_read(run.client, read_ + got, (int) (sizeof read_ - got))) > 0)
        got += (size_t) rc;
    MUST(got == n && (n == 0 || memcmp(read_, data, n) == 0));
    int error = SSL_get_error(run.client, rc);
    if (error == SSL_ERROR_ZERO_RETURN)
        alert = TLS_CLOSE_NOTIFY;
    else if (error == SSL_ERROR_SSL)
        alert = ERR_GET_REASON(ERR_peek_last_error()) - SSL_AD_REASON_OFFSET;
    else
        MUST(error == SSL_ERROR_WANT_READ);
    ERR_clear_error();
    return alert;
}

/* Of these (user_canceled) OpenSSL bears four without data between them, and ours as many as of other records. */
static bool has_many_alerts(void)
{
    return run.alerts >= 5;
}

/* Ours has refused what OpenSSL bears: 32 records of any kind without data; change_cipher_spec, which it ignores; a
 * message in pieces with something else between them; one that will be none, of which it wants to see all. */
static bool may_refuse(void)
{
    static const char *const words[] = {"a record that is not encrypted",
                                        "a record inside a handshake message",
                                        "a handshake message that is no KeyUpdate"};
    bool is = thread->fault == TLS_FAULT_storm;
    for (size_t i = 0; i < sizeof words / sizeof words[0]; i++)
        is = is || strstr(thread->why, words[i]) != NULL;
    return is;
}

/* OpenSSL has refused what ours bears: more than a few alerts; or ours waits for the rest of a record, and will
 * refuse that. */
static bool may_go_on(void)
{
    const char *why;
    return has_many_alerts() ||
           (tls_held(run.ours) >= TLS_RECORD_HEAD && tls_record_body(run.ours->carry, &why) < 0);
}

/* For what is malformed the RFC leaves the choice of the alert, or OpenSSL takes another than it says. */
static bool is_free(int alert)
{
    return alert != TLS_BAD_RECORD_MAC && alert != TLS_RECORD_OVERFLOW;
}

/* n bytes have come, to both. False: it is over. */
static bool come(const unsigned char *bytes, size_t n)
{
    size_t held = tls_held(run.ours), plain, got = 0;
    int rc;
    unsigned char *block = malloc(held + n); /* of exactly what may be touched */
    MUST(block != NULL);
    memcpy(block + held, bytes, n);
    run.answer = tls_open(run.ours, thread, block, n, &plain);
    MUST(plain <= held + n && run.answer != TLS_NO_MEMORY);
    memcpy(opened, block, plain);
    free(block);
    int alert = hear_ours(NULL, 0);
    BIO_write(SSL_get_rbio(run.server), bytes, (int) n);
    while ((rc = SSL_read(run.server, read_ + got, (int) (sizeof read_ - got))) > 0)
        got += (size_t) rc;
    run.theirs = SSL_get_error(run.server, rc);
    ERR_clear_error();
    hear_server();
    if (run.answer == TLS_BAD && may_refuse()) /* OpenSSL may have gone on to what stands behind it */
        return false;
    MUST(run.answer != TLS_BAD || run.theirs == SSL_ERROR_SSL);
    if (run.theirs == SSL_ERROR_SSL && run.answer != TLS_BAD) {
        MUST(may_go_on());
        return false;
    }
    MUST(got == plain && memcmp(read_, opened, got) == 0);
    MUST(run.answer == TLS_BAD || alert == -1);
    MUST((run.answer == TLS_CLOSED) == (run.theirs != SSL_ERROR_SSL && SSL_get_shutdown(run.server) != 0));
    if (run.answer == TLS_BAD && thread->fault == TLS_FAULT_alert)
        MUST(alert == -1 && (run.server_alert == -1 || has_many_alerts()));
    else if (run.answer == TLS_BAD)
        MUST(alert > 0 && (alert == run.server_alert || (is_free(alert) && is_free(run.server_alert))));
    return run.answer == TLS_OK;
}

/* ---- Steps ---- */

struct script {
    const uint8_t *at, *end;
};

static uint8_t next(struct script *s)
{
    return s->at < s->end ? *s->at++ : 0;
}

static void say(int type, const void *data, size_t n, size_t padding)
{
    if (wired + ORACLE_RECORD_MAX > sizeof wire / 2)
        return;
    run.client_is_out = true;
    run.alerts += type == TLS_ALERT;
    wired += oracle_seal(&run.from_client, type, data, n, padding, wire + wired);
}

static void say_record(struct script *s, size_t times)
{
    static const int types[] = {TLS_APPLICATION, TLS_APPLICATION,   TLS_HANDSHAKE,
                                TLS_ALERT,       TLS_CHANGE_CIPHER, 0};
    static unsigned char data[16384 + 256];
    uint8_t how = next(s);
    size_t n = next(s) * times, padding = (size_t) (how >> 4) * (how >> 4) * 75, most = sizeof data - 17;
    int type = types[(how & 15) % 6];
    if ((how & 15) >= 12)
        type = next(s);
    n = n < most ? n : most;
    padding = padding < most - n ? padding : most - n;
    for (size_t i = 0; i < n; i++)
        data[i] = times == 1 ? next(s) : (uint8_t) (i * 3);
    say(type, data, n, padding);
}

static void say_update(struct script *s)
{
    unsigned char message[5] = {24, 0, 0, 1, next(s) & 1};
    say(TLS_HANDSHAKE, message, sizeof message, 0);
    oracle_update(&run.from_client);
}

static bool send_all(struct script *s)
{
    size_t step = next(s), at = 0;
    bool goes = true;
    step = step == 0 ? wired : step * step;
    for (size_t n; goes && at < wired; at += n) {
        n = wired - at < step ? wired - at : step;
        goes = come(wire + at, n);
    }
    wired = 0;
    return goes;
}

static void answer(struct script *s)
{
    static unsigned char data[16384];
    size_t n = (size_t) next(s) * (next(s) & 63) + 1, cut = next(s) % n;
    for (size_t i = 0; i < n; i++)
        data[i] = (uint8_t) (i * 7);
    n = n < sizeof data ? n : sizeof data;
    cut = cut < n ? cut : n;
    struct iovec v[2] = {{data, cut}, {data + cut, n - cut}};
    MUST(tls_seal(run.ours, thread, v, 2) == n);
    MUST(hear_ours(data, n) == -1);
}

/* What OpenSSL's client writes, as it stands there. */
static void take_client(void)
{
    char *data;
    size_t n = (size_t) BIO_get_mem_data(SSL_get_wbio(run.client), &data);
    if (n + wired <= sizeof wire / 2) {
        memcpy(wire + wired, data, n);
        wired += n;
    }
    (void) BIO_reset(SSL_get_wbio(run.client));
}

static bool do_step(struct script *s)
{
    uint8_t a, b;
    switch (next(s) % STEPS) {
    case RECORD:
        say_record(s, 1);
        break;
    case LONG_RECORD:
        say_record(s, 67);
        break;
    case UPDATE:
        say_update(s);
        break;
    case SPOIL:
        a = next(s);
        b = next(s);
        if (wired > 0)
            wire[(a * 256u + b) % wired] ^= (unsigned char) (1 << (a & 7));
        break;
    case RAW:
        for (size_t n = next(s) % 32; n > 0 && wired < sizeof wire / 2; n--)
            wire[wired++] = next(s);
        break;
    case CUT:
        a = next(s);
        wired = wired > a ? wired - a : 0;
        break;
    case SEND:
        return send_all(s);
    case ANSWER:
        answer(s);
        break;
    case CLIENT:
        a = next(s);
        if (!run.client_is_out && a > 0 && wired < sizeof wire / 4) {
            MUST(SSL_write(run.client, wire, a) == a);
            take_client();
        }
        break;
    default:
        a = next(s) & 1;
        if (!run.client_is_out && wired < sizeof wire / 4) {
            MUST(SSL_key_update(run.client, a) == 1 && SSL_do_handshake(run.client) == 1);
            take_client();
        }
    }
    return true;
}

int LLVMFuzzerTestOneInput(const uint8_t *input, size_t size)
{
    struct script s = {input, input + size};
    uint8_t how = next(&s);
    bool goes = true;
    begin(how % TLS_SUITES, (how >> 2) & 3);
    thread->slim->update_at = (how & 128) != 0 ? 3 : SLIM_UPDATE_AT;
    while (goes && s.at < s.end)
        goes = do_step(&s);
    if (goes && run.answer != TLS_BAD)
        (void) send_all(&s);
    end();
    return 0;
}
